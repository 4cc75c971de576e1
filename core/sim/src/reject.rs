//! Reject: the venue's refusal of a request, with the code and text that a V3 client sees.
//!
//! Codes are those of the V3 column of the published error tables; where a case has no V3 code
//! there, the V2 code stands (V3 documents that it shares them).

use std::borrow::Cow;
use std::fmt;

/// A refusal. The request changed nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reject {
    /// The venue's code, a decimal string on the wire.
    pub code: u32,
    /// The text beside it.
    pub message: Cow<'static, str>,
}

impl Reject {
    /// A refusal with a fixed text.
    pub const fn new(code: u32, message: &'static str) -> Self {
        Self { code, message: Cow::Borrowed(message) }
    }

    /// A refusal whose text names a limit.
    pub fn with(code: u32, message: String) -> Self {
        Self { code, message: Cow::Owned(message) }
    }

    /// The contract does not exist (25100).
    pub fn unknown_symbol(symbol: &str) -> Self {
        Self::with(25100, format!("Trading pair {symbol} does not exist"))
    }

    /// The contract has been removed (25104).
    pub const SYMBOL_CLOSED: Self = Self::new(25104, "Contract delisted");
    /// The contract does not trade yet (25101).
    pub const SYMBOL_LISTED: Self = Self::new(25101, "Trading pair not open for trading");
    /// Maintenance (25102).
    pub const SYMBOL_MAINTAINED: Self =
        Self::new(25102, "Trading pair temporarily closed for maintenance");
    /// Only closing is allowed (25105).
    pub const OPENING_SUSPENDED: Self =
        Self::new(25105, "This contract does not support opening positions");
    /// The contract is not open to keys (25013).
    pub const SYMBOL_RESTRICTED: Self = Self::new(25013, "Trading pair not support API trade");
    /// The order names a position side that the account's mode does not have (40774).
    pub const POSITION_MODE: Self = Self::new(
        40774,
        "The order type for unilateral position must also be the unilateral position type.",
    );
    /// Another open order has this client id (25212).
    pub const DUPLICATE_CLIENT_ID: Self = Self::new(25212, "Duplicate clientOid");
    /// A limit order needs a price above zero.
    pub const PRICE_MISSING: Self = Self::new(40019, "Parameter price cannot be empty");
    /// A limit at or below zero.
    pub const PRICE_NOT_POSITIVE: Self = Self::new(40020, "Parameter price error");
    /// An amount of money that is not positive or beyond all limits.
    pub const AMOUNT_RANGE: Self = Self::new(40020, "Parameter amount error");
    /// A fee rate beyond all limits.
    pub const RATE_RANGE: Self = Self::new(40020, "Parameter rate error");
    /// More digits than the venue keeps.
    pub const NUMBER_RANGE: Self = Self::new(40017, "Parameter verification failed");
    /// No such order among the open ones (25204).
    pub const ORDER_NOT_FOUND: Self = Self::new(25204, "Order does not exist");
    /// The order is over (45055 of the shared table).
    pub const ORDER_DONE: Self =
        Self::new(45055, "Cannot cancel order because it is already in a terminal state");
    /// A modify that changes nothing (25571).
    pub const NOTHING_MODIFIED: Self =
        Self::new(25571, "The modified price and quantity are the same as the original order");
    /// No position to close (25227).
    pub const NOTHING_TO_CLOSE: Self = Self::new(25227, "No position to close");
    /// Too many open orders in the contract (25211).
    pub const SYMBOL_ORDERS: Self =
        Self::new(25211, "The number of open orders of this contract has reached the limit");
    /// Too many open orders in the account (25567).
    pub const PRODUCT_ORDERS: Self =
        Self::new(25567, "The number of open orders has reached the limit");
    /// Too many contracts with a position (25229).
    pub const POSITIONS: Self = Self::new(25229, "Total positions exceed the current limit");
    /// The position would leave the tier of its leverage (25230).
    pub const POSITION_TIER: Self =
        Self::new(25230, "The position exceeds the maximum of the current leverage");
    /// Margin does not suffice (25202).
    pub const MARGIN: Self = Self::new(25202, "Insufficient balance");
    /// A transfer above what is free (43117).
    pub const TRANSFER_MAX: Self = Self::new(43117, "Exceeded Max. transferable quantity");
    /// A withdrawal above what is free (43012 of the shared table).
    pub const BALANCE: Self = Self::new(43012, "Insufficient balance");
    /// Leverage out of the contract's range (25223).
    pub const LEVERAGE_RANGE: Self = Self::new(25223, "Leverage exceeds the allowed range");
    /// Margin would not suffice after the change of leverage (25228).
    pub const LEVERAGE_MARGIN: Self =
        Self::new(25228, "Insufficient margin, the leverage cannot be changed");
    /// A position or an order exists, the position mode cannot change (40920).
    pub const HOLD_MODE_BUSY: Self =
        Self::new(40920, "Position or order exists, the position mode switching is not supported");
    /// A position or an order exists, the margin mode cannot change (45117 of the shared table).
    pub const MARGIN_MODE_BUSY: Self =
        Self::new(45117, "Position or order exists, the margin mode cannot be adjusted");
    /// The position keeps no margin of its own (25236).
    pub const NOT_ISOLATED: Self = Self::new(25236, "Incorrect position open type");
    /// There is no such position (25226).
    pub const NO_POSITION: Self = Self::new(25226, "Insufficient total position quantity");
    /// A price that is no multiple of the tick (25244).
    pub const PRICE_OFF_GRID: Self = Self::new(25244, "The price must be a multiple of the tick");
    /// A size that is no multiple of the lot (22038).
    pub const SIZE_OFF_GRID: Self = Self::new(22038, "The quantity must be a multiple of the lot");
    /// A strategy order without a price to wait for.
    pub const STRATEGY_EMPTY: Self =
        Self::new(40019, "Parameter takeProfit, stopLoss or triggerPrice cannot be empty");
    /// A countdown outside 5 to 60 seconds.
    pub const COUNTDOWN_RANGE: Self = Self::new(40020, "Parameter countdown error");
}

impl fmt::Display for Reject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for Reject {}
