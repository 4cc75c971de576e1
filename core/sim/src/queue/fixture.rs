//! A contract, memory for books, and frames, for tests.

use keel_core::book::{BookMemory, LADDER_CELLS, REST_CELLS};
use keel_core::event::{BookPage, LevelSize, PAGE_LEVELS};
use keel_core::instrument::InstrumentId;
use keel_core::units::{Side, UnixNanos};

/// Side, price in ticks, size in lots.
pub(crate) type Level = (Side, i64, i64);

/// Memory for the books of so many contracts. It is leaked.
pub(crate) fn books(contracts: usize) -> BookMemory<'static> {
    BookMemory {
        ladder: Vec::leak(vec![LevelSize::default(); contracts * LADDER_CELLS]),
        rest_ticks: Vec::leak(vec![0; contracts * REST_CELLS]),
        rest_sizes: Vec::leak(vec![LevelSize::default(); contracts * REST_CELLS]),
    }
}

/// The pages of one frame, with its number and that of the one before.
pub(crate) fn pages(
    (seq, before): (u64, u64),
    ts: UnixNanos,
    snapshot: bool,
    levels: &[Level],
) -> Vec<BookPage> {
    let mut pages = Vec::new();
    for side in Side::BOTH {
        let own: Vec<&Level> = levels.iter().filter(|level| level.0 == side).collect();
        for part in own.chunks(PAGE_LEVELS) {
            let mut page = BookPage {
                instrument: InstrumentId(0),
                side,
                snapshot,
                first: pages.is_empty(),
                last: false,
                len: part.len() as u8,
                seq,
                pseq: if snapshot { 0 } else { before },
                ts,
                checksum: 0,
                ticks: [0; PAGE_LEVELS],
                sizes: [LevelSize::default(); PAGE_LEVELS],
            };
            for (at, (_, price, lots)) in part.iter().enumerate() {
                page.ticks[at] = *price as u32;
                page.sizes[at] = LevelSize::new(*lots as u64, 1, 4).expect("a small size");
            }
            pages.push(page);
        }
    }
    pages.last_mut().expect("a frame has levels").last = true;
    pages
}
