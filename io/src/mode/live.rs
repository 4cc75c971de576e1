//! Live: what must be shown before real money is traded, judged in one place.
//!
//! [`LiveTrading`] is made by [`permit`] and by nothing else, and without one there is no way in
//! for orders in live mode (`super::access`). Canceling needs none. What is judged comes from two
//! bundles whose hashes have been computed again by whoever read them: the drills (part A) and the
//! account (part B).

use std::fmt;

use keel_core::units::{SECONDS, UnixNanos};

use super::access::LIVE;

/// Permission to trade for real at one venue with one account.
#[derive(Debug)]
pub struct LiveTrading {
    rest: String,
    uid: u64,
    drills: String,
}

impl LiveTrading {
    /// Whether it is for the venue at `rest` and the account `uid`.
    pub(super) fn covers(&self, rest: &str, uid: u64) -> bool {
        self.rest == rest && self.uid == uid
    }

    /// The hash of the drills that it rests on.
    pub fn drills(&self) -> &str {
        &self.drills
    }
}

/// What is to be traded with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// BLAKE3 of this program.
    pub binary: String,
    /// Hash of the rules: `[strategy] [risk] [order] [kill] [envelope]`.
    pub policy: String,
    /// The venue's REST address.
    pub rest: String,
    /// The account.
    pub uid: u64,
    /// The contracts.
    pub instruments: Vec<String>,
    /// The public key of whoever may sign; empty for nobody.
    pub reviewer: String,
}

/// A bundle as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Where, for the command that signs it; empty where none is named.
    pub dir: String,
    /// What it says of itself, or why it cannot be believed.
    pub shown: Result<Shown, String>,
}

/// What a whole bundle says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// [`DRILLS`] or [`ACCOUNT`].
    pub kind: String,
    /// Its hash.
    pub hash: String,
    /// When it was made.
    pub made: UnixNanos,
    /// By which program.
    pub binary: String,
    /// By which rules.
    pub policy: String,
    /// How the system was broken on purpose.
    pub sabotage: Option<String>,
    /// Its items.
    pub items: Vec<Item>,
    /// Part B: the venue's REST address.
    pub venue: String,
    /// Part B: the account that answered.
    pub uid: u64,
    /// Part B: the contracts that were asked about.
    pub instruments: Vec<String>,
    /// Its signature, or why there is none.
    pub signed: Result<Signed, String>,
}

/// One item of a bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Its number.
    pub number: u8,
    /// Its verdict.
    pub verdict: String,
    /// Where it was judged: `embedded`, or `demo at` and an address.
    pub venue: String,
    /// When.
    pub made: UnixNanos,
}

/// A signature that is of this bundle by this key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// `GO` or `NO-GO`.
    pub decision: String,
    /// The public key.
    pub key: String,
    /// When, by the reviewer's clock.
    pub at: UnixNanos,
}

/// Something that is missing, and what brings it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What.
    pub what: String,
    /// Which command, or what is to be written.
    pub remedy: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n    {}", self.what, self.remedy)
    }
}

/// The kind of part A.
pub const DRILLS: &str = "drills";
/// The kind of part B.
pub const ACCOUNT: &str = "account";
/// The venue of an item that was judged on this machine's own.
pub const EMBEDDED: &str = "embedded";
/// What the venue of an item at demo trading begins with.
pub const DEMO_AT: &str = "demo at ";
/// Every item, from 1, is in part A.
pub const ITEMS: u8 = 24;
/// Those that must come from demo trading.
pub const AT_DEMO: [u8; 6] = [1, 2, 3, 4, 11, 13];
/// Those that part B reads.
pub const OF_ACCOUNT: [u8; 3] = [1, 2, 14];
/// Part A is no older, seven days, in nanoseconds.
pub const DRILLS_NS_MAX: u64 = 7 * DAY_NS;
/// Part B is no older, a day.
pub const ACCOUNT_NS_MAX: u64 = DAY_NS;
const DAY_NS: u64 = 86_400 * SECONDS;

/// Judges both parts at UTC `now`.
///
/// # Errors
/// Everything that is missing, with what brings it.
pub fn permit(
    drills: &Part,
    account: &Part,
    wanted: &Wanted,
    now: UnixNanos,
) -> Result<LiveTrading, Vec<Refusal>> {
    let mut judge = Judge { wanted, now, found: Vec::new() };
    if wanted.reviewer.is_empty() {
        judge.refuse(
            "nobody may sign: [live] reviewer is empty",
            "write the public key that `keel golive keygen --out FILE` tells as [live] reviewer",
        );
    }
    let hash = judge.drills(drills);
    judge.account(account);
    match (hash, judge.found) {
        (Some(drills), found) if found.is_empty() => {
            Ok(LiveTrading { rest: wanted.rest.clone(), uid: wanted.uid, drills })
        }
        (_, found) => Err(found),
    }
}

struct Judge<'w> {
    wanted: &'w Wanted,
    now: UnixNanos,
    found: Vec<Refusal>,
}

/// What brings a new part A, and a new part B.
const DRILL: &str = "`keel golive check --venue demo --join EMBEDDED_BUNDLE` makes a new one";
const READ: &str = "`keel golive check --account` makes a new one";

impl Judge<'_> {
    fn refuse(&mut self, what: impl Into<String>, remedy: &str) {
        self.found.push(Refusal { what: what.into(), remedy: remedy.to_owned() });
    }

    /// Part A; its hash, when it can be read at all.
    fn drills(&mut self, part: &Part) -> Option<String> {
        let name = "part A, the drills";
        let shown = self.whole(name, part, DRILLS, DRILL)?;
        let verdict = |number: u8| shown.items.iter().find(|item| item.number == number);
        let short = |number: &u8| verdict(*number).is_none_or(|item| item.verdict != "PASS");
        let short: Vec<u8> = (1..=ITEMS).filter(short).collect();
        if !short.is_empty() {
            self.refuse(format!("{name}: not PASS: {}", listed(&short)), DRILL);
        }
        let near = |number: &u8| verdict(*number).is_some_and(|item| !self.is_demo(&item.venue));
        let near: Vec<u8> = AT_DEMO.into_iter().filter(near).collect();
        if !near.is_empty() {
            let what = format!("{name}: not judged at demo trading: {}", listed(&near));
            self.refuse(what, DRILL);
        }
        let oldest = shown.items.iter().map(|item| item.made).min().unwrap_or(shown.made);
        self.fresh(name, oldest.min(shown.made), DRILLS_NS_MAX, "7 days", DRILL);
        self.fresh(name, shown.made, DRILLS_NS_MAX, "7 days", DRILL);
        Some(shown.hash.clone())
    }

    fn account(&mut self, part: &Part) {
        let name = "part B, the account";
        let Some(shown) = self.whole(name, part, ACCOUNT, READ) else { return };
        let wanted = self.wanted;
        if shown.uid != wanted.uid {
            let what = format!("{name}: it is of account {}, not {}", shown.uid, wanted.uid);
            self.refuse(what, READ);
        }
        if shown.venue != wanted.rest {
            let what = format!("{name}: it is of {}, not {}", shown.venue, wanted.rest);
            self.refuse(what, READ);
        }
        let unread = wanted.instruments.iter().filter(|one| !shown.instruments.contains(one));
        let unread: Vec<&str> = unread.map(String::as_str).collect();
        if !unread.is_empty() {
            self.refuse(format!("{name}: it says nothing of {}", unread.join(", ")), READ);
        }
        let passed = |number: &u8| {
            shown.items.iter().any(|item| item.number == *number && item.verdict == "PASS")
        };
        let short: Vec<u8> = OF_ACCOUNT.into_iter().filter(|number| !passed(number)).collect();
        if !short.is_empty() {
            self.refuse(format!("{name}: not PASS: {}", listed(&short)), READ);
        }
        self.fresh(name, shown.made, ACCOUNT_NS_MAX, "24 hours", READ);
    }

    /// What is asked of both: that it is there, whole, of its kind, of this program and these
    /// rules, of a sound system, and signed.
    fn whole<'p>(
        &mut self,
        name: &str,
        part: &'p Part,
        kind: &str,
        remedy: &str,
    ) -> Option<&'p Shown> {
        let shown = match &part.shown {
            Ok(shown) => shown,
            Err(why) => {
                self.refuse(format!("{name}: {why}"), remedy);
                return None;
            }
        };
        if shown.kind != kind {
            self.refuse(format!("{name}: {} holds {:?}", part.dir, shown.kind), remedy);
            return None;
        }
        if shown.binary != self.wanted.binary {
            self.refuse(format!("{name}: it is of another program than this one"), remedy);
        }
        if shown.policy != self.wanted.policy {
            let what = "it is of other rules than this configuration's";
            self.refuse(format!("{name}: {what}"), remedy);
        }
        if let Some(sabotage) = &shown.sabotage {
            let what = format!("{name}: the system was broken on purpose ({sabotage})");
            self.refuse(what, remedy);
        }
        self.signed(name, part, shown);
        Some(shown)
    }

    fn signed(&mut self, name: &str, part: &Part, shown: &Shown) {
        let sign = format!(
            "`keel golive sign {} --reviewer NAME --decision GO --key FILE` signs it, when it is \
             good",
            part.dir
        );
        match &shown.signed {
            Err(why) => self.refuse(format!("{name}: {why}"), &sign),
            Ok(signed) if signed.key != self.wanted.reviewer => {
                let what = "it is signed by another key than that of [live] reviewer";
                self.refuse(format!("{name}: {what}"), &sign);
            }
            Ok(signed) if signed.decision != "GO" => {
                self.refuse(format!("{name}: it is signed {}", signed.decision), &sign);
            }
            Ok(signed) if signed.at > self.now => {
                let what = "it was signed in the future: this host's clock has been set back";
                self.refuse(format!("{name}: {what}"), "set the clock");
            }
            Ok(_) => {}
        }
    }

    fn fresh(&mut self, name: &str, made: UnixNanos, max_ns: u64, max: &str, remedy: &str) {
        let age_ns = i128::from(self.now.0) - i128::from(made.0);
        let future = age_ns < 0;
        let what = if future {
            format!("{name}: it was made in the future: this host's clock has been set back")
        } else if age_ns > i128::from(max_ns) {
            format!("{name}: it is older than {max}")
        } else {
            return;
        };
        if self.found.iter().all(|refusal| refusal.what != what) {
            self.refuse(what, if future { "set the clock" } else { remedy });
        }
    }

    /// Whether an item was judged at the demo trading of the venue that is meant. A rehearsal on
    /// this machine takes another on this machine, and nothing else does.
    fn is_demo(&self, venue: &str) -> bool {
        let at_bitget = |rest: &str| rest == LIVE[0];
        let found = venue.strip_prefix(DEMO_AT);
        found.is_some_and(|rest| at_bitget(rest) == at_bitget(&self.wanted.rest))
    }
}

fn listed(numbers: &[u8]) -> String {
    let one = if numbers.len() == 1 { "item" } else { "items" };
    let numbers: Vec<String> = numbers.iter().map(u8::to_string).collect();
    format!("{one} {}", numbers.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixNanos = UnixNanos(1_795_000_000_000_000_000);
    const REST: &str = LIVE[0];

    fn wanted() -> Wanted {
        Wanted {
            binary: "binary".to_owned(),
            policy: "policy".to_owned(),
            rest: REST.to_owned(),
            uid: 7,
            instruments: vec!["BTCUSDT".to_owned()],
            reviewer: "key".to_owned(),
        }
    }

    fn part(kind: &str, numbers: impl Iterator<Item = u8>) -> Part {
        let at_demo = |number| AT_DEMO.contains(&number);
        let item = |number| Item {
            number,
            verdict: "PASS".to_owned(),
            venue: if at_demo(number) { format!("{DEMO_AT}{REST}") } else { EMBEDDED.to_owned() },
            made: NOW,
        };
        let signed = Signed { decision: "GO".to_owned(), key: "key".to_owned(), at: NOW };
        let shown = Shown {
            kind: kind.to_owned(),
            hash: format!("hash of {kind}"),
            made: NOW,
            binary: "binary".to_owned(),
            policy: "policy".to_owned(),
            sabotage: None,
            items: numbers.map(item).collect(),
            venue: REST.to_owned(),
            uid: 7,
            instruments: vec!["BTCUSDT".to_owned(), "ETHUSDT".to_owned()],
            signed: Ok(signed),
        };
        Part { dir: format!("reports/{kind}"), shown: Ok(shown) }
    }

    fn parts() -> [Part; 2] {
        [part(DRILLS, 1..=ITEMS), part(ACCOUNT, OF_ACCOUNT.into_iter())]
    }

    /// What is refused once `change` has been made to what would be permitted; each refusal is one
    /// line of its own, with something to do.
    fn refused(change: impl FnOnce(&mut [Part; 2], &mut Wanted)) -> Vec<String> {
        let (mut parts, mut wanted) = (parts(), wanted());
        change(&mut parts, &mut wanted);
        let [drills, account] = parts;
        let refusals = permit(&drills, &account, &wanted, NOW).expect_err("refused");
        assert!(refusals.iter().all(|refusal| !refusal.remedy.is_empty()), "{refusals:?}");
        refusals.into_iter().map(|refusal| refusal.what).collect()
    }

    fn shown(parts: &mut [Part; 2], at: usize) -> &mut Shown {
        parts[at].shown.as_mut().expect("shown")
    }

    fn signed(parts: &mut [Part; 2], at: usize) -> &mut Signed {
        shown(parts, at).signed.as_mut().expect("signed")
    }

    #[test]
    fn whole_fresh_signed_evidence_permits_this_account_at_this_venue_and_no_other() {
        let [drills, account] = parts();
        let permit = permit(&drills, &account, &wanted(), NOW).expect("permitted");
        assert!(permit.covers(REST, 7));
        assert!(!permit.covers(REST, 8) && !permit.covers("https://127.0.0.1:1", 7));
        assert_eq!(permit.drills(), "hash of drills");
    }

    #[test]
    fn either_part_of_another_kind_program_or_rules_or_broken_on_purpose_is_refused() {
        for at in [0, 1] {
            type Change = fn(&mut Shown);
            let cases: [(Change, &str); 4] = [
                (|shown| shown.kind = "something".to_owned(), "holds \"something\""),
                (|shown| shown.binary = "another".to_owned(), "another program"),
                (|shown| shown.policy = "another".to_owned(), "other rules"),
                (|shown| shown.sabotage = Some("withheld".to_owned()), "on purpose (withheld)"),
            ];
            for (change, words) in cases {
                let said = refused(|parts, _| change(shown(parts, at)));
                assert_eq!(said.len(), 1, "{said:?}");
                assert!(said[0].contains(words), "{said:?}");
            }
            let said = refused(|parts, _| parts[at].shown = Err("cut off".to_owned()));
            assert!(said.len() == 1 && said[0].ends_with("cut off"), "{said:?}");
        }
        let said = refused(|parts, _| parts.swap(0, 1));
        assert_eq!(said.len(), 2, "one part is not the other: {said:?}");
    }

    #[test]
    fn either_part_that_is_not_signed_go_by_the_reviewer_is_refused() {
        for at in [0, 1] {
            let said = refused(|parts, _| shown(parts, at).signed = Err("not signed".to_owned()));
            assert!(said.len() == 1 && said[0].ends_with("not signed"), "{said:?}");
            let said = refused(|parts, _| signed(parts, at).decision = "NO-GO".to_owned());
            assert!(said.len() == 1 && said[0].ends_with("signed NO-GO"), "{said:?}");
            let said = refused(|parts, _| signed(parts, at).key = "another".to_owned());
            assert!(said.len() == 1 && said[0].contains("another key"), "{said:?}");
            let said = refused(|parts, _| signed(parts, at).at.0 += 1);
            assert!(said.len() == 1 && said[0].contains("signed in the future"), "{said:?}");
        }
        let said = refused(|_, wanted| wanted.reviewer.clear());
        assert!(said[0].contains("nobody may sign"), "{said:?}");
    }

    #[test]
    fn each_part_has_its_age_and_none_is_from_the_future() {
        for (at, max_ns, words) in
            [(0, DRILLS_NS_MAX, "older than 7 days"), (1, ACCOUNT_NS_MAX, "older than 24 hours")]
        {
            let max_ns = i64::try_from(max_ns).expect("days");
            let aged = |age_ns: i64| {
                move |parts: &mut [Part; 2], _: &mut Wanted| shown(parts, at).made.0 -= age_ns
            };
            let [mut drills, mut account] = parts();
            let mut both = [drills.clone(), account.clone()];
            aged(max_ns)(&mut both, &mut wanted());
            [drills, account] = both;
            permit(&drills, &account, &wanted(), NOW).expect("the last moment");
            let said = refused(aged(max_ns + 1));
            assert!(said.len() == 1 && said[0].ends_with(words), "{said:?}");
            let said = refused(aged(-1));
            assert!(said.len() == 1 && said[0].contains("has been set back"), "{said:?}");
        }
        let limit = i64::try_from(DRILLS_NS_MAX).expect("days");
        let said = refused(|parts, _| shown(parts, 0).items[9].made.0 -= limit + 1);
        assert!(said.len() == 1 && said[0].ends_with("older than 7 days"), "an item: {said:?}");
    }

    #[test]
    fn every_item_must_pass_and_six_of_them_at_demo_trading() {
        for number in 1..=ITEMS {
            let at = usize::from(number) - 1;
            let words = format!("not PASS: item {number}");
            let said = refused(|parts, _| shown(parts, 0).items[at].verdict = "FAIL".to_owned());
            assert!(said.len() == 1 && said[0].ends_with(&words), "{said:?}");
            let said = refused(|parts, _| drop(shown(parts, 0).items.remove(at)));
            assert!(said.len() == 1 && said[0].ends_with(&words), "{said:?}");
        }
        for number in AT_DEMO {
            for venue in [EMBEDDED, "demo at https://127.0.0.1:8443", "demo", ""] {
                let at = usize::from(number) - 1;
                let said = refused(|parts, _| shown(parts, 0).items[at].venue = venue.to_owned());
                let words = format!("not judged at demo trading: item {number}");
                assert!(said.len() == 1 && said[0].ends_with(&words), "{venue}: {said:?}");
            }
        }
        for (at, number) in OF_ACCOUNT.into_iter().enumerate() {
            let said = refused(|parts, _| shown(parts, 1).items[at].verdict = "FAIL".to_owned());
            let words = format!("not PASS: item {number}");
            assert!(said.len() == 1 && said[0].ends_with(&words), "{said:?}");
        }
    }

    #[test]
    fn the_account_is_this_one_at_this_venue_with_these_contracts() {
        let said = refused(|_, wanted| wanted.uid = 8);
        assert!(said.len() == 1 && said[0].ends_with("of account 7, not 8"), "{said:?}");
        let said = refused(|parts, _| shown(parts, 1).venue = "https://127.0.0.1:1".to_owned());
        assert!(said.len() == 1 && said[0].contains("of https://127.0.0.1:1, not"), "{said:?}");
        let said = refused(|_, wanted| wanted.instruments.push("SOLUSDT".to_owned()));
        assert!(said.len() == 1 && said[0].ends_with("nothing of SOLUSDT"), "{said:?}");
    }

    #[test]
    fn a_rehearsal_takes_a_demo_on_this_machine_and_trading_for_real_does_not() {
        let here = "https://127.0.0.1:8443";
        let said = refused(|_, wanted| wanted.rest = here.to_owned());
        assert_eq!(said.len(), 2, "{said:?}");
        assert!(said[0].contains("not judged at demo trading: items 1, 2, 3, 4, 11, 13"));
        let [mut drills, mut account] = parts();
        account.shown.as_mut().expect("shown").venue = here.to_owned();
        for item in &mut drills.shown.as_mut().expect("shown").items {
            item.venue = item.venue.replace(REST, "http://127.0.0.1:99");
        }
        let wanted = Wanted { rest: here.to_owned(), ..wanted() };
        permit(&drills, &account, &wanted, NOW).expect("a rehearsal");
    }
}
