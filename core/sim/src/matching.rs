//! Matching: one contract's limit order book, by price and then by time.
//!
//! A [`Book`] knows orders, not accounts: an order has a number, an owner and a family, and the
//! caller gives both their meaning. An incoming order is worked one step at a time
//! ([`Book::step`]), so that the caller can look at each party between two fills.
//!
//! Levels stand in one sorted vector a side with the best one last, so that work near the touch
//! moves little memory; the orders of a level are a linked list through one slab.

use keel_core::units::{Lots, Side, Ticks};

use crate::order::StpMode;

/// The resting orders of one contract.
#[derive(Clone, Debug, Default)]
pub struct Book {
    sides: [Ladder; 2],
    slots: Vec<Slot>,
    free: Vec<u32>,
    changed: Vec<(Side, Ticks)>,
}

impl Book {
    /// An empty book.
    pub fn new() -> Self {
        Self::default()
    }

    /// The best price of a side.
    pub fn best(&self, side: Side) -> Option<Ticks> {
        self.sides[side.index()].levels.last().map(|level| level.price)
    }

    /// The levels of a side, best first.
    pub fn depth(&self, side: Side) -> impl ExactSizeIterator<Item = Depth> + '_ {
        self.sides[side.index()].levels.iter().rev().map(|level| Depth {
            price: level.price,
            size: level.size,
            orders: level.orders,
        })
    }

    /// What rests at a price; zero when nothing does.
    pub fn size_at(&self, side: Side, price: Ticks) -> Lots {
        let ladder = &self.sides[side.index()];
        ladder.find(side, price).map_or(Lots::ZERO, |place| ladder.levels[place].size)
    }

    /// How many orders rest.
    pub fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Whether nothing rests.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A resting order; none when it is gone.
    pub fn resting(&self, key: OrderKey) -> Option<&Resting> {
        let slot = self.slots.get(key.slot as usize)?;
        (slot.generation == key.generation && slot.live).then_some(&slot.order)
    }

    /// The orders of a side, best price first and oldest first.
    pub fn queue(&self, side: Side) -> Queue<'_> {
        Queue { book: self, side, level: self.sides[side.index()].levels.len(), slot: NONE }
    }

    /// Where the orders of a side rest, best price first and oldest first.
    pub fn keys(&self, side: Side) -> impl Iterator<Item = OrderKey> + '_ {
        let mut queue = self.queue(side);
        std::iter::from_fn(move || queue.advance())
            .map(|slot| OrderKey { slot, generation: self.slots[slot as usize].generation })
    }

    /// How much of `taker` would trade at once, when each resting order counts as `counts` says.
    /// An order of the taker's family counts as its self-trade prevention would have it.
    pub fn fillable(&self, taker: &Taker, mut counts: impl FnMut(&Resting) -> Lots) -> Lots {
        let mut sum = Lots::ZERO;
        for (price, order) in self.queue(taker.side.opposite()) {
            if !taker.reaches(price) || sum >= taker.left {
                break;
            }
            match taker.meets(order) {
                Meeting::Trade => sum += counts(order),
                Meeting::MakerGoes => {}
                Meeting::TakerGoes | Meeting::BothGo => break,
            }
        }
        sum.min(taker.left)
    }

    /// Whether `taker` would meet any order at its price.
    pub fn crosses(&self, taker: &Taker) -> bool {
        self.best(taker.side.opposite()).is_some_and(|price| taker.reaches(price))
    }

    /// The next thing that happens to `taker`, done; [`Step::Over`] when nothing more does. `room`
    /// says how much of the resting order may trade; when that is nothing, the order is taken out
    /// as [`Step::MakerCut`].
    pub fn step(&mut self, taker: &mut Taker, room: impl FnOnce(&Resting) -> Lots) -> Step {
        if taker.left.0 <= 0 {
            return Step::Over;
        }
        let Some(level) = self.sides[taker.side.opposite().index()].levels.last() else {
            return Step::Over;
        };
        let (price, head) = (level.price, level.head);
        if !taker.reaches(price) {
            return Step::Over;
        }
        let slot = &self.slots[head as usize];
        let (maker, key) = (slot.order, OrderKey { slot: head, generation: slot.generation });
        match taker.meets(&maker) {
            Meeting::Trade => {}
            Meeting::MakerGoes => {
                self.remove(key);
                return Step::MakerCanceled { maker };
            }
            Meeting::TakerGoes => return Step::TakerCanceled,
            Meeting::BothGo => {
                self.remove(key);
                return Step::BothCanceled { maker };
            }
        }
        let room = room(&maker);
        if room.0 <= 0 {
            self.remove(key);
            return Step::MakerCut { maker };
        }
        let size = taker.left.min(maker.left).min(room);
        taker.left -= size;
        self.set_left(key, maker.left - size);
        Step::Fill(Trade { maker, maker_left: maker.left - size, price, size })
    }

    /// Puts an order at the end of the queue of its price. The caller has worked it before: it must
    /// not cross.
    ///
    /// # Panics
    /// When it crosses, or has no size.
    pub fn rest(&mut self, side: Side, price: Ticks, order: Resting) -> OrderKey {
        assert!(order.left.0 > 0, "an order rests with a size");
        let crossed = self.best(side.opposite()).is_some_and(|best| !side.better(best, price));
        assert!(!crossed, "a resting order must not cross");
        let key = self.take_slot(side, price, order);
        let ladder = &mut self.sides[side.index()];
        let place = ladder.find_or_insert(side, price);
        let level = &mut ladder.levels[place];
        level.size += order.left;
        level.orders += 1;
        let tail = level.tail;
        level.tail = key.slot;
        if tail == NONE {
            level.head = key.slot;
        } else {
            self.slots[tail as usize].next = key.slot;
            self.slots[key.slot as usize].previous = tail;
        }
        self.note(side, price);
        key
    }

    /// Takes an order out and gives it; none when it is gone.
    pub fn cancel(&mut self, key: OrderKey) -> Option<Resting> {
        let order = *self.resting(key)?;
        self.remove(key);
        Some(order)
    }

    /// Makes a resting order smaller in its place; it keeps its priority. Zero takes it out.
    ///
    /// # Panics
    /// When the order is gone, or would grow.
    pub fn reduce(&mut self, key: OrderKey, left: Lots) {
        let now = self.resting(key).expect("the order rests").left;
        assert!(left.0 >= 0 && left <= now, "an order only shrinks in its place");
        self.set_left(key, left);
    }

    /// Gives the levels that changed since the last call, in the order of change. Look up what
    /// rests there now with [`Book::size_at`].
    pub fn take_changes(&mut self, out: &mut Vec<(Side, Ticks)>) {
        out.clear();
        out.append(&mut self.changed);
    }

    fn set_left(&mut self, key: OrderKey, left: Lots) {
        if left.is_zero() {
            self.remove(key);
            return;
        }
        let slot = &mut self.slots[key.slot as usize];
        let (side, price, before) = (slot.side, slot.price, slot.order.left);
        slot.order.left = left;
        let ladder = &mut self.sides[side.index()];
        let place = ladder.find(side, price).expect("an order's level exists");
        ladder.levels[place].size -= before - left;
        self.note(side, price);
    }

    fn remove(&mut self, key: OrderKey) {
        let slot = &mut self.slots[key.slot as usize];
        assert!(slot.live && slot.generation == key.generation, "the order rests");
        slot.live = false;
        slot.generation = slot.generation.wrapping_add(1);
        let (side, price, left) = (slot.side, slot.price, slot.order.left);
        let (previous, next) = (slot.previous, slot.next);
        self.free.push(key.slot);
        if previous != NONE {
            self.slots[previous as usize].next = next;
        }
        if next != NONE {
            self.slots[next as usize].previous = previous;
        }
        let ladder = &mut self.sides[side.index()];
        let place = ladder.find(side, price).expect("an order's level exists");
        let level = &mut ladder.levels[place];
        level.size -= left;
        level.orders -= 1;
        if previous == NONE {
            level.head = next;
        }
        if next == NONE {
            level.tail = previous;
        }
        if level.orders == 0 {
            assert!(level.size.is_zero(), "a level is the sum of its orders");
            ladder.levels.remove(place);
        }
        self.note(side, price);
    }

    fn take_slot(&mut self, side: Side, price: Ticks, order: Resting) -> OrderKey {
        if let Some(slot) = self.free.pop() {
            let generation = self.slots[slot as usize].generation;
            self.slots[slot as usize] =
                Slot { order, side, price, previous: NONE, next: NONE, generation, live: true };
            return OrderKey { slot, generation };
        }
        let slot = u32::try_from(self.slots.len()).expect("fewer orders than a u32 counts");
        assert!(slot != NONE, "fewer orders than a u32 counts");
        self.slots.push(Slot {
            order,
            side,
            price,
            previous: NONE,
            next: NONE,
            generation: 0,
            live: true,
        });
        OrderKey { slot, generation: 0 }
    }

    fn note(&mut self, side: Side, price: Ticks) {
        // One order works the levels one after the other, so the last few hold nearly all repeats.
        if !self.changed.iter().rev().take(4).any(|&change| change == (side, price)) {
            self.changed.push((side, price));
        }
    }
}

/// Where an order rests. It is never given to another order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OrderKey {
    slot: u32,
    generation: u32,
}

/// An order that rests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resting {
    /// The caller's number of it.
    pub id: u64,
    /// The caller's number of its owner.
    pub owner: u32,
    /// Orders of one family are kept from trading with one another; 0 is no family.
    pub family: u32,
    /// What is left of it; positive.
    pub left: Lots,
}

/// An incoming order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taker {
    /// The caller's number of it.
    pub id: u64,
    /// The caller's number of its owner.
    pub owner: u32,
    /// Orders of one family are kept from trading with one another; 0 is no family.
    pub family: u32,
    /// Direction.
    pub side: Side,
    /// The worst price that it trades at; none trades at any.
    pub limit: Option<Ticks>,
    /// What is left of it.
    pub left: Lots,
    /// What it does when it meets an order of its family.
    pub stp: StpMode,
}

impl Taker {
    fn reaches(&self, price: Ticks) -> bool {
        self.limit.is_none_or(|limit| !self.side.better(price, limit))
    }

    fn meets(&self, maker: &Resting) -> Meeting {
        if self.family == 0 || self.family != maker.family {
            return Meeting::Trade;
        }
        match self.stp {
            StpMode::None => Meeting::Trade,
            StpMode::CancelTaker => Meeting::TakerGoes,
            StpMode::CancelMaker => Meeting::MakerGoes,
            StpMode::CancelBoth => Meeting::BothGo,
        }
    }
}

/// What happened to an incoming order in one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It traded with the first order of the best level.
    Fill(Trade),
    /// Self-trade prevention took the resting order out; it goes on.
    MakerCanceled {
        /// The order as it rested.
        maker: Resting,
    },
    /// Self-trade prevention ends it; the resting order stays.
    TakerCanceled,
    /// Self-trade prevention ends both.
    BothCanceled {
        /// The order as it rested.
        maker: Resting,
    },
    /// The resting order had no room to trade and was taken out; it goes on.
    MakerCut {
        /// The order as it rested.
        maker: Resting,
    },
    /// It is filled, or nothing more is within its reach.
    Over,
}

/// A trade between the incoming order and a resting one, at the resting order's price.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trade {
    /// The resting order as it was before the trade.
    pub maker: Resting,
    /// What is left of it; it rests on when this is not zero.
    pub maker_left: Lots,
    /// The price.
    pub price: Ticks,
    /// The size.
    pub size: Lots,
}

/// A level as depth shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Depth {
    /// The price.
    pub price: Ticks,
    /// The sum of what rests there.
    pub size: Lots,
    /// How many orders rest there.
    pub orders: u32,
}

/// The orders of one side in the order in which they would trade.
#[derive(Clone, Debug)]
pub struct Queue<'a> {
    book: &'a Book,
    side: Side,
    level: usize,
    slot: u32,
}

impl<'a> Iterator for Queue<'a> {
    type Item = (Ticks, &'a Resting);

    fn next(&mut self) -> Option<Self::Item> {
        let slot = &self.book.slots[self.advance()? as usize];
        Some((slot.price, &slot.order))
    }
}

impl Queue<'_> {
    fn advance(&mut self) -> Option<u32> {
        if self.slot == NONE {
            let levels = &self.book.sides[self.side.index()].levels;
            self.level = self.level.checked_sub(1)?;
            self.slot = levels[self.level].head;
        }
        let slot = self.slot;
        self.slot = self.book.slots[slot as usize].next;
        Some(slot)
    }
}

enum Meeting {
    Trade,
    TakerGoes,
    MakerGoes,
    BothGo,
}

#[derive(Clone, Debug, Default)]
struct Ladder {
    /// Sorted, the best one last.
    levels: Vec<LevelQueue>,
}

impl Ladder {
    fn find(&self, side: Side, price: Ticks) -> Option<usize> {
        let place = self.place(side, price);
        (self.levels.get(place)?.price == price).then_some(place)
    }

    fn find_or_insert(&mut self, side: Side, price: Ticks) -> usize {
        let place = self.place(side, price);
        if self.levels.get(place).is_none_or(|level| level.price != price) {
            let level = LevelQueue { price, size: Lots::ZERO, orders: 0, head: NONE, tail: NONE };
            self.levels.insert(place, level);
        }
        place
    }

    /// The first level that is not worse than `price`. Most work is at the best one.
    fn place(&self, side: Side, price: Ticks) -> usize {
        match self.levels.last() {
            Some(best) if best.price == price => self.levels.len() - 1,
            _ => self.levels.partition_point(|level| side.better(price, level.price)),
        }
    }
}

#[derive(Clone, Debug)]
struct LevelQueue {
    price: Ticks,
    size: Lots,
    orders: u32,
    head: u32,
    tail: u32,
}

#[derive(Clone, Debug)]
struct Slot {
    order: Resting,
    side: Side,
    price: Ticks,
    previous: u32,
    next: u32,
    generation: u32,
    live: bool,
}

/// No slot.
const NONE: u32 = u32::MAX;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn taker(id: u64, side: Side, limit: i64, left: i64) -> Taker {
        let limit = Some(Ticks(limit));
        Taker { id, owner: 1, family: 0, side, limit, left: Lots(left), stp: StpMode::None }
    }

    fn all(order: &Resting) -> Lots {
        order.left
    }

    /// Works an order until nothing more happens, and lets the rest of it rest.
    fn submit(book: &mut Book, mut taker: Taker) -> (Vec<Step>, Option<OrderKey>) {
        let mut steps = Vec::new();
        loop {
            let step = book.step(&mut taker, all);
            match step {
                Step::Over => break,
                Step::TakerCanceled | Step::BothCanceled { .. } => {
                    steps.push(step);
                    return (steps, None);
                }
                Step::Fill(_) | Step::MakerCanceled { .. } | Step::MakerCut { .. } => {
                    steps.push(step);
                }
            }
        }
        let rests = taker.limit.filter(|_| taker.left.0 > 0);
        let key = rests.map(|price| {
            let Taker { id, owner, family, left, .. } = taker;
            book.rest(taker.side, price, Resting { id, owner, family, left })
        });
        (steps, key)
    }

    fn fills(steps: &[Step]) -> Vec<(u64, i64, i64)> {
        let fill = |step: &Step| match step {
            Step::Fill(t) => Some((t.maker.id, t.price.0, t.size.0)),
            _ => None,
        };
        steps.iter().filter_map(fill).collect()
    }

    #[test]
    fn better_prices_trade_first_and_older_orders_before_younger_ones() {
        let mut book = Book::new();
        for (id, price) in [(1, 101), (2, 100), (3, 100), (4, 102)] {
            submit(&mut book, taker(id, Side::Sell, price, 5));
        }
        let (steps, key) = submit(&mut book, taker(9, Side::Buy, 101, 12));
        assert_eq!(fills(&steps), [(2, 100, 5), (3, 100, 5), (1, 101, 2)]);
        assert_eq!(key, None);
        assert_eq!(book.best(Side::Sell), Some(Ticks(101)));
        assert_eq!(book.size_at(Side::Sell, Ticks(101)), Lots(3));
    }

    #[test]
    fn a_remainder_rests_at_its_own_price() {
        let mut book = Book::new();
        submit(&mut book, taker(1, Side::Sell, 100, 5));
        let (_, key) = submit(&mut book, taker(2, Side::Buy, 101, 8));
        assert_eq!(book.best(Side::Buy), Some(Ticks(101)));
        assert_eq!(book.resting(key.unwrap()).unwrap().left, Lots(3));
        assert_eq!(book.best(Side::Sell), None);
    }

    #[test]
    fn an_order_that_shrinks_keeps_its_place() {
        let mut book = Book::new();
        let (_, first) = submit(&mut book, taker(1, Side::Sell, 100, 5));
        submit(&mut book, taker(2, Side::Sell, 100, 5));
        book.reduce(first.unwrap(), Lots(1));
        let (steps, _) = submit(&mut book, taker(3, Side::Buy, 100, 2));
        assert_eq!(fills(&steps), [(1, 100, 1), (2, 100, 1)]);
    }

    #[test]
    fn a_key_names_one_order_for_ever() {
        let mut book = Book::new();
        let (_, first) = submit(&mut book, taker(1, Side::Sell, 100, 5));
        assert_eq!(book.cancel(first.unwrap()).map(|order| order.id), Some(1));
        let (_, second) = submit(&mut book, taker(2, Side::Sell, 100, 5));
        assert_ne!(first, second);
        assert_eq!(book.cancel(first.unwrap()), None);
        assert_eq!(book.resting(second.unwrap()).map(|order| order.id), Some(2));
    }

    #[test]
    fn a_resting_order_without_room_is_taken_out_and_the_next_one_trades() {
        let mut book = Book::new();
        submit(&mut book, taker(1, Side::Sell, 100, 5));
        submit(&mut book, taker(2, Side::Sell, 100, 5));
        let mut buy = taker(3, Side::Buy, 100, 4);
        let room = |order: &Resting| if order.id == 1 { Lots(0) } else { order.left };
        assert!(matches!(book.step(&mut buy, room), Step::MakerCut { maker } if maker.id == 1));
        assert!(matches!(book.step(&mut buy, room), Step::Fill(trade) if trade.maker.id == 2));
        assert_eq!(book.step(&mut buy, room), Step::Over);
    }

    #[test]
    fn the_incoming_order_decides_what_self_trade_prevention_does() {
        for (stp, own_left, foreign_left, taker_steps) in [
            (StpMode::None, 0, 2, 2),
            (StpMode::CancelTaker, 3, 5, 1),
            (StpMode::CancelMaker, 0, 0, 2),
            (StpMode::CancelBoth, 0, 5, 1),
        ] {
            let mut book = Book::new();
            let own = Taker { family: 7, ..taker(1, Side::Sell, 100, 3) };
            let (_, own) = submit(&mut book, own);
            let foreign = Taker { family: 8, ..taker(2, Side::Sell, 100, 5) };
            let (_, foreign) = submit(&mut book, foreign);
            let buy = Taker { family: 7, stp, ..taker(3, Side::Buy, 100, 6) };
            let (steps, _) = submit(&mut book, buy);
            let left = |key: Option<OrderKey>| book.resting(key.unwrap()).map_or(0, |o| o.left.0);
            assert_eq!((left(own), left(foreign)), (own_left, foreign_left), "{stp:?}");
            assert_eq!(steps.len(), taker_steps, "{stp:?}");
        }
    }

    #[test]
    fn what_is_fillable_is_what_fills() {
        let mut book = Book::new();
        submit(&mut book, Taker { family: 7, ..taker(1, Side::Sell, 100, 3) });
        submit(&mut book, taker(2, Side::Sell, 101, 5));
        submit(&mut book, taker(3, Side::Sell, 102, 5));
        let buy = |stp| Taker { family: 7, stp, ..taker(4, Side::Buy, 101, 20) };
        assert_eq!(book.fillable(&buy(StpMode::None), all), Lots(8));
        assert_eq!(book.fillable(&buy(StpMode::CancelMaker), all), Lots(5));
        assert_eq!(book.fillable(&buy(StpMode::CancelTaker), all), Lots(0));
        assert_eq!(book.fillable(&Taker { left: Lots(4), ..buy(StpMode::None) }, all), Lots(4));
    }

    #[test]
    fn each_change_of_a_level_is_told() {
        let mut book = Book::new();
        let mut changes = Vec::new();
        submit(&mut book, taker(1, Side::Sell, 100, 5));
        book.take_changes(&mut changes);
        assert_eq!(changes, [(Side::Sell, Ticks(100))]);
        submit(&mut book, taker(2, Side::Buy, 101, 8));
        book.take_changes(&mut changes);
        assert_eq!(changes, [(Side::Sell, Ticks(100)), (Side::Buy, Ticks(101))]);
        book.take_changes(&mut changes);
        assert!(changes.is_empty());
    }

    /// The slowest matcher that is plainly right: one list, searched whole for each step.
    #[derive(Default)]
    struct Naive {
        orders: Vec<(Side, Ticks, Resting)>,
    }

    impl Naive {
        fn submit(&mut self, mut taker: Taker) -> Vec<Step> {
            let mut steps = Vec::new();
            while taker.left.0 > 0 {
                let against = taker.side.opposite();
                let limit = taker.limit.expect("all flows have limits");
                let candidates = self.orders.iter().enumerate().filter(|(_, (side, price, _))| {
                    *side == against && (*price == limit || against.better(*price, limit))
                });
                // The first of the best: `min_by_key` gives the earliest of equals.
                let Some((at, &(_, price, maker))) =
                    candidates.min_by_key(|(_, (_, price, _))| price.0 * -against.sign())
                else {
                    break;
                };
                let own = taker.family != 0 && taker.family == maker.family;
                match taker.stp {
                    StpMode::CancelTaker if own => {
                        steps.push(Step::TakerCanceled);
                        return steps;
                    }
                    StpMode::CancelMaker if own => {
                        self.orders.remove(at);
                        steps.push(Step::MakerCanceled { maker });
                        continue;
                    }
                    StpMode::CancelBoth if own => {
                        self.orders.remove(at);
                        steps.push(Step::BothCanceled { maker });
                        return steps;
                    }
                    _ => {}
                }
                let size = taker.left.min(maker.left);
                taker.left -= size;
                let maker_left = maker.left - size;
                self.orders[at].2.left = maker_left;
                if maker_left.is_zero() {
                    self.orders.remove(at);
                }
                steps.push(Step::Fill(Trade { maker, maker_left, price, size }));
            }
            if taker.left.0 > 0 {
                let Taker { id, owner, family, left, .. } = taker;
                let order = Resting { id, owner, family, left };
                self.orders.push((taker.side, taker.limit.unwrap(), order));
            }
            steps
        }

        fn cancel(&mut self, id: u64) -> Option<Resting> {
            let at = self.orders.iter().position(|(_, _, order)| order.id == id)?;
            Some(self.orders.remove(at).2)
        }

        fn reduce(&mut self, id: u64, left: Lots) {
            let order = self.orders.iter_mut().find(|(_, _, order)| order.id == id);
            order.expect("both books hold it").2.left = left;
        }

        fn depth(&self, side: Side) -> Vec<Depth> {
            let mut levels: Vec<Depth> = Vec::new();
            for (_, price, order) in self.orders.iter().filter(|(s, ..)| *s == side) {
                match levels.iter_mut().find(|level| level.price == *price) {
                    Some(level) => {
                        level.size += order.left;
                        level.orders += 1;
                    }
                    None => levels.push(Depth { price: *price, size: order.left, orders: 1 }),
                }
            }
            levels.sort_by_key(|level| level.price.0 * -side.sign());
            levels
        }
    }

    #[derive(Clone, Debug)]
    enum Op {
        Submit { side: Side, price: i64, size: i64, family: u32, stp: StpMode },
        Cancel { which: usize },
        Reduce { which: usize, percent: i64 },
    }

    fn op() -> impl Strategy<Value = Op> {
        let side = prop_oneof![Just(Side::Buy), Just(Side::Sell)];
        let stp = prop_oneof![
            4 => Just(StpMode::None),
            1 => Just(StpMode::CancelTaker),
            1 => Just(StpMode::CancelMaker),
            1 => Just(StpMode::CancelBoth),
        ];
        let submit = (side, 90i64..110, 1i64..50, 0u32..4, stp);
        prop_oneof![
            6 => submit.prop_map(|(side, price, size, family, stp)| {
                Op::Submit { side, price, size, family, stp }
            }),
            2 => any::<usize>().prop_map(|which| Op::Cancel { which }),
            1 => (any::<usize>(), 1i64..100).prop_map(|(which, percent)| {
                Op::Reduce { which, percent }
            }),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(3_000))]

        #[test]
        fn a_ladder_trades_as_one_plain_list_does(ops in prop::collection::vec(op(), 1..120)) {
            let (mut book, mut naive) = (Book::new(), Naive::default());
            let mut keys: Vec<(u64, OrderKey)> = Vec::new();
            let mut changes = Vec::new();
            for (id, op) in (1u64..).zip(&ops) {
                match *op {
                    Op::Submit { side, price, size, family, stp } => {
                        let taker = Taker { family, stp, ..taker(id, side, price, size) };
                        let expected = book.fillable(&taker, all);
                        let (steps, key) = submit(&mut book, taker);
                        let filled: i64 = fills(&steps).iter().map(|fill| fill.2).sum();
                        prop_assert_eq!(expected, Lots(filled));
                        prop_assert_eq!(&steps, &naive.submit(taker));
                        keys.extend(key.map(|key| (id, key)));
                    }
                    Op::Cancel { which } if !keys.is_empty() => {
                        let (id, key) = keys[which % keys.len()];
                        prop_assert_eq!(book.cancel(key), naive.cancel(id));
                    }
                    Op::Reduce { which, percent } if !keys.is_empty() => {
                        let (id, key) = keys[which % keys.len()];
                        if let Some(left) = book.resting(key).map(|order| order.left) {
                            let left = Lots((left.0 * percent / 100).max(1));
                            book.reduce(key, left);
                            naive.reduce(id, left);
                        }
                    }
                    Op::Cancel { .. } | Op::Reduce { .. } => {}
                }
                book.take_changes(&mut changes);
                for side in Side::BOTH {
                    prop_assert_eq!(book.depth(side).collect::<Vec<_>>(), naive.depth(side));
                    prop_assert_eq!(book.best(side), naive.depth(side).first().map(|l| l.price));
                }
                prop_assert_eq!(book.len(), naive.orders.len());
            }
        }
    }
}
