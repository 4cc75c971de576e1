//! Venue: accounts, books and everything between them.
//!
//! Requests come as method calls and are answered at once with an [`Ack`](crate::order::Ack) or a
//! [`Reject`]; what becomes of an order is told by the [`VenueEvent`]s that [`Venue::drain`] gives
//! in order. Each call that changes something takes `now` and first lets time pass to it, so that
//! a funding that was due before an order is settled before it; [`Venue::deadline`] tells when
//! time has something to do. Time that runs backward is taken as standing still.
//!
//! Memory is bounded: books by the order caps, records by the constants of [`crate::account`],
//! [`crate::candle`] and this module; events wait until they are drained.

mod contract;
mod entry;
mod house;
mod liquidation;
mod money;
mod strategy;
mod time;
mod trade;

pub use contract::{Day, FUNDINGS_MAX, FundingRate, Instrument, Marks, PRINTS_MAX};
pub use house::{HouseOrder, HousePlaced};

use std::collections::BTreeMap;

use keel_core::units::{Quote, Side, Ticks, UnixNanos};

use crate::account::{Account, AccountId, ApiKey};
use crate::event::VenueEvent;
use crate::fund::Fund;
use crate::instrument::InstrumentId;
use crate::matching::OrderKey;
use crate::order::{Order, OrderId, OrderRef};
use crate::reject::Reject;

/// A venue with its contracts, accounts and books.
#[derive(Debug)]
pub struct Venue {
    instruments: Vec<Instrument>,
    accounts: Vec<Account>,
    keys: BTreeMap<String, (AccountId, ApiKey)>,
    orders: BTreeMap<OrderId, Kept>,
    events: Vec<VenueEvent>,
    fund: Fund,
    ids: Ids,
    now: UnixNanos,
    /// No funding or countdown is due before this.
    due: UnixNanos,
    /// Strategy orders that wait, of all accounts.
    waiting: usize,
    /// Lent to [`Venue::publish_levels`].
    changes: Vec<(Side, Ticks)>,
    /// Orders whose cancels are answered and not done, while that is so.
    withheld: Option<Vec<OrderId>>,
}

/// An order and where it rests, when it does.
#[derive(Debug)]
struct Kept {
    order: Order,
    key: Option<OrderKey>,
}

impl Venue {
    /// A venue without contracts and accounts. Its ids start from `now`, so that a venue that is
    /// opened later never gives an id again.
    pub fn new(now: UnixNanos) -> Self {
        Self {
            instruments: Vec::new(),
            accounts: Vec::new(),
            keys: BTreeMap::new(),
            orders: BTreeMap::new(),
            events: Vec::new(),
            fund: Fund::new(),
            ids: Ids::from(now),
            now,
            due: UnixNanos(i64::MAX),
            waiting: 0,
            changes: Vec::new(),
            withheld: None,
        }
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

    /// Adds or replaces a key.
    pub fn add_key(&mut self, account: AccountId, key: ApiKey) {
        self.keys.insert(key.key.clone(), (account, key));
    }

    /// Removes a key; false when there was none.
    pub fn revoke_key(&mut self, key: &str) -> bool {
        self.keys.remove(key).is_some()
    }

    /// Whether an account may not trade because its parent has frozen it.
    pub fn is_frozen(&self, account: AccountId) -> bool {
        self.account(account).sub.as_ref().is_some_and(|sub| sub.frozen)
    }

    /// The account of a key, and the key.
    pub fn key(&self, key: &str) -> Option<(AccountId, &ApiKey)> {
        self.keys.get(key).map(|(account, key)| (*account, key))
    }

    /// The keys of an account.
    pub fn keys(&self, account: AccountId) -> impl Iterator<Item = &ApiKey> {
        self.keys.values().filter(move |(owner, _)| *owner == account).map(|(_, key)| key)
    }

    /// An order by the venue's number, while it is kept.
    pub fn order(&self, id: OrderId) -> Option<&Order> {
        self.orders.get(&id).map(|kept| &kept.order)
    }

    /// An account's order, open or done, by either name.
    pub fn find_order(&self, account: AccountId, order: &OrderRef) -> Option<&Order> {
        let id = match order {
            OrderRef::Id(id) => *id,
            OrderRef::Client(name) => *self.account(account).client_ids.get(name.as_str())?,
        };
        self.order(id).filter(|order| order.account == account)
    }

    /// The insurance fund.
    pub fn fund(&self) -> &Fund {
        &self.fund
    }

    /// Sets what the insurance fund holds.
    pub fn set_fund(&mut self, balance: Quote) {
        self.fund.set_balance(balance);
    }

    /// The latest instant that this venue has seen.
    pub fn now(&self) -> UnixNanos {
        self.now
    }

    /// Moves what happened since the last call to the end of `out`, in order. Whoever drives a
    /// venue drains it after each call: nothing else bounds what waits.
    pub fn drain(&mut self, out: &mut Vec<VenueEvent>) {
        out.append(&mut self.events);
    }

    fn kept(&self, id: OrderId) -> &Kept {
        self.orders.get(&id).expect("an open order is kept")
    }

    /// An open order of the account.
    fn open_order(&self, account: AccountId, order: &OrderRef) -> Result<OrderId, Reject> {
        let order = self.find_order(account, order).ok_or(Reject::ORDER_NOT_FOUND)?;
        if order.status.is_done() { Err(Reject::ORDER_DONE) } else { Ok(order.id) }
    }
}

/// The next number of each kind. They start at the millisecond of opening times 2^20, which is
/// above 2^53 since 1970-01-02 and below 2^63 until the year 2248.
#[derive(Clone, Copy, Debug)]
struct Ids {
    order: u64,
    trade: u64,
    bill: u64,
    position: u64,
    seq: u64,
}

impl Ids {
    fn from(now: UnixNanos) -> Self {
        let base = u64::try_from(now.millis()).unwrap_or(0).max(1 << 34) << 20;
        Self { order: base, trade: base + 1, bill: base + 2, position: base + 3, seq: base }
    }

    fn next(id: &mut u64) -> u64 {
        *id += ID_STEP;
        *id
    }
}

/// Orders, trades and bills count in steps of this from different starts, so that a number of one
/// kind is never a number of another.
const ID_STEP: u64 = 8;

#[cfg(test)]
mod tests;
