//! Bad input to the venue on real sockets: each gets the right code or a closed socket within a
//! stated time, and another client's orders go on as if nothing happened.
//!
//! The tables are the test: what is sent, and what must come of it.

mod program;
#[path = "program/raw.rs"]
mod raw;

use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use keel_net::proto::http::Method;
use program::{Venue, wait};
use raw::{End, Raw, frame, signed};
use serde_json::{Value, json};

/// Deadlines that make the test short; those of the built-in venue are 10 s, 10 s and 60 s.
const EXCHANGE: &str = "limits = false\n[transport]\nhandshake_ms = 1000\nrequest_ms = 1000\n\
    idle_ms = 2000\nwaiting_kib = 256\nconnections_per_address = 40\n";
/// Where a REST order goes.
const PLACE: &str = "/api/v3/trade/place-order";

/// A venue, and a client whose orders must go on.
struct Stage {
    venue: Arc<Venue>,
    trips: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
    bystander: Option<thread::JoinHandle<()>>,
}

impl Stage {
    fn open(args: &[&str]) -> Self {
        Self::open_as(EXCHANGE, args)
    }

    fn open_as(exchange: &str, args: &[&str]) -> Self {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), exchange).expect("written");
        let config = file.path().to_str().expect("a path is text");
        let venue = Arc::new(Venue::start(&[&["--config", config], args].concat()));
        let (trips, over) = (Arc::default(), Arc::default());
        let mut stage = Self { venue, trips, over, bystander: None };
        if stage.venue.url("rest").starts_with("http://") {
            let (venue, trips, over) =
                (stage.venue.clone(), stage.trips.clone(), stage.over.clone());
            let price = price(&venue);
            let mut raw = Raw::log_in(&venue);
            stage.bystander = Some(thread::spawn(move || {
                // Relaxed: a flag and a counter, ordered with nothing.
                while !over.load(Ordering::Relaxed) {
                    trip(&mut raw, &price);
                    trips.fetch_add(1, Ordering::Relaxed);
                }
            }));
        }
        stage
    }

    /// The bystander's orders go on: ten more have been placed, answered, canceled and answered.
    fn goes_on(&self, after: &str) {
        let before = self.trips.load(Ordering::Relaxed);
        wait(raw::PATIENCE, &format!("after {after}: ten more trips of another client"), || {
            self.trips.load(Ordering::Relaxed) >= before + 10
        });
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        let told = self.bystander.take().map(thread::JoinHandle::join);
        if !thread::panicking() {
            assert!(told.is_none_or(|told| told.is_ok()), "the other client was disturbed");
        }
    }
}

/// One order placed and canceled, each answered in its turn.
fn trip(raw: &mut Raw, price: &str) {
    let place = json!({ "op": "trade", "id": "1", "category": "usdt-futures",
        "topic": "place-order", "args": [{ "symbol": "BTCUSDT", "orderType": "limit",
        "timeInForce": "post_only", "side": "buy", "qty": "0.01", "price": price,
        "clientOid": "bystander" }] });
    let cancel = json!({ "op": "trade", "id": "2", "topic": "cancel-order",
        "args": [{ "clientOid": "bystander" }] });
    for request in [place, cancel] {
        raw.text(request.to_string().as_bytes());
        assert_eq!(raw.message().as_deref(), Ok("trade 0"), "{request}");
    }
}

/// A price 2 % below the market.
fn price(venue: &Venue) -> String {
    let state = venue.admin("GET", "/admin/state", &Value::Null);
    let bid = state["contracts"][0]["bid"].as_str().expect("a bid");
    format!("{:.1}", bid.parse::<f64>().expect("a number") * 0.98)
}

fn order(venue: &Venue) -> Value {
    json!({ "category": "USDT-FUTURES", "symbol": "BTCUSDT", "side": "buy", "orderType": "limit",
        "timeInForce": "post_only", "price": price(venue), "qty": "0.01" })
}

/// What it is, what is sent, and what must come of it.
type Case = (&'static str, Vec<u8>, String);

fn case(name: &'static str, bytes: impl AsRef<[u8]>, expected: &str) -> Case {
    (name, bytes.as_ref().to_vec(), expected.to_owned())
}

/// Shows the rows of a table that came out differently.
fn judge(table: &str, rows: Vec<(String, String, String)>) {
    let wrong: Vec<String> = rows
        .iter()
        .filter(|(_, expected, seen)| expected != seen)
        .map(|(name, expected, seen)| format!("  {name}: {expected:?}, not {seen:?}"))
        .collect();
    assert!(wrong.is_empty(), "{table}, {} of {}:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
}

fn told(answer: Result<String, End>) -> String {
    answer.unwrap_or_else(|end| format!("{end:?}").to_lowercase())
}

/// Every answer to these bytes, until the venue closes or has nothing more to say at once.
fn answers(venue: &Venue, bytes: &[u8]) -> String {
    let mut raw = Raw::connect(venue);
    raw.send(bytes);
    raw.finish();
    let mut said = Vec::new();
    loop {
        match raw.answer() {
            Ok(answer) => said.push(answer),
            Err(End::Closed) => return said.join(", "),
            Err(End::Silence) => return said.join(", ") + " silence",
        }
    }
}

/// The body with a field of another value.
fn with(order: &Value, name: &str, value: Value) -> String {
    let mut body = order.clone();
    body[name] = value;
    body.to_string()
}

/// The body with a field's value in bare digits, as JSON writes numbers.
fn with_digits(order: &Value, name: &str, digits: &str) -> String {
    with(order, name, json!("DIGITS")).replace("\"DIGITS\"", digits)
}

fn bodies_that_are_no_object(order: &Value) -> Vec<Case> {
    let deep = |open: &str, close: &str| open.repeat(100_000) + &close.repeat(100_000);
    vec![
        case("no body", "", "400 40019"),
        case("half an object", "{", "400 40017"),
        case("a number", "7", "400 40017"),
        case("null", "null", "400 40017"),
        case("a list", "[]", "400 40019"),
        case("an empty object", "{}", "400 40019"),
        case("two documents", format!("{order}{{}}"), "400 40017"),
        case("a comma too many", "{\"a\":1,}", "400 40017"),
        case("100,000 lists in one another", deep("[", "]"), "400 40017"),
        case("100,000 objects in one another", deep("{\"a\":", "}"), "400 40017"),
        case("100,000 keys", format!("{{{}\"z\":1}}", "\"a\":1,".repeat(100_000)), "400 40019"),
        case("UTF-16", b"\xff\xfe{\0}\0", "400 40009"),
        case("HTML", "<html></html>", "400 40017"),
        case("a size of 1e400", with_digits(order, "qty", "1e400"), "400 40017"),
        case("a size of NaN", with_digits(order, "qty", "NaN"), "400 40017"),
        case("a size of 00.1", with_digits(order, "qty", "00.1"), "400 40017"),
        case("a whole order", order.to_string(), "200 00000"),
    ]
}

fn bodies_with_a_wrong_field(order: &Value) -> Vec<Case> {
    let long = |n: usize| json!("9".repeat(n));
    let of = |name, value| with(order, name, value);
    let mut cases = vec![
        case("a size of 25 digits", with_digits(order, "qty", &"9".repeat(25)), "400 40020"),
        case("a price of 10,000 digits", of("price", long(10_000)), "400 40020"),
        case("a client id of 1 MB", of("clientOid", long(1_000_000)), "400 40020"),
        case("a client id with a new line", of("clientOid", json!("a\nb")), "400 40020"),
        case("an unknown symbol", of("symbol", json!("NOPEUSDT")), "400 25100"),
        case("a path for a symbol", of("symbol", json!("../../etc/passwd")), "400 25100"),
        case("a symbol of 100 kB", of("symbol", long(100_000)), "400 25100"),
        case("another product", of("category", json!("COIN-FUTURES")), "400 40020"),
        case("no product", of("category", json!("NOTHING")), "400 40019"),
        case("an unknown side", of("side", json!("both")), "400 40020"),
        case("an unknown force", of("timeInForce", json!("forever")), "400 40020"),
        case("a yes that is none", of("reduceOnly", json!("maybe")), "400 40020"),
        case("a window of no time", of("receiveWindow", json!("0")), "400 40020"),
        case("more than there is", of("qty", json!("9000000")), "400 25208"),
        case("more than 64 bits hold", of("qty", json!("9223372036854775807")), "400 40017"),
    ];
    for text in ["NaN", "Infinity", "1e5", "0x10", "+1", "1 ", "1,0", "１", "--1", "1.2.3"] {
        cases.push(case("a price that is no number", of("price", json!(text)), "400 40020"));
        cases.push(case("a size that is no number", of("qty", json!(text)), "400 40020"));
    }
    for value in [json!(null), json!(true), json!([1]), json!({ "a": 1 }), json!("")] {
        for name in ["qty", "side", "symbol", "price"] {
            cases.push(case("another type", of(name, value.clone()), "400 40019"));
        }
    }
    for text in ["-1", "0", "-0"] {
        cases.push(case("a price that is not positive", of("price", json!(text)), "400 40020"));
    }
    cases
}

#[test]
fn bodies_that_cannot_be_read_get_their_code() {
    let stage = Stage::open(&["--plaintext"]);
    let order = order(&stage.venue);
    let table = [bodies_that_are_no_object(&order), bodies_with_a_wrong_field(&order)].concat();
    let rows = table.into_iter().map(|(name, body, expected)| {
        let seen = answers(&stage.venue, &signed(&stage.venue, Method::Post, PLACE, &body));
        let shown = String::from_utf8_lossy(&body[..body.len().min(160)]).into_owned();
        (format!("{name}: {shown}"), expected, seen)
    });
    judge("bodies", rows.collect());
    stage.goes_on("bodies");
}

#[test]
fn requests_that_are_not_signed_right_get_their_code() {
    let stage = Stage::open(&["--plaintext"]);
    let venue = &stage.venue;
    let body = order(venue).to_string();
    let right = String::from_utf8(signed(venue, Method::Post, PLACE, body.as_bytes())).unwrap();
    let line = |name: &str| right.lines().find(|line| line.starts_with(name)).expect("a header");
    let without = |name: &str| right.replace(&format!("{}\r\n", line(name)), "");
    let instead = |name: &str, value: &str| right.replace(line(name), &format!("{name}: {value}"));
    let long = "x".repeat(8_000);
    let table = [
        ("no key", without("ACCESS-KEY"), "400 40001"),
        ("no signature", without("ACCESS-SIGN"), "400 40002"),
        ("no time", without("ACCESS-TIMESTAMP"), "400 40005"),
        ("no passphrase", without("ACCESS-PASSPHRASE"), "400 40011"),
        ("no type", without("Content-Type"), "400 40007"),
        ("an unknown key", instead("ACCESS-KEY", "bg_nobody"), "400 40037"),
        ("a key of 8 kB", instead("ACCESS-KEY", &long), "400 40037"),
        ("a signature that is no base64", instead("ACCESS-SIGN", "!!"), "400 40009"),
        ("a signature of 8 kB", instead("ACCESS-SIGN", &long), "400 40009"),
        ("a time that is no number", instead("ACCESS-TIMESTAMP", "now"), "400 40005"),
        ("a negative time", instead("ACCESS-TIMESTAMP", "-1"), "400 40008"),
        ("a time of 1970", instead("ACCESS-TIMESTAMP", "1"), "400 40008"),
        ("a time beyond 64 bits", instead("ACCESS-TIMESTAMP", &"9".repeat(40)), "400 40005"),
        ("another passphrase", instead("ACCESS-PASSPHRASE", "other"), "400 40012"),
        ("a demo key's header", right.replace("Host: h", "Host: h\r\npaptrading: 1"), "400 40099"),
        ("another path", right.replacen("place-order", "cancel-order", 1), "400 40009"),
        ("another body", right.replace("0.01", "0.02"), "400 40009"),
        ("another method", right.replacen("POST", "PUT", 1), "404 40404"),
        ("as it should be", right.clone(), "200 00000"),
    ];
    let rows = table.into_iter().map(|(name, request, expected)| {
        (name.to_owned(), expected.to_owned(), answers(venue, request.as_bytes()))
    });
    judge("signatures", rows.collect());
    stage.goes_on("signatures");
}

const TIME: &str = "GET /api/v3/public/time HTTP/1.1\r\nHost: h\r\n\r\n";

fn heads() -> Vec<Case> {
    let instead = |old: &str, new: &str| TIME.replacen(old, new, 1);
    let plus = |header: &str| TIME.replacen("Host: h", &format!("Host: h\r\n{header}"), 1);
    let large = "a".repeat(64 * 1024);
    let upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13";
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
    let keyless = plus(upgrade).replace("/api/v3/public/time", "/v3/ws/public");
    vec![
        case("nothing", "", ""),
        case("empty lines", "\r\n\r\n\r\n", ""),
        case("HTTP/0.9", "GET /\r\n\r\n", "400"),
        case("HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "400"),
        case("a TLS hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", "400"),
        case("random bytes", b"\x00\x01\xfe\xff\x80\r\n\r\n", "400"),
        case("no host", instead("Host: h\r\n", ""), "400"),
        case("two hosts", plus("Host: h"), "400"),
        case("another host", instead("Host: h", "Host: other.example"), "200 00000"),
        case("a whole URL", instead("GET /", "GET http://h/"), "400"),
        case("an unknown path", instead("public/time", "public/tim"), "404 40404"),
        case("a path out of the root", instead("public", "../public"), "404 40404"),
        case("an unknown method", instead("GET", "BREW"), "404 40404"),
        case("a folded header", plus("A: b\r\n c"), "400"),
        case("a header without a colon", plus("A b"), "400"),
        case("a bare carriage return", plus("A: b\rc"), "400"),
        case("a NUL in a header", plus("A: b\0c"), "400"),
        case("a header of 64 KiB", plus(&format!("A: {large}")), "431"),
        case("a path of 64 KiB", instead("/api", &format!("/{large}")), "431"),
        case("65 headers", plus(&"A: b\r\n".repeat(64)), "431"),
        case("10,000 headers", plus(&"A: b\r\n".repeat(10_000)), "431"),
        case("an upgrade without a key", keyless, "404 40404"),
        case("an upgrade elsewhere", plus(&format!("{upgrade}\r\n{key}")), "200 00000"),
    ]
}

fn framings() -> Vec<Case> {
    let post = |headers: &str, body: &str| {
        format!("POST {PLACE} HTTP/1.1\r\nHost: h\r\n{headers}\r\n{body}")
    };
    let chunks = |body: &str| post("Transfer-Encoding: chunked\r\n", body);
    let both = "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n";
    let tiny = format!("1;{}\r\na\r\n", "x".repeat(200)).repeat(6_000);
    let served = vec!["200 00000"; 50].join(", ");
    vec![
        case("two lengths", post("Content-Length: 1\r\nContent-Length: 1\r\n", "a"), "400"),
        case("a length and chunks", post(both, "a"), "400"),
        case("a negative length", post("Content-Length: -1\r\n", ""), "400"),
        case(
            "a length beyond 64 bits",
            post("Content-Length: 99999999999999999999\r\n", ""),
            "413",
        ),
        case("a body beyond 1 MiB", post("Content-Length: 1048577\r\n", ""), "413"),
        case("an unknown coding", post("Transfer-Encoding: gzip\r\n", ""), "501"),
        case("a chunk beyond 64 bits", chunks("fffffffffffffffff\r\n"), "400"),
        case("a chunk beyond 1 MiB", chunks("fffffff\r\n"), "413"),
        case("a chunk that is no number", chunks("zz\r\n"), "400"),
        case("a chunk without its end", chunks("1\r\nabc\r\n"), "400"),
        case("6,000 chunks of a byte", chunks(&tiny), "413"),
        case("a body in chunks", chunks("1\r\n{\r\n1;a=b\r\n}\r\n0\r\nA: b\r\n\r\n"), "400 40001"),
        case("50 requests at once", TIME.repeat(50), &served),
        case("junk after a request", format!("{TIME}junk\r\n\r\n"), "200 00000, 400"),
        case("half a request at the end", format!("{TIME}GET /"), "200 00000"),
    ]
}

#[test]
fn bytes_that_are_no_request_are_refused_and_the_rest_is_served_in_order() {
    let stage = Stage::open(&["--plaintext"]);
    let rows = [heads(), framings()]
        .concat()
        .into_iter()
        .map(|(name, bytes, expected)| (name.to_owned(), expected, answers(&stage.venue, &bytes)));
    judge("requests", rows.collect());
    stage.goes_on("requests");
}

fn broken_frames() -> Vec<Case> {
    let long = |length: u64| [&[0x81, 0xff][..], &length.to_be_bytes(), &[0; 4]].concat();
    let halves = [frame(1, &[b' '; 40_000]), frame(0x80, &[b' '; 40_000])].concat();
    let parts = [frame(1, b"pi"), frame(0x89, b"x"), frame(0x80, b"ng")].concat();
    let empties = [frame(1, b"ping"), frame(0, b"").repeat(100_000), frame(0x80, b"")].concat();
    vec![
        case("a frame without a mask", b"\x81\x01a", "close 1002, closed"),
        case("a reserved bit", b"\xf1\x81\0\0\0\0a", "close 1002, closed"),
        case("a reserved opcode", b"\x83\x81\0\0\0\0a", "close 1002, closed"),
        case("a reserved control opcode", b"\x8b\x80\0\0\0\0", "close 1002, closed"),
        case("a control frame of 126 bytes", frame(0x89, &[b'a'; 126]), "close 1002, closed"),
        case("a control frame in parts", b"\x09\x80\0\0\0\0", "close 1002, closed"),
        case("a part without a beginning", frame(0x80, b"a"), "close 1002, closed"),
        case("two beginnings", frame(1, b"a").repeat(2), "close 1002, closed"),
        case("a length of 2^63", long(1 << 63), "close 1009, closed"),
        case("a length of 64 MiB", long(64 << 20), "close 1009, closed"),
        case("65,537 bytes", frame(0x81, &[b' '; 65_537]), "close 1009, closed"),
        case("two parts of 40,000 bytes", halves, "close 1009, closed"),
        case("text that is no UTF-8", frame(0x81, b"\xc0\x80"), "close 1007, closed"),
        case("half a character", frame(0x81, b"\xe2\x82"), "close 1007, closed"),
        case("a close with half a code", frame(0x88, b"\x03"), "close 1002, closed"),
        case("a close", frame(0x88, b"\x03\xe8"), "close 1000, closed"),
        case("an empty close", frame(0x88, b""), "close, closed"),
        case("100,000 empty parts", empties, "pong, open"),
        case("a ping between parts", parts, "control pong, open"),
        case("binary", frame(0x82, b"ping"), "error 30002, open"),
    ]
}

fn bad_messages() -> Vec<Case> {
    let text = |text: &str| frame(0x81, text.as_bytes());
    let asks = |arg: &str| text(&format!("{{\"op\":\"subscribe\",\"args\":[{arg}]}}"));
    let books = json!({ "instType": "usdt-futures", "topic": "books1", "symbol": "NOPEUSDT" });
    let known = with(&books, "symbol", json!("BTCUSDT"));
    vec![
        case("nothing", text(""), "error 30002, open"),
        case("half an object", text("{"), "error 30002, open"),
        case("a list", text("[]"), "error 30002, open"),
        case("30,000 lists in one another", text(&"[".repeat(30_000)), "error 30002, open"),
        case("two documents", text("{}{}"), "error 30002, open"),
        case("an empty object", text("{}"), "error 30002, open"),
        case("5,000 bytes", asks(&format!("\"{}\"", "a".repeat(5_000))), "error 30002, open"),
        case("an unknown op", text("{\"op\":\"dance\",\"args\":[]}"), "error 30003, open"),
        case("a number for an op", text("{\"op\":7,\"args\":[]}"), "error 30003, open"),
        case("no list", text("{\"op\":\"subscribe\",\"args\":{}}"), "error 30002, open"),
        case("an argument that is no object", asks("7"), "error 30002, open"),
        case("an empty argument", asks("{}"), "error 30001, open"),
        case("an unknown symbol", asks(&books.to_string()), "error 30001, open"),
        case("a list for a topic", asks(&with(&books, "topic", json!([1]))), "error 30001, open"),
        case("what is there", asks(&known), "subscribe, open"),
        case("a login", text("{\"op\":\"login\",\"args\":[{}]}"), "error 30003, open"),
        case("an order", text("{\"op\":\"trade\",\"args\":[{}]}"), "error 30004, open"),
    ]
}

/// What goes through a socket that is logged in.
fn bad_orders(order: &Value) -> Vec<Case> {
    let trade = |category: &str, topic: &str, args: &str| {
        let text = format!(
            "{{\"op\":\"trade\",\"id\":\"1\",\"category\":\"{category}\",\
             \"topic\":\"{topic}\",\"args\":{args}}}"
        );
        frame(0x81, text.as_bytes())
    };
    let asks = |topic: &str, args: &str| trade("usdt-futures", topic, args);
    let places = |args: &str| asks("place-order", args);
    let one = |name, value| places(&format!("[{}]", with(order, name, value)));
    let many = |n: usize| json!(vec![order; n]).to_string();
    let long = json!({ "op": "trade", "id": "i".repeat(60_000), "args": [] }).to_string();
    let login = json!({ "op": "login", "args": [{ "apiKey": "x", "passphrase": "x",
        "timestamp": "1", "sign": "x" }] });
    let login = frame(0x81, login.to_string().as_bytes());
    vec![
        case("an order of nothing", places("[{}]"), "error 40019, open"),
        case("an order that is a number", places("[7]"), "error 40019, open"),
        case("no order", places("[]"), "error 40019, open"),
        case("orders that are no list", places("{}"), "error 40019, open"),
        case("two orders where one may be", places(&many(2)), "error 40017, open"),
        case("21 orders of a batch", asks("batch-place", &many(21)), "error 40306, open"),
        case("a batch of nothing", asks("batch-place", "[{},7]"), "trade 40019, open"),
        case("an unknown topic", asks("eat-order", &many(1)), "error 40020, open"),
        case("another product", trade("spot", "place-order", "[{}]"), "error 41101, open"),
        case("an id of 60 kB", frame(0x81, long.as_bytes()), "error 40020, open"),
        case("a size that is no number", one("qty", json!("1e5")), "error 40020, open"),
        case("a number for a word", one("side", json!(1e300)), "error 40020, open"),
        case("a cancel of nothing", asks("cancel-order", "[{}]"), "error 40924, open"),
        case(
            "a cancel beyond 64 bits",
            asks("cancel-order", "[{\"orderId\":99999999999999999999}]"),
            "error 25204, open",
        ),
        case(
            "a change of no order",
            asks("modify-order", "[{\"orderId\":\"1\",\"qty\":\"1\"}]"),
            "error 25204, open",
        ),
        case("a wrong login", login, "error 30014, close 1008, closed"),
    ]
}

/// The first thing that comes, and whether the socket still answers after it.
fn outcome(mut raw: Raw, bytes: &[u8]) -> String {
    raw.send(bytes);
    let mut seen = told(raw.message());
    if seen.starts_with("error 3001") {
        seen += &format!(", {}", told(raw.message()));
    }
    if seen.contains("close") {
        return seen + if raw.end() == End::Closed { ", closed" } else { ", open" };
    }
    // An answer to the second ping is one that no earlier bytes have caused.
    for _ in 0..2 {
        raw.text(b"ping");
        loop {
            match raw.message().as_deref() {
                Ok("pong") => break,
                Ok(_) => {}
                Err(_) => return seen + ", closed",
            }
        }
    }
    seen + ", open"
}

#[test]
fn frames_that_break_the_protocol_close_the_socket_and_bad_messages_get_their_code() {
    let stage = Stage::open(&["--plaintext"]);
    let venue = &stage.venue;
    let mut rows = Vec::new();
    for (name, bytes, expected) in [broken_frames(), bad_messages()].concat() {
        let raw = Raw::upgrade(venue, "/v3/ws/public");
        rows.push((name.to_owned(), expected, outcome(raw, &bytes)));
    }
    for (name, bytes, expected) in bad_orders(&order(venue)) {
        rows.push((name.to_owned(), expected, outcome(Raw::log_in(venue), &bytes)));
    }
    judge("frames", rows);
    stage.goes_on("frames");
}

const POST: &str = "POST / HTTP/1.1\r\nHost: h\r\n";

/// What is sent at once, what byte by byte, and what must come before the close.
fn dawdlers() -> Vec<(&'static str, String, String, &'static str)> {
    let one = |name, first: &str, rest: &str, then| (name, first.to_owned(), rest.to_owned(), then);
    let body = format!("{POST}Content-Length: 1000\r\n\r\n");
    let chunks = format!("{POST}Transfer-Encoding: chunked\r\n\r\n");
    let head =
        TIME.replace("Host: h", "Host: hhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhh");
    vec![
        one("a head, byte by byte", "", &head, "408"),
        one("a body, byte by byte", &body, &"a".repeat(80), "408"),
        one("a body that never comes", &body, "", "408"),
        one("chunks, byte by byte", &chunks, &"1\r\na\r\n".repeat(12), "408"),
        one("half a head and no end", "GET / HT", "", "408"),
        one("nothing at all", "", "", "closed"),
        one("a request, and then nothing", TIME, "", "200 00000"),
        one("empty lines, and then nothing", "\r\n\r\n", "\r\n\r\n\r\n\r\n", "closed"),
    ]
}

#[test]
fn whoever_dawdles_is_cut_off() {
    let stage = Stage::open(&["--plaintext"]);
    let slow = dawdlers().into_iter().map(|(name, first, rest, then)| {
        let venue = stage.venue.clone();
        thread::spawn(move || {
            let mut raw = Raw::connect(&venue);
            raw.send(first.as_bytes());
            raw.trickle(rest.as_bytes(), Duration::from_millis(50));
            let answer = told(raw.answer());
            let end = if answer == "closed" { End::Closed } else { raw.end() };
            (name.to_owned(), format!("{then}, Closed"), format!("{answer}, {end:?}"))
        })
    });
    let slow: Vec<_> = slow.collect();
    stage.goes_on("dawdlers");
    judge("dawdlers", slow.into_iter().map(|one| one.join().expect("a dawdler")).collect());
    stage.goes_on("the last dawdler");
}

#[test]
fn a_crowd_at_the_door_keeps_nobody_who_is_in_from_trading() {
    let stage = Stage::open(&["--plaintext"]);
    let venue = &stage.venue;
    // Forty connections of one address are served, the others find the door shut.
    let crowd: Vec<Raw> = (0..120).map(|_| Raw::connect(venue)).collect();
    stage.goes_on("a crowd at the door");
    let served = |mut one: Raw| {
        one.send(TIME.as_bytes());
        one.answer().as_deref() == Ok("200 00000")
    };
    let count = crowd.into_iter().map(served).filter(|served| *served).count();
    assert!((1..40).contains(&count), "{count} of 120 were served beside the bystander");
    wait(raw::PATIENCE, "the door is open again", || served(Raw::connect(venue)));
    // Many come and go at once.
    let storms: Vec<_> = (0..2)
        .map(|_| {
            let authority = venue.authority().to_owned();
            let come = move |_: &i32| TcpStream::connect(&authority).is_ok();
            thread::spawn(move || (0..1_000).filter(come).count())
        })
        .collect();
    stage.goes_on("a storm at the door");
    let came = storms.into_iter().map(|storm| storm.join().expect("a storm")).sum::<usize>();
    assert!(came > 1_000, "{came}");
    stage.goes_on("a storm that has passed");
}

#[test]
fn a_handshake_that_never_ends_or_is_none_is_cut_off() {
    // Idling is no reason to be cut off here.
    let stage = Stage::open_as(&EXCHANGE.replace("idle_ms = 2000", "idle_ms = 60000"), &[]);
    let hello = b"\x16\x03\x01\x00\xc8\x01\x00\x00\xc4\x03\x03";
    let table: [(&str, &[u8]); 5] = [
        ("nothing", b""),
        ("half a hello", hello),
        ("a record of the greatest length", b"\x16\x03\x01\xff\xff"),
        ("plaintext", b"GET /api/v3/public/time HTTP/1.1\r\nHost: h\r\n\r\n"),
        ("an alert", b"\x15\x03\x01\x00\x02\x02\x28"),
    ];
    let ends = table.map(|(name, bytes)| {
        let venue = stage.venue.clone();
        let bytes = bytes.to_vec();
        thread::spawn(move || {
            let mut raw = Raw::connect(&venue);
            raw.send(&bytes);
            (name.to_owned(), "Closed".to_owned(), format!("{:?}", raw.end()))
        })
    });
    // Thirty more hold half a hello each, and a client of the same address comes through.
    let halves: Vec<Raw> = (0..30)
        .map(|_| {
            let mut raw = Raw::connect(&stage.venue);
            raw.send(hello);
            raw
        })
        .collect();
    let dir = tempfile::tempdir().expect("a directory");
    stage.venue.configure(dir.path(), stage.venue.authority(), "");
    let run =
        program::ended(dir.path(), &["run", "--for", "1s", "--run-dir", "run", "--state-dir", "s"]);
    run.done();
    judge("handshakes", ends.map(|end| end.join().expect("an end")).into());
    for mut half in halves {
        assert_eq!(half.end(), End::Closed);
    }
}
