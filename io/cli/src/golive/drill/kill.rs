//! Item 3: whatever happens to the engine, nothing rests afterwards.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Evidence, Own, SOON, Stage, Trouble, acted, keep, keep_truth, wait};
use crate::golive::stage::{Engine, Venue};

/// How many orders rest at least before each kill.
pub(super) const ORDERS: u64 = 20;
/// Five levels a side of two contracts, too far from the market to be taken.
const FAR: Own<'_> = Own {
    tables: "[strategy]\nsides = \"both\"\nlevels_min = 5\nlevels_max = 5\n\
    spread_min = 0.02\nspread_max = 0.02\nlevel_step = 0.01\nrequote_tolerance = 1\n\
    imbalance_weight = 0\ninventory_skew_cap_pct = 0\nsize_pct_min = 0.0008\n\
    size_pct_max = 0.0008\n[risk]\nmax_active_executors = 20\n\
    max_total_notional_quote = 10000000\nmax_position_quote = 10000000\ncollar_bps = 250\n",
    why: "twenty orders are to rest that nobody takes",
};
/// Nobody but a kill has canceled before this: the venue's own countdown needs ten seconds.
const ZERO_MAX: Duration = Duration::from_secs(8);
/// So long do orders of a dead engine rest at least when nobody guards it.
const UNGUARDED: Duration = Duration::from_secs(4);
/// Three of ten cancels may all succeed by chance; then it is tried again.
const TRIES: u32 = 5;

/// What happens to the engine before a person kills, or the guardian.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Case {
    Healthy,
    Stopped,
    Killed,
    Cut,
    Failing,
}

impl Case {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Healthy => "a healthy engine",
            Self::Stopped => "an engine that is stopped (SIGSTOP)",
            Self::Killed => "an engine that is gone (SIGKILL)",
            Self::Cut => "the private socket cut",
            Self::Failing => "three of ten cancels failing",
        }
    }

    fn guardian_acts(self) -> bool {
        matches!(self, Self::Stopped | Self::Killed)
    }
}

pub(super) fn run(stage: &Stage, evidence: &mut Evidence) -> Result<(), Trouble> {
    drill(&stage.part("healthy")?, evidence, Case::Healthy)?;
    drill(&stage.part("stopped")?, evidence, Case::Stopped)?;
    drill(&stage.part("killed")?, evidence, Case::Killed)?;
    drill(&stage.part("cut")?, evidence, Case::Cut)?;
    let mut failed = 0;
    for attempt in 0..TRIES {
        failed = drill(&stage.part(&format!("failing{attempt}"))?, evidence, Case::Failing)?;
        if failed > 0 {
            break;
        }
    }
    evidence.claim("cancels did fail", failed > 0, format!("{failed} requests failed"));
    unguarded(&stage.part("unguarded")?, evidence)
}

/// Lets orders rest and `case` happen; gives how often a fault has acted.
fn drill(stage: &Stage, evidence: &mut Evidence, case: Case) -> Result<u64, Trouble> {
    let venue = stage.venue(1, None)?;
    let mut engine = stage.guarded(&venue, "run", FAR)?;
    rest(&venue, &engine)?;
    let name = case.name();
    if case == Case::Healthy {
        let guardians = engine.children("guardian")?;
        let seen = format!("process {guardians:?} guards the engine");
        evidence.proves(1, "the guardian is deployed and runs", guardians.len() == 1, seen);
        dry_run(stage, &venue, evidence)?;
    }
    let before = venue.open_orders()?;
    let happened = happen(stage, &venue, &engine, case)?;
    let zero = wait(ZERO_MAX, "no order rests", || Ok(venue.open_orders()? == 0));
    let took = happened.elapsed().as_millis();
    evidence.proves(
        3,
        &format!("{name}: at least {ORDERS} orders rest before, none afterwards"),
        zero.is_ok() && before >= ORDERS,
        format!("{before} before, 0 after {took} ms"),
    );
    let report = report(&engine, case)?;
    let seen = report["orders_before"].as_array().map_or(0, Vec::len) as u64;
    let executed = report["status"] == "executed";
    // Where the engine works, it cancels as well, and the kill may come too late to see anything.
    let own = !case.guardian_acts() || seen >= ORDERS && report["vacuous"] == false;
    evidence.proves(
        3,
        &format!("{name}: the report says executed, zero verified from two sources"),
        executed && own && report["orders_after"].as_array().is_some_and(Vec::is_empty),
        format!(
            "{}, {seen} orders seen, trigger {}, {} ms to verified zero",
            report["status"], report["trigger"], report["elapsed_ms"]
        ),
    );
    let left = venue.open_orders()?;
    evidence.claim(&format!("{name}: none after the zombie window"), left == 0, left.to_string());
    let failed = acted(&venue.admin("GET", "/admin/faults", &Value::Null)?);
    if case == Case::Cut {
        evidence.claim("the private socket was cut", failed > 0, format!("{failed} cuts"));
    }
    let part = stage.dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let text = serde_json::to_vec_pretty(&report).expect("JSON");
    evidence.keep(&format!("{part}/kill_switch.json"), &text)?;
    keep_truth(evidence, &venue, &format!("{part}/venue"))?;
    keep(evidence, &engine, &part)?;
    if !case.guardian_acts() {
        engine.stop()?;
    }
    Ok(failed)
}

/// Waits until the engine's orders rest.
fn rest(venue: &Venue, engine: &Engine) -> Result<(), Trouble> {
    engine.says("-> RUNNING", SOON)?;
    wait(SOON, &format!("{ORDERS} orders rest"), || Ok(venue.open_orders()? >= ORDERS))
}

/// A dry run names every order that rests, and cancels none.
fn dry_run(stage: &Stage, venue: &Venue, evidence: &mut Evidence) -> Result<(), Trouble> {
    let (code, out) =
        stage.keel(&["kill", "--dry-run", "--config", "run.toml", "--run-dir", "run"])?;
    let report: Value = serde_json::from_str(&out).unwrap_or_default();
    let ids = |orders: &Value, name: &str| {
        let orders = orders.as_array().cloned().unwrap_or_default();
        let ids = orders.iter().map(|order| order[name].as_str().unwrap_or_default().to_owned());
        ids.collect::<std::collections::BTreeSet<_>>()
    };
    let named = ids(&report["orders_before"], "orderId");
    let resting = ids(&venue.truth()?["orders"], "orderId");
    evidence.proves(
        2,
        "a dry run names the very orders that rest at the venue, and cancels none",
        code == Some(0) && named == resting && named.len() as u64 >= ORDERS,
        format!("{} named, {} rest, exit code {code:?}", named.len(), resting.len()),
    );
    evidence.keep("healthy/dry_run.json", out.as_bytes())?;
    Ok(())
}

/// Lets it happen and gives when.
fn happen(stage: &Stage, venue: &Venue, engine: &Engine, case: Case) -> Result<Instant, Trouble> {
    match case {
        Case::Healthy => {}
        Case::Stopped | Case::Killed => {
            engine.signal(if case == Case::Stopped { "STOP" } else { "KILL" })?;
            return Ok(Instant::now());
        }
        Case::Cut => {
            venue.fault(&json!({ "act": "cut", "on": "order" }))?;
            // Its push is the one that is cut.
            let order = json!({
                "account": venue.name(), "category": "USDT-FUTURES", "symbol": "BTCUSDT",
                "side": "buy", "orderType": "limit", "timeInForce": "post_only",
                "price": "50000.0", "qty": "0.001",
            });
            venue.ask("/admin/order", &order)?;
        }
        Case::Failing => {
            for on in ["cancel-symbol-order", "cancel-batch", "cancel-order"] {
                venue.fault(&json!({
                    "act": "fail", "status": 503, "accepted": "no", "on": on, "share": 0.3,
                }))?;
            }
        }
    }
    let happened = Instant::now();
    stage.keel(&["kill", "--config", "run.toml", "--run-dir", "run"])?;
    Ok(happened)
}

/// The report, once it is finished.
pub(super) fn report(engine: &Engine, case: Case) -> Result<Value, Trouble> {
    let path = engine.run.join("reports/kill_switch/latest.json");
    let mut found = Value::Null;
    wait(SOON, "the report of the kill is finished", || {
        // It is replaced as a whole; before the first there is none.
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        found = serde_json::from_str(&text).unwrap_or_default();
        let by_guardian = found["trigger"] == "guardian";
        let done = found["dry_run"] == false && !found["finished_ms"].is_null();
        Ok(done && by_guardian == case.guardian_acts())
    })?;
    Ok(found)
}

/// Without a guardian the orders of a dead engine stay: the drill above can fail.
fn unguarded(stage: &Stage, evidence: &mut Evidence) -> Result<(), Trouble> {
    let venue = stage.venue(1, None)?;
    let engine = stage.engine(&venue, "run", FAR)?;
    rest(&venue, &engine)?;
    engine.kill()?;
    std::thread::sleep(UNGUARDED);
    let left = venue.open_orders()?;
    evidence.claim(
        "without a guardian the orders of a dead engine stay (negative control)",
        left >= ORDERS,
        format!("{left} rest after {} s", UNGUARDED.as_secs()),
    );
    Ok(())
}
