//! The journal's writer: records appended to a file, commits as they fall due but for the disk's
//! sync.

use std::io;
use std::path::PathBuf;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use keel_core::layout::SLOT_BYTES;
use keel_core::units::MonoNanos;
use keel_io::clock::Clock;
use keel_io::journal::{Disk, Header, Limits, Tap, Writer};

/// Takes everything and keeps nothing: what is timed is the writer.
struct Nowhere;

impl Disk for Nowhere {
    fn create(&mut self, _segment: u32, _bytes: u64) -> io::Result<()> {
        Ok(())
    }
    fn append(&mut self, _bytes: &[u8]) -> io::Result<()> {
        Ok(())
    }
    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
    fn seal(&mut self, _bytes: u64) -> io::Result<()> {
        Ok(())
    }
    fn path(&self) -> PathBuf {
        PathBuf::from("nowhere")
    }
}

fn bench(c: &mut Criterion) {
    let clock = Clock::start();
    let limits = Limits { segment_bytes: 1 << 30, commit_ns: u64::MAX };
    let header = Header::first([0; 32], 1, clock.anchor());
    let mut writer = Writer::on(Nowhere, header, limits).expect("nowhere takes everything");
    let tap = Tap::event([7; SLOT_BYTES], MonoNanos(1));
    let before = writer.position().offset;
    writer.append(&tap, MonoNanos(1)).expect("nowhere takes everything");
    assert!(writer.position().offset > before, "a record was written");
    let mut group = c.benchmark_group("journal");
    group.throughput(Throughput::Elements(1));
    group.bench_function("append of an event", |b| {
        b.iter(|| writer.append(&tap, MonoNanos(1)).expect("nowhere takes everything"));
    });
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
