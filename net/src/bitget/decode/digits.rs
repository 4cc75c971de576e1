//! Decimal digits, eight at a time: the bytes of a word are looked at together, so that a number
//! costs a few multiplications and no branch a digit.

/// Reads digits on top of `value`, and says how many there were. The value means nothing when all
/// digits together are more than 19.
#[inline]
pub(super) fn digits(bytes: &[u8], mut value: u64) -> (u64, usize) {
    let mut len = 0;
    while let Some(chunk) = bytes[len..].first_chunk() {
        let word = Word::new(*chunk);
        let count = word.digits();
        if count > 0 {
            value = value.wrapping_mul(POW10[count]).wrapping_add(word.number(count));
        }
        len += count;
        if count < WORD {
            return (value, len);
        }
    }
    while let Some(byte) = bytes.get(len) {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            break;
        }
        value = value.wrapping_mul(10).wrapping_add(u64::from(digit));
        len += 1;
    }
    (value, len)
}

/// A short number with or without decimals and with its closing quote: its digits, how many of them
/// are decimals, and how many bytes it takes with the quote. `None` says nothing: it may be longer,
/// or no number.
#[inline]
pub(super) fn short_decimal(bytes: &[u8]) -> Option<(u64, u8, usize)> {
    let window: &[u8; WORD + 1] = bytes.first_chunk()?;
    let (chunk, _) = window.split_first_chunk()?;
    let word = Word::new(*chunk);
    let whole = word.digits();
    if whole == 0 || whole == WORD {
        return None;
    }
    if window[whole] == b'"' {
        return Some((word.number(whole), 0, whole + 1));
    }
    let end = word.after_first();
    if window[whole] != b'.' || window[end] != b'"' || end == whole + 1 {
        return None;
    }
    let number = word.without(whole).number(end - 1);
    Some((number, (end - whole - 1) as u8, end + 1))
}

/// Eight bytes less `b'0'` each, the first lowest.
#[derive(Clone, Copy)]
struct Word {
    values: u64,
    /// The high bit of each byte that is no digit; right up to and including the first of them, and
    /// to the second where the first is a point.
    others: u64,
}

impl Word {
    #[inline]
    fn new(bytes: [u8; WORD]) -> Self {
        let values = u64::from_le_bytes(bytes) ^ ZEROS;
        // A digit is below 10 and stays below 128; a byte that is not may carry into those behind
        // it, a point (30 here) does not.
        let others = (values.wrapping_add(TO_HIGH) | values) & HIGH;
        Self { values, others }
    }

    /// Digits before the first other byte.
    #[inline]
    fn digits(self) -> usize {
        self.others.trailing_zeros() as usize / 8
    }

    /// Where the second other byte stands, the first being a point.
    #[inline]
    fn after_first(self) -> usize {
        (self.others & self.others.wrapping_sub(1)).trailing_zeros() as usize / 8
    }

    /// The same without the byte at `place`, 1 to 7: those behind it move up.
    #[inline]
    fn without(self, place: usize) -> Self {
        let before = (1 << (8 * place)) - 1;
        Self { values: (self.values & before) | ((self.values >> 8) & !before), ..self }
    }

    /// The number that the first `count` bytes make, 1 to 8 digits: pairs, then fours, then all
    /// eight. What is missing in front is zero.
    #[inline]
    fn number(self, count: usize) -> u64 {
        let values = self.values << (64 - 8 * count);
        let pairs = values.wrapping_mul(10).wrapping_add(values >> 8);
        let high = (pairs & PAIR).wrapping_mul(100 + (1_000_000 << 32));
        let low = ((pairs >> 16) & PAIR).wrapping_mul(1 + (10_000 << 32));
        high.wrapping_add(low) >> 32
    }
}

/// Bytes that are looked at together.
const WORD: usize = 8;
const ZEROS: u64 = 0x3030_3030_3030_3030;
const HIGH: u64 = 0x8080_8080_8080_8080;
/// Brings 10 and everything above to the high bit.
const TO_HIGH: u64 = 0x7676_7676_7676_7676;
/// The first and the third pair of four.
const PAIR: u64 = 0x0000_00ff_0000_00ff;
const POW10: [u64; WORD + 1] = {
    let mut powers = [1; WORD + 1];
    let mut n = 1;
    while n < powers.len() {
        powers[n] = powers[n - 1] * 10;
        n += 1;
    }
    powers
};

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Digit by digit.
    fn plain(bytes: &[u8], mut value: u64) -> (u64, usize) {
        let len = bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
        for byte in &bytes[..len] {
            value = value.wrapping_mul(10).wrapping_add(u64::from(byte - b'0'));
        }
        (value, len)
    }

    /// What a short number is, said with text.
    fn plain_decimal(bytes: &[u8]) -> Option<(u64, u8, usize)> {
        let end = bytes.iter().position(|&byte| byte == b'"')?;
        let text = std::str::from_utf8(&bytes[..end]).ok()?;
        let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || !digits(decimals) {
            return None;
        }
        let scale = if text.contains('.') { decimals.len() } else { 0 };
        let number = text.replace('.', "").parse().ok()?;
        Some((number, scale as u8, end + 1))
    }

    #[test]
    fn short_numbers_are_read_and_everything_else_is_left() {
        let read = |text: &str| short_decimal(format!("{text}________").as_bytes());
        assert_eq!(read("100002.9\""), Some((1_000_029, 1, 9)));
        assert_eq!(read("3.1234\""), Some((31_234, 4, 7)));
        assert_eq!(read("0\""), Some((0, 0, 2)));
        assert_eq!(read("1234567\""), Some((1_234_567, 0, 8)));
        for left in
            ["\"", ".5\"", "1.\"", "12345678\"", "1.2.3\"", "1,2\"", "-1\"", "1e5\"", "1.2x\""]
        {
            assert_eq!(read(left), None, "{left}");
        }
        assert_eq!(short_decimal(b"1.5\","), None, "too near to the end");
    }

    proptest! {
        #[test]
        fn eight_at_a_time_are_as_one_by_one(
            bytes in prop::collection::vec(prop_oneof![
                8 => b'0'..=b'9', 1 => any::<u8>(), 1 => prop::sample::select(b"./:\"\x30\x3a\xff\x8a".to_vec()),
            ], 0..40),
            value in any::<u64>(),
        ) {
            prop_assert_eq!(digits(&bytes, value), plain(&bytes, value));
            if let Some(found) = short_decimal(&bytes) {
                prop_assert_eq!(Some(found), plain_decimal(&bytes));
            }
        }

        #[test]
        fn every_short_number_is_read(text in "[0-9]{1,3}(\\.[0-9]{1,4})?\"", rest in "[ -~]{9}") {
            let bytes = format!("{text}{rest}");
            let found = short_decimal(bytes.as_bytes());
            prop_assert!(found.is_some());
            prop_assert_eq!(found, plain_decimal(bytes.as_bytes()));
        }
    }
}
