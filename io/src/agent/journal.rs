//! The journal's agent: takes the tap, makes it durable in groups, and hands on what files and people need.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use keel_core::units::MonoNanos;
use keel_net::driver::Poller;
use keel_net::link::{Receiver, Sender};

use super::Agent;
use crate::journal::{Closed, JournalError, Tap, TapKind, Writer};

/// What others may see of the journal.
#[derive(Debug, Default)]
pub struct JournalGauge {
    lag_ns: AtomicU64,
    failed: AtomicBool,
    records: AtomicU64,
}

impl JournalGauge {
    /// Age of the oldest record that is not durable yet, in nanoseconds.
    pub fn lag_ns(&self) -> u64 {
        // Relaxed: a measure of one writer, ordered with nothing.
        self.lag_ns.load(Ordering::Relaxed)
    }

    /// True once the disk has refused a write: nothing after it is durable, and nothing is tried again.
    pub fn has_failed(&self) -> bool {
        // Relaxed: a flag that only rises.
        self.failed.load(Ordering::Relaxed)
    }

    /// Records appended.
    pub fn records(&self) -> u64 {
        // Relaxed: a counter of one writer, ordered with nothing.
        self.records.load(Ordering::Relaxed)
    }
}

/// Writes the journal.
pub struct JournalAgent {
    writer: Option<Writer>,
    from_engine: Receiver<Tap>,
    to_cold: Sender<Tap>,
    gauge: Arc<JournalGauge>,
    records: u64,
    dropped: u64,
    closed: Option<Result<Closed, JournalError>>,
}

/// Records taken in a cycle.
const QUOTA: usize = 4_096;

impl JournalAgent {
    /// An agent that writes with `writer`.
    pub fn new(
        writer: Writer,
        from_engine: Receiver<Tap>,
        to_cold: Sender<Tap>,
        gauge: Arc<JournalGauge>,
    ) -> Self {
        let (records, dropped) = (0, 0);
        let writer = Some(writer);
        Self { writer, from_engine, to_cold, gauge, records, dropped, closed: None }
    }

    fn append(&mut self, tap: &Tap, now: MonoNanos) -> Result<(), JournalError> {
        let Some(writer) = &mut self.writer else { return Ok(()) };
        writer.append(tap, now)?;
        self.records += 1;
        Ok(())
    }

    /// A write that failed is never tried again: the descriptor's state is not known after it.
    fn fail(&mut self, error: &JournalError) {
        eprintln!("journal: {error}; nothing is durable from here on");
        self.writer = None;
        // Relaxed: a flag that only rises.
        self.gauge.failed.store(true, Ordering::Relaxed);
        self.gauge.lag_ns.store(u64::MAX, Ordering::Relaxed);
    }

    fn commit_if_due(&mut self, now: MonoNanos) {
        let Some(writer) = &mut self.writer else { return };
        let committed = if writer.commit_at() <= now { writer.commit() } else { Ok(()) };
        // Relaxed: measures of one writer, ordered with nothing.
        self.gauge.lag_ns.store(writer.lag_ns(now), Ordering::Relaxed);
        self.gauge.records.store(self.records, Ordering::Relaxed);
        if let Err(error) = committed {
            self.fail(&error);
        }
    }

    fn close(&mut self) {
        let Some(writer) = self.writer.take() else { return };
        let closed = writer.close();
        if let Err(error) = &closed {
            self.fail(error);
        }
        self.closed = Some(closed);
    }
}

impl Agent for JournalAgent {
    fn name(&self) -> &'static str {
        "journal"
    }

    fn step(&mut self, now: MonoNanos, _poller: &mut Poller) -> usize {
        let mut taken = 0;
        while taken < QUOTA {
            let Some(tap) = self.from_engine.pop() else { break };
            taken += 1;
            if let Err(error) = self.append(&tap, now) {
                self.fail(&error);
            }
            if concerns_people(&tap) && self.to_cold.push(tap).is_err() {
                // Files are made again from the journal; the journal is not.
                self.dropped += 1;
            }
        }
        self.commit_if_due(now);
        if self.from_engine.is_finished() {
            self.close();
        }
        taken
    }

    fn deadline(&self) -> MonoNanos {
        // The link does not wake this thread; it looks by itself.
        self.writer.as_ref().map_or(MonoNanos::NEVER, Writer::commit_at)
    }

    fn is_over(&self) -> bool {
        self.from_engine.is_finished() && self.writer.is_none()
    }
}

/// True for what files, console and metrics are made from; market data and most of the rest is not.
fn concerns_people(tap: &Tap) -> bool {
    match tap.kind {
        TapKind::Command => true,
        TapKind::Event => FILE_EVENTS.contains(&tap.slot[0]),
        TapKind::Stamps | TapKind::Digest => false,
    }
}

/// Kinds of events that files are made from: fills, rules and bills.
const FILE_EVENTS: [u8; 3] = [12, 3, 23];
