//! The comparison as JSON and on a terminal.

use std::fmt::Write as _;

use keel_io::cold::daily::{e8_text, trimmed};
use serde_json::{Value, json};

use super::super::interval::Interval;
use super::{Comparison, Figures, METRICS, MODELS, Metric};

/// The comparison as it is kept: every metric by model with its interval, every seed, every hour.
pub fn json(comparison: &Comparison) -> Value {
    let interval = |found: &Option<Interval>| found.map(|found| [found.low, found.high]);
    let metrics = METRICS.iter().map(|metric| {
        let compared = comparison.of(metric);
        let side = |(mean, range): &(f64, Option<Interval>)| {
            json!({ "mean": mean, "low_high": interval(range) })
        };
        json!({
            "name": metric.name,
            "unit": metric.unit,
            MODELS[0]: side(&compared.means[0]),
            MODELS[1]: side(&compared.means[1]),
            "difference": side(&compared.difference),
        })
    });
    let seeds = comparison.seeds.iter().map(|(seed, [regime, glft])| {
        json!({ "seed": seed, MODELS[0]: figures(regime), MODELS[1]: figures(glft) })
    });
    json!({
        "report": "models",
        "format": FORMAT,
        "profile": comparison.profile,
        "glft_gamma": trimmed(e8_text(comparison.gamma_e8)),
        "hours": comparison.hours,
        "interval": "Student's, 95 %, over seeds; of the difference seed by seed",
        "metrics": metrics.collect::<Value>(),
        "seeds": seeds.collect::<Value>(),
    })
}

fn figures(figures: &Figures) -> Value {
    let totals: serde_json::Map<String, Value> =
        METRICS.iter().map(|metric| (key(metric), Value::from((metric.of)(figures)))).collect();
    let hours = figures.by_hour.iter().map(|hour| {
        json!({ "fills": hour.fills, "traded_quote": hour.notional, "profit_quote": hour.pnl })
    });
    json!({ "totals": totals, "hours": hours.collect::<Value>() })
}

/// A metric's name as a key of totals over a life.
fn key(metric: &Metric) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    let name: String = metric.name.chars().map(plain).collect();
    name.replace("__", "_")
}

/// The comparison on a terminal.
pub fn lines(comparison: &Comparison) -> String {
    let Comparison { profile, gamma_e8, hours, seeds } = comparison;
    let gamma = trimmed(e8_text(*gamma_e8));
    let mut out = format!(
        "{} seeds of {hours} h each, profile {profile}, glft_gamma {gamma}; means over seeds\n\n",
        seeds.len()
    );
    let [regime, glft] = MODELS;
    let _ = writeln!(out, "{:<36}{regime:>12}{glft:>12}{:>14}{:>24}", "", "difference", "95 %");
    for metric in METRICS {
        let compared = comparison.of(metric);
        let name = format!("{}, {}", metric.name, metric.unit);
        let [(regime, _), (glft, _)] = compared.means;
        let (difference, range) = compared.difference;
        let range =
            range.map_or("-".to_owned(), |Interval { low, high }| format!("{low:.4} .. {high:.4}"));
        let _ = writeln!(out, "{name:<36}{regime:>12.4}{glft:>12.4}{difference:>14.4}{range:>24}");
    }
    out.push_str(
        "\nThe interval is of the difference, seed by seed: one that holds zero says that these \
         seeds do not tell the two apart.\nNo evidence of edge in a real market: market, fills \
         and fees are simulated.\n",
    );
    out
}

/// Of the JSON; a reader refuses another.
const FORMAT: u32 = 1;
