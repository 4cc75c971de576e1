//! Protocols without sockets: bytes and `now` in, bytes and payloads out.
//!
//! A protocol implements [`Protocol`]; whoever has the bytes (the driver live, the scheduler in the
//! virtual-time world) writes plaintext into [`Protocol::spare`] and sends what
//! [`Protocol::transmit`] shows. Nothing here reads a clock or the operating system's randomness.

pub mod http;
pub mod session;
pub mod timer;
pub mod ws;

use keel_core::units::MonoNanos;

/// The side of a protocol that faces a byte stream.
pub trait Protocol {
    /// Room for plaintext that arrives. Empty: take payloads out first, then come again.
    fn spare(&mut self) -> &mut [u8];
    /// Says that the first `bytes` of [`Protocol::spare`] were filled at `now`.
    fn received(&mut self, bytes: usize, now: MonoNanos);
    /// Bytes to send, empty when there are none.
    fn transmit(&mut self) -> &[u8];
    /// Says that the first `bytes` of [`Protocol::transmit`] were taken at `now`.
    fn sent(&mut self, bytes: usize, now: MonoNanos);
    /// Says that the peer's stream ended at `now`; `clean` when it said so itself.
    fn closed(&mut self, clean: bool, now: MonoNanos);
}

/// Copies as much of `bytes` into `protocol` as it has room for, and returns how much that was.
pub fn receive(protocol: &mut impl Protocol, bytes: &[u8], now: MonoNanos) -> usize {
    let spare = protocol.spare();
    let taken = spare.len().min(bytes.len());
    spare[..taken].copy_from_slice(&bytes[..taken]);
    protocol.received(taken, now);
    taken
}

/// A queue of bytes in one contiguous buffer of fixed size.
#[derive(Debug)]
pub struct ByteQueue {
    bytes: Box<[u8]>,
    start: usize,
    end: usize,
}

impl ByteQueue {
    /// An empty queue that holds up to `capacity` bytes. Its pages are touched at first use.
    pub fn new(capacity: usize) -> Self {
        Self { bytes: vec![0; capacity].into_boxed_slice(), start: 0, end: 0 }
    }

    /// What is in it, oldest first.
    pub fn pending(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// Bytes in it.
    pub fn len(&self) -> usize {
        self.end - self.start
    }

    /// True when nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Bytes that still fit.
    pub fn room(&self) -> usize {
        self.bytes.len() - self.len()
    }

    /// Takes out the `count` oldest bytes.
    ///
    /// # Panics
    /// When there are fewer.
    pub fn consume(&mut self, count: usize) {
        assert!(count <= self.len(), "consumed {count} bytes of {}", self.len());
        self.start += count;
        if self.start == self.end {
            self.clear();
        }
    }

    /// Appends `bytes`, all or, when they do not fit, none.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), NoRoom> {
        self.reserve(bytes.len())?.copy_from_slice(bytes);
        self.commit(bytes.len());
        Ok(())
    }

    /// Room for exactly `count` bytes behind those in the queue, joining them by [`Self::commit`].
    pub fn reserve(&mut self, count: usize) -> Result<&mut [u8], NoRoom> {
        if self.room() < count {
            return Err(NoRoom);
        }
        if self.bytes.len() - self.end < count {
            self.bytes.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        Ok(&mut self.bytes[self.end..self.end + count])
    }

    /// Joins the first `count` bytes behind the queue, written through [`Self::reserve`], to it.
    ///
    /// # Panics
    /// When the buffer ends before that.
    pub fn commit(&mut self, count: usize) {
        assert!(count <= self.bytes.len() - self.end, "committed beyond the buffer");
        self.end += count;
    }

    /// Forgets everything in it.
    pub fn clear(&mut self) {
        self.start = 0;
        self.end = 0;
    }
}

/// A buffer of fixed size cannot take what was offered; nothing was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoRoom;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_byte_queue_keeps_every_byte_in_order(
            steps in prop::collection::vec((0usize..9, 0usize..9), 0..300),
        ) {
            let mut queue = ByteQueue::new(16);
            let mut model = std::collections::VecDeque::new();
            for (number, (write, read)) in steps.into_iter().enumerate() {
                let bytes: Vec<u8> = (0..write).map(|n| (number + n) as u8).collect();
                let fits = model.len() + write <= 16;
                prop_assert_eq!(queue.push(&bytes).is_ok(), fits);
                if fits {
                    model.extend(bytes);
                }
                prop_assert_eq!(queue.room(), 16 - model.len());
                prop_assert_eq!(queue.pending(), model.make_contiguous() as &[u8]);
                let read = read.min(model.len());
                queue.consume(read);
                model.drain(..read);
            }
        }
    }
}
