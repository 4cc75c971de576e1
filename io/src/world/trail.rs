//! Trail: one number over everything that happened.

/// Takes whatever happens, in order.
#[derive(Clone, Debug)]
pub(super) struct Trail {
    hasher: blake3::Hasher,
    /// What was added lately. The hash is several times as fast over much at once.
    waiting: Vec<u8>,
}

impl Trail {
    /// Nothing has happened yet.
    pub(super) fn new() -> Self {
        Self { hasher: blake3::Hasher::new(), waiting: Vec::with_capacity(WAITING_BYTES) }
    }

    /// Something has happened.
    pub(super) fn add(&mut self, bytes: &[u8]) {
        if self.waiting.len() + bytes.len() > WAITING_BYTES {
            self.hasher.update(&self.waiting);
            self.waiting.clear();
        }
        self.waiting.extend_from_slice(bytes);
    }

    /// The number, as text.
    pub(super) fn text(&self) -> String {
        let mut hasher = self.hasher.clone();
        hasher.update(&self.waiting).finalize().to_hex().to_string()
    }
}

const WAITING_BYTES: usize = 1 << 16;
