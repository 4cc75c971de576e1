//! Demo trading, rehearsed on this machine: the venue takes a demo key with its header only, and
//! any other without it only.

mod program;

use std::fs;
use std::path::Path;

use program::{Ended, Venue, ended};
use serde_json::json;

/// Runs for a while in `mode` with a key of the venue, of demo trading or not.
fn run(venue: &Venue, dir: &Path, mode: &str, demo: bool) -> Ended {
    venue.configure_with(dir, venue.authority(), &format!("[run]\nmode = \"{mode}\"\n"), "");
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
    ended(dir, &["--config", "keel.toml", "--for", "8s", "--run-dir", "run"])
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
