//! Item 8: cancels beyond their budget make one episode a window, the third stops for good; calls
//! stay below half of what the venue takes, and none is refused for rate.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::json;

use super::{
    Evidence, Own, SOON, Stage, Trouble, ends, hard, keep, keep_tap, most_resting, no_looser,
    nothing_rests, quoting, wait,
};
use crate::golive::stage::Venue;
use crate::golive::tap::{Passed, Tap};

/// The venue's own limit of cancels a second for an account (reference §5).
const VENUE_CANCELS_S: u64 = 10;
/// As many levels as there are, all of which move with the price, and no pacing but the budget's
/// own. At the shipped caps and rates no minute has so many cancels.
const DEEP: Own<'_> = Own {
    tables: "[run]\ninstruments = [\"BTCUSDT\"]\n[strategy]\nlevels_min = 8\n\
    levels_max = 8\nrequote_tolerance = 0.5\nlevel_step = 0.15\nsize_pct_min = 0.0012\nsize_pct_max = 0.0012\n\
    spread_min = 0.016\nspread_max = 0.016\nimbalance_weight = 0\n[risk]\n\
    max_active_executors = 20\nmax_total_notional_quote = 10000000\n\
    max_position_quote = 10000000\ncollar_bps = 250\n[order]\ncreates_per_s = 9\n\
    requests_per_s = 40\n",
    why: "at the caps and rates of ordinary trading no minute has so many cancels",
};
/// Orders that rest before a breach: all levels of both sides.
const RESTING: u64 = 16;
/// How long no order is sent until the last window of the budget is over, and as many may be sent
/// at once as ever.
const CALM: Duration = Duration::from_secs(75);
/// What the price jumps by, in percent: more than the tolerance, less than the nearest level.
const JUMP: f64 = 0.5;
/// A window of the budget, and how many are tried: one that has begun by itself is spoiled.
const WINDOW: Duration = Duration::from_secs(64);
const TRIES: u32 = 4;
/// How fast the venue's time runs: an episode takes a minute and pauses for two.
const FAST: u32 = 5;
/// How long calls are counted in ordinary trading.
const WATCHED: Duration = Duration::from_secs(60);
/// The checklist's: more than half of what the venue takes must be left.
const HEADROOM_MIN: f64 = 0.5;

pub(super) fn run(stage: &Stage, evidence: &mut Evidence) -> Result<(), Trouble> {
    ordinary(&stage.part("ordinary")?, evidence)?;
    episodes(&stage.part("episodes")?, evidence)
}

/// Ordinary trading in a market that moves: what remains of each class, by the venue's own count.
fn ordinary(stage: &Stage, evidence: &mut Evidence) -> Result<(), Trouble> {
    let (venue, tap) = stage.tapped(1, None)?;
    let mut engine = stage.engine(&venue, "run", Own::NOTHING)?;
    quoting(&venue, &engine)?;
    let from = tap.len();
    let mut way = 1.0;
    let moves = WATCHED.as_secs() / 2;
    for _ in 0..moves {
        for symbol in ["BTCUSDT", "ETHUSDT"] {
            venue.ask("/admin/price", &json!({ "symbol": symbol, "percent": 0.1 * way }))?;
        }
        way = -way;
        std::thread::sleep(Duration::from_secs(2));
    }
    let passed = tap.passed(from);
    let refused = passed.iter().filter(|one| one.is_for_rate()).count();
    evidence.proves(
        3,
        "no answer of the venue is 429",
        refused == 0,
        format!("{refused} of {}", passed.len()),
    );
    let (worst, class) = headroom(&passed);
    evidence.proves(
        3,
        "by the venue's own count more than half of each class is left in every second",
        worst > HEADROOM_MIN && passed.iter().any(|one| one.remaining.is_some()),
        format!("at least {:.0} % left, of {class}; {} calls", worst * 100.0, passed.len()),
    );
    let canceled = busiest_minute(&passed);
    let budget = stage.policy.params().cancel_budget_per_min();
    no_looser(stage, evidence, 1, ("risk", "cancel_budget_per_min"), "50");
    no_looser(stage, evidence, 2, ("risk", "cancel_episodes_hard"), "3");
    evidence.proves(
        1,
        "a minute has no more cancels of an instrument than cancel_budget_per_min, and the venue takes more",
        canceled > 0 && canceled as u64 <= 2 * budget && 2 * budget < 60 * VENUE_CANCELS_S,
        format!(
            "{canceled} cancels in the busiest minute of two instruments, budget {budget} each, \
             the venue takes {} a minute",
            60 * VENUE_CANCELS_S
        ),
    );
    keep(evidence, &engine, "ordinary")?;
    keep_tap(evidence, &tap, "ordinary")?;
    ends(evidence, &mut engine, "the run ends in order", 0)
}

/// What was left at least of a class, as a share of the most that was ever left and one more, and
/// which class. Classes that take fewer than five calls a second are used up by one.
fn headroom(passed: &[Passed]) -> (f64, String) {
    let mut classes: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for one in passed {
        if let Some(left) = one.remaining {
            let (least, most) = classes.entry(&one.what).or_insert((left, left));
            (*least, *most) = ((*least).min(left), (*most).max(left));
        }
    }
    let classes = classes.into_iter().filter(|(_, (_, most))| *most >= 4);
    let share = |least: u64, most: u64| least as f64 / (most + 1) as f64;
    classes
        .map(|(class, (least, most))| (share(least, most), class.to_owned()))
        .min_by(|a, b| a.0.total_cmp(&b.0))
        .unwrap_or((0.0, "nothing".to_owned()))
}

/// Single cancels asked for in the busiest minute.
fn busiest_minute(passed: &[Passed]) -> usize {
    let singles: Vec<&Passed> = passed.iter().filter(|one| is_cancel(one)).collect();
    let within = |first: &Passed| {
        let minute = singles
            .iter()
            .filter(|one| one.at >= first.at && one.at - first.at < Duration::from_secs(60));
        minute.map(|one| one.orders).sum()
    };
    singles.iter().map(|first| within(first)).max().unwrap_or(0)
}

fn is_cancel(one: &Passed) -> bool {
    let batch = ["batch-cancel", "cancel-batch"].iter().any(|name| one.what.ends_with(name));
    one.orders > 0 && (one.what.ends_with("cancel-order") || batch)
}

/// A price that jumps every second: three episodes, two pauses, and a stop.
fn episodes(stage: &Stage, evidence: &mut Evidence) -> Result<(), Trouble> {
    let (venue, tap) = stage.tapped(FAST, None)?;
    let mut engine = stage.engine(&venue, "run", DEEP)?;
    quoting(&venue, &engine)?;
    let params = stage.policy.params();
    let (budget, hard_at) = (params.cancel_budget_per_min(), params.cancel_episodes_hard());
    let pause = Duration::from_nanos(params.cancel_pause_s());
    for episode in 1..=hard_at {
        let from = tap.len();
        let line = format!("Cancel episode: BTCUSDT number {episode} today");
        shaken(&venue, || engine.log().contains(&line))?;
        let asked: usize =
            tap.passed(from).iter().filter(|one| is_cancel(one)).map(|one| one.orders).sum();
        // The strategy also cancels what has not left yet; the venue is not asked for that.
        let told = engine.first(&line);
        evidence.proves(
            2,
            &format!("breach {episode}: one episode, over cancels that the venue was asked for"),
            !told.is_empty() && asked as u64 * 5 > budget * 4,
            format!("{asked} cancels; {told}"),
        );
        if episode < hard_at {
            let pulled = nothing_rests(&venue);
            let claim = format!("breach {episode}: a pause with no order");
            evidence.proves(2, &claim, pulled.is_ok(), engine.last("cancel_budget"));
            wait(pause / FAST + SOON, "it quotes", || Ok(venue.open_orders()? > 0))?;
        }
    }
    engine.says("-> HARD_STOP", SOON)?;
    let stop = engine.last("-> HARD_STOP");
    let claim = format!("breach {hard_at} stops for good");
    evidence.proves(2, &claim, hard(&stop, "cancel_budget"), stop);
    let log = engine.log();
    let told = log.matches("Cancel episode: ").count();
    let claim = format!("{hard_at} breaches are {hard_at} episodes");
    evidence.proves(2, &claim, told as u64 == hard_at, format!("{told} episodes"));
    nothing_rests(&venue)?;
    let refused = tap.passed(0).iter().filter(|one| one.is_for_rate()).count();
    evidence.claim("not even so 429", refused == 0, format!("{refused} answers"));
    keep(evidence, &engine, "episodes")?;
    keep_tap(evidence, &tap, "episodes")?;
    ends(evidence, &mut engine, "the exit code says so", 5)?;
    latched(stage, &venue, &tap, evidence)
}

/// The next start is stopped too.
fn latched(
    stage: &Stage,
    venue: &Venue,
    tap: &Tap,
    evidence: &mut Evidence,
) -> Result<(), Trouble> {
    let from = tap.len();
    let mut engine = stage.engine(venue, "second", DEEP)?;
    engine.says("HARD_STOP", SOON)?;
    let most = most_resting(venue, 60)?;
    let placed = tap.passed(from).iter().filter(|one| one.what == "place-order").count();
    let seen = format!("at most {most} rested, {placed} orders asked for");
    evidence.claim("the next start is stopped too", most == 0 && placed == 0, seen);
    engine.stop().map(drop)
}

/// Lets the price jump up and down, once a second of the venue's time, until `done`.
fn shaken(venue: &Venue, mut done: impl FnMut() -> bool) -> Result<(), Trouble> {
    let mut way = 1.0;
    for _ in 0..TRIES {
        wait(2 * SOON, "all levels rest", || Ok(venue.open_orders()? >= RESTING))?;
        std::thread::sleep(CALM / FAST);
        let began = Instant::now();
        while began.elapsed() < WINDOW / FAST {
            venue.ask("/admin/price", &json!({ "symbol": "BTCUSDT", "percent": JUMP * way }))?;
            way = -way;
            std::thread::sleep(Duration::from_secs(1) / FAST);
            if done() {
                return Ok(());
            }
        }
    }
    Err(Trouble::TooLate { what: "an episode".to_owned(), limit: TRIES * WINDOW })
}
