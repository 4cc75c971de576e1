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
    CancelReason, MarginMode, Order, OrderId, OrderKind, OrderSource, OrderStatus, PosSide, Role,
    StpMode, TimeInForce, TradeId,
};
use crate::position::Position;
use crate::reject::Reject;

/// A position of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Held {
    account: AccountId,
    instrument: InstrumentId,
    pos_side: PosSide,
}

/// What bears a loss: the account for its crossed positions, an isolated one for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bearer {
    Crossed(AccountId),
    Isolated(Held),
}

impl Bearer {
    const fn account(self) -> AccountId {
        match self {
            Self::Crossed(account) | Self::Isolated(Held { account, .. }) => account,
        }
    }
}

/// What is done next to one that is due.
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
        while let Some(bearer) = self.find_bearer() {
            self.liquidate(bearer);
        }
    }

    fn find_bearer(&self) -> Option<Bearer> {
        let clients = self.accounts.iter().filter(|account| !account.house && account.is_exposed());
        clients.map(|account| account.id).find_map(|account| {
            let crossed = Bearer::Crossed(account);
            if self.is_due(crossed) {
                return Some(crossed);
            }
            let isolated = self.positions_kept(account, MarginMode::Isolated);
            isolated.map(Bearer::Isolated).find(|bearer| self.is_due(*bearer))
        })
    }

    fn is_due(&self, bearer: Bearer) -> bool {
        let maintenance = match bearer {
            Bearer::Crossed(account) => self.margin(account).maintenance,
            Bearer::Isolated(held) => self.maintenance_of(held),
        };
        !maintenance.is_zero() && maintenance >= self.equity(bearer)
    }

    /// The money that bears it, without profit.
    fn cash(&self, bearer: Bearer) -> Quote {
        match bearer {
            Bearer::Crossed(account) => {
                self.account(account).balance - self.margin(account).isolated
            }
            Bearer::Isolated(held) => self.position_of(held).margin,
        }
    }

    fn equity(&self, bearer: Bearer) -> Quote {
        let profit = |held: &Held| {
            let market = self.instrument(held.instrument);
            self.case(held.account, market).unrealized_of(held.pos_side)
        };
        self.borne(bearer).iter().fold(self.cash(bearer), |sum, held| sum + profit(held))
    }

    fn liquidate(&mut self, bearer: Bearer) {
        let account = bearer.account();
        let scope = match bearer {
            Bearer::Crossed(_) => None,
            Bearer::Isolated(held) => Some(held.instrument),
        };
        self.cancel_open(account, scope, CancelReason::Burst);
        while self.is_due(bearer) {
            let Some(relief) = self.relief(bearer) else { break };
            match relief {
                Relief::Net(instrument, lots) => self.net(account, instrument, lots),
                Relief::Reduce(held, lots) => self.force(held, lots, OrderSource::Reduce),
                Relief::TakeOver(held) => self.take_over(bearer, held),
            }
        }
        self.cover(account);
        self.publish_account(account);
    }

    /// The next step: netting, then reduction by tiers, then taking over. Who is bankrupt at the
    /// mark gains nothing by being reduced; the largest position then goes last.
    fn relief(&self, bearer: Bearer) -> Option<Relief> {
        let positions = self.borne(bearer);
        if matches!(bearer, Bearer::Crossed(_)) {
            for held in positions.iter().filter(|held| held.pos_side == PosSide::Long) {
                let other = Held { pos_side: PosSide::Short, ..*held };
                let both = self.lots_of(*held).0.min(self.lots_of(other).0.abs());
                if both > 0 {
                    return Some(Relief::Net(held.instrument, Lots(both)));
                }
            }
        }
        let weight = |held: &&Held| self.maintenance_of(**held);
        let costs = positions.iter().fold(Quote::ZERO, |sum, held| sum + self.cost_of(*held));
        if self.equity(bearer) < costs {
            return positions.iter().min_by_key(weight).copied().map(Relief::TakeOver);
        }
        let reducible = positions.iter().filter(|held| self.excess(**held).is_some());
        if let Some(held) = reducible.max_by_key(weight) {
            return Some(Relief::Reduce(*held, self.excess(*held)?));
        }
        positions.iter().max_by_key(weight).copied().map(Relief::TakeOver)
    }

    /// The positions that it bears.
    fn borne(&self, bearer: Bearer) -> Vec<Held> {
        match bearer {
            Bearer::Crossed(account) => self.positions_kept(account, MarginMode::Crossed).collect(),
            Bearer::Isolated(held) if self.lots_of(held).is_zero() => Vec::new(),
            Bearer::Isolated(held) => vec![held],
        }
    }

    /// The account's positions whose margin is kept in this mode.
    fn positions_kept(
        &self,
        account: AccountId,
        mode: MarginMode,
    ) -> impl Iterator<Item = Held> + '_ {
        let holdings = self.account(account).holdings.iter().zip(&self.instruments);
        let kept = holdings.filter(move |(holding, _)| holding.margin_mode == mode);
        kept.flat_map(move |(holding, market)| {
            let held =
                PosSide::ALL.into_iter().filter(|side| !holding.position(*side).lots.is_zero());
            held.map(move |pos_side| Held { account, instrument: market.id, pos_side })
        })
    }

    fn maintenance_of(&self, held: Held) -> Quote {
        self.case(held.account, self.instrument(held.instrument)).maintenance_of(held.pos_side)
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
    fn take_over(&mut self, bearer: Bearer, held: Held) {
        let last = self.borne(bearer).len() == 1;
        let after = self.equity(bearer) - self.cost_of(held);
        if last && after < Quote::ZERO && self.fund.balance() < -after {
            return self.deleverage_others(bearer, held);
        }
        self.force(held, self.lots_of(held), OrderSource::Liquidation);
    }

    /// Closes a position at the price at which nothing is left of what bears it, against the
    /// positions of the other side: those of clients by rank, then those of agents, which bear it
    /// in silence. The rest, if there is any, the fund takes.
    fn deleverage_others(&mut self, bearer: Bearer, held: Held) {
        let price = self.bankruptcy_tick(bearer, held);
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
            self.forced_fill(id, trade, Role::Taker, price, Lots(part));
            self.forced_fill(reduced, trade, Role::Maker, price, Lots(part));
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
                self.forced_fill(order, trade, Role::Taker, price, Lots(part));
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

    /// The tick at which closing the last position leaves nothing of what bears it, or a little.
    fn bankruptcy_tick(&self, bearer: Bearer, held: Held) -> Ticks {
        let quantum = i128::from(self.instrument(held.instrument).rules.grids.quantum());
        let position = self.position_of(held);
        let lots = i128::from(position.lots.0);
        // cash + price · lots − entry = 0, in whole ticks and in favor of whoever is closed.
        let wanted = position.entry - i128::from(self.cash(bearer).0);
        let ticks = wanted.div_euclid(quantum * lots);
        let ticks = if ticks * quantum * lots < wanted { ticks + lots.signum() } else { ticks };
        Ticks(i64::try_from(ticks).unwrap_or(i64::MAX).max(1))
    }

    /// Lets the fund pay what an account without crossed positions owes.
    fn cover(&mut self, account: AccountId) {
        let cash = self.cash(Bearer::Crossed(account));
        if cash < Quote::ZERO && self.borne(Bearer::Crossed(account)).is_empty() {
            self.insure(account, -cash, false);
        }
    }

    /// Lets the fund pay `amount` for an account.
    fn insure(&mut self, account: AccountId, amount: Quote, isolated: bool) {
        self.fund.add(-amount, self.now);
        self.accounts[account.index()].totals.insurance += amount;
        let kind = BillKind::Insurance;
        self.book_bill(account, Bill { kind, isolated, amount, ..Bill::blank(self.now) });
    }

    /// Fills an order that the venue has made, and lets the fund bear what an isolated position's
    /// margin cannot. Gives the fee.
    fn forced_fill(
        &mut self,
        order: OrderId,
        trade: TradeId,
        role: Role,
        price: Ticks,
        size: Lots,
    ) -> Quote {
        let account = self.kept(order).order.account;
        let cost = self.fill(order, trade, role, price, size);
        if cost.short > Quote::ZERO {
            self.insure(account, cost.short, true);
        }
        cost.fee
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
        let fee = self.forced_fill(order, trade, Role::Taker, price, lots.abs());
        self.fund.take(instrument, lots, i128::from(value.0));
        self.fund.add(fee, self.now);
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

    fn position_of(&self, held: Held) -> &Position {
        self.account(held.account).holding(held.instrument).position(held.pos_side)
    }

    fn lots_of(&self, held: Held) -> Lots {
        self.position_of(held).lots
    }

    /// Makes the order by which the venue closes `lots` of a position.
    fn forced_order(&mut self, held: Held, lots: Lots, source: OrderSource) -> OrderId {
        let Held { account, instrument, pos_side } = held;
        let holding = self.account(account).holding(instrument);
        let leverage = holding.leverages()[usize::from(lots.0 < 0)];
        let margin_mode = holding.margin_mode;
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
