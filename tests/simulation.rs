//! The product against the simulated venue under virtual time, with faults drawn from seeds.

use keel_tests::campaign::{Life, live};

#[test]
fn nothing_is_violated_where_nothing_goes_wrong() {
    for seed in 0..4 {
        let outcome = live(&Life::calm(seed));
        assert!(outcome.violations.is_empty(), "{}", outcome.report());
        assert!(outcome.orders > 0, "seed {seed} places nothing");
    }
}

#[test]
fn one_seed_lives_one_life() {
    let (one, other) = (live(&Life::drawn(3)), live(&Life::drawn(3)));
    assert_eq!(one.hash, other.hash);
    assert_ne!(one.hash, live(&Life::drawn(4)).hash);
}
