//! REST, public market data (reference §6, with the names and shapes of V3).

use keel_core::units::{Lots, Price, Rate, Side, Ticks, UnixNanos};
use serde::Serialize;
use serde_json::{Value, json};

use super::endpoint::Call;
use super::entry::{instrument, instrument_if_any, is_futures, require_futures};
use super::feed::{Quotes, levels, wide};
use super::hall::Hall;
use super::params::Params;
use super::reject;
use super::shape::{CATEGORY, MARGIN_COIN, side_word};
use super::text::{Text, json as text_of};
use super::topic::Interval;
use crate::candle::Candle;
use crate::instrument::{Grids, Rules};
use crate::reject::Reject;
use crate::venue::{Instrument, Venue};

/// The venue's clock.
pub(super) fn time(hall: &mut Hall, call: &Call) -> Result<String, Reject> {
    Ok(json!({ "serverTime": Text::from(hall.faults.clock(call.now)) }).to_string())
}

/// Coins that can be deposited or withdrawn on some chain: there are none here.
pub(super) fn coins(_: &mut Hall, _: &Call) -> Result<String, Reject> {
    Ok("[]".to_owned())
}

/// Trading rules. Other products of the real venue have no contracts here, and no error either:
/// clients ask for all of them when they start.
pub(super) fn instruments(hall: &mut Hall, call: &Call) -> Result<String, Reject> {
    let rows: Vec<_> = asked_for(&hall.venue, &call.params)?
        .into_iter()
        .map(|i| RulesRow::of(&i.rules, hall.announced(i.id)))
        .collect();
    Ok(text_of(&rows))
}

/// Last prices, touch, 24 hours, marks.
pub(super) fn tickers(hall: &mut Hall, call: &Call) -> Result<String, Reject> {
    let rows: Vec<_> = asked_for(&hall.venue, &call.params)?
        .into_iter()
        .map(|i| TickerRow::of(i, &hall.venue, call.now))
        .collect();
    Ok(text_of(&rows))
}

/// The book, its levels as JSON numbers.
pub(super) fn order_book(hall: &mut Hall, call: &Call) -> Result<String, Reject> {
    require_futures(&call.params)?;
    let id = instrument(&hall.venue, &call.params)?;
    let limit = limit(&call.params, BOOK_LEVELS, BOOK_LEVELS_MAX)?;
    let instrument = hall.venue.instrument(id);
    let grids = &instrument.rules.grids;
    let side = |side| -> Vec<[f64; 2]> {
        levels(instrument, side, limit).into_iter().map(|level| numbers(grids, level)).collect()
    };
    let ts = Text::from(call.now);
    Ok(json!({ "a": side(Side::Sell), "b": side(Side::Buy), "ts": ts }).to_string())
}

/// Bars, the forming one among them, oldest first.
pub(super) fn candles(hall: &mut Hall, call: &Call) -> Result<String, Reject> {
    candle_rows(hall, call, CANDLES_MAX, true)
}

/// Bars that are complete, oldest first.
pub(super) fn history_candles(hall: &mut Hall, call: &Call) -> Result<String, Reject> {
    candle_rows(hall, call, HISTORY_CANDLES_MAX, false)
}

/// The latest prints, newest first.
pub(super) fn fills(hall: &mut Hall, call: &Call) -> Result<String, Reject> {
    require_futures(&call.params)?;
    let id = instrument(&hall.venue, &call.params)?;
    let limit = limit(&call.params, 100, 100)?;
    let instrument = hall.venue.instrument(id);
    let grids = &instrument.rules.grids;
    let newest_first = instrument.prints.iter().rev().take(limit);
    let rows: Vec<_> = newest_first
        .map(|print| {
            let id = Text::whole(print.trade.0 as i64);
            PrintRow {
                exec_id: id,
                exec_link_id: id,
                price: Text::steps(grids.price, print.price.0),
                size: Text::steps(grids.size, print.size.0),
                side: side_word(print.side),
                ts: print.at.into(),
                is_rpi: "no",
            }
        })
        .collect();
    Ok(text_of(&rows))
}

/// The rate of the next funding, of one contract or of all.
pub(super) fn current_fund_rate(hall: &mut Hall, call: &Call) -> Result<String, Reject> {
    let one = instrument_if_any(&hall.venue, &call.params)?;
    let rows: Vec<_> = hall
        .venue
        .instruments()
        .iter()
        .filter(|i| one.is_none_or(|id| id == i.id))
        .map(|i| FundRateRow {
            symbol: &i.rules.symbol,
            funding_rate: i.marks.funding_rate.into(),
            funding_rate_interval: Text::whole(i64::from(i.rules.fund_interval_hours)),
            next_update: i.next_funding.into(),
            min_funding_rate: i.rules.fund_rate_min.into(),
            max_funding_rate: i.rules.fund_rate_max.into(),
        })
        .collect();
    Ok(text_of(&rows))
}

/// Fundings of the past, newest first; `cursor` is the number of the page.
pub(super) fn history_fund_rate(hall: &mut Hall, call: &Call) -> Result<String, Reject> {
    require_futures(&call.params)?;
    let id = instrument(&hall.venue, &call.params)?;
    let limit = limit(&call.params, 20, 100)?;
    let page = call.params.parsed::<usize>("cursor")?.unwrap_or(1).max(1);
    let instrument = hall.venue.instrument(id);
    let skipped = limit.saturating_mul(page - 1);
    let rows: Vec<_> = instrument
        .fundings
        .iter()
        .rev()
        .skip(skipped)
        .take(limit)
        .map(|funding| PastFundRate {
            symbol: &instrument.rules.symbol,
            funding_rate: funding.rate.into(),
            funding_rate_timestamp: funding.at.into(),
        })
        .collect();
    Ok(format!("{{\"resultList\":{}}}", text_of(&rows)))
}

/// What the insurance fund had on each day, the latest first. The documentation has two of the
/// fields empty since July 2025.
pub(super) fn risk_reserve(hall: &mut Hall, call: &Call) -> Result<String, Reject> {
    require_futures(&call.params)?;
    instrument(&hall.venue, &call.params)?;
    let rows: Vec<_> = hall
        .venue
        .fund()
        .days()
        .rev()
        .map(|day| {
            json!({
                "type": "",
                "amount": Text::from(day.change),
                "balance": Text::from(day.balance),
                "ts": Text::from(day.start),
            })
        })
        .collect();
    let data = json!({
        "totalBalance": "",
        "coin": MARGIN_COIN,
        "riskReserveRecords": rows,
    });
    Ok(data.to_string())
}

/// The tiers of a contract.
pub(super) fn position_tier(hall: &mut Hall, call: &Call) -> Result<String, Reject> {
    require_futures(&call.params)?;
    let id = instrument(&hall.venue, &call.params)?;
    let tiers = &hall.venue.instrument(id).rules.tiers;
    let rows: Vec<_> = tiers
        .iter()
        .zip(1i64..)
        .map(|(tier, number)| TierRow {
            tier: Text::whole(number),
            min_tier_value: tier.start.into(),
            max_tier_value: tier.end.into(),
            leverage: Text::whole(i64::from(tier.leverage_max)),
            mmr: tier.mmr.into(),
        })
        .collect();
    Ok(text_of(&rows))
}

/// Open interest in the base coin.
pub(super) fn open_interest(hall: &mut Hall, call: &Call) -> Result<String, Reject> {
    let rows: Vec<Value> = asked_for(&hall.venue, &call.params)?
        .into_iter()
        .map(|i| {
            let size = Text::steps(i.rules.grids.size, hall.venue.open_interest(i.id).0);
            json!({ "symbol": i.rules.symbol, "openInterest": size })
        })
        .collect();
    Ok(json!({ "list": rows, "ts": Text::from(call.now) }).to_string())
}

/// The largest values that one user and all users may hold, of one contract or of all.
pub(super) fn interest_limit(hall: &mut Hall, call: &Call) -> Result<String, Reject> {
    let rows: Vec<Value> = asked_for(&hall.venue, &call.params)?
        .into_iter()
        .map(|i| {
            let whole = i.rules.grids.value_at(i.marks.mark, hall.venue.open_interest(i.id));
            let last = i.rules.tiers.last().map_or(whole, |tier| tier.end);
            json!({
                "symbol": i.rules.symbol,
                "notionalValue": Text::from(last),
                "totalNotionalValue": Text::from(whole.max(last)),
            })
        })
        .collect();
    Ok(text_of(&rows))
}

/// What the index of a contract is made of: here of one source, the record that the market follows.
pub(super) fn index_components(hall: &mut Hall, call: &Call) -> Result<String, Reject> {
    let instrument = hall.venue.instrument(instrument(&hall.venue, &call.params)?);
    let component = json!({
        "exchange": "BITGET",
        "spotPair": format!("{}/USDT", instrument.rules.base),
        "equivalentPrice": Text::from(instrument.marks.index),
        "weight": "1",
    });
    Ok(json!({ "symbol": instrument.rules.symbol, "componentList": [component] }).to_string())
}

/// A page size: `limit`, or `default`; silently capped at `max`, as the real venue does.
///
/// # Errors
/// 40020 when it is no positive number.
pub(super) fn limit(params: &Params, default: usize, max: usize) -> Result<usize, Reject> {
    match params.parsed::<usize>("limit")? {
        Some(0) => Err(reject::wrong("limit", "0")),
        limit => Ok(limit.unwrap_or(default).min(max)),
    }
}

/// A time in milliseconds.
///
/// # Errors
/// 40020 when it is no number.
pub(super) fn time_of(params: &Params, name: &str) -> Result<Option<UnixNanos>, Reject> {
    Ok(params.parsed::<i64>(name)?.map(UnixNanos::from_millis))
}

fn asked_for<'v>(venue: &'v Venue, params: &Params) -> Result<Vec<&'v Instrument>, Reject> {
    if !is_futures(params)? {
        return Ok(Vec::new());
    }
    let one = instrument_if_any(venue, params)?;
    Ok(venue.instruments().iter().filter(|i| one.is_none_or(|id| id == i.id)).collect())
}

fn candle_rows(hall: &Hall, call: &Call, max: usize, forming: bool) -> Result<String, Reject> {
    let params = &call.params;
    require_futures(params)?;
    let instrument = hall.venue.instrument(instrument(&hall.venue, params)?);
    // The documentation's table and its samples name the parameter differently.
    let word = match params.text("interval") {
        Some(word) => word,
        None => params.required("granularity")?,
    };
    let interval = Interval::of_word(&word).ok_or_else(|| reject::wrong("interval", &word))?;
    let series = [
        ("market", &instrument.candles),
        ("mark", &instrument.mark_candles),
        ("index", &instrument.index_candles),
    ];
    let series = params.word("type", &series)?.unwrap_or(&instrument.candles);
    let from = time_of(params, "startTime")?.unwrap_or(UnixNanos(i64::MIN));
    let to = time_of(params, "endTime")?.unwrap_or(UnixNanos(i64::MAX));
    let span_ns = i64::from(interval.minutes) * UnixNanos::MINUTE;
    let bars: Vec<Candle> = series
        .bars(interval.minutes)
        .into_iter()
        .filter(|bar| bar.start >= from && bar.start < to)
        .filter(|bar| forming || bar.start.0 + span_ns <= call.now.0)
        .collect();
    let limit = limit(params, 100, max)?;
    let rows: Vec<_> = bars[bars.len().saturating_sub(limit)..].iter().map(bar_row).collect();
    Ok(text_of(&rows))
}

fn bar_row(bar: &Candle) -> [Text; 7] {
    let [open, high, low, close] = [bar.open, bar.high, bar.low, bar.close].map(Text::from);
    [bar.start.into(), open, high, low, close, wide(bar.volume_e8), wide(bar.turnover_e8)]
}

fn numbers(grids: &Grids, (price, size): (Ticks, Lots)) -> [f64; 2] {
    [Text::steps(grids.price, price.0), Text::steps(grids.size, size.0)]
        .map(|text| text.as_str().parse().expect("a decimal text is a number"))
}

/// A row of `market/instruments`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct RulesRow<'a> {
    symbol: &'a str,
    category: &'static str,
    base_coin: &'a str,
    quote_coin: &'static str,
    is_rwa: &'static str,
    buy_limit_price_ratio: Text,
    sell_limit_price_ratio: Text,
    fee_rate_up_ratio: Text,
    maker_fee_rate: Text,
    taker_fee_rate: Text,
    open_cost_up_ratio: Text,
    min_order_qty: Text,
    max_order_qty: Text,
    price_precision: Text,
    quantity_precision: Text,
    quote_precision: &'static str,
    price_multiplier: Text,
    quantity_multiplier: Text,
    r#type: &'static str,
    min_order_amount: Text,
    max_symbol_order_num: Text,
    max_product_order_num: Text,
    max_position_num: Text,
    status: &'static str,
    off_time: &'static str,
    limit_open_time: &'static str,
    delivery_time: &'static str,
    delivery_start_time: &'static str,
    delivery_period: &'static str,
    launch_time: Text,
    fund_interval: Text,
    min_leverage: Text,
    max_leverage: Text,
    maintain_time: Text,
    symbol_type: &'static str,
    max_market_order_qty: Text,
}

impl<'a> RulesRow<'a> {
    fn of(rules: &'a Rules, maintained: Option<UnixNanos>) -> Self {
        let Grids { price, size } = rules.grids;
        let count = |n: u32| Text::whole(i64::from(n));
        Self {
            symbol: &rules.symbol,
            category: CATEGORY,
            base_coin: &rules.base,
            quote_coin: "USDT",
            is_rwa: "NO",
            buy_limit_price_ratio: rules.buy_band.into(),
            sell_limit_price_ratio: rules.sell_band.into(),
            fee_rate_up_ratio: rules.fee_up.into(),
            maker_fee_rate: rules.maker.into(),
            taker_fee_rate: rules.taker.into(),
            open_cost_up_ratio: rules.open_cost_up.into(),
            min_order_qty: Text::steps(size, rules.size_min.0),
            max_order_qty: Text::steps(size, rules.limit_size_max.0),
            price_precision: count(u32::from(price.scale)),
            quantity_precision: count(u32::from(size.scale)),
            quote_precision: "",
            price_multiplier: Text::steps(price, 1),
            quantity_multiplier: Text::steps(size, 1),
            r#type: "perpetual",
            min_order_amount: rules.notional_min.into(),
            max_symbol_order_num: count(rules.symbol_orders_max),
            max_product_order_num: count(rules.product_orders_max),
            max_position_num: count(rules.positions_max),
            status: rules.status.word(),
            off_time: "-1",
            limit_open_time: "-1",
            delivery_time: "",
            delivery_start_time: "",
            delivery_period: "",
            launch_time: Text::whole(rules.launched_ms),
            fund_interval: count(rules.fund_interval_hours),
            min_leverage: count(rules.leverage_min),
            max_leverage: count(rules.leverage_max),
            maintain_time: maintained.map_or(Text::EMPTY, Text::from),
            symbol_type: "crypto",
            max_market_order_qty: Text::steps(size, rules.market_size_max.0),
        }
    }
}

/// A row of `market/tickers`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct TickerRow<'a> {
    category: &'static str,
    symbol: &'a str,
    ts: Text,
    last_price: Text,
    open_price24h: Text,
    high_price24h: Text,
    low_price24h: Text,
    ask1_price: Text,
    bid1_price: Text,
    bid1_size: Text,
    ask1_size: Text,
    price24h_pcnt: Text,
    volume24h: Text,
    turnover24h: Text,
    index_price: Text,
    mark_price: Text,
    funding_rate: Text,
    open_interest: Text,
    delivery_start_time: &'static str,
    delivery_time: &'static str,
    delivery_status: &'static str,
}

impl<'a> TickerRow<'a> {
    fn of(instrument: &'a Instrument, venue: &Venue, now: UnixNanos) -> Self {
        let quotes = Quotes::of(instrument, venue, now);
        let [ask1_price, ask1_size, bid1_price, bid1_size] = quotes.touch;
        let [open_price24h, high_price24h, low_price24h] = quotes.day;
        let [price24h_pcnt, volume24h, turnover24h] = quotes.moved;
        let price = |price: Price| Text::from(price);
        Self {
            category: CATEGORY,
            symbol: &instrument.rules.symbol,
            ts: now.into(),
            last_price: quotes.last,
            open_price24h,
            high_price24h,
            low_price24h,
            ask1_price,
            bid1_price,
            bid1_size,
            ask1_size,
            price24h_pcnt,
            volume24h,
            turnover24h,
            index_price: price(instrument.marks.index),
            mark_price: price(instrument.marks.mark),
            funding_rate: Text::from(Rate(instrument.marks.funding_rate.0)),
            open_interest: quotes.open_interest,
            delivery_start_time: "",
            delivery_time: "",
            delivery_status: "",
        }
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct PrintRow {
    exec_id: Text,
    exec_link_id: Text,
    price: Text,
    size: Text,
    side: &'static str,
    ts: Text,
    #[serde(rename = "isRPI")]
    is_rpi: &'static str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct FundRateRow<'a> {
    symbol: &'a str,
    funding_rate: Text,
    funding_rate_interval: Text,
    next_update: Text,
    min_funding_rate: Text,
    max_funding_rate: Text,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct PastFundRate<'a> {
    symbol: &'a str,
    funding_rate: Text,
    funding_rate_timestamp: Text,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct TierRow {
    tier: Text,
    min_tier_value: Text,
    max_tier_value: Text,
    leverage: Text,
    mmr: Text,
}

/// Levels a side when none are asked for.
const BOOK_LEVELS: usize = 100;
/// Levels a side at most (200 in 2025).
const BOOK_LEVELS_MAX: usize = 1000;
/// Bars of one answer at most.
const CANDLES_MAX: usize = 1000;
/// Complete bars of one answer at most.
const HISTORY_CANDLES_MAX: usize = 100;
