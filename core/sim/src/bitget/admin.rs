//! The administration: what drills and tests do to the venue from outside, as JSON over HTTP.
//!
//! It is served on a loopback port of its own and asks for no key: whoever reaches it owns the
//! venue. A refusal has HTTP status 400 and `{"error": …}`.
//!
//! | Request | Body | Does |
//! |---|---|---|
//! | `GET /admin/state` | | tells clock, contracts and accounts |
//! | `POST /admin/order` | `account`, and those of place-order | places an order of that account |
//! | `POST /admin/cancel-all` | `account` | cancels its orders |
//! | `POST /admin/deposit`, `/admin/withdraw` | `account`, `amount` | moves money |
//! | `POST /admin/fees` | `account`, `maker`, `taker` (shares) | sets its rates |
//! | `POST /admin/status` | `symbol`, `status` | opens or closes a contract |
//! | `POST /admin/settle-funding` | `symbol` | settles funding now |
//! | `POST /admin/revoke-key` | `key` | removes a key |

use keel_core::units::{Quote, Rate, Side, UnixNanos};
use serde_json::{Value, json};

use super::entry;
use super::hall::{Answer, Hall};
use super::http::Request;
use super::params::Params;
use super::reject;
use super::text::Text;
use crate::account::{Account, AccountId, Fees};
use crate::instrument::Status;
use crate::reject::Reject;
use crate::venue::Venue;

/// Answers a request to the administration.
pub(super) fn answer(hall: &mut Hall, request: &Request, now: UnixNanos) -> Answer {
    let outcome = match (request.method.as_str(), request.path.as_str()) {
        ("GET", "/admin/state") => Ok(state(&hall.venue, now)),
        ("POST", path) => match serde_json::from_slice(&request.body) {
            Ok(body) => change(&mut hall.venue, path, &Params::of_value(body), now),
            Err(_) => Err(reject::VERIFICATION),
        },
        _ => Err(reject::URL_UNKNOWN),
    };
    let (status, body) = match outcome {
        Ok(body) => (200, body),
        Err(reject) => (400, json!({ "error": reject.to_string() })),
    };
    Answer { status, body: body.to_string(), remain: None }
}

fn change(venue: &mut Venue, path: &str, params: &Params, now: UnixNanos) -> Result<Value, Reject> {
    match path {
        "/admin/order" => {
            let ack = entry::place(venue, account(venue, params)?, params, now)?;
            Ok(json!({ "orderId": ack.order.0.to_string(), "clientOid": ack.client_id.as_ref() }))
        }
        "/admin/cancel-all" => {
            let acks = venue.cancel_all(account(venue, params)?, None, now);
            Ok(json!({ "canceled": acks.len() }))
        }
        "/admin/deposit" => {
            venue.deposit(account(venue, params)?, Quote(e8(params, "amount")?), now)?;
            Ok(json!({}))
        }
        "/admin/withdraw" => {
            venue.withdraw(account(venue, params)?, Quote(e8(params, "amount")?), now)?;
            Ok(json!({}))
        }
        "/admin/fees" => {
            let fees =
                Fees { maker: Rate(e8(params, "maker")?), taker: Rate(e8(params, "taker")?) };
            venue.set_fees(account(venue, params)?, None, fees)?;
            Ok(json!({}))
        }
        "/admin/status" => {
            let instrument = entry::instrument(venue, params)?;
            let status = params.word("status", &STATUSES)?;
            let status = status.ok_or_else(|| reject::empty("status"))?;
            venue.set_status(instrument, status, now);
            Ok(json!({}))
        }
        "/admin/settle-funding" => {
            let instrument = entry::instrument(venue, params)?;
            venue.settle_funding(instrument, now);
            Ok(json!({}))
        }
        "/admin/revoke-key" => Ok(json!({ "revoked": venue.revoke_key(&params.required("key")?) })),
        _ => Err(reject::URL_UNKNOWN),
    }
}

fn state(venue: &Venue, now: UnixNanos) -> Value {
    let contracts: Vec<Value> = venue
        .instruments()
        .iter()
        .map(|i| {
            let best = |side| i.book.best(side).map(|p| Text::steps(i.rules.grids.price, p.0));
            json!({
                "symbol": i.rules.symbol,
                "status": i.rules.status.word(),
                "mark": Text::from(i.marks.mark),
                "index": Text::from(i.marks.index),
                "fundingRate": Text::from(i.marks.funding_rate),
                "nextFunding": Text::from(i.next_funding),
                "bid": best(Side::Buy),
                "ask": best(Side::Sell),
            })
        })
        .collect();
    let clients = venue.accounts().iter().filter(|account| !account.house);
    let accounts: Vec<Value> = clients.map(|account| account_state(venue, account)).collect();
    json!({ "now": Text::from(now), "contracts": contracts, "accounts": accounts })
}

fn account_state(venue: &Venue, account: &Account) -> Value {
    let money = venue.account_view(account.id);
    let positions: Vec<Value> = venue
        .positions(account.id)
        .iter()
        .map(|view| {
            let rules = &venue.instrument(view.instrument).rules;
            let size = Text::steps(rules.grids.size, view.position.lots.0);
            json!({ "symbol": rules.symbol, "size": size })
        })
        .collect();
    json!({
        "name": account.name,
        "uid": account.uid.to_string(),
        "balance": Text::from(money.balance),
        "equity": Text::from(money.equity),
        "openOrders": account.open_orders().count(),
        "positions": positions,
    })
}

fn account(venue: &Venue, params: &Params) -> Result<AccountId, Reject> {
    let name = params.required("account")?;
    let found = venue.accounts().iter().find(|account| !account.house && account.name == name);
    found.map(|account| account.id).ok_or_else(|| reject::wrong("account", &name))
}

fn e8(params: &Params, name: &str) -> Result<i64, Reject> {
    let number = params.decimal(name)?.ok_or_else(|| reject::empty(name))?;
    number.e8().map_err(|_| reject::VERIFICATION)
}

const STATUSES: [(&str, Status); 6] = [
    ("listed", Status::Listed),
    ("online", Status::Online),
    ("limit_open", Status::LimitOpen),
    ("maintain", Status::Maintain),
    ("offline", Status::Offline),
    ("restrictedAPI", Status::RestrictedApi),
];
