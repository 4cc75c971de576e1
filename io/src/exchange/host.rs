//! The host's thread: sockets and TLS around the sans-IO exchange.
//!
//! Nobody's turn is long: of a socket that has more, of clients that want to come in and of
//! handshakes that want to be worked, a few are taken, and the rest after everybody else.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
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
    /// What TLS is served with, and how long a handshake may take; none in plaintext.
    tls: Option<(Arc<ServerConfig>, Duration)>,
    sockets: BTreeMap<ConnId, Socket>,
    /// When clients are looked for that wait to be accepted, though nothing has told of them.
    accept_again: Option<Instant>,
    /// Handshakes in the order of their deadlines; some may be over.
    handshakes: VecDeque<(Instant, ConnId)>,
    /// Sockets that had more to read than one turn allows.
    unread: BTreeSet<ConnId>,
    /// Lent to [`Host::read`], so that nothing is zeroed for a read.
    buffer: Box<[u8]>,
    /// Sockets whose last bytes are out, until the client has closed or the time is up.
    lingering: Vec<(TcpStream, Instant)>,
    /// When those are looked at next.
    linger_look: Instant,
}

#[derive(Debug)]
struct Socket {
    stream: TcpStream,
    tls: Option<Box<ServerConnection>>,
    /// Whether the last read of the stream left room in its buffer, and so nothing in the stream.
    short: bool,
    /// Whether the end of the stream is there to be read, whatever stands before it.
    read_to_end: bool,
}

impl Host {
    /// Takes listening sockets for the API and for the administration.
    pub(super) fn new(
        exchange: Exchange,
        pace: Pace,
        (api, admin): (StdListener, StdListener),
        tls: Option<(Arc<ServerConfig>, Duration)>,
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
            accept_again: None,
            handshakes: VecDeque::new(),
            unread: BTreeSet::new(),
            buffer: vec![0; READ_BYTES].into(),
            lingering: Vec::new(),
            linger_look: Instant::now(),
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

    /// How long to sleep; ends on the way what has lingered or shaken hands for too long.
    fn sleep(&mut self) -> Duration {
        let mut sleep = self.pace.until(self.exchange.deadline()).min(SLEEP_MAX);
        let now = Instant::now();
        if let Some(at) = self.accept_again {
            sleep = sleep.min(at.saturating_duration_since(now));
        }
        if !self.lingering.is_empty() {
            if self.linger_look <= now {
                self.lingering.retain_mut(|(stream, until)| *until > now && !drained(stream));
                self.linger_look = now + LOOK_AGAIN;
            }
            sleep = sleep.min(self.linger_look.saturating_duration_since(now));
        }
        while let Some(&(until, conn)) = self.handshakes.front() {
            let shaking = self.sockets.get(&conn).is_some_and(Socket::is_handshaking);
            if shaking && until > now {
                return sleep.min(until - now);
            }
            self.handshakes.pop_front();
            if shaking {
                self.cut(conn);
            }
        }
        sleep
    }

    fn serve(&mut self, events: &Events) {
        if self.accept_again.is_some_and(|at| at <= Instant::now()) {
            self.accept_again = None;
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
                    if (event.is_read_closed() || event.is_error())
                        && let Some(socket) = self.sockets.get_mut(&conn)
                    {
                        socket.read_to_end = true;
                    }
                    if event.is_writable() {
                        self.flush(conn);
                    }
                }
            }
        }
        // Handshakes cost most, and those who make them have waited for nothing yet.
        let ready = std::mem::take(&mut self.unread);
        let shaking = |conn: &ConnId| self.sockets.get(conn).is_some_and(Socket::is_handshaking);
        let (mut young, old): (Vec<_>, Vec<_>) = ready.into_iter().partition(shaking);
        let later = young.split_off(young.len().min(HANDSHAKES_PER_TURN));
        for conn in old.into_iter().chain(young) {
            self.read(conn);
        }
        self.unread.extend(later);
    }

    /// Accepts clients, up to their share of a turn.
    fn accept(&mut self, listener: usize) {
        for _ in 0..ACCEPTS_PER_TURN {
            let (listener, kind) = &self.listeners[listener];
            let (stream, peer) = match listener.accept() {
                Ok(accepted) => accepted,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => continue,
                // Out of descriptors, most likely: clients wait until some are free again.
                Err(_) => {
                    self.accept_again = Some(Instant::now() + LOOK_AGAIN);
                    return;
                }
            };
            let now = self.pace.now();
            let Some(conn) = self.exchange.open(*kind, peer.ip(), now) else { continue };
            let tls = match (&self.tls, kind) {
                (Some((config, limit)), ConnKind::Api) => {
                    self.handshakes.push_back((Instant::now() + *limit, conn));
                    ServerConnection::new(Arc::clone(config)).ok()
                }
                _ => None,
            };
            let tls = tls.map(Box::new);
            let mut socket = Socket { stream, tls, short: false, read_to_end: false };
            let _ = socket.stream.set_nodelay(true);
            let interest = Interest::READABLE | Interest::WRITABLE;
            let token = token_of(conn);
            if self.poll.registry().register(&mut socket.stream, token, interest).is_err() {
                self.exchange.close(conn);
                continue;
            }
            self.sockets.insert(conn, socket);
        }
        self.accept_again = Some(Instant::now());
    }

    /// Reads what a client sent, up to its share of a turn.
    fn read(&mut self, conn: ConnId) {
        for _ in 0..READS_PER_TURN {
            let Some(socket) = self.sockets.get_mut(&conn) else { return };
            let received = match socket.read(&mut self.buffer) {
                Ok(Some(received)) => received,
                Ok(None) => {
                    // The handshake may have something to say before any plaintext comes.
                    self.flush(conn);
                    return;
                }
                Err(_) => return self.cut(conn),
            };
            if received == 0 {
                return self.exchange.end(conn, self.pace.now());
            }
            let drained = socket.is_drained();
            self.exchange.receive(conn, &self.buffer[..received], self.pace.now());
            if drained || self.exchange.is_closing(conn) {
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
    /// Whether its TLS handshake is still going on.
    fn is_handshaking(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.is_handshaking())
    }

    /// Whether nothing is left to be read until the system tells of more: the last read took less
    /// than it could have, and all of it has been given.
    fn is_drained(&mut self) -> bool {
        let given = match &mut self.tls {
            None => true,
            Some(tls) => {
                let waits = tls.process_new_packets().map(|state| state.plaintext_bytes_to_read());
                waits == Ok(0) && !tls.wants_write()
            }
        };
        given && self.short && !self.read_to_end
    }

    /// Plaintext from the client: `Some(0)` at its end, `None` when there is none now.
    fn read(&mut self, out: &mut [u8]) -> io::Result<Option<usize>> {
        let mut stream = Gauge { stream: &mut self.stream, short: &mut self.short };
        let Some(tls) = &mut self.tls else { return calm(stream.read(out)) };
        loop {
            match calm(tls.reader().read(out)) {
                Ok(None) => {}
                // A client that ends without a close_notify has ended all the same.
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(Some(0)),
                found => return found,
            }
            match calm(tls.read_tls(&mut stream))? {
                None => return Ok(None),
                Some(_) => {
                    if let Err(error) = tls.process_new_packets() {
                        // The alert tells the client why.
                        let _ = tls.write_tls(stream.stream);
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

/// A stream that notes whether a read has taken less than there was room for.
struct Gauge<'s> {
    stream: &'s mut TcpStream,
    short: &'s mut bool,
}

impl Read for Gauge<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let taken = self.stream.read(out)?;
        *self.short = taken < out.len();
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
const READS_PER_TURN: usize = 2;
/// Clients that are let in before the others have their turn.
const ACCEPTS_PER_TURN: usize = 16;
/// Handshakes that are worked in one turn. Each costs a signature.
const HANDSHAKES_PER_TURN: usize = 4;
/// The longest sleep; the order to stop wakes the thread before.
const SLEEP_MAX: Duration = Duration::from_secs(1);
/// How long a client has to take its last bytes.
const LINGER: Duration = Duration::from_secs(1);
/// How often clients that have been closed, or wait to be accepted, are looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// Clients that are given that time at once.
const LINGERING_MAX: usize = 64;
