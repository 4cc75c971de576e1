//! The engine: state × event × now → state × commands.
//!
//! [`Engine::step`] is the whole contract. It reads no clock, writes no log and owns no memory. It
//! never receives ticks: it states a [`deadline`](Engine::deadline), and whoever runs it sends one
//! [`Timer`](crate::event::Timer) when `now` has passed it. The first event is
//! [`Boot`]. What is asked for in a step fits [`OUTBOX_MAX`], so that a caller
//! with that much room never has to send half of it.

mod desk;
mod market;
mod planted;
mod private;
mod quiet;
mod quoting;
mod report;
mod stop;

use crate::command::{
    Cancel, CancelAll, CancelCause, Countdown, Notice, NoticeKind, OUTBOX_MAX, Outbox, Plain,
    Record, Ruled, Ruling,
};
use crate::digest::Digest;
use crate::event::{
    Boot, ClientId, Directive, Event, Evidence, Health, Measure, Mode, Operator, Phase, Topic,
};
use crate::gate::{AccountView, Gate, InstrumentView, View};
use crate::guard::{Guard, GuardState, Opinion, RearmError, Reason, Reasons};
use crate::ids;
use crate::instrument::InstrumentId;
use crate::ledger::{self, Ledger};
use crate::limit;
use crate::order::{self, OrderTable};
use crate::param::{Params, Profile};
use crate::planted::Defect;
use crate::reconcile::{self, Reconcile};
use crate::trades::TradeIds;
use crate::units::{E8, MILLIS, MonoNanos, Quote, Rate, SECONDS, Side, UnixNanos};

pub use desk::Desk;
use stop::Stage;

/// The memory that an engine works in. The lengths are its limits.
pub struct Memory<'m> {
    /// One for each instrument.
    pub desks: &'m mut [Desk<'m>],
    /// One for each instrument.
    pub views: &'m mut [InstrumentView],
    /// Orders of this run; a power of two.
    pub orders: &'m mut [order::Slot],
    /// One for each instrument.
    pub tallies: &'m mut [order::Tally],
    /// Orders that are not of this run.
    pub orphans: &'m mut [order::Orphan],
    /// Trade ids; a power of two.
    pub trades: &'m mut [ids::Slot],
    /// One for each instrument.
    pub lines: &'m mut [ledger::Line],
    /// Bills that are booked; a power of two.
    pub bills: &'m mut [ids::Slot],
    /// One for each instrument.
    pub checks: &'m mut [reconcile::Line],
}

/// Decides what to quote and keeps the truth about orders, position and money.
pub struct Engine<'m, G> {
    params: Params,
    account: AccountView,
    desks: &'m mut [Desk<'m>],
    views: &'m mut [InstrumentView],
    orders: OrderTable<'m>,
    trades: TradeIds<'m>,
    ledger: Ledger<'m>,
    reconcile: Reconcile<'m>,
    guard: Guard,
    gate: G,
    stage: Stage,
    /// Set by [`Directive::Pause`].
    paused: bool,
    /// Set by [`Directive::Kill`].
    killed: bool,
    mode: Mode,
    epoch: u32,
    /// The balance that the venue stated last when it was asked.
    stated: Option<Stated>,
    /// The balance that it told last, asked or not.
    told: Option<Quote>,
    /// When the balance was stated that the ledger began with: what moved money before is in it.
    balance_at: UnixNanos,
    /// The newest of what has moved money and is booked.
    moved_at: UnixNanos,
    /// What the venue's balance is above ours, since when it has been so, and when bills may be
    /// asked for again.
    above: Quote,
    above_since: MonoNanos,
    bills_at: MonoNanos,
    /// The balances differ by more than rounding.
    balance_off: bool,
    /// The number of passes over the bills when they began to differ by so much that it matters;
    /// `None` while they do not.
    off_since_pass: Option<u32>,
    /// Since when this run knows that the last one may have left creates on their way; `None`
    /// once they can no longer appear and the venue's list has been read.
    dirty_since: Option<MonoNanos>,
    /// When the engine was last run again after it had not been run for a while.
    woken: Option<MonoNanos>,
    /// When fee rates that are doubtful are asked for again.
    fees_at: MonoNanos,
    /// The public stream is live.
    public_live: bool,
    /// When the venue's own switch is wound next.
    winds_at: MonoNanos,
    /// When quiet books are looked at next.
    quiet_at: MonoNanos,
    /// Orders are entered over REST.
    entry_over_rest: bool,
    /// So were those of an earlier run, as its durable day says.
    earlier_over_rest: bool,
    /// What is left of the venue's rates: of questions, and of orders.
    headroom: [Rate; 2],
    /// Instruments in use; 0 before the boot.
    instruments: usize,
    now: MonoNanos,
    /// Nothing is due before this point; may be early.
    due: MonoNanos,
    /// The step found no room for all it had to do, or has changed what the guard goes by.
    unfinished: bool,
    counters: Counters,
    report: report::Schedule,
}

/// A balance as the venue has answered it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stated {
    balance: Quote,
    /// By the venue's clock.
    at: UnixNanos,
    /// A question that is asked from here on is asked after the answer had come.
    heard: MonoNanos,
}

/// What the engine has counted since it booted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Events stepped.
    pub events: u64,
    /// Orders that the gate refused.
    pub refusals: u64,
    /// Orders that the venue rejected.
    pub rejects: u64,
    /// Sockets connected again.
    pub reconnects: u64,
    /// Sockets that another took over from before they ended.
    pub rotations: u64,
    /// Books dropped.
    pub books_dropped: u64,
    /// Messages for which the tables of states have no edge.
    pub unexpected: u64,
    /// Orphans canceled during start-up.
    pub startup_orphans: u32,
}

/// The engine asks for a timer each second; without any event for longer than this it was not run.
const UNATTENDED_NS: u64 = 3 * SECONDS;

/// The venue's own switch is wound this often: it takes one such request a second.
const COUNTDOWN_NS: u64 = 1_400 * MILLIS;

/// The digest is recorded each time this many events have been stepped.
pub const DIGEST_EVENTS: u64 = 10_000;

impl<'m, G: Gate> Engine<'m, G> {
    /// An engine that waits for its boot, with the parameters of `profile`.
    ///
    /// # Panics
    /// When the lent slices that are one for each instrument differ in length.
    pub fn new(memory: Memory<'m>, gate: G, profile: Profile) -> Self {
        let Memory { desks, views, orders, tallies, orphans, trades, lines, bills, checks } =
            memory;
        let n = desks.len();
        let lengths = [views.len(), tallies.len(), lines.len(), checks.len()];
        assert!(lengths == [n; 4], "memory for {n} instruments in each slice, not {lengths:?}");
        Self {
            params: Params::defaults(profile),
            account: AccountView::EMPTY,
            desks,
            views,
            orders: OrderTable::new(orders, tallies, orphans),
            trades: TradeIds::new(trades),
            ledger: Ledger::new(lines, bills),
            reconcile: Reconcile::new(checks),
            guard: Guard::new(0),
            gate,
            stage: Stage::Working,
            paused: false,
            killed: false,
            mode: Mode::Sim,
            epoch: 0,
            stated: None,
            told: None,
            balance_at: UnixNanos(0),
            moved_at: UnixNanos(0),
            above: Quote::ZERO,
            above_since: MonoNanos::ZERO,
            bills_at: MonoNanos::ZERO,
            balance_off: false,
            off_since_pass: None,
            dirty_since: None,
            woken: None,
            fees_at: MonoNanos::ZERO,
            public_live: false,
            winds_at: MonoNanos::ZERO,
            quiet_at: MonoNanos::ZERO,
            entry_over_rest: false,
            earlier_over_rest: false,
            headroom: [Rate(E8); 2],
            instruments: 0,
            now: MonoNanos::ZERO,
            due: MonoNanos::ZERO,
            unfinished: false,
            counters: Counters::default(),
            report: report::Schedule::NEW,
        }
    }

    /// Takes in one event. Commands are appended to `out`, which must be empty.
    ///
    /// # Panics
    /// When `now` goes back, when the first event is no boot, or when an instrument is named that
    /// does not exist: those are defects of the caller, never of the venue.
    pub fn step(&mut self, now: MonoNanos, event: &Event, out: &mut Outbox<'_>) {
        assert!(now >= self.now, "time goes back: {now:?} after {:?}", self.now);
        assert!(out.is_empty(), "an outbox is emptied before the next step");
        let booting = matches!(event, Event::Boot(_));
        assert!(
            booting == (self.counters.events == 0),
            "the first event, and no other, is the boot"
        );
        let unattended = !booting && now.since(self.now) > UNATTENDED_NS;
        self.now = now;
        self.counters.events += 1;
        if unattended {
            self.wake(now);
        }
        let touched = self.take(event, now, out);
        let touched = if unattended { Touched::Account } else { touched };
        if touched == Touched::Nothing && now < self.due {
            return self.count_off(now, out);
        }
        if matches!(touched, Touched::Account | Touched::Orders(_)) || now >= self.due {
            self.settle(now, out);
            self.gate.settled();
        }
        let turned = self.judge(event, now, out) || self.become_ready(out);
        match touched {
            Touched::Instrument(id) | Touched::Orders(id) if !turned => self.requote(id, now, out),
            Touched::Nothing if !turned => self.requote_where(|desk| desk.due <= now, now, out),
            // What moves the guard concerns every instrument.
            _ => self.requote_where(|_| true, now, out),
        }
        if now >= self.due {
            self.report(now, out);
            self.due = self.next_due(now);
        }
        self.due = self.due.min(self.soonest(now));
        if core::mem::take(&mut self.unfinished) {
            self.due = now;
        }
        self.count_off(now, out);
    }

    /// When the engine wants a [`Timer`](crate::event::Timer), events or not.
    pub fn deadline(&self) -> MonoNanos {
        self.due
    }

    /// What has been counted.
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The guard's state.
    pub const fn state(&self) -> GuardState {
        self.account.state
    }

    /// The orders, to be looked at.
    pub const fn orders(&self) -> &OrderTable<'m> {
        &self.orders
    }

    /// Twice the mid of an instrument's live book, in ticks; `None` without one.
    ///
    /// # Panics
    /// When there is no such instrument.
    pub fn mid_x2(&self, id: InstrumentId) -> Option<i64> {
        self.views[id.index()].touch.map(|(bid, ask)| bid.0 + ask.0)
    }

    /// The ledger, to be looked at.
    pub const fn ledger(&self) -> &Ledger<'m> {
        &self.ledger
    }

    /// The account as the gate sees it.
    pub const fn account(&self) -> &AccountView {
        &self.account
    }

    /// One number over all state that decisions depend on.
    pub fn digest(&self) -> u64 {
        let mut digest = Digest::new();
        digest.fold(self.counters.events);
        digest.fold(self.now.0);
        self.params.values().iter().for_each(|&value| digest.fold_signed(value));
        self.orders.fold(&mut digest);
        self.trades.fold(&mut digest);
        self.ledger.fold(&mut digest);
        self.reconcile.fold(&mut digest);
        self.guard.fold(&mut digest);
        self.gate.fold(&mut digest);
        digest.fold(self.account.pong_at.0);
        digest.fold(self.quiet_at.0);
        digest.fold_signed(self.told.map_or(i64::MIN, |told| told.0));
        digest.fold_signed(self.stated.map_or(i64::MIN, |stated| stated.balance.0));
        digest.fold_signed(self.balance_at.0);
        digest.fold_signed(self.moved_at.0);
        digest.fold(u64::from(self.entry_over_rest) << 1 | u64::from(self.earlier_over_rest));
        digest.fold_signed(self.above.0);
        digest.fold(self.above_since.0);
        digest.fold(self.bills_at.0);
        digest.fold(self.fees_at.0);
        digest.fold(self.off_since_pass.map_or(u64::MAX, u64::from));
        digest.fold(u64::from(self.account.balance_unexplained) << 1 | u64::from(self.balance_off));
        self.desks[..self.instruments].iter().for_each(|desk| desk.fold(&mut digest));
        digest.value()
    }

    /// The process was not run for a while. What waited in the sockets looks fresh and is not:
    /// nothing is quoted until the venue has been asked for everything anew.
    fn wake(&mut self, now: MonoNanos) {
        self.woken = Some(now);
        if self.account.private_live {
            self.reconcile.stream(true, now);
        }
    }

    /// Gives the event to the room that it concerns.
    fn take(&mut self, event: &Event, now: MonoNanos, out: &mut Outbox<'_>) -> Touched {
        match event {
            Event::Boot(boot) => self.boot(boot, now),
            Event::Parameter(parameter) => {
                // Values were checked where they came in; the table refuses the rest.
                self.params.set(usize::from(parameter.key), parameter.value);
                self.orders.configure(&self.params, self.entry_over_rest);
                self.reconcile.configure(&self.params);
            }
            Event::BookPage(page) => return self.book_page(page, now, out),
            Event::Trade(_) => return Touched::Nothing,
            Event::Ticker(ticker) => return self.ticker(ticker, now),
            Event::Rules(rules) => self.rules(rules, now, out),
            Event::FeeRate(rate) => self.fee_rate(rate, now),
            Event::Candle(candle) => self.candle(candle),
            Event::Feed(feed) => self.feed(feed, now, out),
            Event::ClockSync(sync) => {
                self.account.utc = sync.utc;
                self.account.utc_at = now;
                self.account.clock_offset_ns = sync.offset_ns;
                self.account.clock_uncertainty_ns = sync.uncertainty_ns;
            }
            Event::OrderUpdate(update) => {
                self.order_update(update, now, out);
                return Touched::Orders(update.instrument);
            }
            Event::Fill(fill) => {
                self.fill(fill, now, out);
                return Touched::Orders(fill.instrument);
            }
            Event::Reply(reply) if reply.instrument != InstrumentId::ALL => {
                self.reply(reply, now, out);
                return Touched::Orders(reply.instrument);
            }
            Event::Reply(reply) => self.reply(reply, now, out),
            Event::PositionReport(report) => self.position_report(report, now),
            Event::AccountReport(report) => self.account_report(report, now),
            Event::Evidence(evidence) => self.evidence(evidence, now),
            Event::RestoreDay(day) => self.restore_day(day, out),
            Event::RestorePosition(position) => {
                let restored = self.ledger.restore_position(position);
                self.account.contradiction |= restored.is_err();
                self.refresh_view(position.instrument);
                self.reconcile.restore(position.last_trade_at);
                // What an earlier run has booked since then is told next, by its ids. An older
                // execution that it missed shows as drift.
                self.trades.close(reconcile::window_from(position.last_trade_at));
            }
            Event::RestoreFill(fill) => self.account.capacity |= !self.trades.remember(fill),
            Event::RestoreWeek(week) => self.ledger.restore_week(week),
            Event::RestoreBill(bill) => self.restore_bill(bill),
            Event::RestoreBillsRead(read) => self.reconcile.restore_bills(read.until),
            Event::Operator(operator) => self.operator(operator, now, out),
            Event::Health(health) => self.health(health, now, out),
            Event::Settings(settings) => self.settings(settings, now),
            Event::Bill(bill) => self.bill(bill, out),
            Event::TouchReport(report) => return self.touch_report(report, now),
            Event::Coefficients(fit) => return self.coefficients(fit, now, out),
            Event::Timer(_) | Event::Refused(_) => return Touched::Nothing,
        }
        Touched::Account
    }

    fn health(&mut self, health: &Health, now: MonoNanos, out: &mut Outbox<'_>) {
        match health.measure {
            Measure::JournalLag => self.account.journal_lag_ns = health.value.unsigned_abs(),
            Measure::OrderEntry => {
                self.entry_over_rest = health.value != 0;
                self.orders.configure(&self.params, self.entry_over_rest);
                self.record_day(out);
            }
            Measure::RateHeadroom => self.headroom[0] = Rate(health.value),
            Measure::EntryHeadroom => self.headroom[1] = Rate(health.value),
            Measure::Countdown => {
                self.account.countdown_refused = health.value < 0;
                if health.value > 0 {
                    self.account.countdown_at = now;
                }
            }
            Measure::JournalFailed => self.account.journal_failed = true,
            Measure::Paused => {}
        }
    }

    /// Creates of this run, or of the one before that are not outwaited yet, may come over REST.
    fn may_come_over_rest(&self) -> bool {
        self.entry_over_rest || self.dirty_since.is_some() && self.earlier_over_rest
    }

    /// How long a create of unknown outcome may still appear, on the ways that orders take or may
    /// have taken.
    fn zombie_ns(&self) -> u64 {
        order::zombie_ns(&self.params, self.may_come_over_rest())
    }

    fn boot(&mut self, boot: &Boot, now: MonoNanos) {
        let instruments = usize::from(boot.instruments);
        assert!(
            (1..=self.desks.len()).contains(&instruments),
            "{instruments} instruments in memory for {}",
            self.desks.len()
        );
        (self.mode, self.epoch, self.instruments) = (boot.mode, boot.epoch, instruments);
        self.dirty_since = boot.dirty.then_some(now);
        self.params.plant(boot.planted);
        self.desks.iter_mut().for_each(|desk| desk.book.plant(boot.planted));
        self.trades.plant(boot.planted);
        self.guard = Guard::new(boot.epoch);
        self.orders.begin(boot.epoch);
        self.orders.configure(&self.params, self.entry_over_rest);
        self.reconcile.configure(&self.params);
        self.report.begin(now);
        self.quiet_at = now.after(self.params.book_silence_ms() / 2);
    }

    /// An order of ours of a later boot: this state is a copy from before it, or somebody else
    /// trades under our name. Ids would be given twice.
    fn check_epoch(&mut self, client: ClientId) {
        self.account.state_behind |= client.is_own() && client.epoch > self.epoch;
    }

    fn evidence(&mut self, evidence: &Evidence, now: MonoNanos) {
        self.reconcile.on_evidence(evidence, &mut self.orders, &self.ledger, now);
        let bills_read = evidence.topic == Topic::Bills && evidence.phase == Phase::End;
        if bills_read && self.balance_off {
            // Whether they have explained it shows in the next statement of the balance.
            self.reconcile.want_account(now);
        }
        if evidence.topic == Topic::Touch && evidence.phase != Phase::Begin {
            self.touch_answered(evidence);
        }
    }

    fn operator(&mut self, operator: &Operator, now: MonoNanos, out: &mut Outbox<'_>) {
        let (ruling, found) = match operator.directive {
            Directive::Stop => {
                self.begin_stop(now);
                (Ruling::Done, 0)
            }
            Directive::Pause => {
                self.paused = true;
                (Ruling::Done, 0)
            }
            Directive::Resume => {
                self.paused = false;
                (Ruling::Done, 0)
            }
            Directive::Kill => {
                self.killed = true;
                (Ruling::Done, 0)
            }
            Directive::Rearm => self.rearm(operator.incident, out),
            Directive::Set => self.set(operator),
        };
        out.record(Record::Ruled(Ruled { operator: *operator, ruling, found }));
    }

    /// Clears the stop of `incident`. The drawdown is measured from here on; what the day and the
    /// week have lost still counts, and may stop it again at once.
    fn rearm(&mut self, incident: u64, out: &mut Outbox<'_>) -> (Ruling, i64) {
        match self.guard.rearm(incident) {
            Ok(change) => {
                out.record(Record::GuardChanged(change));
                self.account.state = change.to;
                self.killed = false;
                self.account.contradiction = false;
                self.account.bill_unknown = false;
                self.account.reject_streak = 0;
                self.ledger.rearm();
                self.record_day(out);
                (Ruling::Done, 0)
            }
            Err(RearmError::NotStopped) => (Ruling::NotStopped, 0),
            Err(RearmError::WrongIncident) => {
                (Ruling::WrongIncident, self.guard.incident().cast_signed())
            }
        }
    }

    /// Changes one parameter, if its range and, for a limit, its direction allow it.
    fn set(&mut self, operator: &Operator) -> (Ruling, i64) {
        let place = usize::from(operator.key);
        let Some(&current) = self.params.values().get(place) else {
            return (Ruling::OutOfRange, 0);
        };
        let ruling = match limit::turn(place, current, operator.value) {
            limit::Turn::Loosens => Ruling::Loosens,
            limit::Turn::Fixed => Ruling::Fixed,
            limit::Turn::Free if self.params.set(place, operator.value) => Ruling::Done,
            limit::Turn::Free => Ruling::OutOfRange,
        };
        self.orders.configure(&self.params, self.entry_over_rest);
        self.reconcile.configure(&self.params);
        (ruling, self.params.values()[place])
    }

    /// Does what is due without an event: the day's turn, overdue orders, reconciliation, the stop.
    fn settle(&mut self, now: MonoNanos, out: &mut Outbox<'_>) {
        self.outwait_zombies(now);
        self.chase_orders(now, out);
        self.cancel_orphans(now, out);
        self.compare_balance(now);
        self.poll_reconcile(now, out);
        self.ask_fee_rates(now, out);
        self.begin_ledger(now);
        self.turn_day(now, out);
        self.wind_countdown(now, out);
        self.watch_quiet_books(now, out);
        self.advance_stop(now, out);
        self.refresh_account();
    }

    /// Keeps the venue's own switch from acting while the engine is stepped.
    fn wind_countdown(&mut self, now: MonoNanos, out: &mut Outbox<'_>) {
        let seconds = self.params.countdown_s();
        let wanted = seconds > 0 && self.account.private_live && self.stage != Stage::Over;
        if !wanted || now < self.winds_at {
            return;
        }
        self.winds_at = now.after(COUNTDOWN_NS);
        let seconds = u8::try_from(seconds.clamp(5, 60)).expect("at most 60");
        out.plain(Plain::Countdown(Countdown { seconds }));
    }

    /// Asks the gate what it thinks and moves the guard; true when its state has changed.
    fn judge(&mut self, event: &Event, now: MonoNanos, out: &mut Outbox<'_>) -> bool {
        let view = View {
            params: &self.params,
            account: &self.account,
            instruments: &self.views[..self.instruments],
        };
        let opinion = self.gate.observe(event, &view, now).union(self.own_opinion());
        let hold_ns = self.params.soft_pause_hold_s();
        if self.params.commits(Defect::HardStopClears) && opinion.hard.is_empty() {
            self.clear_stop();
        }
        let Some(change) = self.guard.advance(opinion, now, hold_ns) else { return false };
        self.account.state = change.to;
        out.record(Record::GuardChanged(change));
        if change.to == GuardState::HardStop && change.from != GuardState::HardStop {
            self.cancel_everything(now, out);
            let hard = change.hard.cast_signed();
            self.notice(NoticeKind::KillPublished, InstrumentId::ALL, [hard, 0], out);
        }
        change.to != change.from
    }

    /// What the engine itself has to say: an operator's pause or kill, and its own end.
    fn own_opinion(&self) -> Opinion {
        let mut opinion = Opinion::FINE;
        if self.paused {
            opinion.soft = opinion.soft.with(Reason::Operator);
        }
        if self.stage != Stage::Working {
            opinion.soft = opinion.soft.with(Reason::Stopping);
        }
        if self.woken == Some(self.now) {
            opinion.soft = opinion.soft.with(Reason::ProcessPaused);
        }
        if self.killed {
            opinion.hard = opinion.hard.with(Reason::Operator);
        }
        opinion
    }

    /// Brings the account view up to date with ledger, orders and reconciliation.
    fn refresh_account(&mut self) {
        let account = &mut self.account;
        self.ledger.observe();
        account.equity = self.ledger.equity();
        if self.params.commits(Defect::LossWithoutMarks) {
            account.equity = self.ledger.balance();
        }
        account.day_open = self.ledger.day_open();
        account.week_open = self.ledger.week_open();
        account.high_water = self.ledger.high_water();
        account.turnover = self.ledger.traded();
        account.position_value = self.ledger.position_value();
        account.open_orders = self.orders.open_orders();
        account.unknown_orders = self.orders.unknown_orders();
        account.older_orders = self.orders.older_orders();
        account.foreign_orders = self.orders.foreign_orders() + account.older_orders;
        account.reconciled = self.reconcile.reconciled();
        account.position_drift = self.reconcile.position_drift();
        account.drift_unexplained = self.reconcile.drift_unexplained();
        account.cancel_episodes = self.ledger.cancel_episodes();
        account.creates_today = self.ledger.creates();
    }

    /// Begins the ledger with the balance that the venue states, once its fills and ours agree and
    /// the bills have been asked for after it was heard: what was moved before the balance was
    /// stated would be a loss or a profit until its bill moves the marks of an earlier run.
    fn begin_ledger(&mut self, now: MonoNanos) {
        if self.ledger.balance().is_some() {
            return;
        }
        let Some(Stated { balance, at, heard }) = self.stated else {
            return self.reconcile.want_account_again(now);
        };
        if self.reconcile.has_bills_since(heard, now) && self.reconcile.reconciled() {
            self.ledger.start(balance);
            self.balance_at = at;
        }
    }

    /// After a crash, creates of the earlier run may still appear for a while: the list of open
    /// orders counts only when it was asked for after that.
    fn outwait_zombies(&mut self, now: MonoNanos) {
        let Some(since) = self.dirty_since else { return };
        if self.params.commits(Defect::ZombiesNotAwaited) {
            self.dirty_since = None;
        }
        let gone = since.after(self.zombie_ns());
        let listed = self.reconcile.open_at_venue().map(|(_, asked)| asked);
        if listed.is_some_and(|asked| asked >= gone) {
            self.dirty_since = None;
        } else if now >= gone && self.account.private_live {
            self.reconcile.want_orders(now);
        }
    }

    /// Once every instrument has its rules and fees, and account and orders have been read: ready.
    /// True in the step in which that comes about.
    fn become_ready(&mut self, out: &mut Outbox<'_>) -> bool {
        if self.account.ready {
            return false;
        }
        let account = &self.account;
        let fees_needed = self.params.require_fee_resolution() == 1;
        let collected = account.utc_at != MonoNanos::ZERO
            && account.private_live
            && account.reconciled
            && account.equity.is_some()
            && account.day_open.is_some()
            && account.settings_fit.is_some()
            && self.dirty_since.is_none()
            && self.instruments > 0
            && self.views[..self.instruments].iter().all(|view| {
                let fee_known = view.fee_source != crate::event::FeeSource::Unresolved;
                view.rules.is_some() && (fee_known || !fees_needed)
            });
        if collected {
            self.account.ready = true;
            // Durable before the first create: how long an unknown one may be on its way.
            self.record_day(out);
            let orphans = i64::from(self.counters.startup_orphans);
            self.notice(NoticeKind::StartupScan, InstrumentId::ALL, [orphans, 0], out);
            self.notice(NoticeKind::Ready, InstrumentId::ALL, [0, 0], out);
        }
        collected
    }

    /// UTC at `now`; `None` before the first synchronization.
    fn utc(&self, now: MonoNanos) -> Option<UnixNanos> {
        if self.account.utc_at == MonoNanos::ZERO {
            return None;
        }
        let since = i64::try_from(now.since(self.account.utc_at)).unwrap_or(i64::MAX);
        Some(UnixNanos(self.account.utc.0.saturating_add(since)))
    }

    /// The same, but not while it is too far from this host's clock to say which of them is wrong:
    /// a day that is begun, and bills that are taken for read, are durable.
    fn trusted_utc(&self, now: MonoNanos) -> Option<UnixNanos> {
        let error_ns = self.account.clock_error_ns_min();
        self.utc(now).filter(|_| error_ns <= self.params.clock_offset_hard_ms())
    }

    /// The earliest time at which anything is due.
    fn next_due(&self, now: MonoNanos) -> MonoNanos {
        let desks = self.desks[..self.instruments].iter().map(|desk| desk.due).min();
        let desks = desks.unwrap_or(MonoNanos::NEVER).max(now.after(1));
        now.after(SECONDS).min(self.soonest(now)).min(desks)
    }

    /// The earliest time at which anything is due that is not of one instrument.
    fn soonest(&self, now: MonoNanos) -> MonoNanos {
        [
            self.orders.deadline(),
            self.reconcile.deadline(),
            self.gate.deadline(),
            self.guard.deadline(),
            self.stage.deadline(now),
            if self.account.private_live { self.winds_at } else { MonoNanos::NEVER },
            self.report.deadline(),
            self.quiet_at,
        ]
        .into_iter()
        .fold(MonoNanos::NEVER, MonoNanos::min)
        .max(now.after(1))
    }

    /// Counts the event off and records the digest when its turn has come.
    fn count_off(&mut self, _now: MonoNanos, out: &mut Outbox<'_>) {
        if self.counters.events.is_multiple_of(DIGEST_EVENTS) {
            self.record_digest(out);
        }
    }

    /// Records the digest, as at the end of a run.
    fn record_digest(&self, out: &mut Outbox<'_>) {
        let (events, digest) = (self.counters.events, self.digest());
        out.record(Record::Digest(crate::command::DigestRecord { events, digest }));
    }

    fn notice(&self, kind: NoticeKind, at: InstrumentId, [a, b]: [i64; 2], out: &mut Outbox<'_>) {
        let notice = Notice { kind, instrument: at, client: ClientId::FOREIGN, order_id: 0, a, b };
        out.record(Record::Notice(notice));
    }

    /// Ends one order. Cancels need no approval and are never refused.
    fn cancel(&mut self, order: Cancel, now: MonoNanos, out: &mut Outbox<'_>) {
        out.plain(Plain::Cancel(order));
        let view = View {
            params: &self.params,
            account: &self.account,
            instruments: &self.views[..self.instruments],
        };
        self.gate.canceled(&view, now);
        if order.cause == CancelCause::Orphan {
            self.orders.orphan_cancel_sent(order.order_id, now);
        } else {
            self.orders.cancel_sent(order.client, now);
        }
    }

    /// Ends every order everywhere, those first where some may rest: the venue takes few such
    /// requests a second, each for one instrument.
    fn cancel_everything(&mut self, now: MonoNanos, out: &mut Outbox<'_>) {
        for index in 0..self.instruments {
            let id = InstrumentId(index as u16);
            let rests = Side::BOTH.iter().any(|&side| self.orders.open(id, side).next().is_some());
            if rests && Self::has_room(out) {
                out.plain(Plain::CancelAll(CancelAll { instrument: id }));
            }
        }
        out.plain(Plain::CancelAll(CancelAll { instrument: InstrumentId::ALL }));
        self.orders.cancel_all_sent(InstrumentId::ALL, now);
    }

    /// Writes an instrument's orders where the gate sees them.
    fn refresh_view(&mut self, id: InstrumentId) {
        let view = &mut self.views[id.index()];
        self.orders.fill_view(id, view);
        view.position = self.ledger.position(id).lots;
        let Some(rules) = view.rules else { return };
        let desk = &mut self.desks[id.index()];
        let value = self.orders.open_value(id) * i128::from(rules.quote_per_tick_lot());
        let value = Quote(i64::try_from(value).unwrap_or(i64::MAX));
        self.account.open_notional += value - desk.open_notional;
        desk.open_notional = value;
    }

    /// The share that reasons of an instrument or of the account keep it from quoting.
    fn reasons(&self, id: InstrumentId, now: MonoNanos) -> Reasons {
        let view = View {
            params: &self.params,
            account: &self.account,
            instruments: &self.views[..self.instruments],
        };
        self.gate.instrument(id, &view, now)
    }

    /// Room for what one more instrument's requote may ask for.
    fn has_room(out: &Outbox<'_>) -> bool {
        out.room() > OUTBOX_MAX / 4
    }

    /// Net position as a share of equity; zero while equity is unknown.
    fn base_pct(&self, id: InstrumentId) -> Rate {
        let view = &self.views[id.index()];
        let (Some(rules), Some(equity)) = (view.rules, self.account.equity) else {
            return Rate::ZERO;
        };
        rules.value_at(view.mark, view.position).share_of(equity).unwrap_or(Rate::ZERO)
    }
}

/// What an event changed, as far as quotes are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Touched {
    /// Nothing that quotes depend on.
    Nothing,
    /// One instrument's market.
    Instrument(InstrumentId),
    /// One instrument's orders or position, and with them the account.
    Orders(InstrumentId),
    /// Anything else.
    Account,
}
