//! The server side of HTTP/1.1, sans-IO: bytes to whole requests, answers to bytes.
//!
//! A request is handed over only when its head and body have arrived. Requests may be pipelined;
//! they are answered in order. What could be read in two ways (two lengths, a length beside chunks,
//! folded headers) is refused, and after a refusal the connection closes. What has arrived of a
//! chunked body is never read again, and the bytes around its chunks are capped as the body is.

use std::fmt::Write as _;

/// The longest request head, bytes.
pub(super) const HEAD_BYTES_MAX: usize = 16 * 1024;
/// The longest request body, bytes.
pub(super) const BODY_BYTES_MAX: usize = 1024 * 1024;
/// Most headers of a request.
pub(super) const HEADERS_MAX: usize = 64;
/// Most bytes that may wait to be read as requests; a client that sends more ahead is cut off.
pub(super) const WAITING_BYTES_MAX: usize = 2 * BODY_BYTES_MAX;

/// One whole request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Request {
    /// The method as sent, such as `GET`.
    pub method: String,
    /// The path, without the query.
    pub path: String,
    /// The query without its question mark, exactly as sent; empty when there is none.
    pub query: String,
    headers: Vec<(String, String)>,
    /// The body, chunks joined.
    pub body: Vec<u8>,
    /// Whether the client wants the connection to stay.
    pub keep_alive: bool,
}

impl Request {
    /// The value of the first header of this name, in any letter case.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }

    /// The query's parameters in order, percent-decoded.
    pub(super) fn parameters(&self) -> Vec<(String, String)> {
        self.query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                (percent_decoded(name), percent_decoded(value))
            })
            .collect()
    }

    /// Whether this is for demo trading: by its header, or by a host name as the real one's.
    pub(super) fn asks_for_demo(&self) -> bool {
        self.header("paptrading") == Some("1")
            || self.header("host").is_some_and(|host| host.starts_with("wspap"))
    }

    /// Whether this asks for a WebSocket (RFC 6455 §4.2.1); gives the client's key.
    pub(super) fn websocket_key(&self) -> Option<&str> {
        let upgrade = self.header("upgrade")?.eq_ignore_ascii_case("websocket");
        let connection = self.header("connection")?;
        let listed = connection.split(',').any(|t| t.trim().eq_ignore_ascii_case("upgrade"));
        let version = self.header("sec-websocket-version") == Some("13");
        let key = self.header("sec-websocket-key")?;
        (self.method == "GET" && upgrade && listed && version && key.len() == 24).then_some(key)
    }
}

/// Why bytes are no request that is served here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HttpError {
    /// The bytes are no HTTP/1.x request, or one that can be read in two ways.
    Malformed,
    /// The head is longer than [`HEAD_BYTES_MAX`] or has more than [`HEADERS_MAX`] headers.
    HeadTooLarge,
    /// The body is longer than [`BODY_BYTES_MAX`].
    BodyTooLarge,
    /// A transfer coding other than `chunked`.
    UnknownCoding,
}

impl HttpError {
    /// The status with which this is answered.
    pub(super) const fn status(self) -> u16 {
        match self {
            Self::Malformed => 400,
            Self::HeadTooLarge => 431,
            Self::BodyTooLarge => 413,
            Self::UnknownCoding => 501,
        }
    }
}

/// What stands next in the received bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing whole yet.
    Partial,
    /// The client waits for `100 Continue` before it sends the body.
    Continue,
    /// A whole request.
    Request(Request),
}

/// Collects received bytes and yields whole requests.
#[derive(Debug, Default)]
pub(super) struct Reader {
    bytes: Vec<u8>,
    /// Bytes already searched for the end of the head.
    searched: usize,
    head: Option<Head>,
}

impl Reader {
    /// Takes received bytes.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Whether more has come than a client may send ahead.
    pub(super) fn is_overfull(&self) -> bool {
        self.bytes.len() > WAITING_BYTES_MAX
    }

    /// Whether no byte of a request has come.
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.head.is_none()
    }

    /// The bytes after the last request, as they belong to another protocol now.
    pub(super) fn into_rest(self) -> Vec<u8> {
        self.bytes
    }

    /// The next whole request, if one has arrived.
    ///
    /// # Errors
    /// [`HttpError`]; the connection must then be closed, as the stream's framing is lost.
    pub(super) fn step(&mut self) -> Result<Step, HttpError> {
        if self.head.is_none() {
            let Some(end) = self.head_end()? else { return Ok(Step::Partial) };
            let head = Head::parse(&self.bytes[..end])?;
            self.bytes.drain(..end);
            self.searched = 0;
            let wants_continue = head.expects_continue && self.bytes.is_empty();
            self.head = Some(head);
            if wants_continue {
                return Ok(Step::Continue);
            }
        }
        let body = match &mut self.head.as_mut().expect("a head was read").framing {
            Framing::Length(len) if self.bytes.len() < *len => return Ok(Step::Partial),
            Framing::Length(len) => self.bytes.drain(..*len).collect(),
            Framing::Chunked(chunks) => {
                let (used, whole) = chunks.take(&self.bytes)?;
                self.bytes.drain(..used);
                match whole {
                    false => return Ok(Step::Partial),
                    true => std::mem::take(&mut chunks.body),
                }
            }
        };
        let head = self.head.take().expect("a head was read");
        if self.bytes.is_empty() {
            // The room that a large request has taken is not kept.
            self.bytes.shrink_to(HEAD_BYTES_MAX);
        }
        Ok(Step::Request(head.with_body(body)))
    }

    fn head_end(&mut self) -> Result<Option<usize>, HttpError> {
        // Empty lines before a request are skipped (RFC 9112 §2.2).
        let blank = self.bytes.iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
        if blank > 0 {
            self.bytes.drain(..blank);
            self.searched = 0;
        }
        let from = self.searched.saturating_sub(3);
        let end = self.bytes[from..].windows(4).position(|w| w == b"\r\n\r\n");
        self.searched = self.bytes.len();
        match end.map(|at| from + at + 4) {
            Some(end) if end <= HEAD_BYTES_MAX => Ok(Some(end)),
            None if self.bytes.len() <= HEAD_BYTES_MAX => Ok(None),
            Some(_) | None => Err(HttpError::HeadTooLarge),
        }
    }
}

#[derive(Debug)]
enum Framing {
    Length(usize),
    Chunked(Chunks),
}

#[derive(Debug)]
struct Head {
    method: String,
    path: String,
    query: String,
    headers: Vec<(String, String)>,
    keep_alive: bool,
    expects_continue: bool,
    framing: Framing,
}

impl Head {
    fn parse(bytes: &[u8]) -> Result<Self, HttpError> {
        let mut slots = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut raw = httparse::Request::new(&mut slots);
        match raw.parse(bytes) {
            Ok(httparse::Status::Complete(used)) if used == bytes.len() => {}
            Err(httparse::Error::TooManyHeaders) => return Err(HttpError::HeadTooLarge),
            Ok(_) | Err(_) => return Err(HttpError::Malformed),
        }
        let mut headers = Vec::with_capacity(raw.headers.len());
        for header in raw.headers.iter() {
            let value = std::str::from_utf8(header.value).map_err(|_| HttpError::Malformed)?;
            headers.push((header.name.to_owned(), value.trim().to_owned()));
        }
        let target = raw.path.unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let named =
            |name: &str| headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).count();
        // HTTP/1.1 names one host (RFC 9112 §3.2).
        let hosts = named("host");
        if hosts > 1 || (hosts == 0 && raw.version == Some(1)) || !path.starts_with('/') {
            return Err(HttpError::Malformed);
        }
        let value =
            |name: &str| headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v);
        let connection = value("connection").map(|v| v.to_ascii_lowercase()).unwrap_or_default();
        let listed = |token: &str| connection.split(',').any(|t| t.trim() == token);
        let keep_alive = match raw.version {
            Some(1) => !listed("close"),
            _ => listed("keep-alive"),
        };
        let expects_continue =
            value("expect").is_some_and(|v| v.eq_ignore_ascii_case("100-continue"));
        let framing = framing(&headers)?;
        Ok(Self {
            method: raw.method.unwrap_or_default().to_owned(),
            path: path.to_owned(),
            query: query.to_owned(),
            headers,
            keep_alive,
            expects_continue,
            framing,
        })
    }

    fn with_body(self, body: Vec<u8>) -> Request {
        Request {
            method: self.method,
            path: self.path,
            query: self.query,
            headers: self.headers,
            body,
            keep_alive: self.keep_alive,
        }
    }
}

/// How long the body is; refuses every head that two readers could read differently.
fn framing(headers: &[(String, String)]) -> Result<Framing, HttpError> {
    let mut length = None;
    let mut chunked = false;
    for (name, value) in headers {
        if name.eq_ignore_ascii_case("content-length") {
            if length.is_some() || value.is_empty() || !value.bytes().all(|b| b.is_ascii_digit()) {
                return Err(HttpError::Malformed);
            }
            length = Some(value.parse::<usize>().map_err(|_| HttpError::BodyTooLarge)?);
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            if chunked {
                return Err(HttpError::Malformed);
            }
            if !value.eq_ignore_ascii_case("chunked") {
                return Err(HttpError::UnknownCoding);
            }
            chunked = true;
        }
    }
    match (length, chunked) {
        (Some(_), true) => Err(HttpError::Malformed),
        (None, true) => Ok(Framing::Chunked(Chunks::default())),
        (Some(len), false) if len > BODY_BYTES_MAX => Err(HttpError::BodyTooLarge),
        (length, false) => Ok(Framing::Length(length.unwrap_or(0))),
    }
}

/// A chunked body on its way (RFC 9112 §7.1).
#[derive(Debug, Default)]
struct Chunks {
    /// The chunks so far, joined.
    body: Vec<u8>,
    /// Bytes around them so far: sizes, extensions, ends of lines, trailers.
    around: usize,
    place: Place,
}

/// Where in a chunked body the next byte stands.
#[derive(Clone, Copy, Debug, Default)]
enum Place {
    /// In the line with a chunk's size.
    #[default]
    Size,
    /// In a chunk, of which so many bytes are to come, and then its end of line.
    Chunk(usize),
    /// Among the trailers, which are dropped.
    Trailers,
}

impl Chunks {
    /// Takes what it can of `bytes`; gives how many it took, and whether the body is whole.
    fn take(&mut self, bytes: &[u8]) -> Result<(usize, bool), HttpError> {
        let mut at = 0;
        loop {
            let rest = &bytes[at..];
            let used = match self.place {
                Place::Size => self.size(rest)?,
                Place::Chunk(0) => match rest {
                    [b'\r', b'\n', ..] => {
                        self.place = Place::Size;
                        self.surround(2)?
                    }
                    [] | [b'\r'] => 0,
                    _ => return Err(HttpError::Malformed),
                },
                Place::Chunk(left) => {
                    let used = left.min(rest.len());
                    self.body.extend_from_slice(&rest[..used]);
                    self.place = Place::Chunk(left - used);
                    used
                }
                Place::Trailers => match rest.windows(2).position(|w| w == b"\r\n") {
                    Some(0) => return Ok((at + 2, true)),
                    Some(line) if line + 2 <= CHUNK_LINE_BYTES_MAX => self.surround(line + 2)?,
                    None if rest.len() < CHUNK_LINE_BYTES_MAX => 0,
                    Some(_) | None => return Err(HttpError::HeadTooLarge),
                },
            };
            if used == 0 {
                return Ok((at, false));
            }
            at += used;
        }
    }

    /// Reads the line with a chunk's size; gives its bytes, zero while it is not whole.
    fn size(&mut self, bytes: &[u8]) -> Result<usize, HttpError> {
        let (used, size) = match httparse::parse_chunk_size(bytes) {
            Ok(httparse::Status::Complete(line)) if line.0 <= CHUNK_LINE_BYTES_MAX => line,
            Ok(httparse::Status::Partial) if bytes.len() < CHUNK_LINE_BYTES_MAX => return Ok(0),
            Ok(_) | Err(_) => return Err(HttpError::Malformed),
        };
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        if size > BODY_BYTES_MAX - self.body.len() {
            return Err(HttpError::BodyTooLarge);
        }
        self.place = if size == 0 { Place::Trailers } else { Place::Chunk(size) };
        self.surround(used)
    }

    /// Counts bytes around the chunks, and gives them back.
    fn surround(&mut self, bytes: usize) -> Result<usize, HttpError> {
        self.around += bytes;
        if self.around > BODY_BYTES_MAX { Err(HttpError::BodyTooLarge) } else { Ok(bytes) }
    }
}

/// Decodes `%XX` and `+`; what is no escape stays as it is, and broken UTF-8 is replaced.
pub(super) fn percent_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = |i: usize| bytes.get(i).and_then(|b| char::from(*b).to_digit(16));
        match (bytes[at], hex(at + 1), hex(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                at += 3;
                continue;
            }
            (b'+', _, _) => out.push(b' '),
            (byte, _, _) => out.push(byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Writes an answer: status line, the given headers, length, connection, body.
pub(super) fn write_response(
    out: &mut Vec<u8>,
    status: u16,
    headers: &[(&str, &str)],
    body: &[u8],
    keep_alive: bool,
) {
    let mut head = String::with_capacity(256);
    let connection = if keep_alive { "keep-alive" } else { "close" };
    let _ = write!(head, "HTTP/1.1 {status} {}\r\n", reason(status));
    for (name, value) in headers {
        let _ = write!(head, "{name}: {value}\r\n");
    }
    let _ = write!(head, "Content-Length: {}\r\nConnection: {connection}\r\n\r\n", body.len());
    out.extend_from_slice(head.as_bytes());
    out.extend_from_slice(body);
}

/// The interim answer to `Expect: 100-continue`.
pub(super) const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Bytes that the line with a chunk's size may take, or a trailer, with its end.
const CHUNK_LINE_BYTES_MAX: usize = 256;

const fn reason(status: u16) -> &'static str {
    match status {
        101 => "Switching Protocols",
        200 => "OK",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        408 => "Request Timeout",
        413 => "Content Too Large",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "Unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const POST: &[u8] =
        b"POST /a/b?x=1&y=%2C+z HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody";
    const CHUNKED: &[u8] = b"POST /c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n\
        2\r\nbo\r\n2;ext=1\r\ndy\r\n0\r\nTrailer: t\r\n\r\n";

    fn all(bytes: &[u8]) -> Result<Vec<Request>, HttpError> {
        let mut reader = Reader::default();
        reader.push(bytes);
        let mut requests = Vec::new();
        while let Step::Request(request) = reader.step()? {
            requests.push(request);
        }
        Ok(requests)
    }

    fn refused(bytes: &[u8]) -> HttpError {
        all(bytes).expect_err("refused")
    }

    #[test]
    fn pipelined_requests_come_out_whole_and_in_order() {
        let requests =
            all(&[POST, CHUNKED, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"].concat()).unwrap();
        assert_eq!(requests.len(), 3);
        assert_eq!(requests[0].body, b"body");
        let expected = [("x", "1"), ("y", ", z")].map(|(n, v)| (n.to_owned(), v.to_owned()));
        assert_eq!(requests[0].parameters(), expected);
        assert_eq!(requests[1].body, b"body");
        assert_eq!(requests[2].path, "/");
        assert!(requests.iter().all(|r| r.keep_alive));
    }

    #[test]
    fn one_byte_segments_read_as_the_whole_does() {
        for bytes in [POST, CHUNKED] {
            let mut reader = Reader::default();
            let mut requests = Vec::new();
            for byte in bytes {
                reader.push(std::slice::from_ref(byte));
                if let Step::Request(request) = reader.step().unwrap() {
                    requests.push(request);
                }
            }
            assert_eq!(Ok(requests), all(bytes));
        }
    }

    #[test]
    fn a_request_that_reads_two_ways_is_refused() {
        let two_lengths =
            b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na";
        let both = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\na";
        let folded = b"GET / HTTP/1.1\r\nHost: h\r\nA: b\r\n c\r\n\r\n";
        let spaced = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: +1\r\n\r\na";
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
        let after_chunk =
            b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n";
        let hostless = b"GET / HTTP/1.1\r\n\r\n";
        let two_hosts = b"GET / HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n";
        for bytes in
            [&two_lengths[..], both, folded, spaced, preface, after_chunk, hostless, two_hosts]
        {
            assert_eq!(refused(bytes), HttpError::Malformed, "{}", bytes.escape_ascii());
        }
        let gzip = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n";
        assert_eq!(refused(gzip), HttpError::UnknownCoding);
    }

    #[test]
    fn heads_and_bodies_beyond_their_caps_are_refused_before_they_are_held() {
        let long =
            [b"GET / HTTP/1.1\r\nHost: h\r\nA: ".to_vec(), vec![b'a'; HEAD_BYTES_MAX]].concat();
        assert_eq!(refused(&long), HttpError::HeadTooLarge);
        let many =
            format!("GET / HTTP/1.1\r\nHost: h\r\n{}\r\n", "A: b\r\n".repeat(HEADERS_MAX + 1));
        assert_eq!(refused(many.as_bytes()), HttpError::HeadTooLarge);
        let length =
            format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n", BODY_BYTES_MAX + 1);
        assert_eq!(refused(length.as_bytes()), HttpError::BodyTooLarge);
        let lie = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999999999999999\r\n\r\n";
        assert_eq!(refused(lie), HttpError::BodyTooLarge);
        let chunk =
            b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nfffffffff\r\n";
        assert_eq!(refused(chunk), HttpError::BodyTooLarge);
    }

    #[test]
    fn a_body_of_tiny_chunks_is_refused_when_the_bytes_around_them_are_too_many() {
        let mut reader = Reader::default();
        reader.push(b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
        let chunk = format!("1;{}\r\na\r\n", "x".repeat(200));
        let mut pushed = 0;
        let error = loop {
            reader.push(chunk.as_bytes());
            pushed += chunk.len();
            match reader.step() {
                Ok(Step::Partial) => assert!(reader.bytes.is_empty(), "nothing is read twice"),
                other => break other,
            }
        };
        assert_eq!(error, Err(HttpError::BodyTooLarge));
        assert!(pushed <= BODY_BYTES_MAX + 8 * 1024, "{pushed}");
    }

    #[test]
    fn the_client_that_asks_before_its_body_is_told_to_go_on_once() {
        let mut reader = Reader::default();
        reader.push(
            b"POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n",
        );
        assert_eq!(reader.step(), Ok(Step::Continue));
        assert_eq!(reader.step(), Ok(Step::Partial));
        reader.push(b"a");
        assert!(matches!(reader.step(), Ok(Step::Request(r)) if r.body == b"a"));
    }

    #[test]
    fn an_upgrade_gives_its_key_and_anything_less_does_not() {
        let head = "GET /v3/ws/public HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n\
            Connection: keep-alive, Upgrade\r\nSec-WebSocket-Version: 13\r\n\
            Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        let key = |text: &str| all(text.as_bytes()).unwrap()[0].websocket_key().map(str::to_owned);
        assert_eq!(key(head).as_deref(), Some("dGhlIHNhbXBsZSBub25jZQ=="));
        assert_eq!(key(&head.replace("13", "8")), None);
        assert_eq!(key(&head.replace("GET", "PUT")), None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = all(&bytes);
            let _ = all(&[POST, &bytes].concat());
            let (mut whole, mut parts) = (Chunks::default(), Chunks::default());
            let at_once = whole.take(&bytes).map(|(_, whole)| whole);
            let mut at = 0;
            let mut by_byte = Ok(false);
            for end in 1..=bytes.len() {
                by_byte = parts.take(&bytes[at..end]).map(|(used, whole)| {
                    at += used;
                    whole
                });
                if by_byte != Ok(false) {
                    break;
                }
            }
            prop_assert_eq!(at_once, by_byte);
            prop_assert_eq!(whole.body, parts.body);
        }
    }
}
