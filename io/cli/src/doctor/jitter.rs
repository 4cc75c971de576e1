//! The jitter meter: a thread that does nothing but read the clock sees what the host takes away.

use std::fmt::Write;
use std::time::Duration;

use keel_core::units::MonoNanos;

/// What was taken from a thread that spun.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Pauses {
    /// How long was looked, in nanoseconds.
    looked_ns: u64,
    /// Pauses by the decade of their length, from [`PAUSE_NS_MIN`] on.
    by_decade: [u64; DECADES],
    /// Nanoseconds in all of them.
    lost_ns: u64,
    longest_ns: u64,
}

/// Spins for `length` and counts the gaps between two readings of the clock.
pub(super) fn measure(clock: &impl Fn() -> MonoNanos, length: Duration) -> Pauses {
    let mut pauses = Pauses::default();
    let length_ns = u64::try_from(length.as_nanos()).unwrap_or(u64::MAX);
    let begin = clock();
    let mut last = begin;
    while last.since(begin) < length_ns {
        let now = clock();
        pauses.take(now.since(last));
        last = now;
    }
    pauses.looked_ns = last.since(begin);
    pauses
}

impl Pauses {
    fn take(&mut self, gap_ns: u64) {
        if gap_ns < PAUSE_NS_MIN {
            return;
        }
        let decade = (gap_ns / PAUSE_NS_MIN).ilog10() as usize;
        self.by_decade[decade.min(DECADES - 1)] += 1;
        self.lost_ns += gap_ns;
        self.longest_ns = self.longest_ns.max(gap_ns);
    }

    pub(super) fn report(&self, place: &str) -> String {
        let seconds = self.looked_ns as f64 / 1e9;
        let mut text = format!("\njitter: {seconds:.1} s on {place}\n");
        for (decade, count) in self.by_decade.iter().enumerate() {
            let name = DECADE_NAMES[decade];
            let _ = writeln!(
                text,
                "  pauses {name:<18} {count:>9}  {:>10.1}/s",
                *count as f64 / seconds
            );
        }
        let share = self.lost_ns as f64 / self.looked_ns as f64 * 100.0;
        let longest = self.longest_ns as f64 / 1e3;
        let _ = writeln!(text, "  longest {longest:.1} µs, taken away {share:.3} % of the time");
        text
    }
}

/// Shorter gaps are the meter's own work.
const PAUSE_NS_MIN: u64 = 1_000;
const DECADES: usize = 5;
const DECADE_NAMES: [&str; DECADES] =
    ["1 to 10 µs", "10 to 100 µs", "100 µs to 1 ms", "1 to 10 ms", "10 ms and more"];

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[test]
    fn gaps_are_counted_by_their_decade_and_the_rest_is_no_pause() {
        let gaps = [300, 999, 1_000, 9_999, 10_000, 2_000_000, 50_000_000, 2_000_000_000];
        let (now, next) = (Cell::new(0), Cell::new(0));
        let clock = || {
            let reading = now.get();
            now.set(reading + gaps[next.get() % gaps.len()]);
            next.set(next.get() + 1);
            MonoNanos(reading)
        };
        let pauses = measure(&clock, Duration::from_nanos(gaps.iter().sum()));
        assert_eq!(pauses.by_decade, [2, 1, 0, 1, 2]);
        assert_eq!(pauses.longest_ns, 2_000_000_000);
        assert_eq!(pauses.lost_ns, gaps.iter().sum::<u64>() - 300 - 999);
        assert!(pauses.report("core 3").contains("longest 2000000.0 µs"), "{pauses:?}");
    }
}
