//! Days made by hand.

use keel_core::command::{Booked, CommandView, Day};
use keel_core::event::{Bill, BillKind, ClientId, ClockSync, Event, RestoreDay, Rules};
use keel_core::guard::GuardState;
use keel_core::instrument::InstrumentId;
use keel_core::regime::Regime;
use keel_core::units::{Lots, Quote, Rate, Side, Ticks, UnixNanos};

use super::*;
use keel_core::instrument::btcusdt;

const BTC: InstrumentId = InstrumentId(0);
/// 2026-11-27 in days, its midnight in milliseconds, and eight o'clock.
const DAY: i64 = 20_784;
const MIDNIGHT: i64 = DAY * 86_400_000;
const EIGHT: i64 = MIDNIGHT + 8 * 3_600_000;

fn rules() -> Event {
    Event::Rules(Rules { id: BTC, instrument: btcusdt() })
}

fn booked(trade_id: u64, realized: i64, fee: i64, ms: i64) -> CommandView {
    CommandView::Booked(Booked {
        instrument: BTC,
        client: ClientId { epoch: 1, number: trade_id },
        order_id: trade_id,
        trade_id,
        side: Side::Sell,
        maker: true,
        // 1000 USDT each.
        price: Ticks(100_000),
        lots: Lots(1_000),
        fee: Quote(fee),
        realized: Quote(realized),
        mid_x2: 0,
        spread: Rate::ZERO,
        drift: Rate::ZERO,
        regime: Regime::Up,
        state: GuardState::Running,
        ts: UnixNanos::from_millis(ms),
    })
}

fn ledger(fills: u32, realized: i64, fees: i64, funding: i64) -> CommandView {
    CommandView::Day(Day {
        day: DAY,
        equity_open: Quote::usdt(10_000),
        equity_peak: Quote::usdt(10_000),
        high_water: Quote::usdt(10_000),
        traded: Quote::usdt(0),
        realized: Quote(realized),
        fees: Quote(fees),
        funding: Quote(funding),
        fills,
        cancel_episodes: 0,
        creates: 0,
        rolled: false,
        week: [Quote::ZERO; 6],
        over_rest: false,
    })
}

/// Two executions with a profit of 1.5 and 0.5, fees of 0.2 and 0.1, funding of 0.3 paid.
fn own() -> Own {
    let mut own = Own::new(DAY);
    own.begin_run();
    own.event(&rules());
    let clock = |ms| {
        let utc = UnixNanos::from_millis(ms);
        Event::ClockSync(ClockSync { utc, offset_ns: 0, uncertainty_ns: 0 })
    };
    own.event(&clock(MIDNIGHT + 1_000));
    for command in [
        booked(11, 150_000_000, 20_000_000, EIGHT - 5_000),
        booked(12, 50_000_000, 10_000_000, EIGHT + 60_000),
        ledger(2, 200_000_000, 30_000_000, 30_000_000),
        ledger(1, 150_000_000, 20_000_000, 0),
    ] {
        own.command(&command).expect("possible");
    }
    let bill = Bill {
        instrument: BTC,
        kind: BillKind::Funding,
        amount: Quote(-30_000_000),
        bill_id: 900,
        ts: UnixNanos::from_millis(EIGHT),
    };
    // A second run books it once more only if it has lost what the first one knew. The day that it
    // restores is the first one's, which did not begin at midnight.
    for _ in 0..2 {
        own.command(&CommandView::BillBooked(bill)).expect("possible");
    }
    // What was told and not booked is in no ledger.
    own.event(&Event::Bill(Bill { bill_id: 901, ..bill }));
    own.begin_run();
    own.event(&restored());
    own.event(&clock(EIGHT + 120_000));
    own
}

fn restored() -> Event {
    Event::RestoreDay(RestoreDay {
        day: DAY,
        equity_open: Quote::usdt(10_000),
        high_water: Quote::usdt(10_000),
        traded: Quote::usdt(0),
        realized: Quote(200_000_000),
        fees: Quote(30_000_000),
        funding: Quote(30_000_000),
        fills: 2,
        cancel_episodes: 0,
        creates: 0,
        latched: false,
        incident: 0,
        reasons: 0,
        equity_peak: Quote::usdt(10_000),
        over_rest: false,
    })
}

/// A record as the venue answers it.
fn record(id: u32, kind: &str, amount: &str, fee: &str, ms: i64) -> String {
    format!(
        "{{\"category\":\"USDT-FUTURES\",\"id\":\"{id}\",\"symbol\":\"BTCUSDT\",\"coin\":\"USDT\",\
         \"type\":\"{kind}\",\"amount\":\"{amount}\",\"fee\":\"{fee}\",\"balance\":\"0\",\
         \"ts\":\"{ms}\"}}"
    )
}

fn answer(records: &[String]) -> String {
    let list = records.join(",");
    format!(
        "{{\"code\":\"00000\",\"msg\":\"success\",\"data\":{{\"list\":[{list}],\"cursor\":\"1\"}}}}"
    )
}

/// The day as the venue tells it: the second execution turned the position around, in two records.
fn records() -> Vec<String> {
    vec![
        record(1, "SELL_DEAL", "0", "-0.04", EIGHT + 60_000),
        record(2, "SELL_DEAL", "0.5", "-0.06", EIGHT + 60_000),
        record(900, "CONTRACT_MAIN_SETTLE_FEE_USER_OUT", "0.3", "0", EIGHT),
        record(3, "BUY_DEAL", "1.50000001", "-0.2", EIGHT - 5_000),
        record(4, "TRANSFER_IN", "10000", "0", MIDNIGHT),
        record(5, "BUY_DEAL", "7", "-7", MIDNIGHT - 1),
    ]
}

fn compared(records: &[String]) -> Comparison {
    compare(&json(&answer(records)).expect("readable"), &own()).expect("a day")
}

#[test]
fn a_day_that_agrees_is_equal_and_says_what_was_left_out() {
    let comparison = compared(&records());
    assert!(comparison.is_equal(), "{comparison:?}");
    assert_eq!(comparison.differences, Vec::<String>::new());
    assert_eq!(comparison.notional, 2_000 * 100_000_000);
    assert_eq!(comparison.left_out, (1, 0), "money that was there before the run");
    assert_eq!(comparison.rounded, (1, -1), "a profit that is rounded otherwise");
    assert_eq!(comparison.profit(), (140_000_001, 140_000_000));
    let funding = comparison.sums[2];
    assert_eq!((funding.venue, funding.own), ((1, -30_000_000), (1, -30_000_000)));
    assert!(comparison.lines().contains("equal within 1 bp"), "{}", comparison.lines());
}

#[test]
fn what_is_missing_or_of_another_amount_is_named() {
    let change = |place: usize, new: Option<String>| {
        let mut records = records();
        match new {
            Some(new) => records[place] = new,
            None => _ = records.remove(place),
        }
        compared(&records)
    };
    let lost = change(2, None);
    assert!(!lost.is_equal());
    assert!(lost.differences[0].starts_with("missing there: 2026-11-27T08:00:00.000Z funding"));
    let other = change(2, Some(record(900, "SETTLE_FEE_USER_OUT", "0.31", "0", EIGHT)));
    assert!(other.differences[0].contains("id 900, -0.31, here -0.3"), "{other:?}");
    assert!(other.is_equal(), "a cent of 2,000: told, and within 1 bp and 5 %");
    let much = change(2, Some(record(900, "SETTLE_FEE_USER_OUT", "0.6", "0", EIGHT)));
    assert!(much.refused[0].starts_with("funding differ by 0.3, more than 1 bp of notional (0.2)"));
    let deal = change(3, Some(record(3, "BUY_DEAL", "1.7", "-0.2", EIGHT - 5_000)));
    assert!(deal.differences[0].starts_with("other amount: "), "{deal:?}");
    assert!(deal.refused[0].contains("more than 5 %"), "0.2 of 1.6: {deal:?}");
    let gone = change(3, None);
    assert!(gone.differences[0].contains("missing there: 2026-11-27T07:59:55.000Z BTCUSDT"));
    let more = change(4, Some(record(6, "TRANSFER_OUT", "0.00000001", "0", EIGHT)));
    assert!(more.differences[0].contains("missing here: "), "{more:?}");
    assert_eq!(more.refused, ["transfers differ by 0.00000001"]);
}

#[test]
fn a_ledger_that_has_not_booked_what_it_was_told_is_found() {
    let mut own = own();
    own.ledger = own.ledger.map(|day| Day { funding: Quote::ZERO, ..day });
    let statement = json(&answer(&records())).expect("readable");
    let comparison = compare(&statement, &own).expect("a day");
    assert!(!comparison.is_equal());
    assert!(comparison.differences[0].contains("ledger has funding of 0"), "{comparison:?}");
    own.fills.pop_first();
    let comparison = compare(&statement, &own).expect("a day");
    assert!(comparison.differences[0].contains("name the other runs"), "{comparison:?}");
    own.ledger = None;
    assert!(compare(&statement, &own).expect_err("no day").contains("2026-11-27"));
}

#[test]
fn a_table_says_the_same_in_seconds_without_ids_and_in_any_order() {
    let table = "\u{feff}Date,Futures,Coin,Type,Amount,Fee,\"Wallet, balance\"\r\n\
        2026-11-27 08:01:00,BTCUSDT,USDT,sell,0.5,-0.1,1\r\n\
        2026-11-27 08:00:00,BTCUSDT,USDT,contract_settle_fee,-0.3,0,1\r\n\
        \r\n\
        2026-11-27 07:59:55,btcusdt,USDT,buy,1.5,-0.2,\"1,0\"\r\n\
        2026-11-27 07:00:00,BTCUSDT,BGB,buy,1.5,-0.2,1\r\n";
    let statement = csv(table).expect("readable");
    let comparison = compare(&statement, &own()).expect("a day");
    assert!(comparison.is_equal() && comparison.differences.is_empty(), "{comparison:?}");
    assert_eq!(comparison.left_out, (0, 1));
}

#[test]
fn what_is_no_statement_is_refused_with_its_place() {
    let refused = |read: Result<Statement, String>, why: &str| {
        let error = read.expect_err("refused");
        assert!(error.contains(why), "{error}");
    };
    refused(json("{"), "EOF");
    refused(json("{\"code\":\"40037\",\"msg\":\"no key\"}"), "code \"40037\"");
    refused(json("{\"code\":\"00000\",\"data\":{}}"), "without data.list");
    let with = |amount: &str, ts: i64| json(&answer(&[record(1, "BUY_DEAL", amount, "0", ts)]));
    refused(with("1e3", 1), "record 1: amount \"1e3\"");
    refused(with("NaN", 1), "record 1: amount \"NaN\"");
    refused(with("0.000000001", 1), "record 1: amount");
    refused(with("", 1), "record 1: no amount");
    refused(with("1", -1), "record 1: time \"-1\"");
    refused(csv(""), "no column ts or time");
    refused(csv("date,type\n"), "no column amount");
    refused(csv("date,type,amount\n2026-11-27,buy\n"), "record 1 has 2 columns instead of 3");
    refused(csv("date,type,amount\nyesterday,buy,1\n"), "record 1: time \"yesterday\"");
    refused(csv("date,type,amount\n1,,1\n"), "record 1: no type");
}

#[test]
fn the_words_of_both_versions_name_kinds() {
    for (word, kind) in [
        ("BUY_DEAL", Kind::Trade),
        ("FORCE_SELL_SSM", Kind::Trade),
        ("close_long", Kind::Trade),
        ("sell", Kind::Trade),
        ("FIXED_SETTLE_FEE_USER_IN", Kind::Funding),
        ("contract_settle_fee", Kind::Funding),
        ("TRANSFER_OUT", Kind::Transfer),
        ("trans_from_exchange", Kind::Transfer),
        ("INCREASE_MARGIN", Kind::Within),
        ("RISK_LIQ_USER_IN", Kind::Other),
        ("bonus_issue", Kind::Other),
    ] {
        assert_eq!(Kind::named(word), kind, "{word}");
    }
}
