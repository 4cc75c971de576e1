//! Bitget's unified account (V3), USDT-margined perpetuals: bytes to [`Event`]s, orders to bytes.
//!
//! [`decode`] reads what the sockets and HTTP answers carry, [`encode`] writes order entry,
//! [`rest`] asks and understands the answers, [`sign`] signs, and [`topics`] names what can be
//! subscribed to. All of it is pure: no socket, no clock, and nothing is decided about trading.
//!
//! [`Event`]: keel_core::event::Event

pub mod client;
pub mod codes;
pub mod decode;
pub mod encode;
pub mod rest;
pub mod sign;
pub mod topics;

#[cfg(test)]
pub(crate) mod tests {
    //! Instruments that the tests of this module share.

    use keel_core::instrument::{Instrument, Symbol, btcusdt};

    /// BTCUSDT as seen on the venue: tick 0.1, lot 0.0001.
    pub(crate) fn btc() -> Instrument {
        btcusdt()
    }

    /// The rules of BTCUSDT under another name.
    pub(crate) fn named(symbol: &str) -> Instrument {
        Instrument { symbol: Symbol::parse(symbol.as_bytes()).expect("a name"), ..btc() }
    }
}
