//! Rows whose comparison is known.

use keel_core::units::Side;

use super::verdict::BLOCKS_MIN;
use super::*;

const MINUTE: i64 = 60_000_000_000;
/// The first minute that rows tell of.
const FIRST: i64 = 29_000_000;
/// A fill is of 10 USDT.
const NOTIONAL: i64 = 1_000_000_000;

/// What an engine does each minute, and how much more of it some minutes have.
#[derive(Clone, Copy)]
struct Habit {
    fills: i64,
    /// Orders that end without a fill, and those that would have taken.
    canceled: i64,
    crossed: i64,
    wait_ms: i64,
    /// Twice what a fill is worth after 30 s, in 1e-8 USDT: 10,000 are a twentieth of a bp.
    worth_x2: i64,
    /// Seconds of each minute in the second regime.
    up: i64,
    /// Every third minute has this many fills more.
    more: i64,
}

const USUAL: Habit =
    Habit { fills: 4, canceled: 9, crossed: 1, wait_ms: 700, worth_x2: 60_000, up: 20, more: 1 };

fn rows(minutes: i64, habit: Habit) -> Rows {
    let mut rows = Rows::default();
    let mut equity = 1_000_000_000_000;
    // The first minute and the last are not compared.
    for minute in 0..minutes + 2 {
        let begun = (FIRST + minute) * MINUTE;
        let fills = habit.fills + if minute % 3 == 0 { habit.more } else { 0 };
        for n in 0..fills + habit.canceled + habit.crossed {
            let sent = begun + n * 2_000_000_000;
            let side = Side::BOTH[(n % 2) as usize];
            let (end, filled) = match n {
                n if n < fills => (End::Filled, sent + habit.wait_ms * 1_000_000),
                n if n < fills + habit.canceled => (End::Canceled, 0),
                _ => (End::PostOnly, 0),
            };
            let (answered, ended) = (sent + 3_000_000, sent + 900_000_000);
            rows.orders.push(Order { sent, side, answered, filled, ended, end });
            if end == End::Filled {
                let (worth_x2, capture_x2) = ([Some(habit.worth_x2); WAITS], Some(80_000));
                let (ts, maker, notional, fee) = (filled, true, NOTIONAL, -1_000);
                rows.fills.push(Fill { ts, side, maker, notional, fee, capture_x2, worth_x2 });
                equity += habit.worth_x2 / 2 + 1_000;
            }
        }
        let mut regimes = [0; REGIMES];
        (regimes[0], regimes[1]) = (60 - habit.up, habit.up);
        rows.minutes.push(Minute { minute: FIRST + minute, equity, regimes });
    }
    rows
}

fn word(report: &Report, name: &str) -> Word {
    report.compared.iter().find(|one| one.name == name).expect(name).word
}

/// The names of figures that come to `word`.
fn named(report: &Report, word: Word) -> Vec<&'static str> {
    report.compared.iter().filter(|one| one.word == word).map(|one| one.name).collect()
}

#[test]
fn who_does_the_same_agrees_in_everything() {
    let venue = rows(120, USUAL);
    let report = Report::of(&venue, &venue, 1);
    assert_eq!((report.word, report.minutes()), (Word::Agree, 120), "{report:#?}");
    assert_eq!(report.direction.0, Word::Agree);
    let fills = &report.compared[0];
    // 4 a minute, and 1 more in every third.
    assert!((fills.figures[0] - 260.0).abs() < 1e-9 && fills.figures[2] == 1.0, "{fills:?}");
    let net = report.compared.iter().find(|one| one.name == "net edge after 30 s").expect("net");
    // 30,000 and a rebate of 1,000 of 1e9.
    assert!((net.figures[0] - 0.31).abs() < 1e-9, "{net:?}");
    assert_eq!(json(&report)["verdict"], "PASS");
}

#[test]
fn each_habit_that_differs_shows_in_its_figures() {
    let venue = rows(240, USUAL);
    let differs = |habit: Habit, names: &[&str]| {
        let report = Report::of(&venue, &rows(240, habit), 1);
        let found = named(&report, Word::Differ);
        assert_eq!((found.as_slice(), report.word.of_all()), (names, "FAIL"));
    };
    differs(
        Habit { fills: 2, canceled: 11, ..USUAL },
        &["fills", "buys", "sells", "turnover", "filled", "canceled"],
    );
    differs(Habit { canceled: 8, crossed: 2, ..USUAL }, &["canceled", "post-only rejected"]);
    differs(Habit { wait_ms: 1_200, ..USUAL }, &["time to fill"]);
    differs(
        Habit { worth_x2: 360_000, ..USUAL },
        &["worth after 1 s", "worth after 30 s", "net edge after 30 s", "profit"],
    );
    differs(Habit { up: 26, ..USUAL }, &["regimes"]);
}

#[test]
fn who_earns_where_the_other_loses_does_not_pass() {
    let venue = rows(120, USUAL);
    let paper = rows(120, Habit { worth_x2: 20_000 - 30_000, ..USUAL });
    let report = Report::of(&venue, &paper, 1);
    assert_eq!(word(&report, "net edge after 30 s"), Word::Agree, "within its tolerance");
    assert_eq!((report.direction.0, report.word), (Word::Differ, Word::Differ));
    // Nobody can say of nothing which way it points.
    let idle = rows(120, Habit { worth_x2: -2_000, ..USUAL });
    assert_eq!(Report::of(&idle, &idle, 1).direction.0, Word::Insufficient);
}

#[test]
fn too_little_is_never_a_pass() {
    let least = BLOCKS_MIN as i64 * 5;
    for (minutes, passes) in [(0, false), (5, false), (least - 1, false), (least, true)] {
        let same = rows(minutes, USUAL);
        let report = Report::of(&same, &same, 1);
        assert_eq!(report.word == Word::Agree, passes, "{minutes} minutes: {report:#?}");
        assert_ne!(report.word, Word::Differ, "{minutes} minutes");
    }
    let none = Rows::default();
    assert_eq!(Report::of(&none, &none, 1).word.of_all(), "INSUFFICIENT");
    let rare = rows(120, Habit { fills: 0, ..USUAL });
    let report = Report::of(&rare, &rare, 1);
    assert_eq!(word(&report, "fills"), Word::Insufficient, "40 fills in two hours");
    let often = rows(120, Habit { fills: 2, ..USUAL });
    let of_one = word(&Report::of(&rare, &often, 1), "fills");
    assert_eq!(of_one, Word::Insufficient, "it needs enough on either side");
}

#[test]
fn an_interval_across_an_edge_tells_nothing() {
    // A sixth of all fills on paper stand in one block.
    let venue = rows(60, Habit { more: 0, ..USUAL });
    let mut paper = venue.clone();
    let one = paper.fills[paper.fills.len() / 2];
    paper.fills.extend(std::iter::repeat_n(one, 50));
    let report = Report::of(&venue, &paper, 1);
    assert_eq!(word(&report, "fills"), Word::Insufficient, "{:?}", report.compared[0]);
    assert_eq!(json(&report)["verdict"], "INSUFFICIENT");
}

#[test]
fn only_minutes_that_both_have_lived_whole_are_compared() {
    let venue = rows(120, USUAL);
    let mut paper = venue.clone();
    paper.minutes.drain(..31);
    let report = Report::of(&venue, &paper, 1);
    assert_eq!(report.minutes(), 85, "the first minute of each is left out, and a block begun");
    assert_eq!(word(&report, "fills"), Word::Agree, "the venue's fills of before do not count");
}

#[test]
fn the_page_and_the_lines_tell_every_figure() {
    let venue = rows(120, USUAL);
    let report = Report::of(&venue, &venue, 1);
    let (page, lines) = (html(&report, &venue, &venue), lines(&report));
    for one in &report.compared {
        assert!(page.contains(one.name) && lines.contains(one.name), "{}", one.name);
    }
    assert_eq!(page.matches("<svg").count(), 3);
    assert!(lines.contains("both earn, or both lose: AGREE, 0.31"), "{lines}");
}

#[test]
fn a_calibration_is_the_four_points_of_the_answers() {
    let mut venue = Rows::default();
    let order = rows(5, USUAL).orders[0];
    for n in 0..200 {
        venue.orders.push(Order { answered: order.sent + n * 1_000_000 + 1, ..order });
    }
    venue.orders.push(Order { answered: 0, ..order });
    let lines = calibration(&venue).expect("200 answers");
    let points = "latency_min_ms = 1\nlatency_p50_ms = 100\nlatency_p99_ms = 198\n\
                  latency_max_ms = 200\n";
    assert!(lines.ends_with(points), "{lines}");
    venue.orders.truncate(99);
    assert_eq!(calibration(&venue), None);
}
