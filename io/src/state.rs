//! State: what must outlive a run, in a directory that one engine owns at a time.
//!
//! | file | what | when durable |
//! |---|---|---|
//! | `lock` | held while an engine runs | – |
//! | `identity.json` | venue, account, instance | at the first start |
//! | `epoch.a`, `epoch.b` | the boot epoch, in turn | before the first order of a boot |
//! | `clean` | the last stop verified zero open orders | removed at start |
//! | `latch.json` | the guard stopped for good | after the cancels, before any exit |
//! | `daily_state.json` | the UTC day, positions, guard | whenever it changes |
//!
//! A file is replaced whole: temporary file, fsync, rename, fsync of the directory. Every file carries a
//! CRC-32; one that does not fit is never guessed at.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use keel_core::event::{Event, RestoreDay, RestorePosition};
use keel_core::guard::Reasons;
use keel_core::instrument::{InstrumentId, Symbol};
use keel_core::units::UnixNanos;
use serde_json::{Map, Value, json};

use crate::cold::daily::DailyState;

/// A state directory, locked until it is dropped.
#[derive(Debug)]
pub struct StateDir {
    path: PathBuf,
    identity: Identity,
    epoch: u32,
    _lock: File,
}

/// Whose state it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The venue: `embedded`, `bitget`, or a host and port.
    pub venue: String,
    /// The account's number there.
    pub uid: u64,
    /// The instance's name.
    pub instance: String,
}

/// A directory that belongs to one run, locked until it is dropped.
#[derive(Debug)]
pub struct RunDir {
    path: PathBuf,
    _lock: File,
}

impl RunDir {
    /// Makes and locks the directory of a new run.
    ///
    /// # Errors
    /// [`StateError::Locked`] while another engine writes there, [`StateError::Used`] when a run has
    /// written there before, [`StateError::Io`].
    pub fn create(path: &Path) -> Result<Self, StateError> {
        fs::create_dir_all(path).map_err(io_error("create", path))?;
        let lock = lock_file(&path.join("run.lock"))?
            .ok_or_else(|| StateError::Locked(path.to_owned()))?;
        if crate::mode::replay::journal_dir(path).exists() {
            return Err(StateError::Used(path.to_owned()));
        }
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// What the last run left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// The epoch of this boot; durable, never used before.
    pub epoch: u32,
    /// An earlier run ended without verifying that nothing rests at the venue.
    pub dirty: bool,
    /// The guard had stopped for good.
    pub latch: Option<Latch>,
    /// The day as it was.
    pub day: Option<DailyState>,
}

/// Why the guard stopped for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Latch {
    /// The incident that a `rearm` must name.
    pub incident: u64,
    /// The reasons.
    pub reasons: Reasons,
    /// When.
    pub since: UnixNanos,
}

/// Why a state directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Another engine runs on it.
    #[error(
        "{0} is in use by another engine; stop that one, or give this one a directory of its own"
    )]
    Locked(PathBuf),
    /// A run has written there.
    #[error("{0} holds an earlier run, which is not written over; name a new directory")]
    Used(PathBuf),
    /// Another engine of this account trades the instrument.
    #[error("{symbol} on this account is traded by another engine ({path} is locked)")]
    Claimed {
        /// Which instrument.
        symbol: Symbol,
        /// The lock.
        path: PathBuf,
    },
    /// A file is not what was written.
    #[error(
        "{path}: {what}. Nothing is guessed from a damaged file: restore it, or find out what \
             rests at the venue and begin with a new state directory"
    )]
    Corrupt {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// It belongs to another venue, account or instance.
    #[error("state directory {path} belongs to {found}, this run is {expected}")]
    OtherIdentity {
        /// Which directory.
        path: PathBuf,
        /// Whose it is.
        found: String,
        /// Who we are.
        expected: String,
    },
    /// Written by a later version of this program.
    #[error("{path} has schema {schema}; this build reads up to {SCHEMA}")]
    NewerSchema {
        /// Which file.
        path: PathBuf,
        /// Its schema.
        schema: u64,
    },
    /// It speaks of a day that has not come.
    #[error(
        "{path} is of {day}, which lies ahead of this host's clock: set the clock, or find out who \
             wrote it"
    )]
    Future {
        /// Which file.
        path: PathBuf,
        /// Its day.
        day: String,
    },
    /// A `rearm` names another incident than the one latched.
    #[error("the latched incident is {latched}, not {named}")]
    OtherIncident {
        /// The one that is latched; 0 for none.
        latched: u64,
        /// The one that was named.
        named: u64,
    },
    /// The system refused.
    #[error("{action} {path}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

impl StateDir {
    /// Locks `path`, reads what the last run left, makes this boot's epoch durable and removes the mark of
    /// a clean stop. A directory that is not there is made.
    ///
    /// # Errors
    /// As [`StateError`] says. Nothing has been changed then, but for the lock file, or with
    /// [`StateError::Io`].
    pub fn open(path: &Path, identity: &Identity) -> Result<(Self, Recovered), StateError> {
        fs::create_dir_all(path).map_err(io_error("create", path))?;
        let lock =
            lock_file(&path.join("lock"))?.ok_or_else(|| StateError::Locked(path.to_owned()))?;
        let known = check_identity(path, identity)?;
        let latch = read_latch(path)?;
        let day = read_daily(path)?;
        let last = last_epoch(path)?;
        let clean_of = read_clean(path)?;
        let dirty = known && clean_of != Some(last.epoch) || last.damaged;
        if !known {
            write_identity(path, identity)?;
        }
        let epoch = last.next(path)?;
        write_epoch(path, epoch, identity.uid)?;
        remove(&path.join("clean"))?;
        let state = Self { path: path.to_owned(), identity: identity.clone(), epoch, _lock: lock };
        Ok((state, Recovered { epoch, dirty, latch, day }))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whose it is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The epoch of this boot.
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// Replaces `daily_state.json`.
    ///
    /// # Errors
    /// [`StateError::Io`]; the old file stands then.
    pub fn write_daily(&self, day: &DailyState) -> Result<(), StateError> {
        let mut object = day.to_json();
        object.insert("boot_epoch".into(), json!(self.epoch));
        write_object(&self.path.join(DAILY), object)
    }

    /// Makes the latch durable. An earlier incident stays in force.
    ///
    /// # Errors
    /// As [`StateError`] says.
    pub fn latch(&self, latch: &Latch) -> Result<(), StateError> {
        if read_latch(&self.path)?.is_some() {
            return Ok(());
        }
        let reasons: Vec<_> = latch.reasons.iter().map(|reason| reason.text()).collect();
        let Value::Object(object) = json!({
            "incident_id": latch.incident.to_string(),
            "reasons": reasons.join("|"),
            "reason_bits": latch.reasons.0.to_string(),
            "since_ns": latch.since.0.to_string(),
        }) else {
            unreachable!("an object literal is an object")
        };
        write_object(&self.path.join(LATCH), object)
    }

    /// Removes the latch of `incident`.
    ///
    /// # Errors
    /// [`StateError::OtherIncident`] when that one is not latched.
    pub fn rearm(&self, incident: u64) -> Result<(), StateError> {
        let latched = read_latch(&self.path)?.map_or(0, |latch| latch.incident);
        if latched != incident || latched == 0 {
            return Err(StateError::OtherIncident { latched, named: incident });
        }
        remove(&self.path.join(LATCH))
    }

    /// Marks that this run has verified zero open orders at the venue. The last thing that a run does.
    ///
    /// # Errors
    /// [`StateError::Io`]; the next start is then a dirty one.
    pub fn mark_clean(self) -> Result<(), StateError> {
        replace(&self.path.join(CLEAN), format!("{}\n", self.epoch).as_bytes())
    }
}

impl Recovered {
    /// The events that give the engine its day and positions back, for instruments in the order of their
    /// ids. `now` is the host's UTC.
    ///
    /// # Errors
    /// [`StateError::Future`] for a day that has not come.
    pub fn events(
        &self,
        dir: &StateDir,
        symbols: &[Symbol],
        now: UnixNanos,
    ) -> Result<Vec<Event>, StateError> {
        let latch = self.latch;
        let mut events = Vec::new();
        let nothing = DailyState::EMPTY;
        let day = match (&self.day, latch) {
            (Some(day), _) => day,
            (None, Some(_)) => &nothing,
            (None, None) => return Ok(events),
        };
        if day.day > now.day() + 1 {
            return Err(StateError::Future { path: dir.path.join(DAILY), day: day.day_key() });
        }
        events.push(Event::RestoreDay(RestoreDay {
            day: day.day,
            equity_open: day.equity_open,
            high_water: day.high_water,
            traded: day.traded,
            realized: day.realized,
            fees: day.fees,
            funding: day.funding,
            fills: day.fills,
            cancel_episodes: day.cancel_episodes,
            latched: latch.is_some(),
            incident: latch.map_or(0, |latch| latch.incident),
            reasons: latch.map_or(0, |latch| latch.reasons.0),
        }));
        for (place, symbol) in symbols.iter().enumerate() {
            let Some(held) = day.positions.get(symbol.as_str()) else { continue };
            events.push(Event::RestorePosition(RestorePosition {
                instrument: InstrumentId(u16::try_from(place).expect("at most 1024 instruments")),
                lots: held.lots,
                entry_value: held.entry_value,
                last_trade_id: held.last_trade_id,
                last_trade_at: held.last_trade_at,
            }));
        }
        Ok(events)
    }
}

impl std::fmt::Display for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "instance {} of account {} on {}", self.instance, self.uid, self.venue)
    }
}

/// Claims instruments of one account for this process: a lock for each in `dir`, held until the files are
/// dropped. Two engines that trade one instrument of one account would fight over its orders.
///
/// # Errors
/// [`StateError::Claimed`], [`StateError::Io`].
pub fn claim(dir: &Path, symbols: &[Symbol]) -> Result<Vec<File>, StateError> {
    fs::create_dir_all(dir).map_err(io_error("create", dir))?;
    let mut locks = Vec::with_capacity(symbols.len());
    for &symbol in symbols {
        let path = dir.join(symbol.as_str());
        locks.push(lock_file(&path)?.ok_or(StateError::Claimed { symbol, path })?);
    }
    Ok(locks)
}

/// The locked file; `None` when another process, or another open of this one, holds it.
fn lock_file(path: &Path) -> Result<Option<File>, StateError> {
    let mut options = File::options();
    let file = options
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(io_error("open", path))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(source)) => Err(io_error("lock", path)(source)),
    }
}

/// True when the directory has this identity, false when it has none.
fn check_identity(dir: &Path, identity: &Identity) -> Result<bool, StateError> {
    let path = dir.join(IDENTITY);
    let Some(object) = read_object(&path)? else {
        let orphaned =
            [DAILY, LATCH, EPOCHS[0], EPOCHS[1]].iter().any(|name| dir.join(name).exists());
        return if orphaned {
            Err(corrupt(&path, "is missing, while other state is there"))
        } else {
            Ok(false)
        };
    };
    let text = |key: &str| object.get(key).and_then(Value::as_str).map(str::to_owned);
    let uid = text("uid").and_then(|uid| uid.parse().ok());
    let (Some(venue), Some(uid), Some(instance)) = (text("venue"), uid, text("instance")) else {
        return Err(corrupt(&path, "venue, uid or instance is missing"));
    };
    let found = Identity { venue, uid, instance };
    if found == *identity {
        return Ok(true);
    }
    Err(StateError::OtherIdentity {
        path: dir.to_owned(),
        found: found.to_string(),
        expected: identity.to_string(),
    })
}

fn write_identity(dir: &Path, identity: &Identity) -> Result<(), StateError> {
    let mut object = Map::new();
    object.insert("venue".into(), json!(identity.venue));
    object.insert("uid".into(), json!(identity.uid.to_string()));
    object.insert("instance".into(), json!(identity.instance));
    write_object(&dir.join(IDENTITY), object)
}

fn read_latch(dir: &Path) -> Result<Option<Latch>, StateError> {
    let path = dir.join(LATCH);
    let Some(object) = read_object(&path)? else { return Ok(None) };
    let number = |key: &str| object.get(key).and_then(Value::as_str);
    let latch = (|| {
        Some(Latch {
            incident: number("incident_id")?.parse().ok()?,
            reasons: Reasons(number("reason_bits")?.parse().ok()?),
            since: UnixNanos(number("since_ns")?.parse().ok()?),
        })
    })();
    latch.map(Some).ok_or_else(|| corrupt(&path, "incident, reasons or time is missing"))
}

fn read_daily(dir: &Path) -> Result<Option<DailyState>, StateError> {
    let path = dir.join(DAILY);
    let Some(object) = read_object(&path)? else { return Ok(None) };
    match DailyState::from_json(&object) {
        Ok(day) => Ok(Some(day)),
        Err(key) => Err(corrupt(&path, &format!("key {key} is missing or malformed"))),
    }
}

fn read_clean(dir: &Path) -> Result<Option<u32>, StateError> {
    let path = dir.join(CLEAN);
    match fs::read_to_string(&path) {
        Ok(text) => Ok(text.trim_end().parse().ok()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        // A mark that is no text is no mark.
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(None),
        Err(error) => Err(io_error("read", &path)(error)),
    }
}

/// What the two slots say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct LastEpoch {
    epoch: u32,
    /// A slot is damaged; it may have held the epoch after `epoch`.
    damaged: bool,
}

impl LastEpoch {
    fn next(self, dir: &Path) -> Result<u32, StateError> {
        self.epoch
            .checked_add(1 + u32::from(self.damaged))
            .ok_or_else(|| corrupt(&dir.join(EPOCHS[0]), "epochs are used up"))
    }
}

fn last_epoch(dir: &Path) -> Result<LastEpoch, StateError> {
    let mut best = None;
    let mut damaged = None;
    for name in EPOCHS {
        let path = dir.join(name);
        match fs::read(&path) {
            Ok(bytes) => match epoch_of(&bytes) {
                Some(epoch) => best = best.max(Some(epoch)),
                None => damaged = Some(path),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(io_error("read", &path)(error)),
        }
    }
    match (best, damaged) {
        (None, Some(path)) => Err(corrupt(&path, "no readable boot epoch is left")),
        (best, damaged) => Ok(LastEpoch { epoch: best.unwrap_or(0), damaged: damaged.is_some() }),
    }
}

fn write_epoch(dir: &Path, epoch: u32, uid: u64) -> Result<(), StateError> {
    let mut bytes = EPOCH_MAGIC.to_vec();
    bytes.extend_from_slice(&epoch.to_le_bytes());
    bytes.extend_from_slice(&uid.to_le_bytes());
    bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
    replace(&dir.join(EPOCHS[(epoch % 2) as usize]), &bytes)
}

fn epoch_of(bytes: &[u8]) -> Option<u32> {
    let (content, crc) = bytes.split_last_chunk::<4>()?;
    let (magic, rest) = content.split_first_chunk::<8>()?;
    let good =
        magic == EPOCH_MAGIC && rest.len() == 12 && crc32fast::hash(content).to_le_bytes() == *crc;
    good.then(|| u32::from_le_bytes([rest[0], rest[1], rest[2], rest[3]]))
}

/// Reads a JSON object with a schema and a CRC of its content; `None` when there is no file.
fn read_object(path: &Path) -> Result<Option<Map<String, Value>>, StateError> {
    let length = match fs::symlink_metadata(path) {
        Ok(metadata) if !metadata.is_file() => return Err(corrupt(path, "is no regular file")),
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io_error("read", path)(error)),
    };
    if length > OBJECT_BYTES_MAX {
        return Err(corrupt(path, "is larger than any state"));
    }
    let bytes = fs::read(path).map_err(io_error("read", path))?;
    let mut object: Map<String, Value> =
        serde_json::from_slice(&bytes).map_err(|error| corrupt(path, &error.to_string()))?;
    let crc = object.remove("crc32");
    let schema = object.get("schema").and_then(Value::as_u64);
    if let Some(schema) = schema
        && schema > SCHEMA
    {
        return Err(StateError::NewerSchema { path: path.to_owned(), schema });
    }
    if schema != Some(SCHEMA) {
        return Err(corrupt(path, "has no schema"));
    }
    if crc != Some(json!(crc_text(&object))) {
        return Err(corrupt(path, "its CRC does not match its content"));
    }
    object.remove("schema");
    Ok(Some(object))
}

fn write_object(path: &Path, mut object: Map<String, Value>) -> Result<(), StateError> {
    object.insert("schema".into(), json!(SCHEMA));
    let crc = crc_text(&object);
    object.insert("crc32".into(), json!(crc));
    let mut text = serde_json::to_string_pretty(&object).expect("JSON of strings and numbers");
    text.push('\n');
    replace(path, text.as_bytes())
}

/// The CRC of an object's compact text; keys are sorted, so that it depends on the content only.
fn crc_text(object: &Map<String, Value>) -> String {
    let text = serde_json::to_string(object).expect("JSON of strings and numbers");
    format!("{:08x}", crc32fast::hash(text.as_bytes()))
}

/// Puts `bytes` in the place of the file at `path`, durably, or leaves the old file.
///
/// # Errors
/// [`StateError::Io`].
pub fn replace(path: &Path, bytes: &[u8]) -> Result<(), StateError> {
    let temporary = path.with_extension("tmp");
    let mut file = File::create(&temporary).map_err(io_error("create", &temporary))?;
    file.write_all(bytes).map_err(io_error("write", &temporary))?;
    file.sync_all().map_err(io_error("sync", &temporary))?;
    fs::rename(&temporary, path).map_err(io_error("rename", &temporary))?;
    sync_parent(path)
}

fn remove(path: &Path) -> Result<(), StateError> {
    match fs::remove_file(path) {
        Ok(()) => sync_parent(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(io_error("remove", path)(error)),
    }
}

fn sync_parent(path: &Path) -> Result<(), StateError> {
    let dir = path.parent().expect("a file stands in a directory");
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(io_error("sync", dir))
}

fn corrupt(path: &Path, what: &str) -> StateError {
    StateError::Corrupt { path: path.to_owned(), what: what.to_owned() }
}

fn io_error(action: &'static str, path: &Path) -> impl Fn(io::Error) -> StateError {
    move |source| StateError::Io { action, path: path.to_owned(), source }
}

/// The schema that this build writes.
pub const SCHEMA: u64 = 1;

const IDENTITY: &str = "identity.json";
const LATCH: &str = "latch.json";
const DAILY: &str = "daily_state.json";
const CLEAN: &str = "clean";
const EPOCHS: [&str; 2] = ["epoch.a", "epoch.b"];
const EPOCH_MAGIC: &[u8; 8] = b"KEELEPOC";
const OBJECT_BYTES_MAX: u64 = 4 << 20;
