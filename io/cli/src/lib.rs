//! The command line: what a person types, checked whole, then handed to the world.
#![forbid(unsafe_code)]

pub mod args;
mod canary;
pub mod config;
mod doctor;
pub mod exit;
pub mod golive;
mod operate;
mod parity;
mod record;
mod report;
pub mod sealed;
mod soak;
mod start;

use std::fmt::Display;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use keel_core::param::Profile;

use args::{Cli, Command, ConfigCommand};
use config::{Config, Flags, Issues, Sources, keys};
use exit::Exit;
use keel_io::control::Request;

/// Runs the program.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version come this way too, and are no errors.
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage.into() } else { Exit::Done.into() };
        }
    };
    let exit = match cli.command {
        None => start::run(&cli.run),
        Some(Command::Run(run)) => start::run(&run),
        Some(Command::Exchange(exchange)) => start::exchange(exchange),
        Some(Command::Replay { run_dir }) => start::replay(&run_dir),
        Some(Command::Status { json, at }) => operate::status(&at, json),
        Some(Command::Pause { at }) => operate::ask(&at, &Request::Pause {}),
        Some(Command::Resume { at }) => operate::ask(&at, &Request::Resume {}),
        Some(Command::Set { change, at }) => operate::set(&at, &change),
        Some(Command::Kill { dry_run, flatten, instrument, at }) => {
            operate::kill(&at, &Request::Kill { dry_run, flatten, instrument })
        }
        Some(Command::Flatten { instrument, at }) => {
            operate::kill(&at, &Request::Kill { dry_run: false, flatten: true, instrument })
        }
        Some(Command::Rearm { incident, at }) => operate::rearm(&at, incident),
        Some(Command::Guardian { run, config_hash }) => {
            start::guardian(&run, config_hash.as_deref())
        }
        Some(Command::Config { command }) => configure(command),
        Some(Command::Report { command }) => report::run(command),
        Some(Command::Record(args)) => record::run(&args),
        Some(Command::Soak(args)) => soak::run(&args),
        Some(Command::Parity(args)) => parity::run(&args),
        Some(Command::Golive { command }) => golive::run(command),
        Some(Command::Doctor(args)) => doctor::run(&args.root, &args.cores, args.jitter),
    };
    exit.into()
}

/// Says what went wrong, to the person who must act.
fn complain(error: &dyn Display) {
    // Where standard error is closed, the exit code still tells.
    let _ = writeln!(std::io::stderr(), "keel: {error}");
}

/// Writes to standard output.
fn print(text: &str) -> Exit {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Exit::Done,
        // Whoever read it has read enough, as with `keel config example | head`.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Exit::Done,
        Err(error) => {
            complain(&format!("standard output: {error}"));
            Exit::Failed
        }
    }
}

fn configure(command: ConfigCommand) -> Exit {
    match command {
        ConfigCommand::Check { config, mode } => match configuration(config.as_deref(), mode) {
            Ok((config, file)) => print(&overview(&config, file.as_deref())),
            Err(issues) => {
                complain(&issues);
                Exit::Usage
            }
        },
        ConfigCommand::Example { profile } => print(&config::example(profile.into())),
        ConfigCommand::Schema => {
            let schema = serde_json::to_string_pretty(&config::schema()).expect("a JSON value");
            print(&format!("{schema}\n"))
        }
    }
}

/// The configuration in force, and the file that it was read from.
fn configuration(
    file: Option<&Path>,
    mode: Option<String>,
) -> Result<(Config, Option<PathBuf>), Issues> {
    let found = Path::new(DEFAULT_FILE);
    let path = file.map(Path::to_owned).or_else(|| found.exists().then(|| found.to_owned()));
    let file = match &path {
        Some(path) => Some((path.clone(), config::read_file(path)?)),
        None => None,
    };
    let environment = config::environment()?;
    let config = Config::new(&Sources { file, environment, flags: Flags { mode } })?;
    Ok((config, path))
}

/// What `config check` says of a good configuration.
fn overview(config: &Config, file: Option<&Path>) -> String {
    use std::fmt::Write as _;
    let mut out = String::new();
    let file = file.map_or_else(|| "no file".to_owned(), |path| path.display().to_string());
    let hash = keel_io::cold::daily::hex(&config.hash());
    let profile = match config.profile {
        Profile::Wide => "wide",
        Profile::Touch => "touch",
    };
    let _ = writeln!(out, "good: {file}, mode {}, profile {profile}", config.mode);
    let _ = writeln!(out, "config hash {hash}");
    if config.origins.is_empty() {
        let _ = writeln!(out, "every key has its default");
    }
    for (path, origin) in &config.origins {
        let _ = writeln!(out, "  {path} = {}  ({origin})", value_text(config, path));
    }
    out
}

/// The value in force at a path, which may end in a regime.
fn value_text(config: &Config, path: &str) -> String {
    let mut parts = path.splitn(3, '.');
    let (section, name) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let regime = parts.next();
    let Some(row) = keys::parameter(section, name) else {
        return config.plain_text(path);
    };
    let place = regime.and_then(|regime| {
        keel_core::regime::Regime::ALL.iter().position(|known| known.text() == regime)
    });
    keys::text_of(row.unit, config.params.values()[row.at + place.unwrap_or(0)])
}

const DEFAULT_FILE: &str = "keel.toml";
