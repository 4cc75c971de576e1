//! The gate of live mode: two bundles of the disk, as [`keel_io::mode::live`] judges them.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use keel_core::units::UnixNanos;
use keel_io::mode::live::{self, Item, LiveTrading, Part, Refusal, Shown, Signed, Wanted};
use serde_json::Value;

use super::bundle::{self, Bundle};
use super::policy_hash;
use crate::config::{self, Config};

/// Judges the evidence that `[live]` names.
///
/// # Errors
/// Everything that is missing, as a person reads it.
pub(crate) fn permit(config: &Config, now: UnixNanos) -> Result<LiveTrading, String> {
    let wanted = wanted(config).map_err(|error| format!("this program: {error}"))?;
    let drills = part(config.live.drills.as_deref(), "[live] drills names no bundle");
    let account = part(config.live.account.as_deref(), "[live] account names no bundle");
    live::permit(&drills, &account, &wanted, now).map_err(|refusals| text(&refusals))
}

/// What is asked for: this program, this configuration.
fn wanted(config: &Config) -> std::io::Result<Wanted> {
    Ok(Wanted {
        // The program as it runs, also when its file has been replaced since.
        binary: bundle::hash(&fs::read("/proc/self/exe")?),
        policy: policy_hash(&config::canonical(config)),
        rest: config.venue.urls.as_ref().map(|urls| urls.rest.clone()).unwrap_or_default(),
        uid: config.venue.uid,
        instruments: config.instruments.iter().map(ToString::to_string).collect(),
        reviewer: config.live.reviewer.clone(),
    })
}

fn text(refusals: &[Refusal]) -> String {
    let mut out = "live mode is closed, and nothing was started:".to_owned();
    for refusal in refusals {
        let _ = write!(out, "\n  {refusal}");
    }
    out
}

/// The bundle in `dir`, with every hash computed again.
fn part(dir: Option<&Path>, missing: &str) -> Part {
    let Some(dir) = dir else {
        return Part { dir: "DIR".to_owned(), shown: Err(missing.to_owned()) };
    };
    let shown = Bundle::open(dir).map_err(|error| error.to_string());
    Part { dir: dir.display().to_string(), shown: shown.and_then(|bundle| shown_of(&bundle)) }
}

/// What a whole bundle says; what it does not say is refused as something else.
fn shown_of(bundle: &Bundle) -> Result<Shown, String> {
    let json = &bundle.json;
    let text = |key: &str| json[key].as_str().unwrap_or_default().to_owned();
    let made = bundle::made(json).ok_or("bundle.json: it does not say when it was made")?;
    let names = json["instruments"].as_array().into_iter().flatten();
    Ok(Shown {
        kind: text("kind"),
        hash: bundle.hash().to_owned(),
        made,
        binary: text("binary_blake3"),
        policy: text("policy_blake3"),
        sabotage: json["sabotage"].as_str().map(str::to_owned),
        items: bundle.items().iter().filter_map(|item| item_of(item, made)).collect(),
        venue: text("venue"),
        uid: json["uid"].as_str().and_then(|uid| uid.parse().ok()).unwrap_or(0),
        instruments: names.filter_map(Value::as_str).map(str::to_owned).collect(),
        signed: signed(bundle),
    })
}

fn item_of(item: &Value, made: UnixNanos) -> Option<Item> {
    let text = |key: &str| item[key].as_str().unwrap_or_default().to_owned();
    Some(Item {
        number: u8::try_from(item["number"].as_u64()?).ok()?,
        verdict: text("verdict"),
        venue: text("venue"),
        made: bundle::made(item).unwrap_or(made),
    })
}

fn signed(bundle: &Bundle) -> Result<Signed, String> {
    let found = bundle.signature().map_err(|error| error.to_string())?;
    let at = found.date_utc.parse::<jiff::Timestamp>().ok();
    let at = at.and_then(|at| i64::try_from(at.as_nanosecond()).ok());
    let at = at.ok_or("the signature does not say when it was made")?;
    Ok(Signed { decision: found.decision, key: found.key, at: UnixNanos(at) })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::item::ITEMS;
    use super::super::key::SigningKey;
    use super::*;
    use crate::golive::bundle::Decision;

    const NOW: UnixNanos = UnixNanos(1_795_000_000_000_000_000);

    fn sealed(dir: &Path) -> Bundle {
        let body = json!({
            "kind": live::ACCOUNT, "made_ns": NOW.0.to_string(), "binary_blake3": "b",
            "policy_blake3": "p", "venue": "https://api.bitget.com", "uid": "7",
            "instruments": ["BTCUSDT"], "sabotage": null,
            "items": [
                { "number": 1, "verdict": "PASS", "venue": "embedded", "made_ns": "5" },
                { "number": 2, "verdict": "FAIL" },
            ],
        });
        bundle::seal(dir, body).expect("sealed")
    }

    #[test]
    fn what_a_bundle_says_is_what_is_judged() {
        let dir = tempfile::tempdir().expect("a directory");
        let bundle = sealed(dir.path());
        let key = SigningKey::generate().expect("a key");
        bundle.sign(&key, "a person", Decision::Go, "2026-11-18T12:26:40.000Z").expect("signed");
        let shown = part(Some(dir.path()), "none").shown.expect("whole");
        let signed = shown.signed.clone().expect("signed");
        let told = (shown.kind.as_str(), shown.made, shown.uid, shown.venue.as_str());
        assert_eq!(told, (live::ACCOUNT, NOW, 7, "https://api.bitget.com"));
        assert_eq!((shown.items[0].made, shown.items[1].made), (UnixNanos(5), NOW));
        assert_eq!((signed.decision.as_str(), signed.key), ("GO", key.public().text()));
        assert_eq!(signed.at, UnixNanos(1_795_004_800_000_000_000));
    }

    #[test]
    fn a_bundle_that_is_missing_cut_off_changed_or_unsigned_says_so() {
        let dir = tempfile::tempdir().expect("a directory");
        let why = |dir: Option<&Path>| part(dir, "names none").shown.expect_err("refused");
        assert_eq!(why(None), "names none");
        assert!(why(Some(&dir.path().join("nowhere"))).contains("No such file"));
        sealed(dir.path());
        let unsigned = part(Some(dir.path()), "").shown.expect("whole").signed;
        assert!(unsigned.expect_err("unsigned").contains("keel golive sign"));
        let path = dir.path().join(bundle::BUNDLE_FILE);
        let whole = fs::read_to_string(&path).expect("there");
        fs::write(&path, &whole[..whole.len() / 2]).expect("written");
        assert!(why(Some(dir.path())).starts_with("bundle.json: "));
        fs::write(&path, whole.replacen("FAIL", "PASS", 1)).expect("written");
        assert!(why(Some(dir.path())).contains("changed after it was made"));
    }

    #[test]
    fn both_sides_count_the_same_items() {
        assert_eq!(ITEMS.len(), usize::from(live::ITEMS));
    }
}
