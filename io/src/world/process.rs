//! The process: the product minus driver and threads, from start to its end or its death.

mod orders;

use std::collections::VecDeque;
use std::sync::Arc;

use keel_core::command::Query;
use keel_core::event::{Boot, Event, Operator};
use keel_core::instrument::Instrument;
use keel_core::instrument::Symbol;
use keel_core::param::{Params, Profile};
use keel_core::planted::Planted;
use keel_core::units::{MILLIS, MonoNanos, UnixNanos};
use keel_net::bitget::client::Instance;
use keel_net::bitget::sign::{Credentials, Secret};
use keel_net::bitget::topics::Directory;
use keel_net::dispatch::Arrival;
use keel_net::dispatch::Dispatch;
use keel_net::driver::OPEN_NS_MAX;
use keel_net::feed::Feed;
use keel_net::gateway::{Choice, Gateway};
use keel_net::lease::Lease;
use keel_net::link::{Receiver, Sender, WhenFull, link};
use keel_net::proto::Protocol;
use keel_net::proto::http::{BODY_BYTES_MAX, Client, FILLS_BODY_BYTES_MAX};
use keel_net::proto::session::{Session, Settings};
use keel_net::sync::atomic::AtomicBool;
use keel_sim::paper::{Paper, Terms};

use super::chance::Chance;
use super::fault::Route;
use super::wire::{Net, WireId};
use crate::agent::cold::Fitting;
use crate::agent::engine::{Cycle, Inputs, Outputs};
use crate::agent::paper::{PaperLinks, PaperSeat};
use crate::clock::VenueClock;
use crate::cold::door::{Opens, Pause, Progress, Seat, next_seat};
use crate::cold::rest::Rest;
use crate::journal::Tap;
use crate::memory::{self, Block, EngineIn, Limits};
use crate::mode::sim::first_events;
use crate::state::ledger::Kept;
use crate::state::{Latch, events_of};
use crate::topology::{self, EntryPlan};
use orders::{Orders, Venue};

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
    pub(super) planted: Planted,
    pub(super) seed: u64,
    /// What the last process left.
    pub(super) restored: Option<(Kept, Option<Latch>)>,
    /// It trades on paper, by these terms: without a key, and its orders stay in it.
    pub(super) paper: Option<Terms>,
}

impl Start {
    /// What its engine is told first of all.
    fn boot(&self, instruments: usize) -> Boot {
        Boot {
            epoch: self.epoch,
            instruments: instruments as u16,
            seed: self.seed,
            dirty: self.dirty,
            planted: self.planted,
            ..Boot::WORLD
        }
    }
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
    orders: Orders<'m>,
    /// By seat.
    public: [Port<Session>; 2],
    /// Age at which a session is taken over from: public, private.
    rotate_ns: [u64; 2],
    queries: Receiver<Query>,
    to_engine: Sender<Arrival>,
    backlog: VecDeque<Event>,
    fitting: Option<Fitting>,
    journal: Receiver<Tap>,
}

/// Threads of a process that the world steps; the journal is the world's own.
const AGENTS: usize = 4;
const FEED: usize = 0;
const ENGINE: usize = 1;
/// The gateway's, or that of paper in its place.
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
        let credentials = start.paper.is_none().then(|| credentials(&start.key));
        let mut rest = Rest::new(start.instance, HOST, credentials, &start.symbols, venue.clone())
            .with_planted(start.planted);
        rest.begin(start.epoch);
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
                Route::Private | Route::Cancel | Route::Order => self.wake(GATEWAY, now),
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
                FEED => (self.step_feed(net, now), self.after_feed()),
                ENGINE => self.step_engine(now),
                GATEWAY => (self.step_gateway(net, now), &[GATEWAY, ENGINE]),
                _ => (self.step_cold(net, host, now), &[FEED, ENGINE, GATEWAY, COLD]),
            };
            if work > 0 {
                wakes.iter().for_each(|&other| self.wake(other, now));
            }
            // Cold hands connections over, and takes them back when they have ended.
            for other in
                (0..AGENTS).filter(|&other| other == agent || [other, agent].contains(&COLD))
            {
                self.deadlines[other] = self.deadline(other);
            }
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
        self.hot.as_ref().is_some_and(|hot| hot.cycle.is_over() && hot.orders.is_over())
    }

    /// True when the gateway had to cancel everything because the engine could not.
    pub(super) fn is_dead_man(&self) -> bool {
        self.hot.as_ref().is_some_and(|hot| hot.orders.is_dead_man())
    }

    /// Drops every connection, as the death of a process does.
    pub(super) fn die(self, net: &mut Net, now: MonoNanos) {
        let mut wires = Vec::from_iter(self.line.wire());
        if let Some(hot) = &self.hot {
            wires.extend(hot.public.iter().filter_map(Port::wire));
            wires.extend(hot.orders.wires());
        }
        wires.into_iter().for_each(|wire| net.leave(wire, now));
    }

    /// Whom news of the market concerns.
    fn after_feed(&self) -> &'static [usize] {
        let before = self.hot.as_ref().is_some_and(|hot| hot.orders.hears_market());
        if before { &[FEED, GATEWAY] } else { &[FEED, ENGINE] }
    }

    fn wake(&mut self, agent: usize, now: MonoNanos) {
        let late = self.chance.between(500, LATE_NS_MAX[agent]);
        self.wakes[agent] = self.wakes[agent].min(now.after(late));
    }

    fn deadline(&self, agent: usize) -> MonoNanos {
        let Some(hot) = &self.hot else {
            return if agent == COLD { self.cold_deadline() } else { MonoNanos::NEVER };
        };
        let away = hot.public.iter().map(Port::deadline_away);
        match agent {
            FEED => away.fold(hot.feed.deadline(), MonoNanos::min),
            ENGINE => hot.cycle.deadline(),
            GATEWAY => hot.orders.deadline(),
            _ => self.cold_deadline(),
        }
    }

    fn cold_deadline(&self) -> MonoNanos {
        let rest = self.line.away().map_or(MonoNanos::NEVER, |_| self.rest.deadline());
        let line = self.line.deadline_here().min(self.line.deadline_away()).min(rest);
        match &self.hot {
            None => line,
            Some(hot) => line
                .min(pair_deadline(&hot.public, hot.rotate_ns[0]))
                .min(hot.orders.doors_deadline(hot.rotate_ns[1])),
        }
    }
}

/// The agents, as their namesakes in [`crate::agent`] run them.
impl<'m> Process<'m> {
    fn step_feed(&mut self, net: &mut Net, now: MonoNanos) -> usize {
        let Some(hot) = &mut self.hot else { return 0 };
        let Hot { feed, public, .. } = hot;
        let mut work = 0;
        for (seat, port) in public.iter_mut().enumerate() {
            if port.take_opened() {
                feed.adopt(seat, &mut port.protocol, now);
                work += 1;
            }
            work += port.pump_away(net, now);
        }
        work += feed.step(sessions(public), &|| now, now);
        for (seat, port) in public.iter_mut().enumerate() {
            work += port.pump_away(net, now);
            if port.has_ended(net) {
                feed.retire(seat);
                port.retire(net, now);
                work += 1;
            }
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
        hot.orders.step(net, self.venue.utc(now), now)
    }

    fn step_cold(&mut self, net: &mut Net, host: UnixNanos, now: MonoNanos) -> usize {
        if let Some(hot) = &mut self.hot {
            while let Some(query) = hot.queries.pop() {
                self.rest.query(query);
            }
        }
        let mut work = self.line.step(net, now, true);
        self.line.take_opened();
        if let Some(wire) = self.line.away() {
            let client = &mut self.line.protocol;
            work += net.pump(wire, client, now);
            client.step(now);
            work += self.rest.step(client, &|| host, now);
            work += net.pump(wire, client, now);
            if self.line.is_spent(net) {
                self.rest.lose_connection(now);
                self.line.retire(net, now);
            }
        }
        if self.hot.is_none() && self.rest.rules().is_some() {
            self.go(now);
            work += 1;
        }
        let Some(hot) = &mut self.hot else { return work };
        work += step_pair(&mut hot.public, hot.rotate_ns[0], net, now);
        work += hot.orders.step_doors(hot.rotate_ns[1], net, now);
        hot.backlog.append(self.rest.events());
        work += hot.fitting.as_mut().map_or(0, |fitting| fitting.step(&mut hot.backlog));
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
        self.rest.start(now);
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
        let entry = EntryPlan::of(&start.params);
        let boot = start.boot(rules.len());
        let restored = match &start.restored {
            Some((kept, latch)) => {
                events_of(kept, *latch, &rules).expect("a world's grids do not change")
            }
            None => Vec::new(),
        };
        let backlog = first_events(boot, &start.params, &rules, restored);
        let public = [(), ()].map(|()| self.session(Route::Public, "/v3/ws/public", false));
        let links = OrderLinks { market, private, commands: to_gateway, queries: to_cold };
        let (orders, market, queries) = match self.start.paper {
            None => self.at_venue(links, &directory, &entry),
            Some(terms) => self.on_paper(links, terms, &rules, now),
        };
        let cycle = Cycle::new(engine, outbox, inputs, outputs, verified);
        let (cycle, fitting) = topology::fit(cycle, &self.start.params, rules.len());
        self.hot = Some(Hot {
            cycle,
            feed: Feed::new(directory, market, to_feed),
            orders,
            public,
            rotate_ns: entry.rotate_ns,
            queries,
            to_engine: outside,
            backlog,
            fitting,
            journal,
        });
    }

    fn session(&mut self, route: Route, path: &str, login: bool) -> Port<Session> {
        Port::new(route, Session::new(Settings::new(HOST, path, login), self.chance.seed()))
    }

    /// Orders go to the venue: the gateway, and what feed and cold have of its links.
    fn at_venue(
        &mut self,
        links: OrderLinks,
        directory: &Directory,
        entry: &EntryPlan,
    ) -> (Orders<'m>, Sender<Arrival>, Receiver<Query>) {
        let private = [(), ()].map(|()| self.session(Route::Private, "/v3/ws/private", true));
        let http = |route| Port::new(route, Client::new(BODY_BYTES_MAX));
        let OrderLinks { market, private: to_engine, commands, queries } = links;
        let (start, directory) = (&self.start, directory.clone());
        let key = credentials(&start.key);
        let gateway = Gateway::new(start.instance, HOST, directory, key, to_engine, commands)
            .with_receive_window(entry.receive_window_ms)
            .with_entry(entry.choice, entry.intent_ttl_ns, entry.zombie_ns)
            .with_planted(start.planted);
        let order = (entry.choice != Choice::WebSocket).then(|| http(Route::Order));
        let venue = Venue { gateway, private, cancel: http(Route::Cancel), order };
        (Orders::AtVenue(Box::new(venue)), market, queries)
    }

    /// Orders stay here, as `crate::topology` has it on paper.
    fn on_paper(
        &self,
        links: OrderLinks,
        terms: Terms,
        rules: &[Instrument],
        now: MonoNanos,
    ) -> (Orders<'m>, Sender<Arrival>, Receiver<Query>) {
        let OrderLinks { market, private, commands, queries } = links;
        let (to_market, tape) = link("tape", 4_096, WhenFull::MarkGap);
        let (asked, to_cold) = link("asked", 256, WhenFull::AskFirst);
        // Nobody reads stamps here.
        let (stamps, _) = link("stamps", 2, WhenFull::DropAndCount);
        let books = memory::books_in(self.block, rules.len());
        let paper = Paper::new(terms, rules, books, self.start.epoch, now);
        let links = PaperLinks { tape, market, private, commands, queries, asked, stamps };
        let venue = self.venue.clone();
        let seat = PaperSeat::new(paper, links, Lease::unshared(), Arc::default(), venue);
        (Orders::OnPaper(Box::new(seat)), to_market, to_cold)
    }
}

/// The links of whoever takes orders.
struct OrderLinks {
    market: Sender<Arrival>,
    private: Sender<Arrival>,
    commands: Receiver<Dispatch>,
    queries: Receiver<Query>,
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
        since: MonoNanos,
    },
}

/// The sessions that an agent has taken over, by seat.
fn sessions(ports: &mut [Port<Session>; 2]) -> [Option<&mut Session>; 2] {
    ports.each_mut().map(Port::lent)
}

/// What [`crate::cold::door::Door::step`] does with two seats.
fn step_pair(
    ports: &mut [Port<Session>; 2],
    rotate_ns: u64,
    net: &mut Net,
    now: MonoNanos,
) -> usize {
    let next = next_seat(ports.each_ref().map(Port::seat), rotate_ns);
    let next = next.filter(|(_, from)| *from <= now).map(|(seat, _)| seat);
    let ports = ports.iter_mut().enumerate();
    ports.map(|(seat, port)| port.step(net, now, next == Some(seat))).sum()
}

/// When two seats want to be looked at by cold.
fn pair_deadline(ports: &[Port<Session>; 2], rotate_ns: u64) -> MonoNanos {
    let next = next_seat(ports.each_ref().map(Port::seat), rotate_ns);
    let due = |(seat, port): (usize, &Port<Session>)| match (port.stage, next) {
        (Stage::Resting, Some((wanted, from))) if wanted == seat => port.deadline_here().max(from),
        (Stage::Resting, _) => MonoNanos::NEVER,
        _ => port.deadline_here(),
    };
    ports.iter().enumerate().map(due).fold(MonoNanos::NEVER, MonoNanos::min)
}

impl<P: Opens + Protocol + Ticks> Port<P> {
    fn new(route: Route, protocol: P) -> Self {
        Self { route, protocol, stage: Stage::Resting, pause: Pause::NONE }
    }

    /// What [`crate::cold::door::Door::step`] does with one seat, on which a connection `may` be
    /// opened.
    fn step(&mut self, net: &mut Net, now: MonoNanos, may: bool) -> usize {
        match self.stage {
            Stage::Resting => {
                if !may || now < self.pause.until() || !self.protocol.begin(now) {
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
                        self.stage = Stage::Away { wire, fresh: true, since: now };
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
            Stage::Away { wire, fresh: false, .. } => Some(wire),
            Stage::Away { .. } | Stage::Resting | Stage::Opening { .. } => None,
        }
    }

    /// The protocol of a connection that the agent has taken over.
    fn lent(&mut self) -> Option<&mut P> {
        self.away().map(|_| &mut self.protocol)
    }

    /// Moves bytes of a connection that the agent has taken over, and lets it do what is due.
    fn pump_away(&mut self, net: &mut Net, now: MonoNanos) -> usize {
        let Some(wire) = self.away() else { return 0 };
        let moved = net.pump(wire, &mut self.protocol, now);
        self.protocol.tick(now);
        moved
    }

    fn seat(&self) -> Seat {
        match self.stage {
            Stage::Resting => Seat::Resting,
            Stage::Opening { .. } => Seat::Opening,
            Stage::Away { since, .. } => Seat::Away(since),
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

impl Port<Session> {
    /// True when the session has no more use for its connection.
    fn has_ended(&self, net: &Net) -> bool {
        self.away().is_some_and(|wire| self.protocol.is_offline() || net.is_ended(wire))
    }
}

impl Port<Client> {
    /// True when its connection can carry no further request.
    fn is_spent(&self, net: &Net) -> bool {
        let worn = self.protocol.is_idle() && !self.protocol.is_reusable();
        self.away().is_some_and(|wire| net.is_ended(wire) || worn)
    }
}

/// Protocols do what is due by themselves.
trait Ticks {
    fn tick(&mut self, now: MonoNanos);
}

impl Ticks for Session {
    fn tick(&mut self, now: MonoNanos) {
        self.step(now);
    }
}

impl Ticks for Client {
    fn tick(&mut self, now: MonoNanos) {
        self.step(now);
    }
}

fn credentials(key: &[String; 3]) -> Credentials {
    let [key, secret, passphrase] = key.clone();
    Credentials::live(key, Secret::new(secret), Secret::new(passphrase))
}

/// The venue's name in requests.
const HOST: &str = "venue.test";
