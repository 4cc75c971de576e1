//! How fast it is, and how one knows: benches of the parts, and the wire-to-order harness.
//!
//! Every figure is a ratio taken in one run; every bench asserts its result before it times.
//! Commands and figures are in `bench/README.md`.

pub mod count;
pub mod frames;
pub mod load;
pub mod parts;
pub mod rig;
pub mod trader;
pub mod wire;
