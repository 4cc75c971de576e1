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
//! A file is replaced whole: temporary file, fsync, rename, fsync of the directory. Every file
//! carries a CRC-32; one that does not fit is never guessed at.

use std::io;
use std::path::{Path, PathBuf};

use keel_core::event::{Event, RestoreDay, RestorePosition};
use keel_core::guard::Reasons;
use keel_core::instrument::{InstrumentId, Symbol};
use keel_core::units::UnixNanos;
use serde_json::{Map, Value, json};

use crate::cold::daily::DailyState;
use crate::disk::{self, Entry, FileSystem, Fs, Lock, OsFiles, Refused, refused};

/// A state directory, locked until it is dropped.
#[derive(Debug)]
pub struct StateDir {
    fs: Fs,
    path: PathBuf,
    identity: Identity,
    epoch: u32,
    _lock: Lock,
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
    _lock: Lock,
}

impl RunDir {
    /// Makes and locks the directory of a new run.
    ///
    /// # Errors
    /// [`StateError::Locked`] while another engine writes there, [`StateError::Used`] when a run
    /// has written there before, [`StateError::Io`].
    pub fn create(path: &Path) -> Result<Self, StateError> {
        disk::make_dirs(&OsFiles, path)?;
        let lock = lock_file(&OsFiles, &path.join("run.lock"))?
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
    #[error(transparent)]
    Io(#[from] Refused),
}

impl StateDir {
    /// Locks `path`, reads what the last run left, makes this boot's epoch durable and removes the
    /// mark of a clean stop. A directory that is not there is made.
    ///
    /// # Errors
    /// As [`StateError`] says. Nothing has been changed then, but for the lock file, or with
    /// [`StateError::Io`].
    pub fn open(path: &Path, identity: &Identity) -> Result<(Self, Recovered), StateError> {
        Self::open_on(disk::os(), path, identity)
    }

    /// The same on another disk than the system's.
    ///
    /// # Errors
    /// As [`StateDir::open`].
    pub fn open_on(
        fs: Fs,
        path: &Path,
        identity: &Identity,
    ) -> Result<(Self, Recovered), StateError> {
        disk::make_dirs(&*fs, path)?;
        let lock = lock_file(&*fs, &path.join("lock"))?
            .ok_or_else(|| StateError::Locked(path.to_owned()))?;
        let known = check_identity(&*fs, path, identity)?;
        let latch = read_latch(&*fs, path)?;
        let day = read_daily(&*fs, path)?;
        let last = last_epoch(&*fs, path)?;
        let clean_of = read_clean(&*fs, path)?;
        let dirty = known && clean_of != Some(last.epoch) || last.damaged;
        if !known {
            write_identity(&*fs, path, identity)?;
        }
        let epoch = last.next(path)?;
        write_epoch(&*fs, path, epoch, identity.uid)?;
        disk::remove(&*fs, &path.join(CLEAN))?;
        let (path, identity) = (path.to_owned(), identity.clone());
        let state = Self { fs, path, identity, epoch, _lock: lock };
        Ok((state, Recovered { epoch, dirty, latch, day }))
    }

    /// The disk that it is on.
    pub fn fs(&self) -> &Fs {
        &self.fs
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
        write_object(&*self.fs, &self.path.join(DAILY), object)
    }

    /// Makes the latch durable. An earlier incident stays in force.
    ///
    /// # Errors
    /// As [`StateError`] says.
    pub fn latch(&self, latch: &Latch) -> Result<(), StateError> {
        if read_latch(&*self.fs, &self.path)?.is_some() {
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
        write_object(&*self.fs, &self.path.join(LATCH), object)
    }

    /// Removes the latch of `incident`.
    ///
    /// # Errors
    /// [`StateError::OtherIncident`] when that one is not latched.
    pub fn rearm(&self, incident: u64) -> Result<(), StateError> {
        let latched = read_latch(&*self.fs, &self.path)?.map_or(0, |latch| latch.incident);
        if latched != incident || latched == 0 {
            return Err(StateError::OtherIncident { latched, named: incident });
        }
        Ok(disk::remove(&*self.fs, &self.path.join(LATCH))?)
    }

    /// Marks that this run has verified zero open orders at the venue. The last thing that a run
    /// does.
    ///
    /// # Errors
    /// [`StateError::Io`]; the next start is then a dirty one.
    pub fn mark_clean(self) -> Result<(), StateError> {
        let text = format!("{}\n", self.epoch);
        Ok(disk::replace(&*self.fs, &self.path.join(CLEAN), text.as_bytes())?)
    }
}

impl Recovered {
    /// The events that give the engine its day and positions back, for instruments in the order of
    /// their ids. `now` is the host's UTC.
    ///
    /// # Errors
    /// [`StateError::Future`] for a day that has not come.
    pub fn events(
        &self,
        dir: &StateDir,
        symbols: &[Symbol],
        now: UnixNanos,
    ) -> Result<Vec<Event>, StateError> {
        if let Some(day) = &self.day
            && day.day > now.day() + 1
        {
            return Err(StateError::Future { path: dir.path.join(DAILY), day: day.day_key() });
        }
        Ok(Self::events_of(self.day.as_ref(), self.latch, symbols))
    }

    /// The same from what the files hold.
    pub(crate) fn events_of(
        day: Option<&DailyState>,
        latch: Option<Latch>,
        symbols: &[Symbol],
    ) -> Vec<Event> {
        let mut events = Vec::new();
        let nothing = DailyState::EMPTY;
        let day = match (day, latch) {
            (Some(day), _) => day,
            (None, Some(_)) => &nothing,
            (None, None) => return events,
        };
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
        events
    }
}

impl std::fmt::Display for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "instance {} of account {} on {}", self.instance, self.uid, self.venue)
    }
}

/// Claims instruments of one account for this process: a lock for each in `dir`, held until the
/// locks are dropped. Two engines that trade one instrument of one account would fight over its
/// orders.
///
/// # Errors
/// [`StateError::Claimed`], [`StateError::Io`].
pub fn claim(dir: &Path, symbols: &[Symbol]) -> Result<Vec<Lock>, StateError> {
    disk::make_dirs(&OsFiles, dir)?;
    let mut locks = Vec::with_capacity(symbols.len());
    for &symbol in symbols {
        let path = dir.join(symbol.as_str());
        locks.push(lock_file(&OsFiles, &path)?.ok_or(StateError::Claimed { symbol, path })?);
    }
    Ok(locks)
}

/// The lock; `None` when another process, or another open of this one, holds it.
fn lock_file(fs: &dyn FileSystem, path: &Path) -> Result<Option<Lock>, StateError> {
    Ok(refused("lock", path, fs.lock(path))?)
}

/// True when the directory has this identity, false when it has none.
fn check_identity(
    fs: &dyn FileSystem,
    dir: &Path,
    identity: &Identity,
) -> Result<bool, StateError> {
    let path = dir.join(IDENTITY);
    let Some(object) = read_object(fs, &path)? else {
        let is_there = |name: &&str| !matches!(fs.entry(&dir.join(name)), Ok(Entry::Nothing));
        let orphaned = [DAILY, LATCH, EPOCHS[0], EPOCHS[1]].iter().any(is_there);
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

fn write_identity(fs: &dyn FileSystem, dir: &Path, identity: &Identity) -> Result<(), StateError> {
    let mut object = Map::new();
    object.insert("venue".into(), json!(identity.venue));
    object.insert("uid".into(), json!(identity.uid.to_string()));
    object.insert("instance".into(), json!(identity.instance));
    write_object(fs, &dir.join(IDENTITY), object)
}

fn read_latch(fs: &dyn FileSystem, dir: &Path) -> Result<Option<Latch>, StateError> {
    let path = dir.join(LATCH);
    let Some(object) = read_object(fs, &path)? else { return Ok(None) };
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

fn read_daily(fs: &dyn FileSystem, dir: &Path) -> Result<Option<DailyState>, StateError> {
    let path = dir.join(DAILY);
    let Some(object) = read_object(fs, &path)? else { return Ok(None) };
    match DailyState::from_json(&object) {
        Ok(day) => Ok(Some(day)),
        Err(key) => Err(corrupt(&path, &format!("key {key} is missing or malformed"))),
    }
}

fn read_clean(fs: &dyn FileSystem, dir: &Path) -> Result<Option<u32>, StateError> {
    let path = dir.join(CLEAN);
    let Some(bytes) = read_if_there(fs, &path)? else { return Ok(None) };
    // A mark that is no number is no mark.
    Ok(std::str::from_utf8(&bytes).ok().and_then(|text| text.trim_end().parse().ok()))
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

fn last_epoch(fs: &dyn FileSystem, dir: &Path) -> Result<LastEpoch, StateError> {
    let mut best = None;
    let mut damaged = None;
    for name in EPOCHS {
        let path = dir.join(name);
        let Some(bytes) = read_if_there(fs, &path)? else { continue };
        match epoch_of(&bytes) {
            Some(epoch) => best = best.max(Some(epoch)),
            None => damaged = Some(path),
        }
    }
    match (best, damaged) {
        (None, Some(path)) => Err(corrupt(&path, "no readable boot epoch is left")),
        (best, damaged) => Ok(LastEpoch { epoch: best.unwrap_or(0), damaged: damaged.is_some() }),
    }
}

fn write_epoch(fs: &dyn FileSystem, dir: &Path, epoch: u32, uid: u64) -> Result<(), StateError> {
    let mut bytes = EPOCH_MAGIC.to_vec();
    bytes.extend_from_slice(&epoch.to_le_bytes());
    bytes.extend_from_slice(&uid.to_le_bytes());
    bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
    Ok(disk::replace(fs, &dir.join(EPOCHS[(epoch % 2) as usize]), &bytes)?)
}

fn epoch_of(bytes: &[u8]) -> Option<u32> {
    let (content, crc) = bytes.split_last_chunk::<4>()?;
    let (magic, rest) = content.split_first_chunk::<8>()?;
    let good =
        magic == EPOCH_MAGIC && rest.len() == 12 && crc32fast::hash(content).to_le_bytes() == *crc;
    good.then(|| u32::from_le_bytes([rest[0], rest[1], rest[2], rest[3]]))
}

/// Reads a JSON object with a schema and a CRC of its content; `None` when there is no file.
fn read_object(fs: &dyn FileSystem, path: &Path) -> Result<Option<Map<String, Value>>, StateError> {
    match refused("read", path, fs.entry(path))? {
        Entry::Nothing => return Ok(None),
        Entry::Other => return Err(corrupt(path, "is no regular file")),
        Entry::File(length) if length > OBJECT_BYTES_MAX => {
            return Err(corrupt(path, "is larger than any state"));
        }
        Entry::File(_) => {}
    }
    let bytes = refused("read", path, fs.read(path))?;
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

fn write_object(
    fs: &dyn FileSystem,
    path: &Path,
    mut object: Map<String, Value>,
) -> Result<(), StateError> {
    object.insert("schema".into(), json!(SCHEMA));
    let crc = crc_text(&object);
    object.insert("crc32".into(), json!(crc));
    let mut text = serde_json::to_string_pretty(&object).expect("JSON of strings and numbers");
    text.push('\n');
    Ok(disk::replace(fs, path, text.as_bytes())?)
}

/// The CRC of an object's compact text; keys are sorted, so that it depends on the content only.
fn crc_text(object: &Map<String, Value>) -> String {
    let text = serde_json::to_string(object).expect("JSON of strings and numbers");
    format!("{:08x}", crc32fast::hash(text.as_bytes()))
}

fn read_if_there(fs: &dyn FileSystem, path: &Path) -> Result<Option<Vec<u8>>, StateError> {
    match fs.read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        read => Ok(Some(refused("read", path, read)?)),
    }
}

fn corrupt(path: &Path, what: &str) -> StateError {
    StateError::Corrupt { path: path.to_owned(), what: what.to_owned() }
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

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::cold::daily::Held;
    use keel_core::guard::{GuardState, Reason};
    use keel_core::units::{Lots, Quote};

    fn identity() -> Identity {
        Identity { venue: "embedded".into(), uid: 42, instance: "main".into() }
    }

    fn open(path: &Path) -> Result<(StateDir, Recovered), StateError> {
        StateDir::open(path, &identity())
    }

    fn day() -> DailyState {
        let held = Held {
            lots: Lots(-12),
            entry_value: -9_264_000,
            base: "-0.0012".into(),
            entry: "77200".into(),
            last_trade_id: u64::MAX,
            last_trade_at: UnixNanos(1_700_000_000_123_456_789),
        };
        DailyState {
            day: 20_415,
            equity_open: Quote::usdt(10_000),
            equity_peak: Quote(1_000_100_000_001),
            high_water: Quote::usdt(10_002),
            traded: Quote::usdt(500),
            realized: Quote(-1),
            fees: Quote(-2_500_000),
            funding: Quote(7),
            fills: 9,
            cancel_episodes: 1,
            positions: [("BTCUSDT".to_owned(), held)].into(),
            guard: GuardState::SoftPause,
            reasons: Reasons::NONE.with(Reason::Clock),
            incident: 0,
            since: UnixNanos(5),
            config_hash: [0xab; 32],
            written: UnixNanos(1_700_000_000_000_000_001),
        }
    }

    fn latch() -> Latch {
        let reasons = Reasons::NONE.with(Reason::DailyLoss);
        Latch { incident: 77, reasons, since: UnixNanos(9) }
    }

    #[test]
    fn every_boot_has_an_epoch_of_its_own() {
        let dir = tempfile::tempdir().expect("a directory");
        for expected in 1..=5 {
            let (state, found) = open(dir.path()).expect("opened");
            assert_eq!((state.epoch(), found.epoch), (expected, expected));
        }
        fs::write(dir.path().join("epoch.a"), b"rubbish").expect("written");
        // The damaged slot may have held one epoch more than the other.
        assert_eq!(open(dir.path()).expect("opened").1.epoch, 7);
        fs::write(dir.path().join("epoch.a"), b"").expect("written");
        fs::write(dir.path().join("epoch.b"), b"").expect("written");
        assert!(matches!(open(dir.path()), Err(StateError::Corrupt { .. })));
    }

    #[test]
    fn one_engine_at_a_time_owns_a_directory() {
        let dir = tempfile::tempdir().expect("a directory");
        let (state, _) = open(dir.path()).expect("opened");
        assert!(matches!(open(dir.path()), Err(StateError::Locked(_))));
        drop(state);
        assert!(open(dir.path()).is_ok());
        let run = RunDir::create(&dir.path().join("run")).expect("a run");
        assert!(matches!(RunDir::create(run.path()), Err(StateError::Locked(_))));
        fs::create_dir(run.path().join("journal")).expect("a journal");
        let path = run.path().to_owned();
        drop(run);
        assert!(matches!(RunDir::create(&path), Err(StateError::Used(_))));
    }

    #[test]
    fn an_instrument_of_an_account_is_traded_once() {
        let dir = tempfile::tempdir().expect("a directory");
        let symbols = [b"BTCUSDT", b"ETHUSDT"].map(|name| Symbol::parse(name).expect("a name"));
        let held = claim(dir.path(), &symbols[..1]).expect("claimed");
        assert!(matches!(claim(dir.path(), &symbols), Err(StateError::Claimed { .. })));
        assert!(claim(dir.path(), &symbols[1..]).is_ok());
        drop(held);
        assert!(claim(dir.path(), &symbols).is_ok());
    }

    #[test]
    fn only_a_verified_stop_makes_the_next_start_clean() {
        let dir = tempfile::tempdir().expect("a directory");
        let (state, first) = open(dir.path()).expect("opened");
        assert!(!first.dirty, "nothing has ever run here");
        state.mark_clean().expect("marked");
        let (state, second) = open(dir.path()).expect("opened");
        assert!(!second.dirty);
        drop(state);
        let (state, third) = open(dir.path()).expect("opened");
        assert!(third.dirty, "the second run left no mark");
        state.mark_clean().expect("marked");
        fs::write(dir.path().join("clean"), "1\n").expect("written");
        assert!(open(dir.path()).expect("opened").1.dirty, "a mark of another run is none");
    }

    #[test]
    fn the_day_and_the_latch_survive_and_become_events() {
        let dir = tempfile::tempdir().expect("a directory");
        let (state, _) = open(dir.path()).expect("opened");
        state.write_daily(&day()).expect("written");
        state.latch(&latch()).expect("latched");
        state.latch(&Latch { incident: 78, ..latch() }).expect("kept");
        assert!(matches!(state.rearm(78), Err(StateError::OtherIncident { latched: 77, .. })));
        drop(state);
        let (state, found) = open(dir.path()).expect("opened");
        assert_eq!((found.day.as_ref(), found.latch), (Some(&day()), Some(latch())));
        let symbols = [b"ETHUSDT", b"BTCUSDT"].map(|name| Symbol::parse(name).expect("a name"));
        let now = UnixNanos(20_415 * UnixNanos::DAY);
        let events = found.events(&state, &symbols, now).expect("events");
        let [Event::RestoreDay(restored), Event::RestorePosition(held)] = events[..] else {
            panic!("a day and a position: {events:?}");
        };
        assert!(restored.latched && restored.incident == 77 && restored.fees == Quote(-2_500_000));
        assert_eq!((held.instrument, held.entry_value), (InstrumentId(1), -9_264_000));
        let yesterday = UnixNanos(now.0 - 2 * UnixNanos::DAY);
        assert!(matches!(
            found.events(&state, &symbols, yesterday),
            Err(StateError::Future { .. })
        ));
        state.rearm(77).expect("rearmed");
        assert!(matches!(state.rearm(77), Err(StateError::OtherIncident { latched: 0, .. })));
        drop(state);
        assert_eq!(open(dir.path()).expect("opened").1.latch, None);
    }

    #[test]
    fn no_cut_and_no_flip_of_a_state_file_is_taken_for_state() {
        let dir = tempfile::tempdir().expect("a directory");
        let (state, _) = open(dir.path()).expect("opened");
        state.write_daily(&day()).expect("written");
        state.latch(&latch()).expect("latched");
        drop(state);
        for name in [DAILY, LATCH, IDENTITY] {
            let path = dir.path().join(name);
            let whole = fs::read(&path).expect("read");
            let content = || -> Result<_, StateError> {
                Ok((
                    read_daily(&OsFiles, dir.path())?,
                    read_latch(&OsFiles, dir.path())?,
                    check_identity(&OsFiles, dir.path(), &identity())?,
                ))
            };
            let before = content().expect("good");
            let last = whole.len() - 1; // A file without its last line end says the same.
            for length in 0..last {
                fs::write(&path, &whole[..length]).expect("written");
                assert!(content().is_err(), "{name} cut at {length}");
            }
            for place in 0..last {
                let mut bytes = whole.clone();
                bytes[place] ^= 1;
                fs::write(&path, &bytes).expect("written");
                if let Ok(after) = content() {
                    assert_eq!(after, before, "{name}, byte {place}: white space at most");
                }
            }
            fs::write(&path, &whole).expect("written");
        }
    }

    #[test]
    fn state_of_another_account_or_a_later_schema_is_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        drop(open(dir.path()).expect("opened"));
        let other = Identity { uid: 43, ..identity() };
        let Err(error) = StateDir::open(dir.path(), &other) else { panic!("refused") };
        let said = error.to_string();
        assert!(said.contains("account 42") && said.contains("account 43"), "{said}");
        let path = dir.path().join(IDENTITY);
        let text = fs::read_to_string(&path).expect("read");
        fs::write(&path, text.replace("\"schema\": 1", "\"schema\": 2")).expect("written");
        assert!(matches!(open(dir.path()), Err(StateError::NewerSchema { schema: 2, .. })));
        fs::remove_file(&path).expect("removed");
        assert!(
            matches!(open(dir.path()), Err(StateError::Corrupt { .. })),
            "epochs without owner"
        );
    }
}
