//! How sure a mean is: Student's interval of a ratio over blocks of time.

/// Where the true value lies, 95 times of a hundred.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// From here.
    pub low: f64,
    /// To here.
    pub high: f64,
}

impl Interval {
    /// True when zero is one of the values that it leaves open.
    pub fn holds_zero(&self) -> bool {
        self.low <= 0.0 && self.high >= 0.0
    }
}

/// Σy / Σx of blocks `(y, x)`, and its interval; `None` below two blocks or without a weight.
///
/// Blocks are taken for independent of one another, and nothing is assumed of what lies within
/// one: the variance is that of the residuals y − r·x of whole blocks, n / (n − 1) · Σ(y − r·x)² /
/// (Σx)², and the quantile Student's with n − 1 degrees of freedom. Nothing is drawn, so that the
/// same blocks give the same figures.
pub fn ratio(blocks: &[(f64, f64)]) -> Option<(f64, Interval)> {
    let (y, x) = blocks.iter().fold((0.0, 0.0), |sum, block| (sum.0 + block.0, sum.1 + block.1));
    if blocks.len() < 2 || x <= 0.0 {
        return None;
    }
    let ratio = y / x;
    let degrees = blocks.len() as f64 - 1.0;
    let squares: f64 = blocks.iter().map(|(y, x)| (y - ratio * x).powi(2)).sum();
    let error = ((degrees + 1.0) / degrees * squares).sqrt() / x;
    let reach = student(blocks.len() - 1) * error;
    Some((ratio, Interval { low: ratio - reach, high: ratio + reach }))
}

/// The 0.975 quantile of Student's distribution: a table, and beyond it the expansion around the
/// normal one, which is within 1e-5 there.
fn student(degrees: usize) -> f64 {
    if let Some(&quantile) = STUDENT.get(degrees - 1) {
        return quantile;
    }
    let (z, n) = (1.959_964_f64, degrees as f64);
    let (z3, z5) = (z.powi(3), z.powi(5));
    z + (z3 + z) / (4.0 * n) + (5.0 * z5 + 16.0 * z3 + 3.0 * z) / (96.0 * n * n)
}

/// For 1, 2, … degrees of freedom.
const STUDENT: [f64; 30] = [
    12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281, 2.2010,
    2.1788, 2.1604, 2.1448, 2.1314, 2.1199, 2.1098, 2.1009, 2.0930, 2.0860, 2.0796, 2.0739, 2.0687,
    2.0639, 2.0595, 2.0555, 2.0518, 2.0484, 2.0452, 2.0423,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_is_that_of_the_textbook() {
        // Equal weights: mean 2, residuals −1, 0, 1, so the error is sqrt(3/2 · 2) / 3 = 1/√3.
        let (mean, interval) = ratio(&[(1.0, 1.0), (2.0, 1.0), (3.0, 1.0)]).expect("three blocks");
        assert!((mean - 2.0).abs() < 1e-12);
        assert!((interval.high - (2.0 + 4.3027 / 3f64.sqrt())).abs() < 1e-9, "{interval:?}");
        assert!((interval.low + interval.high - 4.0).abs() < 1e-9);
        assert!(interval.holds_zero());
    }

    #[test]
    fn blocks_weigh_as_much_as_stands_in_them() {
        let (mean, interval) = ratio(&[(1.0, 1.0), (6.0, 3.0)]).expect("two blocks");
        assert!((mean - 1.75).abs() < 1e-12);
        // Residuals −0.75 and 0.75.
        let reach = 12.7062 * (2.0 * 2.0 * 0.75f64.powi(2)).sqrt() / 4.0;
        assert!((interval.high - 1.75 - reach).abs() < 1e-9, "{interval:?}");
    }

    #[test]
    fn one_block_and_blocks_without_weight_have_no_interval() {
        assert_eq!(ratio(&[]), None);
        assert_eq!(ratio(&[(1.0, 1.0)]), None);
        assert_eq!(ratio(&[(1.0, 0.0), (1.0, 0.0)]), None);
    }

    #[test]
    fn equal_blocks_leave_nothing_open() {
        let (_, interval) = ratio(&[(2.0, 1.0), (4.0, 2.0)]).expect("two blocks");
        assert_eq!(interval, Interval { low: 2.0, high: 2.0 });
        assert!(!interval.holds_zero());
        assert!(Interval { low: -1.0, high: 0.0 }.holds_zero(), "zero at its edge is held");
    }

    #[test]
    fn the_quantile_goes_on_where_its_table_ends() {
        for (degrees, known) in [(1, 12.7062), (30, 2.0423), (31, 2.0395), (60, 2.0003)] {
            assert!((student(degrees) - known).abs() < 1e-4, "{degrees}: {}", student(degrees));
        }
        assert!((student(1_000_000) - 1.96).abs() < 1e-3);
    }
}
