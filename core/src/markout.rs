//! Markouts: what fills were worth some time later, and the edge gate that goes by it.

use crate::digest::Digest;
use crate::param::Params;
use crate::regime::Regime;
use crate::units::{MILLIS, MonoNanos, Rate, SECONDS, Side, Ticks};

/// How long after a fill it is judged, in nanoseconds.
pub const HORIZONS: [u64; 5] = [100 * MILLIS, SECONDS, 5 * SECONDS, 30 * SECONDS, 300 * SECONDS];
/// The horizon that the gate goes by.
pub const GATE_HORIZON: usize = 3;
/// Fills that may wait for a horizon at once; beyond that the oldest is judged by the current mid.
pub const PENDING_MAX: usize = 128;

/// A fill to judge later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fill {
    /// Our side.
    pub side: Side,
    /// Where.
    pub price: Ticks,
    /// Fee rate paid; negative is a rebate.
    pub fee: Rate,
    /// The regime at the time.
    pub regime: Regime,
}

/// What the gate lets a side do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Quote.
    Open,
    /// One order of the smallest size.
    Probe,
    /// Nothing that grows the position.
    Shut,
}

/// Fills of one instrument that wait for their horizons, what was learned, and the gate of each side.
pub struct Markout {
    dropped: u64,
}

impl Markout {
    /// Nothing seen; both sides open.
    pub const fn new() -> Self {
        Self { dropped: 0 }
    }

    /// Takes in a fill. A fill of a probing side ends the probe.
    pub fn on_fill(&mut self, fill: Fill, now: MonoNanos) {
        let _ = (fill, now);
        unimplemented!()
    }

    /// Takes in the mid of a whole frame in half ticks, after judging the fills whose horizons passed
    /// before it by the mid that stood then.
    pub fn on_mid(&mut self, params: &Params, mid_x2: i64, now: MonoNanos) {
        let _ = (params, mid_x2, now);
        unimplemented!()
    }

    /// The mid is not known from now on; fills that fall due are judged by the next one.
    pub fn lose_mid(&mut self) {
        unimplemented!()
    }

    /// The mean edge a fill of `side` had in `regime` at a horizon, and the weight of what it rests on, in fills
    /// (decayed). The mean is zero where the weight is.
    pub fn mean(&self, horizon: usize, side: Side, regime: Regime) -> (Rate, u32) {
        let _ = (horizon, side, regime);
        unimplemented!()
    }

    /// The edge to expect of a fill `offset` away from the mid at fee rate `fee`: what was learned, shrunk to
    /// `offset − fee − ADVERSE`.
    pub fn expected(
        &self,
        params: &Params,
        side: Side,
        regime: Regime,
        offset: Rate,
        fee: Rate,
    ) -> Rate {
        let _ = (params, side, regime, offset, fee);
        unimplemented!()
    }

    /// Moves the gate of `side` by the edge to expect, and says what it may do.
    pub fn admit(
        &mut self,
        params: &Params,
        side: Side,
        expected: Rate,
        now: MonoNanos,
    ) -> Admission {
        let _ = (params, side, expected, now);
        unimplemented!()
    }

    /// Sides that are shut, as bits by [`Side::index`].
    pub fn shut(&self) -> u8 {
        unimplemented!()
    }

    /// The next time after `now` at which a gate may change its mind without an event.
    pub fn deadline(&self, params: &Params, now: MonoNanos) -> MonoNanos {
        let _ = (params, now);
        unimplemented!()
    }

    /// Fills that could not wait for their horizons because too many did.
    pub const fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Folds all state that decisions depend on into `digest`.
    pub fn fold(&self, digest: &mut Digest) {
        let _ = digest;
        unimplemented!()
    }
}
