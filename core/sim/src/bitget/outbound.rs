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
            // The room that a slow client has taken is given back once it has caught up.
            self.bytes.shrink_to(KEPT_BYTES);
            self.sent = 0;
        } else if self.sent >= KEPT_BYTES && self.sent * 2 >= self.bytes.len() {
            // No more bytes are moved than were sent since the last time.
            self.bytes.drain(..self.sent);
            self.sent = 0;
        }
    }
}

/// Sent bytes that are not worth moving the rest for; room that an empty queue may keep.
const KEPT_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_out_as_they_went_in_and_room_is_given_back() {
        let mut out = Outbound::default();
        let bytes: Vec<u8> = (0..3_000_000u32).map(|i| (i % 251) as u8).collect();
        let mut seen = Vec::new();
        for part in bytes.chunks(70_000) {
            out.push(part);
            let n = out.bytes().len() / 3;
            seen.extend_from_slice(&out.bytes()[..n]);
            out.sent(n);
            let (held, waits) = (out.bytes.len(), out.bytes().len());
            assert!(held <= 2 * waits + KEPT_BYTES, "{held} for {waits}");
        }
        seen.extend_from_slice(out.bytes());
        out.sent(out.bytes().len());
        assert_eq!(seen, bytes);
        assert!(out.bytes.capacity() <= KEPT_BYTES);
    }
}
