//! Recording: a public stream to a file, without a key and without an engine.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use keel_core::event::Event;
use keel_core::instrument::{Instrument, Symbol};
use keel_core::units::{MILLIS, MonoNanos, SECONDS};
use keel_net::bitget::client::Instance;
use keel_net::bitget::decode::{Control, Decoder, Message};
use keel_net::bitget::topics::Directory;
use keel_net::driver::{self, Connection, Poller, Wait};
use keel_net::feed;
use keel_net::proto::Protocol;
use keel_net::proto::session::{Incoming, Session, Settings, State};

use super::access::{Reach, target, trust};
use super::sim::StartError;
use crate::agent::feed::{SessionBox, adopt, pump, retire};
use crate::clock::{Clock, VenueClock};
use crate::cold::door::{Door, handover};
use crate::cold::line::Line;
use crate::cold::rest::Rest;
use crate::recording::{Kind, RecordingWriter};
use crate::topology::LINE_KEY;

/// What is recorded, and how much.
#[derive(Debug)]
pub struct Plan {
    /// `https://host:port` of the REST interface, which tells the contracts' grids.
    pub rest: String,
    /// `wss://…` of the public stream.
    pub ws_public: String,
    /// PEM file of the authority that signs the certificate; `None` for the public ones.
    pub ca: Option<PathBuf>,
    /// A name for the decoder; nobody is told.
    pub instance: Instance,
    /// Which contracts.
    pub instruments: Vec<Symbol>,
    /// The file, which must not be there yet.
    pub out: PathBuf,
    /// Ends in order after this long; `None` records until told to stop.
    pub run_for: Option<Duration>,
    /// Ends in order before the file is longer, but for one message.
    pub bytes_max: u64,
}

/// What was recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recorded {
    /// Messages.
    pub frames: u64,
    /// Bytes of the file.
    pub bytes: u64,
    /// How often a connection was opened.
    pub connects: u64,
    /// Messages that the decoder refused; they stand in the file.
    pub refused: u64,
    /// It ended because the file was long enough.
    pub full: bool,
}

/// The keys of the public socket, in use and while it is being opened.
const STREAM_KEY: usize = 0;
const DOOR_KEY: usize = 10;
/// How long is waited at once.
const PARK_NS: u64 = 50 * MILLIS;

/// Records until `stop`, the end of the time or of the room.
///
/// # Errors
/// Why nothing is recorded, or what the file's system says.
pub fn record(plan: &Plan, stop: &AtomicBool) -> Result<Recorded, StartError> {
    let config = trust(plan.ca.as_deref())?;
    let find = |url: &str| target(url, false, &config, Reach::Public);
    let (rest, host, _) = find(&plan.rest)?;
    let (public, public_host, path) = find(&plan.ws_public)?;
    let (clock, venue) = (Clock::start(), VenueClock::default());
    let mut poller = Poller::new(8)?;
    let rest_reader = Rest::public(plan.instance, &host, &plan.instruments, venue.clone());
    let mut line = Line::new(rest_reader, rest, clock.clone(), LINE_KEY);
    let rules = line.begin(&mut poller, 0).map_err(StartError::Venue)?;
    drop(line);
    let settings = Settings::new(&public_host, &path, false);
    let session = Session::new(settings, driver::seed()?);
    let (out, mut opened) = handover("record");
    let (mut retired, home) = handover("record back");
    let mut door = Door::new("public WebSocket", public, DOOR_KEY, session, out, home);
    let mut tape = Tape::create(plan, &rules, venue)?;
    let until = plan.run_for.map_or(MonoNanos::NEVER, |length| {
        clock.now().after(u64::try_from(length.as_nanos()).unwrap_or(u64::MAX))
    });
    let mut connection: Option<SessionBox> = None;
    // Relaxed: the flag carries nothing but itself.
    while !stop.load(Ordering::Relaxed) && clock.now() < until && !tape.is_full() {
        let now = clock.now();
        door.step(now, &poller);
        if connection.is_none()
            && let Some(mut fresh) = opened.pop()
        {
            adopt(&mut fresh, STREAM_KEY, &poller);
            tape.open(&mut fresh.protocol, now)?;
            connection = Some(fresh);
        }
        if let Some(open) = &mut connection {
            tape.take(open, now)?;
        }
        if let Some(over) = connection.take_if(|open| open.protocol.is_over()) {
            retire(over, &mut retired, &poller);
        }
        let due = connection.as_ref().map_or(MonoNanos::NEVER, |open| open.protocol.deadline());
        let wait = Wait::Park { until: due.min(door.deadline()).min(now.after(PARK_NS)), now };
        let mut told = Vec::new();
        poller.wait(wait, |key, readiness| told.push((key, readiness)))?;
        for (key, readiness) in told {
            door.ready(key, readiness);
            if let (STREAM_KEY, Some(open)) = (key, &mut connection) {
                open.stream.ready(readiness);
            }
        }
    }
    Ok(tape.end(clock.now())?)
}

/// The file, and what it takes to keep a session alive.
struct Tape {
    writer: RecordingWriter,
    decoder: Decoder,
    directory: Directory,
    venue: VenueClock,
    events: Vec<Event>,
    recorded: Recorded,
    bytes_max: u64,
    flush_at: MonoNanos,
}

impl Tape {
    fn create(plan: &Plan, rules: &[Instrument], venue: VenueClock) -> io::Result<Self> {
        Ok(Self {
            writer: RecordingWriter::create(&plan.out, &plan.ws_public, rules)?,
            decoder: Decoder::new(plan.instance),
            directory: Directory::new(rules),
            venue,
            events: Vec::new(),
            recorded: Recorded::default(),
            bytes_max: plan.bytes_max,
            flush_at: MonoNanos::ZERO,
        })
    }

    fn is_full(&self) -> bool {
        self.writer.bytes() >= self.bytes_max
    }

    /// Subscribes to what an engine would.
    fn open(&mut self, session: &mut Session, now: MonoNanos) -> io::Result<()> {
        feed::subscribe(&self.directory, session, now);
        self.recorded.connects += 1;
        self.writer.write(Kind::Opened, &[], self.venue.utc(now), now)
    }

    /// Moves bytes and writes every message that has come.
    fn take(&mut self, open: &mut Connection<Session>, now: MonoNanos) -> io::Result<()> {
        pump(open, now);
        open.protocol.step(now);
        let mut answered = 0;
        while let Some(incoming) = open.protocol.next(now) {
            let payload = match incoming {
                Incoming::Payload(payload) => payload,
                Incoming::Lost(_) => {
                    self.writer.write(Kind::Lost, &[], self.venue.utc(now), now)?;
                    continue;
                }
                Incoming::Opened | Incoming::Failed(_) => continue,
            };
            self.writer.write(Kind::Frame, payload, self.venue.utc(now), now)?;
            self.recorded.frames += 1;
            self.events.clear();
            match self.decoder.read(payload, &self.directory, &mut self.events) {
                Ok(Message::Control(Control::Subscribed(..) | Control::SubscribeFailed(_))) => {
                    answered += 1;
                }
                Ok(_) => {}
                Err(_) => self.recorded.refused += 1,
            }
        }
        if answered > 0 {
            open.protocol.on_subscribed(answered);
        }
        if open.protocol.state() == State::Syncing {
            open.protocol.on_synced(now);
        }
        if !open.protocol.transmit().is_empty() {
            pump(open, now);
        }
        if now >= self.flush_at {
            self.flush_at = now.after(SECONDS);
            self.writer.flush()?;
        }
        Ok(())
    }

    fn end(mut self, now: MonoNanos) -> io::Result<Recorded> {
        self.recorded.full = self.is_full();
        self.recorded.bytes = self.writer.bytes();
        self.writer.end(self.venue.utc(now), now)?;
        Ok(self.recorded)
    }
}
