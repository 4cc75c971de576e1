//! The hand of a kill: what it acts by, the venue's connection or the switch of a venue in this
//! process.

use std::sync::Arc;

use keel_core::units::{Lots, MonoNanos};
use keel_net::driver::{Poller, Readiness};
use serde_json::json;

use super::report::Report;
use super::{Close, Kill, Mandate};
use crate::agent::paper::Switch;
use crate::cold::line::Line;

/// What a kill acts by.
pub enum Hand {
    /// Requests over a connection of its own.
    Venue(Box<Line<Kill>>),
    /// A switch beside the paper venue, whose orders are in this process.
    Paper(PaperHand),
}

/// Ends everything in a paper venue.
pub struct PaperHand {
    switch: Arc<Switch>,
    work: Option<PaperWork>,
}

struct PaperWork {
    mandate: Mandate,
    /// What the switch was asked, and what was open before.
    number: u64,
    before: usize,
    verified: Option<MonoNanos>,
}

impl PaperHand {
    /// A hand on `switch`.
    pub fn new(switch: Arc<Switch>) -> Self {
        Self { switch, work: None }
    }

    fn begin(&mut self, mandate: Mandate) {
        let before = self.switch.open();
        let number = if mandate.dry_run { 0 } else { self.switch.ask() };
        self.work = Some(PaperWork { mandate, number, before, verified: None });
    }

    fn step(&mut self, now: MonoNanos) {
        if let Some(work) = &mut self.work
            && work.verified.is_none()
            && (work.mandate.dry_run || self.switch.is_clear(work.number))
        {
            work.verified = Some(now);
        }
    }

    fn is_verified(&self) -> bool {
        self.work.as_ref().is_some_and(|work| work.verified.is_some())
    }

    /// What has been done. One number stands for the orders: they have no life but here.
    fn report(&self, now: MonoNanos) -> Option<Report> {
        let work = self.work.as_ref()?;
        let mandate = &work.mandate;
        let verified = work.verified.is_some();
        // A position can only be closed by taking, and a paper venue fills what rests.
        let closes = mandate.close != Close::Nothing;
        let status = match (mandate.dry_run, verified) {
            (true, _) => "dry_run",
            (false, true) if !closes => "executed",
            (false, _) => "partial",
        };
        let took_ns = work.verified.unwrap_or(now).since(mandate.decided);
        let body = json!({
            "trigger": mandate.trigger.text(),
            "reasons": mandate.reasons,
            "dry_run": mandate.dry_run,
            "trading_pair": "all",
            "status": status,
            "vacuous": !mandate.dry_run && work.before == 0,
            "error": if closes { "a paper venue closes no position" } else { "" },
            "paper_orders_before": work.before,
            "paper_orders_after": self.switch.open(),
            "read_back": "the paper venue's own count",
            "elapsed_ms": (took_ns / 1_000) as f64 / 1_000.0,
        });
        Some(Report { body, verified, finished: verified, open: self.switch.open() })
    }
}

impl Hand {
    /// Takes a mandate.
    pub fn begin(&mut self, mandate: Mandate) {
        match self {
            Self::Venue(line) => line.asks().begin(mandate),
            Self::Paper(paper) => paper.begin(mandate),
        }
    }

    /// Takes in how long a create may still appear.
    pub fn appears_within(&mut self, zombie_ns: u64) {
        match self {
            Self::Venue(line) => line.asks().appears_within(zombie_ns),
            // What is on its way is ended with what rests.
            Self::Paper(_) => {}
        }
    }

    /// Takes in what the engine holds by its own ledger.
    pub fn believe(&mut self, held: Vec<Lots>) {
        match self {
            Self::Venue(line) => line.asks().believe(held),
            Self::Paper(_) => {}
        }
    }

    /// True when a flatten waits for what the engine believes.
    pub fn wants_belief(&mut self, now: MonoNanos) -> bool {
        match self {
            Self::Venue(line) => line.asks().wants_belief(now),
            Self::Paper(_) => false,
        }
    }

    /// True while a mandate is under way.
    pub fn is_at_work(&mut self) -> bool {
        match self {
            Self::Venue(line) => line.asks().is_at_work(),
            Self::Paper(paper) => paper.work.is_some() && !paper.is_verified(),
        }
    }

    /// Whether zero is verified, and whether it is again after nothing more could appear.
    pub fn progress(&mut self) -> (bool, bool) {
        match self {
            Self::Venue(line) => {
                let kill = line.asks();
                (kill.verified().is_some(), kill.is_finished())
            }
            Self::Paper(paper) => (paper.is_verified(), paper.is_verified()),
        }
    }

    /// What has been done so far; `None` before the first mandate.
    pub fn report(&mut self, now: MonoNanos) -> Option<Report> {
        match self {
            Self::Venue(line) => line.asks().report(now),
            Self::Paper(paper) => paper.report(now),
        }
    }

    /// Goes on with whatever there is to do.
    pub fn step(&mut self, now: MonoNanos, poller: &Poller) -> usize {
        match self {
            Self::Venue(line) => line.step(now, poller),
            Self::Paper(paper) => {
                paper.step(now);
                0
            }
        }
    }

    /// Takes in that a socket is ready.
    pub fn ready(&mut self, key: usize, readiness: Readiness) {
        match self {
            Self::Venue(line) => line.ready(key, readiness),
            Self::Paper(_) => {}
        }
    }

    /// When it wants to be stepped.
    pub fn deadline(&self) -> MonoNanos {
        match self {
            Self::Venue(line) => line.deadline(),
            Self::Paper(_) => MonoNanos::NEVER,
        }
    }
}
