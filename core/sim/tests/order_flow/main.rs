//! Random order flow on the venue equals a naive one: every answer, every push, every print and
//! every level.
//!
//! A flow that shows a difference is made as short as it can be, and printed with its seed.

mod model;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind};

use keel_core::decimal::Decimal;
use keel_core::units::{E8, Lots, Price, Quote, Rate, Side, Ticks, UnixNanos};
use keel_sim::account::{AccountId, NewAccount};
use keel_sim::event::VenueEvent;
use keel_sim::instrument::{InstrumentId, Rules};
use keel_sim::matching::OrderKey;
use keel_sim::order::{
    Ack, ModifyRequest, OrderId, OrderKind, OrderRef, PlaceRequest, PosSide, StpMode, TimeInForce,
};
use keel_sim::reject::Reject;
use keel_sim::venue::{HouseOrder, Marks, Venue};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

use self::model::{CLIENTS, CROWD, Limits, Model, Said, Wish};

/// Flows of the test. The seed of each is its number.
const FLOWS: u64 = 100_000;
/// Most requests of one flow.
const OPS_MAX: usize = 40;
/// 2026-09-15 00:01 UTC, far from the next funding.
const NOW: UnixNanos = UnixNanos(1_789_430_460_000_000_000);
const BTC: InstrumentId = InstrumentId(0);
/// The mark in ticks of 0.1 USDT; the band is 5 % around it.
const MARK: i64 = 500_000;
/// Largest order in lots.
const SIZE_MAX: i64 = 400;

/// One request of a flow.
#[derive(Clone, Copy, Debug)]
enum Op {
    Place(Wish),
    /// The crowd's own door: no checks, no pushes.
    Crowd(Wish),
    /// Of all orders that were made, the one of this number, from the front again at the end.
    Cancel(usize),
    Modify {
        which: usize,
        price: Option<i64>,
        size: Option<i64>,
        cancel_if_refused: bool,
    },
    CancelAll(usize),
    /// A market order that closes a client's position.
    Close(usize),
}

fn drawn(random: &mut Pcg64Mcg) -> Op {
    match random.random_range(0..100) {
        0..55 => Op::Place(wish(random)),
        55..70 => Op::Crowd(Wish {
            owner: CROWD,
            size: random.random_range(1..60),
            reduce_only: false,
            stp: StpMode::None,
            name: None,
            ..wish(random)
        }),
        70..82 => Op::Cancel(random.random_range(0..1_000)),
        82..94 => Op::Modify {
            which: random.random_range(0..1_000),
            price: random.random_bool(0.7).then(|| price(random)),
            size: random.random_bool(0.6).then(|| size(random)),
            cancel_if_refused: random.random_bool(0.3),
        },
        94..96 => Op::CancelAll(random.random_range(0..CLIENTS)),
        _ => Op::Close(random.random_range(0..CLIENTS)),
    }
}

fn wish(random: &mut Pcg64Mcg) -> Wish {
    const FORCES: [TimeInForce; 6] = [
        TimeInForce::Gtc,
        TimeInForce::Gtc,
        TimeInForce::Gtc,
        TimeInForce::PostOnly,
        TimeInForce::Ioc,
        TimeInForce::Fok,
    ];
    const STPS: [StpMode; 5] = [
        StpMode::None,
        StpMode::None,
        StpMode::CancelTaker,
        StpMode::CancelMaker,
        StpMode::CancelBoth,
    ];
    let market = random.random_bool(0.08);
    Wish {
        owner: random.random_range(0..CLIENTS),
        side: if random.random_bool(0.5) { Side::Buy } else { Side::Sell },
        price: (!market).then(|| price(random)),
        size: size(random),
        force: FORCES[random.random_range(0..FORCES.len())],
        reduce_only: random.random_bool(0.25),
        stp: STPS[random.random_range(0..STPS.len())],
        name: random.random_bool(0.2).then(|| random.random_range(0..4)),
    }
}

/// Mostly one of a few prices, so that queues form; sometimes at the band's edge or beyond it.
fn price(random: &mut Pcg64Mcg) -> i64 {
    match random.random_range(0..20) {
        0 => [475_000, 474_999, 525_000, 525_001][random.random_range(0..4)],
        1 => random.random_range(460_000..540_000),
        _ => MARK + random.random_range(-4..=4),
    }
}

fn size(random: &mut Pcg64Mcg) -> i64 {
    match random.random_range(0..20) {
        0 => [0, 1, SIZE_MAX, SIZE_MAX + 1][random.random_range(0..4)],
        1..4 => random.random_range(20..200),
        _ => random.random_range(2..12),
    }
}

/// The venue and the model side by side.
struct Pair {
    venue: Venue,
    accounts: Vec<AccountId>,
    /// The venue's number of each order, in the order of making; none for the crowd's.
    ids: Vec<Option<OrderId>>,
    /// Where the crowd's orders rest.
    keys: BTreeMap<usize, OrderKey>,
    numbers: BTreeMap<OrderId, usize>,
    /// The book as the events of levels tell it.
    levels: [BTreeMap<i64, i64>; 2],
    model: Model,
    /// Codes of refusals and words of cancels that came up.
    seen: Seen,
}

type Seen = BTreeSet<String>;

impl Pair {
    fn new(orders_max: usize) -> Self {
        let mut venue = Venue::new(NOW);
        let mark = Price(MARK * E8 / 10);
        let rules = Rules {
            limit_size_max: Lots(SIZE_MAX),
            market_size_max: Lots(SIZE_MAX),
            symbol_orders_max: orders_max as u32,
            ..Rules::btcusdt()
        };
        let marks = Marks { mark, index: mark, funding_rate: Rate::ZERO };
        venue.list(rules, marks).expect("rules that hold");
        let mut accounts = Vec::new();
        for (client, name) in (0..CLIENTS).zip(["ann", "sub", "bob", "cat"]) {
            let parent = (client == 1).then(|| accounts[0]);
            let new = NewAccount { name: name.into(), uid: client as u64, parent };
            let account = venue.open_account(new, NOW);
            venue.deposit(account, Quote::usdt(1_000_000), NOW).expect("money");
            accounts.push(account);
        }
        accounts.push(venue.open_house("crowd", NOW));
        venue.drain(&mut Vec::new());
        let model = Model::new(Limits {
            band: [525_000, 475_000],
            mark: MARK,
            // 5 USDT in units of a tick times a lot, 0.00001 USDT.
            worth_min: 500_000,
            size_max: SIZE_MAX,
            orders_max,
        });
        let (ids, keys, numbers) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
        let levels = Default::default();
        Self { venue, accounts, ids, keys, numbers, levels, model, seen: Seen::new() }
    }

    /// Works one request on both and compares all that can be seen of it.
    fn work(&mut self, op: Op) -> Result<(), String> {
        match op {
            Op::Place(wish) => {
                let request = request(&wish);
                let answer = self.venue.place(self.accounts[wish.owner], &request, NOW);
                let expected = self.model.place(wish);
                same("answer", &self.told(answer), &expected)?;
            }
            Op::Crowd(wish) => {
                let (placed, key) = self.crowd(&wish);
                let (filled, rests) = self.model.crowd(wish);
                same("filled and rests", &(placed, key.is_some()), &(filled, rests.is_some()))?;
                self.keys.extend(rests.zip(key));
            }
            Op::Cancel(which) => self.cancel(which)?,
            Op::Modify { which, price, size, cancel_if_refused } => {
                let Some((order, id)) = self.chosen(which) else { return Ok(()) };
                let request = ModifyRequest {
                    instrument: BTC,
                    order: OrderRef::Id(id),
                    price: price.map(|price| decimal(price, 1)),
                    size: size.map(|size| decimal(size, 4)),
                    client_id: None,
                    cancel_if_refused,
                };
                let owner = self.accounts[self.model.made[order].wish.owner];
                let answer = self.venue.modify(owner, &request, NOW);
                let expected = self.model.modify(order, price, size, cancel_if_refused);
                same("answer", &self.told(answer), &expected)?;
            }
            Op::CancelAll(client) => {
                self.venue.cancel_all(self.accounts[client], None, NOW);
                self.model.cancel_all(client);
            }
            Op::Close(client) => {
                let wish = closing(client, self.model.positions[client]);
                let answers = self.venue.close_positions(self.accounts[client], None, None, NOW);
                let answers: Vec<_> = answers.into_iter().map(|(_, a)| self.told(a)).collect();
                let expected: Vec<_> =
                    wish.map(|wish| self.model.place(wish)).into_iter().collect();
                same("answers", &answers, &expected)?;
            }
        }
        self.compare()
    }

    fn crowd(&mut self, wish: &Wish) -> (i64, Option<OrderKey>) {
        let order = HouseOrder {
            side: wish.side,
            kind: wish.price.map_or(OrderKind::Market, |_| OrderKind::Limit),
            price: Ticks(wish.price.unwrap_or(0)),
            size: Lots(wish.size),
            time_in_force: wish.force,
        };
        let placed = self.venue.house_place(self.accounts[CROWD], BTC, &order, NOW);
        (placed.filled.0, placed.resting)
    }

    fn cancel(&mut self, which: usize) -> Result<(), String> {
        if self.ids.is_empty() {
            return Ok(());
        }
        let order = which % self.ids.len();
        match self.ids[order] {
            Some(id) => {
                let owner = self.accounts[self.model.made[order].wish.owner];
                let answer = self.venue.cancel(owner, &OrderRef::Id(id), NOW);
                let expected = self.model.cancel(order).map(|()| false);
                same("answer", &self.told(answer), &expected)
            }
            None => {
                let key = self.keys.get(&order);
                let left = key.and_then(|key| self.venue.house_cancel(BTC, *key, NOW));
                same("left", &left.map(|lots| lots.0), &self.model.crowd_cancel(order))
            }
        }
    }

    /// A client's order among all that were made.
    fn chosen(&self, which: usize) -> Option<(usize, OrderId)> {
        let order = which.checked_rem(self.ids.len())?;
        self.ids[order].map(|id| (order, id))
    }

    fn compare(&mut self) -> Result<(), String> {
        let said = self.said();
        same("told", &said, &self.model.said)?;
        self.model.said.clear();
        let book = &self.venue.instrument(BTC).book;
        for side in Side::BOTH {
            let depth: Vec<_> = book.depth(side).map(|d| (d.price.0, d.size.0, d.orders)).collect();
            same("depth", &depth, &self.model.depth(side))?;
            let ladder = &self.levels[side.index()];
            let mut pushed: Vec<_> = ladder.iter().map(|(p, s)| (*p, *s)).collect();
            pushed.sort_unstable_by_key(|level| level.0 * -side.sign());
            let sizes: Vec<_> = depth.iter().map(|level| (level.0, level.1)).collect();
            same("levels pushed", &pushed, &sizes)?;
        }
        for (account, expected) in self.accounts.iter().zip(self.model.positions) {
            let holding = self.venue.account(*account).holding(BTC);
            same("position", &holding.position(PosSide::Net).lots.0, &expected)?;
        }
        Ok(())
    }

    /// What the venue has told since the last look. New orders get their numbers.
    fn said(&mut self) -> Vec<Said> {
        let mut events = Vec::new();
        self.venue.drain(&mut events);
        let mut said = Vec::new();
        for event in events {
            match event {
                VenueEvent::Order(order) => {
                    let (filled, done) = (order.filled.0, order.status.is_done());
                    let order_number = self.number(order.id);
                    let reason = order.cancel_reason;
                    self.seen.extend(reason.map(|reason| reason.word().to_owned()));
                    said.push(Said::Order { order: order_number, filled, done, reason });
                }
                VenueEvent::Trade(p) => {
                    said.push(Said::Print { side: p.side, price: p.price.0, size: p.size.0 });
                }
                VenueEvent::Level(level) => {
                    let ladder = &mut self.levels[level.side.index()];
                    match level.size.0 {
                        0 => ladder.remove(&level.price.0),
                        size => ladder.insert(level.price.0, size),
                    };
                }
                _ => {}
            }
        }
        // The crowd's orders count too, and have no number of the venue.
        self.ids.resize(self.model.made.len(), None);
        said
    }

    /// Of an answer, what the model answers too.
    fn told(&mut self, answer: Result<Ack, Reject>) -> Result<bool, u32> {
        self.seen.extend(answer.as_ref().err().map(|reject| reject.code.to_string()));
        answer.map(|ack| ack.displaced).map_err(|reject| reject.code)
    }

    fn number(&mut self, id: OrderId) -> usize {
        if let Some(number) = self.numbers.get(&id) {
            return *number;
        }
        // One request makes one order at most.
        let number = self.ids.len();
        self.ids.push(Some(id));
        self.numbers.insert(id, number);
        number
    }
}

fn request(wish: &Wish) -> PlaceRequest {
    PlaceRequest {
        instrument: BTC,
        side: wish.side,
        pos_side: PosSide::Net,
        kind: wish.price.map_or(OrderKind::Market, |_| OrderKind::Limit),
        price: wish.price.map(|price| decimal(price, 1)),
        size: decimal(wish.size, 4),
        time_in_force: wish.force,
        reduce_only: wish.reduce_only,
        stp: wish.stp,
        margin_mode: None,
        client_id: wish.name.map(|name| format!("c{name}")),
    }
}

/// The market order that closes a position; none when there is none.
fn closing(owner: usize, position: i64) -> Option<Wish> {
    let side = if position > 0 { Side::Sell } else { Side::Buy };
    (position != 0).then_some(Wish {
        owner,
        side,
        price: None,
        size: position.abs(),
        force: TimeInForce::Ioc,
        reduce_only: true,
        stp: StpMode::None,
        name: None,
    })
}

const fn decimal(steps: i64, scale: u8) -> Decimal {
    Decimal { mantissa: steps, scale }
}

fn same<T: PartialEq + Debug>(what: &str, venue: &T, model: &T) -> Result<(), String> {
    if venue == model {
        return Ok(());
    }
    Err(format!("{what}\n  venue: {venue:?}\n  model: {model:?}"))
}

/// Works a flow; gives the difference that it shows, and after how many requests.
fn worked(orders_max: usize, flow: &[Op]) -> Result<Seen, (usize, String)> {
    let mut pair = Pair::new(orders_max);
    for (at, op) in flow.iter().enumerate() {
        let outcome = catch_unwind(AssertUnwindSafe(|| pair.work(*op)));
        outcome.unwrap_or_else(|_| Err("panic".into())).map_err(|text| (at + 1, text))?;
    }
    Ok(pair.seen)
}

/// Takes requests out of a flow as long as it still shows a difference.
fn shortest(orders_max: usize, mut flow: Vec<Op>) -> Vec<Op> {
    let mut at = 0;
    while at < flow.len() {
        let mut shorter = flow.clone();
        shorter.remove(at);
        match worked(orders_max, &shorter) {
            Err((used, _)) => {
                shorter.truncate(used);
                (flow, at) = (shorter, 0);
            }
            Ok(_) => at += 1,
        }
    }
    flow
}

/// Draws and works the flow of a seed; gives how many requests it had, and what came up in it.
///
/// # Errors
/// The shortened flow, and its difference.
fn judge(seed: u64) -> Result<(usize, Seen), String> {
    let mut random = Pcg64Mcg::seed_from_u64(seed);
    let orders_max = if random.random_bool(0.3) { 4 } else { 200 };
    let ops = random.random_range(1..=OPS_MAX);
    let mut flow: Vec<Op> = (0..ops).map(|_| drawn(&mut random)).collect();
    let used = match worked(orders_max, &flow) {
        Ok(seen) => return Ok((ops, seen)),
        Err((used, _)) => used,
    };
    flow.truncate(used);
    let flow = shortest(orders_max, flow);
    let (_, text) = worked(orders_max, &flow).expect_err("a shortened flow still differs");
    let listed: String = flow.iter().map(|op| format!("  {op:?}\n")).collect();
    Err(format!("seed {seed}, at most {orders_max} open orders:\n{listed}differs in: {text}"))
}

#[test]
fn random_order_flow_on_the_venue_equals_a_naive_one() {
    let half = |first: u64| {
        let (mut ops, mut seen) = (0, Seen::new());
        for seed in (first..FLOWS).step_by(2) {
            let (of_flow, in_flow) = judge(seed)?;
            ops += of_flow;
            seen.extend(in_flow);
        }
        Ok::<_, String>((ops, seen))
    };
    let halves = std::thread::scope(|scope| {
        let other = scope.spawn(|| half(1));
        [half(0), other.join().expect("differences are told, not thrown")]
    });
    let [(ops, mut seen), (more, others)] =
        halves.map(|half| half.unwrap_or_else(|difference| panic!("{difference}")));
    seen.extend(others);
    println!("{FLOWS} flows, {} requests", ops + more);
    let words: Vec<&str> = seen.iter().map(String::as_str).collect();
    assert_eq!(words, ENDS, "the flows reach all that they are there for");
}

/// Every refusal and every end that the flows must reach.
const ENDS: [&str; 18] = [
    "25205",
    "25206",
    "25207",
    "25208",
    "25211",
    "25212",
    "25227",
    "25571",
    "25611",
    "45055",
    "delegated_risk_order_cancel",
    "fok_not_full_cancel",
    "ioc_not_full_cancel",
    "limit_price_exceed_cancel",
    "modify_limit_order",
    "normal_cancel",
    "post_only_fill_cancel",
    "stp_cancel",
];
