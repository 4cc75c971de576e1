//! What of the items can be drilled at demo trading, which has no administration: what an engine
//! and its process can be made to do. The drill on the embedded venue follows in the same item, for
//! what only a venue that can be made to fail lets be seen.

use std::time::{Duration, Instant};

use keel_core::instrument::Symbol;
use keel_io::mode::survey::Question;
use serde_json::{Value, json};

use super::kill::{self, Case};
use super::{Evidence, SOON, Stage, Trouble, ends, keep, number, rules, wait};
use crate::golive::demo::{Change, Demo};
use crate::golive::stage::Engine;

/// The part of an item that is drilled there.
pub(in crate::golive) type Part = fn(&Demo, &Stage, &mut Evidence) -> Result<(), Trouble>;

/// The part of `item`, or why there is none.
pub(in crate::golive) fn part(item: u8) -> Result<Part, &'static str> {
    Ok(match item {
        1 => fees,
        2 => orders_fit,
        3 => kills,
        4 => orphans,
        5 => return Err("executions would have to be withheld: demo has no administration"),
        6 => {
            return Err("streams would have to be stalled and damaged: demo has no administration");
        }
        7 => return Err("answers would have to be lost and late: demo has no administration"),
        8 => return Err("the price would have to be moved: demo has no administration"),
        9 => return Err("the price would have to be moved: demo has no administration"),
        10 => return Err("funding would have to be settled: demo has no administration"),
        12 => return Err("what a dead engine left is traded into: demo has no administration"),
        11 => return Err("`keel parity` lives on the embedded venue only in this build"),
        13 => return Err("`keel soak` lives on the embedded venue only in this build"),
        14 => return Err("the engine is shown other accounts; `--account` reads the live one"),
        17 => return Err("the venue's clock would have to be turned: demo has no administration"),
        19 => return Err("questions would have to fail: demo has no administration"),
        21 => {
            return Err("one order would have to be executed in parts: demo has no administration");
        }
        22 => return Err("the venue would have to fall silent: demo has no administration"),
        24 => return Err("cancels would have to fail: demo has no administration"),
        _ => return Err("the venue's truth is compared: demo has no administration"),
    })
}

/// Without a guardian, as for a drill that leaves orders behind on purpose.
const UNGUARDED: Change<'static> = ("kill.guardian", "\"off\"");
/// How many own executions tell the rate.
const FILLS: usize = 20;
/// How long they may take: nobody can be made to trade there.
const FILLS_MAX: Duration = Duration::from_secs(3_600);
/// A twentieth of a basis point, as a share.
const TOLERANCE: f64 = 0.000_005;
/// Looks at the list of open orders.
const LOOKS: u32 = 20;

/// Item 1: what is paid is the rate that the venue tells.
fn fees(demo: &Demo, stage: &Stage, evidence: &mut Evidence) -> Result<(), Trouble> {
    let mut engine = demo.engine(stage, "run", &[("instance.name", &demo.name())])?;
    engine.says("-> RUNNING", SOON)?;
    wait(FILLS_MAX, &format!("{FILLS} fills"), || Ok(engine.table("fills.csv").len() >= FILLS))?;
    let fills = engine.table("fills.csv");
    let asked = fills.iter().all(|fill| fill.text("fee_source") == "api:exchange:bitget");
    evidence.proves(1, "at demo: fee_source is the venue's interface", asked, "in every fill");
    let (mut fit, mut worst) = (0, 0.0_f64);
    for symbol in demo.symbols() {
        let rates = demo.ask(Question::FeeRate(*symbol))?;
        evidence.keep(&format!("demo/fee-rate-{symbol}.json"), rates.to_string().as_bytes())?;
        let [maker, taker] = ["makerFeeRate", "takerFeeRate"].map(|name| number(&rates[name]));
        for fill in fills.iter().filter(|fill| fill.text("trading_pair") == symbol.as_str()) {
            let rate = if fill.text("is_maker") == "true" { maker } else { taker };
            let off = (fill.number("fee_quote") / fill.number("notional_quote") - rate).abs();
            fit += usize::from(off <= TOLERANCE);
            worst = worst.max(off);
        }
    }
    evidence.proves(
        2,
        "at demo: fee paid over notional is within 0.05 bp of the rate, over 20 own fills",
        fills.len() >= FILLS && fit == fills.len(),
        format!("{fit} of {} fills, farthest {worst:.9} apart", fills.len()),
    );
    keep(evidence, &engine, "demo")?;
    ends(evidence, &mut engine, "at demo: the run ends in order", 0)
}

/// Item 2: every order that rests there is on the grids that the venue tells.
fn orders_fit(demo: &Demo, stage: &Stage, evidence: &mut Evidence) -> Result<(), Trouble> {
    let told = demo.ask(Question::Rules)?;
    let names: Vec<&str> = demo.symbols().iter().map(Symbol::as_str).collect();
    let list = told.as_array().cloned().unwrap_or_default();
    let list: Vec<&Value> = list
        .iter()
        .filter(|rule| rule["symbol"].as_str().is_some_and(|symbol| names.contains(&symbol)))
        .collect();
    let text = serde_json::to_vec_pretty(&list).expect("JSON");
    evidence.keep("demo/instruments.json", &text)?;
    let mut engine = demo.engine(stage, "run", &[("instance.name", &demo.name())])?;
    engine.says("-> RUNNING", SOON)?;
    let (mut seen, mut wrong) = (std::collections::BTreeSet::new(), String::new());
    for _ in 0..LOOKS {
        for order in demo.open_orders()? {
            let rule = list.iter().find(|rule| rule["symbol"] == order["symbol"]);
            let as_truth = json!({ "price": order["price"], "size": order["qty"] });
            if !rule.is_some_and(|rule| rules::fits(&as_truth, rule)) {
                wrong = format!("; {order}");
            }
            seen.insert(order["orderId"].to_string());
        }
    }
    evidence.proves(
        1,
        "at demo: every order that rests has the venue's tick, lot and least value",
        !seen.is_empty() && wrong.is_empty(),
        format!("{} orders over {LOOKS} looks{wrong}", seen.len()),
    );
    let log = engine.log();
    let failed = log.lines().filter(|line| line.contains("did_fail_order: "));
    let invalid: Vec<&str> = failed.filter(|line| line.contains("invalid")).collect();
    evidence.proves(
        3,
        "at demo: no did_fail_order with \"invalid\"",
        invalid.is_empty() && !seen.is_empty(),
        invalid.first().copied().unwrap_or("none"),
    );
    keep(evidence, &engine, "demo")?;
    ends(evidence, &mut engine, "at demo: the run ends in order", 0)
}

/// Twenty orders too far from the market to be taken, as the drill on the embedded venue has them.
const FAR: [Change<'static>; 16] = [
    ("run.instruments", "[\"BTCUSDT\", \"ETHUSDT\"]"),
    ("kill.guardian", "\"on\""),
    ("strategy.sides", "\"both\""),
    ("strategy.levels_min", "5"),
    ("strategy.levels_max", "5"),
    ("strategy.spread_min", "0.02"),
    ("strategy.spread_max", "0.02"),
    ("strategy.level_step", "0.01"),
    ("strategy.requote_tolerance", "1"),
    ("strategy.imbalance_weight", "0"),
    ("strategy.inventory_skew_cap_pct", "0"),
    ("strategy.size_pct_min", "0.0008"),
    ("strategy.size_pct_max", "0.0008"),
    ("risk.max_active_executors", "20"),
    ("risk.max_total_notional_quote", "100000"),
    ("risk.max_position_quote", "100000"),
];

/// Item 3: a person and the guardian leave nothing.
fn kills(demo: &Demo, stage: &Stage, evidence: &mut Evidence) -> Result<(), Trouble> {
    for case in [Case::Healthy, Case::Stopped, Case::Killed] {
        let name = match case {
            Case::Healthy => "healthy",
            Case::Stopped => "stopped",
            _ => "killed",
        };
        killed(demo, &stage.part(name)?, evidence, case, name)?;
    }
    Ok(())
}

fn killed(
    demo: &Demo,
    stage: &Stage,
    evidence: &mut Evidence,
    case: Case,
    part: &str,
) -> Result<(), Trouble> {
    let name = demo.name();
    let own = [("instance.name", &*name)];
    let mut engine = demo.engine(stage, "run", &[&FAR[..], &own].concat())?;
    engine.says("-> RUNNING", SOON)?;
    wait(SOON, "20 orders rest", || Ok(demo.open_orders()?.len() as u64 >= kill::ORDERS))?;
    let before = demo.resting()?;
    let at = ["--config", "run.toml", "--run-dir", "run"];
    if case == Case::Healthy {
        let (code, out) = stage.keel(&[&["kill", "--dry-run"][..], &at].concat())?;
        let report: Value = serde_json::from_str(&out).unwrap_or_default();
        let named = report["orders_before"].as_array().cloned().unwrap_or_default();
        let known = |order: &Value| order["orderId"].as_str().is_some_and(|id| before.contains(id));
        evidence.proves(
            2,
            "at demo: a dry run names the very orders that rest, and cancels none",
            code == Some(0) && named.len() == before.len() && named.iter().all(known),
            format!("{} named, {} rest", named.len(), demo.open_orders()?.len()),
        );
    }
    let happened = Instant::now();
    match case {
        Case::Stopped => engine.signal("STOP")?,
        Case::Killed => engine.signal("KILL")?,
        _ => drop(stage.keel(&[&["kill"][..], &at].concat())?),
    }
    let zero = wait(SOON, "no order rests", || Ok(demo.open_orders()?.is_empty()));
    let took = happened.elapsed().as_secs_f64();
    let name = case.name();
    evidence.proves(
        3,
        &format!("at demo, {name}: at least {} orders rest before, none afterwards", kill::ORDERS),
        zero.is_ok() && before.len() as u64 >= kill::ORDERS,
        format!("{} before, none seen after {took:.1} s, asked every second", before.len()),
    );
    let report = kill::report(&engine, case)?;
    evidence.proves(
        3,
        &format!("at demo, {name}: the report says executed, zero verified from two sources"),
        report["status"] == "executed",
        format!("{}, trigger {}", report["status"], report["trigger"]),
    );
    let text = serde_json::to_vec_pretty(&report).expect("JSON");
    evidence.keep(&format!("demo/{part}/kill_switch.json"), &text)?;
    keep(evidence, &engine, &format!("demo/{part}"))?;
    if case == Case::Healthy {
        engine.stop()?;
    }
    Ok(())
}

/// Item 4: an engine of another name leaves orders behind; the next start cancels them before it
/// quotes.
fn orphans(demo: &Demo, stage: &Stage, evidence: &mut Evidence) -> Result<(), Trouble> {
    let (first, second) = (demo.name(), demo.name());
    let (other, own) =
        ([("instance.name", &*first), UNGUARDED], [("instance.name", &*second), UNGUARDED]);
    let foreign = demo.engine(&stage.part("other")?, "other", &other)?;
    foreign.says("-> RUNNING", SOON)?;
    wait(SOON, "foreign orders rest", || Ok(demo.open_orders()?.len() >= 2))?;
    foreign.kill()?;
    let left = demo.resting()?;
    let engine = demo.engine(stage, "run", &own)?;
    quoting(demo, &engine)?;
    let log = engine.log();
    let before = log.split("-> RUNNING").next().unwrap_or_default();
    let told = |id: &&String| before.contains(&format!("Orphan order canceled: {id} on bitget/"));
    let canceled = left.iter().filter(told).count();
    evidence.proves(
        1,
        "at demo: the orders of an engine of another name are canceled and logged before the first \
         quote",
        // One may have been executed before it was to be canceled.
        canceled > 0 && canceled + 1 >= left.len(),
        format!("{canceled} of {}; {}", left.len(), engine.last("Startup scan")),
    );
    let rest = demo.resting()?.intersection(&left).count();
    evidence.proves(2, "at demo: none of them is left", rest == 0, format!("{rest} rest"));
    keep(evidence, &engine, "demo/first")?;
    engine.kill()?;
    let rested = demo.resting()?;
    let mut next = demo.engine(stage, "next", &own)?;
    quoting(demo, &next)?;
    let rest = demo.resting()?.intersection(&rested).count();
    evidence.proves(
        2,
        "at demo: after a kill the next start cancels what its run had left",
        rest == 0 && !rested.is_empty(),
        format!("{} were left, {rest} rest; {}", rested.len(), next.first("Startup scan")),
    );
    keep(evidence, &next, "demo/next")?;
    ends(evidence, &mut next, "at demo: the next run ends in order", 0)
}

/// Waits until the engine has orders at the venue.
fn quoting(demo: &Demo, engine: &Engine) -> Result<(), Trouble> {
    engine.says("-> RUNNING", SOON)?;
    wait(SOON, "the engine quotes", || Ok(!demo.open_orders()?.is_empty()))
}
