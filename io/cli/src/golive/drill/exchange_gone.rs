//! Item 22: parted from the venue for half a minute, the engine trusts nothing and comes back
//! whole.

use std::time::Duration;

use serde_json::json;

use super::{
    Evidence, Own, SOON, Stage, Trouble, booked, ends, filled, keep, keep_truth, nothing_left,
    quoting, traded_into, wait,
};

/// How long the two are parted.
const PARTED: Duration = Duration::from_secs(30);

pub(super) fn run(stage: &Stage, evidence: &mut Evidence) -> Result<(), Trouble> {
    let venue = stage.venue(1, None)?;
    let mut engine = stage.engine(&venue, "run", Own::NOTHING)?;
    quoting(&venue, &engine)?;
    filled(&venue, &engine, 2)?;
    let seen = engine.log().len();
    venue.fault(&json!({ "act": "stall" }))?;
    venue.fault(&json!({ "act": "lose-answer", "accepted": "no" }))?;
    let began = std::time::Instant::now();
    let known = venue.fills()?;
    // What rests is traded into while nothing can be told.
    traded_into(&venue)?;
    let unseen = venue.fills()?.saturating_sub(known);
    let named = || engine.log()[seen..].contains("-> SOFT_PAUSE");
    let noticed = wait(PARTED, "the guard pauses", || Ok(named()));
    evidence.claim("the parting is noticed", noticed.is_ok(), engine.last("-> SOFT_PAUSE"));
    std::thread::sleep(PARTED.saturating_sub(began.elapsed()));
    venue.ask("/admin/clear-fault", &json!({}))?;
    quoting(&venue, &engine)?;
    let back = wait(2 * SOON, "it runs again", || {
        Ok(engine.last("Guard ").contains("-> RUNNING") && venue.open_orders()? >= 2)
    });
    evidence.claim("it quotes again", back.is_ok(), engine.last("Guard "));
    booked(&venue, &engine)?;
    evidence.claim(
        "what was executed meanwhile is booked once",
        true,
        format!("{unseen} executions while parted; fills.csv and the venue agree"),
    );
    keep_truth(evidence, &venue, "venue")?;
    keep(evidence, &engine, "run")?;
    ends(evidence, &mut engine, "the run ends in order", 0)?;
    nothing_left(evidence, &venue)
}
