//! Sync: what the product must have seen since it was last connected, before it may quote.

use std::collections::{BTreeMap, BTreeSet};

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
}

impl Sync {
    /// A connection begins, or has ended.
    pub(super) fn reset(&mut self, route: Route) {
        match route {
            Route::Public => self.books.clear(),
            Route::Private => {
                (self.logged_in, self.topics) = (false, BTreeSet::new());
                self.answered.clear();
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
        self.logged_in && TOPICS.iter().all(|&topic| self.topics.contains(topic))
    }

    /// I-20: what is missing for an order on `symbol`; `None` when nothing is.
    pub(super) fn missing(&self, symbol: &str) -> Option<String> {
        let mut missing = Vec::new();
        if !self.books.contains(symbol) {
            missing.push("a snapshot of the book".to_owned());
        }
        if !self.is_private_complete() {
            missing.push("login and subscriptions".to_owned());
        }
        let unread = PASSES.iter().filter(|pass| !self.answered.contains_key(*pass));
        missing.extend(unread.map(|pass| format!("an answer to {pass}")));
        (!missing.is_empty()).then(|| missing.join(", "))
    }
}

/// Private topics without which nothing may be quoted.
const TOPICS: [&str; 2] = ["order", "fill"];
/// What must be read anew once the private stream is complete: orders, positions, executions.
const PASSES: [&str; 3] = ["/unfilled-orders", "/current-position", "/trade/fills"];
