//! How often the way from bytes to payloads and back allocates, counted.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::{Read, Write};

use keel_core::units::{MonoNanos, SECONDS};
use keel_net::driver::{Connection, SocketOptions, Stream};
use keel_net::link::{WhenFull, link};
use keel_net::proto::session::{Incoming, Session, Settings};
use keel_net::proto::{Protocol, receive};

mod peer;

/// The system's allocator, with a count of allocations for each thread.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call is the system allocator's own, unchanged; the counter has no destructor and
// does not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations(work: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.get();
    work();
    ALLOCATIONS.get() - before
}

fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first, 126];
    bytes.extend((payload.len() as u16).to_be_bytes());
    bytes.extend(payload);
    bytes
}

fn live(now: MonoNanos) -> Session {
    let mut session = Session::new(Settings::new("localhost", "/", false), [1; 32]);
    session.open(now);
    let request = String::from_utf8(session.transmit().to_vec()).unwrap();
    session.sent(request.len(), now);
    let key = request.lines().find_map(|l| l.strip_prefix("Sec-WebSocket-Key: ")).unwrap();
    let accept = tungstenite::handshake::derive_accept_key(key.as_bytes());
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    receive(&mut session, answer.as_bytes(), now);
    assert_eq!(session.next(now), Some(Incoming::Opened));
    assert!(session.on_synced(now));
    session
}

#[test]
fn counting_counts() {
    assert_eq!(allocations(|| drop(std::hint::black_box(Box::new(1)))), 1);
}

#[test]
fn a_live_session_never_allocates() {
    let mut now = MonoNanos(SECONDS);
    let mut session = live(now);
    let mut bytes = frame(0x81, &[b'x'; 826]);
    bytes.extend(frame(0x01, &[b'y'; 400]));
    bytes.extend([0x89, 2, b'h', b'i']);
    bytes.extend(frame(0x80, &[b'z'; 400]));
    bytes.extend([0x81, 4, b'p', b'o', b'n', b'g']);
    let mut payloads = 0;
    let counted = allocations(|| {
        for round in 0..20_000u64 {
            now = now.after(SECONDS / 5);
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let piece = rest.len().min(1 + (round as usize * 37) % 900);
                let taken = receive(&mut session, &rest[..piece], now);
                rest = &rest[taken..];
                while let Some(incoming) = session.next(now) {
                    assert!(matches!(incoming, Incoming::Payload(_)), "{incoming:?}");
                    payloads += 1;
                }
            }
            session.step(now);
            session.send(&[b'o'; 260], now).unwrap();
            let count = session.transmit().len();
            session.sent(count, now);
        }
    });
    assert_eq!(payloads, 40_000);
    assert_eq!(session.counters().pings, 200);
    assert_eq!(counted, 0);
}

#[test]
fn a_link_never_allocates() {
    let (mut sender, mut receiver) = link::<[u64; 20]>("test", 64, WhenFull::MarkGap);
    let mut sum = 0;
    let counted = allocations(|| {
        for n in 0..10_000 {
            sender.push([n; 20]).unwrap();
            let mut run = sender.run(8);
            (0..8).for_each(|_| run.slot().unwrap()[0] = n);
            run.commit().unwrap();
            receiver.drain(64, |message| sum += message[0]);
        }
    });
    assert_eq!(sum, 9 * (0..10_000u64).sum::<u64>());
    assert_eq!(counted, 0);
}

/// Sends `record` again for every 100 bytes that come back.
struct Echo {
    record: [u8; 260],
    at: usize,
    spare: [u8; 4096],
    received: usize,
}

impl Protocol for Echo {
    fn spare(&mut self) -> &mut [u8] {
        &mut self.spare
    }
    fn received(&mut self, bytes: usize, _now: MonoNanos) {
        self.received += bytes;
    }
    fn transmit(&mut self) -> &[u8] {
        &self.record[self.at..]
    }
    fn sent(&mut self, bytes: usize, _now: MonoNanos) {
        self.at += bytes;
    }
    fn closed(&mut self, _clean: bool, _now: MonoNanos) {
        panic!("the peer stays");
    }
}

#[test]
fn tls_allocates_once_for_each_record_each_way() {
    const ROUNDS: usize = 2_000;
    const WARM_UP: usize = 50;
    let pki = peer::Pki::good();
    let (address, server) = pki.serve(|mut tls| {
        let mut record = [0; 260];
        for _ in 0..WARM_UP + ROUNDS {
            tls.read_exact(&mut record).unwrap();
            tls.write_all(&record[..100]).unwrap();
        }
    });
    let now = MonoNanos(SECONDS);
    let options = SocketOptions::default();
    let stream = Stream::connect(address, pki.security(), options, now.after(SECONDS)).unwrap();
    let protocol = Echo { record: [7; 260], at: 0, spare: [0; 4096], received: 0 };
    let mut connection = Connection { stream, protocol };
    let mut round = |rounds: usize| {
        for _ in 0..rounds {
            while connection.protocol.received < 100 {
                connection.stream.assume_ready();
                connection.pump(now).unwrap();
            }
            connection.protocol.received -= 100;
            connection.protocol.at = 0;
        }
    };
    round(WARM_UP);
    let counted = allocations(|| round(ROUNDS - 1));
    assert_eq!(counted, 2 * (ROUNDS as u64 - 1), "one read and one written a round");
    drop(connection);
    let _ = server.join();
}
