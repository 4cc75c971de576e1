//! Tests over all crates; see the `[[test]]` targets.
