//! Order entry: which way in orders take, and the way over REST.
//!
//! The way is chosen once a run, before the engine hears that the stream is live, and is never
//! changed: an order of unknown outcome is looked for, not sent another way. Where the venue lets
//! nobody enter orders on its socket (reference §14: access is by request) they go over REST, one
//! request at a time on a connection of their own, so that no cancel waits behind an order.

use std::collections::VecDeque;

use keel_core::event::{ClientId, Outcome, RejectClass, RequestKind};
use keel_core::gate::{Approved, OrderSpec};
use keel_core::instrument::InstrumentId;
use keel_core::planted::Defect;
use keel_core::units::{MonoNanos, SECONDS};

use super::Http;
use crate::bitget::client::NUMBER_MAX;
use crate::bitget::codes;
use crate::bitget::encode::BATCH_MAX;
use crate::bitget::rest::{Asked, Call, are_too_many};
use crate::dispatch::Sent;
use crate::proto::http::Client;
use crate::rate::{Class, Use};

/// What the configuration says of the way in: `order.order_entry`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// The socket, unless the venue refuses it.
    Auto,
    /// The socket.
    WebSocket,
    /// REST.
    Rest,
}

impl Choice {
    /// By the number of the word in the table of parameters.
    pub const fn of(word: u64) -> Self {
        match word {
            1 => Self::WebSocket,
            2 => Self::Rest,
            _ => Self::Auto,
        }
    }
}

/// The way in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// Not known yet; asked for this many times, and an answer is awaited until then.
    Unknown { tries: u8, until: MonoNanos },
    /// The private socket.
    Socket,
    /// REST.
    Rest,
}

/// Times that the way is asked for before REST is taken.
pub(super) const TRIES_MAX: u8 = 3;
/// An answer is awaited for this long.
pub(super) const PROBE_NS: u64 = SECONDS;

/// The order that a probe cancels: no order ever has this id.
pub(super) const PROBED: ClientId = ClientId { epoch: u32::MAX, number: NUMBER_MAX };

/// What the answer to a probe says: `None` when it says nothing.
pub(super) fn way_of(code: u32) -> Option<Way> {
    match codes::verdict(code) {
        // It was looked for, so the socket takes orders.
        (Outcome::Received, _) | (_, RejectClass::NotFound) => Some(Way::Socket),
        (Outcome::Rejected, RejectClass::Rate) => None,
        (Outcome::Rejected, _) => Some(Way::Rest),
        (Outcome::Unknown | Outcome::NotSent, _) => None,
    }
}

/// Orders on their way over REST.
#[derive(Debug)]
pub(super) struct Orders {
    /// Let through and not sent yet.
    waiting: VecDeque<Approved>,
    /// Their stamps, in the same order.
    stamps: VecDeque<Sent>,
    /// In the request that is under way.
    flying: Vec<OrderSpec>,
    /// An order is not sent later than this after the engine wanted it.
    pub(super) ttl_ns: u64,
    /// When the last request was sent; [`MonoNanos::ZERO`] before the first.
    pub(super) sent_at: MonoNanos,
    /// An order may appear for so long after that.
    zombie_ns: u64,
}

impl Orders {
    /// No order.
    pub(super) fn new(ttl_ns: u64, zombie_ns: u64) -> Self {
        Self {
            waiting: VecDeque::with_capacity(WAITING_MAX),
            stamps: VecDeque::with_capacity(WAITING_MAX),
            flying: Vec::with_capacity(BATCH_MAX),
            ttl_ns,
            sent_at: MonoNanos::ZERO,
            zombie_ns,
        }
    }

    /// Takes an order; it is sent with the next request.
    pub(super) fn push(&mut self, order: Approved, sent: Sent) {
        self.waiting.push_back(order);
        self.stamps.push_back(sent);
    }

    /// Takes back what has not been sent of those that are `meant`; each is answered as not sent.
    /// True when there was one.
    pub(super) fn withdraw(&mut self, meant: impl Fn(&OrderSpec) -> bool, http: &mut Http) -> bool {
        let before = self.waiting.len();
        for spec in self.waiting.iter().map(Approved::spec).filter(|spec| meant(spec)) {
            http.not_sent(spec.intent.instrument, spec.client, RequestKind::Place);
        }
        self.waiting.retain(|order| !meant(order.spec()));
        self.stamps.retain(|sent| !meant(&sent.spec));
        self.waiting.len() < before
    }

    /// True while an order waits or is under way.
    pub(super) fn is_busy(&self) -> bool {
        !self.waiting.is_empty() || !self.flying.is_empty()
    }

    /// The connection is gone. What was under way may have arrived, and what became of it is not
    /// known; it is never sent again.
    pub(super) fn lose(&mut self, http: &mut Http) {
        for spec in self.flying.drain(..) {
            if http.planted.has(Defect::HttpLossIsFailure) {
                http.not_sent(spec.intent.instrument, spec.client, RequestKind::Place);
                continue;
            }
            http.unknown(spec.intent.instrument, spec.client, RequestKind::Place);
        }
    }

    /// Reads the answer that has come, and sends what waits.
    pub(super) fn advance(
        &mut self,
        client: Option<&mut Client>,
        http: &mut Http,
        unsent: &mut Vec<Sent>,
        now: MonoNanos,
    ) -> usize {
        let ttl_ns = self.ttl_ns;
        let Some(client) = client else {
            return usize::from(self.withdraw(|_| true, http));
        };
        let mut work = 0;
        if !self.flying.is_empty() {
            work += self.read(client, http, now);
        }
        work += usize::from(self.withdraw(|spec| now.since(spec.intent.made) > ttl_ns, http));
        if self.waiting.is_empty() || !self.flying.is_empty() {
            return work;
        }
        if !client.is_idle() || !client.is_reusable() {
            return work + usize::from(self.withdraw(|_| true, http));
        }
        self.send(client, http, unsent, now);
        work + 1
    }

    fn read(&mut self, client: &mut Client, http: &mut Http, now: MonoNanos) -> usize {
        let Some(outcome) = client.outcome() else { return 0 };
        let class = class_of(self.flying.len());
        let asked: Vec<Asked> = self.flying.drain(..).map(|spec| Asked::of(&spec)).collect();
        match outcome {
            Ok(response) => {
                let (status, body) = (response.status(), response.body());
                let replies = http.answers.replies(status, body, RequestKind::Place, &asked);
                let refused = are_too_many(status, &replies);
                http.budget.answered(class, refused, response.remaining_calls(), now);
                http.replies.extend(replies);
            }
            Err(failure) => {
                for Asked { instrument, client, .. } in asked {
                    if failure.maybe_sent && !http.planted.has(Defect::HttpLossIsFailure) {
                        http.unknown(instrument, client, RequestKind::Place);
                    } else {
                        http.not_sent(instrument, client, RequestKind::Place);
                    }
                }
            }
        }
        client.finish();
        1
    }

    /// Sends the first of the orders that wait, with those that follow for the same instrument.
    fn send(
        &mut self,
        client: &mut Client,
        http: &mut Http,
        unsent: &mut Vec<Sent>,
        now: MonoNanos,
    ) {
        let instrument = self.waiting[0].spec().intent.instrument;
        let run =
            self.waiting.iter().take_while(|order| order.spec().intent.instrument == instrument);
        let class = class_of(run.count());
        if !http.budget.allows(class, Use::Trade, now) {
            self.withdraw(|_| true, http);
            return;
        }
        let rules = http.directory.rules(instrument).expect("an order's instrument is listed");
        let call = match class {
            Class::PlaceBatch => Call::place_batch(&http.instance, rules, &mut self.waiting),
            _ => {
                let order = self.waiting.pop_front().expect("an order waits");
                Call::place(&http.instance, rules, order)
            }
        };
        // What the call holds is no longer among those that wait.
        let held = self.stamps.len() - self.waiting.len();
        let sent = call.send(client, &http.host, Some(&http.credentials), http.utc, now).is_ok();
        for stamped in self.stamps.drain(..held) {
            let OrderSpec { client, intent } = stamped.spec;
            if sent {
                self.flying.push(stamped.spec);
                unsent.push(stamped);
            } else {
                http.not_sent(intent.instrument, client, RequestKind::Place);
            }
        }
        if sent {
            http.budget.sent(class, now);
            self.sent_at = now;
        }
    }

    /// Until when an order that was sent may still appear.
    pub(super) fn zombie_until(&self) -> MonoNanos {
        match self.sent_at {
            MonoNanos::ZERO => MonoNanos::ZERO,
            at => at.after(self.zombie_ns),
        }
    }
}

/// The window that a request of so many orders counts against.
fn class_of(orders: usize) -> Class {
    if orders > 1 { Class::PlaceBatch } else { Class::Place }
}

/// True for `spec` on this instrument, or on any where `instrument` is [`InstrumentId::ALL`].
pub(super) fn covers(instrument: InstrumentId, spec: &OrderSpec) -> bool {
    instrument == InstrumentId::ALL || instrument == spec.intent.instrument
}

/// Orders that are expected to wait at a time; more is slow, not wrong.
const WAITING_MAX: usize = 64;
/// A create over REST may still be accepted while its signature holds: 30 s, and 5 s.
pub(super) const ZOMBIE_REST_NS: u64 = 35 * SECONDS;
