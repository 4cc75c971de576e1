//! The recorder: journal first, then the files that are made from what is durable.

use std::path::{Path, PathBuf};

use keel_core::command::CommandView;
use keel_core::event::Mode;
use keel_core::guard::GuardState;
use keel_core::instrument::Symbol;
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
use crate::os;
use crate::snapshot::Snapshot;
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
    /// A stop for good has been taken and is not durable yet.
    urgent: bool,
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
    pub fn open(run: Run, state: StateDir, anchor: Anchor) -> Result<Self, RecordError> {
        let header = Header::first(run.config_hash, state.epoch(), anchor);
        let fs = state.fs().clone();
        let journal_dir = journal_dir(&run.run_dir);
        let journal = Writer::create_on(fs.clone(), &journal_dir, header, run.limits)?;
        let mut tables = Vec::with_capacity(run.symbols.len());
        for symbol in &run.symbols {
            let dir = table_dir(state.path(), &run.symbols, *symbol);
            let labels = Labels {
                variant: run.variant.clone(),
                exchange: run.exchange.clone(),
                pair: symbol.to_string(),
                instance: run.instance,
            };
            tables.push(Tables::open(&*fs, &dir, labels, anchor.utc)?);
        }
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
            urgent: false,
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
            self.urgent |= is_hard_stop(tap);
            self.staged.push(*tap);
        }
        Ok(())
    }

    /// When the next commit is due: at once after a stop for good.
    pub fn commit_at(&self) -> MonoNanos {
        if self.urgent { MonoNanos::ZERO } else { self.journal.commit_at() }
    }

    /// When the oldest record was taken that is not durable; `None` while all are.
    pub fn waits_since(&self) -> Option<MonoNanos> {
        self.journal.waits_since()
    }

    /// Makes everything taken durable, then the rows and the day that it means.
    ///
    /// # Errors
    /// As [`RecordError`] says; the journal's part is durable unless it says otherwise.
    pub fn commit(&mut self, now: MonoNanos) -> Result<(), RecordError> {
        self.journal.commit()?;
        self.urgent = false;
        let staged = std::mem::take(&mut self.staged);
        let mut news = std::mem::take(&mut self.news);
        for tap in &staged {
            self.tally.take(tap, &mut news).map_err(RecordError::Layout)?;
        }
        self.staged = staged;
        self.staged.clear();
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
                self.latch_if_stopped()?;
            }
        }
        Ok(())
    }

    fn latch_if_stopped(&self) -> Result<(), RecordError> {
        let (state, reasons, incident) = self.tally.guard();
        if state == GuardState::HardStop {
            let since = self.tally.guard_since();
            self.state.latch(&Latch { incident, reasons, since })?;
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
        HostColumns {
            rss_kib: os::resident_kib(),
            open_fds: os::open_files(),
            rate_headroom: self.tally.headroom(),
            wire_to_order: self.tally.minute.summary(Stage::Whole),
            engine_cycle_max_ns: self.cycle_max_ns,
        }
    }

    fn utc(&self, now: MonoNanos) -> UnixNanos {
        self.tally.utc(now)
    }
}

/// True for the record of a stop for good.
pub(crate) fn is_hard_stop(tap: &Tap) -> bool {
    let Ok(CommandView::GuardChanged(change)) = CommandView::decode(&tap.slot) else {
        return false;
    };
    tap.kind == TapKind::Command && change.to == GuardState::HardStop
}

/// Where an instrument's tables stand: in the directory itself when it is the only one.
pub fn table_dir(state_dir: &Path, symbols: &[Symbol], symbol: Symbol) -> PathBuf {
    if symbols.len() == 1 { state_dir.to_owned() } else { state_dir.join(symbol.as_str()) }
}
