//! From the quotes desired to the fewest messages that get there.
//!
//! A level has one order at most: it is placed only where its slot is empty, and an order that is
//! no longer wanted is canceled first. Cancels are never delayed; creates are paced.

use crate::digest::Digest;
use crate::event::ClientId;
use crate::param::Params;
use crate::planted::Defect;
use crate::quote::{Desired, LEVELS_MAX, Level};
use crate::units::{Lots, MonoNanos, SECONDS, Side, Ticks};

/// Compares what is desired with what is there.
///
/// An order stays while its price is within the side's tolerance of the desired one and it is not
/// much larger than desired; what is left of an order in part executed stays. A create waits while
/// its slot is not empty, while it would cross an own order that may still be live, while
/// `max_active_executors` orders may be live, and while `pace` has no room.
pub fn plan(
    params: &Params,
    desired: &Desired,
    slots: &Slots,
    pace: &mut Pace,
    now: MonoNanos,
) -> Plan {
    let mut plan = Plan::NOTHING;
    let mut active = 0;
    for side in Side::BOTH {
        let quotes = &desired.sides[side.index()];
        for (level, slot) in slots[side.index()].iter().enumerate() {
            let counted = match slot {
                Slot::Busy { .. } => !params.commits(Defect::BusyNotCounted),
                Slot::Working { .. } => true,
                Slot::Empty => false,
            };
            active += u64::from(counted);
            let Slot::Working { client, .. } = *slot else { continue };
            if quotes.levels().get(level).is_some_and(|wanted| fits(slot, wanted, quotes.tolerance))
            {
                plan.kept += 1;
            } else {
                plan.push(Action::Cancel { side, level: level as u8, client });
            }
        }
    }
    for level in 0..LEVELS_MAX {
        for side in Side::BOTH {
            let Some(&order) = desired.sides[side.index()].levels().get(level) else { continue };
            if slots[side.index()][level] != Slot::Empty {
                continue;
            }
            let crosses = crosses(slots, side, order.price);
            if crosses || active >= params.max_active_executors() {
                plan.held += 1;
            } else if pace.take(params, now) {
                plan.push(Action::Place { side, level: level as u8, order });
                active += 1;
            } else {
                plan.paced += 1;
            }
        }
    }
    plan
}

/// True when a working order may stay where `wanted` is.
fn fits(slot: &Slot, wanted: &Level, tolerance: Ticks) -> bool {
    let Slot::Working { price, lots, reduce_only, .. } = *slot else { return false };
    let most = if wanted.reduce_only && !reduce_only {
        wanted.lots
    } else {
        Lots(wanted.lots.0 + wanted.lots.0 / 2)
    };
    (price - wanted.price).abs() <= tolerance && lots <= most
}

/// True when an order of `side` at `price` could trade with an own order of the other side.
fn crosses(slots: &Slots, side: Side, price: Ticks) -> bool {
    slots[side.opposite().index()].iter().any(|slot| match *slot {
        Slot::Empty => false,
        Slot::Working { price: other, .. } | Slot::Busy { price: other } => {
            !side.better(other, price)
        }
    })
}

/// What stands on one level of one side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// No order that may still be live.
    Empty,
    /// An order that rests.
    Working {
        /// Its id.
        client: ClientId,
        /// Its price.
        price: Ticks,
        /// What is left of it.
        lots: Lots,
        /// It may only shrink the position.
        reduce_only: bool,
    },
    /// An order on its way in or out, or of unknown outcome.
    Busy {
        /// Its price.
        price: Ticks,
    },
}

/// The slots of both sides, by [`Side::index`] and level.
pub type Slots = [[Slot; LEVELS_MAX]; 2];

/// No order anywhere.
pub const NO_SLOTS: Slots = [[Slot::Empty; LEVELS_MAX]; 2];

/// One thing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// End this order.
    Cancel {
        /// Whose side.
        side: Side,
        /// Which level.
        level: u8,
        /// Which order.
        client: ClientId,
    },
    /// Send an order.
    Place {
        /// Which side.
        side: Side,
        /// Which level.
        level: u8,
        /// What.
        order: Level,
    },
}

/// What to do about one instrument, cancels first; one action a level at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    actions: [Option<Action>; 2 * LEVELS_MAX],
    len: u8,
    /// Orders that stay as they are.
    pub kept: u8,
    /// Creates that wait for the bucket.
    pub paced: u8,
    /// Creates that wait because `max_active_executors` orders may be live, or because they would
    /// cross an own order.
    pub held: u8,
}

impl Plan {
    const NOTHING: Self =
        Self { actions: [None; 2 * LEVELS_MAX], len: 0, kept: 0, paced: 0, held: 0 };

    fn push(&mut self, action: Action) {
        self.actions[usize::from(self.len)] = Some(action);
        self.len += 1;
    }

    /// What to do, in this order.
    pub fn actions(&self) -> impl Iterator<Item = Action> + '_ {
        self.actions[..usize::from(self.len)].iter().copied().flatten()
    }
}

/// Paces the creates of one instrument, so that what is canceled of them stays within
/// `cancel_budget_per_min`.
///
/// A token bucket that holds a fifth of the budget and gains three fifths a minute: no minute sees
/// more creates than four fifths of the budget, and while no more orders than a fifth of it stand
/// at its beginning, no more cancels than the budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// When the bucket is full again.
    full_at: MonoNanos,
}

impl Pace {
    /// A full bucket.
    pub const fn new() -> Self {
        Self { full_at: MonoNanos::ZERO }
    }

    /// When the next create may be sent; in the past when one may be sent now.
    pub fn ready_at(&self, params: &Params) -> MonoNanos {
        let waiting = (capacity(params) - 1) * token(params);
        MonoNanos(self.full_at.0.saturating_sub(waiting))
    }

    /// Folds the state into `digest`.
    pub const fn fold(&self, digest: &mut Digest) {
        digest.fold(self.full_at.0);
    }

    /// Takes a token; false when there is none.
    fn take(&mut self, params: &Params, now: MonoNanos) -> bool {
        let ready = self.ready_at(params) <= now;
        if ready {
            self.full_at = self.full_at.max(now).after(token(params));
        }
        ready
    }
}

impl Default for Pace {
    fn default() -> Self {
        Self::new()
    }
}

/// How many tokens the bucket holds.
fn capacity(params: &Params) -> u64 {
    (params.cancel_budget_per_min() / 5).max(1)
}

/// Nanoseconds in which the bucket gains a token.
fn token(params: &Params) -> u64 {
    (60 * SECONDS * 5).div_ceil(params.cancel_budget_per_min() * 3)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::param::{Profile, at};
    use crate::quote::SideQuotes;
    use proptest::prelude::*;
    use std::vec::Vec;

    const NOW: MonoNanos = MonoNanos(1_000 * SECONDS);

    fn params() -> Params {
        Params::defaults(Profile::Wide)
    }

    fn level(price: i64, lots: i64) -> Level {
        Level { price: Ticks(price), lots: Lots(lots), reduce_only: false, probe: false }
    }

    fn desired(bids: &[i64], asks: &[i64], tolerance: i64) -> Desired {
        let side = |prices: &[i64]| {
            let levels: Vec<Level> = prices.iter().map(|&price| level(price, 10)).collect();
            SideQuotes::of(&levels, Ticks(tolerance))
        };
        Desired { sides: [side(bids), side(asks)], ..Desired::NONE }
    }

    fn working(number: u64, price: i64, lots: i64) -> Slot {
        let client = ClientId { epoch: 1, number };
        Slot::Working { client, price: Ticks(price), lots: Lots(lots), reduce_only: false }
    }

    fn slots(bids: &[Slot], asks: &[Slot]) -> Slots {
        let mut slots = NO_SLOTS;
        slots[0][..bids.len()].copy_from_slice(bids);
        slots[1][..asks.len()].copy_from_slice(asks);
        slots
    }

    fn run(desired: &Desired, slots: &Slots) -> Plan {
        plan(&params(), desired, slots, &mut Pace::new(), NOW)
    }

    fn actions(plan: &Plan) -> Vec<Action> {
        plan.actions().collect()
    }

    fn place(side: Side, level_number: u8, price: i64) -> Action {
        Action::Place { side, level: level_number, order: level(price, 10) }
    }

    fn cancel(side: Side, level: u8, number: u64) -> Action {
        Action::Cancel { side, level, client: ClientId { epoch: 1, number } }
    }

    #[test]
    fn empty_slots_are_filled_nearest_first() {
        let plan = run(&desired(&[99, 98], &[101], 1), &NO_SLOTS);
        assert_eq!(
            actions(&plan),
            [place(Side::Buy, 0, 99), place(Side::Sell, 0, 101), place(Side::Buy, 1, 98)]
        );
    }

    #[test]
    fn an_order_within_tolerance_stays_whatever_its_age() {
        let there = slots(&[working(1, 95, 10)], &[working(2, 105, 3)]);
        let plan = run(&desired(&[99], &[101], 4), &there);
        assert_eq!((actions(&plan), plan.kept), (Vec::new(), 2));
        let plan = run(&desired(&[99], &[101], 3), &there);
        assert_eq!(actions(&plan), [cancel(Side::Buy, 0, 1), cancel(Side::Sell, 0, 2)]);
    }

    #[test]
    fn a_level_is_replaced_only_after_its_order_is_gone() {
        let want = desired(&[90], &[], 1);
        assert_eq!(
            actions(&run(&want, &slots(&[working(1, 99, 10)], &[]))),
            [cancel(Side::Buy, 0, 1)]
        );
        let busy = slots(&[Slot::Busy { price: Ticks(99) }], &[]);
        assert_eq!(actions(&run(&want, &busy)), []);
        assert_eq!(actions(&run(&want, &NO_SLOTS)), [place(Side::Buy, 0, 90)]);
    }

    #[test]
    fn an_order_that_is_not_wanted_is_canceled_and_a_busy_one_left_alone() {
        let there =
            slots(&[working(1, 99, 10), Slot::Busy { price: Ticks(98) }, working(3, 97, 1)], &[]);
        let plan = run(&Desired::NONE, &there);
        assert_eq!(actions(&plan), [cancel(Side::Buy, 0, 1), cancel(Side::Buy, 2, 3)]);
    }

    #[test]
    fn an_order_much_larger_than_wanted_is_canceled() {
        let want = desired(&[99], &[], 1);
        assert_eq!(run(&want, &slots(&[working(1, 99, 15)], &[])).kept, 1);
        assert_eq!(run(&want, &slots(&[working(1, 99, 16)], &[])).kept, 0);
        let mut reducing = level(99, 10);
        reducing.reduce_only = true;
        let side = SideQuotes::of(&[reducing], Ticks(1));
        let want = Desired { sides: [side, SideQuotes::NONE], ..Desired::NONE };
        assert_eq!(run(&want, &slots(&[working(1, 99, 10)], &[])).kept, 1);
        assert_eq!(run(&want, &slots(&[working(1, 99, 11)], &[])).kept, 0, "it could flip");
    }

    #[test]
    fn an_order_that_could_trade_with_an_own_one_waits() {
        for slot in [working(1, 101, 10), Slot::Busy { price: Ticks(101) }] {
            let there = slots(&[], &[slot]);
            let plan = run(&desired(&[101], &[101], 1), &there);
            assert_eq!((actions(&plan), plan.held), (Vec::new(), 1));
            let plan = run(&desired(&[100], &[101], 1), &there);
            assert_eq!(actions(&plan), [place(Side::Buy, 0, 100)]);
        }
    }

    #[test]
    fn no_more_orders_than_allowed_may_be_live() {
        let mut params = params();
        assert!(params.set(at::max_active_executors, 3));
        let there = slots(&[Slot::Busy { price: Ticks(99) }, working(1, 98, 10)], &[]);
        let want = desired(&[99, 98], &[101, 102], 1);
        let plan = plan(&params, &want, &there, &mut Pace::new(), NOW);
        assert_eq!((actions(&plan), plan.held), (std::vec![place(Side::Sell, 0, 101)], 1));
    }

    #[test]
    fn creates_are_paced_and_cancels_are_not() {
        let params = params();
        let mut pace = Pace::new();
        let prices: Vec<i64> = (0..6).map(|n| 99 - n).collect();
        let asks: Vec<i64> = (0..6).map(|n| 101 + n).collect();
        let want = desired(&prices, &asks, 1);
        let mut roomy = params;
        assert!(roomy.set(at::max_active_executors, 16));
        let first = plan(&roomy, &want, &NO_SLOTS, &mut pace, NOW);
        assert_eq!((first.actions().count(), first.paced), (10, 2));
        assert_eq!(pace.ready_at(&roomy), NOW.after(2 * SECONDS));
        let moved = slots(&[working(1, 50, 10)], &[]);
        let plan_now = plan(&roomy, &want, &moved, &mut pace, NOW);
        assert_eq!(actions(&plan_now), [cancel(Side::Buy, 0, 1)]);
        let later = plan(&roomy, &want, &NO_SLOTS, &mut pace, NOW.after(4 * SECONDS));
        assert_eq!((later.actions().count(), later.paced), (2, 10));
    }

    proptest! {
        #[test]
        fn no_minute_sees_more_creates_than_four_fifths_of_the_budget(
            budget in 5i64..500,
            waits in prop::collection::vec(0u64..3_000_000_000, 1..600),
        ) {
            let mut params = params();
            prop_assert!(params.set(at::cancel_budget_per_min, budget));
            let mut pace = Pace::new();
            let mut now = NOW;
            let mut sent: Vec<u64> = Vec::new();
            for wait in waits {
                now = now.after(wait);
                if pace.take(&params, now) {
                    sent.push(now.0);
                }
            }
            for (n, &from) in sent.iter().enumerate() {
                let within = sent[n..].iter().take_while(|&&at| at < from + 60 * SECONDS).count();
                prop_assert!(within as i64 * 5 <= budget * 4, "{} of {}", within, budget);
            }
        }

        #[test]
        fn one_action_a_level_and_never_two_orders_on_one(
            kinds in prop::collection::vec((0u8..3, 90i64..110), 16),
            bids in 0usize..8, asks in 0usize..8,
        ) {
            let mut there = NO_SLOTS;
            for (n, &(kind, price)) in kinds.iter().enumerate() {
                there[n / 8][n % 8] = match kind {
                    0 => Slot::Empty,
                    1 => working(n as u64, price, 10),
                    _ => Slot::Busy { price: Ticks(price) },
                };
            }
            let bid_prices: Vec<i64> = (0..bids as i64).map(|n| 99 - n).collect();
            let ask_prices: Vec<i64> = (0..asks as i64).map(|n| 101 + n).collect();
            let plan = run(&desired(&bid_prices, &ask_prices, 1), &there);
            let mut seen = [[false; LEVELS_MAX]; 2];
            let mut placing = false;
            for action in plan.actions() {
                let (side, level) = match action {
                    Action::Cancel { side, level, .. } => {
                        prop_assert!(!placing, "cancels come first");
                        let slot = there[side.index()][usize::from(level)];
                        let is_working = matches!(slot, Slot::Working { .. });
                        prop_assert!(is_working);
                        (side, level)
                    }
                    Action::Place { side, level, .. } => {
                        placing = true;
                        prop_assert_eq!(there[side.index()][usize::from(level)], Slot::Empty);
                        (side, level)
                    }
                };
                let seen = &mut seen[side.index()][usize::from(level)];
                prop_assert!(!*seen);
                *seen = true;
            }
        }
    }
}
