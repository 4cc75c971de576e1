//! The guardian: a process of its own that outlives the engine's death.
//!
//! It shares the engine's vitals, holds its process by a descriptor, and has a connection and,
//! where one is configured, a key of its own. When the engine's process ends without having
//! verified zero, or the engine turns no more, it fences: it revokes the lease, ends the process
//! (`SIGKILL`, which takes the queued bytes of its order sockets with it), cancels everything,
//! verifies, and latches. It needs nothing of the engine to do so.
//!
//! An engine starts its own, or comes to one that a unit file runs ([`post`]).

pub mod post;

use std::ffi::OsString;
use std::io::{self, ErrorKind, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::parent_id;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use keel_core::event::Mode;
use keel_core::guard::{Reason, Reasons};
use keel_core::param::Params;
use keel_core::units::{MILLIS, MonoNanos, SECONDS, UnixNanos};
use keel_net::driver::{Poller, Readiness};
use keel_net::lease::Revoker;

use crate::affinity::Idle;
use crate::agent::{Agent, Duty};
use crate::clock::{Clock, VenueClock};
use crate::cold::daily::hex;
use crate::cold::line::Line;
use crate::kill::report::{self, Report};
use crate::kill::{self, Close, Kill, Mandate, Trigger};
use crate::mode::access::ToCancel;
use crate::mode::sim::StartError;
use crate::os::{self, Process};
use crate::setup::Setup;
use crate::state::{self, Latch};
use crate::topology::KILL_KEY;
use crate::vitals::{Phase, Turning, Vitals, Watch};

/// Who guards a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Guarding {
    /// Nobody: the venue ends with the process, or something else does the guardian's work.
    Nobody,
    /// A process that the run starts, by this command line.
    Child(Vec<OsString>),
    /// A process that something else runs, and that waits at the state directory.
    Unit,
}

/// A guardian as the engine's process sees it.
#[derive(Debug)]
pub struct Guardian {
    way: Way,
    vitals: Vitals,
    watch: Watch,
    silence_ns_max: u64,
    lost: bool,
}

/// A guardian that has not turned for so long is lost.
const SILENCE_NS_MAX: u64 = 2 * SECONDS;
/// How long a guardian may take to see that its engine has ended in order.
const LEAVE_MAX: Duration = Duration::from_secs(2);
/// How long a guardian may take until it watches.
const READY_MAX: Duration = Duration::from_secs(15);

/// How the engine's process has to do with it.
#[derive(Debug)]
enum Way {
    Child(Child),
    /// The line to one of its own.
    Unit(UnixStream),
}

impl Way {
    /// What is known of its end; `None` while it is there.
    fn gone(&mut self) -> Option<String> {
        match self {
            Self::Child(child) => match child.try_wait() {
                Ok(None) => None,
                Ok(Some(status)) => Some(status.to_string()),
                Err(error) => Some(error.to_string()),
            },
            Self::Unit(line) => {
                let mut said = [0; 256];
                match line.read(&mut said) {
                    Err(error) if error.kind() == ErrorKind::WouldBlock => None,
                    Ok(0) => Some("its process is gone".to_owned()),
                    Ok(length) => Some(String::from_utf8_lossy(&said[..length]).trim().to_owned()),
                    Err(error) => Some(error.to_string()),
                }
            }
        }
    }

    /// Ends one that is of no use. What a unit file runs is not the run's to end.
    fn end(&mut self) {
        if let Self::Child(child) = self {
            // It may just have ended.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Guardian {
    /// Starts a guardian of the run of `setup`, or comes to one; `None` where none guards it. It
    /// shares the vitals behind `fd`, and is waited for until it has read the account over its own
    /// connection.
    ///
    /// # Errors
    /// When there is none or it does not come so far.
    pub fn of(setup: &Setup, vitals: Vitals, fd: OwnedFd) -> io::Result<Option<Self>> {
        let mut way = match &setup.guardian {
            Guarding::Nobody => return Ok(None),
            Guarding::Child(args) => {
                // The program as it runs, also when its file has been replaced since.
                let mut command = Command::new("/proc/self/exe");
                command.args(args).stdin(Stdio::from(fd)).stdout(Stdio::null());
                Way::Child(command.spawn()?)
            }
            Guarding::Unit => {
                let run_dir = setup.run_dir.canonicalize()?;
                let word = post::Word { config_hash: hex(&setup.config_hash), run_dir };
                Way::Unit(post::come(&setup.state_dir, &word, &fd, READY_MAX)?)
            }
        };
        let began = Instant::now();
        while vitals.turns(Turning::Guardian) == 0 {
            if let Some(why) = way.gone() {
                return Err(io::Error::other(format!("the guardian ended at once: {why}")));
            }
            if began.elapsed() > READY_MAX {
                way.end();
                return Err(io::Error::other("the guardian could not read the account in time"));
            }
            thread::sleep(Duration::from_millis(2));
        }
        let speed = u64::from(setup.venue.clock_speed());
        let (watch, silence_ns_max) = (Watch::at_speed(speed), SILENCE_NS_MAX * speed);
        Ok(Some(Self { way, vitals, watch, silence_ns_max, lost: false }))
    }

    /// True once, when the guardian is found to have ended or to turn no more while the engine
    /// works on: nothing may rest without it. To be called often.
    pub fn is_lost(&mut self, now: MonoNanos) -> bool {
        if self.lost || self.vitals.has_ended() {
            return false;
        }
        let still_ns = self.watch.look(self.vitals.turns(Turning::Guardian), now);
        self.lost = self.way.gone().is_some() || still_ns > self.silence_ns_max;
        self.lost
    }

    /// Waits for its end, when the engine has ended in order; otherwise it stays and acts. One that
    /// hangs is ended: nothing is left for it to do.
    pub fn leave(mut self) {
        if !self.vitals.has_ended() {
            return;
        }
        // It sees that within a millisecond.
        let began = Instant::now();
        while self.way.gone().is_none() {
            if began.elapsed() > LEAVE_MAX {
                return self.way.end();
            }
            thread::sleep(Duration::from_millis(2));
        }
    }
}

/// What became of the engine that was guarded.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// It ended in order; nothing was to be done.
    InOrder,
    /// The guardian acted.
    Acted {
        /// Why.
        why: String,
        /// What it did.
        report: Report,
        /// The incident that it latched, or found latched.
        incident: u64,
    },
}

/// An engine that is to be guarded.
#[derive(Debug)]
pub struct Guarded {
    process: Process,
    vitals: OwnedFd,
    /// It had ended before it was held.
    orphaned: bool,
}

impl Guarded {
    /// The process that started this one, whose vitals are this one's standard input.
    ///
    /// # Errors
    /// What the system says.
    pub fn parent() -> io::Result<Self> {
        os::leave_session();
        let parent = parent_id();
        let process = Process::hold(parent)?;
        // Had it ended in between, its number could be another's by now.
        let orphaned = parent_id() != parent;
        let vitals = io::stdin().as_fd().try_clone_to_owned()?;
        Ok(Self { process, vitals, orphaned })
    }
}

/// Guards an engine until it ends.
///
/// # Errors
/// Why the guardian cannot work; the engine is then refused its start.
pub fn run(setup: &Setup, engine: Guarded) -> Result<Outcome, StartError> {
    crate::signals::outlive()?;
    let Guarded { process: engine, vitals, orphaned } = engine;
    let vitals = Vitals::map(&vitals)?;
    let clock = Clock::start_at_speed(setup.venue.clock_speed());
    let access = ToCancel::of(setup, clock.utc())?;
    let epoch = state::epoch(&setup.state_dir)?;
    let place = access.place(setup, epoch, Vec::new());
    let kill = Kill::new(place, VenueClock::default(), false);
    let line = Line::new(kill, access.targets().rest.clone(), clock.clone(), KILL_KEY);
    let ended = Arc::new(Mutex::new(None));
    let to_latch = ToLatch { state_dir: setup.state_dir.clone(), epoch, vitals };
    let (latch, time) = mpsc::channel();
    let latching = thread::spawn(move || time.recv().ok().map(|utc| to_latch.write(utc)));
    let speed = u64::from(setup.venue.clock_speed());
    let agent = GuardianAgent {
        line,
        vitals,
        engine,
        orphaned,
        params: setup.params,
        hang_ns: setup.hang_ms * MILLIS,
        speed,
        engine_watch: Watch::at_speed(speed),
        kill_watch: Watch::at_speed(speed),
        stage: Stage::Opening,
        latch,
        utc: clock.clone(),
        gone_with_host: setup.mode == Mode::Sim,
        alone: None,
        ended: ended.clone(),
    };
    let mut duty = Duty::new(clock.clone(), Idle::Park)?;
    duty.add(Box::new(agent));
    duty.run();
    let incident = latching.join().ok().flatten();
    let end = ended.lock().ok().and_then(|mut end| end.take());
    match end {
        Some((why, report)) => {
            let incident = incident.unwrap_or_default();
            conclude(setup, &report, incident, clock.utc());
            Ok(Outcome::Acted { why, report, incident })
        }
        None if vitals.has_ended() || vitals.turns(Turning::Engine) == 0 => Ok(Outcome::InOrder),
        // What panicked has been told already.
        None => Err(StartError::Guardian(io::Error::other("it has ended while it was needed"))),
    }
}

/// What is latched when the engine is gone, and where.
struct ToLatch {
    state_dir: PathBuf,
    epoch: u32,
    vitals: Vitals,
}

impl ToLatch {
    /// Makes the latch durable and gives the incident in force: the engine's, where it had stopped.
    fn write(&self, utc: UnixNanos) -> u64 {
        let own = state::incident_beside(self.epoch, state::Beside::Guardian);
        let found = self.vitals.stopped();
        let (incident, reasons) = found.unwrap_or((own, Reasons::NONE.with(Reason::EngineLost)));
        match state::latch_beside(&self.state_dir, &Latch { incident, reasons, since: utc }) {
            Ok(latched) => latched.incident,
            Err(error) => {
                eprintln!("keel guardian: the latch could not be written: {error}");
                incident
            }
        }
    }
}

/// Writes the report.
fn conclude(setup: &Setup, report: &Report, incident: u64, utc: UnixNanos) {
    let name = String::from_utf8_lossy(setup.instance.as_bytes()).into_owned();
    if let Err(error) = report::write(&setup.run_dir, report, &name, incident, utc) {
        eprintln!("keel guardian: the report could not be written: {error}");
    }
}

struct GuardianAgent {
    line: Line<Kill>,
    vitals: Vitals,
    engine: Process,
    /// The engine had ended before it was held.
    orphaned: bool,
    params: Params,
    /// In real time, as all that is waited for here.
    hang_ns: u64,
    speed: u64,
    engine_watch: Watch,
    kill_watch: Watch,
    stage: Stage,
    /// Says that it is time to latch, and when.
    latch: mpsc::Sender<UnixNanos>,
    utc: Clock,
    /// The venue is a process on this host, and its orders are gone when it is.
    gone_with_host: bool,
    /// Since when the venue has not been reached.
    alone: Option<MonoNanos>,
    ended: Arc<Mutex<Option<(String, Report)>>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Stage {
    /// The account is read once, to see that connection and key serve.
    Opening,
    /// The engine is watched.
    Watching,
    /// It is gone.
    Acting(String),
    /// Nothing is left to do.
    Over,
}

/// A hung engine whose own kill is at work is left to it for so long.
const OWN_KILL_NS_MAX: u64 = 3 * SECONDS;
/// A venue on this host that cannot be reached for so long has ended.
const VENUE_GONE_NS: u64 = 20 * SECONDS;
/// And once that has verified zero, for so long until its process has ended and latched.
const END_NS_MAX: u64 = 15 * SECONDS;

impl GuardianAgent {
    /// Why the engine must be taken for gone; `None` while it need not.
    fn lost(&mut self, now: MonoNanos) -> Option<String> {
        if self.orphaned || self.engine.has_ended() {
            let why = "the engine's process has ended without having verified zero";
            return Some(why.to_owned());
        }
        let still_ns = self.engine_watch.look(self.vitals.turns(Turning::Engine), now);
        let kill_ns = self.kill_watch.look(self.vitals.turns(Turning::Kill), now);
        let own_kill = self.vitals.phase() != Phase::Idle && kill_ns < self.hang_ns * self.speed;
        let patience_ns = match (own_kill, self.vitals.phase()) {
            (false, _) => self.hang_ns,
            (true, Phase::Verified) => END_NS_MAX,
            (true, Phase::Idle | Phase::Working) => OWN_KILL_NS_MAX,
        };
        let gone = still_ns > patience_ns * self.speed;
        let real_ms = still_ns / self.speed / MILLIS;
        gone.then(|| format!("the engine has not turned for {real_ms} ms"))
    }

    /// Fences and begins to cancel. What was sent before is what the zombie window is for.
    fn act(&mut self, why: String, now: MonoNanos) {
        self.vitals.lease().revoke(Revoker::Guardian);
        if let Err(error) = self.engine.end() {
            eprintln!("keel guardian: the engine could not be ended: {error}");
        }
        let zombie_ns = kill::zombie_ns(&self.params, self.vitals.over_rest());
        self.line.asks().appears_within(zombie_ns);
        self.line.asks().begin(mandate(false, &why, now));
        self.stage = Stage::Acting(why);
        // Another thread writes: the disk may stall, and no cancel waits for it. It is there for as
        // long as this agent is.
        let _ = self.latch.send(self.utc.utc());
    }

    /// True when the venue was a process on this host that is no more.
    fn has_lost_venue(&mut self, now: MonoNanos) -> bool {
        if !self.gone_with_host || self.line.last_error().is_none() {
            self.alone = None;
            return false;
        }
        now.since(*self.alone.get_or_insert(now)) > VENUE_GONE_NS * self.speed
    }
}

fn mandate(dry_run: bool, why: &str, decided: MonoNanos) -> Mandate {
    let (trigger, reasons) = (Trigger::Guardian, why.to_owned());
    Mandate { trigger, reasons, only: None, dry_run, close: Close::Nothing, decided }
}

impl Agent for GuardianAgent {
    fn name(&self) -> &'static str {
        "guardian"
    }

    fn step(&mut self, now: MonoNanos, poller: &mut Poller) -> usize {
        let work = self.line.step(now, poller);
        match self.stage.clone() {
            Stage::Opening | Stage::Watching if self.vitals.has_ended() => self.stage = Stage::Over,
            Stage::Opening => {
                let kill = self.line.asks();
                if kill.is_finished() {
                    self.stage = Stage::Watching;
                } else if !kill.is_at_work() {
                    kill.begin(mandate(true, "", now));
                }
                if self.orphaned || self.engine.has_ended() {
                    // It has not begun to trade: it waits for us.
                    self.stage = Stage::Over;
                }
            }
            Stage::Watching => {
                self.vitals.turned(Turning::Guardian);
                let began = self.vitals.turns(Turning::Engine) > 0;
                if !began && (self.orphaned || self.engine.has_ended()) {
                    // A start that failed has sent nothing.
                    self.stage = Stage::Over;
                } else if let Some(why) = self.lost(now) {
                    self.act(why, now);
                }
            }
            Stage::Acting(why) => {
                let lost = self.has_lost_venue(now);
                let kill = self.line.asks();
                if (kill.is_finished() || lost)
                    && let (Some(report), Ok(mut ended)) = (kill.report(now), self.ended.lock())
                {
                    *ended = Some((why, report));
                    self.stage = Stage::Over;
                }
            }
            Stage::Over => {}
        }
        work
    }

    fn ready(&mut self, key: usize, readiness: Readiness) {
        self.line.ready(key, readiness);
    }

    fn deadline(&self) -> MonoNanos {
        self.line.deadline()
    }

    fn is_over(&self) -> bool {
        self.stage == Stage::Over
    }
}
