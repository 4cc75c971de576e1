//! Strategy: orders that wait for a price and become ordinary orders when it comes.
//!
//! The V3 pages call them strategy orders. One kind closes a position at a profit or a loss
//! (`tpsl`), the other enters an order when a price is reached (`trigger`). They hold no margin and
//! no position size while they wait, and the order that they make passes every check then.

use std::sync::Arc;

use keel_core::decimal::Decimal;
use keel_core::units::{Lots, Price, Side, Ticks, UnixNanos};

use crate::account::AccountId;
use crate::instrument::{Grids, InstrumentId};
use crate::order::{OrderId, PosSide};

/// A request for a strategy order, its numbers not yet on any grid.
#[derive(Clone, Debug)]
pub struct StrategyRequest {
    /// The contract.
    pub instrument: InstrumentId,
    /// Direction of the order that it makes.
    pub side: Side,
    /// The position that the order works on.
    pub pos_side: PosSide,
    /// One-way mode: the order never opens.
    pub reduce_only: bool,
    /// The size in the base coin; none closes the whole position when the time comes.
    pub size: Option<Decimal>,
    /// Where it fires: take profit, stop loss, or neither.
    pub legs: [Option<LegRequest>; 3],
    /// Unique among the account's waiting strategy orders; given by the venue when absent.
    pub client_id: Option<String>,
}

/// One price to wait for, as a client states it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LegRequest {
    /// The price.
    pub price: Decimal,
    /// Which price is watched.
    pub by: TriggerBy,
    /// The limit of the order that it makes; none makes a market order.
    pub limit: Option<Decimal>,
}

/// A change of a waiting strategy order: what is absent stays.
#[derive(Clone, Debug, Default)]
pub struct StrategyChange {
    /// The new size.
    pub size: Option<Decimal>,
    /// New legs, at the places of [`LegKind::index`].
    pub legs: [Option<LegRequest>; 3],
}

/// Which price fires a strategy order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TriggerBy {
    /// The last print.
    Market,
    /// The mark.
    Mark,
}

impl TriggerBy {
    /// The word on the wire.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Market => "market",
            Self::Mark => "mark",
        }
    }
}

/// What a leg is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum LegKind {
    /// Closes at a profit.
    TakeProfit = 0,
    /// Closes at a loss.
    StopLoss = 1,
    /// Enters an order.
    Trigger = 2,
}

impl LegKind {
    /// All, in the order of their numbers.
    pub const ALL: [Self; 3] = [Self::TakeProfit, Self::StopLoss, Self::Trigger];

    /// The place in arrays.
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The word on the wire (`triggerType`).
    pub const fn word(self) -> &'static str {
        match self {
            Self::TakeProfit => "takeProfit",
            Self::StopLoss => "stopLoss",
            Self::Trigger => "trigger",
        }
    }
}

/// One price that a strategy order waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leg {
    /// The price.
    pub price: Ticks,
    /// Which price is watched.
    pub by: TriggerBy,
    /// The limit of the order that it makes; none makes a market order.
    pub limit: Option<Ticks>,
    /// It fires when the watched price is at or above its own; else at or below.
    pub rises: bool,
}

impl Leg {
    /// Whether a watched price fires it.
    pub fn fires(&self, grids: &Grids, watched: Price) -> bool {
        let own = grids.price_of(self.price);
        if self.rises { watched >= own } else { watched <= own }
    }
}

/// Where a strategy order stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StrategyStatus {
    /// It waits.
    Pending,
    /// It fired and its order was accepted.
    Success,
    /// It fired and its order was refused.
    Fail,
    /// It was canceled before it fired.
    Canceled,
}

impl StrategyStatus {
    /// The word on the wire. `pending` and `success` are documented; the others are guesses.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Success => "success",
            Self::Fail => "fail",
            Self::Canceled => "cancelled",
        }
    }
}

/// A strategy order as the venue keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StrategyOrder {
    /// The venue's number; of the same sequence as those of orders.
    pub id: OrderId,
    /// Whose it is.
    pub account: AccountId,
    /// The contract.
    pub instrument: InstrumentId,
    /// The grids of the contract when it was made.
    pub grids: Grids,
    /// The client's id.
    pub client_id: Arc<str>,
    /// Direction of the order that it makes.
    pub side: Side,
    /// The position that the order works on.
    pub pos_side: PosSide,
    /// One-way mode: the order never opens.
    pub reduce_only: bool,
    /// The size; zero closes the whole position when the time comes.
    pub size: Lots,
    /// The prices that it waits for, at the places of [`LegKind::index`].
    pub legs: [Option<Leg>; 3],
    /// The leg that fired.
    pub fired: Option<LegKind>,
    /// The order that it made.
    pub made: Option<OrderId>,
    /// Where it stands.
    pub status: StrategyStatus,
    /// When it was made.
    pub created: UnixNanos,
    /// When it last changed.
    pub updated: UnixNanos,
}

impl StrategyOrder {
    /// Whether it closes a position at a profit or a loss.
    pub fn is_tpsl(&self) -> bool {
        self.legs[LegKind::Trigger.index()].is_none()
    }
}

/// Strategy orders of an account that wait.
pub const PENDING_MAX: usize = 100;
/// Strategy orders of an account that are over and are kept.
pub const OVER_MAX: usize = 2_000;
