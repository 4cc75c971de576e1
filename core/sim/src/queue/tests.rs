//! The queue-position model by itself: sentences, random flows, and a level whose real queue is
//! known.

use std::collections::BTreeMap;

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

use super::fixture::{self, Level};
use super::*;
use keel_core::instrument::{InstrumentId, btcusdt};

const BTC: InstrumentId = InstrumentId(0);

/// A queue over memory of its own.
fn queue(cancels: Cancels) -> Queue<'static> {
    Queue::new(fixture::books(1), &btcusdt(), cancels)
}

/// A market that tells what changes in it, as a venue does.
struct Market {
    queue: Queue<'static>,
    seq: u64,
    ts: i64,
    trades: u64,
    /// What frames have told of own orders.
    shown: Vec<Shown>,
}

impl Market {
    fn new(cancels: Cancels, levels: &[Level]) -> Self {
        let mut market =
            Self { queue: queue(cancels), seq: 0, ts: 1_000, trades: 0, shown: Vec::new() };
        market.frame(true, levels);
        market
    }

    /// A frame with these levels, at the market's time.
    fn frame(&mut self, snapshot: bool, levels: &[Level]) {
        let before = self.seq;
        self.seq += 1;
        let pages = fixture::pages((self.seq, before), UnixNanos(self.ts), snapshot, levels);
        pages.iter().for_each(|page| self.queue.on_page(page, |shown| self.shown.push(shown)));
        assert!(self.queue.is_whole());
    }

    fn join(&mut self, order_id: u64, side: Side, price: i64, lots: i64) -> Result<(), Barred> {
        self.queue.join(&Joining { order_id, side, price: Ticks(price), lots: Lots(lots) })
    }

    /// A print of `taker` at the market's time: who is filled, by how much.
    fn print(&mut self, taker: Side, price: i64, lots: i64) -> Vec<(u64, i64)> {
        self.trades += 1;
        let trade = Trade {
            instrument: BTC,
            taker,
            price: Ticks(price),
            lots: Lots(lots),
            trade_id: self.trades,
            ts: UnixNanos(self.ts),
        };
        let mut fills = Vec::new();
        self.queue.on_trade(&trade, |fill| fills.push((fill.order_id, fill.lots.0)));
        fills
    }

    /// What the frames since the last call have told.
    fn shown(&mut self) -> Vec<Shown> {
        std::mem::take(&mut self.shown)
    }

    fn ahead(&self, order_id: u64) -> Option<i64> {
        self.queue.ahead(order_id).map(|lots| lots.0)
    }
}

use Side::{Buy, Sell};

/// A bid of 10 at 999, an ask of 8 at 1001.
fn small(cancels: Cancels) -> Market {
    Market::new(cancels, &[(Buy, 999, 10), (Buy, 998, 20), (Sell, 1001, 8), (Sell, 1002, 9)])
}

#[test]
fn an_order_joins_behind_what_is_displayed_and_prints_bring_it_forward() {
    let mut market = small(Cancels::Proportional);
    market.join(1, Buy, 999, 5).expect("it rests");
    assert_eq!(market.ahead(1), Some(10));
    assert_eq!(market.print(Sell, 999, 7), []);
    assert_eq!(market.ahead(1), Some(3));
    assert_eq!(market.print(Sell, 999, 5), [(1, 2)], "three go to others, two to us");
    assert_eq!(market.print(Sell, 999, 2), [(1, 2)]);
    assert_eq!(market.print(Sell, 999, 9), [(1, 1)]);
    assert_eq!(market.print(Sell, 999, 9), [], "it is whole");
}

#[test]
fn a_print_that_its_level_shows_later_is_not_counted_twice() {
    let mut market = small(Cancels::Proportional);
    market.join(1, Buy, 999, 5).expect("it rests");
    market.ts += 10;
    market.print(Sell, 999, 4);
    market.ts += 10;
    market.frame(false, &[(Buy, 999, 6)]);
    assert_eq!(market.ahead(1), Some(6), "four of ten, once");
    // The same with a cancel of two besides: of six that are left one third went, all ahead of us.
    market.ts += 10;
    market.print(Sell, 999, 2);
    market.ts += 10;
    market.frame(false, &[(Buy, 999, 2)]);
    assert_eq!(market.ahead(1), Some(2));
}

#[test]
fn a_print_that_comes_after_its_level_has_shown_it_is_not_counted_twice_either() {
    let mut market = small(Cancels::Proportional);
    market.join(1, Buy, 999, 5).expect("it rests");
    market.frame(false, &[(Buy, 999, 20)]);
    assert_eq!(market.ahead(1), Some(10), "who comes later stands behind");
    market.ts += 10;
    market.frame(false, &[(Buy, 999, 12)]);
    assert_eq!(market.ahead(1), Some(6), "taken for cancels: half of them ahead");
    // It was a print of eight, at the frame's own time.
    market.print(Sell, 999, 8);
    assert_eq!(market.ahead(1), Some(2));
}

#[test]
fn cancels_are_ahead_by_their_share_or_never() {
    for (cancels, ahead) in [(Cancels::Proportional, 5), (Cancels::Behind, 10)] {
        let mut market = small(cancels);
        market.join(1, Buy, 999, 5).expect("it rests");
        market.frame(false, &[(Buy, 999, 30)]);
        market.frame(false, &[(Buy, 999, 15)]);
        assert_eq!(market.ahead(1), Some(ahead), "{cancels:?}");
        market.frame(false, &[(Buy, 999, 4)]);
        assert!(market.ahead(1) <= Some(4), "no more can stand ahead than is displayed");
        market.frame(false, &[(Buy, 999, 0)]);
        market.frame(false, &[(Buy, 999, 50)]);
        assert_eq!(market.ahead(1), Some(0), "who comes back stands behind");
    }
}

#[test]
fn a_print_through_the_price_fills_whatever_stood_ahead_and_no_more_than_it_has() {
    let mut market = small(Cancels::Proportional);
    market.join(1, Buy, 999, 5).expect("it rests");
    assert_eq!(market.print(Sell, 998, 3), [(1, 3)]);
    assert_eq!(market.ahead(1), Some(0));
    assert_eq!(market.print(Sell, 997, 3), [(1, 2)]);
    market.join(2, Sell, 1001, 4).expect("it rests");
    assert_eq!(market.print(Buy, 1002, 9), [(2, 4)]);
}

#[test]
fn a_print_of_the_other_taker_or_away_from_the_price_fills_nobody() {
    let mut market = small(Cancels::Proportional);
    market.join(1, Buy, 998, 5).expect("it rests");
    market.join(2, Sell, 1002, 5).expect("it rests");
    for (taker, price) in [(Buy, 998), (Buy, 997), (Sell, 999), (Sell, 1002), (Buy, 1001)] {
        assert_eq!(market.print(taker, price, 1_000), [], "{taker:?} {price}");
    }
    assert_eq!((market.ahead(1), market.ahead(2)), (Some(20), Some(9)));
}

#[test]
fn own_orders_share_a_print_by_price_and_then_by_time() {
    let mut market = small(Cancels::Proportional);
    market.frame(false, &[(Buy, 999, 0)]);
    market.join(1, Buy, 998, 4).expect("it rests");
    market.join(2, Buy, 1000, 3).expect("it improves the touch");
    market.join(3, Buy, 998, 6).expect("it rests");
    assert_eq!(market.ahead(2), Some(0));
    // Three through the best, twenty of others, then ours by time, and the rest of the print.
    assert_eq!(market.print(Sell, 998, 29), [(2, 3), (1, 4), (3, 2)]);
    assert_eq!(market.print(Sell, 998, 29), [(3, 4)]);
}

#[test]
fn an_order_that_would_take_is_barred_and_so_is_one_without_a_book() {
    let mut market = small(Cancels::Proportional);
    assert_eq!(market.join(1, Buy, 1001, 1), Err(Barred::Crosses));
    assert_eq!(market.join(1, Sell, 999, 1), Err(Barred::Crosses));
    assert_eq!(market.join(1, Buy, 1000, 1), Ok(()));
    for lost in [FeedState::Gap, FeedState::Lost] {
        market.queue.on_feed(lost);
        assert_eq!(market.join(2, Buy, 999, 1), Err(Barred::NoBook), "{lost}");
        market.frame(true, &[(Buy, 999, 10), (Sell, 1001, 8)]);
        assert_eq!(market.join(2, Buy, 999, 1), Ok(()));
        assert_eq!(market.queue.leave(2), Some(Lots(1)));
    }
}

fn executed(order_id: u64, lots: i64, left: i64) -> Shown {
    Shown::Executed(Execution { order_id, lots: Lots(lots), left: Lots(left) })
}

#[test]
fn an_order_that_the_next_frame_crosses_would_have_taken_and_one_that_rested_is_filled() {
    let mut market = small(Cancels::Proportional);
    market.join(1, Buy, 1000, 10).expect("between bid and ask");
    market.frame(false, &[(Sell, 1000, 4)]);
    assert_eq!(market.shown(), [Shown::Crossed { order_id: 1 }]);
    assert_eq!(market.queue.leave(1), None);
    market.frame(false, &[(Sell, 1000, 0)]);
    market.join(2, Buy, 1000, 10).expect("there is room again");
    market.frame(false, &[(Sell, 1002, 3)]);
    market.frame(false, &[(Sell, 1000, 4)]);
    assert_eq!(market.shown(), [executed(2, 4, 6)], "a frame has shown it resting");
    market.frame(false, &[(Sell, 1002, 5)]);
    assert_eq!(market.shown(), [], "what is displayed trades with it once");
    market.frame(false, &[(Sell, 1000, 6)]);
    assert_eq!(market.shown(), [executed(2, 2, 4)]);
    market.frame(false, &[(Buy, 999, 0), (Sell, 999, 9)]);
    assert_eq!(market.shown(), [executed(2, 4, 0)]);
    assert_eq!(market.queue.leave(2), None);
}

#[test]
fn a_print_too_shows_that_an_order_rests() {
    let mut market = small(Cancels::Proportional);
    market.join(1, Sell, 1000, 5).expect("between bid and ask");
    assert_eq!(market.print(Buy, 1000, 2), [(1, 2)]);
    market.frame(false, &[(Buy, 1000, 40)]);
    assert_eq!(market.shown(), [executed(1, 3, 0)]);
}

#[test]
fn own_orders_share_what_a_frame_shows_by_price() {
    let mut market = small(Cancels::Proportional);
    market.join(1, Buy, 999, 5).expect("it rests");
    market.join(2, Buy, 1000, 3).expect("it rests");
    market.frame(false, &[(Sell, 1002, 3)]);
    market.frame(false, &[(Buy, 999, 0), (Sell, 999, 4)]);
    assert_eq!(market.shown(), [executed(2, 3, 0), executed(1, 1, 4)]);
}

#[test]
fn after_a_gap_the_next_frame_bounds_what_stands_ahead_and_is_no_cancel() {
    let mut market = small(Cancels::Proportional);
    market.join(1, Buy, 998, 5).expect("it rests");
    market.frame(false, &[(Buy, 998, 60)]);
    market.queue.on_feed(FeedState::Gap);
    market.frame(true, &[(Buy, 999, 10), (Buy, 998, 40), (Sell, 1001, 8)]);
    assert_eq!(market.ahead(1), Some(20), "by a third if it had been cancels");
    market.queue.on_feed(FeedState::Gap);
    market.frame(true, &[(Buy, 999, 10), (Buy, 998, 7), (Sell, 1001, 8)]);
    assert_eq!(market.ahead(1), Some(7));
}

/// Random flows: what must hold whatever the tape says, and the telling of every seed.
#[test]
fn whatever_the_tape_says_no_order_is_filled_by_more_than_was_printed() {
    let mut filled = 0;
    for seed in 0..400 {
        filled += flow(seed, [Cancels::Proportional, Cancels::Behind][seed as usize % 2]);
    }
    assert!(filled > 10_000, "the flows fill: {filled}");
}

fn flow(seed: u64, cancels: Cancels) -> i64 {
    let mut random = Pcg64Mcg::seed_from_u64(seed);
    let mut market = small(cancels);
    let mut sizes = BTreeMap::new();
    let mut open: BTreeMap<u64, Level> = BTreeMap::new();
    let (mut all, mut next) = (0, 1);
    for _ in 0..300 {
        market.ts += random.random_range(0..3);
        let side = if random.random_bool(0.5) { Buy } else { Sell };
        let near = random.random_range(0..4);
        let price = if side == Buy { 999 - near } else { 1001 + near };
        let before: BTreeMap<u64, Option<i64>> =
            open.keys().map(|&id| (id, market.ahead(id))).collect();
        match random.random_range(0..10) {
            0 => {
                let lots = random.random_range(1..30);
                if market.join(next, side, price, lots).is_ok() {
                    open.insert(next, (side, price, lots));
                    next += 1;
                }
            }
            1 if !open.is_empty() => {
                let id = *open.keys().nth(random.random_range(0..open.len())).expect("one");
                assert_eq!(market.queue.leave(id).map(|lots| lots.0), Some(open[&id].2));
                open.remove(&id);
            }
            2 if random.random_bool(0.2) => {
                market.queue.on_feed(FeedState::Gap);
                let level = |(&(side, price), &lots): (&(usize, i64), &i64)| {
                    (Side::BOTH[side], price, lots)
                };
                let whole: Vec<Level> = sizes.iter().map(level).collect();
                let touch = [(Buy, 990, 1), (Sell, 1010, 1)];
                market.frame(true, &[&touch[..], &whole].concat());
            }
            3..6 => {
                let lots = random.random_range(1..40);
                let fills = market.print(side.opposite(), price, lots);
                all += settle(&mut open, &fills, (side, price, lots), seed);
            }
            _ => {
                let lots = random.random_range(0..60);
                sizes.insert((side.index(), price), lots);
                market.frame(false, &[(side, price, lots)]);
            }
        }
        for (id, ahead) in before {
            if let (true, Some(ahead)) = (open.contains_key(&id), ahead) {
                let now = market.ahead(id).expect("it stays known");
                assert!((0..=ahead).contains(&now), "seed {seed}: {ahead} ahead became {now}");
            }
        }
    }
    all
}

/// Takes fills of a print of these lots into the open orders; gives how much they are.
fn settle(
    open: &mut BTreeMap<u64, Level>,
    fills: &[(u64, i64)],
    (side, price, printed): Level,
    seed: u64,
) -> i64 {
    let sum: i64 = fills.iter().map(|(_, lots)| lots).sum();
    assert!(sum <= printed, "seed {seed}: {sum} of a print of {printed}");
    for (id, lots) in fills {
        let order = open.get_mut(id).expect("it rests");
        assert_eq!(order.0, side, "seed {seed}: by its taker");
        assert!(!side.better(Ticks(price), Ticks(order.1)), "seed {seed}: at its price");
        order.2 -= lots;
        assert!(order.2 >= 0 && *lots > 0, "seed {seed}: no more than ordered");
        if order.2 == 0 {
            open.remove(id);
        }
    }
    sum
}

/// A level whose real queue is known: lots of others in front of an own order, and behind it.
struct Truth {
    ahead: i64,
    behind: i64,
}

/// Prints, arrivals and cancels at one level for a while; gives what the model and the truth have
/// ahead in the end. `cancels_behind`: cancels come from behind only, otherwise from anywhere.
fn known_level(seed: u64, cancels: Cancels, cancels_behind: bool) -> (i64, i64) {
    let mut random = Pcg64Mcg::seed_from_u64(seed);
    let mut market = Market::new(cancels, &[(Buy, 999, 1_000), (Buy, 998, 20), (Sell, 1001, 8)]);
    let mut truth = Truth { ahead: 1_000, behind: 0 };
    market.join(1, Buy, 999, 1_000_000).expect("it rests");
    for _ in 0..60 {
        market.ts += 1;
        match random.random_range(0..3) {
            0 => truth.behind += random.random_range(1..60),
            1 => {
                let lots = random.random_range(1..20).min(truth.ahead);
                if lots > 0 {
                    market.print(Sell, 999, lots);
                    truth.ahead -= lots;
                }
            }
            _ => {
                for _ in 0..random.random_range(0..40) {
                    let all = truth.ahead + truth.behind;
                    let hits_ahead =
                        !cancels_behind && all > 0 && { random.random_range(0..all) < truth.ahead };
                    let from = if hits_ahead { &mut truth.ahead } else { &mut truth.behind };
                    *from = (*from - 1).max(0);
                }
            }
        }
        market.ts += 1;
        market.frame(false, &[(Buy, 999, truth.ahead + truth.behind)]);
        if truth.ahead == 0 {
            break;
        }
    }
    (market.ahead(1).expect("known"), truth.ahead)
}

#[test]
fn where_cancels_come_from_behind_the_careful_rule_knows_the_queue_exactly() {
    for seed in 0..200 {
        let (model, truth) = known_level(seed, Cancels::Behind, true);
        assert_eq!(model, truth, "seed {seed}");
    }
}

#[test]
fn where_cancels_come_from_anywhere_the_proportional_rule_is_right_on_average() {
    let (mut model, mut truth, mut off) = (0, 0, 0);
    for seed in 0..400 {
        let (a, b) = known_level(seed, Cancels::Proportional, false);
        (model, truth, off) = (model + a, truth + b, off + (a - b).abs());
        let (careful, _) = known_level(seed, Cancels::Behind, false);
        assert!(careful >= a, "seed {seed}: the careful rule never stands before the other");
    }
    let apart = (model - truth).abs() * 100;
    assert!(apart <= truth * 2, "{model} by the model, {truth} in truth, {off} apart in all");
    assert!(off > 0, "no single queue is known");
}
