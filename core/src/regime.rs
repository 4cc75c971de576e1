//! Regimes of the market, from bars and drift.
//!
//! Prices here are twice the mid in ticks ("half ticks"), so that a mid between two ticks is exact.

use crate::digest::Digest;
use crate::event::Candle;
use crate::instrument::Instrument;
use crate::param::Params;
use crate::slot_enum;
use crate::units::{E8, MILLIS, MonoNanos, Rate, SECONDS, Signal, UnixNanos, times_e8};

slot_enum! {
    /// What kind of market this is; selects a row of the strategy's table.
    pub enum Regime {
        /// Quiet.
        NeutralLowVol = 0 "neutral_low_vol",
        /// Above the average.
        Up = 1 "up",
        /// Below the average.
        Down = 2 "down",
        /// Restless.
        NeutralHighVol = 3 "neutral_high_vol",
        /// Violent.
        HighVolShock = 4 "high_vol_shock",
    }
}

/// How many regimes there are: the count of values of a parameter given by regime.
pub const REGIMES: usize = Regime::ALL.len();

/// What one instrument's mids say of the market: bars, averages, drift and the regime in force.
#[derive(Clone, Debug)]
pub struct Signals {
    bars: Bars,
    drift: Drift,
    regime: Regime,
    candidate: Regime,
    /// When the candidate takes over; [`MonoNanos::NEVER`] while it is the regime in force.
    due: MonoNanos,
}

impl Signals {
    /// Nothing seen yet: [`Regime::NeutralLowVol`].
    pub const fn new() -> Self {
        Self {
            bars: Bars::EMPTY,
            drift: Drift::EMPTY,
            regime: Regime::NeutralLowVol,
            candidate: Regime::NeutralLowVol,
            due: MonoNanos::NEVER,
        }
    }

    /// Takes in a finished bar of the venue. Returns true when it was used: it must be newer than
    /// every finished bar before and older than the own bar still forming.
    pub fn on_candle(&mut self, params: &Params, candle: &Candle, rules: &Instrument) -> bool {
        let minute = candle.start.minute();
        let known = self.bars.last_minute.is_some_and(|last| minute <= last)
            || self.bars.forming.is_some_and(|bar| minute >= bar.minute);
        if known || candle.low.0 <= 0 || candle.high < candle.low {
            return false;
        }
        if candle.close < candle.low || candle.close > candle.high {
            return false;
        }
        let half_ticks = |price| rules.ticks_of(price) * 2;
        let (high, low) = (half_ticks(candle.high), half_ticks(candle.low));
        self.bars.finish(params, minute, high, low, half_ticks(candle.close));
        true
    }

    /// Takes in the mid of a whole frame, in half ticks. `utc` is the estimate of UTC at `now`,
    /// `None` while unknown: without it no bar is formed. Returns the regime that takes over, if
    /// one does.
    ///
    /// # Panics
    /// When `mid_x2` is not positive.
    pub fn on_mid(
        &mut self,
        params: &Params,
        mid_x2: i64,
        utc: Option<UnixNanos>,
        now: MonoNanos,
    ) -> Option<Regime> {
        assert!(mid_x2 > 0, "a live book has a mid");
        if let Some(utc) = utc {
            self.bars.on_mid(params, mid_x2, utc.minute());
        }
        self.drift.on_mid(params, mid_x2, now);
        self.turn(params, now)
    }

    /// Lets time pass without a new mid: after [`Signals::deadline`] a regime may take over.
    pub fn advance(&mut self, params: &Params, now: MonoNanos) -> Option<Regime> {
        self.drift.roll(params, now);
        self.turn(params, now)
    }

    /// Forgets mids of the last half minute; bars and averages stay. For a book that was lost.
    pub const fn lose_mid(&mut self) {
        self.drift.mid_x2 = 0;
    }

    /// Forgets everything, for a contract whose tick changed.
    pub const fn reset(&mut self) {
        *self = Self::new();
    }

    /// The regime in force.
    pub const fn regime(&self) -> Regime {
        self.regime
    }

    /// Average true range over close; zero before `atr_period` bars.
    pub const fn band(&self) -> Rate {
        self.bars.band
    }

    /// |mid − mid 30 s ago| over the latter; over the oldest mid while there are no 30 s of them,
    /// zero without any.
    pub fn drift_30s(&self) -> Rate {
        self.drift.now()
    }

    /// Moving average of `drift_30s`, once a second.
    pub const fn drift(&self) -> Rate {
        self.drift.average
    }

    /// Average of closes in half ticks; `None` before `ema_period` bars.
    pub fn ema_x2(&self, params: &Params) -> Option<Signal> {
        (u64::from(self.bars.count) >= params.ema_period()).then_some(self.bars.ema)
    }

    /// When a regime takes over if nothing contradicts it before; [`MonoNanos::NEVER`] for none.
    pub const fn deadline(&self) -> MonoNanos {
        self.due
    }

    /// Folds all state that decisions depend on into `digest`.
    pub fn fold(&self, digest: &mut Digest) {
        self.bars.fold(digest);
        self.drift.fold(digest);
        digest.fold(self.regime as u64 | (self.candidate as u64) << 8);
        digest.fold(self.due.0);
    }

    /// Lets the regime that the signals call for take over once it has held long enough.
    fn turn(&mut self, params: &Params, now: MonoNanos) -> Option<Regime> {
        let called_for = self.classify(params);
        if called_for == self.regime {
            self.candidate = called_for;
            self.due = MonoNanos::NEVER;
            return None;
        }
        if called_for != self.candidate {
            self.candidate = called_for;
            self.due = now.after(params.regime_hold_s());
        }
        if now < self.due {
            return None;
        }
        self.regime = called_for;
        self.due = MonoNanos::NEVER;
        Some(called_for)
    }

    /// The regime that the signals call for right now.
    fn classify(&self, params: &Params) -> Regime {
        let band = self.bars.band;
        let high = params.high_vol_band_pct();
        if band >= high || self.drift.reaches(shock(params, band)) {
            return Regime::HighVolShock;
        }
        let Some(ema) = self.ema_x2(params).filter(|_| self.drift.mid_x2 > 0) else {
            return Regime::NeutralLowVol;
        };
        // 16 fraction bits of the average are plenty, and both products fit 128 bits.
        let ema = ema.to_bits() >> 48;
        let mid = (i128::from(self.drift.mid_x2) << 16) * i128::from(E8);
        let eps = params.trend_eps_pct();
        if mid > ema * i128::from(E8 + eps.0) {
            Regime::Up
        } else if mid < ema * i128::from(E8 - eps.0) {
            Regime::Down
        } else if band.0 >= high.0 / 2 {
            Regime::NeutralHighVol
        } else {
            Regime::NeutralLowVol
        }
    }
}

impl Default for Signals {
    fn default() -> Self {
        Self::new()
    }
}

/// The 30 s drift from which on the market is a shock.
fn shock(params: &Params, band: Rate) -> Rate {
    let most = params.shock_drift_30s_pct();
    if band.is_zero() {
        return most;
    }
    Rate(times_e8(band.0, params.shock_drift_atr_multiplier().0)).min(most)
}

/// One-minute bars and the averages over them.
#[derive(Clone, Debug)]
struct Bars {
    forming: Option<Bar>,
    /// The newest finished one.
    last_minute: Option<i64>,
    close: Signal,
    /// Finished bars.
    count: u32,
    ema: Signal,
    /// The sum of true ranges until there are enough for an average; then the average.
    range: Signal,
    averaged: bool,
    band: Rate,
}

/// The bar of the minute that has not ended.
#[derive(Clone, Copy, Debug)]
struct Bar {
    minute: i64,
    high: i64,
    low: i64,
    close: i64,
}

impl Bars {
    const EMPTY: Self = Self {
        forming: None,
        last_minute: None,
        close: Signal::ZERO,
        count: 0,
        ema: Signal::ZERO,
        range: Signal::ZERO,
        averaged: false,
        band: Rate::ZERO,
    };

    /// A minute without a mid makes no bar; a clock set back stays in its bar.
    fn on_mid(&mut self, params: &Params, mid: i64, minute: i64) {
        match &mut self.forming {
            Some(bar) if minute <= bar.minute => {
                bar.high = bar.high.max(mid);
                bar.low = bar.low.min(mid);
                bar.close = mid;
            }
            forming => {
                let ended = forming.replace(Bar { minute, high: mid, low: mid, close: mid });
                if let Some(bar) = ended {
                    let [high, low, close] = [bar.high, bar.low, bar.close].map(Signal::from_num);
                    self.finish(params, bar.minute, high, low, close);
                }
            }
        }
    }

    fn finish(&mut self, params: &Params, minute: i64, high: Signal, low: Signal, close: Signal) {
        let mut range = high - low;
        if self.count > 0 {
            range = range.max((high - self.close).abs()).max((low - self.close).abs());
        }
        self.count = self.count.saturating_add(1);
        self.ema = if self.count == 1 {
            close
        } else {
            let periods = Signal::from_num(params.ema_period() + 1);
            self.ema + (close - self.ema) * 2 / periods
        };
        let periods = Signal::from_num(params.atr_period());
        if self.averaged {
            self.range += (range - self.range) / periods;
        } else {
            self.range += range;
            if u64::from(self.count) >= params.atr_period() {
                self.range /= Signal::from_num(self.count);
                self.averaged = true;
            }
        }
        self.close = close;
        self.last_minute = Some(minute);
        if self.averaged {
            let band = self.range * Signal::from_num(E8) / close;
            self.band = Rate(band.to_num());
        }
    }

    fn fold(&self, digest: &mut Digest) {
        for signal in [self.close, self.ema, self.range] {
            let bits = signal.to_bits();
            digest.fold_signed((bits >> 64) as i64);
            digest.fold_signed(bits as i64);
        }
        digest.fold(u64::from(self.count) << 1 | u64::from(self.averaged));
        digest.fold_signed(self.last_minute.unwrap_or(i64::MIN));
        if let Some(bar) = self.forming {
            for value in [bar.minute, bar.high, bar.low, bar.close] {
                digest.fold_signed(value);
            }
        }
    }
}

/// Mids of the last half minute, sampled on a fixed beat of the monotonic clock.
#[derive(Clone, Debug)]
struct Drift {
    /// The newest mid; 0 while unknown.
    mid_x2: i64,
    /// The mid that stood when each beat began, by beat mod [`BEATS`].
    ring: [i64; BEATS],
    /// The oldest beat that the ring may be read at.
    first: u64,
    /// The newest one.
    last: u64,
    average: Rate,
}

impl Drift {
    const EMPTY: Self =
        Self { mid_x2: 0, ring: [0; BEATS], first: 0, last: 0, average: Rate::ZERO };

    fn on_mid(&mut self, params: &Params, mid_x2: i64, now: MonoNanos) {
        if self.mid_x2 == 0 {
            self.first = beat(now);
            self.last = self.first;
            self.ring[place(self.first)] = mid_x2;
        } else {
            self.roll(params, now);
        }
        self.mid_x2 = mid_x2;
    }

    /// Carries the mid forward to the beat of `now`, and the average with each whole second.
    fn roll(&mut self, params: &Params, now: MonoNanos) {
        let beat = beat(now);
        if self.mid_x2 == 0 || beat <= self.last {
            return;
        }
        if beat - self.last > BEATS as u64 {
            // Longer than the ring: whatever stood before the mid has left it.
            self.ring = [self.mid_x2; BEATS];
            self.last = beat - BEATS as u64;
        }
        while self.last < beat {
            self.last += 1;
            self.ring[place(self.last)] = self.mid_x2;
            if self.last.is_multiple_of(BEATS_A_SECOND) {
                let step = (self.now() - self.average).0 * params.drift_ewma_alpha().0 / E8;
                self.average += Rate(step);
            }
        }
    }

    /// The mid 30 s before the newest beat; the oldest while there is no such.
    fn before(&self) -> i64 {
        self.ring[place(self.last.saturating_sub(LOOK_BACK).max(self.first))]
    }

    fn now(&self) -> Rate {
        if self.mid_x2 == 0 {
            return Rate::ZERO;
        }
        let before = self.before();
        Rate(((self.mid_x2 - before).abs() * E8 / before).min(E8))
    }

    /// True when the drift is at least `least`.
    fn reaches(&self, least: Rate) -> bool {
        if self.mid_x2 == 0 {
            return false;
        }
        let before = self.before();
        i128::from((self.mid_x2 - before).abs()) * i128::from(E8)
            >= i128::from(least.0) * i128::from(before)
    }

    fn fold(&self, digest: &mut Digest) {
        digest.fold_signed(self.mid_x2);
        digest.fold(self.first);
        digest.fold(self.last);
        digest.fold_signed(self.average.0);
        if self.mid_x2 != 0 {
            digest.fold_signed(self.before());
        }
    }
}

/// The beat that `now` lies in.
const fn beat(now: MonoNanos) -> u64 {
    now.0 / BEAT
}

const fn place(beat: u64) -> usize {
    (beat % BEATS as u64) as usize
}

/// Nanoseconds between two samples of the mid.
const BEAT: u64 = 250 * MILLIS;
const BEATS: usize = 128;
const BEATS_A_SECOND: u64 = SECONDS / BEAT;
const LOOK_BACK: u64 = 30 * BEATS_A_SECOND;

const _: () = assert!(LOOK_BACK < BEATS as u64);
const _: () = assert!(size_of::<Signals>() <= 2_048);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instrument::btcusdt;
    use crate::param::{Profile, at};
    use crate::units::Price;

    const T0: UnixNanos =
        UnixNanos(1_789_456_500_000_000_000 / UnixNanos::MINUTE * UnixNanos::MINUTE);
    const MID: i64 = 1_544_001;

    fn params() -> Params {
        Params::defaults(Profile::Wide)
    }

    fn candle(n: i64, high: i64, low: i64, close: i64) -> Candle {
        Candle {
            instrument: crate::instrument::InstrumentId(0),
            start: UnixNanos(T0.0 + n * UnixNanos::MINUTE),
            open: Price(close * E8),
            high: Price(high * E8),
            low: Price(low * E8),
            close: Price(close * E8),
        }
    }

    /// Parameters under which only a drift of 1 % is a shock.
    fn tolerant() -> Params {
        let mut params = params();
        assert!(params.set(at::shock_drift_atr_multiplier, 10 * E8));
        params
    }

    /// Signals that 60 bars of 0.1 % around 77,200 have made calm.
    fn calm(params: &Params) -> Signals {
        let mut signals = Signals::new();
        for n in 0..60 {
            assert!(signals.on_candle(params, &candle(n, 77_240, 77_160, 77_200), &btcusdt()));
        }
        signals
    }

    fn secs(n: u64) -> MonoNanos {
        MonoNanos(n * SECONDS)
    }

    fn near(a: Signal, b: i64) -> bool {
        (a - Signal::from_num(b)).abs() < Signal::from_num(1) / 1_000_000
    }

    #[test]
    fn candles_of_the_venue_stand_in_for_own_bars() {
        let params = params();
        let signals = calm(&params);
        assert!(near(signals.ema_x2(&params).expect("60 bars"), 1_544_000));
        let band = signals.band().0;
        assert!((103_620..=103_628).contains(&band), "80 over 77,200 is 103,626e-8, not {band}");
    }

    #[test]
    fn a_candle_that_is_known_or_not_finished_is_not_used() {
        let params = params();
        let mut signals = calm(&params);
        assert!(!signals.on_candle(&params, &candle(59, 77_240, 77_160, 77_200), &btcusdt()));
        let utc = Some(UnixNanos(T0.0 + 61 * UnixNanos::MINUTE));
        signals.on_mid(&params, MID, utc, secs(1));
        assert!(signals.on_candle(&params, &candle(60, 77_240, 77_160, 77_200), &btcusdt()));
        assert!(!signals.on_candle(&params, &candle(61, 77_240, 77_160, 77_200), &btcusdt()));
        assert!(!signals.on_candle(&params, &candle(70, 77_240, 77_160, 77_200), &btcusdt()));
        let mut fresh = Signals::new();
        assert!(!fresh.on_candle(&params, &candle(1, 100, 101, 100), &btcusdt()));
        assert!(!fresh.on_candle(&params, &candle(1, 102, 101, 200), &btcusdt()));
        assert!(!fresh.on_candle(&params, &candle(1, 102, 0, 100), &btcusdt()));
    }

    #[test]
    fn the_averages_are_those_of_the_book() {
        let mut params = params();
        assert!(params.set(at::ema_period, 3) && params.set(at::atr_period, 3));
        let mut signals = Signals::new();
        for (n, (high, low, close)) in
            [(102, 98, 100), (105, 101, 104), (104, 96, 96)].into_iter().enumerate()
        {
            assert_eq!(signals.ema_x2(&params), None);
            assert_eq!(signals.band(), Rate::ZERO);
            assert!(signals.on_candle(&params, &candle(n as i64, high, low, close), &btcusdt()));
        }
        // Half ticks of 0.1 are 20 to the dollar. Closes 100, 104, 96 with α = 1/2: 100, 102, 99.
        assert!(near(signals.ema_x2(&params).expect("3 bars"), 99 * 20));
        // True ranges 4, max(4, 105 − 100) = 5, max(8, 104 − 96) = 8: mean 17/3 over 96.
        assert_eq!(signals.band(), Rate(17 * E8 / (3 * 96)));
        assert!(signals.on_candle(&params, &candle(3, 98, 96, 97), &btcusdt()));
        // Wilder: (2 · 17/3 + 2) / 3 = 40/9 over 97.
        assert_eq!(signals.band(), Rate(40 * E8 / (9 * 97)));
    }

    #[test]
    fn the_bar_still_forming_never_counts() {
        let mut params = params();
        assert!(params.set(at::ema_period, 2) && params.set(at::atr_period, 2));
        let mut signals = Signals::new();
        let mut now = 0;
        let mut mid = |signals: &mut Signals, second: i64, mid_x2: i64| {
            now += 1;
            let utc = Some(UnixNanos(T0.0 + second * SECONDS as i64));
            signals.on_mid(&params, mid_x2, utc, secs(now));
        };
        mid(&mut signals, 0, 2000);
        mid(&mut signals, 30, 2020);
        mid(&mut signals, 59, 2010);
        assert_eq!(signals.bars.count, 0);
        mid(&mut signals, 60, 5000);
        assert_eq!((signals.bars.count, near(signals.bars.close, 2010)), (1, true));
        assert!(near(signals.bars.range, 20));
        // A clock set back stays in its bar; a minute without a mid makes none.
        mid(&mut signals, 20, 2015);
        assert_eq!(signals.bars.count, 1);
        mid(&mut signals, 300, 2012);
        assert_eq!(signals.bars.count, 2);
        assert!(near(signals.bars.close, 2015));
    }

    #[test]
    fn drift_compares_with_the_mid_of_30_seconds_ago() {
        let params = params();
        let mut signals = Signals::new();
        signals.on_mid(&params, 1_000_000, None, secs(10));
        signals.on_mid(&params, 1_001_000, None, secs(20));
        assert_eq!(signals.drift_30s(), Rate(100_000));
        signals.advance(&params, secs(40));
        assert_eq!(signals.drift_30s(), Rate(100_000), "the first mid stood 30 s ago");
        signals.advance(&params, secs(51));
        assert_eq!(signals.drift_30s(), Rate::ZERO);
        signals.on_mid(&params, 990_990, None, secs(52));
        assert_eq!(signals.drift_30s(), Rate(1_000_000), "down counts as up");
        signals.lose_mid();
        assert_eq!(signals.drift_30s(), Rate::ZERO);
        signals.on_mid(&params, 500_000, None, secs(53));
        assert_eq!(signals.drift_30s(), Rate::ZERO, "a lost book leaves no history");
    }

    #[test]
    fn the_moving_average_of_drift_takes_a_quarter_each_second() {
        let params = params();
        let mut signals = Signals::new();
        signals.on_mid(&params, 1_000_000, None, secs(10));
        signals.on_mid(&params, 1_000_400, None, MonoNanos(10 * SECONDS + 1));
        assert_eq!(signals.drift(), Rate::ZERO);
        signals.advance(&params, secs(11));
        assert_eq!(signals.drift(), Rate(10_000));
        signals.advance(&params, secs(12));
        assert_eq!(signals.drift(), Rate(17_500));
        signals.advance(&params, secs(1_000));
        assert!(signals.drift() < Rate(10), "nothing moved for long");
    }

    #[test]
    fn before_there_is_an_average_the_market_is_quiet() {
        let params = params();
        let mut signals = Signals::new();
        for n in 0..40 {
            let mid = MID + 100 * n;
            assert_eq!(signals.on_mid(&params, mid, None, secs(n as u64)), None);
        }
        assert_eq!(signals.regime(), Regime::NeutralLowVol);
    }

    #[test]
    fn a_regime_takes_over_after_it_has_held() {
        let params = tolerant();
        let mut signals = calm(&params);
        let up = 1_544_000 * 10_011 / 10_000;
        assert_eq!(signals.on_mid(&params, up, None, secs(100)), None);
        assert_eq!(signals.deadline(), secs(103));
        assert_eq!(signals.on_mid(&params, MID, None, secs(102)), None);
        assert_eq!(signals.deadline(), MonoNanos::NEVER);
        assert_eq!(signals.on_mid(&params, up, None, secs(103)), None);
        assert_eq!(signals.advance(&params, secs(105)), None);
        assert_eq!(signals.advance(&params, secs(106)), Some(Regime::Up));
        assert_eq!(signals.advance(&params, secs(107)), None);
        assert_eq!(signals.regime(), Regime::Up);
        let down = 1_544_000 * 9_989 / 10_000;
        signals.on_mid(&params, down, None, secs(108));
        assert_eq!(signals.on_mid(&params, down, None, secs(111)), Some(Regime::Down));
    }

    #[test]
    fn a_candidate_that_changes_waits_anew() {
        let params = tolerant();
        let mut signals = calm(&params);
        signals.on_mid(&params, 1_544_000 * 10_011 / 10_000, None, secs(100));
        signals.on_mid(&params, 1_544_000 * 9_989 / 10_000, None, secs(102));
        assert_eq!(signals.advance(&params, secs(104)), None);
        assert_eq!(signals.advance(&params, secs(105)), Some(Regime::Down));
    }

    #[test]
    fn a_wide_band_or_a_fast_drift_is_a_shock() {
        let params = params();
        let mut signals = Signals::new();
        for n in 0..60 {
            assert!(signals.on_candle(&params, &candle(n, 77_600, 76_800, 77_200), &btcusdt()));
        }
        // A band of 1.04 %.
        signals.on_mid(&params, MID, None, secs(1));
        assert_eq!(signals.advance(&params, secs(4)), Some(Regime::HighVolShock));

        let mut signals = calm(&params);
        signals.on_mid(&params, 1_544_000, None, secs(1));
        // 1.25 times the band of 0.1036 % is a drift of 0.1295 %.
        signals.on_mid(&params, 1_544_000 + 1_999, None, secs(2));
        assert_ne!(signals.candidate, Regime::HighVolShock);
        signals.on_mid(&params, 1_544_000 + 2_001, None, secs(2));
        assert_eq!(signals.advance(&params, secs(5)), Some(Regime::HighVolShock));
    }

    #[test]
    fn half_of_the_shock_band_is_high_volatility() {
        let params = params();
        let mut signals = Signals::new();
        for n in 0..60 {
            assert!(signals.on_candle(&params, &candle(n, 77_360, 77_040, 77_200), &btcusdt()));
        }
        signals.on_mid(&params, 1_544_000, None, secs(1));
        assert_eq!(signals.advance(&params, secs(4)), Some(Regime::NeutralHighVol));
    }
}
