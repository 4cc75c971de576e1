//! The wire-to-order harness: a venue thread sends books frames and times the order bytes that come
//! back.
//!
//! Two threads, one a core. The venue's thread is the client that measures: it writes a frame and
//! spins on the socket until the whole answer is there. The other thread runs one [`Lane`] at a
//! time: the product, or something to compare it with. Lanes take turns within a round, so that
//! whatever the machine does to one it does to all; figures are medians of ratios by round, and the
//! first round is thrown away. Every answer is checked.

pub mod echo;
pub mod product;
pub mod report;
pub mod tls;
pub mod usual;
pub mod venue;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;

use core_affinity::CoreId;
use keel_io::clock::Clock;

use report::Report;
use tls::Identity;
use venue::Venue;

/// What is measured, in the order of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Lane {
    /// As many bytes in and out over plain TCP.
    Tcp,
    /// The same over TLS 1.3 with AES-128-GCM.
    Tls,
    /// The same as WebSocket messages over TLS, by tungstenite.
    Tungstenite,
    /// The product: its three hot agents in turn on one thread that spins.
    Keel,
    /// The product, asking for readiness before each read, as a thread that parks does.
    KeelAsking,
    /// A bot as they are usually written: tungstenite, serde_json into strings, `BTreeMap`,
    /// `format!`.
    Usual,
}

impl Lane {
    /// All of them.
    pub const ALL: [Self; LANES] =
        [Self::Tcp, Self::Tls, Self::Tungstenite, Self::Keel, Self::KeelAsking, Self::Usual];

    /// Its name in table and file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "raw TCP echo",
            Self::Tls => "TLS echo",
            Self::Tungstenite => "TLS + tungstenite echo",
            Self::Keel => "keel",
            Self::KeelAsking => "keel, asking first",
            Self::Usual => "the usual path",
        }
    }
}

/// How many lanes there are.
pub const LANES: usize = 6;

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Rounds, the first of which is thrown away; at least 2.
    pub rounds: usize,
    /// Orders of each lane in a round; there is a cancel for each.
    pub orders: usize,
    /// Levels of a frame.
    pub levels: usize,
}

/// Runs the harness.
///
/// # Errors
/// When the system gives no socket or thread.
///
/// # Panics
/// When an answer is not the one that the frame calls for: figures of wrong answers mean nothing.
pub fn run(settings: Settings) -> io::Result<Report> {
    assert!(settings.rounds >= 2 && settings.orders > 0, "a round to throw away, and one to keep");
    let clock = Clock::start();
    let cores = core_affinity::get_core_ids().unwrap_or_default();
    let (venue_core, other_core) = match cores[..] {
        [first, .., last] => (Some(first), Some(last)),
        _ => (None, None),
    };
    let identity = Identity::new();
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0))?;
    let baton = Arc::new(Baton::default());
    let other = Side {
        address: listener.local_addr()?,
        identity: identity.clone(),
        baton: baton.clone(),
        clock: clock.clone(),
        core: other_core,
    };
    let other = thread::Builder::new().name("measured".to_owned()).spawn(move || other.run())?;
    pin(venue_core);
    let mut venue = Venue::open(&listener, &identity, baton.clone(), clock, settings)?;
    let mut report = Report::new(settings, venue.jitter());
    for round in 0..settings.rounds {
        for place in 0..LANES {
            // Each lane comes first, second, … as often as any other.
            let lane = Lane::ALL[(place + round) % LANES];
            let samples = venue.measure(lane)?;
            if round > 0 {
                report.take(lane, samples);
            }
        }
    }
    baton.stop();
    let stages = other.join().expect("the measured side ends in order");
    report.finish(stages, venue.bytes());
    Ok(report)
}

/// What the two threads tell each other; nothing in it is touched while a frame is on its way.
#[derive(Debug)]
pub struct Baton {
    lane: AtomicUsize,
    /// Exchanges after which the measured side has come to rest.
    rested: AtomicU64,
    /// Bytes of an answer, for echoes: of an order, of a cancel.
    answers: [AtomicUsize; 2],
    /// Bytes of a frame, likewise.
    frame: AtomicUsize,
}

impl Default for Baton {
    fn default() -> Self {
        Self {
            lane: AtomicUsize::new(WAIT),
            rested: AtomicU64::new(0),
            // Until the product has spoken, in the round that is thrown away.
            answers: [AtomicUsize::new(240), AtomicUsize::new(160)],
            frame: AtomicUsize::new(0),
        }
    }
}

// SeqCst throughout: a few of these a frame, none on the measured way but one load.
impl Baton {
    fn hand_to(&self, lane: Lane) {
        self.lane.store(lane as usize, Ordering::SeqCst);
    }

    fn stop(&self) {
        self.lane.store(STOP, Ordering::SeqCst);
    }

    /// Says that the measured side has come to rest once more.
    pub fn rest(&self) {
        self.rested.fetch_add(1, Ordering::SeqCst);
    }

    fn rested(&self) -> u64 {
        self.rested.load(Ordering::SeqCst)
    }

    /// What an echo is to read, and to answer to an order (0) or a cancel (1).
    pub fn echo_bytes(&self, kind: usize) -> (usize, usize) {
        (self.frame.load(Ordering::SeqCst), self.answers[kind].load(Ordering::SeqCst))
    }
}

/// The measured side before it has begun.
struct Side {
    address: SocketAddr,
    identity: Identity,
    baton: Arc<Baton>,
    clock: Clock,
    core: Option<CoreId>,
}

/// One lane at work on the measured side.
pub trait Turn {
    /// Looks at the sockets once and does what there is to do.
    fn turn(&mut self, baton: &Baton);
}

impl Side {
    /// Opens every lane's connections in order, then turns whichever lane has the baton.
    fn run(self) -> product::Stages {
        pin(self.core);
        let Self { address, identity, baton, clock, .. } = self;
        let mut tcp = echo::Raw::open(address, None);
        let mut tls = echo::Raw::open(address, Some(&identity));
        let mut tungstenite = echo::Messages::open(address, &identity);
        let mut usual = usual::Bot::open(address, &identity);
        let mut product = product::Product::open(address, &identity, clock);
        loop {
            match baton.lane.load(Ordering::SeqCst) {
                lane if lane == Lane::Tcp as usize => tcp.turn(&baton),
                lane if lane == Lane::Tls as usize => tls.turn(&baton),
                lane if lane == Lane::Tungstenite as usize => tungstenite.turn(&baton),
                lane if lane == Lane::Usual as usize => usual.turn(&baton),
                lane if lane == Lane::Keel as usize => product.spinning().turn(&baton),
                lane if lane == Lane::KeelAsking as usize => product.asking().turn(&baton),
                STOP => return product.stages(),
                _ => std::hint::spin_loop(),
            }
        }
    }
}

fn pin(core: Option<CoreId>) {
    if let Some(core) = core {
        // A host that does not allow it is measured as it is.
        core_affinity::set_for_current(core);
    }
}

const WAIT: usize = usize::MAX;
const STOP: usize = usize::MAX - 1;
