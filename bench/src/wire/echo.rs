//! Echoes: the floor. They read as many bytes as a frame has and answer with as many as an order
//! has.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

use tungstenite::protocol::WebSocketConfig;
use tungstenite::{Error, Message, WebSocket};

use super::tls::{ClientStream, Identity};
use super::{Baton, Turn};

/// Bytes against bytes, over TCP or TLS.
pub struct Raw {
    stream: Stream,
    buffer: Vec<u8>,
    answer: Vec<u8>,
    received: usize,
    /// 0 when an order is to be answered next, 1 when a cancel is.
    kind: usize,
}

enum Stream {
    Tcp(TcpStream),
    Tls(Box<ClientStream>),
}

impl Raw {
    /// Connects, over TLS where an identity is given.
    ///
    /// # Panics
    /// When it cannot.
    pub fn open(address: SocketAddr, identity: Option<&Identity>) -> Self {
        let stream = match identity {
            None => {
                let tcp = TcpStream::connect(address).expect("the venue listens");
                tcp.set_nodelay(true).expect("a TCP socket");
                tcp.set_nonblocking(true).expect("a socket");
                Stream::Tcp(tcp)
            }
            Some(identity) => {
                let tls = identity.connect(address).expect("the venue speaks TLS");
                tls.sock.set_nonblocking(true).expect("a socket");
                Stream::Tls(Box::new(tls))
            }
        };
        let (buffer, answer) = (vec![0; 16 << 10], vec![b'o'; 16 << 10]);
        Self { stream, buffer, answer, received: 0, kind: 0 }
    }
}

impl Turn for Raw {
    fn turn(&mut self, baton: &Baton) {
        self.received += match self.stream.read(&mut self.buffer) {
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            Err(error) => panic!("the venue keeps the connection: {error}"),
        };
        let (frame, answer) = baton.echo_bytes(self.kind);
        if self.received < frame {
            return;
        }
        self.stream.write(&self.answer[..answer]).expect("an answer fits the socket");
        self.received = 0;
        self.kind ^= 1;
        baton.rest();
    }
}

impl Stream {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(tcp) => tcp.read(into),
            Self::Tls(tls) => {
                tls.conn.read_tls(&mut tls.sock)?;
                tls.conn.process_new_packets().map_err(io::Error::other)?;
                tls.conn.reader().read(into)
            }
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Tcp(tcp) => tcp.write_all(bytes),
            Self::Tls(tls) => {
                tls.conn.writer().write_all(bytes)?;
                while tls.conn.wants_write() {
                    tls.conn.write_tls(&mut tls.sock)?;
                }
                Ok(())
            }
        }
    }
}

/// A message against a message, by tungstenite over TLS, with a read buffer of 8 KiB.
pub struct Messages {
    socket: WebSocket<ClientStream>,
    kind: usize,
}

impl Messages {
    /// Connects and upgrades.
    ///
    /// # Panics
    /// When it cannot.
    pub fn open(address: SocketAddr, identity: &Identity) -> Self {
        let config = WebSocketConfig::default().read_buffer_size(8 << 10);
        Self { socket: upgrade(address, identity, Some(config)), kind: 0 }
    }
}

impl Turn for Messages {
    fn turn(&mut self, baton: &Baton) {
        let Some(_) = next(&mut self.socket) else { return };
        let (_, answer) = baton.echo_bytes(self.kind);
        // The rest of the answer is the frame's head and mask (RFC 6455 §5.2).
        let payload = if answer <= 131 { answer - 6 } else { answer - 8 };
        self.socket.send(Message::text("o".repeat(payload))).expect("an answer fits");
        self.kind ^= 1;
        baton.rest();
    }
}

/// A WebSocket as a client of the venue, whose socket does not block.
pub(super) fn upgrade(
    address: SocketAddr,
    identity: &Identity,
    config: Option<WebSocketConfig>,
) -> WebSocket<ClientStream> {
    let stream = identity.connect(address).expect("the venue speaks TLS");
    let (socket, _) = tungstenite::client::client_with_config("wss://localhost/", stream, config)
        .expect("the venue upgrades");
    socket.get_ref().sock.set_nonblocking(true).expect("a socket");
    socket
}

/// The next text message, if one is there.
pub(super) fn next(socket: &mut WebSocket<ClientStream>) -> Option<Message> {
    match socket.read() {
        Ok(message) => Some(message),
        Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => None,
        Err(error) => panic!("the venue keeps the connection: {error}"),
    }
}
