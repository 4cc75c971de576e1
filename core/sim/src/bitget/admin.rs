//! The administration: what drills and tests do to the venue from outside, as JSON over HTTP.
//!
//! It is served on a loopback port of its own and asks for no key: whoever reaches it owns the
//! venue. A refusal has HTTP status 400 and `{"error": …}`. All requests and their fields stand in
//! `docs/exchange-admin.md`.

use keel_core::decimal::Grid;
use keel_core::units::{E8, Lots, Quote, Rate, Side, UnixNanos};
use serde_json::{Value, json};

use super::auth;
use super::clock::Turn;
use super::entry;
use super::hall::{Answer, Hall, Maintenance, Manner};
use super::http::Request;
use super::params::Params;
use super::reject;
use super::rest_user::ACCOUNTS_MAX;
use super::shape::side_word;
use super::text::Text;
use crate::account::{Account, AccountId, Fees, NewAccount, Permissions};
use crate::fault::{Act, Damage, Fault, FaultId, Scope};
use crate::instrument::{BandReference, Rules, Status};
use crate::order::{Order, PosSide};
use crate::reject::Reject;
use crate::venue::Venue;

/// Answers a request to the administration.
pub(super) fn answer(hall: &mut Hall, request: &Request, now: UnixNanos) -> Answer {
    let outcome = match (request.method.as_str(), request.path.as_str()) {
        ("GET", "/admin/state") => Ok(state(hall, now)),
        ("GET", "/admin/faults") => Ok(faults(hall)),
        ("POST", path) => match serde_json::from_slice(&request.body) {
            Ok(body) => change(hall, path, &body, now),
            Err(_) => Err(reject::VERIFICATION),
        },
        _ => Err(reject::URL_UNKNOWN),
    };
    let (status, body) = match outcome {
        Ok(body) => (200, body),
        Err(reject) => (400, json!({ "error": reject.to_string() })),
    };
    Answer { status, body: body.to_string(), remain: None, manner: Manner::Json }
}

fn change(hall: &mut Hall, path: &str, body: &Value, now: UnixNanos) -> Result<Value, Reject> {
    let params = &Params::of_value(body.clone());
    match path {
        "/admin/account" => open_account(hall, params, now),
        "/admin/key" => make_key(hall, params, body, now),
        "/admin/revoke-key" => {
            let key = params.required("key")?.into_owned();
            let revoked = hall.venue.revoke_key(&key);
            hall.revoked.push(key);
            Ok(json!({ "revoked": revoked }))
        }
        "/admin/price" => {
            let instrument = entry::instrument(&hall.venue, params)?;
            let percent = e8(params, "percent")?;
            let to_ppm = u32::try_from(percent / 100 / 100 + 1_000_000).ok();
            let to_ppm = to_ppm.filter(|ppm| (100_000..=10_000_000).contains(ppm));
            let to_ppm = to_ppm.ok_or_else(|| reject::wrong("percent", "out of range"))?;
            let moved = hall.market.move_price(&mut hall.venue, instrument, to_ppm, now);
            Ok(json!({ "moved": moved }))
        }
        "/admin/rules" => change_rules(&mut hall.venue, params, now),
        "/admin/maintenance" => announce(hall, params, now),
        "/admin/advance" => {
            let ms = params.parsed::<i64>("ms")?.ok_or_else(|| reject::empty("ms"))?;
            if !(1..=ADVANCE_MS_MAX).contains(&ms) {
                return Err(reject::wrong("ms", &ms.to_string()));
            }
            hall.advance_ns = hall.advance_ns.saturating_add(ms * MILLIS);
            Ok(json!({}))
        }
        "/admin/freeze" => turn(hall, Turn::Freeze),
        "/admin/resume" => turn(hall, Turn::Resume),
        "/admin/speed" => {
            let speed_e8 = e8(params, "speed")?;
            if !(SPEED_LEAST_E8..=SPEED_MOST_E8).contains(&speed_e8) {
                return Err(reject::wrong("speed", "0.001 to 10000"));
            }
            turn(hall, Turn::Speed(speed_e8))
        }
        "/admin/order-entry" => {
            let open = body["websocket"].as_bool().ok_or_else(|| reject::empty("websocket"))?;
            hall.config.websocket_orders = open;
            Ok(json!({}))
        }
        "/admin/fault" => inject(hall, params, now),
        "/admin/clear-fault" => {
            let cleared = match params.parsed::<u64>("fault")? {
                Some(id) => hall.faults.clear(FaultId(id)),
                None => {
                    hall.faults.clear_all();
                    true
                }
            };
            hall.late.release(now);
            Ok(json!({ "cleared": cleared }))
        }
        _ => trade(&mut hall.venue, path, params, now),
    }
}

fn turn(hall: &mut Hall, turn: Turn) -> Result<Value, Reject> {
    hall.turn = Some(turn);
    Ok(json!({}))
}

fn trade(venue: &mut Venue, path: &str, params: &Params, now: UnixNanos) -> Result<Value, Reject> {
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
        "/admin/insurance-fund" => {
            venue.set_fund(Quote(e8(params, "amount")?));
            Ok(json!({}))
        }
        "/admin/fees" => {
            let one = entry::instrument_if_any(venue, params)?;
            venue.set_fees(account(venue, params)?, one, fees(params)?)?;
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
        "/admin/adl" => {
            let (id, account) = (entry::instrument(venue, params)?, account(venue, params)?);
            let sides = [("net", PosSide::Net), ("long", PosSide::Long), ("short", PosSide::Short)];
            let side = params.word("posSide", &sides)?.unwrap_or(PosSide::Net);
            let size = params.decimal("size")?.ok_or_else(|| reject::empty("size"))?;
            let grid = venue.instrument(id).rules.grids.size;
            let lots = Lots(grid.steps_of(size).map_err(|_| Reject::SIZE_OFF_GRID)?);
            venue.deleverage(account, id, side, lots, now)?;
            Ok(json!({}))
        }
        _ => Err(reject::URL_UNKNOWN),
    }
}

fn open_account(hall: &mut Hall, params: &Params, now: UnixNanos) -> Result<Value, Reject> {
    let name = params.required("name")?.into_owned();
    let venue = &mut hall.venue;
    let accounts = venue.accounts();
    let free = accounts.iter().map(|a| a.uid).max().unwrap_or(0) + 1;
    let uid = params.parsed::<u64>("uid")?.unwrap_or(free);
    let parent = params.text("parent").map(|parent| {
        let found = accounts.iter().find(|a| !a.house && a.name == parent);
        found.map(|a| a.id).ok_or_else(|| reject::wrong("parent", &parent))
    });
    let parent = parent.transpose()?;
    if accounts.iter().any(|a| a.name == name || (!a.house && a.uid == uid)) {
        return Err(reject::wrong("name", &name));
    }
    if accounts.len() >= ACCOUNTS_MAX {
        return Err(reject::wrong("name", "too many accounts"));
    }
    let deposit = params.decimal("deposit")?.map(|_| e8(params, "deposit")).transpose()?;
    let fees = if params.text("vip").is_some() || params.text("maker").is_some() {
        Some(fees(params)?)
    } else {
        None
    };
    let id = venue.open_account(NewAccount { name, uid, parent }, now);
    if let Some(fees) = fees {
        venue.set_fees(id, None, fees)?;
    }
    if let Some(amount) = deposit {
        venue.deposit(id, Quote(amount), now)?;
    }
    Ok(json!({ "uid": uid.to_string() }))
}

fn make_key(
    hall: &mut Hall,
    params: &Params,
    body: &Value,
    now: UnixNanos,
) -> Result<Value, Reject> {
    let account = account(&hall.venue, params)?;
    let texts = |name: &str| -> Vec<String> {
        let list = body[name].as_array().into_iter().flatten();
        list.filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let mut permissions = Permissions::READ;
    for word in texts("permissions") {
        match word.as_str() {
            "uta_trade" => permissions.trade = true,
            "uta_mgt" => permissions.manage = true,
            "withdraw" => permissions.withdraw = true,
            other => return Err(reject::wrong("permissions", other)),
        }
    }
    let mut key = auth::drawn_key(permissions, texts("ips"), &mut hall.random, now);
    key.demo = body["demo"] == json!(true);
    let made = json!({ "key": key.key, "secret": key.secret, "passphrase": key.passphrase });
    hall.venue.add_key(account, key);
    Ok(made)
}

/// Changes what is named of a contract's rules; the names are those of `market/instruments`.
fn change_rules(venue: &mut Venue, params: &Params, now: UnixNanos) -> Result<Value, Reject> {
    let id = entry::instrument(venue, params)?;
    let mut rules: Rules = venue.instrument(id).rules.clone();
    let grid = |name: &str, grid: Grid| match params.decimal(name)? {
        None => Ok(grid),
        Some(step) => Ok(Grid { step: step.mantissa, scale: step.scale }),
    };
    rules.grids.price = grid("priceMultiplier", rules.grids.price)?;
    rules.grids.size = grid("quantityMultiplier", rules.grids.size)?;
    let size = rules.grids.size;
    for (name, lots) in [
        ("minOrderQty", &mut rules.size_min),
        ("maxOrderQty", &mut rules.limit_size_max),
        ("maxMarketOrderQty", &mut rules.market_size_max),
    ] {
        if let Some(number) = params.decimal(name)? {
            *lots = Lots(size.steps_of(number).map_err(|_| reject::wrong(name, "off its grid"))?);
        }
    }
    for (name, rate) in [
        ("buyLimitPriceRatio", &mut rules.buy_band),
        ("sellLimitPriceRatio", &mut rules.sell_band),
        ("makerFeeRate", &mut rules.maker),
        ("takerFeeRate", &mut rules.taker),
        ("liquidationFeeRate", &mut rules.liquidation_fee),
    ] {
        if params.text(name).is_some() {
            *rate = Rate(e8(params, name)?);
        }
    }
    for (name, count) in [
        ("maxSymbolOrderNum", &mut rules.symbol_orders_max),
        ("maxProductOrderNum", &mut rules.product_orders_max),
        ("maxPositionNum", &mut rules.positions_max),
        ("fundInterval", &mut rules.fund_interval_hours),
        ("maxLeverage", &mut rules.leverage_max),
    ] {
        *count = params.parsed(name)?.unwrap_or(*count);
    }
    let references = [("mark", BandReference::Mark), ("last", BandReference::Last)];
    let reference = params.word("bandReference", &references)?;
    rules.band_reference = reference.unwrap_or(rules.band_reference);
    if params.text("minOrderAmount").is_some() {
        rules.notional_min = Quote(e8(params, "minOrderAmount")?);
    }
    let refused = |error| Reject::with(40017, format!("the rules cannot be: {error:?}"));
    venue.change_rules(id, rules, now).map_err(refused)?;
    Ok(json!({}))
}

/// Announces maintenance of a contract: `maintainTime` says when; from then on nothing can be
/// placed, until it is over.
fn announce(hall: &mut Hall, params: &Params, now: UnixNanos) -> Result<Value, Reject> {
    let instrument = entry::instrument(&hall.venue, params)?;
    let ms = |name: &str| -> Result<i64, Reject> {
        let ms = params.parsed::<i64>(name)?.ok_or_else(|| reject::empty(name))?;
        if (0..=ADVANCE_MS_MAX).contains(&ms) {
            Ok(ms * MILLIS)
        } else {
            Err(reject::wrong(name, &ms.to_string()))
        }
    };
    let from = UnixNanos(now.0 + ms("inMs")?);
    let until = UnixNanos(from.0 + ms("forMs")?);
    hall.maintenance.push(Maintenance { instrument, from, until });
    Ok(json!({ "from": Text::from(from), "until": Text::from(until) }))
}

fn inject(hall: &mut Hall, params: &Params, now: UnixNanos) -> Result<Value, Reject> {
    let ns = |name: &str| -> Result<i64, Reject> {
        let ms = params.parsed::<i64>(name)?.ok_or_else(|| reject::empty(name))?;
        if ms.abs() > ADVANCE_MS_MAX {
            return Err(reject::wrong(name, &ms.to_string()));
        }
        Ok(ms * MILLIS)
    };
    let accepted = || Ok(params.word("accepted", &entry::YES_NO)?.unwrap_or(false));
    let word = params.required("act")?;
    let act = match &*word {
        "delay" => {
            let least_ns = ns("ms")?;
            let most_ns = if params.text("mostMs").is_some() { ns("mostMs")? } else { least_ns };
            Act::Delay { least_ns, most_ns }
        }
        "drop" => Act::Drop,
        "duplicate" => Act::Duplicate,
        "stall" => Act::Stall,
        "cut" => Act::Cut,
        "damage-checksum" => Act::Damage(Damage::Checksum),
        "damage-sequence" => Act::Damage(Damage::Sequence),
        "damage-level" => Act::Damage(Damage::Level),
        "fail" => {
            let status = params.parsed::<u16>("status")?.unwrap_or(500);
            if !(500..=599).contains(&status) {
                return Err(reject::wrong("status", &status.to_string()));
            }
            Act::Fail { status, accepted: accepted()? }
        }
        "lose-answer" => Act::LoseAnswer { accepted: accepted()? },
        "answer-late" => Act::AnswerLate { ns: ns("ms")? },
        "accept-late" => Act::AcceptLate { ns: ns("ms")? },
        "partial-batch" => Act::PartialBatch,
        "refuse-rows" => Act::RefuseRows,
        "cancel-late" => Act::CancelLate { ns: ns("ms")? },
        "too-many" => Act::TooMany,
        "ban" => Act::Ban,
        "maintenance" => Act::Maintenance,
        "skew" => Act::Skew { ns: ns("ms")? },
        other => return Err(reject::wrong("act", other)),
    };
    let account = params.text("account").map(|_| account(&hall.venue, params)).transpose()?;
    let until = match params.text("forMs") {
        Some(_) => Some(UnixNanos(now.0 + ns("forMs")?)),
        None => None,
    };
    let share = match params.text("share") {
        Some(_) => Rate(e8(params, "share")?.clamp(0, E8)),
        None => Rate(E8),
    };
    let on = Scope { account, name: params.text("on").map(|name| name.into_owned()) };
    let fault = Fault { act, on, until, times: params.parsed("times")?, share };
    Ok(json!({ "fault": hall.faults.inject(fault).0 }))
}

fn faults(hall: &Hall) -> Value {
    let rows: Vec<Value> = hall
        .faults
        .list()
        .map(|(id, fault, acted)| {
            json!({
                "fault": id.0,
                "act": format!("{:?}", fault.act),
                "on": fault.on.name,
                "until": fault.until.map(Text::from),
                "acted": acted,
            })
        })
        .collect();
    json!({ "faults": rows })
}

fn state(hall: &Hall, now: UnixNanos) -> Value {
    let venue = &hall.venue;
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
    json!({
        "now": Text::from(now),
        "speed": Text::e8(hall.speed_e8),
        "insuranceFund": Text::from(venue.fund().balance()),
        "refusedForRate": hall.windows.refused,
        "contracts": contracts,
        "accounts": accounts,
    })
}

fn account_state(venue: &Venue, account: &Account) -> Value {
    let money = venue.account_view(account.id);
    let positions: Vec<Value> = venue
        .positions(account.id)
        .iter()
        .map(|view| {
            let rules = &venue.instrument(view.instrument).rules;
            let size = Text::steps(rules.grids.size, view.position.lots.0);
            json!({
                "symbol": rules.symbol,
                "size": size,
                "marginMode": view.margin_mode.word(),
                "marginRatio": Text::from(view.margin_ratio),
            })
        })
        .collect();
    let orders = account.open_orders().filter_map(|id| venue.order(id));
    let orders: Vec<Value> = orders.map(|order| order_state(venue, order)).collect();
    json!({
        "name": account.name,
        "uid": account.uid.to_string(),
        "balance": Text::from(money.balance),
        "equity": Text::from(money.equity),
        "funding": Text::from(account.totals().funding),
        "fees": Text::from(account.totals().fees),
        "openOrders": account.open_orders().count(),
        "orders": orders,
        "fills": account.fills().len(),
        "positions": positions,
    })
}

/// A resting order, for whoever must know the truth of it.
fn order_state(venue: &Venue, order: &Order) -> Value {
    json!({
        "orderId": order.id.0.to_string(),
        "clientOid": &*order.client_id,
        "symbol": venue.instrument(order.instrument).rules.symbol,
        "side": side_word(order.side),
        "price": Text::steps(order.grids.price, order.price.0),
        "size": Text::steps(order.grids.size, order.size.0),
        "filled": Text::steps(order.grids.size, order.filled.0),
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

fn fees(params: &Params) -> Result<Fees, Reject> {
    match params.parsed::<usize>("vip")? {
        Some(level @ 0..=7) => Ok(Fees::vip(level)),
        Some(level) => Err(reject::wrong("vip", &level.to_string())),
        None => Ok(Fees { maker: Rate(e8(params, "maker")?), taker: Rate(e8(params, "taker")?) }),
    }
}

const MILLIS: i64 = 1_000_000;
/// The slowest and the fastest that time may run, in 1e-8 of its caller's.
const SPEED_LEAST_E8: i64 = E8 / 1_000;
const SPEED_MOST_E8: i64 = 10_000 * E8;
/// The farthest that time is moved in one request, milliseconds: a month.
const ADVANCE_MS_MAX: i64 = 31 * 24 * 3_600_000;

const STATUSES: [(&str, Status); 6] = [
    ("listed", Status::Listed),
    ("online", Status::Online),
    ("limit_open", Status::LimitOpen),
    ("maintain", Status::Maintain),
    ("offline", Status::Offline),
    ("restrictedAPI", Status::RestrictedApi),
];
