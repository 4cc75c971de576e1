//! Frames: where one message ends and the next begins in the bytes of a connection, as somebody in
//! the middle sees it who has no part in it.
//!
//! It shares no code with either side, and reads only what both of ours write: HTTP with a length,
//! then WebSocket text in single frames.

/// A message, whole, as its bytes stood on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// An HTTP request or response.
    Http(Vec<u8>),
    /// A WebSocket text, and what it says.
    Text {
        /// The frame.
        bytes: Vec<u8>,
        /// Its payload, unmasked.
        text: Vec<u8>,
    },
    /// Any other frame.
    Control(Vec<u8>),
}

impl Piece {
    /// Its bytes.
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::Http(bytes) | Self::Control(bytes) | Self::Text { bytes, .. } => bytes,
        }
    }

    /// What it says to somebody: the text of a frame, or an HTTP message whole.
    pub(super) fn text(&self) -> Option<&[u8]> {
        match self {
            Self::Http(text) | Self::Text { text, .. } => Some(text),
            Self::Control(_) => None,
        }
    }
}

/// Cuts one direction of a connection into pieces.
#[derive(Clone, Debug, Default)]
pub(super) struct Splitter {
    buffer: Vec<u8>,
    websocket: bool,
}

impl Splitter {
    /// Appends bytes.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next piece that is whole.
    pub(super) fn next(&mut self) -> Option<Piece> {
        if self.websocket { self.frame() } else { self.http() }
    }

    fn http(&mut self) -> Option<Piece> {
        let end = find(&self.buffer, b"\r\n\r\n")? + 4;
        let head = String::from_utf8_lossy(&self.buffer[..end]).to_ascii_lowercase();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length:"))
            .map_or(0, |length| length.trim().parse().unwrap_or(0));
        let whole = end + length;
        if self.buffer.len() < whole {
            return None;
        }
        self.websocket = head.contains("upgrade: websocket");
        Some(Piece::Http(self.buffer.drain(..whole).collect()))
    }

    fn frame(&mut self) -> Option<Piece> {
        let [first, second, ..] = *self.buffer else { return None };
        let masked = second & 0x80 != 0;
        let (length, head) = match second & 0x7f {
            126 => (be(self.buffer.get(2..4)?), 4),
            127 => (be(self.buffer.get(2..10)?), 10),
            short => (usize::from(short), 2),
        };
        let start = head + if masked { 4 } else { 0 };
        let whole = start + length;
        if self.buffer.len() < whole {
            return None;
        }
        let bytes: Vec<u8> = self.buffer.drain(..whole).collect();
        if first != FINAL_TEXT {
            return Some(Piece::Control(bytes));
        }
        let mut text = bytes[start..].to_vec();
        if masked {
            let mask = &bytes[head..start];
            text.iter_mut().enumerate().for_each(|(at, byte)| *byte ^= mask[at % 4]);
        }
        Some(Piece::Text { bytes, text })
    }
}

/// A server's frame that says `text`.
pub(super) fn server_text(text: &[u8]) -> Vec<u8> {
    let mut bytes = vec![FINAL_TEXT];
    match text.len() {
        length @ 0..=125 => bytes.push(length as u8),
        length @ 126..=0xffff => {
            bytes.push(126);
            bytes.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            bytes.push(127);
            bytes.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    bytes.extend_from_slice(text);
    bytes
}

/// Where `needle` begins in `haystack`.
pub(super) fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

fn be(bytes: &[u8]) -> usize {
    bytes.iter().fold(0, |number, &byte| number << 8 | usize::from(byte))
}

/// The first byte of a text in a single frame (RFC 6455 §5.2).
const FINAL_TEXT: u8 = 0x81;

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(bytes: &[u8], step: usize) -> Vec<Piece> {
        let mut splitter = Splitter::default();
        let mut found = Vec::new();
        for part in bytes.chunks(step) {
            splitter.push(part);
            while let Some(piece) = splitter.next() {
                found.push(piece);
            }
        }
        found
    }

    #[test]
    fn pieces_do_not_depend_on_segments() {
        let mut bytes = b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\n\r\n".to_vec();
        for length in [0, 1, 125, 126, 70_000] {
            bytes.extend(server_text(&vec![b'x'; length]));
        }
        bytes.extend([0x89, 0]);
        let whole = pieces(&bytes, bytes.len());
        assert_eq!(whole.len(), 7);
        assert_eq!(whole.iter().map(|p| p.bytes().len()).sum::<usize>(), bytes.len());
        for step in [1, 3, 1_000] {
            assert_eq!(pieces(&bytes, step), whole, "segments of {step}");
        }
    }

    #[test]
    fn a_masked_text_is_read() {
        let mut bytes = b"GET /v3 HTTP/1.1\r\nUpgrade: WebSocket\r\n\r\n".to_vec();
        let mask = [1, 2, 3, 4];
        bytes.extend([0x81, 0x80 | 5]);
        bytes.extend(mask);
        bytes.extend(b"hello".iter().enumerate().map(|(at, byte)| byte ^ mask[at % 4]));
        let found = pieces(&bytes, 7);
        assert!(matches!(&found[1], Piece::Text { text, .. } if text == b"hello"), "{found:?}");
    }

    #[test]
    fn responses_with_a_length_follow_each_other() {
        let bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}HTTP/1.1 404 No\r\n\r\n";
        assert_eq!(pieces(bytes, 5).len(), 2);
    }
}
