//! What the product asks the venue for beside its streams, under virtual time: quiet books.

use keel_core::book::Fault;
use keel_core::command::{CommandView, NoticeKind};
use keel_core::event::{Event, FeedState};
use keel_core::units::{MILLIS, SECONDS};
use keel_io::clock::ORIGIN;
use keel_io::journal::TapKind;
use keel_io::world::{Note, Noted, World, WorldConfig};

/// What was seen of a venue that shows its books seldom.
#[derive(Debug, Default)]
struct Seen {
    /// Best bids and asks that the engine was told over REST, and pongs.
    touches: u64,
    pongs: u64,
    /// Books dropped because of them.
    dropped: u64,
    orders: u64,
}

impl Seen {
    fn take(&mut self, note: &Note) {
        let Note::Tap(tap) = note else { return };
        if tap.kind == TapKind::Event {
            match Event::decode(&tap.slot).expect("an event") {
                Event::TouchReport(_) => self.touches += 1,
                Event::Feed(feed) => self.pongs += u64::from(feed.state == FeedState::Pong),
                _ => {}
            }
            return;
        }
        match CommandView::decode(&tap.slot) {
            Ok(CommandView::Notice(notice)) if notice.kind == NoticeKind::BookDropped => {
                assert_eq!(notice.a, Fault::Touch as i64, "nothing else is wrong");
                self.dropped += 1;
            }
            Ok(CommandView::Place(_)) => self.orders += 1,
            _ => {}
        }
    }
}

/// Two minutes of a world whose venue shows its books each `every_ms` at most.
fn seldom(seed: u64, every_ms: i64) -> Seen {
    let (mut config, mut seen) = (WorldConfig::calm(seed), Seen::default());
    config.exchange.cadence.books_ns = every_ms * MILLIS as i64;
    let mut world = World::new(config);
    world.run_until(ORIGIN.after(120 * SECONDS), |world| {
        world.take_notes().iter().for_each(|Noted { note, .. }| seen.take(note));
    });
    seen
}

#[test]
fn a_venue_that_shows_its_books_seldom_is_asked_for_its_touch() {
    let often = seldom(1, 100);
    assert_eq!((often.touches, often.dropped), (0, 0), "{often:?}");
    let mut sum = Seen::default();
    for seed in 1..=4 {
        let seen = seldom(seed, 4_000);
        assert!(seen.touches > 20 && seen.pongs > 20, "{seen:?}");
        sum.dropped += seen.dropped;
        sum.orders += seen.orders;
    }
    assert!(sum.dropped > 0, "the market moves on without the book: {sum:?}");
    assert!(sum.orders > 0, "and is quoted while it is known: {sum:?}");
}
