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
    /// Takes an execution in; gives the profit that it realized, in tick-lots, before fees.
    pub fn fill(&mut self, side: Side, price: Ticks, lots: Lots) -> i128 {
        unimplemented!()
    }
    /// Average entry, rounded toward zero; zero when flat.
    pub fn entry(&self, rules: &Instrument) -> Price {
        unimplemented!()
    }
    /// Profit at `mark` that is not realized.
    pub fn unrealized(&self, mark: Price, rules: &Instrument) -> Quote {
        unimplemented!()
    }
    /// Folds the position into `digest`.
    pub fn fold(&self, digest: &mut Digest) {
        unimplemented!()
    }
}
