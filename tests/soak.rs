//! The soak under virtual time, in a short form: its tables, and what is said of them.

use keel_core::param::Profile;
use keel_io::memory::Block;
use keel_io::soak::{Plan, Soak, Verdict};

/// Lives an hour into a directory of its own, and has its tables judged after `spoil`.
fn lived(fault_every_s: Option<u64>, spoil: impl Fn(&std::path::Path)) -> Verdict {
    let dir = tempfile::tempdir().expect("a directory");
    let block = Block::default();
    let plan = Plan { seed: 3, profile: Profile::Touch, hours: 1, fault_every_s };
    let mut soak = Soak::begin(plan, dir.path(), &block).expect("tables are made");
    while soak.hour().expect("tables are written") > 0 {}
    spoil(dir.path());
    soak.judge().expect("tables are read")
}

#[test]
fn a_calm_hour_passes_and_fails_without_one_of_its_rows() {
    let verdict = lived(None, |_| ());
    assert!(verdict.passes(), "{:#?}", verdict.findings);
    assert_eq!((verdict.faults, verdict.periods.len()), (0, 1));
    let verdict = lived(None, |dir| {
        let path = dir.join("minute.csv");
        let rows = std::fs::read_to_string(&path).expect("rows");
        let kept: Vec<&str> =
            rows.lines().enumerate().filter(|(n, _)| *n != 40).map(|(_, row)| row).collect();
        std::fs::write(&path, kept.join("\n") + "\n").expect("a table");
    });
    let failed: Vec<&str> =
        verdict.findings.iter().filter(|f| !f.holds).map(|f| f.claim.as_str()).collect();
    let expected = ["BTCUSDT: a row for every minute", "BTCUSDT: no gap, and no minute twice"];
    assert_eq!(failed, expected);
}

#[test]
fn an_hour_full_of_faults_has_every_row_and_every_lost_frame_is_noticed() {
    let verdict = lived(Some(20), |_| ());
    assert!(verdict.faults > 100, "{}", verdict.faults);
    for claim in ["a row for every minute", "every lost books frame is noticed"] {
        let finding = verdict.findings.iter().find(|finding| finding.claim.ends_with(claim));
        let finding = finding.expect("it is looked at");
        assert!(finding.holds && !finding.seen.starts_with("0 lost"), "{finding:?}");
    }
}
