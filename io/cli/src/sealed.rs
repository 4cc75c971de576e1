//! A report under a seal: what was found, what it is bound to, the hash of each raw record, and a
//! seal over its own bytes; with a page for people beside it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use keel_core::units::UnixNanos;
use keel_io::cold::daily::utc_text;
use serde_json::{Value, json};

use crate::golive::bundle;

/// The name of the newest report; its page has the same one.
pub const LATEST: &str = "latest.json";
/// The key of the seal, and what stands there while the seal is made.
const SEAL: &str = "\"seal\": \"";
const BLANK: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// Writes the report on what lies in `dir` and its `page`, there under the name `own` and as the
/// newest of `out`. `told` is what the report says beside time and hashes.
///
/// # Errors
/// When a record cannot be read or the report not be written.
pub(crate) fn write(
    out: &Path,
    dir: &Path,
    own: &str,
    now: UnixNanos,
    (mut told, page): (Value, &str),
) -> Result<(), String> {
    told["keel"] = env!("CARGO_PKG_VERSION").into();
    told["made_utc"] = utc_text(now).into();
    told["made_ns"] = now.0.to_string().into();
    told["dir"] = dir.display().to_string().into();
    told["records"] = json!(records(dir)?);
    told["seal"] = BLANK.into();
    let text = format!("{told:#}\n");
    let seal = bundle::hash(text.as_bytes());
    let text = text.replacen(&format!("{SEAL}{BLANK}"), &format!("{SEAL}{seal}"), 1);
    for path in [dir.join(own), out.join(LATEST)] {
        for (path, text) in [(path.with_extension("html"), page), (path, &text)] {
            fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
        }
    }
    Ok(())
}

/// Reads a report whose seal holds and whose raw records are what they were.
///
/// # Errors
/// What was changed, or is missing.
pub fn open(path: &Path) -> Result<Value, String> {
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let changed = || format!("{}: changed after it was made", path.display());
    let at = text.find(SEAL).ok_or_else(changed)? + SEAL.len();
    let seal = text.get(at..at + BLANK.len()).ok_or_else(changed)?;
    if bundle::hash(text.replacen(seal, BLANK, 1).as_bytes()) != seal {
        return Err(changed());
    }
    let report: Value = serde_json::from_str(&text).map_err(|_| changed())?;
    let dir = dir_of(&report);
    let found = json!(records(&dir)?);
    if found == report["records"] {
        return Ok(report);
    }
    let (then, now) = (report["records"].as_object(), found.as_object());
    let (then, now) = (then.into_iter().flatten(), now.ok_or_else(changed)?);
    let other = then.into_iter().find(|(name, hash)| now.get(*name) != Some(hash));
    let what = other.map_or("a record too many".to_owned(), |(name, _)| name.clone());
    Err(format!("{}: {what} is not what it was", dir.display()))
}

/// Where the raw records of a report lie.
pub fn dir_of(report: &Value) -> PathBuf {
    PathBuf::from(report["dir"].as_str().unwrap_or_default())
}

/// The raw records in `dir`: tables, record and logs, by their paths, with their hashes.
fn records(dir: &Path) -> Result<BTreeMap<String, String>, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        let told = |error: std::io::Error| format!("{}: {error}", folder.display());
        for entry in fs::read_dir(&folder).map_err(told)? {
            let path = entry.map_err(told)?.path();
            let name = path.strip_prefix(dir).expect("below it").display().to_string();
            if path.is_dir() {
                folders.push(path);
            } else if is_record(&name) {
                let bytes = fs::read(&path).map_err(told)?;
                found.insert(name, bundle::hash(&bytes));
            }
        }
    }
    Ok(found)
}

/// Whether a file is judged, or tells how the figures came about. Keys are in none of these.
fn is_record(name: &str) -> bool {
    name.ends_with(".csv")
        || name.ends_with("keel.log")
        || name.ends_with("/config.toml")
        || name == keel_io::soak::record::FILE
}
