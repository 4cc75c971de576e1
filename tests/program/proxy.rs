//! A proxy between a run and its venue that does one piece of mischief to the first socket of a
//! kind.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// What is done to frames of the venue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mischief {
    /// Bytes of every connection arrive one by one, as far as their first few thousand.
    OneByOne,
    /// The socket ends in the middle of a frame.
    CloseMidFrame,
    /// A frame says that 64 MiB follow.
    HugeFrame,
    /// A text frame that is no text.
    InvalidText,
    /// The best price of the next book update gets a digit that no tick has.
    OffTheTick,
}

/// Where it is done: the path that a socket asks for begins so.
pub(crate) const PUBLIC: &str = "/v3/ws/public";
/// The other socket.
pub(crate) const PRIVATE: &str = "/v3/ws/private";

/// A proxy at work, until the process ends.
pub(crate) struct Proxy {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    done: Arc<AtomicBool>,
}

#[derive(Clone)]
struct Plan {
    venue: String,
    mischief: Mischief,
    path: &'static str,
    done: Arc<AtomicBool>,
}

/// The engine has begun to quote by then.
const CALM: Duration = Duration::from_millis(3_500);
/// Bytes that arrive one by one.
const SLOW_BYTES: usize = 6_000;

impl Proxy {
    /// Passes everything on to `venue`, but does `mischief` once to a socket at `path`.
    pub(crate) fn start(venue: &str, mischief: Mischief, path: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let done = Arc::new(AtomicBool::new(false));
        let plan = Plan { venue: venue.to_owned(), mischief, path, done: done.clone() };
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let plan = plan.clone();
                // A connection that breaks is the business of its two ends.
                std::thread::spawn(move || plan.serve(client));
            }
        });
        Self { address, done }
    }

    /// True once the mischief has been done.
    pub(crate) fn is_done(&self) -> bool {
        self.done.load(Ordering::Relaxed)
    }
}

impl Plan {
    fn serve(self, mut client: TcpStream) -> io::Result<()> {
        let mut venue = TcpStream::connect(&self.venue)?;
        client.set_nodelay(true)?;
        venue.set_nodelay(true)?;
        let head = read_head(&mut client)?;
        venue.write_all(&head)?;
        let (mut up_from, mut up_to) = (client.try_clone()?, venue.try_clone()?);
        std::thread::spawn(move || {
            let _ = io::copy(&mut up_from, &mut up_to);
            let _ = up_to.shutdown(Shutdown::Write);
        });
        let asked = String::from_utf8_lossy(&head);
        let down = if self.mischief == Mischief::OneByOne {
            self.one_by_one(&mut venue, &mut client)
        } else if asked.starts_with(&format!("GET {} ", self.path)) {
            self.frames(&mut venue, &mut client)
        } else {
            io::copy(&mut venue, &mut client).map(drop)
        };
        let _ = client.shutdown(Shutdown::Both);
        let _ = venue.shutdown(Shutdown::Both);
        down
    }

    fn one_by_one(&self, venue: &mut TcpStream, client: &mut TcpStream) -> io::Result<()> {
        let mut byte = [0];
        for _ in 0..SLOW_BYTES {
            if venue.read(&mut byte)? == 0 {
                return Ok(());
            }
            client.write_all(&byte)?;
        }
        self.done.store(true, Ordering::Relaxed);
        io::copy(venue, client).map(drop)
    }

    /// Passes the upgrade on, then frame by frame; the mischief is done between two of them.
    fn frames(&self, venue: &mut TcpStream, client: &mut TcpStream) -> io::Result<()> {
        client.write_all(&read_head(venue)?)?;
        let began = Instant::now();
        loop {
            let frame = read_frame(venue)?;
            let due = began.elapsed() >= CALM && !self.done.load(Ordering::Relaxed);
            if due && self.play(&frame, client)? {
                self.done.store(true, Ordering::Relaxed);
                if self.mischief == Mischief::CloseMidFrame {
                    return Ok(());
                }
            } else {
                client.write_all(&frame)?;
            }
        }
    }

    /// Sends something else than `frame`; false when this frame does not fit the mischief.
    fn play(&self, frame: &[u8], client: &mut TcpStream) -> io::Result<bool> {
        match self.mischief {
            Mischief::CloseMidFrame if frame.len() > 8 => {
                client.write_all(&frame[..frame.len() / 2])?;
            }
            Mischief::HugeFrame => {
                client.write_all(&[0x81, 127, 0, 0, 0, 0, 4, 0, 0, 0])?;
                client.write_all(&[b' '; 4_096])?;
            }
            Mischief::InvalidText => {
                client.write_all(&[0x81, 4, b'"', 0xff, 0xfe, b'"'])?;
                client.write_all(frame)?;
            }
            Mischief::OffTheTick => match off_the_tick(frame) {
                Some(changed) => client.write_all(&changed)?,
                None => return Ok(false),
            },
            Mischief::CloseMidFrame | Mischief::OneByOne => return Ok(false),
        }
        Ok(true)
    }
}

/// A book update whose first price has one more digit.
fn off_the_tick(frame: &[u8]) -> Option<Vec<u8>> {
    let (_, payload) = split(frame);
    let text = std::str::from_utf8(payload).ok()?;
    let is_update = text.contains("\"topic\":\"books\"") && text.contains("\"update\"");
    let place =
        ["\"b\":[[\"", "\"a\":[[\""].iter().find_map(|key| Some(text.find(key)? + key.len()))?;
    if !is_update {
        return None;
    }
    let end = place + text[place..].find('"')?;
    let changed = format!("{}7{}", &text[..end], &text[end..]);
    let length = u16::try_from(changed.len()).ok()?.to_be_bytes();
    let mut out = vec![0x81, 126, length[0], length[1]];
    out.extend_from_slice(changed.as_bytes());
    (changed.len() > 125).then_some(out)
}

/// The header and the payload of a whole frame.
fn split(frame: &[u8]) -> (&[u8], &[u8]) {
    let head = match frame[1] & 0x7f {
        126 => 4,
        127 => 10,
        _ => 2,
    };
    frame.split_at(head)
}

fn read_frame(from: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut frame = vec![0; 2];
    from.read_exact(&mut frame)?;
    let more = match frame[1] & 0x7f {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    let mut length = vec![0; more];
    from.read_exact(&mut length)?;
    let bytes = match more {
        0 => usize::from(frame[1] & 0x7f),
        _ => length.iter().fold(0, |sum, &byte| sum << 8 | usize::from(byte)),
    };
    frame.extend_from_slice(&length);
    let at = frame.len();
    frame.resize(at + bytes, 0);
    from.read_exact(&mut frame[at..])?;
    Ok(frame)
}

/// The bytes up to the empty line that ends a head.
fn read_head(from: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        from.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    Ok(head)
}
