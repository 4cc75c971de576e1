//! Regimes of the market, from bars and drift.

use crate::slot_enum;

slot_enum! {
    /// What kind of market this is; selects a row of the strategy's table.
    pub enum Regime {
        /// Quiet.
        NeutralLowVol = 0 "neutral_low_vol",
        /// Above the average.
        Up = 1 "up",
        /// Below the average.
        Down = 2 "down",
        /// Restless.
        NeutralHighVol = 3 "neutral_high_vol",
        /// Violent.
        HighVolShock = 4 "high_vol_shock",
    }
}

/// How many regimes there are: the count of values of a parameter given by regime.
pub const REGIMES: usize = Regime::ALL.len();

use crate::digest::Digest;
use crate::event::Candle;
use crate::instrument::Instrument;
use crate::param::Params;
use crate::units::{MonoNanos, Rate, Signal, UnixNanos};

/// What one instrument's mids say of the market: bars, averages, drift and the regime in force.
pub struct Signals {
    regime: Regime,
}

impl Signals {
    /// Nothing seen yet: [`Regime::NeutralLowVol`].
    pub const fn new() -> Self {
        Self { regime: Regime::NeutralLowVol }
    }

    /// Takes in a finished bar of the venue that is older than every own bar; true when it was used.
    pub fn on_candle(&mut self, params: &Params, candle: &Candle, rules: &Instrument) -> bool {
        let _ = (params, candle, rules);
        unimplemented!()
    }

    /// Takes in the mid of a whole frame, in half ticks. `utc` is the estimate of UTC at `now`, `None`
    /// while unknown. Returns the regime that takes over, if one does.
    pub fn on_mid(
        &mut self,
        params: &Params,
        mid_x2: i64,
        utc: Option<UnixNanos>,
        now: MonoNanos,
    ) -> Option<Regime> {
        let _ = (params, mid_x2, utc, now);
        unimplemented!()
    }

    /// Lets time pass without a new mid: after [`Signals::deadline`] a regime may take over.
    pub fn advance(&mut self, params: &Params, now: MonoNanos) -> Option<Regime> {
        let _ = (params, now);
        unimplemented!()
    }

    /// Forgets mids of the last half minute; bars and averages stay. For a book that was lost.
    pub fn lose_mid(&mut self) {
        unimplemented!()
    }

    /// Forgets everything, for a contract whose tick changed.
    pub fn reset(&mut self) {
        *self = Self::new();
    }

    /// The regime in force.
    pub const fn regime(&self) -> Regime {
        self.regime
    }

    /// Average true range over close; zero before `atr_period` bars.
    pub fn band(&self) -> Rate {
        unimplemented!()
    }

    /// |mid − mid 30 s ago| over the latter.
    pub fn drift_30s(&self) -> Rate {
        unimplemented!()
    }

    /// Moving average of `drift_30s`, once a second.
    pub fn drift(&self) -> Rate {
        unimplemented!()
    }

    /// Average of closes in half ticks; `None` before `ema_period` bars.
    pub fn ema_x2(&self) -> Option<Signal> {
        unimplemented!()
    }

    /// When a regime may take over without another mid.
    pub fn deadline(&self) -> MonoNanos {
        unimplemented!()
    }

    /// Folds all state that decisions depend on into `digest`.
    pub fn fold(&self, digest: &mut Digest) {
        let _ = digest;
        unimplemented!()
    }
}
