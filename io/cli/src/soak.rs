//! `keel soak`: days under virtual time, and what their minutes say.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::ValueEnum;
use keel_io::clock::Clock;
use keel_io::memory::Block;
use keel_io::soak::{Plan, Soak, Verdict};
use serde_json::json;

use crate::args::SoakArgs;
use crate::exit::Exit;
use crate::golive::stamp;
use crate::{complain, print};

/// Lives the hours that are asked for, writes the report, and says how it went.
pub(crate) fn run(args: &SoakArgs) -> Exit {
    match live(args) {
        Ok((dir, verdict)) => {
            let told = print(&text(&dir, &verdict));
            match (told, verdict.passes()) {
                (Exit::Done, false) => Exit::Gate,
                (told, _) => told,
            }
        }
        Err(what) => {
            complain(&what);
            Exit::Failed
        }
    }
}

fn live(args: &SoakArgs) -> Result<(PathBuf, Verdict), String> {
    let dir = args.out.join(stamp(Clock::start().utc()));
    fs::create_dir_all(&dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    let plan = Plan {
        seed: args.seed,
        profile: args.profile.into(),
        hours: args.hours,
        fault_every_s: args.fault_every.map(|every| every.as_secs().max(1)),
    };
    let block = Block::default();
    let began = Instant::now();
    let mut soak = Soak::begin(plan, &dir, &block).map_err(|error| error.to_string())?;
    loop {
        let left = soak.hour().map_err(|error| error.to_string())?;
        let gone = plan.hours - left;
        if left == 0 || gone.is_multiple_of(6) {
            eprintln!("{gone} h lived, {left} h to go, {:.0} s", began.elapsed().as_secs_f64());
        }
        if left == 0 {
            break;
        }
    }
    let verdict = soak.judge()?;
    let report = json!({
        "keel": env!("CARGO_PKG_VERSION"),
        "label": "virtual",
        "seed": plan.seed,
        "profile": args.profile.to_possible_value().map(|value| value.get_name().to_owned()),
        "hours": plan.hours,
        "fault_every_s": plan.fault_every_s,
        "rows": dir,
        "report": verdict.json(),
    });
    let body = format!("{report:#}\n");
    for path in [dir.join("soak.json"), args.out.join("latest.json")] {
        fs::write(&path, &body).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok((dir, verdict))
}

fn text(dir: &Path, verdict: &Verdict) -> String {
    let mut out = String::new();
    for finding in &verdict.findings {
        let mark = if finding.holds { "holds" } else { "FAILS" };
        let _ = writeln!(out, "{mark}  {} ({})", finding.claim, finding.seen);
    }
    if let Some(trend) = verdict.memory {
        let _ = writeln!(
            out,
            "told   resident memory of product and venue together: {:+.2} KiB a minute ({:+.2} to \
             {:+.2})",
            trend.slope, trend.low, trend.high
        );
    }
    let word = if verdict.passes() { "PASS" } else { "FAIL" };
    let _ = writeln!(out, "{word} (virtual), {} faults: {}", verdict.faults, dir.display());
    out
}
