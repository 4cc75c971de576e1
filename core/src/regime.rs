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
