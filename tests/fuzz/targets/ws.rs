#![no_main]
//! See `bodies::ws_frames`.

#[allow(dead_code, reason = "each target uses one body")]
#[path = "../bodies.rs"]
mod bodies;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = bodies::ws_frames(bytes);
});
