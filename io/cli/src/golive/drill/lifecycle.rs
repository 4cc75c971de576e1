//! Item 7: an acknowledgment that does not come leads to a question, never to a second order.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::flips;
use super::{
    CsvRow, Evidence, Own, SOON, Stage, Trouble, booked, ends, keep, keep_truth, market_order,
    quoting, rows, wait,
};
use crate::golive::stage::Venue;

/// The cap of orders of an instrument that the drill sets.
const CAP: u64 = 2;

/// Quotes 1.2 % from the mid on both sides, within the collar.
const WIDE: Own<'_> = Own {
    tables: "[strategy]\nspread_min = 0.024\nspread_max = 0.024\nlevels_min = 1\n\
             levels_max = 1\nimbalance_weight = 0\n[risk]\ncollar_bps = 250\n",
    why: "an execution is to be farther than 1 % from the mid",
};
/// What the price jumps by, in percent: beyond the quotes, far enough that they are more than 1 %
/// from the mid whichever mid was seen last.
const JUMP: i32 = 4;
/// What it moves by, in percent, so that orders are sent anew.
const NUDGE: f64 = 0.1;

pub(super) fn run(stage: &Stage, evidence: &mut Evidence) -> Result<(), Trouble> {
    flips::run(stage, evidence);
    acknowledgments(&stage.part("acknowledgments")?, evidence)?;
    deviation(&stage.part("deviation")?, evidence)
}

/// An execution more than 1 % from the mid is told of; one at the touch is not.
fn deviation(stage: &Stage, evidence: &mut Evidence) -> Result<(), Trouble> {
    let venue = stage.venue(1, None)?;
    let mut engine = stage.engine(&venue, "run", WIDE)?;
    quoting(&venue, &engine)?;
    venue.ask("/admin/order", &market_order(&venue.name(), "ETHUSDT", "buy", "0.01"))?;
    wait(SOON, "an execution at the touch", || Ok(!engine.table("fills.csv").is_empty()))?;
    let line = "Fill price deviation: ";
    let near = engine.first(line);
    evidence.claim("an execution at the touch is not told of", near.is_empty(), near);
    wait(SOON, "an offer of BTCUSDT rests", || {
        let truth = venue.truth()?;
        let mut orders = rows(&truth, "orders");
        Ok(orders.any(|order| order["symbol"] == "BTCUSDT" && order["side"] == "sell"))
    })?;
    venue.ask("/admin/price", &json!({ "symbol": "BTCUSDT", "percent": JUMP }))?;
    let told = engine.says(line, SOON);
    let fills = engine.table("fills.csv");
    let away = |fill: &CsvRow| (fill.number("price") / fill.number("mid_ref") - 1.0).abs();
    let farthest = fills.iter().map(away).fold(0.0, f64::max);
    evidence.proves(
        4,
        "an execution more than 1 % from the mid is warned of in the log",
        told.is_ok() && farthest > 0.01,
        format!("{:.2} % from the mid; {}", farthest * 100.0, engine.first(line)),
    );
    keep_truth(evidence, &venue, "deviation/venue")?;
    keep(evidence, &engine, "deviation")?;
    ends(evidence, &mut engine, "that run ends in order", 0)
}

fn acknowledgments(stage: &Stage, evidence: &mut Evidence) -> Result<(), Trouble> {
    let venue = stage.venue(1, None)?;
    let tables = format!(
        "[strategy]\nlevels_min = 1\nlevels_max = 1\n[risk]\nmax_active_executors = {CAP}\n"
    );
    let why = "the smallest cap under which both sides are quoted is the soonest reached";
    let mut engine = stage.engine(&venue, "run", Own { tables: &tables, why })?;
    quoting(&venue, &engine)?;
    let mut watch = Watch::default();
    let timeout = Duration::from_nanos(stage.policy.params().order_ack_timeout_s());
    for (what, times_out, fault) in faults(timeout) {
        let seen = engine.log().len();
        venue.fault(&fault)?;
        if times_out {
            let timed_out = || engine.log()[seen..].contains("Order ack timeout: ");
            let said = watch.nudged(&venue, SOON + 2 * timeout, timed_out)?;
            let line = engine.last("Order ack timeout: ");
            evidence.proves(1, &format!("{what}: the time-out is noticed"), said, line);
        } else {
            watch.nudged(&venue, SOON / 6 + timeout, || false)?;
        }
        venue.ask("/admin/clear-fault", &json!({}))?;
        let back = watch.until(&venue, SOON, || venue.open_orders().is_ok_and(|open| open >= 2))?;
        evidence.claim(&format!("{what}: it quotes again"), back, "orders rest");
    }
    watch.until(&venue, Duration::from_secs(5), || false)?;
    evidence.proves(
        2,
        "no level ever had two orders",
        watch.looks > 100 && watch.doubled == 0,
        format!("{} looks at the venue's list, {} doubled", watch.looks, watch.doubled),
    );
    evidence.proves(
        3,
        "max_active_executors holds, and was reached",
        watch.most == CAP,
        format!("cap {CAP}, at most {} orders of an instrument rested", watch.most),
    );
    booked(&venue, &engine)?;
    evidence.claim("every execution is booked once", true, "fills.csv and the venue agree");
    keep_truth(evidence, &venue, "venue")?;
    keep(evidence, &engine, "run")?;
    ends(evidence, &mut engine, "the run ends in order", 0)
}

/// What becomes of requests to place an order, and whether the order is not seen in time. One whose
/// answer alone is missing is known by its push.
fn faults(timeout: Duration) -> [(&'static str, bool, Value); 4] {
    let on = "place-order";
    let lost = |accepted| json!({ "act": "lose-answer", "accepted": accepted, "on": on });
    let ms = (3 * timeout.as_millis() as u64).max(3_000);
    let late = |act| json!({ "act": act, "ms": ms, "on": on });
    [
        ("answers lost, orders placed", false, lost("yes")),
        ("answers lost, orders not placed", true, lost("no")),
        ("answers late", false, late("answer-late")),
        ("orders late", true, late("accept-late")),
    ]
}

/// What was seen in the venue's list of orders, again and again.
#[derive(Debug, Default)]
struct Watch {
    looks: u64,
    most: u64,
    doubled: u64,
}

impl Watch {
    /// Looks until `is_so`, at most for `limit`; gives whether it was.
    fn until(
        &mut self,
        venue: &Venue,
        limit: Duration,
        mut is_so: impl FnMut() -> bool,
    ) -> Result<bool, Trouble> {
        let began = Instant::now();
        while began.elapsed() < limit {
            self.look(&venue.truth()?);
            if is_so() {
                return Ok(true);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(false)
    }

    /// The same, while the price goes up and down a little, so that quotes follow it.
    fn nudged(
        &mut self,
        venue: &Venue,
        limit: Duration,
        mut is_so: impl FnMut() -> bool,
    ) -> Result<bool, Trouble> {
        let (began, mut way) = (Instant::now(), NUDGE);
        while began.elapsed() < limit {
            if self.until(venue, Duration::from_secs(3), &mut is_so)? {
                return Ok(true);
            }
            for symbol in ["BTCUSDT", "ETHUSDT"] {
                venue.ask("/admin/price", &json!({ "symbol": symbol, "percent": way }))?;
            }
            way = -way;
        }
        Ok(false)
    }

    fn look(&mut self, truth: &Value) {
        let orders = truth["orders"].as_array().cloned().unwrap_or_default();
        self.looks += 1;
        for symbol in ["BTCUSDT", "ETHUSDT"] {
            let resting = orders.iter().filter(|order| order["symbol"] == symbol).count();
            self.most = self.most.max(resting as u64);
        }
        let mut levels: BTreeMap<String, u64> = BTreeMap::new();
        for order in &orders {
            // There is one level a side.
            let level = format!("{} {}", order["symbol"], order["side"]);
            *levels.entry(level).or_default() += 1;
        }
        self.doubled += u64::from(levels.values().any(|&count| count > 1));
    }
}
