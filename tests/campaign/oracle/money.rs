//! Money: executions, positions, profit and loss, against the venue's account.

use std::collections::{BTreeMap, BTreeSet};

use keel_core::command::Booked;
use keel_core::guard::{GuardState, Reason, Reasons};
use keel_core::instrument::InstrumentId;
use keel_core::units::{E8, MILLIS, MonoNanos, Quote, SECONDS};
use keel_io::world::{Route, World};

use super::wire::{position, product};
use super::{Oracles, Resting, words};

/// What was seen of money.
#[derive(Debug, Default)]
pub(super) struct Money {
    /// Trades that this process has booked.
    booked: BTreeSet<u64>,
    /// Executions whose fee is not known (see [`Oracles::ledger`]).
    pub(super) fees_unknown: u64,
    /// Since when belief and truth differ about a position, by instrument.
    apart: BTreeMap<usize, MonoNanos>,
    /// Equity at the venue when the day began, and the highest since.
    day: Option<Day>,
    /// Since when the loss at the venue is beyond its limit.
    lost: Option<MonoNanos>,
    /// A hard stop had a cause: it holds from then on.
    latched: bool,
    /// How many had.
    pub(super) hard_stops: u64,
    looked: MonoNanos,
    /// Positions are told falsely from now on.
    told_falsely: bool,
    /// What is asked for over REST is which positions there are.
    asks_positions: bool,
    /// Since when each answer to that has been false, for this process.
    false_since: Option<MonoNanos>,
}

/// A UTC day at the venue.
#[derive(Clone, Copy, Debug)]
struct Day {
    number: i64,
    open: Quote,
    peak: Quote,
}

impl Money {
    /// The process has died.
    pub(super) fn died(&mut self) {
        self.booked.clear();
        self.apart.clear();
        self.false_since = None;
    }

    /// From now on positions are told falsely.
    pub(super) fn tell_falsely(&mut self) {
        self.told_falsely = true;
    }

    /// A question goes up over REST.
    pub(super) fn asks(&mut self, path: &str) {
        self.asks_positions = path.ends_with("/current-position");
    }

    /// An answer over REST has come; `sound` when it is as the venue said it.
    pub(super) fn told(&mut self, sound: bool, now: MonoNanos) {
        if std::mem::take(&mut self.asks_positions) && self.told_falsely {
            self.false_since = (!sound).then(|| self.false_since.unwrap_or(now));
        }
    }
}

impl Oracles<'_> {
    /// I-05: nothing is booked that did not happen, and nothing twice.
    pub(super) fn book_fill(&mut self, booked: &Booked, world: &World) {
        if !self.money.booked.insert(booked.trade_id) {
            self.fail("I-05", format!("trade {} was booked twice", booked.trade_id), world);
        }
        let account = world.exchange().venue().account(world.account());
        let real = account.fills().iter().rev().any(|fill| fill.trade.0 == booked.trade_id);
        if !real {
            self.fail("I-05", format!("trade {} never happened", booked.trade_id), world);
        }
    }

    /// I-05 at quiescence: the durable records and the venue name the same executions.
    ///
    /// One exemption: the fee of a maker's execution that was learned by a query alone. The venue's
    /// documentation and its examples give that fee opposite signs, so on an account with rebates
    /// it is left unknown and stands as zero.
    pub(super) fn ledger(&mut self, world: &World) {
        let account = world.exchange().venue().account(world.account());
        let mut theirs: Vec<_> = account
            .fills()
            .iter()
            .map(|fill| (fill.trade.0, fill.side, fill.price.0, fill.size.0, fill.fee.0))
            .collect();
        let mut ours: Vec<_> = world
            .booked()
            .iter()
            .map(|b| (b.trade_id, b.side, b.price.0, b.lots.0, b.fee.0))
            .collect();
        theirs.sort_unstable_by_key(|fill| fill.0);
        ours.sort_unstable_by_key(|fill| fill.0);
        for (ours, theirs) in ours.iter_mut().zip(&theirs) {
            if ours.0 == theirs.0 && ours.4 == 0 && theirs.4 < 0 {
                self.money.fees_unknown += 1;
                ours.4 = theirs.4;
            }
        }
        if ours != theirs {
            let missing: Vec<_> = theirs.iter().filter(|fill| !ours.contains(fill)).collect();
            let extra: Vec<_> = ours.iter().filter(|fill| !theirs.contains(fill)).collect();
            let (a, b) = (ours.len(), theirs.len());
            let what = format!("{a} booked, {b} at the venue; missing {missing:?} extra {extra:?}");
            self.fail("I-05", what, world);
        }
        self.realized(world);
    }

    /// I-09, in part: what all processes have realized is what the venue says, but for the fraction
    /// of a tick-lot, for each execution, by which the two round the cost of a part that is closed.
    fn realized(&mut self, world: &World) {
        let account = world.exchange().venue().account(world.account());
        let ours: Quote = world.booked().iter().fold(Quote::ZERO, |sum, b| sum + b.realized);
        let theirs = account.totals().realized;
        if i128::from((ours - theirs).0).abs() > rounded(world) {
            let what = format!("realized {} where the venue has {}", ours.0, theirs.0);
            self.fail("I-09", what, world);
        }
    }

    /// I-09, the rest: the ledger's balance is the venue's wallet, but for the same fractions and
    /// for what fees that are unknown may add up to, where every bill has been looked for and no
    /// execution is on its way.
    pub(super) fn wallet(&mut self, world: &World) {
        let Some(engine) = world.engine() else { return };
        let ledger = engine.ledger();
        let venue = world.exchange().venue();
        let account = venue.account(world.account());
        let Some(ours) = ledger.balance() else { return };
        let newest = account.bills().iter().rfind(|bill| bill.kind.is_funding());
        if newest.is_some_and(|bill| venue.now().0 - bill.at.0 < BILLS_NS) {
            return;
        }
        if account.fills().back().is_some_and(|fill| venue.now().0 - fill.at.0 < ON_ITS_WAY_NS) {
            return;
        }
        let theirs = account.balance();
        let unknown = i128::from(ledger.fees_missing_most().0);
        if i128::from((ours - theirs).0).abs() > rounded(world) + unknown {
            let (flow, totals) = (ledger.flow(), account.totals());
            let what =
                format!("{} where the wallet has {}: {flow:?}, {totals:?}", ours.0, theirs.0);
            self.fail("I-09", what, world);
        }
    }

    /// I-11: positions are believed as they are, or nothing is quoted.
    pub(super) fn positions(&mut self, resting: &[Resting], world: &World) {
        let Some(engine) = world.engine() else { return };
        let now = world.now();
        let venue = world.exchange().venue();
        let account = venue.account(world.account());
        let mut wrong = Vec::new();
        for (index, symbol) in world.symbols().iter().enumerate() {
            let Some(id) = venue.find(symbol.as_str()) else { continue };
            let ours = engine.ledger().position(InstrumentId(index as u16)).lots.0;
            let theirs = position(account, id);
            if ours == theirs {
                self.money.apart.remove(&index);
                continue;
            }
            if self.money.told_falsely && (ours - theirs).abs() >= FALSE_LOTS_MIN {
                wrong.push(format!("{symbol}: {ours} adopted, {theirs} held"));
            }
            let since = *self.money.apart.entry(index).or_insert(now);
            let quotes = resting
                .iter()
                .any(|order| order.own && order.epoch == self.epoch && order.instrument == id);
            let reachable = self.calm_for(&[Route::Private, Route::Rest], now);
            if quotes && now.since(since).min(reachable) > APART_NS_MAX {
                wrong.push(format!("{symbol}: {ours} believed, {theirs} held, and quotes rest"));
            }
        }
        wrong.into_iter().for_each(|what| self.fail("I-11", what, world));
    }

    /// I-10: a position that is told otherwise than executions say, each time, stops for good.
    pub(super) fn contradicted(&mut self, world: &World) {
        let (now, stopped) = (world.now(), self.guard == GuardState::HardStop);
        let since = self.money.false_since.filter(|_| !stopped && world.engine().is_some());
        let for_ns = since.map_or(0, |since| now.since(since));
        let reachable = self.calm_for(&[Route::Private, Route::Rest], now);
        if for_ns.min(reachable) > EXPLAINED_NS_MAX {
            self.fail("I-10", format!("told of a false position for {for_ns} ns"), world);
        }
    }

    /// I-19: what is lost at the venue beyond a limit stops everything.
    pub(super) fn losses(&mut self, world: &World) {
        let now = world.now();
        if now.since(self.money.looked) < LOOK_NS || world.engine().is_none() {
            return;
        }
        self.money.looked = now;
        let Some(day) = self.day(world) else { return };
        let (lost, slack) = lost(day, world);
        // A start quotes nothing, and judges what is lost once it is complete: over REST it waits
        // for 35 s until no order of before can appear (seed 190000647).
        let starts = world.engine().is_some_and(|engine| !engine.account().ready);
        let lost = if starts { 0 } else { lost };
        self.money.lost = (lost > slack).then(|| self.money.lost.unwrap_or(now));
        let since = self.money.lost.map_or(0, |since| now.since(since));
        let reachable = self.calm_for(&[Route::Public, Route::Private, Route::Rest], now);
        if since.min(reachable) > STOP_NS_MAX && !self.money.latched {
            let (open, peak) = (day.open.0, day.peak.0);
            let what = format!("{since} ns {lost} beyond a loss limit: open {open}, peak {peak}");
            self.fail("I-19", what, world);
        }
    }

    /// The day's equity by the venue; `None` before the engine knows its own.
    fn day(&mut self, world: &World) -> Option<Day> {
        let venue = world.exchange().venue();
        let number = venue.now().day();
        world.engine()?.account().day_open?;
        let equity = venue.account_view(world.account()).equity;
        let day = self.money.day.filter(|day| day.number == number);
        let mut day = day.unwrap_or(Day { number, open: equity, peak: equity });
        day.peak = day.peak.max(equity).max(self.money.day.map_or(equity, |day| day.peak));
        self.money.day = Some(day);
        Some(day)
    }

    /// L-4: a hard stop has a cause, and the cause is true. I-28: it is latched by then.
    pub(super) fn stops(&mut self, hard: Reasons, world: &World) {
        let money = Reasons::NONE.with(Reason::DailyLoss).with(Reason::Drawdown);
        let money = money.with(Reason::WeeklyLoss);
        self.cut(world, world.now());
        if self.money.latched {
            return;
        }
        let is_loss = !hard.is_empty() && hard.union(money) == money;
        let true_loss = self.day(world).is_some_and(|day| {
            let (lost, slack) = lost(day, world);
            lost > -slack
        });
        let is_foreign = hard == Reasons::NONE.with(Reason::ForeignOrder);
        // Maybe gone by now: the list that told of it was on its way.
        let true_foreign = self.foreign_halts(world) && self.foreign_seen;
        let is_drift = hard == Reasons::NONE.with(Reason::PositionDrift);
        let true_drift = self.money.told_falsely && self.money.false_since.is_some();
        if (is_drift && true_drift) || (is_loss && true_loss) || (is_foreign && true_foreign) {
            self.money.latched = true;
            self.money.hard_stops += 1;
        } else {
            self.fail("L-4", format!("a stop without a cause: {}", words(hard)), world);
        }
    }

    /// I-28: after a hard stop nothing is quoted, by no process.
    pub(super) fn quotes_after_a_stop(&mut self, name: &str, world: &World) {
        if self.money.latched {
            self.fail("I-28", format!("{name} is quoted after a hard stop"), world);
        }
    }

    pub(super) fn count_fills(&mut self, world: &World) {
        let fills = world.exchange().venue().account(world.account()).fills();
        for fill in fills.iter().skip(self.fills_seen) {
            if !self.instance.read(fill.client_id.as_bytes()).is_own() {
                *self.by_hand.entry(fill.instrument).or_default() += fill.size.0 * fill.side.sign();
            } else {
                self.own_fills += 1;
            }
        }
        self.fills_seen = fills.len();
    }
}

/// A tick-lot for each execution: what two ways of rounding the cost of a part may be apart.
fn rounded(world: &World) -> i128 {
    let venue = world.exchange().venue();
    let grids = venue.instruments().iter().map(|contract| contract.rules.grids);
    let fraction = grids.map(|grids| product(1, grids.price, 1, grids.size)).max();
    fraction.unwrap_or(0) * venue.account(world.account()).fills().len() as i128
}

/// How far a loss is beyond the nearest of its limits, and how far the venue's mark and ours may
/// make two figures of one.
fn lost(day: Day, world: &World) -> (i128, i128) {
    let view = world.exchange().venue().account_view(world.account());
    let params = world.params();
    let beyond = |from: Quote, limit: i64| {
        i128::from((from - view.equity).0) - i128::from(from.0) * i128::from(limit) / i128::from(E8)
    };
    let daily = beyond(day.open, params.max_daily_loss_pct_hard().0);
    let drawdown = beyond(day.peak, params.max_drawdown_pct_hard().0);
    let held = i128::from(view.maintenance_margin.0) * 200;
    (daily.max(drawdown), held / 1_000 + i128::from(E8) / 20)
}

/// The position reaches us with the private push, or with the next light reconciliation (5 s).
const APART_NS_MAX: u64 = 8 * SECONDS;
/// A false position is off by so many lots at least: ten coins, in steps of a hundredth at most.
const FALSE_LOTS_MIN: i64 = 1_000;
/// Two reads that differ alike, two passes over the executions, and a read once more.
const EXPLAINED_NS_MAX: u64 = 30 * SECONDS;
/// Bills are looked for each minute, and then once more where the venue failed to answer.
const BILLS_NS: i64 = 130 * SECONDS as i64;
/// An execution is told of within this time where nothing goes wrong.
const ON_ITS_WAY_NS: i64 = SECONDS as i64;
/// How often the account's money is looked at.
const LOOK_NS: u64 = 100 * MILLIS;
/// From a loss to the stop, while everything can be reached: a mark every 100 ms, and a round trip.
const STOP_NS_MAX: u64 = 8 * SECONDS;
