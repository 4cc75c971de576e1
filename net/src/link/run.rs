//! Runs: several messages written into a ring and published together.
//!
//! The only `unsafe` of the links: publishing slots that the type system cannot see were written.
#![allow(unsafe_code)]

use std::mem::MaybeUninit;

use super::{Full, Sender};

/// A run of messages being written. Dropping it leaves nothing behind.
#[derive(Debug)]
pub struct Run<'a, T> {
    chunk: rtrb::chunks::WriteChunkUninit<'a, T>,
    written: usize,
    overflowed: bool,
    counts: Counts<'a>,
}

impl<'a, T: Copy + Send> Run<'a, T> {
    pub(super) fn new(sender: &'a mut Sender<T>, slots_max: usize) -> Self {
        let cached = sender.producer.cached_slots();
        let room = if cached >= slots_max { cached } else { sender.producer.slots() };
        let Sender { producer, gauge, pushed, refused, gap } = sender;
        let chunk = producer
            .write_chunk_uninit(room.min(slots_max))
            .expect("the receiver only ever makes room");
        Self {
            chunk,
            written: 0,
            overflowed: false,
            counts: Counts { gauge, pushed, refused, gap },
        }
    }

    /// Writes the next message. Refused when the ring or the stated length is exhausted; the whole
    /// run is lost then.
    pub fn push(&mut self, message: T) -> Result<(), Full<T>> {
        let Some(slot) = nth(&mut self.chunk, self.written) else {
            self.overflowed = true;
            return Err(Full(message));
        };
        slot.write(message);
        self.written += 1;
        Ok(())
    }

    /// The next slot, set to its default, to be written in place; `None` as for [`Run::push`].
    pub fn slot(&mut self) -> Option<&mut T>
    where
        T: Default,
    {
        let Some(slot) = nth(&mut self.chunk, self.written) else {
            self.overflowed = true;
            return None;
        };
        self.written += 1;
        Some(slot.write(T::default()))
    }

    /// How many messages have been written.
    pub fn len(&self) -> usize {
        self.written
    }

    /// True when none has been written.
    pub fn is_empty(&self) -> bool {
        self.written == 0
    }

    /// Publishes what was written and returns how many there are, or, when a message found no room,
    /// publishes nothing, counts one refusal and marks a gap.
    pub fn commit(self) -> Result<usize, Full<()>> {
        let Self { chunk, written, overflowed, counts } = self;
        if overflowed {
            counts.refused();
            return Err(Full(()));
        }
        // SAFETY: `push` and `slot` write the slots in order and count each in `written`, so the
        // first `written` slots are initialized.
        unsafe { chunk.commit(written) };
        counts.pushed(written as u64);
        Ok(written)
    }
}

/// Slot `index` of a chunk, across the ring's edge.
fn nth<'c, T>(
    chunk: &'c mut rtrb::chunks::WriteChunkUninit<'_, T>,
    index: usize,
) -> Option<&'c mut MaybeUninit<T>> {
    let (head, tail) = chunk.as_mut_slices();
    match index.checked_sub(head.len()) {
        None => head.get_mut(index),
        Some(index) => tail.get_mut(index),
    }
}

/// Writes zeros over every slot of an empty ring, so that its pages are there before the first
/// push.
pub(super) fn touch<T>(producer: &mut rtrb::Producer<T>) {
    let slots = producer.slots();
    let mut chunk = producer.write_chunk_uninit(slots).expect("as many as were just counted");
    let (head, tail) = chunk.as_mut_slices();
    for slot in head.iter_mut().chain(tail) {
        *slot = MaybeUninit::zeroed();
    }
    std::hint::black_box(chunk.as_mut_slices());
}

#[derive(Debug)]
struct Counts<'a> {
    gauge: &'a super::Gauge,
    pushed: &'a mut u64,
    refused: &'a mut u64,
    gap: &'a mut bool,
}

impl Counts<'_> {
    fn pushed(self, messages: u64) {
        *self.pushed += messages;
        self.gauge.store_pushed(*self.pushed);
    }

    fn refused(self) {
        *self.gap = true;
        *self.refused += 1;
        self.gauge.store_refused(*self.refused);
    }
}
