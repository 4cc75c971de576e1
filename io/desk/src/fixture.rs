//! What the tests of this crate begin with.

use keel_core::decimal::Grid;
use keel_core::instrument::{Instrument, InstrumentStatus, Symbol};
use keel_core::units::{Lots, Quote, Rate};

/// BTCUSDT: a tick of 0.1, a lot of 0.0001.
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
