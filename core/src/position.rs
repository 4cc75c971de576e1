//! A position: signed size and exactly what it cost.

use crate::digest::Digest;
use crate::instrument::Instrument;
use crate::units::{Lots, Price, Quote, Side, Ticks};

/// Size and cost of one instrument's position.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// Signed size; positive is long.
    pub lots: Lots,
    /// What it cost, signed, in tick-lots: exact where an average would be rounded.
    pub entry_value: i128,
}

impl Position {
    /// Nothing held.
    pub const FLAT: Self = Self { lots: Lots::ZERO, entry_value: 0 };

    /// Takes an execution in; gives the profit that it realized, in tick-lots, before fees.
    ///
    /// The cost of the part that it closes is rounded toward zero, and what was cut off stays in
    /// the cost of the rest, so that realized and unrealized profit always add up exactly. An
    /// execution across zero closes the whole and opens the rest at its own price. Gives `None`,
    /// and changes nothing, when a number leaves its range.
    pub fn fill(&mut self, side: Side, price: Ticks, lots: Lots) -> Option<i128> {
        let traded = lots.0.checked_mul(side.sign())?;
        let held = self.lots.0;
        let opposed = held.signum() == -traded.signum();
        let closing = if opposed { held.checked_abs()?.min(traded.abs()) } else { 0 };
        let closed_cost = match closing {
            0 => 0,
            all if all == held.abs() => self.entry_value,
            part => self.entry_value.checked_mul(i128::from(part))? / i128::from(held.abs()),
        };
        let price = i128::from(price.0);
        let proceeds = price.checked_mul(i128::from(closing * held.signum()))?;
        let opening = i128::from(traded) + i128::from(closing * held.signum());
        let left = self.entry_value - closed_cost;
        *self = Self {
            lots: Lots(held.checked_add(traded)?),
            entry_value: left.checked_add(price.checked_mul(opening)?)?,
        };
        Some(proceeds - closed_cost)
    }

    /// Takes in an execution of which it is known what it realized, in tick-lots, in the order in
    /// which it was booked. Gives `None`, and changes nothing, when a number leaves its range.
    pub fn take(&mut self, side: Side, price: Ticks, lots: Lots, realized: i128) -> Option<()> {
        let traded = lots.0.checked_mul(side.sign())?;
        let paid = i128::from(price.0).checked_mul(i128::from(traded))?;
        *self = Self {
            lots: Lots(self.lots.0.checked_add(traded)?),
            entry_value: self.entry_value.checked_add(paid)?.checked_add(realized)?,
        };
        Some(())
    }

    /// Average entry, rounded toward zero; zero when flat.
    pub fn entry(&self, rules: &Instrument) -> Price {
        if self.lots.is_zero() {
            return Price::ZERO;
        }
        let scaled = self.entry_value.saturating_mul(i128::from(rules.tick_e8()));
        Price(i64::try_from(scaled / i128::from(self.lots.0)).unwrap_or(i64::MAX))
    }

    /// The signed value at `mark`, rounded toward zero; `None` beyond the range of money.
    pub fn value(&self, mark: Price, rules: &Instrument) -> Option<Quote> {
        let lots = i128::from(self.lots.0) * i128::from(rules.lot.step);
        let scale = i128::from(crate::decimal::POW10[usize::from(rules.lot.scale)]);
        let value = i128::from(mark.0).checked_mul(lots)? / scale;
        i64::try_from(value).ok().map(Quote)
    }

    /// Profit at `mark` that is not realized; `None` beyond the range of money.
    pub fn unrealized(&self, mark: Price, rules: &Instrument) -> Option<Quote> {
        let cost = self.entry_value.checked_mul(i128::from(rules.quote_per_tick_lot()))?;
        let profit = i128::from(self.value(mark, rules)?.0).checked_sub(cost)?;
        i64::try_from(profit).ok().map(Quote)
    }

    /// The same position on another grid; `None` when it is no whole number there.
    pub fn on_grid(&self, from: &Instrument, to: &Instrument) -> Option<Self> {
        let pow = |scale: u8| i128::from(crate::decimal::POW10[usize::from(scale)]);
        let base = i128::from(self.lots.0) * i128::from(from.lot.step) * pow(to.lot.scale);
        let lot = i128::from(to.lot.step) * pow(from.lot.scale);
        let cost = self.entry_value.checked_mul(i128::from(from.quote_per_tick_lot()))?;
        let unit = i128::from(to.quote_per_tick_lot());
        if base % lot != 0 || cost % unit != 0 {
            return None;
        }
        Some(Self { lots: Lots(i64::try_from(base / lot).ok()?), entry_value: cost / unit })
    }

    /// Folds the position into `digest`.
    pub fn fold(&self, digest: &mut Digest) {
        digest.fold_signed(self.lots.0);
        digest.fold(self.entry_value as u64);
        digest.fold((self.entry_value >> 64) as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decimal::Grid;
    use crate::instrument::btcusdt;

    #[test]
    fn a_round_trip_realizes_the_difference() {
        let mut position = Position::FLAT;
        assert_eq!(position.fill(Side::Buy, Ticks(100), Lots(3)), Some(0));
        assert_eq!(position.fill(Side::Sell, Ticks(110), Lots(3)), Some(30));
        assert_eq!(position, Position::FLAT);
    }

    #[test]
    fn a_fill_across_zero_closes_the_whole_and_opens_the_rest_at_its_own_price() {
        let mut position = Position::FLAT;
        position.fill(Side::Buy, Ticks(100), Lots(3));
        assert_eq!(position.fill(Side::Sell, Ticks(90), Lots(5)), Some(-30));
        assert_eq!(position, Position { lots: Lots(-2), entry_value: -180 });
        assert_eq!(position.fill(Side::Buy, Ticks(80), Lots(7)), Some(20));
        assert_eq!(position, Position { lots: Lots(5), entry_value: 400 });
    }

    #[test]
    fn what_was_realized_and_paid_tells_the_cost_that_is_left() {
        let (mut played, mut taken) = (Position::FLAT, Position::FLAT);
        for (side, price, lots) in [(Side::Buy, 100, 3), (Side::Sell, 90, 5), (Side::Buy, 80, 1)] {
            let realized = played.fill(side, Ticks(price), Lots(lots)).expect("in range");
            taken.take(side, Ticks(price), Lots(lots), realized).expect("in range");
            assert_eq!(taken, played);
        }
    }

    #[test]
    fn fifty_partial_closes_lose_no_unit_to_rounding() {
        let mut position = Position::FLAT;
        position.fill(Side::Sell, Ticks(101), Lots(29));
        position.fill(Side::Sell, Ticks(100), Lots(22));
        let cost = position.entry_value;
        let realized: i128 =
            (0..51).map(|_| position.fill(Side::Buy, Ticks(97), Lots(1)).expect("in range")).sum();
        assert_eq!(position, Position::FLAT);
        assert_eq!(realized, -cost - 97 * 51);
    }

    #[test]
    fn numbers_out_of_range_change_nothing() {
        let mut position = Position { lots: Lots(i64::MAX), entry_value: 1 };
        let before = position;
        assert_eq!(position.fill(Side::Buy, Ticks(1), Lots(1)), None);
        assert_eq!(position, before);
    }

    #[test]
    fn entry_and_unrealized_profit_are_of_the_venue_s_units() {
        let btc = btcusdt();
        let mut position = Position::FLAT;
        position.fill(Side::Buy, Ticks(772_000), Lots(200));
        assert_eq!(position.entry(&btc), btc.price(Ticks(772_000)));
        let mark = btc.price(Ticks(772_010));
        assert_eq!(position.unrealized(mark, &btc), Some(Quote(200 * 10 * 1_000)));
        let absurd = Position { lots: Lots(i64::MAX), ..position };
        assert_eq!(absurd.value(Price(i64::MAX), &btc), None);
    }

    #[test]
    fn a_position_moves_to_another_grid_exactly_or_not_at_all() {
        let coarse = Instrument { lot: Grid { step: 1, scale: 3 }, ..btcusdt() };
        let held = Position { lots: Lots(20), entry_value: 2_000 };
        let moved = Position { lots: Lots(2), entry_value: 200 };
        assert_eq!(held.on_grid(&btcusdt(), &coarse), Some(moved));
        assert_eq!(moved.on_grid(&coarse, &btcusdt()), Some(held));
        assert_eq!(Position { lots: Lots(21), ..held }.on_grid(&btcusdt(), &coarse), None);
    }
}
