//! The matcher alone, and the whole venue without a wire: requests a second on one core.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use keel_core::decimal::Decimal;
use keel_core::units::{E8, Lots, Price, Quote, Rate, Side, Ticks, UnixNanos};
use keel_sim::account::{AccountId, NewAccount};
use keel_sim::event::VenueEvent;
use keel_sim::instrument::{InstrumentId, Rules};
use keel_sim::matching::{Book, OrderKey, Resting, Step, Taker};
use keel_sim::order::{OrderId, OrderKind, OrderRef, PlaceRequest, PosSide, StpMode, TimeInForce};
use keel_sim::venue::{Marks, Venue};

/// Requests of one run.
const REQUESTS: usize = 100_000;
/// The middle of the book in ticks of 0.1 USDT.
const MIDDLE: i64 = 500_000;

/// One request to the matcher.
#[derive(Clone, Copy)]
enum Request {
    /// Rests so many ticks behind the middle.
    Rest { side: Side, behind: i64, size: i64 },
    /// Takes the best prices, at most so many ticks beyond the middle.
    Take { side: Side, beyond: i64, size: i64 },
    /// Cancels the order that was this many before the last one.
    Cancel { before: usize },
}

/// xorshift64: the same requests at every run, without a dependency.
struct Draw(u64);

impl Draw {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }

    fn side(&mut self) -> Side {
        Side::BOTH[self.below(2) as usize]
    }

    /// Of 100 requests 45 rest, mostly near the touch, 25 take and 30 cancel.
    fn request(&mut self) -> Request {
        match self.below(100) {
            0..45 => {
                let far = if self.below(10) < 7 { 6 } else { 400 };
                let behind = 1 + self.below(far) as i64;
                Request::Rest { side: self.side(), behind, size: 1 + self.below(20) as i64 }
            }
            45..70 => {
                let beyond = 1 + self.below(4) as i64;
                Request::Take { side: self.side(), beyond, size: 1 + self.below(25) as i64 }
            }
            _ => Request::Cancel { before: self.below(400) as usize },
        }
    }
}

/// What a run did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Done {
    rested: i64,
    canceled: i64,
    traded: i64,
    trades: u64,
    cancels: u64,
}

fn work(book: &mut Book, keys: &mut Vec<OrderKey>, requests: &[Request]) -> Done {
    let mut done = Done::default();
    let mut changes = Vec::new();
    for (id, request) in (1..).zip(requests) {
        match *request {
            Request::Rest { side, behind, size } => {
                let price = Ticks(MIDDLE - behind * side.sign());
                let order = Resting { id, owner: 1, family: 0, left: Lots(size) };
                keys.push(book.rest(side, price, order));
                done.rested += size;
            }
            Request::Take { side, beyond, size } => {
                let limit = Some(Ticks(MIDDLE + beyond * side.sign()));
                let left = Lots(size);
                let mut taker =
                    Taker { id, owner: 2, family: 0, side, limit, left, stp: StpMode::None };
                while let Step::Fill(trade) = book.step(&mut taker, |maker| maker.left) {
                    done.traded += trade.size.0;
                    done.trades += 1;
                }
            }
            Request::Cancel { before } => {
                let key = keys.len().checked_sub(1 + before).map(|at| keys[at]);
                if let Some(order) = key.and_then(|key| book.cancel(key)) {
                    done.canceled += order.left.0;
                    done.cancels += 1;
                }
            }
        }
        book.take_changes(&mut changes);
    }
    done
}

fn resting(book: &Book) -> i64 {
    Side::BOTH.iter().flat_map(|side| book.depth(*side)).map(|level| level.size.0).sum()
}

fn matcher(c: &mut Criterion) {
    let mut draw = Draw(0x9e37_79b9_7f4a_7c15);
    let requests: Vec<Request> = (0..REQUESTS).map(|_| draw.request()).collect();
    // A first run fills the book; what is timed starts from there.
    let (mut book, mut keys) = (Book::new(), Vec::with_capacity(2 * REQUESTS));
    work(&mut book, &mut keys, &requests);
    let before = resting(&book);
    let (mut copy, mut copy_keys) = (book.clone(), keys.clone());
    let done = work(&mut copy, &mut copy_keys, &requests);
    assert_eq!(resting(&copy), before + done.rested - done.canceled - done.traded);
    assert!(done.trades > REQUESTS as u64 / 7 && done.cancels > REQUESTS as u64 / 20, "{done:?}");
    assert!(copy.len() > 100, "{} orders rest", copy.len());
    println!("{done:?}, {} orders rest in the end", copy.len());
    let mut group = c.benchmark_group("matching");
    group.throughput(Throughput::Elements(REQUESTS as u64));
    group.bench_function("the book alone, 45 rest 25 take 30 cancel", |b| {
        b.iter_batched(
            || (book.clone(), keys.clone()),
            |(mut book, mut keys)| assert_eq!(work(&mut book, &mut keys, &requests), done),
            BatchSize::LargeInput,
        );
    });
    group.finish();
}

const NOW: UnixNanos = UnixNanos(1_789_430_460_000_000_000);
const BTC: InstrumentId = InstrumentId(0);

/// A venue with two clients and 200 orders of each a side.
fn venue() -> (Venue, [AccountId; 2]) {
    let mut venue = Venue::new(NOW);
    let mark = Price(MIDDLE * E8 / 10);
    let marks = Marks { mark, index: mark, funding_rate: Rate::ZERO };
    let rules = Rules { symbol_orders_max: 1_000, product_orders_max: 1_000, ..Rules::btcusdt() };
    venue.list(rules, marks).expect("rules that hold");
    let clients = [("maker", 1), ("taker", 2)].map(|(name, uid)| {
        let client = venue.open_account(NewAccount { name: name.into(), uid, parent: None }, NOW);
        venue.deposit(client, Quote::usdt(100_000_000), NOW).expect("money");
        client
    });
    for behind in 1..=200 {
        for side in Side::BOTH {
            venue
                .place(clients[0], &request(side, behind, 10, TimeInForce::PostOnly), NOW)
                .expect("it rests");
        }
    }
    (venue, clients)
}

fn request(side: Side, behind: i64, size: i64, time_in_force: TimeInForce) -> PlaceRequest {
    PlaceRequest {
        instrument: BTC,
        side,
        pos_side: PosSide::Net,
        kind: OrderKind::Limit,
        price: Some(Decimal { mantissa: MIDDLE - behind * side.sign(), scale: 1 }),
        size: Decimal { mantissa: size, scale: 4 },
        time_in_force,
        reduce_only: false,
        stp: StpMode::None,
        margin_mode: None,
        client_id: None,
    }
}

/// Places a post-only order, trades it away in turns with canceling it; two requests a round.
fn trade(venue: &mut Venue, [maker, taker]: [AccountId; 2], events: &mut Vec<VenueEvent>) -> u64 {
    let mut trades = 0;
    for round in 0..ROUNDS {
        let side = Side::BOTH[(round / 2 % 2) as usize];
        let rests = request(side, 0, 10, TimeInForce::PostOnly);
        let order: OrderId = venue.place(maker, &rests, NOW).expect("it rests").order;
        if round % 2 == 0 {
            let takes = request(side.opposite(), 0, 10, TimeInForce::Ioc);
            venue.place(taker, &takes, NOW).expect("it takes");
        } else {
            venue.cancel(maker, &OrderRef::Id(order), NOW).expect("it rests");
        }
        events.clear();
        venue.drain(events);
        trades +=
            events.iter().filter(|event| matches!(event, VenueEvent::Trade(_))).count() as u64;
    }
    trades
}

/// Rounds of one run of the venue.
const ROUNDS: u64 = 1_000;

fn whole(c: &mut Criterion) {
    let (mut venue, clients) = venue();
    let mut events = Vec::new();
    assert_eq!(trade(&mut venue, clients, &mut events), ROUNDS / 2);
    let position = venue.account(clients[0]).holding(BTC).position(PosSide::Net).lots;
    assert_eq!(position, Lots::ZERO, "as much was bought as was sold");
    let mut group = c.benchmark_group("venue");
    group.throughput(Throughput::Elements(2 * ROUNDS));
    group.bench_function("accounts, margin, fees and pushes: place, then trade or cancel", |b| {
        b.iter(|| assert_eq!(trade(&mut venue, clients, &mut events), ROUNDS / 2));
    });
    group.finish();
}

criterion_group!(benches, matcher, whole);
criterion_main!(benches);
