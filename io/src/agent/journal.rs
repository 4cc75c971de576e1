//! The journal's agent: takes the tap and the stamps, makes them durable in groups, and then files
//! and snapshot follow. It is the only one that waits for the disk.

use std::sync::{Arc, Mutex};

use arc_swap::ArcSwapOption;
use keel_core::units::{MonoNanos, SECONDS};
use keel_net::driver::Poller;
use keel_net::link::Receiver;
use keel_net::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::Agent;
use crate::cold::recorder::{RecordError, Recorder};
use crate::journal::{Closed, Tap};
use crate::snapshot::Snapshot;

/// What others may see of the journal.
#[derive(Debug, Default)]
pub struct JournalGauge {
    /// Since when something is not durable, or the disk is at work; 0 for neither.
    waits_since: AtomicU64,
    failed: AtomicBool,
    snapshot: ArcSwapOption<Snapshot>,
}

impl JournalGauge {
    /// Age of the oldest record that is not durable yet, in nanoseconds; the greatest there is once
    /// the disk has refused a write.
    pub fn lag_ns(&self, now: MonoNanos) -> u64 {
        if self.has_failed() {
            return u64::MAX;
        }
        // Relaxed: a measure of one writer, ordered with nothing.
        match self.waits_since.load(Ordering::Relaxed) {
            0 => 0,
            since => now.since(MonoNanos(since)),
        }
    }

    /// Says since when something waits for the disk. Told before the disk is asked: one that does
    /// not answer keeps its thread from telling anything afterwards.
    fn waits(&self, since: Option<MonoNanos>) {
        // Relaxed: as above.
        self.waits_since.store(since.map_or(0, |since| since.0.max(1)), Ordering::Relaxed);
    }

    /// True once the disk has refused a write: nothing after it is durable, and nothing is tried
    /// again.
    pub fn has_failed(&self) -> bool {
        // Relaxed: a flag that only rises.
        self.failed.load(Ordering::Relaxed)
    }

    /// The run as it was a second ago at most; `None` before the first. Nobody waits, neither who
    /// asks nor who writes, and there is always one to see from the first on: a kill asks it once
    /// what is held.
    pub fn snapshot(&self) -> Option<Arc<Snapshot>> {
        self.snapshot.load_full()
    }

    fn show(&self, snapshot: Snapshot) {
        self.snapshot.store(Some(Arc::new(snapshot)));
    }
}

/// How the records of a run ended.
#[derive(Debug)]
pub struct Records {
    /// The journal's end, or why it has none.
    pub closed: Result<Closed, RecordError>,
    /// The run as it was at its end.
    pub last: Snapshot,
}

/// Writes journal and files.
pub struct JournalAgent {
    recorder: Option<Recorder>,
    from_engine: Receiver<Tap>,
    from_gateway: Receiver<Tap>,
    gauge: Arc<JournalGauge>,
    ended: Arc<Mutex<Option<Records>>>,
    /// The engine has verified zero open orders.
    verified: Arc<AtomicBool>,
    started: MonoNanos,
    tick_at: MonoNanos,
}

/// Records taken in a cycle.
const QUOTA: usize = 4_096;

impl JournalAgent {
    /// An agent that writes with `recorder`; when its links end it leaves the result in `ended`.
    /// `verified` says by then whether the stop was orderly.
    pub fn new(
        recorder: Recorder,
        [from_engine, from_gateway]: [Receiver<Tap>; 2],
        gauge: Arc<JournalGauge>,
        ended: Arc<Mutex<Option<Records>>>,
        verified: Arc<AtomicBool>,
        now: MonoNanos,
    ) -> Self {
        let recorder = Some(recorder);
        let (started, tick_at) = (now, now);
        Self { recorder, from_engine, from_gateway, gauge, ended, verified, started, tick_at }
    }

    fn take(&mut self, now: MonoNanos) -> Result<usize, RecordError> {
        let Some(recorder) = &mut self.recorder else {
            // Nothing is durable any more; the links are emptied so that the others can end.
            return Ok(self.from_engine.drain(QUOTA, drop) + self.from_gateway.drain(QUOTA, drop));
        };
        self.gauge.waits(Some(recorder.waits_since().unwrap_or(now)));
        let mut taken = 0;
        for link in [&mut self.from_gateway, &mut self.from_engine] {
            while taken < QUOTA {
                let Some(tap) = link.pop() else { break };
                recorder.take(&tap, now)?;
                taken += 1;
            }
        }
        let commits = recorder.commit_at() <= now;
        if commits {
            recorder.commit(now)?;
        }
        let ticks = now >= self.tick_at;
        if ticks {
            self.tick_at = now.after(SECONDS / 2);
            recorder.tick(now)?;
        }
        if commits || ticks {
            self.gauge.show(recorder.snapshot(now.since(self.started), now));
        }
        self.gauge.waits(recorder.waits_since());
        Ok(taken)
    }

    /// A write that failed is never tried again: the descriptor's state is not known after it.
    fn fail(&mut self, error: RecordError, now: MonoNanos) {
        eprintln!("records: {error}; nothing is durable from here on");
        // The engine stops for good when it hears of it, and nothing could record that any more:
        // the latch is made durable here, on its own file, before it is told.
        if let Some(recorder) = &self.recorder
            && let Err(error) = recorder.latch_failure(now)
        {
            eprintln!("records: the stop cannot be latched: {error}");
        }
        // Relaxed: a flag that only rises.
        self.gauge.failed.store(true, Ordering::Relaxed);
        if let Some(recorder) = self.recorder.take() {
            let last = recorder.snapshot(now.since(self.started), now);
            self.end(Records { closed: Err(error), last });
        }
    }

    fn close(&mut self, now: MonoNanos) {
        let Some(mut recorder) = self.recorder.take() else { return };
        // First: an execution of the last moment is counted once it is durable.
        let committed = recorder.commit(now);
        let last = recorder.snapshot(now.since(self.started), now);
        // Acquire: pairs with the engine agent's store before it dropped its links.
        let clean = self.verified.load(Ordering::Acquire);
        let closed = committed.and_then(|()| recorder.close(clean, now));
        self.end(Records { closed, last });
    }

    fn end(&self, records: Records) {
        if let Ok(mut ended) = self.ended.lock() {
            *ended = Some(records);
        }
    }
}

impl Agent for JournalAgent {
    fn name(&self) -> &'static str {
        "journal"
    }

    fn step(&mut self, now: MonoNanos, _poller: &mut Poller) -> usize {
        let taken = self.take(now).unwrap_or_else(|error| {
            self.fail(error, now);
            1
        });
        if taken == 0 && self.from_engine.is_finished() && self.from_gateway.is_finished() {
            self.close(now);
        }
        taken
    }

    fn deadline(&self) -> MonoNanos {
        self.recorder.as_ref().map_or(MonoNanos::NEVER, |r| r.commit_at().min(self.tick_at))
    }

    fn is_over(&self) -> bool {
        self.recorder.is_none() && self.from_engine.is_finished() && self.from_gateway.is_finished()
    }
}

#[cfg(test)]
mod tests {
    use keel_core::event::Mode;
    use keel_core::param::Profile;
    use keel_core::units::UnixNanos;

    use super::*;

    /// A read that met the writer found nothing, and a hard stop that asked then closed no
    /// position.
    #[test]
    fn what_is_shown_is_there_also_while_it_is_replaced() {
        let gauge = JournalGauge::default();
        let snapshot = |at| Snapshot {
            at: UnixNanos(at),
            uptime_ns: 0,
            mode: Mode::Sim,
            profile: Profile::Touch,
            instance: "a".repeat(8),
            run_dir: "run".into(),
            instruments: Vec::new(),
            wire_to_order: crate::latency::Summary::default(),
            fills: 0,
            notices: vec!["a notice".to_owned(); 64],
        };
        assert!(gauge.snapshot().is_none());
        gauge.show(snapshot(0));
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| (1..20_000).for_each(|at| gauge.show(snapshot(at))));
            let mut newest = UnixNanos(0);
            while !writer.is_finished() {
                let seen = gauge.snapshot().expect("one is there").at;
                assert!(seen >= newest, "{seen:?} {newest:?}");
                newest = seen;
            }
        });
    }

    #[test]
    fn a_disk_that_does_not_answer_is_noticed_by_the_time_that_passes() {
        let gauge = JournalGauge::default();
        let now = MonoNanos(5 * SECONDS);
        assert_eq!(gauge.lag_ns(now), 0);
        gauge.waits(Some(now));
        assert_eq!(gauge.lag_ns(now.after(2 * SECONDS)), 2 * SECONDS, "nobody told anything since");
        gauge.waits(None);
        assert_eq!(gauge.lag_ns(now.after(3 * SECONDS)), 0);
        gauge.failed.store(true, Ordering::Relaxed);
        assert_eq!(gauge.lag_ns(now), u64::MAX);
    }
}

#[cfg(all(test, loom))]
mod model {
    use super::*;

    #[test]
    fn loom_a_disk_that_has_refused_a_write_never_lags_less_again() {
        loom::model(|| {
            let gauge = Arc::new(JournalGauge::default());
            let journal = gauge.clone();
            let thread = loom::thread::spawn(move || {
                journal.waits(Some(MonoNanos(5)));
                journal.failed.store(true, Ordering::Relaxed);
                journal.waits(None);
            });
            let now = MonoNanos(9);
            let lags = [gauge.lag_ns(now), gauge.lag_ns(now)];
            assert!(lags.iter().all(|lag| [0, 4, u64::MAX].contains(lag)), "{lags:?}");
            assert!(lags[0] != u64::MAX || lags[1] == u64::MAX, "{lags:?}");
            thread.join().expect("it ends");
            assert_eq!(gauge.lag_ns(now), u64::MAX);
        });
    }
}
