//! HTTP/1.1, client side, without a socket: one request in flight, nothing retried, no redirect
//! followed.
//!
//! [`Client`] writes a [`Request`], reads its [`Response`] and keeps the connection for the next one
//! where the server allows. What a server may do wrong is refused with an [`HttpError`]; whether the
//! request may have reached it is told with it ([`Failure::maybe_sent`]), because the outcome of an
//! order then is unknown.

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
        }
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
        self.deadlines.set(HEAD_TIMER, now.after(HEAD_NS_MAX));
        Ok(())
    }

    /// The response, or why there is none; `None` while it is awaited or nothing was asked. It stays
    /// until [`Client::finish`].
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

/// A request. Everything is borrowed; nothing is encoded: path and query stand as they go out, and as
/// they are signed.
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
    /// No whole head within [`HEAD_NS_MAX`].
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
