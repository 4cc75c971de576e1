//! Rates: the venue's published limits, counted on the wire by who has no part in it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use keel_core::units::{MILLIS, MonoNanos, SECONDS};
use keel_io::world::Route;

/// What was sent lately, in sliding windows.
#[derive(Debug, Default)]
pub(super) struct Rates {
    creates: Window,
    sockets: Window,
    /// By route, each from the begin of its connection on.
    messages: BTreeMap<Route, Window>,
    subscriptions: BTreeMap<Route, Window>,
    /// By path.
    calls: BTreeMap<String, Window>,
    /// Requests on the socket that are orders, by their ids.
    places: BTreeSet<String>,
    /// The last refusal of an order for its rate, and how long creates are held after it.
    held: Option<(MonoNanos, u64)>,
}

/// When the latest of something was sent.
#[derive(Debug, Default)]
struct Window(VecDeque<MonoNanos>);

impl Window {
    /// Adds `count` at `now`; how many there are within the last `span_ns`.
    fn count(&mut self, count: usize, span_ns: u64, now: MonoNanos) -> usize {
        self.0.extend(std::iter::repeat_n(now, count));
        while self.0.front().is_some_and(|&at| now.since(at) >= span_ns) {
            self.0.pop_front();
        }
        self.0.len()
    }
}

impl Rates {
    /// A WebSocket connection begins.
    pub(super) fn opened(&mut self, route: Route, now: MonoNanos) -> Option<String> {
        self.messages.remove(&route);
        self.subscriptions.remove(&route);
        let sockets = self.sockets.count(1, 300 * SECONDS, now);
        over("connections in 5 min", sockets, SOCKETS_MAX)
    }

    /// A WebSocket text goes up.
    pub(super) fn text(&mut self, route: Route, now: MonoNanos) -> Option<String> {
        let messages = self.messages.entry(route).or_default().count(1, SECONDS, now);
        over("messages a second on a connection", messages, MESSAGES_MAX)
    }

    /// Topics are subscribed.
    pub(super) fn subscribed(
        &mut self,
        route: Route,
        topics: usize,
        now: MonoNanos,
    ) -> Option<String> {
        let window = self.subscriptions.entry(route).or_default();
        let topics = window.count(topics, 3_600 * SECONDS, now);
        over("subscriptions an hour on a connection", topics, SUBSCRIPTIONS_MAX)
    }

    /// Orders go up.
    pub(super) fn created(&mut self, orders: usize, now: MonoNanos) -> Option<String> {
        over("creates a second", self.creates.count(orders, SECONDS, now), CREATES_MAX)
    }

    /// A request on the socket is an order.
    pub(super) fn asks(&mut self, id: &str) {
        self.places.insert(id.to_owned());
    }

    /// A request on the socket has been refused for its rate, and the client has heard it.
    pub(super) fn refused(&mut self, id: &str, now: MonoNanos) {
        if self.places.contains(id) {
            self.hold(now);
        }
    }

    /// An order has been refused for its rate, and the client has heard it: each refusal holds
    /// creates for twice as long as the one before.
    pub(super) fn hold(&mut self, now: MonoNanos) {
        let again = self.held.filter(|(at, hold_ns)| now.since(*at) <= hold_ns + CALM_NS);
        let hold_ns = again.map_or(HOLD_NS_MIN, |(_, hold_ns)| (hold_ns * 2).min(HOLD_NS_MAX));
        self.held = Some((now, hold_ns));
    }

    /// The process has died: the next knows of no refusal.
    pub(super) fn died(&mut self) {
        self.held = None;
    }

    /// Until when a stated pause after a refusal for rate lasts at most.
    pub(super) fn held_until(&self) -> MonoNanos {
        self.held.map_or(MonoNanos::ZERO, |(at, hold_ns)| at.after(hold_ns))
    }

    /// What is wrong with a create that goes up now, after a refusal for rate was heard.
    pub(super) fn too_soon(&self, now: MonoNanos) -> Option<String> {
        let (at, _) = self.held?;
        let after = now.since(at);
        let held = HEARD_NS..HOLD_NS_MIN;
        held.contains(&after).then(|| format!("a create {after} ns after one refused for its rate"))
    }

    /// An HTTP request goes up.
    pub(super) fn called(&mut self, path: &str, now: MonoNanos) -> Option<String> {
        let calls = self.calls.entry(path.to_owned()).or_default().count(1, SECONDS, now);
        let limit = PATHS.iter().find(|(name, _)| path.ends_with(name)).map_or(20, |&(_, max)| max);
        over(path, calls, limit)
    }
}

fn over(what: &str, count: usize, limit: usize) -> Option<String> {
    (count > limit).then(|| format!("{count} {what}, the venue takes {limit}"))
}

/// Orders a second and user (Bitget's documentation of place-order).
const CREATES_MAX: usize = 10;
/// How long creates are held after the first refusal for rate, and at most.
const HOLD_NS_MIN: u64 = 2 * SECONDS;
const HOLD_NS_MAX: u64 = 64 * SECONDS;
/// Without a refusal for so long after a hold, the next holds as the first does.
const CALM_NS: u64 = 120 * SECONDS;
/// What had passed the gate when the refusal came is on the wire by then.
const HEARD_NS: u64 = 5 * MILLIS;
/// Sockets in five minutes and address.
const SOCKETS_MAX: usize = 300;
/// Messages a second and connection.
const MESSAGES_MAX: usize = 10;
/// Subscriptions an hour and connection.
const SUBSCRIPTIONS_MAX: usize = 240;
/// Calls a second where they are not 20.
const PATHS: [(&str, usize); 5] = [
    ("/trade/place-order", 10),
    ("/trade/cancel-order", 10),
    ("/trade/cancel-symbol-order", 5),
    ("/trade/cancel-batch", 5),
    ("/account/fee-rate", 3),
];
