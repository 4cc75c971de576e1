//! The gateway: private truth in, orders out, and the last hand on the switch.
//!
//! It owns no socket and reads no clock: whoever runs it lends a session, an HTTP connection, the
//! time and a way to stamp. A create is sent at most once; one that could not be sent is answered
//! as not sent. When the engine is gone without having stopped in order, or a private event finds
//! no room, the gateway cancels everything and ends.

use std::collections::VecDeque;

use keel_core::command::{Cancel, CancelAll, Command, Plain};
use keel_core::event::{
    self, ClientId, Event, FeedState, Outcome, RejectClass, Reply, RequestKind, Stream,
};
use keel_core::gate::Approved;
use keel_core::instrument::InstrumentId;
use keel_core::units::{MonoNanos, SECONDS, UnixNanos};

use crate::bitget::client::Instance;
use crate::bitget::decode::{Control, Counters, DecodeError, Decoder, Message};
use crate::bitget::encode::{BATCH_MAX, Encoder};
use crate::bitget::rest::{Answers, Call, RestError};
use crate::bitget::sign::Credentials;
use crate::bitget::topics::{self, Channel, Directory, Subscription};
use crate::dispatch::{Arrival, Dispatch, Sent};
use crate::feed::LinkSink;
use crate::link::{Receiver, Sender};
use crate::proto::http::Client;
use crate::proto::session::{Incoming, Session, State};

/// Orders and private updates of one account.
pub struct Gateway {
    decoder: Decoder,
    encoder: Encoder,
    directory: Directory,
    credentials: Credentials,
    to_engine: Sender<Arrival>,
    commands: Receiver<Dispatch>,
    /// The session has left live and the engine has not been told.
    lost: bool,
    connects: u32,
    /// Cancels of one instrument that go out together.
    cancels: Vec<Cancel>,
    /// Instruments whose orders are all to be canceled over HTTP.
    sweep: VecDeque<InstrumentId>,
    /// The instrument whose request is under way.
    sweeping: Option<InstrumentId>,
    /// After a request that failed, not before this.
    sweep_again: MonoNanos,
    answers: Answers,
    host: String,
    /// Stamps of orders that stand in the session's buffer.
    unsent: Vec<Sent>,
    ending: Ending,
    text: Vec<u8>,
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
    },
    /// Everything has been canceled, or could not be in time.
    Over,
}

/// Private channels. `fill` carries what the ledger needs; `fast-fill` would bring the same without
/// a fee.
const CHANNELS: [Channel; 4] = [Channel::Order, Channel::Fill, Channel::Position, Channel::Account];

/// Cancels of one instrument from which on they share a message.
const BATCH_MIN: usize = 3;

/// Commands taken in a cycle.
const QUOTA: usize = 64;

/// How long the dead-man tries.
const DEAD_MAN_NS_MAX: u64 = 10 * SECONDS;

/// How long a create that was on its way may still appear: the venue's receive window and a second.
const ZOMBIE_NS: u64 = 3 * SECONDS;

const _: () = assert!(ZOMBIE_NS < DEAD_MAN_NS_MAX);

impl Gateway {
    /// A gateway for the engine called `instance`; `host` is the venue's REST host, with its port
    /// where that is not 443.
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
            sweep: VecDeque::with_capacity(directory.len()),
            directory,
            credentials,
            to_engine,
            commands,
            lost: false,
            connects: 0,
            cancels: Vec::with_capacity(BATCH_MAX),
            sweeping: None,
            sweep_again: MonoNanos::ZERO,
            answers: Answers::new(instance, false),
            host: host.to_owned(),
            unsent: Vec::with_capacity(QUOTA),
            ending: Ending::Working,
            text: Vec::with_capacity(4_096),
        }
    }

    /// The same, asking the venue to refuse creates that arrive more than `window_ms` (10 to
    /// 60,000) late, which bounds how long one of unknown outcome may still appear.
    pub fn with_receive_window(self, window_ms: u16) -> Self {
        Self { encoder: self.encoder.with_receive_window(window_ms), ..self }
    }

    /// Takes a session over that has just been opened elsewhere: logs in. `utc` is the venue's
    /// time.
    pub fn adopt(&mut self, session: &mut Session, utc: UnixNanos, now: MonoNanos) {
        self.connects += 1;
        self.credentials.login(utc, &mut self.text);
        session.login(&self.text, now);
    }

    /// Reads what the session has received, sends what the engine wants sent, and sweeps over HTTP.
    pub fn step(
        &mut self,
        mut session: Option<&mut Session>,
        http: Option<&mut Client>,
        stamp: &impl Fn() -> MonoNanos,
        utc: UnixNanos,
        now: MonoNanos,
    ) -> usize {
        let mut work = 0;
        if let Some(session) = session.as_deref_mut() {
            work += self.read(session, stamp, now);
            if session.state() == State::Syncing && session.on_synced(now) {
                self.push(FeedState::Live, now);
            }
        }
        self.tell_lost(now);
        work += self.obey(session, utc, now);
        self.watch(now);
        if let Some(http) = http {
            work += self.advance_sweep(http, utc, now);
        }
        work
    }

    /// Says that the HTTP connection is gone: a request under way is sent again on the next.
    pub fn lose_http(&mut self) {
        if let Some(instrument) = self.sweeping.take() {
            self.sweep.push_back(instrument);
        }
    }

    /// Orders written to the session since the last call: stamp them once the bytes are out.
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

    /// When it wants to be stepped without anything arriving.
    pub fn deadline(&self) -> MonoNanos {
        match self.ending {
            Ending::DeadMan { until, again } => until.min(again).min(self.sweep_due()),
            Ending::Working if !self.sweep.is_empty() => self.sweep_due(),
            Ending::Working | Ending::InOrder | Ending::Over => MonoNanos::NEVER,
        }
    }

    fn sweep_due(&self) -> MonoNanos {
        if self.sweep.is_empty() { MonoNanos::NEVER } else { self.sweep_again }
    }

    fn read(
        &mut self,
        session: &mut Session,
        stamp: &impl Fn() -> MonoNanos,
        now: MonoNanos,
    ) -> usize {
        let mut payloads = 0;
        let mut login = None;
        let mut answered = 0;
        while let Some(incoming) = session.next(now) {
            let payload = match incoming {
                Incoming::Lost(_) => {
                    self.lost = true;
                    self.tell_lost(now);
                    continue;
                }
                Incoming::Opened | Incoming::Failed(_) => continue,
                Incoming::Payload(payload) => payload,
            };
            payloads += 1;
            let mut sink = LinkSink { link: &mut self.to_engine, rx: now, stamp };
            match self.decoder.read(payload, &self.directory, &mut sink) {
                Ok(Message::Control(control)) => match control {
                    Control::LoggedIn => login = Some(true),
                    Control::LoginFailed(_) => login = Some(false),
                    Control::Subscribed(..) => answered += 1,
                    // Cancels that were refused together go the other way in.
                    Control::BatchFailed { instrument, .. } => self.sweep(instrument),
                    // Without one of its channels a session is not live: the answer stays due,
                    // and the session begins anew.
                    Control::SubscribeFailed(_)
                    | Control::Pong
                    | Control::Unsubscribed(..)
                    | Control::Failed(_) => {}
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
            session.on_login(accepted, now);
            if accepted {
                let channels = CHANNELS.map(Subscription::account);
                topics::subscribe(&channels, &mut self.text);
                session.subscribe(&self.text, channels.len() as u32, now);
            }
        }
        if answered > 0 {
            session.on_subscribed(answered);
        }
        payloads
    }

    fn obey(&mut self, mut session: Option<&mut Session>, utc: UnixNanos, now: MonoNanos) -> usize {
        let mut taken = 0;
        while taken < QUOTA && self.ending == Ending::Working {
            let Some(dispatch) = self.commands.pop() else { break };
            taken += 1;
            let stamps = dispatch.stamps;
            match dispatch.command {
                Command::Place(order) => {
                    self.send_cancels(session.as_deref_mut(), now);
                    let spec = *order.spec();
                    if self.place(session.as_deref_mut(), order, utc, now) {
                        self.unsent.push(Sent { spec, stamps });
                    }
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
                    self.sweep(instrument);
                }
                Command::Plain(Plain::Stopped(stopped)) if stopped.open == 0 => {
                    self.ending = Ending::InOrder;
                }
                // Given up with orders that may rest: what can still be done is done here.
                Command::Plain(Plain::Stopped(_)) => self.die(now),
                Command::Plain(Plain::Query(_) | Plain::Resync(_) | Plain::Record(_)) => {}
            }
        }
        self.send_cancels(session, now);
        taken
    }

    /// Sends an order, or answers that it never left. True when it stands in the session's buffer.
    fn place(
        &mut self,
        session: Option<&mut Session>,
        order: Approved,
        utc: UnixNanos,
        now: MonoNanos,
    ) -> bool {
        let spec = *order.spec();
        let text = self.encoder.place(order, utc);
        let sent = session.is_some_and(|s| s.state() == State::Live && s.send(text, now).is_ok());
        if !sent {
            self.not_sent(spec.intent.instrument, spec.client, RequestKind::Place, now);
        }
        sent
    }

    /// Sends the cancels gathered so far, together where there are several.
    fn send_cancels(&mut self, mut session: Option<&mut Session>, now: MonoNanos) {
        if self.cancels.is_empty() {
            return;
        }
        let cancels = std::mem::take(&mut self.cancels);
        let mut left = &cancels[..];
        while !left.is_empty() {
            let (count, text) = if left.len() >= BATCH_MIN {
                let batch = self.encoder.cancel_batch(left);
                (batch.count, batch.text)
            } else {
                (1, self.encoder.cancel(&left[0]))
            };
            let session = session.as_deref_mut();
            let sent = session.is_some_and(|session| session.send(text, now).is_ok());
            let (asked, rest) = left.split_at(count);
            if !sent {
                asked.iter().for_each(|cancel| self.divert(cancel, now));
            }
            left = rest;
        }
        self.cancels = cancels;
        self.cancels.clear();
    }

    /// A cancel that the session cannot take now, for its pace or because it is down, does not wait
    /// for it: everything of the instrument is canceled the other way in.
    fn divert(&mut self, cancel: &Cancel, now: MonoNanos) {
        self.not_sent(cancel.instrument, cancel.client, RequestKind::Cancel, now);
        self.sweep(cancel.instrument);
    }

    fn not_sent(
        &mut self,
        instrument: InstrumentId,
        client: ClientId,
        request: RequestKind,
        now: MonoNanos,
    ) {
        let event = Event::Reply(Reply {
            instrument,
            client,
            request,
            outcome: Outcome::NotSent,
            order_id: 0,
            code: 0,
            class: RejectClass::None,
        });
        if self.to_engine.push(Arrival { event, rx: now, decoded: now }).is_err() {
            self.die(now);
        }
    }

    /// Says that the stream is lost, before anything else.
    fn tell_lost(&mut self, now: MonoNanos) {
        if self.lost {
            self.lost = false;
            self.push(FeedState::Lost, now);
        }
    }

    fn push(&mut self, state: FeedState, now: MonoNanos) {
        let event = Event::Feed(event::Feed {
            stream: Stream::Private,
            state,
            instrument: InstrumentId::ALL,
            connects: self.connects,
        });
        if self.to_engine.push(Arrival { event, rx: now, decoded: now }).is_err() {
            self.die(now);
        }
    }

    /// Adds instruments to those whose orders are all to be canceled.
    fn sweep(&mut self, instrument: InstrumentId) {
        for (id, _) in self.directory.iter() {
            let meant = instrument == InstrumentId::ALL || instrument == id;
            if meant && !self.sweep.contains(&id) {
                self.sweep.push_back(id);
            }
        }
    }

    /// One request at a time; one that failed is sent again, because a cancel does no harm twice.
    fn advance_sweep(&mut self, http: &mut Client, utc: UnixNanos, now: MonoNanos) -> usize {
        if let Some(instrument) = self.sweeping {
            let Some(outcome) = http.outcome() else { return 0 };
            let done = outcome.is_ok_and(|response| {
                let answer = self.answers.canceled(response.status(), response.body(), instrument);
                answer.is_ok() || answer.is_err_and(|error| is_nothing_there(&error))
            });
            http.finish();
            self.sweeping = None;
            if !done {
                self.sweep.push_back(instrument);
                self.sweep_again = now.after(SWEEP_PAUSE_NS);
            }
            return 1;
        }
        if now < self.sweep_again || !http.is_idle() {
            return 0;
        }
        let Some(&instrument) = self.sweep.front() else { return 0 };
        let call = Call::cancel_all(self.directory.symbol(instrument));
        if call.send(http, &self.host, Some(&self.credentials), utc, now).is_err() {
            return 0;
        }
        self.sweep.pop_front();
        self.sweeping = Some(instrument);
        1
    }

    /// Notices that the engine is gone, and when the dead-man has done what it can.
    fn watch(&mut self, now: MonoNanos) {
        match self.ending {
            Ending::Working if self.commands.is_finished() => self.die(now),
            Ending::DeadMan { until, again } => {
                let swept = self.sweep.is_empty() && self.sweeping.is_none();
                if now >= until || (swept && again == MonoNanos::NEVER) {
                    self.ending = Ending::Over;
                } else if swept && now >= again {
                    self.sweep(InstrumentId::ALL);
                    self.ending = Ending::DeadMan { until, again: MonoNanos::NEVER };
                }
            }
            Ending::Working | Ending::InOrder | Ending::Over => {}
        }
    }

    /// Cancels everything and ends.
    fn die(&mut self, now: MonoNanos) {
        if self.ending == Ending::Working {
            let (until, again) = (now.after(DEAD_MAN_NS_MAX), now.after(ZOMBIE_NS));
            self.ending = Ending::DeadMan { until, again };
            self.sweep(InstrumentId::ALL);
        }
    }
}

/// True when the venue says that there was nothing to cancel.
fn is_nothing_there(error: &RestError) -> bool {
    error.verdict().1 == RejectClass::NotFound
}

/// Pause after a cancel-all that failed.
const SWEEP_PAUSE_NS: u64 = SECONDS / 4;

#[cfg(test)]
mod tests;
