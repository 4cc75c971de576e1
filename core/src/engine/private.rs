//! Private truth: orders, fills, positions, account, and what reconciliation asks for.

use super::{Engine, Stated};
use crate::command::{
    Booked, Cancel, CancelAll, CancelCause, Notice, NoticeKind, Outbox, Plain, Record,
};
use crate::event::{
    AccountReport, Bill, BillKind, BillsRead, CancelReason, ClientId, Fill, HoldMode, Mode,
    OrderStatus, OrderUpdate, Outcome, PositionReport, RejectClass, Reply, RequestKind, RestoreDay,
    Settings, Source,
};
use crate::gate::{Gate, TimeInForce};
use crate::instrument::{Instrument, InstrumentId};
use crate::ledger::{Booking, LedgerError};
use crate::markout;
use crate::order::{Chase, Effect, Whose};
use crate::planted::Defect;
use crate::reconcile::{self, Action};
use crate::trades::Admission;
use crate::units::{MonoNanos, Quote, Rate, UnixNanos};

/// A fill farther from mid than this is worth a warning (checklist item 7).
const DEVIATION: Rate = Rate::bps(100);

impl<G: Gate> Engine<'_, G> {
    pub(super) fn order_update(
        &mut self,
        update: &OrderUpdate,
        now: MonoNanos,
        out: &mut Outbox<'_>,
    ) {
        self.known(update.instrument);
        self.check_epoch(update.client);
        let asked = match update.source {
            Source::Query => self.reconcile.asked(),
            Source::Push | Source::FastPush => {
                self.account.private_at = now;
                now
            }
        };
        let effect = self.orders.on_update(update, asked, now);
        if self.params.commits(Defect::FillIsInferred) {
            self.infer_fill(update, now, out);
        }
        self.reconcile.on_order(update);
        self.count_temper(update, effect.whose, now);
        self.apply(effect, update.instrument, update.client, now, out);
    }

    /// Post-only orders refused for crossing come as cancels; they count as rejects in a row.
    fn count_temper(&mut self, update: &OrderUpdate, whose: Whose, now: MonoNanos) {
        if update.source == Source::Query || whose != Whose::Own {
            return;
        }
        match update.status {
            OrderStatus::Canceled if update.reason == CancelReason::PostOnly => {
                self.count_reject(now);
            }
            OrderStatus::Live | OrderStatus::PartiallyFilled | OrderStatus::Filled => {
                self.account.reject_streak = 0;
            }
            OrderStatus::Canceled | OrderStatus::New | OrderStatus::NotFound => {}
        }
    }

    /// A pause for rejects ends by itself: while nothing is sent, nothing can break the row.
    fn count_reject(&mut self, now: MonoNanos) {
        self.account.reject_streak += 1;
        if u64::from(self.account.reject_streak) > self.params.reject_streak_soft() {
            self.account.reject_pause_until = now.after(REJECT_PAUSE_NS);
        }
    }

    pub(super) fn reply(&mut self, reply: &Reply, now: MonoNanos, out: &mut Outbox<'_>) {
        self.account.private_at = now;
        if reply.client == ClientId::FOREIGN {
            return;
        }
        let effect = self.orders.on_reply(reply, now);
        if reply.request == RequestKind::Place && reply.outcome == Outcome::Rejected {
            self.count_reject(now);
            self.counters.rejects += 1;
            if reply.class == RejectClass::Rules {
                self.doubt_rules(reply.instrument, now, out);
            }
            out.record(Record::Notice(Notice {
                kind: NoticeKind::DidFailOrder,
                instrument: reply.instrument,
                client: reply.client,
                order_id: reply.order_id,
                a: i64::from(reply.code),
                b: i64::from(reply.class as u8),
            }));
        }
        self.apply(effect, reply.instrument, reply.client, now, out);
    }

    /// The venue refuses by rules that are not ours: nothing is placed here until they have been
    /// read again, which is asked for at once.
    fn doubt_rules(&mut self, id: InstrumentId, now: MonoNanos, out: &mut Outbox<'_>) {
        self.known(id);
        let view = &mut self.views[id.index()];
        if view.rules_refused <= view.rules_at {
            view.rules_refused = now.max(view.rules_at.after(1));
            out.plain(Plain::Query(self.reconcile.ask_rules()));
        }
    }

    /// A fill changes the position first and the order second, even when the table of states says
    /// that it is unexpected: money is never refused.
    pub(super) fn fill(&mut self, fill: &Fill, now: MonoNanos, out: &mut Outbox<'_>) {
        self.known(fill.instrument);
        self.check_epoch(fill.client);
        if fill.source != Source::Query {
            self.account.private_at = now;
        }
        let utc = self.utc_or_zero(now);
        let ended = |client| self.orders.order(client).is_some_and(|order| !order.state.is_open());
        if self.params.commits(Defect::LateFillDropped) && ended(fill.client) {
            return self.reconcile.on_fill(fill, false, utc);
        }
        let as_cost;
        let fill = if self.params.commits(Defect::RebateIsFee) {
            as_cost = Fill { fee: fill.fee.abs(), ..*fill };
            &as_cost
        } else {
            fill
        };
        let before = self.ledger.flow().net();
        match self.trades.admit(fill) {
            Admission::New => match self.ledger.fill(fill) {
                Ok(booking) => {
                    self.charge(fill, now, utc);
                    self.reconcile.on_fill(fill, true, utc);
                    self.booked(fill, booking, now, out);
                }
                Err(_) => self.account.contradiction = true,
            },
            Admission::Duplicate => self.reconcile.on_fill(fill, false, utc),
            Admission::Fee => {
                self.ledger.late_fee(fill);
                self.charge(fill, now, utc);
                self.reconcile.on_fill(fill, false, utc);
            }
            Admission::Contradiction => self.account.contradiction = true,
            // Older than what is remembered: only the ledger on disk can tell whether it is booked.
            // It counts in its pass all the same, or no pass over it would ever be complete.
            Admission::Old if fill.source == Source::Query => {
                self.reconcile.on_fill(fill, false, utc);
            }
            // The venue tells again what an earlier run booked, or for the first time what it
            // missed. Nothing is booked by guess: if it was missed, the positions differ, and that
            // stops.
            Admission::Old => {
                self.counters.unexpected += 1;
                self.reconcile.want_positions(now);
            }
            Admission::Full => self.account.capacity = true,
        }
        let moved = self.ledger.flow().net() - before;
        if self.ledger.balance().is_some() && fill.ts <= self.balance_at {
            self.ledger.is_within(moved);
        }
        self.carry_forward(fill.ts, moved);
    }

    /// A balance that was stated before `at` lacks what has just been booked; the ledger that is
    /// begun with it must not. Of one that was stated at about the same time nobody knows.
    fn carry_forward(&mut self, at: UnixNanos, moved: Quote) {
        if moved == Quote::ZERO {
            return;
        }
        self.moved_at = self.moved_at.max(at);
        match &mut self.stated {
            Some(stated) if self.ledger.balance().is_none() && are_near(at, stated.at) => {
                self.stated = None;
            }
            Some(stated) if at > stated.at => stated.balance += moved,
            Some(_) | None => {}
        }
    }

    fn booked(&mut self, fill: &Fill, booking: Booking, now: MonoNanos, out: &mut Outbox<'_>) {
        let effect = self.orders.on_fill(fill, now);
        let view = &self.views[fill.instrument.index()];
        let desk = &mut self.desks[fill.instrument.index()];
        let regime = desk.signals.regime();
        let mid_x2 = view.last_mid_x2;
        out.record(Record::Booked(Booked {
            instrument: fill.instrument,
            client: fill.client,
            order_id: fill.order_id,
            trade_id: fill.trade_id,
            side: fill.side,
            maker: fill.maker,
            price: fill.price,
            lots: fill.lots,
            fee: fill.fee,
            realized: booking.realized,
            mid_x2,
            spread: desk.desired.spread,
            drift: desk.signals.drift(),
            regime,
            state: self.account.state,
            ts: fill.ts,
        }));
        let fee = if fill.maker { view.maker } else { view.taker };
        let (side, price) = (fill.side, fill.price);
        desk.markout.on_fill(markout::Fill { side, price, fee, regime }, now);
        self.warn_of(fill, mid_x2, effect.whose, out);
        self.apply(effect, fill.instrument, fill.client, now, out);
        self.record_day(out);
    }

    /// Fills far from mid, of nobody's order, or of a post-only order as taker.
    fn warn_of(&mut self, fill: &Fill, mid_x2: i64, whose: Whose, out: &mut Outbox<'_>) {
        let (instrument, client, order_id) = (fill.instrument, fill.client, fill.order_id);
        let away = i128::from((fill.price.0 * 2 - mid_x2).abs()) * i128::from(crate::units::E8);
        let tell = |kind, a, b, out: &mut Outbox<'_>| {
            out.record(Record::Notice(Notice { kind, instrument, client, order_id, a, b }));
        };
        if mid_x2 > 0 && away > i128::from(DEVIATION.0) * i128::from(mid_x2) {
            let share = i64::try_from(away / i128::from(mid_x2)).unwrap_or(i64::MAX);
            tell(NoticeKind::FillDeviation, share, fill.price.0, out);
        }
        if whose == Whose::Foreign {
            tell(NoticeKind::ForeignFill, fill.lots.0, fill.price.0, out);
        }
        let post_only = self
            .orders
            .order(client)
            .is_some_and(|order| order.intent.time_in_force == TimeInForce::PostOnly);
        if !fill.maker && whose == Whose::Own && post_only {
            self.account.taker_fills += 1;
        }
    }

    pub(super) fn position_report(&mut self, report: &PositionReport, now: MonoNanos) {
        self.known(report.instrument);
        if report.source != Source::Query {
            self.account.private_at = now;
        }
        if report.leverage > 0 {
            self.account.leverage = self.account.leverage.max(report.leverage);
        }
        self.reconcile.on_position(report, &self.ledger, now);
    }

    pub(super) fn account_report(&mut self, report: &AccountReport, now: MonoNanos) {
        if report.source != Source::Query {
            self.account.private_at = now;
        }
        self.account.margin_ratio = (report.margin_ratio.0 >= 0).then_some(report.margin_ratio);
        self.reconcile.on_account(report);
        // One that was stated before what is booked already would be taken for having it.
        let begun = self.ledger.balance().is_some();
        let after = report.ts > self.moved_at && !are_near(report.ts, self.moved_at);
        if report.source == Source::Query && (begun || after) {
            let (balance, at, heard) = (report.balance, report.ts, now.after(1));
            self.stated = Some(Stated { balance, at, heard });
        }
        self.told = Some(report.balance);
    }

    /// A balance that stays off ours by the same amount has no execution on its way that would
    /// explain it: money has moved by something else, such as a funding at an odd time. Its bill is
    /// asked for; nothing is booked without one. When some passes over the bills do not explain
    /// it, somebody trades or pays here that nothing is known of. The venue may have no reason to
    /// tell the balance twice: how long it has been off is looked at in every round.
    pub(super) fn compare_balance(&mut self, now: MonoNanos) {
        let (Some(told), Some(ours)) = (self.told, self.ledger.balance()) else { return };
        let above = Quote(told.0.saturating_sub(ours.0));
        if above != self.above {
            (self.above, self.above_since) = (above, now);
        }
        let off = above.0.unsigned_abs();
        // Most rounds need not look at every contract's rules.
        let rounding = if off <= FEES_ROUNDED { FEES_ROUNDED } else { self.rounding() };
        self.balance_off = off > rounding;
        if !self.balance_off {
            self.off_since_pass = None;
            self.account.balance_unexplained = false;
            return;
        }
        if now.since(self.above_since) < ON_ITS_WAY_NS {
            return;
        }
        if now >= self.bills_at {
            self.bills_at = now.after(BILLS_AGAIN_NS);
            self.reconcile.want_bills(now);
        }
        if off <= rounding.saturating_add(ours.0.unsigned_abs() / UNEXPLAINED_PART) {
            self.off_since_pass = None;
            self.account.balance_unexplained = false;
            return;
        }
        // Counted from when it matters: a residue of long ago must not leave what comes on top
        // without its passes. The first of them may have been asked before.
        let passes = self.reconcile.bill_passes();
        let since = *self.off_since_pass.get_or_insert(passes);
        if passes.wrapping_sub(since) > BILL_PASSES {
            self.account.balance_unexplained = true;
        }
    }

    /// Balances that differ by no more are equal, as far as they tell, in 1e-8 USDT: by rounding,
    /// and by fees that are not known.
    fn rounding(&self) -> u64 {
        let rules = self.views[..self.instruments].iter().filter_map(|view| view.rules);
        let unit = |rules: Instrument| rules.quote_per_tick_lot().unsigned_abs();
        let apart = FEES_ROUNDED.saturating_add(self.ledger.fees_missing_most().0.unsigned_abs());
        rules
            .map(unit)
            .fold(apart, |sum, unit| sum.saturating_add(unit.saturating_mul(COST_ROUNDED)))
    }

    pub(super) fn settings(&mut self, settings: &Settings, now: MonoNanos) {
        self.account.settings_at = now;
        if settings.leverage > 0 {
            self.account.leverage = settings.leverage;
        }
        let one_way = settings.hold_mode == HoldMode::OneWay;
        let fit = one_way && !settings.isolated && settings.may_trade;
        let exposed = settings.may_move_money || !settings.ip_bound;
        let mixed = settings.deducts_fees || settings.owes || settings.other_coins;
        let refused = self.mode == Mode::Live && (exposed || mixed);
        self.account.settings_fit = Some(fit && !refused);
    }

    /// Books a bill that no run has booked, whenever its money has moved: the ledger begins only
    /// once the bills have been read, and with a balance that has what moved before it was stated.
    ///
    /// A transfer moves the marks that losses are measured from, so these are made durable with it.
    pub(super) fn bill(&mut self, bill: &Bill, out: &mut Outbox<'_>) {
        self.reconcile.on_bill();
        let begun = self.ledger.balance().is_some();
        let within = begun && bill.ts <= self.balance_at;
        // A balance that is not stated yet will have it.
        let awaited = !begun && self.stated.is_none_or(|stated| bill.ts <= stated.at);
        let past = bill.ts <= self.reconcile.bills_from() && (within || awaited);
        if past && !self.ledger.knows_bill(bill.bill_id) {
            return;
        }
        if self.params.commits(Defect::FundingNotBooked) && bill.kind == BillKind::Funding {
            return;
        }
        let before = self.ledger.flow().net();
        match self.ledger.bill(bill, within) {
            Ok(true) => {
                out.record(Record::BillBooked(*bill));
                self.record_day(out);
                self.account.bill_unknown |= bill.kind == BillKind::Unknown;
            }
            Ok(false) => {}
            Err(LedgerError::OtherBill) => self.account.contradiction = true,
            Err(_) => self.account.capacity = true,
        }
        self.carry_forward(bill.ts, self.ledger.flow().net() - before);
    }

    /// A bill that an earlier run has booked is in the balance and in the marks.
    pub(super) fn restore_bill(&mut self, bill: &Bill) {
        match self.ledger.restore_bill(bill) {
            Ok(()) => {}
            Err(LedgerError::OtherBill) => self.account.contradiction = true,
            Err(_) => self.account.capacity = true,
        }
    }

    pub(super) fn restore_day(&mut self, day: &RestoreDay, out: &mut Outbox<'_>) {
        if !self.params.commits(Defect::DayOpensAnew) {
            self.ledger.restore_day(day);
        }
        self.earlier_over_rest = day.over_rest;
        if day.latched {
            let change = self.guard.restore(day.incident, crate::guard::Reasons(day.reasons));
            self.account.state = change.to;
            out.record(Record::GuardChanged(change));
        }
        self.notice(NoticeKind::DayRestored, InstrumentId::ALL, [day.day, day.realized.0], out);
    }

    /// The private stream is gone: what is in flight is unknown, and everything is canceled by the
    /// other way in.
    pub(super) fn lose_private(&mut self, now: MonoNanos, out: &mut Outbox<'_>) {
        self.account.private_live = false;
        self.orders.lost_stream(now);
        self.reconcile.stream(false, now);
        if self.orders.open_orders() > 0 {
            self.cancel_everything(now, out);
        }
    }

    /// Does what an event's effect on the orders calls for.
    fn apply(
        &mut self,
        effect: Effect,
        id: InstrumentId,
        client: ClientId,
        now: MonoNanos,
        out: &mut Outbox<'_>,
    ) {
        self.account.contradiction |= effect.contradiction.is_some();
        self.account.capacity |= effect.full;
        self.counters.unexpected += u64::from(effect.unexpected);
        if let Some(done) = effect.done {
            out.record(Record::OrderDone(done));
        }
        if effect.ask {
            let query = self.reconcile.ask_order(id, client);
            out.plain(Plain::Query(query));
        }
        if effect.appeared {
            self.cancel_orphans(now, out);
        }
        if id != InstrumentId::ALL {
            self.refresh_view(id);
        }
    }

    /// Chases orders whose acknowledgment or end is overdue.
    pub(super) fn chase_orders(&mut self, now: MonoNanos, out: &mut Outbox<'_>) {
        while Self::has_room(out) {
            let Some(overdue) = self.orders.overdue(now) else { break };
            let (id, client) = (overdue.instrument, overdue.client);
            if overdue.chase == Chase::Fills {
                self.reconcile.want_fills(now);
                continue;
            }
            if overdue.chase == Chase::AckTimeout {
                let waited = i64::try_from(overdue.waited_ns).unwrap_or(i64::MAX);
                out.record(Record::Notice(Notice {
                    kind: NoticeKind::AckTimeout,
                    instrument: id,
                    client,
                    order_id: overdue.order_id,
                    a: waited,
                    b: 0,
                }));
                if self.params.commits(Defect::TimeoutIsFailure) {
                    self.take_as_failed(id, client, now, out);
                    continue;
                }
            }
            out.plain(Plain::Query(self.reconcile.ask_order(id, client)));
            self.reconcile.want_orders(now);
            // Single cancels have failed before all are canceled: each goes by a way of its own,
            // and either may be the slow one.
            if matches!(overdue.chase, Chase::Cancel | Chase::CancelAll) {
                let order_id = overdue.order_id;
                let cause = CancelCause::AckTimeout;
                self.cancel(Cancel { instrument: id, client, order_id, cause }, now, out);
            }
            if overdue.chase == Chase::CancelAll {
                out.plain(Plain::CancelAll(CancelAll { instrument: id }));
                self.orders.cancel_all_sent(id, now);
            }
            self.refresh_view(id);
        }
    }

    /// Cancels orders that are not of this run: own ones of earlier runs always, others by policy.
    pub(super) fn cancel_orphans(&mut self, now: MonoNanos, out: &mut Outbox<'_>) {
        let halt = self.params.foreign_orders() == 1
            && !self.params.commits(Defect::ForeignOrdersCanceled);
        while Self::has_room(out) {
            let due = self.orders.orphans().find(|orphan| {
                let again = orphan.cancel_sent.after(ORPHAN_CANCEL_NS);
                (orphan.client.is_own() || !halt) && (orphan.cancels == 0 || now >= again)
            });
            let Some(&orphan) = due else { break };
            let first = orphan.cancels == 0;
            let cancel = Cancel {
                instrument: orphan.instrument,
                client: orphan.client,
                order_id: orphan.order_id,
                cause: CancelCause::Orphan,
            };
            self.cancel(cancel, now, out);
            if first {
                self.counters.startup_orphans += u32::from(!self.account.ready);
                out.record(Record::Notice(Notice {
                    kind: NoticeKind::OrphanCanceled,
                    instrument: orphan.instrument,
                    client: orphan.client,
                    order_id: orphan.order_id,
                    a: orphan.price.0,
                    b: orphan.lots.0,
                }));
            }
        }
    }

    /// Turns what reconciliation wants into commands.
    pub(super) fn poll_reconcile(&mut self, now: MonoNanos, out: &mut Outbox<'_>) {
        let utc = self.trusted_utc(now).unwrap_or(UnixNanos(0));
        while Self::has_room(out) {
            match self.reconcile.poll(utc, now) {
                Some(Action::Ask(query)) => out.plain(Plain::Query(query)),
                Some(Action::Drift { instrument, ours, theirs }) => {
                    if self.params.commits(Defect::PositionIsAdopted) {
                        self.adopt(instrument, theirs);
                    }
                    let lots = [ours.0, theirs.0];
                    self.notice(NoticeKind::PositionDrift, instrument, lots, out);
                }
                Some(Action::Agreed) => {}
                Some(Action::Close(horizon)) => self.trades.close(horizon),
                Some(Action::BillsRead(until)) => {
                    out.record(Record::BillsRead(BillsRead { until }));
                    self.ledger.close_bills(reconcile::bills_since(until));
                }
                None => break,
            }
        }
        self.trades.sweep(SWEEP_SLOTS);
        self.ledger.sweep_bills(SWEEP_SLOTS);
    }
}

/// What fees that are rounded apart may add up to, in 1e-8 USDT.
const FEES_ROUNDED: u64 = 100;

/// What each position's cost may be rounded apart by, in tick-lots: a part that is closed takes its
/// share of the cost to a whole tick-lot here, and to a unit at the venue.
const COST_ROUNDED: u64 = 16;

/// True when times that two parts of the venue tell say nothing of which came first: one tells of
/// executions, another of the account, and each has its clock.
const fn are_near(one: UnixNanos, other: UnixNanos) -> bool {
    one.0.abs_diff(other.0) <= PARTS_APART_NS
}

/// Clocks of the venue's parts are no farther apart.
const PARTS_APART_NS: u64 = crate::units::SECONDS;

/// An execution may come this much later than the balance that it led to.
const ON_ITS_WAY_NS: u64 = crate::units::SECONDS;

/// Passes over the bills that must leave a difference of balances unexplained before it pauses.
const BILL_PASSES: u32 = 3;

/// A difference of no more than this part of the balance does not pause: what closed parts of a
/// position are rounded apart by adds up while it is never flat.
const UNEXPLAINED_PART: u64 = 100_000;

/// A bill may be listed later than its money moves: it is asked for again this much later.
const BILLS_AGAIN_NS: u64 = 10 * crate::units::SECONDS;

/// How long a reject pauses that is one of too many in a row.
const REJECT_PAUSE_NS: u64 = 30 * crate::units::SECONDS;

/// How long an orphan's cancel is given before it is sent again.
const ORPHAN_CANCEL_NS: u64 = crate::units::SECONDS;

/// Places of the tables of ids of executions and of bills that are looked at each time.
const SWEEP_SLOTS: usize = 64;
