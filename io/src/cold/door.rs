//! Doors: connections that cold opens, hands over whole, and takes back when they have ended.
//!
//! The hot agents never wait for a handshake: TCP, TLS and the WebSocket upgrade are done here,
//! without blocking, and the protocol moves with its socket and its buffers.

use keel_core::units::{MILLIS, MonoNanos, SECONDS};
use keel_net::driver::{
    Connection, OPEN_NS_MAX, Poller, Readiness, Security, SocketOptions, Stream,
};
use keel_net::link::{Receiver, Sender, WhenFull, link};
use keel_net::proto::Protocol;
use keel_net::proto::http::Client;
use keel_net::proto::session::{Cause, Incoming, Session, State};

use super::names::Addresses;

/// Where a door leads.
#[derive(Clone, Debug)]
pub struct Target {
    /// Address and port.
    pub address: Addresses,
    /// How it is protected.
    pub security: Security,
    /// Options of the socket.
    pub options: SocketOptions,
}

/// A protocol that a door can open.
pub trait Opens: Protocol + Send + Sized {
    /// Begins, when it wants a connection now.
    fn begin(&mut self, now: MonoNanos) -> bool;
    /// Looks at what the connection has brought.
    fn progress(&mut self, stream_open: bool, now: MonoNanos) -> Progress;
    /// Says that no connection came about.
    fn give_up(&mut self, now: MonoNanos);
    /// When it wants to be looked at; long ago when it could begin at once.
    fn due(&self) -> MonoNanos;
    /// When its connection, while it is being opened, wants to be looked at.
    fn deadline(&self) -> MonoNanos;
    /// When its last connection was begun; tells two protocols of one door apart.
    fn opened_at(&self) -> MonoNanos;
}

/// What stands on one of a door's two seats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seat {
    /// Nothing is connected.
    Resting,
    /// A connection is being opened.
    Opening,
    /// A connection is in use since then.
    Away(MonoNanos),
}

/// The seat on which the next connection is opened, and from when on: beside one in use, once that
/// is `rotate_ns` old. `None` while nothing is to be opened.
pub fn next_seat(seats: [Seat; 2], rotate_ns: u64) -> Option<(usize, MonoNanos)> {
    match seats {
        [Seat::Resting, Seat::Resting] => Some((0, MonoNanos::ZERO)),
        [Seat::Resting, Seat::Away(since)] => Some((0, since.after(rotate_ns))),
        [Seat::Away(since), Seat::Resting] => Some((1, since.after(rotate_ns))),
        [Seat::Opening, _] | [_, Seat::Opening] | [Seat::Away(_), Seat::Away(_)] => None,
    }
}

/// A connection that is never taken over from.
pub const NEVER_ROTATES: u64 = u64::MAX;

/// How far an opening is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Not there yet.
    Pending,
    /// Ready to be handed over.
    Ready,
    /// It failed; the protocol knows when to try again.
    Failed,
}

impl Opens for Session {
    fn begin(&mut self, now: MonoNanos) -> bool {
        self.step(now);
        self.state() == State::Down && self.open(now)
    }

    fn progress(&mut self, _stream_open: bool, now: MonoNanos) -> Progress {
        self.step(now);
        while let Some(incoming) = self.next(now) {
            match incoming {
                Incoming::Opened => return Progress::Ready,
                Incoming::Failed(_) => return Progress::Failed,
                Incoming::Lost(_) | Incoming::Payload(_) => {}
            }
        }
        if self.is_offline() { Progress::Failed } else { Progress::Pending }
    }

    fn give_up(&mut self, now: MonoNanos) {
        self.fail(Cause::Unconnected, now);
    }

    fn due(&self) -> MonoNanos {
        if self.state() == State::Down { MonoNanos::ZERO } else { Self::deadline(self) }
    }

    fn deadline(&self) -> MonoNanos {
        Self::deadline(self)
    }

    fn opened_at(&self) -> MonoNanos {
        Self::opened_at(self)
    }
}

/// The pause between attempts to open, which grows while they fail.
#[derive(Clone, Copy, Debug)]
pub struct Pause {
    failures: u32,
    until: MonoNanos,
}

impl Pause {
    /// No attempt has failed.
    pub const NONE: Self = Self { failures: 0, until: MonoNanos::ZERO };

    /// One more attempt has failed.
    pub fn lengthen(&mut self, now: MonoNanos) {
        let pause_ns = (PAUSE_NS_MIN << self.failures.min(PAUSE_DOUBLINGS)).min(PAUSE_NS_MAX);
        *self = Self { failures: self.failures.saturating_add(1), until: now.after(pause_ns) };
    }

    /// When the next attempt may begin.
    pub const fn until(&self) -> MonoNanos {
        self.until
    }
}

/// Connections to one target: one, and for the time of a rotation a second one.
pub struct Door<P> {
    name: &'static str,
    target: Target,
    key: usize,
    seats: [Stage<P>; 2],
    rotate_ns: u64,
    opened: Sender<Box<Connection<P>>>,
    retired: Receiver<Box<Connection<P>>>,
    pause: Pause,
    /// Why the last attempt failed, for the person who waits for it.
    last_error: Option<String>,
}

enum Stage<P> {
    /// Between connections.
    Resting(Box<P>),
    /// TCP, TLS, upgrade.
    Opening(Box<Connection<P>>),
    /// With the agent that uses it: when it was begun, and handed over.
    Away { begun: MonoNanos, since: MonoNanos },
    /// No second connection.
    Walled,
}

impl<P: Opens> Door<P> {
    /// A door for `protocol`, registered as `key` while it is being opened.
    pub fn new(
        name: &'static str,
        target: Target,
        key: usize,
        protocol: P,
        opened: Sender<Box<Connection<P>>>,
        retired: Receiver<Box<Connection<P>>>,
    ) -> Self {
        let pause = Pause::NONE;
        let seats = [Stage::Resting(Box::new(protocol)), Stage::Walled];
        let rotate_ns = NEVER_ROTATES;
        Self { name, target, key, seats, rotate_ns, opened, retired, pause, last_error: None }
    }

    /// The same, opening another connection, for `second`, once the one in use is `rotate_ns` old.
    pub fn with_rotation(self, second: P, rotate_ns: u64) -> Self {
        let [first, _] = self.seats;
        Self { seats: [first, Stage::Resting(Box::new(second))], rotate_ns, ..self }
    }

    /// Goes on with whatever the door is at; 1 when something happened.
    pub fn step(&mut self, now: MonoNanos, poller: &Poller) -> usize {
        while let Some(back) = self.retired.pop() {
            self.take_back(back.protocol);
        }
        let next = self.next_seat().filter(|(_, from)| *from <= now).map(|(seat, _)| seat);
        let mut work = 0;
        for seat in 0..2 {
            let stage = std::mem::replace(&mut self.seats[seat], Stage::Walled);
            let (stage, done) = match stage {
                Stage::Resting(protocol) if next == Some(seat) => {
                    self.try_open(protocol, now, poller)
                }
                Stage::Opening(connection) => self.go_on(connection, now, poller),
                other => (other, 0),
            };
            self.seats[seat] = stage;
            work += done;
        }
        work
    }

    /// Takes in that its socket is ready.
    pub fn ready(&mut self, key: usize, readiness: Readiness) {
        for stage in &mut self.seats {
            if let (true, Stage::Opening(connection)) = (key == self.key, stage) {
                connection.stream.ready(readiness);
            }
        }
    }

    /// When it wants to be looked at.
    pub fn deadline(&self) -> MonoNanos {
        let next = self.next_seat();
        let stage = |(seat, stage): (usize, &Stage<P>)| match stage {
            Stage::Resting(protocol) => match next {
                Some((wanted, from)) if wanted == seat => {
                    protocol.due().max(self.pause.until).max(from)
                }
                _ => MonoNanos::NEVER,
            },
            Stage::Opening(c) => c.protocol.deadline().min(c.stream.deadline()),
            Stage::Away { .. } | Stage::Walled => MonoNanos::NEVER,
        };
        self.seats.iter().enumerate().map(stage).fold(MonoNanos::NEVER, MonoNanos::min)
    }

    /// True once the agent is gone for which it opens connections.
    pub fn is_deserted(&self) -> bool {
        self.opened.is_abandoned()
    }

    /// Why the last attempt failed; `None` since one succeeded.
    pub fn last_error(&self) -> Option<&str> {
        self.last_error.as_deref()
    }

    fn next_seat(&self) -> Option<(usize, MonoNanos)> {
        let seat = |stage: &Stage<P>| match stage {
            Stage::Resting(_) | Stage::Walled => Seat::Resting,
            Stage::Opening(_) => Seat::Opening,
            Stage::Away { since, .. } => Seat::Away(*since),
        };
        next_seat([seat(&self.seats[0]), seat(&self.seats[1])], self.rotate_ns)
    }

    /// Puts a protocol that has come back on the seat that it left.
    fn take_back(&mut self, protocol: P) {
        let opened_at = protocol.opened_at();
        let left = |stage: &Stage<P>| match stage {
            Stage::Away { begun, .. } => *begun == opened_at,
            Stage::Resting(_) | Stage::Opening(_) | Stage::Walled => false,
        };
        let seat = self.seats.iter().position(left).expect("what comes back was handed over");
        self.seats[seat] = Stage::Resting(Box::new(protocol));
    }

    fn try_open(
        &mut self,
        mut protocol: Box<P>,
        now: MonoNanos,
        poller: &Poller,
    ) -> (Stage<P>, usize) {
        if now < self.pause.until || !protocol.begin(now) {
            return (Stage::Resting(protocol), 0);
        }
        let Target { address, security, options } = self.target.clone();
        let address = address.pick(self.pause.failures);
        let stream = Stream::connect(address, security, options, now.after(OPEN_NS_MAX));
        let stream = stream.map_err(|error| error.to_string()).and_then(|mut stream| {
            poller.register(&mut stream, self.key).map_err(|error| error.to_string())?;
            Ok(stream)
        });
        match stream {
            Ok(stream) => (Stage::Opening(Box::new(Connection { stream, protocol: *protocol })), 1),
            Err(error) => (self.failed(*protocol, error, now), 1),
        }
    }

    fn go_on(
        &mut self,
        mut connection: Box<Connection<P>>,
        now: MonoNanos,
        poller: &Poller,
    ) -> (Stage<P>, usize) {
        let error = connection.pump(now).err().map(|error| error.to_string());
        let open = connection.stream.is_open();
        match (connection.protocol.progress(open, now), error) {
            (Progress::Ready, None) => {
                // A stream that was registered here can be taken out here.
                let _ = poller.deregister(&mut connection.stream);
                self.pause = Pause::NONE;
                self.last_error = None;
                let begun = connection.protocol.opened_at();
                assert!(self.opened.push(connection).is_ok(), "one connection a seat goes out");
                (Stage::Away { begun, since: now }, 1)
            }
            (Progress::Pending, None) => (Stage::Opening(connection), 0),
            (_, error) => {
                let _ = poller.deregister(&mut connection.stream);
                let error = error.unwrap_or_else(|| "the venue did not accept it".to_owned());
                (self.failed(connection.protocol, error, now), 1)
            }
        }
    }

    fn failed(&mut self, mut protocol: P, error: String, now: MonoNanos) -> Stage<P> {
        protocol.give_up(now);
        let address = self.target.address.pick(self.pause.failures);
        self.last_error = Some(format!("{} at {address}: {error}", self.name));
        self.pause.lengthen(now);
        Stage::Resting(Box::new(protocol))
    }
}

impl Opens for Client {
    fn begin(&mut self, _now: MonoNanos) -> bool {
        self.reset();
        true
    }

    fn progress(&mut self, stream_open: bool, _now: MonoNanos) -> Progress {
        if stream_open { Progress::Ready } else { Progress::Pending }
    }

    fn give_up(&mut self, _now: MonoNanos) {}

    fn due(&self) -> MonoNanos {
        MonoNanos::ZERO
    }

    fn deadline(&self) -> MonoNanos {
        Self::deadline(self)
    }

    fn opened_at(&self) -> MonoNanos {
        // It has no second one to be told apart from.
        MonoNanos::ZERO
    }
}

/// The link on which connections of one kind change hands: one for each seat.
pub fn handover<P: Send>(
    name: &'static str,
) -> (Sender<Box<Connection<P>>>, Receiver<Box<Connection<P>>>) {
    link(name, 2, WhenFull::AskFirst)
}

/// The first pause after an attempt that failed; it doubles with each further one.
const PAUSE_NS_MIN: u64 = 100 * MILLIS;
const PAUSE_DOUBLINGS: u32 = 7;
const PAUSE_NS_MAX: u64 = 10 * SECONDS;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_connection_is_opened_once_the_first_is_old_and_no_third() {
        let (young, rotate_ns) = (Seat::Away(MonoNanos(5)), 100);
        for (seats, expected) in [
            ([Seat::Resting, Seat::Resting], Some((0, MonoNanos::ZERO))),
            ([young, Seat::Resting], Some((1, MonoNanos(105)))),
            ([Seat::Resting, young], Some((0, MonoNanos(105)))),
            ([Seat::Opening, Seat::Resting], None),
            ([Seat::Resting, Seat::Opening], None),
            ([young, Seat::Opening], None),
            ([young, young], None),
        ] {
            assert_eq!(next_seat(seats, rotate_ns), expected, "{seats:?}");
        }
        let never = next_seat([young, Seat::Resting], NEVER_ROTATES).map(|(_, from)| from);
        assert_eq!(never, Some(MonoNanos::NEVER));
    }
}
