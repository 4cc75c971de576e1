//! The kill drill in its long form: how long it takes until no order rests, with figures.
//!
//! `keel-drill [--rounds N] [--orders 1,20,50,200] [--case NAME] [--minutes N] [--goals]`
//!
//! Rounds go over all cases in turn, and end early after so many minutes. Exit code 1 when an order
//! is left or too few rested; with `--goals` also when a goal is missed, which a machine that does
//! other work may do.

#[path = "../drill/mod.rs"]
mod drill;
#[path = "../program/mod.rs"]
mod program;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use drill::{Case, Drilled};

/// As shipped.
const HANG_MS: u32 = 700;

struct Options {
    rounds: u32,
    orders: Vec<u32>,
    only: Option<String>,
    limit: Duration,
    goals: bool,
}

impl Options {
    fn read() -> Self {
        let orders = vec![1, 20, 50, 200];
        let mut options =
            Self { rounds: 5, orders, only: None, limit: Duration::MAX, goals: false };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().unwrap_or_default();
            match argument.as_str() {
                "--rounds" => options.rounds = value().parse().expect("a number"),
                "--orders" => {
                    let value = value();
                    let counts = value.split(',').map(|one| one.parse().expect("a number"));
                    options.orders = counts.collect();
                }
                "--case" => options.only = Some(value()),
                "--minutes" => {
                    let minutes: u64 = value().parse().expect("a number");
                    options.limit = Duration::from_secs(60 * minutes);
                }
                "--goals" => options.goals = true,
                other => panic!(
                    "{other} is not known: --rounds N, --orders 1,20, --case NAME, --minutes N, \
                     --goals"
                ),
            }
        }
        assert!(options.rounds > 0 && !options.orders.is_empty(), "there is nothing to drill");
        options
    }
}

/// All drills of a case with so many orders.
struct Row {
    case: Case,
    orders: u32,
    drills: Vec<Drilled>,
}

impl Row {
    /// Nothing is left of enough orders.
    fn is_clean(&self) -> bool {
        self.drills.iter().all(|drill| drill.after == 0 && drill.before >= u64::from(self.orders))
    }

    fn zero_ms(&self) -> Vec<f64> {
        self.drills.iter().map(|drill| drill.zero.as_secs_f64() * 1e3).collect()
    }

    /// Milliseconds within which no order may rest any more at the venue.
    fn goal_ms(&self) -> Option<f64> {
        self.case.guardian_acts().then_some(f64::from(HANG_MS) + 1e3)
    }

    fn misses(&self) -> usize {
        let Some(goal) = self.goal_ms() else { return 0 };
        self.zero_ms().into_iter().filter(|zero| *zero > goal).count()
    }

    fn print(&self) {
        let rested = self.drills.iter().map(|drill| drill.before).min().unwrap_or(0);
        let left: u64 = self.drills.iter().map(|drill| drill.after).sum();
        let [zero, verified] =
            [self.zero_ms(), self.drills.iter().map(|drill| drill.verified_ms).collect()]
                .map(quantiles);
        println!(
            "{:<20}{:>6}{rested:>7}{:>7}{zero}{verified}{left:>5}{:>7}",
            self.case.name(),
            self.orders,
            self.drills.len(),
            self.goal_ms().map_or("-".into(), |_| self.misses().to_string()),
        );
    }
}

/// `p50`, `p99.9` and the greatest: by nearest rank, so that of less than a thousand the second is
/// the third.
fn quantiles(mut values: Vec<f64>) -> String {
    values.sort_by(f64::total_cmp);
    let at = |share: f64| values[((values.len() as f64 * share).ceil() as usize).max(1) - 1];
    format!("{:>9.1}{:>9.1}{:>9.1}", at(0.5), at(0.999), at(1.0))
}

fn main() -> ExitCode {
    let options = Options::read();
    let wanted = |case: &Case| options.only.as_ref().is_none_or(|only| case.name() == only);
    let mut rows: Vec<Row> = Vec::new();
    for case in Case::ALL.into_iter().filter(wanted) {
        rows.extend(options.orders.iter().map(|&orders| Row { case, orders, drills: vec![] }));
    }
    assert!(!rows.is_empty(), "no such case");
    let began = Instant::now();
    for round in 0..options.rounds {
        if round > 0 && began.elapsed() > options.limit {
            break;
        }
        for row in &mut rows {
            row.drills.push(drill::run(row.orders, row.case, HANG_MS));
        }
    }
    println!("milliseconds from what happened to no order at the venue, and to zero verified;");
    println!("a round beyond {} ms misses its goal where the guardian acts", HANG_MS + 1_000);
    println!(
        "{:<20}{:>6}{:>7}{:>7}{:>9}{:>9}{:>9}{:>9}{:>9}{:>9}{:>5}{:>7}",
        "case",
        "orders",
        "rested",
        "rounds",
        "zero p50",
        "p99.9",
        "max",
        "ver. p50",
        "p99.9",
        "max",
        "left",
        "missed",
    );
    rows.iter().for_each(Row::print);
    let clean = rows.iter().all(Row::is_clean);
    let missed: usize = rows.iter().map(Row::misses).sum();
    if !clean {
        println!("an order was left, or too few rested");
    }
    ExitCode::from(u8::from(!clean || options.goals && missed > 0))
}
