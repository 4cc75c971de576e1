//! The quotes that the strategy would like to have working, from what it sees.
//!
//! [`desired`] is the regime model: spread from turnover, floor from costs, skew from inventory. Prices
//! never cross or lock the touch, lie on the tick, and round away from the mid.

use crate::book::Touch;
use crate::instrument::Instrument;
use crate::markout::Markout;
use crate::param::Params;
use crate::regime::Regime;
use crate::units::{Lots, MonoNanos, Quote, Rate, Ticks};

/// Most levels of one side.
pub const LEVELS_MAX: usize = 8;

/// What the model looks at, for one instrument.
#[derive(Clone, Copy, Debug)]
pub struct QuoteInputs<'a> {
    /// The contract's rules.
    pub rules: &'a Instrument,
    /// Best bid and ask.
    pub touch: Touch,
    /// Imbalance of the top five levels, −1 to 1.
    pub imbalance: Rate,
    /// The regime in force.
    pub regime: Regime,
    /// Average true range over close.
    pub band: Rate,
    /// Moving average of the 30 s drift.
    pub drift: Rate,
    /// Equity of the account at mark; nothing is quoted unless positive.
    pub equity: Quote,
    /// Signed position.
    pub position: Lots,
    /// Traded today, all instruments.
    pub turnover: Quote,
    /// Maker rate.
    pub maker: Rate,
    /// Rate of the next funding settlement; positive: longs pay.
    pub funding: Rate,
    /// What all orders of this instrument together may be worth: `max_total_notional_quote` less the
    /// open orders of other instruments.
    pub room: Quote,
    /// Only orders that shrink the position.
    pub reduce_only: bool,
}

/// One order that the strategy would like to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level {
    /// Where.
    pub price: Ticks,
    /// How much.
    pub lots: Lots,
    /// It may only shrink the position.
    pub reduce_only: bool,
    /// It probes a shut edge gate.
    pub probe: bool,
}

/// What one side should have working.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SideQuotes {
    levels: [Level; LEVELS_MAX],
    len: u8,
    /// Distance of the nearest level from the mid, as a share of it, after rounding and clamping;
    /// zero when there is none.
    pub offset: Rate,
    /// How far a working order may be from its desired price and stay.
    pub tolerance: Ticks,
    /// The edge to expect of a fill, net of fee.
    pub edge: Rate,
    /// The floor of the full spread that costs ask for.
    pub floor: Rate,
    /// The full spread.
    pub spread: Rate,
}

impl SideQuotes {
    /// The levels, nearest first.
    pub fn levels(&self) -> &[Level] {
        &self.levels[..usize::from(self.len)]
    }
}

/// What both sides should have working.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Desired {
    /// By [`Side::index`](crate::units::Side::index).
    pub sides: [SideQuotes; 2],
    /// Skew of both sides, as a share of the mid: positive pulls both up.
    pub skew: Rate,
    /// Net position as a share of equity.
    pub base_pct: Rate,
    /// The wider of the two full spreads.
    pub spread: Rate,
}

impl Desired {
    /// Nothing at all.
    pub const NONE: Self = Self {
        sides: [SideQuotes {
            levels: [Level { price: Ticks(0), lots: Lots(0), reduce_only: false, probe: false };
                LEVELS_MAX],
            len: 0,
            offset: Rate(0),
            tolerance: Ticks(1),
            edge: Rate(0),
            floor: Rate(0),
            spread: Rate(0),
        }; 2],
        skew: Rate(0),
        base_pct: Rate(0),
        spread: Rate(0),
    };
}

/// The quotes of the regime model. `markout` says what to expect of fills and keeps the edge gate,
/// which looks at the prices that would really be sent.
pub fn desired(
    params: &Params,
    inputs: &QuoteInputs<'_>,
    markout: &mut Markout,
    now: MonoNanos,
) -> Desired {
    let _ = (params, inputs, markout, now);
    unimplemented!()
}
