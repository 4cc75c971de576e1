//! Shows the go-live gate systems that are broken on purpose: it must say FAIL for each.
//!
//! `keel-gate [--item N]... [--row N:NAME]... [--at-once N]`
//!
//! Each item that has a drill is shown one whose control is broken: either nothing is done to the
//! system of what its drill would do, so that a control that never acted must not pass; or the
//! engines commit a planted defect, in a build that carries them. The gate must name the claim that
//! the control is there for: an item that fails for another reason has not noticed. `--row` names
//! one by its item and what breaks it: a defect, `Withheld` or `SlowPaper`. Exit code 1
//! when the gate passes any, or fails one for another reason; 3 when this build can break none
//! of those that are asked for.

#[path = "../program/mod.rs"]
mod program;

use std::process::ExitCode;
use std::sync::Mutex;
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

impl Broken {
    /// Its name in `--row`.
    const fn key(self) -> &'static str {
        match self {
            By(defect) => defect.name(),
            Withheld => "Withheld",
            SlowPaper => "SlowPaper",
        }
    }
}

/// An item, what is broken, and words of what the gate must say.
type Control = (u8, Broken, &'static str);

/// Each drilled item, what its gate is shown, and what it must say: the claim that does not hold,
/// or what it waited for in vain.
const CONTROLS: &[Control] = &[
    (1, Withheld, "the stop for want of a rate"),
    (2, Withheld, "another least value is followed while it quotes"),
    (3, Withheld, "the report of the kill is finished"),
    (4, By(Defect::OrphansNotScanned), "after a kill the next start cancels its orders"),
    (5, By(Defect::PositionIsAdopted), "it is found over REST and booked once"),
    (5, Withheld, "a drift beyond 5 % pauses or stops"),
    (6, By(Defect::StaleBookQuoted), "what rested is gone in time"),
    (6, Withheld, "one topic silent: what rested is gone in time"),
    (7, By(Defect::TimeoutIsFailure), "no level ever has two orders at the venue"),
    (7, Withheld, "no level ever has two orders at the venue"),
    (8, Withheld, "an episode"),
    (9, By(Defect::LossWithoutMarks), "the loss of the day stops for good"),
    (9, Withheld, "the loss of the day stops for good"),
    (10, By(Defect::FundingNotBooked), "flat, balance at the venue = realized - fees - funding"),
    (10, Withheld, "funding was paid or received"),
    (11, SlowPaper, "fills on paper and at the venue agree"),
    (12, Withheld, "the engine ends"),
    (14, Withheld, "the log says \"-> HARD_STOP\""),
    (15, Withheld, "in live mode its private stream is open"),
    (16, Withheld, "the book silent: not ready"),
    (17, Withheld, "the clock is read"),
    (18, Withheld, "the engine ends"),
    (19, By(Defect::FailureIsEmpty), "without positions nothing is quoted"),
    (19, Withheld, "without clock nothing is quoted"),
    (20, By(Defect::FillIsInferred), "keel status has the venue's positions"),
    (21, By(Defect::RebateIsFee), "closed: balance at the venue = realized - fees - funding"),
    (22, Withheld, "the parting is noticed"),
    (23, Withheld, "no order rests after 2 s"),
    (24, Withheld, "single cancels were asked for and failed"),
];

/// Drills that go on at the same time unless asked otherwise: they wait, most of the time.
const AT_ONCE: usize = 4;

const USAGE: &str = "usage: keel-gate [--item N]... [--row N:NAME]... [--at-once N]";

/// What is asked for: rows of the table, and how many at the same time.
fn asked(mut arguments: impl Iterator<Item = String>) -> Option<(Vec<Control>, usize)> {
    let (mut chosen, mut at_once) = (Vec::new(), AT_ONCE);
    while let Some(argument) = arguments.next() {
        let value = arguments.next()?;
        let before = chosen.len();
        match argument.as_str() {
            "--item" => {
                let item: u8 = value.parse().ok()?;
                chosen.extend(CONTROLS.iter().filter(|control| control.0 == item));
            }
            "--row" => {
                let named = |control: &&Control| format!("{}:{}", control.0, control.1.key());
                chosen.extend(CONTROLS.iter().filter(|control| named(control) == value));
            }
            "--at-once" => {
                at_once = value.parse().ok().filter(|&count| count > 0)?;
                continue;
            }
            _ => return None,
        }
        // What is in no row would be shown to nobody.
        if chosen.len() == before {
            return None;
        }
    }
    let all = if chosen.is_empty() { CONTROLS.to_vec() } else { chosen };
    Some((all, at_once))
}

fn main() -> ExitCode {
    let Some((controls, at_once)) = asked(std::env::args().skip(1)) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    println!("{:>4}  {:<20} {:<8} {:>6}  what the gate said", "item", "broken by", "verdict", "s");
    let next = AtomicUsize::new(0);
    let seen = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..at_once {
            scope.spawn(|| {
                // Nothing but the count itself is handed over.
                while let Some(&control) = controls.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let noticed = is_noticed(control);
                    seen.lock().expect("no drill panics here").push(noticed);
                }
            });
        }
    });
    let seen = seen.into_inner().expect("no drill panics here");
    let count = |wanted| seen.iter().filter(|&&noticed| noticed == wanted).count();
    let [noticed, fooled, not_shown] = [Some(true), Some(false), None].map(count);
    println!(
        "{noticed} broken systems failed for what is broken, {fooled} did not, {not_shown} are not \
         in this build"
    );
    ExitCode::from(match (fooled, noticed) {
        (0, 0) => 3,
        (0, _) => 0,
        _ => 1,
    })
}

/// Shows the gate one and prints a row; true when it says FAIL for what is broken, `None` when this
/// build cannot break the system so.
fn is_noticed((item, broken, expected): Control) -> Option<bool> {
    let name = match broken {
        By(defect) => defect.name(),
        Withheld => "nothing is done",
        SlowPaper => "paper is slow",
    };
    if matches!(broken, By(defect) if Planted::named(defect.name()).is_none()) {
        println!("{item:>4}  {name:<20} {:<8} {:>6}  not in this build", "-", "-");
        return None;
    }
    let began = Instant::now();
    let (verdict, said) = judged(item, broken);
    let took = began.elapsed().as_secs_f64();
    let named = said.iter().find(|said| said.contains(expected));
    let shown = match (named, verdict.as_str()) {
        (Some(said), _) => said.clone(),
        (None, "FAIL") => format!("NOT for {expected:?}: {}", said.join("; ")),
        (None, _) => format!("nothing of {expected:?}"),
    };
    println!("{item:>4}  {name:<20} {verdict:<8} {took:>6.1}  {shown}");
    Some(verdict == "FAIL" && named.is_some())
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

/// The gate's verdict on an item of a system that is broken so, and what it has against it:
/// claims that do not hold, and what kept the drill from its end.
fn judged(item: u8, broken: Broken) -> (String, Vec<String>) {
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
    let findings = judged["findings"].as_array().into_iter().flatten();
    let failed = findings.filter(|finding| finding["holds"] == false);
    let claims = failed.filter_map(|finding| finding["claim"].as_str());
    (verdict, claims.chain(judged["trouble"].as_str()).map(str::to_owned).collect())
}
