//! HTTP/1.1, client side, without a socket: one request in flight, nothing retried, no redirect
//! followed.
//!
//! [`Client`] writes a [`Request`], reads its [`Response`] and keeps the connection for the next
//! one where the server allows. What a server may do wrong is refused with an [`HttpError`];
//! whether the request may have reached it is told with it ([`Failure::maybe_sent`]), because the
//! outcome of an order then is unknown.

use keel_core::units::{MonoNanos, SECONDS};

use super::timer::Deadlines;
use super::{ByteQueue, NoRoom, Protocol};

/// The client's side of one connection and, in turn, all its requests.
#[derive(Debug)]
pub struct Client {
    state: State,
    out: ByteQueue,
    input: ByteQueue,
    body: Vec<u8>,
    body_bytes_max: usize,
    head: Head,
    deadlines: Deadlines<TIMERS>,
    maybe_sent: bool,
    ended: Option<bool>,
    reusable: bool,
    interim: u32,
    head_ns_max: u64,
}

impl Client {
    /// A client whose responses may have bodies of up to `body_bytes_max` bytes.
    pub fn new(body_bytes_max: usize) -> Self {
        Self {
            state: State::Idle,
            out: ByteQueue::new(REQUEST_BYTES_MAX),
            input: ByteQueue::new(HEAD_BYTES_MAX),
            body: Vec::with_capacity(body_bytes_max),
            body_bytes_max,
            head: Head::default(),
            deadlines: Deadlines::new(),
            maybe_sent: false,
            ended: None,
            reusable: true,
            interim: 0,
            head_ns_max: HEAD_NS_MAX,
        }
    }

    /// The same, waiting for a response's head no longer than `head_ns_max`, which is at most
    /// [`HEAD_NS_MAX`].
    ///
    /// # Panics
    /// When it is more.
    pub fn with_patience(self, head_ns_max: u64) -> Self {
        assert!(head_ns_max <= HEAD_NS_MAX, "a response has {HEAD_NS_MAX} ns at most");
        Self { head_ns_max, ..self }
    }

    /// Forgets the old connection and what was in flight on it, for a new one.
    pub fn reset(&mut self) {
        self.state = State::Idle;
        self.out.clear();
        self.input.clear();
        self.body.clear();
        self.head = Head::default();
        self.deadlines.clear_all();
        self.maybe_sent = false;
        self.ended = None;
        self.reusable = true;
        self.interim = 0;
    }

    /// Begins a request. The deadline for the response's head runs from now, so begin it on a
    /// connection that is open, or hold the connection's own deadline to less.
    pub fn request(&mut self, request: &Request<'_>, now: MonoNanos) -> Result<(), RequestError> {
        if self.state != State::Idle {
            return Err(RequestError::Busy);
        }
        if !self.is_reusable() {
            return Err(RequestError::Closed);
        }
        request.write(&mut self.out)?;
        self.body.clear();
        self.head = Head::default();
        self.maybe_sent = false;
        self.interim = 0;
        self.state = State::Head;
        self.deadlines.set(HEAD_TIMER, now.after(self.head_ns_max));
        Ok(())
    }

    /// The response, or why there is none; `None` while it is awaited or nothing was asked. It
    /// stays until [`Client::finish`].
    pub fn outcome(&self) -> Option<Result<Response<'_>, Failure>> {
        match self.state {
            State::Done => Some(Ok(Response { head: self.head, body: &self.body })),
            State::Failed(error) => Some(Err(Failure { error, maybe_sent: self.maybe_sent })),
            State::Idle | State::Head | State::Body(_) => None,
        }
    }

    /// Drops the outcome, so that the next request may begin when the connection is reusable.
    pub fn finish(&mut self) {
        if matches!(self.state, State::Done | State::Failed(_)) {
            self.state = State::Idle;
        }
    }

    /// True when nothing is in flight and no outcome waits.
    pub fn is_idle(&self) -> bool {
        self.state == State::Idle
    }

    /// False when this connection can carry no further request: open another and
    /// [`Client::reset`].
    pub fn is_reusable(&self) -> bool {
        self.reusable && self.ended.is_none()
    }

    /// The time at which [`Client::step`] has something to do.
    pub fn deadline(&self) -> MonoNanos {
        self.deadlines.next()
    }

    /// Gives up what is overdue at `now`.
    pub fn step(&mut self, now: MonoNanos) {
        match self.deadlines.expire(now) {
            Some(HEAD_TIMER) => self.fail(HttpError::HeadTimeout),
            Some(_) => self.fail(HttpError::BodyTimeout),
            None => {}
        }
    }

    /// Reads as far as the bytes go.
    fn advance(&mut self, now: MonoNanos) {
        loop {
            let step = match self.state {
                State::Head => self.read_head(now),
                State::Body(framing) => self.read_body(framing),
                State::Idle | State::Done => self.refuse_unasked(),
                State::Failed(_) => {
                    self.input.clear();
                    Ok(false)
                }
            };
            match step {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => self.fail(error),
            }
        }
        if let Some(clean) = self.ended {
            self.end(clean);
        }
    }

    /// Bytes that answer nothing: the next response could be taken for another's.
    fn refuse_unasked(&mut self) -> Result<bool, HttpError> {
        if !self.input.is_empty() {
            self.input.clear();
            self.reusable = false;
        }
        Ok(false)
    }

    fn read_head(&mut self, now: MonoNanos) -> Result<bool, HttpError> {
        let Some((head, bytes, framing)) = parse_head(self.input.pending())? else {
            let full = self.input.len() == HEAD_BYTES_MAX;
            return if full { Err(HttpError::HeadTooLong) } else { Ok(false) };
        };
        self.input.consume(bytes);
        if (100..200).contains(&head.status) {
            self.interim += 1;
            return match head.status {
                101 => Err(HttpError::Upgraded),
                _ if self.interim > INTERIM_MAX => Err(HttpError::TooManyInterim),
                _ => Ok(true),
            };
        }
        if let Framing::Length(length) = framing
            && length > self.body_bytes_max as u64
        {
            return Err(HttpError::BodyTooLong);
        }
        self.head = head;
        self.reusable &= head.keep_alive && framing != Framing::UntilEnd;
        self.deadlines.clear(HEAD_TIMER);
        self.deadlines.set(BODY_TIMER, now.after(BODY_NS_MAX));
        self.state = State::Body(framing);
        Ok(true)
    }

    /// Takes in body; true when something has changed and reading may go on.
    fn read_body(&mut self, framing: Framing) -> Result<bool, HttpError> {
        let next = match framing {
            Framing::Length(0) => {
                self.done();
                return Ok(true);
            }
            Framing::Length(left) => Framing::Length(left - self.take_body(left)?),
            Framing::UntilEnd => {
                self.take_body(u64::MAX)?;
                Framing::UntilEnd
            }
            Framing::Chunk(0) => match self.line()? {
                Some(line) if line.is_empty() => Framing::ChunkSize,
                Some(_) => return Err(HttpError::BadChunk),
                None => return Ok(false),
            },
            Framing::Chunk(left) => Framing::Chunk(left - self.take_body(left)?),
            Framing::ChunkSize => {
                let Some(line) = self.line()? else { return Ok(false) };
                match chunk_size(&line)? {
                    0 => Framing::Trailer(0),
                    size if size > (self.body_bytes_max - self.body.len()) as u64 => {
                        return Err(HttpError::BodyTooLong);
                    }
                    size => Framing::Chunk(size),
                }
            }
            Framing::Trailer(lines) => match self.line()? {
                Some(line) if line.is_empty() => {
                    self.done();
                    return Ok(true);
                }
                Some(_) if lines == HEADERS_MAX as u32 => return Err(HttpError::TooManyHeaders),
                Some(_) => Framing::Trailer(lines + 1),
                None => return Ok(false),
            },
        };
        self.state = State::Body(next);
        Ok(next != framing)
    }

    fn take_body(&mut self, most: u64) -> Result<u64, HttpError> {
        let pending = self.input.pending();
        let taken = pending.len().min(usize::try_from(most).unwrap_or(usize::MAX));
        if taken > self.body_bytes_max - self.body.len() {
            return Err(HttpError::BodyTooLong);
        }
        self.body.extend_from_slice(&pending[..taken]);
        self.input.consume(taken);
        Ok(taken as u64)
    }

    /// Takes one line of a chunked body, without its end.
    fn line(&mut self) -> Result<Option<Line>, HttpError> {
        let pending = self.input.pending();
        let Some(end) = pending.iter().position(|&byte| byte == b'\n') else {
            let long = pending.len() >= CHUNK_LINE_BYTES_MAX;
            return if long { Err(HttpError::BadChunk) } else { Ok(None) };
        };
        if end == 0 || pending[end - 1] != b'\r' || end > CHUNK_LINE_BYTES_MAX {
            return Err(HttpError::BadChunk);
        }
        let mut line = Line { bytes: [0; CHUNK_LINE_BYTES_MAX], length: end - 1 };
        line.bytes[..end - 1].copy_from_slice(&pending[..end - 1]);
        self.input.consume(end + 1);
        Ok(Some(line))
    }

    fn done(&mut self) {
        self.deadlines.clear_all();
        self.state = State::Done;
        if !self.out.is_empty() {
            // Answered before it was heard out: the rest of the request would begin the next one.
            self.out.clear();
            self.reusable = false;
        }
    }

    fn fail(&mut self, error: HttpError) {
        self.deadlines.clear_all();
        self.out.clear();
        self.input.clear();
        self.reusable = false;
        self.state = State::Failed(error);
    }

    /// Draws the consequence of a stream that has ended, after everything before that was read.
    fn end(&mut self, clean: bool) {
        match self.state {
            State::Body(Framing::UntilEnd) if clean => self.done(),
            State::Head if self.input.is_empty() && self.interim == 0 => {
                self.fail(HttpError::ClosedBeforeResponse);
            }
            State::Head | State::Body(_) => self.fail(HttpError::Truncated),
            State::Idle | State::Done | State::Failed(_) => {}
        }
    }
}

impl Protocol for Client {
    fn spare(&mut self) -> &mut [u8] {
        let room = self.input.room();
        self.input.reserve(room).expect("all the room there is")
    }

    fn received(&mut self, bytes: usize, now: MonoNanos) {
        self.input.commit(bytes);
        self.advance(now);
    }

    fn transmit(&mut self) -> &[u8] {
        self.out.pending()
    }

    fn sent(&mut self, bytes: usize, _now: MonoNanos) {
        self.maybe_sent |= bytes > 0;
        self.out.consume(bytes);
    }

    fn closed(&mut self, clean: bool, now: MonoNanos) {
        self.ended = Some(clean);
        self.advance(now);
    }
}

/// A request. Everything is borrowed; nothing is encoded: path and query stand as they go out, and
/// as they are signed.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// GET or POST.
    pub method: Method,
    /// Host, with its port where that is not 443.
    pub host: &'a str,
    /// Path, beginning with `/`.
    pub path: &'a str,
    /// Query without its `?`; empty for none.
    pub query: &'a str,
    /// Further headers.
    pub headers: &'a [(&'a str, &'a str)],
    /// Body, JSON; empty for none.
    pub body: &'a [u8],
}

impl Request<'_> {
    /// Appends the request to `out`, whole or not at all.
    pub fn write(&self, out: &mut ByteQueue) -> Result<(), RequestError> {
        self.check()?;
        let mut length = itoa::Buffer::new();
        let length = length.format(self.body.len());
        let method = match self.method {
            Method::Get => "GET ",
            Method::Post => "POST ",
        };
        let question = if self.query.is_empty() { "" } else { "?" };
        let start = [method, self.path, question, self.query, " HTTP/1.1\r\nHost: ", self.host];
        let fixed = ["\r\nAccept: application/json\r\nAccept-Encoding: identity\r\n"];
        let body = match self.method {
            Method::Get if self.body.is_empty() => ["", "", ""],
            _ => ["Content-Type: application/json\r\nContent-Length: ", length, "\r\n"],
        };
        let headers = self.headers.iter().flat_map(|(name, value)| [*name, ": ", *value, "\r\n"]);
        let parts = start.into_iter().chain(fixed).chain(body).chain(headers).chain(["\r\n"]);
        let bytes: usize = parts.clone().map(str::len).sum::<usize>() + self.body.len();
        let mut to = out.reserve(bytes).map_err(|NoRoom| RequestError::TooLong)?;
        for part in parts.map(str::as_bytes).chain([self.body]) {
            let (head, rest) = to.split_at_mut(part.len());
            head.copy_from_slice(part);
            to = rest;
        }
        out.commit(bytes);
        Ok(())
    }

    /// Refuses what would end a line early or begin another header.
    fn check(&self) -> Result<(), RequestError> {
        let target = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
        let named = |name: &str| {
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        };
        let valued = |value: &str| value.bytes().all(|b| b == b' ' || b.is_ascii_graphic());
        let reserved = |name: &str| RESERVED_HEADERS.iter().any(|r| r.eq_ignore_ascii_case(name));
        let whole = self.path.starts_with('/')
            && target(self.path)
            && !self.path.contains('?')
            && target(self.query)
            && !self.host.is_empty()
            && target(self.host);
        let headed = self
            .headers
            .iter()
            .all(|(name, value)| named(name) && valued(value) && !reserved(name));
        if whole && headed { Ok(()) } else { Err(RequestError::Malformed) }
    }
}

/// The methods the venue has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Asks.
    Get,
    /// Changes something.
    Post,
}

/// A whole response.
#[derive(Clone, Copy, Debug)]
pub struct Response<'a> {
    head: Head,
    body: &'a [u8],
}

impl<'a> Response<'a> {
    /// The status, 200 to 999. The venue decides by the `code` of the body, whatever the status.
    pub fn status(&self) -> u16 {
        self.head.status
    }

    /// The body, with chunks joined.
    pub fn body(&self) -> &'a [u8] {
        self.body
    }

    /// `x-mbx-used-remain-limit`: calls that remain for this endpoint in the running second.
    pub fn remaining_calls(&self) -> Option<u32> {
        self.head.remaining_calls
    }

    /// `retry-after` in seconds, when it is given as a number.
    pub fn retry_after_s(&self) -> Option<u32> {
        self.head.retry_after_s
    }
}

/// Why there is no response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What went wrong.
    pub error: HttpError,
    /// True when a part of the request may have reached the server: what it asked for may have been
    /// done.
    pub maybe_sent: bool,
}

/// What went wrong with a response. The connection cannot be used further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpError {
    /// No whole head within [`HEAD_NS_MAX`], or less where the client is less patient.
    HeadTimeout,
    /// No whole body within [`BODY_NS_MAX`].
    BodyTimeout,
    /// The head is not HTTP/1.
    BadHead,
    /// The head is longer than [`HEAD_BYTES_MAX`].
    HeadTooLong,
    /// More than [`HEADERS_MAX`] headers.
    TooManyHeaders,
    /// `Content-Length` twice, not a number, or beside `Transfer-Encoding`.
    BadLength,
    /// A transfer or content encoding other than `chunked` or `identity`.
    UnknownEncoding,
    /// The body is longer than this client takes.
    BodyTooLong,
    /// A chunk's size or end is wrong.
    BadChunk,
    /// The server switched protocols unasked.
    Upgraded,
    /// More than [`INTERIM_MAX`] interim (1xx) responses.
    TooManyInterim,
    /// The stream ended before the first byte of a response.
    ClosedBeforeResponse,
    /// The stream ended inside a response.
    Truncated,
}

/// Why a request was not begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestError {
    /// One is in flight, or its outcome waits to be finished.
    Busy,
    /// The connection carries no further request.
    Closed,
    /// Longer than [`REQUEST_BYTES_MAX`].
    TooLong,
    /// Path, query, host or a header holds what cannot stand there.
    Malformed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Idle,
    Head,
    Body(Framing),
    Done,
    Failed(HttpError),
}

/// How the body's end is found. Numbers are bytes, or lines, still to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    Length(u64),
    UntilEnd,
    ChunkSize,
    Chunk(u64),
    Trailer(u32),
}

#[derive(Clone, Copy, Debug, Default)]
struct Head {
    status: u16,
    keep_alive: bool,
    remaining_calls: Option<u32>,
    retry_after_s: Option<u32>,
}

struct Line {
    bytes: [u8; CHUNK_LINE_BYTES_MAX],
    length: usize,
}

impl std::ops::Deref for Line {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

/// The head at the begin of `bytes`, its length and how its body ends; `None` when it is not whole.
fn parse_head(bytes: &[u8]) -> Result<Option<(Head, usize, Framing)>, HttpError> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    let length = match response.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(HttpError::TooManyHeaders),
        Err(_) => return Err(HttpError::BadHead),
    };
    let status = response.code.ok_or(HttpError::BadHead)?;
    let mut head = Head { status, keep_alive: response.version == Some(1), ..Head::default() };
    let mut content_length = None;
    let mut chunked = false;
    for header in response.headers.iter() {
        let (name, value) = (header.name, header.value.trim_ascii());
        if name.eq_ignore_ascii_case("content-length") {
            let length = digits(value).ok_or(HttpError::BadLength)?;
            if content_length.replace(length).is_some() {
                return Err(HttpError::BadLength);
            }
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            if chunked || !value.eq_ignore_ascii_case(b"chunked") {
                return Err(HttpError::UnknownEncoding);
            }
            chunked = true;
        } else if name.eq_ignore_ascii_case("content-encoding") {
            if !value.eq_ignore_ascii_case(b"identity") {
                return Err(HttpError::UnknownEncoding);
            }
        } else if name.eq_ignore_ascii_case("connection") {
            let mut tokens = value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
            head.keep_alive &= !tokens.any(|token| token.eq_ignore_ascii_case(b"close"));
        } else if name.eq_ignore_ascii_case("x-mbx-used-remain-limit") {
            head.remaining_calls = digits(value).and_then(|n| u32::try_from(n).ok());
        } else if name.eq_ignore_ascii_case("retry-after") {
            head.retry_after_s = digits(value).and_then(|n| u32::try_from(n).ok());
        }
    }
    let framing = match (status, content_length, chunked) {
        (_, Some(_), true) => return Err(HttpError::BadLength),
        (100..=199 | 204 | 304, _, _) => Framing::Length(0),
        (_, None, true) => Framing::ChunkSize,
        (_, Some(length), false) => Framing::Length(length),
        (_, None, false) => Framing::UntilEnd,
    };
    Ok(Some((head, length, framing)))
}

/// A number of up to 18 decimal digits.
fn digits(text: &[u8]) -> Option<u64> {
    if text.is_empty() || text.len() > 18 || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(text.iter().fold(0, |number, digit| number * 10 + u64::from(digit - b'0')))
}

/// The size in a chunk's first line; extensions are passed over.
fn chunk_size(line: &[u8]) -> Result<u64, HttpError> {
    let size = line.split(|&byte| byte == b';').next().unwrap_or(line).trim_ascii_end();
    if size.is_empty() || size.len() > 8 || !size.iter().all(u8::is_ascii_hexdigit) {
        return Err(HttpError::BadChunk);
    }
    let text = std::str::from_utf8(size).map_err(|_| HttpError::BadChunk)?;
    u64::from_str_radix(text, 16).map_err(|_| HttpError::BadChunk)
}

/// How long the whole head of a response may take from its request's begin.
pub const HEAD_NS_MAX: u64 = 2 * SECONDS;
/// How long the whole body may take from the head's end.
pub const BODY_NS_MAX: u64 = 3 * SECONDS;
/// Bytes of a response's head.
pub const HEAD_BYTES_MAX: usize = 16 << 10;
/// Headers of a response, and lines of its trailer.
pub const HEADERS_MAX: usize = 64;
/// Interim responses before the final one.
pub const INTERIM_MAX: u32 = 8;
/// Bytes of a request with its body.
pub const REQUEST_BYTES_MAX: usize = 64 << 10;
/// The body limit for most responses.
pub const BODY_BYTES_MAX: usize = 1 << 20;
/// The body limit for pages of fills.
pub const FILLS_BODY_BYTES_MAX: usize = 4 << 20;

const TIMERS: usize = 2;
const HEAD_TIMER: usize = 0;
const BODY_TIMER: usize = 1;
const CHUNK_LINE_BYTES_MAX: usize = 256;
const RESERVED_HEADERS: [&str; 6] =
    ["host", "content-length", "transfer-encoding", "content-type", "accept", "accept-encoding"];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::receive;
    use proptest::prelude::*;

    const GET: Request<'static> = Request {
        method: Method::Get,
        host: "api.example",
        path: "/api/v3/market/instruments",
        query: "category=USDT-FUTURES",
        headers: &[],
        body: b"",
    };

    fn asked(body_bytes_max: usize) -> Client {
        let mut client = Client::new(body_bytes_max);
        client.request(&GET, NOW).unwrap();
        let count = client.transmit().len();
        client.sent(count, NOW);
        client
    }

    fn feed(client: &mut Client, mut bytes: &[u8], size: usize) {
        while !bytes.is_empty() {
            let take = bytes.len().min(size);
            let taken = receive(client, &bytes[..take], NOW);
            assert!(taken > 0, "a client always takes bytes");
            bytes = &bytes[taken..];
        }
    }

    type Seen = Result<(u16, Vec<u8>), HttpError>;

    fn seen(client: &Client) -> Option<Seen> {
        let outcome = client.outcome()?;
        Some(outcome.map(|r| (r.status(), r.body().to_vec())).map_err(|failure| failure.error))
    }

    /// What becomes of `bytes` and then the end of the stream, whole and byte by byte.
    fn ended(bytes: &[u8], clean: bool) -> Seen {
        let mut results = [1, usize::MAX].map(|size| {
            let mut client = asked(64);
            feed(&mut client, bytes, size);
            client.closed(clean, NOW);
            seen(&client).expect("an ended stream has an outcome")
        });
        assert_eq!(results[0], results[1], "{:?}", String::from_utf8_lossy(bytes));
        std::mem::replace(&mut results[0], Err(HttpError::BadHead))
    }

    /// What becomes of `bytes` while the stream goes on, whole and byte by byte.
    fn open(bytes: &[u8]) -> Option<(Seen, bool)> {
        let results = [1, usize::MAX].map(|size| {
            let mut client = asked(64);
            feed(&mut client, bytes, size);
            seen(&client).map(|seen| (seen, client.is_reusable()))
        });
        assert_eq!(results[0], results[1], "{:?}", String::from_utf8_lossy(bytes));
        results[0].clone()
    }

    #[test]
    fn a_get_is_written_as_it_is_signed() {
        let mut client = Client::new(64);
        let headers = [("ACCESS-KEY", "bg_1"), ("ACCESS-SIGN", "a+b/c=")];
        client.request(&Request { headers: &headers, ..GET }, NOW).unwrap();
        let expected = "GET /api/v3/market/instruments?category=USDT-FUTURES HTTP/1.1\r\n\
            Host: api.example\r\nAccept: application/json\r\nAccept-Encoding: identity\r\n\
            ACCESS-KEY: bg_1\r\nACCESS-SIGN: a+b/c=\r\n\r\n";
        assert_eq!(std::str::from_utf8(client.transmit()).unwrap(), expected);
    }

    #[test]
    fn a_post_carries_its_length_and_its_body() {
        let mut out = ByteQueue::new(1024);
        let body = br#"{"symbol":"BTCUSDT"}"#;
        let post = Request { method: Method::Post, query: "", body, ..GET };
        post.write(&mut out).unwrap();
        let expected = "POST /api/v3/market/instruments HTTP/1.1\r\nHost: api.example\r\n\
            Accept: application/json\r\nAccept-Encoding: identity\r\n\
            Content-Type: application/json\r\nContent-Length: 20\r\n\r\n{\"symbol\":\"BTCUSDT\"}";
        assert_eq!(std::str::from_utf8(out.pending()).unwrap(), expected);
        out.clear();
        Request { body: b"", ..post }.write(&mut out).unwrap();
        assert!(out.pending().windows(19).any(|w| w == b"Content-Length: 0\r\n"));
    }

    #[test]
    fn a_request_that_would_split_is_refused() {
        let bad = [
            Request { path: "/a b", ..GET },
            Request { path: "a", ..GET },
            Request { path: "/a?b", ..GET },
            Request { path: "/a\r\nX: y", ..GET },
            Request { query: "a=b\r\n", ..GET },
            Request { query: "a=ü", ..GET },
            Request { host: "", ..GET },
            Request { host: "a\r\nb", ..GET },
            Request { headers: &[("X", "a\r\nHost: b")], ..GET },
            Request { headers: &[("X: y", "a")], ..GET },
            Request { headers: &[("", "a")], ..GET },
            Request { headers: &[("content-length", "3")], ..GET },
            Request { headers: &[("Transfer-Encoding", "chunked")], ..GET },
        ];
        for request in bad {
            let mut out = ByteQueue::new(1024);
            assert_eq!(request.write(&mut out), Err(RequestError::Malformed), "{request:?}");
            assert!(out.is_empty());
        }
        assert_eq!(GET.write(&mut ByteQueue::new(100)), Err(RequestError::TooLong));
    }

    #[test]
    fn a_response_of_known_length_keeps_the_connection() {
        let mut client = asked(64);
        let response = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nX-MBX-Used-Remain-Limit: 19\r\n\
            Retry-After: 7\r\n\r\n{}";
        feed(&mut client, response, 1);
        let got = client.outcome().unwrap().unwrap();
        assert_eq!((got.status(), got.body()), (200, &b"{}"[..]));
        assert_eq!((got.remaining_calls(), got.retry_after_s()), (Some(19), Some(7)));
        assert_eq!(client.request(&GET, NOW), Err(RequestError::Busy), "finish first");
        client.finish();
        assert!(client.is_idle() && client.is_reusable());
        assert_eq!(client.deadline(), MonoNanos::NEVER);
        client.request(&GET, NOW).unwrap();
        let count = client.transmit().len();
        client.sent(count, NOW);
        feed(&mut client, b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", 5);
        assert_eq!(seen(&client), Some(Ok((400, vec![]))));
    }

    #[test]
    fn good_responses_are_read_and_tell_whether_the_connection_lives_on() {
        let case = |bytes: &str, status, body: &str, reusable| {
            let expected = (Ok((status, body.as_bytes().to_vec())), reusable);
            assert_eq!(open(bytes.as_bytes()), Some(expected), "{bytes}");
        };
        case("HTTP/1.1 204 No Content\r\n\r\n", 204, "", true);
        case("HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", 304, "", true);
        case("HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 1\r\n\r\nx", 302, "x", true);
        case("HTTP/1.1 429 Slow\r\nContent-Length: 3\r\n\r\n429", 429, "429", true);
        case(
            "HTTP/1.1 200 OK\r\nConnection: Keep, Close\r\nContent-Length: 1\r\n\r\nx",
            200,
            "x",
            false,
        );
        case("HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", 200, "x", false);
        case(
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
            200,
            "x",
            true,
        );
        case("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 200, "", true);
        case(
            "HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n\r\n3;ext=1\r\nabc\r\n00A\r\n\
             0123456789\r\n0\r\nTrailer: t\r\n\r\n",
            200,
            "abc0123456789",
            true,
        );
        // Bytes that answer nothing poison what follows, not what came before.
        case("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nxHTTP/1.1 200 OK\r\n", 200, "x", false);
    }

    #[test]
    fn bad_responses_are_refused_by_name() {
        let case = |bytes: &str, error| {
            assert_eq!(open(bytes.as_bytes()), Some((Err(error), false)), "{bytes}");
        };
        let head = |headers: &str| format!("HTTP/1.1 200 OK\r\n{headers}\r\n\r\n");
        case(&head("Content-Length: 5\r\nContent-Length: 5"), HttpError::BadLength);
        case(&head("Content-Length: 5\r\nContent-Length: 6"), HttpError::BadLength);
        case(&head("Content-Length: 5, 5"), HttpError::BadLength);
        case(&head("Content-Length: +5"), HttpError::BadLength);
        case(&head("Content-Length: -1"), HttpError::BadLength);
        case(&head("Content-Length: 0x5"), HttpError::BadLength);
        case(&head("Content-Length:"), HttpError::BadLength);
        case(&head("Content-Length: 99999999999999999999"), HttpError::BadLength);
        case(&head("Content-Length: 5\r\nTransfer-Encoding: chunked"), HttpError::BadLength);
        case(&head("Transfer-Encoding: chunked\r\nContent-Length: 5"), HttpError::BadLength);
        case(&head("Transfer-Encoding: gzip, chunked"), HttpError::UnknownEncoding);
        case(&head("Transfer-Encoding: x"), HttpError::UnknownEncoding);
        let twice = "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked";
        case(&head(twice), HttpError::UnknownEncoding);
        case(&head("Content-Encoding: gzip\r\nContent-Length: 1"), HttpError::UnknownEncoding);
        case(&head("Content-Length: 65"), HttpError::BodyTooLong);
        case(&head(&["X: y"; 65].join("\r\n")), HttpError::TooManyHeaders);
        case(&head(" folded: x"), HttpError::BadHead);
        case(&head("X: y\r\n folded"), HttpError::BadHead);
        case(&head("Content-Length : 5"), HttpError::BadHead);
        case(
            &"HTTP/1.1 200 OK\r\nX: ".chars().chain(['y'; 17_000]).collect::<String>(),
            HttpError::HeadTooLong,
        );
        case("<html>502</html>\r\n\r\n", HttpError::BadHead);
        case("HTTP/2.0 200 OK\r\n\r\n", HttpError::BadHead);
        case("HTTP/1.1 2x0 OK\r\n\r\n", HttpError::BadHead);
        case("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", HttpError::BadHead);
        case("HTTP/1.1 101 Switching Protocols\r\n\r\n", HttpError::Upgraded);
        case(&"HTTP/1.1 100 Continue\r\n\r\n".repeat(9), HttpError::TooManyInterim);
        let chunked = |body: &str| head("Transfer-Encoding: chunked") + body;
        case(&chunked("g\r\n"), HttpError::BadChunk);
        case(&chunked("\r\n"), HttpError::BadChunk);
        case(&chunked("-1\r\n"), HttpError::BadChunk);
        case(&chunked(" 1\r\n"), HttpError::BadChunk);
        case(&chunked("1\nx"), HttpError::BadChunk);
        case(&chunked("1\r\nxy\r\n"), HttpError::BadChunk);
        case(&chunked("fffffffffffffffff\r\n"), HttpError::BadChunk);
        case(&chunked("ffffffff\r\n"), HttpError::BodyTooLong);
        case(
            &chunked("40\r\n").replace("40\r\n", &format!("40\r\n{}\r\n1\r\n", "x".repeat(64))),
            HttpError::BodyTooLong,
        );
        case(&chunked(&"1;".repeat(200)), HttpError::BadChunk);
        case(&(chunked("0\r\n") + &"T: t\r\n".repeat(65)), HttpError::TooManyHeaders);
    }

    #[test]
    fn a_stream_that_ends_early_is_never_a_response() {
        assert_eq!(ended(b"", true), Err(HttpError::ClosedBeforeResponse));
        assert_eq!(ended(b"HTTP/1.1 100 Continue\r\n\r\n", true), Err(HttpError::Truncated));
        for (whole, until_end) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", false),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", false),
            ("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabc", true),
        ] {
            let head = whole.find("\r\n\r\n").unwrap() + 4;
            for cut in 1..whole.len() {
                let clean = !(until_end && cut >= head);
                assert_eq!(ended(&whole.as_bytes()[..cut], clean), Err(HttpError::Truncated));
            }
            assert_eq!(ended(whole.as_bytes(), true), Ok((200, b"abc".to_vec())));
        }
        let overlong = format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(65));
        assert_eq!(ended(overlong.as_bytes(), true), Err(HttpError::BodyTooLong));
    }

    #[test]
    fn head_and_body_have_their_own_deadlines() {
        let mut client = asked(64);
        assert_eq!(client.deadline(), NOW.after(HEAD_NS_MAX));
        client.step(NOW.after(HEAD_NS_MAX - 1));
        assert_eq!(seen(&client), None);
        client.step(NOW.after(HEAD_NS_MAX));
        assert_eq!(seen(&client), Some(Err(HttpError::HeadTimeout)));

        let mut client = asked(64);
        receive(&mut client, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nx", NOW.after(5));
        assert_eq!(client.deadline(), NOW.after(5 + BODY_NS_MAX));
        client.step(NOW.after(5 + BODY_NS_MAX));
        assert_eq!(seen(&client), Some(Err(HttpError::BodyTimeout)));
        assert!(!client.is_reusable());
        receive(&mut client, b"y", NOW);
        assert_eq!(seen(&client), Some(Err(HttpError::BodyTimeout)), "too late is too late");
        client.reset();
        assert_eq!(client.request(&GET, NOW), Ok(()));
    }

    #[test]
    fn a_failure_tells_whether_the_request_may_have_been_heard() {
        let mut client = Client::new(64);
        client.request(&GET, NOW).unwrap();
        client.closed(true, NOW);
        let failure = client.outcome().unwrap().unwrap_err();
        assert_eq!(failure.error, HttpError::ClosedBeforeResponse);
        assert!(!failure.maybe_sent);
        client.finish();
        assert_eq!(client.request(&GET, NOW), Err(RequestError::Closed));

        let mut client = Client::new(64);
        client.request(&GET, NOW).unwrap();
        client.sent(1, NOW);
        client.closed(false, NOW);
        assert!(client.outcome().unwrap().unwrap_err().maybe_sent);
    }

    #[test]
    fn an_idle_connection_that_ends_or_speaks_unasked_is_not_used_again() {
        let mut client = Client::new(64);
        client.closed(true, NOW);
        assert!(client.outcome().is_none() && !client.is_reusable());
        let mut client = Client::new(64);
        receive(&mut client, b"HTTP/1.1 408 Request Timeout\r\n\r\n", NOW);
        assert!(client.outcome().is_none() && !client.is_reusable());
        assert_eq!(client.request(&GET, NOW), Err(RequestError::Closed));
    }

    #[test]
    fn a_response_before_the_end_of_its_request_closes_the_connection() {
        let mut client = Client::new(64);
        client.request(&GET, NOW).unwrap();
        client.sent(3, NOW);
        feed(&mut client, b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n", 9);
        assert_eq!(seen(&client), Some(Ok((413, vec![]))));
        assert!(!client.is_reusable() && client.transmit().is_empty());
    }

    proptest! {
        #[test]
        fn it_does_not_matter_how_a_response_is_cut(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..200), 0..20),
            size in 1usize..500,
        ) {
            let mut bytes = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
            for chunk in &chunks {
                bytes.extend(format!("{:x}\r\n", chunk.len()).bytes());
                bytes.extend(chunk);
                bytes.extend(b"\r\n");
            }
            bytes.extend(b"0\r\n\r\n");
            let mut client = asked(1 << 20);
            feed(&mut client, &bytes, size);
            prop_assert_eq!(seen(&client), Some(Ok((200, chunks.concat()))));
            prop_assert!(client.is_reusable());
        }

        #[test]
        fn garbage_never_panics_and_never_depends_on_how_it_is_cut(
            start in prop_oneof![Just(""), Just("HTTP/1.1 200 OK\r\n"),
                Just("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")],
            tail in "[0-9a-fA-F:; \r\nHTTP/]{0,60}",
        ) {
            let _ = open((start.to_owned() + &tail).as_bytes());
        }
    }

    const NOW: MonoNanos = MonoNanos(1_000_000);
}
