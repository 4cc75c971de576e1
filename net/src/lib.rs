//! Bytes: what stands between the engine and the wire.
//!
//! [`link`] joins agents, [`proto`] speaks WebSocket and HTTP without a socket or a clock, and
//! [`driver`] alone owns sockets and TLS. Nothing here decides anything about trading.
#![deny(unsafe_code)]

pub mod bitget;
pub mod dispatch;
pub mod driver;
pub mod feed;
pub mod gateway;
pub mod lease;
pub mod link;
pub mod proto;
pub mod rate;
pub mod stamps;
pub mod sync;
