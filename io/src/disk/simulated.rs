//! A simulated disk: it remembers what was done to it in which order, and gives every state that a
//! crash may leave.
//!
//! What was not synced may be there after a crash or not, in any combination: each sector of each
//! write, each change of a length, each name that was made, given or removed. A sector is written
//! whole or not at all, and what stands in a file's length without having been written is zeros. A
//! rename is one step.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Cursor, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use super::{DiskFile, Entry, FileSystem, Lock, Opening};
use crate::world::Chance;

/// A disk in memory. Clones share it.
#[derive(Clone, Default)]
pub struct SimulatedDisk(Arc<Mutex<Inner>>);

/// What an operation does instead of what was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The disk is full; half of a write has been done.
    NoSpace,
    /// An error of input or output. What a sync should have made durable never will be, though
    /// later ones report success.
    InputOutput,
    /// An error of input or output that comes after the work was done.
    LateError,
}

/// What a disk holds after a crash.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Image {
    nodes: BTreeMap<PathBuf, Option<Arc<Vec<u8>>>>,
}

#[derive(Default)]
struct Inner {
    tree: Tree,
    log: Vec<Op>,
    began: Image,
    fails_at: Option<Fault>,
    /// The last write found no room.
    full: bool,
}

/// When operations fail, and how.
#[derive(Clone, Copy)]
struct Fault {
    /// After so many operations.
    at: usize,
    failure: Failure,
    /// Every one from there on fails, and not the first alone.
    stays: bool,
}

/// What an operation needs of a disk.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Needs {
    /// Room for what is new.
    Room,
    /// None that it has not.
    Nothing,
}

/// Names and contents as a running process sees them.
#[derive(Default)]
struct Tree {
    names: BTreeMap<PathBuf, Node>,
    contents: Vec<Arc<Vec<u8>>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Node {
    Dir,
    File(usize),
}

/// One operation that was done.
#[derive(Clone, Debug)]
enum Op {
    Name(NameOp),
    Make(usize),
    Change(usize, Change),
    Sync(usize),
    /// A sync that failed: what it should have made durable is lost for good.
    Lose(usize),
    SyncDir(PathBuf),
}

/// A change of names.
#[derive(Clone, Debug)]
enum NameOp {
    Put(PathBuf, Node),
    Rename(PathBuf, PathBuf, Node),
    Remove(PathBuf),
}

/// A change of a file's content.
#[derive(Clone, Debug)]
enum Change {
    Write(usize, Arc<Vec<u8>>),
    Length(usize),
}

impl SimulatedDisk {
    /// A disk that holds `image`, all of it durable.
    pub fn holding(image: &Image) -> Self {
        let mut tree = Tree::default();
        for (path, content) in &image.nodes {
            let node = match content {
                None => Node::Dir,
                Some(bytes) => {
                    tree.contents.push(bytes.clone());
                    Node::File(tree.contents.len() - 1)
                }
            };
            tree.names.insert(path.clone(), node);
        }
        let inner = Inner { tree, began: image.clone(), ..Inner::default() };
        Self(Arc::new(Mutex::new(inner)))
    }

    /// Operations done so far.
    pub fn operations(&self) -> usize {
        self.inner().log.len()
    }

    /// The operation that comes after `operations` others fails so, once.
    pub fn fail_at(&self, operations: usize, failure: Failure) {
        self.inner().fails_at = Some(Fault { at: operations, failure, stays: false });
    }

    /// From then on every operation fails so, for good; on a disk that stays full each that needs
    /// room, and a write does nothing any more once the first has done its half.
    pub fn fails_from(&self, operations: usize, failure: Failure) {
        self.inner().fails_at = Some(Fault { at: operations, failure, stays: true });
    }

    /// What a running process sees, as if all of it were durable.
    pub fn image(&self) -> Image {
        let inner = self.inner();
        let tree = &inner.tree;
        let content = |node: &Node| match node {
            Node::Dir => None,
            Node::File(file) => Some(tree.contents[*file].clone()),
        };
        let nodes = tree.names.iter().map(|(path, node)| (path.clone(), content(node))).collect();
        Image { nodes }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().expect("nobody panics while it is held")
    }
}

impl fmt::Debug for SimulatedDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SimulatedDisk")
    }
}

impl Inner {
    /// The failure that the next operation is to have, which needs so much.
    fn failure(&mut self, needs: Needs) -> Option<Failure> {
        let Fault { at, failure, stays } = self.fails_at?;
        let spared = stays && failure == Failure::NoSpace && needs == Needs::Nothing;
        if self.log.len() < at || spared {
            return None;
        }
        if !stays {
            self.fails_at = None;
        }
        Some(failure)
    }

    /// Does a change of names, or fails; it is undone by nothing then, since it was not done.
    fn name(&mut self, op: NameOp) -> io::Result<()> {
        let needs = match op {
            NameOp::Put(..) | NameOp::Rename(..) => Needs::Room,
            NameOp::Remove(_) => Needs::Nothing,
        };
        let failure = self.failure(needs);
        if matches!(failure, Some(Failure::NoSpace | Failure::InputOutput)) {
            return Err(error_of(failure));
        }
        self.tree.name(&op);
        self.log.push(Op::Name(op));
        failure.map_or(Ok(()), |failure| Err(error_of(Some(failure))))
    }

    fn change(&mut self, file: usize, change: Change) {
        apply(Arc::make_mut(&mut self.tree.contents[file]), &change);
        self.log.push(Op::Change(file, change));
    }

    fn file(&self, path: &Path) -> io::Result<usize> {
        match self.tree.names.get(path) {
            Some(Node::File(file)) => Ok(*file),
            Some(Node::Dir) => Err(io::Error::from(ErrorKind::IsADirectory)),
            None => Err(io::Error::from(ErrorKind::NotFound)),
        }
    }

    fn make(&mut self, path: &Path) -> io::Result<usize> {
        let parent = path.parent().unwrap_or(Path::new("/"));
        if parent != Path::new("/") && self.tree.names.get(parent) != Some(&Node::Dir) {
            return Err(io::Error::from(ErrorKind::NotFound));
        }
        let file = self.tree.contents.len();
        self.tree.contents.push(Arc::default());
        self.log.push(Op::Make(file));
        self.name(NameOp::Put(path.to_owned(), Node::File(file)))?;
        Ok(file)
    }
}

impl Tree {
    fn name(&mut self, op: &NameOp) {
        match op {
            NameOp::Put(path, node) => {
                self.names.insert(path.clone(), *node);
            }
            NameOp::Rename(from, to, node) => {
                self.names.remove(from);
                self.names.insert(to.clone(), *node);
            }
            NameOp::Remove(path) => {
                self.names.remove(path);
            }
        }
    }
}

fn apply(content: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Write(at, bytes) => {
            let end = at + bytes.len();
            if content.len() < end {
                content.resize(end, 0);
            }
            content[*at..end].copy_from_slice(bytes);
        }
        Change::Length(length) => content.resize(*length, 0),
    }
}

fn error_of(failure: Option<Failure>) -> io::Error {
    match failure {
        Some(Failure::NoSpace) => io::Error::from(ErrorKind::StorageFull),
        _ => io::Error::other("input/output error"),
    }
}

impl FileSystem for SimulatedDisk {
    fn make_dir(&self, dir: &Path) -> io::Result<()> {
        let mut inner = self.inner();
        if inner.tree.names.get(dir) == Some(&Node::Dir) {
            return Ok(());
        }
        inner.name(NameOp::Put(dir.to_owned(), Node::Dir))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        let inner = self.inner();
        if inner.tree.names.get(dir) != Some(&Node::Dir) {
            return Err(io::Error::from(ErrorKind::NotFound));
        }
        let within = |path: &&PathBuf| path.parent() == Some(dir);
        Ok(inner.tree.names.keys().filter(within).cloned().collect())
    }

    fn entry(&self, path: &Path) -> io::Result<Entry> {
        let inner = self.inner();
        Ok(match inner.tree.names.get(path) {
            None if path == Path::new("/") => Entry::Other,
            None => Entry::Nothing,
            Some(Node::Dir) => Entry::Other,
            Some(Node::File(file)) => Entry::File(inner.tree.contents[*file].len() as u64),
        })
    }

    fn reader(&self, path: &Path) -> io::Result<Box<dyn Read + '_>> {
        let inner = self.inner();
        let file = inner.file(path)?;
        Ok(Box::new(Cursor::new(Whole(inner.tree.contents[file].clone()))))
    }

    fn open(&self, path: &Path, opening: Opening) -> io::Result<Box<dyn DiskFile>> {
        let mut inner = self.inner();
        let file = match (inner.file(path), opening) {
            (Ok(_), Opening::New) => return Err(io::Error::from(ErrorKind::AlreadyExists)),
            (Ok(file), Opening::Replacing) => {
                inner.change(file, Change::Length(0));
                file
            }
            (Ok(file), Opening::Appending) => file,
            (Err(error), _) if error.kind() == ErrorKind::NotFound => inner.make(path)?,
            (Err(error), _) => return Err(error),
        };
        let at = (opening != Opening::Appending).then_some(0);
        Ok(Box::new(SimulatedFile { disk: self.clone(), file, at }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut inner = self.inner();
        let file = inner.file(from)?;
        inner.name(NameOp::Rename(from.to_owned(), to.to_owned(), Node::File(file)))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut inner = self.inner();
        inner.file(path)?;
        inner.name(NameOp::Remove(path.to_owned()))
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut inner = self.inner();
        let failure = inner.failure(Needs::Nothing);
        if matches!(failure, None | Some(Failure::LateError)) {
            inner.log.push(Op::SyncDir(dir.to_owned()));
        }
        failure.map_or(Ok(()), |failure| Err(error_of(Some(failure))))
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Lock>> {
        let mut inner = self.inner();
        if inner.file(path).is_err() {
            inner.make(path)?;
        }
        Ok(Some(Box::new(())))
    }
}

/// A file open to be written; without a place it writes at the end.
#[derive(Debug)]
struct SimulatedFile {
    disk: SimulatedDisk,
    file: usize,
    at: Option<usize>,
}

impl DiskFile for SimulatedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut inner = self.disk.inner();
        let failure = inner.failure(Needs::Room);
        // What room there was has gone to the first that found too little.
        let has_room = !std::mem::replace(&mut inner.full, failure == Some(Failure::NoSpace));
        let done = match failure {
            None | Some(Failure::LateError) => bytes,
            Some(Failure::NoSpace) if has_room => &bytes[..bytes.len() / 2],
            Some(Failure::NoSpace) => &[],
            Some(Failure::InputOutput) => &[],
        };
        let at = self.at.unwrap_or(inner.tree.contents[self.file].len());
        inner.change(self.file, Change::Write(at, Arc::new(done.to_vec())));
        if let Some(at) = &mut self.at {
            *at += done.len();
        }
        failure.map_or(Ok(()), |failure| Err(error_of(Some(failure))))
    }

    fn reserve(&mut self, bytes: u64) -> io::Result<()> {
        let length = self.disk.inner().tree.contents[self.file].len() as u64;
        self.set_len(bytes.max(length))
    }

    fn set_len(&mut self, bytes: u64) -> io::Result<()> {
        let mut inner = self.disk.inner();
        let grows = bytes > inner.tree.contents[self.file].len() as u64;
        let failure = inner.failure(if grows { Needs::Room } else { Needs::Nothing });
        if matches!(failure, None | Some(Failure::LateError)) {
            let length = usize::try_from(bytes).expect("a length in memory");
            inner.change(self.file, Change::Length(length));
        }
        failure.map_or(Ok(()), |failure| Err(error_of(Some(failure))))
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut inner = self.disk.inner();
        match inner.failure(Needs::Nothing) {
            None => {
                inner.log.push(Op::Sync(self.file));
                Ok(())
            }
            Some(Failure::LateError) => {
                inner.log.push(Op::Sync(self.file));
                Err(error_of(None))
            }
            failure => {
                inner.log.push(Op::Lose(self.file));
                Err(error_of(failure))
            }
        }
    }
}

/// A content that nobody changes any more.
struct Whole(Arc<Vec<u8>>);

impl AsRef<[u8]> for Whole {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// Goes through what was done to a disk, and gives at each point the states that a crash may leave.
pub struct Replay {
    log: Vec<Op>,
    at: usize,
    names: BTreeMap<PathBuf, Node>,
    /// Changes of names that are not durable, in order.
    unsynced: Vec<NameOp>,
    files: Vec<Durable>,
}

/// A file as far as it is durable, and what is not.
#[derive(Default)]
struct Durable {
    content: Arc<Vec<u8>>,
    pending: Vec<Change>,
}

/// A sector is written whole or not at all.
const SECTOR: usize = 512;
/// Up to this many changes of one kind all combinations are tried; of more, the telling ones.
const ALL_OF: usize = 3;

impl Replay {
    /// Begins before the first operation.
    pub fn new(disk: &SimulatedDisk) -> Self {
        let inner = disk.inner();
        let mut replay = Self {
            log: inner.log.clone(),
            at: 0,
            names: BTreeMap::new(),
            unsynced: Vec::new(),
            files: Vec::new(),
        };
        for (path, content) in &inner.began.nodes {
            let node = match content {
                None => Node::Dir,
                Some(content) => {
                    replay.files.push(Durable { content: content.clone(), pending: Vec::new() });
                    Node::File(replay.files.len() - 1)
                }
            };
            replay.names.insert(path.clone(), node);
        }
        replay
    }

    /// Operations gone through.
    pub fn at(&self) -> usize {
        self.at
    }

    /// Goes through one more operation; false when there is none.
    pub fn step(&mut self) -> bool {
        let Some(op) = self.log.get(self.at).cloned() else { return false };
        self.at += 1;
        match op {
            Op::Name(op) => self.unsynced.push(op),
            Op::Make(file) => {
                assert_eq!(file, self.files.len(), "files are made in order");
                self.files.push(Durable::default());
            }
            Op::Change(file, change) => self.files[file].pending.extend(pieces(change)),
            Op::Sync(file) => self.files[file].settle(),
            Op::Lose(file) => self.files[file].pending.clear(),
            Op::SyncDir(dir) => {
                let (durable, rest) =
                    std::mem::take(&mut self.unsynced).into_iter().partition(|op| is_of(op, &dir));
                self.unsynced = rest;
                durable.iter().for_each(|op: &NameOp| put(&mut self.names, op));
            }
        }
        true
    }

    /// States that a crash at this point may leave, at most `most` of them: all when there are no
    /// more, else with nothing, with everything, and as `chance` will have it.
    pub fn images(&self, most: usize, chance: &mut Chance) -> Vec<Image> {
        let open: Vec<usize> =
            (0..self.files.len()).filter(|&file| !self.files[file].pending.is_empty()).collect();
        let mut choices: Vec<Vec<Vec<bool>>> =
            open.iter().map(|&file| subsets(self.files[file].pending.len())).collect();
        choices.push(subsets(self.unsynced.len()));
        let all: usize = choices
            .iter()
            .map(Vec::len)
            .try_fold(1_usize, usize::checked_mul)
            .unwrap_or(usize::MAX);
        let image = |number: &mut dyn FnMut(usize) -> usize| {
            let picked: Vec<&Vec<bool>> =
                choices.iter().map(|choice| &choice[number(choice.len())]).collect();
            self.image(&open, &picked)
        };
        if all <= most {
            return (0..all)
                .map(|mut rest| {
                    image(&mut |count| {
                        let number = rest % count;
                        rest /= count;
                        number
                    })
                })
                .collect();
        }
        let ends = [image(&mut |_| 0), image(&mut |count| count - 1)];
        let drawn = (2..most).map(|_| image(&mut |count| chance.below(count as u64) as usize));
        ends.into_iter().chain(drawn).collect()
    }

    fn image(&self, open: &[usize], picked: &[&Vec<bool>]) -> Image {
        let (names_kept, files_kept) = picked.split_last().expect("names are always chosen");
        let mut names = self.names.clone();
        let kept = self.unsynced.iter().zip(*names_kept).filter(|(_, kept)| **kept);
        kept.for_each(|(op, _)| put(&mut names, op));
        let content = |file: usize| match open.iter().position(|&other| other == file) {
            None => self.files[file].content.clone(),
            Some(place) => {
                let mut content = self.files[file].content.to_vec();
                let pending = self.files[file].pending.iter().zip(files_kept[place]);
                pending.filter(|(_, kept)| **kept).for_each(|(c, _)| apply(&mut content, c));
                Arc::new(content)
            }
        };
        let nodes: BTreeMap<_, _> = names
            .iter()
            .filter(|(path, _)| {
                path.ancestors().skip(1).all(|dir| is_root(dir) || names.contains_key(dir))
            })
            .map(|(path, node)| match node {
                Node::Dir => (path.clone(), None),
                Node::File(file) => (path.clone(), Some(content(*file))),
            })
            .collect();
        Image { nodes }
    }
}

impl Durable {
    fn settle(&mut self) {
        let mut content = self.content.to_vec();
        self.pending.drain(..).for_each(|change| apply(&mut content, &change));
        self.content = Arc::new(content);
    }
}

fn is_root(dir: &Path) -> bool {
    dir == Path::new("/") || dir.as_os_str().is_empty()
}

/// A write by the sectors that it touches.
fn pieces(change: Change) -> Vec<Change> {
    let Change::Write(at, bytes) = change else { return vec![change] };
    let mut pieces = Vec::new();
    let (mut from, end) = (at, at + bytes.len());
    while from < end {
        let to = ((from / SECTOR + 1) * SECTOR).min(end);
        pieces.push(Change::Write(from, Arc::new(bytes[from - at..to - at].to_vec())));
        from = to;
    }
    pieces
}

/// Which of `count` changes are kept: every combination of a few; of more none, all, every first
/// part, and all but each.
fn subsets(count: usize) -> Vec<Vec<bool>> {
    if count <= ALL_OF {
        let kept = |bits: usize| (0..count).map(|place| bits >> place & 1 == 1).collect();
        return (0..1 << count).map(kept).collect();
    }
    let first = (0..count).map(|length| (0..count).map(|place| place < length).collect());
    let but = (0..count).map(|lost| (0..count).map(|place| place != lost).collect());
    let all = std::iter::once(vec![true; count]);
    first.chain(but).chain(all).collect()
}

/// True for a change of names in `dir`.
fn is_of(op: &NameOp, dir: &Path) -> bool {
    let (NameOp::Put(path, _) | NameOp::Rename(_, path, _) | NameOp::Remove(path)) = op;
    path.parent() == Some(dir)
}

fn put(names: &mut BTreeMap<PathBuf, Node>, op: &NameOp) {
    match op {
        NameOp::Put(path, node) => {
            names.insert(path.clone(), *node);
        }
        NameOp::Rename(from, to, node) => {
            if names.get(from) == Some(node) {
                names.remove(from);
            }
            names.insert(to.clone(), *node);
        }
        NameOp::Remove(path) => {
            names.remove(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{make_dirs, replace};
    use super::*;

    const FILE: &str = "/state/file";

    fn disk() -> SimulatedDisk {
        let disk = SimulatedDisk::default();
        make_dirs(&disk, Path::new("/state")).expect("made");
        disk
    }

    /// What a crash after any operation from `from` on may leave of the file.
    fn left(disk: &SimulatedDisk, from: usize) -> Vec<Option<Vec<u8>>> {
        let (mut replay, mut left) = (Replay::new(disk), Vec::new());
        loop {
            if replay.at() >= from {
                for image in replay.images(1_000, &mut Chance::new(1, 1)) {
                    left.push(SimulatedDisk::holding(&image).read(Path::new(FILE)).ok());
                }
            }
            if !replay.step() {
                left.sort();
                left.dedup();
                return left;
            }
        }
    }

    #[test]
    fn a_replacement_leaves_the_old_content_or_the_new() {
        let disk = disk();
        replace(&disk, Path::new(FILE), b"old").expect("written");
        let from = disk.operations();
        replace(&disk, Path::new(FILE), b"new").expect("written");
        assert_eq!(left(&disk, from), [Some(b"new".to_vec()), Some(b"old".to_vec())]);
        assert_eq!(left(&disk, disk.operations()), [Some(b"new".to_vec())]);
    }

    #[test]
    fn a_rename_before_its_content_is_synced_may_leave_nothing_of_it() {
        let disk = disk();
        replace(&disk, Path::new(FILE), b"old").expect("written");
        let from = disk.operations();
        let temporary = Path::new("/state/file.tmp");
        disk.open(temporary, Opening::Replacing).expect("open").write(b"new").expect("written");
        disk.rename(temporary, Path::new(FILE)).expect("renamed");
        disk.sync_dir(Path::new("/state")).expect("synced");
        assert!(left(&disk, from).contains(&Some(Vec::new())));
    }

    #[test]
    fn what_is_appended_and_not_synced_is_there_in_any_part_and_zeros_in_its_place() {
        let disk = disk();
        let mut file = disk.open(Path::new(FILE), Opening::Appending).expect("open");
        file.write(b"a\n").expect("written");
        file.sync().expect("synced");
        disk.sync_dir(Path::new("/state")).expect("synced");
        let from = disk.operations();
        file.write(b"b\n").expect("written");
        file.write(b"c\n").expect("written");
        let [alone, with_b, hole, all] =
            ["a\n", "a\nb\n", "a\n\0\0c\n", "a\nb\nc\n"].map(|text| Some(text.as_bytes().to_vec()));
        assert_eq!(left(&disk, from), [alone, hole, with_b, all.clone()]);
        file.sync().expect("synced");
        assert_eq!(left(&disk, disk.operations()), [all]);
    }

    #[test]
    fn a_directory_whose_own_name_is_not_durable_takes_its_files_along() {
        let disk = SimulatedDisk::default();
        disk.make_dir(Path::new("/state")).expect("made");
        replace(&disk, Path::new(FILE), b"kept?").expect("written");
        assert_eq!(left(&disk, disk.operations()), [None, Some(b"kept?".to_vec())]);
    }

    #[test]
    fn what_a_failed_sync_should_have_kept_is_lost_though_the_next_one_succeeds() {
        let disk = disk();
        let mut file = disk.open(Path::new(FILE), Opening::Appending).expect("open");
        disk.sync_dir(Path::new("/state")).expect("synced");
        file.write(b"lost").expect("written");
        disk.fail_at(disk.operations(), Failure::InputOutput);
        assert!(file.sync().is_err());
        file.write(b"kept").expect("written");
        file.sync().expect("synced");
        assert_eq!(left(&disk, disk.operations()), [Some(b"\0\0\0\0kept".to_vec())]);
        disk.fail_at(disk.operations(), Failure::NoSpace);
        assert_eq!(file.write(b"half").map_err(|e| e.kind()), Err(ErrorKind::StorageFull));
        assert_eq!(disk.read(Path::new(FILE)).expect("read"), b"lostkeptha");
    }

    #[test]
    fn a_disk_that_stays_full_takes_no_more_and_gives_up_what_is_removed() {
        let disk = disk();
        let mut file = disk.open(Path::new(FILE), Opening::Appending).expect("open");
        disk.fails_from(disk.operations(), Failure::NoSpace);
        for _ in 0..2 {
            assert_eq!(file.write(b"half").map_err(|e| e.kind()), Err(ErrorKind::StorageFull));
        }
        assert_eq!(disk.read(Path::new(FILE)).expect("read"), b"ha");
        assert!(disk.open(Path::new("/state/new"), Opening::New).is_err());
        assert!(file.reserve(1_000).is_err());
        file.set_len(1).expect("shorter");
        file.sync().expect("what is there is made durable");
        disk.remove(Path::new(FILE)).expect("removed");
        assert_eq!(disk.list(Path::new("/state")).expect("listed"), Vec::<PathBuf>::new());
    }

    #[test]
    fn a_disk_that_fails_for_good_does_nothing_more() {
        let disk = disk();
        let mut file = disk.open(Path::new(FILE), Opening::Appending).expect("open");
        disk.fails_from(disk.operations(), Failure::InputOutput);
        let tries: [&mut dyn FnMut() -> io::Result<()>; 3] =
            [&mut || file.write(b"lost"), &mut || disk.remove(Path::new(FILE)), &mut || {
                disk.sync_dir(Path::new("/state"))
            }];
        for once in tries {
            assert!(once().is_err() && once().is_err());
        }
        assert_eq!(disk.read(Path::new(FILE)).expect("read"), b"");
    }
}
