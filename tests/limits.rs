//! Limits from the outside: the engine as a whole is brought to L−1, L and L+1 of the smallest unit
//! by events alone, at shipped values. What stops for good is then tried to be got over.

use keel_core::command::{CommandView, Day, GuardChanged};
use keel_core::event::*;
use keel_core::guard::{GuardState, Reason, Reasons};
use keel_core::limit::{Effect, LIMITS};
use keel_core::param::at;
use keel_core::units::*;
use keel_core::words::Words;

use super::{BTC, Bench, MID};

/// One limit, and how it is met and left.
struct Trial {
    /// Where its value stands.
    at: usize,
    /// Brings an engine `beyond` units beyond it.
    provoke: fn(beyond: i64) -> Bench,
    /// Takes the cause away, where that can be done without waiting for a day.
    recover: fn(&mut Bench),
}

const fn trial(at: usize, provoke: fn(i64) -> Bench, recover: fn(&mut Bench)) -> Trial {
    Trial { at, provoke, recover }
}

const TRIALS: &[Trial] = &[
    trial(at::max_daily_loss_pct_hard, daily_loss, |bench| bench.fund(Quote::usdt(300))),
    trial(at::max_weekly_loss_pct_hard, weekly_loss, |bench| bench.fund(Quote::usdt(600))),
    trial(at::max_drawdown_pct_hard, drawdown, |bench| bench.fund(Quote::usdt(500))),
    trial(at::turnover_cap_x, |beyond| turnover(25, beyond), |_| ()),
    trial(at::max_daily_turnover_x_hard, |beyond| turnover(50, beyond), |_| ()),
    trial(at::max_base_pct, |beyond| held(75, 600, 4_000, beyond), cheaper),
    trial(at::max_base_pct_hard, |beyond| held(125, 1_000, 4_000, beyond), cheaper),
    trial(at::max_position_quote, |beyond| held(250, 2_000, 10_000, beyond), cheaper),
    trial(at::max_leverage, leverage, |bench| bench.settings(5)),
    trial(
        at::margin_ratio_soft,
        |beyond| margin(10_000_000, beyond),
        |bench| {
            bench.margin = Rate::ZERO;
        },
    ),
    trial(
        at::margin_ratio_hard,
        |beyond| margin(20_000_000, beyond),
        |bench| {
            bench.margin = Rate::ZERO;
        },
    ),
    trial(at::clock_offset_soft_ms, |beyond| clock(499, beyond), Bench::sync),
    trial(at::clock_offset_hard_ms, |beyond| clock(2_001, beyond), Bench::sync),
    trial(at::cancel_episodes_hard, episodes, |_| ()),
    trial(at::reject_streak_hard, rejects, |_| ()),
    trial(at::fee_unresolved_hard_s, fee_unresolved, Bench::fees),
    trial(at::fee_age_hard_s, fee_age, Bench::fees),
    trial(at::journal_lag_ms, journal_lag, |bench| bench.lag(0)),
];

#[test]
fn every_limit_trips_one_unit_beyond_it_and_what_stops_for_good_stays_stopped() {
    println!("{:<28}{:<12}{:<18}{:<34}recovered", "limit", "tripped at", "reason", "latched over");
    for trial in TRIALS {
        let limit = LIMITS.iter().find(|limit| limit.at == trial.at).expect("a limit");
        let name = limit.row().name;
        let (reason, stops) = match limit.effect {
            Effect::Stop(reason) => (reason, true),
            Effect::Pause(reason) => (reason, false),
            other => panic!("{name}: {other:?} is tried at the gate"),
        };
        for (beyond, trips) in [(-1, false), (0, false), (1, true)] {
            let bench = (trial.provoke)(beyond);
            let state = bench.engine.state();
            assert_eq!(bench.names(reason, stops), trips, "{name} at L{beyond:+}: {state:?}");
        }
        let mut bench = (trial.provoke)(1);
        let (latched, end) = if stops {
            assert_eq!(bench.engine.state(), GuardState::HardStop, "{name}");
            ("recovery, midnight, restart", stays_stopped(name, &mut bench, trial.recover))
        } else {
            assert_eq!(bench.engine.state(), GuardState::SoftPause, "{name}");
            ("-", recovers(name, &mut bench, trial.recover))
        };
        println!("{name:<28}{:<12}{:<18}{latched:<34}{end}", "L+1", reason.text());
    }
}

#[test]
fn no_limit_that_stops_for_good_is_left_out() {
    for limit in LIMITS.iter().filter(|limit| matches!(limit.effect, Effect::Stop(_))) {
        let tried = TRIALS.iter().any(|trial| trial.at == limit.at);
        assert!(tried, "{} is not tried from the outside", limit.row().name);
    }
}

/// A stop is still in force when its cause has gone, the day has turned, and another process has
/// started; another incident's number clears nothing, its own does.
fn stays_stopped(name: &str, bench: &mut Bench, recover: fn(&mut Bench)) -> String {
    let stopped = |bench: &Bench, when: &str| {
        assert_eq!(bench.engine.state(), GuardState::HardStop, "{name}, {when}");
        assert!(bench.placed().is_empty(), "{name}, {when}: an order");
    };
    bench.said.retain(|view| !matches!(view, CommandView::Place(_)));
    recover(bench);
    bench.quiet_seconds(5);
    stopped(bench, "its cause gone");
    bench.midnight();
    recover(bench);
    bench.quiet_seconds(5);
    stopped(bench, "a new day");
    let mut next = bench.restarted();
    next.quiet_seconds(5);
    stopped(&next, "a new process");
    let incident = next.guard().expect("told").incident;
    next.rearm(incident ^ 1);
    next.quiet_seconds(5);
    stopped(&next, "another incident rearmed");
    next.rearm(incident);
    recovers(name, &mut next, |_| ())
}

/// Without its cause, and without a stop, it quotes again.
fn recovers(name: &str, bench: &mut Bench, recover: fn(&mut Bench)) -> String {
    recover(bench);
    bench.quiet_seconds(40);
    if bench.engine.state() != GuardState::Running {
        // What is counted by the day.
        bench.midnight();
        bench.quiet_seconds(40);
    }
    let state = bench.engine.state();
    assert_eq!(state, GuardState::Running, "{name}: {:?}", bench.guard());
    state.text().to_owned()
}

impl Bench {
    /// A bill of funding.
    fn fund(&mut self, amount: Quote) {
        self.equity += amount;
        let ts = self.utc();
        self.step(Event::Bill(Bill {
            instrument: BTC,
            kind: BillKind::Funding,
            amount,
            bill_id: self.now.0,
            ts,
        }));
        self.quiet_seconds(1);
    }

    fn lag(&mut self, nanos: i64) {
        self.step(Event::Health(Health { measure: Measure::JournalLag, value: nanos }));
    }

    /// Goes on to a few seconds after the next midnight.
    fn midnight(&mut self) {
        let day_ns = UnixNanos::DAY;
        let left_ns = day_ns - self.utc().0.rem_euclid(day_ns);
        let then = self.now.after(left_ns.unsigned_abs());
        // In leaps that neither fees nor settings are too old for.
        while self.now < then {
            self.now = self.now.after(then.since(self.now).min(600 * SECONDS));
            self.fees();
            self.settings(5);
            self.sync();
        }
        self.quiet_seconds(8);
    }

    fn rearm(&mut self, incident: u64) {
        let operator = Operator { incident, ..Operator::program(Directive::Rearm) };
        self.step(Event::Operator(operator));
    }

    /// What the guard has said last.
    fn guard(&self) -> Option<GuardChanged> {
        self.said.iter().rev().find_map(|view| match view {
            CommandView::GuardChanged(change) => Some(*change),
            _ => None,
        })
    }

    /// Whether the guard names `reason`, as one to stop for good or to pause for.
    fn names(&self, reason: Reason, stops: bool) -> bool {
        let said = self.guard().map(|change| if stops { change.hard } else { change.soft });
        said.is_some_and(|bits| Reasons(bits).contains(reason))
    }

    /// Another process with what this one has made durable, at the same venue.
    fn restarted(&self) -> Self {
        let change = self.guard().expect("it has stopped");
        let day = self.said.iter().rev().find_map(|view| match view {
            CommandView::Day(day) => Some(*day),
            _ => None,
        });
        let mut next = Self::from(self.utc0, self.now, self.equity);
        next.step(Event::RestoreDay(restored(day.as_ref(), Some(&change))));
        next.begin();
        next
    }

    /// An engine of an account with `equity`, told everything but its streams.
    fn from(utc0: i64, now: MonoNanos, equity: Quote) -> Self {
        let mut bench = Self::waiting(false);
        (bench.utc0, bench.now, bench.equity) = (utc0, now, equity);
        bench.sync();
        bench.fees();
        bench
    }

    /// Its streams come, and it works for a while.
    fn begin(&mut self) {
        self.settings(5);
        self.connect();
        self.quiet_seconds(4);
    }
}

fn restored(day: Option<&Day>, stop: Option<&GuardChanged>) -> RestoreDay {
    RestoreDay {
        day: day.map_or(0, |day| day.day),
        equity_open: day.map_or(Quote::ZERO, |day| day.equity_open),
        high_water: day.map_or(Quote::ZERO, |day| day.high_water),
        traded: day.map_or(Quote::ZERO, |day| day.traded),
        realized: day.map_or(Quote::ZERO, |day| day.realized),
        fees: day.map_or(Quote::ZERO, |day| day.fees),
        funding: day.map_or(Quote::ZERO, |day| day.funding),
        fills: day.map_or(0, |day| day.fills),
        cancel_episodes: day.map_or(0, |day| day.cancel_episodes),
        creates: 0,
        latched: stop.is_some(),
        incident: stop.map_or(0, |stop| stop.incident),
        reasons: stop.map_or(0, |stop| stop.hard),
        equity_peak: day.map_or(Quote::ZERO, |day| day.equity_peak),
        over_rest: day.is_some_and(|day| day.over_rest),
    }
}

/// 300 of 10,000 USDT.
fn daily_loss(beyond: i64) -> Bench {
    let mut bench = Bench::running();
    bench.fund(Quote(-Quote::usdt(300).0 - beyond));
    bench
}

/// 500 of 10,000 USDT, over two days, or the daily loss would come first.
fn drawdown(beyond: i64) -> Bench {
    let mut bench = Bench::running();
    bench.fund(Quote::usdt(-290));
    bench.midnight();
    bench.fund(Quote(-Quote::usdt(210).0 - beyond));
    bench
}

/// 600 of 10,000 USDT over three days: the drawdown comes before, and is rearmed.
fn weekly_loss(beyond: i64) -> Bench {
    let mut bench = drawdown(Quote::usdt(1).0);
    let incident = bench.guard().expect("the drawdown has stopped it").incident;
    bench.rearm(incident);
    bench.fund(Quote::usdt(-80));
    bench.midnight();
    bench.fund(Quote(-Quote::usdt(19).0 - beyond));
    bench
}

/// A restart with a day in which so many times the equity has been traded.
fn turnover(times: i64, beyond: i64) -> Bench {
    let mut bench = Bench::waiting(false);
    let traded = Quote(Quote::usdt(10_000 * times).0 + beyond);
    let open = bench.equity;
    bench.step(Event::RestoreDay(RestoreDay {
        day: bench.utc().day(),
        equity_open: open,
        high_water: open,
        equity_peak: open,
        traded,
        ..restored(None, None)
    }));
    bench.begin();
    bench
}

/// A restart with a position of `lots`, worth `usdt` and `beyond` by the mark, on an account with
/// `equity`.
fn held(lots: i64, usdt: i64, equity: i64, beyond: i64) -> Bench {
    let mut bench = Bench::waiting(false);
    bench.equity = Quote::usdt(equity);
    bench.held = Lots(lots);
    bench.step(Event::RestorePosition(RestorePosition {
        instrument: BTC,
        lots: bench.held,
        entry_value: i128::from(MID * lots),
        last_trade_id: 7,
        last_trade_at: UnixNanos(bench.utc().0 - SECONDS as i64),
    }));
    // A lot is 1e-4.
    let value = i128::from(Quote::usdt(usdt).0 + beyond);
    let mark = (value * 10_000).div_euclid(i128::from(lots));
    let exact = mark * i128::from(lots) == value * 10_000;
    bench.mark = Price(i64::try_from(mark).expect("a price") + i64::from(!exact));
    bench.begin();
    bench
}

fn cheaper(bench: &mut Bench) {
    bench.mark = Price(bench.mark.0 / 100 * 99);
}

fn leverage(beyond: i64) -> Bench {
    let mut bench = Bench::running();
    bench.settings(u16::try_from(5 + beyond).expect("small"));
    bench.quiet_seconds(1);
    bench
}

fn margin(ratio: i64, beyond: i64) -> Bench {
    let mut bench = Bench::running();
    bench.margin = Rate(ratio + beyond);
    bench.quiet_seconds(2);
    bench
}

/// A clock known to a millisecond: for a pause it may be off by that much more, and a stop needs it
/// off for sure.
fn clock(millis: i64, beyond: i64) -> Bench {
    let mut bench = Bench::running();
    let utc = bench.utc();
    let offset_ns = millis * MILLIS as i64 + beyond;
    bench.step(Event::ClockSync(ClockSync { utc, offset_ns, uncertainty_ns: MILLIS }));
    bench.quiet_seconds(1);
    bench
}

/// The third episode of the day stops.
fn episodes(beyond: i64) -> Bench {
    let mut bench = Bench::waiting(false);
    let open = bench.equity;
    bench.step(Event::RestoreDay(RestoreDay {
        day: bench.utc().day(),
        equity_open: open,
        high_water: open,
        equity_peak: open,
        cancel_episodes: u32::try_from(2 + beyond).expect("small"),
        ..restored(None, None)
    }));
    bench.begin();
    bench
}

/// So many orders refused in a row.
fn rejects(beyond: i64) -> Bench {
    let mut bench = Bench::running();
    let wanted = usize::try_from(20 + beyond).expect("small");
    let mut answered = 0;
    while answered < wanted {
        for spec in bench.placed().split_off(answered) {
            if answered == wanted {
                break;
            }
            answered += 1;
            bench.refuse(&spec, Words::NONE);
        }
        if answered < wanted {
            bench.quiet_seconds(1);
        }
    }
    bench
}

/// Without a rate from the start.
fn fee_unresolved(beyond: i64) -> Bench {
    waits(Bench::without_fees(false), 180, beyond)
}

/// With a rate that is not confirmed any more.
fn fee_age(beyond: i64) -> Bench {
    waits(Bench::waiting(false), 900, beyond)
}

/// Begins and goes on for so long.
fn waits(mut bench: Bench, seconds: u64, beyond: i64) -> Bench {
    let since = bench.now;
    bench.begin();
    bench.until(since.after((seconds * SECONDS).saturating_add_signed(beyond)));
    bench
}

fn journal_lag(beyond: i64) -> Bench {
    let mut bench = Bench::running();
    bench.lag(SECONDS as i64 + beyond);
    bench
}

impl Bench {
    /// Lets time pass until a moment, exactly.
    fn until(&mut self, then: MonoNanos) {
        let left = |bench: &Self| then.since(bench.now);
        while left(self) > SECONDS + MILLIS * 100 {
            self.quiet_seconds(1);
        }
        // An answer takes a millisecond.
        self.answers = false;
        self.now = then;
        self.book(MID);
        self.timers();
        self.answers = true;
    }
}
