//! Campaigns: simulated lives of the product, each drawn from a seed and watched by oracles.

mod life;
mod oracle;

pub use life::{Life, Outcome, TAIL_REST_NS, live};
pub use oracle::Violation;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use keel_io::world::{Counts, FaultKind};

/// Many lives, one after another on each of a few threads.
#[derive(Debug, Default)]
pub struct Campaign {
    /// Lives lived.
    pub lives: u64,
    /// Virtual time, in nanoseconds.
    pub simulated_ns: u64,
    /// Real time, in nanoseconds.
    pub real_ns: u64,
    /// What went wrong in the worlds.
    pub counts: Counts,
    /// Executions booked.
    pub fills: u64,
    /// Of these, how many have no known fee.
    pub fees_unknown: u64,
    /// Orders that reached the wire.
    pub orders: u64,
    /// Lives in which an oracle saw a violation.
    pub failed: Vec<Outcome>,
}

impl Campaign {
    /// Lives the lives of `seeds` on `threads` threads.
    pub fn run(seeds: std::ops::Range<u64>, threads: usize) -> Self {
        let began = Instant::now();
        let next = AtomicU64::new(seeds.start);
        let done = Mutex::new(Self::default());
        thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    loop {
                        // Relaxed: a counter, ordered with nothing.
                        let seed = next.fetch_add(1, Ordering::Relaxed);
                        if seed >= seeds.end {
                            break;
                        }
                        let outcome = live(&Life::drawn(seed));
                        done.lock().expect("no life panics").take(outcome);
                    }
                });
            }
        });
        let mut campaign = done.into_inner().expect("no life panics");
        campaign.real_ns = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        campaign.failed.sort_by_key(|outcome| outcome.seed);
        campaign
    }

    fn take(&mut self, outcome: Outcome) {
        self.lives += 1;
        self.simulated_ns += outcome.simulated_ns;
        self.counts.add(&outcome.counts);
        self.fills += outcome.fills;
        self.orders += outcome.orders;
        self.fees_unknown += outcome.fees_unknown;
        if !outcome.violations.is_empty() {
            self.failed.push(outcome);
        }
    }

    /// What happened, for people.
    pub fn report(&self) -> String {
        let seconds = |ns: u64| ns / 1_000_000_000;
        let mut text = format!(
            "{} lives, {} s simulated in {} s ({} x real time), {} orders, {} fills ({} \
             without a fee), {} faults:\n",
            self.lives,
            seconds(self.simulated_ns),
            seconds(self.real_ns),
            self.simulated_ns / self.real_ns.max(1),
            self.orders,
            self.fills,
            self.fees_unknown,
            self.counts.total(),
        );
        for kinds in FaultKind::ALL.chunks(6) {
            let line: Vec<String> = kinds
                .iter()
                .map(|&kind| format!("{} {}", kind.name(), self.counts.of(kind)))
                .collect();
            text += &format!("  {}\n", line.join(", "));
        }
        for outcome in &self.failed {
            text += &outcome.report();
        }
        text
    }
}
