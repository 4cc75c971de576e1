//! Item 17: a clock that is off pulls quotes beyond 500 ms and refuses beyond 2 s.

use keel_core::units::MILLIS;
use serde_json::json;

use super::{
    Evidence, Own, SOON, Stage, Trouble, code, ends, hard, keep, most_resting, no_looser,
    nothing_rests, quoting, wait,
};
use crate::golive::stage::Venue;

/// Looks at the venue while nothing, or something, must rest.
const LOOKS: u32 = 60;
/// How far beyond a limit the venue's clock is turned at most, in ms: readings are that exact.
const BEYOND_MS: i64 = 400;
const FAR_MS: i64 = 700;
/// What the checklist has at most, in ms.
const SOFT_MS_MAX: &str = "500";
const HARD_MS_MAX: &str = "2000";

/// How far the clock is turned, in ms.
struct Turns {
    /// Within the soft limit, beyond it, and beyond the hard one.
    within: i64,
    beyond: i64,
    far: i64,
    soft: i64,
}

/// By the limits of the configuration.
fn turns(stage: &Stage) -> Turns {
    let ms = |ns: u64| (ns / MILLIS).cast_signed();
    let params = stage.policy.params();
    let (soft, hard) = (ms(params.clock_offset_soft_ms()), ms(params.clock_offset_hard_ms()));
    let beyond = soft + ((hard - soft) / 2).min(BEYOND_MS);
    Turns { within: soft / 2, beyond, far: hard + FAR_MS, soft }
}

pub(super) fn run(stage: &Stage, evidence: &mut Evidence) -> Result<(), Trouble> {
    no_looser(stage, evidence, 0, ("risk", "clock_offset_soft_ms"), SOFT_MS_MAX);
    no_looser(stage, evidence, 0, ("risk", "clock_offset_hard_ms"), HARD_MS_MAX);
    let turns = turns(stage);
    while_it_quotes(&stage.part("run")?, evidence, &turns)?;
    for ms in [turns.far, -turns.far] {
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

fn while_it_quotes(stage: &Stage, evidence: &mut Evidence, turns: &Turns) -> Result<(), Trouble> {
    let &Turns { within, beyond, far, soft } = turns;
    let venue = stage.venue(1, None)?;
    let mut engine = stage.engine(&venue, "run", Own::NOTHING)?;
    quoting(&venue, &engine)?;
    let offset = || {
        let status = stage.status("run")?;
        Ok::<_, Trouble>(status["connector_status"]["clock_offset_ms"].as_i64().unwrap_or(0))
    };
    for ms in [within, -within, beyond, -beyond] {
        turn(&venue, ms)?;
        wait(SOON, "the clock is read", || Ok((offset()?.abs() - ms.abs()).abs() < 200))?;
        let told = offset()?;
        if ms.abs() > soft {
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
    turn(&venue, far)?;
    engine.says("-> HARD_STOP", SOON)?;
    let stop = engine.last("-> HARD_STOP");
    nothing_rests(&venue)?;
    let claim = format!("{far} ms off: it stops for good");
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
    let mut engine = stage.engine(&venue, "run", Own::NOTHING)?;
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
