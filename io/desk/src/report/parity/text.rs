//! The report as JSON, as a page, and on a terminal.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::super::interval::Interval;
use super::super::page::{self, Point, escaped};
use super::rows::Rows;
use super::verdict::{Compared, Report, rule};

/// The report as it stands in a file: what it says, and its rule.
pub fn json(report: &Report) -> Value {
    json!({
        "rule": rule(),
        "verdict": report.word.of_all(),
        "blocks": report.blocks,
        "minutes_compared": report.minutes(),
        "drawn_from": report.seed,
        "direction": { "verdict": report.direction.0.text(), "why": report.direction.1 },
        "figures": report.compared.iter().map(one).collect::<Value>(),
    })
}

fn one(compared: &Compared) -> Value {
    let ends = |interval: Interval| json!([number(interval.low), number(interval.high)]);
    let [venue, paper, apart] = compared.figures.map(number);
    let [of_venue, of_paper, of_apart] = compared.intervals.map(|interval| interval.map(ends));
    json!({
        "name": compared.name,
        "unit": compared.unit,
        "venue": venue,
        "venue_95": of_venue,
        "paper": paper,
        "paper_95": of_paper,
        "compared_by": compared.by,
        "apart": apart,
        "apart_95": of_apart,
        "tolerated": ends(compared.tolerated),
        "rests_on": compared.seen,
        "verdict": compared.word.text(),
        "why": compared.why,
    })
}

/// Six digits, and nothing for what is no number.
fn number(value: f64) -> Value {
    if !value.is_finite() {
        return Value::Null;
    }
    let text = format!("{value:.6}");
    if text == "-0.000000" { "0.000000".into() } else { text.into() }
}

/// The report on a terminal.
pub fn lines(report: &Report) -> String {
    let mut out = format!(
        "{:<20}{:>11}{:>11}{:>11}{:>22}{:>18}\n",
        "", "venue", "paper", "apart", "95 %", "tolerated"
    );
    for one in &report.compared {
        let [venue, paper, apart] = one.figures.map(short);
        let interval = one.intervals[2].map_or_else(|| "-".to_owned(), span);
        let _ = writeln!(
            out,
            "{:<20}{venue:>11}{paper:>11}{apart:>11}{interval:>22}{:>18}  {}",
            one.name,
            span(one.tolerated),
            one.word.text(),
        );
    }
    let (word, why) = &report.direction;
    let _ = writeln!(out, "both earn, or both lose: {}, {why}", word.text());
    out
}

fn short(value: f64) -> String {
    if value.is_finite() { format!("{value:.3}") } else { "-".to_owned() }
}

fn span(interval: Interval) -> String {
    format!("{} .. {}", short(interval.low), short(interval.high))
}

/// The report as one page with drawings; it asks for nothing from outside.
pub fn html(report: &Report, venue: &Rows, paper: &Rows) -> String {
    let mut body = format!(
        "<h1>Paper and venue: {}</h1>\n<p>{}</p>\n<p>No evidence of edge in a real market: market, \
         fills and fees are simulated.</p>\n",
        report.word.of_all(),
        escaped(&rule()),
    );
    let points: Vec<Point> = report.compared.iter().filter_map(point).collect();
    body.push_str(&page::points(
        "Paper against venue, as a share of what is tolerated, with its 95 % interval",
        &points,
    ));
    body.push_str(&page::curve("Profit at the venue, USDT", &profit(venue)));
    body.push_str(&page::curve("Profit on paper, USDT", &profit(paper)));
    body.push_str(
        "<table class=\"n\"><tr><th>Figure<th>Unit<th>Venue<th>Paper<th>Apart<th>95 %\
         <th>Tolerated<th>Verdict<th>Why</tr>\n",
    );
    for one in &report.compared {
        let [venue, paper, apart] = one.figures.map(short);
        let interval = one.intervals[2].map_or_else(|| "-".to_owned(), span);
        let _ = writeln!(
            body,
            "<tr><td>{}<td>{}<td>{venue}<td>{paper}<td>{apart}<td>{interval}<td>{}<td>{}<td>{}\
             </tr>",
            one.name,
            one.unit,
            span(one.tolerated),
            one.word.text(),
            escaped(&one.why),
        );
    }
    body.push_str("</table>\n");
    page::page("parity", &body)
}

/// A figure on a scale on which 1 is the edge of the tolerance.
fn point(one: &Compared) -> Option<Point> {
    let edge = one.tolerated.high;
    let scaled = |value: f64| match one.by {
        "ratio" => value.ln() / edge.ln(),
        _ => value / edge,
    };
    let Interval { low, high } = one.intervals[2]?;
    let (value, range) = (scaled(one.figures[2]), Some((scaled(low), scaled(high))));
    value.is_finite().then(|| Point { name: one.name.to_owned(), value, range })
}

/// What was earned by each minute.
fn profit(rows: &Rows) -> Vec<(f64, f64)> {
    let begun = rows.minutes.first().map_or(0, |row| row.equity);
    let of = |row: &super::Minute| (row.minute as f64, (row.equity - begun) as f64 / 1e8);
    rows.minutes.iter().map(of).collect()
}

/// The lines of `[paper]` by which its requests travel as long as those of these rows did at the
/// venue: from sending to the first answer. `None` below a hundred answers.
pub fn calibration(venue: &Rows) -> Option<String> {
    let answered = venue.orders.iter().filter(|order| order.answered > 0);
    let mut waits: Vec<i64> = answered.map(|order| order.answered - order.sent).collect();
    if waits.len() < ANSWERS_MIN {
        return None;
    }
    waits.sort_unstable();
    let last = waits.len() - 1;
    let points = [("min", 0), ("p50", last / 2), ("p99", last * 99 / 100), ("max", last)];
    let mut out = format!("# from {} answers of the venue\n[paper]\n", waits.len());
    for (name, place) in points {
        // To the millisecond above: nobody is told to be faster than was seen.
        let millis = (waits[place].max(0) as u64).div_ceil(1_000_000);
        let _ = writeln!(out, "latency_{name}_ms = {millis}");
    }
    Some(out)
}

/// Answers below which nothing is calibrated.
const ANSWERS_MIN: usize = 100;
