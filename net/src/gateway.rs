//! The gateway: private truth in, orders out, and the last hand on the switch.
//!
//! It owns no socket and reads no clock: whoever runs it lends sessions, HTTP connections, the time
//! and a way to stamp. A create is sent at most once; one that could not be sent is answered as not
//! sent. When the engine is gone without having stopped in order, or a private event finds no room,
//! the gateway cancels everything and ends.
//!
//! There are two seats for private sessions. One is in use; a second one is made ready on the other
//! seat before the venue ends the first by age, and takes over once it is live. For a while both
//! deliver, so that nothing is lost between them, and each thing is passed on once.

mod entry;
mod overlap;
mod refusal;
mod sweep;

use keel_core::command::{Cancel, CancelAll, CancelCause, Command, Plain};
use keel_core::event::{
    self, ClientId, Event, FeedState, Health, Measure, Outcome, RejectClass, Reply, RequestKind,
    Stream,
};
use keel_core::gate::{Approved, Intent};
use keel_core::instrument::InstrumentId;
use keel_core::planted::{Defect, Planted};
use keel_core::units::{E8, MILLIS, MonoNanos, Rate, SECONDS, UnixNanos};
use keel_core::words::Words;

use crate::bitget::client::Instance;
use crate::bitget::decode::{Control, Counters, DecodeError, Decoder, Message};
use crate::bitget::encode::{BATCH_MAX, Encoder};
use crate::bitget::rest::Answers;
use crate::bitget::sign::Credentials;
use crate::bitget::topics::{self, Channel, Directory, Subscription};
use crate::dispatch::{Arrival, Dispatch, Sent};
use crate::feed::LinkSink;
use crate::lease::Lease;
use crate::link::{Receiver, Sender};
use crate::proto::http::Client;
use crate::proto::session::{Cause, Incoming, Session, State};
use crate::rate::{Budget, Class, Use};
use crate::stamps::Stamps;
use entry::{Orders, Way, covers};
use overlap::Overlap;
use refusal::Refusals;
use sweep::Sweep;

pub use entry::Choice;

/// Orders and private updates of one account.
pub struct Gateway {
    decoder: Decoder,
    encoder: Encoder,
    http: Http,
    to_engine: Sender<Arrival>,
    commands: Receiver<Dispatch>,
    /// Seats that hold a session, and the one in use.
    held: [bool; 2],
    using: usize,
    turn: Turn,
    overlap: Overlap,
    /// The stream was lost and the engine has not been told.
    lost: bool,
    /// The stream is live, and the engine is to be told once the way in is known.
    came_live: bool,
    connects: u32,
    way: Way,
    /// The engine has been told of the way in.
    way_told: bool,
    /// Cancels of one instrument that go out together.
    cancels: Vec<Cancel>,
    /// When several last shared a message, on this session.
    batch_at: Option<MonoNanos>,
    /// The venue has refused one of those on this session: each goes by itself.
    singly: bool,
    orders: Orders,
    /// A create on the socket may appear for so long after it was sent.
    zombie_ns: u64,
    sweep: Sweep,
    /// Leave to send creates.
    lease: Lease,
    /// Stamps of orders that stand in a connection's buffer.
    unsent: Vec<Sent>,
    ending: Ending,
    /// There is a connection to cancel over.
    can_cancel: bool,
    /// The dead-man has read zero back.
    verified: bool,
    headroom: Rate,
    headroom_at: MonoNanos,
    text: Vec<u8>,
    /// The last create, for defects that send it again: when, and its text.
    kept: Option<(MonoNanos, Vec<u8>)>,
}

/// What is lent to a step: connections, as far as there are any.
#[derive(Debug, Default)]
pub struct Lines<'a> {
    /// Private sessions, by seat.
    pub sessions: [Option<&'a mut Session>; 2],
    /// For cancels over HTTP.
    pub cancel: Option<&'a mut Client>,
    /// For orders, where they are entered over REST.
    pub order: Option<&'a mut Client>,
}

/// What asking over HTTP takes.
struct Http {
    instance: Instance,
    directory: Directory,
    host: String,
    credentials: Credentials,
    answers: Answers,
    budget: Budget,
    /// The venue's time of this step.
    utc: UnixNanos,
    /// What is to be told to the engine.
    replies: Vec<Reply>,
    /// What the venue said of its own switch.
    wound: Option<i64>,
    planted: Planted,
}

/// How far a rotation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// One session.
    Steady,
    /// The next is being made ready on the other seat.
    Making,
    /// The next is in use; the one before still delivers, until then.
    Lingering(MonoNanos),
}

/// How a gateway ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// Not yet.
    Working,
    /// The engine has verified zero; nothing is left to do.
    InOrder,
    /// Everything is being canceled.
    DeadMan {
        /// When it is given up.
        until: MonoNanos,
        /// When everything is canceled once more, for creates that were on their way;
        /// [`MonoNanos::NEVER`] once that has begun.
        again: MonoNanos,
        /// How often in a row the venue has answered that nothing is open.
        zeros: u8,
    },
    /// Everything has been canceled, or could not be in time.
    Over,
}

/// Private channels. `fill` carries what the ledger needs; `fast-fill` would bring the same without
/// a fee.
const CHANNELS: [Channel; 4] = [Channel::Order, Channel::Fill, Channel::Position, Channel::Account];

/// Cancels of one instrument from which on they share a message, whatever the rates. Orders on the
/// socket have one each: they are few, and the name of that topic differs between the venue's
/// documentation and a client.
const BATCH_MIN: usize = 3;

/// An error that names no request and comes this soon after such a message may be its answer.
const BATCH_ANSWER_NS: u64 = SECONDS;

/// Commands taken in a cycle.
const QUOTA: usize = 64;

/// How long the dead-man tries, beyond the time in which a create may still appear.
const DEAD_MAN_NS_MAX: u64 = 7 * SECONDS;

/// How long a create that was on its way on the socket may still appear unless said otherwise: the
/// venue's receive window and a second.
const ZOMBIE_NS: u64 = 3 * SECONDS;

/// Lists in a row that show nothing open before that is believed.
const ZEROS: u8 = 2;

/// How long the session before still delivers once the next is live.
const LINGER_NS: u64 = 2 * SECONDS;

/// The headroom of rates is told this often at most.
const HEADROOM_NS: u64 = SECONDS;

impl Gateway {
    /// A gateway for the engine called `instance`; `host` is the venue's REST host, with its port
    /// where that is not 443. Orders are entered on the socket.
    pub fn new(
        instance: Instance,
        host: &str,
        directory: Directory,
        credentials: Credentials,
        to_engine: Sender<Arrival>,
        commands: Receiver<Dispatch>,
    ) -> Self {
        Self {
            decoder: Decoder::new(instance),
            encoder: Encoder::new(instance, &directory),
            sweep: Sweep::new(directory.len()),
            http: Http {
                instance,
                directory,
                host: host.to_owned(),
                credentials,
                answers: Answers::new(instance, false),
                budget: Budget::new(),
                utc: UnixNanos(0),
                replies: Vec::with_capacity(BATCH_MAX),
                wound: None,
                planted: Planted::NONE,
            },
            to_engine,
            commands,
            held: [false; 2],
            using: 0,
            turn: Turn::Steady,
            overlap: Overlap::new(),
            lost: false,
            came_live: false,
            connects: 0,
            way: Way::Socket,
            way_told: false,
            cancels: Vec::with_capacity(BATCH_MAX),
            batch_at: None,
            singly: false,
            orders: Orders::new(INTENT_TTL_NS, entry::ZOMBIE_REST_NS),
            zombie_ns: ZOMBIE_NS,
            lease: Lease::unshared(),
            unsent: Vec::with_capacity(QUOTA),
            ending: Ending::Working,
            can_cancel: false,
            verified: false,
            headroom: Rate(E8),
            headroom_at: MonoNanos::ZERO,
            text: Vec::with_capacity(4_096),
            kept: None,
        }
    }

    /// The same, committing a defect.
    pub fn with_planted(mut self, planted: Planted) -> Self {
        self.http.planted = planted;
        Self { encoder: self.encoder.with_planted(planted), ..self }
    }

    /// The same, asking the venue to refuse creates that arrive more than `window_ms` (10 to
    /// 60,000) late, which bounds how long one of unknown outcome may still appear.
    pub fn with_receive_window(self, window_ms: u16) -> Self {
        Self { encoder: self.encoder.with_receive_window(window_ms), ..self }
    }

    /// The same, with orders entered as `choice` says; none is sent later than `ttl_ns` after the
    /// engine wanted it. A create may appear for `zombie_ns` after it was sent: on the socket, and
    /// over REST.
    pub fn with_entry(self, choice: Choice, ttl_ns: u64, zombie_ns: [u64; 2]) -> Self {
        let way = match choice {
            Choice::Auto => Way::Unknown { tries: 0, until: MonoNanos::NEVER },
            Choice::WebSocket => Way::Socket,
            Choice::Rest => Way::Rest,
        };
        let [zombie_ns, over_rest] = zombie_ns;
        Self { way, orders: Orders::new(ttl_ns, over_rest), zombie_ns, ..self }
    }

    /// The same, sending creates only while `lease` holds.
    pub fn with_lease(self, lease: Lease) -> Self {
        Self { lease, ..self }
    }

    /// Takes a session over that has just been opened elsewhere: logs in. `utc` is the venue's
    /// time. Beside one in use it is the next, and takes over once it is live.
    ///
    /// # Panics
    /// When the seat is taken.
    pub fn adopt(&mut self, seat: usize, session: &mut Session, utc: UnixNanos, now: MonoNanos) {
        assert!(!self.held[seat], "a seat holds one session");
        self.held[seat] = true;
        self.connects += 1;
        (self.batch_at, self.singly) = (None, false);
        self.overlap.clear();
        if self.held[1 - seat] {
            self.turn = Turn::Making;
        } else {
            (self.using, self.turn) = (seat, Turn::Steady);
        }
        self.http.credentials.login(utc, &mut self.text);
        session.login(&self.text, now);
    }

    /// Says that the session on `seat` has been given back.
    pub fn retire(&mut self, seat: usize) {
        self.held[seat] = false;
        self.turn = Turn::Steady;
        if seat == self.using && self.held[1 - seat] {
            self.using = 1 - seat;
        }
    }

    /// Reads what the sessions have received, sends what the engine wants sent, and cancels over
    /// HTTP.
    pub fn step(
        &mut self,
        lines: Lines<'_>,
        stamp: &impl Fn() -> MonoNanos,
        utc: UnixNanos,
        now: MonoNanos,
    ) -> usize {
        let Lines { mut sessions, cancel, order } = lines;
        self.http.utc = utc;
        self.can_cancel = cancel.as_deref().is_some_and(Client::is_reusable);
        let mut work = 0;
        for seat in [self.using, 1 - self.using] {
            if let Some(session) = sessions[seat].as_deref_mut() {
                work += self.read(seat, session, stamp, now);
                if session.state() == State::Syncing && session.on_synced(now) {
                    if !self.http.planted.has(Defect::LiveBeforeSubscribed) {
                        self.live(seat, now);
                    }
                    self.send_again(session, Defect::CreateResentOnReconnect, now);
                }
                self.send_again(session, Defect::CreateResentOnTimeout, now);
            }
        }
        self.tell_lost(now);
        self.end_rotation(&mut sessions, now);
        self.ask_way(sessions[self.using].as_deref_mut(), now);
        work += self.obey(sessions[self.using].as_deref_mut(), utc, now);
        self.watch(now);
        if let Some(cancel) = cancel {
            work += self.sweep.advance(cancel, &mut self.http, now);
            if let Some(value) = self.http.wound.take() {
                let measure = Measure::Countdown;
                self.tell(Event::Health(Health { measure, value }), now);
            }
        }
        if !self.lease.holds() {
            // What waits for its turn has not been sent, and will not be.
            self.orders.withdraw(|_| true, &mut self.http);
        }
        if self.orders.is_busy() {
            work += self.orders.advance(order, &mut self.http, &mut self.unsent, now);
        }
        self.tell_replies(now);
        self.tell_headroom(now);
        work
    }

    /// Says that the connection for cancels is gone: a request under way is sent again on the next.
    pub fn lose_cancel(&mut self) {
        self.sweep.lose(&self.http.directory);
    }

    /// Says that the connection for orders is gone: what was under way on it is unknown.
    pub fn lose_order(&mut self, now: MonoNanos) {
        self.orders.lose(&mut self.http);
        self.tell_replies(now);
    }

    /// Orders written to a connection since the last call: stamp them once the bytes are out.
    pub fn unsent(&mut self) -> std::vec::Drain<'_, Sent> {
        self.unsent.drain(..)
    }

    /// What the decoder has seen.
    pub fn counters(&self) -> &Counters {
        self.decoder.counters()
    }

    /// True once nothing is left to do.
    pub fn is_over(&self) -> bool {
        matches!(self.ending, Ending::InOrder | Ending::Over)
    }

    /// True when it ended, or is ending, without the engine having verified zero.
    pub fn is_dead_man(&self) -> bool {
        matches!(self.ending, Ending::DeadMan { .. } | Ending::Over)
    }

    /// True once the dead-man has read back from the venue that nothing is open, twice, and after
    /// the time in which a create may still have appeared.
    pub fn is_verified(&self) -> bool {
        self.verified
    }

    /// When it wants to be stepped without anything arriving.
    pub fn deadline(&self) -> MonoNanos {
        // Without a connection there is nothing to wait for but one.
        let sweep = if self.can_cancel { self.sweep.due(&self.http) } else { MonoNanos::NEVER };
        let lingers = if let Turn::Lingering(until) = self.turn { until } else { MonoNanos::NEVER };
        let asks = match self.way {
            Way::Unknown { until, .. } if self.came_live => until,
            Way::Unknown { .. } | Way::Socket | Way::Rest => MonoNanos::NEVER,
        };
        match self.ending {
            Ending::DeadMan { until, again, .. } => until.min(again).min(sweep),
            Ending::Working => sweep.min(lingers).min(asks),
            Ending::InOrder | Ending::Over => MonoNanos::NEVER,
        }
    }
}

/// What comes in.
impl Gateway {
    fn read(
        &mut self,
        seat: usize,
        session: &mut Session,
        stamp: &impl Fn() -> MonoNanos,
        now: MonoNanos,
    ) -> usize {
        let mut payloads = 0;
        let mut login = None;
        let mut answered = 0;
        while let Some(incoming) = session.next(now) {
            let payload = match incoming {
                Incoming::Lost(cause) => {
                    self.on_lost(seat, cause);
                    self.tell_lost(now);
                    continue;
                }
                Incoming::Opened | Incoming::Failed(_) => continue,
                Incoming::Payload(payload) => payload,
            };
            payloads += 1;
            let sink = LinkSink { link: &mut self.to_engine, rx: now, stamp };
            let mut refusals = Refusals::default();
            let sink = refusals.sink(sink);
            let directory = &self.http.directory;
            let message = if self.turn == Turn::Steady {
                let mut sink = sink;
                self.decoder.read(payload, directory, &mut sink)
            } else {
                self.decoder.read(payload, directory, &mut self.overlap.sink(seat, sink))
            };
            refusals.count(&message, &mut self.http.budget, now);
            match message {
                Ok(Message::Control(control)) => match control {
                    Control::LoggedIn => login = Some(true),
                    Control::LoginFailed(_) => login = Some(false),
                    Control::Subscribed(..) => answered += 1,
                    // Cancels that were refused together go the other way in.
                    Control::BatchFailed { instrument, .. } => {
                        self.sweep.all(instrument, &self.http.directory);
                    }
                    Control::Probed(code) => self.probed(code, now),
                    // Without one of its channels a session is not live: the answer stays due,
                    // and the session begins anew.
                    Control::SubscribeFailed(_) | Control::Failed(_) => {
                        self.on_error(seat, session.state(), now);
                    }
                    Control::Pong | Control::Unsubscribed(..) => {}
                },
                Ok(Message::Events(_) | Message::Unread) => {}
                // Nothing private may be lost.
                Err(DecodeError::Full) => self.die(now),
                // What it said may concern an order: everything is asked for anew. That the stream
                // is lost comes next, before the session can be live again.
                Err(_) => {
                    session.resync(now);
                }
            }
        }
        if let Some(accepted) = login {
            self.logged_in(seat, session, accepted, now);
        }
        if answered > 0 {
            session.on_subscribed(answered);
        }
        payloads
    }

    /// The login was answered: the private channels are subscribed to.
    fn logged_in(&mut self, seat: usize, session: &mut Session, accepted: bool, now: MonoNanos) {
        session.on_login(accepted, now);
        if accepted && self.http.planted.has(Defect::LiveBeforeSubscribed) {
            self.live(seat, now);
        }
        let again = self.connects > 1 && self.http.planted.has(Defect::PrivateNotResubscribed);
        if accepted && !again {
            let channels = CHANNELS.map(Subscription::account);
            topics::subscribe(&channels, &mut self.text);
            session.subscribe(&self.text, channels.len() as u32, now);
        }
    }

    /// An error that names no request. Soon after a message of several cancels it may mean that
    /// one: all orders are canceled the other way in.
    fn on_error(&mut self, seat: usize, state: State, now: MonoNanos) {
        let soon = self.batch_at.is_some_and(|at| now.since(at) <= BATCH_ANSWER_NS);
        if soon && seat == self.using && state == State::Live {
            self.singly = true;
            self.sweep.all(InstrumentId::ALL, &self.http.directory);
        }
    }

    /// A session is not live any more. While both deliver, what the one that ends had not delivered
    /// yet is lost with it, whichever it is: the engine is told, and asks for everything.
    fn on_lost(&mut self, seat: usize, cause: Cause) {
        if cause == Cause::Resync {
            self.lost |= seat == self.using || self.turn != Turn::Steady;
            // The one in use comes live again by itself; the one before does not.
            self.came_live |= seat != self.using && self.turn != Turn::Steady;
            return;
        }
        let other = 1 - seat;
        match (self.turn, seat == self.using) {
            (Turn::Lingering(_), in_use) => {
                (self.lost, self.came_live, self.turn) = (true, true, Turn::Steady);
                self.using = if in_use { other } else { self.using };
            }
            (Turn::Making, true) => {
                (self.lost, self.turn, self.using) = (true, Turn::Steady, other);
                self.came_live = false;
            }
            (Turn::Steady, true) => (self.lost, self.came_live) = (true, false),
            // The one before has been closed.
            (Turn::Making | Turn::Steady, false) => {}
        }
    }

    /// A session has every channel.
    fn live(&mut self, seat: usize, now: MonoNanos) {
        if seat == self.using {
            self.came_live = true;
        } else if self.turn == Turn::Making {
            self.using = seat;
            self.turn = Turn::Lingering(now.after(LINGER_NS));
            self.push(FeedState::Rotated, now);
        }
    }

    /// Closes the session before, once nothing more is awaited from it.
    fn end_rotation(&mut self, sessions: &mut [Option<&mut Session>; 2], now: MonoNanos) {
        if let Turn::Lingering(until) = self.turn
            && now >= until
        {
            self.turn = Turn::Steady;
            self.overlap.clear();
            if let Some(before) = sessions[1 - self.using].as_deref_mut() {
                before.close(now);
            }
        }
    }

    /// Tells the engine that the stream is live, once the way in is known; asks for the way where
    /// it is not.
    fn ask_way(&mut self, session: Option<&mut Session>, now: MonoNanos) {
        if !self.came_live {
            return;
        }
        if let Way::Unknown { tries, until } = self.way {
            if until != MonoNanos::NEVER && now < until {
                return;
            }
            if tries >= entry::TRIES_MAX {
                self.way = Way::Rest;
            } else {
                let text = self.encoder.probe(entry::PROBED);
                if session.is_some_and(|session| session.send(text, now).is_ok()) {
                    self.way = Way::Unknown { tries: tries + 1, until: now.after(entry::PROBE_NS) };
                } else {
                    self.way = Way::Unknown { tries, until: now.after(entry::PROBE_NS) };
                }
                return;
            }
        }
        self.came_live = false;
        if !std::mem::replace(&mut self.way_told, true) {
            let value = i64::from(self.way == Way::Rest);
            self.tell(Event::Health(Health { measure: Measure::OrderEntry, value }), now);
        }
        self.push(FeedState::Live, now);
    }

    fn probed(&mut self, code: u32, now: MonoNanos) {
        if let Way::Unknown { tries, .. } = self.way {
            // An answer that says nothing is asked for again.
            let again = Way::Unknown { tries, until: now };
            self.way = entry::way_of(code).unwrap_or(again);
        }
    }
}

/// What goes out.
impl Gateway {
    fn obey(&mut self, mut session: Option<&mut Session>, utc: UnixNanos, now: MonoNanos) -> usize {
        let mut taken = 0;
        while taken < QUOTA && self.ending == Ending::Working {
            let Some(dispatch) = self.commands.pop() else { break };
            taken += 1;
            let stamps = dispatch.stamps;
            match dispatch.command {
                Command::Place(order) if !self.lease.holds() => {
                    let spec = order.spec();
                    let (instrument, client) = (spec.intent.instrument, spec.client);
                    self.http.not_sent(instrument, client, RequestKind::Place);
                }
                Command::Place(order) => {
                    self.send_cancels(session.as_deref_mut(), now);
                    self.place(session.as_deref_mut(), order, stamps, utc, now);
                }
                Command::Plain(Plain::Cancel(cancel)) => {
                    let other =
                        self.cancels.last().is_some_and(|c| c.instrument != cancel.instrument);
                    if other || self.cancels.len() == BATCH_MAX {
                        self.send_cancels(session.as_deref_mut(), now);
                    }
                    self.cancels.push(cancel);
                }
                Command::Plain(Plain::CancelAll(CancelAll { instrument })) => {
                    self.send_cancels(session.as_deref_mut(), now);
                    self.orders.withdraw(|spec| covers(instrument, spec), &mut self.http);
                    self.sweep.all(instrument, &self.http.directory);
                }
                Command::Plain(Plain::Stopped(stopped)) if stopped.open == 0 => {
                    self.ending = Ending::InOrder;
                }
                // Given up with orders that may rest: what can still be done is done here.
                Command::Plain(Plain::Stopped(_)) => self.die(now),
                Command::Plain(Plain::Countdown(countdown)) => self.sweep.wind(countdown.seconds),
                Command::Plain(
                    Plain::Query(_) | Plain::Resync(_) | Plain::Ping(_) | Plain::Record(_),
                ) => {}
            }
        }
        self.send_cancels(session, now);
        taken
    }

    /// Sends an order on its way, or answers that it never left.
    fn place(
        &mut self,
        session: Option<&mut Session>,
        order: Approved,
        stamps: Stamps,
        utc: UnixNanos,
        now: MonoNanos,
    ) {
        let sent = Sent { spec: *order.spec(), stamps };
        let Intent { instrument, made, .. } = sent.spec.intent;
        // It was decided on a market of then.
        if now.since(made) > self.orders.ttl_ns {
            self.http.not_sent(instrument, sent.spec.client, RequestKind::Place);
            return self.tell_replies(now);
        }
        let session = session.filter(|session| session.state() == State::Live);
        match (self.way, session) {
            // Over REST too, nothing is placed whose executions would not be heard of.
            (Way::Rest, Some(_)) => return self.orders.push(order, sent),
            (Way::Socket, Some(session)) => {
                let allowed = self.http.budget.allows(Class::Place, Use::Trade, now);
                let text = self.encoder.place(order, utc);
                if self.http.planted != Planted::NONE {
                    self.kept = Some((now, text.to_vec()));
                }
                if allowed && session.send(text, now).is_ok() {
                    self.http.budget.sent(Class::Place, now);
                    return self.unsent.push(sent);
                }
            }
            (Way::Unknown { .. }, _) | (Way::Rest | Way::Socket, None) => {}
        }
        self.http.not_sent(instrument, sent.spec.client, RequestKind::Place);
        self.tell_replies(now);
    }

    /// Sends the last create again: [`Defect::CreateResentOnTimeout`] and its like.
    fn send_again(&mut self, session: &mut Session, defect: Defect, now: MonoNanos) {
        let due = |sent: MonoNanos| match defect {
            Defect::CreateResentOnTimeout => now.since(sent) > SECONDS,
            _ => now.since(sent) < 2 * SECONDS,
        };
        if self.http.planted.has(defect)
            && let Some((_, text)) = self.kept.take_if(|(sent, _)| due(*sent))
        {
            let _ = session.send(&text, now);
        }
    }

    /// Sends the cancels gathered so far, together where there are several.
    fn send_cancels(&mut self, mut session: Option<&mut Session>, now: MonoNanos) {
        if self.cancels.is_empty() {
            return;
        }
        let cancels = std::mem::take(&mut self.cancels);
        if self.way == Way::Rest {
            cancels.iter().for_each(|cancel| self.cancel_over_rest(cancel));
            self.tell_replies(now);
        } else {
            let mut left = &cancels[..];
            while !left.is_empty() {
                let class = self.cancel_class(left.len(), now);
                let (count, text) = if class == Class::CancelBatch {
                    let batch = self.encoder.cancel_batch(left);
                    (batch.count, batch.text)
                } else {
                    (1, self.encoder.cancel(&left[0]))
                };
                let session = session.as_deref_mut();
                let sent = session.is_some_and(|session| session.send(text, now).is_ok());
                let (asked, rest) = left.split_at(count);
                if sent {
                    self.http.budget.sent(class, now);
                    self.batch_at =
                        if class == Class::CancelBatch { Some(now) } else { self.batch_at };
                } else {
                    asked.iter().for_each(|cancel| self.divert(cancel, now));
                }
                left = rest;
            }
        }
        self.cancels = cancels;
        self.cancels.clear();
    }

    /// The window that so many cancels of one instrument count against. The one for single ones is
    /// left half free, while the other has room: no cancel waits for either.
    fn cancel_class(&self, count: usize, now: MonoNanos) -> Class {
        let has_room = |class| self.http.budget.allows(class, Use::Ordinary, now);
        let together =
            count >= BATCH_MIN || !has_room(Class::Cancel) && has_room(Class::CancelBatch);
        if together && !self.singly { Class::CancelBatch } else { Class::Cancel }
    }

    /// An order that has not been sent is not sent; any other is canceled.
    fn cancel_over_rest(&mut self, cancel: &Cancel) {
        let own = cancel.client.is_own() && cancel.cause != CancelCause::Orphan;
        let withdrawn =
            own && self.orders.withdraw(|spec| spec.client == cancel.client, &mut self.http);
        if !withdrawn {
            self.sweep.one(*cancel);
        }
    }

    /// A cancel that the session cannot take now, for its pace or because it is down, does not wait
    /// for it: everything of the instrument is canceled the other way in.
    fn divert(&mut self, cancel: &Cancel, now: MonoNanos) {
        self.http.not_sent(cancel.instrument, cancel.client, RequestKind::Cancel);
        self.tell_replies(now);
        self.sweep.all(cancel.instrument, &self.http.directory);
    }

    fn tell_replies(&mut self, now: MonoNanos) {
        let mut replies = std::mem::take(&mut self.http.replies);
        replies.drain(..).for_each(|reply| self.tell(Event::Reply(reply), now));
        self.http.replies = replies;
    }

    /// Says that the stream is lost, before anything else.
    fn tell_lost(&mut self, now: MonoNanos) {
        if self.lost {
            self.lost = false;
            if !self.http.planted.has(Defect::LossNotTold) {
                self.push(FeedState::Lost, now);
            }
        }
    }

    /// Tells the least that was left of any rate, when that has changed.
    fn tell_headroom(&mut self, now: MonoNanos) {
        if now < self.headroom_at {
            return;
        }
        self.headroom_at = now.after(HEADROOM_NS);
        let headroom = self.http.budget.take_headroom(Rate(E8));
        if headroom != self.headroom {
            self.headroom = headroom;
            let measure = Measure::EntryHeadroom;
            self.tell(Event::Health(Health { measure, value: headroom.0 }), now);
        }
    }

    fn push(&mut self, state: FeedState, now: MonoNanos) {
        let event = Event::Feed(event::Feed {
            stream: Stream::Private,
            state,
            instrument: InstrumentId::ALL,
            connects: self.connects,
        });
        self.tell(event, now);
    }

    fn tell(&mut self, event: Event, now: MonoNanos) {
        if self.to_engine.push(Arrival { event, rx: now, decoded: now }).is_err() {
            self.die(now);
        }
    }

    /// Notices that the engine is gone, and when the dead-man has done what it can.
    fn watch(&mut self, now: MonoNanos) {
        match self.ending {
            Ending::Working if self.commands.is_finished() => self.die(now),
            Ending::DeadMan { until, again, zeros } => self.go_on_dying(until, again, zeros, now),
            Ending::Working | Ending::InOrder | Ending::Over => {}
        }
    }

    /// The dead-man's rounds: everything is canceled and zero is read back, at once and again when
    /// no create can appear any more. What a list still shows is canceled once more.
    fn go_on_dying(&mut self, until: MonoNanos, again: MonoNanos, zeros: u8, now: MonoNanos) {
        if now >= until {
            self.ending = Ending::Over;
            return;
        }
        let zeros = match self.sweep.take_listed() {
            Some(true) => zeros + 1,
            Some(false) => {
                self.sweep.all(InstrumentId::ALL, &self.http.directory);
                0
            }
            None => zeros,
        };
        let (last_round, swept) = (again == MonoNanos::NEVER, self.sweep.is_done());
        self.ending = Ending::DeadMan { until, again, zeros };
        if last_round && zeros >= ZEROS {
            (self.ending, self.verified) = (Ending::Over, true);
        } else if swept && now >= again {
            self.sweep.all(InstrumentId::ALL, &self.http.directory);
            self.ending = Ending::DeadMan { until, again: MonoNanos::NEVER, zeros: 0 };
        } else if swept && zeros < ZEROS {
            self.sweep.want_list();
        }
    }

    /// Cancels everything and ends. What has not been sent is not sent.
    fn die(&mut self, now: MonoNanos) {
        if self.ending == Ending::Working {
            let again = now.after(self.zombie_ns).max(self.orders.zombie_until());
            let until = again.after(DEAD_MAN_NS_MAX);
            self.ending = Ending::DeadMan { until, again, zeros: 0 };
            self.orders.withdraw(|_| true, &mut self.http);
            self.http.replies.clear();
            self.sweep.all(InstrumentId::ALL, &self.http.directory);
        }
    }
}

impl Http {
    fn not_sent(&mut self, instrument: InstrumentId, client: ClientId, request: RequestKind) {
        self.without_answer(instrument, client, request, Outcome::NotSent);
    }

    fn unknown(&mut self, instrument: InstrumentId, client: ClientId, request: RequestKind) {
        self.without_answer(instrument, client, request, Outcome::Unknown);
    }

    fn without_answer(
        &mut self,
        instrument: InstrumentId,
        client: ClientId,
        request: RequestKind,
        outcome: Outcome,
    ) {
        let class = RejectClass::None;
        let message = Words::NONE;
        let (order_id, code) = (0, 0);
        let reply = Reply { instrument, client, request, outcome, order_id, code, class, message };
        self.replies.push(reply);
    }
}

/// Where nothing else is said: the default of `order.intent_ttl_ms`.
const INTENT_TTL_NS: u64 = 50 * MILLIS;

#[cfg(test)]
mod tests;
