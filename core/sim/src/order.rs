//! Order: what a client asks for, what the venue keeps of it, and the words of both.

use std::sync::Arc;

use keel_core::decimal::Decimal;
use keel_core::units::{Lots, Price, Quote, Side, Ticks, UnixNanos};

use crate::account::AccountId;
use crate::instrument::{Grids, InstrumentId};

/// The venue's number of an order; above 2^53, unique over all accounts, increasing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OrderId(pub u64);

/// The venue's number of a trade; above 2^53, unique, increasing. Both parties share it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TradeId(pub u64);

/// An order as the client asks for it, its numbers not yet on any grid.
#[derive(Clone, Debug)]
pub struct PlaceRequest {
    /// The contract.
    pub instrument: InstrumentId,
    /// Buy or sell: the direction of the fills, in hedge mode too.
    pub side: Side,
    /// The position meant: [`PosSide::Net`] in one-way mode, the side in hedge mode.
    pub pos_side: PosSide,
    /// Limit or market.
    pub kind: OrderKind,
    /// The limit; of no meaning for a market order.
    pub price: Option<Decimal>,
    /// The size in the base coin.
    pub size: Decimal,
    /// How long it may rest; of no meaning for a market order, which is ioc.
    pub time_in_force: TimeInForce,
    /// One-way mode: never opens.
    pub reduce_only: bool,
    /// What to do when it would trade with its own owner.
    pub stp: StpMode,
    /// How margin is to be kept: none means as the contract's positions and orders have it, and
    /// crossed when there are none.
    pub margin_mode: Option<MarginMode>,
    /// Unique among the open orders of the account; given by the venue when absent.
    pub client_id: Option<String>,
}

/// A change of price, size or both, asked for by a client: a cancel and a new order.
#[derive(Clone, Debug)]
pub struct ModifyRequest {
    /// The contract.
    pub instrument: InstrumentId,
    /// The order to change.
    pub order: OrderRef,
    /// The new limit, or none to keep it.
    pub price: Option<Decimal>,
    /// The new whole size (what has been filled counts), or none to keep it.
    pub size: Option<Decimal>,
    /// The client's id for the new order, or none to keep the old one's.
    pub client_id: Option<String>,
    /// Whether the old order goes even when the new one is refused.
    pub cancel_if_refused: bool,
}

/// How a client names an order. An order id wins over a client id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OrderRef {
    /// By the venue's number.
    Id(OrderId),
    /// By the client's own id; the open order of that id, or else the latest that is done.
    Client(String),
}

/// The venue's word that it has received a request. It says nothing about what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ack {
    /// The order that was made or named.
    pub order: OrderId,
    /// Its client id.
    pub client_id: Arc<str>,
    /// Earlier reduce-only orders made room for it; the venue then may leave out the order's id.
    pub displaced: bool,
    /// When it was received.
    pub at: UnixNanos,
}

/// An order as the venue keeps it, open or done. A copy is what every push carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// The venue's number.
    pub id: OrderId,
    /// Whose it is.
    pub account: AccountId,
    /// The contract.
    pub instrument: InstrumentId,
    /// The grids of the contract when the order was made: its ticks and lots are steps of these.
    pub grids: Grids,
    /// The client's id.
    pub client_id: Arc<str>,
    /// Direction of its fills.
    pub side: Side,
    /// The position it works on.
    pub pos_side: PosSide,
    /// Limit or market.
    pub kind: OrderKind,
    /// The limit; zero for a market order.
    pub price: Ticks,
    /// The whole size.
    pub size: Lots,
    /// How long it may rest.
    pub time_in_force: TimeInForce,
    /// Whether it never opens.
    pub reduce_only: bool,
    /// What it does when it would trade with its own owner.
    pub stp: StpMode,
    /// Crossed or isolated.
    pub margin_mode: MarginMode,
    /// The account's leverage in this contract when it was made.
    pub leverage: u32,
    /// Where it came from.
    pub source: OrderSource,
    /// Filled so far.
    pub filled: Lots,
    /// The exact value of all its fills.
    pub filled_value: Quote,
    /// Fees of all its fills; positive is paid.
    pub fee: Quote,
    /// Profit that its fills realized, without fees.
    pub realized: Quote,
    /// Where it stands.
    pub status: OrderStatus,
    /// Why it was canceled, when it was.
    pub cancel_reason: Option<CancelReason>,
    /// When it was made.
    pub created: UnixNanos,
    /// When it last changed.
    pub updated: UnixNanos,
}

impl Order {
    /// What is not filled, whether it still works or not.
    pub fn left(&self) -> Lots {
        self.size - self.filled
    }

    /// The average price of its fills, rounded toward zero; none without fills.
    pub fn average_price(&self) -> Option<Price> {
        if self.filled.is_zero() {
            return None;
        }
        Some(self.grids.average(i128::from(self.filled_value.0), self.filled))
    }

    /// Whether a fill makes the position smaller by what the order says of itself.
    pub fn closes(&self) -> bool {
        self.pos_side.closes(self.side, self.reduce_only)
    }
}

/// Limit or market.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrderKind {
    /// Trades at its price or better.
    Limit,
    /// Trades at any price within the band, at once.
    Market,
}

/// How long a limit order may rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeInForce {
    /// Until it is canceled.
    Gtc,
    /// Not at all: what does not trade at once is canceled.
    Ioc,
    /// Not at all: it trades whole at once, or is canceled whole.
    Fok,
    /// Until it is canceled; canceled at once when any of it would trade at once.
    PostOnly,
}

impl TimeInForce {
    /// The word on the V3 wire.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Gtc => "gtc",
            Self::Ioc => "ioc",
            Self::Fok => "fok",
            Self::PostOnly => "post_only",
        }
    }
}

/// What the incoming order does when it would trade with an order of the same parent account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StpMode {
    /// They trade.
    None,
    /// What is left of the incoming order is canceled.
    CancelTaker,
    /// The resting order is canceled and the incoming one goes on.
    CancelMaker,
    /// Both are canceled.
    CancelBoth,
}

impl StpMode {
    /// The word on the wire.
    pub const fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::CancelTaker => "cancel_taker",
            Self::CancelMaker => "cancel_maker",
            Self::CancelBoth => "cancel_both",
        }
    }
}

/// Whether an account holds one position a contract or a long and a short one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HoldMode {
    /// One signed position a contract.
    OneWay,
    /// A long and a short position a contract.
    Hedge,
}

impl HoldMode {
    /// The word on the wire.
    pub const fn word(self) -> &'static str {
        match self {
            Self::OneWay => "one_way_mode",
            Self::Hedge => "hedge_mode",
        }
    }
}

/// Which position of a contract is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum PosSide {
    /// The one signed position of one-way mode.
    Net = 0,
    /// The long position of hedge mode.
    Long = 1,
    /// The short position of hedge mode.
    Short = 2,
}

impl PosSide {
    /// All, in the order of their numbers.
    pub const ALL: [Self; 3] = [Self::Net, Self::Long, Self::Short];

    /// The place in arrays.
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Whether an order on this position with this side can only make it smaller.
    pub const fn closes(self, side: Side, reduce_only: bool) -> bool {
        match (self, side) {
            (Self::Net, _) => reduce_only,
            (Self::Long, Side::Sell) | (Self::Short, Side::Buy) => true,
            (Self::Long, Side::Buy) | (Self::Short, Side::Sell) => false,
        }
    }
}

/// How margin is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MarginMode {
    /// One margin for the whole account.
    Crossed,
    /// A margin of its own for the position.
    Isolated,
}

impl MarginMode {
    /// The word on the wire.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Crossed => "crossed",
            Self::Isolated => "isolated",
        }
    }
}

/// Where an order came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrderSource {
    /// A client placed it.
    Normal,
    /// It replaces an order that a client modified.
    Modify,
    /// A client asked to close a position.
    ClosePosition,
    /// A strategy order made it when its price had come.
    Strategy,
    /// The venue nets the long and the short of a hedge in liquidation.
    Offset,
    /// The venue reduces a position to the next lower tier in liquidation.
    Reduce,
    /// The venue takes a position over in liquidation.
    Liquidation,
    /// The same where nothing is left: at the bankruptcy price, without a fee.
    Bankruptcy,
    /// The venue reduces a position to cover another's liquidation (auto-deleveraging).
    Adl,
}

impl OrderSource {
    /// Whether the venue made it against its owner's will.
    pub const fn is_forced(self) -> bool {
        match self {
            Self::Offset | Self::Reduce | Self::Liquidation | Self::Bankruptcy | Self::Adl => true,
            Self::Normal | Self::Modify | Self::ClosePosition | Self::Strategy => false,
        }
    }
}

/// Where an order stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrderStatus {
    /// Accepted, nothing filled.
    Live,
    /// Some of it filled, the rest working.
    PartiallyFilled,
    /// All of it filled.
    Filled,
    /// Over, not all of it filled.
    Canceled,
}

impl OrderStatus {
    /// The word on the V3 wire.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::PartiallyFilled => "partially_filled",
            Self::Filled => "filled",
            Self::Canceled => "cancelled",
        }
    }

    /// Whether nothing more can happen to it.
    pub const fn is_done(self) -> bool {
        match self {
            Self::Live | Self::PartiallyFilled => false,
            Self::Filled | Self::Canceled => true,
        }
    }
}

/// Why an order was canceled: those of the V3 page's words that this venue can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CancelReason {
    /// Its owner asked.
    Normal,
    /// It would have traded with its own owner.
    Stp,
    /// It could not be filled whole at once.
    FokNotFull,
    /// The rest of an ioc order.
    IocNotFull,
    /// A post-only order that would have taken.
    PostOnlyFill,
    /// It was replaced by a modified one.
    Modify,
    /// The account was liquidated.
    Burst,
    /// The rest of a market order lay beyond the price band.
    LimitPriceExceed,
    /// A reduce-only order that had nothing left to reduce.
    ReduceOnlyRoom,
    /// The contract's rules changed under it, or the contract was removed.
    Contract,
    /// It came later than its own `receiveWindow` allows.
    ReceiveWindow,
    /// The venue deleveraged the account.
    Adl,
}

impl CancelReason {
    /// The word on the V3 wire (`cancelReason`). That a reduce-only order without room says
    /// `delegated_risk_order_cancel` is a guess: the documentation names no word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Normal => "normal_cancel",
            Self::Stp => "stp_cancel",
            Self::FokNotFull => "fok_not_full_cancel",
            Self::IocNotFull => "ioc_not_full_cancel",
            Self::PostOnlyFill => "post_only_fill_cancel",
            Self::Modify => "modify_limit_order",
            Self::Burst => "burst_cancel",
            Self::LimitPriceExceed => "limit_price_exceed_cancel",
            Self::ReduceOnlyRoom => "delegated_risk_order_cancel",
            Self::Contract => "back_contract_cancel",
            Self::ReceiveWindow => "cancel_receiveWindow",
            Self::Adl => "adl_cancel",
        }
    }
}

/// Which side of a trade an account was on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Its order rested.
    Maker,
    /// Its order came in.
    Taker,
}

impl Role {
    /// The word on the V3 wire (`tradeScope`).
    pub const fn word(self) -> &'static str {
        match self {
            Self::Maker => "maker",
            Self::Taker => "taker",
        }
    }
}

/// One account's part in one trade.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fill {
    /// The trade; the counterparty's fill and the public print carry the same number.
    pub trade: TradeId,
    /// The order.
    pub order: OrderId,
    /// The order's client id.
    pub client_id: Arc<str>,
    /// Whose fill it is.
    pub account: AccountId,
    /// The contract.
    pub instrument: InstrumentId,
    /// The grids of the contract then.
    pub grids: Grids,
    /// Limit or market.
    pub kind: OrderKind,
    /// Direction.
    pub side: Side,
    /// The position it worked on.
    pub pos_side: PosSide,
    /// Whether the order could only close.
    pub closes: bool,
    /// How much of the size closed a position; the rest opened one.
    pub closed: Lots,
    /// Where the order came from.
    pub source: OrderSource,
    /// Maker or taker.
    pub role: Role,
    /// The price.
    pub price: Ticks,
    /// The size.
    pub size: Lots,
    /// The exact value.
    pub value: Quote,
    /// The fee; positive is paid, negative is a rebate.
    pub fee: Quote,
    /// Profit that it realized, without the fee.
    pub realized: Quote,
    /// The position after it, signed.
    pub position: Lots,
    /// When.
    pub at: UnixNanos,
}
