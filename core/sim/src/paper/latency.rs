//! Latency: how long a request travels, drawn from a distribution that is stated by four points.

use std::collections::VecDeque;

use keel_core::units::MonoNanos;

use crate::market::chance::Chance;

/// The distribution of the time between sending a request and its answer, when the public feed too
/// could show what it did. Between its points a time is drawn evenly. Nanoseconds, ascending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Latency {
    /// The least.
    pub min_ns: u64,
    /// Half of the requests take no longer.
    pub median_ns: u64,
    /// 99 of 100 take no longer.
    pub p99_ns: u64,
    /// The most.
    pub max_ns: u64,
}

impl Latency {
    /// The distribution, where its points ascend.
    pub fn new([min_ns, median_ns, p99_ns, max_ns]: [u64; 4]) -> Option<Self> {
        let ascending = min_ns <= median_ns && median_ns <= p99_ns && p99_ns <= max_ns;
        ascending.then_some(Self { min_ns, median_ns, p99_ns, max_ns })
    }

    fn draw(&self, chance: &mut Chance) -> u64 {
        let rank = chance.below(PARTS);
        let (from, to, rank, of) = match rank {
            rank if rank < HALF => (self.min_ns, self.median_ns, rank, HALF),
            rank if rank < P99 => (self.median_ns, self.p99_ns, rank - HALF, P99 - HALF),
            rank => (self.p99_ns, self.max_ns, rank - P99, PARTS - P99),
        };
        let part = u128::from(to - from) * u128::from(rank) / u128::from(of);
        from + u64::try_from(part).expect("no more than the whole")
    }
}

/// Ranks that a draw may have.
const PARTS: u64 = 1_000_000;
const HALF: u64 = PARTS / 2;
const P99: u64 = PARTS / 100 * 99;

/// What is on its way over one connection. None overtakes another.
#[derive(Debug)]
pub(super) struct Travel<T> {
    latency: Latency,
    chance: Chance,
    /// When each was sent, when it arrives, and what it is.
    way: VecDeque<(MonoNanos, MonoNanos, T)>,
    last: MonoNanos,
}

impl<T> Travel<T> {
    pub(super) fn new(latency: Latency, seed: u64, stream: u64) -> Self {
        let chance = Chance::new(seed, stream);
        Self { latency, chance, way: VecDeque::new(), last: MonoNanos::ZERO }
    }

    pub(super) fn send(&mut self, what: T, now: MonoNanos) {
        let arrives = now.after(self.latency.draw(&mut self.chance)).max(self.last);
        self.last = arrives;
        self.way.push_back((now, arrives, what));
    }

    /// When the next one arrives.
    pub(super) fn next_at(&self) -> MonoNanos {
        self.way.front().map_or(MonoNanos::NEVER, |(_, arrives, _)| *arrives)
    }

    /// The oldest that has arrived by `now`, with the time at which it was sent.
    pub(super) fn arrive(&mut self, now: MonoNanos) -> Option<(MonoNanos, T)> {
        let arrived = self.way.pop_front_if(|(_, arrives, _)| *arrives <= now);
        arrived.map(|(sent, _, what)| (sent, what))
    }

    /// What is on its way.
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.way.iter().map(|(_, _, what)| what)
    }

    /// Takes everything off its way.
    pub(super) fn drain(&mut self) -> Vec<T> {
        self.way.drain(..).map(|(_, _, what)| what).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_points_of_a_distribution_come_back_and_a_seed_decides() {
        let latency = Latency::new([5, 20, 100, 500]).expect("ascending");
        let draw = |seed| {
            let mut chance = Chance::new(seed, 0);
            let mut all: Vec<u64> = (0..100_000).map(|_| latency.draw(&mut chance)).collect();
            let first = all[..8].to_vec();
            all.sort_unstable();
            (all, first)
        };
        let (all, first) = draw(3);
        assert_eq!(draw(3).1, first);
        assert_ne!(draw(4).1, first);
        assert!(all[0] >= 5 && *all.last().expect("many") <= 500);
        assert!(all[50_000].abs_diff(20) <= 1, "{}", all[50_000]);
        assert!(all[99_000].abs_diff(100) <= 15, "{}", all[99_000]);
        assert_eq!(Latency::new([5, 4, 100, 500]), None);
    }

    #[test]
    fn none_overtakes_another_on_its_connection() {
        let latency = Latency::new([0, 50, 60, 1_000]).expect("ascending");
        let mut travel = Travel::new(latency, 1, 0);
        (0..200).for_each(|number| travel.send(number, MonoNanos(number)));
        let mut last = MonoNanos::ZERO;
        for number in 0..200 {
            let at = travel.next_at();
            assert_eq!(travel.arrive(MonoNanos(at.0 - 1)), None);
            let (sent, what) = travel.arrive(at).expect("it has arrived");
            assert_eq!((what, sent), (number, MonoNanos(number)));
            assert!(at >= last && at >= sent);
            last = at;
        }
    }
}
