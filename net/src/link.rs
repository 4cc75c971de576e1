//! Links: one-way queues between two agents, with a name, a depth and a stated policy for when they
//! are full.
//!
//! A link never blocks and never drops silently. [`Sender::push`] hands a message back when there
//! is no room, and the sender's agent does what the link's [`WhenFull`] says; the link counts it
//! either way. Counters are read from outside through [`Gauge`], each written by one side only.
//!
//! Every page of the ring is touched when the link is made, so that no push faults later.

mod run;

use crate::sync::atomic::{AtomicU64, Ordering};
use std::mem::size_of;
use std::sync::Arc;

use crossbeam::utils::CachePadded;

pub use run::Run;

/// Makes a link of `depth` messages called `name`.
///
/// # Panics
/// When `depth` is 0, or a message is larger than [`MESSAGE_BYTES_MAX`].
pub fn link<T: Send>(
    name: &'static str,
    depth: usize,
    when_full: WhenFull,
) -> (Sender<T>, Receiver<T>) {
    const { assert!(size_of::<T>() <= MESSAGE_BYTES_MAX, "a message of a link fits three lines") };
    assert!(depth > 0, "link {name} has no room at all");
    let (mut producer, consumer) = rtrb::RingBuffer::new(depth);
    run::touch(&mut producer);
    let gauge = Arc::new(Gauge {
        name,
        depth,
        when_full,
        pushed: CachePadded::default(),
        refused: CachePadded::default(),
        popped: CachePadded::default(),
        high_water: CachePadded::default(),
    });
    let sender = Sender { producer, gauge: gauge.clone(), pushed: 0, refused: 0, gap: false };
    (sender, Receiver { consumer, gauge, popped: 0, high_water: 0 })
}

/// The writing end of a link. Dropping it abandons the link.
#[derive(Debug)]
pub struct Sender<T> {
    producer: rtrb::Producer<T>,
    gauge: Arc<Gauge>,
    pushed: u64,
    refused: u64,
    gap: bool,
}

impl<T: Send> Sender<T> {
    /// Puts `message` in, or hands it back when the link is full; that is counted, and marks a gap.
    pub fn push(&mut self, message: T) -> Result<(), Full<T>> {
        match self.producer.push(message) {
            Ok(()) => {
                self.count_pushed(1);
                Ok(())
            }
            Err(rtrb::PushError::Full(message)) => {
                self.count_refused();
                Err(Full(message))
            }
        }
    }

    /// How many messages fit now. Only the receiver changes it from outside, and only upward.
    pub fn room(&self) -> usize {
        self.producer.slots()
    }

    /// True when at least `wanted` messages fit; asks the other side only when it must.
    pub fn has_room(&self, wanted: usize) -> bool {
        self.producer.cached_slots() >= wanted || self.producer.slots() >= wanted
    }

    /// True once a message was refused since the last call: the other side has a hole to be told
    /// of.
    pub fn take_gap(&mut self) -> bool {
        std::mem::take(&mut self.gap)
    }

    /// True when the receiver is gone: what is pushed will never be read.
    pub fn is_abandoned(&self) -> bool {
        self.producer.is_abandoned()
    }

    /// The counters of this link, for readers outside.
    pub fn gauge(&self) -> Arc<Gauge> {
        self.gauge.clone()
    }

    fn count_pushed(&mut self, messages: u64) {
        self.pushed += messages;
        self.gauge.store_pushed(self.pushed);
    }

    fn count_refused(&mut self) {
        self.gap = true;
        self.refused += 1;
        self.gauge.store_refused(self.refused);
    }
}

impl<T: Copy + Send> Sender<T> {
    /// Begins a run of at most `slots_max` messages, written straight into the ring and seen by the
    /// receiver all together at [`Run::commit`], or not at all.
    pub fn run(&mut self, slots_max: usize) -> Run<'_, T> {
        Run::new(self, slots_max)
    }
}

/// The reading end of a link. Dropping it abandons the link.
#[derive(Debug)]
pub struct Receiver<T> {
    consumer: rtrb::Consumer<T>,
    gauge: Arc<Gauge>,
    popped: u64,
    high_water: u64,
}

impl<T: Send> Receiver<T> {
    /// Takes the oldest message.
    pub fn pop(&mut self) -> Option<T> {
        let message = self.consumer.pop().ok()?;
        self.count_popped(1);
        Some(message)
    }

    /// The oldest message, left where it is.
    pub fn peek(&self) -> Option<&T> {
        self.consumer.peek().ok()
    }

    /// Takes up to `quota` messages, oldest first, and returns how many there were. The slots are
    /// given back together, at the end.
    pub fn drain(&mut self, quota: usize, mut each: impl FnMut(T)) -> usize {
        let waiting = self.waiting();
        let taken = waiting.min(quota);
        if taken == 0 {
            return 0;
        }
        let chunk = self.consumer.read_chunk(taken).expect("as many as were just counted");
        chunk.into_iter().for_each(&mut each);
        self.count_popped(taken as u64);
        taken
    }

    /// How many messages wait now.
    pub fn waiting(&mut self) -> usize {
        let waiting = self.consumer.slots();
        if waiting as u64 > self.high_water {
            self.high_water = waiting as u64;
            // Relaxed: a counter of one writer, ordered with nothing.
            self.gauge.high_water.store(self.high_water, Ordering::Relaxed);
        }
        waiting
    }

    /// True when nothing waits now.
    pub fn is_empty(&self) -> bool {
        self.consumer.is_empty()
    }

    /// True when the sender is gone. Messages may still wait.
    pub fn is_abandoned(&self) -> bool {
        self.consumer.is_abandoned()
    }

    /// True when the sender is gone and nothing waits: no message will ever come.
    pub fn is_finished(&self) -> bool {
        // In this order: what was pushed before the sender went is seen by the second look.
        self.consumer.is_abandoned() && self.consumer.is_empty()
    }

    /// The counters of this link, for readers outside.
    pub fn gauge(&self) -> Arc<Gauge> {
        self.gauge.clone()
    }

    fn count_popped(&mut self, messages: u64) {
        self.popped += messages;
        // Relaxed: a counter of one writer, ordered with nothing.
        self.gauge.popped.store(self.popped, Ordering::Relaxed);
    }
}

/// What the sender's agent does when a link is full. Stated here, so that it can be read beside the
/// link's name; the link itself only refuses and counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenFull {
    /// Market data: write nothing, mark the gap, resynchronize.
    MarkGap,
    /// Private events and the journal: nothing may be lost, so stop trading.
    HardStop,
    /// Commands: the sender asks for room before it works, so a refusal is a broken invariant.
    AskFirst,
    /// Telemetry: the message is lost and counted.
    DropAndCount,
}

/// The counters of one link. Each is written by one side and may be read from any thread.
#[derive(Debug)]
pub struct Gauge {
    name: &'static str,
    depth: usize,
    when_full: WhenFull,
    pushed: CachePadded<AtomicU64>,
    refused: CachePadded<AtomicU64>,
    popped: CachePadded<AtomicU64>,
    high_water: CachePadded<AtomicU64>,
}

impl Gauge {
    /// The link's name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// How many messages it holds when full.
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// What its sender does when it is full.
    pub fn when_full(&self) -> WhenFull {
        self.when_full
    }

    /// Messages pushed since the link was made.
    pub fn pushed(&self) -> u64 {
        self.pushed.load(Ordering::Relaxed) // a counter, ordered with nothing
    }

    /// Pushes and runs refused because the link was full.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed) // a counter, ordered with nothing
    }

    /// Messages popped since the link was made.
    pub fn popped(&self) -> u64 {
        self.popped.load(Ordering::Relaxed) // a counter, ordered with nothing
    }

    /// The longest backlog the receiver has found.
    pub fn high_water(&self) -> u64 {
        self.high_water.load(Ordering::Relaxed) // a counter, ordered with nothing
    }

    fn store_pushed(&self, messages: u64) {
        // Relaxed: a counter of one writer, ordered with nothing.
        self.pushed.store(messages, Ordering::Relaxed);
    }

    fn store_refused(&self, refusals: u64) {
        // Relaxed: as above.
        self.refused.store(refusals, Ordering::Relaxed);
    }
}

/// The link had no room; the message is handed back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full<T>(pub T);

/// The largest message of any link, in bytes: an event of 128 bytes and its stamps.
pub const MESSAGE_BYTES_MAX: usize = 192;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_full_link_hands_the_message_back_and_counts_it() {
        let (mut sender, mut receiver) = link("test", 2, WhenFull::HardStop);
        assert_eq!(sender.push(1), Ok(()));
        assert_eq!(sender.push(2), Ok(()));
        assert_eq!(sender.push(3), Err(Full(3)));
        assert!(sender.take_gap());
        assert!(!sender.take_gap(), "a gap is told once");
        assert_eq!((receiver.pop(), receiver.pop(), receiver.pop()), (Some(1), Some(2), None));
        let gauge = sender.gauge();
        assert_eq!((gauge.pushed(), gauge.refused(), gauge.popped()), (2, 1, 2));
        assert_eq!(
            (gauge.name(), gauge.depth(), gauge.when_full()),
            ("test", 2, WhenFull::HardStop)
        );
    }

    #[test]
    fn a_quota_bounds_a_drain_and_the_backlog_is_remembered() {
        let (mut sender, mut receiver) = link("test", 8, WhenFull::MarkGap);
        (0..5).for_each(|n| sender.push(n).unwrap());
        let mut seen = Vec::new();
        assert_eq!(receiver.drain(3, |n| seen.push(n)), 3);
        assert_eq!(receiver.drain(3, |n| seen.push(n)), 2);
        assert_eq!(receiver.drain(3, |n| seen.push(n)), 0);
        assert_eq!(seen, [0, 1, 2, 3, 4]);
        assert_eq!(receiver.gauge().high_water(), 5);
    }

    #[test]
    fn an_abandoned_link_is_finished_only_when_drained() {
        let (mut sender, mut receiver) = link("test", 2, WhenFull::HardStop);
        sender.push(Box::new(7)).unwrap();
        assert!(!receiver.is_abandoned());
        drop(sender);
        assert!(receiver.is_abandoned() && !receiver.is_finished());
        assert_eq!(receiver.pop(), Some(Box::new(7)));
        assert!(receiver.is_finished());
        let (sender, receiver) = link::<u8>("test", 2, WhenFull::HardStop);
        drop(receiver);
        assert!(sender.is_abandoned());
    }

    #[test]
    fn a_run_is_seen_whole_or_not_at_all() {
        let (mut sender, mut receiver) = link("test", 4, WhenFull::MarkGap);
        {
            let mut run = sender.run(3);
            run.push(1).unwrap();
            run.push(2).unwrap();
        }
        assert!(receiver.is_empty(), "a run that is dropped leaves nothing");
        let mut run = sender.run(3);
        (1..=3).for_each(|n| run.push(n).unwrap());
        assert_eq!(run.commit(), Ok(3));
        assert_eq!(receiver.waiting(), 3);
        let mut run = sender.run(3);
        run.push(4).unwrap();
        assert_eq!(run.push(5), Err(Full(5)));
        assert_eq!(run.commit(), Err(Full(())));
        assert!(sender.take_gap());
        assert_eq!(receiver.waiting(), 3, "a run without room leaves nothing");
        assert_eq!(sender.gauge().refused(), 1);
    }

    #[test]
    fn a_run_of_the_stated_length_takes_no_more() {
        let (mut sender, _receiver) = link("test", 8, WhenFull::MarkGap);
        let mut run = sender.run(1);
        run.push(1).unwrap();
        assert_eq!(run.push(2), Err(Full(2)));
        assert_eq!(run.commit(), Err(Full(())));
    }

    #[test]
    fn slots_of_a_run_begin_as_their_default_and_can_be_written_in_place() {
        let (mut sender, mut receiver) = link::<[u64; 4]>("test", 3, WhenFull::MarkGap);
        for lap in 1..10 {
            let mut run = sender.run(2);
            run.slot().unwrap()[0] = lap;
            run.slot().unwrap()[3] = lap;
            assert_eq!(run.commit(), Ok(2));
            assert_eq!(receiver.pop(), Some([lap, 0, 0, 0]));
            assert_eq!(receiver.pop(), Some([0, 0, 0, lap]));
        }
    }

    #[test]
    fn two_threads_see_every_message_once_and_in_order() {
        let (mut sender, mut receiver) = link::<u64>("test", 64, WhenFull::HardStop);
        let writer = std::thread::spawn(move || {
            let mut next = 0;
            while next < 100_000 {
                let mut run = sender.run(7);
                let mut taken = 0;
                while taken < 7 && run.push(next + taken).is_ok() {
                    taken += 1;
                }
                if run.commit().is_ok() {
                    next += taken;
                }
            }
            next
        });
        let mut expected = 0;
        while !receiver.is_finished() {
            receiver.drain(16, |n| {
                assert_eq!(n, expected);
                expected += 1;
            });
        }
        assert_eq!(writer.join().unwrap(), expected);
    }

    proptest! {
        #[test]
        fn runs_and_pops_behave_like_a_bounded_queue(
            steps in prop::collection::vec((0usize..6, 0usize..6), 0..200),
        ) {
            let (mut sender, mut receiver) = link::<usize>("test", 5, WhenFull::MarkGap);
            let mut model = std::collections::VecDeque::new();
            for (step, (write, read)) in steps.into_iter().enumerate() {
                let mut run = sender.run(write);
                let refused = (0..write).filter(|n| run.push(step * 10 + n).is_err()).count();
                if model.len() + write <= 5 {
                    prop_assert_eq!(refused, 0);
                    prop_assert_eq!(run.commit(), Ok(write));
                    model.extend((0..write).map(|n| step * 10 + n));
                } else {
                    prop_assert_eq!(run.commit(), Err(Full(())));
                }
                let mut seen = Vec::new();
                receiver.drain(read, |n| seen.push(n));
                let expected: Vec<_> = model.drain(..read.min(model.len())).collect();
                prop_assert_eq!(seen, expected);
            }
        }
    }
}

#[cfg(all(test, loom))]
mod model {
    use super::*;

    #[test]
    fn loom_no_counter_of_a_link_is_seen_to_fall_or_to_run_ahead() {
        loom::model(|| {
            let gauge = Arc::new(Gauge {
                name: "model",
                depth: 1,
                when_full: WhenFull::HardStop,
                pushed: CachePadded::default(),
                refused: CachePadded::default(),
                popped: CachePadded::default(),
                high_water: CachePadded::default(),
            });
            let seen = gauge.clone();
            let sender = loom::thread::spawn(move || {
                gauge.store_pushed(1);
                gauge.store_refused(1);
                gauge.store_pushed(2);
            });
            let counts = [seen.pushed(), seen.pushed(), 2];
            assert!(counts.is_sorted(), "{counts:?}");
            assert!(seen.refused() <= 1);
            sender.join().expect("it ends");
            assert_eq!((seen.pushed(), seen.refused()), (2, 1));
        });
    }
}
