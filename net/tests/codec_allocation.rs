//! The hot path of the codec allocates nothing once its buffers have grown.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use keel_core::command::{Cancel, CancelCause};
use keel_core::event::{ClientId, Event};
use keel_core::instrument::{InstrumentId, btcusdt};
use keel_net::bitget::client::Instance;
use keel_net::bitget::decode::Decoder;
use keel_net::bitget::encode::Encoder;
use keel_net::bitget::topics::Directory;
use keel_net::link::{WhenFull, link};

/// Counts what this thread asks the system for.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: as the caller promises.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

fn allocations(work: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.with(Cell::get);
    work();
    ALLOCATIONS.with(Cell::get) - before
}

fn directory() -> Directory {
    Directory::new(&[btcusdt()])
}

fn books(levels: usize) -> String {
    let side = |from: usize| {
        let level = |n| format!(r#"["{}.5","0.{:04}"]"#, from + n, 1 + n % 9999);
        (0..levels).map(level).collect::<Vec<_>>().join(",")
    };
    format!(
        concat!(
            r#"{{"action":"update","arg":{{"instType":"usdt-futures","topic":"books","#,
            r#""symbol":"BTCUSDT"}},"data":[{{"a":[{}],"b":[{}],"seq":8,"pseq":7,"#,
            r#""ts":"1789456512452","maxdepth":"1000"}}],"ts":1789456512454}}"#
        ),
        side(77_000),
        side(70_000)
    )
}

const ACCOUNT: &[&str] = &[
    include_str!("../../tests/golden/bitget/ws_v3/fill__bitgetdocs__1.json"),
    include_str!("../../tests/golden/bitget/ws_v3/position__bitgetdocs__1.json"),
    include_str!("../../tests/golden/bitget/ws_v3/account__bitgetdocs__1.json"),
    include_str!("../../tests/golden/bitget/ws_v3/books__probe2026__1.json"),
    r#"{"event":"error","id":"p-0-1-1","code":"25203","msg":"x"}"#,
    r#"{"event":"error","code":30001,"msg":"x"}"#,
];

#[test]
fn decoding_into_a_link_does_not_allocate_after_the_first_message() {
    let directory = directory();
    let mut decoder = Decoder::new(Instance::parse("mm1").unwrap());
    let (mut sender, mut receiver) = link::<Event>("test", 4096, WhenFull::MarkGap);
    let fast = [books(3), books(20), books(0), books(1000)];
    let slow = fast.each_ref().map(|frame| frame.replace(":", ": "));
    let payloads = fast.iter().chain(&slow).map(String::as_str).chain(ACCOUNT.iter().copied());
    let payloads: Vec<&str> = payloads.collect();
    let mut round = || {
        for payload in &payloads {
            let _ = decoder.read(payload.as_bytes(), &directory, &mut sender);
            while receiver.pop().is_some() {}
        }
    };
    round();
    assert_eq!(allocations(|| (0..100).for_each(|_| round())), 0);
    let counters = decoder.counters();
    assert_eq!(counters.fast, 101 * 4, "the fast reader has read the fast frames");
    assert_eq!(counters.errors.iter().sum::<u64>(), 101, "the symbol that is not listed");
}

#[test]
fn writing_a_cancel_does_not_allocate() {
    let mut encoder = Encoder::new(Instance::parse("mm1").unwrap(), &directory());
    let cancel = |number| Cancel {
        instrument: InstrumentId(0),
        client: ClientId { epoch: u32::MAX, number },
        order_id: u64::MAX,
        cause: CancelCause::Requote,
    };
    let batch: Vec<_> = (1..=20).map(cancel).collect();
    let count = allocations(|| {
        for number in 1..1000 {
            encoder.cancel(&cancel(number));
            encoder.cancel_batch(&batch);
        }
    });
    assert_eq!(count, 0);
}
