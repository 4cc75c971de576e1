//! The hunt: every planted defect, and what finds it.
//!
//! A defect is lived with, life after life of the campaign's seeds, until an oracle sees a
//! violation. What none sees within the budget is a hole in the tests, not in the product.

mod small;

use std::panic::{self, AssertUnwindSafe};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use std::{fmt, ops::Range};

use keel_core::planted::{Defect, Planted};

use crate::campaign::{Life, Violation, live};

/// What finds planted defects, and within what budget.
#[derive(Clone, Debug)]
pub struct Hunt {
    /// Seeds of lives, tried in order.
    pub seeds: Range<u64>,
    /// Threads, each with a defect of its own.
    pub threads: usize,
}

/// How the hunt for one defect went.
#[derive(Clone, Debug)]
pub struct Trail {
    /// Which; `None` for the product as it is.
    pub defect: Option<Defect>,
    /// What was seen, and in the life of which seed.
    pub found: Option<(u64, Violation)>,
    /// Lives lived.
    pub lives: u64,
    /// How long it took.
    pub took: Duration,
}

impl Hunt {
    /// Hunts for `defects`, and gives the trails in their order; `told` is shown each as it ends.
    pub fn run(&self, defects: &[Option<Defect>], told: impl Fn(&Trail) + Sync) -> Vec<Trail> {
        let next = AtomicUsize::new(0);
        let trails = Mutex::new(Vec::new());
        thread::scope(|scope| {
            for _ in 0..self.threads {
                scope.spawn(|| {
                    // Relaxed: a counter, ordered with nothing.
                    while let Some(&defect) = defects.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let trail = self.follow(defect);
                        told(&trail);
                        trails.lock().expect("nobody panics with it").push(trail);
                    }
                });
            }
        });
        let mut trails = trails.into_inner().expect("nobody panics with it");
        trails.sort_by_key(|trail| trail.defect);
        trails
    }

    fn follow(&self, defect: Option<Defect>) -> Trail {
        let began = Instant::now();
        if let Some(what) = small::finds(defect) {
            let violation = Violation { invariant: "small test", at_ns: 0, what };
            return Trail { defect, found: Some((0, violation)), lives: 0, took: began.elapsed() };
        }
        let mut lives = 0;
        let found = self.seeds.clone().find_map(|seed| {
            lives += 1;
            violation(seed, defect).map(|violation| (seed, violation))
        });
        Trail { defect, found, lives, took: began.elapsed() }
    }
}

/// What an oracle, or an assertion of the product, sees first in the life of `seed`.
fn violation(seed: u64, defect: Option<Defect>) -> Option<Violation> {
    let mut life = Life::drawn(seed);
    life.world.planted = defect.map_or(Planted::NONE, Planted::of);
    match panic::catch_unwind(AssertUnwindSafe(|| live(&life))) {
        Ok(outcome) => outcome.violations.into_iter().next(),
        Err(_) => Some(Violation {
            invariant: "assertion",
            at_ns: 0,
            what: "the product ends itself".to_owned(),
        }),
    }
}

impl fmt::Display for Trail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.defect.map_or("(none)", Defect::name);
        let (by, seed) = match &self.found {
            Some((seed, violation)) => (violation.invariant, seed.to_string()),
            None => ("-", "-".to_owned()),
        };
        let took = self.took.as_secs_f64();
        write!(f, "{name:<24} {by:<10} {seed:>5} {:>6} {took:>7.1}", self.lives)
    }
}
