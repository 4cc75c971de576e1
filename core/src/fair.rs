//! Fair value: what the touch says that a contract is worth, in ticks.

use crate::book::Touch;
use crate::units::Signal;

/// The middle of the touch.
pub fn mid(touch: &Touch) -> Signal {
    Signal::from_num(touch.mid_x2()) / 2
}

/// The touch's prices weighted by the size of the opposite side: nearer to the side that is thin.
pub fn microprice(touch: &Touch) -> Signal {
    let bids = Signal::from_num(touch.bid_lots.0);
    let asks = Signal::from_num(touch.ask_lots.0);
    if bids + asks <= 0 {
        return mid(touch);
    }
    let spread = Signal::from_num(touch.ask.0 - touch.bid.0);
    Signal::from_num(touch.bid.0) + spread * (bids / (bids + asks))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::{Lots, Ticks};

    fn touch(bid_lots: i64, ask_lots: i64) -> Touch {
        Touch {
            bid: Ticks(100),
            ask: Ticks(103),
            bid_lots: Lots(bid_lots),
            ask_lots: Lots(ask_lots),
        }
    }

    #[test]
    fn the_mid_lies_between_ticks_where_it_must() {
        assert_eq!(mid(&touch(1, 1)), Signal::from_num(1015) / 10);
    }

    #[test]
    fn the_microprice_leans_to_the_thin_side() {
        assert_eq!(microprice(&touch(5, 5)), mid(&touch(5, 5)));
        let heavy_bids = microprice(&touch(2, 1));
        assert!((heavy_bids - Signal::from_num(102)).abs() < Signal::from_num(1) / 1_000_000);
        assert!(microprice(&touch(1, 1 << 55)) < Signal::from_num(101));
        assert_eq!(microprice(&touch(0, 0)), mid(&touch(0, 0)));
    }
}
