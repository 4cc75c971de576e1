//! Links: a push and a pop on one thread, and hops to and fro between two, beside those of a bare
//! cache line.

use std::hint::spin_loop;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use core_affinity::CoreId;
use criterion::{Criterion, criterion_group, criterion_main};
use keel_bench::{frames, trader};
use keel_core::event::Event;
use keel_core::instrument::InstrumentId;
use keel_core::units::MonoNanos;
use keel_net::bitget::decode::Decoder;
use keel_net::dispatch::Arrival;
use keel_net::link::{WhenFull, link};

/// Asks the echo to end.
const END: u64 = u64::MAX;

fn arrival() -> Arrival {
    let mut market = frames::Market::new(InstrumentId(0));
    let mut events: Vec<Event> = Vec::new();
    let payload = market.update(frames::LEVELS_400, 0);
    let read = Decoder::new(frames::instance()).read(payload, &trader::directory(1), &mut events);
    assert!(read.is_ok(), "a frame is read: {read:?}");
    Arrival { event: events[0], rx: MonoNanos(1), decoded: MonoNanos(1) }
}

fn bench(c: &mut Criterion) {
    let cores = core_affinity::get_core_ids().unwrap_or_default();
    let [here, there] = match cores[..] {
        [first, .., last] => [Some(first), Some(last)],
        _ => [None; 2],
    };
    here.map(core_affinity::set_for_current);

    let (mut sender, mut receiver) = link("same thread", 64, WhenFull::AskFirst);
    let message = arrival();
    c.bench_function("link/push and pop of an event, one thread", |b| {
        b.iter(|| {
            sender.push(message).expect("an empty link has room");
            receiver.pop().expect("it was just pushed").rx
        });
    });

    hops(c, there);
    bare_hops(c, there);
}

/// A message to another thread and back.
fn hops(c: &mut Criterion, there: Option<CoreId>) {
    let (mut out, mut at_echo) = link::<u64>("out", 64, WhenFull::AskFirst);
    let (mut from_echo, mut back) = link::<u64>("back", 64, WhenFull::AskFirst);
    let echo = thread::spawn(move || {
        there.map(core_affinity::set_for_current);
        loop {
            match at_echo.pop() {
                Some(END) => break,
                Some(n) => from_echo.push(n).expect("one message at a time"),
                None => spin_loop(),
            }
        }
    });
    let mut n = 0;
    c.bench_function("link/two hops between two threads", |b| {
        b.iter(|| {
            n += 1;
            out.push(n).expect("one message at a time");
            loop {
                if let Some(echoed) = back.pop() {
                    assert_eq!(echoed, n);
                    break;
                }
                spin_loop();
            }
        });
    });
    out.push(END).expect("one message at a time");
    echo.join().expect("the echo ends");
}

/// A number to another thread and back, each way a store and a load.
fn bare_hops(c: &mut Criterion, there: Option<CoreId>) {
    let line = Arc::new([Padded::default(), Padded::default()]);
    let other = line.clone();
    let echo = thread::spawn(move || {
        there.map(core_affinity::set_for_current);
        let mut last = 0;
        while last != END {
            // Acquire and Release: as a ring would have it.
            let seen = other[0].0.load(Ordering::Acquire);
            if seen != last {
                last = seen;
                other[1].0.store(seen, Ordering::Release);
            }
            spin_loop();
        }
    });
    let mut n = 0;
    c.bench_function("link/two hops of a bare cache line", |b| {
        b.iter(|| {
            n += 1;
            line[0].0.store(n, Ordering::Release);
            while line[1].0.load(Ordering::Acquire) != n {
                spin_loop();
            }
        });
    });
    line[0].0.store(END, Ordering::Release);
    echo.join().expect("the echo ends");
}

#[derive(Default)]
#[repr(align(128))]
struct Padded(AtomicU64);

criterion_group!(benches, bench);
criterion_main!(benches);
