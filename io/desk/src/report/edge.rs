//! The edge of own fills: what each was worth after a while, in parts that sum to it, and how sure
//! the whole is.
//!
//! A run's journal goes in, event by event. Mids are those of the venue's own books frames by the
//! matching engine's time: the one before the fill, and those that stood 100 ms to 300 s after it.
//! Nothing is interpolated: where no frame shows which mid stood, the fill is not covered.

mod gather;
mod text;
mod verdict;

pub use gather::{Gathering, Odd, Shelf};
pub use text::{html, json, lines};
pub use verdict::{Verdict, Word};

use std::collections::BTreeMap;

use keel_core::decimal::{Grid, POW10};
use keel_core::event::Mode;
use keel_core::instrument::Symbol;
use keel_core::markout::{GATE_HORIZON, HORIZONS};
use keel_core::regime::Regime;
use keel_core::units::{Lots, MILLIS, Price, Quote, Side, UnixNanos};

use super::interval::{self, Interval};

/// The horizon that the verdict goes by: that of the engine's edge gate, 30 s.
pub const JUDGED: usize = GATE_HORIZON;

/// What a run's journal says of its fills.
#[derive(Clone, Debug)]
pub struct Report {
    /// How the run traded.
    pub mode: Mode,
    /// Its boot epoch.
    pub epoch: u32,
    /// BLAKE3 of its configuration.
    pub config_hash: [u8; 32],
    /// Names of the instruments looked at.
    pub instruments: Vec<Symbol>,
    /// By time.
    pub fills: Vec<Fill>,
    /// Funding that positions of earlier runs bore; positive was paid.
    pub funding_unshared: Quote,
    /// All fills, for each of [`HORIZONS`].
    pub rows: Vec<Row>,
    /// The same by side and regime, where there are any.
    pub groups: Vec<Group>,
    /// What it comes to.
    pub verdict: Verdict,
}

/// One own execution and what became of it. Money is positive where it was gained, but for fee and
/// funding, which are positive where they were paid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fill {
    /// Of which instrument.
    pub symbol: Symbol,
    /// When, by the matching engine.
    pub ts: UnixNanos,
    /// The venue's id.
    pub trade_id: u64,
    /// Our side.
    pub side: Side,
    /// The regime when it was booked.
    pub regime: Regime,
    /// We rested.
    pub maker: bool,
    /// Where.
    pub price: Price,
    /// How much, in steps of `lot`.
    pub lots: Lots,
    /// The grid of sizes then.
    pub lot: Grid,
    /// Price times size.
    pub notional: Quote,
    /// Paid.
    pub fee: Quote,
    /// Profit that it realized, before fees.
    pub realized: Quote,
    /// Its share of the settlements while its lots were held.
    pub funding: Quote,
    /// Twice what it gained against the mid before it; `None` where that is not known.
    pub capture_x2: Option<i128>,
    /// Twice what it was worth against the mid after each of [`HORIZONS`].
    pub worth_x2: [Option<i128>; HORIZONS.len()],
}

/// Sums over fills whose mids at a horizon are known. The parts sum to the whole, to the last unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// How many.
    pub fills: u64,
    /// Price times size.
    pub notional: i128,
    /// Twice what the quotes gained against the mid.
    pub capture_x2: i128,
    /// Twice what the mid's way until the horizon brought; negative is adverse.
    pub move_x2: i128,
    /// Paid.
    pub fee: i128,
    /// Paid.
    pub funding: i128,
}

/// Fills at one horizon.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// How long after the fill, in nanoseconds.
    pub horizon: u64,
    /// Over the fills that are covered.
    pub sums: Sums,
    /// Fills that are not.
    pub not_covered: u64,
    /// Stretches of time with fills that the interval rests on.
    pub blocks: u64,
    /// How long each is, in nanoseconds.
    pub block: u64,
    /// Net edge in bps of notional, and its interval; `None` where there is too little for one.
    pub edge: Option<(f64, Interval)>,
}

/// Fills of one side in one regime.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// Our side.
    pub side: Side,
    /// The regime.
    pub regime: Regime,
    /// For each of [`HORIZONS`].
    pub rows: Vec<Row>,
}

impl Fill {
    /// Twice what it is worth in 1e-8 USDT when bid and ask sum to `mid_x2`: exact, since prices on
    /// a contract's grid times lots are whole units.
    fn worth_x2_at(&self, mid_x2: i64) -> Option<i128> {
        let gain = i128::from(mid_x2) - 2 * i128::from(self.price.0);
        let steps = i128::from(self.lots.0) * i128::from(self.lot.step);
        let worth = gain.checked_mul(steps)? / i128::from(POW10[usize::from(self.lot.scale)]);
        Some(i128::from(self.side.sign()) * worth)
    }

    /// The parts of its edge at a horizon; `None` where it is not covered.
    pub fn parts(&self, horizon: usize) -> Option<Sums> {
        let (capture_x2, worth_x2) = (self.capture_x2?, self.worth_x2[horizon]?);
        Some(Sums {
            fills: 1,
            notional: i128::from(self.notional.0),
            capture_x2,
            move_x2: worth_x2 - capture_x2,
            fee: i128::from(self.fee.0),
            funding: i128::from(self.funding.0),
        })
    }
}

impl Sums {
    /// Twice the net edge: capture and the mid's way, less fee and funding.
    pub const fn net_x2(&self) -> i128 {
        self.capture_x2 + self.move_x2 - 2 * (self.fee + self.funding)
    }

    /// Twice an amount of 1e-8 USDT in bps of the notional; `None` without any.
    pub fn bps(&self, amount_x2: i128) -> Option<f64> {
        (self.notional > 0).then(|| amount_x2 as f64 / 2.0 / self.notional as f64 * 1e4)
    }

    fn add(&mut self, other: &Self) {
        self.fills += other.fills;
        self.notional += other.notional;
        self.capture_x2 += other.capture_x2;
        self.move_x2 += other.move_x2;
        self.fee += other.fee;
        self.funding += other.funding;
    }
}

impl Row {
    /// The row of `fills` at a place of [`HORIZONS`].
    pub fn of<'f>(fills: impl Iterator<Item = &'f Fill>, horizon: usize) -> Self {
        let wait = HORIZONS[horizon];
        // Fills nearer to one another than the horizon share what the mid did.
        let block = wait.max(BLOCK_NS_MIN);
        let (mut sums, mut not_covered) = (Sums::default(), 0);
        let mut blocks: BTreeMap<i64, Sums> = BTreeMap::new();
        for fill in fills {
            let Some(parts) = fill.parts(horizon) else {
                not_covered += 1;
                continue;
            };
            sums.add(&parts);
            let place = fill.ts.0.div_euclid(block.cast_signed());
            blocks.entry(place).or_default().add(&parts);
        }
        let weighed: Vec<(f64, f64)> = blocks
            .values()
            .map(|sums| (sums.net_x2() as f64 / 2.0 * 1e4, sums.notional as f64))
            .collect();
        let blocks = weighed.len() as u64;
        let edge = interval::ratio(&weighed);
        Self { horizon: wait, sums, not_covered, blocks, block, edge }
    }

    /// The share of its fills that are covered; 0 where there are none.
    pub fn covered(&self) -> f64 {
        let all = self.sums.fills + self.not_covered;
        if all == 0 { 0.0 } else { self.sums.fills as f64 / all as f64 }
    }

    /// The horizon as people write it.
    pub fn horizon_text(&self) -> String {
        let millis = self.horizon / MILLIS;
        if millis.is_multiple_of(1_000) {
            format!("{} s", millis / 1_000)
        } else {
            format!("{millis} ms")
        }
    }
}

impl Report {
    /// The figures of `fills`, which come by time.
    fn new(gathered: gather::Gathered) -> Self {
        let gather::Gathered { boot, instruments, fills, funding_unshared } = gathered;
        let rows = rows(&fills, |_| true);
        let mut groups = Vec::new();
        for side in Side::BOTH {
            for &regime in Regime::ALL {
                let is_of = |fill: &Fill| fill.side == side && fill.regime == regime;
                if fills.iter().any(is_of) {
                    groups.push(Group { side, regime, rows: self::rows(&fills, is_of) });
                }
            }
        }
        let verdict = Verdict::of(&rows[JUDGED]);
        let (mode, epoch, config_hash) = (boot.mode, boot.epoch, boot.config_hash);
        Self {
            mode,
            epoch,
            config_hash,
            instruments,
            fills,
            funding_unshared,
            rows,
            groups,
            verdict,
        }
    }
}

fn rows(fills: &[Fill], is_of: impl Fn(&Fill) -> bool) -> Vec<Row> {
    let row = |horizon| Row::of(fills.iter().filter(|fill| is_of(fill)), horizon);
    (0..HORIZONS.len()).map(row).collect()
}

/// The shortest block: a minute.
const BLOCK_NS_MIN: u64 = 60_000 * MILLIS;

#[cfg(test)]
mod tests;
