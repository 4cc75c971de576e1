//! Reports over what a run has recorded: figures from records, without a file, a clock or a
//! socket.

pub mod bootstrap;
pub mod edge;
pub mod interval;
pub mod models;
pub mod page;
pub mod parity;
mod share;
pub mod statement;
mod tape;
