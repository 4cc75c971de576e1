//! The few calls of the operating system that std lacks, and what `/proc` says of this process.

use std::fs::{self, File, Permissions};
use std::io;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use keel_net::sync::atomic::AtomicU64;

/// The user that this process acts as.
pub fn effective_user() -> u32 {
    // SAFETY: geteuid takes nothing, touches no memory of ours and cannot fail.
    unsafe { libc::geteuid() }
}

/// Reserves `bytes` of disk for `file`, so that later writes within them need no new space.
///
/// # Errors
/// What the system says: no space, quota, or a file system that cannot.
pub fn reserve(file: &File, bytes: u64) -> io::Result<()> {
    let bytes = i64::try_from(bytes).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    // SAFETY: the descriptor is open for as long as `file` is borrowed; no memory is passed.
    let code = unsafe { libc::posix_fallocate(file.as_raw_fd(), 0, bytes) };
    if code == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(code)) }
}

/// Words of memory that processes can share; a model checker goes through fewer.
pub const SHARED_WORDS: usize = if cfg!(loom) { 64 } else { 512 };
const SHARED_BYTES: usize = SHARED_WORDS * size_of::<AtomicU64>();

/// Makes words of memory that another process can map by the descriptor. All are zero. They live as
/// long as this process.
///
/// # Errors
/// What the system says.
pub fn share() -> io::Result<(&'static [AtomicU64; SHARED_WORDS], OwnedFd)> {
    // SAFETY: the name is a C text that outlives the call; nothing else is passed.
    let fd = unsafe { libc::memfd_create(c"keel-vitals".as_ptr(), libc::MFD_CLOEXEC) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor has just been made and belongs to nobody else.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    let file = File::from(fd);
    file.set_len(SHARED_BYTES as u64)?;
    let words = map_shared(&file)?;
    Ok((words, file.into()))
}

/// Maps words that another process has made by [`share`].
///
/// # Errors
/// What the system says, or that the file has another size.
pub fn map_shared(fd: &impl AsFd) -> io::Result<&'static [AtomicU64; SHARED_WORDS]> {
    let file = File::from(fd.as_fd().try_clone_to_owned()?);
    if file.metadata()?.len() != SHARED_BYTES as u64 {
        return Err(io::Error::other("the descriptor is not that of an engine's vitals"));
    }
    let access = libc::PROT_READ | libc::PROT_WRITE;
    let (address, kind) = (std::ptr::null_mut(), libc::MAP_SHARED);
    // SAFETY: a new mapping at an address that the system chooses; the file has the size mapped.
    let mapped = unsafe { libc::mmap(address, SHARED_BYTES, access, kind, file.as_raw_fd(), 0) };
    if mapped == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the mapping is aligned to a page, as long as the array, never unmapped, and touched
    // by atomic operations only, in every process that maps it; zero is a value of each word.
    Ok(unsafe { &*mapped.cast::<[AtomicU64; SHARED_WORDS]>() })
}

/// Who is at the other end of a Unix socket, as the kernel says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its process.
    pub process: u32,
    /// Its user.
    pub user: u32,
}

/// Who is at the other end of `stream`.
///
/// # Errors
/// What the system says.
pub fn peer(stream: &UnixStream) -> io::Result<Peer> {
    let mut found = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let mut length = size_of::<libc::ucred>() as libc::socklen_t;
    let (level, option) = (libc::SOL_SOCKET, libc::SO_PEERCRED);
    let into = (&raw mut found).cast();
    // SAFETY: the option writes one ucred at most, which `found` is and outlives the call.
    let code =
        unsafe { libc::getsockopt(stream.as_raw_fd(), level, option, into, &raw mut length) };
    if code != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(Peer { process: found.pid.unsigned_abs(), user: found.uid })
}

/// True for the user that this process acts as, and for the system's own.
pub fn is_own(user: u32) -> bool {
    user == effective_user() || user == 0
}

/// Listens at a socket of this name in `dir`, for this user alone. One that a dead process has left
/// there is replaced: the directory is the caller's.
///
/// # Errors
/// What the system says.
pub fn listen(dir: &Path, name: &str) -> io::Result<UnixListener> {
    let path = dir.join(name);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(short_path(&File::open(dir)?, name))?;
    fs::set_permissions(&path, Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Connects to the socket of this name in `dir`.
///
/// # Errors
/// What the system says; `NotFound` or `ConnectionRefused` when nobody listens there.
pub fn connect(dir: &Path, name: &str) -> io::Result<UnixStream> {
    UnixStream::connect(short_path(&File::open(dir)?, name))
}

/// The path of a socket in an open directory, as short as a socket's name must be.
fn short_path(dir: &File, name: &str) -> PathBuf {
    Path::new("/proc/self/fd").join(dir.as_raw_fd().to_string()).join(name)
}

/// Room for the one descriptor that goes along with bytes, aligned as the system wants it.
#[repr(align(8))]
struct Along([u8; 64]);

/// Sends bytes, and a descriptor along with them.
///
/// # Errors
/// What the system says, and that not all bytes could be sent at once.
pub fn send_descriptor(line: &UnixStream, bytes: &[u8], fd: BorrowedFd<'_>) -> io::Result<()> {
    let mut part = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    let mut along = Along([0; 64]);
    // SAFETY: a message of zeros is an empty one.
    let mut message: libc::msghdr = unsafe { zeroed() };
    (message.msg_iov, message.msg_iovlen) = (&raw mut part, 1);
    message.msg_control = (&raw mut along.0).cast();
    let length = size_of::<RawFd>() as u32;
    // SAFETY: `along` has room for one header and one descriptor, and is aligned for a header; the
    // parts that the message names outlive the call, and are only read.
    let sent = unsafe {
        message.msg_controllen = libc::CMSG_SPACE(length) as usize;
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        (*header).cmsg_level = libc::SOL_SOCKET;
        (*header).cmsg_type = libc::SCM_RIGHTS;
        (*header).cmsg_len = libc::CMSG_LEN(length) as usize;
        libc::CMSG_DATA(header).cast::<RawFd>().write_unaligned(fd.as_raw_fd());
        libc::sendmsg(line.as_raw_fd(), &raw const message, libc::MSG_NOSIGNAL)
    };
    match usize::try_from(sent) {
        Ok(sent) if sent == bytes.len() => Ok(()),
        Ok(_) => Err(io::Error::other("not all could be sent at once")),
        Err(_) => Err(io::Error::last_os_error()),
    }
}

/// Receives bytes, how many, and the descriptor that came along with them.
///
/// # Errors
/// What the system says.
pub fn receive_descriptor(
    line: &UnixStream,
    into: &mut [u8],
) -> io::Result<(usize, Option<OwnedFd>)> {
    let mut part = libc::iovec { iov_base: into.as_mut_ptr().cast(), iov_len: into.len() };
    let mut along = Along([0; 64]);
    // SAFETY: a message of zeros is an empty one.
    let mut message: libc::msghdr = unsafe { zeroed() };
    (message.msg_iov, message.msg_iovlen) = (&raw mut part, 1);
    message.msg_control = (&raw mut along.0).cast();
    // Room for one descriptor alone: the system closes what comes beyond it.
    // SAFETY: the macro only adds.
    message.msg_controllen = unsafe { libc::CMSG_SPACE(size_of::<RawFd>() as u32) as usize };
    let flags = libc::MSG_CMSG_CLOEXEC;
    // SAFETY: the parts that the message names outlive the call, and are as long as it says.
    let received = unsafe { libc::recvmsg(line.as_raw_fd(), &raw mut message, flags) };
    let received = usize::try_from(received).map_err(|_| io::Error::last_os_error())?;
    // SAFETY: the system has written the headers that it counts, within `along`; a descriptor that
    // came is ours alone.
    let fd = unsafe {
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        let is_fd = !header.is_null()
            && (*header).cmsg_level == libc::SOL_SOCKET
            && (*header).cmsg_type == libc::SCM_RIGHTS;
        is_fd
            .then(|| OwnedFd::from_raw_fd(libc::CMSG_DATA(header).cast::<RawFd>().read_unaligned()))
    };
    Ok((received, fd))
}

/// A hold on one process, which its number alone is not: numbers are used again.
#[derive(Debug)]
pub struct Process(OwnedFd);

impl Process {
    /// Takes hold of a process that runs.
    ///
    /// # Errors
    /// What the system says; `ESRCH` when there is none.
    pub fn hold(id: u32) -> io::Result<Self> {
        // SAFETY: the call takes two numbers and touches no memory of ours.
        let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, id, 0) };
        let fd = i32::try_from(fd).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor has just been made and belongs to nobody else.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// True once it has ended.
    pub fn has_ended(&self) -> bool {
        let mut asked = libc::pollfd { fd: self.0.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one pollfd is passed, which outlives the call; it does not wait.
        let ready = unsafe { libc::poll(&raw mut asked, 1, 0) };
        ready > 0
    }

    /// Ends it at once (`SIGKILL`). One that has ended is no error.
    ///
    /// # Errors
    /// What the system says.
    pub fn end(&self) -> io::Result<()> {
        let (signal, none) = (libc::SIGKILL, std::ptr::null::<libc::siginfo_t>());
        let fd = self.0.as_raw_fd();
        // SAFETY: the descriptor is open while `self` lives; no memory is passed.
        let code = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, fd, signal, none, 0) };
        let error = io::Error::last_os_error();
        if code == 0 || error.raw_os_error() == Some(libc::ESRCH) { Ok(()) } else { Err(error) }
    }
}

/// The process that has locked a file, by the system's table of locks.
///
/// # Errors
/// What the system says; `NotFound` when the table does not tell, as across containers.
pub fn lock_holder(path: &Path) -> io::Result<u32> {
    let file = path.metadata()?;
    let (major, minor) = (libc::major(file.dev()), libc::minor(file.dev()));
    let name = format!("{major:02x}:{minor:02x}:{}", file.ino());
    // number, FLOCK, ADVISORY, WRITE, process, file, from, to; one that waits has an arrow first.
    let holder = |line: &str| {
        let mut words = line.split_whitespace().skip(1);
        let flock = words.next()? == "FLOCK";
        let process = words.nth(2)?.parse().ok().filter(|&id| id > 0);
        if flock && words.next()? == name { process } else { None }
    };
    let table = fs::read_to_string("/proc/locks")?;
    table.lines().find_map(holder).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
}

/// Leaves the terminal's session, so that its signals end the others and not this process. A
/// process that leads one already stays.
pub fn leave_session() {
    // SAFETY: setsid takes nothing and touches no memory of ours; its failure changes nothing.
    let _ = unsafe { libc::setsid() };
}

/// Columns of the terminal that standard output is; `None` when it is none.
pub fn terminal_columns() -> Option<usize> {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: TIOCGWINSZ writes one winsize, which `size` is and outlives the call.
    let code = unsafe { libc::ioctl(libc::STDOUT_FILENO, libc::TIOCGWINSZ, &raw mut size) };
    (code == 0 && size.ws_col > 0).then_some(usize::from(size.ws_col))
}

/// What `/proc` says of a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Resident memory in KiB.
    pub rss_kib: u64,
    /// Its threads.
    pub threads: u64,
    /// Open file descriptors.
    pub open_files: u64,
}

impl Figures {
    /// Those of process `id`; `None` when there is none, or its memory is gone already.
    pub fn of(id: u32) -> Option<Self> {
        Self::at(&format!("/proc/{id}"))
    }

    fn at(dir: &str) -> Option<Self> {
        let status = fs::read_to_string(format!("{dir}/status")).ok()?;
        let figure = |name: &str| {
            let rest = status.lines().find_map(|line| line.strip_prefix(name))?;
            rest.trim().trim_end_matches(" kB").parse().ok()
        };
        let open_files = fs::read_dir(format!("{dir}/fd")).map_or(0, Iterator::count) as u64;
        Some(Self { rss_kib: figure("VmRSS:")?, threads: figure("Threads:")?, open_files })
    }
}

/// When a process was started, in ticks since boot: with its number the name of one process.
pub fn started(id: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // Behind the program's name, which may hold anything, stands the third field.
    stat.rsplit(')').next()?.split_whitespace().nth(19)?.parse().ok()
}

/// Resident memory of this process in KiB; 0 where `/proc` does not say.
pub fn resident_kib() -> u64 {
    Figures::at("/proc/self").map_or(0, |figures| figures.rss_kib)
}

/// Open file descriptors of this process; 0 where `/proc` does not say.
pub fn open_files() -> u64 {
    // The listing itself holds one descriptor.
    Figures::at("/proc/self").map_or(0, |figures| figures.open_files.saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_and_open_files() {
        assert!(resident_kib() > 100);
        assert!(open_files() >= 3);
        let id = std::process::id();
        let figures = Figures::of(id).expect("this process");
        assert!(figures.rss_kib > 100 && figures.threads >= 1 && figures.open_files >= 3);
        assert!(started(id).is_some_and(|ticks| ticks > 0));
        assert_eq!((Figures::of(u32::MAX), started(u32::MAX)), (None, None));
    }

    #[test]
    fn shared_words_are_the_same_memory_by_both_mappings() {
        use std::sync::atomic::Ordering;
        let (words, fd) = share().expect("memory");
        let other = map_shared(&fd).expect("mapped");
        words[7].store(77, Ordering::Release);
        assert_eq!(other[7].load(Ordering::Acquire), 77);
        assert!(map_shared(&tempfile::tempfile().expect("a file")).is_err(), "not of that size");
    }

    #[test]
    fn the_peer_of_a_socket_is_known_by_the_kernel() {
        let (here, _there) = UnixStream::pair().expect("a pair");
        let peer = peer(&here).expect("credentials");
        assert_eq!(peer, Peer { process: std::process::id(), user: effective_user() });
    }

    #[test]
    fn a_process_that_is_held_is_ended_and_seen_to_end() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().expect("a child");
        let held = Process::hold(child.id()).expect("it runs");
        assert!(!held.has_ended());
        held.end().expect("ended");
        child.wait().expect("reaped");
        assert!(held.has_ended());
        held.end().expect("ending it again is no error");
        assert!(Process::hold(child.id()).is_err(), "reaped, so there is none");
    }

    #[test]
    fn reserved_space_is_there_and_reads_as_zeros() {
        let file = tempfile::tempfile().expect("a temporary file");
        reserve(&file, 10_000).expect("space for 10 kB");
        assert_eq!(file.metadata().expect("metadata").len(), 10_000);
    }
}
