//! The book alone: frames already decoded, applied page by page, the touch read after each.

use criterion::{Criterion, criterion_group, criterion_main};
use keel_bench::frames::{self, LEVELS_400, LEVELS_826, Market};
use keel_bench::parts::{apply, book, pages};
use keel_bench::rig::MOVE;
use keel_core::book::Applied;
use keel_core::instrument::InstrumentId;

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
