//! Words: a short text of the venue's, with a fixed place in a slot.

use core::fmt;

use crate::layout::{Field, LayoutError, Reader, Writer};

/// Up to [`WORDS_BYTES`] characters of printable ASCII; nothing is ever decided by them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Words([u8; WORDS_BYTES]);

/// The venue's messages of rejects are shorter; what is longer is cut off.
pub const WORDS_BYTES: usize = 80;

impl Words {
    /// None.
    pub const NONE: Self = Self([0; WORDS_BYTES]);

    /// The beginning of `text`. What is no printable ASCII becomes `?`, so that no message can
    /// break a line of the log or a row of a table.
    pub fn new(text: &[u8]) -> Self {
        let mut words = Self::NONE;
        for (to, &from) in words.0.iter_mut().zip(text) {
            *to = if is_plain(from) { from } else { b'?' };
        }
        words
    }

    /// The text; empty for none.
    pub fn as_str(&self) -> &str {
        let len = self.0.iter().position(|&byte| byte == 0).unwrap_or(WORDS_BYTES);
        core::str::from_utf8(&self.0[..len]).expect("made of ASCII only")
    }
}

const fn is_plain(byte: u8) -> bool {
    byte == b' ' || byte.is_ascii_graphic()
}

impl fmt::Debug for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

impl Field for Words {
    const SIZE: usize = WORDS_BYTES;
    fn put(&self, to: &mut Writer<'_>) {
        self.0.put(to);
    }
    fn take(from: &mut Reader<'_>) -> Result<Self, LayoutError> {
        let bytes = <[u8; WORDS_BYTES]>::take(from)?;
        let words = Self::new(&bytes[..bytes.iter().position(|&b| b == 0).unwrap_or(WORDS_BYTES)]);
        if words.0 == bytes { Ok(words) } else { Err(LayoutError::Value) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_to_its_place_and_cannot_break_a_line() {
        assert_eq!(Words::new(b"").as_str(), "");
        assert_eq!(Words::new(b"invalid size").as_str(), "invalid size");
        assert_eq!(Words::new("a\nb\0c\u{1b}[m é".as_bytes()).as_str(), "a?b?c?[m ??");
        let long = [b'x'; WORDS_BYTES + 1];
        assert_eq!(Words::new(&long).as_str().len(), WORDS_BYTES);
    }

    #[test]
    fn only_what_new_makes_is_read_back() {
        let read = |bytes: [u8; WORDS_BYTES]| {
            let mut slot = [0; crate::layout::SLOT_BYTES];
            bytes.put(&mut Writer::new(&mut slot, 1));
            Words::take(&mut Reader::new(&slot).expect("a slot").1)
        };
        for words in [Words::NONE, Words::new(b"no"), Words::new(&[b'y'; WORDS_BYTES])] {
            assert_eq!(read(words.0), Ok(words));
        }
        let mut hole = Words::new(b"no").0;
        hole[5] = b'x';
        let mut control = Words::new(b"no").0;
        control[0] = b'\n';
        for bad in [hole, control] {
            assert_eq!(read(bad), Err(LayoutError::Value));
        }
    }
}
