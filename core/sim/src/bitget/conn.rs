//! One client's connection: HTTP first, and a WebSocket after an upgrade.

use std::net::IpAddr;

use keel_core::units::UnixNanos;
use tungstenite::Utf8Bytes;

use super::hall::{Answer, Hall};
use super::http::{self, HttpError, Reader, Request, Step};
use super::outbound::Outbound;
use super::session::{Door, Session};
use super::topic::Topic;
use super::ws::Socket;
use super::{ConnId, ConnKind, admin};

/// One client's connection.
#[derive(Debug)]
pub(super) struct Conn {
    id: ConnId,
    kind: ConnKind,
    pub(super) peer: IpAddr,
    speaks: Speaks,
    closing: bool,
}

#[derive(Debug)]
enum Speaks {
    Http(Http),
    WebSocket(Box<Session>),
}

#[derive(Debug)]
struct Http {
    reader: Reader,
    out: Outbound,
    /// When the request that is arriving began, or the connection began to idle.
    since: UnixNanos,
}

impl Conn {
    /// A connection that has just been opened.
    pub(super) fn new(id: ConnId, kind: ConnKind, peer: IpAddr, now: UnixNanos) -> Self {
        let http = Http { reader: Reader::default(), out: Outbound::default(), since: now };
        Self { id, kind, peer, speaks: Speaks::Http(http), closing: false }
    }

    /// Takes received bytes and does what they ask.
    pub(super) fn receive(&mut self, bytes: &[u8], hall: &mut Hall, now: UnixNanos) {
        let http = match &mut self.speaks {
            Speaks::WebSocket(session) => return session.receive(bytes, hall, now),
            Speaks::Http(http) => http,
        };
        if http.reader.is_empty() {
            http.since = now;
        }
        http.reader.push(bytes);
        while !self.closing {
            if http.out.bytes().len() > hall.config.limits.outbound_bytes_max {
                self.closing = true;
                break;
            }
            match http.reader.step() {
                Ok(Step::Partial) => break,
                Ok(Step::Continue) => http.out.push(http::CONTINUE),
                Ok(Step::Request(request)) => {
                    http.since = now;
                    let upgrade = Door::of_path(&request.path).zip(request.websocket_key());
                    let answer = match (self.kind, upgrade) {
                        (ConnKind::Admin, _) => admin::answer(hall, &request, now),
                        (ConnKind::Api, None) => hall.answer(&request, self.peer, now),
                        (ConnKind::Api, Some((door, key))) => {
                            return self.upgrade(door, key, hall, now);
                        }
                    };
                    write_answer(http, &request, &answer, now);
                    self.closing = !request.keep_alive;
                }
                Err(error) => {
                    write_refusal(http, error);
                    self.closing = true;
                }
            }
        }
    }

    fn upgrade(&mut self, door: Door, key: &str, hall: &mut Hall, now: UnixNanos) {
        let Speaks::Http(http) = &mut self.speaks else { return };
        let rest = std::mem::take(&mut http.reader).into_rest();
        let socket = Socket::accept(key, rest, std::mem::take(&mut http.out));
        let mut session = Session::new(self.id, self.peer, door, socket, hall, now);
        session.receive(&[], hall, now);
        self.speaks = Speaks::WebSocket(Box::new(session));
    }

    /// Queues a push; only a WebSocket has any.
    pub(super) fn push(&mut self, text: Utf8Bytes, bytes_max: usize) {
        if let Speaks::WebSocket(session) = &mut self.speaks {
            session.push(text, bytes_max);
        }
    }

    /// The topics that it is subscribed to.
    pub(super) fn topics(&self) -> Vec<Topic> {
        match &self.speaks {
            Speaks::Http(_) => Vec::new(),
            Speaks::WebSocket(session) => session.topics().collect(),
        }
    }

    /// Bytes to be sent.
    pub(super) fn outbound(&self) -> &[u8] {
        match &self.speaks {
            Speaks::Http(http) => http.out.bytes(),
            Speaks::WebSocket(session) => session.outbound(),
        }
    }

    /// Notes that the first `n` of them were sent.
    pub(super) fn sent(&mut self, n: usize) {
        match &mut self.speaks {
            Speaks::Http(http) => http.out.sent(n),
            Speaks::WebSocket(session) => session.sent(n),
        }
    }

    /// Whether it is to be closed once its bytes are sent.
    pub(super) fn is_closing(&self) -> bool {
        match &self.speaks {
            Speaks::Http(_) => self.closing,
            Speaks::WebSocket(session) => self.closing || session.is_closing(),
        }
    }

    /// When it ends by itself.
    pub(super) fn deadline(&self, hall: &Hall) -> Option<UnixNanos> {
        if self.is_closing() {
            return None;
        }
        match &self.speaks {
            Speaks::Http(http) if http.reader.is_empty() => {
                Some(UnixNanos(http.since.0 + hall.config.limits.idle_ns))
            }
            Speaks::Http(http) => Some(UnixNanos(http.since.0 + hall.config.limits.request_ns)),
            Speaks::WebSocket(session) => session.deadline(hall),
        }
    }

    /// Ends it when that has come.
    pub(super) fn step(&mut self, hall: &Hall, now: UnixNanos) {
        match &mut self.speaks {
            Speaks::Http(_) => self.closing = true,
            Speaks::WebSocket(session) => session.step(hall, now),
        }
    }
}

fn write_answer(http: &mut Http, request: &Request, answer: &Answer, now: UnixNanos) {
    let (remain, time) = (answer.remain.map(|n| n.to_string()), now.millis().to_string());
    let mut headers = vec![
        ("Content-Type", "application/json;charset=UTF-8"),
        ("X-BG-REQUEST-ACCEPT-TIME", time.as_str()),
        ("X-BG-RESPONSE-COMPLETE-TIME", time.as_str()),
    ];
    if let Some(remain) = &remain {
        headers.push(("x-mbx-used-remain-limit", remain));
    }
    let body = answer.body.as_bytes();
    http::write_response(http.out.tail(), answer.status, &headers, body, request.keep_alive);
}

fn write_refusal(http: &mut Http, error: HttpError) {
    http::write_response(http.out.tail(), error.status(), &[], b"", false);
}
