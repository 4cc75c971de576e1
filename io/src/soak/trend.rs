//! The slope of a series by Theil and Sen, with its interval.

/// A slope that single spikes do not move: the median of the slopes between all pairs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trend {
    /// Units a step.
    pub slope: f64,
    /// Lower end of the interval that holds the slope with 95 %.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// Points that are looked at, at most: a longer series is thinned evenly.
const POINTS_MAX: usize = 1_000;
/// Two-sided 95 % of the normal distribution.
const Z: f64 = 1.959_964;

impl Trend {
    /// The trend of a series with one value a step; `None` for fewer than ten.
    pub fn of(series: &[f64]) -> Option<Self> {
        if series.len() < 10 {
            return None;
        }
        let every = series.len().div_ceil(POINTS_MAX);
        let points: Vec<(f64, f64)> =
            series.iter().enumerate().step_by(every).map(|(x, &y)| (x as f64, y)).collect();
        let mut slopes = Vec::with_capacity(points.len() * (points.len() - 1) / 2);
        for (place, &(x, y)) in points.iter().enumerate() {
            slopes.extend(points[place + 1..].iter().map(|&(x2, y2)| (y2 - y) / (x2 - x)));
        }
        slopes.sort_by(f64::total_cmp);
        // Kendall's variance of the count of rising pairs, without ties, gives the ranks.
        let n = points.len() as f64;
        let spread = Z * (n * (n - 1.0) * (2.0 * n + 5.0) / 18.0).sqrt();
        let count = slopes.len() as f64;
        let at = |rank: f64| slopes[(rank.max(0.0) as usize).min(slopes.len() - 1)];
        Some(Self {
            slope: at(count / 2.0),
            low: at(((count - spread) / 2.0).floor()),
            high: at(((count + spread) / 2.0).ceil()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_with_spikes_has_the_slope_of_the_line() {
        let mut series: Vec<f64> = (0..200).map(|x| 5.0 + 0.5 * f64::from(x)).collect();
        for place in (0..200).step_by(10) {
            series[place] += 1_000.0;
        }
        let trend = Trend::of(&series).expect("enough points");
        assert!((trend.slope - 0.5).abs() < 0.01, "{trend:?}");
        assert!(trend.low <= 0.5 && 0.5 <= trend.high && trend.low > 0.0, "{trend:?}");
    }

    #[test]
    fn noise_without_a_trend_has_zero_in_its_interval_and_few_points_have_none() {
        let noise = |x: u64| (x.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40) as f64;
        let series: Vec<f64> = (1..5_000).map(noise).collect();
        let trend = Trend::of(&series).expect("enough points");
        assert!(trend.low < 0.0 && 0.0 < trend.high, "{trend:?}");
        assert_eq!(Trend::of(&series[..9]), None);
    }
}
