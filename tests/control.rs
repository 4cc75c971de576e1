//! The control socket of a run on its embedded venue: what can be asked, what is refused, and that
//! it is journaled.

mod program;

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::time::Duration;

use keel_core::event::{Event, Refused};
use keel_io::control::client::connect;
use keel_io::journal::{Reader, TapKind};
use program::{Ended, Working, ended, log, wait};
use serde_json::Value;

const CONFIG: &str = "[envelope]\nspread_max = [0.0002, 0.01]\n";

fn status(dir: &Path) -> Value {
    let status = ended(dir, &["status", "--json"]);
    status.done();
    serde_json::from_str(&status.out).expect("JSON")
}

/// Waits until the run says that it is in `state`.
fn until(dir: &Path, state: &str) {
    wait(Duration::from_secs(20), state, || {
        let status = ended(dir, &["status", "--json"]);
        status.code == Some(0)
            && serde_json::from_str::<Value>(&status.out).expect("JSON")["state"] == state
    });
}

/// The incident that the run's log names last.
fn incident(dir: &Path) -> String {
    let log = log(&dir.join("run"));
    let at = log.rfind("incident=").expect("an incident") + "incident=".len();
    log[at..].split_whitespace().next().expect("a number").to_owned()
}

#[test]
fn a_run_is_paused_set_killed_and_rearmed_by_its_socket_and_its_journal_tells_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path();
    std::fs::write(path.join("keel.toml"), CONFIG).expect("written");
    let run = Working::start(path, &["run", "--run-dir", "run"]);
    wait(Duration::from_secs(20), "the socket is there", || path.join("run/control.sock").exists());
    until(path, "RUNNING");
    let seen = status(path);
    for key in ["reference_price", "orders_active", "instruments", "uptime_s", "equity_quote"] {
        assert!(!seen[key].is_null(), "{key} is missing: {seen}");
    }
    let connector = &seen["connector_status"];
    for part in ["ready", "public_ws", "private_ws", "rest", "book_seq_ok"] {
        assert_eq!(connector[part], true, "{part}: {connector}");
    }
    let nobody = connector["guardian_lease_age_ms"].is_null();
    assert!(nobody, "an embedded venue ends with the process: {connector}");
    let screen = ended(path, &["status"]);
    screen.done();
    assert!(screen.out.contains("RUNNING") && screen.out.contains("BTCUSDT"), "{}", screen.out);

    ended(path, &["pause"]).done();
    until(path, "SOFT_PAUSE");
    assert!(status(path)["state_reasons"].as_str().is_some_and(|text| text.contains("operator")));
    ended(path, &["resume"]).done();
    until(path, "RUNNING");

    let set = |change: &str| ended(path, &["set", change]);
    set("max_base_pct=0.10").done();
    set("max_base_pct=0.12").refused(2, &["stays 0.1", "limits may only be tightened"]);
    set("spread_max.up=0.0005").done();
    set("spread_max.up=0.02").refused(2, &["may be set from 0.0002 to 0.01"]);
    set("spread_min.up=0.0001").refused(2, &["not in [envelope]"]);
    set("nonsense=1").refused(2, &["no parameter nonsense"]);
    assert!(say(path, "{\"command\":\"reboot\"}").contains("not understood"));
    let unnamed = "{\"command\":\"kill\",\"instrument\":\"no name\"}";
    assert!(say(path, unnamed).contains("no instrument's name"));

    let dry = ended(path, &["kill", "--dry-run"]);
    dry.done();
    assert!(dry.out.contains("\"status\": \"dry_run\""), "{}", dry.out);
    until(path, "RUNNING");
    killed_and_rearmed(path);

    run.signal("TERM");
    run.end(Duration::from_secs(40)).done();
    let log = log(&path.join("run"));
    for line in [
        "Operator pause by user ",
        "Operator resume by user ",
        "Operator set max_base_pct = 0.1 by user ",
        "Operator set max_base_pct = 0.12 by user ",
        "Operator kill by user ",
        "Operator rearm 1 by user ",
        ": may not be set: spread_max.up=0.02",
        ": may not be set: spread_min.up=0.0001",
        ": may not be set: nonsense=1",
        ": not understood: {\"command\":\"reboot\"}",
        ": no instrument: no name",
    ] {
        assert!(log.contains(line), "{line:?} is missing\n{log}");
    }
    assert_eq!(log.matches("Operator refused at the socket by user ").count(), 5, "{log}");
    let journaled = journaled(&path.join("run"));
    assert_eq!(journaled.len(), 5, "{journaled:?}");
    assert!(journaled.iter().all(|refused| refused.process != 0), "{journaled:?}");
    ended(path, &["replay", "run"]).done();
}

/// What the control socket refused, as the run's journal holds it.
fn journaled(run_dir: &Path) -> Vec<Refused> {
    let records = Reader::open(&run_dir.join("journal")).expect("a journal");
    let events = records.map(|r| r.expect("whole")).filter(|r| r.tap.kind == TapKind::Event);
    let refused = events.filter_map(|r| match Event::decode(&r.tap.slot).expect("an event") {
        Event::Refused(refused) => Some(refused),
        _ => None,
    });
    refused.collect()
}

/// Says one line at the socket, and gives the answer.
fn say(path: &Path, line: &str) -> String {
    let mut stream = connect(&path.join("run")).expect("the socket");
    stream.write_all(format!("{line}\n").as_bytes()).expect("sent");
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).expect("answered");
    answer
}

fn killed_and_rearmed(path: &Path) {
    let killed = ended(path, &["kill"]);
    killed.done();
    assert!(killed.out.contains("\"trigger\": \"control\""), "{}", killed.out);
    until(path, "HARD_STOP");
    assert!(path.join("run/state/latch.json").exists());
    let report = std::fs::read_to_string(path.join("run/reports/kill_switch/latest.json"));
    let report: Value = serde_json::from_str(&report.expect("a report")).expect("JSON");
    assert_eq!(report["status"], "executed", "{report}");
    let rearm = |incident: &str| -> Ended { ended(path, &["rearm", "--incident", incident]) };
    let latched = incident(path);
    rearm("1").refused(2, &[&format!("the latched incident is {latched}, not 1")]);
    ended(path, &["resume"]).done();
    std::thread::sleep(Duration::from_millis(2_500));
    assert_eq!(status(path)["state"], "HARD_STOP", "a resume is no rearm");
    rearm(&latched).done();
    until(path, "RUNNING");
    wait(Duration::from_secs(5), "the latch is gone", || {
        !path.join("run/state/latch.json").exists()
    });
    wait(Duration::from_secs(10), "it quotes again", || {
        status(path)["orders_active"].as_i64().is_some_and(|orders| orders > 0)
    });
}

#[test]
fn a_command_without_a_run_says_so() {
    let dir = tempfile::tempdir().expect("a directory");
    ended(dir.path(), &["status"]).refused(3, &["no run with this configuration"]);
    let away = ["pause", "--run-dir", "nowhere"];
    ended(dir.path(), &away).refused(3, &["nowhere is not at work"]);
    ended(dir.path(), &["rearm"]).refused(2, &["--incident"]);
    ended(dir.path(), &["set", "x"]).refused(2, &["KEY=VALUE"]);
}
