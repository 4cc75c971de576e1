//! The exchange on real sockets.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use rustls_pki_types::ServerName;
use serde_json::Value;

use super::*;

type Tls = StreamOwned<ClientConnection, TcpStream>;

fn connect(handle: &ExchangeHandle) -> Tls {
    let mut roots = RootCertStore::empty();
    roots.add(handle.ca_der().expect("an authority").clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let address = handle.announcement().rest.strip_prefix("https://").unwrap().to_owned();
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let client = ClientConnection::new(Arc::new(config), name).unwrap();
    StreamOwned::new(client, stream(&address))
}

fn stream(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

/// Reads until `done` says that it is enough.
fn read_until(stream: &mut impl Read, done: impl Fn(&[u8]) -> bool) -> Vec<u8> {
    let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
    while !done(&bytes) {
        match stream.read(&mut buffer).unwrap() {
            0 => break,
            n => bytes.extend_from_slice(&buffer[..n]),
        }
    }
    bytes
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

/// One answer with a length.
fn answer(stream: &mut impl Read) -> Value {
    let whole = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
        let line = head.lines().find(|line| line.starts_with("Content-Length")).unwrap();
        body.len() >= line.split_once(": ").unwrap().1.parse::<usize>().unwrap()
    };
    let bytes = read_until(stream, whole);
    let text = String::from_utf8(bytes).unwrap();
    serde_json::from_str(text.split_once("\r\n\r\n").unwrap().1).unwrap()
}

const TIME: &[u8] = b"GET /api/v3/public/time HTTP/1.1\r\nHost: localhost\r\n\r\n";

#[test]
fn rest_and_both_sockets_are_served_over_tls_that_its_authority_vouches_for() {
    let dir = tempfile::tempdir().unwrap();
    let run_dir = Some(dir.path().to_path_buf());
    let handle = start(ExchangeOptions { run_dir, ..ExchangeOptions::default() }).unwrap();
    let ca = handle.announcement().ca.clone().expect("a file");
    assert!(std::fs::read_to_string(ca).unwrap().starts_with("-----BEGIN CERTIFICATE-----"));

    let mut rest = connect(&handle);
    for _ in 0..2 {
        rest.write_all(TIME).unwrap();
        assert_eq!(answer(&mut rest)["code"], "00000", "a connection serves more than once");
    }

    let mut socket = connect(&handle);
    let upgrade = "GET /v3/ws/public HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\
        Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    socket.write_all(upgrade.as_bytes()).unwrap();
    let bytes = read_until(&mut socket, |bytes| contains(bytes, "\r\n\r\n"));
    assert!(bytes.starts_with(b"HTTP/1.1 101 "));
    let request = concat!(
        r#"{"op":"subscribe","args":[{"instType":"usdt-futures","#,
        r#""topic":"ticker","symbol":"BTCUSDT"}]}"#
    )
    .as_bytes();
    let mut frame = vec![0x81, 0x80 | request.len() as u8, 0, 0, 0, 0];
    frame.extend_from_slice(request);
    socket.write_all(&frame).unwrap();
    let bytes = read_until(&mut socket, |bytes| contains(bytes, "markPrice"));
    assert!(contains(&bytes, "\"event\":\"subscribe\""));
    handle.stop().unwrap();
    assert_eq!(socket.read(&mut [0; 1 << 16]).map(|n| n.min(1)).unwrap_or(0), 0, "it is cut");
}

#[test]
fn a_client_that_does_not_trust_the_authority_gets_nothing() {
    let handle = start(ExchangeOptions::default()).unwrap();
    let other = start(ExchangeOptions::default()).unwrap();
    let mut stranger = {
        let mut stranger = connect(&other);
        let address = handle.announcement().rest.strip_prefix("https://").unwrap().to_owned();
        stranger.sock = stream(&address);
        stranger
    };
    assert!(stranger.write_all(TIME).and_then(|()| stranger.read(&mut [0; 64])).is_err());
    let mut rest = connect(&handle);
    rest.write_all(TIME).unwrap();
    assert_eq!(answer(&mut rest)["code"], "00000", "the others are served as before");
}

#[test]
fn plaintext_is_served_on_request_and_what_is_refused_is_told_before_the_close() {
    let options = ExchangeOptions { plaintext: true, speed: 10, ..ExchangeOptions::default() };
    let handle = start(options).unwrap();
    assert_eq!((handle.ca_der(), &handle.announcement().ca), (None, &None));
    let address = handle.announcement().rest.strip_prefix("http://").unwrap().to_owned();
    let mut rest = stream(&address);
    let time = |rest: &mut TcpStream| {
        rest.write_all(TIME).unwrap();
        answer(rest)["data"]["serverTime"].as_str().unwrap().parse::<i64>().unwrap()
    };
    let before = time(&mut rest);
    std::thread::sleep(Duration::from_millis(200));
    assert!(time(&mut rest) >= before + 2_000, "its time runs ten times as fast");

    let mut large = stream(&address);
    let head = "POST /api/v3/trade/place-order HTTP/1.1\r\nHost: localhost\r\n\
        Content-Length: 99999999\r\n\r\n";
    large.write_all(head.as_bytes()).unwrap();
    let _ = large.write_all(&[b'a'; 64 * 1024]);
    let bytes = read_until(&mut large, |_| false);
    assert!(bytes.starts_with(b"HTTP/1.1 413 "), "{}", bytes.escape_ascii());
}

#[test]
fn a_taken_port_is_named_and_nothing_is_left_running() {
    let first = start(ExchangeOptions { plaintext: true, ..ExchangeOptions::default() }).unwrap();
    let address = first.announcement().rest.strip_prefix("http://").unwrap().to_owned();
    let listen = address.parse().unwrap();
    let error = start(ExchangeOptions { listen, ..ExchangeOptions::default() }).unwrap_err();
    assert!(error.to_string().contains(&address), "{error}");
    assert!(matches!(
        start(ExchangeOptions { speed: 0, ..ExchangeOptions::default() }),
        Err(StartError::Speed)
    ));
}

#[test]
fn the_first_line_is_one_object_with_these_fields() {
    let handle = start(ExchangeOptions::default()).unwrap();
    let value = serde_json::to_value(handle.announcement()).unwrap();
    let mut keys: Vec<_> = value.as_object().unwrap().keys().collect();
    keys.sort();
    assert_eq!(keys, ["accounts", "admin", "ca", "rest", "ws_private", "ws_public"]);
    let names: Vec<_> = value["accounts"].as_array().unwrap().iter().map(|a| &a["name"]).collect();
    assert_eq!(names, ["keel", "manual"]);
    assert_eq!(value["accounts"][0]["permissions"], serde_json::json!(["uta_trade"]));
    let admin = handle.announcement().admin.strip_prefix("http://").unwrap().to_owned();
    let mut admin = stream(&admin);
    admin.write_all(b"GET /admin/state HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    assert_eq!(answer(&mut admin)["accounts"][0]["name"], "keel");
}

#[test]
fn a_file_makes_its_accounts_and_what_is_wrong_in_it_is_named() {
    let file = |text: &str| serde_json::from_str::<ExchangeFile>(text);
    let account = |more: &str| {
        format!(
            r#"{{"accounts":[{{"name":"a","uid":5,"deposit_usdt":700{more}}}],"limits":false}}"#
        )
    };
    let whole = account(r#","maker_ppm":-50,"vip":7,"permissions":["uta_trade","withdraw"]"#);
    let config = file(&whole).unwrap().config().unwrap();
    assert_eq!(config.limits, Limits::unmetered());
    let plan = &config.accounts[0];
    assert_eq!((plan.fees.maker.0, plan.fees.taker.0), (-5_000, 20_000));
    assert!(plan.permissions.trade && plan.permissions.withdraw && !plan.permissions.manage);
    let options = ExchangeOptions { plaintext: true, config, ..ExchangeOptions::default() };
    let handle = start(options).unwrap();
    assert_eq!(handle.announcement().accounts.len(), 1);
    assert_eq!(file("{}").unwrap().config().unwrap(), ExchangeConfig::default());
    let chosen = file(r#"{"disconnect_hours":0,"insurance_usdt":5}"#).unwrap().config().unwrap();
    assert_eq!((chosen.limits.session_age_ns, chosen.insurance.0), (None, 500_000_000));
    for (more, key) in [
        (r#","vip":8"#, "vip"),
        (r#","taker_ppm":10001"#, "taker_ppm"),
        (r#","leverage":0"#, "leverage"),
    ] {
        let error = file(&account(more)).unwrap().config().unwrap_err();
        assert!(error.to_string().contains(key), "{error}");
    }
    let transport = |text: &str| file(&format!(r#"{{"transport":{{{text}}}}}"#));
    let limits = transport(r#""waiting_kib":64,"request_ms":500,"connections":7"#).unwrap();
    let limits = limits.config().unwrap().limits;
    assert_eq!((limits.outbound_bytes_max, limits.request_ns), (65_536, 500_000_000));
    assert_eq!((limits.connections_max, limits.idle_ns), (7, Limits::default().idle_ns));
    for key in ["waiting_kib", "handshake_ms", "connections_per_address"] {
        let error = transport(&format!(r#""{key}":0"#)).unwrap().config().unwrap_err();
        assert!(error.to_string().starts_with(&format!("transport.{key}: ")), "{error}");
    }
    assert!(file(&account(r#","permission":[]"#)).unwrap_err().to_string().contains("permission"));
    let twin = r#"{"name":"a","uid":5,"deposit_usdt":1}"#;
    let twins = format!(r#"{{"accounts":[{twin},{twin}]}}"#);
    assert!(matches!(file(&twins).unwrap().config(), Err(FileError::Twice(name)) if name == "a"));
}

/// Asks the administration on its socket.
fn ask_admin(admin: &mut TcpStream, path: &str, body: &Value) -> Value {
    let (method, body) =
        if body.is_null() { ("GET", String::new()) } else { ("POST", body.to_string()) };
    let length = body.len();
    let head =
        format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n");
    admin.write_all((head + &body).as_bytes()).unwrap();
    let reply = answer(admin);
    assert!(reply["error"].is_null(), "{path}: {reply}");
    reply
}

#[test]
fn forty_eight_hours_with_six_fundings_pass_through_the_admin_socket() {
    let options = ExchangeOptions { plaintext: true, ..ExchangeOptions::default() };
    let handle = start(options).unwrap();
    let mut rest = stream(handle.announcement().rest.strip_prefix("http://").unwrap());
    let mut admin = stream(handle.announcement().admin.strip_prefix("http://").unwrap());
    let mut ask = |path: &str, body: Value| ask_admin(&mut admin, path, &body);
    let order = serde_json::json!({
        "account": "keel", "symbol": "BTCUSDT", "side": "buy", "orderType": "market", "qty": "0.01",
    });
    ask("/admin/order", order);
    ask("/admin/freeze", serde_json::json!({}));
    let number = |value: &Value| value.as_str().unwrap().parse::<f64>().unwrap();
    let before = ask("/admin/state", Value::Null);
    let start_ms = number(&before["now"]) as i64;
    for _ in 0..6 {
        ask("/admin/advance", serde_json::json!({ "ms": 8 * HOUR_MS }));
    }
    let after = ask("/admin/state", Value::Null);
    let now_ms = number(&after["now"]) as i64;
    assert_eq!(now_ms - start_ms, 48 * HOUR_MS, "to the millisecond");
    let keel = |state: &Value| state["accounts"][0].clone();
    assert_eq!(keel(&after)["positions"][0]["size"], "0.01");
    let moved = number(&keel(&after)["balance"]) - number(&keel(&before)["balance"]);
    let funding = number(&keel(&after)["funding"]);
    assert!(funding != 0.0 && (moved - funding).abs() < 1e-6, "{moved} {funding}");

    let mut get = |path: &str| {
        rest.write_all(format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes()).unwrap();
        answer(&mut rest)
    };
    assert_eq!(number(&get("/api/v3/public/time")["data"]["serverTime"]) as i64, now_ms);
    let of = "category=USDT-FUTURES&symbol=BTCUSDT";
    let paid = get(&format!("/api/v3/market/history-fund-rate?{of}"));
    let rows = paid["data"]["resultList"].as_array().unwrap();
    let instants = rows.iter().map(|row| number(&row["fundingRateTimestamp"]) as i64);
    let instants: Vec<i64> = instants.filter(|at| *at > start_ms).collect();
    assert_eq!(instants.len(), 6, "{instants:?}");
    assert!(instants.iter().all(|at| at % (8 * HOUR_MS) == 0 && *at <= now_ms));
    let bars = get(&format!("/api/v3/market/candles?{of}&interval=1H&limit=100"));
    let starts: Vec<i64> =
        bars["data"].as_array().unwrap().iter().map(|row| number(&row[0]) as i64).collect();
    for hour in 1..48 {
        let start = (start_ms / HOUR_MS + hour) * HOUR_MS;
        assert!(starts.contains(&start), "hour {hour}");
    }

    ask("/admin/speed", serde_json::json!({ "speed": "1000" }));
    std::thread::sleep(Duration::from_millis(300));
    // The old connection has idled for more than a minute.
    let mut fresh = stream(handle.announcement().rest.strip_prefix("http://").unwrap());
    fresh.write_all(TIME).unwrap();
    let later = number(&answer(&mut fresh)["data"]["serverTime"]) as i64;
    assert!(later >= now_ms + 250_000, "its time runs a thousand times as fast: {later} {now_ms}");
}

const HOUR_MS: i64 = 3_600_000;
