//! Recordings: the frames of a public stream with the times at which they came, in a file that
//! tells of its own damage.
//!
//! The file begins with eight bytes of magic, the format's number and the length of a JSON text
//! (both 32 bits, little-endian), that text, and the CRC-32 of all of it. Records follow, each of
//! them: kind (one byte), length of the payload (32 bits), monotonic time (64), UTC (64, signed),
//! the payload, and the CRC-32 of the record. What a process that was ended leaves behind its last
//! whole record is told as torn; anything else that does not fit is damage.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::Path;

use keel_core::instrument::Instrument;
use keel_core::units::{MonoNanos, UnixNanos};
use serde_json::{Value, json};

/// What a record tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A connection is open and everything is subscribed to; no payload. What a book is begins
    /// anew.
    Opened = 1,
    /// A message of the stream as it came: text, without its WebSocket frame.
    Frame = 2,
    /// The connection is gone; no payload.
    Lost = 3,
    /// The recording was ended in order; no payload.
    End = 4,
}

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// What it tells.
    pub kind: Kind,
    /// When its bytes had been read, on a clock that never goes back.
    pub at: MonoNanos,
    /// The venue's UTC then, as far as it was known.
    pub utc: UnixNanos,
    /// The message.
    pub payload: Vec<u8>,
}

/// Why a recording cannot be read on.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// The system.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It does not begin as a recording.
    #[error("is no recording")]
    NotOne,
    /// It is of a format that this build does not read.
    #[error("has format {0}, and this build reads {FORMAT}")]
    Format(u32),
    /// It ends within a record: whoever wrote it was ended. What came before is whole.
    #[error("is torn off at byte {0}")]
    Torn(u64),
    /// A record does not fit its checksum, or is none.
    #[error("is damaged at byte {0}")]
    Damaged(u64),
}

/// Writes a recording.
#[derive(Debug)]
pub struct RecordingWriter {
    file: BufWriter<File>,
    bytes: u64,
    buffer: Vec<u8>,
}

/// Reads a recording.
#[derive(Debug)]
pub struct RecordingReader {
    file: BufReader<File>,
    at: u64,
    about: Value,
}

const MAGIC: &[u8; 8] = b"KEELTAPE";
/// The format that this build writes and reads.
pub const FORMAT: u32 = 1;
/// What stands before a record's payload.
const HEAD_BYTES: usize = 1 + 4 + 8 + 8;
/// A longer payload or text is none that a session lets through.
const PAYLOAD_BYTES_MAX: u32 = 16 << 20;

impl RecordingWriter {
    /// Makes the file, which must not be there yet.
    ///
    /// # Errors
    /// What the system says.
    pub fn create(path: &Path, stream: &str, rules: &[Instrument]) -> io::Result<Self> {
        let grid = |grid: keel_core::decimal::Grid| json!([grid.step, grid.scale]);
        let instruments: Vec<Value> = rules
            .iter()
            .map(|rules| {
                let symbol = rules.symbol.as_str();
                json!({ "symbol": symbol, "tick": grid(rules.tick), "lot": grid(rules.lot) })
            })
            .collect();
        let text = json!({ "stream": stream, "instruments": instruments }).to_string();
        let mut buffer = MAGIC.to_vec();
        buffer.extend(FORMAT.to_le_bytes());
        buffer.extend(length(text.len()).to_le_bytes());
        buffer.extend(text.as_bytes());
        buffer.extend(crc32fast::hash(&buffer).to_le_bytes());
        let file = File::options().write(true).create_new(true).open(path)?;
        let mut writer = Self { file: BufWriter::new(file), bytes: 0, buffer };
        writer.put()?;
        Ok(writer)
    }

    /// Appends a record.
    ///
    /// # Errors
    /// What the system says.
    pub fn write(
        &mut self,
        kind: Kind,
        payload: &[u8],
        utc: UnixNanos,
        at: MonoNanos,
    ) -> io::Result<()> {
        self.buffer.clear();
        self.buffer.push(kind as u8);
        self.buffer.extend(length(payload.len()).to_le_bytes());
        self.buffer.extend(at.0.to_le_bytes());
        self.buffer.extend(utc.0.to_le_bytes());
        self.buffer.extend(payload);
        self.buffer.extend(crc32fast::hash(&self.buffer).to_le_bytes());
        self.put()
    }

    /// Bytes so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Hands what waits to the system.
    ///
    /// # Errors
    /// What the system says.
    pub fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }

    /// Ends the recording in order, and makes it durable.
    ///
    /// # Errors
    /// What the system says.
    pub fn end(mut self, utc: UnixNanos, at: MonoNanos) -> io::Result<()> {
        self.write(Kind::End, &[], utc, at)?;
        self.file.flush()?;
        self.file.get_ref().sync_all()
    }

    fn put(&mut self) -> io::Result<()> {
        self.bytes += self.buffer.len() as u64;
        self.file.write_all(&self.buffer)
    }
}

impl RecordingReader {
    /// Opens a recording.
    ///
    /// # Errors
    /// When it is none, or of another format.
    pub fn open(path: &Path) -> Result<Self, RecordingError> {
        let mut reader =
            Self { file: BufReader::new(File::open(path)?), at: 0, about: Value::Null };
        let mut bytes = vec![0; MAGIC.len() + 8];
        let whole = reader.fill(&mut bytes)?;
        if !whole || !bytes.starts_with(MAGIC) {
            return Err(RecordingError::NotOne);
        }
        let format = number(&bytes[8..12]);
        if format != FORMAT {
            return Err(RecordingError::Format(format));
        }
        let length = number(&bytes[12..16]);
        let mut text = vec![0; length.min(PAYLOAD_BYTES_MAX) as usize];
        let mut crc = [0; 4];
        if !reader.fill(&mut text)? || !reader.fill(&mut crc)? {
            return Err(RecordingError::Torn(0));
        }
        bytes.extend(&text);
        let about = serde_json::from_slice(&text).map_err(|_| RecordingError::Damaged(0))?;
        if crc32fast::hash(&bytes) != u32::from_le_bytes(crc) {
            return Err(RecordingError::Damaged(0));
        }
        reader.about = about;
        Ok(reader)
    }

    /// The stream and the contracts, with ticks and lots as step and decimals.
    pub fn about(&self) -> &Value {
        &self.about
    }

    /// The next record; `None` at the end of the file.
    ///
    /// # Errors
    /// See [`RecordingError`]; there is nothing to be read behind one.
    pub fn next_record(&mut self) -> Result<Option<Record>, RecordingError> {
        let began = self.at;
        let mut bytes = vec![0; HEAD_BYTES];
        match self.fill(&mut bytes)? {
            true => {}
            false if self.at == began => return Ok(None),
            false => return Err(RecordingError::Torn(began)),
        }
        let length = number(&bytes[1..5]);
        let kind = match bytes[0] {
            1 => Kind::Opened,
            2 => Kind::Frame,
            3 => Kind::Lost,
            4 => Kind::End,
            _ => return Err(RecordingError::Damaged(began)),
        };
        if length > PAYLOAD_BYTES_MAX {
            return Err(RecordingError::Damaged(began));
        }
        let mut payload = vec![0; length as usize];
        let mut crc = [0; 4];
        if !self.fill(&mut payload)? || !self.fill(&mut crc)? {
            return Err(RecordingError::Torn(began));
        }
        bytes.extend(&payload);
        if crc32fast::hash(&bytes) != u32::from_le_bytes(crc) {
            return Err(RecordingError::Damaged(began));
        }
        let eight = |from: usize| bytes[from..from + 8].try_into().expect("eight bytes");
        let at = MonoNanos(u64::from_le_bytes(eight(5)));
        let utc = UnixNanos(i64::from_le_bytes(eight(13)));
        Ok(Some(Record { kind, at, utc, payload }))
    }

    /// Fills `bytes`; false where the file ends before.
    fn fill(&mut self, bytes: &mut [u8]) -> io::Result<bool> {
        let mut filled = 0;
        while filled < bytes.len() {
            match self.file.read(&mut bytes[filled..]) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.at += filled as u64;
        Ok(filled == bytes.len())
    }
}

fn number(bytes: &[u8]) -> u32 {
    u32::from_le_bytes(bytes.try_into().expect("four bytes"))
}

fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).ok().filter(|length| *length <= PAYLOAD_BYTES_MAX).expect("a message")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(path: &Path) -> (Vec<Record>, Option<RecordingError>) {
        let mut records = Vec::new();
        let mut reader = match RecordingReader::open(path) {
            Ok(reader) => reader,
            Err(error) => return (records, Some(error)),
        };
        loop {
            match reader.next_record() {
                Ok(Some(record)) => records.push(record),
                Ok(None) => return (records, None),
                Err(error) => return (records, Some(error)),
            }
        }
    }

    #[test]
    fn what_is_written_is_read_and_every_cut_and_every_changed_byte_is_told() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("tape");
        let mut writer = RecordingWriter::create(&path, "wss://venue", &[]).expect("made");
        let (utc, at) = (UnixNanos(-5), MonoNanos(7));
        writer.write(Kind::Opened, &[], utc, at).expect("written");
        writer.write(Kind::Frame, b"{\"a\":1}", utc, MonoNanos(8)).expect("written");
        let bytes = writer.bytes();
        writer.end(utc, MonoNanos(9)).expect("ended");
        assert!(RecordingWriter::create(&path, "", &[]).is_err(), "nothing is written over");
        let (records, error) = all(&path);
        assert!(error.is_none());
        let kinds: Vec<Kind> = records.iter().map(|record| record.kind).collect();
        assert_eq!(kinds, [Kind::Opened, Kind::Frame, Kind::End]);
        assert_eq!((records[1].payload.as_slice(), records[1].utc), (&b"{\"a\":1}"[..], utc));
        let whole = std::fs::read(&path).expect("there");
        assert_eq!(whole.len() as u64, bytes + HEAD_BYTES as u64 + 4);
        let other = dir.path().join("other");
        for cut in 0..whole.len() {
            std::fs::write(&other, &whole[..cut]).expect("written");
            let (found, error) = all(&other);
            assert!(found.len() < 3 && found == records[..found.len()], "cut at {cut}");
            let between = error.is_none();
            assert!(
                between || matches!(error, Some(RecordingError::Torn(_) | RecordingError::NotOne))
            );
        }
        for place in 0..whole.len() {
            let mut changed = whole.clone();
            changed[place] ^= 0x20;
            std::fs::write(&other, &changed).expect("written");
            let (found, error) = all(&other);
            assert!(error.is_some() && found.len() < 3, "byte {place} was changed unseen");
        }
    }
}
