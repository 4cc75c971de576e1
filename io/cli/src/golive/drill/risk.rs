//! Item 9: the day's loss stops for good at the shipped limit, and nothing but an operator clears
//! it.

use serde_json::json;

use super::{Evidence, SOON, Stage, Trouble, code, filled, keep, keep_truth, most_resting, wait};
use crate::golive::stage::{Engine, Venue};

/// A small account, so that one order's position moves it by percents.
const ACCOUNTS: &str = "[[accounts]]\nname = \"keel\"\nuid = 8000000001\ndeposit_usdt = 200\n\
    maker_ppm = -50\ntaker_ppm = 600\nleverage = 5\npermissions = [\"uta_trade\"]\n\
    \n[[accounts]]\nname = \"manual\"\nuid = 8000000002\ndeposit_usdt = 100000000\n";
/// What is lost of the equity may stand at this share of it, as shipped.
const LIMIT: f64 = 0.03;
/// Looks at the venue after the restart.
const LOOKS: u32 = 160;

pub(super) fn run(stage: &Stage, evidence: &mut Evidence) -> Result<(), Trouble> {
    let venue = stage.venue(1, Some(ACCOUNTS))?;
    let mut engine = stage.engine(&venue, "first", "")?;
    filled(&venue, &engine, 1)?;
    let moved = breach(&venue, &engine)?;
    evidence.claim("the price moves against a position", true, moved);
    engine.says("-> HARD_STOP", SOON)?;
    let stop = engine.last("-> HARD_STOP");
    let named = stop.split("hard=").nth(1).is_some_and(|hard| hard.contains("daily_loss"));
    evidence.proves(1, "the loss of the day stops for good", named, stop);
    let lost = 1.0 - number(&venue.truth()?["equity"]) / 200.0;
    evidence.proves(
        1,
        "the venue's own equity is beyond max_daily_loss_pct_hard",
        lost > LIMIT,
        format!("{:.2} % lost, limit 3 %", lost * 100.0),
    );
    let published = "HARD_STOP kill_switch published";
    engine.says(published, SOON)?;
    evidence.proves(3, "the kill switch intent is published", true, engine.last(published));
    wait(SOON, "no order rests", || Ok(venue.open_orders()? == 0))?;
    evidence.claim("every order is canceled", true, "0 orders rest at the venue");
    for symbol in ["BTCUSDT", "ETHUSDT"] {
        venue.ask("/admin/price", &json!({ "symbol": symbol, "percent": 1 }))?;
    }
    std::thread::sleep(SOON / 20);
    let still = engine.last("Guard ");
    let recovered = still.contains("HARD_STOP") && venue.open_orders()? == 0;
    evidence.claim("it stays so while the mark moves on", recovered, still);
    keep(evidence, &engine, "first")?;
    let ended = engine.stop()?;
    evidence.claim("the exit code says so", ended == Some(5), code(ended));
    restarted(stage, &venue, evidence)
}

/// Moves prices until the engine has lost more than its limit.
fn breach(venue: &Venue, engine: &Engine) -> Result<String, Trouble> {
    let truth = venue.truth()?;
    let positions = truth["positions"].as_array().cloned().unwrap_or_default();
    let held = positions.first().ok_or_else(|| Trouble::Unexpected(format!("flat: {truth}")))?;
    let symbol = held["symbol"].as_str().unwrap_or_default();
    let percent = if number(&held["size"]) > 0.0 { -12 } else { 12 };
    for _ in 0..12 {
        venue.ask("/admin/price", &json!({ "symbol": symbol, "percent": percent }))?;
        std::thread::sleep(SOON / 60);
        if engine.log().contains("-> HARD_STOP") {
            break;
        }
    }
    Ok(format!("{symbol}, {percent} % at a time against {}", held["size"]))
}

/// The stop holds over a restart: nothing is quoted.
fn restarted(stage: &Stage, venue: &Venue, evidence: &mut Evidence) -> Result<(), Trouble> {
    let mut engine = stage.engine(venue, "second", "")?;
    let most = most_resting(venue, LOOKS)?;
    let log = engine.log();
    let latched = log.contains("HARD_STOP") && !log.contains("-> RUNNING") && most == 0;
    evidence.claim(
        "after a restart it is still stopped",
        latched,
        format!("{LOOKS} looks, at most {most} orders rested; {}", engine.first("HARD_STOP")),
    );
    let ended = engine.stop()?;
    evidence.claim("and the exit code says so again", ended == Some(5), code(ended));
    keep_truth(evidence, venue, "venue")?;
    keep(evidence, &engine, "second")
}

fn number(value: &serde_json::Value) -> f64 {
    value.as_str().and_then(|text| text.parse().ok()).unwrap_or(f64::NAN)
}
