//! Trade ids: each execution is booked once, whoever reports it and how often.
//!
//! Every id since the closed horizon is remembered; nothing is evicted by age or count. The horizon
//! advances only when two equal passes over the venue's fills have booked everything before it.

use crate::digest::Digest;
use crate::event::Fill;
use crate::planted::{Defect, Planted};
use crate::units::UnixNanos;

/// The ids of executions booked since the closed horizon: open addressing in lent memory.
pub struct TradeIds<'m> {
    slots: &'m mut [TradeSlot],
    len: usize,
    /// The sum over all entries, so that a digest need not walk the table.
    sum: u64,
    horizon: UnixNanos,
    /// Where the next sweep begins.
    cursor: usize,
    planted: Planted,
}

/// Memory for one id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TradeSlot {
    /// 0 is an empty place.
    id: u64,
    /// Hash of what the execution says; the lowest bit tells whether its fee is booked.
    content: u64,
    ts: UnixNanos,
}

/// What to do with a reported execution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Not seen before: book it.
    New,
    /// Booked already; nothing to do.
    Duplicate,
    /// Booked already without a fee, and this report has it: book the fee only.
    Fee,
    /// The id was booked with another content, or is no id.
    Contradiction,
    /// Before the horizon and not remembered: pull quotes and look it up in the ledger on disk.
    Old,
    /// No room. Nothing is remembered of it: stop for good.
    Full,
}

impl<'m> TradeIds<'m> {
    /// An empty set over `slots`. One place in eight stays free, so that a search is short.
    ///
    /// # Panics
    /// When the number of `slots` is no power of two from 8 on.
    pub fn new(slots: &'m mut [TradeSlot]) -> Self {
        assert!(slots.len().is_power_of_two() && slots.len() >= 8, "a power of two from 8 on");
        slots.fill(TradeSlot::EMPTY);
        Self {
            slots,
            len: 0,
            sum: 0,
            horizon: UnixNanos(i64::MIN),
            cursor: 0,
            planted: Planted::NONE,
        }
    }

    /// Takes an execution in, and says what to do with it.
    pub fn admit(&mut self, fill: &Fill) -> Admission {
        if fill.trade_id == 0 {
            return Admission::Contradiction;
        }
        if self.planted.has(Defect::TradeIdsInShortList) && self.len >= SHORT_LIST {
            self.forget_all();
        }
        let content = content(fill);
        let at = self.find(fill.trade_id);
        let known = self.slots[at];
        if known.id == 0 {
            if fill.ts < self.horizon {
                return Admission::Old;
            }
            let slot = TradeSlot { id: fill.trade_id, content, ts: fill.ts };
            return if self.insert(at, slot) { Admission::New } else { Admission::Full };
        }
        if known.content | 1 != content | 1 {
            return Admission::Contradiction;
        }
        if content & 1 == 1 && known.content & 1 == 0 {
            self.sum = self.sum.wrapping_sub(known.hash());
            self.slots[at].content = content;
            self.sum = self.sum.wrapping_add(self.slots[at].hash());
            return Admission::Fee;
        }
        Admission::Duplicate
    }

    /// Has the set commit a defect.
    pub const fn plant(&mut self, planted: Planted) {
        self.planted = planted;
    }

    /// Remembers an execution that an earlier run booked; false when there is no room.
    pub fn remember(&mut self, fill: &Fill) -> bool {
        !matches!(self.admit(fill), Admission::Full)
    }

    /// Closes everything before `horizon`: two equal passes have booked it. Never goes back.
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

    /// Folds the set into `digest`; the order in which executions came leaves no trace.
    pub fn fold(&self, digest: &mut Digest) {
        digest.fold(self.len as u64);
        digest.fold(self.sum);
        digest.fold_signed(self.horizon.0);
    }

    /// [`Defect::TradeIdsInShortList`].
    fn forget_all(&mut self) {
        self.slots.fill(TradeSlot::EMPTY);
        (self.len, self.sum) = (0, 0);
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

    fn insert(&mut self, at: usize, slot: TradeSlot) -> bool {
        if self.len >= self.slots.len() / 8 * 7 {
            return false;
        }
        self.slots[at] = slot;
        self.len += 1;
        self.sum = self.sum.wrapping_add(slot.hash());
        true
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
        self.slots[hole] = TradeSlot::EMPTY;
    }
}

impl TradeSlot {
    /// No id.
    pub const EMPTY: Self = Self { id: 0, content: 0, ts: UnixNanos(0) };

    fn hash(&self) -> u64 {
        let mut digest = Digest::new();
        digest.fold(self.id);
        digest.fold(self.content);
        digest.value()
    }
}

/// Ids that [`Defect::TradeIdsInShortList`] keeps.
const SHORT_LIST: usize = 4;

/// 2^64 over the golden ratio: spreads consecutive ids over the table.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// What an execution says, as a hash: who, where and how much. Times and fees differ by source, so
/// they are no part of it; the lowest bit tells whether the fee is known.
fn content(fill: &Fill) -> u64 {
    let mut digest = Digest::new();
    digest.fold(u64::from(fill.instrument.0));
    digest.fold(fill.side as u64);
    digest.fold_signed(fill.price.0);
    digest.fold_signed(fill.lots.0);
    digest.fold(fill.order_id);
    digest.value() << 1 | u64::from(fill.fee_known)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::vec;
    use std::vec::Vec;

    use super::*;
    use crate::event::{ClientId, Source};
    use crate::instrument::InstrumentId;
    use crate::units::{Lots, Quote, Side, Ticks};

    fn fill(trade_id: u64, ts: i64) -> Fill {
        Fill {
            instrument: InstrumentId(0),
            client: ClientId { epoch: 1, number: 1 },
            order_id: 7,
            trade_id,
            side: Side::Buy,
            maker: true,
            price: Ticks(100),
            lots: Lots(3),
            fee: Quote(5),
            fee_known: true,
            source: Source::Push,
            ts: UnixNanos(ts),
        }
    }

    #[test]
    fn an_execution_pushed_a_thousand_times_and_read_over_rest_is_booked_once() {
        let mut slots = vec![TradeSlot::EMPTY; 16];
        let mut ids = TradeIds::new(&mut slots);
        assert_eq!(ids.admit(&fill(1, 0)), Admission::New);
        for source in [Source::Push, Source::FastPush, Source::Query] {
            for _ in 0..1_000 {
                let again = Fill { source, ts: UnixNanos(9), ..fill(1, 0) };
                assert_eq!(ids.admit(&again), Admission::Duplicate);
            }
        }
        assert_eq!(ids.len(), 1);
    }

    #[test]
    fn two_executions_alike_in_all_but_the_id_are_both_booked() {
        let mut slots = vec![TradeSlot::EMPTY; 16];
        let mut ids = TradeIds::new(&mut slots);
        assert_eq!(ids.admit(&fill(1, 0)), Admission::New);
        assert_eq!(ids.admit(&fill(2, 0)), Admission::New);
    }

    #[test]
    fn one_id_with_two_contents_is_a_contradiction_and_so_is_no_id() {
        let mut slots = vec![TradeSlot::EMPTY; 16];
        let mut ids = TradeIds::new(&mut slots);
        assert_eq!(ids.admit(&fill(1, 0)), Admission::New);
        let others = [
            Fill { lots: Lots(4), ..fill(1, 0) },
            Fill { price: Ticks(101), ..fill(1, 0) },
            Fill { side: Side::Sell, ..fill(1, 0) },
            Fill { order_id: 8, ..fill(1, 0) },
            Fill { instrument: InstrumentId(1), ..fill(1, 0) },
            fill(0, 0),
        ];
        for other in others {
            assert_eq!(ids.admit(&other), Admission::Contradiction);
        }
    }

    #[test]
    fn a_fee_that_came_later_is_booked_once() {
        let mut slots = vec![TradeSlot::EMPTY; 16];
        let mut ids = TradeIds::new(&mut slots);
        let fast = Fill { fee_known: false, source: Source::FastPush, ..fill(1, 0) };
        assert_eq!(ids.admit(&fast), Admission::New);
        assert_eq!(ids.admit(&fill(1, 0)), Admission::Fee);
        assert_eq!(ids.admit(&fill(1, 0)), Admission::Duplicate);
        assert_eq!(ids.admit(&fast), Admission::Duplicate);
    }

    #[test]
    fn a_full_table_says_so_and_still_knows_what_it_has() {
        let mut slots = vec![TradeSlot::EMPTY; 16];
        let mut ids = TradeIds::new(&mut slots);
        for id in 1..=14 {
            assert_eq!(ids.admit(&fill(id, 0)), Admission::New);
        }
        assert_eq!(ids.admit(&fill(15, 0)), Admission::Full);
        assert!((1..=14).all(|id| ids.admit(&fill(id, 0)) == Admission::Duplicate));
    }

    #[test]
    fn an_execution_before_the_horizon_is_never_booked_by_guess() {
        let mut slots = vec![TradeSlot::EMPTY; 16];
        let mut ids = TradeIds::new(&mut slots);
        assert_eq!(ids.admit(&fill(1, 10)), Admission::New);
        ids.close(UnixNanos(20));
        ids.close(UnixNanos(5));
        assert_eq!(ids.horizon(), UnixNanos(20));
        assert_eq!(ids.admit(&fill(1, 10)), Admission::Duplicate);
        ids.sweep(16);
        assert!(ids.is_empty());
        assert_eq!(ids.admit(&fill(1, 10)), Admission::Old);
        assert_eq!(ids.admit(&fill(2, 20)), Admission::New);
    }

    #[test]
    fn a_sweep_loses_nothing_that_is_open_whatever_collided() {
        let mut slots = vec![TradeSlot::EMPTY; 64];
        for seed in 0..200u64 {
            let mut ids = TradeIds::new(&mut slots);
            let mut random = seed.wrapping_mul(SPREAD) | 1;
            let mut open = BTreeSet::new();
            for step in 0..300i64 {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                let id = random % 97 + 1;
                if !open.contains(&(id, step)) && ids.len() < 50 {
                    let at = ids.find(id);
                    if ids.slots[at].id == 0 {
                        assert_eq!(ids.admit(&fill(id, step)), Admission::New);
                        open.insert((id, step));
                    }
                }
                if step % 10 == 0 {
                    ids.close(UnixNanos(step - 30));
                    ids.sweep(64);
                    open.retain(|&(_, ts)| ts >= step - 30);
                    let left: Vec<_> = ids.slots.iter().filter(|slot| slot.id != 0).collect();
                    assert_eq!(left.len(), open.len(), "seed {seed} step {step}");
                }
                for &(id, ts) in &open {
                    assert_eq!(ids.admit(&fill(id, ts)), Admission::Duplicate, "seed {seed}");
                }
            }
        }
    }

    #[test]
    fn the_digest_does_not_depend_on_the_order_of_executions() {
        let digest_of = |order: &[u64]| {
            let mut slots = vec![TradeSlot::EMPTY; 16];
            let mut ids = TradeIds::new(&mut slots);
            for &id in order {
                ids.admit(&fill(id, 0));
            }
            let mut digest = Digest::new();
            ids.fold(&mut digest);
            digest
        };
        assert_eq!(digest_of(&[1, 2, 3, 2]), digest_of(&[3, 1, 2]));
        assert_ne!(digest_of(&[1, 2, 3]), digest_of(&[1, 2, 4]));
    }
}
