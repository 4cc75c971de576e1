//! The bytes of a segment: header, record heads, bodies. Little-endian, no padding.

use std::fmt;

use keel_core::layout::{self, SLOT_BYTES, Slot};
use keel_core::units::{MonoNanos, UnixNanos};

use super::{Tap, TapKind};
use crate::clock::Anchor;
use crate::latency::Stamps;

/// What a segment begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// BLAKE3 of the effective configuration.
    pub config_hash: [u8; 32],
    /// The boot epoch of the run.
    pub epoch: u32,
    /// Segments count from 1.
    pub segment: u32,
    /// BLAKE3 of the whole segment before this one; zeros in the first.
    pub previous: [u8; 32],
    /// UTC beside the monotonic clock when the segment was made.
    pub anchor: Anchor,
}

impl Header {
    /// The header of the first segment of a run.
    pub const fn first(config_hash: [u8; 32], epoch: u32, anchor: Anchor) -> Self {
        Self { config_hash, epoch, segment: 1, previous: [0; 32], anchor }
    }

    pub(super) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        let mut at = 0;
        let mut put = |part: &[u8]| {
            bytes[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        };
        put(MAGIC);
        put(&VERSION.to_le_bytes());
        put(&u32::from(layout::VERSION).to_le_bytes());
        put(&self.config_hash);
        put(&self.epoch.to_le_bytes());
        put(&self.segment.to_le_bytes());
        put(&self.previous);
        put(&self.anchor.mono.0.to_le_bytes());
        put(&self.anchor.utc.0.to_le_bytes());
        put(&self.anchor.uncertainty_ns.to_le_bytes());
        let crc = crc32fast::hash(&bytes[..HEADER_BYTES - 4]);
        bytes[HEADER_BYTES - 4..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, HeaderError> {
        let bytes: &[u8; HEADER_BYTES] = bytes
            .get(..HEADER_BYTES)
            .and_then(|head| head.try_into().ok())
            .ok_or(HeaderError::NotAHeader)?;
        if &bytes[..8] != MAGIC {
            return Err(HeaderError::NotAHeader);
        }
        let (format, layout) = (u32_at(bytes, 8), u32_at(bytes, 12));
        if format != VERSION || layout != u32::from(layout::VERSION) {
            return Err(HeaderError::Version { format, layout });
        }
        if crc32fast::hash(&bytes[..HEADER_BYTES - 4]) != u32_at(bytes, HEADER_BYTES - 4) {
            return Err(HeaderError::Damaged);
        }
        Ok(Self {
            config_hash: array_at(bytes, 16),
            epoch: u32_at(bytes, 48),
            segment: u32_at(bytes, 52),
            previous: array_at(bytes, 56),
            anchor: Anchor {
                mono: MonoNanos(u64_at(bytes, 88)),
                utc: UnixNanos(i64::from_le_bytes(array_at(bytes, 96))),
                uncertainty_ns: u64_at(bytes, 104),
            },
        })
    }
}

/// Why bytes are no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HeaderError {
    NotAHeader,
    Version { format: u32, layout: u32 },
    Damaged,
}

/// A place in a journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Which segment, from 1.
    pub segment: u32,
    /// Bytes from its beginning.
    pub offset: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "segment {}, byte {}", self.segment, self.offset)
    }
}

/// A record's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    Tap(Tap),
    /// Everything before this offset of this segment was durable when the record was written.
    Synced(u64),
    /// The run ended in order; nothing follows.
    End,
}

/// What stands at a place of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Parsed {
    /// A record and its length.
    Record(Content, usize),
    /// Zeros, or the end of the file: no more records.
    Nothing,
    /// Bytes that are no record.
    Bad(&'static str),
}

/// Appends a record to `out`.
pub(super) fn write(out: &mut Vec<u8>, content: &Content) {
    let start = out.len();
    out.extend_from_slice(&[0; HEAD_BYTES]);
    let kind = match content {
        Content::Tap(tap) => {
            out.extend_from_slice(&tap.now.0.to_le_bytes());
            if tap.kind == TapKind::Stamps {
                for at in stamps_as_array(&tap.stamps) {
                    out.extend_from_slice(&at.0.to_le_bytes());
                }
            }
            let used = tap.slot.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
            out.extend_from_slice(&tap.slot[..used]);
            tap.kind as u8
        }
        Content::Synced(offset) => {
            out.extend_from_slice(&offset.to_le_bytes());
            KIND_SYNCED
        }
        Content::End => {
            out.extend_from_slice(&[0; 8]);
            KIND_END
        }
    };
    let length = u16::try_from(out.len() - start - HEAD_BYTES).expect("a short body");
    out[start..start + 2].copy_from_slice(&length.to_le_bytes());
    out[start + 2] = kind;
    let crc = crc_of(&out[start..]);
    out[start + 4..start + HEAD_BYTES].copy_from_slice(&crc.to_le_bytes());
}

/// Reads what stands at the beginning of `bytes`.
pub(super) fn parse(bytes: &[u8]) -> Parsed {
    if bytes.iter().take(HEAD_BYTES).all(|&byte| byte == 0) {
        return Parsed::Nothing;
    }
    let Some(head) = bytes.get(..HEAD_BYTES) else {
        return Parsed::Bad("a record's head is cut off");
    };
    let length = usize::from(u16::from_le_bytes([head[0], head[1]]));
    if !(BODY_BYTES_MIN..=BODY_BYTES_MAX).contains(&length) {
        return Parsed::Bad("a record's length is impossible");
    }
    let Some(record) = bytes.get(..HEAD_BYTES + length) else {
        return Parsed::Bad("a record is cut off");
    };
    if crc_of(record) != u32_at(record, 4) {
        return Parsed::Bad("a record's CRC does not match");
    }
    match content(head[2], &record[HEAD_BYTES..]) {
        Some(content) if head[3] == 0 => Parsed::Record(content, record.len()),
        _ => Parsed::Bad("a record's content is malformed"),
    }
}

fn content(kind: u8, body: &[u8]) -> Option<Content> {
    let first = u64_at(body, 0);
    let rest = &body[8..];
    let kind = match kind {
        1 => TapKind::Event,
        2 => TapKind::Command,
        3 => TapKind::Stamps,
        4 => TapKind::Digest,
        KIND_SYNCED if rest.is_empty() => return Some(Content::Synced(first)),
        KIND_END if rest.is_empty() && first == 0 => return Some(Content::End),
        _ => return None,
    };
    let (stamps, rest) = if kind == TapKind::Stamps {
        let at = |place: usize| MonoNanos(u64_at(rest, place * 8));
        if rest.len() < STAMPS_BYTES {
            return None;
        }
        let stamps =
            Stamps { rx: at(0), decoded: at(1), dequeued: at(2), decided: at(3), tx: at(4) };
        (stamps, &rest[STAMPS_BYTES..])
    } else {
        (Stamps::NONE, rest)
    };
    if rest.len() > SLOT_BYTES || rest.last() == Some(&0) {
        return None;
    }
    let mut slot: Slot = [0; SLOT_BYTES];
    slot[..rest.len()].copy_from_slice(rest);
    Some(Content::Tap(Tap { now: MonoNanos(first), stamps, slot, kind }))
}

fn stamps_as_array(stamps: &Stamps) -> [MonoNanos; 5] {
    [stamps.rx, stamps.decoded, stamps.dequeued, stamps.decided, stamps.tx]
}

/// CRC-32 over length, kind and body: all of a record but the CRC itself.
fn crc_of(record: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&record[..4]);
    crc.update(&record[HEAD_BYTES..]);
    crc.finalize()
}

fn array_at<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(&bytes[at..at + N]);
    array
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array_at(bytes, at))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(array_at(bytes, at))
}

/// Bytes of a segment's header.
pub const HEADER_BYTES: usize = 128;

/// The longest record: head, time, stamps and a full slot.
pub const RECORD_BYTES_MAX: usize = HEAD_BYTES + BODY_BYTES_MAX;

/// The format that this build writes and reads.
pub(super) const VERSION: u32 = 1;

const MAGIC: &[u8; 8] = b"KEELJRNL";
const HEAD_BYTES: usize = 8;
const STAMPS_BYTES: usize = 40;
const BODY_BYTES_MIN: usize = 8;
const BODY_BYTES_MAX: usize = 8 + STAMPS_BYTES + SLOT_BYTES;
const KIND_SYNCED: u8 = 64;
const KIND_END: u8 = 65;

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        Header {
            config_hash: [7; 32],
            epoch: 3,
            segment: 2,
            previous: [9; 32],
            anchor: Anchor { mono: MonoNanos(5), utc: UnixNanos(-6), uncertainty_ns: 8 },
        }
    }

    #[test]
    fn a_header_survives_its_bytes_and_any_flip_is_seen() {
        let bytes = header().encode();
        assert_eq!(Header::decode(&bytes), Ok(header()));
        for bit in 0..HEADER_BYTES * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(Header::decode(&flipped).is_err(), "bit {bit}");
        }
        assert_eq!(Header::decode(&bytes[..100]), Err(HeaderError::NotAHeader));
    }

    #[test]
    fn a_record_survives_its_bytes_and_any_flip_is_seen() {
        let mut slot = [0; SLOT_BYTES];
        slot[0] = 8;
        slot[60] = 1;
        let at = |n| MonoNanos(n);
        let stamps =
            Stamps { rx: at(1), decoded: at(2), dequeued: at(3), decided: at(4), tx: at(5) };
        let contents = [
            Content::Tap(Tap::event(slot, at(77))),
            Content::Tap(Tap::command([0xff; SLOT_BYTES], at(u64::MAX))),
            Content::Tap(Tap::stamps(slot, stamps)),
            Content::Tap(Tap::digest([0; SLOT_BYTES], at(0))),
            Content::Synced(4_096),
            Content::End,
        ];
        for content in contents {
            let mut bytes = Vec::new();
            write(&mut bytes, &content);
            assert!(bytes.len() <= RECORD_BYTES_MAX);
            assert_eq!(parse(&bytes), Parsed::Record(content, bytes.len()));
            for bit in 0..bytes.len() * 8 {
                let mut flipped = bytes.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                assert!(matches!(parse(&flipped), Parsed::Bad(_)), "{content:?} bit {bit}");
            }
            for length in 1..bytes.len() {
                assert!(!matches!(parse(&bytes[..length]), Parsed::Record(..)));
            }
        }
        assert_eq!(parse(&[]), Parsed::Nothing);
        assert_eq!(parse(&[0; 500]), Parsed::Nothing);
    }
}
