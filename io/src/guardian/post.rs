//! Post: where a guardian that a unit file runs waits for its engine.
//!
//! It is a socket in the state directory. The engine sends the descriptor of its vitals over it,
//! with a word of what it runs; the kernel says which process that is. The line stays open for as
//! long as both live: its end tells the engine that its guardian has ended.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::Guarded;
use crate::os::{self, Process};

/// A guardian that waits. One may wait for a state directory at a time.
#[derive(Debug)]
pub struct Post {
    listener: UnixListener,
    lock: File,
}

/// An engine that has come to a post.
#[derive(Debug)]
pub struct Comer {
    /// The engine, held, with the descriptor of its vitals.
    pub engine: Guarded,
    /// Where its run writes.
    pub run_dir: PathBuf,
    /// To be kept until the guardian's end.
    pub kept: Kept,
}

/// The line to an engine, and the post that nobody else may take meanwhile.
#[derive(Debug)]
pub struct Kept {
    _line: UnixStream,
    _lock: File,
}

/// What an engine says of itself.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Word {
    /// BLAKE3 of its configuration, in hexadecimal digits.
    pub config_hash: String,
    /// Where its run writes.
    pub run_dir: PathBuf,
}

/// The socket in the state directory.
const SOCKET: &str = "guardian.sock";
/// Locked by the guardian that waits there or works.
const LOCK: &str = "guardian.lock";
/// A word is shorter than that: a path has 4,096 bytes at most.
const WORD_MAX: usize = 8_192;
/// An engine that has connected speaks at once.
const SPEAKS_MAX: Duration = Duration::from_secs(2);

impl Post {
    /// Waits at `state_dir`, which is made where it is missing.
    ///
    /// # Errors
    /// What the system says, and `WouldBlock` when another guardian is there.
    pub fn open(state_dir: &Path) -> io::Result<Self> {
        fs::create_dir_all(state_dir)?;
        let lock_at = state_dir.join(LOCK);
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(lock_at)?;
        lock.try_lock().map_err(|_| {
            io::Error::new(ErrorKind::WouldBlock, "another guardian is there already")
        })?;
        Ok(Self { listener: os::listen(state_dir, SOCKET)?, lock })
    }

    /// Waits for an engine of this configuration. Others are refused, and told why.
    ///
    /// # Errors
    /// What the system says of the post itself.
    pub fn wait(self, config_hash: &str) -> io::Result<Comer> {
        loop {
            let (mut line, _) = self.listener.accept()?;
            match meet(&line, config_hash) {
                Ok((engine, run_dir)) => {
                    let kept = Kept { _line: line, _lock: self.lock };
                    return Ok(Comer { engine, run_dir, kept });
                }
                Err(why) => {
                    eprintln!("keel guardian: an engine was refused: {why}");
                    // One that has gone needs no answer.
                    let _ = writeln!(line, "{why}");
                }
            }
        }
    }
}

/// Takes an engine's word and its vitals, and holds its process.
fn meet(line: &UnixStream, config_hash: &str) -> io::Result<(Guarded, PathBuf)> {
    let peer = os::peer(line)?;
    if !os::is_own(peer.user) {
        return Err(io::Error::other(format!("it is of user {}", peer.user)));
    }
    line.set_read_timeout(Some(SPEAKS_MAX))?;
    let mut word = [0; WORD_MAX];
    let (length, vitals) = os::receive_descriptor(line, &mut word)?;
    let vitals = vitals.ok_or_else(|| io::Error::other("it has sent no vitals"))?;
    let word: Word = serde_json::from_slice(&word[..length])?;
    if word.config_hash != config_hash {
        return Err(io::Error::other("its configuration is another one than the guardian's"));
    }
    let process = Process::hold(peer.process)?;
    // Had it ended before it was held, its number could be another's by now; its line would have
    // ended with it.
    line.set_nonblocking(true)?;
    match (&*line).read(&mut [0]) {
        Err(error) if error.kind() == ErrorKind::WouldBlock => {}
        _ => return Err(io::Error::other("it has gone")),
    }
    Ok((Guarded { process, vitals, orphaned: false }, word.run_dir))
}

/// Brings the vitals behind `fd` to the guardian that waits at `state_dir`, as soon as one does.
/// Gives the line to it, which does not block.
///
/// # Errors
/// What the system says, and that nobody waits there for so long as `patience`.
pub fn come(
    state_dir: &Path,
    word: &Word,
    fd: &OwnedFd,
    patience: Duration,
) -> io::Result<UnixStream> {
    let began = Instant::now();
    let line = loop {
        match os::connect(state_dir, SOCKET) {
            Ok(line) => break line,
            Err(error) if began.elapsed() >= patience => {
                let at = state_dir.join(SOCKET);
                return Err(io::Error::new(
                    error.kind(),
                    format!("none waits at {}: {error}", at.display()),
                ));
            }
            Err(_) => thread::sleep(Duration::from_millis(20)),
        }
    };
    let peer = os::peer(&line)?;
    if !os::is_own(peer.user) {
        return Err(io::Error::other(format!("who waits there is user {}", peer.user)));
    }
    os::send_descriptor(&line, &serde_json::to_vec(word)?, fd.as_fd())?;
    line.set_nonblocking(true)?;
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vitals::{Turning, Vitals};

    fn word(hash: &str) -> Word {
        Word { config_hash: hash.to_owned(), run_dir: "/run/of/it".into() }
    }

    const AT_ONCE: Duration = Duration::ZERO;

    #[test]
    fn an_engine_that_comes_is_held_with_its_vitals_and_sees_the_end_of_its_guardian() {
        let dir = tempfile::tempdir().expect("a directory");
        let post = Post::open(dir.path()).expect("a post");
        assert_eq!(Post::open(dir.path()).expect_err("taken").kind(), ErrorKind::WouldBlock);
        let (vitals, fd) = Vitals::share().expect("memory");
        let mut line = come(dir.path(), &word("aa"), &fd, AT_ONCE).expect("somebody waits");
        let comer = post.wait("aa").expect("it comes");
        assert_eq!(comer.run_dir, Path::new("/run/of/it"));
        assert!(!comer.engine.process.has_ended() && !comer.engine.orphaned);
        vitals.turned(Turning::Engine);
        let seen = Vitals::map(&comer.engine.vitals).expect("mapped");
        assert_eq!(seen.turns(Turning::Engine), 1);
        let mut byte = [0];
        assert_eq!(line.read(&mut byte).expect_err("quiet").kind(), ErrorKind::WouldBlock);
        drop(comer);
        assert_eq!(line.read(&mut byte).expect("the end"), 0);
        let refused = come(dir.path(), &word("aa"), &fd, AT_ONCE).expect_err("nobody waits");
        assert!(refused.to_string().starts_with("none waits at "), "{refused}");
    }

    #[test]
    fn who_sends_no_vitals_or_runs_something_else_is_told_so_and_the_next_is_taken() {
        let dir = tempfile::tempdir().expect("a directory");
        let post = Post::open(dir.path()).expect("a post");
        let (_, fd) = Vitals::share().expect("memory");
        let mut other = come(dir.path(), &word("bb"), &fd, AT_ONCE).expect("somebody waits");
        let mut without = UnixStream::connect(dir.path().join(SOCKET)).expect("somebody waits");
        without.write_all(b"{}").expect("sent");
        let gone = come(dir.path(), &word("aa"), &fd, AT_ONCE).expect("somebody waits");
        drop(gone);
        let _line = come(dir.path(), &word("aa"), &fd, AT_ONCE).expect("somebody waits");
        post.wait("aa").expect("the last is taken");
        for (line, why) in [(&mut other, "another one than"), (&mut without, "no vitals")] {
            line.set_nonblocking(false).expect("set");
            let mut said = String::new();
            line.read_to_string(&mut said).expect("text");
            assert!(said.contains(why), "{said}");
        }
    }
}
