//! The kill and the guardian, with the venue, the engine and the guardian as processes of their
//! own.

mod drill;
mod program;

use std::fs;
use std::path::Path;
use std::time::Duration;

use drill::{Case, Drilled};
use program::{Venue, Working, ended, log, signal, wait};
use serde_json::Value;

/// Drills, and checks what holds for every drill.
fn drilled(orders: u32, case: Case) -> Drilled {
    // A machine that runs many tests at once may let an engine wait.
    let drilled = drill::run(orders, case, 2_000);
    let report = &drilled.report;
    println!("{orders} orders, {}: {drilled:?}", case.name());
    assert!(drilled.before >= u64::from(orders), "{drilled:?}");
    assert_eq!(drilled.after, 0, "nothing rests after the zombie window: {report}");
    assert_eq!(report["status"], "executed", "{report}");
    assert_eq!(report["orders_after"].as_array().map(Vec::len), Some(0), "{report}");
    let seen = report["orders_before"].as_array().map_or(0, Vec::len) as u64;
    if case.guardian_acts() {
        // Nobody else cancels: the guardian has seen every order.
        assert_eq!((seen, &report["vacuous"]), (drilled.before, &Value::Bool(false)), "{report}");
    } else {
        // The engine's own gateway cancels at the same time, and the kill sees only what it leaves.
        assert!(seen <= drilled.before, "{report}");
    }
    drilled
}

#[test]
fn twenty_orders_of_a_healthy_engine_are_killed_by_a_persons_word() {
    drilled(20, Case::Healthy);
}

#[test]
fn one_order_of_an_engine_that_is_gone_is_killed_by_the_guardian() {
    drilled(1, Case::Killed);
}

#[test]
fn twenty_orders_of_an_engine_that_is_stopped_are_killed_by_the_guardian() {
    let drilled = drilled(20, Case::Stopped);
    assert_eq!(drilled.report["trigger"], "guardian");
}

#[test]
fn what_the_guardian_latched_holds_until_the_incident_is_named() {
    let venue = Venue::start(&["--plaintext"]);
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path();
    venue.configure_with(path, venue.authority(), "[kill]\nhang_ms = 5000\n\n", "");
    let first = Working::quoting(path, &venue, "first");
    first.kill();
    wait(Duration::from_secs(10), "the guardian has canceled", || venue.open_orders() == 0);
    let latch = path.join("state/latch.json");
    wait(Duration::from_secs(20), "the guardian has latched", || latch.exists());
    let text = fs::read_to_string(&latch).expect("a latch");
    let latch: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(latch["reasons"], "engine_lost");
    let incident = latch["incident_id"].as_str().expect("a number").to_owned();

    // The next run is stopped from its first moment, and says so although it has no figures yet.
    let args = ["run", "--state-dir", "state", "--run-dir", "brief", "--for", "1ms"];
    let brief = ended(path, &args);
    assert_eq!(brief.code, Some(5), "{}", brief.said());
    // It quotes nothing.
    let args = ["run", "--state-dir", "state", "--run-dir", "second", "--for", "3s"];
    let second = ended(path, &args);
    assert_eq!(second.code, Some(5), "{}", second.said());
    assert_eq!(venue.open_orders(), 0);
    assert!(!log(&path.join("second")).contains("RUNNING"), "{}", log(&path.join("second")));

    let rearm = |incident: &str| {
        // The run's directory tells where its state is.
        ended(path, &["rearm", "--incident", incident, "--run-dir", "second"])
    };
    rearm("7").refused(2, &[&format!("the latched incident is {incident}, not 7")]);
    rearm(&incident).done();
    let operators = fs::read_to_string(path.join("state/operators.log")).expect("a log");
    assert!(operators.contains("rearm 7 by user ") && operators.contains(": wrong incident"));
    assert!(operators.contains(&format!("rearm {incident} by user ")), "{operators}");
    let args = ["run", "--state-dir", "state", "--run-dir", "third", "--for", "6s"];
    let third = ended(path, &args);
    third.done();
    assert!(log(&path.join("third")).contains("RUNNING"), "{}", log(&path.join("third")));
}

#[test]
fn a_run_whose_guardian_hangs_pulls_its_quotes_and_ends_with_it() {
    let venue = Venue::start(&["--plaintext"]);
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path();
    venue.configure_with(path, venue.authority(), "[kill]\nhang_ms = 5000\n\n", "");
    let run = Working::quoting(path, &venue, "run");
    let guardian = run.children("guardian");
    assert_eq!(guardian.len(), 1, "{guardian:?}");
    signal(guardian[0], "STOP");
    let ended = run.end(Duration::from_secs(30));
    ended.done();
    assert!(ended.err.contains("the guardian is lost"), "{}", ended.said());
    assert_eq!(venue.open_orders(), 0);
    assert!(!path.join("state/latch.json").exists(), "an ordered stop latches nothing");
    let left = Path::new("/proc").join(guardian[0].to_string());
    assert!(!left.exists(), "no guardian is left behind");
}

/// What a unit file of `tuning/systemd` starts, for the configuration of a test.
fn unit(name: &str) -> Vec<String> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tuning/systemd").join(name);
    let text = fs::read_to_string(file).expect("a unit file");
    let line = text.lines().find_map(|line| line.strip_prefix("ExecStart=/usr/bin/keel "));
    let words = line.expect("it starts keel").split(' ');
    words.map(|word| word.replace("/etc/keel/%i.toml", "keel.toml")).collect()
}

#[test]
fn what_unit_files_start_is_an_engine_and_its_guardian_apart() {
    let venue = Venue::start(&["--plaintext"]);
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path();
    let kill = "[kill]\nguardian = \"unit\"\nhang_ms = 5000\n\n";
    venue.configure_with(path, venue.authority(), kill, "");
    let start = |name: &str, more: &[&str]| {
        let line = unit(name);
        let words: Vec<&str> =
            line.iter().map(String::as_str).chain(more.iter().copied()).collect();
        Working::start(path, &words)
    };
    let quoting = |run: &str| {
        let run = start("keel@.service", &["--run-dir", run]);
        wait(Duration::from_secs(30), "orders rest", || venue.open_orders() >= 2);
        run
    };

    let guardian = start("keel-guardian@.service", &[]);
    let run = quoting("first");
    assert_eq!(run.children("guardian"), [] as [u32; 0], "it has not started one");
    run.signal("TERM");
    run.end(Duration::from_secs(30)).done();
    guardian.end(Duration::from_secs(5)).done();

    // The engine comes first and waits for it.
    let run = start("keel@.service", &["--run-dir", "second"]);
    let guardian = start("keel-guardian@.service", &[]);
    wait(Duration::from_secs(30), "orders rest", || venue.open_orders() >= 2);
    run.kill();
    wait(Duration::from_secs(10), "the guardian has canceled", || venue.open_orders() == 0);
    let ended = guardian.end(Duration::from_secs(20));
    assert_eq!(ended.code, Some(5), "{}", ended.said());
    assert!(ended.said().contains("has ended without having verified zero"), "{}", ended.said());
    let report = path.join("second/reports/kill_switch/latest.json");
    let report: Value = serde_json::from_slice(&fs::read(report).expect("a report")).expect("JSON");
    assert_eq!((&report["trigger"], &report["status"]), (&"guardian".into(), &"executed".into()));
}

#[test]
fn a_kill_without_an_engine_cancels_flattens_and_latches() {
    let venue = Venue::start(&["--plaintext"]);
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path();
    // Without an engine that says which way its orders go, the longer window would be waited for.
    venue.configure(path, venue.authority(), "[order]\norder_entry = \"websocket\"\n");
    let run = Working::quoting(path, &venue, "run");
    run.kill();
    let market = serde_json::json!({
        "account": "keel", "category": "USDT-FUTURES", "symbol": "BTCUSDT", "side": "buy",
        "orderType": "market", "qty": "0.01",
    });
    let answer = venue.admin("POST", "/admin/order", &market);
    assert!(answer["orderId"].is_string(), "{answer}");
    let fills = || venue.account()["fills"].as_u64().expect("a count");
    let (resting, filled) = (venue.open_orders(), fills());
    assert!(resting >= 1, "{}", venue.account());

    let dry = ended(path, &["kill", "--dry-run"]);
    dry.done();
    let text = &dry.out[dry.out.find('{').expect("a report")..];
    let report: Value = serde_json::from_str(text).expect("JSON");
    assert_eq!(report["status"], "dry_run");
    let listed = report["orders_before"].as_array().map(Vec::len).expect("a list") as u64;
    let left = venue.open_orders();
    assert!((left..=resting).contains(&listed), "{listed} of {resting}, {left} left");
    assert!(left + fills() >= resting + filled, "what has gone has been filled");

    // What nobody asked to cancel rests, and nobody is there to tend it: that is no success.
    ended(path, &["kill", "--instrument", "ETHUSDT"]).refused(6, &["only ETHUSDT was canceled"]);
    let killed = ended(path, &["kill", "--flatten"]);
    killed.done();
    assert_eq!(venue.open_orders(), 0);
    let report = path.join("state/reports/kill_switch/latest.json");
    let report = fs::read_to_string(report).expect("a report");
    let report: Value = serde_json::from_str(&report).expect("JSON");
    let closed = report["flatten"]["status"].as_str();
    assert!(matches!(closed, Some("closed" | "nothing_held")), "{report}");
    assert_eq!(report["position_after"]["BTCUSDT"], "0.0000", "{report}");
    assert_eq!(report["position_after"]["ETHUSDT"], "0.00", "{report}");
    assert!(path.join("state/latch.json").exists());
}

#[test]
fn a_run_that_is_refused_its_start_does_not_hide_the_one_at_work() {
    // It took the place by which commands find a run: `keel kill` found nobody, canceled without an
    // engine, and told of a success while the engine traded on.
    let venue = Venue::start(&["--plaintext"]);
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path();
    venue.configure(path, venue.authority(), "");
    let run = Working::quoting(path, &venue, "run");
    let second = ended(path, &["run", "--state-dir", "state", "--run-dir", "second"]);
    assert_eq!(second.code, Some(3), "{}", second.said());
    ended(path, &["status"]).done();
    run.signal("TERM");
    run.end(Duration::from_secs(30)).done();
}

#[test]
fn a_kill_that_finds_no_socket_ends_whoever_holds_the_state() {
    let venue = Venue::start(&["--plaintext"]);
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path();
    venue.configure(path, venue.authority(), "[order]\norder_entry = \"websocket\"\n");
    let run = Working::quoting(path, &venue, "run");
    let killed = ended(path, &["kill", "--run-dir", "elsewhere", "--state-dir", "state"]);
    killed.done();
    assert_eq!(venue.open_orders(), 0);
    assert_eq!(run.end(Duration::from_secs(5)).code, None, "it has been killed");
    assert!(path.join("state/latch.json").exists());
}
