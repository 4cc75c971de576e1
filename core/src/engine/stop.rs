//! The ordered stop: cancel, wait until nothing may be live, read zero back, end.

use super::Engine;
use crate::command::{Outbox, Plain, Stopped};
use crate::gate::Gate;
use crate::planted::Defect;
use crate::units::{MILLIS, MonoNanos};

/// How far the engine is with its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// It is not ending.
    Working,
    /// Orders are being canceled.
    Canceling {
        /// From when on its time counts.
        since: MonoNanos,
    },
    /// No order may be live by our table; the venue is asked.
    Verifying {
        /// From when on its time counts.
        since: MonoNanos,
        /// When the table became empty: only a list asked for later proves anything.
        empty: MonoNanos,
    },
    /// The end.
    Over,
}

/// How often an unfinished stop is looked at.
const LOOK_NS: u64 = 20 * MILLIS;

impl Stage {
    /// Begins the end, whose time counts from `since` on.
    fn begin(&mut self, since: MonoNanos) {
        if *self == Self::Working {
            *self = Self::Canceling { since };
        }
    }

    pub(super) fn deadline(self, now: MonoNanos) -> MonoNanos {
        match self {
            Self::Working | Self::Over => MonoNanos::NEVER,
            Self::Canceling { .. } | Self::Verifying { .. } => now.after(LOOK_NS),
        }
    }
}

impl<G: Gate> Engine<'_, G> {
    /// Begins the ordered stop. What an earlier run may have left on its way is waited for first.
    pub(super) fn begin_stop(&mut self, now: MonoNanos) {
        let gone = self.dirty_since.map_or(now, |since| since.after(self.zombie_ns()));
        self.stage.begin(now.max(gone));
    }

    pub(super) fn advance_stop(&mut self, now: MonoNanos, out: &mut Outbox<'_>) {
        let (Stage::Canceling { since } | Stage::Verifying { since, .. }) = self.stage else {
            return;
        };
        if now.since(since) > self.params.stop_timeout_s() {
            // Given up: what may still be live is said, and whoever runs the engine says it aloud.
            return self.end(self.orders.open_orders().max(1), out);
        }
        match self.stage {
            Stage::Canceling { .. } if self.orders.open_orders() == 0 => {
                if self.params.commits(Defect::StopNotReadBack) {
                    return self.end(0, out);
                }
                self.stage = Stage::Verifying { since, empty: now };
                self.reconcile.want_orders(now);
            }
            // An order of the run before may still appear: zero proves nothing yet.
            Stage::Verifying { .. } if self.dirty_since.is_some() => {}
            Stage::Verifying { empty, .. } => match self.reconcile.open_at_venue() {
                Some((0, asked)) if asked >= empty => self.end(0, out),
                Some((_, asked)) if asked >= empty => {
                    self.cancel_everything(now, out);
                    self.stage = Stage::Verifying { since, empty: now.after(1) };
                    self.reconcile.want_orders(now.after(1));
                }
                Some(_) | None => {}
            },
            Stage::Canceling { .. } | Stage::Working | Stage::Over => {}
        }
    }

    fn end(&mut self, open: u32, out: &mut Outbox<'_>) {
        self.stage = Stage::Over;
        self.record_digest(out);
        out.plain(Plain::Stopped(Stopped { open }));
    }
}
