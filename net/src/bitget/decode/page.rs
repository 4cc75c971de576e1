//! A books frame as a run of pages.

use keel_core::decimal::{Decimal, DecimalError};
use keel_core::event::{BookPage, Event, LevelSize, PAGE_LEVELS};
use keel_core::instrument::{Instrument, InstrumentId};
use keel_core::units::{Side, UnixNanos};

use super::DecodeError;

/// One level: a price in ticks and a size, with the decimals that their texts had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Level {
    ticks: u32,
    size: LevelSize,
}

impl Level {
    /// A level of the instrument with these `rules`.
    #[inline]
    pub(super) fn new(
        price: Decimal,
        size: Decimal,
        rules: &Instrument,
    ) -> Result<Self, DecodeError> {
        let ticks = rules.tick.steps_of(price)?;
        let lots = rules.lot.steps_of(size)?;
        let ticks = u32::try_from(ticks).map_err(|_| DecodeError::Range)?;
        let lots = u64::try_from(lots).map_err(|_| DecodeError::Range)?;
        let size = LevelSize::new(lots, price.scale, size.scale);
        match size {
            Some(size) if ticks > 0 => Ok(Self { ticks, size }),
            _ => Err(DecodeError::Range),
        }
    }
}

/// What a books frame says beyond its levels. Its asks stand before its bids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Books {
    pub(super) instrument: InstrumentId,
    pub(super) snapshot: bool,
    pub(super) seq: u64,
    pub(super) pseq: u64,
    pub(super) ts: UnixNanos,
    pub(super) checksum: i32,
    /// How many of the frame's levels are asks.
    pub(super) asks: usize,
}

/// The pages of one frame, in order: asks, then bids, six levels a page. A frame without levels has
/// one empty page, because its number continues the chain.
pub(super) struct Pages<'l> {
    books: Books,
    asks: &'l [Level],
    bids: &'l [Level],
    first: bool,
    left: usize,
}

impl<'l> Pages<'l> {
    pub(super) fn new(books: Books, levels: &'l [Level]) -> Self {
        let (asks, bids) = levels.split_at(books.asks);
        let left = asks.len().div_ceil(PAGE_LEVELS) + bids.len().div_ceil(PAGE_LEVELS);
        Self { books, asks, bids, first: true, left: left.max(1) }
    }
}

impl Iterator for Pages<'_> {
    type Item = Event;

    #[inline]
    fn next(&mut self) -> Option<Event> {
        if self.left == 0 {
            return None;
        }
        self.left -= 1;
        let (side, levels) = if self.asks.is_empty() {
            (Side::Buy, &mut self.bids)
        } else {
            (Side::Sell, &mut self.asks)
        };
        let (now, later) = levels.split_at(levels.len().min(PAGE_LEVELS));
        *levels = later;
        let mut page = BookPage {
            instrument: self.books.instrument,
            side,
            snapshot: self.books.snapshot,
            first: self.first,
            last: self.left == 0,
            len: now.len() as u8,
            seq: self.books.seq,
            pseq: self.books.pseq,
            ts: self.books.ts,
            checksum: self.books.checksum,
            ticks: [0; PAGE_LEVELS],
            sizes: [LevelSize::default(); PAGE_LEVELS],
        };
        for (place, level) in now.iter().enumerate() {
            page.ticks[place] = level.ticks;
            page.sizes[place] = level.size;
        }
        self.first = false;
        Some(Event::BookPage(page))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Pages<'_> {}

impl From<DecimalError> for DecodeError {
    fn from(error: DecimalError) -> Self {
        match error {
            DecimalError::Malformed => Self::Number,
            DecimalError::Overflow => Self::Range,
            DecimalError::OffGrid => Self::OffGrid,
        }
    }
}
