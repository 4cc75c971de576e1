//! Item 1: the venue's rates are the ones that are paid, and without a rate nothing is quoted.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    Evidence, Own, SOON, Stage, Trouble, acted, ends, filled, keep, keep_truth, no_looser, wait,
};

/// The rate that the venue is told to charge a maker, as a share of the notional.
const MAKER: f64 = 0.000_123;
/// A twentieth of a basis point.
const TOLERANCE: f64 = 0.000_005;
const FILLS: usize = 20;
/// How fast the venue's time runs while the rate is withheld: the stop comes after minutes of it.
const FAST: u32 = 6;

pub(super) fn run(stage: &Stage, evidence: &mut Evidence) -> Result<(), Trouble> {
    rates(&stage.part("rates")?, evidence)?;
    withheld(&stage.part("withheld")?, evidence)
}

fn rates(stage: &Stage, evidence: &mut Evidence) -> Result<(), Trouble> {
    let venue = stage.venue(1, None)?;
    let name = venue.name();
    venue
        .ask("/admin/fees", &json!({ "account": name, "maker": "0.000123", "taker": "0.0006" }))?;
    let mut engine = stage.engine(&venue, "run", Own::NOTHING)?;
    filled(&venue, &engine, FILLS)?;
    let fills = engine.table("fills.csv");
    let source = "api:exchange:bitget";
    let asked = fills.iter().all(|fill| fill.text("fee_source") == source);
    evidence.proves(1, "fee_source is the venue's interface", asked, source);
    let off = |rate: f64| (rate - MAKER).abs();
    let paid = |fill: &super::CsvRow| fill.number("fee_quote") / fill.number("notional_quote");
    let farther = |worst: f64, rate: f64| if off(rate) > off(worst) { rate } else { worst };
    let worst = fills.iter().map(paid).fold(MAKER, farther);
    evidence.proves(
        2,
        "fee paid over notional is within 0.05 bp of the rate, over at least 20 own fills",
        fills.len() >= FILLS && fills.iter().all(|fill| off(paid(fill)) <= TOLERANCE),
        format!("{} fills, rate {MAKER}, farthest {worst:.9}", fills.len()),
    );
    keep(evidence, &engine, "rates")?;
    keep_truth(evidence, &venue, "rates/venue")?;
    ends(evidence, &mut engine, "the run ends in order", 0)
}

fn withheld(stage: &Stage, evidence: &mut Evidence) -> Result<(), Trouble> {
    let venue = stage.venue(FAST, None)?;
    let on = "/api/v3/account/fee-rate";
    venue.fault(&json!({ "act": "fail", "status": 500, "accepted": "no", "on": on }))?;
    let mut engine = stage.engine(&venue, "run", Own::NOTHING)?;
    engine.says("fee_unresolved", SOON)?;
    let mut most = 0;
    let after = Duration::from_nanos(stage.policy.params().fee_unresolved_hard_s());
    let limit = SOON + after / FAST;
    wait(limit, "the stop for want of a rate", || {
        most = most.max(venue.open_orders()?);
        Ok(engine.log().contains("-> HARD_STOP"))
    })?;
    let log = engine.log();
    let paused = log.lines().find(|l| l.contains("soft=") && l.contains("fee_unresolved"));
    evidence.proves(
        3,
        "without a rate the guard pauses at once",
        paused.is_some(),
        paused.unwrap_or_default(),
    );
    let stop = engine.last("-> HARD_STOP");
    let named = stop.split("hard=").nth(1).is_some_and(|hard| hard.contains("fee_unresolved"));
    let claim = format!("and stops for good after {} s", after.as_secs());
    evidence.proves(3, &claim, named, stop);
    no_looser(stage, evidence, 3, ("risk", "fee_unresolved_hard_s"), "180");
    let faults = venue.admin("GET", "/admin/faults", &Value::Null)?;
    evidence.claim("the rate was asked for and withheld", acted(&faults) > 0, faults.to_string());
    let traded = venue.truth()?["fills"].as_u64();
    evidence.proves(
        3,
        "no order was placed",
        most == 0 && traded == Some(0),
        format!("at most {most} rested, {traded:?} fills"),
    );
    ends(evidence, &mut engine, "the exit code says so", 5)?;
    keep(evidence, &engine, "withheld")
}
