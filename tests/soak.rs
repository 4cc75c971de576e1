//! The soak in short forms, under virtual time and in real time: its tables, and what is said of
//! them.

mod program;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use keel_core::param::Profile;
use keel_io::memory::Block;
use keel_io::soak::{Plan, Soak, Verdict};
use program::ended;
use serde_json::Value;

/// Lives an hour into a directory of its own, and has its tables judged after `spoil`.
fn lived(fault_every_s: Option<u64>, spoil: impl Fn(&Path)) -> Verdict {
    let dir = tempfile::tempdir().expect("a directory");
    let block = Block::default();
    let plan = Plan { seed: 3, profile: Profile::Touch, hours: 1, fault_every_s };
    let mut soak = Soak::begin(plan, dir.path(), &block).expect("tables are made");
    while soak.hour().expect("tables are written") > 0 {}
    spoil(dir.path());
    soak.judge().expect("tables are read")
}

#[test]
fn a_calm_hour_passes_and_fails_without_one_of_its_rows() {
    let verdict = lived(None, |_| ());
    assert!(verdict.passes(), "{:#?}", verdict.findings);
    assert_eq!((verdict.faults, verdict.periods.len()), (0, 1));
    let verdict = lived(None, |dir| {
        let path = dir.join("minute.csv");
        let rows = fs::read_to_string(&path).expect("rows");
        let kept: Vec<&str> =
            rows.lines().enumerate().filter(|(n, _)| *n != 40).map(|(_, row)| row).collect();
        fs::write(&path, kept.join("\n") + "\n").expect("a table");
    });
    let failed: Vec<&str> =
        verdict.findings.iter().filter(|f| !f.holds).map(|f| f.claim.as_str()).collect();
    let expected = ["BTCUSDT: a row for every minute", "BTCUSDT: no gap, and no minute twice"];
    assert_eq!(failed, expected);
}

#[test]
fn an_hour_full_of_faults_has_every_row_and_every_lost_frame_is_noticed() {
    let verdict = lived(Some(20), |_| ());
    assert!(verdict.faults > 100, "{}", verdict.faults);
    for claim in ["a row for every minute", "every lost books frame is noticed"] {
        let finding = verdict.findings.iter().find(|finding| finding.claim.ends_with(claim));
        let finding = finding.expect("it is looked at");
        assert!(finding.holds && !finding.seen.starts_with("0 lost"), "{finding:?}");
    }
}

/// The only directory below `out`, once its watcher has written a row of `minutes`.
fn begun(out: &Path, minutes: usize) -> PathBuf {
    until(&format!("{minutes} rows"), || {
        let dir = fs::read_dir(out).ok()?.flatten().map(|e| e.path()).find(|p| p.is_dir())?;
        let rows = fs::read_to_string(dir.join("outside.csv")).ok()?;
        (rows.lines().count() > minutes && dir.join("progress.json").exists()).then_some(dir)
    })
}

fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = std::time::Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed().as_secs() < 120, "{what} did not come");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

/// `tuning/agree.py` at work on the soak in `dir`, with the key of its engine.
fn agree(dir: &Path, args: &[&str]) -> Child {
    let key = fs::read_to_string(dir.join("run1.key")).expect("a key");
    let of = |name: &str| {
        let line = key.lines().find_map(|line| line.strip_prefix(name)).expect("a line");
        line.trim_start_matches([' ', '=']).to_owned()
    };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tuning/agree.py");
    let mut command = Command::new("python3");
    command.arg(script).args(args).current_dir(dir).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.env("KEEL_API_KEY", of("key")).env("KEEL_API_SECRET", of("secret"));
    command.env("KEEL_API_PASSPHRASE", of("passphrase")).spawn().expect("python3 runs")
}

/// A soak of three minutes of a clock that runs eight times as fast; in its third the scripts
/// are asked, and its watcher is lost and found again.
#[test]
fn a_soak_in_real_time_outlives_its_watcher_and_the_scripts_agree_with_the_engine() {
    let home = tempfile::tempdir().expect("a directory");
    let path = home.path();
    // Beside other tests a thread may wait longer than a guardian takes for a hang.
    fs::write(path.join("soak.toml"), "[kill]\nhang_ms = 5000\n").expect("written");
    let soak = ["soak", "--hours", "0.05", "--speed", "8", "--config", "soak.toml", "--out", "out"];
    let mut watcher = program::keel(path).args(soak).stderr(Stdio::null()).spawn().expect("keel");
    let dir = begun(&path.join("out"), 2);
    scripts_agree(&dir);
    watcher.kill().expect("killed");
    watcher.wait().expect("gone");

    let name = dir.to_str().expect("a name");
    let refused = ended(path, &["soak", "--resume", name]);
    refused.refused(1, &["another program or configuration"]);
    let resumed = ended(path, &["soak", "--resume", name, "--config", "soak.toml"]);
    assert_eq!(resumed.code, Some(9), "{}", resumed.said());
    let failed: Vec<&str> = resumed.out.lines().filter(|line| line.starts_with("FAILS")).collect();
    assert!(
        failed.len() == 1 && failed[0].contains("too few to say"),
        "three minutes tell nothing of growth, and all else holds\n{}",
        resumed.said()
    );
    assert!(resumed.out.contains("every minute was watched from outside (3 rows of 3"));
    for page in [dir.join("soak.html"), path.join("out/latest.html")] {
        let page = fs::read_to_string(page).expect("a page");
        assert!(page.contains("FAIL (wire)") && page.contains("too few to say"), "{page}");
        assert!(!page.contains("NaN") && page.matches("<svg").count() >= 6, "{page}");
    }
    picked_up(path, &dir);
}

/// The scripts agree with the engine, and not with a liar.
fn scripts_agree(dir: &Path) {
    let progress = fs::read_to_string(dir.join("progress.json")).expect("there");
    let progress: Value = serde_json::from_str(&progress).expect("JSON");
    let pid = |trace: &Value| trace["pid"].as_u64().expect("a number").to_string();
    let (engine, venue) = (pid(&progress["engine"]), pid(&progress["venue"]["process"]));
    let announced = &progress["venue"]["announced"];
    let [rest, ca] = ["rest", "ca"].map(|key| announced[key].as_str().expect("told").to_owned());
    let table = "state/BTCUSDT/minute.csv";
    let keel = program::keel(dir).get_program().to_str().expect("a path").to_owned();
    let status = format!(
        "env -u KEEL_API_KEY -u KEEL_API_SECRET -u KEEL_API_PASSPHRASE {keel} status --json \
         --run-dir run1"
    );
    let liar = "echo '{\"instruments\":{\"BTCUSDT\":{\"orders_active\":77}}}'";
    let venue_of = ["--rest", &rest, "--ca", &ca, "--every", "1"];
    let whole = [&["--pid", &engine, "--minute", table, "--for", "9"], &venue_of[..]].concat();
    let children = [
        (0, agree(dir, &[&whole[..], &["--status", &status]].concat())),
        (1, agree(dir, &["--pid", &venue, "--minute", table, "--for", "9"])),
        (1, agree(dir, &[&["--status", liar, "--for", "1"], &venue_of[..]].concat())),
    ];
    for (code, child) in children {
        let output = child.wait_with_output().expect("it ends");
        let said = format!("{output:?}");
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(code == 0 || said.contains("apart: "), "{said}");
    }
}

/// Item 13 takes the report up, and does not take three minutes for 48 hours.
fn picked_up(path: &Path, dir: &Path) {
    let check = |more: &[&str]| {
        let args = ["golive", "check", "--item", "13", "--soak", "out/latest.json"];
        ended(path, &[&args[..], more].concat())
    };
    let short = check(&["--config", "soak.toml"]);
    short.refused(9, &["48 hours in real time were lived: 3 minutes at 8 times real time"]);
    check(&[]).refused(9, &["it is of these rules: policy_blake3"]);
    let table = dir.join("outside.csv");
    let rows = fs::read_to_string(&table).expect("there");
    fs::write(&table, rows.trim_end().to_owned() + "0\n").expect("written");
    check(&["--config", "soak.toml"]).refused(9, &["outside.csv is not what it was"]);
    ended(path, &["golive", "check", "--item", "13", "--soak", "nowhere"])
        .refused(9, &["no soak report; `keel soak --hours 48` makes it"]);
    ended(path, &["soak", "--resume", dir.to_str().expect("a name"), "--config", "soak.toml"])
        .refused(1, &["its venue is gone"]);
}
