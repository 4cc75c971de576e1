//! The topology: agents, links and their depths, threads. The one list of what is wired to what.
//!
//! | link | from → to | depth | when full |
//! |---|---|---|---|
//! | market | feed → engine | 16,384 | a gap is marked and the books are made anew |
//! | private | gateway → engine | 8,192 | dead-man: everything is canceled, the run ends |
//! | outside | cold → engine | 8,192 | what waits stays with cold |
//! | commands | engine → gateway | 2,048 | the engine does not step without room for an outbox |
//! | resync | engine → feed | 1,024 | as above |
//! | queries | engine → cold | 1,024 | as above |
//! | tap | engine → journal | 32,768 | as above |
//! | stamps | gateway → journal | 4,096 | dropped and counted |
//! | rulings | engine → kill | 64 | dropped and counted |
//! | sights | engine → cold | 4,096 | dropped, and the next one says so |
//! | tape | feed → paper | 16,384 | as market; paper passes it on to the engine |
//! | asked | paper → cold | 1,024 | the question waits on its link |
//! | handovers | cold ⇄ feed, cold ⇄ gateway | 2 | one connection a seat |
//!
//! On paper the paper agent has the gateway's place, its links and those between feed, engine and
//! cold that it stands on.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex};
use std::thread::{Builder, JoinHandle};

use crossbeam::channel;
use keel_core::command::Query;
use keel_core::event::Event;
use keel_core::glft::MODEL_GLFT;
use keel_core::order;
use keel_core::param::{Params, Profile};
use keel_core::planted::Planted;
use keel_core::units::{MILLIS, MonoNanos};
use keel_net::bitget::client::Instance;
use keel_net::bitget::sign::Credentials;
use keel_net::bitget::topics::Directory;
use keel_net::dispatch::{Arrival, Dispatch};
use keel_net::driver::{self, Connection, SocketOptions};
use keel_net::feed::Feed;
use keel_net::gateway::{Choice, Gateway};
use keel_net::lease::Lease;
use keel_net::link::{Receiver, Sender, WhenFull, link};
use keel_net::proto::http::{BODY_BYTES_MAX, Client};
use keel_net::proto::session::{Session, Settings};
use keel_net::sync::atomic::AtomicBool;
use keel_sim::paper::Paper;

use crate::affinity::{self, Idle, Placement};
use crate::agent::cold::{ColdAgent, Doors, Fitting, GatewayDoors, Outside};
use crate::agent::engine::{Cycle, EngineAgent, Inputs, Outputs};
use crate::agent::feed::FeedAgent;
use crate::agent::gateway::{GatewayAgent, Openings};
use crate::agent::journal::{JournalAgent, JournalGauge, Records};
use crate::agent::kill::{KillAgent, KillParts};
use crate::agent::paper::{PaperAgent, PaperLinks, PaperSeat, Switch};
use crate::agent::{Agent, Duty, Pulse};
use crate::clock::{Clock, VenueClock};
use crate::cold::door::{Door, Opens, Target, handover};
use crate::cold::fit::Fit;
use crate::cold::line::Line;
use crate::cold::recorder::Recorder;
use crate::cold::rest::Rest;
use crate::journal::Tap;
use crate::memory::{self, Limits};

/// Where a run's connections lead.
pub struct Targets {
    /// The REST host, with its port where that is not 443.
    pub host: String,
    /// REST.
    pub rest: Target,
    /// Market data, and the upgrade's host and path.
    pub public: (Target, Settings),
}

impl Targets {
    /// Of a venue whose market needs no login.
    pub fn new(host: String, rest: Target, public: (Target, &str, &str)) -> Self {
        let (target, public_host, path) = public;
        Self { host, rest, public: (target, Settings::new(public_host, path, false)) }
    }
}

/// Where orders go.
pub enum Orders {
    /// To the venue, over the gateway.
    Venue(Box<VenueOrders>),
    /// Nowhere: a venue in this process takes the gateway's place.
    Paper(Box<PaperOrders>),
}

/// A venue that is logged in to.
pub struct VenueOrders {
    /// Key for the private session and for cancel-all.
    pub credentials: Credentials,
    /// Orders and private updates, and the upgrade's host and path.
    pub private: (Target, Settings),
}

/// A venue in this process.
pub struct PaperOrders {
    /// The venue.
    pub paper: Paper<'static>,
    /// What the kill acts by.
    pub switch: Arc<Switch>,
}

/// What the threads of a run are made of.
pub struct Parts {
    /// The process's clock.
    pub clock: Clock,
    /// The venue's.
    pub venue: VenueClock,
    /// Whose orders these are.
    pub instance: Instance,
    /// Where orders go.
    pub orders: Orders,
    /// How orders are entered and connections renewed.
    pub entry: EntryPlan,
    /// Instruments and their rules.
    pub directory: Directory,
    /// Which defaults the engine starts from.
    pub profile: Profile,
    /// Where connections lead.
    pub targets: Targets,
    /// The open line to the venue, and the thread it was opened on.
    pub line: (Line<Rest>, Duty),
    /// Where the hot agents run.
    pub placement: Placement,
    /// Writes journal and files.
    pub recorder: Recorder,
    /// What the engine is told first.
    pub boot: VecDeque<Event>,
    /// When the run is to end by itself.
    pub stop_at: MonoNanos,
    /// The last hand on the switch.
    pub kill: KillParts,
}

/// How orders are entered and connections renewed; from the parameters of the section `order`.
#[derive(Clone, Copy, Debug)]
pub struct EntryPlan {
    /// How late a create may arrive, in milliseconds.
    pub receive_window_ms: u16,
    /// Which way.
    pub choice: Choice,
    /// Age at which an intent is too old to be sent, in nanoseconds.
    pub intent_ttl_ns: u64,
    /// How long a create may still appear, in nanoseconds: on the socket, over REST.
    pub zombie_ns: [u64; 2],
    /// Age at which a session is taken over from, in nanoseconds: public, private.
    pub rotate_ns: [u64; 2],
    /// The defect that the gateway commits.
    pub planted: Planted,
}

/// The engine's cycle and cold's fit, joined where the parameters ask for the model `glft`.
pub(crate) fn fit<'m>(
    cycle: Cycle<'m>,
    params: &Params,
    instruments: usize,
) -> (Cycle<'m>, Option<Fitting>) {
    if params.model() != MODEL_GLFT {
        return (cycle, None);
    }
    let (shows, sights) = link("sights", 4_096, WhenFull::DropAndCount);
    let fit = Fit::new(instruments, params.glft_fit_window_s());
    (cycle.with_sights(shows, instruments), Some(Fitting { fit, sights }))
}

impl EntryPlan {
    /// As the parameters say.
    ///
    /// # Panics
    /// When the receive window is not within its range of the table.
    pub fn of(params: &Params) -> Self {
        let window_ms = params.receive_window_ms() / MILLIS;
        let rotate_ns = params.session_rotate_s();
        Self {
            receive_window_ms: u16::try_from(window_ms).expect("at most 60,000 by the table"),
            choice: Choice::of(params.order_entry()),
            intent_ttl_ns: params.intent_ttl_ms(),
            zombie_ns: [false, true].map(|over_rest| order::zombie_ns(params, over_rest)),
            rotate_ns: [rotate_ns, rotate_ns + rotate_ns / 20],
            planted: params.planted(),
        }
    }
}

/// Threads at work.
pub struct Threads {
    handles: Vec<JoinHandle<()>>,
    /// Says things to the engine.
    pub directives: channel::Sender<Event>,
    /// What others may see of the journal.
    pub gauge: Arc<JournalGauge>,
    /// One for each thread.
    pub pulses: Vec<Arc<Pulse>>,
    /// How the records ended.
    pub records: Arc<Mutex<Option<Records>>>,
    /// The engine has verified zero open orders.
    pub verified: Arc<AtomicBool>,
}

/// Directives that may wait.
const DIRECTIVES: usize = 64;

/// Keys under which cold registers sockets that it is opening, beside those of its own line.
const PUBLIC_DOOR: usize = 10;
const PRIVATE_DOOR: usize = 11;
const CANCEL_DOOR: usize = 12;
const ORDER_DOOR: usize = 13;
/// The key of cold's own line, and the next one.
pub const LINE_KEY: usize = 20;
/// The key of the kill's line, and the next one.
pub const KILL_KEY: usize = 30;

impl Threads {
    /// True once every thread has ended.
    pub fn are_over(&self) -> bool {
        self.handles.iter().all(JoinHandle::is_finished)
    }

    /// Waits for every thread; true when none of their agents panicked.
    pub fn join(&mut self) -> bool {
        let joined = self.handles.drain(..).map(|handle| handle.join().is_ok()).min();
        let calm = !self.pulses.iter().any(|pulse| pulse.has_panicked());
        joined.unwrap_or(true) && calm
    }
}

/// Wires everything and starts the threads.
///
/// # Errors
/// When the system gives no thread, poller or random bytes.
pub fn start(parts: Parts) -> io::Result<Threads> {
    let (market, from_feed) = link("market", 16_384, WhenFull::MarkGap);
    let (private, from_gateway) = link("private", 8_192, WhenFull::HardStop);
    let (outside, from_cold) = link("outside", 8_192, WhenFull::AskFirst);
    let (commands, to_gateway) = link("commands", 2_048, WhenFull::AskFirst);
    let (resyncs, to_feed) = link("resync", 1_024, WhenFull::AskFirst);
    let (queries, to_cold) = link("queries", 1_024, WhenFull::AskFirst);
    let (tap, to_journal) = link("tap", 32_768, WhenFull::AskFirst);
    let (stamps, stamps_to_journal) = link("stamps", 4_096, WhenFull::DropAndCount);
    let (rulings, to_kill) = link("rulings", 64, WhenFull::DropAndCount);
    let (directives, heard) = channel::bounded(DIRECTIVES);
    let gauge = Arc::new(JournalGauge::default());
    let records = Arc::new(Mutex::new(None));
    let verified = Arc::new(AtomicBool::new(false));
    let clock = parts.clock.clone();
    let entry = parts.entry;
    let Targets { host, rest, public } = parts.targets;
    let (public_door, public_ends) = feed_door(public, entry.rotate_ns[0])?;

    let limits = Limits::of(parts.directory.len());
    let (engine, outbox) = memory::engine(&limits, parts.profile);
    let inputs = Inputs { gateway: from_gateway, cold: from_cold, feed: from_feed };
    let outputs = Outputs { gateway: commands, feed: resyncs, cold: queries, journal: tap };
    let cycle = Cycle::new(engine, outbox, inputs, outputs, verified.clone())
        .shown(parts.kill.vitals, rulings);
    let (cycle, fitting) = fit(cycle, &parts.kill.params, parts.directory.len());
    let engine = EngineAgent::new(cycle, clock.clone());

    let place = Place {
        instance: parts.instance,
        host: &host,
        rest,
        directory: &parts.directory,
        entry: &entry,
        lease: parts.kill.vitals.lease(),
        clock: &clock,
        venue: &parts.venue,
    };
    let links = OrderLinks { market, private, commands: to_gateway, queries: to_cold, stamps };
    let Placed { to_market, to_cold, doors, seat } = parts.orders.take_place(links, place)?;
    let feed = Feed::new(parts.directory, to_market, to_feed);
    let (public_opened, public_retired) = public_ends;
    let feed = FeedAgent::new(feed, public_opened, public_retired, clock.clone());

    let (line, mut cold) = parts.line;
    let (boot, stop_at) = (parts.boot, parts.stop_at);
    let said = Outside { boot, directives: heard, gauge: gauge.clone(), stop_at };
    let doors = Doors { public: public_door, gateway: doors };
    let agent = ColdAgent::new(line, doors, to_cold, outside, said).with_fitting(fitting);
    cold.add(Box::new(agent));

    let journal = JournalAgent::new(
        parts.recorder,
        [to_journal, stamps_to_journal],
        gauge.clone(),
        records.clone(),
        verified.clone(),
        clock.now(),
    );
    let mut threads =
        Threads { handles: Vec::new(), directives, gauge, pulses: Vec::new(), records, verified };
    threads.spawn_hot(parts.placement, &clock, feed, engine, seat)?;
    let (asks, gauge, hot) =
        (threads.directives.clone(), threads.gauge.clone(), threads.pulses.clone());
    let kill = KillAgent::new(parts.kill, asks, to_kill, gauge, hot);
    threads.spawn("kill", None, &clock, Idle::Park, vec![Box::new(kill)])?;
    threads.spawn("journal", None, &clock, Idle::Park, vec![Box::new(journal)])?;
    threads.run("cold", None, cold)?;
    Ok(threads)
}

/// Where whoever takes orders stands.
struct Place<'a> {
    instance: Instance,
    host: &'a str,
    rest: Target,
    directory: &'a Directory,
    entry: &'a EntryPlan,
    lease: Lease,
    clock: &'a Clock,
    venue: &'a VenueClock,
}

/// The links of whoever takes orders. The gateway leaves `market` to the feed and `queries` to
/// cold.
struct OrderLinks {
    market: Sender<Arrival>,
    private: Sender<Arrival>,
    commands: Receiver<Dispatch>,
    queries: Receiver<Query>,
    stamps: Sender<Tap>,
}

/// Who takes orders, and what feed and cold have instead of its links.
struct Placed {
    to_market: Sender<Arrival>,
    to_cold: Receiver<Query>,
    doors: Option<GatewayDoors>,
    seat: Seat,
}

/// Who takes orders, and where it stands among agents that share a thread.
enum Seat {
    /// Behind the engine, so that an order leaves in the cycle that its cause came in.
    Behind(Box<dyn Agent>),
    /// Between feed and engine, as the market goes.
    Before(Box<dyn Agent>),
}

impl Orders {
    fn take_place(self, links: OrderLinks, place: Place<'_>) -> io::Result<Placed> {
        let OrderLinks { market, private, commands, queries, stamps } = links;
        let Place { instance, host, rest, directory, entry, lease, .. } = place;
        let (clock, venue) = (place.clock.clone(), place.venue.clone());
        match self {
            Self::Venue(orders) => {
                let VenueOrders { credentials, private: target } = *orders;
                let (openings, doors) = openings(rest, target, entry)?;
                let directory = directory.clone();
                let gateway =
                    Gateway::new(instance, host, directory, credentials, private, commands)
                        .with_receive_window(entry.receive_window_ms)
                        .with_entry(entry.choice, entry.intent_ttl_ns, entry.zombie_ns)
                        .with_lease(lease)
                        .with_planted(entry.planted);
                let agent = GatewayAgent::new(gateway, openings, stamps, clock, venue);
                let seat = Seat::Behind(Box::new(agent));
                Ok(Placed { to_market: market, to_cold: queries, doors: Some(doors), seat })
            }
            Self::Paper(orders) => {
                let (to_market, tape) = link("tape", 16_384, WhenFull::MarkGap);
                let (asked, to_cold) = link("asked", 1_024, WhenFull::AskFirst);
                let links = PaperLinks { tape, market, private, commands, queries, asked, stamps };
                let PaperOrders { paper, switch } = *orders;
                let seat = PaperSeat::new(paper, links, lease, switch, venue);
                let agent = PaperAgent::new(seat, clock);
                let seat = Seat::Before(Box::new(agent));
                Ok(Placed { to_market, to_cold, doors: None, seat })
            }
        }
    }
}

/// The feed's door, and the ends of its handover.
fn feed_door(
    (public, settings): (Target, Settings),
    rotate_ns: u64,
) -> io::Result<(Door<Session>, Ends<Session>)> {
    let session = |settings| Ok::<_, io::Error>(Session::new(settings, driver::seed()?));
    let (door, ends) = door("public WebSocket", public, PUBLIC_DOOR, session(settings.clone())?);
    Ok((door.with_rotation(session(settings)?, rotate_ns), ends))
}

/// The gateway's doors, and the ends of their handovers.
fn openings(
    rest: Target,
    (private, private_settings): (Target, Settings),
    entry: &EntryPlan,
) -> io::Result<(Openings, GatewayDoors)> {
    let session = |settings| Ok::<_, io::Error>(Session::new(settings, driver::seed()?));
    let client = || Client::new(BODY_BYTES_MAX);
    let (private, (sessions, retired_sessions)) =
        door("private WebSocket", private, PRIVATE_DOOR, session(private_settings.clone())?);
    let private = private.with_rotation(session(private_settings)?, entry.rotate_ns[1]);
    let (cancel, (cancels, retired_cancels)) =
        door("cancel-all", rest.clone(), CANCEL_DOOR, client());
    // What is queued for it ends with the process, as on the private socket.
    let aborted = SocketOptions { abort_on_close: true, ..rest.options };
    let target = Target { options: aborted, ..rest };
    let (order, (orders, retired_orders)) = door("order entry", target, ORDER_DOOR, client());
    let order = (entry.choice != Choice::WebSocket).then_some(order);
    let https = [cancels, orders];
    let retired_https = [retired_cancels, retired_orders];
    let openings = Openings { sessions, retired_sessions, https, retired_https };
    Ok((openings, GatewayDoors { private, cancel, order }))
}

type Ends<P> = (Receiver<Box<Connection<P>>>, Sender<Box<Connection<P>>>);

/// A door, and the ends of its handovers on the other side.
fn door<P: Opens>(
    name: &'static str,
    target: Target,
    key: usize,
    protocol: P,
) -> (Door<P>, Ends<P>) {
    let (out, opened) = handover(name);
    let (retired, home) = handover(name);
    (Door::new(name, target, key, protocol, out, home), (opened, retired))
}

impl Threads {
    /// Lays the hot agents on their threads. On a shared one the feed comes first, and who takes
    /// orders where its [`Seat`] says.
    fn spawn_hot(
        &mut self,
        placement: Placement,
        clock: &Clock,
        feed: FeedAgent,
        engine: EngineAgent,
        seat: Seat,
    ) -> io::Result<()> {
        let (feed, engine) = (Box::new(feed), Box::new(engine));
        match placement {
            Placement::Shared { core, idle } => {
                let agents: Vec<Box<dyn Agent>> = match seat {
                    Seat::Behind(gateway) => vec![feed, engine, gateway],
                    Seat::Before(paper) => vec![feed, paper, engine],
                };
                self.spawn("hot", core, clock, idle, agents)
            }
            Placement::Dedicated {
                feed: on_feed,
                gateway: on_gateway,
                engine: on_engine,
                idle,
            } => {
                let (name, agent) = match seat {
                    Seat::Behind(gateway) => ("gateway", gateway),
                    Seat::Before(paper) => ("paper", paper),
                };
                self.spawn("feed", Some(on_feed), clock, idle, vec![feed])?;
                self.spawn(name, Some(on_gateway), clock, idle, vec![agent])?;
                self.spawn("engine", Some(on_engine), clock, idle, vec![engine])
            }
        }
    }

    fn spawn(
        &mut self,
        name: &str,
        core: Option<core_affinity::CoreId>,
        clock: &Clock,
        idle: Idle,
        agents: Vec<Box<dyn Agent>>,
    ) -> io::Result<()> {
        let mut duty = Duty::new(clock.clone(), idle)?;
        agents.into_iter().for_each(|agent| duty.add(agent));
        self.run(name, core, duty)
    }

    fn run(
        &mut self,
        name: &str,
        core: Option<core_affinity::CoreId>,
        duty: Duty,
    ) -> io::Result<()> {
        self.pulses.push(duty.pulse());
        let pinned = name.to_owned();
        let handle = Builder::new().name(name.to_owned()).spawn(move || {
            if let Some(core) = core
                && !affinity::pin(core)
            {
                eprintln!("thread {pinned} could not be pinned to core {}", core.id);
            }
            duty.run();
        })?;
        self.handles.push(handle);
        Ok(())
    }
}
