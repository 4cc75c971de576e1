//! Item 7 under virtual time: regimes that turn a thousand times while acknowledgments are
//! withheld, lost and late, and more quotes than may rest.

use keel_core::param::at;
use keel_core::regime::Regime;
use keel_core::units::SECONDS;
use keel_io::memory::Block;
use keel_io::world::{Chance, FaultKind, FaultPlan, World};

use super::worlds::{SYMBOL, Seen, acted, ended, lives, world_of};
use super::{Evidence, Own, Stage};

/// Turns that are asked for, and how long they may take.
const FLIPS: u64 = 1_000;
const LONGEST_NS: u64 = 4_800 * SECONDS;
/// What the price moves by, in millionths: from one side of its average to the other.
const MOVE_PPM: u32 = 2_600;
/// How long a turn is waited for before the price moves on.
const TURN_NS: u64 = 3 * SECONDS;
/// About how far faults are apart.
const FAULT_EVERY_NS: u64 = 2 * SECONDS;
/// How long more is quoted than may rest, at first without a fault; what the price moves by
/// meanwhile, in millionths, and how often.
const CAPPED_NS: u64 = 600 * SECONDS;
const CALM_NS: u64 = 90 * SECONDS;
const JUMP_PPM: u32 = 8_000;
const JUMP_EVERY_NS: u64 = 30 * SECONDS;

/// What becomes of orders, cancels and what is said of them.
const WITHHELD: [FaultKind; 3] = [FaultKind::DropReply, FaultKind::NoAnswer, FaultKind::DropPush];
const LOST: [FaultKind; 2] = [FaultKind::DropOrder, FaultKind::DropCancel];
const LATE: [FaultKind; 3] = [FaultKind::LateOrder, FaultKind::LateCancel, FaultKind::SpikePrivate];
/// Faults of each kind that must have acted.
const ACTED: u64 = 20;

/// A thousand turns within hours, without what a day of trading would meet first.
const TURNING: Own<'_> = Own {
    tables: "[strategy]\nregime_hold_s = 1\nema_period = 50\ntrend_eps_pct = 0.001\n\
             size_pct_min = 0.0008\nsize_pct_max = 0.0008\nturnover_cap_x = 1000\n\
             [risk]\nmax_daily_turnover_x_hard = 1000\n",
    why: "a thousand turns are to come within hours, and small orders to live through them",
};
/// Eight levels a side are wanted.
const DEEP: Own<'_> = Own {
    tables: "[strategy]\nlevels_min = 8\nlevels_max = 8\nsize_pct_min = 0.0008\n\
             size_pct_max = 0.0008\nspread_min = 0.01\nspread_max = 0.01\nlevel_step = 0.1\n\
             requote_tolerance = 1\nimbalance_weight = 0\n",
    why: "more orders are to be wanted than max_active_executors lets rest",
};
/// What eight levels of both sides exceed.
const CAP_MAX: u64 = 15;

pub(super) fn run(stage: &Stage, evidence: &mut Evidence) {
    turning(stage, evidence);
    capped(stage, evidence);
}

fn faults(from_ns: u64, until_ns: u64) -> FaultPlan {
    let kinds = [&WITHHELD[..], &LOST, &LATE].concat();
    let mut chance = Chance::new(7, 0);
    FaultPlan::drawn(&mut chance, &kinds, FAULT_EVERY_NS, from_ns, until_ns)
}

/// The price goes from one side of its average to the other, again and again.
fn turning(stage: &Stage, evidence: &mut Evidence) {
    let params = stage.policy.with(TURNING);
    let block = Block::default();
    let mut world =
        World::new(world_of(stage, &params, 7, faults(20 * SECONDS, LONGEST_NS)), &block);
    let mut seen = Seen::new();
    lives(&mut world, &mut seen, 60 * SECONDS);
    let mut up = true;
    while seen.flips < FLIPS && world.elapsed_ns() < LONGEST_NS && seen.stops == 0 {
        // Nothing is done to a system whose control must not be seen to act.
        if stage.withheld() {
            break;
        }
        up = match seen.regime {
            Regime::Up => false,
            Regime::Down => true,
            _ => !up,
        };
        if seen.regime != Regime::HighVolShock {
            let ppm = if up { 1_000_000 + MOVE_PPM } else { 1_000_000 - MOVE_PPM };
            world.move_price(SYMBOL, ppm);
        }
        lives(&mut world, &mut seen, TURN_NS);
    }
    let minutes = world.elapsed_ns() / SECONDS / 60;
    evidence.proves(
        2,
        "virtual: no level ever has two orders at the venue, over at least 1,000 regime flips",
        seen.flips >= FLIPS && seen.doubled == 0 && seen.orders >= FLIPS / 2,
        format!(
            "{} flips, {} orders in {minutes} min, {} times doubled",
            seen.flips, seen.orders, seen.doubled
        ),
    );
    for (what, kinds) in [("withheld", &WITHHELD[..]), ("lost", &LOST), ("late", &LATE)] {
        let acted = acted(&world, kinds);
        let claim = format!("virtual: acknowledgments and requests {what} meanwhile");
        evidence.proves(1, &claim, acted >= ACTED, format!("{acted} times"));
    }
    let stops = seen.stops;
    evidence.claim("virtual: nothing stops it for good", stops == 0, format!("{stops} stops"));
    // What was withheld is found once nothing goes wrong any more.
    let healed = LONGEST_NS + 120 * SECONDS;
    let left = if stage.withheld() { 0 } else { healed.saturating_sub(world.elapsed_ns()) };
    lives(&mut world, &mut seen, left);
    ended(&mut world, &mut seen, evidence, 0, "regime flips");
}

/// More orders are wanted than may rest: the cap is reached, and one more is never there.
fn capped(stage: &Stage, evidence: &mut Evidence) {
    let mut params = stage.policy.with(DEEP);
    let cap = params.max_active_executors().min(CAP_MAX);
    assert!(params.set(at::max_active_executors, cap.cast_signed()), "within its range");
    let block = Block::default();
    let mut world = World::new(world_of(stage, &params, 8, faults(CALM_NS, CAPPED_NS)), &block);
    let mut seen = Seen::new();
    lives(&mut world, &mut seen, CALM_NS);
    while world.elapsed_ns() < CAPPED_NS {
        for ppm in [1_000_000 + JUMP_PPM, 1_000_000 - JUMP_PPM] {
            world.move_price(SYMBOL, ppm);
            lives(&mut world, &mut seen, JUMP_EVERY_NS);
        }
    }
    evidence.proves(
        3,
        "virtual: with 16 orders wanted as many rest as the cap allows, and never one more",
        seen.most as u64 == cap && seen.doubled == 0,
        format!("cap {cap}, at most {} rest; {} orders", seen.most, seen.orders),
    );
    evidence.proves(
        3,
        "virtual: while acknowledgments are withheld, lost and late",
        acted(&world, &[&WITHHELD[..], &LOST, &LATE].concat()) >= ACTED,
        format!("{} faults", world.counts().total()),
    );
}
