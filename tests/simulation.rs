//! The product against the simulated venue under virtual time, with faults drawn from seeds.

use keel_tests::campaign::{Campaign, Life, live};

/// Lives of the campaign below.
const LIVES: u64 = 64;

#[test]
fn the_invariants_hold_over_64_lives_with_faults() {
    let sum = Campaign { threads: 2, twice: false }.sum(0..LIVES);
    println!("{}", sum.report());
    assert!(sum.failed.is_empty(), "{} lives failed", sum.failed.len());
}

#[test]
fn one_seed_lives_one_life() {
    let mut one = live(&Life::drawn(3));
    one.compare(&live(&Life::drawn(3)));
    assert!(one.violations.is_empty(), "{}", one.report());
    one.compare(&live(&Life::drawn(4)));
    assert_eq!(one.violations.len(), 1, "another seed lives another life");
}

/// The life of `KEEL_SEED`, or of seed 0; `KEEL_TRACE=1` tells of it as it goes.
#[test]
fn life_of_a_seed() {
    let seed = std::env::var("KEEL_SEED").map_or(0, |seed| seed.parse().expect("a number"));
    let outcome = live(&Life::drawn(seed));
    println!("{}", outcome.report());
    assert!(outcome.violations.is_empty());
}
