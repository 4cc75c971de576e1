//! Small-scope exhaustion: everything that can befall one order within six events, and two orders
//! within four, duplicated, lost and in any order.
//!
//! A story is what truly happened at the venue, and the alphabet of what can be heard of it. Every
//! sequence over an alphabet is tried: one that leaves a letter out has lost it, one that repeats
//! it was told twice. After each event the table is held against the truth; at the end it is given
//! evidence, and must know the truth.

use std::collections::BTreeSet;
use std::println;

use super::*;

/// What can happen to the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Heard {
    CancelSent,
    Reply(RequestKind, Outcome),
    Push(OrderStatus, i64),
    /// A query's answer, asked just now.
    Query(OrderStatus, i64),
    /// A query or a list that does not have it yet, though it is there: the index lags, by less
    /// than the zombie window.
    LagsQuery,
    LagsList,
    /// A query or a list that does not have it, because it is not there.
    AbsentQuery,
    AbsentList,
    /// An execution: trade id and lots. The trade ids let each through once.
    Fill(u64, i64),
    StreamLost,
    /// A second and a half goes by, and what is due is done.
    Overdue,
}

use Heard::{
    AbsentList, AbsentQuery, CancelSent, Fill as Filled, LagsList, LagsQuery, Overdue, Push, Query,
    Reply as Replied, StreamLost,
};

/// What truly happened.
#[derive(Clone, Copy, Debug)]
struct Story {
    name: &'static str,
    /// It still rests.
    rests: bool,
    /// It was never there.
    never: bool,
    /// Trade ids and lots.
    fills: &'static [(u64, i64)],
    heard: &'static [Heard],
}

const LOTS: i64 = 10;

const STORIES: &[Story] = &[
    Story {
        name: "never arrived",
        rests: false,
        never: true,
        fills: &[],
        heard: &[
            CancelSent,
            Replied(RequestKind::Place, Outcome::Unknown),
            Replied(RequestKind::Cancel, Outcome::Rejected),
            AbsentQuery,
            AbsentList,
            StreamLost,
            Overdue,
        ],
    },
    Story {
        name: "rejected",
        rests: false,
        never: true,
        fills: &[],
        heard: &[
            CancelSent,
            Replied(RequestKind::Place, Outcome::Rejected),
            Replied(RequestKind::Place, Outcome::Unknown),
            Replied(RequestKind::Cancel, Outcome::Rejected),
            AbsentQuery,
            AbsentList,
            StreamLost,
            Overdue,
        ],
    },
    Story {
        name: "rests",
        rests: true,
        never: false,
        fills: &[],
        heard: &[
            CancelSent,
            Replied(RequestKind::Place, Outcome::Received),
            Replied(RequestKind::Place, Outcome::Unknown),
            Push(OrderStatus::Live, 0),
            Query(OrderStatus::Live, 0),
            LagsQuery,
            LagsList,
            StreamLost,
            Overdue,
        ],
    },
    Story {
        name: "rests, in part executed",
        rests: true,
        never: false,
        fills: &[(1, 4)],
        heard: &[
            Replied(RequestKind::Place, Outcome::Unknown),
            Push(OrderStatus::Live, 0),
            Push(OrderStatus::PartiallyFilled, 4),
            Query(OrderStatus::PartiallyFilled, 4),
            Filled(1, 4),
            LagsQuery,
            LagsList,
            StreamLost,
            Overdue,
        ],
    },
    Story {
        name: "canceled",
        rests: false,
        never: false,
        fills: &[],
        heard: &[
            CancelSent,
            Replied(RequestKind::Cancel, Outcome::Received),
            Replied(RequestKind::Cancel, Outcome::Rejected),
            Push(OrderStatus::Live, 0),
            Push(OrderStatus::Canceled, 0),
            Query(OrderStatus::Canceled, 0),
            LagsQuery,
            StreamLost,
            Overdue,
        ],
    },
    Story {
        name: "executed in part while it was canceled",
        rests: false,
        never: false,
        fills: &[(1, 4)],
        heard: &[
            CancelSent,
            Replied(RequestKind::Cancel, Outcome::Received),
            Push(OrderStatus::Live, 0),
            // The push is older than the execution.
            Push(OrderStatus::Canceled, 0),
            Query(OrderStatus::Canceled, 4),
            Filled(1, 4),
            LagsList,
            StreamLost,
            Overdue,
        ],
    },
    Story {
        name: "executed whole, in two parts",
        rests: false,
        never: false,
        fills: &[(1, 4), (2, 6)],
        heard: &[
            CancelSent,
            Replied(RequestKind::Place, Outcome::Unknown),
            Replied(RequestKind::Cancel, Outcome::Rejected),
            Push(OrderStatus::PartiallyFilled, 4),
            Push(OrderStatus::Filled, LOTS),
            Filled(1, 4),
            Filled(2, 6),
            LagsQuery,
            StreamLost,
            Overdue,
        ],
    },
];

/// One order and what is known to have been told of it.
struct Subject {
    story: &'static Story,
    client: ClientId,
    sent: MonoNanos,
    booked: BTreeSet<u64>,
    /// Which of the two sources has denied it after it could no longer appear.
    denied: [bool; 2],
    before: OrderState,
}

impl Subject {
    fn new(table: &mut OrderTable<'_>, story: &'static Story, level: u8, now: MonoNanos) -> Self {
        let client = place_intent(table, intent(Side::Buy, 100, LOTS, level), now);
        let (booked, denied) = (BTreeSet::new(), [false; 2]);
        Self { story, client, sent: now, booked, denied, before: OrderState::PendingNew }
    }

    fn booked_lots(&self) -> i64 {
        let told = self.story.fills.iter().filter(|(id, _)| self.booked.contains(id));
        told.map(|(_, lots)| lots).sum()
    }

    /// Applies what was heard; false when it cannot happen now.
    fn hear(&mut self, heard: Heard, table: &mut OrderTable<'_>, now: &mut MonoNanos) -> bool {
        *now = now.after(10 * MILLIS);
        let (client, late) = (self.client, *now > self.sent.after(ZOMBIE));
        let effect = match heard {
            CancelSent => {
                table.cancel_sent(client, *now);
                Effect::default()
            }
            Replied(request, outcome) => table.on_reply(&reply(client, request, outcome), *now),
            Push(status, filled) => table.on_update(&push(client, status, filled), *now, *now),
            Query(status, filled) => table.on_update(&query(client, status, filled), *now, *now),
            LagsQuery | LagsList if late => return false,
            LagsQuery | AbsentQuery => {
                self.denied[0] |= late;
                table.on_update(&query(client, OrderStatus::NotFound, 0), *now, *now)
            }
            LagsList | AbsentList => {
                self.denied[1] |= late;
                table.list_ended(BTC, *now, *now);
                Effect::default()
            }
            Filled(id, _) if !self.booked.insert(id) => return false,
            Filled(id, lots) => table.on_fill(&fill(client, id, lots), *now),
            StreamLost => {
                table.lost_stream(*now);
                Effect::default()
            }
            Overdue => {
                *now = now.after(3 * SECONDS / 2);
                overdue(table, *now);
                Effect::default()
            }
        };
        assert_eq!(effect.contradiction, None, "{heard:?} in {}", self.story.name);
        true
    }

    /// Holds the table against the truth after `heard`.
    fn check(&mut self, heard: Heard, table: &OrderTable<'_>) {
        let slot = table.order(self.client).expect("in the table");
        let Story { name, rests, .. } = *self.story;
        // I-05: what was told is booked, once.
        assert_eq!(slot.booked.0, self.booked_lots(), "{name}");
        // I-02, I-08: what rests counts as live, in full.
        assert!(!rests || slot.state.is_open(), "{name}: {:?} after {heard:?}", slot.state);
        if self.before == OrderState::Done {
            assert_eq!(slot.state, OrderState::Done, "{name}: back from the end by {heard:?}");
        } else if slot.state == OrderState::Done {
            let proof = match heard {
                Replied(RequestKind::Place, Outcome::Rejected) => true,
                Push(status, _) | Query(status, _) => {
                    matches!(status, OrderStatus::Canceled | OrderStatus::Filled)
                }
                Filled(..) => self.booked_lots() == LOTS,
                AbsentQuery | AbsentList => self.denied == [true; 2],
                _ => false,
            };
            assert!(proof, "{name}: {heard:?} is no proof of an end");
        }
        let known = matches!(heard, Push(..) | Query(..)) || slot.state == OrderState::Done;
        if self.before == OrderState::Unknown {
            assert!(slot.state == OrderState::Unknown || known, "{name}: {heard:?} says nothing");
        }
        self.before = slot.state;
    }

    /// A number for what the table believes of it.
    fn summary(&self, table: &OrderTable<'_>) -> u64 {
        let slot = table.order(self.client).expect("in the table");
        let parts = [
            slot.state as u64,
            slot.status as u64,
            slot.booked.0.unsigned_abs(),
            slot.reported.0.unsigned_abs(),
            u64::from(slot.cancels.min(7)),
            u64::from(slot.seen) << 2 | u64::from(self.denied[0]) << 1 | u64::from(self.denied[1]),
        ];
        parts.into_iter().fold(0, |all, part| all << 4 | part)
    }

    /// Evidence of the truth, asked when nothing more can change.
    fn settle(&mut self, table: &mut OrderTable<'_>, now: &mut MonoNanos) {
        *now = now.after(10 * SECONDS);
        let filled: i64 = self.story.fills.iter().map(|(_, lots)| lots).sum();
        for &(id, lots) in self.story.fills {
            if self.booked.insert(id) {
                let late = Fill { source: Source::Query, ..fill(self.client, id, lots) };
                assert_eq!(table.on_fill(&late, *now).contradiction, None);
            }
        }
        let status = match self.story {
            Story { never: true, .. } => OrderStatus::NotFound,
            Story { rests: true, .. } if filled > 0 => OrderStatus::PartiallyFilled,
            Story { rests: true, .. } => OrderStatus::Live,
            _ if filled == LOTS => OrderStatus::Filled,
            _ => OrderStatus::Canceled,
        };
        // A list that lacks it makes it due to be asked for; the answer completes the proof.
        if status == OrderStatus::NotFound {
            table.list_ended(BTC, *now, *now);
        }
        table.on_update(&query(self.client, status, filled), *now, *now);
        let slot = table.order(self.client).expect("in the table");
        let name = self.story.name;
        assert_eq!((slot.booked.0, slot.state.is_open()), (filled, self.story.rests), "{name}");
        assert!(slot.state != OrderState::Unknown, "{name}: evidence leaves nothing unknown");
    }
}

/// What the table counts as live: all that is left of open orders, and what the venue speaks of.
fn check_sums(table: &OrderTable<'_>, subjects: &[Subject]) {
    let slots = subjects.iter().map(|subject| table.order(subject.client).expect("in the table"));
    let (mut lots, mut unknown) = (0, 0);
    for slot in slots {
        lots += match slot.state {
            OrderState::Done => (slot.reported - slot.booked).0.max(0),
            _ => LOTS - slot.booked.0,
        };
        unknown += u16::from(slot.state == OrderState::Unknown);
    }
    let view = view(table);
    assert_eq!(view.open_lots[Side::Buy.index()], Lots(lots));
    assert_eq!((view.unknown_orders, view.open_lots[1]), (unknown, Lots::ZERO));
}

/// Tells `subjects` a sequence, each event of which names one of them.
fn tell(stories: &[&'static Story], sequence: &[(usize, Heard)], seen: &mut BTreeSet<u64>) -> u64 {
    let mut slots = [Slot::EMPTY; 4];
    let mut tallies = [Tally::EMPTY; 1];
    let mut orphans = [Orphan::EMPTY; 2];
    let mut table = OrderTable::new(&mut slots, &mut tallies, &mut orphans);
    table.begin(7);
    table.configure(&Params::defaults(Profile::Wide), false);
    let mut now = ms(1_000);
    let mut subjects: Vec<Subject> = stories
        .iter()
        .enumerate()
        .map(|(level, story)| Subject::new(&mut table, story, level as u8, now))
        .collect();
    let mut events = 0;
    for &(of, heard) in sequence {
        if !subjects[of].hear(heard, &mut table, &mut now) {
            return events;
        }
        events += 1;
        // What is due, and a lost stream, concern every order; a push concerns one.
        for (place, subject) in subjects.iter_mut().enumerate() {
            let everybody = matches!(heard, StreamLost | Overdue | LagsList | AbsentList);
            if place == of || everybody {
                subject.check(heard, &table);
            } else {
                let slot = table.order(subject.client).expect("in the table");
                assert_eq!(slot.state, subject.before, "{heard:?} concerns another order");
            }
        }
        check_sums(&table, &subjects);
        seen.insert(subjects.iter().fold(0, |all, subject| all << 24 | subject.summary(&table)));
    }
    for subject in &mut subjects {
        subject.settle(&mut table, &mut now);
    }
    assert_eq!(table.orphans().count(), 0);
    events
}

/// Every sequence of `length` over `alphabet`.
fn each_sequence<T: Copy>(alphabet: &[T], length: u32, mut each: impl FnMut(&[T])) {
    let mut sequence = Vec::with_capacity(length as usize);
    for number in 0..alphabet.len().pow(length) {
        sequence.clear();
        let mut rest = number;
        for _ in 0..length {
            sequence.push(alphabet[rest % alphabet.len()]);
            rest /= alphabet.len();
        }
        each(&sequence);
    }
}

#[test]
fn one_order_survives_every_six_events_of_every_story() {
    let (mut sequences, mut events) = (0u64, 0);
    for story in STORIES {
        let mut seen = BTreeSet::new();
        let alphabet: Vec<_> = story.heard.iter().map(|&heard| (0, heard)).collect();
        // The shorter ones are the beginnings of these.
        each_sequence(&alphabet, 6, |sequence| {
            sequences += 1;
            events += tell(&[story], sequence, &mut seen);
        });
        println!("{}: {} letters, {} states", story.name, alphabet.len(), seen.len());
    }
    println!("{sequences} sequences, {events} events");
    assert!(sequences > 3_000_000, "{sequences}");
}

#[test]
fn two_orders_survive_every_four_events_of_every_pair_of_stories() {
    let (mut sequences, mut events, mut seen) = (0u64, 0, BTreeSet::new());
    for (place, first) in STORIES.iter().enumerate() {
        for second in &STORIES[place..] {
            // A list that lacks one order says nothing of the other: lists are told of neither.
            let letters = |of: usize, story: &'static Story| {
                let heard = story.heard.iter().copied();
                heard.filter(|h| !matches!(h, LagsList | AbsentList)).map(move |h| (of, h))
            };
            let alphabet: Vec<_> = letters(0, first).chain(letters(1, second)).collect();
            each_sequence(&alphabet, 4, |sequence| {
                sequences += 1;
                events += tell(&[first, second], sequence, &mut seen);
            });
        }
    }
    println!("{sequences} sequences, {events} events, {} states", seen.len());
    assert!(sequences > 1_000_000, "{sequences}");
}
