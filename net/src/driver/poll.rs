//! Readiness of many streams at once.

use std::io::{self, ErrorKind};
use std::time::Duration;

use keel_core::units::MonoNanos;
use mio::{Events, Interest, Token};

use super::Stream;

/// Waits for streams to become readable or writable. Readiness is told once for each change
/// (edge-triggered); a [`Stream`] remembers it until it is used up.
#[derive(Debug)]
pub struct Poller {
    poll: mio::Poll,
    events: Events,
}

impl Poller {
    /// A poller that tells of up to `events` streams at a time; the rest come with the next call.
    pub fn new(events: usize) -> io::Result<Self> {
        Ok(Self { poll: mio::Poll::new()?, events: Events::with_capacity(events) })
    }

    /// Registers `stream`, to be told of as `key`. Its next pump tries the socket, because bytes
    /// may already be there.
    pub fn register(&self, stream: &mut Stream, key: usize) -> io::Result<()> {
        stream.assume_ready();
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut stream.tcp, Token(key), interest)
    }

    /// Takes `stream` out again: before it moves to another poller, or is dropped.
    pub fn deregister(&self, stream: &mut Stream) -> io::Result<()> {
        self.poll.registry().deregister(&mut stream.tcp)
    }

    /// The registry below, for listeners and wakers.
    pub fn registry(&self) -> &mio::Registry {
        self.poll.registry()
    }

    /// Asks, or waits, for readiness and tells of each with the key it was registered by.
    pub fn wait(&mut self, wait: Wait, mut each: impl FnMut(usize, Readiness)) -> io::Result<()> {
        match self.poll.poll(&mut self.events, wait.timeout()) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(()),
            Err(error) => return Err(error),
        }
        for event in &self.events {
            let ended = event.is_read_closed() || event.is_error();
            let readable = event.is_readable() || ended;
            let writable = event.is_writable() || event.is_write_closed() || event.is_error();
            each(event.token().0, Readiness { readable, writable, ended });
        }
        Ok(())
    }
}

/// What a socket is ready for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Readiness {
    /// Bytes, an end or an error can be read.
    pub readable: bool,
    /// Bytes will be taken, or a connection has come about or failed.
    pub writable: bool,
    /// Behind what can be read stands an end or an error. It is told only once, perhaps with bytes
    /// before it, so reading must go on until it is met.
    pub ended: bool,
}

/// How long [`Poller::wait`] may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// No time at all: for agents that spin.
    Spin,
    /// Until something is ready, but not past `until`.
    Park {
        /// The earliest deadline of the agent that waits.
        until: MonoNanos,
        /// The time now.
        now: MonoNanos,
    },
}

impl Wait {
    fn timeout(self) -> Option<Duration> {
        match self {
            Self::Spin => Some(Duration::ZERO),
            Self::Park { until: MonoNanos::NEVER, .. } => None,
            Self::Park { until, now } => Some(Duration::from_nanos(until.since(now))),
        }
    }
}
