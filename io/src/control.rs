//! Control: a Unix socket on which people ask something of a run, one line of JSON at a time.
//!
//! The socket has mode 600, and the kernel's word on who is at the other end is checked besides:
//! the same user, or root. Lines are bounded, clients are few, slow ones are dropped; nothing waits
//! for anybody.

pub mod client;
pub mod status;

use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use keel_core::event::{Refused, RefusedFor};
use keel_core::units::{MonoNanos, SECONDS};
use keel_core::words::Words;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::os::{self, Peer};

/// The socket's name in the run's directory.
pub const SOCKET: &str = "control.sock";
/// Longest line of a request, its end included.
pub const REQUEST_BYTES_MAX: usize = 4_096;
/// Longest unread answer of one client.
const ANSWER_BYTES_MAX: usize = 4 << 20;
/// Refusals that are told in a second; more are counted.
pub const REFUSED_MAX: usize = 32;
/// Clients at a time.
pub const CLIENTS_MAX: usize = 16;
/// A client that has sent no whole line for this long, or takes no answer, is dropped.
const SILENCE_NS_MAX: u64 = 5 * SECONDS;

/// What can be asked of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "lowercase", deny_unknown_fields)]
pub enum Request {
    /// The run's figures.
    Status {},
    /// Cancel quotes and quote no more until resumed.
    Pause {},
    /// End a pause.
    Resume {},
    /// Stop for good: fence, cancel everything, verify, latch.
    Kill {
        /// Say what would be canceled and do nothing.
        #[serde(default)]
        dry_run: bool,
        /// Close positions too.
        #[serde(default)]
        flatten: bool,
        /// Close and report only this instrument.
        #[serde(default)]
        instrument: Option<String>,
    },
    /// Clear the stop of an incident.
    Rearm {
        /// Its number.
        incident: u64,
    },
    /// Change a parameter.
    Set {
        /// `name` or `name.regime`.
        key: String,
        /// As in the configuration.
        value: String,
    },
}

/// A request that has come in.
#[derive(Debug)]
pub struct Asked {
    /// Who asks, to be answered by.
    pub client: u64,
    /// Who that is.
    pub peer: Peer,
    /// What.
    pub request: Request,
}

/// The socket and its clients.
#[derive(Debug)]
pub struct Control {
    listener: UnixListener,
    path: PathBuf,
    clients: Vec<Client>,
    next: u64,
    /// What was refused and has not been told yet.
    refused: Vec<Refused>,
    /// Since when refusals are counted, and how many there were.
    counted: (MonoNanos, usize),
    /// How many more there were than are told.
    untold: u32,
}

#[derive(Debug)]
struct Client {
    id: u64,
    peer: Peer,
    stream: UnixStream,
    input: Vec<u8>,
    output: Vec<u8>,
    /// When something was last heard from it, or taken by it.
    heard: MonoNanos,
    /// It waits for an answer, however long that takes.
    waits: bool,
    /// It has closed its side, or has been answered for the last time.
    done: bool,
}

impl Control {
    /// Opens the socket in `dir`. One that a dead run has left there is replaced; the directory's
    /// lock is the caller's.
    ///
    /// # Errors
    /// What the system says.
    pub fn open(dir: &Path) -> io::Result<Self> {
        let path = dir.join(SOCKET);
        let listener = os::listen(dir, SOCKET)?;
        listener.set_nonblocking(true)?;
        let (clients, refused, counted) = (Vec::new(), Vec::new(), (MonoNanos(0), 0));
        Ok(Self { listener, path, clients, next: 0, refused, counted, untold: 0 })
    }

    /// Takes clients in, reads requests and writes answers, as far as that goes now.
    pub fn step(&mut self, now: MonoNanos) -> Vec<Asked> {
        while let Ok((stream, _)) = self.listener.accept() {
            self.welcome(stream, now);
        }
        let (mut asked, mut malformed) = (Vec::new(), Vec::new());
        for client in &mut self.clients {
            client.write(now);
            if let Some(request) = client.read(now) {
                match request {
                    Ok(request) => {
                        client.waits = true;
                        asked.push(Asked { client: client.id, peer: client.peer, request });
                    }
                    Err((line, what)) => {
                        client.put(&refusal(&what));
                        malformed.push((client.peer, line));
                    }
                }
            }
            client.write(now);
        }
        self.clients.retain(|client| !client.is_over(now));
        for (peer, line) in malformed {
            self.refuse(RefusedFor::Malformed, peer, &line, now);
        }
        asked
    }

    /// Answers a client; `last` when nothing more will be said to this request. One that has gone
    /// is no error.
    pub fn answer(&mut self, client: u64, answer: &Value, last: bool, now: MonoNanos) {
        if let Some(client) = self.clients.iter_mut().find(|known| known.id == client) {
            client.put(answer);
            client.waits &= !last;
            client.heard = now;
            client.write(now);
        }
    }

    /// Takes in that `peer` has been refused what it `asked`. Beyond [`REFUSED_MAX`] in a second
    /// it is counted only.
    pub fn refuse(&mut self, why: RefusedFor, peer: Peer, asked: &[u8], now: MonoNanos) {
        if now.since(self.counted.0) >= SECONDS {
            self.counted = (now, 0);
        }
        if self.counted.1 == REFUSED_MAX {
            self.untold = self.untold.saturating_add(1);
            return;
        }
        self.counted.1 += 1;
        let Peer { process, user } = peer;
        let (asked, untold) = (Words::new(asked.trim_ascii()), std::mem::take(&mut self.untold));
        self.refused.push(Refused { why, user, process, untold, asked });
    }

    /// What was refused since the last call, oldest first, each told to `tell`; what that does not
    /// take is counted, and told with the next.
    pub fn tell_refused(&mut self, mut tell: impl FnMut(Refused) -> bool) {
        let mut lost: u32 = 0;
        for refused in self.refused.drain(..) {
            let untold = lost.saturating_add(refused.untold);
            lost = if tell(Refused { untold, ..refused }) { 0 } else { untold.saturating_add(1) };
        }
        self.untold = self.untold.saturating_add(lost);
    }

    fn welcome(&mut self, mut stream: UnixStream, now: MonoNanos) {
        // One that is not known, or would be waited for, is not heard.
        let (Ok(peer), Ok(())) = (os::peer(&stream), stream.set_nonblocking(true)) else { return };
        let no = match peer.user {
            user if !os::is_own(user) => {
                Some((RefusedFor::User, "only the user who runs this engine, and root, may ask"))
            }
            _ if self.clients.len() >= CLIENTS_MAX => Some((RefusedFor::Crowd, "too many clients")),
            _ => None,
        };
        if let Some((why, words)) = no {
            // Told as far as it can be without waiting.
            let _ = stream.write(format!("{}\n", refusal(words)).as_bytes());
            return self.refuse(why, peer, b"", now);
        }
        self.next += 1;
        let (input, output) = (Vec::new(), Vec::new());
        let (id, heard) = (self.next, now);
        let client = Client { id, peer, stream, input, output, heard, waits: false, done: false };
        self.clients.push(client);
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        // One that is gone already is no loss.
        let _ = fs::remove_file(&self.path);
    }
}

impl Client {
    /// The next whole request, or what is wrong with it. One at a time: a client that waits for an
    /// answer is not heard.
    fn read(&mut self, now: MonoNanos) -> Option<Result<Request, (Vec<u8>, String)>> {
        if self.waits || self.done {
            return None;
        }
        let mut buffer = [0; REQUEST_BYTES_MAX];
        match self.stream.read(&mut buffer) {
            Ok(0) => self.done = true,
            Ok(count) => {
                self.input.extend_from_slice(&buffer[..count]);
                self.heard = now;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => self.done = true,
        }
        let Some(end) = self.input.iter().position(|&byte| byte == b'\n') else {
            let long = self.input.len() >= REQUEST_BYTES_MAX;
            return long.then(|| {
                self.done = true;
                let why = format!("a request is one line of at most {REQUEST_BYTES_MAX} bytes");
                Err((std::mem::take(&mut self.input), why))
            });
        };
        let line: Vec<u8> = self.input.drain(..=end).collect();
        let request = serde_json::from_slice(&line);
        Some(request.map_err(|error| (line, format!("not understood: {error}"))))
    }

    /// Adds an answer to what the client is to take. One that has too much to take is dropped.
    fn put(&mut self, answer: &Value) {
        self.output.extend_from_slice(answer.to_string().as_bytes());
        self.output.push(b'\n');
        if self.output.len() > ANSWER_BYTES_MAX {
            self.output.clear();
            self.done = true;
        }
    }

    fn write(&mut self, now: MonoNanos) {
        while !self.output.is_empty() {
            match self.stream.write(&self.output) {
                Ok(count) if count > 0 => {
                    self.output.drain(..count);
                    self.heard = now;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Ok(_) | Err(_) => {
                    self.output.clear();
                    self.done = true;
                }
            }
        }
    }

    fn is_over(&self, now: MonoNanos) -> bool {
        let quiet = now.since(self.heard) > SILENCE_NS_MAX;
        let stuck = quiet && (!self.waits || !self.output.is_empty());
        let said = self.done && self.output.is_empty();
        stuck || said
    }
}

/// An answer that says no.
pub fn refusal(why: &str) -> Value {
    json!({ "ok": false, "error": why })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader};
    use std::os::unix::fs::PermissionsExt;

    const NOW: MonoNanos = MonoNanos(SECONDS);

    fn open() -> (tempfile::TempDir, Control) {
        let dir = tempfile::tempdir().expect("a directory");
        // Longer than a socket's name may be.
        let deep = dir.path().join("d".repeat(120));
        fs::create_dir(&deep).expect("made");
        let control = Control::open(&deep).expect("opened");
        (dir, control)
    }

    /// What was refused since the last time.
    fn told(control: &mut Control) -> Vec<Refused> {
        let mut told = Vec::new();
        control.tell_refused(|refused| {
            told.push(refused);
            true
        });
        told
    }

    fn connect(control: &Control) -> UnixStream {
        client::connect(control.path.parent().expect("a directory")).expect("connected")
    }

    #[test]
    fn a_request_is_told_with_who_asks_and_its_answer_goes_back() {
        let (_dir, mut control) = open();
        let mode = fs::metadata(&control.path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let mut stream = connect(&control);
        stream.write_all(b"{\"command\":\"rearm\",").expect("sent");
        assert!(control.step(NOW).is_empty(), "half a line");
        stream.write_all(b"\"incident\":7}\n{\"command\":\"status\"}\n").expect("sent");
        let asked = control.step(NOW);
        assert_eq!(asked.len(), 1, "the second waits for the first's answer");
        assert_eq!(asked[0].request, Request::Rearm { incident: 7 });
        assert_eq!(asked[0].peer.user, os::effective_user());
        control.answer(asked[0].client, &json!({ "ok": true }), true, NOW);
        let mut line = String::new();
        BufReader::new(&stream).read_line(&mut line).expect("answered");
        assert_eq!(line, "{\"ok\":true}\n");
        assert_eq!(control.step(NOW)[0].request, Request::Status {});
    }

    #[test]
    fn what_is_no_request_is_refused_in_words() {
        for bad in [
            "nonsense",
            "{}",
            "{\"command\":\"reboot\"}",
            "{\"command\":\"kill\",\"dry-run\":true}",
            "{\"command\":\"rearm\"}",
            "{\"command\":\"rearm\",\"incident\":-1}",
            "[1,2,3]",
        ] {
            let (_dir, mut control) = open();
            let mut stream = connect(&control);
            stream.write_all(format!("{bad}\n").as_bytes()).expect("sent");
            assert!(control.step(NOW).is_empty(), "{bad}");
            let mut line = String::new();
            BufReader::new(&stream).read_line(&mut line).expect("answered");
            assert!(line.starts_with("{\"error\":\"not understood"), "{bad}: {line}");
            let refused = told(&mut control);
            assert_eq!(refused.len(), 1, "{bad}");
            let of = (refused[0].why, refused[0].user, refused[0].process, refused[0].untold);
            let own = (os::effective_user(), std::process::id());
            assert_eq!(of, (RefusedFor::Malformed, own.0, own.1, 0), "{bad}");
            assert_eq!(refused[0].asked.as_str(), bad);
        }
    }

    #[test]
    fn refusals_beyond_what_is_told_in_a_second_or_taken_are_counted() {
        let (_dir, mut control) = open();
        let peer = Peer { process: 7, user: 8 };
        let refuse = |control: &mut Control, now| {
            control.refuse(RefusedFor::User, peer, b"", now);
        };
        (0..REFUSED_MAX + 5).for_each(|_| refuse(&mut control, NOW));
        assert_eq!(told(&mut control).len(), REFUSED_MAX);
        let later = NOW.after(SECONDS);
        refuse(&mut control, later);
        refuse(&mut control, later);
        // Nobody takes these two.
        control.tell_refused(|_| false);
        refuse(&mut control, later);
        assert_eq!(told(&mut control)[0].untold, 5 + 2);
        refuse(&mut control, later);
        assert_eq!(told(&mut control)[0].untold, 0, "told once");
    }

    #[test]
    fn a_line_without_end_a_silent_client_and_a_crowd_are_bounded() {
        let (_dir, mut control) = open();
        let mut endless = connect(&control);
        endless.write_all(&[b'x'; REQUEST_BYTES_MAX]).expect("sent");
        control.step(NOW);
        control.step(NOW);
        assert!(control.clients.is_empty(), "dropped, having been told why");
        let crowd: Vec<_> = (0..CLIENTS_MAX + 3).map(|_| connect(&control)).collect();
        control.step(NOW);
        assert_eq!(control.clients.len(), CLIENTS_MAX);
        let refused: Vec<_> = told(&mut control).iter().map(|refused| refused.why).collect();
        let crowd_of_three = [RefusedFor::Crowd; 3];
        assert_eq!(refused, [&[RefusedFor::Malformed], &crowd_of_three[..]].concat());
        control.step(NOW.after(SILENCE_NS_MAX));
        assert_eq!(control.clients.len(), CLIENTS_MAX);
        control.step(NOW.after(SILENCE_NS_MAX + 1));
        assert_eq!(control.clients.len(), 0, "nobody said anything");
        drop(crowd);
    }

    #[test]
    fn a_client_that_takes_no_answer_is_dropped_and_delays_nobody() {
        let (_dir, mut control) = open();
        let mut stream = connect(&control);
        stream.write_all(b"{\"command\":\"status\"}\n").expect("sent");
        let asked = control.step(NOW);
        let large = json!({ "text": "x".repeat(ANSWER_BYTES_MAX + 1) });
        control.answer(asked[0].client, &large, true, NOW);
        control.step(NOW);
        assert!(control.clients.is_empty(), "more than one client may be owed");

        let mut slow = connect(&control);
        slow.write_all(b"{\"command\":\"status\"}\n").expect("sent");
        let asked = control.step(NOW);
        // More than the socket holds, and less than the bound.
        let large = json!({ "text": "x".repeat(ANSWER_BYTES_MAX / 2) });
        control.answer(asked[0].client, &large, true, NOW);
        control.step(NOW.after(SILENCE_NS_MAX));
        assert_eq!(control.clients.len(), 1, "it may take its time");
        control.step(NOW.after(SILENCE_NS_MAX + 1));
        assert!(control.clients.is_empty(), "but not for ever");
    }
}
