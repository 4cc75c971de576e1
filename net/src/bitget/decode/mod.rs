//! What the sockets say: payloads to events, all of a payload or nothing of it.
//!
//! Frames of the book, public trades and tickers go through the fast reader first: one pass over the
//! payload, in the key order that the venue uses. Whatever it does not recognize, and everything
//! else, is read by the second reader (simd-json over a scratch copy). Both give the same events;
//! neither allocates once its buffers have grown, or trusts a byte.

use keel_core::event::{Event, RequestKind};
use keel_core::instrument::InstrumentId;

use super::topics::Channel;

/// Where the events of one payload go.
pub trait Sink {
    /// Takes all of `events`, in order, or, without room for all, none of them.
    fn put(&mut self, events: &mut dyn ExactSizeIterator<Item = Event>) -> bool;
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
    /// A number is too large for its place.
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
