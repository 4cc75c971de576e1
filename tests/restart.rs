//! A run that is killed while its orders rest, and the run after it, on a venue of its
//! own process.

mod program;

use std::path::Path;
use std::time::Duration;

use program::{Venue, Working, column, ended, log, table, wait};
use serde_json::json;

/// The trade ids that `fills.csv` has rows for.
fn rows(state: &Path) -> Vec<String> {
    let tables = ["BTCUSDT", "ETHUSDT"].map(|pair| table(&state.join(pair).join("fills.csv")));
    let mut ids: Vec<String> =
        tables.iter().flat_map(|table| column(table, "exchange_trade_id")).collect();
    ids.sort();
    ids
}

/// Somebody buys and sells so much of each contract that what rests near the touch is met.
fn trade_by_hand(venue: &Venue) {
    for (symbol, size) in [("BTCUSDT", "4"), ("ETHUSDT", "150")] {
        for side in ["buy", "sell"] {
            let order = json!({
                "account": "manual", "category": "USDT-FUTURES", "symbol": symbol, "side": side,
                "orderType": "market", "qty": size,
            });
            let answer = venue.admin("POST", "/admin/order", &order);
            assert!(answer["orderId"].is_string(), "{answer}");
        }
    }
}

#[test]
fn a_killed_run_is_cleaned_up_after_and_no_execution_is_lost_or_doubled() {
    let venue = Venue::start(&["--plaintext"]);
    let dir = tempfile::tempdir().expect("a directory");
    let (path, state) = (dir.path(), dir.path().join("state"));
    venue.configure(path, venue.authority(), "");

    let first = Working::start(path, &["run", "--state-dir", "state", "--run-dir", "first"]);
    wait(Duration::from_secs(20), "one has been filled", || !venue.executions().is_empty());
    // Stopped first: between a look and a kill on a busy machine it could pull what rests.
    wait(Duration::from_secs(20), "it is stopped while orders rest", || {
        first.signal("STOP");
        std::thread::sleep(Duration::from_millis(50));
        let rest = venue.open_orders() >= 2;
        if !rest {
            first.signal("CONT");
        }
        rest
    });
    first.kill();
    // Nobody watches now, and somebody trades into what rests, as deep as it takes.
    wait(Duration::from_secs(20), "what rests has been traded into", || {
        trade_by_hand(&venue);
        rows(&state).len() < venue.executions().len()
    });
    let before = venue.executions();
    let resting = venue.open_orders();

    let second = ["run", "--state-dir", "state", "--run-dir", "second", "--for", "8s"];
    let second = ended(path, &second);
    second.done();
    let log = log(&path.join("second"));
    let canceled = log.matches("Orphan order canceled: ").count() as u64;
    assert_eq!(canceled, resting, "{log}");
    assert!(log.contains(&format!("Startup scan: canceled {resting} orphan order(s)")), "{log}");
    assert!(log.contains("Daily state restored: day="), "{log}");
    assert!(log.contains("equity_open=10000 "), "{log}");
    assert_eq!(venue.open_orders(), 0, "{log}");

    let found = venue.executions();
    assert!(before.len() <= found.len());
    assert_eq!(rows(&state), found, "each execution has one row, and each row an execution\n{log}");
    let day = std::fs::read_to_string(state.join("daily_state.json")).expect("a day");
    let day: serde_json::Value = serde_json::from_str(&day).expect("JSON");
    assert_eq!(day["boot_epoch"], 2);
    assert_eq!(day["fills_count"].as_u64(), Some(found.len() as u64), "{day}");

    for run in ["first", "second"] {
        let replayed = ended(path, &["replay", run]);
        replayed.done();
        assert!(replayed.out.starts_with("identical:"), "{}", replayed.said());
    }
}

/// A copy of the state was restored whose next boot's order number 1 the venue does not know: it is
/// refused however often it is started.
#[test]
fn an_order_of_a_later_boot_at_the_venue_refuses_the_start() {
    let venue = Venue::start(&["--plaintext"]);
    let dir = tempfile::tempdir().expect("a directory");
    venue.configure(dir.path(), venue.authority(), "");
    let first = ["run", "--state-dir", "s", "--run-dir", "a", "--for", "1s"];
    ended(dir.path(), &first).done();
    let name = "keel-main-4-7";
    let order = json!({
        "account": "keel", "category": "USDT-FUTURES", "symbol": "BTCUSDT", "side": "buy",
        "orderType": "market", "qty": "0.01", "clientOid": name,
    });
    assert_eq!(venue.admin("POST", "/admin/order", &order)["clientOid"], name);
    // Each of them used up an epoch, and the fourth traded.
    for run in 0..5 {
        let run = format!("b{run}");
        let again = ["run", "--state-dir", "s", "--run-dir", &run, "--for", "1s"];
        ended(dir.path(), &again).refused(3, &["an order of boot epoch 4", "restored from a copy"]);
    }
}

#[test]
fn two_engines_do_not_trade_on_one_account_whatever_their_contracts() {
    let venue = Venue::start(&["--plaintext"]);
    let dir = tempfile::tempdir().expect("a directory");
    let trading = |symbol: &str| {
        let kill = "[kill]\nguardian = \"off\"\nhang_ms = 5000\n\n";
        let before = format!("[run]\ninstruments = [\"{symbol}\"]\n{kill}");
        venue.configure_with(dir.path(), venue.authority(), &before, "");
    };
    trading("BTCUSDT");
    let first = Working::start(dir.path(), &["run", "--state-dir", "s", "--run-dir", "a"]);
    wait(Duration::from_secs(10), "the first engine runs", || {
        dir.path().join("a/journal/00000001.journal").exists()
    });
    trading("ETHUSDT");
    let args = ["run", "--state-dir", "t", "--run-dir", "b", "--for", "1s"];
    ended(dir.path(), &args).refused(3, &["this account is traded on by instance ", "is locked"]);
    trading("BTCUSDT");
    first.signal("TERM");
    first.end(Duration::from_secs(10)).done();
    ended(dir.path(), &["run", "--state-dir", "s", "--run-dir", "c", "--for", "1s"]).done();
}
