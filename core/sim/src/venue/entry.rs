//! Entry: requests of clients, and the checks that they pass in the venue's order.

use std::sync::Arc;

use keel_core::decimal::{Decimal, DecimalError, Grid, TEXT_MAX};
use keel_core::units::{Lots, Quote, Side, Ticks, UnixNanos};

use super::{Ids, Venue};
use crate::account::{AccountId, OpenSum};
use crate::instrument::{InstrumentId, Status, VALUE_MAX};
use crate::order::{
    Ack, CancelReason, HoldMode, MarginMode, ModifyRequest, Order, OrderId, OrderKind, OrderRef,
    OrderSource, OrderStatus, PlaceRequest, PosSide, StpMode, TimeInForce,
};
use crate::reject::Reject;

impl Venue {
    /// Receives an order. The ack says that it was received; events say what became of it.
    ///
    /// # Errors
    /// The first check that it does not pass; it left no trace then.
    ///
    /// # Panics
    /// When the account is an agent's.
    pub fn place(
        &mut self,
        account: AccountId,
        request: &PlaceRequest,
        now: UnixNanos,
    ) -> Result<Ack, Reject> {
        self.advance(now);
        self.enter_request(account, request, None, OrderSource::Normal)
    }

    /// Receives an order that has come later than its own window allows: it is made, and canceled
    /// at once.
    ///
    /// # Errors
    /// The first check that it does not pass; it left no trace then.
    pub fn place_expired(
        &mut self,
        account: AccountId,
        request: &PlaceRequest,
        now: UnixNanos,
    ) -> Result<Ack, Reject> {
        self.advance(now);
        let (order, ack) = self.admit(account, request, None, OrderSource::Normal)?;
        self.register(order);
        self.end(ack.order, CancelReason::ReceiveWindow);
        Ok(ack)
    }

    /// Receives a change of an order: cancels it and makes a new one, which the ack names. The new
    /// order's size is the whole size asked for less what the old one had filled.
    ///
    /// # Errors
    /// When the order is gone, nothing would change, or the new order does not pass a check. The
    /// old one then stays, unless the request says otherwise.
    pub fn modify(
        &mut self,
        account: AccountId,
        request: &ModifyRequest,
        now: UnixNanos,
    ) -> Result<Ack, Reject> {
        self.advance(now);
        let id = self.open_order(account, &request.order)?;
        let old = &self.kept(id).order;
        if old.instrument != request.instrument {
            return Err(Reject::ORDER_NOT_FOUND);
        }
        let new = replacement(old, request)?;
        let answer = self.enter_request(account, &new, Some(id), OrderSource::Modify);
        if answer.is_err() && request.cancel_if_refused {
            self.cancel_resting(id, CancelReason::Normal);
        }
        answer
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
        self.advance(now);
        let id = self.open_order(account, order)?;
        Ok(self.cancel_kept(id, CancelReason::Normal))
    }

    /// From now on cancels are answered and not done.
    pub(crate) fn withhold_cancels(&mut self) {
        self.withheld = Some(Vec::new());
    }

    /// The orders whose cancels were answered and not done; from now on they are done.
    pub(crate) fn withheld_cancels(&mut self) -> Vec<OrderId> {
        self.withheld.take().unwrap_or_default()
    }

    /// Does a cancel that was withheld, if its order still rests.
    pub(crate) fn cancel_withheld(&mut self, id: OrderId, now: UnixNanos) {
        self.advance(now);
        if self.orders.get(&id).is_some_and(|kept| kept.key.is_some()) {
            self.cancel_resting(id, CancelReason::Normal);
        }
    }

    /// Cancels all open orders, of one contract or of all, the oldest first.
    pub fn cancel_all(
        &mut self,
        account: AccountId,
        instrument: Option<InstrumentId>,
        now: UnixNanos,
    ) -> Vec<Ack> {
        self.advance(now);
        self.cancel_open(account, instrument, CancelReason::Normal)
    }

    /// Closes positions with market orders: of one contract or of all, of one side or of all.
    /// Resting orders that only close make room.
    pub fn close_positions(
        &mut self,
        account: AccountId,
        instrument: Option<InstrumentId>,
        pos_side: Option<PosSide>,
        now: UnixNanos,
    ) -> Vec<(InstrumentId, Result<Ack, Reject>)> {
        self.advance(now);
        let mut answers = Vec::new();
        for i in 0..self.instruments.len() {
            let id = self.instruments[i].id;
            if instrument.is_some_and(|wanted| wanted != id) {
                continue;
            }
            for side in PosSide::ALL {
                let lots = self.account(account).holding(id).position(side).lots;
                if lots.is_zero() || pos_side.is_some_and(|wanted| wanted != side) {
                    continue;
                }
                let request = PlaceRequest {
                    instrument: id,
                    side: if lots.0 > 0 { Side::Sell } else { Side::Buy },
                    pos_side: side,
                    kind: OrderKind::Market,
                    price: None,
                    size: decimal_of(self.instruments[i].rules.grids.size, lots.abs().0),
                    time_in_force: TimeInForce::Ioc,
                    reduce_only: side == PosSide::Net,
                    stp: StpMode::None,
                    margin_mode: None,
                    client_id: None,
                };
                let source = OrderSource::ClosePosition;
                answers.push((id, self.enter_request(account, &request, None, source)));
            }
        }
        answers
    }

    pub(super) fn cancel_open(
        &mut self,
        account: AccountId,
        instrument: Option<InstrumentId>,
        reason: CancelReason,
    ) -> Vec<Ack> {
        let open = self.account(account).open.iter();
        let wanted: Vec<OrderId> = open
            .filter(|(_, i)| instrument.is_none_or(|wanted| wanted == **i))
            .map(|(id, _)| *id)
            .collect();
        wanted.into_iter().map(|id| self.cancel_kept(id, reason)).collect()
    }

    fn cancel_kept(&mut self, id: OrderId, reason: CancelReason) -> Ack {
        let client_id = self.kept(id).order.client_id.clone();
        match &mut self.withheld {
            Some(withheld) => withheld.push(id),
            None => self.cancel_resting(id, reason),
        }
        Ack { order: id, client_id, displaced: false, at: self.now }
    }

    /// Checks a request, makes room for it and enters its order. `replaced` is canceled for it.
    pub(super) fn enter_request(
        &mut self,
        account: AccountId,
        request: &PlaceRequest,
        replaced: Option<OrderId>,
        source: OrderSource,
    ) -> Result<Ack, Reject> {
        let (order, ack) = self.admit(account, request, replaced, source)?;
        self.enter(order);
        Ok(ack)
    }

    /// Checks a request, makes room for it and gives its order, which nobody has been told of yet.
    fn admit(
        &mut self,
        account: AccountId,
        request: &PlaceRequest,
        replaced: Option<OrderId>,
        source: OrderSource,
    ) -> Result<(Order, Ack), Reject> {
        assert!(!self.account(account).house, "agents place by their own door");
        let draft = self.check_in_mode(account, request, replaced, source)?;
        if let Some(old) = replaced {
            self.cancel_resting(old, CancelReason::Modify);
        }
        for &older in &draft.displaced {
            self.cancel_resting(older, CancelReason::ReduceOnlyRoom);
        }
        let id = OrderId(Ids::next(&mut self.ids.order));
        let client_id: Arc<str> = match &request.client_id {
            Some(name) => name.as_str().into(),
            None => id.0.to_string().into(),
        };
        let holding = self.account(account).holding(request.instrument);
        let order = Order {
            id,
            account,
            instrument: request.instrument,
            grids: self.instrument(request.instrument).rules.grids,
            client_id: client_id.clone(),
            side: request.side,
            pos_side: request.pos_side,
            kind: request.kind,
            price: draft.price,
            size: draft.size,
            time_in_force: match request.kind {
                OrderKind::Limit => request.time_in_force,
                OrderKind::Market => TimeInForce::Ioc,
            },
            reduce_only: request.reduce_only,
            stp: request.stp,
            margin_mode: holding.margin_mode,
            leverage: holding.leverages()[request.side.index()],
            source,
            filled: Lots::ZERO,
            filled_value: Quote::ZERO,
            fee: Quote::ZERO,
            realized: Quote::ZERO,
            status: OrderStatus::Live,
            cancel_reason: None,
            created: self.now,
            updated: self.now,
        };
        let displaced = !draft.displaced.is_empty();
        Ok((order, Ack { order: id, client_id, displaced, at: self.now }))
    }

    /// All checks, with margin kept as the request says; a refused one leaves it as it was.
    fn check_in_mode(
        &mut self,
        account: AccountId,
        request: &PlaceRequest,
        replaced: Option<OrderId>,
        source: OrderSource,
    ) -> Result<Draft, Reject> {
        let instrument = request.instrument;
        let holding = self.account(account).holding(instrument);
        let (before, idle) = (holding.margin_mode, !holding.is_held() && holding.orders == 0);
        let mode = match request.margin_mode {
            Some(mode) => mode,
            None if idle => MarginMode::Crossed,
            None => before,
        };
        let freed = u32::from(replaced.is_some());
        let refused = self.set_margin_mode(account, instrument, mode, freed).err();
        let draft = self.check(account, request, replaced, source, refused);
        if draft.is_err() {
            self.accounts[account.index()].holdings[instrument.index()].margin_mode = before;
        }
        draft
    }

    /// All checks, in the venue's order; `mode` is what stands against the margin mode.
    fn check(
        &self,
        account: AccountId,
        request: &PlaceRequest,
        replaced: Option<OrderId>,
        source: OrderSource,
        mode: Option<Reject>,
    ) -> Result<Draft, Reject> {
        let closes = request.pos_side.closes(request.side, request.reduce_only);
        self.check_status(request.instrument, closes)?;
        self.check_pos_side(account, request.pos_side)?;
        mode.map_or(Ok(()), Err)?;
        self.check_client_id(account, request, replaced)?;
        let price = self.check_price(request)?;
        let size = self.check_size(request)?;
        self.check_value(request, price, size, closes)?;
        self.check_band(request, price, size)?;
        self.check_counts(account, request.instrument, replaced, closes)?;
        if closes {
            let whole = source == OrderSource::ClosePosition;
            return self.check_room(account, request, Draft::of(price, size), replaced, whole);
        }
        self.check_margin(account, request, price, size, replaced)?;
        Ok(Draft::of(price, size))
    }

    fn check_status(&self, instrument: InstrumentId, closes: bool) -> Result<(), Reject> {
        match self.instrument(instrument).rules.status {
            Status::Online => Ok(()),
            Status::LimitOpen if closes => Ok(()),
            Status::LimitOpen => Err(Reject::OPENING_SUSPENDED),
            Status::Maintain => Err(Reject::SYMBOL_MAINTAINED),
            Status::RestrictedApi => Err(Reject::SYMBOL_RESTRICTED),
            Status::Listed => Err(Reject::SYMBOL_LISTED),
            Status::Offline => Err(Reject::SYMBOL_CLOSED),
        }
    }

    pub(super) fn check_pos_side(
        &self,
        account: AccountId,
        pos_side: PosSide,
    ) -> Result<(), Reject> {
        match (self.account(account).hold_mode, pos_side) {
            (HoldMode::OneWay, PosSide::Net) => Ok(()),
            (HoldMode::Hedge, PosSide::Long | PosSide::Short) => Ok(()),
            (HoldMode::OneWay, _) | (HoldMode::Hedge, PosSide::Net) => Err(Reject::POSITION_MODE),
        }
    }

    fn check_client_id(
        &self,
        account: AccountId,
        request: &PlaceRequest,
        replaced: Option<OrderId>,
    ) -> Result<(), Reject> {
        let Some(name) = &request.client_id else { return Ok(()) };
        let taken = self
            .find_order(account, &OrderRef::Client(name.clone()))
            .is_some_and(|order| !order.status.is_done() && Some(order.id) != replaced);
        if taken { Err(Reject::DUPLICATE_CLIENT_ID) } else { Ok(()) }
    }

    fn check_price(&self, request: &PlaceRequest) -> Result<Ticks, Reject> {
        if request.kind == OrderKind::Market {
            return Ok(Ticks::ZERO);
        }
        let grid = self.instrument(request.instrument).rules.grids.price;
        let ticks = grid.steps_of(request.price.ok_or(Reject::PRICE_MISSING)?);
        match ticks {
            Ok(ticks) if ticks > 0 => Ok(Ticks(ticks)),
            Ok(_) => Err(Reject::PRICE_NOT_POSITIVE),
            Err(DecimalError::OffGrid) => {
                Err(Reject::with(25244, format!("The price must be a multiple of {}", step(grid))))
            }
            Err(_) => Err(Reject::NUMBER_RANGE),
        }
    }

    fn check_size(&self, request: &PlaceRequest) -> Result<Lots, Reject> {
        let rules = &self.instrument(request.instrument).rules;
        let grid = rules.grids.size;
        let lots = match grid.steps_of(request.size) {
            Ok(lots) => Lots(lots),
            Err(DecimalError::OffGrid) => {
                let text = format!("The quantity must be a multiple of {}", step(grid));
                return Err(Reject::with(22038, text));
            }
            Err(_) => return Err(Reject::NUMBER_RANGE),
        };
        let largest = match request.kind {
            OrderKind::Limit => rules.limit_size_max,
            OrderKind::Market => rules.market_size_max,
        };
        if lots < rules.size_min {
            let text = format!("The minimum order quantity is {}", text(grid, rules.size_min.0));
            return Err(Reject::with(25207, text));
        }
        if lots > largest {
            let text = format!("The maximum order quantity is {}", text(grid, largest.0));
            return Err(Reject::with(25208, text));
        }
        Ok(lots)
    }

    /// Orders that close need no minimum value.
    fn check_value(
        &self,
        request: &PlaceRequest,
        price: Ticks,
        size: Lots,
        closes: bool,
    ) -> Result<(), Reject> {
        let market = self.instrument(request.instrument);
        let least = market.rules.notional_min;
        let value = match request.kind {
            OrderKind::Limit => market.rules.worth(price, size),
            OrderKind::Market => i128::from(market.rules.grids.value_at(market.marks.mark, size).0),
        };
        if closes || value >= i128::from(least.0) {
            return Ok(());
        }
        let least = text(Grid::E8, least.0);
        let least = least.trim_end_matches('0').trim_end_matches('.');
        Err(Reject::with(25611, format!("The order is less than the minimum amount {least} USDT")))
    }

    /// The band lies around what the rules name. A market order is cut by it later instead.
    fn check_band(&self, request: &PlaceRequest, price: Ticks, size: Lots) -> Result<(), Reject> {
        if request.kind == OrderKind::Market {
            return Ok(());
        }
        let market = self.instrument(request.instrument);
        let bound = market.band(request.side);
        if !request.side.better(price, bound) {
            // A sell has no highest price, but its value must remain one.
            let rules = &market.rules;
            return if rules.worth(price, size) > i128::from(VALUE_MAX.0) {
                Err(Reject::NUMBER_RANGE)
            } else {
                Ok(())
            };
        }
        let bound = text(market.rules.grids.price, bound.0);
        Err(match request.side {
            Side::Buy => Reject::with(25206, format!("The price cannot be above {bound}")),
            Side::Sell => Reject::with(25205, format!("The price cannot be below {bound}")),
        })
    }

    fn check_counts(
        &self,
        account: AccountId,
        instrument: InstrumentId,
        replaced: Option<OrderId>,
        closes: bool,
    ) -> Result<(), Reject> {
        let rules = &self.instrument(instrument).rules;
        let account = self.account(account);
        let freed = usize::from(replaced.is_some());
        let here = account.holding(instrument).orders as usize - freed;
        if here >= rules.symbol_orders_max as usize {
            return Err(Reject::SYMBOL_ORDERS);
        }
        if account.open.len() - freed >= rules.product_orders_max as usize {
            return Err(Reject::PRODUCT_ORDERS);
        }
        let held = account.holdings.iter().filter(|holding| holding.is_held()).count();
        let opens_another = !closes && !account.holding(instrument).is_held();
        if opens_another && held >= rules.positions_max as usize {
            return Err(Reject::POSITIONS);
        }
        Ok(())
    }

    /// An order that only closes is cut to its position, and older ones make room for it. In hedge
    /// mode it is cut to what older ones leave free, and they make room only when that is nothing.
    fn check_room(
        &self,
        account: AccountId,
        request: &PlaceRequest,
        draft: Draft,
        replaced: Option<OrderId>,
        whole: bool,
    ) -> Result<Draft, Reject> {
        let (instrument, pos_side) = (request.instrument, request.pos_side);
        let room = self.room(account, instrument, pos_side, request.side);
        if room.is_zero() {
            return Err(Reject::NOTHING_TO_CLOSE);
        }
        let older: Vec<&Order> = self
            .closing_orders(account, instrument, pos_side)
            .filter(|order| order.side == request.side && Some(order.id) != replaced)
            .collect();
        let resting = older.iter().fold(Lots::ZERO, |sum, order| sum + order.left());
        let free = room - resting;
        if pos_side != PosSide::Net && free.0 > 0 && !whole {
            return Ok(Draft { size: draft.size.min(free), ..draft });
        }
        let size = draft.size.min(room);
        let mut excess = resting + size - room;
        let mut displaced = Vec::new();
        for order in older {
            if excess.0 <= 0 {
                break;
            }
            excess -= order.left();
            displaced.push(order.id);
        }
        Ok(Draft { size, displaced, ..draft })
    }

    /// The tier of the account's leverage must hold the position, and equity must hold the margin.
    /// An order that makes no exposure larger needs no margin.
    fn check_margin(
        &self,
        account: AccountId,
        request: &PlaceRequest,
        price: Ticks,
        size: Lots,
        replaced: Option<OrderId>,
    ) -> Result<(), Reject> {
        let instrument = request.instrument;
        let market = self.instrument(instrument);
        let case = self.case(account, market);
        let mut after = case;
        if let Some(old) = replaced.map(|id| &self.kept(id).order).filter(|old| !old.closes()) {
            let sum = &mut after.opening[old.side.index()];
            sum.lots -= old.left();
            sum.value -= old.grids.value(old.price, old.left());
        }
        let value = match request.kind {
            OrderKind::Limit => market.rules.grids.value(price, size),
            OrderKind::Market => market.rules.grids.value_at(market.marks.mark, size),
        };
        let sum: &mut OpenSum = &mut after.opening[request.side.index()];
        sum.lots += size;
        sum.value += value;
        let (exposure, before) = (after.exposure(), case.exposure());
        if exposure.worst <= before.worst {
            return Ok(());
        }
        let tier = market.rules.tier(exposure.largest);
        let last = market.rules.tiers.last().expect("checked rules have a tier");
        if after.leverages[request.side.index()] > tier.leverage_max || exposure.largest > last.end
        {
            return Err(Reject::POSITION_TIER);
        }
        let others = self.margin_without(account, instrument);
        let whole = others.plus(after.margin());
        let equity = whole.equity(self.account(account).balance);
        if whole.initial() > equity { Err(Reject::MARGIN) } else { Ok(()) }
    }
}

/// What the checks make of a request.
struct Draft {
    price: Ticks,
    size: Lots,
    displaced: Vec<OrderId>,
}

impl Draft {
    const fn of(price: Ticks, size: Lots) -> Self {
        Self { price, size, displaced: Vec::new() }
    }
}

/// The request for the order that replaces `old`.
fn replacement(old: &Order, request: &ModifyRequest) -> Result<PlaceRequest, Reject> {
    let same_price = decimal_of(old.grids.price, old.price.0);
    let price = request.price.unwrap_or(same_price);
    let keeps_price = old.grids.price.steps_of(price) == Ok(old.price.0);
    let left = match request.size {
        None => decimal_of(old.grids.size, old.left().0),
        Some(size) => match old.grids.size.steps_of(size) {
            Ok(lots) if lots == old.size.0 && keeps_price => {
                return Err(Reject::NOTHING_MODIFIED);
            }
            Ok(lots) => decimal_of(old.grids.size, lots.saturating_sub(old.filled.0).max(0)),
            // The checks say what is wrong with it.
            Err(_) => size,
        },
    };
    if request.size.is_none() && keeps_price {
        return Err(Reject::NOTHING_MODIFIED);
    }
    Ok(PlaceRequest {
        instrument: old.instrument,
        side: old.side,
        pos_side: old.pos_side,
        kind: old.kind,
        price: Some(price),
        size: left,
        time_in_force: old.time_in_force,
        reduce_only: old.reduce_only,
        stp: old.stp,
        margin_mode: Some(old.margin_mode),
        client_id: Some(request.client_id.clone().unwrap_or_else(|| old.client_id.to_string())),
    })
}

pub(super) fn decimal_of(grid: Grid, steps: i64) -> Decimal {
    Decimal { mantissa: steps.saturating_mul(grid.step), scale: grid.scale }
}

fn text(grid: Grid, steps: i64) -> String {
    let mut out = [0; TEXT_MAX];
    let len = grid.write(steps, &mut out);
    String::from_utf8_lossy(&out[..len]).into_owned()
}

fn step(grid: Grid) -> String {
    text(grid, 1)
}
