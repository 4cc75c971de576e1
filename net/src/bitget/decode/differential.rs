//! The fast reader, the second reader and a third one (serde_json) on frames made at random, whole
//! and damaged: what the fast reader takes, all take alike; what one of the other two takes, both
//! do.

use std::fmt;

use keel_core::decimal::Decimal;
use keel_core::event::{BookPage, LevelSize, PAGE_LEVELS, Ticker, Trade};
use keel_core::units::{Lots, Price, Rate, Side, Ticks, UnixNanos};
use proptest::prelude::*;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use super::*;
use crate::bitget::tests::btc;

/// JSON with its keys in order and all of them, which `serde_json::Value` does not keep.
#[derive(Clone, Debug, PartialEq)]
enum Json {
    Null,
    Bool,
    Text(String),
    Object(Vec<(String, Json)>),
    List(Vec<Json>),
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Json;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("JSON")
            }
            fn visit_unit<E>(self) -> Result<Json, E> {
                Ok(Json::Null)
            }
            fn visit_bool<E>(self, _: bool) -> Result<Json, E> {
                Ok(Json::Bool)
            }
            fn visit_i64<E>(self, number: i64) -> Result<Json, E> {
                Ok(Json::Text(format!("#{number}")))
            }
            fn visit_u64<E>(self, number: u64) -> Result<Json, E> {
                Ok(Json::Text(format!("#{number}")))
            }
            fn visit_f64<E>(self, number: f64) -> Result<Json, E> {
                Ok(Json::Text(format!("#f{number}")))
            }
            fn visit_str<E>(self, text: &str) -> Result<Json, E> {
                Ok(Json::Text(format!("'{text}")))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Json, A::Error> {
                let mut list = Vec::new();
                while let Some(item) = from.next_element()? {
                    list.push(item);
                }
                Ok(Json::List(list))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Json, A::Error> {
                let mut object = Vec::new();
                while let Some(entry) = from.next_entry()? {
                    object.push(entry);
                }
                Ok(Json::Object(object))
            }
        }
        from.deserialize_any(Any)
    }
}

impl Json {
    /// The value of `key`; the outer `None` when this is no object or has the key twice.
    fn field(&self, key: &str) -> Option<Option<&Self>> {
        let Self::Object(object) = self else { return None };
        let mut found = object.iter().filter(|(name, _)| name == key).map(|(_, value)| value);
        match (found.next(), found.next()) {
            (_, Some(_)) => None,
            (Some(Self::Null) | None, None) => Some(None),
            (found, None) => Some(found),
        }
    }

    fn need(&self, key: &str) -> Option<&Self> {
        self.field(key)?
    }

    fn list(&self) -> Option<&[Self]> {
        match self {
            Self::List(list) => Some(list),
            _ => None,
        }
    }

    fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => text.strip_prefix('\''),
            _ => None,
        }
    }

    fn decimal(&self) -> Option<Decimal> {
        let Self::Text(text) = self else { return None };
        let (float, digits) = match text.strip_prefix("#f") {
            Some(digits) => (true, digits),
            None => (false, &text[1..]),
        };
        let decimal = Decimal::parse(digits.as_bytes()).ok()?;
        (!float || decimal.mantissa.abs() < 1_000_000_000_000_000).then_some(decimal)
    }

    fn whole(&self) -> Option<u64> {
        let Self::Text(text) = self else { return None };
        let digits = text[1..].bytes().all(|byte| byte.is_ascii_digit());
        (digits && text.len() > 1).then(|| text[1..].parse().ok())?
    }

    fn millis(&self) -> Option<UnixNanos> {
        let millis = i64::try_from(self.whole()?).ok()?;
        (millis <= 9_000_000_000_000).then(|| UnixNanos::from_millis(millis))
    }

    fn e8(&self) -> Option<i64> {
        let Self::Text(text) = self else { return None };
        if !text.starts_with('\'') {
            return self.decimal()?.e8_truncated().ok();
        }
        let (whole, fraction) = text[1..].split_once('.').unwrap_or((&text[1..], "0"));
        if fraction.is_empty() || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let digits = format!("{fraction:0<8}");
        Decimal::parse(format!("{whole}.{}", &digits[..8]).as_bytes()).ok()?.e8().ok()
    }
}

/// The third reader: slow, straightforward, and written apart. `None` refuses.
fn reference(payload: &[u8]) -> Option<Vec<Event>> {
    let root: Json = serde_json::from_slice(payload).ok()?;
    for key in ["event", "id", "topic", "args", "code"] {
        root.field(key)?;
    }
    if root.field("event")?.is_some() {
        return None; // the generator makes no answers; a damaged key is not worth reading
    }
    let (action, arg, data) = (root.need("action")?, root.need("arg")?, root.need("data")?);
    let ts = root.field("ts")?;
    let product = arg.need("instType")?;
    let topic = arg.need("topic")?.text()?;
    let symbols = [arg.field("symbol")?, arg.field("instId")?];
    if Channel::parse(topic.as_bytes()).is_none() {
        return Some(vec![]);
    }
    let snapshot = match action.text()? {
        "snapshot" => true,
        "update" => false,
        _ => return None,
    };
    if !product.text()?.eq_ignore_ascii_case("usdt-futures") {
        return Some(vec![]);
    }
    let [symbol] = symbols.into_iter().flatten().collect::<Vec<_>>().try_into().ok()?;
    if symbol.text()? != "BTCUSDT" {
        return None;
    }
    match topic {
        "publicTrade" => trades(data),
        "ticker" => ticker(data, ts),
        _ => books(data, snapshot),
    }
}

fn books(data: &Json, snapshot: bool) -> Option<Vec<Event>> {
    let [row] = data.list()? else { return None };
    let checksum = match row.field("checksum")? {
        None => 0,
        Some(number) => {
            let number = number.decimal().filter(|number| number.scale == 0)?.mantissa;
            (-2_147_483_648..=4_294_967_295).contains(&number).then_some(number as i32)?
        }
    };
    let pseq = row.field("pseq")?.map_or(Some(0), Json::whole)?;
    let mut pages = Vec::new();
    for (side, key) in [(Side::Sell, "a"), (Side::Buy, "b")] {
        for chunk in row.need(key)?.list()?.chunks(PAGE_LEVELS) {
            let mut ticks = [0; PAGE_LEVELS];
            let mut sizes = [LevelSize::default(); PAGE_LEVELS];
            for (place, level) in chunk.iter().enumerate() {
                let [price, size] = level.list()? else { return None };
                let (price, size) = (price.decimal()?, size.decimal()?);
                let steps = btc().tick.steps_of(price).ok()?;
                ticks[place] = u32::try_from(steps).ok().filter(|ticks| *ticks > 0)?;
                let lots = u64::try_from(btc().lot.steps_of(size).ok()?).ok()?;
                sizes[place] = LevelSize::new(lots, price.scale, size.scale)?;
            }
            pages.push((side, chunk.len() as u8, ticks, sizes));
        }
    }
    if pages.is_empty() {
        pages.push((Side::Buy, 0, [0; PAGE_LEVELS], [LevelSize::default(); PAGE_LEVELS]));
    }
    let count = pages.len();
    let (seq, ts) = (row.need("seq")?.whole()?, row.need("ts")?.millis()?);
    let page = |(place, (side, len, ticks, sizes))| {
        Event::BookPage(BookPage {
            instrument: InstrumentId(0),
            side,
            snapshot,
            first: place == 0,
            last: place + 1 == count,
            len,
            seq,
            pseq,
            ts,
            checksum,
            ticks,
            sizes,
        })
    };
    Some(pages.into_iter().enumerate().map(page).collect())
}

fn trades(data: &Json) -> Option<Vec<Event>> {
    let mut trades = Vec::new();
    for row in data.list()? {
        let side = row.need("S")?.text()?.to_ascii_lowercase();
        trades.push(Trade {
            instrument: InstrumentId(0),
            taker: match side.as_str() {
                "buy" => Side::Buy,
                "sell" => Side::Sell,
                _ => return None,
            },
            price: Ticks(btc().tick.steps_of(row.need("p")?.decimal()?).ok()?),
            lots: Lots(btc().lot.steps_of(row.need("v")?.decimal()?).ok()?),
            trade_id: row.need("i")?.whole()?,
            ts: row.need("T")?.millis()?,
        });
    }
    if trades.iter().any(|trade| trade.price.0 <= 0 || trade.lots.0 <= 0) {
        return None;
    }
    let age = |trade: &Trade| (trade.ts, trade.trade_id);
    if trades.first().map(age) > trades.last().map(age) {
        trades.reverse();
    }
    Some(trades.into_iter().map(Event::Trade).collect())
}

fn ticker(data: &Json, ts: Option<&Json>) -> Option<Vec<Event>> {
    let [row] = data.list()? else { return None };
    let empty = |item: &&Json| item.text() != Some("");
    let e8 = |key: &str| row.field(key)?.filter(empty).map_or(Some(0), Json::e8);
    let price = |key: &str| e8(key).filter(|price| *price >= 0).map(Price);
    let millis = |item: Option<&Json>| item.filter(empty).map_or(Some(UnixNanos(0)), Json::millis);
    Some(vec![Event::Ticker(Ticker {
        instrument: InstrumentId(0),
        last: price("lastPrice")?,
        mark: price("markPrice")?,
        index: price("indexPrice")?,
        funding_rate: Rate(e8("fundingRate")?),
        funding_at: millis(row.field("nextFundingTime")?)?,
        ts: millis(ts)?,
    })])
}

fn directory() -> Directory {
    Directory::new(&[btc()])
}

fn fast_only(payload: &[u8]) -> Option<Vec<Event>> {
    let mut decoder = Decoder::new(Instance::parse("mm1").unwrap());
    let directory = directory();
    let found = fast::read(payload, &directory, &mut decoder.levels, &mut decoder.events)?;
    let mut events = Vec::new();
    decoder.deliver(&found, &mut events).unwrap();
    Some(events)
}

fn second_only(payload: &[u8]) -> Option<Vec<Event>> {
    let mut decoder = Decoder::new(Instance::parse("mm1").unwrap());
    let directory = directory();
    let Decoder { instance, levels, events, scratch, counters } = &mut decoder;
    let skipped = &mut counters.skipped;
    let mut out = push::Out { directory: &directory, instance, levels, events, skipped };
    let found = scratch.read(payload, |root| second(root, &mut out)).ok()?;
    let mut events = Vec::new();
    match decoder.deliver(&found, &mut events).unwrap() {
        Message::Events(_) | Message::Unread => Some(events),
        Message::Control(_) => None,
    }
}

/// Numbers of more than 19 digits: one of the other two parsers takes them, the other does not.
fn has_long_number(payload: &[u8]) -> bool {
    payload.split(|byte| !byte.is_ascii_digit()).any(|digits| digits.len() > 19)
}

fn check(payload: &[u8], valid: bool) -> Result<(), TestCaseError> {
    let shown = payload.escape_ascii().to_string();
    let second = second_only(payload);
    if let Some(fast) = fast_only(payload) {
        prop_assert_eq!(Some(&fast), second.as_ref(), "fast, second: {}", shown);
    } else {
        prop_assert!(!valid, "the fast reader leaves {}", shown);
    }
    let private = payload.windows(8).any(|window| window == b"position" || window == b"account\"");
    if !has_long_number(payload) && !private {
        prop_assert_eq!(second, reference(payload), "second, third: {}", shown);
    }
    Ok(())
}

fn decimal(whole: std::ops::Range<u32>, decimals: usize) -> impl Strategy<Value = String> {
    let unit = 10u32.pow(decimals as u32);
    (whole, 0..unit, 0..=decimals).prop_map(move |(whole, fraction, shown)| {
        let digits = format!("{fraction:0decimals$}");
        let zeros = digits[shown..].bytes().all(|byte| byte == b'0');
        match (shown, zeros) {
            (0, true) => format!("{whole}"),
            (shown, true) => format!("{whole}.{}", &digits[..shown]),
            _ => format!("{whole}.{digits}"),
        }
    })
}

fn levels() -> impl Strategy<Value = String> {
    let level = (decimal(1..400_000_000, 1), decimal(0..9_000_000, 4));
    let level = level.prop_map(|(price, size)| format!(r#"["{price}","{size}"]"#));
    prop::collection::vec(level, 0..20).prop_map(|levels| format!("[{}]", levels.join(",")))
}

fn arg(topic: &str, key: bool) -> String {
    let key = if key { "symbol" } else { "instId" };
    format!(r#""arg":{{"instType":"usdt-futures","topic":"{topic}","{key}":"BTCUSDT"}}"#)
}

fn frame() -> impl Strategy<Value = String> {
    let action = prop::sample::select(vec!["snapshot", "update"]);
    let books = (
        action.clone(),
        prop::sample::select(vec!["books", "books1", "books5", "books50"]),
        any::<bool>(),
        (levels(), levels()),
        (0u64..=9_999_999_999_999_999_999, 0u64..9_999_999_999_999_999_999),
        0i64..9_000_000_000_000,
        prop::option::of(i64::from(i32::MIN)..i64::from(u32::MAX)),
    );
    let books = books.prop_map(|(action, topic, key, (a, b), (seq, pseq), ts, sum)| {
        let arg = arg(topic, key);
        let sum = sum.map_or(String::new(), |sum| format!(r#","checksum":{sum}"#));
        format!(
            r#"{{"action":"{action}",{arg},"data":[{{"a":{a},"b":{b},"seq":{seq},"pseq":{pseq},"ts":"{ts}","maxdepth":"1000"{sum}}}],"ts":{ts}}}"#
        )
    });
    let trade = (
        decimal(1..400_000_000, 1),
        any::<bool>(),
        0i64..9_000_000_000_000,
        decimal(1..9_000_000, 4),
        any::<u64>(),
        any::<bool>(),
    );
    let trade = trade.prop_map(|(price, buy, ts, size, id, rpi)| {
        let side = if buy { "buy" } else { "sell" };
        let rpi = if rpi { r#","isRPI":"no""# } else { "" };
        format!(r#"{{"p":"{price}","S":"{side}","T":"{ts}","v":"{size}","i":"{id}","L":"7"{rpi}}}"#)
    });
    let trades = (action, any::<bool>(), prop::collection::vec(trade, 1..6), 0u64..1 << 42);
    let trades = trades.prop_map(|(action, key, rows, ts)| {
        let arg = arg("publicTrade", key);
        format!(r#"{{"action":"{action}",{arg},"data":[{}],"ts":{ts}}}"#, rows.join(","))
    });
    let ticker = (decimal(0..90_000, 4), any::<u32>(), 0i64..9_000_000_000_000, any::<u32>());
    let ticker = ticker.prop_map(|(price, fraction, ts, seed)| {
        let mut fields = [
            format!(r#""lastPrice":"{price}""#),
            format!(r#""markPrice":"{}""#, fraction % 1000),
            format!(r#""indexPrice":"7.{fraction}0123456789""#),
            format!(r#""fundingRate":"-0.000{fraction}""#),
            format!(r#""nextFundingTime":"{ts}""#),
            r#""bid1Price":"""#.to_owned(),
        ];
        fields.rotate_left(seed as usize % 6);
        let arg = arg("ticker", true);
        format!(r#"{{"action":"snapshot",{arg},"data":[{{{}}}],"ts":{ts}}}"#, fields.join(","))
    });
    prop_oneof![4 => books, 2 => trades, 1 => ticker]
}

/// What damage is made of.
const BYTES: &[u8] = br#"{}[]",:.0123456789-eE\ abtsnull"#;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn all_three_readers_take_a_valid_frame_alike(frame in frame()) {
        check(frame.as_bytes(), true)?;
    }

    #[test]
    fn damage_is_taken_alike_or_refused_by_all(
        frame in frame(),
        damage in prop::collection::vec(
            (
                0u8..5,
                any::<prop::sample::Index>(),
                any::<prop::sample::Index>(),
                any::<prop::sample::Index>(),
            ),
            1..4,
        ),
    ) {
        let mut bytes = frame.into_bytes();
        for (kind, at, other, byte) in damage {
            if bytes.is_empty() {
                break;
            }
            let (at, other) = (at.index(bytes.len()), other.index(bytes.len()));
            let byte = BYTES[byte.index(BYTES.len())];
            match kind {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                2 => drop(bytes.remove(at)),
                3 => bytes.swap(at, other),
                _ => {
                    // A part stands twice, as a repeated key would.
                    let (from, to) = (at.min(other), at.max(other).min(at.min(other) + 40));
                    let part = bytes[from..to].to_vec();
                    bytes.splice(to..to, part);
                }
            }
        }
        check(&bytes, false)?;
    }

    #[test]
    fn no_bytes_at_all_make_a_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut decoder = Decoder::new(Instance::parse("mm1").unwrap());
        let _ = decoder.read(&bytes, &directory(), &mut Vec::new());
    }
}

#[test]
fn white_space_other_orders_and_numbers_are_left_to_the_second_reader() {
    let plain = concat!(
        r#"{"action":"update","arg":{"instType":"usdt-futures","topic":"books","symbol":"BTCUSDT"},"#,
        r#""data":[{"a":[["2.0","1"]],"b":[],"seq":2,"pseq":1,"ts":"3"}],"ts":4}"#
    );
    let expected = fast_only(plain.as_bytes());
    assert!(expected.is_some());
    for other in [
        plain.replace("\"seq\":2", "\"seq\": 2"),
        plain.replace(r#""seq":2,"pseq":1"#, r#""pseq":1,"seq":2"#),
        plain
            .replace(r#""action":"update","#, "")
            .replace(r#""ts":4}"#, r#""ts":4,"action":"update"}"#),
        plain.replace("\"ts\":4", "\"ts\":4,\"new\":[{}]"),
        plain.replace("\"seq\":2", "\"seq\":\"2\""),
        plain.replace("\"update\"", "\"upd\\u0061te\""),
        plain.replace("usdt-futures", "USDT-FUTURES"),
    ] {
        assert_eq!(fast_only(other.as_bytes()), None, "{other}");
        assert_eq!(second_only(other.as_bytes()), expected, "{other}");
    }
    let number = plain.replace("\"2.0\"", "2.5");
    assert_eq!(fast_only(number.as_bytes()), None);
    assert!(second_only(number.as_bytes()).is_some());
    for refused in [
        plain.replace("\"seq\":2", "\"seq\":2,\"seq\":2"),
        plain.replace("\"b\":[]", "\"b\":[],\"a\":[]"),
        plain.replace("\"ts\":4", "\"ts\":4,\"data\":[]"),
        plain.replace("2.0", "2.05"),
        plain.replace("\"2.0\"", "\"0.0\""),
        plain.replace("\"1\"]", "\"-1\"]"),
        plain.replace("\"1\"]", "\"1\",\"1\"]"),
        format!("{plain} x"),
    ] {
        assert_eq!(fast_only(refused.as_bytes()), None, "{refused}");
        assert_eq!(second_only(refused.as_bytes()), None, "{refused}");
    }
}
