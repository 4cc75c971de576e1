//! Bitget's V3 (unified account) side of the wire, sans-IO.
//!
//! [`Exchange`] owns the venue and its market and speaks HTTP and WebSocket to any number of
//! clients: bytes in, bytes out, time as an argument. It opens no socket and encrypts nothing;
//! whoever hosts it does. It reads the wire by itself and shares no code with the client side of
//! this project, so that a misreading of the protocol shows as a quarrel between the two.
//!
//! One kind of connection serves clients: REST requests, and upgrades at `/v3/ws/public` and
//! `/v3/ws/private`. The other one is the administration ([`ConnKind::Admin`]).

mod admin;
mod auth;
mod clock;
mod config;
mod conn;
mod endpoint;
mod entry;
#[cfg(test)]
mod faulty;
mod feed;
mod hall;
mod http;
mod late;
#[cfg(test)]
mod limits;
mod outbound;
mod params;
mod reject;
mod rest_account;
mod rest_market;
mod rest_position;
mod rest_strategy;
mod rest_trade;
mod rest_user;
#[cfg(test)]
mod scripted;
mod session;
mod shape;
mod text;
mod topic;
#[cfg(test)]
mod users;
mod window;
mod ws;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use keel_core::units::UnixNanos;
use rand::SeedableRng;
use rand_pcg::Pcg64Mcg;
use tungstenite::Utf8Bytes;

pub use self::auth::permission_words;
use self::clock::Clock;
pub use self::config::{AccountPlan, ExchangeConfig, Limits};
use self::conn::Conn;
pub use self::feed::Cadence;
use self::feed::Feed;
use self::hall::Hall;
use self::late::{Late, LateQueue};
use self::rest_strategy::StrategyPush;
use self::shape::{FastFill, FillPush, OrderPush};
use self::topic::{Hub, Private, Topic};
use self::window::Windows;
use crate::account::{Account, ApiKey, NewAccount};
use crate::event::VenueEvent;
use crate::fault::{self, Fault, FaultId, Faults};
use crate::market::{Market, Settings};
use crate::order::Fill;
use crate::venue::Venue;

/// A connection to the exchange. Numbers are never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConnId(pub u64);

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnKind {
    /// REST, and after an upgrade the public or the private WebSocket, as the path says.
    Api,
    /// The administration. The host serves it on loopback only.
    Admin,
}

/// The whole exchange.
#[derive(Debug)]
pub struct Exchange {
    hall: Hall,
    conns: BTreeMap<ConnId, Conn>,
    opened: u64,
    /// Connections with something to send, or to close.
    ready: BTreeSet<ConnId>,
    events: Vec<VenueEvent>,
    /// When accounts are pushed next without a cause.
    accounts_due: UnixNanos,
    clock: Clock,
}

impl Exchange {
    /// An exchange with its contracts and accounts. The same config, seed and calls give the same
    /// bytes.
    ///
    /// # Panics
    /// When the planned accounts share a name or a uid, or a deposit is not positive.
    pub fn new(config: ExchangeConfig, seed: u64, now: UnixNanos) -> Self {
        let mut random = Pcg64Mcg::seed_from_u64(seed);
        let mut venue = Venue::new(now);
        venue.set_fund(config.insurance);
        let market = Market::open(&mut venue, &Settings::new(seed), now);
        for plan in &config.accounts {
            let new = NewAccount { name: plan.name.clone(), uid: plan.uid, parent: None };
            let account = venue.open_account(new, now);
            venue.set_fees(account, None, plan.fees).expect("fees that can be set");
            venue.deposit(account, plan.deposit, now).expect("a deposit that can be made");
            let contracts: Vec<_> = venue.instruments().iter().map(|i| i.id).collect();
            for (id, leverage) in contracts.into_iter().zip(plan.leverage.into_iter().cycle()) {
                venue.set_leverage(account, id, leverage, now).expect("leverage that can be set");
            }
            let key = auth::drawn_key(plan.permissions, plan.ips.clone(), &mut random, now);
            venue.add_key(account, key);
        }
        let feeds = venue
            .instruments()
            .iter()
            .map(|i| Feed::new(i.id, config.cadence, config.checksum))
            .collect();
        let hall = Hall {
            config,
            venue,
            market,
            windows: Windows::default(),
            hub: Hub::default(),
            feeds,
            directions: BTreeMap::new(),
            faults: Faults::new(seed),
            late: LateQueue::default(),
            maintenance: Vec::new(),
            advance_ns: 0,
            turn: None,
            speed_e8: keel_core::units::E8,
            revoked: Vec::new(),
            unserved: Vec::new(),
            random,
        };
        Self {
            hall,
            conns: BTreeMap::new(),
            opened: 0,
            ready: BTreeSet::new(),
            events: Vec::new(),
            accounts_due: UnixNanos(now.0 + ACCOUNT_PUSH_NS),
            clock: Clock::new(now),
        }
    }

    /// The venue's truth.
    pub fn venue(&self) -> &Venue {
        &self.hall.venue
    }

    /// The venue, to be changed from outside; call [`Exchange::step`] after that.
    pub fn venue_mut(&mut self) -> &mut Venue {
        &mut self.hall.venue
    }

    /// Accounts with their keys.
    pub fn keys(&self) -> impl Iterator<Item = (&Account, &ApiKey)> {
        let venue = &self.hall.venue;
        venue.accounts().iter().flat_map(|a| venue.keys(a.id).map(move |key| (a, key)))
    }

    /// Puts a fault in force.
    pub fn inject(&mut self, fault: Fault, now: UnixNanos) -> FaultId {
        let now = self.time(now);
        let id = self.hall.faults.inject(fault);
        self.enforce(now);
        id
    }

    /// Lets the market of every contract but these stand still: what nobody looks at need not move.
    pub fn keep_moving(&mut self, symbols: &[&str]) {
        let hall = &mut self.hall;
        for contract in hall.venue.instruments() {
            if !symbols.contains(&contract.rules.symbol.as_str()) {
                hall.market.still(contract.id);
            }
        }
    }

    /// Moves the price of a contract to so many millionths of what it is, as `/admin/price` does.
    /// False when there is no such contract, or it stands still.
    pub fn move_price(&mut self, symbol: &str, to_ppm: u32, now: UnixNanos) -> bool {
        let hall = &mut self.hall;
        let Some(instrument) = hall.venue.find(symbol) else { return false };
        hall.market.move_price(&mut hall.venue, instrument, to_ppm, now)
    }

    /// Whether orders are taken on the private WebSocket.
    pub fn takes_websocket_orders(&self) -> bool {
        self.hall.config.websocket_orders
    }

    /// Takes orders on the private WebSocket from now on, or refuses them there.
    pub fn take_websocket_orders(&mut self, take: bool) {
        self.hall.config.websocket_orders = take;
    }

    /// Takes a fault out of force; false when it was not. What a stall without an end has held
    /// back is sent.
    pub fn clear_fault(&mut self, id: FaultId, now: UnixNanos) -> bool {
        let now = self.time(now);
        let found = self.hall.faults.clear(id);
        self.hall.late.release(now);
        self.send_late(now);
        found
    }

    /// Removes a key; whoever is logged in with it is cut off. False when there was none.
    pub fn revoke_key(&mut self, key: &str, now: UnixNanos) -> bool {
        let now = self.time(now);
        self.hall.revoked.push(key.to_owned());
        let found = self.hall.venue.revoke_key(key);
        self.enforce(now);
        found
    }

    /// The faults that have not been cleared.
    pub fn faults(&self) -> &Faults {
        &self.hall.faults
    }

    /// Takes a new connection from `peer`; none when there are too many, and the host closes it.
    pub fn open(&mut self, kind: ConnKind, peer: IpAddr, now: UnixNanos) -> Option<ConnId> {
        let now = self.time(now);
        let limits = &self.hall.config.limits;
        let of_peer = self.conns.values().filter(|conn| conn.peer == peer).count();
        if self.conns.len() >= limits.connections_max || of_peer >= limits.connections_per_address {
            return None;
        }
        let id = ConnId(self.opened);
        self.opened += 1;
        self.conns.insert(id, Conn::new(id, kind, peer, now));
        Some(id)
    }

    /// Takes bytes that a client sent, and does what they ask. Bytes for a connection that is gone
    /// or closing are dropped.
    pub fn receive(&mut self, conn: ConnId, bytes: &[u8], now: UnixNanos) {
        let (caller, now) = (now, self.time(now));
        let Some(mut taken) = self.conns.remove(&conn) else { return };
        if !taken.is_closing() {
            taken.receive(bytes, &mut self.hall, now);
        }
        self.conns.insert(conn, taken);
        self.ready.insert(conn);
        self.enforce(now);
        self.publish(now);
        self.obey(caller, now);
    }

    /// Takes it that a client will send no more. The connection closes once it has been answered
    /// what it has asked.
    pub fn end(&mut self, conn: ConnId, now: UnixNanos) {
        let now = self.time(now);
        let Some(mut taken) = self.conns.remove(&conn) else { return };
        taken.end(&mut self.hall, now);
        self.conns.insert(conn, taken);
        self.ready.insert(conn);
        self.publish(now);
    }

    /// Bytes to be sent to a client.
    pub fn transmit(&self, conn: ConnId) -> &[u8] {
        self.conns.get(&conn).map_or(&[], Conn::outbound)
    }

    /// Notes that the first `n` bytes of [`Exchange::transmit`] were sent.
    pub fn sent(&mut self, conn: ConnId, n: usize) {
        if let Some(conn) = self.conns.get_mut(&conn) {
            conn.sent(n);
        }
    }

    /// Whether the host should close the connection once what [`Exchange::transmit`] gives is sent.
    pub fn is_closing(&self, conn: ConnId) -> bool {
        self.conns.get(&conn).is_none_or(Conn::is_closing)
    }

    /// Forgets a connection.
    pub fn close(&mut self, conn: ConnId) {
        self.ready.remove(&conn);
        let Some(taken) = self.conns.remove(&conn) else { return };
        for topic in taken.topics() {
            self.hall.hub.leave(topic, conn);
        }
    }

    /// Moves the connections that have had something new to send, or to close, since the last call
    /// to the end of `out`.
    pub fn drain_ready(&mut self, out: &mut Vec<ConnId>) {
        out.extend(std::mem::take(&mut self.ready));
    }

    /// When [`Exchange::step`] is next needed.
    pub fn deadline(&self) -> UnixNanos {
        let hall = &self.hall;
        let feeds = hall.feeds.iter().filter_map(|feed| feed.deadline(&hall.hub));
        let conns = self.conns.values().filter_map(|conn| conn.deadline(hall));
        let settled = hall.venue.deadline();
        let late = hall.late.deadline();
        let maintained = hall.maintenance_due(hall.venue.now());
        let always = match hall.unserved.is_empty() {
            true => self.accounts_due.min(hall.market.deadline()),
            false => hall.venue.now(),
        };
        let due = feeds.chain(conns).chain(settled).chain(late).chain(maintained);
        let first = due.min().map_or(always, |first| first.min(always));
        self.clock.caller_at(first)
    }

    /// Lets time pass to `now`: the market moves, the venue settles, pushes go out, clients that
    /// have been silent or slow for too long are cut off.
    pub fn step(&mut self, now: UnixNanos) {
        let (caller, now) = (now, self.time(now));
        self.step_to(now);
        self.obey(caller, now);
    }

    /// The venue's time when its caller's is `now`.
    fn time(&self, now: UnixNanos) -> UnixNanos {
        self.clock.time(now)
    }

    /// Moves time, or changes how it runs, as the administration has asked.
    fn obey(&mut self, caller: UnixNanos, now: UnixNanos) {
        if self.hall.advance_ns > 0 {
            self.advance(now);
        }
        if let Some(turn) = self.hall.turn.take() {
            self.clock.turn(turn, caller);
            self.hall.speed_e8 = self.clock.speed_e8();
        }
    }

    /// Moves the venue's time ahead as the administration has asked, in strides, so that fundings
    /// and candles on the way are as they would have been; the market leaps from stride to stride.
    fn advance(&mut self, now: UnixNanos) {
        let ahead_ns = std::mem::take(&mut self.hall.advance_ns);
        let end = UnixNanos(now.0 + ahead_ns);
        let mut at = now;
        while at < end {
            at = UnixNanos((at.0 + ADVANCE_STRIDE_NS).min(end.0));
            // Nobody could have said anything meanwhile; what ends by its age ends.
            self.conns.values_mut().for_each(|conn| conn.heard(at));
            self.step_to(at);
            self.hall.venue.touch_candles(at);
        }
        self.clock.skip(ahead_ns);
    }

    fn step_to(&mut self, now: UnixNanos) {
        self.hall.venue.advance(now);
        self.hall.maintain(now);
        self.hall.market.step(&mut self.hall.venue, now);
        self.send_late(now);
        self.enforce(now);
        self.serve(now);
        for (id, conn) in &mut self.conns {
            if conn.deadline(&self.hall).is_some_and(|deadline| deadline <= now) {
                conn.step(&self.hall, now);
                self.ready.insert(*id);
            }
        }
        self.publish(now);
        if now >= self.accounts_due {
            self.accounts_due = UnixNanos(now.0 + ACCOUNT_PUSH_NS);
            self.push_accounts(now);
        }
    }

    /// Answers more of the requests that had to wait for the next turn.
    fn serve(&mut self, now: UnixNanos) {
        for id in std::mem::take(&mut self.hall.unserved) {
            let Some(mut conn) = self.conns.remove(&id) else { continue };
            conn.serve(&mut self.hall, now);
            self.conns.insert(id, conn);
            self.ready.insert(id);
        }
    }

    /// Pushes what happened at the venue to those who listen.
    fn publish(&mut self, now: UnixNanos) {
        let mut events = std::mem::take(&mut self.events);
        self.hall.venue.drain(&mut events);
        for event in events.drain(..) {
            self.publish_one(&event, now);
        }
        self.events = events;
        let mut pushes = Vec::new();
        let Hall { feeds, venue, hub, .. } = &mut self.hall;
        for feed in feeds {
            feed.step(venue, hub, now, |topic, text| pushes.push((topic, text)));
        }
        for (topic, text) in pushes {
            self.send(topic, text, now);
        }
    }

    fn publish_one(&mut self, event: &VenueEvent, now: UnixNanos) {
        let hall = &mut self.hall;
        match event {
            VenueEvent::Order(order) => {
                let topic = Topic::Private(order.account, Private::Order);
                if hall.hub.listens(topic) {
                    let symbol = &hall.venue.instrument(order.instrument).rules.symbol;
                    let row = OrderPush::of(order, symbol);
                    let text = feed::push("snapshot", topic, &hall.venue, [row], now);
                    self.send(topic, text, now);
                }
            }
            VenueEvent::Fill(fill) => self.publish_fill(fill, now),
            VenueEvent::Position(view) => {
                hall.note_direction(view);
                let topic = Topic::Private(view.account, Private::Position);
                if hall.hub.listens(topic) {
                    let row = hall.position_push(view);
                    let text = feed::push("snapshot", topic, &hall.venue, [row], now);
                    self.send(topic, text, now);
                }
            }
            VenueEvent::Account(view) => {
                let topic = Topic::Private(view.account, Private::Account);
                if hall.hub.listens(topic) {
                    let row = shape::AccountPush::of(view);
                    let text = feed::push("snapshot", topic, &hall.venue, [row], now);
                    self.send(topic, text, now);
                }
            }
            VenueEvent::Trade(print) => hall.feeds[print.instrument.index()].printed(*print),
            VenueEvent::Level(level) => hall.feeds[level.instrument.index()].book_changed(),
            VenueEvent::Ticker(id) | VenueEvent::Rules(id) => {
                hall.feeds[id.index()].ticker_changed();
            }
            VenueEvent::Liquidation(liquidation) => {
                if hall.hub.listens(Topic::Liquidations) {
                    let text = feed::liquidation_push(liquidation, &hall.venue, now);
                    self.send(Topic::Liquidations, text, now);
                }
            }
            VenueEvent::Adl(reduced) => {
                let topic = Topic::Private(reduced.account, Private::Adl);
                if hall.hub.listens(topic) {
                    let text = feed::adl_push(reduced, topic, &hall.venue, now);
                    self.send(topic, text, now);
                }
            }
            VenueEvent::Strategy(order) => {
                let topic = Topic::Private(order.account, Private::Strategy);
                if hall.hub.listens(topic) {
                    let symbol = &hall.venue.instrument(order.instrument).rules.symbol;
                    let row = StrategyPush::of(order, symbol);
                    let text = feed::push("snapshot", topic, &hall.venue, [row], now);
                    self.send(topic, text, now);
                }
            }
            // It shows as a bill, in the position and in the account, which have events of their
            // own.
            VenueEvent::Funding(_) => {}
        }
    }

    fn publish_fill(&mut self, fill: &Fill, now: UnixNanos) {
        let venue = &self.hall.venue;
        let symbol = &venue.instrument(fill.instrument).rules.symbol;
        let fast = Topic::Private(fill.account, Private::FastFill);
        let full = Topic::Private(fill.account, Private::Fill);
        let hub = &self.hall.hub;
        let fast_text = hub
            .listens(fast)
            .then(|| feed::push("snapshot", fast, venue, FastFill::of(fill, symbol), now));
        let full_text = hub
            .listens(full)
            .then(|| feed::push("snapshot", full, venue, [FillPush::of(fill, symbol)], now));
        for (topic, text) in [(fast, fast_text), (full, full_text)] {
            if let Some(text) = text {
                self.send(topic, text, now);
            }
        }
    }

    /// Accounts are pushed every few seconds without a cause (reference §16).
    fn push_accounts(&mut self, now: UnixNanos) {
        let topics: Vec<Topic> = self.hall.hub.topics().collect();
        for topic in topics {
            if let Topic::Private(account, Private::Account) = topic {
                let text = self.hall.account_push(account, now);
                self.send(topic, text, now);
            }
        }
    }

    fn send(&mut self, topic: Topic, text: String, now: UnixNanos) {
        let text = Utf8Bytes::from(text);
        let bytes_max = self.hall.config.limits.outbound_bytes_max;
        let account = match topic {
            Topic::Private(account, _) => Some(account),
            _ => None,
        };
        let Hall { hub, faults, late, .. } = &mut self.hall;
        for id in hub.of(topic) {
            let Some(conn) = self.conns.get_mut(&id) else { continue };
            let fate = faults.push(topic.word(), account, now);
            let mut text = text.clone();
            if let Some(damage) = fate.damage {
                let mut damaged = text.to_string();
                fault::damage(&mut damaged, damage);
                text = damaged.into();
            }
            let at = late.in_order(id, topic, fate.at, now);
            for _ in 0..fate.copies {
                match (fate.cut, conn.session()) {
                    (true, Some(session)) => session.cut(text.clone()),
                    _ if at > now => late.push(at, Late::Text(id, text.clone())),
                    _ => conn.push(text.clone(), bytes_max),
                }
            }
            self.ready.insert(id);
        }
    }

    /// Sends and works what was late and is due.
    fn send_late(&mut self, now: UnixNanos) {
        let bytes_max = self.hall.config.limits.outbound_bytes_max;
        while let Some(late) = self.hall.late.take(now) {
            let (id, conn) = match late {
                Late::Call(place, call) => {
                    self.hall.work_late(place, *call, now);
                    continue;
                }
                Late::Cancel(order) => {
                    self.hall.venue.cancel_withheld(order, now);
                    continue;
                }
                Late::Text(id, text) => {
                    if let Some(conn) = self.conns.get_mut(&id) {
                        conn.push(text, bytes_max);
                    }
                    self.ready.insert(id);
                    continue;
                }
                Late::Answer(id, ..) | Late::Frame(id, ..) => (id, self.conns.remove(&id)),
            };
            match (late, conn) {
                (Late::Answer(_, bytes, keep_alive), Some(mut conn)) => {
                    conn.answer_late(&bytes, keep_alive, &mut self.hall, now);
                    self.conns.insert(id, conn);
                    self.ready.insert(id);
                }
                (Late::Frame(_, caller, frame), conn) => {
                    let mut conn = conn;
                    let name = conn.as_mut().and_then(Conn::session).map(|s| s.name().to_owned());
                    let name = name.unwrap_or_default();
                    let answer = session::worked(
                        *frame,
                        caller,
                        &name,
                        session::Half::Neither,
                        &mut self.hall,
                        now,
                    );
                    if let Some(mut conn) = conn {
                        conn.push(answer.into(), bytes_max);
                        self.conns.insert(id, conn);
                        self.ready.insert(id);
                    }
                }
                _ => {}
            }
        }
    }

    /// Ends the WebSockets that may no longer be: of keys that are gone, and all while the door is
    /// shut.
    fn enforce(&mut self, now: UnixNanos) {
        let gone = std::mem::take(&mut self.hall.revoked);
        let shut = self.hall.faults.is_shut(now);
        if !shut && gone.is_empty() {
            return;
        }
        for (id, conn) in &mut self.conns {
            if let Some(session) = conn.session()
                && (shut || gone.iter().any(|key| key == session.key()))
            {
                session.end();
                self.ready.insert(*id);
            }
        }
    }
}

/// A stride of time that is moved ahead, nanoseconds.
const ADVANCE_STRIDE_NS: i64 = 60_000_000_000;
/// How often accounts are pushed without a cause, nanoseconds.
const ACCOUNT_PUSH_NS: i64 = 5_000_000_000;
