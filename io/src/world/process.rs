//! The process: the product minus driver and threads, from start to its end or its death.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use keel_core::command::Query;
use keel_core::event::{Boot, Event, Mode, Operator};
use keel_core::instrument::Symbol;
use keel_core::param::{Params, Profile};
use keel_core::units::{MILLIS, MonoNanos, UnixNanos};
use keel_net::bitget::client::Instance;
use keel_net::bitget::sign::{Credentials, Secret};
use keel_net::bitget::topics::Directory;
use keel_net::dispatch::Arrival;
use keel_net::driver::OPEN_NS_MAX;
use keel_net::feed::Feed;
use keel_net::gateway::Gateway;
use keel_net::link::{Receiver, Sender, WhenFull, link};
use keel_net::proto::Protocol;
use keel_net::proto::http::{BODY_BYTES_MAX, Client, FILLS_BODY_BYTES_MAX};
use keel_net::proto::session::{Session, Settings};

use super::chance::Chance;
use super::fault::Route;
use super::wire::{Net, WireId};
use crate::agent::engine::{Cycle, Inputs, Outputs};
use crate::clock::VenueClock;
use crate::cold::door::{Opens, Pause, Progress};
use crate::cold::rest::Rest;
use crate::journal::Tap;
use crate::memory::{self, Block, EngineIn, Limits};
use crate::mode::sim::first_events;

/// What a process is started with.
#[derive(Clone)]
pub(super) struct Start {
    pub(super) instance: Instance,
    pub(super) profile: Profile,
    pub(super) params: Params,
    pub(super) symbols: Vec<Symbol>,
    /// Key, secret, passphrase.
    pub(super) key: [String; 3],
    pub(super) epoch: u32,
    pub(super) dirty: bool,
    pub(super) seed: u64,
    /// What the last process left.
    pub(super) restored: Vec<Event>,
}

/// A process at work.
pub(super) struct Process<'m> {
    block: &'m Block,
    start: Start,
    rest: Rest,
    line: Port<Client>,
    hot: Option<Hot<'m>>,
    venue: VenueClock,
    chance: Chance,
    /// When each agent is stepped next, and was stepped last.
    wakes: [MonoNanos; AGENTS],
    stepped: [MonoNanos; AGENTS],
    /// When each agent is due by its own account; nothing but a step changes it.
    deadlines: [MonoNanos; AGENTS],
}

/// What runs once the rules are known.
struct Hot<'m> {
    cycle: Cycle<'m>,
    feed: Feed,
    gateway: Gateway,
    public: Port<Session>,
    private: Port<Session>,
    cancel: Port<Client>,
    queries: Receiver<Query>,
    to_engine: Sender<Arrival>,
    backlog: VecDeque<Event>,
    journal: Receiver<Tap>,
}

/// Threads of a process that the world steps; the journal is the world's own.
const AGENTS: usize = 4;
const FEED: usize = 0;
const ENGINE: usize = 1;
const GATEWAY: usize = 2;
const COLD: usize = 3;

/// How late an agent notices that something has come: a hot one spins, cold parks up to a
/// millisecond.
const LATE_NS_MAX: [u64; AGENTS] = [20_000, 20_000, 20_000, MILLIS];
/// An agent is not stepped more often than this by its own deadline.
const STEP_NS_MIN: [u64; AGENTS] = [1_000, 1_000, 1_000, MILLIS];

impl<'m> Process<'m> {
    /// A process that has just been started. `host` is the host's UTC.
    pub(super) fn begin(
        block: &'m Block,
        start: Start,
        mut chance: Chance,
        host: UnixNanos,
        now: MonoNanos,
    ) -> Self {
        let venue = VenueClock::default();
        venue.set(host, now);
        let credentials = credentials(&start.key);
        let mut rest =
            Rest::new(start.instance, HOST, Some(credentials), &start.symbols, venue.clone());
        rest.begin();
        let seed = chance.draw();
        Self {
            block,
            start,
            rest,
            line: Port::new(Route::Rest, Client::new(FILLS_BODY_BYTES_MAX)),
            hot: None,
            venue,
            chance: Chance::new(seed, 0),
            wakes: [MonoNanos::NEVER, MonoNanos::NEVER, MonoNanos::NEVER, now],
            stepped: [now; AGENTS],
            deadlines: [MonoNanos::NEVER; AGENTS],
        }
    }

    /// When something is to be stepped.
    pub(super) fn due(&self) -> MonoNanos {
        let agent = |agent: usize| {
            let earliest = self.stepped[agent].after(STEP_NS_MIN[agent]);
            self.wakes[agent].min(self.deadlines[agent].max(earliest))
        };
        (0..AGENTS).map(agent).fold(MonoNanos::NEVER, MonoNanos::min)
    }

    /// Says that something has come on these routes.
    pub(super) fn touch(&mut self, routes: [bool; Route::ALL.len()], now: MonoNanos) {
        for route in Route::ALL.into_iter().filter(|&route| routes[route as usize]) {
            self.wake(COLD, now);
            match route {
                Route::Public => self.wake(FEED, now),
                Route::Private | Route::Cancel => self.wake(GATEWAY, now),
                Route::Rest => {}
            }
        }
    }

    /// Steps the agents that are due. `host` is the host's UTC.
    pub(super) fn step(&mut self, net: &mut Net, host: UnixNanos, now: MonoNanos) {
        for (agent, &apart_ns) in STEP_NS_MIN.iter().enumerate() {
            let earliest = self.stepped[agent].after(apart_ns);
            if self.wakes[agent].min(self.deadlines[agent].max(earliest)) > now {
                continue;
            }
            self.wakes[agent] = MonoNanos::NEVER;
            self.stepped[agent] = now;
            let (work, wakes): (_, &[usize]) = match agent {
                FEED => (self.step_feed(net, now), &[FEED, ENGINE]),
                ENGINE => self.step_engine(now),
                GATEWAY => (self.step_gateway(net, now), &[GATEWAY, ENGINE]),
                _ => (self.step_cold(net, host, now), &[FEED, ENGINE, GATEWAY, COLD]),
            };
            if work > 0 {
                wakes.iter().for_each(|&other| self.wake(other, now));
            }
            self.deadlines = std::array::from_fn(|agent| self.deadline(agent));
        }
    }

    /// Tells the engine something from outside.
    pub(super) fn tell(&mut self, operator: Operator, now: MonoNanos) {
        if let Some(hot) = &mut self.hot {
            hot.backlog.push_back(Event::Operator(operator));
        }
        self.wake(COLD, now);
    }

    /// What the engine took and gave since the last call.
    pub(super) fn taps(&mut self, mut each: impl FnMut(Tap)) {
        if let Some(hot) = &mut self.hot {
            while let Some(tap) = hot.journal.pop() {
                each(tap);
            }
        }
    }

    /// The engine; `None` until the venue has told the rules.
    pub(super) fn engine(&self) -> Option<&EngineIn<'m>> {
        self.hot.as_ref().map(|hot| hot.cycle.engine())
    }

    /// True once the engine and the gateway have ended in order.
    pub(super) fn is_over(&self) -> bool {
        self.hot.as_ref().is_some_and(|hot| hot.cycle.is_over() && hot.gateway.is_over())
    }

    /// True when the gateway had to cancel everything because the engine could not.
    pub(super) fn is_dead_man(&self) -> bool {
        self.hot.as_ref().is_some_and(|hot| hot.gateway.is_dead_man())
    }

    /// Drops every connection, as the death of a process does.
    pub(super) fn die(self, net: &mut Net, now: MonoNanos) {
        let hot = self.hot.as_ref();
        let others = [
            hot.and_then(|hot| hot.public.wire()),
            hot.and_then(|hot| hot.private.wire()),
            hot.and_then(|hot| hot.cancel.wire()),
        ];
        for wire in others.into_iter().chain([self.line.wire()]).flatten() {
            net.leave(wire, now);
        }
    }

    fn wake(&mut self, agent: usize, now: MonoNanos) {
        let late = self.chance.between(500, LATE_NS_MAX[agent]);
        self.wakes[agent] = self.wakes[agent].min(now.after(late));
    }

    fn deadline(&self, agent: usize) -> MonoNanos {
        let Some(hot) = &self.hot else {
            return if agent == COLD { self.cold_deadline() } else { MonoNanos::NEVER };
        };
        match agent {
            FEED => hot.public.deadline_away(),
            ENGINE => hot.cycle.deadline(),
            GATEWAY => hot
                .private
                .deadline_away()
                .min(hot.cancel.deadline_away())
                .min(hot.gateway.deadline()),
            _ => self.cold_deadline(),
        }
    }

    fn cold_deadline(&self) -> MonoNanos {
        let rest = self.line.away().map_or(MonoNanos::NEVER, |_| self.rest.deadline());
        let line = self.line.deadline_here().min(self.line.deadline_away()).min(rest);
        match &self.hot {
            None => line,
            Some(hot) => [&hot.public, &hot.private]
                .map(Port::deadline_here)
                .into_iter()
                .fold(line.min(hot.cancel.deadline_here()), MonoNanos::min),
        }
    }
}

/// The agents, as their namesakes in [`crate::agent`] run them.
impl Process<'_> {
    fn step_feed(&mut self, net: &mut Net, now: MonoNanos) -> usize {
        let Some(hot) = &mut self.hot else { return 0 };
        let Hot { feed, public, .. } = hot;
        let mut work = 0;
        if public.take_opened() {
            feed.adopt(&mut public.protocol, now);
            work += 1;
        }
        let Some(wire) = public.away() else { return work + feed.step(None, &|| now, now) };
        work += net.pump(wire, &mut public.protocol, now);
        public.protocol.step(now);
        work += feed.step(Some(&mut public.protocol), &|| now, now);
        work += net.pump(wire, &mut public.protocol, now);
        if public.protocol.is_offline() || net.is_ended(wire) {
            public.retire(net, now);
            work += 1;
        }
        work
    }

    /// Steps the engine. What it has only looked at concerns nobody else.
    fn step_engine(&mut self, now: MonoNanos) -> (usize, &'static [usize]) {
        let Some(hot) = &mut self.hot else { return (0, &[]) };
        let before = hot.journal.waiting();
        let work = hot.cycle.turn(&|| now, now);
        let spoke = hot.journal.waiting() - before > work;
        let concerns_all = spoke || !hot.backlog.is_empty() || hot.cycle.is_over();
        (work, if concerns_all { &[FEED, ENGINE, GATEWAY, COLD] } else { &[ENGINE] })
    }

    fn step_gateway(&mut self, net: &mut Net, now: MonoNanos) -> usize {
        let Some(hot) = &mut self.hot else { return 0 };
        let utc = self.venue.utc(now);
        let Hot { gateway, private, cancel, .. } = hot;
        let mut work = 0;
        if private.take_opened() {
            gateway.adopt(&mut private.protocol, utc, now);
            work += 1;
        }
        cancel.take_opened();
        if let Some(wire) = private.away() {
            work += net.pump(wire, &mut private.protocol, now);
            private.protocol.step(now);
        }
        if let Some(wire) = cancel.away() {
            work += net.pump(wire, &mut cancel.protocol, now);
            cancel.protocol.step(now);
        }
        let (session, http) = (private.away(), cancel.away());
        work += gateway.step(
            session.map(|_| &mut private.protocol),
            http.map(|_| &mut cancel.protocol),
            &|| now,
            utc,
            now,
        );
        gateway.unsent().for_each(drop);
        if let Some(wire) = session {
            work += net.pump(wire, &mut private.protocol, now);
            if private.protocol.is_offline() || net.is_ended(wire) {
                private.retire(net, now);
                work += 1;
            }
        }
        if let Some(wire) = http {
            work += net.pump(wire, &mut cancel.protocol, now);
            if net.is_ended(wire) || is_worn(&cancel.protocol) {
                gateway.lose_http();
                cancel.retire(net, now);
                work += 1;
            }
        }
        work
    }

    fn step_cold(&mut self, net: &mut Net, host: UnixNanos, now: MonoNanos) -> usize {
        if let Some(hot) = &mut self.hot {
            while let Some(query) = hot.queries.pop() {
                self.rest.query(query);
            }
        }
        let mut work = self.line.step(net, now);
        self.line.take_opened();
        if let Some(wire) = self.line.away() {
            let client = &mut self.line.protocol;
            work += net.pump(wire, client, now);
            client.step(now);
            work += self.rest.step(client, &|| host, now);
            work += net.pump(wire, client, now);
            if net.is_ended(wire) || is_worn(&self.line.protocol) {
                self.rest.lose_connection(now);
                self.line.retire(net, now);
            }
        }
        if self.hot.is_none() && self.rest.rules().is_some() {
            self.go(now);
            work += 1;
        }
        let Some(hot) = &mut self.hot else { return work };
        work += hot.public.step(net, now) + hot.private.step(net, now) + hot.cancel.step(net, now);
        hot.backlog.append(self.rest.events());
        while let Some(&event) = hot.backlog.front() {
            if hot.to_engine.push(Arrival { event, rx: now, decoded: now }).is_err() {
                break;
            }
            hot.backlog.pop_front();
            work += 1;
        }
        work
    }

    /// The rules are known: wires everything, as `crate::topology` does.
    fn go(&mut self, now: MonoNanos) {
        let rules = self.rest.rules().expect("the rules are known");
        self.rest.start(self.venue.utc(now), now);
        let (market, from_feed) = link("market", 4_096, WhenFull::MarkGap);
        let (private, from_gateway) = link("private", 2_048, WhenFull::HardStop);
        let (outside, from_cold) = link("outside", 2_048, WhenFull::AskFirst);
        let (commands, to_gateway) = link("commands", 1_024, WhenFull::AskFirst);
        let (resyncs, to_feed) = link("resync", 256, WhenFull::AskFirst);
        let (queries, to_cold) = link("queries", 256, WhenFull::AskFirst);
        let (tap, journal) = link("tap", 8_192, WhenFull::AskFirst);
        let limits = Limits {
            orders: 4_096,
            orphans: 64,
            trades: 1 << 13,
            bills: 1 << 8,
            ..Limits::of(rules.len())
        };
        let (engine, outbox) = memory::engine_in(self.block, &limits, self.start.profile);
        let inputs = Inputs { gateway: from_gateway, cold: from_cold, feed: from_feed };
        let outputs = Outputs { gateway: commands, feed: resyncs, cold: queries, journal: tap };
        let verified = Arc::new(AtomicBool::new(false));
        let directory = Directory::new(&rules);
        let start = &self.start;
        let window_ms = start.params.receive_window_ms() / MILLIS;
        let window_ms = u16::try_from(window_ms).expect("at most 60,000 by the table");
        let boot = Boot {
            config_hash: [0; 32],
            epoch: start.epoch,
            instruments: rules.len() as u16,
            seed: start.seed,
            mode: Mode::World,
            dirty: start.dirty,
        };
        let session = |path: &str, login, chance: &mut Chance| {
            Session::new(Settings::new(HOST, path, login), chance.seed())
        };
        let public = session("/v3/ws/public", false, &mut self.chance);
        let private_session = session("/v3/ws/private", true, &mut self.chance);
        self.hot = Some(Hot {
            cycle: Cycle::new(engine, outbox, inputs, outputs, verified),
            feed: Feed::new(directory.clone(), market, to_feed),
            gateway: Gateway::new(
                start.instance,
                HOST,
                directory,
                credentials(&start.key),
                private,
                to_gateway,
            )
            .with_receive_window(window_ms),
            public: Port::new(Route::Public, public),
            private: Port::new(Route::Private, private_session),
            cancel: Port::new(Route::Cancel, Client::new(BODY_BYTES_MAX)),
            queries: to_cold,
            to_engine: outside,
            backlog: first_events(boot, &start.params, &rules, start.restored.clone()),
            journal,
        });
    }
}

/// A protocol and its connection: cold's door and the agent that uses what it opened.
struct Port<P> {
    route: Route,
    protocol: P,
    stage: Stage,
    pause: Pause,
}

/// Where a port is.
#[derive(Clone, Copy)]
enum Stage {
    Resting,
    Opening {
        wire: WireId,
        until: MonoNanos,
    },
    /// Handed over; `fresh` until the agent has noticed.
    Away {
        wire: WireId,
        fresh: bool,
    },
}

impl<P: Opens + Protocol> Port<P> {
    fn new(route: Route, protocol: P) -> Self {
        Self { route, protocol, stage: Stage::Resting, pause: Pause::NONE }
    }

    /// What [`crate::cold::door::Door::step`] does.
    fn step(&mut self, net: &mut Net, now: MonoNanos) -> usize {
        match self.stage {
            Stage::Resting => {
                if now < self.pause.until() || !self.protocol.begin(now) {
                    return 0;
                }
                let wire = net.connect(self.route, now);
                self.stage = Stage::Opening { wire, until: now.after(OPEN_NS_MAX) };
                1
            }
            Stage::Opening { wire, until } => {
                net.pump(wire, &mut self.protocol, now);
                let open = net.is_connected(wire);
                let progress = self.protocol.progress(open, now);
                let broken = net.is_ended(wire) || (!open && now >= until);
                match (progress, broken) {
                    (Progress::Ready, false) => {
                        self.pause = Pause::NONE;
                        self.stage = Stage::Away { wire, fresh: true };
                        1
                    }
                    (Progress::Pending, false) => 0,
                    _ => {
                        net.leave(wire, now);
                        self.protocol.give_up(now);
                        self.pause.lengthen(now);
                        self.stage = Stage::Resting;
                        1
                    }
                }
            }
            Stage::Away { .. } => 0,
        }
    }

    /// True when it has been opened since the last call.
    fn take_opened(&mut self) -> bool {
        match &mut self.stage {
            Stage::Away { fresh, .. } => std::mem::take(fresh),
            Stage::Resting | Stage::Opening { .. } => false,
        }
    }

    /// The connection that the agent has taken over.
    fn away(&self) -> Option<WireId> {
        match self.stage {
            Stage::Away { wire, fresh: false } => Some(wire),
            Stage::Away { .. } | Stage::Resting | Stage::Opening { .. } => None,
        }
    }

    fn retire(&mut self, net: &mut Net, now: MonoNanos) {
        if let Some(wire) = self.wire() {
            net.leave(wire, now);
        }
        self.stage = Stage::Resting;
    }

    fn wire(&self) -> Option<WireId> {
        match self.stage {
            Stage::Resting => None,
            Stage::Opening { wire, .. } | Stage::Away { wire, .. } => Some(wire),
        }
    }

    fn deadline_here(&self) -> MonoNanos {
        match self.stage {
            Stage::Resting => self.protocol.due().max(self.pause.until()),
            Stage::Opening { until, .. } => self.protocol.deadline().min(until),
            Stage::Away { .. } => MonoNanos::NEVER,
        }
    }

    fn deadline_away(&self) -> MonoNanos {
        match self.stage {
            Stage::Away { .. } => self.protocol.deadline(),
            Stage::Resting | Stage::Opening { .. } => MonoNanos::NEVER,
        }
    }
}

fn is_worn(client: &Client) -> bool {
    client.is_idle() && !client.is_reusable()
}

fn credentials(key: &[String; 3]) -> Credentials {
    let [key, secret, passphrase] = key.clone();
    Credentials::live(key, Secret::new(secret), Secret::new(passphrase))
}

/// The venue's name in requests.
const HOST: &str = "venue.test";
