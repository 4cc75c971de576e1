//! Limits: one table of everything that must not be exceeded, over the parameters that hold the
//! values.
//!
//! The value given is the last one allowed; one smallest unit more has the effect that stands
//! here. The table is the source of `docs/limits.md` and says in which direction a value may be
//! moved while an engine runs: a limit may only be tightened.

use core::fmt;

use crate::gate::Refusal;
use crate::guard::{GuardState, Reason};
use crate::param::{self, Params, Profile, Row, Unit, at};
use crate::units::{E8, MILLIS, SECONDS};

/// One limit.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    /// Where its value stands in [`Params`].
    pub at: usize,
    /// Which way is tighter.
    pub tighter: Tighter,
    /// What exceeding it does.
    pub effect: Effect,
    /// The test that trips it at L−1, L and L+1: file and name.
    pub tested: (&'static str, &'static str),
}

/// Which way a value may be moved while an engine runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tighter {
    /// A smaller value.
    Lower,
    /// A greater value.
    Higher,
}

/// What exceeding a limit does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The order is not sent.
    Refuse(Refusal),
    /// `SOFT_PAUSE`, for this reason.
    Pause(Reason),
    /// One instrument is not quoted, for this reason.
    PauseInstrument(Reason),
    /// `HARD_STOP`, latched, for this reason.
    Stop(Reason),
}

/// What a change of a value at run time comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It tightens, or is of no limit: the range of the parameter decides.
    Free,
    /// It loosens a limit.
    Loosens,
    /// The value is read at start only.
    Fixed,
}

impl Limit {
    /// The parameter that holds its value.
    ///
    /// # Panics
    /// Never: a test looks every row up.
    pub fn row(&self) -> &'static Row {
        param::row_of(self.at).expect("a limit's value is a parameter")
    }
}

impl Effect {
    /// How grave it is, in the guard's words; `refusal` for what concerns one order.
    pub const fn severity(self) -> &'static str {
        match self {
            Self::Refuse(_) => "refusal",
            Self::PauseInstrument(_) => "SOFT_PAUSE of the instrument",
            Self::Pause(_) => GuardState::SoftPause.text(),
            Self::Stop(_) => GuardState::HardStop.text(),
        }
    }

    /// The reason code in files, log and metrics.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Refuse(refusal) => refusal.text(),
            Self::Pause(reason) | Self::PauseInstrument(reason) | Self::Stop(reason) => {
                reason.text()
            }
        }
    }
}

/// What setting the value at `place` from `current` to `wanted` comes to, before its range.
pub fn turn(place: usize, current: i64, wanted: i64) -> Turn {
    let Some(row) = param::row_of(place) else { return Turn::Free };
    let way = LIMITS.iter().find(|limit| limit.at == place).map(|limit| limit.tighter);
    let way =
        way.or_else(|| CAUTION.iter().find(|(at, _)| *at == place).map(|&(_, tighter)| tighter));
    match way {
        Some(Tighter::Lower) if wanted > current => Turn::Loosens,
        Some(Tighter::Higher) if wanted < current => Turn::Loosens,
        Some(Tighter::Lower | Tighter::Higher) => Turn::Free,
        None if AT_START.contains(&place) => Turn::Fixed,
        None if row.section == "strategy" => Turn::Free,
        None => Turn::Fixed,
    }
}

macro_rules! limits {
    ($($name:ident $tighter:ident $effect:ident($code:expr) $file:literal $test:literal;)*) => {
        /// Every limit, in the order of the manual.
        pub const LIMITS: &[Limit] = &[$(Limit {
            at: at::$name,
            tighter: Tighter::$tighter,
            effect: Effect::$effect($code),
            tested: ($file, $test),
        },)*];
    };
}

limits! {
    max_daily_loss_pct_hard Lower Stop(Reason::DailyLoss)
        "risk/src/loss.rs" "the_daily_loss_stops_one_unit_beyond_three_percent";
    max_weekly_loss_pct_hard Lower Stop(Reason::WeeklyLoss)
        "risk/src/loss.rs" "the_weekly_loss_stops_one_unit_beyond_six_percent";
    max_drawdown_pct_hard Lower Stop(Reason::Drawdown)
        "risk/src/loss.rs" "the_drawdown_stops_one_unit_beyond_five_percent";
    turnover_cap_x Lower Pause(Reason::Turnover)
        "risk/src/loss.rs" "turnover_pauses_at_the_cap_and_stops_at_twice_the_cap";
    max_daily_turnover_x_hard Lower Stop(Reason::Turnover)
        "risk/src/loss.rs" "turnover_pauses_at_the_cap_and_stops_at_twice_the_cap";
    max_base_pct Lower Pause(Reason::BasePct)
        "risk/src/loss.rs" "inventory_pauses_at_fifteen_and_stops_at_twenty_five_percent";
    max_base_pct_hard Lower Stop(Reason::BasePct)
        "risk/src/loss.rs" "inventory_pauses_at_fifteen_and_stops_at_twenty_five_percent";
    max_position_quote Lower Stop(Reason::PositionNotional)
        "risk/src/gate.rs" "a_position_beyond_its_limit_by_the_mark_stops";
    max_order_notional_quote Lower Refuse(Refusal::OrderNotional)
        "risk/src/gate.rs" "g5_the_value_of_an_order_is_held_to_the_lot";
    max_total_notional_quote Lower Refuse(Refusal::Gross)
        "risk/src/gate.rs" "g7_gross_value_leverage_and_margin_are_held_to_the_unit";
    max_leverage Lower Stop(Reason::Leverage)
        "risk/src/loss.rs" "leverage_at_the_venue_above_the_limit_stops";
    margin_ratio_soft Lower Pause(Reason::MarginRatio)
        "risk/src/loss.rs" "the_margin_ratio_pauses_at_a_tenth_and_stops_at_a_fifth";
    margin_ratio_hard Lower Stop(Reason::MarginRatio)
        "risk/src/loss.rs" "the_margin_ratio_pauses_at_a_tenth_and_stops_at_a_fifth";
    collar_bps Lower Refuse(Refusal::Collar)
        "risk/src/gate.rs" "g3_a_price_one_tick_beyond_the_collar_is_refused";
    clock_offset_soft_ms Lower Pause(Reason::Clock)
        "risk/src/health.rs" "the_clock_pauses_beyond_half_a_second_and_stops_beyond_two";
    clock_offset_hard_ms Lower Stop(Reason::Clock)
        "risk/src/health.rs" "the_clock_pauses_beyond_half_a_second_and_stops_beyond_two";
    position_drift_soft_pct Lower Pause(Reason::PositionDrift)
        "risk/src/health.rs" "drift_above_five_percent_pauses_and_unexplained_drift_stops";
    cancel_budget_per_min Lower Pause(Reason::CancelBudget)
        "core/src/engine/desk.rs" "the_budget_itself_is_no_breach";
    cancel_episodes_hard Lower Stop(Reason::CancelBudget)
        "risk/src/health.rs" "a_cancel_episode_pauses_until_its_end_and_the_third_stops";
    reject_streak_soft Lower Pause(Reason::RejectStreak)
        "risk/src/health.rs" "rejects_in_a_row_pause_after_eight_and_stop_after_twenty";
    reject_streak_hard Lower Stop(Reason::RejectStreak)
        "risk/src/health.rs" "rejects_in_a_row_pause_after_eight_and_stop_after_twenty";
    max_active_executors Lower Refuse(Refusal::OrderCount)
        "risk/src/gate.rs" "g8_the_cap_holds_at_cap_and_cap_plus_one";
    max_unknown_orders Lower Pause(Reason::UnknownOrders)
        "risk/src/health.rs" "orders_of_unknown_outcome_pause_beyond_two";
    rules_age_max_s Lower PauseInstrument(Reason::Rules)
        "risk/src/health.rs" "an_instrument_is_not_quoted_on_a_stale_book_ticker_or_rules";
    fee_unresolved_hard_s Lower Stop(Reason::FeeUnresolved)
        "risk/src/gate.rs" "fees_missing_pause_at_once_and_stop_after_three_minutes";
    fee_age_hard_s Lower Stop(Reason::FeeUnresolved)
        "risk/src/gate.rs" "fee_rates_not_confirmed_for_fifteen_minutes_stop";
    settings_age_max_s Lower Pause(Reason::SettingsStale)
        "risk/src/health.rs" "settings_of_the_account_that_are_not_read_any_more_pause";
    reconcile_light_age_max_s Lower Pause(Reason::Reconciling)
        "core/src/reconcile/tests.rs" "orders_and_positions_read_30_s_ago_count_and_older_pause";
    reconcile_full_age_max_s Lower Pause(Reason::Reconciling)
        "core/src/reconcile/tests.rs" "bills_fills_and_account_read_600_s_ago_count_and_older_pause";
    book_silence_ms Lower PauseInstrument(Reason::BookStale)
        "risk/src/health.rs" "an_instrument_is_not_quoted_on_a_stale_book_ticker_or_rules";
    ticker_silence_ms Lower PauseInstrument(Reason::TickerStale)
        "risk/src/health.rs" "an_instrument_is_not_quoted_on_a_stale_book_ticker_or_rules";
    private_silence_ms Lower Pause(Reason::PrivateLost)
        "risk/src/health.rs" "silence_of_the_private_stream_pauses";
    journal_lag_ms Lower Pause(Reason::JournalLag)
        "risk/src/health.rs" "a_journal_that_lags_a_second_pauses";
    fills_per_10s_max Lower PauseInstrument(Reason::FillRate)
        "risk/src/gate.rs" "executions_in_a_burst_pause_their_instrument";
    taker_fills_soft Lower Pause(Reason::TakerFill)
        "risk/src/health.rs" "post_only_orders_executed_as_taker_pause_at_the_third";
    creates_per_s Lower Refuse(Refusal::MessageRate)
        "risk/src/gate.rs" "g9_no_more_creates_than_the_budget_in_a_second";
    requests_per_s Lower Refuse(Refusal::MessageRate)
        "risk/src/throttle.rs" "cancels_use_the_allowance_of_creates_but_are_not_refused";
    creates_per_day_max Lower Pause(Reason::CreatesPerDay)
        "risk/src/health.rs" "nine_tenths_of_the_days_creates_pause";
    intent_ttl_ms Lower Refuse(Refusal::Stale)
        "risk/src/gate.rs" "g11_an_intent_older_than_its_life_and_any_stale_source_refuse";
}

/// Parameters of `[risk]` that are no limits and have a careful direction all the same.
const CAUTION: &[(usize, Tighter)] = &[
    (at::cancel_pause_s, Tighter::Higher),
    (at::soft_pause_hold_s, Tighter::Higher),
    (at::foreign_orders, Tighter::Higher),
    (at::require_fee_resolution, Tighter::Higher),
];

/// Parameters of the strategy that are read at start only.
pub const AT_START: &[usize] = &[at::model, at::glft_fit_window_s];

/// The table as a page of the documentation, with which `docs/limits.md` begins.
#[derive(Clone, Copy, Debug)]
pub struct Page;

impl fmt::Display for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HEAD)?;
        let (wide, touch) = (Params::defaults(Profile::Wide), Params::defaults(Profile::Touch));
        for limit in LIMITS {
            let row = limit.row();
            write!(f, "| `{}` | {} | ", row.name, unit(row.unit))?;
            let (wide, touch) = (wide.values()[limit.at], touch.values()[limit.at]);
            value(row.unit, wide, f)?;
            if touch != wide {
                f.write_str(" (touch ")?;
                value(row.unit, touch, f)?;
                f.write_str(")")?;
            }
            let (effect, (file, test)) = (limit.effect, limit.tested);
            writeln!(f, " | {} | `{}` | `{file}`: `{test}` |", effect.severity(), effect.code())?;
        }
        Ok(())
    }
}

const HEAD: &str = "\
# Limits

Every number that must not be exceeded. The value is the last one allowed; one smallest unit more has the effect.
Only `cancel_episodes_hard` and `taker_fills_soft` name the event that has it, and `creates_per_day_max` acts at nine
tenths. A `HARD_STOP` is latched on disk: it outlives restart, midnight, and the recovery of its cause, and is
cleared only by `keel rearm --incident ID`. While an engine runs, `keel set` can only tighten a limit. The table is
`core/src/limit.rs`; a test compares this page with it. `tests/limits.rs` brings a whole engine to
L−1, L and L+1 of every limit that stops for good, by events alone, and then tries to get over the
stop; `cargo test -p keel_tests --test engine -- limits --nocapture` prints the outcome.

| Limit | Unit | Default | Severity | Reason code | Tested |
|---|---|---|---|---|---|
";

/// A unit's name for people.
fn unit(unit: Unit) -> &'static str {
    match unit {
        Unit::Fraction => "fraction",
        Unit::Bps => "basis points",
        Unit::Factor => "factor",
        Unit::Seconds => "s",
        Unit::Millis => "ms",
        Unit::Count => "count",
        Unit::Usdt => "USDT",
        Unit::Word(_) => "word",
    }
}

/// A value in its unit, with as many decimals as it needs.
fn value(unit: Unit, value: i64, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let one = match unit {
        Unit::Fraction | Unit::Factor | Unit::Usdt => E8,
        Unit::Bps => E8 / 10_000,
        Unit::Seconds => SECONDS as i64,
        Unit::Millis => MILLIS as i64,
        Unit::Count | Unit::Word(_) => 1,
    };
    write!(f, "{}", value / one)?;
    let mut rest = value % one;
    let mut digit = one;
    if rest != 0 {
        f.write_str(".")?;
    }
    while rest != 0 {
        digit /= 10;
        write!(f, "{}", rest / digit)?;
        rest %= digit;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;
    use crate::param::TABLE;

    #[test]
    fn the_page_in_docs_is_the_table() {
        let kept = include_str!("../../docs/limits.md");
        let page = Page.to_string();
        assert!(kept.starts_with(&page), "docs/limits.md is old; it should begin so:\n{page}");
    }

    #[test]
    fn every_parameter_of_risk_is_a_limit_or_has_a_careful_direction() {
        for row in TABLE.iter().filter(|row| row.section == "risk") {
            let limits = LIMITS.iter().filter(|limit| limit.at == row.at).count();
            let careful = CAUTION.iter().filter(|(at, _)| *at == row.at).count();
            assert_eq!(limits + careful, 1, "{}", row.name);
        }
        for limit in LIMITS {
            assert!(!limit.row().by_regime, "{}", limit.row().name);
        }
    }

    #[test]
    fn a_limit_may_be_tightened_and_not_loosened_and_what_is_read_at_start_not_changed() {
        for limit in LIMITS {
            let up = if limit.tighter == Tighter::Lower { Turn::Loosens } else { Turn::Free };
            let down = if limit.tighter == Tighter::Lower { Turn::Free } else { Turn::Loosens };
            for (wanted, expected) in [(7, Turn::Free), (8, up), (6, down)] {
                assert_eq!(turn(limit.at, 7, wanted), expected, "{} {wanted}", limit.row().name);
            }
        }
        assert_eq!(turn(at::soft_pause_hold_s, 7, 6), Turn::Loosens);
        assert_eq!(turn(at::spread_min, 7, 6), Turn::Free);
        assert_eq!(turn(at::zombie_window_ms, 7, 7), Turn::Fixed);
        assert_eq!(turn(at::model, 0, 1), Turn::Fixed);
    }
}
