//! Fifty clients with twenty topics each on one venue, some of which never read: these are cut off,
//! the venue's memory is bounded, and nobody else misses a frame or an answer.
//!
//! The long form is `keel-exchange-load crowd` (`bench/README.md`).

mod program;
#[path = "program/raw.rs"]
mod raw;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use program::{Venue, wait};
use raw::Raw;
use serde_json::{Value, json};

const CLIENTS: usize = 50;
const SLOW: usize = 10;
/// What may wait for a client. The system holds at most some 600 KiB besides.
const EXCHANGE: &str = "limits = false\n[transport]\nwaiting_kib = 64\n";
/// What the venue may grow by: for each client what may wait, twice while it is moved, and as much
/// again for its other parts; and for the market itself.
const GROWTH_KIB: u64 = CLIENTS as u64 * 4 * 64 + 16 * 1024;

const BOOKS: &[u8] = b"\"topic\":\"books\"";

/// What a client that reads has seen.
#[derive(Default)]
struct Seen {
    frames: u64,
    /// The numbers of the books of BTCUSDT, in order.
    books: Vec<u64>,
    broken: u64,
}

fn subscribe(venue: &Venue) -> Raw {
    let mut raw = Raw::upgrade(venue, "/v3/ws/public");
    for symbol in ["BTCUSDT", "ETHUSDT"] {
        let topics = ["books", "books1", "books5", "books50", "publicTrade", "ticker"];
        let plain = topics.map(|topic| json!({ "topic": topic }));
        let bars = ["1m", "5m", "15m", "1H"]
            .map(|interval| json!({ "topic": "kline", "interval": interval }));
        let args: Vec<Value> = plain
            .into_iter()
            .chain(bars)
            .map(|mut arg| {
                arg["instType"] = json!("usdt-futures");
                arg["symbol"] = json!(symbol);
                arg
            })
            .collect();
        raw.text(json!({ "op": "subscribe", "args": args }).to_string().as_bytes());
    }
    raw
}

/// Reads until it is told to stop.
fn read(mut raw: Raw, over: &AtomicBool) -> Seen {
    let mut seen = Seen::default();
    // Relaxed: a flag, ordered with nothing.
    while !over.load(Ordering::Relaxed) {
        let (_, payload) = raw.frame().expect("a client that reads is served");
        seen.frames += 1;
        if !payload.windows(BOOKS.len()).any(|window| window == BOOKS) {
            continue;
        }
        let frame: Value = serde_json::from_slice(&payload).expect("JSON");
        if frame["arg"]["symbol"] != "BTCUSDT" || frame["data"].is_null() {
            continue;
        }
        let number = |name: &str| frame["data"][0][name].as_u64().expect("a number");
        let (seq, pseq) = (number("seq"), number("pseq"));
        seen.broken += u64::from(seen.books.last().is_some_and(|last| *last != pseq));
        seen.books.push(seq);
    }
    seen
}

/// Books that each of these has seen from the first that all have seen to the last that all have.
fn common(seen: &[Seen]) -> Vec<&[u64]> {
    let from = seen.iter().filter_map(|seen| seen.books.first()).max().expect("books");
    let to = seen.iter().filter_map(|seen| seen.books.last()).min().expect("books");
    let part = |seen: &'_ Seen| {
        let at = seen.books.partition_point(|seq| seq < from);
        at..seen.books.partition_point(|seq| seq <= to)
    };
    seen.iter().map(|seen| &seen.books[part(seen)]).collect()
}

#[test]
fn clients_that_never_read_are_cut_off_and_nobody_else_misses_a_frame() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), EXCHANGE).expect("written");
    let config = file.path().to_str().expect("a path is text");
    let venue = Venue::start(&["--plaintext", "--speed", "10", "--config", config]);
    let mut trader = Raw::log_in(&venue);
    let before = venue.rss_kib();
    let over = Arc::new(AtomicBool::new(false));
    let mut slow: Vec<Raw> = (0..SLOW).map(|_| subscribe(&venue)).collect();
    let readers: Vec<_> = (SLOW..CLIENTS)
        .map(|_| {
            let (raw, over) = (subscribe(&venue), over.clone());
            thread::spawn(move || read(raw, &over))
        })
        .collect();
    let (mut trips, mut most) = (0, before);
    wait(Duration::from_secs(30), "all that never read are cut off", || {
        // The venue answers another client while it fills the buffers of these.
        trader.text(b"ping");
        assert_eq!(trader.message().as_deref(), Ok("pong"));
        trips += 1;
        most = most.max(venue.rss_kib());
        // Who is cut off notices when writing, though it never reads.
        slow.iter_mut().filter_map(|raw| raw.text(b"ping").then_some(())).count() == 0
    });
    over.store(true, Ordering::Relaxed);
    let seen: Vec<Seen> = readers.into_iter().map(|one| one.join().expect("served")).collect();
    let books = common(&seen);
    println!(
        "{} books in common, {} frames, {trips} trips, RSS {before} KiB and {most} at most",
        books[0].len(),
        seen.iter().map(|seen| seen.frames).sum::<u64>(),
    );
    assert!(books[0].len() > 10, "long enough to see");
    assert!(books.iter().all(|one| *one == books[0]), "all were shown the same books");
    assert!(seen.iter().all(|seen| seen.broken == 0), "every chain held");
    assert!(most < before + GROWTH_KIB, "{before} KiB before, {most} KiB at most");
}
