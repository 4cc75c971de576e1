//! Bad input from people and files: one clear message, the documented exit code, nothing started.
//!
//! What is wrong within a configuration stands in full in the tests of `keel::config`; here is one
//! of each kind, all the way through the program.

mod program;

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use program::{Venue, ended};
use serde_json::json;

/// Runs with `text` as its configuration, which must be refused with `words` before anything is
/// made.
fn refused(text: &[u8], words: &[&str]) {
    let dir = tempfile::tempdir().expect("a directory");
    fs::write(dir.path().join("keel.toml"), text).expect("written");
    ended(dir.path(), &["run", "--run-dir", "run", "--for", "1s"]).refused(2, words);
    assert!(!dir.path().join("run").exists(), "nothing was started");
    ended(dir.path(), &["config", "check"]).refused(2, words);
}

#[test]
fn a_key_that_is_not_known_is_shown_with_its_line_and_the_nearest_one() {
    refused(b"[risk]\nmax_levrage = 3\n", &["keel.toml:2:1", "max_levrage", "max_leverage"]);
}

#[test]
fn a_value_of_another_type_is_refused() {
    refused(b"[risk]\nmax_leverage = \"3\"\n", &["keel.toml:2", "a text stands where a number"]);
}

#[test]
fn a_value_out_of_its_range_is_refused() {
    refused(b"[risk]\nmax_leverage = 126\n", &["126 is out of range", "1 to 125"]);
}

#[test]
fn a_percentage_written_as_3_instead_of_0_03_is_refused_with_the_right_way() {
    refused(b"[risk]\nmax_daily_loss_pct_hard = 3\n", &["keel.toml:2", "3", "0.03"]);
}

#[test]
fn a_file_that_is_no_text_is_refused() {
    refused(b"[risk]\nmax_leverage = \xff\n", &["is not UTF-8 text (byte 22)"]);
}

#[test]
fn files_that_are_missing_or_cannot_be_read_are_named() {
    let dir = tempfile::tempdir().expect("a directory");
    ended(dir.path(), &["run", "--config", "none.toml"])
        .refused(2, &["none.toml: No such file or directory"]);
    fs::create_dir(dir.path().join("folder.toml")).expect("made");
    ended(dir.path(), &["run", "--config", "folder.toml"])
        .refused(2, &["folder.toml", "a directory"]);
    let open = dir.path().join("open.toml");
    fs::write(&open, "").expect("written");
    fs::set_permissions(&open, fs::Permissions::from_mode(0o666)).expect("a mode");
    ended(dir.path(), &["run", "--config", "open.toml"])
        .refused(2, &["open.toml", "anybody may write to it"]);
    let variable = program::keel(dir.path()).env("KEEL_RISK_MAX_LEVERAGE", "x").output();
    program::Ended::from(variable.expect("started"))
        .refused(2, &["environment variable KEEL_RISK_MAX_LEVERAGE"]);
}

#[test]
fn modes_that_are_not_open_say_so() {
    let dir = tempfile::tempdir().expect("a directory");
    ended(dir.path(), &["run", "--mode", "live"]).refused(2, &["venue.uid is missing"]);
    let live = |more: &[&str]| {
        let mut command = program::keel(dir.path());
        command.args(["run", "--mode", "live"]).args(more).env("KEEL_VENUE_UID", "7");
        program::Ended::from(command.output().expect("started"))
    };
    live(&[]).refused(8, &["live mode is closed, and nothing was started"]);
    live(&["--planted", "NotFoundIsGone"]).refused(2, &["never for live mode"]);
    ended(dir.path(), &["run", "--mode", "demo"]).refused(2, &["venue.uid is missing"]);
    ended(dir.path(), &["run", "--for", "soon"]).refused(2, &["--for", "such as 60s or 1h30m"]);
    ended(dir.path(), &["run", "--speed", "2"]).refused(2, &["--speed"]);
}

#[test]
fn a_port_that_is_taken_is_named() {
    let dir = tempfile::tempdir().expect("a directory");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    ended(dir.path(), &["exchange", "--listen", &address])
        .refused(1, &[&format!("cannot listen on {address}"), "in use"]);
    ended(dir.path(), &["exchange", "--listen", "0.0.0.0:0", "--plaintext"])
        .refused(2, &["for loopback only"]);
}

#[test]
fn a_run_directory_that_cannot_be_made_is_named() {
    let dir = tempfile::tempdir().expect("a directory");
    fs::write(dir.path().join("file"), "").expect("written");
    ended(dir.path(), &["run", "--run-dir", "file/run"])
        .refused(3, &["file/run", "Not a directory"]);
}

#[test]
fn a_damaged_state_directory_is_not_guessed_at() {
    let venue = Venue::start(&["--plaintext"]);
    let dir = tempfile::tempdir().expect("a directory");
    venue.configure(dir.path(), venue.authority(), "");
    let run = |n: &str| ended(dir.path(), &["--run-dir", n, "--state-dir", "s", "--for", "2s"]);
    run("a").done();
    let day = dir.path().join("s/daily_state.json");
    let text = fs::read_to_string(&day).expect("a day");
    fs::write(&day, text.replace("\"equity_open\": \"1", "\"equity_open\": \"2")).expect("written");
    run("b").refused(3, &["daily_state.json", "Nothing is guessed from a damaged file"]);
    fs::write(&day, &text).expect("written");
    run("c").done();
}

#[test]
fn state_of_an_embedded_venue_that_has_gone_is_told_apart() {
    let dir = tempfile::tempdir().expect("a directory");
    let run = |n: &str| ended(dir.path(), &["--run-dir", n, "--state-dir", "s", "--for", "1s"]);
    run("a").done();
    run("b").refused(3, &["an embedded venue that has ended with its run", "keel exchange"]);
}

/// A copy of the state directory `s`.
struct Copied {
    state: PathBuf,
    copy: PathBuf,
}

impl Copied {
    fn of(dir: &Path) -> Self {
        let (state, copy) = (dir.join("s"), dir.join("copy"));
        let copied = Command::new("cp").arg("-r").args([&state, &copy]).status();
        assert!(copied.is_ok_and(|status| status.success()));
        Self { state, copy }
    }

    /// Restores the copy in the place of what has come since.
    fn put_back(self) {
        fs::remove_dir_all(&self.state).expect("removed");
        fs::rename(&self.copy, &self.state).expect("restored");
    }
}

#[test]
fn a_state_directory_restored_from_a_copy_is_noticed_at_the_venue() {
    let venue = Venue::start(&["--plaintext"]);
    let dir = tempfile::tempdir().expect("a directory");
    venue.configure(dir.path(), venue.authority(), "");
    let run = |n: &str, length: &str| {
        ended(dir.path(), &["--run-dir", n, "--state-dir", "s", "--for", length])
    };
    run("a", "1s").done();
    let copy = Copied::of(dir.path());
    // It quotes, so that the venue knows orders of boot 2.
    run("b", "8s").done();
    let quoted = fs::read_to_string(dir.path().join("b/keel.log")).expect("a log");
    assert!(quoted.contains("-> RUNNING"), "{quoted}");
    copy.put_back();
    run("c", "1s").refused(3, &["knows an order of boot epoch 2", "Restore the newest state"]);
}

/// The copy was from before the stop, and the latch was put away with what it replaced.
#[test]
fn a_state_directory_that_is_restored_from_before_a_stop_is_stopped_until_it_is_rearmed() {
    let venue = Venue::start(&["--plaintext"]);
    let dir = tempfile::tempdir().expect("a directory");
    venue.configure(dir.path(), venue.authority(), "");
    let run = |n: &str| ended(dir.path(), &["--run-dir", n, "--state-dir", "s", "--for", "1s"]);
    run("a").done();
    let copy = Copied::of(dir.path());
    let killed = ended(dir.path(), &["kill"]);
    let latch =
        fs::read(dir.path().join("s/latch.json")).unwrap_or_else(|_| panic!("{}", killed.said()));
    let latch: serde_json::Value = serde_json::from_slice(&latch).expect("JSON");
    let incident = latch["incident_id"].as_str().expect("an incident").to_owned();
    copy.put_back();
    let stopped = run("b");
    assert_eq!(stopped.code, Some(5), "stopped for good: {}", stopped.said());
    ended(dir.path(), &["rearm", "--incident", "7"]).refused(2, &[&incident]);
    ended(dir.path(), &["rearm", "--incident", &incident]).done();
    run("c").done();
}

/// A directory configured for `venue`, whose file is then changed.
fn configured(venue: &Venue, change: impl Fn(&Path, String) -> String) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    venue.configure(dir.path(), venue.authority(), "");
    let path = dir.path().join("keel.toml");
    let text = fs::read_to_string(&path).expect("a configuration");
    fs::write(&path, change(dir.path(), text)).expect("written");
    dir
}

const RUN: [&str; 7] = ["run", "--state-dir", "state", "--run-dir", "run", "--for", "1s"];

#[test]
fn a_venue_whose_certificate_is_not_trusted_gets_no_byte_of_the_key() {
    let (venue, other) = (Venue::start(&[]), Venue::start(&[]));
    let good = configured(&venue, |_, text| text);
    ended(good.path(), &RUN).done();
    // An authority of the same name with another key.
    let wrong = configured(&other, |_, text| text.replace(other.authority(), venue.authority()));
    ended(wrong.path(), &RUN).refused(4, &["the certificate is not trusted"]);
    // The public authorities, which know nothing of this venue.
    let without = |text: String| {
        text.lines().filter(|line| !line.starts_with("ca ")).collect::<Vec<_>>().join("\n")
    };
    let public = configured(&venue, |_, text| without(text));
    ended(public.path(), &RUN).refused(4, &["the certificate is not trusted"]);
    let missing = configured(&venue, |_, text| text.replace("ca.pem", "none.pem"));
    ended(missing.path(), &RUN).refused(2, &["venue.ca", "none.pem", "No such file"]);
    let empty = configured(&venue, |dir, text| {
        fs::write(dir.join("empty.pem"), "").expect("written");
        format!("{}\nca = \"empty.pem\"\n", without(text))
    });
    ended(empty.path(), &RUN).refused(2, &["venue.ca empty.pem", "holds no certificate"]);
}

#[test]
fn a_clock_that_is_off_by_more_than_two_seconds_is_refused() {
    let venue = Venue::start(&["--plaintext", "--speed", "50"]);
    // The venue's time runs ahead; 100 ms of this host are 5 s of it.
    program::wait(Duration::from_secs(5), "the venue is ahead", || {
        let state = venue.admin("GET", "/admin/state", &json!(null));
        let there: u128 = state["now"].as_str().expect("a time").parse().expect("milliseconds");
        let here = std::time::SystemTime::UNIX_EPOCH.elapsed().expect("past 1970").as_millis();
        there > here + 3_000
    });
    let dir = configured(&venue, |_, text| text);
    ended(dir.path(), &RUN).refused(4, &["this host's clock is", "more than 2000 ms is refused"]);
}

#[test]
fn a_key_that_is_wrong_open_to_others_or_of_another_account_is_refused() {
    let venue = Venue::start(&["--plaintext"]);
    let open = configured(&venue, |dir, text| {
        let mode = fs::Permissions::from_mode(0o644);
        fs::set_permissions(dir.join("key"), mode).expect("a mode");
        text
    });
    ended(open.path(), &RUN).refused(2, &["key file key has mode 0644", "chmod 600"]);
    let wrong = configured(&venue, |dir, text| {
        let key = dir.join("key");
        let words = fs::read_to_string(&key).expect("a key");
        fs::write(&key, words.replace("secret = ", "secret = x")).expect("written");
        text
    });
    let refused = ended(wrong.path(), &RUN);
    refused.refused(4, &["the key is refused: the venue answered "]);
    assert!(!refused.said().contains(venue.key("secret")), "no secret is ever said");
    let other = configured(&venue, |_, text| text.replace("uid = 8000000001", "uid = 8000000002"));
    ended(other.path(), &RUN)
        .refused(4, &["the key belongs to account 8000000001, and venue.uid is 8000000002"]);
    let none = configured(&venue, |dir, text| {
        fs::remove_file(dir.join("key")).expect("removed");
        text
    });
    ended(none.path(), &RUN).refused(2, &["key file key: No such file"]);
}
