use std::collections::{BTreeMap, BTreeSet};

use keel_core::param::Profile;
use keel_net::bitget::sign::Secret;
use keel_net::proto::Protocol;

use super::report::Report;
use super::*;

/// A venue of a few lines: orders that rest, orders that are over, and what goes wrong.
#[derive(Default)]
struct Venue {
    open: BTreeSet<u64>,
    over: BTreeSet<u64>,
    triggers: BTreeSet<u64>,
    /// Requests that are refused, by a part of their path: how often, and with what status.
    refuse: BTreeMap<&'static str, (u32, u16)>,
    /// Cancels are acknowledged this often and not done.
    lies: u32,
    /// The list of open orders is behind: it shows none this often.
    blind: u32,
    /// An order that appears at this time.
    late: Option<(u64, MonoNanos)>,
    asked: Vec<String>,
}

const SUCCESS: &str = r#"{"code":"00000","msg":"success","requestTime":1,"data":"#;

impl Venue {
    fn with(orders: std::ops::Range<u64>) -> Self {
        Self { open: orders.collect(), ..Self::default() }
    }

    fn answer(&mut self, request: &str, now: MonoNanos) -> (u16, String) {
        if let Some((id, at)) = self.late
            && now >= at
        {
            self.open.insert(id);
            self.late = None;
        }
        let line = request.lines().next().expect("a request line");
        let path = line.split(' ').nth(1).expect("a path").to_owned();
        self.asked.push(path.split('?').next().expect("a path").to_owned());
        for (part, (times, status)) in &mut self.refuse {
            if path.contains(part) && *times > 0 {
                *times -= 1;
                return (*status, "{}".to_owned());
            }
        }
        let body = request.split("\r\n\r\n").nth(1).unwrap_or_default();
        let data = match self.asked.last().expect("asked").rsplit('/').next().expect("a name") {
            "time" => r#"{"serverTime":"1790000000000"}"#.to_owned(),
            "cancel-symbol-order" => self.cancel(self.open.clone()),
            "cancel-batch" => {
                let named: BTreeSet<u64> = numbers(body).into_iter().collect();
                self.cancel(&self.open & &named)
            }
            "unfilled-orders" if self.blind > 0 => {
                self.blind -= 1;
                list([].into_iter())
            }
            "unfilled-orders" => list(self.open.iter()),
            "history-orders" => list(self.over.iter()),
            "unfilled-strategy-orders" => list(self.triggers.iter()),
            "cancel-strategy-order" => {
                self.triggers = &self.triggers - &numbers(body).into_iter().collect();
                "null".to_owned()
            }
            "order-info" => {
                let id = numbers(&path).into_iter().next_back().expect("an id");
                let word = if self.open.contains(&id) { "live" } else { "cancelled" };
                format!(r#"{{"orderStatus":"{word}"}}"#)
            }
            "current-position" => list([].into_iter()),
            other => panic!("{other} is not asked by a kill"),
        };
        (200, format!("{SUCCESS}{data}}}"))
    }

    fn cancel(&mut self, orders: BTreeSet<u64>) -> String {
        if self.lies > 0 {
            self.lies -= 1;
        } else {
            self.open = &self.open - &orders;
            self.over.extend(&orders);
        }
        list(orders.iter())
    }

    fn count(&self, name: &str) -> usize {
        self.asked.iter().filter(|path| path.ends_with(name)).count()
    }
}

fn list<'a>(ids: impl Iterator<Item = &'a u64>) -> String {
    let row = |id: &u64| {
        format!(r#"{{"symbol":"BTCUSDT","orderId":"{id}","clientOid":"c{id}","code":"00000"}}"#)
    };
    format!(r#"{{"list":[{}],"cursor":null}}"#, ids.map(row).collect::<Vec<_>>().join(","))
}

fn numbers(text: &str) -> Vec<u64> {
    let parts = text.split(|c: char| !c.is_ascii_digit()).filter(|part| !part.is_empty());
    parts.filter_map(|part| part.parse().ok()).collect()
}

const START: MonoNanos = MonoNanos(SECONDS);
const ZOMBIE_NS: u64 = 3 * SECONDS;

/// A kill at a venue that is not there.
pub(crate) fn kill_at(zombie_ns: u64) -> Kill {
    let secret = || Secret::new("s".to_owned());
    let place = Place {
        host: "venue".to_owned(),
        credentials: Credentials::live("k".to_owned(), secret(), secret()),
        instance: Instance::parse("main").expect("a name"),
        epoch: 1,
        rules: Vec::new(),
        zombie_ns,
        params: Params::defaults(Profile::Touch),
        speed: 1,
    };
    Kill::new(place, VenueClock::default(), true)
}

fn kill() -> Kill {
    kill_at(ZOMBIE_NS)
}

fn mandate(dry_run: bool) -> Mandate {
    let (trigger, reasons) = (Trigger::Drill, "test".to_owned());
    Mandate { trigger, reasons, only: None, dry_run, close: Close::Nothing, decided: START }
}

/// Runs a kill against a venue until it is finished or `limit` has passed: its report, and when
/// zero was verified.
fn run(kill: &mut Kill, venue: &mut Venue, limit: u64) -> Report {
    let mut client = kill.client();
    let mut now = START;
    while !kill.is_finished() && now < START.after(limit) {
        now = now.after(MILLIS);
        turn(kill, venue, &mut client, now);
    }
    kill.report(now).expect("a mandate was given")
}

/// One turn of a kill; what it asks is answered at once.
fn turn(kill: &mut Kill, venue: &mut Venue, client: &mut Client, now: MonoNanos) {
    kill.step(client, &|| UnixNanos(0), now);
    let request = String::from_utf8(client.transmit().to_vec()).expect("text");
    if request.is_empty() {
        return;
    }
    client.sent(request.len(), now);
    let (status, body) = venue.answer(&request, now);
    respond(client, (status, &body), now);
}

/// Lets an answer arrive.
fn respond(client: &mut Client, (status, body): (u16, &str), now: MonoNanos) {
    let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n", body.len());
    let bytes = head + body;
    let mut rest = bytes.as_bytes();
    while !rest.is_empty() {
        let spare = client.spare();
        let count = spare.len().min(rest.len());
        spare[..count].copy_from_slice(&rest[..count]);
        client.received(count, now);
        rest = &rest[count..];
    }
}

fn done(venue: &mut Venue) -> Report {
    let mut kill = kill();
    kill.begin(mandate(false));
    let report = run(&mut kill, venue, 60 * SECONDS);
    assert!(report.finished, "{}", report.body);
    assert!(venue.open.is_empty(), "{:?}", venue.open);
    assert_eq!(report.body["status"], "executed", "{}", report.body);
    report
}

#[test]
fn one_request_cancels_all_and_zero_is_read_from_two_places_and_again_after_the_window() {
    let mut venue = Venue::with(1..51);
    venue.triggers = BTreeSet::from([901, 902]);
    let report = done(&mut venue);
    assert_eq!(venue.asked[0], "/api/v3/trade/cancel-symbol-order");
    assert_eq!(report.body["orders_before"].as_array().map(Vec::len), Some(50));
    assert_eq!(report.body["canceled"].as_array().map(Vec::len), Some(50));
    assert_eq!(report.body["trigger_orders"].as_array().map(Vec::len), Some(2));
    assert!(venue.triggers.is_empty());
    assert!(report.body["elapsed_ms"].as_f64().expect("a number") < 50.0, "{}", report.body);
    assert!(report.body["finished_ms"].as_f64().expect("a number") >= 3_000.0);
    assert_eq!(report.body["vacuous"], false);
    assert_eq!(venue.count("cancel-symbol-order"), 2, "at once and after the window");
    assert!(venue.count("history-orders") >= 2 && venue.count("unfilled-orders") >= 4);
}

#[test]
fn a_kill_with_nothing_to_cancel_is_verified_and_says_that_it_proves_nothing() {
    let report = done(&mut Venue::default());
    assert_eq!(report.body["vacuous"], true);
}

#[test]
fn an_order_that_was_on_its_way_is_canceled_when_it_appears() {
    let mut venue = Venue::with(1..4);
    venue.late = Some((77, START.after(2_500 * MILLIS)));
    let report = done(&mut venue);
    assert!(venue.over.contains(&77));
    assert_eq!(report.body["orders_before"].as_array().map(Vec::len), Some(4));
    assert!(report.body["elapsed_ms"].as_f64().expect("a number") < 50.0, "zero was zero before");
}

#[test]
fn a_cancel_that_is_acknowledged_and_not_done_is_not_believed() {
    for lies in [1, 2, 5] {
        let mut venue = Venue::with(1..30);
        venue.lies = lies;
        done(&mut venue);
        assert!(venue.count("cancel-batch") >= 1, "the other way was tried");
    }
}

#[test]
fn a_list_that_shows_none_while_orders_rest_is_not_enough() {
    let mut venue = Venue::with(1..30);
    (venue.lies, venue.blind) = (1, 1);
    done(&mut venue);
    assert!(venue.count("order-info") >= 1, "each order was asked for");
}

#[test]
fn refusals_for_rate_and_failures_are_outlasted_by_the_other_way_in() {
    for (path, times, status) in [
        ("cancel-symbol-order", 3, 429),
        ("cancel-symbol-order", 1_000, 503),
        ("unfilled-orders", 20, 503),
        ("trade/", 40, 429),
        ("history-orders", 5, 500),
        ("unfilled-strategy", 5, 403),
    ] {
        let mut venue = Venue::with(1..30);
        venue.refuse.insert(path, (times, status));
        venue.triggers = BTreeSet::from([901]);
        done(&mut venue);
        assert!(venue.triggers.is_empty(), "{path}: trigger orders are canceled all the same");
        if times == 1_000 {
            assert!(venue.count("cancel-batch") >= 2, "cancel-all never worked");
        }
    }
}

#[test]
fn trigger_orders_that_the_venue_does_not_tell_delay_no_cancel_and_are_no_whole_success() {
    let mut venue = Venue::with(1..30);
    venue.lies = 1;
    venue.refuse.insert("unfilled-strategy", (u32::MAX, 404));
    let mut kill = kill();
    kill.begin(mandate(false));
    let report = run(&mut kill, &mut venue, 20 * SECONDS);
    assert!(venue.open.is_empty() && report.finished, "{}", report.body);
    assert_eq!(report.body["status"], "partial", "{}", report.body);
    assert_eq!(report.body["trigger_orders_read"], false);
}

#[test]
fn a_history_and_an_order_that_are_never_told_are_made_up_for_by_a_cancel_that_names_none() {
    let mut venue = Venue::with(1..30);
    venue.refuse.insert("history-orders", (u32::MAX, 500));
    assert!(done(&mut venue).body["read_back"].to_string().contains("history-orders"));
    venue = Venue::with(1..30);
    venue.refuse.insert("history-orders", (u32::MAX, 500));
    venue.refuse.insert("order-info", (u32::MAX, 500));
    let read_back = done(&mut venue).body["read_back"].to_string();
    assert!(read_back.contains("names none"), "{read_back}");
}

#[test]
fn a_list_that_cannot_be_read_is_made_up_for_by_more_cancels() {
    let mut venue = Venue::with(1..30);
    // The first cancel is not done, and nobody can see it.
    venue.lies = 1;
    venue.refuse.insert("unfilled-orders", (30, 503));
    done(&mut venue);
    assert!(venue.count("cancel-symbol-order") >= 3, "{:?}", venue.asked);
}

#[test]
fn a_mandate_that_is_widened_proves_zero_anew_and_an_answer_from_before_proves_nothing() {
    let mut venue = Venue::with(1..21);
    let mut kill = kill();
    let only = Symbol::parse(b"ETHUSDT");
    kill.begin(Mandate { only, ..mandate(false) });
    let mut client = kill.client();
    let mut now = START;
    // Its first request is on its way when the second mandate comes.
    kill.step(&mut client, &|| UnixNanos(0), now);
    assert!(kill.in_flight.as_ref().is_some_and(|flight| flight.ask == Ask::CancelAll));
    kill.begin(Mandate { reasons: "more".to_owned(), ..mandate(false) });
    let request = String::from_utf8(client.transmit().to_vec()).expect("text");
    client.sent(request.len(), now);
    now = now.after(MILLIS);
    respond(&mut client, (200, &format!("{SUCCESS}{{\"list\":[]}}}}")), now);
    kill.step(&mut client, &|| UnixNanos(0), now);
    assert_eq!(kill.work.as_ref().map(|work| work.stage), Some(Stage::Cancel));
    let report = run(&mut kill, &mut venue, 10 * SECONDS);
    assert!(report.finished && venue.open.is_empty(), "{}", report.body);
    assert_eq!(
        (&report.body["trading_pair"], &report.body["reasons"]),
        (&"all".into(), &"test|more".into())
    );
}

#[test]
fn what_is_to_be_closed_of_one_instrument_is_not_widened_to_all_by_a_mandate_that_closes_nothing() {
    let one = |name: &str| Close::of(Symbol::parse(name.as_bytes()));
    let mut first = Mandate { close: one("BTCUSDT"), ..mandate(false) };
    assert!(!first.widen(&mandate(false)), "nothing more is asked for");
    assert_eq!(first.close, one("BTCUSDT"));
    assert!(first.widen(&Mandate { close: one("ETHUSDT"), ..mandate(false) }));
    let both = ["BTCUSDT", "ETHUSDT"].map(|name| Symbol::parse(name.as_bytes()).expect("a name"));
    assert_eq!(first.close, Close::These(both.into()));
    assert!(first.widen(&Mandate { close: Close::All, ..mandate(false) }));
    assert_eq!(first.close, Close::All);
}

#[test]
fn while_positions_cannot_be_read_what_appears_is_canceled_and_the_flatten_ends_as_partial() {
    // Nobody read the list of open orders while positions were closed, and nothing ended that.
    let mut venue = Venue::with(1..4);
    venue.late = Some((77, START.after(SECONDS)));
    venue.refuse.insert("current-position", (u32::MAX, 503));
    let mut kill = kill();
    kill.begin(Mandate { close: Close::All, ..mandate(false) });
    let report = run(&mut kill, &mut venue, 60 * SECONDS);
    assert!(report.finished && venue.over.contains(&77), "{}", report.body);
    assert_eq!(report.body["status"], "partial");
    assert_eq!(report.body["flatten"]["status"], "partial");
    let asked =
        |name: &str| venue.asked.iter().map(|path| path.ends_with(name)).collect::<Vec<_>>();
    let second_cancel = asked("cancel-symbol-order").iter().skip(1).position(|&it| it);
    let last_reading = asked("current-position").iter().rposition(|&it| it);
    assert!(second_cancel < last_reading, "it was canceled while positions were asked for");
}

#[test]
fn a_list_that_cannot_be_read_does_not_keep_positions_from_being_closed() {
    let mut venue = Venue::with(1..4);
    let mut kill = kill();
    kill.begin(Mandate { close: Close::All, ..mandate(false) });
    let mut client = kill.client();
    let mut now = START;
    let mut flat = false;
    while !flat && now < START.after(5 * SECONDS) {
        now = now.after(MILLIS);
        if kill.work.as_ref().is_some_and(|work| work.flatten.is_some()) {
            venue.refuse.insert("unfilled-orders", (u32::MAX, 503));
        }
        turn(&mut kill, &mut venue, &mut client, now);
        let report = kill.report(now).expect("a mandate was given");
        flat = report.body["flatten"]["status"] == "nothing_held";
    }
    assert!(flat);
}

#[test]
fn a_dry_run_names_what_rests_and_cancels_nothing() {
    let mut venue = Venue::with(1..21);
    let mut kill = kill();
    kill.begin(mandate(true));
    let report = run(&mut kill, &mut venue, 5 * SECONDS);
    assert_eq!(report.body["status"], "dry_run");
    assert_eq!(report.body["orders_before"].as_array().map(Vec::len), Some(20));
    assert_eq!(venue.open.len(), 20);
    assert!(venue.asked.iter().all(|path| !path.contains("cancel")), "{:?}", venue.asked);
}

#[test]
fn a_thousand_mandates_are_one_kill() {
    let mut venue = Venue::with(1..21);
    let mut kill = kill();
    for _ in 0..1_000 {
        kill.begin(mandate(false));
    }
    let report = run(&mut kill, &mut venue, 10 * SECONDS);
    assert!(report.finished && venue.open.is_empty());
    assert!(venue.asked.len() < 60, "{} requests", venue.asked.len());
    assert_eq!(report.body["reasons"], "test");
}
