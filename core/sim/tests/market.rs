//! The living market, held to the recorded one.
//!
//! The recorded figures are those that `python3 core/sim/data/make.py DIRECTORY --bursts` prints:
//! medians over four bursts of 1,000 prints of BTCUSDT each, in February and March 2026.

use keel_core::decimal::Decimal;
use keel_core::units::{Lots, Quote, Side, Ticks, UnixNanos};
use keel_sim::account::{AccountId, Fees, NewAccount};
use keel_sim::candle::Candle;
use keel_sim::event::{Print, VenueEvent};
use keel_sim::instrument::{InstrumentId, Status};
use keel_sim::market::{Market, Settings};
use keel_sim::order::{
    OrderId, OrderKind, OrderRef, OrderStatus, PlaceRequest, PosSide, StpMode, TimeInForce,
};
use keel_sim::venue::Venue;

/// Prints a second.
const RECORDED_RATE: f64 = 3.683;
/// Prints that share a millisecond.
const RECORDED_CLUSTER: f64 = 2.220;
/// The median size of a print in lots.
const RECORDED_SIZE: f64 = 5.0;
/// The root mean square of the change of the price over 1 s and over 30 s, in bp.
const RECORDED_DEVIATION: [(usize, f64); 2] = [(1, 0.305), (30, 1.732)];
/// The median distance of prints of opposite sides, in ticks.
const RECORDED_SPREAD: i64 = 1;

const BTC: InstrumentId = InstrumentId(0);
const ETH: InstrumentId = InstrumentId(1);
const START: UnixNanos = UnixNanos(1_800_000_123 * SECOND);
const SECOND: i64 = 1_000_000_000;

/// A venue with its market, and what it said.
struct World {
    venue: Venue,
    market: Market,
    now: UnixNanos,
    events: Vec<VenueEvent>,
}

impl World {
    fn open(seed: u64, now: UnixNanos) -> Self {
        let mut venue = Venue::new(now);
        let market = Market::open(&mut venue, &Settings::new(seed), now);
        let mut world = Self { venue, market, now, events: Vec::new() };
        world.venue.drain(&mut world.events);
        world.events.clear();
        world
    }

    /// Runs to `end`, event by event.
    fn run_to(&mut self, end: UnixNanos) {
        while self.market.deadline() <= end {
            let now = self.market.deadline();
            self.market.step(&mut self.venue, now);
        }
        self.now = end;
        self.venue.advance(end);
        self.venue.drain(&mut self.events);
    }

    fn run(&mut self, nanos: i64) {
        self.run_to(UnixNanos(self.now.0 + nanos));
    }

    fn touch(&self, id: InstrumentId) -> [i64; 2] {
        let book = &self.venue.instrument(id).book;
        Side::BOTH.map(|side| book.best(side).expect("a book has two sides").0)
    }

    /// Price and size of the best level of either side.
    fn best(&self, id: InstrumentId) -> [(i64, i64); 2] {
        let best = |side| self.venue.instrument(id).book.depth(side).next().expect("two sides");
        Side::BOTH.map(|side| (best(side).price.0, best(side).size.0))
    }

    fn mid(&self, id: InstrumentId) -> f64 {
        let [bid, ask] = self.touch(id);
        (bid + ask) as f64 / 2.0
    }

    fn prints(&self, id: InstrumentId) -> Vec<Print> {
        let print = |event: &VenueEvent| match event {
            VenueEvent::Trade(print) if print.instrument == id => Some(*print),
            _ => None,
        };
        self.events.iter().filter_map(print).collect()
    }

    fn live(&self, order: OrderId) -> bool {
        let live = [OrderStatus::Live, OrderStatus::PartiallyFilled];
        self.venue.order(order).is_some_and(|order| live.contains(&order.status))
    }

    /// How far the mid is from where the record draws it.
    fn gap_bps(&mut self, id: InstrumentId) -> f64 {
        let target = self.market.drawn_to(id, self.now).expect("a contract of the market").0 as f64;
        let tick = self.venue.instrument(id).rules.grids.price_of(Ticks(1)).0 as f64;
        (self.mid(id) * tick / target - 1.0).abs() * 1e4
    }

    fn client(&mut self) -> AccountId {
        let new = NewAccount { name: "client".into(), uid: 7, parent: None };
        let client = self.venue.open_account(new, self.now);
        self.venue.deposit(client, Quote::usdt(1_000_000), self.now).expect("a deposit");
        self.venue.set_fees(client, None, Fees::market_maker()).unwrap();
        client
    }

    fn place(
        &mut self,
        client: AccountId,
        id: InstrumentId,
        side: Side,
        price: Ticks,
        size: Lots,
        time_in_force: TimeInForce,
    ) -> OrderId {
        let grids = self.venue.instrument(id).rules.grids;
        let request = PlaceRequest {
            instrument: id,
            side,
            pos_side: PosSide::Net,
            kind: OrderKind::Limit,
            price: Some(decimal(grids.price_of(price).0)),
            size: decimal(grids.size_e8(size)),
            time_in_force,
            reduce_only: false,
            stp: StpMode::None,
            margin_mode: None,
            client_id: None,
        };
        self.venue.place(client, &request, self.now).expect("a sound order").order
    }
}

fn decimal(e8: i64) -> Decimal {
    let text = format!("{}.{:08}", e8 / 100_000_000, e8 % 100_000_000);
    Decimal::parse(text.as_bytes()).expect("a decimal")
}

/// What a run looked like from outside.
#[derive(Debug)]
struct Figures {
    rate: f64,
    cluster: f64,
    size: f64,
    spread: i64,
    /// The share of seconds at whose end the spread was one tick.
    tight: f64,
    deviation: [f64; 2],
}

fn figures(world: &mut World, id: InstrumentId, seconds: i64) -> Figures {
    let (mut mids, mut spreads) = (vec![world.mid(id)], Vec::new());
    world.events.clear();
    for _ in 0..seconds {
        world.run(SECOND);
        let [bid, ask] = world.touch(id);
        mids.push(world.mid(id));
        spreads.push(ask - bid);
    }
    let prints = world.prints(id);
    let mut sizes: Vec<i64> = prints.iter().map(|print| print.size.0).collect();
    let mut moments: Vec<i64> = prints.iter().map(|print| print.at.millis()).collect();
    sizes.sort_unstable();
    moments.dedup();
    spreads.sort_unstable();
    Figures {
        rate: prints.len() as f64 / seconds as f64,
        cluster: prints.len() as f64 / moments.len() as f64,
        size: sizes[sizes.len() / 2] as f64,
        spread: spreads[spreads.len() / 2],
        tight: spreads.iter().filter(|&&spread| spread == 1).count() as f64 / spreads.len() as f64,
        deviation: RECORDED_DEVIATION.map(|(span, _)| deviation(&mids, span)),
    }
}

fn deviation(prices: &[f64], span: usize) -> f64 {
    let moves = prices.windows(span + 1).map(|w| (w[span] / w[0] - 1.0) * 1e4);
    let (sum, count) = moves.fold((0.0, 0), |(sum, count), m| (sum + m * m, count + 1));
    (sum / f64::from(count)).sqrt()
}

fn within_factor_two(figure: f64, recorded: f64) -> bool {
    (recorded / 2.0..=recorded * 2.0).contains(&figure)
}

#[test]
fn the_market_looks_like_the_recorded_prints() {
    for seed in 0..8 {
        let figures = figures(&mut World::open(seed, START), BTC, 600);
        println!("seed {seed}: {figures:.3?}");
        assert!(within_factor_two(figures.rate, RECORDED_RATE), "seed {seed}: {figures:?}");
        assert!(within_factor_two(figures.cluster, RECORDED_CLUSTER), "seed {seed}: {figures:?}");
        assert!(within_factor_two(figures.size, RECORDED_SIZE), "seed {seed}: {figures:?}");
        assert_eq!(figures.spread, RECORDED_SPREAD, "seed {seed}: {figures:?}");
        assert!(figures.tight >= 0.6, "seed {seed}: {figures:?}");
        for (found, (span, recorded)) in figures.deviation.into_iter().zip(RECORDED_DEVIATION) {
            assert!(within_factor_two(found, recorded), "seed {seed}, {span} s: {figures:?}");
        }
    }
}

/// Replaying the recorded prints, quotes that follow the mid are filled so often a minute, both
/// sides together: at 0.3 bp 7 to 10 times, at 1 bp 0.3 to 1.2 times, at 3 bp about never.
#[test]
fn quotes_that_follow_the_mid_are_filled_as_often_as_on_the_recorded_prints() {
    let minutes = 20;
    let mean = |id, bps| {
        let quoter = Quoter { bps, tolerance: 0.0, minutes };
        let found: Vec<f64> =
            (0..6).map(|seed| f64::from(quoter.fills(seed, id)) / f64::from(minutes)).collect();
        println!("{id:?} at {bps} bp, fills a minute by seed: {found:?}");
        assert!(bps > 0.3 || found.iter().all(|&fills| fills >= 5.0), "{id:?}: {found:?}");
        found.iter().sum::<f64>() / found.len() as f64
    };
    let near = mean(BTC, 0.3);
    assert!((5.0..=20.0).contains(&near), "{near}");
    let far = mean(BTC, 1.0);
    assert!((0.15..=2.4).contains(&far), "{far}");
    let wide = mean(BTC, 3.0);
    assert!(wide <= 0.1, "{wide}");
    let (near, far) = (mean(ETH, 0.3), mean(ETH, 1.0));
    assert!((5.0..=30.0).contains(&near) && far < near / 2.0, "{near}, {far}");
}

#[test]
fn a_minute_at_the_touch_brings_five_fills_whatever_the_seed() {
    let quoter = Quoter { bps: 0.3, tolerance: 0.75, minutes: 1 };
    let found: Vec<u32> =
        (0..40).map(|seed| quoter.fills(seed, BTC) + quoter.fills(seed, ETH)).collect();
    println!("fills of both contracts in a minute, by seed: {found:?}");
    assert!(found.iter().all(|&fills| fills >= 5), "{found:?}");
}

/// A client who rests some 100 USDT on both sides of a contract and looks after 200 to 500 ms
/// whether they still stand right.
struct Quoter {
    /// The distance of both from the mid.
    bps: f64,
    /// How far an order may stand from where it should before it is moved, as a share of the
    /// distance.
    tolerance: f64,
    minutes: u32,
}

impl Quoter {
    fn fills(&self, seed: u64, id: InstrumentId) -> u32 {
        let mut world = World::open(seed, START);
        let client = world.client();
        let mut quotes = [None, None];
        let mut fills = 0;
        let end = UnixNanos(world.now.0 + i64::from(self.minutes) * 60 * SECOND);
        while world.now < end {
            world.events.clear();
            world.run((200 + world.now.0 / 1_000 % 7 * 50) * 1_000_000);
            let fill = |event: &&VenueEvent| matches!(event, VenueEvent::Fill(_));
            fills += world.events.iter().filter(fill).count() as u32;
            for side in Side::BOTH {
                self.requote(&mut quotes[side.index()], &mut world, client, id, side);
            }
        }
        fills
    }

    fn requote(
        &self,
        quote: &mut Option<(OrderId, i64)>,
        world: &mut World,
        client: AccountId,
        id: InstrumentId,
        side: Side,
    ) {
        let (mid, touch) = (world.mid(id), world.touch(id));
        let offset = mid * self.bps / 1e4;
        let price = match side {
            Side::Buy => ((mid - offset).floor() as i64).min(touch[0]),
            Side::Sell => ((mid + offset).ceil() as i64).max(touch[1]),
        };
        if let Some((order, stands_at)) = *quote
            && world.live(order)
        {
            if (stands_at - price).abs() as f64 <= self.tolerance * offset {
                return;
            }
            let order = OrderRef::Id(order);
            world.venue.cancel(client, &order, world.now).expect("a live order");
        }
        let lot = world.venue.instrument(id).rules.grids.value(Ticks(mid as i64), Lots(1));
        let size = Lots(Quote::usdt(100).0 / lot.0 + 1);
        let order = world.place(client, id, side, Ticks(price), size, TimeInForce::PostOnly);
        *quote = Some((order, price));
    }
}

#[test]
fn the_same_seed_gives_the_same_market_and_another_seed_another() {
    let told = |seed| {
        let mut world = World::open(seed, START);
        world.run(60 * SECOND);
        (world.market.days_behind(), world.events)
    };
    let (first, again, other) = (told(3), told(3), told(4));
    assert!(first.1.len() > 1_000, "{}", first.1.len());
    assert_eq!(first, again);
    assert_ne!(first, other);
}

#[test]
fn the_market_is_the_same_on_every_machine() {
    let mut world = World::open(0, START);
    world.run(60 * SECOND);
    let mut hasher = crc32fast::Hasher::new();
    for print in world.prints(BTC).into_iter().chain(world.prints(ETH)) {
        for number in [print.at.0, print.price.0, print.size.0] {
            hasher.update(&number.to_le_bytes());
        }
    }
    // Changes with the figures of the market, never with the machine.
    assert_eq!(hasher.finalize(), 3_892_623_643);
}

#[test]
fn a_late_step_catches_up_with_the_same_prices() {
    let mut exact = World::open(3, START);
    exact.run(4 * SECOND);
    let mut late = World::open(3, START);
    late.now = UnixNanos(START.0 + 4 * SECOND);
    late.market.step(&mut late.venue, late.now);
    late.venue.drain(&mut late.events);
    let told = |world: &World| -> Vec<(Ticks, Lots)> {
        world.prints(BTC).into_iter().map(|print| (print.price, print.size)).collect()
    };
    assert!(!told(&exact).is_empty());
    assert_eq!(told(&exact), told(&late));
    assert!(late.prints(BTC).iter().all(|print| print.at == late.now), "stamped when it happened");
}

#[test]
fn books_are_deep_never_crossed_and_never_still() {
    let mut world = World::open(1, START);
    let mut still_tenths = [0; 2];
    let mut touches_changed = [0; 2];
    let mut last = [world.best(BTC), world.best(ETH)];
    for _ in 0..60 * 10 {
        world.events.clear();
        for _ in 0..5 {
            world.run(SECOND / 50);
            for id in [BTC, ETH] {
                let best = world.best(id);
                assert!(best[0].0 < best[1].0, "{best:?}");
                touches_changed[id.index()] += i32::from(best != last[id.index()]);
                last[id.index()] = best;
            }
        }
        for id in [BTC, ETH] {
            let level = |e: &VenueEvent| matches!(e, VenueEvent::Level(l) if l.instrument == id);
            still_tenths[id.index()] += i32::from(!world.events.iter().any(level));
        }
    }
    println!(
        "tenths of 600 without a change {still_tenths:?}, touches of 3,000 {touches_changed:?}"
    );
    // So a push each 100 ms and a push of the touch each 20 ms have news ten times a second.
    assert!(still_tenths.iter().all(|&still| still <= 6), "{still_tenths:?}");
    assert!(touches_changed.iter().all(|&changed| changed >= 600), "{touches_changed:?}");
    for (id, side) in [(BTC, Side::Buy), (BTC, Side::Sell), (ETH, Side::Buy), (ETH, Side::Sell)] {
        let sizes: Vec<i64> =
            world.venue.instrument(id).book.depth(side).map(|level| level.size.0).collect();
        assert!((100..=450).contains(&sizes.len()), "{id:?} {side}: {} levels", sizes.len());
        let sum = |part: &[i64]| part.iter().sum::<i64>();
        assert!(sum(&sizes[1..41]) < sum(&sizes[60..100]), "{id:?} {side}: depth grows");
    }
}

#[test]
fn the_venue_is_given_its_past_and_the_market_goes_on_from_it() {
    let world = World::open(2, START);
    for id in [BTC, ETH] {
        let instrument = world.venue.instrument(id);
        for candles in [&instrument.candles, &instrument.mark_candles, &instrument.index_candles] {
            let bars: Vec<Candle> = candles.minutes().iter().copied().collect();
            assert!(bars.len() >= 2_880, "{} bars", bars.len());
            assert!(bars.windows(2).all(|w| w[1].start.0 - w[0].start.0 == 60 * SECOND));
            let sound = |bar: &Candle| {
                bar.low <= bar.open.min(bar.close) && bar.high >= bar.open.max(bar.close)
            };
            assert!(bars.iter().all(sound));
        }
        let past = world.venue.instrument(id).candles.minutes().back().expect("bars").close;
        let price = instrument.rules.grids.price_of(Ticks(world.touch(id)[0]));
        let leap = (price.0 - past.0).abs() as f64 / past.0 as f64 * 1e4;
        assert!(leap < 10.0, "{id:?} opens {leap} bp from its past");
        let day = world.venue.day(id, world.now).expect("a day of bars");
        assert!(day.bar.volume_e8 > 0 && day.bar.high > day.bar.low);
        assert!(!instrument.fundings.is_empty());
        assert!(world.venue.open_interest(id) > Lots::ZERO);
        assert!(instrument.fundings.iter().all(|f| f.at.0 % (8 * 3_600 * SECOND) == 0));
    }
}

#[test]
fn mark_index_and_funding_rate_follow_the_record() {
    let before_funding = UnixNanos(1_800_057_600 * SECOND - 30 * SECOND);
    let mut world = World::open(5, before_funding);
    for id in [BTC, ETH] {
        let tickers = world.events.len();
        let rate = world.venue.instrument(id).marks.funding_rate;
        world.run(10 * SECOND);
        let ticker = |event: &&VenueEvent| **event == VenueEvent::Ticker(id);
        let count = world.events[tickers..].iter().filter(ticker).count();
        assert!((40..=60).contains(&count), "{count} tickers in 10 s");
        let instrument = world.venue.instrument(id);
        assert_eq!(instrument.marks.funding_rate, rate, "the rate holds until its instant");
        let mid = instrument.rules.grids.price_of(Ticks(1)).0 as f64 * world.mid(id);
        for (price, bps) in [(instrument.marks.mark, 10.0), (instrument.marks.index, 25.0)] {
            assert!((price.0 as f64 / mid - 1.0).abs() * 1e4 < bps, "{price:?} of {mid}");
        }
    }
    let rates = |world: &World| {
        let past = |id| world.venue.instrument(id).fundings.back().expect("fundings").rate;
        [past(BTC), past(ETH)]
    };
    let next = [BTC, ETH].map(|id| world.venue.instrument(id).marks.funding_rate);
    world.run(11 * SECOND);
    assert_eq!(world.venue.instrument(BTC).next_funding, UnixNanos(1_800_086_400 * SECOND));
    assert_eq!(rates(&world), next, "what was published is what was settled");
}

#[test]
fn the_price_is_drawn_to_the_record_and_leaps_to_it_after_a_pause() {
    let mut world = World::open(6, START);
    for _ in 0..30 {
        world.run(60 * SECOND);
        for id in [BTC, ETH] {
            let gap = world.gap_bps(id);
            assert!(gap < 25.0, "{id:?} is {gap} bp off");
        }
    }
    let later = UnixNanos(world.now.0 + 9 * 3_600 * SECOND);
    world.now = later;
    world.market.step(&mut world.venue, later);
    for id in [BTC, ETH] {
        let gap = world.gap_bps(id);
        assert!(gap < 0.5, "{id:?} is {gap} bp off");
        let [bid, ask] = world.touch(id);
        assert_eq!(ask - bid, 1);
    }
    assert!(world.market.deadline() > later);
}

#[test]
fn what_a_client_takes_comes_back_and_a_wall_of_his_gives_way() {
    let mut world = World::open(7, START);
    let client = world.client();
    let [_, ask] = world.touch(BTC);
    world.place(client, BTC, Side::Buy, Ticks(ask + 200), Lots(90_000), TimeInForce::Ioc);
    assert!(world.touch(BTC)[1] > ask, "nine coins are more than the touch");
    world.run(SECOND);
    let [bid, ask] = world.touch(BTC);
    assert!(ask - bid < 20, "{bid} {ask}");
    // A wall above the fair price is a bargain that takers do not leave.
    let wall =
        world.place(client, BTC, Side::Buy, Ticks(bid + 300), Lots(30_000), TimeInForce::Gtc);
    world.run(2 * SECOND);
    assert!(!world.live(wall));
}

#[test]
fn agents_rest_while_the_contract_does_not_trade() {
    let mut world = World::open(8, START);
    world.run(SECOND);
    world.events.clear();
    world.venue.set_status(BTC, Status::Maintain, world.now);
    world.run(30 * SECOND);
    assert!(world.prints(BTC).is_empty());
    assert!(!world.prints(ETH).is_empty());
    world.venue.set_status(BTC, Status::Online, world.now);
    world.events.clear();
    world.run(30 * SECOND);
    assert!(!world.prints(BTC).is_empty());
    let [bid, ask] = world.touch(BTC);
    assert!(ask - bid < 20, "{bid} {ask}");
}

#[test]
fn the_book_comes_back_on_a_new_tick() {
    let mut world = World::open(9, START);
    let old = world.mid(BTC);
    let mut rules = world.venue.instrument(BTC).rules.clone();
    rules.grids.price.step = 5;
    world.venue.change_rules(BTC, rules, world.now).expect("sound rules");
    world.run(SECOND);
    let [bid, ask] = world.touch(BTC);
    assert!((world.mid(BTC) * 5.0 / old - 1.0).abs() < 1e-3 && ask - bid < 10, "{bid} {ask}");
    assert!(world.venue.instrument(BTC).book.depth(Side::Buy).len() >= 50);
}
