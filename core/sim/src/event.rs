//! Event: what happened at the venue, in the order in which it happened.

use keel_core::units::{Lots, Price, Quote, Rate, Side, Ticks, UnixNanos};

use crate::account::{AccountId, AccountView, PositionView};
use crate::instrument::InstrumentId;
use crate::order::{Fill, Order, TradeId};
use crate::strategy::StrategyOrder;

/// One thing that happened. Whoever serves clients turns it into pushes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VenueEvent {
    /// An order was made or changed; the order as it stands after the change.
    Order(Box<Order>),
    /// An account's part in a trade. It follows the order's own event.
    Fill(Box<Fill>),
    /// A position after a change; no lots when it was closed.
    Position(Box<PositionView>),
    /// An account's money after a change.
    Account(Box<AccountView>),
    /// A print.
    Trade(Print),
    /// A level of a book after an order was worked; one event for each level that changed.
    Level(Level),
    /// Mark, index, rate or status of a contract changed.
    Ticker(InstrumentId),
    /// A contract's rules changed.
    Rules(InstrumentId),
    /// Funding was settled with one position.
    Funding(Funding),
    /// A position, or a part of one, was closed by the venue in liquidation.
    Liquidation(Liquidation),
    /// A position was reduced to cover another's liquidation.
    Adl(Liquidation),
    /// A strategy order was made or changed; the order as it stands after the change.
    Strategy(Box<StrategyOrder>),
}

/// A print of the public tape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Print {
    /// The contract.
    pub instrument: InstrumentId,
    /// The trade.
    pub trade: TradeId,
    /// The side of the taker.
    pub side: Side,
    /// The price.
    pub price: Ticks,
    /// The size.
    pub size: Lots,
    /// When.
    pub at: UnixNanos,
}

/// A level of a book after a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level {
    /// The contract.
    pub instrument: InstrumentId,
    /// The book's number after the change; all levels that one order changed share it.
    pub seq: u64,
    /// Bids or asks.
    pub side: Side,
    /// The price.
    pub price: Ticks,
    /// What rests there now; zero when the level is gone.
    pub size: Lots,
}

/// Funding settled with one position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Funding {
    /// Whose.
    pub account: AccountId,
    /// The contract.
    pub instrument: InstrumentId,
    /// The position at the instant, signed.
    pub position: Lots,
    /// The rate.
    pub rate: Rate,
    /// The mark.
    pub mark: Price,
    /// What came; negative was paid.
    pub amount: Quote,
    /// The grid instant.
    pub at: UnixNanos,
}

/// A position that was taken over, or a part of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Liquidation {
    /// Whose.
    pub account: AccountId,
    /// The contract.
    pub instrument: InstrumentId,
    /// The side of the order that closed it.
    pub side: Side,
    /// The price.
    pub price: Ticks,
    /// The size.
    pub size: Lots,
    /// When.
    pub at: UnixNanos,
}
