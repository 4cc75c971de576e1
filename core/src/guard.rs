//! The guard: running, paused, or stopped for good.

use crate::slot_enum;

slot_enum! {
    /// How far the engine may go. Opinions combine by the greater.
    pub enum GuardState {
        /// Quoting.
        Running = 0 "RUNNING",
        /// No quotes; ends by itself once every cause has been clear for the hold-down.
        SoftPause = 1 "SOFT_PAUSE",
        /// Everything canceled, nothing created, until an operator rearms.
        HardStop = 2 "HARD_STOP",
    }
}

slot_enum! {
    /// Why the guard is not running. The text is the reason code in files and metrics.
    pub enum Reason {
        /// Start-up has not collected everything yet.
        Starting = 0 "starting",
        /// The book is not fresh.
        BookStale = 1 "book_stale",
        /// Mark, index or funding is not fresh.
        TickerStale = 2 "ticker_stale",
        /// The private stream is not live.
        PrivateLost = 3 "private_lost",
        /// UTC is not known well enough.
        Clock = 4 "clock",
        /// No fee rate from the venue.
        FeeUnresolved = 5 "fee_unresolved",
        /// Loss since the UTC day began.
        DailyLoss = 6 "daily_loss",
        /// Loss over seven days.
        WeeklyLoss = 7 "weekly_loss",
        /// Fall from the high-water mark.
        Drawdown = 8 "drawdown",
        /// Traded too much today.
        Turnover = 9 "turnover",
        /// Position against equity.
        BasePct = 10 "base_pct",
        /// Position against its limit in money.
        PositionNotional = 11 "position_notional",
        /// Leverage at the venue.
        Leverage = 12 "leverage",
        /// Maintenance margin over equity.
        MarginRatio = 13 "margin_ratio",
        /// Venue's position differs from ours.
        PositionDrift = 14 "position_drift",
        /// Too many cancels a minute.
        CancelBudget = 15 "cancel_budget",
        /// Venue rejects one after another.
        RejectStreak = 16 "reject_streak",
        /// Orders of unknown outcome.
        UnknownOrders = 17 "unknown_orders",
        /// What the venue said contradicts itself: overfill, one trade id with two contents.
        Contradiction = 18 "contradiction",
        /// An order of somebody else on our account.
        ForeignOrder = 19 "foreign_order",
        /// The disk does not keep up.
        JournalLag = 20 "journal_lag",
        /// The rules of an instrument are old or forbid trading.
        Rules = 21 "rules",
        /// The account's settings are not as configured.
        Settings = 22 "settings",
        /// A table is full.
        Capacity = 23 "capacity",
        /// A person paused or killed.
        Operator = 24 "operator",
        /// The program is ending in order.
        Stopping = 25 "stopping",
        /// Reconciliation has not finished since the last reconnect.
        Reconciling = 26 "reconciling",
        /// The process was not run for a while.
        ProcessPaused = 27 "process_paused",
        /// Executions come faster than the strategy means them to.
        FillRate = 28 "fill_rate",
        /// Equity or margin could not be read.
        AccountUnknown = 29 "account_unknown",
        /// Post-only orders were executed as taker.
        TakerFill = 30 "taker_fill",
    }
}

/// A set of reasons.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reasons(pub u64);

const _: () = assert!(Reason::ALL.len() <= 64);

impl Reasons {
    /// No reason.
    pub const NONE: Self = Self(0);

    /// This set and `reason`.
    #[must_use]
    pub const fn with(self, reason: Reason) -> Self {
        Self(self.0 | 1 << reason as u8)
    }

    /// Both sets.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// True when `reason` is one of them.
    pub const fn contains(self, reason: Reason) -> bool {
        self.0 >> reason as u8 & 1 == 1
    }

    /// True when there is none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The reasons, in the order of their numbers.
    pub fn iter(self) -> impl Iterator<Item = Reason> {
        Reason::ALL.iter().copied().filter(move |&reason| self.contains(reason))
    }
}

/// What one observer of the state thinks: which reasons call for a pause, which for a stop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Opinion {
    /// Causes of a pause.
    pub soft: Reasons,
    /// Causes of a stop.
    pub hard: Reasons,
}

impl Opinion {
    /// Nothing is wrong.
    pub const FINE: Self = Self { soft: Reasons::NONE, hard: Reasons::NONE };

    /// Both opinions; the graver one wins.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self { soft: self.soft.union(other.soft), hard: self.hard.union(other.hard) }
    }

    /// The state that this opinion calls for.
    pub const fn state(self) -> GuardState {
        if !self.hard.is_empty() {
            GuardState::HardStop
        } else if !self.soft.is_empty() {
            GuardState::SoftPause
        } else {
            GuardState::Running
        }
    }
}
