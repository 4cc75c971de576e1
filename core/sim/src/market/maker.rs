//! Maker: the agents that keep the book of one contract.
//!
//! On each side they keep one order or a few at the touch and one at each of some two hundred
//! levels behind it: close together near the touch, farther apart and larger away from it. They
//! know their fair touch; [`Maker::settle`] brings the book to it, [`Maker::stir`] keeps it from
//! standing still.

use std::collections::VecDeque;

use keel_core::units::{Side, Ticks};

use crate::market::chance::Chance;
use crate::market::house::House;
use crate::matching::OrderKey;

/// The resting orders of a contract's makers.
#[derive(Debug)]
pub(crate) struct Maker {
    shape: Shape,
    /// Of each side the worst price first; at one price the oldest first.
    sides: [VecDeque<Rung>; 2],
    /// Distances from the touch that are about to be filled; kept for its memory.
    steps: Vec<i64>,
}

/// What a tick and a lot mean in this contract.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// A tick as a share of the price, in bp.
    pub(crate) tick_bps: f64,
    /// Lots that are worth one lot of the recorded prints (0.0001 BTC).
    pub(crate) unit: f64,
}

#[derive(Clone, Copy, Debug)]
struct Rung {
    price: i64,
    key: OrderKey,
}

impl Maker {
    /// Makers without an order.
    pub(crate) fn new(shape: Shape) -> Self {
        Self { shape, sides: [VecDeque::new(), VecDeque::new()], steps: Vec::new() }
    }

    /// Tells what a tick and a lot now mean.
    pub(crate) const fn reshape(&mut self, shape: Shape) {
        self.shape = shape;
    }

    /// Forgets all orders, which the venue has canceled.
    pub(crate) fn forget(&mut self) {
        self.sides = [VecDeque::new(), VecDeque::new()];
    }

    /// Brings one side to `touch`: takes away what is better, fills what is missing between the
    /// touch and the best order, and keeps the far end.
    pub(crate) fn settle(
        &mut self,
        side: Side,
        touch: i64,
        house: &mut House<'_>,
        chance: &mut Chance,
    ) {
        self.withdraw(side, worse(side, touch, -1), house);
        if let Some(best) = self.best(side).filter(|&best| best != touch) {
            // The touch has moved on, and what stood there goes with it: levels behind it are thin.
            self.withdraw(side, best, house);
        }
        if self.best(side) != Some(touch) {
            self.fill(side, touch, house, chance);
        }
        self.keep_far_end(side, touch, house, chance);
    }

    /// Takes away every order at `limit` or better, and forgets what has been filled.
    pub(crate) fn withdraw(&mut self, side: Side, limit: i64, house: &mut House<'_>) {
        while let Some(rung) = self.sides[side.index()].back().copied() {
            if house.rests(rung.key) {
                if side.better(Ticks(limit), Ticks(rung.price)) {
                    return;
                }
                house.cancel(rung.key);
            }
            self.sides[side.index()].pop_back();
        }
    }

    /// Takes away the orders at the best price but for one small one, as makers do who see a jump
    /// coming.
    pub(crate) fn thin(&mut self, side: Side, house: &mut House<'_>, chance: &mut Chance) {
        let Some(best) = self.best(side) else { return };
        self.withdraw(side, best, house);
        let size = chance.exponential() * THIN_LOTS;
        self.push(side, best, self.lots(size), house);
    }

    /// One small change near the touch: an order joins or leaves.
    pub(crate) fn stir(
        &mut self,
        side: Side,
        touch: i64,
        house: &mut House<'_>,
        chance: &mut Chance,
    ) {
        self.withdraw(side, worse(side, touch, -1), house);
        if self.best(side) != Some(touch) {
            self.settle(side, touch, house, chance);
            return;
        }
        if chance.happens(AT_TOUCH) {
            self.stir_touch(side, touch, house, chance);
        } else {
            self.stir_behind(side, touch, house, chance);
        }
    }

    fn stir_touch(&mut self, side: Side, touch: i64, house: &mut House<'_>, chance: &mut Chance) {
        let count = self.at_best(side);
        let leaves = count >= TOUCH_ORDERS_MAX || (count > 1 && chance.happens(0.5));
        if leaves {
            // The youngest goes: the queue's head keeps its place.
            let rung = self.sides[side.index()].pop_back().expect("orders at the touch");
            house.cancel(rung.key);
        } else {
            let size = self.touch_size(chance);
            self.push(side, touch, size, house);
        }
    }

    fn stir_behind(&mut self, side: Side, touch: i64, house: &mut House<'_>, chance: &mut Chance) {
        let shape = self.shape;
        let reach = ((STIRRED_BPS / shape.tick_bps) as i64).max(4);
        let distance = chance.between(1, reach);
        let price = worse(side, touch, distance);
        let rungs = &mut self.sides[side.index()];
        // The first order that is not worse than `price`.
        let place = rungs.partition_point(|rung| side.better(Ticks(price), Ticks(rung.price)));
        let taken = rungs.get(place).copied().filter(|rung| rung.price != touch);
        let room = (shape.near_spacing() / 2.0) as i64;
        if let Some(rung) = taken.filter(|rung| (rung.price - price).abs() <= room) {
            rungs.remove(place);
            house.cancel(rung.key);
            return;
        }
        if price > 0 {
            let size = self.size(distance, chance);
            if let Some(key) = house.rest(side, price, size) {
                self.sides[side.index()].insert(place, Rung { price, key });
            }
        }
        if self.sides[side.index()].len() > ORDERS_MAX {
            // Moving on leaves the near orders of before behind: the far end is thinned.
            let rungs = &mut self.sides[side.index()];
            let place = chance.below(rungs.len() as u64 / 2) as usize;
            let rung = rungs.remove(place).expect("a place of the far half");
            house.cancel(rung.key);
        }
    }

    fn fill(&mut self, side: Side, touch: i64, house: &mut House<'_>, chance: &mut Chance) {
        let reach = self.shape.reach();
        let end = self.best(side).map_or(reach, |best| (best - touch).abs().min(reach));
        self.steps.clear();
        let mut distance = 0;
        while distance < end {
            self.steps.push(distance);
            distance += self.shape.step(distance, chance);
        }
        while let Some(distance) = self.steps.pop() {
            let size =
                if distance == 0 { self.touch_size(chance) } else { self.size(distance, chance) };
            self.push(side, worse(side, touch, distance), size, house);
        }
    }

    fn keep_far_end(&mut self, side: Side, touch: i64, house: &mut House<'_>, chance: &mut Chance) {
        let reach = self.shape.reach();
        while let Some(rung) = self.sides[side.index()].front().copied() {
            let distance = (rung.price - touch).abs();
            if distance > reach + reach / 8 {
                house.cancel(rung.key);
                self.sides[side.index()].pop_front();
                continue;
            }
            if distance >= reach {
                return;
            }
            let distance = distance + self.shape.step(distance, chance);
            let (price, size) = (worse(side, touch, distance), self.size(distance, chance));
            if price <= 0 {
                return;
            }
            let Some(key) = house.rest(side, price, size) else { return };
            self.sides[side.index()].push_front(Rung { price, key });
        }
    }

    fn push(&mut self, side: Side, price: i64, size: i64, house: &mut House<'_>) {
        if price > 0
            && let Some(key) = house.rest(side, price, size)
        {
            self.sides[side.index()].push_back(Rung { price, key });
        }
    }

    /// The best price at which the makers rest, as far as they know.
    fn best(&self, side: Side) -> Option<i64> {
        self.sides[side.index()].back().map(|rung| rung.price)
    }

    /// How many orders they have at that price.
    fn at_best(&self, side: Side) -> usize {
        let rungs = &self.sides[side.index()];
        let best = self.best(side);
        rungs.iter().rev().take_while(|rung| Some(rung.price) == best).count()
    }

    fn touch_size(&self, chance: &mut Chance) -> i64 {
        self.lots(TOUCH_LOTS * (0.05 + chance.exponential()))
    }

    /// Half of the levels are small, the others grow with the distance.
    fn size(&self, distance: i64, chance: &mut Chance) -> i64 {
        let bps = distance as f64 * self.shape.tick_bps;
        let mean = if chance.happens(0.6) { SMALL_LOTS } else { NEAR_LOTS + GROWTH_LOTS * bps };
        self.lots(mean * chance.exponential())
    }

    /// Lots of this contract worth so many of the recorded prints; at least one.
    pub(crate) fn lots(&self, recorded: f64) -> i64 {
        ((recorded * self.shape.unit + 0.5) as i64).max(1)
    }
}

impl Shape {
    fn near_spacing(&self) -> f64 {
        (NEAR_SPACING_BPS / self.tick_bps).max(1.0)
    }

    /// How far the book goes, in ticks.
    fn reach(&self) -> i64 {
        (REACH_BPS / self.tick_bps) as i64
    }

    /// Ticks from a level to the next one.
    fn step(&self, distance: i64, chance: &mut Chance) -> i64 {
        let mean = self.near_spacing() + distance as f64 * SPACING_GROWTH;
        1 + (chance.exponential() * mean) as i64
    }
}

/// The price `ticks` behind `price` on a side.
pub(crate) const fn worse(side: Side, price: i64, ticks: i64) -> i64 {
    price - side.sign() * ticks
}

/// How far the book goes.
const REACH_BPS: f64 = 35.0;
/// The mean distance of two levels near the touch.
const NEAR_SPACING_BPS: f64 = 0.06;
/// How much that distance grows a tick.
const SPACING_GROWTH: f64 = 0.01;
/// Where small changes happen behind the touch.
const STIRRED_BPS: f64 = 3.0;
/// The share of small changes that happen at the touch.
const AT_TOUCH: f64 = 0.5;
/// Orders that the makers have at the touch at most.
const TOUCH_ORDERS_MAX: usize = 4;
/// Orders that the makers have on a side, beyond which the far end is thinned.
const ORDERS_MAX: usize = 400;
/// Mean sizes in lots of the recorded prints: an order at the touch, a small level, a level near
/// the touch, what a level grows a bp, what is left at the touch before a jump.
const TOUCH_LOTS: f64 = 12_000.0;
const SMALL_LOTS: f64 = 7.0;
const NEAR_LOTS: f64 = 150.0;
const GROWTH_LOTS: f64 = 700.0;
const THIN_LOTS: f64 = 200.0;
