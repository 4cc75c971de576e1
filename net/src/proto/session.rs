//! A WebSocket session: from nothing to live data and back, without a socket or a clock.
//!
//! ```text
//! Down → Opening → [LoggingIn] → Syncing → Live      any → BackingOff → Down      Live → Syncing
//! ```
//!
//! A session knows the upgrade, login, subscriptions, the text ping, silence, pacing and backoff.
//! It knows no venue: its owner hands in the texts to send, reads the payloads, and says what they
//! mean ([`Session::on_login`], [`Session::on_subscribed`], [`Session::on_synced`]). The states and
//! what moves between them are one table, [`MOVES`], drawn in `docs/states/session.dot`.
//!
//! Leaving [`State::Live`] is told once, by [`Incoming::Lost`], before anything else that
//! [`Session::next`] yields. After the upgrade, receiving and sending do not allocate.

use std::collections::VecDeque;

use keel_core::units::{MILLIS, MonoNanos, SECONDS};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::timer::Deadlines;
use super::ws::{self, FrameError, Message, Upgrade, UpgradeError};
use super::{ByteQueue, Protocol};

/// One WebSocket session and, in turn, all its connections.
#[derive(Debug)]
pub struct Session {
    settings: Settings,
    state: State,
    deadlines: Deadlines<TIMERS>,
    upgrade: Option<Upgrade>,
    /// Bytes of the answer to the upgrade, and what came with them.
    reader: ws::Reader,
    out: ByteQueue,
    queue: Queue,
    /// When the pace allows the next queued text.
    release_at: MonoNanos,
    pace: Pace,
    random: Random,
    acks_due: u32,
    pong_due: bool,
    ping_answer: Option<PingAnswer>,
    /// The stream has ended, cleanly or not; acted on when what came before has been read.
    ended: Option<bool>,
    subscribes: Budget,
    /// Told to the owner next, in this order.
    lost: Option<Cause>,
    opened: bool,
    failed: Option<Cause>,
    /// Why the session last backed off.
    last_cause: Option<Cause>,
    live_since: MonoNanos,
    opened_at: MonoNanos,
    failures: u32,
    login_refusals: u32,
    close_code: Option<u16>,
    counters: Counters,
}

impl Session {
    /// A session that is down. `seed` gives masks, handshake nonces and jitter: from the operating
    /// system live, where masks must be unpredictable (RFC 6455 §10.3), from the run's in
    /// simulation.
    pub fn new(settings: Settings, seed: [u8; 32]) -> Self {
        Self {
            reader: ws::Reader::new(settings.message_bytes_max),
            out: ByteQueue::new(settings.out_bytes_max),
            queue: Queue::new(),
            release_at: MonoNanos::NEVER,
            pace: Pace::new(settings.pace),
            random: Random::new(seed),
            settings,
            state: State::Down,
            deadlines: Deadlines::new(),
            upgrade: None,
            acks_due: 0,
            pong_due: false,
            ping_answer: None,
            ended: None,
            subscribes: Budget::default(),
            lost: None,
            opened: false,
            failed: None,
            last_cause: None,
            live_since: MonoNanos::ZERO,
            opened_at: MonoNanos::ZERO,
            failures: 0,
            login_refusals: 0,
            close_code: None,
            counters: Counters::default(),
        }
    }

    /// Where the session stands.
    pub fn state(&self) -> State {
        self.state
    }

    /// True when the session has no use for a connection: drop it. Open another when
    /// [`State::Down`].
    pub fn is_offline(&self) -> bool {
        matches!(self.state, State::Down | State::BackingOff { .. })
    }

    /// True when it has no connection and [`Session::next`] has told so.
    pub fn is_over(&self) -> bool {
        self.is_offline() && self.lost.is_none() && self.failed.is_none()
    }

    /// What happened so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// When the last connection was begun.
    pub fn opened_at(&self) -> MonoNanos {
        self.opened_at
    }

    /// Why the last connection ended.
    pub fn last_cause(&self) -> Option<Cause> {
        self.last_cause
    }

    /// The code of the peer's last close frame, when it had one.
    pub fn close_code(&self) -> Option<u16> {
        self.close_code
    }

    /// Logins refused since the last one that was accepted. At [`LOGIN_REFUSALS_MAX`] the session
    /// stays backed off until [`Session::retry`].
    pub fn login_refusals(&self) -> u32 {
        self.login_refusals
    }

    /// Begins a connection: writes the upgrade's request and starts the deadline that also covers
    /// TCP and TLS. False, and nothing done, unless the session is down.
    pub fn open(&mut self, now: MonoNanos) -> bool {
        if !self.shift(Trigger::Open, None, now) {
            return false;
        }
        self.forget_connection();
        // What the connection before had to tell and nobody asked for is not about this one.
        (self.lost, self.failed) = (None, None);
        self.counters.opened += 1;
        self.opened_at = now;
        self.deadlines.set(Timer::Open as usize, now.after(self.settings.open_ns_max));
        let key = self.random.nonce();
        let headers: Vec<(&str, &str)> =
            self.settings.headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        let (host, path) = (&self.settings.host, &self.settings.path);
        match Upgrade::begin(host, path, &headers, key, &mut self.out) {
            Ok(upgrade) => self.upgrade = Some(upgrade),
            Err(error) => self.fail(Cause::Upgrade(error), now),
        }
        true
    }

    /// What comes next for the owner. Call until `None` after every receive and every step.
    pub fn next(&mut self, now: MonoNanos) -> Option<Incoming<'_>> {
        loop {
            if let Some(cause) = self.lost.take() {
                return Some(Incoming::Lost(cause));
            }
            if std::mem::take(&mut self.opened) {
                return Some(Incoming::Opened);
            }
            if let Some(cause) = self.failed.take() {
                return Some(Incoming::Failed(cause));
            }
            match self.state {
                State::Down | State::BackingOff { .. } => return None,
                State::Opening => {
                    if !self.continue_upgrade(now) && !self.end(now) {
                        return None;
                    }
                }
                State::LoggingIn | State::Syncing | State::Live | State::Closing => {
                    match self.read(now) {
                        Read::Payload => break,
                        Read::Again => {}
                        Read::Nothing if self.end(now) => {}
                        Read::Nothing => return None,
                    }
                }
            }
        }
        self.counters.payloads += 1;
        Some(Incoming::Payload(self.reader.payload()))
    }

    /// Sends the login text. False when the session is not logging in, or has no room.
    pub fn login(&mut self, text: &[u8], now: MonoNanos) -> bool {
        if self.state != State::LoggingIn {
            self.counters.unexpected += 1;
            return false;
        }
        self.deadlines.set(Timer::Login as usize, now.after(self.settings.login_ns_max));
        self.enqueue(Kind::Other, text, now)
    }

    /// Says that the venue answered the login.
    pub fn on_login(&mut self, accepted: bool, now: MonoNanos) {
        if self.state != State::LoggingIn {
            self.counters.unexpected += 1;
        } else if accepted {
            self.login_refusals = 0;
            self.deadlines.clear(Timer::Login as usize);
            self.shift(Trigger::LoggedIn, None, now);
        } else {
            self.login_refusals += 1;
            self.fail(Cause::LoginRefused, now);
        }
    }

    /// Queues a subscribe text for `topics` topics, each to be answered within the deadline. False
    /// when the session is neither syncing nor live, or the queue has no room; nothing is sent
    /// then.
    ///
    /// # Panics
    /// When `topics` is 0 or above [`TOPICS_MAX`].
    pub fn subscribe(&mut self, text: &[u8], topics: u32, now: MonoNanos) -> bool {
        assert!((1..=TOPICS_MAX).contains(&topics), "a request names 1 to {TOPICS_MAX} topics");
        self.is_subscribing() && self.enqueue(Kind::Subscribe { topics }, text, now)
    }

    /// Queues an unsubscribe text, or any other request that is not an order. False as above.
    pub fn request(&mut self, text: &[u8], now: MonoNanos) -> bool {
        self.is_subscribing() && self.enqueue(Kind::Other, text, now)
    }

    /// Says that the venue answered for `topics` topics, with yes or no: what a no means is the
    /// owner's affair.
    pub fn on_subscribed(&mut self, topics: u32) {
        self.counters.unexpected += u64::from(topics.saturating_sub(self.acks_due));
        self.acks_due = self.acks_due.saturating_sub(topics);
        if self.acks_due == 0 {
            self.deadlines.clear(Timer::Subscribe as usize);
        }
    }

    /// Topics asked for and not yet answered.
    pub fn acks_due(&self) -> u32 {
        self.acks_due + self.queue.topics()
    }

    /// Says that every topic has its first data. False unless the session is syncing and no answer
    /// is due.
    pub fn on_synced(&mut self, now: MonoNanos) -> bool {
        self.acks_due() == 0 && self.shift(Trigger::Synced, None, now)
    }

    /// Says that the data can no longer be trusted, and will be asked for anew. A session that is
    /// not live counts it and goes on as it was.
    pub fn resync(&mut self, now: MonoNanos) -> bool {
        self.shift(Trigger::Resync, Some(Cause::Resync), now)
    }

    /// Sends one text now or not at all: what it says may be wrong later. One message of each pace
    /// window is kept free for the ping.
    pub fn send(&mut self, text: &[u8], now: MonoNanos) -> Result<(), NotSent> {
        if !matches!(self.state, State::Syncing | State::Live) {
            return Err(NotSent::NotOpen);
        }
        if text.len() > REQUEST_BYTES_MAX {
            return Err(NotSent::TooLong);
        }
        if !self.pace.allows(PING_RESERVE, now) {
            self.counters.paced += 1;
            return Err(NotSent::Paced);
        }
        ws::frame(&mut self.out, text, self.random.mask()).map_err(|_| NotSent::NoRoom)?;
        self.count_sent(now);
        Ok(())
    }

    /// Sends the text ping ahead of its turn, unless an answer to one is awaited already.
    pub fn ping_now(&mut self, now: MonoNanos) {
        if matches!(self.state, State::Syncing | State::Live) && !self.pong_due {
            self.ping(now);
        }
    }

    /// The earliest time at which [`Session::step`] has something to do.
    pub fn deadline(&self) -> MonoNanos {
        self.deadlines.next().min(self.release_at)
    }

    /// Does what is due at `now`.
    pub fn step(&mut self, now: MonoNanos) {
        while let Some(index) = self.deadlines.expire(now) {
            self.expired(Timer::ALL[index], now);
        }
        self.release(now);
        self.random.top_up();
    }

    /// Says that no connection came about, or that the owner gives it up, for `cause`. What was
    /// received and not yet taken is dropped. A connection that breaks is told by
    /// [`Protocol::closed`], which drops nothing.
    pub fn fail(&mut self, cause: Cause, now: MonoNanos) {
        if self.state == State::Closing {
            return self.down(now);
        }
        if !self.shift(Trigger::Failed, Some(cause), now) {
            return;
        }
        self.counters.failed += 1;
        self.last_cause = Some(cause);
        self.failed = Some(cause);
        self.forget_connection();
        self.deadlines.clear_all();
        let until = self.back_off_until(cause, now);
        self.deadlines.set(Timer::BackOff as usize, until);
        self.state = State::BackingOff { until };
    }

    /// Says goodbye: sends a close frame and waits shortly for the peer's. A session that has no
    /// connection goes down at once.
    pub fn close(&mut self, now: MonoNanos) {
        let framed = matches!(self.state, State::LoggingIn | State::Syncing | State::Live);
        if !self.shift(Trigger::Close, Some(Cause::Closed), now) {
            return;
        }
        self.deadlines.clear_all();
        self.queue.clear();
        self.release_at = MonoNanos::NEVER;
        self.deadlines.set(Timer::Close as usize, now.after(CLOSE_NS_MAX));
        if framed {
            // Without room the peer sees the stream end, which closes as well.
            let _ = ws::close(&mut self.out, CLOSE_NORMAL, self.random.mask());
        } else {
            self.down(now);
        }
    }

    /// Ends a backoff early, also one that has no end because logins were refused.
    pub fn retry(&mut self, now: MonoNanos) {
        if let State::BackingOff { .. } = self.state {
            self.login_refusals = 0;
            self.deadlines.clear_all();
            self.shift(Trigger::Elapsed, None, now);
        }
    }

    fn expired(&mut self, timer: Timer, now: MonoNanos) {
        match timer {
            Timer::Open => self.fail(Cause::OpenTimeout, now),
            Timer::Login => self.fail(Cause::LoginTimeout, now),
            Timer::Subscribe => self.fail(Cause::SubscribeTimeout, now),
            Timer::Sync => self.fail(Cause::SyncTimeout, now),
            Timer::Ping => self.ping(now),
            Timer::Pong => self.fail(Cause::PongMissing, now),
            Timer::Silence => self.fail(Cause::Silence, now),
            Timer::Close => self.down(now),
            Timer::BackOff => {
                self.shift(Trigger::Elapsed, None, now);
            }
        }
    }

    /// Reads on in the answer to the upgrade; true when the state has changed.
    fn continue_upgrade(&mut self, now: MonoNanos) -> bool {
        let Some(upgrade) = &mut self.upgrade else { return false };
        let bytes = self.reader.unread();
        if bytes.is_empty() {
            return false;
        }
        match upgrade.receive(bytes) {
            Ok((taken, complete)) => {
                self.reader.skip(taken);
                if complete {
                    self.upgraded(now);
                }
                complete
            }
            Err(error) => {
                self.fail(Cause::Upgrade(error), now);
                true
            }
        }
    }

    fn upgraded(&mut self, now: MonoNanos) {
        self.upgrade = None;
        self.opened = true;
        self.deadlines.clear_all();
        self.deadlines.set(Timer::Ping as usize, now.after(self.settings.ping_ns_every));
        self.deadlines.set(Timer::Silence as usize, now.after(self.settings.silence_ns_max));
        if self.settings.login {
            self.deadlines.set(Timer::Login as usize, now.after(self.settings.login_ns_max));
            self.shift(Trigger::UpgradedForLogin, None, now);
        } else {
            self.shift(Trigger::Upgraded, None, now);
        }
    }

    /// Draws the consequence of a stream that has ended, once everything before that was read; true
    /// when there was one.
    fn end(&mut self, now: MonoNanos) -> bool {
        let Some(clean) = self.ended.take() else { return false };
        if self.state == State::Closing {
            self.down(now);
        } else {
            let whole = clean && !self.reader.is_mid_message();
            self.fail(if whole { Cause::StreamEnded } else { Cause::StreamCut }, now);
        }
        true
    }

    /// Reads one frame.
    fn read(&mut self, now: MonoNanos) -> Read {
        let cause = match self.reader.read() {
            Ok(None) => return Read::Nothing,
            Ok(Some(Message::Text(text))) => {
                if text.as_bytes() != self.settings.pong {
                    return Read::Payload;
                }
                self.pong_due = false;
                self.deadlines.clear(Timer::Pong as usize);
                self.counters.pongs += 1;
                return Read::Again;
            }
            Ok(Some(Message::Ping(payload))) => {
                self.ping_answer = Some(PingAnswer::new(payload));
                self.counters.pings_answered += 1;
                self.answer_ping();
                return Read::Again;
            }
            Ok(Some(Message::Pong(_))) => return Read::Again,
            Ok(Some(Message::Binary(_))) => Cause::Binary,
            Ok(Some(Message::Close { code, .. })) => {
                self.close_code = code;
                Cause::ClosedByPeer
            }
            Err(error) => {
                self.counters.bad_frames += 1;
                Cause::Frame(error)
            }
        };
        self.fail(cause, now);
        Read::Again
    }

    fn ping(&mut self, now: MonoNanos) {
        if !self.pace.allows(0, now) {
            self.deadlines.set(Timer::Ping as usize, self.pace.free_at(0));
            return;
        }
        let mask = self.random.mask();
        if ws::frame(&mut self.out, self.settings.ping, mask).is_err() {
            return self.fail(Cause::NoRoom, now);
        }
        self.count_sent(now);
        self.counters.pings += 1;
        self.deadlines.set(Timer::Ping as usize, now.after(self.settings.ping_ns_every));
        if !self.pong_due {
            self.pong_due = true;
            self.deadlines.set(Timer::Pong as usize, now.after(self.settings.pong_ns_max));
        }
    }

    /// Answers the last ping once everything before it has been sent, so that a flood of pings
    /// cannot fill the buffer (RFC 6455 §5.5.3 allows answering the last only).
    fn answer_ping(&mut self) {
        if self.out.is_empty()
            && let Some(answer) = self.ping_answer.take()
        {
            let mask = self.random.mask();
            ws::pong(&mut self.out, answer.payload(), mask).expect("an empty buffer holds a pong");
        }
    }

    fn is_subscribing(&mut self) -> bool {
        let subscribing = matches!(self.state, State::Syncing | State::Live);
        self.counters.unexpected += u64::from(!subscribing);
        subscribing
    }

    fn enqueue(&mut self, kind: Kind, text: &[u8], now: MonoNanos) -> bool {
        let queued = text.len() <= REQUEST_BYTES_MAX && self.queue.push(kind, text);
        self.counters.unexpected += u64::from(!queued);
        self.release(now);
        queued
    }

    /// Sends queued texts as far as pace and room allow.
    fn release(&mut self, now: MonoNanos) {
        self.release_at = MonoNanos::NEVER; // without room, `sent` releases on
        while let Some((kind, text)) = self.queue.front() {
            if !self.pace.allows(PING_RESERVE, now) {
                self.release_at = self.pace.free_at(PING_RESERVE);
                return;
            }
            if let Kind::Subscribe { .. } = kind
                && !self.subscribes.allows(now)
            {
                return self.fail(Cause::SubscribeBudget, now);
            }
            if ws::frame(&mut self.out, text, self.random.mask()).is_err() {
                return;
            }
            self.queue.pop();
            self.count_sent(now);
            if let Kind::Subscribe { topics } = kind {
                self.subscribes.record(now);
                self.acks_due += topics;
                let by = now.after(self.settings.subscribe_ns_max);
                self.deadlines.set(Timer::Subscribe as usize, by);
            }
        }
    }

    fn count_sent(&mut self, now: MonoNanos) {
        self.pace.record(now);
        self.counters.sent += 1;
    }

    /// Moves by the table; false, and counted, when it has no such move.
    fn shift(&mut self, trigger: Trigger, cause: Option<Cause>, now: MonoNanos) -> bool {
        let Some(to) = after(self.state.phase(), trigger) else {
            self.counters.unexpected += 1;
            return false;
        };
        if self.state == State::Live {
            self.lost = Some(cause.unwrap_or(Cause::Closed));
            self.counters.lost += 1;
            if now.since(self.live_since) >= STEADY_NS {
                self.failures = 0;
            }
        }
        self.state = match to {
            Phase::Down => State::Down,
            Phase::Opening => State::Opening,
            Phase::LoggingIn => State::LoggingIn,
            Phase::Syncing => State::Syncing,
            Phase::Live => State::Live,
            Phase::Closing => State::Closing,
            Phase::BackingOff => State::BackingOff { until: MonoNanos::NEVER },
        };
        match to {
            Phase::Syncing => {
                self.deadlines.set(Timer::Sync as usize, now.after(self.settings.sync_ns_max));
            }
            Phase::Live => {
                self.live_since = now;
                self.deadlines.clear(Timer::Sync as usize);
            }
            Phase::Down | Phase::Opening | Phase::LoggingIn => {}
            Phase::Closing | Phase::BackingOff => {}
        }
        true
    }

    fn down(&mut self, now: MonoNanos) {
        self.deadlines.clear_all();
        self.shift(Trigger::Closed, None, now);
        self.forget_connection();
    }

    /// Drops what belongs to one connection. Pace and randomness go on.
    fn forget_connection(&mut self) {
        self.reader.reset();
        self.out.clear();
        self.queue.clear();
        self.release_at = MonoNanos::NEVER;
        self.upgrade = None;
        self.acks_due = 0;
        self.pong_due = false;
        self.ping_answer = None;
        self.ended = None;
        self.subscribes = Budget::default();
        self.opened = false;
    }

    /// Doubling from [`BACK_OFF_NS_MIN`] to [`BACK_OFF_NS_MAX`], of which the upper half is drawn;
    /// a refused login waits at least [`LOGIN_BACK_OFF_NS`].
    fn back_off_until(&mut self, cause: Cause, now: MonoNanos) -> MonoNanos {
        let doubled = BACK_OFF_NS_MIN << self.failures.min(20);
        let most = doubled.min(BACK_OFF_NS_MAX);
        self.failures += 1;
        let drawn = most / 2 + self.random.below(most / 2 + 1);
        if cause != Cause::LoginRefused {
            return now.after(drawn);
        }
        if self.login_refusals >= LOGIN_REFUSALS_MAX {
            return MonoNanos::NEVER;
        }
        now.after(LOGIN_BACK_OFF_NS + drawn)
    }
}

impl Protocol for Session {
    fn spare(&mut self) -> &mut [u8] {
        self.reader.spare()
    }

    fn received(&mut self, bytes: usize, now: MonoNanos) {
        if self.is_offline() {
            return;
        }
        self.reader.received(bytes);
        self.counters.bytes_in += bytes as u64;
        if self.deadlines.is_set(Timer::Silence as usize) {
            self.deadlines.set(Timer::Silence as usize, now.after(self.settings.silence_ns_max));
        }
    }

    fn transmit(&mut self) -> &[u8] {
        self.out.pending()
    }

    fn sent(&mut self, bytes: usize, now: MonoNanos) {
        self.out.consume(bytes);
        self.counters.bytes_out += bytes as u64;
        self.answer_ping();
        self.release(now);
    }

    fn closed(&mut self, clean: bool, _now: MonoNanos) {
        if !self.is_offline() {
            self.ended = Some(clean);
        }
    }
}

/// What a session yields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Incoming<'a> {
    /// The session was live and is not any more: nothing received before this may be trusted.
    Lost(Cause),
    /// The connection is open: log in or subscribe, by the session's state.
    Opened,
    /// The connection is gone and the session backs off.
    Failed(Cause),
    /// A text message of the venue, valid UTF-8, that is not the answer to a ping.
    Payload(&'a [u8]),
}

/// Where a session stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// No connection; one may be opened.
    Down,
    /// TCP, TLS and the upgrade.
    Opening,
    /// The login is being sent or awaited.
    LoggingIn,
    /// Open; subscriptions or first data are missing.
    Syncing,
    /// Every topic delivers.
    Live,
    /// No connection until then; [`MonoNanos::NEVER`] when only [`Session::retry`] helps.
    BackingOff {
        /// When the session is down again.
        until: MonoNanos,
    },
    /// A close frame is on its way.
    Closing,
}

impl State {
    fn phase(self) -> Phase {
        match self {
            Self::Down => Phase::Down,
            Self::Opening => Phase::Opening,
            Self::LoggingIn => Phase::LoggingIn,
            Self::Syncing => Phase::Syncing,
            Self::Live => Phase::Live,
            Self::BackingOff { .. } => Phase::BackingOff,
            Self::Closing => Phase::Closing,
        }
    }
}

/// Why a session is not live any more, or has no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The owner found its data wanting.
    Resync,
    /// The owner closed the session.
    Closed,
    /// No TCP or TLS connection came about, or it broke.
    Unconnected,
    /// TCP, TLS and upgrade took too long.
    OpenTimeout,
    /// The upgrade was refused or was none.
    Upgrade(UpgradeError),
    /// The venue refused the login.
    LoginRefused,
    /// The venue did not answer the login.
    LoginTimeout,
    /// A subscription was not answered.
    SubscribeTimeout,
    /// The connection's subscribe requests for this hour are spent: a new connection has its own.
    SubscribeBudget,
    /// First data did not come.
    SyncTimeout,
    /// A ping was not answered.
    PongMissing,
    /// Nothing at all was received for too long.
    Silence,
    /// The peer's bytes are not WebSocket.
    Frame(FrameError),
    /// The peer sent a binary message; the venue has none.
    Binary,
    /// The peer sent a close frame; see [`Session::close_code`].
    ClosedByPeer,
    /// The stream ended between two messages without a close frame.
    StreamEnded,
    /// The stream broke off, or ended inside a message.
    StreamCut,
    /// The peer does not take what is sent: a ping found no room.
    NoRoom,
}

/// Why [`Session::send`] did not send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotSent {
    /// The session is neither syncing nor live.
    NotOpen,
    /// The pace of the connection does not allow it now.
    Paced,
    /// The peer does not take what is sent; the buffer is full.
    NoRoom,
    /// Longer than [`REQUEST_BYTES_MAX`].
    TooLong,
}

/// What a session is told once. Times are in nanoseconds.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Host, with its port where that is not 443.
    pub host: String,
    /// Path and query of the upgrade.
    pub path: String,
    /// Further headers of the upgrade.
    pub headers: Vec<(String, String)>,
    /// Whether a login is needed before subscribing.
    pub login: bool,
    /// The text that the venue takes for a ping, and its answer.
    pub ping: &'static [u8],
    /// The answer to a ping.
    pub pong: &'static [u8],
    /// From opening to the answer to the upgrade.
    pub open_ns_max: u64,
    /// From a login to its answer; a login in wrong units is dropped without one.
    pub login_ns_max: u64,
    /// From the last subscribe text to the last answer.
    pub subscribe_ns_max: u64,
    /// From the begin of syncing to live.
    pub sync_ns_max: u64,
    /// From ping to ping.
    pub ping_ns_every: u64,
    /// From a ping to its answer.
    pub pong_ns_max: u64,
    /// Without any byte.
    pub silence_ns_max: u64,
    /// How many messages may be sent in how long.
    pub pace: PaceLimit,
    /// The longest message taken.
    pub message_bytes_max: usize,
    /// Bytes that may wait to be sent.
    pub out_bytes_max: usize,
}

impl Settings {
    /// Settings with the deadlines that suit the venue: a ping every 20 s, where the venue asks for
    /// one every 30 s and drops a client after about 120 s without, and 10 messages a second, its
    /// limit for a connection, kept in windows of 1.1 s because a network may bunch them.
    pub fn new(host: &str, path: &str, login: bool) -> Self {
        Self {
            host: host.to_owned(),
            path: path.to_owned(),
            headers: Vec::new(),
            login,
            ping: b"ping",
            pong: b"pong",
            open_ns_max: 5 * SECONDS,
            login_ns_max: 5 * SECONDS,
            subscribe_ns_max: 5 * SECONDS,
            sync_ns_max: 10 * SECONDS,
            ping_ns_every: 20 * SECONDS,
            pong_ns_max: 5 * SECONDS,
            silence_ns_max: 30 * SECONDS,
            pace: PaceLimit { messages: 10, window_ns: 1_100 * MILLIS },
            message_bytes_max: 1 << 20,
            out_bytes_max: 64 << 10,
        }
    }
}

/// At most `messages` in any `window_ns`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PaceLimit {
    /// Messages, 2 to [`PACE_MESSAGES_MAX`]: one is the ping's.
    pub messages: usize,
    /// Nanoseconds.
    pub window_ns: u64,
}

/// What happened in a session since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is named by what it counts")]
pub struct Counters {
    pub opened: u64,
    pub failed: u64,
    pub lost: u64,
    pub payloads: u64,
    pub sent: u64,
    pub paced: u64,
    pub pings: u64,
    pub pongs: u64,
    pub pings_answered: u64,
    pub bad_frames: u64,
    pub unexpected: u64,
    pub bytes_in: u64,
    pub bytes_out: u64,
}

/// The states of the table; [`State`] without what they carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "as the states of the same name")]
pub enum Phase {
    Down,
    Opening,
    LoggingIn,
    Syncing,
    Live,
    BackingOff,
    Closing,
}

/// What moves a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is named by what happened")]
pub enum Trigger {
    Open,
    Upgraded,
    UpgradedForLogin,
    LoggedIn,
    Synced,
    Resync,
    Failed,
    Elapsed,
    Close,
    Closed,
}

/// Every move there is. What does not stand here is counted as unexpected and changes nothing.
pub const MOVES: &[(Phase, Trigger, Phase)] = &[
    (Phase::Down, Trigger::Open, Phase::Opening),
    (Phase::Opening, Trigger::Upgraded, Phase::Syncing),
    (Phase::Opening, Trigger::UpgradedForLogin, Phase::LoggingIn),
    (Phase::LoggingIn, Trigger::LoggedIn, Phase::Syncing),
    (Phase::Syncing, Trigger::Synced, Phase::Live),
    (Phase::Live, Trigger::Resync, Phase::Syncing),
    (Phase::Opening, Trigger::Failed, Phase::BackingOff),
    (Phase::LoggingIn, Trigger::Failed, Phase::BackingOff),
    (Phase::Syncing, Trigger::Failed, Phase::BackingOff),
    (Phase::Live, Trigger::Failed, Phase::BackingOff),
    (Phase::BackingOff, Trigger::Elapsed, Phase::Down),
    (Phase::Opening, Trigger::Close, Phase::Closing),
    (Phase::LoggingIn, Trigger::Close, Phase::Closing),
    (Phase::Syncing, Trigger::Close, Phase::Closing),
    (Phase::Live, Trigger::Close, Phase::Closing),
    (Phase::BackingOff, Trigger::Close, Phase::Closing),
    (Phase::Closing, Trigger::Closed, Phase::Down),
];

/// [`MOVES`] as a drawing for Graphviz.
pub fn dot() -> String {
    let moves: String = MOVES
        .iter()
        .map(|(from, trigger, to)| format!("    {from:?} -> {to:?} [label=\"{trigger:?}\"];\n"))
        .collect();
    format!("digraph session {{\n    Down [shape=doublecircle];\n{moves}}}\n")
}

fn after(from: Phase, trigger: Trigger) -> Option<Phase> {
    MOVES.iter().find(|m| m.0 == from && m.1 == trigger).map(|m| m.2)
}

#[derive(Clone, Copy, Debug)]
enum Timer {
    Open,
    Login,
    Subscribe,
    Sync,
    Pong,
    Silence,
    Close,
    BackOff,
    Ping,
}

impl Timer {
    const ALL: [Self; TIMERS] = [
        Self::Open,
        Self::Login,
        Self::Subscribe,
        Self::Sync,
        Self::Pong,
        Self::Silence,
        Self::Close,
        Self::BackOff,
        Self::Ping,
    ];
}

enum Read {
    Payload,
    Again,
    Nothing,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Subscribe { topics: u32 },
    Other,
}

/// Texts that wait for the pace to allow them.
#[derive(Debug)]
struct Queue {
    bytes: ByteQueue,
    entries: VecDeque<(Kind, usize)>,
}

impl Queue {
    fn new() -> Self {
        Self {
            bytes: ByteQueue::new(QUEUE_BYTES_MAX),
            entries: VecDeque::with_capacity(QUEUE_ENTRIES_MAX),
        }
    }

    fn push(&mut self, kind: Kind, text: &[u8]) -> bool {
        let fits = self.entries.len() < QUEUE_ENTRIES_MAX && self.bytes.push(text).is_ok();
        if fits {
            self.entries.push_back((kind, text.len()));
        }
        fits
    }

    fn front(&self) -> Option<(Kind, &[u8])> {
        let &(kind, length) = self.entries.front()?;
        Some((kind, &self.bytes.pending()[..length]))
    }

    fn pop(&mut self) {
        if let Some((_, length)) = self.entries.pop_front() {
            self.bytes.consume(length);
        }
    }

    fn topics(&self) -> u32 {
        self.entries
            .iter()
            .map(|(kind, _)| match kind {
                Kind::Subscribe { topics } => *topics,
                Kind::Other => 0,
            })
            .sum()
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.entries.clear();
    }
}

/// When the last messages were sent: an exact sliding window.
#[derive(Debug)]
struct Pace {
    limit: PaceLimit,
    sent_at: [MonoNanos; PACE_MESSAGES_MAX],
    sent: usize,
}

impl Pace {
    fn new(limit: PaceLimit) -> Self {
        assert!((2..=PACE_MESSAGES_MAX).contains(&limit.messages), "pace of {limit:?}");
        Self { limit, sent_at: [MonoNanos::ZERO; PACE_MESSAGES_MAX], sent: 0 }
    }

    /// When a message may be sent that leaves `reserve` messages of its window free.
    fn free_at(&self, reserve: usize) -> MonoNanos {
        let allowed = self.limit.messages - reserve;
        match self.sent.checked_sub(allowed) {
            None => MonoNanos::ZERO,
            Some(nth) => self.sent_at[nth % PACE_MESSAGES_MAX].after(self.limit.window_ns),
        }
    }

    fn allows(&self, reserve: usize, now: MonoNanos) -> bool {
        now >= self.free_at(reserve)
    }

    fn record(&mut self, now: MonoNanos) {
        self.sent_at[self.sent % PACE_MESSAGES_MAX] = now;
        self.sent += 1;
    }
}

/// Subscribe requests of one connection in the running hour, which begins with the first of them.
#[derive(Clone, Copy, Debug, Default)]
struct Budget {
    hour_began: MonoNanos,
    spent: u32,
}

impl Budget {
    fn allows(&self, now: MonoNanos) -> bool {
        self.spent < SUBSCRIBES_MAX || now.since(self.hour_began) >= HOUR_NS
    }

    fn record(&mut self, now: MonoNanos) {
        if self.spent == 0 || now.since(self.hour_began) >= HOUR_NS {
            *self = Self { hour_began: now, spent: 0 };
        }
        self.spent += 1;
    }
}

/// The session's own randomness: masks in blocks, drawn ahead while nothing is urgent.
#[derive(Debug)]
struct Random {
    generator: StdRng,
    masks: [[u8; 4]; MASKS],
    left: usize,
}

impl Random {
    fn new(seed: [u8; 32]) -> Self {
        let mut random =
            Self { generator: StdRng::from_seed(seed), masks: [[0; 4]; MASKS], left: 0 };
        random.refill();
        random
    }

    fn mask(&mut self) -> [u8; 4] {
        if self.left == 0 {
            self.refill();
        }
        self.left -= 1;
        self.masks[self.left]
    }

    fn top_up(&mut self) {
        if self.left < MASKS / 2 {
            self.refill();
        }
    }

    fn refill(&mut self) {
        self.generator.fill_bytes(self.masks.as_flattened_mut());
        self.left = MASKS;
    }

    fn nonce(&mut self) -> [u8; 16] {
        let mut nonce = [0; 16];
        self.generator.fill_bytes(&mut nonce);
        nonce
    }

    /// A number from 0 to `bound` − 1; the bias of the remainder does not matter for a delay.
    fn below(&mut self, bound: u64) -> u64 {
        self.generator.next_u64() % bound
    }
}

#[derive(Clone, Copy, Debug)]
struct PingAnswer {
    bytes: [u8; 125],
    length: usize,
}

impl PingAnswer {
    fn new(payload: &[u8]) -> Self {
        let mut bytes = [0; 125];
        bytes[..payload.len()].copy_from_slice(payload);
        Self { bytes, length: payload.len() }
    }

    fn payload(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

/// Topics that one subscribe text may name: a request of 25 was answered by a close.
pub const TOPICS_MAX: u32 = 10;
/// Subscribe requests an hour on one connection: half the venue's limit of 240, because its hour
/// need not begin with ours.
pub const SUBSCRIBES_MAX: u32 = 120;
/// Bytes of a request: the venue's limit.
pub const REQUEST_BYTES_MAX: usize = 4096;
/// Refused logins after which the session stays backed off until it is told to retry.
pub const LOGIN_REFUSALS_MAX: u32 = 3;
/// The most messages that a pace can count.
pub const PACE_MESSAGES_MAX: usize = 64;
/// The shortest backoff, before jitter.
pub const BACK_OFF_NS_MIN: u64 = 100 * MILLIS;
/// The longest backoff.
pub const BACK_OFF_NS_MAX: u64 = 10 * SECONDS;
/// What a refused login waits more: never twice in 10 s.
pub const LOGIN_BACK_OFF_NS: u64 = 10 * SECONDS;
/// How long a session must have been live for the next backoff to begin anew.
pub const STEADY_NS: u64 = 30 * SECONDS;
/// How long the peer's answer to a close frame is awaited.
pub const CLOSE_NS_MAX: u64 = SECONDS;

const HOUR_NS: u64 = 3_600 * SECONDS;
const TIMERS: usize = 9;
const MASKS: usize = 64;
const PING_RESERVE: usize = 1;
const QUEUE_ENTRIES_MAX: usize = 128;
const QUEUE_BYTES_MAX: usize = 128 << 10;
const CLOSE_NORMAL: u16 = 1000;

#[cfg(test)]
mod tests {
    use super::ws::peer;
    use super::*;
    use proptest::prelude::*;

    /// What a session yielded, owned.
    #[derive(Clone, Debug, PartialEq)]
    enum Seen {
        Lost(Cause),
        Opened,
        Failed(Cause),
        Payload(String),
    }

    /// A session, its time, and the venue's side written by hand.
    struct Stage {
        session: Session,
        now: MonoNanos,
    }

    impl Stage {
        fn new(login: bool) -> Self {
            let settings = Settings::new("ws.example", "/v3/ws/public", login);
            Self { session: Session::new(settings, [7; 32]), now: MonoNanos(1_000 * SECONDS) }
        }

        /// A session that is live, with a payload's worth of history.
        fn live() -> Self {
            let mut stage = Self::new(false);
            assert_eq!(stage.open(), [Seen::Opened]);
            stage.sync();
            stage
        }

        fn open(&mut self) -> Vec<Seen> {
            assert!(self.session.open(self.now));
            let request = self.sent_bytes();
            self.receive(&peer::accept(&request))
        }

        fn sync(&mut self) {
            assert!(self.session.subscribe(b"subscribe", 1, self.now));
            self.session.on_subscribed(1);
            assert!(self.session.on_synced(self.now));
            assert_eq!(self.session.state(), State::Live);
            self.sent();
        }

        fn receive(&mut self, bytes: &[u8]) -> Vec<Seen> {
            assert_eq!(crate::proto::receive(&mut self.session, bytes, self.now), bytes.len());
            self.seen()
        }

        fn seen(&mut self) -> Vec<Seen> {
            let mut seen = Vec::new();
            while let Some(incoming) = self.session.next(self.now) {
                seen.push(match incoming {
                    Incoming::Lost(cause) => Seen::Lost(cause),
                    Incoming::Opened => Seen::Opened,
                    Incoming::Failed(cause) => Seen::Failed(cause),
                    Incoming::Payload(bytes) => {
                        Seen::Payload(String::from_utf8(bytes.to_vec()).unwrap())
                    }
                });
            }
            seen
        }

        fn sent_bytes(&mut self) -> Vec<u8> {
            let mut bytes = Vec::new();
            while !self.session.transmit().is_empty() {
                let pending = self.session.transmit().to_vec();
                self.session.sent(pending.len(), self.now);
                bytes.extend(pending);
            }
            bytes
        }

        fn sent(&mut self) -> Vec<String> {
            let frames = peer::read_client(&self.sent_bytes());
            frames.into_iter().map(|(_, _, plain)| String::from_utf8(plain).unwrap()).collect()
        }

        fn pass(&mut self, nanos: u64) -> Vec<Seen> {
            self.now = self.now.after(nanos);
            self.session.step(self.now);
            self.seen()
        }

        fn until_down(&mut self) -> u64 {
            let began = self.now;
            while self.session.state() != State::Down {
                self.now = self.session.deadline();
                self.session.step(self.now);
            }
            self.now.since(began)
        }
    }

    fn lost(cause: Cause) -> [Seen; 2] {
        [Seen::Lost(cause), Seen::Failed(cause)]
    }

    #[test]
    fn a_public_session_opens_subscribes_and_lives() {
        let mut stage = Stage::new(false);
        assert!(stage.session.is_offline());
        assert_eq!(stage.open(), [Seen::Opened]);
        assert_eq!(stage.session.state(), State::Syncing);
        assert!(stage.session.subscribe(b"{books,trades}", 2, stage.now));
        assert_eq!(stage.sent(), ["{books,trades}"]);
        assert_eq!(stage.receive(&peer::text("ack")), [Seen::Payload("ack".into())]);
        stage.session.on_subscribed(1);
        assert!(!stage.session.on_synced(stage.now), "one answer is due");
        stage.session.on_subscribed(1);
        assert!(stage.session.on_synced(stage.now));
        assert_eq!(stage.session.state(), State::Live);
        assert_eq!(stage.receive(&peer::text("data")), [Seen::Payload("data".into())]);
        assert_eq!(stage.session.counters().unexpected, 0);
    }

    #[test]
    fn a_private_session_logs_in_before_it_subscribes() {
        let mut stage = Stage::new(true);
        assert_eq!(stage.open(), [Seen::Opened]);
        assert_eq!(stage.session.state(), State::LoggingIn);
        assert!(!stage.session.subscribe(b"early", 1, stage.now));
        assert_eq!(stage.session.send(b"order", stage.now), Err(NotSent::NotOpen));
        assert!(stage.session.login(b"login", stage.now));
        assert_eq!(stage.sent(), ["login"]);
        stage.session.on_login(true, stage.now);
        assert_eq!(stage.session.state(), State::Syncing);
        assert!(stage.session.subscribe(b"orders", 1, stage.now));
        assert_eq!(stage.sent(), ["orders"]);
    }

    #[test]
    fn leaving_live_is_told_once_and_before_anything_else() {
        type Leave = fn(&mut Stage) -> Vec<Seen>;
        let ways: [(Leave, &[Seen]); 9] = [
            (|s| s.receive(&[0xC1, 0]), &lost(Cause::Frame(FrameError::ReservedBits))),
            (|s| s.receive(&peer::close(1001)), &lost(Cause::ClosedByPeer)),
            (|s| s.receive(&[0x82, 0]), &lost(Cause::Binary)),
            (
                |s| {
                    s.session.closed(false, s.now);
                    s.seen()
                },
                &lost(Cause::StreamCut),
            ),
            (
                |s| {
                    s.session.closed(true, s.now);
                    s.seen()
                },
                &lost(Cause::StreamEnded),
            ),
            (
                |s| {
                    s.session.close(s.now);
                    s.seen()
                },
                &[Seen::Lost(Cause::Closed)],
            ),
            (
                |s| {
                    assert!(s.session.resync(s.now));
                    s.seen()
                },
                &[Seen::Lost(Cause::Resync)],
            ),
            (
                |s| {
                    s.session.fail(Cause::Unconnected, s.now);
                    s.seen()
                },
                &lost(Cause::Unconnected),
            ),
            (
                |s| {
                    s.pass(20 * SECONDS);
                    s.pass(5 * SECONDS)
                },
                &lost(Cause::PongMissing),
            ),
        ];
        for (leave, expected) in ways {
            let mut stage = Stage::live();
            assert_eq!(leave(&mut stage), expected);
            assert_ne!(stage.session.state(), State::Live);
            assert_eq!(stage.seen(), []);
            assert_eq!(stage.session.counters().lost, 1);
        }
    }

    #[test]
    fn what_was_received_before_the_stream_broke_is_yielded_first() {
        let mut stage = Stage::live();
        let mut bytes = peer::text("fill");
        bytes.extend(&peer::text("cut off")[..5]);
        assert_eq!(crate::proto::receive(&mut stage.session, &bytes, stage.now), bytes.len());
        stage.session.closed(true, stage.now);
        let expected = [&[Seen::Payload("fill".into())][..], &lost(Cause::StreamCut)].concat();
        assert_eq!(stage.seen(), expected, "an end inside a message is a cut");
    }

    #[test]
    fn a_resync_goes_back_to_syncing_and_may_live_again() {
        let mut stage = Stage::live();
        assert!(stage.session.resync(stage.now));
        assert_eq!(stage.session.state(), State::Syncing);
        assert!(stage.session.request(b"unsubscribe", stage.now));
        stage.sync();
        assert_eq!(stage.seen(), [Seen::Lost(Cause::Resync)], "told although live again");
        assert!(stage.session.resync(stage.now));
        assert!(!stage.session.resync(stage.now), "it is syncing already");
        assert_eq!(stage.seen(), [Seen::Lost(Cause::Resync)]);
    }

    /// A feed spent its subscribe requests in the middle of a step and was given back before it was
    /// asked; every connection after that was taken for the failure of the one before it, and no
    /// book came again.
    #[test]
    fn a_failure_that_nobody_asked_for_is_not_told_of_the_next_connection() {
        let mut stage = Stage::live();
        stage.session.fail(Cause::SubscribeBudget, stage.now);
        assert!(stage.session.is_offline() && !stage.session.is_over(), "it still has to tell");
        stage.now = stage.now.after(60 * SECONDS);
        stage.session.step(stage.now);
        assert!(stage.session.open(stage.now));
        assert_eq!(stage.seen(), []);
        assert_eq!(stage.session.state(), State::Opening);
    }

    #[test]
    fn every_wait_has_its_deadline() {
        let mut stage = Stage::new(false);
        stage.session.open(stage.now);
        assert_eq!(stage.session.deadline(), stage.now.after(5 * SECONDS));
        assert_eq!(stage.pass(5 * SECONDS - 1), []);
        assert_eq!(stage.pass(1), [Seen::Failed(Cause::OpenTimeout)]);

        let mut stage = Stage::new(true);
        stage.open();
        assert_eq!(stage.pass(3 * SECONDS), []);
        stage.session.login(b"login", stage.now);
        assert_eq!(stage.pass(5 * SECONDS - 1), []);
        assert_eq!(stage.pass(1), [Seen::Failed(Cause::LoginTimeout)]);

        let mut stage = Stage::new(false);
        stage.open();
        stage.session.subscribe(b"subscribe", 2, stage.now);
        stage.session.on_subscribed(1);
        assert_eq!(stage.pass(5 * SECONDS - 1), []);
        assert_eq!(stage.pass(1), [Seen::Failed(Cause::SubscribeTimeout)]);

        let mut stage = Stage::new(false);
        stage.open();
        assert_eq!(stage.pass(10 * SECONDS - 1), []);
        assert_eq!(stage.pass(1), [Seen::Failed(Cause::SyncTimeout)]);
    }

    #[test]
    fn silence_is_measured_from_the_last_byte() {
        let mut stage = Stage::live();
        stage.session.settings.pong_ns_max = 60 * SECONDS;
        stage.pass(20 * SECONDS);
        stage.receive(&peer::text("half a frame")[..3]);
        assert_eq!(stage.pass(30 * SECONDS - 1), []);
        assert_eq!(stage.pass(1), lost(Cause::Silence));
    }

    #[test]
    fn a_text_ping_goes_out_every_20_seconds_and_its_answer_is_not_yielded() {
        let mut stage = Stage::live();
        for _ in 0..10 {
            assert_eq!(stage.session.deadline(), stage.now.after(20 * SECONDS));
            assert_eq!(stage.pass(20 * SECONDS), []);
            assert_eq!(stage.sent(), ["ping"]);
            for byte in peer::text("pong") {
                assert_eq!(stage.receive(&[byte]), []);
            }
        }
        assert_eq!(stage.session.counters().pings, 10);
        assert_eq!(stage.session.counters().pongs, 10);
        assert_eq!(stage.session.state(), State::Live);
    }

    #[test]
    fn a_ping_ahead_of_its_turn_goes_out_once_until_it_is_answered() {
        let mut stage = Stage::live();
        stage.pass(7 * SECONDS);
        for _ in 0..2 {
            stage.session.ping_now(stage.now);
        }
        assert_eq!(stage.sent(), ["ping"], "its answer is awaited");
        assert_eq!(stage.session.deadline(), stage.now.after(5 * SECONDS), "and must come");
        assert_eq!(stage.receive(&peer::text("pong")), []);
        assert_eq!(stage.session.deadline(), stage.now.after(20 * SECONDS), "the turn moves");
        stage.session.ping_now(stage.now);
        assert_eq!(stage.sent(), ["ping"]);
        let mut down = Session::new(stage.session.settings.clone(), [1; 32]);
        down.ping_now(stage.now);
        assert_eq!(down.transmit(), b"");
    }

    #[test]
    fn data_does_not_stand_for_the_answer_to_a_ping() {
        let mut stage = Stage::live();
        stage.pass(20 * SECONDS);
        assert_eq!(stage.receive(&peer::text("data")), [Seen::Payload("data".into())]);
        assert_eq!(stage.pass(5 * SECONDS), lost(Cause::PongMissing));
    }

    #[test]
    fn a_flood_of_pings_is_answered_by_the_last_one_that_fits() {
        let mut stage = Stage::live();
        for round in 0..10_000u32 {
            assert_eq!(stage.receive(&peer::frame(0x89, &round.to_be_bytes())), []);
        }
        let frames = peer::read_client(&stage.sent_bytes());
        let answers: Vec<_> = frames.iter().map(|(first, _, plain)| (*first, &plain[..])).collect();
        assert_eq!(answers, [(0x8A, &[0, 0, 0, 0][..]), (0x8A, &9_999u32.to_be_bytes()[..])]);
    }

    #[test]
    fn no_window_sees_more_messages_than_the_pace_and_the_ping_has_its_place() {
        let mut stage = Stage::live();
        stage.now = stage.now.after(19 * SECONDS + 500 * MILLIS);
        for n in 0..40 {
            assert!(stage.session.subscribe(format!("batch {n}").as_bytes(), 10, stage.now));
        }
        let mut sent = Vec::new();
        while sent.len() < 41 {
            for text in stage.sent() {
                sent.push((stage.now, text));
            }
            stage.session.on_subscribed(stage.session.acks_due);
            stage.now = stage.session.deadline();
            stage.session.step(stage.now);
        }
        for window in sent.windows(11) {
            assert!(window[10].0.since(window[0].0) >= 1_100 * MILLIS, "{window:?}");
        }
        let ping = sent.iter().find(|(_, text)| text == "ping").unwrap();
        assert_eq!(ping.0, MonoNanos(1_020 * SECONDS), "on time although 40 batches wait");
        let batches: Vec<_> = sent.iter().filter(|(_, text)| text != "ping").collect();
        for (n, (_, text)) in batches.into_iter().enumerate() {
            assert_eq!(*text, format!("batch {n}"));
        }
    }

    #[test]
    fn an_order_is_sent_now_or_not_at_all() {
        let mut stage = Stage::live();
        stage.now = stage.now.after(2 * SECONDS);
        for _ in 0..9 {
            assert_eq!(stage.session.send(b"order", stage.now), Ok(()));
        }
        assert_eq!(stage.session.send(b"order", stage.now), Err(NotSent::Paced));
        assert_eq!(stage.sent().len(), 9);
        stage.now = stage.now.after(1_100 * MILLIS);
        assert_eq!(stage.session.send(b"order", stage.now), Ok(()));
        assert_eq!(stage.session.send(&[b'x'; 4097], stage.now), Err(NotSent::TooLong));
        assert_eq!(stage.sent(), ["order"]);
        assert_eq!(stage.session.counters().paced, 1);
    }

    #[test]
    fn the_budget_of_subscribe_requests_is_never_exceeded() {
        let mut stage = Stage::live();
        let mut sent = 1;
        let seen = loop {
            if stage.session.state() == State::Live {
                stage.session.subscribe(b"again", 1, stage.now);
            }
            sent += stage.sent().iter().filter(|text| *text == "again").count();
            stage.session.on_subscribed(1);
            let mut seen = stage.receive(&peer::text("pong"));
            seen.extend(stage.pass(2 * SECONDS));
            if !seen.is_empty() {
                break seen;
            }
        };
        assert_eq!(seen, lost(Cause::SubscribeBudget));
        assert_eq!(sent, SUBSCRIBES_MAX as usize);
    }

    #[test]
    fn backoff_doubles_with_jitter_to_its_limit_and_begins_anew_after_a_steady_time() {
        let mut stage = Stage::new(false);
        let mut most = 100 * MILLIS;
        for _ in 0..12 {
            stage.session.open(stage.now);
            stage.session.fail(Cause::Unconnected, stage.now);
            assert_eq!(stage.seen(), [Seen::Failed(Cause::Unconnected)]);
            assert!(!stage.session.open(stage.now), "it backs off");
            let waited = stage.until_down();
            assert!((most / 2..=most).contains(&waited), "{waited} of {most}");
            most = (most * 2).min(10 * SECONDS);
        }
        stage.open();
        stage.sync();
        stage.session.fail(Cause::Unconnected, stage.now);
        stage.seen();
        assert!(stage.until_down() >= 5 * SECONDS, "a short life changes nothing");
        stage.open();
        stage.sync();
        stage.pass(10 * SECONDS);
        stage.now = stage.now.after(20 * SECONDS);
        stage.session.fail(Cause::Unconnected, stage.now);
        assert!(stage.until_down() <= 100 * MILLIS);
    }

    #[test]
    fn a_refused_login_waits_long_and_the_third_one_for_a_person() {
        let mut stage = Stage::new(true);
        for refusal in 1..=3 {
            stage.open();
            stage.session.login(b"login", stage.now);
            stage.session.on_login(false, stage.now);
            assert_eq!(stage.seen(), [Seen::Failed(Cause::LoginRefused)]);
            assert_eq!(stage.session.login_refusals(), refusal);
            if refusal < 3 {
                assert!(stage.until_down() >= 10 * SECONDS);
            }
        }
        assert_eq!(stage.session.state(), State::BackingOff { until: MonoNanos::NEVER });
        assert_eq!(stage.session.deadline(), MonoNanos::NEVER);
        stage.session.retry(stage.now);
        assert_eq!(stage.session.state(), State::Down);
        stage.open();
        stage.session.on_login(true, stage.now);
        assert_eq!(stage.session.login_refusals(), 0);
    }

    #[test]
    fn closing_says_goodbye_and_ends_by_answer_by_end_or_by_time() {
        let endings: [fn(&mut Stage) -> Vec<Seen>; 3] = [
            |s| s.receive(&peer::close(1000)),
            |s| {
                s.session.closed(true, s.now);
                s.seen()
            },
            |s| s.pass(SECONDS),
        ];
        for end in endings {
            let mut stage = Stage::live();
            stage.session.send(b"last order", stage.now).unwrap();
            stage.session.close(stage.now);
            assert_eq!(stage.session.state(), State::Closing);
            let frames = peer::read_client(&stage.sent_bytes());
            assert_eq!(frames[0].2, b"last order");
            assert_eq!((frames[1].0, &frames[1].2[..]), (0x88, &[3, 0xE8][..]));
            let late = stage.receive(&peer::text("late fill"));
            assert_eq!(late, [Seen::Lost(Cause::Closed), Seen::Payload("late fill".into())]);
            assert_eq!(end(&mut stage), []);
            assert_eq!(stage.session.state(), State::Down);
            assert_eq!(stage.open(), [Seen::Opened], "a new connection may follow");
        }
    }

    #[test]
    fn a_session_without_a_connection_closes_at_once() {
        let mut stage = Stage::new(false);
        stage.session.open(stage.now);
        stage.session.close(stage.now);
        assert_eq!(stage.session.state(), State::Down);
        assert!(stage.session.transmit().is_empty());
        stage.session.open(stage.now);
        stage.session.fail(Cause::Unconnected, stage.now);
        stage.session.close(stage.now);
        assert_eq!(stage.session.state(), State::Down);
        assert_eq!(stage.session.deadline(), MonoNanos::NEVER);
    }

    #[test]
    fn a_refused_upgrade_names_its_status() {
        let mut stage = Stage::new(false);
        stage.session.open(stage.now);
        stage.sent_bytes();
        let seen = stage.receive(b"HTTP/1.1 429 Too Many Requests\r\n\r\nslow down");
        assert_eq!(seen, [Seen::Failed(Cause::Upgrade(UpgradeError::Status(429)))]);
    }

    #[test]
    fn what_nobody_waits_for_is_counted_and_changes_nothing() {
        let mut stage = Stage::live();
        stage.session.on_login(false, stage.now);
        stage.session.on_subscribed(3);
        assert!(!stage.session.login(b"again", stage.now));
        assert!(!stage.session.on_synced(stage.now));
        assert_eq!(stage.session.counters().unexpected, 1 + 3 + 1 + 1);
        assert_eq!(stage.session.state(), State::Live);
        assert_eq!(stage.sent(), Vec::<String>::new());
    }

    #[test]
    fn masks_are_fresh_and_one_seed_gives_one_stream() {
        let run = |seed| {
            let settings = Settings::new("ws.example", "/", false);
            let mut stage =
                Stage { session: Session::new(settings, seed), now: MonoNanos(SECONDS) };
            stage.open();
            let mut bytes = Vec::new();
            for _ in 0..200 {
                stage.pass(2 * SECONDS);
                stage.receive(&peer::text("pong"));
                if stage.session.send(b"order", stage.now).is_err() {
                    break;
                }
                bytes.extend(stage.sent_bytes());
            }
            bytes
        };
        let bytes = run([1; 32]);
        assert_eq!(bytes, run([1; 32]));
        assert_ne!(bytes, run([2; 32]));
        let masks: std::collections::BTreeSet<_> =
            peer::read_client(&bytes).into_iter().map(|(_, mask, _)| mask).collect();
        assert_eq!(masks.len(), peer::read_client(&bytes).len());
    }

    #[test]
    fn the_drawing_shows_the_table() {
        let drawn =
            include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/states/session.dot"));
        assert_eq!(dot(), drawn, "write this into docs/states/session.dot:\n{}", dot());
    }

    #[test]
    fn the_table_has_one_move_for_each_state_and_trigger() {
        for (n, one) in MOVES.iter().enumerate() {
            let same = |other: &&(Phase, Trigger, Phase)| (other.0, other.1) == (one.0, one.1);
            assert_eq!(MOVES.iter().position(|other| same(&other)), Some(n), "{one:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_happens_a_step_leaves_nothing_due_and_every_loss_is_told(
            steps in prop::collection::vec((0u8..16, 0u64..8_000), 0..200),
            login in any::<bool>(),
        ) {
            let mut stage = Stage::new(login);
            let mut was_live = 0;
            let mut told = 0;
            for (action, millis) in steps {
                let now = stage.now;
                let session = &mut stage.session;
                match action {
                    0..=2 if session.state() == State::Down => {
                        told += stage.open().iter().filter(|s| matches!(s, Seen::Lost(_))).count();
                    }
                    3 => session.on_login(millis % 8 != 0, now),
                    4 => { session.login(b"login", now); }
                    5 => { session.subscribe(b"topics", 3, now); }
                    6 => session.on_subscribed(3),
                    7 | 8 => was_live += usize::from(session.on_synced(now)),
                    9 => { session.resync(now); }
                    10 => { let _ = session.send(b"order", now); }
                    11 => { crate::proto::receive(session, &peer::text("pong"), now); }
                    12 => { crate::proto::receive(session, &peer::text("data"), now); }
                    13 if millis < 800 => session.close(now),
                    14 if millis < 800 => session.closed(millis % 2 == 0, now),
                    15 if millis < 400 => session.retry(now),
                    _ => {}
                }
                if millis % 3 > 0 {
                    stage.sent_bytes();
                }
                let seen = stage.pass(millis * MILLIS);
                told += seen.iter().filter(|s| matches!(s, Seen::Lost(_))).count();
                prop_assert!(stage.session.deadline() > stage.now);
                prop_assert_eq!(stage.session.counters().lost as usize, told);
                let live = usize::from(stage.session.state() == State::Live);
                prop_assert_eq!(was_live, told + live);
            }
        }
    }
}
