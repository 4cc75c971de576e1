//! Candle: one-minute bars made of prints, and the longer ones made of those.

use std::cell::Cell;
use std::collections::VecDeque;

use keel_core::units::{Price, Quote, UnixNanos};

/// A bar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candle {
    /// When it begins.
    pub start: UnixNanos,
    /// The first price.
    pub open: Price,
    /// The highest price.
    pub high: Price,
    /// The lowest price.
    pub low: Price,
    /// The last price.
    pub close: Price,
    /// What was traded, in 1e-8 of the base coin.
    pub volume_e8: i128,
    /// What it was worth, in 1e-8 USDT.
    pub turnover_e8: i128,
}

impl Candle {
    /// A bar in which nothing was traded.
    pub const fn still(price: Price, start: UnixNanos) -> Self {
        Self {
            start,
            open: price,
            high: price,
            low: price,
            close: price,
            volume_e8: 0,
            turnover_e8: 0,
        }
    }

    /// The bar of this one and of what came after it.
    pub fn joined(self, later: Self) -> Self {
        Self {
            start: self.start,
            open: self.open,
            high: self.high.max(later.high),
            low: self.low.min(later.low),
            close: later.close,
            volume_e8: self.volume_e8 + later.volume_e8,
            turnover_e8: self.turnover_e8 + later.turnover_e8,
        }
    }
}

/// The latest [`CANDLES_MAX`] one-minute bars of one price series. A minute without a print
/// repeats the last close with no volume once time has passed it.
#[derive(Clone, Debug, Default)]
pub struct Candles {
    bars: VecDeque<Candle>,
    /// What the whole bars between the begins of two came to when that was last asked.
    joined: Cell<Option<Joined>>,
}

/// Bars from one on and up to another, which is not part of it.
#[derive(Clone, Copy, Debug)]
struct Joined {
    from: UnixNanos,
    to: UnixNanos,
    bar: Candle,
}

impl Candles {
    /// The bars, oldest first; the last one may still be forming.
    pub fn minutes(&self) -> &VecDeque<Candle> {
        &self.bars
    }

    /// Bars of `span_minutes` that begin on multiples of it since 1970, oldest first.
    pub fn bars(&self, span_minutes: u32) -> Vec<Candle> {
        let span = i64::from(span_minutes.max(1)) * UnixNanos::MINUTE;
        let mut out: Vec<Candle> = Vec::new();
        for bar in &self.bars {
            let start = UnixNanos(bar.start.0.div_euclid(span) * span);
            match out.last_mut() {
                Some(last) if last.start == start => *last = last.joined(*bar),
                _ => out.push(Candle { start, ..*bar }),
            }
        }
        out
    }

    /// What the bars that begin at `from` or later are together. It is asked with each ticker, and
    /// all but the last bar are as they were, so their sum is kept for a minute.
    pub fn since(&self, from: UnixNanos) -> Option<Candle> {
        let first = self.bars.get(self.place(from))?.start;
        let last = *self.bars.back()?;
        if first == last.start {
            return Some(last);
        }
        let kept = self.joined.get().filter(|kept| (kept.from, kept.to) == (first, last.start));
        let bar = kept.map(|kept| kept.bar).or_else(|| {
            let whole = self.bars.range(self.place(from)..self.bars.len() - 1);
            whole.copied().reduce(Candle::joined)
        })?;
        self.joined.set(Some(Joined { from: first, to: last.start, bar }));
        Some(bar.joined(last))
    }

    /// The first price at `from` or later.
    pub fn open_since(&self, from: UnixNanos) -> Option<Price> {
        self.bars.get(self.place(from)).map(|bar| bar.open)
    }

    /// Where the first bar is that begins at `from` or later.
    fn place(&self, from: UnixNanos) -> usize {
        self.bars.partition_point(|bar| bar.start < from)
    }

    /// Replaces all bars by `bars`, which begin on minutes and ascend; the latest are kept.
    ///
    /// # Panics
    /// When they do not.
    pub(crate) fn seed(&mut self, bars: &[Candle]) {
        let on_minutes = bars.iter().all(|bar| bar.start.0 % UnixNanos::MINUTE == 0);
        let ascending = bars.windows(2).all(|pair| pair[0].start < pair[1].start);
        assert!(on_minutes && ascending, "bars begin on minutes and ascend");
        let first = bars.len().saturating_sub(CANDLES_MAX);
        self.bars = bars[first..].iter().copied().collect();
        self.joined.set(None);
    }

    /// Books a print of `size_e8` at `price`, worth `value`.
    pub(crate) fn print(&mut self, price: Price, size_e8: i64, value: Quote, now: UnixNanos) {
        self.add(Candle {
            volume_e8: i128::from(size_e8),
            turnover_e8: i128::from(value.0),
            ..Candle::still(price, minute_of(now))
        });
    }

    /// Books a price without a trade.
    pub(crate) fn touch(&mut self, price: Price, now: UnixNanos) {
        self.add(Candle::still(price, minute_of(now)));
    }

    fn add(&mut self, bar: Candle) {
        self.fill_to(bar.start);
        match self.bars.back_mut() {
            Some(last) if last.start >= bar.start => *last = last.joined(bar),
            _ => self.push(bar),
        }
    }

    /// Minutes without a print repeat the last close.
    fn fill_to(&mut self, start: UnixNanos) {
        let Some(last) = self.bars.back().copied() else { return };
        let missing = (start.0 - last.start.0) / UnixNanos::MINUTE - 1;
        let skipped = (missing - CANDLES_MAX as i64).max(0);
        for i in skipped..missing {
            let at = UnixNanos(last.start.0 + (i + 1) * UnixNanos::MINUTE);
            self.push(Candle::still(last.close, at));
        }
    }

    fn push(&mut self, bar: Candle) {
        if self.bars.len() == CANDLES_MAX {
            self.bars.pop_front();
        }
        self.bars.push_back(bar);
    }
}

fn minute_of(now: UnixNanos) -> UnixNanos {
    UnixNanos(now.minute() * UnixNanos::MINUTE)
}

/// One-minute bars that are kept: seven days.
pub const CANDLES_MAX: usize = 7 * 24 * 60;

#[cfg(test)]
mod tests {
    use super::*;
    use keel_core::units::E8;

    #[test]
    fn the_bars_since_a_time_are_those_that_a_walk_over_all_joins() {
        let mut candles = Candles::default();
        for step in 0..3_000_i64 {
            let now = UnixNanos(UnixNanos::DAY + step * 17 * 1_000_000_000);
            let price = Price((100 + step * 37 % 11) * E8);
            candles.print(price, 1 + step, Quote(step * E8), now);
            for minutes in [0, 1, 2, 60] {
                let from = UnixNanos(now.0 - minutes * UnixNanos::MINUTE);
                let later = candles.minutes().iter().copied().filter(|bar| bar.start >= from);
                assert_eq!(candles.open_since(from), later.clone().next().map(|bar| bar.open));
                assert_eq!(candles.since(from), later.reduce(Candle::joined));
            }
        }
    }
}
