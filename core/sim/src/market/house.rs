//! House: an account of the market at the venue, as the agents of one contract use it.

use keel_core::units::{Lots, Side, Ticks, UnixNanos};

use crate::account::AccountId;
use crate::instrument::InstrumentId;
use crate::matching::OrderKey;
use crate::order::{OrderKind, TimeInForce};
use crate::venue::{HouseOrder, Venue};

/// The venue in the hands of the agents of one contract, for the length of one act.
pub(crate) struct House<'a> {
    pub(crate) venue: &'a mut Venue,
    pub(crate) instrument: InstrumentId,
    pub(crate) makers: AccountId,
    pub(crate) takers: AccountId,
    pub(crate) now: UnixNanos,
}

impl House<'_> {
    /// Rests an order of the makers; none when it would have traded.
    pub(crate) fn rest(&mut self, side: Side, price: i64, size: i64) -> Option<OrderKey> {
        let order = HouseOrder {
            side,
            kind: OrderKind::Limit,
            price: Ticks(price),
            size: Lots(size),
            time_in_force: TimeInForce::PostOnly,
        };
        self.venue.house_place(self.makers, self.instrument, &order, self.now).resting
    }

    /// Takes what rests up to `limit`, at most `size`, and gives what was filled.
    pub(crate) fn take(&mut self, side: Side, limit: i64, size: i64) -> i64 {
        let order = HouseOrder {
            side,
            kind: OrderKind::Limit,
            price: Ticks(limit),
            size: Lots(size),
            time_in_force: TimeInForce::Ioc,
        };
        self.venue.house_place(self.takers, self.instrument, &order, self.now).filled.0
    }

    /// Cancels an order of the makers; one that is gone stays gone.
    pub(crate) fn cancel(&mut self, key: OrderKey) {
        self.venue.house_cancel(self.instrument, key, self.now);
    }

    /// Whether an order of the makers still rests.
    pub(crate) fn rests(&self, key: OrderKey) -> bool {
        self.venue.house_left(self.instrument, key).is_some()
    }

    /// The best price that anybody offers on a side.
    pub(crate) fn best(&self, side: Side) -> Option<i64> {
        self.venue.instrument(self.instrument).book.best(side).map(|price| price.0)
    }
}
