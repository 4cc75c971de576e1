//! The feed: market data of all instruments, from a session's payloads to the engine's link.
//!
//! It owns no socket and reads no clock: whoever runs it lends the session, the time and a way to
//! stamp.

use keel_core::command::Resync;
use keel_core::event::{self, Event, FeedState, Stream};
use keel_core::instrument::InstrumentId;
use keel_core::units::{MonoNanos, SECONDS};

use crate::bitget::client::Instance;
use crate::bitget::decode::{Control, Counters, DecodeError, Decoder, Message, Sink};
use crate::bitget::topics::{self, Channel, Directory, Subscription};
use crate::dispatch::Arrival;
use crate::link::{Receiver, Sender};
use crate::proto::session::{Incoming, Session, State, TOPICS_MAX};

/// Market data of one account's instruments.
#[derive(Debug)]
pub struct Feed {
    decoder: Decoder,
    directory: Directory,
    to_engine: Sender<Arrival>,
    resyncs: Receiver<Resync>,
    /// Told before anything else: the session has left live, or the link has lost events.
    owed: Option<FeedState>,
    /// Books that are to be subscribed to anew, and how many.
    wanted: Vec<bool>,
    wanted_count: usize,
    /// When each was last subscribed to anew.
    resynced: Vec<MonoNanos>,
    connects: u32,
    text: Vec<u8>,
}

/// What is subscribed to for each instrument.
const CHANNELS: [Channel; 3] = [Channel::Books, Channel::PublicTrade, Channel::Ticker];

/// A book is not subscribed to anew more often than this.
const RESYNC_NS_MIN: u64 = SECONDS;

impl Feed {
    /// A feed over the instruments of `directory`.
    pub fn new(
        directory: Directory,
        to_engine: Sender<Arrival>,
        resyncs: Receiver<Resync>,
    ) -> Self {
        // Market data names no orders, so the decoder's instance does not matter.
        let instance = Instance::parse("feed").expect("a plain name");
        Self {
            decoder: Decoder::new(instance),
            wanted: vec![false; directory.len()],
            wanted_count: 0,
            resynced: vec![MonoNanos::ZERO; directory.len()],
            directory,
            to_engine,
            resyncs,
            owed: None,
            connects: 0,
            text: Vec::with_capacity(4_096),
        }
    }

    /// Takes a session over that has just been opened elsewhere: subscribes to everything.
    pub fn adopt(&mut self, session: &mut Session, now: MonoNanos) {
        self.connects += 1;
        // A new connection has every book anew.
        self.wanted.fill(false);
        self.wanted_count = 0;
        let wanted: Vec<Subscription> = self
            .directory
            .iter()
            .flat_map(|(_, rules)| {
                CHANNELS.map(|channel| Subscription::market(channel, rules.symbol))
            })
            .collect();
        for chunk in wanted.chunks(TOPICS_MAX as usize) {
            topics::subscribe(chunk, &mut self.text);
            session.subscribe(&self.text, chunk.len() as u32, now);
        }
    }

    /// Reads what the session has received and puts it on the engine's link; gives how many
    /// payloads there were. `rx` is when their bytes had been read, `stamp` reads the clock.
    pub fn step(
        &mut self,
        session: Option<&mut Session>,
        stamp: &impl Fn() -> MonoNanos,
        now: MonoNanos,
    ) -> usize {
        self.pay(now);
        let mut work = 0;
        if let Some(session) = session {
            work += self.read(session, stamp, now);
            self.resubscribe(session, now);
            if session.state() == State::Syncing && session.on_synced(now) {
                self.tell(FeedState::Live, now);
            }
        }
        self.pay(now);
        work
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
        session: &mut Session,
        stamp: &impl Fn() -> MonoNanos,
        now: MonoNanos,
    ) -> usize {
        let mut payloads = 0;
        let mut topics_answered = 0;
        while let Some(incoming) = session.next(now) {
            match incoming {
                Incoming::Lost(_) => self.owed = Some(FeedState::Lost),
                Incoming::Opened | Incoming::Failed(_) => {}
                Incoming::Payload(payload) => {
                    payloads += 1;
                    if self.owed.is_some() {
                        // A hole is told of first; what follows it without a snapshot is worth
                        // nothing.
                        continue;
                    }
                    let mut sink = LinkSink { link: &mut self.to_engine, rx: now, stamp };
                    match self.decoder.read(payload, &self.directory, &mut sink) {
                        Ok(Message::Control(
                            Control::Subscribed(..) | Control::SubscribeFailed(_),
                        )) => topics_answered += 1,
                        Ok(Message::Events(_) | Message::Control(_) | Message::Unread) => {}
                        Err(DecodeError::Full) => self.owed = Some(FeedState::Gap),
                        // Counted by the decoder; a books frame that is missing breaks the chain.
                        Err(_) => {}
                    }
                }
            }
        }
        if topics_answered > 0 {
            session.on_subscribed(topics_answered);
        }
        payloads
    }

    /// Subscribes anew to books that the engine has dropped, each at most once in a while.
    fn resubscribe(&mut self, session: &mut Session, now: MonoNanos) {
        while let Some(resync) = self.resyncs.pop() {
            let all = resync.instrument == InstrumentId::ALL;
            for (place, wanted) in self.wanted.iter_mut().enumerate() {
                if all || place == resync.instrument.index() {
                    self.wanted_count += usize::from(!std::mem::replace(wanted, true));
                }
            }
        }
        if self.wanted_count == 0 {
            return;
        }
        for place in 0..self.wanted.len() {
            let again = self.resynced[place].after(RESYNC_NS_MIN);
            if !self.wanted[place] || (now < again && self.resynced[place] != MonoNanos::ZERO) {
                continue;
            }
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
