//! Ids of what is booked since a closed horizon, each with its content, in lent memory.
//!
//! Nothing is evicted by age or count: an id goes only when the horizon has passed its time.

use crate::digest::Digest;
use crate::units::UnixNanos;

/// A set of ids by open addressing.
pub struct Ids<'m> {
    slots: &'m mut [Slot],
    len: usize,
    /// The sum over all entries, so that a digest need not walk the table.
    sum: u64,
    horizon: UnixNanos,
    /// Where the next sweep begins.
    cursor: usize,
}

/// Memory for one id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// 0 is an empty place.
    pub id: u64,
    /// Hash of what is known of it.
    pub content: u64,
    /// When it happened.
    pub ts: UnixNanos,
}

impl<'m> Ids<'m> {
    /// An empty set over `slots`. One place in eight stays free, so that a search is short.
    ///
    /// # Panics
    /// When the number of `slots` is no power of two from 8 on.
    pub fn new(slots: &'m mut [Slot]) -> Self {
        assert!(slots.len().is_power_of_two() && slots.len() >= 8, "a power of two from 8 on");
        slots.fill(Slot::EMPTY);
        Self { slots, len: 0, sum: 0, horizon: UnixNanos(i64::MIN), cursor: 0 }
    }

    /// What is remembered of `id`.
    pub fn known(&self, id: u64) -> Option<Slot> {
        Some(self.slots[self.find(id)]).filter(|slot| slot.id != 0)
    }

    /// Remembers a slot whose id is not 0, in the place of one with that id; false, and nothing is
    /// remembered, when there is no room.
    pub fn remember(&mut self, slot: Slot) -> bool {
        let at = self.find(slot.id);
        let known = self.slots[at];
        if known.id != 0 {
            self.sum = self.sum.wrapping_sub(known.hash());
        } else if self.len >= self.slots.len() / 8 * 7 {
            return false;
        } else {
            self.len += 1;
        }
        self.slots[at] = slot;
        self.sum = self.sum.wrapping_add(slot.hash());
        true
    }

    /// Closes everything before `horizon`: it is booked and will not be asked for again. Never goes
    /// back.
    pub fn close(&mut self, horizon: UnixNanos) {
        self.horizon = self.horizon.max(horizon);
    }

    /// Forgets closed ids in the next `places` places; a small number now and then is enough.
    pub fn sweep(&mut self, places: usize) {
        for _ in 0..places.min(self.slots.len()) {
            // What moves into a freed place is looked at as well.
            while self.slots[self.cursor].id != 0 && self.slots[self.cursor].ts < self.horizon {
                self.remove(self.cursor);
            }
            self.cursor = (self.cursor + 1) & self.mask();
        }
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.slots.fill(Slot::EMPTY);
        (self.len, self.sum) = (0, 0);
    }

    /// The closed horizon.
    pub fn horizon(&self) -> UnixNanos {
        self.horizon
    }

    /// Ids remembered.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True when no id is remembered.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Folds the set into `digest`; the order in which ids came leaves no trace.
    pub fn fold(&self, digest: &mut Digest) {
        digest.fold(self.len as u64);
        digest.fold(self.sum);
        digest.fold_signed(self.horizon.0);
    }

    const fn mask(&self) -> usize {
        self.slots.len() - 1
    }

    const fn home(&self, id: u64) -> usize {
        (id.wrapping_mul(SPREAD) >> 32) as usize & self.mask()
    }

    /// The place of `id`, or the free place where it belongs.
    fn find(&self, id: u64) -> usize {
        let mut at = self.home(id);
        while self.slots[at].id != 0 && self.slots[at].id != id {
            at = (at + 1) & self.mask();
        }
        at
    }

    /// Frees a place and moves later ones of its run back, so that each is still found.
    fn remove(&mut self, at: usize) {
        self.sum = self.sum.wrapping_sub(self.slots[at].hash());
        self.len -= 1;
        let mask = self.mask();
        let (mut hole, mut next) = (at, (at + 1) & mask);
        while self.slots[next].id != 0 {
            let home = self.home(self.slots[next].id);
            let walked = next.wrapping_sub(home) & mask;
            if walked >= (next.wrapping_sub(hole) & mask) {
                self.slots[hole] = self.slots[next];
                hole = next;
            }
            next = (next + 1) & mask;
        }
        self.slots[hole] = Slot::EMPTY;
    }
}

impl Slot {
    /// No id.
    pub const EMPTY: Self = Self { id: 0, content: 0, ts: UnixNanos(0) };

    fn hash(&self) -> u64 {
        let mut digest = Digest::new();
        digest.fold(self.id);
        digest.fold(self.content);
        digest.value()
    }
}

/// 2^64 over the golden ratio: spreads consecutive ids over the table.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::vec;

    use super::*;

    fn slot(id: u64, ts: i64) -> Slot {
        Slot { id, content: id ^ 7, ts: UnixNanos(ts) }
    }

    #[test]
    fn a_sweep_loses_nothing_that_is_open_whatever_collided() {
        let mut slots = vec![Slot::EMPTY; 64];
        for seed in 0..200u64 {
            let mut ids = Ids::new(&mut slots);
            let mut random = seed.wrapping_mul(SPREAD) | 1;
            let mut open = BTreeSet::new();
            for step in 0..300i64 {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                let id = random % 97 + 1;
                if ids.len() < 50 && ids.known(id).is_none() {
                    assert!(ids.remember(slot(id, step)));
                    open.insert((id, step));
                }
                if step % 10 == 0 {
                    ids.close(UnixNanos(step - 30));
                    ids.sweep(64);
                    open.retain(|&(_, ts)| ts >= step - 30);
                    assert_eq!(ids.len(), open.len(), "seed {seed} step {step}");
                }
                for &(id, ts) in &open {
                    assert_eq!(ids.known(id), Some(slot(id, ts)), "seed {seed}");
                }
            }
        }
    }

    #[test]
    fn what_is_told_anew_takes_the_place_of_what_was_known_and_one_place_in_eight_stays_free() {
        let mut slots = vec![Slot::EMPTY; 8];
        let mut ids = Ids::new(&mut slots);
        assert!((1..=7).all(|id| ids.remember(slot(id, 1))));
        assert!(!ids.remember(slot(8, 1)) && ids.known(8).is_none());
        let digest = |ids: &Ids<'_>| {
            let mut digest = Digest::new();
            ids.fold(&mut digest);
            digest.value()
        };
        let before = digest(&ids);
        let anew = Slot { content: 1, ..slot(3, 1) };
        assert!(ids.remember(anew));
        assert_eq!((ids.known(3), ids.len()), (Some(anew), 7));
        assert_ne!(digest(&ids), before);
        assert!(ids.remember(slot(3, 1)));
        assert_eq!(digest(&ids), before);
        ids.clear();
        assert!(ids.is_empty() && ids.known(3).is_none());
    }
}
