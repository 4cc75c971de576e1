//! JSON by simd-json: a flat tape over a scratch copy, both used again.

use keel_core::decimal::Decimal;
use keel_core::units::UnixNanos;
use simd_json::{Buffers, Node, StaticNode, Tape};

use super::DecodeError;

/// Buffers for reading one text at a time.
pub(crate) struct Scratch {
    copy: Vec<u8>,
    buffers: Buffers,
    tape: Tape<'static>,
}

impl Scratch {
    pub(crate) fn new() -> Self {
        let buffers = Buffers::with_max_depth(WARM_BYTES, DEPTH_MAX);
        Self { copy: Vec::with_capacity(WARM_BYTES), buffers, tape: Tape(Vec::new()) }
    }

    /// Parses `text` and hands its root to `read`.
    pub(crate) fn read<R>(
        &mut self,
        text: &[u8],
        read: impl FnOnce(Item<'_>) -> Result<R, DecodeError>,
    ) -> Result<R, DecodeError> {
        self.copy.clear();
        self.copy.extend_from_slice(text);
        self.copy.resize(text.len() + simd_json::INPUT_PADDING, b' ');
        let mut tape = std::mem::replace(&mut self.tape, Tape(Vec::new())).reset();
        let parsed =
            simd_json::fill_tape_padded(&mut self.copy, text.len(), &mut self.buffers, &mut tape);
        let result = match parsed {
            Ok(()) if !tape.0.is_empty() => read(Item { nodes: &tape.0 }),
            _ => Err(DecodeError::Syntax),
        };
        self.tape = tape.reset();
        result
    }
}

impl std::fmt::Debug for Scratch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scratch").field("copy", &self.copy.capacity()).finish_non_exhaustive()
    }
}

/// One value on the tape; `nodes` begins with it.
#[derive(Clone, Copy)]
pub(crate) struct Item<'t> {
    nodes: &'t [Node<'t>],
}

impl<'t> Item<'t> {
    /// The values under `names` in this object, in the order of the names; `None` where a name is
    /// missing or its value is null. Other keys are not looked at.
    ///
    /// # Errors
    /// [`DecodeError::Shape`] when this is no object, [`DecodeError::Repeated`] when one of the
    /// names stands twice.
    pub(crate) fn fields<const N: usize>(
        self,
        names: [&str; N],
    ) -> Result<[Option<Self>; N], DecodeError> {
        const { assert!(N <= 32, "one bit a name") };
        let Node::Object { len, .. } = self.nodes[0] else {
            return Err(DecodeError::Shape);
        };
        let mut found = [None; N];
        let mut seen = 0u32;
        let mut rest = &self.nodes[1..];
        for _ in 0..len {
            let (Node::String(key), value) = (rest[0], Item { nodes: &rest[1..] }) else {
                return Err(DecodeError::Shape);
            };
            rest = &value.nodes[value.len()..];
            if let Some(place) = names.iter().position(|name| *name == key) {
                if seen & 1 << place != 0 {
                    return Err(DecodeError::Repeated);
                }
                seen |= 1 << place;
                found[place] = value.present();
            }
        }
        Ok(found)
    }

    /// The elements of this list.
    ///
    /// # Errors
    /// [`DecodeError::Shape`] when this is no list.
    pub(crate) fn list(self) -> Result<List<'t>, DecodeError> {
        match self.nodes[0] {
            Node::Array { len, .. } => Ok(List { rest: &self.nodes[1..], left: len }),
            _ => Err(DecodeError::Shape),
        }
    }

    /// The elements of this list, or this object alone: the venue sends either for a single row.
    pub(crate) fn rows(self) -> Result<List<'t>, DecodeError> {
        match self.nodes[0] {
            Node::Object { .. } => Ok(List { rest: self.nodes, left: 1 }),
            _ => self.list(),
        }
    }

    /// This text.
    ///
    /// # Errors
    /// [`DecodeError::Shape`] when this is no text.
    pub(crate) fn text(self) -> Result<&'t [u8], DecodeError> {
        match self.nodes[0] {
            Node::String(text) => Ok(text.as_bytes()),
            _ => Err(DecodeError::Shape),
        }
    }

    /// This value unless it is an empty text.
    pub(crate) fn filled(self) -> Option<Self> {
        (!matches!(self.nodes[0], Node::String(""))).then_some(self)
    }

    /// This number, or the number in this text.
    pub(crate) fn decimal(self) -> Result<Decimal, DecodeError> {
        match self.nodes[0] {
            Node::String(text) => Ok(Decimal::parse(text.as_bytes())?),
            Node::Static(StaticNode::I64(number)) => Ok(Decimal { mantissa: number, scale: 0 }),
            Node::Static(StaticNode::U64(number)) => {
                let mantissa = i64::try_from(number).map_err(|_| DecodeError::Range)?;
                Ok(Decimal { mantissa, scale: 0 })
            }
            Node::Static(StaticNode::F64(number)) => decimal_of_float(number),
            _ => Err(DecodeError::Shape),
        }
    }

    /// This number in units of 1e-8, digits beyond them cut off: for prices that lie on no grid.
    pub(crate) fn e8_truncated(self) -> Result<i64, DecodeError> {
        match self.nodes[0] {
            Node::String(text) => e8_truncated(text.as_bytes()),
            _ => Ok(self.decimal()?.e8_truncated()?),
        }
    }

    /// This whole number, not negative, or the one in this text: plain digits.
    ///
    /// # Errors
    /// [`DecodeError::Number`] for anything else, [`DecodeError::Range`] past 64 bits.
    pub(crate) fn whole(self) -> Result<u64, DecodeError> {
        match self.nodes[0] {
            Node::String(text) => whole(text.as_bytes()),
            Node::Static(StaticNode::U64(number)) => Ok(number),
            Node::Static(StaticNode::I64(number)) => {
                u64::try_from(number).map_err(|_| DecodeError::Number)
            }
            Node::Static(StaticNode::F64(_)) => Err(DecodeError::Number),
            _ => Err(DecodeError::Shape),
        }
    }

    /// This id: [`Item::whole`], told apart by its error.
    pub(crate) fn id(self) -> Result<u64, DecodeError> {
        self.whole().map_err(|_| DecodeError::Id)
    }

    /// This code, where one is given as a number or a text.
    pub(crate) fn code(self) -> Result<u32, DecodeError> {
        u32::try_from(self.whole()?).map_err(|_| DecodeError::Range)
    }

    /// This time, given in milliseconds.
    pub(crate) fn millis(self) -> Result<UnixNanos, DecodeError> {
        millis(self.whole()?).ok_or(DecodeError::Range)
    }

    /// True for `true` and any spelling of `yes`.
    pub(crate) fn is_yes(self) -> bool {
        match self.nodes[0] {
            Node::String(text) => text.eq_ignore_ascii_case("yes"),
            Node::Static(StaticNode::Bool(value)) => value,
            _ => false,
        }
    }

    /// This number as a signed checksum of 32 bits, also when it is given without a sign.
    pub(crate) fn checksum(self) -> Result<i32, DecodeError> {
        let number = self.decimal()?;
        let fits = (i64::from(i32::MIN)..=i64::from(u32::MAX)).contains(&number.mantissa);
        if number.scale != 0 || !fits {
            return Err(DecodeError::Range);
        }
        Ok(number.mantissa as i32)
    }

    fn present(self) -> Option<Self> {
        (!matches!(self.nodes[0], Node::Static(StaticNode::Null))).then_some(self)
    }

    /// How many nodes this value takes.
    fn len(self) -> usize {
        match self.nodes[0] {
            Node::Object { count, .. } | Node::Array { count, .. } => count + 1,
            Node::String(_) | Node::Static(_) => 1,
        }
    }
}

/// The elements of a list.
pub(crate) struct List<'t> {
    rest: &'t [Node<'t>],
    left: usize,
}

impl List<'_> {
    /// A list without elements.
    pub(crate) const EMPTY: Self = Self { rest: &[], left: 0 };
}

impl<'t> Iterator for List<'t> {
    type Item = Item<'t>;

    fn next(&mut self) -> Option<Item<'t>> {
        self.left = self.left.checked_sub(1)?;
        let item = Item { nodes: self.rest };
        self.rest = &self.rest[item.len()..];
        Some(item)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for List<'_> {}

/// Plain digits as a number.
pub(crate) fn whole(text: &[u8]) -> Result<u64, DecodeError> {
    if text.is_empty() {
        return Err(DecodeError::Number);
    }
    text.iter().try_fold(0u64, |value, byte| {
        if !byte.is_ascii_digit() {
            return Err(DecodeError::Number);
        }
        let digit = u64::from(byte - b'0');
        value.checked_mul(10).and_then(|value| value.checked_add(digit)).ok_or(DecodeError::Range)
    })
}

/// A time in milliseconds; `None` beyond the year 2255.
pub(crate) fn millis(millis: u64) -> Option<UnixNanos> {
    let millis = i64::try_from(millis).ok().filter(|millis| *millis <= MILLIS_MAX)?;
    Some(UnixNanos::from_millis(millis))
}

/// Decimal text in units of 1e-8, however many decimals it has: index prices come with sixteen.
pub(crate) fn e8_truncated(text: &[u8]) -> Result<i64, DecodeError> {
    let point = text.iter().position(|&byte| byte == b'.');
    let kept = match point {
        Some(point) if text.len() > point + 9 => {
            if !text[point + 9..].iter().all(u8::is_ascii_digit) {
                return Err(DecodeError::Number);
            }
            &text[..point + 9]
        }
        _ => text,
    };
    Ok(Decimal::parse(kept)?.e8()?)
}

/// The decimal that a JSON number was written as: its shortest text, exact up to 15 digits.
fn decimal_of_float(number: f64) -> Result<Decimal, DecodeError> {
    use std::io::Write as _;
    let mut text = [0u8; 40];
    let mut rest = &mut text[..];
    write!(rest, "{number}").map_err(|_| DecodeError::Range)?;
    let len = 40 - rest.len();
    let decimal = Decimal::parse(&text[..len])?;
    if decimal.mantissa.unsigned_abs() >= 10u64.pow(15) {
        return Err(DecodeError::Range);
    }
    Ok(decimal)
}

/// Deepest nesting; the venue's deepest message has five.
const DEPTH_MAX: usize = 16;
/// Longest text that is read without growing a buffer.
const WARM_BYTES: usize = 64 * 1024;
/// The last millisecond of which the nanoseconds fit 64 bits, rounded down.
const MILLIS_MAX: i64 = 9_000_000_000_000;
