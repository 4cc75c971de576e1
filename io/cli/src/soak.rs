//! `keel soak`: days in real time, or under virtual time, and what their minutes say.

mod chaos;
mod page;
mod watch;

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::ValueEnum;
use keel_core::event::Mode;
use keel_io::clock::Clock;
use keel_io::memory::Block;
use keel_io::signals;
use keel_io::soak::record::Record;
use keel_io::soak::{Period, Plan, Soak, Verdict};
use serde_json::{Value, json};

use self::watch::Watch;
use crate::args::SoakArgs;
use crate::config::{self, Config};
use crate::exit::Exit;
use crate::golive::{bundle, policy_hash, stamp};
use crate::{complain, configuration, print, sealed};

/// Lives the hours that are asked for, writes the report, and says how it went.
pub(crate) fn run(args: &SoakArgs) -> Exit {
    let (config, _) = match configuration(args.config.as_deref(), None) {
        Ok(found) => found,
        Err(issues) => {
            complain(&issues);
            return Exit::Usage;
        }
    };
    if let Some(refusal) = refusal(args, &config) {
        complain(&refusal);
        return Exit::Usage;
    }
    let lived = if args.simulated { simulated(args) } else { watched(args, &config) };
    match lived {
        Ok((dir, label, verdict)) => {
            let told = print(&text(&dir, label, &verdict));
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

/// What of the flags does not fit together.
fn refusal(args: &SoakArgs, config: &Config) -> Option<&'static str> {
    let whole = args.minutes.is_multiple_of(60);
    if args.simulated {
        return (!whole).then_some("--simulated lives whole hours");
    }
    needs_embedded(config)
}

/// Why this cannot be lived through: it brings its venue along.
pub(crate) fn needs_embedded(config: &Config) -> Option<&'static str> {
    let outside = config.mode != Mode::Sim || config.venue.urls.is_some();
    outside.then_some("this brings its venue along: it needs mode sim, and no addresses in [venue]")
}

/// Real time: processes of their own, seen from outside.
fn watched(args: &SoakArgs, config: &Config) -> Result<(PathBuf, &'static str, Verdict), String> {
    let bound = bound(config)?;
    let stop = signals::stop_flag(i32::from(Exit::Failed as u8))
        .map_err(|error| format!("signals: {error}"))?;
    let begun = match &args.resume {
        Some(dir) => absolute(dir).and_then(|dir| {
            Watch::resume(&dir, &bound, config).map_err(|trouble| trouble.to_string())
        }),
        None => begin(args, &bound, config),
    };
    let mut watch = begun?;
    eprintln!("{}: {} min of the venue's clock", watch.dir.display(), watch.record.minutes);
    let dir = watch.dir.clone();
    let told = |record: &Record, minute| six_hours(&dir, record, minute);
    let lived = watch.live(&stop, told).and_then(|()| watch.finish());
    if let Err(trouble) = lived {
        watch.record.lived.stops.push(trouble.to_string());
        watch.record.save(&dir).map_err(|error| error.to_string())?;
    }
    let verdict = watch.record.judge(&dir, i64::MAX)?;
    let mut said = bound;
    said["label"] = "wire".into();
    said["minutes"] = watch.record.minutes.into();
    said["speed"] = watch.record.speed.into();
    said["resumed"] = args.resume.is_some().into();
    let out = dir.parent().unwrap_or(&dir).to_owned();
    said["report"] = verdict.json();
    let page = page::html("wire", &verdict)?;
    sealed::write(&out, &dir, OWN, Clock::start().utc(), (said, &page))?;
    Ok((dir, "wire", verdict))
}

fn begin(args: &SoakArgs, bound: &Value, config: &Config) -> Result<Watch, String> {
    let dir = absolute(&args.out.join(stamp(Clock::start().utc())))?;
    let plan = watch::Plan {
        minutes: args.minutes,
        speed: args.speed,
        seed: args.seed,
        fault_every: args.fault_every,
        bound: bound.clone(),
    };
    fs::create_dir_all(&dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    Watch::begin(&dir, plan, config).map_err(|trouble| trouble.to_string())
}

/// The same directory, wherever the program goes on.
pub(crate) fn absolute(dir: &Path) -> Result<PathBuf, String> {
    std::path::absolute(dir).map_err(|error| format!("{}: {error}", dir.display()))
}

/// What a report is evidence for: this program, these rules, that venue.
pub(crate) fn bound(config: &Config) -> Result<Value, String> {
    let keel = std::env::current_exe().map_err(|error| format!("this program: {error}"))?;
    let binary = fs::read(&keel).map_err(|error| format!("{}: {error}", keel.display()))?;
    Ok(json!({
        "binary_blake3": bundle::hash(&binary),
        "policy_blake3": policy_hash(&config::canonical(config)),
        "venue": "embedded",
        "mode": config.mode.to_string(),
    }))
}

/// The configuration in force but for its venue.
fn tables_of(config: &Config) -> String {
    let mut inside = false;
    let mut text = String::new();
    for line in config::canonical(config).lines() {
        if line.starts_with('[') {
            inside = line == "[venue]";
        }
        if !inside {
            let _ = writeln!(text, "{line}");
        }
    }
    text
}

/// Says after each six hours how they went, and keeps it.
fn six_hours(dir: &Path, record: &Record, minute: i64) {
    let gone = u64::try_from(minute - record.first_minute).unwrap_or(0);
    if gone == 0 || !gone.is_multiple_of(360) {
        return;
    }
    let hours = gone / 60;
    // What cannot be judged now is judged in the end.
    let Ok(verdict) = record.judge(dir, minute) else { return };
    let path = dir.join(format!("summary-{hours:04}h.json"));
    let _ = fs::write(path, format!("{:#}\n", verdict.json()));
    let left = (record.minutes - gone.min(record.minutes)) as f64 / 60.0;
    for period in verdict.periods.iter().filter(|period| period.is_newest(minute)) {
        eprintln!("{hours} h lived, {left:.1} h to go: {}", period_text(period));
    }
}

fn period_text(period: &Period) -> String {
    let [least, most] = period.rss_kib;
    format!(
        "{} {:?}, {least} to {most} KiB, {} descriptors and {} orders at most, equity {}",
        period.pair, period.states, period.open_fds, period.orders_active, period.equity
    )
}

/// Virtual time: everything in this thread.
fn simulated(args: &SoakArgs) -> Result<(PathBuf, &'static str, Verdict), String> {
    let dir = args.out.join(stamp(Clock::start().utc()));
    fs::create_dir_all(&dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    let plan = Plan {
        seed: args.seed,
        profile: args.profile.into(),
        hours: args.minutes / 60,
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
    let told = json!({
        "report": verdict.json(),
        "label": "virtual",
        "seed": plan.seed,
        "profile": args.profile.to_possible_value().map(|value| value.get_name().to_owned()),
        "minutes": args.minutes,
        "fault_every_s": plan.fault_every_s,
    });
    let page = page::html("virtual", &verdict)?;
    sealed::write(&args.out, &dir, OWN, Clock::start().utc(), (told, &page))?;
    Ok((dir, "virtual", verdict))
}

/// The name of a soak's own report.
const OWN: &str = "soak.json";

fn text(dir: &Path, label: &str, verdict: &Verdict) -> String {
    let mut out = String::new();
    for finding in &verdict.findings {
        let mark = if finding.holds { "holds" } else { "FAILS" };
        let _ = writeln!(out, "{mark}  {} ({})", finding.claim, finding.seen);
    }
    if let (Some(trend), "virtual") = (verdict.memory, label) {
        let _ = writeln!(
            out,
            "told   resident memory of product and venue together: {:+.2} KiB a minute ({:+.2} to \
             {:+.2})",
            trend.slope, trend.low, trend.high
        );
    }
    let word = if verdict.passes() { "PASS" } else { "FAIL" };
    let _ = writeln!(out, "{word} ({label}), {} faults: {}", verdict.faults, dir.display());
    out
}
