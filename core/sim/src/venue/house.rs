//! House: the door of the market's own agents, anonymous and cheap.
//!
//! An agent's order leaves no record and passes no check of margin or band; the book, the prints
//! and the other party cannot tell it from a client's.

use keel_core::units::{Lots, Side, Ticks, UnixNanos};

use super::Venue;
use crate::account::AccountId;
use crate::instrument::InstrumentId;
use crate::matching::{OrderKey, Resting, Taker};
use crate::order::{OrderKind, StpMode, TimeInForce};

/// An order of an agent of the market.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HouseOrder {
    /// Direction.
    pub side: Side,
    /// Limit or market.
    pub kind: OrderKind,
    /// The limit; of no meaning for a market order.
    pub price: Ticks,
    /// The size.
    pub size: Lots,
    /// How long it may rest; of no meaning for a market order.
    pub time_in_force: TimeInForce,
}

/// What became of an agent's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HousePlaced {
    /// Where the rest of it rests; none when it does not.
    pub resting: Option<OrderKey>,
    /// What was filled at once.
    pub filled: Lots,
}

impl Venue {
    /// Works an agent's order. In a contract that does not trade nothing happens.
    ///
    /// # Panics
    /// When the account is no agent's, or size or price is not positive.
    pub fn house_place(
        &mut self,
        house: AccountId,
        instrument: InstrumentId,
        order: &HouseOrder,
        now: UnixNanos,
    ) -> HousePlaced {
        self.advance(now);
        assert!(self.account(house).house, "only agents place by this door");
        assert!(order.size.0 > 0 && (order.kind == OrderKind::Market || order.price.0 > 0));
        let nothing = HousePlaced { resting: None, filled: Lots::ZERO };
        if !self.instrument(instrument).rules.status.trades() {
            return nothing;
        }
        let mut taker = Taker {
            id: 0,
            owner: house.0,
            family: 0,
            side: order.side,
            limit: (order.kind == OrderKind::Limit).then_some(order.price),
            left: order.size,
            stp: StpMode::None,
        };
        let book = &self.instrument(instrument).book;
        let refused = order.kind == OrderKind::Limit
            && match order.time_in_force {
                TimeInForce::PostOnly => book.crosses(&taker),
                TimeInForce::Fok => self.fillable(instrument, &taker, None) < taker.left,
                TimeInForce::Gtc | TimeInForce::Ioc => false,
            };
        if refused {
            return nothing;
        }
        self.pass_book(instrument, &mut taker, None);
        let rests = order.kind == OrderKind::Limit
            && taker.left.0 > 0
            && matches!(order.time_in_force, TimeInForce::Gtc | TimeInForce::PostOnly);
        let resting = rests.then(|| {
            let resting = Resting { id: 0, owner: house.0, family: 0, left: taker.left };
            let book = &mut self.instruments[instrument.index()].book;
            book.rest(order.side, order.price, resting)
        });
        self.publish_levels(instrument);
        HousePlaced { resting, filled: order.size - taker.left }
    }

    /// Cancels an agent's order and gives what was left of it; none when it is gone.
    ///
    /// # Panics
    /// When the order is a client's.
    pub fn house_cancel(
        &mut self,
        instrument: InstrumentId,
        key: OrderKey,
        now: UnixNanos,
    ) -> Option<Lots> {
        self.advance(now);
        let book = &mut self.instruments[instrument.index()].book;
        let owner = AccountId(book.resting(key)?.owner);
        assert!(self.accounts[owner.index()].house, "agents cancel their own orders");
        let order = book.cancel(key).expect("it rested a moment ago");
        self.publish_levels(instrument);
        Some(order.left)
    }

    /// What is left of an agent's resting order; none when it is gone.
    pub fn house_left(&self, instrument: InstrumentId, key: OrderKey) -> Option<Lots> {
        Some(self.instrument(instrument).book.resting(key)?.left)
    }
}
