//! Hunts for planted defects: `keel-planted [--seeds 0..64] [--threads 2] [--only NAME] [--what]
//! [--enough N]`.
//!
//! Prints a row a defect: what class of test found it, which invariant or test saw it, in the life
//! of which seed, how many lives that took, and the seconds; with `--what`, also what was seen.
//! With `--enough` the hunt ends once lives and crash states have found that many, and each that is
//! required. Exit code 1 when they have not (when not all are found, without it), or when the
//! product itself violates anything. `--list` tells what the defects are.

use std::process::ExitCode;

use keel_core::planted::Defect;
use keel_tests::planted::{Hunt, Quarry, Trail};

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let Some((hunt, quarries)) = read(&words) else {
        eprintln!(
            "usage: keel-planted [--seeds FROM..TO] [--threads N] [--only DEFECT] [--enough N] \
             [--what] [--list]"
        );
        return ExitCode::from(2);
    };
    if words.iter().any(|word| word == "--list") {
        return list();
    }
    std::panic::set_hook(Box::new(|_| {}));
    let tell = words.iter().any(|word| word == "--what");
    let words = ["defect", "class", "found by", "seed", "lives", "s"];
    let [defect, class, by, seed, lives, s] = words;
    println!("{defect:<24} {class:<13} {by:<13} {seed:>5} {lives:>6} {s:>7}");
    let trails = hunt.run(&quarries, |trail| {
        let what = trail.found.as_ref().filter(|_| tell).map(|(_, what)| format!("\n    {what}"));
        println!("{trail}{}", what.unwrap_or_default());
    });
    let amiss = |trail: &&Trail| trail.is_amiss();
    let sound = trails.iter().filter(|trail| trail.quarry == Quarry::Nothing);
    let violated = sound.filter(amiss).count();
    let missed = trails.iter().filter(amiss).count() - violated;
    let hunted = trails.iter().filter(|trail| trail.quarry != Quarry::Nothing).count();
    let (found, lives) = (hunted - missed, trails.iter().map(|trail| trail.lives).max());
    let lives = lives.unwrap_or(0);
    println!(
        "{found} of {hunted} found within {lives} lives each; {violated} violations without any"
    );
    let by_worlds = trails.iter().filter(|trail| trail.is_prey()).count();
    let missed: Vec<String> =
        trails.iter().filter(|trail| trail.is_missed()).map(|trail| trail.quarry.name()).collect();
    println!("{by_worlds} of them by simulation or crash states; required and missed: {missed:?}");
    let is_enough = match hunt.enough {
        usize::MAX => found == hunted,
        _ => hunt.has_enough(&trails),
    };
    if is_enough && violated == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn list() -> ExitCode {
    for defect in Defect::ALL {
        let seen = Some(defect.incident()).filter(|incident| !incident.is_empty());
        let seen = seen.map(|incident| format!(" ({incident})")).unwrap_or_default();
        println!("{}:{}{seen}", defect.name(), defect.what());
    }
    ExitCode::SUCCESS
}

fn read(words: &[String]) -> Option<(Hunt, Vec<Quarry>)> {
    let value = |flag: &str| {
        let place = words.iter().position(|word| word == flag)?;
        words.get(place + 1).map(String::as_str)
    };
    let (from, to) = value("--seeds").unwrap_or("0..64").split_once("..")?;
    let seeds = from.parse().ok()?..to.parse().ok()?;
    let threads = value("--threads").unwrap_or("2").parse().ok()?;
    let enough = value("--enough").map(str::parse).transpose().ok()?.unwrap_or(usize::MAX);
    let only = value("--only");
    let named = |quarry: &Quarry| only.is_none_or(|name| name == quarry.name());
    let quarries: Vec<Quarry> = Quarry::all().filter(named).collect();
    (!quarries.is_empty()).then_some((Hunt { seeds, threads, enough }, quarries))
}
