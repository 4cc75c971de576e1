//! What one check cannot run, taken from the bundle of another: of the same program and rules,
//! whole, of a sound system, and passed. It keeps its venue, its time and its records.

use std::fs;
use std::path::Path;

use keel_io::mode::live;
use serde_json::Value;

use super::Judged;
use super::bundle::Bundle;
use super::evidence::Verdict;

/// Another bundle.
pub(super) struct Join {
    bundle: Bundle,
    name: String,
}

impl Join {
    /// Opens it, when it is of what `head` says of this check.
    pub(super) fn open(dir: &Path, head: &Value) -> Result<Self, String> {
        let name = dir.display().to_string();
        let bundle = Bundle::open(dir).map_err(|error| format!("--join {name}: {error}"))?;
        let same = |key: &str| bundle.json[key] == head[key];
        let why = if bundle.json["kind"] != live::DRILLS {
            "holds no drills"
        } else if !same("binary_blake3") {
            "is of another program"
        } else if !same("policy_blake3") {
            "is of other rules"
        } else if !bundle.json["sabotage"].is_null() {
            "is of a system that was broken on purpose"
        } else {
            return Ok(Self { bundle, name });
        };
        Err(format!("--join {name}: it {why}"))
    }

    /// Takes what was not run here and passed there, with its records, into `dir`.
    pub(super) fn take(&self, judged: &mut [Judged], dir: &Path) -> Result<(), String> {
        for row in judged.iter_mut().filter(|row| row.verdict() == Verdict::NotRun) {
            let of_row = |item: &&Value| item["number"] == row.item.number;
            let Some(item) = self.bundle.items().iter().find(of_row) else { continue };
            if item["verdict"] != "PASS" {
                continue;
            }
            for record in item["records"].as_array().into_iter().flatten() {
                self.copy(record.as_str().unwrap_or_default(), dir)?;
            }
            let mut item = item.clone();
            item["joined_from"] = self.bundle.hash().into();
            row.joined = Some((item, self.name.clone()));
        }
        Ok(())
    }

    fn copy(&self, record: &str, dir: &Path) -> Result<(), String> {
        let to = dir.join(record);
        let failed = |error| format!("{}: {error}", to.display());
        // A bundle that opens names its own files only; one below `..` would not be among them.
        let known = self.bundle.json["files"].as_array().into_iter().flatten();
        if !known.into_iter().any(|file| file["path"] == record) {
            return Err(format!("--join {}: {record} is not in it", self.name));
        }
        fs::create_dir_all(to.parent().unwrap_or(dir)).map_err(failed)?;
        fs::copy(self.bundle.dir().join(record), &to).map(drop).map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{bundle, item};
    use super::*;
    use keel_core::units::UnixNanos;
    use serde_json::json;

    fn sealed(dir: &Path, change: impl FnOnce(&mut Value)) {
        fs::create_dir_all(dir.join("records/09")).expect("made");
        fs::write(dir.join("records/09/a.log"), "a line\n").expect("written");
        let item = |number: u8, verdict: &str| {
            json!({ "number": number, "verdict": verdict, "venue": "embedded", "made_ns": "5",
                    "records": if number == 9 { json!(["records/09/a.log"]) } else { json!(null) } })
        };
        let mut body = json!({
            "kind": "drills", "binary_blake3": "b", "policy_blake3": "p", "sabotage": null,
            "made_ns": "5", "items": [item(8, "FAIL"), item(9, "PASS")],
        });
        change(&mut body);
        bundle::seal(dir, body).expect("sealed");
    }

    #[test]
    fn what_passed_elsewhere_is_taken_with_its_records_venue_and_time() {
        let (there, here) = (tempfile::tempdir().expect("a"), tempfile::tempdir().expect("b"));
        sealed(there.path(), |_| ());
        let head = json!({ "binary_blake3": "b", "policy_blake3": "p" });
        let join = Join::open(there.path(), &head).expect("of this program");
        let row = |number| Judged::not_run(item::item(number).expect("it"), "no", UnixNanos(9));
        let mut judged = vec![row(8), row(9), row(10)];
        join.take(&mut judged, here.path()).expect("taken");
        let verdicts = [Verdict::NotRun, Verdict::Pass, Verdict::NotRun];
        assert!(judged.iter().map(Judged::verdict).eq(verdicts));
        let taken = judged[1].json();
        assert_eq!((&taken["venue"], &taken["made_ns"]), (&json!("embedded"), &json!("5")));
        assert!(here.path().join("records/09/a.log").exists());
        let body = json!({ "made_ns": "9", "items": [taken] });
        let bundle = bundle::seal(here.path(), body).expect("sealed with what was taken");
        assert_eq!(bundle.oldest(), Some(UnixNanos(5)));
    }

    #[test]
    fn a_bundle_of_something_else_is_not_joined() {
        let head = json!({ "binary_blake3": "b", "policy_blake3": "p" });
        for (key, value, why) in [
            ("kind", "account", "no drills"),
            ("binary_blake3", "c", "another program"),
            ("policy_blake3", "q", "other rules"),
            ("sabotage", "withheld", "on purpose"),
        ] {
            let dir = tempfile::tempdir().expect("a directory");
            sealed(dir.path(), |body| body[key] = value.into());
            let refused = Join::open(dir.path(), &head).err().expect("refused");
            assert!(refused.contains(why), "{refused}");
        }
        let dir = tempfile::tempdir().expect("a directory");
        sealed(dir.path(), |_| ());
        fs::write(dir.path().join("records/09/a.log"), "another\n").expect("written");
        assert!(Join::open(dir.path(), &head).is_err(), "changed");
    }
}
