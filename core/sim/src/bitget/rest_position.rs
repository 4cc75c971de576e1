//! REST, positions and what may be opened (reference §7.4 and §16, with the recorded rows of V3).

use keel_core::decimal::POW10;
use keel_core::units::{E8, Lots, Price, Quote, Rate, Side, UnixNanos};
use serde::Serialize;
use serde_json::json;

use super::endpoint::Call;
use super::entry::{SIDES, instrument, instrument_if_any, is_futures, require_futures};
use super::hall::Hall;
use super::reject;
use super::rest_market::{limit, time_of};
use super::rest_trade::page;
use super::shape::{CATEGORY, MARGIN_COIN, PositionRow, direction_word};
use super::text::{Text, json as text_of};
use crate::account::{ClosedPosition, PositionView};
use crate::instrument::Rules;
use crate::order::{HoldMode, PosSide};
use crate::reject::Reject;

/// Open positions; `list` is null when there is none, as recorded.
pub(super) fn current(hall: &mut Hall, call: &Call) -> Result<String, Reject> {
    let params = &call.params;
    let futures = is_futures(params)?;
    let one = instrument_if_any(&hall.venue, params)?;
    let side = params.word("posSide", &[("long", 1i64), ("short", -1)])?;
    let views = hall.venue.positions(call.account());
    let rows: Vec<_> = views
        .iter()
        .filter(|_| futures)
        .filter(|view| one.is_none_or(|id| id == view.instrument))
        .filter(|view| side.is_none_or(|sign| view.position.lots.0.signum() == sign))
        .map(|view| PositionRow::of(view, &hall.venue.instrument(view.instrument).rules))
        .collect();
    let list = if rows.is_empty() { "null".to_owned() } else { text_of(&rows) };
    Ok(format!("{{\"list\":{list}}}"))
}

/// Positions that are over, the last closed first. One sample of the documentation names the
/// product by `productType`.
pub(super) fn history(hall: &mut Hall, call: &Call) -> Result<String, Reject> {
    let params = &call.params;
    let futures = match params.text("productType") {
        Some(product) if params.text("category").is_none() => {
            product.eq_ignore_ascii_case(CATEGORY)
        }
        _ => is_futures(params)?,
    };
    let one = instrument_if_any(&hall.venue, params)?;
    let (from, to) = (time_of(params, "startTime")?, time_of(params, "endTime")?);
    let before = params.parsed::<u64>("cursor")?.unwrap_or(u64::MAX);
    let limit = limit(params, 20, 100)?;
    let kept = |closed: &&ClosedPosition| {
        futures
            && closed.id < before
            && one.is_none_or(|id| id == closed.instrument)
            && from.is_none_or(|from: UnixNanos| closed.closed >= from)
            && to.is_none_or(|to: UnixNanos| closed.closed <= to)
    };
    let account = hall.venue.account(call.account());
    let mut closed: Vec<_> = account.closed().iter().filter(kept).collect();
    closed.sort_unstable_by_key(|closed| std::cmp::Reverse(closed.id));
    closed.truncate(limit);
    let last = closed.last().map(|closed| closed.id);
    let rules = |closed: &ClosedPosition| &hall.venue.instrument(closed.instrument).rules;
    let rows: Vec<_> = closed.iter().map(|closed| ClosedRow::of(closed, rules(closed))).collect();
    Ok(page(&rows, last))
}

/// How near each position is to being deleveraged, 0 to 1. The real venue's formula is not
/// published; here it is what [`PositionView::adl_score`] gives, squeezed below 1.
pub(super) fn adl_rank(hall: &mut Hall, call: &Call) -> Result<String, Reject> {
    let rank = |view: &PositionView| {
        let rate = view.adl_score().0.max(0);
        let squeezed = i128::from(rate) * i128::from(E8) / (i128::from(rate) + i128::from(E8));
        Rate(i64::try_from(squeezed).unwrap_or(E8) / 10_000 * 10_000)
    };
    let rows: Vec<_> = hall
        .venue
        .positions(call.account())
        .iter()
        .map(|view| {
            json!({
                "symbol": hall.venue.instrument(view.instrument).rules.symbol,
                "marginCoin": MARGIN_COIN,
                "adlRank": Text::from(rank(view)),
                "holdSide": direction_word(view.pos_side, side_of(view.position.lots)),
            })
        })
        .collect();
    Ok(text_of(&rows))
}

/// How much could be opened at a price, at the account's leverage and with what is free.
pub(super) fn max_open_available(hall: &mut Hall, call: &Call) -> Result<String, Reject> {
    let params = &call.params;
    require_futures(params)?;
    let id = instrument(&hall.venue, params)?;
    params.required("orderType")?;
    let side = params.word("side", &SIDES)?.ok_or_else(|| reject::empty("side"))?;
    let market = hall.venue.instrument(id);
    let price = match params.decimal("price")? {
        Some(price) => Price(price.e8().map_err(|_| Reject::NUMBER_RANGE)?),
        None => market.marks.mark,
    };
    if price.0 <= 0 {
        return Err(Reject::PRICE_NOT_POSITIVE);
    }
    let account = hall.venue.account(call.account());
    let leverage = account.holding(id).leverages()[side.index()];
    let free = hall.venue.account_view(call.account()).available;
    let grid = market.rules.grids.size;
    let lots = |money: Quote| {
        let value = i128::from(money.0) * i128::from(leverage);
        let scale = i128::from(POW10[usize::from(grid.scale)]);
        let lots = value * scale / (i128::from(price.0) * i128::from(grid.step));
        Lots(i64::try_from(lots).unwrap_or(i64::MAX).min(market.rules.limit_size_max.0))
    };
    let size = params.decimal("size")?.or(params.decimal("qty")?);
    let cost = match size.map(|size| grid.steps_of(size)) {
        None => Text::EMPTY,
        Some(Err(_)) => return Err(Reject::SIZE_OFF_GRID),
        Some(Ok(steps)) => {
            let steps = steps.clamp(0, market.rules.limit_size_max.0);
            let value = market.rules.grids.value_at(price, Lots(steps));
            Quote(value.0 / i64::from(leverage)).into()
        }
    };
    let open = Text::steps(grid, lots(free).0);
    Ok(json!({
        "available": Text::from(free),
        "maxOpen": open,
        "buyOpenCost": cost,
        "sellOpenCost": cost,
        "maxBuyOpen": open,
        "maxSellOpen": open,
        "maxBuyAvailable": "",
        "maxSellAvailable": "",
    })
    .to_string())
}

/// How much of a contract's open interest one user may hold, in the base coin.
pub(super) fn open_interest_limit(hall: &mut Hall, call: &Call) -> Result<String, Reject> {
    require_futures(&call.params)?;
    let id = instrument(&hall.venue, &call.params)?;
    let rules = &hall.venue.instrument(id).rules;
    let share = i128::from(rules.position_share_max.0);
    let lots = i128::from(hall.venue.open_interest(id).0) * share / i128::from(E8);
    let limit = Text::steps(rules.grids.size, i64::try_from(lots).unwrap_or(i64::MAX));
    Ok(json!({
        "symbol": rules.symbol,
        "singleUserLimit": limit,
        "masterSubLimit": limit,
        "marketMakerLimit": "0",
    })
    .to_string())
}

/// What could be taken out of the account.
pub(super) fn max_transferable(hall: &mut Hall, call: &Call) -> Result<String, Reject> {
    let coin = call.params.required("coin")?.to_ascii_uppercase();
    let view = hall.venue.account_view(call.account());
    let free = match coin.as_str() {
        MARGIN_COIN => view.withdrawable,
        _ => Quote::ZERO,
    };
    Ok(json!({
        "coin": reject::shown(&coin),
        "maxTransfer": Text::from(free),
        "borrowMaxTransfer": Text::from(free),
    })
    .to_string())
}

const fn side_of(lots: Lots) -> Side {
    if lots.0 < 0 { Side::Sell } else { Side::Buy }
}

/// A row of `position/history-position`.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ClosedRow<'a> {
    position_id: Text,
    category: &'static str,
    symbol: &'a str,
    margin_coin: &'static str,
    hold_mode: &'static str,
    pos_side: &'static str,
    margin_mode: &'static str,
    open_price_avg: Text,
    close_price_avg: Text,
    open_total_pos: Text,
    close_total_pos: Text,
    cum_realised_pnl: Text,
    net_profit: Text,
    total_funding: Text,
    open_fee_total: Text,
    close_fee_total: Text,
    created_time: Text,
    updated_time: Text,
}

impl<'a> ClosedRow<'a> {
    fn of(closed: &ClosedPosition, rules: &'a Rules) -> Self {
        let size = Text::steps(rules.grids.size, closed.size.abs().0);
        let mode = match closed.pos_side {
            PosSide::Net => HoldMode::OneWay,
            PosSide::Long | PosSide::Short => HoldMode::Hedge,
        };
        let net = closed.realized + closed.funding - closed.open_fee - closed.close_fee;
        Self {
            position_id: Text::whole(closed.id as i64),
            category: CATEGORY,
            symbol: &rules.symbol,
            margin_coin: MARGIN_COIN,
            hold_mode: mode.word(),
            pos_side: direction_word(closed.pos_side, side_of(closed.size)),
            margin_mode: closed.margin_mode.word(),
            open_price_avg: closed.open_price.into(),
            close_price_avg: closed.close_price.into(),
            open_total_pos: size,
            close_total_pos: size,
            cum_realised_pnl: closed.realized.into(),
            net_profit: net.into(),
            total_funding: closed.funding.into(),
            open_fee_total: (-closed.open_fee).into(),
            close_fee_total: (-closed.close_fee).into(),
            created_time: closed.created.into(),
            updated_time: closed.closed.into(),
        }
    }
}
