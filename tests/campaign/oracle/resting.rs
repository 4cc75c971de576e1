//! What rests at the venue: against the limits, the book's age, and what the engine believes.

use std::collections::{BTreeMap, BTreeSet};

use keel_core::gate::Intent;
use keel_core::guard::GuardState;
use keel_core::units::{MILLIS, MonoNanos, SECONDS, Side};
use keel_io::world::{Route, World};

use super::wire::position;
use super::{Oracles, RTT_NS, Resting, pow10};

impl Oracles<'_> {
    /// I-02: position and own orders of one side together stay within the limit. The limit is
    /// money: it is taken at the lower of mark and own price, with half a percent for how far the
    /// mark moves on the way.
    pub(super) fn exposure(&mut self, resting: &[Resting], world: &World) {
        let venue = world.exchange().venue();
        let limit = i128::from(world.params().max_position_quote().0);
        for contract in venue.instruments() {
            let by_hand = self.by_hand.get(&contract.id).copied().unwrap_or(0);
            let position = position(venue.account(world.account()), contract.id) - by_hand;
            for side in Side::BOTH {
                let mine = resting.iter().filter(|order| {
                    order.own && order.instrument == contract.id && order.side == side
                });
                let (mut lots, mut price) = (position * side.sign(), contract.marks.mark.0);
                let grids = contract.rules.grids;
                let mut working = false;
                for order in mine {
                    working = true;
                    lots += order.left;
                    let own = i128::from(order.price) * i128::from(grids.price.step) * 100_000_000
                        / pow10(grids.price.scale);
                    price = price.min(own as i64);
                }
                let value =
                    i128::from(price) * i128::from(lots.max(0)) * i128::from(grids.size.step)
                        / pow10(grids.size.scale);
                if working && value * 1_000 > limit * 1_005 {
                    let what = format!("{side} {lots} lots: {value} of {limit}");
                    self.fail("I-02", what, world);
                }
            }
        }
    }

    /// I-17: no own bid at or above an own ask.
    pub(super) fn crosses(&mut self, resting: &[Resting], world: &World) {
        for bid in resting.iter().filter(|order| order.own && order.side == Side::Buy) {
            let crossed = resting.iter().any(|ask| {
                ask.own
                    && ask.side == Side::Sell
                    && ask.instrument == bid.instrument
                    && ask.price <= bid.price
            });
            if crossed {
                self.fail("I-17", format!("{} crosses an own ask", bid.client), world);
            }
        }
    }

    /// I-39: no two own orders rest on one level of a side.
    pub(super) fn doubled(&mut self, resting: &[Resting], world: &World) {
        let own = resting.iter().filter(|order| order.own).filter_map(|order| {
            let minted = self.minted.get(&order.client)?;
            let level = (order.instrument, order.side.index(), minted.level);
            Some((level, order.client.as_str()))
        });
        if let Some((one, other)) = on_one_level(own) {
            self.fail("I-39", format!("{one} and {other} rest on one level"), world);
        }
    }

    /// I-14: what others place on the account is gone soon, or has stopped the product where that
    /// is the policy, while the venue can be reached.
    pub(super) fn strangers(&mut self, resting: &[Resting], world: &World) {
        let now = world.now();
        let theirs: BTreeSet<&str> = resting
            .iter()
            .filter(|order| !order.own || order.epoch != self.epoch)
            .map(|order| order.client.as_str())
            .collect();
        self.foreign.retain(|client, _| theirs.contains(client.as_str()));
        let reachable = self.entry_calm_for(now).min(self.calm_for(&[Route::Rest], now));
        let mut late = Vec::new();
        for client in theirs {
            let since = *self.foreign.entry(client.to_owned()).or_insert(now);
            if now.since(since).min(reachable) > FOREIGN_NS_MAX {
                late.push(client.to_owned());
            }
        }
        late.retain(|client| {
            let is_own = self.instance.read(client.as_bytes()).is_own();
            is_own || !self.foreign_halts(world) || self.guard != GuardState::HardStop
        });
        for client in late {
            self.fail("I-14", format!("{client} rests still"), world);
        }
    }

    /// I-18: no quote of this process rests beside a book that has not been shown as it is for
    /// longer than its silence limit, while orders can be ended. Orders of a process that died rest
    /// until the next one reads of them: nobody watches in between yet. One that was late on its
    /// way is ended once it has come.
    pub(super) fn old_quotes(&mut self, resting: &[Resting], world: &World) {
        let now = world.now();
        let allowed = self.silence_ns + RTT_NS + 100 * MILLIS;
        let mut reachable = self.entry_calm_for(now);
        if now.since(self.cancel_all_at) < ACK_NS_MAX {
            // What was canceled with all others is waited for, on whatever way that takes.
            reachable = reachable.min(self.calm_for(&[Route::Cancel], now));
        }
        let epoch = self.epoch;
        self.rests.retain(|client, _| resting.iter().any(|order| order.client == *client));
        for order in resting.iter().filter(|order| order.own && order.epoch == epoch) {
            let since = *self.rests.entry(order.client.clone()).or_insert(now);
            let old = now.since(self.shown(&order.symbol));
            let late = now.since(since) > RTT_NS + 100 * MILLIS;
            if late && old > allowed && reachable > old.min(allowed) {
                let what = format!("{} rests, its book is {} ms old", order.client, old / MILLIS);
                self.fail("I-18", what, world);
            }
        }
    }

    /// When a book was last shown as it is: by a frame, or by its touch over REST and a pong.
    /// Whether that touch is the book's is not judged here.
    fn shown(&self, symbol: &str) -> MonoNanos {
        let of = |at: &BTreeMap<String, MonoNanos>| at.get(symbol).copied();
        let asked = of(&self.touch_at).map_or(MonoNanos::ZERO, |at| at.min(self.pong_at));
        of(&self.book_at).map_or(asked, |at| at.max(asked))
    }

    /// I-21: what rested when the private connection ended, or at a hard stop, is gone two seconds
    /// later, while cancel-all can be reached.
    pub(super) fn cut(&mut self, world: &World, at: MonoNanos) {
        let resting = self.resting(world);
        let own = resting.into_iter().filter(|order| order.own && order.epoch == self.epoch);
        self.orphaned.push((at, own.map(|order| order.client).collect()));
    }

    pub(super) fn after_a_cut(&mut self, resting: &[Resting], world: &World) {
        let now = world.now();
        let reachable = self.calm_for(&[Route::Cancel], now);
        let (due, later): (Vec<_>, Vec<_>) = std::mem::take(&mut self.orphaned)
            .into_iter()
            .partition(|(at, _)| now.since(*at) >= CUT_NS_MAX);
        self.orphaned = later;
        for (at, orders) in due {
            if reachable < now.since(at) {
                continue;
            }
            for order in resting.iter().filter(|order| orders.contains(&order.client)) {
                let what =
                    format!("{} rests {CUT_NS_MAX} ns after a cut or a hard stop", order.client);
                self.fail("I-21", what, world);
            }
        }
    }

    /// I-13: believed live and live are the same set, but for what is on its way.
    pub(super) fn belief(&mut self, resting: &[Resting], world: &World) {
        let now = world.now();
        let live: BTreeSet<&String> = resting
            .iter()
            .filter(|order| order.own && order.epoch == self.epoch)
            .map(|order| &order.client)
            .collect();
        let believed: BTreeSet<&String> = self.believed.iter().collect();
        let apart: BTreeSet<String> =
            live.symmetric_difference(&believed).map(|name| (*name).clone()).collect();
        self.differs.retain(|name, _| apart.contains(name));
        let reachable = self.calm_for(&[Route::Private, Route::Rest], now);
        let zombie_ns = match self.over_rest {
            true => world.params().zombie_window_rest_ms(),
            false => world.params().zombie_window_ms(),
        };
        let allowed = BELIEF_NS_MAX + zombie_ns;
        let mut wrong = Vec::new();
        for name in apart {
            let is_live = live.contains(&name);
            let since = *self.differs.entry(name.clone()).or_insert(now);
            if now.since(since).min(reachable) > allowed {
                wrong.push((name, is_live));
            }
        }
        for (name, is_live) in wrong {
            let what = if is_live { "is live and not believed so" } else { "is believed live" };
            self.fail("I-13", format!("{name} {what}"), world);
        }
    }

    /// I-08: an order that was declared ended does not rest, then or later.
    pub(super) fn ended(&mut self, resting: &[Resting], world: &World) {
        if let Some(order) = resting.iter().find(|order| self.done.contains(&order.client)) {
            self.fail("I-08", format!("{} rests and was declared ended", order.client), world);
        }
    }

    /// I-18: nothing is quoted beside a book that has not been shown as it is for longer than its
    /// silence limit. I-01, G1: nothing but what reduces a position is quoted but in `RUNNING`.
    pub(super) fn quotes(&mut self, name: &str, intent: &Intent, world: &World) {
        let index = intent.instrument.index();
        let Some(symbol) = world.symbols().get(index) else { return };
        let old = world.now().since(self.shown(symbol.as_str()));
        if old > self.silence_ns + RTT_NS {
            let what = format!("{name} is quoted by a book that is {} ms old", old / MILLIS);
            self.fail("I-18", what, world);
        }
        let may = match self.guard {
            GuardState::Running => true,
            GuardState::SoftPause => intent.reduce_only,
            GuardState::HardStop => false,
        };
        if !may {
            self.fail("I-01", format!("{name} is quoted in {}", self.guard), world);
        }
    }
}

/// Two orders that stand on one level.
fn on_one_level<'o, L: Ord>(
    orders: impl Iterator<Item = (L, &'o str)>,
) -> Option<(&'o str, &'o str)> {
    let mut on = BTreeMap::new();
    for (level, order) in orders {
        if let Some(other) = on.insert(level, order) {
            return Some((other, order));
        }
    }
    None
}

/// The private push tells of a foreign order at once, the list of open orders within `T_rec`.
const FOREIGN_NS_MAX: u64 = 8 * SECONDS;
/// An answer to a cancel is waited for so long, with the round trip of what is done then.
const ACK_NS_MAX: u64 = SECONDS + RTT_NS + 100 * MILLIS;
/// Cancel-all after a cut, and after a hard stop.
const CUT_NS_MAX: u64 = 2 * SECONDS;
/// Beside the zombie window: `T_rec` 5 s, and 4 s for two sources to be asked.
const BELIEF_NS_MAX: u64 = 9 * SECONDS;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_orders_on_a_level_of_a_side_are_found() {
        let apart = [((0, 0, 0), "a"), ((0, 0, 1), "b"), ((0, 1, 0), "c"), ((1, 0, 0), "d")];
        assert_eq!(on_one_level(apart.into_iter()), None);
        let doubled = apart.into_iter().chain([((0, 1, 0), "e")]);
        assert_eq!(on_one_level(doubled), Some(("c", "e")));
    }
}
