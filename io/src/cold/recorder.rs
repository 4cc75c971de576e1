//! The recorder: journal first, then the files that are made from what is durable.

use std::path::{Path, PathBuf};

use keel_core::command::{CommandView, GuardChanged};
use keel_core::event::{Bill, Mode};
use keel_core::guard::{GuardState, Reason, Reasons};
use keel_core::instrument::{InstrumentId, Symbol};
use keel_core::layout::LayoutError;
use keel_core::param::Profile;
use keel_core::units::{MonoNanos, UnixNanos};
use keel_net::bitget::client::Instance;

use super::csv::{HostColumns, Labels, Tables};
use super::tally::{News, Tally};
use crate::clock::Anchor;
use crate::disk::{DiskFile, Opening, Refused, refused};
use crate::journal::{Closed, Header, JournalError, Limits, Tap, TapKind, Writer};
use crate::latency::Stage;
use crate::mode::replay::journal_dir;
use crate::snapshot::Snapshot;
use crate::state::ledger::Record;
use crate::state::{Latch, StateDir, StateError};

/// Keeps a run's records: the journal, the tables, the day and the log.
///
/// One thread owns it. [`Recorder::take`] only buffers; [`Recorder::commit`] makes the group
/// durable and then writes what it means, so that no file tells what the journal does not hold.
#[derive(Debug)]
pub struct Recorder {
    run: Run,
    journal: Writer,
    state: StateDir,
    tables: Vec<Tables>,
    tally: Tally,
    staged: Vec<Tap>,
    news: Vec<News>,
    log: Box<dyn DiskFile>,
    log_path: PathBuf,
    day_changed: bool,
    /// A stop for good that has been taken and is not durable yet.
    latching: Option<Latch>,
    cycle_max_ns: Option<u64>,
}

/// What a recorder needs to know of its run.
#[derive(Clone, Debug)]
pub struct Run {
    /// Where the run writes.
    pub run_dir: PathBuf,
    /// How it trades.
    pub mode: Mode,
    /// Its defaults.
    pub profile: Profile,
    /// Its name.
    pub instance: Instance,
    /// `bot_variant`.
    pub variant: String,
    /// `exchange`.
    pub exchange: String,
    /// What it trades, in the order of ids.
    pub symbols: Vec<Symbol>,
    /// BLAKE3 of its configuration.
    pub config_hash: [u8; 32],
    /// What its journal may use.
    pub limits: Limits,
}

/// Why records cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A table or the log.
    #[error(transparent)]
    Disk(#[from] Refused),
    /// The state directory.
    #[error(transparent)]
    State(#[from] StateError),
    /// A record that is none.
    #[error("a record cannot be decoded: {0:?}")]
    Layout(LayoutError),
}

impl Recorder {
    /// Opens the run's journal and log in its directory, and the tables in the state directory.
    ///
    /// # Errors
    /// As [`RecordError`] says.
    pub fn open(run: Run, mut state: StateDir, anchor: Anchor) -> Result<Self, RecordError> {
        let header = Header::first(run.config_hash, state.epoch(), anchor);
        let fs = state.fs().clone();
        let journal_dir = journal_dir(&run.run_dir);
        let journal = Writer::create_on(fs.clone(), &journal_dir, header, run.limits)?;
        let mut tables = Vec::with_capacity(run.symbols.len());
        for symbol in &run.symbols {
            let dir = table_dir(state.path(), &run.symbols, *symbol);
            tables.push(Tables::open(&*fs, &dir, labels(&run, *symbol), anchor.utc)?);
        }
        write_missing_rows(&run, &mut state, &mut tables, anchor)?;
        let log_path = run.run_dir.join("keel.log");
        let log = refused("open", &log_path, fs.open(&log_path, Opening::Appending))?;
        Ok(Self {
            tally: Tally::new(&run.symbols, anchor),
            run,
            journal,
            state,
            tables,
            staged: Vec::new(),
            news: Vec::new(),
            log,
            log_path,
            day_changed: false,
            latching: None,
            cycle_max_ns: None,
        })
    }

    /// Takes a record from the journal link.
    ///
    /// # Errors
    /// [`RecordError::Journal`].
    pub fn take(&mut self, tap: &Tap, now: MonoNanos) -> Result<(), RecordError> {
        self.journal.append(tap, now)?;
        if Tally::wants(tap) {
            if let Some(change) = hard_stop(tap) {
                let reasons = Reasons(change.soft).union(Reasons(change.hard));
                let since = self.utc(tap.now);
                self.latching = Some(Latch { incident: change.incident, reasons, since });
            }
            self.staged.push(*tap);
        }
        Ok(())
    }

    /// When the next commit is due: at once after a stop for good.
    pub fn commit_at(&self) -> MonoNanos {
        if self.latching.is_some() { MonoNanos::ZERO } else { self.journal.commit_at() }
    }

    /// When the oldest record was taken that is not durable; `None` while all are.
    pub fn waits_since(&self) -> Option<MonoNanos> {
        self.journal.waits_since()
    }

    /// Makes everything taken durable: a stop for good first, then the journal, then what a restart
    /// needs, and then the rows and the day that it means. So no file tells what the one before it
    /// does not.
    ///
    /// # Errors
    /// As [`RecordError`] says; the journal's part is durable unless it says otherwise.
    pub fn commit(&mut self, now: MonoNanos) -> Result<(), RecordError> {
        if let Some(latch) = self.latching.take() {
            self.state.latch(&latch)?;
        }
        self.journal.commit()?;
        let staged = std::mem::take(&mut self.staged);
        let mut news = std::mem::take(&mut self.news);
        let mut rearmed = false;
        for tap in &staged {
            let from = news.len();
            self.tally.take(tap, &mut news).map_err(RecordError::Layout)?;
            if let Some(record) = record_of(tap, &news[from..]) {
                if let Record::Guard(_) = record {
                    rearmed = is_rearm(&record);
                }
                self.state.record(&record, self.tally.utc(tap.now));
            }
        }
        self.staged = staged;
        self.staged.clear();
        self.state.commit_records()?;
        if rearmed {
            self.state.unlatch()?;
        }
        let written = news.drain(..).try_for_each(|item| self.write(&item, now));
        self.news = news;
        written?;
        self.tables.iter_mut().try_for_each(Tables::sync)?;
        if std::mem::take(&mut self.day_changed) {
            self.write_day(now)?;
        }
        Ok(())
    }

    /// Writes rows for minutes that the engine left without one. To be called about once a second.
    ///
    /// # Errors
    /// [`RecordError::Disk`].
    pub fn tick(&mut self, now: MonoNanos) -> Result<(), RecordError> {
        let utc = self.utc(now);
        let host = self.host();
        for tables in &mut self.tables {
            tables.late(&host, utc)?;
        }
        Ok(())
    }

    /// Tells of the engine agent's longest cycle in this minute so far.
    pub fn engine_cycle(&mut self, nanos: u64) {
        self.cycle_max_ns = self.cycle_max_ns.max(Some(nanos));
    }

    /// Latches a hard stop that no record tells of: the engine itself is gone.
    ///
    /// # Errors
    /// [`RecordError::State`].
    pub fn latch(&self, latch: &Latch) -> Result<(), RecordError> {
        Ok(self.state.latch(latch)?)
    }

    /// Latches that records cannot be kept any more.
    ///
    /// # Errors
    /// [`RecordError::State`].
    pub fn latch_failure(&self, now: MonoNanos) -> Result<(), RecordError> {
        let reasons = Reasons::NONE.with(Reason::JournalFailed);
        // The guard counts its incidents from 1 in each epoch, so this one has a name of its own.
        let incident = u64::from(self.state.epoch()) << 32 | u64::from(u32::MAX);
        self.latch(&Latch { incident, reasons, since: self.utc(now) })
    }

    /// The run as the desk sees it. `uptime_ns` is since its start.
    pub fn snapshot(&self, uptime_ns: u64, now: MonoNanos) -> Snapshot {
        Snapshot {
            at: self.utc(now),
            uptime_ns,
            mode: self.run.mode,
            profile: self.run.profile,
            instance: String::from_utf8_lossy(self.run.instance.as_bytes()).into_owned(),
            run_dir: self.run.run_dir.clone(),
            instruments: self.tally.instruments(),
            wire_to_order: self.tally.total.summary(Stage::Whole),
            fills: self.tally.fills(),
            notices: self.tally.notices(),
        }
    }

    /// Ends the records. `clean` says that zero open orders were verified at the venue; the mark
    /// that tells the next start so is the last thing written.
    ///
    /// # Errors
    /// As [`RecordError`] says; without the mark then.
    pub fn close(mut self, clean: bool, now: MonoNanos) -> Result<Closed, RecordError> {
        self.commit(now)?;
        self.write_day(now)?;
        let closed = self.journal.close()?;
        if clean {
            self.state.mark_clean()?;
        }
        Ok(closed)
    }

    fn write(&mut self, item: &News, now: MonoNanos) -> Result<(), RecordError> {
        match item {
            News::Fill(id, booked, context) => {
                self.day_changed = true;
                self.tables[id.index()].fill(booked, context)?;
            }
            News::Minute(id, row, rules) => {
                let host = self.host();
                self.tables[id.index()].minute(row, rules, &host)?;
                if id.index() + 1 == self.tables.len() {
                    self.tally.minute.clear();
                    self.cycle_max_ns = None;
                }
            }
            News::DayOver(day, context) => {
                let utc = self.utc(now);
                self.day_changed = true;
                for tables in &mut self.tables {
                    tables.day(day, context, utc)?;
                }
            }
            News::DayChanged => self.day_changed = true,
            News::Line(line) => {
                self.day_changed = true;
                let written = self.log.write(
                    format!(
                        "{line}
"
                    )
                    .as_bytes(),
                );
                refused("write", &self.log_path, written)?;
            }
        }
        Ok(())
    }

    fn write_day(&self, now: MonoNanos) -> Result<(), RecordError> {
        match self.tally.daily(self.run.config_hash, self.utc(now)) {
            Some(day) => Ok(self.state.write_daily(&day)?),
            None => Ok(()),
        }
    }

    fn host(&self) -> HostColumns {
        HostColumns::now(&self.tally, self.cycle_max_ns)
    }

    fn utc(&self, now: MonoNanos) -> UnixNanos {
        self.tally.utc(now)
    }
}

/// The record of a stop for good.
fn hard_stop(tap: &Tap) -> Option<GuardChanged> {
    match (tap.kind, CommandView::decode(&tap.slot)) {
        (TapKind::Command, Ok(CommandView::GuardChanged(change))) => {
            (change.to == GuardState::HardStop).then_some(change)
        }
        _ => None,
    }
}

/// True for the record of a stop for good.
pub(crate) fn is_hard_stop(tap: &Tap) -> bool {
    hard_stop(tap).is_some()
}

/// What the ledger keeps of a tap; `news` is what the tally made of it.
pub(crate) fn record_of(tap: &Tap, news: &[News]) -> Option<Record> {
    if tap.kind != TapKind::Command {
        return None;
    }
    match CommandView::decode(&tap.slot).ok()? {
        CommandView::Booked(booked) => news.iter().find_map(|item| match item {
            News::Fill(_, _, context) => Some(Record::Booked(booked, *context)),
            _ => None,
        }),
        CommandView::Day(day) => Some(Record::Day(day)),
        CommandView::BillBooked(bill) => {
            Some(Record::Bill(Bill { instrument: InstrumentId::ALL, ..bill }))
        }
        CommandView::BillsRead(read) => Some(Record::BillsRead(read)),
        CommandView::GuardChanged(change) => [change.from, change.to]
            .contains(&GuardState::HardStop)
            .then_some(Record::Guard(change)),
        _ => None,
    }
}

/// True for the record of a rearm.
fn is_rearm(record: &Record) -> bool {
    matches!(record, Record::Guard(change) if change.to != GuardState::HardStop)
}

/// Rows for executions that an earlier run booked and did not come to write down.
fn write_missing_rows(
    run: &Run,
    state: &mut StateDir,
    tables: &mut [Tables],
    anchor: Anchor,
) -> Result<(), RecordError> {
    for (booked, context) in state.take_unwritten() {
        let symbol = context.rules.symbol;
        match run.symbols.iter().position(|&known| known == symbol) {
            Some(place) => {
                tables[place].fill(&booked, &context)?;
            }
            // It is not traded any more; its table is where several stand beside each other.
            None => {
                let fs = state.fs().clone();
                let dir = state.path().join(symbol.as_str());
                let mut table = Tables::open(&*fs, &dir, labels(run, symbol), anchor.utc)?;
                table.fill(&booked, &context)?;
                table.sync()?;
            }
        }
    }
    tables.iter_mut().for_each(Tables::forget);
    Ok(tables.iter_mut().try_for_each(Tables::sync)?)
}

fn labels(run: &Run, symbol: Symbol) -> Labels {
    Labels {
        variant: run.variant.clone(),
        exchange: run.exchange.clone(),
        pair: symbol.to_string(),
        instance: run.instance,
    }
}

/// Where an instrument's tables stand: in the directory itself when it is the only one.
pub fn table_dir(state_dir: &Path, symbols: &[Symbol], symbol: Symbol) -> PathBuf {
    if symbols.len() == 1 { state_dir.to_owned() } else { state_dir.join(symbol.as_str()) }
}
