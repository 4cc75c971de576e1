//! The reading side: one segment in memory at a time.

use std::path::{Path, PathBuf};

use super::format::{self, Content, HEADER_BYTES, Header, HeaderError, Parsed, Position};
use super::writer::{SEGMENT_EXTENSION, segment_path};
use super::{JournalError, Tap};
use crate::disk::{self, Entry, FileSystem, Fs};

/// Reads a journal from its first record to its last.
///
/// Ends at a torn tail, and says so; stops with an error where durable bytes have been changed.
#[derive(Debug)]
pub struct Reader {
    fs: Fs,
    dir: PathBuf,
    header: Header,
    segments: u32,
    bytes: Vec<u8>,
    at: usize,
    torn: Option<Torn>,
    ended: bool,
    stopped: bool,
}

/// One record and where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its place.
    pub position: Position,
    /// What it says.
    pub tap: Tap,
}

/// A tail that had not become durable when the run was cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Torn {
    /// Where it begins.
    pub position: Position,
    /// How many bytes are left of it.
    pub bytes: u64,
}

impl Reader {
    /// Opens the journal in `dir`.
    ///
    /// # Errors
    /// As [`JournalError`] says; segments after the first are opened when reading gets there.
    pub fn open(dir: &Path) -> Result<Self, JournalError> {
        Self::open_on(disk::os(), dir)
    }

    /// The same on another disk than the system's.
    ///
    /// # Errors
    /// As [`Reader::open`].
    pub fn open_on(fs: Fs, dir: &Path) -> Result<Self, JournalError> {
        let segments = count_segments(&*fs, dir)?;
        let bytes = read_segment(&*fs, dir, 1)?;
        let header = header_of(&bytes, dir, 1)?;
        if header.segment != 1 || header.previous != [0; 32] {
            return Err(unlinked(1, "its header is not that of a first segment"));
        }
        Ok(Self {
            fs,
            dir: dir.to_owned(),
            header,
            segments,
            bytes,
            at: HEADER_BYTES,
            torn: None,
            ended: false,
            stopped: false,
        })
    }

    /// The header of the segment being read; config hash and epoch are those of the run.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The torn tail, once reading has come to its end and found one.
    pub fn torn(&self) -> Option<Torn> {
        self.torn
    }

    /// True once the record was read that an orderly end writes.
    pub fn ended_in_order(&self) -> bool {
        self.ended
    }

    fn here(&self) -> Position {
        Position { segment: self.header.segment, offset: self.at as u64 }
    }

    fn step(&mut self) -> Result<Option<Record>, JournalError> {
        loop {
            let position = self.here();
            match format::parse(&self.bytes[self.at..]) {
                Parsed::Record(_, _) if self.ended => {
                    return Err(self.corrupt("a record follows the end of the run"));
                }
                Parsed::Record(content, length) => {
                    self.at += length;
                    match content {
                        Content::Tap(tap) => return Ok(Some(Record { position, tap })),
                        Content::Synced(offset) if offset > position.offset => {
                            self.at -= length;
                            return Err(self.corrupt("a commit vouches for bytes after itself"));
                        }
                        Content::Synced(_) => {}
                        Content::End => self.ended = true,
                    }
                }
                Parsed::Nothing => {
                    self.check_rest("zeros stand where records were durable")?;
                    if !self.next_segment()? {
                        return Ok(None);
                    }
                }
                Parsed::Bad(what) => {
                    self.check_rest(what)?;
                    let rest = &self.bytes[self.at..];
                    let bytes = rest.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
                    self.torn = Some(Torn { position, bytes: bytes as u64 });
                    return Ok(None);
                }
            }
        }
    }

    /// Nothing that stands after the present place proves that the place had been durable.
    fn check_rest(&self, what: &'static str) -> Result<(), JournalError> {
        let rest = &self.bytes[self.at..];
        let sealed = self.header.segment < self.segments;
        if sealed && !rest.is_empty() {
            return Err(self.corrupt(what));
        }
        let vouched = (1..rest.len()).any(|from| {
            rest[from] != 0
                && matches!(
                    format::parse(&rest[from..]),
                    Parsed::Record(Content::Synced(offset), _) if offset > self.at as u64
                )
        });
        if vouched { Err(self.corrupt(what)) } else { Ok(()) }
    }

    /// Goes on with the next segment; false when there is none, or only one that was never begun.
    fn next_segment(&mut self) -> Result<bool, JournalError> {
        let segment = self.header.segment + 1;
        if segment > self.segments {
            return Ok(false);
        }
        if self.ended {
            return Err(unlinked(segment, "it follows the end of the run"));
        }
        let bytes = read_segment(&*self.fs, &self.dir, segment)?;
        let header = match header_of(&bytes, &self.dir, segment) {
            Ok(header) => header,
            // The header is durable before the first record: a segment without one holds nothing.
            Err(_) if segment == self.segments && is_unbegun(&bytes) => {
                let position = Position { segment, offset: 0 };
                self.torn = Some(Torn { position, bytes: 0 });
                return Ok(false);
            }
            Err(error) => return Err(error),
        };
        if header.segment != segment {
            return Err(unlinked(segment, "its header names another segment"));
        }
        if header.config_hash != self.header.config_hash || header.epoch != self.header.epoch {
            return Err(unlinked(segment, "it belongs to another run"));
        }
        if header.previous != *blake3::hash(&self.bytes).as_bytes() {
            return Err(unlinked(segment, "the segment before it is not the one it followed"));
        }
        self.bytes = bytes;
        self.header = header;
        self.at = HEADER_BYTES;
        Ok(true)
    }

    fn corrupt(&self, what: &'static str) -> JournalError {
        JournalError::Corrupt { position: self.here(), what }
    }
}

impl Iterator for Reader {
    type Item = Result<Record, JournalError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.stopped {
            return None;
        }
        let item = self.step().transpose();
        self.stopped = !matches!(item, Some(Ok(_)));
        item
    }
}

fn unlinked(segment: u32, what: &'static str) -> JournalError {
    JournalError::Chain { segment, what }
}

fn count_segments(fs: &dyn FileSystem, dir: &Path) -> Result<u32, JournalError> {
    let failed = |source| JournalError::Io { action: "list", path: dir.to_owned(), source };
    let mut numbers = Vec::new();
    for path in fs.list(dir).map_err(failed)? {
        let is_segment = path.extension().is_some_and(|end| end == SEGMENT_EXTENSION);
        let number = path.file_stem().and_then(|stem| stem.to_str()?.parse::<u32>().ok());
        if let (true, Some(number)) = (is_segment, number) {
            numbers.push(number);
        }
    }
    numbers.sort_unstable();
    for (expected, &number) in (1..).zip(&numbers) {
        if number != expected {
            return Err(JournalError::Chain { segment: expected, what: "it is missing" });
        }
    }
    u32::try_from(numbers.len())
        .ok()
        .filter(|&count| count > 0)
        .ok_or_else(|| JournalError::Empty(dir.to_owned()))
}

fn read_segment(fs: &dyn FileSystem, dir: &Path, segment: u32) -> Result<Vec<u8>, JournalError> {
    let path = segment_path(dir, segment);
    let failed = |source| JournalError::Io { action: "read", path: path.clone(), source };
    match fs.entry(&path).map_err(failed)? {
        Entry::File(length) if length > SEGMENT_BYTES_MAX => {
            Err(JournalError::Chain { segment, what: "it is larger than any segment" })
        }
        Entry::File(_) | Entry::Nothing | Entry::Other => fs.read(&path).map_err(failed),
    }
}

fn header_of(bytes: &[u8], dir: &Path, segment: u32) -> Result<Header, JournalError> {
    Header::decode(bytes).map_err(|error| {
        let path = segment_path(dir, segment);
        match error {
            HeaderError::NotAHeader => JournalError::NotAJournal(path),
            HeaderError::Version { format, layout } => {
                JournalError::Version { path, format, layout }
            }
            HeaderError::Damaged => JournalError::Corrupt {
                position: Position { segment, offset: 0 },
                what: "the header's CRC does not match",
            },
        }
    })
}

fn is_unbegun(bytes: &[u8]) -> bool {
    bytes.iter().skip(HEADER_BYTES).all(|&byte| byte == 0)
}

/// No segment is larger; a file that is, is not read into memory.
const SEGMENT_BYTES_MAX: u64 = 1 << 30;
