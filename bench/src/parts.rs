//! Parts on their own, with fixed inputs: a book and its pages, what the gate sees and what it is
//! asked, an order that it has approved, a journal on no disk. Benches and counts work on them.

use std::io;
use std::path::PathBuf;

use keel_core::book::{Applied, Book, BookMemory, LADDER_CELLS, REST_CELLS};
use keel_core::event::{BookPage, ClientId, Event, FeeSource, LevelSize};
use keel_core::gate::{
    AccountView, Approved, InstrumentView, Intent, Purpose, TimeInForce, View, submit,
};
use keel_core::guard::GuardState;
use keel_core::instrument::InstrumentId;
use keel_core::param::{Params, Profile};
use keel_core::units::{Lots, MonoNanos, Quote, Rate, SECONDS, Side, Ticks, UnixNanos};
use keel_io::clock::Clock;
use keel_io::journal::{Disk, Header, Limits, Writer};
use keel_net::bitget::decode::Decoder;
use keel_net::bitget::sign::{Credentials, Secret};
use keel_risk::{InstrumentRisk, RiskGate};

use crate::{frames, trader};

/// When everything here happens.
pub const NOW: MonoNanos = MonoNanos(10_000 * SECONDS);

/// The pages of a books frame, as the decoder gives them.
///
/// # Panics
/// When the payload is no books frame.
pub fn pages(payload: &[u8]) -> Vec<BookPage> {
    let mut events: Vec<Event> = Vec::new();
    let read = Decoder::new(frames::instance()).read(payload, &trader::directory(1), &mut events);
    assert!(read.is_ok(), "a frame is read: {read:?}");
    let page = |event: Event| match event {
        Event::BookPage(page) => page,
        other => panic!("a page, not {other:?}"),
    };
    events.into_iter().map(page).collect()
}

/// An empty book over memory of its own, which is leaked.
pub fn book() -> Book<'static> {
    let mut book = Book::new(BookMemory {
        ladder: vec![LevelSize::default(); LADDER_CELLS].leak(),
        rest_ticks: vec![0; REST_CELLS].leak(),
        rest_sizes: vec![LevelSize::default(); REST_CELLS].leak(),
    });
    let rules = frames::rules(InstrumentId(0));
    book.rules(rules.tick, rules.lot);
    book
}

/// Applies a frame as the one with number `seq`, which continues the one before.
pub fn apply(book: &mut Book<'_>, pages: &[BookPage], seq: u64) -> Applied {
    let mut last = Applied::Pending;
    for page in pages {
        let pseq = if page.snapshot { 0 } else { seq - 1 };
        last = book.apply(std::hint::black_box(&BookPage { seq, pseq, ..*page }));
    }
    last
}

/// An account on which nothing keeps an order back.
pub fn account(now: MonoNanos) -> AccountView {
    let equity = Some(Quote::usdt(10_000));
    AccountView {
        state: GuardState::Running,
        ready: true,
        private_live: true,
        private_at: now,
        reconciled: true,
        utc: UnixNanos(1_790_000_000 * SECONDS as i64),
        utc_at: now,
        equity,
        day_open: equity,
        high_water: equity,
        week_open: equity,
        margin_ratio: Some(Rate::ZERO),
        leverage: 5,
        settings_fit: Some(true),
        settings_at: now,
        ..AccountView::EMPTY
    }
}

/// An instrument on which nothing keeps an order back.
pub fn instrument(now: MonoNanos) -> InstrumentView {
    let rules = frames::rules(InstrumentId(0));
    InstrumentView {
        rules: Some(rules),
        rules_at: now,
        fee_source: FeeSource::Venue,
        fee_at: now,
        touch: Some((Ticks(800_000), Ticks(800_001))),
        last_mid_x2: 1_600_001,
        book_at: now,
        mark: rules.price(Ticks(800_000)),
        ticker_at: now,
        ..InstrumentView::EMPTY
    }
}

/// An order that passes every check.
pub fn intent(now: MonoNanos) -> Intent {
    Intent {
        instrument: InstrumentId(0),
        side: Side::Buy,
        price: Ticks(799_990),
        lots: Lots(25),
        time_in_force: TimeInForce::PostOnly,
        reduce_only: false,
        level: 0,
        purpose: Purpose::Quote,
        made: now,
    }
}

/// An approved order, the `number`th.
///
/// # Panics
/// When the gate refuses it.
pub fn approved(number: u64) -> Approved {
    // Each second has its creates again.
    let now = NOW.after(number * SECONDS);
    let (params, account, instruments) =
        (Params::defaults(Profile::Wide), account(now), [instrument(now)]);
    let view = View { params: &params, account: &account, instruments: &instruments };
    let mut memory = [InstrumentRisk::default(); 1];
    let client = ClientId { epoch: 1, number };
    submit(&mut RiskGate::new(&mut memory), intent(now), client, &view, now).expect("a fine quote")
}

/// A key whose secrets are no secrets.
pub fn credentials() -> Credentials {
    let secret = || Secret::new("0123456789abcdef0123456789abcdef".to_owned());
    Credentials::live("bg_0123456789".to_owned(), secret(), secret())
}

/// A journal's writer over a disk that takes everything: commits fall due but never by time.
///
/// # Panics
/// Never: nowhere takes everything.
pub fn journal() -> Writer<Nowhere> {
    let limits = Limits { segment_bytes: 1 << 30, commit_ns: u64::MAX };
    let header = Header::first([0; 32], 1, Clock::start().anchor());
    Writer::on(Nowhere, header, limits).expect("nowhere takes everything")
}

/// Takes everything and keeps nothing: what is timed is the writer.
pub struct Nowhere;

impl Disk for Nowhere {
    fn create(&mut self, _segment: u32, _bytes: u64) -> io::Result<()> {
        Ok(())
    }
    fn append(&mut self, _bytes: &[u8]) -> io::Result<()> {
        Ok(())
    }
    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
    fn seal(&mut self, _bytes: u64) -> io::Result<()> {
        Ok(())
    }
    fn path(&self) -> PathBuf {
        PathBuf::from("nowhere")
    }
}
