//! A trading day at the venue, and what it answers to the requests of the recorded payloads after
//! it.

use std::collections::BTreeMap;

use keel_core::units::{Price, Quote};
use keel_sim::account::{ApiKey, Fees, Permissions};
use keel_sim::bitget::{AccountPlan, ConnId};
use serde_json::{Value, json};

use crate::stage::Stage;

/// The day: everything that was said on its sockets, and the venue as it stands after it.
pub(crate) struct Day {
    pub(crate) stage: Stage,
    pub(crate) key: ApiKey,
    private: ConnId,
    public: ConnId,
    /// Answers to order entry and to subscriptions, by the name of the payload.
    said: BTreeMap<String, Value>,
    /// The last push of each topic that has rows.
    pushed: BTreeMap<String, Value>,
    /// Orders: one that rests, one that was filled at once, one that may be canceled.
    resting: String,
    filled: String,
    /// A sub-account, and a key of it.
    sub: String,
    sub_key: String,
}

impl Day {
    /// Trades.
    pub(crate) fn new() -> Self {
        let permissions = Permissions { manage: true, ..Permissions::TRADE };
        let main = AccountPlan { permissions, ..AccountPlan::maker() };
        let mut stage = Stage::new(vec![main, AccountPlan::manual(), small()]);
        let key = stage.key("keel");
        let private = stage.private(&key);
        let public = stage.socket("/v3/ws/public");
        let (said, pushed) = (BTreeMap::new(), BTreeMap::new());
        let [resting, filled, sub, sub_key] = [const { String::new() }; 4];
        let mut day =
            Self { stage, key, private, public, said, pushed, resting, filled, sub, sub_key };
        day.open_sub();
        day.subscribe();
        day.trade_over_the_socket();
        day.trade_over_rest();
        day.wait_for_prices();
        day.settle_and_liquidate();
        day.listen();
        day
    }

    /// What the venue says where the payload of this name was recorded; none when it says nothing.
    pub(crate) fn answer(&mut self, name: &str, recorded: &Value) -> Option<Value> {
        if recorded.pointer("/arg/instId").is_some() && name.ends_with("-ack") {
            let arg = recorded["arg"].clone();
            let heard = self.replay_message(&json!({ "op": "subscribe", "args": [arg] }));
            return heard.into_iter().find(|message| message["event"] == "subscribe");
        }
        if let Some(endpoint) = name.strip_prefix("v3-") {
            let (method, target, body) = self.request(endpoint)?;
            let key = self.key.clone();
            let body = if body.is_null() { String::new() } else { body.to_string() };
            return Some(self.stage.rest(Some(&key), method, &target, &body));
        }
        self.said.get(name).or_else(|| self.pushed.get(name)).cloned()
    }

    /// Sends a recorded REST request, with the names of this day in it, and gives the envelope.
    pub(crate) fn replay_rest(&mut self, request: &Value) -> Value {
        let text = |name: &str| request[name].as_str().unwrap_or_default();
        let query = self.localized(text("query"));
        let mark = if query.is_empty() { "" } else { "?" };
        let target = format!("{}{mark}{query}", text("path"));
        let body = match &request["body"] {
            Value::Null => String::new(),
            body => self.localized(&body.to_string()),
        };
        let key = self.key.clone();
        self.stage.rest(Some(&key), text("method"), &target, &body)
    }

    /// Sends a recorded message, with the names of this day in it, and gives the answers.
    pub(crate) fn replay_message(&mut self, request: &Value) -> Vec<Value> {
        let text = self.localized(&request.to_string());
        let private = ["\"UTA\"", "\"trade\""].iter().any(|word| text.contains(word));
        let conn = if private { self.private } else { self.public };
        self.stage.heard(conn);
        self.stage.ask(conn, &serde_json::from_str(&text).expect("JSON"))
    }

    /// The venue trades two contracts of one product, and orders have the numbers of this day.
    fn localized(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (theirs, ours) in [
            ("\"SPOT\"", "\"USDT-FUTURES\""),
            ("=SPOT", "=USDT-FUTURES"),
            ("\"spot\"", "\"usdt-futures\""),
            ("EOSUSDT", "BTCUSDT"),
            ("BGBUSDT", "BTCUSDT"),
            ("coin=ETH", "symbol=ETHUSDT"),
            ("1233965375251996672", &self.resting),
            ("111111111111111111", &self.resting),
        ] {
            text = text.replace(theirs, ours);
        }
        text
    }

    /// Method, path and body of the request that `endpoint` names.
    fn request(&mut self, endpoint: &str) -> Option<(&'static str, String, Value)> {
        let (query, body) = match self.query(endpoint) {
            Some(query) => (query, Value::Null),
            None => (String::new(), self.body(endpoint)?),
        };
        let (group, name) = endpoint.split_once('-')?;
        let mark = if query.is_empty() { "" } else { "?" };
        let method = if body.is_null() { "GET" } else { "POST" };
        Some((method, format!("/api/v3/{group}/{name}{mark}{query}"), body))
    }

    /// The query of a question; `None` for what changes something.
    fn query(&self, endpoint: &str) -> Option<String> {
        let product = "category=USDT-FUTURES";
        let symbol = "category=USDT-FUTURES&symbol=BTCUSDT";
        Some(match endpoint {
            "account-assets"
            | "account-settings"
            | "account-deduct-info"
            | "account-info"
            | "position-adlRank"
            | "account-sub-unified-assets"
            | "user-sub-list" => String::new(),
            "user-sub-api-list" => format!("subUid={}", self.sub),
            "account-fee-rate"
            | "account-open-interest-limit"
            | "market-open-interest"
            | "market-tickers"
            | "market-fills"
            | "market-oi-limit"
            | "market-position-tier"
            | "market-risk-reserve"
            | "market-history-fund-rate"
            | "position-current-position"
            | "trade-unfilled-orders" => symbol.to_owned(),
            "account-financial-records"
            | "market-instruments"
            | "position-history-position"
            | "trade-unfilled-strategy-orders"
            | "trade-history-strategy-orders" => product.to_owned(),
            "trade-history-orders" => format!("{product}&symbol=ETHUSDT"),
            "trade-fills" | "trade-order-info" => format!("orderId={}", self.filled),
            "account-max-open-available" => format!("{symbol}&orderType=limit&side=buy"),
            "account-max-transferable" => "coin=USDT".to_owned(),
            "market-current-fund-rate" | "market-index-components" => "symbol=BTCUSDT".to_owned(),
            "market-history-candles" => format!("{symbol}&interval=1m&limit=2"),
            "market-orderbook" => format!("{symbol}&limit=5"),
            _ => return None,
        })
    }

    /// The body of a request that changes something.
    fn body(&mut self, endpoint: &str) -> Option<Value> {
        Some(match endpoint {
            // The mode cannot change while a position is held, but it may be set again.
            "account-set-hold-mode" => json!({ "holdMode": "one_way_mode" }),
            "user-create-sub" => json!({ "username": "other", "note": "second" }),
            "user-freeze-sub" => json!({ "subUid": self.sub, "operation": "freeze" }),
            "user-create-sub-api" => self.new_key(),
            "user-update-sub-api" => json!({
                "apiKey": self.sub_key, "type": "read_write", "passphrase": "88888888",
                "permissions": ["uta_trade"],
            }),
            "user-delete-sub-api" => {
                let (key, body) = (self.key.clone(), self.new_key());
                let made = self.stage.post(&key, "/api/v3/user/create-sub-api", &body);
                json!({ "apiKey": made["apiKey"] })
            }
            "trade-place-batch" => json!([self.limit("buy", -2), self.limit("buy", -3)]),
            "trade-cancel-order" => json!({ "orderId": self.extra() }),
            "trade-cancel-batch" => {
                json!([self.extra(), self.extra()].map(|id| json!({ "orderId": id })))
            }
            "trade-batch-modify-order" => {
                let change = |id| json!({ "orderId": id, "qty": "0.02", "autoCancel": "no" });
                json!([self.extra(), self.extra()].map(change))
            }
            "trade-cancel-symbol-order" => {
                self.extra();
                json!({ "category": "USDT-FUTURES" })
            }
            "trade-cancel-strategy-order" => {
                let order = json!({
                    "category": "USDT-FUTURES", "symbol": "BTCUSDT", "type": "tpsl",
                    "qty": "0.01", "posSide": "long", "stopLoss": "100",
                });
                let key = self.key.clone();
                let path = "/api/v3/trade/place-strategy-order";
                json!({ "orderId": self.stage.post(&key, path, &order)["orderId"].clone() })
            }
            _ => return None,
        })
    }

    /// Opens a sub-account with a key.
    fn open_sub(&mut self) {
        let key = self.key.clone();
        let sub = json!({ "username": "quiet", "note": "resting" });
        let made = self.stage.post(&key, "/api/v3/user/create-sub", &sub);
        self.sub = made["subUid"].as_str().expect("a text").to_owned();
        let body = self.new_key();
        let made = self.stage.post(&key, "/api/v3/user/create-sub-api", &body);
        self.sub_key = made["apiKey"].as_str().expect("a text").to_owned();
    }

    fn new_key(&self) -> Value {
        json!({
            "subUid": self.sub, "note": "test", "type": "read_only", "permissions": ["uta_trade"],
            "passphrase": "1234567Aa", "ips": ["127.0.0.1"],
        })
    }

    fn subscribe(&mut self) {
        for topic in ["ticker", "books", "books1", "publicTrade", "kline"] {
            let mut arg = json!({
                "instType": "usdt-futures", "topic": topic, "symbol": "BTCUSDT",
            });
            if topic == "kline" {
                arg["interval"] = json!("1m");
            }
            self.join(self.public, topic, &arg);
        }
        let arg = json!({ "instType": "usdt-futures", "topic": "liquidation" });
        self.join(self.public, "liquidation", &arg);
        for topic in [
            "order",
            "fill",
            "fast-fill",
            "position",
            "account",
            "strategy-order",
            "adl-notification",
        ] {
            self.join(self.private, topic, &json!({ "instType": "UTA", "topic": topic }));
        }
        let nowhere = json!({ "instType": "usdt-futures", "topic": "books", "symbol": "NOPEUSDT" });
        let message = json!({ "op": "subscribe", "args": [nowhere] });
        let error = self.stage.ask(self.public, &message).remove(0);
        self.said.insert("subscribe-error".to_owned(), error);
    }

    fn join(&mut self, conn: ConnId, topic: &str, arg: &Value) {
        let mut heard = self.stage.ask(conn, &json!({ "op": "subscribe", "args": [arg] }));
        let ack = heard.iter().position(|message| message["event"] == "subscribe");
        let ack = heard.remove(ack.unwrap_or_else(|| panic!("{topic}: {heard:?}")));
        self.said.insert(format!("{topic}-ack"), ack);
        self.keep(heard);
    }

    fn keep(&mut self, heard: Vec<Value>) {
        for message in heard {
            let rows = message["data"].as_array().map_or(1, Vec::len);
            let topic = message["arg"]["topic"].as_str().unwrap_or_default();
            if rows > 0 && !message["data"].is_null() {
                self.pushed.insert(topic.to_owned(), message);
            }
        }
    }

    fn listen(&mut self) {
        for conn in [self.private, self.public] {
            let heard = self.stage.heard(conn);
            self.keep(heard);
        }
    }

    /// Sends an order frame, keeps its answer and gives the answer's elements.
    fn entry(&mut self, topic: &str, args: &Value) -> Vec<Value> {
        let frame = json!({
            "op": "trade", "id": "1", "category": "usdt-futures", "topic": topic, "args": args,
        });
        let mut heard = self.stage.ask(self.private, &frame);
        let answer = heard.iter().position(|message| message["event"] == "trade");
        let answer = heard.remove(answer.unwrap_or_else(|| panic!("{topic}: {heard:?}")));
        self.keep(heard);
        let elements = answer["args"].as_array().expect("a list").clone();
        self.said.insert(format!("{topic}-ack"), answer);
        elements
    }

    fn trade_over_the_socket(&mut self) {
        let order = self.limit("buy", -3);
        let id = self.entry("place-order", &json!([order]))[0]["orderId"].clone();
        let modified = json!([{ "orderId": id, "qty": "0.03", "autoCancel": "yes" }]);
        let id = self.entry("modify-order", &modified)[0]["orderId"].clone();
        self.entry("cancel-order", &json!([{ "orderId": id }]));
        let orders = json!([self.limit("buy", -3), self.limit("buy", -4)]);
        let placed = self.entry("batch-place", &orders);
        let [first, second] = [0, 1].map(|i: usize| placed[i]["orderId"].clone());
        let changes = json!([
            { "orderId": first, "qty": "0.01" },
            { "orderId": second, "qty": "0.02" },
        ]);
        let second = self.entry("batch-modify", &changes)[1]["orderId"].clone();
        let gone = json!([{ "orderId": second }, { "orderId": "7" }]);
        self.entry("batch-cancel", &gone);
        self.resting = first.as_str().expect("a text").to_owned();
    }

    fn trade_over_rest(&mut self) {
        let key = self.key.clone();
        let place = "/api/v3/trade/place-order";
        for (symbol, side, qty) in
            [("ETHUSDT", "buy", "0.5"), ("ETHUSDT", "sell", "0.5"), ("BTCUSDT", "buy", "0.05")]
        {
            let order = json!({
                "category": "USDT-FUTURES", "symbol": symbol, "side": side, "qty": qty,
                "orderType": "market",
            });
            let ack = self.stage.post(&key, place, &order);
            self.filled = ack["orderId"].as_str().expect("a text").to_owned();
            self.stage.pass(200);
        }
    }

    /// Strategy orders: one that waits for four prices, one that fires at once.
    fn wait_for_prices(&mut self) {
        let key = self.key.clone();
        let path = "/api/v3/trade/place-strategy-order";
        let (above, below) = (self.near_mark(4), self.near_mark(-4));
        let mut order = json!({
            "category": "USDT-FUTURES", "symbol": "BTCUSDT", "type": "tpsl", "qty": "0.01",
            "posSide": "long", "takeProfit": above, "tpTriggerBy": "market",
            "tpOrderType": "limit", "tpLimitPrice": above, "stopLoss": below,
            "slTriggerBy": "mark", "slOrderType": "market",
        });
        self.stage.post(&key, path, &order);
        order["takeProfit"] = json!(below);
        self.stage.post(&key, path, &order);
        self.stage.pass(500);
    }

    fn settle_and_liquidate(&mut self) {
        self.stage.admin("/admin/settle-funding", &json!({ "symbol": "BTCUSDT" }));
        let small = self.stage.key("small");
        let order = json!({
            "category": "USDT-FUTURES", "symbol": "ETHUSDT", "side": "buy", "qty": "1",
            "orderType": "market",
        });
        self.stage.post(&small, "/api/v3/trade/place-order", &order);
        let venue = self.stage.exchange.venue_mut();
        let ether = venue.find("ETHUSDT").expect("listed");
        let mut marks = venue.instrument(ether).marks;
        marks.mark = Price(marks.mark.0 / 100 * 85);
        venue.set_marks(ether, marks, self.stage.now).expect("marks that can be");
        let bitcoin = venue.find("BTCUSDT").expect("listed");
        let keel = venue.accounts().iter().find(|a| a.name == "keel").expect("an account").id;
        let (side, lots) = (keel_sim::order::PosSide::Net, keel_core::units::Lots(10));
        venue.deleverage(keel, bitcoin, side, lots, self.stage.now).expect("a position");
        self.stage.pass(100);
        let order = self.limit("buy", -3);
        let ack = self.stage.post(&self.key.clone(), "/api/v3/trade/place-order", &order);
        self.resting = ack["orderId"].as_str().expect("a text").to_owned();
        self.stage.pass(1_500);
    }

    /// A new resting order.
    fn extra(&mut self) -> String {
        let order = self.limit("buy", -3);
        let key = self.key.clone();
        let ack = self.stage.post(&key, "/api/v3/trade/place-order", &order);
        ack["orderId"].as_str().expect("a text").to_owned()
    }

    fn limit(&self, side: &str, percent: i64) -> Value {
        json!({
            "category": "USDT-FUTURES", "symbol": "BTCUSDT", "orderType": "limit", "side": side,
            "price": self.near_mark(percent), "qty": "0.01", "timeInForce": "gtc",
        })
    }

    /// A price so many percent away from the mark, on the tick.
    fn near_mark(&self, percent: i64) -> String {
        let venue = self.stage.exchange.venue();
        let mark = venue.instrument(venue.find("BTCUSDT").expect("listed")).marks.mark.0;
        let tenths = mark / 10_000_000 * (100 + percent) / 100;
        format!("{}.{}", tenths / 10, tenths % 10)
    }
}

/// An account that a fall of the price ruins.
fn small() -> AccountPlan {
    AccountPlan {
        name: "small".into(),
        uid: 8_000_000_003,
        deposit: Quote::usdt(150),
        fees: Fees::vip(0),
        leverage: Some(50),
        permissions: Permissions::TRADE,
        ips: Vec::new(),
    }
}
