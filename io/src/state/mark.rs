//! The second mark of a stop for good, outside of the state directory.
//!
//! Who puts back a copy of the directory from before the stop puts the latch away with it. So the
//! latch stands once more beside the account's claim, and the directory says where.

use std::path::{Path, PathBuf};

use super::{Latch, StateError, corrupt, latch_object, read_if_there, read_latch, sealed};
use crate::disk::{self, FileSystem};

/// Where the mark of an instance is, in a directory of marks; from wherever it is asked.
pub(super) fn place(marks: &Path, instance: &str) -> PathBuf {
    let place = marks.join(format!("{instance}.latch"));
    std::path::absolute(&place).unwrap_or(place)
}

/// Where the mark of a state directory is; `None` where it has none.
pub(super) fn of(fs: &dyn FileSystem, dir: &Path) -> Result<Option<PathBuf>, StateError> {
    let path = dir.join(POINTER);
    let Some(bytes) = read_if_there(fs, &path)? else { return Ok(None) };
    let text = String::from_utf8(bytes).ok();
    let named = text.and_then(|text| text.strip_suffix('\n').map(PathBuf::from));
    let named = named.filter(|named| named.is_absolute());
    named.map(Some).ok_or_else(|| corrupt(&path, "does not name a file"))
}

/// Has a state directory say that its mark is at `place`.
pub(super) fn keep(fs: &dyn FileSystem, dir: &Path, place: &Path) -> Result<(), StateError> {
    let path = dir.join(POINTER);
    let text = format!("{}\n", place.display());
    if read_if_there(fs, &path)?.as_deref() != Some(text.as_bytes()) {
        disk::replace(fs, &path, text.as_bytes())?;
    }
    Ok(())
}

/// Writes the mark, if the directory has one.
pub(super) fn write(fs: &dyn FileSystem, dir: &Path, latch: &Latch) -> Result<(), StateError> {
    let Some(path) = of(fs, dir)? else { return Ok(()) };
    if read_latch(fs, &path).is_ok_and(|marked| marked == Some(*latch)) {
        return Ok(());
    }
    if let Some(marks) = path.parent() {
        disk::make_dirs(fs, marks)?;
    }
    Ok(disk::replace_shared(fs, &path, sealed(latch_object(latch)).as_bytes())?)
}

/// What the mark at `path` says.
///
/// # Errors
/// [`StateError::Mark`] for one that is damaged.
pub(super) fn read(fs: &dyn FileSystem, path: &Path) -> Result<Option<Latch>, StateError> {
    read_latch(fs, path).map_err(|error| match error {
        StateError::Corrupt { path, what } => StateError::Mark { path, what },
        error => error,
    })
}

/// The same where the stop itself must not wait for it, nor fail with it: the latch inside stands,
/// and the next start makes up for a mark that is missing.
pub(super) fn try_write(fs: &dyn FileSystem, dir: &Path, latch: &Latch) {
    write(fs, dir, latch).ok();
}

/// Where the mark was while it was kept elsewhere than at `place`; `None` when it was not, or when
/// nothing can be read of it.
pub(super) fn left(fs: &dyn FileSystem, dir: &Path, place: &Path) -> Option<PathBuf> {
    of(fs, dir).ok().flatten().filter(|before| before != place)
}

/// Removes the mark.
pub(super) fn remove(fs: &dyn FileSystem, dir: &Path) -> Result<(), StateError> {
    match of(fs, dir)? {
        Some(path) => Ok(disk::remove(fs, &path)?),
        None => Ok(()),
    }
}

/// The file that names the mark.
const POINTER: &str = "mark";
