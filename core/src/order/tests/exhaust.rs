//! Small-scope exhaustion: everything that can befall one order within six events, and two orders
//! within four, duplicated, lost and in any order. Over the whole alphabet of a story words are one
//! event shorter, or there would be too many: see [`Story::rare`].
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
    /// The create is refused as a second use of its client id: the first has arrived.
    Duplicate,
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
    AbsentList, AbsentQuery, CancelSent, Duplicate, Fill as Filled, LagsList, LagsQuery, Overdue,
    Push, Query, Reply as Replied, StreamLost,
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
    /// Further letters, which the longest words leave out.
    rare: &'static [Heard],
}

impl Story {
    fn letters(&self, rare: bool) -> impl Iterator<Item = Heard> {
        self.heard.iter().chain(self.rare.iter().filter(move |_| rare)).copied()
    }

    /// What its query or list says when it has it.
    fn told(&self) -> Heard {
        let filled: i64 = self.fills.iter().map(|(_, lots)| lots).sum();
        match (self.never, self.rests, filled) {
            (true, ..) => AbsentQuery,
            (_, true, 0) => Query(OrderStatus::Live, 0),
            (_, true, _) => Query(OrderStatus::PartiallyFilled, filled),
            (_, false, LOTS) => Query(OrderStatus::Filled, filled),
            (_, false, _) => Query(OrderStatus::Canceled, filled),
        }
    }
}

/// Nobody can say what became of a cancel.
const CANCEL_UNKNOWN: Heard = Replied(RequestKind::Cancel, Outcome::Unknown);
/// A cancel never left this machine.
const CANCEL_NOT_SENT: Heard = Replied(RequestKind::Cancel, Outcome::NotSent);
const CANCEL_REJECTED: Heard = Replied(RequestKind::Cancel, Outcome::Rejected);
const CANCEL_RECEIVED: Heard = Replied(RequestKind::Cancel, Outcome::Received);

const LOTS: i64 = 10;
/// From one event to the next.
const EVENT: u64 = 10 * MILLIS;

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
        rare: &[CANCEL_UNKNOWN, CANCEL_NOT_SENT],
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
        rare: &[CANCEL_UNKNOWN, CANCEL_NOT_SENT],
    },
    Story {
        name: "never left",
        rests: false,
        never: true,
        fills: &[],
        heard: &[
            CancelSent,
            Replied(RequestKind::Place, Outcome::NotSent),
            CANCEL_NOT_SENT,
            AbsentQuery,
            AbsentList,
            StreamLost,
            Overdue,
        ],
        rare: &[CANCEL_REJECTED, CANCEL_UNKNOWN],
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
            CANCEL_REJECTED,
            StreamLost,
            Overdue,
        ],
        rare: &[Duplicate, CANCEL_UNKNOWN, CANCEL_NOT_SENT, CANCEL_RECEIVED],
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
        rare: &[CancelSent, Duplicate, CANCEL_REJECTED, CANCEL_UNKNOWN, CANCEL_NOT_SENT],
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
        rare: &[Duplicate, CANCEL_UNKNOWN, CANCEL_NOT_SENT, LagsList],
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
        rare: &[Duplicate, CANCEL_UNKNOWN, CANCEL_NOT_SENT, LagsQuery],
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
        rare: &[Duplicate, CANCEL_UNKNOWN, CANCEL_NOT_SENT, LagsList],
    },
];

/// One order and what is known to have been told of it.
struct Subject {
    story: &'static Story,
    client: ClientId,
    side: Side,
    sent: MonoNanos,
    booked: BTreeSet<u64>,
    /// Which of the two sources has denied it after it could no longer appear.
    denied: [bool; 2],
    before: OrderState,
}

impl Subject {
    fn new(
        table: &mut OrderTable<'_>,
        story: &'static Story,
        (side, level): (Side, u8),
        now: MonoNanos,
    ) -> Self {
        let client = place_intent(table, intent(side, 100, LOTS, level), now);
        let (booked, denied) = (BTreeSet::new(), [false; 2]);
        Self { story, client, side, sent: now, booked, denied, before: OrderState::PendingNew }
    }

    fn booked_lots(&self) -> i64 {
        let told = self.story.fills.iter().filter(|(id, _)| self.booked.contains(id));
        told.map(|(_, lots)| lots).sum()
    }

    fn execution(&self, id: u64, lots: i64) -> Fill {
        Fill { side: self.side, ..fill(self.client, id, lots) }
    }

    /// A list that ends now does not name it, or names it. Gives what that comes to.
    fn listed(&mut self, table: &mut OrderTable<'_>, now: MonoNanos) -> Heard {
        let told = self.story.told();
        match told {
            Query(status, filled) if self.story.rests => {
                let row = OrderUpdate { side: self.side, ..query(self.client, status, filled) };
                assert_eq!(table.on_update(&row, now, now).contradiction, None);
                told
            }
            _ => {
                self.denied[1] |= now > self.sent.after(ZOMBIE);
                AbsentList
            }
        }
    }

    /// Applies what was heard; false when it cannot happen now.
    fn hear(&mut self, heard: Heard, table: &mut OrderTable<'_>, now: &mut MonoNanos) -> bool {
        *now = now.after(EVENT);
        let (client, late) = (self.client, *now > self.sent.after(ZOMBIE));
        let effect = match heard {
            CancelSent => {
                table.cancel_sent(client, *now);
                Effect::default()
            }
            Replied(request, outcome) => table.on_reply(&reply(client, request, outcome), *now),
            Duplicate => {
                let reply = reply(client, RequestKind::Place, Outcome::Rejected);
                table.on_reply(&Reply { class: RejectClass::Duplicate, ..reply }, *now)
            }
            Push(status, filled) => table.on_update(
                &OrderUpdate { side: self.side, ..push(client, status, filled) },
                *now,
                *now,
            ),
            Query(status, filled) => table.on_update(
                &OrderUpdate { side: self.side, ..query(client, status, filled) },
                *now,
                *now,
            ),
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
            Filled(id, lots) => table.on_fill(&self.execution(id, lots), *now),
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
                Replied(RequestKind::Place, Outcome::NotSent) => true,
                LagsQuery | LagsList | AbsentQuery | AbsentList => self.denied == [true; 2],
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
                let late = Fill { source: Source::Query, ..self.execution(id, lots) };
                assert_eq!(table.on_fill(&late, *now).contradiction, None);
            }
        }
        let (status, reported) = match self.story.told() {
            Query(status, filled) => (status, filled),
            _ => (OrderStatus::NotFound, 0),
        };
        // A list that lacks it makes it due to be asked for; the answer completes the proof.
        if status == OrderStatus::NotFound {
            table.list_ended(BTC, *now, *now);
        }
        let answer = query(self.client, status, reported);
        table.on_update(&OrderUpdate { side: self.side, ..answer }, *now, *now);
        let slot = table.order(self.client).expect("in the table");
        let name = self.story.name;
        assert_eq!((slot.booked.0, slot.state.is_open()), (filled, self.story.rests), "{name}");
        assert!(slot.state != OrderState::Unknown, "{name}: evidence leaves nothing unknown");
    }
}

/// What the table counts as live: all that is left of open orders, and what the venue speaks of.
fn check_sums(table: &OrderTable<'_>, subjects: &[Subject]) {
    let (mut lots, mut unknown) = ([0; 2], 0);
    for subject in subjects {
        let slot = table.order(subject.client).expect("in the table");
        lots[subject.side.index()] += match slot.state {
            OrderState::Done => (slot.reported - slot.booked).0.max(0),
            _ => LOTS - slot.booked.0,
        };
        unknown += u16::from(slot.state == OrderState::Unknown);
    }
    let view = view(table);
    assert_eq!((view.open_lots, view.unknown_orders), (lots.map(Lots), unknown));
}

/// Tells orders of `sides` a sequence, each event of which names one of them.
fn tell(
    stories: &[(Side, &'static Story)],
    sequence: &[(usize, Heard)],
    seen: &mut BTreeSet<u64>,
) -> u64 {
    let mut slots = [Slot::EMPTY; 4];
    let mut tallies = [Tally::EMPTY; 1];
    let mut orphans = [Orphan::EMPTY; 2];
    let mut table = OrderTable::new(&mut slots, &mut tallies, &mut orphans);
    table.begin(7);
    table.configure(&Params::defaults(Profile::Wide), false);
    let mut now = ms(1_000);
    let mut subjects: Vec<Subject> = (0..)
        .zip(stories)
        .map(|(level, &(side, story))| Subject::new(&mut table, story, (side, level), now))
        .collect();
    let mut events = 0;
    for &(of, heard) in sequence {
        let mut meant = [heard; 2];
        if matches!(heard, LagsList | AbsentList) {
            // A list is of all orders of its contract: the rows come before its end.
            for (place, subject) in subjects.iter_mut().enumerate().filter(|(at, _)| *at != of) {
                meant[place] = subject.listed(&mut table, now.after(EVENT));
            }
        }
        if !subjects[of].hear(heard, &mut table, &mut now) {
            return events;
        }
        events += 1;
        check(&mut subjects, of, meant, &table);
        seen.insert(subjects.iter().fold(0, |all, subject| all << 24 | subject.summary(&table)));
    }
    for subject in &mut subjects {
        subject.settle(&mut table, &mut now);
    }
    assert_eq!(table.orphans().count(), 0);
    events
}

/// Holds the table against the truth, after the order at `of` heard its word of `meant`.
fn check(subjects: &mut [Subject], of: usize, meant: [Heard; 2], table: &OrderTable<'_>) {
    // What is due, a lost stream and a list concern every order; all else concerns one.
    let everybody = matches!(meant[of], StreamLost | Overdue | LagsList | AbsentList);
    for (place, subject) in subjects.iter_mut().enumerate() {
        if place == of || everybody {
            subject.check(meant[place], table);
        } else {
            let slot = table.order(subject.client).expect("in the table");
            assert_eq!(slot.state, subject.before, "{:?} concerns another order", meant[of]);
        }
    }
    check_sums(table, subjects);
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
        // The shorter ones are the beginnings of these.
        for (length, rare) in [(6, false), (5, true)] {
            let alphabet: Vec<_> = story.letters(rare).map(|heard| (0, heard)).collect();
            each_sequence(&alphabet, length, |sequence| {
                sequences += 1;
                events += tell(&[(Side::Buy, story)], sequence, &mut seen);
            });
        }
        let letters = story.letters(true).count();
        println!(
            "{}: {} of {letters} letters, {} states",
            story.name,
            story.heard.len(),
            seen.len()
        );
    }
    println!("{sequences} sequences, {events} events");
    assert!(sequences > 4_000_000, "{sequences}");
}

#[test]
fn two_orders_survive_every_four_events_of_every_pair_of_stories() {
    let (mut sequences, mut events, mut seen) = (0u64, 0, BTreeSet::new());
    for (place, first) in STORIES.iter().enumerate() {
        for second in &STORIES[place..] {
            for (length, rare, side) in
                [(4, false, Side::Sell), (3, true, Side::Buy), (3, true, Side::Sell)]
            {
                let letters = |of, story: &'static Story| story.letters(rare).map(move |h| (of, h));
                let alphabet: Vec<_> = letters(0, first).chain(letters(1, second)).collect();
                each_sequence(&alphabet, length, |sequence| {
                    sequences += 1;
                    events += tell(&[(Side::Buy, first), (side, second)], sequence, &mut seen);
                });
            }
        }
    }
    println!("{sequences} sequences, {events} events, {} states", seen.len());
    assert!(sequences > 3_000_000, "{sequences}");
}
