//! Bad input from the wire, done by a proxy to a whole run: the run goes on, nothing is lost, and
//! what happened stands in the journal. What one protocol makes of each byte stands in the tests of
//! `keel_net`.

mod program;
#[path = "program/proxy.rs"]
mod proxy;

use std::path::Path;
use std::sync::OnceLock;
use std::thread;

use keel_core::event::{Event, FeedState, Stream};
use keel_io::journal::{Reader, TapKind};
use keel_io::mode::replay::journal_dir;
use program::{Ended, Venue, ended, log};
use proxy::{Mischief, PRIVATE, PUBLIC, Proxy};

/// A run through a proxy, and what its journal says of streams.
struct Story {
    run: Ended,
    log: String,
    done: bool,
    open_orders: u64,
    streams: Vec<(Stream, FeedState, u32)>,
    replayed: Ended,
}

const STORIES: [(&str, Mischief, &str); 6] = [
    ("one by one", Mischief::OneByOne, PUBLIC),
    ("market data ends in a frame", Mischief::CloseMidFrame, PUBLIC),
    ("private ends in a frame", Mischief::CloseMidFrame, PRIVATE),
    ("huge frame", Mischief::HugeFrame, PUBLIC),
    ("no text", Mischief::InvalidText, PUBLIC),
    ("off the tick", Mischief::OffTheTick, PUBLIC),
];

/// All stories are lived through at the same time, by whichever test comes first.
fn story(name: &str) -> &'static Story {
    static TOLD: OnceLock<Vec<Story>> = OnceLock::new();
    let told = TOLD.get_or_init(|| {
        let lives = STORIES.map(|(_, mischief, path)| thread::spawn(move || live(mischief, path)));
        lives.into_iter().map(|life| life.join().expect("a story")).collect()
    });
    let place = STORIES.iter().position(|(known, ..)| *known == name).expect("a known story");
    &told[place]
}

fn live(mischief: Mischief, path: &'static str) -> Story {
    let venue = Venue::start(&["--plaintext"]);
    let proxy = Proxy::start(venue.authority(), mischief, path);
    let dir = tempfile::tempdir().expect("a directory");
    venue.configure(dir.path(), &proxy.address.to_string(), "");
    let run = ended(dir.path(), &["run", "--state-dir", "s", "--run-dir", "run", "--for", "9s"]);
    Story {
        log: log(&dir.path().join("run")),
        done: proxy.is_done(),
        open_orders: venue.open_orders(),
        streams: streams(&dir.path().join("run")),
        replayed: ended(dir.path(), &["replay", "run"]),
        run,
    }
}

/// Every change of a stream in the journal.
fn streams(run_dir: &Path) -> Vec<(Stream, FeedState, u32)> {
    let records =
        Reader::open(&journal_dir(run_dir)).expect("a journal").map(|r| r.expect("whole"));
    let events = records.filter(|record| record.tap.kind == TapKind::Event);
    events
        .filter_map(|record| match Event::decode(&record.tap.slot) {
            Ok(Event::Feed(feed)) => Some((feed.stream, feed.state, feed.connects)),
            _ => None,
        })
        .collect()
}

impl Story {
    /// The run ended in order, quoted, left nothing open, and replays.
    fn is_good(&self) {
        self.run.done();
        assert!(self.done, "the mischief was not done\n{}", self.run.said());
        assert!(self.log.contains("-> RUNNING"), "{}", self.log);
        assert!(self.run.out.contains("none, verified at the venue"), "{}", self.run.said());
        assert_eq!(self.open_orders, 0);
        self.replayed.done();
        assert!(self.replayed.out.starts_with("identical:"), "{}", self.replayed.said());
    }

    /// The stream was lost and came back on another connection.
    fn came_back(&self, stream: Stream) {
        let own: Vec<_> = self.streams.iter().filter(|(of, ..)| *of == stream).collect();
        let lost = own.iter().position(|(_, state, _)| *state == FeedState::Lost);
        let lost = lost.unwrap_or_else(|| panic!("{stream:?} was lost: {own:?}\n{}", self.log));
        let back = own[lost..].iter().any(|(_, state, n)| *state == FeedState::Live && *n >= 2);
        assert!(back, "{stream:?} came back: {own:?}\n{}", self.log);
    }
}

#[test]
fn segments_of_one_byte_change_nothing() {
    let story = story("one by one");
    story.is_good();
    assert!(
        story.streams.iter().all(|(_, state, _)| *state == FeedState::Live),
        "{:?}",
        story.streams
    );
}

#[test]
fn market_data_that_ends_in_the_middle_of_a_frame_is_lost_and_comes_back() {
    let story = story("market data ends in a frame");
    story.is_good();
    story.came_back(Stream::Public);
}

#[test]
fn a_private_stream_that_ends_in_the_middle_of_a_frame_is_lost_and_comes_back() {
    let story = story("private ends in a frame");
    story.is_good();
    story.came_back(Stream::Private);
    assert!(story.log.contains("private_lost"), "{}", story.log);
}

#[test]
fn a_frame_of_64_mib_ends_the_connection_before_it_is_read() {
    let story = story("huge frame");
    story.is_good();
    story.came_back(Stream::Public);
}

#[test]
fn text_that_is_no_utf_8_does_no_harm() {
    story("no text").is_good();
}

#[test]
fn a_price_off_the_tick_drops_the_book_and_it_is_made_anew() {
    let story = story("off the tick");
    story.is_good();
    assert!(story.log.contains("Book dropped: "), "{}", story.log);
    let dropped = story.log.find("Book dropped: ").expect("checked");
    let after = &story.log[dropped..];
    assert!(!after.contains("HARD_STOP"), "{}", story.log);
}
