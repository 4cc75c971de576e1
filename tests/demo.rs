//! Demo trading, rehearsed on this machine: the venue takes a demo key with its header only, and
//! any other without it only.

mod program;

use std::fs;
use std::path::Path;

use program::{Ended, Venue, ended};
use serde_json::{Value, json};

/// Runs for a while in `mode` with a key of the venue, of demo trading or not.
fn run(venue: &Venue, dir: &Path, mode: &str, demo: bool) -> Ended {
    configure(venue, dir, &format!("[run]\nmode = \"{mode}\"\n"), demo);
    ended(dir, &["--config", "keel.toml", "--for", "8s", "--run-dir", "run"])
}

/// Writes a configuration that begins with `before`, and a key of the venue, of demo trading or
/// not.
fn configure(venue: &Venue, dir: &Path, before: &str, demo: bool) {
    venue.configure_with(dir, venue.authority(), before, "");
    let wanted = json!({
        "account": venue.account()["name"],
        "permissions": ["uta_trade"],
        "ips": ["127.0.0.1"],
        "demo": demo,
    });
    let made = venue.admin("POST", "/admin/key", &wanted);
    let part = |name: &str| made[name].as_str().unwrap_or_else(|| panic!("{made}")).to_owned();
    let [key, secret, words] = ["key", "secret", "passphrase"].map(part);
    let text = format!("key = {key}\nsecret = {secret}\npassphrase = {words}\n");
    fs::write(dir.join("key"), text).expect("written");
}

#[test]
fn a_run_in_demo_trades_with_a_demo_key_and_a_guardian_and_ends_with_nothing_open() {
    let venue = Venue::start(&["--plaintext"]);
    let dir = tempfile::tempdir().expect("a directory");
    let ended = run(&venue, dir.path(), "demo", true);
    ended.done();
    assert!(ended.out.contains("none, verified at the venue"), "{}", ended.said());
    for word in ["RUNNING | BTCUSDT", "Runs with a guardian", "demo trading has another market"] {
        assert!(ended.out.contains(word), "{word:?} is missing\n{}", ended.said());
    }
    assert!(!ended.out.contains("n = 0\n  run directory"), "orders were sent\n{}", ended.said());
    assert_eq!(venue.open_orders(), 0);
}

#[test]
fn a_key_of_the_other_kind_is_refused_at_the_start() {
    let venue = Venue::start(&["--plaintext"]);
    for (mode, demo) in [("demo", false), ("sim", true)] {
        let dir = tempfile::tempdir().expect("a directory");
        let ended = run(&venue, dir.path(), mode, demo);
        ended.refused(4, &["the key is refused"]);
    }
    assert_eq!(venue.open_orders(), 0);
}

/// Item 4 has a part at demo trading, item 5 none, and item 13 no soak there.
#[test]
fn the_gate_drills_at_demo_what_needs_no_administration_and_says_why_not_the_rest() {
    let venue = Venue::start(&["--plaintext"]);
    let dir = tempfile::tempdir().expect("a directory");
    let before = "[run]\nmode = \"demo\"\nprofile = \"touch\"\n[kill]\nhang_ms = 5000\n";
    configure(&venue, dir.path(), before, true);
    let items = ["--item", "4", "--item", "5", "--item", "13"];
    let check = ended(dir.path(), &[&["golive", "check", "--venue", "demo"][..], &items].concat());
    assert_eq!(check.code, Some(9), "{}", check.said());
    assert!(check.out.contains("1 of 3 PASS (demo)"), "{}", check.said());
    assert!(check.out.contains("5 Position Reconciliation (executions would have to be withheld"));
    assert!(check.out.contains("13 Multi-Day Soak (48h) (`keel soak` lives on the embedded"));
    assert_eq!(venue.open_orders(), 0);
    let latest = fs::read_to_string(dir.path().join("reports/go_live/latest.json"));
    let latest: Value = serde_json::from_str(&latest.expect("written")).expect("JSON");
    let item = &latest["items"][3];
    assert_eq!(item["venue"], format!("demo at http://{}", venue.authority()));
    let findings = item["findings"].as_array().expect("findings");
    let claims: Vec<&str> = findings.iter().filter_map(|f| f["claim"].as_str()).collect();
    assert_eq!(
        claims.iter().filter(|claim| claim.starts_with("at demo: ")).count(),
        4,
        "{claims:?}"
    );
    assert!(claims.contains(&"foreign orders rest before the start"), "the other part: {claims:?}");
    assert!(latest["items"][4]["not_run"].as_str().is_some_and(|why| why.contains("withheld")));

    let before = "[run]\nmode = \"sim\"\n[kill]\nhang_ms = 5000\n";
    configure(&venue, dir.path(), before, false);
    ended(dir.path(), &["golive", "check", "--venue", "demo", "--item", "4"])
        .refused(2, &["the mode is another"]);
}
