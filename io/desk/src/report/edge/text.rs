//! The report as JSON, as a page, and on a terminal.

use std::fmt::Write as _;

use keel_core::decimal::Grid;
use keel_core::event::Mode;
use keel_io::cold::daily::{e8_text, grid_text, hex, trimmed, utc_text};
use serde_json::{Value, json};

use super::super::page::{self, Point, escaped};
use super::{Fill, JUDGED, Report, Row, Sums, verdict};

/// The report as it stands in `edge_report.json`: decimals as text, in USDT, bps of notional.
pub fn json(report: &Report) -> Value {
    let all = total(&report.fills);
    let groups = report.groups.iter().map(|group| {
        json!({
            "side": group.side.to_string(),
            "regime": group.regime.text(),
            "horizons": group.rows.iter().map(row_json).collect::<Value>(),
        })
    });
    json!({
        "report": "edge",
        "format": FORMAT,
        "mode": report.mode.text(),
        "epoch": report.epoch,
        "config_hash": hex(&report.config_hash),
        "instruments": report.instruments.iter().map(|name| name.as_str()).collect::<Value>(),
        "from": report.fills.first().map(|fill| utc_text(fill.ts)),
        "to": report.fills.last().map(|fill| utc_text(fill.ts)),
        "rule": verdict::rule(),
        "judged_horizon_ms": report.rows[JUDGED].horizon / 1_000_000,
        "verdict": report.verdict.word.text(),
        "why": report.verdict.why,
        "fills_count": all.fills,
        "maker_count": report.fills.iter().filter(|fill| fill.maker).count(),
        "notional_quote": whole(all.notional),
        "fee_quote": whole(all.fee),
        "funding_quote": whole(all.funding),
        "funding_unshared_quote": e8_text(report.funding_unshared.0),
        "realized_pnl_quote":
            whole(report.fills.iter().map(|fill| i128::from(fill.realized.0)).sum()),
        "horizons": report.rows.iter().map(row_json).collect::<Value>(),
        "by_side_and_regime": groups.collect::<Value>(),
        "fills": report.fills.iter().map(fill_json).collect::<Value>(),
    })
}

fn row_json(row: &Row) -> Value {
    let sums = &row.sums;
    let bps = |amount_x2: i128| sums.bps(amount_x2).map(bps_text);
    json!({
        "horizon_ms": row.horizon / 1_000_000,
        "fills": sums.fills,
        "not_covered": row.not_covered,
        "blocks": row.blocks,
        "block_s": row.block / 1_000_000_000,
        "notional_quote": whole(sums.notional),
        "capture_quote": half(sums.capture_x2),
        "mid_move_quote": half(sums.move_x2),
        "fee_quote": whole(sums.fee),
        "funding_quote": whole(sums.funding),
        "net_edge_quote": half(sums.net_x2()),
        "capture_bps": bps(sums.capture_x2),
        "mid_move_bps": bps(sums.move_x2),
        "fee_bps": bps(2 * sums.fee),
        "funding_bps": bps(2 * sums.funding),
        "net_edge_bps": bps(sums.net_x2()),
        "net_edge_bps_low": row.edge.map(|(_, interval)| bps_text(interval.low)),
        "net_edge_bps_high": row.edge.map(|(_, interval)| bps_text(interval.high)),
    })
}

fn fill_json(fill: &Fill) -> Value {
    let net = (0..fill.worth_x2.len()).map(|at| Some(half(fill.parts(at)?.net_x2())));
    json!({
        "ts": utc_text(fill.ts),
        "trading_pair": fill.symbol.as_str(),
        "exchange_trade_id": fill.trade_id.to_string(),
        "side": fill.side.to_string(),
        "regime": fill.regime.text(),
        "is_maker": fill.maker,
        "price": e8_text(fill.price.0),
        "amount_base": grid_text(fill.lot, fill.lots.0),
        "notional_quote": e8_text(fill.notional.0),
        "fee_quote": e8_text(fill.fee.0),
        "funding_quote": e8_text(fill.funding.0),
        "realized_pnl_quote": e8_text(fill.realized.0),
        "capture_quote": fill.capture_x2.map(half),
        "markout_quote": fill.worth_x2.map(|worth_x2| worth_x2.map(half)),
        "net_edge_quote": net.collect::<Vec<_>>(),
    })
}

/// The report on a terminal.
pub fn lines(report: &Report) -> String {
    let all = total(&report.fills);
    let names: Vec<&str> = report.instruments.iter().map(|name| name.as_str()).collect();
    let mut out = format!(
        "edge of {} fills in {}, mode {}, epoch {}: notional {} USDT, fees {}, funding {}\n\n\
         bps of notional; net = capture + way of the mid - fees - funding\n{HEAD}\n",
        all.fills,
        names.join(" "),
        report.mode.text(),
        report.epoch,
        whole(all.notional),
        whole(all.fee),
        whole(all.funding),
    );
    for row in &report.rows {
        let _ = writeln!(out, "{:<32}{}", row.horizon_text(), columns(row));
    }
    out.push('\n');
    for group in &report.groups {
        let name = format!("{} {}, 30 s", group.side, group.regime.text());
        let _ = writeln!(out, "{name:<32}{}", columns(&group.rows[JUDGED]));
    }
    let _ = writeln!(out, "\n{}: {}", report.verdict.word.text(), report.verdict.why);
    if let Some(caution) = caution(report) {
        let _ = writeln!(out, "{caution}");
    }
    out
}

/// The columns of a row, right of its name.
fn columns(row: &Row) -> String {
    let sums = &row.sums;
    let mut out = format!("{:>6} {:>7}", sums.fills, row.not_covered);
    for amount_x2 in parts(sums) {
        let text = sums.bps(amount_x2).map_or("-".to_owned(), |bps| format!("{bps:.3}"));
        let _ = write!(out, " {text:>9}");
    }
    let interval = row.edge.map_or("-".to_owned(), |(_, interval)| {
        format!("{:.3} .. {:.3}", interval.low, interval.high)
    });
    let _ = write!(out, " {interval:>20} {:>6}", row.blocks);
    out
}

/// Capture, the mid's way, fees, funding, and what they come to, each as twice 1e-8 USDT.
const fn parts(sums: &Sums) -> [i128; 5] {
    [sums.capture_x2, sums.move_x2, 2 * sums.fee, 2 * sums.funding, sums.net_x2()]
}

/// What no figure of such a run says.
fn caution(report: &Report) -> Option<&'static str> {
    match report.mode {
        Mode::Sim | Mode::World | Mode::Paper => {
            Some("No evidence of edge in a real market: market, fills and fees are simulated.")
        }
        Mode::Demo | Mode::Live => None,
    }
}

/// The report as one page with drawings; it asks for nothing from outside.
pub fn html(report: &Report) -> String {
    let mut body = format!(
        "<h1>Edge of own fills: {}</h1>\n<p>{}</p>\n<p>{}</p>\n<p>{}</p>\n",
        report.verdict.word.text(),
        escaped(&report.verdict.why),
        escaped(&verdict::rule()),
        caution(report).unwrap_or_default(),
    );
    body.push_str(&drawings(report));
    body.push_str("<h2>By horizon</h2>\n");
    body.push_str(&table("Horizon", report.rows.iter().map(|row| (row.horizon_text(), row))));
    body.push_str("<h2>By side and regime, after 30 s</h2>\n");
    let groups = report.groups.iter();
    let groups = groups.map(|g| (format!("{} {}", g.side, g.regime.text()), &g.rows[JUDGED]));
    body.push_str(&table("Side and regime", groups));
    body.push_str(&newest(&report.fills));
    let _ = writeln!(
        body,
        "<p>Mode {}, epoch {}, configuration <code>{}</code>. {} fills, notional {} USDT.</p>",
        report.mode.text(),
        report.epoch,
        hex(&report.config_hash),
        report.fills.len(),
        whole(total(&report.fills).notional),
    );
    page::page("edge", &body)
}

fn drawings(report: &Report) -> String {
    let by_horizon: Vec<Point> = report
        .rows
        .iter()
        .filter_map(|row| {
            let (value, interval) = row.edge?;
            let range = Some((interval.low, interval.high));
            Some(Point { name: row.horizon_text(), value, range })
        })
        .collect();
    let sums = &report.rows[JUDGED].sums;
    let signed = [
        ("capture", sums.capture_x2),
        ("way of the mid", sums.move_x2),
        ("fees", -2 * sums.fee),
        ("funding", -2 * sums.funding),
        ("net", sums.net_x2()),
    ];
    let parts: Vec<Point> = signed
        .into_iter()
        .filter_map(|(name, amount_x2)| {
            Some(Point { name: name.to_owned(), value: sums.bps(amount_x2)?, range: None })
        })
        .collect();
    let mut sum = 0;
    let grown: Vec<(f64, f64)> = report
        .fills
        .iter()
        .filter_map(|fill| {
            sum += fill.parts(JUDGED)?.net_x2();
            Some((fill.ts.0 as f64, sum as f64 / 2e8))
        })
        .collect();
    page::points("Net edge by horizon, bps of notional, with its 95 % interval", &by_horizon)
        + &page::points("Parts of the net edge after 30 s, bps of notional", &parts)
        + &page::curve("Net edge after 30 s, summed over the fills by time, USDT", &grown)
}

fn table<'r>(name: &str, rows: impl Iterator<Item = (String, &'r Row)>) -> String {
    let mut out = format!(
        "<table class=\"n\"><tr><th>{name}<th>Fills<th>Not covered<th>Capture<th>Way of the mid\
         <th>Fees<th>Funding<th>Net, bps<th>95 %<th>Net, USDT</tr>\n"
    );
    for (name, row) in rows {
        let _ =
            write!(out, "<tr><td>{}<td>{}<td>{}", escaped(&name), row.sums.fills, row.not_covered);
        for amount_x2 in parts(&row.sums) {
            let text = row.sums.bps(amount_x2).map_or("-".to_owned(), |bps| format!("{bps:.3}"));
            let _ = write!(out, "<td>{text}");
        }
        let interval = row.edge.map_or("-".to_owned(), |(_, interval)| {
            format!("{:.3} to {:.3}", interval.low, interval.high)
        });
        let _ = writeln!(out, "<td>{interval}<td>{}</tr>", half(row.sums.net_x2()));
    }
    out.push_str("</table>\n");
    out
}

/// The newest fills, one by one; the JSON has all.
fn newest(fills: &[Fill]) -> String {
    let shown = &fills[fills.len().saturating_sub(ROWS_MAX)..];
    let mut out = format!(
        "<h2>The newest {} fills</h2>\n<table class=\"n\"><tr><th>Time<th>Instrument<th>Side\
         <th>Regime<th>Price<th>Notional<th>Capture<th>Fee<th>Funding<th>Net after 30 s</tr>\n",
        shown.len()
    );
    for fill in shown {
        let or_dash = |amount_x2: Option<i128>| amount_x2.map_or("-".to_owned(), half);
        let _ = writeln!(
            out,
            "<tr><td>{}<td>{}<td>{}<td>{}<td>{}<td>{}<td>{}<td>{}<td>{}<td>{}</tr>",
            utc_text(fill.ts),
            fill.symbol,
            fill.side,
            fill.regime.text(),
            e8_text(fill.price.0),
            e8_text(fill.notional.0),
            or_dash(fill.capture_x2),
            e8_text(fill.fee.0),
            e8_text(fill.funding.0),
            or_dash(fill.parts(JUDGED).map(|sums| sums.net_x2())),
        );
    }
    out.push_str("</table>\n");
    out
}

/// Count, notional, fee and funding of fills, covered or not.
fn total(fills: &[Fill]) -> Sums {
    let mut sums = Sums::default();
    for fill in fills {
        sums.add(&Sums {
            fills: 1,
            notional: i128::from(fill.notional.0),
            fee: i128::from(fill.fee.0),
            funding: i128::from(fill.funding.0),
            ..Sums::default()
        });
    }
    sums
}

/// An amount of 1e-8 as decimal text.
fn whole(amount: i128) -> String {
    half(amount.saturating_mul(2))
}

/// Twice an amount of 1e-8 as decimal text of the amount, exact.
fn half(amount_x2: i128) -> String {
    let most = i128::from(i64::MAX / HALF.step);
    let steps = i64::try_from(amount_x2.clamp(-most, most)).unwrap_or_default();
    trimmed(grid_text(HALF, steps))
}

/// Half of 1e-8.
const HALF: Grid = Grid { step: 5, scale: 9 };

/// Bps with four decimals, and no sign before a zero.
fn bps_text(bps: f64) -> String {
    let text = format!("{bps:.4}");
    if text == "-0.0000" { "0.0000".to_owned() } else { text }
}

/// Rises when a key changes its meaning.
const FORMAT: u32 = 1;
/// Fills that the page shows one by one.
const ROWS_MAX: usize = 200;
const HEAD: &str = "                                 fills  not c.   capture       way      fees   \
    funding       net              95 %     blocks";
