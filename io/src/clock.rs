//! The clock: one monotonic time for all threads of a process, and what UTC was beside it.

use std::sync::Arc;
use std::time::SystemTime;

use keel_core::units::{MonoNanos, SECONDS, UnixNanos};
use keel_net::sync::atomic::{AtomicI64, Ordering};

/// Reads the processor's time stamp counter where it is fit, else the system's monotonic clock.
///
/// Every thread uses a clone of one `Clock`, so that stamps of different threads can be subtracted.
#[derive(Clone, Debug)]
pub struct Clock {
    counter: quanta::Clock,
    origin: u64,
    /// How many times faster than real its time runs.
    speed: u64,
    /// UTC less monotonic nanoseconds, for a clock that is faster than real.
    fast_utc_ns: Arc<AtomicI64>,
}

/// UTC and monotonic time at one moment, by the clock of this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Anchor {
    /// Monotonic time in the middle of the reading.
    pub mono: MonoNanos,
    /// UTC of the host.
    pub utc: UnixNanos,
    /// Half of what the reading took, in nanoseconds.
    pub uncertainty_ns: u64,
}

impl Clock {
    /// Starts the process's clock. The first call in a process calibrates for up to 200 ms, so it
    /// belongs at the start, on the core that will measure.
    pub fn start() -> Self {
        Self::start_at_speed(1)
    }

    /// Starts a clock that runs `speed` times faster than real, for a venue that does. Waits that
    /// the system is asked for stay real, so deadlines are met up to a real millisecond late.
    ///
    /// # Panics
    /// When `speed` is 0.
    pub fn start_at_speed(speed: u32) -> Self {
        assert!(speed > 0, "time goes on");
        let counter = quanta::Clock::new();
        let origin = counter.raw();
        let fast_utc_ns = Arc::new(AtomicI64::new(0));
        let clock = Self { counter, origin, speed: u64::from(speed), fast_utc_ns };
        clock.calibrate(host_utc(), clock.now());
        clock
    }

    /// Monotonic time. The first reading lies at [`ORIGIN`], so that a time of zero is always long
    /// ago.
    pub fn now(&self) -> MonoNanos {
        let real = self.counter.delta_as_nanos(self.origin, self.counter.raw());
        ORIGIN.after(real.saturating_mul(self.speed))
    }

    /// UTC of the host; for a fast clock UTC as calibrated. Not monotonic; never a reason to trade.
    pub fn utc(&self) -> UnixNanos {
        if self.speed == 1 {
            return host_utc();
        }
        // Relaxed: one number, ordered with nothing.
        let difference = self.fast_utc_ns.load(Ordering::Relaxed);
        UnixNanos(difference.saturating_add(i64::try_from(self.now().0).unwrap_or(i64::MAX)))
    }

    /// Says what UTC is at `now` for a clock that is faster than real: the host cannot know.
    pub fn calibrate(&self, utc: UnixNanos, now: MonoNanos) {
        let difference = utc.0.saturating_sub(i64::try_from(now.0).unwrap_or(i64::MAX));
        // Relaxed: as above.
        self.fast_utc_ns.store(difference, Ordering::Relaxed);
    }

    /// UTC and monotonic time at one moment: the tightest of a few readings.
    pub fn anchor(&self) -> Anchor {
        let read = || {
            let before = self.now();
            let utc = self.utc();
            let took = self.now().since(before);
            Anchor { mono: before.after(took / 2), utc, uncertainty_ns: took / 2 }
        };
        let first = read();
        (0..READINGS).map(|_| read()).fold(first, |best, next| {
            if next.uncertainty_ns < best.uncertainty_ns { next } else { best }
        })
    }
}

/// What the venue's UTC is, as cold has read it last: one writer, any number of readers.
#[derive(Clone, Debug, Default)]
pub struct VenueClock {
    /// UTC in nanoseconds less monotonic nanoseconds.
    difference_ns: Arc<AtomicI64>,
}

impl VenueClock {
    /// The venue's UTC at `now`.
    pub fn utc(&self, now: MonoNanos) -> UnixNanos {
        // Relaxed: one number, ordered with nothing.
        let difference = self.difference_ns.load(Ordering::Relaxed);
        UnixNanos(difference.saturating_add(i64::try_from(now.0).unwrap_or(i64::MAX)))
    }

    /// Says that the venue's UTC is `utc` at `now`.
    pub fn set(&self, utc: UnixNanos, now: MonoNanos) {
        let difference = utc.0.saturating_sub(i64::try_from(now.0).unwrap_or(i64::MAX));
        // Relaxed: as above.
        self.difference_ns.store(difference, Ordering::Relaxed);
    }
}

impl Anchor {
    /// UTC of the host at `now`, by this anchor. Drifts by the counter's error, some 20 µs a second
    /// at worst, so anchors are renewed.
    pub fn utc_at(self, now: MonoNanos) -> UnixNanos {
        let delta = i128::from(now.0) - i128::from(self.mono.0);
        let utc = i128::from(self.utc.0) + delta;
        UnixNanos(i64::try_from(utc).unwrap_or(if utc < 0 { i64::MIN } else { i64::MAX }))
    }
}

fn host_utc() -> UnixNanos {
    match SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => UnixNanos(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)),
        Err(before) => UnixNanos(-i64::try_from(before.duration().as_nanos()).unwrap_or(i64::MAX)),
    }
}

/// The monotonic time at which a process begins: an hour, so that no age reckoned from zero looks
/// fresh.
pub const ORIGIN: MonoNanos = MonoNanos(3_600 * SECONDS);

const READINGS: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_never_runs_backward_and_begins_at_the_origin() {
        let clock = Clock::start();
        let mut last = ORIGIN;
        for _ in 0..10_000 {
            let now = clock.now();
            assert!(now >= last);
            last = now;
        }
    }

    #[test]
    fn a_fast_clock_runs_as_often_faster_and_takes_its_utc_from_the_venue() {
        let (real, fast) = (Clock::start(), Clock::start_at_speed(100));
        let twin = fast.clone();
        fast.calibrate(UnixNanos(5_000), fast.now());
        let (before, fast_before) = (real.now(), fast.now());
        std::thread::sleep(std::time::Duration::from_millis(5));
        let (fast_took, took) = (fast.now().since(fast_before), real.now().since(before));
        assert!(fast_took <= took * 100 && fast_took >= 500_000_000, "{fast_took} {took}");
        assert!(twin.utc().0 >= 500_005_000, "clones share what UTC is");
    }

    #[test]
    fn clones_share_one_origin() {
        let clock = Clock::start();
        let twin = clock.clone();
        let before = clock.now();
        let other = std::thread::spawn(move || twin.now()).join().expect("a reading");
        assert!(other >= before && clock.now() >= other);
    }

    #[test]
    fn an_anchor_carries_utc_both_ways() {
        let anchor =
            Anchor { mono: MonoNanos(1_000), utc: UnixNanos(5_000_000), uncertainty_ns: 0 };
        assert_eq!(anchor.utc_at(MonoNanos(1_500)), UnixNanos(5_000_500));
        assert_eq!(anchor.utc_at(MonoNanos(0)), UnixNanos(4_999_000));
        let real = Clock::start().anchor();
        assert!(real.utc.day() > 19_000, "the host's year is past 2022: {real:?}");
    }
}
