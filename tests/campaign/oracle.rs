//! Oracles: what must hold at the venue and on the wire, whatever the engine believes.
//!
//! They see the venue's truth, the texts on the wire, and what the engine says it did (which orders
//! the gate let through, which executions are booked); of its reasons they know nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use keel_core::command::{Booked, CommandView};
use keel_core::event::{ClientId, Event};
use keel_core::guard::{GuardState, Reasons};
use keel_core::units::{Lots, MILLIS, MonoNanos, SECONDS, Side};
use keel_io::journal::TapKind;
use keel_io::world::{Note, Route, World};
use keel_net::bitget::client::Instance;
use keel_sim::instrument::InstrumentId;
use keel_sim::order::{Order, PosSide};
use serde_json::Value;

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
pub(super) struct Oracles {
    instance: Instance,
    epoch: u32,
    violations: Vec<Violation>,
    /// Client ids that the gate let through, by text.
    minted: BTreeSet<String>,
    /// Client ids on the wire.
    sent: BTreeSet<String>,
    /// Orders that the engine of this process believes may be live.
    believed: BTreeSet<String>,
    /// Trades that this process has booked.
    booked: BTreeSet<u64>,
    guard: GuardState,
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
    /// When an order that is not ours was first seen at the venue.
    foreign: BTreeMap<String, MonoNanos>,
    /// Since when belief and truth differ about an order.
    differs: BTreeMap<String, MonoNanos>,
    /// Orders that rested when the private connection ended, and when that was.
    orphaned: Vec<(MonoNanos, BTreeSet<String>)>,
    /// Lots that others' orders on the account have had filled, by instrument.
    by_hand: BTreeMap<InstrumentId, i64>,
    fills_seen: usize,
    own_fills: u64,
    /// Books frames that reached the product whole, by symbol.
    frames: BTreeMap<String, u64>,
    /// Executions whose fee is not known (see [`Oracles::ledger`]).
    fees_unknown: u64,
    /// An order has been entered over REST.
    over_rest: bool,
    healed: MonoNanos,
    quoted: MonoNanos,
    silence_ns: u64,
    trace: bool,
}

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

impl Oracles {
    /// Oracles for a world at its begin.
    pub(super) fn new(world: &World) -> Self {
        Self {
            instance: Instance::parse("world").expect("a plain name"),
            epoch: 0,
            violations: Vec::new(),
            minted: BTreeSet::new(),
            sent: BTreeSet::new(),
            believed: BTreeSet::new(),
            booked: BTreeSet::new(),
            guard: GuardState::SoftPause,
            calm: [None; Route::ALL.len()],
            book_at: BTreeMap::new(),
            asks_touch: None,
            touch_at: BTreeMap::new(),
            pong_at: MonoNanos::ZERO,
            torn: BTreeSet::new(),
            foreign: BTreeMap::new(),
            differs: BTreeMap::new(),
            orphaned: Vec::new(),
            by_hand: BTreeMap::new(),
            fills_seen: 0,
            own_fills: 0,
            frames: BTreeMap::new(),
            fees_unknown: 0,
            over_rest: false,
            healed: MonoNanos::NEVER,
            quoted: MonoNanos::ZERO,
            silence_ns: world.params().book_silence_ms(),
            trace: std::env::var_os("KEEL_TRACE").is_some(),
        }
    }

    /// Looks at the world after a moment at which anything happened.
    pub(super) fn look(&mut self, world: &mut World) {
        let notes = world.take_notes();
        for noted in notes {
            self.note(&noted.note, world, noted.at);
        }
        self.watch_routes(world);
        let resting = self.resting(world);
        self.exposure(&resting, world);
        self.crosses(&resting, world);
        self.strangers(&resting, world);
        self.old_quotes(&resting, world);
        self.after_a_cut(&resting, world);
        self.belief(&resting, world);
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
        if self.guard != GuardState::HardStop && now.since(self.quoted) > 5 * SECONDS {
            let since = self.quoted.since(self.healed) / MILLIS;
            let state = self.guard;
            self.fail(
                "liveness",
                format!("no quote rests; {state}; last {since} ms after the last fault"),
                world,
            );
        }
    }

    /// The end of the ordered stop: nothing rests, and everything is booked.
    pub(super) fn stopped(&mut self, world: &mut World) {
        let resting = self.resting(world);
        if !resting.is_empty() {
            let names: Vec<_> = resting.iter().map(|order| order.client.clone()).collect();
            self.fail("I-13", format!("after an ordered stop rest {names:?}"), world);
        }
        if !world.has_stopped() {
            self.fail("liveness", "the ordered stop has not ended".to_owned(), world);
        }
        self.ledger(world);
    }

    /// Orders that reached the wire.
    pub(super) fn orders(&self) -> u64 {
        self.sent.len() as u64
    }

    /// Executions of own orders at the venue.
    pub(super) fn own_fills(&self) -> u64 {
        self.own_fills
    }

    /// Books frames of a symbol that reached the product whole.
    pub(super) fn frames(&self, symbol: &str) -> u64 {
        self.frames.get(symbol).copied().unwrap_or(0)
    }

    /// Executions whose fee was left unknown.
    pub(super) fn fees_unknown(&self) -> u64 {
        self.fees_unknown
    }

    /// What was seen.
    pub(super) fn into_violations(self) -> Vec<Violation> {
        self.violations
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
impl Oracles {
    fn note(&mut self, note: &Note, world: &World, at: MonoNanos) {
        match note {
            Note::Sent { route: Route::Private, text } => self.request(text, world),
            Note::Asked { bytes, .. } => self.asked(bytes, world, at),
            Note::Received { route: Route::Private, text, .. } => self.answer(text, world),
            Note::Received { route: Route::Public, text, sound } => self.book(text, *sound, at),
            Note::Spoiled { route: Route::Public, text } => {
                if let Some(symbol) = book_of(&head(text)) {
                    self.torn.insert(symbol.to_owned());
                }
            }
            Note::Sent { .. } | Note::Received { .. } | Note::Spoiled { .. } => {}
            Note::Ended { route } => {
                self.calm[*route as usize] = None;
                if *route == Route::Private {
                    self.cut(world, at);
                }
            }
            Note::Fault { kind, route } => {
                self.tell(world, || format!("fault {kind:?} {route:?}"));
                self.disturbed(*route);
            }
            Note::Started(epoch) => self.epoch = *epoch,
            Note::Died => {
                self.believed.clear();
                self.booked.clear();
                self.orphaned.clear();
                self.guard = GuardState::SoftPause;
                self.calm = [None; Route::ALL.len()];
            }
            Note::Tap(tap) if tap.kind == TapKind::Command => {
                if let Ok(command) = CommandView::decode(&tap.slot) {
                    self.command(&command, world);
                }
            }
            Note::Tap(tap) => match Event::decode(&tap.slot) {
                Ok(Event::Fill(fill)) if self.trace => {
                    let (id, source) = (fill.trade_id, fill.source);
                    self.tell(world, || format!("fill {id} of {:?} by {source}", fill.client));
                }
                Ok(Event::TouchReport(_)) => self.touch_at.extend(self.asks_touch.take()),
                _ => {}
            },
        }
    }

    fn command(&mut self, command: &CommandView, world: &World) {
        match command {
            CommandView::Place(spec) => {
                let name = self.name(spec.client);
                if !self.minted.insert(name.clone()) {
                    self.fail("I-04", format!("{name} was given twice"), world);
                }
                self.tell(world, || format!("place {name}"));
                self.believed.insert(name);
            }
            CommandView::OrderDone(done) => {
                let name = self.name(done.client);
                self.tell(world, || format!("done {name} {} {}", done.status, done.reason));
                self.believed.remove(&name);
            }
            CommandView::Booked(booked) => self.book_fill(booked, world),
            CommandView::Cancel(cancel) if self.trace && cancel.client.is_own() => {
                let name = self.name(cancel.client);
                self.tell(world, || format!("cancel {name} {}", cancel.cause));
            }
            CommandView::CancelAll(_) => self.tell(world, || "cancel all".to_owned()),
            CommandView::GuardChanged(change) => {
                let (soft, hard) = (Reasons(change.soft), Reasons(change.hard));
                self.tell(world, || format!("guard {} {}", change.to, words(soft.union(hard))));
                if change.to == GuardState::HardStop && self.guard != GuardState::HardStop {
                    let reasons = words(Reasons(change.hard));
                    self.fail("L-4", format!("a stop without a cause: {reasons}"), world);
                }
                self.guard = change.to;
            }
            CommandView::Notice(notice) => {
                self.tell(world, || format!("notice {} {} {}", notice.kind, notice.a, notice.b));
            }
            _ => {}
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

    /// I-03, I-15, I-16: every create on the wire was let through once, is sent once, and is on the
    /// grid.
    fn request(&mut self, text: &[u8], world: &World) {
        let Ok(Value::Object(request)) = serde_json::from_slice(text) else { return };
        if request.get("op").and_then(Value::as_str) != Some("trade") {
            return;
        }
        let topic = request.get("topic").and_then(Value::as_str).unwrap_or_default();
        if !matches!(topic, "place-order" | "batch-place") {
            return;
        }
        let args = request.get("args").and_then(Value::as_array).cloned().unwrap_or_default();
        self.creates(&args, world);
    }

    /// The same over REST.
    fn asked(&mut self, bytes: &[u8], world: &World, at: MonoNanos) {
        let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { return };
        let line = String::from_utf8_lossy(&bytes[..end]).into_owned();
        if let Some(query) = line.strip_prefix("GET /api/v3/market/orderbook?") {
            let symbol = query.split(['&', ' ']).find_map(|pair| pair.strip_prefix("symbol="));
            self.asks_touch = symbol.map(|symbol| (symbol.to_owned(), at));
        }
        if !line.starts_with("POST /api/v3/trade/place-") {
            return;
        }
        self.over_rest = true;
        match serde_json::from_slice(&bytes[end + 4..]) {
            Ok(Value::Array(orders)) => self.creates(&orders, world),
            Ok(order) => self.creates(&[order], world),
            Err(error) => self.fail("I-15", format!("an order is no JSON: {error}"), world),
        }
    }

    fn creates(&mut self, orders: &[Value], world: &World) {
        for order in orders {
            let word = |key: &str| order.get(key).and_then(Value::as_str).unwrap_or_default();
            let name = word("clientOid").to_owned();
            if !self.minted.contains(&name) {
                self.fail("I-16", format!("{name} is on the wire and passed no gate"), world);
            }
            if !self.sent.insert(name.clone()) {
                self.fail("I-03", format!("{name} was sent twice"), world);
            }
            let venue = world.exchange().venue();
            let Some(id) = venue.find(word("symbol")) else { continue };
            let grids = venue.instrument(id).rules.grids;
            for (key, grid) in [("price", grids.price), ("qty", grids.size)] {
                if grid.steps(word(key).as_bytes()).is_err() {
                    self.fail("I-15", format!("{key} {} is off the grid", word(key)), world);
                }
            }
        }
    }

    /// I-15: no order is refused for its numbers.
    fn answer(&mut self, text: &[u8], world: &World) {
        if !text.starts_with(b"{\"event\":\"error\"") && !text.starts_with(b"{\"event\":\"trade\"")
        {
            return;
        }
        let Ok(answer) = serde_json::from_slice::<Value>(text) else { return };
        let code = match answer.get("code") {
            Some(Value::String(code)) => code.clone(),
            Some(code) => code.to_string(),
            None => return,
        };
        let topic = answer.get("topic").and_then(Value::as_str).unwrap_or_default();
        if matches!(topic, "place-order" | "batch-place") && !CODES_CALM.contains(&code.as_str()) {
            let text = String::from_utf8_lossy(text);
            self.fail("I-15", format!("the venue refused an order: {text}"), world);
        }
    }

    fn book(&mut self, text: &[u8], sound: bool, at: MonoNanos) {
        if text == b"pong" {
            self.pong_at = at;
        }
        let head = head(text);
        let Some(symbol) = book_of(&head) else { return };
        *self.frames.entry(symbol.to_owned()).or_default() += 1;
        if sound && head.contains("\"action\":\"snapshot\"") {
            self.torn.remove(symbol);
        }
        if sound && !self.torn.contains(symbol) {
            self.book_at.insert(symbol.to_owned(), at);
        }
    }

    fn disturbed(&mut self, route: Option<Route>) {
        if let Some(route) = route {
            self.calm[route as usize] = None;
        }
    }

    fn watch_routes(&mut self, world: &World) {
        for route in Route::ALL {
            let since = &mut self.calm[route as usize];
            *since = world.is_calm(route).then(|| since.unwrap_or(world.now()));
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

/// What rests at the venue.
impl Oracles {
    /// I-02: position and own orders of one side together stay within the limit. The limit is
    /// money: it is taken at the lower of mark and own price, with half a percent for how far the
    /// mark moves on the way.
    fn exposure(&mut self, resting: &[Resting], world: &World) {
        let venue = world.exchange().venue();
        let limit = i128::from(world.params().max_position_quote().0);
        for contract in venue.instruments() {
            let holding = venue.account(world.account()).holding(contract.id);
            let by_hand = self.by_hand.get(&contract.id).copied().unwrap_or(0);
            let position = holding.position(PosSide::Net).lots.0 - by_hand;
            for side in Side::BOTH {
                let mine = resting.iter().filter(|order| {
                    order.own && order.instrument == contract.id && order.side == side
                });
                let (mut lots, mut price) = (position * side.sign(), contract.marks.mark.0);
                let grids = contract.rules.grids;
                let mut working = false;
                for order in mine {
                    working = true;
                    lots += order.left;
                    let own = i128::from(order.price) * i128::from(grids.price.step) * 100_000_000
                        / pow10(grids.price.scale);
                    price = price.min(own as i64);
                }
                let value =
                    i128::from(price) * i128::from(lots.max(0)) * i128::from(grids.size.step)
                        / pow10(grids.size.scale);
                if working && value * 1_000 > limit * 1_005 {
                    let what = format!("{side} {} lots: {value} of {limit}", Lots(lots).0);
                    self.fail("I-02", what, world);
                }
            }
        }
    }

    /// I-17: no own bid at or above an own ask.
    fn crosses(&mut self, resting: &[Resting], world: &World) {
        for bid in resting.iter().filter(|order| order.own && order.side == Side::Buy) {
            let crossed = resting.iter().any(|ask| {
                ask.own
                    && ask.side == Side::Sell
                    && ask.instrument == bid.instrument
                    && ask.price <= bid.price
            });
            if crossed {
                self.fail("I-17", format!("{} crosses an own ask", bid.client), world);
            }
        }
    }

    /// I-14: what others place on the account is gone soon, while the venue can be reached.
    fn strangers(&mut self, resting: &[Resting], world: &World) {
        let now = world.now();
        let theirs: BTreeSet<&str> = resting
            .iter()
            .filter(|order| !order.own || order.epoch != self.epoch)
            .map(|order| order.client.as_str())
            .collect();
        self.foreign.retain(|client, _| theirs.contains(client.as_str()));
        let reachable = self.entry_calm_for(now).min(self.calm_for(&[Route::Rest], now));
        let mut late = Vec::new();
        for client in theirs {
            let since = *self.foreign.entry(client.to_owned()).or_insert(now);
            if now.since(since).min(reachable) > FOREIGN_NS_MAX {
                late.push(client.to_owned());
            }
        }
        for client in late {
            self.fail("I-14", format!("{client} rests still"), world);
        }
    }

    /// I-18: no quote of this process rests beside a book that has not been shown as it is for
    /// longer than its silence limit, by a frame or by its touch over REST and a pong, while orders
    /// can be ended. Whether that touch is the book's is not judged here. Orders of a process that
    /// died rest until the next one reads of them: nobody watches in between yet.
    fn old_quotes(&mut self, resting: &[Resting], world: &World) {
        let now = world.now();
        let allowed = self.silence_ns + RTT_NS + 100 * MILLIS;
        let reachable = self.entry_calm_for(now);
        let epoch = self.epoch;
        for order in resting.iter().filter(|order| order.own && order.epoch == epoch) {
            let of = |at: &BTreeMap<String, MonoNanos>| at.get(&order.symbol).copied();
            let asked = of(&self.touch_at).map_or(MonoNanos::ZERO, |at| at.min(self.pong_at));
            let shown = of(&self.book_at).map_or(asked, |at| at.max(asked));
            let old = now.since(shown);
            if old > allowed && reachable > old.min(allowed) {
                let what = format!("{} rests, its book is {} ms old", order.client, old / MILLIS);
                self.fail("I-18", what, world);
            }
        }
    }

    /// I-21: what rested when the private connection ended is gone two seconds later, while
    /// cancel-all can be reached.
    fn cut(&mut self, world: &World, at: MonoNanos) {
        let resting = self.resting(world);
        let own = resting.into_iter().filter(|order| order.own && order.epoch == self.epoch);
        self.orphaned.push((at, own.map(|order| order.client).collect()));
    }

    fn after_a_cut(&mut self, resting: &[Resting], world: &World) {
        let now = world.now();
        let reachable = self.calm_for(&[Route::Cancel], now);
        let (due, later): (Vec<_>, Vec<_>) = std::mem::take(&mut self.orphaned)
            .into_iter()
            .partition(|(at, _)| now.since(*at) >= CUT_NS_MAX);
        self.orphaned = later;
        for (at, orders) in due {
            if reachable < now.since(at) {
                continue;
            }
            for order in resting.iter().filter(|order| orders.contains(&order.client)) {
                let what = format!("{} rests {CUT_NS_MAX} ns after a cut", order.client);
                self.fail("I-21", what, world);
            }
        }
    }

    /// I-13: believed live and live are the same set, but for what is on its way.
    fn belief(&mut self, resting: &[Resting], world: &World) {
        let now = world.now();
        let live: BTreeSet<&String> = resting
            .iter()
            .filter(|order| order.own && order.epoch == self.epoch)
            .map(|order| &order.client)
            .collect();
        let believed: BTreeSet<&String> = self.believed.iter().collect();
        let apart: BTreeSet<String> =
            live.symmetric_difference(&believed).map(|name| (*name).clone()).collect();
        self.differs.retain(|name, _| apart.contains(name));
        let reachable = self.calm_for(&[Route::Private, Route::Rest], now);
        let zombie_ns = match self.over_rest {
            true => world.params().zombie_window_rest_ms(),
            false => world.params().zombie_window_ms(),
        };
        let allowed = BELIEF_NS_MAX + zombie_ns;
        let mut wrong = Vec::new();
        for name in apart {
            let is_live = live.contains(&name);
            let since = *self.differs.entry(name.clone()).or_insert(now);
            if now.since(since).min(reachable) > allowed {
                wrong.push((name, is_live));
            }
        }
        for (name, is_live) in wrong {
            let what = if is_live { "is live and not believed so" } else { "is believed live" };
            self.fail("I-13", format!("{name} {what}"), world);
        }
    }
}

/// Executions.
impl Oracles {
    /// I-05: nothing is booked that did not happen, and nothing twice.
    fn book_fill(&mut self, booked: &Booked, world: &World) {
        if !self.booked.insert(booked.trade_id) {
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
    fn ledger(&mut self, world: &World) {
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
                self.fees_unknown += 1;
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
    }

    fn count_fills(&mut self, world: &World) {
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

fn words(reasons: Reasons) -> String {
    let words: Vec<_> = reasons.iter().map(|reason| reason.text()).collect();
    words.join("|")
}

/// How a text begins.
fn head(text: &[u8]) -> String {
    String::from_utf8_lossy(&text[..text.len().min(160)]).into_owned()
}

/// The symbol whose book a text speaks of, by its head.
fn book_of(head: &str) -> Option<&str> {
    let book = head.starts_with("{\"action\"") && head.contains("\"topic\":\"books\"");
    between(head, "\"symbol\":\"", "\"").filter(|_| book)
}

fn between<'t>(text: &'t str, before: &str, after: &str) -> Option<&'t str> {
    let begin = text.find(before)? + before.len();
    let end = text[begin..].find(after)? + begin;
    Some(&text[begin..end])
}

fn pow10(scale: u8) -> i128 {
    10i128.pow(u32::from(scale))
}

/// Violations of one invariant that are kept of a life.
const SHOWN_MAX: usize = 2;
/// Codes that say nothing about an order's numbers: success, rate, a duplicate client id.
const CODES_CALM: [&str; 4] = ["0", "00000", "429", "25212"];
/// The longest round trip that is not a fault, with an agent's own delays.
const RTT_NS: u64 = 50 * MILLIS;
/// The private push tells of a foreign order at once, the list of open orders within `T_rec`.
const FOREIGN_NS_MAX: u64 = 8 * SECONDS;
/// Cancel-all after a cut.
const CUT_NS_MAX: u64 = 2 * SECONDS;
/// Beside the zombie window: `T_rec` 5 s, and 4 s for two sources to be asked.
const BELIEF_NS_MAX: u64 = 9 * SECONDS;
