//! `keel parity` in short: one market at the venue and on paper, rows that come back, and a gate
//! that does not take minutes for an hour.

mod program;

use std::fs;
use std::path::{Path, PathBuf};

use keel_desk::report::parity::{End, Rows};
use program::ended;
use serde_json::Value;

/// Compares five minutes into `out`, by the configuration that is there; gives the directory.
fn compared(path: &Path, out: &str) -> PathBuf {
    let run = ended(path, &["parity", "--minutes", "5", "--out", out]);
    assert_eq!(run.code, Some(9), "too little is no agreement\n{}", run.said());
    assert!(run.out.contains("INSUFFICIENT (virtual), 5 minutes compared"), "{}", run.said());
    let report = report(path, out);
    assert_eq!(
        (&report["label"], &report["report"]["verdict"]),
        (&"virtual".into(), &"INSUFFICIENT".into())
    );
    path.join(report["dir"].as_str().expect("a directory"))
}

fn report(path: &Path, out: &str) -> Value {
    let text = fs::read_to_string(path.join(out).join("latest.json")).expect("written");
    serde_json::from_str(&text).expect("JSON")
}

#[test]
fn one_market_is_traded_twice_the_same_every_time_and_minutes_pass_no_gate() {
    let home = tempfile::tempdir().expect("a directory");
    let path = home.path();
    let first = compared(path, "one");
    let [venue, paper] =
        ["venue", "paper"].map(|side| Rows::load(&first.join(side)).expect("rows"));
    for rows in [&venue, &paper] {
        assert!(rows.fills.len() > 20 && rows.fills.iter().all(|fill| fill.maker));
        let ends = |end| rows.orders.iter().filter(|order| order.end == end).count();
        assert!(ends(End::Filled) > 10 && ends(End::Canceled) > 50 && ends(End::PostOnly) > 0);
        assert_eq!((ends(End::Rejected), rows.minutes.len()), (0, 7));
    }
    assert_ne!(venue, paper, "two engines, and one of them on paper");
    let seconds = |rows: &Rows| rows.minutes[3].regimes.iter().sum::<i64>();
    assert_eq!([seconds(&venue), seconds(&paper)], [120; 2], "a row a second of each contract");
    let again = compared(path, "two");
    for file in ["venue/orders.csv", "paper/orders.csv", "paper/fills.csv", "parity.html"] {
        let [one, two] = [&first, &again].map(|dir| fs::read(dir.join(file)).expect("written"));
        assert!(one == two, "{file}: the same seed tells the same");
    }
    let lines = fs::read_to_string(first.join("calibration.toml")).expect("written");
    assert!(lines.contains("[paper]\nlatency_min_ms = "), "{lines}");

    // What was measured at the venue is a configuration of paper.
    fs::write(path.join("keel.toml"), &lines).expect("written");
    let calibrated = Rows::load(&compared(path, "three").join("paper")).expect("rows");
    let most = lines.rsplit(' ').next().and_then(|text| text.trim().parse::<i64>().ok());
    let most_ns = (most.expect("the most comes last") + 1) * 1_000_000;
    let answered = calibrated.orders.iter().filter(|order| order.answered > 0);
    let slow: Vec<_> = answered.filter(|order| order.answered - order.sent > most_ns).collect();
    assert!(slow.is_empty(), "the engine hears of an answer when it comes: {slow:?}");
    let check = ["golive", "check", "--item", "11", "--parity"];
    let gate = |file: &str| ended(path, &[&check[..], &[file]].concat());
    gate("three/latest.json").refused(9, &["for an hour or more: 5 minutes in blocks of five"]);
    gate("nowhere").refused(9, &["no parity report; `keel parity --minutes 1440` makes it"]);
    let table = again.join("paper/fills.csv");
    fs::write(&table, fs::read_to_string(&table).expect("there") + "\n").expect("written");
    gate("two/latest.json").refused(9, &["paper/fills.csv is not what it was"]);
}

#[test]
fn parity_brings_its_venue_along() {
    let home = tempfile::tempdir().expect("a directory");
    let path = home.path();
    fs::write(path.join("keel.toml"), "[run]\nmode = \"paper\"\n").expect("written");
    ended(path, &["parity"]).refused(2, &["it needs mode sim, and no addresses"]);
    ended(path, &["parity", "--minutes", "4"]).refused(2, &["4"]);
}
