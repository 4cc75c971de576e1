//! The product against the simulated venue under virtual time, with faults drawn from seeds.

use keel_core::units::SECONDS;
use keel_io::world::{FaultKind, Note};
use keel_tests::campaign::{Campaign, Life, Violation, live, live_watched, shrink};

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

/// An oracle that cannot stand a kill after the private connection was cut, which is no failure of
/// the product's, and the faults that it needs.
#[test]
fn a_failing_life_is_cut_to_the_faults_that_it_needs() {
    let fails = |life: &Life| {
        let mut cut = false;
        let outcome = live_watched(life, &mut |noted| {
            let Note::Fault { kind, .. } = noted.note else { return None };
            cut |= kind == FaultKind::CutPrivate;
            let what = "killed after a cut".to_owned();
            let fails = cut && kind == FaultKind::Kill;
            fails.then_some(Violation { invariant: "planted", at_ns: 0, what })
        });
        outcome.violations.iter().any(|violation| violation.invariant == "planted")
    };
    let shorter = |seed| Life { tail_ns: SECONDS, ..Life::drawn(seed) };
    let few = |life: &Life| life.world.faults.faults.len() < 30;
    let life = (0..).map(shorter).find(|life| few(life) && fails(life)).expect("a seed");
    let places = shrink(life.world.faults.faults.len(), |places| fails(&life.only(places)));
    let kinds: Vec<_> = places.iter().map(|&at| life.world.faults.faults[at].kind).collect();
    assert_eq!(kinds, [FaultKind::CutPrivate, FaultKind::Kill]);
}
