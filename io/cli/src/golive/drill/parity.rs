//! Item 11: the report of `keel parity`, picked up where it is of this program, of these rules and
//! fresh, and judged once more from its raw rows.

use std::fs;
use std::path::Path;

use keel_desk::report::parity::Word;

use super::picked::{self, Wanted};
use super::{Evidence, Stage, Trouble};
use crate::golive::policy_hash;
use crate::parity::{self, PAPER, VENUE};
use crate::sealed;

/// An hour.
const MINUTES_MIN: u64 = 60;
/// Both have lived the same market under virtual time.
const VIRTUAL: [&str; 2] = ["both lived one market", "virtual"];

pub(super) fn run(stage: &Stage, evidence: &mut Evidence) -> Result<(), Trouble> {
    let Some(bound) = stage.bound.as_ref().filter(|bound| bound.parity.exists()) else {
        return Err(Trouble::NotMade("no parity report; `keel parity --minutes 1440` makes it"));
    };
    let wanted = Wanted { path: &bound.parity, name: "parity.json", ran_on: VIRTUAL };
    let Some(report) = picked::report(stage, bound, evidence, &wanted)? else { return Ok(()) };
    let seed = report["seed"].as_u64().unwrap_or(0);
    again(evidence, &sealed::dir_of(&report), seed, &bound.policy)
}

/// What its raw rows say: nothing of the report's own verdict is believed.
fn again(evidence: &mut Evidence, dir: &Path, seed: u64, policy: &str) -> Result<(), Trouble> {
    let found = parity::again(dir, seed).map_err(Trouble::Unexpected)?;
    for side in [VENUE, PAPER] {
        for file in ["orders.csv", "fills.csv", "minutes.csv"] {
            let name = format!("{side}/{file}");
            evidence.keep_file(&name, &dir.join(&name))?;
        }
    }
    let text = fs::read_to_string(dir.join(parity::CONFIG))?;
    let same = policy_hash(&text) == policy;
    evidence.claim("both engines ran by these rules", same, parity::CONFIG);
    evidence.proves(
        1,
        "both lived the same market for an hour or more",
        found.minutes() >= MINUTES_MIN,
        format!("{} minutes in blocks of five", found.minutes()),
    );
    for one in &found.compared {
        let claim = format!("{} on paper and at the venue agree", one.name);
        evidence.proves(2, &claim, one.word == Word::Agree, format!("{}: {}", one.by, one.why));
    }
    let (word, why) = &found.direction;
    evidence.proves(3, "both earn, or both lose", *word == Word::Agree, &**why);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use keel_core::markout::HORIZONS;
    use keel_core::regime::Regime;
    use keel_core::units::{Side, UnixNanos};
    use keel_desk::report::parity::{End, Fill, Minute, Order, Rows};
    use serde_json::json;

    use super::*;
    use crate::config::{Config, Sources};
    use crate::golive::evidence::Verdict;
    use crate::golive::policy::Policy;
    use crate::golive::stage::{Bound, Sabotage};
    use crate::golive::{FRESH, bundle, item};

    const NOW: UnixNanos = UnixNanos(1_795_000_000_000_000_000);
    const MINUTE: i64 = 60_000_000_000;
    const CONFIG_TEXT: &str = "[risk]\nmax_base_pct = 0.1\n";

    /// So many minutes of an engine that has so many fills in each.
    fn rows(minutes: i64, fills: i64) -> Rows {
        let mut rows = Rows::default();
        let first = NOW.minute();
        for minute in first..first + minutes + 2 {
            for n in 0..fills {
                let ts = minute * MINUTE + n * 1_000_000_000;
                let side = Side::BOTH[(n % 2) as usize];
                let (sent, answered, filled, ended, end) = (ts, ts, ts + 1, ts + 1, End::Filled);
                rows.orders.push(Order { sent, side, answered, filled, ended, end });
                let worth_x2 = [Some(100); HORIZONS.len()];
                let (maker, notional, fee, capture_x2) = (true, 1_000_000, 0, Some(100));
                rows.fills.push(Fill { ts, side, maker, notional, fee, capture_x2, worth_x2 });
            }
            let regimes = [12; Regime::ALL.len()];
            rows.minutes.push(Minute { minute, equity: 1_000 + minute - first, regimes });
        }
        rows
    }

    /// A comparison in `dir`, its report, and what the gate is bound to.
    fn compared(dir: &Path, venue: &Rows, paper: &Rows) -> Bound {
        let own = dir.join("parity/1");
        for (name, rows) in [(VENUE, venue), (PAPER, paper)] {
            fs::create_dir_all(own.join(name)).expect("made");
            rows.save(&own.join(name)).expect("written");
        }
        fs::write(own.join(parity::CONFIG), CONFIG_TEXT).expect("written");
        let policy = policy_hash(CONFIG_TEXT);
        // A report whose own word is good, whatever its rows say.
        let told = json!({
            "label": "virtual", "venue": "embedded", "policy_blake3": policy, "seed": 1,
            "binary_blake3": bundle::hash(b"program"), "report": { "verdict": "PASS" },
        });
        sealed::write(&dir.join("parity"), &own, "parity.json", NOW, (told, "")).expect("written");
        fs::write(dir.join("keel"), "program").expect("written");
        let parity = dir.join("parity/latest.json");
        Bound { policy, soak: PathBuf::new(), parity, now: NOW }
    }

    fn judged(dir: &Path, bound: Bound) -> (Verdict, Vec<String>) {
        let policy = Policy::of(&Config::new(&Sources::default()).expect("good"));
        let (keel, own) = (dir.join("keel"), dir.join("stage"));
        let mut stage = Stage::new(&keel, &own, &Sabotage::None, &policy).expect("made");
        stage.bound = Some(bound);
        let mut evidence = Evidence::new(&dir.join("bundle"), item::item(11).expect("an item"));
        run(&stage, &mut evidence).expect("carried out");
        let failed = evidence.findings().iter().filter(|f| !f.holds).map(|f| f.claim.clone());
        (evidence.verdict(), failed.collect())
    }

    #[test]
    fn two_that_agree_over_an_hour_pass_and_nothing_less_does() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path();
        let hour = rows(60, 10);
        let bound = compared(path, &hour, &hour);
        assert_eq!(judged(path, bound.clone()), (Verdict::Pass, Vec::new()));
        let fails = |bound: Bound, claim: &str| {
            let (verdict, failed) = judged(path, bound);
            assert_eq!(verdict, Verdict::Fail, "{claim}");
            assert!(failed.iter().any(|failed| failed.starts_with(claim)), "{claim}: {failed:?}");
        };
        let week = i64::try_from(FRESH.as_nanos()).expect("a week");
        let age = "it is not older than seven days";
        fails(Bound { now: UnixNanos(NOW.0 + week + 1), ..bound.clone() }, age);
        fails(Bound { policy: "another".to_owned(), ..bound.clone() }, "it is of these rules");
        fs::write(path.join("keel"), "another program").expect("written");
        fails(bound, "it is of this program");
        let short = rows(55, 10);
        fails(compared(path, &short, &short), "both lived the same market for an hour or more");
        fails(compared(path, &hour, &rows(60, 6)), "fills on paper and at the venue agree");
        let few = rows(60, 1);
        fails(compared(path, &few, &few), "sells on paper and at the venue agree");
        let mut loses = hour.clone();
        loses.fills.iter_mut().for_each(|fill| fill.fee = 60);
        fails(compared(path, &hour, &loses), "both earn, or both lose");
    }

    #[test]
    fn a_row_changed_after_the_report_is_seen_and_without_a_report_the_item_is_not_run() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path();
        let hour = rows(60, 10);
        let bound = compared(path, &hour, &hour);
        let file = path.join("parity/1/paper/fills.csv");
        let text = fs::read_to_string(&file).expect("there");
        fs::write(&file, text.replacen(",100,", ",101,", 1)).expect("written");
        let whole = "report and raw records are what they were";
        assert_eq!(judged(path, bound.clone()), (Verdict::Fail, vec![whole.to_owned()]));
        let policy = Policy::of(&Config::new(&Sources::default()).expect("good"));
        let mut stage =
            Stage::new(Path::new("keel"), path, &Sabotage::None, &policy).expect("made");
        stage.bound = Some(Bound { parity: path.join("nowhere"), ..bound });
        let mut evidence = Evidence::new(path, item::item(11).expect("an item"));
        let run = run(&stage, &mut evidence);
        assert!(matches!(run, Err(Trouble::NotMade(what)) if what.contains("keel parity")));
    }
}
