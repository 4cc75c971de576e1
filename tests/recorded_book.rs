//! A recorded session of the venue's older envelope, whose every books frame carries the CRC-32 of
//! the book after it, goes through `Book`.

use keel_core::book::{Applied, Book, BookMemory, Fault, LADDER_CELLS, REST_CELLS};
use keel_core::decimal::{Decimal, Grid};
use keel_core::event::{BookPage, LevelSize, PAGE_LEVELS};
use keel_core::instrument::InstrumentId;
use keel_core::units::{Side, UnixNanos};
use serde_json::Value;
use std::collections::BTreeMap;

const RECORDING: &str = include_str!("golden/recorded/cryptofeed-mix-v1.jsonl");

/// A books frame as recorded.
struct Frame {
    symbol: String,
    snapshot: bool,
    levels: Vec<(Side, String, String)>,
    checksum: i32,
    ts: UnixNanos,
}

fn frames() -> Vec<Frame> {
    let mut frames = Vec::new();
    for line in RECORDING.lines().filter(|line| !line.trim().is_empty()) {
        let record: Value = serde_json::from_str(line).expect("a line of JSON");
        let message = &record["frame"];
        if message["arg"]["channel"] != "books" || !message["data"].is_array() {
            continue;
        }
        for row in message["data"].as_array().expect("rows") {
            frames.push(frame(message, row));
        }
    }
    frames
}

fn frame(message: &Value, row: &Value) -> Frame {
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let mut levels = Vec::new();
    for (side, key) in [(Side::Buy, "bids"), (Side::Sell, "asks")] {
        for level in row[key].as_array().expect("levels") {
            levels.push((side, text(&level[0]), text(&level[1])));
        }
    }
    let checksum = row["checksum"].as_i64().expect("a checksum");
    Frame {
        symbol: text(&message["arg"]["instId"]),
        snapshot: message["action"] == "snapshot",
        levels,
        checksum: i32::try_from(checksum).expect("32 bits"),
        ts: UnixNanos::from_millis(text(&row["ts"]).parse().expect("milliseconds")),
    }
}

/// The coarsest power of ten on which every text of each contract lies.
fn grids(frames: &[Frame]) -> BTreeMap<&str, [Grid; 2]> {
    let mut grids = BTreeMap::new();
    for frame in frames {
        let grids = grids.entry(frame.symbol.as_str()).or_insert([Grid { step: 1, scale: 0 }; 2]);
        for (_, price, size) in &frame.levels {
            for (grid, text) in grids.iter_mut().zip([price, size]) {
                let decimals = Decimal::parse(text.as_bytes()).expect("a number").scale;
                grid.scale = grid.scale.max(decimals);
            }
        }
    }
    grids
}

fn pages(frame: &Frame, [tick, lot]: [Grid; 2], seq: u64) -> Vec<BookPage> {
    let level = |(_, price, size): &(Side, String, String)| {
        let decimals = |text: &str| Decimal::parse(text.as_bytes()).expect("a number").scale;
        let ticks = tick.steps(price.as_bytes()).expect("a price on the grid");
        let lots = lot.steps(size.as_bytes()).expect("a size on the grid");
        let size = LevelSize::new(lots.unsigned_abs(), decimals(price), decimals(size));
        (u32::try_from(ticks).expect("32 bits"), size.expect("a size that fits"))
    };
    let sides = frame.levels.chunk_by(|a, b| a.0 == b.0);
    let runs: Vec<_> = sides.flat_map(|side| side.chunks(PAGE_LEVELS)).collect();
    let page = |(at, run): (usize, &&[(Side, String, String)])| {
        let mut page = BookPage {
            instrument: InstrumentId(0),
            side: run[0].0,
            snapshot: frame.snapshot,
            first: at == 0,
            last: at + 1 == runs.len(),
            len: u8::try_from(run.len()).expect("six at most"),
            seq,
            pseq: if frame.snapshot { 0 } else { seq - 1 },
            ts: frame.ts,
            checksum: frame.checksum,
            ticks: [0; PAGE_LEVELS],
            sizes: [LevelSize::default(); PAGE_LEVELS],
        };
        for (place, row) in run.iter().enumerate() {
            (page.ticks[place], page.sizes[place]) = level(row);
        }
        page
    };
    runs.iter().enumerate().map(page).collect()
}

fn apply(book: &mut Book<'_>, pages: &[BookPage]) -> Applied {
    let mut outcome = Applied::Pending;
    for page in pages {
        assert_eq!(outcome, Applied::Pending, "a page before the last decides nothing");
        outcome = book.apply(page);
    }
    outcome
}

/// Room for the book of each contract recorded.
struct Room {
    ladder: Vec<LevelSize>,
    rest_ticks: Vec<u32>,
    rest_sizes: Vec<LevelSize>,
}

impl Room {
    fn new(books: usize) -> Self {
        Self {
            ladder: vec![LevelSize::default(); books * LADDER_CELLS],
            rest_ticks: vec![0; books * REST_CELLS],
            rest_sizes: vec![LevelSize::default(); books * REST_CELLS],
        }
    }

    fn books<'s>(&mut self, grids: &BTreeMap<&'s str, [Grid; 2]>) -> BTreeMap<&'s str, Book<'_>> {
        let mut memory = BookMemory {
            ladder: &mut self.ladder,
            rest_ticks: &mut self.rest_ticks,
            rest_sizes: &mut self.rest_sizes,
        };
        let mut books = BTreeMap::new();
        for (&symbol, &[tick, lot]) in grids {
            let mut book = Book::new(memory.carve().expect("room for every book"));
            book.rules(tick, lot);
            books.insert(symbol, book);
        }
        books
    }
}

#[test]
fn every_recorded_frame_gives_the_checksum_that_the_venue_sent() {
    let frames = frames();
    let grids = grids(&frames);
    let mut room = Room::new(grids.len());
    let mut books = room.books(&grids);
    let (mut snapshots, mut updates) = (0, 0);
    for (n, frame) in frames.iter().enumerate() {
        let symbol = frame.symbol.as_str();
        let book = books.get_mut(symbol).expect("a book");
        let seq = book.seq() + 1;
        assert_ne!(frame.checksum, 0);
        let outcome = apply(book, &pages(frame, grids[symbol], seq));
        assert_eq!(outcome, Applied::Done, "frame {n} of {symbol}");
        if frame.snapshot {
            snapshots += 1;
        } else {
            updates += 1;
        }
    }
    assert_eq!((snapshots, updates), (2, 192));
    for (symbol, book) in &books {
        assert!(book.touch().is_some(), "{symbol}");
    }
}

#[test]
fn one_altered_level_among_the_top_is_detected_on_its_frame() {
    let frames = frames();
    let grids = grids(&frames);
    let mut altered = 0;
    for victim in (0..frames.len()).step_by(7) {
        let mut room = Room::new(grids.len());
        let mut books = room.books(&grids);
        for (n, frame) in frames[..=victim].iter().enumerate() {
            let symbol = frame.symbol.as_str();
            let book = books.get_mut(symbol).expect("a book");
            let seq = book.seq() + 1;
            let mut run = pages(frame, grids[symbol], seq);
            if n < victim {
                assert_eq!(apply(book, &run), Applied::Done);
                continue;
            }
            let (page, place) = nearest(&run);
            let size = run[page].sizes[place];
            let lots = size.lots().0.unsigned_abs() + 1;
            run[page].sizes[place] =
                LevelSize::new(lots, size.price_decimals(), size.size_decimals())
                    .expect("a size that fits");
            let outcome = apply(book, &run);
            let top = within_checksum(book, &run[page], place);
            if size.lots().is_zero() || !top {
                continue;
            }
            assert_eq!(outcome, Applied::Dropped(Fault::Checksum), "frame {victim}");
            assert_eq!(book.touch(), None);
            altered += 1;
        }
    }
    assert!(altered >= 20, "only {altered} frames had a level to alter among the top");
}

/// The frame's best bid that is not a deletion, or its first level.
fn nearest(run: &[BookPage]) -> (usize, usize) {
    let mut best = (0, 0);
    let mut best_ticks = 0;
    for (page, content) in run.iter().enumerate().filter(|(_, page)| page.side == Side::Buy) {
        for place in 0..usize::from(content.len) {
            let ticks = content.ticks[place];
            if ticks > best_ticks && !content.sizes[place].lots().is_zero() {
                (best, best_ticks) = ((page, place), ticks);
            }
        }
    }
    best
}

/// True when the level stands among the 25 that the checksum covers.
fn within_checksum(book: &Book<'_>, page: &BookPage, place: usize) -> bool {
    let mut top = book.levels(page.side).take(keel_core::book::CHECKSUM_LEVELS);
    top.any(|(price, _)| price.0 == i64::from(page.ticks[place]))
}
