//! WebSocket, client side (RFC 6455), without a socket.
//!
//! [`Upgrade`] is the opening handshake: tungstenite writes and checks it over an in-memory pipe.
//! [`Reader`] turns bytes into messages: tungstenite parses each frame's header from our own buffer,
//! the payload is handed out where it lies. Fragments are joined in place. After the handshake
//! neither reading nor writing allocates or copies, but for control frames of at most 125 bytes,
//! fragments, and the rest of a frame when the buffer's end is reached. [`frame`] writes frames; the
//! mask is an argument, because it must be fresh and unpredictable live, and seeded in simulation.

use std::io::{self, Cursor, Read, Write};

use base64::Engine as _;
use tungstenite::client::IntoClientRequest;
use tungstenite::handshake::client::ClientHandshake;
use tungstenite::handshake::{HandshakeError, MidHandshake};
use tungstenite::http::{self, HeaderName, HeaderValue};
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

use super::{ByteQueue, NoRoom};

/// Reads a server's frames out of a buffer of fixed size.
#[derive(Debug)]
pub struct Reader {
    buffer: Box<[u8]>,
    /// Payload of the message being put together: `buffer[message.0..message.1]`.
    message: (usize, usize),
    /// First byte not yet parsed, and the end of what was received.
    start: usize,
    end: usize,
    fragments: Option<Fragments>,
    control: [u8; CONTROL_BYTES_MAX],
    message_bytes_max: usize,
    failed: Option<FrameError>,
}

impl Reader {
    /// A reader of messages of at most `message_bytes_max` bytes.
    pub fn new(message_bytes_max: usize) -> Self {
        let capacity = message_bytes_max + FRAME_HEAD_BYTES_MAX + READ_BYTES;
        Self {
            buffer: vec![0; capacity].into_boxed_slice(),
            message: (0, 0),
            start: 0,
            end: 0,
            fragments: None,
            control: [0; CONTROL_BYTES_MAX],
            message_bytes_max,
            failed: None,
        }
    }

    /// Room for bytes that arrive: at least one byte once [`Reader::next`] has returned `Ok(None)`.
    /// Showing it may move what is in the buffer, so a message that was handed out is gone then.
    pub fn spare(&mut self) -> &mut [u8] {
        self.make_room();
        &mut self.buffer[self.end..]
    }

    /// Says that the first `bytes` of [`Reader::spare`] were filled.
    ///
    /// # Panics
    /// When that is beyond the buffer.
    pub fn received(&mut self, bytes: usize) {
        assert!(bytes <= self.buffer.len() - self.end, "received beyond the buffer");
        self.end += bytes;
    }

    /// True when the stream would end inside a message if it ended now.
    pub fn is_mid_message(&self) -> bool {
        self.fragments.is_some() || self.start != self.end
    }

    /// Forgets everything, for a new connection.
    pub fn reset(&mut self) {
        self.message = (0, 0);
        self.start = 0;
        self.end = 0;
        self.fragments = None;
        self.failed = None;
    }

    /// Received bytes not yet parsed, for what comes before the first frame.
    pub(super) fn unread(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// Passes over the first `bytes` of [`Reader::unread`].
    pub(super) fn skip(&mut self, bytes: usize) {
        assert!(bytes <= self.end - self.start, "skipped beyond what was received");
        self.start += bytes;
    }

    /// The payload of the message that [`Reader::next`] returned last, when that was data; it stays
    /// until the reader is used again.
    pub(super) fn payload(&self) -> &[u8] {
        &self.buffer[self.message.0..self.message.1]
    }

    /// The next whole message or control frame, `None` when more bytes are needed. An error is final:
    /// it is returned again until [`Reader::reset`].
    pub fn next(&mut self) -> Result<Option<Message<'_>>, FrameError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        match self.advance() {
            Ok(None) => Ok(None),
            Ok(Some(kind)) => self.message(kind).map(Some),
            Err(error) => {
                self.failed = Some(error);
                Err(error)
            }
        }
    }

    /// Parses frames until one completes a message.
    fn advance(&mut self) -> Result<Option<Kind>, FrameError> {
        loop {
            let mut cursor = Cursor::new(&self.buffer[self.start..self.end]);
            let (head, length) = match FrameHeader::parse(&mut cursor) {
                Ok(Some(found)) => found,
                Ok(None) => return Ok(None),
                Err(_) => return Err(FrameError::ReservedOpcode),
            };
            let head_bytes = cursor.position() as usize;
            self.check_head(&head, length)?;
            let length = length as usize; // at most `message_bytes_max`, which is a usize
            if self.end - self.start < head_bytes + length {
                return Ok(None);
            }
            let payload = (self.start + head_bytes, self.start + head_bytes + length);
            self.start = payload.1;
            let kind = match head.opcode {
                OpCode::Control(control) => {
                    self.control[..length].copy_from_slice(&self.buffer[payload.0..payload.1]);
                    return Ok(Some(Kind::Control(control, length)));
                }
                OpCode::Data(data) => self.join(data, head.is_final, payload)?,
            };
            if let Some(text) = kind {
                return Ok(Some(Kind::Data { text }));
            }
        }
    }

    /// Takes in a data frame; tells, when it ends a message, whether that is text.
    fn join(
        &mut self,
        data: Data,
        is_final: bool,
        payload: (usize, usize),
    ) -> Result<Option<bool>, FrameError> {
        let text = match (data, &mut self.fragments) {
            (Data::Continue, Some(fragments)) => {
                fragments.count += 1;
                if fragments.count > FRAGMENTS_MAX {
                    return Err(FrameError::TooManyFragments);
                }
                let text = fragments.text;
                self.buffer.copy_within(payload.0..payload.1, self.message.1);
                self.message.1 += payload.1 - payload.0;
                text
            }
            (Data::Text | Data::Binary, None) => {
                self.message = payload;
                let text = data == Data::Text;
                if !is_final {
                    self.fragments = Some(Fragments { text, count: 1 });
                }
                text
            }
            (Data::Continue, None) => return Err(FrameError::NothingToContinue),
            (Data::Text | Data::Binary, Some(_)) => return Err(FrameError::MessageInMessage),
            (Data::Reserved(_), _) => return Err(FrameError::ReservedOpcode),
        };
        if !is_final {
            return Ok(None);
        }
        self.fragments = None;
        Ok(Some(text))
    }

    fn message(&mut self, kind: Kind) -> Result<Message<'_>, FrameError> {
        let message = match kind {
            Kind::Data { text } => {
                let payload = &self.buffer[self.message.0..self.message.1];
                if !text {
                    return Ok(Message::Binary(payload));
                }
                std::str::from_utf8(payload).map(Message::Text).map_err(|_| FrameError::NotUtf8)
            }
            Kind::Control(control, length) => control_frame(control, &self.control[..length]),
        };
        if let Err(error) = message {
            self.failed = Some(error);
        }
        message
    }

    fn check_head(&self, head: &FrameHeader, length: u64) -> Result<(), FrameError> {
        if head.rsv1 || head.rsv2 || head.rsv3 {
            return Err(FrameError::ReservedBits);
        }
        if head.mask.is_some() {
            return Err(FrameError::Masked);
        }
        if let OpCode::Control(_) = head.opcode {
            if length > CONTROL_BYTES_MAX as u64 {
                return Err(FrameError::ControlTooLong);
            }
            return if head.is_final { Ok(()) } else { Err(FrameError::ControlFragmented) };
        }
        let joined = match self.fragments {
            Some(_) => self.message.1 - self.message.0,
            None => 0,
        };
        if length > (self.message_bytes_max - joined) as u64 {
            return Err(FrameError::TooLong);
        }
        Ok(())
    }

    /// Moves what is still needed to the buffer's begin when little room is left behind it.
    fn make_room(&mut self) {
        let kept = if self.fragments.is_some() { self.message } else { (self.start, self.start) };
        if kept.0 == kept.1 && self.start == self.end {
            self.message = (0, 0);
            self.start = 0;
            self.end = 0;
            return;
        }
        if self.buffer.len() - self.end >= READ_BYTES {
            return;
        }
        let joined = kept.1 - kept.0;
        self.buffer.copy_within(kept.0..kept.1, 0);
        self.buffer.copy_within(self.start..self.end, joined);
        self.end = joined + (self.end - self.start);
        self.start = joined;
        self.message = (0, joined);
    }
}

/// What a server sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// A text message.
    Text(&'a str),
    /// A binary message.
    Binary(&'a [u8]),
    /// A ping; its payload belongs into the pong.
    Ping(&'a [u8]),
    /// A pong.
    Pong(&'a [u8]),
    /// The peer closes; `code` is `None` when it gave none.
    Close {
        /// The close code (RFC 6455 §7.4).
        code: Option<u16>,
        /// The reason, as text.
        reason: &'a str,
    },
}

/// Why a server's bytes are not WebSocket. The connection cannot be used further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// A reserved bit is set; no extension was agreed on.
    ReservedBits,
    /// An opcode without meaning.
    ReservedOpcode,
    /// A server must not mask.
    Masked,
    /// A control frame of more than 125 bytes.
    ControlTooLong,
    /// A control frame in fragments.
    ControlFragmented,
    /// A continuation without a message.
    NothingToContinue,
    /// A message begins inside another.
    MessageInMessage,
    /// A message longer than the reader's limit.
    TooLong,
    /// A message of more than [`FRAGMENTS_MAX`] fragments.
    TooManyFragments,
    /// Text that is not UTF-8.
    NotUtf8,
    /// A close frame with a code or a reason that the standard forbids.
    BadClose,
}

/// Appends the text message `payload` to `out`, as one frame masked with `mask`.
pub fn frame(out: &mut ByteQueue, payload: &[u8], mask: [u8; 4]) -> Result<(), NoRoom> {
    write_frame(out, OPCODE_TEXT, payload, mask)
}

/// Appends a pong that answers a ping of `payload`.
///
/// # Panics
/// When `payload` is longer than 125 bytes.
pub fn pong(out: &mut ByteQueue, payload: &[u8], mask: [u8; 4]) -> Result<(), NoRoom> {
    assert!(payload.len() <= CONTROL_BYTES_MAX, "a control frame holds 125 bytes");
    write_frame(out, OPCODE_PONG, payload, mask)
}

/// Appends a close frame with `code` and no reason.
pub fn close(out: &mut ByteQueue, code: u16, mask: [u8; 4]) -> Result<(), NoRoom> {
    write_frame(out, OPCODE_CLOSE, &code.to_be_bytes(), mask)
}

/// Bytes that a client's frame of `payload_bytes` takes on the wire.
pub const fn frame_bytes(payload_bytes: usize) -> usize {
    payload_bytes
        + match payload_bytes {
            0..=125 => 6,
            126..=0xFFFF => 8,
            _ => 14,
        }
}

fn write_frame(
    out: &mut ByteQueue,
    opcode: u8,
    payload: &[u8],
    mask: [u8; 4],
) -> Result<(), NoRoom> {
    let total = frame_bytes(payload.len());
    let bytes = out.reserve(total)?;
    bytes[0] = FIN | opcode;
    match payload.len() {
        short @ 0..=125 => bytes[1] = MASKED | short as u8,
        middle @ 126..=0xFFFF => {
            bytes[1] = MASKED | 126;
            bytes[2..4].copy_from_slice(&(middle as u16).to_be_bytes());
        }
        long => {
            bytes[1] = MASKED | 127;
            bytes[2..10].copy_from_slice(&(long as u64).to_be_bytes());
        }
    }
    let (head, body) = bytes.split_at_mut(total - payload.len());
    let key = head.len() - mask.len();
    head[key..].copy_from_slice(&mask);
    for (to, from) in body.chunks_mut(4).zip(payload.chunks(4)) {
        for ((to, from), key) in to.iter_mut().zip(from).zip(mask) {
            *to = from ^ key;
        }
    }
    out.commit(total);
    Ok(())
}

fn control_frame(control: Control, payload: &[u8]) -> Result<Message<'_>, FrameError> {
    match control {
        Control::Ping => Ok(Message::Ping(payload)),
        Control::Pong => Ok(Message::Pong(payload)),
        Control::Reserved(_) => Err(FrameError::ReservedOpcode),
        Control::Close => match payload {
            [] => Ok(Message::Close { code: None, reason: "" }),
            [high, low, reason @ ..] => {
                let code = u16::from_be_bytes([*high, *low]);
                // RFC 6455 §7.4: what may stand in a frame, with the codes registered since.
                if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
                    return Err(FrameError::BadClose);
                }
                let reason = std::str::from_utf8(reason).map_err(|_| FrameError::BadClose)?;
                Ok(Message::Close { code: Some(code), reason })
            }
            [_] => Err(FrameError::BadClose),
        },
    }
}

/// The opening handshake: the request to send, then the answer to be checked.
#[derive(Debug)]
pub struct Upgrade {
    handshake: Option<MidHandshake<ClientHandshake<Pipe>>>,
    answer: Vec<u8>,
}

impl Upgrade {
    /// Writes the request for `path` (with its query) at `host` (with its port, where it is not the
    /// scheme's own) to `out`. `key` is the nonce of `Sec-WebSocket-Key`; `headers` are added.
    pub fn begin(
        host: &str,
        path: &str,
        headers: &[(&str, &str)],
        key: [u8; 16],
        out: &mut ByteQueue,
    ) -> Result<Self, UpgradeError> {
        let request = request(host, path, headers, key).ok_or(UpgradeError::BadRequest)?;
        let start = ClientHandshake::start(Pipe::default(), request, None)
            .map_err(|_| UpgradeError::BadRequest)?;
        match start.handshake() {
            Err(HandshakeError::Interrupted(mut handshake)) => {
                let written = std::mem::take(&mut handshake.get_mut().get_mut().written);
                out.push(&written).map_err(|NoRoom| UpgradeError::BadRequest)?;
                Ok(Self { handshake: Some(handshake), answer: Vec::new() })
            }
            Ok(_) | Err(HandshakeError::Failure(_)) => Err(UpgradeError::BadRequest),
        }
    }

    /// Takes in bytes of the answer and returns how many belong to it, and whether it is complete and
    /// accepts the upgrade. Bytes behind the answer are frames and stay the caller's.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<(usize, bool), UpgradeError> {
        let before = self.answer.len();
        let take = bytes.len().min(ANSWER_BYTES_MAX - before);
        self.answer.extend_from_slice(&bytes[..take]);
        let from = before.saturating_sub(HEAD_END.len() - 1);
        let found = self.answer[from..].windows(HEAD_END.len()).position(|w| w == HEAD_END);
        let Some(found) = found else {
            let full = self.answer.len() == ANSWER_BYTES_MAX;
            return if full { Err(UpgradeError::TooLong) } else { Ok((take, false)) };
        };
        let whole = from + found + HEAD_END.len();
        self.answer.truncate(whole);
        self.check()?;
        Ok((whole - before, true))
    }

    fn check(&mut self) -> Result<(), UpgradeError> {
        let mut handshake = self.handshake.take().ok_or(UpgradeError::BadAnswer)?;
        handshake.get_mut().get_mut().unread = Cursor::new(std::mem::take(&mut self.answer));
        let answer = match handshake.handshake() {
            Ok((_, answer)) => answer,
            Err(HandshakeError::Failure(tungstenite::Error::Http(answer))) => {
                return Err(UpgradeError::Status(answer.status().as_u16()));
            }
            Err(_) => return Err(UpgradeError::BadAnswer),
        };
        // RFC 6455 §4.1: an extension that was not offered fails the connection.
        if answer.headers().contains_key("sec-websocket-extensions") {
            return Err(UpgradeError::UnknownExtension);
        }
        Ok(())
    }
}

/// Why an upgrade did not come about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpgradeError {
    /// Host, path or headers cannot be written as a request.
    BadRequest,
    /// The server answered with this status instead of 101.
    Status(u16),
    /// The answer is not HTTP, or does not accept this very request.
    BadAnswer,
    /// The server uses an extension that was not offered.
    UnknownExtension,
    /// The answer's head is longer than [`ANSWER_BYTES_MAX`].
    TooLong,
}

fn request(
    host: &str,
    path: &str,
    headers: &[(&str, &str)],
    key: [u8; 16],
) -> Option<http::Request<()>> {
    let mut request = format!("wss://{host}{path}").into_client_request().ok()?;
    let key = base64::engine::general_purpose::STANDARD.encode(key);
    let own = request.headers_mut();
    own.insert("Sec-WebSocket-Key", HeaderValue::from_str(&key).ok()?);
    for (name, value) in headers {
        own.insert(
            HeaderName::from_bytes(name.as_bytes()).ok()?,
            HeaderValue::from_str(value).ok()?,
        );
    }
    Some(request)
}

/// The two directions of the handshake as buffers, for tungstenite to read and write.
#[derive(Debug, Default)]
struct Pipe {
    written: Vec<u8>,
    unread: Cursor<Vec<u8>>,
}

impl Read for Pipe {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self.unread.read(into)? {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            count => Ok(count),
        }
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.written.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[derive(Clone, Copy, Debug)]
struct Fragments {
    text: bool,
    count: u32,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Data { text: bool },
    Control(Control, usize),
}

/// Bytes that fit behind a whole message, so that a read is never tiny.
pub const READ_BYTES: usize = 16 << 10;
/// Fragments that a message may come in.
pub const FRAGMENTS_MAX: u32 = 4096;
/// Bytes that the head of the answer to an upgrade may have.
pub const ANSWER_BYTES_MAX: usize = 16 << 10;

const CONTROL_BYTES_MAX: usize = 125;
const FRAME_HEAD_BYTES_MAX: usize = 14;
const HEAD_END: &[u8] = b"\r\n\r\n";
const FIN: u8 = 0x80;
const MASKED: u8 = 0x80;
const OPCODE_TEXT: u8 = 1;
const OPCODE_CLOSE: u8 = 8;
const OPCODE_PONG: u8 = 10;
