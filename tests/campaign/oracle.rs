//! Oracles: what must hold at the venue and on the wire, whatever the engine believes.
//!
//! They see the venue's truth, the texts on the wire, and what the engine says it did (which orders
//! the gate let through, which executions are booked); of its reasons they know nothing.

mod money;
mod rates;
mod resting;
mod sync;
mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use keel_core::command::CommandView;
use keel_core::event::{ClientId, Event};
use keel_core::guard::{GuardState, Reasons};
use keel_core::units::{MILLIS, MonoNanos, SECONDS, Side};
use keel_io::journal::TapKind;
use keel_io::world::{FaultKind, Note, Noted, Route, World};
use keel_net::bitget::client::Instance;
use keel_sim::instrument::InstrumentId;
use keel_sim::order::{Order, OrderId};

use super::coverage::Coverage;
use super::life::{FOREIGN_HALTS, Outcome};
use money::Money;
use rates::Rates;
use sync::Sync;

/// Something that must not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which invariant.
    pub invariant: &'static str,
    /// When, in nanoseconds since the world began.
    pub at_ns: u64,
    /// What was seen.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.at_ns / MILLIS;
        write!(f, "{} at {}.{:03} s: {}", self.invariant, ms / 1_000, ms % 1_000, self.what)
    }
}

/// All oracles of one life.
pub(super) struct Oracles<'w> {
    /// One more oracle, of whoever lets the life be lived.
    watch: &'w mut dyn FnMut(&Noted) -> Option<Violation>,
    instance: Instance,
    epoch: u32,
    violations: Vec<Violation>,
    /// Client ids that the gate let through, by text.
    minted: BTreeMap<String, Minted>,
    /// Client ids on the wire.
    sent: BTreeSet<String>,
    /// Orders that the engine of this process believes may be live.
    believed: BTreeSet<String>,
    /// Orders that the engine of this process has declared ended.
    done: BTreeSet<String>,
    guard: GuardState,
    money: Money,
    rates: Rates,
    sync: Sync,
    /// Since when each route has been calm, undisturbed and connected.
    calm: [Option<MonoNanos>; Route::ALL.len()],
    /// When the book of each symbol was last shown as it is.
    book_at: BTreeMap<String, MonoNanos>,
    /// The best bid and ask of this symbol are being asked for over REST, since then; when those of
    /// each were asked for that have come; and when the last pong came.
    asks_touch: Option<(String, MonoNanos)>,
    touch_at: BTreeMap<String, MonoNanos>,
    pong_at: MonoNanos,
    /// Symbols whose chain of frames is broken.
    torn: BTreeSet<String>,
    /// Symbols whose snapshot has come on the connection that is: another one says nothing new.
    whole: BTreeSet<String>,
    /// When an order that is not ours was first seen at the venue.
    foreign: BTreeMap<String, MonoNanos>,
    /// Somebody has placed an order on the account.
    foreign_seen: bool,
    /// Routes on which a request stays without an answer, and nothing behind it is read.
    hangs: [bool; Route::ALL.len()],
    /// When the engine last canceled everything.
    cancel_all_at: MonoNanos,
    /// Since when an own order rests.
    rests: BTreeMap<String, MonoNanos>,
    /// Since when belief and truth differ about an order.
    differs: BTreeMap<String, MonoNanos>,
    /// Orders that rested when the private connection ended, and when that was.
    orphaned: Vec<(MonoNanos, BTreeSet<String>)>,
    /// Lots that others' orders on the account have had filled, by instrument.
    by_hand: BTreeMap<InstrumentId, i64>,
    fills_seen: usize,
    /// Nothing goes wrong in this life.
    is_calm_life: bool,
    /// An order has been entered over REST.
    over_rest: bool,
    /// What was last asked over REST on the way of orders is an order.
    asks_order: bool,
    healed: MonoNanos,
    quoted: MonoNanos,
    silence_ns: u64,
    /// The account's orders and executions when they were last looked at.
    sight: Sight,
    /// Turns by the engine's own clock in a second.
    turns: (u64, u32),
    /// Something was said that bears on what rests.
    stirred: bool,
    looked: MonoNanos,
    coverage: Coverage,
    own_fills: u64,
    /// Books frames that reached the product whole, by symbol.
    frames: BTreeMap<String, u64>,
    trace: bool,
}

/// An order that the gate let through.
#[derive(Clone, Copy, Debug)]
struct Minted {
    /// When.
    at: MonoNanos,
    /// The level of its side that it stands on.
    level: u8,
}

/// What shows that an account's orders or executions have changed: how many are open, the newest
/// of them, how many executions there were.
type Sight = ((usize, Option<usize>), Option<OrderId>, usize);

/// An order of the account as far as oracles care.
struct Resting {
    client: String,
    own: bool,
    epoch: u32,
    instrument: InstrumentId,
    symbol: String,
    side: Side,
    price: i64,
    left: i64,
}

impl<'w> Oracles<'w> {
    /// Oracles for a world at its begin.
    pub(super) fn new(
        world: &World,
        trace: bool,
        watch: &'w mut dyn FnMut(&Noted) -> Option<Violation>,
    ) -> Self {
        Self {
            watch,
            instance: Instance::parse("world").expect("a plain name"),
            epoch: 0,
            violations: Vec::new(),
            minted: BTreeMap::new(),
            sent: BTreeSet::new(),
            believed: BTreeSet::new(),
            done: BTreeSet::new(),
            guard: GuardState::SoftPause,
            money: Money::default(),
            rates: Rates::default(),
            sync: Sync::default(),
            calm: [None; Route::ALL.len()],
            book_at: BTreeMap::new(),
            asks_touch: None,
            touch_at: BTreeMap::new(),
            pong_at: MonoNanos::ZERO,
            torn: BTreeSet::new(),
            whole: BTreeSet::new(),
            foreign: BTreeMap::new(),
            foreign_seen: false,
            hangs: [false; Route::ALL.len()],
            cancel_all_at: MonoNanos::ZERO,
            rests: BTreeMap::new(),
            differs: BTreeMap::new(),
            orphaned: Vec::new(),
            by_hand: BTreeMap::new(),
            fills_seen: 0,
            is_calm_life: world.is_planned_calm(),
            over_rest: false,
            asks_order: false,
            healed: MonoNanos::NEVER,
            quoted: MonoNanos::ZERO,
            silence_ns: world.params().book_silence_ms(),
            sight: Sight::default(),
            turns: (0, 0),
            stirred: true,
            looked: MonoNanos::ZERO,
            coverage: Coverage::default(),
            own_fills: 0,
            frames: world.symbols().iter().map(|name| (name.to_string(), 0)).collect(),
            trace,
        }
    }

    /// Looks at the world after a moment at which anything happened. What rests is judged whenever
    /// it has changed, or what is known of it; and every [`LOOK_NS`], as the clock alone can break
    /// some rules.
    pub(super) fn look(&mut self, world: &mut World) {
        let mut notes = world.take_notes();
        // What the engine gave and the gateway sent at one moment was given before it was sent.
        notes.sort_by_key(|noted| matches!(noted.note, Note::Sent { .. }));
        for noted in notes {
            self.violations.extend((self.watch)(&noted));
            self.note(&noted.note, world, noted.at);
        }
        let account = world.exchange().venue().account(world.account());
        let orders = account.open_orders();
        let sight = (orders.size_hint(), account.open_orders().next_back(), account.fills().len());
        let changed = std::mem::replace(&mut self.sight, sight) != sight;
        let stirred = std::mem::take(&mut self.stirred);
        if !changed && !stirred && world.now().since(self.looked) < LOOK_NS {
            return;
        }
        self.looked = world.now();
        self.watch_routes(world);
        let resting = self.resting(world);
        self.exposure(&resting, world);
        self.crosses(&resting, world);
        self.doubled(&resting, world);
        self.strangers(&resting, world);
        self.old_quotes(&resting, world);
        self.after_a_cut(&resting, world);
        self.belief(&resting, world);
        self.ended(&resting, world);
        self.positions(&resting, world);
        self.contradicted(world);
        self.losses(world);
        self.count_fills(world);
        if resting.iter().any(|order| order.own && order.epoch == self.epoch) {
            self.quoted = world.now();
        }
    }

    /// Nothing goes wrong from here on.
    pub(super) fn healed(&mut self, now: MonoNanos) {
        self.healed = now;
    }

    /// The end of the tail: everything must have settled.
    pub(super) fn quiet(&mut self, world: &World) {
        let now = world.now();
        if let (true, Some(engine)) = (self.trace, world.engine()) {
            eprintln!("{:#?}", engine.account());
        }
        self.wallet(world);
        if self.guard == GuardState::HardStop {
            return;
        }
        let free = self.quoted.max(self.rates.held_until());
        if now.since(free) > QUOTES_NS_MAX {
            let since = self.quoted.since(self.healed) / MILLIS;
            let state = self.guard;
            let what = format!("no quote rests; {state}; last {since} ms after the last fault");
            self.fail("L-1", what, world);
        }
    }

    /// The end of the ordered stop: nothing rests, and everything is booked.
    pub(super) fn stopped(&mut self, world: &mut World) {
        let mut resting = self.resting(world);
        if self.foreign_halts(world) {
            resting.retain(|order| order.own);
        }
        if !resting.is_empty() {
            let names: Vec<_> = resting.iter().map(|order| order.client.clone()).collect();
            self.fail("I-13", format!("after an ordered stop rest {names:?}"), world);
        }
        if !world.has_stopped() {
            self.fail("L-3", "the ordered stop has not ended".to_owned(), world);
        }
        self.ledger(world);
    }

    /// What was seen and counted, beside what the world says.
    pub(super) fn into_outcome(self, outcome: Outcome) -> Outcome {
        Outcome {
            coverage: self.coverage,
            orders: self.sent.len() as u64,
            fills: self.own_fills,
            fees_unknown: self.money.fees_unknown,
            hard_stops: self.money.hard_stops,
            frames: self.frames,
            violations: self.violations,
            ..outcome
        }
    }

    fn fail(&mut self, invariant: &'static str, what: String, world: &World) {
        // The first of each kind tells the story; the rest follows from it.
        if self.violations.iter().filter(|seen| seen.invariant == invariant).count() < SHOWN_MAX {
            self.violations.push(Violation { invariant, at_ns: world.elapsed_ns(), what });
        }
    }

    /// Orders of the account that rest at the venue.
    fn resting(&self, world: &World) -> Vec<Resting> {
        let venue = world.exchange().venue();
        let account = venue.account(world.account());
        let orders = account.open_orders().filter_map(|id| venue.order(id));
        orders.map(|order| self.resting_of(order, world)).collect()
    }

    fn resting_of(&self, order: &Order, world: &World) -> Resting {
        let client = self.instance.read(order.client_id.as_bytes());
        let rules = &world.exchange().venue().instrument(order.instrument).rules;
        Resting {
            client: order.client_id.to_string(),
            own: client.is_own(),
            epoch: client.epoch,
            instrument: order.instrument,
            symbol: rules.symbol.clone(),
            side: order.side,
            price: order.price.0,
            left: order.left().0,
        }
    }
}

/// What is on the wire, and what the engine says.
impl Oracles<'_> {
    fn note(&mut self, note: &Note, world: &World, at: MonoNanos) {
        self.stirred |= !matches!(note, Note::Sent { .. } | Note::Received { .. } | Note::Tap(_));
        match note {
            Note::Sent { route, text } => {
                self.hangs[*route as usize] = false;
                self.sent(*route, text, at, world);
            }
            Note::Received { route, text, sound } => {
                self.received(*route, text, *sound, at);
                self.answer(*route, text, world);
            }
            Note::Spoiled { route: Route::Public, text } => {
                let head = wire::head(text);
                if let Some(symbol) = wire::book_of(head)
                    && !(wire::is_snapshot(head) && self.whole.contains(symbol))
                {
                    self.torn.insert(symbol.to_owned());
                    self.whole.remove(symbol);
                }
            }
            // Nothing is on paper in these lives.
            Note::Spoiled { .. } | Note::Paper(_) => {}
            Note::Ended { route } => {
                self.calm[*route as usize] = None;
                self.sync.ended(*route, at);
                if *route == Route::Public {
                    self.whole.clear();
                }
                if *route == Route::Private {
                    self.cut(world, at);
                }
            }
            Note::Fault { kind, route, standings } => {
                self.coverage.count(*kind, *standings);
                self.foreign_seen |= *kind == FaultKind::ForeignOrder;
                if *kind == FaultKind::FalsePositions {
                    self.money.tell_falsely();
                }
                self.tell(world, || format!("fault {kind:?} {route:?}"));
                self.disturbed(*route, *kind);
            }
            Note::Started(epoch) => self.epoch = *epoch,
            Note::Died => {
                self.believed.clear();
                self.done.clear();
                self.orphaned.clear();
                self.whole.clear();
                self.money.died();
                self.rates.died();
                Route::ALL.into_iter().for_each(|route| self.sync.reset(route));
                self.guard = GuardState::SoftPause;
                self.calm = [None; Route::ALL.len()];
                self.hangs = [false; Route::ALL.len()];
            }
            Note::Tap(tap) if tap.kind == TapKind::Command => {
                if let Ok(command) = CommandView::decode(&tap.slot) {
                    self.command(&command, world);
                }
            }
            Note::Tap(tap) => match Event::decode(&tap.slot) {
                Ok(event) if self.trace && self.heard(&event, world) => {}
                Ok(Event::Timer(_)) => self.turned(world, at),
                Ok(Event::TouchReport(_)) => self.touch_at.extend(self.asks_touch.take()),
                _ => {}
            },
        }
    }

    /// Tells what the engine hears of its orders; false when `event` is no news of them.
    fn heard(&self, event: &Event, world: &World) -> bool {
        match event {
            Event::Fill(fill) => {
                let (id, source) = (fill.trade_id, fill.source);
                self.tell(world, || format!("fill {id} of {:?} by {source}", fill.client));
            }
            Event::OrderUpdate(update) if update.client.is_own() => {
                let (name, status) = (self.name(update.client), update.status);
                self.tell(world, || format!("order {name} {status} by {}", update.source));
            }
            Event::Reply(reply) if reply.client.is_own() => {
                let (name, request) = (self.name(reply.client), reply.request);
                let (outcome, code) = (reply.outcome, reply.code);
                self.tell(world, || format!("reply {name} {request} {outcome} {code}"));
            }
            _ => return false,
        }
        true
    }

    fn command(&mut self, command: &CommandView, world: &World) {
        self.stirred |= !matches!(command, CommandView::StatusPage(_) | CommandView::Query(_));
        match command {
            CommandView::Place(spec) => {
                let name = self.name(spec.client);
                let minted = Minted { at: world.now(), level: spec.intent.level };
                if self.minted.insert(name.clone(), minted).is_some() {
                    self.fail("I-04", format!("{name} was given twice"), world);
                }
                self.tell(world, || format!("place {name}"));
                self.quotes(&name, &spec.intent, world);
                self.quotes_after_a_stop(&name, world);
                self.believed.insert(name);
            }
            CommandView::OrderDone(done) => {
                let name = self.name(done.client);
                self.tell(world, || format!("done {name} {} {}", done.status, done.reason));
                self.believed.remove(&name);
                self.done.insert(name);
            }
            CommandView::Booked(booked) => self.book_fill(booked, world),
            CommandView::Cancel(cancel) if self.trace && cancel.client.is_own() => {
                let name = self.name(cancel.client);
                self.tell(world, || format!("cancel {name} {}", cancel.cause));
            }
            CommandView::Cancel(cancel) if !cancel.client.is_own() && self.foreign_halts(world) => {
                let id = cancel.order_id;
                self.fail("I-14", format!("{id}, which is not ours, is canceled"), world);
            }
            CommandView::CancelAll(_) => {
                self.cancel_all_at = world.now();
                self.tell(world, || "cancel all".to_owned());
            }
            CommandView::GuardChanged(change) => {
                let (soft, hard) = (Reasons(change.soft), Reasons(change.hard));
                self.tell(world, || format!("guard {} {}", change.to, words(soft.union(hard))));
                if change.to == GuardState::HardStop && self.guard != GuardState::HardStop {
                    self.stops(Reasons(change.hard), world);
                }
                self.guard = change.to;
            }
            CommandView::Notice(notice) => {
                self.tell(world, || format!("notice {} {} {}", notice.kind, notice.a, notice.b));
            }
            _ => {}
        }
    }

    /// L-5: what the engine wants a turn for by its own clock is seldom due; a deadline that stays
    /// in the past would have it turn forever, and fill the journal.
    fn turned(&mut self, world: &World, at: MonoNanos) {
        let second = at.0 / SECONDS;
        let count = if self.turns.0 == second { self.turns.1 + 1 } else { 1 };
        self.turns = (second, count);
        if count == TURNS_MAX {
            self.fail("L-5", format!("{count} turns in a second without an event"), world);
        }
    }

    fn tell(&self, world: &World, what: impl Fn() -> String) {
        if self.trace {
            let ms = world.elapsed_ns() / MILLIS;
            eprintln!("{:>4}.{:03} {}", ms / 1_000, ms % 1_000, what());
        }
    }

    fn name(&self, client: ClientId) -> String {
        let mut text = Vec::new();
        self.instance.write(client, &mut text);
        String::from_utf8(text).expect("ids are ASCII")
    }

    /// Orders of others on the account stop the product for good, and are left to their owners.
    fn foreign_halts(&self, world: &World) -> bool {
        world.params().foreign_orders() == FOREIGN_HALTS as u64
    }

    fn disturbed(&mut self, route: Option<Route>, kind: FaultKind) {
        if let Some(route) = route {
            self.calm[route as usize] = None;
            self.hangs[route as usize] |= kind == FaultKind::NoAnswer;
        }
    }

    fn watch_routes(&mut self, world: &World) {
        for route in Route::ALL {
            let since = &mut self.calm[route as usize];
            let calm = world.is_calm(route) && !self.hangs[route as usize];
            *since = calm.then(|| since.unwrap_or(world.now()));
        }
    }

    /// How long orders can have been entered and ended, on whichever way they take.
    fn entry_calm_for(&self, now: MonoNanos) -> u64 {
        let private = self.calm_for(&[Route::Private], now);
        match self.over_rest {
            true => private.min(self.calm_for(&[Route::Cancel, Route::Order], now)),
            false => private,
        }
    }

    fn calm_for(&self, routes: &[Route], now: MonoNanos) -> u64 {
        let since = routes.iter().map(|&route| self.calm[route as usize]);
        since.map(|since| since.map_or(0, |since| now.since(since))).min().unwrap_or(0)
    }
}

fn words(reasons: Reasons) -> String {
    let words: Vec<_> = reasons.iter().map(|reason| reason.text()).collect();
    words.join("|")
}

fn pow10(scale: u8) -> i128 {
    10i128.pow(u32::from(scale))
}

/// Violations of one invariant that are kept of a life.
const SHOWN_MAX: usize = 2;
/// A quote is out by then: a shut edge gate probes after 10 s.
const QUOTES_NS_MAX: u64 = 15 * SECONDS;
/// The longest round trip that is not a fault, with an agent's own delays.
const RTT_NS: u64 = 50 * MILLIS;
/// Turns by the engine's own clock in one second: each level, question and report has its own.
const TURNS_MAX: u32 = 500;
/// How often what rests is judged when nothing has changed; rules of time are in whole seconds.
const LOOK_NS: u64 = 50 * MILLIS;
