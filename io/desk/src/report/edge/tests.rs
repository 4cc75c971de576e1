//! Runs made by hand, whose figures are worked out by hand.

use keel_core::command::{Booked, CommandView};
use keel_core::event::{
    Bill, BillKind, BookPage, Boot, ClientId, ClockSync, Event, Feed, FeedState, LevelSize, Mode,
    RestorePosition, Rules, Stream,
};
use keel_core::guard::GuardState;
use keel_core::instrument::InstrumentId;
use keel_core::planted::Planted;
use keel_core::regime::Regime;
use keel_core::units::{Quote, Rate, Side, Ticks, UnixNanos};

use super::*;
use keel_core::instrument::btcusdt;

const BTC: InstrumentId = InstrumentId(0);
/// A second of the venue.
const S: i64 = 1_000_000_000;

fn boot() -> Boot {
    Boot {
        config_hash: [7; 32],
        epoch: 3,
        instruments: 1,
        seed: 0,
        mode: Mode::Sim,
        dirty: false,
        planted: Planted::NONE,
    }
}

fn rules() -> Event {
    Event::Rules(Rules { id: BTC, instrument: btcusdt() })
}

/// A journal in the making.
struct Story {
    events: Vec<Event>,
    seq: u64,
    touch: Option<(u32, u32)>,
    given: Vec<(usize, CommandView)>,
}

impl Story {
    fn new() -> Self {
        let clock = ClockSync { utc: UnixNanos(0), offset_ns: 0, uncertainty_ns: 0 };
        let events = vec![rules(), Event::ClockSync(clock)];
        Self { events, seq: 0, touch: None, given: Vec::new() }
    }

    /// A frame with the only bid and the only ask, in ticks.
    fn frame(&mut self, bid: u32, ask: u32, at: i64) {
        let snapshot = self.touch.is_none();
        let (seq, pseq) = (self.seq + 1, if snapshot { 0 } else { self.seq });
        let size = |lots| LevelSize::new(lots, 1, 4).expect("a size");
        let old = self.touch.replace((bid, ask)).unwrap_or((bid, ask));
        for (side, ticks, old, last) in
            [(Side::Buy, bid, old.0, false), (Side::Sell, ask, old.1, true)]
        {
            let gone = if old == ticks { 1 } else { 2 };
            let mut page = BookPage {
                instrument: BTC,
                side,
                snapshot,
                first: !last,
                last,
                len: gone,
                seq,
                pseq,
                ts: UnixNanos(at),
                checksum: 0,
                ticks: [0; 6],
                sizes: [LevelSize::default(); 6],
            };
            (page.ticks[0], page.sizes[0]) = (ticks, size(10));
            (page.ticks[1], page.sizes[1]) = (old, size(0));
            self.events.push(Event::BookPage(page));
        }
        self.seq = seq;
    }

    fn fill(&mut self, side: Side, ticks: i64, lots: i64, fee: i64, at: i64) {
        let trade_id = self.given.len() as u64 + 1;
        let booked = Booked {
            instrument: BTC,
            client: ClientId { epoch: 3, number: trade_id },
            order_id: trade_id,
            trade_id,
            side,
            maker: true,
            price: Ticks(ticks),
            lots: Lots(lots),
            fee: Quote(fee),
            realized: Quote::ZERO,
            mid_x2: 0,
            spread: Rate::ZERO,
            drift: Rate::ZERO,
            regime: Regime::Up,
            state: GuardState::Running,
            ts: UnixNanos(at),
        };
        self.given.push((self.events.len(), CommandView::Booked(booked)));
    }

    fn funding(&mut self, bill_id: u64, amount: i64, at: i64) {
        let (amount, ts) = (Quote(amount), UnixNanos(at));
        let kind = BillKind::Funding;
        let bill = Bill { instrument: BTC, kind, amount, bill_id, ts };
        self.given.push((self.events.len(), CommandView::BillBooked(bill)));
        // What was told and not booked is nobody's cost.
        self.events.push(Event::Bill(Bill { bill_id: bill_id + 100, ..bill }));
    }

    fn lost(&mut self) {
        self.events.push(Event::Feed(Feed {
            stream: Stream::Public,
            state: FeedState::Lost,
            instrument: InstrumentId::ALL,
            connects: 1,
        }));
        (self.seq, self.touch) = (0, None);
    }

    fn report(&self) -> Report {
        let mut shelf = Shelf::of(&boot()).expect("one instrument");
        let mut gathering = Gathering::new(&boot(), &mut shelf);
        for place in 0..=self.events.len() {
            for (_, command) in self.given.iter().filter(|(at, _)| *at == place) {
                // A journal that tells an execution or a bill twice has it once.
                for _ in 0..2 {
                    gathering.command(command).expect("possible");
                }
            }
            if let Some(event) = self.events.get(place) {
                gathering.event(event).expect("possible");
            }
        }
        gathering.report(None)
    }
}

/// Bid 999.9, ask 1000.1 until second 60; then 1000.9 and 1001.1 for a second past ten minutes.
fn rising() -> Story {
    let mut story = Story::new();
    story.frame(9_999, 10_001, 0);
    story.frame(9_999, 10_001, 59 * S);
    story.frame(10_009, 10_011, 60 * S);
    story.frame(10_009, 10_011, 601 * S);
    story
}

#[test]
fn the_parts_of_a_fill_are_those_worked_out_by_hand() {
    let mut story = rising();
    // Buys 0.5 at 999.9, half a minute before the mid goes from 1000 to 1001; fee 0.05 rebate.
    story.fill(Side::Buy, 9_999, 5_000, -5_000_000, 31 * S);
    // Sells 0.25 at 1000.1 just then, pays 0.1.
    story.fill(Side::Sell, 10_001, 2_500, 10_000_000, 31 * S);
    // Funding of 0.08 paid while 0.25 is held, all of it from the buy.
    story.funding(9, -8_000_000, 40 * S);
    let report = story.report();
    let [buy, sell] = &report.fills[..] else { panic!("two fills: {:?}", report.fills) };
    assert_eq!((buy.notional, sell.notional), (Quote(49_995_000_000), Quote(25_002_500_000)));
    assert_eq!((buy.funding, sell.funding), (Quote(8_000_000), Quote::ZERO));
    // Capture: 0.5 · (1000 − 999.9) = 0.05 and 0.25 · 0.1 = 0.025, doubled in 1e-8.
    assert_eq!((buy.capture_x2, sell.capture_x2), (Some(10_000_000), Some(5_000_000)));
    let parts = |fill: &Fill, at: usize| fill.parts(at).map(|sums| (sums.move_x2, sums.net_x2()));
    for at in 0..3 {
        // 0.05 + 0 + 0.05 − 0.08 = 0.02; 0.025 − 0.1 = −0.075.
        assert_eq!(parts(buy, at), Some((0, 4_000_000)), "{at}");
        assert_eq!(parts(sell, at), Some((0, -15_000_000)), "{at}");
    }
    for at in 3..5 {
        // A dollar more: 0.5 for the buy, −0.25 for the sell.
        assert_eq!(parts(buy, at), Some((100_000_000, 104_000_000)), "{at}");
        assert_eq!(parts(sell, at), Some((-50_000_000, -65_000_000)), "{at}");
    }
    let whole = &report.rows[JUDGED].sums;
    assert_eq!((whole.fills, whole.net_x2()), (2, 39_000_000));
    let bps = whole.bps(whole.net_x2()).expect("a notional");
    assert!((bps - 0.195 / 749.975 * 1e4).abs() < 1e-9, "{bps}");
    assert_eq!(report.groups.len(), 2);
    assert_eq!(report.groups[0].rows[JUDGED].sums.net_x2(), 104_000_000);
}

#[test]
fn what_no_frame_shows_is_not_covered() {
    let mut story = Story::new();
    // Before any frame, in a hole, at a frame's own time, and beyond the last.
    story.fill(Side::Buy, 9_999, 1, 0, 5 * S);
    story.frame(9_999, 10_001, 10 * S);
    story.frame(9_999, 10_001, 20 * S);
    story.fill(Side::Buy, 9_999, 1, 0, 12 * S);
    story.lost();
    story.frame(9_999, 10_001, 40 * S);
    story.fill(Side::Buy, 9_999, 1, 0, 30 * S);
    story.fill(Side::Buy, 9_999, 1, 0, 40 * S);
    story.fill(Side::Buy, 9_999, 1, 0, 41 * S);
    story.frame(10_009, 10_011, 42 * S);
    let report = story.report();
    let covered: Vec<Vec<bool>> = report
        .fills
        .iter()
        .map(|fill| (0..HORIZONS.len()).map(|at| fill.parts(at).is_some()).collect())
        .collect();
    let none = vec![false; 5];
    assert_eq!(covered[0], none, "before any frame");
    assert_eq!(covered[1], [true, true, true, true, false], "30 s lie beyond the hole");
    assert_eq!(covered[2], none, "in a hole");
    assert_eq!(covered[3], none, "nothing is known of before the first frame");
    assert_eq!(covered[4], [true, true, false, false, false], "beyond the last frame");
    let row = &report.rows[0];
    assert_eq!((row.sums.fills, row.not_covered), (2, 3));
    assert!((row.covered() - 0.4).abs() < 1e-12);
}

#[test]
fn a_frame_that_is_missing_ends_what_is_known() {
    let mut story = rising();
    story.fill(Side::Buy, 9_999, 1, 0, 31 * S);
    assert!(story.report().fills[0].parts(JUDGED).is_some());
    // The frame of second 59 was lost: its successor does not continue the first.
    story.events.drain(4..6);
    story.given[0].0 -= 2;
    let report = story.report();
    assert_eq!(report.fills[0].capture_x2, None);
    assert_eq!(report.rows[JUDGED].not_covered, 1);
}

#[test]
fn funding_of_what_an_earlier_run_left_is_no_fills() {
    let mut story = rising();
    let left = RestorePosition {
        instrument: BTC,
        lots: Lots(3_000),
        entry_value: 0,
        last_trade_id: 0,
        last_trade_at: UnixNanos(0),
    };
    story.events.insert(0, Event::RestorePosition(left));
    story.fill(Side::Buy, 9_999, 1_000, 0, 31 * S);
    story.funding(8, -77, -S);
    story.funding(9, -400, 35 * S);
    story.funding(9, -400, 35 * S);
    let report = story.report();
    assert_eq!(report.fills[0].funding, Quote(100));
    assert_eq!(report.funding_unshared, Quote(300), "and nothing of before the run");
}

/// `count` fills that each gain `gains` half ticks of the mid until it is judged, one a minute.
fn minutes(gains: &[i64]) -> Report {
    let mut story = Story::new();
    story.frame(9_999, 10_001, 0);
    for minute in 1..=i64::try_from(gains.len()).expect("few") + 1 {
        story.frame(9_999, 10_001, minute * 60 * S);
    }
    for (minute, gain) in (0..).zip(gains) {
        for second in 1..=2 {
            let at = (minute * 60 + second) * S;
            story.fill(Side::Buy, 10_000 - gain, 1_000, 0, at);
        }
    }
    story.report()
}

#[test]
fn a_verdict_needs_enough_and_an_interval_on_one_side_of_zero() {
    let word = |gains: &[i64]| minutes(gains).verdict;
    assert_eq!(word(&[2, 3, 2, 3, 2, 3, 2, 3, 2, 3]).word, Word::Positive);
    let lost = word(&[-2, -3, -2, -3, -2, -3, -2, -3, -2, -3]);
    assert_eq!(lost.word, Word::Negative);
    assert!(lost.why.contains("capture -2.4994"), "{}", lost.why);
    for (gains, why) in [
        (&[2, 3, 2, 3, 2, 3, 2, 3, 2][..], "18 fills are covered, 20 are needed"),
        (&[9, -9, 9, -9, 9, -9, 9, -9, 9, -8], "the interval holds zero"),
    ] {
        let verdict = word(gains);
        assert_eq!(verdict.word, Word::Insufficient);
        assert!(verdict.why.contains(why), "{}", verdict.why);
    }
    // Enough fills, in too few minutes.
    let mut crowd = minutes(&[2, 3]);
    let one = crowd.fills[0].clone();
    crowd.fills.extend(std::iter::repeat_n(one, 20));
    let verdict = Verdict::of(&Row::of(crowd.fills.iter(), JUDGED));
    assert!(verdict.why.contains("2 minutes, 10 are needed"), "{}", verdict.why);
    // A tenth and more of them unseen.
    let mut seen = minutes(&[2; 12]).fills;
    for fill in seen.iter_mut().take(3) {
        fill.worth_x2 = [None; HORIZONS.len()];
    }
    let verdict = Verdict::of(&Row::of(seen.iter(), JUDGED));
    assert!(verdict.why.contains("87 % of the fills are covered"), "{}", verdict.why);
}

#[test]
fn the_same_journal_gives_the_same_report_and_its_sums_are_those_of_its_fills() {
    let story = || {
        let mut story = rising();
        story.fill(Side::Buy, 9_999, 3, 1, 31 * S);
        story.fill(Side::Sell, 10_001, 7, -2, 32 * S);
        story.report()
    };
    let (one, two) = (json(&story()), json(&story()));
    assert_eq!(one.to_string(), two.to_string());
    assert_eq!(one["fills_count"], 2);
    assert_eq!(one["notional_quote"], "1.00004", "0.0003 · 999.9 + 0.0007 · 1000.1");
    assert_eq!(one["fee_quote"], "-0.00000001");
    let judged = &one["horizons"][JUDGED];
    // 0.0003 · 1.1 − 0.0007 · 0.9 + 0.00000001
    assert_eq!(judged["net_edge_quote"], "-0.00029999");
    assert_eq!(one["fills"][1]["net_edge_quote"][JUDGED], "-0.00062998");
    assert_eq!(one["verdict"], "INSUFFICIENT");
}

#[test]
fn the_page_has_drawings_and_asks_for_nothing_from_outside() {
    let report = minutes(&[2, 3, 2, 3, 2, 3, 2, 3, 2, 3]);
    let page = html(&report);
    assert_eq!(page.matches("<svg").count(), 3);
    assert!(page.contains("POSITIVE") && page.contains("No evidence of edge"), "{page}");
    for outside in ["http:", "https:", "src=", "href="] {
        assert!(!page.contains(outside), "{outside}");
    }
    let lines = lines(&report);
    assert!(lines.contains("\nPOSITIVE: ") && lines.contains("buy up, 30 s"), "{lines}");
}

#[test]
fn what_no_run_records_is_refused() {
    let mut shelf = Shelf::of(&boot()).expect("one instrument");
    let mut gathering = Gathering::new(&boot(), &mut shelf);
    assert!(gathering.event(&Event::Boot(boot())).is_err());
    let story = {
        let mut story = Story::new();
        story.fill(Side::Buy, 9_999, 1, 0, S);
        story
    };
    let CommandView::Booked(booked) = story.given[0].1 else { panic!("an execution") };
    let command = CommandView::Booked(booked);
    assert_eq!(
        gathering.command(&command),
        Err(Odd("an execution of an instrument without rules"))
    );
    gathering.event(&rules()).expect("possible");
    let with = |change: fn(&mut Booked)| {
        let mut booked = booked;
        change(&mut booked);
        CommandView::Booked(booked)
    };
    for odd in [
        with(|booked| booked.instrument = InstrumentId(1)),
        with(|booked| booked.price = Ticks(i64::MAX)),
        with(|booked| booked.price = Ticks(-1)),
        with(|booked| booked.lots = Lots(0)),
        with(|booked| booked.lots = Lots(i64::MAX)),
    ] {
        assert!(gathering.command(&odd).is_err(), "{odd:?}");
    }
    assert!(Shelf::of(&Boot { instruments: 0, ..boot() }).is_err());
}
