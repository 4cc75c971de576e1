//! `cargo ci`: format, lints, tests, documentation and tidiness in one command.
//!
//! `cargo ci` runs every step and ends with a table of minutes; `cargo ci STEP…` runs the steps
//! named.

use std::process::{Command, ExitCode};
use std::time::Instant;

/// A step: its name, and the cargo command that it is.
struct Step {
    name: &'static str,
    args: &'static [&'static str],
    rustdoc_flags: &'static str,
}

const STEPS: &[Step] = &[
    Step { name: "fmt", args: &["fmt", "--all", "--", "--check"], rustdoc_flags: "" },
    Step {
        name: "clippy",
        args: &["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"],
        rustdoc_flags: "",
    },
    Step {
        name: "tidy",
        args: &["test", "--package", "keel_tests", "--test", "tidy", "--locked"],
        rustdoc_flags: "",
    },
    Step { name: "test", args: &["test", "--workspace", "--locked"], rustdoc_flags: "" },
    Step {
        name: "doc",
        args: &["doc", "--workspace", "--no-deps", "--locked"],
        rustdoc_flags: "-D warnings",
    },
];

fn main() -> ExitCode {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    if let Some(unknown) = wanted.iter().find(|name| STEPS.iter().all(|step| step.name != **name)) {
        let names: Vec<&str> = STEPS.iter().map(|step| step.name).collect();
        eprintln!("no step `{unknown}`; the steps are: {}", names.join(", "));
        return ExitCode::from(2);
    }
    let chosen =
        STEPS.iter().filter(|step| wanted.is_empty() || wanted.contains(&step.name.into()));
    let results: Vec<(&str, bool, f64)> = chosen.map(run).collect();
    println!("\n{:<10} {:>8}  result", "step", "minutes");
    for (name, passed, minutes) in &results {
        println!("{name:<10} {minutes:>8.1}  {}", if *passed { "passed" } else { "FAILED" });
    }
    if results.iter().all(|(_, passed, _)| *passed) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn run(step: &Step) -> (&'static str, bool, f64) {
    println!("== {}: cargo {}", step.name, step.args.join(" "));
    let started = Instant::now();
    let mut command = Command::new(env!("CARGO"));
    command.args(step.args);
    if !step.rustdoc_flags.is_empty() {
        command.env("RUSTDOCFLAGS", step.rustdoc_flags);
    }
    let passed = command.status().is_ok_and(|status| status.success());
    (step.name, passed, started.elapsed().as_secs_f64() / 60.0)
}
