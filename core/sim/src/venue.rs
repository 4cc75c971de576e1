//! Venue: accounts, books and everything between them.
//!
//! Requests come as method calls and are answered at once with an [`Ack`] or a [`Reject`]; what becomes
//! of an order is told by the [`VenueEvent`]s that [`Venue::drain`] gives in order. Time passes only when
//! [`Venue::advance`] says so; [`Venue::deadline`] tells when that is next needed.

use std::collections::{BTreeMap, VecDeque};

use keel_core::units::{Lots, Price, Quote, Rate, Side, Ticks, UnixNanos};

use crate::account::{Account, AccountId, AccountView, ApiKey, Fees, NewAccount, PositionView};
use crate::candle::{Candle, Candles};
use crate::event::{Print, VenueEvent};
use crate::instrument::{InstrumentId, Rules, RulesError, Status};
use crate::matching::{Book, OrderKey};
use crate::order::{
    Ack, HoldMode, ModifyRequest, Order, OrderId, OrderKind, OrderRef, PlaceRequest, PosSide,
    TimeInForce,
};
use crate::reject::Reject;

/// A venue with its contracts, accounts and books.
#[derive(Debug)]
pub struct Venue {
    instruments: Vec<Instrument>,
    accounts: Vec<Account>,
    keys: BTreeMap<String, (AccountId, ApiKey)>,
    orders: BTreeMap<OrderId, Order>,
    events: Vec<VenueEvent>,
    now: UnixNanos,
}

/// A contract with its market.
#[derive(Debug)]
pub struct Instrument {
    /// The place in the venue.
    pub id: InstrumentId,
    /// The rules in force.
    pub rules: Rules,
    /// The book.
    pub book: Book,
    /// The book's number: it increases with each order that changes the book, and not by one.
    pub seq: u64,
    /// Mark, index and rate.
    pub marks: Marks,
    /// The price of the last print; the mark before the first one.
    pub last: Price,
    /// The next funding.
    pub next_funding: UnixNanos,
    /// Bars of prints.
    pub candles: Candles,
    /// Bars of the mark.
    pub mark_candles: Candles,
    /// Bars of the index.
    pub index_candles: Candles,
    /// The latest prints, oldest first; at most [`PRINTS_MAX`].
    pub prints: VecDeque<Print>,
    /// The latest fundings, oldest first; at most [`FUNDINGS_MAX`].
    pub fundings: VecDeque<FundingRate>,
    /// What all accounts hold long, house included.
    pub open_interest: Lots,
}

/// What the market around the venue says of a contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marks {
    /// The mark price.
    pub mark: Price,
    /// The index price.
    pub index: Price,
    /// The rate of the next funding, as last published.
    pub funding_rate: Rate,
}

/// A funding of the past.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FundingRate {
    /// The rate.
    pub rate: Rate,
    /// The grid instant.
    pub at: UnixNanos,
}

/// The last day of a contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Day {
    /// One bar of the last 24 hours.
    pub bar: Candle,
    /// The first price of the current UTC day.
    pub open_utc: Price,
}

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
    /// A venue without contracts and accounts.
    pub fn new(now: UnixNanos) -> Self {
        Self {
            instruments: Vec::new(),
            accounts: Vec::new(),
            keys: BTreeMap::new(),
            orders: BTreeMap::new(),
            events: Vec::new(),
            now,
        }
    }

    // Contracts.

    /// Lists a contract. Contracts stand before accounts are opened or after, as is convenient.
    ///
    /// # Errors
    /// What is wrong with the rules.
    pub fn list(&mut self, rules: Rules, marks: Marks) -> Result<InstrumentId, RulesError> {
        let _ = (rules, marks);
        unimplemented!()
    }

    /// Changes a contract's rules. When a grid changes, every resting order of the contract is canceled,
    /// the prints are forgotten, and positions are converted.
    ///
    /// # Errors
    /// What is wrong with the rules; nothing has changed then.
    pub fn change_rules(
        &mut self,
        instrument: InstrumentId,
        rules: Rules,
        now: UnixNanos,
    ) -> Result<(), RulesError> {
        let _ = (instrument, rules, now);
        unimplemented!()
    }

    /// Changes whether a contract trades.
    pub fn set_status(&mut self, instrument: InstrumentId, status: Status, now: UnixNanos) {
        let _ = (instrument, status, now);
        unimplemented!()
    }

    /// Sets mark, index and rate, and liquidates what can no longer be held.
    pub fn set_marks(&mut self, instrument: InstrumentId, marks: Marks, now: UnixNanos) {
        let _ = (instrument, marks, now);
        unimplemented!()
    }

    /// Gives a contract its history of one-minute bars, ascending, before it trades: of prints, of the
    /// mark and of the index.
    pub fn seed_candles(
        &mut self,
        instrument: InstrumentId,
        last: &[Candle],
        mark: &[Candle],
        index: &[Candle],
    ) {
        let _ = (instrument, last, mark, index);
        unimplemented!()
    }

    /// Gives a contract its history of funding rates, ascending.
    pub fn seed_fundings(&mut self, instrument: InstrumentId, fundings: &[FundingRate]) {
        let _ = (instrument, fundings);
        unimplemented!()
    }

    /// All contracts, in the order of listing.
    pub fn instruments(&self) -> &[Instrument] {
        &self.instruments
    }

    /// A contract.
    ///
    /// # Panics
    /// When there is none of this id; ids come from this venue.
    pub fn instrument(&self, id: InstrumentId) -> &Instrument {
        &self.instruments[id.index()]
    }

    /// The contract of a symbol.
    pub fn find(&self, symbol: &str) -> Option<InstrumentId> {
        self.instruments.iter().find(|i| i.rules.symbol == symbol).map(|i| i.id)
    }

    /// The last 24 hours of a contract; none before the first bar.
    pub fn day(&self, instrument: InstrumentId, now: UnixNanos) -> Option<Day> {
        let _ = (instrument, now);
        unimplemented!()
    }

    // Accounts.

    /// Opens an account of a client.
    ///
    /// # Panics
    /// When its name or uid is taken, or its parent is no account of this venue.
    pub fn open_account(&mut self, new: NewAccount, now: UnixNanos) -> AccountId {
        let _ = (new, now);
        unimplemented!()
    }

    /// Opens an account for the market's agents.
    pub fn open_house(&mut self, name: &str, now: UnixNanos) -> AccountId {
        let _ = (name, now);
        unimplemented!()
    }

    /// All accounts, in the order of opening.
    pub fn accounts(&self) -> &[Account] {
        &self.accounts
    }

    /// An account.
    ///
    /// # Panics
    /// When there is none of this id; ids come from this venue.
    pub fn account(&self, id: AccountId) -> &Account {
        &self.accounts[id.index()]
    }

    /// The rates of an account in a contract.
    pub fn fees(&self, account: AccountId, instrument: InstrumentId) -> Fees {
        let _ = (account, instrument);
        unimplemented!()
    }

    /// Sets an account's rates, in one contract or in all.
    pub fn set_fees(&mut self, account: AccountId, instrument: Option<InstrumentId>, fees: Fees) {
        let _ = (account, instrument, fees);
        unimplemented!()
    }

    /// Adds or replaces a key.
    pub fn add_key(&mut self, account: AccountId, key: ApiKey) {
        self.keys.insert(key.key.clone(), (account, key));
    }

    /// Removes a key; false when there was none.
    pub fn revoke_key(&mut self, key: &str) -> bool {
        self.keys.remove(key).is_some()
    }

    /// The account of a key, and the key.
    pub fn key(&self, key: &str) -> Option<(AccountId, &ApiKey)> {
        self.keys.get(key).map(|(account, key)| (*account, key))
    }

    /// The keys of an account.
    pub fn keys(&self, account: AccountId) -> impl Iterator<Item = &ApiKey> {
        self.keys.values().filter(move |(owner, _)| *owner == account).map(|(_, key)| key)
    }

    /// Puts money into an account.
    ///
    /// # Panics
    /// When the amount is not positive.
    pub fn deposit(&mut self, account: AccountId, amount: Quote, now: UnixNanos) {
        let _ = (account, amount, now);
        unimplemented!()
    }

    /// Takes money out of an account.
    ///
    /// # Errors
    /// When so much is not free.
    pub fn withdraw(
        &mut self,
        account: AccountId,
        amount: Quote,
        now: UnixNanos,
    ) -> Result<(), Reject> {
        let _ = (account, amount, now);
        unimplemented!()
    }

    /// Sets an account's leverage in a contract.
    ///
    /// # Errors
    /// When it is out of range or margin would not suffice.
    pub fn set_leverage(
        &mut self,
        account: AccountId,
        instrument: InstrumentId,
        leverage: u32,
        now: UnixNanos,
    ) -> Result<(), Reject> {
        let _ = (account, instrument, leverage, now);
        unimplemented!()
    }

    /// Sets one-way or hedge mode.
    ///
    /// # Errors
    /// When a position or an order exists.
    pub fn set_hold_mode(&mut self, account: AccountId, mode: HoldMode) -> Result<(), Reject> {
        let _ = (account, mode);
        unimplemented!()
    }

    /// An account's money.
    pub fn account_view(&self, account: AccountId, now: UnixNanos) -> AccountView {
        let _ = (account, now);
        unimplemented!()
    }

    /// An account's open positions, by contract and side.
    pub fn positions(&self, account: AccountId, now: UnixNanos) -> Vec<PositionView> {
        let _ = (account, now);
        unimplemented!()
    }

    // Orders.

    /// Receives an order.
    ///
    /// # Errors
    /// The first check that it does not pass; it left no trace then.
    pub fn place(
        &mut self,
        account: AccountId,
        request: &PlaceRequest,
        now: UnixNanos,
    ) -> Result<Ack, Reject> {
        let _ = (account, request, now);
        unimplemented!()
    }

    /// Receives a change of an order: cancels it and makes a new one. The ack names the new one.
    ///
    /// # Errors
    /// When the order is gone, nothing would change, or the new order does not pass a check.
    pub fn modify(
        &mut self,
        account: AccountId,
        request: &ModifyRequest,
        now: UnixNanos,
    ) -> Result<Ack, Reject> {
        let _ = (account, request, now);
        unimplemented!()
    }

    /// Cancels an order.
    ///
    /// # Errors
    /// When there is none, or it is done.
    pub fn cancel(
        &mut self,
        account: AccountId,
        order: &OrderRef,
        now: UnixNanos,
    ) -> Result<Ack, Reject> {
        let _ = (account, order, now);
        unimplemented!()
    }

    /// Cancels all open orders, of one contract or of all, the oldest first.
    pub fn cancel_all(
        &mut self,
        account: AccountId,
        instrument: Option<InstrumentId>,
        now: UnixNanos,
    ) -> Vec<Ack> {
        let _ = (account, instrument, now);
        unimplemented!()
    }

    /// Closes positions with market orders: of one contract or of all, of one side or of all.
    pub fn close_positions(
        &mut self,
        account: AccountId,
        instrument: Option<InstrumentId>,
        pos_side: Option<PosSide>,
        now: UnixNanos,
    ) -> Vec<(InstrumentId, Result<Ack, Reject>)> {
        let _ = (account, instrument, pos_side, now);
        unimplemented!()
    }

    /// Arms the countdown that cancels all orders of the account, or disarms it with 0.
    ///
    /// # Errors
    /// When it is neither 0 nor 5 to 60 seconds.
    pub fn set_countdown(
        &mut self,
        account: AccountId,
        seconds: u32,
        now: UnixNanos,
    ) -> Result<(), Reject> {
        let _ = (account, seconds, now);
        unimplemented!()
    }

    /// An order by the venue's number, while it is kept.
    pub fn order(&self, id: OrderId) -> Option<&Order> {
        self.orders.get(&id)
    }

    /// An account's order, open or done, by either name.
    pub fn find_order(&self, account: AccountId, order: &OrderRef) -> Option<&Order> {
        let _ = (account, order);
        unimplemented!()
    }

    // The market's agents.

    /// Works an agent's order. It passes no check but that of its size: agents know the rules.
    ///
    /// # Panics
    /// When the account is no house account, or size or price is not positive.
    pub fn house_place(
        &mut self,
        house: AccountId,
        instrument: InstrumentId,
        order: &HouseOrder,
        now: UnixNanos,
    ) -> HousePlaced {
        let _ = (house, instrument, order, now);
        unimplemented!()
    }

    /// Cancels an agent's order and gives what was left of it; none when it is gone.
    pub fn house_cancel(
        &mut self,
        instrument: InstrumentId,
        key: OrderKey,
        now: UnixNanos,
    ) -> Option<Lots> {
        let _ = (instrument, key, now);
        unimplemented!()
    }

    /// What is left of an agent's resting order; none when it is gone.
    pub fn house_left(&self, instrument: InstrumentId, key: OrderKey) -> Option<Lots> {
        Some(self.instrument(instrument).book.resting(key)?.left)
    }

    // Time.

    /// When [`Venue::advance`] is next needed: a funding or a countdown.
    pub fn deadline(&self) -> Option<UnixNanos> {
        unimplemented!()
    }

    /// Lets time pass to `now`: settles funding, runs countdowns out, in the order of their instants.
    /// Time that runs backward is taken as standing still.
    pub fn advance(&mut self, now: UnixNanos) {
        self.now = self.now.max(now);
        unimplemented!()
    }

    /// Settles funding of a contract at once, as if its instant had come.
    pub fn settle_funding(&mut self, instrument: InstrumentId, now: UnixNanos) {
        let _ = (instrument, now);
        unimplemented!()
    }

    /// Moves what happened since the last call to the end of `out`, in order. Whoever drives a venue
    /// drains it after each call: nothing else bounds what waits.
    pub fn drain(&mut self, out: &mut Vec<VenueEvent>) {
        out.append(&mut self.events);
    }
}

/// Prints that a contract keeps.
pub const PRINTS_MAX: usize = 1_000;
/// Fundings of the past that a contract keeps.
pub const FUNDINGS_MAX: usize = 1_000;
