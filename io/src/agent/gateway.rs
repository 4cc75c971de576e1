//! The gateway's agent: lends the gateway its private sessions and its warm HTTP connections.

use keel_core::command::CommandView;
use keel_core::layout::SLOT_BYTES;
use keel_core::units::MonoNanos;
use keel_net::driver::{Connection, Poller, Readiness};
use keel_net::gateway::{Gateway, Lines};
use keel_net::link::{Receiver, Sender};
use keel_net::proto::Protocol;
use keel_net::proto::http::Client;
use keel_net::stamps::Stamps;

use super::Agent;
use super::feed::{SessionBox, adopt, is_finished, pump, retire};
use crate::clock::{Clock, VenueClock};
use crate::journal::Tap;

/// An HTTP connection on its way between threads.
pub type HttpBox = Box<Connection<Client>>;

/// Links by which cold opens connections for the gateway and takes them back.
pub struct Openings {
    /// Private sessions.
    pub sessions: Receiver<SessionBox>,
    /// And back.
    pub retired_sessions: Sender<SessionBox>,
    /// HTTP connections: for cancels, and for orders over REST.
    pub https: [Receiver<HttpBox>; 2],
    /// And back.
    pub retired_https: [Sender<HttpBox>; 2],
}

/// Runs a gateway.
pub struct GatewayAgent {
    gateway: Gateway,
    /// By seat.
    sessions: [Option<SessionBox>; 2],
    /// For cancels, and for orders.
    https: [Option<HttpBox>; 2],
    openings: Openings,
    to_journal: Sender<Tap>,
    clock: Clock,
    venue: VenueClock,
}

/// The keys under which the private sockets are registered, by seat.
pub const PRIVATE_KEYS: [usize; 2] = [1, 3];
/// The keys under which the HTTP connections are registered: for cancels, and for orders.
pub const HTTP_KEYS: [usize; 2] = [2, 4];
/// Which HTTP connection.
const CANCEL: usize = 0;

impl GatewayAgent {
    /// An agent that stamps sent orders for the journal.
    pub fn new(
        gateway: Gateway,
        openings: Openings,
        to_journal: Sender<Tap>,
        clock: Clock,
        venue: VenueClock,
    ) -> Self {
        let (sessions, https) = ([None, None], [None, None]);
        Self { gateway, sessions, https, openings, to_journal, clock, venue }
    }

    fn take_over(&mut self, now: MonoNanos, poller: &Poller) {
        if let Some(seat) = self.sessions.iter().position(Option::is_none)
            && let Some(mut opened) = self.openings.sessions.pop()
        {
            adopt(&mut opened, PRIVATE_KEYS[seat], poller);
            self.gateway.adopt(seat, &mut opened.protocol, self.venue.utc(now), now);
            self.sessions[seat] = Some(opened);
        }
        for (place, http) in self.https.iter_mut().enumerate() {
            if http.is_none()
                && let Some(mut opened) = self.openings.https[place].pop()
            {
                adopt(&mut opened, HTTP_KEYS[place], poller);
                *http = Some(opened);
            }
        }
    }

    /// Gives back what has ended.
    fn give_back(&mut self, now: MonoNanos, poller: &Poller) {
        for (seat, session) in self.sessions.iter_mut().enumerate() {
            if session.as_deref().is_some_and(is_finished)
                && let Some(session) = session.take()
            {
                self.gateway.retire(seat);
                retire(session, &mut self.openings.retired_sessions, poller);
            }
        }
        let worn = |http: &Connection<Client>| {
            let client = &http.protocol;
            http.stream.is_ended() || (client.is_idle() && !client.is_reusable())
        };
        for (place, http) in self.https.iter_mut().enumerate() {
            if http.as_deref().is_some_and(worn)
                && let Some(http) = http.take()
            {
                if place == CANCEL {
                    self.gateway.lose_cancel();
                } else {
                    self.gateway.lose_order(now);
                }
                retire(http, &mut self.openings.retired_https[place], poller);
            }
        }
    }

    /// Stamps orders whose bytes have just been written.
    fn stamp_sent(&mut self) {
        let clock = &self.clock;
        for sent in self.gateway.unsent() {
            let mut slot = [0; SLOT_BYTES];
            CommandView::Place(sent.spec).encode(&mut slot);
            let stamps = Stamps { tx: clock.now(), ..sent.stamps };
            // Latency is told as far as there is room; nothing depends on it.
            let _ = self.to_journal.push(Tap::stamps(slot, stamps));
        }
    }
}

impl Agent for GatewayAgent {
    fn name(&self) -> &'static str {
        "gateway"
    }

    fn step(&mut self, now: MonoNanos, poller: &mut Poller) -> usize {
        self.take_over(now, poller);
        let mut work = 0;
        for session in self.sessions.iter_mut().flatten() {
            work += pump(session, now);
            session.protocol.step(now);
        }
        for http in self.https.iter_mut().flatten() {
            work += pump(http, now);
            http.protocol.step(now);
        }
        let sessions = self.sessions.each_mut().map(|s| s.as_mut().map(|s| &mut s.protocol));
        let [cancel, order] = self.https.each_mut().map(|h| h.as_mut().map(|h| &mut h.protocol));
        let utc = self.venue.utc(now);
        let lines = Lines { sessions, cancel, order };
        work += self.gateway.step(lines, &|| self.clock.now(), utc, now);
        for session in self.sessions.iter_mut().flatten() {
            if !session.protocol.transmit().is_empty() {
                work += pump(session, now);
            }
        }
        for http in self.https.iter_mut().flatten() {
            if !http.protocol.transmit().is_empty() {
                work += pump(http, now);
            }
        }
        self.stamp_sent();
        self.give_back(now, poller);
        work
    }

    fn ready(&mut self, key: usize, readiness: Readiness) {
        for (session, own) in self.sessions.iter_mut().zip(PRIVATE_KEYS) {
            if let (Some(session), true) = (session, key == own) {
                session.stream.ready(readiness);
            }
        }
        for (http, own) in self.https.iter_mut().zip(HTTP_KEYS) {
            if let (Some(http), true) = (http, key == own) {
                http.stream.ready(readiness);
            }
        }
    }

    /// Private sessions; HTTP has time until readiness is asked for.
    fn look(&mut self) {
        for session in self.sessions.iter_mut().flatten() {
            session.stream.assume_ready();
        }
    }

    fn deadline(&self) -> MonoNanos {
        let sessions = self.sessions.iter().flatten().map(|c| c.protocol.deadline());
        let https = self.https.iter().flatten().map(|c| c.protocol.deadline());
        sessions.chain(https).fold(self.gateway.deadline(), MonoNanos::min)
    }

    fn is_over(&self) -> bool {
        let over = self.gateway.is_over();
        if over && self.gateway.is_dead_man() {
            let read = if self.gateway.is_verified() { "" } else { "not " };
            eprintln!("gateway: everything was canceled; zero open orders {read}read back");
        }
        over
    }
}
