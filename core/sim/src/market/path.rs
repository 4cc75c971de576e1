//! Path: where the price of a contract is drawn to, made of the record.
//!
//! The clock of the path runs a whole number of days after the record, so that candles, funding
//! instants and UTC days of the record fall on those of the clock. Inside a candle the price goes
//! from open over both extremes to close, with noise that the seed decides; joined again, the
//! minutes give the recorded candle exactly. Past either end of the record the path turns round and
//! walks back.

use keel_core::units::{Price, Rate, UnixNanos};

use crate::candle::Candle;
use crate::market::chance::Chance;
use crate::market::recorded::{
    Basis, BasisRecord, FundingRecord, QUARTER_NS, QUARTERS, Quarter, Record,
};

/// The path of one contract.
#[derive(Clone, Debug)]
pub(crate) struct Path {
    record: Record,
    /// What the shares of mark and index are taken of.
    reference: Record,
    basis: BasisRecord,
    funding: FundingRecord,
    /// What the record's prices are multiplied by.
    factor: f64,
    /// Days from the record to the clock.
    shift: i64,
    seed: u64,
    /// A tick of the record in 1e-8 USDT.
    tick: i64,
    /// A lot of the record in 1e-8 of the base coin.
    lot: i64,
    day: Option<Day>,
    walk: Option<Walk>,
}

/// Bars of a stretch of the path, a minute each, ascending.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bars {
    /// Of the last price.
    pub(crate) last: Vec<Candle>,
    /// Of the mark.
    pub(crate) mark: Vec<Candle>,
    /// Of the index.
    pub(crate) index: Vec<Candle>,
}

/// Mark and index as shares of the last price, less one.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Premium {
    /// Of the mark.
    pub(crate) mark: f64,
    /// Of the index.
    pub(crate) index: f64,
}

impl Path {
    /// BTCUSDT. `shift` is the number of days from the record to the clock.
    pub(crate) fn btcusdt(seed: u64, shift: i64) -> Self {
        Self {
            record: Record::btcusdt(),
            reference: Record::btcusdt(),
            basis: BasisRecord::btcusdt(),
            funding: FundingRecord::btcusdt(),
            factor: 1.0,
            shift,
            seed,
            tick: 10_000_000,
            lot: 10_000,
            day: None,
            walk: None,
        }
    }

    /// ETHUSDT. Its mark and index are not recorded: they stand from its price as those of BTCUSDT
    /// do from theirs, as a share.
    pub(crate) fn ethusdt(seed: u64, shift: i64) -> Self {
        Self {
            record: Record::ethusdt(),
            funding: FundingRecord::ethusdt(),
            seed: seed.wrapping_add(1),
            tick: 1_000_000,
            lot: 1_000_000,
            ..Self::btcusdt(seed, shift)
        }
    }

    /// The price at an instant, in 1e-8 USDT.
    pub(crate) fn price(&mut self, now: UnixNanos) -> f64 {
        let tick = self.tick as f64;
        self.walk(now).price(now) * tick * self.factor
    }

    /// Multiplies all prices from here on, on top of what they were multiplied by before.
    pub(crate) fn scale(&mut self, factor: f64) {
        self.factor *= factor;
    }

    /// How far mark and index stand from the last price.
    pub(crate) fn premium(&mut self, now: UnixNanos) -> Premium {
        self.walk(now).premium(now)
    }

    /// The funding rate that is settled next.
    pub(crate) fn funding_rate(&self, now: UnixNanos) -> Rate {
        self.funding.rate(UnixNanos(self.recorded(now).0 + FUNDING_NS))
    }

    /// The range of the candles around an instant, from two before to two after, as a mean share of
    /// the price in bp.
    pub(crate) fn range_bps(&mut self, now: UnixNanos) -> f64 {
        let number = now.0.div_euclid(QUARTER_NS);
        (-2..=2).map(|k| self.quarter(number + k).range_bps()).sum::<f64>() / 5.0
    }

    /// The highest of the next `count` candles' ranges and their mean, in bp.
    pub(crate) fn ranges_ahead(&mut self, count: i64, now: UnixNanos) -> (f64, f64) {
        let number = now.0.div_euclid(QUARTER_NS);
        let ranges = (0..count).map(|k| self.quarter(number + k).range_bps());
        let (high, sum) = ranges.fold((0.0_f64, 0.0), |(high, sum), r| (high.max(r), sum + r));
        (high, sum / count as f64)
    }

    /// The whole minutes of `[from, to)`.
    pub(crate) fn bars(&mut self, from: UnixNanos, to: UnixNanos) -> Bars {
        let mut bars = Bars::default();
        for minute in from.minute()..to.minute() {
            let start = UnixNanos(minute * UnixNanos::MINUTE);
            let (tick, lot) = (self.tick, self.lot);
            let walk = self.walk(start);
            let bar = walk.minutes[minute.rem_euclid(MINUTES as i64) as usize];
            let mean = (bar.open + bar.high + bar.low + bar.close) as f64 / 4.0;
            let volume_e8 = i128::from(bar.volume) * i128::from(lot);
            let price = |ticks: i64| Price(ticks * tick);
            let last = Candle {
                start,
                open: price(bar.open),
                high: price(bar.high),
                low: price(bar.low),
                close: price(bar.close),
                volume_e8,
                turnover_e8: volume_e8 * i128::from((mean * tick as f64) as i64) / E8,
            };
            let end = UnixNanos(start.0 + UnixNanos::MINUTE - 1);
            let (first, after) = (walk.premium(start), walk.premium(end));
            bars.last.push(last);
            bars.mark.push(at_premium(last, first.mark, after.mark));
            bars.index.push(at_premium(last, first.index, after.index));
        }
        bars
    }

    fn walk(&mut self, now: UnixNanos) -> &Walk {
        let number = now.0.div_euclid(QUARTER_NS);
        if self.walk.as_ref().is_none_or(|walk| walk.number != number) {
            let quarter = self.quarter(number);
            let premiums = [self.premium_after(number - 1), self.premium_after(number)];
            // The noise belongs to the record's candle, so that it does not change with the clock.
            let mut chance = Chance::new(self.seed, (number - self.shift * QUARTERS as i64) as u64);
            let minutes = minutes(&quarter, &mut chance);
            self.walk = Some(Walk { number, minutes, premiums });
        }
        self.walk.as_ref().expect("just made")
    }

    /// The candle of the clock's quarter `number` since 1970.
    fn quarter(&mut self, number: i64) -> Quarter {
        let (place, back) = self.fold(number);
        let quarter = self.day(place / QUARTERS).quarters[place % QUARTERS];
        if back {
            return Quarter { open: quarter.close, close: quarter.open, ..quarter };
        }
        quarter
    }

    fn premium_after(&mut self, number: i64) -> Premium {
        let (place, back) = self.fold(number);
        // Walking back, a candle ends where the record's began.
        let place = if back { place.saturating_sub(1) } else { place };
        let day = self.day(place / QUARTERS);
        let (basis, reference) = (day.basis[place % QUARTERS], day.reference[place % QUARTERS]);
        let whole = reference.close as f64;
        Premium { mark: basis.mark as f64 / whole, index: basis.index as f64 / whole }
    }

    /// The record's place of the clock's quarter, and whether the path walks back there.
    fn fold(&self, number: i64) -> (usize, bool) {
        let count = (self.record.days() * QUARTERS) as i64;
        let from_first = number - (self.record.first_day() + self.shift) * QUARTERS as i64;
        let turn = from_first.rem_euclid(2 * count);
        if turn < count {
            return (turn as usize, false);
        }
        ((2 * count - 1 - turn) as usize, true)
    }

    fn day(&mut self, number: usize) -> &Day {
        if self.day.as_ref().is_none_or(|day| day.number != number) {
            self.day = Some(Day {
                number,
                quarters: self.record.day(number),
                reference: self.reference.day(number),
                basis: self.basis.day(number),
            });
        }
        self.day.as_ref().expect("just made")
    }

    const fn recorded(&self, now: UnixNanos) -> UnixNanos {
        UnixNanos(now.0 - self.shift * UnixNanos::DAY)
    }
}

/// The days from the record to the clock with which the market is as calm around `now` as it was
/// around the recorded prints, drawn by the seed.
///
/// Calm is: over the next four hours the candles of BTCUSDT (those of ETHUSDT in parentheses) range
/// over 15 to 26 bp (at most 50) in the mean and 60 bp (110) at most; and the five candles around
/// `now` range over 16 to 24 bp in the mean. The four candles of the recorded prints range over 16
/// to 24 bp; the median of all is 24 bp (41). When no drawn day is such, the calmest of them is
/// taken.
pub(crate) fn calm_shift(seed: u64, now: UnixNanos) -> i64 {
    let record = Record::btcusdt();
    let mut chance = Chance::new(seed, u64::MAX);
    let mut calmest = (f64::INFINITY, 0);
    for _ in 0..DRAWS {
        let day = chance.between(DAYS_BEFORE, record.days() as i64 - 1);
        let shift = now.day() - record.first_day() - day;
        let (high, mean) = Path::btcusdt(seed, shift).ranges_ahead(CALM_QUARTERS, now);
        let (eth_high, eth_mean) = Path::ethusdt(seed, shift).ranges_ahead(CALM_QUARTERS, now);
        let calm = high <= 60.0 && eth_high <= 110.0 && eth_mean <= 50.0;
        let around = Path::btcusdt(seed, shift).range_bps(now);
        if calm && (15.0..=26.0).contains(&mean) && (16.0..=24.0).contains(&around) {
            return shift;
        }
        if high < calmest.0 {
            calmest = (high, shift);
        }
    }
    calmest.1
}

/// A day of the record, decoded.
#[derive(Clone, Debug)]
struct Day {
    number: usize,
    quarters: [Quarter; QUARTERS],
    reference: [Quarter; QUARTERS],
    basis: [Basis; QUARTERS],
}

/// The way through one candle.
#[derive(Clone, Debug)]
struct Walk {
    number: i64,
    minutes: [Minute; MINUTES],
    /// Where mark and index stood at its beginning and at its end.
    premiums: [Premium; 2],
}

/// A minute of the way, in ticks and lots of the record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Minute {
    open: i64,
    high: i64,
    low: i64,
    close: i64,
    volume: i64,
}

impl Quarter {
    fn range_bps(&self) -> f64 {
        (self.high - self.low) as f64 / self.open as f64 * 1e4
    }
}

impl Walk {
    /// The price in ticks: over the extreme away from the close first, as in the candle itself.
    fn price(&self, now: UnixNanos) -> f64 {
        let within = now.0 - self.number * QUARTER_NS;
        let minute = self.minutes[(within / UnixNanos::MINUTE) as usize];
        let third = (within % UnixNanos::MINUTE) as f64 / (UnixNanos::MINUTE / 3) as f64;
        let (first, second) = if minute.close >= minute.open {
            (minute.low, minute.high)
        } else {
            (minute.high, minute.low)
        };
        let between = |from: i64, to: i64, share: f64| from as f64 + (to - from) as f64 * share;
        match third {
            third if third < 1.0 => between(minute.open, first, third),
            third if third < 2.0 => between(first, second, third - 1.0),
            _ => between(second, minute.close, (third - 2.0).min(1.0)),
        }
    }

    fn premium(&self, now: UnixNanos) -> Premium {
        let share = (now.0 - self.number * QUARTER_NS) as f64 / QUARTER_NS as f64;
        let [from, to] = self.premiums;
        Premium {
            mark: from.mark + (to.mark - from.mark) * share,
            index: from.index + (to.index - from.index) * share,
        }
    }
}

/// Fifteen minutes that join to the candle.
fn minutes(quarter: &Quarter, chance: &mut Chance) -> [Minute; MINUTES] {
    let low_first = quarter.close >= quarter.open;
    let (first, second) =
        if low_first { (quarter.low, quarter.high) } else { (quarter.high, quarter.low) };
    let turns = [chance.between(1, 6) as usize, chance.between(8, 13) as usize];
    let range = (quarter.high - quarter.low) as f64;
    let knots = [
        (0.0, quarter.open),
        (turns[0] as f64 + 0.5, first),
        (turns[1] as f64 + 0.5, second),
        (MINUTES as f64, quarter.close),
    ];
    let mut edges = [quarter.open; MINUTES + 1];
    for (k, edge) in edges.iter_mut().enumerate().skip(1) {
        let noise = (chance.unit() + chance.unit() - 1.0) * NOISE * range;
        *edge = ((line(&knots, k as f64) + noise) as i64).clamp(quarter.low, quarter.high);
    }
    edges[MINUTES] = quarter.close;
    let mut out: [Minute; MINUTES] = std::array::from_fn(|k| {
        let (open, close) = (edges[k], edges[k + 1]);
        let reach = |chance: &mut Chance| (chance.exponential() * WICK * range) as i64;
        let high = (open.max(close) + reach(chance)).min(quarter.high);
        let low = (open.min(close) - reach(chance)).max(quarter.low);
        Minute { open, high, low, close, volume: 0 }
    });
    for (turn, extreme) in turns.into_iter().zip([first, second]) {
        out[turn].high = out[turn].high.max(extreme);
        out[turn].low = out[turn].low.min(extreme);
    }
    share_out(quarter.volume, &mut out, chance);
    out
}

/// Where the line through `knots` stands at `x`.
fn line(knots: &[(f64, i64); 4], x: f64) -> f64 {
    let after = knots.partition_point(|&(at, _)| at <= x).clamp(1, knots.len() - 1);
    let ((x0, y0), (x1, y1)) = (knots[after - 1], knots[after]);
    y0 as f64 + (y1 - y0) as f64 * (x - x0) / (x1 - x0)
}

fn share_out(volume: i64, minutes: &mut [Minute; MINUTES], chance: &mut Chance) {
    let weights: [f64; MINUTES] = std::array::from_fn(|_| 0.5 + chance.exponential());
    let whole: f64 = weights.iter().sum();
    let mut left = volume;
    for (minute, weight) in minutes.iter_mut().zip(weights) {
        minute.volume = ((volume as f64 * weight / whole) as i64).min(left);
        left -= minute.volume;
    }
    minutes[MINUTES - 1].volume += left;
}

/// The bar of a price that stands `from` and at the end `to` above the last price, as a share.
fn at_premium(bar: Candle, from: f64, to: f64) -> Candle {
    let at = |price: Price, share: f64| Price((price.0 as f64 * (1.0 + share)) as i64);
    let (open, close) = (at(bar.open, from), at(bar.close, to));
    let mean = f64::midpoint(from, to);
    Candle {
        open,
        high: at(bar.high, mean).max(open).max(close),
        low: at(bar.low, mean).min(open).min(close),
        close,
        volume_e8: 0,
        turnover_e8: 0,
        ..bar
    }
}

/// Minutes in a candle of the record.
const MINUTES: usize = 15;
/// How far a minute's end strays from the straight way at most, as a share of the candle's range.
const NOISE: f64 = 0.08;
/// How far a minute reaches beyond its ends in the mean, as a share of the candle's range.
const WICK: f64 = 0.03;
/// Days drawn at most in search of a calm one.
const DRAWS: usize = 256;
/// Days of the record that stay before the first instant, for the history.
const DAYS_BEFORE: i64 = 8;
/// Candles that must be calm: four hours.
const CALM_QUARTERS: i64 = 16;
const FUNDING_NS: i64 = 8 * 60 * UnixNanos::MINUTE;
const E8: i128 = 100_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: UnixNanos = UnixNanos(1_800_000_000 * 1_000_000_000);

    #[test]
    fn minutes_join_to_the_recorded_candle_exactly() {
        let mut path = Path::ethusdt(5, 300);
        let first = NOON.0.div_euclid(QUARTER_NS);
        for number in first..first + 200 {
            let quarter = path.quarter(number);
            let start = UnixNanos(number * QUARTER_NS);
            let bars = path.bars(start, UnixNanos(start.0 + QUARTER_NS)).last;
            assert_eq!(bars.len(), 15);
            let whole = bars.into_iter().reduce(Candle::joined).expect("fifteen bars");
            let price = |ticks: i64| Price(ticks * 1_000_000);
            assert_eq!((whole.open, whole.close), (price(quarter.open), price(quarter.close)));
            assert_eq!((whole.high, whole.low), (price(quarter.high), price(quarter.low)));
            assert_eq!(whole.volume_e8, i128::from(quarter.volume) * 1_000_000);
        }
    }

    #[test]
    fn the_price_keeps_within_the_bars_and_never_leaps() {
        let mut path = Path::btcusdt(9, 250);
        let hour = UnixNanos(NOON.0 + 60 * UnixNanos::MINUTE);
        let bars = path.bars(NOON, hour).last;
        let mut last = path.price(NOON);
        for second in 0..3_600 {
            let now = UnixNanos(NOON.0 + second * 1_000_000_000);
            let (price, bar) = (path.price(now), bars[(second / 60) as usize]);
            assert!(price >= bar.low.0 as f64 && price <= bar.high.0 as f64, "second {second}");
            let leap = (price - last).abs() / (bar.high.0 - bar.low.0).max(1) as f64;
            assert!(leap <= 0.11 || second % 60 == 0, "second {second}: {leap} of the bar");
            last = price;
        }
    }

    #[test]
    fn the_path_walks_back_from_the_end_of_the_record() {
        let mut path = Path::btcusdt(1, 0);
        let end = (path.record.first_day() + path.record.days() as i64) * QUARTERS as i64;
        for k in 0..300 {
            let (ahead, behind) = (path.quarter(end + k), path.quarter(end - 1 - k));
            assert_eq!((ahead.open, ahead.close), (behind.close, behind.open));
            assert_eq!(path.quarter(end + k).open, path.quarter(end + k - 1).close);
        }
    }

    #[test]
    fn mark_and_index_stand_where_they_were_recorded() {
        // 2025-01-01T00:15: last 93637.4, mark 93626.1, index 93647.1 (rounded).
        let now = UnixNanos(1_735_690_500_000_000_000);
        let mut path = Path::btcusdt(1, 0);
        let premium = path.premium(now);
        assert!((path.price(now) - 9_363_740_000_000.0).abs() < 1.0);
        assert!((93_637.4 * (1.0 + premium.mark) - 93_626.1).abs() < 0.01);
        assert!((93_637.4 * (1.0 + premium.index) - 93_647.1).abs() < 0.01);
        // The derived ones of the other contract are the same shares.
        assert_eq!(Path::ethusdt(1, 0).premium(now), premium);
    }

    #[test]
    fn funding_is_the_rate_of_the_next_instant() {
        let path = Path::btcusdt(1, 0);
        let second_before = UnixNanos::from_millis(1_771_228_799_000);
        assert_eq!(path.funding_rate(second_before), Rate(6_700));
        assert_eq!(path.funding_rate(UnixNanos::from_millis(1_771_228_800_000)), Rate(-3_400));
        let later = Path::btcusdt(1, 10);
        let shifted = UnixNanos(second_before.0 + 10 * UnixNanos::DAY);
        assert_eq!(later.funding_rate(shifted), Rate(6_700));
    }

    #[test]
    fn every_seed_finds_calm_hours() {
        for seed in 0..40 {
            let now = UnixNanos(NOON.0 + seed * 7 * 3_600 * 1_000_000_000);
            let shift = calm_shift(seed as u64, now);
            let (high, mean) = Path::btcusdt(0, shift).ranges_ahead(CALM_QUARTERS, now);
            assert!(high <= 60.0, "seed {seed}: {high}");
            assert!((15.0..=26.0).contains(&mean), "seed {seed}: {mean}");
        }
    }
}
