//! Item 24: single cancels that fail lead to a cancel of everything by the other way in, whatever
//! else fails or succeeds between them.

use serde_json::json;

use super::{
    Evidence, Own, SOON, Stage, Trouble, acted, ends, keep, keep_tap, nothing_left, nothing_rests,
    quoting, wait,
};

/// Failures of one order's cancel after which everything is canceled by the other way in.
const FAILED: usize = 3;

pub(super) fn run(stage: &Stage, evidence: &mut Evidence) -> Result<(), Trouble> {
    let (venue, tap) = stage.tapped(1, None)?;
    let mut engine = stage.engine(&venue, "run", Own::NOTHING)?;
    quoting(&venue, &engine)?;
    for on in ["cancel-order", "batch-cancel", "cancel-batch"] {
        venue.fault(&json!({ "act": "fail", "status": 503, "accepted": "no", "on": on }))?;
    }
    // Failures that have nothing to do with it: every other question about orders and positions.
    for on in ["order-info", "unfilled-orders", "current-position"] {
        venue.fault(&json!({
            "act": "fail", "status": 502, "accepted": "no", "on": on, "share": 0.5,
        }))?;
    }
    let from = tap.len();
    let resting = venue.open_orders()?;
    stage.keel(&["pause", "--run-dir", "run"])?;
    let gone = nothing_rests(&venue);
    let faults = venue.admin("GET", "/admin/faults", &serde_json::Value::Null)?;
    let passed = tap.passed(from);
    let all = passed.iter().position(|one| one.what.ends_with("cancel-symbol-order"));
    let before = &passed[..all.unwrap_or(passed.len())];
    let is_single = |what: &str| what.ends_with("cancel-order") || what.contains("batch");
    let singles = before.iter().filter(|one| one.orders > 0 && is_single(&one.what)).count();
    let others = before.iter().filter(|one| one.status >= 500 && !is_single(&one.what)).count();
    evidence.claim(
        "single cancels were asked for and failed, and other questions failed between them",
        singles >= FAILED && others > 0 && acted(&faults) > 0,
        format!("{singles} single cancels, {others} other failures before the other way in"),
    );
    evidence.claim(
        "everything is canceled by the other way in, and no order rests",
        gone.is_ok() && all.is_some() && resting > 0,
        format!("{resting} rested before, 0 after"),
    );
    venue.ask("/admin/clear-fault", &json!({}))?;
    stage.keel(&["resume", "--run-dir", "run"])?;
    let back = wait(2 * SOON, "it quotes", || Ok(venue.open_orders()? > 0));
    evidence.claim("it quotes again afterwards", back.is_ok(), engine.last("Guard "));
    keep(evidence, &engine, "run")?;
    keep_tap(evidence, &tap, "run")?;
    ends(evidence, &mut engine, "the run ends in order", 0)?;
    nothing_left(evidence, &venue)
}
