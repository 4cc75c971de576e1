//! Item 12: a killed engine leaves orders and executions behind; the next one knows them all.

use std::collections::BTreeSet;
use std::time::Duration;

use super::crashes;
use super::{
    Evidence, Own, SOON, Stage, Trouble, booked, ends, keep, keep_truth, nothing_left, resting,
    traded_into, wait,
};

/// How often the engine is killed.
const KILLS: u64 = 10;

pub(super) fn run(stage: &Stage, evidence: &mut Evidence) -> Result<(), Trouble> {
    crashes::run(stage, evidence);
    let venue = stage.venue(1, None)?;
    let mut left = 0;
    let mut unseen = 0;
    for kill in 0..KILLS {
        let engine = stage.engine(&venue, &format!("run{kill}"), Own::NOTHING)?;
        engine.says("-> RUNNING", SOON)?;
        wait(SOON, "the engine quotes", || Ok(venue.open_orders()? >= 2))?;
        // Another moment each time, within the engine's own second.
        std::thread::sleep(Duration::from_millis(97 * kill));
        let known = engine.table("fills.csv").len() as u64;
        engine.kill()?;
        let resting = venue.open_orders()?;
        left += u64::from(resting > 0);
        // Somebody trades into what nobody watches.
        traded_into(&venue)?;
        unseen += u64::from(venue.fills()? > known);
    }
    evidence.proves(
        1,
        "kills left orders at the venue, and executions that no file knew",
        left > 0 && unseen > 0,
        format!("{KILLS} kills: {left} left orders, {unseen} left executions"),
    );
    let abandoned = resting(&venue)?;
    let mut last = stage.engine(&venue, "last", Own::NOTHING)?;
    last.says("-> RUNNING", SOON)?;
    let still = abandoned.intersection(&resting(&venue)?).count();
    let seen = format!("{} rested after the last kill, {still} still do", abandoned.len());
    evidence.proves(2, "none of them rests when the next run quotes", still == 0, seen);
    let log = last.log();
    evidence.proves(
        2,
        "the start sweeps and restores the day",
        log.contains("Startup scan: canceled ") && log.contains("Daily state restored: "),
        format!("{} / {}", last.last("Startup scan"), last.last("Daily state restored")),
    );
    booked(&venue, &last)?;
    let fills = last.table("fills.csv");
    let ids: BTreeSet<&str> = fills.iter().map(|fill| fill.text("exchange_trade_id")).collect();
    evidence.proves(
        3,
        "no execution is lost or doubled",
        ids.len() == fills.len() && ids.len() as u64 >= unseen,
        format!("{} rows, {} executions, {} at the venue", fills.len(), ids.len(), venue.fills()?),
    );
    keep_truth(evidence, &venue, "venue")?;
    keep(evidence, &last, "last")?;
    ends(evidence, &mut last, "the last run ends in order", 0)?;
    nothing_left(evidence, &venue)
}
