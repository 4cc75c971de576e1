//! Strategy orders: taken, changed, fired.

use keel_core::decimal::{Decimal, Grid};
use keel_core::units::{Lots, Side, Ticks, UnixNanos};

use super::entry::decimal_of;
use super::{Ids, Venue};
use crate::account::{AccountId, push_bounded};
use crate::event::VenueEvent;
use crate::instrument::InstrumentId;
use crate::order::{
    Ack, OrderId, OrderKind, OrderRef, OrderSource, PlaceRequest, StpMode, TimeInForce,
};
use crate::reject::Reject;
use crate::strategy::{
    Leg, LegKind, LegRequest, OVER_MAX, PENDING_MAX, StrategyChange, StrategyOrder,
    StrategyRequest, StrategyStatus, TriggerBy,
};

impl Venue {
    /// Receives a strategy order.
    ///
    /// # Errors
    /// When it waits for nothing, a number is off its grid, the position mode is another, its
    /// client id is taken, or too many wait already.
    pub fn place_strategy(
        &mut self,
        account: AccountId,
        request: &StrategyRequest,
        now: UnixNanos,
    ) -> Result<Ack, Reject> {
        self.advance(now);
        self.check_pos_side(account, request.pos_side)?;
        let grids = self.instrument(request.instrument).rules.grids;
        let size = match request.size {
            Some(size) => lots_of(grids.size, size)?,
            None => Lots::ZERO,
        };
        let mut legs = [None; 3];
        for kind in LegKind::ALL {
            if let Some(leg) = &request.legs[kind.index()] {
                legs[kind.index()] = Some(self.leg(request.instrument, request.side, kind, leg)?);
            }
        }
        if legs.iter().all(Option::is_none) {
            return Err(Reject::STRATEGY_EMPTY);
        }
        let kept = &self.account(account).strategies;
        if kept.waiting.len() >= PENDING_MAX {
            return Err(Reject::PRODUCT_ORDERS);
        }
        let taken = |name: &str| kept.waiting.iter().any(|order| &*order.client_id == name);
        if request.client_id.as_deref().is_some_and(taken) {
            return Err(Reject::DUPLICATE_CLIENT_ID);
        }
        let id = OrderId(Ids::next(&mut self.ids.order));
        let order = StrategyOrder {
            id,
            account,
            instrument: request.instrument,
            grids,
            client_id: request.client_id.clone().unwrap_or_else(|| id.0.to_string()).into(),
            side: request.side,
            pos_side: request.pos_side,
            reduce_only: request.reduce_only,
            size,
            legs,
            fired: None,
            made: None,
            status: StrategyStatus::Pending,
            created: self.now,
            updated: self.now,
        };
        let ack =
            Ack { order: id, client_id: order.client_id.clone(), displaced: false, at: self.now };
        self.events.push(VenueEvent::Strategy(Box::new(order.clone())));
        self.accounts[account.index()].strategies.waiting.push(order);
        self.waiting += 1;
        Ok(ack)
    }

    /// Changes a waiting strategy order in place.
    ///
    /// # Errors
    /// When none of that name waits, or a number is off its grid.
    pub fn modify_strategy(
        &mut self,
        account: AccountId,
        order: &OrderRef,
        change: &StrategyChange,
        now: UnixNanos,
    ) -> Result<Ack, Reject> {
        self.advance(now);
        let at = self.waiting_place(account, order)?;
        let mut changed = self.account(account).strategies.waiting[at].clone();
        if let Some(size) = change.size {
            changed.size = lots_of(changed.grids.size, size)?;
        }
        for kind in LegKind::ALL {
            if let Some(leg) = &change.legs[kind.index()] {
                let leg = self.leg(changed.instrument, changed.side, kind, leg)?;
                changed.legs[kind.index()] = Some(leg);
            }
        }
        changed.updated = self.now;
        let ack = Ack {
            order: changed.id,
            client_id: changed.client_id.clone(),
            displaced: false,
            at: self.now,
        };
        self.events.push(VenueEvent::Strategy(Box::new(changed.clone())));
        self.accounts[account.index()].strategies.waiting[at] = changed;
        Ok(ack)
    }

    /// Cancels a waiting strategy order.
    ///
    /// # Errors
    /// When none of that name waits.
    pub fn cancel_strategy(
        &mut self,
        account: AccountId,
        order: &OrderRef,
        now: UnixNanos,
    ) -> Result<Ack, Reject> {
        self.advance(now);
        let at = self.waiting_place(account, order)?;
        let over = self.take_waiting(account, at);
        let ack = Ack {
            order: over.id,
            client_id: over.client_id.clone(),
            displaced: false,
            at: self.now,
        };
        self.end_strategy(StrategyOrder { status: StrategyStatus::Canceled, ..over });
        Ok(ack)
    }

    /// Fires every strategy order whose price has come.
    pub(super) fn fire_strategies(&mut self) {
        if self.waiting == 0 {
            return;
        }
        for account in 0..self.accounts.len() {
            let account = AccountId(account as u32);
            let mut at = 0;
            while let Some(order) = self.account(account).strategies.waiting.get(at) {
                match self.firing(order) {
                    None => at += 1,
                    Some(kind) => {
                        let order = self.take_waiting(account, at);
                        self.fire(order, kind);
                    }
                }
            }
        }
    }

    fn firing(&self, order: &StrategyOrder) -> Option<LegKind> {
        let market = self.instrument(order.instrument);
        LegKind::ALL.into_iter().find(|kind| {
            order.legs[kind.index()].is_some_and(|leg| {
                let watched = match leg.by {
                    TriggerBy::Market => market.last,
                    TriggerBy::Mark => market.marks.mark,
                };
                leg.fires(&order.grids, watched)
            })
        })
    }

    fn fire(&mut self, order: StrategyOrder, kind: LegKind) {
        let leg = order.legs[kind.index()].expect("a leg that fired is there");
        let holding = self.account(order.account).holding(order.instrument);
        let size = match order.size {
            Lots::ZERO => holding.position(order.pos_side).lots.abs(),
            size => size,
        };
        let request = PlaceRequest {
            instrument: order.instrument,
            side: order.side,
            pos_side: order.pos_side,
            kind: if leg.limit.is_some() { OrderKind::Limit } else { OrderKind::Market },
            price: leg.limit.map(|limit| decimal_of(order.grids.price, limit.0)),
            size: decimal_of(order.grids.size, size.0),
            time_in_force: TimeInForce::Gtc,
            reduce_only: order.reduce_only,
            stp: StpMode::None,
            margin_mode: None,
            client_id: None,
        };
        let made = self.enter_request(order.account, &request, None, OrderSource::Strategy);
        let status = match made {
            Ok(_) => StrategyStatus::Success,
            Err(_) => StrategyStatus::Fail,
        };
        let made = made.ok().map(|ack| ack.order);
        self.end_strategy(StrategyOrder { status, made, fired: Some(kind), ..order });
    }

    fn take_waiting(&mut self, account: AccountId, at: usize) -> StrategyOrder {
        self.waiting -= 1;
        self.accounts[account.index()].strategies.waiting.remove(at)
    }

    fn end_strategy(&mut self, mut order: StrategyOrder) {
        order.updated = self.now;
        self.events.push(VenueEvent::Strategy(Box::new(order.clone())));
        let over = &mut self.accounts[order.account.index()].strategies.over;
        push_bounded(over, order, OVER_MAX);
    }

    fn waiting_place(&self, account: AccountId, order: &OrderRef) -> Result<usize, Reject> {
        let named = |kept: &StrategyOrder| match order {
            OrderRef::Id(id) => kept.id == *id,
            OrderRef::Client(name) => *kept.client_id == **name,
        };
        let waiting = &self.account(account).strategies.waiting;
        waiting.iter().position(named).ok_or(Reject::ORDER_NOT_FOUND)
    }

    /// A take profit of a sell and a stop loss of a buy fire upward; a trigger fires from where
    /// the watched price stands now.
    fn leg(
        &self,
        instrument: InstrumentId,
        side: Side,
        kind: LegKind,
        leg: &LegRequest,
    ) -> Result<Leg, Reject> {
        let market = self.instrument(instrument);
        let grids = &market.rules.grids;
        let price = ticks_of(grids.price, leg.price)?;
        let limit = leg.limit.map(|limit| ticks_of(grids.price, limit)).transpose()?;
        let sells = side == Side::Sell;
        let rises = match kind {
            LegKind::TakeProfit => sells,
            LegKind::StopLoss => !sells,
            LegKind::Trigger => {
                let watched = match leg.by {
                    TriggerBy::Market => market.last,
                    TriggerBy::Mark => market.marks.mark,
                };
                grids.price_of(price) > watched
            }
        };
        Ok(Leg { price, by: leg.by, limit, rises })
    }
}

fn ticks_of(grid: Grid, price: Decimal) -> Result<Ticks, Reject> {
    match grid.steps_of(price) {
        Ok(ticks) if ticks > 0 => Ok(Ticks(ticks)),
        Ok(_) => Err(Reject::PRICE_NOT_POSITIVE),
        Err(_) => Err(Reject::PRICE_OFF_GRID),
    }
}

fn lots_of(grid: Grid, size: Decimal) -> Result<Lots, Reject> {
    match grid.steps_of(size) {
        Ok(lots) if lots > 0 => Ok(Lots(lots)),
        Ok(_) => Err(Reject::AMOUNT_RANGE),
        Err(_) => Err(Reject::SIZE_OFF_GRID),
    }
}
