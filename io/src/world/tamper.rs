//! Tampering: what befalls single messages between the product and the venue.

use std::collections::VecDeque;

use keel_core::units::{MILLIS, MonoNanos, SECONDS};
use keel_sim::fault::Act;

use super::chance::Chance;
use super::fault::{FaultKind, Route};
use super::frames::{Piece, find, server_text};
use super::wire::{Way, WireId};

/// Faults that wait for a message to befall.
pub(super) struct Tamper {
    /// Each with what it draws from.
    armed: Vec<(FaultKind, Chance)>,
    /// Messages held back, until when.
    held: Vec<(MonoNanos, WireId, Vec<u8>)>,
    /// Earlier texts, to be sent again.
    books: Earlier,
    pushes: Earlier,
    /// The venue sends checksums.
    checksum: bool,
    /// What was last asked over REST is which positions there are.
    asks_positions: bool,
    /// The last answer to that was false: two in a row would be no error of one read.
    spoke_falsely: bool,
    /// Each answer to that is false.
    speaks_falsely: bool,
    /// How late an order may come on the socket: its receive window ends then.
    late_ns_max: u64,
}

/// Texts that have come on one connection as the venue said them: what came on another cannot come
/// again on this one, where TLS keeps it out, and the venue itself repeats what it has said here.
#[derive(Default)]
struct Earlier {
    wire: Option<WireId>,
    texts: VecDeque<Vec<u8>>,
}

impl Earlier {
    fn remember(&mut self, wire: WireId, text: &[u8]) {
        if self.wire.replace(wire) != Some(wire) {
            self.texts.clear();
        }
        if self.texts.len() == KEPT_MAX {
            self.texts.pop_front();
        }
        self.texts.push_back(text.to_vec());
    }

    /// More than one has come on this connection.
    fn has_said(&self, wire: WireId) -> bool {
        self.wire == Some(wire) && self.texts.len() > 1
    }

    /// One of them.
    fn pick(&self, chance: &mut Chance) -> Other {
        let text = &self.texts[chance.below(self.texts.len() as u64) as usize];
        (server_text(text), Some(text.clone()), false)
    }
}

/// Bytes that go on instead of a message, the text that they complete, and whether it is one of the
/// venue's in its turn.
pub(super) type Other = (Vec<u8>, Option<Vec<u8>>, bool);

/// What becomes of a message.
pub(super) enum Fate {
    /// It goes on as it is.
    Pass,
    /// It does not arrive, or later.
    Gone(FaultKind),
    /// Others arrive in its place.
    Others(FaultKind, Vec<Other>),
    /// Another arrives in its place, by a fault that was put in before.
    Otherwise(Other),
    /// It goes on; the venue does this with it, a request of this name.
    Worked(FaultKind, Act, String),
    /// It does not arrive, and this answers it.
    Answered(FaultKind, Vec<u8>),
    /// Only this part of it arrives, and the connection ends.
    Broken(FaultKind, Vec<u8>),
}

impl Fate {
    /// The fault that this is; `None` for none.
    pub(super) fn kind(&self) -> Option<FaultKind> {
        match self {
            Self::Pass | Self::Otherwise(_) => None,
            Self::Gone(kind)
            | Self::Worked(kind, ..)
            | Self::Others(kind, _)
            | Self::Answered(kind, _)
            | Self::Broken(kind, _) => Some(*kind),
        }
    }
}

impl Tamper {
    /// Nothing waits. `late_ns_max`: how late an order may come.
    pub(super) fn new(checksum: bool, late_ns_max: u64) -> Self {
        Self {
            armed: Vec::new(),
            held: Vec::new(),
            books: Earlier::default(),
            pushes: Earlier::default(),
            checksum,
            asks_positions: false,
            spoke_falsely: false,
            speaks_falsely: false,
            late_ns_max,
        }
    }

    /// Lets `kind` befall the next message that it can befall.
    pub(super) fn arm(&mut self, kind: FaultKind, chance: Chance) {
        if kind != FaultKind::AlterBook || self.checksum {
            self.armed.push((kind, chance));
        }
    }

    /// Nothing more befalls anything.
    pub(super) fn disarm(&mut self) {
        self.armed.clear();
    }

    /// From now on each answer that tells of a position is false; false when it was so before.
    pub(super) fn speak_falsely(&mut self) -> bool {
        !std::mem::replace(&mut self.speaks_falsely, true)
    }

    /// When a message that is held back goes on.
    pub(super) fn due(&self) -> MonoNanos {
        self.held.iter().map(|(at, ..)| *at).min().unwrap_or(MonoNanos::NEVER)
    }

    /// Messages that go on now.
    pub(super) fn release(&mut self, now: MonoNanos) -> Vec<(WireId, Vec<u8>)> {
        let (due, later) =
            std::mem::take(&mut self.held).into_iter().partition(|(at, ..)| *at <= now);
        self.held = later;
        let due: Vec<(MonoNanos, WireId, Vec<u8>)> = due;
        due.into_iter().map(|(_, id, bytes)| (id, bytes)).collect()
    }

    /// What becomes of a message.
    pub(super) fn decide(
        &mut self,
        id: WireId,
        route: Route,
        way: Way,
        piece: &Piece,
        now: MonoNanos,
    ) -> Fate {
        match (way, route, piece) {
            (Way::Down, Route::Public, Piece::Text { bytes, text }) if is_book(text) => {
                self.book(id, bytes, text)
            }
            (Way::Down, Route::Private, Piece::Text { bytes, text }) => {
                self.private(id, bytes, text)
            }
            (Way::Up, Route::Private, Piece::Text { bytes, text }) => {
                self.request(id, bytes, text, now)
            }
            (_, Route::Rest | Route::Cancel | Route::Order, Piece::Http(bytes)) => {
                if route == Route::Order
                    && way == Way::Up
                    && let Some(chance) = self.take(FaultKind::LateOrder)
                {
                    return self.hold(id, bytes, chance, LATE_REST_NS, now);
                }
                if route == Route::Rest
                    && let Some(other) = self.position(way, bytes)
                {
                    return other;
                }
                self.http(way, bytes)
            }
            _ => Fate::Pass,
        }
    }

    fn book(&mut self, id: WireId, bytes: &[u8], text: &[u8]) -> Fate {
        if self.take(FaultKind::DropBook).is_some() {
            return Fate::Gone(FaultKind::DropBook);
        }
        if self.take(FaultKind::DuplicateBook).is_some() {
            self.books.remember(id, text);
            return Fate::Others(
                FaultKind::DuplicateBook,
                vec![same(bytes, text), same(bytes, text)],
            );
        }
        if self.books.has_said(id)
            && let Some(mut chance) = self.take(FaultKind::ReplayBook)
        {
            let again = self.books.pick(&mut chance);
            self.books.remember(id, text);
            return Fate::Others(FaultKind::ReplayBook, vec![same(bytes, text), again]);
        }
        for kind in [FaultKind::DamageBook, FaultKind::AlterBook] {
            if !self.is_armed(kind) {
                continue;
            }
            let digits = level_digits(text);
            if digits.is_empty() {
                continue;
            }
            let Some(mut chance) = self.take(kind) else { continue };
            let at = chance.pick(&digits);
            let mut changed = text.to_vec();
            changed[at] = match kind {
                FaultKind::AlterBook => b'0' + (changed[at] - b'0' + 1) % 10,
                _ => b'x',
            };
            return Fate::Others(kind, vec![(server_text(&changed), Some(changed), false)]);
        }
        self.books.remember(id, text);
        Fate::Pass
    }

    fn private(&mut self, id: WireId, bytes: &[u8], text: &[u8]) -> Fate {
        if text.starts_with(ACTION) {
            if self.take(FaultKind::DropPush).is_some() {
                return Fate::Gone(FaultKind::DropPush);
            }
            let others = if self.take(FaultKind::DuplicatePush).is_some() {
                let both = vec![same(bytes, text), same(bytes, text)];
                Some(Fate::Others(FaultKind::DuplicatePush, both))
            } else if self.pushes.has_said(id)
                && let Some(mut chance) = self.take(FaultKind::ReplayPush)
            {
                let again = self.pushes.pick(&mut chance);
                Some(Fate::Others(FaultKind::ReplayPush, vec![same(bytes, text), again]))
            } else {
                None
            };
            self.pushes.remember(id, text);
            if let Some(others) = others {
                return others;
            }
        } else if find(text, b"\"event\":\"trade\"").is_some()
            && self.take(FaultKind::DropReply).is_some()
        {
            return Fate::Gone(FaultKind::DropReply);
        }
        Fate::Pass
    }

    fn request(&mut self, id: WireId, bytes: &[u8], text: &[u8], now: MonoNanos) -> Fate {
        if find(text, PLACE).is_some() {
            if self.take(FaultKind::DropOrder).is_some() {
                return Fate::Gone(FaultKind::DropOrder);
            }
            if let Some(chance) = self.take(FaultKind::LateOrder) {
                return self.hold(id, bytes, chance, self.late_ns_max, now);
            }
        } else if find(text, CANCEL).is_some() {
            if self.take(FaultKind::DropCancel).is_some() {
                return Fate::Gone(FaultKind::DropCancel);
            }
            if let Some(mut chance) = self.take(FaultKind::LateCancel) {
                let most_ns = chance.pick(&CANCEL_LATE_NS);
                let ns = chance.between(20 * MILLIS, most_ns) as i64;
                return worked(FaultKind::LateCancel, Act::CancelLate { ns }, text);
            }
        }
        self.answered_otherwise(text).unwrap_or(Fate::Pass)
    }

    /// A request on the private socket to which the venue says something else than it would.
    fn answered_otherwise(&mut self, text: &[u8]) -> Option<Fate> {
        find(text, TRADE)?;
        let fail = |accepted| Act::Fail { status: 500, accepted };
        let kinds = [
            (FaultKind::ErrorDone, fail(true)),
            (FaultKind::ErrorLost, fail(false)),
            (FaultKind::TooManyOrders, Act::TooMany),
        ];
        for (kind, act) in kinds {
            if self.take(kind).is_some() {
                return Some(worked(kind, act, text));
            }
        }
        let is_batch = find(text, b"\"topic\":\"batch-").is_some() && find(text, b"},{").is_some();
        let (kind, act) = is_batch.then(|| self.take_half()).flatten()?;
        Some(worked(kind, act, text))
    }

    /// What is wrong with the second half of a batch.
    fn take_half(&mut self) -> Option<(FaultKind, Act)> {
        HALVES.into_iter().find(|(kind, _)| self.take(*kind).is_some())
    }

    /// An order goes on later, as long as the venue takes it.
    fn hold(
        &mut self,
        id: WireId,
        bytes: &[u8],
        mut chance: Chance,
        most_ns: u64,
        now: MonoNanos,
    ) -> Fate {
        let late_ns = chance.between(50 * MILLIS, most_ns);
        self.held.push((now.after(late_ns), id, bytes.to_vec()));
        Fate::Gone(FaultKind::LateOrder)
    }

    fn http(&mut self, way: Way, bytes: &[u8]) -> Fate {
        if way == Way::Up {
            for (kind, answer) in INSTEAD {
                if self.take(kind).is_some() {
                    return Fate::Answered(kind, answer.to_vec());
                }
            }
            let name = BATCHES.into_iter().find(|name| bytes.starts_with(name.as_bytes()));
            if let Some(path) = name.filter(|_| find(bytes, b"},{").is_some())
                && let Some((kind, act)) = self.take_half()
            {
                return Fate::Worked(kind, act, path.trim_start_matches("POST ").to_owned());
            }
            return Fate::Pass;
        }
        for (kind, answer) in AFTER {
            if self.take(kind).is_some() {
                return Fate::Others(kind, vec![(answer.to_vec(), None, false)]);
            }
        }
        if self.take(FaultKind::NoAnswer).is_some() {
            return Fate::Gone(FaultKind::NoAnswer);
        }
        if let Some(mut chance) = self.take(FaultKind::CutAnswer) {
            let part = chance.between(1, bytes.len() as u64 - 1) as usize;
            return Fate::Broken(FaultKind::CutAnswer, bytes[..part].to_vec());
        }
        Fate::Pass
    }

    /// Another answer to the question which positions there are; `None` for any other, and where
    /// there are none to speak falsely of.
    fn position(&mut self, way: Way, bytes: &[u8]) -> Option<Fate> {
        if way == Way::Up {
            self.asks_positions = bytes.starts_with(POSITIONS);
            return None;
        }
        if !self.asks_positions {
            return None;
        }
        let larger = with_larger_position(bytes)?;
        let other = |text: Vec<u8>| (text.clone(), Some(text), false);
        if self.speaks_falsely {
            return Some(Fate::Otherwise(other(larger)));
        }
        if std::mem::take(&mut self.spoke_falsely) {
            return None;
        }
        let mut chance = self.take(FaultKind::FalsePosition)?;
        self.spoke_falsely = true;
        let text = if chance.one_in(2) { with_no_position(bytes)? } else { larger };
        Some(Fate::Others(FaultKind::FalsePosition, vec![other(text)]))
    }

    fn is_armed(&self, kind: FaultKind) -> bool {
        self.armed.iter().any(|&(armed, _)| armed == kind)
    }

    fn take(&mut self, kind: FaultKind) -> Option<Chance> {
        let place = self.armed.iter().position(|&(armed, _)| armed == kind)?;
        Some(self.armed.remove(place).1)
    }
}

/// A request on the private socket goes on, and the venue does `act` with it.
fn worked(kind: FaultKind, act: Act, text: &[u8]) -> Fate {
    let topic = find(text, TOPIC).map_or(&[][..], |at| &text[at + TOPIC.len()..]);
    let end = topic.iter().position(|&byte| byte == b'"').unwrap_or(0);
    Fate::Worked(kind, act, String::from_utf8_lossy(&topic[..end]).into_owned())
}

fn same(bytes: &[u8], text: &[u8]) -> Other {
    (bytes.to_vec(), Some(text.to_vec()), true)
}

/// True for data of the books topic.
fn is_book(text: &[u8]) -> bool {
    text.starts_with(ACTION) && find(&text[..text.len().min(160)], b"\"topic\":\"books\"").is_some()
}

/// Where the digits of levels stand that a checksum covers: what is changed behind them cannot be
/// found out.
fn level_digits(text: &[u8]) -> Vec<usize> {
    let Some(begin) = find(text, b"\"data\"") else { return Vec::new() };
    let end = find(text, b"\"seq\"").unwrap_or(begin).max(begin);
    let mut level = 0;
    let digits = (begin..end).filter(|&at| {
        match &text[at..end.min(at + 3)] {
            [b'[', b'[', _] => level = 1,
            [b'[', b'"', _] if text[at - 1] == b',' => level += 1,
            _ => {}
        }
        level <= CHECKSUM_LEVELS && text[at].is_ascii_digit()
    });
    digits.collect()
}

/// The same answer with one digit more in the size of the first position.
fn with_larger_position(answer: &[u8]) -> Option<Vec<u8>> {
    let total = find(answer, TOTAL)? + TOTAL.len();
    let mut body = answer[find(answer, END_OF_HEAD)? + END_OF_HEAD.len()..].to_vec();
    let at = total.checked_sub(answer.len() - body.len())?;
    body.insert(at, b'1');
    Some(answered(&body))
}

/// The same answer with an empty list.
fn with_no_position(answer: &[u8]) -> Option<Vec<u8>> {
    let body = &answer[find(answer, END_OF_HEAD)? + END_OF_HEAD.len()..];
    let mut body = body[..find(body, DATA)?].to_vec();
    body.extend_from_slice(b"\"data\":{\"list\":null}}");
    Some(answered(&body))
}

/// An answer over HTTP that says `body`.
fn answered(body: &[u8]) -> Vec<u8> {
    let mut answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
    answer += std::str::from_utf8(body).expect("JSON of the venue's");
    answer.into_bytes()
}

const POSITIONS: &[u8] = b"GET /api/v3/position/current-position";
const TOTAL: &[u8] = b"\"total\":\"";
const DATA: &[u8] = b"\"data\":";
const END_OF_HEAD: &[u8] = b"\r\n\r\n";
/// How data begins, as against answers.
const ACTION: &[u8] = b"{\"action\"";
const PLACE: &[u8] = b"\"topic\":\"place-order\"";
const CANCEL: &[u8] = b"\"cancel";
const TRADE: &[u8] = b"\"op\":\"trade\"";
const TOPIC: &[u8] = b"\"topic\":\"";
/// Requests over REST that speak of several orders.
const BATCHES: [&str; 2] = ["POST /api/v3/trade/place-batch", "POST /api/v3/trade/cancel-batch"];
/// What may be wrong with the second half of a batch.
const HALVES: [(FaultKind, Act); 2] =
    [(FaultKind::PartialBatch, Act::PartialBatch), (FaultKind::RefusedRows, Act::RefuseRows)];
/// What a request may be answered with instead of being worked.
const INSTEAD: [(FaultKind, &[u8]); 4] = [
    (FaultKind::BadGatewayLost, BAD_GATEWAY),
    (FaultKind::UnavailableLost, UNAVAILABLE),
    (FaultKind::GatewayTimeoutLost, GATEWAY_TIMEOUT),
    (FaultKind::TooManyRequests, TOO_MANY),
];
/// What a request may be answered with though it was worked.
const AFTER: [(FaultKind, &[u8]); 3] = [
    (FaultKind::BadGatewayDone, BAD_GATEWAY),
    (FaultKind::UnavailableDone, UNAVAILABLE),
    (FaultKind::GatewayTimeoutDone, GATEWAY_TIMEOUT),
];
const UNAVAILABLE: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n";
const GATEWAY_TIMEOUT: &[u8] = b"HTTP/1.1 504 Gateway Timeout\r\nContent-Length: 0\r\n\r\n";
const TOO_MANY: &[u8] = b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n\r\n";
const BAD_GATEWAY: &[u8] = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n";
/// An order rests at most so long beyond the answer to its cancel: one of these.
const CANCEL_LATE_NS: [u64; 3] = [600 * MILLIS, 5 * SECONDS, 60 * SECONDS];
/// An order over REST comes at most so late: its signature holds for 30 s.
const LATE_REST_NS: u64 = 29 * SECONDS;
/// Levels of a side that the venue's checksum is taken over.
const CHECKSUM_LEVELS: usize = 25;
/// Texts that are remembered.
const KEPT_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    /// A connection's first book was lost, the next text had one of the connection before told
    /// after it, and the quotes made by that book were called a violation: seed 16024338.
    #[test]
    fn what_came_on_another_connection_does_not_come_again() {
        let mut earlier = Earlier::default();
        let [before, now] = [WireId(0), WireId(1)];
        for text in [b"snapshot", b"update 1"] {
            earlier.remember(before, text);
        }
        assert!(earlier.has_said(before) && !earlier.has_said(now));
        earlier.remember(now, b"update 2");
        assert!(!earlier.has_said(now), "one alone is what comes now");
        earlier.remember(now, b"update 3");
        let picked = earlier.pick(&mut Chance::new(1, 1)).1.expect("a text");
        assert!(picked.starts_with(b"update"), "{picked:?}");
    }

    /// A snapshot whose 133rd ask was changed on its way was rightly taken for a book, and the
    /// campaign called it a quote without one: the life of seed 54.
    #[test]
    fn what_is_changed_of_a_book_is_what_its_checksum_covers() {
        let level = |n: usize| format!("[\"{}\",\"7\"]", 100 + n);
        let side: Vec<String> = (0..30).map(level).collect();
        let side = side.join(",");
        let text = format!("{{\"data\":[{{\"a\":[{side}],\"b\":[{side}],\"seq\":9}}]}}");
        let digits = level_digits(text.as_bytes());
        assert_eq!(digits.len(), 2 * 25 * 4, "three of a price and one of a size");
        let changed: String = digits.iter().map(|&at| char::from(text.as_bytes()[at])).collect();
        assert!(changed.starts_with("1007") && changed.ends_with("1247"), "{changed}");
    }

    #[test]
    fn a_batch_is_answered_in_part_and_a_request_of_one_order_waits_for_none() {
        let mut tamper = Tamper::new(false, SECONDS);
        tamper.arm(FaultKind::PartialBatch, Chance::new(1, 1));
        let mut on_socket = |topic: &str, orders: &str| {
            let text = format!(r#"{{"op":"trade","topic":"{topic}","args":[{orders}]}}"#);
            tamper.request(WireId(1), b"", text.as_bytes(), MonoNanos::ZERO)
        };
        assert!(matches!(on_socket("batch-place", "{}"), Fate::Pass), "a batch of one");
        assert!(matches!(on_socket("place-order", "{},{}"), Fate::Pass), "no batch");
        let fate = on_socket("batch-cancel", "{},{}");
        let Fate::Worked(kind, act, name) = fate else { panic!("it goes on as it is") };
        assert_eq!((kind, act), (FaultKind::PartialBatch, Act::PartialBatch));
        assert_eq!(name, "batch-cancel");
        assert!(matches!(on_socket("batch-place", "{},{}"), Fate::Pass), "once");
        tamper.arm(FaultKind::RefusedRows, Chance::new(1, 1));
        let request = b"POST /api/v3/trade/place-batch HTTP/1.1\r\n\r\n[{},{}]";
        let Fate::Worked(kind, act, name) = tamper.http(Way::Up, request) else {
            panic!("over REST")
        };
        assert_eq!((kind, act), (FaultKind::RefusedRows, Act::RefuseRows));
        assert_eq!(name, "/api/v3/trade/place-batch");
    }

    #[test]
    fn an_answer_tells_of_none_and_of_a_larger_position_and_keeps_its_length_true() {
        let body = r#"{"code":"00000","data":{"list":[{"symbol":"A","total":"0.02"}]}}"#;
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        for (other, says) in [
            (with_larger_position(answer.as_bytes()), r#""total":"10.02""#),
            (with_no_position(answer.as_bytes()), r#""data":{"list":null}}"#),
        ] {
            let other = String::from_utf8(other.expect("an answer")).expect("a text");
            let (head, body) = other.split_once("\r\n\r\n").expect("a head");
            assert!(head.ends_with(&format!("Content-Length: {}", body.len())), "{head}");
            assert!(body.contains(says), "{body}");
        }
        let flat = b"HTTP/1.1 200 OK\r\n\r\n{\"data\":{\"list\":null}}";
        assert_eq!(with_larger_position(flat), None, "nothing to speak falsely of");
    }
}
