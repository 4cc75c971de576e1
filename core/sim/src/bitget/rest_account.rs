//! REST, account and positions (reference §7 and §9, with the names and shapes of V3).

use std::borrow::Cow;

use keel_core::units::{Price, Quote, Side};
use serde::Serialize;
use serde_json::{Value, json};

use super::auth::permission_words;
use super::endpoint::Call;
use super::entry::{
    HOLD_MODES, MARGIN_MODES, instrument, instrument_if_any, is_futures, require_futures,
};
use super::hall::Hall;
use super::reject;
use super::rest_market::{limit, time_of};
use super::rest_trade::page;
use super::shape::{Assets, CATEGORY, MARGIN_COIN, word_place};
use super::text::{Text, json as text_of};
use crate::account::{Bill, BillKind, Deal, Permissions};
use crate::order::{HoldMode, MarginMode, OrderSource, PosSide};
use crate::reject::Reject;
use crate::venue::Venue;

/// The account's money.
pub(super) fn assets(hall: &mut Hall, call: &Call) -> Result<String, Reject> {
    let view = hall.venue.account_view(call.account());
    Ok(text_of(&Assets::of(&view, bitcoin(&hall.venue))))
}

/// Modes, and leverage in each contract.
pub(super) fn settings(hall: &mut Hall, call: &Call) -> Result<String, Reject> {
    let account = hall.venue.account(call.account());
    let symbols: Vec<Value> = hall
        .venue
        .instruments()
        .iter()
        .map(|i| {
            let holding = account.holding(i.id);
            json!({
                "category": CATEGORY,
                "symbol": i.rules.symbol,
                "marginMode": holding.margin_mode.word(),
                "leverage": holding.leverages()[0].to_string(),
            })
        })
        .collect();
    Ok(json!({
        "uid": account.uid.to_string(),
        "accountMode": "unified",
        "assetMode": "multi_assets",
        "accountLevel": "advanced",
        "holdMode": account.hold_mode.word(),
        "stpMode": "none",
        "symbolConfigList": symbols,
        "coinConfigList": [],
    })
    .to_string())
}

/// Whether fees are taken in another coin: never here.
pub(super) fn deduction(_: &mut Hall, _: &Call) -> Result<String, Reject> {
    Ok(json!({ "deduct": "off" }).to_string())
}

/// Who the key belongs to and what it may do.
pub(super) fn info(hall: &mut Hall, call: &Call) -> Result<String, Reject> {
    let account = hall.venue.account(call.account());
    let (_, key) = hall.venue.key(&call.key).ok_or(reject::KEY_UNKNOWN)?;
    let reads_only = key.granted() == Permissions::READ;
    let parent = account.parent.map(|id| hall.venue.account(id).uid.to_string());
    Ok(json!({
        "userId": account.uid.to_string(),
        "inviterId": "",
        "parentId": parent.unwrap_or_default(),
        "channelCode": "",
        "channel": "",
        "ips": key.ips.join(","),
        "permType": if reads_only { "readonly" } else { "read-and-write" },
        "permissions": permission_words(key.permissions),
        "regisTime": Text::from(account.opened),
    })
    .to_string())
}

/// The account's own rates in a contract.
pub(super) fn fee_rate(hall: &mut Hall, call: &Call) -> Result<String, Reject> {
    require_futures(&call.params)?;
    let fees = hall.venue.fees(call.account(), instrument(&hall.venue, &call.params)?);
    let (maker, taker) = (Text::from(fees.maker), Text::from(fees.taker));
    Ok(json!({ "makerFeeRate": maker, "takerFeeRate": taker }).to_string())
}

/// Records of money, newest first.
pub(super) fn financial_records(hall: &mut Hall, call: &Call) -> Result<String, Reject> {
    let params = &call.params;
    let other = params.text("category").is_some_and(|it| it.eq_ignore_ascii_case(OTHER));
    let asked = if other { Some(OTHER) } else { is_futures(params)?.then_some(CATEGORY) };
    let coin = params.text("coin").is_none_or(|coin| coin.eq_ignore_ascii_case(MARGIN_COIN));
    let kind = params.text("type");
    let one = instrument_if_any(&hall.venue, params)?;
    let (from, to) = (time_of(params, "startTime")?, time_of(params, "endTime")?);
    let before = params.parsed::<u64>("cursor")?.unwrap_or(u64::MAX);
    let limit = limit(params, 100, 100)?;
    let bills = hall.venue.account(call.account()).bills();
    let rows: Vec<_> = bills
        .iter()
        .rev()
        .filter(|bill| asked == Some(category_of(bill)) && coin && bill.id < before)
        .filter(|bill| kind.as_deref().is_none_or(|kind| kind == bill_word(bill)))
        .filter(|bill| one.is_none_or(|id| bill.instrument == Some(id)))
        .filter(|bill| from.is_none_or(|from| bill.at >= from))
        .filter(|bill| to.is_none_or(|to| bill.at <= to))
        .take(limit)
        .collect();
    let last = rows.last().map(|bill| bill.id);
    let rows: Vec<_> = rows.into_iter().map(|bill| BillRow::of(bill, &hall.venue)).collect();
    Ok(page(&rows, last))
}

/// Sets the leverage in a contract. `posSide` is documented as that of isolated margin, and current
/// clients say `marginMode`, and `longLeverage` and `shortLeverage`, which win over `leverage`.
pub(super) fn set_leverage(hall: &mut Hall, call: &Call) -> Result<String, Reject> {
    let params = &call.params;
    require_futures(params)?;
    let id = instrument(&hall.venue, params)?;
    let one = params.parsed::<u32>("leverage")?;
    let sides = ["longLeverage", "shortLeverage"].map(|name| params.parsed::<u32>(name));
    let [long, short] = sides;
    let (long, short) = (long?, short?);
    if one.or(long).or(short).is_none() {
        return Err(reject::empty("leverage"));
    }
    let pos_side = params.word("posSide", &DIRECTIONS)?;
    let by_side = pos_side.is_some() || long.is_some() || short.is_some();
    let mode = params.word("marginMode", &MARGIN_MODES)?;
    match (mode, one) {
        (Some(MarginMode::Crossed), None) => return Err(reject::empty("leverage")),
        (Some(MarginMode::Crossed), Some(leverage)) => {
            hall.venue.set_leverage(call.account(), id, leverage, call.now)?;
        }
        (None, Some(leverage)) if !by_side => {
            hall.venue.set_leverage(call.account(), id, leverage, call.now)?;
        }
        (Some(MarginMode::Isolated) | None, _) => {
            let of = |side| one.filter(|_| pos_side.is_none_or(|meant| meant == side));
            let leverages = [long.or(of(PosSide::Long)), short.or(of(PosSide::Short))];
            hall.venue.set_isolated_leverage(call.account(), id, leverages, call.now)?;
        }
    }
    Ok(SUCCESS.to_owned())
}

/// Gives margin to an isolated position, or takes it back. In one-way mode `posSide` is the way the
/// position points.
pub(super) fn set_margin(hall: &mut Hall, call: &Call) -> Result<String, Reject> {
    let params = &call.params;
    require_futures(params)?;
    let id = instrument(&hall.venue, params)?;
    let meant = params.word("posSide", &DIRECTIONS)?.ok_or_else(|| reject::empty("posSide"))?;
    let adds = params.word("operation", &[("add", true), ("remove", false)])?;
    let adds = adds.ok_or_else(|| reject::empty("operation"))?;
    let amount = params.decimal("amount")?.ok_or_else(|| reject::empty("amount"))?;
    let amount = amount.e8().map_err(|_| Reject::NUMBER_RANGE)?;
    if amount <= 0 {
        return Err(Reject::AMOUNT_RANGE);
    }
    let account = hall.venue.account(call.account());
    let pos_side = match account.hold_mode {
        HoldMode::Hedge => meant,
        HoldMode::OneWay => {
            let lots = account.holding(id).position(PosSide::Net).lots;
            let sign = if meant == PosSide::Long { 1 } else { -1 };
            if lots.0.signum() != sign {
                return Err(Reject::NO_POSITION);
            }
            PosSide::Net
        }
    };
    let amount = Quote(if adds { amount } else { -amount });
    hall.venue.set_margin(call.account(), id, pos_side, amount, call.now)?;
    Ok(SUCCESS.to_owned())
}

const DIRECTIONS: [(&str, PosSide); 2] = [("long", PosSide::Long), ("short", PosSide::Short)];

/// Sets one-way or hedge mode.
pub(super) fn set_hold_mode(hall: &mut Hall, call: &Call) -> Result<String, Reject> {
    let mode = call.params.word("holdMode", &HOLD_MODES)?;
    let mode = mode.ok_or_else(|| reject::empty("holdMode"))?;
    hall.venue.set_hold_mode(call.account(), mode)?;
    Ok(SUCCESS.to_owned())
}

/// The data of a request that has nothing else to say.
pub(super) const SUCCESS: &str = "\"success\"";

fn bitcoin(venue: &Venue) -> Option<Price> {
    venue.find("BTCUSDT").map(|id| venue.instrument(id).marks.index)
}

/// Under which category a record is listed: a transfer is of no product.
const fn category_of(bill: &Bill) -> &'static str {
    match bill.kind {
        BillKind::TransferIn | BillKind::TransferOut => OTHER,
        BillKind::Opened(_)
        | BillKind::Closed(_)
        | BillKind::FundingIn
        | BillKind::FundingOut
        | BillKind::Margin
        | BillKind::LeverageMargin
        | BillKind::Insurance => CATEGORY,
    }
}

/// The category of records that are of no product.
const OTHER: &str = "OTHER";

/// The word of a record, of the venue's enumeration of record types. Those of positions with a
/// margin of their own stand in its enumeration of tax records.
fn bill_word(bill: &Bill) -> Cow<'static, str> {
    let word = match (bill.kind, bill.isolated) {
        (BillKind::TransferIn, _) => "TRANSFER_IN",
        (BillKind::TransferOut, _) => "TRANSFER_OUT",
        (BillKind::Opened(deal), _) => opened_word(deal),
        (BillKind::Closed(deal), false) => closed_word(deal),
        (BillKind::Closed(deal), true) => isolated_closed_word(deal),
        (BillKind::FundingIn, false) => "CONTRACT_MAIN_SETTLE_FEE_USER_IN",
        (BillKind::FundingOut, false) => "CONTRACT_MAIN_SETTLE_FEE_USER_OUT",
        (BillKind::FundingIn, true) => "SETTLE_FEE_USER_IN",
        (BillKind::FundingOut, true) => "SETTLE_FEE_USER_OUT",
        (BillKind::Margin, _) if bill.amount < Quote::ZERO => "INCREASE_MARGIN",
        (BillKind::Margin, _) => "REDUCE_MARGIN",
        (BillKind::LeverageMargin, _) => "LEVER_POS_IN",
        (BillKind::Insurance, _) => "RISK_LIQ_USER_IN",
    };
    if bill.isolated { format!("FIXED_{word}").into() } else { word.into() }
}

/// In one-way mode the words name the direction of the fill, in hedge mode the position.
const fn opened_word(deal: Deal) -> &'static str {
    let words = ["SELL_DEAL", "BUY_DEAL", "OPEN_SHORT", "OPEN_LONG"];
    words[word_place(deal.pos_side, deal.side)]
}

const fn closed_word(deal: Deal) -> &'static str {
    let words = match deal.source {
        OrderSource::Normal
        | OrderSource::Modify
        | OrderSource::ClosePosition
        | OrderSource::Strategy => ["SELL_DEAL", "BUY_DEAL", "CLOSE_LONG", "CLOSE_SHORT"],
        OrderSource::Offset => ["", "", "OFFSET_REDUCE_CLOSE_LONG", "OFFSET_REDUCE_CLOSE_SHORT"],
        OrderSource::Reduce => {
            ["FORCE_SELL_SSM", "FORCE_BUY_SSM", "FORCE_CLOSE_LONG", "FORCE_CLOSE_SHORT"]
        }
        OrderSource::Liquidation | OrderSource::Bankruptcy => {
            ["BURST_SELL_SSM", "BURST_BUY_SSM", "BURST_CLOSE_LONG", "BURST_CLOSE_SHORT"]
        }
        OrderSource::Adl => [
            "ADL_SELL_IN_SINGLE_SIDE_MODE",
            "ADL_BUY_IN_SINGLE_SIDE_MODE",
            "ADL_CLOSE_LONG",
            "ADL_CLOSE_SHORT",
        ],
    };
    words[word_place(deal.pos_side, deal.side)]
}

/// As [`closed_word`], where the words of isolated margin are others: those of one-way mode name
/// the position that is closed.
const fn isolated_closed_word(deal: Deal) -> &'static str {
    match (deal.source, deal.pos_side, deal.side, deal.reduce_only) {
        (OrderSource::Adl, _, Side::Sell, _) => "ADL_CLOSE_LONG",
        (OrderSource::Adl, _, Side::Buy, _) => "ADL_CLOSE_SHORT",
        (source, PosSide::Net, ..) if source.is_forced() => closed_word(deal),
        (_, PosSide::Net, Side::Sell, true) => "REDUCE_ONLY_OFFSET_IN_SSM_LONG",
        (_, PosSide::Net, Side::Buy, true) => "REDUCE_ONLY_OFFSET_IN_SSM_SHORT",
        (_, PosSide::Net, Side::Sell, false) => "OFFSET_IN_SSM_LONG",
        (_, PosSide::Net, Side::Buy, false) => "OFFSET_IN_SSM_SHORT",
        (_, PosSide::Long | PosSide::Short, ..) => closed_word(deal),
    }
}

#[derive(Debug, Serialize)]
struct BillRow<'a> {
    category: &'static str,
    id: String,
    symbol: &'a str,
    coin: &'static str,
    r#type: Cow<'static, str>,
    amount: Text,
    fee: Text,
    balance: Text,
    ts: Text,
}

impl<'a> BillRow<'a> {
    fn of(bill: &Bill, venue: &'a Venue) -> Self {
        Self {
            category: category_of(bill),
            id: bill.id.to_string(),
            symbol: bill.instrument.map_or("", |id| &venue.instrument(id).rules.symbol),
            coin: MARGIN_COIN,
            r#type: bill_word(bill),
            amount: bill.amount.into(),
            fee: (-bill.fee).into(),
            balance: bill.balance.into(),
            ts: bill.at.into(),
        }
    }
}
