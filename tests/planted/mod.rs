//! The hunt: every planted defect, and what finds it.
//!
//! A defect is lived with, life after life of the campaign's seeds, until an oracle sees a
//! violation; one of a pure function has a small test, one of the disk the states that a crash may
//! leave. What none sees within the budget is a hole in the tests, not in the product.

mod small;

use std::ops::Range;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use std::{fmt, iter};

use keel_core::planted::{Defect, Planted};

use crate::campaign::{Life, Violation, live};
use crate::crash::sabotage::Sabotage;
use crate::crash::states::explore;

/// What finds planted defects, and within what budget.
#[derive(Clone, Debug)]
pub struct Hunt {
    /// Seeds of lives, tried in order.
    pub seeds: Range<u64>,
    /// Threads, each with a quarry of its own.
    pub threads: usize,
}

/// What is hunted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quarry {
    /// Anything that the product as it is does wrong.
    Nothing,
    /// A defect of the product.
    Planted(Defect),
    /// What a disk leaves out.
    Disk(Sabotage),
}

/// How the hunt for one quarry went.
#[derive(Clone, Debug)]
pub struct Trail {
    /// Which.
    pub quarry: Quarry,
    /// What was seen, and in the life of which seed.
    pub found: Option<(u64, Violation)>,
    /// Lives lived.
    pub lives: u64,
    /// How long it took.
    pub took: Duration,
}

impl Hunt {
    /// Hunts, and gives the trails in no order; `told` is shown each as it ends.
    pub fn run(&self, quarries: &[Quarry], told: impl Fn(&Trail) + Sync) -> Vec<Trail> {
        let next = AtomicUsize::new(0);
        let trails = Mutex::new(Vec::new());
        thread::scope(|scope| {
            for _ in 0..self.threads {
                scope.spawn(|| {
                    // Relaxed: a counter, ordered with nothing.
                    while let Some(&quarry) = quarries.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let trail = self.follow(quarry);
                        told(&trail);
                        trails.lock().expect("nobody panics with it").push(trail);
                    }
                });
            }
        });
        trails.into_inner().expect("nobody panics with it")
    }

    fn follow(&self, quarry: Quarry) -> Trail {
        let began = Instant::now();
        let mut lives = 0;
        let found = small::finds(quarry)
            .map(|what| (0, seen("small test", what)))
            .or_else(|| crash(quarry).map(|violation| (1, violation)))
            .or_else(|| {
                self.seeds.clone().find_map(|seed| {
                    lives += 1;
                    violation(seed, quarry).map(|violation| (seed, violation))
                })
            });
        Trail { quarry, found, lives, took: began.elapsed() }
    }
}

impl Trail {
    /// True when a defect was not found, or the product as it is violates something.
    pub fn is_amiss(&self) -> bool {
        self.found.is_some() == (self.quarry == Quarry::Nothing)
    }
}

impl Quarry {
    /// All, the product as it is first.
    pub fn all() -> impl Iterator<Item = Self> {
        let defects = Defect::ALL.iter().map(|&defect| Self::Planted(defect));
        iter::once(Self::Nothing).chain(defects).chain(Sabotage::ALL.into_iter().map(Self::Disk))
    }

    /// Its name.
    pub fn name(self) -> String {
        match self {
            Self::Nothing => "(none)".to_owned(),
            Self::Planted(defect) => defect.name().to_owned(),
            Self::Disk(sabotage) => format!("disk: {sabotage:?}"),
        }
    }

    fn planted(self) -> Planted {
        match self {
            Self::Planted(defect) => Planted::of(defect),
            Self::Nothing | Self::Disk(_) => Planted::NONE,
        }
    }
}

/// What an oracle, or an assertion of the product, sees first in the life of `seed`.
fn violation(seed: u64, quarry: Quarry) -> Option<Violation> {
    if matches!(quarry, Quarry::Disk(_)) {
        return None;
    }
    let mut life = Life::drawn(seed);
    life.world.planted = quarry.planted();
    match panic::catch_unwind(AssertUnwindSafe(|| live(&life))) {
        Ok(outcome) => outcome.violations.into_iter().next(),
        Err(_) => Some(seen("assertion", "the product ends itself".to_owned())),
    }
}

/// What the states that a crash may leave show of a disk.
fn crash(quarry: Quarry) -> Option<Violation> {
    let Quarry::Disk(sabotage) = quarry else { return None };
    let report = explore(sabotage, 4, CRASH_STATES, 1);
    report.violations.into_iter().next().map(|(_, what)| seen("crash states", what))
}

fn seen(invariant: &'static str, what: String) -> Violation {
    Violation { invariant, at_ns: 0, what }
}

impl fmt::Display for Trail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (by, seed) = match &self.found {
            Some((seed, violation)) => (violation.invariant, seed.to_string()),
            None => ("-", "-".to_owned()),
        };
        let (name, took) = (self.quarry.name(), self.took.as_secs_f64());
        write!(f, "{name:<24} {by:<12} {seed:>5} {:>6} {took:>7.1}", self.lives)
    }
}

/// States of the disk that are judged for one that leaves something out.
const CRASH_STATES: u64 = 10_000;
