//! The gateway's agent: lends the gateway its private session and one warm HTTP connection.

use keel_core::command::CommandView;
use keel_core::layout::SLOT_BYTES;
use keel_core::units::MonoNanos;
use keel_net::driver::{Connection, Poller, Readiness};
use keel_net::gateway::Gateway;
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
    /// HTTP connections.
    pub https: Receiver<HttpBox>,
    /// And back.
    pub retired_https: Sender<HttpBox>,
}

/// Runs a gateway.
pub struct GatewayAgent {
    gateway: Gateway,
    session: Option<SessionBox>,
    http: Option<HttpBox>,
    openings: Openings,
    to_journal: Sender<Tap>,
    clock: Clock,
    venue: VenueClock,
}

/// The key under which the private socket is registered.
pub const PRIVATE_KEY: usize = 1;
/// The key under which the HTTP connection is registered.
pub const HTTP_KEY: usize = 2;

impl GatewayAgent {
    /// An agent that stamps sent orders for the journal.
    pub fn new(
        gateway: Gateway,
        openings: Openings,
        to_journal: Sender<Tap>,
        clock: Clock,
        venue: VenueClock,
    ) -> Self {
        Self { gateway, session: None, http: None, openings, to_journal, clock, venue }
    }

    fn take_over(&mut self, now: MonoNanos, poller: &Poller) {
        if self.session.is_none()
            && let Some(mut opened) = self.openings.sessions.pop()
        {
            adopt(&mut opened, PRIVATE_KEY, poller);
            self.gateway.adopt(&mut opened.protocol, self.venue.utc(now), now);
            self.session = Some(opened);
        }
        if self.http.is_none()
            && let Some(mut opened) = self.openings.https.pop()
        {
            adopt(&mut opened, HTTP_KEY, poller);
            self.http = Some(opened);
        }
    }

    /// Gives back what has ended.
    fn give_back(&mut self, poller: &Poller) {
        if self.session.as_deref().is_some_and(is_finished)
            && let Some(session) = self.session.take()
        {
            retire(session, &mut self.openings.retired_sessions, poller);
        }
        let worn = |http: &Connection<Client>| {
            let client = &http.protocol;
            http.stream.is_ended() || (client.is_idle() && !client.is_reusable())
        };
        if self.http.as_deref().is_some_and(worn)
            && let Some(http) = self.http.take()
        {
            self.gateway.lose_http();
            retire(http, &mut self.openings.retired_https, poller);
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
        if let Some(session) = &mut self.session {
            work += pump(session, now);
            session.protocol.step(now);
        }
        if let Some(http) = &mut self.http {
            work += pump(http, now);
            http.protocol.step(now);
        }
        let session = self.session.as_deref_mut().map(|connection| &mut connection.protocol);
        let http = self.http.as_deref_mut().map(|connection| &mut connection.protocol);
        let utc = self.venue.utc(now);
        work += self.gateway.step(session, http, &|| self.clock.now(), utc, now);
        if let Some(session) = &mut self.session
            && !session.protocol.transmit().is_empty()
        {
            work += pump(session, now);
        }
        if let Some(http) = &mut self.http
            && !http.protocol.transmit().is_empty()
        {
            work += pump(http, now);
        }
        self.stamp_sent();
        self.give_back(poller);
        work
    }

    fn ready(&mut self, key: usize, readiness: Readiness) {
        match (key, &mut self.session, &mut self.http) {
            (PRIVATE_KEY, Some(session), _) => session.stream.ready(readiness),
            (HTTP_KEY, _, Some(http)) => http.stream.ready(readiness),
            _ => {}
        }
    }

    fn deadline(&self) -> MonoNanos {
        let session = self.session.as_ref().map_or(MonoNanos::NEVER, |c| c.protocol.deadline());
        let http = self.http.as_ref().map_or(MonoNanos::NEVER, |c| c.protocol.deadline());
        session.min(http).min(self.gateway.deadline())
    }

    fn is_over(&self) -> bool {
        self.gateway.is_over()
    }
}
