//! A venue on this machine, sans-IO: matching, accounts, fees, funding and liquidation.
//!
//! [`venue::Venue`] is the whole. It reads no clock, draws no random numbers and opens no socket:
//! time is an argument, and the same calls give the same answers. It knows nothing of any wire.
#![forbid(unsafe_code)]

pub mod account;
pub mod bitget;
pub mod candle;
pub mod event;
pub mod fault;
pub mod fund;
pub mod funding;
pub mod instrument;
pub mod margin;
pub mod market;
pub mod matching;
pub mod order;
pub mod paper;
pub mod position;
pub mod queue;
pub mod reject;
pub mod strategy;
pub mod venue;
