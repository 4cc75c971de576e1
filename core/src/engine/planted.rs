//! Mistakes that take more than a line: see [`crate::planted`].

use super::Engine;
use crate::command::Outbox;
use crate::event::{
    ClientId, Fill, OrderUpdate, Outcome, RejectClass, Reply, RequestKind, RestorePosition, Source,
};
use crate::gate::Gate;
use crate::guard::Guard;
use crate::instrument::InstrumentId;
use crate::units::{Lots, MonoNanos, Quote, UnixNanos};
use crate::words::Words;

impl<G: Gate> Engine<'_, G> {
    /// [`Defect::HardStopClears`](crate::planted::Defect::HardStopClears) and its like.
    pub(super) fn clear_stop(&mut self) {
        if self.guard.incident() != 0 {
            (self.guard, self.killed) = (Guard::new(self.epoch), false);
        }
    }

    /// [`Defect::TimeoutIsFailure`](crate::planted::Defect::TimeoutIsFailure).
    pub(super) fn take_as_failed(
        &mut self,
        id: InstrumentId,
        client: ClientId,
        now: MonoNanos,
        out: &mut Outbox<'_>,
    ) {
        let failed = Reply {
            instrument: id,
            client,
            request: RequestKind::Place,
            outcome: Outcome::NotSent,
            order_id: 0,
            code: 0,
            class: RejectClass::None,
            message: Words::NONE,
        };
        self.reply(&failed, now, out);
    }

    /// [`Defect::FillIsInferred`](crate::planted::Defect::FillIsInferred).
    pub(super) fn infer_fill(
        &mut self,
        update: &OrderUpdate,
        now: MonoNanos,
        out: &mut Outbox<'_>,
    ) {
        let Some(order) = self.orders.order(update.client) else { return };
        let missing = update.filled - order.booked;
        if missing <= Lots::ZERO {
            return;
        }
        let fill = Fill {
            instrument: update.instrument,
            client: update.client,
            order_id: update.order_id,
            trade_id: 1 << 60 | self.counters.events,
            side: order.intent.side,
            maker: true,
            price: order.intent.price,
            lots: missing,
            fee: Quote::ZERO,
            fee_known: false,
            source: Source::FastPush,
            ts: self.utc_or_zero(now),
        };
        self.fill(&fill, now, out);
    }

    /// [`Defect::PositionIsAdopted`](crate::planted::Defect::PositionIsAdopted).
    pub(super) fn adopt(&mut self, id: InstrumentId, lots: Lots) {
        let entry_value = i128::from(self.views[id.index()].last_mid_x2 / 2) * i128::from(lots.0);
        let held = RestorePosition {
            instrument: id,
            lots,
            entry_value,
            last_trade_id: 0,
            last_trade_at: UnixNanos(0),
        };
        let _ = self.ledger.restore_position(&held);
        self.refresh_view(id);
    }
}
