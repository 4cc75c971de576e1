//! Fault: what goes wrong between a venue and its clients, when, and how often.
//!
//! [`Faults`] decides and does nothing by itself: whoever moves pushes and requests asks it for the
//! fate of each. So the same faults act on real sockets and in virtual time. Chance is drawn from a
//! seed; the same faults, questions and instants give the same fates.

use keel_core::units::{E8, Rate, UnixNanos};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

use crate::account::AccountId;

/// A fault to be injected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What goes wrong.
    pub act: Act,
    /// With what.
    pub on: Scope,
    /// When it is over; none lasts until it is cleared.
    pub until: Option<UnixNanos>,
    /// How often it acts at most; none for ever.
    pub times: Option<u32>,
    /// The chance with which it acts, as a share.
    pub share: Rate,
}

impl Fault {
    /// A fault that acts always, on everything, until it is cleared.
    pub const fn always(act: Act) -> Self {
        Self { act, on: Scope::ALL, until: None, times: None, share: Rate(E8) }
    }
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Pushes come later by a time drawn for each between the two, nanoseconds. Those of one topic
    /// to one connection keep their order; those of others overtake them.
    Delay {
        /// The shortest.
        least_ns: i64,
        /// The longest.
        most_ns: i64,
    },
    /// Pushes are lost.
    Drop,
    /// Pushes come twice.
    Duplicate,
    /// Pushes wait until the fault is over, and come then in their order.
    Stall,
    /// A push ends in the middle of its frame, and so does the connection.
    Cut,
    /// A push of a book is damaged.
    Damage(Damage),
    /// Requests fail with this HTTP status (over a WebSocket: with an error), whether they were
    /// worked or not.
    Fail {
        /// The status, 500 to 599.
        status: u16,
        /// Whether the request was worked all the same.
        accepted: bool,
    },
    /// Requests get no answer: over REST the connection ends, over a WebSocket nothing comes.
    LoseAnswer {
        /// Whether the request was worked all the same.
        accepted: bool,
    },
    /// Requests are worked at once and answered later, nanoseconds.
    AnswerLate {
        /// How much later.
        ns: i64,
    },
    /// Requests are worked later, nanoseconds, even when the connection is gone by then. A REST
    /// client gets 504 at once, a WebSocket client its answer when the time has come.
    AcceptLate {
        /// How much later.
        ns: i64,
    },
    /// Of a batch, all is worked and only the first half is answered.
    PartialBatch,
    /// Of a batch, the first half is worked and each element of the second is refused as too many.
    RefuseRows,
    /// Cancels are answered at once as received and worked later, nanoseconds: until then their
    /// orders rest, and may be executed. Requests of other kinds are left alone.
    CancelLate {
        /// How much later.
        ns: i64,
    },
    /// Requests are too many (429), whatever their number.
    TooMany,
    /// Addresses are turned away: every request gets 403 and every WebSocket ends.
    Ban,
    /// The venue is under maintenance: every request gets 503 and every WebSocket ends.
    Maintenance,
    /// The venue's clock is wrong by so much, nanoseconds, for whom it judges and whom it tells.
    Skew {
        /// How far it is ahead; negative is behind.
        ns: i64,
    },
}

impl Act {
    const fn is_for(&self, place: Place) -> bool {
        let own = match self {
            Self::Delay { .. }
            | Self::Drop
            | Self::Duplicate
            | Self::Stall
            | Self::Cut
            | Self::Damage(_) => Place::Push,
            Self::Fail { .. }
            | Self::LoseAnswer { .. }
            | Self::AnswerLate { .. }
            | Self::AcceptLate { .. }
            | Self::PartialBatch
            | Self::RefuseRows
            | Self::CancelLate { .. }
            | Self::TooMany => Place::Request,
            Self::Ban | Self::Maintenance => Place::Door,
            Self::Skew { .. } => Place::Clock,
        };
        own as u8 == place as u8
    }

    /// Whether it is for requests of this name.
    fn meets(&self, name: &str) -> bool {
        !matches!(self, Self::CancelLate { .. }) || name.contains("cancel")
    }
}

/// How a book is damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// Its checksum is another, where it carries one.
    Checksum,
    /// The number of the frame before it is another, so that its chain is broken.
    Sequence,
    /// The size of a level is another; only a checksum shows it.
    Level,
}

/// What a fault acts on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// One account; all, and the public, when there is none.
    pub account: Option<AccountId>,
    /// One topic of pushes or of order entry, or a REST path or the end of one; all when there is
    /// none.
    pub name: Option<String>,
}

impl Scope {
    /// Everything.
    pub const ALL: Self = Self { account: None, name: None };

    fn holds(&self, name: &str, account: Option<AccountId>) -> bool {
        let named = self.name.as_deref().is_none_or(|own| {
            own == name || name.strip_suffix(own).is_some_and(|before| before.ends_with('/'))
        });
        named && self.account.is_none_or(|own| Some(own) == account)
    }
}

/// The name of an injected fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FaultId(pub u64);

/// What becomes of a push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PushFate {
    /// How often it is sent: 0, 1 or 2.
    pub copies: u32,
    /// When it is sent.
    pub at: UnixNanos,
    /// How it is damaged.
    pub damage: Option<Damage>,
    /// Whether it ends in the middle, and the connection with it.
    pub cut: bool,
}

/// What the door says to whoever comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// The address is turned away.
    Banned,
    /// The venue is under maintenance.
    Maintained,
}

/// Where a fault acts.
#[derive(Clone, Copy)]
#[repr(u8)]
enum Place {
    Push,
    Request,
    Door,
    Clock,
}

#[derive(Debug)]
struct Active {
    id: FaultId,
    fault: Fault,
    acted: u32,
}

/// The faults in force.
#[derive(Debug)]
pub struct Faults {
    active: Vec<Active>,
    injected: u64,
    random: Pcg64Mcg,
}

impl Faults {
    /// No faults; chance is drawn from the seed.
    pub fn new(seed: u64) -> Self {
        Self { active: Vec::new(), injected: 0, random: Pcg64Mcg::seed_from_u64(seed) }
    }

    /// Puts a fault in force.
    pub fn inject(&mut self, fault: Fault) -> FaultId {
        self.injected += 1;
        let id = FaultId(self.injected);
        self.active.push(Active { id, fault, acted: 0 });
        id
    }

    /// Takes a fault out of force; false when it was not.
    pub fn clear(&mut self, id: FaultId) -> bool {
        let before = self.active.len();
        self.active.retain(|active| active.id != id);
        self.active.len() < before
    }

    /// Takes all faults out of force.
    pub fn clear_all(&mut self) {
        self.active.clear();
    }

    /// The faults that have not been cleared, with how often each has acted.
    pub fn list(&self) -> impl Iterator<Item = (FaultId, &Fault, u32)> {
        self.active.iter().map(|active| (active.id, &active.fault, active.acted))
    }

    /// The fate of a push of a topic to one connection. `account` is none for public topics.
    pub fn push(&mut self, topic: &str, account: Option<AccountId>, now: UnixNanos) -> PushFate {
        let mut fate = PushFate { copies: 1, at: now, damage: None, cut: false };
        for i in 0..self.active.len() {
            if !self.acts(i, Place::Push, topic, account, now) {
                continue;
            }
            let Fault { act, until, .. } = &self.active[i].fault;
            let later = |at: UnixNanos| UnixNanos(at.0.max(fate.at.0));
            match *act {
                Act::Delay { least_ns, most_ns } => {
                    let most_ns = most_ns.max(least_ns);
                    let ns = self.random.random_range(least_ns..=most_ns);
                    fate.at = UnixNanos(fate.at.0.saturating_add(ns.max(0)));
                }
                Act::Stall => fate.at = later(until.unwrap_or(NEVER)),
                Act::Drop => fate.copies = 0,
                Act::Duplicate => fate.copies = fate.copies.min(1) * 2,
                Act::Cut => fate.cut = true,
                Act::Damage(damage) => fate.damage = Some(damage),
                _ => unreachable!("only acts on pushes were asked"),
            }
        }
        fate
    }

    /// What goes wrong with a request, named by its path or topic; the first fault decides.
    pub fn request(
        &mut self,
        name: &str,
        account: Option<AccountId>,
        now: UnixNanos,
    ) -> Option<Act> {
        let first =
            (0..self.active.len()).find(|&i| self.acts(i, Place::Request, name, account, now))?;
        Some(self.active[first].fault.act)
    }

    /// What the door says; none when it is open.
    pub fn door(&mut self, now: UnixNanos) -> Option<Closed> {
        let first = (0..self.active.len()).find(|&i| self.acts(i, Place::Door, "", None, now))?;
        match self.active[first].fault.act {
            Act::Ban => Some(Closed::Banned),
            _ => Some(Closed::Maintained),
        }
    }

    /// Whether the door is shut; does not count as an act.
    pub fn is_shut(&self, now: UnixNanos) -> bool {
        let mut shut = self.active.iter().filter(|active| active.is_in_force(now));
        shut.any(|active| active.fault.act.is_for(Place::Door))
    }

    /// What the venue's clock says when it is `now`.
    pub fn clock(&self, now: UnixNanos) -> UnixNanos {
        let skews = self.active.iter().filter(|active| active.is_in_force(now));
        skews.fold(now, |clock, active| match active.fault.act {
            Act::Skew { ns } => UnixNanos(clock.0.saturating_add(ns)),
            _ => clock,
        })
    }

    fn acts(
        &mut self,
        i: usize,
        place: Place,
        name: &str,
        account: Option<AccountId>,
        now: UnixNanos,
    ) -> bool {
        let active = &mut self.active[i];
        let fault = &active.fault;
        let meant =
            fault.act.is_for(place) && fault.act.meets(name) && fault.on.holds(name, account);
        if !meant || !active.is_in_force(now) {
            return false;
        }
        if fault.share.0 < E8 && self.random.random_range(0..E8) >= fault.share.0 {
            return false;
        }
        active.acted = active.acted.saturating_add(1);
        true
    }
}

impl Active {
    fn is_in_force(&self, now: UnixNanos) -> bool {
        let Fault { until, times, .. } = &self.fault;
        until.is_none_or(|until| now < until) && times.is_none_or(|times| self.acted < times)
    }
}

/// Damages the text of a book's frame; false when there is nothing of the kind in it.
pub fn damage(text: &mut String, damage: Damage) -> bool {
    let key = match damage {
        Damage::Checksum => "\"checksum\":",
        Damage::Sequence => "\"pseq\":",
        Damage::Level => "[[\"",
    };
    let Some(start) = text.find(key).map(|at| at + key.len()) else { return false };
    let from = match damage {
        Damage::Checksum | Damage::Sequence => start,
        // The size stands in the second text of the level.
        Damage::Level => match text[start..].find("\",\"") {
            Some(comma) => start + comma + 3,
            None => return false,
        },
    };
    let digit = text[from..].find(|c: char| c.is_ascii_digit()).map(|at| from + at);
    let Some(digit) = digit else { return false };
    let other = if text.as_bytes()[digit] == b'1' { "2" } else { "1" };
    text.replace_range(digit..=digit, other);
    true
}

/// Later than any instant.
const NEVER: UnixNanos = UnixNanos(i64::MAX);

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixNanos = UnixNanos(1_000);

    fn faults(fault: Fault) -> Faults {
        let mut faults = Faults::new(1);
        faults.inject(fault);
        faults
    }

    #[test]
    fn a_fault_acts_within_its_scope_its_time_and_its_number() {
        let on = Scope { account: Some(AccountId(3)), name: Some("order".into()) };
        let drop = Fault { on, until: Some(UnixNanos(1_005)), ..Fault::always(Act::Drop) };
        let mut dropping = faults(Fault { times: Some(2), ..drop });
        let mut copies = |topic, account, at| dropping.push(topic, account, UnixNanos(at)).copies;
        let own = Some(AccountId(3));
        assert_eq!(copies("fill", own, 1_000), 1, "another topic");
        assert_eq!(copies("order", Some(AccountId(4)), 1_000), 1, "another account");
        assert_eq!(copies("order", None, 1_000), 1, "nobody's");
        assert_eq!(copies("order", own, 1_005), 1, "over");
        assert_eq!([copies("order", own, 1_000), copies("order", own, 1_004)], [0, 0]);
        assert_eq!(copies("order", own, 1_004), 1, "twice is enough");
        assert_eq!(dropping.list().next().unwrap().2, 2);
    }

    #[test]
    fn a_request_is_named_by_its_path_or_the_end_of_it() {
        let on = |name: &str| Scope { name: Some(name.into()), ..Scope::ALL };
        for name in ["place-order", "/api/v3/trade/place-order"] {
            let mut storm = faults(Fault { on: on(name), ..Fault::always(Act::TooMany) });
            let path = "/api/v3/trade/place-order";
            assert_eq!(storm.request(path, None, NOW), Some(Act::TooMany), "{name}");
            assert_eq!(storm.request("/api/v3/trade/replace-order", None, NOW), None);
            assert_eq!(storm.push("place-order", None, NOW).copies, 1, "no push");
        }
    }

    #[test]
    fn a_share_acts_about_that_often_and_the_same_seed_acts_the_same() {
        let half = Fault { share: Rate(E8 / 2), ..Fault::always(Act::Drop) };
        let run = || {
            let mut faults = faults(half.clone());
            (0..1_000).map(|_| faults.push("books", None, NOW).copies).collect::<Vec<_>>()
        };
        let lost = run().iter().filter(|copies| **copies == 0).count();
        assert!((400..600).contains(&lost), "{lost}");
        assert_eq!(run(), run());
    }

    #[test]
    fn acts_on_one_push_add_up() {
        let mut several = faults(Fault::always(Act::Delay { least_ns: 5, most_ns: 5 }));
        several.inject(Fault::always(Act::Duplicate));
        several.inject(Fault::always(Act::Cut));
        let stall = Fault { until: Some(UnixNanos(1_003)), ..Fault::always(Act::Stall) };
        several.inject(stall);
        let fate = several.push("books", None, NOW);
        assert_eq!((fate.copies, fate.at, fate.cut), (2, UnixNanos(1_005), true));
    }

    #[test]
    fn the_door_and_the_clock_have_their_own_faults() {
        let mut shut = faults(Fault { until: Some(UnixNanos(2_000)), ..Fault::always(Act::Ban) });
        shut.inject(Fault::always(Act::Skew { ns: -30 }));
        assert_eq!(shut.door(NOW), Some(Closed::Banned));
        assert_eq!(shut.door(UnixNanos(2_000)), None);
        assert_eq!(shut.clock(NOW), UnixNanos(970));
        shut.clear_all();
        assert_eq!(shut.clock(NOW), NOW);
    }

    #[test]
    fn damage_changes_one_digit_of_what_it_means() {
        let frame = r#"{"a":[["10","7.5"]],"seq":9,"pseq":12,"checksum":-345}"#;
        for (kind, expected) in [
            (Damage::Level, r#"{"a":[["10","1.5"]],"seq":9,"pseq":12,"checksum":-345}"#),
            (Damage::Sequence, r#"{"a":[["10","7.5"]],"seq":9,"pseq":22,"checksum":-345}"#),
            (Damage::Checksum, r#"{"a":[["10","7.5"]],"seq":9,"pseq":12,"checksum":-145}"#),
        ] {
            let mut text = frame.to_owned();
            assert!(damage(&mut text, kind));
            assert_eq!(text, expected);
        }
        assert!(!damage(&mut "{}".to_owned(), Damage::Level));
    }
}
