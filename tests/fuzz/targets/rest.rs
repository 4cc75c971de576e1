#![no_main]
//! See `bodies::rest`.

#[allow(dead_code, reason = "each target uses one body")]
#[path = "../bodies.rs"]
mod bodies;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = bodies::rest(bytes);
});
