//! Rotation: the next connection takes over one instrument after the other, each between two frames
//! of its book, so that no book is ever without its data.

use keel_core::event::{BookPage, Event};
use keel_core::instrument::InstrumentId;

use crate::bitget::decode::Sink;

/// How far the instruments are on their way from one connection to the next.
#[derive(Debug)]
pub(super) struct Rotation {
    /// By instrument.
    places: Vec<Place>,
    /// Instruments that the next connection has taken over.
    moved: usize,
}

#[derive(Clone, Copy, Debug, Default)]
struct Place {
    moved: bool,
    /// The next connection has shown a whole book.
    shown: bool,
    /// The number of the last frame that was passed on from the one before.
    seq: u64,
}

impl Rotation {
    /// No instrument has moved.
    pub(super) fn new(instruments: usize) -> Self {
        Self { places: vec![Place::default(); instruments], moved: 0 }
    }

    /// A rotation begins.
    pub(super) fn begin(&mut self) {
        self.places.fill(Place::default());
        self.moved = 0;
    }

    /// True once every instrument has moved.
    pub(super) fn is_complete(&self) -> bool {
        self.moved == self.places.len()
    }

    /// True once this instrument has moved.
    pub(super) fn has_moved(&self, place: usize) -> bool {
        self.places[place].moved
    }

    /// True once any instrument has moved.
    pub(super) fn has_begun(&self) -> bool {
        self.moved > 0
    }

    /// A sink for what the next connection tells, or the one before.
    pub(super) fn sink<S: Sink>(&mut self, next: bool, inner: S) -> RotationSink<'_, S> {
        RotationSink { rotation: self, next, inner }
    }

    /// True when what begins with `event` is passed on.
    fn passes(&mut self, next: bool, event: &Event) -> bool {
        match event {
            Event::BookPage(page) => self.passes_book(next, page),
            Event::Trade(trade) => self.belongs(next, trade.instrument),
            Event::Ticker(ticker) => self.belongs(next, ticker.instrument),
            _ => !next,
        }
    }

    fn belongs(&self, next: bool, id: InstrumentId) -> bool {
        self.places[id.index()].moved == next
    }

    /// The next connection takes over with a whole book that is no older than what was passed on,
    /// or, where its first book was older, with the change that follows what was passed on.
    fn passes_book(&mut self, next: bool, page: &BookPage) -> bool {
        let place = &mut self.places[page.instrument.index()];
        if place.moved || !next {
            place.seq = page.seq;
            return place.moved == next;
        }
        place.shown |= page.snapshot;
        let whole = page.snapshot && page.seq >= place.seq;
        let follows = place.shown && !page.snapshot && page.pseq != 0 && page.pseq == place.seq;
        if whole || follows {
            place.moved = true;
            self.moved += 1;
        }
        place.moved
    }
}

/// Passes on what belongs to its connection.
pub(super) struct RotationSink<'r, S> {
    rotation: &'r mut Rotation,
    next: bool,
    inner: S,
}

impl<S: Sink> Sink for RotationSink<'_, S> {
    fn put<I: ExactSizeIterator<Item = Event>>(&mut self, events: I) -> bool {
        // A payload is of one topic and one instrument: its first event decides.
        let mut events = events.peekable();
        match events.peek() {
            Some(first) if !self.rotation.passes(self.next, first) => true,
            _ => self.inner.put(events),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use keel_core::event::{LevelSize, PAGE_LEVELS, Trade};
    use keel_core::units::{Lots, Side, Ticks, UnixNanos};

    fn frame(id: u16, snapshot: bool, seq: u64, pseq: u64) -> Event {
        Event::BookPage(BookPage {
            instrument: InstrumentId(id),
            side: Side::Buy,
            snapshot,
            first: true,
            last: true,
            len: 0,
            seq,
            pseq,
            ts: UnixNanos(0),
            checksum: 0,
            ticks: [0; PAGE_LEVELS],
            sizes: [LevelSize::default(); PAGE_LEVELS],
        })
    }

    /// What passes of a story of (is the next connection, event).
    fn passed(story: &[(bool, Event)]) -> (Vec<Event>, Rotation) {
        let (mut rotation, mut out) = (Rotation::new(2), Vec::new());
        rotation.begin();
        for &(next, event) in story {
            assert!(rotation.sink(next, &mut out).put(std::iter::once(event)));
        }
        (out, rotation)
    }

    #[test]
    fn an_instrument_moves_with_a_whole_book_and_no_frame_passes_twice_or_not_at_all() {
        let (out, rotation) = passed(&[
            (false, frame(0, false, 7, 6)),
            (true, frame(0, true, 7, 0)),
            (false, frame(0, false, 8, 7)),
            (true, frame(0, false, 8, 7)),
            (false, frame(1, false, 3, 2)),
        ]);
        assert_eq!(
            out,
            [
                frame(0, false, 7, 6),
                frame(0, true, 7, 0),
                frame(0, false, 8, 7),
                frame(1, false, 3, 2)
            ]
        );
        assert!(rotation.has_moved(0) && !rotation.has_moved(1) && !rotation.is_complete());
    }

    #[test]
    fn a_book_that_is_older_than_what_was_passed_on_waits_for_the_change_that_follows() {
        let (out, rotation) = passed(&[
            (false, frame(0, false, 9, 8)),
            (true, frame(0, true, 7, 0)),
            (true, frame(0, false, 8, 7)),
            (true, frame(0, false, 9, 8)),
            (true, frame(0, false, 10, 9)),
            (false, frame(0, false, 10, 9)),
            (true, frame(0, false, 11, 10)),
        ]);
        let seqs: Vec<u64> = out
            .iter()
            .map(|event| match event {
                Event::BookPage(page) => page.seq,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(seqs, [9, 10, 11]);
        assert!(rotation.has_moved(0));
    }

    #[test]
    fn prints_move_with_their_book() {
        let trade = |trade_id| {
            Event::Trade(Trade {
                instrument: InstrumentId(1),
                taker: Side::Buy,
                price: Ticks(1),
                lots: Lots(1),
                trade_id,
                ts: UnixNanos(0),
            })
        };
        let (out, _) = passed(&[
            (true, trade(1)),
            (false, trade(1)),
            (true, frame(1, true, 5, 0)),
            (false, trade(2)),
            (true, trade(2)),
        ]);
        assert_eq!(out, [trade(1), frame(1, true, 5, 0), trade(2)]);
    }
}
