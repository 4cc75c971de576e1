//! Live mode, rehearsed on this machine: the account is read with GETs only, the gate is shut with
//! a line of its own for whatever is missing, and behind it the first hours are small.

mod program;
#[path = "program/watch.rs"]
mod watch;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use keel::golive::bundle::{self, Bundle, Decision};
use keel::golive::key::SigningKey;
use program::{Ended, Venue, Working, ended, keel, wait};
use serde_json::{Value, json};
use watch::Watched;

/// An account as live mode asks for it.
const FIT: &str = "[[accounts]]\nname = \"keel\"\nuid = 8000000001\ndeposit_usdt = 10000\n\
    maker_ppm = -50\ntaker_ppm = 600\nleverage = 5\npermissions = [\"uta_trade\"]\n\
    ips = [\"127.0.0.1\"]\n";

/// A venue, what passes to it, and a directory with a configuration of live mode, a reviewer's key
/// and, once made, both parts.
struct Rehearsal {
    venue: Venue,
    watched: Watched,
    dir: tempfile::TempDir,
}

impl Rehearsal {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("exchange.toml");
        fs::write(&file, FIT).expect("written");
        let venue = Venue::start(&["--plaintext", "--config", file.to_str().expect("a name")]);
        let watched = Watched::start(venue.authority());
        let rehearsal = Self { venue, watched, dir };
        rehearsal.configure("");
        rehearsal
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Writes `keel.toml`, with `live` as the table of that name, for orders of 200 USDT each.
    fn configure(&self, live: &str) {
        let before = format!(
            "[run]\nmode = \"live\"\nprofile = \"touch\"\n[live]\n{live}\n[kill]\nhang_ms = 5000\n\
             [strategy]\nsize_pct_min = 0.02\nsize_pct_max = 0.02\n"
        );
        let authority = self.watched.address.to_string();
        self.venue.configure_with(self.path(), &authority, &before, "");
    }

    fn ended(&self, args: &[&str]) -> Ended {
        ended(self.path(), args)
    }

    /// The first line of every request that has passed, in the order of their connections.
    fn requests(&self) -> Vec<String> {
        let sent = self.watched.sent();
        sent.lines().filter(|line| line.ends_with(" HTTP/1.1")).map(str::to_owned).collect()
    }

    fn live(&self, variables: &[(&str, &str)]) -> Ended {
        let mut command = keel(self.path());
        command.envs(variables.iter().copied()).args(["run", "--for", "8s", "--run-dir", "run"]);
        command.output().expect("started").into()
    }

    /// The account is read and signed GO: part B.
    fn read(&self) -> PathBuf {
        let check = self.ended(&["golive", "check", "--account"]);
        check.done();
        let text = fs::read_to_string(self.path().join("reports/go_live/account.json"));
        let told: Value = serde_json::from_str(&text.expect("written")).expect("JSON");
        self.path().join(told["bundle"].as_str().expect("a directory"))
    }

    /// Part A, as it would be with every drill passed: all of them take a quarter of an hour, and a
    /// soak two days. `change` is made to it before it is sealed.
    fn drills(&self, account: &Path, change: impl FnOnce(&mut Value)) -> Bundle {
        let account = Bundle::open(account).expect("whole").json;
        let item = |number: u8| {
            let demo = [1, 2, 3, 4, 11, 13].contains(&number);
            let venue = if demo { "demo at http://127.0.0.1:1" } else { "embedded" };
            json!({ "number": number, "verdict": "PASS", "venue": venue })
        };
        let mut body = json!({
            "kind": "drills", "made_ns": account["made_ns"], "sabotage": null,
            "binary_blake3": account["binary_blake3"], "policy_blake3": account["policy_blake3"],
            "items": (1..=24).map(item).collect::<Vec<_>>(),
        });
        change(&mut body);
        let dir = self.path().join("drills");
        // It is there from the second time on.
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).expect("made");
        bundle::seal(&dir, body).expect("sealed")
    }
}

fn sign(bundle: &Bundle, key: &SigningKey, decision: Decision) {
    bundle.sign(key, "A. Person", decision, "2026-01-01T00:00:00.000Z").expect("signed");
}

/// The whole way: closed, read, signed, open, small; and canceling never asks for evidence.
#[test]
fn live_opens_with_both_parts_signed_and_begins_small() {
    let stage = Rehearsal::new();
    let closed = stage.live(&[]);
    closed.refused(
        8,
        &[
            "live mode is closed, and nothing was started",
            "nobody may sign",
            "part A, the drills: [live] drills names no bundle",
            "`keel golive check --venue demo",
            "part B, the account: [live] account names no bundle",
            "`keel golive check --account`",
        ],
    );
    assert!(!stage.path().join("run").exists(), "nothing was started");
    let at = ["--run-dir", "none", "--state-dir", "killed"];
    stage.ended(&[&["kill", "--dry-run"][..], &at].concat()).done();

    let before = stage.requests().len();
    let account = stage.read();
    let asked = stage.requests()[before..].to_vec();
    assert!(asked.len() >= 8 && asked.iter().all(|line| line.starts_with("GET ")), "{asked:?}");
    let made = stage.ended(&["golive", "keygen", "--out", "reviewer.key"]);
    let public = made.out.lines().find_map(|line| line.strip_prefix("public key: "));
    let public = public.expect("told").to_owned();
    let drills = stage.drills(&account, |_| ());
    stage.configure(&format!(
        "drills = \"drills\"\naccount = \"{}\"\nreviewer = \"{public}\"",
        account.display()
    ));
    stage.live(&[]).refused(8, &["part A, the drills: not signed", "part B, the account: not sig"]);
    for dir in [drills.dir(), &account] {
        let name = dir.to_str().expect("a name");
        let sign = ["golive", "sign", name, "--reviewer", "A. Person", "--decision", "GO"];
        stage.ended(&[&sign[..], &["--key", "reviewer.key"]].concat()).done();
    }

    let args = ["run", "--for", "12s", "--run-dir", "run", "--state-dir", "state"];
    let run = Working::start(stage.path(), &args);
    wait(Duration::from_secs(30), "orders rest", || stage.venue.open_orders() > 0);
    let orders = stage.venue.account()["orders"].as_array().cloned().expect("orders");
    let of = |order: &Value, name: &str| order[name].as_str().and_then(|t| t.parse::<f64>().ok());
    for order in &orders {
        let value = of(order, "price").expect("a price") * of(order, "size").expect("a size");
        assert!((25.0..=50.0).contains(&value), "a fifth of 250 USDT, in lots: {order}");
    }
    let ended = run.end(Duration::from_secs(60));
    ended.done();
    for words in [
        "Rehearses live mode with account 8000000001",
        "0.0 of 24 hours are lived small: an order is worth 50 USDT at most",
        "Runs with a guardian",
        "none, verified at the venue",
    ] {
        assert!(ended.out.contains(words), "{words:?} is missing\n{}", ended.said());
    }
    let kept = fs::read_to_string(stage.path().join("state/canary.json")).expect("kept");
    let kept: Value = serde_json::from_str(&kept).expect("JSON");
    assert!((1..12).contains(&kept["lived_s"].as_u64().expect("seconds")), "{kept}");
}

#[test]
fn each_thing_that_is_missing_has_a_line_of_its_own() {
    let stage = Rehearsal::new();
    let (key, another) = (SigningKey::generate().expect("a"), SigningKey::generate().expect("b"));
    let account = stage.read();
    let opened = Bundle::open(&account).expect("whole");
    sign(&opened, &key, Decision::Go);
    stage.configure(&format!(
        "drills = \"drills\"\naccount = \"{}\"\nreviewer = \"{}\"",
        account.display(),
        key.public().text()
    ));
    let made: i64 = opened.json["made_ns"].as_str().and_then(|t| t.parse().ok()).expect("a time");
    let day = 86_400_000_000_000;
    type Change = Box<dyn Fn(&mut Value)>;
    let set = |name: &'static str, value: Value| -> Change {
        Box::new(move |body| body[name] = value.clone())
    };
    let embedded: Change = Box::new(|body| body["items"][2]["venue"] = "embedded".into());
    let failed: Change = Box::new(|body| body["items"][22]["verdict"] = "NOT RUN".into());
    for (change, words) in [
        (set("binary_blake3", "0".into()), "part A, the drills: it is of another program"),
        (set("policy_blake3", "0".into()), "part A, the drills: it is of other rules"),
        (set("sabotage", "withheld".into()), "part A, the drills: the system was broken"),
        (set("kind", "account".into()), "part A, the drills: "),
        (set("made_ns", (made - 8 * day).to_string().into()), "it is older than 7 days"),
        (set("made_ns", (made + day).to_string().into()), "clock has been set back"),
        (embedded, "part A, the drills: not judged at demo trading: item 3"),
        (failed, "part A, the drills: not PASS: item 23"),
    ] {
        sign(&stage.drills(&account, change), &key, Decision::Go);
        let ended = stage.live(&[]);
        ended.refused(8, &[words]);
        assert_eq!(ended.err.matches("\n  part ").count(), 1, "{}", ended.said());
    }
    sign(&stage.drills(&account, |_| ()), &key, Decision::NoGo);
    stage.live(&[]).refused(8, &["part A, the drills: it is signed NO-GO"]);
    let drills = stage.drills(&account, |_| ());
    sign(&drills, &another, Decision::Go);
    stage.live(&[]).refused(8, &["part A, the drills: it is signed by another key"]);
    sign(&drills, &key, Decision::Go);
    for (variable, words) in [
        (("KEEL_RISK_MAX_LEVERAGE", "4"), "it is of other rules than this configuration's"),
        (("KEEL_VENUE_UID", "7"), "it is of account 8000000001, not 7"),
        (("KEEL_VENUE_REST", "http://127.0.0.1:1"), "not http://127.0.0.1:1"),
        (("KEEL_RUN_INSTRUMENTS", "BTCUSDT,SOLUSDT"), "it says nothing of SOLUSDT"),
    ] {
        stage.live(&[variable]).refused(8, &["part B, the account: ", words]);
    }
    for (dir, part) in [(drills.dir(), "part A, the drills: "), (&account, "part B, the account: ")]
    {
        let file = dir.join("bundle.json");
        let whole = fs::read_to_string(&file).expect("there");
        fs::write(&file, whole.replacen("\"PASS\"", "\"FAIL\"", 1)).expect("written");
        stage.live(&[]).refused(8, &[part, "changed after it was made"]);
        fs::write(&file, &whole[..whole.len() / 2]).expect("written");
        stage.live(&[]).refused(8, &[part, "bundle.json: "]);
        fs::write(&file, &whole).expect("written");
    }
    assert_eq!(stage.venue.open_orders(), 0);
    assert!(!stage.path().join("run").exists(), "nothing was started");
}

#[test]
fn an_account_that_is_otherwise_does_not_pass_its_reading() {
    let stage = Rehearsal::new();
    let wanted = json!({
        "account": stage.venue.account()["name"],
        "permissions": ["uta_trade", "withdraw"],
        "ips": [],
    });
    let made = stage.venue.admin("POST", "/admin/key", &wanted);
    let part = |name: &str| made[name].as_str().unwrap_or_else(|| panic!("{made}")).to_owned();
    let [key, secret, words] = ["key", "secret", "passphrase"].map(part);
    let text = format!("key = {key}\nsecret = {secret}\npassphrase = {words}\n");
    fs::write(stage.path().join("key"), text).expect("written");
    let check = stage.ended(&["golive", "check", "--account"]);
    assert_eq!(check.code, Some(9), "{}", check.said());
    for line in [
        "FAIL     14 Exchange-Specific",
        "FAILS  the key may read and trade, and neither withdraw nor manage",
        "FAILS  the key is bound to addresses",
        "holds  the key is of account 8000000001",
        "PASS      1 Fee Resolution",
    ] {
        assert!(check.out.contains(line), "{line:?} is missing\n{}", check.said());
    }
    let demo = [("KEEL_RUN_MODE", "demo")];
    let mut command = keel(stage.path());
    let check = command.envs(demo).args(["golive", "check", "--account"]).output();
    Ended::from(check.expect("started")).refused(2, &["[run] mode is demo"]);
}
