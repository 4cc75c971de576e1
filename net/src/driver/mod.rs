//! Sockets and TLS: the only place of this crate that touches the operating system.
//!
//! A [`Stream`] is a TCP connection with TLS on it. [`Stream::pump`] moves plaintext between it and
//! a [`Protocol`] without blocking: connecting, the TLS handshake, reading until the socket has no
//! more, and writing what it will take. Time and addresses are arguments; names are looked up
//! elsewhere.
//!
//! A stream is moved between threads whole: nothing that was read stays behind. The receiving
//! thread registers it and pumps once before it waits, because bytes may already be inside.
//!
//! rustls 0.23 allocates once for each record read and once for each record written. Nothing else
//! here allocates once a stream is open.

pub mod poll;
pub mod tcp;
pub mod tls;

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;

use keel_core::units::MonoNanos;
use rand::TryRng;
use rand::rngs::SysRng;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};

pub use poll::{Poller, Readiness, Wait};
pub use tcp::SocketOptions;

use crate::proto::Protocol;

/// A protocol and the stream it runs on, handed from thread to thread as one.
#[derive(Debug)]
pub struct Connection<P> {
    /// Where the bytes go.
    pub stream: Stream,
    /// What they mean.
    pub protocol: P,
}

impl<P: Protocol> Connection<P> {
    /// [`Stream::pump`] between the two.
    pub fn pump(&mut self, now: MonoNanos) -> Result<Pumped, StreamError> {
        self.stream.pump(&mut self.protocol, now)
    }
}

/// A TCP connection, with TLS unless it stays on this machine.
#[derive(Debug)]
pub struct Stream {
    tcp: mio::net::TcpStream,
    tls: Option<ClientConnection>,
    phase: Phase,
    open_by: MonoNanos,
    readable: bool,
    writable: bool,
    /// An end or an error waits behind the bytes that can be read.
    ending: bool,
    /// Bytes were read that the peer has not been told of.
    unacknowledged: bool,
}

impl Stream {
    /// Begins to connect to `address`, to be open by `open_by`.
    pub fn connect(
        address: SocketAddr,
        security: Security,
        options: SocketOptions,
        open_by: MonoNanos,
    ) -> Result<Self, StreamError> {
        let tls = match security {
            Security::Tls { config, name } => Some(tls::connection(config, name)?),
            Security::LoopbackPlaintext if address.ip().is_loopback() => None,
            Security::LoopbackPlaintext => return Err(StreamError::PlaintextRefused),
        };
        let tcp = tcp::connect(address, options).map_err(|error| StreamError::from_io(&error))?;
        let phase = Phase::Connecting;
        Ok(Self {
            tcp,
            tls,
            phase,
            open_by,
            readable: true,
            writable: true,
            ending: false,
            unacknowledged: false,
        })
    }

    /// Moves bytes both ways as far as they go now.
    ///
    /// When the stream ends or breaks after it was open, `protocol` is told by
    /// [`Protocol::closed`], after everything that was read before. An error is told once; before
    /// the stream was open it is the caller's to tell the protocol.
    ///
    /// What was read is acknowledged to the peer by the first pump after it that moves nothing, so
    /// that what a frame leads to is sent first. Whoever has read pumps again before it waits.
    pub fn pump(
        &mut self,
        protocol: &mut impl Protocol,
        now: MonoNanos,
    ) -> Result<Pumped, StreamError> {
        let mut pumped = Pumped::default();
        let result = match self.phase {
            Phase::Ended => return Ok(pumped),
            Phase::Connecting => self.finish_connect().and_then(|connected| match connected {
                true => self.exchange(protocol, &mut pumped, now),
                false => Ok(()),
            }),
            Phase::Securing | Phase::Open => self.exchange(protocol, &mut pumped, now),
        };
        let result = match result {
            Ok(()) if !self.is_open() && !self.is_ended() && now >= self.open_by => {
                Err(StreamError::TimedOut)
            }
            other => other,
        };
        if let Err(error) = result {
            if self.phase == Phase::Open {
                protocol.closed(false, now);
            }
            self.phase = Phase::Ended;
            return Err(error);
        }
        self.unacknowledged |= pumped.received > 0;
        if self.unacknowledged && pumped == Pumped::default() && self.phase == Phase::Open {
            self.unacknowledged = false;
            tcp::acknowledge(&self.tcp);
        }
        Ok(pumped)
    }

    /// Takes in what a [`Poller`] said of this stream.
    pub fn ready(&mut self, readiness: Readiness) {
        self.readable |= readiness.readable;
        self.writable |= readiness.writable;
        self.ending |= readiness.ended;
    }

    /// Makes the next pump try the socket although nothing was said of it: for spinning without a
    /// poller.
    pub fn assume_ready(&mut self) {
        self.readable = true;
        self.writable = true;
    }

    /// True once TCP and TLS are established and until the stream ends.
    pub fn is_open(&self) -> bool {
        self.phase == Phase::Open
    }

    /// True when the stream has ended: drop it.
    pub fn is_ended(&self) -> bool {
        self.phase == Phase::Ended
    }

    /// When the stream must be open; [`MonoNanos::NEVER`] once it is.
    pub fn deadline(&self) -> MonoNanos {
        match self.phase {
            Phase::Connecting | Phase::Securing => self.open_by,
            Phase::Open | Phase::Ended => MonoNanos::NEVER,
        }
    }

    /// The TLS version and cipher suite in use, for the record.
    pub fn cipher(&self) -> Option<rustls::CipherSuite> {
        self.tls.as_ref()?.negotiated_cipher_suite().map(|suite| suite.suite())
    }

    /// Tells the peer that no more will be sent, as far as the socket takes that now, and ends.
    pub fn close(&mut self) {
        if let Some(tls) = &mut self.tls
            && self.phase == Phase::Open
        {
            tls.send_close_notify();
            // A peer that does not take it sees the end of the stream.
            let _ = tls.write_tls(&mut self.tcp);
        }
        self.phase = Phase::Ended;
    }

    /// True when TCP is connected; an error when it will not be.
    fn finish_connect(&mut self) -> Result<bool, StreamError> {
        if !self.writable {
            return Ok(false);
        }
        match self.tcp.take_error() {
            Ok(None) => {}
            Ok(Some(error)) | Err(error) => return Err(StreamError::from_io(&error)),
        }
        match self.tcp.peer_addr() {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotConnected => {
                self.writable = false;
                return Ok(false);
            }
            Err(error) => return Err(StreamError::from_io(&error)),
        }
        self.phase = if self.tls.is_some() { Phase::Securing } else { Phase::Open };
        Ok(true)
    }

    /// Writes, reads, and writes what reading gave rise to. What can still be read is read although
    /// writing failed.
    fn exchange(
        &mut self,
        protocol: &mut impl Protocol,
        pumped: &mut Pumped,
        now: MonoNanos,
    ) -> Result<(), StreamError> {
        let wrote = self.write(protocol, pumped, now);
        self.readable |= wrote.is_err();
        self.read(protocol, pumped, now)?;
        if pumped.more || self.is_ended() {
            return Ok(()); // a failed write fails again when all has been read
        }
        wrote?;
        self.write(protocol, pumped, now)
    }

    fn write(
        &mut self,
        protocol: &mut impl Protocol,
        pumped: &mut Pumped,
        now: MonoNanos,
    ) -> Result<(), StreamError> {
        while self.writable {
            let bytes = if self.is_open() { protocol.transmit() } else { &[] };
            let wrote = match &mut self.tls {
                None if bytes.is_empty() => return Ok(()),
                None => self.tcp.write(bytes).inspect(|&count| {
                    pumped.sent += count;
                    protocol.sent(count, now);
                }),
                Some(tls) if tls.wants_write() => tls.write_tls(&mut self.tcp),
                Some(_) if bytes.is_empty() => return Ok(()),
                Some(tls) => tls.writer().write(bytes).inspect(|&count| {
                    pumped.sent += count;
                    protocol.sent(count, now);
                }),
            };
            match wrote {
                Ok(0) => return Err(StreamError::Io(ErrorKind::WriteZero)),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.writable = false,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(StreamError::from_io(&error)),
            }
        }
        Ok(())
    }

    fn read(
        &mut self,
        protocol: &mut impl Protocol,
        pumped: &mut Pumped,
        now: MonoNanos,
    ) -> Result<(), StreamError> {
        loop {
            let drained = match &mut self.tls {
                Some(tls) => drain(&mut tls.reader(), protocol, pumped, now)?,
                None if self.readable => {
                    let drained = drain(&mut self.tcp, protocol, pumped, now)?;
                    self.readable &= drained != Drained::Empty;
                    drained
                }
                None => Drained::Empty,
            };
            match drained {
                Drained::Ended { .. } if !self.is_open() => return Err(StreamError::Reset),
                Drained::Ended { clean } => {
                    // Without TLS nothing tells a cut from an end.
                    protocol.closed(clean, now);
                    self.phase = Phase::Ended;
                    return Ok(());
                }
                Drained::NoRoom => {
                    pumped.more = true;
                    return Ok(());
                }
                Drained::Empty if !self.readable => return Ok(()),
                Drained::Empty => self.read_records()?,
            }
        }
    }

    /// Reads from the socket once and decrypts what came.
    fn read_records(&mut self) -> Result<(), StreamError> {
        let Some(tls) = &mut self.tls else { return Ok(()) };
        let mut tap = Tap { tcp: &mut self.tcp, asked: 0 };
        match tls.read_tls(&mut tap) {
            Ok(0) => self.readable = false,
            // A read that came back short has emptied the socket (epoll(7)), and what comes later
            // makes it ready again. This saves the read that would only say so. An end that was
            // told together with these bytes is not told again: then reading goes on.
            Ok(count) => self.readable = count == tap.asked || self.ending,
            Err(error) if error.kind() == ErrorKind::WouldBlock => self.readable = false,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(StreamError::from_io(&error)),
        }
        if let Err(error) = tls.process_new_packets() {
            // The alert that says why; a peer that does not take it sees the end of the stream.
            let _ = tls.write_tls(&mut self.tcp);
            return Err(StreamError::from_tls(error));
        }
        if self.phase == Phase::Securing && !tls.is_handshaking() {
            self.phase = Phase::Open;
        }
        Ok(())
    }
}

/// Reads plaintext into `protocol` until there is no more or no room.
fn drain(
    from: &mut impl Read,
    protocol: &mut impl Protocol,
    pumped: &mut Pumped,
    now: MonoNanos,
) -> Result<Drained, StreamError> {
    loop {
        let spare = protocol.spare();
        if spare.is_empty() {
            return Ok(Drained::NoRoom);
        }
        match from.read(spare) {
            Ok(0) => return Ok(Drained::Ended { clean: true }),
            Ok(count) => {
                pumped.received += count;
                protocol.received(count, now);
            }
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock => return Ok(Drained::Empty),
                ErrorKind::UnexpectedEof => return Ok(Drained::Ended { clean: false }),
                ErrorKind::Interrupted => {}
                _ => return Err(StreamError::from_io(&error)),
            },
        }
    }
}

/// Sees how much a read was for.
struct Tap<'a> {
    tcp: &'a mut mio::net::TcpStream,
    asked: usize,
}

impl Read for Tap<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.asked = into.len();
        self.tcp.read(into)
    }
}

/// How a stream is protected.
#[derive(Clone, Debug)]
pub enum Security {
    /// TLS 1.2 or 1.3; the peer must prove to be `name`.
    Tls {
        /// From [`tls::client_config`]; shared, so that sessions are resumed.
        config: Arc<ClientConfig>,
        /// The name or address in the peer's certificate.
        name: ServerName<'static>,
    },
    /// None, and loopback addresses only.
    LoopbackPlaintext,
}

/// What a pump moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pumped {
    /// Plaintext bytes given to the protocol.
    pub received: usize,
    /// Plaintext bytes taken from the protocol.
    pub sent: usize,
    /// True when the protocol had no room: take its payloads and pump again, without waiting.
    pub more: bool,
}

/// Why a stream did not come about or broke.
#[derive(Clone, Debug, PartialEq)]
pub enum StreamError {
    /// Nobody listens there.
    Refused,
    /// No way leads there.
    Unreachable,
    /// TCP and TLS were not established in time.
    TimedOut,
    /// The peer or the network broke the connection.
    Reset,
    /// The peer's certificate is not trusted, not valid now, or for another name.
    Untrusted(rustls::CertificateError),
    /// The peer does not speak TLS, or not a version we accept.
    NoTls(rustls::Error),
    /// TLS failed otherwise.
    Tls(rustls::Error),
    /// Plaintext to an address that is not on this machine.
    PlaintextRefused,
    /// Anything else the operating system said.
    Io(ErrorKind),
}

impl StreamError {
    fn from_io(error: &io::Error) -> Self {
        match error.kind() {
            ErrorKind::ConnectionRefused => Self::Refused,
            ErrorKind::NetworkUnreachable | ErrorKind::HostUnreachable => Self::Unreachable,
            ErrorKind::TimedOut => Self::TimedOut,
            ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe => {
                Self::Reset
            }
            other => Self::Io(other),
        }
    }

    fn from_tls(error: rustls::Error) -> Self {
        use rustls::AlertDescription::{HandshakeFailure, ProtocolVersion};
        match error {
            rustls::Error::InvalidCertificate(reason) => Self::Untrusted(reason),
            rustls::Error::InvalidMessage(_)
            | rustls::Error::PeerIncompatible(_)
            | rustls::Error::AlertReceived(ProtocolVersion | HandshakeFailure) => {
                Self::NoTls(error)
            }
            other => Self::Tls(other),
        }
    }
}

impl fmt::Display for StreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused => f.write_str("connection refused: nobody listens there"),
            Self::Unreachable => f.write_str("the address cannot be reached from here"),
            Self::TimedOut => f.write_str("no connection in time"),
            Self::Reset => f.write_str("the connection was broken off"),
            Self::Untrusted(reason) => write!(f, "the certificate is not trusted: {reason}"),
            Self::NoTls(reason) => write!(f, "no TLS 1.2 or 1.3 there: {reason}"),
            Self::Tls(reason) => write!(f, "TLS failed: {reason}"),
            Self::PlaintextRefused => f.write_str("plaintext is for loopback addresses only"),
            Self::Io(kind) => write!(f, "input or output failed: {kind}"),
        }
    }
}

impl std::error::Error for StreamError {}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Connecting,
    Securing,
    Open,
    Ended,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Drained {
    Empty,
    NoRoom,
    Ended { clean: bool },
}

/// A seed for [`crate::proto::session::Session::new`] from the operating system.
pub fn seed() -> io::Result<[u8; 32]> {
    let mut seed = [0; 32];
    SysRng.try_fill_bytes(&mut seed).map_err(io::Error::other)?;
    Ok(seed)
}

/// How long TCP and TLS may take together.
pub const OPEN_NS_MAX: u64 = 4 * keel_core::units::SECONDS;
