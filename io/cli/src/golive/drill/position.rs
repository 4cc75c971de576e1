//! Item 5: a position that differs is found, explained by its executions, or stops the engine.

use std::collections::BTreeSet;

use serde_json::json;

use super::{Evidence, SOON, Stage, Trouble, booked, code, keep, keep_truth, quoting, wait};
use crate::golive::stage::market_order;

pub(super) fn run(stage: &Stage, evidence: &mut Evidence) -> Result<(), Trouble> {
    explained(&stage.part("explained")?, evidence)?;
    unexplained(&stage.part("unexplained")?, evidence)
}

/// A trade of the account whose pushes are all lost: REST tells it, and it is booked once.
fn explained(stage: &Stage, evidence: &mut Evidence) -> Result<(), Trouble> {
    let venue = stage.venue(1, None)?;
    let mut engine = stage.engine(&venue, "run", "")?;
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
    booked(&venue, &engine)?;
    let fills = engine.table("fills.csv");
    let ids: BTreeSet<&str> = fills.iter().map(|fill| fill.text("exchange_trade_id")).collect();
    evidence.claim(
        "it is found over REST and booked once",
        ids.len() == fills.len() && !fills.is_empty(),
        format!("{} rows, {} executions", fills.len(), ids.len()),
    );
    keep_truth(evidence, &venue, "explained/venue")?;
    keep(evidence, &engine, "explained")?;
    let ended = engine.stop()?;
    evidence.claim("the run goes on and ends in order", ended == Some(0), code(ended));
    Ok(())
}

/// The same with the executions withheld over REST too: the position cannot be explained.
fn unexplained(stage: &Stage, evidence: &mut Evidence) -> Result<(), Trouble> {
    let venue = stage.venue(1, None)?;
    let mut engine = stage.engine(&venue, "run", "")?;
    quoting(&venue, &engine)?;
    let name = venue.name();
    for topic in ["fill", "fast-fill", "order"] {
        venue.fault(&json!({ "act": "drop", "on": topic, "account": name }))?;
    }
    let on = "/api/v3/trade/fills";
    venue.fault(&json!({ "act": "fail", "status": 502, "accepted": "no", "on": on }))?;
    venue.ask("/admin/order", &market_order(&name, "BTCUSDT", "buy", "0.001"))?;
    let noticed = engine.says("position_drift", SOON);
    let first = engine.first("position_drift");
    evidence.proves(2, "a drift that nothing explains pauses or stops", noticed.is_ok(), first);
    wait(SOON, "no order rests", || Ok(venue.open_orders()? == 0))?;
    evidence.proves(2, "its quotes are gone", true, "0 orders rest at the venue");
    let stopped = engine.says("-> HARD_STOP", 2 * SOON);
    let stop = engine.last("-> HARD_STOP");
    let named = stopped.is_ok() && stop.contains("position_drift");
    evidence.claim("unexplained, it stops for good", named, stop);
    let ended = engine.stop()?;
    evidence.claim("the exit code says so", ended == Some(5), code(ended));
    keep(evidence, &engine, "unexplained")
}
