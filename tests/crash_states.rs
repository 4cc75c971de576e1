//! States that a crash may leave on the disk, and the product's recovery from each.

use keel_tests::crash::sabotage::Sabotage;
use keel_tests::crash::states::explore;

#[test]
fn every_state_that_a_crash_may_leave_is_recovered_from() {
    let report = explore(Sabotage::None, 4, STATES, 1);
    println!("{}", report.text());
    assert!(report.total() >= STATES && report.states.len() == 10, "{}", report.text());
    assert!(report.violations.is_empty(), "{}", report.text());
}

#[test]
fn each_sync_that_is_left_out_is_found() {
    for how in Sabotage::ALL {
        let report = explore(how, 4, STATES, 1);
        println!("{how:?}\n{}", report.text());
        assert!(!report.violations.is_empty(), "{how:?} was not found\n{}", report.text());
    }
}

const STATES: u64 = 10_000;
