//! Candle: one-minute bars made of prints, and the longer ones made of those.

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

    /// What the bars that begin at `from` or later are together.
    pub fn since(&self, from: UnixNanos) -> Option<Candle> {
        let first = self.bars.partition_point(|bar| bar.start < from);
        self.bars.range(first..).copied().reduce(Candle::joined)
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
