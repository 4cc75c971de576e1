//! Quiet books: one on which nothing happens is told from one that is cut off.
//!
//! When no frame of a book has come for half of its silence limit, the venue is asked for its best
//! bid and ask over REST, and the public connection for a pong. The same prices and sizes, and the
//! pong, say that the book is the venue's: it counts as fresh, by the older of the two. Other
//! prices, with no frame that explains them, say that the stream does not tell what happens: the
//! book is dropped and made anew. No answer says nothing, and the silence limit holds as ever.

use super::{Engine, Touched};
use crate::book::{Fault, Touch};
use crate::command::{Outbox, Ping, Plain, Resync};
use crate::digest::Digest;
use crate::event::{Evidence, Stream, TouchReport};
use crate::gate::Gate;
use crate::instrument::InstrumentId;
use crate::units::{MILLIS, MonoNanos, SECONDS};

/// What is known of one book beside its frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Quiet {
    /// The question that is under way, 0 for none, and when the last one was asked.
    pass: u32,
    asked: MonoNanos,
    /// When the venue answered with other prices than the book's; zero for never since the last
    /// frame.
    denied: MonoNanos,
    /// The best bid and ask, and since when they stand so.
    top: Option<Touch>,
    top_since: MonoNanos,
}

/// A frame may be on its way that an answer over REST has overtaken.
const OVERTAKEN_NS: u64 = 300 * MILLIS;

/// An answer that takes longer is not waited for.
const ANSWER_NS_MAX: u64 = 5 * SECONDS;

impl Quiet {
    pub(super) const NONE: Self = Self {
        pass: 0,
        asked: MonoNanos::ZERO,
        denied: MonoNanos::ZERO,
        top: None,
        top_since: MonoNanos::ZERO,
    };

    /// A frame has come, after which the book's touch is `top`.
    pub(super) fn ends(&mut self, top: Option<Touch>, now: MonoNanos) {
        self.denied = MonoNanos::ZERO;
        if top != self.top {
            (self.top, self.top_since) = (top, now);
        }
    }

    /// The book has been dropped.
    pub(super) fn forget(&mut self) {
        self.denied = MonoNanos::ZERO;
    }

    /// For how long the best bid and ask have stood unchanged, in nanoseconds.
    pub(super) fn top_ns(&self, now: MonoNanos) -> u64 {
        now.since(self.top_since)
    }

    pub(super) fn fold(&self, digest: &mut Digest) {
        digest.fold(u64::from(self.pass));
        for at in [self.asked, self.denied, self.top_since] {
            digest.fold(at.0);
        }
    }

    /// True while an answer may still come.
    fn is_asking(&self, now: MonoNanos) -> bool {
        self.pass != 0 && now.since(self.asked) < ANSWER_NS_MAX
    }
}

impl<G: Gate> Engine<'_, G> {
    /// Asks about books that are quiet, and drops those that the venue has moved on from.
    pub(super) fn watch_quiet_books(&mut self, now: MonoNanos, out: &mut Outbox<'_>) {
        if now < self.quiet_at {
            return;
        }
        let half_ns = self.params.book_silence_ms() / 2;
        let (mut next, mut asked) = (now.after(half_ns), false);
        for index in 0..self.instruments {
            if !Self::has_room(out) {
                next = now;
                break;
            }
            let id = InstrumentId(index as u16);
            next = next.min(self.watch_quiet_book(id, half_ns, now, out));
            asked |= self.desks[index].quiet.asked == now;
        }
        if asked && now.since(self.account.pong_at) >= half_ns {
            out.plain(Plain::Ping(Ping { stream: Stream::Public }));
        }
        self.quiet_at = next.max(now.after(1));
    }

    /// The same for one; gives when it is to be looked at next.
    fn watch_quiet_book(
        &mut self,
        id: InstrumentId,
        half_ns: u64,
        now: MonoNanos,
        out: &mut Outbox<'_>,
    ) -> MonoNanos {
        let (view, quiet) = (&self.views[id.index()], &mut self.desks[id.index()].quiet);
        if view.touch.is_none() {
            return MonoNanos::NEVER;
        }
        let late = quiet.denied.after(OVERTAKEN_NS);
        if quiet.denied != MonoNanos::ZERO && now >= late {
            self.lose_book(id, Fault::Touch, out);
            out.plain(Plain::Resync(Resync { instrument: id }));
            self.pull(id, now, out);
            return MonoNanos::NEVER;
        }
        let denied = if quiet.denied == MonoNanos::ZERO { MonoNanos::NEVER } else { late };
        let due = view.known_at(&self.account).max(quiet.asked).after(half_ns);
        let due = if quiet.is_asking(now) { quiet.asked.after(ANSWER_NS_MAX) } else { due };
        if now < due {
            return denied.min(due);
        }
        let query = self.reconcile.ask_touch(id);
        (quiet.pass, quiet.asked) = (query.pass, now);
        out.plain(Plain::Query(query));
        denied.min(now.after(half_ns))
    }

    /// The venue's best bid and ask, as asked for.
    pub(super) fn touch_report(&mut self, report: &TouchReport, now: MonoNanos) -> Touched {
        let id = report.instrument;
        self.known(id);
        let asked = self.reconcile.asked();
        let (desk, view) = (&mut self.desks[id.index()], &mut self.views[id.index()]);
        let Some(ours) = desk.book.touch() else { return Touched::Nothing };
        if asked <= view.book_at {
            // A frame has come since: the book is not quiet, and the answer is of the past.
            return Touched::Nothing;
        }
        let quiet = &mut desk.quiet;
        if (ours.bid, ours.ask) != (report.bid, report.ask) {
            if quiet.denied == MonoNanos::ZERO {
                quiet.denied = now;
                self.quiet_at = self.quiet_at.min(now.after(OVERTAKEN_NS));
                self.due = self.due.min(self.quiet_at);
            }
            return Touched::Nothing;
        }
        quiet.denied = MonoNanos::ZERO;
        if (ours.bid_lots, ours.ask_lots) != (report.bid_lots, report.ask_lots) {
            // The prices are right, and something has happened all the same: no proof of either.
            return Touched::Nothing;
        }
        view.confirmed_at = asked;
        Touched::Instrument(id)
    }

    /// A question for a best bid and ask has ended, with an answer or without.
    pub(super) fn touch_answered(&mut self, evidence: &Evidence) {
        if let Some(desk) = self.desks.get_mut(evidence.instrument.index())
            && desk.quiet.pass == evidence.pass
        {
            desk.quiet.pass = 0;
            // The next question may be due before an answer to this one was given up.
            self.quiet_at = self.now;
            self.due = self.now;
        }
    }
}
