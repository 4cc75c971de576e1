//! Tests over all crates: what they share. The tests themselves are the `[[test]]` targets.

pub mod campaign;
pub mod crash;
pub mod flow;
#[cfg(feature = "planted")]
pub mod planted;
