//! The order book of one instrument, rebuilt from the venue's `books` frames.
//!
//! Readers see whole frames only: [`Book::touch`] changes when the last page of a frame has been
//! applied and found sound. A gap in the sequence, a checksum that does not fit, a crossed or
//! emptied book drop it; it is live again after the next snapshot.

use crate::decimal::{Grid, POW10, TEXT_MAX, write_scaled};
use crate::digest::Digest;
use crate::event::{BookPage, LevelSize, PAGE_LEVELS};
use crate::planted::{Defect, Planted};
use crate::slot_enum;
use crate::units::{E8, Lots, Rate, Side, Ticks, UnixNanos};

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

/// Levels a side that the checksum covers (bitget reference §12).
pub const CHECKSUM_LEVELS: usize = 25;
/// Levels a side that [`Book::imbalance`] weighs.
pub const IMBALANCE_LEVELS: usize = 5;

/// The order book of one instrument, over lent memory.
///
/// Each side is a window of ticks around its touch, addressed by `tick mod LADDER_TICKS`, with a
/// bit for each tick that has a level, and behind it a short sorted list. The window slides with
/// the touch; levels cross between it and the list, and no cell is moved.
pub struct Book<'m> {
    bids: Half<'m>,
    asks: Half<'m>,
    grids: Option<(Grid, Grid)>,
    frame: Frame,
    live: bool,
    seq: u64,
    ts: UnixNanos,
    touch: Option<Touch>,
    planted: Planted,
}

impl<'m> Book<'m> {
    /// An empty book that waits for its grids and a snapshot.
    ///
    /// # Panics
    /// When the memory lent is not that of exactly one book.
    pub fn new(memory: BookMemory<'m>) -> Self {
        let BookMemory { ladder, rest_ticks, rest_sizes } = memory;
        let (bid_cells, ask_cells) = ladder.split_at_mut(LADDER_TICKS);
        let (bid_keys, ask_keys) = rest_ticks.split_at_mut(REST_LEVELS);
        let (bid_sizes, ask_sizes) = rest_sizes.split_at_mut(REST_LEVELS);
        Self {
            bids: Half::new(Side::Buy, bid_cells, bid_keys, bid_sizes),
            asks: Half::new(Side::Sell, ask_cells, ask_keys, ask_sizes),
            grids: None,
            frame: Frame::Between,
            live: false,
            seq: 0,
            ts: UnixNanos(0),
            touch: None,
            planted: Planted::NONE,
        }
    }

    /// Takes the price and size grids that levels are given in, as the contract's rules say.
    /// Returns true when they differ from those before and dropped a live book.
    pub fn rules(&mut self, tick: Grid, lot: Grid) -> bool {
        if self.grids == Some((tick, lot)) {
            return false;
        }
        self.grids = Some((tick, lot));
        let was_live = self.live;
        self.drop_book();
        was_live
    }

    /// Applies one page of a frame (bitget reference §12). Whatever a page says, the book is
    /// afterwards either that of the venue after a whole frame, or half-way to it, or dropped.
    pub fn apply(&mut self, page: &BookPage) -> Applied {
        match self.enter(page) {
            Ok(Frame::Applying(_)) => {}
            Ok(Frame::Skipping(_, outcome)) => {
                if page.last {
                    self.frame = Frame::Between;
                }
                return outcome;
            }
            Ok(Frame::Between) => return Applied::Waiting,
            Err(fault) => return self.refuse(page, fault),
        }
        let half = match page.side {
            Side::Buy => &mut self.bids,
            Side::Sell => &mut self.asks,
        };
        let len = usize::from(page.len);
        if len > PAGE_LEVELS {
            return self.refuse(page, Fault::Malformed);
        }
        for (&ticks, &size) in page.ticks[..len].iter().zip(&page.sizes[..len]) {
            if ticks == 0 || ticks == u32::MAX {
                return self.refuse(page, Fault::Malformed);
            }
            half.set(half.key(ticks), size);
        }
        if !page.last {
            return Applied::Pending;
        }
        self.frame = Frame::Between;
        match self.finish(page) {
            Ok(()) if self.is_near_edge() => Applied::NearEdge,
            Ok(()) => Applied::Done,
            Err(fault) => self.refuse(page, fault),
        }
    }

    /// Has the book commit a defect.
    pub const fn plant(&mut self, planted: Planted) {
        self.planted = planted;
    }

    /// Drops the book of a connection that is gone: another one counts for itself. Time goes on,
    /// and its first snapshot is not older than what this one has shown.
    pub fn forget(&mut self) {
        self.drop_book();
        self.seq = 0;
    }

    /// Drops the book; it waits for a snapshot that is not older than what it has seen.
    pub fn drop_book(&mut self) {
        self.frame = Frame::Between;
        self.live = false;
        self.touch = None;
    }

    /// True from the end of a sound snapshot until the book is dropped.
    pub const fn is_live(&self) -> bool {
        self.live
    }

    /// True while no frame is half-way. Only then do `levels`, `size_at`, `depth` and `imbalance`
    /// tell of the same frame as `touch`.
    pub const fn is_whole(&self) -> bool {
        !matches!(self.frame, Frame::Applying(_))
    }

    /// Best bid and ask after the last whole frame; `None` while not live or while a side is empty.
    pub const fn touch(&self) -> Option<Touch> {
        self.touch
    }

    /// The number of the last whole frame; 0 before the first.
    pub const fn seq(&self) -> u64 {
        self.seq
    }

    /// The matching engine's time of the last whole frame.
    pub const fn ts(&self) -> UnixNanos {
        self.ts
    }

    /// The levels of `side`, best first.
    pub fn levels(&self, side: Side) -> impl Iterator<Item = (Ticks, Lots)> {
        let half = self.half(side);
        half.levels().map(|(key, size)| (half.price(key), size.lots()))
    }

    /// The size at `price`; zero where there is no level, `None` beyond what the book is complete
    /// to.
    pub fn size_at(&self, side: Side, price: Ticks) -> Option<Lots> {
        match u32::try_from(price.0) {
            Ok(ticks) => {
                let half = self.half(side);
                half.size(half.key(ticks)).map(LevelSize::lots)
            }
            Err(_) => Some(Lots::ZERO),
        }
    }

    /// Lots of the best `levels` levels of `side` together.
    pub fn depth(&self, side: Side, levels: usize) -> Lots {
        self.half(side).depth(levels)
    }

    /// (bids − asks) / (bids + asks) over the top five levels: 1 is all bids. 0 while there is no
    /// level.
    pub fn imbalance(&self) -> Rate {
        // Five sizes of 56 bits each.
        let bids = self.depth(Side::Buy, IMBALANCE_LEVELS).0;
        let asks = self.depth(Side::Sell, IMBALANCE_LEVELS).0;
        if bids + asks == 0 {
            return Rate::ZERO;
        }
        if let Some(more) = (bids - asks).checked_mul(E8) {
            return Rate(more / (bids + asks));
        }
        let share = i128::from(bids - asks) * i128::from(E8) / i128::from(bids + asks);
        Rate(i64::try_from(share).expect("a share within ±1"))
    }

    /// The farthest price of `side` to which every level is known; `None` while nothing was
    /// dropped.
    pub fn complete_to(&self, side: Side) -> Option<Ticks> {
        let half = self.half(side);
        (half.edge > 0).then(|| half.price(half.edge))
    }

    /// Folds the sequence and the touch into `digest`.
    pub fn fold(&self, digest: &mut Digest) {
        digest.fold(self.seq);
        digest.fold(u64::from(self.live) | u64::from(self.is_whole()) << 1);
        if let Some(touch) = self.touch {
            for value in [touch.bid.0, touch.ask.0, touch.bid_lots.0, touch.ask_lots.0] {
                digest.fold_signed(value);
            }
        }
    }

    /// Decides over a page by its header: its frame is applied, skipped, or a fault.
    fn enter(&mut self, page: &BookPage) -> Result<Frame, Fault> {
        if !page.first {
            return match self.frame {
                Frame::Applying(seq) | Frame::Skipping(seq, _) if seq != page.seq => {
                    Err(Fault::Malformed)
                }
                Frame::Between if self.live => Err(Fault::Malformed),
                frame => Ok(frame),
            };
        }
        let cut = matches!(self.frame, Frame::Applying(_));
        self.frame = if self.grids.is_none() {
            Frame::Skipping(page.seq, Applied::Waiting)
        } else if page.snapshot && (page.seq < self.seq || page.ts < self.ts) {
            if !self.live {
                // The next one counts, whatever its number: a venue may begin to count anew.
                (self.seq, self.ts) = (0, UnixNanos(0));
                return Err(Fault::Gap);
            }
            Frame::Skipping(page.seq, Applied::Old)
        } else if page.snapshot {
            self.bids.clear();
            self.asks.clear();
            Frame::Applying(page.seq)
        } else if cut {
            return Err(Fault::Malformed);
        } else if !self.live {
            Frame::Skipping(page.seq, Applied::Waiting)
        } else if page.seq <= self.seq {
            Frame::Skipping(page.seq, Applied::Old)
        } else if page.pseq != 0
            && page.pseq != self.seq
            && !self.planted.has(Defect::SequenceGapIgnored)
        {
            return Err(Fault::Gap);
        } else {
            Frame::Applying(page.seq)
        };
        Ok(self.frame)
    }

    /// Makes the frame that `page` ends visible, or says what is wrong with it.
    fn finish(&mut self, page: &BookPage) -> Result<(), Fault> {
        self.bids.settle();
        self.asks.settle();
        let touch = match (self.bids.best(), self.asks.best()) {
            (Some((bid, bid_lots)), Some((ask, ask_lots))) => {
                if bid >= ask {
                    return Err(Fault::Crossed);
                }
                Some(Touch { bid, ask, bid_lots, ask_lots })
            }
            _ if self.touch.is_some() && !page.snapshot => return Err(Fault::Empty),
            _ => None,
        };
        if self.bids.is_past_edge() || self.asks.is_past_edge() {
            return Err(Fault::Empty);
        }
        let looked_at = page.checksum != 0 && !self.planted.has(Defect::ChecksumIgnored);
        if looked_at && self.checksum() != Some(page.checksum) {
            return Err(Fault::Checksum);
        }
        self.touch = touch;
        self.seq = page.seq;
        self.ts = page.ts;
        self.live = true;
        Ok(())
    }

    fn refuse(&mut self, page: &BookPage, fault: Fault) -> Applied {
        self.drop_book();
        if !page.last {
            self.frame = Frame::Skipping(page.seq, Applied::Waiting);
        }
        Applied::Dropped(fault)
    }

    fn is_near_edge(&self) -> bool {
        self.bids.is_near_edge() || self.asks.is_near_edge()
    }

    const fn half(&self, side: Side) -> &Half<'m> {
        match side {
            Side::Buy => &self.bids,
            Side::Sell => &self.asks,
        }
    }

    /// CRC-32 of the top 25 levels as the venue wrote them, or `None` when a level's text cannot
    /// have been on these grids.
    fn checksum(&self) -> Option<i32> {
        let (tick, lot) = self.grids?;
        let mut text = ChecksumText { bytes: [0; CHECKSUM_BYTES], len: 0 };
        let mut bids = self.bids.levels();
        let mut asks = self.asks.levels();
        for _ in 0..CHECKSUM_LEVELS {
            for (half, level) in [(&self.bids, bids.next()), (&self.asks, asks.next())] {
                let Some((key, size)) = level else { continue };
                text.add(half.price(key).0, tick, size.price_decimals())?;
                text.add(size.lots().0, lot, size.size_decimals())?;
            }
        }
        // No separator after the last.
        Some(crc32fast::hash(&text.bytes[..text.len.saturating_sub(1)]).cast_signed())
    }
}

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
        let whole = self.ladder.len() >= LADDER_CELLS
            && self.rest_ticks.len() >= REST_CELLS
            && self.rest_sizes.len() >= REST_CELLS;
        if !whole {
            return None;
        }
        Some(Self {
            ladder: self.ladder.split_off_mut(..LADDER_CELLS)?,
            rest_ticks: self.rest_ticks.split_off_mut(..REST_CELLS)?,
            rest_sizes: self.rest_sizes.split_off_mut(..REST_CELLS)?,
        })
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
    /// Said of every frame until a snapshot comes.
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
        /// An update left a side without levels, or without levels that are known to be all.
        Empty = 3 "empty",
        /// Pages do not make up a frame, or a price is none.
        Malformed = 4 "malformed",
        /// The contract's grids changed.
        Rules = 5 "rules",
        /// The feed was lost.
        Feed = 6 "feed",
        /// The venue shows another best bid or ask, and no frame says so.
        Touch = 7 "touch",
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

/// What the checksum is taken over, as it grows: a sum over one piece is several times as fast as
/// over a hundred.
struct ChecksumText {
    bytes: [u8; CHECKSUM_BYTES],
    len: usize,
}

impl ChecksumText {
    /// Adds `steps` on `grid`, written with `decimals` decimals, and a separator.
    fn add(&mut self, steps: i64, grid: Grid, decimals: u8) -> Option<()> {
        let units = steps.checked_mul(grid.step)?;
        let units = if decimals >= grid.scale {
            units.checked_mul(POW10[usize::from(decimals - grid.scale)])?
        } else {
            let divisor = POW10[usize::from(grid.scale - decimals)];
            if units % divisor != 0 {
                return None;
            }
            units / divisor
        };
        let room = self.bytes[self.len..].first_chunk_mut()?;
        self.len += write_scaled(units, decimals, room);
        self.bytes[self.len] = b':';
        self.len += 1;
        Some(())
    }
}

/// Each of four numbers of a level fits [`TEXT_MAX`] and a separator; the last needs room to be
/// written in.
const CHECKSUM_BYTES: usize = (4 * CHECKSUM_LEVELS + 1) * (TEXT_MAX + 1);

/// Where the book stands between pages. The number is that of the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Frame {
    Between,
    Applying(u64),
    Skipping(u64, Applied),
}

/// One side. Prices are kept as keys of which the greater is the better: ticks of a bid, their
/// complement of an ask. 0 stands for no key.
struct Half<'m> {
    side: Side,
    /// Sizes of the window `low..low + LADDER_TICKS`, by key mod [`LADDER_TICKS`]; valid where
    /// `bits` says.
    cells: &'m mut [LevelSize; LADDER_TICKS],
    bits: [u64; WORDS],
    /// A bit for each word of `bits` that is not zero.
    summary: u32,
    low: u32,
    /// The best key in the window.
    best: u32,
    /// Keys below `low`, rising, so that the best stands last.
    rest_keys: &'m mut [u32; REST_LEVELS],
    rest_sizes: &'m mut [LevelSize; REST_LEVELS],
    rest_len: usize,
    /// Every level with this key or a greater one is known; 0 while none was dropped.
    edge: u32,
}

impl<'m> Half<'m> {
    fn new(
        side: Side,
        cells: &'m mut [LevelSize],
        rest_keys: &'m mut [u32],
        rest_sizes: &'m mut [LevelSize],
    ) -> Self {
        Self {
            side,
            cells: cells.try_into().expect("the ladder of one book"),
            bits: [0; WORDS],
            summary: 0,
            low: 0,
            best: 0,
            rest_keys: rest_keys.try_into().expect("the rest of one book"),
            rest_sizes: rest_sizes.try_into().expect("the rest of one book"),
            rest_len: 0,
            edge: 0,
        }
    }

    const fn key(&self, ticks: u32) -> u32 {
        match self.side {
            Side::Buy => ticks,
            Side::Sell => !ticks,
        }
    }

    fn price(&self, key: u32) -> Ticks {
        Ticks(i64::from(self.key(key)))
    }

    fn clear(&mut self) {
        self.bits = [0; WORDS];
        self.summary = 0;
        self.low = 0;
        self.best = 0;
        self.rest_len = 0;
        self.edge = 0;
    }

    /// Sets the level at `key`; a size of zero deletes it.
    #[inline]
    fn set(&mut self, key: u32, size: LevelSize) {
        if key.wrapping_sub(self.low) >= SPAN {
            if key < self.low {
                return self.set_rest(key, size);
            }
            if size.lots().is_zero() {
                return;
            }
            self.rise(key);
        }
        if size.lots().is_zero() {
            self.unmark(key);
            if key == self.best {
                self.best = self.at_most(key - 1).unwrap_or(0);
            }
        } else {
            self.cells[cell(key)] = size;
            self.mark(key);
            self.best = self.best.max(key);
        }
    }

    /// The level at `key`, of size zero where there is none; `None` beyond the edge.
    fn size(&self, key: u32) -> Option<LevelSize> {
        if key < self.edge {
            return None;
        }
        if key >= self.low {
            let inside = key - self.low < SPAN && self.is_marked(key);
            return Some(if inside { self.cells[cell(key)] } else { LevelSize::default() });
        }
        let found = self.rest_keys[..self.rest_len].binary_search(&key);
        Some(found.map_or(LevelSize::default(), |at| self.rest_sizes[at]))
    }

    fn best(&self) -> Option<(Ticks, Lots)> {
        (self.best > 0).then(|| (self.price(self.best), self.cells[cell(self.best)].lots()))
    }

    const fn is_past_edge(&self) -> bool {
        self.best < self.edge
    }

    const fn is_near_edge(&self) -> bool {
        self.edge > 0 && self.best < self.edge.saturating_add(EDGE_TICKS)
    }

    /// Slides the window toward better prices, so that `key` lies in it; levels that fall out of it
    /// become the best of the rest.
    #[cold]
    fn rise(&mut self, key: u32) {
        let low = window_low(key);
        let top = low.saturating_sub(1).min(self.low + (SPAN - 1));
        let mut falling = 0;
        let mut next = self.at_most(top);
        while let Some(key) = next.filter(|&key| key >= self.edge) {
            falling += 1;
            next = self.below(key);
        }
        let added = falling.min(REST_LEVELS);
        let kept = self.rest_len.min(REST_LEVELS - added);
        self.forget_worst(self.rest_len - kept);
        self.rest_len = kept + added;
        let mut at = self.rest_len;
        let mut next = self.at_most(top);
        while let Some(key) = next {
            next = self.below(key);
            self.unmark(key);
            if key < self.edge {
                // Not known to be all: its deletion might never be heard of.
                continue;
            }
            if at > kept {
                at -= 1;
                self.rest_keys[at] = key;
                self.rest_sizes[at] = self.cells[cell(key)];
            } else {
                self.edge = key + 1;
            }
        }
        if self.best < low {
            self.best = 0;
        }
        self.low = low;
    }

    /// At the end of a frame: slides the window toward worse prices when the touch has come near
    /// its end, and brings levels of the rest into it.
    #[inline]
    fn settle(&mut self) {
        let comfortable = self.best.wrapping_sub(self.low) >= MARGIN || self.low == 0;
        if self.best == 0 || !comfortable {
            self.sink();
        }
    }

    #[cold]
    fn sink(&mut self) {
        let best = match self.rest_keys[..self.rest_len].last() {
            Some(&key) if self.best == 0 => key,
            None if self.best == 0 => return,
            _ => self.best,
        };
        self.low = window_low(best);
        while self.rest_len > 0 && self.rest_keys[self.rest_len - 1] >= self.low {
            self.rest_len -= 1;
            let key = self.rest_keys[self.rest_len];
            self.cells[cell(key)] = self.rest_sizes[self.rest_len];
            self.mark(key);
        }
        self.best = best;
    }

    fn set_rest(&mut self, key: u32, size: LevelSize) {
        if key < self.edge {
            return;
        }
        let len = self.rest_len;
        let deletes = size.lots().is_zero();
        match self.rest_keys[..len].binary_search(&key) {
            Ok(at) if deletes => {
                self.rest_keys.copy_within(at + 1..len, at);
                self.rest_sizes.copy_within(at + 1..len, at);
                self.rest_len -= 1;
            }
            Ok(at) => self.rest_sizes[at] = size,
            Err(_) if deletes => {}
            Err(0) if len == REST_LEVELS => self.edge = key + 1,
            Err(mut at) => {
                if len == REST_LEVELS {
                    self.forget_worst(1);
                    at -= 1;
                }
                self.rest_keys.copy_within(at..self.rest_len, at + 1);
                self.rest_sizes.copy_within(at..self.rest_len, at + 1);
                self.rest_keys[at] = key;
                self.rest_sizes[at] = size;
                self.rest_len += 1;
            }
        }
    }

    /// Drops the worst `count` levels of the rest.
    fn forget_worst(&mut self, count: usize) {
        if count == 0 {
            return;
        }
        self.edge = self.edge.max(self.rest_keys[count - 1] + 1);
        self.rest_keys.copy_within(count..self.rest_len, 0);
        self.rest_sizes.copy_within(count..self.rest_len, 0);
        self.rest_len -= count;
    }

    #[inline]
    const fn mark(&mut self, key: u32) {
        let cell = cell(key);
        self.bits[cell / 64] |= 1 << (cell % 64);
        self.summary |= 1 << (cell / 64);
    }

    #[inline]
    const fn unmark(&mut self, key: u32) {
        let cell = cell(key);
        let word = &mut self.bits[cell / 64];
        *word &= !(1 << (cell % 64));
        if *word == 0 {
            self.summary &= !(1 << (cell / 64));
        }
    }

    const fn is_marked(&self, key: u32) -> bool {
        let cell = cell(key);
        self.bits[cell / 64] >> (cell % 64) & 1 == 1
    }

    /// The next worse key in the window.
    fn below(&self, key: u32) -> Option<u32> {
        if key == self.low { None } else { self.at_most(key - 1) }
    }

    /// The greatest key in the window that is not greater than `key`, which lies in the window or
    /// right below it.
    ///
    /// The window is a ring, so walking down from `key` may run past its lower end and meet keys
    /// from its upper end: those are greater than `key`.
    #[inline]
    fn at_most(&self, key: u32) -> Option<u32> {
        if key < self.low {
            return None;
        }
        let from = cell(key);
        let word = from / 64;
        let here = self.bits[word] & u64::MAX >> (63 - from % 64);
        let found = if here != 0 {
            word * 64 + here.ilog2() as usize
        } else {
            let rotated = self.summary.rotate_right(word as u32);
            if rotated == 0 {
                return None;
            }
            let word = (rotated.ilog2() as usize + word) % WORDS;
            word * 64 + self.bits[word].checked_ilog2()? as usize
        };
        let above_low = (found as u32).wrapping_sub(self.low) % SPAN;
        let key_found = self.low + above_low;
        (key_found <= key).then_some(key_found)
    }

    /// Lots of the best `levels` levels together: word by word while the window goes on, then level
    /// by level.
    fn depth(&self, levels: usize) -> Lots {
        let (mut left, mut lots, mut key) = (levels, 0i64, self.best);
        while key > 0 && left > 0 {
            let place = cell(key) % 64;
            if key - self.low < place as u32 {
                // The word also holds keys from the window's other end.
                let rest = self.levels().skip_while(|&(worse, _)| worse > key).take(left);
                return Lots(rest.fold(lots, |sum, (_, size)| sum.saturating_add(size.lots().0)));
            }
            let first = cell(key) - place;
            let mut bits = self.bits[first / 64] & u64::MAX >> (63 - place);
            while bits != 0 && left > 0 {
                let at = bits.ilog2() as usize;
                bits ^= 1 << at;
                left -= 1;
                lots = lots.saturating_add(self.cells[first + at].lots().0);
            }
            let below = (key - place as u32).checked_sub(1);
            key = below.and_then(|below| self.at_most(below)).unwrap_or(0);
        }
        let rest = self.rest_sizes[..self.rest_len].iter().rev().take(left);
        Lots(rest.fold(lots, |sum, size| sum.saturating_add(size.lots().0)))
    }

    fn levels(&self) -> impl Iterator<Item = (u32, LevelSize)> {
        let first = (self.best > 0).then_some(self.best);
        let ladder = core::iter::successors(first, |&key| self.below(key))
            .map(|key| (key, self.cells[cell(key)]));
        let rest = (0..self.rest_len).rev().map(|at| (self.rest_keys[at], self.rest_sizes[at]));
        ladder.chain(rest)
    }
}

/// Where the cell of `key` is.
const fn cell(key: u32) -> usize {
    key as usize % LADDER_TICKS
}

/// The lower end of the window in which `best` has [`HEADROOM`] ticks above it.
const fn window_low(best: u32) -> u32 {
    best.saturating_add(HEADROOM).saturating_sub(SPAN - 1)
}

const SPAN: u32 = LADDER_TICKS as u32;
/// Ticks of better prices that a window just moved has room for.
const HEADROOM: u32 = SPAN / 4;
/// With fewer ticks than this between the touch and the window's worse end, it slides.
const MARGIN: u32 = SPAN / 4;
const WORDS: usize = LADDER_TICKS / 64;

const _: () = assert!(LADDER_TICKS.is_power_of_two() && WORDS == u32::BITS as usize);
// A window just moved leaves more room than makes it move or resync again.
const _: () = assert!(SPAN - HEADROOM > MARGIN + 1 && SPAN - HEADROOM > EDGE_TICKS + 1);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::PAGE_LEVELS;
    use crate::instrument::InstrumentId;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use std::format;
    use std::string::String;
    use std::vec::Vec;

    /// Memory for one book.
    struct Owned {
        ladder: Vec<LevelSize>,
        rest_ticks: Vec<u32>,
        rest_sizes: Vec<LevelSize>,
    }

    impl Owned {
        fn new() -> Self {
            Self {
                ladder: std::vec![LevelSize::default(); LADDER_CELLS],
                rest_ticks: std::vec![0; REST_CELLS],
                rest_sizes: std::vec![LevelSize::default(); REST_CELLS],
            }
        }

        fn book(&mut self) -> Book<'_> {
            let mut book = Book::new(BookMemory {
                ladder: &mut self.ladder,
                rest_ticks: &mut self.rest_ticks,
                rest_sizes: &mut self.rest_sizes,
            });
            assert!(!book.rules(TICK, LOT));
            book
        }
    }

    /// Ticks of 0.5, lots of 0.01.
    const TICK: Grid = Grid { step: 5, scale: 1 };
    const LOT: Grid = Grid { step: 1, scale: 2 };

    type Row = (Side, u32, u64);

    fn size(lots: u64) -> LevelSize {
        LevelSize::new(lots, 1, 2).expect("a small size")
    }

    fn pages(snapshot: bool, seq: u64, pseq: u64, rows: &[Row], checksum: i32) -> Vec<BookPage> {
        let mut runs: Vec<Vec<Row>> = Vec::new();
        for &row in rows {
            match runs.last_mut() {
                Some(run) if run.len() < PAGE_LEVELS && run[0].0 == row.0 => run.push(row),
                _ => runs.push(std::vec![row]),
            }
        }
        if runs.is_empty() {
            runs.push(Vec::new());
        }
        let count = runs.len();
        let page = |(n, run): (usize, &Vec<Row>)| {
            let mut page = BookPage {
                instrument: InstrumentId(0),
                side: run.first().map_or(Side::Buy, |row| row.0),
                snapshot,
                first: n == 0,
                last: n + 1 == count,
                len: run.len() as u8,
                seq,
                pseq,
                ts: UnixNanos(seq as i64),
                checksum,
                ticks: [0; PAGE_LEVELS],
                sizes: [LevelSize::default(); PAGE_LEVELS],
            };
            for (at, &(_, ticks, lots)) in run.iter().enumerate() {
                page.ticks[at] = ticks;
                page.sizes[at] = size(lots);
            }
            page
        };
        runs.iter().enumerate().map(page).collect()
    }

    /// Applies all pages and gives the outcome of the last; those before must be pending.
    fn apply(book: &mut Book<'_>, pages: &[BookPage]) -> Applied {
        let (last, before) = pages.split_last().expect("a frame has pages");
        for page in before {
            let outcome = book.apply(page);
            if outcome != Applied::Pending {
                return outcome;
            }
        }
        book.apply(last)
    }

    const SMALL: [Row; 4] = [
        (Side::Buy, 1000, 10),
        (Side::Buy, 998, 20),
        (Side::Sell, 1001, 5),
        (Side::Sell, 1004, 40),
    ];

    fn live(owned: &mut Owned) -> Book<'_> {
        let mut book = owned.book();
        assert_eq!(apply(&mut book, &pages(true, 100, 0, &SMALL, 0)), Applied::Done);
        book
    }

    /// A book was dropped for a damaged frame, and before the venue had sent another the snapshot
    /// that the connection had begun with came once more: quotes were made by a book 8 s old, in
    /// the simulated life of seed 21244.
    #[test]
    fn a_snapshot_that_comes_again_is_no_book() {
        let mut owned = Owned::new();
        let mut book = live(&mut owned);
        let first = pages(true, 90, 0, &SMALL, 0);
        assert_eq!(apply(&mut book, &first), Applied::Old, "beside a live book");
        assert!(book.is_live());
        book.drop_book();
        assert_eq!(apply(&mut book, &first), Applied::Dropped(Fault::Gap));
        assert!(!book.is_live());
        assert_eq!(apply(&mut book, &pages(true, 7, 0, &SMALL, 0)), Applied::Done, "counts anew");
        book.drop_book();
        assert_eq!(apply(&mut book, &pages(true, 7, 0, &SMALL, 0)), Applied::Done, "nothing newer");
    }

    /// A connection's first snapshot may be of a server that lags behind the one before.
    #[test]
    fn a_snapshot_of_an_earlier_connection_is_no_book() {
        let mut owned = Owned::new();
        let mut book = live(&mut owned);
        let told_at = |seq, ts| {
            let mut pages = pages(true, seq, 0, &SMALL, 0);
            pages.iter_mut().for_each(|page| page.ts = UnixNanos(ts));
            pages
        };
        book.forget();
        assert_eq!(apply(&mut book, &told_at(90, 90)), Applied::Dropped(Fault::Gap));
        assert!(!book.is_live());
        assert_eq!(apply(&mut book, &told_at(90, 90)), Applied::Done, "its clock was set back");
        book.forget();
        assert_eq!(apply(&mut book, &told_at(3, 90)), Applied::Done, "it counts for itself");
    }

    #[test]
    fn a_snapshot_makes_the_book_live() {
        let mut owned = Owned::new();
        let mut book = owned.book();
        assert!(!book.is_live());
        let update = pages(false, 5, 4, &SMALL, 0);
        assert_eq!(apply(&mut book, &update), Applied::Waiting);
        assert_eq!(book.touch(), None);
        let book = live(&mut owned);
        let touch = book.touch().expect("both sides");
        assert_eq!((touch.bid, touch.ask, touch.mid_x2()), (Ticks(1000), Ticks(1001), 2001));
        assert_eq!((touch.bid_lots, touch.ask_lots), (Lots(10), Lots(5)));
        assert_eq!(
            book.levels(Side::Sell).collect::<Vec<_>>(),
            [(Ticks(1001), Lots(5)), (Ticks(1004), Lots(40))]
        );
        assert_eq!(book.size_at(Side::Buy, Ticks(999)), Some(Lots(0)));
        assert_eq!(book.size_at(Side::Buy, Ticks(998)), Some(Lots(20)));
        assert_eq!(book.imbalance(), Rate(-E8 * 15 / 75));
        assert_eq!((book.seq(), book.ts()), (100, UnixNanos(100)));
    }

    #[test]
    fn readers_see_whole_frames_only() {
        let mut owned = Owned::new();
        let mut book = live(&mut owned);
        let rows = [(Side::Buy, 1000, 0), (Side::Sell, 999, 7), (Side::Sell, 1001, 0)];
        let frame = pages(false, 101, 100, &rows, 0);
        assert_eq!(frame.len(), 2);
        let before = book.touch();
        assert_eq!(book.apply(&frame[0]), Applied::Pending);
        assert_eq!((book.touch(), book.is_whole()), (before, false));
        assert_eq!(book.apply(&frame[1]), Applied::Done);
        assert!(book.is_whole());
        let touch = book.touch().expect("both sides");
        assert_eq!((touch.bid, touch.ask), (Ticks(998), Ticks(999)));
    }

    #[test]
    fn a_gap_drops_the_book_until_the_next_snapshot() {
        let mut owned = Owned::new();
        let mut book = live(&mut owned);
        let lost = pages(false, 120, 110, &[(Side::Buy, 997, 1)], 0);
        assert_eq!(apply(&mut book, &lost), Applied::Dropped(Fault::Gap));
        assert_eq!((book.is_live(), book.touch()), (false, None));
        let next = pages(false, 130, 120, &[(Side::Buy, 997, 1)], 0);
        assert_eq!(apply(&mut book, &next), Applied::Waiting);
        assert_eq!(apply(&mut book, &pages(true, 140, 0, &SMALL, 0)), Applied::Done);
        assert!(book.is_live());
    }

    #[test]
    fn every_page_of_a_refused_frame_is_refused() {
        let mut owned = Owned::new();
        let mut book = live(&mut owned);
        let rows = [(Side::Buy, 997, 1), (Side::Sell, 1002, 1), (Side::Buy, 996, 1)];
        let frame = pages(false, 120, 110, &rows, 0);
        let outcomes: Vec<_> = frame.iter().map(|page| book.apply(page)).collect();
        assert_eq!(outcomes, [Applied::Dropped(Fault::Gap), Applied::Waiting, Applied::Waiting]);
        let frame = pages(false, 90, 80, &rows, 0);
        let mut book = live(&mut owned);
        let outcomes: Vec<_> = frame.iter().map(|page| book.apply(page)).collect();
        assert_eq!(outcomes, [Applied::Old; 3]);
        assert!(book.is_live() && book.is_whole());
    }

    #[test]
    fn an_old_frame_changes_nothing() {
        let mut owned = Owned::new();
        let mut book = live(&mut owned);
        for seq in [99, 100] {
            let old = pages(false, seq, 98, &[(Side::Buy, 1000, 0)], 0);
            assert_eq!(apply(&mut book, &old), Applied::Old);
        }
        assert_eq!(book.touch().map(|touch| touch.bid), Some(Ticks(1000)));
    }

    #[test]
    fn without_a_previous_number_a_rising_one_is_enough() {
        let mut owned = Owned::new();
        let mut book = live(&mut owned);
        let rows = [(Side::Buy, 1000, 11)];
        assert_eq!(apply(&mut book, &pages(false, 107, 0, &rows, 0)), Applied::Done);
        assert_eq!(apply(&mut book, &pages(false, 107, 0, &rows, 0)), Applied::Old);
        assert_eq!(book.seq(), 107);
    }

    #[test]
    fn a_crossed_locked_or_emptied_book_is_dropped() {
        for (rows, fault) in [
            (&[(Side::Buy, 1002, 1)][..], Fault::Crossed),
            (&[(Side::Buy, 1001, 1)], Fault::Crossed),
            (&[(Side::Buy, 1000, 0), (Side::Buy, 998, 0)], Fault::Empty),
            (&[(Side::Buy, 0, 1)], Fault::Malformed),
            (&[(Side::Sell, u32::MAX, 1)], Fault::Malformed),
        ] {
            let mut owned = Owned::new();
            let mut book = live(&mut owned);
            let frame = pages(false, 101, 100, rows, 0);
            assert_eq!(apply(&mut book, &frame), Applied::Dropped(fault), "{rows:?}");
            assert_eq!((book.is_live(), book.touch()), (false, None));
        }
    }

    #[test]
    fn a_frame_cut_short_drops_the_book() {
        let mut owned = Owned::new();
        let mut book = live(&mut owned);
        let rows = [(Side::Buy, 997, 1), (Side::Sell, 1002, 1)];
        let cut = pages(false, 101, 100, &rows, 0);
        assert_eq!(book.apply(&cut[0]), Applied::Pending);
        let next = pages(false, 102, 101, &rows, 0);
        assert_eq!(book.apply(&next[0]), Applied::Dropped(Fault::Malformed));
        let mut book = live(&mut owned);
        assert_eq!(book.apply(&cut[1]), Applied::Dropped(Fault::Malformed));
    }

    #[test]
    fn a_second_snapshot_starts_over() {
        let mut owned = Owned::new();
        let mut book = live(&mut owned);
        let rows = [(Side::Buy, 500, 3), (Side::Sell, 600, 4)];
        assert_eq!(apply(&mut book, &pages(true, 150, 0, &rows, 0)), Applied::Done);
        assert_eq!(book.levels(Side::Buy).count(), 1);
        assert_eq!(book.seq(), 150);
        let next = pages(false, 151, 150, &[(Side::Sell, 599, 1)], 0);
        assert_eq!(apply(&mut book, &next), Applied::Done);
    }

    #[test]
    fn a_one_sided_snapshot_is_live_without_a_touch() {
        let mut owned = Owned::new();
        let mut book = owned.book();
        let rows = [(Side::Buy, 500, 3)];
        assert_eq!(apply(&mut book, &pages(true, 50, 0, &rows, 0)), Applied::Done);
        assert_eq!((book.is_live(), book.touch()), (true, None));
        let next = pages(false, 51, 50, &[(Side::Sell, 600, 1)], 0);
        assert_eq!(apply(&mut book, &next), Applied::Done);
        assert!(book.touch().is_some());
    }

    #[test]
    fn new_grids_drop_the_book() {
        let mut owned = Owned::new();
        let mut book = live(&mut owned);
        assert!(!book.rules(TICK, LOT));
        assert!(book.is_live());
        assert!(book.rules(Grid { step: 1, scale: 1 }, LOT));
        assert!(!book.is_live());
    }

    /// CRC-32 of zlib, bit by bit.
    fn crc(text: &str) -> i32 {
        let mut crc = u32::MAX;
        for byte in text.bytes() {
            crc ^= u32::from(byte);
            for _ in 0..8 {
                crc = if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
            }
        }
        (!crc).cast_signed()
    }

    #[test]
    fn the_checksum_is_that_of_the_texts_as_they_came() {
        assert_eq!(crc("123456789").cast_unsigned(), 0xcbf4_3926);
        let text = "500.0:0.10:500.5:0.05:499.0:0.20:502.0:0.40";
        let mut owned = Owned::new();
        let mut book = owned.book();
        let frame = pages(true, 100, 0, &SMALL, crc(text));
        assert_eq!(apply(&mut book, &frame), Applied::Done);
        let update = pages(false, 101, 100, &[(Side::Sell, 1004, 0)], {
            crc("500.0:0.10:500.5:0.05:499.0:0.20")
        });
        assert_eq!(apply(&mut book, &update), Applied::Done);
        let wrong = pages(false, 102, 101, &[(Side::Sell, 1004, 41)], crc(text));
        assert_eq!(apply(&mut book, &wrong), Applied::Dropped(Fault::Checksum));
    }

    #[test]
    fn trailing_zeros_count_in_the_checksum() {
        for (price_decimals, size_decimals, text) in [
            (1, 2, "500.0:0.10:501.0:0.30"),
            (0, 1, "500:0.1:501:0.3"),
            (3, 4, "500.000:0.1000:501.000:0.3000"),
        ] {
            let mut owned = Owned::new();
            let mut book = owned.book();
            let rows = [(Side::Buy, 1000, 10), (Side::Sell, 1002, 30)];
            let mut frame = pages(true, 1, 0, &rows, crc(text));
            for (page, lots) in frame.iter_mut().zip([10, 30]) {
                page.sizes[0] =
                    LevelSize::new(lots, price_decimals, size_decimals).expect("a small size");
            }
            assert_eq!(apply(&mut book, &frame), Applied::Done, "{text}");
        }
        let mut owned = Owned::new();
        let mut book = owned.book();
        let rows = [(Side::Buy, 1001, 10), (Side::Sell, 1002, 30)];
        let mut frame = pages(true, 1, 0, &rows, 1);
        frame[0].sizes[0] = LevelSize::new(10, 0, 2).expect("a small size");
        let outcome = apply(&mut book, &frame);
        assert_eq!(
            outcome,
            Applied::Dropped(Fault::Checksum),
            "500.5 has no text without decimals"
        );
    }

    #[test]
    fn the_checksum_ends_at_25_levels_and_goes_on_when_a_side_is_shorter() {
        let mut rows: Vec<Row> = (0..30).map(|n| (Side::Buy, 1000 - 2 * n, 7)).collect();
        rows.extend((0..3).map(|n| (Side::Sell, 1002 + 2 * n, 9)));
        let mut parts: Vec<String> = Vec::new();
        for n in 0..25 {
            parts.push(format!("{}.0:0.07", 500 - n));
            if n < 3 {
                parts.push(format!("{}.0:0.09", 501 + n));
            }
        }
        let mut owned = Owned::new();
        let mut book = owned.book();
        let frame = pages(true, 1, 0, &rows, crc(&parts.join(":")));
        assert_eq!(apply(&mut book, &frame), Applied::Done);
    }

    #[test]
    fn levels_too_far_are_dropped_and_the_book_says_so() {
        let mut owned = Owned::new();
        let mut book = owned.book();
        let mut rows: Vec<Row> =
            (0..600).map(|n| (Side::Buy, 1_000_000 - 10_000 - 10 * n, 1)).collect();
        rows.insert(0, (Side::Buy, 1_000_000, 1));
        rows.push((Side::Sell, 1_000_001, 1));
        assert_eq!(apply(&mut book, &pages(true, 1, 0, &rows, 0)), Applied::Done);
        assert_eq!(book.levels(Side::Buy).count(), 1 + REST_LEVELS);
        let edge = book.complete_to(Side::Buy).expect("levels were dropped");
        assert_eq!(edge, Ticks(1_000_000 - 10_000 - 10 * 512 + 1));
        assert_eq!(book.size_at(Side::Buy, edge), Some(Lots(0)));
        assert_eq!(book.size_at(Side::Buy, Ticks(edge.0 - 1)), None);
        assert_eq!(book.complete_to(Side::Sell), None);
    }

    #[test]
    fn a_touch_near_the_edge_asks_for_a_resync() {
        let mut owned = Owned::new();
        let mut book = owned.book();
        let rows: Vec<Row> = (0..600)
            .map(|n| (Side::Sell, 1_000_000 + 100 * n, 1))
            .chain([(Side::Buy, 999_999, 1)])
            .collect();
        assert_eq!(apply(&mut book, &pages(true, 1, 0, &rows, 0)), Applied::Done);
        let edge = book.complete_to(Side::Sell).expect("levels were dropped").0 as u32;
        let gone = |to: u32| -> Vec<Row> {
            let left = rows.iter().filter(|row| row.0 == Side::Sell && row.1 < to);
            left.map(|&(side, ticks, _)| (side, ticks, 0)).collect()
        };
        let far = pages(false, 2, 1, &gone(edge - 300), 0);
        assert_eq!(apply(&mut book, &far), Applied::Done);
        let near = pages(false, 3, 2, &gone(edge - 200), 0);
        assert_eq!(apply(&mut book, &near), Applied::NearEdge);
        assert!(book.is_live());
    }

    #[test]
    fn a_level_beyond_the_edge_leaves_nothing_behind() {
        let mut owned = Owned::new();
        let mut book = owned.book();
        let bids = (0..600).map(|n| (Side::Buy, 990_000 - 10 * n, 1));
        let rows: Vec<Row> =
            bids.clone().chain([(Side::Buy, 1_000_000, 1), (Side::Sell, 1_000_001, 1)]).collect();
        assert_eq!(apply(&mut book, &pages(true, 1, 0, &rows, 0)), Applied::Done);
        assert!(book.complete_to(Side::Buy).is_some_and(|edge| edge > Ticks(984_000)));
        let mut fall: Vec<Row> = bids
            .filter(|row| row.1 > 985_200)
            .chain([(Side::Buy, 1_000_000, 0)])
            .map(|(side, ticks, _)| (side, ticks, 0))
            .collect();
        fall.extend([(Side::Sell, 985_300, 1), (Side::Sell, 1_000_001, 0)]);
        assert_eq!(apply(&mut book, &pages(false, 2, 1, &fall, 0)), Applied::Done);
        let beyond = (Side::Buy, 984_000, 1);
        assert_eq!(apply(&mut book, &pages(false, 3, 2, &[beyond], 0)), Applied::Done);
        let rise =
            [(Side::Sell, 985_300, 0), (Side::Sell, 1_000_001, 1), (Side::Buy, 1_000_000, 1)];
        assert_eq!(apply(&mut book, &pages(false, 4, 3, &rise, 0)), Applied::Done);
        let gone = (Side::Buy, 984_000, 0);
        assert_eq!(apply(&mut book, &pages(false, 5, 4, &[gone], 0)), Applied::Done);
        assert!(book.levels(Side::Buy).all(|level| level.0 != Ticks(984_000)));
    }

    #[test]
    fn memory_is_carved_for_as_many_books_as_it_holds() {
        let mut ladder = std::vec![LevelSize::default(); 2 * LADDER_CELLS + 1];
        let mut rest_ticks = std::vec![0; 2 * REST_CELLS];
        let mut rest_sizes = std::vec![LevelSize::default(); 2 * REST_CELLS];
        let mut memory = BookMemory {
            ladder: &mut ladder,
            rest_ticks: &mut rest_ticks,
            rest_sizes: &mut rest_sizes,
        };
        let first = memory.carve().map(Book::new);
        let second = memory.carve().map(Book::new);
        assert!(first.is_some() && second.is_some());
        assert!(memory.carve().is_none());
    }

    #[derive(Clone, Debug)]
    struct Step {
        move_by: i64,
        levels: Vec<(bool, u32, u64)>,
        snapshot: bool,
    }

    fn step() -> impl Strategy<Value = Step> {
        let distance = prop_oneof![6 => 1u32..40, 2 => 1u32..2_500, 1 => 1u32..12_000];
        let move_by = prop_oneof![6 => -20i64..20, 2 => -1_500i64..1_500, 1 => -5_000i64..5_000];
        let levels = prop::collection::vec((any::<bool>(), distance, 0u64..6), 0..60);
        (move_by, levels, prop::bool::weighted(0.05)).prop_map(|(move_by, levels, snapshot)| Step {
            move_by,
            levels,
            snapshot,
        })
    }

    type Model = [BTreeMap<u32, u64>; 2];

    /// Rows that lead from `model` to a book around `mid`, already entered in `model`.
    fn rows_of(model: &mut Model, step: &Step, mid: u32, dense: u32) -> Vec<Row> {
        let mut rows: Vec<Row> = Vec::new();
        if step.snapshot {
            *model = [BTreeMap::new(), BTreeMap::new()];
            for n in 0..700 {
                rows.push((Side::Buy, mid - 1 - n * dense, 1));
                rows.push((Side::Sell, mid + 1 + n * dense, 1));
            }
        }
        rows.extend(model[0].range(mid..).map(|(&ticks, _)| (Side::Buy, ticks, 0)));
        rows.extend(model[1].range(..=mid).map(|(&ticks, _)| (Side::Sell, ticks, 0)));
        for &(buy, distance, lots) in &step.levels {
            let (side, ticks) =
                if buy { (Side::Buy, mid - distance) } else { (Side::Sell, mid + distance) };
            rows.push((side, ticks, lots));
        }
        for &(side, ticks, lots) in &rows {
            if lots == 0 {
                model[side.index()].remove(&ticks);
            } else {
                model[side.index()].insert(ticks, lots);
            }
        }
        rows
    }

    fn known(book: &Book<'_>, side: Side, ticks: i64) -> bool {
        book.complete_to(side).is_none_or(|edge| !side.better(edge, Ticks(ticks)))
    }

    fn compare(book: &Book<'_>, model: &Model) -> Result<(), TestCaseError> {
        for side in Side::BOTH {
            let mut wanted: Vec<(Ticks, Lots)> = model[side.index()]
                .iter()
                .map(|(&ticks, &lots)| (Ticks(i64::from(ticks)), Lots(lots as i64)))
                .filter(|level| known(book, side, level.0.0))
                .collect();
            if side == Side::Buy {
                wanted.reverse();
            }
            let found: Vec<(Ticks, Lots)> =
                book.levels(side).filter(|level| known(book, side, level.0.0)).collect();
            prop_assert_eq!(&found, &wanted);
            for &(ticks, lots) in &wanted {
                prop_assert_eq!(book.size_at(side, ticks), Some(lots));
            }
            let five: i64 = wanted.iter().take(5).map(|level| level.1.0).sum();
            if wanted.len() >= 5 {
                prop_assert_eq!(book.depth(side, 5), Lots(five));
            }
        }
        Ok(())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(192))]
        #[test]
        fn the_book_is_that_of_two_sorted_maps(
            start in prop_oneof![20_000u32..40_000, 3_000_000_000u32..3_000_100_000],
            dense in 1u32..25,
            steps in prop::collection::vec(step(), 1..40),
        ) {
            let mut owned = Owned::new();
            let mut book = owned.book();
            let mut model: Model = [BTreeMap::new(), BTreeMap::new()];
            let mut mid = start;
            for (n, step) in steps.iter().enumerate() {
                let step = Step { snapshot: step.snapshot || n == 0, ..step.clone() };
                mid = (i64::from(mid) + step.move_by).clamp(18_000, 3_100_000_000) as u32;
                let had_both = !step.snapshot && book.touch().is_some();
                let rows = rows_of(&mut model, &step, mid, dense);
                let seq = n as u64 + 1;
                let pseq = if step.snapshot { 0 } else { seq - 1 };
                let outcome = apply(&mut book, &pages(step.snapshot, seq, pseq, &rows, 0));
                let bid = model[0].last_key_value().map(|(&t, _)| Ticks(i64::from(t)));
                let ask = model[1].first_key_value().map(|(&t, _)| Ticks(i64::from(t)));
                match outcome {
                    Applied::Done => {
                        let touch = book.touch().map(|touch| (touch.bid, touch.ask));
                        prop_assert_eq!(touch, bid.zip(ask));
                        compare(&book, &model)?;
                    }
                    // What lies beyond the edge is not known: the model may go on, the book may
                    // not.
                    Applied::NearEdge => {
                        compare(&book, &model)?;
                        break;
                    }
                    Applied::Dropped(Fault::Empty) => {
                        prop_assert!(had_both && (bid.is_none() || ask.is_none()
                            || book.complete_to(Side::Buy).is_some()
                            || book.complete_to(Side::Sell).is_some()));
                        break;
                    }
                    other => prop_assert!(false, "{:?}", other),
                }
            }
        }
    }
}
