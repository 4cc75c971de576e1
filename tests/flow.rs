//! Flow: items by the hundred million from one thread to another over a link, each checked.
//!
//! The sender pushes one by one and in runs, drops runs half-way, meets a full link, and waits for
//! an empty one; the receiver pops and drains, and stands still until the sender has been refused.
//! What arrives must be everything, once, in order, and as it was.

use std::fmt;
use std::thread;
use std::time::{Duration, Instant};

use keel_io::world::Chance;
use keel_net::link::{Receiver, Sender, WhenFull, link};

/// What one passage came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passage {
    /// Places of the link.
    pub depth: usize,
    /// Items that arrived.
    pub items: u64,
    /// Pushes and runs that found no room.
    pub full: u64,
    /// Runs that were dropped before they were published.
    pub dropped: u64,
    /// Times that the receiver stood still until the sender was refused.
    pub stood: u64,
    /// Times that the sender waited until the link was empty.
    pub emptied: u64,
    /// How long it took.
    pub took: Duration,
}

/// Depths that are passed through, and the share of the items in a thousandth: the market's link,
/// one whose places are no power of two, and one that is nearly always full.
pub const DEPTHS: [(usize, u64); 3] = [(16_384, 850), (1_000, 149), (3, 1)];

/// Sends `items` through a link of `depth` places from another thread.
///
/// # Errors
/// What is wrong with the first item that is not the next one, or with the counts at the end.
///
/// # Panics
/// When the sending thread does.
pub fn pass(depth: usize, items: u64, seed: u64) -> Result<Passage, String> {
    let (sender, mut receiver) = link::<Item>("flow", depth, WhenFull::HardStop);
    let gauge = sender.gauge();
    let began = Instant::now();
    let writer = thread::spawn(move || send(sender, items, &mut Chance::new(seed, 1)));
    let mut checker = Checker::default();
    let stood = receive(&mut receiver, &mut checker, &mut Chance::new(seed, 2))?;
    let Sent { dropped, emptied } = writer.join().expect("the sender ends");
    let counts = (gauge.pushed(), gauge.popped(), checker.next);
    if counts != (items, items, items) {
        return Err(format!("pushed, popped and seen {counts:?} of {items}"));
    }
    if gauge.high_water() > depth as u64 {
        return Err(format!("{} waited in {depth} places", gauge.high_water()));
    }
    let (full, took) = (gauge.refused(), began.elapsed());
    Ok(Passage { depth, items, full, dropped, stood, emptied, took })
}

/// An event's size: a number and words that follow from it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Item {
    number: u64,
    words: [u64; 15],
}

impl Item {
    fn of(number: u64) -> Self {
        let mut word = number;
        let words = [(); 15].map(|()| {
            word = (word ^ 0x5851_f42d_4c95_7f2d).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            word
        });
        Self { number, words }
    }
}

/// Knows which item comes next.
#[derive(Debug, Default)]
struct Checker {
    next: u64,
}

impl Checker {
    fn take(&mut self, item: &Item) -> Result<(), String> {
        if *item != Item::of(self.next) {
            return Err(format!("{item:?} in place of {}", self.next));
        }
        self.next += 1;
        Ok(())
    }
}

struct Sent {
    dropped: u64,
    emptied: u64,
}

fn send(mut sender: Sender<Item>, items: u64, chance: &mut Chance) -> Sent {
    let depth = sender.gauge().depth();
    let (mut next, mut sent) = (0, Sent { dropped: 0, emptied: 0 });
    while next < items && !sender.is_abandoned() {
        let wanted = chance.between(1, RUN_MAX.min(depth as u64)).min(items - next);
        let done = if chance.one_in(2) {
            let pushed = (0..wanted).take_while(|n| sender.push(Item::of(next + n)).is_ok());
            pushed.count() as u64
        } else {
            let mut run = sender.run(wanted as usize);
            // A run that overflows publishes nothing, and its commit says so.
            (0..wanted).for_each(|n| _ = run.push(Item::of(next + n)));
            if chance.one_in(16) {
                sent.dropped += 1;
                continue;
            }
            run.commit().map_or(0, |published| published as u64)
        };
        next += done;
        if done < wanted {
            thread::yield_now();
        } else if chance.one_in(WAIT_EVERY) {
            sent.emptied += u64::from(wait(|| sender.room() == depth));
        }
    }
    sent
}

fn receive(
    receiver: &mut Receiver<Item>,
    checker: &mut Checker,
    chance: &mut Chance,
) -> Result<u64, String> {
    let gauge = receiver.gauge();
    let mut stood = 0;
    while !receiver.is_finished() {
        let quota = chance.between(1, RUN_MAX * 4) as usize;
        let mut wrong = Ok(());
        let taken = if chance.one_in(2) {
            receiver.drain(quota, |item| wrong = wrong.clone().and_then(|()| checker.take(&item)))
        } else {
            let popped = (0..quota).map_while(|_| receiver.pop());
            popped.map(|item| wrong = wrong.clone().and_then(|()| checker.take(&item))).count()
        };
        wrong?;
        if taken == 0 {
            thread::yield_now();
        } else if chance.one_in(WAIT_EVERY) {
            let before = gauge.refused();
            stood += u64::from(wait(|| gauge.refused() > before));
        }
    }
    Ok(stood)
}

/// Waits until it is so; gives up after a while, as both sides may wait for the other at once.
fn wait(is_so: impl Fn() -> bool) -> bool {
    (0..WAITS).any(|_| {
        let so = is_so();
        if !so {
            thread::yield_now();
        }
        so
    })
}

impl fmt::Display for Passage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ns = self.took.as_nanos() / u128::from(self.items.max(1));
        write!(
            f,
            "{:>6} places {:>11} items {:>9} times round {:>10} full {:>9} runs dropped {:>7} \
             stood still {:>7} emptied {ns:>5} ns an item",
            self.depth,
            self.items,
            self.items / self.depth as u64,
            self.full,
            self.dropped,
            self.stood,
            self.emptied,
        )
    }
}

/// Longest run.
const RUN_MAX: u64 = 12;
/// One in so many turns a side waits.
const WAIT_EVERY: u64 = 5_000;
const WAITS: u32 = 200_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_million_items_arrive_once_in_order_and_as_they_were() {
        for (depth, share) in DEPTHS {
            let passage = pass(depth, 1_000 * share, 7).expect("everything arrives");
            println!("{passage}");
            assert!(passage.dropped > 0 && passage.items >= 2 * depth as u64, "{passage}");
        }
        let narrow = pass(3, 2_000, 7).expect("everything arrives");
        assert!(narrow.full > 0, "{narrow}");
    }

    #[test]
    fn an_item_that_is_lost_doubled_late_or_changed_is_noticed() {
        let takes = |numbers: &[u64]| {
            let mut checker = Checker::default();
            numbers.iter().try_for_each(|&number| checker.take(&Item::of(number)))
        };
        assert_eq!(takes(&[0, 1, 2]), Ok(()));
        for wrong in [&[0, 2][..], &[0, 0], &[1, 0]] {
            assert!(takes(wrong).is_err(), "{wrong:?}");
        }
        for place in 0..15 {
            let mut item = Item::of(0);
            item.words[place] ^= 1 << 63;
            assert!(Checker::default().take(&item).is_err(), "word {place}");
        }
    }
}
