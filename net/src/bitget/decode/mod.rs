//! What the sockets say: payloads to events, all of a payload or nothing of it.
//!
//! Frames of the book, public trades and tickers go through the fast reader first: one pass over
//! the payload, in the key order that the venue uses. Whatever it does not recognize, and
//! everything else, is read by the second reader (simd-json over a scratch copy). Both give the
//! same events; neither allocates once its buffers have grown, or trusts a byte.

mod control;
#[cfg(test)]
mod differential;
mod digits;
mod fast;
mod page;
mod push;
pub(super) mod row;
pub(super) mod tape;
#[cfg(test)]
mod tests;

use keel_core::event::{Event, RequestKind};
use keel_core::instrument::InstrumentId;

use super::client::Instance;
use super::topics::{Channel, Directory, PONG};
use page::{Books, Level, Pages};
use tape::Scratch;

use crate::link::Sender;

/// Reads payloads of both sockets. Buffers are its own and are used again.
#[derive(Debug)]
pub struct Decoder {
    instance: Instance,
    levels: Vec<Level>,
    events: Vec<Event>,
    scratch: Scratch,
    counters: Counters,
}

impl Decoder {
    /// A decoder for the engine called `instance`, whose client ids it knows as own.
    pub fn new(instance: Instance) -> Self {
        Self {
            instance,
            levels: Vec::with_capacity(LEVELS_MAX),
            events: Vec::with_capacity(ROWS_MAX),
            scratch: Scratch::new(),
            counters: Counters::default(),
        }
    }

    /// Reads one payload, a whole text message, and puts its events into `sink`.
    ///
    /// # Errors
    /// See [`DecodeError`]; the sink has taken nothing then, and the error is counted.
    pub fn read<S: Sink>(
        &mut self,
        payload: &[u8],
        directory: &Directory,
        sink: &mut S,
    ) -> Result<Message, DecodeError> {
        self.counters.payloads += 1;
        let message = self.find(payload, directory).and_then(|found| self.deliver(&found, sink));
        if let Err(error) = message {
            self.counters.errors[error as usize] += 1;
        }
        message
    }

    /// What has been seen so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    fn find(&mut self, payload: &[u8], directory: &Directory) -> Result<Found, DecodeError> {
        if payload.len() > PAYLOAD_BYTES_MAX {
            return Err(DecodeError::TooLong);
        }
        if let Some(found) = fast::read(payload, directory, &mut self.levels, &mut self.events) {
            self.counters.fast += 1;
            return Ok(found);
        }
        if payload == PONG {
            return Ok(Found::Control(Control::Pong));
        }
        let Self { instance, levels, events, scratch, counters } = self;
        levels.clear();
        events.clear();
        let mut out =
            push::Out { directory, instance, levels, events, skipped: &mut counters.skipped };
        scratch.read(payload, |root| second(root, &mut out))
    }

    fn deliver<S: Sink>(&self, found: &Found, sink: &mut S) -> Result<Message, DecodeError> {
        let (taken, len) = match found {
            Found::Control(control) => return Ok(Message::Control(*control)),
            Found::Unread => return Ok(Message::Unread),
            Found::Books(books) => {
                let pages = Pages::new(*books, &self.levels);
                let len = pages.len();
                (sink.put(pages), len)
            }
            Found::Rows => (sink.put(self.events.iter().copied()), self.events.len()),
        };
        if taken { Ok(Message::Events(len as u32)) } else { Err(DecodeError::Full) }
    }
}

/// The second reader: any message of the sockets.
fn second(root: tape::Item<'_>, out: &mut push::Out<'_>) -> Result<Found, DecodeError> {
    let names = ["event", "action", "arg", "data", "ts", "id", "topic", "args", "code", "msg"];
    let [event, action, arg, data, ts, id, topic, args, code, msg] = root.fields(names)?;
    if let Some(event) = event {
        return control::read(&control::Answer { event, arg, id, topic, args, code, msg }, out);
    }
    let (Some(action), Some(arg), Some(data)) = (action, arg, data) else {
        return Err(DecodeError::Missing);
    };
    push::read(&push::Push { action, arg, data, ts }, out)
}

/// What a payload holds; levels and rows stand in the decoder's buffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    Books(Books),
    Rows,
    Control(Control),
    Unread,
}

/// Where the events of one payload go.
pub trait Sink {
    /// Takes all of `events`, in order, or, without room for all, none of them and says `false`.
    fn put<I: ExactSizeIterator<Item = Event>>(&mut self, events: I) -> bool;
}

/// A sink that is lent.
impl<S: Sink> Sink for &mut S {
    fn put<I: ExactSizeIterator<Item = Event>>(&mut self, events: I) -> bool {
        (**self).put(events)
    }
}

/// Cold readers collect; a vector takes everything.
impl Sink for Vec<Event> {
    fn put<I: ExactSizeIterator<Item = Event>>(&mut self, events: I) -> bool {
        self.extend(events);
        true
    }
}

/// A link takes the events of a payload as one run, and marks a gap when it has no room for it.
impl<T: Copy + Send + From<Event>> Sink for Sender<T> {
    fn put<I: ExactSizeIterator<Item = Event>>(&mut self, events: I) -> bool {
        let mut run = self.run(events.len());
        for event in events {
            if run.push(T::from(event)).is_err() {
                break;
            }
        }
        run.commit().is_ok()
    }
}

/// What a payload was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// Market data or account data; the sink has taken this many events.
    Events(u32),
    /// An answer that concerns the session.
    Control(Control),
    /// A push of a topic or a product that is not read here.
    Unread,
}

/// An answer that concerns the session, not the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// The text `pong`.
    Pong,
    /// The login was accepted.
    LoggedIn,
    /// The login was refused, with the venue's code (30004, 30005, 30011 to 30015).
    LoginFailed(u32),
    /// A subscription was accepted. The instrument is [`InstrumentId::ALL`] for private channels.
    Subscribed(Channel, InstrumentId),
    /// A subscription was ended.
    Unsubscribed(Channel, InstrumentId),
    /// A subscription was refused with this code (30001, 30016). Live frames do not say which.
    SubscribeFailed(u32),
    /// A batch was answered with one code for all its orders; none of them has a reply of its own.
    BatchFailed {
        /// What the batch asked for.
        request: RequestKind,
        /// Whose orders it held.
        instrument: InstrumentId,
        /// The number that the batch was encoded with.
        batch: u64,
        /// The venue's code.
        code: u32,
    },
    /// The answer to [`RequestId::Probe`](super::encode::RequestId::Probe): its code, 0 for
    /// success.
    Probed(u32),
    /// Any other error that the venue reports, with its code.
    Failed(u32),
}

/// Why a payload was refused. Nothing of it reached the sink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum DecodeError {
    /// Longer than [`PAYLOAD_BYTES_MAX`].
    TooLong,
    /// No JSON, or nested too deeply.
    Syntax,
    /// JSON, but not of a shape that the venue sends.
    Shape,
    /// A key that is read stands twice.
    Repeated,
    /// A key without which the message means nothing is missing or null.
    Missing,
    /// A number is no plain decimal text.
    Number,
    /// A number is too large for its place, or negative where none can be.
    Range,
    /// A price or a size is no multiple of its step. Nothing is ever rounded.
    OffGrid,
    /// Market data of a symbol that is not configured.
    Symbol,
    /// A word where the venue has a closed list of them (side, status, action, role).
    Word,
    /// An id that is no decimal number of 64 bits.
    Id,
    /// More levels or rows than [`LEVELS_MAX`] or [`ROWS_MAX`].
    TooMany,
    /// The sink had no room for all events.
    Full,
}

impl DecodeError {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 13] = [
        Self::TooLong,
        Self::Syntax,
        Self::Shape,
        Self::Repeated,
        Self::Missing,
        Self::Number,
        Self::Range,
        Self::OffGrid,
        Self::Symbol,
        Self::Word,
        Self::Id,
        Self::TooMany,
        Self::Full,
    ];
}

impl std::fmt::Display for DecodeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::TooLong => "longer than 1 MiB",
            Self::Syntax => "no JSON",
            Self::Shape => "JSON of a shape that the venue does not send",
            Self::Repeated => "a key stands twice",
            Self::Missing => "a key is missing",
            Self::Number => "no plain decimal number",
            Self::Range => "a number beyond its range",
            Self::OffGrid => "a price or size off its step",
            Self::Symbol => "a symbol that is not configured",
            Self::Word => "an unknown word",
            Self::Id => "an id that is no number",
            Self::TooMany => "too many levels or rows",
            Self::Full => "no room for the events",
        })
    }
}

impl std::error::Error for DecodeError {}

/// What a decoder has seen so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Payloads given to it.
    pub payloads: u64,
    /// Payloads that the fast reader read to the end.
    pub fast: u64,
    /// Rows skipped, of other products or of symbols that are not configured.
    pub skipped: u64,
    /// Refusals by [`DecodeError`], by its number.
    pub errors: [u64; DecodeError::ALL.len()],
}

/// Longest payload that is read, in bytes.
pub const PAYLOAD_BYTES_MAX: usize = 1 << 20;
/// Most levels of one books frame, both sides together.
pub const LEVELS_MAX: usize = 4096;
/// Most rows of one message.
pub const ROWS_MAX: usize = 1024;
