//! Trade ids: each execution is booked once, whoever reports it and how often.
//!
//! Every id since the closed horizon is remembered; nothing is evicted by age or count. The horizon
//! advances only when two equal passes over the venue's fills have booked everything before it.

use crate::digest::Digest;
use crate::event::Fill;
use crate::ids::{Ids, Slot};
use crate::planted::{Defect, Planted};
use crate::units::UnixNanos;

/// The ids of executions booked since the closed horizon. The lowest bit of a content tells whether
/// the fee is booked.
pub struct TradeIds<'m> {
    ids: Ids<'m>,
    planted: Planted,
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
    /// As [`Ids::new`].
    ///
    /// # Panics
    /// When the number of `slots` is no power of two from 8 on.
    pub fn new(slots: &'m mut [Slot]) -> Self {
        Self { ids: Ids::new(slots), planted: Planted::NONE }
    }

    /// Takes an execution in, and says what to do with it.
    pub fn admit(&mut self, fill: &Fill) -> Admission {
        if fill.trade_id == 0 {
            return Admission::Contradiction;
        }
        if self.planted.has(Defect::TradeIdsInShortList) && self.len() >= SHORT_LIST {
            self.ids.clear();
        }
        let slot = Slot { id: fill.trade_id, content: content(fill), ts: fill.ts };
        match self.ids.known(slot.id) {
            None if slot.ts < self.horizon() => Admission::Old,
            None if self.ids.remember(slot) => Admission::New,
            None => Admission::Full,
            Some(known) if known.content | 1 != slot.content | 1 => Admission::Contradiction,
            Some(known) if slot.content & 1 == 1 && known.content & 1 == 0 => {
                self.ids.remember(Slot { ts: known.ts, ..slot });
                Admission::Fee
            }
            Some(_) => Admission::Duplicate,
        }
    }

    /// Has the set commit a defect.
    pub const fn plant(&mut self, planted: Planted) {
        self.planted = planted;
    }

    /// Remembers an execution that an earlier run booked; false when there is no room.
    pub fn remember(&mut self, fill: &Fill) -> bool {
        !matches!(self.admit(fill), Admission::Full)
    }

    /// As [`Ids::close`]: two equal passes have booked everything before `horizon`.
    pub fn close(&mut self, horizon: UnixNanos) {
        self.ids.close(horizon);
    }

    /// As [`Ids::sweep`].
    pub fn sweep(&mut self, places: usize) {
        self.ids.sweep(places);
    }

    /// As [`Ids::horizon`].
    pub fn horizon(&self) -> UnixNanos {
        self.ids.horizon()
    }

    /// As [`Ids::len`].
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// As [`Ids::is_empty`].
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// As [`Ids::fold`].
    pub fn fold(&self, digest: &mut Digest) {
        self.ids.fold(digest);
    }
}

/// Ids that [`Defect::TradeIdsInShortList`] keeps.
const SHORT_LIST: usize = 4;

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
    use std::vec;

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
        let mut slots = vec![Slot::EMPTY; 16];
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
        let mut slots = vec![Slot::EMPTY; 16];
        let mut ids = TradeIds::new(&mut slots);
        assert_eq!(ids.admit(&fill(1, 0)), Admission::New);
        assert_eq!(ids.admit(&fill(2, 0)), Admission::New);
    }

    #[test]
    fn one_id_with_two_contents_is_a_contradiction_and_so_is_no_id() {
        let mut slots = vec![Slot::EMPTY; 16];
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
        let mut slots = vec![Slot::EMPTY; 16];
        let mut ids = TradeIds::new(&mut slots);
        let fast = Fill { fee_known: false, source: Source::FastPush, ..fill(1, 0) };
        assert_eq!(ids.admit(&fast), Admission::New);
        assert_eq!(ids.admit(&fill(1, 0)), Admission::Fee);
        assert_eq!(ids.admit(&fill(1, 0)), Admission::Duplicate);
        assert_eq!(ids.admit(&fast), Admission::Duplicate);
    }

    #[test]
    fn a_full_table_says_so_and_still_knows_what_it_has() {
        let mut slots = vec![Slot::EMPTY; 16];
        let mut ids = TradeIds::new(&mut slots);
        for id in 1..=14 {
            assert_eq!(ids.admit(&fill(id, 0)), Admission::New);
        }
        assert_eq!(ids.admit(&fill(15, 0)), Admission::Full);
        assert!((1..=14).all(|id| ids.admit(&fill(id, 0)) == Admission::Duplicate));
    }

    #[test]
    fn an_execution_before_the_horizon_is_never_booked_by_guess() {
        let mut slots = vec![Slot::EMPTY; 16];
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
    fn the_digest_does_not_depend_on_the_order_of_executions() {
        let digest_of = |order: &[u64]| {
            let mut slots = vec![Slot::EMPTY; 16];
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
