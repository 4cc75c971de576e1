//! Parity: the same engine on the same market, once with orders at a venue and once on paper, and
//! how far the two are apart.
//!
//! What each has done is kept as raw rows ([`Rows`]); everything that is said is computed from
//! rows, so that anybody who has them can judge again.

mod gather;
mod measure;
mod rows;
mod text;
mod verdict;

pub use gather::Gathering;
pub use rows::{End, Fill, Minute, Order, Rows};
pub use text::{calibration, html, json, lines};
pub use verdict::{Compared, Report, Word};

use keel_core::markout::HORIZONS;
use keel_core::regime::Regime;

/// How many regimes there are.
const REGIMES: usize = Regime::ALL.len();
/// How many horizons a fill is looked at after.
const WAITS: usize = HORIZONS.len();

#[cfg(test)]
mod tests;
