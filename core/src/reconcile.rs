//! Reconciliation: what the venue has against what we believe, decided from evidence.
//!
//! It asks by numbered passes, counts only what a complete pass proves, and neither adopts a
//! position nor makes up a fill: a difference is confirmed by two reads, explained by real fills,
//! or stays unexplained.

use crate::command::Query;
use crate::digest::Digest;
use crate::event::{
    AccountReport, ClientId, Evidence, Fill, OrderStatus, OrderUpdate, Phase, PositionReport,
    Source, Topic,
};
use crate::instrument::InstrumentId;
use crate::ledger::Ledger;
use crate::order::OrderTable;
use crate::param::Params;
use crate::planted::{Defect, Planted};
use crate::units::{E8, Lots, MILLIS, MonoNanos, Rate, SECONDS, UnixNanos};

/// The state of all checks.
pub struct Reconcile<'m> {
    lines: &'m mut [Line],
    /// By [`Topic`]: open orders, positions, fills, account, bills.
    tracks: [Track; TOPICS],
    collecting: Option<Collecting>,
    last_pass: u32,
    live: bool,
    told: bool,
    close: Option<UnixNanos>,
    light_ns: u64,
    full_ns: u64,
    light_age_ns_max: u64,
    full_age_ns_max: u64,
    /// Counts what changed a position: executions booked and pushes of another size.
    sequence: u64,
    last_trade_at: Option<UnixNanos>,
    /// The window of the pair of passes over the fills that runs, and what its first one found.
    window: Option<Window>,
    bills: Bills,
    doubt: Doubt,
    /// When the positions were due before a push hastened them; zero when none did.
    regular: MonoNanos,
    drift: Rate,
    open_at_venue: Option<(u32, MonoNanos)>,
    failures: u32,
    planted: Planted,
}

/// Memory for one instrument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// The pass that read `theirs`.
    pass: u32,
    theirs: Lots,
    /// Ours, and venue minus ours, at the last consistent read.
    ours: Lots,
    difference: Lots,
    pushed: Option<Lots>,
    /// A confirmed drift that has not been told yet: ours.
    untold: Option<Lots>,
}

/// What the engine should do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send this question.
    Ask(Query),
    /// A difference is confirmed; say so.
    Drift {
        /// Where.
        instrument: InstrumentId,
        /// By our ledger.
        ours: Lots,
        /// By the venue.
        theirs: Lots,
    },
    /// Everything agrees for the first time since the stream is live.
    Agreed,
    /// Everything before this time is booked: close it in [`TradeIds`](crate::trades::TradeIds).
    Close(UnixNanos),
    /// Every bill up to this time is booked; say so, that no later run asks for them again.
    BillsRead(UnixNanos),
}

/// How far bills have been read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Bills {
    /// Every bill up to here is booked, or was in the balance that the account was found with;
    /// `None` before the first question.
    from: Option<UnixNanos>,
    /// What was told last of it.
    told: Option<UnixNanos>,
    /// To where the pass under way reads, and the bills that it has brought since its begin.
    until: UnixNanos,
    items: Option<u32>,
    /// It reads a stretch that ends before now.
    is_past: bool,
    /// Complete passes, but for those over a past stretch, and when the last one was asked for.
    passes: u32,
    asked: Option<MonoNanos>,
}

/// How far a difference of positions has been followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doubt {
    /// The last consistent read agreed.
    None = 0,
    /// One read differs.
    Seen = 1,
    /// Two reads differ alike; fills are being asked for.
    Confirmed = 2,
    /// Two equal passes over the fills are booked; the positions are read again.
    Searched = 3,
    /// They differ still.
    Unexplained = 4,
}

/// One topic's schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Track {
    due: MonoNanos,
    pass: Option<Pass>,
    /// Complete and in agreement since the stream is live, and not too old.
    good: bool,
    /// When the newest complete pass was asked for.
    read: MonoNanos,
    /// Passes that failed one after another.
    failed: u32,
}

/// A pass under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pass {
    number: u32,
    sent: MonoNanos,
    sequence: u64,
}

/// The pass whose items are coming.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Collecting {
    number: u32,
    topic: Topic,
    asked: MonoNanos,
    items: u32,
    /// Items that count: working orders; executions within the window.
    counted: u32,
    /// The sum over executions that count, whatever their order.
    sum: u64,
}

/// The stretch of time that two passes over the fills must agree on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Window {
    since: UnixNanos,
    until: UnixNanos,
    first: Option<(u32, u64)>,
}

impl<'m> Reconcile<'m> {
    /// Nothing checked yet, over one line for each instrument.
    pub fn new(lines: &'m mut [Line]) -> Self {
        lines.fill(Line::EMPTY);
        Self {
            lines,
            tracks: [Track::IDLE; TOPICS],
            collecting: None,
            last_pass: 0,
            live: false,
            told: false,
            close: None,
            light_ns: 5 * SECONDS,
            full_ns: 300 * SECONDS,
            light_age_ns_max: 30 * SECONDS,
            full_age_ns_max: 600 * SECONDS,
            sequence: 0,
            last_trade_at: None,
            window: None,
            bills: Bills::default(),
            doubt: Doubt::None,
            regular: MonoNanos::ZERO,
            drift: Rate::ZERO,
            open_at_venue: None,
            failures: 0,
            planted: Planted::NONE,
        }
    }

    /// Takes periods from the parameters.
    pub fn configure(&mut self, params: &Params) {
        self.light_ns = params.reconcile_light_s();
        self.full_ns = params.reconcile_full_s();
        self.light_age_ns_max = params.reconcile_light_age_max_s();
        self.full_age_ns_max = params.reconcile_full_age_max_s();
        self.planted = params.planted();
    }

    /// The newest execution that an earlier run booked; the newest of several calls counts.
    pub fn restore(&mut self, last_trade_at: UnixNanos) {
        self.last_trade_at = self.last_trade_at.max(Some(last_trade_at));
    }

    /// How far an earlier run has booked every bill.
    pub fn restore_bills(&mut self, until: UnixNanos) {
        self.bills.from = Some(until);
    }

    /// The private stream is live, or lost. Live: everything is asked for anew, positions last, so
    /// that they are compared with what the fills have made of ours.
    pub fn stream(&mut self, live: bool, now: MonoNanos) {
        self.live = live;
        self.told = false;
        self.collecting = None;
        self.window = None;
        self.regular = MonoNanos::ZERO;
        if self.doubt != Doubt::Unexplained {
            self.doubt = Doubt::None;
        }
        let due = if live { now } else { MonoNanos::NEVER };
        let bills = self.tracks[BILLS];
        self.tracks = [Track { due, ..Track::IDLE }; TOPICS];
        self.tracks[POSITIONS].due = MonoNanos::NEVER;
        // They come by no stream: what is known of them stays so.
        self.tracks[BILLS] = Track { due: bills.due.min(due), ..bills };
        for line in &mut *self.lines {
            line.pushed = None;
        }
    }

    /// A question for one order by its client id.
    pub fn ask_order(&mut self, instrument: InstrumentId, client: ClientId) -> Query {
        let pass = self.number();
        Query { pass, topic: Topic::Order, instrument, client, since: UnixNanos(0) }
    }

    /// A question for the best bid and ask of one contract.
    pub fn ask_touch(&mut self, instrument: InstrumentId) -> Query {
        self.ask_about(Topic::Touch, instrument)
    }

    /// A question for the rules of every contract.
    pub fn ask_rules(&mut self) -> Query {
        self.ask_about(Topic::Rules, InstrumentId::ALL)
    }

    /// A question for the fee rates of one contract.
    pub fn ask_fee_rates(&mut self, instrument: InstrumentId) -> Query {
        self.ask_about(Topic::FeeRates, instrument)
    }

    fn ask_about(&mut self, topic: Topic, instrument: InstrumentId) -> Query {
        let (pass, client) = (self.number(), ClientId::FOREIGN);
        Query { pass, topic, instrument, client, since: UnixNanos(0) }
    }

    /// The list of open orders is wanted now, whether the stream is live or not.
    pub fn want_orders(&mut self, now: MonoNanos) {
        self.hasten(OPEN_ORDERS, now);
    }

    /// The positions are wanted now.
    pub fn want_positions(&mut self, now: MonoNanos) {
        if self.tracks[POSITIONS].good {
            self.hasten(POSITIONS, now);
        }
    }

    /// Bills are wanted now.
    pub fn want_bills(&mut self, now: MonoNanos) {
        self.hasten(BILLS, now);
    }

    /// True once every bill is booked by a pass that was asked for at `at` or later; one is asked
    /// for while none was.
    pub fn has_bills_since(&mut self, at: MonoNanos, now: MonoNanos) -> bool {
        let read = self.bills.asked >= Some(at);
        let track = &self.tracks[BILLS];
        // What has failed, or waits for the time to be known, is asked for again after a while.
        let waits = track.failed > 0 || track.due <= now.after(RETRY_FIRST_NS);
        if !read && track.pass.is_none() && !waits {
            self.hasten(BILLS, at.max(now));
        }
        read
    }

    /// The account is wanted now.
    pub fn want_account(&mut self, now: MonoNanos) {
        self.schedule(ACCOUNT, now);
    }

    /// The account is asked for again after a while, where no question about it is on its way.
    pub fn want_account_again(&mut self, now: MonoNanos) {
        if self.tracks[ACCOUNT].pass.is_none() {
            self.schedule(ACCOUNT, now.after(RETRY_FIRST_NS));
        }
    }

    /// Fills are wanted now.
    pub fn want_fills(&mut self, now: MonoNanos) {
        self.hasten(FILLS, now);
    }

    /// The next thing to do; call until `None`. `utc` is zero while not known.
    pub fn poll(&mut self, utc: UnixNanos, now: MonoNanos) -> Option<Action> {
        self.expire(now);
        if let Some(action) = self.untold() {
            return Some(action);
        }
        for place in 0..TOPICS {
            if self.tracks[place].pass.is_some_and(|pass| now >= pass.sent.after(patience(place))) {
                self.fail(place, now);
            }
            let track = &self.tracks[place];
            if track.pass.is_none() && track.due <= now {
                if matches!(place, FILLS | BILLS) && utc.0 <= 0 {
                    self.tracks[place].due = now.after(RETRY_FIRST_NS);
                    continue;
                }
                return Some(Action::Ask(self.ask(place, utc, now)));
            }
        }
        None
    }

    /// What was read too long ago proves nothing any more, however alive the stream is: a venue
    /// that answers no questions leaves positions, orders and money unchecked.
    fn expire(&mut self, now: MonoNanos) {
        for place in 0..TOPICS {
            let age_ns_max = self.age_ns_max(place);
            let track = &mut self.tracks[place];
            if track.good && now.since(track.read) > age_ns_max {
                (track.good, self.told) = (false, false);
            }
        }
    }

    const fn age_ns_max(&self, place: usize) -> u64 {
        match place {
            OPEN_ORDERS | POSITIONS => self.light_age_ns_max,
            _ => self.full_age_ns_max,
        }
    }

    /// When the request left that the items now coming answer; [`MonoNanos::ZERO`] for none.
    pub fn asked(&self) -> MonoNanos {
        self.collecting.map_or(MonoNanos::ZERO, |pass| pass.asked)
    }

    /// Begin or end of a pass. A pass that was not asked for, or is not awaited any more, proves
    /// nothing; its items are facts all the same.
    pub fn on_evidence(
        &mut self,
        evidence: &Evidence,
        orders: &mut OrderTable<'_>,
        ledger: &Ledger<'_>,
        now: MonoNanos,
    ) {
        if evidence.topic == Topic::Bills {
            return self.bills_evidence(evidence, now);
        }
        let place = place_of(evidence.topic);
        let track = place.map(|place| &self.tracks[place]);
        let awaited =
            track.is_none_or(|track| track.pass.is_some_and(|pass| pass.number == evidence.pass));
        let begun = self.collecting.filter(|begun| begun.number == evidence.pass);
        self.collecting = None;
        match (evidence.phase, place) {
            (Phase::Begin, _) if awaited => {
                self.collecting = Some(Collecting {
                    number: evidence.pass,
                    topic: evidence.topic,
                    asked: evidence.asked,
                    items: 0,
                    counted: 0,
                    sum: 0,
                });
            }
            (Phase::Begin, _) | (Phase::End | Phase::Failed, None) => {}
            (Phase::End, Some(place)) if awaited => match begun {
                Some(found) if found.items == evidence.items => {
                    self.complete(place, found, orders, ledger, now);
                }
                _ => self.fail(place, now),
            },
            (Phase::Failed, Some(place)) if awaited => self.fail(place, now),
            (Phase::End | Phase::Failed, Some(_)) => {}
        }
    }

    /// An order of a pass or a push, after [`OrderTable::on_update`].
    pub fn on_order(&mut self, update: &OrderUpdate) {
        let working = match update.status {
            OrderStatus::New | OrderStatus::Live | OrderStatus::PartiallyFilled => true,
            OrderStatus::Filled | OrderStatus::Canceled | OrderStatus::NotFound => false,
        };
        self.item(Topic::OpenOrders, update.source, working, 0);
    }

    /// An execution of a pass or a push; `booked` when it was new. `utc`: the time of the step.
    pub fn on_fill(&mut self, fill: &Fill, booked: bool, utc: UnixNanos) {
        let within = self.window.is_some_and(|window| fill.ts <= window.until);
        self.item(Topic::Fills, fill.source, within, fill_hash(fill));
        if booked {
            self.sequence += 1;
            // A time ahead of UTC must not carry the next window past real executions.
            let at = if utc.0 > 0 { fill.ts.min(utc) } else { fill.ts };
            self.last_trade_at = self.last_trade_at.max(Some(at));
            let track = &mut self.tracks[POSITIONS];
            track.due = track.due.max(self.regular);
            self.regular = MonoNanos::ZERO;
        }
    }

    /// A position of a pass or a push. A push that differs from ours has the positions read soon,
    /// unless the execution that made it comes first.
    pub fn on_position(&mut self, report: &PositionReport, ledger: &Ledger<'_>, now: MonoNanos) {
        let found = self.collecting.filter(|found| found.topic == Topic::Positions);
        self.item(Topic::Positions, report.source, true, 0);
        let Some(line) = self.lines.get_mut(report.instrument.index()) else { return };
        if report.source == Source::Query {
            if let Some(found) = found {
                (line.pass, line.theirs) = (found.number, report.lots);
            }
            return;
        }
        if line.pushed != Some(report.lots) {
            line.pushed = Some(report.lots);
            self.sequence += 1;
        }
        let differs = ledger.position(report.instrument).lots != report.lots;
        let track = &mut self.tracks[POSITIONS];
        // While a pass is on its way the next has no time yet.
        let waits = track.pass.is_none() && track.due > now.after(CONFIRM_NS);
        if differs && self.live && track.good && waits {
            self.regular = track.due;
            track.due = now.after(CONFIRM_NS);
        }
    }

    /// An account report of a pass or a push.
    pub fn on_account(&mut self, report: &AccountReport) {
        self.item(Topic::Account, report.source, true, 0);
    }

    /// A bill of a pass, or one that came by itself.
    pub fn on_bill(&mut self) {
        self.bills.items = self.bills.items.map(|items| items.saturating_add(1));
    }

    /// Up to here every bill is booked, or was in the balance that the account was found with.
    pub fn bills_from(&self) -> UnixNanos {
        self.bills.from.unwrap_or(UnixNanos(0))
    }

    /// Complete passes over the bills up to their day.
    pub fn bill_passes(&self) -> u32 {
        self.bills.passes
    }

    /// Orders, fills, positions and account have agreed since the stream is live, no difference
    /// has been confirmed since, the bills have been read, and nothing of it is too old.
    pub fn reconciled(&self) -> bool {
        self.live && self.tracks.iter().all(|track| track.good)
    }

    /// Largest confirmed difference of a position, as a share of the larger; zero once a consistent
    /// read agrees.
    pub fn position_drift(&self) -> Rate {
        self.drift
    }

    /// A confirmed difference that two equal passes over the fills do not explain.
    pub fn drift_unexplained(&self) -> bool {
        self.doubt == Doubt::Unexplained
    }

    /// Open orders that the last complete list had, and when it was asked for.
    pub fn open_at_venue(&self) -> Option<(u32, MonoNanos)> {
        self.open_at_venue
    }

    /// Passes that failed or did not come in time.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// Nothing is due before this point.
    pub fn deadline(&self) -> MonoNanos {
        let next = |(place, track): (usize, &Track)| {
            let expires = track.read.after(self.age_ns_max(place) + 1);
            let due = track.pass.map_or(track.due, |pass| pass.sent.after(patience(place)));
            if track.good { due.min(expires) } else { due }
        };
        self.tracks.iter().enumerate().map(next).min().unwrap_or(MonoNanos::NEVER)
    }

    /// Folds the checks into `digest`.
    pub fn fold(&self, digest: &mut Digest) {
        for track in &self.tracks {
            digest.fold(track.due.0);
            digest.fold(track.pass.map_or(0, |pass| u64::from(pass.number)));
            digest.fold(u64::from(track.failed) << 1 | u64::from(track.good));
            digest.fold(track.read.0);
        }
        for line in &*self.lines {
            digest.fold_signed(line.difference.0);
        }
        digest.fold_signed(self.bills_from().0);
        digest.fold(u64::from(self.bills.passes));
        digest.fold(self.bills.asked.map_or(0, |asked| asked.0));
        digest.fold(u64::from(self.last_pass));
        digest.fold(self.sequence);
        digest.fold_signed(self.last_trade_at.map_or(0, |at| at.0));
        digest.fold(self.doubt as u64);
        digest.fold_signed(self.drift.0);
    }
}

/// What passes prove.
impl Reconcile<'_> {
    fn complete(
        &mut self,
        place: usize,
        found: Collecting,
        orders: &mut OrderTable<'_>,
        ledger: &Ledger<'_>,
        now: MonoNanos,
    ) {
        let pass = self.tracks[place].pass.take();
        self.tracks[place].failed = 0;
        if place != ACCOUNT || found.items > 0 {
            self.tracks[place].read = pass.map_or(MonoNanos::ZERO, |pass| pass.sent);
        }
        match place {
            OPEN_ORDERS => self.orders_listed(found, orders, now),
            POSITIONS => {
                let undisturbed = pass.is_some_and(|pass| pass.sequence == self.sequence);
                self.positions_read(undisturbed, found.number, ledger, now);
            }
            FILLS => self.fills_read((found.counted, found.sum), now),
            _ if found.items == 0 => self.fail(place, now),
            _ => self.agree(place, now.after(self.full_ns)),
        }
    }

    /// As [`Reconcile::on_evidence`], for bills: their items are nothing else's, so that a pass of
    /// many pages may have others come between.
    fn bills_evidence(&mut self, evidence: &Evidence, now: MonoNanos) {
        let track = &self.tracks[BILLS];
        if track.pass.is_none_or(|pass| pass.number != evidence.pass) {
            return;
        }
        match (evidence.phase, self.bills.items.take()) {
            (Phase::Begin, _) => self.bills.items = Some(0),
            (Phase::End, Some(items)) if items == evidence.items => self.bills_listed(now),
            (Phase::End | Phase::Failed, _) => self.fail(BILLS, now),
        }
    }

    fn bills_listed(&mut self, now: MonoNanos) {
        let track = &mut self.tracks[BILLS];
        let asked = track.pass.take().map(|pass| pass.sent);
        track.failed = 0;
        let bills = &mut self.bills;
        // One may be listed later than its money has moved.
        bills.from = bills.from.max(Some(UnixNanos(bills.until.0 - OVERLAP_NS)));
        if bills.is_past {
            return self.hasten(BILLS, now);
        }
        bills.passes = bills.passes.saturating_add(1);
        bills.asked = asked;
        let track = &mut self.tracks[BILLS];
        (track.good, track.read) = (true, asked.unwrap_or(now));
        let next = asked.unwrap_or(now).after(BILLS_NS);
        self.hasten(BILLS, next.max(now));
    }

    fn orders_listed(&mut self, found: Collecting, orders: &mut OrderTable<'_>, now: MonoNanos) {
        self.open_at_venue = Some((found.counted, found.asked));
        let missing = orders.list_ended(InstrumentId::ALL, found.asked, now);
        if missing + orders.foreign_orders() + orders.older_orders() == 0 {
            self.agree(OPEN_ORDERS, now.after(self.light_ns));
        } else {
            self.schedule(OPEN_ORDERS, now.after(AGAIN_NS));
        }
    }

    fn positions_read(
        &mut self,
        undisturbed: bool,
        pass: u32,
        ledger: &Ledger<'_>,
        now: MonoNanos,
    ) {
        self.regular = MonoNanos::ZERO;
        if !undisturbed {
            self.schedule(POSITIONS, now.after(CONFIRM_NS));
            return;
        }
        let (mut worst, mut differs, mut alike, mut moved) = (Rate::ZERO, false, true, false);
        for (index, line) in self.lines.iter_mut().enumerate() {
            if line.pass != pass {
                // Not listed: flat, as far as one read proves it.
                line.theirs = Lots::ZERO;
            }
            let ours = ledger.position(instrument(index)).lots;
            let difference = Lots(line.theirs.0.saturating_sub(ours.0));
            alike &= line.difference == difference;
            differs |= !difference.is_zero();
            moved |= !difference.is_zero() && line.ours != ours;
            (line.ours, line.difference) = (ours, difference);
            worst = worst.max(share(ours, line.theirs));
        }
        let before = self.doubt;
        self.doubt = match before {
            _ if !differs => Doubt::None,
            Doubt::None if self.planted.has(Defect::OneReadIsDrift) => Doubt::Unexplained,
            Doubt::None => Doubt::Seen,
            Doubt::Seen if alike => Doubt::Confirmed,
            Doubt::Confirmed | Doubt::Searched if self.planted.has(Defect::DriftNeverStops) => {
                Doubt::Searched
            }
            // Where fills have been booked since, it is another difference of the same size.
            Doubt::Confirmed | Doubt::Searched if alike && !moved => Doubt::Unexplained,
            Doubt::Seen | Doubt::Confirmed | Doubt::Searched => Doubt::Seen,
            Doubt::Unexplained => Doubt::Unexplained,
        };
        match self.doubt {
            Doubt::None => {
                self.drift = Rate::ZERO;
                self.agree(POSITIONS, now.after(self.light_ns));
            }
            Doubt::Seen => self.schedule(POSITIONS, now.after(CONFIRM_NS)),
            Doubt::Confirmed => self.confirmed(worst, ledger, now),
            Doubt::Searched | Doubt::Unexplained => {
                self.drift = worst;
                self.schedule(POSITIONS, now.after(self.light_ns));
            }
        }
    }

    /// Two reads differ alike: nothing is reconciled until real fills have explained it.
    fn confirmed(&mut self, worst: Rate, ledger: &Ledger<'_>, now: MonoNanos) {
        self.drift = worst;
        for (index, line) in self.lines.iter_mut().enumerate() {
            if !line.difference.is_zero() {
                line.untold = Some(ledger.position(instrument(index)).lots);
            }
        }
        let track = &mut self.tracks[POSITIONS];
        (track.good, track.due) = (false, MonoNanos::NEVER);
        self.told = false;
        self.window = None;
        if self.planted.has(Defect::PositionIsAdopted) {
            return self.schedule(POSITIONS, now.after(self.light_ns));
        }
        self.tracks[FILLS].pass = None;
        self.tracks[FILLS].due = now;
    }

    fn fills_read(&mut self, found: (u32, u64), now: MonoNanos) {
        let Some(window) = &mut self.window else { return };
        if window.first != Some(found) {
            window.first = Some(found);
            self.tracks[FILLS].due = now.after(FILLS_AGAIN_NS);
            return;
        }
        let newest = self.last_trade_at.unwrap_or(window.until).min(window.until);
        self.close = Some(UnixNanos(newest.0.saturating_sub(OVERLAP_NS)));
        self.window = None;
        self.agree(FILLS, now.after(self.full_ns));
        if self.doubt == Doubt::Confirmed {
            self.doubt = Doubt::Searched;
        }
        if !self.tracks[POSITIONS].good {
            self.schedule(POSITIONS, now);
        }
    }

    fn agree(&mut self, place: usize, next: MonoNanos) {
        self.tracks[place].good = self.live;
        self.schedule(place, next);
    }

    /// The next pass of a topic, unless one was wanted sooner; none while the stream is lost.
    fn schedule(&mut self, place: usize, due: MonoNanos) {
        if self.live {
            self.hasten(place, due);
        }
    }

    fn fail(&mut self, place: usize, now: MonoNanos) {
        self.failures = self.failures.saturating_add(1);
        let track = &mut self.tracks[place];
        track.pass = None;
        track.failed = track.failed.saturating_add(1);
        let wait = (RETRY_FIRST_NS << (track.failed - 1).min(8)).min(RETRY_LAST_NS);
        track.due = now.after(wait);
    }

    fn ask(&mut self, place: usize, utc: UnixNanos, now: MonoNanos) -> Query {
        let mut since = UnixNanos(0);
        if place == FILLS {
            let window = *self.window.get_or_insert_with(|| Window {
                since: match self.last_trade_at {
                    Some(at) if self.planted.has(Defect::FillsSinceNewest) => UnixNanos(at.0 + 1),
                    _ => since_when(self.last_trade_at, utc),
                },
                until: utc,
                first: None,
            });
            since = window.since;
        }
        if place == BILLS {
            let from = *self.bills.from.get_or_insert(utc);
            since = bills_since(from);
            let until = bills_until(since, utc);
            (self.bills.until, self.bills.is_past) = (until.unwrap_or(utc), until.is_some());
        }
        let pass = self.number();
        let sequence = self.sequence;
        self.tracks[place].pass = Some(Pass { number: pass, sent: now, sequence });
        self.tracks[place].due = MonoNanos::NEVER;
        let (instrument, client) = (InstrumentId::ALL, ClientId::FOREIGN);
        Query { pass, topic: TOPIC[place], instrument, client, since }
    }

    fn untold(&mut self) -> Option<Action> {
        for (index, line) in self.lines.iter_mut().enumerate() {
            if let Some(ours) = line.untold.take() {
                let instrument = instrument(index);
                return Some(Action::Drift { instrument, ours, theirs: line.theirs });
            }
        }
        if let Some(horizon) = self.close.take() {
            return Some(Action::Close(horizon));
        }
        if let (Some(from), true) = (self.bills.from, self.tracks[BILLS].good)
            && self.bills.told.is_none_or(|told| from.0 - told.0 >= TELL_BILLS_NS)
        {
            self.bills.told = Some(from);
            return Some(Action::BillsRead(from));
        }
        if !self.told && self.reconciled() {
            self.told = true;
            return Some(Action::Agreed);
        }
        None
    }

    fn item(&mut self, topic: Topic, source: Source, counts: bool, hash: u64) {
        let Some(found) = &mut self.collecting else { return };
        if found.topic == topic && source == Source::Query {
            found.items += 1;
            if counts {
                found.counted += 1;
                found.sum = found.sum.wrapping_add(hash);
            }
        }
    }

    fn hasten(&mut self, place: usize, due: MonoNanos) {
        let track = &mut self.tracks[place];
        track.due = track.due.min(due);
    }

    fn number(&mut self) -> u32 {
        self.last_pass = self.last_pass.wrapping_add(1).max(1);
        self.last_pass
    }
}

impl Line {
    /// Nothing read yet.
    pub const EMPTY: Self = Self {
        pass: 0,
        theirs: Lots::ZERO,
        ours: Lots::ZERO,
        difference: Lots::ZERO,
        pushed: None,
        untold: None,
    };
}

impl Track {
    const IDLE: Self =
        Self { due: MonoNanos::NEVER, pass: None, good: false, read: MonoNanos::ZERO, failed: 0 };
}

/// `|theirs − ours| / max(|theirs|, |ours|)`, rounded up; zero when both are flat.
fn share(ours: Lots, theirs: Lots) -> Rate {
    let (ours, theirs) = (i128::from(ours.0), i128::from(theirs.0));
    let larger = ours.abs().max(theirs.abs());
    if larger == 0 {
        return Rate::ZERO;
    }
    let scaled = (theirs - ours).abs() * i128::from(E8) + larger - 1;
    Rate(i64::try_from(scaled / larger).unwrap_or(i64::MAX))
}

/// Where a window over the fills begins: before the last known execution, so that one which the
/// venue indexed late is found.
fn since_when(last_trade_at: Option<UnixNanos>, utc: UnixNanos) -> UnixNanos {
    let from = last_trade_at.unwrap_or(utc).min(utc);
    window_from(from)
}

/// Where a window over the fills begins when the newest known execution is of `newest`. What an
/// earlier run has booked since then must be known by its id.
pub fn window_from(newest: UnixNanos) -> UnixNanos {
    UnixNanos((newest.0 - OVERLAP_NS).max(0))
}

fn fill_hash(fill: &Fill) -> u64 {
    let mut digest = Digest::new();
    digest.fold(fill.trade_id);
    digest.fold_signed(fill.lots.0);
    digest.fold_signed(fill.price.0);
    digest.value()
}

fn instrument(index: usize) -> InstrumentId {
    InstrumentId(u16::try_from(index).expect("fewer instruments than 2^16"))
}

const fn place_of(topic: Topic) -> Option<usize> {
    match topic {
        Topic::OpenOrders => Some(OPEN_ORDERS),
        Topic::Positions => Some(POSITIONS),
        Topic::Fills => Some(FILLS),
        Topic::Account => Some(ACCOUNT),
        Topic::Bills => Some(BILLS),
        Topic::Order | Topic::Touch | Topic::Rules | Topic::FeeRates => None,
    }
}

/// From when on bills are asked for again when all up to `from` are booked.
pub fn bills_since(from: UnixNanos) -> UnixNanos {
    UnixNanos((from.0 - CLOCKS_APART_NS).max(0))
}

/// Where a question for bills from `since` on must end, when it cannot reach to `utc`: the venue
/// answers for 30 days at most.
pub fn bills_until(since: UnixNanos, utc: UnixNanos) -> Option<UnixNanos> {
    let until = UnixNanos(since.0.saturating_add(BILLS_SPAN_NS));
    (until < utc).then_some(until)
}

/// How long a pass may take. One over bills may have hundreds of pages: the rows of trades stand
/// among them.
const fn patience(place: usize) -> u64 {
    if place == BILLS { BILLS_PASS_NS } else { PASS_NS }
}

const OPEN_ORDERS: usize = 0;
const POSITIONS: usize = 1;
const FILLS: usize = 2;
const ACCOUNT: usize = 3;
const BILLS: usize = 4;
const TOPICS: usize = 5;
const TOPIC: [Topic; TOPICS] =
    [Topic::OpenOrders, Topic::Positions, Topic::Fills, Topic::Account, Topic::Bills];
/// A pass that takes longer has failed.
const PASS_NS: u64 = 5 * SECONDS;
/// As [`PASS_NS`], of one over bills.
const BILLS_PASS_NS: u64 = 300 * SECONDS;
/// Between two looks for funding and transfers.
const BILLS_NS: u64 = 60 * SECONDS;
/// How much of the bills one question may ask for.
const BILLS_SPAN_NS: i64 = 29 * UnixNanos::DAY;
/// The host's clock, by which a state begins, may be ahead of the venue's by so much.
const CLOCKS_APART_NS: i64 = 60 * SECONDS as i64;
/// How often it is told how far every bill is booked.
const TELL_BILLS_NS: i64 = 3_600 * SECONDS as i64;
/// First and longest wait after a pass that failed.
const RETRY_FIRST_NS: u64 = 250 * MILLIS;
const RETRY_LAST_NS: u64 = 5 * SECONDS;
/// The list of open orders again when it had something that must go, or lacked something.
const AGAIN_NS: u64 = SECONDS;
/// Between two reads of the positions that must agree.
const CONFIRM_NS: u64 = 300 * MILLIS;
/// Between two passes over the fills that must agree.
const FILLS_AGAIN_NS: u64 = 200 * MILLIS;
/// How far a window over the fills reaches back behind the last known execution.
const OVERLAP_NS: i64 = 600 * SECONDS as i64;

#[cfg(test)]
mod tests;
