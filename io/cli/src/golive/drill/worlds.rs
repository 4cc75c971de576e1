//! Drills under virtual time: the program and the venue in one thread, with the configuration's
//! parameters, and what is judged of them at the venue.

use std::collections::{BTreeMap, BTreeSet};

use keel_core::command::{CommandView, PAGE_VALUES};
use keel_core::event::ClientId;
use keel_core::guard::GuardState;
use keel_core::param::{Params, VALUES};
use keel_core::regime::Regime;
use keel_core::status::Key;
use keel_core::units::{MonoNanos, Quote};
use keel_io::journal::TapKind;
use keel_io::world::{FaultKind, FaultPlan, Note, World, WorldConfig};
use keel_net::bitget::client::Instance;
use keel_sim::order::OrderId;

use super::{Evidence, Stage};

/// The contract that is traded.
pub(super) const SYMBOL: &str = "BTCUSDT";

/// A world of an engine with these parameters, and with the stage's defect.
pub(super) fn world_of(
    stage: &Stage,
    params: &Params,
    seed: u64,
    faults: FaultPlan,
) -> WorldConfig {
    let params = (0..VALUES).map(|at| (at, params.values()[at])).collect();
    let planted = stage.planted();
    let faults = if stage.withheld() { FaultPlan::NONE } else { faults };
    WorldConfig { params, faults, planted, ..WorldConfig::calm(seed) }
}

/// What was seen at the venue and on the way there.
#[derive(Debug)]
pub(super) struct Seen {
    instance: Instance,
    /// Sides and levels of orders, as they were given.
    levels: BTreeMap<ClientId, (usize, u8)>,
    sight: Option<(usize, Option<OrderId>)>,
    /// The newest process.
    pub(super) epoch: u32,
    /// Processes that have died, with the journal whole or not.
    pub(super) deaths: u64,
    /// Processes of which orders have rested.
    pub(super) quoted: BTreeSet<u32>,
    /// Processes that found orders of earlier ones at the venue.
    pub(super) found: BTreeSet<u32>,
    /// Looks at which an order of an earlier process rested beside one of the newest.
    pub(super) orphaned: u64,
    /// Looks at which two orders rested on one level.
    pub(super) doubled: u64,
    /// Most orders that rested.
    pub(super) most: usize,
    /// Turns of the regime, by the status of each second, and the newest.
    pub(super) flips: u64,
    pub(super) regime: Regime,
    /// Orders that were given.
    pub(super) orders: u64,
    /// Stops for good.
    pub(super) stops: u64,
    /// The day's opening equity that each process has gone by.
    pub(super) opened: BTreeMap<u32, Quote>,
}

impl Seen {
    pub(super) fn new() -> Self {
        Self {
            instance: Instance::parse("world").expect("a plain name"),
            levels: BTreeMap::new(),
            sight: None,
            epoch: 0,
            deaths: 0,
            quoted: BTreeSet::new(),
            found: BTreeSet::new(),
            orphaned: 0,
            doubled: 0,
            most: 0,
            flips: 0,
            regime: Regime::NeutralLowVol,
            orders: 0,
            stops: 0,
            opened: BTreeMap::new(),
        }
    }

    /// Looks at the world after a moment at which anything happened.
    pub(super) fn look(&mut self, world: &mut World<'_>) {
        for noted in world.take_notes() {
            match noted.note {
                Note::Started(epoch) => (self.epoch, self.sight) = (epoch, None),
                Note::Died => self.deaths += 1,
                Note::Tap(tap) if tap.kind == TapKind::Command => {
                    if let Ok(command) = CommandView::decode(&tap.slot) {
                        self.command(&command);
                    }
                }
                _ => {}
            }
        }
        if let Some(open) = world.engine().and_then(|engine| engine.account().day_open) {
            self.opened.entry(self.epoch).or_insert(open);
        }
        let account = world.exchange().venue().account(world.account());
        let orders = account.open_orders();
        let sight = (orders.size_hint().0, account.open_orders().next_back());
        if self.sight.replace(sight) != Some(sight) {
            self.resting(world);
        }
    }

    fn command(&mut self, command: &CommandView) {
        match command {
            CommandView::Place(spec) => {
                self.orders += 1;
                self.levels.insert(spec.client, (spec.intent.side.index(), spec.intent.level));
            }
            CommandView::StatusPage(page) if usize::from(page.page) == REGIME / PAGE_VALUES => {
                let told = usize::try_from(page.values[REGIME % PAGE_VALUES]).ok();
                let told = told.and_then(|place| Regime::ALL.get(place)).copied();
                let regime = told.unwrap_or(self.regime);
                self.flips += u64::from(regime != self.regime);
                self.regime = regime;
            }
            CommandView::GuardChanged(change) if change.to == GuardState::HardStop => {
                self.stops += 1;
            }
            _ => {}
        }
    }

    /// What rests at the venue.
    fn resting(&mut self, world: &World<'_>) {
        let venue = world.exchange().venue();
        let open = venue.account(world.account()).open_orders();
        let (mut now, mut before) = (0, 0);
        let mut levels = BTreeSet::new();
        let mut twice = false;
        for order in open.filter_map(|id| venue.order(id)) {
            let client = self.instance.read(order.client_id.as_bytes());
            if client.epoch != self.epoch {
                before += 1;
                continue;
            }
            now += 1;
            twice |= self.levels.get(&client).is_some_and(|&level| !levels.insert(level));
        }
        self.doubled += u64::from(twice);
        self.most = self.most.max(now);
        self.orphaned += u64::from(now > 0 && before > 0);
        if now > 0 {
            self.quoted.insert(self.epoch);
        }
        if before > 0 {
            self.found.insert(self.epoch);
        }
    }
}

/// Goes on for so long.
pub(super) fn lives(world: &mut World<'_>, seen: &mut Seen, ns: u64) {
    let until = world.now().after(ns);
    lives_until(world, seen, until);
}

/// Goes on to `until`.
pub(super) fn lives_until(world: &mut World<'_>, seen: &mut Seen, until: MonoNanos) {
    world.run_until(until, |world| seen.look(world));
}

/// Stops the world in order: nothing rests, and what is booked is what the venue has, once.
pub(super) fn ended(
    world: &mut World<'_>,
    seen: &mut Seen,
    evidence: &mut Evidence,
    place: usize,
    what: &str,
) {
    world.stop();
    lives(world, seen, STOP_NS);
    let account = world.exchange().venue().account(world.account());
    let left = account.open_orders().count();
    let claim = format!("virtual, {what}: an ordered stop leaves no order at the venue");
    evidence.claim(&claim, world.has_stopped() && left == 0, format!("{left} rest"));
    let mut theirs: Vec<u64> = account.fills().iter().map(|fill| fill.trade.0).collect();
    let mut ours: Vec<u64> = world.booked().iter().map(|booked| booked.trade_id).collect();
    theirs.sort_unstable();
    ours.sort_unstable();
    evidence.proves(
        place,
        &format!("virtual, {what}: no execution is lost or doubled"),
        ours == theirs && !theirs.is_empty(),
        format!("{} booked, {} at the venue", ours.len(), theirs.len()),
    );
}

/// How often faults of these kinds have acted.
pub(super) fn acted(world: &World<'_>, kinds: &[FaultKind]) -> u64 {
    kinds.iter().map(|&kind| world.counts().of(kind)).sum()
}

/// The regime's place in the status.
const REGIME: usize = Key::regime as usize;
/// What an ordered stop may take.
const STOP_NS: u64 = 30 * keel_core::units::SECONDS;
