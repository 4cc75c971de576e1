//! Item 9: loss and drawdown stop for good at the configured limits, and nothing but an operator
//! clears that; leverage is read back, the margin ratio watched.

use std::time::Duration;

use serde_json::json;

use super::{
    Evidence, Own, SOON, Stage, Trouble, code, ends, hard, hit, keep, keep_truth, market_order,
    most_resting, no_looser, nothing_rests, number, quoting, rows, share, wait,
};
use crate::golive::stage::{Engine, Venue, accounts};

/// What may be lost before a limit is met, in USDT: few, so that one order's position loses them
/// when the price moves.
const LOST: f64 = 6.0;
const FALLEN: f64 = 10.0;
/// By how much more than the drawdown equity has risen before it falls, so that falling loses
/// nothing of the day's opening.
const RISE: f64 = 0.006;
/// What the account holds where no limit of loss is to be met.
const DEPOSIT: f64 = 200.0;
/// One move of the price, in percent, and how many are tried.
const MOVE: i32 = 12;
const MOVES: u32 = 14;
/// How many times the limit the venue's equity has lost when the stop is owed: by less differs what
/// engine and venue hold a position worth.
const BEYOND: f64 = 1.1;
/// In which time a stop that is owed comes, on a busy machine.
const AT_ONCE: Duration = Duration::from_secs(5);
/// The highest leverage that an account of the venue may be given at its start.
const LEVERAGE_MAX: u64 = 100;
/// Looks at the venue after the restart.
const LOOKS: u32 = 160;

pub(super) fn run(stage: &Stage, evidence: &mut Evidence) -> Result<(), Trouble> {
    no_looser(stage, evidence, 1, ("risk", "max_daily_loss_pct_hard"), "0.03");
    no_looser(stage, evidence, 2, ("risk", "max_drawdown_pct_hard"), "0.05");
    loss(&stage.part("loss")?, evidence)?;
    drawdown(&stage.part("drawdown")?, evidence)?;
    leverage(&stage.part("leverage")?, evidence)?;
    margin(&stage.part("margin")?, evidence)
}

fn loss(stage: &Stage, evidence: &mut Evidence) -> Result<(), Trouble> {
    let limit = share(stage.policy.params().max_daily_loss_pct_hard());
    let deposit = deposit(LOST, limit);
    let venue = stage.venue(1, Some(&accounts(deposit, stage.leverage())))?;
    let mut engine = stage.engine(&venue, "first", Own::NOTHING)?;
    let (symbol, way) = holding(&venue, &engine)?;
    let lost = || Ok::<_, Trouble>(1.0 - number(&venue.truth()?["equity"]) / deposit);
    let beyond = || Ok(stopped(&engine) || lost()? > BEYOND * limit);
    let moves = moved(&venue, &symbol, -way * MOVE, beyond)?;
    evidence.claim("the price moves against a position", true, format!("{symbol}, {moves} moves"));
    // The venue's equity is beyond the limit already: a stop that comes with later losses is late.
    let stops = engine.says("-> HARD_STOP", AT_ONCE);
    let (lost, stop) = (lost()?, engine.last("-> HARD_STOP"));
    evidence.proves(1, "the loss of the day stops for good", hard(&stop, "daily_loss"), stop);
    evidence.proves(
        1,
        "the venue's own equity is beyond max_daily_loss_pct_hard",
        lost > limit,
        format!("{:.2} % of {deposit} USDT lost, limit {} %", lost * 100.0, limit * 100.0),
    );
    stops?;
    let published = "HARD_STOP kill_switch published";
    engine.says(published, SOON)?;
    evidence.proves(3, "the kill switch intent is published", true, engine.last(published));
    nothing_rests(&venue)?;
    evidence.claim("every order is canceled", true, "0 orders rest at the venue");
    moved(&venue, &symbol, way * MOVE, || Ok(false))?;
    let still = engine.last("Guard ");
    let recovered = still.contains("HARD_STOP") && venue.open_orders()? == 0;
    evidence.claim("it stays so while the price comes back", recovered, still);
    keep(evidence, &engine, "loss/first")?;
    ends(evidence, &mut engine, "the exit code says so", 5)?;
    restarted(stage, &venue, evidence, "loss")
}

/// Equity rises and falls again while nothing is quoted: the day has lost nothing, and the fall
/// from its peak stops for good.
fn drawdown(stage: &Stage, evidence: &mut Evidence) -> Result<(), Trouble> {
    let params = stage.policy.params();
    let [loss, limit] =
        [params.max_daily_loss_pct_hard(), params.max_drawdown_pct_hard()].map(share);
    let deposit = deposit(FALLEN, limit);
    let venue = stage.venue(1, Some(&accounts(deposit, stage.leverage())))?;
    let mut engine = stage.engine(&venue, "first", Own::NOTHING)?;
    let (symbol, way) = holding(&venue, &engine)?;
    let (paused, _) = stage.keel(&["pause", "--run-dir", "first"])?;
    nothing_rests(&venue)?;
    evidence.claim("a pause leaves the position as it is", paused == Some(0), code(paused));
    let equity = || Ok::<_, Trouble>(number(&venue.truth()?["equity"]));
    moved(&venue, &symbol, way * MOVE, || Ok(equity()? > deposit * (1.0 + limit + RISE)))?;
    let peak = equity()?;
    moved(&venue, &symbol, -way * MOVE / 2, || Ok(stopped(&engine)))?;
    engine.says("-> HARD_STOP", SOON)?;
    let stop = engine.last("-> HARD_STOP");
    let alone = hard(&stop, "drawdown") && !hard(&stop, "daily_loss");
    evidence.proves(2, "the fall from the highest equity stops for good", alone, stop);
    let now = equity()?;
    evidence.proves(
        2,
        "by the venue's own equity it is beyond max_drawdown_pct_hard, the day's loss is not",
        now < peak * (1.0 - limit) && now > deposit * (1.0 - loss),
        format!("from {deposit} to {peak:.2} and down to {now:.2} USDT, limit {} %", limit * 100.0),
    );
    nothing_rests(&venue)?;
    keep(evidence, &engine, "drawdown/first")?;
    ends(evidence, &mut engine, "the exit code says so", 5)?;
    restarted(stage, &venue, evidence, "drawdown")
}

/// Leverage at the venue above the limit is read and stops before anything is quoted; a limit that
/// no venue has is refused.
fn leverage(stage: &Stage, evidence: &mut Evidence) -> Result<(), Trouble> {
    let most = stage.policy.params().max_leverage();
    let beyond = (2 * most).min(LEVERAGE_MAX);
    let venue = stage.venue(1, Some(&accounts(DEPOSIT, beyond)))?;
    let mut engine = stage.engine(&venue, "run", Own::NOTHING)?;
    engine.says("-> HARD_STOP", SOON)?;
    let resting = most_resting(&venue, LOOKS / 4)?;
    let stop = engine.last("-> HARD_STOP");
    evidence.proves(
        4,
        &format!("leverage {beyond} at the venue against max_leverage {most} stops, and nothing is quoted"),
        hard(&stop, "leverage") && resting == 0 && venue.fills()? == 0,
        format!("at most {resting} rested; {stop}"),
    );
    ends(evidence, &mut engine, "the exit code says so", 5)?;
    keep(evidence, &engine, "leverage")?;
    std::fs::write(stage.dir.join("wrong.toml"), "[risk]\nmax_leverage = 126\n")?;
    let (checked, _) = stage.keel(&["config", "check", "--config", "wrong.toml"])?;
    evidence.proves(4, "max_leverage = 126 is refused", checked == Some(2), code(checked));
    Ok(())
}

/// Limits that let a position be held whose margin ratio is beyond `margin_ratio_soft`, and no
/// other limit be met before.
const BY_MARGIN: Own<'_> = Own {
    tables: "[risk]\nmax_leverage = 50\nmargin_ratio_soft = 0.01\nmax_base_pct = 4.9\n\
                         max_base_pct_hard = 5\nmax_position_quote = 10000000\n\
                         max_daily_turnover_x_hard = 1000\nmax_daily_loss_pct_hard = 0.03\n\
                         max_weekly_loss_pct_hard = 0.06\nmax_drawdown_pct_hard = 0.05\n",
    why: "with the venue's least maintenance margin, 0.4 %, a position that reaches the configured \
          ratio meets max_base_pct_hard before",
};

/// The margin ratio is the venue's, and beyond the limit it pauses.
fn margin(stage: &Stage, evidence: &mut Evidence) -> Result<(), Trouble> {
    let venue = stage.venue(1, Some(&accounts(DEPOSIT, 50)))?;
    let mut engine = stage.engine(&venue, "run", BY_MARGIN)?;
    quoting(&venue, &engine)?;
    let calm = number(&stage.status("run")?["margin_ratio"]);
    // Nearly four times what the account has: by no order that the engine would send.
    venue.ask("/admin/order", &market_order(&venue.name(), "BTCUSDT", "buy", "0.008"))?;
    let theirs = number(&venue.truth()?["positions"][0]["marginRatio"]);
    engine.says("margin_ratio", SOON)?;
    let line = engine.first("margin_ratio");
    evidence.proves(
        5,
        "the margin ratio is told, and beyond margin_ratio_soft it pauses",
        line.contains("-> SOFT_PAUSE") && calm < 0.01 && theirs > 0.01,
        format!("{calm} before; {theirs} at the venue; {line}"),
    );
    nothing_rests(&venue)?;
    evidence.proves(5, "and no order rests", true, "0 orders rest at the venue");
    keep(evidence, &engine, "margin")?;
    engine.stop().map(drop)
}

/// Sells into the engine's bids until it holds something; gives what, and 1 where a higher price is
/// good for it, else -1.
fn holding(venue: &Venue, engine: &Engine) -> Result<(String, i32), Trouble> {
    quoting(venue, engine)?;
    let mut held = None;
    wait(SOON, "something is held", || {
        hit(venue, "BTCUSDT", "buy")?;
        std::thread::sleep(Duration::from_secs(1));
        let truth = venue.truth()?;
        let rows = rows(&truth, "positions");
        held = rows
            .map(|row| (row["symbol"].as_str().unwrap_or_default(), number(&row["size"])))
            .find(|(_, size)| *size != 0.0)
            .map(|(symbol, size)| (symbol.to_owned(), if size > 0.0 { 1 } else { -1 }));
        Ok(held.is_some())
    })?;
    held.ok_or_else(|| Trouble::Unexpected("flat".to_owned()))
}

/// An account of which `limit` is so many USDT.
fn deposit(usdt: f64, limit: f64) -> f64 {
    (usdt / limit).round().max(1.0)
}

/// Moves the price by so many percent, again and again until `enough`; gives how often.
fn moved(
    venue: &Venue,
    symbol: &str,
    percent: i32,
    mut enough: impl FnMut() -> Result<bool, Trouble>,
) -> Result<u32, Trouble> {
    for moves in 1..=MOVES {
        venue.ask("/admin/price", &json!({ "symbol": symbol, "percent": percent }))?;
        std::thread::sleep(Duration::from_secs(1));
        if enough()? {
            return Ok(moves);
        }
    }
    Ok(MOVES)
}

fn stopped(engine: &Engine) -> bool {
    engine.log().contains("-> HARD_STOP")
}

/// The stop holds over a restart: nothing is quoted.
fn restarted(
    stage: &Stage,
    venue: &Venue,
    evidence: &mut Evidence,
    what: &str,
) -> Result<(), Trouble> {
    let mut engine = stage.engine(venue, "second", Own::NOTHING)?;
    let most = most_resting(venue, LOOKS)?;
    let log = engine.log();
    let latched = log.contains("HARD_STOP") && !log.contains("-> RUNNING") && most == 0;
    evidence.claim(
        &format!("{what}: after a restart it is still stopped"),
        latched,
        format!("{LOOKS} looks, at most {most} orders rested; {}", engine.first("HARD_STOP")),
    );
    ends(evidence, &mut engine, "and the exit code says so again", 5)?;
    keep_truth(evidence, venue, &format!("{what}/venue"))?;
    keep(evidence, &engine, &format!("{what}/second"))
}
