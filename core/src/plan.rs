//! From the quotes desired to the fewest messages that get there.
//!
//! A level has one order at most: it is placed only where its slot is empty, and an order that is no
//! longer wanted is canceled first. Cancels are never delayed; creates are paced.

use crate::digest::Digest;
use crate::event::ClientId;
use crate::param::Params;
use crate::quote::{Desired, LEVELS_MAX, Level};
use crate::units::{Lots, MonoNanos, Side, Ticks};

/// What stands on one level of one side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// No order that may still be live.
    Empty,
    /// An order that rests.
    Working {
        /// Its id.
        client: ClientId,
        /// Its price.
        price: Ticks,
        /// What is left of it.
        lots: Lots,
        /// It may only shrink the position.
        reduce_only: bool,
    },
    /// An order on its way in or out, or of unknown outcome.
    Busy {
        /// Its price.
        price: Ticks,
    },
}

/// The slots of both sides, by [`Side::index`] and level.
pub type Slots = [[Slot; LEVELS_MAX]; 2];

/// No order anywhere.
pub const NO_SLOTS: Slots = [[Slot::Empty; LEVELS_MAX]; 2];

/// One thing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// End this order.
    Cancel {
        /// Whose side.
        side: Side,
        /// Which level.
        level: u8,
        /// Which order.
        client: ClientId,
    },
    /// Send an order.
    Place {
        /// Which side.
        side: Side,
        /// Which level.
        level: u8,
        /// What.
        order: Level,
    },
}

/// What to do about one instrument, cancels first; one action a level at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    actions: [Option<Action>; 2 * LEVELS_MAX],
    len: u8,
    /// Orders that stay as they are.
    pub kept: u8,
    /// Creates that wait for the bucket.
    pub paced: u8,
    /// Creates that wait because `max_active_executors` orders may be live, or because they would cross an own order.
    pub held: u8,
}

impl Plan {
    /// What to do, in this order.
    pub fn actions(&self) -> impl Iterator<Item = Action> + '_ {
        self.actions[..usize::from(self.len)].iter().copied().flatten()
    }
}

/// Compares what is desired with what is there.
pub fn plan(
    params: &Params,
    desired: &Desired,
    slots: &Slots,
    pace: &mut Pace,
    now: MonoNanos,
) -> Plan {
    let _ = (params, desired, slots, pace, now);
    unimplemented!()
}

/// Paces the creates of one instrument, so that their cancels stay within `cancel_budget_per_min`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    spent: i64,
}

impl Pace {
    /// A full bucket.
    pub const fn new() -> Self {
        Self { spent: 0 }
    }

    /// When the next create may be sent; in the past when one may be sent now.
    pub fn ready_at(&self, params: &Params) -> MonoNanos {
        let _ = (params, self.spent);
        unimplemented!()
    }

    /// Folds the state into `digest`.
    pub fn fold(&self, digest: &mut Digest) {
        let _ = digest;
        unimplemented!()
    }
}
