//! Units: one type a quantity, so that a price cannot be added to a size.
//!
//! Prices are integer ticks and sizes integer lots of their instrument. Money is an integer count
//! of 1e-8 USDT. Signals and ratios inside the strategy are [`Signal`]s and never touch the ledger.

use core::fmt;
use core::ops::{Add, AddAssign, Neg, Sub, SubAssign};

/// Fixed-point number for signals: fair value, EWMA, variance, skew (64 integer and 64 fraction
/// bits).
pub type Signal = fixed::types::I64F64;

/// How many units of [`Quote`], [`Price`] and [`Rate`] make one.
pub const E8: i64 = 100_000_000;

/// `a · b / 1e8`, toward zero; what does not fit 64 bits becomes the nearest that does.
///
/// A product of more than 64 bits is divided in two steps of 32 bits: the general division of 128
/// bits takes several times as long.
#[inline]
pub fn times_e8(a: i64, b: i64) -> i64 {
    if let Some(product) = a.checked_mul(b) {
        return product / E8;
    }
    let (size, by) = (u128::from(a.unsigned_abs()) * u128::from(b.unsigned_abs()), E8 as u64);
    let (high, low) = ((size >> 64) as u64, size as u64);
    let negative = (a < 0) != (b < 0);
    let most = if negative { i64::MIN } else { i64::MAX };
    if high >= by {
        return most;
    }
    let upper = (high << 32) | (low >> 32);
    let lower = ((upper % by) << 32) | (low & u64::from(u32::MAX));
    let quotient = ((upper / by) << 32) | (lower / by);
    match i64::try_from(quotient) {
        Ok(quotient) if negative => -quotient,
        Ok(quotient) => quotient,
        Err(_) => most,
    }
}

/// `rate` times `factor`, toward zero.
pub(crate) fn part(rate: Rate, factor: Rate) -> Rate {
    Rate(times_e8(rate.0, factor.0))
}

/// `a / b` in 1e-8, toward zero; `b` is positive.
pub(crate) fn ratio(a: i64, b: i64) -> i64 {
    times_over(a, E8, b)
}

/// `a · b / c`, toward zero; 128 bits wide only where it must be.
#[inline]
pub(crate) fn times_over(a: i64, b: i64, c: i64) -> i64 {
    match a.checked_mul(b) {
        Some(product) => product / c,
        None => narrow(i128::from(a) * i128::from(b) / i128::from(c)),
    }
}

/// Into 64 bits; what does not fit becomes the nearest that does.
fn narrow(value: i128) -> i64 {
    i64::try_from(value).unwrap_or(if value > 0 { i64::MAX } else { i64::MIN })
}

macro_rules! quantity {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub i64);

        impl $name {
            /// None of it.
            pub const ZERO: Self = Self(0);

            /// The distance from zero.
            pub const fn abs(self) -> Self {
                Self(self.0.abs())
            }

            /// True when nothing is there.
            pub const fn is_zero(self) -> bool {
                self.0 == 0
            }
        }

        impl Add for $name {
            type Output = Self;
            fn add(self, other: Self) -> Self {
                Self(self.0 + other.0)
            }
        }

        impl Sub for $name {
            type Output = Self;
            fn sub(self, other: Self) -> Self {
                Self(self.0 - other.0)
            }
        }

        impl Neg for $name {
            type Output = Self;
            fn neg(self) -> Self {
                Self(-self.0)
            }
        }

        impl AddAssign for $name {
            fn add_assign(&mut self, other: Self) {
                self.0 += other.0;
            }
        }

        impl SubAssign for $name {
            fn sub_assign(&mut self, other: Self) {
                self.0 -= other.0;
            }
        }
    };
}

quantity! {
    /// A price in ticks of its instrument. Order and book prices are positive.
    Ticks
}
quantity! {
    /// A size in lots of its instrument; signed where it is a position (positive is long).
    Lots
}
quantity! {
    /// Money in 1e-8 USDT; ±92 billion USDT fit.
    Quote
}
quantity! {
    /// A price in 1e-8 USDT a base coin, for prices off the tick grid: mark, index, average entry.
    Price
}
quantity! {
    /// A fraction in 1e-8: fee and funding rates, limits given as a share (0.03 is 3_000_000).
    Rate
}

impl Quote {
    /// `amount` whole USDT.
    pub const fn usdt(amount: i64) -> Self {
        Self(amount * E8)
    }

    /// This amount times `rate`, rounded away from zero, so that a cost is never understated.
    ///
    /// # Panics
    /// When the product leaves the range of [`Quote`].
    pub fn times_rounded_up(self, rate: Rate) -> Self {
        let product = i128::from(self.0) * i128::from(rate.0);
        let e8 = i128::from(E8);
        let away = if product >= 0 { product + e8 - 1 } else { product - e8 + 1 };
        Self(i64::try_from(away / e8).expect("money within ±92 billion USDT"))
    }

    /// This amount times `rate`, rounded toward zero.
    ///
    /// # Panics
    /// When the product leaves the range of [`Quote`].
    pub fn times_truncated(self, rate: Rate) -> Self {
        let product = i128::from(self.0) * i128::from(rate.0) / i128::from(E8);
        Self(i64::try_from(product).expect("money within ±92 billion USDT"))
    }

    /// This amount as a share of `whole`, rounded away from zero; `None` when `whole` is not
    /// positive.
    pub fn share_of(self, whole: Self) -> Option<Rate> {
        if whole.0 <= 0 {
            return None;
        }
        let scaled = i128::from(self.0) * i128::from(E8);
        let whole = i128::from(whole.0);
        let away = if scaled >= 0 { scaled + whole - 1 } else { scaled - whole + 1 };
        Some(Rate(i64::try_from(away / whole).unwrap_or(if scaled > 0 {
            i64::MAX
        } else {
            i64::MIN
        })))
    }
}

impl Rate {
    /// `bps` hundredths of a percent.
    pub const fn bps(bps: i64) -> Self {
        Self(bps * 10_000)
    }

    /// This fraction as a [`Signal`].
    pub fn signal(self) -> Signal {
        Signal::from_num(self.0) / Signal::from_num(E8)
    }
}

/// Which side of the market an order, a level or a trade's taker stands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Side {
    /// Bids; buyers.
    Buy = 0,
    /// Asks; sellers.
    Sell = 1,
}

impl Side {
    /// Both, in the order of their numbers.
    pub const BOTH: [Self; 2] = [Self::Buy, Self::Sell];

    /// The other one.
    pub const fn opposite(self) -> Self {
        match self {
            Self::Buy => Self::Sell,
            Self::Sell => Self::Buy,
        }
    }

    /// +1 for a buy, −1 for a sell: the direction in which a fill moves the position.
    pub const fn sign(self) -> i64 {
        match self {
            Self::Buy => 1,
            Self::Sell => -1,
        }
    }

    /// 0 for a buy, 1 for a sell: the place in arrays over [`Side::BOTH`].
    pub const fn index(self) -> usize {
        self as usize
    }

    /// True when `a` would trade before `b` on this side: higher bids, lower asks.
    pub const fn better(self, a: Ticks, b: Ticks) -> bool {
        match self {
            Self::Buy => a.0 > b.0,
            Self::Sell => a.0 < b.0,
        }
    }
}

/// A point on the monotonic clock, in nanoseconds since an origin of the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MonoNanos(pub u64);

impl MonoNanos {
    /// The earliest point; a deadline that has passed.
    pub const ZERO: Self = Self(0);
    /// No point at all; a deadline that never comes.
    pub const NEVER: Self = Self(u64::MAX);

    /// This point, `nanos` later; [`MonoNanos::NEVER`] stays.
    pub const fn after(self, nanos: u64) -> Self {
        Self(self.0.saturating_add(nanos))
    }

    /// Nanoseconds since `earlier`; 0 when that lies ahead.
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// A point in UTC, in nanoseconds since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixNanos(pub i64);

impl UnixNanos {
    /// Nanoseconds in a UTC day, which has no leap seconds here.
    pub const DAY: i64 = 86_400 * 1_000_000_000;
    /// Nanoseconds in a minute.
    pub const MINUTE: i64 = 60 * 1_000_000_000;

    /// From milliseconds, as the venue gives time.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis.saturating_mul(1_000_000))
    }

    /// Whole milliseconds, rounded toward the past.
    pub const fn millis(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// The number of the UTC day since 1970-01-01.
    pub const fn day(self) -> i64 {
        self.0.div_euclid(Self::DAY)
    }

    /// The number of the UTC minute since 1970-01-01.
    pub const fn minute(self) -> i64 {
        self.0.div_euclid(Self::MINUTE)
    }
}

/// Nanoseconds in a millisecond.
pub const MILLIS: u64 = 1_000_000;
/// Nanoseconds in a second.
pub const SECONDS: u64 = 1_000_000_000;

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Buy => "buy",
            Self::Sell => "sell",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_product_over_1e8_is_exact_and_ends_at_the_range(
            a in prop_oneof![any::<i64>(), -1_000_000_000i64..1_000_000_000],
            b in prop_oneof![any::<i64>(), -1_000_000_000i64..1_000_000_000],
        ) {
            let exact = i128::from(a) * i128::from(b) / i128::from(E8);
            let nearest = exact.clamp(i128::from(i64::MIN), i128::from(i64::MAX));
            prop_assert_eq!(i128::from(times_e8(a, b)), nearest);
        }
    }

    #[test]
    fn products_at_the_edge_of_64_bits_are_exact() {
        for a in [i64::MIN, i64::MIN + 1, -1, 0, 1, i64::MAX - 1, i64::MAX] {
            for b in [i64::MIN, -E8 - 1, -E8, -E8 + 1, -1, 0, 1, E8 - 1, E8, E8 + 1, i64::MAX] {
                let exact = i128::from(a) * i128::from(b) / i128::from(E8);
                let nearest = exact.clamp(i128::from(i64::MIN), i128::from(i64::MAX));
                assert_eq!(i128::from(times_e8(a, b)), nearest, "{a} · {b}");
            }
        }
    }

    #[test]
    fn a_cost_is_never_understated() {
        assert_eq!(Quote(1).times_rounded_up(Rate(1)), Quote(1));
        assert_eq!(Quote(-1).times_rounded_up(Rate(1)), Quote(-1));
        assert_eq!(Quote::usdt(100).times_rounded_up(Rate::bps(6)), Quote(6_000_000));
        assert_eq!(Quote(-1).times_truncated(Rate(1)), Quote::ZERO);
    }

    #[test]
    fn a_share_of_nothing_is_unknown_not_zero() {
        assert_eq!(Quote::usdt(3).share_of(Quote::usdt(100)), Some(Rate(3_000_000)));
        assert_eq!(Quote::usdt(3).share_of(Quote::ZERO), None);
        assert_eq!(Quote::usdt(3).share_of(Quote(-1)), None);
    }

    #[test]
    fn days_and_minutes_before_1970_round_toward_the_past() {
        assert_eq!(UnixNanos(-1).day(), -1);
        assert_eq!(UnixNanos(0).minute(), 0);
        assert_eq!(UnixNanos(-1).millis(), -1);
    }
}
