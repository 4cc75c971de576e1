//! What an operator asks of a run: by its control socket, or, where no engine answers, without.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use keel_core::event::Mode;
use keel_core::guard::{Reason, Reasons};
use keel_core::instrument::Symbol;
use keel_core::units::UnixNanos;
use keel_desk::status;
use keel_io::clock::Clock;
use keel_io::control::Request;
use keel_io::control::client::Conversation;
use keel_io::kill::direct::{self, Wish};
use keel_io::kill::report::{self, Report};
use keel_io::os::{self, Process};
use keel_io::setup::Setup;
use keel_io::state::{self, Beside, Latch, StateError};
use serde_json::Value;

use crate::args::{RunArgs, RunRef};
use crate::exit::Exit;
use crate::{complain, configuration, print, start};

/// How long a run may take to answer what it answers at once.
const ANSWER_MAX: Duration = Duration::from_secs(4);
/// How long an engine that is asked to kill may take to verify zero before this process acts too.
const KILL_MAX: Duration = Duration::from_millis(1_500);
/// How long a kill is tried.
const DIRECT_MAX: Duration = Duration::from_secs(600);

/// How long a process that is ended may take until it holds nothing any more.
const END_MAX: Duration = Duration::from_secs(2);

/// Where a run and its state are.
pub(crate) struct Found {
    pub(crate) run_dir: PathBuf,
    pub(crate) state_dir: Option<PathBuf>,
}

/// Finds the run that is meant.
pub(crate) fn find(at: &RunRef) -> Result<Found, (Exit, String)> {
    if let Some(run_dir) = &at.run_dir {
        let state_dir = at.state_dir.clone().or_else(|| start::state_dir_of(run_dir));
        return Ok(Found { run_dir: run_dir.clone(), state_dir });
    }
    let (config, _) = configuration(at.config.as_deref(), None)
        .map_err(|issues| (Exit::Usage, issues.to_string()))?;
    let pointer = start::pointer(&config)?;
    let text = std::fs::read_to_string(&pointer).map_err(|error| {
        let what = if error.kind() == ErrorKind::NotFound {
            "no run with this configuration has been started; name its --run-dir".to_owned()
        } else {
            format!("{}: {error}", pointer.display())
        };
        (Exit::State, what)
    })?;
    let mut lines = text.lines().map(PathBuf::from);
    let run_dir = lines.next().unwrap_or_default();
    Ok(Found { run_dir, state_dir: at.state_dir.clone().or_else(|| lines.next()) })
}

/// Asks a run and gives its answer.
fn answer(run_dir: &Path, request: &Request) -> Result<Value, (Exit, String)> {
    let silent = |what: &str| {
        let dir = run_dir.display();
        (Exit::State, format!("the run in {dir} {what}; `keel kill` works all the same"))
    };
    let mut talk = match Conversation::begin(run_dir, request) {
        Ok(talk) => talk,
        Err(error) if is_nobody(error.kind()) => return Err(silent("is not at work")),
        Err(error) => return Err((Exit::Failed, format!("control socket: {error}"))),
    };
    match talk.answer(ANSWER_MAX) {
        Ok(Some(answer)) => Ok(answer),
        Ok(None) => Err(silent("does not answer")),
        Err(error) => Err((Exit::Failed, format!("control socket: {error}"))),
    }
}

/// True when nobody serves the socket.
fn is_nobody(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::NotFound | ErrorKind::ConnectionRefused)
}

pub(crate) fn fail((exit, what): (Exit, String)) -> Exit {
    complain(&what);
    exit
}

/// Prints an answer's refusal, or `text` of it.
fn show(answer: &Value, text: impl FnOnce(&Value) -> String) -> Exit {
    if answer["ok"] == true {
        return print(&text(answer));
    }
    complain(&answer["error"].as_str().unwrap_or("refused"));
    Exit::Usage
}

/// `keel pause`, `keel resume`.
pub(crate) fn ask(at: &RunRef, request: &Request) -> Exit {
    match find(at).and_then(|found| answer(&found.run_dir, request)) {
        Ok(answer) => show(&answer, |answer| format!("done: {}\n", word(&answer["done"]))),
        Err(failed) => fail(failed),
    }
}

/// `keel set`.
pub(crate) fn set(at: &RunRef, change: &str) -> Exit {
    let Some((key, value)) = change.split_once('=') else {
        complain(&"write KEY=VALUE, such as max_base_pct=0.10");
        return Exit::Usage;
    };
    let (key, value) = (key.trim().to_owned(), value.trim().to_owned());
    match find(at).and_then(|f| answer(&f.run_dir, &Request::Set { key, value })) {
        Ok(answer) => show(&answer, |_| format!("done: {change}\n")),
        Err(failed) => fail(failed),
    }
}

/// `keel status`.
pub(crate) fn status(at: &RunRef, json: bool) -> Exit {
    match find(at).and_then(|found| answer(&found.run_dir, &Request::Status {})) {
        Ok(answer) => show(&answer, |answer| {
            let body = &answer["status"];
            if json { pretty(body) } else { status::text(body) }
        }),
        Err(failed) => fail(failed),
    }
}

/// `keel rearm`: by the run's socket, or on the state directory when no run holds it.
pub(crate) fn rearm(at: &RunRef, incident: u64) -> Exit {
    let found = match find(at) {
        Ok(found) => found,
        Err(failed) => return fail(failed),
    };
    match answer(&found.run_dir, &Request::Rearm { incident }) {
        Ok(answer) => show(&answer, |_| format!("done: rearm of incident {incident}\n")),
        Err((_, why)) => {
            let Some(state_dir) = &found.state_dir else {
                return fail((
                    Exit::State,
                    format!("{why}. Name its --state-dir to rearm it at rest"),
                ));
            };
            let user = os::effective_user();
            let utc = Clock::start().utc();
            match state::rearm_at_rest(state_dir, incident, user, utc) {
                Ok(()) => print(&format!("done: rearm of incident {incident}, at rest\n")),
                Err(error @ StateError::OtherIncident { .. }) => {
                    fail((Exit::Usage, error.to_string()))
                }
                Err(error) => fail((Exit::State, error.to_string())),
            }
        }
    }
}

/// `keel kill` and `keel flatten`: the run does it, and where it does not, this process.
pub(crate) fn kill(at: &RunRef, request: &Request) -> Exit {
    if let Request::Kill { instrument: Some(name), .. } = request
        && Symbol::parse(name.as_bytes()).is_none()
    {
        return fail((Exit::Usage, format!("{name} is no instrument's name")));
    }
    let found = find(at);
    if let Ok(found) = &found {
        match by_socket(&found.run_dir, request) {
            Some(exit) => return exit,
            None => complain(&"no engine answers; acting without it"),
        }
    }
    let state_dir = found.as_ref().ok().and_then(|found| found.state_dir.clone());
    without_engine(at, request, state_dir)
}

/// Lets the run kill; `None` when it does not verify zero in time, or says anything else. Such a
/// run is ended first, so that it cannot send while others cancel.
fn by_socket(run_dir: &Path, request: &Request) -> Option<Exit> {
    let mut talk = Conversation::begin(run_dir, request).ok()?;
    let held = Process::hold(talk.peer().process).ok();
    match talk.answer(KILL_MAX) {
        Ok(Some(answer)) if answer["kill"].is_object() => {
            print(&pretty(&answer["kill"]));
            if answer["last"] == true {
                return Some(exit_of(&answer["kill"]));
            }
            let last = talk.answer(DIRECT_MAX).ok().flatten()?;
            print(&pretty(&last["kill"]));
            Some(exit_of(&last["kill"]))
        }
        _ if matches!(request, Request::Kill { dry_run: true, .. }) => None,
        _ => {
            complain(&"the engine has not verified zero; it is ended");
            if let Some(Err(error)) = held.map(|process| process.end()) {
                complain(&format!("the engine's process could not be ended: {error}"));
            }
            None
        }
    }
}

/// Cancels by a connection of this process, verifies, latches and writes the report.
fn without_engine(at: &RunRef, request: &Request, state_dir: Option<PathBuf>) -> Exit {
    let Request::Kill { dry_run, flatten, instrument } = request else { return Exit::Usage };
    let args = RunArgs {
        config: at.config.clone(),
        state_dir: at.state_dir.clone().or(state_dir),
        run_dir: at.run_dir.clone(),
        ..RunArgs::default()
    };
    let utc = Clock::start().utc();
    let setup = match lasting(&args, utc) {
        Ok(setup) => setup,
        Err(failed) => return fail(failed),
    };
    let user = os::effective_user();
    let wish = Wish {
        who: format!("operator {user}"),
        only: instrument.as_ref().and_then(|name| Symbol::parse(name.as_bytes())),
        dry_run: *dry_run,
        flatten: *flatten,
    };
    // No cancel waits for the disk, and whoever interrupts this process finds the latch there.
    let dir = setup.state_dir.clone();
    let held = if *dry_run { Ok(()) } else { end_holder(&dir) };
    let latching = (!*dry_run).then(|| std::thread::spawn(move || latch(&dir, utc)));
    let acted = direct::run(&setup, wish, DIRECT_MAX, |report| {
        print(&pretty(&report.body));
    });
    let latched = latching.map(|thread| thread.join().expect("it does not panic"));
    if let Err(why) = held {
        return fail((Exit::OpenOrders, format!("{why}: what it sends from now on may rest")));
    }
    match (acted, latched) {
        (Err(error), _) => fail((Exit::OpenOrders, error.to_string())),
        (Ok(report), None) => exit_of(&report.body),
        (Ok(report), Some(Ok(incident))) => match (conclude(&setup, &report, incident), instrument)
        {
            (Exit::Done, Some(name)) => {
                let what = format!("only {name} was canceled, and no engine tends the others");
                fail((Exit::OpenOrders, format!("{what}: `keel kill` cancels all")))
            }
            (exit, _) => exit,
        },
        (Ok(_), Some(Err(error))) => {
            fail((Exit::State, format!("the latch was not written: {error}")))
        }
    }
}

/// Ends the engine that holds the state directory though it does not answer, or does so elsewhere:
/// it would send while others cancel.
fn end_holder(state_dir: &Path) -> Result<(), String> {
    let dir = state_dir.display();
    let Some(id) = state::holder(state_dir).map_err(|error| error.to_string())? else {
        return Ok(());
    };
    complain(&format!("process {id} holds {dir}; it is ended"));
    let failed = |error| format!("process {id}, which holds {dir}, could not be ended ({error})");
    let process = Process::hold(id).map_err(failed)?;
    // It may have ended in between, and its number be another's.
    if state::holder(state_dir).map_err(|error| error.to_string())? == Some(id) {
        process.end().map_err(failed)?;
    }
    let began = Instant::now();
    while state::holder(state_dir).map_err(|error| error.to_string())?.is_some() {
        if began.elapsed() > END_MAX {
            return Err(format!("{dir} is still held"));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}

/// The setup of a run whose venue is there without it.
pub(crate) fn lasting(args: &RunArgs, utc: UnixNanos) -> Result<Setup, (Exit, String)> {
    let (config, _) = configuration(args.config.as_deref(), None)
        .map_err(|issues| (Exit::Usage, issues.to_string()))?;
    let gone = match config.venue.urls {
        _ if config.mode == Mode::Paper => Some("a paper venue"),
        None => Some("the embedded venue"),
        Some(_) => None,
    };
    match gone {
        Some(venue) => Err((Exit::Venue, format!("{venue} ends with its run; nothing is left"))),
        None => start::setup(config, args, utc),
    }
}

/// Latches, and gives the incident in force.
fn latch(state_dir: &Path, utc: UnixNanos) -> Result<u64, StateError> {
    let epoch = state::epoch(state_dir).unwrap_or(0);
    let incident = state::incident_beside(epoch, Beside::Person);
    let reasons = Reasons::NONE.with(Reason::Operator);
    let latched = state::latch_beside(state_dir, &Latch { incident, reasons, since: utc })?;
    Ok(latched.incident)
}

/// Writes the report.
fn conclude(setup: &Setup, report: &Report, incident: u64) -> Exit {
    let utc = Clock::start().utc();
    let name = String::from_utf8_lossy(setup.instance.as_bytes()).into_owned();
    match report::write(&setup.state_dir, report, &name, incident, utc) {
        Ok(path) => {
            print(&format!("incident {incident} is latched; report {}\n", path.display()));
            exit_of(&report.body)
        }
        Err(error) => fail((Exit::State, error.to_string())),
    }
}

/// What a report comes to.
fn exit_of(report: &Value) -> Exit {
    match report["status"].as_str() {
        Some("executed" | "dry_run") => Exit::Done,
        _ => Exit::OpenOrders,
    }
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).expect("JSON") + "\n"
}
