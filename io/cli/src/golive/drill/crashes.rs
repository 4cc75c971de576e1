//! Item 12 under virtual time: the process dies at two hundred moments that are drawn, and at each
//! point of an order's way, its journal whole or without what was not yet durable.

use keel_core::event::Directive;
use keel_core::units::{MILLIS, SECONDS};
use keel_io::memory::Block;
use keel_io::world::{Chance, FaultKind, FaultPlan, Standing, World};

use super::worlds::{SYMBOL, Seen, ended, lives, world_of};
use super::{Evidence, Own, Stage};

/// Deaths that are asked for, and about how far they are apart.
const KILLS: u64 = 200;
const KILL_EVERY_NS: u64 = 12 * SECONDS;
/// In which time they are drawn: more than enough.
const SPAN_NS: u64 = 240 * KILL_EVERY_NS;
/// What the price moves by, in millionths, so that there are executions, and how often.
const NUDGE_PPM: u32 = 1_200;
const NUDGE_EVERY_NS: u64 = 7 * SECONDS;
/// How long a point of an order's way is waited for.
const POINT_NS: u64 = 450 * SECONDS;
/// The points of an order's way. A part of one is seldom executed alone here: it is not among them.
const POINTS: [Standing; 6] = [
    Standing::NoEngine,
    Standing::NoOrder,
    Standing::PendingNew,
    Standing::Live,
    Standing::PendingCancel,
    Standing::Unknown,
];
/// Restarts after a stop for good.
const RESTARTS: u32 = 3;

/// Orders of several lots near the touch, so that there are executions, and no end by a day's
/// turnover.
const LIVED: Own<'_> = Own {
    tables: "[strategy]\nsize_pct_min = 0.01\nsize_pct_max = 0.01\nspread_min = 0.0001\n\
             spread_max = 0.0006\nmin_side_offset_bps = 0.2\nmin_net_edge_bps = 0\n\
             edge_resume_bps = 0\nfill_factor = 1\ndrift_penalty_multiplier = 0\n\
             vol_penalty_multiplier = 0\nturnover_cap_x = 1000\n\
             [risk]\nmax_daily_turnover_x_hard = 1000\n",
    why: "orders of several lots near the touch are executed as often as in days",
};

pub(super) fn run(stage: &Stage, evidence: &mut Evidence) {
    drawn(stage, evidence);
    scripted(stage, evidence);
    latched(stage, evidence);
}

/// Dies at moments that are drawn.
fn drawn(stage: &Stage, evidence: &mut Evidence) {
    let kinds = [FaultKind::Kill, FaultKind::KillUnsynced];
    let (mut chance, from) = (Chance::new(12, 0), 20 * SECONDS);
    let plan = FaultPlan::drawn(&mut chance, &kinds, KILL_EVERY_NS, from, SPAN_NS);
    let block = Block::default();
    let params = stage.policy.with(LIVED);
    let mut world = World::new(world_of(stage, &params, 12, plan), &block);
    let mut seen = Seen::new();
    while world.elapsed_ns() < SPAN_NS + 60 * SECONDS {
        nudged(&mut world, &mut seen);
    }
    let [whole, lacking] = kinds.map(|kind| world.counts().of(kind));
    evidence.proves(
        1,
        "virtual: the process is killed at 200 drawn moments at least, some with orders resting",
        whole + lacking >= KILLS && seen.found.len() as u64 >= KILLS / 4,
        format!(
            "{whole} with the journal whole, {lacking} without what was not durable; {} starts \
             found orders, {} quoted",
            seen.found.len(),
            seen.quoted.len()
        ),
    );
    judged(&mut world, &mut seen, evidence, "drawn moments");
}

/// Dies at each point of an order's way, in both ways.
fn scripted(stage: &Stage, evidence: &mut Evidence) {
    let kinds = [FaultKind::DropOrder, FaultKind::DropReply, FaultKind::NoAnswer];
    let (mut chance, until) = (Chance::new(13, 0), 8 * POINT_NS);
    let plan = FaultPlan::drawn(&mut chance, &kinds, 2 * SECONDS, 10 * SECONDS, until);
    let block = Block::default();
    let params = stage.policy.with(LIVED);
    let mut world = World::new(world_of(stage, &params, 13, plan), &block);
    let mut seen = Seen::new();
    let mut missed = Vec::new();
    for standing in POINTS {
        for synced in [true, false] {
            if stage.withheld() || !dies_at(&mut world, &mut seen, standing, synced) {
                missed.push(format!("{standing:?}"));
            }
            // Every second life is long enough to quote before it ends.
            lives(&mut world, &mut seen, if synced { 15 } else { 1 } * SECONDS);
        }
    }
    evidence.proves(
        1,
        "virtual: and at every point of an order's way, the journal whole and not",
        missed.is_empty(),
        format!("{} points, {} deaths, not met: {missed:?}", 2 * POINTS.len(), seen.deaths),
    );
    while world.elapsed_ns() < until + 60 * SECONDS && !stage.withheld() {
        nudged(&mut world, &mut seen);
    }
    judged(&mut world, &mut seen, evidence, "scripted points");
}

/// Goes on until an order stands so, and ends the process; false when none does in time.
fn dies_at(world: &mut World<'_>, seen: &mut Seen, standing: Standing, synced: bool) -> bool {
    let until = world.now().after(POINT_NS);
    let mut nudge_at = world.now();
    let mut up = true;
    if standing == Standing::NoEngine {
        // The one that is started next dies before it has any.
        world.kill(synced);
    }
    while world.now() < until {
        if world.now() >= nudge_at {
            nudge_at = world.now().after(NUDGE_EVERY_NS);
            nudge(world, up);
            up = !up;
        }
        world.advance(nudge_at);
        seen.look(world);
        if world.standings().has(standing) && world.kill(synced) {
            return true;
        }
    }
    false
}

/// A stop for good outlives deaths, also of a process that dies as soon as it stops.
fn latched(stage: &Stage, evidence: &mut Evidence) {
    let block = Block::default();
    let config = world_of(stage, stage.policy.params(), 14, FaultPlan::NONE);
    let mut world = World::new(config, &block);
    let mut seen = Seen::new();
    lives(&mut world, &mut seen, 60 * SECONDS);
    let quoted = seen.quoted.len();
    if !stage.withheld() {
        world.tell(Directive::Kill);
    }
    lives(&mut world, &mut seen, 200 * MILLIS);
    let stops = seen.stops;
    for _ in 0..RESTARTS {
        world.kill(false);
        lives(&mut world, &mut seen, 40 * SECONDS);
    }
    let open = world.exchange().venue().account(world.account()).open_orders().count();
    evidence.proves(
        3,
        "virtual: a stop for good holds over deaths: no later process quotes",
        quoted == 1 && stops == 1 && seen.quoted.len() == 1 && open == 0 && seen.epoch > RESTARTS,
        format!("{stops} stop, {} starts, {} quoted, {open} rest", seen.epoch, seen.quoted.len()),
    );
}

/// What must hold of every life.
fn judged(world: &mut World<'_>, seen: &mut Seen, evidence: &mut Evidence, what: &str) {
    evidence.proves(
        2,
        &format!("virtual, {what}: no order of an earlier process rests beside one of the newest"),
        seen.orphaned == 0 && !seen.found.is_empty(),
        format!("{} starts found some, {} looks at both", seen.found.len(), seen.orphaned),
    );
    let opened: std::collections::BTreeSet<i64> = seen.opened.values().map(|open| open.0).collect();
    evidence.proves(
        3,
        &format!("virtual, {what}: every process goes by the same opening of the day"),
        opened.len() == 1 && seen.opened.len() > 1,
        format!("{} processes, {} openings", seen.opened.len(), opened.len()),
    );
    let stops = seen.stops;
    let claim = format!("virtual, {what}: nothing stops it for good");
    evidence.claim(&claim, stops == 0, format!("{stops} stops"));
    ended(world, seen, evidence, 3, what);
}

/// Lets the price go up and down once.
fn nudged(world: &mut World<'_>, seen: &mut Seen) {
    for up in [true, false] {
        nudge(world, up);
        lives(world, seen, NUDGE_EVERY_NS);
    }
}

fn nudge(world: &mut World<'_>, up: bool) {
    world.move_price(SYMBOL, if up { 1_000_000 + NUDGE_PPM } else { 1_000_000 - NUDGE_PPM });
}
