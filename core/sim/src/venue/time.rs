//! Time: what happens without anybody asking: funding, countdowns, liquidation.

use keel_core::units::{Lots, Quote, Side, UnixNanos};

use super::contract::{FUNDINGS_MAX, FundingRate};
use super::{Ids, Venue};
use crate::account::{AccountId, Bill, BillKind, push_bounded};
use crate::event::{Funding, Liquidation, VenueEvent};
use crate::funding;
use crate::instrument::InstrumentId;
use crate::order::{
    CancelReason, Order, OrderId, OrderKind, OrderSource, OrderStatus, PosSide, Role, StpMode,
    TimeInForce, TradeId,
};
use crate::reject::Reject;

impl Venue {
    /// When [`Venue::advance`] is next needed: a funding or a countdown; none without contracts.
    pub fn deadline(&self) -> Option<UnixNanos> {
        (self.due.0 < i64::MAX).then_some(self.due)
    }

    /// Lets time pass to `now`: settles funding and runs countdowns out, in the order of their
    /// instants.
    pub fn advance(&mut self, now: UnixNanos) {
        while self.due <= now {
            let at = self.due;
            self.now = self.now.max(at);
            for i in 0..self.instruments.len() {
                let market = &mut self.instruments[i];
                if market.next_funding <= at {
                    let hours = market.rules.fund_interval_hours;
                    market.next_funding = funding::next_instant(hours, at);
                    let id = market.id;
                    self.settle(id, at);
                }
            }
            for i in 0..self.accounts.len() {
                let account = &mut self.accounts[i];
                if account.countdown.is_some_and(|due| due <= at) {
                    account.countdown = None;
                    let id = account.id;
                    self.cancel_open(id, None, CancelReason::Normal);
                }
            }
            self.find_due();
        }
        self.now = self.now.max(now);
        self.fire_strategies();
    }

    /// Reduces a position at the mark to cover another's liquidation (auto-deleveraging): up to
    /// `lots` of it. The account's orders in the contract are canceled first.
    ///
    /// # Errors
    /// When there is no such position.
    pub fn deleverage(
        &mut self,
        account: AccountId,
        instrument: InstrumentId,
        pos_side: PosSide,
        lots: Lots,
        now: UnixNanos,
    ) -> Result<(), Reject> {
        self.advance(now);
        let held = self.account(account).holding(instrument).position(pos_side).lots;
        if held.is_zero() || lots.0 <= 0 {
            return Err(Reject::NOTHING_TO_CLOSE);
        }
        self.cancel_open(account, Some(instrument), CancelReason::Adl);
        let part = Lots(lots.0.min(held.abs().0) * held.0.signum());
        let taken = self.take_over(account, instrument, pos_side, part, OrderSource::Adl);
        self.events.push(VenueEvent::Adl(taken));
        Ok(())
    }

    /// Settles funding of a contract at once; its grid stays as it is.
    pub fn settle_funding(&mut self, instrument: InstrumentId, now: UnixNanos) {
        self.advance(now);
        self.settle(instrument, self.now);
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
        self.advance(now);
        let due = match seconds {
            0 => None,
            5..=60 => Some(UnixNanos(self.now.0 + i64::from(seconds) * 1_000_000_000)),
            _ => return Err(Reject::COUNTDOWN_RANGE),
        };
        self.accounts[account.index()].countdown = due;
        self.find_due();
        Ok(())
    }

    pub(super) fn find_due(&mut self) {
        let fundings = self.instruments.iter().map(|market| market.next_funding);
        let countdowns = self.accounts.iter().filter_map(|account| account.countdown);
        self.due = fundings.chain(countdowns).min().unwrap_or(UnixNanos(i64::MAX));
    }

    /// Settles funding with every position of a contract, at its mark and its last published rate.
    fn settle(&mut self, instrument: InstrumentId, at: UnixNanos) {
        let market = &mut self.instruments[instrument.index()];
        let (rate, mark, grids) =
            (market.marks.funding_rate, market.marks.mark, market.rules.grids);
        push_bounded(&mut market.fundings, FundingRate { rate, at }, FUNDINGS_MAX);
        for i in 0..self.accounts.len() {
            if self.accounts[i].house || !self.accounts[i].holdings[instrument.index()].is_held() {
                continue;
            }
            let account = self.accounts[i].id;
            for side in PosSide::ALL {
                let position =
                    &mut self.accounts[i].holdings[instrument.index()].positions[side.index()];
                let lots = position.lots;
                if lots.is_zero() {
                    continue;
                }
                let amount = funding::payment(&grids, lots, mark, rate);
                position.funding += amount;
                self.accounts[i].totals.funding += amount;
                let kind = match amount.0 {
                    0.. => BillKind::FundingIn,
                    _ => BillKind::FundingOut,
                };
                let instrument_of = Some(instrument);
                let bill = Bill { kind, instrument: instrument_of, amount, ..Bill::blank(at) };
                self.book_bill(account, bill);
                let position = lots;
                let settled = Funding { account, instrument, position, rate, mark, amount, at };
                self.events.push(VenueEvent::Funding(settled));
                self.publish_position(account, instrument, side);
            }
            self.publish_account(account);
        }
        self.events.push(VenueEvent::Ticker(instrument));
        self.liquidate_due();
    }

    /// Liquidates every account whose equity has fallen to its maintenance margin.
    pub(super) fn liquidate_due(&mut self) {
        for i in 0..self.accounts.len() {
            let account = &self.accounts[i];
            let id = account.id;
            if !account.house && account.is_exposed() && self.is_due(id) {
                self.liquidate(id);
            }
        }
    }

    fn is_due(&self, account: AccountId) -> bool {
        let margin = self.margin(account);
        margin.maintenance >= self.account(account).balance + margin.unrealized
    }

    /// Cancels all orders, takes all positions over at the mark, and lets the insurance fund bear
    /// what the wallet cannot. The venue's step of reducing tier by tier is left out: a position
    /// goes whole.
    fn liquidate(&mut self, account: AccountId) {
        self.cancel_open(account, None, CancelReason::Burst);
        for i in 0..self.instruments.len() {
            let instrument = self.instruments[i].id;
            for side in PosSide::ALL {
                let lots = self.account(account).holding(instrument).position(side).lots;
                if !lots.is_zero() {
                    let source = OrderSource::Liquidation;
                    let taken = self.take_over(account, instrument, side, lots, source);
                    self.events.push(VenueEvent::Liquidation(taken));
                }
            }
        }
        let short = self.account(account).balance;
        if short < Quote::ZERO {
            self.accounts[account.index()].totals.insurance -= short;
            let kind = BillKind::Insurance;
            self.book_bill(account, Bill { kind, amount: -short, ..Bill::blank(self.now) });
        }
        self.publish_account(account);
    }

    /// Closes a position at the tick next to the mark that is worse for it. No book is touched: the
    /// venue takes the other side.
    fn take_over(
        &mut self,
        account: AccountId,
        instrument: InstrumentId,
        pos_side: PosSide,
        lots: Lots,
        source: OrderSource,
    ) -> Liquidation {
        let market = self.instrument(instrument);
        let (grids, mark) = (market.rules.grids, market.marks.mark);
        let (side, price) = match lots.0 {
            0.. => (Side::Sell, grids.floor_to_tick(mark).max(keel_core::units::Ticks(1))),
            _ => (Side::Buy, grids.ceil_to_tick(mark)),
        };
        let holding = self.account(account).holding(instrument);
        let (margin_mode, leverage) = (holding.margin_mode, holding.leverage);
        let id = OrderId(Ids::next(&mut self.ids.order));
        let (size, at) = (lots.abs(), self.now);
        self.register(Order {
            id,
            account,
            instrument,
            grids,
            client_id: id.0.to_string().into(),
            side,
            pos_side,
            kind: OrderKind::Market,
            price: keel_core::units::Ticks::ZERO,
            size,
            time_in_force: TimeInForce::Ioc,
            reduce_only: pos_side == PosSide::Net,
            stp: StpMode::None,
            margin_mode,
            leverage,
            source,
            filled: Lots::ZERO,
            filled_value: Quote::ZERO,
            fee: Quote::ZERO,
            realized: Quote::ZERO,
            status: OrderStatus::Live,
            cancel_reason: None,
            created: at,
            updated: at,
        });
        let trade = TradeId(Ids::next(&mut self.ids.trade));
        self.fill(id, trade, Role::Taker, price, size);
        Liquidation { account, instrument, side, price, size, at }
    }
}
