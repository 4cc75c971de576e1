//! Scripted conversations with the whole exchange: bytes in, bytes out.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use keel_core::units::{Side, UnixNanos};
use serde_json::{Value, json};
use sha2::Sha256;

use super::text::Text;
use super::{ConnId, ConnKind, Exchange, ExchangeConfig, Limits};
use crate::account::ApiKey;

const PEER: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const START: UnixNanos = UnixNanos::from_millis(1_789_456_510_000);
pub(super) const MILLIS: i64 = 1_000_000;
pub(super) const SECONDS: i64 = 1_000 * MILLIS;

/// An exchange, its clock, how many bytes a segment has, and headers for each request.
pub(super) struct Stage {
    pub(super) exchange: Exchange,
    pub(super) now: UnixNanos,
    segment: usize,
    pub(super) extra: String,
}

impl Stage {
    pub(super) fn new(config: ExchangeConfig) -> Self {
        Self {
            exchange: Exchange::new(config, 7, START),
            now: START,
            segment: usize::MAX,
            extra: String::new(),
        }
    }

    pub(super) fn metered() -> Self {
        Self::new(ExchangeConfig::default())
    }

    pub(super) fn unmetered() -> Self {
        Self::new(ExchangeConfig { limits: Limits::unmetered(), ..ExchangeConfig::default() })
    }

    pub(super) fn key(&self, name: &str) -> ApiKey {
        let found = self.exchange.keys().find(|(account, _)| account.name == name);
        found.expect("an account of this name").1.clone()
    }

    pub(super) fn pass(&mut self, ns: i64) {
        self.now = UnixNanos(self.now.0 + ns);
        self.exchange.step(self.now);
    }

    pub(super) fn open(&mut self) -> ConnId {
        self.exchange.open(ConnKind::Api, PEER, self.now).expect("room for a connection")
    }

    pub(super) fn send(&mut self, conn: ConnId, bytes: &[u8]) {
        for segment in bytes.chunks(self.segment.min(bytes.len().max(1))) {
            self.exchange.receive(conn, segment, self.now);
        }
    }

    pub(super) fn take(&mut self, conn: ConnId) -> Vec<u8> {
        let bytes = self.exchange.transmit(conn).to_vec();
        self.exchange.sent(conn, bytes.len());
        bytes
    }

    /// Sends a REST request on a new connection and gives status, headers and body.
    pub(super) fn rest(
        &mut self,
        key: Option<&ApiKey>,
        method: &str,
        target: &str,
        body: &str,
    ) -> Reply {
        self.try_rest(key, method, target, body).expect("an answer")
    }

    /// As [`Stage::rest`]; none when the connection ended without an answer.
    pub(super) fn try_rest(
        &mut self,
        key: Option<&ApiKey>,
        method: &str,
        target: &str,
        body: &str,
    ) -> Option<Reply> {
        let conn = self.open();
        let request = self.request(key, method, target, body);
        self.send(conn, request.as_bytes());
        let bytes = self.take(conn);
        self.exchange.close(conn);
        (!bytes.is_empty()).then(|| Reply::of(&bytes))
    }

    pub(super) fn request(
        &self,
        key: Option<&ApiKey>,
        method: &str,
        target: &str,
        body: &str,
    ) -> String {
        let request = request(key, method, target, body, self.now);
        request.replacen("Host: localhost\r\n", &format!("Host: localhost\r\n{}", self.extra), 1)
    }

    pub(super) fn get(&mut self, key: Option<&ApiKey>, target: &str) -> Value {
        let reply = self.rest(key, "GET", target, "");
        assert_eq!((reply.status, reply.body["code"].as_str()), (200, Some("00000")), "{reply:?}");
        reply.body["data"].clone()
    }

    pub(super) fn post(&mut self, key: &ApiKey, target: &str, body: &Value) -> Value {
        let reply = self.rest(Some(key), "POST", target, &body.to_string());
        assert_eq!((reply.status, reply.body["code"].as_str()), (200, Some("00000")), "{reply:?}");
        reply.body["data"].clone()
    }

    pub(super) fn refused(
        &mut self,
        key: Option<&ApiKey>,
        method: &str,
        target: &str,
        body: &str,
    ) -> String {
        let reply = self.rest(key, method, target, body);
        assert_eq!(reply.status, 400, "{reply:?}");
        assert_eq!(reply.body["data"], Value::Null);
        reply.body["code"].as_str().expect("a code as text").to_owned()
    }

    pub(super) fn socket(&mut self, path: &str) -> ConnId {
        self.try_socket(path).expect("a WebSocket")
    }

    /// Opens a WebSocket, or gives the status with which it was refused.
    pub(super) fn try_socket(&mut self, path: &str) -> Result<ConnId, u16> {
        let conn = self.open();
        let extra = &self.extra;
        let upgrade = format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\n{extra}Upgrade: websocket\r\n\
             Connection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        self.send(conn, upgrade.as_bytes());
        let answer = self.take(conn);
        if answer.starts_with(b"HTTP/1.1 101 ") {
            return Ok(conn);
        }
        self.exchange.close(conn);
        Err(Reply::of(&answer).status)
    }

    pub(super) fn private(&mut self, key: &ApiKey, topics: &[&str]) -> ConnId {
        let conn = self.socket("/v3/ws/private");
        let ack = self.ask(conn, &login(key, &self.seconds()));
        assert_eq!(ack[0]["code"], json!(0));
        for topic in topics {
            let args = json!([{ "instType": "UTA", "topic": topic }]);
            let answers = self.ask(conn, &json!({ "op": "subscribe", "args": args }));
            assert_eq!(answers[0]["event"], "subscribe");
        }
        conn
    }

    pub(super) fn seconds(&self) -> String {
        (self.now.millis() / 1000).to_string()
    }

    pub(super) fn text(&mut self, conn: ConnId, text: &str) {
        self.send(conn, &masked(text));
    }

    pub(super) fn ask(&mut self, conn: ConnId, message: &Value) -> Vec<Value> {
        self.text(conn, &message.to_string());
        self.heard(conn)
    }

    /// The messages that wait for a client.
    pub(super) fn heard(&mut self, conn: ConnId) -> Vec<Value> {
        frames(&self.take(conn))
            .into_iter()
            .map(|text| serde_json::from_str(&text).unwrap_or(Value::String(text)))
            .collect()
    }
}

#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    head: String,
    pub(super) body: Value,
}

impl Reply {
    fn of(bytes: &[u8]) -> Self {
        let text = std::str::from_utf8(bytes).expect("UTF-8");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).expect("a status");
        let body = serde_json::from_str(body).unwrap_or(Value::Null);
        Self { status, head: head.to_owned(), body }
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let line = self.head.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(": ")?.1)
    }
}

fn sign(secret: &str, text: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(text.as_bytes());
    BASE64.encode(mac.finalize().into_bytes())
}

fn request(key: Option<&ApiKey>, method: &str, target: &str, body: &str, now: UnixNanos) -> String {
    let mut text = format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\n");
    if let Some(key) = key {
        let ms = now.millis();
        let sign = sign(&key.secret, &format!("{ms}{method}{target}{body}"));
        text += &format!(
            "ACCESS-KEY: {}\r\nACCESS-SIGN: {sign}\r\nACCESS-TIMESTAMP: {ms}\r\n\
             ACCESS-PASSPHRASE: {}\r\n",
            key.key, key.passphrase
        );
    }
    if !body.is_empty() {
        text += &format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len());
    }
    text + "\r\n" + body
}

fn login(key: &ApiKey, timestamp: &str) -> Value {
    let sign = sign(&key.secret, &format!("{timestamp}GET/user/verify"));
    let arg = json!({
        "apiKey": key.key, "passphrase": key.passphrase, "timestamp": timestamp, "sign": sign,
    });
    json!({ "op": "login", "args": [arg] })
}

fn masked(text: &str) -> Vec<u8> {
    let mask = [9u8, 8, 7, 6];
    let mut bytes = vec![0x81];
    match text.len() {
        len @ 0..=125 => bytes.push(0x80 | len as u8),
        len => {
            bytes.push(0x80 | 126);
            bytes.extend_from_slice(&(len as u16).to_be_bytes());
        }
    }
    bytes.extend_from_slice(&mask);
    bytes.extend(text.bytes().zip(mask.iter().cycle()).map(|(b, m)| b ^ m));
    bytes
}

/// The texts of unmasked frames; a close frame ends them.
fn frames(mut bytes: &[u8]) -> Vec<String> {
    let mut texts = Vec::new();
    while let [first, len, rest @ ..] = bytes {
        let (len, rest) = match len {
            126 => (usize::from(u16::from_be_bytes([rest[0], rest[1]])), &rest[2..]),
            127 => (u64::from_be_bytes(rest[..8].try_into().unwrap()) as usize, &rest[8..]),
            len => (usize::from(*len), rest),
        };
        if *first == 0x88 {
            break;
        }
        assert_eq!(*first, 0x81, "a whole text frame");
        texts.push(String::from_utf8(rest[..len].to_vec()).unwrap());
        bytes = &rest[len..];
    }
    texts
}

pub(super) fn limit_order(side: &str, price: &str, qty: &str) -> Value {
    json!({
        "symbol": "BTCUSDT", "orderType": "limit", "side": side, "price": price, "qty": qty,
        "timeInForce": "gtc",
    })
}

pub(super) fn with_category(mut order: Value) -> Value {
    order["category"] = json!("USDT-FUTURES");
    order
}

pub(super) fn trade(topic: &str, args: &Value) -> Value {
    json!({
        "op": "trade", "id": "r1", "category": "usdt-futures", "topic": topic, "args": args,
    })
}

pub(super) fn subscribe(topic: &str, symbol: &str) -> Value {
    let arg = json!({ "instType": "usdt-futures", "topic": topic, "symbol": symbol });
    json!({ "op": "subscribe", "args": [arg] })
}

/// Keys of an object, or of the first row of a list, in alphabetical order.
fn keys(value: &Value) -> Vec<&str> {
    let value = if let Value::Array(rows) = value { &rows[0] } else { value };
    let mut keys: Vec<_> =
        value.as_object().expect("an object").keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

/// A price `percent` away from the mark, on the tick.
pub(super) fn near_mark(stage: &Stage, percent: i64) -> String {
    let id = stage.exchange.venue().find("BTCUSDT").unwrap();
    let mark = stage.exchange.venue().instrument(id).marks.mark.0;
    let tenths = mark / 10_000_000 * (100 + percent) / 100;
    format!("{}.{}", tenths / 10, tenths % 10)
}

/// Price and size of the best ask.
fn best_ask(stage: &Stage) -> (String, String) {
    let venue = stage.exchange.venue();
    let instrument = venue.instrument(venue.find("BTCUSDT").unwrap());
    let grids = &instrument.rules.grids;
    let best = instrument.book.depth(Side::Sell).next().expect("an ask");
    let price = Text::steps(grids.price, best.price.0);
    (price.to_string(), Text::steps(grids.size, best.size.0).to_string())
}

#[test]
fn public_time_needs_no_key_and_an_unknown_path_is_named() {
    let mut stage = Stage::metered();
    for path in ["/api/v2/public/time", "/api/v3/public/time"] {
        assert_eq!(stage.get(None, path), json!({ "serverTime": "1789456510000" }));
    }
    let reply = stage.rest(None, "GET", "/api/v3/nothing", "");
    assert_eq!((reply.status, &reply.body["code"]), (404, &json!("40404")));
    let reply = stage.rest(None, "POST", "/api/v3/public/time", "");
    assert_eq!(reply.body["code"], "40404");
}

#[test]
fn an_order_lives_from_its_placing_to_the_history() {
    let mut stage = Stage::metered();
    let key = stage.key("keel");
    let price = near_mark(&stage, -3);
    let mut order = with_category(limit_order("buy", &price, "0.01"));
    order["clientOid"] = json!("one");
    let ack = stage.post(&key, "/api/v3/trade/place-order", &order);
    assert_eq!(ack["clientOid"], "one");
    let id = ack["orderId"].as_str().unwrap().to_owned();

    let info = stage.get(Some(&key), "/api/v3/trade/order-info?clientOid=one");
    assert_eq!(info["orderId"], id);
    assert_eq!(info["orderStatus"], "live");
    assert_eq!(info["feeDetail"], json!([{ "feeCoin": null, "fee": null }]));
    let open = "/api/v3/trade/unfilled-orders?category=USDT-FUTURES";
    let page = stage.get(Some(&key), open);
    assert_eq!(page["cursor"], id);
    assert_eq!(page["list"][0]["qty"], "0.01");
    let rest = stage.get(Some(&key), &format!("{open}&cursor={id}"));
    assert_eq!(rest, json!({ "list": [], "cursor": null }));

    let duplicate = order.to_string();
    assert_eq!(stage.refused(Some(&key), "POST", "/api/v3/trade/place-order", &duplicate), "25212");
    let named = json!({ "orderId": id });
    assert_eq!(stage.post(&key, "/api/v3/trade/cancel-order", &named), ack);
    assert_eq!(
        stage.refused(Some(&key), "POST", "/api/v3/trade/cancel-order", "{\"clientOid\":\"no\"}"),
        "25204"
    );
    assert_eq!(stage.get(Some(&key), open)["list"], json!([]));
    let history = "/api/v3/trade/history-orders?category=USDT-FUTURES";
    let row = &stage.get(Some(&key), history)["list"][0];
    assert_eq!(
        (&row["orderStatus"], &row["cancelReason"]),
        (&json!("cancelled"), &json!("normal_cancel"))
    );
}

#[test]
fn what_a_key_may_not_do_is_refused_with_the_venues_codes() {
    let mut stage = Stage::unmetered();
    let mut key = stage.key("keel");
    let path = "/api/v3/account/assets";
    assert_eq!(stage.refused(None, "GET", path, ""), "40001");
    key.secret.push('x');
    assert_eq!(stage.refused(Some(&key), "GET", path, ""), "40009");
    let account = stage.exchange.keys().next().expect("a key").0.id;
    let reads = ApiKey::new("r", "s", "p", crate::account::Permissions::READ);
    stage.exchange.venue_mut().add_key(account, reads.clone());
    assert_eq!(stage.get(Some(&reads), "/api/v3/account/info")["permType"], "readonly");
    let body = with_category(limit_order("buy", "1", "1")).to_string();
    assert_eq!(stage.refused(Some(&reads), "POST", "/api/v3/trade/place-order", &body), "40014");
}

#[test]
fn what_cannot_be_read_is_refused_and_leaves_the_connection_usable() {
    let mut stage = Stage::unmetered();
    let key = stage.key("keel");
    let place = "/api/v3/trade/place-order";
    for (body, code) in [
        ("{", "40017"),
        ("7", "40017"),
        ("{\"category\":\"USDT-FUTURES\"}", "40019"),
        ("{}", "40019"),
        ("{\"category\":\"SPOT\"}", "40020"),
        ("{\"category\":\"NOPE-FUTURES\"}", "40019"),
        ("{\"category\":\"USDT-FUTURES\",\"symbol\":\"NOPEUSDT\"}", "25100"),
    ] {
        assert_eq!(stage.refused(Some(&key), "POST", place, body), code, "{body}");
    }
    let deep = "[".repeat(100_000);
    assert_eq!(stage.refused(Some(&key), "POST", place, &deep), "40017");
    for (field, value) in [("qty", "1e5"), ("price", "NaN"), ("side", "up"), ("clientOid", "a b")] {
        let mut order = with_category(limit_order("buy", "100", "1"));
        order[field] = json!(value);
        assert_eq!(
            stage.refused(Some(&key), "POST", place, &order.to_string()),
            "40020",
            "{field}"
        );
    }
    let conn = stage.open();
    let head = "POST /api/v3/trade/place-order HTTP/1.1\r\nHost: localhost\r\n\
        Content-Length: 99999999\r\n\r\n";
    stage.send(conn, head.as_bytes());
    assert_eq!(Reply::of(&stage.take(conn)).status, 413);
    assert!(stage.exchange.is_closing(conn));
}

#[test]
fn the_eleventh_order_in_a_second_is_too_many_and_the_header_counts_down() {
    let mut stage = Stage::metered();
    let key = stage.key("keel");
    let body = with_category(limit_order("buy", "1", "0.01")).to_string();
    for remain in (0..10).rev() {
        let reply = stage.rest(Some(&key), "POST", "/api/v3/trade/place-order", &body);
        assert_eq!(reply.header("x-mbx-used-remain-limit"), Some(remain.to_string().as_str()));
    }
    let reply = stage.rest(Some(&key), "POST", "/api/v3/trade/place-order", &body);
    assert_eq!((reply.status, &reply.body["code"]), (429, &json!("429")));
    let other = stage.key("manual");
    let reply = stage.rest(Some(&other), "POST", "/api/v3/trade/place-order", &body);
    assert_ne!(reply.status, 429, "another user has a window of its own");
    stage.pass(SECONDS);
    let reply = stage.rest(Some(&key), "POST", "/api/v3/trade/place-order", &body);
    assert_ne!(reply.status, 429);
}

#[test]
fn books_are_a_snapshot_and_then_a_chain_of_updates() {
    let mut stage = Stage::unmetered();
    let key = stage.key("manual");
    let conn = stage.socket("/v3/ws/public");
    let heard = stage.ask(conn, &subscribe("books", "BTCUSDT"));
    assert_eq!(keys(&heard[0]), ["arg", "connId", "event"]);
    assert_eq!(
        (&heard[1]["action"], &heard[1]["data"][0]["pseq"]),
        (&json!("snapshot"), &json!(0))
    );
    let mut last = heard[1]["data"][0]["seq"].as_u64().unwrap();
    for percent in [-4, -3, -2] {
        let order = with_category(limit_order("buy", &near_mark(&stage, percent), "0.5"));
        stage.post(&key, "/api/v3/trade/place-order", &order);
        stage.pass(100 * MILLIS);
        let heard = stage.heard(conn);
        let row = heard.last().map(|frame| &frame["data"][0]).expect("an update");
        assert_eq!(keys(row), ["a", "b", "maxdepth", "pseq", "seq", "ts"]);
        assert_eq!(row["pseq"].as_u64(), Some(last));
        let level = json!([near_mark(&stage, percent).trim_end_matches(".0"), "0.5"]);
        assert!(row["b"].as_array().unwrap().contains(&level), "{row}");
        last = row["seq"].as_u64().unwrap();
    }
    let late = stage.socket("/v3/ws/public");
    let heard = stage.ask(late, &subscribe("books", "BTCUSDT"));
    assert_eq!(heard[1]["data"][0]["seq"].as_u64(), Some(last), "who comes late is shown the same");
}

#[test]
fn an_unknown_topic_is_refused_in_the_recorded_form_and_the_others_stand() {
    let mut stage = Stage::metered();
    let conn = stage.socket("/v3/ws/public");
    let arg = |topic: &str, symbol: &str| {
        let inst_type = "usdt-futures";
        json!({ "instType": inst_type, "topic": topic, "symbol": symbol })
    };
    let args = json!([arg("books", "NOPEUSDT"), arg("ticker", "BTCUSDT"), arg("nope", "BTCUSDT")]);
    let heard = stage.ask(conn, &json!({ "op": "subscribe", "args": args }));
    assert_eq!((&heard[0]["event"], &heard[0]["code"]), (&json!("error"), &json!(30001)));
    assert_eq!(
        heard[0]["msg"],
        r#"{"instType":"usdt-futures","symbol":"NOPEUSDT","topic":"books"} doesn't exist"#
    );
    assert_eq!(heard[1]["event"], "subscribe");
    assert_eq!(heard[2]["arg"]["topic"], "ticker");
    assert_eq!(heard[3]["code"], 30001);
    assert_eq!(heard.len(), 4);
    let upper = json!({ "instType": "USDT-FUTURES", "topic": "ticker", "symbol": "BTCUSDT" });
    let heard = stage.ask(conn, &json!({ "op": "subscribe", "args": [upper] }));
    assert_eq!(heard[0]["code"], 30001, "the product is lower case here");
}

#[test]
fn a_login_is_acknowledged_with_the_number_zero_and_a_wrong_one_closes_the_socket() {
    let mut stage = Stage::metered();
    let key = stage.key("keel");
    let conn = stage.socket("/v3/ws/private");
    let private = json!({ "op": "subscribe", "args": [{ "instType": "UTA", "topic": "order" }] });
    assert_eq!(stage.ask(conn, &private)[0]["code"], 30004);
    let heard = stage.ask(conn, &trade("place-order", &json!([limit_order("buy", "1", "1")])));
    assert_eq!(keys(&heard[0]), ["code", "event", "id", "msg"]);
    assert_eq!(heard[0]["code"], "30004");
    let millis = stage.now.millis().to_string();
    assert!(stage.ask(conn, &login(&key, &millis)).is_empty(), "milliseconds are ignored");
    let heard = stage.ask(conn, &login(&key, &stage.seconds()));
    assert_eq!(keys(&heard[0]), ["code", "connId", "event", "msg"]);
    assert_eq!((&heard[0]["event"], &heard[0]["code"]), (&json!("login"), &json!(0)));
    assert_eq!(stage.ask(conn, &private)[0]["event"], "subscribe");

    let wrong = ApiKey { secret: "other".into(), ..key };
    let conn = stage.socket("/v3/ws/private");
    let heard = stage.ask(conn, &login(&wrong, &stage.seconds()));
    assert_eq!((&heard[0]["event"], &heard[0]["code"]), (&json!("error"), &json!(30015)));
    assert!(stage.exchange.is_closing(conn));
}

#[test]
fn an_order_over_the_socket_is_acknowledged_and_its_life_is_pushed() {
    let mut stage = Stage::metered();
    let (maker, taker) = (stage.key("keel"), stage.key("manual"));
    let conn = stage.private(&maker, &["order", "fill", "fast-fill", "position", "account"]);
    stage.pass(SECONDS);
    stage.heard(conn);
    let (price, _) = best_ask(&stage);
    let mut order = limit_order("sell", &price, "0.02");
    order["timeInForce"] = json!("post_only");
    order["clientOid"] = json!("q-1");
    let heard = stage.ask(conn, &trade("place-order", &json!([order])));
    let ack = &heard[0];
    assert_eq!(
        keys(ack),
        ["args", "category", "code", "connId", "event", "id", "msg", "rateLimit", "topic", "ts"]
    );
    assert_eq!(keys(&ack["args"]), ["cTime", "clientOid", "orderId", "symbol"]);
    assert_eq!((&ack["code"], &ack["id"]), (&json!("0"), &json!("r1")));
    let live = heard.iter().find(|f| f["arg"]["topic"] == "order").expect("an order push");
    assert_eq!(live["data"][0]["orderStatus"], "live");
    assert_eq!(live["data"][0]["category"], "usdt-futures");

    // Ours is the last of its level: this takes all of it.
    let (price, size) = best_ask(&stage);
    let buy = with_category(limit_order("buy", &price, &size));
    stage.post(&taker, "/api/v3/trade/place-order", &buy);
    let heard = stage.heard(conn);
    let of = |topic: &str| {
        let mut found = heard.iter().filter(|f| f["arg"]["topic"] == topic);
        found.next_back().map(|f| f["data"].clone())
    };
    let fill = of("fill").expect("a fill push");
    assert_eq!(fill[0]["clientOid"], "q-1");
    assert_eq!(fill[0]["tradeScope"], "maker");
    assert_eq!(fill[0]["category"], "USDT-FUTURES");
    assert!(fill[0]["feeDetail"][0]["fee"].as_str().unwrap().starts_with('-'), "a rebate");
    let fast = of("fast-fill").expect("a fast fill");
    assert_eq!(fast["execId"], fill[0]["execId"], "data is an object here");
    let position = of("position").expect("a position push");
    assert_eq!((&position[0]["posSide"], &position[0]["size"]), (&json!("short"), &json!("0.02")));
    assert!(of("account").is_some());
    assert_eq!(of("order").expect("an order push")[0]["orderStatus"], "filled");

    let row = &stage.get(Some(&maker), "/api/v3/trade/fills?category=USDT-FUTURES")["list"][0];
    assert!(!row["feeDetail"][0]["fee"].as_str().unwrap().starts_with('-'), "the other sign here");
    let position = stage.get(
        Some(&maker),
        "/api/v3/position/current-position?category=USDT-FUTURES&symbol=BTCUSDT",
    );
    assert_eq!(position["list"][0]["posSide"], "short");
    let none = stage.get(
        Some(&maker),
        "/api/v3/position/current-position?category=USDT-FUTURES&symbol=ETHUSDT",
    );
    assert_eq!(none, json!({ "list": null }));
}

#[test]
fn each_order_of_a_batch_has_its_own_answer() {
    let mut stage = Stage::metered();
    let key = stage.key("keel");
    let conn = stage.private(&key, &[]);
    let price = near_mark(&stage, -3);
    let good = limit_order("buy", &price, "0.01");
    let mut bad = limit_order("buy", &price, "0.01");
    bad["symbol"] = json!("NOPEUSDT");
    bad["clientOid"] = json!("bad");
    let heard = stage.ask(conn, &trade("batch-place", &json!([good, bad])));
    let ack = heard.iter().find(|f| f["event"] == "trade").expect("an answer");
    assert_eq!((&ack["code"], &ack["topic"]), (&json!("0"), &json!("batch-place")));
    assert_eq!(ack["args"][0]["code"], "0");
    assert_eq!(
        (&ack["args"][1]["code"], &ack["args"][1]["clientOid"]),
        (&json!("25100"), &json!("bad"))
    );
    let id = ack["args"][0]["orderId"].clone();
    let args = json!([{ "orderId": id }, { "orderId": "1" }, {}]);
    let cancel = json!({ "op": "trade", "id": 5, "topic": "batch-cancel", "args": args });
    let ack = &stage.ask(conn, &cancel)[0];
    assert_eq!(ack["id"], "5");
    let codes: Vec<_> = (0..3).map(|i| ack["args"][i]["code"].as_str().unwrap()).collect();
    assert_eq!(codes, ["0", "25204", "40924"]);
}

#[test]
fn a_frame_that_names_the_product_in_capitals_is_refused_as_recorded() {
    let mut stage = Stage::metered();
    let key = stage.key("keel");
    let conn = stage.private(&key, &[]);
    let mut frame = trade("place-order", &json!([limit_order("buy", "1", "1")]));
    frame["category"] = json!("USDT-FUTURES");
    let heard = stage.ask(conn, &frame);
    assert_eq!(
        heard[0],
        json!({
            "event": "error", "id": "r1", "code": "41101",
            "msg": "Param category=USDT-FUTURES error",
        })
    );
}

#[test]
fn the_eleventh_message_of_a_second_closes_the_socket() {
    let mut stage = Stage::metered();
    let conn = stage.socket("/v3/ws/public");
    for _ in 0..10 {
        stage.text(conn, "ping");
        assert_eq!(stage.heard(conn), ["pong"]);
    }
    stage.text(conn, "ping");
    assert_eq!(stage.heard(conn)[0]["code"], 30007);
    assert!(stage.exchange.is_closing(conn));
}

#[test]
fn messages_that_are_no_request_are_named_and_do_no_harm() {
    let mut stage = Stage::unmetered();
    let conn = stage.socket("/v3/ws/private");
    let long = format!("{{\"op\":\"subscribe\",\"args\":[\"{}\"]}}", "a".repeat(5_000));
    let deep = "[".repeat(5_000);
    for text in ["", "{", "[]", "7", "{\"op\":\"login\"}", "null", &long, &deep] {
        stage.text(conn, text);
        assert_eq!(stage.heard(conn)[0]["code"], 30002, "{text}");
    }
    stage.text(conn, r#"{"op":"dance","args":[]}"#);
    assert_eq!(stage.heard(conn)[0]["code"], 30003);
    let key = stage.key("keel");
    assert_eq!(stage.ask(conn, &login(&key, &stage.seconds()))[0]["code"], 0);
    for args in [json!(null), json!([]), json!({}), json!([1, 2])] {
        let heard = stage.ask(conn, &trade("place-order", &args));
        assert_eq!(heard[0]["event"], "error", "{args}");
    }
    assert_eq!(stage.ask(conn, &trade("place-order", &json!([7])))[0]["code"], "40019");
}

#[test]
fn a_socket_without_a_text_ping_is_dropped_after_two_minutes_of_data() {
    let mut stage = Stage::metered();
    let (silent, alive) = (stage.socket("/v3/ws/public"), stage.socket("/v3/ws/public"));
    for _ in 0..5 {
        stage.pass(29 * SECONDS);
        stage.text(alive, "ping");
        stage.heard(alive);
    }
    assert!(stage.exchange.is_closing(silent));
    assert!(!stage.exchange.is_closing(alive));
}

#[test]
fn a_request_that_trickles_in_is_cut_off_and_an_idle_connection_is_closed() {
    let mut stage = Stage::metered();
    let (slow, idle) = (stage.open(), stage.open());
    for byte in b"GET / HTTP" {
        stage.send(slow, &[*byte]);
        stage.pass(SECONDS);
    }
    assert!(stage.exchange.is_closing(slow));
    assert_eq!(Reply::of(&stage.take(slow)).status, 408);
    assert!(!stage.exchange.is_closing(idle));
    // Empty lines between requests are no request, and keep nobody here.
    stage.send(idle, b"\r\n");
    stage.pass(60 * SECONDS);
    assert!(stage.exchange.is_closing(idle));
}

#[test]
fn requests_sent_ahead_are_answered_in_turns_and_in_order() {
    let mut stage = Stage::unmetered();
    let conn = stage.open();
    let request = "GET /api/v3/public/time HTTP/1.1\r\nHost: localhost\r\n\r\n";
    stage.send(conn, request.repeat(40).as_bytes());
    let mut turns = Vec::new();
    for _ in 0..4 {
        let bytes = stage.take(conn);
        turns.push(String::from_utf8(bytes).unwrap().matches("HTTP/1.1 200 OK").count());
        assert!(turns.len() > 3 || stage.exchange.deadline() <= stage.now || turns[2..] == [8]);
        stage.pass(0);
    }
    assert_eq!(turns, [16, 16, 8, 0]);
    // A client that says that it is done is answered all the same.
    stage.send(conn, request.repeat(20).as_bytes());
    stage.exchange.end(conn, stage.now);
    stage.pass(0);
    let bytes = stage.take(conn);
    assert_eq!(String::from_utf8(bytes).unwrap().matches("HTTP/1.1 200 OK").count(), 20);
    assert!(stage.exchange.is_closing(conn));
}

#[test]
fn a_client_that_sends_ahead_without_end_is_cut_off() {
    let mut stage = Stage::unmetered();
    let late = json!({ "act": "answer-late", "ms": 60_000 });
    ask_admin(&mut stage, "/admin/fault", &late);
    let conn = stage.open();
    let request = "GET /api/v3/public/time HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let ahead = request.repeat(1_000);
    let mut sent = 0;
    while !stage.exchange.is_closing(conn) {
        stage.send(conn, ahead.as_bytes());
        sent += ahead.len();
        assert!(sent < 3 << 20, "what waits is bounded");
    }
}

#[test]
fn the_administration_serves_who_names_this_machine_and_no_page_of_a_browser() {
    let mut stage = Stage::unmetered();
    let mut ask = |headers: &str| {
        let conn = stage.exchange.open(ConnKind::Admin, PEER, stage.now).expect("room");
        stage.send(conn, format!("GET /admin/state HTTP/1.1\r\n{headers}\r\n").as_bytes());
        let bytes = stage.take(conn);
        String::from_utf8(bytes).unwrap()[9..12].parse::<u16>().unwrap()
    };
    for host in ["127.0.0.1:4242", "localhost", "[::1]:4242", "[::1]"] {
        assert_eq!(ask(&format!("Host: {host}\r\n")), 200, "{host}");
    }
    for host in ["evil.example", "evil.example:4242", "127.0.0.1.evil.example", "127.0.0.1:x"] {
        assert_eq!(ask(&format!("Host: {host}\r\n")), 403, "{host}");
    }
    assert_eq!(ask("Host: localhost\r\nOrigin: http://evil.example\r\n"), 403);
    assert_eq!(ask(""), 400);
}

#[test]
fn a_client_that_does_not_read_is_cut_off() {
    let limits = Limits { outbound_bytes_max: 20_000, ..Limits::unmetered() };
    let mut stage = Stage::new(ExchangeConfig { limits, ..ExchangeConfig::default() });
    let key = stage.key("manual");
    let conn = stage.socket("/v3/ws/public");
    stage.text(conn, &subscribe("books50", "BTCUSDT").to_string());
    for i in 0..400 {
        let qty = format!("0.{:03}", 100 + i);
        let order = with_category(limit_order("buy", &near_mark(&stage, -3), &qty));
        let id = stage.post(&key, "/api/v3/trade/place-order", &order);
        stage.pass(100 * MILLIS);
        stage.post(&key, "/api/v3/trade/cancel-order", &id);
        stage.pass(100 * MILLIS);
    }
    assert!(stage.exchange.is_closing(conn));
    assert!(stage.exchange.transmit(conn).len() < 100_000, "what waits is bounded");
}

#[test]
fn one_byte_segments_make_the_same_conversation() {
    let script = |segment: usize| {
        let mut stage = Stage::unmetered();
        stage.segment = segment;
        let key = stage.key("keel");
        let mut said = Vec::new();
        let private = stage.private(&key, &["order", "account"]);
        let public = stage.socket("/v3/ws/public");
        for message in [subscribe("books", "BTCUSDT"), subscribe("ticker", "ETHUSDT")] {
            said.extend(stage.ask(public, &message));
        }
        let order = limit_order("buy", &near_mark(&stage, -2), "0.01");
        said.extend(stage.ask(private, &trade("place-order", &json!([order]))));
        stage.pass(100 * MILLIS);
        said.extend(stage.heard(public));
        said.push(stage.get(Some(&key), "/api/v3/account/assets"));
        said
    };
    assert_eq!(script(usize::MAX), script(1));
}

#[test]
fn too_many_connections_of_an_address_are_turned_away() {
    let mut stage = Stage::metered();
    for _ in 0..100 {
        stage.open();
    }
    assert_eq!(stage.exchange.open(ConnKind::Api, PEER, stage.now), None);
    let other = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
    assert!(stage.exchange.open(ConnKind::Api, other, stage.now).is_some());
}

#[test]
fn public_topics_push_what_the_recorded_frames_have() {
    let mut stage = Stage::unmetered();
    let conn = stage.socket("/v3/ws/public");
    for topic in ["publicTrade", "ticker", "books1", "books5", "books50"] {
        let heard = stage.ask(conn, &subscribe(topic, "BTCUSDT"));
        assert_eq!(heard[0]["event"], "subscribe");
        assert_eq!(
            (&heard[1]["action"], &heard[1]["arg"]["topic"]),
            (&json!("snapshot"), &json!(topic))
        );
    }
    let arg = json!({
        "instType": "usdt-futures", "topic": "kline", "symbol": "BTCUSDT", "interval": "1m",
    });
    let heard = stage.ask(conn, &json!({ "op": "subscribe", "args": [arg] }));
    assert_eq!(heard[1]["arg"]["interval"], "1m");
    let mut heard = Vec::new();
    for _ in 0..200 {
        stage.pass(100 * MILLIS);
        heard.extend(stage.heard(conn));
    }
    let of = |topic: &str| -> Vec<&Value> {
        heard.iter().filter(|frame| frame["arg"]["topic"] == topic).collect()
    };
    for frame in &heard {
        assert_eq!(keys(frame), ["action", "arg", "data", "ts"]);
    }
    assert_eq!(keys(&of("publicTrade")[0]["data"]), ["L", "S", "T", "i", "isRPI", "p", "v"]);
    let bar = ["close", "high", "low", "open", "start", "turnover", "volume"];
    assert_eq!(keys(&of("kline")[0]["data"]), bar);
    let ticker = &of("ticker")[0]["data"][0];
    for key in ["markPrice", "indexPrice", "fundingRate", "nextFundingTime", "openInterest"] {
        assert_ne!(ticker[key].as_str(), None, "{key}");
        assert_ne!(ticker[key], "", "{key}");
    }
    for (topic, levels) in [("books1", 1), ("books5", 5), ("books50", 50)] {
        let row = &of(topic)[0]["data"][0];
        assert_eq!(row["a"].as_array().map(Vec::len), Some(levels), "{topic}");
        assert_eq!(row["pseq"], 0);
    }
    let leave = json!({ "instType": "usdt-futures", "topic": "ticker", "symbol": "BTCUSDT" });
    let left = stage.ask(conn, &json!({ "op": "unsubscribe", "args": [leave] }));
    assert_eq!(left[0]["event"], "unsubscribe");
    stage.pass(SECONDS);
    assert!(stage.heard(conn).iter().all(|frame| frame["arg"]["topic"] != "ticker"));
}

#[test]
fn a_book_kept_from_updates_has_the_checksum_and_the_levels_of_the_venue() {
    let config = ExchangeConfig { checksum: true, ..ExchangeConfig::default() };
    let mut stage = Stage::new(config);
    let conn = stage.socket("/v3/ws/public");
    let mut heard = stage.ask(conn, &subscribe("books", "ETHUSDT"));
    heard.remove(0);
    let (mut sides, mut seq) = ([BTreeMap::new(), BTreeMap::new()], 0);
    for _ in 0..100 {
        stage.pass(100 * MILLIS);
        heard.extend(stage.heard(conn));
    }
    assert!(heard.len() > 20, "{} frames", heard.len());
    for frame in &heard {
        let row = &frame["data"][0];
        assert_eq!(row["pseq"].as_u64(), Some(if frame["action"] == "snapshot" { 0 } else { seq }));
        seq = row["seq"].as_u64().unwrap();
        for (side, name) in sides.iter_mut().zip(["b", "a"]) {
            for level in row[name].as_array().unwrap() {
                let text = |i: usize| level[i].as_str().unwrap().to_owned();
                let cents = (text(0).parse::<f64>().unwrap() * 100.0).round() as i64;
                match text(1).as_str() {
                    "0" => assert!(side.remove(&cents).is_some(), "{level}"),
                    _ => drop(side.insert(cents, (text(0), text(1)))),
                }
            }
        }
        let (bids, asks) = (sides[0].values().rev(), sides[1].values());
        let (bids, asks): (Vec<_>, Vec<_>) = (bids.take(25).collect(), asks.take(25).collect());
        let mut parts = Vec::new();
        for i in 0..25 {
            for (price, size) in [bids.get(i), asks.get(i)].into_iter().flatten() {
                parts.extend([price.as_str(), size.as_str()]);
            }
        }
        let expected = crc32fast::hash(parts.join(":").as_bytes()) as i32;
        assert_eq!(row["checksum"].as_i64(), Some(i64::from(expected)));
    }
}

#[test]
fn the_same_seed_says_the_same_bytes() {
    let minute = |seed: u64| {
        let mut stage = Stage::unmetered();
        stage.exchange = Exchange::new(stage_config(), seed, START);
        let conn = stage.socket("/v3/ws/public");
        for topic in ["books", "publicTrade", "ticker"] {
            stage.text(conn, &subscribe(topic, "BTCUSDT").to_string());
        }
        let mut bytes = Vec::new();
        for _ in 0..600 {
            let deadline = stage.exchange.deadline();
            stage.pass((deadline.0 - stage.now.0).clamp(MILLIS, 100 * MILLIS));
            bytes.extend(stage.take(conn));
        }
        bytes
    };
    assert_eq!(minute(3), minute(3));
    assert_ne!(minute(3), minute(4));
}

fn stage_config() -> ExchangeConfig {
    ExchangeConfig { limits: Limits::unmetered(), ..ExchangeConfig::default() }
}

#[test]
fn public_rest_answers_have_the_recorded_fields() {
    let mut stage = Stage::unmetered();
    for _ in 0..100 {
        stage.pass(100 * MILLIS);
    }
    let of = "category=USDT-FUTURES&symbol=BTCUSDT";
    let mut get = |path: &str| stage.get(None, &format!("/api/v3/market/{path}"));
    let rules = get(&format!("instruments?{of}"));
    assert_eq!(
        (&rules[0]["type"], &rules[0]["priceMultiplier"]),
        (&json!("perpetual"), &json!("0.1"))
    );
    assert_eq!(get("instruments?category=USDT-FUTURES").as_array().map(Vec::len), Some(2));
    for other in ["SPOT", "COIN-FUTURES", "usdc-futures", "MARGIN"] {
        assert_eq!(get(&format!("instruments?category={other}")), json!([]));
    }
    let book = get(&format!("orderbook?{of}&limit=5"));
    assert!(book["a"][0][0].is_f64() && book["b"][4][1].is_f64() && book["b"][5].is_null());
    let bars = get(&format!("candles?{of}&interval=1m&limit=60"));
    let bars = bars.as_array().unwrap();
    assert_eq!((bars.len(), bars[0].as_array().map(Vec::len)), (60, Some(7)));
    let start = |i: usize| bars[i][0].as_str().unwrap().parse::<i64>().unwrap();
    assert!((1..60).all(|i| start(i) - start(i - 1) == 60_000), "oldest first, none missing");
    let past = get(&format!("history-candles?{of}&granularity=4H&type=MARK&limit=2"));
    assert_eq!(past.as_array().map(Vec::len), Some(2));
    let row = ["execId", "execLinkId", "isRPI", "price", "side", "size", "ts"];
    assert_eq!(keys(&get(&format!("fills?{of}"))), row);
    let rate = get("current-fund-rate?symbol=BTCUSDT");
    assert_eq!(rate[0]["fundingRateInterval"], "8");
    let rates = get(&format!("history-fund-rate?{of}&limit=2&cursor=2"));
    assert_eq!(rates["resultList"].as_array().map(Vec::len), Some(2));
    let first = get(&format!("history-fund-rate?{of}&limit=4"));
    assert_eq!(first["resultList"][2], rates["resultList"][0], "the cursor counts pages");
    let tier = get(&format!("position-tier?{of}"));
    assert_eq!(keys(&tier), ["leverage", "maxTierValue", "minTierValue", "mmr", "tier"]);
    assert_eq!(keys(&get(&format!("open-interest?{of}"))["list"]), ["openInterest", "symbol"]);
    assert_eq!(get(&format!("tickers?{of}"))[0]["category"], "USDT-FUTURES");
    let unknown = "/api/v3/market/tickers?category=USDT-FUTURES&symbol=NOPEUSDT";
    let reply = stage.rest(None, "GET", unknown, "");
    assert_eq!((reply.status, &reply.body["code"]), (400, &json!("25100")));
    assert_eq!(reply.body["msg"], "Trading pair NOPEUSDT does not exist");
}

#[test]
fn private_rest_answers_have_the_recorded_fields() {
    let mut stage = Stage::unmetered();
    let key = stage.key("keel");
    let assets = stage.get(Some(&key), "/api/v3/account/assets");
    assert_eq!(
        (&assets["accountEquity"], &assets["usdtEquity"]),
        (&json!("10000"), &json!("10000"))
    );
    let coin = ["available", "balance", "coin", "debt", "equity", "locked", "usdValue"];
    assert_eq!(keys(&assets["assets"]), coin);
    let info = stage.get(Some(&key), "/api/v3/account/info");
    assert_eq!(
        (&info["permType"], &info["permissions"]),
        (&json!("read-and-write"), &json!(["uta_trade"]))
    );
    assert_eq!(info["ips"], "127.0.0.1,::1");
    let fees = "/api/v3/account/fee-rate?category=USDT-FUTURES&symbol=ETHUSDT";
    let fees = stage.get(Some(&key), fees);
    assert_eq!(fees, json!({ "makerFeeRate": "-0.00005", "takerFeeRate": "0.0006" }));
    let lever = json!({ "category": "USDT-FUTURES", "symbol": "ETHUSDT", "leverage": "4" });
    assert_eq!(stage.post(&key, "/api/v3/account/set-leverage", &lever), "success");
    let settings = stage.get(Some(&key), "/api/v3/account/settings");
    assert_eq!(settings["holdMode"], "one_way_mode");
    let row =
        settings["symbolConfigList"].as_array().unwrap().iter().find(|r| r["symbol"] == "ETHUSDT");
    assert_eq!(row.unwrap()["leverage"], "4");

    let manual = stage.key("manual");
    let mut order = with_category(limit_order("buy", "0", "1"));
    order["orderType"] = json!("market");
    stage.post(&manual, "/api/v3/trade/place-order", &order);
    let records = "/api/v3/account/financial-records?category=USDT-FUTURES&coin=USDT";
    let page = stage.get(Some(&manual), records);
    let bill = ["amount", "balance", "category", "coin", "fee", "id", "symbol", "ts", "type"];
    assert_eq!(keys(&page["list"]), bill);
    let list = page["list"].as_array().unwrap();
    assert!(list.iter().all(|row| row["category"] == "USDT-FUTURES"), "{list:?}");
    assert_eq!(list.last().unwrap()["type"], "BUY_DEAL");
    // A transfer is of no product: it stands where the documentation has a category for that.
    let other = stage.get(Some(&manual), &records.replace("USDT-FUTURES", "OTHER"));
    let (row, size) = (&other["list"][0], other["list"].as_array().unwrap().len());
    assert_eq!((&row["type"], &row["category"], size), (&"TRANSFER_IN".into(), &"OTHER".into(), 1));
    let next = format!("{records}&cursor={}", page["cursor"].as_str().unwrap());
    assert_eq!(stage.get(Some(&manual), &next), json!({ "list": [], "cursor": null }));
}

#[test]
fn orders_are_canceled_when_the_countdown_is_not_armed_again() {
    let mut stage = Stage::unmetered();
    let key = stage.key("keel");
    let conn = stage.private(&key, &["order"]);
    let order = limit_order("buy", &near_mark(&stage, -3), "0.01");
    stage.ask(conn, &trade("place-order", &json!([order])));
    let arm = json!({ "countdown": "5" });
    let path = "/api/v3/trade/countdown-cancel-all";
    stage.post(&key, path, &arm);
    stage.pass(4 * SECONDS);
    stage.post(&key, path, &arm);
    stage.pass(4 * SECONDS);
    assert!(stage.heard(conn).is_empty(), "armed again");
    stage.pass(SECONDS);
    assert_eq!(stage.heard(conn)[0]["data"][0]["orderStatus"], "cancelled");
    let bad = stage.refused(Some(&key), "POST", path, "{\"countdown\":\"3\"}");
    assert_eq!(bad, "40020");
}

/// Asks the administration and gives the answer, which must be no refusal.
fn ask_admin(stage: &mut Stage, path: &str, body: &Value) -> Value {
    let conn = stage.exchange.open(ConnKind::Admin, PEER, stage.now).unwrap();
    let method = if body.is_null() { "GET" } else { "POST" };
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let request = request(None, method, path, &body, stage.now);
    stage.send(conn, request.as_bytes());
    let reply = Reply::of(&stage.take(conn));
    assert_eq!(reply.status, 200, "{path} {body}: {reply:?}");
    reply.body
}

#[test]
fn the_administration_makes_accounts_and_keys_of_every_kind() {
    let mut stage = Stage::unmetered();
    let account = json!({ "name": "sub", "parent": "keel", "deposit": "500", "vip": "3" });
    ask_admin(&mut stage, "/admin/account", &account);
    let mut made = |body: Value| {
        let made = ask_admin(&mut stage, "/admin/key", &body);
        made["key"].as_str().unwrap().to_owned()
    };
    let trades = made(json!({ "account": "sub", "permissions": ["uta_trade"] }));
    let takes = made(json!({ "account": "sub", "permissions": ["uta_trade", "withdraw"] }));
    let bound = made(json!({ "account": "sub", "ips": ["10.0.0.9"] }));
    let demo = made(json!({ "account": "sub", "permissions": ["uta_trade"], "demo": true }));
    let key = |stage: &Stage, name: &str| {
        stage.exchange.keys().find(|(_, key)| key.key == name).expect("the key").1.clone()
    };
    let info = "/api/v3/account/info";
    let trades = key(&stage, &trades);
    assert_eq!(stage.get(Some(&trades), info)["parentId"], "8000000001");
    let fees = "/api/v3/account/fee-rate?category=USDT-FUTURES&symbol=BTCUSDT";
    assert_eq!(stage.get(Some(&trades), fees)["makerFeeRate"], "0.00014");
    let takes = key(&stage, &takes);
    let expected = json!(["uta_trade", "withdraw"]);
    assert_eq!(stage.get(Some(&takes), info)["permissions"], expected);
    let bound = key(&stage, &bound);
    assert_eq!(stage.refused(Some(&bound), "GET", info, ""), "40018");
    let demo = key(&stage, &demo);
    assert_eq!(stage.refused(Some(&demo), "GET", info, ""), "40099");
}

#[test]
fn the_administration_moves_the_price_and_changes_the_rules() {
    let mut stage = Stage::unmetered();
    let mark = |stage: &Stage| {
        let venue = stage.exchange.venue();
        venue.instrument(venue.find("BTCUSDT").unwrap()).marks.mark.0
    };
    let before = mark(&stage);
    ask_admin(&mut stage, "/admin/price", &json!({ "symbol": "BTCUSDT", "percent": "-5" }));
    stage.pass(SECONDS);
    let share = mark(&stage) * 100 / before;
    assert!((94..=96).contains(&share), "{share}");
    assert_eq!(mark(&stage) % 10_000_000, 0, "the mark lies on the tick");

    let rules = json!({ "symbol": "BTCUSDT", "priceMultiplier": "0.5", "minOrderQty": "0.002" });
    ask_admin(&mut stage, "/admin/rules", &rules);
    stage.pass(SECONDS);
    let path = "/api/v3/market/instruments?category=USDT-FUTURES&symbol=BTCUSDT";
    let row = stage.get(None, path)[0].clone();
    let (tick, least) = (&row["priceMultiplier"], &row["minOrderQty"]);
    assert_eq!((tick, least), (&json!("0.5"), &json!("0.002")));
}

#[test]
fn announced_maintenance_is_told_begins_and_ends() {
    let mut stage = Stage::unmetered();
    let key = stage.key("keel");
    let body = json!({ "symbol": "BTCUSDT", "inMs": 1_000, "forMs": 2_000 });
    let told = ask_admin(&mut stage, "/admin/maintenance", &body);
    let path = "/api/v3/market/instruments?category=USDT-FUTURES&symbol=BTCUSDT";
    assert_eq!(stage.get(None, path)[0]["maintainTime"], told["from"]);
    let order = with_category(limit_order("buy", &near_mark(&stage, -3), "0.01")).to_string();
    let place = "/api/v3/trade/place-order";
    stage.pass(1_000 * MILLIS);
    assert_eq!(stage.refused(Some(&key), "POST", place, &order), "25102");
    stage.pass(2_000 * MILLIS);
    assert_eq!(stage.rest(Some(&key), "POST", place, &order).status, 200);
    assert_eq!(stage.get(None, path)[0]["maintainTime"], "");
}

#[test]
fn two_days_of_fundings_pass_when_time_is_moved_ahead() {
    let mut stage = Stage::unmetered();
    let key = stage.key("keel");
    let mut order = with_category(limit_order("buy", "0", "0.01"));
    order["orderType"] = json!("market");
    stage.post(&key, "/api/v3/trade/place-order", &order);
    let conn = stage.private(&key, &["position"]);
    ask_admin(&mut stage, "/admin/advance", &json!({ "ms": 48 * 3_600_000 }));
    let told = stage.get(None, "/api/v3/public/time")["serverTime"].clone();
    let clock = stage.now.millis() + 48 * 3_600_000;
    assert_eq!(told, json!(clock.to_string()));
    stage.now = UnixNanos(stage.now.0 + 48 * 3_600 * SECONDS);
    let records = "/api/v3/account/financial-records?category=USDT-FUTURES&coin=USDT";
    let signed = stage.request(Some(&key), "GET", records, "");
    stage.now = UnixNanos(stage.now.0 - 48 * 3_600 * SECONDS);
    let rest = stage.open();
    stage.send(rest, signed.as_bytes());
    let page = Reply::of(&stage.take(rest)).body["data"]["list"].clone();
    let funding = |row: &&Value| row["type"].as_str().unwrap().contains("SETTLE_FEE");
    assert_eq!(page.as_array().unwrap().iter().filter(funding).count(), 6);
    assert!(!stage.heard(conn).is_empty());
    assert!(stage.exchange.is_closing(conn), "a socket lives a day");
}

#[test]
fn time_is_frozen_stepped_resumed_and_sped_up_by_the_administration() {
    let mut stage = Stage::unmetered();
    let told = |stage: &mut Stage| {
        let time = stage.get(None, "/api/v3/public/time")["serverTime"].clone();
        time.as_str().unwrap().parse::<i64>().unwrap()
    };
    let start = told(&mut stage);
    ask_admin(&mut stage, "/admin/freeze", &json!({}));
    stage.pass(3_600 * SECONDS);
    assert_eq!(told(&mut stage), start, "it stands still");
    assert_eq!(stage.exchange.deadline(), UnixNanos(i64::MAX), "and nothing is due");
    ask_admin(&mut stage, "/admin/advance", &json!({ "ms": 61_500 }));
    assert_eq!(told(&mut stage), start + 61_500, "it is stepped");
    ask_admin(&mut stage, "/admin/resume", &json!({}));
    stage.pass(SECONDS);
    assert_eq!(told(&mut stage), start + 62_500, "it goes on");
    ask_admin(&mut stage, "/admin/speed", &json!({ "speed": "60" }));
    stage.pass(SECONDS);
    assert_eq!(told(&mut stage), start + 122_500, "a minute in a second");
    ask_admin(&mut stage, "/admin/freeze", &json!({}));
    ask_admin(&mut stage, "/admin/resume", &json!({}));
    stage.pass(SECONDS);
    assert_eq!(told(&mut stage), start + 182_500, "as fast as before");
    let state = ask_admin(&mut stage, "/admin/state", &Value::Null);
    assert_eq!(
        (&state["speed"], &state["now"]),
        (&json!("60"), &json!((start + 182_500).to_string()))
    );
    for speed in ["0", "-1", "10001"] {
        let body = json!({ "speed": speed }).to_string();
        let conn = stage.exchange.open(ConnKind::Admin, PEER, stage.now).unwrap();
        let request = request(None, "POST", "/admin/speed", &body, stage.now);
        stage.send(conn, request.as_bytes());
        assert_eq!(Reply::of(&stage.take(conn)).status, 400, "{speed}");
    }
}

#[test]
fn faults_are_injected_listed_and_cleared_by_the_administration() {
    let mut stage = Stage::unmetered();
    let key = stage.key("keel");
    let storm = json!({ "act": "too-many", "on": "place-order", "account": "keel", "times": 1 });
    let id = ask_admin(&mut stage, "/admin/fault", &storm)["fault"].clone();
    let body = with_category(limit_order("buy", &near_mark(&stage, -3), "0.01")).to_string();
    let place = "/api/v3/trade/place-order";
    assert_eq!(stage.rest(Some(&key), "POST", place, &body).status, 429);
    assert_eq!(stage.rest(Some(&key), "POST", place, &body).status, 200);
    let list = ask_admin(&mut stage, "/admin/faults", &Value::Null)["faults"].clone();
    assert_eq!((&list[0]["fault"], &list[0]["acted"]), (&id, &json!(1)));
    for act in [
        "drop",
        "duplicate",
        "stall",
        "cut",
        "damage-checksum",
        "damage-sequence",
        "damage-level",
        "fail",
        "lose-answer",
        "partial-batch",
        "refuse-rows",
        "ban",
        "maintenance",
    ] {
        ask_admin(&mut stage, "/admin/fault", &json!({ "act": act, "forMs": 10 }));
    }
    for act in ["delay", "answer-late", "accept-late", "skew"] {
        ask_admin(&mut stage, "/admin/fault", &json!({ "act": act, "ms": 10 }));
    }
    ask_admin(&mut stage, "/admin/clear-fault", &json!({}));
    let list = ask_admin(&mut stage, "/admin/faults", &Value::Null)["faults"].clone();
    assert_eq!(list, json!([]));
}

#[test]
fn the_administration_acts_on_the_venue_and_the_api_port_does_not_serve_it() {
    let mut stage = Stage::metered();
    let key = stage.key("keel");
    let watcher = stage.private(&stage.key("manual"), &["order"]);
    let ask = |stage: &mut Stage, method: &str, path: &str, body: &str| {
        let conn = stage.exchange.open(ConnKind::Admin, PEER, stage.now).unwrap();
        let request = request(None, method, path, body, stage.now);
        stage.send(conn, request.as_bytes());
        Reply::of(&stage.take(conn))
    };
    let mut order = limit_order("buy", &near_mark(&stage, -3), "0.5");
    order["account"] = json!("manual");
    let reply = ask(&mut stage, "POST", "/admin/order", &order.to_string());
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(stage.heard(watcher)[0]["data"][0]["orderStatus"], "live");
    let more = json!({ "account": "keel", "amount": "12.5" }).to_string();
    assert_eq!(ask(&mut stage, "POST", "/admin/deposit", &more).status, 200);
    let state = ask(&mut stage, "GET", "/admin/state", "").body;
    let account = |name: &str| {
        let accounts = state["accounts"].as_array().unwrap();
        accounts.iter().find(|a| a["name"] == name).unwrap().clone()
    };
    assert_eq!(account("manual")["openOrders"], 1);
    assert_eq!(account("keel")["equity"], "10012.5");
    let revoke = json!({ "key": key.key }).to_string();
    assert_eq!(ask(&mut stage, "POST", "/admin/revoke-key", &revoke).body["revoked"], true);
    assert_eq!(stage.refused(Some(&key), "GET", "/api/v3/account/assets", ""), "40037");
    for (path, body) in [("/admin/deposit", "{"), ("/admin/deposit", "{}"), ("/nothing", "{}")] {
        assert_eq!(ask(&mut stage, "POST", path, body).status, 400, "{path} {body}");
    }
    assert_eq!(stage.rest(None, "GET", "/admin/state", "").status, 404);
}
