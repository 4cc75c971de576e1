//! Item 10: realized profit, fees and funding of the files are the venue's balance, to the unit,
//! and the edge report says by its parts what the fills were worth.

use std::time::Duration;

use keel_core::units::UnixNanos;
use keel_io::cold::daily::date_of;
use serde_json::{Value, json};

use super::{
    Evidence, Own, SOON, Stage, Trouble, booked, code, ends, filled, flattened, keep, keep_truth,
    nothing_rests, quoting, traded_into, wait,
};
use crate::golive::stage::{Engine, Venue};

const FILLS: usize = 12;
/// How fast the venue's time runs while the edge is measured: its report asks for ten minutes.
const FAST: u32 = 10;
/// For how long of the venue's time it is traded into, and how often.
const TRADED: Duration = Duration::from_secs(12 * 60);
const ROUND: Duration = Duration::from_secs(20);
/// How long after the last fill books are read on: the report looks 30 s ahead.
const WATCHED: Duration = Duration::from_secs(60);
/// What sums to the net edge at each horizon, and with which sign.
const PARTS: [(&str, i64); 4] =
    [("capture_quote", 1), ("mid_move_quote", 1), ("fee_quote", -1), ("funding_quote", -1)];

pub(super) fn run(stage: &Stage, evidence: &mut Evidence) -> Result<(), Trouble> {
    balances(&stage.part("balance")?, evidence)?;
    edge(&stage.part("edge")?, evidence)
}

/// Trades over two runs and a settlement: the files are the venue's balance.
fn balances(stage: &Stage, evidence: &mut Evidence) -> Result<(), Trouble> {
    let venue = stage.venue(1, None)?;
    let began = balance(&venue)?;
    let first_day = day(&venue)?;
    let mut first = stage.engine(&venue, "first", Own::NOTHING)?;
    filled(&venue, &first, FILLS)?;
    for symbol in ["BTCUSDT", "ETHUSDT"] {
        venue.ask("/admin/settle-funding", &json!({ "symbol": symbol }))?;
    }
    filled(&venue, &first, FILLS + 4)?;
    ends(evidence, &mut first, "the first run ends in order", 0)?;
    let mut second = stage.engine(&venue, "second", Own::NOTHING)?;
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
    ends(evidence, &mut second, "the second run ends in order", 0)?;
    for day in first_day..=day(&venue)? {
        statement(stage, evidence, &date_of(day))?;
    }
    let short = report(stage, evidence, "first")?;
    let said = short["verdict"].as_str().unwrap_or_default();
    evidence.claim(
        "an edge report of less than ten minutes does not pretend to know",
        said == "INSUFFICIENT",
        format!("{said}: {}", short["why"]),
    );
    Ok(())
}

/// The venue's records of money of that day, asked for with the engine's key, are what both runs
/// have booked; with one amount changed they are not.
fn statement(stage: &Stage, evidence: &mut Evidence, day: &str) -> Result<(), Trouble> {
    let runs = ["--day", day, "--run-dir", "first", "--run-dir", "second"];
    let report = |how: &[&str]| stage.keel(&[&["report", "statement"], how, &runs].concat());
    let kept = format!("statement-{day}.json");
    let ask = ["--from-venue", "--config", "second.toml", "--keep", &kept];
    let (ended, lines) = report(&ask)?;
    evidence.keep(&format!("statement-{day}.txt"), lines.as_bytes())?;
    let path = stage.dir.join(&kept);
    evidence.keep_file(&kept, &path)?;
    evidence.claim(
        &format!("{day}: the venue's own records are what both runs have booked"),
        ended == Some(0),
        format!("{}, {}", code(ended), lines.lines().last().unwrap_or_default()),
    );
    let mut records: Value = serde_json::from_str(&std::fs::read_to_string(&path)?)
        .map_err(|error| Trouble::Unexpected(format!("{kept}: {error}")))?;
    let newest = records.pointer_mut("/0/data/list/0/amount");
    *newest.ok_or_else(|| Trouble::Unexpected(format!("{kept} holds no record")))? = "1000".into();
    let changed = format!("changed-{day}.json");
    std::fs::write(stage.dir.join(&changed), records.to_string())?;
    let (ended, _) = report(&[&changed])?;
    let claim = format!("{day}: records with one amount changed are not");
    evidence.claim(&claim, ended == Some(7), code(ended));
    Ok(())
}

/// The UTC day at the venue.
fn day(venue: &Venue) -> Result<i64, Trouble> {
    let now = &venue.state()?["now"];
    let ms = now.as_str().and_then(|ms| ms.parse().ok());
    let ms = ms.ok_or_else(|| Trouble::Unexpected(format!("no time: {now}")))?;
    Ok(UnixNanos::from_millis(ms).day())
}

/// Trades for minutes of the venue's time: the report has every fill, and parts that sum to it.
fn edge(stage: &Stage, evidence: &mut Evidence) -> Result<(), Trouble> {
    let venue = stage.venue(FAST, None)?;
    let mut engine = stage.engine(&venue, "run", Own::NOTHING)?;
    quoting(&venue, &engine)?;
    for _ in 0..TRADED.as_secs() / ROUND.as_secs() {
        traded_into(&venue)?;
        std::thread::sleep(ROUND / FAST);
    }
    stage.keel(&["pause", "--run-dir", "run"])?;
    nothing_rests(&venue)?;
    booked(&venue, &engine)?;
    std::thread::sleep(WATCHED / FAST);
    keep(evidence, &engine, "edge")?;
    ends(evidence, &mut engine, "the run of the edge report ends in order", 0)?;
    let report = report(stage, evidence, "run")?;
    let rows = engine.table("fills.csv");
    let mut sums = [rows.len() as i64, 0, 0, 0];
    for row in &rows {
        for (sum, column) in sums[1..].iter_mut().zip(SUMMED) {
            *sum += e8(&row.text(column).into())?;
        }
    }
    let mut told = [report["fills_count"].as_i64().unwrap_or(-1), 0, 0, 0];
    for (told, column) in told[1..].iter_mut().zip(SUMMED) {
        *told = e8(&report[column])?;
    }
    evidence.claim(
        "the edge report has the fills of fills.csv: count, notional, fees, profit, to 1e-8 USDT",
        told == sums && sums[0] > 0,
        format!("report {told:?}, fills.csv {sums:?}"),
    );
    let verdict = report["verdict"].as_str().unwrap_or_default();
    evidence.proves(
        4,
        "the edge report says POSITIVE or NEGATIVE, and its parts sum to it at every horizon",
        ["POSITIVE", "NEGATIVE"].contains(&verdict) && is_sum_of_its_parts(&report)?,
        format!("{verdict}: {}", report["why"]),
    );
    Ok(())
}

/// What `fills.csv` and the report both have of each fill.
const SUMMED: [&str; 3] = ["notional_quote", "fee_quote", "realized_pnl_quote"];

/// Has the edge of a run reported, and keeps the report.
fn report(stage: &Stage, evidence: &mut Evidence, run: &str) -> Result<Value, Trouble> {
    let (ended, _) = stage.keel(&["report", "edge", "--run-dir", run])?;
    let dir = stage.dir.join(run).join("analysis");
    for file in ["edge_report.json", "edge_report.html"] {
        evidence.keep_file(&format!("{run}/{file}"), &dir.join(file))?;
    }
    let wrong =
        |what: String| Trouble::Unexpected(format!("keel report edge: {}: {what}", code(ended)));
    let text = std::fs::read_to_string(dir.join("edge_report.json"));
    let text = text.map_err(|error| wrong(error.to_string()))?;
    serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))
}

/// Whether capture, way of the mid, fees and funding make the net edge at every horizon, and the
/// fills that are covered make each of them.
fn is_sum_of_its_parts(report: &Value) -> Result<bool, Trouble> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let horizons = list(&report["horizons"]);
    for (at, row) in horizons.iter().enumerate() {
        let mut whole = 0;
        for (part, sign) in PARTS {
            whole += sign * units(&row[part], 9)?;
        }
        let net = units(&row["net_edge_quote"], 9)?;
        let mut summed = 0;
        for fill in list(&report["fills"]) {
            let of_fill = &fill["net_edge_quote"][at];
            summed += if of_fill.is_null() { 0 } else { units(of_fill, 9)? };
        }
        if net != whole || net != summed {
            return Ok(false);
        }
    }
    Ok(!horizons.is_empty())
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
    units(value, 8)
}

/// A decimal text in units of so many decimals, exact.
fn units(value: &Value, decimals: usize) -> Result<i64, Trouble> {
    let wrong = || Trouble::Unexpected(format!("no decimal of 1e-{decimals}: {value}"));
    let text = value.as_str().ok_or_else(wrong)?;
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |digits| (-1, digits));
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() || part.len() > decimals || part.contains(['-', '+']) {
        return Err(wrong());
    }
    let number: i64 = format!("{whole}{part:0<decimals$}").parse().map_err(|_| wrong())?;
    Ok(sign * number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_whose_parts_or_fills_do_not_sum_is_found() {
        let report = |net: &str, of_fill: &str| {
            json!({
                "horizons": [{
                    "capture_quote": "0.5", "mid_move_quote": "-0.1", "fee_quote": "0.000000005",
                    "funding_quote": "-0.2", "net_edge_quote": net,
                }],
                "fills": [{ "net_edge_quote": [of_fill] }, { "net_edge_quote": [null] }],
            })
        };
        let is_so = |net, of_fill| is_sum_of_its_parts(&report(net, of_fill)).expect("decimals");
        assert!(is_so("0.599999995", "0.599999995"));
        assert!(!is_so("0.599999994", "0.599999994"), "parts");
        assert!(!is_so("0.599999995", "0.5"), "fills");
        assert!(!is_sum_of_its_parts(&json!({})).expect("no row"), "nothing proves nothing");
        assert!(is_sum_of_its_parts(&report("x", "0")).is_err());
    }

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
