//! Parameters: one table of every number that the strategy, the orders and the risk limits go by.
//!
//! The table is the source of the configuration's keys, of its manual and schema, and of what may
//! be changed at run time. A value is an `i64` in the unit of its row and arrives as a
//! [`Parameter`](crate::event::Parameter) event, so that a replay sees it.

use crate::decimal::{DecimalError, Grid};
use crate::planted::{Defect, Planted};
use crate::regime::{REGIMES, Regime};
use crate::units::{E8, MILLIS, Quote, Rate, SECONDS};

/// How a value is written in the configuration and what one unit of its `i64` is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A fraction such as 0.03; stored in 1e-8.
    Fraction,
    /// Basis points such as 1.5; stored as a fraction in 1e-8.
    Bps,
    /// A plain factor such as 1.25; stored in 1e-8.
    Factor,
    /// Seconds, decimals allowed; stored in nanoseconds.
    Seconds,
    /// Milliseconds, decimals allowed; stored in nanoseconds.
    Millis,
    /// A whole number.
    Count,
    /// USDT; stored in 1e-8.
    Usdt,
    /// One of the words given, stored by its place.
    Word(&'static [&'static str]),
}

impl Unit {
    /// The smallest step that it keeps.
    pub const fn grid(self) -> Grid {
        let scale = match self {
            Self::Fraction | Self::Factor | Self::Usdt => 8,
            // A basis point is 1e-4, a parameter counts 1e-8.
            Self::Bps => 4,
            Self::Seconds => 9,
            Self::Millis => 6,
            Self::Count | Self::Word(_) => 0,
        };
        Grid { step: 1, scale }
    }

    /// A value from its text: a decimal number, or one of the words.
    ///
    /// # Errors
    /// As [`Grid::steps`], and [`DecimalError::OffGrid`] for more
    /// decimals than the unit keeps or for another word.
    pub fn parse(self, text: &[u8]) -> Result<i64, DecimalError> {
        if let Self::Word(words) = self {
            let place = words.iter().position(|word| word.as_bytes() == text);
            return place.map(|place| place as i64).ok_or(DecimalError::OffGrid);
        }
        self.grid().steps(text)
    }
}

/// One row: a key of the configuration.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The table of the configuration that it stands in.
    pub section: &'static str,
    /// Its name there.
    pub name: &'static str,
    /// Its unit.
    pub unit: Unit,
    /// Five values, one for each regime, where true; else one.
    pub by_regime: bool,
    /// Where its values begin in [`Params`].
    pub at: usize,
    /// Values in the profile `wide`.
    pub wide: &'static [i64],
    /// Values in the profile `touch`.
    pub touch: &'static [i64],
    /// Smallest value allowed.
    pub min: i64,
    /// Largest value allowed.
    pub max: i64,
    /// What it does and why.
    pub doc: &'static str,
}

/// Types that a value can be read as.
trait Value {
    fn of(value: i64) -> Self;
}

impl Value for Rate {
    fn of(value: i64) -> Self {
        Self(value)
    }
}
impl Value for Quote {
    fn of(value: i64) -> Self {
        Self(value)
    }
}
impl Value for u64 {
    fn of(value: i64) -> Self {
        value.unsigned_abs()
    }
}

macro_rules! count {
    (by_regime) => {
        REGIMES
    };
    (one) => {
        1
    };
}

macro_rules! accessor {
    (one $(#[$doc:meta])* $name:ident $type:ty) => {
        $(#[$doc])*
        pub fn $name(&self) -> $type {
            <$type as Value>::of(self.0[at::$name])
        }
    };
    (by_regime $(#[$doc:meta])* $name:ident $type:ty) => {
        $(#[$doc])*
        pub fn $name(&self, regime: Regime) -> $type {
            <$type as Value>::of(self.0[at::$name + regime as usize])
        }
    };
}

macro_rules! params {
    ($($section:literal { $(
        $(#[doc = $doc:literal])+
        $name:ident: $type:ty, $unit:expr, $arity:ident,
        $wide:expr, $touch:expr, $min:expr, $max:expr;
    )* })*) => {
        /// Where each key's values begin.
        #[allow(non_upper_case_globals, missing_docs)]
        pub mod at {
            use super::REGIMES;
            params_at!(0; $($($name $arity,)*)*);
        }

        /// Every key, in the order of its values.
        pub const TABLE: &[Row] = &[$($(Row {
            section: $section,
            name: stringify!($name),
            unit: $unit,
            by_regime: count!($arity) == REGIMES,
            at: at::$name,
            wide: &$wide,
            touch: &$touch,
            min: $min,
            max: $max,
            doc: concat!($($doc, "\n",)+),
        },)*)*];

        impl Params {
            $($(accessor!($arity $(#[doc = $doc])+ $name $type);)*)*
        }
    };
}

macro_rules! params_at {
    ($at:expr; ) => {
        pub(super) const END: usize = $at;
    };
    ($at:expr; $name:ident $arity:ident, $($rest:tt)*) => {
        pub const $name: usize = $at;
        params_at!($name + super::count!($arity); $($rest)*);
    };
}
use count;

/// `tenths` of a basis point as a fraction in 1e-8.
const fn bps(tenths: i64) -> i64 {
    tenths * 1_000
}
const fn secs(seconds: i64) -> i64 {
    seconds * SECONDS as i64
}
const fn ms(millis: i64) -> i64 {
    millis * MILLIS as i64
}
/// A fraction or factor given in ten-thousandths.
const fn e4(ten_thousandths: i64) -> i64 {
    ten_thousandths * 10_000
}

params! {
    "strategy" {
        /// Sides to quote.
        sides: u64, Unit::Word(&["both", "buy_only", "sell_only"]), one, [0], [0], 0, 2;
        /// One-minute bars of the exponential moving average.
        ema_period: u64, Unit::Count, one, [50], [50], 2, 1_000;
        /// One-minute bars of the average true range.
        atr_period: u64, Unit::Count, one, [14], [14], 2, 1_000;
        /// Band (average true range over close) from which on the market is a shock; half of it is
        /// high volatility.
        high_vol_band_pct: Rate, Unit::Fraction, one, [e4(80)], [e4(80)], e4(1), e4(1_000);
        /// Drift of the mid over 30 s that is a shock, at most.
        shock_drift_30s_pct: Rate, Unit::Fraction, one, [e4(100)], [e4(100)], e4(1), e4(1_000);
        /// Drift over 30 s that is a shock, as a multiple of the band.
        shock_drift_atr_multiplier: Rate, Unit::Factor, one,
            [e4(12_500)], [e4(12_500)], e4(1_000), e4(100_000);
        /// How far above or below its average the mid must be for a trend.
        trend_eps_pct: Rate, Unit::Fraction, one, [e4(10)], [e4(10)], 0, e4(500);
        /// How long a new regime must hold before it takes over.
        regime_hold_s: u64, Unit::Seconds, one, [secs(3)], [secs(3)], 0, secs(600);
        /// Full spread at no turnover.
        spread_min: Rate, Unit::Fraction, by_regime,
            [e4(25), e4(30), e4(35), e4(40), e4(80)],
            [6_000, 7_200, 7_200, 12_000, 24_000], 100, e4(2_000);
        /// Full spread at the turnover cap.
        spread_max: Rate, Unit::Fraction, by_regime,
            [e4(45), e4(55), e4(80), e4(80), e4(200)],
            [60_000, 72_000, 72_000, 120_000, 240_000], 100, e4(2_000);
        /// Levels a side at the turnover cap.
        levels_min: u64, Unit::Count, by_regime, [2, 2, 2, 1, 1], [1, 1, 1, 1, 1], 1, 8;
        /// Levels a side at no turnover.
        levels_max: u64, Unit::Count, by_regime, [4, 3, 3, 3, 2], [1, 1, 1, 1, 1], 1, 8;
        /// Deadline of the next evaluation when nothing happens.
        refresh_s: u64, Unit::Seconds, by_regime,
            [secs(90), secs(70), secs(60), secs(100), secs(120)],
            [secs(90), secs(70), secs(60), secs(100), secs(120)], secs(1), secs(3_600);
        /// Size of one order at the turnover cap, as a share of equity.
        size_pct_min: Rate, Unit::Fraction, by_regime,
            [e4(8), e4(6), e4(5), e4(5), e4(3)], [e4(8), e4(6), e4(5), e4(5), e4(3)],
            1_000, e4(1_000);
        /// Size of one order at no turnover, as a share of equity.
        size_pct_max: Rate, Unit::Fraction, by_regime,
            [e4(12), e4(10), e4(8), e4(8), e4(5)], [e4(12), e4(10), e4(8), e4(8), e4(5)],
            1_000, e4(1_000);
        /// Share of the quoted spread that fills are expected to earn.
        fill_factor: Rate, Unit::Fraction, by_regime,
            [e4(4_500), e4(3_500), e4(3_500), e4(3_500), e4(2_500)],
            [E8, E8, E8, E8, E8], e4(100), E8;
        /// How strongly inventory skews the quotes.
        skew_factor: Rate, Unit::Factor, by_regime,
            [e4(5_000), e4(8_000), e4(8_000), e4(5_000), e4(5_000)],
            [e4(5_000), e4(8_000), e4(8_000), e4(5_000), e4(5_000)], 0, e4(100_000);
        /// Net base to hold, signed, as a share of equity.
        target_base_pct: Rate, Unit::Fraction, by_regime,
            [0, 0, 0, 0, 0], [0, 0, 0, 0, 0], -e4(2_500), e4(2_500);
        /// Turnover a day, as a multiple of equity, at which spread is widest and size smallest;
        /// soft limit.
        turnover_cap_x: Rate, Unit::Factor, one, [3 * E8], [25 * E8], e4(1_000), 1_000 * E8;
        /// Slippage to cover; 0 for post-only quotes.
        slippage_est_pct: Rate, Unit::Fraction, one, [0], [0], 0, e4(100);
        /// Weight of the newest drift in its moving average, once a second.
        drift_ewma_alpha: Rate, Unit::Fraction, one, [e4(2_500)], [e4(2_500)], e4(1), E8;
        /// Share of the drift's moving average that counts as a cost.
        drift_penalty_multiplier: Rate, Unit::Factor, one, [E8], [0], 0, 10 * E8;
        /// Cost added for each multiple of equity traded beyond the cap.
        turnover_penalty: Rate, Unit::Fraction, one, [e4(10)], [e4(10)], 0, e4(1_000);
        /// Share of half the band added to the spread's floor.
        vol_penalty_multiplier: Rate, Unit::Factor, one, [e4(2_000)], [0], 0, 10 * E8;
        /// How long a fill is expected to be held, for its share of funding.
        holding_time_s: u64, Unit::Seconds, one, [secs(1_800)], [secs(60)], secs(1), secs(86_400);
        /// Expected edge below which a side is not quoted.
        min_net_edge_bps: Rate, Unit::Bps, one, [bps(10)], [bps(1)], 0, bps(1_000);
        /// Expected edge above which a side is quoted again.
        edge_resume_bps: Rate, Unit::Bps, one, [bps(40)], [bps(3)], 0, bps(1_000);
        /// How long the edge gate keeps its state after a flip.
        edge_state_hold_s: u64, Unit::Seconds, one, [secs(120)], [secs(120)], secs(1), secs(3_600);
        /// Weight of the prior against the fills seen, in fills.
        edge_prior_fills: u64, Unit::Count, one, [50], [50], 1, 10_000;
        /// Half-life of what fills have taught, in time.
        edge_half_life_s: u64, Unit::Seconds, one,
            [secs(1_800)], [secs(1_800)], secs(10), secs(86_400);
        /// How long the gate is shut before it sends one smallest order a side.
        edge_probe_after_s: u64, Unit::Seconds, one,
            [secs(900)], [secs(900)], secs(10), secs(86_400);
        /// Largest skew from inventory.
        inventory_skew_cap_pct: Rate, Unit::Fraction, one, [e4(30)], [e4(30)], 0, e4(500);
        /// Weight of the imbalance of the top five levels in the skew, as a share of half the
        /// spread.
        imbalance_weight: Rate, Unit::Factor, one, [e4(3_000)], [e4(3_000)], 0, E8;
        /// How much farther each level stands, as a share of half the spread.
        level_step: Rate, Unit::Factor, one, [e4(4_000)], [e4(4_000)], e4(100), 10 * E8;
        /// Nearest that a side may stand to the mid beyond half the market's spread.
        min_side_offset_bps: Rate, Unit::Bps, one, [bps(10)], [bps(2)], 0, bps(1_000);
        /// An order stays while its price is this share of its offset from the desired price, and
        /// one tick at least.
        requote_tolerance: Rate, Unit::Fraction, one, [e4(2_500)], [e4(7_500)], 0, E8;
        /// Which model says how wide to quote and how far to lean: by regime and turnover, or in
        /// closed form by volatility and the takers that were seen (docs/models.md). Read at start.
        model: u64, Unit::Word(&["regime", "glft"]), one, [0], [0], 0, 1;
        /// Aversion to risk of the model glft, a basis point and order: how strongly inventory and
        /// volatility count.
        glft_gamma: Rate, Unit::Factor, one, [e4(1_000)], [e4(1_000)], e4(1), 10 * E8;
        /// What the model glft is fitted to: so much of the newest time in which the book was seen.
        /// Read at start.
        glft_fit_window_s: u64, Unit::Seconds, one,
            [secs(1_800)], [secs(1_800)], secs(60), secs(86_400);
        /// Age of a fit beyond which the regime model quotes.
        glft_fit_age_max_s: u64, Unit::Seconds, one,
            [secs(600)], [secs(600)], secs(60), secs(86_400);
    }
    "risk" {
        /// Loss since the UTC day began, as a share of the equity then. Hard.
        max_daily_loss_pct_hard: Rate, Unit::Fraction, one, [e4(300)], [e4(300)], 1, e4(5_000);
        /// Loss over seven days. Hard.
        max_weekly_loss_pct_hard: Rate, Unit::Fraction, one, [e4(600)], [e4(600)], 1, e4(5_000);
        /// Fall from the high-water mark. Hard.
        max_drawdown_pct_hard: Rate, Unit::Fraction, one, [e4(500)], [e4(500)], 1, e4(5_000);
        /// Turnover a day, as a multiple of equity. Hard.
        max_daily_turnover_x_hard: Rate, Unit::Factor, one,
            [6 * E8], [50 * E8], e4(1_000), 1_000 * E8;
        /// Absolute net position as a share of equity. Soft.
        max_base_pct: Rate, Unit::Fraction, one, [e4(1_500)], [e4(1_500)], e4(1), 5 * E8;
        /// Absolute net position as a share of equity. Hard.
        max_base_pct_hard: Rate, Unit::Fraction, one, [e4(2_500)], [e4(2_500)], e4(1), 5 * E8;
        /// Worst-case position of one instrument.
        max_position_quote: Quote, Unit::Usdt, one,
            [2_000 * E8], [2_000 * E8], E8, 100_000_000 * E8;
        /// Value of one order.
        max_order_notional_quote: Quote, Unit::Usdt, one,
            [250 * E8], [250 * E8], E8, 10_000_000 * E8;
        /// Value of all open orders.
        max_total_notional_quote: Quote, Unit::Usdt, one,
            [1_000 * E8], [1_000 * E8], E8, 100_000_000 * E8;
        /// Leverage as set at the venue.
        max_leverage: u64, Unit::Count, one, [5], [5], 1, 125;
        /// Maintenance margin over equity; 1 is liquidation. Soft.
        margin_ratio_soft: Rate, Unit::Fraction, one, [e4(1_000)], [e4(1_000)], e4(1), e4(9_000);
        /// Maintenance margin over equity; 1 is liquidation. Hard.
        margin_ratio_hard: Rate, Unit::Fraction, one, [e4(2_000)], [e4(2_000)], e4(1), e4(9_000);
        /// Farthest that an order may be from mid, mark and the last good book.
        collar_bps: Rate, Unit::Bps, one, [bps(2_500)], [bps(2_500)], bps(1), bps(10_000);
        /// Clock offset beyond which no quotes rest.
        clock_offset_soft_ms: u64, Unit::Millis, one, [ms(500)], [ms(500)], ms(1), ms(30_000);
        /// Clock offset beyond which the program refuses to trade.
        clock_offset_hard_ms: u64, Unit::Millis, one, [ms(2_000)], [ms(2_000)], ms(1), ms(30_000);
        /// Confirmed drift of a position, as a share of the larger. Soft; unexplained drift is
        /// hard.
        position_drift_soft_pct: Rate, Unit::Fraction, one, [e4(500)], [e4(500)], 0, e4(5_000);
        /// Strategy cancels a minute and instrument; beyond it an episode begins.
        cancel_budget_per_min: u64, Unit::Count, one, [50], [50], 1, 6_000;
        /// Pause after a cancel episode.
        cancel_pause_s: u64, Unit::Seconds, one, [secs(120)], [secs(120)], secs(1), secs(3_600);
        /// The episode of a day that stops for good.
        cancel_episodes_hard: u64, Unit::Count, one, [3], [3], 1, 100;
        /// Venue rejects in a row. Soft.
        reject_streak_soft: u64, Unit::Count, one, [8], [8], 1, 1_000;
        /// Venue rejects in a row. Hard.
        reject_streak_hard: u64, Unit::Count, one, [20], [20], 1, 1_000;
        /// Orders of one instrument that may be live, in flight or unknown.
        max_active_executors: u64, Unit::Count, one, [10], [10], 1, 400;
        /// Orders of unknown outcome. Soft.
        max_unknown_orders: u64, Unit::Count, one, [2], [2], 0, 100;
        /// Age of an instrument's rules beyond which nothing is placed.
        rules_age_max_s: u64, Unit::Seconds, one, [secs(300)], [secs(300)], secs(10), secs(3_600);
        /// Without fee rates from the venue for this long: hard.
        fee_unresolved_hard_s: u64, Unit::Seconds, one,
            [secs(180)], [secs(180)], secs(1), secs(3_600);
        /// Age of fee rates beyond which the stop is hard.
        fee_age_hard_s: u64, Unit::Seconds, one, [secs(900)], [secs(900)], secs(1), secs(86_400);
        /// Age of the account's settings beyond which nothing is quoted: three readings missed.
        settings_age_max_s: u64, Unit::Seconds, one,
            [secs(1_800)], [secs(1_800)], secs(1), secs(86_400);
        /// Age of the newest complete reading of open orders, or of positions, beyond which nothing
        /// is quoted: five readings missed.
        reconcile_light_age_max_s: u64, Unit::Seconds, one,
            [secs(30)], [secs(30)], secs(2), secs(3_600);
        /// The same for executions, the account and the bills.
        reconcile_full_age_max_s: u64, Unit::Seconds, one,
            [secs(600)], [secs(600)], secs(20), secs(86_400);
        /// Silence of the books topic.
        book_silence_ms: u64, Unit::Millis, one, [ms(1_500)], [ms(1_500)], ms(100), ms(60_000);
        /// Silence of the ticker topic.
        ticker_silence_ms: u64, Unit::Millis, one, [ms(5_000)], [ms(5_000)], ms(100), ms(60_000);
        /// Silence of the private stream.
        private_silence_ms: u64, Unit::Millis, one,
            [ms(12_000)], [ms(12_000)], ms(100), ms(120_000);
        /// Age of records not yet durable beyond which no quotes rest.
        journal_lag_ms: u64, Unit::Millis, one, [ms(1_000)], [ms(1_000)], ms(10), ms(10_000);
        /// How long every cause must be clear before a pause ends.
        soft_pause_hold_s: u64, Unit::Seconds, one, [secs(2)], [secs(1)], 0, secs(3_600);
        /// Executions of one side and instrument within ten seconds that pause it.
        fills_per_10s_max: u64, Unit::Count, one, [20], [40], 1, 100_000;
        /// Post-only orders executed as taker in a day that pause.
        taker_fills_soft: u64, Unit::Count, one, [3], [3], 1, 100;
        /// Orders of somebody else on this account: cancel them, or stop.
        foreign_orders: u64, Unit::Word(&["cancel", "halt"]), one, [0], [0], 0, 1;
        /// Trading needs fee rates from the venue.
        require_fee_resolution: u64, Unit::Word(&["false", "true"]), one, [1], [1], 0, 1;
    }
    "order" {
        /// Without an acknowledgment for this long the order is asked for by its client id.
        order_ack_timeout_s: u64, Unit::Seconds, one, [secs(1)], [secs(1)], ms(50), secs(30);
        /// A create arriving at the venue later than this is refused there.
        receive_window_ms: u64, Unit::Millis, one, [ms(2_000)], [ms(2_000)], ms(500), ms(60_000);
        /// How long a create of unknown outcome may still appear.
        zombie_window_ms: u64, Unit::Millis, one, [ms(3_000)], [ms(3_000)], ms(100), ms(120_000);
        /// The same for a create entered over REST, which the venue takes as long as its signature
        /// holds: 30 s. Demo and live want `clock_offset_hard_ms` and 1 s more than that.
        zombie_window_rest_ms: u64, Unit::Millis, one,
            [ms(35_000)], [ms(35_000)], ms(100), ms(120_000);
        /// Which way orders are entered: the private socket, REST, or by what the venue answers to
        /// a probe at start. A run keeps to one.
        order_entry: u64, Unit::Word(&["auto", "websocket", "rest"]), one, [0], [0], 0, 2;
        /// Seconds after which the venue cancels everything unless the engine asks it to wait on,
        /// 5 to 60, where the account has that; 0 for never.
        countdown_s: u64, Unit::Count, one, [10], [10], 0, 60;
        /// Age of a WebSocket at which the next one is made ready and takes over; the venue ends
        /// one after 24 h. The private one follows a twentieth later.
        session_rotate_s: u64, Unit::Seconds, one,
            [secs(72_000)], [secs(72_000)], secs(5), secs(81_000);
        /// Creates a second, over all instruments.
        creates_per_s: Rate, Unit::Factor, one,
            [4 * E8 + E8 / 2], [4 * E8 + E8 / 2], e4(1_000), 100 * E8;
        /// Requests a second, creates and strategy cancels together.
        requests_per_s: Rate, Unit::Factor, one, [7 * E8], [7 * E8], e4(1_000), 200 * E8;
        /// Creates a UTC day; at nine tenths quotes are pulled until 00:00 UTC. Cancels, and orders
        /// that only reduce, are never held back.
        creates_per_day_max: u64, Unit::Count, one, [50_000], [50_000], 1_000, 10_000_000;
        /// Age at which an intent is too old to be sent.
        intent_ttl_ms: u64, Unit::Millis, one, [ms(50)], [ms(50)], ms(1), ms(1_000);
        /// Light reconciliation: open orders and positions.
        reconcile_light_s: u64, Unit::Seconds, one, [secs(5)], [secs(5)], secs(1), secs(300);
        /// Full reconciliation: fills and account too; `check_position_reconciliation`.
        reconcile_full_s: u64, Unit::Seconds, one, [secs(300)], [secs(300)], secs(10), secs(3_600);
        /// An ordered stop that has not verified zero open orders by then gives up and says so.
        stop_timeout_s: u64, Unit::Seconds, one, [secs(15)], [secs(15)], secs(1), secs(300);
    }
}

/// Values in all.
pub const VALUES: usize = at::END;

/// One in so many of a position's limit is left to moves of the mark: 2 %.
const MARK_MOVES: i64 = 50;

/// The values in force, and beside them, because every room is handed these, the defect that the
/// run commits on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Params([i64; VALUES], Planted);

/// Which column of defaults a run starts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// Fills come from real moves; default in paper, demo, live.
    Wide,
    /// One level at the touch, for accounts with a rebate; default in sim.
    Touch,
}

impl Params {
    /// How large orders may make a position: the limit beyond which it stops for good, less what a
    /// mark may move by. At the limit itself the next tick of the mark would be a stop.
    pub fn position_quote_room(&self) -> Quote {
        let max = self.max_position_quote();
        Quote(max.0 - max.0 / MARK_MOVES)
    }

    /// The defaults of a profile.
    pub fn defaults(profile: Profile) -> Self {
        let mut values = [0; VALUES];
        for row in TABLE {
            let column = match profile {
                Profile::Wide => row.wide,
                Profile::Touch => row.touch,
            };
            values[row.at..row.at + column.len()].copy_from_slice(column);
        }
        Self(values, Planted::NONE)
    }

    /// Sets the value at `place`; false, and nothing is set, when there is no such place or the
    /// value is outside of its row's range.
    pub fn set(&mut self, place: usize, value: i64) -> bool {
        let allowed = row_of(place).is_some_and(|row| (row.min..=row.max).contains(&value));
        if allowed {
            self.0[place] = value;
        }
        allowed
    }

    /// Creates of a UTC day after which nothing new is begun: nine tenths of
    /// [`Params::creates_per_day_max`].
    pub fn creates_per_day_soft(&self) -> u64 {
        self.creates_per_day_max() * 9 / 10
    }

    /// Has the run commit a defect; at boot.
    pub const fn plant(&mut self, planted: Planted) {
        self.1 = planted;
    }

    /// The defect that the run commits.
    #[inline(always)]
    pub const fn planted(&self) -> Planted {
        self.1
    }

    /// True in a run that commits `defect`.
    #[inline(always)]
    pub const fn commits(&self, defect: Defect) -> bool {
        self.1.has(defect)
    }

    /// All values by place.
    pub const fn values(&self) -> &[i64; VALUES] {
        &self.0
    }
}

/// The row that the value at `place` belongs to.
pub fn row_of(place: usize) -> Option<&'static Row> {
    TABLE.iter().find(|row| (row.at..row.at + row.wide.len()).contains(&place))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_lies_in_its_range_and_has_its_arity() {
        for row in TABLE {
            let arity = if row.by_regime { REGIMES } else { 1 };
            assert_eq!((row.wide.len(), row.touch.len()), (arity, arity), "{}", row.name);
            for value in row.wide.iter().chain(row.touch) {
                assert!((row.min..=row.max).contains(value), "{} {value}", row.name);
            }
        }
    }

    #[test]
    fn rows_cover_every_place_once() {
        for place in 0..VALUES {
            let rows = TABLE.iter().filter(|r| (r.at..r.at + r.wide.len()).contains(&place));
            assert_eq!(rows.count(), 1, "place {place}");
        }
    }

    #[test]
    fn a_value_out_of_range_changes_nothing() {
        let mut params = Params::defaults(Profile::Wide);
        let before = params;
        assert!(!params.set(at::max_daily_loss_pct_hard, 3 * E8));
        assert!(!params.set(VALUES, 1));
        assert_eq!(params, before);
        assert!(params.set(at::max_daily_loss_pct_hard, E8 / 50));
        assert_eq!(params.max_daily_loss_pct_hard(), Rate(2_000_000));
    }

    #[test]
    fn the_collar_is_wider_than_the_widest_quote() {
        for profile in [Profile::Wide, Profile::Touch] {
            let p = Params::defaults(profile);
            for &regime in Regime::ALL {
                let half = p.spread_max(regime).0 / 2;
                let levels = i64::try_from(p.levels_max(regime)).expect("few levels");
                let farthest = half + half * p.level_step().0 / E8 * (levels - 1);
                let skew = p.inventory_skew_cap_pct().0.min(half) * 2;
                assert!(farthest + skew.min(half) <= p.collar_bps().0, "{regime} {profile:?}");
            }
        }
    }
}
