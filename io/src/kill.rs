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
pub mod hand;
pub mod report;
mod work;

use std::collections::BTreeSet;

use keel_core::event::{Outcome, RejectClass};
use keel_core::instrument::{Instrument, InstrumentId, Symbol};
use keel_core::order;
use keel_core::param::Params;
use keel_core::units::{Lots, MILLIS, MonoNanos, SECONDS, UnixNanos};
use keel_net::bitget::client::Instance;
use keel_net::bitget::encode::BATCH_MAX;
use keel_net::bitget::rest::{Answers, Call, RestError, Window};
use keel_net::bitget::sign::Credentials;
use keel_net::bitget::topics::Directory;
use keel_net::gateway::Choice;
use keel_net::proto::http::{Client, FILLS_BODY_BYTES_MAX, HEAD_NS_MAX};

use crate::clock::VenueClock;
use crate::cold::line::Asks;
use work::{Stage, Work};

/// Cancels everything and proves it.
pub struct Kill {
    place: Place,
    answers: Answers,
    clock: VenueClock,
    /// The venue's clock has been read, or was known from the start.
    synced: bool,
    clock_due: MonoNanos,
    work: Option<Work>,
    in_flight: Option<Flight>,
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

/// How long a create that was on its way may still appear, by the way that a run's orders take.
/// Where that is not known, `None`, the longer one holds, unless the configuration excludes it.
pub fn zombie_ns(params: &Params, over_rest: Option<bool>) -> u64 {
    let by_socket = Choice::of(params.order_entry()) == Choice::WebSocket;
    order::zombie_ns(params, over_rest.unwrap_or(!by_socket))
}

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
    /// Whose positions are closed.
    pub close: Close,
    /// When it was decided.
    pub decided: MonoNanos,
}

/// Positions that a kill closes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Close {
    /// None.
    Nothing,
    /// Those of these instruments.
    These(BTreeSet<Symbol>),
    /// Those of every instrument of the run.
    All,
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

/// A request under way.
struct Flight {
    ask: Ask,
    asked: MonoNanos,
    /// A mandate has begun since: the answer proves nothing of it.
    stale: bool,
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
/// Pause after a refusal for rate: the venue counts by the second.
const RATE_PAUSE_NS: u64 = 210 * MILLIS;
/// First pause after any other failure; it doubles.
const FAILURE_PAUSE_NS: u64 = 10 * MILLIS;
const FAILURE_DOUBLINGS: u32 = 5;

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

    /// Takes a mandate, any number of times. One that is under way is widened by it: what it adds
    /// is begun anew, and one that adds nothing changes nothing.
    pub fn begin(&mut self, mandate: Mandate) {
        match &mut self.work {
            Some(work) if work.finished.is_none() && !work.mandate.dry_run => {
                if mandate.dry_run || !work.mandate.widen(&mandate) {
                    return;
                }
                work.restart();
            }
            _ => self.work = Some(Work::new(mandate)),
        }
        if let Some(flight) = &mut self.in_flight {
            flight.stale = true;
        }
        // What paused a clock reading does not pause a kill.
        self.free_at = MonoNanos::ZERO;
    }

    /// Takes in how long a create may still appear, once the way of orders is known.
    pub fn appears_within(&mut self, zombie_ns: u64) {
        self.place.zombie_ns = zombie_ns;
    }

    /// Takes in the rules of the instruments that may be closed.
    pub fn learn(&mut self, rules: Vec<Instrument>) {
        self.place.rules = rules;
    }

    /// Takes in what the engine holds by its own ledger, by instrument.
    pub fn believe(&mut self, held: Vec<Lots>) {
        self.belief = Some(held);
    }

    /// True when a flatten waits for what the engine believes.
    pub fn wants_belief(&self, now: MonoNanos) -> bool {
        let work = self.work.as_ref().filter(|work| matches!(work.stage, Stage::Flatten { .. }));
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
        work.next(&self.place.rules, self.clock.utc(now), now)
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
            Ask::Flatten(step) => work?.flatten.as_mut()?.call(*step, &self.place, now)?,
        })
    }

    fn read(&mut self, flight: &Flight, client: &mut Client, now: MonoNanos) {
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
                self.understand(flight, status, body, now)
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
            Err(trouble) => self.fail(flight, trouble, now),
        }
    }

    fn understand(
        &mut self,
        flight: &Flight,
        status: u16,
        body: &[u8],
        now: MonoNanos,
    ) -> Result<(), Trouble> {
        let answers = &mut self.answers;
        let ask = &flight.ask;
        if *ask == Ask::Time {
            let utc = answers.server_time(status, body)?;
            let half = now.since(flight.asked) / 2;
            let utc = UnixNanos(utc.0.saturating_add(i64::try_from(half).unwrap_or(0)));
            self.clock.set(utc, now);
            (self.synced, self.clock_due) = (true, now.after(CLOCK_NS));
            return Ok(());
        }
        let Some(work) = self.work.as_mut().filter(|_| !flight.stale) else { return Ok(()) };
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
                work.trigger_canceled(*id);
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
                work.leave_flatten(now);
            }
        }
        Ok(())
    }

    /// Waits a little; the work goes another way where there is one.
    fn fail(&mut self, flight: &Flight, trouble: Trouble, now: MonoNanos) {
        self.failures = self.failures.saturating_add(1);
        let pause = FAILURE_PAUSE_NS << self.failures.min(FAILURE_DOUBLINGS);
        self.free_at = now.after(if trouble.rate { RATE_PAUSE_NS } else { pause });
        self.last_error = Some(trouble.error);
        if flight.ask == Ask::Time {
            self.clock_due = self.free_at;
        }
        if let Some(work) = self.work.as_mut().filter(|_| !flight.stale) {
            work.failed(&flight.ask, self.failures, now);
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
        if let Some(flight) = self.in_flight.take() {
            if client.outcome().is_none() {
                self.in_flight = Some(flight);
                return 0;
            }
            self.read(&flight, client, now);
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
        self.in_flight = Some(Flight { ask, asked: now, stale: false });
        1
    }

    fn lose_connection(&mut self, now: MonoNanos) {
        if let Some(flight) = self.in_flight.take() {
            self.fail(&flight, Trouble::words("the connection was lost"), now);
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
    /// Both mandates in one. True when `other` asks for more than was asked for already.
    fn widen(&mut self, other: &Self) -> bool {
        let only = if self.only == other.only { self.only } else { None };
        let close = self.close.with(&other.close);
        let more = only != self.only || close != self.close;
        if close != self.close {
            // Who asks for positions to be closed decides what is needed for it.
            self.trigger = other.trigger;
        }
        (self.only, self.close) = (only, close);
        if !self.reasons.contains(&other.reasons) {
            self.reasons = format!("{}|{}", self.reasons, other.reasons);
        }
        more
    }
}

impl Close {
    /// The positions of `only`, or of all.
    pub fn of(only: Option<Symbol>) -> Self {
        only.map_or(Self::All, |one| Self::These(BTreeSet::from([one])))
    }

    /// The positions of both.
    fn with(&self, other: &Self) -> Self {
        match (self, other) {
            (Self::All, _) | (_, Self::All) => Self::All,
            (Self::Nothing, one) | (one, Self::Nothing) => one.clone(),
            (Self::These(one), Self::These(other)) => Self::These(one | other),
        }
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
pub(crate) mod tests;
