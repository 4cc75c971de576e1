//! State: what must outlive a run, in a directory that one engine owns at a time.
//!
//! | file | what | when durable |
//! |---|---|---|
//! | `lock` | held while an engine runs | – |
//! | `identity.json` | venue, account, instance | at the first start |
//! | `epoch.a`, `epoch.b` | the boot epoch, in turn | before the first order of a boot |
//! | `clean` | the last stop verified zero open orders | removed when a boot begins |
//! | `latch.json` | the guard stopped for good | after the cancels, before any exit |
//! | `mark` | where the latch's second mark is, outside of the directory | at the first start |
//! | `ledger` | executions, bills, days, stops: what a restart goes by | before what tells of it |
//! | `daily_state.json` | the UTC day, positions, guard, for people | after the rows it covers |
//!
//! A file is replaced whole: temporary file, fsync, rename, fsync of the directory. Every file
//! carries a CRC-32; one that does not fit is never guessed at.

pub mod ledger;
mod mark;

use std::io;
use std::path::{Path, PathBuf};

use keel_core::command::{Booked, GuardChanged};
use keel_core::decimal::Grid;
use keel_core::event::{BillsRead, Event, Fill, RestoreDay, RestorePosition, RestoreWeek, Source};
use keel_core::guard::{GuardState, Reasons};
use keel_core::instrument::{Instrument, InstrumentId, Symbol};
use keel_core::units::{Lots, Ticks, UnixNanos};
use serde_json::{Map, Value, json};

use crate::cold::csv::FillContext;
use crate::cold::daily::{DailyState, date_of};
use crate::disk::{self, Entry, FileSystem, Fs, Lock, Opening, OsFiles, Refused, refused};
use crate::os;
use ledger::{Found, Kept, LedgerFile, Record};

/// A state directory, locked until it is dropped.
#[derive(Debug)]
pub struct StateDir {
    fs: Fs,
    path: PathBuf,
    identity: Identity,
    epoch: u32,
    ledger: LedgerFile,
    unwritten: Vec<(Booked, FillContext)>,
    _lock: Lock,
}

/// A state directory that has been read, locked, before its boot begins: the venue is asked first
/// whether it knows the epoch, and a start that is refused leaves the directory no further on than
/// it was.
#[derive(Debug)]
pub struct Opened {
    state: StateDir,
}

impl Opened {
    /// Begins the boot: makes its epoch durable and removes the mark of a clean stop. To be done
    /// before the first order, and once the venue is known to have none of this epoch.
    ///
    /// # Errors
    /// [`StateError::Io`].
    pub fn begin(self) -> Result<StateDir, StateError> {
        let StateDir { fs, path, identity, epoch, .. } = &self.state;
        write_epoch(&**fs, path, *epoch, identity.uid)?;
        disk::remove(&**fs, &path.join(CLEAN))?;
        Ok(self.state)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.state.path()
    }
}

/// Whose state it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The venue: `bitget`, a host and port, or [`EMBEDDED`] and since when.
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
    /// The epoch of this boot, never used before; durable once the boot begins.
    pub epoch: u32,
    /// An earlier run ended without verifying that nothing rests at the venue.
    pub dirty: bool,
    /// The guard had stopped for good.
    pub latch: Option<Latch>,
    /// Day, positions and executions as they were.
    pub kept: Kept,
    /// A run has begun here before.
    pub known: bool,
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
    /// Another engine trades on the account.
    #[error(
        "this account is traded on by {holder} ({path} is locked); one account is one engine's, \
         whatever its contracts: stop that one, or give this one an account of its own"
    )]
    Claimed {
        /// Who.
        holder: String,
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
    /// The second mark of a stop for good is not what was written.
    #[error(
        "{path}: {what}. It is the second mark of a stop for good, which stands when the state \
         directory is a copy from before the stop. Find out whether this instance had stopped, why, \
         and what rests at the venue; then remove this file. A stop that latch.json in the state \
         directory says stays in force"
    )]
    Mark {
        /// The file.
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
    /// It belongs to an account that is no more.
    #[error(
        "{0} holds the state of an account on an embedded venue that has ended with its run; this \
         run's venue is a new one. Leave --state-dir out; or keep the venue as well: start `keel \
         exchange` in a process of its own and name its addresses under [venue]"
    )]
    EmbeddedGone(PathBuf),
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
    /// A contract's grids have changed so that the position cannot be carried over.
    #[error(
        "the position of {0} is no whole number of its present lots and ticks: close it by hand, \
         and begin with a new state directory under another instance name"
    )]
    Grid(Symbol),
    /// The venue knows orders of an epoch that this state has not come to.
    #[error(
        "the venue knows an order of boot epoch {epoch} of this instance, which {path} has not \
         come to: it was restored from a copy, or lost, or another engine trades under the same \
         name. Client ids would be given twice. Restore the newest state, or name another \
         instance"
    )]
    Behind {
        /// Which directory.
        path: PathBuf,
        /// The epoch.
        epoch: u32,
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
    /// Locks `path` and reads what the last run left, for a boot that is to [begin](Opened::begin).
    /// A directory that is not there is made.
    ///
    /// # Errors
    /// As [`StateError`] says. Nothing has been changed then, but for the lock file, or with
    /// [`StateError::Io`].
    pub fn open(
        path: &Path,
        identity: &Identity,
        now: UnixNanos,
    ) -> Result<(Opened, Recovered), StateError> {
        Self::open_at(disk::os(), path, None, identity, now)
    }

    /// The same, with a second mark of a stop for good in `marks`, outside of `path`: a copy of the
    /// directory from before the stop that is put back is stopped all the same.
    ///
    /// # Errors
    /// As [`StateDir::open`].
    pub fn open_marked(
        path: &Path,
        marks: &Path,
        identity: &Identity,
        now: UnixNanos,
    ) -> Result<(Opened, Recovered), StateError> {
        Self::open_at(disk::os(), path, Some(marks), identity, now)
    }

    /// As [`StateDir::open`], on another disk than the system's.
    ///
    /// # Errors
    /// As [`StateDir::open`].
    pub fn open_on(
        fs: Fs,
        path: &Path,
        identity: &Identity,
        now: UnixNanos,
    ) -> Result<(Opened, Recovered), StateError> {
        Self::open_at(fs, path, None, identity, now)
    }

    fn open_at(
        fs: Fs,
        path: &Path,
        marks: Option<&Path>,
        identity: &Identity,
        now: UnixNanos,
    ) -> Result<(Opened, Recovered), StateError> {
        disk::make_dirs(&*fs, path)?;
        let lock = lock_file(&*fs, &path.join("lock"))?
            .ok_or_else(|| StateError::Locked(path.to_owned()))?;
        let named = check_identity(&*fs, path, identity)?;
        let marked = marks.map(|marks| mark::place(marks, &identity.instance));
        let left = marked.as_deref().and_then(|marked| mark::left(&*fs, path, marked));
        let latch = in_force(&*fs, path, marked.as_deref())?;
        let latch = latch.or_else(|| read_latch(&*fs, left.as_deref()?).ok()?);
        let vouched = read_daily(&*fs, path)?.map_or(0, |(_, records)| records);
        let last = last_epoch(&*fs, path)?;
        let ledger_path = path.join(LEDGER);
        let found = LedgerFile::read(&*fs, &ledger_path, identity.uid, vouched)?;
        // The first start makes the ledger before anything that could lose it.
        if found.is_none() && (last.epoch > 0 || vouched > 0) {
            return Err(corrupt(&ledger_path, "is missing, while other state is there"));
        }
        let recorded = found.as_ref().is_some_and(Found::has_records);
        let known = named && (last.epoch > 0 || recorded);
        let clean_of = read_clean(&*fs, path)?;
        let dirty = known && clean_of != Some(last.epoch) || last.damaged;
        if !named {
            write_identity(&*fs, path, identity)?;
        }
        let found = match found {
            Some(found) if known => found,
            // One that a start without a boot has made speaks for nothing: this one begins now.
            _ => {
                LedgerFile::create(&*fs, &ledger_path, identity.uid, now)?;
                LedgerFile::read(&*fs, &ledger_path, identity.uid, 0)?
                    .ok_or_else(|| corrupt(&ledger_path, "is gone as soon as it is made"))?
            }
        };
        let ledger = LedgerFile::open(&*fs, &ledger_path, &found)?;
        if let Some(marked) = &marked {
            mark::keep(&*fs, path, marked)?;
        }
        let latch = latch.or(found.kept.stop(last.epoch));
        if let Some(latch) = &latch {
            write_latch(&*fs, path, latch)?;
        }
        if let Some(left) = &left {
            // One that cannot be removed stops a start that goes by it: on the safe side.
            disk::remove(&*fs, left).ok();
        }
        let epoch = last.next(path)?;
        let (path, identity) = (path.to_owned(), identity.clone());
        let (kept, unwritten) = (found.kept, found.unwritten);
        let state = Self { fs, path, identity, epoch, ledger, unwritten, _lock: lock };
        Ok((Opened { state }, Recovered { epoch, dirty, latch, kept, known }))
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

    /// Appends a record to the ledger, to be durable after the next
    /// [`StateDir::commit_records`]. `at` is when it was made.
    pub fn record(&mut self, record: &Record, at: UnixNanos) {
        self.ledger.append(record, at);
    }

    /// Makes the ledger durable.
    ///
    /// # Errors
    /// [`StateError::Io`]; nothing more may be recorded then.
    pub fn commit_records(&mut self) -> Result<(), StateError> {
        Ok(self.ledger.commit()?)
    }

    /// Executions of earlier runs of which no row may be durable.
    pub fn take_unwritten(&mut self) -> Vec<(Booked, FillContext)> {
        std::mem::take(&mut self.unwritten)
    }

    /// Replaces `daily_state.json`, which says that everything is durable that the ledger's records
    /// so far mean.
    ///
    /// # Errors
    /// [`StateError::Io`]; the old file stands then.
    pub fn write_daily(&self, day: &DailyState) -> Result<(), StateError> {
        let mut object = day.to_json();
        object.insert("boot_epoch".into(), json!(self.epoch));
        object.insert("ledger_records".into(), json!(self.ledger.records()));
        write_object(&*self.fs, &self.path.join(DAILY), object)
    }

    /// Makes the latch durable. An earlier incident stays in force.
    ///
    /// # Errors
    /// As [`StateError`] says.
    pub fn latch(&self, latch: &Latch) -> Result<(), StateError> {
        let path = self.path.join(LATCH);
        let earlier = read_latch(&*self.fs, &path)?;
        if earlier.is_none() {
            write_object(&*self.fs, &path, latch_object(latch))?;
        }
        mark::try_write(&*self.fs, &self.path, &earlier.unwrap_or(*latch));
        Ok(())
    }

    /// Ends the stop of `incident` while no engine runs. `now` is UTC.
    ///
    /// # Errors
    /// [`StateError::OtherIncident`] when that one is not latched.
    pub fn rearm(&mut self, incident: u64, now: UnixNanos) -> Result<(), StateError> {
        let latched = in_force(&*self.fs, &self.path, None)?.map_or(0, |latch| latch.incident);
        if latched != incident || latched == 0 {
            return Err(StateError::OtherIncident { latched, named: incident });
        }
        let (from, to) = (GuardState::HardStop, GuardState::SoftPause);
        let change = GuardChanged { from, to, soft: 0, hard: 0, incident: 0 };
        self.record(&Record::Guard(change), now);
        self.commit_records()?;
        self.unlatch()
    }

    /// Removes the latch, after the record of its end has become durable.
    ///
    /// # Errors
    /// [`StateError::Io`]; the stop is in force then.
    pub fn unlatch(&self) -> Result<(), StateError> {
        remove_latch(&*self.fs, &self.path)
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
    /// The events that give the engine back what it had, for instruments with `rules`, in the order
    /// of their ids. `dir` is where it was read, `now` is UTC.
    ///
    /// # Errors
    /// [`StateError::Future`] for a day that has not come, [`StateError::Grid`].
    pub fn events(
        &self,
        dir: &Path,
        rules: &[Instrument],
        now: UnixNanos,
    ) -> Result<Vec<Event>, StateError> {
        if let Some(day) = &self.kept.day
            && day.day > now.day() + 1
        {
            let day = date_of(day.day);
            return Err(StateError::Future { path: dir.join(LEDGER), day });
        }
        // Before the first run only a latch can be there, which somebody has put up from outside:
        // the account is taken as it is found then, and nothing is said of positions.
        events_of(&self.kept, self.latch, if self.known { rules } else { &[] })
    }
}

/// What an engine is told of an earlier run.
pub(crate) fn events_of(
    kept: &Kept,
    latch: Option<Latch>,
    rules: &[Instrument],
) -> Result<Vec<Event>, StateError> {
    let mut events = Vec::new();
    if let Some(day) = &kept.day {
        events.push(Event::RestoreWeek(RestoreWeek { day: day.day, opens: day.week }));
    }
    if kept.day.is_some() || latch.is_some() {
        events.push(Event::RestoreDay(restored_day(kept, latch)));
    }
    for (id, rules) in (0..).map(InstrumentId).zip(rules) {
        let refused = || StateError::Grid(rules.symbol);
        let held = match kept.positions.get(rules.symbol.as_str()) {
            Some(held) => Some(held.on_rules(rules).ok_or_else(refused)?),
            None => None,
        };
        events.push(Event::RestorePosition(RestorePosition {
            instrument: id,
            lots: held.map_or(Lots::ZERO, |held| held.position.lots),
            entry_value: held.map_or(0, |held| held.position.entry_value),
            last_trade_id: held.map_or(0, |held| held.last_trade_id),
            last_trade_at: held.map_or(kept.began, |held| held.last_trade_at),
        }));
    }
    for (booked, of) in &kept.fills {
        let place = rules.iter().position(|rules| rules.symbol == of.symbol);
        let Some((id, rules)) = place.map(|place| (InstrumentId(place as u16), &rules[place]))
        else {
            continue;
        };
        let grid = |steps, from, to| regrid(steps, from, to).ok_or(StateError::Grid(of.symbol));
        events.push(Event::RestoreFill(Fill {
            instrument: id,
            client: booked.client,
            order_id: booked.order_id,
            trade_id: booked.trade_id,
            side: booked.side,
            maker: booked.maker,
            price: Ticks(grid(booked.price.0, of.tick, rules.tick)?),
            lots: Lots(grid(booked.lots.0, of.lot, rules.lot)?),
            fee: booked.fee,
            fee_known: true,
            source: Source::Query,
            ts: booked.ts,
        }));
    }
    if !rules.is_empty() {
        events.push(Event::RestoreBillsRead(BillsRead { until: kept.bills_until }));
        events.extend(kept.bills.iter().copied().map(Event::RestoreBill));
    }
    Ok(events)
}

fn restored_day(kept: &Kept, latch: Option<Latch>) -> RestoreDay {
    let mut state = DailyState::EMPTY;
    if let Some(day) = &kept.day {
        state.take(day);
    }
    RestoreDay {
        day: state.day,
        equity_open: state.equity_open,
        high_water: state.high_water,
        traded: state.traded,
        realized: state.realized,
        fees: state.fees,
        funding: state.funding,
        fills: state.fills,
        cancel_episodes: state.cancel_episodes,
        creates: state.creates,
        latched: latch.is_some(),
        incident: latch.map_or(0, |latch| latch.incident),
        reasons: latch.map_or(0, |latch| latch.reasons.0),
        equity_peak: state.equity_peak,
        over_rest: kept.day.is_some_and(|day| day.over_rest),
    }
}

/// The same number in steps of another grid; `None` when it is none there.
fn regrid(steps: i64, from: Grid, to: Grid) -> Option<i64> {
    if from == to {
        return Some(steps);
    }
    let pow = |scale: u8| 10_i128.pow(u32::from(scale));
    let value = i128::from(steps) * i128::from(from.step) * pow(to.scale);
    let step = i128::from(to.step) * pow(from.scale);
    if value % step == 0 { i64::try_from(value / step).ok() } else { None }
}

/// Who latches a state directory that another process may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beside {
    /// The guardian of a run that is gone.
    Guardian,
    /// A person, with no engine that answers.
    Person,
    /// The run's own process, when its engine cannot.
    Process,
    /// A start that finds what a run before should have stopped for.
    Start,
}

/// The number of an incident that no engine has counted: above all that the engine of `epoch` can.
pub fn incident_beside(epoch: u32, who: Beside) -> u64 {
    let number: u32 = match who {
        Beside::Guardian => 0xffff_0001,
        Beside::Person => 0xffff_0002,
        Beside::Process => 0xffff_0003,
        Beside::Start => 0xffff_0004,
    };
    u64::from(epoch) << 32 | u64::from(number)
}

/// Makes a latch durable from outside of the run that holds the directory, and gives the one in
/// force: an earlier one stays.
///
/// # Errors
/// As [`StateError`] says.
pub fn latch_beside(dir: &Path, latch: &Latch) -> Result<Latch, StateError> {
    // A person may act from a host on which no engine has run.
    disk::make_dirs(&*disk::os(), dir)?;
    // Guardian, person and process may do so at the same moment: the first one's incident counts.
    let path = dir.join(LATCH);
    let fs = disk::os();
    let latch = match disk::create(&path, sealed(latch_object(latch)).as_bytes())? {
        true => *latch,
        false => read_latch(&*fs, &path)?.ok_or_else(|| corrupt(&path, "was there and is gone"))?,
    };
    mark::try_write(&*fs, dir, &latch);
    Ok(latch)
}

/// What is latched in a state directory.
///
/// # Errors
/// As [`StateError`] says.
pub fn latched(dir: &Path) -> Result<Option<Latch>, StateError> {
    in_force(&*disk::os(), dir, None)
}

/// The newest boot epoch of a state directory; 0 for one that was never started.
///
/// # Errors
/// As [`StateError`] says.
pub fn epoch(dir: &Path) -> Result<u32, StateError> {
    Ok(last_epoch(&*disk::os(), dir)?.epoch)
}

/// The process that holds a state directory; `None` while nobody does.
///
/// # Errors
/// [`StateError::Io`], also when the system does not say which process it is.
pub fn holder(dir: &Path) -> Result<Option<u32>, StateError> {
    let (fs, path) = (disk::os(), dir.join("lock"));
    if refused("read", &path, fs.entry(&path))? == Entry::Nothing {
        return Ok(None);
    }
    let mut tries = 0;
    loop {
        if lock_file(&*fs, &path)?.is_some() {
            return Ok(None);
        }
        match os::lock_holder(&path) {
            // It has let go since, as whoever only looks does at once.
            Err(error) if error.kind() == io::ErrorKind::NotFound && tries < HOLDER_TRIES => {
                tries += 1;
            }
            found => return Ok(Some(refused("find the holder of", &path, found)?)),
        }
    }
}

/// Clears the latch of a state directory that no run holds. Who asked, when, and what came of it is
/// durable in `operators.log` there before the latch goes.
///
/// # Errors
/// [`StateError::Locked`] while a run holds it, [`StateError::OtherIncident`].
pub fn rearm_at_rest(
    dir: &Path,
    incident: u64,
    user: u32,
    utc: UnixNanos,
) -> Result<(), StateError> {
    let fs = disk::os();
    let latched = in_force(&*fs, dir, None)?.map_or(0, |latch| latch.incident);
    let right = latched == incident && latched != 0;
    let result = if right { "asked" } else { "wrong incident" };
    let time = crate::cold::daily::utc_text(utc);
    let path = dir.join(OPERATORS);
    let line = format!("{time} rearm {incident} by user {user}: {result}\n");
    let mut log = refused("open", &path, fs.open(&path, Opening::Appending))?;
    refused("write", &path, log.write(line.as_bytes()))?;
    refused("sync", &path, log.sync())?;
    refused("sync the directory of", &path, fs.sync_parent(&path))?;
    if !right {
        return Err(StateError::OtherIncident { latched, named: incident });
    }
    let lock = lock_file(&*fs, &dir.join("lock"))?.ok_or(StateError::Locked(dir.to_owned()))?;
    let Some(identity) = read_identity(&*fs, dir)? else {
        // No run has begun here: the latch is all there is.
        never_began(&*fs, dir)?;
        return remove_latch(&*fs, dir);
    };
    drop(lock);
    let (Opened { mut state }, recovered) = StateDir::open(dir, &identity, utc)?;
    // No boot begins: of a copy that was put back, the next start asks for the same epoch.
    if recovered.known { state.rearm(incident, utc) } else { state.unlatch() }
}

fn latch_object(latch: &Latch) -> Map<String, Value> {
    let reasons: Vec<_> = latch.reasons.iter().map(|reason| reason.text()).collect();
    let Value::Object(object) = json!({
        "incident_id": latch.incident.to_string(),
        "reasons": reasons.join("|"),
        "reason_bits": latch.reasons.0.to_string(),
        "since_ns": latch.since.0.to_string(),
    }) else {
        unreachable!("an object literal is an object")
    };
    object
}

impl std::fmt::Display for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "instance {} of account {} on {}", self.instance, self.uid, self.venue)
    }
}

/// Claims the account that `dir` belongs to for `instance` of this process, held until the lock is
/// dropped. Two engines on one account would fight: each takes the other's orders and executions
/// for a stranger's, and both measure their losses by one equity.
///
/// # Errors
/// [`StateError::Claimed`], [`StateError::Io`].
pub fn claim(dir: &Path, instance: &str) -> Result<Lock, StateError> {
    disk::make_dirs(&OsFiles, dir)?;
    let (path, held_by) = (dir.join("account"), dir.join("holder"));
    let Some(lock) = lock_file(&OsFiles, &path)? else {
        let holder = read_if_there(&OsFiles, &held_by)?.unwrap_or_default();
        let holder = match String::from_utf8_lossy(&holder).trim_end() {
            "" => "another engine".to_owned(),
            name => format!("instance {name}"),
        };
        return Err(StateError::Claimed { holder, path });
    };
    let text = format!("{instance}, process {}\n", std::process::id());
    disk::replace(&OsFiles, &held_by, text.as_bytes())?;
    Ok(lock)
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
    let Some(found) = read_identity(fs, dir)? else {
        return never_began(fs, dir).map(|()| false);
    };
    if found == *identity {
        return Ok(true);
    }
    if [&found, identity].map(|of| of.venue.starts_with(EMBEDDED)) == [true; 2] {
        return Err(StateError::EmbeddedGone(dir.to_owned()));
    }
    Err(StateError::OtherIdentity {
        path: dir.to_owned(),
        found: found.to_string(),
        expected: identity.to_string(),
    })
}

/// Refuses a directory without identity in which a run has begun all the same. A latch alone is a
/// person's who has acted from here before any run.
fn never_began(fs: &dyn FileSystem, dir: &Path) -> Result<(), StateError> {
    let is_there = |name: &&str| !matches!(fs.entry(&dir.join(name)), Ok(Entry::Nothing));
    let orphaned = [DAILY, LEDGER, EPOCHS[0], EPOCHS[1]].iter().any(is_there);
    let missing = || corrupt(&dir.join(IDENTITY), "is missing, while other state is there");
    if orphaned { Err(missing()) } else { Ok(()) }
}

/// Whose directory it is; `None` for one that was never started.
fn read_identity(fs: &dyn FileSystem, dir: &Path) -> Result<Option<Identity>, StateError> {
    let path = dir.join(IDENTITY);
    let Some(object) = read_object(fs, &path)? else { return Ok(None) };
    let text = |key: &str| object.get(key).and_then(Value::as_str).map(str::to_owned);
    let uid = text("uid").and_then(|uid| uid.parse().ok());
    let (Some(venue), Some(uid), Some(instance)) = (text("venue"), uid, text("instance")) else {
        return Err(corrupt(&path, "venue, uid or instance is missing"));
    };
    Ok(Some(Identity { venue, uid, instance }))
}

fn write_identity(fs: &dyn FileSystem, dir: &Path, identity: &Identity) -> Result<(), StateError> {
    let mut object = Map::new();
    object.insert("venue".into(), json!(identity.venue));
    object.insert("uid".into(), json!(identity.uid.to_string()));
    object.insert("instance".into(), json!(identity.instance));
    write_object(fs, &dir.join(IDENTITY), object)
}

/// The latch in force: its mark outside of the directory before what stands inside, which may be
/// a copy that was put back. `marked` is where the mark is; `None` for where the directory says.
fn in_force(
    fs: &dyn FileSystem,
    dir: &Path,
    marked: Option<&Path>,
) -> Result<Option<Latch>, StateError> {
    let marked = match marked {
        Some(marked) => Some(marked.to_owned()),
        None => mark::of(fs, dir)?,
    };
    let outside = marked.map(|path| mark::read(fs, &path)).transpose()?.flatten();
    Ok(outside.or(read_latch(fs, &dir.join(LATCH))?))
}

/// Makes a latch durable inside of the directory, then outside.
fn write_latch(fs: &dyn FileSystem, dir: &Path, latch: &Latch) -> Result<(), StateError> {
    let path = dir.join(LATCH);
    if read_latch(fs, &path)? != Some(*latch) {
        write_object(fs, &path, latch_object(latch))?;
    }
    mark::write(fs, dir, latch)
}

/// Removes a latch outside of the directory, then inside: while one is left, the stop is in force.
fn remove_latch(fs: &dyn FileSystem, dir: &Path) -> Result<(), StateError> {
    mark::remove(fs, dir)?;
    Ok(disk::remove(fs, &dir.join(LATCH))?)
}

fn read_latch(fs: &dyn FileSystem, path: &Path) -> Result<Option<Latch>, StateError> {
    let Some(object) = read_object(fs, path)? else { return Ok(None) };
    let number = |key: &str| object.get(key).and_then(Value::as_str);
    let latch = (|| {
        Some(Latch {
            incident: number("incident_id")?.parse().ok()?,
            reasons: Reasons(number("reason_bits")?.parse().ok()?),
            since: UnixNanos(number("since_ns")?.parse().ok()?),
        })
    })();
    latch.map(Some).ok_or_else(|| corrupt(path, "incident, reasons or time is missing"))
}

/// The day for people, and how many records of the ledger it vouches for.
fn read_daily(fs: &dyn FileSystem, dir: &Path) -> Result<Option<(DailyState, u64)>, StateError> {
    let path = dir.join(DAILY);
    let Some(object) = read_object(fs, &path)? else { return Ok(None) };
    let wrong = |key: &str| corrupt(&path, &format!("key {key} is missing or malformed"));
    let day = DailyState::from_json(&object).map_err(wrong)?;
    let records = object.get("ledger_records").and_then(Value::as_u64);
    Ok(Some((day, records.ok_or_else(|| wrong("ledger_records"))?)))
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
    object: Map<String, Value>,
) -> Result<(), StateError> {
    Ok(disk::replace(fs, path, sealed(object).as_bytes())?)
}

/// The text of a state file: its content, its schema, and the CRC over both.
fn sealed(mut object: Map<String, Value>) -> String {
    object.insert("schema".into(), json!(SCHEMA));
    let crc = crc_text(&object);
    object.insert("crc32".into(), json!(crc));
    let mut text = serde_json::to_string_pretty(&object).expect("JSON of strings and numbers");
    text.push('\n');
    text
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

/// What the name of an embedded venue begins with; each has accounts of its own.
pub const EMBEDDED: &str = "embedded";

const IDENTITY: &str = "identity.json";
const LATCH: &str = "latch.json";
const LEDGER: &str = "ledger";
const DAILY: &str = "daily_state.json";
/// A lock that nobody holds by the system's table is tried again so often.
const HOLDER_TRIES: u32 = 50;
const CLEAN: &str = "clean";
const OPERATORS: &str = "operators.log";
const EPOCHS: [&str; 2] = ["epoch.a", "epoch.b"];
const EPOCH_MAGIC: &[u8; 8] = b"KEELEPOC";
const OBJECT_BYTES_MAX: u64 = 4 << 20;

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::cold::daily::Held;
    use keel_core::command::Day;
    use keel_core::event::{Bill, BillKind, ClientId, FeeSource};
    use keel_core::guard::Reason;

    use keel_core::instrument::btcusdt;
    use keel_core::regime::Regime;
    use keel_core::units::{Quote, Rate, Side};

    fn identity() -> Identity {
        Identity { venue: "127.0.0.1_8443".into(), uid: 42, instance: "main".into() }
    }

    fn open(path: &Path) -> Result<(StateDir, Recovered), StateError> {
        begun(StateDir::open(path, &identity(), UnixNanos(20_415 * UnixNanos::DAY)))
    }

    fn begun(
        opened: Result<(Opened, Recovered), StateError>,
    ) -> Result<(StateDir, Recovered), StateError> {
        let (opened, recovered) = opened?;
        Ok((opened.begin()?, recovered))
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
            week: [Quote::usdt(9_999), Quote::ZERO, Quote(7), Quote(1), Quote(2), Quote(3)],
            creates: 128,
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
    fn an_account_is_one_instances_and_the_other_is_told_whose() {
        let dir = tempfile::tempdir().expect("a directory");
        let held = claim(dir.path(), "main").expect("claimed");
        let refused = claim(dir.path(), "other").expect_err("it is taken").to_string();
        assert!(refused.contains("by instance main, process "), "{refused}");
        drop(held);
        assert!(claim(dir.path(), "other").is_ok());
    }

    /// The bill was known as booked after the crash, and nothing stopped.
    #[test]
    fn a_crash_between_a_bill_that_is_not_known_and_its_stop_is_stopped_by_the_next_start() {
        let dir = tempfile::tempdir().expect("a directory");
        for (kind, stops) in [(BillKind::Funding, false), (BillKind::Unknown, true)] {
            let (mut state, _) = open(dir.path()).expect("opened");
            state.record(&Record::Bill(bill(kind as u64, kind, 5, 1)), UnixNanos(8));
            state.commit_records().expect("durable");
            drop(state);
            let latch = open(dir.path()).expect("opened").1.latch;
            assert_eq!(latch.is_some(), stops, "{kind:?}");
            let again = open(dir.path()).expect("opened").1.latch;
            assert_eq!(again, latch, "one incident, however often it starts");
        }
        let latch = latched(dir.path()).expect("read").expect("durable");
        assert!(latch.reasons.contains(Reason::BillUnknown));
        rearm_at_rest(dir.path(), latch.incident, 0, UnixNanos(20_415 * UnixNanos::DAY))
            .expect("rearmed");
        assert_eq!(open(dir.path()).expect("opened").1.latch, None, "a person has looked");
    }

    /// Another home, as a unit file and a shell may have: the mark of the first was not looked at,
    /// or stopped again what had been rearmed.
    #[test]
    fn a_mark_goes_with_the_directory_of_marks() {
        let dir = tempfile::tempdir().expect("a directory");
        let at = dir.path().join("state");
        let now = UnixNanos(20_415 * UnixNanos::DAY);
        let start = |marks: &str| {
            let marks = dir.path().join(marks);
            begun(StateDir::open_marked(&at, &marks, &identity(), now)).expect("opened")
        };
        start("a").0.latch(&latch()).expect("latched");
        fs::remove_file(at.join(LATCH)).expect("as in a copy from before");
        assert_eq!(start("b").1.latch, Some(latch()));
        rearm_at_rest(&at, 77, 0, now).expect("rearmed");
        assert_eq!(start("a").1.latch, None, "a person has looked");
    }

    /// The guardian and a kill wrote no latch where the mark could not be read.
    #[test]
    fn a_stop_does_not_wait_for_its_second_mark() {
        let dir = tempfile::tempdir().expect("a directory");
        let (at, marks) = (dir.path().join("state"), dir.path().join("claims"));
        let now = UnixNanos(20_415 * UnixNanos::DAY);
        let open = || begun(StateDir::open_marked(&at, &marks, &identity(), now));
        let (state, _) = open().expect("opened");
        fs::remove_dir_all(&marks).ok();
        fs::write(&marks, "no directory").expect("written");
        assert_eq!(latch_beside(&at, &latch()).expect("latched"), latch());
        fs::remove_file(at.join(LATCH)).expect("removed");
        state.latch(&latch()).expect("latched");
        drop(state);
        fs::remove_file(&marks).expect("removed");
        let (_, recovered) = open().expect("opened");
        assert_eq!(recovered.latch, Some(latch()));
        fs::remove_file(at.join(LATCH)).expect("removed");
        assert_eq!(latched(&at).expect("read"), Some(latch()), "the start made up for the mark");
    }

    /// All wrote to one temporary file, and what one had half written another put in place. Of a
    /// mark that is damaged a person was told to begin with a new state directory, which is of no
    /// use: the mark is outside of it.
    #[test]
    fn a_mark_is_written_whole_whoever_else_writes_one_and_a_damaged_one_says_what_to_do() {
        let dir = tempfile::tempdir().expect("a directory");
        let (at, marks) = (dir.path().join("state"), dir.path().join("claims"));
        let now = UnixNanos(20_415 * UnixNanos::DAY);
        let start = || begun(StateDir::open_marked(&at, &marks, &identity(), now));
        drop(start().expect("opened"));
        fs::create_dir_all(marks.join("main.tmp")).expect("another process is at it");
        latch_beside(&at, &latch()).expect("latched");
        let place = marks.join("main.latch");
        let whole = fs::read(&place).expect("the mark");
        fs::remove_dir(marks.join("main.tmp")).expect("removed");
        assert_eq!(fs::read_dir(&marks).expect("listed").count(), 1, "nothing is left beside it");
        for damaged in [&b""[..], &whole[..whole.len() / 2]] {
            fs::write(&place, damaged).expect("written");
            let Err(error) = start() else { panic!("it is no mark") };
            let said = error.to_string();
            let parts = ["main.latch: ", "second mark of a stop", "then remove this file"];
            assert!(parts.iter().all(|part| said.contains(part)), "{said}");
            fs::remove_file(&place).expect("removed");
            assert_eq!(start().expect("opened").1.latch, Some(latch()), "the one inside stands");
            assert_eq!(fs::read(&place).expect("the mark"), whole, "and is marked again");
        }
    }

    #[test]
    fn a_copy_from_before_a_stop_is_stopped_and_one_rearm_ends_both_marks() {
        let dir = tempfile::tempdir().expect("a directory");
        let (at, marks) = (dir.path().join("state"), dir.path().join("claims"));
        let now = UnixNanos(20_415 * UnixNanos::DAY);
        let start = |at: &Path| begun(StateDir::open_marked(at, &marks, &identity(), now));
        let copy = |to: &str| {
            let to = dir.path().join(to);
            fs::create_dir(&to).expect("a directory");
            for entry in fs::read_dir(&at).expect("listed") {
                let from = entry.expect("an entry").path();
                fs::copy(&from, to.join(from.file_name().expect("a name"))).expect("copied");
            }
            to
        };
        let (state, _) = start(&at).expect("opened");
        let before = copy("before");
        state.latch(&latch()).expect("latched");
        drop(state);
        assert_eq!(start(&before).expect("opened").1.latch, Some(latch()));
        assert_eq!(latched(&before).expect("read"), Some(latch()));
        let wrong = rearm_at_rest(&before, 78, 0, now);
        assert!(matches!(wrong, Err(StateError::OtherIncident { latched: 77, named: 78 })));
        rearm_at_rest(&before, 77, 0, now).expect("rearmed");
        assert_eq!(start(&before).expect("opened").1.latch, None);
        // One that is latched from beside has both marks too.
        let later = copy("later");
        remove_latch(&OsFiles, &later).expect("removed");
        latch_beside(&later, &latch()).expect("latched");
        fs::remove_file(later.join(LATCH)).expect("removed");
        assert_eq!(latched(&later).expect("read"), Some(latch()));
        let other = Identity { instance: "other".into(), ..identity() };
        let other = StateDir::open_marked(&dir.path().join("o"), &marks, &other, now);
        assert_eq!(other.expect("opened").1.latch, None, "another instance is not stopped");
    }

    /// Each start used an epoch up and took the mark of the clean stop away before the venue was
    /// asked: after a few that failed, a copy from before was behind the venue's ids no more.
    #[test]
    fn a_start_that_does_not_begin_leaves_epoch_and_clean_mark_as_they_were() {
        let dir = tempfile::tempdir().expect("a directory");
        let open_only = || StateDir::open(dir.path(), &identity(), UnixNanos(5)).expect("opened");
        for _ in 0..3 {
            let (_, found) = open_only();
            assert_eq!((found.epoch, found.dirty, found.known), (1, false, false), "the first");
            assert_eq!(found.kept.began, UnixNanos(5));
        }
        let (state, found) = open(dir.path()).expect("opened");
        let now = UnixNanos(20_415 * UnixNanos::DAY);
        assert_eq!((found.epoch, found.known, found.kept.began), (1, false, now));
        state.mark_clean().expect("marked");
        for _ in 0..3 {
            let (_, found) = open_only();
            assert_eq!((found.epoch, found.dirty, found.known), (2, false, true));
        }
        let person = Latch { incident: incident_beside(1, Beside::Person), ..latch() };
        latch_beside(dir.path(), &person).expect("latched");
        rearm_at_rest(dir.path(), person.incident, 0, now).expect("rearmed");
        let (_, found) = open(dir.path()).expect("opened");
        assert_eq!((found.epoch, found.dirty, found.kept.began), (2, false, now));
        let (_, found) = open_only();
        assert_eq!((found.epoch, found.dirty), (3, true), "that one began");
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

    fn rules(name: &[u8], tick: u8) -> Instrument {
        Instrument {
            symbol: Symbol::parse(name).expect("a name"),
            tick: Grid { step: 1, scale: tick },
            ..btcusdt()
        }
    }

    fn booked(trade_id: u64, lots: i64, ts: i64) -> Record {
        let booked = Booked {
            instrument: InstrumentId(1),
            client: ClientId { epoch: 1, number: 3 },
            order_id: 5,
            trade_id,
            side: Side::Buy,
            maker: true,
            price: Ticks(772_000),
            lots: Lots(lots),
            fee: Quote(-500),
            realized: Quote::ZERO,
            mid_x2: 0,
            spread: Rate::ZERO,
            drift: Rate::ZERO,
            regime: Regime::ALL[0],
            state: GuardState::Running,
            ts: UnixNanos(ts),
        };
        let (fee_source, latency_ns) = (FeeSource::Venue, Some(9));
        Record::Booked(booked, FillContext { rules: rules(b"BTCUSDT", 1), fee_source, latency_ns })
    }

    fn turned() -> Record {
        Record::Day(Day {
            day: 20_415,
            equity_open: Quote::usdt(10_000),
            equity_peak: Quote(1_000_100_000_001),
            high_water: Quote::usdt(10_002),
            traded: Quote::ZERO,
            realized: Quote(-1),
            fees: Quote(-2_500_000),
            funding: Quote(7),
            fills: 9,
            cancel_episodes: 1,
            creates: 128,
            rolled: true,
            week: [Quote::usdt(9_000); 6],
            over_rest: true,
        })
    }

    const DAY_BEGAN: i64 = 20_415 * UnixNanos::DAY;
    const MINUTE: i64 = UnixNanos::MINUTE;

    #[test]
    fn what_was_earned_is_profit_less_fees_and_what_each_day_s_funding_came_to() {
        let mut kept = Kept::default();
        let Record::Day(day) = turned() else { panic!("a day") };
        let funding = |day_number, funding| {
            Record::Day(Day { day: day_number, funding: Quote(funding), ..day })
        };
        let Record::Booked(sold, context) = booked(2, 3, DAY_BEGAN) else { panic!("a fill") };
        let sold = Booked { realized: Quote(90_000), fee: Quote(2_000), ..sold };
        for (record, earned) in [
            (booked(1, 2, DAY_BEGAN), 500),
            (funding(20_415, 0), 500),
            (funding(20_415, 70), 430),
            (funding(20_415, 70), 430),
            (Record::Booked(sold, context), 88_430),
            (funding(20_415, 50), 88_450),
            (funding(20_416, 0), 88_450),
            (funding(20_416, -30), 88_480),
        ] {
            kept.take(&record, UnixNanos(DAY_BEGAN)).expect("sound");
            assert_eq!(kept.earned, Quote(earned), "{record:?}");
        }
        let absurd = Record::Day(Day { funding: Quote(i64::MIN), ..day });
        assert!(kept.take(&absurd, UnixNanos(DAY_BEGAN)).is_err());
    }

    #[test]
    fn day_latch_position_and_executions_survive_and_become_events() {
        let dir = tempfile::tempdir().expect("a directory");
        let (mut state, first) = open(dir.path()).expect("opened");
        let rules = [rules(b"ETHUSDT", 2), rules(b"BTCUSDT", 1)];
        let now = UnixNanos(DAY_BEGAN + 60 * MINUTE);
        assert_eq!(first.events(dir.path(), &rules, now).expect("none"), [], "nothing was before");
        for record in [booked(1, 2, DAY_BEGAN), turned(), booked(2, 3, DAY_BEGAN + 20 * MINUTE)] {
            state.record(&record, now);
        }
        state.commit_records().expect("durable");
        state.latch(&latch()).expect("latched");
        state.latch(&Latch { incident: 78, ..latch() }).expect("kept");
        assert!(matches!(state.rearm(78, now), Err(StateError::OtherIncident { latched: 77, .. })));
        drop(state);
        let (mut state, found) = open(dir.path()).expect("opened");
        assert_eq!(found.latch, Some(latch()));
        let events = found.events(dir.path(), &rules, now).expect("events");
        let [
            Event::RestoreWeek(week),
            Event::RestoreDay(day),
            Event::RestorePosition(eth),
            Event::RestorePosition(btc),
            Event::RestoreFill(fill),
            Event::RestoreBillsRead(_),
        ] = events[..]
        else {
            panic!("a week, a day, two positions and the last execution: {events:?}");
        };
        assert_eq!((week.day, week.opens), (20_415, [Quote::usdt(9_000); 6]));
        assert!(day.latched && day.incident == 77);
        assert_eq!((day.fills, day.fees), (10, Quote(-2_500_500)), "the last one is counted");
        assert_eq!((eth.lots, eth.last_trade_at), (Lots::ZERO, UnixNanos(DAY_BEGAN)));
        assert_eq!((btc.lots, btc.entry_value, btc.last_trade_id), (Lots(5), 5 * 772_000, 2));
        assert_eq!((fill.trade_id, fill.instrument), (2, InstrumentId(1)), "the first one is old");
        let yesterday = UnixNanos(DAY_BEGAN - 2 * UnixNanos::DAY);
        assert!(matches!(
            found.events(dir.path(), &rules, yesterday),
            Err(StateError::Future { .. })
        ));
        state.rearm(77, now).expect("rearmed");
        assert!(matches!(state.rearm(77, now), Err(StateError::OtherIncident { latched: 0, .. })));
        drop(state);
        assert_eq!(open(dir.path()).expect("opened").1.latch, None);
    }

    fn bill(bill_id: u64, kind: BillKind, amount: i64, minute: i64) -> Bill {
        let (instrument, amount) = (InstrumentId::ALL, Quote(amount));
        Bill { instrument, kind, amount, bill_id, ts: UnixNanos(DAY_BEGAN + minute * MINUTE) }
    }

    /// Nothing durable told of a bill: each one of a stop was booked by nobody.
    #[test]
    fn a_bill_survives_with_what_it_did_until_all_before_it_are_known_to_be_booked() {
        let dir = tempfile::tempdir().expect("a directory");
        let at = |minute| UnixNanos(DAY_BEGAN + minute * MINUTE);
        let with = |records: &[Record], minute| {
            let (mut state, _) = open(dir.path()).expect("opened");
            records.iter().for_each(|record| state.record(record, at(minute)));
            state.commit_records().expect("durable");
            drop(state);
            open(dir.path()).expect("opened").1.kept
        };
        assert_eq!(with(&[], 0).bills_until, UnixNanos(DAY_BEGAN), "the account as it was found");
        // An older build recorded no bill, but the day that each had changed.
        assert_eq!(with(&[turned()], 60).bills_until, at(60));
        let paid = bill(1, BillKind::Funding, -30, 70);
        let put_in = bill(2, BillKind::Transfer, 500, 71);
        let ahead = bill(3, BillKind::Funding, -4, 24 * 60 + 1);
        // The record of the day that stands behind them has not become durable.
        let kept = with(&[paid, put_in, ahead].map(Record::Bill), 72);
        assert_eq!((kept.bills_until, &kept.bills[..]), (at(60), &[paid, put_in, ahead][..]));
        assert_eq!(kept.earned, Quote(-7 - 30 - 4));
        let Record::Day(before) = turned() else { panic!("a day") };
        let day = kept.day.expect("a day");
        assert_eq!((day.funding, day.equity_open), (Quote(37), before.equity_open + Quote(500)));
        let moved = (before.high_water + Quote(500), [Quote::usdt(9_000) + Quote(500); 6]);
        assert_eq!((day.high_water, day.week), moved);
        let read = Record::BillsRead(BillsRead { until: at(70) });
        let kept = with(&[Record::Day(day), read], 73);
        assert_eq!((kept.earned, &kept.bills[..]), (Quote(-41), &[put_in, ahead][..]));
        let next = Day { day: day.day + 1, funding: Quote(4), ..day };
        let kept = with(&[Record::Day(next)], 24 * 60 + 2);
        assert_eq!((kept.earned, kept.bills_until), (Quote(-41), at(70)));
        let events = events_of(&kept, None, &[rules(b"BTCUSDT", 1)]).expect("events");
        let told = [put_in, ahead].map(Event::RestoreBill);
        assert!(events.ends_with(&told), "{events:?}");
        assert!(events.contains(&Event::RestoreBillsRead(BillsRead { until: at(70) })));
    }

    /// A start is told each of them, and has a table of 14,336.
    #[test]
    fn the_bills_that_a_start_is_told_of_are_those_of_the_last_hour_and_its_overlap() {
        let dir = tempfile::tempdir().expect("a directory");
        let (mut state, _) = open(dir.path()).expect("opened");
        let at = |minute| UnixNanos(DAY_BEGAN + minute * MINUTE);
        let mut told = at(0);
        for minute in 1..3 * 24 * 60 {
            let paid = bill(minute as u64, BillKind::Funding, -1, minute);
            state.record(&Record::Bill(paid), at(minute));
            if minute == 1 || minute % (24 * 60) == 0 {
                let Record::Day(day) = turned() else { panic!("a day") };
                let day = Day { day: at(minute).day(), funding: Quote(1), ..day };
                state.record(&Record::Day(day), at(minute));
            }
            // As the engine says it: ten minutes behind its last look, each hour.
            let until = at(minute - 10);
            if until.0 - told.0 >= 60 * MINUTE {
                told = until;
                state.record(&Record::BillsRead(BillsRead { until }), at(minute));
            }
            if minute % 997 == 0 {
                state.commit_records().expect("durable");
                drop(state);
                let found;
                (state, found) = open(dir.path()).expect("opened");
                let kept = found.kept;
                assert!(kept.bills.len() <= 71, "{} at minute {minute}", kept.bills.len());
                let newest = kept.bills.last().expect("one");
                assert_eq!((newest, kept.earned), (&paid, Quote(-minute)));
            }
        }
    }

    /// The docs said so, and after a drawdown stop the next start stopped again.
    #[test]
    fn a_rearm_at_rest_begins_the_high_water_mark_anew() {
        let dir = tempfile::tempdir().expect("a directory");
        let (mut state, _) = open(dir.path()).expect("opened");
        let (from, to) = (GuardState::Running, GuardState::HardStop);
        let hard = Reasons::NONE.with(Reason::Drawdown).0;
        let change = GuardChanged { from, to, soft: 0, hard, incident: 77 };
        state.record(&turned(), UnixNanos(DAY_BEGAN));
        state.record(&Record::Guard(change), UnixNanos(DAY_BEGAN));
        state.commit_records().expect("durable");
        state.latch(&latch()).expect("latched");
        drop(state);
        let high_water = || {
            let (_, found) = open(dir.path()).expect("opened");
            let events = events_of(&found.kept, found.latch, &[]).expect("events");
            events.iter().find_map(|event| match event {
                Event::RestoreDay(day) => Some((day.latched, day.high_water)),
                _ => None,
            })
        };
        assert_eq!(high_water(), Some((true, Quote::usdt(10_002))));
        rearm_at_rest(dir.path(), 77, 7, UnixNanos(DAY_BEGAN + MINUTE)).expect("rearmed");
        assert_eq!(high_water(), Some((false, Quote::ZERO)), "the first that is known counts");
    }

    #[test]
    fn of_many_who_latch_at_once_one_incident_counts_and_all_are_told_it() {
        let dir = tempfile::tempdir().expect("a directory");
        for round in 0..20 {
            let path = dir.path().join(round.to_string());
            fs::create_dir(&path).expect("made");
            let told: Vec<u64> = std::thread::scope(|scope| {
                let latches = (1..=4).map(|incident| {
                    let (path, latch) = (&path, Latch { incident, ..latch() });
                    scope.spawn(move || latch_beside(path, &latch).expect("latched").incident)
                });
                let threads: Vec<_> = latches.collect();
                threads.into_iter().map(|thread| thread.join().expect("calm")).collect()
            });
            let found = latched(&path).expect("readable").expect("there").incident;
            assert!(told.iter().all(|incident| *incident == found), "{told:?}, found {found}");
        }
    }

    #[test]
    fn a_stop_is_in_force_by_the_ledger_or_the_latch() {
        let dir = tempfile::tempdir().expect("a directory");
        let (mut state, _) = open(dir.path()).expect("opened");
        let (from, to) = (GuardState::Running, GuardState::HardStop);
        let hard = Reasons::NONE.with(Reason::Drawdown).0;
        let change = GuardChanged { from, to, soft: 0, hard, incident: 5 };
        state.record(&Record::Guard(change), UnixNanos(9));
        state.commit_records().expect("durable");
        drop(state);
        let latch = open(dir.path()).expect("opened").1.latch.expect("in force");
        assert_eq!((latch.incident, latch.since), (5, UnixNanos(9)));
        assert!(latch.reasons.contains(Reason::Drawdown));
    }

    #[test]
    fn a_position_is_carried_to_finer_ticks_and_refused_where_it_is_no_whole_number() {
        let dir = tempfile::tempdir().expect("a directory");
        let (mut state, _) = open(dir.path()).expect("opened");
        state.record(&booked(1, 3, DAY_BEGAN), UnixNanos(DAY_BEGAN));
        state.commit_records().expect("durable");
        drop(state);
        let (_, found) = open(dir.path()).expect("opened");
        let now = UnixNanos(DAY_BEGAN + MINUTE);
        let fine = found.events(dir.path(), &[rules(b"BTCUSDT", 2)], now).expect("events");
        let [Event::RestorePosition(held), Event::RestoreFill(fill), _] = fine[..] else {
            panic!("a position and its execution: {fine:?}");
        };
        assert_eq!((held.entry_value, fill.price), (3 * 7_720_000, Ticks(7_720_000)));
        let coarse = Instrument { lot: Grid { step: 2, scale: 4 }, ..rules(b"BTCUSDT", 1) };
        assert!(matches!(found.events(dir.path(), &[coarse], now), Err(StateError::Grid(_))));
    }

    /// A ledger of six records, of which three are vouched for: where it is, and its bytes.
    fn six_records(dir: &Path) -> (PathBuf, Vec<u8>) {
        let (mut state, _) = open(dir).expect("opened");
        for number in 1..=6 {
            state.record(&booked(number, 1, DAY_BEGAN), UnixNanos(1));
            state.commit_records().expect("durable");
            if number == 3 {
                state.write_daily(&day()).expect("vouched for");
            }
        }
        let path = dir.join(LEDGER);
        let whole = fs::read(&path).expect("read");
        (path, whole)
    }

    #[test]
    fn a_cut_or_a_flip_in_the_ledger_is_a_torn_tail_or_refused_where_it_was_durable() {
        let dir = tempfile::tempdir().expect("a directory");
        let (path, whole) = six_records(dir.path());
        let record = (whole.len() - 28) / 6;
        for place in (0..whole.len()).step_by(11) {
            let mut flipped = whole.clone();
            flipped[place] ^= 0x20;
            for bytes in [&whole[..place], &flipped] {
                fs::write(&path, bytes).expect("written");
                let opened = open(dir.path());
                if place < 28 + 3 * record {
                    assert!(matches!(opened, Err(StateError::Corrupt { .. })), "byte {place}");
                    assert_eq!(fs::read(&path).expect("read"), *bytes, "it is not changed");
                } else {
                    let kept = opened.expect("opened").1.kept.fills.len();
                    assert_eq!(kept, (place - 28) / record, "byte {place}");
                }
            }
        }
        fs::remove_file(&path).expect("removed");
        assert!(matches!(open(dir.path()), Err(StateError::Corrupt { .. })));
    }

    /// Whole records that are not the ones that were written: one is missing, stands twice, or two
    /// have changed places; and a file of another format.
    #[test]
    fn a_record_that_is_missing_doubled_or_out_of_its_place_ends_the_ledger_or_refuses_the_start() {
        let dir = tempfile::tempdir().expect("a directory");
        let (path, whole) = six_records(dir.path());
        let (head, records) = whole.split_at(28);
        let records: Vec<&[u8]> = records.chunks(records.len() / 6).collect();
        let kept = |order: &[usize]| {
            let body: Vec<&[u8]> = order.iter().map(|&place| records[place]).collect();
            let bytes = [head, &body.concat()].concat();
            fs::write(&path, &bytes).expect("written");
            let opened = open(dir.path());
            let same = || fs::read(&path).expect("read") == bytes;
            let refused = matches!(&opened, Err(StateError::Corrupt { .. })) && same();
            opened.ok().map(|(_, found)| found.kept.fills.len()).ok_or(refused)
        };
        // Of the first three all that they mean is durable: nothing may be guessed.
        for order in [&[0, 2, 3, 4, 5][..], &[0, 0, 1, 2, 3, 4, 5], &[1, 0, 2, 3, 4, 5], &[0, 1]] {
            assert_eq!(kept(order), Err(true), "{order:?}");
        }
        // What came after is asked of the venue again.
        for (order, left) in [
            (&[0, 1, 2, 4, 5][..], 3),
            (&[0, 1, 2, 3, 3, 4, 5], 4),
            (&[0, 1, 2, 4, 3, 5], 3),
            (&[0, 1, 2, 3, 4, 5], 6),
        ] {
            assert_eq!(kept(order), Ok(left), "{order:?}");
        }
        for other in [&b"KEELLED0"[..], b"KEELLED2"] {
            fs::write(&path, [other, &whole[8..]].concat()).expect("written");
            let said = open(dir.path()).expect_err("another format").to_string();
            assert!(said.contains("does not begin as the ledger"), "{said}");
        }
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
                    in_force(&OsFiles, dir.path(), None)?,
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
        let Err(error) = StateDir::open(dir.path(), &other, UnixNanos(0)) else {
            panic!("refused")
        };
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

    #[test]
    fn a_latch_on_a_host_that_has_never_run_the_engine_stops_its_first_run() {
        let above = tempfile::tempdir().expect("a directory");
        let dir = above.path().join("venue/uid");
        let incident = incident_beside(0, Beside::Person);
        let reasons = Reasons::NONE.with(Reason::Operator);
        let latch = Latch { incident, reasons, since: UnixNanos(5) };
        assert_eq!(latch_beside(&dir, &latch).expect("written"), latch);
        let (_, recovered) = open(&dir).expect("a first start");
        assert_eq!(recovered.latch, Some(latch));
        // It was read and told to nobody: the first run traded.
        let told = recovered.events(&dir, &[rules(b"BTCUSDT", 1)], UnixNanos(6)).expect("told");
        let [Event::RestoreDay(day)] = told[..] else { panic!("the stop, and no more: {told:?}") };
        assert_eq!((day.latched, day.incident, day.reasons), (true, incident, reasons.0));
    }

    #[test]
    fn a_latch_on_a_host_that_has_never_run_the_engine_is_cleared_by_its_number() {
        let dir = tempfile::tempdir().expect("a directory");
        let incident = incident_beside(0, Beside::Person);
        let reasons = Reasons::NONE.with(Reason::Operator);
        let latch = Latch { incident, reasons, since: UnixNanos(5) };
        latch_beside(dir.path(), &latch).expect("written");
        let at_rest = |named| rearm_at_rest(dir.path(), named, 7, UnixNanos(6));
        assert!(matches!(at_rest(incident + 1), Err(StateError::OtherIncident { .. })));
        at_rest(incident).expect("rearmed, though nothing tells whose directory it is");
        let (_, recovered) = open(dir.path()).expect("a first start");
        assert_eq!((recovered.latch, recovered.dirty), (None, false));
    }

    #[test]
    fn a_latch_from_outside_of_a_run_stops_the_next_one_and_is_cleared_only_by_its_number() {
        let dir = tempfile::tempdir().expect("a directory");
        assert_eq!(holder(&dir.path().join("nowhere")).expect("asked"), None);
        let (state, _) = open(dir.path()).expect("a first start");
        assert_eq!(holder(dir.path()).expect("asked"), Some(std::process::id()));
        assert_eq!(epoch(dir.path()).expect("read"), 1);
        let incident = incident_beside(1, Beside::Guardian);
        let reasons = Reasons::NONE.with(Reason::EngineLost);
        let latch = Latch { incident, reasons, since: UnixNanos(5) };
        assert_eq!(latch_beside(dir.path(), &latch).expect("written"), latch);
        let later = Latch { incident: incident + 1, ..latch };
        assert_eq!(latch_beside(dir.path(), &later).expect("read"), latch, "the earlier one stays");
        let at_rest = |named| rearm_at_rest(dir.path(), named, 7, UnixNanos(6));
        assert!(matches!(at_rest(incident), Err(StateError::Locked(_))), "a run holds it");
        drop(state);
        let wrong = at_rest(incident + 1);
        assert!(
            matches!(wrong, Err(StateError::OtherIncident { latched, .. }) if latched == incident)
        );
        let (state, recovered) = open(dir.path()).expect("a second start");
        assert_eq!(recovered.latch, Some(latch));
        drop(state);
        at_rest(incident).expect("rearmed");
        assert_eq!(latched(dir.path()).expect("read"), None);
        let log = fs::read_to_string(dir.path().join(OPERATORS)).expect("a log");
        assert_eq!(log.lines().count(), 3, "{log}");
        assert!(
            log.contains("by user 7: wrong incident") && log.contains("by user 7: asked"),
            "{log}"
        );
    }
}
