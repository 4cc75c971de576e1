//! Differences between venue and engine, from the first read to their explanation or a stop.

use std::boxed::Box;
use std::vec;
use std::vec::Vec;

use super::*;
use crate::event::CancelReason;
use crate::instrument::btcusdt;
use crate::order::{Orphan, Slot, Tally};
use crate::units::{Price, Quote, Side, Ticks};

const BTC: InstrumentId = InstrumentId(0);
const ETH: InstrumentId = InstrumentId(1);
/// UTC at the monotonic origin of a test.
const ORIGIN: i64 = 1_000_000 * SECONDS as i64;

/// What the venue has, and the engine's three parts that meet it.
struct World {
    reconcile: Reconcile<'static>,
    orders: OrderTable<'static>,
    ledger: Ledger<'static>,
    now: MonoNanos,
    positions: Vec<(InstrumentId, i64)>,
    fills: Vec<Fill>,
    booked: Vec<u64>,
    open: Vec<OrderUpdate>,
    asked: Vec<Topic>,
    actions: Vec<Action>,
}

impl World {
    fn new() -> Self {
        let mut ledger = Ledger::new(
            Box::leak(vec![crate::ledger::Line::EMPTY; 2].into_boxed_slice()),
            Box::leak(vec![crate::ids::Slot::EMPTY; 8].into_boxed_slice()),
        );
        ledger.rules(BTC, &btcusdt()).expect("an instrument");
        ledger.rules(ETH, &btcusdt()).expect("an instrument");
        let mut orders = OrderTable::new(
            Box::leak(vec![Slot::EMPTY; 8].into_boxed_slice()),
            Box::leak(vec![Tally::EMPTY; 2].into_boxed_slice()),
            Box::leak(vec![Orphan::EMPTY; 4].into_boxed_slice()),
        );
        orders.begin(7);
        let reconcile = Reconcile::new(Box::leak(vec![Line::EMPTY; 2].into_boxed_slice()));
        Self {
            reconcile,
            orders,
            ledger,
            now: MonoNanos(SECONDS),
            positions: vec![],
            fills: vec![],
            booked: vec![],
            open: vec![],
            asked: vec![],
            actions: vec![],
        }
    }

    fn live() -> Self {
        let mut world = Self::new();
        world.reconcile.stream(true, world.now);
        world.run(2);
        assert!(world.reconcile.reconciled());
        assert_eq!(world.actions.pop(), Some(Action::Agreed));
        world.asked.clear();
        world.actions.clear();
        world
    }

    fn utc(&self) -> UnixNanos {
        UnixNanos(ORIGIN + self.now.0.cast_signed())
    }

    /// Answers every question at once, for `seconds`.
    fn run(&mut self, seconds: u64) {
        let until = self.now.after(seconds * SECONDS);
        while self.now < until {
            while let Some(query) = self.poll() {
                self.answer(&query);
            }
            self.now = self.now.after(50 * MILLIS);
        }
    }

    /// The next question, other actions being kept.
    fn poll(&mut self) -> Option<Query> {
        loop {
            match self.reconcile.poll(self.utc(), self.now)? {
                Action::Ask(query) => {
                    self.asked.push(query.topic);
                    return Some(query);
                }
                other => self.actions.push(other),
            }
        }
    }

    fn evidence(&mut self, query: &Query, phase: Phase, items: u32) {
        let Query { pass, topic, instrument, client, .. } = *query;
        let asked = self.now;
        let evidence = Evidence { pass, topic, phase, instrument, client, items, asked };
        self.reconcile.on_evidence(&evidence, &mut self.orders, &self.ledger, self.now);
    }

    fn answer(&mut self, query: &Query) {
        self.evidence(query, Phase::Begin, 0);
        let items = self.items(query);
        self.evidence(query, Phase::End, items);
    }

    fn items(&mut self, query: &Query) -> u32 {
        let utc = self.utc();
        match query.topic {
            Topic::OpenOrders => {
                for update in self.open.clone() {
                    self.orders.on_update(&update, self.reconcile.asked(), self.now);
                    self.reconcile.on_order(&update);
                }
                self.open.len() as u32
            }
            Topic::Positions => {
                for (instrument, lots) in self.positions.clone() {
                    let report = position(instrument, lots, Source::Query);
                    self.reconcile.on_position(&report, &self.ledger, self.now);
                }
                self.positions.len() as u32
            }
            Topic::Fills => {
                let found: Vec<Fill> =
                    self.fills.iter().filter(|fill| fill.ts >= query.since).copied().collect();
                for fill in &found {
                    let booked = self.book(fill);
                    self.reconcile.on_fill(fill, booked, utc);
                }
                found.len() as u32
            }
            Topic::Account => {
                let report = AccountReport {
                    equity: Quote::ZERO,
                    balance: Quote::ZERO,
                    available: Quote::ZERO,
                    unrealized: Quote::ZERO,
                    margin_ratio: Rate::ZERO,
                    source: Source::Query,
                    ts: utc,
                };
                self.reconcile.on_account(&report);
                1
            }
            Topic::Order | Topic::Touch | Topic::Bills | Topic::Rules | Topic::FeeRates => 0,
        }
    }

    fn book(&mut self, fill: &Fill) -> bool {
        let new = !self.booked.contains(&fill.trade_id);
        if new {
            self.booked.push(fill.trade_id);
            self.ledger.fill(fill).expect("in range");
        }
        new
    }

    /// An execution at the venue; pushed to us when `pushed`.
    fn trade(&mut self, trade_id: u64, lots: i64, pushed: bool) {
        let fill = Fill {
            instrument: BTC,
            client: ClientId::FOREIGN,
            order_id: 1,
            trade_id,
            side: Side::Buy,
            maker: true,
            price: Ticks(100),
            lots: Lots(lots),
            fee: Quote::ZERO,
            fee_known: true,
            source: Source::Query,
            ts: self.utc(),
        };
        self.fills.push(fill);
        let held = self.positions.iter().find(|held| held.0 == BTC).map_or(0, |held| held.1);
        self.positions.retain(|held| held.0 != BTC);
        self.positions.push((BTC, held + lots));
        if pushed {
            self.push_fill(&fill);
        }
    }

    fn push_fill(&mut self, fill: &Fill) {
        let push = Fill { source: Source::Push, ..*fill };
        let booked = self.book(&push);
        self.reconcile.on_fill(&push, booked, self.utc());
    }
}

fn position(instrument: InstrumentId, lots: i64, source: Source) -> PositionReport {
    let (entry, ts) = (Price::ZERO, UnixNanos(0));
    PositionReport { instrument, lots: Lots(lots), entry, leverage: 5, source, ts }
}

fn open_order(client: ClientId, order_id: u64) -> OrderUpdate {
    OrderUpdate {
        instrument: BTC,
        client,
        order_id,
        side: Side::Buy,
        status: OrderStatus::Live,
        price: Ticks(100),
        lots: Lots(10),
        filled: Lots(0),
        reason: CancelReason::None,
        reduce_only: false,
        source: Source::Query,
        ts: UnixNanos(0),
    }
}

#[test]
fn nothing_is_reconciled_before_orders_fills_positions_account_and_bills_were_read() {
    let mut world = World::new();
    assert_eq!(world.poll(), None, "the stream is not live");
    world.reconcile.stream(true, world.now);
    let mut queries: Vec<Query> = std::iter::from_fn(|| world.poll()).collect();
    let first = [Topic::OpenOrders, Topic::Fills, Topic::Account, Topic::Bills];
    assert_eq!(world.asked, first);
    for query in queries.split_off(0) {
        world.answer(&query);
        assert!(!world.reconcile.reconciled());
    }
    world.run(1);
    assert_eq!(world.asked[4..], [Topic::Fills, Topic::Positions], "positions come last");
    assert!(world.reconcile.reconciled());
    assert_eq!(world.actions.last(), Some(&Action::Agreed));
}

#[test]
fn light_checks_come_every_five_seconds_and_full_ones_every_three_hundred() {
    let mut world = World::live();
    world.run(600);
    let count = |topic| world.asked.iter().filter(|&&asked| asked == topic).count();
    assert!((116..=120).contains(&count(Topic::OpenOrders)));
    assert!((116..=120).contains(&count(Topic::Positions)));
    assert_eq!((count(Topic::Fills), count(Topic::Account)), (4, 2), "fills in equal pairs");
    assert!(world.reconcile.reconciled());
}

#[test]
fn after_a_reconnect_everything_is_checked_anew() {
    let mut world = World::live();
    world.reconcile.stream(false, world.now);
    assert!(!world.reconcile.reconciled());
    world.run(30);
    assert_eq!(world.asked, []);
    world.reconcile.stream(true, world.now);
    world.run(1);
    assert!(world.reconcile.reconciled());
    assert_eq!(world.asked.len(), 6);
}

#[test]
fn a_dropped_fill_is_found_by_the_position_and_explained_by_the_real_fill() {
    // 75 against −65: the difference was logged, and trading went on.
    let mut world = World::live();
    world.trade(1, 1, false);
    world.run(6);
    let drift = Action::Drift { instrument: BTC, ours: Lots(0), theirs: Lots(1) };
    assert!(world.actions.contains(&drift), "one lot within a light period");
    assert_eq!(world.ledger.position(BTC).lots, Lots(1), "by the fill, not by adoption");
    assert_eq!(world.reconcile.position_drift(), Rate::ZERO);
    assert!(world.reconcile.reconciled() && !world.reconcile.drift_unexplained());
    assert_eq!(world.actions.last(), Some(&Action::Agreed));
}

/// Seed 280008045: while the private stream was dead a fill was found by the position and booked
/// from the list, and the next one, of the same size, came before positions were read again. It
/// was taken for the same difference, which no fill had explained, and everything stopped for good.
#[test]
fn another_difference_of_the_same_size_is_looked_into_anew() {
    let mut world = World::live();
    world.trade(1, 1, false);
    loop {
        let Some(query) = world.poll() else {
            world.now = world.now.after(50 * MILLIS);
            continue;
        };
        let explained = world.ledger.position(BTC).lots == Lots(1);
        if explained && query.topic == Topic::Positions {
            world.trade(2, 1, false);
            world.answer(&query);
            break;
        }
        world.answer(&query);
    }
    let until = world.now.after(10 * SECONDS);
    while world.now < until {
        world.run(1);
        assert!(!world.reconcile.drift_unexplained(), "a fill is there that explains it");
    }
    assert_eq!(world.ledger.position(BTC).lots, Lots(2));
    assert!(world.reconcile.reconciled());
}

/// Seed 290005369: positions were pushed while they were asked for, so that the answer proved
/// nothing, and the execution came last. They were never asked for again, and nothing was quoted
/// until the private stream was next lost.
#[test]
fn positions_pushed_while_they_are_read_are_read_again_after_the_execution() {
    let mut world = World::live();
    let query = loop {
        match world.poll() {
            Some(query) if query.topic == Topic::Positions => break query,
            Some(query) => world.answer(&query),
            None => world.now = world.now.after(50 * MILLIS),
        }
    };
    let pushed = position(BTC, 1, Source::Push);
    world.reconcile.on_position(&pushed, &world.ledger, world.now);
    world.answer(&query);
    world.trade(1, 1, true);
    world.asked.clear();
    world.run(60);
    let reads = world.asked.iter().filter(|&&topic| topic == Topic::Positions).count();
    assert!(reads >= 10, "{reads} in a minute");
    assert!(world.reconcile.reconciled());
}

#[test]
fn a_difference_that_no_fill_explains_stays_unexplained_and_is_never_adopted() {
    let mut world = World::live();
    world.trade(1, 10, true);
    world.positions = vec![(BTC, 12), (ETH, -3)];
    world.run(10);
    assert!(world.reconcile.drift_unexplained() && !world.reconcile.reconciled());
    assert_eq!(world.reconcile.position_drift(), Rate(E8), "ETH: all of the larger");
    assert_eq!(world.ledger.position(BTC).lots, Lots(10));
    assert_eq!(world.ledger.position(ETH).lots, Lots(0));
    world.positions = vec![(BTC, 13)];
    world.run(10);
    assert!(world.reconcile.drift_unexplained(), "another difference explains nothing");
    world.reconcile.stream(false, world.now);
    world.reconcile.stream(true, world.now);
    assert!(world.reconcile.drift_unexplained(), "nor does a reconnect");
    world.positions = vec![(BTC, 10)];
    world.run(10);
    assert!(!world.reconcile.drift_unexplained() && world.reconcile.reconciled());
}

#[test]
fn a_drift_is_no_drift_before_two_reads_agree_on_it() {
    let mut world = World::live();
    world.run(4);
    world.trade(1, 5, false);
    while world.now < MonoNanos(30 * SECONDS) && world.asked.last() != Some(&Topic::Positions) {
        world.run(1);
    }
    let fill = world.fills[0];
    world.push_fill(&fill);
    world.actions.clear();
    world.run(20);
    assert_eq!(world.actions, []);
    assert_eq!(world.reconcile.position_drift(), Rate::ZERO);
}

#[test]
fn a_read_that_a_fill_crossed_proves_nothing() {
    // The snapshot was taken before the fill and arrived after it.
    let mut world = World::live();
    for n in 1..=20 {
        let query = loop {
            match world.poll() {
                Some(query) if query.topic == Topic::Positions => break query,
                Some(query) => world.answer(&query),
                None => world.now = world.now.after(50 * MILLIS),
            }
        };
        world.evidence(&query, Phase::Begin, 0);
        let items = world.items(&query);
        world.trade(n, 1, true);
        world.evidence(&query, Phase::End, items);
        assert_eq!(world.reconcile.doubt, Doubt::None, "read {n}");
    }
    world.run(10);
    assert!(world.reconcile.reconciled());
    assert_eq!(world.actions, []);
}

#[test]
fn an_empty_answer_is_not_flat_until_it_is_confirmed() {
    let mut world = World::live();
    world.trade(1, 10, true);
    let held = std::mem::take(&mut world.positions);
    while world.reconcile.doubt == Doubt::None {
        let query = world.poll();
        query.iter().for_each(|query| world.answer(query));
        world.now = world.now.after(50 * MILLIS);
    }
    assert_eq!(world.reconcile.position_drift(), Rate::ZERO);
    assert!(world.reconcile.reconciled());
    world.positions = held;
    world.run(10);
    assert_eq!(world.actions, [], "one empty answer was an accident");
    assert_eq!(world.ledger.position(BTC).lots, Lots(10));
}

#[test]
fn a_push_of_another_position_has_it_read_soon_unless_the_fill_follows() {
    let mut world = World::live();
    world.run(1);
    world.asked.clear();
    world.reconcile.on_position(&position(BTC, 5, Source::Push), &world.ledger, world.now);
    world.trade(1, 5, true);
    world.run(1);
    assert_eq!(world.asked, [], "the fill followed");

    world.trade(2, 4, false);
    world.reconcile.on_position(&position(BTC, 9, Source::Push), &world.ledger, world.now);
    world.run(2);
    assert_eq!(world.ledger.position(BTC).lots, Lots(9), "long before the light period ended");
}

#[test]
fn fills_are_asked_for_with_overlap_until_two_passes_are_equal() {
    let mut world = World::live();
    world.trade(1, 1, true);
    let last = world.utc();
    world.reconcile.want_fills(world.now);
    let query = world.poll().expect("asked at once");
    assert_eq!(query.since, UnixNanos(last.0 - OVERLAP_NS));
    world.answer(&query);
    // One that the venue indexed late turns up in the second pass: a third is needed.
    world.trade(2, 1, false);
    world.fills[1].ts = UnixNanos(last.0 - 60 * SECONDS as i64);
    world.asked.clear();
    world.run(2);
    assert_eq!(world.asked.iter().filter(|&&topic| topic == Topic::Fills).count(), 2);
    assert_eq!(world.actions, [Action::Close(UnixNanos(last.0 - OVERLAP_NS))]);
    assert_eq!(world.ledger.position(BTC).lots, Lots(2));
}

#[test]
fn a_fill_with_a_time_of_the_future_does_not_carry_the_window_away() {
    let mut world = World::live();
    world.trade(1, 1, false);
    let mut fill = world.fills[0];
    fill.ts = UnixNanos(i64::MAX);
    world.fills[0] = fill;
    world.push_fill(&fill);
    world.reconcile.want_fills(world.now);
    let query = world.poll().expect("asked at once");
    assert_eq!(query.since, UnixNanos(world.utc().0 - OVERLAP_NS));
}

#[test]
fn a_restart_asks_for_fills_from_before_the_last_one_booked() {
    let mut world = World::new();
    let booked = UnixNanos(ORIGIN - 3_600 * SECONDS as i64);
    world.reconcile.restore(booked);
    world.reconcile.restore(UnixNanos(0));
    world.reconcile.stream(true, world.now);
    let queries: Vec<Query> = std::iter::from_fn(|| world.poll()).collect();
    assert_eq!(queries[1].topic, Topic::Fills);
    assert_eq!(queries[1].since, UnixNanos(booked.0 - OVERLAP_NS));
}

#[test]
fn bills_are_asked_for_from_where_they_were_read_to_and_that_is_told() {
    let hour = 3_600 * SECONDS as i64;
    let mut world = World::new();
    let read = UnixNanos(ORIGIN - hour);
    world.reconcile.restore_bills(read);
    world.reconcile.stream(true, world.now);
    let query = std::iter::from_fn(|| world.poll()).find(|query| query.topic == Topic::Bills);
    let query = query.expect("bills are asked for");
    assert_eq!(query.since, UnixNanos(read.0 - CLOCKS_APART_NS));
    let began = world.utc();
    world.evidence(&query, Phase::Begin, 0);
    world.reconcile.on_bill();
    world.evidence(&query, Phase::End, 2);
    assert_eq!((world.reconcile.bill_passes(), world.reconcile.bills_from()), (0, read));
    // The next one is whole, though another topic's pass comes between its pages.
    world.now = world.now.after(SECONDS);
    let query = std::iter::from_fn(|| world.poll()).find(|query| query.topic == Topic::Bills);
    let query = query.expect("they are asked for again");
    world.evidence(&query, Phase::Begin, 0);
    world.reconcile.on_bill();
    let other = world.reconcile.ask_touch(BTC);
    world.answer(&other);
    world.reconcile.on_bill();
    world.evidence(&query, Phase::End, 2);
    let from = UnixNanos(began.0 + SECONDS as i64 - OVERLAP_NS);
    assert_eq!((world.reconcile.bill_passes(), world.reconcile.bills_from()), (1, from));
    world.run(2 * 3_600);
    let told: Vec<UnixNanos> = world
        .actions
        .iter()
        .filter_map(|action| match action {
            Action::BillsRead(until) => Some(*until),
            _ => None,
        })
        .collect();
    assert_eq!(told[0], from);
    assert!(told.windows(2).all(|pair| pair[1].0 - pair[0].0 >= hour), "{told:?}");
    assert_eq!(told.len(), 2, "an hour apart");
}

#[test]
fn bills_of_a_long_rest_are_read_a_month_at_a_time() {
    let mut world = World::new();
    world.now = MonoNanos(60 * UnixNanos::DAY.unsigned_abs());
    world.reconcile.restore_bills(UnixNanos(ORIGIN));
    world.reconcile.stream(true, world.now);
    let mut spans = vec![];
    for _ in 0..3 {
        let query = std::iter::from_fn(|| world.poll()).find(|query| query.topic == Topic::Bills);
        let query = query.expect("the next month");
        spans.push((query.since, bills_until(query.since, world.utc())));
        assert_eq!(world.reconcile.bill_passes(), 0);
        world.answer(&query);
    }
    assert_eq!(world.reconcile.bill_passes(), 1, "only the last one reaches to now");
    for pair in spans.windows(2) {
        let ((_, until), (since, _)) = (pair[0], pair[1]);
        assert!(until.expect("it has an end") > since, "no gap: {spans:?}");
    }
    assert_eq!(spans[2].1, None);
}

#[test]
fn a_pass_that_fails_is_cut_short_or_never_ends_proves_nothing_and_is_asked_again() {
    for fault in 0..3 {
        let mut world = World::new();
        let client = world.orders.next_client().expect("room");
        world.reconcile.stream(true, world.now);
        let query = world.poll().expect("open orders");
        world.evidence(&query, Phase::Begin, 0);
        match fault {
            0 => world.evidence(&query, Phase::Failed, 0),
            1 => world.evidence(&query, Phase::End, 3),
            _ => world.now = world.now.after(PASS_NS),
        }
        assert_eq!(world.reconcile.open_at_venue(), None);
        assert!(world.orders.order(client).is_none());
        world.asked.clear();
        world.run(3);
        assert!(world.asked.contains(&Topic::OpenOrders), "fault {fault}");
        assert!(world.reconcile.failures() > 0 && world.reconcile.reconciled());
        // The answer of the failed pass, coming at last, is nobody's.
        world.evidence(&query, Phase::Begin, 0);
        world.evidence(&query, Phase::End, 0);
        assert_eq!(world.reconcile.asked(), MonoNanos::ZERO);
    }
}

/// Has all questions answered but those about one topic, of which `seconds` after the newest good
/// pass is reconciled, and a nanosecond later is not.
fn expires(topic: Topic, seconds: u64) {
    for (beyond, fresh) in [(-1, true), (0, true), (1, false)] {
        let mut world = World::live();
        let place = place_of(topic).expect("it has a track");
        let last = world.reconcile.tracks[place].read.after(seconds * SECONDS);
        let until = last.after(1).0.saturating_add_signed(beyond - 1);
        while world.now.0 < until {
            world.now = MonoNanos(until.min(world.now.0 + 50 * MILLIS));
            while let Some(query) = world.poll() {
                if query.topic == topic {
                    world.evidence(&query, Phase::Failed, 0);
                } else {
                    world.answer(&query);
                }
            }
            assert!(
                world.reconcile.deadline() <= last.after(1) || !fresh,
                "it is looked at in time"
            );
        }
        assert_eq!(world.reconcile.reconciled(), fresh, "{topic} at {beyond:+}");
        world.run(6);
        assert!(world.reconcile.reconciled(), "{topic} is read again");
        assert!(world.actions.contains(&Action::Agreed), "{topic} is read again");
    }
}

/// The private stream lived, REST did not, and nothing was checked any more while quotes stood.
#[test]
fn orders_and_positions_read_30_s_ago_count_and_older_pause() {
    expires(Topic::OpenOrders, 30);
    expires(Topic::Positions, 30);
}

#[test]
fn bills_fills_and_account_read_600_s_ago_count_and_older_pause() {
    expires(Topic::Fills, 600);
    expires(Topic::Account, 600);
    expires(Topic::Bills, 600);
}

#[test]
fn a_topic_that_keeps_failing_is_asked_ever_more_slowly() {
    let mut world = World::new();
    world.reconcile.stream(true, world.now);
    for _ in 0..60 * 20 {
        while let Some(query) = world.poll() {
            world.evidence(&query, Phase::Failed, 0);
        }
        world.now = world.now.after(50 * MILLIS);
    }
    assert!((14..=18).contains(&(world.asked.len() / 4)), "{}", world.asked.len());
    assert!(!world.reconcile.reconciled());
}

#[test]
fn a_foreign_or_older_order_keeps_the_engine_from_being_reconciled() {
    for client in [ClientId::FOREIGN, ClientId { epoch: 6, number: 9 }] {
        let mut world = World::new();
        world.open = vec![open_order(client, 77)];
        world.reconcile.stream(true, world.now);
        world.run(5);
        assert!(!world.reconcile.reconciled());
        assert_eq!(world.orders.orphans().count(), 1);
        assert_eq!(world.reconcile.open_at_venue().map(|open| open.0), Some(1));
        world.open.clear();
        world.run(3);
        assert!(world.reconcile.reconciled());
        assert_eq!(world.reconcile.open_at_venue().map(|open| open.0), Some(0));
    }
}

#[test]
fn open_orders_can_be_counted_while_the_stream_is_lost() {
    // An ordered stop must see zero at the venue, stream or no stream.
    let mut world = World::live();
    world.open = vec![open_order(ClientId::FOREIGN, 5)];
    world.reconcile.stream(false, world.now);
    world.reconcile.want_orders(world.now);
    world.run(1);
    assert_eq!(world.asked, [Topic::OpenOrders]);
    assert_eq!(world.reconcile.open_at_venue().map(|open| open.0), Some(1));
    assert!(!world.reconcile.reconciled());
}

#[test]
fn a_list_wanted_while_another_is_under_way_is_asked_for_after_it() {
    let mut world = World::live();
    world.reconcile.want_orders(world.now);
    let first = world.poll().expect("asked at once");
    world.now = world.now.after(MILLIS);
    world.reconcile.want_orders(world.now);
    assert_eq!(world.poll(), None, "one at a time");
    world.answer(&first);
    assert_eq!(world.poll().map(|query| query.topic), Some(Topic::OpenOrders));
}

#[test]
fn restarts_and_repeated_passes_book_nothing_twice() {
    // Reconciliation not idempotent: duplicate fills and synthetic orders at each restart.
    let mut world = World::live();
    for n in 1..=5 {
        world.trade(n, 2, n % 2 == 0);
    }
    for _ in 0..10 {
        world.reconcile.stream(false, world.now);
        world.reconcile.stream(true, world.now);
        world.run(3);
        assert_eq!(world.ledger.position(BTC).lots, Lots(10));
        assert!(world.reconcile.reconciled());
    }
}

#[test]
fn the_share_of_a_drift_is_of_the_larger_position_and_rounded_up() {
    assert_eq!(share(Lots(0), Lots(0)), Rate::ZERO);
    assert_eq!(share(Lots(100), Lots(95)), Rate(5_000_000));
    assert_eq!(share(Lots(95), Lots(100)), Rate(5_000_000));
    assert_eq!(share(Lots(3), Lots(2)), Rate(33_333_334));
    assert_eq!(share(Lots(75), Lots(-65)), Rate(186_666_667));
    assert!(share(Lots(i64::MIN), Lots(i64::MAX)).0 > E8);
}
