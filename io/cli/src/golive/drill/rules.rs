//! Item 2: every order is on the contract's grids and within its limits, and rules that change
//! while a contract is quoted are followed.

use std::collections::BTreeMap;
use std::time::Duration;

use keel_core::event::RejectClass;
use keel_core::regime::Regime;
use keel_net::bitget::codes;
use serde_json::{Value, json};

use super::{
    Evidence, LOOK_EVERY, Own, SOON, Stage, Trouble, ends, filled, keep, keep_tap, keep_truth,
    number, quantize, quoting, rows, share, wait,
};
use crate::golive::stage::Venue;
use crate::golive::tap::Passed;

/// Quotes that are tried.
const TRIED: u32 = 1_000_000;
/// Rules are read every 60 s; the rest is for a busy machine.
const READ_MAX: Duration = Duration::from_secs(100);
/// Looks at the venue's list of orders.
const LOOKS: u32 = 100;
/// The least value of an order after the change, where orders are worth less.
const LEAST: f64 = 40.0;
/// What the account holds, in USDT.
const DEPOSIT: f64 = 10_000.0;
/// The tick of BTCUSDT before and after the change. With a coarser one, executions of the last
/// minutes would be off it.
const TICK_BEFORE: f64 = 0.1;
const TICK: f64 = 0.05;

pub(super) fn run(stage: &Stage, evidence: &mut Evidence) -> Result<(), Trouble> {
    let tried = quantize::tried(TRIED, stage.planted());
    evidence.proves(
        2,
        "price and amount of every quote over a million random rules and markets are valid",
        tried.wrong == 0 && tried.orders > u64::from(TRIED) / 10,
        format!("{TRIED} tried, {} orders, {} wrong {}", tried.orders, tried.wrong, tried.first),
    );
    let (venue, tap) = stage.tapped(1, None)?;
    let mut engine = stage.engine(&venue, "first", Own::NOTHING)?;
    quoting(&venue, &engine)?;
    filled(&venue, &engine, 4)?;
    let (fit, seen) = fitting(&venue, &["BTCUSDT", "ETHUSDT"])?;
    evidence.proves(1, "every order has the venue's tick, lot and least value", fit, seen);
    let refused = by_rules(&tap.passed(0));
    let line = engine.first("did_fail_order: ");
    evidence.proves(
        3,
        "no order is refused for its size or price",
        refused == 0 && !engine.log().contains("invalid"),
        format!("{refused} refused for size or price; {line}"),
    );
    let params = stage.policy.params();
    let sizes = Regime::ALL.iter().map(|&regime| share(params.size_pct_max(regime)));
    let least = (2.0 * DEPOSIT * sizes.fold(0.0, f64::max)).ceil().max(LEAST);
    venue.ask("/admin/rules", &json!({ "symbol": "ETHUSDT", "minOrderAmount": least }))?;
    let from = tap.len();
    let followed = wait(READ_MAX, "orders have the new least value", || {
        Ok(venue.open_orders()? > 0 && worths(&venue, "ETHUSDT")?.iter().any(|w| *w >= least))
    });
    let meanwhile = by_rules(&tap.passed(from));
    let from = tap.len();
    let (fit, seen) = fitting(&venue, &["ETHUSDT"])?;
    let after = by_rules(&tap.passed(from));
    evidence.claim(
        "another least value is followed while it quotes",
        followed.is_ok() && fit && after == 0,
        format!("{meanwhile} refused until the rules were read, {after} afterwards; {seen}"),
    );
    venue.ask("/admin/rules", &json!({ "symbol": "BTCUSDT", "priceMultiplier": TICK }))?;
    let known = wait(READ_MAX, "the new tick is known", || {
        let status = stage.status("first")?;
        let reasons = status["instruments"]["BTCUSDT"]["state_reasons"].as_str();
        Ok(reasons.is_some_and(|reasons| reasons.split('|').any(|reason| reason == "rules")))
    });
    let seen = known.as_ref().map_or_else(ToString::to_string, |()| "paused for rules".to_owned());
    evidence.claim("another tick is noticed", known.is_ok(), seen);
    wait(SOON, "BTCUSDT is not quoted", || Ok(worths(&venue, "BTCUSDT")?.is_empty()))?;
    let (fit, seen) = fitting(&venue, &["ETHUSDT"])?;
    let none = worths(&venue, "BTCUSDT")?.is_empty();
    evidence.claim(
        "it is not quoted in this run any more, the other contract is",
        fit && none,
        seen,
    );
    keep(evidence, &engine, "first")?;
    ends(evidence, &mut engine, "the first run ends in order", 0)?;
    let mut next = stage.engine(&venue, "second", Own::NOTHING)?;
    quoting(&venue, &next)?;
    let (fit, seen) = fitting(&venue, &["BTCUSDT", "ETHUSDT"])?;
    let between = wait(SOON, "a price that the old tick has not", || finer(&venue));
    evidence.claim("the next run quotes on the new tick", fit && between.is_ok(), seen);
    keep_truth(evidence, &venue, "venue")?;
    keep_tap(evidence, &tap, "wire")?;
    keep(evidence, &next, "second")?;
    ends(evidence, &mut next, "the second run ends in order", 0)
}

/// Answers by which the venue refuses an order for its price or size.
fn by_rules(passed: &[Passed]) -> usize {
    let code = |one: &&Passed| one.code.parse().unwrap_or(0);
    passed.iter().filter(|one| codes::verdict(code(one)).1 == RejectClass::Rules).count()
}

/// What the resting orders of a contract are worth.
fn worths(venue: &Venue, symbol: &str) -> Result<Vec<f64>, Trouble> {
    let truth = venue.truth()?;
    let orders = rows(&truth, "orders");
    let ours = orders.filter(|order| order["symbol"] == symbol);
    Ok(ours.map(|order| number(&order["price"]) * number(&order["size"])).collect())
}

/// Whether an order of BTCUSDT stands between two ticks of before.
fn finer(venue: &Venue) -> Result<bool, Trouble> {
    let truth = venue.truth()?;
    let mut orders = rows(&truth, "orders");
    Ok(orders
        .any(|order| order["symbol"] == "BTCUSDT" && !is_on(number(&order["price"]), TICK_BEFORE)))
}

/// Whether every order that was seen has tick, lot and least value as the venue tells them.
fn fitting(venue: &Venue, symbols: &[&str]) -> Result<(bool, String), Trouble> {
    let rules = venue.get("/api/v3/market/instruments?category=USDT-FUTURES")?;
    let rules: BTreeMap<&str, &Value> = rules["data"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|row| Some((row["symbol"].as_str()?, row)))
        .collect();
    let (mut seen, mut wrong) = (BTreeMap::new(), String::new());
    for _ in 0..LOOKS {
        let truth = venue.truth()?;
        for order in rows(&truth, "orders") {
            let symbol = order["symbol"].as_str().unwrap_or_default();
            if !symbols.contains(&symbol) {
                continue;
            }
            let rule = rules.get(symbol).copied().unwrap_or(&Value::Null);
            if !fits(order, rule) {
                wrong = format!("; {order} by {rule}");
            }
            seen.insert(order["orderId"].to_string(), ());
        }
        std::thread::sleep(LOOK_EVERY);
    }
    let told = symbols.iter().map(|symbol| {
        let rule = rules.get(symbol).copied().unwrap_or(&Value::Null);
        let [tick, lot, least] = ["priceMultiplier", "quantityMultiplier", "minOrderAmount"]
            .map(|name| rule[name].as_str().unwrap_or_default().to_owned());
        format!("{symbol} tick {tick} lot {lot} least {least}")
    });
    let told: Vec<String> = told.collect();
    let fine = wrong.is_empty() && !seen.is_empty();
    Ok((fine, format!("{} orders; {}{wrong}", seen.len(), told.join(", "))))
}

/// Whether one order has tick, lot and least value. What is left of a partly executed one may be
/// worth less than the whole was.
pub(super) fn fits(order: &Value, rule: &Value) -> bool {
    let (price, size) = (number(&order["price"]), number(&order["size"]));
    is_on(price, number(&rule["priceMultiplier"]))
        && is_on(size, number(&rule["quantityMultiplier"]))
        && size >= number(&rule["minOrderQty"])
        && price * size >= number(&rule["minOrderAmount"])
}

/// Whether a number is a whole number of steps, as far as floats tell.
fn is_on(value: f64, step: f64) -> bool {
    ((value / step).round() * step - value).abs() < step * 1e-4
}
