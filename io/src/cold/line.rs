//! A line to the venue over HTTP: a door, the connection it opened, and who asks over it.

use std::io;

use keel_core::instrument::Instrument;
use keel_core::units::{MILLIS, MonoNanos, SECONDS, UnixNanos};
use keel_net::driver::{Poller, Readiness, Wait};
use keel_net::link::{Receiver, Sender};
use keel_net::proto::Protocol;
use keel_net::proto::http::{Client, FILLS_BODY_BYTES_MAX};

use super::door::{Door, Target};
use super::rest::Rest;
use crate::agent::feed::{adopt, pump};
use crate::agent::gateway::HttpBox;
use crate::clock::Clock;

/// Who asks over a line: cold's questions, or the kill.
pub trait Asks {
    /// The client's side of its connections.
    fn client(&self) -> Client;
    /// Reads an answer that has come and sends the next question; 1 when something happened. `host`
    /// reads the host's UTC.
    fn step(&mut self, client: &mut Client, host: &impl Fn() -> UnixNanos, now: MonoNanos)
    -> usize;
    /// Takes in that the connection is gone.
    fn lose_connection(&mut self, now: MonoNanos);
    /// When it wants to be stepped without anything arriving.
    fn deadline(&self) -> MonoNanos;
}

impl Asks for Rest {
    fn client(&self) -> Client {
        Client::new(FILLS_BODY_BYTES_MAX)
    }

    fn step(
        &mut self,
        client: &mut Client,
        host: &impl Fn() -> UnixNanos,
        now: MonoNanos,
    ) -> usize {
        Self::step(self, client, host, now)
    }

    fn lose_connection(&mut self, now: MonoNanos) {
        Self::lose_connection(self, now);
    }

    fn deadline(&self) -> MonoNanos {
        Self::deadline(self)
    }
}

/// Who asks, and the connection that carries it.
pub struct Line<A> {
    asks: A,
    clock: Clock,
    door: Door<Client>,
    connection: Option<HttpBox>,
    opened: Receiver<HttpBox>,
    retired: Sender<HttpBox>,
    key: usize,
}

/// What the venue must tell before anything else can begin.
const BEGIN_NS_MAX: u64 = 15 * SECONDS;
/// How long that may take while its answers go on coming in.
const BEGIN_NS_LATEST: u64 = 60 * SECONDS;
const WAIT_NS_MAX: u64 = 20 * MILLIS;

/// How long a start waits for the venue: longer while looks are answered.
struct Patience {
    left: usize,
    until: MonoNanos,
    latest: MonoNanos,
}

impl Patience {
    fn new(left: usize, now: MonoNanos) -> Self {
        Self { left, until: now.after(BEGIN_NS_MAX), latest: now.after(BEGIN_NS_LATEST) }
    }

    /// True when a start with `left` looks unanswered has waited long enough.
    fn is_over(&mut self, left: usize, now: MonoNanos) -> bool {
        if left < self.left {
            self.until = now.after(BEGIN_NS_MAX).min(self.latest);
        }
        self.left = left;
        now >= self.until
    }
}

impl Line<Rest> {
    /// Opens the line and asks for clock, rules and account, and whether boot `epoch` is really a
    /// new one, waiting for the answers.
    ///
    /// # Errors
    /// Why the venue could not be reached or understood.
    pub fn begin(&mut self, poller: &mut Poller, epoch: u32) -> Result<Vec<Instrument>, String> {
        self.asks.begin(epoch);
        self.asks.look_ahead(epoch);
        let mut patience = Patience::new(self.asks.looks_left(), self.clock.now());
        loop {
            let now = self.clock.now();
            self.step(now, poller);
            if self.asks.has_begun()
                && let Some(rules) = self.asks.rules()
            {
                return Ok(rules);
            }
            if let Some(why) = self.fatal(patience.is_over(self.asks.looks_left(), now)) {
                return Err(why);
            }
            self.wait(now, poller).map_err(|error| error.to_string())?;
        }
    }

    /// Why there is no use in waiting on.
    fn fatal(&self, too_late: bool) -> Option<String> {
        if let Some(words) = self.asks.refused() {
            return Some(format!("the key is refused: {words}"));
        }
        let silent = || match self.asks.rules() {
            None => "it gave no clock and rules in time".to_owned(),
            Some(_) => self.asks.missing(),
        };
        (self.is_untrusted() || too_late)
            .then(|| self.last_error().map_or_else(silent, str::to_owned))
    }

    /// The questions.
    pub fn rest(&mut self) -> &mut Rest {
        &mut self.asks
    }
}

impl<A: Asks> Line<A> {
    /// A line to `target` whose socket is registered as `key`, and as `key + 1` while it is being
    /// opened.
    pub fn new(asks: A, target: Target, clock: Clock, key: usize) -> Self {
        let (to_line, opened) = super::door::handover("rest");
        let (retired, from_line) = super::door::handover("rest back");
        let door = Door::new("REST", target, key + 1, asks.client(), to_line, from_line);
        Self { asks, clock, door, connection: None, opened, retired, key }
    }

    /// Who asks.
    pub fn asks(&mut self) -> &mut A {
        &mut self.asks
    }

    /// Why no connection came about last; `None` since one did.
    pub fn last_error(&self) -> Option<&str> {
        self.door.last_error()
    }

    /// True when the other side's certificate is not trusted: to wait on is of no use.
    pub fn is_untrusted(&self) -> bool {
        self.last_error().is_some_and(|error| error.contains("not trusted"))
    }

    /// Waits until there may be something to step it for, for a caller with no other work: 20 ms
    /// at most.
    ///
    /// # Errors
    /// When the system cannot wait.
    pub fn wait(&mut self, now: MonoNanos, poller: &mut Poller) -> io::Result<()> {
        let until = self.deadline().min(now.after(WAIT_NS_MAX));
        let mut told = Vec::new();
        poller.wait(Wait::Park { until, now }, |key, readiness| told.push((key, readiness)))?;
        told.into_iter().for_each(|(key, readiness)| self.ready(key, readiness));
        Ok(())
    }

    /// Moves bytes, reads answers, asks what is to be asked.
    pub fn step(&mut self, now: MonoNanos, poller: &Poller) -> usize {
        let mut work = self.door.step(now, poller);
        if self.connection.is_none()
            && let Some(mut opened) = self.opened.pop()
        {
            adopt(&mut opened, self.key, poller);
            self.connection = Some(opened);
        }
        let Some(connection) = &mut self.connection else { return work };
        work += pump(connection, now);
        connection.protocol.step(now);
        let clock = &self.clock;
        work += self.asks.step(&mut connection.protocol, &|| clock.utc(), now);
        if !connection.protocol.transmit().is_empty() {
            work += pump(connection, now);
        }
        let client = &connection.protocol;
        if connection.stream.is_ended() || (client.is_idle() && !client.is_reusable()) {
            self.lose(now, poller);
        }
        work
    }

    /// Takes in that one of its sockets is ready.
    pub fn ready(&mut self, key: usize, readiness: Readiness) {
        self.door.ready(key, readiness);
        if key == self.key
            && let Some(connection) = &mut self.connection
        {
            connection.stream.ready(readiness);
        }
    }

    /// When it wants to be stepped.
    pub fn deadline(&self) -> MonoNanos {
        // Without a connection no question can be asked, and nothing is to be waited for but the
        // door.
        let connection = self
            .connection
            .as_ref()
            .map_or(MonoNanos::NEVER, |c| c.protocol.deadline().min(self.asks.deadline()));
        self.door.deadline().min(connection)
    }

    fn lose(&mut self, now: MonoNanos, poller: &Poller) {
        self.asks.lose_connection(now);
        if let Some(connection) = self.connection.take() {
            crate::agent::feed::retire(connection, &mut self.retired, poller);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 32 contracts whose answers take 0.37 s each were given up before all had been looked at.
    #[test]
    fn a_start_waits_as_long_as_looks_are_answered_and_a_minute_at_most() {
        let over = |every_ms: u64, looks: usize| {
            let mut patience = Patience::new(looks, MonoNanos(0));
            (1..).find_map(|number: u64| {
                let now = MonoNanos(number * 10 * MILLIS);
                let answered = now.0 / (every_ms * MILLIS);
                let left = looks.saturating_sub(answered as usize);
                let ends = left == 0 || patience.is_over(left, now);
                ends.then_some((left, now.0 / MILLIS))
            })
        };
        assert_eq!(over(370, 36), Some((0, 13_320)));
        assert_eq!(over(1_000, 36), Some((0, 36_000)));
        assert_eq!(over(2_000, 36), Some((6, 60_000)), "a minute at most");
        assert_eq!(over(20_000, 36), Some((36, 15_000)), "nothing comes");
    }
}
