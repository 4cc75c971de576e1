//! One client's WebSocket: login, subscriptions, order entry, heartbeat and its limits.
//!
//! Sources: reference §10 (basics, limits), §14 (order entry), §16 (V3 names), and the recorded
//! acknowledgments and errors of V3.

use std::collections::BTreeSet;
use std::net::IpAddr;

use keel_core::units::UnixNanos;
use serde::Serialize;
use serde_json::{Map, Value};
use tungstenite::Utf8Bytes;
use tungstenite::protocol::frame::coding::CloseCode;

use super::auth::{self, Caller, Login};
use super::endpoint;
use super::entry::{self, BATCH_MAX};
use super::hall::Hall;
use super::late::{Frame, Late};
use super::params::Params;
use super::reject::{self, WsError};
use super::shape::CATEGORY_LOWER;
use super::text::{Text, json};
use super::topic::Topic;
use super::window::{Meter, NANOS_PER_SECOND, Subject};
use super::ws::{Received, Socket};
use crate::account::AccountId;
use crate::bitget::ConnId;
use crate::fault::Act;
use crate::order::Ack;
use crate::reject::Reject;
use crate::venue::Venue;

/// Which of the two sockets a client asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Door {
    /// `/v3/ws/public`: market data, no login.
    Public,
    /// `/v3/ws/private`: after a login, private topics and order entry.
    Private,
}

impl Door {
    /// The door at a path.
    pub(super) fn of_path(path: &str) -> Option<Self> {
        match path {
            "/v3/ws/public" => Some(Self::Public),
            "/v3/ws/private" => Some(Self::Private),
            _ => None,
        }
    }
}

/// One client's WebSocket.
#[derive(Debug)]
pub(super) struct Session {
    id: ConnId,
    name: String,
    peer: IpAddr,
    door: Door,
    socket: Socket,
    /// Whether the socket is that of demo trading.
    demo: bool,
    caller: Option<Caller>,
    /// The key of the login.
    key: String,
    topics: BTreeSet<Topic>,
    messages: Meter,
    subscriptions: Meter,
    opened: UnixNanos,
    pinged: UnixNanos,
    closing: bool,
}

impl Session {
    /// The session of a socket that has just been accepted.
    pub(super) fn new(
        id: ConnId,
        peer: IpAddr,
        (door, demo): (Door, bool),
        socket: Socket,
        hall: &mut Hall,
        now: UnixNanos,
    ) -> Self {
        let limits = &hall.config.limits;
        Self {
            id,
            peer,
            door,
            socket,
            demo,
            caller: None,
            key: String::new(),
            topics: BTreeSet::new(),
            messages: Meter::new(limits.messages_per_second, NANOS_PER_SECOND),
            subscriptions: Meter::new(limits.subscriptions_per_hour, 3_600 * NANOS_PER_SECOND),
            opened: now,
            pinged: now,
            closing: false,
            name: hall.connection_name(),
        }
    }

    /// Takes received bytes and does what they ask.
    pub(super) fn receive(&mut self, bytes: &[u8], hall: &mut Hall, now: UnixNanos) {
        self.socket.push(bytes);
        while !self.closing {
            if self.socket.outbound().len() > hall.config.limits.outbound_bytes_max {
                self.closing = true;
                return;
            }
            match self.socket.step() {
                None => return,
                Some(Received::Text(text)) => self.message(&text, hall, now),
                Some(Received::Binary) => self.error(WsError::ILLEGAL, None),
                Some(Received::Closed) => self.closing = true,
            }
        }
    }

    /// Bytes to be written to the client.
    pub(super) fn outbound(&self) -> &[u8] {
        self.socket.outbound()
    }

    /// Notes that `n` of them were written.
    pub(super) fn sent(&mut self, n: usize) {
        self.socket.sent(n);
    }

    /// Whether the connection is to be closed once its bytes are written.
    pub(super) fn is_closing(&self) -> bool {
        self.closing
    }

    /// The topics that it is subscribed to.
    pub(super) fn topics(&self) -> impl Iterator<Item = Topic> + '_ {
        self.topics.iter().copied()
    }

    /// Queues a push. A client that does not read is cut off when `bytes_max` wait for it.
    pub(super) fn push(&mut self, text: Utf8Bytes, bytes_max: usize) {
        if self.closing {
            return;
        }
        self.socket.send(text);
        if self.socket.outbound().len() > bytes_max {
            self.closing = true;
        }
    }

    /// Ends the connection in the middle of a push.
    pub(super) fn cut(&mut self, text: Utf8Bytes) {
        let whole = self.socket.outbound().len();
        self.socket.send(text);
        let frame = self.socket.outbound().len() - whole;
        self.socket.forget(frame / 2);
        self.closing = true;
    }

    /// Takes it that the client has pinged at an instant.
    pub(super) fn heard(&mut self, now: UnixNanos) {
        self.pinged = now;
    }

    /// Ends the connection without a word.
    pub(super) fn end(&mut self) {
        self.closing = true;
    }

    /// The key that it is logged in with; empty before.
    pub(super) fn key(&self) -> &str {
        &self.key
    }

    /// When the connection ends by itself: without a ping, or by age.
    pub(super) fn deadline(&self, hall: &Hall) -> Option<UnixNanos> {
        let limits = &hall.config.limits;
        let after = |from: UnixNanos, ns: Option<i64>| ns.map(|ns| UnixNanos(from.0 + ns));
        let silent = after(self.pinged, limits.ping_silence_ns);
        let old = after(self.opened, limits.session_age_ns);
        [silent, old].into_iter().flatten().min().filter(|_| !self.closing)
    }

    /// Closes the connection when its deadline has passed.
    pub(super) fn step(&mut self, hall: &Hall, now: UnixNanos) {
        if self.deadline(hall).is_some_and(|deadline| deadline <= now) {
            // The real venue drops the connection without a close frame (code 1006).
            self.closing = true;
        }
    }

    fn message(&mut self, text: &str, hall: &mut Hall, now: UnixNanos) {
        if hall.config.limits.message_rates && self.messages.take(now).is_err() {
            self.error(WsError::OVER_LIMIT, None);
            self.close(CloseCode::Policy);
            return;
        }
        if text == "ping" {
            self.pinged = now;
            self.socket.send("pong");
            return;
        }
        let Ok(Value::Object(mut request)) = serde_json::from_str(text) else {
            return self.error(WsError::ILLEGAL, None);
        };
        let op = request.get("op").and_then(Value::as_str).unwrap_or_default().to_owned();
        if op == "trade" {
            return self.trade(&mut request, hall, now);
        }
        if text.len() > REQUEST_BYTES_MAX {
            return self.error(WsError::ILLEGAL, None);
        }
        let Some(Value::Array(args)) = request.remove("args") else {
            return self.error(WsError::ILLEGAL, None);
        };
        match op.as_str() {
            "login" => self.login(&args, hall, now),
            "subscribe" => self.subscribe(args, hall, now),
            "unsubscribe" => self.unsubscribe(args, hall),
            _ => self.error(WsError::ILLEGAL_OP, None),
        }
    }

    fn login(&mut self, args: &[Value], hall: &Hall, now: UnixNanos) {
        let Some(arg) = args.first().and_then(Value::as_object) else {
            return self.error(WsError::ILLEGAL, None);
        };
        if self.door == Door::Public {
            return self.error(WsError::ILLEGAL_OP, None);
        }
        let text = |name: &str| arg.get(name).and_then(Value::as_str).unwrap_or_default();
        let timestamp = match arg.get("timestamp") {
            Some(Value::Number(number)) => number.to_string(),
            _ => text("timestamp").to_owned(),
        };
        let login = Login {
            key: text("apiKey"),
            passphrase: text("passphrase"),
            timestamp: &timestamp,
            sign: text("sign"),
        };
        let clock = hall.faults.clock(now);
        match auth::login(&hall.venue, &login, self.peer, self.demo, clock) {
            Ok(None) => {}
            Ok(Some(caller)) => {
                self.caller = Some(caller);
                self.key = text("apiKey").to_owned();
                let ack = LoginAck { event: "login", code: 0, msg: "", conn_id: &self.name };
                self.socket.send(json(&ack));
            }
            Err(error) => {
                self.error(error, None);
                self.close(CloseCode::Policy);
            }
        }
    }

    fn subscribe(&mut self, args: Vec<Value>, hall: &mut Hall, now: UnixNanos) {
        if hall.config.limits.message_rates && self.subscriptions.take(now).is_err() {
            return self.error(WsError::TOO_MANY, None);
        }
        for arg in args {
            let Value::Object(arg) = arg else {
                self.error(WsError::ILLEGAL, None);
                continue;
            };
            let topic = match self.topic(&arg, &hall.venue) {
                Ok(topic) => topic,
                Err(error) => {
                    self.error(error, Some(&arg));
                    continue;
                }
            };
            if self.topics.len() >= hall.config.limits.channels_max {
                self.error(WsError::TOO_MANY, Some(&arg));
                continue;
            }
            self.socket.send(self.subscribed("subscribe", &arg));
            if let Some(first) = hall.first_push(topic, now) {
                self.socket.send(first);
            }
            self.topics.insert(topic);
            hall.hub.join(topic, self.id);
        }
    }

    fn unsubscribe(&mut self, args: Vec<Value>, hall: &mut Hall) {
        for arg in args {
            let Value::Object(arg) = arg else {
                self.error(WsError::ILLEGAL, None);
                continue;
            };
            match self.topic(&arg, &hall.venue) {
                Err(error) => self.error(error, Some(&arg)),
                Ok(topic) => {
                    self.topics.remove(&topic);
                    hall.hub.leave(topic, self.id);
                    self.socket.send(self.subscribed("unsubscribe", &arg));
                }
            }
        }
    }

    fn topic(&self, arg: &Map<String, Value>, venue: &Venue) -> Result<Topic, WsError> {
        match (self.door, self.caller) {
            (Door::Public, _) => Topic::public(arg, venue).ok_or(WsError::UNKNOWN_TOPIC),
            (Door::Private, None) => Err(WsError::LOGIN_REQUIRED),
            (Door::Private, Some(caller)) => {
                Topic::private(arg, caller.account).ok_or(WsError::UNKNOWN_TOPIC)
            }
        }
    }

    fn trade(&mut self, request: &mut Map<String, Value>, hall: &mut Hall, now: UnixNanos) {
        let text = |name: &str| match request.get(name) {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Number(number)) => number.to_string(),
            _ => String::new(),
        };
        let (id, topic, category) = (text("id"), text("topic"), text("category"));
        let frame = Frame { id, topic, category, args: request.remove("args") };
        let caller = match (self.door, self.caller) {
            (Door::Private, Some(caller)) => caller,
            _ => {
                self.socket.send(refused(&frame, &reject::LOGIN_REQUIRED));
                return;
            }
        };
        if !hall.config.websocket_orders {
            self.socket.send(refused(&frame, &reject::permission("websocket order")));
            return;
        }
        let Some(act) = hall.faults.request(&frame.topic, Some(caller.account), now) else {
            let answer = worked(frame, caller, &self.name, Half::Neither, hall, now);
            self.socket.send(answer);
            return;
        };
        match act {
            Act::Fail { accepted, .. } => {
                let answer = refused(&frame, &reject::UNKNOWN_ERROR);
                if accepted {
                    worked(frame, caller, &self.name, Half::Neither, hall, now);
                }
                self.socket.send(answer);
            }
            Act::LoseAnswer { accepted } => {
                if accepted {
                    worked(frame, caller, &self.name, Half::Neither, hall, now);
                }
            }
            Act::AnswerLate { ns } => {
                let answer = worked(frame, caller, &self.name, Half::Neither, hall, now);
                let at = UnixNanos(now.0.saturating_add(ns.max(0)));
                hall.late.push(at, Late::Text(self.id, answer.into()));
            }
            Act::AcceptLate { ns } => {
                let at = UnixNanos(now.0.saturating_add(ns.max(0)));
                hall.late.push(at, Late::Frame(self.id, caller, Box::new(frame)));
            }
            Act::PartialBatch | Act::RefuseRows => {
                let half = if act == Act::RefuseRows { Half::Refused } else { Half::Unanswered };
                let answer = worked(frame, caller, &self.name, half, hall, now);
                self.socket.send(answer);
            }
            Act::CancelLate { ns } => {
                let name = &self.name;
                let work = |hall: &mut Hall| worked(frame, caller, name, Half::Neither, hall, now);
                let answer = hall.canceling_late(ns, now, work);
                self.socket.send(answer);
            }
            _ => self.socket.send(refused(&frame, &reject::TOO_MANY_REQUESTS)),
        }
    }

    /// The name that the venue has given to the connection.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    fn error(&mut self, error: WsError, arg: Option<&Map<String, Value>>) {
        let msg = match arg {
            // Recorded: the text repeats the argument, its keys in alphabetical order.
            Some(arg) if error == WsError::UNKNOWN_TOPIC => {
                format!("{} doesn't exist", reject::shown_long(&json(arg)))
            }
            _ => error.msg.to_owned(),
        };
        let code = error.code;
        let ack = ErrorAck { event: "error", code, msg: &msg, conn_id: &self.name };
        self.socket.send(json(&ack));
    }

    fn subscribed(&self, event: &'static str, arg: &Map<String, Value>) -> String {
        json(&SubscribeAck { event, arg, conn_id: &self.name })
    }

    fn close(&mut self, code: CloseCode) {
        self.socket.close(code);
        self.closing = true;
    }
}

/// What is wrong with the second half of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Half {
    /// Nothing.
    Neither,
    /// It is worked and not answered.
    Unanswered,
    /// Each of its elements is refused as too many.
    Refused,
}

/// Works an order frame and gives the answer.
pub(super) fn worked(
    frame: Frame,
    caller: Caller,
    conn: &str,
    half: Half,
    hall: &mut Hall,
    now: UnixNanos,
) -> String {
    let Frame { id, topic, category, args } = frame;
    match traded(caller, &topic, &category, args, half, hall, now) {
        Ok(Traded { mut elements, category, window }) => {
            if half == Half::Unanswered {
                elements.truncate(elements.len().div_ceil(2));
            }
            json(&TradeAck {
                event: "trade",
                id: &id,
                category,
                topic: &topic,
                args: elements,
                code: "0",
                msg: "Success",
                rate_limit: window.map(|window| [window]),
                ts: hall.faults.clock(now).into(),
                conn_id: conn,
            })
        }
        Err(reject) => refused(&Frame { id, topic, category, args: None }, &reject),
    }
}

fn refused(frame: &Frame, reject: &Reject) -> String {
    json(&TradeError {
        event: "error",
        id: &frame.id,
        code: Text::whole(i64::from(reject.code)),
        msg: &reject.message,
    })
}

/// What became of an order frame.
struct Traded {
    elements: Vec<TradeElement>,
    category: Option<&'static str>,
    window: Option<RateLimit>,
}

fn traded(
    caller: Caller,
    topic: &str,
    category: &str,
    args: Option<Value>,
    half: Half,
    hall: &mut Hall,
    now: UnixNanos,
) -> Result<Traded, Reject> {
    let entry = Entry::ALL.iter().find(|entry| entry.topics.contains(&topic));
    let entry = entry.ok_or_else(|| reject::wrong("topic", topic))?;
    if !caller.permissions.trade {
        return Err(reject::permission("uta_trade"));
    }
    if hall.venue.is_frozen(caller.account) {
        return Err(reject::FROZEN);
    }
    if (entry.names_category || !category.is_empty()) && category != CATEGORY_LOWER {
        return Err(reject::category(category));
    }
    let Some(Value::Array(args)) = args else { return Err(reject::empty("args")) };
    match (entry.batch, args.len()) {
        (_, 0) => return Err(reject::empty("args")),
        (false, 2..) => return Err(reject::VERIFICATION),
        (true, n) if n > BATCH_MAX => return Err(reject::BATCH_TOO_LARGE),
        _ => {}
    }
    let place = endpoint::place_of(entry.path);
    let remaining = hall.take_window(place, Subject::Uid(hall.uid(caller.account)), now)?;
    let window = hall.config.limits.endpoint_windows.then(|| RateLimit {
        limit: Text::whole(i64::from(endpoint::ENDPOINTS[place].per_second)),
        remaining: Text::whole(i64::from(remaining)),
    });
    let (mut elements, count) = (Vec::with_capacity(args.len()), args.len());
    for (place, arg) in args.into_iter().enumerate() {
        let params = Params::of_value(arg);
        let refused = entry.batch && half == Half::Refused && place >= count.div_ceil(2);
        let worked = match refused {
            true => Err(reject::TOO_MANY_REQUESTS),
            false => (entry.work)(&mut hall.venue, caller.account, &params, now),
        };
        match worked {
            Ok(ack) => elements.push(TradeElement::of(&ack, &params, entry)),
            Err(reject) if entry.batch => {
                elements.push(TradeElement::refused(&params, &reject));
            }
            Err(reject) => return Err(reject),
        }
    }
    let category = entry.names_category.then_some(CATEGORY_LOWER);
    Ok(Traded { elements, category, window })
}

type Work = fn(&mut Venue, AccountId, &Params, UnixNanos) -> Result<Ack, Reject>;

/// A topic of order entry.
struct Entry {
    /// Its names: the documentation's, and the one that a current client uses (reference §14).
    topics: &'static [&'static str],
    /// Whether `args` may hold more than one element, each answered by itself.
    batch: bool,
    /// Whether the frame must name the category; the answer then repeats it.
    names_category: bool,
    /// The REST endpoint whose window it shares.
    path: &'static str,
    work: Work,
    /// Whether the answer says symbol and time, as that of a placed order does.
    places: bool,
}

impl Entry {
    const ALL: [Self; 6] = [
        Self {
            topics: &["place-order"],
            batch: false,
            names_category: true,
            path: "/api/v3/trade/place-order",
            work: entry::place,
            places: true,
        },
        Self {
            topics: &["cancel-order"],
            batch: false,
            names_category: false,
            path: "/api/v3/trade/cancel-order",
            work: entry::cancel,
            places: false,
        },
        Self {
            topics: &["modify-order"],
            batch: false,
            names_category: false,
            path: "/api/v3/trade/modify-order",
            work: entry::modify,
            places: false,
        },
        Self {
            topics: &["batch-place", "batch-place-order"],
            batch: true,
            names_category: true,
            path: "/api/v3/trade/place-batch",
            work: entry::place,
            places: true,
        },
        Self {
            topics: &["batch-cancel", "batch-cancel-order"],
            batch: true,
            names_category: false,
            path: "/api/v3/trade/cancel-batch",
            work: entry::cancel,
            places: false,
        },
        Self {
            topics: &["batch-modify", "batch-modify-order"],
            batch: true,
            names_category: false,
            path: "/api/v3/trade/batch-modify-order",
            work: entry::modify,
            places: false,
        },
    ];
}

#[derive(Debug, Serialize)]
struct LoginAck<'a> {
    event: &'static str,
    code: u32,
    msg: &'static str,
    #[serde(rename = "connId")]
    conn_id: &'a str,
}

#[derive(Debug, Serialize)]
struct SubscribeAck<'a> {
    event: &'static str,
    arg: &'a Map<String, Value>,
    #[serde(rename = "connId")]
    conn_id: &'a str,
}

#[derive(Debug, Serialize)]
struct ErrorAck<'a> {
    event: &'static str,
    code: u32,
    msg: &'a str,
    #[serde(rename = "connId")]
    conn_id: &'a str,
}

#[derive(Debug, Serialize)]
struct TradeAck<'a> {
    event: &'static str,
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    category: Option<&'static str>,
    topic: &'a str,
    args: Vec<TradeElement>,
    code: &'static str,
    msg: &'static str,
    #[serde(rename = "rateLimit", skip_serializing_if = "Option::is_none")]
    rate_limit: Option<[RateLimit; 1]>,
    ts: Text,
    #[serde(rename = "connId")]
    conn_id: &'a str,
}

/// What is left of the window that an order frame has used.
#[derive(Clone, Copy, Debug, Serialize)]
struct RateLimit {
    limit: Text,
    remaining: Text,
}

/// A refused order frame. Recorded answers have these fields only; clients match them by `id`.
#[derive(Debug, Serialize)]
struct TradeError<'a> {
    event: &'static str,
    id: &'a str,
    code: Text,
    msg: &'a str,
}

/// The answer to one order of a frame; those of a batch have their own code.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct TradeElement {
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    msg: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    symbol: Option<String>,
    order_id: String,
    client_oid: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    c_time: Option<Text>,
}

impl TradeElement {
    fn of(ack: &Ack, params: &Params, entry: &Entry) -> Self {
        let symbol = params.text("symbol").filter(|_| entry.places).map(|s| s.into_owned());
        Self {
            code: entry.batch.then(|| "0".to_owned()),
            msg: entry.batch.then(|| "Success".to_owned()),
            symbol,
            order_id: ack.order.0.to_string(),
            client_oid: ack.client_id.to_string(),
            c_time: (entry.places && !entry.batch).then(|| ack.at.into()),
        }
    }

    fn refused(params: &Params, reject: &Reject) -> Self {
        let repeated =
            |name| params.text(name).map(|text| reject::shown(&text)).unwrap_or_default();
        Self {
            code: Some(reject.code.to_string()),
            msg: Some(reject.message.to_string()),
            symbol: None,
            order_id: repeated("orderId"),
            client_oid: repeated("clientOid"),
            c_time: None,
        }
    }
}

/// The longest request that is not order entry, bytes (reference §10).
const REQUEST_BYTES_MAX: usize = 4_096;
