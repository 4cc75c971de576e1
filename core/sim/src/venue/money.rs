//! Money: accounts, their settings, and what the mark makes of them.

use std::collections::{BTreeMap, VecDeque};

use keel_core::decimal::POW10;
use keel_core::units::{E8, Price, Quote, Rate, UnixNanos};

use super::{Ids, Instrument, Venue};
use crate::account::{
    Account, AccountId, AccountView, Bill, BillKind, DEPOSITS_MAX, Fees, Holding, NewAccount,
    PositionView, Strategies, SubAccount, Totals,
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
            sub: None,
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
        if amount > self.account_view(account).withdrawable {
            return Err(Reject::BALANCE);
        }
        self.transfer(account, -amount, BillKind::TransferOut);
        Ok(())
    }

    /// Moves money from one account to another; gives the number of the payer's record.
    ///
    /// # Errors
    /// When the amount is not positive, or so much is not free.
    pub fn transfer_between(
        &mut self,
        from: AccountId,
        to: AccountId,
        amount: Quote,
        now: UnixNanos,
    ) -> Result<u64, Reject> {
        self.advance(now);
        if amount.0 <= 0 {
            return Err(Reject::AMOUNT_RANGE);
        }
        if amount > self.account_view(from).withdrawable {
            return Err(Reject::TRANSFER_MAX);
        }
        self.transfer(from, -amount, BillKind::TransferOut);
        self.transfer(to, amount, BillKind::TransferIn);
        let bills = self.account(from).bills.iter().rev();
        let mut out = bills.filter(|bill| bill.kind == BillKind::TransferOut);
        Ok(out.next().expect("just booked").id)
    }

    /// Says what its parent makes of a sub-account.
    pub fn set_sub(&mut self, account: AccountId, sub: SubAccount) {
        self.accounts[account.index()].sub = Some(sub);
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

    /// Sets an account's leverage for crossed margin in a contract.
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
        if case.holding.margin_mode == MarginMode::Crossed {
            let lowers = leverage < case.leverages[0];
            case.leverages = [leverage; 2];
            let exposure = case.exposure();
            if !exposure.worst.is_zero() && leverage > rules.tier(exposure.largest).leverage_max {
                return Err(Reject::LEVERAGE_RANGE);
            }
            let whole = self.margin_without(account, instrument).plus(case.margin());
            if lowers && whole.initial() > whole.equity(self.account(account).balance) {
                return Err(Reject::LEVERAGE_MARGIN);
            }
        }
        self.accounts[account.index()].holdings[instrument.index()].leverage = leverage;
        self.publish_holding(account, instrument);
        Ok(())
    }

    /// Sets an account's leverages for isolated margin in a contract, of longs, of shorts, or of
    /// both. A position whose leverage is lowered is given the margin that it then lacks.
    ///
    /// # Errors
    /// As for [`Venue::set_leverage`].
    pub fn set_isolated_leverage(
        &mut self,
        account: AccountId,
        instrument: InstrumentId,
        leverages: [Option<u32>; 2],
        now: UnixNanos,
    ) -> Result<(), Reject> {
        self.advance(now);
        let market = self.instrument(instrument);
        let rules = &market.rules;
        let mut case = self.case(account, market);
        let mut wanted = case.holding.isolated_leverage;
        for (wanted, leverage) in wanted.iter_mut().zip(leverages) {
            *wanted = leverage.unwrap_or(*wanted);
            if *wanted < rules.leverage_min || *wanted > rules.leverage_max {
                return Err(Reject::LEVERAGE_RANGE);
            }
        }
        let mut lacks = [Quote::ZERO; 3];
        if case.holding.margin_mode == MarginMode::Isolated {
            case.leverages = wanted;
            let exposure = case.exposure();
            let highest = wanted[0].max(wanted[1]);
            if !exposure.worst.is_zero() && highest > rules.tier(exposure.largest).leverage_max {
                return Err(Reject::LEVERAGE_RANGE);
            }
            for pos_side in PosSide::ALL {
                let value = case.value(pos_side);
                let asked = over(value.abs(), wanted[usize::from(value.0 < 0)]);
                let kept = case.holding.position(pos_side).margin;
                lacks[pos_side.index()] = Quote((asked - kept).0.max(0));
            }
            let more = lacks.iter().fold(Quote::ZERO, |sum, lack| sum + *lack);
            let whole = self.margin_without(account, instrument).plus(case.margin());
            let lowers = case.holding.isolated_leverage.iter().zip(wanted).any(|(is, to)| to < *is);
            if lowers && whole.initial() + more > whole.equity(self.account(account).balance) {
                return Err(Reject::LEVERAGE_MARGIN);
            }
            if !lowers {
                lacks = [Quote::ZERO; 3];
            }
        }
        let holding = &mut self.accounts[account.index()].holdings[instrument.index()];
        holding.isolated_leverage = wanted;
        for pos_side in PosSide::ALL {
            let lack = lacks[pos_side.index()];
            if !lack.is_zero() {
                let kind = BillKind::LeverageMargin;
                self.move_margin(account, instrument, pos_side, lack, kind);
            }
        }
        self.publish_holding(account, instrument);
        Ok(())
    }

    /// Gives margin to an isolated position, or takes it back when `amount` is negative.
    ///
    /// # Errors
    /// Without such a position, in crossed mode, when so much is not free, or when the position
    /// would keep less than its leverage asks at the mark, its loss counted.
    pub fn set_margin(
        &mut self,
        account: AccountId,
        instrument: InstrumentId,
        pos_side: PosSide,
        amount: Quote,
        now: UnixNanos,
    ) -> Result<(), Reject> {
        self.advance(now);
        let case = self.case(account, self.instrument(instrument));
        if case.holding.position(pos_side).lots.is_zero() {
            return Err(Reject::NO_POSITION);
        }
        if case.holding.margin_mode == MarginMode::Crossed {
            return Err(Reject::NOT_ISOLATED);
        }
        if amount.0 > 0 && amount > self.account_view(account).available {
            return Err(Reject::MARGIN);
        }
        let value = case.value(pos_side);
        let asked = over(value.abs(), case.leverages[usize::from(value.0 < 0)]);
        let loss = Quote(case.unrealized_of(pos_side).0.min(0));
        let spare = case.holding.position(pos_side).margin + loss - asked;
        if amount.0 < 0 && -amount > spare {
            let text = format!("The maximum reducible amount is {} USDT", usdt(spare));
            return Err(Reject::with(25242, text));
        }
        self.move_margin(account, instrument, pos_side, amount, BillKind::Margin);
        self.publish_holding(account, instrument);
        Ok(())
    }

    /// Moves money between the free part of a wallet and an isolated position.
    fn move_margin(
        &mut self,
        account: AccountId,
        instrument: InstrumentId,
        pos_side: PosSide,
        amount: Quote,
        kind: BillKind,
    ) {
        let holding = &mut self.accounts[account.index()].holdings[instrument.index()];
        holding.positions[pos_side.index()].margin += amount;
        holding.positions[pos_side.index()].updated = self.now;
        let (instrument, amount) = (Some(instrument), -amount);
        let bill = Bill { kind, instrument, isolated: true, amount, ..Bill::blank(self.now) };
        self.book_bill(account, bill);
    }

    /// Tells of the positions of an account in a contract, and of its money.
    fn publish_holding(&mut self, account: AccountId, instrument: InstrumentId) {
        for side in PosSide::ALL {
            if !self.account(account).holding(instrument).position(side).lots.is_zero() {
                self.publish_position(account, instrument, side);
            }
        }
        self.publish_account(account);
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

    /// Sets how margin is kept in a contract. `replaced` orders of it are about to go.
    ///
    /// # Errors
    /// When a position or another order there is kept otherwise.
    pub(super) fn set_margin_mode(
        &mut self,
        account: AccountId,
        instrument: InstrumentId,
        mode: MarginMode,
        replaced: u32,
    ) -> Result<(), Reject> {
        let holding = &mut self.accounts[account.index()].holdings[instrument.index()];
        if holding.margin_mode != mode && (holding.is_held() || holding.orders > replaced) {
            return Err(Reject::MARGIN_MODE_BUSY);
        }
        holding.margin_mode = mode;
        Ok(())
    }

    /// An account's money.
    pub fn account_view(&self, account: AccountId) -> AccountView {
        let margin = self.margin(account);
        let balance = self.account(account).balance;
        let unrealized = margin.unrealized + margin.isolated_unrealized;
        let equity = margin.equity(balance);
        let available = Quote((equity - margin.initial()).0.max(0));
        AccountView {
            account,
            balance,
            unrealized,
            equity: balance + unrealized,
            initial_margin: margin.initial() + margin.isolated,
            order_margin: margin.orders,
            maintenance_margin: margin.maintenance,
            available,
            withdrawable: available.min(balance - margin.isolated),
            margin_ratio: ratio(margin.maintenance, equity),
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
        let own = case.maintenance_of(pos_side);
        let isolated = case.holding.margin_mode == MarginMode::Isolated;
        // What bears the position and what else that has to bear.
        let (equity, others, initial_margin) = if isolated {
            let unrealized = case.unrealized_of(pos_side);
            (position.margin + unrealized, Quote::ZERO, position.margin)
        } else {
            let margin = self.margin(account);
            let equity = margin.equity(self.account(account).balance);
            (equity, margin.maintenance - own, over(value, case.leverages[0]))
        };
        PositionView {
            account,
            instrument,
            pos_side,
            position: position.clone(),
            locked: keel_core::units::Lots(closing.min(position.lots.abs().0)),
            leverage: case.leverages[usize::from(signed.0 < 0)],
            margin_mode: case.holding.margin_mode,
            hold_mode: case.hold_mode,
            average_price: grids.average(position.entry, position.lots),
            mark: market.marks.mark,
            value,
            unrealized: case.unrealized_of(pos_side),
            initial_margin,
            mmr,
            margin_ratio: ratio(others + own, equity),
            liquidation_price: liquidation_price(market.marks.mark, signed, mmr, equity - others),
            break_even_price: break_even(&case, pos_side),
            at: self.now,
        }
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
            leverages: holding.leverages(),
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

/// Maintenance over what bears it; the highest rate when that is not positive.
fn ratio(maintenance: Quote, equity: Quote) -> Rate {
    match maintenance.is_zero() {
        true => Rate::ZERO,
        false => maintenance.share_of(equity).unwrap_or(Rate(i64::MAX)),
    }
}

/// Where the mark would have to go, all else standing still and the tier staying, for maintenance
/// to use up what is `spare` for it: `spare + (m/M − 1)·V = r·|V|·m/M` solved for `m`.
fn liquidation_price(mark: Price, value: Quote, mmr: Rate, spare: Quote) -> Option<Price> {
    if value.is_zero() {
        return None;
    }
    let signed = i128::from(value.0);
    let top = (signed - i128::from(spare.0)) * i128::from(E8);
    let bottom = signed * i128::from(E8) - i128::from(mmr.0) * signed.abs();
    let price = i128::from(mark.0).checked_mul(top)? / bottom;
    i64::try_from(price).ok().filter(|price| *price > 0).map(Price)
}

/// Money as a client reads it, to the cent that is there for certain.
fn usdt(money: Quote) -> String {
    let cents = money.0.max(0) / 1_000_000;
    format!("{}.{:02}", cents / 100, cents % 100)
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
