//! Sabotage: a disk on which one kind of sync is left out.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use keel_io::disk::{DiskFile, Entry, FileSystem, Lock, Opening, SimulatedDisk};

/// What is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sabotage {
    /// Nothing.
    None,
    /// A temporary file is given its name before its content is synced.
    RenameFirst,
    /// No directory is synced.
    NoDirectory,
    /// The ledger is not synced.
    NoLedger,
    /// Rows of tables are not synced.
    NoRows,
    /// The journal is not synced.
    NoJournal,
    /// The latch is not made before the journal tells of the stop.
    NoLatch,
}

impl Sabotage {
    /// All that breaks something.
    pub const ALL: [Self; 6] = [
        Self::RenameFirst,
        Self::NoDirectory,
        Self::NoLedger,
        Self::NoRows,
        Self::NoJournal,
        Self::NoLatch,
    ];

    fn spares(self, path: &Path) -> bool {
        let ends = |end: &str| path.extension().is_some_and(|found| found == end);
        match self {
            Self::None | Self::NoDirectory | Self::NoLatch => true,
            Self::RenameFirst => !ends("tmp"),
            Self::NoLedger => !path.ends_with("ledger"),
            Self::NoRows => !ends("csv"),
            Self::NoJournal => !ends("journal"),
        }
    }
}

/// A disk that leaves out what its sabotage says.
#[derive(Debug)]
pub struct Sabotaged {
    /// The disk.
    pub disk: SimulatedDisk,
    /// What is left out.
    pub how: Sabotage,
}

#[derive(Debug)]
struct Unsynced(Box<dyn DiskFile>);

impl FileSystem for Sabotaged {
    fn make_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.make_dir(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        self.disk.list(dir)
    }

    fn entry(&self, path: &Path) -> io::Result<Entry> {
        self.disk.entry(path)
    }

    fn reader(&self, path: &Path) -> io::Result<Box<dyn Read + '_>> {
        self.disk.reader(path)
    }

    fn open(&self, path: &Path, opening: Opening) -> io::Result<Box<dyn DiskFile>> {
        let file = self.disk.open(path, opening)?;
        Ok(if self.how.spares(path) { file } else { Box::new(Unsynced(file)) })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        if self.how == Sabotage::NoLatch && to.ends_with("latch.json") {
            return Ok(());
        }
        self.disk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        if self.how == Sabotage::NoDirectory { Ok(()) } else { self.disk.sync_dir(dir) }
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Lock>> {
        self.disk.lock(path)
    }
}

impl DiskFile for Unsynced {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write(bytes)
    }

    fn reserve(&mut self, bytes: u64) -> io::Result<()> {
        self.0.reserve(bytes)
    }

    fn set_len(&mut self, bytes: u64) -> io::Result<()> {
        self.0.set_len(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}
