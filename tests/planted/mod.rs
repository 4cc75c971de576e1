//! The hunt: every planted defect, and what finds it.
//!
//! A defect is lived with, life after life of the campaign's seeds, until an oracle sees a
//! violation; one of a pure function has a small test, one of the disk the states that a crash may
//! leave. What none sees within the budget is a hole in the tests, not in the product.

mod small;

use std::ops::Range;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Mutex;
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
    /// Defects found by lives or crash states that are enough, once each required one is found.
    pub enough: usize,
}

/// What kind of test finds a defect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// A life under all oracles.
    Simulation,
    /// The states of the disk that a crash may leave.
    CrashStates,
    /// A test made for the one function that it is in.
    SmallTest,
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
    /// Hunts, a few seeds for all and then the next, until enough are found. `told` is shown each
    /// trail as it ends.
    pub fn run(&self, quarries: &[Quarry], told: impl Fn(&Trail) + Sync) -> Vec<Trail> {
        let mut trails: Vec<Trail> = quarries.iter().map(|&quarry| Trail::new(quarry)).collect();
        let mut from = self.seeds.start;
        while from < self.seeds.end && !self.has_enough(&trails) {
            let seeds = from..self.seeds.end.min(from + SEEDS_A_ROUND);
            from = seeds.end;
            let open = Mutex::new(trails.iter_mut().filter(|trail| trail.found.is_none()));
            let next = || open.lock().expect("nobody panics with it").next();
            thread::scope(|scope| {
                for _ in 0..self.threads {
                    scope.spawn(|| {
                        while let Some(trail) = next() {
                            trail.follow(seeds.clone());
                            if trail.found.is_some() {
                                told(trail);
                            }
                        }
                    });
                }
            });
        }
        trails.iter().filter(|trail| trail.found.is_none()).for_each(told);
        trails
    }

    /// True when as many as are enough were found by lives or crash states, and all that are
    /// required.
    pub fn has_enough(&self, trails: &[Trail]) -> bool {
        let hunted = trails.iter().filter(|trail| trail.quarry != Quarry::Nothing).count();
        let found = trails.iter().filter(|trail| trail.is_prey()).count();
        found >= self.enough.min(hunted) && !trails.iter().any(Trail::is_missed)
    }
}

impl Trail {
    fn new(quarry: Quarry) -> Self {
        Self { quarry, found: None, lives: 0, took: Duration::ZERO }
    }

    /// Lives the lives of `seeds` until something is seen. What needs no life is tried first.
    fn follow(&mut self, seeds: Range<u64>) {
        let began = Instant::now();
        if self.lives == 0 {
            let small = small::finds(self.quarry).map(|what| seen(SMALL_TEST, what));
            self.found = small.or_else(|| crash(self.quarry)).map(|violation| (0, violation));
        }
        for seed in seeds {
            if self.found.is_some() {
                break;
            }
            self.lives += 1;
            self.found = violation(seed, self.quarry).map(|violation| (seed, violation));
        }
        self.took += began.elapsed();
    }

    /// What kind of test has found it.
    pub fn class(&self) -> Option<Class> {
        self.found.as_ref().map(|(_, violation)| match violation.invariant {
            SMALL_TEST => Class::SmallTest,
            CRASH_STATES => Class::CrashStates,
            _ => Class::Simulation,
        })
    }

    /// True when it is of a defect that a life or crash states have found.
    pub fn is_prey(&self) -> bool {
        let class = self.class().filter(|_| self.quarry != Quarry::Nothing);
        class.is_some_and(|class| class != Class::SmallTest)
    }

    /// True when it is of a defect that must be found, and was not.
    pub fn is_missed(&self) -> bool {
        REQUIRED.contains(&self.quarry) && !self.is_prey()
    }

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
    let report = explore(sabotage, 4, STATES_MAX, 1);
    report.violations.into_iter().next().map(|(_, what)| seen(CRASH_STATES, what))
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
        let class = self.class().map_or("-", Class::name);
        let (name, took) = (self.quarry.name(), self.took.as_secs_f64());
        write!(f, "{name:<24} {class:<13} {by:<13} {seed:>5} {:>6} {took:>7.1}", self.lives)
    }
}

impl Class {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Simulation => "simulation",
            Self::CrashStates => CRASH_STATES,
            Self::SmallTest => SMALL_TEST,
        }
    }
}

/// Defects that are to be found by lives or crash states, whatever else is found.
pub const REQUIRED: [Quarry; 9] = [
    Quarry::Planted(Defect::CreateResentOnTimeout),
    Quarry::Planted(Defect::CancelAckIsFinal),
    Quarry::Planted(Defect::TradeIdsInShortList),
    Quarry::Planted(Defect::NotFoundIsGone),
    Quarry::Planted(Defect::OrphansNotScanned),
    Quarry::Disk(Sabotage::RenameFirst),
    Quarry::Planted(Defect::PositionIsAdopted),
    Quarry::Planted(Defect::LateFillDropped),
    Quarry::Planted(Defect::SequenceGapIgnored),
];
/// Who has seen what no oracle of a life has.
const SMALL_TEST: &str = "small test";
const CRASH_STATES: &str = "crash states";
/// Seeds that are lived with every defect before the next are.
const SEEDS_A_ROUND: u64 = 4;
/// States of the disk that are judged for one that leaves something out.
const STATES_MAX: u64 = 10_000;
