//! Item 6: a stream that is cut, silent or damaged is noticed, and quotes are pulled.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Evidence, SOON, Stage, Trouble, code, keep, quoting, wait};
use crate::golive::stage::{Engine, Venue};

pub(super) fn run(stage: &Stage, evidence: &mut Evidence) -> Result<(), Trouble> {
    let venue = stage.venue(1, None)?;
    let engine = stage.engine(&venue, "run", "")?;
    quoting(&venue, &engine)?;
    for (what, reason, fault) in faults() {
        provoke(&venue, &engine, evidence, what, reason, &fault)?;
    }
    keep(evidence, &engine, "run")?;
    let ended = engine.stop()?;
    evidence.claim("the run ends in order", ended == Some(0), code(ended));
    Ok(())
}

/// What is done to the streams, and the reason that the guard must give.
fn faults() -> [(&'static str, &'static str, Value); 5] {
    let book = "book_stale";
    [
        ("one topic stalled", book, json!({ "act": "stall", "on": "books" })),
        ("every push stalled", book, json!({ "act": "stall" })),
        ("sockets cut", book, json!({ "act": "cut", "on": "books" })),
        ("sequence gaps", "Book dropped", json!({ "act": "damage-sequence", "on": "books" })),
        ("tickers silent", "ticker_stale", json!({ "act": "stall", "on": "ticker" })),
    ]
}

/// Puts a fault in force until it is noticed; the quotes must go, and come back without it.
fn provoke(
    venue: &Venue,
    engine: &Engine,
    evidence: &mut Evidence,
    what: &str,
    reason: &str,
    fault: &Value,
) -> Result<(), Trouble> {
    let seen = engine.log().len();
    let began = Instant::now();
    venue.fault(fault)?;
    let named = || engine.log()[seen..].contains(reason);
    let noticed = wait(SOON, reason, || Ok(named()));
    let pulled = wait(SOON, "no order rests", || Ok(venue.open_orders()? == 0));
    let took = began.elapsed();
    evidence.claim(
        &format!("{what}: noticed, and the quotes are pulled"),
        noticed.is_ok() && pulled.is_ok(),
        format!("{reason} in the log, 0 orders rest {} ms after the fault", took.as_millis()),
    );
    venue.ask("/admin/clear-fault", &json!({}))?;
    let back = wait(2 * SOON, "quotes come back", || Ok(venue.open_orders()? >= 2));
    evidence.claim(
        &format!("{what}: it quotes again afterwards"),
        back.is_ok(),
        format!("{} ms after the fault", began.elapsed().as_millis()),
    );
    std::thread::sleep(Duration::from_secs(2));
    Ok(())
}
