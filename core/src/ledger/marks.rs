//! Marks: what a bill does to the days and to what losses are measured from, alike in the account
//! that runs and in the one that is read back from disk.

use crate::event::{Bill, BillKind};
use crate::units::Quote;

/// Funding of a UTC day that has not begun yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ahead {
    /// Which, since 1970.
    pub day: i64,
    /// Paid; negative is received.
    pub paid: Quote,
}

impl Ahead {
    /// Counts what was `received` to the UTC day `of`: to `today`, given by its number and what it
    /// has paid, when it is that one. Before that day has begun it is put by; of a day that is over
    /// it is in no day's figures any more. `None`, and nothing changes, beyond the range of money.
    pub fn fund(
        &mut self,
        of: i64,
        received: Quote,
        today: Option<(i64, &mut Quote)>,
    ) -> Option<()> {
        let less = |paid: Quote| paid.0.checked_sub(received.0).map(Quote);
        match today {
            Some((day, paid)) if day == of => *paid = less(*paid)?,
            Some((day, _)) if day > of => {}
            _ if self.day == of => self.paid = less(self.paid)?,
            _ if self.day < of => *self = Self { day: of, paid: less(Quote::ZERO)? },
            _ => {}
        }
        Some(())
    }

    /// What was put by for `day`.
    pub fn of(self, day: i64) -> Quote {
        if self.day == day { self.paid } else { Quote::ZERO }
    }
}

/// By how much a bill moves what losses are measured from. Funding is a result of trading. What a
/// conversion, a loan or a gift brings in is no profit; what such a bill costs is a loss.
pub fn moved_by(bill: &Bill) -> Quote {
    match bill.kind {
        BillKind::Funding => Quote::ZERO,
        BillKind::Transfer => bill.amount,
        BillKind::Other | BillKind::Unknown => bill.amount.max(Quote::ZERO),
    }
}

/// Moves each of `marks` by `amount`; `None` when one would leave the range of money: those behind
/// it have not moved.
pub fn shift<'a>(marks: impl IntoIterator<Item = &'a mut Quote>, amount: Quote) -> Option<()> {
    for mark in marks {
        mark.0 = mark.0.checked_add(amount.0)?;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn funding_counts_to_its_day_before_while_and_never_after_it_runs() {
        let mut ahead = Ahead::default();
        let mut paid = Quote(10);
        assert_eq!(ahead.fund(7, Quote(-3), None), Some(()), "no day runs");
        assert_eq!(
            (ahead, ahead.of(7), ahead.of(8)),
            (Ahead { day: 7, paid: Quote(3) }, Quote(3), Quote(0))
        );
        assert_eq!(ahead.fund(7, Quote(1), Some((6, &mut paid))), Some(()));
        assert_eq!((ahead.of(7), paid), (Quote(2), Quote(10)));
        assert_eq!(ahead.fund(7, Quote(4), Some((7, &mut paid))), Some(()));
        assert_eq!((ahead.of(7), paid), (Quote(2), Quote(6)));
        assert_eq!(ahead.fund(7, Quote(4), Some((8, &mut paid))), Some(()), "it is over");
        assert_eq!((ahead.of(7), paid), (Quote(2), Quote(6)));
        assert_eq!(ahead.fund(9, Quote(-5), Some((8, &mut paid))), Some(()));
        assert_eq!((ahead.of(7), ahead.of(9)), (Quote(0), Quote(5)), "the later day counts");
        assert_eq!(ahead.fund(8, Quote(-5), None), Some(()), "only one day is put by");
        assert_eq!((ahead.of(8), ahead.of(9)), (Quote(0), Quote(5)));
    }

    #[test]
    fn beyond_the_range_of_money_nothing_is_counted() {
        let mut ahead = Ahead { day: 7, paid: Quote(i64::MAX) };
        let mut paid = Quote(i64::MAX);
        for (of, today) in [(7, None), (6, Some((6, &mut paid)))] {
            assert_eq!(ahead.fund(of, Quote(-1), today), None);
        }
        assert_eq!(ahead.fund(8, Quote(i64::MIN), None), None);
        assert_eq!((ahead, paid), (Ahead { day: 7, paid: Quote(i64::MAX) }, Quote(i64::MAX)));
        let mut marks = [Quote(1), Quote(i64::MIN + 1)];
        assert_eq!(shift(&mut marks, Quote(-1)), Some(()));
        assert_eq!((marks, shift(&mut marks, Quote(-1))), ([Quote(0), Quote(i64::MIN)], None));
    }
}
