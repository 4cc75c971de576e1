//! The engine's agent on books frames: link, step over book, signals, quote, plan, gate and order
//! table, journal link, link. And the way from payload to order bytes around it.

use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use keel_bench::frames::LEVELS_400;
use keel_bench::rig::{Led, Rig};

/// Times `work` on one frame after another; what the venue answers, and the making of the next
/// frame, is not timed.
fn timed(
    rig: &mut Rig,
    iterations: u64,
    moves: bool,
    work: fn(&mut Rig, &[u8]) -> Duration,
) -> Duration {
    let mut payload = Vec::with_capacity(4_096);
    let mut total = Duration::ZERO;
    for _ in 0..iterations {
        if moves {
            rig.payload(LEVELS_400, &mut payload);
        } else {
            rig.quiet_payload(LEVELS_400, &mut payload);
        }
        total += work(rig, &payload);
        rig.settle();
    }
    total
}

fn step_only(rig: &mut Rig, payload: &[u8]) -> Duration {
    rig.decode(payload);
    let start = Instant::now();
    rig.step();
    let took = start.elapsed();
    rig.encode(&mut Led::default());
    took
}

fn to_order_bytes(rig: &mut Rig, payload: &[u8]) -> Duration {
    let start = Instant::now();
    let led = rig.frame(payload);
    let took = start.elapsed();
    assert_eq!(led.places + led.cancels, 1, "a frame that moves leads to one request");
    took
}

fn answers(rig: &mut Rig, payload: &[u8]) -> Duration {
    rig.frame(payload);
    assert!(rig.next_answer(), "a request is answered");
    let start = Instant::now();
    rig.hear();
    start.elapsed()
}

fn bench(c: &mut Criterion) {
    let mut group = c.benchmark_group("step");
    group.sample_size(30).warm_up_time(Duration::from_secs(1));
    for count in [1, 100, 1_000] {
        let mut rig = Rig::new(count);
        group.bench_function(BenchmarkId::new("frame that changes no quote", count), |b| {
            b.iter_custom(|n| timed(&mut rig, n, false, step_only));
        });
        group.bench_function(BenchmarkId::new("frame that moves a quote", count), |b| {
            b.iter_custom(|n| timed(&mut rig, n, true, step_only));
        });
        group.bench_function(BenchmarkId::new("payload to order bytes", count), |b| {
            b.iter_custom(|n| timed(&mut rig, n, true, to_order_bytes));
        });
        group.bench_function(BenchmarkId::new("reply and push of an order", count), |b| {
            b.iter_custom(|n| timed(&mut rig, n, true, answers));
        });
        assert_eq!(rig.refused(), 0, "the gate has let everything through");
    }
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
