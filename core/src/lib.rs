//! What trading means: values, book, quotes, orders, reconciliation and the engine, as pure
//! functions.
//!
//! Nothing here allocates, reads a clock, touches a socket or uses a float: the same events give
//! the same commands on every machine. Memory is lent ([`engine`]), time is an argument.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

pub mod book;
pub mod command;
pub mod decimal;
pub mod digest;
pub mod engine;
pub mod event;
pub mod fair;
pub mod gate;
pub mod glft;
pub mod guard;
pub mod ids;
pub mod instrument;
pub mod layout;
pub mod ledger;
pub mod lifecycle;
pub mod limit;
pub mod markout;
pub mod model;
pub mod order;
pub mod param;
pub mod plan;
pub mod planted;
pub mod position;
pub mod quote;
pub mod reconcile;
pub mod regime;
pub mod status;
pub mod tariff;
pub mod trades;
pub mod units;
pub mod words;
