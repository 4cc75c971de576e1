//! What goes wrong in a soak in real time, and when: drawn from a seed, done through the venue's
//! administration.

use std::time::Duration;

use keel_io::world::Chance;
use serde_json::{Value, json};

/// Something that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Harm {
    CutPublic,
    CutPrivate,
    StallPublic,
    StallPrivate,
    Delay,
    DropBook,
    DuplicateBook,
    GapInBook,
    DropPush,
    DuplicatePush,
    CreateDoneUntold,
    CreateLost,
    CancelLost,
    BadGatewayDone,
    AnswerLate,
    Kill,
}

const HARMS: [Harm; 16] = [
    Harm::CutPublic,
    Harm::CutPrivate,
    Harm::StallPublic,
    Harm::StallPrivate,
    Harm::Delay,
    Harm::DropBook,
    Harm::DuplicateBook,
    Harm::GapInBook,
    Harm::DropPush,
    Harm::DuplicatePush,
    Harm::CreateDoneUntold,
    Harm::CreateLost,
    Harm::CancelLost,
    Harm::BadGatewayDone,
    Harm::AnswerLate,
    Harm::Kill,
];

impl Harm {
    /// What the administration is asked for; `None` for a kill.
    pub(super) fn fault(self) -> Option<Value> {
        let once = |act: &str, on: &str| json!({ "act": act, "on": on, "times": 1 });
        let lost = |on: &str, accepted: &str| {
            let act = "lose-answer";
            json!({ "act": act, "on": on, "accepted": accepted, "times": 1 })
        };
        Some(match self {
            Self::CutPublic => once("cut", "books"),
            Self::CutPrivate => once("cut", "order"),
            Self::StallPublic => json!({ "act": "stall", "on": "books", "forMs": 3_000 }),
            Self::StallPrivate => json!({ "act": "stall", "on": "order", "forMs": 3_000 }),
            Self::Delay => json!({ "act": "delay", "ms": 20, "mostMs": 400, "forMs": 10_000 }),
            Self::DropBook => once("drop", "books"),
            Self::DuplicateBook => once("duplicate", "books"),
            Self::GapInBook => once("damage-sequence", "books"),
            Self::DropPush => once("drop", "order"),
            Self::DuplicatePush => once("duplicate", "order"),
            Self::CreateDoneUntold => lost("place-order", "yes"),
            Self::CreateLost => lost("place-order", "no"),
            Self::CancelLost => lost("cancel-order", "no"),
            Self::BadGatewayDone => json!({
                "act": "fail", "status": 502, "on": "place-order", "accepted": "yes", "times": 1,
            }),
            Self::AnswerLate => {
                json!({ "act": "answer-late", "ms": 800, "on": "place-order", "times": 2 })
            }
            Self::Kill => return None,
        })
    }

    /// Whether a frame of the book is lost that the next one must show.
    pub(super) fn loses_a_frame(self) -> bool {
        self == Self::DropBook
    }
}

/// When what goes wrong.
#[derive(Debug)]
pub(super) struct Chaos {
    chance: Chance,
    every_ms: u64,
    next_ms: Option<i64>,
}

impl Chaos {
    /// The faults of `seed`, about `every` apart, behind the first `drawn`.
    pub(super) fn new(seed: u64, every: Duration, drawn: u64) -> Self {
        let mut chance = Chance::new(seed, STREAM);
        for _ in 0..2 * drawn {
            chance.draw();
        }
        let every_ms = u64::try_from(every.as_millis()).unwrap_or(u64::MAX / 4).max(2);
        Self { chance, every_ms, next_ms: None }
    }

    /// What is to go wrong by now.
    pub(super) fn due(&mut self, now_ms: i64) -> Option<Harm> {
        let next = *self.next_ms.get_or_insert(now_ms + self.every_ms as i64);
        if now_ms < next {
            return None;
        }
        let apart = self.chance.between(self.every_ms / 2, self.every_ms * 3 / 2);
        self.next_ms = Some(now_ms + apart as i64);
        Some(self.chance.pick(&HARMS))
    }
}

/// A stream of draws of its own.
const STREAM: u64 = 11;

#[cfg(test)]
mod tests {
    use super::*;

    /// What goes wrong until `until` when a look is taken each second.
    fn drawn(chaos: &mut Chaos, from: i64, until: i64) -> Vec<Harm> {
        (from..until).filter_map(|second| chaos.due(second * 1_000)).collect()
    }

    #[test]
    fn a_seed_gives_the_same_faults_and_everything_comes_up() {
        let every = Duration::from_secs(60);
        let all = drawn(&mut Chaos::new(3, every, 0), 0, 20_000);
        assert!((250..450).contains(&all.len()), "{}", all.len());
        assert_eq!(all, drawn(&mut Chaos::new(3, every, 0), 0, 20_000));
        assert_ne!(all, drawn(&mut Chaos::new(4, every, 0), 0, 20_000));
        for harm in HARMS {
            assert!(all.contains(&harm), "{harm:?}");
        }
        let later = drawn(&mut Chaos::new(3, every, 10), 0, 1_000);
        assert_eq!(later[..5], all[10..15], "a resumed soak goes on where it was");
    }
}
