//! The price collar: how far from what the market says an order may be.

use keel_core::gate::{InstrumentView, Intent};
use keel_core::instrument::Instrument;
use keel_core::units::{E8, Price, Rate, Side};

/// True when the intent's price lies within `collar` of the mid, of the mark and of the last good
/// book, and within the venue's own band. What is not known is outside.
pub fn holds(intent: &Intent, view: &InstrumentView, rules: &Instrument, collar: Rate) -> bool {
    let Some((bid, ask)) = view.touch else { return false };
    let price_x2 = i128::from(intent.price.0) * 2;
    let near = |center_x2: i128| within(price_x2, center_x2, collar);
    near(i128::from(bid.0) + i128::from(ask.0))
        && near(i128::from(view.last_mid_x2))
        && near_price(intent, view.mark, rules, collar)
        && inside_band(intent, view.mark, rules)
}

fn within(price: i128, center: i128, collar: Rate) -> bool {
    center > 0 && (price - center).abs() * i128::from(E8) <= i128::from(collar.0) * center
}

fn near_price(intent: &Intent, mark: Price, rules: &Instrument, collar: Rate) -> bool {
    within(i128::from(rules.price(intent.price).0), i128::from(mark.0), collar)
}

/// The venue refuses buys above and sells below its band around the mark (bitget reference §15).
fn inside_band(intent: &Intent, mark: Price, rules: &Instrument) -> bool {
    let price = i128::from(rules.price(intent.price).0) * i128::from(E8);
    let mark = i128::from(mark.0);
    match intent.side {
        Side::Buy => price <= mark * i128::from(E8 + rules.buy_band.0),
        Side::Sell => price >= mark * i128::from(E8 - rules.sell_band.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Desk, MID};
    use keel_core::units::Ticks;

    fn allowed(desk: &Desk, price: i64, side: Side) -> bool {
        let view = &desk.instruments[0];
        let intent = Intent { price: Ticks(price), side, ..Desk::intent() };
        let rules = view.rules.expect("rules");
        holds(&intent, view, &rules, desk.params.collar_bps())
    }

    #[test]
    fn the_collar_holds_to_the_tick_on_both_sides() {
        let desk = Desk::fine();
        let reach = MID * 250 / 10_000;
        for (price, inside) in [
            (MID - reach, true),
            (MID - reach - 1, false),
            (MID + reach, true),
            (MID + reach + 1, false),
        ] {
            assert_eq!(allowed(&desk, price, Side::Buy), inside, "{price}");
        }
    }

    #[test]
    fn a_mark_or_an_old_book_far_away_is_enough_to_refuse() {
        let mut desk = Desk::fine();
        desk.instruments[0].mark = Price(desk.instruments[0].mark.0 / 10 * 9);
        assert!(!allowed(&desk, MID, Side::Sell));
        let mut desk = Desk::fine();
        desk.instruments[0].last_mid_x2 = MID * 2 * 9 / 10;
        assert!(!allowed(&desk, MID, Side::Sell));
        let mut desk = Desk::fine();
        desk.instruments[0].touch = None;
        assert!(!allowed(&desk, MID, Side::Sell));
    }

    #[test]
    fn the_venues_band_binds_where_it_is_narrower() {
        let mut desk = Desk::fine();
        let mut rules = desk.instruments[0].rules.expect("rules");
        rules.buy_band = Rate::bps(10);
        desk.instruments[0].rules = Some(rules);
        let edge = MID + MID * 10 / 10_000;
        assert!(allowed(&desk, edge, Side::Buy));
        assert!(!allowed(&desk, edge + 1, Side::Buy));
        assert!(allowed(&desk, edge + 1, Side::Sell), "a sell is bound below, not above");
    }

    #[test]
    fn the_venues_band_below_binds_a_sell_to_the_tick() {
        let mut desk = Desk::fine();
        desk.instruments[0].rules.as_mut().expect("rules").sell_band = Rate::bps(10);
        let edge = MID - MID * 10 / 10_000;
        assert!(allowed(&desk, edge, Side::Sell));
        assert!(!allowed(&desk, edge - 1, Side::Sell));
        assert!(allowed(&desk, edge - 1, Side::Buy), "a buy is bound above, not below");
    }

    #[test]
    fn a_price_that_is_not_known_is_no_center() {
        assert!(!within(0, 0, Rate::bps(250)) && within(1, 1, Rate::bps(250)));
    }
}
