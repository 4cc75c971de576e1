//! Golden answers, and answers that are none.

use keel_core::event::{OrderStatus, Outcome, TouchReport};
use keel_core::units::{Price, Side, Ticks};

use super::*;
use crate::bitget::tests::{btc, named};
use crate::proto::http::Method;

macro_rules! golden {
    ($name:literal) => {
        include_str!(concat!("../../../../tests/golden/bitget/rest_v3/", $name, ".json"))
    };
}

macro_rules! error {
    ($name:literal) => {
        include_str!(concat!("../../../../tests/golden/bitget/errors/", $name, ".json"))
    };
}

fn instance() -> Instance {
    Instance::parse("mm1").unwrap()
}

fn answers() -> Answers {
    Answers::new(instance(), false)
}

fn directory() -> Directory {
    Directory::new(&[btc(), named("ETHUSDT")])
}

fn symbol(text: &str) -> Symbol {
    Symbol::parse(text.as_bytes()).unwrap()
}

const BTC: InstrumentId = InstrumentId(0);

#[test]
fn the_rules_of_wanted_instruments_are_read_in_integers() {
    let wanted = [symbol("ETHUSDT"), symbol("BTCUSDT")];
    let body = golden!("v3-market-instruments__bitgetnet__1").as_bytes();
    let found = answers().instruments(200, body, &wanted).unwrap();
    let expected = Instrument { orders_max: 400, leverage_max: 150, ..btc() };
    assert_eq!(found, [None, Some(Ok(expected))]);
    // The documented sample leaves the largest order open.
    let body = golden!("v3-market-instruments__bitgetdocs__2").as_bytes();
    let found = answers().instruments(200, body, &wanted[1..]).unwrap();
    let rules = found[0].unwrap().unwrap();
    assert_eq!((rules.max_lots, rules.orders_max), (Lots(i64::MAX), u16::MAX));
    for other in [
        golden!("v3-market-instruments__bitgetdocs__1"),
        golden!("v3-market-instruments__bitgetdocs__3"),
    ] {
        assert_eq!(answers().instruments(200, other.as_bytes(), &wanted).unwrap(), [None, None]);
    }
}

#[test]
fn rules_that_money_is_not_exact_on_are_told() {
    let fine = golden!("v3-market-instruments__bitgetnet__1")
        .replace(r#""priceMultiplier": "0.1""#, r#""priceMultiplier": "0.0000001""#);
    let found = answers().instruments(200, fine.as_bytes(), &[symbol("BTCUSDT")]).unwrap();
    assert_eq!(found, [Some(Err(RulesError::Granularity))]);
}

#[test]
fn rates_settings_and_rights_are_read() {
    let body = golden!("v3-account-fee-rate__bitgetnet__1").as_bytes();
    let rates = answers().fee_rate(200, body, BTC).unwrap();
    assert_eq!((rates.maker, rates.taker), (Rate::bps(8), Rate::bps(8)));
    assert_eq!(rates.source, FeeSource::Venue);
    for (text, fits) in [("0.01", true), ("-0.01", true), ("0.0100001", false), ("-0.1", false)] {
        let body = format!(
            r#"{{"code":"00000","data":{{"makerFeeRate":"{text}","takerFeeRate":"0.0006"}}}}"#
        );
        let told = answers().fee_rate(200, body.as_bytes(), BTC);
        assert_eq!(told.is_ok(), fits, "{text}: {told:?}");
    }
    for body in [
        golden!("v3-account-settings__bitgetdocs__1"),
        golden!("v3-account-settings__bitgetnet__1"),
    ] {
        let settings = answers().settings(200, body.as_bytes(), &directory()).unwrap();
        let expected = AccountSettings {
            uid: 1_111_111_111,
            hold_mode: HoldMode::OneWay,
            isolated: false,
            leverage: 1, // that of BTCUSDT; the others are not listed
        };
        assert_eq!(settings, expected);
        let isolated = body.replace(r#""crossed""#, r#""isolated""#);
        let settings = answers().settings(200, isolated.as_bytes(), &directory()).unwrap();
        assert_eq!(settings, AccountSettings { isolated: true, ..expected });
        let other = body.replace(r#""crossed""#, r#""portfolio""#);
        let refused = answers().settings(200, other.as_bytes(), &directory());
        assert_eq!(refused, Err(RestError::Decode(DecodeError::Word)));
    }
    let key = answers().key(200, golden!("v3-account-info__bitgetnet__1").as_bytes()).unwrap();
    let rights =
        KeyRights { uid: 123_456_789, may_trade: true, may_move_money: true, ip_bound: true };
    assert_eq!(key, rights);
    let harmless = golden!("v3-account-info__bitgetnet__1")
        .replace(r#""withdraw""#, r#""uta_mgt""#)
        .replace(r#""192.168.1.1,192.168.1.2""#, r#""""#)
        .replace("read-and-write", "read-only");
    let key = answers().key(200, harmless.as_bytes()).unwrap();
    assert_eq!((key.may_trade, key.may_move_money, key.ip_bound), (false, false, false));
}

#[test]
fn what_else_an_account_holds_and_owes_and_how_it_pays_fees_is_read() {
    let mixed = golden!("v3-account-assets__bitgetnet__1");
    let holdings = |body: &str| answers().holdings(200, body.as_bytes()).unwrap();
    assert_eq!(holdings(mixed), Holdings { owes: false, other_coins: true }, "4.9 USD of BGB");
    let dust = mixed.replace(r#""usdValue": "4.94618029""#, r#""usdValue": "1""#);
    assert_eq!(holdings(&dust), Holdings::default());
    let owing = dust.replacen(r#""debt": "0""#, r#""debt": "0.00000001""#, 1);
    assert_eq!(holdings(&owing), Holdings { owes: true, other_coins: false });
    let unknown = mixed.replace(r#""usdValue": "4.94618029""#, r#""usdValue": "many""#);
    assert!(answers().holdings(200, unknown.as_bytes()).is_err());
    let deduct = golden!("v3-account-deduct-info__bitgetdocs__1");
    assert_eq!(answers().deduction(200, deduct.as_bytes()), Ok(true));
    let off = deduct.replace(r#""on""#, r#""off""#);
    assert_eq!(answers().deduction(200, off.as_bytes()), Ok(false));
    let other = deduct.replace(r#""on""#, r#""perhaps""#);
    assert!(answers().deduction(200, other.as_bytes()).is_err());
}

#[test]
fn assets_are_the_account_by_its_usdt() {
    let body = golden!("v3-account-assets__bitgetnet__1").as_bytes();
    let report = answers().assets(200, body).unwrap().unwrap();
    assert_eq!((report.equity, report.balance), (Quote(619_300_826), Quote(619_300_826)));
    assert_eq!(report.ts, UnixNanos::from_millis(1_746_687_063_471));
}

#[test]
fn positions_are_read_and_none_is_none() {
    let body = golden!("v3-position-current-position__bitgetnet__1").as_bytes();
    let [position] = answers().positions(200, body, &directory()).unwrap()[..] else {
        panic!("one position")
    };
    assert_eq!((position.lots, position.leverage), (Lots(1_192_068), 3));
    assert_eq!(position.entry, Price(10_867_400_000_000));
    for none in [r#"{"list":null}"#, r#"{"list":[]}"#, "null", "[]", r#""""#, "{}"] {
        let body = format!(r#"{{"code":"00000","data":{none}}}"#);
        assert_eq!(answers().positions(200, body.as_bytes(), &directory()).unwrap(), []);
    }
}

#[test]
fn open_orders_come_in_pages() {
    for body in [
        golden!("v3-trade-unfilled-orders__bitgetdocs__1"),
        golden!("v3-trade-unfilled-orders__bitgetnet__1"),
    ] {
        let page = answers().orders(200, body.as_bytes(), &directory()).unwrap();
        assert_eq!(page.cursor.as_deref(), Some("1235058132196622336"));
        let [order] = page.items[..] else { panic!("one order") };
        assert_eq!(order.status, OrderStatus::Live);
        assert_eq!((order.price, order.lots), (Ticks(450_000), Lots(100)));
        assert_eq!((order.order_id, order.reduce_only), (111_111_111_111_111_111, false));
        assert_eq!((order.client, order.source), (ClientId::FOREIGN, Source::Query));
    }
    let evil = br#"{"code":"0","data":{"list":[],"cursor":"1&symbol=X"}}"#;
    let error = answers().orders(200, evil, &directory()).unwrap_err();
    assert_eq!(error, RestError::Decode(DecodeError::Id), "a cursor goes into a signed query");
}

#[test]
fn one_order_is_read_and_another_products_is_not_ours() {
    for body in [
        golden!("v3-trade-order-info__bitgetdocs__1"),
        golden!("v3-trade-order-info__bitgetnet__1"),
    ] {
        assert_eq!(answers().order(200, body.as_bytes(), &directory()).unwrap(), None);
        let ours = body.replace("SPOT", "USDT-FUTURES");
        let order = answers().order(200, ours.as_bytes(), &directory()).unwrap().unwrap();
        assert_eq!((order.status, order.filled), (OrderStatus::Filled, Lots(372)));
    }
}

#[test]
fn a_paid_fee_is_a_cost_whichever_sign_it_has() {
    for body in [golden!("v3-trade-fills__bitgetdocs__1"), golden!("v3-trade-fills__bitgetnet__1")]
    {
        let negative = body.replace("\"0.6417006\"", "\"-0.6417006\"");
        for body in [body, &negative] {
            let page = answers().fills(200, body.as_bytes(), &directory()).unwrap();
            let [fill] = page.items[..] else { panic!("one fill") };
            assert_eq!((fill.fee, fill.fee_known), (Quote(64_170_060), true));
            assert_eq!((fill.side, fill.maker, fill.lots), (Side::Sell, false, Lots(100)));
            assert_eq!(fill.ts, UnixNanos::from_millis(1_750_141_421_721));
        }
        let maker = body.replace("\"taker\"", "\"maker\"");
        let mut rebated = Answers::new(instance(), true);
        let page = rebated.fills(200, maker.as_bytes(), &directory()).unwrap();
        assert!(!page.items[0].fee_known, "it may be a rebate");
        // The rate tells, whichever sign the answer has.
        let rate = golden!("v3-account-fee-rate__bitgetnet__1");
        for (maker_rate, fee, known) in
            [("0.0002", 64_170_060, true), ("-0.00005", -64_170_060, true), ("0", 0, false)]
        {
            let rate = rate.replacen("0.0008", maker_rate, 1);
            let told = rebated.fee_rate(200, rate.as_bytes(), BTC).unwrap();
            assert_eq!(told.maker.0.signum(), i64::signum(fee), "{maker_rate}");
            let page = rebated.fills(200, maker.as_bytes(), &directory()).unwrap();
            assert_eq!((page.items[0].fee, page.items[0].fee_known), (Quote(fee), known));
        }
    }
}

#[test]
fn market_answers_are_read() {
    let bars = answers()
        .candles(200, golden!("v3-market-history-candles__bitgetnet__1").as_bytes(), BTC)
        .unwrap();
    assert_eq!(bars.len(), 2);
    assert_eq!(bars[0].start, UnixNanos::from_millis(1_687_708_800_000));
    assert_eq!((bars[0].open, bars[0].high), (Price(2_717_693_000_000), Price(2_717_743_000_000)));
    assert_eq!((bars[0].low, bars[0].close), (Price(2_716_693_000_000), Price(2_717_743_000_000)));
    let body = golden!("v3-market-tickers__bitgetnet__1").as_bytes();
    let [ticker] = answers().tickers(200, body, &directory()).unwrap()[..] else {
        panic!("one ticker")
    };
    assert_eq!(ticker.index, Price(9_024_754_102_669));
    assert_eq!(ticker.funding_rate, Rate(4700));
    assert_eq!(ticker.ts, UnixNanos::from_millis(1_765_444_282_230));
    let body = golden!("v3-market-tickers__bitgetdocs__2").as_bytes();
    let tickers = answers().tickers(200, body, &directory()).unwrap();
    assert_eq!(tickers[0].ts, UnixNanos::from_millis(1_735_110_108_752), "that of the envelope");
    let body = golden!("v3-market-current-fund-rate__bitgetnet__1").as_bytes();
    let expected = (Rate(7100), UnixNanos::from_millis(1_743_062_400_000));
    assert_eq!(answers().funding(200, body).unwrap(), expected);
    let time = br#"{"code":"00000","data":{"serverTime":"1695806875837"},"requestTime":1}"#;
    let expected = UnixNanos::from_millis(1_695_806_875_837);
    assert_eq!(answers().server_time(200, time).unwrap(), expected);
}

#[test]
fn a_book_over_rest_gives_its_touch_exactly_or_not_at_all() {
    let touch = |data: &str| {
        let body = format!(r#"{{"code":"00000","msg":"success","requestTime":1,"data":{data}}}"#);
        answers().touch(200, body.as_bytes(), &directory(), BTC)
    };
    let expected = TouchReport {
        instrument: BTC,
        bid: Ticks(902_473),
        bid_lots: Lots(15_000),
        ask: Ticks(902_475),
        ask_lots: Lots(31),
        ts: UnixNanos::from_millis(1_765_444_282_230),
    };
    for data in [
        r#"{"a":[[90247.5,0.0031],[90248,1]],"b":[[90247.3,1.5],[90247,2]],"ts":"1765444282230"}"#,
        r#"{"b":[["90247.3","1.50"]],"a":[["90247.5","0.0031"]],"ts":1765444282230}"#,
    ] {
        assert_eq!(touch(data), Ok(expected), "{data}");
    }
    let one_sided = touch(r#"{"a":[[90247.5,0.0031]],"b":[],"ts":"1765444282230"}"#);
    let none = (Ticks::ZERO, Lots::ZERO);
    assert_eq!(one_sided, Ok(TouchReport { bid: none.0, bid_lots: none.1, ..expected }));
    for data in [
        r#"{"a":[[90247.55,1]],"b":[[90247.3,1]],"ts":"1"}"#,
        r#"{"a":[[90247.5,0.00001]],"b":[[90247.3,1]],"ts":"1"}"#,
        r#"{"a":[[90247.5]],"b":[[90247.3,1]],"ts":"1"}"#,
        r#"{"a":[[90247.5,1]],"ts":"1"}"#,
        r#"{"a":[90247.5,1],"b":[[90247.3,1]],"ts":"1"}"#,
        "null",
    ] {
        assert!(touch(data).is_err(), "{data}");
    }
}

#[test]
fn replies_follow_the_code_and_not_the_status() {
    let reply = |status, body: &str| {
        let client = ClientId { epoch: 1, number: 2 };
        answers().reply(status, body.as_bytes(), RequestKind::Place, BTC, client)
    };
    let taken = reply(200, golden!("v3-trade-cancel-order__bitgetnet__1"));
    assert_eq!((taken.outcome, taken.order_id), (Outcome::Received, 111_111_111_111_111_111));
    let nameless = reply(200, r#"{"code":0,"data":{"orderId":null}}"#);
    assert_eq!((nameless.outcome, nameless.order_id), (Outcome::Received, 0));
    let refused = reply(400, error!("position-mode-mismatch__issue-report__1"));
    assert_eq!((refused.outcome, refused.code), (Outcome::Rejected, 40774));
    let refused = reply(200, error!("unknown-symbol-v3__probe2026__1"));
    assert_eq!((refused.outcome, refused.class), (Outcome::Rejected, RejectClass::Halted));
    let gone = reply(400, error!("configure-erroneous-cancelation-response__hummingbot__1"));
    assert_eq!((gone.outcome, gone.class), (Outcome::Rejected, RejectClass::NotFound));
    for (status, body) in [
        (200, r#"{"code":"40010","msg":"Request timed out"}"#),
        (500, r#"{"code":"45001","msg":"Unknown error"}"#),
        (502, "<html>Bad Gateway</html>"),
        (200, "<html>"),
        (200, ""),
        (200, r#"{"code":"0","code":"40762"}"#),
    ] {
        assert_eq!(reply(status, body).outcome, Outcome::Unknown, "{body}");
    }
    let slow = reply(429, "Too Many Requests");
    assert_eq!((slow.outcome, slow.class), (Outcome::Rejected, RejectClass::Rate));
}

#[test]
fn a_cancel_of_many_answers_for_each() {
    let body = golden!("v3-trade-cancel-symbol-order__bitgetnet__1").as_bytes();
    let [reply] = answers().canceled(200, body, BTC).unwrap()[..] else { panic!("one reply") };
    assert_eq!((reply.code, reply.class), (24056, RejectClass::NotFound));
    let body = golden!("v3-trade-cancel-batch__bitgetdocs__1").as_bytes();
    let replies = answers().canceled(200, body, BTC).unwrap();
    assert_eq!(replies.len(), 2);
    assert!(replies.iter().all(|reply| reply.outcome == Outcome::Received));
}

#[test]
fn funding_is_signed_by_its_type_and_trades_are_no_bills() {
    let traded = golden!("v3-account-financial-records__bitgetnet__1");
    let page = answers().bills(200, traded.as_bytes(), &directory()).unwrap();
    assert_eq!((page.items.len(), page.rows), (0, 1));
    for (kind, amount, expected) in [
        ("CONTRACT_MAIN_SETTLE_FEE_USER_OUT", "0.25", -25_000_000),
        ("CONTRACT_MAIN_SETTLE_FEE_USER_OUT", "-0.25", -25_000_000),
        ("CONTRACT_MAIN_SETTLE_FEE_USER_IN", "0.25", 25_000_000),
    ] {
        let body = traded
            .replace("ORDER_DEALT_IN", kind)
            .replace(r#""coin": "BTC""#, r#""coin": "USDT""#)
            .replace("0.00531168", amount);
        let page = answers().bills(200, body.as_bytes(), &directory()).unwrap();
        let [bill] = page.items[..] else { panic!("one bill") };
        assert_eq!((bill.kind, bill.amount), (BillKind::Funding, Quote(expected)));
        assert_eq!((bill.instrument, bill.bill_id), (BTC, 13_111_111_111_111_111));
    }
}

#[test]
fn no_record_of_an_execution_is_a_bill_whatever_its_word() {
    // Found by simulation of a funding at an odd time: the profit of each execution that closed
    // was booked a second time, as money of another kind.
    let traded = golden!("v3-account-financial-records__bitgetnet__1");
    let read = |word: &str| {
        let body =
            traded.replace("ORDER_DEALT_IN", word).replace(r#""coin": "BTC""#, r#""coin": "USDT""#);
        let page = answers().bills(200, body.as_bytes(), &directory()).unwrap();
        page.items.first().map(|bill| bill.kind)
    };
    // The documentation's enumerations of records and of tax records.
    for word in [
        "ORDER_DEALT_IN",
        "ORDER_DEALT_FROZEN_OUT",
        "ORDER_DEALT_OUT",
        "OPEN_LONG",
        "OPEN_SHORT",
        "BUY_DEAL",
        "SELL_DEAL",
        "CLOSE_LONG",
        "CLOSE_SHORT",
        "FORCE_CLOSE_LONG",
        "FORCE_CLOSE_SHORT",
        "BURST_CLOSE_LONG",
        "BURST_CLOSE_SHORT",
        "OFFSET_REDUCE_CLOSE_LONG",
        "OFFSET_REDUCE_CLOSE_SHORT",
        "FORCE_BUY_SSM",
        "FORCE_SELL_SSM",
        "BURST_BUY_SSM",
        "BURST_SELL_SSM",
        "ADL_BUY_IN_SINGLE_SIDE_MODE",
        "ADL_CLOSE_LONG",
        "close_long",
        "FIXED_OFFSET_IN_SSM_LONG",
        "FIXED_REDUCE_ONLY_OFFSET_IN_SSM_SHORT",
        "ADL_SELL_IN_SINGLE_SIDE_MODE",
        "ADL_CLOSE_SHORT",
        // Margin that moves within the wallet.
        "FIXED_INCREASE_MARGIN",
        "FIXED_REDUCE_MARGIN",
        "FIXED_LEVER_POS_IN",
    ] {
        assert_eq!(read(word), None, "{word}");
    }
    for (word, kind) in [
        ("TRANSFER_IN", BillKind::Transfer),
        ("RESERVE_TRANSFER_OUT", BillKind::Transfer),
        ("contract_main_settle_fee_user_in", BillKind::Funding),
        ("INTEREST_SETTLEMENT_OUT", BillKind::Other),
        ("RISK_LIQ_USER_IN", BillKind::Other),
        ("FIXED_RISK_LIQ_USER_OUT", BillKind::Other),
        ("ORDER_PLF_FEE_OUT", BillKind::Other),
        ("EXCHANGE_TARGET_TOKEN_USER_IN", BillKind::Other),
        ("BORROW", BillKind::Other),
        ("INTEREST_REPAYMENT", BillKind::Other),
        ("LIQ_TRANSFER_OUT", BillKind::Other),
        ("LIQ_FEE", BillKind::Other),
        ("FIXED_TRANSFER_OUT", BillKind::Transfer),
        ("WITHDRAW_FEE_OUT", BillKind::Unknown),
        ("ADL_TRANSFER_OUT", BillKind::Unknown),
        ("A_WORD_OF_NEXT_YEAR", BillKind::Unknown),
        ("BONUS", BillKind::Unknown),
        ("", BillKind::Unknown),
    ] {
        assert_eq!(read(word), Some(kind), "{word}");
    }
}

#[test]
fn a_cost_whose_amount_is_told_without_a_sign_is_one() {
    let told = golden!("v3-account-financial-records__bitgetnet__1");
    let told = told.replace("ORDER_DEALT_IN", "LIQ_FEE").replace("\"BTC\"", "\"USDT\"");
    let page = answers().bills(200, told.as_bytes(), &directory()).unwrap();
    assert!(page.items[0].amount < Quote::ZERO, "{:?}", page.items[0]);
}

#[test]
fn calls_go_out_as_documented() {
    let btc = symbol("BTCUSDT");
    let own = ClientId { epoch: 36, number: 71 };
    let window = Window { from: Some(UnixNanos::from_millis(5)), to: None };
    for (call, path, query) in [
        (Call::server_time(), "/api/v2/public/time", ""),
        (Call::instruments(), "/api/v3/market/instruments", "category=USDT-FUTURES"),
        (
            Call::candles(btc, Bars::Recent, Window::default(), 10),
            "/api/v3/market/candles",
            "category=USDT-FUTURES&symbol=BTCUSDT&granularity=1m&type=MARKET&limit=10",
        ),
        (Call::fee_rate(btc), "/api/v3/account/fee-rate", "symbol=BTCUSDT&category=USDT-FUTURES"),
        (
            Call::open_orders(Some(btc), Some("77")),
            "/api/v3/trade/unfilled-orders",
            "category=USDT-FUTURES&symbol=BTCUSDT&limit=100&cursor=77",
        ),
        (
            Call::fills(None, window, None),
            "/api/v3/trade/fills",
            "category=USDT-FUTURES&startTime=5&limit=100",
        ),
        (Call::order(&instance(), own), "/api/v3/trade/order-info", "clientOid=keel-mm1-10-1z"),
    ] {
        assert_eq!((call.path, call.query.as_str()), (path, query));
        assert_eq!((call.method, call.body.as_str()), (Method::Get, ""));
    }
    assert_eq!(Call::countdown(40).body, r#"{"countdown":"40"}"#);
    assert_eq!(Call::cancel_all(None).body, r#"{"category":"USDT-FUTURES"}"#);
    let cancel = Cancel {
        instrument: BTC,
        client: own,
        order_id: 9,
        cause: keel_core::command::CancelCause::Safety,
    };
    assert_eq!(
        Call::cancel(&instance(), btc, &cancel).body,
        r#"{"category":"USDT-FUTURES","symbol":"BTCUSDT","orderId":"9","clientOid":"keel-mm1-10-1z"}"#
    );
    let foreign = Cancel { client: ClientId::FOREIGN, ..cancel };
    let (call, count) = Call::cancels(&instance(), btc, &[foreign, foreign]);
    assert_eq!((call.path, count), ("/api/v3/trade/cancel-batch", 2));
    let one = r#"{"category":"USDT-FUTURES","symbol":"BTCUSDT","orderId":"9"}"#;
    assert_eq!(call.body, format!("[{one},{one}]"));
    let (call, count) = Call::cancels(&instance(), btc, &[foreign]);
    assert_eq!((call.body.as_str(), call.path, count), (one, "/api/v3/trade/cancel-order", 1));
    assert!(Call::cancel_all(Some(btc)).signed && !Call::instruments().signed);
}

#[test]
fn each_order_of_a_batch_has_its_own_answer_and_one_that_is_not_named_is_unknown() {
    let client = |number| ClientId { epoch: 36, number };
    let asked = |number| Asked { instrument: BTC, client: client(number), order_id: 0 };
    // The rows come in another order, one is refused, one is missing.
    let body = concat!(
        r#"{"code":"00000","msg":"success","requestTime":1,"data":["#,
        r#"{"orderId":"","clientOid":"keel-mm1-10-3","code":"25206","msg":"no"},"#,
        r#"{"orderId":"11","clientOid":"keel-mm1-10-1"}]}"#
    );
    let mut answers = Answers::new(instance(), false);
    let all = [asked(1), asked(2), asked(3)];
    let replies = answers.replies(200, body.as_bytes(), RequestKind::Place, &all);
    let told: Vec<_> = replies.iter().map(|r| (r.client.number, r.outcome, r.order_id)).collect();
    assert_eq!(
        told,
        [(1, Outcome::Received, 11), (2, Outcome::Unknown, 0), (3, Outcome::Rejected, 0)]
    );
    assert!(replies.iter().all(|reply| reply.instrument == BTC));
    let refused = br#"{"code":"40014","msg":"no","data":null}"#;
    for (status, body, outcome) in [
        (400, &refused[..], Outcome::Rejected),
        (502, &b"<html>"[..], Outcome::Unknown),
        (200, &b"{"[..], Outcome::Unknown),
        (429, &b"Too Many Requests"[..], Outcome::Rejected),
    ] {
        let replies = answers.replies(status, body, RequestKind::Place, &all);
        assert!(replies.len() == 3 && replies.iter().all(|r| r.outcome == outcome), "{status}");
    }
}
