//! The order book of one instrument, rebuilt from the venue's `books` frames.
//!
//! Readers see whole frames only: [`Book::touch`] changes when the last page of a frame has been
//! applied and found sound. A gap in the sequence, a checksum that does not fit, a crossed or emptied
//! book drop it; it is live again after the next snapshot.

use crate::decimal::Grid;
use crate::digest::Digest;
use crate::event::{BookPage, LevelSize};
use crate::slot_enum;
use crate::units::{Lots, Side, Signal, Ticks, UnixNanos};

/// Ticks that one side's ladder spans.
pub const LADDER_TICKS: usize = 2_048;
/// Levels that one side keeps beyond its ladder.
pub const REST_LEVELS: usize = 512;
/// Ladder cells that one book needs.
pub const LADDER_CELLS: usize = 2 * LADDER_TICKS;
/// Rest cells that one book needs.
pub const REST_CELLS: usize = 2 * REST_LEVELS;
/// A touch within this many ticks of the price to which the book is complete asks for a resync.
pub const EDGE_TICKS: u32 = 256;

/// Memory lent to books: [`LADDER_CELLS`] and [`REST_CELLS`] for each.
pub struct BookMemory<'m> {
    /// Sizes by tick.
    pub ladder: &'m mut [LevelSize],
    /// Prices beyond the ladder.
    pub rest_ticks: &'m mut [u32],
    /// Their sizes.
    pub rest_sizes: &'m mut [LevelSize],
}

impl<'m> BookMemory<'m> {
    /// Takes the memory of one book off the front; `None` when less is left.
    pub fn carve(&mut self) -> Option<Self> {
        unimplemented!()
    }
}

/// What came of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// More pages of this frame follow; readers still see the frame before.
    Pending,
    /// The frame is whole and readers see it.
    Done,
    /// As `Done`, but the touch is near the price to which the book is complete: subscribe anew.
    NearEdge,
    /// A frame that the book has already seen; nothing changed.
    Old,
    /// The book is not live and this is no snapshot; nothing changed.
    Waiting,
    /// The book was dropped: subscribe anew.
    Dropped(Fault),
}

slot_enum! {
    /// Why a book was dropped.
    pub enum Fault {
        /// A frame does not continue the one before.
        Gap = 0 "gap",
        /// The venue's checksum is not ours.
        Checksum = 1 "checksum",
        /// The best bid is not below the best ask.
        Crossed = 2 "crossed",
        /// An update left a side without levels.
        Empty = 3 "empty",
        /// Pages do not make up a frame, or a price is none.
        Malformed = 4 "malformed",
        /// The contract's grids changed.
        Rules = 5 "rules",
        /// The feed was lost.
        Feed = 6 "feed",
    }
}

/// Best bid and ask of a live book with both sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Touch {
    /// Best bid; below `ask`.
    pub bid: Ticks,
    /// Best ask.
    pub ask: Ticks,
    /// Size at the best bid.
    pub bid_lots: Lots,
    /// Size at the best ask.
    pub ask_lots: Lots,
}

impl Touch {
    /// Twice the mid, in ticks.
    pub const fn mid_x2(&self) -> i64 {
        self.bid.0 + self.ask.0
    }

    /// The best price of `side`.
    pub const fn price(&self, side: Side) -> Ticks {
        match side {
            Side::Buy => self.bid,
            Side::Sell => self.ask,
        }
    }
}

/// The book of one instrument, over lent memory.
pub struct Book<'m> {
    ladder: &'m mut [LevelSize],
}

impl<'m> Book<'m> {
    /// An empty book that waits for its grids and a snapshot.
    ///
    /// # Panics
    /// When less memory is lent than one book needs.
    pub fn new(memory: BookMemory<'m>) -> Self {
        Self { ladder: memory.ladder }
    }

    /// Takes the price and size grids that levels are given in, as the contract's rules say. Returns
    /// true when they differ from those before and dropped a live book.
    pub fn rules(&mut self, tick: Grid, lot: Grid) -> bool {
        let _ = (tick, lot, &mut self.ladder);
        unimplemented!()
    }

    /// Applies one page of a frame (bitget reference §12).
    pub fn apply(&mut self, page: &BookPage) -> Applied {
        let _ = page;
        unimplemented!()
    }

    /// Drops the book; it waits for a snapshot.
    pub fn drop_book(&mut self) {
        unimplemented!()
    }

    /// True from the end of a sound snapshot until the book is dropped.
    pub fn is_live(&self) -> bool {
        unimplemented!()
    }

    /// True while no frame is half-way. Only then do `levels`, `size_at`, `depth` and `imbalance`
    /// tell of the same frame as `touch`.
    pub fn is_whole(&self) -> bool {
        unimplemented!()
    }

    /// Best bid and ask after the last whole frame; `None` while not live or while a side is empty.
    pub fn touch(&self) -> Option<Touch> {
        unimplemented!()
    }

    /// The number of the last whole frame; 0 before the first.
    pub fn seq(&self) -> u64 {
        unimplemented!()
    }

    /// The matching engine's time of the last whole frame.
    pub fn ts(&self) -> UnixNanos {
        unimplemented!()
    }

    /// The levels of `side`, best first.
    pub fn levels(&self, side: Side) -> impl Iterator<Item = (Ticks, Lots)> {
        let _ = side;
        core::iter::empty()
    }

    /// The size at `price`; zero where there is no level, `None` beyond what the book is complete to.
    pub fn size_at(&self, side: Side, price: Ticks) -> Option<Lots> {
        let _ = (side, price);
        unimplemented!()
    }

    /// Lots of the best `levels` levels of `side` together.
    pub fn depth(&self, side: Side, levels: usize) -> Lots {
        let _ = (side, levels);
        unimplemented!()
    }

    /// (bids − asks) / (bids + asks) over the top five levels: 1 is all bids. 0 while a side is empty.
    pub fn imbalance(&self) -> Signal {
        unimplemented!()
    }

    /// The farthest price of `side` to which every level is known; `None` while nothing was dropped.
    pub fn complete_to(&self, side: Side) -> Option<Ticks> {
        let _ = side;
        unimplemented!()
    }

    /// Folds the sequence and the touch into `digest`.
    pub fn fold(&self, digest: &mut Digest) {
        let _ = digest;
        unimplemented!()
    }
}
