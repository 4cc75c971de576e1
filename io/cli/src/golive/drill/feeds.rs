//! Item 6: a stream that is cut, silent or damaged is noticed, and quotes are pulled.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use keel_core::param::Params;
use serde_json::{Value, json};

use super::{
    Evidence, Own, SOON, Stage, Trouble, ends, keep, keep_tap, most_resting, quoting, resting, wait,
};
use crate::golive::stage::{Engine, LOOK_EVERY, Venue};
use crate::golive::tap::Tap;

/// What is done to a stream.
struct Trial {
    what: &'static str,
    does: Does,
    /// After so long nothing that rested at its beginning may rest.
    within: Duration,
    /// What the log says of it.
    told: &'static str,
}

/// Who does it.
enum Does {
    /// The tap holds a topic back: nothing of it comes, not even a snapshot.
    Hold(&'static str),
    /// The tap passes an old push of a topic on in the place of each new one, snapshots included.
    Replay(&'static str),
    /// The venue's own fault, while it lasts; a new snapshot comes all the same.
    Fault(Value),
    /// The venue's own fault, so many times. One damaged frame may be one that nobody needs.
    Times(u32, &'static str, &'static str),
}

/// What a busy machine takes beyond the silence that is allowed.
const BUSY: Duration = Duration::from_millis(2_500);
/// Looks at the venue, 50 ms apart, while a fault lasts: longer than an order may rest meanwhile.
const LOOKS: u32 = 120;
/// The checklist's: the same best bid and ask for longer is flagged.
const TOP_MAX: Duration = Duration::from_secs(30);
/// A book with a checksum, so that it can be damaged.
const WITH_CHECKSUM: &str = "checksum = true\n";

pub(super) fn run(stage: &Stage, evidence: &mut Evidence) -> Result<(), Trouble> {
    let (venue, tap) = stage.tapped(1, Some(WITH_CHECKSUM))?;
    let mut engine = stage.engine(&venue, "run", Own::NOTHING)?;
    quoting(&venue, &engine)?;
    for trial in trials(stage.policy.params()) {
        provoke(&venue, &tap, &engine, evidence, &trial)?;
    }
    unchanged(stage, &venue, evidence)?;
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
    keep_tap(evidence, &tap, "run")?;
    ends(evidence, &mut engine, "the run ends in order", 0)
}

fn trials(params: &Params) -> Vec<Trial> {
    let book = Duration::from_nanos(params.book_silence_ms()) + BUSY;
    let ticker = Duration::from_nanos(params.ticker_silence_ms()) + BUSY;
    let trial = |what, within, told, does| Trial { what, does, within, told };
    let lost = json!({ "act": "drop", "on": "books" });
    vec![
        trial("one topic silent", book, "", Does::Hold("books")),
        trial("every topic silent", book, "", Does::Hold("*")),
        trial("old frames replayed", book, "", Does::Replay("books")),
        trial("tickers silent", ticker, "", Does::Hold("ticker")),
        trial("the venue stalls", book, "", Does::Fault(json!({ "act": "stall" }))),
        trial("pushes lost", book, "", Does::Fault(lost)),
        trial("a gap in the sequence", book, " gap", Does::Times(6, "damage-sequence", "books")),
        trial("a damaged checksum", book, " checksum", Does::Times(6, "damage-checksum", "books")),
        trial("the public socket cut", book, " feed", Does::Times(1, "cut", "books")),
        trial("the private socket cut", book, "private_lost", Does::Times(1, "cut", "order")),
    ]
}

/// Puts a fault in force: what rested must go in time, and quotes come back without it.
fn provoke(
    venue: &Venue,
    tap: &Tap,
    engine: &Engine,
    evidence: &mut Evidence,
    trial: &Trial,
) -> Result<(), Trouble> {
    let what = trial.what;
    wait(SOON, "it quotes", || Ok(venue.open_orders()? > 0))?;
    let before = resting(venue)?;
    let said = engine.log().len();
    let began = Instant::now();
    match &trial.does {
        Does::Hold(topic) => tap.hold(topic),
        Does::Replay(topic) => tap.replay(topic),
        Does::Fault(fault) => drop(venue.fault(fault)?),
        Does::Times(times, act, on) => {
            venue.fault(&json!({ "act": act, "on": on, "times": times }))?;
        }
    }
    let gone =
        wait(trial.within, "what rested is gone", || Ok(before.is_disjoint(&resting(venue)?)));
    let took = began.elapsed().as_millis();
    let seen = format!("{} orders gone {took} ms after the fault", before.len());
    evidence.claim(&format!("{what}: what rested is gone in time"), gone.is_ok(), seen);
    while_it_lasts(venue, evidence, trial, began)?;
    if !trial.told.is_empty() {
        let line = || {
            let log = engine.log();
            let found = log[said..].lines().find(|line| line.contains(trial.told));
            found.unwrap_or_default().to_owned()
        };
        let told = wait(trial.within, "the log tells", || Ok(!line().is_empty()));
        evidence.claim(&format!("{what}: the log says what it was"), told.is_ok(), line());
    }
    tap.release();
    venue.ask("/admin/clear-fault", &json!({}))?;
    let back = wait(SOON, "quotes come back", || Ok(venue.open_orders()? > 0));
    let took = began.elapsed().as_millis();
    let seen = format!("{took} ms after the fault");
    evidence.claim(&format!("{what}: it quotes again afterwards"), back.is_ok(), seen);
    Ok(())
}

/// What comes back from a venue that gives snapshots only is quoted on and pulled again; without
/// anything nothing is quoted.
fn while_it_lasts(
    venue: &Venue,
    evidence: &mut Evidence,
    trial: &Trial,
    began: Instant,
) -> Result<(), Trouble> {
    let what = trial.what;
    match trial.does {
        Does::Times(..) => {}
        Does::Hold(_) => {
            std::thread::sleep(trial.within.saturating_sub(began.elapsed()));
            let most = most_resting(venue, LOOKS)?;
            let seen = format!("{LOOKS} looks, at most {most} orders");
            evidence.claim(&format!("{what}: nothing is quoted while it lasts"), most == 0, seen);
        }
        Does::Replay(_) | Does::Fault(_) => {
            let oldest = oldest_resting(venue)?;
            let seen = format!("{LOOKS} looks, one rested for {} ms", oldest.as_millis());
            let fine = oldest <= trial.within;
            evidence.claim(&format!("{what}: no order rests longer meanwhile"), fine, seen);
        }
    }
    Ok(())
}

/// For how long an order rested at most while the venue was looked at.
fn oldest_resting(venue: &Venue) -> Result<Duration, Trouble> {
    let mut since: BTreeMap<String, Instant> = BTreeMap::new();
    let mut oldest = Duration::ZERO;
    for _ in 0..LOOKS {
        for id in resting(venue)? {
            oldest = oldest.max(since.entry(id).or_insert_with(Instant::now).elapsed());
        }
        std::thread::sleep(LOOK_EVERY);
    }
    Ok(oldest)
}

/// A contract whose best bid and ask stand still is flagged after 30 s, though its book is fresh;
/// the other one is not.
fn unchanged(stage: &Stage, venue: &Venue, evidence: &mut Evidence) -> Result<(), Trouble> {
    let turn = |status: &str| {
        venue.ask("/admin/status", &json!({ "symbol": "ETHUSDT", "status": status }))
    };
    let told = |pair: &str, key: &str| {
        Ok::<_, Trouble>(stage.status("run")?["instruments"][pair][key].clone())
    };
    turn("maintain")?;
    let began = Instant::now();
    std::thread::sleep(TOP_MAX / 2);
    let early = told("ETHUSDT", "order_book_stale")?;
    let flagged = wait(2 * TOP_MAX, "the flag", || {
        Ok(told("ETHUSDT", "order_book_stale")? == 1 && told("ETHUSDT", "book_fresh")? == 1)
    });
    let (after, age) = (began.elapsed(), told("ETHUSDT", "top_age")?);
    let other = told("BTCUSDT", "order_book_stale")?;
    evidence.proves(
        2,
        "a best bid and ask that stand still for 30 s are flagged, and not before; others are not",
        flagged.is_ok() && early == 0 && after >= TOP_MAX && other == 0,
        format!(
            "order_book_stale {early} after 15 s, 1 after {} s (top_age {age} ms), another {other}",
            after.as_secs()
        ),
    );
    let connector = stage.status("run")?["connector_status"].clone();
    let parts = ["public_ws", "private_ws", "rest", "book_seq_ok", "ready"];
    let whole = parts.iter().all(|part| connector[part].is_boolean());
    evidence.proves(3, "connector_status is visible", whole, connector.to_string());
    turn("online")?;
    let cleared = wait(SOON, "the flag is gone", || Ok(told("ETHUSDT", "order_book_stale")? == 0));
    evidence.claim("the flag goes when the market moves", cleared.is_ok(), "order_book_stale 0");
    Ok(())
}
