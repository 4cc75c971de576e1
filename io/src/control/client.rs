//! The other end of the control socket: what `keel status` and its like do.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use super::{Request, SOCKET};
use crate::os::{self, Peer};

/// A conversation with a run.
#[derive(Debug)]
pub struct Conversation {
    reader: BufReader<UnixStream>,
    peer: Peer,
}

/// Connects to the socket in a run's directory.
///
/// # Errors
/// What the system says; `NotFound` or `ConnectionRefused` when no run is there.
pub fn connect(run_dir: &Path) -> io::Result<UnixStream> {
    os::connect(run_dir, SOCKET)
}

impl Conversation {
    /// Connects, and asks. The process at the other end is known by the kernel's word, also when it
    /// does not answer.
    ///
    /// # Errors
    /// As [`connect`].
    pub fn begin(run_dir: &Path, request: &Request) -> io::Result<Self> {
        let mut stream = connect(run_dir)?;
        let peer = os::peer(&stream)?;
        let line = serde_json::to_string(request).expect("a request is JSON") + "\n";
        stream.write_all(line.as_bytes())?;
        Ok(Self { reader: BufReader::new(stream), peer })
    }

    /// Who serves the socket.
    pub fn peer(&self) -> Peer {
        self.peer
    }

    /// The next answer; `None` when none comes within `limit`, which proves nothing.
    ///
    /// # Errors
    /// What the system says, or that the run has closed or was not understood.
    pub fn answer(&mut self, limit: Duration) -> io::Result<Option<Value>> {
        self.reader.get_ref().set_read_timeout(Some(limit))?;
        let mut line = String::new();
        match self.reader.read_line(&mut line) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => serde_json::from_str(&line).map(Some).map_err(io::Error::other),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }
}
