//! `keel report`: what a run has recorded, judged.

mod models;

use std::fmt::Display;
use std::path::{Path, PathBuf};

use keel_core::command::CommandView;
use keel_core::event::Event;
use keel_core::instrument::Symbol;
use keel_desk::report::edge::{self, Gathering, Odd, Report, Shelf};
use keel_desk::report::statement::{self, Own, Statement};
use keel_io::bills;
use keel_io::clock::Clock;
use keel_io::disk;
use keel_io::journal::{Position, Reader, Record, TapKind};
use keel_io::mode::replay::journal_dir;

use crate::args::{EdgeArgs, ReportCommand, RunArgs, StatementArgs};
use crate::exit::Exit;
use crate::operate::{fail, find, lasting};
use crate::print;

/// Why there is no report, and what the program ends with.
type Failed = (Exit, String);

/// `keel report`.
pub(crate) fn run(command: ReportCommand) -> Exit {
    match command {
        ReportCommand::Edge(args) => edge(&args).unwrap_or_else(fail),
        ReportCommand::Statement(args) => statement(&args).unwrap_or_else(fail),
        ReportCommand::Models(args) => models::models(&args).unwrap_or_else(fail),
    }
}

/// `keel report edge`.
fn edge(args: &EdgeArgs) -> Result<Exit, Failed> {
    let run_dir = find(&args.at)?.run_dir;
    let (report, end) = edge_of(&run_dir, args.instrument.as_deref())?;
    let json = run_dir.join("analysis").join("edge_report.json");
    let json = args.json.as_ref().unwrap_or(&json);
    let html = args.html.clone().unwrap_or_else(|| json.with_extension("html"));
    write(json, &format!("{:#}\n", edge::json(&report)))?;
    write(&html, &edge::html(&report))?;
    let lines = edge::lines(&report);
    Ok(print(&format!("{lines}{end}\n{}\n{}\n", json.display(), html.display())))
}

/// The report of a run's journal, and how the journal ends.
fn edge_of(run_dir: &Path, only: Option<&str>) -> Result<(Report, String), Failed> {
    let mut walk = Walk::open(run_dir)?;
    let Some((_, Taken::Event(Event::Boot(boot)))) = walk.next()? else {
        return Err(state(&format!("{}: it does not begin with a boot", walk.dir.display())));
    };
    let mut shelf = Shelf::of(&boot).map_err(|what| state(&what.0))?;
    let mut gathering = Gathering::new(&boot, &mut shelf);
    while let Some((position, taken)) = walk.next()? {
        let done = match &taken {
            Taken::Event(event) => gathering.event(event),
            Taken::Command(command) => gathering.command(command),
        };
        done.map_err(|what| odd(position, what))?;
    }
    let only = only.map(|name| named(name, &gathering.symbols())).transpose()?;
    let report = gathering.report(only);
    if report.fills.is_empty() {
        let dir = walk.dir.display();
        return Err((Exit::State, format!("{dir} tells of no own fill: nothing to report")));
    }
    Ok((report, walk.end()))
}

/// `keel report statement`.
fn statement(args: &StatementArgs) -> Result<Exit, Failed> {
    let day = statement::day_of(&args.day)
        .ok_or_else(|| (Exit::Usage, format!("no day {:?}: write 2026-11-27", args.day)))?;
    let read = match &args.file {
        Some(file) => read_file(file)?,
        None => ask_venue(args, day)?,
    };
    let mut own = Own::new(day);
    for run_dir in &args.run_dir {
        let mut walk = Walk::open(run_dir)?;
        own.begin_run();
        while let Some((position, taken)) = walk.next()? {
            match &taken {
                Taken::Event(event) => own.event(event),
                Taken::Command(command) => {
                    own.command(command).map_err(|what| odd(position, what))?;
                }
            }
        }
    }
    let compared = statement::compare(&read, &own).map_err(|what| state(&what))?;
    match print(&compared.lines()) {
        Exit::Done if !compared.is_equal() => Ok(Exit::Different),
        exit => Ok(exit),
    }
}

fn read_file(file: &Path) -> Result<Statement, Failed> {
    let unread = |what: &dyn Display| (Exit::Usage, format!("{}: {what}", file.display()));
    let text = std::fs::read_to_string(file).map_err(|error| unread(&error))?;
    let is_table = file.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("csv"));
    let read = if is_table { statement::csv(&text) } else { statement::json(&text) };
    read.map_err(|what| unread(&what))
}

/// The day's records by the key of the configuration.
fn ask_venue(args: &StatementArgs, day: i64) -> Result<Statement, Failed> {
    let at = RunArgs { config: args.config.clone(), ..RunArgs::default() };
    let setup = lasting(&at, Clock::start().utc())?;
    let refused = |error: &dyn Display| (Exit::Venue, error.to_string());
    let text = bills::fetch(&setup, day).map_err(|error| refused(&error))?;
    if let Some(file) = &args.keep {
        write(file, &text)?;
    }
    statement::json(&text).map_err(|what| refused(&format!("the venue's records: {what}")))
}

/// A run's journal, step by step.
struct Walk {
    dir: PathBuf,
    reader: Reader,
}

/// What a step tells.
enum Taken {
    Event(Event),
    Command(CommandView),
}

impl Walk {
    fn open(run_dir: &Path) -> Result<Self, Failed> {
        let dir = journal_dir(run_dir);
        let reader = Reader::open(&dir).map_err(|error| state(&error))?;
        Ok(Self { dir, reader })
    }

    /// The next event or command, and where it stands.
    fn next(&mut self) -> Result<Option<(Position, Taken)>, Failed> {
        for record in self.reader.by_ref() {
            let Record { position, tap } = record.map_err(|error| state(&error))?;
            let strange = |_| odd(position, Odd("a record that is none of this build's"));
            let taken = match tap.kind {
                TapKind::Event => Taken::Event(Event::decode(&tap.slot).map_err(strange)?),
                TapKind::Command => {
                    Taken::Command(CommandView::decode(&tap.slot).map_err(strange)?)
                }
                TapKind::Stamps | TapKind::Digest => continue,
            };
            return Ok(Some((position, taken)));
        }
        Ok(None)
    }

    /// How it ends, once it has.
    fn end(&self) -> String {
        match (self.reader.torn(), self.reader.ended_in_order()) {
            (Some(torn), _) => format!("the journal is torn off at {}", torn.position),
            (None, true) => "the run ended in order".to_owned(),
            (None, false) => "the run goes on, or was cut off".to_owned(),
        }
    }
}

/// The instrument that is asked for.
fn named(name: &str, known: &[Symbol]) -> Result<Symbol, Failed> {
    known.iter().copied().find(|symbol| symbol.as_str() == name).ok_or_else(|| {
        let known: Vec<&str> = known.iter().map(Symbol::as_str).collect();
        (Exit::Usage, format!("no instrument {name:?} in this run; it has {}", known.join(", ")))
    })
}

/// Writes a file whole, with its directory.
fn write(path: &Path, text: &str) -> Result<(), Failed> {
    let fs = disk::os();
    let dir = path.parent().unwrap_or(Path::new(""));
    disk::make_dirs(&*fs, dir)
        .and_then(|()| disk::replace(&*fs, path, text.as_bytes()))
        .map_err(|error| (Exit::Failed, error.to_string()))
}

fn state(error: &dyn Display) -> Failed {
    (Exit::State, error.to_string())
}

fn odd(position: Position, what: Odd) -> Failed {
    (Exit::State, format!("journal: {position}: {}", what.0))
}
