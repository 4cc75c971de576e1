//! Matching: one contract's limit order book, by price and then by time.
//!
//! A [`Book`] knows orders, not accounts: an order has a number, an owner and a family, and the caller
//! gives both their meaning. An incoming order is worked one step at a time ([`Book::step`]), so that
//! the caller can look at each party between two fills.
//!
//! Levels stand in one sorted vector a side with the best one last, so that work near the touch moves
//! little memory; the orders of a level are a linked list through one slab.

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

    /// The next thing that happens to `taker`, done; [`Step::Over`] when nothing more does.
    /// `room` says how much of the resting order may trade; when that is nothing, the order is taken
    /// out as [`Step::MakerCut`].
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

    /// Gives the levels that changed since the last call, in the order of change. Look up what rests
    /// there now with [`Book::size_at`].
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
