//! Instruments: what the venue's rules say of a contract, in integers.

use crate::decimal::Grid;
use crate::layout::{Field, LayoutError, Reader, Writer};
use crate::units::{E8, Lots, Price, Quote, Rate, Signal, Ticks};
use crate::{slot_enum, slot_struct};

/// The most instruments that one engine trades.
pub const INSTRUMENTS_MAX: usize = 1024;

/// An instrument's place in the engine's arrays, given in the order of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstrumentId(pub u16);

impl InstrumentId {
    /// Stands for every instrument in events and commands that concern all.
    pub const ALL: Self = Self(u16::MAX);

    /// The place in arrays over instruments.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// A contract's name as the venue writes it, such as `BTCUSDT`: 1 to 16 of `A-Z 0-9 _`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Symbol([u8; 16]);

impl Symbol {
    /// Reads a name.
    ///
    /// Returns `None` for an empty or longer text or any other character.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let allowed =
            |byte: &u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || *byte == b'_';
        if text.is_empty() || text.len() > 16 || !text.iter().all(allowed) {
            return None;
        }
        let mut name = [0; 16];
        name[..text.len()].copy_from_slice(text);
        Some(Self(name))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        let len = self.0.iter().position(|&byte| byte == 0).unwrap_or(16);
        core::str::from_utf8(&self.0[..len]).unwrap_or_default()
    }
}

impl core::fmt::Display for Symbol {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.as_str())
    }
}

slot_enum! {
    /// What the venue lets one do with an instrument (`status` of V3 instruments).
    pub enum InstrumentStatus {
        /// `online`: everything.
        Online = 0 "online",
        /// `listed`: announced, not yet traded.
        Listed = 1 "listed",
        /// `limit_open`: positions may only shrink.
        LimitOpen = 2 "limit_open",
        /// `restrictedAPI`: no orders by API.
        RestrictedApi = 3 "restrictedAPI",
        /// `offline`, or any word that we do not know.
        Offline = 4 "offline",
    }
}

slot_struct! {
    /// The trading rules of one contract.
    pub struct Instrument {
        /// The venue's name.
        pub symbol: Symbol,
        /// The price grid: one step is one tick.
        pub tick: Grid,
        /// The size grid: one step is one lot, in base coin.
        pub lot: Grid,
        /// Smallest order.
        pub min_lots: Lots,
        /// Largest limit order.
        pub max_lots: Lots,
        /// Smallest order value; orders that only reduce are exempt.
        pub min_notional: Quote,
        /// How far above the reference a buy may be priced, as a share of it.
        pub buy_band: Rate,
        /// How far below the reference a sell may be priced, as a share of it.
        pub sell_band: Rate,
        /// Most open orders on this contract.
        pub orders_max: u16,
        /// Highest leverage.
        pub leverage_max: u16,
        /// Hours between funding settlements.
        pub funding_hours: u8,
        /// What may be done now.
        pub status: InstrumentStatus,
    }
}

/// Why a contract's rules cannot be traded on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RulesError {
    /// Tick times lot is no whole number of 1e-8 USDT, or a grid has more than 8 decimals.
    Granularity,
    /// A size limit is not positive, or the smallest is above the largest.
    Sizes,
}

impl Instrument {
    /// Checks that money on this contract is exact: every tick × lot is whole 1e-8 USDT.
    ///
    /// # Errors
    /// See [`RulesError`].
    pub fn checked(self) -> Result<Self, RulesError> {
        let scale = u32::from(self.tick.scale) + u32::from(self.lot.scale);
        let fine = self.tick.scale > 8 || self.lot.scale > 8;
        let step = i128::from(self.tick.step) * i128::from(self.lot.step);
        if fine || (step * i128::from(E8)) % 10i128.pow(scale) != 0 {
            return Err(RulesError::Granularity);
        }
        if self.min_lots.0 <= 0 || self.max_lots < self.min_lots {
            return Err(RulesError::Sizes);
        }
        Ok(self)
    }

    /// What one lot is worth a tick, in 1e-8 USDT: 1000 for BTCUSDT (0.1 × 0.0001).
    pub const fn quote_per_tick_lot(&self) -> i64 {
        let step = self.tick.step as i128 * self.lot.step as i128 * E8 as i128;
        let divisor = crate::decimal::POW10[self.tick.scale as usize] as i128
            * crate::decimal::POW10[self.lot.scale as usize] as i128;
        (step / divisor) as i64
    }

    /// The value of `lots` at `price`, exact. Negative for negative lots.
    ///
    /// # Panics
    /// Beyond ±92 billion USDT, which the limits forbid long before.
    pub fn notional(&self, price: Ticks, lots: Lots) -> Quote {
        let value =
            i128::from(price.0) * i128::from(lots.0) * i128::from(self.quote_per_tick_lot());
        Quote(i64::try_from(value).expect("notional within ±92 billion USDT"))
    }

    /// One tick in 1e-8 USDT.
    pub const fn tick_e8(&self) -> i64 {
        self.tick.step * crate::decimal::POW10[8 - self.tick.scale as usize]
    }

    /// `ticks` as a price in 1e-8 USDT.
    pub const fn price(&self, ticks: Ticks) -> Price {
        Price(ticks.0 * self.tick_e8())
    }

    /// A price off the grid, such as mark, in ticks with fractions.
    pub fn ticks_of(&self, price: Price) -> Signal {
        Signal::from_num(price.0) / Signal::from_num(self.tick_e8())
    }

    /// The value of `lots` at an off-grid price such as mark, rounded toward zero.
    pub fn value_at(&self, price: Price, lots: Lots) -> Quote {
        let divisor = crate::decimal::POW10[usize::from(self.lot.scale)];
        // Divisions of 128 bits are slow, and only very large positions need one.
        let narrow = price.0.checked_mul(lots.0).and_then(|value| value.checked_mul(self.lot.step));
        if let Some(value) = narrow {
            return Quote(value / divisor);
        }
        let value = i128::from(price.0) * i128::from(lots.0) * i128::from(self.lot.step)
            / i128::from(divisor);
        Quote(i64::try_from(value).expect("value within ±92 billion USDT"))
    }
}

impl Field for InstrumentId {
    const SIZE: usize = 2;
    fn put(&self, to: &mut Writer<'_>) {
        self.0.put(to);
    }
    fn take(from: &mut Reader<'_>) -> Result<Self, LayoutError> {
        Ok(Self(u16::take(from)?))
    }
}

impl Field for Symbol {
    const SIZE: usize = 16;
    fn put(&self, to: &mut Writer<'_>) {
        self.0.put(to);
    }
    fn take(from: &mut Reader<'_>) -> Result<Self, LayoutError> {
        let bytes = <[u8; 16]>::take(from)?;
        let len = bytes.iter().position(|&byte| byte == 0).unwrap_or(16);
        if bytes[len..].iter().any(|&byte| byte != 0) {
            return Err(LayoutError::Value);
        }
        Self::parse(&bytes[..len]).ok_or(LayoutError::Value)
    }
}

impl Field for Grid {
    const SIZE: usize = 9;
    fn put(&self, to: &mut Writer<'_>) {
        self.step.put(to);
        self.scale.put(to);
    }
    fn take(from: &mut Reader<'_>) -> Result<Self, LayoutError> {
        let grid = Self { step: i64::take(from)?, scale: u8::take(from)? };
        if grid.step <= 0 || grid.scale > crate::decimal::SCALE_MAX {
            return Err(LayoutError::Value);
        }
        Ok(grid)
    }
}

/// The rules of BTCUSDT as the venue told them in September 2026: what the tests of every crate
/// begin with.
///
/// # Panics
/// Never: the name is one.
pub fn btcusdt() -> Instrument {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notional_is_exact() {
        let btc = btcusdt().checked().expect("good rules");
        assert_eq!(btc.quote_per_tick_lot(), 1000);
        assert_eq!(btc.notional(Ticks(772_000), Lots(200)), Quote::usdt(1544));
        assert_eq!(btc.value_at(btc.price(Ticks(772_000)), Lots(-200)), Quote::usdt(-1544));
    }

    #[test]
    fn rules_too_fine_for_exact_money_are_refused() {
        let fine = Instrument { lot: Grid { step: 1, scale: 8 }, ..btcusdt() };
        assert_eq!(fine.checked(), Err(RulesError::Granularity));
        let empty = Instrument { max_lots: Lots(0), ..btcusdt() };
        assert_eq!(empty.checked(), Err(RulesError::Sizes));
    }

    #[test]
    fn a_symbol_is_plain_capitals_and_digits() {
        assert_eq!(Symbol::parse(b"BTCUSDT").map(|s| s.as_str().len()), Some(7));
        for bad in [&b""[..], b"btcusdt", b"BTC/USDT", b"../../etc/passwd", b"ABCDEFGHIJKLMNOPQ"] {
            assert_eq!(Symbol::parse(bad), None);
        }
    }
}
