//! A proxy that keeps what a client sends.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// A proxy at work, until the process ends.
pub(crate) struct Watched {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    sent: Arc<Mutex<Vec<Vec<u8>>>>,
    open: Arc<Mutex<Vec<TcpStream>>>,
}

impl Watched {
    /// Passes everything on to `venue` and back.
    pub(crate) fn start(venue: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let sent = Arc::new(Mutex::new(Vec::new()));
        let open = Arc::new(Mutex::new(Vec::new()));
        let (kept, all, venue) = (sent.clone(), open.clone(), venue.to_owned());
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(&venue) else { continue };
                let (back_from, back_to) = (server.try_clone(), client.try_clone());
                all.lock().expect("no panic").extend(client.try_clone());
                let kept = kept.clone();
                let place = {
                    let mut all = kept.lock().expect("no panic");
                    all.push(Vec::new());
                    all.len() - 1
                };
                let keep = move |bytes: &[u8]| {
                    kept.lock().expect("no panic")[place].extend_from_slice(bytes);
                };
                std::thread::spawn(move || pass(client, server, keep));
                if let (Ok(from), Ok(to)) = (back_from, back_to) {
                    std::thread::spawn(move || pass(from, to, |_| {}));
                }
            }
        });
        Self { address, sent, open }
    }

    /// Ends every connection.
    pub(crate) fn cut(&self) {
        for open in self.open.lock().expect("no panic").drain(..) {
            // It may have ended by itself.
            let _ = open.shutdown(Shutdown::Both);
        }
    }

    /// All that was sent, a connection after the other, frames as their sender wrote them.
    pub(crate) fn sent(&self) -> String {
        self.sent.lock().expect("no panic").iter().map(|bytes| readable(bytes)).collect()
    }
}

/// A connection's bytes: a head, and behind an upgrade the payloads of frames, unmasked.
fn readable(bytes: &[u8]) -> String {
    let head = bytes.windows(4).position(|end| end == b"\r\n\r\n").map(|at| at + 4);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let Some(head) = head.filter(|_| bytes.starts_with(b"GET /v3/ws/")) else {
        return text(bytes);
    };
    let (mut said, mut left) = (text(&bytes[..head]), &bytes[head..]);
    while let [_, length, rest @ ..] = left {
        let (length, rest) = match (length & 0x7f, rest) {
            (126, [a, b, rest @ ..]) => (usize::from(u16::from_be_bytes([*a, *b])), rest),
            (length, rest) => (usize::from(length), rest),
        };
        let Some((mask, rest)) = rest.split_first_chunk::<4>() else { break };
        let payload = &rest[..length.min(rest.len())];
        let plain: Vec<u8> = payload.iter().zip(mask.iter().cycle()).map(|(b, m)| b ^ m).collect();
        said += &(text(&plain) + "\n");
        left = &rest[payload.len()..];
    }
    said
}

fn pass(mut from: TcpStream, mut to: TcpStream, mut keep: impl FnMut(&[u8])) {
    let mut bytes = [0; 16_384];
    while let Ok(read) = from.read(&mut bytes) {
        if read == 0 {
            break;
        }
        keep(&bytes[..read]);
        if to.write_all(&bytes[..read]).is_err() {
            break;
        }
    }
    // The other end may have gone first.
    let _ = to.shutdown(Shutdown::Both);
}
