//! Order entry: the parameters of REST and of WebSocket frames to the venue's requests.

use keel_core::units::{Side, UnixNanos};

use super::params::Params;
use super::reject;
use super::shape::CATEGORY;
use crate::account::AccountId;
use crate::instrument::InstrumentId;
use crate::order::{
    Ack, HoldMode, MarginMode, ModifyRequest, OrderId, OrderKind, OrderRef, PlaceRequest, PosSide,
    StpMode, TimeInForce,
};
use crate::reject::Reject;
use crate::venue::Venue;

/// Most orders of one batch.
pub(super) const BATCH_MAX: usize = 20;
/// The longest client id.
pub(super) const CLIENT_ID_CHARS_MAX: usize = 32;

/// Places the order that `params` describe; the category has been looked at already.
///
/// # Errors
/// The wire's refusal of a parameter, or the venue's of the order.
pub(super) fn place(
    venue: &mut Venue,
    account: AccountId,
    params: &Params,
    now: UnixNanos,
) -> Result<Ack, Reject> {
    let request = PlaceRequest {
        instrument: instrument(venue, params)?,
        side: params.word("side", &SIDES)?.ok_or_else(|| reject::empty("side"))?,
        pos_side: params.word("posSide", &POS_SIDES)?.unwrap_or(PosSide::Net),
        kind: params.word("orderType", &KINDS)?.ok_or_else(|| reject::empty("orderType"))?,
        price: params.decimal("price")?,
        size: params.decimal("qty")?.ok_or_else(|| reject::empty("qty"))?,
        time_in_force: params.word("timeInForce", &FORCES)?.unwrap_or(TimeInForce::Gtc),
        reduce_only: params.word("reduceOnly", &YES_NO)?.unwrap_or(false),
        stp: params.word("stpMode", &STP_MODES)?.unwrap_or(StpMode::None),
        margin_mode: params.word("marginMode", &MARGIN_MODES)?,
        client_id: client_id(params, "clientOid")?,
    };
    let window = params.parsed::<i64>("receiveWindow")?;
    let sent = params.parsed::<i64>("requestTime")?;
    match (window, sent) {
        (Some(window), _) if !(10..=60_000).contains(&window) => {
            Err(reject::wrong("receiveWindow", &window.to_string()))
        }
        (Some(window), Some(sent)) if now.millis().saturating_sub(sent) > window => {
            venue.place_expired(account, &request, now)
        }
        _ => venue.place(account, &request, now),
    }
}

/// Cancels the order that `params` name.
///
/// # Errors
/// When none is named, or the venue refuses.
pub(super) fn cancel(
    venue: &mut Venue,
    account: AccountId,
    params: &Params,
    now: UnixNanos,
) -> Result<Ack, Reject> {
    let order = order_ref(params)?;
    venue.cancel(account, &order, now)
}

/// Changes the order that `params` name. With `autoCancel` the order is canceled when it cannot be
/// changed as asked.
///
/// # Errors
/// When none is named, a number cannot be read, or the venue refuses.
pub(super) fn modify(
    venue: &mut Venue,
    account: AccountId,
    params: &Params,
    now: UnixNanos,
) -> Result<Ack, Reject> {
    let order = order_ref(params)?;
    let found = venue.find_order(account, &order).ok_or(Reject::ORDER_NOT_FOUND)?;
    let request = ModifyRequest {
        instrument: found.instrument,
        order,
        price: params.decimal("price")?,
        size: params.decimal("qty")?,
        client_id: client_id(params, "newClientOid")?,
        cancel_if_refused: params.word("autoCancel", &YES_NO)?.unwrap_or(false),
    };
    venue.modify(account, &request, now)
}

/// The order that `orderId` or `clientOid` name; the former wins.
///
/// # Errors
/// 40924 when neither is given, 25204 when the id is no number of an order.
pub(super) fn order_ref(params: &Params) -> Result<OrderRef, Reject> {
    if let Some(text) = params.text("orderId") {
        let id = text.parse().map_err(|_| Reject::ORDER_NOT_FOUND)?;
        return Ok(OrderRef::Id(OrderId(id)));
    }
    // The venue's own sample of a modify over the WebSocket writes `clientId`.
    let client = params.text("clientOid").or_else(|| params.text("clientId"));
    client.map(|id| OrderRef::Client(id.into_owned())).ok_or(reject::ID_MISSING)
}

/// The contract that `symbol` names.
///
/// # Errors
/// 40019 when it is missing, 25100 when there is none.
pub(super) fn instrument(venue: &Venue, params: &Params) -> Result<InstrumentId, Reject> {
    let symbol = params.required("symbol")?;
    venue.find(&symbol).ok_or_else(|| Reject::unknown_symbol(&reject::shown(&symbol)))
}

/// The contract that `symbol` names, if it is given.
///
/// # Errors
/// 25100 when there is none of that name.
pub(super) fn instrument_if_any(
    venue: &Venue,
    params: &Params,
) -> Result<Option<InstrumentId>, Reject> {
    if params.text("symbol").is_none() {
        return Ok(None);
    }
    instrument(venue, params).map(Some)
}

/// Whether `category` names the product of this venue; false for another product of Bitget.
///
/// # Errors
/// 40019 when it is missing or names no product, as the real venue answers.
pub(super) fn is_futures(params: &Params) -> Result<bool, Reject> {
    let category = params.required("category")?;
    if category.eq_ignore_ascii_case(CATEGORY) {
        return Ok(true);
    }
    if OTHER_CATEGORIES.iter().any(|other| category.eq_ignore_ascii_case(other)) {
        return Ok(false);
    }
    Err(reject::empty(&reject::shown(&category)))
}

/// As [`is_futures`], where only this venue's product can be served.
///
/// # Errors
/// 40020 for another product.
pub(super) fn require_futures(params: &Params) -> Result<(), Reject> {
    if is_futures(params)? {
        return Ok(());
    }
    Err(reject::wrong("category", &params.required("category")?))
}

/// A client id; none when it is absent.
///
/// # Errors
/// 40020 when it is too long or has other characters than the venue allows.
pub(super) fn client_id(params: &Params, name: &str) -> Result<Option<String>, Reject> {
    let Some(text) = params.text(name) else { return Ok(None) };
    let known = |b: u8| b.is_ascii_alphanumeric() || b".:/_-".contains(&b);
    if text.len() > CLIENT_ID_CHARS_MAX || !text.bytes().all(known) {
        return Err(reject::wrong(name, &text));
    }
    Ok(Some(text.into_owned()))
}

/// The words of a side.
pub(super) const SIDES: [(&str, Side); 2] = [("buy", Side::Buy), ("sell", Side::Sell)];
/// The words of a position side.
pub(super) const POS_SIDES: [(&str, PosSide); 3] =
    [("long", PosSide::Long), ("short", PosSide::Short), ("net", PosSide::Net)];
const KINDS: [(&str, OrderKind); 2] = [("limit", OrderKind::Limit), ("market", OrderKind::Market)];
const FORCES: [(&str, TimeInForce); 4] = [
    ("gtc", TimeInForce::Gtc),
    ("ioc", TimeInForce::Ioc),
    ("fok", TimeInForce::Fok),
    ("post_only", TimeInForce::PostOnly),
];
const STP_MODES: [(&str, StpMode); 4] = [
    ("none", StpMode::None),
    ("cancel_taker", StpMode::CancelTaker),
    ("cancel_maker", StpMode::CancelMaker),
    ("cancel_both", StpMode::CancelBoth),
];
/// The words of a position mode.
pub(super) const HOLD_MODES: [(&str, HoldMode); 2] =
    [("one_way_mode", HoldMode::OneWay), ("hedge_mode", HoldMode::Hedge)];
/// The words of a margin mode.
pub(super) const MARGIN_MODES: [(&str, MarginMode); 2] =
    [("crossed", MarginMode::Crossed), ("isolated", MarginMode::Isolated)];
/// The words of a flag.
pub(super) const YES_NO: [(&str, bool); 2] = [("yes", true), ("no", false)];
/// Products of the real venue that are not here.
const OTHER_CATEGORIES: [&str; 4] = ["SPOT", "MARGIN", "COIN-FUTURES", "USDC-FUTURES"];
