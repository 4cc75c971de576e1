//! The go-live gate from the command line: a drill, its bundle, the signature under it.

mod program;

use std::fs;
use std::path::{Path, PathBuf};

use program::ended;
use serde_json::Value;

/// Drills `item` in `dir`; gives the bundle that it wrote.
fn checked(dir: &Path, item: &str, code: i32) -> PathBuf {
    checked_with(dir, &["--item", item], code)
}

fn checked_with(dir: &Path, args: &[&str], code: i32) -> PathBuf {
    let check = ended(dir, &[&["golive", "check"], args].concat());
    assert_eq!(check.code, Some(code), "{}", check.said());
    let latest = fs::read_to_string(dir.join("reports/go_live/latest.json")).expect("written");
    let latest: Value = serde_json::from_str(&latest).expect("JSON");
    dir.join(latest["bundle"].as_str().expect("a directory"))
}

#[test]
fn a_drill_is_sealed_signed_and_verified_and_one_byte_changed_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path();
    // A loss of 2 %, a leverage of 4 and quotes of its own: what is drilled is what is signed.
    fs::write(
        path.join("keel.toml"),
        "[risk]\nmax_daily_loss_pct_hard = 0.02\nmax_leverage = 4\n[strategy]\nlevel_step = 0.6\n",
    )
    .expect("written");
    let bundle = checked(path, "4", 0);
    let text = fs::read_to_string(bundle.join("bundle.json")).expect("sealed");
    let json: Value = serde_json::from_str(&text).expect("JSON");
    let verdicts: Vec<&str> = json["items"]
        .as_array()
        .expect("items")
        .iter()
        .filter_map(|i| i["verdict"].as_str())
        .collect();
    assert_eq!(verdicts.iter().filter(|verdict| **verdict == "PASS").count(), 1, "{verdicts:?}");
    assert_eq!(verdicts[3], "PASS");
    let list = fs::read_to_string(bundle.join("checklist.md")).expect("filled");
    assert!(list.contains("- [x] Startup scan detects and cancels untracked orders"), "{list}");
    assert!(list.contains("- [ ] `fee_mode: auto` resolves correctly"), "{list}");
    let drilled = fs::read_to_string(bundle.join("records/04/run/config.toml")).expect("kept");
    for line in ["max_daily_loss_pct_hard = 0.02", "max_leverage = 4", "level_step = 0.6"] {
        assert!(drilled.contains(line), "{line}\n{drilled}");
    }
    let set = json["items"][3]["set"].as_array().expect("what the drill sets");
    let guardian = set.iter().find(|row| row["key"] == "kill.guardian").expect("set");
    assert_eq!(
        (&guardian["configured"], &guardian["drilled"]),
        (&"\"on\"".into(), &"\"off\"".into())
    );
    assert!(
        list.contains("set by the drill: kill.guardian = \"off\" instead of \"on\" (a guardian")
    );
    let log = fs::read_to_string(bundle.join("records/04/run/keel.log")).expect("kept");
    assert_eq!(log.matches("Orphan order canceled: ").count(), 4, "{log}");

    let name = bundle.to_str().expect("a name");
    ended(path, &["golive", "verify", name]).refused(9, &["not signed"]);
    ended(path, &["golive", "keygen", "--out", "reviewer.key"]).done();
    ended(path, &["golive", "keygen", "--out", "reviewer.key"]).refused(1, &["reviewer.key"]);
    let sign = |decision| {
        let args = ["golive", "sign", name, "--reviewer", "A. Person", "--decision", decision];
        ended(path, &[&args[..], &["--key", "reviewer.key"]].concat())
    };
    sign("GO").refused(9, &["GO is refused", "3 Kill Switch", "13 Multi-Day Soak"]);
    sign("NO-GO").done();
    let verified = ended(path, &["golive", "verify", name]);
    verified.done();
    assert!(verified.out.contains("signed: NO-GO by A. Person"), "{}", verified.said());

    fs::write(
        bundle.join("bundle.json"),
        text.replacen("FAIL", "PASS", 1).replacen("NOT RUN", "PASS", 1),
    )
    .expect("written");
    ended(path, &["golive", "verify", name]).refused(9, &["changed after it was made"]);
    fs::write(bundle.join("bundle.json"), &text).expect("written");
    fs::write(bundle.join("records/04/run/keel.log"), log.replacen('4', "5", 1)).expect("written");
    ended(path, &["golive", "verify", name]).refused(9, &["records/04/run/keel.log"]);
}

/// The whole table of what the gate must notice is `keel-gate`.
#[test]
fn a_drill_in_which_nothing_happens_fails_and_its_bundle_is_never_signed_go() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path();
    let bundle = checked_with(path, &["--item", "24", "--withheld"], 9);
    let list = fs::read_to_string(bundle.join("checklist.md")).expect("filled");
    assert!(list.contains("DOES NOT HOLD: single cancels were asked for and failed"), "{list}");
    ended(path, &["golive", "keygen", "--out", "reviewer.key"]).done();
    let name = bundle.to_str().expect("a name");
    let sign = ["golive", "sign", name, "--reviewer", "A", "--decision", "GO"];
    let sign = ended(path, &[&sign[..], &["--key", "reviewer.key"]].concat());
    sign.refused(9, &["broken on purpose (withheld)"]);
    let check = ended(path, &["golive", "check", "--item", "24", "--planted", "NoSuchDefect"]);
    assert_eq!(check.code, Some(9), "an engine that does not start passes nothing");
    ended(path, &["run", "--planted", "NoSuchDefect"]).refused(2, &["carries no such defect"]);
}

#[test]
fn an_item_whose_report_is_not_there_is_not_run_and_does_not_pass() {
    let dir = tempfile::tempdir().expect("a directory");
    let bundle = checked(dir.path(), "13", 9);
    let list = fs::read_to_string(bundle.join("checklist.md")).expect("filled");
    assert!(list.contains("### 13. Multi-Day Soak (48h) — NOT RUN"), "{list}");
    ended(dir.path(), &["golive", "check", "--item", "25"]).refused(2, &["25", "1..=24"]);
    ended(dir.path(), &["golive", "verify", "nowhere"]).refused(9, &["nowhere/bundle.json"]);
}
