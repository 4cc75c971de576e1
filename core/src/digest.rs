//! The digest: one number that differs when two engines differ.

/// Folds values into 64 bits. Not cryptographic: it compares a run with its own replay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest(u64);

impl Digest {
    /// Nothing folded yet.
    pub const fn new() -> Self {
        Self(0x9e37_79b9_7f4a_7c15)
    }

    /// Folds one value in; order matters.
    pub const fn fold(&mut self, value: u64) {
        let mixed = (self.0 ^ value).wrapping_mul(0xff51_afd7_ed55_8ccd);
        self.0 = (mixed ^ mixed >> 32).wrapping_mul(0xc4ce_b9fe_1a85_ec53) ^ mixed >> 29;
    }

    /// Folds a signed value in.
    pub const fn fold_signed(&mut self, value: i64) {
        self.fold(value.cast_unsigned());
    }

    /// The number.
    pub const fn value(self) -> u64 {
        self.0
    }
}

impl Default for Digest {
    fn default() -> Self {
        Self::new()
    }
}
