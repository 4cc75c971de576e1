//! Golden payloads, and the fast reader against the second and a third one.

use keel_core::event::{
    BookPage, CancelReason, ClientId, LevelSize, OrderStatus, Outcome, PAGE_LEVELS, RejectClass,
    Source,
};
use keel_core::units::{Lots, Price, Quote, Rate, Side, Ticks, UnixNanos};
use keel_core::words::Words;

use super::*;
use crate::bitget::tests::{btc, named};
use keel_core::decimal::Grid;
use keel_core::instrument::Instrument;

macro_rules! golden {
    ($name:literal) => {
        include_str!(concat!("../../../../tests/golden/bitget/ws_v3/", $name, ".json"))
    };
}

fn directory() -> Directory {
    let mav = Instrument {
        tick: Grid { step: 1, scale: 5 },
        lot: Grid { step: 1, scale: 2 },
        ..named("MAVUSDT")
    };
    Directory::new(&[btc(), mav])
}

fn decoder() -> Decoder {
    Decoder::new(Instance::parse("mm1").unwrap())
}

/// Reads one payload with a fresh decoder.
fn read(payload: &str) -> Result<(Message, Vec<Event>), DecodeError> {
    let mut events = Vec::new();
    let message = decoder().read(payload.as_bytes(), &directory(), &mut events)?;
    Ok((message, events))
}

/// The events of a golden file, which is pretty-printed: as it stands by the second reader, and
/// without its white space, in which form both readers must agree.
fn events(payload: &str) -> Vec<Event> {
    let (_, pretty) = read(payload).unwrap();
    let (_, compact) = read(&compact(payload)).unwrap();
    assert_eq!(pretty, compact);
    pretty
}

/// `payload` without the white space outside its texts.
fn compact(payload: &str) -> String {
    let mut inside = false;
    let mut escaped = false;
    let keep = |c: &char| {
        if inside {
            inside = escaped || *c != '"';
            escaped = !escaped && *c == '\\';
            return true;
        }
        inside = *c == '"';
        !c.is_ascii_whitespace()
    };
    payload.chars().filter(keep).collect()
}

fn control(payload: &str) -> Control {
    match read(payload).unwrap() {
        (Message::Control(control), events) if events.is_empty() => control,
        other => panic!("{other:?}"),
    }
}

fn size(lots: u64, price_decimals: u8, size_decimals: u8) -> LevelSize {
    LevelSize::new(lots, price_decimals, size_decimals).unwrap()
}

fn page(instrument: u16, side: Side, levels: &[(u32, LevelSize)]) -> BookPage {
    let mut page = BookPage {
        instrument: InstrumentId(instrument),
        side,
        snapshot: false,
        first: true,
        last: true,
        len: levels.len() as u8,
        seq: 0,
        pseq: 0,
        ts: UnixNanos(0),
        checksum: 0,
        ticks: [0; PAGE_LEVELS],
        sizes: [LevelSize::default(); PAGE_LEVELS],
    };
    for (place, (ticks, size)) in levels.iter().enumerate() {
        page.ticks[place] = *ticks;
        page.sizes[place] = *size;
    }
    page
}

#[test]
fn the_live_books_frame_is_one_page_by_the_fast_reader() {
    let expected = BookPage {
        seq: 427_583_480_559,
        pseq: 427_583_461_144,
        ts: UnixNanos::from_millis(1_789_456_512_452),
        ..page(1, Side::Buy, &[(519, size(3_082_852, 5, 2))])
    };
    assert_eq!(events(golden!("books__probe2026__1")), [Event::BookPage(expected)]);
    let mut decoder = decoder();
    let payload = compact(golden!("books__probe2026__1"));
    decoder.read(payload.as_bytes(), &directory(), &mut Vec::new()).unwrap();
    assert_eq!(decoder.counters().fast, 1);
}

#[test]
fn documented_best_level_frames_are_snapshots_of_both_sides() {
    for golden in [golden!("books1__bitgetdocs__1"), golden!("books1__bitgetnet__1")] {
        let common = |page| BookPage {
            snapshot: true,
            seq: 1_304_314_508_780_744_705,
            ts: UnixNanos::from_millis(1_746_698_732_562),
            ..page
        };
        let ask = page(0, Side::Sell, &[(997_567, size(239_774, 1, 4))]);
        let bid = page(0, Side::Buy, &[(997_566, size(128, 1, 4))]);
        let expected = [
            Event::BookPage(BookPage { last: false, ..common(ask) }),
            Event::BookPage(BookPage { first: false, ..common(bid) }),
        ];
        assert_eq!(events(golden), expected);
    }
}

#[test]
fn public_trades_are_read_or_refused_as_their_lot_allows() {
    for golden in [golden!("publicTrade__bitgetdocs__1"), golden!("publicTrade__bitgetnet__1")] {
        // The documented size has five decimals; the contract's lot has four.
        assert_eq!(read(golden).unwrap_err(), DecodeError::OffGrid);
        let on_grid = golden.replace("0.00118", "0.0118");
        let expected = Event::Trade(keel_core::event::Trade {
            instrument: InstrumentId(0),
            taker: Side::Buy,
            price: Ticks(1_000_000),
            lots: Lots(118),
            trade_id: 1_260_903_622_036_942_849,
            ts: UnixNanos::from_millis(1_736_348_770_627),
        });
        assert_eq!(events(&on_grid), [expected]);
    }
}

#[test]
fn a_ticker_gives_what_it_has_and_another_product_is_not_read() {
    let expected = Event::Ticker(keel_core::event::Ticker {
        instrument: InstrumentId(0),
        last: Price(100_000 * 100_000_000),
        mark: Price(0),
        index: Price(0),
        funding_rate: Rate(0),
        funding_at: UnixNanos(0),
        ts: UnixNanos::from_millis(1_695_715_383_039),
    });
    assert_eq!(events(golden!("ticker__bitgetnet__1")), [expected]);
    let (message, events) = read(golden!("ticker__bitgetdocs__1")).unwrap();
    assert_eq!((message, events), (Message::Unread, vec![]));
}

#[test]
fn an_index_price_of_sixteen_decimals_is_cut_to_eight() {
    let payload = concat!(
        r#"{"action":"snapshot","arg":{"instType":"usdt-futures","topic":"ticker","#,
        r#""symbol":"BTCUSDT"},"data":[{"lastPrice":"90216.3","markPrice":"90216.4","#,
        r#""indexPrice":"90247.5410266912815894","fundingRate":"-0.000047","#,
        r#""nextFundingTime":"1765468800000","bid1Price":""}],"ts":1765444282230}"#
    );
    let [Event::Ticker(ticker)] = events(payload)[..] else { panic!("one ticker") };
    assert_eq!(ticker.index, Price(9_024_754_102_669));
    assert_eq!(ticker.mark, Price(9_021_640_000_000));
    assert_eq!(ticker.funding_rate, Rate(-4700));
    assert_eq!(ticker.funding_at, UnixNanos::from_millis(1_765_468_800_000));
}

#[test]
fn a_fill_carries_its_fee_and_a_fast_fill_none() {
    let fill = keel_core::event::Fill {
        instrument: InstrumentId(0),
        client: ClientId::FOREIGN,
        order_id: 1_288_888_888_888_888_888,
        trade_id: 1_288_888_888_888_888_888,
        side: Side::Buy,
        maker: false,
        price: Ticks(949_930),
        lots: Lots(100),
        fee: Quote(56_995_800),
        fee_known: true,
        source: Source::Push,
        ts: UnixNanos::from_millis(1_736_378_720_623),
    };
    assert_eq!(events(golden!("fill__bitgetdocs__1")), [Event::Fill(fill)]);
    assert_eq!(events(golden!("fill__bitgetnet__1")), [Event::Fill(fill)]);
    let fast = keel_core::event::Fill {
        fee: Quote::ZERO,
        fee_known: false,
        source: Source::FastPush,
        ..fill
    };
    let object = golden!("fast-fill__bitgetnet__1");
    assert_eq!(events(object), [Event::Fill(fast)]);
    let list =
        compact(object).replace(r#""data":{"#, r#""data":[{"#).replace("},\"ts\"", "}],\"ts\"");
    assert_eq!(events(&list), [Event::Fill(fast)]);
}

#[test]
fn a_fee_in_another_coin_or_none_at_all_is_not_known() {
    let fill = golden!("fill__bitgetdocs__1");
    for (from, to, known) in [
        (r#""feeCoin": "USDT""#, r#""feeCoin": "BGB""#, false),
        (r#""fee": "0.569958""#, r#""fee": null"#, false),
        (r#""fee": "0.569958""#, r#""fee": """#, false),
        (r#""fee": "0.569958""#, r#""fee": -0.25"#, true),
        (r#""feeDetail""#, r#""feeDetails""#, false),
    ] {
        let [Event::Fill(fill)] = events(&fill.replace(from, to))[..] else { panic!("one fill") };
        assert_eq!(fill.fee_known, known, "{to}");
        if known {
            assert_eq!(fill.fee, Quote(-25_000_000), "a rebate is negative");
        }
    }
}

#[test]
fn an_order_push_is_read_in_every_spelling() {
    for golden in [golden!("order__bitgetdocs__1"), golden!("order__bitgetnet__1")] {
        assert_eq!(read(golden).unwrap_err(), DecodeError::Id, "the sample's id is blotted out");
        let order = golden
            .replace(r#""orderId": "xxx""#, r#""orderId": 1288888888888888888"#)
            .replace(r#""clientOid": "xxx""#, r#""clientOid": "keel-mm1-10-1z""#);
        let expected = keel_core::event::OrderUpdate {
            instrument: InstrumentId(0),
            client: ClientId { epoch: 36, number: 71 },
            order_id: 1_288_888_888_888_888_888,
            side: Side::Buy,
            status: OrderStatus::Filled,
            price: Ticks::ZERO,
            lots: Lots(10),
            filled: Lots(10),
            reason: CancelReason::None,
            reduce_only: false,
            source: Source::Push,
            ts: UnixNanos::from_millis(1_742_367_838_115),
        };
        assert_eq!(events(&order), [Event::OrderUpdate(expected)]);
        for word in ["cancelled", "canceled"] {
            let canceled = order
                .replace(r#""orderStatus": "filled""#, &format!(r#""orderStatus": "{word}""#))
                .replace(r#""cancelReason": """#, r#""cancelReason": "post_only_fill_cancel""#)
                .replace(r#""reduceOnly": "no""#, r#""reduceOnly": "YES""#)
                .replace(r#""price": """#, r#""price": 83131.5"#);
            let expected = keel_core::event::OrderUpdate {
                status: OrderStatus::Canceled,
                reason: CancelReason::PostOnly,
                reduce_only: true,
                price: Ticks(831_315),
                ..expected
            };
            assert_eq!(events(&canceled), [Event::OrderUpdate(expected)]);
        }
        let spot = order.replace(r#""category": "usdt-futures""#, r#""category": "SPOT""#);
        assert_eq!(events(&spot), [], "the same symbol exists in another product");
        let off = order.replace(r#""price": """#, r#""price": "83131.55""#);
        assert_eq!(read(&off).unwrap_err(), DecodeError::OffGrid);
        let odd = order.replace(r#""orderStatus": "filled""#, r#""orderStatus": "resting""#);
        assert_eq!(read(&odd).unwrap_err(), DecodeError::Word);
    }
}

#[test]
fn a_position_is_signed_by_its_side() {
    for golden in [golden!("position__bitgetdocs__1"), golden!("position__bitgetnet__1")] {
        let flat = keel_core::event::PositionReport {
            instrument: InstrumentId(0),
            lots: Lots::ZERO,
            entry: Price::ZERO,
            leverage: 20,
            source: Source::Push,
            ts: UnixNanos::from_millis(1_736_378_720_620),
        };
        assert_eq!(events(golden), [Event::PositionReport(flat)]);
        let short = golden
            .replace(r#""size": "0""#, r#""size": "0.0200""#)
            .replace(r#""avgPrice": "0""#, r#""avgPrice": "94987.123456789""#)
            .replace(r#""posSide": "long""#, r#""posSide": "short""#);
        let expected = keel_core::event::PositionReport {
            lots: Lots(-200),
            entry: Price(9_498_712_345_678),
            ..flat
        };
        assert_eq!(events(&short), [Event::PositionReport(expected)]);
    }
}

#[test]
fn the_account_is_its_usdt() {
    for golden in [golden!("account__bitgetdocs__1"), golden!("account__bitgetnet__1")] {
        let [Event::AccountReport(report)] = events(golden)[..] else { panic!("one report") };
        assert_eq!(report.equity, Quote(34_428_265_536_458));
        assert_eq!(report.balance, Quote(35_441_145_536_458));
        assert_eq!(report.available, Quote(34_428_265_536_458));
        assert_eq!(report.unrealized, Quote(-1_012_880_000_000));
        assert_eq!(report.margin_ratio, Rate(0));
        let [Event::AccountReport(report)] =
            events(&golden.replace(r#""mgnRatio": "0""#, r#""mgnRatio": """#))[..]
        else {
            panic!("one report")
        };
        assert_eq!(report.margin_ratio, Rate(-1), "none was given");
    }
}

#[test]
fn session_answers_are_told_apart() {
    use Channel::{Books, Books1, Position};
    let btc = InstrumentId(0);
    for (payload, expected) in [
        ("pong", Control::Pong),
        (r#"{"event":"login","code":"0","msg":""}"#, Control::LoggedIn),
        (r#"{"event":"login","code":0,"connId":"x"}"#, Control::LoggedIn),
        (r#"{"event":"login","code":"00000"}"#, Control::LoggedIn),
        (r#"{"event":"error","code":30005,"msg":"x"}"#, Control::LoginFailed(30005)),
        (r#"{"event":"error","code":"30015","msg":"x"}"#, Control::LoginFailed(30015)),
        (r#"{"event":"error","code":30006,"msg":"x"}"#, Control::Failed(30006)),
        (golden!("books-ack__bitgetdocs__1"), Control::Subscribed(Books, btc)),
        (golden!("books1-ack__bitgetnet__1"), Control::Subscribed(Books1, btc)),
        (golden!("position-ack__bitgetdocs__1"), Control::Subscribed(Position, InstrumentId::ALL)),
        (golden!("position-ack__bitgetnet__1"), Control::Subscribed(Position, InstrumentId::ALL)),
        (golden!("subscribe-error__probe2026__1"), Control::SubscribeFailed(30001)),
        (
            r#"{"event":"unsubscribe","arg":{"instType":"UTA","topic":"position"}}"#,
            Control::Unsubscribed(Position, InstrumentId::ALL),
        ),
        (
            r#"{"event":"error","id":"q-0-7-0","code":"40010","msg":"x"}"#,
            Control::BatchFailed {
                request: RequestKind::Place,
                instrument: btc,
                batch: 7,
                code: 40010,
            },
        ),
    ] {
        assert_eq!(control(payload), expected, "{payload}");
    }
}

/// A golden answer whose blotted ids are replaced by numbers and own client ids.
fn answered(golden: &str, id: &str) -> String {
    let mut order = 0;
    let mut client = 0;
    let fill = |line: &str| {
        let comma = if line.trim_end().ends_with(',') { "," } else { "" };
        if line.contains("\"orderId\"") {
            order += 1;
            format!("\"orderId\": \"{order}\"{comma}")
        } else if line.contains("\"clientOid\"") {
            client += 1;
            format!("\"clientOid\": \"keel-mm1-1-{client}\"{comma}")
        } else if line.starts_with("  \"id\"") {
            format!("\"id\": \"{id}\"{comma}")
        } else {
            line.to_owned()
        }
    };
    golden.lines().map(fill).collect::<Vec<_>>().join("\n")
}

#[test]
fn every_element_of_an_order_entry_answer_has_its_reply() {
    let reply = |request, number, code| {
        let (outcome, class) = crate::bitget::codes::verdict(code);
        Event::Reply(keel_core::event::Reply {
            instrument: InstrumentId(0),
            client: ClientId { epoch: 1, number },
            request,
            outcome,
            order_id: number,
            code,
            class,
            message: if code == 0 { Words::NONE } else { Words::new(b"Order does not exist") },
        })
    };
    use RequestKind::{Cancel, Place};
    let place = golden!("place-order-ack__bitgetdocs__1");
    assert_eq!(read(place).unwrap_err(), DecodeError::Id);
    assert_eq!(events(&answered(place, "p-0-1-1")), [reply(Place, 1, 0)]);
    let cancel = golden!("cancel-order-ack__bitgetdocs__1");
    assert_eq!(events(&answered(cancel, "c-0-1-1")), [reply(Cancel, 1, 0)]);
    let batch = golden!("batch-place-ack__bitgetdocs__1");
    assert_eq!(events(&answered(batch, "q-0-1-0")), [reply(Place, 1, 0), reply(Place, 2, 0)]);
    let batch = golden!("batch-cancel-ack__bitgetdocs__1");
    let expected = [reply(Cancel, 1, 0), reply(Cancel, 2, 25204)];
    assert_eq!(events(&answered(batch, "d-0-1-0")), expected);
}

#[test]
fn an_error_that_carries_only_its_id_is_the_reply_of_that_request() {
    for (payload, code, outcome, class, request, order_id) in [
        (
            r#"{"event":"error","id":"p-0-1-1","code":"25203","msg":"x"}"#,
            25203,
            Outcome::Rejected,
            RejectClass::Funds,
            RequestKind::Place,
            0,
        ),
        (
            r#"{"event":"error","id":"c-0-1-1","code":45001,"msg":"x"}"#,
            45001,
            Outcome::Unknown,
            RejectClass::Other,
            RequestKind::Cancel,
            0,
        ),
        (
            r#"{"event":"error","id":"f-0-2s-0","code":"25204"}"#,
            25204,
            Outcome::Rejected,
            RejectClass::NotFound,
            RequestKind::Cancel,
            100,
        ),
        (
            r#"{"event":"error","id":"p-0-1-1"}"#,
            0,
            Outcome::Unknown,
            RejectClass::Other,
            RequestKind::Place,
            0,
        ),
    ] {
        let [Event::Reply(reply)] = events(payload)[..] else { panic!("{payload}") };
        assert_eq!((reply.code, reply.outcome, reply.class), (code, outcome, class));
        assert_eq!((reply.request, reply.order_id), (request, order_id));
        let own = ClientId { epoch: 1, number: 1 };
        assert_eq!(reply.client, if order_id == 0 { own } else { ClientId::FOREIGN });
    }
}
