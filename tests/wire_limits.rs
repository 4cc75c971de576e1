//! Limits from the outside: the program, on a venue in a process of its own, is brought to L−1, L
//! and L+1 of a limit's smallest unit at shipped values, by what the venue does. What stops for
//! good is then tried to be got over: its cause goes, the process is killed, a day turns, another
//! process starts.
//!
//! `KEEL_WIRE_LIMITS=all cargo test -p keel_tests --test wire_limits -- --nocapture` tries those
//! too that take a minute, and prints the table; `midnight`, say, tries that one alone.

#[path = "program/desk.rs"]
mod desk;
mod program;
#[path = "program/raw.rs"]
mod raw;

use std::thread;

use desk::{Desk, E8, USDT, lots_value};
use serde_json::json;

/// What came of a limit.
struct Row {
    limit: &'static str,
    unit: &'static str,
    tripped: &'static str,
    reason: &'static str,
    /// What the stop outlasted, or `-` for a pause.
    latched: &'static str,
    /// What it took to quote again.
    recovered: &'static str,
}

/// Limits that are met on one desk, one after the other.
type Play = fn() -> Vec<Row>;

/// Seconds each.
const SHORT: [(&str, Play); 4] = [
    ("position", position_notional),
    ("base", base_pct),
    ("turnover", turnover),
    ("leverage", leverage),
];
/// A minute each: what they wait for is asked of the venue once a minute, or is time itself.
const LONG: [(&str, Play); 7] = [
    ("losses", losses),
    ("drawdown", drawdown),
    ("fees unresolved", fee_unresolved),
    ("fees old", fee_age),
    ("rejects", rejects),
    ("clock", clock),
    ("midnight", midnight),
];

#[test]
fn limits_met_by_what_the_venue_does_trip_one_unit_beyond_and_stops_are_not_got_over() {
    let which = std::env::var("KEEL_WIRE_LIMITS").unwrap_or_else(|_| "short".to_owned());
    let which = which.as_str();
    let plays =
        [("short", &SHORT[..]), ("long", &LONG[..])].into_iter().flat_map(|(group, plays)| {
            plays.iter().filter(move |(name, _)| ["all", group, name].contains(&which))
        });
    let threads: Vec<_> = plays
        .map(|&(name, play)| {
            let thread = thread::Builder::new().name(name.to_owned());
            (name, thread.spawn(play).expect("a thread"))
        })
        .collect();
    let tried = threads.len();
    let head = ["limit", "smallest unit", "tripped", "reason", "latched over", "recovered"];
    let [limit, unit, tripped, reason, latched, recovered] = head;
    println!("{limit:<27}{unit:<20}{tripped:<9}{reason:<19}{latched:<38}{recovered}");
    let mut failed = Vec::new();
    for (name, thread) in threads {
        match thread.join() {
            Ok(rows) => rows.iter().for_each(|row| {
                let Row { limit, unit, tripped, reason, latched, recovered } = row;
                println!("{limit:<27}{unit:<20}{tripped:<9}{reason:<19}{latched:<38}{recovered}");
            }),
            Err(_) => failed.push(name),
        }
    }
    assert!(failed.is_empty(), "{failed:?}: see above");
    assert!(tried > 0, "KEEL_WIRE_LIMITS is all, short, long, or a name of this file");
}

const fn stops(limit: &'static str, unit: &'static str, reason: &'static str) -> Row {
    let latched = "recovery, SIGKILL, midnight, restart";
    Row { limit, unit, tripped: "at L+1", reason, latched, recovered: "after rearm" }
}

/// The same of a limit that is not met to its smallest unit from here.
const fn stops_beyond(limit: &'static str, unit: &'static str, reason: &'static str) -> Row {
    Row { tripped: "beyond", ..stops(limit, unit, reason) }
}

const fn pauses(
    limit: &'static str,
    unit: &'static str,
    reason: &'static str,
    recovered: &'static str,
) -> Row {
    Row { limit, unit, tripped: "at L+1", reason, latched: "-", recovered }
}

/// 2,000 USDT by a mark that stands still.
fn position_notional() -> Vec<Row> {
    let mut desk = Desk::open(10_000, 5, 10);
    desk.begin();
    desk.quiet();
    let mark = desk.still();
    let most = 2_000 * USDT / lots_value(mark, 1);
    for (lots, trips) in [(most - 1, false), (most, false), (most + 1, true)] {
        assert_eq!(lots_value(mark, lots) > 2_000 * USDT, trips, "{mark} {lots}");
        desk.hold(lots);
        desk.is_stopped("position_notional", trips);
    }
    desk.moves();
    desk.flat();
    desk.stays_stopped();
    vec![stops("max_position_quote", "1 lot", "position_notional")]
}

/// A share of the equity, held by a mark that stands still.
fn base_pct() -> Vec<Row> {
    let mut desk = Desk::open(6_000, 5, 10);
    desk.begin();
    desk.quiet();
    let mark = desk.still();
    let beyond = |lots, percent, equity: i64| {
        i128::from(lots_value(mark, lots)) * 100 > i128::from(equity) * percent
    };
    for (percent, hard) in [(15, false), (25, true)] {
        let share = desk.equity() / 100 * percent as i64;
        desk.hold(share / lots_value(mark, 1) - 2);
        let most = desk.equity() / 100 * percent as i64 / lots_value(mark, 1);
        for (lots, trips) in [(most - 1, false), (most, false), (most + 1, true)] {
            desk.hold(lots);
            assert_eq!(beyond(lots, percent, desk.equity()), trips, "{mark} {lots}");
            if hard {
                desk.is_stopped("base_pct", trips);
            } else {
                desk.is_paused("base_pct", trips);
            }
        }
        if !hard {
            desk.hold(most);
            desk.is_paused_no_more("base_pct");
        }
    }
    desk.moves();
    desk.flat();
    desk.stays_stopped();
    vec![
        pauses("max_base_pct", "1 lot", "base_pct", "with its cause"),
        stops("max_base_pct_hard", "1 lot", "base_pct"),
    ]
}

/// 25 and 50 times the equity, traded a few lots at a time.
fn turnover() -> Vec<Row> {
    let mut desk = Desk::open(200, 5, 10);
    desk.begin();
    desk.quiet();
    let lot = lots_value(desk.figure("mark_price"), 1);
    for (times, hard) in [(25, false), (50, true)] {
        // All but the last lots at once, two at a time: no more than may be held.
        let left = || (times * desk.equity() - desk.traded()) / lot;
        desk.churn(2, left() / 4 - 1);
        desk.churn(1, left() / 2 - 1);
        let mut side = if desk.held() == 0 { 1 } else { -1 };
        loop {
            let trips = desk.figure("turnover_today_x") > times * E8;
            if hard {
                desk.is_stopped("turnover", trips);
            } else {
                desk.is_paused("turnover", trips);
            }
            if trips {
                break;
            }
            desk.trade(side);
            side = -side;
        }
    }
    desk.flat();
    desk.stays_stopped();
    vec![
        pauses("turnover_cap_x", "1 lot traded", "turnover", "the next day"),
        Row {
            // What a day has traded it has traded.
            latched: "SIGKILL, midnight, restart",
            ..stops("max_daily_turnover_x_hard", "1 lot traded", "turnover")
        },
    ]
}

/// As the account is set up at the venue.
fn leverage() -> Vec<Row> {
    let mut desks = [4, 5, 6].map(|leverage| Desk::open(10_000, leverage, 10));
    desks.iter_mut().for_each(Desk::start);
    let [less, most, mut desk] = desks;
    for desk in [less, most] {
        desk.quotes();
        desk.is_stopped("leverage", false);
    }
    desk.is_stopped("leverage", true);
    desk.lever("5");
    desk.stays_stopped();
    vec![stops("max_leverage", "1", "leverage")]
}

/// A day turns while the process that has stopped still runs.
fn midnight() -> Vec<Row> {
    let mut desk = Desk::open(10_000, 6, 10);
    desk.late_in_the_day(300);
    desk.start();
    desk.is_stopped("leverage", true);
    desk.day_turns();
    desk.lever("5");
    desk.holds();
    desk.stays_stopped();
    let latched = "midnight, recovery, SIGKILL, restart";
    vec![Row { latched, ..stops("max_leverage, late", "1", "leverage") }]
}

/// Of the day and of the week.
fn losses() -> Vec<Row> {
    let mut desk = Desk::open(10_000, 5, 20);
    desk.begin();
    desk.quiet();
    desk.lose(270);
    desk.loses_beyond("equity_open", 3, "daily_loss");
    desk.quiet();
    desk.lose(200);
    // Or the drawdown, which is less, would come first.
    desk.measured_anew();
    desk.quiet();
    desk.loses_beyond("week_open", 6, "weekly_loss");
    vec![
        stops("max_daily_loss_pct_hard", "1e-8 USDT", "daily_loss"),
        stops("max_weekly_loss_pct_hard", "1e-8 USDT", "weekly_loss"),
    ]
}

/// From the peak, in two days: in one the day's limit would come first.
fn drawdown() -> Vec<Row> {
    let mut desk = Desk::open(10_000, 5, 20);
    desk.begin();
    desk.quiet();
    desk.lose(270);
    desk.ends_over_midnight();
    desk.begin();
    desk.quiet();
    desk.lose(200);
    desk.loses_beyond("high_water_mark", 5, "drawdown");
    vec![stops("max_drawdown_pct_hard", "1e-8 USDT", "drawdown")]
}

/// 180 s without a rate from the start, by the log's own times.
fn fee_unresolved() -> Vec<Row> {
    for (withheld_s, trips) in [(165, false), (400, true)] {
        let mut desk = Desk::open(10_000, 5, 20);
        desk.withhold_fees();
        desk.start();
        desk.says("fee_unresolved");
        desk.pass_s(withheld_s, trips);
        desk.is_stopped("fee_unresolved", trips);
        desk.moves();
        if trips {
            let waited = desk.between("fee_unresolved", "-> HARD_STOP");
            assert!(waited >= 180_000, "{waited} ms");
            desk.stays_stopped();
        }
    }
    vec![stops_beyond("fee_unresolved_hard_s", "by the log's time", "fee_unresolved")]
}

/// 900 s after a rate was read last: it is read every 300 s, so the age is known to that.
fn fee_age() -> Vec<Row> {
    for (withheld_s, trips) in [(580, false), (1_300, true)] {
        let mut desk = Desk::open(10_000, 5, 30);
        desk.begin();
        desk.withhold_fees();
        desk.pass_s(withheld_s, trips);
        desk.is_stopped("fee_unresolved", trips);
        desk.moves();
        if trips {
            desk.stays_stopped();
        }
    }
    vec![stops_beyond("fee_age_hard_s", "880, 1300 s", "fee_unresolved")]
}

/// So many orders refused in a row, then one that is taken, or not.
fn rejects() -> Vec<Row> {
    for (count, trips) in [(19, false), (20, false), (21, true)] {
        let mut desk = Desk::open(10_000, 5, 20);
        desk.fault(&json!({ "act": "too-many", "on": "place-order", "times": count }));
        desk.start();
        if trips {
            desk.is_stopped("reject_streak", true);
            desk.stays_stopped();
        } else {
            desk.quotes();
            desk.is_stopped("reject_streak", false);
        }
    }
    vec![stops("reject_streak_hard", "1", "reject_streak")]
}

/// How far the venue's clock is off; a reading is as sure as half of its round trip.
fn clock() -> Vec<Row> {
    let mut desk = Desk::open(10_000, 5, 10);
    desk.begin();
    for (ms, trips) in [(1_900, false), (2_200, true)] {
        desk.fault(&json!({ "act": "skew", "ms": ms }));
        if !trips {
            desk.is_paused("clock", true);
        }
        desk.is_stopped("clock", trips);
        desk.moves();
    }
    desk.stays_stopped();
    vec![stops_beyond("clock_offset_hard_ms", "1900, 2200 ms", "clock")]
}
