//! Rows that the private topics and the REST answers share: orders, fills, positions, the account.
//!
//! Field names are those of V3 (bitget reference §16); where socket and REST differ, either is
//! read.

use keel_core::event::{
    AccountReport, CancelReason, Fill, OrderStatus, OrderUpdate, PositionReport, Source,
};
use keel_core::instrument::{Instrument, InstrumentId};
use keel_core::units::{Lots, Price, Quote, Rate, Side, Ticks, UnixNanos};

use super::DecodeError;
use super::tape::Item;
use crate::bitget::client::Instance;
use crate::bitget::topics::Directory;

/// What is needed to understand a row.
pub(crate) struct Rows<'r> {
    pub(crate) directory: &'r Directory,
    pub(crate) instance: &'r Instance,
    pub(crate) fees: FeeSign<'r>,
}

/// What the sign of a fee means (disagreements 7 and 8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FeeSign<'r> {
    /// Positive is paid: the sockets.
    Paid,
    /// Either sign is paid: REST, whose sign differs between documentation and recordings, on an
    /// account without rebates.
    Either,
    /// As [`FeeSign::Either`] on an account with rebates: the fee of a maker's fill has the sign of
    /// the maker's rate of its instrument (decision 34), and means nothing while that is unknown.
    EitherUnlessMaker(&'r [Option<Rate>]),
}

impl Rows<'_> {
    /// An order; `None` when it is of another product or instrument.
    pub(crate) fn order(
        &self,
        row: Item<'_>,
        source: Source,
    ) -> Result<Option<OrderUpdate>, DecodeError> {
        let names = [
            "symbol",
            "category",
            "orderId",
            "clientOid",
            "price",
            "qty",
            "cumExecQty",
            "side",
            "orderStatus",
            "cancelReason",
            "reduceOnly",
            "updatedTime",
            "createdTime",
        ];
        let [
            symbol,
            category,
            order_id,
            client,
            price,
            qty,
            filled,
            side_,
            status,
            reason,
            reduce_only,
            updated,
            created,
        ] = row.fields(names)?;
        let Some((instrument, rules)) = self.instrument(symbol, category)? else {
            return Ok(None);
        };
        let lots = |item| steps(item, |number| rules.lot.steps_of(number)).map(Lots);
        Ok(Some(OrderUpdate {
            instrument,
            client: self.client(client)?,
            order_id: needed(order_id)?.id()?,
            side: side(needed(side_)?)?,
            status: status_of(needed(status)?.text()?)?,
            price: Ticks(steps(price, |number| rules.tick.steps_of(number))?),
            lots: lots(qty)?,
            filled: lots(filled)?,
            reason: reason.map_or(Ok(CancelReason::None), |reason| reason.text().map(reason_of))?,
            reduce_only: reduce_only.is_some_and(Item::is_yes),
            source,
            ts: needed(updated.and_then(Item::filled).or(created))?.millis()?,
        }))
    }

    /// An execution; `None` when it is of another product or instrument.
    pub(crate) fn fill(&self, row: Item<'_>, source: Source) -> Result<Option<Fill>, DecodeError> {
        let names = [
            "symbol",
            "category",
            "orderId",
            "clientOid",
            "execId",
            "execPrice",
            "execQty",
            "side",
            "tradeScope",
            "feeDetail",
            "execTime",
            "createdTime",
            "updatedTime",
        ];
        let [
            symbol,
            category,
            order_id,
            client,
            exec_id,
            price,
            qty,
            side_,
            scope,
            fees,
            at,
            created,
            updated,
        ] = row.fields(names)?;
        let Some((instrument, rules)) = self.instrument(symbol, category)? else {
            return Ok(None);
        };
        let maker = role(needed(scope)?.text()?)?;
        let fee = match fees {
            Some(fees) => self.fee(fees, maker.then_some(instrument))?,
            None => None,
        };
        let at = at.or(created).or(updated);
        let price = rules.tick.steps_of(needed(price)?.decimal()?)?;
        let lots = rules.lot.steps_of(needed(qty)?.decimal()?)?;
        if price <= 0 || lots <= 0 {
            return Err(DecodeError::Range);
        }
        Ok(Some(Fill {
            instrument,
            client: self.client(client)?,
            order_id: needed(order_id)?.id()?,
            trade_id: needed(exec_id)?.id()?,
            side: side(needed(side_)?)?,
            maker,
            price: Ticks(price),
            lots: Lots(lots),
            fee: fee.unwrap_or(Quote::ZERO),
            fee_known: fee.is_some(),
            source,
            ts: needed(at)?.millis()?,
        }))
    }

    /// A position; `None` when it is of another product or instrument. In one-way mode the side
    /// gives the sign; a size with a sign of its own is taken where no side is given.
    pub(crate) fn position(
        &self,
        row: Item<'_>,
        source: Source,
    ) -> Result<Option<PositionReport>, DecodeError> {
        let names = [
            "symbol",
            "category",
            "posSide",
            "size",
            "total",
            "avgPrice",
            "leverage",
            "updatedTime",
            "createdTime",
        ];
        let [symbol, category, side, size, total, entry, leverage, updated, created] =
            row.fields(names)?;
        let Some((instrument, rules)) = self.instrument(symbol, category)? else {
            return Ok(None);
        };
        let size = needed(size.or(total))?.decimal()?;
        let lots = rules.lot.steps_of(size)?;
        let lots = match side.map_or(Ok(&b""[..]), Item::text)? {
            b"long" if lots >= 0 => lots,
            b"short" if lots >= 0 => -lots,
            b"net" | b"" => lots,
            b"long" | b"short" => return Err(DecodeError::Range),
            _ => return Err(DecodeError::Word),
        };
        let entry = price(entry)?;
        Ok(Some(PositionReport {
            instrument,
            lots: Lots(lots),
            entry: if lots == 0 { Price::ZERO } else { entry },
            leverage: whole_part(leverage)?,
            source,
            ts: needed(updated.and_then(Item::filled).or(created))?.millis()?,
        }))
    }

    /// The instrument of a row, unless it is none of ours.
    fn instrument(
        &self,
        symbol: Option<Item<'_>>,
        category: Option<Item<'_>>,
    ) -> Result<Option<(InstrumentId, &Instrument)>, DecodeError> {
        if let Some(category) = category
            && !category.text()?.eq_ignore_ascii_case(super::push::PRODUCT)
        {
            return Ok(None);
        }
        Ok(self.directory.find(needed(symbol)?.text()?))
    }

    fn client(&self, item: Option<Item<'_>>) -> Result<keel_core::event::ClientId, DecodeError> {
        let text = item.map_or(Ok(&b""[..]), Item::text)?;
        Ok(self.instance.read(text))
    }

    /// What a fill cost in USDT, `made` by a maker where it is of one; `None` when that cannot be
    /// said.
    fn fee(
        &self,
        list: Item<'_>,
        made: Option<InstrumentId>,
    ) -> Result<Option<Quote>, DecodeError> {
        let Ok(list) = list.list() else {
            return Ok(None);
        };
        let mut total: Option<i64> = None;
        for entry in list {
            let [coin, fee] = entry.fields(["feeCoin", "fee"])?;
            let (Some(coin), Some(fee)) = (coin, fee.and_then(Item::filled)) else {
                return Ok(None);
            };
            let fee = fee.e8_truncated()?;
            if fee != 0 && !coin.text()?.eq_ignore_ascii_case(COIN) {
                return Ok(None);
            }
            let sum = total.unwrap_or(0).checked_add(fee).ok_or(DecodeError::Range)?;
            total = Some(sum);
        }
        let size = total.map(i64::saturating_abs);
        let paid = match (self.fees, made) {
            (FeeSign::Paid, _) => total,
            (FeeSign::EitherUnlessMaker(rates), Some(instrument)) => {
                let rate = rates.get(instrument.index()).copied().flatten();
                let sign = rate.map_or(0, |rate| rate.0.signum());
                // A rate of nothing gives a fee of anything no sign.
                size.filter(|&size| size == 0 || sign != 0).map(|size| size * sign)
            }
            (FeeSign::Either | FeeSign::EitherUnlessMaker(_), _) => size,
        };
        Ok(paid.map(Quote))
    }
}

/// The account, by its USDT; `None` when it holds no USDT row. `ts` is the message's own time.
///
/// Equity is what the venue calls the coin's `equity`: its balance and the unrealized profit.
pub(crate) fn account(
    row: Item<'_>,
    source: Source,
    ts: UnixNanos,
) -> Result<Option<AccountReport>, DecodeError> {
    let [coins, assets, ratio] = row.fields(["coin", "assets", "mgnRatio"])?;
    let margin_ratio = match ratio.and_then(Item::filled) {
        Some(ratio) => Rate(ratio.e8_truncated()?),
        None => Rate(-1),
    };
    for coin in needed(coins.or(assets))?.list()? {
        let [name, equity, balance, available] =
            coin.fields(["coin", "equity", "balance", "available"])?;
        if !needed(name)?.text()?.eq_ignore_ascii_case(COIN) {
            continue;
        }
        let equity = needed(equity)?.e8_truncated()?;
        let balance = needed(balance)?.e8_truncated()?;
        let unrealized = equity.checked_sub(balance).ok_or(DecodeError::Range)?;
        return Ok(Some(AccountReport {
            equity: Quote(equity),
            balance: Quote(balance),
            available: Quote(needed(available)?.e8_truncated()?),
            unrealized: Quote(unrealized),
            margin_ratio,
            source,
            ts,
        }));
    }
    Ok(None)
}

/// `buy` or `sell`, in any case.
pub(crate) fn side(item: Item<'_>) -> Result<Side, DecodeError> {
    let text = item.text()?;
    if text.eq_ignore_ascii_case(b"buy") {
        Ok(Side::Buy)
    } else if text.eq_ignore_ascii_case(b"sell") {
        Ok(Side::Sell)
    } else {
        Err(DecodeError::Word)
    }
}

/// The value that a row means nothing without.
pub(crate) fn needed(item: Option<Item<'_>>) -> Result<Item<'_>, DecodeError> {
    item.ok_or(DecodeError::Missing)
}

/// A price off the grid that may be missing or empty; never negative.
pub(crate) fn price(item: Option<Item<'_>>) -> Result<Price, DecodeError> {
    let price = item.and_then(Item::filled).map_or(Ok(0), Item::e8_truncated)?;
    if price < 0 { Err(DecodeError::Range) } else { Ok(Price(price)) }
}

/// The whole part of a small number such as a leverage; 0 when missing or empty.
pub(crate) fn whole_part(item: Option<Item<'_>>) -> Result<u16, DecodeError> {
    let number = item.and_then(Item::filled).map_or(Ok(0), Item::e8_truncated)?;
    u16::try_from(number / keel_core::units::E8).map_err(|_| DecodeError::Range)
}

/// Steps of a price or size that may be missing or empty, and is zero then; never negative.
fn steps(
    item: Option<Item<'_>>,
    grid: impl Fn(keel_core::decimal::Decimal) -> Result<i64, keel_core::decimal::DecimalError>,
) -> Result<i64, DecodeError> {
    let Some(item) = item.and_then(Item::filled) else {
        return Ok(0);
    };
    let steps = grid(item.decimal()?)?;
    if steps < 0 { Err(DecodeError::Range) } else { Ok(steps) }
}

fn role(text: &[u8]) -> Result<bool, DecodeError> {
    match text {
        b"maker" | b"MAKER" | b"M" => Ok(true),
        b"taker" | b"TAKER" | b"T" => Ok(false),
        _ => Err(DecodeError::Word),
    }
}

/// `orderStatus`; the venue spells the end of an order with one l or two.
fn status_of(text: &[u8]) -> Result<OrderStatus, DecodeError> {
    match text {
        b"new" | b"init" => Ok(OrderStatus::New),
        b"live" => Ok(OrderStatus::Live),
        b"partially_filled" => Ok(OrderStatus::PartiallyFilled),
        b"filled" => Ok(OrderStatus::Filled),
        b"cancelled" | b"canceled" => Ok(OrderStatus::Canceled),
        _ => Err(DecodeError::Word),
    }
}

/// `cancelReason`, an open list (bitget reference §13.1).
fn reason_of(text: &[u8]) -> CancelReason {
    let text = std::str::from_utf8(text).unwrap_or("?");
    let known = CancelReason::ALL.iter().find(|reason| reason.text() == text);
    known.copied().unwrap_or(CancelReason::Other)
}

/// The coin that everything settles in.
const COIN: &[u8] = b"usdt";
