//! `keel run --mode paper` on a public market that is a venue on loopback: fills by its tape,
//! files, an ordered stop, a replay; and every byte that left, which holds no key and asks for
//! nothing but the market.

mod program;
#[path = "program/watch.rs"]
mod watch;

use std::fs;
use std::path::Path;
use std::time::Duration;

use program::{Venue, Working, column, ended, table, wait};
use serde_json::{Value, json};
use watch::Watched;

/// What of an account's key must never be seen: in the environment of every run here.
const KEY: [(&str, &str); 3] = [
    ("KEEL_API_KEY", "bg_0123456789abcdefpaper"),
    ("KEEL_API_SECRET", "secretpapersecret"),
    ("KEEL_API_PASSPHRASE", "passphrasepaper"),
];

/// Writes `keel.toml` for a run on the public market at `authority`.
fn configure(dir: &Path, authority: &str) {
    let text = format!(
        "[run]\nmode = \"paper\"\nprofile = \"touch\"\ninstruments = [\"BTCUSDT\"]\n\
         [venue]\nrest = \"http://{authority}\"\nws_public = \"ws://{authority}/v3/ws/public\"\n\
         [paper]\nmaker_fee_pct = -0.00005\nlatency_max_ms = 60\n[kill]\nhang_ms = 5000\n"
    );
    fs::write(dir.join("keel.toml"), text).expect("written");
}

fn start(dir: &Path, run: &str) -> Working {
    Working::start_with(dir, &["run", "--run-dir", run, "--state-dir", "s"], &KEY)
}

fn is_running(run: &Path) -> bool {
    fs::read_to_string(run.join("keel.log")).is_ok_and(|log| log.contains("-> RUNNING"))
}

fn fills(dir: &Path) -> usize {
    let path = dir.join("s/fills.csv");
    fs::read_to_string(path).map_or(0, |text| text.lines().count().saturating_sub(1))
}

/// Lets somebody else take, through the touch of each side in turn, until the run has `wanted`
/// fills.
fn trade(venue: &Venue, dir: &Path, wanted: usize) {
    let mut side = "sell";
    wait(Duration::from_secs(30), "fills", || {
        side = if side == "sell" { "buy" } else { "sell" };
        let order = json!({
            "account": "taker", "symbol": "BTCUSDT", "side": side, "orderType": "market",
            "qty": "8",
        });
        let placed = venue.admin("POST", "/admin/order", &order);
        assert!(placed["orderId"].is_string(), "{placed}");
        std::thread::sleep(Duration::from_millis(400));
        fills(dir) >= wanted
    });
}

fn day(dir: &Path) -> Value {
    let text = fs::read_to_string(dir.join("s/daily_state.json")).expect("a day");
    serde_json::from_str(&text).expect("JSON")
}

#[test]
fn a_run_on_paper_sends_nothing_signed_fills_by_the_tape_and_goes_on_where_it_was() {
    let venue = Venue::start(&["--plaintext"]);
    let account = json!({ "name": "taker", "deposit": "10000000" });
    venue.admin("POST", "/admin/account", &account);
    let watched = Watched::start(venue.authority());
    let dir = tempfile::tempdir().expect("a directory");
    let dir = dir.path();
    configure(dir, &watched.address.to_string());

    let run = start(dir, "a");
    wait(Duration::from_secs(15), "quotes", || is_running(&dir.join("a")));
    trade(&venue, dir, 2);
    run.signal("TERM");
    let first = run.end(Duration::from_secs(10));
    first.done();
    for word in ["none, verified at the venue", "fills are modeled, not made"] {
        assert!(first.out.contains(word), "{word:?} is missing\n{}", first.said());
    }
    let rows = table(&dir.join("s/fills.csv"));
    assert!(column(&rows, "is_maker").iter().all(|maker| maker == "true"));
    assert!(column(&rows, "fee_source").iter().all(|source| source == "config:manual"));
    for (fee, notional) in
        column(&rows, "fee_quote").iter().zip(column(&rows, "notional_quote").iter())
    {
        let [fee, notional]: [f64; 2] = [fee, notional].map(|text| text.parse().expect("a number"));
        assert!((fee + notional * 0.00005).abs() < 1e-6, "a rebate of half a basis point: {fee}");
    }
    let replayed = ended(dir, &["replay", "a"]);
    replayed.done();
    assert!(replayed.out.starts_with("identical:"), "{}", replayed.said());

    // Position and money of the first run are those of the second.
    let before = day(dir);
    let again = start(dir, "b");
    wait(Duration::from_secs(15), "quotes again", || is_running(&dir.join("b")));
    again.signal("TERM");
    let second = again.end(Duration::from_secs(10));
    second.done();
    assert!(!program::log(&dir.join("b")).contains("HARD_STOP"), "{}", second.said());
    if fills(dir) == rows.1.len() {
        let held = |day: &Value| day["instruments"]["BTCUSDT"]["position_base"].clone();
        assert_eq!(held(&day(dir)), held(&before), "nothing was filled in between");
    }
    assert_eq!(day(dir)["boot_epoch"], 2);

    // Not a byte of a key, no login, no signature, and nothing asked for but the market.
    let sent = watched.sent();
    for (name, value) in KEY {
        assert!(!sent.contains(value), "{name} has left the process");
    }
    assert!(sent.contains("\"op\":\"subscribe\""), "frames are read: {sent}");
    for word in ["ACCESS-", "access-", "\"op\":\"login\"", "POST ", "/v3/ws/private", "/account/"] {
        assert!(!sent.contains(word), "{word:?} was sent");
    }
    let asked: Vec<&str> = sent.lines().filter(|line| line.ends_with(" HTTP/1.1")).collect();
    assert!(asked.iter().any(|line| line.starts_with("GET /v3/ws/public ")), "{asked:?}");
    assert!(asked.iter().any(|line| line.contains("/public/time")), "{asked:?}");
    let market = ["/v3/ws/public ", "/api/v2/public/time ", "/api/v3/market/"];
    for line in asked {
        let public = |path: &&str| line.starts_with(&format!("GET {path}"));
        assert!(market.iter().any(public), "{line}");
    }
    assert_eq!(venue.account()["openOrders"], 0, "the venue knows of none of it");
    assert_eq!(venue.executions().len(), 0);
}

#[test]
fn a_kill_ends_what_rests_on_paper_and_is_latched() {
    let venue = Venue::start(&["--plaintext"]);
    let dir = tempfile::tempdir().expect("a directory");
    let dir = dir.path();
    configure(dir, venue.authority());
    let run = start(dir, "a");
    wait(Duration::from_secs(15), "quotes", || is_running(&dir.join("a")));
    let killed = ended(dir, &["kill", "--run-dir", "a"]);
    killed.done();
    assert!(killed.out.contains("\"status\": \"executed\""), "{}", killed.said());
    assert!(killed.out.contains("\"paper_orders_after\": 0"), "{}", killed.said());
    run.signal("TERM");
    let stopped = run.end(Duration::from_secs(10));
    assert_eq!(stopped.code, Some(5), "{}", stopped.said());
    let after = ended(dir, &["kill", "--run-dir", "a"]);
    after.refused(4, &["a paper venue ends with its run"]);
}
