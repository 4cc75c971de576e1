//! What is on the wire: each request against the limits, and each answer.

use keel_core::decimal::Grid;
use keel_core::units::{MILLIS, MonoNanos, Side};
use keel_io::world::{Route, World};
use keel_sim::account::Account;
use keel_sim::instrument::InstrumentId;
use keel_sim::order::PosSide;
use serde_json::Value;

use super::{Oracles, Resting, pow10};

/// An HTTP answer as far as oracles care.
pub(super) struct Answered {
    status: u16,
    code: String,
}

impl Answered {
    /// Reads a response.
    pub(super) fn read(text: &[u8]) -> Self {
        let head = head(text);
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        let body = text.windows(4).position(|four| four == b"\r\n\r\n").map_or(0, |at| at + 4);
        let body = self::head(&text[body..]);
        let code = between(body, "\"code\":\"", "\"").unwrap_or_default().to_owned();
        Self { status, code }
    }

    /// True when the venue did what it was asked.
    pub(super) fn is_fine(&self) -> bool {
        self.status == 200 && self.code == "00000"
    }

    /// True when it says that there were too many requests.
    pub(super) fn is_too_many(&self) -> bool {
        self.status == 429 || self.code == "429"
    }
}

/// An order as its request says it.
struct Create {
    name: String,
    instrument: InstrumentId,
    side: Side,
    /// In steps of the venue's grids.
    ticks: i64,
    lots: i64,
    post_only: bool,
    reduce_only: bool,
}

impl Oracles<'_> {
    /// Something goes up.
    pub(super) fn sent(&mut self, route: Route, text: &[u8], at: MonoNanos, world: &World) {
        let text = String::from_utf8_lossy(text);
        let is_call = text.starts_with("GET /") || text.starts_with("POST /");
        let over = match (route, is_call) {
            (Route::Public | Route::Private, true) => {
                self.sync.reset(route);
                self.rates.opened(route, at)
            }
            (Route::Public | Route::Private, false) => self.rates.text(route, at),
            (Route::Rest | Route::Cancel | Route::Order, _) => {
                let path = text.split([' ', '?']).nth(1).unwrap_or_default();
                if route == Route::Rest {
                    self.sync.asks(path);
                    self.money.asks(path);
                    self.asks_touch(&text, at);
                }
                self.rates.called(path, at)
            }
        };
        self.limit(over, world);
        if !is_call && text.starts_with('{') {
            self.request(route, text.as_bytes(), at, world);
        }
        let enters = text.starts_with("POST /api/v3/trade/place-");
        if route == Route::Order {
            self.asks_order = enters;
        }
        if enters {
            self.entered(&text, at, world);
        }
    }

    /// A question for the best bid and ask.
    fn asks_touch(&mut self, text: &str, at: MonoNanos) {
        if let Some(query) = text.strip_prefix("GET /api/v3/market/orderbook?") {
            let symbol = query.split(['&', ' ']).find_map(|pair| pair.strip_prefix("symbol="));
            self.asks_touch = symbol.map(|symbol| (symbol.to_owned(), at));
        }
    }

    /// Orders over REST.
    fn entered(&mut self, text: &str, at: MonoNanos, world: &World) {
        self.over_rest = true;
        let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        match serde_json::from_str(body) {
            Ok(Value::Array(orders)) => self.creates(&orders, at, world),
            Ok(order) => self.creates(&[order], at, world),
            Err(error) => self.fail("I-15", format!("an order is no JSON: {error}"), world),
        }
    }

    fn creates(&mut self, orders: &[Value], at: MonoNanos, world: &World) {
        let over = self.rates.created(orders.len(), at);
        self.limit(over, world);
        self.limit(self.rates.too_soon(at), world);
        orders.iter().for_each(|order| self.create(order, at, world));
    }

    /// I-24: a published limit was exceeded, or a refusal not heeded.
    fn limit(&mut self, over: Option<String>, world: &World) {
        if let Some(what) = over {
            self.fail("I-24", what, world);
        }
    }

    /// A WebSocket request: subscriptions are counted, orders judged.
    fn request(&mut self, route: Route, text: &[u8], at: MonoNanos, world: &World) {
        let Ok(Value::Object(request)) = serde_json::from_slice(text) else { return };
        let word = |key: &str| request.get(key).and_then(Value::as_str).unwrap_or_default();
        let args = request.get("args").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        match (word("op"), word("topic")) {
            ("subscribe", _) => {
                let over = self.rates.subscribed(route, args.len(), at);
                self.limit(over, world);
            }
            ("trade", "place-order" | "batch-place") => {
                self.rates.asks(word("id"));
                self.creates(args, at, world);
            }
            _ => {}
        }
    }

    /// I-01, I-03, I-15, I-16, I-20: an order on the wire was let through once, is sent once and at
    /// once, is on the grid, within every limit, and comes after everything was read anew.
    fn create(&mut self, order: &Value, at: MonoNanos, world: &World) {
        let word = |key: &str| order.get(key).and_then(Value::as_str).unwrap_or_default();
        let name = word("clientOid").to_owned();
        match self.minted.get(&name) {
            None => self.fail("I-16", format!("{name} is on the wire and passed no gate"), world),
            Some(minted) => {
                let old_ns = at.since(minted.at);
                if old_ns > world.params().intent_ttl_ms() + AGENT_NS {
                    self.fail("I-15", format!("{name} was sent {old_ns} ns old"), world);
                }
            }
        }
        if !self.sent.insert(name.clone()) {
            self.fail("I-03", format!("{name} was sent twice"), world);
        }
        let venue = world.exchange().venue();
        let Some(id) = venue.find(word("symbol")) else {
            return self.fail("I-01", format!("{name} is for no contract"), world);
        };
        if let Some(missing) = self.sync.missing(word("symbol"), at) {
            self.fail("I-20", format!("{name} comes without {missing}"), world);
        }
        let grids = venue.instrument(id).rules.grids;
        let steps = [("price", grids.price), ("qty", grids.size)]
            .map(|(key, grid)| grid.steps(word(key).as_bytes()));
        let [Ok(ticks), Ok(lots)] = steps else {
            let what = format!("{} or {} is off the grid", word("price"), word("qty"));
            return self.fail("I-15", what, world);
        };
        let create = Create {
            name,
            instrument: id,
            side: if word("side") == "buy" { Side::Buy } else { Side::Sell },
            ticks,
            lots,
            post_only: word("timeInForce") == "post_only",
            reduce_only: word("reduceOnly").eq_ignore_ascii_case("yes"),
        };
        self.within_limits(&create, world);
    }

    /// I-01: the gates, judged anew by what is true at the venue while the order leaves.
    fn within_limits(&mut self, create: &Create, world: &World) {
        let venue = world.exchange().venue();
        let params = world.params();
        let contract = venue.instrument(create.instrument);
        let rules = &contract.rules;
        let (price, size) = (rules.grids.price, rules.grids.size);
        let value = |lots: i64| product(create.ticks, price, lots, size);
        let resting = self.resting(world);
        let own = || resting.iter().filter(|order| order.own);
        let here = || own().filter(|order| order.instrument == create.instrument);
        let mut broken = Vec::new();
        if !(rules.size_min.0..=rules.limit_size_max.0).contains(&create.lots) {
            broken.push(format!("{} lots", create.lots));
        }
        if value(create.lots) > i128::from(params.max_order_notional_quote().0) {
            broken.push(format!("an order of {}", value(create.lots)));
        }
        let (at, mark) = (product(create.ticks, price, 1, UNIT), i128::from(contract.marks.mark.0));
        // The mark may have moved by a percent since it was read.
        let collar = i128::from(params.collar_bps().0) + 1_000_000;
        if (at - mark).abs() * 100_000_000 > mark * collar {
            broken.push(format!("{at} by a mark of {mark}"));
        }
        let live = here().count() as u64 + 1;
        if live > params.max_active_executors() {
            broken.push(format!("{live} orders"));
        }
        let all: i128 = own().map(|order| open_value(order, world)).sum();
        if all + value(create.lots) > with_drift(params.max_total_notional_quote().0) {
            broken.push(format!("{} open", all + value(create.lots)));
        }
        let held = position(venue.account(world.account()), create.instrument)
            - self.by_hand.get(&create.instrument).copied().unwrap_or(0);
        let same_side = here().filter(|order| order.side == create.side);
        let lots = held * create.side.sign()
            + same_side.map(|order| order.left).sum::<i64>()
            + create.lots;
        if !create.reduce_only && value(lots) > with_drift(params.max_position_quote().0) {
            broken.push(format!("a worst case of {}", value(lots)));
        }
        if !create.post_only && !create.reduce_only {
            broken.push("an order that may take".to_owned());
        }
        if !broken.is_empty() {
            self.fail("I-01", format!("{}: {}", create.name, broken.join(", ")), world);
        }
    }

    /// Something has come.
    pub(super) fn received(&mut self, route: Route, text: &[u8], sound: bool, at: MonoNanos) {
        match route {
            Route::Public => self.book(text, sound, at),
            Route::Private => self.sync.private(head(text)),
            Route::Rest => {
                self.sync.answer(&Answered::read(text));
                self.money.told(sound, at);
            }
            Route::Cancel | Route::Order => {}
        }
    }

    /// I-15: no order is refused for its numbers. I-24: while nothing goes wrong the venue never
    /// says that there was too much.
    pub(super) fn answer(&mut self, route: Route, text: &[u8], world: &World) {
        if matches!(route, Route::Rest | Route::Cancel | Route::Order) {
            if self.is_calm_life && Answered::read(text).is_too_many() {
                self.fail("I-24", "the venue says 429".to_owned(), world);
            }
            if route == Route::Order && std::mem::take(&mut self.asks_order) {
                let answered = Answered::read(text);
                let rows = refused(text);
                let too_many = rows.iter().any(|row| row["code"] == "429");
                if answered.is_too_many() || too_many {
                    self.rates.hold(world.now());
                }
                for row in rows.iter().filter(|row| !is_harmless(row)) {
                    self.fail("I-15", format!("the venue refused an order: {row}"), world);
                }
            }
            return;
        }
        if !text.starts_with(b"{\"event\":\"error\"") && !text.starts_with(b"{\"event\":\"trade\"")
        {
            return;
        }
        let Ok(answer) = serde_json::from_slice::<Value>(text) else { return };
        let code = match answer.get("code") {
            Some(Value::String(code)) => code.clone(),
            Some(code) => code.to_string(),
            None => return,
        };
        let rows = answer.get("args").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let rows = rows.iter().filter_map(|row| row.get("code").and_then(Value::as_str));
        let codes = || std::iter::once(code.as_str()).chain(rows.clone());
        if codes().any(|code| code == "429") {
            if self.is_calm_life {
                self.fail("I-24", "the venue says 429".to_owned(), world);
            }
            let id = answer.get("id").and_then(Value::as_str).unwrap_or_default();
            self.rates.refused(id, world.now());
        }
        let topic = answer.get("topic").and_then(Value::as_str).unwrap_or_default();
        let places = matches!(topic, "place-order" | "batch-place");
        if places && codes().any(|code| !CODES_CALM.contains(&code)) {
            let text = String::from_utf8_lossy(text);
            self.fail("I-15", format!("the venue refused an order: {text}"), world);
        }
    }

    fn book(&mut self, text: &[u8], sound: bool, at: MonoNanos) {
        if text == b"pong" {
            self.pong_at = at;
        }
        let head = head(text);
        let Some(symbol) = book_of(head) else { return };
        if let Some(frames) = self.frames.get_mut(symbol) {
            *frames += 1;
        }
        if sound && is_snapshot(head) {
            self.torn.remove(symbol);
            self.whole.insert(symbol.to_owned());
            self.sync.snapshot(symbol);
        }
        if sound && !self.torn.contains(symbol) {
            self.book_at.insert(symbol.to_owned(), at);
        }
    }
}

/// What an answer over REST refuses of orders: all of it, or rows of several.
fn refused(text: &[u8]) -> Vec<Value> {
    let body = text.windows(4).position(|four| four == b"\r\n\r\n").map_or(0, |at| at + 4);
    let Ok(answer) = serde_json::from_slice::<Value>(&text[body..]) else { return Vec::new() };
    let rows = answer.get("data").and_then(Value::as_array).cloned().unwrap_or_default();
    let is_refused = |row: &Value| {
        let code = row.get("code").and_then(Value::as_str);
        code.is_some_and(|code| !matches!(code, "0" | "00000"))
    };
    std::iter::once(answer).chain(rows).filter(is_refused).collect()
}

/// True when a row's code is none that speaks against what its order says.
fn is_harmless(row: &Value) -> bool {
    row.get("code").and_then(Value::as_str).is_none_or(|code| CODES_CALM.contains(&code))
}

/// What `lots` at `ticks` are worth, in 1e-8 USDT.
pub(super) fn product(ticks: i64, price: Grid, lots: i64, size: Grid) -> i128 {
    i128::from(ticks)
        * i128::from(price.step)
        * i128::from(lots)
        * i128::from(size.step)
        * 100_000_000
        / pow10(price.scale + size.scale)
}

/// What is left of an order, at its own price.
fn open_value(order: &Resting, world: &World) -> i128 {
    let grids = world.exchange().venue().instrument(order.instrument).rules.grids;
    product(order.price, grids.price, order.left, grids.size)
}

/// Signed lots that an account holds.
pub(super) fn position(account: &Account, instrument: InstrumentId) -> i64 {
    account.holding(instrument).position(PosSide::Net).lots.0
}

/// A limit in money, with half a percent for how far a price moves on the way.
fn with_drift(limit: i64) -> i128 {
    i128::from(limit) * 1_005 / 1_000
}

/// True for the begin of a books frame that says the whole book.
pub(super) fn is_snapshot(head: &str) -> bool {
    head.contains("\"action\":\"snapshot\"")
}

/// How a text begins; nothing of one that is no text.
pub(super) fn head(text: &[u8]) -> &str {
    std::str::from_utf8(&text[..text.len().min(160)]).unwrap_or_default()
}

/// The symbol whose book a text speaks of, by its head.
pub(super) fn book_of(head: &str) -> Option<&str> {
    let book = head.starts_with("{\"action\"") && head.contains("\"topic\":\"books\"");
    between(head, "\"symbol\":\"", "\"").filter(|_| book)
}

pub(super) fn between<'t>(text: &'t str, before: &str, after: &str) -> Option<&'t str> {
    let begin = text.find(before)? + before.len();
    let end = text[begin..].find(after)? + begin;
    Some(&text[begin..end])
}

/// One, as a grid.
const UNIT: Grid = Grid { step: 1, scale: 0 };
/// What the gateway may take from an intent to its bytes.
const AGENT_NS: u64 = MILLIS;
/// Codes that say nothing about an order's numbers: success, rate, a duplicate client id, and a
/// failure of the venue's own, which it says of an order that it has or has not worked.
const CODES_CALM: [&str; 5] = ["0", "00000", "429", "25212", "45001"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_refused_over_rest_is_found_in_an_answer_and_in_a_row_of_one() {
        let answer = |body: &str| {
            let mut rows = refused(format!("HTTP/1.1 200 OK\r\n\r\n{body}").as_bytes());
            rows.retain(|row| !is_harmless(row));
            rows
        };
        let good = r#"{"orderId":"1","clientOid":"a"}"#;
        let bad = r#"{"orderId":"","clientOid":"b","code":"25206","msg":"no"}"#;
        assert_eq!(answer(&format!(r#"{{"code":"00000","data":{good}}}"#)).len(), 0);
        assert_eq!(answer(r#"{"code":"429","data":null}"#).len(), 0);
        // Eight lives of 16,384 were held against the order once answers of 503 were drawn.
        assert_eq!(answer(r#"{"code":"45001","data":null}"#).len(), 0);
        assert_eq!(answer(r#"{"code":"25206","data":null}"#).len(), 1);
        assert_eq!(answer(&format!(r#"{{"code":"00000","data":[{good},{bad}]}}"#)).len(), 1);
        assert_eq!(answer("<html>").len(), 0);
    }
}
