//! How often the way from a frame's payload to the bytes of an order allocates: never.
//!
//! What the TLS edge allocates, once a record each way, is counted in `net/tests/allocation.rs`.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use keel_bench::frames::{LEVELS_400, LEVELS_826};
use keel_bench::rig::Rig;

/// The system's allocator, with a count for each thread of every call that takes, gives or moves
/// memory.
struct Counting;

thread_local! {
    static CALLS: Cell<u64> = const { Cell::new(0) };
}

fn count() {
    CALLS.with(|calls| calls.set(calls.get() + 1));
}

// SAFETY: every call is the system allocator's own, unchanged; the counter has no destructor and
// does not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract of `alloc_zeroed`.
        unsafe { System.alloc_zeroed(layout) }
    }
    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract of `realloc`.
        unsafe { System.realloc(memory, layout, size) }
    }
    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        count();
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn calls<T>(work: impl FnOnce() -> T) -> (u64, T) {
    let before = CALLS.get();
    let result = work();
    (CALLS.get() - before, result)
}

#[test]
fn the_counter_sees_what_is_taken_moved_and_given_back() {
    assert_eq!(calls(|| drop(std::hint::black_box(Box::new(1)))).0, 2);
    let (counted, _kept) = calls(|| {
        let mut grown = std::hint::black_box(Vec::<u64>::with_capacity(1));
        grown.extend_from_slice(&[1, 2, 3]);
        grown
    });
    assert_eq!(counted, 2);
}

#[test]
fn from_a_frame_to_an_order_and_from_an_answer_to_its_order_nothing_is_allocated() {
    const WARM_UP: usize = 100;
    const FRAMES: usize = 120_000;
    let mut rig = Rig::new(2);
    let mut payload = Vec::with_capacity(4_096);
    let (mut on_frames, mut on_answers, mut places, mut cancels) = (0, 0, 0, 0);
    for n in 0..WARM_UP + FRAMES {
        rig.payload(if n % 2 == 0 { LEVELS_400 } else { LEVELS_826 }, &mut payload);
        let (counted, led) = calls(|| rig.frame(&payload));
        let measured = u64::from(n >= WARM_UP);
        on_frames += counted * measured;
        places += u64::from(led.places) * measured;
        cancels += u64::from(led.cancels) * measured;
        while rig.next_answer() {
            on_answers += calls(|| rig.hear()).0 * measured;
        }
        rig.drain();
    }
    assert_eq!((places, cancels), (FRAMES as u64 / 2, FRAMES as u64 / 2));
    assert_eq!(rig.refused(), 0, "every order has passed the gate");
    assert_eq!((on_frames, on_answers), (0, 0), "calls of the allocator on frames, on answers");
}

#[test]
fn a_burst_of_executions_is_booked_without_an_allocation() {
    const EXECUTIONS: u64 = 100_000;
    let mut rig = Rig::new(1);
    let mut counted = 0;
    for n in 0..EXECUTIONS {
        let event = rig.execution(n);
        counted += calls(|| rig.told(event)).0;
        rig.drain();
    }
    assert_eq!(rig.booked(), EXECUTIONS);
    assert_eq!(counted, 0, "calls of the allocator");
}
