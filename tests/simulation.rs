//! The product against the simulated venue under virtual time, with faults drawn from seeds.

use keel_tests::campaign::{Campaign, Life, live};

/// Lives of the campaign below.
const LIVES: u64 = 64;

#[test]
fn the_invariants_hold_over_64_lives_with_faults() {
    let campaign = Campaign::run(0..LIVES, 2);
    println!("{}", campaign.report());
    assert!(campaign.failed.is_empty(), "{} lives failed", campaign.failed.len());
}

#[test]
fn one_seed_lives_one_life() {
    let (one, other) = (live(&Life::drawn(3)), live(&Life::drawn(3)));
    assert_eq!(one.hash, other.hash);
    assert_ne!(one.hash, live(&Life::drawn(4)).hash);
}

/// The life of `KEEL_SEED`, or of seed 0; `KEEL_TRACE=1` tells of it as it goes.
#[test]
fn life_of_a_seed() {
    let seed = std::env::var("KEEL_SEED").map_or(0, |seed| seed.parse().expect("a number"));
    let outcome = live(&Life::drawn(seed));
    println!("{}", outcome.report());
    assert!(outcome.violations.is_empty());
}
