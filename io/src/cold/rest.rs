//! Questions to the venue: evidence that the engine asks for, and reference data by the clock.
//!
//! One request at a time on one connection; evidence goes before reference data. What comes back
//! leaves as events, so that every decision that rests on it is journaled. It owns no socket and
//! reads no clock.

use std::collections::VecDeque;

use keel_core::command::Query;
use keel_core::event::{
    ClientId, ClockSync, Event, Evidence, FeeRate, FeeSource, Fill, Health, Measure, OrderUpdate,
    Phase, RejectClass, Rules, Topic,
};
use keel_core::instrument::{Instrument, InstrumentId, InstrumentStatus, Symbol};
use keel_core::planted::{Defect, Planted};
use keel_core::reconcile::bills_until;
use keel_core::units::{E8, MILLIS, MonoNanos, Rate, SECONDS, UnixNanos};
use keel_net::bitget::client::Instance;
use keel_net::bitget::rest::{
    AccountSettings, Answers, Bars, Call, Holdings, Page, Pager, Records, RestError, Turn, Window,
    is_too_many,
};
use keel_net::bitget::sign::Credentials;
use keel_net::bitget::topics::Directory;
use keel_net::proto::http::Client;
use keel_net::rate::{Budget, Class, Use};

use crate::clock::VenueClock;

/// Asks, and turns answers into events.
pub struct Rest {
    instance: Instance,
    host: String,
    credentials: Option<Credentials>,
    symbols: Vec<Symbol>,
    directory: Directory,
    answers: Answers,
    venue: VenueClock,
    evidence: VecDeque<Job>,
    reference: VecDeque<Job>,
    in_flight: Option<Job>,
    /// Events that wait for room on their link, in order.
    out: VecDeque<Event>,
    schedule: Schedule,
    /// Parts of what is told as one.
    settings: Option<AccountSettings>,
    deducts: bool,
    holdings: Holdings,
    /// How many questions the venue takes.
    budget: Budget,
    /// What was told last of what is left of it, and when it is looked at again.
    headroom: Rate,
    headroom_at: MonoNanos,
    /// After a refusal for rate, or a failure, nothing is sent before this.
    pause_until: MonoNanos,
    /// Whose key it is, as the venue says; 0 when it does not say.
    uid: Option<u64>,
    /// Questions whether the venue knows an order of this boot, or of a later one, that are open.
    looks: usize,
    /// The highest epoch of such an order.
    later_epoch: Option<u32>,
    /// The venue's clock has been read.
    clocked: bool,
    /// The venue's last refusal of the key, in its words.
    refused: Option<String>,
    /// What the last question that failed was answered.
    failure: Option<String>,
    counters: Counters,
    planted: Planted,
}

/// What has been asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Requests sent.
    pub sent: u64,
    /// Requests that brought no usable answer.
    pub failed: u64,
    /// Refusals for rate (HTTP 429).
    pub rate_refused: u64,
    /// The least that the venue has said remains of an endpoint's calls in a second.
    pub remaining_min: Option<u32>,
}

/// A question under way.
#[derive(Debug)]
struct Job {
    ask: Ask,
    asked: MonoNanos,
    tries: u32,
    items: u32,
    /// Its begin has been told.
    begun: bool,
    /// Which records of money it is at.
    records: Records,
    cursor: Option<String>,
    pager: Pager,
    /// The venue's UTC when a list was asked for first, and which span before it the list is at.
    until: UnixNanos,
    span: u8,
}

/// What to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ask {
    Time,
    Instruments,
    FeeRate(InstrumentId),
    Settings,
    Deduction,
    Holdings,
    Key,
    /// The first order that a boot gives an id to, in this epoch.
    FirstOrder(u32),
    /// Which ids of ours a list names, for the boot of this epoch.
    OwnIds(List, u32),
    Candles(InstrumentId),
    Evidence(Query),
}

/// A list that names orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum List {
    /// Those that rest, on the whole account.
    Open,
    /// Those that are over, of one contract or of all.
    Ended(InstrumentId),
    /// Executions, of the whole account.
    Fills,
}

impl List {
    /// How many spans back it is looked through. What is older the venue keeps no more; a contract
    /// alone is looked at in case that others crowd it out of the list of all.
    fn spans(self) -> u8 {
        match self {
            Self::Ended(InstrumentId::ALL) | Self::Fills => 3,
            Self::Open | Self::Ended(_) => 1,
        }
    }
}

impl Ask {
    /// Whose window it counts against.
    fn class(self) -> Class {
        match self {
            Self::Time => Class::Time,
            Self::Instruments => Class::Instruments,
            Self::FeeRate(_) => Class::FeeRate,
            Self::Settings => Class::Settings,
            Self::Deduction => Class::Deduction,
            Self::Holdings => Class::Assets,
            Self::Key => Class::Key,
            Self::Candles(_) => Class::Candles,
            Self::Evidence(query) => match query.topic {
                Topic::OpenOrders => Class::OpenOrders,
                Topic::Positions => Class::Positions,
                Topic::Fills => Class::Fills,
                Topic::Account => Class::Assets,
                Topic::Order => Class::Order,
                Topic::Touch => Class::OrderBook,
                Topic::Bills => Class::Bills,
                Topic::Rules => Class::Instruments,
                Topic::FeeRates => Class::FeeRate,
            },
            Self::FirstOrder(_) => Class::Order,
            Self::OwnIds(List::Open, _) => Class::OpenOrders,
            Self::OwnIds(List::Ended(_), _) => Class::EndedOrders,
            Self::OwnIds(List::Fills, _) => Class::Fills,
        }
    }
}

/// When reference data is asked for again.
#[derive(Debug)]
struct Schedule {
    clock: MonoNanos,
    rules: MonoNanos,
    fees: MonoNanos,
    settings: MonoNanos,
}

/// Between two readings of the venue's clock.
const CLOCK_NS: u64 = 10 * SECONDS;
/// Between two readings of the rules (acceptance, item 2).
const RULES_NS: u64 = 60 * SECONDS;
/// Between two readings of the fee rates (item 1).
const FEES_NS: u64 = 300 * SECONDS;
/// Between two readings of the account's settings (item 14).
const SETTINGS_NS: u64 = 600 * SECONDS;
/// Bars that seed the signals of each instrument.
const CANDLES: u16 = 100;
/// Contracts whose ended orders are looked through one by one as well at a start; with more, those
/// of all together alone: the venue takes nine such questions a second.
const LOOKS_MAX: usize = 32;
/// What one question about orders and executions of the past may span: the venue takes 30 days,
/// and answers for 90.
const SPAN_NS: i64 = (30 * 24 * 60 - 10) * 60 * SECONDS as i64;
/// Pages of others' orders and executions alone that are turned within a span.
const LOOK_PAGES: usize = 10;
/// Questions that wait which are named to a person.
const NAMED_MAX: usize = 5;
/// How often a question that brought nothing is asked again before it fails.
const TRIES_MAX: u32 = 3;
/// Pause after a refusal for rate: the venue counts by the second.
const RATE_PAUSE_NS: u64 = SECONDS;
/// Pause after any other failure.
const FAILURE_PAUSE_NS: u64 = 200 * MILLIS;

impl Rest {
    /// A reader for `symbols`, in the order that gives their ids. `host` is the venue's, with its
    /// port where that is not 443.
    pub fn new(
        instance: Instance,
        host: &str,
        credentials: Option<Credentials>,
        symbols: &[Symbol],
        venue: VenueClock,
    ) -> Self {
        let never = MonoNanos::NEVER;
        Self {
            instance,
            host: host.to_owned(),
            credentials,
            symbols: symbols.to_vec(),
            directory: Directory::new(&[]),
            // The sign of a maker's fee over REST is only trusted from the private stream.
            answers: Answers::new(instance, true),
            venue,
            evidence: VecDeque::new(),
            reference: VecDeque::new(),
            in_flight: None,
            out: VecDeque::new(),
            schedule: Schedule { clock: never, rules: never, fees: never, settings: never },
            settings: None,
            deducts: true,
            holdings: Holdings::default(),
            budget: Budget::new(),
            headroom: Rate(E8),
            headroom_at: MonoNanos::ZERO,
            pause_until: MonoNanos::ZERO,
            uid: None,
            looks: 0,
            later_epoch: None,
            clocked: false,
            refused: None,
            failure: None,
            counters: Counters::default(),
            planted: Planted::NONE,
        }
    }

    /// A reader of what the venue tells anybody: it has nothing to sign with, and asks for nothing
    /// that is signed.
    pub fn public(instance: Instance, host: &str, symbols: &[Symbol], venue: VenueClock) -> Self {
        Self::new(instance, host, None, symbols, venue)
    }

    /// The same, committing a defect.
    pub fn with_planted(mut self, planted: Planted) -> Self {
        // Whether a maker's fee over REST is believed.
        self.answers = Answers::new(self.instance, !planted.has(Defect::RestFeeBelieved));
        Self { planted, ..self }
    }

    /// Asks for the clock and the rules, without which nothing else can be understood, whose key
    /// it is, and whether the venue knows an order of boot `epoch`, which has sent none.
    pub fn begin(&mut self, epoch: u32) {
        self.ask(Ask::Time);
        self.ask(Ask::Instruments);
        if self.credentials.is_some() {
            self.look(Ask::FirstOrder(epoch));
        }
    }

    /// Asks which orders of boot `epoch`, which has sent none, or of a later one the venue names,
    /// on whatever contract: the first may have been refused, or be older than what is kept.
    pub fn look_ahead(&mut self, epoch: u32) {
        if self.credentials.is_none() {
            return;
        }
        self.look(Ask::OwnIds(List::Open, epoch));
        self.look(Ask::OwnIds(List::Fills, epoch));
        self.look(Ask::OwnIds(List::Ended(InstrumentId::ALL), epoch));
        let count = self.symbols.len();
        let few = if count <= LOOKS_MAX { count } else { 0 };
        let ids = (0..few).map(|index| InstrumentId(index as u16));
        ids.for_each(|id| self.look(Ask::OwnIds(List::Ended(id), epoch)));
    }

    fn look(&mut self, ask: Ask) {
        self.looks += 1;
        self.reference.push_back(Job::new(ask));
    }

    /// True once everything has been answered that [`Rest::begin`] asked.
    pub fn has_begun(&self) -> bool {
        let account = self.uid.is_some() && self.looks == 0;
        self.rules().is_some() && (account || self.credentials.is_none())
    }

    /// The highest epoch of an order that the venue knows of this boot, which has sent none, or of
    /// a later one: the state is a copy from before it.
    pub fn later_epoch(&self) -> Option<u32> {
        self.later_epoch
    }

    /// How many looks for such an order are not answered yet.
    pub fn looks_left(&self) -> usize {
        self.looks
    }

    /// What a start still waits for, and what the venue said of it last.
    pub fn missing(&self) -> String {
        let waiting = self.in_flight.iter().chain(&self.reference);
        let mut names: Vec<String> = waiting.filter_map(|job| self.name(job.ask)).collect();
        let more = names.len().saturating_sub(NAMED_MAX);
        names.truncate(NAMED_MAX);
        if more > 0 {
            names.push(format!("{more} more"));
        }
        let last = self.failure.as_deref().map(|why| format!("; the last answer: {why}"));
        format!("it gave no answer in time for: {}{}", names.join(", "), last.unwrap_or_default())
    }

    fn name(&self, ask: Ask) -> Option<String> {
        Some(match ask {
            Ask::Settings | Ask::Deduction | Ask::Holdings | Ask::Key => "account".to_owned(),
            Ask::FirstOrder(_) => "first order of this boot".to_owned(),
            Ask::OwnIds(List::Open, _) => "open orders".to_owned(),
            Ask::OwnIds(List::Fills, _) => "executions".to_owned(),
            Ask::OwnIds(List::Ended(id), _) => match self.symbols.get(id.index()) {
                Some(symbol) => format!("ended orders of {symbol}"),
                None => "ended orders".to_owned(),
            },
            _ => return None,
        })
    }

    /// Whose key it is, as the venue says; 0 when it does not say, `None` before its answer.
    pub fn uid(&self) -> Option<u64> {
        self.uid
    }

    /// The venue's words when it has refused the key.
    pub fn refused(&self) -> Option<&str> {
        self.refused.as_deref()
    }

    /// The rules of all instruments, in order, once they have been read.
    pub fn rules(&self) -> Option<Vec<Instrument>> {
        let rules: Vec<Instrument> = self.directory.iter().map(|(_, rules)| *rules).collect();
        (!rules.is_empty() && rules.len() == self.symbols.len()).then_some(rules)
    }

    /// Asks for everything else and begins the schedule.
    pub fn start(&mut self, now: MonoNanos) {
        let signs = self.credentials.is_some();
        for index in 0..self.symbols.len() {
            if signs {
                self.ask(Ask::FeeRate(InstrumentId(index as u16)));
            }
            self.ask(Ask::Candles(InstrumentId(index as u16)));
        }
        let signed = |every| if signs { now.after(every) } else { MonoNanos::NEVER };
        self.schedule = Schedule {
            clock: now.after(CLOCK_NS),
            rules: now.after(RULES_NS),
            fees: signed(FEES_NS),
            settings: signed(SETTINGS_NS),
        };
    }

    /// Takes a question of the engine. One that waits is not awaited any more once it is asked
    /// anew: the new one has its turn.
    pub fn query(&mut self, query: Query) {
        match query.topic {
            // Not before the next minute's, but asked as those are: until they are known.
            Topic::Rules => self.ask(Ask::Instruments),
            Topic::FeeRates => self.ask(Ask::FeeRate(query.instrument)),
            _ => {
                let about = |query: &Query| (query.topic, query.instrument, query.client);
                let same = |job: &&mut Job| {
                    let Ask::Evidence(other) = &job.ask else { return false };
                    !job.begun && about(other) == about(&query)
                };
                let job = Job::new(Ask::Evidence(query));
                match self.evidence.iter_mut().find(same) {
                    Some(waits) => *waits = job,
                    None => self.evidence.push_back(job),
                }
            }
        }
    }

    /// Events that have come in, oldest first; taken out as far as there is room for them.
    pub fn events(&mut self) -> &mut VecDeque<Event> {
        &mut self.out
    }

    /// The venue's UTC at `now`, as it was read last.
    pub fn utc(&self, now: MonoNanos) -> UnixNanos {
        self.venue.utc(now)
    }

    /// What has been asked.
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Reads an answer that has come and sends the next question; 1 when something happened. `host`
    /// reads the host's UTC, to tell how far it is off the venue's.
    pub fn step(
        &mut self,
        client: &mut Client,
        host: &impl Fn() -> UnixNanos,
        now: MonoNanos,
    ) -> usize {
        self.keep_schedule(now);
        self.tell_headroom(now);
        if let Some(job) = self.in_flight.take() {
            return self.read(job, client, host, now);
        }
        usize::from(self.send(client, now))
    }

    /// Says that the connection is gone: what was in flight is asked again.
    pub fn lose_connection(&mut self, now: MonoNanos) {
        if let Some(job) = self.in_flight.take() {
            self.again(job, now);
        }
    }

    /// When it wants to be stepped without anything arriving.
    pub fn deadline(&self) -> MonoNanos {
        let s = &self.schedule;
        let due = s.clock.min(s.rules).min(s.fees).min(s.settings);
        if self.in_flight.is_some() {
            return due;
        }
        let waiting = self.evidence.iter().chain(&self.reference);
        let free_at = |job: &Job| self.budget.free_at(job.ask.class(), Use::Ordinary);
        let free = waiting.map(|job| free_at(job).max(self.pause_until)).min();
        due.min(free.unwrap_or(MonoNanos::NEVER))
    }

    /// Tells the least that was left of any rate in the last second, when that has changed.
    fn tell_headroom(&mut self, now: MonoNanos) {
        if now < self.headroom_at {
            return;
        }
        self.headroom_at = now.after(SECONDS);
        let headroom = self.budget.take_headroom(Rate(E8));
        if headroom != self.headroom {
            self.headroom = headroom;
            let measure = Measure::RateHeadroom;
            self.out.push_back(Event::Health(Health { measure, value: headroom.0 }));
        }
    }

    /// Asks, unless the same question waits already.
    fn ask(&mut self, ask: Ask) {
        if !self.reference.iter().any(|job| job.ask == ask) {
            self.reference.push_back(Job::new(ask));
        }
    }

    fn keep_schedule(&mut self, now: MonoNanos) {
        let due = |at: &mut MonoNanos, every: u64| {
            let is_due = *at <= now;
            if is_due {
                *at = now.after(every);
            }
            is_due
        };
        if due(&mut self.schedule.clock, CLOCK_NS) {
            self.ask(Ask::Time);
        }
        if due(&mut self.schedule.rules, RULES_NS) {
            self.ask(Ask::Instruments);
        }
        if due(&mut self.schedule.fees, FEES_NS) {
            (0..self.symbols.len())
                .for_each(|index| self.ask(Ask::FeeRate(InstrumentId(index as u16))));
        }
        if due(&mut self.schedule.settings, SETTINGS_NS) {
            self.ask(Ask::Settings);
        }
    }

    /// Sends the first question that may be sent now.
    fn send(&mut self, client: &mut Client, now: MonoNanos) -> bool {
        if now < self.pause_until || !client.is_idle() || !client.is_reusable() {
            return false;
        }
        // A look through the past is by the venue's clock.
        let clocked = self.clocked;
        let free = |queue: &VecDeque<Job>, budget: &Budget| {
            queue.iter().position(|job| {
                budget.allows(job.ask.class(), Use::Ordinary, now)
                    && (clocked || !matches!(job.ask, Ask::OwnIds(..)))
            })
        };
        let job = match free(&self.evidence, &self.budget) {
            Some(place) => self.evidence.remove(place),
            None => {
                free(&self.reference, &self.budget).and_then(|place| self.reference.remove(place))
            }
        };
        let Some(mut job) = job else { return false };
        let utc = self.venue.utc(now);
        if !job.begun {
            job.until = utc;
        }
        let call = self.call(&job, utc);
        if call.send(client, &self.host, self.credentials.as_ref(), utc, now).is_err() {
            self.again(job, now);
            return false;
        }
        self.counters.sent += 1;
        self.budget.sent(job.ask.class(), now);
        if !std::mem::replace(&mut job.begun, true) {
            job.asked = now;
            if let Ask::Evidence(query) = job.ask {
                self.out.push_back(evidence(&query, Phase::Begin, &job));
            }
        }
        self.in_flight = Some(job);
        true
    }

    fn call(&self, job: &Job, utc: UnixNanos) -> Call {
        let symbol = |id: InstrumentId| self.symbols.get(id.index()).copied();
        let cursor = job.cursor.as_deref();
        let from = |since: UnixNanos| Window { from: Some(since), to: None };
        match job.ask {
            Ask::Time => Call::server_time(),
            Ask::Instruments => Call::instruments(),
            Ask::FeeRate(id) => Call::fee_rate(self.symbols[id.index()]),
            Ask::Settings => Call::settings(),
            Ask::Deduction => Call::deduction(),
            Ask::Holdings => Call::assets(),
            Ask::Key => Call::key(),
            Ask::FirstOrder(epoch) => Call::order(&self.instance, ClientId { epoch, number: 1 }),
            Ask::OwnIds(List::Open, _) => Call::open_orders(None, cursor),
            Ask::OwnIds(List::Fills, _) => Call::fills(None, job.window(), cursor),
            Ask::OwnIds(List::Ended(id), _) => Call::ended_orders(symbol(id), job.window(), cursor),
            Ask::Candles(id) => {
                let window = Window { from: None, to: None };
                Call::candles(self.symbols[id.index()], Bars::Recent, window, CANDLES)
            }
            Ask::Evidence(query) => match query.topic {
                Topic::OpenOrders => Call::open_orders(symbol(query.instrument), cursor),
                Topic::Positions => Call::positions(symbol(query.instrument)),
                Topic::Fills => Call::fills(symbol(query.instrument), from(query.since), cursor),
                Topic::Account => Call::assets(),
                Topic::Order => Call::order(&self.instance, query.client),
                Topic::Touch => Call::order_book(self.symbols[query.instrument.index()]),
                Topic::Bills => {
                    let to = bills_until(query.since, utc);
                    Call::bills(job.records, Window { to, ..from(query.since) }, cursor)
                }
                Topic::Rules => Call::instruments(),
                Topic::FeeRates => Call::fee_rate(self.symbols[query.instrument.index()]),
            },
        }
    }

    fn read(
        &mut self,
        mut job: Job,
        client: &mut Client,
        host: &impl Fn() -> UnixNanos,
        now: MonoNanos,
    ) -> usize {
        let Some(outcome) = client.outcome() else {
            self.in_flight = Some(job);
            return 0;
        };
        let read = match outcome {
            Ok(response) => {
                let status = response.status();
                if let Some(remaining) = response.remaining_calls() {
                    let least = self.counters.remaining_min.map_or(remaining, |m| m.min(remaining));
                    self.counters.remaining_min = Some(least);
                }
                let (class, remaining) = (job.ask.class(), response.remaining_calls());
                let body = response.body();
                let reader = &mut self.answers;
                let context = Context { directory: &self.directory, symbols: &self.symbols };
                let read = understand(reader, &context, &mut job, status, body);
                let refused = is_too_many(status, read.as_ref().err());
                self.budget.answered(class, refused, remaining, now);
                self.counters.rate_refused = self.budget.refusals();
                read
            }
            Err(_) => Err(RestError::Http(0)),
        };
        client.finish();
        match read {
            Ok(answer) => self.take(job, answer, host, now),
            Err(error) => self.fail(job, &error, now),
        }
        1
    }

    /// Turns an answer into events and goes on with the next page, or ends the question.
    fn take(
        &mut self,
        mut job: Job,
        answer: Answer,
        host: &impl Fn() -> UnixNanos,
        now: MonoNanos,
    ) {
        let next = match answer {
            Answer::Time(utc) => {
                self.read_clock(utc, host(), job.asked, now);
                None
            }
            Answer::Rules(rules) => {
                // The settings are told of contracts, and understood of those that are known.
                if self.rules().is_none() && self.credentials.is_some() {
                    self.ask(Ask::Settings);
                }
                self.take_rules(&rules);
                None
            }
            Answer::Settings(settings) => {
                self.settings = Some(settings);
                self.ask(Ask::Deduction);
                None
            }
            Answer::Deduction(deducts) => {
                self.deducts = deducts;
                self.ask(Ask::Holdings);
                None
            }
            Answer::Holdings(holdings) => {
                self.holdings = holdings;
                self.ask(Ask::Key);
                None
            }
            Answer::Events { events, next } => {
                job.items += events.len() as u32;
                self.out.extend(events);
                next
            }
            Answer::OwnIds { newest, next, older } => {
                self.later_epoch = self.later_epoch.max(newest);
                if older {
                    return self.front(job.at_older_span());
                }
                self.looks -= usize::from(next.is_none());
                next
            }
            Answer::Key(rights) => {
                if let Some(settings) = self.settings.take() {
                    let both = settings.with(self.deducts, self.holdings, rights);
                    self.uid = Some(both.uid);
                    self.out.push_back(Event::Settings(both));
                }
                None
            }
        };
        if let Some(cursor) = next {
            job.cursor = Some(cursor);
            return self.front(job);
        }
        if job.is_of_bills() && job.records == Records::Product {
            // What belongs to no product, such as a transfer, may stand apart.
            (job.records, job.cursor, job.pager) = (Records::Other, None, Pager::default());
            return self.front(job);
        }
        if let Ask::Evidence(query) = job.ask {
            self.out.push_back(evidence(&query, Phase::End, &job));
        }
    }

    fn take_rules(&mut self, rules: &[Instrument]) {
        self.directory = Directory::new(&on_known_grids(&self.directory, rules));
        let event = |(id, rules): (InstrumentId, &Instrument)| {
            Event::Rules(Rules { id, instrument: *rules })
        };
        self.out.extend(self.directory.iter().map(event));
    }

    /// The venue's time was read between `asked` and `now`: it belongs to the middle, give or take
    /// half.
    fn read_clock(&mut self, utc: UnixNanos, host: UnixNanos, asked: MonoNanos, now: MonoNanos) {
        let half = now.since(asked) / 2;
        let utc_now = UnixNanos(utc.0.saturating_add(half as i64));
        self.venue.set(utc_now, now);
        self.clocked = true;
        let offset_ns = utc_now.0 - host.0;
        let uncertainty_ns = half + MILLIS;
        self.out.push_back(Event::ClockSync(ClockSync { utc: utc_now, offset_ns, uncertainty_ns }));
    }

    fn fail(&mut self, job: Job, error: &RestError, now: MonoNanos) {
        self.counters.failed += 1;
        if error.verdict().1 == RejectClass::Auth {
            self.refused = Some(error.to_string());
        }
        let rate = error.verdict().1 == RejectClass::Rate;
        self.pause_until = now.after(if rate { RATE_PAUSE_NS } else { FAILURE_PAUSE_NS });
        let not_found = error.verdict().1 == RejectClass::NotFound;
        let is_demo = self.credentials.as_ref().is_some_and(Credentials::is_demo);
        let in_vain = is_demo && job.asks_in_vain(error);
        if (matches!(job.ask, Ask::FirstOrder(_)) && not_found) || in_vain {
            self.pause_until = MonoNanos::ZERO;
            self.looks -= 1;
            return;
        }
        if let Ask::Evidence(query) = job.ask
            && query.topic == Topic::Order
            && not_found
        {
            // That is an answer, though it proves nothing by itself.
            self.pause_until = MonoNanos::ZERO;
            self.out.push_back(no_such_order(&query, self.venue.utc(now)));
            self.out.push_back(evidence(&query, Phase::End, &job));
            return;
        }
        self.failure = Some(error.to_string());
        self.again(job, now);
    }

    /// Asks again, or says that the question has failed.
    fn again(&mut self, mut job: Job, now: MonoNanos) {
        job.tries += 1;
        self.pause_until = self.pause_until.max(now.after(FAILURE_PAUSE_NS));
        if job.tries < TRIES_MAX && job.cursor.is_none() && !matches!(job.ask, Ask::Evidence(_)) {
            return self.front(job);
        }
        if let Ask::FeeRate(instrument) = job.ask {
            let (maker, taker) = (Rate::ZERO, Rate::ZERO);
            let source = FeeSource::Unresolved;
            self.out.push_back(Event::FeeRate(FeeRate { instrument, maker, taker, source }));
        }
        match job.ask {
            Ask::Evidence(query) if self.planted.has(Defect::FailureIsEmpty) => {
                if query.topic == Topic::Order {
                    job.items += 1;
                    self.out.push_back(no_such_order(&query, self.venue.utc(now)));
                }
                self.out.push_back(evidence(&query, Phase::End, &job));
            }
            Ask::Evidence(query) => self.out.push_back(evidence(&query, Phase::Failed, &job)),
            // Asked again until it is known; what is not known keeps the engine from trading.
            Ask::Time
            | Ask::Instruments
            | Ask::FeeRate(_)
            | Ask::Settings
            | Ask::Deduction
            | Ask::Holdings
            | Ask::Key
            | Ask::FirstOrder(_)
            | Ask::OwnIds(..)
            | Ask::Candles(_) => {
                (job.tries, job.begun, job.cursor, job.span) = (0, false, None, 0);
                job.pager = Pager::default();
                self.pause_until = now.after(SECONDS);
                self.reference.push_back(job);
            }
        }
    }

    fn front(&mut self, job: Job) {
        match job.ask {
            Ask::Evidence(_) => self.evidence.push_front(job),
            _ => self.reference.push_front(job),
        }
    }
}

impl Job {
    /// A list of ended orders that a demo does not have (bitget reference §1) can tell nothing. One
    /// of which a part has been read is there.
    fn asks_in_vain(&self, error: &RestError) -> bool {
        matches!(self.ask, Ask::OwnIds(List::Ended(_), _))
            && (self.span, &self.cursor) == (0, &None)
            && matches!(error, RestError::Venue { code: 22030 | 40081, .. })
    }

    /// The same at the first page of the span before.
    fn at_older_span(self) -> Self {
        Self { cursor: None, pager: Pager::default(), span: self.span + 1, ..self }
    }

    /// The span that it is at.
    fn window(&self) -> Window {
        let to = self.until.0.saturating_sub(i64::from(self.span) * SPAN_NS);
        let from = to.saturating_sub(SPAN_NS);
        let time = |nanos: i64| Some(UnixNanos(nanos.max(0)));
        Window { from: time(from), to: time(to) }
    }

    fn is_of_bills(&self) -> bool {
        matches!(self.ask, Ask::Evidence(query) if query.topic == Topic::Bills)
    }

    fn new(ask: Ask) -> Self {
        let asked = MonoNanos::ZERO;
        let (begun, records, cursor, pager) = (false, Records::Product, None, Pager::default());
        let (until, span) = (UnixNanos(0), 0);
        Self { ask, asked, tries: 0, items: 0, begun, records, cursor, pager, until, span }
    }
}

/// What was told, but for contracts whose tick or lot has changed: gateway and feed write and read
/// by the grids that they began with, and a price or size on another grid would be a different one
/// at the venue. Such a contract keeps its grids and is not traded until the next start.
fn on_known_grids(known: &Directory, told: &[Instrument]) -> Vec<Instrument> {
    let known: Vec<Instrument> = known.iter().map(|(_, rules)| *rules).collect();
    let kept = |(place, rules): (usize, &Instrument)| match known.get(place) {
        Some(old) if (old.tick, old.lot) != (rules.tick, rules.lot) => {
            Instrument { status: InstrumentStatus::Offline, ..*old }
        }
        _ => *rules,
    };
    told.iter().enumerate().map(kept).collect()
}

/// An answer understood.
enum Answer {
    Time(UnixNanos),
    Rules(Vec<Instrument>),
    Settings(AccountSettings),
    Deduction(bool),
    Holdings(Holdings),
    Key(keel_net::bitget::rest::KeyRights),
    /// The highest epoch of an order that this boot cannot have made.
    OwnIds {
        newest: Option<u32>,
        next: Option<String>,
        /// This span has told nothing, and there is an older one.
        older: bool,
    },
    Events {
        events: Vec<Event>,
        next: Option<String>,
    },
}

struct Context<'a> {
    directory: &'a Directory,
    symbols: &'a [Symbol],
}

fn understand(
    answers: &mut Answers,
    context: &Context<'_>,
    job: &mut Job,
    status: u16,
    body: &[u8],
) -> Result<Answer, RestError> {
    let whole = |events: Vec<Event>| Answer::Events { events, next: None };
    let directory = context.directory;
    Ok(match job.ask {
        Ask::Time => Answer::Time(answers.server_time(status, body)?),
        Ask::Instruments => {
            let found = answers.instruments(status, body, context.symbols)?;
            // A contract that is gone, or whose rules are not exact, is nothing to trade on.
            let rules: Option<Vec<Instrument>> =
                found.into_iter().map(|rules| rules.and_then(Result::ok)).collect();
            Answer::Rules(rules.ok_or(RestError::Http(status))?)
        }
        Ask::FeeRate(id) => whole(vec![Event::FeeRate(answers.fee_rate(status, body, id)?)]),
        Ask::Settings => Answer::Settings(answers.settings(status, body, directory)?),
        // Where nobody can be asked, nobody says that fees are taken in USDT.
        Ask::Deduction => match answers.deduction(status, body) {
            Err(error @ RestError::Venue { .. }) if error.verdict().1 != RejectClass::Rate => {
                Answer::Deduction(true)
            }
            answer => Answer::Deduction(answer?),
        },
        Ask::Holdings => Answer::Holdings(answers.holdings(status, body)?),
        Ask::Key => Answer::Key(answers.key(status, body)?),
        Ask::FirstOrder(epoch) => answers
            .order(status, body, directory)
            .map(|_| Answer::OwnIds { newest: Some(epoch), next: None, older: false })?,
        Ask::OwnIds(list, epoch) => own_ids(job, (list, epoch), answers.own_ids(status, body)?)?,
        Ask::Candles(id) => {
            let mut bars = answers.candles(status, body, id)?;
            bars.sort_by_key(|bar| bar.start);
            // The newest bar is still forming.
            bars.pop();
            whole(bars.into_iter().map(Event::Candle).collect())
        }
        Ask::Evidence(query) => match query.topic {
            Topic::OpenOrders => {
                paged(job, answers.orders(status, body, directory)?, Event::OrderUpdate)?
            }
            Topic::Fills => {
                let mut page = answers.fills(status, body, directory)?;
                oldest_first(&mut page.items);
                paged(job, page, Event::Fill)?
            }
            Topic::Positions => {
                let positions = answers.positions(status, body, directory)?;
                whole(positions.into_iter().map(Event::PositionReport).collect())
            }
            Topic::Account => {
                let report = answers.assets(status, body)?;
                whole(report.into_iter().map(Event::AccountReport).collect())
            }
            Topic::Order => {
                let order = answers.order(status, body, directory)?;
                whole(order.into_iter().map(Event::OrderUpdate).collect())
            }
            Topic::Touch => {
                let touch = answers.touch(status, body, directory, query.instrument)?;
                whole(vec![Event::TouchReport(touch)])
            }
            Topic::Bills => paged(job, answers.bills(status, body, directory)?, Event::Bill)?,
            Topic::Rules | Topic::FeeRates => whole(Vec::new()),
        },
    })
}

/// What a page of a list says of boots from `epoch` on.
fn own_ids(
    job: &mut Job,
    (list, epoch): (List, u32),
    page: Page<ClientId>,
) -> Result<Answer, RestError> {
    let ahead = page.items.iter().filter(|id| is_ahead(**id, epoch));
    let newest = ahead.map(|id| id.epoch).max();
    // The newest come first, and later boots have later epochs: behind an order of a boot stand
    // none of a later one.
    let named = page.items.iter().any(|id| !id.is_closing());
    let next = match job.pager.turn(&page).map_err(|_| RestError::Http(200))? {
        Turn::Next(cursor) if list == List::Open => Some(cursor),
        Turn::Next(cursor) if !named && job.pager.followed() < LOOK_PAGES => Some(cursor),
        Turn::Next(_) | Turn::End => None,
    };
    let older = next.is_none() && !named && job.span + 1 < list.spans();
    Ok(Answer::OwnIds { newest, next, older })
}

/// A page's events, and where the next page begins. A list without an end proves nothing.
fn paged<T>(job: &mut Job, page: Page<T>, event: fn(T) -> Event) -> Result<Answer, RestError> {
    let turn = job.pager.turn(&page).map_err(|_| RestError::Http(200))?;
    let next = match turn {
        Turn::Next(cursor) => Some(cursor),
        Turn::End => None,
    };
    Ok(Answer::Events { events: page.items.into_iter().map(event).collect(), next })
}

/// True for an order that the boot of `epoch`, which has sent none, or a later one has made. What
/// closes positions beside the engine may come before its first boot, with ids of its own.
fn is_ahead(client: ClientId, epoch: u32) -> bool {
    client.epoch > epoch || (client.epoch == epoch && !client.is_closing())
}

/// The venue lists the newest execution first. What a position realizes when it crosses zero
/// depends on which came first, so they are told as they happened.
fn oldest_first(fills: &mut [Fill]) {
    fills.reverse();
    fills.sort_by_key(|fill| fill.ts);
}

fn evidence(query: &Query, phase: Phase, job: &Job) -> Event {
    Event::Evidence(Evidence {
        pass: query.pass,
        topic: query.topic,
        phase,
        instrument: query.instrument,
        client: query.client,
        items: job.items,
        asked: job.asked,
    })
}

fn no_such_order(query: &Query, ts: UnixNanos) -> Event {
    Event::OrderUpdate(OrderUpdate::missing(query.instrument, query.client, ts))
}

#[cfg(test)]
mod tests {
    use super::*;
    use keel_core::decimal::Grid;
    use keel_core::event::Source;
    use keel_core::instrument::btcusdt;
    use keel_core::units::Quote;
    use keel_core::units::{Lots, Side, Ticks};

    #[test]
    fn a_fee_rate_that_is_not_told_is_asked_for_until_it_is() {
        // After three failed questions the next one came with the refresh, 300 s later; before
        // that, after 180 s without the rate, the engine stopped for good. The life of seed
        // 6007867.
        let symbol = Symbol::parse(b"BTCUSDT").expect("a name");
        let instance = Instance::parse("mm1").expect("a name");
        let mut rest = Rest::new(instance, "localhost", None, &[symbol], VenueClock::default());
        let rate = Ask::FeeRate(InstrumentId(0));
        rest.ask(rate);
        rest.ask(rate);
        assert_eq!(rest.reference.len(), 1, "a question is asked once at a time");
        for now in 1..=TRIES_MAX {
            let job = rest.reference.pop_front().expect("it is asked again");
            rest.fail(job, &RestError::Http(502), MonoNanos(u64::from(now) * SECONDS));
        }
        let told = rest.out.pop_front();
        assert!(
            matches!(told, Some(Event::FeeRate(fee)) if fee.source == FeeSource::Unresolved),
            "{told:?}"
        );
        let waits = rest.reference.front().map(|job| (job.ask, job.tries));
        assert_eq!((waits, rest.out.len()), (Some((rate, 0)), 0));
    }

    /// While its line was down, each question that the engine asked again was kept: without end,
    /// and all of them were asked once it was up.
    #[test]
    fn a_question_that_is_asked_anew_takes_the_turn_of_the_one_that_waits() {
        let instance = Instance::parse("mm1").expect("a name");
        let mut rest = Rest::new(instance, "localhost", None, &[], VenueClock::default());
        let ask = |pass, topic, number| {
            let (instrument, client) = (InstrumentId::ALL, ClientId { epoch: 1, number });
            Query { pass, topic, instrument, client, since: UnixNanos(0) }
        };
        for pass in 1..100 {
            rest.query(ask(pass, Topic::Order, 1));
            rest.query(ask(pass, Topic::Order, 2));
            rest.query(ask(pass, Topic::Fills, 0));
            // Of this one a first page has been read.
            rest.evidence[2].begun = true;
        }
        let waiting = rest.evidence.iter().map(|job| job.ask);
        let [first, last] = [1, 99];
        let expected = [
            ask(last, Topic::Order, 1),
            ask(last, Topic::Order, 2),
            ask(first, Topic::Fills, 0),
            ask(last, Topic::Fills, 0),
        ];
        assert_eq!(waiting.collect::<Vec<_>>(), expected.map(Ask::Evidence));
    }

    /// The venue was asked for order number 1 of the boot alone. Where it had refused that one, or
    /// keeps it no longer, a restored copy was not noticed, and ids would have been given twice.
    #[test]
    fn a_restored_copy_shows_in_any_list_that_names_an_order_of_this_boot_or_a_later_one() {
        let ended = Ask::OwnIds(List::Ended(InstrumentId(0)), 3);
        let (open, fills) = (Ask::OwnIds(List::Open, 3), Ask::OwnIds(List::Fills, 3));
        let closing = format!("keel-mm1-3-{}", "1000000000");
        for (named, ask, found) in [
            ("keel-mm1-3-7", open, Some(3)),
            ("keel-mm1-3-7", fills, Some(3)),
            ("keel-mm1-3-7", ended, Some(3)),
            ("keel-mm1-5-2", ended, Some(5)),
            ("keel-mm1-2-7", ended, None),
            ("keel-mm2-5-7", ended, None),
            ("", ended, None),
            // It closed positions before the first boot.
            (&closing, ended, None),
        ] {
            let symbol = Symbol::parse(b"BTCUSDT").expect("a name");
            let instance = Instance::parse("mm1").expect("a name");
            let secret = || keel_net::bitget::sign::Secret::new("secret".to_owned());
            let keys = Credentials::live("key".to_owned(), secret(), secret());
            let venue = VenueClock::default();
            let mut rest = Rest::new(instance, "localhost", Some(keys), &[symbol], venue);
            rest.look_ahead(3);
            assert_eq!(rest.looks, 4);
            let row = format!(r#"{{"symbol":"XYZUSDT","clientOid":"{named}"}}"#);
            while let Some(mut job) = rest.reference.pop_front() {
                let list = if job.ask == ask { &row[..] } else { "" };
                let body = format!(
                    r#"{{"code":"00000","msg":"","data":{{"list":[{list}],"cursor":null}}}}"#
                );
                let context = Context { directory: &rest.directory, symbols: &rest.symbols };
                let answer =
                    understand(&mut rest.answers, &context, &mut job, 200, body.as_bytes());
                let answer = answer.expect("understood");
                rest.take(job, answer, &|| UnixNanos(0), MonoNanos(1));
            }
            assert_eq!((rest.looks, rest.later_epoch()), (0, found), "{named} in {ask:?}");
        }
    }

    /// A reader that is to look ahead of boot 3, for a key of demo trading or of live.
    fn looking(is_demo: bool) -> Rest {
        let symbol = Symbol::parse(b"BTCUSDT").expect("a name");
        let instance = Instance::parse("mm1").expect("a name");
        let secret = || keel_net::bitget::sign::Secret::new("secret".to_owned());
        let keys = if is_demo { Credentials::demo } else { Credentials::live };
        let keys = keys("key".to_owned(), secret(), secret());
        let venue = VenueClock::default();
        let mut rest = Rest::new(instance, "localhost", Some(keys), &[symbol], venue);
        rest.look_ahead(3);
        rest
    }

    /// Has `venue` answer each of the looks; gives the queries.
    fn look(rest: &mut Rest, venue: impl Fn(&Call) -> &'static str) -> Vec<String> {
        let mut asked = Vec::new();
        while let Some(mut job) = rest.reference.pop_front() {
            assert!(asked.len() < 100, "it comes to an end: {asked:?}");
            job.until = UnixNanos(UnixNanos::DAY * 20_000);
            let call = rest.call(&job, job.until);
            let body = venue(&call).as_bytes();
            asked.push(format!("{}?{}", call.path, call.query));
            let context = Context { directory: &rest.directory, symbols: &rest.symbols };
            match understand(&mut rest.answers, &context, &mut job, 200, body) {
                Ok(answer) => rest.take(job, answer, &|| UnixNanos(0), MonoNanos(1)),
                Err(error) => {
                    rest.fail(job, &error, MonoNanos(1));
                    if rest.failure.is_some() {
                        break;
                    }
                }
            }
        }
        asked
    }

    const NOTHING: &str = r#"{"code":"00000","msg":"","data":{"list":[],"cursor":null}}"#;
    const OTHERS: &str =
        r#"{"code":"00000","msg":"","data":{"list":[{"clientOid":"theirs"}],"cursor":"9"}}"#;
    const LATER: &str =
        r#"{"code":"00000","msg":"","data":{"list":[{"clientOid":"keel-mm1-5-2"}],"cursor":"7"}}"#;
    const EARLIER: &str =
        r#"{"code":"00000","msg":"","data":{"list":[{"clientOid":"keel-mm1-2-2"}],"cursor":"7"}}"#;

    /// Only the newest page, of the contracts that are configured, of the venue's own choice of
    /// days was looked at.
    #[test]
    fn a_restored_copy_shows_on_later_pages_on_other_contracts_and_in_older_days() {
        let of_all = |call: &Call| !call.query.contains("symbol=");
        let ended = |call: &Call| call.path.ends_with("history-orders");
        let mut rest = looking(false);
        let asked = look(&mut rest, |call| match call.query.contains("cursor=9") {
            true if ended(call) && of_all(call) => LATER,
            _ if ended(call) && of_all(call) => OTHERS,
            _ => NOTHING,
        });
        assert_eq!((rest.looks, rest.later_epoch()), (0, Some(5)), "{asked:#?}");
        // Of 20,000 days the last 30, the 30 before, and those before these, less ten minutes each.
        let to = |span: i64| 20_000 * 86_400_000 - span * (30 * 86_400_000 - 600_000);
        for (span, found) in [(0, Some(5)), (1, Some(5)), (2, Some(5)), (3, None)] {
            let days = format!("&startTime={}&endTime={}", to(span + 1), to(span));
            for path in ["history-orders", "fills"] {
                let mut rest = looking(false);
                let there = |call: &Call| call.path.ends_with(path) && call.query.contains(&days);
                let asked = look(&mut rest, |call| match there(call) && of_all(call) {
                    true => LATER,
                    false => NOTHING,
                });
                assert_eq!((rest.looks, rest.later_epoch()), (0, found), "{path} {asked:#?}");
            }
        }
    }

    #[test]
    fn a_look_ends_with_the_first_page_that_names_an_order_of_ours_and_has_an_end_without() {
        let mut rest = looking(false);
        let asked = look(&mut rest, |_| EARLIER);
        let open = asked.iter().filter(|query| query.contains("unfilled-orders")).count();
        // A cursor that comes back is no answer to the list that is read to its end.
        assert_eq!((open, asked.len(), rest.failure.is_some()), (2, 2, true), "{asked:#?}");
        let mut rest = looking(false);
        let past = |call: &Call| !call.path.ends_with("unfilled-orders");
        let asked = look(&mut rest, |call| if past(call) { EARLIER } else { NOTHING });
        assert_eq!((rest.looks, rest.later_epoch(), asked.len()), (0, None, 4), "{asked:#?}");
        assert!(rest.missing().ends_with("for: "), "{}", rest.missing());
    }

    /// Any key was believed that a list is not there.
    #[test]
    fn a_list_that_is_missing_is_let_pass_in_demo_alone_and_at_its_first_page() {
        const LACKS: &str = r#"{"code":"40081","msg":"not in demo","data":null}"#;
        const CURSOR: &str = r#"{"code":"40020","msg":"cursor error","data":null}"#;
        let ended = |call: &Call| call.path.ends_with("history-orders");
        let first = |call: &Call| !call.query.contains("cursor=");
        let lacks = |call: &Call| if ended(call) { LACKS } else { NOTHING };
        let lacks_later = |call: &Call| match (ended(call), first(call)) {
            (true, true) => OTHERS,
            (true, false) => LACKS,
            _ => NOTHING,
        };
        let wrong = |call: &Call| if ended(call) { CURSOR } else { NOTHING };
        let passes = |is_demo: bool, venue: &dyn Fn(&Call) -> &'static str| {
            let mut rest = looking(is_demo);
            look(&mut rest, venue);
            if rest.looks > 0 {
                let said = rest.missing();
                let parts = ["for: ended orders", "ended orders of BTCUSDT", "; the last answer: "];
                assert!(parts.iter().all(|part| said.contains(part)), "{said}");
            }
            rest.looks == 0
        };
        assert!(passes(true, &lacks));
        assert!(!passes(false, &lacks) && !passes(true, &lacks_later) && !passes(true, &wrong));
    }

    #[test]
    fn executions_of_an_answer_are_told_as_they_happened() {
        // Two executions of one millisecond took a position from short over flat to long. Told the
        // newest first, they realized another profit than the venue's: the life of seed 2000083.
        let fill = |trade_id, ms| Fill {
            instrument: InstrumentId(0),
            client: ClientId::FOREIGN,
            order_id: 1,
            trade_id,
            side: Side::Buy,
            maker: true,
            price: Ticks(1),
            lots: Lots(1),
            fee: Quote::ZERO,
            fee_known: true,
            source: Source::Query,
            ts: UnixNanos(ms * MILLIS as i64),
        };
        let mut fills = [fill(4, 9), fill(3, 8), fill(2, 8), fill(1, 7)];
        oldest_first(&mut fills);
        assert_eq!(fills.map(|fill| fill.trade_id), [1, 2, 3, 4]);
    }

    #[test]
    fn a_contract_whose_grid_has_changed_is_not_traded_by_the_old_one_nor_the_new() {
        let btc = btcusdt();
        assert_eq!(on_known_grids(&Directory::new(&[]), &[btc]), [btc], "the first rules");
        let known = Directory::new(&[btc]);
        let smaller = Instrument { min_notional: Quote::usdt(1), ..btc };
        assert_eq!(on_known_grids(&known, &[smaller]), [smaller], "on the same grids");
        for other in [
            Instrument { lot: Grid { step: 1, scale: 3 }, ..btc },
            Instrument { tick: Grid { step: 5, scale: 2 }, ..btc },
        ] {
            let shut = Instrument { status: InstrumentStatus::Offline, ..btc };
            assert_eq!(on_known_grids(&known, &[other]), [shut]);
        }
    }
}
