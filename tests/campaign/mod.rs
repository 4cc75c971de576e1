//! Campaigns: simulated lives of the product, each drawn from a seed and watched by oracles.

mod coverage;
mod life;
mod oracle;
mod record;
mod shrink;
mod tally;

pub use coverage::Coverage;
pub use life::{Life, Outcome, Short, TAIL_REST_NS, live, live_watched};
pub use oracle::Violation;
pub use record::{Block, Record, missing};
pub use shrink::shrink;
pub use tally::{Failure, Tally, again};

use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// How a campaign lives its lives.
#[derive(Clone, Copy, Debug)]
pub struct Campaign {
    /// Threads that live lives, each one after another.
    pub threads: usize,
    /// Each life is lived twice, and the two must be one.
    pub twice: bool,
}

impl Campaign {
    /// Lives the lives of `blocks` of seeds, and gives each block to `done` once it is lived.
    pub fn run(self, blocks: &[Range<u64>], done: impl FnMut(Block) + Send) {
        let next = AtomicUsize::new(0);
        let done = Mutex::new(done);
        thread::scope(|scope| {
            for _ in 0..self.threads {
                scope.spawn(|| {
                    // Relaxed: a counter, ordered with nothing.
                    while let Some(seeds) = blocks.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let tally = self.live(seeds.clone());
                        let block = Block { from: seeds.start, to: seeds.end, tally };
                        done.lock().expect("nobody panics with it")(block);
                    }
                });
            }
        });
    }

    /// Lives the lives of `seeds` and gives their sum.
    pub fn sum(self, seeds: Range<u64>) -> Tally {
        let mut sum = Tally::default();
        self.run(&missing(seeds, &[], 1), |block| sum.add(&block.tally));
        sum
    }

    fn live(self, seeds: Range<u64>) -> Tally {
        let mut tally = Tally::default();
        let mut hasher = blake3::Hasher::new();
        for seed in seeds {
            let life = Life::drawn(seed);
            let mut outcome = live(&life);
            if self.twice {
                outcome.compare(&live(&life));
            }
            hasher.update(outcome.hash.as_bytes());
            tally.take(&outcome);
        }
        tally.hash = hasher.finalize().to_hex().to_string();
        tally
    }
}
