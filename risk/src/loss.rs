//! Loss, drawdown, turnover and margin: the account's money against its limits, exact.

use keel_core::gate::View;
use keel_core::guard::{Opinion, Reason};
use keel_core::units::{E8, Quote, Rate};

/// True when `part` is more than `limit` of `whole`. A whole that is not positive is exceeded by
/// anything.
pub fn exceeds(part: Quote, limit: Rate, whole: Quote) -> bool {
    if whole.0 <= 0 {
        return true;
    }
    i128::from(part.0) * i128::from(E8) > i128::from(limit.0) * i128::from(whole.0)
}

/// What the account's money calls for. Unknown equity is a cause to pause, once start-up is
/// complete.
pub fn opinion(view: &View<'_>) -> Opinion {
    let (params, account) = (view.params, view.account);
    let mut opinion = Opinion::FINE;
    let mut hard = |exceeded: bool, reason: Reason| {
        if exceeded {
            opinion.hard = opinion.hard.with(reason);
        }
    };
    let Some(equity) = account.equity else {
        return Opinion { soft: opinion.soft.with(Reason::AccountUnknown), ..opinion };
    };
    let lost =
        |open: Option<Quote>, limit: Rate| open.is_some_and(|o| exceeds(o - equity, limit, o));
    hard(lost(account.day_open, params.max_daily_loss_pct_hard()), Reason::DailyLoss);
    hard(lost(account.week_open, params.max_weekly_loss_pct_hard()), Reason::WeeklyLoss);
    hard(lost(account.high_water, params.max_drawdown_pct_hard()), Reason::Drawdown);
    hard(exceeds(account.turnover, params.max_daily_turnover_x_hard(), equity), Reason::Turnover);
    hard(exceeds(account.position_value, params.max_base_pct_hard(), equity), Reason::BasePct);
    hard(
        account.leverage > 0 && u64::from(account.leverage) > params.max_leverage(),
        Reason::Leverage,
    );
    let ratio = account.margin_ratio;
    hard(ratio.is_some_and(|r| r > params.margin_ratio_hard()), Reason::MarginRatio);
    let mut soft = |exceeded: bool, reason: Reason| {
        if exceeded {
            opinion.soft = opinion.soft.with(reason);
        }
    };
    soft(account.day_open.is_none() || ratio.is_none(), Reason::AccountUnknown);
    soft(exceeds(account.turnover, params.turnover_cap_x(), equity), Reason::Turnover);
    soft(exceeds(account.position_value, params.max_base_pct(), equity), Reason::BasePct);
    soft(ratio.is_some_and(|r| r > params.margin_ratio_soft()), Reason::MarginRatio);
    opinion
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::Desk;
    use keel_core::guard::GuardState;

    /// Sets one field so that the limit is met exactly, then one smallest unit beyond it.
    fn boundary(reason: Reason, at: GuardState, set: impl Fn(&mut Desk, i64)) {
        for (beyond, expected) in [(-1, GuardState::Running), (0, GuardState::Running), (1, at)] {
            let mut desk = Desk::fine();
            set(&mut desk, beyond);
            let opinion = opinion(&desk.view());
            assert_eq!(opinion.state(), expected, "{reason} at L{beyond:+}");
            let reasons = if at == GuardState::HardStop { opinion.hard } else { opinion.soft };
            assert_eq!(reasons.contains(reason), beyond > 0, "{reason} at L{beyond:+}");
        }
    }

    #[test]
    fn the_daily_loss_stops_one_unit_beyond_three_percent() {
        boundary(Reason::DailyLoss, GuardState::HardStop, |desk, beyond| {
            desk.account.high_water = Some(Quote::usdt(10_000));
            desk.account.equity = Some(Quote(Quote::usdt(9_700).0 - beyond));
        });
    }

    #[test]
    fn the_drawdown_stops_one_unit_beyond_five_percent() {
        boundary(Reason::Drawdown, GuardState::HardStop, |desk, beyond| {
            desk.account.equity = Some(Quote(Quote::usdt(9_500).0 - beyond));
            desk.account.day_open = desk.account.equity;
            desk.account.week_open = desk.account.equity;
        });
    }

    #[test]
    fn the_weekly_loss_stops_one_unit_beyond_six_percent() {
        boundary(Reason::WeeklyLoss, GuardState::HardStop, |desk, beyond| {
            desk.account.equity = Some(Quote(Quote::usdt(9_400).0 - beyond));
            desk.account.day_open = desk.account.equity;
            desk.account.high_water = desk.account.equity;
        });
    }

    #[test]
    fn turnover_pauses_at_the_cap_and_stops_at_twice_the_cap() {
        boundary(Reason::Turnover, GuardState::SoftPause, |desk, beyond| {
            desk.account.turnover = Quote(Quote::usdt(30_000).0 + beyond);
        });
        boundary_above_soft(Reason::Turnover, |desk, beyond| {
            desk.account.turnover = Quote(Quote::usdt(60_000).0 + beyond);
        });
    }

    #[test]
    fn inventory_pauses_at_fifteen_and_stops_at_twenty_five_percent() {
        boundary(Reason::BasePct, GuardState::SoftPause, |desk, beyond| {
            desk.account.position_value = Quote(Quote::usdt(1_500).0 + beyond);
        });
        boundary_above_soft(Reason::BasePct, |desk, beyond| {
            desk.account.position_value = Quote(Quote::usdt(2_500).0 + beyond);
        });
    }

    #[test]
    fn the_margin_ratio_pauses_at_a_tenth_and_stops_at_a_fifth() {
        boundary(Reason::MarginRatio, GuardState::SoftPause, |desk, beyond| {
            desk.account.margin_ratio = Some(Rate(10_000_000 + beyond));
        });
        boundary_above_soft(Reason::MarginRatio, |desk, beyond| {
            desk.account.margin_ratio = Some(Rate(20_000_000 + beyond));
        });
    }

    #[test]
    fn leverage_at_the_venue_above_the_limit_stops() {
        boundary(Reason::Leverage, GuardState::HardStop, |desk, beyond| {
            desk.account.leverage = u16::try_from(5 + beyond).expect("small");
        });
    }

    #[test]
    fn what_cannot_be_read_pauses() {
        for unread in [
            |desk: &mut Desk| desk.account.equity = None,
            |desk: &mut Desk| desk.account.day_open = None,
            |desk: &mut Desk| desk.account.margin_ratio = None,
        ] {
            let mut desk = Desk::fine();
            unread(&mut desk);
            assert!(opinion(&desk.view()).soft.contains(Reason::AccountUnknown));
        }
    }

    #[test]
    fn equity_gone_is_every_limit_exceeded() {
        let mut desk = Desk::fine();
        desk.account.equity = Some(Quote::ZERO);
        assert!(opinion(&desk.view()).hard.contains(Reason::DailyLoss));
        assert!(opinion(&desk.view()).hard.contains(Reason::Turnover));
    }

    fn boundary_above_soft(reason: Reason, set: impl Fn(&mut Desk, i64)) {
        for (beyond, stopped) in [(-1, false), (0, false), (1, true)] {
            let mut desk = Desk::fine();
            set(&mut desk, beyond);
            assert_eq!(
                opinion(&desk.view()).hard.contains(reason),
                stopped,
                "{reason} at L{beyond:+}"
            );
        }
    }
}
