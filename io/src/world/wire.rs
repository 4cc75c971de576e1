//! Wires: the venue, and the connections to it, which carry bytes in segments that take their time.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr};

use keel_core::units::{MILLIS, MonoNanos, SECONDS, UnixNanos};
use keel_net::proto::{self, Protocol};
use keel_sim::bitget::{ConnId, ConnKind, Exchange};
use keel_sim::fault::{Fault, Scope};

use super::chance::Chance;
use super::fault::{Counts, FaultKind, Route, Standings};
use super::frames::{Piece, Splitter};
use super::tamper::{Fate, Tamper};
use super::trail::Trail;
use super::{MICROS, Note, Noted};
use crate::clock::ORIGIN;

/// The venue and all connections to it.
pub(super) struct Net {
    exchange: Exchange,
    /// What befalls single messages.
    pub(super) tamper: Tamper,
    /// What somebody in the middle saw.
    pub(super) notes: Vec<Noted>,
    /// What went wrong so far.
    pub(super) counts: Counts,
    /// Everything that was sent and everything that arrived, with whatever else the world adds.
    pub(super) trail: Trail,
    wires: Wires,
    by_conn: BTreeMap<ConnId, WireId>,
    opened: u64,
    chance: Chance,
    began: UnixNanos,
    /// Routes to which something came since the last call of [`Net::take_touched`].
    touched: [bool; Route::ALL.len()],
    ready: Vec<ConnId>,
    due: Vec<WireId>,
    /// When the venue has something to do; `None` when it was touched since that was asked.
    venue_due: Option<MonoNanos>,
    /// Slowness of each route, until when.
    spikes: [(u64, MonoNanos); Route::ALL.len()],
}

/// A connection. Numbers are never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct WireId(pub(super) u64);

/// Connections in the order of their numbers: a handful, gone through at every moment.
#[derive(Default)]
struct Wires(Vec<(WireId, Wire)>);

/// Which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// To the venue.
    Up,
    /// From the venue.
    Down,
}

struct Wire {
    route: Route,
    chance: Chance,
    /// When the venue takes it; `None` once it has.
    connects: Option<MonoNanos>,
    conn: Option<ConnId>,
    up: Pipe,
    down: Pipe,
    /// Bytes that have come and that the client has not taken.
    inbox: VecDeque<u8>,
    /// The client has seen the end; whether it was clean.
    ended: Option<bool>,
    /// The client has gone.
    left: bool,
}

/// One direction of a connection.
#[derive(Default)]
struct Pipe {
    splitter: Splitter,
    queue: VecDeque<Segment>,
    base_ns: u64,
    /// Nothing arrives before the one before it.
    last: MonoNanos,
    stalled_until: MonoNanos,
    /// Nothing goes in any more.
    shut: bool,
}

struct Segment {
    at: MonoNanos,
    what: What,
}

enum What {
    /// Nothing, where a text was that does not come as it was.
    Spoiled(Vec<u8>),
    /// Bytes, and the text that they complete, for who watches; true when nothing was done to it.
    Bytes(Vec<u8>, Option<(Vec<u8>, bool)>),
    /// The end; whether it is clean.
    End(bool),
}

impl Net {
    /// Nothing is connected to `exchange`, whose time is `began` at the begin of the world.
    pub(super) fn new(
        exchange: Exchange,
        began: UnixNanos,
        chance: Chance,
        tamper: Tamper,
    ) -> Self {
        Self {
            exchange,
            tamper,
            notes: Vec::new(),
            counts: Counts::default(),
            trail: Trail::new(),
            wires: Wires::default(),
            by_conn: BTreeMap::new(),
            opened: 0,
            chance,
            began,
            touched: [false; Route::ALL.len()],
            ready: Vec::new(),
            due: Vec::new(),
            venue_due: None,
            spikes: [(0, MonoNanos::ZERO); Route::ALL.len()],
        }
    }

    /// The venue's time at `now`.
    pub(super) fn utc(&self, now: MonoNanos) -> UnixNanos {
        UnixNanos(self.began.0 + now.since(ORIGIN) as i64)
    }

    /// The venue.
    pub(super) fn exchange(&self) -> &Exchange {
        &self.exchange
    }

    /// When something arrives or the venue has something to do.
    pub(super) fn due(&mut self) -> MonoNanos {
        let first = self.venue_due().min(self.tamper.due());
        self.wires.0.iter().map(|(_, wire)| wire).map(Wire::due).fold(first, MonoNanos::min)
    }

    /// When the venue has something to do. Asking it is dear, so its answer is kept.
    fn venue_due(&mut self) -> MonoNanos {
        let (exchange, began) = (&self.exchange, self.began);
        *self.venue_due.get_or_insert_with(|| {
            let after = exchange.deadline().0 - began.0;
            ORIGIN.after(u64::try_from(after).unwrap_or(0))
        })
    }

    /// The venue, to be changed.
    pub(super) fn exchange_mut(&mut self) -> &mut Exchange {
        self.venue_due = None;
        &mut self.exchange
    }

    /// Lets the venue act and everything arrive that is due.
    pub(super) fn step(&mut self, now: MonoNanos) {
        if self.venue_due() <= now {
            let utc = self.utc(now);
            self.exchange_mut().step(utc);
        }
        for (id, bytes) in self.tamper.release(now) {
            self.release(id, &bytes, now);
        }
        let mut due = std::mem::take(&mut self.due);
        due.extend(self.wires.0.iter().filter(|(_, wire)| wire.due() <= now).map(|(id, _)| *id));
        due.drain(..).for_each(|id| self.advance(id, now));
        self.due = due;
        self.serve(now);
        let is_over = |w: &Wire| w.left && w.conn.is_none() && w.connects.is_none();
        if self.wires.0.iter().map(|(_, wire)| wire).any(is_over) {
            self.wires.0.retain(|(_, wire)| !is_over(wire));
        }
    }

    /// What was held back goes on. A request over REST that its client no longer waits for has left
    /// it long ago: it is worked all the same, and nobody hears the answer.
    fn release(&mut self, id: WireId, bytes: &[u8], now: MonoNanos) {
        let is_open = self.wires.get(id).is_some_and(|wire| !wire.up.shut && wire.conn.is_some());
        if is_open || !bytes.starts_with(b"POST ") {
            return self.put(id, Way::Up, bytes, None, now);
        }
        let utc = self.utc(now);
        self.hash(id, Way::Up, bytes, now);
        if let Some(conn) = self.exchange_mut().open(ConnKind::Api, PEER, utc) {
            self.exchange.receive(conn, bytes, utc);
            self.exchange.close(conn);
        }
    }

    /// Sends what the venue has to say on its way. To be called after anything was done to the
    /// venue.
    pub(super) fn serve(&mut self, now: MonoNanos) {
        let mut ready = std::mem::take(&mut self.ready);
        self.exchange.drain_ready(&mut ready);
        if !ready.is_empty() {
            self.venue_due = None;
        }
        for conn in ready.drain(..) {
            let Some(&id) = self.by_conn.get(&conn) else { continue };
            let bytes = self.exchange.transmit(conn).to_vec();
            self.exchange.sent(conn, bytes.len());
            self.send(id, Way::Down, &bytes, now);
            if self.exchange.is_closing(conn) {
                self.exchange.close(conn);
                self.by_conn.remove(&conn);
                if let Some(wire) = self.wires.get_mut(id) {
                    wire.conn = None;
                }
                self.end(id, Way::Down, true, now);
            }
        }
        self.ready = ready;
    }

    /// Begins a connection.
    pub(super) fn connect(&mut self, route: Route, now: MonoNanos) -> WireId {
        let id = WireId(self.opened);
        self.opened += 1;
        let base_ns = self.chance.between(100 * MICROS, 4 * MILLIS);
        // TCP and TLS take two to three round trips.
        let takes = self.chance.between(4 * base_ns, 7 * base_ns) + self.slowness(route, now);
        let pipe = || Pipe { base_ns, ..Pipe::default() };
        let wire = Wire {
            route,
            chance: Chance::new(self.chance.draw(), 0),
            connects: Some(now.after(takes)),
            conn: None,
            up: pipe(),
            down: pipe(),
            inbox: VecDeque::new(),
            ended: None,
            left: false,
        };
        self.wires.0.push((id, wire));
        id
    }

    /// True once TCP and TLS are established.
    pub(super) fn is_connected(&self, id: WireId) -> bool {
        self.wires.get(id).is_some_and(|wire| wire.connects.is_none())
    }

    /// True once the client has seen the end.
    pub(super) fn is_ended(&self, id: WireId) -> bool {
        self.wires.get(id).is_none_or(|wire| wire.ended.is_some() && wire.inbox.is_empty())
    }

    /// Moves bytes both ways between `protocol` and its connection; 1 when any moved.
    pub(super) fn pump(
        &mut self,
        id: WireId,
        protocol: &mut impl Protocol,
        now: MonoNanos,
    ) -> usize {
        let Some(wire) = self.wires.get_mut(id).filter(|wire| wire.connects.is_none()) else {
            return 0;
        };
        let mut moved = 0;
        while !wire.inbox.is_empty() {
            let (front, _) = wire.inbox.as_slices();
            let taken = proto::receive(protocol, front, now);
            if taken == 0 {
                break;
            }
            wire.inbox.drain(..taken);
            moved = 1;
        }
        if let (Some(clean), true) = (wire.ended, wire.inbox.is_empty()) {
            protocol.closed(clean, now);
        }
        let bytes = protocol.transmit().to_vec();
        if !bytes.is_empty() {
            protocol.sent(bytes.len(), now);
            self.send(id, Way::Up, &bytes, now);
            moved = 1;
        }
        moved
    }

    /// The client drops a connection: what it has sent still arrives, and then its end.
    pub(super) fn leave(&mut self, id: WireId, now: MonoNanos) {
        if let Some(wire) = self.wires.get_mut(id) {
            wire.left = true;
            wire.inbox.clear();
            if wire.connects.take().is_none() {
                self.end(id, Way::Up, false, now);
            }
        }
    }

    /// Routes to which something came since the last call.
    pub(super) fn take_touched(&mut self) -> [bool; Route::ALL.len()] {
        std::mem::take(&mut self.touched)
    }

    /// True while a connection of `route` is up and nothing holds it back, nor the venue's door.
    pub(super) fn is_calm(&self, route: Route, now: MonoNanos) -> bool {
        let is_shut = self.exchange.faults().is_shut(self.utc(now));
        !is_shut
            && self.live(route).is_some_and(|id| {
                let wire = &self.wires.at(id);
                let flows = |pipe: &Pipe| {
                    pipe.stalled_until <= now && pipe.last <= now.after(LATE_NS) && !pipe.shut
                };
                wire.ended.is_none() && flows(&wire.up) && flows(&wire.down)
            })
            && self.slowness(route, now) == 0
    }
}

/// What goes wrong with whole connections. Each says whether there was one to do it to.
impl Net {
    /// Breaks a connection: what is on its way is lost, or all but a part of it.
    pub(super) fn cut(&mut self, route: Route, chance: &mut Chance, now: MonoNanos) -> bool {
        let Some(id) = self.live(route) else { return false };
        let whole_up = chance.one_in(2);
        let part = chance.one_in(2);
        let notices = chance.between(0, 50 * MILLIS);
        let share = chance.between(1, 100);
        let wire = self.wires.get_mut(id).expect("a live wire");
        if !whole_up {
            wire.up.queue.clear();
        }
        let first = wire.down.queue.pop_front();
        wire.down.queue.clear();
        if let (true, Some(Segment { what: What::Bytes(mut bytes, text), .. })) = (part, first) {
            let whole = bytes.len();
            bytes.truncate((whole * share as usize / 100).max(1));
            let text = text.filter(|_| bytes.len() == whole);
            wire.down.queue.push_back(Segment { at: now, what: What::Bytes(bytes, text) });
        }
        (wire.up.stalled_until, wire.down.stalled_until) = (MonoNanos::ZERO, MonoNanos::ZERO);
        self.end(id, Way::Down, false, now);
        self.end(id, Way::Up, false, now.after(notices));
        self.touched[route as usize] = true;
        true
    }

    /// Holds everything back that moves one way, until then.
    pub(super) fn stall(&mut self, route: Route, ways: &[Way], until: MonoNanos) -> bool {
        let Some(id) = self.live(route) else { return false };
        for way in ways {
            let pipe = self.wires.get_mut(id).expect("a live wire").pipe(*way);
            pipe.stalled_until = pipe.stalled_until.max(until);
        }
        true
    }

    /// Makes a route slow until then.
    pub(super) fn spike(&mut self, route: Route, by_ns: u64, until: MonoNanos) {
        self.spikes[route as usize] = (by_ns, until);
    }

    /// Puts a fault of the venue itself in force until then.
    pub(super) fn inject(&mut self, fault: Fault, until: MonoNanos, now: MonoNanos) {
        let [now, until] = [now, until].map(|at| self.utc(at));
        self.exchange_mut().inject(Fault { until: Some(until), ..fault }, now);
    }

    fn live(&self, route: Route) -> Option<WireId> {
        let live = |wire: &Wire| {
            wire.route == route && wire.conn.is_some() && wire.ended.is_none() && !wire.left
        };
        self.wires.0.iter().find(|(_, wire)| live(wire)).map(|(id, _)| *id)
    }

    fn slowness(&self, route: Route, now: MonoNanos) -> u64 {
        let (by_ns, until) = self.spikes[route as usize];
        if now < until { by_ns } else { 0 }
    }
}

/// How bytes move.
impl Net {
    /// Cuts bytes into messages, lets happen to each what is to happen, and sends them on their
    /// way.
    fn send(&mut self, id: WireId, way: Way, bytes: &[u8], now: MonoNanos) {
        let Some(wire) = self.wires.get_mut(id) else { return };
        let route = wire.route;
        wire.pipe(way).splitter.push(bytes);
        self.hash(id, way, bytes, now);
        while let Some(piece) = self.wires.get_mut(id).and_then(|w| w.pipe(way).splitter.next()) {
            if let (Way::Up, Some(text)) = (way, piece.text()) {
                self.note(Note::Sent { route, text: text.to_vec() }, now);
            }
            let fate = self.tamper.decide(id, route, way, &piece, now);
            self.meet(id, way, &piece, fate, now);
        }
    }

    fn meet(&mut self, id: WireId, way: Way, piece: &Piece, fate: Fate, now: MonoNanos) {
        let text = piece.text().map(<[u8]>::to_vec);
        let route = self.wires.at(id).route;
        let mut tell = |kind: Option<FaultKind>| {
            if let Some(kind) = kind {
                self.counts.count(kind);
                let standings = Standings::default();
                let note = Note::Fault { kind, route: Some(route), standings };
                self.notes.push(Noted { at: now, note });
            }
        };
        tell(fate.kind());
        if let (Some(kind), Some(text)) = (fate.kind(), &text)
            && kind.spoils()
        {
            let pipe = self.wires.get_mut(id).expect("it was there").pipe(way);
            let (at, what) = (pipe.last.max(now.after(pipe.base_ns)), What::Spoiled(text.clone()));
            pipe.last = at;
            pipe.queue.push_back(Segment { at, what });
        }
        match fate {
            Fate::Pass => self.put(id, way, piece.bytes(), text.map(|text| (text, true)), now),
            Fate::Worked(_, act, name) => {
                self.put(id, way, piece.bytes(), text.map(|text| (text, true)), now);
                let on = Scope { name: Some(name), ..Scope::ALL };
                let once = Fault { on, times: Some(1), ..Fault::always(act) };
                self.inject(once, now.after(ARRIVES_NS), now);
            }
            Fate::Gone(_) => {}
            Fate::Others(_, others) => {
                for (bytes, text, sound) in others {
                    self.put(id, way, &bytes, text.map(|text| (text, sound)), now);
                }
            }
            Fate::Otherwise((bytes, text, sound)) => {
                self.put(id, way, &bytes, text.map(|text| (text, sound)), now);
            }
            Fate::Answered(_, answer) => {
                let text = Some((answer.clone(), false));
                self.put(id, Way::Down, &answer, text, now.after(2 * MILLIS));
            }
            Fate::Broken(_, part) => {
                self.put(id, way, &part, None, now);
                self.end(id, way, false, now);
            }
        }
    }

    /// Puts bytes into a pipe, in one segment or several.
    fn put(
        &mut self,
        id: WireId,
        way: Way,
        bytes: &[u8],
        text: Option<(Vec<u8>, bool)>,
        now: MonoNanos,
    ) {
        let Some(wire) = self.wires.get_mut(id) else { return };
        if wire.pipe(way).shut || bytes.is_empty() {
            return;
        }
        let slow = self.slowness(self.wires.at(id).route, now);
        let wire = self.wires.get_mut(id).expect("it was there");
        let mut left = bytes;
        let mut text = text;
        while !left.is_empty() {
            let chance = &mut wire.chance;
            let size = match chance.below(24) {
                0 => chance.between(1, left.len() as u64) as usize,
                1 if left.len() <= 64 => 1,
                _ => left.len(),
            };
            let (head, rest) = left.split_at(size.min(SEGMENT_BYTES_MAX).min(left.len()));
            left = rest;
            let jitter = chance.between(0, 300 * MICROS);
            let pipe = wire.pipe(way);
            let at = pipe.last.max(now.after(pipe.base_ns + jitter + slow));
            pipe.last = at;
            let completes = if left.is_empty() { text.take() } else { None };
            pipe.queue.push_back(Segment { at, what: What::Bytes(head.to_vec(), completes) });
        }
    }

    /// Puts the end into a pipe; nothing follows it.
    fn end(&mut self, id: WireId, way: Way, clean: bool, now: MonoNanos) {
        let Some(wire) = self.wires.get_mut(id) else { return };
        let pipe = wire.pipe(way);
        if !std::mem::replace(&mut pipe.shut, true) {
            let at = pipe.last.max(now.after(pipe.base_ns));
            pipe.last = at;
            pipe.queue.push_back(Segment { at, what: What::End(clean) });
        }
    }

    fn advance(&mut self, id: WireId, now: MonoNanos) {
        let utc = self.utc(now);
        let Some(wire) = self.wires.get_mut(id) else { return };
        if wire.connects.is_some_and(|at| at <= now) {
            wire.connects = None;
            self.venue_due = None;
            wire.conn = self.exchange.open(ConnKind::Api, PEER, utc);
            self.touched[wire.route as usize] = true;
            match wire.conn {
                Some(conn) => {
                    self.by_conn.insert(conn, id);
                }
                None => wire.ended = Some(false),
            }
        }
        while let Some(segment) = self.wires.get_mut(id).and_then(|wire| wire.up.arrive(now)) {
            let conn = self.wires.at(id).conn;
            self.venue_due = None;
            match (segment, conn) {
                (What::Bytes(bytes, _), Some(conn)) => {
                    self.hash(id, Way::Up, &bytes, now);
                    self.exchange.receive(conn, &bytes, utc);
                }
                (What::End(_), Some(conn)) => {
                    self.exchange.close(conn);
                    self.by_conn.remove(&conn);
                    self.wires.get_mut(id).expect("it was there").conn = None;
                }
                (What::Spoiled(_), _) | (_, None) => {}
            }
        }
        while let Some(segment) = self.wires.get_mut(id).and_then(|wire| wire.down.arrive(now)) {
            let wire = self.wires.get_mut(id).expect("it was there");
            if wire.left {
                continue;
            }
            let route = wire.route;
            self.touched[route as usize] = true;
            match segment {
                What::Bytes(bytes, completes) => {
                    wire.inbox.extend(&bytes);
                    self.hash(id, Way::Down, &bytes, now);
                    if let Some((text, sound)) = completes {
                        self.note(Note::Received { route, text, sound }, now);
                    }
                }
                What::Spoiled(text) => self.note(Note::Spoiled { route, text }, now),
                What::End(clean) => {
                    wire.ended = Some(clean);
                    if self.live(route).is_none() {
                        self.note(Note::Ended { route }, now);
                    }
                }
            }
        }
    }

    fn hash(&mut self, id: WireId, way: Way, bytes: &[u8], now: MonoNanos) {
        let way = [way as u8];
        let parts: [&[u8]; 4] = [&now.0.to_le_bytes(), &id.0.to_le_bytes(), &way, bytes];
        for part in parts {
            self.trail.add(part);
        }
    }

    pub(super) fn note(&mut self, note: Note, now: MonoNanos) {
        self.notes.push(Noted { at: now, note });
    }
}

impl Wires {
    fn get(&self, id: WireId) -> Option<&Wire> {
        self.0.iter().find(|(other, _)| *other == id).map(|(_, wire)| wire)
    }

    fn get_mut(&mut self, id: WireId) -> Option<&mut Wire> {
        self.0.iter_mut().find(|(other, _)| *other == id).map(|(_, wire)| wire)
    }

    /// A connection that is known to be there.
    fn at(&self, id: WireId) -> &Wire {
        self.get(id).expect("a wire")
    }
}

impl Wire {
    fn pipe(&mut self, way: Way) -> &mut Pipe {
        match way {
            Way::Up => &mut self.up,
            Way::Down => &mut self.down,
        }
    }

    fn due(&self) -> MonoNanos {
        self.connects.unwrap_or(MonoNanos::NEVER).min(self.up.due()).min(self.down.due())
    }
}

impl Pipe {
    fn due(&self) -> MonoNanos {
        self.queue.front().map_or(MonoNanos::NEVER, |first| first.at.max(self.stalled_until))
    }

    fn arrive(&mut self, now: MonoNanos) -> Option<What> {
        if self.due() > now {
            return None;
        }
        self.queue.pop_front().map(|segment| segment.what)
    }
}

/// Where the product's connections come from: the embedded venue's keys are bound to loopback.
const PEER: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// What has longer on its way than this is late.
const LATE_NS: u64 = 10 * MILLIS;
/// Within this a request that the venue is to work otherwise reaches it.
const ARRIVES_NS: u64 = 2 * SECONDS;
/// The longest segment: a TLS record's worth.
const SEGMENT_BYTES_MAX: usize = 16 * 1024;
