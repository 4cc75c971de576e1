//! A day of a run against the venue's own records, fetched with a key that may only read.

mod program;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use keel_core::units::UnixNanos;
use program::{Venue, Working, ended, wait};
use serde_json::{Value, json};

/// Gives the configuration in `dir` a key of the account that may do no more than read.
fn read_only(venue: &Venue, dir: &Path) {
    let made = venue.admin("POST", "/admin/key", &json!({ "account": "keel", "permissions": [] }));
    let [key, secret, words] =
        ["key", "secret", "passphrase"].map(|part| made[part].as_str().expect("a part").to_owned());
    let text = format!("key = {key}\nsecret = {secret}\npassphrase = {words}\n");
    fs::write(dir.join("key"), text).expect("written");
    fs::set_permissions(dir.join("key"), fs::Permissions::from_mode(0o600)).expect("a mode");
}

/// Executions of the engine's account, through its quotes.
fn traded(venue: &Venue, fills: u64) {
    let count = || venue.account()["fills"].as_u64().expect("a count");
    wait(Duration::from_secs(60), "executions", || {
        for (symbol, size) in [("BTCUSDT", "4"), ("ETHUSDT", "150")] {
            for side in ["buy", "sell"] {
                let order = json!({
                    "account": "manual", "category": "USDT-FUTURES", "symbol": symbol,
                    "side": side, "orderType": "market", "qty": size,
                });
                venue.admin("POST", "/admin/order", &order);
            }
        }
        std::thread::sleep(Duration::from_millis(500));
        count() >= fills
    });
}

/// Settlements of each contract.
const FUNDINGS: usize = 20;

#[test]
fn a_day_is_compared_with_what_the_venue_tells_a_key_that_only_reads() {
    let venue = Venue::start(&["--plaintext"]);
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path();
    venue.configure(path, venue.authority(), "");
    let run = Working::quoting(path, &venue, "run");
    traded(&venue, 6);
    // Together more than rounding: a balance that is off is asked about at once.
    for symbol in ["BTCUSDT", "ETHUSDT"].repeat(FUNDINGS) {
        venue.admin("POST", "/admin/settle-funding", &json!({ "symbol": symbol }));
    }
    // A run that ends before it has booked them is not asked about here.
    wait(Duration::from_secs(150), "the funding is booked", || {
        let status = ended(path, &["status", "--json", "--run-dir", "run"]);
        let status: Value = serde_json::from_str(&status.out).unwrap_or_default();
        let money = |value: &Value| value.as_str().and_then(|text| text.parse::<f64>().ok());
        let cost = money(&status["funding_cost_today_quote"]);
        let received = money(&venue.account()["funding"]).expect("a sum");
        cost.is_some_and(|cost| (cost + received).abs() < 1e-9)
    });
    run.signal("TERM");
    run.end(Duration::from_secs(60)).done();

    read_only(&venue, path);
    let state = venue.admin("GET", "/admin/state", &Value::Null);
    let ms: i64 = state["now"].as_str().and_then(|now| now.parse().ok()).expect("a time");
    let day = keel_io::cold::daily::date_of(UnixNanos::from_millis(ms).day());
    let of = ["--day", &day, "--run-dir", "run"];
    let ask = |how: &[&str]| ended(path, &[&["report", "statement"], how, &of[..]].concat());

    let told = ask(&["--from-venue", "--keep", "kept.json"]);
    assert!(told.out.contains("equal within 1 bp of notional"), "{}", told.said());
    told.done();
    // What was kept is a statement that says the same.
    let kept = ask(&["kept.json"]);
    kept.done();
    assert_eq!(kept.out, told.out);

    // Money that no run was told of is found.
    venue.admin("POST", "/admin/deposit", &json!({ "account": "keel", "amount": "5" }));
    let differs = ask(&["--from-venue"]);
    assert_eq!(differs.code, Some(7), "{}", differs.said());
    assert!(differs.out.contains("missing here: "), "{}", differs.said());
    assert!(differs.out.contains("NOT EQUAL: transfers differ by 5"), "{}", differs.said());

    // A venue that does not answer gives no statement.
    let fail = json!({ "act": "fail", "status": 500, "accepted": "no", "on": "financial-records" });
    venue.admin("POST", "/admin/fault", &fail);
    ask(&["--from-venue"]).refused(4, &["500"]);
    ask(&[]).refused(2, &["FILE"]);
    ask(&["kept.json", "--from-venue"]).refused(2, &["cannot be used with"]);
}
