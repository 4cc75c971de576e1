//! Client order ids: `keel-<instance>-<epoch>-<number>`, the last two in base 36.
//!
//! The venue takes up to 32 of `[0-9A-Za-z_-]` (bitget reference §17). The text tells which process
//! made an order, so that after a crash its own orders are known again and everybody else's are not
//! touched as own.

use keel_core::event::ClientId;

/// The name of one engine among those that share an account: 1 to 8 of `a-z 0-9`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instance {
    name: [u8; INSTANCE_BYTES_MAX],
    len: u8,
}

impl Instance {
    /// Reads a name; `None` when it is empty, longer, or has other characters.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        let allowed = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        if bytes.is_empty() || bytes.len() > INSTANCE_BYTES_MAX || !bytes.iter().all(allowed) {
            return None;
        }
        let mut name = [0; INSTANCE_BYTES_MAX];
        name[..bytes.len()].copy_from_slice(bytes);
        Some(Self { name, len: bytes.len() as u8 })
    }

    /// The name.
    pub fn as_bytes(&self) -> &[u8] {
        &self.name[..usize::from(self.len)]
    }

    /// Appends the text of `client`, which this instance made.
    ///
    /// # Panics
    /// When `client` is [`ClientId::FOREIGN`], or its number is beyond [`NUMBER_MAX`].
    pub fn write(&self, client: ClientId, out: &mut Vec<u8>) {
        assert!(client.is_own(), "a foreign order has no id of ours");
        assert!(client.number <= NUMBER_MAX, "an epoch has at most {NUMBER_MAX} orders");
        out.extend_from_slice(PREFIX);
        out.extend_from_slice(self.as_bytes());
        out.push(b'-');
        push_base36(u64::from(client.epoch), out);
        out.push(b'-');
        push_base36(client.number, out);
    }

    /// Whose order `text` names: this instance's, or [`ClientId::FOREIGN`] for every other text.
    pub fn read(&self, text: &[u8]) -> ClientId {
        self.own(text).unwrap_or(ClientId::FOREIGN)
    }

    fn own(&self, text: &[u8]) -> Option<ClientId> {
        let rest = text.strip_prefix(PREFIX)?.strip_prefix(self.as_bytes())?.strip_prefix(b"-")?;
        let dash = rest.iter().position(|&byte| byte == b'-')?;
        let epoch = parse_base36(&rest[..dash]).and_then(|epoch| u32::try_from(epoch).ok())?;
        let number = parse_base36(&rest[dash + 1..])?;
        let real = epoch > 0 && (1..=NUMBER_MAX).contains(&number);
        real.then_some(ClientId { epoch, number })
    }
}

/// Appends `value` in base 36, lower case, without leading zeros.
pub(super) fn push_base36(mut value: u64, out: &mut Vec<u8>) {
    let mut reversed = [0u8; 13];
    let mut len = 0;
    loop {
        let digit = (value % 36) as u8;
        reversed[len] = if digit < 10 { b'0' + digit } else { b'a' + digit - 10 };
        len += 1;
        value /= 36;
        if value == 0 {
            break;
        }
    }
    out.extend(reversed[..len].iter().rev());
}

/// Reads what [`push_base36`] writes and nothing else.
pub(super) fn parse_base36(text: &[u8]) -> Option<u64> {
    if text.is_empty() || (text.len() > 1 && text[0] == b'0') {
        return None;
    }
    text.iter().try_fold(0u64, |value, &byte| {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'z' => byte - b'a' + 10,
            _ => return None,
        };
        value.checked_mul(36)?.checked_add(u64::from(digit))
    })
}

/// Longest instance name, in bytes.
pub const INSTANCE_BYTES_MAX: usize = 8;
/// Longest client id, in bytes.
pub const CLIENT_BYTES_MAX: usize = 32;
/// The largest number that an order of an epoch has: ten digits of base 36.
pub const NUMBER_MAX: u64 = 36u64.pow(10) - 1;

const PREFIX: &[u8] = b"keel-";
/// Prefix, instance, dash, an epoch of 32 bits, dash, number.
const _: () = assert!(PREFIX.len() + INSTANCE_BYTES_MAX + 1 + 7 + 1 + 10 <= CLIENT_BYTES_MAX);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn instance() -> Instance {
        Instance::parse("mm1").unwrap()
    }

    #[test]
    fn the_longest_id_fits_what_the_venue_takes() {
        let mut text = Vec::new();
        let longest = ClientId { epoch: u32::MAX, number: NUMBER_MAX };
        Instance::parse("abcdefgh").unwrap().write(longest, &mut text);
        assert_eq!(text.len(), CLIENT_BYTES_MAX);
        assert!(text.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-'));
    }

    #[test]
    fn only_the_canonical_text_of_this_instance_is_own() {
        let own = ClientId { epoch: 36, number: 71 };
        assert_eq!(instance().read(b"keel-mm1-10-1z"), own);
        let others: [&[u8]; 14] = [
            b"",
            b"keel",
            b"keel-mm1",
            b"keel-mm1-10",
            b"keel-mm1-10-",
            b"keel-mm1--1z",
            b"keel-mm2-10-1z",
            b"keel-mm10-10-1z",
            b"KEEL-mm1-10-1z",
            b"keel-mm1-10-1Z",
            b"keel-mm1-010-1z",
            b"keel-mm1-0-1",
            b"keel-mm1-1-0",
            b"keel-mm1-10-1z-3",
        ];
        for other in others {
            assert_eq!(instance().read(other), ClientId::FOREIGN, "{:?}", other.escape_ascii());
        }
    }

    #[test]
    fn an_instance_name_is_short_and_plain() {
        for bad in ["", "Mm1", "mm-1", "abcdefghi", "mm 1"] {
            assert_eq!(Instance::parse(bad), None);
        }
    }

    proptest! {
        #[test]
        fn every_own_id_reads_back(epoch in 1u32.., number in 1u64..=NUMBER_MAX) {
            let client = ClientId { epoch, number };
            let mut text = Vec::new();
            instance().write(client, &mut text);
            prop_assert_eq!(instance().read(&text), client);
            prop_assert_eq!(Instance::parse("mm2").unwrap().read(&text), ClientId::FOREIGN);
        }
    }
}
