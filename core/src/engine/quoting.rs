//! Quoting: from what is desired, through plan and gate, to commands.

use super::{Desk, Engine};
use crate::command::{
    Cancel, CancelAll, CancelCause, Command, NoticeKind, Outbox, Plain, Record, RegimeChanged,
};
use crate::event::ClientId;
use crate::gate::{Gate, Intent, Purpose, Refusal, TimeInForce, View, submit};
use crate::guard::{GuardState, Reason, Reasons};
use crate::instrument::InstrumentId;
use crate::lifecycle::OrderState;
use crate::model::RegimeModel;
use crate::order::{CANCELS_FAILED, Slot};
use crate::plan::{self, Action, NO_SLOTS, Slots};
use crate::planted::Defect;
use crate::quote::{self, Desired, Level, QuoteInputs};
use crate::regime::Regime;
use crate::units::{MonoNanos, Rate, SECONDS, Side};

/// How far quoting may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stance {
    /// Nothing is quoted.
    Nothing,
    /// Only what shrinks the position.
    Shrink,
    /// Both sides.
    Both,
}

/// Above this many orders of one instrument they are ended by one request for all.
const PULL_SINGLY_MAX: usize = 20;

impl<G: Gate> Engine<'_, G> {
    /// Looks at the quotes of every desk that is `wanted`.
    pub(super) fn requote_where(
        &mut self,
        wanted: impl Fn(&Desk<'_>) -> bool,
        now: MonoNanos,
        out: &mut Outbox<'_>,
    ) {
        for index in 0..self.instruments {
            if !wanted(&self.desks[index]) {
                continue;
            }
            if Self::has_room(out) {
                self.requote(InstrumentId(index as u16), now, out);
            } else {
                // At the very next step.
                self.desks[index].due = now;
                self.unfinished = true;
            }
        }
    }

    /// Brings one instrument's orders nearer to what is desired, or pulls them.
    pub(super) fn requote(&mut self, id: InstrumentId, now: MonoNanos, out: &mut Outbox<'_>) {
        let stance = self.stance(id, now);
        if stance == Stance::Nothing {
            self.desks[id.index()].desired = Desired::NONE;
            self.desks[id.index()].due = now.after(SECONDS);
            if self.params.commits(Defect::PauseKeepsQuotes) {
                return;
            }
            return self.pull(id, now, out);
        }
        let regime = self.regime(id, now, out);
        let quoting = self.desks[id.index()].flow.quoting();
        let Some(desired) = self.desired(id, stance, regime, now) else {
            return self.pull(id, now, out);
        };
        let turned = self.desks[id.index()].flow.quoting();
        if turned != quoting {
            self.notice(NoticeKind::ModelTurned, id, [turned as i64, 0], out);
        }
        let slots = self.slots(id);
        let desk = &mut self.desks[id.index()];
        desk.desired = desired;
        let plan = plan::plan(&self.params, &desired, &slots, &mut desk.pace, now);
        for action in plan.actions() {
            match action {
                Action::Cancel { client, .. } => self.requote_cancel(id, client, now, out),
                Action::Place { side, level, order } => {
                    self.place(id, side, level, order, now, out);
                }
            }
        }
        let desk = &mut self.desks[id.index()];
        let refresh = self.params.refresh_s(desk.signals.regime());
        let paced =
            if plan.paced > 0 { desk.pace.ready_at(&self.params) } else { MonoNanos::NEVER };
        desk.due = [
            now.after(refresh),
            paced.max(now.after(1)),
            desk.signals.deadline().max(now.after(1)),
            desk.markout.deadline(&self.params, now),
            desk.flow.deadline(&self.params, now),
            self.views[id.index()]
                .known_at(&self.account)
                .after(self.params.book_silence_ms() + 1)
                .max(now.after(1)),
        ]
        .into_iter()
        .fold(MonoNanos::NEVER, MonoNanos::min);
        self.due = self.due.min(desk.due);
    }

    /// How far quoting may go on one instrument. A pause for too much inventory leaves the side
    /// that shrinks it, or nothing but the market could ever end it; so does one until midnight.
    fn stance(&self, id: InstrumentId, now: MonoNanos) -> Stance {
        if !self.account.ready || !self.reasons(id, now).is_empty() {
            return Stance::Nothing;
        }
        let inventory = Reasons::NONE
            .with(Reason::BasePct)
            .with(Reason::MarginRatio)
            .with(Reason::CreatesPerDay);
        let held = !self.views[id.index()].position.is_zero();
        match self.account.state {
            GuardState::Running => Stance::Both,
            GuardState::SoftPause if held && self.guard.soft().union(inventory) == inventory => {
                Stance::Shrink
            }
            GuardState::SoftPause | GuardState::HardStop => Stance::Nothing,
        }
    }

    /// The regime by now: one may take over by time alone.
    fn regime(&mut self, id: InstrumentId, now: MonoNanos, out: &mut Outbox<'_>) -> Regime {
        let signals = &mut self.desks[id.index()].signals;
        let before = signals.regime();
        let Some(regime) = signals.advance(&self.params, now) else { return before };
        self.regime_changed(id, before, regime, out);
        regime
    }

    fn desired(
        &mut self,
        id: InstrumentId,
        stance: Stance,
        regime: Regime,
        now: MonoNanos,
    ) -> Option<Desired> {
        let view = &self.views[id.index()];
        let desk = &mut self.desks[id.index()];
        let rules = view.rules?;
        let elsewhere = self.account.open_notional - desk.open_notional;
        let weighed = !self.params.imbalance_weight().is_zero();
        let inputs = QuoteInputs {
            rules: &rules,
            touch: desk.book.touch()?,
            imbalance: if weighed { desk.book.imbalance() } else { Rate::ZERO },
            regime,
            band: desk.signals.band(),
            drift: desk.signals.drift(),
            equity: self.account.equity?,
            position: view.position,
            turnover: self.account.turnover,
            maker: view.maker,
            funding: desk.ticker.map_or(Rate::ZERO, |ticker| ticker.funding_rate),
            room: self.params.max_total_notional_quote() - elsewhere,
            reduce_only: stance == Stance::Shrink,
        };
        let (params, markout) = (&self.params, &mut desk.markout);
        Some(match desk.flow.model(params, inputs.band, now) {
            Some(glft) => quote::desired(params, &inputs, &glft, markout, now),
            None => quote::desired(params, &inputs, &RegimeModel, markout, now),
        })
    }

    /// What stands on each level: only an order that rests may be kept or canceled by the plan.
    fn slots(&self, id: InstrumentId) -> Slots {
        let mut slots = NO_SLOTS;
        for side in Side::BOTH {
            for order in self.orders.open(id, side) {
                let level = usize::from(order.intent.level);
                if let Some(slot) = slots[side.index()].get_mut(level) {
                    *slot = plan_slot(order);
                }
            }
        }
        slots
    }

    fn requote_cancel(
        &mut self,
        id: InstrumentId,
        client: ClientId,
        now: MonoNanos,
        out: &mut Outbox<'_>,
    ) {
        let Some(order) = self.orders.order(client) else { return };
        let order_id = order.order_id;
        let cause = CancelCause::Requote;
        self.cancel(Cancel { instrument: id, client, order_id, cause }, now, out);
        self.refresh_view(id);
        let budget = self.params.cancel_budget_per_min();
        if self.desks[id.index()].cancels.count(budget, now) {
            let episode = self.ledger.cancel_episode();
            self.account.cancel_episodes = episode;
            self.account.cancel_pause_until = now.after(self.params.cancel_pause_s());
            self.unfinished = true;
            self.notice(NoticeKind::CancelEpisode, id, [i64::from(episode), 0], out);
            self.record_day(out);
        }
    }

    fn place(
        &mut self,
        id: InstrumentId,
        side: Side,
        level: u8,
        order: Level,
        now: MonoNanos,
        out: &mut Outbox<'_>,
    ) {
        let Some(client) = self.orders.next_client() else {
            self.account.capacity = true;
            return;
        };
        let intent = Intent {
            instrument: id,
            side,
            price: order.price,
            lots: order.lots,
            time_in_force: TimeInForce::PostOnly,
            reduce_only: order.reduce_only,
            level,
            purpose: match self.account.state {
                GuardState::SoftPause => Purpose::Derisk,
                _ if order.probe => Purpose::Probe,
                _ => Purpose::Quote,
            },
            made: now,
        };
        let view = View {
            params: &self.params,
            account: &self.account,
            instruments: &self.views[..self.instruments],
        };
        match submit(&mut self.gate, intent, client, &view, now) {
            Ok(approved) => {
                self.orders.placed(approved.spec(), now);
                out.push(Command::Place(approved));
                self.count_create(out);
                self.refresh_view(id);
            }
            Err(refusal) => self.refused(id, refusal, now, out),
        }
    }

    /// Counts a create against the day's; the one that uses it up moves the guard at once.
    fn count_create(&mut self, out: &mut Outbox<'_>) {
        if self.ledger.create_sent() {
            self.record_day(out);
        }
        self.account.creates_today = self.ledger.creates();
        self.unfinished |=
            u64::from(self.account.creates_today) >= self.params.creates_per_day_soft();
    }

    /// Counts a refusal, and tells of it at most once a second and instrument.
    fn refused(
        &mut self,
        id: InstrumentId,
        refusal: Refusal,
        now: MonoNanos,
        out: &mut Outbox<'_>,
    ) {
        self.counters.refusals += 1;
        let desk = &mut self.desks[id.index()];
        if now.since(desk.refusal_told) >= SECONDS || desk.refusal_told == MonoNanos::ZERO {
            desk.refusal_told = now;
            self.notice(NoticeKind::Refused, id, [i64::from(refusal as u8), 0], out);
        }
    }

    /// Ends every order of one instrument that is not already being ended, also where nobody knows
    /// yet whether it rests. One that rests although it was canceled is canceled again, and after
    /// some failures with all others by the other way in.
    pub(super) fn pull(&mut self, id: InstrumentId, now: MonoNanos, out: &mut Outbox<'_>) {
        self.end_working(id, now, out);
        // One whose cancel nobody answers is canceled again in time, not at the next look.
        let again = self.params.order_ack_timeout_s();
        let orders = Side::BOTH.into_iter().flat_map(|side| self.orders.open(id, side));
        let unknown = orders.filter(|order| order.state == OrderState::Unknown);
        let due = unknown.map(|order| order.cancel_at.after(again).max(now.after(1))).min();
        let desk = &mut self.desks[id.index()];
        desk.due = desk.due.min(due.unwrap_or(MonoNanos::NEVER));
        self.due = self.due.min(desk.due);
    }

    fn end_working(&mut self, id: InstrumentId, now: MonoNanos, out: &mut Outbox<'_>) {
        let again = self.params.order_ack_timeout_s();
        let ends = |order: &&Slot| match order.state {
            OrderState::PendingNew | OrderState::Live => true,
            OrderState::Unknown => now.since(order.cancel_at) >= again,
            OrderState::PendingCancel | OrderState::Done => false,
        };
        let (mut working, mut stubborn) = (0, false);
        for order in Side::BOTH.into_iter().flat_map(|side| self.orders.open(id, side)).filter(ends)
        {
            working += 1;
            stubborn |= order.cancels >= CANCELS_FAILED;
        }
        if working == 0 {
            return;
        }
        // Singly goes by one way and all by another: where one may be slow, both are taken.
        let singly = working <= PULL_SINGLY_MAX && Self::has_room(out);
        for side in Side::BOTH.into_iter().filter(|_| singly) {
            loop {
                let order = self.orders.open(id, side).find(ends).map(|o| (o.client, o.order_id));
                let Some((client, order_id)) = order else { break };
                let cause = CancelCause::Safety;
                self.cancel(Cancel { instrument: id, client, order_id, cause }, now, out);
            }
        }
        let swept = &mut self.desks[id.index()].swept;
        if !singly || (stubborn && now.since(*swept) >= again) {
            *swept = now;
            out.plain(Plain::CancelAll(CancelAll { instrument: id }));
            self.orders.cancel_all_sent(id, now);
        }
        self.refresh_view(id);
    }

    pub(super) fn regime_changed(
        &mut self,
        id: InstrumentId,
        from: Regime,
        to: Regime,
        out: &mut Outbox<'_>,
    ) {
        out.record(Record::RegimeChanged(RegimeChanged { instrument: id, from, to }));
    }
}

fn plan_slot(order: &Slot) -> plan::Slot {
    let price = order.intent.price;
    match order.state {
        OrderState::Live => plan::Slot::Working {
            client: order.client,
            price,
            lots: order.intent.lots - order.booked,
            reduce_only: order.intent.reduce_only,
        },
        OrderState::PendingNew | OrderState::PendingCancel | OrderState::Unknown => {
            plan::Slot::Busy { price }
        }
        OrderState::Done => plan::Slot::Empty,
    }
}
