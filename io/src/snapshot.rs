//! Snapshot: what the desk sees of a run, at one moment. Copies only; nothing reads it to decide.

use std::path::PathBuf;

use keel_core::event::Mode;
use keel_core::instrument::{Instrument, Symbol};
use keel_core::param::Profile;
use keel_core::status::Row;
use keel_core::units::UnixNanos;

use crate::latency::Summary;

/// A run at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// When it was taken, by the host's clock.
    pub at: UnixNanos,
    /// Since the run began, in nanoseconds.
    pub uptime_ns: u64,
    /// How it trades.
    pub mode: Mode,
    /// Which defaults it started from.
    pub profile: Profile,
    /// The instance's name.
    pub instance: String,
    /// Where it writes.
    pub run_dir: PathBuf,
    /// One for each instrument, in the order of their ids.
    pub instruments: Vec<InstrumentSnapshot>,
    /// From a byte received to the byte sent that it caused, over the whole run.
    pub wire_to_order: Summary,
    /// Executions booked in this run.
    pub fills: u64,
    /// The newest notices, oldest first, as they stand in the log.
    pub notices: Vec<String>,
}

/// An instrument at one moment.
#[derive(Clone, Copy, Debug)]
pub struct InstrumentSnapshot {
    /// Its name.
    pub symbol: Symbol,
    /// Its rules, once fetched.
    pub rules: Option<Instrument>,
    /// The engine's figures; `None` before the first complete row.
    pub row: Option<Row>,
}
