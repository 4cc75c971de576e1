//! The writing side: buffered appends, group commits, bounded segments.

use std::io;
use std::path::{Path, PathBuf};

use keel_core::units::{MILLIS, MonoNanos};

use super::format::{self, Content, HEADER_BYTES, Header, Position, RECORD_BYTES_MAX};
use super::{JournalError, Tap};
use crate::clock::Anchor;
use crate::disk::{self, DiskFile, Fs, Opening};

/// Appends records. One thread owns it; the hot threads never wait for it.
///
/// After the first failed write or sync nothing more is written: what the disk holds is unknown
/// then, and a second sync could report success over lost pages.
#[derive(Debug)]
pub struct Writer<D: Disk = FileDisk> {
    disk: D,
    limits: Limits,
    header: Header,
    /// Bytes of this segment handed to the disk.
    written: u64,
    /// Bytes of this segment that are durable.
    durable: u64,
    buffer: Vec<u8>,
    hasher: blake3::Hasher,
    /// When the oldest record that is not durable was appended.
    waiting_since: Option<MonoNanos>,
    records: u64,
    failed: bool,
}

/// What a writer may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a segment, at least 4 KiB.
    pub segment_bytes: u64,
    /// The longest that a record waits before a commit is due, in nanoseconds.
    pub commit_ns: u64,
}

impl Default for Limits {
    /// 64 MiB and 100 ms.
    fn default() -> Self {
        Self { segment_bytes: 64 << 20, commit_ns: 100 * MILLIS }
    }
}

/// What was written in all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed {
    /// Records, without the journal's own.
    pub records: u64,
    /// Segments.
    pub segments: u32,
    /// BLAKE3 of the last segment, which covers all before it.
    pub hash: [u8; 32],
}

/// Where segments go. A failing one shows what becomes of a journal then.
pub trait Disk {
    /// Makes the file of a segment, empty, with `bytes` reserved, and makes its name durable.
    ///
    /// # Errors
    /// What the system says.
    fn create(&mut self, segment: u32, bytes: u64) -> io::Result<()>;

    /// Appends to the current segment.
    ///
    /// # Errors
    /// What the system says.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Makes everything appended durable.
    ///
    /// # Errors
    /// What the system says.
    fn sync(&mut self) -> io::Result<()>;

    /// Cuts the current segment to `bytes` and makes that durable.
    ///
    /// # Errors
    /// What the system says.
    fn seal(&mut self, bytes: u64) -> io::Result<()>;

    /// The current segment's name, for messages.
    fn path(&self) -> PathBuf;
}

impl Writer<FileDisk> {
    /// Begins a journal in `dir`, which is made and must be empty.
    ///
    /// # Errors
    /// [`JournalError::Io`].
    pub fn create(dir: &Path, header: Header, limits: Limits) -> Result<Self, JournalError> {
        Self::create_on(disk::os(), dir, header, limits)
    }

    /// The same on another disk than the system's.
    ///
    /// # Errors
    /// [`JournalError::Io`].
    pub fn create_on(
        fs: Fs,
        dir: &Path,
        header: Header,
        limits: Limits,
    ) -> Result<Self, JournalError> {
        let disk = FileDisk::new(fs, dir).map_err(|source| JournalError::Io {
            action: "create",
            path: dir.to_owned(),
            source,
        })?;
        Self::on(disk, header, limits)
    }
}

impl<D: Disk> Writer<D> {
    /// Begins a journal on `disk`.
    ///
    /// # Errors
    /// [`JournalError::Io`].
    ///
    /// # Panics
    /// When the segments are smaller than 4 KiB.
    pub fn on(disk: D, header: Header, limits: Limits) -> Result<Self, JournalError> {
        assert!(
            limits.segment_bytes >= SEGMENT_BYTES_MIN,
            "a segment holds a few records at least"
        );
        let mut writer = Self {
            disk,
            limits,
            header,
            written: 0,
            durable: 0,
            buffer: Vec::with_capacity(BUFFER_BYTES + 2 * RECORD_BYTES_MAX),
            hasher: blake3::Hasher::new(),
            waiting_since: None,
            records: 0,
            failed: false,
        };
        writer.begin_segment()?;
        Ok(writer)
    }

    /// Appends a record, to be durable after the next [`Writer::commit`].
    ///
    /// # Errors
    /// [`JournalError::Io`] once, then [`JournalError::Failed`].
    pub fn append(&mut self, tap: &Tap, now: MonoNanos) -> Result<(), JournalError> {
        self.check()?;
        // The segment's last commit writes one more record, and so does its end.
        let most = (self.buffer.len() + 3 * RECORD_BYTES_MAX) as u64;
        if self.written + most > self.limits.segment_bytes {
            self.rotate(now)?;
        }
        format::write(&mut self.buffer, &Content::Tap(*tap));
        self.records += 1;
        self.waiting_since.get_or_insert(now);
        if self.buffer.len() >= BUFFER_BYTES { self.flush() } else { Ok(()) }
    }

    /// When the next commit is due; never while everything is durable.
    pub fn commit_at(&self) -> MonoNanos {
        self.waiting_since.map_or(MonoNanos::NEVER, |since| since.after(self.limits.commit_ns))
    }

    /// Age of the oldest record that is not durable, in nanoseconds.
    pub fn lag_ns(&self, now: MonoNanos) -> u64 {
        self.waiting_since.map_or(0, |since| now.since(since))
    }

    /// When the oldest record was appended that is not durable; `None` while all are.
    pub fn waits_since(&self) -> Option<MonoNanos> {
        self.waiting_since
    }

    /// Makes everything appended durable. Does nothing when everything is.
    ///
    /// # Errors
    /// [`JournalError::Io`] once, then [`JournalError::Failed`].
    pub fn commit(&mut self) -> Result<(), JournalError> {
        self.check()?;
        if self.waiting_since.is_none() {
            return Ok(());
        }
        self.flush()?;
        self.sync()?;
        // Tells a reader that the bytes before it cannot be a torn tail. It becomes durable with
        // the next group.
        format::write(&mut self.buffer, &Content::Synced(self.durable));
        self.waiting_since = None;
        Ok(())
    }

    /// Where the next record will stand.
    pub fn position(&self) -> Position {
        let offset = self.written + self.buffer.len() as u64;
        Position { segment: self.header.segment, offset }
    }

    /// Ends the journal in order.
    ///
    /// # Errors
    /// [`JournalError::Io`] or [`JournalError::Failed`].
    pub fn close(mut self) -> Result<Closed, JournalError> {
        self.check()?;
        format::write(&mut self.buffer, &Content::End);
        let hash = self.seal()?;
        Ok(Closed { records: self.records, segments: self.header.segment, hash })
    }

    fn rotate(&mut self, now: MonoNanos) -> Result<(), JournalError> {
        let previous = self.seal()?;
        let anchor =
            Anchor { mono: now, utc: self.header.anchor.utc_at(now), ..self.header.anchor };
        self.header = Header { segment: self.header.segment + 1, previous, anchor, ..self.header };
        self.begin_segment()
    }

    fn begin_segment(&mut self) -> Result<(), JournalError> {
        let made = self.disk.create(self.header.segment, self.limits.segment_bytes);
        self.done("create", made)?;
        self.written = 0;
        self.durable = 0;
        self.hasher.reset();
        self.buffer.extend_from_slice(&self.header.encode());
        debug_assert_eq!(self.buffer.len(), HEADER_BYTES);
        self.flush()?;
        self.sync()
    }

    /// Makes the segment durable at its true length, and gives its hash.
    fn seal(&mut self) -> Result<[u8; 32], JournalError> {
        self.flush()?;
        let sealed = self.disk.seal(self.written);
        self.done("seal", sealed)?;
        self.durable = self.written;
        self.waiting_since = None;
        Ok(*self.hasher.finalize().as_bytes())
    }

    fn flush(&mut self) -> Result<(), JournalError> {
        let appended = self.disk.append(&self.buffer);
        self.done("write", appended)?;
        self.hasher.update(&self.buffer);
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    fn sync(&mut self) -> Result<(), JournalError> {
        let synced = self.disk.sync();
        self.done("sync", synced)?;
        self.durable = self.written;
        Ok(())
    }

    fn check(&self) -> Result<(), JournalError> {
        if self.failed { Err(JournalError::Failed) } else { Ok(()) }
    }

    fn done(&mut self, action: &'static str, result: io::Result<()>) -> Result<(), JournalError> {
        result.map_err(|source| {
            self.failed = true;
            JournalError::Io { action, path: self.disk.path(), source }
        })
    }
}

/// Segments as files of a directory.
#[derive(Debug)]
pub struct FileDisk {
    fs: Fs,
    dir: PathBuf,
    path: PathBuf,
    file: Option<Box<dyn DiskFile>>,
}

impl FileDisk {
    fn new(fs: Fs, dir: &Path) -> io::Result<Self> {
        disk::make_dirs(&*fs, dir).map_err(|refused| refused.source)?;
        if !fs.list(dir)?.is_empty() {
            return Err(io::Error::from(io::ErrorKind::DirectoryNotEmpty));
        }
        Ok(Self { fs, dir: dir.to_owned(), path: dir.to_owned(), file: None })
    }

    fn file(&mut self) -> io::Result<&mut dyn DiskFile> {
        match &mut self.file {
            Some(file) => Ok(&mut **file),
            None => Err(io::Error::from(io::ErrorKind::NotFound)),
        }
    }
}

impl Disk for FileDisk {
    fn create(&mut self, segment: u32, bytes: u64) -> io::Result<()> {
        self.path = segment_path(&self.dir, segment);
        let mut file = self.fs.open(&self.path, Opening::New)?;
        file.reserve(bytes)?;
        file.sync()?;
        self.fs.sync_dir(&self.dir)?;
        self.file = Some(file);
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file()?.write(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file()?.sync()
    }

    fn seal(&mut self, bytes: u64) -> io::Result<()> {
        let file = self.file()?;
        file.set_len(bytes)?;
        file.sync()
    }

    fn path(&self) -> PathBuf {
        self.path.clone()
    }
}

/// The file of a segment.
pub(super) fn segment_path(dir: &Path, segment: u32) -> PathBuf {
    dir.join(format!("{segment:08}.{SEGMENT_EXTENSION}"))
}

/// What segments' names end in.
pub(super) const SEGMENT_EXTENSION: &str = "journal";

const SEGMENT_BYTES_MIN: u64 = 4_096;
const BUFFER_BYTES: usize = 256 << 10;
