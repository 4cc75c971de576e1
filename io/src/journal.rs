//! The journal: every event that the engine took and every command that it gave, in order, for
//! ever.
//!
//! A journal is a directory of segments. A segment is a header and records; a record is a length, a
//! kind, a CRC-32 and a body. The header carries the BLAKE3 hash of the segment before it, so that
//! no segment can be changed, dropped or moved unseen. Space is reserved when a segment is made;
//! after the last record stand zeros. [`Writer`] makes records durable in groups; [`Reader`] tells
//! a tail that was never durable from bytes that were and have been changed.

mod format;
mod reader;
mod writer;

pub use format::{HEADER_BYTES, Header, Position, RECORD_BYTES_MAX};
pub use reader::{Reader, Record, Torn};
pub use writer::{Closed, Disk, FileDisk, Limits, Writer};

use std::io;
use std::path::PathBuf;

use keel_core::layout::Slot;
use keel_core::units::MonoNanos;

use crate::latency::Stamps;

/// What crosses the journal link: one record, without a pointer in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Tap {
    /// The time of the step; for [`TapKind::Stamps`] the time of sending.
    pub now: MonoNanos,
    /// When the cause of an order passed each stage; [`Stamps::NONE`] but for [`TapKind::Stamps`].
    pub stamps: Stamps,
    /// The event or command, encoded.
    pub slot: Slot,
    /// What `slot` holds.
    pub kind: TapKind,
}

const _: () = assert!(size_of::<Tap>() <= 192);

impl Tap {
    /// An event, stepped at `now`.
    pub const fn event(slot: Slot, now: MonoNanos) -> Self {
        Self { now, stamps: Stamps::NONE, slot, kind: TapKind::Event }
    }

    /// A command given by the step of the event before it.
    pub const fn command(slot: Slot, now: MonoNanos) -> Self {
        Self { now, stamps: Stamps::NONE, slot, kind: TapKind::Command }
    }

    /// The stamps of an order that has been sent; `slot` is its `Place`, encoded.
    pub const fn stamps(slot: Slot, stamps: Stamps) -> Self {
        Self { now: stamps.tx, stamps, slot, kind: TapKind::Stamps }
    }

    /// The engine's digest beside its stepping; `slot` is a `Digest` command, encoded.
    pub const fn digest(slot: Slot, now: MonoNanos) -> Self {
        Self { now, stamps: Stamps::NONE, slot, kind: TapKind::Digest }
    }
}

/// Kinds of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum TapKind {
    /// The engine took an [`keel_core::event::Event`].
    Event = 1,
    /// The engine gave a [`keel_core::command::Command`]; the slot is its
    /// [`keel_core::command::CommandView`].
    Command = 2,
    /// An order was sent; when its cause passed each stage.
    Stamps = 3,
    /// The engine's digest, taken by the host after the last event.
    Digest = 4,
}

/// Why a journal cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The system refused.
    #[error("journal: {action} {path}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// An earlier write or sync failed. What is on disk is unknown since then, so nothing is
    /// retried.
    #[error("journal: an earlier write or sync failed; nothing more is written")]
    Failed,
    /// There is no segment.
    #[error("journal: {0} holds no segment")]
    Empty(PathBuf),
    /// The file does not begin as a segment does.
    #[error("journal: {0} is no segment of a journal")]
    NotAJournal(PathBuf),
    /// Written by another build's format.
    #[error(
        "journal: {path} has format {format} with layout {layout}; this build reads {} with {}",
        format::VERSION,
        keel_core::layout::VERSION
    )]
    Version {
        /// Which file.
        path: PathBuf,
        /// The journal's format.
        format: u32,
        /// The layout of events and commands.
        layout: u32,
    },
    /// Bytes that had been durable are not what was written.
    #[error("journal: {position}: {what}")]
    Corrupt {
        /// Where.
        position: Position,
        /// What is wrong there.
        what: &'static str,
    },
    /// A segment does not follow the one before it: missing, changed, or of another run.
    #[error("journal: segment {segment}: {what}")]
    Chain {
        /// Which.
        segment: u32,
        /// What does not fit.
        what: &'static str,
    },
}

#[cfg(test)]
mod tests;
