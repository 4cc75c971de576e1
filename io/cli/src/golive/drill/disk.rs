//! Item 23: a disk that refuses every write takes the quotes with it, and no execution is lost.

use std::time::{Duration, Instant};

use super::{
    Evidence, Own, SOON, Stage, Trouble, booked, code, filled, keep, keep_truth, most_resting,
    quoting, traded_into, wait,
};

/// Within this nothing may rest any more.
const GONE_MAX: Duration = Duration::from_secs(2);
/// Looks at the venue while the disk is full.
const LOOKS: u32 = 100;

pub(super) fn run(stage: &Stage, evidence: &mut Evidence) -> Result<(), Trouble> {
    let venue = stage.venue(1, None)?;
    let mut engine = stage.engine_on_small_disk(&venue, "first")?;
    quoting(&venue, &engine)?;
    filled(&venue, &engine, 2)?;
    wait(SOON, "orders rest", || Ok(venue.open_orders()? > 0))?;
    let before = venue.open_orders()?;
    engine.fill_disk()?;
    let began = Instant::now();
    let gone = wait(GONE_MAX, "no order rests", || Ok(venue.open_orders()? == 0));
    let took = began.elapsed().as_millis();
    evidence.claim(
        "a disk that refuses every write: no order rests after 2 s",
        gone.is_ok() && before > 0,
        format!("{before} rested before, 0 after {took} ms"),
    );
    // What is executed from now on no file of this run will tell.
    traded_into(&venue)?;
    let most = most_resting(&venue, LOOKS)?;
    evidence.claim("and none is placed", most == 0, format!("{LOOKS} looks, at most {most}"));
    let ended = engine.stop()?;
    evidence.claim("the exit code is no success", ended != Some(0), code(ended));
    let complaint = std::fs::read_to_string(stage.dir.join("first.err")).unwrap_or_default();
    evidence.keep("first/stderr.txt", complaint.as_bytes())?;
    keep(evidence, &engine, "first")?;
    let mut next = stage.engine(&venue, "second", Own::NOTHING)?;
    booked(&venue, &next)?;
    let (fills, rows) = (venue.fills()?, next.table("fills.csv").len());
    evidence.claim(
        "the next run has every execution once",
        fills == rows as u64 && rows >= 2,
        format!("{rows} rows, {fills} executions at the venue"),
    );
    keep_truth(evidence, &venue, "venue")?;
    keep(evidence, &next, "second")?;
    next.stop().map(drop)
}
