//! Item 20: whatever tells the state of things tells positions, and they are the venue's.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    Evidence, Own, SOON, Stage, Trouble, booked, code, ends, filled, keep, keep_truth,
    nothing_rests, number, rows, wait,
};
use crate::golive::stage::{Engine, Venue};

/// Executions after which positions are compared.
const FILLS: usize = 6;

/// Sizes by contract; flat ones are left out.
type Held = BTreeMap<String, f64>;

pub(super) fn run(stage: &Stage, evidence: &mut Evidence) -> Result<(), Trouble> {
    let venue = stage.venue(1, None)?;
    let mut engine = stage.engine(&venue, "first", Own::NOTHING)?;
    // An engine that stops has its positions compared all the same.
    let traded = filled(&venue, &engine, FILLS);
    let seen = traded.as_ref().map_or_else(ToString::to_string, |()| format!("{FILLS} at least"));
    evidence.claim("it is traded into", traded.is_ok(), seen);
    let (paused, _) = stage.keel(&["pause", "--run-dir", "first"])?;
    evidence.claim("a pause leaves positions as they are", paused == Some(0), code(paused));
    nothing_rests(&venue)?;
    let once = booked(&venue, &engine);
    let seen = format!("{} rows, {} at the venue", engine.table("fills.csv").len(), venue.fills()?);
    evidence.claim("the files have each execution of the venue once", once.is_ok(), seen);
    let truth = at_venue(&venue)?;
    evidence.claim("something is held", !truth.is_empty(), format!("{truth:?}"));
    agree(stage, &engine, evidence, "first", &truth)?;
    keep(evidence, &engine, "first")?;
    ends(evidence, &mut engine, "the first run ends in order", 0)?;
    let mut next = stage.engine(&venue, "second", Own::NOTHING)?;
    next.says("-> RUNNING", SOON)?;
    let (paused, _) = stage.keel(&["pause", "--run-dir", "second"])?;
    evidence.claim("the next run is paused too", paused == Some(0), code(paused));
    nothing_rests(&venue)?;
    booked(&venue, &next)?;
    agree(stage, &next, evidence, "second", &at_venue(&venue)?)?;
    let drift = next.first("Position drift");
    evidence.claim("the next run found no drift", drift.is_empty(), drift);
    keep_truth(evidence, &venue, "venue")?;
    keep(evidence, &next, "second")?;
    ends(evidence, &mut next, "the second run ends in order", 0)
}

/// Status, the day's state and the minute's row have what the venue has.
fn agree(
    stage: &Stage,
    engine: &Engine,
    evidence: &mut Evidence,
    run: &str,
    truth: &Held,
) -> Result<(), Trouble> {
    let told = || {
        let status = stage.status(run)?;
        Ok::<_, Trouble>(by_pair(&status["instruments"]))
    };
    let same = wait(SOON, "the status has them", || Ok(told()? == *truth));
    let seen = format!("{:?}, venue {truth:?}", told()?);
    evidence.claim(&format!("{run}: keel status has the venue's positions"), same.is_ok(), seen);
    let day = || {
        let text = std::fs::read_to_string(engine.state.join("daily_state.json"))?;
        let day: Value = serde_json::from_str(&text).unwrap_or_default();
        Ok::<_, Trouble>(by_pair(&day["instruments"]))
    };
    let same = wait(SOON, "the day's state has them", || Ok(day()? == *truth));
    let seen = format!("{:?}", day()?);
    evidence.claim(&format!("{run}: so has daily_state.json"), same.is_ok(), seen);
    let rows = || {
        let mut newest = Held::new();
        for row in engine.table("minute.csv") {
            newest.insert(row.text("trading_pair").to_owned(), row.number("position_base"));
        }
        newest.retain(|_, size| *size != 0.0);
        newest
    };
    let same = wait(2 * SOON, "a minute's row has them", || Ok(rows() == *truth));
    evidence.claim(&format!("{run}: so has minute.csv"), same.is_ok(), format!("{:?}", rows()));
    Ok(())
}

fn at_venue(venue: &Venue) -> Result<Held, Trouble> {
    let truth = venue.truth()?;
    let rows = rows(&truth, "positions");
    let held = rows
        .map(|row| (row["symbol"].as_str().unwrap_or_default().to_owned(), number(&row["size"])));
    Ok(held.filter(|(_, size)| *size != 0.0).collect())
}

/// `position_base` of each member of an object.
fn by_pair(object: &Value) -> Held {
    let members = object.as_object().into_iter().flatten();
    let held = members.map(|(pair, of)| (pair.clone(), number(&of["position_base"])));
    held.filter(|(_, size)| *size != 0.0).collect()
}
