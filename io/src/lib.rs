//! The world: threads, sockets, clock, disk and virtual time around a pure engine.
//!
//! Nothing here decides anything about trading. Time is read once a cycle by whoever owns a thread
//! and handed down; what the engine did is written down, made durable and told to people, in that
//! order.
#![deny(unsafe_code)]

pub mod affinity;
pub mod agent;
pub mod bills;
pub mod clock;
pub mod cold;
pub mod connector;
pub mod control;
pub mod disk;
pub mod exchange;
pub mod guardian;
pub mod journal;
pub mod kill;
pub mod latency;
pub mod memory;
pub mod mode;
#[allow(unsafe_code)]
pub mod os;
pub mod recording;
pub mod secrets;
pub mod setup;
pub mod signals;
pub mod snapshot;
pub mod soak;
pub mod state;
pub mod topology;
pub mod vitals;
pub mod world;
