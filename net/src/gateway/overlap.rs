//! Overlap: during a rotation two connections tell the same; each thing is passed on once.

use keel_core::event::{Event, Source};

use crate::bitget::decode::Sink;

/// What one of two connections has told and the other has not, yet.
#[derive(Debug)]
pub(super) struct Overlap {
    told: Vec<(usize, Event)>,
    /// Events of a payload that go on.
    fresh: Vec<Event>,
}

/// Things remembered at a time. Beyond it both copies pass: the engine books an execution once
/// however often it hears of it.
const TOLD_MAX: usize = 1_024;

impl Overlap {
    /// Nothing was told.
    pub(super) fn new() -> Self {
        Self { told: Vec::with_capacity(TOLD_MAX), fresh: Vec::with_capacity(TOLD_MAX) }
    }

    /// A rotation begins or has ended.
    pub(super) fn clear(&mut self) {
        self.told.clear();
    }

    /// A sink for what the connection on `seat` tells.
    pub(super) fn sink<S: Sink>(&mut self, seat: usize, inner: S) -> OverlapSink<'_, S> {
        OverlapSink { overlap: self, seat, inner }
    }

    /// True when the other connection has not told this before.
    fn is_fresh(&mut self, seat: usize, event: &Event) -> bool {
        let pushed = match event {
            Event::OrderUpdate(update) => update.source != Source::Query,
            Event::Fill(fill) => fill.source != Source::Query,
            Event::PositionReport(report) => report.source != Source::Query,
            Event::AccountReport(report) => report.source != Source::Query,
            // An answer comes on the connection that was asked, and nowhere else.
            _ => false,
        };
        if !pushed {
            return true;
        }
        let same = |(by, told): &(usize, Event)| *by != seat && told == event;
        if let Some(place) = self.told.iter().position(same) {
            self.told.remove(place);
            return false;
        }
        if self.told.len() < TOLD_MAX {
            self.told.push((seat, *event));
        }
        true
    }
}

/// Passes on what the other connection has not told.
pub(super) struct OverlapSink<'o, S> {
    overlap: &'o mut Overlap,
    seat: usize,
    inner: S,
}

impl<S: Sink> Sink for OverlapSink<'_, S> {
    fn put<I: ExactSizeIterator<Item = Event>>(&mut self, events: I) -> bool {
        let mut fresh = std::mem::take(&mut self.overlap.fresh);
        fresh.extend(events.filter(|event| self.overlap.is_fresh(self.seat, event)));
        let taken = fresh.is_empty() || self.inner.put(fresh.drain(..));
        fresh.clear();
        self.overlap.fresh = fresh;
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use keel_core::event::ClientId;
    use keel_core::event::{AccountReport, Outcome, RejectClass, Reply, RequestKind};
    use keel_core::instrument::InstrumentId;
    use keel_core::units::{Quote, Rate, UnixNanos};
    use keel_core::words::Words;

    fn account(ms: i64) -> Event {
        Event::AccountReport(AccountReport {
            equity: Quote::usdt(1),
            balance: Quote::usdt(1),
            available: Quote::usdt(1),
            unrealized: Quote::ZERO,
            margin_ratio: Rate::ZERO,
            source: Source::Push,
            ts: UnixNanos::from_millis(ms),
        })
    }

    #[test]
    fn each_push_passes_once_whichever_connection_is_first_and_every_answer_passes() {
        let (mut overlap, mut out) = (Overlap::new(), Vec::new());
        let mut tell = |seat: usize, event: Event| {
            overlap.sink(seat, &mut out).put(std::iter::once(event));
        };
        for (seat, ms) in [(0, 1), (1, 1), (1, 2), (0, 2), (0, 3), (0, 3), (1, 3), (1, 3)] {
            tell(seat, account(ms));
        }
        let reply = Event::Reply(Reply {
            instrument: InstrumentId(0),
            client: ClientId { epoch: 1, number: 1 },
            request: RequestKind::Place,
            outcome: Outcome::Received,
            order_id: 1,
            code: 0,
            class: RejectClass::None,
            message: Words::NONE,
        });
        tell(0, reply);
        tell(1, reply);
        // What one connection says twice is said twice.
        assert_eq!(out, [account(1), account(2), account(3), account(3), reply, reply]);
        overlap.clear();
        assert!(overlap.told.is_empty());
    }
}
