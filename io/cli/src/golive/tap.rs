//! What passes between an engine and its venue, seen and kept from outside of both.
//!
//! A tap stands on loopback between the two, in plaintext. It tells what was asked and answered,
//! and can do what no fault of the venue does: hold a topic back altogether, and change an answer.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// A tap at work, until the process ends.
#[derive(Debug)]
pub struct Tap {
    /// Where it listens.
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

/// One request, or one answer, that passed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Passed {
    /// When, since the tap began.
    pub at: Duration,
    /// Path without its query, or topic of order entry; empty for a refused order frame.
    pub what: String,
    /// How many orders it is about; 0 for an answer.
    pub orders: usize,
    /// The venue's code, `00000` or `0` when it took it; empty for a request.
    pub code: String,
    /// The status of an answer over HTTP; 0 otherwise.
    pub status: u16,
    /// Calls that remain in the window, where the answer tells.
    pub remaining: Option<u64>,
}

impl Passed {
    /// True for an answer by which the venue refuses something.
    pub fn is_refusal(&self) -> bool {
        self.status >= 400 || !["", "0", "00000"].contains(&self.code.as_str())
    }

    /// True for an answer that says that too much was asked.
    pub fn is_for_rate(&self) -> bool {
        self.status == 429 || ["429", "30006", "30007"].contains(&self.code.as_str())
    }
}

/// What the tap does besides passing on.
#[derive(Clone, Debug, Default)]
struct Mischief {
    /// Topics of pushes that are not passed on; `*` is every one.
    held: Vec<String>,
    /// Topics of pushes for which the last one before is passed on again and again.
    replayed: Vec<String>,
    /// Paths whose answers have an empty list instead of theirs.
    emptied: Vec<String>,
    /// Paths, and a text in their answers that is replaced by another.
    altered: Vec<(String, [String; 2])>,
}

#[derive(Debug)]
struct Shared {
    venue: String,
    harmless: bool,
    began: Instant,
    passed: Mutex<Vec<Passed>>,
    mischief: Mutex<Mischief>,
}

impl Tap {
    /// Begins to pass on what comes to `venue`, a host and port. A `harmless` one does no mischief,
    /// whatever it is asked for.
    ///
    /// # Errors
    /// When there is no port.
    pub fn start(venue: &str, harmless: bool) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            venue: venue.to_owned(),
            harmless,
            began: Instant::now(),
            passed: Mutex::default(),
            mischief: Mutex::default(),
        });
        let tap = Self { address, shared: shared.clone() };
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let shared = shared.clone();
                // A connection that breaks is the business of its two ends.
                thread::spawn(move || shared.serve(client));
            }
        });
        Ok(tap)
    }

    /// Everything that has passed, from place `from` on.
    pub fn passed(&self, from: usize) -> Vec<Passed> {
        lock(&self.shared.passed).get(from..).unwrap_or_default().to_vec()
    }

    /// How much has passed.
    pub fn len(&self) -> usize {
        lock(&self.shared.passed).len()
    }

    /// True before anything has passed.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Holds pushes of a topic back from now on; `*` for all.
    pub fn hold(&self, topic: &str) {
        lock(&self.shared.mischief).held.push(topic.to_owned());
    }

    /// Passes the last push of a topic on again in the place of each new one.
    pub fn replay(&self, topic: &str) {
        lock(&self.shared.mischief).replayed.push(topic.to_owned());
    }

    /// Has answers to a path list nothing from now on.
    pub fn empty(&self, path: &str) {
        lock(&self.shared.mischief).emptied.push(path.to_owned());
    }

    /// Replaces a text in answers to a path from now on.
    pub fn alter(&self, path: &str, from: &str, to: &str) {
        let texts = [from, to].map(str::to_owned);
        lock(&self.shared.mischief).altered.push((path.to_owned(), texts));
    }

    /// Passes everything on as it is again.
    pub fn release(&self) {
        *lock(&self.shared.mischief) = Mischief::default();
    }

    /// Everything that has passed as lines of JSON.
    pub fn record(&self) -> String {
        let rows = self.passed(0).into_iter().map(|one| {
            let at_ms = u64::try_from(one.at.as_millis()).unwrap_or(u64::MAX);
            json!({
                "at_ms": at_ms, "what": one.what, "orders": one.orders, "code": one.code,
                "status": one.status, "remaining": one.remaining,
            })
        });
        rows.map(|row| format!("{row}\n")).collect()
    }
}

/// What a thread that panicked left is whole: each is written by one assignment or push.
fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    fn mischief(&self) -> Mischief {
        if self.harmless { Mischief::default() } else { lock(&self.mischief).clone() }
    }

    fn note(&self, passed: Passed) {
        lock(&self.passed).push(Passed { at: self.began.elapsed(), ..passed });
    }

    /// One connection: requests and answers in turn, until one is an upgrade.
    fn serve(self: Arc<Self>, client: TcpStream) -> io::Result<()> {
        let venue = TcpStream::connect(&self.venue)?;
        client.set_nodelay(true)?;
        venue.set_nodelay(true)?;
        let ends = [client.try_clone()?, venue.try_clone()?];
        let done = self.converse(client, venue);
        for end in ends {
            // Either may be gone already.
            let _ = end.shutdown(Shutdown::Both);
        }
        done
    }

    fn converse(self: &Arc<Self>, client: TcpStream, venue: TcpStream) -> io::Result<()> {
        let (mut to_client, mut to_venue) = (client.try_clone()?, venue.try_clone()?);
        let (mut from_client, mut from_venue) = (BufReader::new(client), BufReader::new(venue));
        loop {
            let Some(asked) = Message::read(&mut from_client)? else { return Ok(()) };
            let what = asked.path();
            let orders = orders_of(&what, &asked.json());
            self.note(Passed { what: what.clone(), orders, ..Passed::default() });
            to_venue.write_all(&asked.bytes())?;
            let Some(mut answer) = Message::read(&mut from_venue)? else { return Ok(()) };
            if answer.status() == 101 {
                to_client.write_all(&answer.bytes())?;
                let up = self.clone();
                thread::spawn(move || up.frames_up(from_client, to_venue));
                return self.frames_down(from_venue, to_client);
            }
            let mischief = self.mischief();
            if mischief.emptied.contains(&what) {
                answer.empty();
            }
            for (_, [from, to]) in mischief.altered.iter().filter(|(path, _)| *path == what) {
                answer.set_body(&String::from_utf8_lossy(&answer.body).replace(from, to));
            }
            let code = answer.json()["code"].as_str().unwrap_or_default().to_owned();
            let (status, remaining) = (answer.status(), answer.remaining());
            self.note(Passed { what, code, status, remaining, ..Passed::default() });
            to_client.write_all(&answer.bytes())?;
        }
    }

    fn frames_up(&self, mut client: BufReader<TcpStream>, mut venue: TcpStream) -> io::Result<()> {
        let passed = self.pass_up(&mut client, &mut venue);
        // The venue may have closed first.
        let _ = venue.shutdown(Shutdown::Both);
        passed
    }

    fn pass_up(&self, client: &mut BufReader<TcpStream>, venue: &mut TcpStream) -> io::Result<()> {
        loop {
            let frame = Frame::read(client)?;
            let said = frame.json();
            if said["op"] == "trade" {
                let what = said["topic"].as_str().unwrap_or_default().to_owned();
                let orders = said["args"].as_array().map_or(0, Vec::len);
                self.note(Passed { what, orders, ..Passed::default() });
            }
            venue.write_all(&frame.bytes)?;
        }
    }

    fn frames_down(
        &self,
        mut venue: BufReader<TcpStream>,
        mut client: TcpStream,
    ) -> io::Result<()> {
        let mut last: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        loop {
            let frame = Frame::read(&mut venue)?;
            let said = frame.json();
            if said["event"].is_null() && said["arg"].is_object() {
                let topic = said["arg"]["topic"].as_str().unwrap_or_default();
                let of = said["arg"].to_string();
                let mischief = self.mischief();
                if mischief.held.iter().any(|held| held == "*" || held == topic) {
                    continue;
                }
                if mischief.replayed.iter().any(|replayed| replayed == topic) {
                    client.write_all(last.get(&of).unwrap_or(&frame.bytes))?;
                    continue;
                }
                last.insert(of, frame.bytes.clone());
            }
            if said["event"] == "trade" || said["event"] == "error" {
                self.note_entry(&said);
            }
            client.write_all(&frame.bytes)?;
        }
    }

    /// An answer to an order frame; each order of a batch may have its own code.
    fn note_entry(&self, said: &Value) {
        let text = |value: &Value| match value {
            Value::String(text) => text.clone(),
            Value::Null => String::new(),
            other => other.to_string(),
        };
        let what = text(&said["topic"]);
        let remaining = text(&said["rateLimit"][0]["remaining"]).parse().ok();
        let answer = Passed { what, remaining, code: text(&said["code"]), ..Passed::default() };
        let parts = said["args"].as_array().into_iter().flatten();
        for part in parts.filter(|part| !["", "0"].contains(&text(&part["code"]).as_str())) {
            self.note(Passed { code: text(&part["code"]), ..answer.clone() });
        }
        self.note(answer);
    }
}

/// How many orders a request over REST is about.
fn orders_of(path: &str, body: &Value) -> usize {
    match body {
        Value::Array(list) => list.len(),
        _ => usize::from(path.starts_with("/api/v3/trade/") && body.is_object()),
    }
}

/// A message of HTTP.
pub(super) struct Message {
    head: String,
    body: Vec<u8>,
}

impl Message {
    /// The next one; none where the other end is done.
    pub(super) fn read(from: &mut BufReader<TcpStream>) -> io::Result<Option<Self>> {
        let mut head = String::new();
        loop {
            let before = head.len();
            if from.read_line(&mut head)? == 0 {
                return Ok(None);
            }
            if head.len() - before == 2 {
                break;
            }
        }
        let mut message = Self { head, body: Vec::new() };
        let length = message.header("content-length").and_then(|text| text.parse().ok());
        message.body.resize(length.unwrap_or(0), 0);
        from.read_exact(&mut message.body)?;
        Ok(Some(message))
    }

    fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        lines.into_iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, v)| v.trim())
    }

    fn path(&self) -> String {
        let target = self.head.split_whitespace().nth(1).unwrap_or_default();
        target.split('?').next().unwrap_or_default().to_owned()
    }

    pub(super) fn status(&self) -> u16 {
        self.head.split_whitespace().nth(1).and_then(|word| word.parse().ok()).unwrap_or(0)
    }

    fn remaining(&self) -> Option<u64> {
        self.header("x-mbx-used-remain-limit")?.parse().ok()
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// Replaces the list in `data` by one with nothing in it.
    fn empty(&mut self) {
        let mut body = self.json();
        if let Some(list) = body["data"]["list"].as_array_mut() {
            list.clear();
        }
        if body["data"]["cursor"].is_string() {
            body["data"]["cursor"] = json!("");
        }
        self.set_body(&body.to_string());
    }

    fn set_body(&mut self, body: &str) {
        self.body = body.as_bytes().to_vec();
        let kept = self.head.trim_end().lines().filter(|line| {
            !line.split(':').next().unwrap_or_default().eq_ignore_ascii_case("content-length")
        });
        let kept: String = kept.map(|line| format!("{line}\r\n")).collect();
        self.head = format!("{kept}Content-Length: {}\r\n\r\n", self.body.len());
    }

    fn bytes(&self) -> Vec<u8> {
        [self.head.as_bytes(), &self.body].concat()
    }
}

/// A frame of a WebSocket, whole.
struct Frame {
    bytes: Vec<u8>,
    payload: Vec<u8>,
}

impl Frame {
    fn read(from: &mut BufReader<TcpStream>) -> io::Result<Self> {
        let mut bytes = vec![0; 2];
        from.read_exact(&mut bytes)?;
        let (short, masked) = (usize::from(bytes[1] & 0x7f), bytes[1] & 0x80 != 0);
        let mut more = |wanted: usize| {
            let at = bytes.len();
            bytes.resize(at + wanted, 0);
            from.read_exact(&mut bytes[at..]).map(|()| bytes[at..].to_vec())
        };
        let number = |wide: Vec<u8>| wide.iter().fold(0, |sum, &byte| sum << 8 | usize::from(byte));
        let length = match short {
            126 => number(more(2)?),
            127 => number(more(8)?),
            _ => short,
        };
        let mask = more(if masked { 4 } else { 0 })?;
        let mut payload = more(length)?;
        if masked {
            for (place, byte) in payload.iter_mut().enumerate() {
                *byte ^= mask[place % 4];
            }
        }
        Ok(Self { bytes, payload })
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.payload).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A venue that answers every request with the next of `answers`, and a tap before it.
    fn tapped(answers: Vec<Vec<u8>>) -> (Tap, BufReader<TcpStream>, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let tap = Tap::start(&listener.local_addr().expect("an address").to_string(), false);
        let tap = tap.expect("a tap");
        thread::spawn(move || {
            let (mut venue, _) = listener.accept().expect("the tap");
            let mut from = BufReader::new(venue.try_clone().expect("cloned"));
            for answer in answers {
                let _ = Message::read(&mut from).expect("a request");
                venue.write_all(&answer).expect("answered");
            }
            let mut rest = Vec::new();
            let _ = from.read_to_end(&mut rest);
        });
        let client = TcpStream::connect(tap.address).expect("it listens");
        client.set_read_timeout(Some(Duration::from_secs(10))).expect("set");
        (tap, BufReader::new(client.try_clone().expect("cloned")), client)
    }

    fn answer(status: &str, body: &str) -> Vec<u8> {
        let length = body.len();
        let head = format!("HTTP/1.1 {status}\r\nx-mbx-used-remain-limit: 7\r\n");
        format!("{head}Content-Length: {length}\r\n\r\n{body}").into_bytes()
    }

    #[test]
    fn requests_and_answers_are_passed_on_and_told() {
        let list = r#"{"code":"00000","data":{"list":[{"execId":"1"}],"cursor":"1"}}"#;
        let answers = vec![
            answer("200 OK", list),
            answer("200 OK", list),
            answer("429 Slow", r#"{"code":"429"}"#),
        ];
        let (tap, mut from, mut to) = tapped(answers);
        let path = "/api/v3/trade/fills";
        let mut ask = |request: &str| {
            to.write_all(request.as_bytes()).expect("asked");
            let answer = Message::read(&mut from).expect("whole").expect("an answer");
            (answer.status(), answer.json())
        };
        let get = format!("GET {path}?category=x HTTP/1.1\r\nHost: h\r\n\r\n");
        tap.alter(path, "\"execId\":\"1\"", "\"execId\":\"12\"");
        assert_eq!(ask(&get).1["data"]["list"][0]["execId"], "12");
        tap.empty(path);
        assert_eq!(
            ask(&get),
            (200, json!({ "code": "00000", "data": { "list": [], "cursor": "" } }))
        );
        tap.release();
        let post = "POST /api/v3/trade/place-batch HTTP/1.1\r\nContent-Length: 7\r\n\r\n[{},{}]";
        assert_eq!(ask(post).0, 429);
        let passed = tap.passed(0);
        let told: Vec<_> =
            passed.iter().map(|p| (p.what.as_str(), p.orders, p.status, p.is_refusal())).collect();
        let batch = "/api/v3/trade/place-batch";
        assert_eq!(
            told,
            [
                (path, 0, 0, false),
                (path, 0, 200, false),
                (path, 0, 0, false),
                (path, 0, 200, false),
                (batch, 2, 0, false),
                (batch, 0, 429, true)
            ]
        );
        assert!(passed[5].is_for_rate() && !passed[3].is_for_rate());
        assert_eq!(passed[1].remaining, Some(7));
    }

    #[test]
    fn frames_are_unmasked_to_be_told_and_held_by_their_topic() {
        let text = |text: &str| {
            let length = u8::try_from(text.len()).expect("short");
            assert!(length < 126);
            [&[0x81, length][..], text.as_bytes()].concat()
        };
        let mut down = b"HTTP/1.1 101 Switching Protocols\r\n\r\n".to_vec();
        down.extend(text(r#"{"arg":{"topic":"books"},"data":[]}"#));
        down.extend(text(r#"{"event":"error","id":"p","code":"25206","msg":"no"}"#));
        let (tap, mut from, mut to) = tapped(vec![down]);
        tap.hold("books");
        to.write_all(b"GET /v3/ws/private HTTP/1.1\r\n\r\n").expect("asked");
        assert_eq!(Message::read(&mut from).expect("whole").expect("there").status(), 101);
        let said = Frame::read(&mut from).expect("a frame").json();
        assert_eq!(said["event"], "error", "the other one is held");
        let order = br#"{"op":"trade","topic":"place-order","args":[{}]}"#;
        let mut frame = vec![0x81, 0x80 | u8::try_from(order.len()).expect("short"), 1, 2, 3, 4];
        frame.extend(order.iter().enumerate().map(|(at, byte)| byte ^ [1, 2, 3, 4][at % 4]));
        to.write_all(&frame).expect("sent");
        let began = Instant::now();
        while tap.len() < 3 && began.elapsed() < Duration::from_secs(10) {
            thread::sleep(Duration::from_millis(5));
        }
        let passed = tap.passed(1);
        assert!(passed.iter().any(|p| p.code == "25206" && p.is_refusal()), "{passed:?}");
        let placed = passed.iter().find(|p| p.what == "place-order").expect("told");
        assert_eq!((placed.orders, placed.is_refusal()), (1, false));
    }
}
