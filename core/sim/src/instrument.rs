//! Instrument: the rules of one USDT-margined perpetual contract, and the arithmetic of its grids.
//!
//! A price grid and a size grid are accepted only when one tick times one lot is a whole number of
//! 1e-8 USDT. Every fill's value is then exact in [`Quote`], and so is every entry value.

use keel_core::decimal::{Grid, POW10};
use keel_core::units::{E8, Lots, Price, Quote, Rate, Ticks};

/// The place of an instrument in its venue, from 0 in the order of listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstrumentId(pub u16);

impl InstrumentId {
    /// The place in arrays.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// The contract's trading rules, as `market/instruments` and `market/position-tier` state them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// The venue's name of the contract, such as `BTCUSDT`.
    pub symbol: String,
    /// The coin that is traded, such as `BTC`.
    pub base: String,
    /// Tick and lot.
    pub grids: Grids,
    /// The smallest order.
    pub size_min: Lots,
    /// The largest limit order.
    pub limit_size_max: Lots,
    /// The largest market order.
    pub market_size_max: Lots,
    /// The smallest value of an order that opens.
    pub notional_min: Quote,
    /// The price that the band lies around.
    pub band_reference: BandReference,
    /// How far above the reference price a buy may be, as a share of it.
    pub buy_band: Rate,
    /// How far below the reference price a sell may be, as a share of it.
    pub sell_band: Rate,
    /// Mark-up on the taker rate when the cost of an open order is frozen.
    pub fee_up: Rate,
    /// The published `openCostUpRatio`; it is stated to clients and enters no arithmetic here.
    pub open_cost_up: Rate,
    /// The maker rate of an account without a tier of its own.
    pub maker: Rate,
    /// The taker rate of an account without a tier of its own.
    pub taker: Rate,
    /// What a liquidation costs as a share of the value that is closed. It is the same for all
    /// tiers of fees, as the venue documents one figure (0.06%) and no discount on it.
    pub liquidation_fee: Rate,
    /// The lowest leverage that may be set; at least 1.
    pub leverage_min: u32,
    /// The highest leverage that may be set.
    pub leverage_max: u32,
    /// Position tiers, ascending and without holes.
    pub tiers: Vec<Tier>,
    /// Hours between two fundings; a divisor of 24.
    pub fund_interval_hours: u32,
    /// The lowest funding rate.
    pub fund_rate_min: Rate,
    /// The highest funding rate.
    pub fund_rate_max: Rate,
    /// Open orders that one account may have in this contract.
    pub symbol_orders_max: u32,
    /// Open orders that one account may have in all contracts.
    pub product_orders_max: u32,
    /// Contracts in which one account may hold a position.
    pub positions_max: u32,
    /// Share of the platform's open interest that one user may hold; stated, not enforced.
    pub position_share_max: Rate,
    /// When the contract was listed, in milliseconds since 1970.
    pub launched_ms: i64,
    /// Whether it trades.
    pub status: Status,
}

impl Rules {
    /// BTCUSDT as seen on the venue in 2025 and 2026.
    pub fn btcusdt() -> Self {
        Self {
            symbol: "BTCUSDT".into(),
            base: "BTC".into(),
            grids: Grids { price: Grid { step: 1, scale: 1 }, size: Grid { step: 1, scale: 4 } },
            size_min: Lots(1),
            limit_size_max: Lots(12_000_000),
            market_size_max: Lots(2_200_000),
            tiers: tiers(&[
                (150_000, 40, 125),
                (900_000, 50, 100),
                (4_000_000, 100, 50),
                (10_000_000, 200, 25),
                (20_000_000, 250, 20),
                (40_000_000, 500, 10),
                (80_000_000, 1_000, 5),
                (150_000_000, 1_250, 4),
                (300_000_000, 1_500, 3),
                (500_000_000, 2_500, 2),
            ]),
            leverage_max: 125,
            launched_ms: 1_589_155_200_000,
            ..Self::common()
        }
    }

    /// ETHUSDT as seen on the venue in 2025 and 2026.
    pub fn ethusdt() -> Self {
        Self {
            symbol: "ETHUSDT".into(),
            base: "ETH".into(),
            grids: Grids { price: Grid { step: 1, scale: 2 }, size: Grid { step: 1, scale: 2 } },
            size_min: Lots(1),
            limit_size_max: Lots(1_900_000),
            market_size_max: Lots(420_000),
            tiers: tiers(&[
                (150_000, 50, 100),
                (600_000, 65, 75),
                (3_000_000, 100, 50),
                (8_000_000, 200, 25),
                (15_000_000, 250, 20),
                (30_000_000, 500, 10),
                (60_000_000, 1_000, 5),
                (120_000_000, 1_500, 3),
                (250_000_000, 2_500, 2),
            ]),
            leverage_max: 100,
            launched_ms: 1_589_155_200_000,
            ..Self::common()
        }
    }

    fn common() -> Self {
        Self {
            symbol: String::new(),
            base: String::new(),
            grids: Grids { price: Grid { step: 1, scale: 2 }, size: Grid { step: 1, scale: 2 } },
            size_min: Lots(1),
            limit_size_max: SIZE_MAX,
            market_size_max: SIZE_MAX,
            notional_min: Quote::usdt(5),
            band_reference: BandReference::Mark,
            buy_band: Rate::bps(500),
            sell_band: Rate::bps(500),
            fee_up: Rate::bps(50),
            open_cost_up: Rate::bps(100),
            maker: Rate::bps(2),
            taker: Rate::bps(6),
            liquidation_fee: Rate::bps(6),
            leverage_min: 1,
            leverage_max: 1,
            tiers: Vec::new(),
            fund_interval_hours: 8,
            fund_rate_min: Rate::bps(-30),
            fund_rate_max: Rate::bps(30),
            symbol_orders_max: 200,
            product_orders_max: 400,
            positions_max: 150,
            position_share_max: Rate::bps(500),
            launched_ms: 0,
            status: Status::Online,
        }
    }

    /// Whether these rules can be traded by.
    ///
    /// # Errors
    /// The first [`RulesError`] found.
    pub fn check(&self) -> Result<(), RulesError> {
        self.grids.check()?;
        if self.symbol.is_empty() || self.base.is_empty() {
            return Err(RulesError::Name);
        }
        let ascending = self.tiers.windows(2).all(|pair| pair[0].end == pair[1].start);
        let sound =
            self.tiers.iter().all(|t| t.start < t.end && t.leverage_max >= 1 && t.mmr.0 > 0);
        if !(ascending && sound && self.tiers.first().is_some_and(|t| t.start.is_zero())) {
            return Err(RulesError::Tiers);
        }
        if self.fund_interval_hours == 0 || 24 % self.fund_interval_hours != 0 {
            return Err(RulesError::FundInterval);
        }
        if self.leverage_min == 0 || self.leverage_max < self.leverage_min {
            return Err(RulesError::Leverage);
        }
        let sizes = self.size_min.0 > 0
            && self.limit_size_max >= self.size_min
            && self.market_size_max >= self.size_min
            && self.limit_size_max.max(self.market_size_max) <= SIZE_MAX;
        if !sizes || self.notional_min.0 < 0 {
            return Err(RulesError::Size);
        }
        let bands = [self.buy_band, self.sell_band];
        if bands.iter().any(|band| band.0 <= 0 || band.0 > E8) {
            return Err(RulesError::Band);
        }
        let fees = [self.maker, self.taker].iter().all(|fee| (-FEE_MAX..=FEE_MAX).contains(fee));
        let marked_up = (0..=E8).contains(&self.fee_up.0)
            && (Rate::ZERO..=FEE_MAX).contains(&self.liquidation_fee);
        let funding =
            [self.fund_rate_min, self.fund_rate_max].iter().all(|r| (-E8..=E8).contains(&r.0));
        if !(fees && marked_up && funding && self.fund_rate_min <= self.fund_rate_max) {
            return Err(RulesError::Rate);
        }
        Ok(())
    }

    /// Whether `mark` and `index` can be traded around under these rules.
    ///
    /// # Errors
    /// [`RulesError::Mark`].
    pub fn check_marks(&self, mark: Price, index: Price) -> Result<(), RulesError> {
        let largest = self.limit_size_max.max(self.market_size_max);
        for price in [mark, index] {
            let value =
                i128::from(price.0) * i128::from(largest.0) * i128::from(self.grids.size.step)
                    / i128::from(POW10[usize::from(self.grids.size.scale)]);
            if price.0 <= 0 || price > PRICE_MAX || value > i128::from(VALUE_MAX.0) {
                return Err(RulesError::Mark);
            }
        }
        Ok(())
    }

    /// What an order is worth in 1e-8 USDT, whatever its price; beyond [`Quote`] perhaps.
    pub(crate) fn worth(&self, price: Ticks, size: Lots) -> i128 {
        let product = i128::from(price.0) * i128::from(size.0);
        product.saturating_mul(i128::from(self.grids.quantum()))
    }

    /// The tier of a position worth `value`; the last one for anything larger.
    ///
    /// # Panics
    /// When the rules have no tier; [`Rules::check`] refuses such rules.
    pub fn tier(&self, value: Quote) -> &Tier {
        let value = value.abs();
        self.tiers
            .iter()
            .find(|tier| value <= tier.end)
            .or(self.tiers.last())
            .expect("checked rules have a tier")
    }
}

/// Why rules cannot be traded by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RulesError {
    /// Symbol or base coin is empty, or the symbol is listed already.
    Name,
    /// A step is not positive, or one tick times one lot is no whole number of 1e-8 USDT.
    Grid,
    /// Tiers are missing, not ascending, have holes, or do not start at 0.
    Tiers,
    /// The funding interval does not divide a day.
    FundInterval,
    /// The leverage range is empty.
    Leverage,
    /// A size or value limit is out of range.
    Size,
    /// A price band is not a share between 0 and 1.
    Band,
    /// A fee is above [`FEE_MAX`], a mark-up or a funding rate is no share, or their range is
    /// empty.
    Rate,
    /// A position that is held does not lie on the new size grid.
    PositionOffGrid,
    /// A mark or index is not positive, or so high that the largest order or a position would be
    /// worth more than [`VALUE_MAX`]; or a funding rate is no share.
    Mark,
}

/// Tick and lot of one contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grids {
    /// The tick.
    pub price: Grid,
    /// The lot, in the base coin.
    pub size: Grid,
}

impl Grids {
    fn check(&self) -> Result<(), RulesError> {
        let sound = |step: i64| (1..=STEP_MAX).contains(&step);
        let exact = u32::from(self.price.scale) + u32::from(self.size.scale) <= 8;
        if exact && sound(self.price.step) && sound(self.size.step) {
            return Ok(());
        }
        Err(RulesError::Grid)
    }

    /// What one lot at one tick is worth, in 1e-8 USDT.
    pub const fn quantum(&self) -> i64 {
        let scale = 8 - self.price.scale as usize - self.size.scale as usize;
        self.price.step * self.size.step * POW10[scale]
    }

    /// What `lots` at `price` are worth; exact.
    ///
    /// # Panics
    /// When the value leaves the range of [`Quote`].
    pub fn value(&self, price: Ticks, lots: Lots) -> Quote {
        let value = i128::from(price.0) * i128::from(lots.0) * i128::from(self.quantum());
        Quote(i64::try_from(value).expect("value within ±92 billion USDT"))
    }

    /// What `lots` at a price off the grid are worth, rounded down.
    ///
    /// # Panics
    /// When the value leaves the range of [`Quote`].
    pub fn value_at(&self, price: Price, lots: Lots) -> Quote {
        let units = i128::from(price.0) * i128::from(lots.0) * i128::from(self.size.step);
        let value = units.div_euclid(i128::from(POW10[usize::from(self.size.scale)]));
        Quote(i64::try_from(value).expect("value within ±92 billion USDT"))
    }

    /// The most lots that are worth no more than `value` at a price off the grid.
    pub fn lots_within(&self, price: Price, value: Quote) -> Lots {
        let scale = i128::from(POW10[usize::from(self.size.scale)]);
        let lot = i128::from(price.0) * i128::from(self.size.step);
        Lots(i64::try_from(i128::from(value.0) * scale / lot).unwrap_or(i64::MAX))
    }

    /// The price of `ticks` in 1e-8 USDT.
    pub const fn price_of(&self, ticks: Ticks) -> Price {
        Price(ticks.0 * self.price.step * POW10[8 - self.price.scale as usize])
    }

    /// The size of `lots` in 1e-8 of the base coin.
    pub const fn size_e8(&self, lots: Lots) -> i64 {
        lots.0 * self.size.step * POW10[8 - self.size.scale as usize]
    }

    /// The highest tick that is not above `price`.
    pub const fn floor_to_tick(&self, price: Price) -> Ticks {
        Ticks(price.0.div_euclid(self.price_of(Ticks(1)).0))
    }

    /// The lowest tick that is not below `price`.
    pub const fn ceil_to_tick(&self, price: Price) -> Ticks {
        Ticks(-(-price.0).div_euclid(self.price_of(Ticks(1)).0))
    }

    /// The average price of `lots` that were worth `value`, rounded toward zero; zero of no lots.
    pub fn average(&self, value: i128, lots: Lots) -> Price {
        if lots.is_zero() {
            return Price::ZERO;
        }
        let numerator = value * i128::from(POW10[usize::from(self.size.scale)]);
        let price = numerator / (i128::from(lots.0) * i128::from(self.size.step));
        Price(i64::try_from(price).expect("an average lies between prices"))
    }
}

/// One step of the table of positions: the larger the position, the lower its leverage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tier {
    /// Position values above this one belong here (the first tier includes 0).
    pub start: Quote,
    /// Position values up to this one belong here.
    pub end: Quote,
    /// Maintenance margin as a share of the position's value.
    pub mmr: Rate,
    /// The highest leverage.
    pub leverage_max: u32,
}

/// The price that the band of a contract lies around. The documentation says "market price".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BandReference {
    /// The mark.
    Mark,
    /// The last print.
    Last,
}

/// Whether a contract trades.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Announced, not trading yet.
    Listed,
    /// Trading.
    Online,
    /// No new positions; closing is allowed.
    LimitOpen,
    /// Maintenance: nothing can be placed, cancels work.
    Maintain,
    /// Removed: nothing can be placed.
    Offline,
    /// Not open to keys; only the website trades it.
    RestrictedApi,
}

impl Status {
    /// Whether orders can be worked at all.
    pub const fn trades(self) -> bool {
        match self {
            Self::Online | Self::LimitOpen => true,
            Self::Listed | Self::Maintain | Self::Offline | Self::RestrictedApi => false,
        }
    }

    /// The word on the V3 wire.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Listed => "listed",
            Self::Online => "online",
            Self::LimitOpen => "limit_open",
            Self::Maintain => "maintain",
            Self::Offline => "offline",
            Self::RestrictedApi => "restrictedAPI",
        }
    }
}

/// The most lots that a rule may allow in one order.
pub const SIZE_MAX: Lots = Lots(1_000_000_000_000);

/// The value that an order or a position may have at the mark. Some forty of them fit in [`Quote`].
pub const VALUE_MAX: Quote = Quote::usdt(2_000_000_000);
/// The highest mark.
pub const PRICE_MAX: Price = Price(1_000_000_000 * E8);
/// The largest step of a grid, in units of its last decimal.
pub const STEP_MAX: i64 = 10_000;
/// The highest fee, and the highest rebate, as a share.
pub const FEE_MAX: Rate = Rate::bps(100);

/// Tiers from rows of (end in whole USDT, maintenance rate in bps, highest leverage).
fn tiers(rows: &[(i64, i64, u32)]) -> Vec<Tier> {
    let mut start = Quote::ZERO;
    rows.iter()
        .map(|&(end, bps, leverage_max)| {
            let tier = Tier { start, end: Quote::usdt(end), mmr: Rate::bps(bps), leverage_max };
            start = tier.end;
            tier
        })
        .collect()
}
