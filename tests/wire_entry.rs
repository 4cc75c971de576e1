//! Orders over REST and renewed connections on real sockets, against a venue of its own process
//! that refuses orders on its WebSocket and fails some of them.

mod program;

use std::path::Path;
use std::thread;
use std::time::Duration;

use keel_core::event::{Event, FeedState, Measure};
use keel_io::journal::{Reader, TapKind};
use keel_io::mode::replay::journal_dir;
use program::{Venue, Working, column, ended, log, table, wait};
use serde_json::json;

/// Every event in a run's journal.
fn events(run_dir: &Path) -> Vec<Event> {
    let records =
        Reader::open(&journal_dir(run_dir)).expect("a journal").map(|r| r.expect("whole"));
    let events = records.filter(|record| record.tap.kind == TapKind::Event);
    events.map(|record| Event::decode(&record.tap.slot).expect("an event")).collect()
}

#[test]
fn a_run_over_rest_renews_its_sockets_and_loses_doubles_and_leaves_nothing() {
    let venue = Venue::start(&["--plaintext"]);
    let refused = venue.admin("POST", "/admin/order-entry", &json!({ "websocket": false }));
    assert_eq!(refused, json!({}));
    let dir = tempfile::tempdir().expect("a directory");
    let more = "[order]\nsession_rotate_s = 5\nzombie_window_rest_ms = 3000\n";
    venue.configure(dir.path(), venue.authority(), more);
    let run = ["run", "--state-dir", "s", "--run-dir", "run", "--for", "16s"];
    let run = Working::start(dir.path(), &run);
    wait(Duration::from_secs(20), "orders rest", || venue.open_orders() >= 2);
    for accepted in ["yes", "no"] {
        let fault = json!({
            "act": "fail", "status": 502, "accepted": accepted, "on": "place-order", "times": 1,
        });
        assert!(venue.admin("POST", "/admin/fault", &fault)["fault"].is_number());
        thread::sleep(Duration::from_secs(2));
    }
    let run = run.end(Duration::from_secs(60));
    run.done();
    assert!(run.out.contains("none, verified at the venue"), "{}", run.said());
    assert_eq!(venue.open_orders(), 0);

    let dir = dir.path();
    let (log, told) = (log(&dir.join("run")), events(&dir.join("run")));
    let of = |state: FeedState| {
        told.iter().filter(|e| matches!(e, Event::Feed(feed) if feed.state == state)).count()
    };
    assert_eq!((of(FeedState::Live), of(FeedState::Lost), of(FeedState::Gap)), (2, 0, 0), "{log}");
    assert!(of(FeedState::Rotated) >= 4, "{} turns\n{log}", of(FeedState::Rotated));
    let entry = told.iter().find_map(|event| match event {
        Event::Health(health) if health.measure == Measure::OrderEntry => Some(health.value),
        _ => None,
    });
    assert_eq!(entry, Some(1), "over REST");
    let mut booked: Vec<String> = ["BTCUSDT", "ETHUSDT"]
        .iter()
        .flat_map(|pair| {
            column(&table(&dir.join("s").join(pair).join("fills.csv")), "exchange_trade_id")
        })
        .collect();
    booked.sort();
    assert_eq!(booked, venue.executions(), "each execution has one row\n{log}");
    let replayed = ended(dir, &["replay", "run"]);
    replayed.done();
    assert!(replayed.out.starts_with("identical:"), "{}", replayed.said());
}
