//! Pushes by the second reader: market data in any key order, and everything of the account.

use keel_core::event::{Event, Source, Ticker, Trade};
use keel_core::instrument::{Instrument, InstrumentId};
use keel_core::units::{Lots, Price, Rate, Ticks, UnixNanos};

use super::page::{Books, Level};
use super::row::{self, FeeSign, Rows};
use super::tape::{Item, List};
use super::{DecodeError, Found, LEVELS_MAX, ROWS_MAX};
use crate::bitget::client::Instance;
use crate::bitget::topics::{Channel, Directory};

/// Where levels and rows go, and what is needed to understand them.
pub(super) struct Out<'o> {
    pub(super) directory: &'o Directory,
    pub(super) instance: &'o Instance,
    pub(super) levels: &'o mut Vec<Level>,
    pub(super) events: &'o mut Vec<Event>,
    pub(super) skipped: &'o mut u64,
}

/// The parts of a push.
pub(super) struct Push<'t> {
    pub(super) action: Item<'t>,
    pub(super) arg: Item<'t>,
    pub(super) data: Item<'t>,
    pub(super) ts: Option<Item<'t>>,
}

/// Reads a push of any topic.
pub(super) fn read(push: &Push<'_>, out: &mut Out<'_>) -> Result<Found, DecodeError> {
    let [product, topic, symbol, inst_id] =
        push.arg.fields(["instType", "topic", "symbol", "instId"])?;
    let (Some(product), Some(topic)) = (product, topic) else {
        return Err(DecodeError::Missing);
    };
    let Some(channel) = Channel::parse(topic.text()?) else {
        return Ok(Found::Unread);
    };
    let snapshot = match push.action.text()? {
        b"snapshot" => true,
        b"update" => false,
        _ => return Err(DecodeError::Word),
    };
    if channel.is_private() {
        return account(channel, push, out);
    }
    if !product.text()?.eq_ignore_ascii_case(PRODUCT) {
        return Ok(Found::Unread);
    }
    let symbol = match (symbol, inst_id) {
        (Some(symbol), None) | (None, Some(symbol)) => symbol.text()?,
        (Some(_), Some(_)) => return Err(DecodeError::Shape),
        (None, None) => return Err(DecodeError::Missing),
    };
    let (id, rules) = out.directory.find(symbol).ok_or(DecodeError::Symbol)?;
    match channel {
        Channel::PublicTrade => trades(push.data.list()?, id, rules, out.events),
        Channel::Ticker => ticker(push, id, out.events),
        _ => books(only(push.data.list()?)?, id, rules, snapshot, out.levels),
    }
}

fn books(
    row: Item<'_>,
    instrument: InstrumentId,
    rules: &Instrument,
    snapshot: bool,
    levels: &mut Vec<Level>,
) -> Result<Found, DecodeError> {
    let [a, b, seq, pseq, ts, checksum] =
        row.fields(["a", "b", "seq", "pseq", "ts", "checksum"])?;
    let (Some(a), Some(b), Some(seq), Some(ts)) = (a, b, seq, ts) else {
        return Err(DecodeError::Missing);
    };
    side(a.list()?, rules, levels)?;
    let asks = levels.len();
    side(b.list()?, rules, levels)?;
    Ok(Found::Books(Books {
        instrument,
        snapshot,
        seq: seq.whole()?,
        pseq: pseq.map_or(Ok(0), Item::whole)?,
        ts: ts.millis()?,
        checksum: checksum.map_or(Ok(0), Item::checksum)?,
        asks,
    }))
}

fn side(list: List<'_>, rules: &Instrument, levels: &mut Vec<Level>) -> Result<(), DecodeError> {
    if levels.len() + list.len() > LEVELS_MAX {
        return Err(DecodeError::TooMany);
    }
    for pair in list {
        let mut pair = pair.list()?;
        let (Some(price), Some(size), None) = (pair.next(), pair.next(), pair.next()) else {
            return Err(DecodeError::Shape);
        };
        levels.push(Level::new(price.decimal()?, size.decimal()?, rules)?);
    }
    Ok(())
}

fn trades(
    list: List<'_>,
    instrument: InstrumentId,
    rules: &Instrument,
    events: &mut Vec<Event>,
) -> Result<Found, DecodeError> {
    if list.len() > ROWS_MAX {
        return Err(DecodeError::TooMany);
    }
    for row in list {
        let [price, size, side, id, ts] = row.fields(["p", "v", "S", "i", "T"])?;
        let (Some(price), Some(size), Some(side), Some(id), Some(ts)) = (price, size, side, id, ts)
        else {
            return Err(DecodeError::Missing);
        };
        events.push(Event::Trade(Trade {
            instrument,
            taker: row::side(side)?,
            price: positive_ticks(rules.tick.steps_of(price.decimal()?)?)?,
            lots: positive_lots(rules.lot.steps_of(size.decimal()?)?)?,
            trade_id: id.id()?,
            ts: ts.millis()?,
        }));
    }
    oldest_first(events);
    Ok(Found::Rows)
}

/// Turns a batch of trades that came newest first.
pub(super) fn oldest_first(events: &mut [Event]) {
    let age = |event: &Event| match event {
        Event::Trade(trade) => (trade.ts, trade.trade_id),
        _ => (UnixNanos(0), 0),
    };
    if let [first, .., last] = &*events
        && age(first) > age(last)
    {
        events.reverse();
    }
}

/// A price of a trade, which is positive.
pub(super) fn positive_ticks(ticks: i64) -> Result<Ticks, DecodeError> {
    if ticks > 0 { Ok(Ticks(ticks)) } else { Err(DecodeError::Range) }
}

/// A size of a trade, which is positive.
pub(super) fn positive_lots(lots: i64) -> Result<Lots, DecodeError> {
    if lots > 0 { Ok(Lots(lots)) } else { Err(DecodeError::Range) }
}

fn ticker(
    push: &Push<'_>,
    instrument: InstrumentId,
    events: &mut Vec<Event>,
) -> Result<Found, DecodeError> {
    let row = only(push.data.list()?)?;
    let [last, mark, index, funding_rate, funding_at] =
        row.fields(["lastPrice", "markPrice", "indexPrice", "fundingRate", "nextFundingTime"])?;
    events.push(Event::Ticker(Ticker {
        instrument,
        last: optional_price(last)?,
        mark: optional_price(mark)?,
        index: optional_price(index)?,
        funding_rate: Rate(optional(funding_rate).map_or(Ok(0), Item::e8_truncated)?),
        funding_at: optional(funding_at).map_or(Ok(UnixNanos(0)), Item::millis)?,
        ts: optional(push.ts).map_or(Ok(UnixNanos(0)), Item::millis)?,
    }));
    Ok(Found::Rows)
}

fn optional(item: Option<Item<'_>>) -> Option<Item<'_>> {
    item.and_then(Item::filled)
}

fn optional_price(item: Option<Item<'_>>) -> Result<Price, DecodeError> {
    let price = optional(item).map_or(Ok(0), Item::e8_truncated)?;
    if price < 0 { Err(DecodeError::Range) } else { Ok(Price(price)) }
}

fn only(mut list: List<'_>) -> Result<Item<'_>, DecodeError> {
    match (list.next(), list.next()) {
        (Some(row), None) => Ok(row),
        _ => Err(DecodeError::Shape),
    }
}

fn account(channel: Channel, push: &Push<'_>, out: &mut Out<'_>) -> Result<Found, DecodeError> {
    let rows = push.data.rows()?;
    if rows.len() > ROWS_MAX {
        return Err(DecodeError::TooMany);
    }
    let ts = optional(push.ts).map_or(Ok(UnixNanos(0)), Item::millis)?;
    let reader = Rows { directory: out.directory, instance: out.instance, fees: FeeSign::Paid };
    for row in rows {
        let event = match channel {
            Channel::Order => reader.order(row, Source::Push)?.map(Event::OrderUpdate),
            Channel::Fill => reader.fill(row, Source::Push)?.map(Event::Fill),
            Channel::FastFill => reader.fill(row, Source::FastPush)?.map(Event::Fill),
            Channel::Position => reader.position(row, Source::Push)?.map(Event::PositionReport),
            _ => row::account(row, Source::Push, ts)?.map(Event::AccountReport),
        };
        match event {
            Some(event) => out.events.push(event),
            None => *out.skipped += 1,
        }
    }
    Ok(Found::Rows)
}

/// The product's name; V3 writes it in lower case on the sockets, in capitals over REST.
pub(super) const PRODUCT: &[u8] = b"usdt-futures";
