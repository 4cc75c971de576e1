//! REST, strategy orders: take profit and stop loss of a position, and trigger orders (V3 pages of
//! strategy orders, and the recorded rows).

use serde::Serialize;

use keel_core::units::{Lots, Side};

use super::endpoint::Call;
use super::entry::{
    POS_SIDES, SIDES, YES_NO, client_id, instrument, is_futures, order_ref, require_futures,
};
use super::hall::Hall;
use super::params::Params;
use super::reject;
use super::rest_market::{limit, time_of};
use super::rest_trade::{named, page};
use super::shape::{CATEGORY, CATEGORY_LOWER, direction_word, side_word};
use super::text::{Text, json as text_of};
use crate::order::{HoldMode, PosSide};
use crate::reject::Reject;
use crate::strategy::{
    LegKind, LegRequest, StrategyChange, StrategyOrder, StrategyRequest, TriggerBy,
};

/// Receives a strategy order.
pub(super) fn place(hall: &mut Hall, call: &Call) -> Result<String, Reject> {
    let params = &call.params;
    require_futures(params)?;
    let kind = params.word("type", &[("tpsl", ()), ("trigger", ())]);
    kind?;
    let mode = hall.venue.account(call.account()).hold_mode;
    let named_side = params.word("posSide", &POS_SIDES)?;
    let side = match (params.word("side", &SIDES)?, named_side) {
        (Some(side), _) => side,
        (None, Some(PosSide::Long)) => Side::Sell,
        (None, Some(PosSide::Short)) => Side::Buy,
        (None, _) => return Err(reject::empty("side")),
    };
    let legs = legs_of(params)?;
    let triggers = legs[LegKind::Trigger.index()].is_some();
    let reduces = params.word("reduceOnly", &YES_NO)?.unwrap_or(!triggers);
    let whole = params.word("tpslMode", &[("full", true), ("partial", false)])?.unwrap_or(false);
    let request = StrategyRequest {
        instrument: instrument(&hall.venue, params)?,
        side,
        pos_side: match mode {
            HoldMode::OneWay => PosSide::Net,
            HoldMode::Hedge => named_side.ok_or_else(|| reject::empty("posSide"))?,
        },
        reduce_only: mode == HoldMode::OneWay && reduces,
        size: match params.decimal("qty")? {
            Some(size) if !whole => Some(size),
            _ if whole => None,
            _ => return Err(reject::empty("qty")),
        },
        legs,
        client_id: client_id(params, "clientOid")?,
    };
    hall.venue.place_strategy(call.account(), &request, call.now).map(|ack| named(&ack))
}

/// Changes a waiting strategy order.
pub(super) fn modify(hall: &mut Hall, call: &Call) -> Result<String, Reject> {
    let order = order_ref(&call.params)?;
    let change = StrategyChange { size: call.params.decimal("qty")?, legs: legs_of(&call.params)? };
    hall.venue.modify_strategy(call.account(), &order, &change, call.now).map(|ack| named(&ack))
}

/// Cancels a waiting strategy order; the answer has no data, as recorded.
pub(super) fn cancel(hall: &mut Hall, call: &Call) -> Result<String, Reject> {
    let order = order_ref(&call.params)?;
    hall.venue.cancel_strategy(call.account(), &order, call.now)?;
    Ok("null".to_owned())
}

/// Strategy orders that wait, newest first; a list without pages, as recorded.
pub(super) fn unfilled(hall: &mut Hall, call: &Call) -> Result<String, Reject> {
    let futures = is_futures(&call.params)?;
    let kind = kind_of(&call.params)?;
    let waiting = hall.venue.account(call.account()).waiting_strategies();
    let rows: Vec<_> = waiting
        .iter()
        .rev()
        .filter(|order| futures && kind.is_none_or(|tpsl| order.is_tpsl() == tpsl))
        .map(|order| Row::of(order, &hall.venue.instrument(order.instrument).rules.symbol))
        .collect();
    Ok(text_of(&rows))
}

/// Strategy orders that are over, newest first.
pub(super) fn history(hall: &mut Hall, call: &Call) -> Result<String, Reject> {
    let params = &call.params;
    let futures = is_futures(params)?;
    let kind = kind_of(params)?;
    let (from, to) = (time_of(params, "startTime")?, time_of(params, "endTime")?);
    let before = params.parsed::<u64>("cursor")?.unwrap_or(u64::MAX);
    let limit = limit(params, 100, 100)?;
    let over = hall.venue.account(call.account()).done_strategies();
    let mut orders: Vec<_> = over
        .iter()
        .filter(|order| futures && order.id.0 < before)
        .filter(|order| kind.is_none_or(|tpsl| order.is_tpsl() == tpsl))
        .filter(|order| from.is_none_or(|from| order.created >= from))
        .filter(|order| to.is_none_or(|to| order.created <= to))
        .collect();
    orders.sort_unstable_by_key(|order| std::cmp::Reverse(order.id));
    orders.truncate(limit);
    let last = orders.last().map(|order| order.id.0);
    let symbol = |order: &StrategyOrder| &hall.venue.instrument(order.instrument).rules.symbol;
    let rows: Vec<_> = orders.iter().map(|order| Row::of(order, symbol(order))).collect();
    Ok(page(&rows, last))
}

fn kind_of(params: &Params) -> Result<Option<bool>, Reject> {
    params.word("type", &[("tpsl", true), ("trigger", false)])
}

fn legs_of(params: &Params) -> Result<[Option<LegRequest>; 3], Reject> {
    let leg = |price: &str, by: &str, limit: &str, order: &str| {
        let Some(price) = params.decimal(price)? else { return Ok(None) };
        let by = params.word(by, &TRIGGERS)?.unwrap_or(TriggerBy::Market);
        let limits = params.word(order, &[("limit", true), ("market", false)])?;
        let limit = params.decimal(limit)?.filter(|_| limits != Some(false));
        if limits == Some(true) && limit.is_none() {
            return Err(Reject::PRICE_MISSING);
        }
        Ok(Some(LegRequest { price, by, limit }))
    };
    Ok([
        leg("takeProfit", "tpTriggerBy", "tpLimitPrice", "tpOrderType")?,
        leg("stopLoss", "slTriggerBy", "slLimitPrice", "slOrderType")?,
        leg("triggerPrice", "triggerBy", "triggerOrderPrice", "triggerOrderType")?,
    ])
}

/// A row of the strategy lists.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row<'a> {
    order_id: Text,
    client_oid: &'a str,
    category: &'static str,
    symbol: &'a str,
    qty: Text,
    pos_side: &'static str,
    status: &'static str,
    #[serde(flatten)]
    legs: Legs,
    created_time: Text,
    updated_time: Text,
}

/// The prices of a strategy order; empty where it has none.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Legs {
    tp_trigger_by: &'static str,
    sl_trigger_by: &'static str,
    take_profit: Text,
    stop_loss: Text,
    tp_order_type: &'static str,
    sl_order_type: &'static str,
    tp_limit_price: Text,
    sl_limit_price: Text,
    trigger_by: &'static str,
    trigger_price: Text,
    trigger_order_type: &'static str,
    trigger_order_price: Text,
}

impl Legs {
    fn of(order: &StrategyOrder) -> Self {
        let [tp, sl, trigger] = order.legs.map(|leg| {
            let Some(leg) = leg else { return ("", Text::EMPTY, "", Text::EMPTY) };
            let grid = order.grids.price;
            let limit = leg.limit.map_or(Text::EMPTY, |limit| Text::steps(grid, limit.0));
            let kind = if leg.limit.is_some() { "limit" } else { "market" };
            (leg.by.word(), Text::steps(grid, leg.price.0), kind, limit)
        });
        Self {
            tp_trigger_by: tp.0,
            sl_trigger_by: sl.0,
            take_profit: tp.1,
            stop_loss: sl.1,
            tp_order_type: tp.2,
            sl_order_type: sl.2,
            tp_limit_price: tp.3,
            sl_limit_price: sl.3,
            trigger_by: trigger.0,
            trigger_price: trigger.1,
            trigger_order_type: trigger.2,
            trigger_order_price: trigger.3,
        }
    }
}

impl<'a> Row<'a> {
    fn of(order: &'a StrategyOrder, symbol: &'a str) -> Self {
        Self {
            order_id: Text::whole(order.id.0 as i64),
            client_oid: &order.client_id,
            category: CATEGORY,
            symbol,
            qty: size_of(order),
            pos_side: position_word(order),
            status: order.status.word(),
            legs: Legs::of(order),
            created_time: order.created.into(),
            updated_time: order.updated.into(),
        }
    }
}

/// A row of the `strategy-order` topic.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StrategyPush<'a> {
    category: &'static str,
    symbol: &'a str,
    order_id: Text,
    client_oid: &'a str,
    qty: Text,
    side: &'static str,
    pos_side: &'static str,
    reduce_only: &'static str,
    r#type: &'static str,
    status: &'static str,
    trigger_type: &'static str,
    #[serde(flatten)]
    legs: Legs,
    created_time: Text,
    updated_time: Text,
}

impl<'a> StrategyPush<'a> {
    /// The order as it stands.
    pub(super) fn of(order: &'a StrategyOrder, symbol: &'a str) -> Self {
        Self {
            category: CATEGORY_LOWER,
            symbol,
            order_id: Text::whole(order.id.0 as i64),
            client_oid: &order.client_id,
            qty: size_of(order),
            side: side_word(order.side),
            pos_side: position_word(order),
            reduce_only: if order.reduce_only { "yes" } else { "no" },
            r#type: if order.is_tpsl() { "tpsl" } else { "trigger" },
            status: order.status.word(),
            trigger_type: order.fired.map_or("", LegKind::word),
            legs: Legs::of(order),
            created_time: order.created.into(),
            updated_time: order.updated.into(),
        }
    }
}

/// The size; empty when it closes whatever is held.
fn size_of(order: &StrategyOrder) -> Text {
    match order.size {
        Lots::ZERO => Text::EMPTY,
        size => Text::steps(order.grids.size, size.0),
    }
}

/// The position that it works on: in one-way mode, what it closes or would open.
fn position_word(order: &StrategyOrder) -> &'static str {
    let opens = if order.reduce_only { order.side.opposite() } else { order.side };
    direction_word(order.pos_side, opens)
}

const TRIGGERS: [(&str, TriggerBy); 2] = [("market", TriggerBy::Market), ("mark", TriggerBy::Mark)];
