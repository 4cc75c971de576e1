//! Position: signed lots and what was paid for them, exactly.

use keel_core::units::{Lots, Quote, UnixNanos};

/// One position. What is left of its entry value is an integer; a part that closes takes its share
/// of it, rounded toward zero, and the rest stays, so that nothing is ever lost to rounding.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// The venue's number of it; 0 before the first fill.
    pub id: u64,
    /// Size; positive is long.
    pub lots: Lots,
    /// What was paid for it, in 1e-8 USDT; negative for a short.
    pub entry: i128,
    /// The margin that it keeps for itself in isolated mode; zero in crossed mode.
    pub margin: Quote,
    /// Profit realized since it was opened, without fees.
    pub realized: Quote,
    /// Funding received less paid since it was opened.
    pub funding: Quote,
    /// Fees of the fills that opened; positive is paid.
    pub open_fee: Quote,
    /// Fees of the fills that closed; positive is paid.
    pub close_fee: Quote,
    /// Lots opened since it was opened; never negative.
    pub opened_lots: Lots,
    /// Their value.
    pub opened_value: i128,
    /// Value of what was closed since it was opened.
    pub closed_value: i128,
    /// When it was opened.
    pub created: UnixNanos,
    /// When it last changed.
    pub updated: UnixNanos,
}

impl Position {
    /// Closes up to all of it: `lots` signed against it, worth `value` (never negative).
    /// Gives the profit.
    ///
    /// # Panics
    /// When `lots` do not point against the position or are more than it.
    pub(crate) fn close(&mut self, lots: Lots, value: Quote) -> Quote {
        assert!(lots.0.signum() == -self.lots.0.signum() && lots.abs() <= self.lots.abs());
        let share = self.entry * i128::from(lots.abs().0) / i128::from(self.lots.abs().0);
        let came = i128::from(value.0) * i128::from(self.lots.0.signum());
        let profit = Quote(i64::try_from(came - share).expect("profit within the range of money"));
        self.lots += lots;
        self.entry -= share;
        self.closed_value += i128::from(value.0);
        self.realized += profit;
        profit
    }

    /// The share of its margin that `lots` of it have, rounded down.
    ///
    /// # Panics
    /// Without a position.
    pub(crate) fn margin_of(&self, lots: Lots) -> Quote {
        let share = i128::from(self.margin.0) * i128::from(lots.abs().0);
        let share = share.div_euclid(i128::from(self.lots.abs().0));
        Quote(i64::try_from(share).expect("a share is no more than the whole"))
    }

    /// Gives back `share` of its margin for a part that was closed with `result` (profit less fee).
    /// A loss beyond the share comes off the rest; gives what even that could not bear.
    pub(crate) fn release(&mut self, share: Quote, result: Quote) -> Quote {
        self.margin -= share;
        let loss = Quote((-(share + result)).0.max(0));
        let borne = Quote(loss.0.min(self.margin.0.max(0)));
        self.margin -= borne;
        loss - borne
    }

    /// Opens or adds: `lots` signed as the position is, worth `value` (never negative).
    ///
    /// # Panics
    /// When `lots` point against the position.
    pub(crate) fn open(&mut self, lots: Lots, value: Quote) {
        assert!(self.lots.is_zero() || lots.0.signum() == self.lots.0.signum());
        self.lots += lots;
        self.entry += i128::from(value.0) * i128::from(lots.0.signum());
        self.opened_lots += lots.abs();
        self.opened_value += i128::from(value.0);
    }
}
