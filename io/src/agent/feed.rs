//! The feed's agent: lends the feed a session on a socket, taken over from cold and given back when
//! it ends.

use keel_core::units::MonoNanos;
use keel_net::driver::{Connection, Poller, Readiness};
use keel_net::feed::Feed;
use keel_net::link::{Receiver, Sender};
use keel_net::proto::Protocol;
use keel_net::proto::session::Session;

use super::Agent;
use crate::clock::Clock;

/// A session with its socket, on its way between threads.
pub type SessionBox = Box<Connection<Session>>;

/// Runs a feed.
pub struct FeedAgent {
    feed: Feed,
    /// By seat.
    connections: [Option<SessionBox>; 2],
    opened: Receiver<SessionBox>,
    retired: Sender<SessionBox>,
    clock: Clock,
}

/// The keys under which the public sockets are registered, by seat.
pub const PUBLIC_KEYS: [usize; 2] = [0, 5];

impl FeedAgent {
    /// An agent that takes sessions from `opened` and gives them back on `retired`.
    pub fn new(
        feed: Feed,
        opened: Receiver<SessionBox>,
        retired: Sender<SessionBox>,
        clock: Clock,
    ) -> Self {
        Self { feed, connections: [None, None], opened, retired, clock }
    }
}

impl Agent for FeedAgent {
    fn name(&self) -> &'static str {
        "feed"
    }

    fn step(&mut self, now: MonoNanos, poller: &mut Poller) -> usize {
        let mut work = 0;
        if let Some(seat) = self.connections.iter().position(Option::is_none)
            && let Some(mut opened) = self.opened.pop()
        {
            work += 1;
            adopt(&mut opened, PUBLIC_KEYS[seat], poller);
            self.feed.adopt(seat, &mut opened.protocol, now);
            self.connections[seat] = Some(opened);
        }
        for connection in self.connections.iter_mut().flatten() {
            work += pump(connection, now);
            connection.protocol.step(now);
        }
        let sessions = self.connections.each_mut().map(|c| c.as_mut().map(|c| &mut c.protocol));
        work += self.feed.step(sessions, &|| self.clock.now(), now);
        for (seat, place) in self.connections.iter_mut().enumerate() {
            let Some(connection) = place else { continue };
            if !connection.protocol.transmit().is_empty() {
                work += pump(connection, now);
            }
            if is_finished(connection)
                && let Some(connection) = place.take()
            {
                self.feed.retire(seat);
                retire(connection, &mut self.retired, poller);
            }
        }
        work
    }

    fn ready(&mut self, key: usize, readiness: Readiness) {
        for (connection, own) in self.connections.iter_mut().zip(PUBLIC_KEYS) {
            if let (Some(connection), true) = (connection, key == own) {
                connection.stream.ready(readiness);
            }
        }
    }

    fn look(&mut self) {
        for connection in self.connections.iter_mut().flatten() {
            connection.stream.assume_ready();
        }
    }

    fn deadline(&self) -> MonoNanos {
        let connections = self.connections.iter().flatten().map(|c| c.protocol.deadline());
        connections.fold(self.feed.deadline(), MonoNanos::min)
    }

    fn is_over(&self) -> bool {
        self.feed.is_abandoned()
    }
}

/// Registers a connection that was opened by another thread; bytes may already be inside.
pub(crate) fn adopt<P>(connection: &mut Connection<P>, key: usize, poller: &Poller) {
    if poller.register(&mut connection.stream, key).is_err() {
        // Without readiness it would be blind; ended, it goes back and another is opened.
        connection.stream.close();
    }
}

/// Moves bytes both ways; 1 when any moved. A stream that broke has told its protocol.
pub(crate) fn pump<P: Protocol>(connection: &mut Connection<P>, now: MonoNanos) -> usize {
    connection.pump(now).map_or(1, |pumped| usize::from(pumped.received + pumped.sent > 0))
}

/// True when the session has no more use for its stream and has told so: what it was told by the
/// feed itself, such as a budget that is spent, is read in the next step.
pub(super) fn is_finished(connection: &Connection<Session>) -> bool {
    connection.protocol.is_over()
}

/// Gives a connection back. Cold takes every one: there is a link place for each seat.
pub(crate) fn retire<P: Send>(
    mut connection: Box<Connection<P>>,
    retired: &mut Sender<Box<Connection<P>>>,
    poller: &Poller,
) {
    // A stream that could not be registered is not registered.
    let _ = poller.deregister(&mut connection.stream);
    assert!(retired.push(connection).is_ok(), "one connection a seat goes back");
}

#[cfg(test)]
mod tests {
    use super::*;
    use keel_net::driver::{Security, SocketOptions, Stream};
    use keel_net::proto::session::{Incoming, Settings};

    #[test]
    fn a_session_is_given_back_only_after_it_has_told_of_its_end() {
        let host = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = host.local_addr().expect("an address");
        let options = SocketOptions { abort_on_close: false, busy_poll_us: 0 };
        let now = MonoNanos(1);
        let stream = Stream::connect(address, Security::LoopbackPlaintext, options, now.after(1));
        let mut protocol = Session::new(Settings::new("localhost", "/", false), [7; 32]);
        assert!(protocol.open(now));
        let mut connection = Connection { stream: stream.expect("a stream"), protocol };
        connection.stream.close();
        connection.protocol.closed(false, now);
        assert!(connection.stream.is_ended() && !is_finished(&connection));
        let told = connection.protocol.next(now).map(|told| matches!(told, Incoming::Failed(_)));
        assert_eq!(told, Some(true));
        assert!(is_finished(&connection));
    }
}
