//! Canceling over HTTP: all orders of an instrument at once, and single ones where orders are
//! entered over REST.
//!
//! One request at a time; one that failed is sent again, because a cancel does no harm twice.

use std::collections::VecDeque;

use keel_core::command::Cancel;
use keel_core::event::{RejectClass, RequestKind};
use keel_core::instrument::InstrumentId;
use keel_core::planted::Defect;
use keel_core::units::{MonoNanos, SECONDS};

use super::Http;
use crate::bitget::rest::{Asked, Call, RestError, are_too_many, is_too_many};
use crate::bitget::topics::Directory;
use crate::proto::http::Client;
use crate::rate::{Class, Use};

/// What is to be canceled over HTTP.
#[derive(Debug)]
pub(super) struct Sweep {
    /// Instruments whose orders are all to be canceled.
    instruments: VecDeque<InstrumentId>,
    /// Single orders.
    cancels: VecDeque<Cancel>,
    /// What the request under way asks for.
    flying: Flying,
    /// After a request that failed, not before this.
    again: MonoNanos,
    /// The venue's own switch is to be wound, to so many seconds.
    countdown: Option<u8>,
    /// The venue is to be asked for what is still open.
    list_wanted: bool,
    /// What it answered last: whether nothing was open.
    listed: Option<bool>,
}

#[derive(Debug)]
enum Flying {
    Nothing,
    /// Asks what is still open.
    List,
    /// Winds the venue's own switch.
    Countdown(u8),
    /// All of an instrument; so many single cancels had been waiting when it was sent.
    All(InstrumentId, usize),
    Single(Vec<Cancel>),
}

impl Sweep {
    /// Nothing is to be canceled.
    pub(super) fn new(instruments: usize) -> Self {
        Self {
            instruments: VecDeque::with_capacity(instruments),
            cancels: VecDeque::new(),
            flying: Flying::Nothing,
            again: MonoNanos::ZERO,
            countdown: None,
            list_wanted: false,
            listed: None,
        }
    }

    /// Winds the venue's own switch, once there is nothing to cancel.
    pub(super) fn wind(&mut self, seconds: u8) {
        self.countdown = Some(seconds);
    }

    /// Asks the venue what is still open, once everything has been asked to be canceled.
    pub(super) fn want_list(&mut self) {
        (self.list_wanted, self.listed) = (true, None);
    }

    /// What the venue answered since: whether nothing was open.
    pub(super) fn take_listed(&mut self) -> Option<bool> {
        self.listed.take()
    }

    /// Adds instruments to those whose orders are all to be canceled. One that is named comes
    /// before those that are meant with all others: orders are known to rest there.
    pub(super) fn all(&mut self, instrument: InstrumentId, directory: &Directory) {
        if instrument != InstrumentId::ALL {
            self.instruments.retain(|&id| id != instrument);
            return self.instruments.push_front(instrument);
        }
        for (id, _) in directory.iter() {
            if !self.instruments.contains(&id) {
                self.instruments.push_back(id);
            }
        }
    }

    /// Adds an order. It does not wait for a request that ends all orders of its instrument: either
    /// may be the slow one.
    pub(super) fn one(&mut self, cancel: Cancel) {
        let same =
            |other: &Cancel| (other.client, other.order_id) == (cancel.client, cancel.order_id);
        if !self.cancels.iter().any(same) {
            self.cancels.push_back(cancel);
        }
    }

    /// True when nothing is left to cancel.
    pub(super) fn is_done(&self) -> bool {
        let flies = !matches!(self.flying, Flying::Nothing | Flying::Countdown(_));
        self.has_nothing_to_cancel() && !self.list_wanted && !flies
    }

    /// When the next request may be sent; [`MonoNanos::NEVER`] without one to send, and while one
    /// is under way: its answer, or its end, comes by itself.
    pub(super) fn due(&self, http: &Http) -> MonoNanos {
        if self.is_idle() || !matches!(self.flying, Flying::Nothing) {
            return MonoNanos::NEVER;
        }
        let free = self.classes().map(|class| http.budget.free_at(class, Use::Trade)).min();
        self.again.max(free.unwrap_or(MonoNanos::NEVER))
    }

    /// The connection is gone: what was under way is asked for again on the next.
    pub(super) fn lose(&mut self, directory: &Directory) {
        match std::mem::replace(&mut self.flying, Flying::Nothing) {
            Flying::Nothing => {}
            Flying::List => self.list_wanted = true,
            // It is wound again by itself, and that it was not shows.
            Flying::Countdown(_) => {}
            Flying::All(instrument, _) => self.all(instrument, directory),
            Flying::Single(cancels) => {
                cancels.iter().for_each(|cancel| self.all(cancel.instrument, directory));
            }
        }
    }

    /// The venue refuses to cancel here: others have their turn before it is asked again.
    fn put_last(&mut self, instrument: InstrumentId) {
        self.flying = Flying::Nothing;
        if !self.instruments.contains(&instrument) {
            self.instruments.push_back(instrument);
        }
    }

    /// What has ended everything of an instrument has ended these too: the first `before` that
    /// wait, but none that came after it was sent.
    fn forget_singles(&mut self, instrument: InstrumentId, before: usize) {
        let mut left = before;
        self.cancels.retain(|cancel| {
            let earlier = left > 0;
            left = left.saturating_sub(1);
            !earlier || cancel.instrument != instrument
        });
    }

    /// Reads the answer that has come and sends the next request; 1 when either happened.
    pub(super) fn advance(
        &mut self,
        client: &mut Client,
        http: &mut Http,
        now: MonoNanos,
    ) -> usize {
        if !matches!(self.flying, Flying::Nothing) {
            return self.read(client, http, now);
        }
        if !client.is_idle() || self.due(http) > now {
            return 0;
        }
        let Some(class) = self.class(http, now) else { return 0 };
        let (call, flying) = match class {
            Class::CancelAll => {
                let id = self.instruments[0];
                (Call::cancel_all(http.directory.symbol(id)), Flying::All(id, self.cancels.len()))
            }
            Class::OpenOrders => (Call::open_orders(None, None), Flying::List),
            Class::Countdown => {
                let Some(seconds) = self.countdown else { return 0 };
                (Call::countdown(seconds), Flying::Countdown(seconds))
            }
            _ => {
                let cancels = self.cancels.make_contiguous();
                let cancels = if class == Class::Cancel { &cancels[..1] } else { cancels };
                let instrument = cancels[0].instrument;
                let symbol = http.directory.symbol(instrument).expect("listed");
                let (call, count) = Call::cancels(&http.instance, symbol, cancels);
                (call, Flying::Single(cancels[..count].to_vec()))
            }
        };
        if call.send(client, &http.host, Some(&http.credentials), http.utc, now).is_err() {
            return 0;
        }
        http.budget.sent(class, now);
        match &flying {
            Flying::Single(cancels) => drop(self.cancels.drain(..cancels.len())),
            Flying::All(id, _) => self.instruments.retain(|other| other != id),
            Flying::List => self.list_wanted = false,
            Flying::Countdown(_) | Flying::Nothing => self.countdown = None,
        }
        self.flying = flying;
        1
    }

    fn is_idle(&self) -> bool {
        self.has_nothing_to_cancel() && !self.list_wanted && self.countdown.is_none()
    }

    fn has_nothing_to_cancel(&self) -> bool {
        self.instruments.is_empty() && self.cancels.is_empty()
    }

    /// The windows of which the next request counts against one.
    fn classes(&self) -> impl Iterator<Item = Class> {
        let first = self.cancels.front().map(|cancel| cancel.instrument);
        let same = self.cancels.iter().take_while(|cancel| Some(cancel.instrument) == first);
        let all = (!self.instruments.is_empty()).then_some(Class::CancelAll);
        let together = (same.count() > 1).then_some(Class::CancelBatch);
        let singly = first.map(|_| Class::Cancel);
        let other = if self.list_wanted { Class::OpenOrders } else { Class::Countdown };
        let other = self.has_nothing_to_cancel().then_some(other);
        [all, together, singly, other].into_iter().flatten()
    }

    /// The window that the next request counts against: the one that is free first.
    fn class(&self, http: &Http, now: MonoNanos) -> Option<Class> {
        self.classes().min_by_key(|&class| http.budget.free_at(class, Use::Trade).max(now))
    }

    /// Draws the consequences of an answer; one that failed is asked for again.
    fn read(&mut self, client: &mut Client, http: &mut Http, now: MonoNanos) -> usize {
        let Some(outcome) = client.outcome() else { return 0 };
        let mut refused = None;
        let done = match (&self.flying, outcome) {
            (Flying::Nothing, _) => true,
            (Flying::List, Ok(response)) => {
                let (status, body) = (response.status(), response.body());
                let page = http.answers.orders(status, body, &http.directory);
                let refused = is_too_many(status, page.as_ref().err());
                http.budget.answered(Class::OpenOrders, refused, response.remaining_calls(), now);
                self.listed = page.ok().map(|page| page.rows == 0);
                self.listed.is_some()
            }
            (Flying::All(instrument, _), Ok(response)) => {
                let (status, remaining) = (response.status(), response.remaining_calls());
                let answer = http.answers.canceled(status, response.body(), *instrument);
                let too_many = is_too_many(status, answer.as_ref().err());
                http.budget.answered(Class::CancelAll, too_many, remaining, now);
                // One refused for its rate is no worse than another: it keeps its turn.
                let class = answer.map_or_else(|error| error.verdict().1, |_| RejectClass::None);
                refused = (class != RejectClass::Rate).then_some(*instrument);
                matches!(class, RejectClass::None | RejectClass::NotFound)
            }
            (Flying::Single(cancels), Ok(response)) => {
                let (status, remaining) = (response.status(), response.remaining_calls());
                let asked: Vec<Asked> = cancels.iter().map(Asked::of_cancel).collect();
                let body = response.body();
                let replies = http.answers.replies(status, body, RequestKind::Cancel, &asked);
                let refused = are_too_many(status, &replies);
                http.budget.answered(class_of(cancels.len()), refused, remaining, now);
                http.replies.extend(replies);
                // Refused for its rate, or answered by nobody who knows: the other way is tried.
                !refused && status < 500
            }
            (Flying::Single(cancels), Err(_)) => {
                for cancel in cancels {
                    http.unknown(cancel.instrument, cancel.client, RequestKind::Cancel);
                }
                false
            }
            (Flying::Countdown(seconds), Ok(response)) => {
                let (status, body) = (response.status(), response.body());
                let done = http.answers.done(status, body);
                let refused = is_too_many(status, done.as_ref().err());
                http.budget.answered(Class::Countdown, refused, response.remaining_calls(), now);
                http.wound = match done {
                    Ok(()) => Some(i64::from(*seconds)),
                    Err(RestError::Venue { .. }) => Some(-1),
                    Err(RestError::Http(_) | RestError::Decode(_)) => None,
                };
                true
            }
            (Flying::Countdown(_), Err(_)) => true,
            (Flying::All(..) | Flying::List, Err(_)) => false,
        };
        client.finish();
        if done || http.planted.has(Defect::CancelAllNotRepeated) {
            let flown = std::mem::replace(&mut self.flying, Flying::Nothing);
            if let Flying::All(instrument, before) = flown {
                self.forget_singles(instrument, before);
            }
        } else {
            match refused {
                Some(instrument) => self.put_last(instrument),
                None => self.lose(&http.directory),
            }
            self.again = now.after(PAUSE_NS);
        }
        1
    }
}

/// The window that a request about so many single orders counts against.
fn class_of(orders: usize) -> Class {
    if orders > 1 { Class::CancelBatch } else { Class::Cancel }
}

/// Pause after a request that failed.
const PAUSE_NS: u64 = SECONDS / 4;
