//! Paper: the engine on a public market, with a venue in this process that nobody else sees.
//!
//! A run of this kind has no key and no place for one: the public stream knows no login, questions
//! are made by [`Rest::public`], which signs nothing, orders end in [`Paper`], and the kill has a
//! switch instead of a connection. `a_run_on_paper_sends_nothing_signed` (`tests/paper.rs`) reads
//! every byte that leaves.

use std::sync::Arc;

use keel_core::event::Event;
use keel_core::instrument::Instrument;
use keel_core::units::MonoNanos;
use keel_sim::paper::{Paper, Terms};

use super::access::{Reach, target, trust};
use super::sim::StartError;
use crate::agent::paper::Switch;
use crate::clock::VenueClock;
use crate::cold::names;
use crate::cold::rest::Rest;
use crate::kill::hand::{Hand, PaperHand};
use crate::memory;
use crate::setup::{PaperVenue, Setup};
use crate::state::Recovered;
use crate::topology::{Orders, PaperOrders, Targets};

/// A public market, and the switch of the venue that is played on it.
pub(crate) struct Public {
    terms: Terms,
    targets: Targets,
    switch: Arc<Switch>,
}

impl Public {
    /// Finds the market's addresses.
    ///
    /// # Errors
    /// When one is none, or does not resolve, or the authority cannot be read.
    pub(crate) fn of(venue: &PaperVenue) -> Result<Self, StartError> {
        let config = trust(venue.ca.as_deref())?;
        let find = |url: &str| target(url, false, &config, Reach::Public);
        let (rest, host, _) = find(&venue.rest)?;
        let (public, public_host, path) = find(&venue.ws_public)?;
        names::keep_fresh([&rest, &public].map(|target| &target.address))?;
        let targets = Targets::new(host, rest, (public, &public_host, &path));
        Ok(Self { terms: venue.terms, targets, switch: Arc::default() })
    }

    /// Where its connections lead.
    pub(crate) fn targets(&self) -> &Targets {
        &self.targets
    }

    /// The same, to be used.
    pub(crate) fn into_targets(self) -> Targets {
        self.targets
    }

    /// Whose state a run on it keeps: nobody else's.
    pub(crate) fn label(&self) -> String {
        format!("paper on {}", self.targets.host)
    }

    /// Questions about the market.
    pub(crate) fn rest(&self, setup: &Setup, venue: VenueClock) -> Rest {
        Rest::public(setup.instance, &self.targets.host, &setup.instruments, venue)
    }

    /// What the kill acts by.
    pub(crate) fn hand(&self) -> Hand {
        Hand::Paper(PaperHand::new(self.switch.clone()))
    }

    /// The venue, with what earlier runs have left: what they earned, positions, executions.
    pub(crate) fn orders(
        &self,
        rules: &[Instrument],
        recovered: &Recovered,
        restored: &[Event],
        now: MonoNanos,
    ) -> Orders {
        let mut terms = self.terms;
        terms.balance += recovered.kept.earned;
        let books = memory::books(rules.len());
        let mut paper = Paper::new(terms, rules, books, recovered.epoch, now);
        restored.iter().for_each(|event| paper.restore(event));
        Orders::Paper(Box::new(PaperOrders { paper, switch: self.switch.clone() }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::ledger::Kept;
    use keel_core::units::{Quote, Rate};
    use keel_sim::paper::Latency;
    use keel_sim::queue::Cancels;

    #[test]
    fn a_paper_account_has_what_it_began_with_and_what_its_runs_have_earned() {
        let terms = Terms {
            balance: Quote::usdt(500),
            maker: Rate::ZERO,
            taker: Rate::ZERO,
            latency: Latency::new([0; 4]).expect("ascending"),
            cancels: Cancels::Behind,
            seed: 1,
        };
        let venue = PaperVenue {
            rest: "http://127.0.0.1:1".to_owned(),
            ws_public: "ws://127.0.0.1:1/v3/ws/public".to_owned(),
            ca: None,
            terms,
        };
        let public = Public::of(&venue).expect("addresses of this machine");
        assert_eq!(public.label(), "paper on 127.0.0.1:1");
        let kept = Kept { earned: Quote::usdt(-3), ..Kept::default() };
        let recovered = Recovered { epoch: 2, dirty: false, latch: None, kept, known: true };
        let Orders::Paper(orders) = public.orders(&[], &recovered, &[], MonoNanos(1)) else {
            panic!("orders stay here")
        };
        assert_eq!(orders.paper.balance(), Quote::usdt(497));
    }
}
