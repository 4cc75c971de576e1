//! The real venue's limits, row by row of reference §3, §5 and §10, over the wire and by default.

use serde_json::{Value, json};

use super::endpoint::{Access, ENDPOINTS};
use super::scripted::{SECONDS, Stage, subscribe};
use super::{ExchangeConfig, Limits};

#[test]
fn every_endpoint_counts_down_to_nothing_in_its_second_and_begins_anew_in_the_next() {
    let mut stage = Stage::metered();
    let key = stage.key("manual");
    for endpoint in ENDPOINTS {
        let signer = (endpoint.access != Access::Public).then_some(&key);
        let body = if endpoint.method == "POST" { "{}" } else { "" };
        let mut ask = || stage.rest(signer, endpoint.method, endpoint.path, body);
        for left in (0..endpoint.per_second).rev() {
            let reply = ask();
            assert_ne!(reply.status, 429, "{}", endpoint.path);
            let header = reply.header("x-mbx-used-remain-limit").map(str::to_owned);
            assert_eq!(header, Some(left.to_string()), "{}", endpoint.path);
        }
        let reply = ask();
        assert_eq!((reply.status, &reply.body["code"]), (429, &json!("429")), "{}", endpoint.path);
    }
    stage.pass(SECONDS);
    let first = &ENDPOINTS[0];
    assert_eq!(stage.rest(None, first.method, first.path, "").status, 200);
}

#[test]
fn users_have_windows_of_their_own_and_so_have_sub_accounts() {
    let mut stage = Stage::metered();
    let path = "/api/v3/account/fee-rate?category=USDT-FUTURES&symbol=BTCUSDT";
    let [one, other] = ["keel", "manual"].map(|name| stage.key(name));
    for _ in 0..3 {
        assert_eq!(stage.rest(Some(&one), "GET", path, "").status, 200);
    }
    assert_eq!(stage.rest(Some(&one), "GET", path, "").status, 429);
    assert_eq!(stage.rest(Some(&other), "GET", path, "").status, 200);
}

#[test]
fn the_request_over_the_minute_turns_its_address_away_for_five_minutes_whatever_it_asks() {
    let mut stage = Stage::metered();
    let conn = stage.open();
    let nothing = stage.request(None, "GET", "/api/v3/nothing", "");
    for _ in 0..6_000 {
        stage.send(conn, nothing.as_bytes());
        assert!(stage.take(conn).starts_with(b"HTTP/1.1 404 "));
    }
    let time = "/api/v2/public/time";
    assert_eq!(stage.rest(None, "GET", time, "").status, 429);
    stage.pass(299 * SECONDS);
    assert_eq!(stage.rest(None, "GET", time, "").status, 429);
    stage.pass(SECONDS);
    assert_eq!(stage.rest(None, "GET", time, "").status, 200);
}

/// Sends `ping` every minute for so many minutes.
fn kept_awake(stage: &mut Stage, conn: super::ConnId, minutes: i64) {
    for _ in 0..minutes {
        stage.pass(60 * SECONDS);
        stage.text(conn, "ping");
        stage.take(conn);
    }
}

#[test]
fn a_socket_lives_a_day_however_often_it_pings_unless_that_is_switched_off() {
    let mut stage = Stage::metered();
    let conn = stage.socket("/v3/ws/public");
    kept_awake(&mut stage, conn, 24 * 60 - 1);
    assert!(!stage.exchange.is_closing(conn), "a minute before");
    stage.pass(60 * SECONDS);
    assert!(stage.exchange.is_closing(conn));
    let limits = Limits { session_age_ns: None, ..Limits::default() };
    let mut stage = Stage::new(ExchangeConfig { limits, ..ExchangeConfig::default() });
    let conn = stage.socket("/v3/ws/public");
    kept_awake(&mut stage, conn, 24 * 60 + 1);
    assert!(!stage.exchange.is_closing(conn));
}

#[test]
fn the_two_hundred_and_forty_first_subscription_request_of_an_hour_is_too_many() {
    let mut stage = Stage::metered();
    let conn = stage.socket("/v3/ws/public");
    let heard = |stage: &mut Stage| stage.ask(conn, &subscribe("ticker", "BTCUSDT")).remove(0);
    for i in 0..240 {
        if i % 9 == 8 {
            stage.pass(SECONDS);
            stage.text(conn, "ping");
            stage.take(conn);
        }
        assert_eq!(heard(&mut stage)["event"], "subscribe", "{i}");
    }
    stage.pass(SECONDS);
    stage.take(conn);
    let error = heard(&mut stage);
    assert_eq!((&error["event"], &error["code"]), (&json!("error"), &json!(30006)));
    assert!(!stage.exchange.is_closing(conn), "it stays open");
}

#[test]
fn a_topic_beyond_the_channels_of_a_socket_is_refused_and_the_others_stand() {
    let limits = Limits { channels_max: 2, ..Limits::default() };
    assert_eq!(Limits::default().channels_max, 1_000);
    let mut stage = Stage::new(ExchangeConfig { limits, ..ExchangeConfig::default() });
    let conn = stage.socket("/v3/ws/public");
    let args: Vec<Value> = ["ticker", "books1", "publicTrade"]
        .iter()
        .map(|topic| subscribe(topic, "BTCUSDT")["args"][0].clone())
        .collect();
    let heard = stage.ask(conn, &json!({ "op": "subscribe", "args": args }));
    let acks = heard.iter().filter(|message| message["event"] == "subscribe").count();
    let errors: Vec<_> = heard.iter().filter(|message| message["event"] == "error").collect();
    assert_eq!((acks, errors.len(), &errors[0]["code"]), (2, 1, &json!(30006)));
}

#[test]
fn a_request_beyond_4096_bytes_is_refused_and_an_order_frame_may_be_longer() {
    let mut stage = Stage::metered();
    let key = stage.key("manual");
    let conn = stage.private(&key, &[]);
    let arg = json!({ "instType": "UTA", "topic": "order", "pad": "x".repeat(4_096) });
    let heard = stage.ask(conn, &json!({ "op": "subscribe", "args": [arg] }));
    assert_eq!(heard[0]["code"], 30002);
    let mut order = super::scripted::limit_order("buy", "1", "1");
    order["pad"] = json!("x".repeat(4_096));
    let heard = stage.ask(conn, &super::scripted::trade("place-order", &json!([order])));
    assert_ne!(heard[0]["code"], 30002, "{heard:?}");
    assert_eq!(stage.ask(conn, &subscribe("ticker", "BTCUSDT"))[0]["code"], 30001, "it goes on");
}
