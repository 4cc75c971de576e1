//! The disk: the few operations by which files come to outlast a crash.
//!
//! Everything that a restart relies on is written through [`FileSystem`]: state, journal, ledger,
//! tables. There are two: the system's, and [`SimulatedDisk`], which forgets what was never synced.

mod simulated;

use std::fmt;
use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::os;

pub use simulated::{Failure, Image, Replay, SimulatedDisk};

/// A file system, shared by all who write to it.
pub type Fs = Arc<dyn FileSystem>;

/// What keeps a file locked until it is dropped.
pub type Lock = Box<dyn fmt::Debug + Send + Sync>;

/// Files and directories, by their paths.
///
/// Nothing outlasts a crash before it is synced: a file's content by [`DiskFile::sync`], its name,
/// a rename and a removal by [`FileSystem::sync_dir`] of the directory.
pub trait FileSystem: fmt::Debug + Send + Sync {
    /// Makes a directory in one that is there; fine when it is there already.
    ///
    /// # Errors
    /// What the system says.
    fn make_dir(&self, dir: &Path) -> io::Result<()>;

    /// The paths in a directory, in no order.
    ///
    /// # Errors
    /// What the system says.
    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>>;

    /// What stands at a path.
    ///
    /// # Errors
    /// What the system says.
    fn entry(&self, path: &Path) -> io::Result<Entry>;

    /// Opens a file to be read from its beginning.
    ///
    /// # Errors
    /// What the system says.
    fn reader(&self, path: &Path) -> io::Result<Box<dyn Read + '_>>;

    /// Opens a file to be written.
    ///
    /// # Errors
    /// What the system says.
    fn open(&self, path: &Path, opening: Opening) -> io::Result<Box<dyn DiskFile>>;

    /// Gives a file another name, in the place of what had it.
    ///
    /// # Errors
    /// What the system says.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// What the system says.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in a directory durable.
    ///
    /// # Errors
    /// What the system says.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Locks the file at a path, which is made; `None` while somebody else holds it.
    ///
    /// # Errors
    /// What the system says.
    fn lock(&self, path: &Path) -> io::Result<Option<Lock>>;

    /// The whole content of a file.
    ///
    /// # Errors
    /// What the system says.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.reader(path)?.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Makes the name that `path` has in its directory durable.
    ///
    /// # Errors
    /// What the system says.
    fn sync_parent(&self, path: &Path) -> io::Result<()> {
        self.sync_dir(path.parent().expect("a name stands in a directory"))
    }
}

/// What stands at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// Nothing.
    Nothing,
    /// A regular file of so many bytes.
    File(u64),
    /// A directory, a link, or something else that is no file.
    Other,
}

/// How a file is opened to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// It must not be there; written from its beginning.
    New,
    /// Made, or emptied.
    Replacing,
    /// Made where it is not there; written at its end.
    Appending,
}

/// A file open to be written.
pub trait DiskFile: fmt::Debug + Send {
    /// Writes all of `bytes` after what was written before.
    ///
    /// # Errors
    /// What the system says; a part may have been written.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Reserves `bytes` of disk, so that later writes within them need no new space.
    ///
    /// # Errors
    /// No space, quota, or a file system that cannot.
    fn reserve(&mut self, bytes: u64) -> io::Result<()>;

    /// Cuts or lengthens the file to `bytes`.
    ///
    /// # Errors
    /// What the system says.
    fn set_len(&mut self, bytes: u64) -> io::Result<()>;

    /// Makes the content and the length durable.
    ///
    /// # Errors
    /// What the system says. What the disk holds is unknown then, and a second call proves nothing.
    fn sync(&mut self) -> io::Result<()>;
}

/// The system's files.
#[derive(Clone, Copy, Debug)]
pub struct OsFiles;

/// The system's files, shared.
pub fn os() -> Fs {
    Arc::new(OsFiles)
}

impl FileSystem for OsFiles {
    fn make_dir(&self, dir: &Path) -> io::Result<()> {
        match fs::create_dir(dir) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => Ok(()),
            made => made,
        }
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        fs::read_dir(dir)?.map(|entry| Ok(entry?.path())).collect()
    }

    fn entry(&self, path: &Path) -> io::Result<Entry> {
        match fs::symlink_metadata(path) {
            Ok(found) if found.is_file() => Ok(Entry::File(found.len())),
            Ok(_) => Ok(Entry::Other),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Entry::Nothing),
            Err(error) => Err(error),
        }
    }

    fn reader(&self, path: &Path) -> io::Result<Box<dyn Read + '_>> {
        Ok(Box::new(File::open(path)?))
    }

    fn open(&self, path: &Path, opening: Opening) -> io::Result<Box<dyn DiskFile>> {
        let mut options = File::options();
        let file = match opening {
            Opening::New => options.write(true).create_new(true).open(path),
            Opening::Replacing => options.write(true).create(true).truncate(true).open(path),
            Opening::Appending => options.append(true).create(true).open(path),
        };
        Ok(Box::new(file?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(within(dir))?.sync_all()
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Lock>> {
        let file = File::options().write(true).create(true).truncate(false).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Box::new(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

impl DiskFile for File {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)
    }

    fn reserve(&mut self, bytes: u64) -> io::Result<()> {
        os::reserve(self, bytes)
    }

    fn set_len(&mut self, bytes: u64) -> io::Result<()> {
        File::set_len(self, bytes)
    }

    /// The content and what is needed to read it, which is the length but not the times.
    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }
}

/// The path of a directory, where the empty one is the directory that this process works in.
fn within(dir: &Path) -> &Path {
    if dir.as_os_str().is_empty() { Path::new(".") } else { dir }
}

/// Makes a directory and those above it that are missing, durably: state in a directory whose own
/// name a crash undoes would be lost with it.
///
/// # Errors
/// What was tried, on which path, and what the system says.
pub fn make_dirs(fs: &dyn FileSystem, dir: &Path) -> Result<(), Refused> {
    let missing = |dir: &&Path| {
        !dir.as_os_str().is_empty() && !matches!(fs.entry(dir), Ok(Entry::Other | Entry::File(_)))
    };
    let mut above: Vec<&Path> = dir.ancestors().take_while(missing).collect();
    while let Some(dir) = above.pop() {
        refused("create", dir, fs.make_dir(dir))?;
        refused("sync the directory of", dir, fs.sync_parent(dir))?;
    }
    Ok(())
}

/// Puts `bytes` in the place of the file at `path`, durably, or leaves the old file.
///
/// # Errors
/// What was tried, on which path, and what the system says.
pub fn replace(fs: &dyn FileSystem, path: &Path, bytes: &[u8]) -> Result<(), Refused> {
    replace_by(fs, path.with_extension("tmp"), path, bytes)
}

/// The same for a file that several processes may write at once: none touches another's bytes, and
/// the last one's stand.
///
/// # Errors
/// As [`replace`].
pub fn replace_shared(fs: &dyn FileSystem, path: &Path, bytes: &[u8]) -> Result<(), Refused> {
    replace_by(fs, own_temporary(path), path, bytes)
}

/// A name beside `path` that no other process, and no other thread of this one, uses.
fn own_temporary(path: &Path) -> PathBuf {
    let (process, thread) = (std::process::id(), std::thread::current().id());
    path.with_extension(format!("{process}-{thread:?}.tmp"))
}

fn replace_by(
    fs: &dyn FileSystem,
    temporary: PathBuf,
    path: &Path,
    bytes: &[u8],
) -> Result<(), Refused> {
    let mut file = refused("create", &temporary, fs.open(&temporary, Opening::Replacing))?;
    refused("write", &temporary, file.write(bytes))?;
    refused("sync", &temporary, file.sync())?;
    refused("rename", &temporary, fs.rename(&temporary, path))?;
    refused("sync the directory of", path, fs.sync_parent(path))
}

/// Puts `bytes` at `path` on the system's disk, durably and whole, unless something stands there:
/// of several processes that try at once, one succeeds. False for the others.
///
/// # Errors
/// As [`replace`].
pub fn create(path: &Path, bytes: &[u8]) -> Result<bool, Refused> {
    let fs = OsFiles;
    let temporary = own_temporary(path);
    let mut file = refused("create", &temporary, fs.open(&temporary, Opening::Replacing))?;
    refused("write", &temporary, file.write(bytes))?;
    refused("sync", &temporary, file.sync())?;
    let linked = fs::hard_link(&temporary, path);
    refused("remove", &temporary, fs.remove(&temporary))?;
    match linked {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        linked => {
            refused("link", path, linked)?;
            refused("sync the directory of", path, fs.sync_parent(path))?;
            Ok(true)
        }
    }
}

/// Removes the file at `path`, durably; fine when there is none.
///
/// # Errors
/// As [`replace`].
pub fn remove(fs: &dyn FileSystem, path: &Path) -> Result<(), Refused> {
    match fs.remove(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => {
            refused("remove", path, removed)?;
            refused("sync the directory of", path, fs.sync_parent(path))
        }
    }
}

/// An operation that the system refused.
#[derive(Debug, thiserror::Error)]
#[error("{action} {path}: {source}")]
pub struct Refused {
    /// What was tried.
    pub action: &'static str,
    /// On what.
    pub path: PathBuf,
    /// What the system says.
    pub source: io::Error,
}

/// Says on what an operation was refused.
///
/// # Errors
/// [`Refused`] for an error.
pub fn refused<T>(action: &'static str, path: &Path, done: io::Result<T>) -> Result<T, Refused> {
    done.map_err(|source| Refused { action, path: path.to_owned(), source })
}
