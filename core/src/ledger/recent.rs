//! Recent executions: what was booked last, so that one that comes late is booked in its place.
//!
//! What an execution realizes depends on those before it. A push that is lost is made good by a
//! question, which brings its execution after later ones; booked behind them it would leave
//! realized and unrealized profit apart from the venue's, though their sum is right.

use crate::event::Fill;
use crate::instrument::InstrumentId;
use crate::position::Position;
use crate::units::{Lots, Side, Ticks};

/// The last executions of all instruments, by the venue's order within each.
pub(super) struct Recent {
    kept: [Kept; KEPT],
    len: usize,
}

/// One execution, and the position before it.
#[derive(Clone, Copy, Debug)]
struct Kept {
    instrument: InstrumentId,
    /// The venue's time, and the id among executions of one time.
    at: (i64, u64),
    side: Side,
    price: Ticks,
    lots: Lots,
    before: Position,
    /// In tick-lots.
    realized: i128,
}

/// How many executions a late one may come behind, of all instruments together.
const KEPT: usize = 64;

/// A position after an execution, and what that realized in tick-lots: for one that comes late,
/// with what it changes in those behind it.
pub(super) type Booked = (Position, i128);

impl Recent {
    pub(super) const NONE: Self = Self { kept: [Kept::NONE; KEPT], len: 0 };

    /// What booking `fill` on `position` comes to; `None` when a number leaves its range.
    pub(super) fn weigh(&self, fill: &Fill, position: Position) -> Option<Booked> {
        let own = Kept::of(fill);
        let behind = || self.kept[..self.len].iter().filter(|kept| kept.is_behind(&own));
        let mut after = behind().next().map_or(position, |first| first.before);
        let mut changed = own.play(&mut after)?;
        for kept in behind() {
            changed += kept.play(&mut after)? - kept.realized;
        }
        Some((after, changed))
    }

    /// Forgets the oldest when there is no place for another: before that is weighed, for what is
    /// weighed and what is remembered must stand on the same ones.
    pub(super) fn make_room(&mut self) {
        if self.len == KEPT {
            self.kept.copy_within(1.., 0);
            self.len -= 1;
        }
    }

    /// Puts what was weighed in its place, and those behind it on what it leaves.
    pub(super) fn remember(&mut self, fill: &Fill, position: Position) {
        let own = Kept::of(fill);
        let behind = self.kept[..self.len].iter().position(|kept| kept.is_behind(&own));
        let place = behind.unwrap_or(self.len);
        let mut position = behind.map_or(position, |first| self.kept[first].before);
        self.kept.copy_within(place..self.len, place + 1);
        self.kept[place] = own;
        self.len += 1;
        let kept = self.kept[place..self.len].iter_mut();
        for kept in kept.filter(|kept| kept.instrument == own.instrument) {
            kept.before = position;
            kept.realized = kept.play(&mut position).expect("it was weighed");
        }
    }

    /// The executions of an instrument are in other units now, or not known any more.
    pub(super) fn forget(&mut self, instrument: InstrumentId) {
        let mut left = 0;
        for place in 0..self.len {
            if self.kept[place].instrument != instrument {
                self.kept[left] = self.kept[place];
                left += 1;
            }
        }
        self.len = left;
    }
}

impl Kept {
    const NONE: Self = Self {
        instrument: InstrumentId(0),
        at: (0, 0),
        side: Side::Buy,
        price: Ticks::ZERO,
        lots: Lots::ZERO,
        before: Position::FLAT,
        realized: 0,
    };

    fn of(fill: &Fill) -> Self {
        Self {
            instrument: fill.instrument,
            at: (fill.ts.0, fill.trade_id),
            side: fill.side,
            price: fill.price,
            lots: fill.lots,
            ..Self::NONE
        }
    }

    fn is_behind(&self, other: &Self) -> bool {
        self.instrument == other.instrument && self.at > other.at
    }

    fn play(&self, position: &mut Position) -> Option<i128> {
        position.fill(self.side, self.price, self.lots)
    }
}
