//! Item 10: realized profit, fees and funding of the files are the venue's balance, to the unit.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    Evidence, SOON, Stage, Trouble, booked, ends, filled, flattened, keep, keep_truth,
    nothing_rests, wait,
};
use crate::golive::stage::{Engine, Venue};

const FILLS: usize = 12;

pub(super) fn run(stage: &Stage, evidence: &mut Evidence) -> Result<(), Trouble> {
    let venue = stage.venue(1, None)?;
    let began = balance(&venue)?;
    let mut first = stage.engine(&venue, "first", "")?;
    filled(&venue, &first, FILLS)?;
    for symbol in ["BTCUSDT", "ETHUSDT"] {
        venue.ask("/admin/settle-funding", &json!({ "symbol": symbol }))?;
    }
    filled(&venue, &first, FILLS + 4)?;
    ends(evidence, &mut first, "the first run ends in order", 0)?;
    let mut second = stage.engine(&venue, "second", "")?;
    filled(&venue, &second, FILLS + 8)?;
    booked(&venue, &second)?;
    // What a part of a position has cost is rounded by each side in its own way; the whole is not.
    stage.keel(&["pause", "--run-dir", "second"])?;
    nothing_rests(&venue)?;
    for symbol in ["BTCUSDT", "ETHUSDT"] {
        flattened(&venue, symbol)?;
    }
    booked(&venue, &second)?;
    let (agreed, [_, _, funding, fills], seen) = compared(&venue, &second, began, 3 * SOON)?;
    evidence.claim(
        "flat, balance at the venue = realized - fees - funding, to the last unit of 1e-8 USDT",
        agreed,
        seen,
    );
    let rows = second.table("fills.csv");
    evidence.proves(
        1,
        "realized_pnl_quote of fills.csv is populated",
        rows.iter().any(|row| row.number("realized_pnl_quote") != 0.0)
            && rows.iter().all(|row| row.number("realized_pnl_quote").is_finite()),
        format!("{} rows", rows.len()),
    );
    evidence.proves(
        2,
        "the day's state counts the fills of both runs",
        fills as usize == rows.len() && rows.len() >= FILLS + 8,
        format!("{fills} in daily_state.json, {} in fills.csv", rows.len()),
    );
    let restored = "Daily state restored: ";
    let told = second.log().contains(restored);
    evidence.proves(2, "the second run restored the day", told, second.last(restored));
    evidence.proves(3, "funding was paid or received", funding != 0, funding.to_string());
    keep_truth(evidence, &venue, "venue")?;
    keep(evidence, &second, "runs")?;
    ends(evidence, &mut second, "the second run ends in order", 0)
}

/// The account's balance in 1e-8 USDT.
pub(super) fn balance(venue: &Venue) -> Result<i64, Trouble> {
    e8(&venue.truth()?["balance"])
}

/// Whether what the venue's balance has gained since it `began` is, within `limit`, what the files
/// have; their figures, and both in words.
pub(super) fn compared(
    venue: &Venue,
    engine: &Engine,
    began: i64,
    limit: Duration,
) -> Result<(bool, [i64; 4], String), Trouble> {
    let mut figures = [0; 4];
    let agreed = wait(limit, "ledger and balance agree", || {
        figures = ledger(&engine.state)?;
        let [realized, fees, funding, _] = figures;
        Ok(balance(venue)? - began == realized - fees - funding)
    });
    let ([realized, fees, funding, _], gained) = (figures, balance(venue)? - began);
    let seen = format!("venue {gained}, realized {realized}, fees {fees}, funding {funding}");
    Ok((agreed.is_ok(), figures, seen))
}

/// Realized profit, fees and funding of `daily_state.json` in 1e-8 USDT, and its count of fills.
fn ledger(state: &std::path::Path) -> Result<[i64; 4], Trouble> {
    let text = std::fs::read_to_string(state.join("daily_state.json"))?;
    let day: Value = serde_json::from_str(&text)
        .map_err(|error| Trouble::Unexpected(format!("daily_state.json: {error}")))?;
    Ok([
        e8(&day["realized_pnl"])?,
        e8(&day["fees_paid"])?,
        e8(&day["funding_cost"])?,
        day["fills_count"].as_i64().unwrap_or(-1),
    ])
}

/// A decimal text in 1e-8, exact.
fn e8(value: &Value) -> Result<i64, Trouble> {
    let wrong = || Trouble::Unexpected(format!("no decimal of 1e-8: {value}"));
    let text = value.as_str().ok_or_else(wrong)?;
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |digits| (-1, digits));
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() || part.len() > 8 || part.contains(['-', '+']) {
        return Err(wrong());
    }
    let number: i64 = format!("{whole}{part:0<8}").parse().map_err(|_| wrong())?;
    Ok(sign * number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_read_exactly() {
        for (text, value) in
            [("0", 0), ("-0.5", -50_000_000), ("10000.00000001", 1_000_000_000_001)]
        {
            assert_eq!(e8(&json!(text)).expect("a decimal"), value);
        }
        for text in ["", "x", "0.000000001", "1e3"] {
            assert!(e8(&json!(text)).is_err(), "{text}");
        }
        assert!(e8(&json!(1.5)).is_err());
    }
}
