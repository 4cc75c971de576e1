//! A client's side of a conversation with the exchange: bytes in, bytes out, no socket.

use std::net::{IpAddr, Ipv4Addr};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use keel_core::units::UnixNanos;
use keel_sim::account::ApiKey;
use keel_sim::bitget::{AccountPlan, ConnId, ConnKind, Exchange, ExchangeConfig, Limits};
use serde_json::{Value, json};
use sha2::Sha256;

/// An exchange and its clock.
pub(crate) struct Stage {
    pub(crate) exchange: Exchange,
    pub(crate) now: UnixNanos,
}

impl Stage {
    /// Opens an exchange with these accounts and without rate limits.
    pub(crate) fn new(accounts: Vec<AccountPlan>) -> Self {
        let limits = Limits::unmetered();
        let config = ExchangeConfig { accounts, limits, ..ExchangeConfig::default() };
        let now = UnixNanos::from_millis(START_MS);
        Self { exchange: Exchange::new(config, 7, now), now }
    }

    /// The key of an account.
    pub(crate) fn key(&self, name: &str) -> ApiKey {
        let found = self.exchange.keys().find(|(account, _)| account.name == name);
        found.expect("an account of this name").1.clone()
    }

    /// Lets time pass in steps of a tenth of a second.
    pub(crate) fn pass(&mut self, ms: i64) {
        let end = UnixNanos(self.now.0 + ms * MILLIS);
        while self.now < end {
            self.now = UnixNanos((self.now.0 + 100 * MILLIS).min(end.0));
            self.exchange.step(self.now);
        }
    }

    /// Sends a REST request and gives the whole envelope.
    pub(crate) fn rest(
        &mut self,
        key: Option<&ApiKey>,
        method: &str,
        target: &str,
        body: &str,
    ) -> Value {
        self.http(ConnKind::Api, key, method, target, body)
    }

    /// Sends a request to the administration.
    pub(crate) fn admin(&mut self, path: &str, body: &Value) -> Value {
        self.http(ConnKind::Admin, None, "POST", path, &body.to_string())
    }

    /// Sends a REST request that must succeed and gives its data.
    pub(crate) fn post(&mut self, key: &ApiKey, target: &str, body: &Value) -> Value {
        let reply = self.rest(Some(key), "POST", target, &body.to_string());
        assert_eq!(reply["code"], "00000", "{target} {body}: {reply}");
        reply["data"].clone()
    }

    /// Opens a WebSocket.
    pub(crate) fn socket(&mut self, path: &str) -> ConnId {
        let conn = self.open(ConnKind::Api);
        let upgrade = format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\
             Connection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        self.exchange.receive(conn, upgrade.as_bytes(), self.now);
        let answer = self.take(conn);
        assert!(answer.starts_with(b"HTTP/1.1 101 "), "{}", answer.escape_ascii());
        conn
    }

    /// Opens the private WebSocket and logs in.
    pub(crate) fn private(&mut self, key: &ApiKey) -> ConnId {
        let conn = self.socket("/v3/ws/private");
        let timestamp = (self.now.millis() / 1000).to_string();
        let sign = sign(&key.secret, &format!("{timestamp}GET/user/verify"));
        let arg = json!({
            "apiKey": key.key, "passphrase": key.passphrase, "timestamp": timestamp, "sign": sign,
        });
        let ack = self.ask(conn, &json!({ "op": "login", "args": [arg] }));
        assert_eq!(ack[0]["code"], 0, "{ack:?}");
        conn
    }

    /// Sends a message and gives what has come back.
    pub(crate) fn ask(&mut self, conn: ConnId, message: &Value) -> Vec<Value> {
        self.exchange.receive(conn, &masked(&message.to_string()), self.now);
        self.heard(conn)
    }

    /// The messages that wait for a client.
    pub(crate) fn heard(&mut self, conn: ConnId) -> Vec<Value> {
        let bytes = self.take(conn);
        texts(&bytes).map(|text| serde_json::from_str(text).expect("JSON")).collect()
    }

    fn http(
        &mut self,
        kind: ConnKind,
        key: Option<&ApiKey>,
        method: &str,
        target: &str,
        body: &str,
    ) -> Value {
        let conn = self.open(kind);
        let mut request = format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\n");
        if let Some(key) = key {
            let ms = self.now.millis();
            let sign = sign(&key.secret, &format!("{ms}{method}{target}{body}"));
            request += &format!(
                "ACCESS-KEY: {}\r\nACCESS-SIGN: {sign}\r\nACCESS-TIMESTAMP: {ms}\r\n\
                 ACCESS-PASSPHRASE: {}\r\n",
                key.key, key.passphrase
            );
        }
        if !body.is_empty() {
            let length = body.len();
            request += &format!("Content-Type: application/json\r\nContent-Length: {length}\r\n");
        }
        self.exchange.receive(conn, (request + "\r\n" + body).as_bytes(), self.now);
        let bytes = self.take(conn);
        self.exchange.close(conn);
        let text = String::from_utf8(bytes).expect("UTF-8");
        let (_, body) = text.split_once("\r\n\r\n").expect("a head");
        serde_json::from_str(body).unwrap_or_else(|_| panic!("{target}: {text}"))
    }

    fn open(&mut self, kind: ConnKind) -> ConnId {
        let peer = IpAddr::V4(Ipv4Addr::LOCALHOST);
        self.exchange.open(kind, peer, self.now).expect("room for a connection")
    }

    fn take(&mut self, conn: ConnId) -> Vec<u8> {
        let bytes = self.exchange.transmit(conn).to_vec();
        self.exchange.sent(conn, bytes.len());
        bytes
    }
}

fn sign(secret: &str, text: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("a key of any length");
    mac.update(text.as_bytes());
    BASE64.encode(mac.finalize().into_bytes())
}

/// One masked text frame; a mask of zeros leaves the text as it is.
fn masked(text: &str) -> Vec<u8> {
    let mut bytes = vec![0x81];
    match text.len() {
        len @ 0..=125 => bytes.push(0x80 | len as u8),
        len => {
            bytes.push(0x80 | 126);
            bytes.extend_from_slice(&(len as u16).to_be_bytes());
        }
    }
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(text.as_bytes());
    bytes
}

/// The texts of unmasked text frames.
fn texts(mut bytes: &[u8]) -> impl Iterator<Item = &str> {
    std::iter::from_fn(move || {
        let [first, len, rest @ ..] = bytes else { return None };
        assert_eq!(*first, 0x81, "a whole text frame");
        let (len, rest) = match len {
            126 => (usize::from(u16::from_be_bytes([rest[0], rest[1]])), &rest[2..]),
            127 => {
                let len = u64::from_be_bytes(rest[..8].try_into().expect("eight bytes"));
                (len as usize, &rest[8..])
            }
            len => (usize::from(*len), rest),
        };
        let (text, after) = rest.split_at(len);
        bytes = after;
        Some(std::str::from_utf8(text).expect("UTF-8"))
    })
}

const START_MS: i64 = 1_789_456_510_000;
const MILLIS: i64 = 1_000_000;
