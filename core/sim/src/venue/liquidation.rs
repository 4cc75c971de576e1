//! Liquidation: what the venue does to an account whose equity has fallen to its maintenance
//! margin, and to those on the other side when it cannot bear the rest.
//!
//! The steps are the venue's (reference §15), each followed by a new look at the margin: all open
//! orders are canceled; a long and a short of one contract are netted; the position that asks the
//! most maintenance is reduced to the next lower tier, again and again; in the lowest tier it is
//! taken over whole. All of it happens at the tick next to the mark that is worse for the position.
//! What the account cannot pay the insurance fund pays; when the fund cannot, the last position is
//! closed at its bankruptcy price against the positions of the other side, by rank.

use std::cmp::Reverse;

use keel_core::units::{Lots, Quote, Side, Ticks, UnixNanos};

use super::{Ids, Venue};
use crate::account::{AccountId, Bill, BillKind};
use crate::event::{Liquidation, VenueEvent};
use crate::instrument::InstrumentId;
use crate::margin::fee_on;
use crate::order::{
    CancelReason, HoldMode, Order, OrderId, OrderKind, OrderSource, OrderStatus, PosSide, Role,
    StpMode, TimeInForce, TradeId,
};
use crate::reject::Reject;

/// A position of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Held {
    account: AccountId,
    instrument: InstrumentId,
    pos_side: PosSide,
}

/// What is done next to an account that is due.
enum Relief {
    Net(InstrumentId, Lots),
    Reduce(Held, Lots),
    TakeOver(Held),
}

impl Venue {
    /// Reduces a position at the mark as auto-deleveraging does: up to `lots` of it. The account's
    /// orders in the contract are canceled first.
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
        let held = Held { account, instrument, pos_side };
        let whole = self.lots_of(held);
        if whole.is_zero() || lots.0 <= 0 {
            return Err(Reject::NOTHING_TO_CLOSE);
        }
        self.cancel_open(account, Some(instrument), CancelReason::Adl);
        let part = Lots(lots.0.min(whole.abs().0) * whole.0.signum());
        let taken = self.close_at_mark(held, part, OrderSource::Adl);
        self.events.push(VenueEvent::Adl(taken));
        self.liquidate_due();
        Ok(())
    }

    /// Liquidates until nobody is due: deleveraging may have brought others down.
    pub(super) fn liquidate_due(&mut self) {
        while let Some(account) = self.find_due_account() {
            self.liquidate(account);
        }
    }

    fn find_due_account(&self) -> Option<AccountId> {
        let clients = self.accounts.iter().filter(|account| !account.house);
        clients.filter(|a| a.is_exposed()).map(|a| a.id).find(|id| self.is_due(*id))
    }

    fn is_due(&self, account: AccountId) -> bool {
        let margin = self.margin(account);
        !margin.maintenance.is_zero() && margin.maintenance >= self.equity(account)
    }

    fn equity(&self, account: AccountId) -> Quote {
        self.account(account).balance + self.margin(account).unrealized
    }

    fn liquidate(&mut self, account: AccountId) {
        self.cancel_open(account, None, CancelReason::Burst);
        while self.is_due(account) {
            let Some(relief) = self.relief(account) else { break };
            match relief {
                Relief::Net(instrument, lots) => self.net(account, instrument, lots),
                Relief::Reduce(held, lots) => self.force(held, lots, OrderSource::Reduce),
                Relief::TakeOver(held) => self.take_over(held),
            }
        }
        self.cover(account);
        self.publish_account(account);
    }

    /// The next step: netting, then reduction by tiers, then taking over. An account that is
    /// bankrupt at the mark gains nothing by being reduced; its largest position goes last.
    fn relief(&self, account: AccountId) -> Option<Relief> {
        let positions = self.exposures(account);
        if self.account(account).hold_mode == HoldMode::Hedge {
            for (held, _) in positions.iter().filter(|(held, _)| held.pos_side == PosSide::Long) {
                let other = Held { pos_side: PosSide::Short, ..*held };
                let both = self.lots_of(*held).0.min(self.lots_of(other).0.abs());
                if both > 0 {
                    return Some(Relief::Net(held.instrument, Lots(both)));
                }
            }
        }
        let costs = positions.iter().fold(Quote::ZERO, |sum, (held, _)| sum + self.cost_of(*held));
        if self.equity(account) < costs {
            let smallest = positions.iter().min_by_key(|(_, maintenance)| *maintenance)?;
            return Some(Relief::TakeOver(smallest.0));
        }
        let by_weight = |(_, maintenance): &&(Held, Quote)| Reverse(*maintenance);
        let reducible = positions.iter().filter(|(held, _)| self.excess(*held).is_some());
        if let Some((held, _)) = reducible.min_by_key(by_weight) {
            return Some(Relief::Reduce(*held, self.excess(*held)?));
        }
        positions.iter().min_by_key(by_weight).map(|(held, _)| Relief::TakeOver(*held))
    }

    /// The account's positions with their maintenance margins.
    fn exposures(&self, account: AccountId) -> Vec<(Held, Quote)> {
        let mut out = Vec::new();
        for market in &self.instruments {
            for pos_side in PosSide::ALL {
                let held = Held { account, instrument: market.id, pos_side };
                if !self.lots_of(held).is_zero() {
                    let value = self.case(account, market).value(pos_side).abs();
                    let mmr = market.rules.tier(value).mmr;
                    out.push((held, value.times_rounded_up(mmr)));
                }
            }
        }
        out
    }

    /// What of a position lies above the next lower tier, signed as the position; none in the
    /// lowest tier.
    fn excess(&self, held: Held) -> Option<Lots> {
        let market = self.instrument(held.instrument);
        let value = self.case(held.account, market).value(held.pos_side).abs();
        let below = market.rules.tier(value).start;
        if below.is_zero() {
            return None;
        }
        let lots = self.lots_of(held);
        let left = market.rules.grids.lots_within(market.marks.mark, below);
        Some(Lots((lots.abs().0 - left.0).max(1) * lots.0.signum()))
    }

    /// What it would cost to close a position now: the fee, and what the next tick takes.
    fn cost_of(&self, held: Held) -> Quote {
        let market = self.instrument(held.instrument);
        let lots = self.lots_of(held);
        let at_tick = market.rules.grids.value(self.worse_tick(held.instrument, lots), lots);
        let at_mark = market.rules.grids.value_at(market.marks.mark, lots);
        at_mark - at_tick + fee_on(at_tick.abs(), market.rules.liquidation_fee)
    }

    /// Nets a long and a short at one price. Nothing is traded with anybody, and there is no fee.
    fn net(&mut self, account: AccountId, instrument: InstrumentId, lots: Lots) {
        for (pos_side, sign) in [(PosSide::Long, 1), (PosSide::Short, -1)] {
            let held = Held { account, instrument, pos_side };
            let price = self.worse_tick(instrument, lots);
            self.close_at(held, Lots(lots.0 * sign), price, OrderSource::Offset);
        }
    }

    fn force(&mut self, held: Held, lots: Lots, source: OrderSource) {
        let taken = self.close_at_mark(held, lots, source);
        self.events.push(VenueEvent::Liquidation(taken));
    }

    /// Takes a position over whole, or has the other side bear what the fund cannot.
    fn take_over(&mut self, held: Held) {
        let others = self.exposures(held.account).len() - 1;
        let after = self.equity(held.account) - self.cost_of(held);
        if others == 0 && after < Quote::ZERO && self.fund.balance() < -after {
            return self.deleverage_others(held);
        }
        self.force(held, self.lots_of(held), OrderSource::Liquidation);
    }

    /// Closes a position at the price at which nothing is left of its account, against the
    /// positions of the other side: those of clients by rank, then those of agents, which bear it
    /// in silence. The rest, if there is any, the fund takes.
    fn deleverage_others(&mut self, held: Held) {
        let price = self.bankruptcy_tick(held);
        let lots = self.lots_of(held);
        let id = self.forced_order(held, lots, OrderSource::Bankruptcy);
        let mut left = lots.abs().0;
        for other in self.other_side(held) {
            let part = left.min(self.lots_of(other).abs().0);
            if part == 0 {
                continue;
            }
            self.cancel_open(other.account, Some(held.instrument), CancelReason::Adl);
            let against = Lots(-lots.0.signum() * part);
            let reduced = self.forced_order(other, against, OrderSource::Adl);
            let trade = TradeId(Ids::next(&mut self.ids.trade));
            self.fill(id, trade, Role::Taker, price, Lots(part));
            self.fill(reduced, trade, Role::Maker, price, Lots(part));
            self.events.push(VenueEvent::Adl(self.told(other, against, price)));
            self.cover(other.account);
            left -= part;
        }
        left -= self.deleverage_agents(held.instrument, Lots(lots.0.signum() * left), price, id);
        if left > 0 {
            self.hand_to_fund(id, held.instrument, Lots(lots.0.signum() * left), price);
        }
        self.events.push(VenueEvent::Liquidation(self.told(held, lots, price)));
    }

    /// Lets agents take `lots` off their positions of the other side; gives how many.
    fn deleverage_agents(
        &mut self,
        instrument: InstrumentId,
        lots: Lots,
        price: Ticks,
        order: OrderId,
    ) -> i64 {
        let mut left = lots.abs().0;
        for i in 0..self.accounts.len() {
            if !self.accounts[i].house || left == 0 {
                continue;
            }
            let grids = self.instruments[instrument.index()].rules.grids;
            let position =
                &mut self.accounts[i].holdings[instrument.index()].positions[PosSide::Net.index()];
            let part = left.min((-position.lots.0 * lots.0.signum()).max(0));
            if part > 0 {
                let moved = Lots(part * lots.0.signum());
                position.lots += moved;
                position.entry += i128::from(grids.value(price, moved).0);
                let trade = TradeId(Ids::next(&mut self.ids.trade));
                self.fill(order, trade, Role::Taker, price, Lots(part));
                left -= part;
            }
        }
        lots.abs().0 - left
    }

    /// The positions of other clients that point the other way, the highest rank first.
    fn other_side(&self, held: Held) -> Vec<Held> {
        let instrument = held.instrument;
        let sign = self.lots_of(held).0.signum();
        let mut ranked = Vec::new();
        for account in self.accounts.iter().filter(|a| !a.house && a.id != held.account) {
            for pos_side in PosSide::ALL {
                let other = Held { account: account.id, instrument, pos_side };
                if self.lots_of(other).0.signum() == -sign {
                    let view = self.position_view(account.id, instrument, pos_side);
                    ranked.push((Reverse(view.adl_score()), other));
                }
            }
        }
        ranked.sort_by_key(|(score, other)| (*score, other.account));
        ranked.into_iter().map(|(_, other)| other).collect()
    }

    /// The tick at which closing an account's last position leaves it nothing, or a little.
    fn bankruptcy_tick(&self, held: Held) -> Ticks {
        let quantum = i128::from(self.instrument(held.instrument).rules.grids.quantum());
        let position = self.account(held.account).holding(held.instrument).position(held.pos_side);
        let lots = i128::from(position.lots.0);
        // balance + price · lots − entry = 0, in whole ticks and in favor of the account.
        let wanted = position.entry - i128::from(self.account(held.account).balance.0);
        let ticks = wanted.div_euclid(quantum * lots);
        let ticks = if ticks * quantum * lots < wanted { ticks + lots.signum() } else { ticks };
        Ticks(i64::try_from(ticks).unwrap_or(i64::MAX).max(1))
    }

    /// Lets the fund pay what an account without positions owes.
    fn cover(&mut self, account: AccountId) {
        let balance = self.account(account).balance;
        if balance >= Quote::ZERO || self.account(account).is_exposed() {
            return;
        }
        self.fund.add(balance);
        self.accounts[account.index()].totals.insurance -= balance;
        let kind = BillKind::Insurance;
        self.book_bill(account, Bill { kind, amount: -balance, ..Bill::blank(self.now) });
    }

    fn close_at_mark(&mut self, held: Held, lots: Lots, source: OrderSource) -> Liquidation {
        self.close_at(held, lots, self.worse_tick(held.instrument, lots), source)
    }

    /// Closes `lots` of a position, signed as it is. No book is touched: the fund takes the other
    /// side and the fee.
    fn close_at(
        &mut self,
        held: Held,
        lots: Lots,
        price: Ticks,
        source: OrderSource,
    ) -> Liquidation {
        let id = self.forced_order(held, lots, source);
        self.hand_to_fund(id, held.instrument, lots, price);
        self.told(held, lots, price)
    }

    fn hand_to_fund(&mut self, order: OrderId, instrument: InstrumentId, lots: Lots, price: Ticks) {
        let value = self.instrument(instrument).rules.grids.value(price, lots);
        let trade = TradeId(Ids::next(&mut self.ids.trade));
        let fee = self.fill(order, trade, Role::Taker, price, lots.abs());
        self.fund.take(instrument, lots, i128::from(value.0));
        self.fund.add(fee);
    }

    fn told(&self, held: Held, lots: Lots, price: Ticks) -> Liquidation {
        let Held { account, instrument, .. } = held;
        let (side, size) = (closing_side(lots), lots.abs());
        Liquidation { account, instrument, side, price, size, at: self.now }
    }

    /// The tick next to the mark that is worse for whoever closes `lots`.
    fn worse_tick(&self, instrument: InstrumentId, lots: Lots) -> Ticks {
        let market = self.instrument(instrument);
        match closing_side(lots) {
            Side::Sell => market.rules.grids.floor_to_tick(market.marks.mark).max(Ticks(1)),
            Side::Buy => market.rules.grids.ceil_to_tick(market.marks.mark),
        }
    }

    fn lots_of(&self, held: Held) -> Lots {
        self.account(held.account).holding(held.instrument).position(held.pos_side).lots
    }

    /// Makes the order by which the venue closes `lots` of a position.
    fn forced_order(&mut self, held: Held, lots: Lots, source: OrderSource) -> OrderId {
        let Held { account, instrument, pos_side } = held;
        let holding = self.account(account).holding(instrument);
        let (margin_mode, leverage) = (holding.margin_mode, holding.leverage);
        let id = OrderId(Ids::next(&mut self.ids.order));
        let at = self.now;
        self.register(Order {
            id,
            account,
            instrument,
            grids: self.instrument(instrument).rules.grids,
            client_id: id.0.to_string().into(),
            side: closing_side(lots),
            pos_side,
            kind: OrderKind::Market,
            price: Ticks::ZERO,
            size: lots.abs(),
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
        id
    }
}

const fn closing_side(lots: Lots) -> Side {
    if lots.0 > 0 { Side::Sell } else { Side::Buy }
}
