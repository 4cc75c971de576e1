//! Atomics of the cells that threads share: the processor's, and in a build with `--cfg loom` those
//! of a model checker, which goes through every order in which the threads may see them.

#[cfg(loom)]
pub use loom::sync::atomic;
#[cfg(not(loom))]
pub use std::sync::atomic;
