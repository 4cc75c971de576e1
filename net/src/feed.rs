//! The feed: market data of all instruments, from a session's payloads to the engine's link.
//!
//! It owns no socket and reads no clock: whoever runs it lends the sessions, the time and a way to
//! stamp. There are two seats for sessions: before the venue ends one by its age, the next is made
//! ready on the other seat and takes over, one instrument after the other.

mod rotation;
#[cfg(test)]
mod tests;

use keel_core::event::{self, Event, FeedState, Stream};
use keel_core::instrument::InstrumentId;
use keel_core::units::{MonoNanos, SECONDS};

use crate::bitget::client::Instance;
use crate::bitget::decode::{Control, Counters, DecodeError, Decoder, Message, Sink};
use crate::bitget::topics::{self, Channel, Directory, Subscription};
use crate::dispatch::Arrival;
use crate::link::{Receiver, Sender};
use crate::proto::session::{Incoming, Session, State, TOPICS_MAX};
use rotation::Rotation;

/// Market data of one account's instruments.
#[derive(Debug)]
pub struct Feed {
    decoder: Decoder,
    directory: Directory,
    to_engine: Sender<Arrival>,
    asked: Receiver<Asked>,
    /// Seats that hold a session, and the one in use.
    held: [bool; 2],
    using: usize,
    /// The next session is being made ready, since then; `None` while there is none.
    turning: Option<MonoNanos>,
    rotation: Rotation,
    /// Told before anything else: the session has left live, or the link has lost events.
    owed: Option<FeedState>,
    /// The session in use came live while another was; the engine is to be told after `owed`.
    came_live: bool,
    /// The engine has been shown something since it was last told of a loss. A session shows
    /// books before the last of its subscriptions is answered.
    shown: bool,
    /// Pongs that each seat's session has counted, and that the one in use has had one since the
    /// engine was told.
    pongs: [u64; 2],
    ponged: bool,
    /// The engine wants a pong.
    pings: bool,
    /// Books that are to be subscribed to anew, and how many.
    wanted: Vec<bool>,
    wanted_count: usize,
    /// When each was last subscribed to anew.
    resynced: Vec<MonoNanos>,
    connects: u32,
    text: Vec<u8>,
}

/// What the engine asks of the feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// A contract's book made anew; [`InstrumentId::ALL`] for every one.
    Book(InstrumentId),
    /// A pong.
    Pong,
}

/// Subscribes to the market of every listed instrument.
pub fn subscribe(directory: &Directory, session: &mut Session, now: MonoNanos) {
    let market = |channel, symbol| Subscription::market(channel, symbol);
    let wanted: Vec<Subscription> = directory
        .iter()
        .flat_map(|(_, rules)| CHANNELS.map(|channel| market(channel, rules.symbol)))
        .collect();
    let mut text = Vec::new();
    for chunk in wanted.chunks(TOPICS_MAX as usize) {
        topics::subscribe(chunk, &mut text);
        session.subscribe(&text, chunk.len() as u32, now);
    }
}

/// What is subscribed to for each instrument.
const CHANNELS: [Channel; 3] = [Channel::Books, Channel::PublicTrade, Channel::Ticker];

/// The next session takes over in this time, or without what it has not shown by then.
const TURN_NS_MAX: u64 = 20 * SECONDS;

/// A book is not subscribed to anew more often than this.
const RESYNC_NS_MIN: u64 = SECONDS;

impl Feed {
    /// A feed over the instruments of `directory`.
    pub fn new(directory: Directory, to_engine: Sender<Arrival>, asked: Receiver<Asked>) -> Self {
        // Market data names no orders, so the decoder's instance does not matter.
        let instance = Instance::parse("feed").expect("a plain name");
        let rotation = Rotation::new(directory.len());
        Self {
            decoder: Decoder::new(instance),
            wanted: vec![false; directory.len()],
            wanted_count: 0,
            resynced: vec![MonoNanos::ZERO; directory.len()],
            directory,
            to_engine,
            asked,
            held: [false; 2],
            using: 0,
            turning: None,
            rotation,
            owed: None,
            came_live: false,
            shown: false,
            pongs: [0; 2],
            ponged: false,
            pings: false,
            connects: 0,
            text: Vec::with_capacity(4_096),
        }
    }

    /// Takes a session over that has just been opened elsewhere: subscribes to everything. Beside
    /// one in use it is the next.
    ///
    /// # Panics
    /// When the seat is taken.
    pub fn adopt(&mut self, seat: usize, session: &mut Session, now: MonoNanos) {
        assert!(!self.held[seat], "a seat holds one session");
        self.held[seat] = true;
        self.pongs[seat] = session.counters().pongs;
        self.connects += 1;
        if self.held[1 - seat] {
            self.turning = Some(now);
            self.rotation.begin();
        } else {
            (self.using, self.turning) = (seat, None);
            // A new connection has every book anew.
            self.wanted.fill(false);
            self.wanted_count = 0;
        }
        subscribe(&self.directory, session, now);
    }

    /// Says that the session on `seat` has been given back.
    pub fn retire(&mut self, seat: usize) {
        self.held[seat] = false;
        if self.turning.is_some() {
            self.give_up(seat);
        }
    }

    /// Reads what the sessions have received and puts it on the engine's link; gives how many
    /// payloads there were. `stamp` reads the clock.
    pub fn step(
        &mut self,
        mut sessions: [Option<&mut Session>; 2],
        stamp: &impl Fn() -> MonoNanos,
        now: MonoNanos,
    ) -> usize {
        self.pay(now);
        let mut work = 0;
        for seat in [self.using, 1 - self.using] {
            let Some(session) = sessions[seat].as_deref_mut() else { continue };
            work += self.read(seat, session, stamp, now);
            let pongs = session.counters().pongs;
            let answered = std::mem::replace(&mut self.pongs[seat], pongs) != pongs;
            self.ponged |= answered && seat == self.using;
            let synced = session.state() == State::Syncing && session.on_synced(now);
            self.came_live |= synced && seat == self.using;
        }
        self.take_asked();
        self.resubscribe(&mut sessions, now);
        if std::mem::take(&mut self.pings)
            && let Some(session) = sessions[self.using].as_deref_mut()
        {
            session.ping_now(now);
        }
        self.end_rotation(&mut sessions, now);
        self.pay(now);
        if self.owed.is_none() && std::mem::take(&mut self.came_live) {
            self.tell(FeedState::Live, now);
        }
        // Without room it is not told: the engine asks again.
        if std::mem::take(&mut self.ponged) && self.owed.is_none() {
            self.push(FeedState::Pong, now);
        }
        work
    }

    /// When it wants to be stepped without anything arriving.
    pub fn deadline(&self) -> MonoNanos {
        self.turning.map_or(MonoNanos::NEVER, |since| since.after(TURN_NS_MAX))
    }

    /// What the decoder has seen.
    pub fn counters(&self) -> &Counters {
        self.decoder.counters()
    }

    /// True when the engine is gone.
    pub fn is_abandoned(&self) -> bool {
        self.to_engine.is_abandoned()
    }

    fn read(
        &mut self,
        seat: usize,
        session: &mut Session,
        stamp: &impl Fn() -> MonoNanos,
        now: MonoNanos,
    ) -> usize {
        let mut payloads = 0;
        let mut topics_answered = 0;
        while let Some(incoming) = session.next(now) {
            let payload = match incoming {
                Incoming::Lost(_) | Incoming::Failed(_) if self.turning.is_some() => {
                    self.give_up(seat);
                    continue;
                }
                // The one before has been closed.
                Incoming::Lost(_) if seat != self.using => continue,
                Incoming::Lost(_) => {
                    self.lose();
                    continue;
                }
                Incoming::Failed(_) if seat == self.using && self.shown => {
                    self.lose();
                    continue;
                }
                Incoming::Opened | Incoming::Failed(_) => continue,
                Incoming::Payload(payload) => payload,
            };
            payloads += 1;
            if self.owed.is_some() {
                // A hole is told of first; what follows it without a snapshot is worth nothing.
                continue;
            }
            let mut sink = LinkSink { link: &mut self.to_engine, rx: now, stamp };
            let next = seat != self.using;
            let message = match self.turning {
                None if next => continue,
                None => self.decoder.read(payload, &self.directory, &mut sink),
                Some(_) => {
                    let mut sink = self.rotation.sink(next, sink);
                    self.decoder.read(payload, &self.directory, &mut sink)
                }
            };
            match message {
                Ok(Message::Control(Control::Subscribed(..) | Control::SubscribeFailed(_))) => {
                    topics_answered += 1;
                }
                Ok(Message::Events(_)) => self.shown = true,
                Ok(Message::Control(_) | Message::Unread) => {}
                Err(DecodeError::Full) => self.owed = Some(FeedState::Gap),
                // Counted by the decoder; a books frame that is missing breaks the chain.
                Err(_) => {}
            }
        }
        if topics_answered > 0 {
            session.on_subscribed(topics_answered);
        }
        payloads
    }

    /// The session in use has ended, and what it has shown is worth nothing any more.
    fn lose(&mut self) {
        (self.owed, self.came_live, self.shown) = (Some(FeedState::Lost), false, false);
    }

    /// One of two sessions has ended before the next had taken over. What it had delivered is lost
    /// with it: books are made anew on the one that is left.
    fn give_up(&mut self, seat: usize) {
        self.turning = None;
        if seat == self.using {
            (self.using, self.owed, self.came_live) = (1 - seat, Some(FeedState::Lost), true);
            // Of these the session that is left has shown its first book already.
            for place in 0..self.wanted.len() {
                if self.rotation.has_moved(place) {
                    self.want(place);
                }
            }
        } else if self.rotation.has_begun() {
            self.owed = Some(FeedState::Gap);
        }
    }

    /// The next session is the one in use once it has every instrument, and the one before is
    /// closed. Instruments that have not moved in time are made anew.
    fn end_rotation(&mut self, sessions: &mut [Option<&mut Session>; 2], now: MonoNanos) {
        let Some(since) = self.turning else { return };
        let next = 1 - self.using;
        let live = sessions[next].as_deref().is_some_and(|next| next.state() == State::Live);
        let late = now.since(since) >= TURN_NS_MAX;
        if !live || !(self.rotation.is_complete() || late) {
            return;
        }
        self.turning = None;
        if let Some(before) = sessions[self.using].as_deref_mut() {
            before.close(now);
        }
        self.using = next;
        let left = if self.rotation.is_complete() { FeedState::Rotated } else { FeedState::Gap };
        self.tell(left, now);
    }

    fn take_asked(&mut self) {
        while let Some(asked) = self.asked.pop() {
            let Asked::Book(id) = asked else {
                self.pings = true;
                continue;
            };
            for place in 0..self.wanted.len() {
                if id == InstrumentId::ALL || place == id.index() {
                    self.want(place);
                }
            }
        }
    }

    /// Subscribes anew to books that the engine has dropped, each at most once in a while.
    fn resubscribe(&mut self, sessions: &mut [Option<&mut Session>; 2], now: MonoNanos) {
        if self.wanted_count == 0 {
            return;
        }
        for place in 0..self.wanted.len() {
            let again = self.resynced[place].after(RESYNC_NS_MIN);
            if !self.wanted[place] || (now < again && self.resynced[place] != MonoNanos::ZERO) {
                continue;
            }
            let moved = self.turning.is_some() && self.rotation.has_moved(place);
            let seat = if moved { 1 - self.using } else { self.using };
            let Some(session) = sessions[seat].as_deref_mut() else { continue };
            let symbol = self.directory.symbol(InstrumentId(place as u16));
            let book = [Subscription::market(Channel::Books, symbol.expect("listed"))];
            topics::unsubscribe(&book, &mut self.text);
            let ended = session.request(&self.text, now);
            topics::subscribe(&book, &mut self.text);
            if ended && session.subscribe(&self.text, 1, now) {
                self.wanted[place] = false;
                self.wanted_count -= 1;
                self.resynced[place] = now;
            }
        }
    }

    fn want(&mut self, place: usize) {
        self.wanted_count += usize::from(!std::mem::replace(&mut self.wanted[place], true));
    }

    /// Tells what is owed, once there is room.
    fn pay(&mut self, now: MonoNanos) {
        if let Some(state) = self.owed
            && self.push(state, now)
        {
            self.owed = None;
        }
    }

    fn tell(&mut self, state: FeedState, now: MonoNanos) {
        if !self.push(state, now) {
            self.owed = Some(FeedState::Gap);
        }
    }

    fn push(&mut self, state: FeedState, now: MonoNanos) -> bool {
        let event = Event::Feed(event::Feed {
            stream: Stream::Public,
            state,
            instrument: InstrumentId::ALL,
            connects: self.connects,
        });
        self.to_engine.push(Arrival { event, rx: now, decoded: now }).is_ok()
    }
}

/// Puts events on a link, all of a payload or none.
pub(crate) struct LinkSink<'a, S> {
    pub(crate) link: &'a mut Sender<Arrival>,
    pub(crate) rx: MonoNanos,
    pub(crate) stamp: &'a S,
}

impl<S: Fn() -> MonoNanos> Sink for LinkSink<'_, S> {
    fn put<I: ExactSizeIterator<Item = Event>>(&mut self, events: I) -> bool {
        let decoded = (self.stamp)();
        let count = events.len();
        let mut run = self.link.run(count);
        for event in events {
            // A run that overflows publishes nothing, and its commit says so.
            let _ = run.push(Arrival { event, rx: self.rx, decoded });
        }
        run.commit().is_ok()
    }
}
