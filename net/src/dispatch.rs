//! What crosses the links of the engine: events on their way in, commands on their way out, with
//! stamps.

use keel_core::command::Command;
use keel_core::event::Event;
use keel_core::gate::OrderSpec;
use keel_core::units::MonoNanos;

use crate::stamps::Stamps;

/// An event on its way to the engine.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    /// What happened.
    pub event: Event,
    /// When its bytes had been read; the time of the cycle for an event that no bytes brought.
    pub rx: MonoNanos,
    /// When it was put on its link.
    pub decoded: MonoNanos,
}

/// A command on its way out.
#[derive(Debug)]
pub struct Dispatch {
    /// What is wanted.
    pub command: Command,
    /// When its cause passed each stage so far.
    pub stamps: Stamps,
}

/// An order that has been written to its socket, for those who count latency.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    /// What was sent.
    pub spec: OrderSpec,
    /// When its cause passed each stage.
    pub stamps: Stamps,
}
