//! Memory: everything that the engine works in, carved from one block at start and never given
//! back.

use bumpalo::Bump;
use keel_core::book::{BookMemory, LADDER_CELLS, REST_CELLS};
use keel_core::command::{Command, OUTBOX_MAX, Outbox};
use keel_core::engine::{Desk, Engine, Memory};
use keel_core::event::LevelSize;
use keel_core::gate::InstrumentView;
use keel_core::instrument::INSTRUMENTS_MAX;
use keel_core::param::Profile;
use keel_core::{ids, ledger, order, reconcile};
use keel_risk::{InstrumentRisk, RiskGate};

/// The engine as every mode runs it.
pub type RiskEngine = EngineIn<'static>;

/// The same engine in a block that somebody else owns.
pub type EngineIn<'m> = Engine<'m, RiskGate<'m>>;

/// A block that engines are made in, one after another; their memory is given back with it.
#[derive(Debug, Default)]
pub struct Block(Bump);

/// How much of everything an engine holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Instruments, 1 to [`INSTRUMENTS_MAX`].
    pub instruments: usize,
    /// Orders of one run that are remembered; a power of two.
    pub orders: usize,
    /// Orders of others.
    pub orphans: usize,
    /// Trade ids since the closed horizon; a power of two.
    pub trades: usize,
    /// Bills; a power of two.
    pub bills: usize,
}

impl Limits {
    /// Limits for `instruments`.
    ///
    /// # Panics
    /// When that is none, or more than [`INSTRUMENTS_MAX`].
    pub fn of(instruments: usize) -> Self {
        assert!((1..=INSTRUMENTS_MAX).contains(&instruments), "{instruments} instruments");
        let orders = (instruments * ORDERS_EACH).next_power_of_two().max(ORDERS_MIN);
        Self { instruments, orders, orphans: ORPHANS, trades: TRADES, bills: BILLS }
    }
}

/// Orders remembered for each instrument: far more than may be live, so that late news finds them.
const ORDERS_EACH: usize = 1_024;
const ORDERS_MIN: usize = 4_096;
/// Others' orders on the account: the venue's cap of 400, and room.
const ORPHANS: usize = 512;
/// Trade ids since the closed horizon.
const TRADES: usize = 1 << 18;
/// Bills: funding of 1,024 instruments for days.
const BILLS: usize = 1 << 14;

/// Makes an engine and its outbox in a block of its own. The block is leaked: it lives as long as
/// the process, every page of it is touched, and after this it cannot grow.
pub fn engine(limits: &Limits, profile: Profile) -> (RiskEngine, Outbox<'static>) {
    let block: &'static Block = Box::leak(Box::default());
    let made = engine_in(block, limits, profile);
    block.0.set_allocation_limit(Some(block.0.allocated_bytes()));
    made
}

/// Makes an engine and its outbox in `block`, beside those that are there.
pub fn engine_in<'m>(
    block: &'m Block,
    limits: &Limits,
    profile: Profile,
) -> (EngineIn<'m>, Outbox<'m>) {
    let bump = &block.0;
    let n = limits.instruments;
    let mut books = books_in(block, n);
    let memory = Memory {
        desks: bump.alloc_slice_fill_with(n, |_| {
            Desk::new(books.carve().expect("memory for every book was just made"))
        }),
        views: bump.alloc_slice_fill_copy(n, InstrumentView::EMPTY),
        orders: bump.alloc_slice_fill_copy(limits.orders, order::Slot::EMPTY),
        tallies: bump.alloc_slice_fill_copy(n, order::Tally::EMPTY),
        orphans: bump.alloc_slice_fill_copy(limits.orphans, order::Orphan::EMPTY),
        trades: bump.alloc_slice_fill_copy(limits.trades, ids::Slot::EMPTY),
        lines: bump.alloc_slice_fill_copy(n, ledger::Line::EMPTY),
        bills: bump.alloc_slice_fill_copy(limits.bills, ids::Slot::EMPTY),
        checks: bump.alloc_slice_fill_copy(n, reconcile::Line::EMPTY),
    };
    let risks = bump.alloc_slice_fill_copy(n, InstrumentRisk::default());
    let commands: &'m mut [Option<Command>] = bump.alloc_slice_fill_with(OUTBOX_MAX, |_| None);
    (Engine::new(memory, RiskGate::new(risks), profile), Outbox::new(commands))
}

/// Memory for `n` books in a block of its own, leaked like an engine's.
pub fn books(n: usize) -> BookMemory<'static> {
    books_in(Box::leak(Box::default()), n)
}

/// The same in `block`.
pub(crate) fn books_in(block: &Block, n: usize) -> BookMemory<'_> {
    let bump = &block.0;
    BookMemory {
        ladder: bump.alloc_slice_fill_copy(n * LADDER_CELLS, LevelSize::default()),
        rest_ticks: bump.alloc_slice_fill_copy(n * REST_CELLS, 0),
        rest_sizes: bump.alloc_slice_fill_copy(n * REST_CELLS, LevelSize::default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_of_each_size_fits_its_own_memory() {
        for instruments in [1, 2, 10] {
            let (engine, outbox) = engine(&Limits::of(instruments), Profile::Touch);
            assert_eq!(engine.counters().events, 0);
            assert!(outbox.is_empty());
        }
    }
}
