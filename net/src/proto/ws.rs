//! WebSocket, client side (RFC 6455), without a socket.
//!
//! [`Upgrade`] is the opening handshake: tungstenite writes and checks it over an in-memory pipe.
//! [`Reader`] turns bytes into messages: tungstenite parses each frame's header from our own
//! buffer, the payload is handed out where it lies. Fragments are joined in place. After the
//! handshake neither reading nor writing allocates or copies, but for control frames of at most 125
//! bytes, fragments, and the rest of a frame when the buffer's end is reached. [`frame`] writes
//! frames; the mask is an argument, because it must be fresh and unpredictable live, and seeded in
//! simulation.

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

    /// Room for bytes that arrive: at least one byte once [`Reader::read`] has returned `Ok(None)`.
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

    /// The payload of the message that [`Reader::read`] returned last, when that was data; it stays
    /// until the reader is used again.
    pub(super) fn payload(&self) -> &[u8] {
        &self.buffer[self.message.0..self.message.1]
    }

    /// The next whole message or control frame, `None` when more bytes are needed. An error is
    /// final: it is returned again until [`Reader::reset`].
    pub fn read(&mut self) -> Result<Option<Message<'_>>, FrameError> {
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

    /// Takes in bytes of the answer and returns how many belong to it, and whether it is complete
    /// and accepts the upgrade. Bytes behind the answer are frames and stay the caller's.
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

/// The server's side, for the tests of this crate: written here and by tungstenite, not by the code
/// under test.
#[cfg(test)]
pub(crate) mod peer {
    use tungstenite::handshake::derive_accept_key;

    /// A server's frame: `first` is the first byte, opcode and bits.
    pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![first];
        match payload.len() {
            short @ 0..=125 => bytes.push(short as u8),
            middle @ 126..=0xFFFF => {
                bytes.push(126);
                bytes.extend((middle as u16).to_be_bytes());
            }
            long => {
                bytes.push(127);
                bytes.extend((long as u64).to_be_bytes());
            }
        }
        bytes.extend(payload);
        bytes
    }

    pub(crate) fn text(payload: &str) -> Vec<u8> {
        frame(0x81, payload.as_bytes())
    }

    pub(crate) fn close(code: u16) -> Vec<u8> {
        frame(0x88, &code.to_be_bytes())
    }

    /// The answer that accepts the upgrade in `request`.
    pub(crate) fn accept(request: &[u8]) -> Vec<u8> {
        let request = std::str::from_utf8(request).unwrap();
        let key = request.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: "));
        let accept = derive_accept_key(key.unwrap().as_bytes());
        format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {accept}\r\n\r\n"
        )
        .into_bytes()
    }

    /// The client's frames in `bytes`, unmasked: first byte, mask and payload of each.
    pub(crate) fn read_client(mut bytes: &[u8]) -> Vec<(u8, [u8; 4], Vec<u8>)> {
        let mut frames = Vec::new();
        while let [first, second, ..] = *bytes {
            assert_eq!(second & 0x80, 0x80, "a client masks");
            let (length, at) = match second & 0x7F {
                126 => (u16::from_be_bytes([bytes[2], bytes[3]]) as usize, 4),
                127 => (u64::from_be_bytes(bytes[2..10].try_into().unwrap()) as usize, 10),
                short => (short as usize, 2),
            };
            let mask: [u8; 4] = bytes[at..at + 4].try_into().unwrap();
            let payload = &bytes[at + 4..at + 4 + length];
            let plain = payload.iter().enumerate().map(|(n, byte)| byte ^ mask[n % 4]).collect();
            frames.push((first, mask, plain));
            bytes = &bytes[at + 4 + length..];
        }
        frames
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What a reader yielded, owned.
    #[derive(Clone, Debug, PartialEq)]
    enum Seen {
        Text(String),
        Binary(Vec<u8>),
        Ping(Vec<u8>),
        Pong(Vec<u8>),
        Close(Option<u16>, String),
        Error(FrameError),
    }

    /// Feeds `bytes` in pieces of the given sizes, over and over, and collects what comes.
    fn read(reader: &mut Reader, mut bytes: &[u8], sizes: &[usize]) -> Vec<Seen> {
        let mut seen = Vec::new();
        let mut sizes = sizes.iter().cycle();
        while !bytes.is_empty() {
            let spare = reader.spare();
            let take = (*sizes.next().unwrap()).clamp(1, bytes.len()).min(spare.len());
            assert!(take > 0, "no room although everything was read");
            spare[..take].copy_from_slice(&bytes[..take]);
            reader.received(take);
            bytes = &bytes[take..];
            loop {
                seen.push(match reader.read() {
                    Ok(None) => break,
                    Ok(Some(Message::Text(text))) => Seen::Text(text.to_owned()),
                    Ok(Some(Message::Binary(bytes))) => Seen::Binary(bytes.to_vec()),
                    Ok(Some(Message::Ping(bytes))) => Seen::Ping(bytes.to_vec()),
                    Ok(Some(Message::Pong(bytes))) => Seen::Pong(bytes.to_vec()),
                    Ok(Some(Message::Close { code, reason })) => {
                        Seen::Close(code, reason.to_owned())
                    }
                    Err(error) => {
                        seen.push(Seen::Error(error));
                        return seen;
                    }
                });
            }
        }
        seen
    }

    fn read_whole(bytes: &[u8]) -> Vec<Seen> {
        read(&mut Reader::new(LIMIT), bytes, &[usize::MAX])
    }

    fn refused(bytes: &[u8]) -> FrameError {
        let whole = read_whole(bytes);
        assert_eq!(read(&mut Reader::new(LIMIT), bytes, &[1]), whole);
        match whole[..] {
            [Seen::Error(error)] => error,
            _ => panic!("{whole:?} for {bytes:?}"),
        }
    }

    #[test]
    fn a_length_of_64_megabytes_is_refused_at_the_head() {
        let mut head = vec![0x82, 127];
        head.extend((64u64 << 20).to_be_bytes());
        assert_eq!(refused(&head), FrameError::TooLong);
        let mut lie = vec![0x81, 127];
        lie.extend((u64::MAX >> 1).to_be_bytes());
        lie.extend([b'x'; 10]);
        assert_eq!(refused(&lie), FrameError::TooLong);
        assert_eq!(refused(&[0x81, 126, 0x01, 0x01]), FrameError::TooLong, "257 of 256");
    }

    #[test]
    fn a_message_of_the_limit_is_read_and_one_more_byte_in_fragments_is_refused() {
        let payload = "x".repeat(LIMIT);
        assert_eq!(read_whole(&peer::text(&payload)), [Seen::Text(payload.clone())]);
        let mut parts = peer::frame(0x01, payload.as_bytes());
        parts.extend(peer::frame(0x00, b""));
        parts.extend(peer::frame(0x80, b"y"));
        assert_eq!(refused(&parts), FrameError::TooLong);
    }

    #[test]
    fn what_the_standard_forbids_is_refused_by_name() {
        let case = |bytes: &[u8], error| assert_eq!(refused(bytes), error, "{bytes:02x?}");
        for bit in [0x40, 0x20, 0x10] {
            case(&[0x81 | bit, 0], FrameError::ReservedBits);
            case(&[0x89 | bit, 0], FrameError::ReservedBits);
        }
        for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
            case(&[0x80 | opcode, 0], FrameError::ReservedOpcode);
        }
        case(&[0x81, 0x81, 1, 2, 3, 4, 0], FrameError::Masked);
        case(&[0x89, 126, 0, 126], FrameError::ControlTooLong);
        case(&[0x09, 0], FrameError::ControlFragmented);
        case(&[0x80, 0], FrameError::NothingToContinue);
        case(&[0x01, 1, b'a', 0x81, 0], FrameError::MessageInMessage);
    }

    #[test]
    fn text_that_is_not_utf8_is_refused() {
        let bad: [&[u8]; 6] = [
            b"\xff",
            b"\xc0\xaf",         // overlong
            b"\xe0\x80\xaf",     // overlong
            b"\xed\xa0\x80",     // a surrogate
            b"abc\xe2\x82",      // cut off
            b"\xf4\x90\x80\x80", // beyond the last character
        ];
        for payload in bad {
            assert_eq!(refused(&peer::frame(0x81, payload)), FrameError::NotUtf8);
        }
    }

    #[test]
    fn a_character_may_be_split_between_fragments() {
        let mut bytes = peer::frame(0x01, b"\xe2\x82");
        bytes.extend(peer::frame(0x89, b"here?"));
        bytes.extend(peer::frame(0x80, b"\xac"));
        let expected = [Seen::Ping(b"here?".to_vec()), Seen::Text("€".to_owned())];
        assert_eq!(read_whole(&bytes), expected);
        assert_eq!(read(&mut Reader::new(LIMIT), &bytes, &[1]), expected);
    }

    #[test]
    fn close_codes_are_taken_as_the_standard_has_them() {
        for code in [1000, 1001, 1003, 1007, 1011, 1014, 3000, 4999] {
            assert_eq!(read_whole(&peer::close(code)), [Seen::Close(Some(code), String::new())]);
        }
        for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535] {
            assert_eq!(refused(&peer::close(code)), FrameError::BadClose, "{code}");
        }
        assert_eq!(refused(&peer::frame(0x88, &[3])), FrameError::BadClose);
        assert_eq!(refused(&peer::frame(0x88, &[3, 0xe8, 0xff])), FrameError::BadClose);
        assert_eq!(read_whole(&peer::frame(0x88, &[])), [Seen::Close(None, String::new())]);
    }

    #[test]
    fn a_message_in_too_many_fragments_is_refused() {
        let mut bytes = peer::frame(0x01, b"");
        let last = FRAGMENTS_MAX - 1;
        (0..last).for_each(|_| bytes.extend(peer::frame(0x00, b"")));
        let mut whole = bytes.clone();
        whole.extend(peer::frame(0x80, b"end"));
        assert_eq!(refused(&whole), FrameError::TooManyFragments);
        let mut fits = bytes[..bytes.len() - 2].to_vec();
        fits.extend(peer::frame(0x80, b"end"));
        assert_eq!(read_whole(&fits), [Seen::Text("end".to_owned())]);
    }

    #[test]
    fn an_error_stays_until_reset() {
        let mut reader = Reader::new(LIMIT);
        assert_eq!(read(&mut reader, &[0xC1, 0], &[2]), [Seen::Error(FrameError::ReservedBits)]);
        assert_eq!(reader.read(), Err(FrameError::ReservedBits));
        reader.reset();
        assert_eq!(read(&mut reader, &peer::text("new"), &[9]), [Seen::Text("new".to_owned())]);
    }

    #[test]
    fn tungstenite_reads_the_frames_written_here() {
        for length in [0, 1, 3, 4, 5, 125, 126, 127, 65_535, 65_536, 100_000] {
            let payload: String = (0..length).map(|n| char::from(b'a' + (n % 26) as u8)).collect();
            let mut out = ByteQueue::new(200_000);
            frame(&mut out, payload.as_bytes(), [1, 2, 3, 250]).unwrap();
            assert_eq!(out.len(), frame_bytes(length));
            pong(&mut out, b"pong", [9; 4]).unwrap();
            close(&mut out, 1000, [7; 4]).unwrap();
            let pipe = Pipe { written: Vec::new(), unread: Cursor::new(out.pending().to_vec()) };
            let role = tungstenite::protocol::Role::Server;
            let mut server = tungstenite::WebSocket::from_raw_socket(pipe, role, None);
            assert_eq!(server.read().unwrap(), tungstenite::Message::text(payload));
            assert_eq!(server.read().unwrap(), tungstenite::Message::Pong("pong".into()));
            let tungstenite::Message::Close(Some(close)) = server.read().unwrap() else { panic!() };
            assert_eq!(u16::from(close.code), 1000);
        }
    }

    #[test]
    fn a_frame_without_room_writes_nothing() {
        let mut out = ByteQueue::new(16);
        assert_eq!(frame(&mut out, &[0; 11], [0; 4]), Err(NoRoom));
        assert!(out.is_empty());
        assert_eq!(frame(&mut out, &[0; 10], [0; 4]), Ok(()));
    }

    fn begin() -> (Upgrade, Vec<u8>) {
        let mut out = ByteQueue::new(4096);
        let key = *b"the sample nonce";
        let headers = [("paptrading", "1")];
        let upgrade =
            Upgrade::begin("ws.example:8443", "/v3/ws/public?x=1", &headers, key, &mut out);
        (upgrade.unwrap(), out.pending().to_vec())
    }

    #[test]
    fn an_upgrade_asks_as_the_standard_says() {
        let (_, request) = begin();
        let request = String::from_utf8(request).unwrap();
        assert!(request.starts_with("GET /v3/ws/public?x=1 HTTP/1.1\r\n"), "{request}");
        assert!(request.ends_with("\r\n\r\n"));
        for line in [
            "Host: ws.example:8443",
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Version: 13",
            // RFC 6455 §1.3
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            "paptrading: 1",
        ] {
            assert!(request.lines().any(|l| l == line), "{line} in {request}");
        }
    }

    #[test]
    fn an_upgrade_takes_its_answer_and_leaves_the_frames_behind_it() {
        for size in [1, 2, 7, 1000] {
            let (mut upgrade, request) = begin();
            let mut answer = peer::accept(&request);
            assert!(
                answer.windows(28).any(|w| w == b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
                "RFC 6455 §1.3"
            );
            let head = answer.len();
            answer.extend(peer::text("first"));
            let mut at = 0;
            loop {
                let end = answer.len().min(at + size);
                let (taken, complete) = upgrade.receive(&answer[at..end]).unwrap();
                at += taken;
                if complete {
                    break;
                }
                assert_eq!(at, end);
            }
            assert_eq!(at, head);
        }
    }

    #[test]
    fn an_upgrade_that_is_not_accepted_is_refused_by_name() {
        let edited = |from: &str, to: &str| {
            let (mut upgrade, request) = begin();
            let answer = String::from_utf8(peer::accept(&request)).unwrap();
            assert!(answer.contains(from));
            upgrade.receive(answer.replace(from, to).as_bytes()).unwrap_err()
        };
        assert_eq!(edited("101 Switching Protocols", "403 Forbidden"), UpgradeError::Status(403));
        assert_eq!(edited("101 Switching Protocols", "302 Found"), UpgradeError::Status(302));
        assert_eq!(edited("HTTP/1.1", "HTTP/0.9"), UpgradeError::BadAnswer);
        assert_eq!(edited("s3pPLMB", "s3pPLMC"), UpgradeError::BadAnswer);
        assert_eq!(edited("Upgrade: websocket\r\n", ""), UpgradeError::BadAnswer);
        assert_eq!(edited("Connection: Upgrade\r\n", ""), UpgradeError::BadAnswer);
        let extended = "\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n";
        assert_eq!(edited("\r\n\r\n", extended), UpgradeError::UnknownExtension);
        let (mut upgrade, _) = begin();
        assert_eq!(upgrade.receive(&[b'x'; ANSWER_BYTES_MAX]), Err(UpgradeError::TooLong));
        let mut out = ByteQueue::new(4096);
        let bad = Upgrade::begin("a b", "/", &[], [0; 16], &mut out);
        assert_eq!(bad.unwrap_err(), UpgradeError::BadRequest);
    }

    #[derive(Clone, Debug)]
    enum Sent {
        Text(String, usize),
        Binary(Vec<u8>, usize),
        Ping(Vec<u8>),
        Pong(Vec<u8>),
    }

    fn sent() -> impl Strategy<Value = Sent> {
        let bytes = || prop::collection::vec(any::<u8>(), 0..LIMIT);
        let control = || prop::collection::vec(any::<u8>(), 0..126);
        prop_oneof![
            ("[a-z€]{0,80}", 1usize..5).prop_map(|(text, parts)| Sent::Text(text, parts)),
            (bytes(), 1usize..5).prop_map(|(bytes, parts)| Sent::Binary(bytes, parts)),
            control().prop_map(Sent::Ping),
            control().prop_map(Sent::Pong),
        ]
    }

    /// The frames of a message in `parts` fragments, with a ping after each but the last.
    fn fragments(opcode: u8, payload: &[u8], parts: usize, seen: &mut Vec<Seen>) -> Vec<u8> {
        let size = payload.len() / parts;
        let mut bytes = Vec::new();
        for part in 0..parts {
            let last = part + 1 == parts;
            let end = if last { payload.len() } else { (part + 1) * size };
            let first = if part == 0 { opcode } else { 0 } | if last { 0x80 } else { 0 };
            bytes.extend(peer::frame(first, &payload[part * size..end]));
            if !last {
                bytes.extend(peer::frame(0x89, &[part as u8]));
                seen.push(Seen::Ping(vec![part as u8]));
            }
        }
        bytes
    }

    proptest! {
        #[test]
        fn it_does_not_matter_how_bytes_and_messages_are_cut(
            messages in prop::collection::vec(sent(), 0..12),
            sizes in prop::collection::vec(1usize..300, 1..6),
        ) {
            let mut expected = Vec::new();
            let mut bytes = Vec::new();
            for message in messages {
                match message {
                    Sent::Text(text, parts) => {
                        bytes.extend(fragments(1, text.as_bytes(), parts, &mut expected));
                        expected.push(Seen::Text(text));
                    }
                    Sent::Binary(payload, parts) => {
                        bytes.extend(fragments(2, &payload, parts, &mut expected));
                        expected.push(Seen::Binary(payload));
                    }
                    Sent::Ping(payload) => {
                        bytes.extend(peer::frame(0x89, &payload));
                        expected.push(Seen::Ping(payload));
                    }
                    Sent::Pong(payload) => {
                        bytes.extend(peer::frame(0x8A, &payload));
                        expected.push(Seen::Pong(payload));
                    }
                }
            }
            for sizes in [&sizes[..], &[1], &[usize::MAX]] {
                let mut reader = Reader::new(LIMIT);
                prop_assert_eq!(&read(&mut reader, &bytes, sizes), &expected);
                prop_assert!(!reader.is_mid_message());
            }
        }

        #[test]
        fn garbage_gives_the_same_refusal_however_it_is_cut(
            bytes in prop::collection::vec(prop_oneof![0u8..16, 0x80u8..0x90, any::<u8>()], 0..400),
            sizes in prop::collection::vec(1usize..50, 1..4),
        ) {
            let whole = read_whole(&bytes);
            prop_assert_eq!(read(&mut Reader::new(LIMIT), &bytes, &sizes), whole);
        }
    }

    #[test]
    fn a_long_stream_keeps_its_place_at_the_end_of_the_buffer() {
        let payload = "y".repeat(200);
        let one = peer::text(&payload);
        let stream: Vec<u8> = one.iter().copied().cycle().take(one.len() * 1000).collect();
        for size in [997, 4096, 16_384] {
            let seen = read(&mut Reader::new(LIMIT), &stream, &[size]);
            assert_eq!(seen.len(), 1000);
            assert!(seen.iter().all(|seen| *seen == Seen::Text(payload.clone())));
        }
    }

    const LIMIT: usize = 256;
}
