//! The go-live gate: drills judged by a machine, a bundle that cannot be changed unseen, and a
//! signature under it.

mod account;
pub mod bundle;
mod demo;
pub mod drill;
pub mod evidence;
pub(crate) mod gate;
pub mod item;
mod join;
pub mod key;
mod page;
pub mod policy;
pub mod stage;
pub mod tap;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use keel_core::units::UnixNanos;
use keel_io::clock::Clock;
use keel_io::cold::daily::{hex, utc_text};
use keel_io::mode::live;
use serde_json::{Value, json};

use self::bundle::{Bundle, Decision};
use self::demo::Demo;
use self::evidence::{Evidence, Label, Verdict};
use self::item::{ITEMS, Item};
use self::join::Join;
use self::key::SigningKey;
use self::policy::Policy;
use self::stage::{Bound, Sabotage, Stage, Trouble};
use crate::args::{CheckArgs, DecisionArg, GoliveCommand, SignArgs, VenueArg};
use crate::config::{self, Config};
use crate::exit::Exit;
use crate::{complain, configuration, print};

/// Drills that go on at the same time: most of the time they wait.
const AT_ONCE: usize = 2;
/// Drills older than this sign no GO.
pub(crate) const FRESH: Duration = Duration::from_nanos(live::DRILLS_NS_MAX);
/// Nor does a reading of the account that is older than this.
const FRESH_ACCOUNT: Duration = Duration::from_nanos(live::ACCOUNT_NS_MAX);

/// `keel golive`.
pub(crate) fn run(command: GoliveCommand) -> Exit {
    match command {
        GoliveCommand::Check(args) => check(&args),
        GoliveCommand::Keygen { out } => keygen(&out),
        GoliveCommand::Sign(args) => sign(&args),
        GoliveCommand::Verify { bundle } => verify(&bundle),
    }
}

/// How one item went.
struct Judged {
    item: &'static Item,
    /// Where its drill runs and what it does; `None` where there is none.
    drill: Option<(Label, &'static str)>,
    /// Of which venue the evidence is, as live mode judges it.
    venue: String,
    made: UnixNanos,
    evidence: Option<Evidence>,
    /// Which values of the configuration its drill has set otherwise, and why.
    set: Value,
    /// Only what can be read is judged: boxes that need something to happen are left out.
    reads: bool,
    /// Why it was not run.
    not_run: Option<String>,
    /// As it stands in another bundle, with that one's name, when it was taken from there.
    joined: Option<(Value, String)>,
    trouble: Option<String>,
    took: Duration,
}

impl Judged {
    /// An item that was not run, for a reason.
    fn not_run(item: &'static Item, why: &str, made: UnixNanos) -> Self {
        Self {
            item,
            drill: None,
            venue: live::EMBEDDED.to_owned(),
            made,
            evidence: None,
            set: Value::Null,
            reads: false,
            not_run: Some(why.to_owned()),
            joined: None,
            trouble: None,
            took: Duration::ZERO,
        }
    }

    /// An item of part B.
    fn read(item: &'static Item, evidence: Evidence, venue: &str, made: UnixNanos) -> Self {
        let drill = Some((Label::Wire, "reads what the venue says"));
        let (venue, evidence) = (venue.to_owned(), Some(evidence));
        Self { drill, venue, evidence, reads: true, ..Self::not_run(item, "", made) }
    }

    fn verdict(&self) -> Verdict {
        match (&self.evidence, &self.trouble) {
            // What did not pass there is not taken.
            (None, _) if self.joined.is_some() => Verdict::Pass,
            (None, _) => Verdict::NotRun,
            (Some(_), Some(_)) => Verdict::Fail,
            (Some(evidence), None) if self.reads => evidence.read(),
            (Some(evidence), None) => evidence.verdict(),
        }
    }

    fn json(&self) -> Value {
        if let Some((json, _)) = &self.joined {
            return json.clone();
        }
        let evidence = self.evidence.as_ref();
        json!({
            "number": self.item.number,
            "title": self.item.title,
            "verdict": self.verdict().text(),
            "venue": self.venue,
            "made_ns": self.made.0.to_string(),
            "label": self.drill.map(|(label, _)| label.text()),
            "why": self.drill.map(|(_, why)| why),
            "findings": evidence.map(Evidence::json),
            "records": evidence.map(Evidence::records),
            "set": self.set,
            "not_run": self.not_run.as_ref().filter(|_| evidence.is_none()),
            "trouble": self.trouble,
            "took_ms": u64::try_from(self.took.as_millis()).unwrap_or(u64::MAX),
        })
    }

    /// The findings that do not hold, or why there are none.
    fn remark(&self) -> String {
        if let Some((_, from)) = &self.joined {
            return format!("from {from}");
        }
        if let Some(trouble) = &self.trouble {
            return trouble.clone();
        }
        let Some(evidence) = &self.evidence else {
            return self.not_run.clone().unwrap_or_default();
        };
        let failed = evidence.findings().iter().find(|finding| !finding.holds);
        match (failed, evidence.unproved().next()) {
            (Some(finding), _) => format!("{}: {}", finding.claim, finding.seen.trim()),
            (None, Some(unproved)) if !self.reads => {
                format!("the drill does not prove the box \"{unproved}\"")
            }
            (None, _) => format!("{} findings", evidence.findings().len()),
        }
    }
}

fn check(args: &CheckArgs) -> Exit {
    let config = match configuration(args.config.as_deref(), None) {
        Ok((config, _)) => config,
        Err(issues) => {
            complain(&issues);
            return Exit::Usage;
        }
    };
    if args.account {
        return account::check(args, &config);
    }
    let demo = match args.venue {
        VenueArg::Embedded => None,
        VenueArg::Demo => match Demo::of(&config) {
            Ok(demo) => Some(demo),
            Err((exit, what)) => {
                complain(&what);
                return exit;
            }
        },
    };
    match carry_out(args, &config, demo.as_ref()) {
        Ok((dir, judged)) => tell(args, &dir, &judged),
        Err(what) => {
            complain(&what);
            Exit::Failed
        }
    }
}

/// Runs the drills that are asked for and seals the bundle.
fn carry_out(
    args: &CheckArgs,
    config: &Config,
    demo: Option<&Demo>,
) -> Result<(PathBuf, Vec<Judged>), String> {
    let keel = std::env::current_exe().map_err(|error| format!("this program: {error}"))?;
    let made = Clock::start().utc();
    let mut body = head(config, made)?;
    let join = args.join.as_deref().map(|dir| Join::open(dir, &body)).transpose()?;
    let dir = args.out.join(stamp(made));
    fs::create_dir_all(&dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    let sabotage = match &args.planted {
        Some(defect) => Sabotage::Planted(defect.clone()),
        None if args.withheld => Sabotage::Withheld,
        None => Sabotage::None,
    };
    let scratch = std::env::temp_dir().join(format!("keel-golive-{}", std::process::id()));
    let asked = |item: &Item| args.item.is_empty() || args.item.contains(&item.number);
    let policy = policy_hash(&config::canonical(config));
    let (soak, parity) = (args.soak.clone(), args.parity.clone());
    let bound = Bound { policy, soak, parity, now: made };
    let rules = Policy::of(config);
    let with = With { keel: &keel, sabotage: &sabotage, bound: &bound, rules: &rules, demo };
    let mut judged = all_judged(|item| judge(item, asked(item), &with, &scratch, &dir));
    // Best effort: what is left lies in the system's temporary directory.
    let _ = fs::remove_dir_all(&scratch);
    if let Some(join) = &join {
        join.take(&mut judged, &dir)?;
    }
    body["kind"] = live::DRILLS.into();
    body["venue"] = demo.map_or(live::EMBEDDED, |demo| &*demo.venue).into();
    body["sabotage"] = sabotage.text().into();
    body["items"] = judged.iter().map(Judged::json).collect::<Vec<_>>().into();
    write(&dir.join("checklist.md"), &page::checklist(&body))?;
    write(&dir.join("index.html"), &page::html(&body, &[]))?;
    let bundle = bundle::seal(&dir, body).map_err(|error| error.to_string())?;
    let latest = json!({ "bundle": dir, "bundle_blake3": bundle.hash(), "items": bundle.items() });
    write(&args.out.join("latest.json"), &text_of(&latest))?;
    Ok((dir, judged))
}

/// What every bundle begins with: when, by which program, under which configuration.
fn head(config: &Config, made: UnixNanos) -> Result<Value, String> {
    let keel = std::env::current_exe().map_err(|error| format!("this program: {error}"))?;
    let binary = fs::read(&keel).map_err(|error| format!("{}: {error}", keel.display()))?;
    Ok(json!({
        "made_utc": utc_text(made),
        "made_ns": made.0.to_string(),
        "keel": env!("CARGO_PKG_VERSION"),
        "binary_blake3": bundle::hash(&binary),
        "config_blake3": hex(&config.hash()),
        "policy_blake3": policy_hash(&config::canonical(config)),
        "mode": config.mode.to_string(),
    }))
}

/// Judges every item, some at the same time; gives them in order.
fn all_judged(judge: impl Fn(&'static Item) -> Judged + Sync) -> Vec<Judged> {
    let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                // The count hands out places; what was judged is handed over under the lock.
                while let Some(item) = ITEMS.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let judged = judge(item);
                    done.lock().expect("no drill panics").push(judged);
                }
            });
        }
    });
    let mut judged = done.into_inner().expect("no drill panics");
    judged.sort_by_key(|judged| judged.item.number);
    judged
}

/// What drills are carried out with.
struct With<'c> {
    keel: &'c Path,
    sabotage: &'c Sabotage,
    bound: &'c Bound,
    rules: &'c Policy,
    demo: Option<&'c Demo>,
}

/// Carries out the drill of an item, if it is asked for and there is one.
fn judge(item: &'static Item, asked: bool, with: &With<'_>, scratch: &Path, dir: &Path) -> Judged {
    let (began, made) = (Instant::now(), with.bound.now);
    if !asked {
        return Judged::not_run(item, "not asked for", made);
    }
    let Some(drill) = drill::drill(item.number) else {
        return Judged::not_run(item, "no drill in this build", made);
    };
    let at_demo = match with.demo.map(|demo| drill::demo::part(item.number).map(|run| (demo, run)))
    {
        Some(Err(why)) => return Judged::not_run(item, why, made),
        Some(Ok(found)) => Some(found),
        None => None,
    };
    say(&format!("{:>2} {}: {}", item.number, item.title, drill.why));
    let mut evidence = Evidence::new(dir, item);
    let own = scratch.join(format!("{:02}", item.number));
    let rules = with.rules.anew();
    let stage = Stage::new(with.keel, &own, with.sabotage, &rules);
    let done = stage.map_err(Into::into).and_then(|mut stage| {
        // A report tells nothing of a system that is broken on purpose.
        stage.bound = (*with.sabotage == Sabotage::None).then(|| with.bound.clone());
        let at_demo = at_demo.map_or(Ok(()), |(demo, run)| {
            demo.alone(&stage, |stage| run(demo, stage, &mut evidence))
        });
        let done = at_demo.and_then(|()| (drill.run)(&stage, &mut evidence));
        if done.is_err() && !matches!(done, Err(Trouble::NotMade(_))) {
            drill::keep_logs(&mut evidence, &stage.dir, "broken off")?;
        }
        done
    });
    let mut judged = Judged::not_run(item, "", made);
    judged.set = rules.set();
    judged.drill = Some((drill.label, drill.why));
    if let Some(demo) = with.demo {
        judged.venue.clone_from(&demo.venue);
    }
    match done {
        Err(Trouble::NotMade(why)) => judged.not_run = Some(why.to_owned()),
        done => {
            judged.trouble = done.err().map(|trouble| trouble.to_string());
            judged.evidence = Some(evidence);
        }
    }
    judged.took = began.elapsed();
    let (number, verdict) = (item.number, judged.verdict());
    say(&format!("{number:>2} {} after {:.1} s", verdict.text(), judged.took.as_secs_f64()));
    if verdict != Verdict::Pass {
        say(&format!("   {}", judged.remark()));
    }
    judged
}

/// Prints the table; all that was asked for must have passed.
fn tell(args: &CheckArgs, dir: &Path, judged: &[Judged]) -> Exit {
    use std::fmt::Write as _;
    let mut out = format!("\n{:<8} {:>7}  item\n", "verdict", "seconds");
    for row in judged {
        let (verdict, took) = (row.verdict().text(), row.took.as_secs_f64());
        let (number, title) = (row.item.number, row.item.title);
        let remark = row.remark();
        let _ = writeln!(out, "{verdict:<8} {took:>7.1}  {number:>2} {title} ({remark})");
    }
    let asked = |row: &&Judged| args.item.is_empty() || args.item.contains(&row.item.number);
    let passed = |row: &&Judged| row.verdict() == Verdict::Pass;
    let (all, good) =
        (judged.iter().filter(asked).count(), judged.iter().filter(asked).filter(passed).count());
    let venue = args.venue.text();
    let _ = writeln!(out, "\n{good} of {all} PASS ({venue})\nbundle: {}", dir.display());
    let printed = print(&out);
    if all == good { printed } else { Exit::Gate }
}

fn keygen(out: &Path) -> Exit {
    let made = SigningKey::generate().and_then(|key| key.save(out).map(|()| key.public()));
    match made {
        Ok(public) => print(&format!(
            "key: {}\npublic key: {}\nfingerprint: {}\n",
            out.display(),
            public.text(),
            public.fingerprint()
        )),
        Err(error) => {
            complain(&error);
            Exit::Failed
        }
    }
}

fn sign(args: &SignArgs) -> Exit {
    let key = match SigningKey::load(&args.key) {
        Ok(key) => key,
        Err(error) => {
            complain(&error);
            return Exit::Usage;
        }
    };
    let bundle = match Bundle::open(&args.bundle) {
        Ok(bundle) => bundle,
        Err(error) => {
            complain(&error);
            return Exit::Gate;
        }
    };
    let now = Clock::start().utc();
    let decision = match args.decision {
        DecisionArg::Go => Decision::Go,
        DecisionArg::NoGo => Decision::NoGo,
    };
    if decision == Decision::Go
        && let Some(refusal) = go_refusal(&bundle, now)
    {
        complain(&refusal);
        return Exit::Gate;
    }
    match bundle.sign(&key, &args.reviewer, decision, &utc_text(now)) {
        Ok(signed) => print(&format!(
            "signed: {} by {} ({})\n",
            signed.decision, signed.reviewer, signed.fingerprint
        )),
        Err(error) => {
            complain(&error);
            Exit::Failed
        }
    }
}

/// Why GO cannot be signed; `None` when it can.
fn go_refusal(bundle: &Bundle, now: UnixNanos) -> Option<String> {
    if let Some(sabotage) = bundle.json["sabotage"].as_str() {
        return Some(format!("GO is refused: the system was broken on purpose ({sabotage})"));
    }
    let short = bundle.short_of_go();
    if !short.is_empty() {
        let items = short.join("; ");
        return Some(format!("GO is refused: not every item is PASS. Missing: {items}"));
    }
    let (fresh, words) = match bundle.is_account() {
        true => (FRESH_ACCOUNT, "24 hours"),
        false => (FRESH, "7 days"),
    };
    let age = bundle.oldest().map(|made| i128::from(now.0) - i128::from(made.0));
    match age.map(u128::try_from) {
        Some(Ok(age)) if age <= fresh.as_nanos() => None,
        Some(Err(_)) => {
            Some("GO is refused: the bundle is from the future; set the clock".to_owned())
        }
        _ => Some(format!(
            "GO is refused: something in the bundle is older than {words}; run the check again"
        )),
    }
}

fn verify(dir: &Path) -> Exit {
    let bundle = match Bundle::open(dir) {
        Ok(bundle) => bundle,
        Err(error) => {
            complain(&error);
            return Exit::Gate;
        }
    };
    match bundle.signature() {
        Ok(signed) => print(&format!(
            "whole: {}\nsigned: {} by {} on {}, key {}\n",
            bundle.hash(),
            signed.decision,
            signed.reviewer,
            signed.date_utc,
            signed.fingerprint
        )),
        Err(error) => {
            complain(&error);
            Exit::Gate
        }
    }
}

/// What `[strategy] [risk] [order] [kill] [envelope]` say, as one hash: what evidence is bound to.
/// Where a key lies is no rule: demo and live have keys of their own.
pub(crate) fn policy_hash(canonical: &str) -> String {
    let mut inside = false;
    let mut policy = String::new();
    for line in canonical.lines() {
        if let Some(section) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            inside = ["strategy", "risk", "order", "kill", "envelope"].contains(&section);
        }
        if inside && !line.starts_with("key_file = ") {
            policy.push_str(line);
            policy.push('\n');
        }
    }
    bundle::hash(policy.as_bytes())
}

/// A JSON value as the text of a file.
fn text_of(value: &Value) -> String {
    format!("{value:#}\n")
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}

/// A time as the name of a directory.
pub(crate) fn stamp(utc: UnixNanos) -> String {
    utc_text(utc).chars().filter(char::is_ascii_alphanumeric).collect()
}

/// What is being done, to whoever waits.
fn say(text: &str) {
    // Where standard error is closed, nobody waits.
    let _ = writeln!(std::io::stderr(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::drill::DRILLS;
    use super::*;

    #[test]
    fn the_policy_is_five_sections_without_key_files_and_nothing_else() {
        let text = "[run]\nx = 1\n[strategy]\na = 1\n[risk]\nb = 2\n[venue]\ny = 1\n";
        let hash = policy_hash(text);
        assert_eq!(hash, policy_hash("[strategy]\na = 1\n[risk]\nb = 2\n"));
        assert_ne!(hash, policy_hash("[strategy]\na = 1\n[risk]\nb = 3\n"));
        for more in ["[order]\nc = 1\n", "[kill]\nd = 1\n", "[envelope]\ne = [1, 2]\n"] {
            assert_ne!(hash, policy_hash(&format!("{text}{more}")), "{more}");
        }
        let key = |file: &str| policy_hash(&format!("[kill]\nkey_file = \"{file}\"\nd = 1\n"));
        assert_eq!(key("demo.key"), key("live.key"));
    }

    #[test]
    fn every_drill_has_its_item_and_no_item_two() {
        for (place, drill) in DRILLS.iter().enumerate() {
            assert!(item::item(drill.item).is_some(), "{}", drill.item);
            assert!(DRILLS[..place].iter().all(|earlier| earlier.item < drill.item));
        }
    }

    fn bundle(dir: &Path, passed: bool, made: UnixNanos) -> Bundle {
        let items: Vec<Value> = ITEMS
            .iter()
            .map(|item| {
                let verdict = if passed || item.number > 1 { "PASS" } else { "FAIL" };
                json!({ "number": item.number, "verdict": verdict })
            })
            .collect();
        let body = json!({ "made_ns": made.0.to_string(), "items": items });
        bundle::seal(dir, body).expect("sealed")
    }

    fn part_b_needs_its_own_items_and_a_day(dir: &Path, now: UnixNanos) {
        let day = i64::try_from(FRESH_ACCOUNT.as_nanos()).expect("a day");
        let account = |numbers: &[u8], made: i64| {
            let item = |number: &u8| json!({ "number": number, "verdict": "PASS" });
            let items: Vec<Value> = numbers.iter().map(item).collect();
            let made = made.to_string();
            let body = json!({ "kind": live::ACCOUNT, "made_ns": made, "items": items });
            go_refusal(&bundle::seal(dir, body).expect("sealed"), now)
        };
        assert_eq!(account(&[1, 2, 14], now.0 - day), None);
        assert!(account(&[1, 2], now.0).expect("refused").contains("14 Exchange-Specific"));
        let old = account(&[1, 2, 14], now.0 - day - 1).expect("refused");
        assert!(old.contains("older than 24 hours"), "{old}");
    }

    #[test]
    fn go_needs_every_item_and_a_bundle_of_the_last_seven_days() {
        let dir = tempfile::tempdir().expect("a directory");
        let now = UnixNanos(1_795_000_000_000_000_000);
        let limit = i64::try_from(FRESH.as_nanos()).expect("days");
        let refusal = |passed, made| go_refusal(&bundle(dir.path(), passed, made), now);
        assert_eq!(refusal(true, now), None);
        let mut broken = bundle(dir.path(), true, now).json;
        broken["sabotage"] = "planted NotFoundIsGone".into();
        let broken = bundle::seal(dir.path(), broken).expect("sealed");
        assert!(go_refusal(&broken, now).expect("refused").contains("broken on purpose"));
        assert!(refusal(false, now).expect("refused").contains("1 Fee Resolution"));
        assert_eq!(refusal(true, UnixNanos(now.0 - limit)), None);
        let old = refusal(true, UnixNanos(now.0 - limit - 1)).expect("refused");
        assert!(old.contains("older than 7 days"), "{old}");
        let mut part = bundle(dir.path(), true, now).json;
        part["items"][5]["made_ns"] = (now.0 - limit - 1).to_string().into();
        let part = bundle::seal(dir.path(), part).expect("sealed");
        assert!(go_refusal(&part, now).expect("refused").contains("older than 7 days"));
        part_b_needs_its_own_items_and_a_day(dir.path(), now);
        let future = refusal(true, UnixNanos(now.0 + 1)).expect("refused");
        assert!(future.contains("from the future"), "{future}");
    }
}
