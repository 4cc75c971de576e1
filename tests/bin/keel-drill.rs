//! The kill drill in its long form: how long it takes until no order rests, with figures.
//!
//! `keel-drill [--rounds N] [--orders 1,20,50,200] [--case NAME]`

#[path = "../drill/mod.rs"]
mod drill;
#[path = "../program/mod.rs"]
mod program;

use drill::Case;

/// As shipped.
const HANG_MS: u32 = 700;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let (mut rounds, mut orders, mut only) = (5, vec![1, 20, 50, 200], None);
    while let Some(argument) = arguments.next() {
        let value = arguments.next().unwrap_or_default();
        match argument.as_str() {
            "--rounds" => rounds = value.parse().expect("a number"),
            "--orders" => {
                orders = value.split(',').map(|one| one.parse().expect("a number")).collect();
            }
            "--case" => only = Some(value),
            other => panic!("{other} is not known: --rounds N, --orders 1,20, --case NAME"),
        }
    }
    println!("milliseconds from what happened to no order at the venue; {rounds} rounds each");
    println!(
        "{:<22}{:>7}{:>8}{:>9}{:>9}{:>9}{:>11}{:>7}",
        "case", "orders", "rested", "p50", "p99.9", "max", "verified", "left"
    );
    let mut clean = true;
    let wanted = |case: &Case| only.as_ref().is_none_or(|only| case.name() == only);
    for case in Case::ALL.into_iter().filter(wanted) {
        for &count in &orders {
            let drills: Vec<_> = (0..rounds).map(|_| drill::run(count, case, HANG_MS)).collect();
            let mut zero: Vec<f64> =
                drills.iter().map(|drill| drill.zero.as_secs_f64() * 1e3).collect();
            zero.sort_by(f64::total_cmp);
            let at = |share: f64| zero[((zero.len() - 1) as f64 * share).round() as usize];
            let left: u64 = drills.iter().map(|drill| drill.after).sum();
            let verified = drills.iter().map(|drill| drill.verified_ms).fold(0.0, f64::max);
            let rested = drills.iter().map(|drill| drill.before).min().unwrap_or(0);
            clean &= left == 0 && rested >= u64::from(count);
            println!(
                "{:<22}{count:>7}{rested:>8}{:>9.1}{:>9.1}{:>9.1}{verified:>11.1}{left:>7}",
                case.name(),
                at(0.5),
                at(0.999),
                at(1.0),
            );
        }
    }
    assert!(clean, "orders were left, or too few rested");
}
