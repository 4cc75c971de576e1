//! Numbers as this venue writes them: decimal strings without trailing zeros, on the stack.

use std::fmt;

use keel_core::decimal::{Grid, TEXT_MAX, write_scaled};
use keel_core::units::{Price, Quote, Rate, UnixNanos};
use serde::{Serialize, Serializer};

/// A short text on the stack.
#[derive(Clone, Copy)]
pub(super) struct Text {
    bytes: [u8; TEXT_MAX],
    len: u8,
}

impl Text {
    /// No text at all, as the venue writes what there is not.
    pub(super) const EMPTY: Self = Self { bytes: [0; TEXT_MAX], len: 0 };

    /// `steps` of a grid, such as a price in ticks or a size in lots.
    pub(super) fn steps(grid: Grid, steps: i64) -> Self {
        let mut text = Self::EMPTY;
        text.len = grid.write(steps, &mut text.bytes) as u8;
        text.trimmed(grid.scale)
    }

    /// A number in units of 1e-8.
    pub(super) fn e8(units: i64) -> Self {
        let mut text = Self::EMPTY;
        text.len = write_scaled(units, 8, &mut text.bytes) as u8;
        text.trimmed(8)
    }

    /// A whole number.
    pub(super) fn whole(number: i64) -> Self {
        let mut text = Self::EMPTY;
        text.len = write_scaled(number, 0, &mut text.bytes) as u8;
        text
    }

    /// The text.
    pub(super) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..usize::from(self.len)]).expect("digits are UTF-8")
    }

    /// Without the zeros at the end of its `decimals`, and without a point that nothing follows.
    fn trimmed(mut self, decimals: u8) -> Self {
        for _ in 0..decimals {
            if self.last() != b'0' {
                return self;
            }
            self.len -= 1;
        }
        self.len -= u8::from(self.last() == b'.');
        self
    }

    fn last(&self) -> u8 {
        self.bytes[usize::from(self.len) - 1]
    }
}

impl From<Quote> for Text {
    fn from(money: Quote) -> Self {
        Self::e8(money.0)
    }
}

impl From<Price> for Text {
    fn from(price: Price) -> Self {
        Self::e8(price.0)
    }
}

impl From<Rate> for Text {
    fn from(rate: Rate) -> Self {
        Self::e8(rate.0)
    }
}

/// Milliseconds since 1970.
impl From<UnixNanos> for Text {
    fn from(at: UnixNanos) -> Self {
        Self::whole(at.millis())
    }
}

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// Most answers and pushes fit, so that their text is not moved as it grows.
const TEXT_BYTES: usize = 512;

/// The JSON text of a value that always has one.
pub(super) fn json(value: &impl Serialize) -> String {
    let mut out = Vec::with_capacity(TEXT_BYTES);
    serde_json::to_writer(&mut out, value).expect("wire shapes have text keys only");
    String::from_utf8(out).expect("JSON is UTF-8")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_without_trailing_zeros() {
        let tick = Grid { step: 5, scale: 1 };
        for (text, expected) in [
            (Text::steps(tick, 200), "100"),
            (Text::steps(tick, 201), "100.5"),
            (Text::steps(tick, -1), "-0.5"),
            (Text::steps(tick, 0), "0"),
            (Text::e8(12_352_000), "0.12352"),
            (Text::e8(i64::MIN), "-92233720368.54775808"),
            (Text::whole(1000), "1000"),
            (Text::EMPTY, ""),
        ] {
            assert_eq!(text.as_str(), expected);
            assert_eq!(json(&text), format!("\"{expected}\""));
        }
    }
}
