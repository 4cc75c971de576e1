//! Item 21: one order executed in more than fifty parts gives the profit to the last unit.

use std::collections::BTreeMap;
use std::time::Instant;

use serde_json::{Value, json};

use super::pnl::{balance, compared};
use super::{
    Evidence, LOOK_EVERY, Own, SOON, Stage, Trouble, booked, ends, flattened, keep, keep_truth,
    nothing_rests, number, rows, wait,
};
use crate::golive::stage::Venue;

/// Parts that one order must be executed in.
const PARTS: usize = 50;
/// Large bids some ticks from the mid, that stay where they are while the mid moves by less.
const ONE_BID: Own<'_> = Own {
    tables: "[run]\ninstruments = [\"BTCUSDT\"]\n[strategy]\nsides = \"buy_only\"\n\
    levels_min = 1\nlevels_max = 1\nfill_factor = 1\ndrift_penalty_multiplier = 0\n\
    vol_penalty_multiplier = 0\nedge_resume_bps = 0\n\
    spread_min = 0.00002\nspread_max = 0.00002\nrequote_tolerance = 1\nskew_factor = 0\n\
    imbalance_weight = 0\ninventory_skew_cap_pct = 0\nmin_side_offset_bps = 0\n\
    min_net_edge_bps = 0\nsize_pct_min = 0.1\nsize_pct_max = 0.1\n[risk]\n\
    max_order_notional_quote = 1000\nmax_total_notional_quote = 5000\nmax_position_quote = 5000\n\
    fills_per_10s_max = 10000\n",
    why: "one bid is to be large, near, and to stay until it is taken in fifty parts",
};
/// A lot of BTCUSDT.
const LOT: f64 = 0.0001;
/// How many bids are tried: one may be canceled meanwhile.
const TRIES: usize = 20;

pub(super) fn run(stage: &Stage, evidence: &mut Evidence) -> Result<(), Trouble> {
    let (venue, _tap) = stage.tapped(1, None)?;
    let before = balance(&venue)?;
    let mut engine = stage.engine(&venue, "run", ONE_BID)?;
    engine.says("-> RUNNING", SOON)?;
    // An engine that quotes no more after the first parts has its account compared all the same.
    let parts = parts(&venue);
    stage.keel(&["pause", "--run-dir", "run"])?;
    nothing_rests(&venue)?;
    booked(&venue, &engine)?;
    let mut by_order: BTreeMap<String, usize> = BTreeMap::new();
    for fill in engine.table("fills.csv") {
        *by_order.entry(fill.text("order_id").to_owned()).or_default() += 1;
    }
    let most = by_order.values().copied().max().unwrap_or(0);
    evidence.claim(
        "one order has more than fifty executions, in the files as at the venue",
        parts.as_ref().is_ok_and(|&parts| most >= PARTS && most >= parts),
        format!(
            "{most} rows of one order in fills.csv, {} orders; {}",
            by_order.len(),
            parts.map_or_else(|trouble| trouble.to_string(), |parts| format!("{parts} sold")),
        ),
    );
    flattened(&venue, "BTCUSDT")?;
    booked(&venue, &engine)?;
    let (agreed, [realized, ..], seen) = compared(&venue, &engine, before, SOON)?;
    evidence.claim(
        "closed: balance at the venue = realized - fees - funding, to the last unit of 1e-8 USDT",
        agreed && realized != 0,
        seen,
    );
    keep_truth(evidence, &venue, "venue")?;
    keep(evidence, &engine, "run")?;
    ends(evidence, &mut engine, "the run ends in order", 0)
}

/// Sells a lot at a time into a bid of the engine's, while the market's time stands still; gives
/// how many.
fn parts(venue: &Venue) -> Result<usize, Trouble> {
    for _ in 0..TRIES {
        wait(SOON, "a bid rests", || Ok(bid(venue)?.is_some()))?;
        venue.ask("/admin/freeze", &json!({}))?;
        let frozen = Instant::now();
        let sold = match bid(venue)? {
            Some(bid) => sold_into(venue, &bid),
            None => Ok(0),
        };
        // The venue's clock is the host's again.
        let behind = u64::try_from(frozen.elapsed().as_millis()).unwrap_or(1).max(1);
        venue.ask("/admin/advance", &json!({ "ms": behind }))?;
        venue.ask("/admin/resume", &json!({}))?;
        let sold = sold?;
        if sold > PARTS {
            return Ok(sold);
        }
        std::thread::sleep(LOOK_EVERY);
    }
    Err(Trouble::Unexpected(format!("no bid has stayed for {PARTS} parts, {TRIES} times")))
}

/// A bid of the engine's of which nothing is executed.
fn bid(venue: &Venue) -> Result<Option<Value>, Trouble> {
    let truth = venue.truth()?;
    let mut orders = rows(&truth, "orders");
    Ok(orders.find(|order| order["side"] == "buy" && number(&order["filled"]) == 0.0).cloned())
}

/// Sells what stands before a bid, and then into it lot by lot; gives how many lots it took.
fn sold_into(venue: &Venue, bid: &Value) -> Result<usize, Trouble> {
    let sell = |lots: f64| {
        let qty = format!("{:.4}", lots * LOT);
        venue.ask(
            "/admin/order",
            &json!({
                "account": "manual", "category": "USDT-FUTURES", "symbol": "BTCUSDT",
                "side": "sell", "orderType": "limit", "timeInForce": "ioc",
                "price": bid["price"], "qty": qty,
            }),
        )
    };
    let book =
        venue.get("/api/v3/market/orderbook?category=USDT-FUTURES&symbol=BTCUSDT&limit=50")?;
    let bids = book["data"]["b"].as_array().into_iter().flatten();
    let before: f64 = bids
        .filter(|level| number(&level[0]) >= number(&bid["price"]))
        .map(|level| number(&level[1]))
        .sum();
    let before = ((before - number(&bid["size"])) / LOT).round();
    if before > 0.0 {
        sell(before)?;
    }
    for _ in 0..=PARTS {
        sell(1.0)?;
    }
    let truth = venue.truth()?;
    let mut orders = rows(&truth, "orders");
    let left = orders.find(|order| order["orderId"] == bid["orderId"]);
    Ok(left.map_or(0, |order| (number(&order["filled"]) / LOT).round() as usize))
}
