//! A life: one world from its start through its faults to an ordered stop.

use std::collections::BTreeMap;
use std::panic::{self, AssertUnwindSafe};

use keel_core::instrument::Symbol;
use keel_core::param::{Profile, Row, TABLE, at};
use keel_core::units::{E8, MILLIS, SECONDS};
use keel_io::clock::ORIGIN;
use keel_io::memory::Block;
use keel_io::world::{
    Chance, Counts, FaultKind, FaultPlan, Noted, PlannedFault, World, WorldConfig,
};

use super::coverage::Coverage;
use super::oracle::{Oracles, Violation};
use super::tally::again;

/// What a life is made of.
#[derive(Clone, Debug)]
pub struct Life {
    /// The world.
    pub world: WorldConfig,
    /// How long it is watched after the last fault.
    pub tail_ns: u64,
    /// Tell of it as it goes, on standard error.
    pub trace: bool,
}

/// How a life went.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Its seed.
    pub seed: u64,
    /// One number over everything that happened.
    pub hash: String,
    /// What went wrong in the world.
    pub counts: Counts,
    /// Which faults met which states of orders.
    pub coverage: Coverage,
    /// How long it lasted.
    pub simulated_ns: u64,
    /// What it took of a processor.
    pub cpu_ns: u64,
    /// Orders that reached the wire.
    pub orders: u64,
    /// Executions of own orders at the venue.
    pub fills: u64,
    /// Executions whose fee could not be known.
    pub fees_unknown: u64,
    /// Books frames that reached the product whole, by symbol.
    pub frames: BTreeMap<String, u64>,
    /// Hard stops that had a cause.
    pub hard_stops: u64,
    /// What the oracles saw.
    pub violations: Vec<Violation>,
}

/// Why a life is no part of a simulated day: it had too few of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Short {
    /// Books frames of some instrument: at least ten a second.
    Frames,
    /// Executions of own orders: at least one a minute.
    Fills,
    /// Faults: at least a hundred a day.
    Faults,
}

impl Short {
    /// All.
    pub const ALL: [Self; 3] = [Self::Frames, Self::Fills, Self::Faults];

    /// What was missing, for people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Frames => "fewer than 10 books frames a second of an instrument",
            Self::Fills => "fewer than 1 own fill a minute",
            Self::Faults => "fewer than 100 faults a day",
        }
    }
}

impl Outcome {
    /// Why it does not count as a part of a simulated day; `None` when it does.
    pub fn short(&self) -> Option<Short> {
        let too_few = |count: u64, each_ns: u64| count.saturating_mul(each_ns) < self.simulated_ns;
        let frames = self.frames.values().copied().min().unwrap_or(0);
        if too_few(frames, SECONDS / 10) {
            Some(Short::Frames)
        } else if too_few(self.fills, 60 * SECONDS) {
            Some(Short::Fills)
        } else {
            too_few(self.counts.total(), 864 * SECONDS).then_some(Short::Faults)
        }
    }

    /// I-38: the same life, lived again, was the same.
    pub fn compare(&mut self, again: &Self) {
        if self.hash != again.hash {
            let what = format!("lived twice: {} and {}", self.hash, again.hash);
            self.violations.push(Violation { invariant: "I-38", at_ns: self.simulated_ns, what });
        }
    }

    /// What the oracles saw, and how to see it again.
    pub fn report(&self) -> String {
        let mut text = format!("seed {}: {}\n", self.seed, again(self.seed));
        for violation in &self.violations {
            text += &format!("  {violation}\n");
        }
        text
    }
}

impl Life {
    /// The life that a seed draws.
    pub fn drawn(seed: u64) -> Self {
        let mut chance = Chance::new(seed, 100);
        let mut world = WorldConfig::calm(seed);
        world.profile = if chance.one_in(8) { Profile::Wide } else { Profile::Touch };
        if chance.one_in(3) {
            world.symbols = vec![symbol("BTCUSDT"), symbol("ETHUSDT")];
        }
        world.exchange.checksum = chance.one_in(4);
        // Some lives see the turn of a UTC day.
        world.began.0 += chance.below(86_400 * SECONDS) as i64;
        if chance.one_in(8) {
            let day = 86_400 * SECONDS as i64;
            world.began.0 += day - world.began.0 % day - 30 * SECONDS as i64;
        }
        // Tight limits, so that they bind.
        let position = chance.pick(&[30, 200, 2_000, 2_000]);
        world.params =
            vec![(at::max_position_quote, position * E8), (at::cancel_pause_s, 5 * SECONDS as i64)];
        // A shut edge gate probes within the time in which a quote is waited for.
        world.params.push((at::edge_probe_after_s, 10 * SECONDS as i64));
        if chance.one_in(8) {
            // Some lives lose more than they may, on the day or from their peak, and stop for good.
            let limit = chance.pick(&[at::max_daily_loss_pct_hard, at::max_drawdown_pct_hard]);
            world.params.push((limit, chance.between(10, 2_000) as i64));
            world.params.push((at::max_position_quote, 2_000 * E8));
            set_all(&mut world.params, &["size_pct_min", "size_pct_max"], |_| E8 / 50);
        }
        if world.profile == Profile::Wide && !chance.one_in(4) {
            quote_near(&mut world.params);
        }
        let tail_ns = enter_orders(&mut world, seed);
        // The pace that the venue has documented since 2026, within what it was measured at.
        world.exchange.cadence.books_ns = 75 * MILLIS as i64;
        world.exchange.cadence.ticker_ns = chance.pick(&[100, 300]) * MILLIS as i64;
        let faults_ns = chance.between(60, 120) * SECONDS;
        // In some lives one fault meets another, in others each meets a product at work.
        let most_ns = chance.pick(&[4 * SECONDS, 30 * SECONDS]);
        let every_ns = chance.between(500 * MILLIS, most_ns);
        let is_drawn = |kind: &FaultKind| *kind != FaultKind::FalsePositions;
        let kinds: Vec<_> = FaultKind::ALL.iter().copied().filter(is_drawn).collect();
        world.faults = FaultPlan::drawn(&mut chance, &kinds, every_ns, 8 * SECONDS, faults_ns);
        fill_parts(&mut world, seed);
        if Chance::new(seed, 103).one_in(16) {
            world.params.push((at::foreign_orders, FOREIGN_HALTS));
        }
        if chance.one_in(32) {
            world.faults = FaultPlan::NONE;
        }
        speak_falsely(&mut world.faults, seed);
        Self { world, tail_ns, trace: false }
    }

    /// The same life with the faults at `places` of its plan alone.
    ///
    /// # Panics
    /// When there is no such place.
    pub fn only(&self, places: &[usize]) -> Self {
        let mut life = self.clone();
        life.world.faults = self.world.faults.only(places);
        life
    }

    /// A life of the same seed in which nothing goes wrong.
    pub fn calm(seed: u64) -> Self {
        let mut life = Self::drawn(seed);
        life.world.faults = FaultPlan::NONE;
        life
    }
}

/// In half of the lives, by the seed, orders have a size that has parts, and a part of one is taken
/// a moment before every other fault: what comes then meets an order that is partly executed.
fn fill_parts(world: &mut WorldConfig, seed: u64) {
    let mut chance = Chance::new(seed, 102);
    if chance.one_in(2) {
        return;
    }
    world.params.push((at::max_position_quote, 2_000 * E8));
    set_all(&mut world.params, &["size_pct_min", "size_pct_max"], |_| E8 / 100);
    let faults = &mut world.faults.faults;
    for place in 0..faults.len() {
        if chance.one_in(2) {
            let before_ns = chance.between(5 * MILLIS, 300 * MILLIS);
            let at_ns = faults[place].at_ns.saturating_sub(before_ns);
            let kind = FaultKind::PartFill;
            faults.push(PlannedFault { at_ns, kind, seed: chance.draw() });
        }
    }
    faults.sort_by_key(|fault| fault.at_ns);
}

/// In one of 24 lives, by the seed, positions are told falsely from a moment on.
fn speak_falsely(plan: &mut FaultPlan, seed: u64) {
    let mut chance = Chance::new(seed, 104);
    if chance.one_in(24) && !plan.faults.is_empty() {
        let at_ns = chance.between(20 * SECONDS, plan.until_ns);
        let kind = FaultKind::FalsePositions;
        plan.faults.push(PlannedFault { at_ns, kind, seed: chance.draw() });
        plan.faults.sort_by_key(|fault| fault.at_ns);
    }
}

/// Lets the profile `wide`, with its levels and sizes, quote where it is filled within minutes: as
/// near as `touch` does.
fn quote_near(params: &mut Vec<(usize, i64)>) {
    let near = [
        "spread_min",
        "spread_max",
        "fill_factor",
        "drift_penalty_multiplier",
        "vol_penalty_multiplier",
        "min_net_edge_bps",
        "edge_resume_bps",
        "min_side_offset_bps",
    ];
    set_all(params, &near, |spec| spec.touch[0]);
}

/// Gives every value of the keys of these names.
fn set_all(params: &mut Vec<(usize, i64)>, names: &[&str], value: impl Fn(&Row) -> i64) {
    for row in TABLE.iter().filter(|row| names.contains(&row.name)) {
        params.extend((0..row.touch.len()).map(|i| (row.at + i, value(row))));
    }
}

/// By the seed, orders are entered on the socket, over REST, or as the venue lets them. Gives how
/// long the life is watched after its last fault.
fn enter_orders(world: &mut WorldConfig, seed: u64) -> u64 {
    let (auto, websocket, rest) = (0, 1, 2);
    let way = match Chance::new(seed, 101).below(8) {
        0 => rest,
        place @ (1 | 2) => {
            world.exchange.websocket_orders = place == 2;
            auto
        }
        _ => websocket,
    };
    world.params.push((at::order_entry, way));
    if way == websocket { TAIL_NS } else { TAIL_REST_NS }
}

/// Lives a life under all oracles. A panic is a violation.
pub fn live(life: &Life) -> Outcome {
    live_watched(life, &mut |_| None)
}

/// Lives a life under all oracles and one more, which sees what somebody in the middle sees.
pub fn live_watched(life: &Life, watch: &mut dyn FnMut(&Noted) -> Option<Violation>) -> Outcome {
    let began = cpu_ns();
    let lived = panic::catch_unwind(AssertUnwindSafe(|| live_once(life, watch)));
    let mut outcome = lived.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let word = panic.downcast_ref::<&str>().map(ToString::to_string);
        let what = text.or(word).unwrap_or_default();
        let violation = Violation { invariant: "I-33", at_ns: 0, what: format!("panic: {what}") };
        Outcome { violations: vec![violation], ..Outcome::default() }
    });
    outcome.seed = life.world.seed;
    outcome.cpu_ns = cpu_ns() - began;
    outcome
}

fn live_once(life: &Life, watch: &mut dyn FnMut(&Noted) -> Option<Violation>) -> Outcome {
    let block = Block::default();
    let mut world = World::new(life.world.clone(), &block);
    let mut oracles = Oracles::new(&world, life.trace, watch);
    let healed = ORIGIN.after(life.world.faults.until_ns.max(10 * SECONDS));
    world.run_until(healed, |world| oracles.look(world));
    oracles.healed(world.now());
    world.run_until(healed.after(life.tail_ns), |world| oracles.look(world));
    oracles.quiet(&world);
    world.stop();
    world.run_until(world.now().after(STOP_NS), |world| oracles.look(world));
    oracles.stopped(&mut world);
    let outcome = Outcome {
        hash: world.hash(),
        counts: world.counts().clone(),
        simulated_ns: world.elapsed_ns(),
        ..Outcome::default()
    };
    oracles.into_outcome(outcome)
}

/// Processor time of this thread, in nanoseconds; 0 where the system does not tell.
fn cpu_ns() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|ns| ns.parse().ok()).unwrap_or(0)
}

fn symbol(name: &str) -> Symbol {
    Symbol::parse(name.as_bytes()).expect("a name")
}

/// The policy that an order of somebody else's on the account stops for good.
pub(super) const FOREIGN_HALTS: i64 = 1;
/// After the last fault: the longest hold-down (a cancel episode's pause, 5 s here), the zombie
/// window of 3 s, and 10 s; then some seconds of quoting.
const TAIL_NS: u64 = 30 * SECONDS;
/// The same where a create may still appear for 35 s.
pub const TAIL_REST_NS: u64 = 65 * SECONDS;
/// An ordered stop takes this long at most: the engine gives up after 15 s and says so.
const STOP_NS: u64 = 20 * SECONDS;
