//! The server side of a WebSocket over an in-memory pipe, sans-IO.
//!
//! The upgrade's request was read by [`super::http`]; this takes the bytes after it.

use std::io::{self, Read, Write};

use tungstenite::handshake::derive_accept_key;
use tungstenite::protocol::frame::CloseFrame;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::{Role, WebSocket, WebSocketConfig};
use tungstenite::{Error, Message, Utf8Bytes};

use super::outbound::Outbound;

/// The longest message taken from a client, bytes.
pub(super) const MESSAGE_BYTES_MAX: usize = 64 * 1024;

/// What a client sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Received {
    /// A text message.
    Text(Utf8Bytes),
    /// A binary message, which this venue does not read.
    Binary,
    /// The client closed, or broke the protocol; the answer stands in the outbound bytes.
    Closed,
}

/// One accepted WebSocket.
#[derive(Debug)]
pub(super) struct Socket {
    inner: WebSocket<Pipe>,
}

impl Socket {
    /// Answers the upgrade request whose key is `key`; `rest` are the bytes that followed it, and
    /// `outbound` is what waits to be sent before the answer.
    pub(super) fn accept(key: &str, rest: Vec<u8>, outbound: Outbound) -> Self {
        let mut pipe = Pipe { inbound: Vec::new(), read: 0, outbound };
        let accept = derive_accept_key(key.as_bytes());
        pipe.outbound.push(
            format!(
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
                 Connection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
            )
            .as_bytes(),
        );
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_BYTES)
            .write_buffer_size(0)
            .max_message_size(Some(MESSAGE_BYTES_MAX))
            .max_frame_size(Some(MESSAGE_BYTES_MAX));
        Self { inner: WebSocket::from_partially_read(pipe, rest, Role::Server, Some(config)) }
    }

    /// Takes received bytes.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.inner.get_mut().inbound.extend_from_slice(bytes);
    }

    /// The next message, if a whole one has arrived. Protocol pings are answered on the way.
    pub(super) fn step(&mut self) -> Option<Received> {
        loop {
            return match self.inner.read() {
                Ok(Message::Text(text)) => Some(Received::Text(text)),
                Ok(Message::Binary(_)) => Some(Received::Binary),
                Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => continue,
                Ok(Message::Close(_)) => {
                    let _ = self.inner.flush();
                    Some(Received::Closed)
                }
                Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => None,
                Err(Error::Capacity(_)) => {
                    self.close(CloseCode::Size);
                    Some(Received::Closed)
                }
                Err(Error::Utf8(_)) => {
                    self.close(CloseCode::Invalid);
                    Some(Received::Closed)
                }
                Err(_) => {
                    self.close(CloseCode::Protocol);
                    Some(Received::Closed)
                }
            };
        }
    }

    /// Queues a text message. After a close it is dropped.
    pub(super) fn send(&mut self, text: impl Into<Utf8Bytes>) {
        let _ = self.inner.send(Message::Text(text.into()));
    }

    /// Takes the last `n` bytes back that wait to be sent.
    pub(super) fn forget(&mut self, n: usize) {
        self.inner.get_mut().outbound.forget(n);
    }

    /// Queues a close frame.
    pub(super) fn close(&mut self, code: CloseCode) {
        let frame = CloseFrame { code, reason: Utf8Bytes::from_static("") };
        let _ = self.inner.close(Some(frame));
        let _ = self.inner.flush();
    }

    /// Bytes to be written to the client.
    pub(super) fn outbound(&self) -> &[u8] {
        self.inner.get_ref().outbound.bytes()
    }

    /// Notes that `n` bytes of [`Socket::outbound`] were written.
    pub(super) fn sent(&mut self, n: usize) {
        self.inner.get_mut().outbound.sent(n);
    }
}

/// tungstenite's read window, of the size of an order. It is zeroed at each read, so that a larger
/// one costs more than it saves.
const READ_BUFFER_BYTES: usize = 512;

/// Two byte queues that look like a stream which never blocks on writing.
#[derive(Debug)]
struct Pipe {
    inbound: Vec<u8>,
    read: usize,
    outbound: Outbound,
}

impl Read for Pipe {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let waiting = &self.inbound[self.read..];
        if waiting.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let n = waiting.len().min(out.len());
        out[..n].copy_from_slice(&waiting[..n]);
        self.read += n;
        if self.read == self.inbound.len() {
            self.inbound.clear();
            self.read = 0;
        }
        Ok(n)
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.outbound.push(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

    fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
        let mask = [1u8, 2, 3, 4];
        let mut bytes = vec![0x80 | opcode];
        match payload.len() {
            len @ 0..=125 => bytes.push(0x80 | len as u8),
            len => {
                bytes.push(0x80 | 126);
                bytes.extend_from_slice(&(len as u16).to_be_bytes());
            }
        }
        bytes.extend_from_slice(&mask);
        bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(b, m)| b ^ m));
        bytes
    }

    fn open() -> Socket {
        let mut socket = Socket::accept(KEY, Vec::new(), Outbound::default());
        let upgrade = String::from_utf8(socket.outbound().to_vec()).unwrap();
        // The answer to the key of RFC 6455 §1.3.
        assert!(upgrade.contains("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
        assert!(upgrade.starts_with("HTTP/1.1 101 ") && upgrade.ends_with("\r\n\r\n"));
        socket.sent(upgrade.len());
        assert!(socket.outbound().is_empty());
        socket
    }

    #[test]
    fn a_message_in_one_byte_segments_is_read_once_and_whole() {
        let mut socket = open();
        let mut seen = Vec::new();
        for byte in frame(1, b"{\"op\":\"subscribe\"}") {
            socket.push(&[byte]);
            seen.extend(socket.step());
        }
        assert_eq!(seen, [Received::Text("{\"op\":\"subscribe\"}".into())]);
    }

    #[test]
    fn bytes_that_came_with_the_upgrade_are_not_lost() {
        let mut socket = Socket::accept(KEY, frame(1, b"ping"), Outbound::default());
        assert_eq!(socket.step(), Some(Received::Text("ping".into())));
        assert_eq!(socket.step(), None);
    }

    #[test]
    fn a_sent_text_is_one_unmasked_frame() {
        let mut socket = open();
        socket.send("pong");
        assert_eq!(socket.outbound(), b"\x81\x04pong");
        socket.sent(2);
        assert_eq!(socket.outbound(), b"pong");
    }

    #[test]
    fn protocol_pings_are_answered_between_messages() {
        let mut socket = open();
        socket.push(&frame(9, b"x"));
        assert_eq!(socket.step(), None);
        assert_eq!(socket.outbound(), b"\x8a\x01x");
    }

    #[test]
    fn what_breaks_the_protocol_closes_the_socket() {
        let unmasked = b"\x81\x01a".to_vec();
        let reserved = vec![0xf1, 0x81, 0, 0, 0, 0, b'a'];
        let lie = [vec![0x81, 0xff], u64::MAX.to_be_bytes().to_vec(), vec![0; 4]].concat();
        let large = [vec![0x81, 0xff], 70_000u64.to_be_bytes().to_vec(), vec![0; 4]].concat();
        let not_utf8 = frame(1, &[0xc0, 0x80]);
        for bytes in [unmasked, reserved, lie, large, not_utf8, frame(8, b"\x03\xe8")] {
            let mut socket = open();
            socket.push(&bytes);
            assert_eq!(socket.step(), Some(Received::Closed), "{}", bytes.escape_ascii());
            assert_eq!(socket.outbound().first(), Some(&0x88), "{}", bytes.escape_ascii());
            socket.send("late");
        }
    }
}
