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

    use keel_core::decimal::Grid;
    use keel_core::instrument::{Instrument, InstrumentStatus, Symbol};
    use keel_core::units::{Lots, Quote, Rate};

    /// BTCUSDT as seen on the venue: tick 0.1, lot 0.0001.
    pub(crate) fn btc() -> Instrument {
        Instrument {
            symbol: Symbol::parse(b"BTCUSDT").expect("a name"),
            tick: Grid { step: 1, scale: 1 },
            lot: Grid { step: 1, scale: 4 },
            min_lots: Lots(1),
            max_lots: Lots(12_000_000),
            min_notional: Quote::usdt(5),
            buy_band: Rate::bps(500),
            sell_band: Rate::bps(500),
            orders_max: 200,
            leverage_max: 125,
            funding_hours: 8,
            status: InstrumentStatus::Online,
        }
    }

    /// The rules of BTCUSDT under another name.
    pub(crate) fn named(symbol: &str) -> Instrument {
        Instrument { symbol: Symbol::parse(symbol.as_bytes()).expect("a name"), ..btc() }
    }
}
