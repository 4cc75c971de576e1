//! Item 13: the report of a soak in real time, picked up where it is of this program, of these
//! rules and fresh, and judged once more from its raw rows.

use std::fs;
use std::path::Path;

use keel_io::soak::record::Record;

use super::picked::{self, Wanted};
use super::{Evidence, Stage, Trouble};
use crate::golive::policy_hash;
use crate::sealed;

/// 48 hours.
const MINUTES_MIN: u64 = 2_880;

pub(super) fn run(stage: &Stage, evidence: &mut Evidence) -> Result<(), Trouble> {
    let Some(bound) = stage.bound.as_ref().filter(|bound| bound.soak.exists()) else {
        return Err(Trouble::NotMade("no soak report; `keel soak --hours 48` makes it"));
    };
    let wanted = Wanted { path: &bound.soak, name: "soak.json", ran_on: WIRE };
    match picked::report(stage, bound, evidence, &wanted)? {
        Some(report) => again(evidence, &sealed::dir_of(&report), &bound.policy),
        None => Ok(()),
    }
}

/// A soak that counts has been lived in real time.
const WIRE: [&str; 2] = ["it ran on real sockets", "wire"];

/// What its raw rows say: nothing of the report's own verdict is believed.
fn again(evidence: &mut Evidence, dir: &Path, policy: &str) -> Result<(), Trouble> {
    let record = Record::load(dir).map_err(Trouble::Unexpected)?;
    let verdict = record.judge(dir, i64::MAX).map_err(Trouble::Unexpected)?;
    for file in ["record.json", "outside.csv"] {
        evidence.keep_file(file, &dir.join(file))?;
    }
    super::keep_tables(evidence, &dir.join("state"), "state")?;
    let lived = record.minutes >= MINUTES_MIN && record.speed == 1;
    evidence.proves(
        1,
        "48 hours in real time were lived",
        lived,
        format!("{} minutes at {} times real time", record.minutes, record.speed),
    );
    for finding in &verdict.findings {
        evidence.proves(proves(&finding.claim), &finding.claim, finding.holds, &*finding.seen);
    }
    for run in 1..=record.lived.starts {
        let path = dir.join(format!("run{run}/config.toml"));
        let text = fs::read_to_string(&path)?;
        let same = policy_hash(&text) == policy;
        evidence.claim("the engine ran by these rules", same, format!("run {run}"));
    }
    Ok(())
}

/// The box of the item that a claim proves, by its words.
fn proves(claim: &str) -> usize {
    const WORDS: [(&str, usize); 5] = [
        ("a row for every minute", 1),
        ("midnight", 2),
        ("resident memory", 3),
        ("max_active_executors", 4),
        ("funding", 5),
    ];
    WORDS.iter().find(|(words, _)| claim.contains(words)).map_or(0, |(_, place)| *place)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use keel_core::units::UnixNanos;
    use keel_io::cold::daily::utc_text;
    use keel_io::os::Figures;
    use keel_io::soak::outside::{Row, Rows};
    use keel_io::soak::{Lived, Settlements};
    use serde_json::json;

    use super::*;
    use crate::config::{Config, Sources};
    use crate::golive::evidence::Verdict;
    use crate::golive::item;
    use crate::golive::policy::Policy;
    use crate::golive::stage::{Bound, Sabotage};
    use crate::golive::{FRESH, bundle};

    const NOW: UnixNanos = UnixNanos(1_795_000_000_000_000_000);
    /// Noon.
    const FIRST: i64 = 29_900_880;
    const CONFIG: &str = "[risk]\nmax_base_pct = 0.1\n";

    /// Spoils the tables in a soak's directory, or its record.
    type Flaw = fn(&Path, &mut Record);

    fn policy() -> Policy {
        Policy::of(&Config::new(&Sources::default()).expect("good"))
    }

    /// A soak of so many minutes in `dir`, its report, and what the gate is bound to.
    fn soaked(dir: &Path, minutes: u64, speed: u32) -> Bound {
        flawed(dir, minutes, speed, |_, _| ())
    }

    /// The same, with a flaw in its rows or its record before anybody judges and seals it.
    fn flawed(dir: &Path, minutes: u64, speed: u32, flaw: Flaw) -> Bound {
        let soak = dir.join("soak/1");
        for below in ["state", "run1"] {
            fs::create_dir_all(soak.join(below)).expect("made");
        }
        fs::write(soak.join("run1/config.toml"), CONFIG).expect("written");
        tables(&soak, FIRST..FIRST + minutes as i64);
        let mut record = Record {
            minutes,
            first_minute: FIRST,
            speed,
            instruments: vec!["BTCUSDT".to_owned()],
            orders_max: 10,
            lived: Lived {
                starts: 1,
                fundings: 6,
                instants: 6,
                settlements: held_throughout(),
                balance: Some(Lived::default().wallet),
                ..Lived::default()
            },
        };
        flaw(&soak, &mut record);
        record.save(&soak).expect("written");
        let verdict = record.judge(&soak, i64::MAX).expect("whole");
        let policy = policy_hash(CONFIG);
        let told = json!({
            "label": "wire", "venue": "embedded", "policy_blake3": policy,
            "binary_blake3": bundle::hash(b"program"), "report": verdict.json(),
        });
        sealed::write(&dir.join("soak"), &soak, "soak.json", NOW, (told, "")).expect("written");
        fs::write(dir.join("keel"), "program").expect("written");
        let (soak, parity) = (dir.join("soak/latest.json"), PathBuf::new());
        Bound { policy, soak, parity, now: NOW }
    }

    /// Something is held at each of six instants.
    fn held_throughout() -> Settlements {
        let mut settlements = Settlements::default();
        for hours in 0..=48 {
            settlements.look(UnixNanos(hours * 3_600_000_000_000), vec![true]);
        }
        settlements
    }

    fn tables(soak: &Path, minutes: std::ops::Range<i64>) {
        let mut rows = Rows::open(soak).expect("made");
        let mut table = "ts,state,rss_kib,open_fds,orders_active,ws_reconnect_count,\
                         position_drift_pct,rate_headroom_pct,equity_quote,fills_count_today\n"
            .to_owned();
        let mut days = "ts\n".to_owned();
        for minute in minutes {
            let figures = Figures { rss_kib: 40_000, threads: 5, open_files: 28 };
            rows.append(&Row { minute, pid: 7, figures, open_orders: 4, looks: 60 })
                .expect("written");
            let ts = utc_text(UnixNanos(minute * 60_000_000_000));
            let fills = minute % 1_440;
            table += &format!("{ts},RUNNING,40000,27,2,0,0,0.9,10000,{fills}\n");
            if fills == 0 {
                days += &format!("{ts}\n");
            }
        }
        fs::write(soak.join("state/minute.csv"), table).expect("written");
        fs::write(soak.join("state/daily.csv"), days).expect("written");
    }

    fn judged(dir: &Path, bound: Bound) -> (Verdict, Vec<String>) {
        let mut stage =
            Stage::new(&dir.join("keel"), &dir.join("stage"), &Sabotage::None, &policy())
                .expect("made");
        stage.bound = Some(bound);
        let mut evidence = Evidence::new(&dir.join("bundle"), item::item(13).expect("an item"));
        run(&stage, &mut evidence).expect("carried out");
        let failed = evidence.findings().iter().filter(|f| !f.holds).map(|f| f.claim.clone());
        (evidence.verdict(), failed.collect())
    }

    #[test]
    fn a_whole_fresh_soak_of_this_program_passes_and_nothing_less_does() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path();
        let bound = soaked(path, 2_880, 1);
        assert_eq!(judged(path, bound.clone()), (Verdict::Pass, Vec::new()));
        let day = i64::try_from(FRESH.as_nanos() / 7).expect("a day");
        let fails = |bound: Bound, claim: &str| {
            let (verdict, failed) = judged(path, bound);
            assert_eq!(verdict, Verdict::Fail, "{claim}");
            assert!(failed.iter().any(|failed| failed.starts_with(claim)), "{claim}: {failed:?}");
        };
        let age = "it is not older than seven days";
        fails(Bound { now: UnixNanos(NOW.0 + 7 * day + 1), ..bound.clone() }, age);
        fails(Bound { now: UnixNanos(NOW.0 - 1), ..bound.clone() }, age);
        fails(Bound { policy: "another".to_owned(), ..bound.clone() }, "it is of these rules");
        fs::write(path.join("keel"), "another program").expect("written");
        fails(bound, "it is of this program");
        let short = soaked(path, 2_879, 1);
        fails(short, "48 hours in real time were lived");
        let fast = soaked(path, 2_880, 2);
        fails(fast, "48 hours in real time were lived");
    }

    /// Each row of a table, by its number from 0, as `change` makes it; `None` takes it away.
    fn rewrite(path: &Path, change: impl Fn(i64, &str) -> Option<String>) {
        let text = fs::read_to_string(path).expect("there");
        let (head, rows) = text.split_once('\n').expect("a header");
        let rows = (0..).zip(rows.lines()).filter_map(|(place, row)| change(place, row));
        let rows: String = rows.map(|row| row + "\n").collect();
        fs::write(path, format!("{head}\n{rows}")).expect("written");
    }

    #[test]
    fn each_flaw_of_two_days_fails_by_its_own_claim() {
        const MINUTES: &str = "state/minute.csv";
        const GROWN: fn(i64, &str) -> Option<String> =
            |place, row| Some(row.replace(",40000,", &format!(",{},", 40_000 + 3 * place)));
        let flaws: [(&[&str], Flaw); 9] = [
            (&["BTCUSDT: a row for every minute", "BTCUSDT: no gap"], |dir, _| {
                rewrite(&dir.join(MINUTES), |n, row| (n != 1_000).then(|| row.to_owned()));
            }),
            (&["every minute was watched"], |dir, _| {
                rewrite(&dir.join("outside.csv"), |n, row| (n != 1_000).then(|| row.to_owned()));
            }),
            (&["resident memory does not grow"], |dir, _| {
                for file in [MINUTES, "outside.csv"] {
                    rewrite(&dir.join(file), GROWN);
                }
            }),
            (&["BTCUSDT: never more open orders"], |dir, _| {
                rewrite(&dir.join(MINUTES), |n, row| {
                    Some(if n == 1_000 { row.replace(",27,2,", ",27,11,") } else { row.to_owned() })
                });
            }),
            (&["funding is settled"], |_, record| record.lived.fundings = 0),
            (&["funding is settled"], |_, record| record.lived.fundings = 5),
            (&["funding is settled"], |_, record| record.lived.fundings = 7),
            (&["BTCUSDT: the day's counters"], |dir, _| {
                rewrite(&dir.join(MINUTES), |n, row| {
                    let (row, _) = row.rsplit_once(',').expect("columns");
                    Some(format!("{row},{}", 100 + n))
                });
            }),
            (&["the venue refuses no request"], |_, record| record.lived.refused_for_rate = 1),
        ];
        for (claims, flaw) in flaws {
            let dir = tempfile::tempdir().expect("a directory");
            let bound = flawed(dir.path(), MINUTES_MIN, 1, flaw);
            let (verdict, failed) = judged(dir.path(), bound);
            assert_eq!((verdict, failed.len()), (Verdict::Fail, claims.len()), "{failed:?}");
            let told = failed.iter().zip(claims).all(|(failed, claim)| failed.starts_with(claim));
            assert!(told, "{claims:?}: {failed:?}");
        }
    }

    #[test]
    fn a_byte_changed_in_the_report_or_in_a_record_is_seen() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path();
        let bound = soaked(path, 20, 1);
        let changes: [(PathBuf, &str, &str); 5] = [
            (bound.soak.clone(), "\"holds\": true", "\"holds\":  true"),
            (bound.soak.clone(), "\"made_ns\": \"17", "\"made_ns\": \"18"),
            (bound.soak.clone(), "\"seal\": \"", "\"seal\": \"0"),
            (path.join("soak/1/outside.csv"), ",40000,", ",30000,"),
            (path.join("soak/1/record.json"), "\"kills\": 0", "\"kills\": 1"),
        ];
        for (file, from, to) in changes {
            let text = fs::read_to_string(&file).expect("there");
            let changed = text.replacen(from, to, 1);
            assert_ne!(changed, text, "{from}");
            fs::write(&file, changed).expect("written");
            let (verdict, failed) = judged(path, bound.clone());
            assert_eq!((verdict, failed.len()), (Verdict::Fail, 1), "{from}: {failed:?}");
            assert_eq!(failed[0], "report and raw records are what they were");
            fs::write(&file, text).expect("written");
        }
        fs::write(path.join("soak/1/state/more.csv"), "ts\n").expect("written");
        assert_eq!(judged(path, bound).1, ["report and raw records are what they were"]);
    }

    #[test]
    fn without_a_report_the_item_is_not_run() {
        let dir = tempfile::tempdir().expect("a directory");
        let stage =
            Stage::new(Path::new("keel"), dir.path(), &Sabotage::None, &policy()).expect("made");
        let mut evidence = Evidence::new(dir.path(), item::item(13).expect("an item"));
        let run = run(&stage, &mut evidence);
        assert!(matches!(run, Err(Trouble::NotMade(what)) if what.contains("keel soak")));
    }
}
