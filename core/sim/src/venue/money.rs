//! Money: accounts, their settings, and what the mark makes of them.

use std::collections::{BTreeMap, VecDeque};

use keel_core::decimal::POW10;
use keel_core::units::{E8, Price, Quote, Rate, UnixNanos};

use super::{Ids, Instrument, Venue};
use crate::account::{
    Account, AccountId, AccountView, Bill, BillKind, DEPOSITS_MAX, Fees, Holding, NewAccount,
    PositionView, Strategies, Totals,
};
use crate::event::VenueEvent;
use crate::instrument::{FEE_MAX, InstrumentId};
use crate::margin::{Case, Margin, over};
use crate::order::{HoldMode, MarginMode, PosSide};
use crate::reject::Reject;

impl Venue {
    /// Opens an account of a client.
    ///
    /// # Panics
    /// When its name or uid is taken, or its parent is an agent or no account of this venue.
    pub fn open_account(&mut self, new: NewAccount, now: UnixNanos) -> AccountId {
        self.advance(now);
        let parent = new.parent.map(|parent| self.account(parent));
        assert!(parent.is_none_or(|parent| !parent.house), "an agent is no parent");
        assert!(self.accounts.iter().all(|a| a.house || a.uid != new.uid), "a uid is unique");
        self.add_account(new, false)
    }

    /// Opens an account for agents of the market: no margin, no fees, no records, no private
    /// events.
    ///
    /// # Panics
    /// When its name is taken.
    pub fn open_house(&mut self, name: &str, now: UnixNanos) -> AccountId {
        self.advance(now);
        self.add_account(NewAccount { name: name.into(), uid: 0, parent: None }, true)
    }

    fn add_account(&mut self, new: NewAccount, house: bool) -> AccountId {
        assert!(self.accounts.iter().all(|a| a.name != new.name), "a name is unique");
        let id = AccountId(u32::try_from(self.accounts.len()).expect("fewer accounts"));
        self.accounts.push(Account {
            id,
            name: new.name,
            uid: new.uid,
            parent: new.parent,
            house,
            opened: self.now,
            hold_mode: HoldMode::OneWay,
            balance: Quote::ZERO,
            fees: BTreeMap::new(),
            default_fees: None,
            holdings: self.instruments.iter().map(|i| Holding::new(&i.rules)).collect(),
            open: BTreeMap::new(),
            client_ids: BTreeMap::new(),
            done: VecDeque::new(),
            fills: VecDeque::new(),
            bills: VecDeque::new(),
            closed: VecDeque::new(),
            totals: Totals::default(),
            countdown: None,
            strategies: Strategies::default(),
        });
        id
    }

    /// The rates of an account in a contract.
    pub fn fees(&self, account: AccountId, instrument: InstrumentId) -> Fees {
        self.account(account).fees_in(instrument, &self.instrument(instrument).rules)
    }

    /// Sets an account's rates, in one contract or in all that have none of their own.
    ///
    /// # Errors
    /// When a rate is above [`FEE_MAX`], as a fee or as a rebate.
    pub fn set_fees(
        &mut self,
        account: AccountId,
        instrument: Option<InstrumentId>,
        fees: Fees,
    ) -> Result<(), Reject> {
        let fair = -FEE_MAX..=FEE_MAX;
        if !fair.contains(&fees.maker) || !fair.contains(&fees.taker) {
            return Err(Reject::RATE_RANGE);
        }
        let account = &mut self.accounts[account.index()];
        match instrument {
            Some(instrument) => {
                account.fees.insert(instrument, fees);
            }
            None => account.default_fees = Some(fees),
        }
        Ok(())
    }

    /// Puts money into an account.
    ///
    /// # Errors
    /// When the amount is not positive, or the account would have been given more than
    /// [`DEPOSITS_MAX`].
    pub fn deposit(
        &mut self,
        account: AccountId,
        amount: Quote,
        now: UnixNanos,
    ) -> Result<(), Reject> {
        self.advance(now);
        let given = self.account(account).totals.transfers.0.max(0);
        if amount.0 <= 0 || amount.0 > DEPOSITS_MAX.0 - given {
            return Err(Reject::AMOUNT_RANGE);
        }
        self.transfer(account, amount, BillKind::TransferIn);
        Ok(())
    }

    /// Takes money out of an account.
    ///
    /// # Errors
    /// When the amount is not positive, or so much is not free. Profit that is not realized cannot
    /// be taken out.
    pub fn withdraw(
        &mut self,
        account: AccountId,
        amount: Quote,
        now: UnixNanos,
    ) -> Result<(), Reject> {
        self.advance(now);
        if amount.0 <= 0 {
            return Err(Reject::AMOUNT_RANGE);
        }
        let view = self.account_view(account);
        if amount > view.available.min(view.balance) {
            return Err(Reject::BALANCE);
        }
        self.transfer(account, -amount, BillKind::TransferOut);
        Ok(())
    }

    fn transfer(&mut self, id: AccountId, amount: Quote, kind: BillKind) {
        self.accounts[id.index()].totals.transfers += amount;
        self.book_bill(id, Bill { kind, amount, ..Bill::blank(self.now) });
        self.publish_account(id);
    }

    pub(super) fn book_bill(&mut self, account: AccountId, bill: Bill) {
        let id = Ids::next(&mut self.ids.bill);
        self.accounts[account.index()].book(Bill { id, ..bill });
    }

    /// Sets an account's leverage in a contract.
    ///
    /// # Errors
    /// When it is out of the contract's range, above what the tier of the position allows, or
    /// margin would not suffice.
    pub fn set_leverage(
        &mut self,
        account: AccountId,
        instrument: InstrumentId,
        leverage: u32,
        now: UnixNanos,
    ) -> Result<(), Reject> {
        self.advance(now);
        let market = self.instrument(instrument);
        let rules = &market.rules;
        if leverage < rules.leverage_min || leverage > rules.leverage_max {
            return Err(Reject::LEVERAGE_RANGE);
        }
        let mut case = self.case(account, market);
        let lowers = leverage < case.leverage;
        case.leverage = leverage;
        let exposure = case.exposure();
        if !exposure.worst.is_zero() && leverage > rules.tier(exposure.largest).leverage_max {
            return Err(Reject::LEVERAGE_RANGE);
        }
        let whole = self.margin_without(account, instrument).plus(case.margin());
        if lowers && whole.initial() > self.account(account).balance + whole.unrealized {
            return Err(Reject::LEVERAGE_MARGIN);
        }
        self.accounts[account.index()].holdings[instrument.index()].leverage = leverage;
        for side in PosSide::ALL {
            if !self.account(account).holding(instrument).position(side).lots.is_zero() {
                self.publish_position(account, instrument, side);
            }
        }
        self.publish_account(account);
        Ok(())
    }

    /// Sets one-way or hedge mode for all contracts.
    ///
    /// # Errors
    /// When a position or an order exists.
    pub fn set_hold_mode(&mut self, account: AccountId, mode: HoldMode) -> Result<(), Reject> {
        let account = &mut self.accounts[account.index()];
        if account.hold_mode == mode {
            return Ok(());
        }
        if account.is_exposed() || !account.open.is_empty() {
            return Err(Reject::HOLD_MODE_BUSY);
        }
        account.hold_mode = mode;
        Ok(())
    }

    /// Sets how margin is kept in a contract. Only crossed margin is offered.
    ///
    /// # Errors
    /// For isolated margin.
    pub fn set_margin_mode(
        &mut self,
        account: AccountId,
        instrument: InstrumentId,
        mode: MarginMode,
    ) -> Result<(), Reject> {
        if mode == MarginMode::Isolated {
            return Err(Reject::MARGIN_MODE);
        }
        self.accounts[account.index()].holdings[instrument.index()].margin_mode = mode;
        Ok(())
    }

    /// An account's money.
    pub fn account_view(&self, account: AccountId) -> AccountView {
        let margin = self.margin(account);
        let balance = self.account(account).balance;
        let equity = balance + margin.unrealized;
        AccountView {
            account,
            balance,
            unrealized: margin.unrealized,
            equity,
            initial_margin: margin.initial(),
            order_margin: margin.orders,
            maintenance_margin: margin.maintenance,
            available: Quote((equity - margin.initial()).0.max(0)),
            margin_ratio: match margin.maintenance.is_zero() {
                true => Rate::ZERO,
                false => margin.maintenance.share_of(equity).unwrap_or(Rate(i64::MAX)),
            },
            at: self.now,
        }
    }

    /// An account's open positions, by contract and side.
    pub fn positions(&self, account: AccountId) -> Vec<PositionView> {
        let mut views = Vec::new();
        for market in &self.instruments {
            for side in PosSide::ALL {
                if !self.account(account).holding(market.id).position(side).lots.is_zero() {
                    views.push(self.position_view(account, market.id, side));
                }
            }
        }
        views
    }

    /// One position of an account, open or not.
    pub fn position_view(
        &self,
        account: AccountId,
        instrument: InstrumentId,
        pos_side: PosSide,
    ) -> PositionView {
        let market = self.instrument(instrument);
        let case = self.case(account, market);
        let position = case.holding.position(pos_side);
        let signed = case.value(pos_side);
        let value = signed.abs();
        let closing = self
            .closing_orders(account, instrument, pos_side)
            .fold(0, |sum, order| sum + order.left().0);
        let grids = market.rules.grids;
        let mmr = market.rules.tier(value).mmr;
        PositionView {
            account,
            instrument,
            pos_side,
            position: position.clone(),
            locked: keel_core::units::Lots(closing.min(position.lots.abs().0)),
            leverage: case.leverage,
            margin_mode: case.holding.margin_mode,
            hold_mode: case.hold_mode,
            average_price: grids.average(position.entry, position.lots),
            mark: market.marks.mark,
            value,
            unrealized: case.unrealized_of(pos_side),
            initial_margin: over(value, case.leverage),
            mmr,
            liquidation_price: self.liquidation_price(account, market.marks.mark, signed, mmr),
            break_even_price: break_even(&case, pos_side),
            at: self.now,
        }
    }

    /// Where the mark would have to go, all else standing still and the tier staying, for
    /// maintenance to reach equity: `equity + (m/M − 1)·V = others + r·|V|·m/M` solved for `m`.
    fn liquidation_price(
        &self,
        account: AccountId,
        mark: Price,
        value: Quote,
        mmr: Rate,
    ) -> Option<Price> {
        if value.is_zero() {
            return None;
        }
        let margin = self.margin(account);
        let own = value.abs().times_rounded_up(mmr);
        let equity = self.account(account).balance + margin.unrealized;
        let spare = i128::from((equity - (margin.maintenance - own)).0);
        let signed = i128::from(value.0);
        let top = (signed - spare) * i128::from(E8);
        let bottom = signed * i128::from(E8) - i128::from(mmr.0) * signed.abs();
        let price = i128::from(mark.0).checked_mul(top)? / bottom;
        i64::try_from(price).ok().filter(|price| *price > 0).map(Price)
    }

    pub(super) fn margin(&self, account: AccountId) -> Margin {
        self.instruments
            .iter()
            .fold(Margin::default(), |sum, market| sum.plus(self.case(account, market).margin()))
    }

    pub(super) fn margin_without(&self, account: AccountId, instrument: InstrumentId) -> Margin {
        self.instruments
            .iter()
            .filter(|market| market.id != instrument)
            .fold(Margin::default(), |sum, market| sum.plus(self.case(account, market).margin()))
    }

    pub(super) fn case<'a>(&'a self, account: AccountId, market: &'a Instrument) -> Case<'a> {
        let account = self.account(account);
        let holding = account.holding(market.id);
        Case {
            rules: &market.rules,
            mark: market.marks.mark,
            fees: account.fees_in(market.id, &market.rules),
            hold_mode: account.hold_mode,
            holding,
            opening: holding.opening,
            leverage: holding.leverage,
        }
    }

    pub(super) fn publish_account(&mut self, account: AccountId) {
        let view = self.account_view(account);
        self.events.push(VenueEvent::Account(Box::new(view)));
    }

    pub(super) fn publish_position(
        &mut self,
        account: AccountId,
        instrument: InstrumentId,
        side: PosSide,
    ) {
        let view = self.position_view(account, instrument, side);
        self.events.push(VenueEvent::Position(Box::new(view)));
    }
}

/// The price at which closing with a taker fee brings the position's whole life to zero:
/// `lots·p − entry + realized − fees + funding − taker·|lots|·p = 0` solved for `p`.
fn break_even(case: &Case<'_>, side: PosSide) -> Price {
    let position = case.holding.position(side);
    if position.lots.is_zero() {
        return Price::ZERO;
    }
    let fees = position.open_fee + position.close_fee;
    let life = position.realized - fees + position.funding;
    let e8 = i128::from(E8);
    let lots = i128::from(position.lots.0);
    let size = case.rules.grids.size;
    let top =
        (position.entry - i128::from(life.0)) * i128::from(POW10[usize::from(size.scale)]) * e8;
    let bottom = (lots * e8 - i128::from(case.fees.taker.0) * lots.abs()) * i128::from(size.step);
    i64::try_from(top / bottom).map_or(Price::ZERO, Price)
}
