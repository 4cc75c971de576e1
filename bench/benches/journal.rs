//! The journal's writer: records appended to a file, commits as they fall due but for the disk's
//! sync.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use keel_bench::parts::journal;
use keel_core::layout::SLOT_BYTES;
use keel_core::units::MonoNanos;
use keel_io::journal::Tap;

fn bench(c: &mut Criterion) {
    let mut writer = journal();
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
