//! Sync: what the product must have seen since it was last connected, before it may quote.

use std::collections::{BTreeMap, BTreeSet};

use keel_core::units::{MILLIS, MonoNanos};
use keel_io::world::Route;

use super::wire::{Answered, between};

/// What was seen on the wire since each connection began.
#[derive(Debug, Default)]
pub(super) struct Sync {
    /// Symbols whose book was shown whole.
    books: BTreeSet<String>,
    logged_in: bool,
    topics: BTreeSet<String>,
    /// What is asked for over REST, and whether the private stream was complete by then.
    asked: Option<(String, bool)>,
    /// Paths that were answered when they were asked for with a complete private stream.
    answered: BTreeMap<&'static str, bool>,
    /// When the public and the private connection ended, where none has begun since.
    ended: [Option<MonoNanos>; 2],
}

impl Sync {
    /// A connection begins, or its process has ended.
    pub(super) fn reset(&mut self, route: Route) {
        match route {
            Route::Public => {
                self.books.clear();
                self.ended[0] = None;
            }
            Route::Private => {
                self.ended[1] = None;
                (self.logged_in, self.topics) = (false, BTreeSet::new());
                self.answered.clear();
                self.asked = None;
            }
            Route::Rest => self.asked = None,
            Route::Cancel | Route::Order => {}
        }
    }

    /// A connection has ended. What is quoted in the moment until the engine hears of it, it may.
    pub(super) fn ended(&mut self, route: Route, now: MonoNanos) {
        match route {
            Route::Public => self.ended[0] = Some(now),
            Route::Private => {
                self.ended[1] = Some(now);
                self.asked = None;
            }
            Route::Rest => self.asked = None,
            Route::Cancel | Route::Order => {}
        }
    }

    /// The book of a symbol was shown whole.
    pub(super) fn snapshot(&mut self, symbol: &str) {
        self.books.insert(symbol.to_owned());
    }

    /// A private text has come.
    pub(super) fn private(&mut self, head: &str) {
        if head.starts_with("{\"event\":\"login\"") {
            self.logged_in = head.contains("\"code\":\"0\"") || head.contains("\"code\":0");
        }
        if head.starts_with("{\"event\":\"subscribe\"")
            && let Some(topic) = between(head, "\"topic\":\"", "\"")
        {
            self.topics.insert(topic.to_owned());
        }
    }

    /// A question goes up.
    pub(super) fn asks(&mut self, path: &str) {
        self.asked = Some((path.to_owned(), self.is_private_complete()));
    }

    /// Its answer has come.
    pub(super) fn answer(&mut self, answer: &Answered) {
        let Some((path, true)) = self.asked.take() else { return };
        let known = PASSES.iter().find(|known| path.ends_with(*known));
        if let (Some(&known), true) = (known, answer.is_fine()) {
            self.answered.insert(known, true);
        }
    }

    fn is_private_complete(&self) -> bool {
        self.ended[1].is_none() && self.is_subscribed()
    }

    fn is_subscribed(&self) -> bool {
        self.logged_in && TOPICS.iter().all(|&topic| self.topics.contains(topic))
    }

    /// I-20: what is missing for an order on `symbol`; `None` when nothing is.
    pub(super) fn missing(&self, symbol: &str, now: MonoNanos) -> Option<String> {
        let [public, private] = self.ended.map(|at| at.is_some_and(|at| now.since(at) >= HEARD_NS));
        let mut missing = Vec::new();
        if public || !self.books.contains(symbol) {
            missing.push("a snapshot of the book".to_owned());
        }
        if private || !self.is_subscribed() {
            missing.push("login and subscriptions".to_owned());
        }
        let unread = PASSES.iter().filter(|pass| private || !self.answered.contains_key(*pass));
        missing.extend(unread.map(|pass| format!("an answer to {pass}")));
        (!missing.is_empty()).then(|| missing.join(", "))
    }
}

/// An engine has heard of a connection's end by then. A create that it let through while the end
/// was on its way between two threads was a violation in one life of 29,440 (seed 13006726 then).
const HEARD_NS: u64 = 2 * MILLIS;
/// Private topics without which nothing may be quoted.
const TOPICS: [&str; 2] = ["order", "fill"];
/// What must be read anew once the private stream is complete: orders, positions, executions.
const PASSES: [&str; 3] = ["/unfilled-orders", "/current-position", "/trade/fills"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_may_leave_in_the_moment_after_an_end_and_not_later() {
        let at = |ms: u64| MonoNanos(ms * MILLIS);
        let mut sync = Sync::default();
        sync.snapshot("BTCUSDT");
        sync.logged_in = true;
        sync.topics = TOPICS.map(str::to_owned).into();
        for path in PASSES {
            sync.asks(path);
            sync.answered.insert(path, true);
        }
        assert_eq!(sync.missing("BTCUSDT", at(10)), None);
        for (route, missing) in
            [(Route::Public, "a snapshot"), (Route::Private, "login and subscriptions, an answer")]
        {
            sync.ended = [None; 2];
            sync.ended(route, at(10));
            assert_eq!(sync.missing("BTCUSDT", at(11)), None);
            let said = sync.missing("BTCUSDT", at(12)).expect("it is too late");
            assert!(said.starts_with(missing), "{said}");
        }
        assert!(sync.missing("ETHUSDT", at(10)).is_some());
    }
}
