//! Item 5: a position that differs is found, explained by its executions, or stops the engine.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{
    Evidence, Own, SOON, Stage, Trouble, booked, ends, keep, keep_tap, keep_truth, market_order,
    no_looser, nothing_rests, quoting, wait,
};

/// How fast the venue's time runs while the checks are counted, and for how much of it.
const FAST: u32 = 10;
const WATCHED: Duration = Duration::from_secs(330);
/// The checklist's: how often positions are compared at least.
const EVERY: Duration = Duration::from_secs(300);
/// The read that confirms a light check, and a busy machine.
const CONFIRMED_MAX: Duration = Duration::from_secs(4);

pub(super) fn run(stage: &Stage, evidence: &mut Evidence) -> Result<(), Trouble> {
    explained(&stage.part("explained")?, evidence)?;
    unexplained(&stage.part("unexplained")?, evidence)?;
    cadence(&stage.part("cadence")?, evidence)
}

/// A trade of the account whose pushes are all lost: REST tells it, and it is booked once.
fn explained(stage: &Stage, evidence: &mut Evidence) -> Result<(), Trouble> {
    let venue = stage.venue(1, None)?;
    let mut engine = stage.engine(&venue, "run", Own::NOTHING)?;
    quoting(&venue, &engine)?;
    let name = venue.name();
    for topic in ["fill", "fast-fill", "order", "position", "account"] {
        let lost = json!({ "act": "drop", "on": topic, "account": name, "forMs": 3_000 });
        venue.fault(&lost)?;
    }
    let before = venue.fills()?;
    venue.ask("/admin/order", &market_order(&name, "BTCUSDT", "buy", "0.0001"))?;
    let after = venue.fills()?;
    evidence.claim(
        "the venue has an execution that no push tells of",
        after > before,
        format!("{before} executions before, {after} after"),
    );
    let found = booked(&venue, &engine);
    let fills = engine.table("fills.csv");
    let ids: BTreeSet<&str> = fills.iter().map(|fill| fill.text("exchange_trade_id")).collect();
    evidence.claim(
        "it is found over REST and booked once",
        found.is_ok() && ids.len() == fills.len() && !fills.is_empty(),
        format!("{} rows, {} executions, {after} at the venue", fills.len(), ids.len()),
    );
    keep_truth(evidence, &venue, "explained/venue")?;
    keep(evidence, &engine, "explained")?;
    ends(evidence, &mut engine, "the run goes on and ends in order", 0)
}

/// The same with the executions withheld over REST too: the position cannot be explained.
fn unexplained(stage: &Stage, evidence: &mut Evidence) -> Result<(), Trouble> {
    let (venue, tap) = stage.tapped(1, None)?;
    let mut engine = stage.engine(&venue, "run", Own::NOTHING)?;
    quoting(&venue, &engine)?;
    let calm = stage.status("run")?["position_drift_pct"].clone();
    let name = venue.name();
    for topic in ["fill", "fast-fill", "order"] {
        venue.fault(&json!({ "act": "drop", "on": topic, "account": name }))?;
    }
    // No fault of the venue makes up a list of executions that lacks some.
    tap.empty("/api/v3/trade/fills");
    venue.ask("/admin/order", &market_order(&name, "BTCUSDT", "buy", "0.001"))?;
    let traded = Instant::now();
    let noticed = engine.says("position_drift", SOON);
    let took = traded.elapsed();
    let first = engine.first("position_drift");
    evidence.proves(2, "a drift beyond 5 % pauses or stops", noticed.is_ok(), first);
    let light = Duration::from_nanos(stage.policy.params().reconcile_light_s());
    no_looser(stage, evidence, 2, ("risk", "position_drift_soft_pct"), "0.05");
    evidence.claim(
        &format!("it is found by the light check of {} s and a second read", light.as_secs()),
        took <= light + CONFIRMED_MAX,
        format!("{} ms after the trade", took.as_millis()),
    );
    let drift = |status: &Value| status["position_drift_pct"].as_str().map(str::to_owned);
    nothing_rests(&venue)?;
    evidence.proves(2, "its quotes are gone", true, "0 orders rest at the venue");
    let told =
        wait(
            SOON,
            "the status has it",
            || Ok(drift(&stage.status("run")?).as_deref() == Some("1")),
        );
    evidence.proves(
        3,
        "position_drift_pct tells it: all of the larger position, and nothing before",
        told.is_ok() && calm == "0",
        format!("{calm} before, {:?} while it lasts", drift(&stage.status("run")?)),
    );
    let stopped = engine.says("-> HARD_STOP", 2 * SOON);
    let stop = engine.last("-> HARD_STOP");
    let named = stopped.is_ok() && stop.contains("position_drift");
    evidence.claim("unexplained, it stops for good", named, stop);
    ends(evidence, &mut engine, "the exit code says so", 5)?;
    keep_tap(evidence, &tap, "unexplained")?;
    keep(evidence, &engine, "unexplained")
}

/// The venue is asked for positions every few seconds, and for executions and money every 300 s.
fn cadence(stage: &Stage, evidence: &mut Evidence) -> Result<(), Trouble> {
    let (venue, tap) = stage.tapped(FAST, None)?;
    let mut engine = stage.engine(&venue, "run", Own::NOTHING)?;
    quoting(&venue, &engine)?;
    no_looser(stage, evidence, 1, ("order", "reconcile_full_s"), "300");
    let from = tap.len();
    std::thread::sleep(WATCHED / FAST);
    let passed = tap.passed(from);
    let asked = |path: &str| {
        let calls = passed.iter().filter(|one| one.what == path && one.status == 0);
        calls.map(|one| one.at * FAST).collect::<Vec<_>>()
    };
    let positions = asked("/api/v3/position/current-position");
    let apart = positions.windows(2).map(|two| two[1].saturating_sub(two[0])).max();
    let apart = apart.unwrap_or(Duration::MAX);
    evidence.proves(
        1,
        "check_position_reconciliation reads the venue's positions within any 5 min",
        positions.len() >= 2 && apart <= EVERY,
        format!(
            "{} reads in {} s of the venue's time, at most {} s apart",
            positions.len(),
            WATCHED.as_secs(),
            apart.as_secs()
        ),
    );
    for (what, path) in [("executions", "/api/v3/trade/fills"), ("money", "/api/v3/account/assets")]
    {
        let times = asked(path).len();
        let claim = format!("and {what} once in 5 min at least");
        evidence.proves(1, &claim, times > 0, format!("{times} reads of {path}"));
    }
    let rows = engine.table("minute.csv");
    let worst = rows.iter().map(|row| row.number("position_drift_pct")).fold(0.0, f64::max);
    evidence.proves(
        3,
        "position_drift_pct is in each minute's row, below 1 %",
        rows.len() >= 4
            && worst < 0.01
            && rows.iter().all(|row| row.number("position_drift_pct").is_finite()),
        format!("{} rows, at most {worst}", rows.len()),
    );
    keep_tap(evidence, &tap, "cadence")?;
    keep(evidence, &engine, "cadence")?;
    ends(evidence, &mut engine, "the watched run ends in order", 0)
}
