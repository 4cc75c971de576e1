//! What the product asks the venue for beside its streams, under virtual time: books that are
//! quiet, and money that moves at an odd time.

use keel_core::book::Fault;
use keel_core::command::{CommandView, NoticeKind};
use keel_core::event::{BillKind, Event, FeedState, Topic};
use keel_core::status::{Key, PAGES, Row};
use keel_core::units::{MILLIS, MonoNanos, Quote, SECONDS};
use keel_io::clock::ORIGIN;
use keel_io::journal::TapKind;
use keel_io::memory::Block;
use keel_io::world::{FaultKind, FaultPlan, Note, Noted, PlannedFault, World, WorldConfig};
use keel_sim::order::PosSide;

/// What was seen of a venue that shows its books seldom.
#[derive(Debug, Default)]
struct Seen {
    /// Best bids and asks that the engine was told over REST, and pongs.
    touches: u64,
    pongs: u64,
    /// Books dropped because of them.
    dropped: u64,
    orders: u64,
}

impl Seen {
    fn take(&mut self, note: &Note) {
        let Note::Tap(tap) = note else { return };
        if tap.kind == TapKind::Event {
            match Event::decode(&tap.slot).expect("an event") {
                Event::TouchReport(_) => self.touches += 1,
                Event::Feed(feed) => self.pongs += u64::from(feed.state == FeedState::Pong),
                _ => {}
            }
            return;
        }
        match CommandView::decode(&tap.slot) {
            Ok(CommandView::Notice(notice)) if notice.kind == NoticeKind::BookDropped => {
                assert_eq!(notice.a, Fault::Touch as i64, "nothing else is wrong");
                self.dropped += 1;
            }
            Ok(CommandView::Place(_)) => self.orders += 1,
            _ => {}
        }
    }
}

/// Two minutes of a world whose venue shows its books each `every_ms` at most.
fn seldom(seed: u64, every_ms: i64) -> Seen {
    let (mut config, mut seen) = (WorldConfig::calm(seed), Seen::default());
    config.exchange.cadence.books_ns = every_ms * MILLIS as i64;
    let block = Block::default();
    let mut world = World::new(config, &block);
    world.run_until(ORIGIN.after(120 * SECONDS), |world| {
        world.take_notes().iter().for_each(|Noted { note, .. }| seen.take(note));
    });
    seen
}

#[test]
fn a_venue_that_shows_its_books_seldom_is_asked_for_its_touch() {
    let often = seldom(1, 100);
    assert_eq!((often.touches, often.dropped), (0, 0), "{often:?}");
    let mut sum = Seen::default();
    for seed in 1..=4 {
        let seen = seldom(seed, 4_000);
        assert!(seen.touches > 20 && seen.pongs > 20, "{seen:?}");
        sum.dropped += seen.dropped;
        sum.orders += seen.orders;
    }
    assert!(sum.dropped > 0, "the market moves on without the book: {sum:?}");
    assert!(sum.orders > 0, "and is quoted while it is known: {sum:?}");
}

#[test]
fn a_question_that_stays_without_an_answer_is_waited_for_at_rest() {
    // While it waited for an answer over REST the engine asked for a turn every nanosecond, and for
    // a pong at each: a million records a second in the journal.
    let mut config = WorldConfig::calm(1);
    config.exchange.cadence.books_ns = 4_000 * MILLIS as i64;
    let stall =
        |second| PlannedFault { kind: FaultKind::StallRest, at_ns: second * SECONDS, seed: 1 };
    config.faults = FaultPlan { faults: (10..50).map(stall).collect(), until_ns: 60 * SECONDS };
    let block = Block::default();
    let mut world = World::new(config, &block);
    let (mut turns, mut pings) = (0, 0);
    world.run_until(ORIGIN.after(60 * SECONDS), |world| {
        for Noted { note, .. } in world.take_notes() {
            let Note::Tap(tap) = note else { continue };
            turns += u64::from(matches!(Event::decode(&tap.slot), Ok(Event::Timer(_))));
            pings += u64::from(matches!(CommandView::decode(&tap.slot), Ok(CommandView::Ping(_))));
        }
    });
    assert_eq!(world.counts().of(FaultKind::StallRest), 40);
    assert!((60..6_000).contains(&turns), "{turns} turns by the engine's own clock");
    assert!((1..120).contains(&pings), "{pings} pings");
}

/// What is seen of a funding at an odd time.
#[derive(Debug, Default)]
struct Funding {
    row: Option<Row>,
    booked: Option<MonoNanos>,
    asked: u64,
    /// Seconds in which the engine's cash and the venue's were the same to the last unit, and in
    /// which they were not.
    same: u64,
    other: u64,
}

impl Funding {
    fn look(&mut self, world: &mut World) {
        for Noted { note, at } in world.take_notes() {
            let Note::Tap(tap) = note else { continue };
            match (tap.kind, CommandView::decode(&tap.slot), Event::decode(&tap.slot)) {
                (TapKind::Command, Ok(CommandView::StatusPage(page)), _) => {
                    let row = self.row.get_or_insert(Row::EMPTY);
                    row.take_page(usize::from(page.page), &page.values);
                    if usize::from(page.page) + 1 == PAGES {
                        let same = cash(row) == cash_at_venue(world);
                        self.same += u64::from(same);
                        self.other += u64::from(!same);
                    }
                }
                (TapKind::Command, Ok(CommandView::Query(query)), _) => {
                    self.asked += u64::from(query.topic == Topic::Bills);
                }
                (TapKind::Event, _, Ok(Event::Bill(bill))) if bill.kind == BillKind::Funding => {
                    self.booked.get_or_insert(at);
                }
                _ => {}
            }
        }
    }
}

/// What the account would hold if its position had cost nothing: the two sides round what is
/// realized when a part is closed to different units, and this is free of it.
fn cash(row: &Row) -> i128 {
    let of = |key| i128::from(row.value(key));
    // A lot of BTCUSDT is 0.0001.
    of(Key::equity_quote) - of(Key::mark_price) * of(Key::position_base) / 10_000
}

fn cash_at_venue(world: &World) -> i128 {
    let venue = world.exchange().venue();
    let account = venue.account(world.account());
    let id = venue.find("BTCUSDT").expect("it is listed");
    i128::from(account.balance().0) - account.holding(id).position(PosSide::Net).entry
}

#[test]
fn funding_at_an_odd_time_is_booked_to_the_last_unit_soon_after() {
    // The venue may change a contract's interval, and may settle late. At 65 s after the start the
    // next look for bills is 55 s away.
    let mut settled = 0;
    for seed in 1..=6 {
        let block = Block::default();
        let mut world = World::new(WorldConfig::calm(seed), &block);
        let mut before = Funding::default();
        world.run_until(ORIGIN.after(65 * SECONDS), |world| before.look(world));
        assert_eq!((before.booked, before.asked), (None, 3), "{seed}: start, balance, minute");
        let bills = |world: &World| {
            let account = world.exchange().venue().account(world.account());
            account.bills().iter().filter(|bill| bill.kind.is_funding()).count()
        };
        let known = bills(&world);
        world.settle_funding();
        let (at, mut after) = (world.now(), Funding::default());
        world.run_until(at.after(20 * SECONDS), |world| after.look(world));
        if bills(&world) == known {
            assert_eq!((after.booked, after.asked), (None, 0), "{seed}: flat, nothing moved");
            continue;
        }
        settled += 1;
        let late_ns = after.booked.expect("it is booked").since(at);
        assert!(late_ns < 11 * SECONDS, "{seed}: {late_ns} ns late");
        assert!(after.same >= 5, "{seed}: I-09 holds again: {after:?}");
        assert!(after.other <= late_ns / SECONDS + 3, "{seed}: and stays: {after:?}");
    }
    assert!(settled >= 3, "positions were held: {settled}");
}

#[test]
fn funding_while_no_engine_looks_is_booked_by_the_next_run_and_once() {
    let mut settled = 0;
    for seed in 1..=4 {
        let mut config = WorldConfig::calm(seed);
        let kill = |second| PlannedFault {
            kind: FaultKind::KillUnsynced,
            at_ns: second * SECONDS,
            seed: 1,
        };
        config.faults = FaultPlan { faults: vec![kill(40), kill(60)], until_ns: 61 * SECONDS };
        let block = Block::default();
        let mut world = World::new(config, &block);
        let (mut died, mut bills) = (0, Vec::new());
        world.run_until(ORIGIN.after(90 * SECONDS), |world| {
            for Noted { note, .. } in world.take_notes() {
                match note {
                    // The second one comes after the bill is durable, and settles nothing.
                    Note::Died if died == 0 => (died, _) = (1, world.settle_funding()),
                    Note::Tap(tap) => {
                        if let Ok(CommandView::BillBooked(bill)) = CommandView::decode(&tap.slot) {
                            bills.push(bill);
                        }
                    }
                    _ => {}
                }
            }
        });
        let venue = world.exchange().venue();
        let funding = venue.account(world.account()).totals().funding;
        let booked: Vec<_> = bills.iter().filter(|b| b.kind == BillKind::Funding).collect();
        let sum = booked.iter().fold(Quote::ZERO, |sum, bill| sum + bill.amount);
        assert_eq!((died, sum), (1, funding), "{seed}: {booked:?}");
        settled += booked.len();
        let ledger = world.engine().expect("it runs").ledger();
        assert!(ledger.balance().is_some(), "{seed}");
    }
    assert!(settled >= 2, "positions were held: {settled}");
}
