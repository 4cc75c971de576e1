//! The paper venue by itself: what an engine is told, and what must hold whatever the tape says.

use std::collections::BTreeMap;

use keel_core::command::CancelCause;
use keel_core::event::{BillKind, FeeSource, Ticker};
use keel_core::gate::{Intent, Purpose};
use keel_core::instrument::btcusdt;
use keel_core::units::{E8, Price, Side, Ticks};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

use super::*;
use crate::queue::fixture::{self, Level};

const BTC: InstrumentId = InstrumentId(0);
const START: MonoNanos = MonoNanos(3_600 * SECONDS);
/// 2026-09-15 00:01 UTC.
const UTC: i64 = 1_789_430_460_000_000_000;
const MS: u64 = MILLIS;

fn terms() -> Terms {
    Terms {
        balance: Quote::usdt(10_000),
        maker: Rate(20_000),
        taker: Rate(60_000),
        latency: Latency::new([5 * MS, 20 * MS, 80 * MS, 400 * MS]).expect("ascending"),
        cancels: Cancels::Proportional,
        seed: 1,
    }
}

/// A paper venue on a market that the test makes.
struct Desk {
    paper: Paper<'static>,
    now: MonoNanos,
    seq: u64,
    orders: u64,
    trades: u64,
}

impl Desk {
    /// After its login, with a bid of 10 at 999 and an ask of 8 at 1001.
    fn new(terms: Terms) -> Self {
        let rules = [btcusdt()];
        let paper = Paper::new(terms, &rules, fixture::books(1), 7, START);
        let mut desk = Self { paper, now: START, seq: 0, orders: 0, trades: 0 };
        desk.wait(400);
        desk.frame(true, &[(Side::Buy, 999, 10), (Side::Sell, 1001, 8)]);
        desk
    }

    fn utc(&self) -> UnixNanos {
        UnixNanos(UTC + (self.now.0 - START.0) as i64)
    }

    fn wait(&mut self, ms: u64) {
        for _ in 0..ms {
            self.now = self.now.after(MS);
            self.paper.advance(self.utc(), self.now);
        }
    }

    fn tell(&mut self, event: &Event) {
        let utc = self.utc();
        self.paper.advance(utc, self.now);
        self.paper.market(event, utc, self.now);
    }

    fn frame(&mut self, snapshot: bool, levels: &[Level]) {
        let before = self.seq;
        self.seq += 1;
        let pages = fixture::pages((self.seq, before), self.utc(), snapshot, levels);
        pages.iter().for_each(|page| self.tell(&Event::BookPage(*page)));
    }

    fn print(&mut self, taker: Side, price: i64, lots: i64) {
        self.trades += 1;
        let (price, lots, trade_id) = (Ticks(price), Lots(lots), self.trades);
        let trade = Trade { instrument: BTC, taker, price, lots, trade_id, ts: self.utc() };
        self.tell(&Event::Trade(trade));
    }

    fn mark(&mut self, usdt: i64, rate: i64, funding_at: i64) {
        let price = Price(usdt * E8);
        self.tell(&Event::Ticker(Ticker {
            instrument: BTC,
            last: price,
            mark: price,
            index: price,
            funding_rate: Rate(rate),
            funding_at: UnixNanos(funding_at),
            ts: self.utc(),
        }));
    }

    fn spec(&mut self, side: Side, price: i64, lots: i64) -> OrderSpec {
        self.orders += 1;
        OrderSpec {
            client: ClientId { epoch: 7, number: self.orders },
            intent: Intent {
                instrument: BTC,
                side,
                price: Ticks(price),
                lots: Lots(lots),
                time_in_force: TimeInForce::PostOnly,
                reduce_only: false,
                level: 0,
                purpose: Purpose::Quote,
                made: self.now,
            },
        }
    }

    fn place(&mut self, side: Side, price: i64, lots: i64) -> ClientId {
        let spec = self.spec(side, price, lots);
        self.paper.place(&spec, self.now);
        spec.client
    }

    fn cancel(&mut self, client: ClientId) {
        let cause = CancelCause::Requote;
        let cancel = Cancel { instrument: BTC, client, order_id: 0, cause };
        self.paper.cancel(&cancel, self.now);
    }

    fn events(&mut self) -> Vec<Event> {
        self.paper.events().drain(..).collect()
    }

    /// What a question brings, without its begin and its end, which must agree with it.
    fn ask(&mut self, topic: Topic, client: ClientId, since: UnixNanos) -> Vec<Event> {
        self.events();
        let instrument = InstrumentId::ALL;
        self.paper.ask(&Query { pass: 3, topic, instrument, client, since }, self.now);
        let asked = self.now;
        self.wait(500);
        let mut events = self.events();
        let pushed =
            |event: &Event| matches!(event, Event::AccountReport(r) if r.source == Source::Push);
        events.retain(|event| !pushed(event));
        let Some(Event::Evidence(end)) = events.pop() else { panic!("no end: {events:?}") };
        let Event::Evidence(begin) = events.remove(0) else { panic!("no begin: {events:?}") };
        assert_eq!((begin.phase, end.phase), (Phase::Begin, Phase::End));
        assert_eq!((begin.asked, end.asked, begin.pass), (asked, asked, 3));
        assert_eq!(end.items as usize, events.len(), "{topic}");
        events
    }
}

/// Kinds of events, shortly.
fn said(events: &[Event]) -> Vec<String> {
    let text = |event: &Event| match event {
        Event::Reply(reply) => format!("{} {}", reply.request, reply.outcome),
        Event::OrderUpdate(update) => match update.reason {
            CancelReason::None => format!("order {}", update.status),
            reason => format!("order {} {reason}", update.status),
        },
        Event::Fill(fill) => format!("fill {}", fill.lots.0),
        Event::PositionReport(report) => format!("position {}", report.lots.0),
        Event::AccountReport(_) => "account".to_owned(),
        other => format!("{other:?}"),
    };
    events.iter().map(text).collect()
}

#[test]
fn a_login_tells_settings_fees_and_that_the_stream_is_live_and_then_the_account() {
    let mut desk = Desk::new(terms());
    let events = desk.events();
    assert!(matches!(events[0], Event::Settings(s) if s.uid == 0 && !s.may_move_money));
    let Event::FeeRate(fee) = events[1] else { panic!("{events:?}") };
    assert_eq!((fee.maker, fee.taker, fee.source), (Rate(20_000), Rate(60_000), FeeSource::Manual));
    assert!(matches!(events[2], Event::Health(h) if h.measure == Measure::OrderEntry));
    assert!(matches!(events[3], Event::Feed(f) if f.state == FeedState::Live));
    assert!(matches!(events[4], Event::AccountReport(a) if a.balance == Quote::usdt(10_000)));
    assert_eq!(events.len(), 5);
    desk.wait(11_000);
    assert_eq!(said(&desk.events()), ["account", "account"], "it does not fall silent");
    desk.wait(290_000);
    assert!(desk.events().iter().any(|event| matches!(event, Event::FeeRate(_))), "fees again");
}

#[test]
fn an_order_rests_after_its_latency_and_is_filled_by_the_tape_alone() {
    let mut desk = Desk::new(terms());
    desk.events();
    desk.place(Side::Buy, 999, 5);
    desk.print(Side::Sell, 999, 1_000);
    desk.wait(4);
    desk.print(Side::Sell, 998, 1_000);
    assert_eq!(said(&desk.events()), [""; 0], "on its way nothing hits it");
    desk.wait(400);
    assert_eq!(said(&desk.events()), ["place received", "order live"]);
    desk.print(Side::Sell, 999, 12);
    let events = desk.events();
    let told = ["fill 2", "order partially_filled", "position 2", "account"];
    assert_eq!(said(&events), told);
    let Event::Fill(fill) = events[0] else { panic!("{events:?}") };
    // 0.0002 BTC at 99.9 USDT, 2 bp, rounded up.
    assert_eq!((fill.maker, fill.fee_known, fill.fee), (true, true, Quote(400)));
    desk.print(Side::Sell, 998, 3);
    assert_eq!(said(&desk.events())[..2], ["fill 3", "order filled"]);
    desk.frame(false, &[(Side::Sell, 999, 4), (Side::Buy, 999, 0), (Side::Buy, 990, 4)]);
    assert_eq!(desk.paper.open_orders(), 0);
}

#[test]
fn what_a_frame_shows_through_an_order_ends_or_fills_it() {
    let mut desk = Desk::new(terms());
    desk.place(Side::Buy, 1000, 5);
    desk.wait(400);
    desk.events();
    let through = [(Side::Sell, 1000, 4)];
    desk.frame(false, &through);
    assert_eq!(said(&desk.events()), ["order canceled post_only_fill_cancel"]);
    desk.frame(false, &[(Side::Sell, 1000, 0)]);
    desk.place(Side::Buy, 1000, 5);
    desk.wait(400);
    desk.frame(false, &[(Side::Sell, 1001, 7)]);
    desk.events();
    desk.frame(false, &through);
    let events = desk.events();
    let told = ["fill 4", "order partially_filled", "position 4", "account"];
    assert_eq!(said(&events), told);
    let Event::Fill(fill) = events[0] else { panic!("{events:?}") };
    assert_eq!((fill.maker, fill.price, fill.ts), (true, Ticks(1000), desk.utc()));
    assert_eq!((desk.paper.open_orders(), desk.paper.position(BTC)), (1, Lots(4)));
}

#[test]
fn an_order_joins_between_two_frames_and_never_within_one() {
    let mut desk = Desk::new(terms());
    desk.events();
    desk.place(Side::Buy, 999, 5);
    let levels = [(Side::Buy, 999, 30), (Side::Sell, 1001, 8)];
    let pages = fixture::pages((2, 1), desk.utc(), false, &levels);
    let [first, last] = pages[..] else { panic!("a page a side") };
    desk.tell(&Event::BookPage(first));
    desk.wait(400);
    assert_eq!(said(&desk.events()), [""; 0], "half a frame says nothing of a queue");
    desk.tell(&Event::BookPage(last));
    desk.wait(1);
    let events = desk.events();
    let Event::Reply(reply) = events[0] else { panic!("{events:?}") };
    assert_eq!(desk.paper.ahead(reply.order_id), Some(Lots(30)));
}

#[test]
fn a_cancel_may_come_too_late_and_says_so() {
    let mut desk = Desk::new(terms());
    let client = desk.place(Side::Buy, 999, 5);
    desk.cancel(client);
    desk.events();
    desk.wait(800);
    let told = ["place received", "order live", "cancel received", "order canceled normal_cancel"];
    assert_eq!(said(&desk.events()), told, "no cancel overtakes its order");
    desk.cancel(client);
    desk.wait(400);
    let events = desk.events();
    let [Event::Reply(reply)] = events[..] else { panic!("{events:?}") };
    assert_eq!((reply.outcome, reply.class), (Outcome::Rejected, RejectClass::NotFound));
}

#[test]
fn an_order_that_would_take_is_canceled_as_the_venue_does_and_a_taker_is_refused() {
    let mut desk = Desk::new(terms());
    desk.events();
    desk.place(Side::Buy, 1001, 5);
    desk.wait(400);
    let told = ["place received", "order canceled post_only_fill_cancel"];
    assert_eq!(said(&desk.events()), told);
    let mut taker = desk.spec(Side::Buy, 1001, 5);
    taker.intent.time_in_force = TimeInForce::Ioc;
    let mut reducer = desk.spec(Side::Buy, 999, 5);
    reducer.intent.reduce_only = true;
    let small = desk.spec(Side::Buy, 999, 0);
    for spec in [taker, reducer, small] {
        desk.paper.place(&spec, desk.now);
        desk.wait(400);
        assert_eq!(said(&desk.events()), ["place rejected"], "{spec:?}");
    }
    desk.tell(&Event::Feed(Feed {
        stream: Stream::Public,
        state: FeedState::Gap,
        instrument: BTC,
        connects: 1,
    }));
    desk.place(Side::Buy, 999, 5);
    desk.wait(400);
    assert_eq!(said(&desk.events()), ["place rejected"], "nobody knows where it would stand");
}

#[test]
fn an_order_that_only_reduces_ends_with_what_it_could_reduce() {
    let mut desk = Desk::new(terms());
    desk.place(Side::Buy, 1000, 5);
    desk.wait(400);
    desk.print(Side::Sell, 1000, 5);
    for price in [1002, 1003] {
        let mut spec = desk.spec(Side::Sell, price, 5);
        spec.intent.reduce_only = true;
        desk.paper.place(&spec, desk.now);
    }
    desk.wait(800);
    assert_eq!(desk.paper.open_orders(), 2);
    desk.events();
    desk.print(Side::Buy, 1003, 3);
    let told =
        ["fill 3", "order partially_filled", "order canceled other", "position 2", "account"];
    assert_eq!(said(&desk.events()), told);
}

#[test]
fn funding_settles_once_at_its_time_by_the_rate_that_stood_before() {
    let mut desk = Desk::new(terms());
    desk.place(Side::Buy, 1000, 10_000);
    desk.wait(400);
    desk.print(Side::Sell, 1000, 10_000);
    let balance = desk.paper.balance();
    let at = desk.utc().0 + (10 * SECONDS) as i64;
    desk.mark(100, 10_000, at);
    desk.wait(9_000);
    assert_eq!(desk.paper.balance(), balance);
    desk.events();
    desk.wait(2_000);
    // One bitcoin at 100 USDT, 1 bp.
    assert_eq!(desk.paper.balance(), balance - Quote(1_000_000));
    let events = desk.events();
    let Event::Bill(bill) = events[0] else { panic!("{events:?}") };
    assert_eq!((bill.kind, bill.amount), (BillKind::Funding, Quote(-1_000_000)));
    assert_eq!(bill.ts, UnixNanos(at));
    desk.mark(100, 90_000, at);
    desk.wait(2_000);
    assert_eq!(desk.paper.balance(), balance - Quote(1_000_000), "not twice");
    let bills = desk.ask(Topic::Bills, ClientId::FOREIGN, UnixNanos(0));
    assert_eq!(bills, [Event::Bill(bill)]);
}

#[test]
fn the_countdown_cancels_everything_unless_it_is_put_off() {
    let mut desk = Desk::new(terms());
    desk.place(Side::Buy, 999, 5);
    desk.paper.countdown(5, desk.now);
    desk.wait(4_000);
    desk.paper.countdown(5, desk.now);
    desk.wait(4_500);
    assert_eq!(desk.paper.open_orders(), 1);
    desk.wait(1_000);
    assert_eq!(desk.paper.open_orders(), 0);
}

#[test]
fn the_switch_beside_the_engine_ends_what_rests_and_what_is_on_its_way() {
    let mut desk = Desk::new(terms());
    desk.place(Side::Buy, 999, 5);
    desk.wait(400);
    desk.place(Side::Sell, 1001, 5);
    desk.events();
    let utc = desk.utc();
    desk.paper.clear(utc);
    assert_eq!(said(&desk.events()), ["place not_sent", "order canceled normal_cancel"]);
    desk.wait(500);
    assert_eq!((desk.paper.open_orders(), said(&desk.events()).len()), (0, 0));
}

#[test]
fn questions_are_answered_by_what_is_there_when_they_arrive() {
    let mut desk = Desk::new(terms());
    let begin = desk.utc();
    let first = desk.place(Side::Buy, 1000, 5);
    desk.wait(400);
    desk.print(Side::Sell, 1000, 2);
    let orders = desk.ask(Topic::OpenOrders, ClientId::FOREIGN, UnixNanos(0));
    assert_eq!(said(&orders), ["order partially_filled"]);
    let fills = desk.ask(Topic::Fills, ClientId::FOREIGN, begin);
    assert_eq!(said(&fills), ["fill 2"]);
    let later = desk.utc();
    assert_eq!(desk.ask(Topic::Fills, ClientId::FOREIGN, later).len(), 0);
    assert_eq!(said(&desk.ask(Topic::Positions, ClientId::FOREIGN, later)), ["position 2"]);
    assert_eq!(said(&desk.ask(Topic::Account, ClientId::FOREIGN, later)), ["account"]);
    let one = |desk: &mut Desk, client| said(&desk.ask(Topic::Order, client, later));
    assert_eq!(one(&mut desk, first), ["order partially_filled"]);
    desk.cancel(first);
    desk.wait(400);
    assert_eq!(one(&mut desk, first), ["order canceled normal_cancel"]);
    let unknown = ClientId { epoch: 7, number: 99 };
    assert_eq!(one(&mut desk, unknown), ["order not_found"]);
}

#[test]
fn what_an_earlier_run_left_is_held_again() {
    let rules = [btcusdt()];
    let mut paper = Paper::new(terms(), &rules, fixture::books(1), 8, START);
    paper.restore(&Event::RestorePosition(RestorePosition {
        instrument: BTC,
        lots: Lots(-3),
        entry_value: -3_000,
        last_trade_id: 1,
        last_trade_at: UnixNanos(UTC),
    }));
    assert_eq!(paper.position(BTC), Lots(-3));
}

/// What a flow has told, and what must be true of it.
#[derive(Default)]
struct Told {
    /// When each order was sent.
    sent: BTreeMap<ClientId, MonoNanos>,
    position: i64,
    cash: i128,
    trades: BTreeMap<u64, i64>,
    filled: i64,
}

impl Told {
    fn take(&mut self, desk: &mut Desk, printed: i64, seed: u64) {
        let mut of_print = 0;
        for event in desk.events() {
            match event {
                Event::Fill(fill) => {
                    let waited = desk.now.since(self.sent[&fill.client]);
                    assert!(waited >= terms().latency.min_ns, "seed {seed}: before its latency");
                    assert_eq!(self.trades.insert(fill.trade_id, fill.lots.0), None, "seed {seed}");
                    let signed = fill.side.sign() * fill.lots.0;
                    self.position += signed;
                    // A tick times a lot is 1000 here.
                    self.cash -= i128::from(signed * fill.price.0 * 1_000 + fill.fee.0);
                    of_print += fill.lots.0;
                }
                Event::PositionReport(report) => {
                    assert_eq!(report.lots.0, self.position, "seed {seed}");
                }
                Event::Reply(Reply { request: RequestKind::Place, client, order_id, .. })
                    if order_id > 0 =>
                {
                    let waited = desk.now.since(self.sent[&client]);
                    assert!(waited >= terms().latency.min_ns, "seed {seed}: answered early");
                }
                _ => {}
            }
        }
        assert!(of_print <= printed, "seed {seed}: {of_print} of a print of {printed}");
        self.filled += of_print;
    }
}

#[test]
fn whatever_the_tape_says_position_and_money_are_the_sums_of_what_was_told() {
    let mut filled = 0;
    for seed in 0..100 {
        let mut random = Pcg64Mcg::seed_from_u64(seed);
        let mut desk = Desk::new(Terms { seed, ..terms() });
        let mut told = Told::default();
        told.take(&mut desk, 0, seed);
        for _ in 0..300 {
            let side = if random.random_bool(0.5) { Side::Buy } else { Side::Sell };
            let near = random.random_range(0..3);
            let price = if side == Side::Buy { 999 - near } else { 1001 + near };
            let mut printed = 0;
            match random.random_range(0..8) {
                0 => {
                    let lots = random.random_range(1..30);
                    let client = desk.place(side, price, lots);
                    told.sent.insert(client, desk.now);
                }
                1 => {
                    let number = random.random_range(1..desk.orders + 2);
                    desk.cancel(ClientId { epoch: 7, number });
                }
                2..5 => {
                    desk.wait(random.random_range(0..60));
                    told.take(&mut desk, 0, seed);
                    printed = random.random_range(1..60);
                    desk.print(side.opposite(), price, printed);
                }
                _ => desk.frame(false, &[(side, price, random.random_range(1..40))]),
            }
            told.take(&mut desk, printed, seed);
        }
        desk.paper.cancel_all(InstrumentId::ALL, desk.now);
        desk.wait(500);
        assert_eq!(desk.paper.open_orders(), 0, "seed {seed}");
        assert_eq!(desk.paper.position(BTC).0, told.position, "seed {seed}");
        // Closed at its cost, the position is worth what the balance lacks.
        let Event::AccountReport(account) = ({
            desk.mark(100, 0, 0);
            desk.ask(Topic::Account, ClientId::FOREIGN, UnixNanos(0)).remove(0)
        }) else {
            panic!("an account")
        };
        let worth = told.cash + i128::from(told.position) * 1_000_000;
        let gained = i128::from((account.equity - Quote::usdt(10_000)).0);
        assert_eq!(gained, worth, "seed {seed}: every unit is accounted for");
        filled += told.filled;
    }
    assert!(filled > 1_000, "the flows fill: {filled}");
}
