//! Clock: the venue's time as a function of its caller's. It runs at a speed, stands still, and is
//! moved ahead; it never runs backward.

use keel_core::units::{E8, UnixNanos};

/// The venue's time: since the caller's `from` it has run from `shown` at `speed_e8`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    from: UnixNanos,
    shown: UnixNanos,
    /// Venue's nanoseconds for 1e8 of the caller's; zero stands still.
    speed_e8: i64,
    /// The speed that it goes on with after it stood still.
    before_e8: i64,
}

impl Clock {
    /// The caller's own time.
    pub(super) const fn new(now: UnixNanos) -> Self {
        Self { from: now, shown: now, speed_e8: E8, before_e8: E8 }
    }

    /// The venue's time when the caller's is `now`.
    pub(super) fn time(&self, now: UnixNanos) -> UnixNanos {
        let passed = i128::from(now.0.saturating_sub(self.from.0).max(0));
        let run = passed * i128::from(self.speed_e8) / i128::from(E8);
        UnixNanos(self.shown.0.saturating_add(i64::try_from(run).unwrap_or(i64::MAX)))
    }

    /// The caller's first instant at which the venue's time is `at`; the end of time while it
    /// stands still.
    pub(super) fn caller_at(&self, at: UnixNanos) -> UnixNanos {
        let left = i128::from(at.0.saturating_sub(self.shown.0).max(0));
        let speed = i128::from(self.speed_e8);
        if speed == 0 && left > 0 {
            return UnixNanos(i64::MAX);
        }
        let passed = (left * i128::from(E8) + speed.max(1) - 1) / speed.max(1);
        UnixNanos(self.from.0.saturating_add(i64::try_from(passed).unwrap_or(i64::MAX)))
    }

    /// Moves it ahead.
    pub(super) fn skip(&mut self, ns: i64) {
        self.shown.0 = self.shown.0.saturating_add(ns);
    }

    /// Changes how fast it runs from the caller's `now` on.
    pub(super) fn turn(&mut self, turn: Turn, now: UnixNanos) {
        (self.shown, self.from) = (self.time(now), now);
        match turn {
            Turn::Freeze => self.speed_e8 = 0,
            Turn::Resume => self.speed_e8 = self.before_e8,
            Turn::Speed(speed_e8) => (self.speed_e8, self.before_e8) = (speed_e8, speed_e8),
        }
    }

    /// How fast it runs, in 1e-8; zero while it stands still.
    pub(super) const fn speed_e8(&self) -> i64 {
        self.speed_e8
    }
}

/// A change of how fast time runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// It stands still.
    Freeze,
    /// It goes on as it ran before.
    Resume,
    /// It runs so many 1e-8 as fast as the caller's; above zero.
    Speed(i64),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> UnixNanos {
        UnixNanos(seconds * 1_000_000_000)
    }

    #[test]
    fn it_runs_stands_still_goes_on_and_never_runs_backward() {
        let mut clock = Clock::new(at(100));
        assert_eq!(clock.time(at(110)), at(110));
        clock.turn(Turn::Speed(10 * E8), at(110));
        assert_eq!(clock.time(at(111)), at(120));
        clock.turn(Turn::Freeze, at(111));
        assert_eq!(clock.time(at(500)), at(120));
        clock.skip(at(60).0);
        assert_eq!(clock.time(at(501)), at(180));
        clock.turn(Turn::Resume, at(600));
        assert_eq!(clock.time(at(601)), at(190));
        clock.turn(Turn::Speed(E8 / 2), at(601));
        assert_eq!(clock.time(at(603)), at(191));
        assert_eq!(clock.time(at(1)), at(190), "an earlier caller finds it where it was turned");
    }

    #[test]
    fn the_callers_instant_is_the_first_that_shows_the_venues() {
        for speed in [1, 3, E8 / 3, E8, 7 * E8, 1_000 * E8] {
            let mut clock = Clock::new(at(100));
            clock.turn(Turn::Speed(speed), at(100));
            for ns in [0, 1, 2, 999, 1_000_000_007] {
                let venue = UnixNanos(at(100).0 + ns);
                let caller = clock.caller_at(venue);
                assert!(clock.time(caller) >= venue, "{speed} {ns}");
                let before = UnixNanos(caller.0 - 1);
                assert!(caller == at(100) || clock.time(before) < venue, "{speed} {ns}");
            }
        }
        let mut still = Clock::new(at(100));
        still.turn(Turn::Freeze, at(100));
        assert_eq!(still.caller_at(at(101)), UnixNanos(i64::MAX));
        assert_eq!(still.caller_at(at(99)), at(100), "what is due is due at once");
    }
}
