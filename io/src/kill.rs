//! The kill: from whatever rests at the venue to a zero that the venue has said twice.
//!
//! It owns no socket, reads no clock, touches no disk and knows of no engine: whoever runs it lends
//! an HTTP connection and the time. First everything is canceled with one request, trigger orders
//! too; then zero is read back: from the list of open orders, twice, and between the two from
//! somewhere else: the venue's word that each order seen before is over, or, where none was seen, a
//! second cancel-all that names none. What appears later, because it was on its way, is canceled
//! until nothing more can appear, and then zero is read once more.
//!
//! Cancels and questions are repeated until they are answered. A flatten's order is sent once: when
//! its answer is lost, the position tells what became of it.

pub mod direct;
mod flatten;
pub mod report;

use std::collections::{BTreeMap, BTreeSet};

use keel_core::event::{Outcome, RejectClass};
use keel_core::instrument::{Instrument, InstrumentId, Symbol};
use keel_core::param::Params;
use keel_core::units::{Lots, MILLIS, MonoNanos, SECONDS, UnixNanos};
use keel_net::bitget::client::Instance;
use keel_net::bitget::encode::BATCH_MAX;
use keel_net::bitget::rest::{Answers, Call, Listed, Page, Pager, RestError, Turn, Window};
use keel_net::bitget::sign::Credentials;
use keel_net::bitget::topics::Directory;
use keel_net::proto::http::{Client, FILLS_BODY_BYTES_MAX, HEAD_NS_MAX};

use crate::clock::VenueClock;
use crate::cold::line::Asks;
use flatten::Flatten;

/// Cancels everything and proves it.
pub struct Kill {
    place: Place,
    answers: Answers,
    clock: VenueClock,
    /// The venue's clock has been read, or was known from the start.
    synced: bool,
    clock_due: MonoNanos,
    work: Option<Work>,
    in_flight: Option<(Ask, MonoNanos)>,
    /// Nothing is sent before this.
    free_at: MonoNanos,
    /// Requests in a row that brought nothing.
    failures: u32,
    /// The venue's last refusal or the connection's last error.
    last_error: Option<String>,
    /// What the engine holds by its own ledger, where it has said so.
    belief: Option<Vec<Lots>>,
}

/// Where a kill acts, and as whom.
pub struct Place {
    /// The venue's host, with its port where that is not 443.
    pub host: String,
    /// A key of its own.
    pub credentials: Credentials,
    /// Whose client ids a flatten's orders have.
    pub instance: Instance,
    /// The boot epoch of those ids.
    pub epoch: u32,
    /// Rules of the instruments that may be flattened.
    pub rules: Vec<Instrument>,
    /// How long a create that was on its way may still appear, in nanoseconds.
    pub zombie_ns: u64,
    /// The collar and the age of an intent that bind a flatten's orders.
    pub params: Params,
    /// How many times faster than real the clock runs.
    pub speed: u32,
}

/// How long a create that was on its way may still appear. Where a probe chooses the way in, the
/// socket's window is taken; `order_entry = "rest"` gives the longer one.
pub fn zombie_ns(params: &Params) -> u64 {
    let over_rest = keel_core::param::at::order_entry;
    if params.values()[over_rest] == OVER_REST {
        params.zombie_window_rest_ms()
    } else {
        params.zombie_window_ms()
    }
}

/// `order_entry = "rest"`.
const OVER_REST: i64 = 2;

/// What a kill is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mandate {
    /// Who asks.
    pub trigger: Trigger,
    /// Why, in words or reason codes.
    pub reasons: String,
    /// Only this instrument.
    pub only: Option<Symbol>,
    /// Say what would be canceled and cancel nothing.
    pub dry_run: bool,
    /// Close positions too.
    pub flatten: bool,
    /// When it was decided.
    pub decided: MonoNanos,
}

/// Who asks for a kill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// A person at the command line, with no engine between.
    Operator,
    /// The guard's stop for good.
    Risk,
    /// The guardian.
    Guardian,
    /// A person by the control socket.
    Control,
    /// A drill.
    Drill,
}

impl Trigger {
    /// The word in reports.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Risk => "risk",
            Self::Guardian => "guardian",
            Self::Control => "control",
            Self::Drill => "drill",
        }
    }
}

/// An order that a kill has seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Its instrument, once a list has told it.
    pub symbol: Option<Symbol>,
    /// The client's id; may be empty.
    pub client: String,
    /// The venue took a cancel of it.
    pub canceled: bool,
    /// The venue's code of the last cancel that it refused; 0 for none.
    pub failed: u32,
    /// The venue said that it is over.
    pub over: bool,
}

/// A mandate under way, or done.
struct Work {
    mandate: Mandate,
    stage: Stage,
    /// Orders seen, by the venue's id: those that were open, trigger orders apart.
    seen: BTreeMap<u64, Seen>,
    /// Trigger orders seen.
    triggers: BTreeSet<u64>,
    /// Trigger orders still to be canceled.
    triggers_left: Vec<u64>,
    /// Orders of the list that is being read.
    listing: Vec<Listed>,
    pager: Pager,
    cursor: Option<String>,
    /// What the last whole list held.
    open: Vec<Listed>,
    /// Lists in a row that were empty.
    zeros: u32,
    /// Something has been canceled since the list was empty last.
    canceled: bool,
    /// Lists in a row that were not empty although everything had been canceled.
    rounds: u32,
    /// Cancel by the list instead of all together.
    other_way: bool,
    /// The list is read to see whether anything has appeared.
    looking: bool,
    /// Wanted before the next request, in nanoseconds.
    pause_ns: u64,
    /// Creates can no longer appear.
    last_pass: bool,
    flatten: Option<Flatten>,
    verified: Option<MonoNanos>,
    finished: Option<MonoNanos>,
    requests: u32,
    rate_refused: u32,
}

/// How far a mandate is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Everything is canceled with one request.
    Cancel,
    /// Orders of the last list are canceled by their ids.
    CancelListed,
    /// Trigger orders are listed, and canceled one by one.
    Triggers,
    /// Open orders are listed.
    Read,
    /// Zero is asked for elsewhere.
    Elsewhere {
        /// Pages of the history still to be read before orders are asked for one by one.
        pages: u32,
    },
    /// Positions are closed.
    Flatten,
    /// What was on its way is waited for.
    Watch {
        /// The next look.
        next: MonoNanos,
    },
    /// Everything has been done.
    Over,
}

/// What has been asked.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Ask {
    Time,
    CancelAll,
    CancelListed,
    Triggers,
    CancelTrigger(u64),
    Open,
    Ended,
    Order(u64),
    Flatten(flatten::Step),
}

/// How long an answer is waited for before the connection is given up, in real time.
pub const PATIENCE_NS: u64 = 400 * MILLIS;
/// Between two readings of the venue's clock, which also keep the connection warm.
const CLOCK_NS: u64 = 10 * SECONDS;
/// Between two looks for orders that were on their way: a fifth of the venue's 20/s.
const WATCH_NS: u64 = 150 * MILLIS;
/// Pause after a refusal for rate: the venue counts by the second.
const RATE_PAUSE_NS: u64 = 210 * MILLIS;
/// First pause after any other failure; it doubles.
const FAILURE_PAUSE_NS: u64 = 10 * MILLIS;
const FAILURE_DOUBLINGS: u32 = 5;
/// First pause before the list is read again although everything was canceled; it doubles.
const ROUND_PAUSE_NS: u64 = 5 * MILLIS;
/// Newest pages of the history that are read to find the orders seen.
const HISTORY_PAGES: u32 = 3;

impl Kill {
    /// A kill that has nothing to do yet. `clock` is its own, so that nobody else's silence can
    /// spoil its signatures; `synced` says that it has been set.
    pub fn new(place: Place, clock: VenueClock, synced: bool) -> Self {
        Self {
            answers: Answers::new(place.instance, false),
            place,
            clock,
            synced,
            clock_due: MonoNanos::ZERO,
            work: None,
            in_flight: None,
            free_at: MonoNanos::ZERO,
            failures: 0,
            last_error: None,
            belief: None,
        }
    }

    /// Takes a mandate. One that is under way is widened by it, and zero is read anew; any number
    /// of times.
    pub fn begin(&mut self, mandate: Mandate) {
        match &mut self.work {
            Some(work) if work.finished.is_none() && !work.mandate.dry_run => {
                if mandate.dry_run {
                    return;
                }
                work.mandate.widen(&mandate);
                work.zeros = 0;
                work.last_pass = false;
                work.looking = false;
                work.stage = Stage::Cancel;
            }
            _ => self.work = Some(Work::new(mandate)),
        }
        // What paused a clock reading does not pause a kill.
        self.free_at = MonoNanos::ZERO;
    }

    /// Takes in what the engine holds by its own ledger, by instrument.
    pub fn believe(&mut self, held: Vec<Lots>) {
        self.belief = Some(held);
    }

    /// True when a flatten waits for what the engine believes.
    pub fn wants_belief(&self, now: MonoNanos) -> bool {
        let work = self.work.as_ref().filter(|work| work.stage == Stage::Flatten);
        let by_risk = work.is_some_and(|work| work.mandate.trigger == Trigger::Risk);
        by_risk && now >= self.free_at
    }

    /// True while a mandate is under way.
    pub fn is_at_work(&self) -> bool {
        self.work.as_ref().is_some_and(|work| work.finished.is_none())
    }

    /// When zero was verified for the first time; `None` before.
    pub fn verified(&self) -> Option<MonoNanos> {
        self.work.as_ref()?.verified
    }

    /// True once the last mandate is done: zero verified also after the zombie window.
    pub fn is_finished(&self) -> bool {
        self.work.as_ref().is_some_and(|work| work.finished.is_some())
    }

    /// True once the venue's clock is known, without which nothing can be signed.
    pub fn is_synced(&self) -> bool {
        self.synced
    }

    /// Why the last request brought nothing.
    pub fn last_error(&self) -> Option<&str> {
        self.last_error.as_deref()
    }

    fn next(&mut self, now: MonoNanos) -> Option<Ask> {
        let clock_due = self.clock_due <= now;
        let Some(work) = self.work.as_mut().filter(|work| work.finished.is_none()) else {
            return clock_due.then_some(Ask::Time);
        };
        if !self.synced {
            return Some(Ask::Time);
        }
        work.next(self.clock.utc(now), now)
    }

    fn call(&mut self, ask: &Ask, now: MonoNanos) -> Option<Call> {
        let work = self.work.as_mut();
        let only = work.as_ref().and_then(|work| work.mandate.only);
        let cursor = work.as_ref().and_then(|work| work.cursor.clone());
        let window = Window::default();
        Some(match ask {
            Ask::Time => Call::server_time(),
            Ask::CancelAll => Call::cancel_all(only),
            Ask::CancelListed => {
                let open = &work?.open;
                Call::cancel_listed(&open[..open.len().min(BATCH_MAX)])
            }
            Ask::Triggers => Call::waiting_triggers(),
            Ask::CancelTrigger(id) => Call::cancel_trigger(*id),
            Ask::Open => Call::open_orders(only, cursor.as_deref()),
            Ask::Ended => Call::ended_orders(only, window, cursor.as_deref()),
            Ask::Order(id) => Call::order_by_id(*id),
            Ask::Flatten(step) => work?.flatten.as_mut()?.call(*step, &self.place, only, now)?,
        })
    }

    fn read(&mut self, ask: Ask, asked: MonoNanos, client: &mut Client, now: MonoNanos) {
        let outcome = match client.outcome() {
            Some(Ok(response)) => Ok((response.status(), response.body())),
            Some(Err(failure)) => Err(format!("{:?}", failure.error)),
            None => return,
        };
        let understood = match outcome {
            Ok((status, body)) => {
                if status == 429
                    && let Some(work) = &mut self.work
                {
                    work.rate_refused += 1;
                }
                self.understand(&ask, asked, status, body, now)
            }
            Err(error) => Err(Trouble { error, rate: false }),
        };
        client.finish();
        match understood {
            Ok(()) => {
                self.failures = 0;
                let pause_ns = self.work.as_mut().map_or(0, |w| std::mem::take(&mut w.pause_ns));
                self.free_at = now.after(pause_ns);
            }
            Err(trouble) => self.fail(&ask, trouble, now),
        }
    }

    fn understand(
        &mut self,
        ask: &Ask,
        asked: MonoNanos,
        status: u16,
        body: &[u8],
        now: MonoNanos,
    ) -> Result<(), Trouble> {
        let answers = &mut self.answers;
        if *ask == Ask::Time {
            let utc = answers.server_time(status, body)?;
            let half = now.since(asked) / 2;
            let utc = UnixNanos(utc.0.saturating_add(i64::try_from(half).unwrap_or(0)));
            self.clock.set(utc, now);
            (self.synced, self.clock_due) = (true, now.after(CLOCK_NS));
            return Ok(());
        }
        let Some(work) = &mut self.work else { return Ok(()) };
        match ask {
            Ask::Time => {}
            Ask::CancelAll | Ask::CancelListed => {
                let replies = match answers.canceled(status, body, InstrumentId::ALL) {
                    Err(error) if is_nothing_there(&error) => Vec::new(),
                    other => other?,
                };
                let taken = |reply: &keel_core::event::Reply| {
                    let fine = reply.outcome == Outcome::Received;
                    (reply.order_id, if fine { 0 } else { reply.code.max(1) })
                };
                work.canceled(replies.iter().map(taken), ask);
            }
            Ask::Triggers => {
                let page = answers.listed(status, body)?;
                work.triggers(&page.items);
            }
            Ask::CancelTrigger(id) => {
                match answers.done(status, body) {
                    Err(error) if !is_nothing_there(&error) => return Err(error.into()),
                    _ => {}
                }
                work.triggers_left.retain(|left| left != id);
            }
            Ask::Open | Ask::Ended => {
                let page = answers.listed(status, body)?;
                work.page(page, ask, self.place.zombie_ns, now)?;
            }
            Ask::Order(id) => {
                let over = answers.has_ended(status, body)?;
                work.order_told(*id, over);
            }
            Ask::Flatten(step) => {
                let context = Directory::new(&self.place.rules);
                let Some(flatten) = &mut work.flatten else { return Ok(()) };
                // A person's word needs no second source: the venue's is read twice.
                let belief = match work.mandate.trigger {
                    Trigger::Risk => Some(self.belief.as_deref().unwrap_or_default()),
                    _ => None,
                };
                flatten.believe(belief);
                flatten.take(*step, answers, &context, status, body, now)?;
                if flatten.is_over() {
                    work.watch(now);
                }
            }
        }
        Ok(())
    }

    /// Waits a little, and goes another way where there is one.
    fn fail(&mut self, ask: &Ask, trouble: Trouble, now: MonoNanos) {
        self.failures = self.failures.saturating_add(1);
        let pause = FAILURE_PAUSE_NS << self.failures.min(FAILURE_DOUBLINGS);
        self.free_at = now.after(if trouble.rate { RATE_PAUSE_NS } else { pause });
        self.last_error = Some(trouble.error);
        if *ask == Ask::Time {
            self.clock_due = self.free_at;
        }
        let Some(work) = &mut self.work else { return };
        match ask {
            // The list has an allowance of its own, and so has the cancel by ids.
            Ask::CancelAll | Ask::CancelListed => {
                work.other_way = *ask == Ask::CancelAll;
                work.read_again();
            }
            // Not found there is no proof; the list is read again before it is asked anew.
            Ask::Order(_) => work.read_again(),
            Ask::Flatten(step) => {
                if let Some(flatten) = &mut work.flatten {
                    flatten.lost(*step, now);
                }
            }
            Ask::Time | Ask::Triggers | Ask::CancelTrigger(_) | Ask::Open | Ask::Ended => {}
        }
    }
}

impl Asks for Kill {
    fn client(&self) -> Client {
        let patience_ns = (PATIENCE_NS * u64::from(self.place.speed)).min(HEAD_NS_MAX);
        Client::new(FILLS_BODY_BYTES_MAX).with_patience(patience_ns)
    }

    fn step(
        &mut self,
        client: &mut Client,
        _host: &impl Fn() -> UnixNanos,
        now: MonoNanos,
    ) -> usize {
        if let Some((ask, asked)) = self.in_flight.take() {
            if client.outcome().is_none() {
                self.in_flight = Some((ask, asked));
                return 0;
            }
            self.read(ask, asked, client, now);
            return 1;
        }
        if now < self.free_at || !client.is_idle() || !client.is_reusable() {
            return 0;
        }
        let Some(ask) = self.next(now) else { return 0 };
        let Some(call) = self.call(&ask, now) else { return 0 };
        let utc = self.clock.utc(now);
        let (host, key) = (&self.place.host, Some(&self.place.credentials));
        if call.send(client, host, key, utc, now).is_err() {
            return 0;
        }
        if let Some(work) = &mut self.work {
            work.requests += 1;
        }
        self.in_flight = Some((ask, now));
        1
    }

    fn lose_connection(&mut self, now: MonoNanos) {
        if let Some((ask, _)) = self.in_flight.take() {
            self.fail(&ask, Trouble::words("the connection was lost"), now);
            // Another connection is not what was tired of us.
            self.free_at = now;
        }
    }

    fn deadline(&self) -> MonoNanos {
        if self.in_flight.is_some() {
            return MonoNanos::NEVER;
        }
        let due = match &self.work {
            Some(Work { finished: None, stage: Stage::Watch { next }, .. }) => *next,
            Some(Work { finished: None, .. }) => MonoNanos::ZERO,
            _ => self.clock_due,
        };
        due.max(self.free_at)
    }
}

impl Mandate {
    /// Both mandates in one.
    fn widen(&mut self, other: &Self) {
        self.flatten |= other.flatten;
        if self.only != other.only {
            self.only = None;
        }
        if !self.reasons.contains(&other.reasons) {
            self.reasons = format!("{}|{}", self.reasons, other.reasons);
        }
    }
}

impl Work {
    fn new(mandate: Mandate) -> Self {
        let stage = if mandate.dry_run { Stage::Triggers } else { Stage::Cancel };
        Self {
            mandate,
            stage,
            seen: BTreeMap::new(),
            triggers: BTreeSet::new(),
            triggers_left: Vec::new(),
            listing: Vec::new(),
            pager: Pager::default(),
            cursor: None,
            open: Vec::new(),
            zeros: 0,
            canceled: false,
            rounds: 0,
            other_way: false,
            looking: false,
            pause_ns: 0,
            last_pass: false,
            flatten: None,
            verified: None,
            finished: None,
            requests: 0,
            rate_refused: 0,
        }
    }

    fn next(&mut self, utc: UnixNanos, now: MonoNanos) -> Option<Ask> {
        match self.stage {
            Stage::Cancel => Some(Ask::CancelAll),
            Stage::CancelListed if self.open.is_empty() => {
                self.read_again();
                Some(Ask::Open)
            }
            Stage::CancelListed => Some(Ask::CancelListed),
            Stage::Triggers => match self.triggers_left.last() {
                Some(&id) if !self.mandate.dry_run => Some(Ask::CancelTrigger(id)),
                _ => Some(Ask::Triggers),
            },
            Stage::Read => Some(Ask::Open),
            Stage::Elsewhere { .. } if self.seen.is_empty() => Some(Ask::CancelAll),
            Stage::Elsewhere { pages: 0 } => {
                let open = self.seen.iter().find(|(_, seen)| !seen.over);
                open.map(|(&id, _)| Ask::Order(id))
            }
            Stage::Elsewhere { .. } => Some(Ask::Ended),
            Stage::Flatten => {
                let flatten = self.flatten.get_or_insert_with(|| Flatten::new(utc));
                flatten.next(now).map(Ask::Flatten)
            }
            Stage::Watch { next } if now >= next => {
                self.looking = true;
                self.settle_elsewhere();
                Some(Ask::Open)
            }
            Stage::Watch { .. } | Stage::Over => None,
        }
    }

    fn read_again(&mut self) {
        self.begin_list();
        self.stage = Stage::Read;
        self.zeros = 0;
    }

    fn begin_list(&mut self) {
        self.listing.clear();
        self.pager = Pager::default();
        self.cursor = None;
    }

    /// Takes in which orders a cancel named, each with the code of its refusal or 0.
    fn canceled(&mut self, named: impl Iterator<Item = (u64, u32)>, ask: &Ask) {
        self.canceled = true;
        let mut any = false;
        for (id, code) in named.filter(|(id, _)| *id != 0) {
            any = true;
            let seen = self.seen.entry(id).or_default();
            seen.canceled |= code == 0;
            seen.failed = code;
        }
        match self.stage {
            // It named none: zero has been said elsewhere.
            Stage::Elsewhere { .. } if !any => self.settle_elsewhere(),
            Stage::Elsewhere { .. } => self.read_again(),
            _ if *ask == Ask::CancelListed => {
                let count = self.open.len().min(BATCH_MAX);
                self.open.drain(..count);
                if self.open.is_empty() {
                    self.read_again();
                }
            }
            _ => {
                self.read_again();
                // The first cancel is followed by trigger orders, every further one is not.
                if self.verified.is_none() && self.triggers.is_empty() {
                    self.stage = Stage::Triggers;
                }
            }
        }
    }

    fn triggers(&mut self, items: &[Listed]) {
        let ours = |listed: &&Listed| self.mandate.only.is_none_or(|only| only == listed.symbol);
        let ids: Vec<u64> = items.iter().filter(ours).map(|listed| listed.order_id).collect();
        self.triggers.extend(&ids);
        self.triggers_left = ids;
        if self.triggers_left.is_empty() || self.mandate.dry_run {
            self.read_again();
        }
    }

    /// A page of a list has been read.
    fn page(
        &mut self,
        page: Page<Listed>,
        ask: &Ask,
        zombie_ns: u64,
        now: MonoNanos,
    ) -> Result<(), Trouble> {
        let turn = self.pager.turn(&page);
        self.listing.extend(page.items);
        match turn {
            Ok(Turn::Next(cursor)) if !self.has_enough_history(ask) => self.cursor = Some(cursor),
            Ok(_) => self.listed(ask, zombie_ns, now),
            Err(_) => {
                self.begin_list();
                return Err(Trouble::words("a list without an end"));
            }
        }
        Ok(())
    }

    /// True when no further page of the history is worth its request.
    fn has_enough_history(&mut self, ask: &Ask) -> bool {
        let (Ask::Ended, Stage::Elsewhere { pages }) = (ask, &mut self.stage) else { return false };
        *pages = pages.saturating_sub(1);
        let done = *pages == 0;
        self.take_history();
        done || self.seen.values().all(|seen| seen.over)
    }

    fn take_history(&mut self) {
        for listed in self.listing.drain(..) {
            if let Some(seen) = self.seen.get_mut(&listed.order_id) {
                seen.over = true;
                seen.symbol = Some(listed.symbol);
                seen.client = listed.client;
            }
        }
    }

    /// A whole list has been read.
    fn listed(&mut self, ask: &Ask, zombie_ns: u64, now: MonoNanos) {
        if *ask == Ask::Ended {
            self.take_history();
            self.begin_list();
            self.stage = Stage::Elsewhere { pages: 0 };
            if self.seen.values().all(|seen| seen.over) {
                self.settle_elsewhere();
            }
            return;
        }
        self.open = std::mem::take(&mut self.listing);
        self.begin_list();
        for listed in &self.open {
            let seen = self.seen.entry(listed.order_id).or_default();
            (seen.symbol, seen.client) = (Some(listed.symbol), listed.client.clone());
            seen.over = false;
        }
        if self.mandate.dry_run {
            self.finish(now);
        } else if self.open.is_empty() {
            self.zeros += 1;
            (self.canceled, self.rounds, self.other_way) = (false, 0, false);
            self.zero_read(zombie_ns, now);
        } else {
            self.still_open();
        }
    }

    /// Orders rest: they are canceled, in turn all together and by their ids. Right after a cancel
    /// the list is only read again: the venue may not be done yet.
    fn still_open(&mut self) {
        (self.zeros, self.looking) = (0, false);
        if !self.canceled {
            self.stage = Stage::Cancel;
            return;
        }
        self.rounds += 1;
        self.pause_ns = ROUND_PAUSE_NS << self.rounds.min(FAILURE_DOUBLINGS);
        if self.rounds > 1 {
            let by_ids = std::mem::replace(&mut self.other_way, self.rounds % 2 == 1);
            self.stage = if by_ids { Stage::CancelListed } else { Stage::Cancel };
        }
    }

    /// The list of open orders was empty once more.
    fn zero_read(&mut self, zombie_ns: u64, now: MonoNanos) {
        let gone = self.mandate.decided.after(zombie_ns);
        if std::mem::take(&mut self.looking) {
            // Nothing new has appeared.
            self.watch(now);
            if now >= gone {
                self.last_pass = true;
                self.stage = Stage::Cancel;
            }
        } else if self.zeros < 2 {
            self.stage = Stage::Elsewhere { pages: HISTORY_PAGES };
        } else if self.last_pass {
            self.finish(now);
        } else {
            self.verified.get_or_insert(now);
            let flattened = self.flatten.as_ref().is_some_and(Flatten::is_over);
            if self.mandate.flatten && !flattened {
                self.stage = Stage::Flatten;
            } else {
                self.watch(now);
            }
        }
    }

    fn watch(&mut self, now: MonoNanos) {
        self.zeros = 0;
        self.stage = Stage::Watch { next: now.after(WATCH_NS) };
    }

    fn order_told(&mut self, id: u64, over: bool) {
        if !over {
            return self.read_again();
        }
        if let Some(seen) = self.seen.get_mut(&id) {
            seen.over = true;
        }
        if self.seen.values().all(|seen| seen.over) {
            self.settle_elsewhere();
        }
    }

    /// Zero has been said elsewhere: the list is read once more.
    fn settle_elsewhere(&mut self) {
        self.begin_list();
        self.stage = Stage::Read;
    }

    fn finish(&mut self, now: MonoNanos) {
        self.verified.get_or_insert(now);
        self.finished = Some(now);
        self.stage = Stage::Over;
    }
}

/// Why an answer was none.
#[derive(Debug)]
struct Trouble {
    error: String,
    rate: bool,
}

impl Trouble {
    fn words(words: &str) -> Self {
        Self { error: words.to_owned(), rate: false }
    }
}

impl From<RestError> for Trouble {
    fn from(error: RestError) -> Self {
        let rate = error.verdict().1 == RejectClass::Rate || error == RestError::Http(429);
        Self { error: format!("{error:?}"), rate }
    }
}

/// True when the venue says that there was nothing to cancel.
fn is_nothing_there(error: &RestError) -> bool {
    error.verdict().1 == RejectClass::NotFound
}

#[cfg(test)]
mod tests;
