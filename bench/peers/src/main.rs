//! Ours beside others on the same frames, in one run: from payload to best bid and ask, from payload
//! to numbers, and the book's update alone.
//!
//! All of a table's rows take turns within a round, frame by frame the same; the first round is
//! thrown away. A figure is the median over frames of a round, a ratio that of two rows in the same
//! round, and the median over rounds is what counts. Every answer is compared with ours, outside of
//! what is timed.

mod books;
mod readers;

use std::fmt::Write as _;
use std::hint::black_box;
use std::time::Instant;

use hftbacktest::depth::{L2MarketDepth, MarketDepth};
use keel_bench::frames::{LEVELS_400, LEVELS_826, Market, SNAPSHOT_LEVELS};
use keel_bench::parts;
use keel_bench::rig::{MOVE, Rig};
use keel_core::book::Applied;
use keel_core::instrument::InstrumentId;

/// Rounds, the first of which is thrown away.
const ROUNDS: usize = 13;
/// Frames of a round; even, so that each begins where the one before began.
const FRAMES: usize = 400;

fn main() {
    let mut text = String::new();
    let core = core_affinity::get_core_ids().and_then(|cores| cores.last().copied());
    core.map(core_affinity::set_for_current);
    for (name, levels) in [("400 B", LEVELS_400), ("826 B", LEVELS_826)] {
        to_best(name, levels, &mut text);
        to_numbers(name, levels, &mut text);
        update(name, levels, &mut text);
    }
    print!("{text}");
}

/// The payloads of one round, each of which moves the touch to or fro.
fn payloads(market: &mut Market, levels: usize) -> Vec<Vec<u8>> {
    let by = |place| if place % 2 == 0 { MOVE } else { -MOVE };
    (0..FRAMES).map(|place| market.update(levels, by(place)).to_vec()).collect()
}

/// From payload to best bid and ask; beside it ours all the way to the bytes of an order, through
/// links, engine, gate and encoder.
fn to_best(name: &str, levels: usize, text: &mut String) {
    let (mut market, mut paths, mut rig) =
        (Market::new(InstrumentId(0)), books::paths(), Rig::new(1));
    let snapshot = market.snapshot(SNAPSHOT_LEVELS).to_vec();
    paths.iter_mut().for_each(|path| path.frame(&snapshot));
    let mut rows: Vec<Row> = paths.iter().map(|path| Row::new(path.name())).collect();
    let mut whole = Row::new("keel, to order bytes");
    for round in 0..ROUNDS {
        let payloads = payloads(&mut market, levels);
        for (path, row) in paths.iter_mut().zip(&mut rows) {
            let mut nanos = Vec::with_capacity(FRAMES);
            for payload in &payloads {
                nanos.push(timed(|| path.frame(black_box(payload))));
            }
            row.take(round, nanos);
        }
        let best = paths[0].best();
        for path in &paths {
            assert_eq!(path.best(), best, "{} after round {round}", path.name());
        }
        whole.take(round, orders(&mut rig, levels));
    }
    rows.insert(0, whole);
    table(&format!("books {name}: payload to best bid and ask"), &rows, text);
}

fn orders(rig: &mut Rig, levels: usize) -> Vec<u64> {
    let mut payload = Vec::with_capacity(4_096);
    let frame = |_| {
        rig.payload(levels, &mut payload);
        let mut led = Default::default();
        let nanos = timed(|| led = rig.frame(black_box(&payload)));
        assert_eq!(led.places + led.cancels, 1, "a frame that moves leads to one request");
        rig.settle();
        nanos
    };
    (0..FRAMES).map(frame).collect()
}

/// From payload to numbers.
fn to_numbers(name: &str, levels: usize, text: &mut String) {
    let (mut market, mut readers) = (Market::new(InstrumentId(0)), readers::readers());
    let mut rows: Vec<Row> = readers.iter().map(|reader| Row::new(reader.name())).collect();
    for round in 0..ROUNDS {
        let payloads = payloads(&mut market, levels);
        let wanted = readers[0].levels(&payloads[round]);
        for (reader, row) in readers.iter_mut().zip(&mut rows) {
            assert_eq!(reader.levels(&payloads[round]), wanted, "{}", reader.name());
            let read = payloads.iter().map(|payload| timed(|| reader.read(black_box(payload))));
            row.take(round, read.collect());
        }
    }
    table(&format!("books {name}: payload to numbers"), &rows, text);
}

/// The book's update alone, from numbers that are read already.
fn update(name: &str, levels: usize, text: &mut String) {
    let mut market = Market::new(InstrumentId(0));
    let snapshot = parts::pages(market.snapshot(SNAPSHOT_LEVELS));
    let (mut book, mut depth) = (parts::book(), books::roi_vector());
    assert_eq!(parts::apply(&mut book, &snapshot, 1), Applied::Done);
    snapshot.iter().for_each(|page| apply_floats(&mut depth, &floats(page)));
    let (mut ours, mut theirs) = (Row::new("keel"), Row::new("hftbacktest ROIVector"));
    let mut seq = 1;
    for round in 0..ROUNDS {
        let frames: Vec<_> = payloads(&mut market, levels).iter().map(|p| parts::pages(p)).collect();
        let update = |pages: &Vec<_>| {
            seq += 1;
            timed(|| {
                assert_eq!(parts::apply(&mut book, pages, seq), Applied::Done);
                black_box(book.touch());
            })
        };
        ours.take(round, frames.iter().map(update).collect());
        let floats: Vec<Vec<_>> =
            frames.iter().map(|pages| pages.iter().flat_map(floats).collect()).collect();
        let update = |levels: &Vec<_>| {
            timed(|| {
                apply_floats(&mut depth, levels);
                black_box((depth.best_bid_tick(), depth.best_ask_tick()));
            })
        };
        theirs.take(round, floats.iter().map(update).collect());
        let touch = book.touch().expect("a live book");
        let best = (depth.best_bid_tick(), depth.best_ask_tick());
        assert_eq!((touch.bid.0, touch.ask.0), best, "after round {round}");
    }
    table(&format!("books {name}: update of the book alone"), &[ours, theirs], text);
}

/// The levels of a page as hftbacktest takes them.
fn floats(page: &keel_core::event::BookPage) -> Vec<(bool, f64, f64)> {
    let len = usize::from(page.len);
    let levels = page.ticks[..len].iter().zip(&page.sizes[..len]);
    let is_bid = page.side == keel_core::units::Side::Buy;
    let level = |(ticks, size): (&u32, &keel_core::event::LevelSize)| {
        (is_bid, f64::from(*ticks) * books::TICK, size.lots().0 as f64 * books::LOT)
    };
    levels.map(level).collect()
}

fn apply_floats(depth: &mut impl L2MarketDepth, levels: &[(bool, f64, f64)]) {
    for &(is_bid, price, size) in levels {
        if is_bid {
            depth.update_bid_depth(price, size, 0);
        } else {
            depth.update_ask_depth(price, size, 0);
        }
    }
}

fn timed(work: impl FnOnce()) -> u64 {
    let start = Instant::now();
    work();
    start.elapsed().as_nanos() as u64
}

/// One row: its median by round.
struct Row {
    name: &'static str,
    medians: Vec<f64>,
}

impl Row {
    fn new(name: &'static str) -> Self {
        Self { name, medians: Vec::new() }
    }

    fn take(&mut self, round: usize, nanos: Vec<u64>) {
        if round > 0 {
            self.medians.push(median(nanos.into_iter().map(|n| n as f64).collect()));
        }
    }
}

/// A table whose ratios are to its first row.
fn table(name: &str, rows: &[Row], text: &mut String) {
    let _ = writeln!(text, "{name:<44} {:>10} {:>10}", "median ns", "x first");
    for row in rows {
        let ratios = row.medians.iter().zip(&rows[0].medians).map(|(a, b)| a / b).collect();
        let (nanos, ratio) = (median(row.medians.clone()), median(ratios));
        let _ = writeln!(text, "  {:<42} {nanos:>10.0} {ratio:>10.2}", row.name);
    }
    text.push('\n');
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { f64::midpoint(values[middle - 1], values[middle]) }
}
