//! Each fault, seen from a client's side of the wire.

use keel_core::units::{Quote, UnixNanos};
use serde_json::{Value, json};

use super::scripted::{
    MILLIS, SECONDS, Stage, limit_order, near_mark, subscribe, trade, with_category,
};
use super::{ConnId, ExchangeConfig, Limits};
use crate::account::{ApiKey, Permissions};
use crate::fault::{Act, Damage, Fault, Scope};
use crate::order::OrderId;

const PLACE: &str = "/api/v3/trade/place-order";

/// A client with a private socket.
struct Client {
    stage: Stage,
    key: ApiKey,
    conn: ConnId,
}

impl Client {
    fn new(topics: &[&str]) -> Self {
        let mut stage = Stage::unmetered();
        let key = stage.key("keel");
        let conn = stage.private(&key, topics);
        stage.heard(conn);
        Self { stage, key, conn }
    }

    fn inject(&mut self, act: Act, name: &str) {
        let on = Scope { name: Some(name.into()), ..Scope::ALL };
        let until = Some(UnixNanos(self.stage.now.0 + SECONDS));
        let fault = Fault { on, until, ..Fault::always(act) };
        self.stage.exchange.inject(fault, self.stage.now);
    }

    fn order(&self) -> Value {
        limit_order("buy", &near_mark(&self.stage, -3), "0.01")
    }

    /// Sends an order over the WebSocket and gives what comes back, by its event or topic.
    fn place(&mut self) -> Vec<String> {
        let order = self.order();
        let heard = self.stage.ask(self.conn, &trade("place-order", &json!([order])));
        words(&heard)
    }

    fn wait(&mut self, ms: i64) -> Vec<String> {
        self.stage.pass(ms * MILLIS);
        words(&self.stage.heard(self.conn))
    }

    fn open(&self) -> usize {
        let venue = self.stage.exchange.venue();
        let account = venue.accounts().iter().find(|a| a.name == "keel").expect("an account");
        account.open_orders().count()
    }

    /// Sends an order over REST and gives status and code; zero when nothing came.
    fn newest(&self) -> String {
        let venue = self.stage.exchange.venue();
        let orders = venue.accounts().iter().flat_map(|account| account.open_orders());
        orders.max().expect("an order").0.to_string()
    }

    fn post(&mut self) -> (u16, String) {
        let body = with_category(self.order()).to_string();
        let reply = self.stage.try_rest(Some(&self.key.clone()), "POST", PLACE, &body);
        reply.map_or((0, String::new()), |reply| {
            let code = reply.body["code"].as_str().unwrap_or_default().to_owned();
            (reply.status, code)
        })
    }
}

fn words(heard: &[Value]) -> Vec<String> {
    let word = |message: &Value| match (&message["event"], &message["arg"]["topic"]) {
        (Value::String(event), _) => event.clone(),
        (_, Value::String(topic)) => topic.clone(),
        _ => message.to_string(),
    };
    heard.iter().map(word).collect()
}

#[test]
fn a_delayed_push_comes_after_what_was_said_later() {
    let mut client = Client::new(&["order"]);
    client.inject(Act::Delay { least_ns: 200 * MILLIS, most_ns: 300 * MILLIS }, "order");
    assert_eq!(client.place(), ["trade"], "the ack is first, though the push was made first");
    assert!(client.wait(199).is_empty());
    assert_eq!(client.wait(101), ["order"]);
}

#[test]
fn delays_reorder_connections_and_keep_the_order_of_one_topic() {
    let mut client = Client::new(&["order", "account"]);
    client.inject(Act::Delay { least_ns: 0, most_ns: 900 * MILLIS }, "order");
    for _ in 0..8 {
        client.place();
        client.stage.pass(10 * MILLIS);
    }
    let mut ids = Vec::new();
    for _ in 0..200 {
        client.stage.pass(10 * MILLIS);
        for push in client.stage.heard(client.conn) {
            if push["arg"]["topic"] == "order" {
                ids.push(push["data"][0]["orderId"].as_str().unwrap().parse::<u64>().unwrap());
            }
        }
    }
    assert!(ids.len() >= 8 && ids.is_sorted(), "{ids:?}");
}

#[test]
fn pushes_are_lost_or_come_twice() {
    for (act, expected) in
        [(Act::Drop, vec!["trade"]), (Act::Duplicate, vec!["trade", "order", "order"])]
    {
        let mut client = Client::new(&["order"]);
        client.inject(act, "order");
        assert_eq!(client.place(), expected);
    }
}

#[test]
fn a_stalled_topic_is_silent_and_then_comes_in_order() {
    let mut client = Client::new(&["order"]);
    client.inject(Act::Stall, "order");
    assert_eq!(client.place(), ["trade"]);
    client.stage.pass(100 * MILLIS);
    assert_eq!(client.place(), ["trade"]);
    assert!(client.wait(800).is_empty());
    assert_eq!(client.wait(100), ["order", "order"]);
    let endless = Fault::always(Act::Stall);
    let id = client.stage.exchange.inject(endless, client.stage.now);
    assert_eq!(client.place(), ["trade"]);
    assert!(client.wait(2_000).is_empty());
    assert!(client.stage.exchange.clear_fault(id, client.stage.now));
    assert_eq!(client.wait(0), ["order"]);
}

#[test]
fn a_cut_ends_the_connection_in_the_middle_of_a_frame() {
    let mut client = Client::new(&["order"]);
    client.inject(Act::Cut, "order");
    let order = client.order();
    let text = trade("place-order", &json!([order])).to_string();
    client.stage.text(client.conn, &text);
    let bytes = client.stage.take(client.conn);
    assert!(client.stage.exchange.is_closing(client.conn));
    let [0x81, 126, high, low, ack @ ..] = &bytes[..] else { panic!("a long text frame") };
    let ack_len = usize::from(u16::from_be_bytes([*high, *low]));
    let [0x81, 126, high, low, rest @ ..] = &ack[ack_len..] else { panic!("another") };
    assert!(rest.len() < usize::from(u16::from_be_bytes([*high, *low])), "half of it");
    assert_eq!(client.open(), 1, "the order rests all the same");
}

#[test]
fn a_damaged_book_shows_in_its_chain_or_its_checksum() {
    let limits = Limits::unmetered();
    for damage in [Damage::Sequence, Damage::Checksum] {
        let config =
            ExchangeConfig { checksum: true, limits: limits.clone(), ..ExchangeConfig::default() };
        let frames = |damage: Option<Damage>| {
            let mut stage = Stage::new(config.clone());
            let conn = stage.socket("/v3/ws/public");
            stage.ask(conn, &subscribe("books", "BTCUSDT"));
            if let Some(damage) = damage {
                let fault = Fault { times: Some(1), ..Fault::always(Act::Damage(damage)) };
                stage.exchange.inject(fault, stage.now);
            }
            for _ in 0..10 {
                stage.pass(100 * MILLIS);
            }
            stage.heard(conn)
        };
        let (sound, broken) = (frames(None), frames(Some(damage)));
        let key = if damage == Damage::Sequence { "pseq" } else { "checksum" };
        let values = |frames: &[Value]| -> Vec<Value> {
            frames.iter().map(|frame| frame["data"][0][key].clone()).collect()
        };
        let (sound, broken) = (values(&sound), values(&broken));
        assert_ne!(sound[0], broken[0], "{key}");
        assert_eq!(sound[1..], broken[1..], "only the first");
    }
}

#[test]
fn a_request_fails_whether_it_was_worked_or_not() {
    for (accepted, open) in [(true, 1), (false, 0)] {
        let mut client = Client::new(&["order"]);
        client.inject(Act::Fail { status: 502, accepted }, "place-order");
        assert_eq!(client.post(), (502, String::new()));
        assert_eq!(client.open(), open);
        client.stage.heard(client.conn);
        let heard = client.place();
        assert_eq!(heard.first().map(String::as_str), Some("error"));
        assert_eq!(client.open(), 2 * open);
    }
}

#[test]
fn an_answer_is_lost_whether_the_request_was_worked_or_not() {
    for (accepted, open) in [(true, 1), (false, 0)] {
        let mut client = Client::new(&[]);
        client.inject(Act::LoseAnswer { accepted }, "place-order");
        assert_eq!(client.post(), (0, String::new()));
        assert_eq!(client.open(), open);
        assert!(client.place().is_empty());
        assert_eq!(client.open(), 2 * open);
    }
}

#[test]
fn an_answer_is_late_after_its_push() {
    let mut client = Client::new(&["order"]);
    client.inject(Act::AnswerLate { ns: 300 * MILLIS }, "place-order");
    assert_eq!(client.place(), ["order"]);
    assert_eq!(client.wait(300), ["trade"]);

    let conn = client.stage.open();
    let body = with_category(client.order()).to_string();
    let request = client.stage.request(Some(&client.key), "POST", PLACE, &body);
    let time = client.stage.request(None, "GET", "/api/v2/public/time", "");
    client.stage.send(conn, (request + &time).as_bytes());
    assert!(client.stage.take(conn).is_empty(), "not even the answer to the next request");
    client.stage.pass(300 * MILLIS);
    let bytes = client.stage.take(conn);
    let text = String::from_utf8(bytes).unwrap();
    let (order, time) = (text.find("orderId").unwrap(), text.find("serverTime").unwrap());
    assert!(order < time, "in order");
}

#[test]
fn a_request_is_worked_late_even_when_its_connection_is_gone() {
    let mut client = Client::new(&["order"]);
    client.inject(Act::AcceptLate { ns: 400 * MILLIS }, "place-order");
    assert_eq!(client.post(), (504, String::new()));
    assert!(client.place().is_empty());
    assert_eq!(client.open(), 0);
    assert_eq!(client.wait(400), ["trade", "order", "order"]);
    assert_eq!(client.open(), 2);
    client.inject(Act::AcceptLate { ns: 400 * MILLIS }, "place-order");
    client.place();
    client.stage.exchange.close(client.conn);
    client.stage.pass(400 * MILLIS);
    assert_eq!(client.open(), 3);
}

#[test]
fn a_batch_is_worked_whole_and_answered_by_half() {
    let mut client = Client::new(&[]);
    client.inject(Act::PartialBatch, "batch-place");
    client.inject(Act::PartialBatch, "place-batch");
    let orders = json!([client.order(), client.order(), client.order(), client.order()]);
    let heard = client.stage.ask(client.conn, &trade("batch-place", &orders));
    assert_eq!(heard[0]["args"].as_array().map(Vec::len), Some(2));
    assert_eq!(client.open(), 4);
    let orders = json!([with_category(client.order()), with_category(client.order())]);
    let rows = client.stage.post(&client.key.clone(), "/api/v3/trade/place-batch", &orders);
    assert_eq!(rows.as_array().map(Vec::len), Some(1));
    assert_eq!(client.open(), 6);
}

#[test]
fn the_second_half_of_a_batch_is_refused_and_the_first_is_worked() {
    let mut client = Client::new(&[]);
    client.inject(Act::RefuseRows, "batch-place");
    client.inject(Act::RefuseRows, "place-batch");
    let codes = |rows: &Value| -> Vec<String> {
        let rows = rows.as_array().expect("rows").iter();
        rows.map(|row| row["code"].as_str().unwrap_or("0").to_owned()).collect()
    };
    let orders = json!([client.order(), client.order(), client.order()]);
    let heard = client.stage.ask(client.conn, &trade("batch-place", &orders));
    assert_eq!(codes(&heard[0]["args"]), ["0", "0", "429"]);
    assert_eq!(client.open(), 2);
    let orders = json!([with_category(client.order()), with_category(client.order())]);
    let rows = client.stage.post(&client.key.clone(), "/api/v3/trade/place-batch", &orders);
    assert_eq!(codes(&rows).last().map(String::as_str), Some("429"), "{rows}");
    assert_eq!(client.open(), 3);
}

#[test]
fn a_cancel_is_answered_at_once_and_done_later() {
    let mut client = Client::new(&["order"]);
    client.inject(Act::CancelLate { ns: 400 * MILLIS }, "cancel-order");
    assert_eq!(client.post().0, 200);
    client.stage.take(client.conn);
    let args = json!([{ "orderId": client.newest() }]);
    let heard = client.stage.ask(client.conn, &trade("cancel-order", &args));
    assert_eq!((heard.len(), &heard[0]["code"]), (1, &json!("0")), "it is answered: {heard:?}");
    assert_eq!(client.open(), 1, "and rests");
    assert_eq!(client.wait(400), ["order"]);
    assert_eq!(client.open(), 0);
}

#[test]
fn a_storm_of_429_says_so_over_both_wires() {
    let mut client = Client::new(&[]);
    client.inject(Act::TooMany, "place-order");
    assert_eq!(client.post(), (429, "429".to_owned()));
    let order = client.order();
    let heard = client.stage.ask(client.conn, &trade("place-order", &json!([order])));
    assert_eq!((&heard[0]["event"], &heard[0]["code"]), (&json!("error"), &json!("429")));
    client.stage.pass(SECONDS);
    assert_eq!(client.post().0, 200);
}

#[test]
fn a_ban_and_a_maintenance_shut_the_door_until_they_are_over() {
    for (act, status) in [(Act::Ban, 403), (Act::Maintenance, 503)] {
        let mut client = Client::new(&[]);
        client.inject(act, "");
        client.stage.exchange.clear_fault(crate::fault::FaultId(1), client.stage.now);
        let until = Some(UnixNanos(client.stage.now.0 + SECONDS));
        client.stage.exchange.inject(Fault { until, ..Fault::always(act) }, client.stage.now);
        assert!(client.stage.exchange.is_closing(client.conn), "sockets end");
        assert_eq!(client.post().0, status);
        assert_eq!(client.stage.try_socket("/v3/ws/public"), Err(status));
        client.stage.pass(SECONDS);
        assert_eq!(client.post().0, 200);
        assert!(client.stage.try_socket("/v3/ws/public").is_ok());
    }
}

#[test]
fn a_wrong_clock_refuses_requests_that_are_in_time() {
    let mut client = Client::new(&[]);
    let fault = Fault::always(Act::Skew { ns: 31 * SECONDS });
    client.stage.exchange.inject(fault, client.stage.now);
    let told = client.stage.get(None, "/api/v3/public/time")["serverTime"].clone();
    let clock = client.stage.now.millis() + 31_000;
    assert_eq!(told, json!(clock.to_string()));
    assert_eq!(client.post(), (400, "40008".to_owned()));
}

#[test]
fn a_revoked_key_ends_its_sockets_and_signs_no_more() {
    let mut client = Client::new(&[]);
    let other = client.stage.private(&client.stage.key("manual"), &[]);
    client.stage.exchange.revoke_key(&client.key.key.clone(), client.stage.now);
    assert!(client.stage.exchange.is_closing(client.conn));
    assert!(!client.stage.exchange.is_closing(other), "another key's socket stays");
    assert_eq!(client.post(), (400, "40037".to_owned()));
}

#[test]
fn a_demo_key_works_on_the_demo_side_only() {
    let mut client = Client::new(&[]);
    let account = client.stage.exchange.keys().next().expect("a key").0.id;
    let demo = ApiKey { demo: true, ..ApiKey::new("d", "s", "p", Permissions::TRADE) };
    client.stage.exchange.venue_mut().add_key(account, demo.clone());
    let path = "/api/v3/account/assets";
    assert_eq!(client.stage.refused(Some(&demo), "GET", path, ""), "40099");
    client.stage.extra = "paptrading: 1\r\n".into();
    assert_eq!(client.stage.refused(Some(&client.key.clone()), "GET", path, ""), "40099");
    assert!(client.stage.get(Some(&demo), path).is_object());
    client.stage.private(&demo, &["order"]);
}

#[test]
fn the_three_hundred_and_first_socket_in_five_minutes_is_refused() {
    let mut stage = Stage::metered();
    for _ in 0..300 {
        let conn = stage.socket("/v3/ws/public");
        stage.exchange.close(conn);
    }
    assert_eq!(stage.try_socket("/v3/ws/public"), Err(429));
    stage.pass(300 * SECONDS);
    assert!(stage.try_socket("/v3/ws/public").is_ok());
}

#[test]
fn an_order_after_its_window_is_received_and_canceled() {
    let mut client = Client::new(&["order"]);
    let mut order = client.order();
    order["receiveWindow"] = json!("100");
    order["requestTime"] = json!((client.stage.now.millis() - 101).to_string());
    let heard = client.stage.ask(client.conn, &trade("place-order", &json!([order])));
    assert_eq!(words(&heard), ["trade", "order", "order"]);
    assert_eq!(heard[2]["data"][0]["cancelReason"], "cancel_receiveWindow");
    order["requestTime"] = json!((client.stage.now.millis() - 100).to_string());
    client.stage.ask(client.conn, &trade("place-order", &json!([order])));
    assert_eq!(client.open(), 1);
    order["receiveWindow"] = json!("9");
    let heard = client.stage.ask(client.conn, &trade("place-order", &json!([order])));
    assert_eq!(heard[0]["code"], "40020");
}

#[test]
fn an_order_answer_tells_what_is_left_of_its_window() {
    let mut stage = Stage::metered();
    let key = stage.key("keel");
    let conn = stage.private(&key, &[]);
    let order = limit_order("buy", &near_mark(&stage, -3), "0.01");
    let heard = stage.ask(conn, &trade("place-order", &json!([order])));
    assert_eq!(heard[0]["rateLimit"], json!([{ "limit": "10", "remaining": "9" }]));
}

#[test]
fn a_strategy_order_waits_fires_once_and_its_order_trades() {
    let mut client = Client::new(&["strategy-order", "order"]);
    let mut buy = with_category(limit_order("buy", "0", "0.02"));
    buy["orderType"] = json!("market");
    client.stage.post(&client.key.clone(), PLACE, &buy);
    client.stage.heard(client.conn);
    let path = "/api/v3/trade/place-strategy-order";
    let waiting = json!({
        "category": "USDT-FUTURES", "symbol": "BTCUSDT", "type": "tpsl", "qty": "0.02",
        "posSide": "long", "stopLoss": near_mark(&client.stage, -2), "slTriggerBy": "mark",
    });
    client.stage.post(&client.key.clone(), path, &waiting);
    assert_eq!(client.wait(500), ["strategy-order"]);
    let now = client.stage.now;
    let venue = client.stage.exchange.venue_mut();
    let id = venue.find("BTCUSDT").unwrap();
    let mut marks = venue.instrument(id).marks;
    marks.mark.0 = marks.mark.0 / 100 * 97;
    venue.set_marks(id, marks, now).unwrap();
    client.stage.pass(MILLIS);
    let heard = client.stage.heard(client.conn);
    let last = heard.iter().rfind(|m| m["arg"]["topic"] == "strategy-order").unwrap();
    let row = &last["data"][0];
    assert_eq!((&row["status"], &row["triggerType"]), (&json!("success"), &json!("stopLoss")));
    assert_eq!(heard[0]["data"][0]["delegateType"], "tpsl");
    let venue = client.stage.exchange.venue();
    let account = venue.accounts().iter().find(|a| a.name == "keel").unwrap();
    assert!(!account.is_exposed(), "the position is closed");
    assert!(account.waiting_strategies().is_empty());
    let made = account.done_strategies()[0].made.expect("an order");
    assert!(made > OrderId(0));
}

#[test]
fn hedge_mode_holds_both_sides_through_the_wire() {
    let mut client = Client::new(&["position"]);
    let key = client.key.clone();
    let mode = json!({ "holdMode": "hedge_mode" });
    client.stage.post(&key, "/api/v3/account/set-hold-mode", &mode);
    let order = |side: &str, pos_side: &str| {
        let mut order = with_category(limit_order(side, "0", "0.01"));
        order["orderType"] = json!("market");
        order["posSide"] = json!(pos_side);
        order
    };
    for (side, pos_side) in [("buy", "long"), ("sell", "short")] {
        client.stage.post(&key, PLACE, &order(side, pos_side));
    }
    let path = "/api/v3/position/current-position?category=USDT-FUTURES";
    let rows = client.stage.get(Some(&key), path)["list"].clone();
    let sides: Vec<_> = rows.as_array().unwrap().iter().map(|row| &row["posSide"]).collect();
    assert_eq!(sides, ["long", "short"]);
    client.stage.post(&key, PLACE, &order("sell", "long"));
    let rows = client.stage.get(Some(&key), path)["list"].clone();
    assert_eq!(rows.as_array().map(Vec::len), Some(1));
    assert_eq!(
        (&rows[0]["posSide"], &rows[0]["holdMode"]),
        (&json!("short"), &json!("hedge_mode"))
    );
    let body = with_category(client.order()).to_string();
    assert_eq!(client.stage.refused(Some(&key), "POST", PLACE, &body), "40774");
}

#[test]
fn a_ruined_account_is_liquidated_and_both_it_and_the_public_are_told() {
    let mut client = Client::new(&["order", "position"]);
    let public = client.stage.socket("/v3/ws/public");
    let arg = json!({ "instType": "usdt-futures", "topic": "liquidation" });
    client.stage.ask(public, &json!({ "op": "subscribe", "args": [arg] }));
    let mut buy = with_category(limit_order("buy", "0", "0.3"));
    buy["orderType"] = json!("market");
    client.stage.post(&client.key.clone(), PLACE, &buy);
    client.stage.heard(client.conn);
    let now = client.stage.now;
    let venue = client.stage.exchange.venue_mut();
    let id = venue.find("BTCUSDT").unwrap();
    let mut marks = venue.instrument(id).marks;
    marks.mark.0 = marks.mark.0 / 100 * 50;
    venue.set_marks(id, marks, now).unwrap();
    client.stage.pass(MILLIS);
    let own = client.stage.heard(client.conn);
    let forced = own.iter().find(|m| m["data"][0]["delegateType"] == "liquidation");
    assert_eq!(forced.expect("told")["data"][0]["tradeSide"], "burst_sell_single");
    assert!(own.iter().any(|m| m["data"][0]["positionStatus"] == "ended"));
    let told = client.stage.heard(public);
    assert!(told.iter().any(|m| m["arg"]["topic"] == "liquidation"));
    let key = client.key.clone();
    let done = "/api/v3/trade/history-orders?category=USDT-FUTURES";
    assert_eq!(client.stage.get(Some(&key), done)["list"][0]["execType"], "liquidation");
    let records = "/api/v3/account/financial-records?category=USDT-FUTURES";
    let records = client.stage.get(Some(&key), records)["list"].clone();
    let words: Vec<_> = records.as_array().unwrap().iter().map(|row| &row["type"]).collect();
    assert_eq!(words[..3], ["RISK_LIQ_USER_IN", "BURST_SELL_SSM", "BUY_DEAL"]);
    let account = client.stage.exchange.venue().accounts().iter().find(|a| a.name == "keel");
    assert!(account.unwrap().balance() >= Quote::ZERO);
}

#[test]
fn whoever_is_deleveraged_for_another_is_notified_and_has_the_venues_words_in_its_records() {
    let mut client = Client::new(&["order"]);
    let winner = client.stage.key("manual");
    let told = client.stage.private(&winner, &["adl-notification", "order"]);
    let venue = client.stage.exchange.venue_mut();
    venue.set_fund(Quote::ZERO);
    let id = venue.find("BTCUSDT").unwrap();
    let (mut sell, mut buy) = (client.order(), client.order());
    sell["side"] = json!("sell");
    for order in [&mut sell, &mut buy] {
        *order = with_category(order.clone());
        order["orderType"] = json!("market");
        order["qty"] = json!("0.3");
    }
    client.stage.post(&winner, PLACE, &sell);
    client.stage.post(&client.key.clone(), PLACE, &buy);
    client.stage.heard(told);
    let now = client.stage.now;
    let venue = client.stage.exchange.venue_mut();
    let mut marks = venue.instrument(id).marks;
    marks.mark.0 = marks.mark.0 / 100 * 50;
    venue.set_marks(id, marks, now).unwrap();
    client.stage.pass(MILLIS);
    let heard = client.stage.heard(told);
    let notice = heard.iter().find(|m| m["arg"]["topic"] == "adl-notification").expect("a notice");
    let row = &notice["data"][0];
    assert_eq!((&row["side"], &row["status"]), (&json!("buy"), &json!("triggered")));
    assert_eq!(row["amount"], "0.3");
    let side = heard.iter().find(|m| m["data"][0]["delegateType"] == "adl").expect("an order");
    assert_eq!(side["data"][0]["tradeSide"], "dte_sys_adl_buy_in_single_side_mode");
    let records = "/api/v3/account/financial-records?category=USDT-FUTURES";
    let last = client.stage.get(Some(&winner), records)["list"][0].clone();
    let (kind, fee) = (&last["type"], &last["fee"]);
    assert_eq!((kind, fee), (&json!("ADL_BUY_IN_SINGLE_SIDE_MODE"), &json!("0")));
}

#[test]
fn isolated_margin_is_set_given_and_shown_over_the_wire() {
    let mut client = Client::new(&["position"]);
    let key = client.key.clone();
    let named = |more: &Value| {
        let mut body = json!({ "category": "USDT-FUTURES", "symbol": "BTCUSDT" });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let leverage = "/api/v3/account/set-leverage";
    let both = json!({ "leverage": "10", "marginMode": "isolated" });
    assert_eq!(client.stage.post(&key, leverage, &named(&both)), "success");
    let one = json!({ "leverage": "20", "posSide": "short" });
    assert_eq!(client.stage.post(&key, leverage, &named(&one)), "success");
    let mut order = with_category(client.order());
    order["orderType"] = json!("market");
    order["marginMode"] = json!("isolated");
    client.stage.post(&key, PLACE, &order);
    let pushed = client.stage.heard(client.conn).pop().expect("a position")["data"][0].clone();
    assert_eq!((&pushed["marginMode"], &pushed["leverage"]), (&json!("isolated"), &json!("10")));
    let margin = "/api/v3/account/set-margin";
    let add = json!({ "posSide": "long", "operation": "add", "amount": "50" });
    assert_eq!(client.stage.post(&key, margin, &named(&add)), "success");
    let size = |row: &Value, name: &str| row[name].as_str().unwrap().parse::<f64>().unwrap();
    let path = "/api/v3/position/current-position?category=USDT-FUTURES";
    let row = client.stage.get(Some(&key), path)["list"][0].clone();
    let more = size(&row, "positionBalance") - size(&pushed, "marginSize");
    assert!((more - 50.0).abs() < 1e-6, "{row} {pushed}");
    let settings = client.stage.get(Some(&key), "/api/v3/account/settings");
    let shown = &settings["symbolConfigList"][0];
    assert_eq!((&shown["marginMode"], &shown["leverage"]), (&json!("isolated"), &json!("10")));
    let records = "/api/v3/account/financial-records?category=USDT-FUTURES";
    let records = client.stage.get(Some(&key), records)["list"].clone();
    let words: Vec<_> = records.as_array().unwrap().iter().map(|row| &row["type"]).collect();
    assert_eq!(words[..2], ["FIXED_INCREASE_MARGIN", "FIXED_BUY_DEAL"]);
    let other = json!({ "posSide": "short", "operation": "add", "amount": "50" });
    let code = client.stage.refused(Some(&key), "POST", margin, &named(&other).to_string());
    assert_eq!(code, "25226", "it points the other way");
    order["marginMode"] = json!("crossed");
    assert_eq!(client.stage.refused(Some(&key), "POST", PLACE, &order.to_string()), "45117");
}

#[test]
fn the_insurance_fund_is_told_day_by_day() {
    let mut stage = Stage::unmetered();
    let path = "/api/v3/market/risk-reserve?category=USDT-FUTURES&symbol=BTCUSDT";
    assert_eq!(stage.get(None, path)["riskReserveRecords"], json!([]), "nothing has moved");
    let key = stage.key("keel");
    let mut buy = with_category(limit_order("buy", "0", "0.3"));
    buy["orderType"] = json!("market");
    stage.post(&key, PLACE, &buy);
    let now = stage.now;
    let venue = stage.exchange.venue_mut();
    let id = venue.find("BTCUSDT").unwrap();
    let mut marks = venue.instrument(id).marks;
    marks.mark.0 = marks.mark.0 / 100 * 50;
    venue.set_marks(id, marks, now).unwrap();
    let fund = stage.exchange.venue().fund().balance();
    let row = stage.get(None, path)["riskReserveRecords"][0].clone();
    assert_eq!(row["balance"], super::text::Text::from(fund).as_str());
    assert!(row["amount"].as_str().unwrap().starts_with('-'), "it paid more than it earned");
}
