//! The rows of answers and pushes, with the venue's own field names and field order.
//!
//! The same thing has other names over REST and over the WebSocket; each is spelled here as the
//! recorded payloads have it. Fees are positive when paid over the WebSocket and negative over
//! REST.

use keel_core::units::{E8, Lots, Price, Quote, Side};
use serde::Serialize;

use super::text::Text;
use crate::account::{AccountView, PositionView};
use crate::order::{Fill, HoldMode, Order, OrderKind, OrderSource, PosSide};

/// The coin in which everything is margined here.
pub(super) const MARGIN_COIN: &str = "USDT";
/// The only product of this venue, as REST writes it.
pub(super) const CATEGORY: &str = "USDT-FUTURES";
/// The same, as the WebSocket writes it.
pub(super) const CATEGORY_LOWER: &str = "usdt-futures";

/// A fee of an order or a fill.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct FeeDetail {
    fee_coin: Option<&'static str>,
    fee: Option<Text>,
}

impl FeeDetail {
    const fn of(fee: Text) -> [Self; 1] {
        [Self { fee_coin: Some(MARGIN_COIN), fee: Some(fee) }]
    }

    /// What REST writes for an order without a fill.
    const NONE: [Self; 1] = [Self { fee_coin: None, fee: None }];
}

/// A row of the `order` topic.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct OrderPush<'a> {
    category: &'static str,
    symbol: &'a str,
    order_id: Text,
    client_oid: &'a str,
    price: Text,
    qty: Text,
    amount: &'static str,
    hold_mode: &'static str,
    hold_side: &'static str,
    delegate_type: &'static str,
    trade_side: &'static str,
    order_type: &'static str,
    time_in_force: &'static str,
    side: &'static str,
    margin_mode: &'static str,
    margin_coin: &'static str,
    reduce_only: &'static str,
    cum_exec_qty: Text,
    cum_exec_value: Text,
    avg_price: Text,
    total_profit: Text,
    order_status: &'static str,
    cancel_reason: &'static str,
    leverage: Text,
    fee_detail: [FeeDetail; 1],
    created_time: Text,
    updated_time: Text,
    stp_mode: &'static str,
}

impl<'a> OrderPush<'a> {
    /// The order as it stands.
    pub(super) fn of(order: &'a Order, symbol: &'a str) -> Self {
        let grids = &order.grids;
        Self {
            category: CATEGORY_LOWER,
            symbol,
            order_id: Text::whole(order.id.0 as i64),
            client_oid: &order.client_id,
            price: match order.kind {
                OrderKind::Limit => Text::steps(grids.price, order.price.0),
                OrderKind::Market => Text::EMPTY,
            },
            qty: Text::steps(grids.size, order.size.0),
            amount: "0",
            hold_mode: hold_mode_of(order.pos_side).word(),
            hold_side: pos_side_word(order.pos_side),
            delegate_type: delegate_type(order.source),
            trade_side: trade_side(order.closes(), order.source, order.pos_side, order.side),
            order_type: kind_word(order.kind),
            time_in_force: order.time_in_force.word(),
            side: side_word(order.side),
            margin_mode: order.margin_mode.word(),
            margin_coin: MARGIN_COIN,
            reduce_only: if order.reduce_only { "yes" } else { "no" },
            cum_exec_qty: Text::steps(grids.size, order.filled.0),
            cum_exec_value: order.filled_value.into(),
            avg_price: order.average_price().unwrap_or(Price::ZERO).into(),
            total_profit: order.realized.into(),
            order_status: order.status.word(),
            cancel_reason: order.cancel_reason.map_or("", |reason| reason.word()),
            leverage: Text::whole(i64::from(order.leverage)),
            fee_detail: FeeDetail::of(order.fee.into()),
            created_time: order.created.into(),
            updated_time: order.updated.into(),
            stp_mode: order.stp.word(),
        }
    }
}

/// Which of the lists of orders a row is for: each leaves something out, as recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OrderList {
    /// `order-info`: no `delegateType`.
    Info,
    /// `unfilled-orders`: no `tradeSide`, `cancelReason` and `execType`.
    Open,
    /// `history-orders`: no `tradeSide`.
    Done,
}

/// A row of `unfilled-orders`, `history-orders` and `order-info`.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct OrderRow<'a> {
    order_id: Text,
    client_oid: &'a str,
    category: &'static str,
    symbol: &'a str,
    order_type: &'static str,
    side: &'static str,
    price: Text,
    qty: Text,
    amount: &'static str,
    cum_exec_qty: Text,
    cum_exec_value: Text,
    avg_price: Text,
    time_in_force: &'static str,
    order_status: &'static str,
    pos_side: &'static str,
    hold_mode: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    trade_side: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delegate_type: Option<&'static str>,
    reduce_only: &'static str,
    margin_mode: &'static str,
    stp_mode: &'static str,
    take_profit: &'static str,
    stop_loss: &'static str,
    tp_trigger_by: &'static str,
    sl_trigger_by: &'static str,
    tp_order_type: &'static str,
    sl_order_type: &'static str,
    tp_limit_price: &'static str,
    sl_limit_price: &'static str,
    fee_detail: [FeeDetail; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    cancel_reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exec_type: Option<&'static str>,
    created_time: Text,
    updated_time: Text,
}

impl<'a> OrderRow<'a> {
    /// The order as it stands, in one of the three lists.
    pub(super) fn of(order: &'a Order, symbol: &'a str, list: OrderList) -> Self {
        let grids = &order.grids;
        let (info, open) = (list == OrderList::Info, list == OrderList::Open);
        Self {
            order_id: Text::whole(order.id.0 as i64),
            client_oid: &order.client_id,
            category: CATEGORY,
            symbol,
            order_type: kind_word(order.kind),
            side: side_word(order.side),
            price: Text::steps(grids.price, order.price.0),
            qty: Text::steps(grids.size, order.size.0),
            amount: "0",
            cum_exec_qty: Text::steps(grids.size, order.filled.0),
            cum_exec_value: order.filled_value.into(),
            avg_price: order.average_price().unwrap_or(Price::ZERO).into(),
            time_in_force: order.time_in_force.word(),
            order_status: order.status.word(),
            pos_side: pos_side_word(order.pos_side),
            hold_mode: hold_mode_of(order.pos_side).word(),
            trade_side: info
                .then(|| trade_side(order.closes(), order.source, order.pos_side, order.side)),
            delegate_type: (!info).then(|| delegate_type(order.source)),
            reduce_only: if order.reduce_only { "YES" } else { "NO" },
            margin_mode: order.margin_mode.word(),
            stp_mode: order.stp.word(),
            take_profit: "",
            stop_loss: "",
            tp_trigger_by: "",
            sl_trigger_by: "",
            tp_order_type: "",
            sl_order_type: "",
            tp_limit_price: "",
            sl_limit_price: "",
            fee_detail: match order.filled {
                Lots::ZERO => FeeDetail::NONE,
                _ => FeeDetail::of((-order.fee).into()),
            },
            cancel_reason: (!open).then(|| order.cancel_reason.map_or("", |reason| reason.word())),
            exec_type: (!open).then(|| exec_type(order.source)),
            created_time: order.created.into(),
            updated_time: order.updated.into(),
        }
    }
}

/// A row of the `fill` topic.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct FillPush<'a> {
    symbol: &'a str,
    order_type: &'static str,
    updated_time: Text,
    side: &'static str,
    order_id: Text,
    exec_pnl: Text,
    fee_detail: [FeeDetail; 1],
    exec_time: Text,
    trade_scope: &'static str,
    trade_side: &'static str,
    exec_id: Text,
    exec_link_id: Text,
    exec_price: Text,
    hold_side: &'static str,
    exec_value: Text,
    category: &'static str,
    exec_qty: Text,
    client_oid: &'a str,
    #[serde(rename = "isRPI")]
    is_rpi: &'static str,
}

impl<'a> FillPush<'a> {
    /// The fill.
    pub(super) fn of(fill: &'a Fill, symbol: &'a str) -> Self {
        let id = Text::whole(fill.trade.0 as i64);
        Self {
            symbol,
            order_type: kind_word(fill.kind),
            updated_time: fill.at.into(),
            side: side_word(fill.side),
            order_id: Text::whole(fill.order.0 as i64),
            exec_pnl: fill.realized.into(),
            fee_detail: FeeDetail::of(fill.fee.into()),
            exec_time: fill.at.into(),
            trade_scope: fill.role.word(),
            trade_side: trade_side(fill.closes, fill.source, fill.pos_side, fill.side),
            exec_id: id,
            exec_link_id: id,
            exec_price: Text::steps(fill.grids.price, fill.price.0),
            hold_side: pos_side_word(fill.pos_side),
            exec_value: fill.value.into(),
            category: CATEGORY,
            exec_qty: Text::steps(fill.grids.size, fill.size.0),
            client_oid: &fill.client_id,
            is_rpi: "no",
        }
    }
}

/// The object of the `fast-fill` topic: the same trade with fewer fields.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct FastFill<'a> {
    symbol: &'a str,
    updated_time: Text,
    side: &'static str,
    order_id: Text,
    exec_time: Text,
    trade_scope: &'static str,
    exec_id: Text,
    exec_price: Text,
    hold_side: &'static str,
    category: &'static str,
    exec_qty: Text,
    client_oid: &'a str,
}

impl<'a> FastFill<'a> {
    /// The fill.
    pub(super) fn of(fill: &'a Fill, symbol: &'a str) -> Self {
        Self {
            symbol,
            updated_time: fill.at.into(),
            side: side_word(fill.side),
            order_id: Text::whole(fill.order.0 as i64),
            exec_time: fill.at.into(),
            trade_scope: fill.role.word(),
            exec_id: Text::whole(fill.trade.0 as i64),
            exec_price: Text::steps(fill.grids.price, fill.price.0),
            hold_side: pos_side_word(fill.pos_side),
            category: CATEGORY_LOWER,
            exec_qty: Text::steps(fill.grids.size, fill.size.0),
            client_oid: &fill.client_id,
        }
    }
}

/// A row of `trade/fills`.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct FillRow<'a> {
    exec_id: Text,
    exec_link_id: Text,
    order_id: Text,
    client_oid: &'a str,
    category: &'static str,
    symbol: &'a str,
    order_type: &'static str,
    side: &'static str,
    exec_price: Text,
    exec_qty: Text,
    exec_value: Text,
    trade_scope: &'static str,
    trade_side: &'static str,
    fee_detail: [FeeDetail; 1],
    created_time: Text,
    updated_time: Text,
    exec_pnl: Text,
    #[serde(rename = "isRPI")]
    is_rpi: &'static str,
}

impl<'a> FillRow<'a> {
    /// The fill.
    pub(super) fn of(fill: &'a Fill, symbol: &'a str) -> Self {
        let id = Text::whole(fill.trade.0 as i64);
        Self {
            exec_id: id,
            exec_link_id: id,
            order_id: Text::whole(fill.order.0 as i64),
            client_oid: &fill.client_id,
            category: CATEGORY,
            symbol,
            order_type: kind_word(fill.kind),
            side: side_word(fill.side),
            exec_price: Text::steps(fill.grids.price, fill.price.0),
            exec_qty: Text::steps(fill.grids.size, fill.size.0),
            exec_value: fill.value.into(),
            trade_scope: fill.role.word(),
            trade_side: trade_side(fill.closes, fill.source, fill.pos_side, fill.side),
            fee_detail: FeeDetail::of((-fill.fee).into()),
            created_time: fill.at.into(),
            updated_time: fill.at.into(),
            exec_pnl: fill.realized.into(),
            is_rpi: "no",
        }
    }
}

/// A row of the `position` topic.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PositionPush<'a> {
    symbol: &'a str,
    leverage: Text,
    open_fee_total: Text,
    mmr: Text,
    break_even_price: Text,
    available: Text,
    liq_price: Text,
    margin_mode: &'static str,
    unrealised_pnl: Text,
    mark_price: Text,
    created_time: Text,
    avg_price: Text,
    total_funding_fee: Text,
    updated_time: Text,
    margin_coin: &'static str,
    frozen: Text,
    profit_rate: Text,
    close_fee_total: Text,
    margin_size: Text,
    cur_realised_pnl: Text,
    size: Text,
    position_status: &'static str,
    pos_side: &'static str,
    hold_mode: &'static str,
}

impl<'a> PositionPush<'a> {
    /// The position; `side` is what it is, or was before it was closed.
    pub(super) fn of(view: &PositionView, rules: &'a crate::instrument::Rules, side: Side) -> Self {
        let position = &view.position;
        let size = rules.grids.size;
        let total = position.lots.abs();
        Self {
            symbol: &rules.symbol,
            leverage: Text::whole(i64::from(view.leverage)),
            open_fee_total: (-position.open_fee).into(),
            mmr: view.mmr.into(),
            break_even_price: view.break_even_price.into(),
            available: Text::steps(size, total.0 - view.locked.0),
            liq_price: view.liquidation_price.map_or(Text::EMPTY, Text::from),
            margin_mode: view.margin_mode.word(),
            unrealised_pnl: view.unrealized.into(),
            mark_price: view.mark.into(),
            created_time: position.created.into(),
            avg_price: view.average_price.into(),
            total_funding_fee: position.funding.into(),
            updated_time: position.updated.into(),
            margin_coin: MARGIN_COIN,
            frozen: Text::steps(size, view.locked.0),
            profit_rate: profit_rate(view),
            close_fee_total: (-position.close_fee).into(),
            margin_size: view.initial_margin.into(),
            cur_realised_pnl: position.realized.into(),
            size: Text::steps(size, total.0),
            position_status: if total.is_zero() { "ended" } else { "opening" },
            pos_side: direction_word(view.pos_side, side),
            hold_mode: view.hold_mode.word(),
        }
    }
}

/// A row of `position/current-position`.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PositionRow<'a> {
    category: &'static str,
    symbol: &'a str,
    margin_coin: &'static str,
    hold_mode: &'static str,
    pos_side: &'static str,
    margin_mode: &'static str,
    position_balance: Text,
    available: Text,
    frozen: Text,
    total: Text,
    leverage: Text,
    cur_realised_pnl: Text,
    avg_price: Text,
    position_status: &'static str,
    unrealised_pnl: Text,
    liquidation_price: Text,
    mmr: Text,
    profit_rate: Text,
    mark_price: Text,
    break_even_price: Text,
    total_funding: Text,
    open_fee_total: Text,
    close_fee_total: Text,
    created_time: Text,
    updated_time: Text,
}

impl<'a> PositionRow<'a> {
    /// An open position.
    pub(super) fn of(view: &PositionView, rules: &'a crate::instrument::Rules) -> Self {
        let position = &view.position;
        let size = rules.grids.size;
        let total = position.lots.abs();
        let side = if position.lots.0 < 0 { Side::Sell } else { Side::Buy };
        Self {
            category: CATEGORY,
            symbol: &rules.symbol,
            margin_coin: MARGIN_COIN,
            hold_mode: view.hold_mode.word(),
            pos_side: direction_word(view.pos_side, side),
            margin_mode: view.margin_mode.word(),
            position_balance: view.initial_margin.into(),
            available: Text::steps(size, total.0 - view.locked.0),
            frozen: Text::steps(size, view.locked.0),
            total: Text::steps(size, total.0),
            leverage: Text::whole(i64::from(view.leverage)),
            cur_realised_pnl: position.realized.into(),
            avg_price: view.average_price.into(),
            position_status: "normal",
            unrealised_pnl: view.unrealized.into(),
            liquidation_price: view.liquidation_price.unwrap_or(Price::ZERO).into(),
            mmr: view.mmr.into(),
            profit_rate: profit_rate(view),
            mark_price: view.mark.into(),
            break_even_price: view.break_even_price.into(),
            total_funding: position.funding.into(),
            open_fee_total: (-position.open_fee).into(),
            close_fee_total: (-position.close_fee).into(),
            created_time: position.created.into(),
            updated_time: position.updated.into(),
        }
    }
}

/// A row of the `account` topic.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AccountPush {
    #[serde(rename = "unrealisedPnL")]
    unrealised_pnl: Text,
    total_equity: Text,
    position_mgn_ratio: Text,
    mmr: Text,
    eff_equity: Text,
    imr: Text,
    mgn_ratio: Text,
    coin: [CoinPush; 1],
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct CoinPush {
    debts: &'static str,
    balance: Text,
    available: Text,
    borrow: &'static str,
    locked: &'static str,
    equity: Text,
    coin: &'static str,
    usd_value: Text,
}

impl AccountPush {
    /// The account's money.
    pub(super) fn of(view: &AccountView) -> Self {
        Self {
            unrealised_pnl: view.unrealized.into(),
            total_equity: view.equity.into(),
            position_mgn_ratio: view.margin_ratio.into(),
            mmr: view.maintenance_margin.into(),
            eff_equity: view.equity.into(),
            imr: view.initial_margin.into(),
            mgn_ratio: view.margin_ratio.into(),
            coin: [CoinPush {
                debts: "0",
                balance: view.balance.into(),
                available: view.available.into(),
                borrow: "0",
                locked: "0",
                equity: view.equity.into(),
                coin: MARGIN_COIN,
                usd_value: view.equity.into(),
            }],
        }
    }
}

/// The object of `account/assets`.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Assets {
    account_equity: Text,
    usdt_equity: Text,
    btc_equity: Text,
    unrealised_pnl: Text,
    usdt_unrealised_pnl: Text,
    btc_unrealized_pnl: Text,
    eff_equity: Text,
    mmr: Text,
    imr: Text,
    mgn_ratio: Text,
    position_mgn_ratio: Text,
    assets: [Asset; 1],
}

/// What an account has of its one coin.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Asset {
    coin: &'static str,
    equity: Text,
    usd_value: Text,
    balance: Text,
    available: Text,
    debt: &'static str,
    locked: &'static str,
}

impl Assets {
    /// The account's money; `bitcoin` is the price for the sums that are stated in it.
    pub(super) fn of(view: &AccountView, bitcoin: Option<Price>) -> Self {
        let in_bitcoin = |money: Quote| match bitcoin {
            Some(price) if price.0 > 0 => {
                let coins = i128::from(money.0) * i128::from(E8) / i128::from(price.0);
                i64::try_from(coins).map_or(Text::EMPTY, Text::e8)
            }
            _ => Text::EMPTY,
        };
        Self {
            account_equity: view.equity.into(),
            usdt_equity: view.equity.into(),
            btc_equity: in_bitcoin(view.equity),
            unrealised_pnl: view.unrealized.into(),
            usdt_unrealised_pnl: view.unrealized.into(),
            btc_unrealized_pnl: in_bitcoin(view.unrealized),
            eff_equity: view.equity.into(),
            mmr: view.maintenance_margin.into(),
            imr: view.initial_margin.into(),
            mgn_ratio: view.margin_ratio.into(),
            position_mgn_ratio: view.margin_ratio.into(),
            assets: [Asset::of(view)],
        }
    }
}

impl Asset {
    /// The account's money.
    pub(super) fn of(view: &AccountView) -> Self {
        Self {
            coin: MARGIN_COIN,
            equity: view.equity.into(),
            usd_value: view.equity.into(),
            balance: view.balance.into(),
            available: view.available.into(),
            debt: "0",
            locked: "0",
        }
    }
}

/// The venue's word for a side.
pub(super) const fn side_word(side: Side) -> &'static str {
    match side {
        Side::Buy => "buy",
        Side::Sell => "sell",
    }
}

/// Long or short: the word for the position itself, which is never `net`.
pub(super) const fn direction_word(pos_side: PosSide, side: Side) -> &'static str {
    match (pos_side, side) {
        (PosSide::Long, _) | (PosSide::Net, Side::Buy) => "long",
        (PosSide::Short, _) | (PosSide::Net, Side::Sell) => "short",
    }
}

const fn pos_side_word(pos_side: PosSide) -> &'static str {
    match pos_side {
        PosSide::Net => "net",
        PosSide::Long => "long",
        PosSide::Short => "short",
    }
}

const fn hold_mode_of(pos_side: PosSide) -> HoldMode {
    match pos_side {
        PosSide::Net => HoldMode::OneWay,
        PosSide::Long | PosSide::Short => HoldMode::Hedge,
    }
}

const fn kind_word(kind: OrderKind) -> &'static str {
    match kind {
        OrderKind::Limit => "limit",
        OrderKind::Market => "market",
    }
}

/// What an order does to its position. Rows of ordinary orders say `open` or `close`, as recorded;
/// those of forced ones have the words of the venue's enumeration.
const fn trade_side(
    closes: bool,
    source: OrderSource,
    pos_side: PosSide,
    side: Side,
) -> &'static str {
    let words = match source {
        OrderSource::Normal
        | OrderSource::Modify
        | OrderSource::ClosePosition
        | OrderSource::Strategy => return if closes { "close" } else { "open" },
        OrderSource::Offset => ["", "", "offset_close_long", "offset_close_short"],
        OrderSource::Reduce => {
            ["reduce_sell_single", "reduce_buy_single", "reduce_close_long", "reduce_close_short"]
        }
        OrderSource::Liquidation | OrderSource::Bankruptcy => {
            ["burst_sell_single", "burst_buy_single", "burst_close_long", "burst_close_short"]
        }
        OrderSource::Adl => [
            "dte_sys_adl_sell_in_single_side_mode",
            "dte_sys_adl_buy_in_single_side_mode",
            "dte_sys_adl_close_long",
            "dte_sys_adl_close_short",
        ],
    };
    words[word_place(pos_side, side)]
}

/// The place of a word in a list of those for one-way mode, selling and buying, and of those for
/// hedge mode, selling and buying.
pub(super) const fn word_place(pos_side: PosSide, side: Side) -> usize {
    let hedge = match pos_side {
        PosSide::Net => 0,
        PosSide::Long | PosSide::Short => 2,
    };
    match side {
        Side::Sell => hedge,
        Side::Buy => hedge + 1,
    }
}

const fn delegate_type(source: OrderSource) -> &'static str {
    match source {
        OrderSource::Normal | OrderSource::Modify | OrderSource::ClosePosition => "normal",
        OrderSource::Strategy => "tpsl",
        OrderSource::Offset
        | OrderSource::Reduce
        | OrderSource::Liquidation
        | OrderSource::Bankruptcy => "liquidation",
        OrderSource::Adl => "adl",
    }
}

/// The venue's enumeration of `execType`. It has no word for auto-deleveraging, which is a forced
/// reduction.
const fn exec_type(source: OrderSource) -> &'static str {
    match source {
        OrderSource::Normal
        | OrderSource::Modify
        | OrderSource::ClosePosition
        | OrderSource::Strategy => "normal",
        OrderSource::Offset => "offset",
        OrderSource::Reduce | OrderSource::Adl => "reduce",
        OrderSource::Liquidation | OrderSource::Bankruptcy => "liquidation",
    }
}

/// Unrealized profit over margin.
fn profit_rate(view: &PositionView) -> Text {
    view.unrealized.share_of(view.initial_margin).map_or(Text::EMPTY, Text::from)
}
