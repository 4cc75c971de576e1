//! One client's connection: HTTP first, and a WebSocket after an upgrade.

use std::net::IpAddr;

use keel_core::units::UnixNanos;
use tungstenite::Utf8Bytes;

use super::hall::{Answer, Hall, Manner};
use super::http::{self, HttpError, Reader, Request, Step};
use super::late::Late;
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
    /// Whether the client will send no more.
    ended: bool,
    closing: bool,
}

#[derive(Debug)]
enum Speaks {
    Http(Box<Http>),
    WebSocket(Box<Session>),
}

#[derive(Debug)]
struct Http {
    reader: Reader,
    out: Outbound,
    /// Whether an answer is still to come, so that no other may be given.
    waits: bool,
    /// When the request that is arriving began, or the connection began to idle.
    since: UnixNanos,
}

impl Conn {
    /// A connection that has just been opened.
    pub(super) fn new(id: ConnId, kind: ConnKind, peer: IpAddr, now: UnixNanos) -> Self {
        let http =
            Http { reader: Reader::default(), out: Outbound::default(), waits: false, since: now };
        Self { id, kind, peer, speaks: Speaks::Http(Box::new(http)), ended: false, closing: false }
    }

    /// Takes received bytes and does what they ask.
    pub(super) fn receive(&mut self, bytes: &[u8], hall: &mut Hall, now: UnixNanos) {
        let http = match &mut self.speaks {
            Speaks::WebSocket(session) => return session.receive(bytes, hall, now),
            Speaks::Http(http) => http,
        };
        let idle = http.reader.is_empty();
        http.reader.push(bytes);
        self.serve(hall, now);
        if let Speaks::Http(http) = &mut self.speaks {
            if idle && !http.reader.is_empty() {
                http.since = now;
            }
            self.closing |= http.reader.is_overfull();
        }
    }

    /// Answers the requests that have come, up to the share of a turn.
    pub(super) fn serve(&mut self, hall: &mut Hall, now: UnixNanos) {
        let Speaks::Http(http) = &mut self.speaks else { return };
        for served in 0.. {
            if self.closing || http.waits {
                break;
            }
            if served == REQUESTS_PER_TURN {
                hall.unserved.push(self.id);
                break;
            }
            if http.out.bytes().len() > hall.config.limits.outbound_bytes_max {
                self.closing = true;
                break;
            }
            match http.reader.step() {
                Ok(Step::Partial) => {
                    self.closing |= self.ended;
                    break;
                }
                Ok(Step::Continue) => http.out.push(http::CONTINUE),
                Ok(Step::Request(request)) => {
                    http.since = now;
                    let upgrade = Door::of_path(&request.path).zip(request.websocket_key());
                    let answer = match (self.kind, upgrade) {
                        (ConnKind::Admin, _) if !is_from_here(&request) => Answer::page(403),
                        (ConnKind::Admin, _) => admin::answer(hall, &request, now),
                        (ConnKind::Api, None) => hall.answer(&request, self.peer, now),
                        (ConnKind::Api, Some((door, key))) => {
                            if hall.admits_socket(self.peer, now) {
                                let demo = request.asks_for_demo();
                                let key = key.to_owned();
                                return self.upgrade((door, demo), &key, hall, now);
                            }
                            hall.unadmitted(now)
                        }
                    };
                    let clock = hall.faults.clock(now);
                    match answer.manner {
                        Manner::Silence => self.closing = true,
                        Manner::At(at) => {
                            let mut bytes = Vec::new();
                            write_answer(&mut bytes, &request, &answer, clock);
                            let late = Late::Answer(self.id, bytes, request.keep_alive);
                            hall.late.push(at, late);
                            http.waits = true;
                        }
                        Manner::Json | Manner::Page => {
                            write_answer(http.out.tail(), &request, &answer, clock);
                            self.closing = !request.keep_alive;
                        }
                    }
                }
                Err(error) => {
                    write_refusal(http, error);
                    self.closing = true;
                }
            }
        }
    }

    /// Gives an answer that was late, and goes on.
    pub(super) fn answer_late(
        &mut self,
        bytes: &[u8],
        keep_alive: bool,
        hall: &mut Hall,
        now: UnixNanos,
    ) {
        if let Speaks::Http(http) = &mut self.speaks {
            http.out.push(bytes);
            http.waits = false;
            http.since = now;
            self.closing |= !keep_alive;
            self.serve(hall, now);
        }
    }

    /// Takes it that the client will send no more: it is answered what it has asked, and that is
    /// all. A WebSocket ends at once, and so does a client whose answer is late.
    pub(super) fn end(&mut self, hall: &mut Hall, now: UnixNanos) {
        self.ended = true;
        match &mut self.speaks {
            Speaks::WebSocket(session) => session.end(),
            Speaks::Http(http) if http.waits => self.closing = true,
            Speaks::Http(_) => self.serve(hall, now),
        }
    }

    /// Takes it that the client has been heard at an instant.
    pub(super) fn heard(&mut self, now: UnixNanos) {
        match &mut self.speaks {
            Speaks::Http(http) => http.since = now,
            Speaks::WebSocket(session) => session.heard(now),
        }
    }

    /// The WebSocket, when it is one that still lives.
    pub(super) fn session(&mut self) -> Option<&mut Session> {
        match &mut self.speaks {
            Speaks::WebSocket(session) if !session.is_closing() => Some(session),
            Speaks::WebSocket(_) | Speaks::Http(_) => None,
        }
    }

    fn upgrade(&mut self, door: (Door, bool), key: &str, hall: &mut Hall, now: UnixNanos) {
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
            Speaks::Http(http) if http.waits => None,
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
            Speaks::Http(http) => {
                if !http.reader.is_empty() {
                    http::write_response(http.out.tail(), REQUEST_TIMEOUT, &[], b"", false);
                }
                self.closing = true;
            }
            Speaks::WebSocket(session) => session.step(hall, now),
        }
    }
}

/// Whether a request to the administration was made on purpose: it names this machine as its host,
/// and no page in a browser has made it.
fn is_from_here(request: &Request) -> bool {
    let host = request.header("host").unwrap_or_default();
    let name = host.rsplit_once(':').map_or(host, |(name, port)| match port.parse::<u16>() {
        Ok(_) => name,
        Err(_) => host,
    });
    let here = matches!(name, "127.0.0.1" | "localhost" | "[::1]");
    here && request.header("origin").is_none()
}

fn write_answer(out: &mut Vec<u8>, request: &Request, answer: &Answer, now: UnixNanos) {
    let (remain, time) = (answer.remain.map(|n| n.to_string()), now.millis().to_string());
    let kind = match answer.manner {
        Manner::Page => "text/html",
        Manner::Json | Manner::Silence | Manner::At(_) => "application/json;charset=UTF-8",
    };
    let mut headers = vec![
        ("Content-Type", kind),
        ("X-BG-REQUEST-ACCEPT-TIME", time.as_str()),
        ("X-BG-RESPONSE-COMPLETE-TIME", time.as_str()),
    ];
    if let Some(remain) = &remain {
        headers.push(("x-mbx-used-remain-limit", remain));
    }
    let body = answer.body.as_bytes();
    http::write_response(out, answer.status, &headers, body, request.keep_alive);
}

fn write_refusal(http: &mut Http, error: HttpError) {
    http::write_response(http.out.tail(), error.status(), &[], b"", false);
}

/// Requests of one connection before the others have their turn.
const REQUESTS_PER_TURN: usize = 16;
/// The status of a request that did not arrive in time.
const REQUEST_TIMEOUT: u16 = 408;
