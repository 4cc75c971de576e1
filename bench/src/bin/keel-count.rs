//! Counts the instructions of the hot parts under callgrind and compares them with the baseline of
//! this compiler; see `bench/README.md`.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use clap::Parser;
use keel_bench::count::{self, CASES, Case};

/// Counts instructions of the hot parts and compares them with the baseline.
///
/// Exit code: 0 within the threshold, 1 beyond it or when something failed, 3 when there is
/// nothing to compare: valgrind is missing, or this compiler has no baseline.
#[derive(Parser)]
struct Args {
    /// Percent that a part may take more than in its baseline.
    #[arg(long, default_value_t = 2.0)]
    threshold: f64,
    /// Records these counts as the baseline of this compiler.
    #[arg(long)]
    write: bool,
    /// Keeps callgrind's files in this directory, for `callgrind_annotate`.
    #[arg(long)]
    keep: Option<PathBuf>,
    /// Only parts whose names contain this; compared, never recorded.
    #[arg(long, default_value = "", conflicts_with = "write")]
    only: String,
    /// Runs the parts and nothing else: what callgrind looks at.
    #[arg(long, hide = true)]
    work: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let cases: Vec<&Case> = CASES.iter().filter(|case| case.name.contains(&args.only)).collect();
    if args.work {
        count::run_all(cases);
        return ExitCode::SUCCESS;
    }
    match run(&args, &cases) {
        Ok(verdict) => verdict,
        Err(error) => {
            eprintln!("keel-count: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args, cases: &[&Case]) -> Result<ExitCode, String> {
    if !answers("valgrind") {
        eprintln!("keel-count: skipped, valgrind is not installed");
        return Ok(ExitCode::from(NOTHING_TO_COMPARE));
    }
    let directory = match &args.keep {
        Some(directory) => directory.clone(),
        None => std::env::temp_dir().join(format!("keel-count-{}", std::process::id())),
    };
    let counts = count_in(&directory, &args.only, cases);
    if args.keep.is_none() {
        let _ = fs::remove_dir_all(&directory);
    }
    let counts = counts?;
    let compiler = compiler()?;
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("counts").join(format!("{compiler}.txt"));
    if args.write {
        fs::write(&path, baseline_text(&compiler, cases, &counts)).map_err(at(&path))?;
    }
    let Ok(text) = fs::read_to_string(&path) else {
        print!("{}", table(cases, &counts, &[]));
        eprintln!("keel-count: {compiler} has no baseline; record one with --write");
        return Ok(ExitCode::from(NOTHING_TO_COMPARE));
    };
    let baseline = read_baseline(&text)?;
    print!("{}", table(cases, &counts, &baseline));
    let beyond = beyond(cases, &counts, &baseline, args.threshold);
    for line in &beyond {
        eprintln!("keel-count: {line}");
    }
    Ok(if beyond.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Instructions a round of every case, by callgrind.
fn count_in(directory: &Path, only: &str, cases: &[&Case]) -> Result<Vec<u64>, String> {
    fs::create_dir_all(directory).map_err(at(directory))?;
    let this = std::env::current_exe().map_err(|error| error.to_string())?;
    let status = Command::new("valgrind")
        .args(["--tool=callgrind", "--quiet", "--collect-atstart=no"])
        .args(["--compress-strings=no", "--compress-pos=no"])
        .arg("--toggle-collect=*measured_work*")
        .arg("--dump-after=*measured_case_ends*")
        .arg(format!("--callgrind-out-file={}", directory.join("counts").display()))
        .arg(this)
        .args(["--work", "--only", only])
        .stdin(Stdio::null())
        .status()
        .map_err(|error| format!("valgrind: {error}"))?;
    if !status.success() {
        return Err(format!("the parts failed under valgrind: {status}"));
    }
    let part = |place: usize| directory.join(format!("counts.{}", place + 1));
    cases.iter().enumerate().map(|(place, case)| Ok(total(&part(place))? / case.rounds)).collect()
}

/// The total of one of callgrind's files.
fn total(path: &Path) -> Result<u64, String> {
    let text = fs::read_to_string(path).map_err(at(path))?;
    let line = text.lines().rev().find_map(|line| line.strip_prefix("totals: "));
    let total = line.and_then(|line| line.trim().parse().ok()).filter(|&total| total > 0);
    total.ok_or_else(|| format!("{}: no counts", path.display()))
}

/// The compiler whose code is counted, as a file's name.
fn compiler() -> Result<String, String> {
    let output = Command::new("rustc").arg("--version").output();
    let output = output.map_err(|error| format!("rustc --version: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let words: Vec<&str> = text.split_whitespace().take(2).collect();
    Ok(words.join("-"))
}

fn baseline_text(compiler: &str, cases: &[&Case], counts: &[u64]) -> String {
    let mut text = format!(
        "# Instructions a round by callgrind, {compiler}, release profile, {}-{}.\n",
        std::env::consts::ARCH,
        std::env::consts::OS,
    );
    for (case, count) in cases.iter().zip(counts) {
        let _ = writeln!(text, "{count:>9}  {}", case.name);
    }
    text
}

/// Counts by name.
fn read_baseline(text: &str) -> Result<Vec<(&str, u64)>, String> {
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    lines
        .map(|line| {
            let (count, name) = line.trim().split_once(' ').ok_or("a line without a name")?;
            let count = count.parse().map_err(|_| format!("no count: {line}"))?;
            Ok((name.trim(), count))
        })
        .collect()
}

fn before(name: &str, baseline: &[(&str, u64)]) -> Option<u64> {
    baseline.iter().find(|(other, _)| *other == name).map(|(_, count)| *count)
}

fn table(cases: &[&Case], counts: &[u64], baseline: &[(&str, u64)]) -> String {
    let mut text = format!(
        "{:<30} {:>10} {:>10} {:>8}\n",
        "instructions a round", "baseline", "now", "change"
    );
    for (case, &count) in cases.iter().zip(counts) {
        let _ = match before(case.name, baseline) {
            Some(before) => writeln!(
                text,
                "{:<30} {before:>10} {count:>10} {:>+7.1}%",
                case.name,
                change(before, count)
            ),
            None => writeln!(text, "{:<30} {:>10} {count:>10}", case.name, "–"),
        };
    }
    text
}

/// What takes more than it may, and what the baseline has and nothing counts any more.
fn beyond(
    cases: &[&Case],
    counts: &[u64],
    baseline: &[(&str, u64)],
    threshold: f64,
) -> Vec<String> {
    let mut found = Vec::new();
    for (case, &count) in cases.iter().zip(counts) {
        match before(case.name, baseline) {
            None => {
                found.push(format!("{}: not in the baseline; record it with --write", case.name));
            }
            Some(before) if change(before, count) > threshold => {
                found.push(format!("{}: {before} → {count}, beyond {threshold}%", case.name));
            }
            Some(_) => {}
        }
    }
    let gone = |name: &&str| CASES.iter().all(|case| case.name != *name);
    let gone = baseline.iter().map(|(name, _)| name).filter(|name| gone(name));
    found.extend(gone.map(|name| format!("{name}: in the baseline, and no case")));
    found
}

/// In percent.
fn change(before: u64, now: u64) -> f64 {
    (now as f64 - before as f64) * 100.0 / before as f64
}

fn answers(program: &str) -> bool {
    let status =
        Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

fn at(path: &Path) -> impl Fn(std::io::Error) -> String + '_ {
    move |error| format!("{}: {error}", path.display())
}

const NOTHING_TO_COMPARE: u8 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<&'static Case> {
        CASES.iter().collect()
    }

    #[test]
    fn a_part_that_takes_more_is_beyond_and_one_that_takes_less_is_not() {
        let counts: Vec<u64> = CASES.iter().map(|_| 1_000).collect();
        let text = baseline_text("rustc-0", &all(), &counts);
        let same = read_baseline(&text).unwrap();
        assert_eq!(beyond(&all(), &counts, &same, 2.0), Vec::<String>::new());
        let mut more = counts.clone();
        more[3] = 1_021;
        assert_eq!(beyond(&all(), &more, &same, 2.0).len(), 1);
        more[3] = 1_020;
        assert_eq!(beyond(&all(), &more, &same, 2.0).len(), 0, "the threshold itself is within");
        more[3] = 10;
        assert_eq!(beyond(&all(), &more, &same, 2.0).len(), 0);
    }

    #[test]
    fn a_case_without_baseline_and_a_baseline_without_case_are_told() {
        let counts: Vec<u64> = CASES.iter().map(|_| 1_000).collect();
        let text = baseline_text("rustc-0", &all(), &counts);
        let mut baseline = read_baseline(&text).unwrap();
        baseline[0].0 = "another";
        assert_eq!(beyond(&all(), &counts, &baseline, 2.0).len(), 2);
    }
}
