//! Item 15: in live mode no paper stands between the engine and the venue.
//!
//! Live mode is rehearsed: the real gate, permission, guardian and small limits, on a venue on
//! loopback. The door is opened by a part A that the drill makes and signs with a key that nobody
//! keeps; it serves on this machine only. What is judged is what the venue has seen, beside a run
//! on paper, which must be told apart.

use std::fs;
use std::path::Path;

use keel_core::event::{Event, Mode};
use keel_io::clock::Clock;
use keel_io::cold::daily::utc_text;
use keel_io::journal::{Reader, TapKind};
use keel_io::mode::live::{AT_DEMO, DEMO_AT, DRILLS};
use keel_io::mode::replay::journal_dir;
use serde_json::{Value, json};

use super::pnl::{balance, compared};
use super::{
    Evidence, Own, SOON, Stage, Trouble, booked, code, ends, filled, flattened, keep, keep_tap,
    keep_truth, nothing_rests, wait,
};
use crate::golive::bundle::{self, Bundle, Decision};
use crate::golive::item::ITEMS;
use crate::golive::key::SigningKey;
use crate::golive::stage::{Engine, Venue, accounts};
use crate::golive::tap::Tap;

const FILLS: usize = 8;
/// The private stream, whose upgrade passes the tap.
const PRIVATE: &str = "/v3/ws/private";

/// Lines of a run that trades at a venue: public and private stream, questions.
const LINES_MIN: usize = 3;

/// What a run shows of itself to others.
#[derive(Debug, Default)]
struct Shown {
    /// Upgrades to the private stream, and orders that were asked for.
    private: usize,
    orders: usize,
    /// Orders of its account that rest at the venue.
    rest: u64,
    /// Connections of its process to the venue, and its threads.
    sockets: usize,
    threads: Vec<String>,
}

impl Shown {
    fn text(&self) -> String {
        format!(
            "{} private streams, {} orders asked for, {} rest at the venue, {} connections; \
             threads {}",
            self.private,
            self.orders,
            self.rest,
            self.sockets,
            self.threads.join(" ")
        )
    }

    /// True when orders go to the venue, by what passed to it and by what rests there.
    fn is_real(&self) -> bool {
        self.sockets >= LINES_MIN && self.private > 0 && self.orders > 0 && self.rest > 0
    }
}

pub(super) fn run(stage: &Stage, evidence: &mut Evidence) -> Result<(), Trouble> {
    let (venue, tap) = stage.tapped(1, Some(&accounts(10_000.0, stage.leverage())))?;
    closed(stage, &venue, &tap, evidence)?;
    on_paper(&stage.part("paper")?, &venue, &tap, evidence)?;
    rehearsed(stage, &venue, &tap, evidence)
}

/// Live mode without evidence, and with any setting of paper, is refused and connects to nothing.
fn closed(stage: &Stage, venue: &Venue, tap: &Tap, evidence: &mut Evidence) -> Result<(), Trouble> {
    let from = tap.len();
    for (what, tables, wanted) in [
        ("without evidence", "", 8),
        ("with run.fee_mode = \"manual\"", "[run]\nfee_mode = \"manual\"\n", 2),
        ("with a balance of paper", "[paper]\nbalance_quote = 500\n", 2),
        ("with fees of paper", "[paper]\nmaker_fee_pct = 0\n", 2),
        ("with a queue of paper", "[paper]\ncancels = \"behind\"\n", 2),
    ] {
        let text = live(stage, venue, "closed", &[Own { tables, why: "" }])?;
        fs::write(stage.dir.join("closed.toml"), text)?;
        let (ended, _) = stage.keel(&["run", "--config", "closed.toml", "--run-dir", "closed"])?;
        let started = stage.dir.join("closed").exists();
        let claim = format!("live mode {what} is refused, and nothing is started");
        evidence.claim(&claim, ended == Some(wanted) && !started, code(ended));
    }
    let passed = tap.len() - from;
    evidence.claim("and nothing reaches the venue", passed == 0, format!("{passed} messages"));
    Ok(())
}

/// `keel.toml` of live mode on this venue.
fn live(stage: &Stage, venue: &Venue, run: &str, own: &[Own<'_>]) -> Result<String, Trouble> {
    let mode = Own { tables: "[run]\nmode = \"live\"\n", why: "" };
    stage.text(venue, run, &[&[mode][..], own].concat())
}

/// A run on paper sends nothing that the venue could know it by: the judge can say so.
fn on_paper(
    stage: &Stage,
    venue: &Venue,
    tap: &Tap,
    evidence: &mut Evidence,
) -> Result<(), Trouble> {
    let from = tap.len();
    let mut engine = paper(stage, venue)?;
    engine.says("-> RUNNING", SOON)?;
    std::thread::sleep(SOON / 12);
    let shown = shown(venue, tap, from, &engine)?;
    ends(evidence, &mut engine, "the run on paper ends in order", 0)?;
    let mode = first_mode(&engine);
    evidence.claim(
        "a run on paper is told apart: no private stream, no order asked for, none at the venue",
        !shown.is_real() && shown.private == 0 && shown.orders == 0 && mode == Some(Mode::Paper),
        format!("{mode:?}, {}", shown.text()),
    );
    keep(evidence, &engine, "paper")
}

fn paper(stage: &Stage, venue: &Venue) -> Result<Engine, Trouble> {
    let mode = Own { tables: "[run]\nmode = \"paper\"\n", why: "" };
    let [rest, stream] = ["rest", "ws_public"].map(|name| venue.url(name));
    let table = format!("[venue]\nrest = \"{rest}\"\nws_public = \"{stream}\"\n");
    stage.engine_with(&stage.policy.configuration(&[mode], &table), "run")
}

/// Live mode as it is, on this machine.
fn rehearsed(
    stage: &Stage,
    venue: &Venue,
    tap: &Tap,
    evidence: &mut Evidence,
) -> Result<(), Trouble> {
    let (from, began) = (tap.len(), balance(venue)?);
    // A system in whose path paper stands is shown in the place of live mode.
    let mut engine = match stage.withheld() {
        true => paper(&stage.part("withheld")?, venue)?,
        false => opened(stage, venue)?,
    };
    engine.says("-> RUNNING", SOON)?;
    let mut seen = Shown::default();
    let real = wait(SOON, "its orders rest at the venue", || {
        seen = shown(venue, tap, from, &engine)?;
        Ok(seen.is_real())
    });
    evidence.claim(
        "in live mode its private stream is open, and orders that it asks for rest at the venue",
        real.is_ok(),
        seen.text(),
    );
    if real.is_err() {
        return Ok(());
    }
    filled(venue, &engine, FILLS)?;
    stage.keel(&["pause", "--run-dir", "run"])?;
    nothing_rests(venue)?;
    for symbol in ["BTCUSDT", "ETHUSDT"] {
        flattened(venue, symbol)?;
    }
    booked(venue, &engine)?;
    let rows = engine.table("fills.csv").len();
    let (agreed, [realized, ..], told) = compared(venue, &engine, began, SOON)?;
    evidence.claim(
        "every execution of its files is one of the venue's, whose balance has moved by just that",
        agreed && realized != 0 && rows >= FILLS,
        format!("{rows} executions; {told}"),
    );
    ends(evidence, &mut engine, "the rehearsal ends in order", 0)?;
    let mode = first_mode(&engine);
    let seen = format!("{mode:?}");
    evidence.claim("the journal's first record says live", mode == Some(Mode::Live), seen);
    keep_truth(evidence, venue, "venue")?;
    keep_tap(evidence, tap, "run")?;
    keep(evidence, &engine, "run")
}

/// Starts live mode behind its gate: the account is read, part A is made for this rehearsal.
fn opened(stage: &Stage, venue: &Venue) -> Result<Engine, Trouble> {
    fs::write(stage.dir.join("live.toml"), live(stage, venue, "run", &[])?)?;
    let wrong = |what: String| Trouble::Unexpected(format!("the rehearsal of live mode: {what}"));
    let (read, said) = stage.keel(&["golive", "check", "--account", "--config", "live.toml"])?;
    if read != Some(0) {
        return Err(wrong(format!("the account: {}: {said}", code(read))));
    }
    let told = fs::read_to_string(stage.dir.join("reports/go_live/account.json"))?;
    let told: Value = serde_json::from_str(&told).unwrap_or_default();
    let account = stage.dir.join(told["bundle"].as_str().unwrap_or_default());
    let key = SigningKey::generate().map_err(|error| wrong(error.to_string()))?;
    let refused = |error: bundle::BundleError| wrong(error.to_string());
    let account = Bundle::open(&account).map_err(refused)?;
    let drills = made(&stage.dir.join("drills"), &account.json)?;
    let now = utc_text(Clock::start().utc());
    for bundle in [&account, &drills] {
        bundle.sign(&key, "rehearsal", Decision::Go, &now).map_err(refused)?;
    }
    let tables = format!(
        "[live]\ndrills = \"drills\"\naccount = {:?}\nreviewer = \"{}\"\n",
        account.dir().display().to_string(),
        key.public().text()
    );
    let text = live(stage, venue, "run", &[Own { tables: &tables, why: "" }])?;
    stage.engine_with(&text, "run")
}

/// A part A in which every item has passed, of the program and the rules that `account` is of.
fn made(dir: &Path, account: &Value) -> Result<Bundle, Trouble> {
    fs::create_dir_all(dir)?;
    let items = ITEMS.iter().map(|item| {
        let demo = AT_DEMO.contains(&item.number);
        let venue =
            if demo { format!("{DEMO_AT}http://127.0.0.1:1") } else { "embedded".to_owned() };
        json!({ "number": item.number, "verdict": "PASS", "venue": venue })
    });
    let body = json!({
        "kind": DRILLS, "made_ns": account["made_ns"], "sabotage": null,
        "binary_blake3": account["binary_blake3"], "policy_blake3": account["policy_blake3"],
        "items": items.collect::<Vec<_>>(),
    });
    bundle::seal(dir, body).map_err(|error| Trouble::Unexpected(error.to_string()))
}

/// What a run shows since `from` of what has passed to the venue.
fn shown(venue: &Venue, tap: &Tap, from: usize, engine: &Engine) -> Result<Shown, Trouble> {
    let passed = tap.passed(from);
    let asked = passed.iter().filter(|one| one.what.ends_with("place-order") && one.orders > 0);
    Ok(Shown {
        private: passed.iter().filter(|one| one.what == PRIVATE).count(),
        orders: asked.map(|one| one.orders).sum(),
        rest: venue.open_orders()?,
        sockets: engine.connections(tap.address.port()),
        threads: engine.threads()?,
    })
}

/// How a run trades by the first record of its journal.
fn first_mode(engine: &Engine) -> Option<Mode> {
    let mut journal = Reader::open(&journal_dir(&engine.run)).ok()?;
    let first = journal.next()?.ok()?;
    match (first.tap.kind, Event::decode(&first.tap.slot)) {
        (TapKind::Event, Ok(Event::Boot(boot))) => Some(boot.mode),
        _ => None,
    }
}
