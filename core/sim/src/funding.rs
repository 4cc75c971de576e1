//! Funding: when it is settled, and what a position pays.

use keel_core::units::{E8, Lots, Price, Quote, Rate, UnixNanos};

use crate::instrument::{Grids, Rules};

/// The first instant of the contract's grid (hours counted from midnight UTC) after `now`.
pub fn next_instant(interval_hours: u32, now: UnixNanos) -> UnixNanos {
    let step = i64::from(interval_hours) * 60 * UnixNanos::MINUTE;
    UnixNanos((now.0.div_euclid(step) + 1) * step)
}

/// What comes to a position of `lots` at `mark` under `rate`; negative is paid. A positive rate
/// makes longs pay shorts. Rounded down: whoever pays, pays the fraction.
///
/// # Panics
/// When the amount leaves the range of [`Quote`].
pub fn payment(grids: &Grids, lots: Lots, mark: Price, rate: Rate) -> Quote {
    let value = i128::from(grids.value_at(mark, lots).0);
    let amount = (-value * i128::from(rate.0)).div_euclid(i128::from(E8));
    Quote(i64::try_from(amount).expect("funding within the range of money"))
}

/// The rate that an averaged `premium` makes (the venue's formula since 2025-09-22):
/// `clamp([P + clamp(0.01% − P, ±0.05%)] / (8 / hours), min, max)`, rounded toward zero.
pub fn rate(rules: &Rules, premium: Rate) -> Rate {
    let pull = (Rate::bps(1).0 - premium.0).clamp(Rate::bps(-5).0, Rate::bps(5).0);
    let whole = (premium.0 + pull) * i64::from(rules.fund_interval_hours) / 8;
    Rate(whole.clamp(rules.fund_rate_min.0, rules.fund_rate_max.0))
}
