//! Market data: book, ticker, candles, rules and the public feed.

use super::{Engine, Touched};
use crate::book::{Applied, Fault};
use crate::command::{NoticeKind, Outbox, Plain, Resync};
use crate::event::{
    BookPage, Candle, Coefficients, FeeRate, FeeSource, Feed, FeedState, Fill, Rules, Stream,
    Ticker,
};
use crate::gate::Gate;
use crate::instrument::InstrumentId;
use crate::planted::Defect;
use crate::tariff;
use crate::units::{MonoNanos, SECONDS, UnixNanos};

/// How long updates may come before the snapshot that they change is asked for again.
const SNAPSHOT_NS_MAX: u64 = 2 * SECONDS;

impl<G: Gate> Engine<'_, G> {
    pub(super) fn book_page(
        &mut self,
        page: &BookPage,
        now: MonoNanos,
        out: &mut Outbox<'_>,
    ) -> Touched {
        let id = page.instrument;
        self.known(id);
        let book = &mut self.desks[id.index()].book;
        // A frame that came before shows that bytes arrive, not that they are news; a snapshot of
        // the book as it is may still reach deeper than the book does.
        let again = page.snapshot && book.is_live() && page.seq == book.seq();
        match book.apply(page) {
            Applied::Old if self.params.commits(Defect::OldFrameIsFresh) => {
                self.book_changed(id, now, out)
            }
            Applied::Done if again && !self.params.commits(Defect::OldFrameIsFresh) => {
                Touched::Nothing
            }
            Applied::Pending | Applied::Old => Touched::Nothing,
            Applied::Waiting => {
                self.await_snapshot(id, now, out);
                Touched::Nothing
            }
            Applied::Done => {
                self.desks[id.index()].waits_since = MonoNanos::ZERO;
                self.book_changed(id, now, out)
            }
            Applied::NearEdge => {
                out.plain(Plain::Resync(Resync { instrument: id }));
                self.book_changed(id, now, out)
            }
            Applied::Dropped(fault) => {
                self.lose_book(id, fault, out);
                out.plain(Plain::Resync(Resync { instrument: id }));
                Touched::Instrument(id)
            }
        }
    }

    /// Updates come and the snapshot does not: it was lost or could not be read. It is asked for
    /// again.
    fn await_snapshot(&mut self, id: InstrumentId, now: MonoNanos, out: &mut Outbox<'_>) {
        let since = &mut self.desks[id.index()].waits_since;
        if *since == MonoNanos::ZERO {
            *since = now;
        } else if now.since(*since) >= SNAPSHOT_NS_MAX {
            *since = now;
            out.plain(Plain::Resync(Resync { instrument: id }));
        }
    }

    fn book_changed(&mut self, id: InstrumentId, now: MonoNanos, out: &mut Outbox<'_>) -> Touched {
        let utc = self.utc(now);
        let desk = &mut self.desks[id.index()];
        let view = &mut self.views[id.index()];
        view.book_at = now;
        desk.quiet.ends(desk.book.touch(), now);
        let Some(touch) = desk.book.touch() else {
            view.touch = None;
            return Touched::Instrument(id);
        };
        let mid_x2 = touch.mid_x2();
        view.touch = Some((touch.bid, touch.ask));
        view.last_mid_x2 = mid_x2;
        desk.markout.on_mid(&self.params, mid_x2, now);
        let before = desk.signals.regime();
        if let Some(regime) = desk.signals.on_mid(&self.params, mid_x2, utc, now) {
            self.regime_changed(id, before, regime, out);
        }
        Touched::Instrument(id)
    }

    /// Nothing is known of an instrument's market any more.
    pub(super) fn lose_book(&mut self, id: InstrumentId, fault: Fault, out: &mut Outbox<'_>) {
        self.forget_book(id);
        self.notice(NoticeKind::BookDropped, id, [i64::from(fault as u8), 0], out);
    }

    fn forget_book(&mut self, id: InstrumentId) {
        let desk = &mut self.desks[id.index()];
        desk.book.drop_book();
        desk.signals.lose_mid();
        desk.markout.lose_mid();
        desk.quiet.forget();
        let view = &mut self.views[id.index()];
        (view.touch, view.confirmed_at) = (None, MonoNanos::ZERO);
        self.counters.books_dropped += 1;
    }

    pub(super) fn ticker(&mut self, ticker: &Ticker, now: MonoNanos) -> Touched {
        let id = ticker.instrument;
        self.known(id);
        let view = &mut self.views[id.index()];
        view.ticker_at = now;
        if self.params.commits(Defect::AnyTopicIsFresh) {
            view.book_at = now;
        }
        if ticker.mark.0 > 0 {
            view.mark = ticker.mark;
            self.ledger.mark(id, ticker.mark);
        }
        self.desks[id.index()].ticker = Some(*ticker);
        if self.ledger.position(id).lots.is_zero() {
            return Touched::Instrument(id);
        }
        self.refresh_account();
        Touched::Instrument(id)
    }

    pub(super) fn rules(&mut self, rules: &Rules, now: MonoNanos, out: &mut Outbox<'_>) {
        let id = rules.id;
        self.known(id);
        let view = &mut self.views[id.index()];
        view.rules_at = now;
        if view.rules == Some(rules.instrument) {
            return;
        }
        let grids_changed = view.rules.is_some_and(|old| {
            (old.tick, old.lot) != (rules.instrument.tick, rules.instrument.lot)
        });
        view.rules = Some(rules.instrument);
        if self.ledger.rules(id, &rules.instrument).is_err() {
            // A position that the new lots cannot express is nothing to trade on.
            self.account.contradiction = true;
        }
        let desk = &mut self.desks[id.index()];
        desk.book.rules(rules.instrument.tick, rules.instrument.lot);
        if grids_changed {
            desk.signals.reset();
            self.lose_book(id, Fault::Rules, out);
            out.plain(Plain::Resync(Resync { instrument: id }));
            self.pull(id, now, out);
        }
    }

    pub(super) fn fee_rate(&mut self, rate: &FeeRate, now: MonoNanos) {
        // A refresh that failed leaves the last rates in force; their age decides.
        if rate.source == FeeSource::Unresolved {
            return;
        }
        let all = rate.instrument == InstrumentId::ALL;
        for index in 0..self.instruments {
            if !all && index != rate.instrument.index() {
                continue;
            }
            if self.desks[index].tariff.read(rate, now) {
                let view = &mut self.views[index];
                (view.maker, view.taker) = (rate.maker, rate.taker);
                (view.fee_source, view.fee_at) = (rate.source, now);
            }
        }
        self.look_at_fees();
    }

    /// Takes in what one of our executions was charged, unless it comes so late that other rates
    /// may have been in force than any that are known.
    pub(super) fn charge(&mut self, fill: &Fill, now: MonoNanos, utc: UnixNanos) {
        let index = fill.instrument.index();
        let is_late = utc.0.saturating_sub(fill.ts.0) > tariff::LATE_NS as i64;
        if let (Some(rules), true) = (self.views[index].rules, fill.client.is_own() && !is_late) {
            let worth = rules.notional(fill.price, fill.lots);
            let tariff = &mut self.desks[index].tariff;
            let before = tariff.is_doubtful();
            tariff.charge(fill, worth, now);
            // Most executions change nothing, and a look goes over all contracts.
            if tariff.is_doubtful() != before {
                self.look_at_fees();
            }
        }
    }

    fn look_at_fees(&mut self) {
        let mut desks = self.desks[..self.instruments].iter();
        self.account.fees_doubtful = desks.any(|desk| desk.tariff.is_doubtful());
    }

    /// Asks for rates that are doubtful, at once and then again and again: they may have changed.
    pub(super) fn ask_fee_rates(&mut self, now: MonoNanos, out: &mut Outbox<'_>) {
        let needed = self.params.require_fee_resolution() == 1;
        if !needed || !self.account.fees_doubtful || now < self.fees_at {
            return;
        }
        self.fees_at = now.after(tariff::AGAIN_NS);
        for index in 0..self.instruments {
            if self.desks[index].tariff.is_doubtful() && Self::has_room(out) {
                let query = self.reconcile.ask_fee_rates(InstrumentId(index as u16));
                out.plain(Plain::Query(query));
            }
        }
    }

    pub(super) fn candle(&mut self, candle: &Candle) {
        let id = candle.instrument;
        self.known(id);
        let Some(rules) = self.views[id.index()].rules else { return };
        self.desks[id.index()].signals.on_candle(&self.params, candle, &rules);
    }

    /// Takes in a fit. One that no flow of takers can have changes nothing: the last one serves
    /// until it is too old.
    pub(super) fn coefficients(
        &mut self,
        fit: &Coefficients,
        now: MonoNanos,
        out: &mut Outbox<'_>,
    ) -> Touched {
        let id = fit.instrument;
        self.known(id);
        if self.desks[id.index()].flow.take(&self.params, fit, now) {
            return Touched::Instrument(id);
        }
        let said = [fit.arrivals_per_s_e8, fit.decay_per_bp_e8];
        self.notice(NoticeKind::FitRefused, id, said, out);
        Touched::Nothing
    }

    pub(super) fn feed(&mut self, feed: &Feed, now: MonoNanos, out: &mut Outbox<'_>) {
        match (feed.stream, feed.state) {
            (Stream::Public, FeedState::Live) => {
                self.public_live = true;
                self.count_connects(feed);
            }
            (Stream::Public, FeedState::Lost | FeedState::Gap) => {
                self.public_live &= feed.state != FeedState::Lost;
                for index in 0..self.instruments {
                    let id = InstrumentId(index as u16);
                    if feed.instrument == InstrumentId::ALL || feed.instrument == id {
                        self.forget_book(id);
                        if feed.state == FeedState::Lost {
                            self.desks[index].book.forget();
                        }
                    }
                }
                // Told and asked for once, however many there are: a step has room for so much.
                let cause = i64::from(Fault::Feed as u8);
                self.notice(NoticeKind::BookDropped, feed.instrument, [cause, 0], out);
                if feed.state == FeedState::Gap {
                    out.plain(Plain::Resync(Resync { instrument: feed.instrument }));
                }
            }
            (Stream::Public, FeedState::Pong) => self.account.pong_at = now,
            (Stream::Private, FeedState::Pong) => {}
            (_, FeedState::Rotated) => self.counters.rotations += 1,
            (Stream::Private, FeedState::Live) => {
                self.count_connects(feed);
                self.account.private_live = true;
                self.account.private_at = now;
                self.reconcile.stream(true, now);
            }
            (Stream::Private, FeedState::Lost | FeedState::Gap) => self.lose_private(now, out),
        }
    }

    fn count_connects(&mut self, feed: &Feed) {
        if feed.connects > 1 {
            self.counters.reconnects += 1;
        }
    }

    /// An instrument that does not exist is a defect of whoever made the event.
    pub(super) fn known(&self, id: InstrumentId) {
        assert!(id.index() < self.instruments, "no instrument {}", id.0);
    }

    /// The UTC estimate that a record carries; zero while unknown.
    pub(super) fn utc_or_zero(&self, now: MonoNanos) -> UnixNanos {
        self.utc(now).unwrap_or(UnixNanos(0))
    }
}
