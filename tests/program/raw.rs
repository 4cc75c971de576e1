//! A client of the venue that says exactly what it is told to, and what the venue makes of it.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, SystemTime};

use keel_core::units::UnixNanos;
use keel_net::bitget::sign::{Credentials, Secret};
use keel_net::proto::http::Method;
use serde_json::Value;

use crate::program::Venue;

/// A socket of a venue in plaintext.
pub(crate) struct Raw {
    stream: TcpStream,
    inbound: Vec<u8>,
}

/// How a wait for the venue ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The venue ended the connection.
    Closed,
    /// Nothing came for [`PATIENCE`].
    Silence,
}

/// Longer than every deadline that a test sets the venue.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

impl Raw {
    /// Connects.
    pub(crate) fn connect(venue: &Venue) -> Self {
        let stream = TcpStream::connect(venue.authority()).expect("the venue listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_write_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_nodelay(true).expect("a flag");
        Self { stream, inbound: Vec::new() }
    }

    /// Sends bytes; gives whether the venue took them all.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// Sends one byte after another, each a moment later, until the venue has enough of it.
    pub(crate) fn trickle(&mut self, bytes: &[u8], every: Duration) {
        for byte in bytes {
            if !self.send(std::slice::from_ref(byte)) {
                return;
            }
            std::thread::sleep(every);
        }
    }

    /// Says that no more will come.
    pub(crate) fn finish(&self) {
        // The venue may have closed already.
        let _ = self.stream.shutdown(std::net::Shutdown::Write);
    }

    /// Takes more bytes.
    fn fill(&mut self) -> Result<(), End> {
        let mut buffer = [0; 16 * 1024];
        match self.stream.read(&mut buffer) {
            Ok(0) => Err(End::Closed),
            Ok(n) => {
                self.inbound.extend_from_slice(&buffer[..n]);
                Ok(())
            }
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                Err(End::Silence)
            }
            Err(_) => Err(End::Closed),
        }
    }

    /// The next HTTP answer: its status, and the code in its body when there is one.
    pub(crate) fn answer(&mut self) -> Result<String, End> {
        let head = loop {
            match self.inbound.windows(4).position(|window| window == b"\r\n\r\n") {
                Some(at) => break at + 4,
                None => self.fill()?,
            }
        };
        let text = String::from_utf8_lossy(&self.inbound[..head]).into_owned();
        let length = text.lines().find_map(|line| line.strip_prefix("Content-Length: "));
        let length: usize = length.map_or(0, |length| length.parse().expect("a length"));
        while self.inbound.len() < head + length {
            self.fill()?;
        }
        let body: Value =
            serde_json::from_slice(&self.inbound[head..head + length]).unwrap_or_default();
        self.inbound.drain(..head + length);
        let status = text.split(' ').nth(1).expect("a status");
        Ok(match body["code"].as_str() {
            Some(code) => format!("{status} {code}"),
            None => status.to_owned(),
        })
    }

    /// Waits until the venue has closed, whatever comes before.
    pub(crate) fn end(&mut self) -> End {
        loop {
            self.inbound.clear();
            if let Err(end) = self.fill() {
                return end;
            }
        }
    }

    /// Opens a WebSocket at a path.
    pub(crate) fn upgrade(venue: &Venue, path: &str) -> Self {
        let mut raw = Self::connect(venue);
        let head = format!(
            "GET {path} HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        raw.send(head.as_bytes());
        assert_eq!(raw.answer().as_deref(), Ok("101"));
        raw
    }

    /// Opens the private WebSocket and logs in.
    pub(crate) fn log_in(venue: &Venue) -> Self {
        let mut raw = Self::upgrade(venue, "/v3/ws/private");
        let mut login = Vec::new();
        credentials(venue).login(utc(), &mut login);
        raw.text(&login);
        assert_eq!(raw.message().as_deref(), Ok("login 0"));
        raw
    }

    /// Sends a text message as a client should.
    pub(crate) fn text(&mut self, text: &[u8]) -> bool {
        self.send(&frame(0x81, text))
    }

    /// The next frame: its opcode and payload.
    pub(crate) fn frame(&mut self) -> Result<(u8, Vec<u8>), End> {
        let (head, length) = loop {
            let length = match self.inbound.get(1) {
                Some(126) => {
                    self.inbound.get(2..4).map(|b| (4, usize::from(b[0]) << 8 | usize::from(b[1])))
                }
                Some(127) => {
                    let length = self.inbound.get(2..10).map(|b| b.try_into().expect("eight"));
                    length.map(|b| (10, u64::from_be_bytes(b) as usize))
                }
                Some(length) => Some((2, usize::from(*length))),
                None => None,
            };
            match length {
                Some((head, length)) if self.inbound.len() >= head + length => {
                    break (head, length);
                }
                _ => self.fill()?,
            }
        };
        let opcode = self.inbound[0] & 15;
        let payload = self.inbound[head..head + length].to_vec();
        self.inbound.drain(..head + length);
        Ok((opcode, payload))
    }

    /// The next message, in short: its event and code, its first bytes, or a close with its code.
    pub(crate) fn message(&mut self) -> Result<String, End> {
        let (opcode, payload) = self.frame()?;
        match opcode {
            8 => Ok(match payload.get(..2) {
                Some(code) => format!("close {}", u16::from_be_bytes([code[0], code[1]])),
                None => "close".to_owned(),
            }),
            10 => Ok("control pong".to_owned()),
            _ => Ok(short(&payload)),
        }
    }
}

/// A message in a few words.
fn short(payload: &[u8]) -> String {
    let value: Value = serde_json::from_slice(payload).unwrap_or_default();
    match (value["event"].as_str(), value["action"].as_str()) {
        (Some(event), _) => {
            // The code of a refused element of a batch says more than the batch's own.
            let code = match &value["args"][0]["code"] {
                Value::Null => &value["code"],
                code => code,
            };
            match code {
                Value::Null => event.to_owned(),
                code => format!("{event} {}", code.to_string().trim_matches('"')),
            }
        }
        (None, Some(action)) => {
            format!("{action} {}", value["arg"]["topic"].as_str().unwrap_or(""))
        }
        (None, None) => String::from_utf8_lossy(&payload[..payload.len().min(20)]).into_owned(),
    }
}

/// A masked frame with `first` as its first byte. The mask is zero, so that texts can be read.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        len @ 0..=125 => bytes.push(0x80 | len as u8),
        len @ 126..=0xffff => {
            bytes.push(0x80 | 126);
            bytes.extend_from_slice(&(len as u16).to_be_bytes());
        }
        len => {
            bytes.push(0x80 | 127);
            bytes.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(payload);
    bytes
}

/// The key of the venue's first account.
pub(crate) fn credentials(venue: &Venue) -> Credentials {
    let [secret, words] = ["secret", "passphrase"].map(|p| Secret::new(venue.key(p).to_owned()));
    Credentials::live(venue.key("key").to_owned(), secret, words)
}

/// A signed request.
pub(crate) fn signed(venue: &Venue, method: Method, path: &str, body: &[u8]) -> Vec<u8> {
    signed_at(venue, method, path, body, utc())
}

/// The same at a venue where it is `utc`.
pub(crate) fn signed_at(
    venue: &Venue,
    method: Method,
    path: &str,
    body: &[u8],
    utc: UnixNanos,
) -> Vec<u8> {
    // What is no text is signed as something else: that is one of the cases.
    let text = std::str::from_utf8(body).unwrap_or("?");
    let credentials = credentials(venue);
    let headers = credentials.headers(method, path, "", text, utc);
    let word = match method {
        Method::Get => "GET",
        Method::Post => "POST",
    };
    let mut head =
        format!("{word} {path} HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n");
    for (name, value) in headers.list() {
        head += &format!("{name}: {value}\r\n");
    }
    head += &format!("Content-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

fn utc() -> UnixNanos {
    let since = SystemTime::UNIX_EPOCH.elapsed().expect("past 1970").as_nanos();
    UnixNanos(i64::try_from(since).expect("before 2262"))
}
