//! Health: streams, clock, evidence, disk and the venue's temper.

use keel_core::gate::{AccountView, COUNTDOWN_LAPSE_NS, InstrumentView, View};
use keel_core::guard::{Opinion, Reason, Reasons};
use keel_core::instrument::InstrumentStatus;
use keel_core::planted::Defect;
use keel_core::units::{MILLIS, MonoNanos};

/// What the account's health calls for.
pub fn opinion(view: &View<'_>, now: MonoNanos) -> Opinion {
    let (params, account) = (view.params, view.account);
    let mut opinion = Opinion::FINE;
    let mut soft = |cause: bool, reason: Reason| {
        if cause {
            opinion.soft = opinion.soft.with(reason);
        }
    };
    soft(!account.ready, Reason::Starting);
    soft(!private_fresh(view, now), Reason::PrivateLost);
    soft(account.ready && !account.reconciled, Reason::Reconciling);
    soft(clock_error_ns(account) > params.clock_offset_soft_ms(), Reason::Clock);
    soft(account.utc_at == MonoNanos::ZERO, Reason::Clock);
    soft(account.journal_lag_ns > params.journal_lag_ms(), Reason::JournalLag);
    let streak = u64::from(account.reject_streak) > params.reject_streak_soft();
    soft(streak && account.reject_pause_until > now, Reason::RejectStreak);
    soft(u64::from(account.unknown_orders) > params.max_unknown_orders(), Reason::UnknownOrders);
    soft(account.position_drift > params.position_drift_soft_pct(), Reason::PositionDrift);
    soft(account.cancel_pause_until > now, Reason::CancelBudget);
    soft(account.foreign_orders > 0, Reason::ForeignOrder);
    soft(u64::from(account.taker_fills) >= params.taker_fills_soft(), Reason::TakerFill);
    let creates = u64::from(account.creates_today);
    soft(creates >= params.creates_per_day_soft(), Reason::CreatesPerDay);
    soft(dead_man_lapsed(account, now), Reason::DeadMan);
    soft(account.settings_fit.is_none(), Reason::Starting);
    let settings_age_ns = now.since(account.settings_at);
    let old = settings_age_ns > params.settings_age_max_s();
    soft(account.settings_fit.is_some() && old, Reason::SettingsStale);
    soft(account.balance_unexplained, Reason::BalanceUnexplained);
    soft(account.ready && account.leverage == 0, Reason::AccountUnknown);
    let mut hard = |cause: bool, reason: Reason| {
        if cause {
            opinion.hard = opinion.hard.with(reason);
        }
    };
    hard(account.clock_error_ns_min() > params.clock_offset_hard_ms(), Reason::Clock);
    hard(u64::from(account.reject_streak) > params.reject_streak_hard(), Reason::RejectStreak);
    hard(account.drift_unexplained, Reason::PositionDrift);
    hard(u64::from(account.cancel_episodes) >= params.cancel_episodes_hard(), Reason::CancelBudget);
    hard(account.contradiction, Reason::Contradiction);
    hard(account.bill_unknown, Reason::BillUnknown);
    hard(account.capacity, Reason::Capacity);
    hard(account.journal_failed, Reason::JournalFailed);
    hard(account.state_behind, Reason::StateBehind);
    // Our own of an earlier run are canceled, whatever the policy.
    let strangers = account.foreign_orders > account.older_orders;
    hard(strangers && params.foreign_orders() == 1, Reason::ForeignOrder);
    hard(account.settings_fit == Some(false), Reason::Settings);
    opinion
}

/// True when the venue's own switch was armed and is refused or no longer confirmed.
fn dead_man_lapsed(account: &AccountView, now: MonoNanos) -> bool {
    let armed = account.countdown_at != MonoNanos::ZERO;
    let late = now.since(account.countdown_at) > COUNTDOWN_LAPSE_NS;
    armed && (account.countdown_refused || late)
}

/// True while the private stream is live and has spoken lately.
pub fn private_fresh(view: &View<'_>, now: MonoNanos) -> bool {
    let account = view.account;
    account.private_live && now.since(account.private_at) <= view.params.private_silence_ms()
}

/// True while the book is live and known to be the venue's since lately.
pub fn book_fresh(instrument: &InstrumentView, view: &View<'_>, now: MonoNanos) -> bool {
    let age_ns = now.since(instrument.known_at(view.account));
    let fresh =
        age_ns <= view.params.book_silence_ms() || view.params.commits(Defect::StaleBookQuoted);
    instrument.touch.is_some() && fresh
}

/// True while mark and funding have been told lately.
pub fn ticker_fresh(instrument: &InstrumentView, view: &View<'_>, now: MonoNanos) -> bool {
    instrument.mark.0 > 0 && now.since(instrument.ticker_at) <= view.params.ticker_silence_ms()
}

/// True while the rules are known, confirmed lately, and let one trade.
pub fn rules_fresh(instrument: &InstrumentView, view: &View<'_>, now: MonoNanos) -> bool {
    let open = instrument.rules.is_some_and(|rules| {
        matches!(rules.status, InstrumentStatus::Online | InstrumentStatus::LimitOpen)
    });
    // What the venue refuses by its rules was made by others: they are read again first.
    let confirmed = instrument.rules_at >= instrument.rules_refused;
    open && confirmed && now.since(instrument.rules_at) <= view.params.rules_age_max_s()
}

/// Why nothing may be quoted on this instrument just now.
pub fn instrument(instrument: &InstrumentView, view: &View<'_>, now: MonoNanos) -> Reasons {
    let mut reasons = Reasons::NONE;
    for (fine, reason) in [
        (book_fresh(instrument, view, now), Reason::BookStale),
        (ticker_fresh(instrument, view, now), Reason::TickerStale),
        (rules_fresh(instrument, view, now), Reason::Rules),
    ] {
        if !fine {
            reasons = reasons.with(reason);
        }
    }
    reasons
}

/// When the first of these opinions may change without an event.
pub fn deadline(view: &View<'_>, now: MonoNanos) -> MonoNanos {
    let (params, account) = (view.params, view.account);
    let silent = account.private_at.after(params.private_silence_ms() + 1);
    let mut first = MonoNanos::NEVER;
    let lapses = match account.countdown_at {
        MonoNanos::ZERO => MonoNanos::ZERO,
        at => at.after(COUNTDOWN_LAPSE_NS + 1),
    };
    let settings = account.settings_at.after(params.settings_age_max_s() + 1);
    let (cancels, rejects) = (account.cancel_pause_until, account.reject_pause_until);
    for ends in [silent, cancels, rejects, lapses, settings] {
        if ends > now {
            first = first.min(ends);
        }
    }
    first.max(now.after(MILLIS))
}

/// By how much the clock may be off, in nanoseconds.
fn clock_error_ns(account: &AccountView) -> u64 {
    account.clock_offset_ns.unsigned_abs().saturating_add(account.clock_uncertainty_ns)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::Desk;
    use keel_core::guard::GuardState;
    use keel_core::units::{Rate, SECONDS};

    const NOW: MonoNanos = Desk::NOW;

    /// Checks a limit at L−1, L and L+1 of its smallest unit.
    fn boundary(reason: Reason, state: GuardState, set: impl Fn(&mut Desk, i64)) {
        for (beyond, trips) in [(-1, false), (0, false), (1, true)] {
            let mut desk = Desk::fine();
            set(&mut desk, beyond);
            let opinion = opinion(&desk.view(), NOW);
            let set = if state == GuardState::HardStop { opinion.hard } else { opinion.soft };
            assert_eq!(set.contains(reason), trips, "{reason} at L{beyond:+}");
        }
    }

    #[test]
    fn a_fine_desk_gives_no_opinion() {
        let desk = Desk::fine();
        assert_eq!(opinion(&desk.view(), NOW), Opinion::FINE);
        assert_eq!(instrument(&desk.instruments[0], &desk.view(), NOW), Reasons::NONE);
    }

    #[test]
    fn the_clock_pauses_beyond_half_a_second_and_stops_beyond_two() {
        boundary(Reason::Clock, GuardState::SoftPause, |desk, beyond| {
            desk.account.clock_offset_ns = -(500 * MILLIS as i64 + beyond);
        });
        boundary(Reason::Clock, GuardState::HardStop, |desk, beyond| {
            desk.account.clock_offset_ns = 2_001 * MILLIS as i64 + beyond;
            desk.account.clock_uncertainty_ns = MILLIS;
        });
    }

    /// A clock that was 1.8 s off was asked after over a line that had become 3 s slow, and the
    /// engine stopped for good: the simulated life of seed 59.
    #[test]
    fn a_vague_reading_of_the_clock_pauses_and_does_not_stop_for_good() {
        let mut desk = Desk::fine();
        desk.account.clock_offset_ns = 1_800 * MILLIS as i64;
        desk.account.clock_uncertainty_ns = 1_500 * MILLIS;
        let seen = opinion(&desk.view(), NOW);
        assert!(seen.soft.contains(Reason::Clock) && !seen.hard.contains(Reason::Clock));
    }

    #[test]
    fn silence_of_the_private_stream_pauses() {
        boundary(Reason::PrivateLost, GuardState::SoftPause, |desk, beyond| {
            let silence = (12 * SECONDS as i64 + beyond).unsigned_abs();
            desk.account.private_at = MonoNanos(NOW.0 - silence);
        });
    }

    /// They were read every ten minutes, and nobody noticed when they were not.
    #[test]
    fn settings_of_the_account_that_are_not_read_any_more_pause() {
        boundary(Reason::SettingsStale, GuardState::SoftPause, |desk, beyond| {
            let age = (1_800 * SECONDS as i64 + beyond).unsigned_abs();
            desk.account.settings_at = MonoNanos(NOW.0 - age);
        });
        let mut desk = Desk::fine();
        (desk.account.settings_fit, desk.account.settings_at) = (None, MonoNanos::ZERO);
        assert!(!opinion(&desk.view(), NOW).soft.contains(Reason::SettingsStale), "never read");
        desk.account.settings_at = MonoNanos(NOW.0 - 1_800 * SECONDS + 7);
        assert_eq!(deadline(&desk.view(), NOW), NOW.after(MILLIS), "it is looked at in time");
    }

    /// One nanosecond late is late in the test above; one early is a turn for nothing.
    #[test]
    fn an_opinion_is_looked_at_again_when_the_first_silence_is_too_long() {
        let desk = Desk::fine();
        let silence = NOW.after(12 * SECONDS + 1);
        assert_eq!(deadline(&desk.view(), NOW), silence);
        let mut armed = Desk::fine();
        armed.account.countdown_at = NOW;
        assert_eq!(deadline(&armed.view(), NOW), NOW.after(COUNTDOWN_LAPSE_NS + 1));
    }

    #[test]
    fn a_contract_without_a_mark_is_not_fresh_however_lately_it_was_told() {
        let mut desk = Desk::fine();
        assert!(ticker_fresh(&desk.instruments[0], &desk.view(), NOW));
        desk.instruments[0].mark = keel_core::units::Price::ZERO;
        assert!(!ticker_fresh(&desk.instruments[0], &desk.view(), NOW));
    }

    #[test]
    fn a_balance_that_no_bill_explains_pauses() {
        let mut desk = Desk::fine();
        desk.account.balance_unexplained = true;
        assert!(opinion(&desk.view(), NOW).soft.contains(Reason::BalanceUnexplained));
    }

    #[test]
    fn a_journal_that_lags_a_second_pauses() {
        boundary(Reason::JournalLag, GuardState::SoftPause, |desk, beyond| {
            desk.account.journal_lag_ns = (SECONDS as i64 + beyond).unsigned_abs();
        });
    }

    #[test]
    fn rejects_in_a_row_pause_after_eight_and_stop_after_twenty() {
        boundary(Reason::RejectStreak, GuardState::SoftPause, |desk, beyond| {
            desk.account.reject_streak = u32::try_from(8 + beyond).expect("small");
            desk.account.reject_pause_until = NOW.after(1);
        });
        boundary(Reason::RejectStreak, GuardState::HardStop, |desk, beyond| {
            desk.account.reject_streak = u32::try_from(20 + beyond).expect("small");
        });
        let mut desk = Desk::fine();
        desk.account.reject_streak = 9;
        desk.account.reject_pause_until = NOW;
        assert_eq!(opinion(&desk.view(), NOW), Opinion::FINE, "the pause has ended");
    }

    #[test]
    fn drift_above_five_percent_pauses_and_unexplained_drift_stops() {
        boundary(Reason::PositionDrift, GuardState::SoftPause, |desk, beyond| {
            desk.account.position_drift = Rate(5_000_000 + beyond);
        });
        let mut desk = Desk::fine();
        desk.account.drift_unexplained = true;
        assert!(opinion(&desk.view(), NOW).hard.contains(Reason::PositionDrift));
    }

    #[test]
    fn orders_of_unknown_outcome_pause_beyond_two() {
        boundary(Reason::UnknownOrders, GuardState::SoftPause, |desk, beyond| {
            desk.account.unknown_orders = u32::try_from(2 + beyond).expect("small");
        });
    }

    #[test]
    fn the_venues_own_switch_pauses_when_it_lapses_or_is_refused_and_not_where_there_is_none() {
        boundary(Reason::DeadMan, GuardState::SoftPause, |desk, beyond| {
            let since = (3 * SECONDS as i64 + beyond).unsigned_abs();
            desk.account.countdown_at = MonoNanos(NOW.0 - since);
        });
        let mut desk = Desk::fine();
        desk.account.countdown_refused = true;
        assert_eq!(opinion(&desk.view(), NOW), Opinion::FINE, "the account has none");
        desk.account.countdown_at = NOW;
        assert!(opinion(&desk.view(), NOW).soft.contains(Reason::DeadMan));
    }

    #[test]
    fn nine_tenths_of_the_days_creates_pause() {
        // The pause comes with the last one allowed: 45,000 of 50,000 are sent.
        boundary(Reason::CreatesPerDay, GuardState::SoftPause, |desk, beyond| {
            desk.account.creates_today = u32::try_from(44_999 + beyond).expect("small");
        });
    }

    #[test]
    fn a_cancel_episode_pauses_until_its_end_and_the_third_stops() {
        let mut desk = Desk::fine();
        desk.account.cancel_episodes = 2;
        desk.account.cancel_pause_until = NOW.after(1);
        assert!(opinion(&desk.view(), NOW).soft.contains(Reason::CancelBudget));
        assert!(!opinion(&desk.view(), NOW.after(1)).soft.contains(Reason::CancelBudget));
        desk.account.cancel_episodes = 3;
        assert!(opinion(&desk.view(), NOW).hard.contains(Reason::CancelBudget));
    }

    #[test]
    fn post_only_orders_executed_as_taker_pause_at_the_third() {
        for (fills, pauses) in [(1, false), (2, false), (3, true)] {
            let mut desk = Desk::fine();
            desk.account.taker_fills = fills;
            let paused = opinion(&desk.view(), NOW).soft.contains(Reason::TakerFill);
            assert_eq!(paused, pauses, "{fills} fills");
        }
    }

    #[test]
    fn every_truth_flag_stops_for_good() {
        let flags: [(Reason, fn(&mut AccountView)); 4] = [
            (Reason::Contradiction, |account| account.contradiction = true),
            (Reason::BillUnknown, |account| account.bill_unknown = true),
            (Reason::Capacity, |account| account.capacity = true),
            (Reason::Settings, |account| account.settings_fit = Some(false)),
        ];
        for (reason, set) in flags {
            let mut desk = Desk::fine();
            set(&mut desk.account);
            assert!(opinion(&desk.view(), NOW).hard.contains(reason), "{reason}");
        }
    }

    #[test]
    fn a_foreign_order_pauses_and_by_policy_stops() {
        let mut desk = Desk::fine();
        desk.account.foreign_orders = 1;
        assert_eq!(opinion(&desk.view(), NOW).state(), GuardState::SoftPause);
        assert!(desk.params.set(keel_core::param::at::foreign_orders, 1));
        assert_eq!(opinion(&desk.view(), NOW).state(), GuardState::HardStop);
        // A restart under that policy stopped for good by what its own earlier run had left.
        desk.account.older_orders = 1;
        assert_eq!(opinion(&desk.view(), NOW).state(), GuardState::SoftPause);
        desk.account.foreign_orders = 2;
        assert_eq!(opinion(&desk.view(), NOW).state(), GuardState::HardStop);
    }

    #[test]
    fn an_instrument_is_not_quoted_on_a_stale_book_ticker_or_rules() {
        let cases: [(Reason, u64, fn(&mut InstrumentView, MonoNanos)); 3] = [
            (Reason::BookStale, 1_500 * MILLIS, |i, at| i.book_at = at),
            (Reason::TickerStale, 5_000 * MILLIS, |i, at| i.ticker_at = at),
            (Reason::Rules, 300 * SECONDS, |i, at| i.rules_at = at),
        ];
        for (reason, age, set) in cases {
            for (beyond, stale) in [(0, false), (1, true)] {
                let mut desk = Desk::fine();
                set(&mut desk.instruments[0], MonoNanos(NOW.0 - age - beyond));
                let reasons = instrument(&desk.instruments[0], &desk.view(), NOW);
                assert_eq!(reasons.contains(reason), stale, "{reason}");
            }
        }
    }

    #[test]
    fn after_an_order_was_refused_by_the_rules_nothing_is_quoted_until_they_are_read_again() {
        for (refused, stale) in [(NOW.0 - 1, false), (NOW.0 + 1, true)] {
            let mut desk = Desk::fine();
            desk.instruments[0].rules_refused = MonoNanos(refused);
            let reasons = instrument(&desk.instruments[0], &desk.view(), NOW);
            assert_eq!(reasons.contains(Reason::Rules), stale);
        }
    }
}
