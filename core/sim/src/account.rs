//! Account: one client of the venue with its money, positions, settings and records.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use keel_core::units::{E8, Lots, Price, Quote, Rate, Side, UnixNanos};

use crate::instrument::{InstrumentId, Rules};
use crate::order::{Fill, HoldMode, MarginMode, OrderId, OrderSource, PosSide};
use crate::position::Position;
use crate::strategy::StrategyOrder;

/// The place of an account in its venue, from 0 in the order of opening.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountId(pub u32);

impl AccountId {
    /// The place in arrays.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// What it takes to open an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewAccount {
    /// A name for people; unique.
    pub name: String,
    /// The venue's number of the user; unique.
    pub uid: u64,
    /// The account above this one. Orders of one family fall under self-trade prevention together.
    pub parent: Option<AccountId>,
}

/// The rates of one account; a negative rate is a rebate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fees {
    /// Rate of fills whose order rested.
    pub maker: Rate,
    /// Rate of fills whose order came in.
    pub taker: Rate,
}

impl Fees {
    /// The rates of VIP levels 0 to 7 (USDT-M table); above 7 as 7.
    pub fn vip(level: usize) -> Self {
        const TABLE: [(i64, i64); 8] = [
            (20_000, 60_000),
            (19_000, 60_000),
            (16_000, 40_000),
            (14_000, 37_500),
            (12_000, 35_000),
            (10_000, 32_000),
            (8_000, 30_000),
            (0, 20_000),
        ];
        let (maker, taker) = TABLE[level.min(TABLE.len() - 1)];
        Self { maker: Rate(maker), taker: Rate(taker) }
    }

    /// The market-maker programme: −0.5 bp for makers; takers as VIP 7.
    pub const fn market_maker() -> Self {
        Self { maker: Rate(-5_000), taker: Rate(20_000) }
    }
}

/// A key of an account, as data: whoever serves the wire checks it.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// The public part.
    pub key: String,
    /// What signs; never printed.
    pub secret: String,
    /// What accompanies the signature; never printed.
    pub passphrase: String,
    /// What the key may do, unless it only reads.
    pub permissions: Permissions,
    /// Whether it reads only, whatever its permissions are called.
    pub read_only: bool,
    /// What its owner calls it.
    pub note: String,
    /// When it was made.
    pub created: UnixNanos,
    /// The addresses it may be used from; all when empty.
    pub ips: Vec<String>,
    /// Whether it works only with `paptrading: 1`.
    pub demo: bool,
}

impl std::fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApiKey")
            .field("key", &self.key)
            .field("permissions", &self.permissions)
            .field("ips", &self.ips)
            .field("demo", &self.demo)
            .finish_non_exhaustive()
    }
}

impl ApiKey {
    /// A key that is bound to no address, made at the beginning of time.
    pub fn new(key: &str, secret: &str, passphrase: &str, permissions: Permissions) -> Self {
        Self {
            key: key.into(),
            secret: secret.into(),
            passphrase: passphrase.into(),
            permissions,
            read_only: permissions == Permissions::READ,
            note: String::new(),
            created: UnixNanos(0),
            ips: Vec::new(),
            demo: false,
        }
    }

    /// What the key may really do.
    pub const fn granted(&self) -> Permissions {
        if self.read_only { Permissions::READ } else { self.permissions }
    }
}

/// What a key may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Permissions {
    /// Place and cancel orders and change settings (`uta_trade`); without it the key only reads.
    pub trade: bool,
    /// Manage the account: settings, transfers between own accounts (`uta_mgt`).
    pub manage: bool,
    /// Take money out.
    pub withdraw: bool,
}

impl Permissions {
    /// Reads only.
    pub const READ: Self = Self { trade: false, manage: false, withdraw: false };
    /// What a trading program needs and no more.
    pub const TRADE: Self = Self { trade: true, manage: false, withdraw: false };
}

/// A client of the venue, as the venue knows it.
#[derive(Debug)]
pub struct Account {
    /// The place in the venue.
    pub id: AccountId,
    /// A name for people.
    pub name: String,
    /// The venue's number of the user.
    pub uid: u64,
    /// The account above this one.
    pub parent: Option<AccountId>,
    /// What its parent has made of it; none for accounts that were not made over the API.
    pub sub: Option<SubAccount>,
    /// An anonymous agent of the market: no margin, no fees, no records, no private events.
    pub house: bool,
    /// When it was opened.
    pub opened: UnixNanos,
    /// One-way or hedge.
    pub hold_mode: HoldMode,
    pub(crate) balance: Quote,
    pub(crate) fees: BTreeMap<InstrumentId, Fees>,
    pub(crate) default_fees: Option<Fees>,
    pub(crate) holdings: Vec<Holding>,
    pub(crate) open: BTreeMap<OrderId, InstrumentId>,
    pub(crate) client_ids: BTreeMap<Arc<str>, OrderId>,
    pub(crate) done: VecDeque<OrderId>,
    pub(crate) fills: VecDeque<Fill>,
    pub(crate) bills: VecDeque<Bill>,
    pub(crate) closed: VecDeque<ClosedPosition>,
    pub(crate) totals: Totals,
    pub(crate) countdown: Option<UnixNanos>,
    pub(crate) strategies: Strategies,
}

/// What the parent of a sub-account says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubAccount {
    /// What its parent calls it.
    pub note: String,
    /// Whether it may not trade.
    pub frozen: bool,
    /// When its parent last changed it.
    pub updated: UnixNanos,
}

/// An account's strategy orders.
#[derive(Debug, Default)]
pub(crate) struct Strategies {
    /// Those that wait, oldest first.
    pub(crate) waiting: Vec<StrategyOrder>,
    /// Those that are over, the first to end first.
    pub(crate) over: VecDeque<StrategyOrder>,
}

impl Account {
    /// The wallet: deposits, realized profit, fees and funding; no unrealized profit.
    pub fn balance(&self) -> Quote {
        self.balance
    }

    /// Where the money came from since the account was opened.
    pub fn totals(&self) -> &Totals {
        &self.totals
    }

    /// Its fills, oldest first; the latest [`FILLS_MAX`].
    pub fn fills(&self) -> &VecDeque<Fill> {
        &self.fills
    }

    /// Its financial records, oldest first; the latest [`BILLS_MAX`].
    pub fn bills(&self) -> &VecDeque<Bill> {
        &self.bills
    }

    /// Its closed positions, oldest first; the latest [`CLOSED_MAX`].
    pub fn closed(&self) -> &VecDeque<ClosedPosition> {
        &self.closed
    }

    /// The numbers of its open orders, in the order of creation.
    pub fn open_orders(&self) -> impl DoubleEndedIterator<Item = OrderId> + '_ {
        self.open.keys().copied()
    }

    /// The numbers of its orders that are over, the first to end first; the latest [`DONE_MAX`].
    pub fn done_orders(&self) -> impl DoubleEndedIterator<Item = OrderId> + '_ {
        self.done.iter().copied()
    }

    /// When all its orders will be canceled unless the countdown is armed again before.
    pub fn countdown(&self) -> Option<UnixNanos> {
        self.countdown
    }

    /// Its strategy orders that wait, oldest first.
    pub fn waiting_strategies(&self) -> &[StrategyOrder] {
        &self.strategies.waiting
    }

    /// Its strategy orders that are over, the first to end first; the latest
    /// [`crate::strategy::OVER_MAX`].
    pub fn done_strategies(&self) -> &VecDeque<StrategyOrder> {
        &self.strategies.over
    }

    /// Whether it holds a position in any contract.
    pub fn is_exposed(&self) -> bool {
        self.holdings.iter().any(Holding::is_held)
    }

    /// Its rates in a contract with these rules.
    pub(crate) fn fees_in(&self, instrument: InstrumentId, rules: &Rules) -> Fees {
        let own = self.fees.get(&instrument).copied().or(self.default_fees);
        own.unwrap_or(Fees { maker: rules.maker, taker: rules.taker })
    }

    /// Moves money and keeps a record of it.
    pub(crate) fn book(&mut self, bill: Bill) {
        if bill.moves_money() {
            self.balance += bill.amount - bill.fee;
        }
        push_bounded(&mut self.bills, Bill { balance: self.balance, ..bill }, BILLS_MAX);
    }

    /// Its settings and positions in a contract.
    pub fn holding(&self, instrument: InstrumentId) -> &Holding {
        &self.holdings[instrument.index()]
    }
}

/// An account's settings, positions and order sums in one contract.
#[derive(Clone, Debug)]
pub struct Holding {
    /// The leverage it has chosen for crossed margin.
    pub leverage: u32,
    /// The leverages it has chosen for isolated margin, of longs and of shorts.
    pub isolated_leverage: [u32; 2],
    /// Crossed or isolated: what its positions and orders here have.
    pub margin_mode: MarginMode,
    /// The positions, at the places of [`PosSide::index`].
    pub positions: [Position; 3],
    pub(crate) opening: [OpenSum; 2],
    /// Orders that rest and can only close.
    pub(crate) closing: u32,
    pub(crate) orders: u32,
}

impl Holding {
    pub(crate) fn new(rules: &Rules) -> Self {
        let leverage = LEVERAGE_DEFAULT.clamp(rules.leverage_min, rules.leverage_max);
        Self {
            leverage,
            isolated_leverage: [leverage; 2],
            margin_mode: MarginMode::Crossed,
            positions: Default::default(),
            opening: Default::default(),
            closing: 0,
            orders: 0,
        }
    }

    /// The leverages in force, of longs and of shorts.
    pub const fn leverages(&self) -> [u32; 2] {
        match self.margin_mode {
            MarginMode::Crossed => [self.leverage; 2],
            MarginMode::Isolated => self.isolated_leverage,
        }
    }

    /// Whether any position is open.
    pub fn is_held(&self) -> bool {
        self.positions.iter().any(|position| !position.lots.is_zero())
    }

    /// How many orders are open.
    pub fn open_orders(&self) -> u32 {
        self.orders
    }

    /// The position of a side.
    pub fn position(&self, side: PosSide) -> &Position {
        &self.positions[side.index()]
    }
}

/// Sum of what rests on one side and can open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpenSum {
    /// The lots left.
    pub lots: Lots,
    /// Their value at their own prices.
    pub value: Quote,
}

/// A record of money that came or went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bill {
    /// Unique over all accounts, increasing; above 2^53.
    pub id: u64,
    /// What it was.
    pub kind: BillKind,
    /// The contract, when one was concerned.
    pub instrument: Option<InstrumentId>,
    /// Whether it concerned a position with a margin of its own.
    pub isolated: bool,
    /// Money without the fee; positive came. A margin that moves between the wallet and a position
    /// leaves `balance` as it is, which holds both.
    pub amount: Quote,
    /// The fee; positive is paid.
    pub fee: Quote,
    /// The wallet after it.
    pub balance: Quote,
    /// When.
    pub at: UnixNanos,
}

impl Bill {
    /// Whether it changed the wallet; a margin that moves within it does not.
    pub const fn moves_money(&self) -> bool {
        !matches!(self.kind, BillKind::Margin | BillKind::LeverageMargin)
    }

    /// A record of nothing, at an instant; the venue gives it its number and balance.
    pub(crate) const fn blank(at: UnixNanos) -> Self {
        Self {
            id: 0,
            kind: BillKind::TransferIn,
            instrument: None,
            isolated: false,
            amount: Quote::ZERO,
            fee: Quote::ZERO,
            balance: Quote::ZERO,
            at,
        }
    }
}

/// What a record of money was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BillKind {
    /// Into the account from outside.
    TransferIn,
    /// Out of the account.
    TransferOut,
    /// A fill that opened a position or made it larger.
    Opened(Deal),
    /// A fill that closed a position or made it smaller.
    Closed(Deal),
    /// Funding received (`CONTRACT_MAIN_SETTLE_FEE_USER_IN`).
    FundingIn,
    /// Funding paid (`CONTRACT_MAIN_SETTLE_FEE_USER_OUT`).
    FundingOut,
    /// Margin that its owner gave to an isolated position, or took back when `amount` is positive.
    Margin,
    /// Margin that went to an isolated position because its leverage was lowered.
    LeverageMargin,
    /// The insurance fund made up for a wallet below zero after a liquidation.
    Insurance,
}

impl BillKind {
    /// True for funding, either way.
    pub const fn is_funding(self) -> bool {
        matches!(self, Self::FundingIn | Self::FundingOut)
    }
}

/// What of a fill its record tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deal {
    /// Where the order came from.
    pub source: OrderSource,
    /// Direction of the fill.
    pub side: Side,
    /// The position that it worked on.
    pub pos_side: PosSide,
    /// Whether the order never opens.
    pub reduce_only: bool,
}

/// Sums of all that moved an account's money. They stay when records are dropped, and
/// `balance = realized − fees + funding + transfers + insurance` holds to the last unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Profit realized, without fees.
    pub realized: Quote,
    /// Fees paid, rebates deducted, liquidation fees included.
    pub fees: Quote,
    /// Funding received less funding paid.
    pub funding: Quote,
    /// Deposits less withdrawals.
    pub transfers: Quote,
    /// Losses beyond the wallet that the insurance fund bore.
    pub insurance: Quote,
    /// Value of all fills.
    pub turnover: i128,
}

/// A position that is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClosedPosition {
    /// The number that the position had while it was open.
    pub id: u64,
    /// The contract.
    pub instrument: InstrumentId,
    /// Crossed or isolated.
    pub margin_mode: MarginMode,
    /// Which position it was; for [`PosSide::Net`] the sign of `size` says the direction.
    pub pos_side: PosSide,
    /// Lots opened in its life; negative for a short.
    pub size: Lots,
    /// Average price of what opened it.
    pub open_price: Price,
    /// Average price of what closed it.
    pub close_price: Price,
    /// Profit, without fees and funding.
    pub realized: Quote,
    /// Funding received less paid.
    pub funding: Quote,
    /// Fees of the fills that opened; positive is paid.
    pub open_fee: Quote,
    /// Fees of the fills that closed; positive is paid.
    pub close_fee: Quote,
    /// When it was opened.
    pub created: UnixNanos,
    /// When it was closed.
    pub closed: UnixNanos,
}

/// A position with what follows from the mark, at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PositionView {
    /// Whose it is.
    pub account: AccountId,
    /// The contract.
    pub instrument: InstrumentId,
    /// Which position.
    pub pos_side: PosSide,
    /// The position itself; no lots when it has just been closed.
    pub position: Position,
    /// Lots held back by resting orders that close; never negative.
    pub locked: Lots,
    /// The account's leverage here.
    pub leverage: u32,
    /// Crossed or isolated.
    pub margin_mode: MarginMode,
    /// One-way or hedge.
    pub hold_mode: HoldMode,
    /// Average entry price; zero without a position.
    pub average_price: Price,
    /// The mark.
    pub mark: Price,
    /// Value at the mark; never negative.
    pub value: Quote,
    /// Profit at the mark.
    pub unrealized: Quote,
    /// Value over leverage; the position's own margin in isolated mode.
    pub initial_margin: Quote,
    /// Maintenance rate of its tier.
    pub mmr: Rate,
    /// Maintenance over what bears it, 1 is liquidation: the position's margin and profit in
    /// isolated mode, the account's equity in crossed mode. [`i64::MAX`] when that is not positive.
    pub margin_ratio: Rate,
    /// The mark at which it would be liquidated, all else standing still; none when no
    /// positive mark would.
    pub liquidation_price: Option<Price>,
    /// The price at which closing with a taker fee leaves nothing lost; zero without a position.
    pub break_even_price: Price,
    /// When.
    pub at: UnixNanos,
}

impl PositionView {
    /// By what positions are ranked for auto-deleveraging, the highest first: profit over entry
    /// value times leverage. The venue's formula is not published; this is the usual one.
    pub fn adl_score(&self) -> Rate {
        if self.position.entry == 0 {
            return Rate::ZERO;
        }
        let profit = i128::from(self.unrealized.0) * i128::from(self.leverage);
        let score = profit * i128::from(E8) / self.position.entry.abs();
        Rate(i64::try_from(score).unwrap_or(if score < 0 { i64::MIN } else { i64::MAX }))
    }
}

/// An account's money at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountView {
    /// Whose it is.
    pub account: AccountId,
    /// The wallet.
    pub balance: Quote,
    /// Profit of all positions at the mark.
    pub unrealized: Quote,
    /// Wallet and unrealized profit.
    pub equity: Quote,
    /// Margin that positions and opening orders hold, that of isolated positions included.
    pub initial_margin: Quote,
    /// The part of it that opening orders hold, with their frozen fees.
    pub order_margin: Quote,
    /// Margin below which crossed positions are liquidated.
    pub maintenance_margin: Quote,
    /// Equity that is free; never negative.
    pub available: Quote,
    /// What could be taken out: free, and no profit that is not realized.
    pub withdrawable: Quote,
    /// Maintenance over the equity of crossed margin, 1 is liquidation; zero without positions, and
    /// [`i64::MAX`] when equity is not positive.
    pub margin_ratio: Rate,
    /// When.
    pub at: UnixNanos,
}

/// Pushes at the end; what is too old falls off the front.
pub(crate) fn push_bounded<T>(ring: &mut VecDeque<T>, item: T, items_max: usize) {
    if ring.len() == items_max {
        ring.pop_front();
    }
    ring.push_back(item);
}

/// The leverage of an account that has not chosen one.
pub const LEVERAGE_DEFAULT: u32 = 20;
/// The most that an account may be given, all in all; far below what [`Quote`] holds.
pub const DEPOSITS_MAX: Quote = Quote::usdt(1_000_000_000);
/// Fills that an account keeps.
pub const FILLS_MAX: usize = 20_000;
/// Financial records that an account keeps.
pub const BILLS_MAX: usize = 20_000;
/// Orders that are over and that an account keeps.
pub const DONE_MAX: usize = 20_000;
/// Closed positions that an account keeps.
pub const CLOSED_MAX: usize = 2_000;
