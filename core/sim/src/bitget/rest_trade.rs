//! REST, trading (reference §8, with the names and shapes of V3).

use serde::Serialize;
use serde_json::json;

use super::endpoint::Call;
use super::entry::{self, BATCH_MAX, instrument_if_any, is_futures, order_ref, require_futures};
use super::hall::Hall;
use super::params::Params;
use super::reject;
use super::rest_account::SUCCESS;
use super::rest_market::{limit, time_of};
use super::shape::{FillRow, OrderList, OrderRow};
use super::text::json as text_of;
use crate::order::{Ack, Order, OrderId, PosSide};
use crate::reject::Reject;

/// Receives an order.
pub(super) fn place_order(hall: &mut Hall, call: &Call) -> Result<String, Reject> {
    require_futures(&call.params)?;
    entry::place(&mut hall.venue, call.account(), &call.params, call.now).map(|ack| named(&ack))
}

/// Cancels an order.
pub(super) fn cancel_order(hall: &mut Hall, call: &Call) -> Result<String, Reject> {
    entry::cancel(&mut hall.venue, call.account(), &call.params, call.now).map(|ack| named(&ack))
}

/// Changes an order.
pub(super) fn modify_order(hall: &mut Hall, call: &Call) -> Result<String, Reject> {
    entry::modify(&mut hall.venue, call.account(), &call.params, call.now).map(|ack| named(&ack))
}

/// Receives up to 20 orders, each answered by itself.
pub(super) fn place_batch(hall: &mut Hall, call: &Call) -> Result<String, Reject> {
    each(call, |params| {
        require_futures(params)?;
        entry::place(&mut hall.venue, call.account(), params, call.now)
    })
}

/// Cancels up to 20 orders, each answered by itself.
pub(super) fn cancel_batch(hall: &mut Hall, call: &Call) -> Result<String, Reject> {
    each(call, |params| entry::cancel(&mut hall.venue, call.account(), params, call.now))
}

/// Changes up to 20 orders, each answered by itself.
pub(super) fn modify_batch(hall: &mut Hall, call: &Call) -> Result<String, Reject> {
    each(call, |params| entry::modify(&mut hall.venue, call.account(), params, call.now))
}

/// Cancels all orders of a contract, or of the product.
pub(super) fn cancel_symbol_order(hall: &mut Hall, call: &Call) -> Result<String, Reject> {
    let mut acks = Vec::new();
    if is_futures(&call.params)? {
        let one = instrument_if_any(&hall.venue, &call.params)?;
        acks = hall.venue.cancel_all(call.account(), one, call.now);
    }
    let rows: Vec<_> = acks.iter().map(|ack| Element::of(ack, true)).collect();
    Ok(format!("{{\"list\":{}}}", text_of(&rows)))
}

/// Closes positions with market orders.
pub(super) fn close_positions(hall: &mut Hall, call: &Call) -> Result<String, Reject> {
    let mut outcomes = Vec::new();
    if is_futures(&call.params)? {
        let one = instrument_if_any(&hall.venue, &call.params)?;
        let sides = [("long", PosSide::Long), ("short", PosSide::Short)];
        let side = call.params.word("posSide", &sides)?;
        outcomes = hall.venue.close_positions(call.account(), one, side, call.now);
    }
    let rows: Vec<_> = outcomes
        .iter()
        .map(|(_, outcome)| match outcome {
            Ok(ack) => Element::of(ack, true),
            Err(reject) => Element::refused(&Params::default(), reject),
        })
        .collect();
    Ok(format!("{{\"list\":{}}}", text_of(&rows)))
}

/// Arms or disarms the countdown that cancels all orders.
pub(super) fn countdown_cancel_all(hall: &mut Hall, call: &Call) -> Result<String, Reject> {
    let seconds = call.params.parsed::<u32>("countdown")?;
    let seconds = seconds.ok_or_else(|| reject::empty("countdown"))?;
    hall.venue.set_countdown(call.account(), seconds, call.now)?;
    Ok(SUCCESS.to_owned())
}

/// One order, open or done.
pub(super) fn order_info(hall: &mut Hall, call: &Call) -> Result<String, Reject> {
    let order = hall.venue.find_order(call.account(), &order_ref(&call.params)?);
    let order = order.ok_or(Reject::ORDER_NOT_FOUND)?;
    let symbol = &hall.venue.instrument(order.instrument).rules.symbol;
    Ok(text_of(&OrderRow::of(order, symbol, OrderList::Info)))
}

/// Open orders, newest first.
pub(super) fn unfilled_orders(hall: &mut Hall, call: &Call) -> Result<String, Reject> {
    let ids: Vec<OrderId> = hall.venue.account(call.account()).open_orders().collect();
    order_page(hall, call, ids, OrderList::Open)
}

/// Orders that are over, newest first.
pub(super) fn history_orders(hall: &mut Hall, call: &Call) -> Result<String, Reject> {
    let ids: Vec<OrderId> = hall.venue.account(call.account()).done_orders().collect();
    order_page(hall, call, ids, OrderList::Done)
}

/// Fills, newest first.
pub(super) fn fills(hall: &mut Hall, call: &Call) -> Result<String, Reject> {
    let params = &call.params;
    let futures = match params.text("category") {
        Some(_) => is_futures(params)?,
        None => true,
    };
    let one = instrument_if_any(&hall.venue, params)?;
    let order = params.parsed::<u64>("orderId")?;
    let (from, to) = (time_of(params, "startTime")?, time_of(params, "endTime")?);
    let before = params.parsed::<u64>("cursor")?.unwrap_or(u64::MAX);
    let limit = limit(params, 100, 100)?;
    let rows: Vec<_> = hall
        .venue
        .account(call.account())
        .fills()
        .iter()
        .rev()
        .filter(|fill| futures && fill.trade.0 < before)
        .filter(|fill| one.is_none_or(|id| fill.instrument == id))
        .filter(|fill| order.is_none_or(|id| fill.order.0 == id))
        .filter(|fill| from.is_none_or(|from| fill.at >= from))
        .filter(|fill| to.is_none_or(|to| fill.at <= to))
        .take(limit)
        .collect();
    let last = rows.last().map(|fill| fill.trade.0);
    let symbol = |id| hall.venue.instrument(id).rules.symbol.as_str();
    let rows: Vec<_> = rows.iter().map(|fill| FillRow::of(fill, symbol(fill.instrument))).collect();
    Ok(page(&rows, last))
}

/// A page of rows with its cursor, which is null when the page is empty, as recorded.
pub(super) fn page(rows: &[impl Serialize], last: Option<u64>) -> String {
    let cursor = last.map_or("null".to_owned(), |id| format!("\"{id}\""));
    format!("{{\"list\":{},\"cursor\":{cursor}}}", text_of(&rows))
}

fn order_page(
    hall: &Hall,
    call: &Call,
    mut ids: Vec<OrderId>,
    list: OrderList,
) -> Result<String, Reject> {
    let params = &call.params;
    let futures = is_futures(params)?;
    let one = instrument_if_any(&hall.venue, params)?;
    let (from, to) = (time_of(params, "startTime")?, time_of(params, "endTime")?);
    let before = params.parsed::<u64>("cursor")?.unwrap_or(u64::MAX);
    let limit = limit(params, 100, 100)?;
    ids.retain(|id| futures && id.0 < before);
    ids.sort_unstable_by(|a, b| b.cmp(a));
    let rows: Vec<&Order> = ids
        .into_iter()
        .filter_map(|id| hall.venue.order(id))
        .filter(|order| one.is_none_or(|id| order.instrument == id))
        .filter(|order| from.is_none_or(|from| order.created >= from))
        .filter(|order| to.is_none_or(|to| order.created <= to))
        .take(limit)
        .collect();
    let last = rows.last().map(|order| order.id.0);
    let symbol = |id| hall.venue.instrument(id).rules.symbol.as_str();
    let rows: Vec<_> = rows.iter().map(|o| OrderRow::of(o, symbol(o.instrument), list)).collect();
    Ok(page(&rows, last))
}

/// Works each element of a batch and answers each by itself.
fn each(
    call: &Call,
    mut work: impl FnMut(&Params) -> Result<Ack, Reject>,
) -> Result<String, Reject> {
    if call.list.is_empty() {
        return Err(reject::VERIFICATION);
    }
    if call.list.len() > BATCH_MAX {
        return Err(reject::BATCH_TOO_LARGE);
    }
    let rows: Vec<_> = call
        .list
        .iter()
        .enumerate()
        .map(|(place, element)| {
            let params = Params::of_value(element.clone());
            let worked = match place < call.refused_from {
                true => work(&params),
                false => Err(reject::TOO_MANY_REQUESTS),
            };
            match worked {
                Ok(ack) => Element::of(&ack, false),
                Err(reject) => Element::refused(&params, &reject),
            }
        })
        .collect();
    Ok(text_of(&rows))
}

/// The answer that names an order.
pub(super) fn named(ack: &Ack) -> String {
    let order_id = ack.order.0.to_string();
    json!({ "orderId": order_id, "clientOid": ack.client_id.as_ref() }).to_string()
}

/// The answer to one order of several.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Element {
    order_id: String,
    client_oid: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    msg: Option<String>,
}

impl Element {
    fn of(ack: &Ack, with_code: bool) -> Self {
        Self {
            order_id: ack.order.0.to_string(),
            client_oid: ack.client_id.to_string(),
            code: with_code.then(|| "00000".to_owned()),
            msg: with_code.then(|| "success".to_owned()),
        }
    }

    fn refused(params: &Params, reject: &Reject) -> Self {
        let repeated =
            |name| params.text(name).map(|text| reject::shown(&text)).unwrap_or_default();
        Self {
            order_id: repeated("orderId"),
            client_oid: repeated("clientOid"),
            code: Some(reject.code.to_string()),
            msg: Some(reject.message.to_string()),
        }
    }
}
