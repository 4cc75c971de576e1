//! The table of REST endpoints: path, who may call it, how often, and what answers.
//!
//! Limits are calls a second and user (per address for public ones), from reference §5 and §16; the
//! documentation counts each endpoint for itself.

use keel_core::units::UnixNanos;
use serde_json::Value;

use super::auth::Caller;
use super::hall::Hall;
use super::http::Request;
use super::params::Params;
use super::{
    rest_account as account, rest_market as market, rest_position as position,
    rest_strategy as strategy, rest_trade as trade, rest_user as user,
};
use crate::account::AccountId;
use crate::reject::Reject;

/// One REST endpoint.
pub(super) struct Endpoint {
    /// `GET` or `POST`.
    pub method: &'static str,
    /// The path.
    pub path: &'static str,
    /// Calls a second.
    pub per_second: u32,
    /// Who may call it.
    pub access: Access,
    /// The JSON of `data`.
    pub answer: fn(&mut Hall, &Call) -> Result<String, Reject>,
}

/// Who may call an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Anybody; the window is the address's.
    Public,
    /// Any key.
    Read,
    /// A key with `uta_trade`.
    Trade,
    /// A key with `uta_mgt`.
    Manage,
}

/// A request that has passed authentication and limits.
#[derive(Debug)]
pub(super) struct Call {
    /// Who calls; none for public endpoints.
    pub caller: Option<Caller>,
    /// `ACCESS-KEY`; empty for public endpoints.
    pub key: String,
    /// The query, or the body when that is an object.
    pub params: Params,
    /// The elements of the body when that is a list.
    pub list: Vec<Value>,
    /// Elements of `list` from this one on are refused as too many.
    pub refused_from: usize,
    /// When it came.
    pub now: UnixNanos,
}

impl Call {
    /// The account that calls.
    ///
    /// # Panics
    /// For a public endpoint, which has none.
    pub(super) fn account(&self) -> AccountId {
        self.caller.expect("a private endpoint has a caller").account
    }
}

/// The endpoint of a request, and its place in the table.
pub(super) fn find(request: &Request) -> Option<(usize, &'static Endpoint)> {
    ENDPOINTS.iter().enumerate().find(|(_, e)| e.path == request.path && e.method == request.method)
}

/// The place in the table of a path that is known to stand there: the name of its window.
///
/// # Panics
/// When it does not.
pub(super) fn place_of(path: &str) -> usize {
    ENDPOINTS.iter().position(|e| e.path == path).expect("a path of the table")
}

/// All endpoints.
pub(super) const ENDPOINTS: &[Endpoint] = &[
    public("/api/v2/public/time", 20, market::time),
    public("/api/v3/public/time", 20, market::time),
    // Clients of other people ask for it when they start, whatever they trade.
    public("/api/v2/spot/public/coins", 3, market::coins),
    public("/api/v3/market/instruments", 20, market::instruments),
    public("/api/v3/market/tickers", 20, market::tickers),
    public("/api/v3/market/orderbook", 20, market::order_book),
    public("/api/v3/market/candles", 20, market::candles),
    public("/api/v3/market/history-candles", 20, market::history_candles),
    public("/api/v3/market/fills", 20, market::fills),
    public("/api/v3/market/current-fund-rate", 20, market::current_fund_rate),
    public("/api/v3/market/history-fund-rate", 20, market::history_fund_rate),
    public("/api/v3/market/position-tier", 20, market::position_tier),
    public("/api/v3/market/open-interest", 20, market::open_interest),
    public("/api/v3/market/oi-limit", 10, market::interest_limit),
    public("/api/v3/market/index-components", 10, market::index_components),
    public("/api/v3/market/risk-reserve", 20, market::risk_reserve),
    read("/api/v3/account/assets", 20, account::assets),
    read("/api/v3/account/settings", 20, account::settings),
    read("/api/v3/account/info", 10, account::info),
    read("/api/v3/account/deduct-info", 1, account::deduction),
    read("/api/v3/account/fee-rate", 3, account::fee_rate),
    read("/api/v3/account/financial-records", 20, account::financial_records),
    read("/api/v3/account/max-transferable", 10, position::max_transferable),
    read("/api/v3/account/max-open-available", 10, position::max_open_available),
    // The documentation's sample is a POST, a current client sends a GET.
    ask("/api/v3/account/max-open-available", 10, position::max_open_available),
    read("/api/v3/account/open-interest-limit", 10, position::open_interest_limit),
    read("/api/v3/position/current-position", 20, position::current),
    read("/api/v3/position/history-position", 20, position::history),
    read("/api/v3/position/adlRank", 10, position::adl_rank),
    write("/api/v3/account/set-leverage", 10, account::set_leverage),
    write("/api/v3/account/set-margin", 10, account::set_margin),
    write("/api/v3/account/set-hold-mode", 10, account::set_hold_mode),
    read("/api/v3/account/sub-unified-assets", 1, user::sub_assets),
    manage("/api/v3/account/sub-transfer", 5, user::sub_transfer),
    manage("/api/v3/account/sub-master-transfer", 5, user::master_transfer),
    manage("/api/v3/user/create-sub", 10, user::create_sub),
    manage("/api/v3/user/freeze-sub", 10, user::freeze_sub),
    read("/api/v3/user/sub-list", 10, user::sub_list),
    manage("/api/v3/user/create-sub-api", 10, user::create_key),
    manage("/api/v3/user/update-sub-api", 10, user::update_key),
    manage("/api/v3/user/delete-sub-api", 10, user::delete_key),
    read("/api/v3/user/sub-api-list", 10, user::key_list),
    write("/api/v3/trade/place-order", 10, trade::place_order),
    write("/api/v3/trade/cancel-order", 10, trade::cancel_order),
    write("/api/v3/trade/modify-order", 10, trade::modify_order),
    write("/api/v3/trade/place-batch", 5, trade::place_batch),
    write("/api/v3/trade/cancel-batch", 5, trade::cancel_batch),
    write("/api/v3/trade/batch-modify-order", 10, trade::modify_batch),
    write("/api/v3/trade/cancel-symbol-order", 5, trade::cancel_symbol_order),
    write("/api/v3/trade/close-positions", 5, trade::close_positions),
    write("/api/v3/trade/countdown-cancel-all", 1, trade::countdown_cancel_all),
    read("/api/v3/trade/order-info", 20, trade::order_info),
    read("/api/v3/trade/unfilled-orders", 20, trade::unfilled_orders),
    read("/api/v3/trade/history-orders", 20, trade::history_orders),
    read("/api/v3/trade/fills", 20, trade::fills),
    write("/api/v3/trade/place-strategy-order", 10, strategy::place),
    write("/api/v3/trade/modify-strategy-order", 10, strategy::modify),
    write("/api/v3/trade/cancel-strategy-order", 10, strategy::cancel),
    read("/api/v3/trade/unfilled-strategy-orders", 20, strategy::unfilled),
    read("/api/v3/trade/history-strategy-orders", 20, strategy::history),
];

type Answer = fn(&mut Hall, &Call) -> Result<String, Reject>;

const fn public(path: &'static str, per_second: u32, answer: Answer) -> Endpoint {
    Endpoint { method: "GET", path, per_second, access: Access::Public, answer }
}

const fn read(path: &'static str, per_second: u32, answer: Answer) -> Endpoint {
    Endpoint { method: "GET", path, per_second, access: Access::Read, answer }
}

/// A question that is a POST.
const fn ask(path: &'static str, per_second: u32, answer: Answer) -> Endpoint {
    Endpoint { method: "POST", path, per_second, access: Access::Read, answer }
}

const fn manage(path: &'static str, per_second: u32, answer: Answer) -> Endpoint {
    Endpoint { method: "POST", path, per_second, access: Access::Manage, answer }
}

const fn write(path: &'static str, per_second: u32, answer: Answer) -> Endpoint {
    Endpoint { method: "POST", path, per_second, access: Access::Trade, answer }
}
