//! How sure a figure is that no formula covers: the bootstrap over blocks of time.

use keel_io::world::Chance;

use super::interval::Interval;

/// How often blocks are drawn.
pub const DRAWS: usize = 2_000;

/// The interval of each of `N` figures of `blocks`; `None` where a drawing has none.
///
/// Each drawing takes as many blocks as there are, with replacement, whole and with everything that
/// lies in them, so that what two runs did in one block stays together. The interval reaches from
/// the 2.5th to the 97.5th percentile of what the drawings give. The same seed gives the same.
pub fn intervals<B, const N: usize>(
    blocks: &[B],
    seed: u64,
    figures: impl Fn(&mut dyn Iterator<Item = &B>) -> [f64; N],
) -> [Option<Interval>; N] {
    if blocks.is_empty() {
        return [None; N];
    }
    let mut chance = Chance::new(seed, STREAM);
    let mut drawn = vec![Vec::with_capacity(DRAWS); N];
    for _ in 0..DRAWS {
        let places: Vec<usize> =
            blocks.iter().map(|_| chance.below(blocks.len() as u64) as usize).collect();
        let found = figures(&mut places.iter().map(|&place| &blocks[place]));
        for (all, value) in drawn.iter_mut().zip(found) {
            all.push(value);
        }
    }
    let mut drawn = drawn.into_iter();
    [(); N].map(|()| interval(drawn.next().expect("one of each")))
}

fn interval(mut values: Vec<f64>) -> Option<Interval> {
    if values.iter().any(|value| !value.is_finite()) {
        return None;
    }
    values.sort_by(f64::total_cmp);
    Some(Interval { low: percentile(&values, 0.025), high: percentile(&values, 0.975) })
}

/// Between two of the ascending `values` in proportion.
fn percentile(values: &[f64], share: f64) -> f64 {
    let at = share * (values.len() - 1) as f64;
    let (below, part) = (at.floor() as usize, at.fract());
    let above = values[(below + 1).min(values.len() - 1)];
    values[below] + (above - values[below]) * part
}

/// A stream of draws of its own.
const STREAM: u64 = 12;

#[cfg(test)]
mod tests {
    use super::*;

    fn mean(blocks: &mut dyn Iterator<Item = &f64>) -> [f64; 1] {
        let (sum, count) = blocks.fold((0.0, 0.0), |(sum, n), value| (sum + value, n + 1.0));
        [sum / count]
    }

    #[test]
    fn the_interval_of_a_mean_is_that_of_the_normal_distribution() {
        // 400 blocks that alternate: a mean of 0.5 whose error is 0.5 / 20.
        let blocks: Vec<f64> = (0..400).map(|n| f64::from(n % 2)).collect();
        let [found] = intervals(&blocks, 3, mean);
        let found = found.expect("finite");
        for (end, wanted) in [(found.low, 0.5 - 1.96 * 0.025), (found.high, 0.5 + 1.96 * 0.025)] {
            assert!((end - wanted).abs() < 0.006, "{found:?}");
        }
        assert_eq!(intervals(&blocks, 3, mean), [Some(found)], "a seed decides");
        assert_ne!(intervals(&blocks, 4, mean), [Some(found)]);
    }

    #[test]
    fn blocks_hold_together_what_lies_in_them() {
        // Each block is far from the others, and its two halves are always 1 apart.
        let blocks: Vec<(f64, f64)> =
            (0..50).map(|n| (f64::from(n * n), f64::from(n * n) + 1.0)).collect();
        let [apart, alone] = intervals(&blocks, 1, |blocks| {
            let (mut apart, mut alone) = (0.0, 0.0);
            blocks.for_each(|(a, b)| (apart, alone) = (apart + b - a, alone + a));
            [apart / 50.0, alone / 50.0]
        });
        let apart = apart.expect("finite");
        assert!((apart.low - 1.0).abs() < 1e-9 && (apart.high - 1.0).abs() < 1e-9, "{apart:?}");
        let alone = alone.expect("finite");
        assert!(alone.high - alone.low > 100.0, "{alone:?}");
    }

    #[test]
    fn a_drawing_without_the_figure_leaves_none() {
        // About one drawing in e has no block with a weight.
        let blocks = [(1.0, 1.0), (0.0, 0.0), (0.0, 0.0)];
        let [ratio] = intervals(&blocks, 1, |blocks| {
            let (mut y, mut x) = (0.0, 0.0);
            blocks.for_each(|block| (y, x) = (y + block.0, x + block.1));
            [y / x]
        });
        assert_eq!(ratio, None);
        let [none] = intervals(&[], 1, mean);
        assert_eq!(none, None);
    }

    #[test]
    fn a_percentile_lies_between_its_neighbors() {
        let values: Vec<f64> = (0..=40).map(f64::from).collect();
        assert_eq!((percentile(&values, 0.025), percentile(&values, 0.975)), (1.0, 39.0));
        assert!((percentile(&[1.0, 3.0], 0.25) - 1.5).abs() < 1e-12);
        assert_eq!(percentile(&[7.0], 0.975), 7.0);
    }
}
