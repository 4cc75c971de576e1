//! The cold agent: opens connections, asks the venue, and brings the outside's words to the engine.

use std::collections::VecDeque;
use std::sync::Arc;

use crossbeam::channel;
use keel_core::command::Query;
use keel_core::event::{ClockSync, Directive, Event, Health, Measure, Operator};
use keel_core::units::{MILLIS, MonoNanos};
use keel_net::dispatch::Arrival;
use keel_net::driver::{Poller, Readiness};
use keel_net::link::{Receiver, Sender};
use keel_net::proto::http::Client;
use keel_net::proto::session::Session;

use super::Agent;
use super::journal::JournalGauge;
use crate::cold::door::Door;
use crate::cold::fit::{Fit, Sight};
use crate::cold::line::Line;
use crate::cold::rest::Rest;

/// The doors that cold keeps for the hot agents.
pub struct Doors {
    /// To the feed.
    pub public: Door<Session>,
    /// To the gateway; `None` where orders do not leave the process.
    pub gateway: Option<GatewayDoors>,
}

/// The doors of the gateway.
pub struct GatewayDoors {
    /// For orders and private updates.
    pub private: Door<Session>,
    /// For cancel-all.
    pub cancel: Door<Client>,
    /// For orders over REST; `None` where they are entered on the socket alone.
    pub order: Option<Door<Client>>,
}

impl GatewayDoors {
    fn step(&mut self, now: MonoNanos, poller: &Poller) -> usize {
        self.private.step(now, poller)
            + self.cancel.step(now, poller)
            + self.order.as_mut().map_or(0, |door| door.step(now, poller))
    }

    fn ready(&mut self, key: usize, readiness: Readiness) {
        self.private.ready(key, readiness);
        self.cancel.ready(key, readiness);
        if let Some(door) = &mut self.order {
            door.ready(key, readiness);
        }
    }

    fn deadline(&self) -> MonoNanos {
        let order = self.order.as_ref().map_or(MonoNanos::NEVER, Door::deadline);
        self.private.deadline().min(self.cancel.deadline()).min(order)
    }
}

/// What the outside has to say to a run.
pub struct Outside {
    /// What the engine is told first.
    pub boot: VecDeque<Event>,
    /// Directives of a person or of the program.
    pub directives: channel::Receiver<Event>,
    /// The journal's own measures.
    pub gauge: Arc<JournalGauge>,
    /// When the run is to end by itself.
    pub stop_at: MonoNanos,
}

/// The fit of the model `glft`, and what it is made from.
pub struct Fitting {
    /// What is fitted.
    pub fit: Fit,
    /// What the engine's agent has seen.
    pub sights: Receiver<Sight>,
}

impl Fitting {
    /// Takes in what was seen, and tells the fits that are due.
    pub fn step(&mut self, tell: &mut VecDeque<Event>) -> usize {
        let mut seen = 0;
        while let Some(sight) = self.sights.pop() {
            tell.extend(self.fit.see(&sight).map(Event::Coefficients));
            seen += 1;
        }
        seen
    }
}

/// Runs everything that waits for somebody.
pub struct ColdAgent {
    line: Line<Rest>,
    doors: Doors,
    queries: Receiver<Query>,
    to_engine: Sender<Arrival>,
    /// What waits for room on the engine's link, oldest first.
    backlog: VecDeque<Event>,
    directives: channel::Receiver<Event>,
    gauge: Arc<JournalGauge>,
    fitting: Option<Fitting>,
    lag_told: u64,
    stop_at: MonoNanos,
}

/// The journal's lag is told in steps of this.
const LAG_STEP_NS: u64 = 100 * MILLIS;

impl ColdAgent {
    /// An agent that tells the engine what the outside and the venue say.
    pub fn new(
        line: Line<Rest>,
        doors: Doors,
        queries: Receiver<Query>,
        to_engine: Sender<Arrival>,
        outside: Outside,
    ) -> Self {
        let Outside { boot: backlog, directives, gauge, stop_at } = outside;
        Self {
            line,
            doors,
            queries,
            to_engine,
            backlog,
            directives,
            gauge,
            fitting: None,
            lag_told: 0,
            stop_at,
        }
    }

    /// The same, fitting the model `glft`.
    pub fn with_fitting(self, fitting: Option<Fitting>) -> Self {
        Self { fitting, ..self }
    }

    /// Says how far the journal is behind, when that has changed.
    fn tell_lag(&mut self, now: MonoNanos) {
        let lag = self.gauge.lag_ns(now);
        let lag = if lag == u64::MAX { lag } else { lag / LAG_STEP_NS * LAG_STEP_NS };
        if lag != self.lag_told {
            self.lag_told = lag;
            let value = i64::try_from(lag).unwrap_or(i64::MAX);
            self.backlog.push_back(Event::Health(Health { measure: Measure::JournalLag, value }));
            if lag == u64::MAX {
                let measure = Measure::JournalFailed;
                self.backlog.push_back(Event::Health(Health { measure, value: 1 }));
            }
        }
    }

    fn listen(&mut self, now: MonoNanos) {
        self.backlog.extend(self.directives.try_iter());
        if now >= self.stop_at {
            self.stop_at = MonoNanos::NEVER;
            let operator = Operator::program(Directive::Stop);
            self.backlog.push_back(Event::Operator(operator));
        }
    }

    /// A reading of the clock may have waited, at start for as long as threads take: UTC is told
    /// for `now`.
    fn fresh(&mut self, event: Event, now: MonoNanos) -> Event {
        match event {
            Event::ClockSync(sync) => {
                Event::ClockSync(ClockSync { utc: self.line.rest().utc(now), ..sync })
            }
            other => other,
        }
    }

    /// Puts events on the engine's link, oldest first, as far as there is room.
    fn tell(&mut self, now: MonoNanos) -> usize {
        self.backlog.append(self.line.rest().events());
        let mut told = 0;
        while let Some(&event) = self.backlog.front() {
            let event = self.fresh(event, now);
            if self.to_engine.push(Arrival { event, rx: now, decoded: now }).is_err() {
                break;
            }
            self.backlog.pop_front();
            told += 1;
        }
        told
    }
}

impl Agent for ColdAgent {
    fn name(&self) -> &'static str {
        "cold"
    }

    fn step(&mut self, now: MonoNanos, poller: &mut Poller) -> usize {
        while let Some(query) = self.queries.pop() {
            self.line.rest().query(query);
        }
        let mut work = self.line.step(now, poller);
        work += self.doors.public.step(now, poller);
        work += self.doors.gateway.as_mut().map_or(0, |doors| doors.step(now, poller));
        work += self.fitting.as_mut().map_or(0, |fitting| fitting.step(&mut self.backlog));
        self.tell_lag(now);
        self.listen(now);
        work + self.tell(now)
    }

    fn ready(&mut self, key: usize, readiness: Readiness) {
        self.line.ready(key, readiness);
        self.doors.public.ready(key, readiness);
        if let Some(doors) = &mut self.doors.gateway {
            doors.ready(key, readiness);
        }
    }

    fn deadline(&self) -> MonoNanos {
        let gateway = self.doors.gateway.as_ref().map_or(MonoNanos::NEVER, GatewayDoors::deadline);
        let doors = self.doors.public.deadline().min(gateway);
        doors.min(self.line.deadline()).min(self.stop_at)
    }

    fn is_over(&self) -> bool {
        // When the engine is gone the gateway may still need a connection to cancel over.
        let deserted = |doors: &GatewayDoors| doors.cancel.is_deserted();
        self.to_engine.is_abandoned() && self.doors.gateway.as_ref().is_none_or(deserted)
    }
}
