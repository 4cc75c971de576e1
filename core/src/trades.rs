//! Trade ids: each execution is booked once, whoever reports it and how often.
//!
//! Every id since the closed horizon is remembered; nothing is evicted by age or count. The horizon
//! advances only when two equal passes over the venue's fills have booked everything before it.

use crate::digest::Digest;
use crate::event::Fill;
use crate::units::UnixNanos;

/// The ids of executions booked since the closed horizon.
pub struct TradeIds<'m> {
    slots: &'m mut [TradeSlot],
    len: usize,
    horizon: UnixNanos,
}

/// Memory for one id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TradeSlot {
    id: u64,
    content: u64,
    ts: UnixNanos,
}

/// What to do with a reported execution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Not seen before: book it.
    New,
    /// Booked already; nothing to do.
    Duplicate,
    /// Booked already without a fee, and this report has it: book the fee only.
    Fee,
    /// The id was booked with another content, or is no id.
    Contradiction,
    /// Before the horizon and not remembered: pull quotes and look it up in the ledger on disk.
    Old,
    /// No room. Nothing is remembered of it: stop for good.
    Full,
}

impl<'m> TradeIds<'m> {
    /// An empty set over `slots`, whose number is a power of two.
    pub fn new(slots: &'m mut [TradeSlot]) -> Self {
        unimplemented!()
    }
    /// Takes an execution in, and says what to do with it.
    pub fn admit(&mut self, fill: &Fill) -> Admission {
        unimplemented!()
    }
    /// Remembers an execution that an earlier run booked; false when there is no room.
    pub fn remember(&mut self, fill: &Fill) -> bool {
        unimplemented!()
    }
    /// Closes everything before `horizon`: two equal passes have booked it. Never goes back.
    pub fn close(&mut self, horizon: UnixNanos) {
        unimplemented!()
    }
    /// Forgets closed ids in the next `slots` places; call it with a small number now and then.
    pub fn sweep(&mut self, slots: usize) {
        unimplemented!()
    }
    /// The closed horizon.
    pub fn horizon(&self) -> UnixNanos {
        self.horizon
    }
    /// Ids remembered.
    pub fn len(&self) -> usize {
        self.len
    }
    /// True when no id is remembered.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
    /// Folds the set into `digest`.
    pub fn fold(&self, digest: &mut Digest) {
        unimplemented!()
    }
}

impl TradeSlot {
    /// No id.
    pub const EMPTY: Self = Self { id: 0, content: 0, ts: UnixNanos(0) };
}
