//! Tally: what many lives came to, in sums that can be added, kept and told.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use keel_core::units::{MILLIS, SECONDS};
use keel_io::world::FaultKind;
use serde::{Deserialize, Serialize};

use super::coverage::Coverage;
use super::life::{Outcome, Short};

/// What lives came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Lives lived.
    pub lives: u64,
    /// Virtual time, in nanoseconds.
    pub simulated_ns: u64,
    /// Of this, in lives that count.
    pub counted_ns: u64,
    /// Lives that do not count, by what they had too few of.
    pub short: BTreeMap<String, u64>,
    /// Processor time, in nanoseconds.
    pub cpu_ns: u64,
    /// Orders that reached the wire.
    pub orders: u64,
    /// Executions of own orders.
    pub fills: u64,
    /// Executions whose fee could not be known.
    pub fees_unknown: u64,
    /// Books frames that reached the product.
    pub frames: u64,
    /// Hard stops that had a cause.
    pub hard_stops: u64,
    /// What went wrong, by kind.
    pub faults: BTreeMap<String, u64>,
    /// Which faults met which states.
    pub coverage: Coverage,
    /// Lives in which an oracle saw something.
    pub failed: Vec<Failure>,
    /// One number over the hashes of all lives, in the order of their seeds; empty in sums.
    pub hash: String,
}

/// A life in which an oracle saw something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Its seed.
    pub seed: u64,
    /// What was seen.
    pub violations: Vec<String>,
}

impl Tally {
    /// Takes a life in.
    pub(super) fn take(&mut self, outcome: &Outcome) {
        self.lives += 1;
        self.simulated_ns += outcome.simulated_ns;
        match outcome.short() {
            None => self.counted_ns += outcome.simulated_ns,
            Some(short) => *self.short.entry(short.name().to_owned()).or_default() += 1,
        }
        self.cpu_ns += outcome.cpu_ns;
        self.orders += outcome.orders;
        self.fills += outcome.fills;
        self.fees_unknown += outcome.fees_unknown;
        self.frames += outcome.frames.values().sum::<u64>();
        self.hard_stops += outcome.hard_stops;
        for &kind in FaultKind::ALL {
            *self.faults.entry(kind.name().to_owned()).or_default() += outcome.counts.of(kind);
        }
        self.coverage.add(&outcome.coverage);
        if !outcome.violations.is_empty() {
            let violations = outcome.violations.iter().map(ToString::to_string).collect();
            self.failed.push(Failure { seed: outcome.seed, violations });
        }
    }

    /// Adds what other lives came to.
    pub fn add(&mut self, other: &Self) {
        self.lives += other.lives;
        self.simulated_ns += other.simulated_ns;
        self.counted_ns += other.counted_ns;
        add_counts(&mut self.short, &other.short);
        self.cpu_ns += other.cpu_ns;
        self.orders += other.orders;
        self.fills += other.fills;
        self.fees_unknown += other.fees_unknown;
        self.frames += other.frames;
        self.hard_stops += other.hard_stops;
        add_counts(&mut self.faults, &other.faults);
        self.coverage.add(&other.coverage);
        self.failed.extend(other.failed.iter().cloned());
        self.failed.sort_by_key(|failure| failure.seed);
        self.hash.clear();
    }

    /// How often a kind of fault was put in.
    pub fn faults_of(&self, kind: FaultKind) -> u64 {
        self.faults.get(kind.name()).copied().unwrap_or(0)
    }

    /// Seconds of virtual time for a second of one core.
    pub fn speed(&self) -> u64 {
        self.simulated_ns / self.cpu_ns.max(1)
    }

    /// What happened, for people.
    pub fn report(&self) -> String {
        let days = |ns: u64| ns as f64 / (86_400.0 * SECONDS as f64);
        let mut text = format!(
            "{} lives, {:.3} simulated days, {:.3} of them count\n",
            self.lives,
            days(self.simulated_ns),
            days(self.counted_ns)
        );
        for short in Short::ALL {
            let lives = self.short.get(short.name()).copied().unwrap_or(0);
            let _ = writeln!(text, "  {lives} lives do not count: {}", short.name());
        }
        let _ = writeln!(
            text,
            "{} ms of one core for a simulated hour, {} × real time a core",
            self.cpu_ns / MILLIS * 3_600 / (self.simulated_ns / SECONDS).max(1),
            self.speed()
        );
        let _ = writeln!(
            text,
            "{} orders, {} own fills, {} fees unknown, {} books frames, {} hard stops with a cause",
            self.orders, self.fills, self.fees_unknown, self.frames, self.hard_stops
        );
        let total: u64 = self.faults.values().sum();
        let _ = writeln!(text, "{total} faults of {} kinds:", FaultKind::ALL.len());
        for kinds in FaultKind::ALL.chunks(6) {
            let line: Vec<String> = kinds
                .iter()
                .map(|&kind| format!("{} {}", kind.name(), self.faults_of(kind)))
                .collect();
            let _ = writeln!(text, "  {}", line.join(", "));
        }
        text += "Faults by the states that orders were in:\n";
        text += &self.coverage.table();
        let _ = writeln!(text, "{} lives with violations", self.failed.len());
        for Failure { seed, violations } in &self.failed {
            let _ = writeln!(text, "seed {seed}: {}", again(*seed));
            violations.iter().for_each(|violation| text += &format!("  {violation}\n"));
        }
        text
    }
}

/// The command that lives a seed again and cuts its faults to those that are needed.
pub fn again(seed: u64) -> String {
    format!("cargo run --release -p keel_tests --bin keel-campaign -- --seed {seed} --shrink")
}

fn add_counts(mine: &mut BTreeMap<String, u64>, other: &BTreeMap<String, u64>) {
    for (name, count) in other {
        *mine.entry(name.clone()).or_default() += count;
    }
}
