//! The configuration: defaults, file, environment and flags, one over the other, checked whole
//! before anything starts.
//!
//! The keys of `[strategy]`, `[risk]` and `[order]` are those of [`keel_core::param::TABLE`]; the
//! rest stand in [`keys`]. Numbers are read from their text, so that 0.03 is exactly 3/100.

mod check;
mod error;
pub mod keys;
mod manual;
mod read;

pub use error::{Issue, Issues};
pub use manual::{canonical, example, schema};

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use keel_core::event::Mode;
use keel_core::instrument::Symbol;
use keel_core::param::{Params, Profile};
use keel_core::units::Rate;
use keel_io::affinity::{Idle, Threading};
use keel_io::guardian::Guarding;
use keel_io::mode::access::{DEMO, LIVE};
use keel_io::setup::{Envelope, Terms};
use keel_net::bitget::client::Instance;

use keys::Value;
use read::Reading;

/// A configuration in force.
#[derive(Clone, Debug)]
pub struct Config {
    /// Every value of the parameter table.
    pub params: Params,
    /// Which defaults it started from.
    pub profile: Profile,
    /// `[instance]`: which engine this is.
    pub instance: Instance,
    /// `bot_variant` of the files.
    pub variant: String,
    /// `[run]`: how it trades.
    pub mode: Mode,
    /// What it trades.
    pub instruments: Vec<Symbol>,
    /// How hot agents are laid on threads.
    pub threading: Threading,
    /// What they do without work.
    pub idle: Idle,
    /// Their cores, or none.
    pub cores: Vec<usize>,
    /// `[venue]`: against whom.
    pub venue: VenueConfig,
    /// `[paper]`: the account and the venue that paper mode plays.
    pub paper: PaperConfig,
    /// `[live]`: what trading for real rests on.
    pub live: LiveConfig,
    /// `[envelope]`: what may be set while an engine runs.
    pub envelope: Vec<Envelope>,
    /// Who guards a run at a venue outside of it; the command line is not known here.
    pub guardian: Guarding,
    /// The key file of kill and guardian; `None` for the venue's key.
    pub kill_key_file: Option<PathBuf>,
    /// A thread that has not turned for so many milliseconds is gone.
    pub hang_ms: u64,
    /// Where each key's value comes from; keys that are not here have their default.
    pub origins: BTreeMap<String, Origin>,
    /// The plain keys as read, for the canonical text.
    values: BTreeMap<&'static str, Value>,
}

/// `[venue]`, before secrets are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VenueConfig {
    /// The venue's addresses; `None` for the embedded one.
    pub urls: Option<Urls>,
    /// PEM file of the authority to trust instead of the public ones.
    pub ca: Option<PathBuf>,
    /// The key file.
    pub key_file: Option<PathBuf>,
    /// The account that must answer; 0 with the embedded venue.
    pub uid: u64,
    /// How many times faster than real the venue's time runs.
    pub clock_speed: u32,
    /// Seed of the embedded market.
    pub seed: u64,
}

/// `[paper]`, and what else only paper mode may be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PaperConfig {
    /// Balance, fees, latencies and the rule of the queue.
    pub terms: Terms,
    /// `run.fee_mode` is `manual`.
    pub manual_fees: bool,
}

/// `[live]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveConfig {
    /// Part A.
    pub drills: Option<PathBuf>,
    /// Part B.
    pub account: Option<PathBuf>,
    /// The public key of whoever may sign; empty for nobody.
    pub reviewer: String,
    /// Hours of quoting that begin small.
    pub canary_hours: u64,
    /// What is left of the limits of value in them.
    pub canary_share: Rate,
}

/// Addresses of a venue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Urls {
    /// REST.
    pub rest: String,
    /// Public stream.
    pub ws_public: String,
    /// Private stream.
    pub ws_private: String,
}

impl Urls {
    /// The venue's demo trading.
    pub fn demo() -> Self {
        Self::of(DEMO)
    }

    /// The venue.
    pub fn live() -> Self {
        Self::of(LIVE)
    }

    fn of(addresses: [&str; 3]) -> Self {
        let [rest, ws_public, ws_private] = addresses.map(str::to_owned);
        Self { rest, ws_public, ws_private }
    }
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The file, at this line.
    File(usize),
    /// This variable of the environment.
    Environment(String),
    /// This flag.
    Flag(&'static str),
}

/// What the command line lays over the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// `--mode`.
    pub mode: Option<String>,
}

/// What a configuration is made of.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The file and its text.
    pub file: Option<(PathBuf, String)>,
    /// `KEEL_…` variables and their values.
    pub environment: Vec<(String, String)>,
    /// Flags.
    pub flags: Flags,
}

impl Config {
    /// Lays the sources one over the other and checks the whole.
    ///
    /// # Errors
    /// Every issue that was found, in the order of the file.
    pub fn new(sources: &Sources) -> Result<Self, Issues> {
        let mut reading = Reading::new(sources);
        reading.all();
        let config = reading.config();
        let mut issues = reading.issues();
        if let Some(config) = &config
            && issues.is_empty()
        {
            check::all(config, sources, &mut issues);
        }
        match config {
            Some(config) if issues.is_empty() => Ok(config),
            _ => Err(issues),
        }
    }

    /// The value of a plain key as it is written; empty when there is no such key.
    pub fn plain_text(&self, path: &str) -> String {
        self.values.get(path).map_or_else(String::new, manual::value_text)
    }

    /// The hash of the effective configuration: BLAKE3 of its canonical text.
    pub fn hash(&self) -> [u8; 32] {
        *blake3::hash(canonical(self).as_bytes()).as_bytes()
    }
}

impl VenueConfig {
    /// The REST interface and the public stream of paper: those that are named, or Bitget's.
    pub fn public(&self) -> [&str; 2] {
        let named = self.urls.as_ref().map(|urls| [&*urls.rest, &*urls.ws_public]);
        named.unwrap_or([PUBLIC_REST, PUBLIC_STREAM])
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(line) => write!(f, "file, line {line}"),
            Self::Environment(name) => write!(f, "environment, {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
        }
    }
}

/// Reads a configuration file.
///
/// # Errors
/// One issue that says why it cannot be one.
pub fn read_file(path: &Path) -> Result<String, Issues> {
    let issue = |what: String| Issues::from(Issue::of_file(path, what));
    let io = |error: std::io::Error| issue(error.to_string());
    let metadata = fs::metadata(path).map_err(io)?;
    if !metadata.is_file() {
        let what = if metadata.is_dir() { "a directory" } else { "no regular file" };
        return Err(issue(format!("is {what}; name a file such as keel.toml")));
    }
    // Not blocking, should the path have become a pipe since.
    let mut options = File::options();
    let file = options.read(true).custom_flags(O_NONBLOCK).open(path).map_err(io)?;
    let metadata = file.metadata().map_err(io)?;
    if metadata.mode() & 0o002 != 0 {
        return Err(issue(
            "anybody may write to it (chmod o-w): limits of money stand in it".into(),
        ));
    }
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(issue("is longer than 1 MiB; that is no configuration".into()));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        issue(format!("is not UTF-8 text (byte {at})"))
    })
}

/// The `KEEL_…` variables of this process that are configuration; those of the API key are not.
///
/// # Errors
/// One issue for a value that is not UTF-8.
pub fn environment() -> Result<Vec<(String, String)>, Issues> {
    let mut found = Vec::new();
    for (name, value) in std::env::vars_os() {
        let Some(name) = name.to_str().map(str::to_owned) else { continue };
        if !name.starts_with(keys::PREFIX) || name.starts_with(keys::API_PREFIX) {
            continue;
        }
        match value.into_string() {
            Ok(value) => found.push((name, value)),
            Err(_) => return Err(Issue::of_variable(&name, "is not UTF-8 text".into()).into()),
        }
    }
    found.sort();
    Ok(found)
}

/// Where Bitget answers without a key.
const PUBLIC_REST: &str = "https://api.bitget.com";
/// Where Bitget streams its market.
const PUBLIC_STREAM: &str = "wss://ws.bitget.com/v3/ws/public";
const FILE_BYTES_MAX: u64 = 1 << 20;
/// `O_NONBLOCK` of Linux.
const O_NONBLOCK: i32 = 0o4000;

#[cfg(test)]
mod tests;
