//! A proxy between a process and its venue that sees what passes, and kills at a chosen message.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::Child;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use super::Point;

/// A proxy at work, until the process ends.
pub(super) struct Proxy {
    pub(super) address: SocketAddr,
    aim: Arc<Aim>,
}

/// A process that may be killed by whoever sees its message first.
pub(super) type Victim = Arc<Mutex<Child>>;

#[derive(Default)]
struct Aim {
    point: Mutex<Option<Point>>,
    victim: Mutex<Option<Victim>>,
    hit: AtomicBool,
}

/// What becomes of a message.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Passes,
    /// The process is killed first, and the message is lost.
    Lost,
    /// The process is killed as soon as it has passed.
    Last,
    /// It passes, and whoever waits is told.
    Told,
}

impl Aim {
    /// What becomes of the message that `fits` says belongs to a point.
    fn fate(&self, fits: impl Fn(Point) -> Option<Fate>) -> Fate {
        let mut point = self.point.lock().expect("nobody panics here");
        match point.and_then(fits) {
            Some(fate) => {
                *point = None;
                fate
            }
            None => Fate::Passes,
        }
    }

    fn strike(&self, fate: Fate) {
        if matches!(fate, Fate::Lost | Fate::Last)
            && let Some(victim) = &*self.victim.lock().expect("nobody panics here")
        {
            // It may have ended by itself, which whoever waits will see.
            let _ = victim.lock().expect("nobody panics here").kill();
        }
        // Relaxed: the flag carries nothing but itself.
        self.hit.store(true, Ordering::Relaxed);
    }
}

impl Proxy {
    /// Passes everything on to `venue`.
    pub(super) fn start(venue: &str) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let aim = Arc::new(Aim::default());
        let (venue, shared) = (venue.to_owned(), aim.clone());
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (venue, aim) = (venue.clone(), shared.clone());
                // A connection that breaks is the business of its two ends.
                thread::spawn(move || serve(client, &venue, &aim));
            }
        });
        Ok(Self { address, aim })
    }

    /// The next message of this point is the one.
    pub(super) fn arm(&self, point: Option<Point>) {
        self.aim.hit.store(false, Ordering::Relaxed);
        *self.aim.point.lock().expect("nobody panics here") = point;
    }

    /// Whom to kill.
    pub(super) fn aim(&self, victim: Victim) {
        *self.aim.victim.lock().expect("nobody panics here") = Some(victim);
    }

    /// True once the message has come.
    pub(super) fn is_hit(&self) -> bool {
        self.aim.hit.load(Ordering::Relaxed)
    }
}

fn serve(client: TcpStream, venue: &str, aim: &Arc<Aim>) -> io::Result<()> {
    let venue = TcpStream::connect(venue)?;
    client.set_nodelay(true)?;
    venue.set_nodelay(true)?;
    let (mut up_from, mut up_to) = (client.try_clone()?, venue.try_clone()?);
    let (mut down_from, mut down_to) = (venue, client);
    let head = read_head(&mut up_from)?;
    let socket = head.starts_with(b"GET /v3/ws/");
    let private = head.starts_with(b"GET /v3/ws/private ");
    let placing = Arc::new(AtomicBool::new(false));
    let (up_aim, asked) = (aim.clone(), placing.clone());
    thread::spawn(move || {
        let done = match (private, socket) {
            (true, _) => {
                let begun = up_to.write_all(&head);
                begun.and_then(|()| frames(&mut up_from, &mut up_to, &up_aim, sent))
            }
            (false, true) => {
                let begun = up_to.write_all(&head);
                begun.and_then(|()| io::copy(&mut up_from, &mut up_to)).map(drop)
            }
            (false, false) => requests(head, &mut up_from, &mut up_to, &up_aim, &asked),
        };
        let _ = up_to.shutdown(Shutdown::Both);
        let _ = up_from.shutdown(Shutdown::Both);
        done
    });
    let done = match (private, socket) {
        (true, _) => {
            let head = read_head(&mut down_from)?;
            down_to.write_all(&head)?;
            frames(&mut down_from, &mut down_to, aim, received)
        }
        (false, true) => io::copy(&mut down_from, &mut down_to).map(drop),
        (false, false) => answers(&mut down_from, &mut down_to, aim, &placing),
    };
    let _ = down_to.shutdown(Shutdown::Both);
    let _ = down_from.shutdown(Shutdown::Both);
    done
}

/// What comes before the empty line, with it.
fn read_head(from: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        from.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    Ok(head)
}

fn pass(bytes: &[u8], to: &mut TcpStream, fate: Fate, aim: &Aim) -> io::Result<()> {
    match fate {
        Fate::Passes => to.write_all(bytes),
        Fate::Lost => {
            aim.strike(fate);
            Err(io::Error::from(io::ErrorKind::ConnectionAborted))
        }
        Fate::Last | Fate::Told => {
            to.write_all(bytes)?;
            aim.strike(fate);
            Ok(())
        }
    }
}

/// Requests over HTTP, whole and one by one; `head` is the first one's.
fn requests(
    head: Vec<u8>,
    from: &mut TcpStream,
    to: &mut TcpStream,
    aim: &Aim,
    placing: &AtomicBool,
) -> io::Result<()> {
    let mut whole = head;
    loop {
        let body = body_bytes(&whole);
        let begin = whole.len();
        whole.resize(begin + body, 0);
        from.read_exact(&mut whole[begin..])?;
        // Relaxed: the answer comes after the request has gone through the venue.
        placing.store(is_create(&whole), Ordering::Relaxed);
        let fate = aim.fate(|point| request(point, &whole));
        pass(&whole, to, fate, aim)?;
        whole = read_head(from)?;
    }
}

/// How long the body behind a head is.
fn body_bytes(head: &[u8]) -> usize {
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    let mut lines = head.lines().filter_map(|line| line.strip_prefix("content-length:"));
    lines.next().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

/// Answers over HTTP; the one to a create may be a point.
fn answers(
    from: &mut TcpStream,
    to: &mut TcpStream,
    aim: &Aim,
    placing: &AtomicBool,
) -> io::Result<()> {
    let mut bytes = vec![0; 1 << 16];
    loop {
        let count = from.read(&mut bytes)?;
        if count == 0 {
            return Ok(());
        }
        let is_ack = placing.swap(false, Ordering::Relaxed);
        let fits = |point| (is_ack && point == Point::AckUnread).then_some(Fate::Lost);
        let fate = aim.fate(fits);
        pass(&bytes[..count], to, fate, aim)?;
    }
}

fn is_create(request: &[u8]) -> bool {
    request.starts_with(b"POST /api/v3/trade/place-")
}

fn request(point: Point, head: &[u8]) -> Option<Fate> {
    let begins = |path: &str| head.starts_with(format!("GET {path}").as_bytes());
    let cancel = head.starts_with(b"POST /api/v3/trade/cancel-");
    match point {
        Point::InSweep | Point::AfterCancel if cancel => return Some(Fate::Last),
        Point::BeforeCreate if is_create(head) => return Some(Fate::Lost),
        Point::AfterCreate if is_create(head) => return Some(Fate::Last),
        _ => {}
    }
    let fits = match point {
        Point::AsksOrders => begins("/api/v3/trade/unfilled-orders"),
        Point::AsksFills => begins("/api/v3/trade/fills"),
        Point::AsksPositions => begins("/api/v3/position/current-position"),
        _ => false,
    };
    fits.then_some(Fate::Lost)
}

/// A text that the process sends.
fn sent(point: Point, text: &str) -> Option<Fate> {
    let create = text.contains("\"place-order\"") || text.contains("\"batch-place\"");
    let cancel = text.contains("\"cancel-order\"") || text.contains("\"batch-cancel\"");
    match point {
        Point::Login if text.contains("\"login\"") => Some(Fate::Lost),
        Point::InSweep | Point::AfterCancel if cancel => Some(Fate::Last),
        Point::BeforeCreate if create => Some(Fate::Lost),
        Point::AfterCreate if create => Some(Fate::Last),
        _ => None,
    }
}

/// A text that the venue sends.
fn received(point: Point, text: &str) -> Option<Fate> {
    let fill = text.contains("\"topic\":\"fill\"");
    let ack = text.contains("\"event\":\"trade\"") && text.contains("place");
    match point {
        Point::AckUnread if ack => Some(Fate::Lost),
        Point::FillUnread if fill => Some(Fate::Lost),
        Point::FillTold if fill => Some(Fate::Last),
        Point::FillWritten if fill => Some(Fate::Told),
        _ => None,
    }
}

/// Passes frames on, one by one.
fn frames(
    from: &mut TcpStream,
    to: &mut TcpStream,
    aim: &Aim,
    fits: fn(Point, &str) -> Option<Fate>,
) -> io::Result<()> {
    loop {
        let (frame, text) = read_frame(from)?;
        let fate = aim.fate(|point| fits(point, &text));
        pass(&frame, to, fate, aim)?;
    }
}

/// A whole frame, and its payload as text without its mask.
fn read_frame(from: &mut TcpStream) -> io::Result<(Vec<u8>, String)> {
    let mut frame = vec![0; 2];
    from.read_exact(&mut frame)?;
    let masked = frame[1] & 0x80 != 0;
    let (short, extended) = (
        usize::from(frame[1] & 0x7f),
        match frame[1] & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        },
    );
    let head = 2 + extended + if masked { 4 } else { 0 };
    frame.resize(head, 0);
    from.read_exact(&mut frame[2..])?;
    let length = match extended {
        0 => short,
        _ => frame[2..2 + extended].iter().fold(0, |sum, &byte| sum << 8 | usize::from(byte)),
    };
    frame.resize(head + length, 0);
    from.read_exact(&mut frame[head..])?;
    let mask: [u8; 4] =
        if masked { frame[head - 4..head].try_into().expect("four") } else { [0; 4] };
    let plain = frame[head..].iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask);
    let text = String::from_utf8_lossy(&plain.collect::<Vec<u8>>()).into_owned();
    Ok((frame, text))
}
