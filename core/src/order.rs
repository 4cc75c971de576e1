//! Orders: every order of ours from intent to end, and every order at the venue that is not ours.
//!
//! The table counts what may be live at the venue, never less: an order's whole remaining size from
//! before it is sent until its end is proved, and executions that the venue speaks of until they are
//! booked. A number of an epoch is given once; a create is never sent twice.

use crate::command::OrderDone;
use crate::digest::Digest;
use crate::event::{CancelReason, ClientId, Fill, OrderStatus, OrderUpdate, Reply};
use crate::gate::{InstrumentView, Intent, OrderSpec, Purpose, TimeInForce};
use crate::instrument::InstrumentId;
use crate::lifecycle::OrderState;
use crate::param::Params;
use crate::units::{Lots, MonoNanos, Side, Ticks};

/// All orders of a run, in lent memory.
pub struct OrderTable<'m> {
    slots: &'m mut [Slot],
    tallies: &'m mut [Tally],
    orphans: &'m mut [Orphan],
}

/// One order of ours. The table hands it out to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Its client id.
    pub client: ClientId,
    /// What was asked for.
    pub intent: Intent,
    /// What we may believe of it.
    pub state: OrderState,
    /// The venue's id; 0 while not known.
    pub order_id: u64,
    /// Executions booked.
    pub booked: Lots,
    /// The most that the venue has said was executed.
    pub reported: Lots,
    /// The venue's last word.
    pub status: OrderStatus,
    /// Why it ended.
    pub reason: CancelReason,
    /// When it was sent.
    pub sent: MonoNanos,
    /// When its state last changed.
    pub changed: MonoNanos,
    /// Cancels sent for it.
    pub cancels: u16,
}

/// Memory for one instrument's sums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tally {}

impl Tally {
    /// No orders.
    pub const EMPTY: Self = Self {};
}

/// An order at the venue that this run did not send, or has lost sight of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Orphan {
    /// The venue's id.
    pub order_id: u64,
    /// Whose, as far as its client id says; [`ClientId::is_own`] tells ours from others.
    pub client: ClientId,
    /// Where.
    pub instrument: InstrumentId,
    /// Its side.
    pub side: Side,
    /// Its price.
    pub price: Ticks,
    /// What of it is not executed.
    pub lots: Lots,
    /// When it was first seen.
    pub seen: MonoNanos,
    /// Cancels sent for it.
    pub cancels: u16,
}

impl Slot {
    /// No order.
    pub const EMPTY: Self = Self {
        client: ClientId::FOREIGN,
        intent: Intent {
            instrument: InstrumentId(0),
            side: Side::Buy,
            price: Ticks::ZERO,
            lots: Lots::ZERO,
            time_in_force: TimeInForce::PostOnly,
            reduce_only: false,
            level: 0,
            purpose: Purpose::Quote,
            made: MonoNanos::ZERO,
        },
        state: OrderState::Done,
        order_id: 0,
        booked: Lots::ZERO,
        reported: Lots::ZERO,
        status: OrderStatus::New,
        reason: CancelReason::None,
        sent: MonoNanos::ZERO,
        changed: MonoNanos::ZERO,
        cancels: 0,
    };
}

impl Orphan {
    /// No order.
    pub const EMPTY: Self = Self {
        order_id: 0,
        client: ClientId::FOREIGN,
        instrument: InstrumentId(0),
        side: Side::Buy,
        price: Ticks::ZERO,
        lots: Lots::ZERO,
        seen: MonoNanos::ZERO,
        cancels: 0,
    };
}

/// Whose order an event speaks of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Whose {
    /// Ours, in the table.
    #[default]
    Own,
    /// Ours of this run, ended so long ago that its place was taken.
    Forgotten,
    /// Ours of an earlier run.
    Older,
    /// Somebody else's.
    Foreign,
}

/// What cannot be true.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contradiction {
    /// Executions exceed the order's size.
    Overfill,
    /// Instrument, side, price or size are not those that were sent.
    Mismatch,
    /// Two orders of the venue bear one client id.
    Twin,
    /// The venue says that it refused an order which it has shown.
    RejectedButSeen,
    /// An order that ended lives, by a query asked well after its end.
    Revived,
    /// A client id of this epoch that was never given.
    NeverIssued,
}

/// What an event did to the orders, and what the engine should do about it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Effect {
    /// Whose order it was.
    pub whose: Whose,
    /// The order ended with this event.
    pub done: Option<OrderDone>,
    /// What cannot be true: stop for good.
    pub contradiction: Option<Contradiction>,
    /// The table of states has no such edge; counted.
    pub unexpected: bool,
    /// Ask for this order by its client id now.
    pub ask: bool,
    /// An order that is not of this run appeared.
    pub appeared: bool,
    /// A table is full.
    pub full: bool,
}

/// An order for which something is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overdue {
    /// Which.
    pub client: ClientId,
    /// Where.
    pub instrument: InstrumentId,
    /// The venue's id; 0 while not known.
    pub order_id: u64,
    /// Nanoseconds since it was sent.
    pub waited_ns: u64,
    /// What to do.
    pub chase: Chase,
}

/// What to do about an order that is overdue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chase {
    /// The acknowledgment time-out has just passed: say so, and ask for it by its client id.
    AckTimeout,
    /// Ask for it by its client id, and for the list of open orders.
    Ask,
    /// As [`Chase::Ask`], and cancel it.
    Cancel,
    /// As [`Chase::Ask`], and cancel all orders of its instrument: single cancels have failed.
    CancelAll,
    /// Executions that the venue speaks of have not come: ask for fills.
    Fills,
}

impl<'m> OrderTable<'m> {
    /// An empty table: `slots` a power of two, `tallies` one for each instrument, `orphans` at will.
    pub fn new(slots: &'m mut [Slot], tallies: &'m mut [Tally], orphans: &'m mut [Orphan]) -> Self {
        unimplemented!()
    }

    /// Begins a boot epoch; numbers count from 1.
    pub fn begin(&mut self, epoch: u32) {
        unimplemented!()
    }

    /// Takes time-outs from the parameters.
    pub fn configure(&mut self, params: &Params) {
        unimplemented!()
    }

    /// The client id that the next order placed must bear; `None` when every place is taken by an
    /// order that may be live. Asking again gives the same until it is placed.
    pub fn next_client(&self) -> Option<ClientId> {
        unimplemented!()
    }

    /// An order passed the gate and is on its way. Its client is [`OrderTable::next_client`]'s.
    pub fn placed(&mut self, spec: &OrderSpec, now: MonoNanos) {
        unimplemented!()
    }

    /// A cancel for it is on its way.
    pub fn cancel_sent(&mut self, client: ClientId, now: MonoNanos) {
        unimplemented!()
    }

    /// A cancel of every order of an instrument ([`InstrumentId::ALL`]: of all) is on its way.
    pub fn cancel_all_sent(&mut self, instrument: InstrumentId, now: MonoNanos) {
        unimplemented!()
    }

    /// Takes the answer to a request in.
    pub fn on_reply(&mut self, reply: &Reply, now: MonoNanos) -> Effect {
        unimplemented!()
    }

    /// Takes the venue's word in. `asked`: when a query's request left; `now` for a push.
    pub fn on_update(&mut self, update: &OrderUpdate, asked: MonoNanos, now: MonoNanos) -> Effect {
        unimplemented!()
    }

    /// Takes an execution in that was booked (once) in the ledger before.
    pub fn on_fill(&mut self, fill: &Fill, now: MonoNanos) -> Effect {
        unimplemented!()
    }

    /// A pass over the open orders of `instrument` asked at `asked` is complete: orders believed live
    /// that it did not list are due to be asked for; orphans that it did not list are gone. Gives how
    /// many orders were missing.
    pub fn list_ended(
        &mut self,
        instrument: InstrumentId,
        asked: MonoNanos,
        now: MonoNanos,
    ) -> u32 {
        unimplemented!()
    }

    /// The private stream is lost: whatever is in flight becomes unknown.
    pub fn lost_stream(&mut self, now: MonoNanos) {
        unimplemented!()
    }

    /// No order is due before this point; it may be early.
    pub fn deadline(&self) -> MonoNanos {
        unimplemented!()
    }

    /// The next order for which something is due; call until `None`.
    pub fn overdue(&mut self, now: MonoNanos) -> Option<Overdue> {
        unimplemented!()
    }

    /// One order of ours.
    pub fn order(&self, client: ClientId) -> Option<&Slot> {
        unimplemented!()
    }

    /// The orders on a side that may be live, newest first.
    pub fn open(&self, instrument: InstrumentId, side: Side) -> impl Iterator<Item = &Slot> {
        core::iter::empty()
    }

    /// Orders that are not of this run, or lost from sight.
    pub fn orphans(&self) -> impl Iterator<Item = &Orphan> {
        core::iter::empty()
    }

    /// A cancel for an orphan is on its way.
    pub fn orphan_cancel_sent(&mut self, order_id: u64, now: MonoNanos) {
        unimplemented!()
    }

    /// Writes an instrument's sums where the gate sees them: lots, counts, unknown, best, levels.
    pub fn fill_view(&self, instrument: InstrumentId, view: &mut InstrumentView) {
        unimplemented!()
    }

    /// Size times price of an instrument's orders that may be live, in tick-lots.
    pub fn open_value(&self, instrument: InstrumentId) -> i128 {
        unimplemented!()
    }

    /// Orders that may be live, all instruments.
    pub fn open_orders(&self) -> u32 {
        unimplemented!()
    }

    /// How many of them are of unknown outcome.
    pub fn unknown_orders(&self) -> u32 {
        unimplemented!()
    }

    /// Somebody else's orders that are still there.
    pub fn foreign_orders(&self) -> u32 {
        unimplemented!()
    }

    /// Our own orders of earlier runs that are still there.
    pub fn older_orders(&self) -> u32 {
        unimplemented!()
    }

    /// Folds the table into `digest`.
    pub fn fold(&self, digest: &mut Digest) {
        unimplemented!()
    }
}
