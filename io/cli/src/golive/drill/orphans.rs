//! Item 4: orders that are not this run's are canceled, before the first quote and while it quotes.

use serde_json::{Value, json};

use super::{Evidence, Own, SOON, Stage, Trouble, ends, keep, keep_truth, quoting, wait};
use crate::golive::stage::{Engine, Venue};

pub(super) fn run(stage: &Stage, evidence: &mut Evidence) -> Result<(), Trouble> {
    let venue = stage.venue(1, None)?;
    let before: Vec<String> = (1..=3)
        .map(|percent| foreign(&venue, "BTCUSDT", f64::from(percent)))
        .collect::<Result<_, _>>()?;
    let rest = venue.open_orders()?;
    evidence.claim("foreign orders rest before the start", rest == 3, before.join(", "));
    let engine = stage.engine(&venue, "run", Own::NOTHING)?;
    quoting(&venue, &engine)?;
    let log = engine.log();
    let at = |words: &str| log.find(words).unwrap_or(usize::MAX);
    let canceled = before
        .iter()
        .all(|id| at(&format!("Orphan order canceled: {id} on bitget/BTCUSDT")) < at("-> RUNNING"));
    let line = engine.last("Orphan order canceled");
    evidence.proves(1, "each is canceled and logged before the first quote", canceled, line);
    evidence.proves(
        1,
        "the start tells how many",
        log.contains("Startup scan: canceled 3 orphan order(s)"),
        engine.last("Startup scan"),
    );
    let left = resting(&venue, &before)?;
    evidence.proves(2, "the venue has none of them left", left == 0, format!("{left} of 3 rest"));
    let id = foreign(&venue, "ETHUSDT", 2.0)?;
    engine.says(&format!("Orphan order canceled: {id} on bitget/ETHUSDT"), SOON)?;
    wait(SOON, "the foreign order is gone", || {
        Ok(resting(&venue, std::slice::from_ref(&id))? == 0)
    })?;
    evidence.claim("one placed while it quotes is canceled within a cycle of 60 s", true, id);
    quoting(&venue, &engine)?;
    keep_truth(evidence, &venue, "venue")?;
    keep(evidence, &engine, "run")?;
    restarted(stage, &venue, evidence, engine)
}

/// What a killed run has left, and an order of somebody else: the next start cancels both.
fn restarted(
    stage: &Stage,
    venue: &Venue,
    evidence: &mut Evidence,
    engine: Engine,
) -> Result<(), Trouble> {
    engine.kill()?;
    let mut left: Vec<String> = super::resting(venue)?.into_iter().collect();
    let own = left.len();
    left.push(foreign(venue, "BTCUSDT", 2.0)?);
    let mut next = stage.engine(venue, "next", Own::NOTHING)?;
    quoting(venue, &next)?;
    let log = next.log();
    let before = log.split("-> RUNNING").next().unwrap_or_default();
    let told = |id: &&String| before.contains(&format!("Orphan order canceled: {id} on "));
    let others_told = told(&&left[own]);
    // One may have been executed meanwhile.
    let own_told = left[..own].iter().filter(told).count();
    let rest = resting(venue, &left)?;
    evidence.proves(
        2,
        "after a kill the next start cancels its orders and another client's, before it quotes",
        own_told > 0 && others_told && rest == 0,
        format!("{own_told} of {own} and 1 other, {rest} rest; {}", next.first("Startup scan")),
    );
    keep(evidence, &next, "next")?;
    ends(evidence, &mut next, "the next run ends in order", 0)
}

/// Places an order of the engine's account that the engine knows nothing of, `percent` below the
/// bid; gives its number.
fn foreign(venue: &Venue, symbol: &str, percent: f64) -> Result<String, Trouble> {
    let state = venue.state()?;
    let contracts = state["contracts"].as_array().cloned().unwrap_or_default();
    let found = contracts.iter().find(|contract| contract["symbol"] == symbol);
    let bid = found.and_then(|contract| contract["bid"].as_str()?.parse::<f64>().ok());
    let bid = bid.ok_or_else(|| Trouble::Unexpected(format!("no bid of {symbol}: {state}")))?;
    let answer = venue.ask(
        "/admin/order",
        &json!({
            "account": venue.name(), "category": "USDT-FUTURES", "symbol": symbol,
            "side": "buy", "orderType": "limit", "timeInForce": "gtc", "qty": "0.01",
            "price": format!("{:.1}", bid * (1.0 - percent / 100.0)),
        }),
    )?;
    let id = answer["orderId"].as_str().map(str::to_owned);
    id.ok_or_else(|| Trouble::Unexpected(format!("a foreign order: {answer}")))
}

/// How many of the orders rest at the venue.
fn resting(venue: &Venue, ids: &[String]) -> Result<usize, Trouble> {
    let truth = venue.truth()?;
    let orders = truth["orders"].as_array().cloned().unwrap_or_default();
    let known = |id: &Value| ids.iter().any(|ours| id == ours.as_str());
    Ok(orders.iter().filter(|order| known(&order["orderId"])).count())
}
