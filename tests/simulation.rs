//! The product against the simulated venue under virtual time, with faults drawn from seeds.

use keel_core::command::{CommandView, NoticeKind};
use keel_core::glft::{MODEL_GLFT, Quoting};
use keel_core::param::at;
use keel_core::units::SECONDS;
use keel_io::world::{FaultKind, Note, Standing};
use keel_tests::campaign::{Campaign, Life, Violation, live, live_watched, shrink};

/// Lives of the campaign below.
const LIVES: u64 = 64;
/// Kinds of faults that meet an order of which a part is executed, in these lives.
const KINDS_OVER_PARTS: usize = 35;

#[test]
fn the_invariants_hold_over_64_lives_with_faults() {
    let sum = Campaign { threads: 2, twice: false }.sum(0..LIVES);
    println!("{}", sum.report());
    assert!(sum.failed.is_empty(), "{} lives failed", sum.failed.len());
    let over_parts = sum.coverage.kinds_met(Standing::Partly);
    assert!(over_parts >= KINDS_OVER_PARTS, "{over_parts} kinds met an order partly filled");
}

#[test]
fn one_seed_lives_one_life() {
    let mut one = live(&Life::drawn(3));
    one.compare(&live(&Life::drawn(3)));
    assert!(one.violations.is_empty(), "{}", one.report());
    one.compare(&live(&Life::drawn(4)));
    assert_eq!(one.violations.len(), 1, "another seed lives another life");
}

/// A fit needs two minutes of sight: what is lived here is watched for four after its last fault.
#[test]
fn the_invariants_hold_while_glft_quotes() {
    let mut by_fit = 0;
    for seed in 0..6 {
        let mut life = Life { tail_ns: 240 * SECONDS, ..Life::drawn(seed) };
        life.world.params.push((at::model, MODEL_GLFT as i64));
        let mut quoted = false;
        let outcome = live_watched(&life, &mut |noted| {
            let Note::Tap(tap) = &noted.note else { return None };
            if let Ok(CommandView::Notice(notice)) = CommandView::decode(&tap.slot) {
                let turned = notice.kind == NoticeKind::ModelTurned;
                quoted |= turned && notice.a == Quoting::Glft as i64;
            }
            None
        });
        assert!(outcome.violations.is_empty(), "{}", outcome.report());
        by_fit += u32::from(quoted);
    }
    assert!(by_fit >= 3, "glft quoted in {by_fit} of 6 lives");
}

#[test]
fn two_models_are_compared_on_the_same_markets_and_the_same_seeds_say_the_same() {
    let dir = tempfile::tempdir().expect("a directory");
    let said = [1, 2].map(|threads: u8| {
        let file = dir.path().join(format!("{threads}.json"));
        let keel = assert_cmd::Command::new(env!("CARGO_BIN_EXE_keel-under-test"))
            .args(["report", "models", "--seeds", "1", "--hours", "1", "--json"])
            .arg(&file)
            .args(["--threads", &threads.to_string()])
            .current_dir(dir.path())
            .assert()
            .success();
        let json = std::fs::read_to_string(&file).expect("the figures");
        (String::from_utf8(keel.get_output().stdout.clone()).expect("a text"), json)
    });
    assert_eq!(said[0], said[1]);
    let json: serde_json::Value = serde_json::from_str(&said[0].1).expect("JSON");
    let of = |model: &str, total: &str| {
        json["seeds"][0][model]["totals"][total].as_f64().expect("a figure")
    };
    assert_eq!(of("regime", "glft_in_force"), 0.0);
    assert!(of("glft", "glft_in_force") > 90.0, "after the first fit: {json}");
    for model in ["regime", "glft"] {
        assert!(of(model, "fills") > 60.0, "{model}: {json}");
        let parts = ["captured", "of_positions_held", "fees_received", "funding_received"];
        let sum: f64 = parts.iter().map(|part| of(model, part)).sum();
        assert!((sum - of(model, "profit")).abs() < 1e-9, "the parts of {model} are its profit");
    }
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
