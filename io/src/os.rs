//! The few calls of the operating system that std lacks, and what `/proc` says of this process.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

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

/// Columns of the terminal that standard output is; `None` when it is none.
pub fn terminal_columns() -> Option<usize> {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: TIOCGWINSZ writes one winsize, which `size` is and outlives the call.
    let code = unsafe { libc::ioctl(libc::STDOUT_FILENO, libc::TIOCGWINSZ, &raw mut size) };
    (code == 0 && size.ws_col > 0).then_some(usize::from(size.ws_col))
}

/// Resident memory of this process in KiB; 0 where `/proc` does not say.
pub fn resident_kib() -> u64 {
    let Ok(status) = std::fs::read_to_string("/proc/self/status") else { return 0 };
    status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|rest| rest.trim().trim_end_matches(" kB").parse().ok())
        .unwrap_or(0)
}

/// Open file descriptors of this process; 0 where `/proc` does not say.
pub fn open_files() -> u64 {
    // The listing itself holds one descriptor.
    std::fs::read_dir("/proc/self/fd").map_or(0, |dir| dir.count().saturating_sub(1) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_and_open_files() {
        assert!(resident_kib() > 100);
        assert!(open_files() >= 3);
    }

    #[test]
    fn reserved_space_is_there_and_reads_as_zeros() {
        let file = tempfile::tempfile().expect("a temporary file");
        reserve(&file, 10_000).expect("space for 10 kB");
        assert_eq!(file.metadata().expect("metadata").len(), 10_000);
    }
}
