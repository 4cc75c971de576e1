//! Stamps: when the cause of an order passed each stage between the wire and the wire. Never logic.

use keel_core::units::MonoNanos;

/// When one order's cause passed each stage, on the process's monotonic clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Stamps {
    /// The bytes had been read from the socket.
    pub rx: MonoNanos,
    /// The event stood in its link.
    pub decoded: MonoNanos,
    /// The engine took it.
    pub dequeued: MonoNanos,
    /// The engine's step was done.
    pub decided: MonoNanos,
    /// The order's bytes had been written to the socket.
    pub tx: MonoNanos,
}

impl Stamps {
    /// Nothing was stamped.
    pub const NONE: Self = Self {
        rx: MonoNanos::ZERO,
        decoded: MonoNanos::ZERO,
        dequeued: MonoNanos::ZERO,
        decided: MonoNanos::ZERO,
        tx: MonoNanos::ZERO,
    };

    /// True when all five were stamped, in order.
    pub fn is_complete(&self) -> bool {
        self.rx > MonoNanos::ZERO
            && self.rx <= self.decoded
            && self.decoded <= self.dequeued
            && self.dequeued <= self.decided
            && self.decided <= self.tx
    }
}
