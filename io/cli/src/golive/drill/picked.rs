//! A report that is picked up: whole, of this program and these rules, and fresh.

use std::fs;
use std::path::Path;

use keel_core::units::UnixNanos;
use serde_json::Value;

use super::{Evidence, Stage, Trouble};
use crate::golive::stage::Bound;
use crate::golive::{FRESH, bundle};
use crate::sealed;

/// Which report.
pub(super) struct Wanted<'w> {
    /// Where it lies.
    pub(super) path: &'w Path,
    /// Its name among the records.
    pub(super) name: &'w str,
    /// Where it must have run: as a claim, and as it stands in the report.
    pub(super) ran_on: [&'w str; 2],
}

/// Opens it and claims all that makes it evidence; `None` when it is not what it was. What it
/// found is for the caller to judge, from its records.
///
/// # Errors
/// When something cannot be read or kept.
pub(super) fn report(
    stage: &Stage,
    bound: &Bound,
    evidence: &mut Evidence,
    wanted: &Wanted<'_>,
) -> Result<Option<Value>, Trouble> {
    const WHOLE: &str = "report and raw records are what they were";
    let binary = bundle::hash(&fs::read(stage.keel_path())?);
    let report = match sealed::open(wanted.path) {
        Ok(report) => report,
        Err(changed) => {
            evidence.claim(WHOLE, false, changed);
            return Ok(None);
        }
    };
    evidence.keep_file(wanted.name, wanted.path)?;
    let records = report["records"].as_object().map_or(0, serde_json::Map::len);
    evidence.claim(WHOLE, true, format!("{records} records, each with its hash"));
    let [ran_on, label] = wanted.ran_on;
    let text = |key: &str| report[key].as_str().unwrap_or("none").to_owned();
    for (claim, key, wanted) in [
        ("it is of this program", "binary_blake3", &*binary),
        ("it is of these rules", "policy_blake3", &*bound.policy),
        (ran_on, "label", label),
        ("it ran on the venue that is asked for", "venue", "embedded"),
    ] {
        evidence.claim(claim, text(key) == wanted, format!("{key} {}", text(key)));
    }
    is_fresh(evidence, &report, bound.now);
    Ok(Some(report))
}

fn is_fresh(evidence: &mut Evidence, report: &Value, now: UnixNanos) {
    let made = report["made_ns"].as_str().and_then(|text| text.parse::<i64>().ok());
    let limit = i64::try_from(FRESH.as_nanos()).unwrap_or(i64::MAX);
    let age = made.map(|made| now.0.saturating_sub(made));
    evidence.claim(
        "it is not older than seven days, and not from the future",
        age.is_some_and(|age| (0..=limit).contains(&age)),
        format!("made {}", report["made_utc"].as_str().unwrap_or("nobody knows when")),
    );
}
