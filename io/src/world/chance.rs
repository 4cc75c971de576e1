//! Chance: everything that a world draws, from its seed and nothing else.

/// A generator (SplitMix64). The same seed and stream give the same numbers on every machine and in
/// every version of this program.
#[derive(Clone, Debug)]
pub struct Chance(u64);

impl Chance {
    /// One of the independent streams of `seed`.
    pub const fn new(seed: u64, stream: u64) -> Self {
        let mut chance = Self(seed ^ stream.wrapping_mul(0xd6e8_feb8_6659_fd93));
        chance.0 = chance.draw();
        chance
    }

    /// Any number.
    pub const fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from 0 to `n` − 1.
    ///
    /// # Panics
    /// When `n` is zero.
    pub const fn below(&mut self, n: u64) -> u64 {
        assert!(n > 0, "nothing lies below zero");
        ((self.draw() as u128 * n as u128) >> 64) as u64
    }

    /// A number from `low` to `high`, both included.
    pub const fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// True once in `n` times.
    pub const fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// One of `items`.
    ///
    /// # Panics
    /// When there is none.
    pub fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len() as u64) as usize]
    }

    /// A seed for a generator of somebody else's.
    pub fn seed(&mut self) -> [u8; 32] {
        let mut seed = [0; 32];
        for word in seed.chunks_exact_mut(8) {
            word.copy_from_slice(&self.draw().to_le_bytes());
        }
        seed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_draws_one_sequence_and_streams_differ() {
        let draws = |seed, stream| {
            let mut chance = Chance::new(seed, stream);
            [chance.draw(), chance.draw(), chance.draw()]
        };
        assert_eq!(draws(7, 1), draws(7, 1));
        assert_ne!(draws(7, 1), draws(7, 2));
        assert_ne!(draws(7, 1), draws(8, 1));
    }

    #[test]
    fn draws_reach_both_ends_of_a_range_and_nothing_beyond() {
        let mut chance = Chance::new(1, 1);
        let mut seen = [0u32; 4];
        for _ in 0..1_000 {
            seen[(chance.between(3, 6) - 3) as usize] += 1;
        }
        assert!(seen.iter().all(|&count| count > 150), "{seen:?}");
    }
}
