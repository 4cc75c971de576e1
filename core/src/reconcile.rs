//! Reconciliation: what the venue has against what we believe, decided from evidence.
//!
//! It asks by numbered passes, counts only what a pass proves, and neither adopts a position nor makes
//! up a fill: a difference is confirmed, explained by real fills, or stays unexplained.

use crate::command::Query;
use crate::digest::Digest;
use crate::event::{AccountReport, ClientId, Evidence, Fill, OrderUpdate, PositionReport};
use crate::instrument::InstrumentId;
use crate::ledger::Ledger;
use crate::order::OrderTable;
use crate::param::Params;
use crate::units::{Lots, MonoNanos, Rate, UnixNanos};

/// The state of all checks.
pub struct Reconcile<'m> {
    lines: &'m mut [Line],
}

/// Memory for one instrument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {}

impl Line {
    /// Nothing read yet.
    pub const EMPTY: Self = Self {};
}

/// What the engine should do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send this question.
    Ask(Query),
    /// A difference is confirmed; say so.
    Drift {
        /// Where.
        instrument: InstrumentId,
        /// By our ledger.
        ours: Lots,
        /// By the venue.
        theirs: Lots,
    },
    /// Everything agrees for the first time since the stream is live.
    Agreed,
    /// Everything before this time is booked: close it in [`TradeIds`](crate::trades::TradeIds).
    Close(UnixNanos),
}

impl<'m> Reconcile<'m> {
    /// Nothing checked yet, over one line for each instrument.
    pub fn new(lines: &'m mut [Line]) -> Self {
        unimplemented!()
    }

    /// Takes periods from the parameters.
    pub fn configure(&mut self, params: &Params) {
        unimplemented!()
    }

    /// The newest execution that an earlier run booked.
    pub fn restore(&mut self, last_trade_at: UnixNanos) {
        unimplemented!()
    }

    /// The private stream is live, or lost. Live: everything is asked for anew.
    pub fn stream(&mut self, live: bool, now: MonoNanos) {
        unimplemented!()
    }

    /// A question for one order by its client id.
    pub fn ask_order(&mut self, instrument: InstrumentId, client: ClientId) -> Query {
        unimplemented!()
    }

    /// The list of open orders is wanted now, whether the stream is live or not.
    pub fn want_orders(&mut self, now: MonoNanos) {
        unimplemented!()
    }

    /// Fills are wanted now.
    pub fn want_fills(&mut self, now: MonoNanos) {
        unimplemented!()
    }

    /// The next thing to do; call until `None`. `utc` is zero while not known.
    pub fn poll(&mut self, utc: UnixNanos, now: MonoNanos) -> Option<Action> {
        unimplemented!()
    }

    /// When the request left that the items now coming answer; [`MonoNanos::ZERO`] for none.
    pub fn asked(&self) -> MonoNanos {
        unimplemented!()
    }

    /// Begin or end of a pass.
    pub fn on_evidence(
        &mut self,
        evidence: &Evidence,
        orders: &mut OrderTable<'_>,
        ledger: &Ledger<'_>,
        now: MonoNanos,
    ) {
        unimplemented!()
    }

    /// An order of a pass or a push, after [`OrderTable::on_update`].
    pub fn on_order(&mut self, update: &OrderUpdate) {
        unimplemented!()
    }

    /// An execution of a pass or a push; `booked` when it was new.
    pub fn on_fill(&mut self, fill: &Fill, booked: bool, utc: UnixNanos) {
        unimplemented!()
    }

    /// A position of a pass or a push.
    pub fn on_position(&mut self, report: &PositionReport, ledger: &Ledger<'_>, now: MonoNanos) {
        unimplemented!()
    }

    /// An account report of a pass or a push.
    pub fn on_account(&mut self, report: &AccountReport) {
        unimplemented!()
    }

    /// Orders, fills, positions and account have agreed since the stream is live.
    pub fn reconciled(&self) -> bool {
        unimplemented!()
    }

    /// Largest confirmed difference of a position, as a share of the larger.
    pub fn position_drift(&self) -> Rate {
        unimplemented!()
    }

    /// A confirmed difference that two equal passes over the fills do not explain.
    pub fn drift_unexplained(&self) -> bool {
        unimplemented!()
    }

    /// Open orders that the last complete list had, and when it was asked for.
    pub fn open_at_venue(&self) -> Option<(u32, MonoNanos)> {
        unimplemented!()
    }

    /// Nothing is due before this point.
    pub fn deadline(&self) -> MonoNanos {
        unimplemented!()
    }

    /// Folds the checks into `digest`.
    pub fn fold(&self, digest: &mut Digest) {
        unimplemented!()
    }
}
