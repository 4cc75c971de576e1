//! Shows the go-live gate systems that are broken on purpose: it must say FAIL for each.
//!
//! `keel-gate [--item N]...`
//!
//! Each item that has a drill is shown one whose control is broken: either nothing is done to the
//! system of what its drill would do, so that a control that never acted must not pass; or the
//! engines commit a planted defect, in a build that carries them. Exit code 1 when the gate passes
//! any.

#[path = "../program/mod.rs"]
mod program;

use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use keel_core::planted::{Defect, Planted};
use program::ended;
use serde_json::Value;

/// How a system is broken.
#[derive(Clone, Copy)]
enum Broken {
    /// The engines commit it.
    By(Defect),
    /// The fault does not come.
    Withheld,
    /// Paper goes by latencies that are not the venue's.
    SlowPaper,
}

use Broken::{By, SlowPaper, Withheld};

/// Each drilled item, and what its gate is shown.
const CONTROLS: &[(u8, Broken)] = &[
    (1, Withheld),
    (2, By(Defect::TouchIsLocked)),
    (2, Withheld),
    (3, Withheld),
    (4, By(Defect::OrphansNotScanned)),
    (5, By(Defect::PositionIsAdopted)),
    (5, Withheld),
    (6, By(Defect::StaleBookQuoted)),
    (6, Withheld),
    (7, By(Defect::UnknownIsForgotten)),
    (7, Withheld),
    (8, Withheld),
    (9, By(Defect::LossWithoutMarks)),
    (9, Withheld),
    (10, By(Defect::FundingNotBooked)),
    (11, SlowPaper),
    (12, Withheld),
    (14, Withheld),
    (15, Withheld),
    (16, Withheld),
    (17, Withheld),
    (18, Withheld),
    (19, By(Defect::FailureIsEmpty)),
    (19, Withheld),
    (20, By(Defect::FillIsInferred)),
    (21, By(Defect::RebateIsFee)),
    (22, Withheld),
    (23, Withheld),
    (24, Withheld),
];

/// Drills that go on at the same time: they wait, most of the time.
const AT_ONCE: usize = 4;

fn main() -> ExitCode {
    let mut only: Vec<u8> = Vec::new();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let value = arguments.next().and_then(|text| text.parse().ok());
        match (argument.as_str(), value) {
            ("--item", Some(item)) => only.push(item),
            _ => {
                eprintln!("usage: keel-gate [--item N]...");
                return ExitCode::from(2);
            }
        }
    }
    let asked = |(item, _): &&(u8, Broken)| only.is_empty() || only.contains(item);
    let controls: Vec<_> = CONTROLS.iter().filter(asked).copied().collect();
    println!("{:>4}  {:<20} {:<8} {:>6}  what the gate said", "item", "broken by", "verdict", "s");
    let (next, fooled) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                // Nothing but the count itself is handed over.
                while let Some(&control) = controls.get(next.fetch_add(1, Ordering::Relaxed)) {
                    fooled.fetch_add(usize::from(!is_noticed(control)), Ordering::Relaxed);
                }
            });
        }
    });
    let fooled = fooled.into_inner();
    println!("{fooled} broken systems have passed the gate");
    ExitCode::from(u8::from(fooled > 0))
}

/// Shows the gate one and prints a row; true when it says FAIL, or when this build cannot break the
/// system so.
fn is_noticed((item, broken): (u8, Broken)) -> bool {
    let name = match broken {
        By(defect) => defect.name(),
        Withheld => "nothing is done",
        SlowPaper => "paper is slow",
    };
    if matches!(broken, By(defect) if Planted::named(defect.name()).is_none()) {
        println!("{item:>4}  {name:<20} {:<8} {:>6}  not in this build", "-", "-");
        return true;
    }
    let began = Instant::now();
    let (verdict, said) = judged(item, broken);
    let took = began.elapsed().as_secs_f64();
    println!("{item:>4}  {name:<20} {verdict:<8} {took:>6.1}  {said}");
    verdict == "FAIL"
}

/// Makes a report of an hour in which paper takes a second and a half for what the venue does in
/// milliseconds.
fn compare_slowly(dir: &std::path::Path) {
    let points = ["min", "p50", "p99", "max"].map(|at| format!("latency_{at}_ms = 1500\n"));
    let config = format!("[paper]\n{}", points.concat());
    std::fs::write(dir.join(SLOW), config).expect("written");
    let parity = ended(dir, &["parity", "--config", SLOW]);
    assert!(parity.out.contains("60 minutes compared"), "{}", parity.said());
}

/// The configuration of a paper that is slow.
const SLOW: &str = "slow.toml";

/// The gate's verdict on an item of a system that is broken so, and the first claim that fails.
fn judged(item: u8, broken: Broken) -> (String, String) {
    let dir = tempfile::tempdir().expect("a directory");
    let number = item.to_string();
    let mut args = vec!["golive", "check", "--item", &number];
    match broken {
        By(defect) => args.extend(["--planted", defect.name()]),
        Withheld => args.push("--withheld"),
        SlowPaper => {
            compare_slowly(dir.path());
            args.extend(["--config", SLOW]);
        }
    }
    let check = ended(dir.path(), &args);
    let read = |path: &std::path::Path| {
        let text = std::fs::read_to_string(path).unwrap_or_else(|_| panic!("{}", check.said()));
        serde_json::from_str::<Value>(&text).expect("JSON")
    };
    let latest = read(&dir.path().join("reports/go_live/latest.json"));
    let bundle = latest["bundle"].as_str().expect("a directory");
    let bundle = read(&dir.path().join(bundle).join("bundle.json"));
    let judged = &bundle["items"][usize::from(item) - 1];
    let verdict = judged["verdict"].as_str().expect("a verdict").to_owned();
    let mut findings = judged["findings"].as_array().into_iter().flatten();
    let failed = findings.find(|finding| finding["holds"] == false);
    let said = judged["trouble"].as_str().or(failed.and_then(|f| f["claim"].as_str()));
    (verdict, said.unwrap_or_default().to_owned())
}
