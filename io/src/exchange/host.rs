//! The host's thread: sockets and TLS around the sans-IO exchange.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener as StdListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use keel_core::units::UnixNanos;
use keel_sim::bitget::{ConnId, ConnKind, Exchange};
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token, Waker};
use rustls::{ServerConfig, ServerConnection};

/// The venue's time: UTC at the start, and from then on the monotonic clock, times a factor.
///
/// The system's monotonic clock is disciplined as its UTC is, so the two do not drift apart.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    started: Instant,
    utc: UnixNanos,
    speed: u32,
}

impl Pace {
    /// Begins now.
    pub(super) fn start(speed: u32) -> Self {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let utc = UnixNanos(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX));
        Self { started: Instant::now(), utc, speed }
    }

    /// The venue's time.
    pub(super) fn now(&self) -> UnixNanos {
        let passed = i64::try_from(self.started.elapsed().as_nanos()).unwrap_or(i64::MAX);
        UnixNanos(self.utc.0.saturating_add(passed.saturating_mul(i64::from(self.speed))))
    }

    /// How long to sleep until the venue's time is `at`.
    fn until(&self, at: UnixNanos) -> Duration {
        let left = at.0.saturating_sub(self.now().0).max(0) / i64::from(self.speed);
        Duration::from_nanos(left.unsigned_abs())
    }
}

/// Everything the thread owns.
#[derive(Debug)]
pub(super) struct Host {
    exchange: Exchange,
    pace: Pace,
    poll: Poll,
    waker: Arc<Waker>,
    stop: Arc<AtomicBool>,
    listeners: [(TcpListener, ConnKind); 2],
    tls: Option<Arc<ServerConfig>>,
    sockets: BTreeMap<ConnId, Socket>,
    /// Whether clients may wait that could not be accepted.
    unaccepted: bool,
    /// Sockets that had more to read than one turn allows.
    unread: BTreeSet<ConnId>,
    /// Sockets whose last bytes are out, until the client has closed or the time is up.
    lingering: Vec<(TcpStream, Instant)>,
}

#[derive(Debug)]
struct Socket {
    stream: TcpStream,
    tls: Option<Box<ServerConnection>>,
}

impl Host {
    /// Takes listening sockets for the API and for the administration.
    pub(super) fn new(
        exchange: Exchange,
        pace: Pace,
        (api, admin): (StdListener, StdListener),
        tls: Option<Arc<ServerConfig>>,
        stop: Arc<AtomicBool>,
    ) -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        let mut listeners = [
            (TcpListener::from_std(api), ConnKind::Api),
            (TcpListener::from_std(admin), ConnKind::Admin),
        ];
        for ((listener, _), token) in listeners.iter_mut().zip(LISTENERS) {
            poll.registry().register(listener, token, Interest::READABLE)?;
        }
        Ok(Self {
            exchange,
            pace,
            poll,
            waker,
            stop,
            listeners,
            tls,
            sockets: BTreeMap::new(),
            unaccepted: false,
            unread: BTreeSet::new(),
            lingering: Vec::new(),
        })
    }

    /// Wakes the thread from its sleep.
    pub(super) fn waker(&self) -> Arc<Waker> {
        Arc::clone(&self.waker)
    }

    /// Serves until it is told to stop.
    pub(super) fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS_MAX);
        let mut ready = Vec::new();
        // Acquire: pairs with the Release of whoever stops.
        while !self.stop.load(Ordering::Acquire) {
            let now = self.pace.now();
            if self.exchange.deadline() <= now {
                self.exchange.step(now);
            }
            self.exchange.drain_ready(&mut ready);
            for conn in ready.drain(..) {
                self.flush(conn);
            }
            let sleep = if self.unread.is_empty() { self.sleep() } else { Duration::ZERO };
            match self.poll.poll(&mut events, Some(sleep)) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            self.serve(&events);
        }
        Ok(())
    }

    fn sleep(&mut self) -> Duration {
        let sleep = self.pace.until(self.exchange.deadline()).min(SLEEP_MAX);
        self.lingering.retain_mut(|(stream, until)| *until > Instant::now() && !drained(stream));
        let quiet = self.lingering.is_empty() && !self.unaccepted;
        if quiet { sleep } else { sleep.min(LOOK_AGAIN) }
    }

    fn serve(&mut self, events: &Events) {
        if std::mem::take(&mut self.unaccepted) {
            for listener in 0..LISTENERS.len() {
                self.accept(listener);
            }
        }
        for event in events {
            match event.token() {
                WAKER => {}
                token if token == LISTENERS[0] => self.accept(0),
                token if token == LISTENERS[1] => self.accept(1),
                token => {
                    let conn = conn_of(token);
                    if event.is_readable() || event.is_read_closed() || event.is_error() {
                        self.unread.insert(conn);
                    }
                    if event.is_writable() {
                        self.flush(conn);
                    }
                }
            }
        }
        for conn in std::mem::take(&mut self.unread) {
            self.read(conn);
        }
    }

    fn accept(&mut self, listener: usize) {
        loop {
            let (listener, kind) = &self.listeners[listener];
            let (stream, peer) = match listener.accept() {
                Ok(accepted) => accepted,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => continue,
                // Out of descriptors, most likely: clients wait until some are free again.
                Err(_) => {
                    self.unaccepted = true;
                    return;
                }
            };
            let now = self.pace.now();
            let Some(conn) = self.exchange.open(*kind, peer.ip(), now) else { continue };
            let tls = match (&self.tls, kind) {
                (Some(config), ConnKind::Api) => ServerConnection::new(Arc::clone(config)).ok(),
                _ => None,
            };
            let mut socket = Socket { stream, tls: tls.map(Box::new) };
            let _ = socket.stream.set_nodelay(true);
            let interest = Interest::READABLE | Interest::WRITABLE;
            let token = token_of(conn);
            if self.poll.registry().register(&mut socket.stream, token, interest).is_err() {
                self.exchange.close(conn);
                continue;
            }
            self.sockets.insert(conn, socket);
        }
    }

    /// Reads what a client sent, up to its share of a turn.
    fn read(&mut self, conn: ConnId) {
        let mut buffer = [0; READ_BYTES];
        for _ in 0..READS_PER_TURN {
            let Some(socket) = self.sockets.get_mut(&conn) else { return };
            let received = match socket.read(&mut buffer) {
                Ok(Some(received)) => received,
                Ok(None) => {
                    // The handshake may have something to say before any plaintext comes.
                    self.flush(conn);
                    return;
                }
                Err(_) => return self.cut(conn),
            };
            if received == 0 {
                self.flush(conn);
                return self.cut(conn);
            }
            self.exchange.receive(conn, &buffer[..received], self.pace.now());
            if self.exchange.is_closing(conn) {
                return;
            }
        }
        self.unread.insert(conn);
    }

    /// Writes what waits for a client; closes the connection when it is to be closed.
    fn flush(&mut self, conn: ConnId) {
        let Some(socket) = self.sockets.get_mut(&conn) else { return };
        loop {
            match socket.write(self.exchange.transmit(conn)) {
                Ok(0) => break,
                Ok(taken) => self.exchange.sent(conn, taken),
                Err(_) => return self.cut(conn),
            }
        }
        if self.exchange.is_closing(conn) {
            self.finish(conn);
        }
    }

    /// Ends a connection from this side: what could be written was; the client has a moment to read
    /// it.
    fn finish(&mut self, conn: ConnId) {
        self.exchange.close(conn);
        self.unread.remove(&conn);
        let Some(mut socket) = self.sockets.remove(&conn) else { return };
        if let Some(tls) = &mut socket.tls {
            tls.send_close_notify();
            let _ = tls.write_tls(&mut socket.stream);
        }
        let _ = self.poll.registry().deregister(&mut socket.stream);
        let _ = socket.stream.shutdown(Shutdown::Write);
        if self.lingering.len() < LINGERING_MAX {
            self.lingering.push((socket.stream, Instant::now() + LINGER));
        }
    }

    /// Drops a connection.
    fn cut(&mut self, conn: ConnId) {
        self.exchange.close(conn);
        self.unread.remove(&conn);
        if let Some(mut socket) = self.sockets.remove(&conn) {
            let _ = self.poll.registry().deregister(&mut socket.stream);
        }
    }
}

impl Socket {
    /// Plaintext from the client: `Some(0)` at its end, `None` when there is none now.
    fn read(&mut self, out: &mut [u8]) -> io::Result<Option<usize>> {
        let Some(tls) = &mut self.tls else { return calm(self.stream.read(out)) };
        loop {
            match calm(tls.reader().read(out)) {
                Ok(None) => {}
                // A client that ends without a close_notify has ended all the same.
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(Some(0)),
                found => return found,
            }
            match calm(tls.read_tls(&mut self.stream))? {
                None => return Ok(None),
                Some(_) => {
                    if let Err(error) = tls.process_new_packets() {
                        // The alert tells the client why.
                        let _ = tls.write_tls(&mut self.stream);
                        return Err(io::Error::new(ErrorKind::InvalidData, error));
                    }
                }
            }
        }
    }

    /// Writes plaintext to the client and gives how much of it was taken. Zero: nothing more for
    /// now.
    fn write(&mut self, plaintext: &[u8]) -> io::Result<usize> {
        let Some(tls) = &mut self.tls else {
            if plaintext.is_empty() {
                return Ok(0);
            }
            return calm(self.stream.write(plaintext)).map(Option::unwrap_or_default);
        };
        // Its own buffer is bounded: it takes no more than there is room for.
        let taken = if plaintext.is_empty() { 0 } else { tls.writer().write(plaintext)? };
        while tls.wants_write() {
            if calm(tls.write_tls(&mut self.stream))?.is_none() {
                break;
            }
        }
        Ok(taken)
    }
}

/// `None` when the call would have blocked.
fn calm(outcome: io::Result<usize>) -> io::Result<Option<usize>> {
    match outcome {
        Ok(n) => Ok(Some(n)),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Throws away what a client still sends; true when it has closed.
fn drained(stream: &mut TcpStream) -> bool {
    let mut buffer = [0; READ_BYTES];
    for _ in 0..READS_PER_TURN {
        match calm(stream.read(&mut buffer)) {
            Ok(None) => return false,
            Ok(Some(0)) | Err(_) => return true,
            Ok(Some(_)) => {}
        }
    }
    false
}

const fn token_of(conn: ConnId) -> Token {
    Token(conn.0 as usize + FIRST_CONN)
}

const fn conn_of(token: Token) -> ConnId {
    ConnId((token.0 - FIRST_CONN) as u64)
}

const WAKER: Token = Token(0);
const LISTENERS: [Token; 2] = [Token(1), Token(2)];
const FIRST_CONN: usize = 3;
const EVENTS_MAX: usize = 256;
/// One read of a socket.
const READ_BYTES: usize = 16 * 1024;
/// Reads of one socket before the others have their turn.
const READS_PER_TURN: usize = 8;
/// The longest sleep; the order to stop wakes the thread before.
const SLEEP_MAX: Duration = Duration::from_secs(1);
/// How long a client has to take its last bytes.
const LINGER: Duration = Duration::from_secs(1);
/// How often clients that have been closed, or wait to be accepted, are looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// Clients that are given that time at once.
const LINGERING_MAX: usize = 64;
