//! The report of a kill: `reports/kill_switch/latest.json` and a dated copy.

use std::path::{Path, PathBuf};

use keel_core::units::{MonoNanos, UnixNanos};
use serde_json::{Value, json};

use super::flatten::{Flatten, Status};
use super::work::{Seen, Stage, Triggers, Work};
use super::{Close, Kill};
use crate::cold::daily::{grid_text, utc_text};
use crate::disk::{self, Refused};

/// What a kill has done so far, for people and files.
#[derive(Clone, Debug)]
pub struct Report {
    /// Everything, as it stands in the file; without time and instance.
    pub body: Value,
    /// Zero has been verified.
    pub verified: bool,
    /// Zero was verified again after nothing more could appear.
    pub finished: bool,
    /// Orders that are known to rest.
    pub open: usize,
}

impl Kill {
    /// What has been done so far; `None` before the first mandate.
    pub fn report(&self, now: MonoNanos) -> Option<Report> {
        let work = self.work.as_ref()?;
        Some(Report {
            body: self.body(work, now),
            verified: work.verified.is_some(),
            finished: work.finished.is_some(),
            open: work.open.len(),
        })
    }

    fn body(&self, work: &Work, now: MonoNanos) -> Value {
        let since = |at: Option<MonoNanos>| {
            at.map(|at| Value::from(millis(at.since(work.mandate.decided))))
        };
        let error = if work.finished.is_some() { "" } else { self.last_error().unwrap_or("") };
        let (mut canceled, mut failed) = (Vec::new(), Vec::new());
        for (id, seen) in &work.seen {
            if seen.canceled && (seen.over || seen.failed == 0) {
                canceled.push(id.to_string());
            } else if !seen.over && !work.mandate.dry_run {
                failed.push(json!({ "orderId": id.to_string(), "code": seen.failed }));
            }
        }
        let before: Vec<_> = work.seen.iter().map(|(id, seen)| order(*id, seen)).collect();
        let triggers: Vec<_> = work.triggers.iter().map(u64::to_string).collect();
        let after = |order: &keel_net::bitget::rest::Listed| {
            json!({
                "orderId": order.order_id.to_string(),
                "clientOid": order.client,
                "symbol": order.symbol.as_str(),
            })
        };
        let touched = work.seen.len() + work.triggers.len();
        json!({
            "trigger": work.mandate.trigger.text(),
            "reasons": work.mandate.reasons,
            "dry_run": work.mandate.dry_run,
            "trading_pair": work.mandate.only.map_or("all".to_owned(), |one| one.to_string()),
            "status": status(work),
            "vacuous": !work.mandate.dry_run && touched == 0,
            "error": error,
            "orders_before": before,
            "trigger_orders": triggers,
            "trigger_orders_read": work.trigger_orders == Triggers::Gone,
            "canceled": canceled,
            "failed": failed,
            "orders_after": work.open.iter().map(after).collect::<Vec<_>>(),
            "read_back": if work.asks_by_order() {
                "unfilled-orders twice, each order seen is over in history-orders or order-info"
            } else {
                "unfilled-orders twice, cancel-symbol-order names none"
            },
            "flatten": self.flatten(work),
            "position_after": self.positions(work),
            "elapsed_ms": since(work.verified).unwrap_or_else(|| {
                Value::from(millis(now.since(work.mandate.decided)))
            }),
            "finished_ms": since(work.finished),
            "requests": work.requests,
            "rate_refused": work.rate_refused,
        })
    }

    fn flatten(&self, work: &Work) -> Value {
        let Some(flatten) = &work.flatten else {
            return if work.mandate.close != Close::Nothing {
                json!({ "status": "waiting" })
            } else {
                Value::Null
            };
        };
        let status = match flatten.status() {
            None => "working",
            Some(Status::Flat) => "nothing_held",
            Some(Status::Closed) => "closed",
            Some(Status::Partial) => "partial",
            Some(Status::Disagree) => "venue_and_ledger_disagree",
        };
        let orders: Vec<_> = flatten
            .orders()
            .iter()
            .map(|order| {
                json!({
                    "trading_pair": order.symbol.as_str(),
                    "side": if order.side.sign() > 0 { "buy" } else { "sell" },
                    "amount": order.amount,
                    "order_id": order.order_id.to_string(),
                    "refused": order.refused,
                })
            })
            .collect();
        json!({ "status": status, "orders": orders })
    }

    /// The position that a flatten has left, by instrument; null where none was read.
    fn positions(&self, work: &Work) -> Value {
        let flatten = work.flatten.as_ref().filter(|flatten| flatten.is_over());
        let Some(held) = flatten.and_then(Flatten::positions) else { return Value::Null };
        let rows = self.place.rules.iter().enumerate().map(|(place, rules)| {
            let lots = held.iter().find(|(id, _)| id.index() == place).map_or(0, |(_, l)| l.0);
            (rules.symbol.to_string(), Value::from(grid_text(rules.lot, lots)))
        });
        Value::Object(rows.collect())
    }
}

/// Writes `report` as `latest.json` and as a dated copy into `dir`, made by `instance` at `utc`
/// under `incident`.
///
/// # Errors
/// What the system says.
pub fn write(
    dir: &Path,
    report: &Report,
    instance: &str,
    incident: u64,
    utc: UnixNanos,
) -> Result<PathBuf, Refused> {
    let dir = dir.join("reports").join("kill_switch");
    let files = disk::os();
    disk::make_dirs(&*files, &dir)?;
    let mut body = report.body.clone();
    body["ts_utc"] = Value::from(utc_text(utc));
    body["instance_name"] = Value::from(instance);
    body["exchange"] = Value::from("bitget");
    body["incident_id"] = Value::from(incident.to_string());
    let text = serde_json::to_string_pretty(&body).expect("JSON of strings and numbers") + "\n";
    let stamp: String = utc_text(utc).chars().filter(char::is_ascii_alphanumeric).collect();
    disk::replace(&*files, &dir.join(format!("{stamp}.json")), text.as_bytes())?;
    let latest = dir.join("latest.json");
    disk::replace(&*files, &latest, text.as_bytes())?;
    Ok(latest)
}

fn status(work: &Work) -> &'static str {
    let flattened = work.flatten.as_ref().and_then(|flatten| flatten.status());
    match (work.mandate.dry_run, work.verified) {
        (true, _) if work.stage == Stage::Over => "dry_run",
        (true, _) => "error",
        (false, None) => "partial",
        (false, Some(_)) if matches!(flattened, Some(Status::Partial | Status::Disagree)) => {
            "partial"
        }
        (false, Some(_)) if work.trigger_orders != Triggers::Gone => "partial",
        (false, Some(_)) => "executed",
    }
}

fn order(id: u64, seen: &Seen) -> Value {
    json!({
        "orderId": id.to_string(),
        "clientOid": seen.client,
        "symbol": seen.symbol.map_or(String::new(), |symbol| symbol.to_string()),
    })
}

/// Milliseconds with three decimals.
fn millis(nanos: u64) -> f64 {
    (nanos / 1_000) as f64 / 1_000.0
}
