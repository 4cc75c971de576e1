//! From what was typed to what is started.

use std::ffi::OsString;
use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, SyncSender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use keel_core::event::Mode;
use keel_core::guard::GuardState;
use keel_core::param::Profile;
use keel_core::planted::Planted;
use keel_core::status::Key;
use keel_core::units::UnixNanos;
use keel_desk::console::{Console, summary};
use keel_io::clock::Clock;
use keel_io::cold::daily::{hex, utc_text};
use keel_io::disk::{self, OsFiles, Refused};
use keel_io::exchange::{self, ExchangeConfig, ExchangeFile, ExchangeOptions};
use keel_io::guardian::post::{Kept, Post};
use keel_io::guardian::{Guarded, Guarding};
use keel_io::mode::access::LIVE;
use keel_io::mode::live::LiveTrading;
use keel_io::mode::replay::{self, EngineStepper, ReplayError, ReplayReport};
use keel_io::mode::sim::{self, Outcome, StartError};
use keel_io::secrets;
use keel_io::setup::{Market, PaperVenue, Remote, Setup, Venue};
use keel_io::signals;
use keel_io::snapshot::Snapshot;
use keel_io::state::{RunDir, StateError};

use crate::args::{ExchangeArgs, RunArgs};
use crate::canary::Canary;
use crate::config::{self, Config, LiveConfig};
use crate::exit::Exit;
use crate::golive::gate;
use crate::{complain, configuration, print};

/// `keel run`.
pub(crate) fn run(args: &RunArgs) -> Exit {
    let (config, _) = match configuration(args.config.as_deref(), args.mode.clone()) {
        Ok(found) => found,
        Err(issues) => {
            complain(&issues);
            return Exit::Usage;
        }
    };
    let now = Clock::start().utc();
    let (live, terms) = (config.mode == Mode::Live, config.live.clone());
    if live && args.planted.is_some() {
        complain(&"--planted is for drills, and never for live mode");
        return Exit::Usage;
    }
    let permit = match live.then(|| gate::permit(&config, now)).transpose() {
        Ok(permit) => permit,
        Err(refusals) => {
            complain(&refusals);
            return Exit::NotOpen;
        }
    };
    let mut setup = match setup(config, args, now) {
        Ok(setup) => setup,
        Err((exit, what)) => {
            complain(&what);
            return exit;
        }
    };
    let canary = permit.map(|permit| begin_live(&mut setup, permit, &terms));
    if let Guarding::Child(_) = setup.guardian {
        setup.guardian = Guarding::Child(guardian_args(args, &setup));
    }
    let _run_dir = match open_run_dir(&setup) {
        Ok(dir) => dir,
        Err(error) => {
            complain(&error);
            return Exit::State;
        }
    };
    let remembered = match Remembered::of(&setup) {
        Ok(remembered) => remembered,
        Err((exit, what)) => {
            complain(&what);
            return exit;
        }
    };
    launch(setup, &remembered, canary)
}

/// Gives a run its permission to trade for real, and makes its limits small while they must be.
fn begin_live(setup: &mut Setup, permit: LiveTrading, terms: &LiveConfig) -> Canary {
    let canary = Canary::load(&setup.state_dir, permit.drills(), terms.canary_hours);
    canary.cap(&mut setup.params, terms.canary_share);
    setup.live = Some(permit);
    let Venue::Remote(remote) = &setup.venue else { return canary };
    let what = match remote.rest == LIVE[0] {
        true => "Trades real money of",
        false => "Rehearses live mode with",
    };
    print(&format!(
        "{what} account {} at {}. {}\n",
        remote.uid,
        remote.rest,
        canary.text(&setup.params)
    ));
    canary
}

/// The command line of a guardian of this run.
fn guardian_args(args: &RunArgs, setup: &Setup) -> Vec<OsString> {
    let mut list: Vec<OsString> = vec!["guardian".into()];
    let file = args.config.clone().or_else(|| {
        let found = PathBuf::from(crate::DEFAULT_FILE);
        found.exists().then_some(found)
    });
    if let Some(file) = file {
        list.extend(["--config".into(), file.into_os_string()]);
    }
    if let Some(mode) = &args.mode {
        list.extend(["--mode".into(), mode.into()]);
    }
    list.extend(["--run-dir".into(), setup.run_dir.clone().into_os_string()]);
    list.extend(["--state-dir".into(), setup.state_dir.clone().into_os_string()]);
    list.extend(["--config-hash".into(), hex(&setup.config_hash).into()]);
    list
}

/// `keel guardian`: of the run that has started it, whose configuration has that hash and whose
/// vitals are standard input, or of the next one that comes.
pub(crate) fn guardian(args: &RunArgs, config_hash: Option<&str>) -> Exit {
    let (config, _) = match configuration(args.config.as_deref(), args.mode.clone()) {
        Ok(found) => found,
        Err(issues) => {
            complain(&issues);
            return Exit::Usage;
        }
    };
    if config_hash.is_some_and(|hash| hex(&config.hash()) != hash) {
        complain(&"guardian: the configuration is another one than the run's");
        return Exit::Usage;
    }
    let mut setup = match setup(config, args, Clock::start().utc()) {
        Ok(setup) => setup,
        Err((exit, what)) => {
            complain(&what);
            return exit;
        }
    };
    let engine = match config_hash {
        Some(_) => Guarded::parent().map(|engine| (engine, None)),
        None if matches!(setup.venue, Venue::Embedded(_) | Venue::Paper(_)) => {
            complain(&"guardian: the venue ends with its run, and nothing is to be guarded");
            return Exit::Usage;
        }
        None => wait_for_engine(&mut setup).map(|(engine, kept)| (engine, Some(kept))),
    };
    let ended = engine
        .map_err(StartError::Guardian)
        .and_then(|(engine, _kept)| keel_io::guardian::run(&setup, engine));
    match ended {
        Ok(keel_io::guardian::Outcome::InOrder) => Exit::Done,
        Ok(keel_io::guardian::Outcome::Acted { why, report, incident }) => {
            complain(&format!(
                "guardian: {why}; {} order(s) rest at the venue, incident {incident}",
                report.open
            ));
            if report.verified { Exit::HardStop } else { Exit::OpenOrders }
        }
        Err(error) => {
            complain(&format!("guardian: {error}"));
            exit_of(&error)
        }
    }
}

/// Waits at the state directory for an engine, whose run's directory is then known.
fn wait_for_engine(setup: &mut Setup) -> io::Result<(Guarded, Kept)> {
    let post = Post::open(&setup.state_dir)?;
    print(&format!("Waits for an engine at {}.\n", setup.state_dir.display()));
    let comer = post.wait(&hex(&setup.config_hash))?;
    print(&format!("Guards the run in {}.\n", comer.run_dir.display()));
    setup.run_dir = comer.run_dir;
    Ok((comer.engine, comer.kept))
}

/// Where the newest run of an engine is remembered, so that commands find it.
pub(crate) fn pointer(config: &Config) -> Result<PathBuf, (Exit, String)> {
    let venue = outside(config).unwrap_or_else(|| "embedded".to_owned());
    let name = String::from_utf8_lossy(config.instance.as_bytes()).into_owned();
    let uid = config.venue.uid;
    Ok(state_home()?.join("current").join(format!("{venue}-{uid}-{name}")))
}

/// The venue outside of the process as the name of a directory; `None` for the embedded one.
fn outside(config: &Config) -> Option<String> {
    if config.mode == Mode::Paper {
        let [rest, _] = config.venue.public();
        return Some(format!("paper-{}", venue_label(rest)));
    }
    let kind = match config.mode {
        Mode::Demo => "demo-",
        Mode::Live => "live-",
        _ => "",
    };
    config.venue.urls.as_ref().map(|urls| format!("{kind}{}", venue_label(&urls.rest)))
}

/// Where a run is, for the commands that are to find it.
struct Remembered {
    pointer: PathBuf,
    text: String,
}

impl Remembered {
    /// What is to be remembered of a run, once it has begun.
    fn of(setup: &Setup) -> Result<Self, (Exit, String)> {
        let pointer = setup.pointer.clone();
        let failed = |error: &dyn Display| (Exit::State, format!("{}: {error}", pointer.display()));
        let dir = pointer.parent().expect("a file stands in a directory");
        std::fs::create_dir_all(dir).map_err(|error| failed(&error))?;
        let place = |dir: &Path| std::path::absolute(dir).map(|dir| dir.display().to_string());
        let run_dir = place(&setup.run_dir).map_err(|error| failed(&error))?;
        let state_dir = place(&setup.state_dir).map_err(|error| failed(&error))?;
        Ok(Self { pointer, text: format!("{run_dir}\n{state_dir}\n") })
    }

    /// Takes the place of the run before. One that was refused its start leaves that one known.
    fn keep(&self) -> Result<(), Refused> {
        disk::replace(&OsFiles, &self.pointer, self.text.as_bytes())
    }
}

/// Everything that a run needs to know, with its directories and its key.
pub(crate) fn setup(
    mut config: Config,
    args: &RunArgs,
    now: UnixNanos,
) -> Result<Setup, (Exit, String)> {
    if let Some(defect) = &args.planted {
        let planted = Planted::named(defect).ok_or_else(|| {
            (Exit::Usage, format!("--planted {defect}: this build carries no such defect"))
        })?;
        config.params.plant(planted);
    }
    let name = String::from_utf8_lossy(config.instance.as_bytes()).into_owned();
    let run_dir = match &args.run_dir {
        Some(dir) => dir.clone(),
        None => {
            let stamp: String =
                utc_text(now).chars().filter(|c| c.is_ascii_alphanumeric()).collect();
            let id = std::process::id();
            state_home()?.join("runs").join(format!("{stamp}-{}-{name}-{id}", config.mode))
        }
    };
    let account = match outside(&config) {
        None => None,
        Some(venue) => Some(state_home()?.join(venue).join(config.venue.uid.to_string())),
    };
    let state_dir = match (&args.state_dir, &account) {
        (Some(dir), _) => dir.clone(),
        (None, None) => run_dir.join("state"),
        (None, Some(account)) => account.join(&name),
    };
    // An account on paper is its run's own, and ends with the process: nothing is to be claimed,
    // and nothing to be guarded.
    let account = account.filter(|_| config.mode != Mode::Paper);
    let guardian = match &account {
        Some(_) => config.guardian.clone(),
        None => Guarding::Nobody,
    };
    let claims_dir = account.map(|account| account.join("claims"));
    let venue = venue_of(&config)?;
    let kill_key = config.kill_key_file.as_deref().map(secrets::read).transpose();
    let kill_key = kill_key.map_err(|error| (Exit::Usage, error.to_string()))?;
    Ok(Setup {
        envelope: config.envelope.clone(),
        hang_ms: config.hang_ms,
        guardian,
        kill_key,
        pointer: pointer(&config)?,
        mode: config.mode,
        profile: config.profile,
        instance: config.instance,
        variant: config.variant.clone(),
        instruments: config.instruments.clone(),
        params: config.params,
        threading: config.threading,
        idle: config.idle,
        cores: config.cores.clone(),
        venue,
        live: None,
        run_dir,
        state_dir,
        claims_dir,
        run_for: args.run_for,
        seed: config.venue.seed,
        config_hash: config.hash(),
        config_text: config::canonical(&config),
    })
}

/// Against whom, with its key. On paper none is looked for.
fn venue_of(config: &Config) -> Result<Venue, (Exit, String)> {
    if config.mode == Mode::Paper {
        let [rest, ws_public] = config.venue.public().map(str::to_owned);
        let (ca, terms) = (config.venue.ca.clone(), config.paper.terms);
        return Ok(Venue::Paper(PaperVenue { rest, ws_public, ca, terms }));
    }
    Ok(match &config.venue.urls {
        None => Venue::Embedded(Market {
            seed: config.venue.seed,
            clock_speed: config.venue.clock_speed,
        }),
        Some(urls) => {
            let key = secrets::load(config.venue.key_file.as_deref())
                .map_err(|error| (Exit::Usage, error.to_string()))?;
            Venue::Remote(Remote {
                rest: urls.rest.clone(),
                ws_public: urls.ws_public.clone(),
                ws_private: urls.ws_private.clone(),
                ca: config.venue.ca.clone(),
                key,
                uid: config.venue.uid,
                clock_speed: config.venue.clock_speed,
            })
        }
    })
}

/// Makes and locks the run's directory, and writes its configuration there.
fn open_run_dir(setup: &Setup) -> Result<RunDir, StateError> {
    let dir = RunDir::create(&setup.run_dir)?;
    let path = setup.run_dir.join("config.toml");
    disk::replace(&OsFiles, &path, setup.config_text.as_bytes())?;
    // Where a stop is latched, for whoever knows the run's directory only.
    let state_dir = std::path::absolute(&setup.state_dir).unwrap_or(setup.state_dir.clone());
    let text = format!("{}\n", state_dir.display());
    disk::replace(&OsFiles, &setup.run_dir.join(STATE_PATH), text.as_bytes())?;
    Ok(dir)
}

/// The state directory of the run in `run_dir`, where it has told it.
pub(crate) fn state_dir_of(run_dir: &Path) -> Option<PathBuf> {
    let text = std::fs::read_to_string(run_dir.join(STATE_PATH)).ok()?;
    text.lines().next().map(PathBuf::from)
}

/// The file of a run's directory that names its state directory.
const STATE_PATH: &str = "state.path";

/// Runs until the run ends, showing it, and says how it ended.
fn launch(setup: Setup, remembered: &Remembered, mut canary: Option<Canary>) -> Exit {
    let stop = match signals::stop_flag(i32::from(Exit::OpenOrders as u8)) {
        Ok(stop) => stop,
        Err(error) => {
            complain(&format!("signals: {error}"));
            return Exit::Failed;
        }
    };
    if let Some(text) = unattended(&setup) {
        print_in_time(text);
    }
    let mut running = match sim::start(setup) {
        Ok(running) => running,
        Err(error) => {
            complain(&error);
            return exit_of(&error);
        }
    };
    if let Err(error) = remembered.keep() {
        running.stop();
        complain(&format!("{error}; no command would find this run, so that it ends"));
    }
    let screen = Screen::open();
    let (mut taken, mut shown) = (0, (0, Instant::now()));
    while !running.is_over() {
        thread::sleep(LOOK_EVERY);
        // Relaxed: the flag carries nothing but itself.
        if stop.swap(false, Ordering::Relaxed) {
            running.stop();
        }
        if let Some(verified) = running.attend() {
            complain(&"a hot thread turns no more; everything has been canceled and is latched");
            // A thread that hangs cannot be joined; the end of this one ends the process.
            return if verified { Exit::Panic } else { Exit::OpenOrders };
        }
        let Some(snapshot) = running.snapshot() else { continue };
        let figures = newest(&snapshot);
        // Once for each second, shown or not.
        if std::mem::replace(&mut taken, figures) != figures && is_quoting(&snapshot) {
            lived(&mut canary, Canary::quoted);
        }
        // New figures are shown at once, and the uptime goes on when there are none.
        let due = figures != shown.0 || shown.1.elapsed() >= SHOW_EVERY;
        if due && screen.show(snapshot) {
            shown = (figures, Instant::now());
        }
    }
    lived(&mut canary, Canary::keep);
    let outcome = running.finish();
    screen.close();
    tell_end(outcome)
}

/// The console on a thread of its own: output that nobody takes, as after Ctrl-S, holds up no run.
struct Screen {
    show: SyncSender<Arc<Snapshot>>,
    thread: JoinHandle<()>,
}

impl Screen {
    fn open() -> Self {
        // Without a place to wait in, what is shown is always the newest.
        let (show, shown) = mpsc::sync_channel::<Arc<Snapshot>>(0);
        let thread = thread::spawn(move || {
            let mut console = Console::new();
            shown.iter().for_each(|snapshot| console.show(&snapshot));
        });
        Self { show, thread }
    }

    /// Shows a snapshot; false while the one before it is not taken.
    fn show(&self, snapshot: Arc<Snapshot>) -> bool {
        self.show.try_send(snapshot).is_ok()
    }

    /// Lets what is being shown be written, unless nobody takes it.
    fn close(self) {
        drop(self.show);
        let began = Instant::now();
        while !self.thread.is_finished() && began.elapsed() < TAKEN_MAX {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Prints; output that nobody takes in time is given up.
fn print_in_time(text: String) -> Exit {
    let (tell, told) = mpsc::channel();
    thread::spawn(move || tell.send(print(&text)));
    told.recv_timeout(TAKEN_MAX).unwrap_or(Exit::Done)
}

/// Keeps what a live run has lived.
fn lived(canary: &mut Option<Canary>, how: fn(&mut Canary) -> Result<(), Refused>) {
    if let Some(Err(error)) = canary.as_mut().map(how) {
        complain(&format!("{error}; this time counts for nothing at the next start"));
    }
}

/// Whether the guard lets anything be quoted. Figures come once a second.
fn is_quoting(snapshot: &Snapshot) -> bool {
    let mut rows = snapshot.instruments.iter().filter_map(|seen| seen.row.as_ref());
    rows.any(|row| row.value(Key::state) == GuardState::Running as i64)
}

/// What may rest at the venue when this host is lost, guardian and all; `None` with the embedded
/// venue and on paper, which are lost with it.
fn unattended(setup: &Setup) -> Option<String> {
    if matches!(setup.venue, Venue::Embedded(_) | Venue::Paper(_)) {
        return None;
    }
    let params = &setup.params;
    let count = params.max_active_executors() * setup.instruments.len() as u64;
    let by_size = i128::from(params.max_order_notional_quote().0) * i128::from(count);
    let most = i128::from(params.max_total_notional_quote().0).min(by_size);
    let usdt = most / i128::from(keel_core::units::E8);
    let guardian = match setup.guardian {
        Guarding::Child(_) => "a guardian",
        Guarding::Unit => "the guardian of a unit file",
        Guarding::Nobody => "no guardian",
    };
    Some(format!(
        "Runs with {guardian}. If this host is lost, up to {count} orders worth {usdt} USDT rest until the \
         venue's countdown or a person cancels them.\n"
    ))
}

/// When the newest row of a snapshot was taken; 0 before the first.
fn newest(snapshot: &Snapshot) -> i64 {
    let rows = snapshot.instruments.iter().filter_map(|seen| seen.row.as_ref());
    rows.map(|row| row.value(Key::ts)).max().unwrap_or(0)
}

/// Prints the summary and turns the outcome into an exit code.
fn tell_end(outcome: Outcome) -> Exit {
    let Some(records) = outcome.records else {
        complain(&"the run ended without its records");
        return Exit::Panic;
    };
    let open = outcome.verified.then_some(0);
    let printed = print_in_time(summary(&records.last, open));
    if let Err(error) = records.closed {
        complain(&error);
        return Exit::Failed;
    }
    match (outcome.calm, outcome.verified, outcome.stopped) {
        (false, ..) => Exit::Panic,
        (_, false, _) => Exit::OpenOrders,
        (.., true) => Exit::HardStop,
        (true, true, false) => printed,
    }
}

pub(crate) fn exit_of(error: &StartError) -> Exit {
    match error {
        StartError::State(_) => Exit::State,
        StartError::Venue(_) | StartError::Clock { .. } => Exit::Venue,
        StartError::Unpermitted => Exit::NotOpen,
        StartError::Url { .. } | StartError::Authority { .. } | StartError::Placement(_) => {
            Exit::Usage
        }
        StartError::Records(_)
        | StartError::Exchange(_)
        | StartError::Guardian(_)
        | StartError::System(_) => Exit::Failed,
    }
}

/// How long the text at start or end may take to be taken.
const TAKEN_MAX: Duration = Duration::from_secs(2);
/// How often signals and the run's end are looked for.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// The console is refreshed with each new row, once a second, and after this without one.
const SHOW_EVERY: Duration = Duration::from_millis(1_500);

/// `keel exchange`.
pub(crate) fn exchange(args: ExchangeArgs) -> Exit {
    if args.plaintext && !args.listen.ip().is_loopback() {
        complain(&"--plaintext serves keys and orders unencrypted, so it is for loopback only");
        return Exit::Usage;
    }
    let run_dir = args.run_dir.unwrap_or_else(|| {
        std::env::temp_dir().join(format!("keel-exchange-{}", std::process::id()))
    });
    if let Err(error) = std::fs::create_dir_all(&run_dir) {
        complain(&format!("create {}: {error}", run_dir.display()));
        return Exit::State;
    }
    let mut options = ExchangeOptions::default();
    if let Some(path) = &args.config {
        let file = match exchange_file(path) {
            Ok(file) => file,
            Err(error) => {
                complain(&format!("{}: {error}", path.display()));
                return Exit::Usage;
            }
        };
        options.seed = file.0.unwrap_or(options.seed);
        options.config = file.1;
    }
    let options = ExchangeOptions {
        listen: args.listen,
        plaintext: args.plaintext,
        run_dir: Some(run_dir),
        speed: args.speed,
        ..options
    };
    let stop = match signals::stop_flag(Exit::Failed as i32) {
        Ok(stop) => stop,
        Err(error) => {
            complain(&format!("signals: {error}"));
            return Exit::Failed;
        }
    };
    let handle = match exchange::start(options) {
        Ok(handle) => handle,
        Err(error) => {
            complain(&error);
            return Exit::Failed;
        }
    };
    let line = serde_json::to_string(handle.announcement()).expect("an announcement is JSON");
    let printed = print(&format!("{line}\n"));
    if printed != Exit::Done {
        return printed;
    }
    while !stop.load(Ordering::Relaxed) && !handle.is_finished() {
        thread::sleep(SIGNAL_POLL);
    }
    match handle.stop() {
        Ok(()) => Exit::Done,
        Err(error) => {
            complain(&format!("exchange: {error}"));
            Exit::Failed
        }
    }
}

/// Reads an `exchange.toml`: its seed and its exchange.
fn exchange_file(path: &Path) -> Result<(Option<u64>, ExchangeConfig), String> {
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    let file: ExchangeFile = toml::from_str(&text).map_err(|error| error.to_string())?;
    let config = file.config().map_err(|error| error.to_string())?;
    Ok((file.seed, config))
}

/// `$XDG_STATE_HOME/keel`, by default `~/.local/state/keel`.
fn state_home() -> Result<PathBuf, (Exit, String)> {
    let home =
        |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    home("XDG_STATE_HOME")
        .or_else(|| home("HOME").map(|home| home.join(".local/state")))
        .map(|dir| dir.join("keel"))
        .ok_or_else(|| {
            let what =
                "neither XDG_STATE_HOME nor HOME names a directory, where runs and claims are kept";
            (Exit::Usage, what.to_owned())
        })
}

/// A venue's address as the name of a directory.
fn venue_label(url: &str) -> String {
    let authority = url.split("://").nth(1).unwrap_or(url).split('/').next().unwrap_or_default();
    authority.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '_' }).collect()
}

/// `keel replay`.
pub(crate) fn replay(run_dir: &Path) -> Exit {
    let clock = Clock::start();
    let began = clock.now();
    // The run's parameters arrive as events, so the profile is only what stands before them.
    let replayed = replay::replay(run_dir, &mut EngineStepper::new(Profile::Touch));
    let took_ns = clock.now().since(began).max(1);
    match replayed {
        Ok(report) => print(&replay_text(&report, took_ns)),
        Err(error) => {
            complain(&error);
            match error {
                ReplayError::Different(_) => Exit::Different,
                ReplayError::Panicked { .. } => Exit::Panic,
                ReplayError::Journal(_)
                | ReplayError::Event { .. }
                | ReplayError::Impossible { .. }
                | ReplayError::Orphan(_)
                | ReplayError::NoEvents => Exit::State,
            }
        }
    }
}

/// What is said of a replay that found no difference.
fn replay_text(report: &ReplayReport, took_ns: u64) -> String {
    let end = match (report.torn, report.ended_in_order) {
        (Some(torn), _) => {
            format!("torn off at {}; the step before it is not compared", torn.position)
        }
        (None, true) => "in order".to_owned(),
        (None, false) => "cut off after a whole record".to_owned(),
    };
    let rate = u128::from(report.events) * 1_000_000_000 / u128::from(took_ns);
    let millis = took_ns / 1_000_000;
    format!(
        "identical: every command and digest is the same, byte for byte\n  \
         events    {} in {millis} ms, {rate} a second\n  \
         commands  {} compared\n  \
         digests   {} compared, {:016x} at the end\n  \
         end       {end}\n  \
         run       epoch {}, config hash {}\n",
        report.events,
        report.commands,
        report.digests,
        report.digest,
        report.epoch,
        hex(&report.config_hash),
    )
}

const SIGNAL_POLL: Duration = Duration::from_millis(50);
