//! Bytes on their way to a client.

/// A byte queue: written at the end, sent from the front.
#[derive(Debug, Default)]
pub(super) struct Outbound {
    bytes: Vec<u8>,
    sent: usize,
}

impl Outbound {
    /// What is to be sent.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[self.sent..]
    }

    /// Appends bytes.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The end of the queue, to be appended to.
    pub(super) fn tail(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Takes the last `n` bytes back, or all that wait.
    pub(super) fn forget(&mut self, n: usize) {
        let kept = self.bytes.len() - n.min(self.bytes.len() - self.sent);
        self.bytes.truncate(kept);
    }

    /// Notes that the first `n` bytes were sent.
    ///
    /// # Panics
    /// When there are not so many.
    pub(super) fn sent(&mut self, n: usize) {
        self.sent += n;
        assert!(self.sent <= self.bytes.len(), "more was sent than was there");
        if self.sent == self.bytes.len() {
            self.bytes.clear();
            self.sent = 0;
        } else if self.sent >= COMPACT_BYTES {
            self.bytes.drain(..self.sent);
            self.sent = 0;
        }
    }
}

/// From so many sent bytes on, the rest is moved to the front.
const COMPACT_BYTES: usize = 64 * 1024;
