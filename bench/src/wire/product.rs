//! The product: feed, engine and gateway agents in turn on one thread, as `threading = "shared"`
//! runs them, with the journal link read and questions answered after the order has left.
//!
//! Its clock runs ahead: between two frames [`FRAME_NS`] go by for the agents at once, so that the
//! pace of the connection, the gate's budgets and the venue's limits on messages hold as they are,
//! and no order is sent faster than it might be. Timers fire then, not on a frame.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use keel_core::guard::GuardState;
use keel_core::units::{MILLIS, MonoNanos, SECONDS};
use keel_io::agent::Agent;
use keel_io::agent::engine::EngineAgent;
use keel_io::agent::feed::{FeedAgent, PUBLIC_KEYS, SessionBox};
use keel_io::agent::gateway::{GatewayAgent, Openings, PRIVATE_KEYS};
use keel_io::clock::{Clock, VenueClock};
use keel_io::cold::door::{Door, Target, handover};
use keel_io::cold::names::Addresses;
use keel_io::journal::Tap;
use keel_net::bitget::sign::{Credentials, Secret};
use keel_net::driver::{self, Poller, SocketOptions, Wait};
use keel_net::feed::Feed;
use keel_net::gateway::Gateway;
use keel_net::link::{Receiver, WhenFull, link};
use keel_net::proto::session::{Session, Settings};

use super::tls::Identity;
use super::{Baton, Turn};
use crate::frames;
use crate::trader::{self, Cold};

/// The hot agents and what feeds them.
pub struct Product {
    feed: FeedAgent,
    engine: EngineAgent,
    gateway: GatewayAgent,
    cold: Cold,
    stamps: Receiver<Tap>,
    poller: Poller,
    clock: Clock,
    /// How far the agents' clock is ahead.
    ahead_ns: u64,
    stages: Stages,
    answered: u64,
    rest: Rest,
    cycles: u64,
    rules_at: MonoNanos,
}

/// Where an order's time goes, in nanoseconds of real time.
pub struct Stages {
    /// From the begin of the cycle: socket read, TLS, WebSocket, decode.
    pub decode: Histogram<u64>,
    /// Link, step, journal link.
    pub decide: Histogram<u64>,
    /// Link, encode, WebSocket, TLS, socket write.
    pub send: Histogram<u64>,
}

/// How far the product is on its way to rest between two frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rest {
    /// An answer of the venue is awaited.
    Awaiting,
    /// It has come; so many cycles were idle since.
    Settling(u32),
    /// Time has gone by; so many cycles were idle since.
    Aging(u32),
}

/// What goes by for the agents between two frames. The connection's pace is ten messages in 1.1 s,
/// of which one is kept free and one may be a ping.
pub const FRAME_NS: u64 = 150 * MILLIS;

/// The product in one of its two ways to look at sockets.
pub struct Cycle<'a> {
    product: &'a mut Product,
    asks: bool,
}

impl Product {
    /// Boots the engine, connects both sockets and comes to quote.
    ///
    /// # Panics
    /// When it does not within ten seconds.
    pub fn open(address: SocketAddr, identity: &Identity, clock: Clock) -> Self {
        let (cycle, ends) = trader::engine(1);
        let directory = trader::directory(1);
        let credentials = Credentials::live(
            "key".to_owned(),
            Secret::new("secret".to_owned()),
            Secret::new("passphrase".to_owned()),
        );
        let venue = VenueClock::default();
        venue.set(trader::utc(clock.now()), clock.now());
        let poller = Poller::new(8).expect("a poller");
        let (public, opened_public, retired_public) = door(address, identity, "/public", false);
        let (private, opened_private, retired_private) = door(address, identity, "/private", true);
        let https = ["no cancels", "no orders"].map(|name| handover(name).1);
        let retired_https = ["no cancels back", "no orders back"].map(|name| handover(name).0);
        let (to_journal, stamps) = link("stamps", 4_096, WhenFull::DropAndCount);
        let feed = Feed::new(directory.clone(), ends.feed, ends.resyncs);
        let instance = frames::instance();
        let gateway =
            Gateway::new(instance, "localhost", directory, credentials, ends.gateway, ends.orders);
        let openings = Openings {
            sessions: opened_private,
            retired_sessions: retired_private,
            https,
            retired_https,
        };
        let mut product = Self {
            feed: FeedAgent::new(feed, opened_public, retired_public, clock.clone()),
            engine: EngineAgent::new(cycle, clock.clone()),
            gateway: GatewayAgent::new(gateway, openings, to_journal, clock.clone(), venue),
            cold: ends.cold,
            stamps,
            poller,
            rules_at: clock.now(),
            clock,
            ahead_ns: 0,
            stages: Stages::new(),
            answered: 0,
            rest: Rest::Awaiting,
            cycles: 0,
        };
        product.begin(public, private);
        product
    }

    /// The product as a thread that spins has it: it tries its sockets, and asks once in a while.
    pub fn spinning(&mut self) -> Cycle<'_> {
        Cycle { product: self, asks: false }
    }

    /// The product asking for readiness in each cycle.
    pub fn asking(&mut self) -> Cycle<'_> {
        Cycle { product: self, asks: true }
    }

    /// Where the time of its orders went.
    pub fn stages(self) -> Stages {
        self.stages
    }

    fn begin(&mut self, mut public: Door<Session>, mut private: Door<Session>) {
        let now = self.clock.now();
        for event in self.cold.boot(now) {
            self.cold.tell(event, now);
            self.engine.step(now, &mut self.poller);
            self.cold.step(now);
        }
        let give_up = Instant::now() + Duration::from_secs(10);
        while self.cold.state() != GuardState::Running || self.cold.answered() == 0 {
            assert!(Instant::now() < give_up, "the product does not come to quote");
            // One after the other, in the order in which the venue accepts.
            let now = self.clock.now();
            let mut told = Vec::new();
            public.step(now, &self.poller);
            if public.last_error().is_some() || private.last_error().is_some() {
                panic!("{:?} {:?}", public.last_error(), private.last_error());
            }
            if public.deadline() == MonoNanos::NEVER {
                private.step(now, &self.poller);
            }
            let asked = self.poller.wait(Wait::Spin, |key, readiness| told.push((key, readiness)));
            asked.expect("a poller tells");
            for (key, readiness) in told {
                public.ready(key, readiness);
                private.ready(key, readiness);
                self.feed.ready(key, readiness);
                self.gateway.ready(key, readiness);
            }
            self.cycle(now);
        }
        self.answered = self.cold.answered();
    }

    /// Steps the three agents as the shared thread does, then reads what the journal's thread
    /// would.
    fn cycle(&mut self, now: MonoNanos) -> usize {
        let poller = &mut self.poller;
        let mut work = self.feed.step(now, poller);
        work += self.engine.step(now, poller);
        work += self.gateway.step(now, poller);
        if work > 0 {
            self.cold.step(now);
            while let Some(tap) = self.stamps.pop() {
                self.stages.record(&tap, self.ahead_ns);
            }
        }
        work
    }

    fn settle(&mut self, worked: bool, baton: &Baton, now: MonoNanos) {
        self.rest = match self.rest {
            Rest::Awaiting if self.cold.answered() > self.answered => {
                self.answered = self.cold.answered();
                Rest::Settling(0)
            }
            Rest::Awaiting => Rest::Awaiting,
            Rest::Settling(_) if worked => Rest::Settling(0),
            Rest::Settling(IDLE_CYCLES) => {
                self.ahead_ns += FRAME_NS;
                self.refresh(now);
                Rest::Aging(0)
            }
            Rest::Settling(cycles) => Rest::Settling(cycles + 1),
            Rest::Aging(_) if worked => Rest::Aging(0),
            Rest::Aging(IDLE_CYCLES) => {
                baton.rest();
                Rest::Awaiting
            }
            Rest::Aging(cycles) => Rest::Aging(cycles + 1),
        };
    }

    /// Tells the rules anew before they are too old.
    fn refresh(&mut self, now: MonoNanos) {
        if now.since(self.rules_at) > 600 * SECONDS {
            self.rules_at = now;
            for event in self.cold.rules().collect::<Vec<_>>() {
                self.cold.tell(event, now);
            }
        }
    }
}

impl Turn for Cycle<'_> {
    fn turn(&mut self, baton: &Baton) {
        let product = &mut *self.product;
        product.cycles += 1;
        if !self.asks {
            product.feed.look();
            product.gateway.look();
        }
        if self.asks || product.cycles.is_multiple_of(ASK_EVERY) {
            let (feed, gateway) = (&mut product.feed, &mut product.gateway);
            let asked = product.poller.wait(Wait::Spin, |key, readiness| {
                feed.ready(key, readiness);
                gateway.ready(key, readiness);
            });
            asked.expect("a poller tells");
        }
        let now = product.clock.now().after(product.ahead_ns);
        let worked = product.cycle(now) > 0;
        product.settle(worked, baton, now);
    }
}

impl Stages {
    fn new() -> Self {
        let histogram = || Histogram::new(3).expect("three digits");
        Self { decode: histogram(), decide: histogram(), send: histogram() }
    }

    /// `rx` and `dequeued` come from the agents' clock, the others from the real one.
    fn record(&mut self, tap: &Tap, ahead_ns: u64) {
        let stamps = &tap.stamps;
        let rx = MonoNanos(stamps.rx.0 - ahead_ns);
        for (histogram, nanos) in [
            (&mut self.decode, stamps.decoded.since(rx)),
            (&mut self.decide, stamps.decided.since(stamps.decoded)),
            (&mut self.send, stamps.tx.since(stamps.decided)),
        ] {
            histogram.record(nanos).expect("a histogram that grows");
        }
    }
}

fn door(
    address: SocketAddr,
    identity: &Identity,
    path: &str,
    login: bool,
) -> (Door<Session>, Receiver<SessionBox>, keel_net::link::Sender<SessionBox>) {
    let settings = Settings::new("localhost", path, login);
    let session = Session::new(settings, driver::seed().expect("random bytes"));
    let options = SocketOptions { abort_on_close: login, ..SocketOptions::default() };
    let address = Addresses::fixed(address);
    let target = Target { address, security: identity.security(), options };
    let (out, opened) = handover("session");
    let (retired, home) = handover("session back");
    let key = if login { PRIVATE_KEYS[0] } else { PUBLIC_KEYS[0] };
    (Door::new("session", target, key + OPENING, session, out, home), opened, retired)
}

/// As a thread that spins has it.
const ASK_EVERY: u64 = keel_io::agent::ASK_EVERY;
/// Idle cycles after which nothing more is expected.
const IDLE_CYCLES: u32 = 4;
/// Keys while a connection is being opened lie this far above those of the agents.
const OPENING: usize = 10;
