//! Item 17: a clock that is off pulls quotes beyond 500 ms and refuses beyond 2 s.

use serde_json::json;

use super::{
    Evidence, SOON, Stage, Trouble, code, ends, hard, keep, most_resting, nothing_rests, quoting,
    wait,
};
use crate::golive::stage::Venue;

/// Looks at the venue while nothing, or something, must rest.
const LOOKS: u32 = 60;
/// How far the venue's clock is turned, in ms: within the soft limit, beyond it, and beyond the
/// hard one.
const WITHIN: i64 = 250;
const BEYOND: i64 = 900;
const FAR: i64 = 2_700;

pub(super) fn run(stage: &Stage, evidence: &mut Evidence) -> Result<(), Trouble> {
    while_it_quotes(&stage.part("run")?, evidence)?;
    for ms in [FAR, -FAR] {
        from_the_start(&stage.part(&format!("start{ms}"))?, evidence, ms)?;
    }
    Ok(())
}

fn turn(venue: &Venue, ms: i64) -> Result<(), Trouble> {
    venue.ask("/admin/clear-fault", &json!({}))?;
    if ms != 0 {
        venue.fault(&json!({ "act": "skew", "ms": ms }))?;
    }
    Ok(())
}

fn while_it_quotes(stage: &Stage, evidence: &mut Evidence) -> Result<(), Trouble> {
    let venue = stage.venue(1, None)?;
    let mut engine = stage.engine(&venue, "run", "")?;
    quoting(&venue, &engine)?;
    let offset = || {
        let status = stage.status("run")?;
        Ok::<_, Trouble>(status["connector_status"]["clock_offset_ms"].as_i64().unwrap_or(0))
    };
    for ms in [WITHIN, -WITHIN, BEYOND, -BEYOND] {
        turn(&venue, ms)?;
        wait(SOON, "the clock is read", || Ok((offset()?.abs() - ms.abs()).abs() < 200))?;
        let told = offset()?;
        if ms.abs() > 500 {
            let gone = nothing_rests(&venue);
            let most = most_resting(&venue, LOOKS)?;
            let claim = format!("{ms} ms off: quotes are pulled and none is placed");
            let line = engine.last("clock");
            evidence.claim(&claim, gone.is_ok() && most == 0, format!("{told} ms read; {line}"));
        } else {
            let rest = wait(SOON, "it quotes", || Ok(venue.open_orders()? > 0));
            let claim = format!("{ms} ms off: it quotes");
            evidence.claim(&claim, rest.is_ok(), format!("{told} ms read"));
        }
        turn(&venue, 0)?;
        wait(SOON, "the clock is right", || Ok(offset()?.abs() < 200))?;
        let back = wait(SOON, "it quotes", || Ok(venue.open_orders()? > 0));
        evidence.claim(&format!("{ms} ms off: it quotes again afterwards"), back.is_ok(), "quotes");
    }
    turn(&venue, FAR)?;
    engine.says("-> HARD_STOP", SOON)?;
    let stop = engine.last("-> HARD_STOP");
    nothing_rests(&venue)?;
    let claim = format!("{FAR} ms off: it stops for good");
    evidence.claim(&claim, hard(&stop, "clock"), stop);
    turn(&venue, 0)?;
    let most = most_resting(&venue, LOOKS)?;
    let seen = format!("at most {most} rested");
    evidence.claim("and stays so when the clock is right again", most == 0, seen);
    keep(evidence, &engine, "run")?;
    ends(evidence, &mut engine, "the exit code says so", 5)
}

fn from_the_start(stage: &Stage, evidence: &mut Evidence, ms: i64) -> Result<(), Trouble> {
    let venue = stage.venue(1, None)?;
    turn(&venue, ms)?;
    let mut engine = stage.engine(&venue, "run", "")?;
    let most = most_resting(&venue, 2 * LOOKS)?;
    let ran = engine.log().contains("-> RUNNING");
    evidence.claim(
        &format!("{ms} ms off from the start: nothing is quoted"),
        most == 0 && !ran && venue.fills()? == 0,
        format!("at most {most} rested; {}", engine.last("clock")),
    );
    keep(evidence, &engine, &format!("start{ms}"))?;
    let ended = engine.stop()?;
    evidence.claim("its exit code says so", matches!(ended, Some(4 | 5)), code(ended));
    Ok(())
}
