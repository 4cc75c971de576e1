//! A desk: what the strategy keeps of one instrument.

use super::quiet::Quiet;
use crate::book::{Book, BookMemory};
use crate::digest::Digest;
use crate::event::Ticker;
use crate::glft::Flow;
use crate::markout::Markout;
use crate::plan::Pace;
use crate::quote::Desired;
use crate::regime::Signals;
use crate::tariff::Tariff;
use crate::units::{MonoNanos, Quote, SECONDS};

/// Everything that is kept of one instrument besides what the gate sees.
pub struct Desk<'m> {
    pub(super) book: Book<'m>,
    pub(super) signals: Signals,
    pub(super) markout: Markout,
    pub(super) flow: Flow,
    pub(super) pace: Pace,
    pub(super) desired: Desired,
    pub(super) ticker: Option<Ticker>,
    /// Value of the orders that may be live.
    pub(super) open_notional: Quote,
    /// When the quotes are to be looked at, event or not.
    pub(super) due: MonoNanos,
    pub(super) cancels: CancelWindow,
    /// When all orders here were last canceled by one request because single cancels had failed.
    pub(super) swept: MonoNanos,
    /// Since when updates come without their snapshot, or when it was last asked for; zero for
    /// neither.
    pub(super) waits_since: MonoNanos,
    /// The gate's last refusal here and when it was told, so that it is not told a thousand times.
    pub(super) refusal_told: MonoNanos,
    pub(super) quiet: Quiet,
    pub(super) tariff: Tariff,
}

impl<'m> Desk<'m> {
    /// A desk whose book lives in `memory`.
    pub fn new(memory: BookMemory<'m>) -> Self {
        Self {
            book: Book::new(memory),
            signals: Signals::new(),
            markout: Markout::new(),
            flow: Flow::NONE,
            pace: Pace::new(),
            desired: Desired::NONE,
            ticker: None,
            open_notional: Quote::ZERO,
            due: MonoNanos::ZERO,
            cancels: CancelWindow::NEW,
            swept: MonoNanos::ZERO,
            waits_since: MonoNanos::ZERO,
            refusal_told: MonoNanos::ZERO,
            quiet: Quiet::NONE,
            tariff: Tariff::UNREAD,
        }
    }

    /// Folds all state that decisions depend on.
    pub(super) fn fold(&self, digest: &mut Digest) {
        self.book.fold(digest);
        self.signals.fold(digest);
        self.markout.fold(digest);
        self.flow.fold(digest);
        self.pace.fold(digest);
        digest.fold_signed(self.open_notional.0);
        digest.fold(self.due.0);
        self.cancels.fold(digest);
        digest.fold(self.swept.0);
        digest.fold(self.waits_since.0);
        self.quiet.fold(digest);
        self.tariff.fold(digest);
    }
}

/// Counts the strategy's cancels in a minute that begins with the first of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CancelWindow {
    since: MonoNanos,
    count: u64,
    breached: bool,
}

/// The window of `cancel_budget_per_min`.
const WINDOW_NS: u64 = 60 * SECONDS;

impl CancelWindow {
    /// No cancel yet.
    pub(super) const NEW: Self = Self { since: MonoNanos::ZERO, count: 0, breached: false };

    /// Counts one cancel; true when it is the one that breaches `budget` in this window.
    pub(super) fn count(&mut self, budget: u64, now: MonoNanos) -> bool {
        if self.count == 0 || now.since(self.since) >= WINDOW_NS {
            *self = Self { since: now, count: 0, breached: false };
        }
        self.count += 1;
        let breaches = self.count > budget && !self.breached;
        self.breached |= breaches;
        breaches
    }

    /// Cancels of the window that `now` lies in.
    pub(super) const fn in_window(&self, now: MonoNanos) -> u64 {
        if now.since(self.since) < WINDOW_NS { self.count } else { 0 }
    }

    fn fold(&self, digest: &mut Digest) {
        digest.fold(self.since.0);
        digest.fold(self.count << 1 | u64::from(self.breached));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixty_cancels_a_minute_are_one_episode_a_window() {
        let mut window = CancelWindow::NEW;
        let mut episodes = 0;
        for second in 0..180u64 {
            episodes += u32::from(window.count(50, MonoNanos(second * SECONDS)));
        }
        assert_eq!(episodes, 3, "three windows of sixty");
    }

    #[test]
    fn the_budget_itself_is_no_breach() {
        let mut window = CancelWindow::NEW;
        for n in 1..=50 {
            assert!(!window.count(50, MonoNanos(1)), "cancel {n}");
        }
        assert!(window.count(50, MonoNanos(1)));
        assert!(!window.count(50, MonoNanos(1)), "told once a window");
        assert_eq!(window.in_window(MonoNanos(1)), 52);
        assert_eq!(window.in_window(MonoNanos(1 + WINDOW_NS)), 0);
    }
}
