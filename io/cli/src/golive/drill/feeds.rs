//! Item 6: a stream that is cut, silent or damaged is noticed, and quotes are pulled.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Evidence, SOON, Stage, Trouble, code, keep, most_resting, quoting, wait};
use crate::golive::stage::{Engine, Venue};

/// What is done to a stream.
struct Trial {
    what: &'static str,
    fault: Value,
    /// After this much silence nothing may rest; `None` where the stream comes back by itself.
    silence_max: Option<Duration>,
}

/// Silence of the book is stale after 1.5 s, that of the ticker after 5 s; the rest is for a busy
/// machine.
const BOOK: Option<Duration> = Some(Duration::from_secs(4));
const TICKER: Option<Duration> = Some(Duration::from_secs(8));
/// Looks at the venue, 50 ms apart, while a fault lasts.
const LOOKS: u32 = 60;

pub(super) fn run(stage: &Stage, evidence: &mut Evidence) -> Result<(), Trouble> {
    let venue = stage.venue(1, None)?;
    let mut engine = stage.engine(&venue, "run", "")?;
    quoting(&venue, &engine)?;
    for trial in trials() {
        provoke(&venue, evidence, &trial)?;
    }
    let counted = |engine: &Engine| {
        let rows = engine.table("minute.csv");
        rows.iter().map(|row| row.number("ws_reconnect_count")).fold(0.0, f64::max)
    };
    let row = wait(2 * SOON, "a minute's row counts them", || Ok(counted(&engine) > 0.0));
    let reconnects = counted(&engine);
    evidence.proves(
        1,
        "reconnects are counted",
        row.is_ok(),
        format!("{reconnects} in minute.csv"),
    );
    keep(evidence, &engine, "run")?;
    let ended = engine.stop()?;
    evidence.claim("the run ends in order", ended == Some(0), code(ended));
    Ok(())
}

fn trials() -> [Trial; 5] {
    let trial = |what, silence_max, fault| Trial { what, fault, silence_max };
    [
        trial("one topic stalled", BOOK, json!({ "act": "stall", "on": "books" })),
        trial("every push stalled", BOOK, json!({ "act": "stall" })),
        trial("pushes lost", BOOK, json!({ "act": "drop", "on": "books" })),
        trial("tickers silent", TICKER, json!({ "act": "stall", "on": "ticker" })),
        trial("sockets cut", None, json!({ "act": "cut", "on": "books" })),
    ]
}

/// Puts a fault in force; the quotes must go and stay away, and come back without it.
fn provoke(venue: &Venue, evidence: &mut Evidence, trial: &Trial) -> Result<(), Trouble> {
    let what = trial.what;
    wait(SOON, "it quotes", || Ok(venue.open_orders()? > 0))?;
    let began = Instant::now();
    venue.fault(&trial.fault)?;
    let limit = trial.silence_max.unwrap_or(SOON);
    let pulled = wait(limit, "no order rests", || Ok(venue.open_orders()? == 0));
    let took = began.elapsed().as_millis();
    evidence.claim(
        &format!("{what}: noticed, and the quotes are pulled"),
        pulled.is_ok(),
        format!("0 orders rest {took} ms after the fault"),
    );
    if let Some(silence) = trial.silence_max {
        std::thread::sleep(silence.saturating_sub(began.elapsed()));
        let most = most_resting(venue, LOOKS)?;
        let seen = format!("{LOOKS} looks, at most {most} orders");
        evidence.claim(&format!("{what}: nothing is quoted while it lasts"), most == 0, seen);
    }
    venue.ask("/admin/clear-fault", &json!({}))?;
    let back = wait(SOON, "quotes come back", || Ok(venue.open_orders()? > 0));
    let took = began.elapsed().as_millis();
    let seen = format!("{took} ms after the fault");
    evidence.claim(&format!("{what}: it quotes again afterwards"), back.is_ok(), seen);
    Ok(())
}
