//! Simulation: the engine with all its threads against a venue on this machine, embedded or not.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam::channel::TrySendError;
use keel_core::event::{Boot, Directive, Event, Mode, Operator, Parameter, Rules};
use keel_core::guard::{Reason, Reasons};
use keel_core::instrument::{Instrument, InstrumentId};
use keel_core::param::Params;
use keel_core::units::{MILLIS, MonoNanos, UnixNanos};
use keel_net::bitget::topics::Directory;

use super::access::Access;
use super::paper::Public;
use crate::affinity::{Cores, Idle, PlacementError};
use crate::agent::Duty;
use crate::agent::journal::Records;
use crate::agent::kill::{KillBoard, KillParts};
use crate::clock::{Clock, VenueClock};
use crate::cold::line::Line;
use crate::cold::recorder::{RecordError, Recorder, Run};
use crate::cold::rest::Rest;
use crate::control::Control;
use crate::disk::Lock;
use crate::exchange::{self, ExchangeHandle};
use crate::guardian::Guardian;
use crate::journal;
use crate::kill::Kill;
use crate::kill::hand::Hand;
use crate::kill::report::{self, Report};
use crate::setup::{Adjustable, Setup, Venue};
use crate::snapshot::Snapshot;
use crate::state::{self, Beside, Identity, Latch, Opened, Recovered, StateDir, StateError};
use crate::topology::{
    self, EntryPlan, KILL_KEY, LINE_KEY, Orders, Parts, Targets, Threads, VenueOrders,
};
use crate::vitals::Vitals;

/// A run at work.
pub struct Running {
    threads: Threads,
    exchange: Option<ExchangeHandle>,
    /// Locks that keep other engines off this account's instruments until the run is over.
    _claim: Option<Lock>,
    guardian: Option<Guardian>,
    vitals: Vitals,
    board: Arc<KillBoard>,
    /// Reports of the kill that have been written.
    reported: u64,
    /// The incident that this process has latched itself.
    latched: Option<u64>,
    /// A stop that was asked for and has found no room yet.
    stop_owed: AtomicBool,
    home: Home,
    clock: Clock,
}

/// Where a run's files are, and whose.
#[derive(Debug)]
struct Home {
    run_dir: PathBuf,
    state_dir: PathBuf,
    instance: String,
    epoch: u32,
}

/// How a run ended.
#[derive(Debug)]
pub struct Outcome {
    /// Zero open orders were verified at the venue.
    pub verified: bool,
    /// No agent panicked.
    pub calm: bool,
    /// The guard has stopped for good.
    pub stopped: bool,
    /// The journal's end and the last figures; `None` when the journal's thread did not get there.
    pub records: Option<Records>,
}

/// Why a run could not begin. No order was sent.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The state directory.
    #[error(transparent)]
    State(#[from] StateError),
    /// Journal and files.
    #[error(transparent)]
    Records(#[from] RecordError),
    /// The embedded venue.
    #[error("the embedded venue did not start: {0}")]
    Exchange(#[from] exchange::StartError),
    /// The venue cannot be reached, is not trusted, or was not understood.
    #[error("the venue is not usable: {0}")]
    Venue(String),
    /// Live mode, without the permission of the go-live gate for this venue and account.
    #[error("live mode trades by the permission of the go-live gate only")]
    Unpermitted,
    /// The clocks are too far apart to sign and to judge freshness.
    #[error(
        "this host's clock is {offset_ms} ms off the venue's; more than {max_ms} ms is refused: \
         synchronize the host's clock"
    )]
    Clock {
        /// Venue less host.
        offset_ms: i64,
        /// `clock_offset_hard_ms`.
        max_ms: u64,
    },
    /// The authority that is to be trusted.
    #[error("venue.ca {path}: {why}")]
    Authority {
        /// Its file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// An address of the configuration.
    #[error("{url}: {why}")]
    Url {
        /// As configured.
        url: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The cores.
    #[error(transparent)]
    Placement(#[from] PlacementError),
    /// The guardian.
    #[error("no guardian, so nothing is traded: {0}")]
    Guardian(io::Error),
    /// The system.
    #[error("the system refused a thread, a file or random bytes: {0}")]
    System(#[from] io::Error),
}

impl Running {
    /// The run as it was a second ago at most; `None` before the first figures.
    pub fn snapshot(&self) -> Option<Arc<Snapshot>> {
        self.threads.gauge.snapshot()
    }

    /// Asks for an ordered stop.
    pub fn stop(&self) {
        // Relaxed: the flag carries nothing but itself.
        self.stop_owed.store(true, Ordering::Relaxed);
        self.tell_stop();
    }

    /// Tells the engine of a stop that it has not been told of: its channel may have been full.
    fn tell_stop(&self) {
        // Relaxed: as above.
        if self.stop_owed.load(Ordering::Relaxed) {
            let stop = Event::Operator(Operator::program(Directive::Stop));
            let sent = self.threads.directives.try_send(stop);
            self.stop_owed.store(matches!(sent, Err(TrySendError::Full(_))), Ordering::Relaxed);
        }
    }

    /// True once every thread has ended.
    pub fn is_over(&self) -> bool {
        self.threads.are_over()
    }

    /// Does what the kill leaves to others, because it touches the disk: writes its report, and
    /// latches where the engine cannot. To be called now and then. Gives whether zero is verified,
    /// once a hot thread has been found to hang: the process cannot end in order then.
    pub fn attend(&mut self) -> Option<bool> {
        self.tell_stop();
        if self.board.is_unheard() && self.latched.is_none() {
            self.latch(Reason::Operator);
        }
        let reports = self.board.reports();
        if reports != self.reported
            && let Some(report) = self.board.report()
        {
            self.reported = reports;
            self.write(&report);
        }
        let now = self.clock.now();
        if self.guardian.as_mut().is_some_and(|guardian| guardian.is_lost(now)) {
            self.stop();
            eprintln!("the guardian is lost, and without one nothing is traded: the run ends");
        }
        if !self.board.has_hung() {
            return None;
        }
        let report = self.board.report().filter(|report| report.finished)?;
        Some(report.verified)
    }

    /// Writes the kill's report, after the latch where only this process can write it.
    fn write(&mut self, report: &Report) {
        if self.board.has_hung() {
            self.latch(Reason::EngineLost);
        }
        let stopped = self.vitals.stopped().map(|(incident, _)| incident);
        let incident = self.latched.or(stopped).unwrap_or(0);
        let (run_dir, instance) = (&self.home.run_dir, &self.home.instance);
        if let Err(error) = report::write(run_dir, report, instance, incident, Clock::start().utc())
        {
            eprintln!("the kill's report could not be written: {error}");
        }
    }

    /// Latches in the engine's place. What is latched already stays.
    fn latch(&mut self, reason: Reason) {
        let incident = state::incident_beside(self.home.epoch, Beside::Process);
        let (reasons, since) = (Reasons::NONE.with(reason), Clock::start().utc());
        let latch = Latch { incident, reasons, since };
        match state::latch_beside(&self.home.state_dir, &latch) {
            Ok(latched) => self.latched = Some(latched.incident),
            Err(error) => eprintln!("the latch could not be written: {error}"),
        }
    }

    /// Waits for the end and tells of it.
    pub fn finish(mut self) -> Outcome {
        let calm = self.threads.join();
        self.attend();
        let records = self.threads.records.lock().ok().and_then(|mut records| records.take());
        // Acquire: the engine agent stored it before its thread ended.
        let verified = self.threads.verified.load(Ordering::Acquire);
        if let Some(exchange) = self.exchange.take()
            && let Err(error) = exchange.stop()
        {
            eprintln!("the embedded venue ended badly: {error}");
        }
        if let Some(guardian) = self.guardian.take() {
            guardian.leave();
        }
        let stopped = self.vitals.stopped().is_some();
        Outcome { verified, calm, stopped, records }
    }
}

/// Claims the account, where others could trade on it, and then opens the state.
fn own(
    setup: &Setup,
    identity: &Identity,
    utc: UnixNanos,
) -> Result<(Option<Lock>, (Opened, Recovered)), StateError> {
    let Some(dir) = &setup.claims_dir else {
        return Ok((None, StateDir::open(&setup.state_dir, identity, utc)?));
    };
    let claim = state::claim(dir, &identity.instance)?;
    Ok((Some(claim), StateDir::open_marked(&setup.state_dir, dir, identity, utc)?))
}

/// Starts a run: venue, state, the line to the venue, threads.
///
/// # Errors
/// As [`StartError`] says; nothing runs then.
pub fn start(setup: Setup) -> Result<Running, StartError> {
    let cores = Cores::list();
    let placement = cores.place(setup.threading, setup.idle, &setup.cores)?;
    let clock = Clock::start_at_speed(setup.venue.clock_speed());
    let side = Side::of(&setup, clock.utc())?;
    let identity = Identity {
        venue: side.label(),
        uid: side.uid(),
        instance: String::from_utf8_lossy(setup.instance.as_bytes()).into_owned(),
    };
    let anchor = clock.anchor();
    let (claim, (opened, recovered)) = own(&setup, &identity, anchor.utc)?;
    let venue = VenueClock::default();
    venue.set(anchor.utc, anchor.mono);
    let mut cold = Duty::new(clock.clone(), Idle::Park)?;
    let epoch = recovered.epoch;
    let (line, rules) = open_line(&setup, &side, (&mut cold, epoch), &clock, &venue)?;
    let restored = recovered.events(opened.path(), &rules, venue.utc(clock.now()))?;
    let state = opened.begin()?;
    // With the account known to answer to the key: what is wrong with it is said by the run itself.
    let (vitals, guardian) = guard(&setup)?;
    let kill = kill_parts(&setup, &side, &rules, epoch, &clock, &venue, vitals)?;
    let (orders, targets, exchange) = side.orders(&rules, &recovered, &restored, clock.now());
    let boot = first_events(boot(&setup, &rules, &recovered), &setup.params, &rules, restored);
    let recorder = Recorder::open(run_of(&setup), state, anchor)?;
    let stop_at = stop_at(&setup, clock.now());
    let home = Home {
        run_dir: setup.run_dir.clone(),
        state_dir: setup.state_dir.clone(),
        instance: identity.instance,
        epoch,
    };
    let (watch_clock, board) = (clock.clone(), kill.board.clone());
    let threads = topology::start(Parts {
        clock,
        venue,
        instance: setup.instance,
        orders,
        entry: EntryPlan::of(&setup.params),
        directory: Directory::new(&rules),
        profile: setup.profile,
        targets,
        line: (line, cold),
        placement,
        recorder,
        boot,
        stop_at,
        kill,
    })?;
    Ok(Running {
        threads,
        exchange,
        _claim: claim,
        guardian,
        vitals,
        board,
        reported: 0,
        latched: None,
        stop_owed: AtomicBool::new(false),
        home,
        clock: watch_clock,
    })
}

/// What the engine is told first of all.
fn boot(setup: &Setup, rules: &[Instrument], recovered: &Recovered) -> Boot {
    Boot {
        config_hash: setup.config_hash,
        epoch: recovered.epoch,
        instruments: rules.len() as u16,
        seed: setup.seed,
        mode: setup.mode,
        dirty: recovered.dirty,
        planted: setup.params.planted(),
    }
}

/// When a run that begins now is to end by itself.
fn stop_at(setup: &Setup, now: MonoNanos) -> MonoNanos {
    setup.run_for.map_or(MonoNanos::NEVER, |length| {
        now.after(u64::try_from(length.as_nanos()).unwrap_or(u64::MAX))
    })
}

/// The engine's vitals, and a guardian that watches them, where one is configured.
fn guard(setup: &Setup) -> Result<(Vitals, Option<Guardian>), StartError> {
    let (vitals, shared) = Vitals::share()?;
    let guardian = Guardian::of(setup, vitals, shared).map_err(StartError::Guardian)?;
    Ok((vitals, guardian))
}

/// The kill with its connection, key, clock and socket.
fn kill_parts(
    setup: &Setup,
    side: &Side,
    rules: &[Instrument],
    epoch: u32,
    clock: &Clock,
    venue: &VenueClock,
    vitals: Vitals,
) -> Result<KillParts, StartError> {
    let hand = match side {
        Side::Account(access) => {
            let own = VenueClock::default();
            let now = clock.now();
            own.set(venue.utc(now), now);
            let kill = Kill::new(access.place(setup, epoch, rules.to_vec()), own, true);
            let rest = access.targets.rest.clone();
            Hand::Venue(Box::new(Line::new(kill, rest, clock.clone(), KILL_KEY)))
        }
        Side::Paper(public) => public.hand(),
    };
    Ok(KillParts {
        hand,
        control: Control::open(&setup.run_dir)?,
        vitals,
        board: Arc::default(),
        adjustable: Adjustable::new(setup.params, setup.envelope.clone()),
        params: setup.params,
        hang_ns: setup.hang_ms * MILLIS,
        speed: u64::from(setup.venue.clock_speed()),
    })
}

/// Opens the line to the venue, looks whether the state is a copy that was put back, reads clock,
/// account and rules, and asks for all the rest.
fn open_line(
    setup: &Setup,
    side: &Side,
    (cold, epoch): (&mut Duty, u32),
    clock: &Clock,
    venue: &VenueClock,
) -> Result<(Line<Rest>, Vec<Instrument>), StartError> {
    let rest = side.rest(setup, venue.clone()).with_planted(setup.params.planted());
    let mut line = Line::new(rest, side.targets().rest.clone(), clock.clone(), LINE_KEY);
    let rules = line.begin(cold.poller(), epoch).map_err(StartError::Venue)?;
    if let Some(epoch) = line.rest().later_epoch() {
        return Err(StateError::Behind { path: setup.state_dir.clone(), epoch }.into());
    }
    if let Side::Account(access) = side {
        check_account(line.rest().uid(), access.uid)?;
    }
    let now = clock.now();
    if setup.venue.clock_speed() == 1 {
        check_clock(clock, venue, &setup.params)?;
    } else {
        clock.calibrate(venue.utc(now), now);
        // The readings so far are of a clock that was not set yet.
        for event in line.rest().events() {
            if let Event::ClockSync(sync) = event {
                sync.offset_ns = 0;
            }
        }
    }
    line.rest().start(now);
    Ok((line, rules))
}

/// What the engine is told first: itself, its parameters, the rules, and what it remembers.
pub(crate) fn first_events(
    boot: Boot,
    params: &Params,
    rules: &[Instrument],
    restored: Vec<Event>,
) -> VecDeque<Event> {
    let mut events = VecDeque::from([Event::Boot(boot)]);
    for (key, value) in params.values().iter().enumerate() {
        events.push_back(Event::Parameter(Parameter { key: key as u16, value: *value }));
    }
    for (id, instrument) in rules.iter().enumerate() {
        let id = InstrumentId(id as u16);
        events.push_back(Event::Rules(Rules { id, instrument: *instrument }));
    }
    events.extend(restored);
    events
}

fn run_of(setup: &Setup) -> Run {
    Run {
        run_dir: setup.run_dir.clone(),
        mode: setup.mode,
        profile: setup.profile,
        instance: setup.instance,
        variant: setup.variant.clone(),
        exchange: "bitget".to_owned(),
        symbols: setup.instruments.clone(),
        config_hash: setup.config_hash,
        limits: journal::Limits::default(),
    }
}

/// A key of another account would trade that account's money.
fn check_account(found: Option<u64>, expected: u64) -> Result<(), StartError> {
    match found {
        Some(uid) if uid == expected => Ok(()),
        Some(uid) if uid != 0 => {
            let what = format!("the key belongs to account {uid}, and venue.uid is {expected}");
            Err(StartError::Venue(what))
        }
        _ => Err(StartError::Venue("it does not say whose key it is".to_owned())),
    }
}

/// Signatures and freshness are judged by the clock: too far off, nothing begins.
fn check_clock(clock: &Clock, venue: &VenueClock, params: &Params) -> Result<(), StartError> {
    let offset_ns = venue.utc(clock.now()).0 - clock.utc().0;
    let max_ns = params.clock_offset_hard_ms();
    if offset_ns.unsigned_abs() > max_ns {
        let (offset_ms, max_ms) = (offset_ns / 1_000_000, max_ns / 1_000_000);
        return Err(StartError::Clock { offset_ms, max_ms });
    }
    Ok(())
}

/// Whom a run trades with.
enum Side {
    /// An account at a venue.
    Account(Box<Access>),
    /// Nobody: orders stay in this process.
    Paper(Box<Public>),
}

impl Side {
    fn of(setup: &Setup, now: UnixNanos) -> Result<Self, StartError> {
        match (setup.mode, &setup.venue) {
            (Mode::Paper, Venue::Paper(venue)) => Ok(Self::Paper(Box::new(Public::of(venue)?))),
            // Access knows which venue each other mode has; paper is none of them.
            _ => Ok(Self::Account(Box::new(Access::of(setup, now)?))),
        }
    }

    fn label(&self) -> String {
        match self {
            Self::Account(access) => access.label.clone(),
            Self::Paper(public) => public.label(),
        }
    }

    /// The account's number; a paper account has none.
    fn uid(&self) -> u64 {
        match self {
            Self::Account(access) => access.uid,
            Self::Paper(_) => 0,
        }
    }

    fn targets(&self) -> &Targets {
        match self {
            Self::Account(access) => &access.targets,
            Self::Paper(public) => public.targets(),
        }
    }

    fn rest(&self, setup: &Setup, venue: VenueClock) -> Rest {
        match self {
            Self::Account(access) => {
                let (host, key) = (&access.targets.host, Some(access.credentials()));
                Rest::new(setup.instance, host, key, &setup.instruments, venue)
            }
            Self::Paper(public) => public.rest(setup, venue),
        }
    }

    /// Where orders go and connections lead, and the embedded venue, where there is one.
    fn orders(
        self,
        rules: &[Instrument],
        recovered: &Recovered,
        restored: &[Event],
        now: MonoNanos,
    ) -> (Orders, Targets, Option<ExchangeHandle>) {
        match self {
            Self::Account(access) => {
                let credentials = access.credentials();
                let Access { targets, private, exchange, .. } = *access;
                let orders = Orders::Venue(Box::new(VenueOrders { credentials, private }));
                (orders, targets, exchange)
            }
            Self::Paper(public) => {
                let orders = public.orders(rules, recovered, restored, now);
                (orders, public.into_targets(), None)
            }
        }
    }
}
