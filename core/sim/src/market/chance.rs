//! Chance: random numbers that a seed decides, the same on every machine.
//!
//! Only integer arithmetic and exactly rounded float operations are used. No function of the C
//! library takes part, whose last digit may differ between machines.

/// A stream of random numbers.
#[derive(Clone, Debug)]
pub(crate) struct Chance {
    state: u64,
}

impl Chance {
    /// The stream of a seed and a number that keeps streams of one seed apart.
    pub(crate) fn new(seed: u64, stream: u64) -> Self {
        Self { state: mixed(seed ^ mixed(stream.wrapping_add(WEYL))) }
    }

    /// 64 random bits.
    pub(crate) fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(WEYL);
        mixed(self.state)
    }

    /// Uniform in [0, 1), in steps of 2^-53.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Uniform in `0..end`.
    ///
    /// # Panics
    /// When `end` is 0.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        assert!(end > 0, "a range has at least one number");
        ((u128::from(self.bits()) * u128::from(end)) >> 64) as u64
    }

    /// Uniform between both ends, which it includes.
    pub(crate) fn between(&mut self, low: i64, high: i64) -> i64 {
        low + self.below((high - low + 1) as u64) as i64
    }

    /// True with probability `share`.
    pub(crate) fn happens(&mut self, share: f64) -> bool {
        self.unit() < share
    }

    /// Exponential with mean 1.
    pub(crate) fn exponential(&mut self) -> f64 {
        // Von Neumann's method: a falling run of uniforms has odd length with probability
        // exp(-first).
        let mut whole = 0.0;
        loop {
            let first = self.unit();
            let (mut last, mut odd) = (first, true);
            loop {
                let next = self.unit();
                if next >= last {
                    break;
                }
                last = next;
                odd = !odd;
            }
            if odd {
                return whole + first;
            }
            whole += 1.0;
        }
    }

    /// A value of the distribution whose quantiles `table` gives as (share, value), ascending from
    /// share 0 to share 1; values between two of them are drawn evenly.
    pub(crate) fn quantile(&mut self, table: &[(f64, f64)]) -> f64 {
        let share = self.unit();
        let after = table.partition_point(|&(q, _)| q <= share).clamp(1, table.len() - 1);
        let ((q0, v0), (q1, v1)) = (table[after - 1], table[after]);
        v0 + (v1 - v0) * (share - q0) / (q1 - q0)
    }
}

/// `bits` well mixed: each bit of the answer depends on each bit given.
fn mixed(bits: u64) -> u64 {
    let bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// 2^64 over the golden ratio, odd: its multiples fill all 64 bits evenly.
const WEYL: u64 = 0x9e37_79b9_7f4a_7c15;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_numbers_and_streams_differ() {
        let draw = |seed, stream| {
            let mut chance = Chance::new(seed, stream);
            [chance.bits(), chance.bits(), chance.bits()]
        };
        assert_eq!(draw(7, 1), draw(7, 1));
        assert_ne!(draw(7, 1), draw(7, 2));
        assert_ne!(draw(7, 1), draw(8, 1));
    }

    #[test]
    fn an_exponential_has_mean_one_and_variance_one() {
        let mut chance = Chance::new(1, 0);
        let draws: Vec<f64> = (0..100_000).map(|_| chance.exponential()).collect();
        let mean = draws.iter().sum::<f64>() / draws.len() as f64;
        let variance = draws.iter().map(|d| (d - mean) * (d - mean)).sum::<f64>() / 1e5;
        let above_two = draws.iter().filter(|&&d| d > 2.0).count() as f64 / 1e5;
        assert!((mean - 1.0).abs() < 0.02, "mean {mean}");
        assert!((variance - 1.0).abs() < 0.05, "variance {variance}");
        assert!((above_two - 0.1353).abs() < 0.005, "share above 2: {above_two}");
    }

    #[test]
    fn quantiles_come_back() {
        let mut chance = Chance::new(2, 0);
        let table = [(0.0, 1.0), (0.5, 1.0), (0.9, 10.0), (1.0, 100.0)];
        let mut draws: Vec<f64> = (0..10_000).map(|_| chance.quantile(&table)).collect();
        draws.sort_by(f64::total_cmp);
        assert!((draws[4_000] - 1.0).abs() < 1e-9);
        assert!((draws[9_000] - 10.0).abs() < 1.5, "{}", draws[9_000]);
        assert!(draws[0] >= 1.0 && draws[9_999] <= 100.0);
    }

    #[test]
    fn a_range_gives_both_its_ends_and_nothing_else() {
        let mut chance = Chance::new(3, 0);
        let draws: Vec<i64> = (0..1_000).map(|_| chance.between(-2, 2)).collect();
        assert_eq!(draws.iter().min(), Some(&-2));
        assert_eq!(draws.iter().max(), Some(&2));
    }
}
