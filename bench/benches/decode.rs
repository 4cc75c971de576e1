//! The decoder by topic and size; beside it what simd-json takes for its tape alone, over reused
//! buffers.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use keel_bench::frames::{self, LEVELS_400, LEVELS_826, Market};
use keel_bench::trader;
use keel_core::event::Event;
use keel_core::instrument::InstrumentId;
use keel_net::bitget::decode::{Decoder, Message};

fn bench(c: &mut Criterion) {
    let mut market = Market::new(InstrumentId(0));
    let payloads = [
        ("books 400 B", market.update(LEVELS_400, 3).to_vec()),
        ("books 826 B", market.update(LEVELS_826, -3).to_vec()),
        ("books, 400 levels", market.update(400, 3).to_vec()),
        ("books1", market.best().to_vec()),
        ("publicTrade, 1 row", market.trades(1).to_vec()),
        ("ticker", market.ticker().to_vec()),
    ];
    let directory = trader::directory(1);
    let mut events: Vec<Event> = Vec::with_capacity(1_024);
    for (name, payload) in &payloads {
        let mut decoder = Decoder::new(frames::instance());
        let mut group = c.benchmark_group(format!("decode/{name}"));
        group.throughput(Throughput::Bytes(payload.len() as u64));
        events.clear();
        let read = decoder.read(payload, &directory, &mut events);
        assert_eq!(read, Ok(Message::Events(events.len() as u32)), "{name}");
        assert_eq!(decoder.counters().fast, 1, "the fast reader reads {name}");
        group.bench_function("one pass to events", |b| {
            b.iter(|| {
                events.clear();
                decoder.read(payload, &directory, &mut events)
            });
        });
        // A space leaves the fast reader's shape, so that the second one reads the same content.
        let mut spaced = payload.clone();
        spaced.insert(1, b' ');
        let first = std::mem::take(&mut events);
        let read = decoder.read(&spaced, &directory, &mut events);
        assert!(read.is_ok() && events == first, "both readers agree on {name}");
        group.bench_function("second reader to events", |b| {
            b.iter(|| {
                events.clear();
                decoder.read(&spaced, &directory, &mut events)
            });
        });
        let mut scratch = payload.clone();
        let mut buffers = simd_json::Buffers::new(payload.len());
        let mut spare = simd_json::Tape::null();
        group.bench_function("simd-json's tape, nothing read", |b| {
            b.iter(|| {
                scratch.copy_from_slice(payload);
                let mut tape = std::mem::replace(&mut spare, simd_json::Tape(Vec::new())).reset();
                simd_json::fill_tape(&mut scratch, &mut buffers, &mut tape).expect("JSON");
                assert!(!tape.0.is_empty());
                spare = tape.reset();
            });
        });
        group.finish();
    }
}

criterion_group!(benches, bench);
criterion_main!(benches);
