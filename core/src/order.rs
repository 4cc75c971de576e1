//! Orders: every order of ours from intent to end, and every order at the venue that is not ours.
//!
//! The table counts what may be live at the venue, never less: an order's whole remaining size from
//! before it is sent until its end is proved, and executions that the venue speaks of until they
//! are booked. A number of an epoch is given once; a create is never sent twice.

use crate::command::OrderDone;
use crate::digest::Digest;
use crate::event::{
    CancelReason, ClientId, Fill, OrderStatus, OrderUpdate, Outcome, RejectClass, Reply,
    RequestKind, Source,
};
use crate::gate::{InstrumentView, Intent, OrderSpec, Purpose, TimeInForce};
use crate::instrument::InstrumentId;
use crate::lifecycle::{Cause, Illegal, OrderState};
use crate::param::Params;
use crate::planted::{Defect, Planted};
use crate::units::{Lots, MILLIS, MonoNanos, SECONDS, Side, Ticks};

/// All orders of a run, in lent memory.
///
/// An order stands at its number modulo the number of slots. A number whose place is still taken by
/// an order that may be live is skipped, so that a look-up is one step and no live order is
/// forgotten.
pub struct OrderTable<'m> {
    slots: &'m mut [Slot],
    tallies: &'m mut [Tally],
    orphans: &'m mut [Orphan],
    orphans_len: usize,
    epoch: u32,
    /// The lowest number not given yet.
    next_number: u64,
    ack_timeout_ns: u64,
    zombie_ns: u64,
    planted: Planted,
    /// No order is due before; may be early.
    next_due: MonoNanos,
    open: u32,
    unknown: u32,
    /// Causes that the table of states does not know.
    unexpected: u64,
    /// The sum over ended orders, so that a digest need not walk all slots.
    ended: u64,
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
    /// When the last was.
    pub cancel_at: MonoNanos,
    /// When the last of them was refused or could not be sent; zero for never since it was sent.
    cancel_failed: MonoNanos,
    /// The venue has shown it.
    seen: bool,
    /// When it was last known to be at the venue.
    known: MonoNanos,
    /// When the last query that did not find it was asked: by client id, and by the list.
    denied: [MonoNanos; 2],
    /// When the first query since `known` was asked that did not find it.
    doubted: MonoNanos,
    due: MonoNanos,
    tries: u8,
    linked: bool,
    next: u32,
    prev: u32,
}

/// Memory for one instrument's sums over the orders that may be live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tally {
    heads: [u32; 2],
    lots: [Lots; 2],
    orders: [u16; 2],
    unknown: u16,
    best: [Option<Ticks>; 2],
    levels: [u32; 2],
    value: i128,
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
    /// When the last cancel for it alone was sent; [`MonoNanos::ZERO`] for none.
    pub cancel_sent: MonoNanos,
    /// Cancels sent for it alone.
    pub cancels: u16,
    known: MonoNanos,
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
    /// Ours, sent in the engine's stead to close a position.
    Closing,
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
    /// Ask for it by its client id; when its state is unknown, for the list of open orders too.
    Ask,
    /// As [`Chase::Ask`], and cancel it.
    Cancel,
    /// As [`Chase::Ask`], and cancel all orders of its instrument: single cancels have failed.
    CancelAll,
    /// Executions that the venue speaks of have not come: ask for fills.
    Fills,
}

impl<'m> OrderTable<'m> {
    /// An empty table: one of `tallies` for each instrument, `orphans` at will.
    ///
    /// # Panics
    /// When the number of `slots` is no power of two.
    pub fn new(slots: &'m mut [Slot], tallies: &'m mut [Tally], orphans: &'m mut [Orphan]) -> Self {
        assert!(slots.len().is_power_of_two(), "a power of two");
        slots.fill(Slot::EMPTY);
        tallies.fill(Tally::EMPTY);
        Self {
            slots,
            tallies,
            orphans,
            orphans_len: 0,
            epoch: 0,
            next_number: 1,
            ack_timeout_ns: SECONDS,
            zombie_ns: 3 * SECONDS,
            planted: Planted::NONE,
            next_due: MonoNanos::NEVER,
            open: 0,
            unknown: 0,
            unexpected: 0,
            ended: 0,
        }
    }

    /// Begins a boot epoch; numbers count from 1.
    ///
    /// # Panics
    /// When an epoch has begun before: a client id must not be given twice.
    pub fn begin(&mut self, epoch: u32) {
        assert!(self.epoch == 0 && epoch != 0, "one epoch a run");
        self.epoch = epoch;
    }

    /// Takes time-outs from the parameters.
    pub fn configure(&mut self, params: &Params, entry_over_rest: bool) {
        self.ack_timeout_ns = params.order_ack_timeout_s();
        self.zombie_ns = zombie_ns(params, entry_over_rest);
        self.planted = params.planted();
    }

    /// The client id that the next order placed must bear; `None` when every place is taken by an
    /// order that may be live. Asking again gives the same until it is placed.
    pub fn next_client(&self) -> Option<ClientId> {
        let numbers = self.next_number..self.next_number + self.slots.len() as u64;
        let number = numbers.into_iter().find(|&number| !self.slots[self.place(number)].linked)?;
        Some(ClientId { epoch: self.epoch, number })
    }

    /// An order passed the gate and is on its way.
    ///
    /// # Panics
    /// When its client id is not [`OrderTable::next_client`]'s, so that no id is ever used twice;
    /// when its level is no bit of a mask; when its number is one of closing orders.
    pub fn placed(&mut self, spec: &OrderSpec, now: MonoNanos) {
        assert_eq!(Some(spec.client), self.next_client(), "client ids are given in order, once");
        assert!(spec.intent.level < 32, "a level is a bit of a mask");
        assert!(!spec.client.is_closing(), "numbers from there are those of closing orders");
        let at = self.place(spec.client.number);
        self.next_number = spec.client.number + 1;
        let fresh = Slot {
            client: spec.client,
            intent: spec.intent,
            state: OrderState::PendingNew,
            sent: now,
            changed: now,
            due: now.after(self.ack_timeout_ns),
            ..Slot::EMPTY
        };
        self.change(at, |slot| *slot = fresh);
    }

    /// A cancel for it is on its way.
    pub fn cancel_sent(&mut self, client: ClientId, now: MonoNanos) {
        if let Some(at) = self.find(client, 0) {
            self.cancel_sent_at(at, now);
        }
    }

    /// A cancel of every order of an instrument ([`InstrumentId::ALL`]: of all) is on its way.
    /// Orphans are canceled singly all the same: either way may be the slow one.
    pub fn cancel_all_sent(&mut self, instrument: InstrumentId, now: MonoNanos) {
        self.for_linked(instrument, |table, at| table.cancel_sent_at(at, now));
    }

    /// Takes the answer to a request in.
    pub fn on_reply(&mut self, reply: &Reply, now: MonoNanos) -> Effect {
        let Some(at) = self.find(reply.client, 0) else {
            return self.not_in_table(reply.client);
        };
        let slot = &self.slots[at];
        if reply.order_id != 0 && slot.order_id != 0 && reply.order_id != slot.order_id {
            return Effect::contradiction(Contradiction::Mismatch);
        }
        let refused = matches!(reply.outcome, Outcome::Rejected | Outcome::NotSent);
        // A second use of its id means that the first use arrived: no refusal of this order.
        let duplicate = reply.class == RejectClass::Duplicate;
        let cause = match (reply.request, reply.outcome) {
            (RequestKind::CancelAll, _) => return Effect::default(),
            (RequestKind::Place, _) if slot.seen && refused && !duplicate => {
                return Effect::contradiction(Contradiction::RejectedButSeen);
            }
            (RequestKind::Place, Outcome::Rejected) if duplicate => Cause::PlaceUnknown,
            (RequestKind::Place, Outcome::Rejected) => Cause::PlaceRejected,
            (RequestKind::Place, Outcome::Received) => Cause::PlaceReceived,
            (RequestKind::Place, Outcome::Unknown) => Cause::PlaceUnknown,
            (RequestKind::Place, Outcome::NotSent) => Cause::PlaceNotSent,
            (RequestKind::Cancel, Outcome::Received)
                if self.planted.has(Defect::CancelAckIsFinal) =>
            {
                Cause::Ended
            }
            (RequestKind::Cancel, Outcome::Received) => Cause::CancelReceived,
            (RequestKind::Cancel, Outcome::Rejected) => Cause::CancelRejected,
            (RequestKind::Cancel, Outcome::Unknown) => Cause::CancelUnknown,
            (RequestKind::Cancel, Outcome::NotSent) => Cause::CancelNotSent,
        };
        if reply.order_id != 0 {
            self.slots[at].order_id = reply.order_id;
        }
        if matches!(cause, Cause::CancelRejected | Cause::CancelNotSent) {
            self.slots[at].cancel_failed = now;
        }
        if cause == Cause::PlaceRejected {
            self.slots[at].status = OrderStatus::Canceled;
            self.slots[at].reason = CancelReason::Other;
        }
        let mut effect = self.step(at, cause, now);
        let open = self.slots[at].state.is_open();
        let doubtful =
            matches!(cause, Cause::PlaceUnknown | Cause::CancelRejected | Cause::CancelUnknown);
        // A refused cancel of what is being asked about is no news, and must not hasten that.
        if open && doubtful && self.slots[at].tries == 0 {
            effect.ask = true;
            self.set_due(at, now.after(ASK_FIRST_NS));
        }
        if open && cause == Cause::CancelNotSent {
            self.set_due(at, now.after(ASK_FIRST_NS));
        }
        effect
    }

    /// Takes the venue's word in. `asked`: when a query's request left; `now` for a push.
    pub fn on_update(&mut self, update: &OrderUpdate, asked: MonoNanos, now: MonoNanos) -> Effect {
        let Some(at) = self.find(update.client, update.order_id) else {
            let effect = self.not_in_table(update.client);
            return Effect {
                contradiction: effect.contradiction,
                ..self.orphan(update, asked, now)
            };
        };
        if update.status == OrderStatus::NotFound {
            return self.denied(at, BY_CLIENT, asked, now);
        }
        let slot = &self.slots[at];
        if slot.order_id != 0 && update.order_id != 0 && slot.order_id != update.order_id {
            let twin = self.orphan(update, asked, now);
            return Effect { contradiction: Some(Contradiction::Twin), ..twin };
        }
        if !slot.is_described_by(update) {
            return Effect::contradiction(Contradiction::Mismatch);
        }
        let working = match update.status {
            OrderStatus::New | OrderStatus::Live | OrderStatus::PartiallyFilled => true,
            OrderStatus::Filled | OrderStatus::Canceled => false,
            OrderStatus::NotFound => return Effect::default(),
        };
        if working && slot.state == OrderState::Done {
            return self.alive_after_its_end(at, update, asked, now);
        }
        if !working {
            self.forget_orphan(update);
        }
        let failed = self.slots[at].cancel_failed;
        let uncanceled = self.slots[at].state == OrderState::PendingCancel
            && update.source == Source::Query
            && failed != MonoNanos::ZERO
            && asked >= failed;
        self.learn(at, update, asked);
        let cause = match working {
            true if uncanceled => Cause::Uncanceled,
            true => Cause::Working,
            false => Cause::Ended,
        };
        let effect = self.step(at, cause, now);
        self.calm(at);
        self.await_fills(at, now);
        effect
    }

    /// Takes an execution in that was booked (once) in the ledger before.
    pub fn on_fill(&mut self, fill: &Fill, now: MonoNanos) -> Effect {
        let Some(at) = self.find(fill.client, fill.order_id) else {
            self.orphan_filled(fill);
            return self.not_in_table(fill.client);
        };
        let slot = &self.slots[at];
        if slot.order_id != 0 && fill.order_id != 0 && slot.order_id != fill.order_id {
            self.orphan_filled(fill);
            return Effect::contradiction(Contradiction::Twin);
        }
        let intent = &slot.intent;
        if (intent.instrument, intent.side) != (fill.instrument, fill.side) {
            return Effect::contradiction(Contradiction::Mismatch);
        }
        let push = fill.source != Source::Query;
        let total = Lots(slot.booked.0.saturating_add(fill.lots.0));
        let whole = total >= intent.lots;
        let over = total > intent.lots;
        self.change(at, |slot| {
            slot.booked = total;
            slot.reported = slot.reported.max(total);
            slot.seen = true;
            if slot.order_id == 0 {
                slot.order_id = fill.order_id;
            }
            if push {
                slot.known = slot.known.max(now);
            }
            if slot.state.is_open() {
                slot.status =
                    if whole { OrderStatus::Filled } else { OrderStatus::PartiallyFilled };
            }
        });
        let effect = self.step(at, if whole { Cause::Filled } else { Cause::Executed }, now);
        self.calm(at);
        Effect { contradiction: over.then_some(Contradiction::Overfill), ..effect }
    }

    /// A pass over the open orders of `instrument` asked at `asked` is complete: orders believed
    /// live that it did not list are due to be asked for; orphans that it did not list are gone.
    /// Gives how many orders were missing.
    pub fn list_ended(
        &mut self,
        instrument: InstrumentId,
        asked: MonoNanos,
        now: MonoNanos,
    ) -> u32 {
        let mut missing = 0;
        self.for_linked(instrument, |table, at| {
            let slot = &mut table.slots[at];
            if !slot.state.is_open() || slot.sent >= asked || slot.known >= asked {
                return;
            }
            let first = slot.denied[BY_LIST] <= slot.known;
            slot.deny(BY_LIST, asked);
            if slot.state != OrderState::PendingNew && slot.changed < asked {
                missing += 1;
                // Later lists that do not have it either leave it to its schedule: asking for it
                // brings such a list, and a venue that answers at once would be asked without end.
                if first || table.slots[at].due == MonoNanos::NEVER {
                    table.set_due(at, now);
                }
            }
        });
        let mut place = 0;
        while place < self.orphans_len {
            let orphan = &self.orphans[place];
            if covers(instrument, orphan.instrument) && orphan.known < asked {
                self.remove_orphan(place);
            } else {
                place += 1;
            }
        }
        missing
    }

    /// The private stream is lost: whatever is in flight becomes unknown.
    pub fn lost_stream(&mut self, now: MonoNanos) {
        if self.planted.has(Defect::ClientIdsStartOver) {
            self.next_number = 1;
        }
        self.for_linked(InstrumentId::ALL, |table, at| {
            let state = table.slots[at].state;
            if matches!(state, OrderState::PendingNew | OrderState::PendingCancel) {
                table.step(at, Cause::StreamLost, now);
                table.set_due(at, now);
            }
        });
    }

    /// No order is due before this point; it may be early.
    pub fn deadline(&self) -> MonoNanos {
        self.next_due
    }

    /// The next order for which something is due; call until `None`.
    pub fn overdue(&mut self, now: MonoNanos) -> Option<Overdue> {
        if now < self.next_due {
            return None;
        }
        let mut first = None;
        let mut next_due = MonoNanos::NEVER;
        self.for_linked(InstrumentId::ALL, |table, at| {
            let due = table.slots[at].due;
            if due <= now && first.is_none() {
                first = Some(at);
            } else {
                next_due = next_due.min(due);
            }
        });
        self.next_due = next_due;
        let at = first?;
        self.slots[at].due = MonoNanos::NEVER;
        let chase = self.chase(at, now);
        let slot = &self.slots[at];
        Some(Overdue {
            client: slot.client,
            instrument: slot.intent.instrument,
            order_id: slot.order_id,
            waited_ns: now.since(slot.sent),
            chase,
        })
    }

    /// One order of ours; `None` once its place was given to a later one.
    pub fn order(&self, client: ClientId) -> Option<&Slot> {
        self.find(client, 0).map(|at| &self.slots[at])
    }

    /// The orders on a side that may be live, newest first.
    pub fn open(&self, instrument: InstrumentId, side: Side) -> impl Iterator<Item = &Slot> {
        let head = self.tallies.get(instrument.index()).map_or(NONE, |t| t.heads[side.index()]);
        Linked { slots: self.slots, at: head }.filter(|slot| slot.state.is_open())
    }

    /// Orders that are not of this run, or lost from sight.
    pub fn orphans(&self) -> impl Iterator<Item = &Orphan> {
        self.orphans[..self.orphans_len].iter()
    }

    /// A cancel for an orphan is on its way.
    pub fn orphan_cancel_sent(&mut self, order_id: u64, now: MonoNanos) {
        let orphans = &mut self.orphans[..self.orphans_len];
        for orphan in orphans.iter_mut().filter(|orphan| orphan.order_id == order_id) {
            orphan.cancels = orphan.cancels.saturating_add(1);
            orphan.cancel_sent = now;
        }
    }

    /// Writes an instrument's sums where the gate sees them: lots, counts, unknown, best, levels.
    /// Our own orders of earlier runs count in lots and orders.
    pub fn fill_view(&self, instrument: InstrumentId, view: &mut InstrumentView) {
        let tally = self.tallies[instrument.index()];
        view.open_lots = tally.lots;
        view.open_orders = tally.orders;
        view.unknown_orders = tally.unknown;
        view.best_own = tally.best;
        view.levels = tally.levels;
        for orphan in self.orphans().filter(|o| o.client.is_own() && o.instrument == instrument) {
            view.open_lots[orphan.side.index()] += orphan.lots;
            view.open_orders[orphan.side.index()] += 1;
        }
    }

    /// Size times price of an instrument's orders that may be live, in tick-lots.
    pub fn open_value(&self, instrument: InstrumentId) -> i128 {
        let older = self.orphans().filter(|o| o.client.is_own() && o.instrument == instrument);
        let older: i128 = older.map(|o| i128::from(o.price.0) * i128::from(o.lots.0)).sum();
        self.tallies[instrument.index()].value + older
    }

    /// Orders of ours that may be live, all instruments, those of earlier runs too.
    pub fn open_orders(&self) -> u32 {
        self.open + self.older_orders()
    }

    /// How many orders of this run are of unknown outcome.
    pub fn unknown_orders(&self) -> u32 {
        self.unknown
    }

    /// Somebody else's orders that are still there.
    pub fn foreign_orders(&self) -> u32 {
        self.orphans().map(|orphan| u32::from(!orphan.client.is_own())).sum()
    }

    /// Our own orders that this run does not manage and that are still there.
    pub fn older_orders(&self) -> u32 {
        self.orphans().map(|orphan| u32::from(orphan.client.is_own())).sum()
    }

    /// How often the venue's word had no edge in the table of states.
    pub fn unexpected(&self) -> u64 {
        self.unexpected
    }

    /// Folds the table into `digest`.
    pub fn fold(&self, digest: &mut Digest) {
        digest.fold(u64::from(self.epoch));
        digest.fold(self.next_number);
        digest.fold(self.ended);
        digest.fold(self.unexpected);
        for tally in &*self.tallies {
            for side in Side::BOTH {
                for slot in (Linked { slots: self.slots, at: tally.heads[side.index()] }) {
                    slot.fold(digest);
                    digest.fold(slot.due.0);
                    digest.fold(u64::from(slot.tries));
                }
            }
        }
        for orphan in self.orphans() {
            digest.fold(orphan.order_id);
            digest.fold_signed(orphan.lots.0);
            digest.fold(u64::from(orphan.cancels));
        }
    }
}

/// How long a create of unknown outcome may still appear, by the way it took.
pub fn zombie_ns(params: &Params, entry_over_rest: bool) -> u64 {
    match entry_over_rest {
        true => params.zombie_window_rest_ms().max(params.zombie_window_ms()),
        false => params.zombie_window_ms(),
    }
}

/// Transitions.
impl OrderTable<'_> {
    fn step(&mut self, at: usize, cause: Cause, now: MonoNanos) -> Effect {
        let from = self.slots[at].state;
        let to = match from.after(cause) {
            Ok(to) => to,
            Err(Illegal { .. }) => {
                self.unexpected += 1;
                return Effect { unexpected: true, ..Effect::default() };
            }
        };
        if to == from {
            return Effect::default();
        }
        let due = match to {
            OrderState::PendingNew | OrderState::PendingCancel => now.after(self.ack_timeout_ns),
            OrderState::Unknown => now.after(ASK_FIRST_NS),
            OrderState::Live | OrderState::Done => MonoNanos::NEVER,
        };
        self.change(at, |slot| {
            (slot.state, slot.changed) = (to, now);
            (slot.due, slot.tries) = (due, 0);
            if matches!(cause, Cause::Absent | Cause::PlaceNotSent) {
                slot.status = OrderStatus::NotFound;
            }
        });
        let done = (to == OrderState::Done).then(|| self.slots[at].done());
        if done.is_some() {
            self.await_fills(at, now);
        }
        Effect { done, ..Effect::default() }
    }

    fn cancel_sent_at(&mut self, at: usize, now: MonoNanos) {
        let slot = &mut self.slots[at];
        if slot.state.is_open() {
            slot.cancels = slot.cancels.saturating_add(1);
            (slot.cancel_at, slot.cancel_failed) = (now, MonoNanos::ZERO);
            self.step(at, Cause::CancelSent, now);
        }
    }

    /// Takes over what an update says of an order beyond its state.
    fn learn(&mut self, at: usize, update: &OrderUpdate, asked: MonoNanos) {
        self.change(at, |slot| {
            slot.seen = true;
            slot.known = slot.known.max(asked);
            slot.reported = slot.reported.max(update.filled);
            if slot.order_id == 0 {
                slot.order_id = update.order_id;
            }
            if slot.state.is_open() || slot.status == OrderStatus::NotFound {
                slot.status = update.status;
                slot.reason = update.reason;
            }
        });
    }

    /// The venue shows an order resting that has ended. A late push or a slow index says so too,
    /// and proves nothing; a query asked long after the end does.
    fn alive_after_its_end(
        &mut self,
        at: usize,
        update: &OrderUpdate,
        asked: MonoNanos,
        now: MonoNanos,
    ) -> Effect {
        let ended = self.slots[at].changed;
        if update.source == Source::Query && asked <= ended {
            return Effect::default();
        }
        self.unexpected += 1;
        if update.source == Source::Query && asked > ended.after(self.zombie_ns) {
            let alive = self.orphan(update, asked, now);
            let contradiction = Some(Contradiction::Revived);
            return Effect { contradiction, unexpected: true, ..alive };
        }
        let ask = update.source != Source::Query;
        Effect { unexpected: true, ask, ..Effect::default() }
    }

    /// A source that was asked at `asked` does not have the order. Two of them, both asked when it
    /// could no longer appear, prove that it is not there. One that has been seen may be missing
    /// from both for a moment: it must be for as long as a create may still appear.
    fn denied(&mut self, at: usize, by: usize, asked: MonoNanos, now: MonoNanos) -> Effect {
        let slot = &mut self.slots[at];
        slot.deny(by, asked);
        let last = slot.sent.max(slot.known).after(self.zombie_ns);
        let mut proved = slot.denied.iter().all(|&denied| denied > last);
        proved &= !slot.seen || asked > slot.doubted.after(self.zombie_ns);
        proved |= self.planted.has(Defect::NotFoundIsGone) && by == BY_CLIENT;
        if proved && slot.state.is_open() {
            return self.step(at, Cause::Absent, now);
        }
        Effect::default()
    }

    /// While executions are missing that the venue speaks of, they are due to be asked for.
    fn await_fills(&mut self, at: usize, now: MonoNanos) {
        let slot = &self.slots[at];
        if slot.reported > slot.booked && slot.due == MonoNanos::NEVER {
            self.set_due(at, now.after(self.ack_timeout_ns));
        }
    }

    /// Nothing is due of an order that rests, by all that is known, with every execution booked.
    fn calm(&mut self, at: usize) {
        let slot = &mut self.slots[at];
        let missed = slot.denied[BY_LIST] > slot.known;
        if slot.state == OrderState::Live && !missed && slot.booked >= slot.reported {
            (slot.due, slot.tries) = (MonoNanos::NEVER, 0);
        }
    }

    fn chase(&mut self, at: usize, now: MonoNanos) -> Chase {
        let slot = &mut self.slots[at];
        slot.tries = slot.tries.saturating_add(1);
        let again = now.after((ASK_FIRST_NS << slot.tries.min(8)).min(ASK_LAST_NS));
        match slot.state {
            OrderState::PendingNew => {
                self.step(at, Cause::Overdue, now);
                Chase::AckTimeout
            }
            OrderState::PendingCancel => {
                self.step(at, Cause::Overdue, now);
                Chase::Ask
            }
            OrderState::Unknown => {
                let (seen, cancels, tries) = (slot.seen, slot.cancels, slot.tries);
                self.set_due(at, again);
                match (seen, cancels) {
                    (true, CANCELS_FAILED..) => Chase::CancelAll,
                    (true, _) => Chase::Cancel,
                    (false, _) if tries == 2 => Chase::Cancel,
                    (false, _) => Chase::Ask,
                }
            }
            OrderState::Live | OrderState::Done => {
                // A question may fail: it is asked again until something says how the order is.
                let missed = slot.denied[BY_LIST] > slot.known || slot.booked >= slot.reported;
                let doubted = slot.state == OrderState::Live && missed;
                self.set_due(at, again);
                if doubted { Chase::Ask } else { Chase::Fills }
            }
        }
    }
}

/// Orders that are not of this run.
impl OrderTable<'_> {
    fn not_in_table(&self, client: ClientId) -> Effect {
        // Sent beside the engine, which learns of it by its executions.
        if client.is_closing() {
            return Effect { whose: Whose::Closing, ..Effect::default() };
        }
        let this_run = client.is_own() && client.epoch == self.epoch;
        let whose = match client {
            _ if this_run => Whose::Forgotten,
            client if client.is_own() => Whose::Older,
            _ => Whose::Foreign,
        };
        let never = this_run && client.number >= self.next_number;
        let contradiction = never.then_some(Contradiction::NeverIssued);
        Effect { whose, contradiction, ..Effect::default() }
    }

    fn orphan(&mut self, update: &OrderUpdate, asked: MonoNanos, now: MonoNanos) -> Effect {
        let effect = Effect { contradiction: None, ..self.not_in_table(update.client) };
        let place = self.orphans[..self.orphans_len]
            .iter()
            .position(|known| same_order(known, update.order_id, update.client));
        let working = match update.status {
            OrderStatus::New | OrderStatus::Live | OrderStatus::PartiallyFilled => true,
            OrderStatus::Filled | OrderStatus::Canceled => false,
            OrderStatus::NotFound => return effect,
        };
        let lots = Lots(update.lots.0.saturating_sub(update.filled.0).max(0));
        match place {
            Some(place) if working => {
                let orphan = &mut self.orphans[place];
                (orphan.lots, orphan.known) = (lots, orphan.known.max(asked));
                effect
            }
            Some(place) => {
                self.remove_orphan(place);
                effect
            }
            None if !working => effect,
            None if self.planted.has(Defect::OrphansNotScanned) && effect.whose == Whose::Older => {
                effect
            }
            // It takes at once or not at all; what a query still shows is canceled.
            None if effect.whose == Whose::Closing && update.source != Source::Query => effect,
            // Nothing to name it by, so nothing to cancel: the next list has its id.
            None if update.order_id == 0 && !update.client.is_own() => effect,
            None if self.orphans_len == self.orphans.len() => Effect { full: true, ..effect },
            None => {
                self.orphans[self.orphans_len] = Orphan {
                    order_id: update.order_id,
                    client: update.client,
                    instrument: update.instrument,
                    side: update.side,
                    price: update.price,
                    lots,
                    seen: now,
                    cancel_sent: MonoNanos::ZERO,
                    cancels: 0,
                    known: asked,
                };
                self.orphans_len += 1;
                Effect { appeared: true, ..effect }
            }
        }
    }

    fn orphan_filled(&mut self, fill: &Fill) {
        let orphans = &mut self.orphans[..self.orphans_len];
        if let Some(orphan) =
            orphans.iter_mut().find(|known| same_order(known, fill.order_id, fill.client))
        {
            orphan.lots = Lots(orphan.lots.0.saturating_sub(fill.lots.0).max(0));
        }
    }

    /// An order of the table that was kept as an orphan as well has ended.
    fn forget_orphan(&mut self, update: &OrderUpdate) {
        let orphans = &self.orphans[..self.orphans_len];
        let same = |known: &Orphan| same_order(known, update.order_id, update.client);
        if let Some(place) = orphans.iter().position(same) {
            self.remove_orphan(place);
        }
    }

    fn remove_orphan(&mut self, place: usize) {
        self.orphans_len -= 1;
        self.orphans[place] = self.orphans[self.orphans_len];
    }
}

/// Places, lists and sums.
impl OrderTable<'_> {
    const fn place(&self, number: u64) -> usize {
        number as usize & (self.slots.len() - 1)
    }

    /// Where an order of this run stands. Without a client id the venue's id is looked for.
    fn find(&self, client: ClientId, order_id: u64) -> Option<usize> {
        if client.is_own() {
            let at = self.place(client.number);
            return (client.epoch == self.epoch && self.slots[at].client == client).then_some(at);
        }
        if order_id == 0 {
            return None;
        }
        self.slots.iter().position(|slot| slot.client.is_own() && slot.order_id == order_id)
    }

    /// Visits every order of `instrument` that may be live or awaits executions.
    fn for_linked(&mut self, instrument: InstrumentId, mut visit: impl FnMut(&mut Self, usize)) {
        let all = 0..self.tallies.len();
        let indices = if instrument == InstrumentId::ALL {
            all
        } else {
            instrument.index()..(instrument.index() + 1).min(all.end)
        };
        for index in indices {
            for side in Side::BOTH {
                let mut at = self.tallies[index].heads[side.index()];
                while at != NONE {
                    let next = self.slots[at as usize].next;
                    visit(self, at as usize);
                    at = next;
                }
            }
        }
    }

    fn set_due(&mut self, at: usize, due: MonoNanos) {
        self.slots[at].due = due;
        self.next_due = self.next_due.min(due);
    }

    /// Changes a slot and carries the difference into the sums: the only way to do so.
    fn change(&mut self, at: usize, change: impl FnOnce(&mut Slot)) {
        let before = self.slots[at].exposure(self.planted);
        self.ended = self.ended.wrapping_sub(self.slots[at].ended_hash());
        change(&mut self.slots[at]);
        self.ended = self.ended.wrapping_add(self.slots[at].ended_hash());
        let slot = &self.slots[at];
        let after = slot.exposure(self.planted);
        let (index, side, price) =
            (slot.intent.instrument.index(), slot.intent.side.index(), slot.intent.price);
        self.next_due = self.next_due.min(slot.due);

        let tally = &mut self.tallies[index];
        tally.lots[side] += after.lots - before.lots;
        tally.value += i128::from((after.lots - before.lots).0) * i128::from(price.0);
        tally.orders[side] = tally.orders[side] + u16::from(after.open) - u16::from(before.open);
        tally.unknown = tally.unknown + u16::from(after.unknown) - u16::from(before.unknown);
        self.open = self.open + u32::from(after.open) - u32::from(before.open);
        self.unknown = self.unknown + u32::from(after.unknown) - u32::from(before.unknown);
        if after.linked() != self.slots[at].linked {
            if after.linked() {
                self.link(at);
            } else {
                self.unlink(at);
            }
        }
        if after.open != before.open {
            self.survey(index, side);
        }
    }

    fn link(&mut self, at: usize) {
        let intent = self.slots[at].intent;
        let here = u32::try_from(at).expect("fewer slots than 2^32");
        let head = &mut self.tallies[intent.instrument.index()].heads[intent.side.index()];
        let next = core::mem::replace(head, here);
        if next != NONE {
            self.slots[next as usize].prev = here;
        }
        let slot = &mut self.slots[at];
        (slot.linked, slot.prev, slot.next) = (true, NONE, next);
    }

    fn unlink(&mut self, at: usize) {
        let Slot { prev, next, intent, .. } = self.slots[at];
        if prev == NONE {
            self.tallies[intent.instrument.index()].heads[intent.side.index()] = next;
        } else {
            self.slots[prev as usize].next = next;
        }
        if next != NONE {
            self.slots[next as usize].prev = prev;
        }
        let slot = &mut self.slots[at];
        (slot.linked, slot.prev, slot.next) = (false, NONE, NONE);
        slot.due = MonoNanos::NEVER;
    }

    /// Finds best price and levels of one side anew; a side has few orders.
    fn survey(&mut self, index: usize, side: usize) {
        let (mut best, mut levels) = (None, 0);
        let open = Linked { slots: self.slots, at: self.tallies[index].heads[side] };
        for slot in open.filter(|slot| slot.state.is_open()) {
            let price = slot.intent.price;
            if best.is_none_or(|best| slot.intent.side.better(price, best)) {
                best = Some(price);
            }
            levels |= 1 << slot.intent.level;
        }
        self.tallies[index].best[side] = best;
        self.tallies[index].levels[side] = levels;
    }
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
        cancel_at: MonoNanos::ZERO,
        cancel_failed: MonoNanos::ZERO,
        seen: false,
        known: MonoNanos::ZERO,
        denied: [MonoNanos::ZERO; 2],
        doubted: MonoNanos::ZERO,
        due: MonoNanos::NEVER,
        tries: 0,
        linked: false,
        next: NONE,
        prev: NONE,
    };

    /// What may still be executed, or has been and is not booked.
    pub fn exposed(&self) -> Lots {
        self.exposure(Planted::NONE).lots
    }

    fn exposure(&self, planted: Planted) -> Exposure {
        let forgotten =
            planted.has(Defect::UnknownIsForgotten) && self.state == OrderState::Unknown;
        let open = self.state.is_open() && !forgotten;
        let whole = if open { self.intent.lots.max(self.reported) } else { self.reported };
        let lots = Lots((whole.0 - self.booked.0).max(0));
        Exposure { lots, open, unknown: self.state == OrderState::Unknown }
    }

    /// A query that was asked at `asked` does not have it.
    fn deny(&mut self, by: usize, asked: MonoNanos) {
        self.denied[by] = self.denied[by].max(asked);
        if asked > self.known && self.doubted <= self.known {
            self.doubted = asked;
        }
    }

    fn is_described_by(&self, update: &OrderUpdate) -> bool {
        let price = update.price.is_zero() || update.price == self.intent.price;
        let lots = update.lots.is_zero() || update.lots == self.intent.lots;
        let sane = update.filled >= Lots::ZERO && update.filled <= self.intent.lots;
        let place = (self.intent.instrument, self.intent.side);
        place == (update.instrument, update.side) && price && lots && sane
    }

    fn done(&self) -> OrderDone {
        OrderDone {
            instrument: self.intent.instrument,
            client: self.client,
            order_id: self.order_id,
            status: self.status,
            filled: self.booked.max(self.reported),
            reason: self.reason,
            sent: self.sent,
        }
    }

    fn fold(&self, digest: &mut Digest) {
        digest.fold(self.client.number);
        digest.fold(self.state as u64);
        digest.fold(self.order_id);
        digest.fold_signed(self.booked.0);
        digest.fold_signed(self.reported.0);
    }

    /// What an ended order adds to the digest of the table; 0 for any other.
    fn ended_hash(&self) -> u64 {
        if !self.client.is_own() || self.state.is_open() {
            return 0;
        }
        let mut digest = Digest::new();
        self.fold(&mut digest);
        digest.value()
    }
}

impl Tally {
    /// No orders.
    pub const EMPTY: Self = Self {
        heads: [NONE; 2],
        lots: [Lots::ZERO; 2],
        orders: [0; 2],
        unknown: 0,
        best: [None; 2],
        levels: [0; 2],
        value: 0,
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
        cancel_sent: MonoNanos::ZERO,
        cancels: 0,
        known: MonoNanos::ZERO,
    };
}

impl Effect {
    fn contradiction(what: Contradiction) -> Self {
        Self { contradiction: Some(what), ..Self::default() }
    }
}

/// What one order counts for.
#[derive(Clone, Copy)]
struct Exposure {
    lots: Lots,
    open: bool,
    unknown: bool,
}

impl Exposure {
    const fn linked(self) -> bool {
        self.open || self.lots.0 > 0
    }
}

/// Walks the list of one side.
struct Linked<'s> {
    slots: &'s [Slot],
    at: u32,
}

impl<'s> Iterator for Linked<'s> {
    type Item = &'s Slot;

    fn next(&mut self) -> Option<&'s Slot> {
        let slot = (self.at != NONE).then(|| &self.slots[self.at as usize])?;
        self.at = slot.next;
        Some(slot)
    }
}

fn same_order(known: &Orphan, order_id: u64, client: ClientId) -> bool {
    if order_id != 0 && known.order_id != 0 {
        return known.order_id == order_id;
    }
    client.is_own() && known.client == client
}

fn covers(scope: InstrumentId, instrument: InstrumentId) -> bool {
    scope == InstrumentId::ALL || scope == instrument
}

/// No slot.
const NONE: u32 = u32::MAX;
/// Places in [`Slot::denied`].
const BY_CLIENT: usize = 0;
const BY_LIST: usize = 1;
/// First and longest time between two questions for one order.
const ASK_FIRST_NS: u64 = 200 * MILLIS;
const ASK_LAST_NS: u64 = 2 * SECONDS;
/// Cancels of one order that have come to nothing when all of its instrument are canceled.
pub(crate) const CANCELS_FAILED: u16 = 3;

#[cfg(test)]
mod tests;
