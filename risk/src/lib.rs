//! What must never happen: the pre-trade gate, loss limits, health and rate budgets.
//!
//! [`RiskGate`] implements [`keel_core::gate::Gate`]. Every limit is a row of
//! [`keel_core::param::TABLE`]; the value there is the last one allowed, and one smallest unit more
//! trips. What cannot be read counts as unsafe.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

pub mod collar;
pub mod flatten;
pub mod gate;
pub mod health;
pub mod limits;
pub mod loss;
pub mod throttle;

pub use flatten::FlattenGate;
pub use gate::{InstrumentRisk, RiskGate};

#[cfg(test)]
mod fixture;
