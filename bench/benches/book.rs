//! The book alone: frames already decoded, applied page by page, the touch read after each.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use keel_bench::frames::{self, LEVELS_400, LEVELS_826, Market};
use keel_bench::rig::MOVE;
use keel_bench::trader;
use keel_core::book::{Applied, Book, BookMemory, LADDER_CELLS, REST_CELLS};
use keel_core::event::{BookPage, Event, LevelSize};
use keel_core::instrument::InstrumentId;
use keel_net::bitget::decode::Decoder;

fn pages(payload: &[u8]) -> Vec<BookPage> {
    let mut events: Vec<Event> = Vec::new();
    let read = Decoder::new(frames::instance()).read(payload, &trader::directory(1), &mut events);
    assert!(read.is_ok(), "a frame is read: {read:?}");
    let page = |event: Event| match event {
        Event::BookPage(page) => page,
        other => panic!("a page, not {other:?}"),
    };
    events.into_iter().map(page).collect()
}

fn book() -> Book<'static> {
    let mut book = Book::new(BookMemory {
        ladder: vec![LevelSize::default(); LADDER_CELLS].leak(),
        rest_ticks: vec![0; REST_CELLS].leak(),
        rest_sizes: vec![LevelSize::default(); REST_CELLS].leak(),
    });
    let rules = frames::rules(InstrumentId(0));
    book.rules(rules.tick, rules.lot);
    book
}

fn apply(book: &mut Book<'_>, pages: &[BookPage], seq: u64) -> Applied {
    let mut last = Applied::Pending;
    for page in pages {
        let pseq = if page.snapshot { 0 } else { seq - 1 };
        last = book.apply(black_box(&BookPage { seq, pseq, ..*page }));
    }
    last
}

fn bench(c: &mut Criterion) {
    for (name, levels, by) in [
        ("book/one level behind the touch", 1, 0),
        ("book/400 B, the touch moves", LEVELS_400, MOVE),
        ("book/826 B, the touch moves", LEVELS_826, MOVE),
        ("book/400 levels, the touch moves", 400, MOVE),
    ] {
        let (mut market, mut book) = (Market::new(InstrumentId(0)), book());
        let snapshot = pages(market.snapshot(frames::SNAPSHOT_LEVELS));
        assert_eq!(apply(&mut book, &snapshot, 1), Applied::Done);
        let to_and_fro = [by, -by].map(|by| (pages(market.update(levels, by)), market.bid()));
        let mut seq = 1;
        for (frame, bid) in &to_and_fro {
            seq += 1;
            assert_eq!(apply(&mut book, frame, seq), Applied::Done, "{name}");
            assert_eq!(book.touch().map(|touch| touch.bid), Some(*bid), "{name}");
        }
        c.bench_function(name, |b| {
            b.iter(|| {
                seq += 1;
                apply(&mut book, &to_and_fro[(seq % 2) as usize].0, seq);
                book.touch()
            });
        });
    }
    let (mut market, mut book) = (Market::new(InstrumentId(0)), book());
    let snapshot = pages(market.snapshot(frames::SNAPSHOT_LEVELS));
    let mut seq = 0;
    c.bench_function("book/snapshot of 200 a side", |b| {
        b.iter(|| {
            seq += 1;
            assert_eq!(apply(&mut book, &snapshot, seq), Applied::Done);
        });
    });
}

criterion_group!(benches, bench);
criterion_main!(benches);
