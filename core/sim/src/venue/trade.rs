//! Trade: an order on its way through the book, and what each fill does to both parties.

use std::collections::BTreeMap;

use keel_core::units::{Lots, Quote, Rate, Side, Ticks, UnixNanos};

use super::{Ids, Kept, Venue};
use crate::account::{
    Account, AccountId, Bill, BillKind, CLOSED_MAX, ClosedPosition, DONE_MAX, Deal, FILLS_MAX,
    push_bounded,
};
use crate::event::{Print, VenueEvent};
use crate::instrument::{Grids, InstrumentId};
use crate::margin::{fee_on, over};
use crate::matching::{Resting, Step, Taker, Trade};
use crate::order::{
    CancelReason, Fill, MarginMode, Order, OrderId, OrderKind, OrderSource, OrderStatus, PosSide,
    Role, TimeInForce, TradeId,
};

use super::contract::PRINTS_MAX;

/// How an incoming order's way through the book ended, when it was not filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// Nothing more is within its reach.
    OutOfReach,
    /// Self-trade prevention stopped it.
    Stopped,
    /// It only closes, and nothing is left to close.
    NoRoom,
}

impl Venue {
    /// Keeps a new order, tells of it, and works it until it is done or rests.
    pub(super) fn enter(&mut self, order: Order) {
        let id = order.id;
        self.register(order);
        self.work(id);
    }

    /// Keeps a new order and tells of it.
    pub(super) fn register(&mut self, order: Order) {
        let account = &mut self.accounts[order.account.index()];
        account.open.insert(order.id, order.instrument);
        account.client_ids.insert(order.client_id.clone(), order.id);
        account.holdings[order.instrument.index()].orders += 1;
        self.events.push(VenueEvent::Order(Box::new(order.clone())));
        self.orders.insert(order.id, Kept { order, key: None });
    }

    fn work(&mut self, id: OrderId) {
        let order = &self.kept(id).order;
        let (instrument, kind, price) = (order.instrument, order.kind, order.price);
        let (time_in_force, closes) = (order.time_in_force, order.closes());
        let pos_side = order.pos_side;
        let market = self.instrument(instrument);
        let mut taker = Taker {
            id: id.0,
            owner: order.account.0,
            family: self.family(order.account),
            side: order.side,
            limit: Some(match kind {
                OrderKind::Limit => price,
                OrderKind::Market => market.band(order.side),
            }),
            left: order.size,
            stp: order.stp,
        };
        if time_in_force == TimeInForce::PostOnly && market.book.crosses(&taker) {
            return self.end(id, CancelReason::PostOnlyFill);
        }
        if time_in_force == TimeInForce::Fok
            && self.fillable(instrument, &taker, Some(pos_side)) < taker.left
        {
            return self.end(id, CancelReason::FokNotFull);
        }
        let left = self.pass_book(instrument, &mut taker, closes.then_some(pos_side));
        if taker.left.0 > 0 {
            match (left, kind, time_in_force) {
                (Left::Stopped, ..) => self.end(id, CancelReason::Stp),
                (Left::NoRoom, ..) => self.end(id, CancelReason::ReduceOnlyRoom),
                (Left::OutOfReach, OrderKind::Market, _) => {
                    let beyond = self.instrument(instrument).book.best(taker.side.opposite());
                    let reason = match beyond {
                        Some(_) => CancelReason::LimitPriceExceed,
                        None => CancelReason::IocNotFull,
                    };
                    self.end(id, reason);
                }
                (Left::OutOfReach, _, TimeInForce::Ioc) => self.end(id, CancelReason::IocNotFull),
                (Left::OutOfReach, _, TimeInForce::Fok) => self.end(id, CancelReason::FokNotFull),
                (Left::OutOfReach, _, TimeInForce::Gtc | TimeInForce::PostOnly) => {
                    self.rest(id, &taker);
                }
            }
        }
        self.publish_levels(instrument);
    }

    fn rest(&mut self, id: OrderId, taker: &Taker) {
        let Kept { order, key } = self.orders.get_mut(&id).expect("an open order is kept");
        let (instrument, price) = (order.instrument, order.price);
        let resting =
            Resting { id: id.0, owner: taker.owner, family: taker.family, left: taker.left };
        let market = &mut self.instruments[instrument.index()];
        *key = Some(market.book.rest(order.side, price, resting));
        let holding = &mut self.accounts[order.account.index()].holdings[instrument.index()];
        if order.closes() {
            holding.closing += 1;
        } else {
            let sum = &mut holding.opening[order.side.index()];
            sum.lots += taker.left;
            sum.value += order.grids.value(price, taker.left);
        }
    }

    /// Lets `taker` trade with whatever it reaches. `closing` names the position that it may only
    /// make smaller.
    pub(super) fn pass_book(
        &mut self,
        instrument: InstrumentId,
        taker: &mut Taker,
        closing: Option<PosSide>,
    ) -> Left {
        loop {
            let own_room = closing.map_or(taker.left, |pos_side| {
                self.room(AccountId(taker.owner), instrument, pos_side, taker.side)
            });
            if own_room.0 <= 0 && taker.left.0 > 0 {
                return Left::NoRoom;
            }
            let Self { instruments, accounts, orders, .. } = self;
            let book = &mut instruments[instrument.index()].book;
            let step = book
                .step(taker, |maker| maker_room(accounts, orders, instrument, maker).min(own_room));
            match step {
                Step::Fill(trade) => self.trade(instrument, taker, &trade),
                Step::MakerCanceled { maker } => self.end_maker(&maker, CancelReason::Stp),
                Step::MakerCut { maker } => self.end_maker(&maker, CancelReason::ReduceOnlyRoom),
                Step::BothCanceled { maker } => {
                    self.end_maker(&maker, CancelReason::Stp);
                    return Left::Stopped;
                }
                Step::TakerCanceled => return Left::Stopped,
                Step::Over => return Left::OutOfReach,
            }
        }
    }

    /// How much of `taker` would trade at once; a resting order that only closes counts as far as
    /// its position goes, whatever of it earlier orders of the queue would have closed, or the
    /// taker opened. `pos_side` is the taker's; an agent has none.
    pub(super) fn fillable(
        &self,
        instrument: InstrumentId,
        taker: &Taker,
        pos_side: Option<PosSide>,
    ) -> Lots {
        let mut moved = BTreeMap::<(AccountId, PosSide), i64>::new();
        let own = pos_side.map(|pos_side| (AccountId(taker.owner), pos_side));
        self.instrument(instrument).book.fillable(taker, |maker| {
            let owner = AccountId(maker.owner);
            let mut counts = maker.left;
            if !self.account(owner).house {
                let order = &self.kept(OrderId(maker.id)).order;
                let moved = moved.entry((owner, order.pos_side)).or_default();
                if order.closes() {
                    let held = self.account(owner).holding(instrument).position(order.pos_side);
                    counts = counts.min(room_in(Lots(held.lots.0 + *moved), order.side));
                }
                *moved += counts.0 * order.side.sign();
            }
            if let Some(own) = own {
                *moved.entry(own).or_default() += counts.0 * taker.side.sign();
            }
            counts
        })
    }

    fn trade(&mut self, instrument: InstrumentId, taker: &Taker, trade: &Trade) {
        let id = TradeId(Ids::next(&mut self.ids.trade));
        let (price, size) = (trade.price, trade.size);
        let value = self.instrument(instrument).rules.grids.value(price, size);
        let maker_side = taker.side.opposite();
        let parties = [
            (taker.owner, taker.id, taker.side, Role::Taker),
            (trade.maker.owner, trade.maker.id, maker_side, Role::Maker),
        ];
        for (owner, order, side, role) in parties {
            let account = &mut self.accounts[owner as usize];
            if account.house {
                let position =
                    &mut account.holdings[instrument.index()].positions[PosSide::Net.index()];
                position.lots += Lots(size.0 * side.sign());
                position.entry += i128::from(value.0 * side.sign());
            } else {
                self.fill(OrderId(order), id, role, price, size);
            }
        }
        let at = self.now;
        let market = &mut self.instruments[instrument.index()];
        let grids = market.rules.grids;
        let print = Print { instrument, trade: id, side: taker.side, price, size, at };
        market.last = grids.price_of(price);
        market.candles.print(market.last, grids.size_e8(size), value, at);
        push_bounded(&mut market.prints, print, PRINTS_MAX);
        self.events.push(VenueEvent::Trade(print));
    }

    /// Books one party's part of a trade and tells of it; gives what it cost.
    pub(super) fn fill(
        &mut self,
        id: OrderId,
        trade: TradeId,
        role: Role,
        price: Ticks,
        size: Lots,
    ) -> Cost {
        let at = self.now;
        let Self { instruments, accounts, orders, ids, events, .. } = self;
        let Kept { order, key } = orders.get_mut(&id).expect("a filled order is kept");
        let (instrument, pos_side) = (order.instrument, order.pos_side);
        let account = &mut accounts[order.account.index()];
        let rules = &instruments[instrument.index()].rules;
        let fees = account.fees_in(instrument, rules);
        let rate = match (order.source, role) {
            (OrderSource::Liquidation | OrderSource::Reduce, _) => rules.liquidation_fee,
            (OrderSource::Bankruptcy | OrderSource::Adl | OrderSource::Offset, _) => Rate::ZERO,
            (_, Role::Maker) => fees.maker,
            (_, Role::Taker) => fees.taker,
        };
        let part = Part {
            instrument,
            grids: order.grids,
            pos_side,
            side: order.side,
            price,
            size,
            rate,
            source: order.source,
            reduce_only: order.reduce_only,
            isolated: (order.margin_mode == MarginMode::Isolated)
                .then(|| account.holdings[instrument.index()].leverages()[order.side.index()]),
        };
        let booked = part.settle(account, ids, at);
        if key.is_some() && !order.closes() {
            let sum = &mut account.holdings[instrument.index()].opening[order.side.index()];
            sum.lots -= size;
            sum.value -= order.grids.value(order.price, size);
        }
        order.filled += size;
        order.filled_value += booked.value;
        order.fee += booked.fee;
        order.realized += booked.realized;
        order.updated = at;
        let done = order.filled == order.size;
        order.status = if done { OrderStatus::Filled } else { OrderStatus::PartiallyFilled };
        if done && key.take().is_some() && order.closes() {
            account.holdings[instrument.index()].closing -= 1;
        }
        let fill = fill_of(order, &booked, &Occasion { trade, role, price, size, at });
        let account_id = order.account;
        push_bounded(&mut account.fills, fill.clone(), FILLS_MAX);
        events.push(VenueEvent::Order(Box::new(order.clone())));
        events.push(VenueEvent::Fill(Box::new(fill)));
        self.publish_position(account_id, instrument, pos_side);
        self.publish_account(account_id);
        if done {
            self.retire(id);
        }
        if booked.turned {
            self.cancel_roomless(account_id, instrument, pos_side);
        }
        Cost { fee: booked.fee, short: booked.short }
    }

    /// Cancels what rests; the book forgets it.
    pub(super) fn cancel_resting(&mut self, id: OrderId, reason: CancelReason) {
        let Kept { order, key } = self.kept(id);
        let instrument = order.instrument;
        let key = key.expect("a working order rests between two requests");
        let book = &mut self.instruments[instrument.index()].book;
        book.cancel(key).expect("the book holds what the venue says it holds");
        self.end(id, reason);
        self.publish_levels(instrument);
    }

    /// Ends an order that is in the book no more.
    pub(super) fn end(&mut self, id: OrderId, reason: CancelReason) {
        let at = self.now;
        let Kept { order, key } = self.orders.get_mut(&id).expect("an open order is kept");
        assert!(!order.status.is_done(), "an order ends once");
        if key.take().is_some() {
            let account = &mut self.accounts[order.account.index()];
            let holding = &mut account.holdings[order.instrument.index()];
            if order.closes() {
                holding.closing -= 1;
            } else {
                let sum = &mut holding.opening[order.side.index()];
                sum.lots -= order.left();
                sum.value -= order.grids.value(order.price, order.left());
            }
        }
        order.status = OrderStatus::Canceled;
        order.cancel_reason = Some(reason);
        order.updated = at;
        self.events.push(VenueEvent::Order(Box::new(order.clone())));
        self.retire(id);
    }

    fn end_maker(&mut self, maker: &Resting, reason: CancelReason) {
        assert!(!self.account(AccountId(maker.owner)).house, "agents have no family and no limits");
        self.end(OrderId(maker.id), reason);
    }

    /// Moves an order from the open ones to those that are over, and forgets the oldest of them.
    fn retire(&mut self, id: OrderId) {
        let order = &self.orders[&id].order;
        let account = &mut self.accounts[order.account.index()];
        account.open.remove(&id);
        account.holdings[order.instrument.index()].orders -= 1;
        if account.done.len() == DONE_MAX
            && let Some(oldest) = account.done.pop_front()
            && let Some(forgotten) = self.orders.remove(&oldest)
        {
            let name = &forgotten.order.client_id;
            if account.client_ids.get(name) == Some(&oldest) {
                account.client_ids.remove(name);
            }
        }
        account.done.push_back(id);
    }

    /// Cancels the resting orders that could only close a position that is gone or has turned.
    fn cancel_roomless(&mut self, account: AccountId, instrument: InstrumentId, pos_side: PosSide) {
        let roomless: Vec<OrderId> = self
            .closing_orders(account, instrument, pos_side)
            .filter(|order| self.room(account, instrument, pos_side, order.side).is_zero())
            .map(|order| order.id)
            .collect();
        for id in roomless {
            let key = self.kept(id).key.expect("closing orders listed here rest");
            let book = &mut self.instruments[instrument.index()].book;
            book.cancel(key).expect("the book holds what the venue says it holds");
            self.end(id, CancelReason::ReduceOnlyRoom);
        }
    }

    /// The resting orders that can only close this position, oldest first.
    pub(super) fn closing_orders(
        &self,
        account: AccountId,
        instrument: InstrumentId,
        pos_side: PosSide,
    ) -> impl Iterator<Item = &Order> {
        let account = self.account(account);
        // Each fill asks this, and most accounts have hundreds of orders and none of these.
        let any = account.holding(instrument).closing > 0;
        let open = any.then(|| account.open.iter()).into_iter().flatten();
        let open = open.filter(move |(_, i)| **i == instrument);
        open.map(|(id, _)| self.kept(*id))
            .filter(|kept| kept.key.is_some())
            .map(|kept| &kept.order)
            .filter(move |order| order.pos_side == pos_side && order.closes())
    }

    /// How much of a position a side can close.
    pub(super) fn room(
        &self,
        account: AccountId,
        instrument: InstrumentId,
        pos_side: PosSide,
        side: Side,
    ) -> Lots {
        room_in(self.account(account).holding(instrument).position(pos_side).lots, side)
    }

    /// Orders of one family do not trade with one another; agents have none.
    fn family(&self, account: AccountId) -> u32 {
        let account = self.account(account);
        if account.house { 0 } else { account.parent.unwrap_or(account.id).0 + 1 }
    }
}

/// One party's part of a trade.
struct Part {
    instrument: InstrumentId,
    grids: Grids,
    pos_side: PosSide,
    side: Side,
    price: Ticks,
    size: Lots,
    rate: Rate,
    source: OrderSource,
    reduce_only: bool,
    /// The leverage at which it opens, when the position keeps a margin of its own.
    isolated: Option<u32>,
}

/// What a fill cost its owner.
#[derive(Clone, Copy)]
pub(super) struct Cost {
    /// The fee; positive is paid.
    pub(super) fee: Quote,
    /// What an isolated position's margin could not bear.
    pub(super) short: Quote,
}

/// What it did to the account.
struct Booked {
    value: Quote,
    fee: Quote,
    realized: Quote,
    closed: Lots,
    position: Lots,
    /// What an isolated position's margin could not bear.
    short: Quote,
    /// The position is gone, or is of the other sign than before.
    turned: bool,
}

impl Part {
    /// Closes what it can, opens the rest, and moves the money.
    fn settle(&self, account: &mut Account, ids: &mut Ids, at: UnixNanos) -> Booked {
        let value = self.grids.value(self.price, self.size);
        let fee = fee_on(value, self.rate);
        let before = self.position(account).lots;
        let closed = self.size.min(room_in(before, self.side));
        let opened = self.size - closed;
        let close_fee = match opened.is_zero() {
            true => fee,
            false => fee_on(self.grids.value(self.price, closed), self.rate),
        };
        let (mut realized, mut short) = (Quote::ZERO, Quote::ZERO);
        if !closed.is_zero() {
            (realized, short) = self.close(account, ids, closed, close_fee, at);
        }
        if !opened.is_zero() {
            self.open(account, ids, opened, fee - close_fee, at);
        }
        account.totals.realized += realized;
        account.totals.fees += fee;
        account.totals.turnover += i128::from(value.0);
        let position = self.position(account).lots;
        let turned = !closed.is_zero() && position.0.signum() != before.0.signum();
        Booked { value, fee, realized, closed, position, short, turned }
    }

    fn close(
        &self,
        account: &mut Account,
        ids: &mut Ids,
        lots: Lots,
        fee: Quote,
        at: UnixNanos,
    ) -> (Quote, Quote) {
        let value = self.grids.value(self.price, lots);
        let position = self.position(account);
        let share = position.margin_of(lots);
        let realized = position.close(Lots(lots.0 * self.side.sign()), value);
        position.close_fee += fee;
        position.updated = at;
        let short = match self.isolated {
            Some(_) => position.release(share, realized - fee),
            None => Quote::ZERO,
        };
        let over = position.lots.is_zero().then(|| std::mem::take(position));
        account.book(Bill {
            id: Ids::next(&mut ids.bill),
            kind: BillKind::Closed(self.deal()),
            isolated: self.isolated.is_some(),
            instrument: Some(self.instrument),
            amount: realized,
            fee,
            ..Bill::blank(at)
        });
        if let Some(position) = over {
            let size = Lots(position.opened_lots.0 * -self.side.sign());
            let closed = ClosedPosition {
                id: position.id,
                instrument: self.instrument,
                margin_mode: match self.isolated {
                    Some(_) => MarginMode::Isolated,
                    None => MarginMode::Crossed,
                },
                pos_side: self.pos_side,
                size,
                open_price: self.grids.average(position.opened_value, position.opened_lots),
                close_price: self.grids.average(position.closed_value, position.opened_lots),
                realized: position.realized,
                funding: position.funding,
                open_fee: position.open_fee,
                close_fee: position.close_fee,
                created: position.created,
                closed: at,
            };
            push_bounded(&mut account.closed, closed, CLOSED_MAX);
        }
        (realized, short)
    }

    fn open(&self, account: &mut Account, ids: &mut Ids, lots: Lots, fee: Quote, at: UnixNanos) {
        let value = self.grids.value(self.price, lots);
        let position = self.position(account);
        if position.lots.is_zero() {
            position.id = Ids::next(&mut ids.position);
            position.created = at;
        }
        position.open(Lots(lots.0 * self.side.sign()), value);
        position.open_fee += fee;
        position.updated = at;
        if let Some(leverage) = self.isolated {
            position.margin += over(value, leverage);
        }
        let sound = match self.pos_side {
            PosSide::Net => true,
            PosSide::Long => position.lots.0 >= 0,
            PosSide::Short => position.lots.0 <= 0,
        };
        assert!(sound, "a side of a hedge never turns");
        account.book(Bill {
            id: Ids::next(&mut ids.bill),
            kind: BillKind::Opened(self.deal()),
            isolated: self.isolated.is_some(),
            instrument: Some(self.instrument),
            fee,
            ..Bill::blank(at)
        });
    }

    fn deal(&self) -> Deal {
        let &Self { source, side, pos_side, reduce_only, .. } = self;
        Deal { source, side, pos_side, reduce_only }
    }

    fn position<'a>(&self, account: &'a mut Account) -> &'a mut crate::position::Position {
        &mut account.holdings[self.instrument.index()].positions[self.pos_side.index()]
    }
}

/// What of a fill does not stand in the order.
#[derive(Clone, Copy)]
struct Occasion {
    trade: TradeId,
    role: Role,
    price: Ticks,
    size: Lots,
    at: UnixNanos,
}

fn fill_of(order: &Order, booked: &Booked, at: &Occasion) -> Fill {
    Fill {
        trade: at.trade,
        order: order.id,
        client_id: order.client_id.clone(),
        account: order.account,
        instrument: order.instrument,
        grids: order.grids,
        kind: order.kind,
        side: order.side,
        pos_side: order.pos_side,
        closes: order.closes(),
        closed: booked.closed,
        source: order.source,
        role: at.role,
        price: at.price,
        size: at.size,
        value: booked.value,
        fee: booked.fee,
        realized: booked.realized,
        position: booked.position,
        at: at.at,
    }
}

/// How much of a resting order may trade: all of an agent's, all of one that may open, and as much
/// as there is to close of one that only closes.
fn maker_room(
    accounts: &[Account],
    orders: &BTreeMap<OrderId, Kept>,
    instrument: InstrumentId,
    maker: &Resting,
) -> Lots {
    let account = &accounts[maker.owner as usize];
    if account.house {
        return maker.left;
    }
    let order = &orders[&OrderId(maker.id)].order;
    if !order.closes() {
        return maker.left;
    }
    room_in(account.holding(instrument).position(order.pos_side).lots, order.side)
}

/// How much of a position of `lots` an order of `side` can close.
pub(super) fn room_in(lots: Lots, side: Side) -> Lots {
    Lots((-lots.0 * side.sign()).max(0))
}
