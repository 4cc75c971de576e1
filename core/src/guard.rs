//! The guard: running, paused, or stopped for good.

use core::fmt;

use crate::command::GuardChanged;
use crate::digest::Digest;
use crate::slot_enum;
use crate::units::MonoNanos;

/// The guard of one engine. It starts paused, and a stop holds until an operator clears it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guard {
    state: GuardState,
    soft: Reasons,
    hard: Reasons,
    /// Since when no cause of a pause has been seen; [`MonoNanos::NEVER`] while one is there.
    clear_since: MonoNanos,
    /// When a pause may end at the earliest.
    deadline: MonoNanos,
    epoch: u32,
    incidents: u32,
    incident: u64,
}

slot_enum! {
    /// What moves the guard.
    pub enum Turn {
        /// Nothing is wrong, and has not been for the hold-down.
        Clear = 0 "clear for the hold-down",
        /// An opinion calls for a pause.
        Pause = 1 "cause of a pause",
        /// An opinion calls for a stop.
        Stop = 2 "cause of a stop",
        /// An operator names the incident.
        Rearm = 3 "rearm",
    }
}

/// Why a rearm was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RearmError {
    /// The guard is not stopped.
    NotStopped,
    /// The incident named is not the one that latched the stop.
    WrongIncident,
}

impl Guard {
    /// A guard that waits for start-up, in boot epoch `epoch`.
    pub const fn new(epoch: u32) -> Self {
        Self {
            state: GuardState::SoftPause,
            soft: Reasons::NONE.with(Reason::Starting),
            hard: Reasons::NONE,
            clear_since: MonoNanos::NEVER,
            deadline: MonoNanos::NEVER,
            epoch,
            incidents: 0,
            incident: 0,
        }
    }

    /// Latches the stop of an earlier run, before anything else happens.
    pub fn restore(&mut self, incident: u64, reasons: Reasons) -> GuardChanged {
        let from = self.state;
        self.state = GuardState::HardStop;
        self.hard = self.hard.union(reasons);
        self.incident = incident;
        let (soft, hard) = (self.soft.0, self.hard.0);
        GuardChanged { from, to: self.state, soft, hard, incident }
    }

    /// Takes the opinion of now in. A pause ends once nothing has been wrong for `hold_ns`; a stop
    /// does not end here. Gives the change when state or reasons are others than before.
    pub fn advance(
        &mut self,
        opinion: Opinion,
        now: MonoNanos,
        hold_ns: u64,
    ) -> Option<GuardChanged> {
        let before = *self;
        let turn = self.turn(opinion, now, hold_ns);
        if opinion.soft.is_empty() {
            if turn == Some(Turn::Clear) {
                self.soft = Reasons::NONE;
            }
        } else {
            self.soft = opinion.soft;
        }
        self.hard = self.hard.union(opinion.hard);
        if let Some(Ok(state)) = turn.map(|turn| self.state.after(turn)) {
            self.enter(state);
        }
        self.changed_from(&before)
    }

    /// Clears the stop of `incident`; the guard pauses until every cause has been clear for the
    /// hold-down.
    ///
    /// # Errors
    /// See [`RearmError`]; nothing changes then.
    pub fn rearm(&mut self, incident: u64) -> Result<GuardChanged, RearmError> {
        let Ok(state) = self.state.after(Turn::Rearm) else {
            return Err(RearmError::NotStopped);
        };
        if incident != self.incident {
            return Err(RearmError::WrongIncident);
        }
        let before = *self;
        self.soft = self.soft.union(self.hard);
        self.hard = Reasons::NONE;
        self.clear_since = MonoNanos::NEVER;
        self.incident = 0;
        self.enter(state);
        Ok(self.changed_from(&before).expect("a stop and a pause differ"))
    }

    /// Where it stands.
    pub const fn state(&self) -> GuardState {
        self.state
    }

    /// Causes of the pause; the last ones seen while the hold-down runs.
    pub const fn soft(&self) -> Reasons {
        self.soft
    }

    /// Causes of the stop, all since it latched.
    pub const fn hard(&self) -> Reasons {
        self.hard
    }

    /// The incident that latched the stop; 0 unless stopped.
    pub const fn incident(&self) -> u64 {
        self.incident
    }

    /// When a pause ends if nothing happens; [`MonoNanos::NEVER`] when it does not.
    pub const fn deadline(&self) -> MonoNanos {
        self.deadline
    }

    /// Folds the guard into `digest`.
    pub fn fold(&self, digest: &mut Digest) {
        digest.fold(self.state as u64);
        digest.fold(self.soft.0);
        digest.fold(self.hard.0);
        digest.fold(self.clear_since.0);
        digest.fold(self.deadline.0);
        digest.fold(u64::from(self.epoch) << 32 | u64::from(self.incidents));
        digest.fold(self.incident);
    }

    /// What `opinion` asks of the guard; `None` while a hold-down runs.
    fn turn(&mut self, opinion: Opinion, now: MonoNanos, hold_ns: u64) -> Option<Turn> {
        let state = opinion.state();
        if state != GuardState::Running {
            self.clear_since = MonoNanos::NEVER;
            self.deadline = MonoNanos::NEVER;
            return Some(if state == GuardState::HardStop { Turn::Stop } else { Turn::Pause });
        }
        if self.clear_since == MonoNanos::NEVER {
            self.clear_since = now;
        }
        let ends = self.clear_since.after(hold_ns);
        let paused = self.state == GuardState::SoftPause;
        self.deadline = if paused && now < ends { ends } else { MonoNanos::NEVER };
        (now >= ends).then_some(Turn::Clear)
    }

    fn enter(&mut self, state: GuardState) {
        if state == GuardState::HardStop && self.state != GuardState::HardStop {
            self.incidents += 1;
            self.incident = u64::from(self.epoch) << 32 | u64::from(self.incidents);
        }
        self.state = state;
    }

    fn changed_from(&self, before: &Self) -> Option<GuardChanged> {
        // While stopped, causes of a pause come and go and mean nothing.
        let soft = self.state != GuardState::HardStop && self.soft != before.soft;
        let changed = self.state != before.state || self.hard != before.hard || soft;
        changed.then_some(GuardChanged {
            from: before.state,
            to: self.state,
            soft: self.soft.0,
            hard: self.hard.0,
            incident: self.incident,
        })
    }
}

impl GuardState {
    /// The state after `turn`.
    ///
    /// # Errors
    /// The turn itself, when this state does not know it.
    pub const fn after(self, turn: Turn) -> Result<Self, Turn> {
        Ok(match (self, turn) {
            (Self::Running, Turn::Clear) => Self::Running,
            (Self::Running, Turn::Pause) => Self::SoftPause,
            (Self::Running, Turn::Stop) => Self::HardStop,

            (Self::SoftPause, Turn::Clear) => Self::Running,
            (Self::SoftPause, Turn::Pause) => Self::SoftPause,
            (Self::SoftPause, Turn::Stop) => Self::HardStop,

            (Self::HardStop, Turn::Clear | Turn::Pause | Turn::Stop) => Self::HardStop,
            (Self::HardStop, Turn::Rearm) => Self::SoftPause,

            (Self::Running | Self::SoftPause, Turn::Rearm) => return Err(turn),
        })
    }
}

/// The table as Graphviz text, kept in `docs/states/guard.dot`.
#[derive(Clone, Copy, Debug)]
pub struct Drawing;

impl fmt::Display for Drawing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "// Printed by keel_core::guard; a test compares.")?;
        writeln!(f, "digraph guard {{")?;
        writeln!(f, "    rankdir=LR;")?;
        writeln!(f, "    start [shape=point];")?;
        writeln!(f, "    start -> SOFT_PAUSE [label=\"boot\"];")?;
        writeln!(f, "    start -> HARD_STOP [label=\"boot, latched\"];")?;
        for &from in GuardState::ALL {
            for &to in GuardState::ALL {
                let mut turns = Turn::ALL.iter().filter(|&&turn| from.after(turn) == Ok(to));
                let Some(first) = turns.next() else { continue };
                write!(f, "    {from} -> {to} [label=\"{first}")?;
                for turn in turns {
                    write!(f, "\\n{turn}")?;
                }
                writeln!(f, "\"];")?;
            }
        }
        writeln!(f, "}}")
    }
}

slot_enum! {
    /// How far the engine may go. Opinions combine by the greater.
    pub enum GuardState {
        /// Quoting.
        Running = 0 "RUNNING",
        /// No quotes, but for what shrinks too large an inventory; ends by itself once every cause
        /// has been clear for the hold-down.
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
        /// No fee rate from the venue, or one that executions do not bear.
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
        /// The disk has refused a write: nothing is durable any more.
        JournalFailed = 31 "journal_failed",
        /// The venue knows orders of ours that come after everything in this state.
        StateBehind = 32 "state_behind",
        /// Nine tenths of the UTC day's creates are sent.
        CreatesPerDay = 33 "creates_per_day",
        /// The venue's own switch was armed and is no longer confirmed.
        DeadMan = 34 "dead_man",
        /// The account's settings have not been read for too long.
        SettingsStale = 35 "settings_stale",
        /// The venue's balance stays off ours, and its bills do not explain it.
        BalanceUnexplained = 36 "balance_unexplained",
        /// A record of money is of a kind that is not known.
        BillUnknown = 37 "bill_unknown",
        /// The engine's process died, or a thread of it turned no more.
        EngineLost = 40 "engine_lost",
    }
}

/// A set of reasons.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reasons(pub u64);

const _: () = assert!((Reason::ALL[Reason::ALL.len() - 1] as u8) < 64);

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

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    const HOLD: u64 = 2_000;
    const FINE: Opinion = Opinion::FINE;

    fn soft(reason: Reason) -> Opinion {
        Opinion { soft: Reasons::NONE.with(reason), ..FINE }
    }

    fn hard(reason: Reason) -> Opinion {
        Opinion { hard: Reasons::NONE.with(reason), ..FINE }
    }

    fn at(nanos: u64) -> MonoNanos {
        MonoNanos(nanos)
    }

    fn running() -> Guard {
        let mut guard = Guard::new(7);
        guard.advance(FINE, at(0), HOLD);
        guard.advance(FINE, at(HOLD), HOLD);
        assert_eq!(guard.state(), GuardState::Running);
        guard
    }

    #[test]
    fn the_drawing_in_docs_is_the_table() {
        let kept = include_str!("../../docs/states/guard.dot");
        assert_eq!(Drawing.to_string(), kept, "docs/states/guard.dot is old; it should read so");
    }

    #[test]
    fn a_guard_starts_paused_and_runs_after_the_hold_down() {
        let mut guard = Guard::new(1);
        assert_eq!(guard.state(), GuardState::SoftPause);
        assert!(guard.soft().contains(Reason::Starting));
        assert_eq!(guard.advance(FINE, at(10), HOLD), None);
        assert_eq!(guard.deadline(), at(10 + HOLD));
        assert_eq!(guard.advance(FINE, at(9 + HOLD), HOLD), None);
        let change = guard.advance(FINE, at(10 + HOLD), HOLD).expect("it runs");
        assert_eq!((change.from, change.to), (GuardState::SoftPause, GuardState::Running));
        assert_eq!((change.soft, guard.deadline()), (0, MonoNanos::NEVER));
    }

    #[test]
    fn a_pause_ends_only_after_every_cause_was_clear_for_the_hold_down() {
        let mut guard = running();
        assert!(guard.advance(soft(Reason::BookStale), at(5_000), HOLD).is_some());
        guard.advance(FINE, at(5_500), HOLD);
        assert!(guard.advance(soft(Reason::Clock), at(7_000), HOLD).is_some(), "another cause");
        guard.advance(FINE, at(7_100), HOLD);
        assert_eq!(guard.advance(FINE, at(7_600), HOLD), None, "the first alone was clear");
        assert_eq!(guard.state(), GuardState::SoftPause);
        assert!(guard.soft().contains(Reason::Clock), "a pause always has a reason");
        guard.advance(FINE, at(9_100), HOLD);
        assert_eq!(guard.state(), GuardState::Running);
    }

    #[test]
    fn a_stop_does_not_end_when_its_reason_clears_nor_with_time() {
        let mut guard = running();
        let change = guard.advance(hard(Reason::DailyLoss), at(5_000), HOLD).expect("a stop");
        assert_eq!((change.to, change.incident), (GuardState::HardStop, 7 << 32 | 1));
        for day in 1..100 {
            assert_eq!(guard.advance(FINE, at(day * 86_400_000_000_000), HOLD), None);
            assert_eq!(guard.state(), GuardState::HardStop);
        }
        assert!(guard.hard().contains(Reason::DailyLoss));
    }

    #[test]
    fn reasons_of_a_stop_add_up_under_one_incident() {
        let mut guard = running();
        guard.advance(hard(Reason::DailyLoss), at(5_000), HOLD);
        let more = guard.advance(hard(Reason::Drawdown), at(6_000), HOLD).expect("a new reason");
        assert_eq!(more.incident, guard.incident());
        assert_eq!(guard.hard().iter().count(), 2);
        assert_eq!(guard.advance(soft(Reason::BookStale), at(6_500), HOLD), None);
        assert_eq!(guard.advance(hard(Reason::Drawdown), at(7_000), HOLD), None, "nothing new");
    }

    #[test]
    fn only_a_rearm_that_names_the_incident_clears_a_stop_and_leads_to_a_pause() {
        let mut guard = running();
        assert_eq!(guard.rearm(0), Err(RearmError::NotStopped));
        guard.advance(hard(Reason::Contradiction), at(5_000), HOLD);
        let incident = guard.incident();
        for wrong in [0, incident + 1, incident - 1, 1] {
            assert_eq!(guard.rearm(wrong), Err(RearmError::WrongIncident));
            assert_eq!(guard.state(), GuardState::HardStop);
        }
        let change = guard.rearm(incident).expect("the right incident");
        assert_eq!((change.to, guard.incident()), (GuardState::SoftPause, 0));
        assert_eq!(guard.rearm(incident), Err(RearmError::NotStopped), "a command replayed");
        guard.advance(FINE, at(6_000), HOLD);
        guard.advance(FINE, at(6_000 + HOLD), HOLD);
        assert_eq!(guard.state(), GuardState::Running);
    }

    #[test]
    fn a_cause_that_persists_stops_again_under_another_incident() {
        let mut guard = running();
        guard.advance(hard(Reason::Drawdown), at(5_000), HOLD);
        let first = guard.incident();
        guard.rearm(first).expect("the right incident");
        guard.advance(hard(Reason::Drawdown), at(5_001), HOLD);
        assert_eq!(guard.state(), GuardState::HardStop);
        assert_ne!(guard.incident(), first);
        assert_eq!(guard.rearm(first), Err(RearmError::WrongIncident), "an old command replayed");
    }

    #[test]
    fn a_latch_survives_a_restart_with_its_incident_and_reasons() {
        let mut before = running();
        before.advance(hard(Reason::Drawdown), at(5_000), HOLD);
        let mut guard = Guard::new(8);
        guard.restore(before.incident(), before.hard());
        assert_eq!(guard.state(), GuardState::HardStop);
        assert_eq!(guard.advance(FINE, at(0), 0), None);
        assert_eq!(guard.incident(), before.incident());
        guard.rearm(before.incident()).expect("the right incident");
        guard.advance(hard(Reason::Drawdown), at(1), HOLD);
        assert_eq!(guard.incident(), 8 << 32 | 1, "incidents of another epoch never collide");
    }

    #[test]
    fn a_reason_that_is_told_twice_is_there() {
        let once = Reasons::NONE.with(Reason::Clock);
        assert_eq!(once.with(Reason::Clock), once);
        assert!(once.with(Reason::Clock).contains(Reason::Clock));
    }

    #[test]
    fn whatever_the_guard_remembers_is_in_its_digest() {
        let of = |guard: &Guard| {
            let mut digest = Digest::new();
            guard.fold(&mut digest);
            digest.value()
        };
        let mut stopped = running();
        stopped.advance(hard(Reason::DailyLoss), at(3 * HOLD), HOLD);
        let mut paused = running();
        paused.advance(soft(Reason::Clock), at(3 * HOLD), HOLD);
        let all = [
            of(&Guard::new(1)),
            of(&Guard::new(2)),
            of(&running()),
            of(&paused),
            of(&stopped),
            of(&Guard { incidents: 5, ..stopped }),
            of(&Guard { epoch: 5, ..stopped }),
        ];
        let different: std::collections::BTreeSet<u64> = all.into_iter().collect();
        assert_eq!(different.len(), all.len(), "{all:?}");
    }
}
