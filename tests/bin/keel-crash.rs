//! Crashes by the thousand.
//!
//! * `keel-crash --states 40000 [--seed 1]`: states that a crash may leave on a simulated disk.
//! * `keel-crash --kills 2000 [--seed 1] [--threads 2] [--zombie-ms 500] [--entry rest]
//!   [--record FILE]`: the program itself is killed. With a record it goes on where it was left.
//!   Of 60 kills or more each point must be reached once.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;

use keel_tests::crash::kill::{self, Outcome, Segment, Way};
use keel_tests::crash::sabotage::Sabotage;
use keel_tests::crash::states::explore;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let text = |flag: &str| {
        let place = words.iter().position(|word| word == flag)?;
        words.get(place + 1).map(String::as_str)
    };
    let number = |flag: &str| text(flag)?.parse::<u64>().ok();
    let seed = number("--seed").unwrap_or(1);
    let (report, is_good) = match (number("--states"), number("--kills")) {
        (Some(states), None) => {
            let report = explore(Sabotage::None, STATES_EACH, states, seed);
            (report.text(), report.violations.is_empty())
        }
        (None, Some(kills)) => {
            let threads = number("--threads").unwrap_or(2);
            let zombie_ms = number("--zombie-ms").unwrap_or(500);
            let way = Way { zombie_ms, rest: text("--entry") == Some("rest") };
            let record = text("--record").map(PathBuf::from);
            let outcome = kills_of(kills, (seed, way), threads, record.as_deref());
            let is_good = outcome.violation.is_none() && outcome.total() > 0;
            let never = match record {
                // What was lived before has reached points too.
                Some(_) => Vec::new(),
                None if kills < ALL_POINTS => Vec::new(),
                None => outcome.never_reached(),
            };
            let missing = if never.is_empty() {
                String::new()
            } else {
                format!("never reached: {never:?}\n")
            };
            (format!("{outcome}\n{missing}"), is_good && never.is_empty())
        }
        _ => {
            eprintln!(
                "usage: keel-crash --states N [--seed N]\n       keel-crash --kills N [--seed N] \
                 [--threads N] [--zombie-ms N] [--entry rest|websocket] [--record FILE]"
            );
            return ExitCode::from(2);
        }
    };
    print!("{report}");
    if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Lives segments until there are so many kills or something is wrong.
fn kills_of(kills: u64, (first, way): (u64, Way), threads: u64, record: Option<&Path>) -> Outcome {
    let program = kill::beside(&std::env::current_exe().expect("this program has a path"));
    let done = record.map(recorded).unwrap_or_default();
    let each = kills.div_ceil(threads).clamp(1, KILLS_EACH);
    let count = kills.div_ceil(each);
    let mut seeds: Vec<u64> = (first..first + count).filter(|s| !done.contains(s)).collect();
    println!("{count} segments of {each} kills, {} of them done before", done.len());
    seeds.reverse();
    let (waiting, all) = (Mutex::new(seeds), Mutex::new(Outcome::default()));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let failed = all.lock().expect("nobody panics").violation.is_some();
                    let next = waiting.lock().expect("nobody panics").pop();
                    let (Some(seed), false) = (next, failed) else { return };
                    let dir = tempfile::tempdir().expect("a directory");
                    let segment = Segment { seed, kills: each as u32, way };
                    let outcome = kill::segment(&program, dir.path(), &segment);
                    let mut all = all.lock().expect("nobody panics");
                    if let Some(record) = record {
                        write_down(record, seed, &outcome);
                    }
                    if outcome.violation.is_some() {
                        // What it left is worth a look.
                        println!("seed {seed}: see {}", dir.keep().display());
                    }
                    all.add(outcome);
                }
            });
        }
    });
    all.into_inner().expect("nobody panics")
}

/// Seeds of segments that ended well.
fn recorded(path: &Path) -> BTreeSet<u64> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let good = text.lines().filter(|line| line.ends_with(" good"));
    good.filter_map(|line| line.split_whitespace().nth(1)?.parse().ok()).collect()
}

fn write_down(path: &Path, seed: u64, outcome: &Outcome) {
    let file = fs::File::options().append(true).create(true).open(path);
    let line = format!(
        "seed {seed} kills {} executions {} orphans {} comparisons {} {}\n",
        outcome.total(),
        outcome.executions,
        outcome.orphans,
        outcome.comparisons,
        if outcome.violation.is_none() { "good" } else { "BAD" }
    );
    if let Err(error) = file.and_then(|mut file| file.write_all(line.as_bytes())) {
        eprintln!("{}: {error}", path.display());
    }
}

/// States tried after one operation.
const STATES_EACH: usize = 24;
/// So many kills reach every point, or the campaign has failed.
const ALL_POINTS: u64 = 60;
/// Kills on one venue; more would make its history long to read.
const KILLS_EACH: u64 = 40;
