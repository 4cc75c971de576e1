//! The world: the product without driver and threads, against the simulated venue, in one thread
//! and under virtual time.
//!
//! Both directions pass through encode, session, framing and decode. Connections are opened as the
//! doors open them, bytes move in segments that take their time, and what goes wrong is drawn from
//! the seed, as is everything else: the same [`WorldConfig`] gives the same [`World::hash`] on
//! every machine. Oracles look at the venue's truth ([`World::exchange`]) and at what somebody in
//! the middle of the wire saw ([`World::take_notes`]), never at what the engine believes.

mod chance;
mod fault;
mod frames;
mod others;
mod process;
mod tamper;
mod trail;
mod wire;

use keel_core::command::Booked;
use keel_core::event::{Directive, Operator};
use keel_core::instrument::{InstrumentId, Symbol};
use keel_core::param::{Params, Profile};
use keel_core::planted::{Defect, Planted};
use keel_core::units::{MILLIS, MonoNanos, SECONDS, Side, UnixNanos};
use keel_net::bitget::client::Instance;
use keel_net::gateway::Choice;
use keel_sim::account::{AccountId, Fees};
use keel_sim::bitget::{Exchange, ExchangeConfig};
use keel_sim::fault::{Act, Fault};
use keel_sim::paper::Terms;

pub use chance::Chance;
pub use fault::{Counts, FaultKind, FaultPlan, PlannedFault, Route, Standing, Standings};

use crate::clock::{Anchor, ORIGIN};
use crate::cold::recorder;
use crate::cold::tally::Tally;
use crate::journal::Tap;
use crate::memory::{Block, EngineIn};
use crate::state::ledger::{Kept, Record};
use crate::topology::EntryPlan;
use fault::length_ns;
use process::{Process, Start};
use tamper::Tamper;
use wire::{Net, Way};

/// What a world is made of. It decides everything that happens in it.
#[derive(Clone, Debug)]
pub struct WorldConfig {
    /// Everything that is drawn is drawn from this.
    pub seed: u64,
    /// Which defaults the engine starts from.
    pub profile: Profile,
    /// Parameters that differ from the profile's: place and value.
    pub params: Vec<(usize, i64)>,
    /// What is traded; the venue lists BTCUSDT and ETHUSDT.
    pub symbols: Vec<Symbol>,
    /// The venue.
    pub exchange: ExchangeConfig,
    /// The venue's time when the world begins.
    pub began: UnixNanos,
    /// What goes wrong.
    pub faults: FaultPlan,
    /// The defect that the product commits.
    pub planted: Planted,
    /// Another engine beside, on the same public market, whose orders stay on paper by these
    /// terms; its balance and its fees are those of the product's account.
    pub paper: Option<Terms>,
}

impl WorldConfig {
    /// A world in which nothing goes wrong: BTCUSDT in the profile `touch`.
    pub fn calm(seed: u64) -> Self {
        Self {
            seed,
            profile: Profile::Touch,
            params: Vec::new(),
            symbols: vec![Symbol::parse(b"BTCUSDT").expect("a name")],
            exchange: ExchangeConfig::default(),
            began: UnixNanos(1_768_471_200 * SECONDS as i64),
            faults: FaultPlan::NONE,
            planted: Planted::NONE,
            paper: None,
        }
    }
}

/// Product, venue and wire.
pub struct World<'m> {
    config: WorldConfig,
    block: &'m Block,
    now: MonoNanos,
    net: Net,
    process: Option<Process<'m>>,
    /// The engine on paper; it sees the market by connections of its own.
    paper: Option<Process<'m>>,
    /// When a process that died is started again.
    starts_at: MonoNanos,
    start: Start,
    account: AccountId,
    disk: Disk,
    chance: Chance,
    /// How many faults of the plan have been put in.
    faults: usize,
    /// The host's UTC less the venue's, and until when.
    host_offset_ns: i64,
    host_until: MonoNanos,
    /// Until when the venue's clock is off.
    skewed_until: MonoNanos,
    ended: bool,
}

/// What a process leaves to the next.
struct Disk {
    tally: Tally,
    /// Taken from the journal's link and not durable yet.
    waiting: Vec<Tap>,
    commit_at: MonoNanos,
    kept: Kept,
    booked: Vec<Booked>,
}

/// What somebody in the middle saw, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Noted {
    /// When.
    pub at: MonoNanos,
    /// What.
    pub note: Note,
}

/// What somebody in the middle saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// The client has put a message on the wire: a WebSocket text, or an HTTP request.
    Sent {
        /// Where.
        route: Route,
        /// What it says.
        text: Vec<u8>,
    },
    /// A message has reached the client whole: a WebSocket text, or an HTTP response.
    Received {
        /// Where.
        route: Route,
        /// What it says.
        text: Vec<u8>,
        /// It is one of the venue's, in its turn.
        sound: bool,
    },
    /// A WebSocket text was lost, or was spoiled and comes as another.
    Spoiled {
        /// Where.
        route: Route,
        /// What it said.
        text: Vec<u8>,
    },
    /// The client has seen the end of a connection, and has no other on this route.
    Ended {
        /// Which.
        route: Route,
    },
    /// A fault was put in.
    Fault {
        /// Which.
        kind: FaultKind,
        /// Where, when it was a single message.
        route: Option<Route>,
        /// In which states orders were.
        standings: Standings,
    },
    /// A process was started, in this boot epoch.
    Started(u32),
    /// The process has died.
    Died,
    /// The engine took an event or gave a command.
    Tap(Tap),
    /// The same of the engine on paper.
    Paper(Tap),
}

impl<'m> World<'m> {
    /// A world at its begin: the process has just been started. Its engines live in `block`.
    ///
    /// # Panics
    /// When a parameter lies outside its range, or the venue has no account.
    pub fn new(config: WorldConfig, block: &'m Block) -> Self {
        let stream = |number| Chance::new(config.seed, number);
        let mut exchange = Exchange::new(config.exchange.clone(), config.seed, config.began);
        let traded: Vec<&str> = config.symbols.iter().map(Symbol::as_str).collect();
        exchange.keep_moving(&traded);
        let (account, key) = exchange.keys().next().expect("the venue has an account");
        let account = account.id;
        let mut params = Params::defaults(config.profile);
        for &(place, value) in &config.params {
            assert!(params.set(place, value), "parameter {place} takes no {value}");
        }
        let start = Start {
            instance: Instance::parse("world").expect("a plain name"),
            profile: config.profile,
            params,
            symbols: config.symbols.clone(),
            key: [key.key.clone(), key.secret.clone(), key.passphrase.clone()],
            epoch: 0,
            dirty: false,
            planted: config.planted,
            seed: config.seed,
            restored: None,
            paper: None,
        };
        let late_ns_max = params.receive_window_ms() - 10 * MILLIS;
        let tamper = Tamper::new(config.exchange.checksum, late_ns_max);
        let net = Net::new(exchange, config.began, stream(1), tamper);
        let chance = stream(3);
        let disk = Disk::new(&config.symbols);
        let mut world = Self {
            config,
            block,
            now: ORIGIN,
            net,
            process: None,
            paper: None,
            starts_at: ORIGIN,
            start,
            account,
            disk,
            chance,
            faults: 0,
            host_offset_ns: 0,
            host_until: MonoNanos::NEVER,
            skewed_until: MonoNanos::ZERO,
            ended: false,
        };
        world.start_if_due();
        world.start_on_paper();
        world
    }

    /// Goes on to the next moment at which anything happens, or to `until` when that is sooner.
    pub fn advance(&mut self, until: MonoNanos) {
        let seen = self.net.notes.len();
        let process = self.process.as_ref().map_or(self.starts_at, Process::due);
        let process = process.min(self.paper.as_ref().map_or(MonoNanos::NEVER, Process::due));
        let faults = self.fault_due().min(self.host_until);
        let next = self.net.due().min(process).min(faults).min(self.disk.commit_at);
        self.now = self.now.max(next.min(until));
        let now = self.now;
        self.put_faults_in();
        self.net.step(now);
        self.start_if_due();
        let touched = self.net.take_touched();
        let host = self.host_utc();
        for process in [&mut self.process, &mut self.paper].into_iter().flatten() {
            process.touch(touched, now);
            process.step(&mut self.net, host, now);
        }
        self.net.serve(now);
        self.tell_standings(seen);
        self.take_taps();
        if self.disk.commit_at <= now {
            self.disk.commit();
        }
        if self.process.as_ref().is_some_and(Process::is_over) {
            self.ended = true;
            self.end_process(true);
        }
    }

    /// Goes on to `until`, looking at the world after each moment at which anything happened.
    pub fn run_until(&mut self, until: MonoNanos, mut look: impl FnMut(&mut Self)) {
        while self.now < until && !self.ended {
            self.advance(until);
            look(self);
        }
    }

    /// The world's time; it begins at [`ORIGIN`].
    pub fn now(&self) -> MonoNanos {
        self.now
    }

    /// Time since the world began, in nanoseconds.
    pub fn elapsed_ns(&self) -> u64 {
        self.now.since(ORIGIN)
    }

    /// The venue's truth.
    pub fn exchange(&self) -> &Exchange {
        self.net.exchange()
    }

    /// The contracts that are traded.
    pub fn symbols(&self) -> &[Symbol] {
        &self.config.symbols
    }

    /// The account that the product trades on.
    pub fn account(&self) -> AccountId {
        self.account
    }

    /// The same of the engine on paper.
    pub fn engine_on_paper(&self) -> Option<&EngineIn<'m>> {
        self.paper.as_ref().and_then(Process::engine)
    }

    /// The engine; `None` while there is no process, or it does not know the rules yet.
    pub fn engine(&self) -> Option<&EngineIn<'m>> {
        self.process.as_ref().and_then(Process::engine)
    }

    /// Executions that are booked and durable, over all processes.
    pub fn booked(&self) -> &[Booked] {
        &self.disk.booked
    }

    /// What somebody in the middle saw since the last call.
    pub fn take_notes(&mut self) -> Vec<Noted> {
        std::mem::take(&mut self.net.notes)
    }

    /// True while `route` is connected and nothing holds it back.
    pub fn is_calm(&self, route: Route) -> bool {
        self.net.is_calm(route, self.now)
    }

    /// True when nothing is planned to go wrong.
    pub fn is_planned_calm(&self) -> bool {
        self.config.faults.faults.is_empty()
    }

    /// What went wrong so far.
    pub fn counts(&self) -> &Counts {
        &self.net.counts
    }

    /// The parameters in force.
    pub fn params(&self) -> &Params {
        &self.start.params
    }

    /// Has the venue settle funding with every position now, whatever its calendar says.
    pub fn settle_funding(&mut self) {
        let utc = self.net.utc(self.now);
        let venue = self.net.exchange_mut().venue_mut();
        for symbol in &self.config.symbols {
            if let Some(id) = venue.find(symbol.as_str()) {
                venue.settle_funding(id, utc);
            }
        }
        self.net.exchange_mut().step(utc);
    }

    /// Moves the price of a contract at the venue to so many millionths of what it is.
    pub fn move_price(&mut self, symbol: &str, to_ppm: u32) -> bool {
        let utc = self.net.utc(self.now);
        let moved = self.net.exchange_mut().move_price(symbol, to_ppm, utc);
        self.net.exchange_mut().step(utc);
        moved
    }

    /// Asks the engine for an ordered stop.
    pub fn stop(&mut self) {
        self.tell(Directive::Stop);
    }

    /// Tells the engine what a person may tell it.
    pub fn tell(&mut self, directive: Directive) {
        if let Some(process) = &mut self.process {
            process.tell(Operator::program(directive), self.now);
        }
    }

    /// True once the engine has stopped in order: zero open orders were verified.
    pub fn has_stopped(&self) -> bool {
        self.ended
    }

    /// True when the gateway had to cancel everything because the engine could not.
    pub fn is_dead_man(&self) -> bool {
        self.process.as_ref().is_some_and(Process::is_dead_man)
    }

    /// One number over everything: each byte that was sent and that arrived, both ways, and when;
    /// the journal; the state of each engine at its end; and the venue's accounts.
    pub fn hash(&self) -> String {
        let mut trail = self.net.trail.clone();
        if let Some(engine) = self.engine() {
            trail.add(&engine.digest().to_le_bytes());
        }
        for account in self.exchange().venue().accounts().iter().filter(|account| !account.house) {
            let truth = (account.balance(), account.totals(), account.fills(), account.bills());
            trail.add(format!("{truth:?}").as_bytes());
        }
        trail.text()
    }

    fn host_utc(&self) -> UnixNanos {
        UnixNanos(self.net.utc(self.now).0 + self.host_offset_ns)
    }

    fn start_if_due(&mut self) {
        if self.process.is_some() || self.now < self.starts_at {
            return;
        }
        let first = !self.start.dirty;
        if first || !self.start.planted.has(Defect::EpochNotDurable) {
            self.start.epoch += 1;
        }
        let chance = Chance::new(self.chance.draw(), 0);
        let host = self.host_utc();
        let remembered = !self.start.planted.has(Defect::LatchForgotten);
        let latch = self.disk.kept.stop(self.start.epoch - 1).filter(|_| remembered);
        self.start.restored = (!first).then(|| (self.disk.kept.clone(), latch));
        if first {
            self.disk.kept = Kept::begun(host);
        }
        let anchor = Anchor { mono: self.now, utc: host, uncertainty_ns: 0 };
        self.disk.tally = Tally::new(&self.config.symbols, anchor);
        self.process = Some(Process::begin(self.block, self.start.clone(), chance, host, self.now));
        self.net.note(Note::Started(self.start.epoch), self.now);
    }

    fn start_on_paper(&mut self) {
        let Some(terms) = self.config.paper else { return };
        let plan = self.config.exchange.accounts.first().expect("the venue has an account");
        let Fees { maker, taker } = plan.fees;
        let terms = Terms { balance: plan.deposit, maker, taker, ..terms };
        let start = Start { epoch: 1, restored: None, paper: Some(terms), ..self.start.clone() };
        let chance = Chance::new(self.config.seed, 9);
        let host = self.host_utc();
        self.paper = Some(Process::begin(self.block, start, chance, host, self.now));
    }

    fn take_taps(&mut self) {
        if let Some(paper) = &mut self.paper {
            let (trail, notes, now) = (&mut self.net.trail, &mut self.net.notes, self.now);
            paper.taps(|tap| {
                trail.add(&tap.slot);
                notes.push(Noted { at: now, note: Note::Paper(tap) });
            });
        }
        let Some(process) = &mut self.process else { return };
        let (disk, trail, notes, now) =
            (&mut self.disk, &mut self.net.trail, &mut self.net.notes, self.now);
        process.taps(|tap| {
            trail.add(&tap.now.0.to_le_bytes());
            trail.add(&tap.slot);
            notes.push(Noted { at: now, note: Note::Tap(tap) });
            disk.take(tap, now);
        });
    }

    /// The process has ended: in order, or by its death, after which another is started.
    fn end_process(&mut self, synced: bool) {
        let Some(process) = self.process.take() else { return };
        if let Some(engine) = process.engine() {
            self.net.trail.add(&engine.digest().to_le_bytes());
        }
        process.die(&mut self.net, self.now);
        self.disk.close(synced);
        self.start.dirty = true;
        self.net.note(Note::Died, self.now);
        let pause = self.chance.between(100 * MILLIS, 4 * SECONDS);
        self.starts_at = if self.ended { MonoNanos::NEVER } else { self.now.after(pause) };
    }
}

/// What goes wrong.
impl World<'_> {
    /// When the next fault of the plan is put in.
    fn fault_due(&self) -> MonoNanos {
        let next = self.config.faults.faults.get(self.faults);
        next.map_or(MonoNanos::NEVER, |fault| ORIGIN.after(fault.at_ns))
    }

    fn put_faults_in(&mut self) {
        if self.host_until <= self.now {
            (self.host_offset_ns, self.host_until) = (0, MonoNanos::NEVER);
        }
        let end = ORIGIN.after(self.config.faults.until_ns);
        if self.now >= end {
            self.net.tamper.disarm();
        }
        while self.fault_due() <= self.now {
            let PlannedFault { kind, seed, .. } = self.config.faults.faults[self.faults];
            self.faults += 1;
            let mut chance = Chance::new(seed, 0);
            let until = self.now.after(length_ns(&mut chance)).min(end);
            let standings = self.standings();
            if self.put_in(kind, until, chance) {
                self.net.counts.count(kind);
                self.net.note(Note::Fault { kind, route: None, standings }, self.now);
            }
        }
    }

    /// Completes what is noted of faults that have just befallen messages.
    fn tell_standings(&mut self, seen: usize) {
        if self.net.notes[seen..].iter().any(is_message_fault) {
            let now = self.standings();
            for noted in self.net.notes[seen..].iter_mut().filter(|noted| is_message_fault(noted)) {
                if let Note::Fault { standings, .. } = &mut noted.note {
                    *standings = now;
                }
            }
        }
    }

    /// In which states orders are.
    pub fn standings(&self) -> Standings {
        let Some(engine) = self.engine() else { return Standings::only(Standing::NoEngine) };
        let instruments = (0..self.config.symbols.len()).map(|i| InstrumentId(i as u16));
        let sides = instruments.flat_map(|id| Side::BOTH.map(|side| (id, side)));
        Standings::of(sides.flat_map(|(id, side)| engine.orders().open(id, side)))
    }

    /// Puts a fault in; false when there was nothing to do it to, or it waits for a message.
    fn put_in(&mut self, kind: FaultKind, until: MonoNanos, mut chance: Chance) -> bool {
        let now = self.now;
        match kind {
            FaultKind::CutPublic => self.net.cut(Route::Public, &mut chance, now),
            FaultKind::CutPrivate => self.net.cut(Route::Private, &mut chance, now),
            FaultKind::CutRest => self.net.cut(Route::Rest, &mut chance, now),
            FaultKind::CutCancel => self.net.cut(Route::Cancel, &mut chance, now),
            FaultKind::CutOrder => self.net.cut(Route::Order, &mut chance, now),
            FaultKind::StallOrder => self.net.stall(Route::Order, &[Way::Up, Way::Down], until),
            FaultKind::CutAll => {
                Route::ALL.map(|route| self.net.cut(route, &mut chance, now)).contains(&true)
            }
            FaultKind::StallPublic => self.net.stall(Route::Public, &[Way::Down], until),
            FaultKind::StallPrivate => self.net.stall(Route::Private, &[Way::Up, Way::Down], until),
            FaultKind::HalfOpenPrivate => self.net.stall(Route::Private, &[Way::Down], until),
            FaultKind::StallRest => self.net.stall(Route::Rest, &[Way::Down], until),
            FaultKind::StallCancel => self.net.stall(Route::Cancel, &[Way::Up, Way::Down], until),
            FaultKind::SpikePublic => self.spike(&[Route::Public], &mut chance, until),
            FaultKind::SpikePrivate => self.spike(&[Route::Private], &mut chance, until),
            FaultKind::SpikeHttp => {
                let routes = [Route::Rest, Route::Cancel, Route::Order];
                self.spike(&routes, &mut chance, until)
            }
            FaultKind::Kill => self.kill(true),
            FaultKind::KillUnsynced => self.kill(false),
            FaultKind::KillOtherWay => self.kill_other_way(),
            FaultKind::FalsePositions => self.net.tamper.speak_falsely(),
            FaultKind::Ban => self.shut(Act::Ban, until),
            FaultKind::Maintenance => self.shut(Act::Maintenance, until),
            FaultKind::Skew => self.skew(&mut chance, until),
            FaultKind::ClockStep => self.step_clock(&mut chance, until),
            FaultKind::ForeignOrder => self.place_by_hand(&mut chance),
            FaultKind::UnaskedCancel => self.cancel_unasked(),
            FaultKind::PartFill => self.fill_partly(&mut chance),
            FaultKind::DropBook
            | FaultKind::DuplicateBook
            | FaultKind::ReplayBook
            | FaultKind::DamageBook
            | FaultKind::AlterBook
            | FaultKind::DropPush
            | FaultKind::DuplicatePush
            | FaultKind::ReplayPush
            | FaultKind::DropReply
            | FaultKind::DropOrder
            | FaultKind::LateOrder
            | FaultKind::DropCancel
            | FaultKind::LateCancel
            | FaultKind::BadGatewayDone
            | FaultKind::BadGatewayLost
            | FaultKind::NoAnswer
            | FaultKind::TooManyRequests
            | FaultKind::CutAnswer
            | FaultKind::FalsePosition
            | FaultKind::UnavailableDone
            | FaultKind::UnavailableLost
            | FaultKind::GatewayTimeoutDone
            | FaultKind::GatewayTimeoutLost
            | FaultKind::ErrorDone
            | FaultKind::ErrorLost
            | FaultKind::TooManyOrders
            | FaultKind::PartialBatch
            | FaultKind::RefusedRows => {
                self.net.tamper.arm(kind, chance);
                false
            }
        }
    }

    /// Shuts the venue's door.
    fn shut(&mut self, act: Act, until: MonoNanos) -> bool {
        let until = until.min(self.now.after(SHUT_NS_MAX));
        self.net.inject(Fault::always(act), until, self.now);
        true
    }

    /// Sets the host's clock off the venue's, where that is right: both wrong at once would be more
    /// than the product takes of either.
    fn step_clock(&mut self, chance: &mut Chance, until: MonoNanos) -> bool {
        if self.now < self.skewed_until {
            return false;
        }
        self.host_offset_ns = off_by(chance, HOST_MS_MAX);
        self.host_until = until;
        true
    }

    /// Sets the venue's clock off, where the host's is right.
    fn skew(&mut self, chance: &mut Chance, until: MonoNanos) -> bool {
        // Two at once would add up, and the shorter one would hide the other.
        if self.host_until != MonoNanos::NEVER || self.now < self.skewed_until {
            return false;
        }
        let ns = off_by(chance, SKEW_MS_MAX);
        self.net.inject(Fault::always(Act::Skew { ns }), until, self.now);
        self.skewed_until = until;
        true
    }

    fn spike(&mut self, routes: &[Route], chance: &mut Chance, until: MonoNanos) -> bool {
        let by_ns = chance.between(50 * MILLIS, 3 * SECONDS);
        routes.iter().for_each(|&route| self.net.spike(route, by_ns, until));
        true
    }

    fn kill_other_way(&mut self) -> bool {
        let entry = EntryPlan::of(&self.start.params);
        let killed = entry.choice == Choice::Auto && self.kill(true);
        if killed {
            let exchange = self.net.exchange_mut();
            exchange.take_websocket_orders(!exchange.takes_websocket_orders());
        }
        killed
    }

    /// Has the process die now; another is started soon. What it recorded is kept whole, or only as
    /// far as it was durable. False when there is none.
    pub fn kill(&mut self, synced: bool) -> bool {
        let alive = self.process.is_some();
        self.end_process(synced);
        alive
    }
}

/// How far a clock is off, nanoseconds: 100 ms at least, ahead or behind.
fn off_by(chance: &mut Chance, ms_max: u64) -> i64 {
    let ms = chance.between(100, ms_max) as i64;
    let sign = if chance.one_in(2) { 1 } else { -1 };
    sign * ms * MILLIS as i64
}

fn is_message_fault(noted: &Noted) -> bool {
    matches!(noted.note, Note::Fault { route: Some(_), .. })
}

impl Disk {
    fn new(symbols: &[Symbol]) -> Self {
        // Each start begins with a tally of its own.
        let anchor = Anchor { mono: MonoNanos::ZERO, utc: UnixNanos(0), uncertainty_ns: 0 };
        Self {
            tally: Tally::new(symbols, anchor),
            waiting: Vec::new(),
            commit_at: MonoNanos::NEVER,
            kept: Kept::default(),
            booked: Vec::new(),
        }
    }

    /// Takes a record from the journal's link; it is durable with the next commit.
    fn take(&mut self, tap: Tap, now: MonoNanos) {
        if self.waiting.is_empty() {
            self.commit_at = now.after(COMMIT_NS);
        }
        self.waiting.push(tap);
        if recorder::is_hard_stop(&tap) {
            self.commit_at = now;
        }
    }

    fn commit(&mut self) {
        let mut news = Vec::new();
        for tap in self.waiting.drain(..).filter(Tally::wants) {
            news.clear();
            self.tally.take(&tap, &mut news).expect("a record of this build");
            let Some(record) = recorder::record_of(&tap, &news) else { continue };
            let at = self.tally.utc(tap.now);
            self.kept.take(&record, at).expect("an execution on the position's grid");
            if let Record::Booked(booked, _) = record {
                self.booked.push(booked);
            }
        }
        self.commit_at = MonoNanos::NEVER;
    }

    /// What the process leaves: everything it had recorded, or only what was durable.
    fn close(&mut self, synced: bool) {
        if synced {
            self.commit();
        }
        self.waiting.clear();
        self.commit_at = MonoNanos::NEVER;
    }
}

/// How long records wait for others before they are made durable together.
const COMMIT_NS: u64 = 100 * MILLIS;
/// How long the venue's door is shut at most: a life must stay a part of a day, in which the
/// market is seen.
const SHUT_NS_MAX: u64 = 4 * SECONDS;
/// How far the host's clock is off at most, in milliseconds, and the venue's.
const HOST_MS_MAX: u64 = 1_800;
const SKEW_MS_MAX: u64 = 900;
/// Nanoseconds in a microsecond.
const MICROS: u64 = 1_000;
