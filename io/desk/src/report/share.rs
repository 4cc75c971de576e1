//! Whose funding it is: a settlement is borne by the executions whose lots were held.

use std::collections::VecDeque;

/// What is held of one instrument, by the execution that each part came from, oldest first; an
/// execution of the other side closes the oldest part first.
#[derive(Clone, Debug, Default)]
pub(super) struct Held {
    parts: VecDeque<(Option<usize>, i64)>,
}

impl Held {
    /// `lots`, signed, that came from `fill`; `None` for what an earlier run left.
    pub(super) fn take(&mut self, fill: Option<usize>, lots: i64) {
        let mut left = lots;
        while left != 0 {
            match self.parts.front_mut() {
                Some((_, held)) if (*held > 0) != (left > 0) => {
                    let closed = held.abs().min(left.abs()) * held.signum();
                    *held -= closed;
                    left += closed;
                    if *held == 0 {
                        self.parts.pop_front();
                    }
                }
                _ => {
                    self.parts.push_back((fill, left));
                    return;
                }
            }
        }
    }

    /// Divides `amount` by the lots held, to the last unit: what remains of rounding is the newest
    /// part's. What nobody holds is nobody's.
    pub(super) fn divide(&self, amount: i64) -> Vec<(Option<usize>, i64)> {
        let lots: i128 = self.parts.iter().map(|&(_, lots)| i128::from(lots)).sum();
        let Some(newest) = self.parts.len().checked_sub(1) else { return vec![(None, amount)] };
        let mut left = amount;
        let mut shares = Vec::with_capacity(self.parts.len());
        for (place, &(fill, held)) in self.parts.iter().enumerate() {
            let share = i128::from(amount) * i128::from(held) / lots;
            let share = if place == newest { left } else { i64::try_from(share).unwrap_or(0) };
            left -= share;
            shares.push((fill, share));
        }
        shares
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_part_is_closed_first_and_a_turn_leaves_what_is_beyond_zero() {
        let mut held = Held::default();
        held.take(None, 5);
        held.take(Some(0), 3);
        held.take(Some(1), -6);
        assert_eq!(held.parts, [(Some(0), 2)]);
        held.take(Some(2), -3);
        assert_eq!(held.parts, [(Some(2), -1)]);
        held.take(Some(3), 1);
        assert!(held.parts.is_empty());
    }

    #[test]
    fn a_settlement_is_divided_to_the_last_unit() {
        let mut held = Held::default();
        assert_eq!(held.divide(-7), [(None, -7)]);
        held.take(None, 1);
        held.take(Some(4), 1);
        held.take(Some(9), 1);
        assert_eq!(held.divide(-10), [(None, -3), (Some(4), -3), (Some(9), -4)]);
        let mut short = Held::default();
        short.take(Some(0), -3);
        short.take(Some(1), -1);
        assert_eq!(short.divide(8), [(Some(0), 6), (Some(1), 2)]);
    }
}
