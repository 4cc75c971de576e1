//! Exact decimal text: the venue's strings to integers and back, with no float on the way.
//!
//! A [`Grid`] is a step such as a tick of 0.1 or a lot of 0.0001. Text that does not lie on the
//! grid is refused, never rounded, because a rounded order is another order.

use crate::units::E8;

/// The longest text that [`Grid::write`] makes: sign, 19 digits, point, and leading zeros.
pub const TEXT_MAX: usize = 40;

/// Most decimals that a grid or a text may have.
pub const SCALE_MAX: u8 = 18;

/// Why a text is no number here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum DecimalError {
    /// No digit, two points, a sign in the wrong place, an exponent, or any other byte.
    Malformed,
    /// More digits than 64 bits hold.
    Overflow,
    /// A number, but no multiple of the step.
    OffGrid,
}

/// A number in decimal text: `mantissa / 10^scale`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decimal {
    /// All digits, with the sign.
    pub mantissa: i64,
    /// How many of them stand behind the point.
    pub scale: u8,
}

impl Decimal {
    /// Reads `[-]digits[.digits]` and nothing else.
    ///
    /// # Errors
    /// [`DecimalError::Malformed`] for any other form, [`DecimalError::Overflow`] past 64 bits or
    /// [`SCALE_MAX`] decimals.
    pub fn parse(text: &[u8]) -> Result<Self, DecimalError> {
        let (negative, digits) = match text {
            [b'-', rest @ ..] => (true, rest),
            rest => (false, rest),
        };
        let mut mantissa: i64 = 0;
        let mut scale: Option<u8> = None;
        let mut seen = 0usize;
        for &byte in digits {
            match byte {
                b'0'..=b'9' => {
                    let digit = i64::from(byte - b'0');
                    mantissa = mantissa
                        .checked_mul(10)
                        .and_then(|m| m.checked_add(digit))
                        .ok_or(DecimalError::Overflow)?;
                    seen += 1;
                    if let Some(decimals) = scale.as_mut() {
                        *decimals += 1;
                        if *decimals > SCALE_MAX {
                            return Err(DecimalError::Overflow);
                        }
                    }
                }
                b'.' if scale.is_none() && seen > 0 => scale = Some(0),
                _ => return Err(DecimalError::Malformed),
            }
        }
        if seen == 0 || text.last() == Some(&b'.') {
            return Err(DecimalError::Malformed);
        }
        Ok(Self {
            mantissa: if negative { -mantissa } else { mantissa },
            scale: scale.unwrap_or(0),
        })
    }

    /// This number in units of 1e-8.
    ///
    /// # Errors
    /// [`DecimalError::OffGrid`] when digits beyond the eighth decimal are not zero,
    /// [`DecimalError::Overflow`] past 64 bits.
    pub fn e8(self) -> Result<i64, DecimalError> {
        Grid::E8.steps_of(self)
    }

    /// This number in units of 1e-8, rounded toward zero.
    ///
    /// # Errors
    /// [`DecimalError::Overflow`] past 64 bits.
    pub fn e8_truncated(self) -> Result<i64, DecimalError> {
        if self.scale > 8 {
            return Ok(self.mantissa / POW10[usize::from(self.scale - 8)]);
        }
        self.e8()
    }
}

/// A step of prices or sizes: `step / 10^scale`. A tick of 0.5 is step 5, scale 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    /// The step's digits; positive.
    pub step: i64,
    /// Decimals of a text on this grid, 0 to [`SCALE_MAX`].
    pub scale: u8,
}

impl Grid {
    /// Steps of 1e-8, on which money and rates lie.
    pub const E8: Self = Self { step: 1, scale: 8 };

    /// A grid whose step is `text`, written with `scale` decimals at least.
    ///
    /// # Errors
    /// As [`Decimal::parse`]; [`DecimalError::OffGrid`] when the step is not positive.
    pub fn parse(text: &[u8], scale: u8) -> Result<Self, DecimalError> {
        let step = Decimal::parse(text)?;
        if step.mantissa <= 0 || scale > SCALE_MAX {
            return Err(DecimalError::OffGrid);
        }
        let scale = scale.max(step.scale);
        let widened = step
            .mantissa
            .checked_mul(POW10[usize::from(scale - step.scale)])
            .ok_or(DecimalError::Overflow)?;
        Ok(Self { step: widened, scale })
    }

    /// The whole number of steps in `text`.
    ///
    /// # Errors
    /// As [`Decimal::parse`]; [`DecimalError::OffGrid`] when it is no whole number.
    pub fn steps(self, text: &[u8]) -> Result<i64, DecimalError> {
        self.steps_of(Decimal::parse(text)?)
    }

    /// The whole number of steps in `number`.
    ///
    /// # Errors
    /// [`DecimalError::OffGrid`] when it is no whole number, [`DecimalError::Overflow`] past 64
    /// bits.
    #[inline]
    pub fn steps_of(self, number: Decimal) -> Result<i64, DecimalError> {
        let units = if number.scale <= self.scale {
            number
                .mantissa
                .checked_mul(POW10[usize::from(self.scale - number.scale)])
                .ok_or(DecimalError::Overflow)?
        } else {
            let divisor = POW10[usize::from(number.scale - self.scale)];
            if number.mantissa % divisor != 0 {
                return Err(DecimalError::OffGrid);
            }
            number.mantissa / divisor
        };
        if self.step == 1 {
            return Ok(units);
        }
        if units % self.step != 0 {
            return Err(DecimalError::OffGrid);
        }
        Ok(units / self.step)
    }

    /// Writes `steps` as decimal text with this grid's number of decimals, and gives its length.
    ///
    /// # Panics
    /// When `steps * step` leaves 64 bits.
    pub fn write(self, steps: i64, out: &mut [u8; TEXT_MAX]) -> usize {
        let units = steps.checked_mul(self.step).expect("steps of this grid fit 64 bits");
        write_scaled(units, self.scale, out)
    }
}

/// Writes `units / 10^scale` with `scale` decimals and gives the length.
pub fn write_scaled(units: i64, scale: u8, out: &mut [u8; TEXT_MAX]) -> usize {
    debug_assert!(scale <= SCALE_MAX);
    let scale = usize::from(scale);
    let mut rest = units.unsigned_abs();
    let digits = (rest.checked_ilog10().unwrap_or(0) as usize + 1).max(scale + 1);
    let start = usize::from(units < 0);
    let len = start + digits + usize::from(scale > 0);
    if units < 0 {
        out[0] = b'-';
    }
    let point = len - scale - 1;
    for at in (start..len).rev() {
        if at == point && scale > 0 {
            out[at] = b'.';
        } else {
            out[at] = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
    }
    len
}

/// Powers of ten up to 10^18, the largest that 64 bits hold.
pub const POW10: [i64; 19] = {
    let mut powers = [1i64; 19];
    let mut i = 1;
    while i < powers.len() {
        powers[i] = powers[i - 1] * 10;
        i += 1;
    }
    powers
};

const _: () = assert!(E8 == POW10[8]);
const _: () = assert!(POW10.len() == SCALE_MAX as usize + 1);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TICK: Grid = Grid { step: 5, scale: 1 };

    fn text(grid: Grid, steps: i64) -> ([u8; TEXT_MAX], usize) {
        let mut out = [0; TEXT_MAX];
        let len = grid.write(steps, &mut out);
        (out, len)
    }

    #[test]
    fn a_price_off_the_tick_is_refused_not_rounded() {
        assert_eq!(TICK.steps(b"100.5"), Ok(201));
        assert_eq!(TICK.steps(b"100.50"), Ok(201));
        assert_eq!(TICK.steps(b"100"), Ok(200));
        assert_eq!(TICK.steps(b"100.4"), Err(DecimalError::OffGrid));
        assert_eq!(TICK.steps(b"100.55"), Err(DecimalError::OffGrid));
    }

    #[test]
    fn only_plain_decimal_text_is_a_number() {
        let refused: [&[u8]; 14] = [
            b"", b"-", b".", b"1.", b".5", b"+1", b"1e5", b"0x10", b" 1", b"1 ", b"1,0", b"1.2.3",
            b"NaN", b"--1",
        ];
        for bad in refused {
            assert_eq!(Decimal::parse(bad), Err(DecimalError::Malformed), "{bad:?}");
        }
        assert_eq!(Decimal::parse(b"9223372036854775808"), Err(DecimalError::Overflow));
        assert_eq!(Decimal::parse(b"-0.0"), Ok(Decimal { mantissa: 0, scale: 1 }));
    }

    #[test]
    fn a_tenth_is_exactly_a_tenth() {
        assert_eq!(Decimal::parse(b"0.1").and_then(Decimal::e8), Ok(10_000_000));
        assert_eq!(
            Decimal::parse(b"0.123456789").and_then(Decimal::e8),
            Err(DecimalError::OffGrid)
        );
        assert_eq!(
            Decimal::parse(b"-0.123456789").and_then(Decimal::e8_truncated),
            Ok(-12_345_678)
        );
    }

    #[test]
    fn written_text_has_the_decimals_of_its_grid() {
        for (grid, steps, expected) in [
            (Grid { step: 1, scale: 4 }, 1, &b"0.0001"[..]),
            (TICK, 201, b"100.5"),
            (TICK, -1, b"-0.5"),
            (Grid { step: 1, scale: 0 }, 0, b"0"),
            (Grid { step: 1, scale: 0 }, 1200, b"1200"),
            (Grid { step: 1, scale: 2 }, 0, b"0.00"),
        ] {
            let (out, len) = text(grid, steps);
            assert_eq!(&out[..len], expected);
        }
    }

    #[test]
    fn a_step_of_zero_is_no_grid() {
        assert_eq!(Grid::parse(b"0", 1), Err(DecimalError::OffGrid));
        assert_eq!(Grid::parse(b"0.5", 0), Ok(TICK));
        assert_eq!(Grid::parse(b"5", 2), Ok(Grid { step: 500, scale: 2 }));
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back_the_same(
            steps in -1_000_000_000_000i64..1_000_000_000_000,
            step in 1i64..1000,
            scale in 0u8..=8,
        ) {
            let grid = Grid { step, scale };
            let (out, len) = text(grid, steps);
            prop_assert_eq!(grid.steps(&out[..len]), Ok(steps));
        }
    }
}
