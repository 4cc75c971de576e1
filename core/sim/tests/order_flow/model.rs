//! The slowest venue that is plainly right: one list of orders, searched whole for each step.
//!
//! It is written from the rules of matching (reference §15) and shares nothing with the venue but
//! the words of its requests. Prices are ticks, sizes lots.

use keel_core::units::Side;
use keel_sim::order::{CancelReason, StpMode, TimeInForce};

/// Clients; the crowd's account comes after them.
pub(crate) const CLIENTS: usize = 4;
/// The agents of the market: no family, no limits, no pushes.
pub(crate) const CROWD: usize = CLIENTS;
/// The second client is a sub-account of the first, so the two are one family.
const FAMILIES: [u32; CLIENTS + 1] = [1, 1, 2, 3, 0];

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wish {
    pub(crate) owner: usize,
    pub(crate) side: Side,
    /// None for a market order.
    pub(crate) price: Option<i64>,
    pub(crate) size: i64,
    pub(crate) force: TimeInForce,
    pub(crate) reduce_only: bool,
    pub(crate) stp: StpMode,
    /// The number of a client id.
    pub(crate) name: Option<u8>,
}

/// An order that was made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Made {
    pub(crate) wish: Wish,
    pub(crate) filled: i64,
    pub(crate) done: bool,
}

impl Made {
    fn left(&self) -> i64 {
        self.wish.size - self.filled
    }
}

/// What the venue tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// A client's order, by its number in the order of making: filled so far, and how it ended.
    Order { order: usize, filled: i64, done: bool, reason: Option<CancelReason> },
    /// A print.
    Print { side: Side, price: i64, size: i64 },
}

/// What the venue is set to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// The highest buy, the lowest sell.
    pub(crate) band: [i64; 2],
    /// The mark.
    pub(crate) mark: i64,
    /// The least worth of an order that opens: ticks times lots.
    pub(crate) worth_min: i64,
    pub(crate) size_max: i64,
    pub(crate) orders_max: usize,
}

/// How an order's way through the book ended.
enum Way {
    Filled,
    OutOfReach,
    Stopped,
    NoRoom,
}

/// The venue.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    limits: Limits,
    /// All orders, in the order of making.
    pub(crate) made: Vec<Made>,
    /// Those that rest, in the order of coming to rest.
    queue: Vec<usize>,
    pub(crate) positions: [i64; CLIENTS + 1],
    /// What was told since the last look.
    pub(crate) said: Vec<Said>,
}

impl Model {
    pub(crate) fn new(limits: Limits) -> Self {
        let (made, queue, said) = (Vec::new(), Vec::new(), Vec::new());
        Self { limits, made, queue, positions: [0; CLIENTS + 1], said }
    }

    /// Places an order; gives whether older ones had to go for it, or the code of the refusal.
    pub(crate) fn place(&mut self, wish: Wish) -> Result<bool, u32> {
        self.enter(wish, None)
    }

    /// Places an agent's order; gives what was filled, and its number when it rests.
    pub(crate) fn crowd(&mut self, wish: Wish) -> (i64, Option<usize>) {
        let order = self.make(wish);
        self.run(order);
        let made = self.made[order];
        (made.filled, self.queue.contains(&order).then_some(order))
    }

    /// Cancels a client's order.
    pub(crate) fn cancel(&mut self, order: usize) -> Result<(), u32> {
        if self.made[order].done {
            return Err(45055);
        }
        self.end(order, CancelReason::Normal);
        Ok(())
    }

    /// Cancels an agent's order and gives what was left of it.
    pub(crate) fn crowd_cancel(&mut self, order: usize) -> Option<i64> {
        let rests = self.queue.contains(&order).then(|| self.made[order].left());
        self.queue.retain(|&other| other != order);
        rests
    }

    /// Changes an order: price, whole size, or both.
    pub(crate) fn modify(
        &mut self,
        order: usize,
        price: Option<i64>,
        size: Option<i64>,
        cancel_if_refused: bool,
    ) -> Result<bool, u32> {
        let old = self.made[order];
        if old.done {
            return Err(45055);
        }
        let keeps_price = price.is_none_or(|price| Some(price) == old.wish.price);
        if keeps_price && size.is_none_or(|size| size == old.wish.size) {
            return Err(25571);
        }
        let size = size.map_or(old.left(), |size| (size - old.filled).max(0));
        let wish = Wish { price: price.or(old.wish.price), size, ..old.wish };
        let answer = self.enter(wish, Some(order));
        if answer.is_err() && cancel_if_refused {
            self.end(order, CancelReason::Normal);
        }
        answer
    }

    /// Cancels a client's orders, the oldest first.
    pub(crate) fn cancel_all(&mut self, owner: usize) {
        for order in self.open(owner) {
            self.end(order, CancelReason::Normal);
        }
    }

    /// The levels of a side, best first: price, size, orders.
    pub(crate) fn depth(&self, side: Side) -> Vec<(i64, i64, u32)> {
        let mut levels: Vec<(i64, i64, u32)> = Vec::new();
        for &order in self.queue.iter().filter(|&&order| self.made[order].wish.side == side) {
            let (price, left) = (self.price(order), self.made[order].left());
            match levels.iter_mut().find(|level| level.0 == price) {
                Some(level) => (level.1, level.2) = (level.1 + left, level.2 + 1),
                None => levels.push((price, left, 1)),
            }
        }
        levels.sort_unstable_by_key(|level| level.0 * -side.sign());
        levels
    }

    /// A client's open orders, the oldest first.
    fn open(&self, owner: usize) -> Vec<usize> {
        let mut open: Vec<usize> = self.queue.clone();
        open.retain(|&order| self.made[order].wish.owner == owner);
        open.sort_unstable();
        open
    }

    fn enter(&mut self, mut wish: Wish, replaced: Option<usize>) -> Result<bool, u32> {
        let open = self.open(wish.owner);
        let others: Vec<usize> =
            open.into_iter().filter(|&order| Some(order) != replaced).collect();
        let displaced = self.checked(&mut wish, &others)?;
        if let Some(old) = replaced {
            self.end(old, CancelReason::Modify);
        }
        for &order in &displaced {
            self.end(order, CancelReason::ReduceOnlyRoom);
        }
        let order = self.make(wish);
        self.tell(order, None);
        self.run(order);
        Ok(!displaced.is_empty())
    }

    /// The checks in the venue's order; gives the older orders that must go for this one, whose
    /// size is cut to what it may close.
    fn checked(&self, wish: &mut Wish, others: &[usize]) -> Result<Vec<usize>, u32> {
        let limits = &self.limits;
        let taken = |order: &usize| self.made[*order].wish.name == wish.name;
        if wish.name.is_some() && others.iter().any(taken) {
            return Err(25212);
        }
        if wish.size < 1 {
            return Err(25207);
        }
        if wish.size > limits.size_max {
            return Err(25208);
        }
        if !wish.reduce_only && wish.price.unwrap_or(limits.mark) * wish.size < limits.worth_min {
            return Err(25611);
        }
        match (wish.side, wish.price) {
            (Side::Buy, Some(price)) if price > limits.band[0] => return Err(25206),
            (Side::Sell, Some(price)) if price < limits.band[1] => return Err(25205),
            _ => {}
        }
        if others.len() >= limits.orders_max {
            return Err(25211);
        }
        if !wish.reduce_only {
            return Ok(Vec::new());
        }
        let room = self.room(wish.owner, wish.side);
        if room == 0 {
            return Err(25227);
        }
        wish.size = wish.size.min(room);
        let same = |order: &&usize| {
            let other = self.made[**order].wish;
            other.reduce_only && other.side == wish.side
        };
        let older: Vec<usize> = others.iter().filter(same).copied().collect();
        let resting: i64 = older.iter().map(|&order| self.made[order].left()).sum();
        let mut excess = resting + wish.size - room;
        let goes = |order: &usize| {
            let must = excess > 0;
            excess -= self.made[*order].left();
            must
        };
        Ok(older.into_iter().take_while(goes).collect())
    }

    fn make(&mut self, wish: Wish) -> usize {
        self.made.push(Made { wish, filled: 0, done: false });
        self.made.len() - 1
    }

    /// Works a new order until it is done or rests.
    fn run(&mut self, order: usize) {
        let wish = self.made[order].wish;
        if wish.price.is_some() && wish.force == TimeInForce::PostOnly {
            if self.first(order).is_some() {
                return self.end(order, CancelReason::PostOnlyFill);
            }
        } else if wish.price.is_some() && wish.force == TimeInForce::Fok {
            // What would happen is found out by letting it happen to a copy.
            let mut copy = self.clone();
            if !matches!(copy.walk(order), Way::Filled) {
                return self.end(order, CancelReason::FokNotFull);
            }
        }
        match (self.walk(order), wish.price, wish.force) {
            (Way::Filled, ..) => {}
            (Way::Stopped, ..) => self.end(order, CancelReason::Stp),
            (Way::NoRoom, ..) => self.end(order, CancelReason::ReduceOnlyRoom),
            (Way::OutOfReach, None, _) => {
                let beyond = !self.depth(wish.side.opposite()).is_empty();
                let reason = match beyond {
                    true => CancelReason::LimitPriceExceed,
                    false => CancelReason::IocNotFull,
                };
                self.end(order, reason);
            }
            (Way::OutOfReach, _, TimeInForce::Ioc) => self.end(order, CancelReason::IocNotFull),
            (Way::OutOfReach, _, TimeInForce::Fok) => unreachable!("the copy was filled"),
            (Way::OutOfReach, _, TimeInForce::Gtc | TimeInForce::PostOnly) => {
                self.queue.push(order);
            }
        }
    }

    fn walk(&mut self, taker: usize) -> Way {
        loop {
            let wish = self.made[taker].wish;
            let left = self.made[taker].left();
            if left == 0 {
                return Way::Filled;
            }
            let own_room = self.room_of(taker);
            if own_room == 0 {
                return Way::NoRoom;
            }
            let Some(maker) = self.first(taker) else { return Way::OutOfReach };
            let families = [wish.owner, self.made[maker].wish.owner].map(|owner| FAMILIES[owner]);
            let own = families[0] != 0 && families[0] == families[1];
            match wish.stp {
                StpMode::CancelTaker if own => return Way::Stopped,
                StpMode::CancelMaker if own => {
                    self.end(maker, CancelReason::Stp);
                    continue;
                }
                StpMode::CancelBoth if own => {
                    self.end(maker, CancelReason::Stp);
                    return Way::Stopped;
                }
                _ => {}
            }
            let maker_room = self.room_of(maker);
            if maker_room == 0 {
                self.end(maker, CancelReason::ReduceOnlyRoom);
                continue;
            }
            let size = left.min(self.made[maker].left()).min(own_room).min(maker_room);
            let price = self.price(maker);
            self.fill(taker, size);
            self.fill(maker, size);
            self.said.push(Said::Print { side: wish.side, price, size });
        }
    }

    /// The order that `taker` would meet next: of the best price in its reach, the first that came.
    fn first(&self, taker: usize) -> Option<usize> {
        let Wish { side, price: limit, owner, .. } = self.made[taker].wish;
        let band = self.limits.band[side.index()];
        let limit = limit.or((owner != CROWD).then_some(band));
        let reached = |price: i64| match (side, limit) {
            (_, None) => true,
            (Side::Buy, Some(limit)) => price <= limit,
            (Side::Sell, Some(limit)) => price >= limit,
        };
        let against = self
            .queue
            .iter()
            .copied()
            .filter(|&order| self.made[order].wish.side != side && reached(self.price(order)));
        // Of equals `min_by_key` gives the first.
        against.min_by_key(|&order| self.price(order) * side.sign())
    }

    fn fill(&mut self, order: usize, size: i64) {
        self.made[order].filled += size;
        let made = self.made[order];
        let owner = made.wish.owner;
        let before = self.positions[owner];
        self.positions[owner] += size * made.wish.side.sign();
        if made.left() == 0 {
            self.made[order].done = true;
            self.queue.retain(|&other| other != order);
        }
        if owner == CROWD {
            return;
        }
        self.tell(order, None);
        let after = self.positions[owner];
        let closed = before.signum() == -made.wish.side.sign();
        if closed && after.signum() != before.signum() {
            for order in self.open(owner) {
                if self.made[order].wish.reduce_only && self.room_of(order) == 0 {
                    self.end(order, CancelReason::ReduceOnlyRoom);
                }
            }
        }
    }

    fn end(&mut self, order: usize, reason: CancelReason) {
        self.made[order].done = true;
        self.queue.retain(|&other| other != order);
        self.tell(order, Some(reason));
    }

    fn tell(&mut self, order: usize, reason: Option<CancelReason>) {
        let made = self.made[order];
        if made.wish.owner != CROWD {
            let (filled, done) = (made.filled, made.done);
            self.said.push(Said::Order { order, filled, done, reason });
        }
    }

    /// How much of an order its owner's position allows.
    fn room_of(&self, order: usize) -> i64 {
        let wish = self.made[order].wish;
        if wish.reduce_only { self.room(wish.owner, wish.side) } else { i64::MAX }
    }

    fn room(&self, owner: usize, side: Side) -> i64 {
        (-self.positions[owner] * side.sign()).max(0)
    }

    fn price(&self, order: usize) -> i64 {
        self.made[order].wish.price.expect("only orders with a price rest")
    }
}
