//! Payloads as the venue writes them: V3 public topics of one instrument, and the answers to its
//! orders.
//!
//! Shapes and key order are those of the samples in `tests/golden/bitget/ws_v3`; sizes of frames
//! are set by the number of levels. Everything is drawn from a counter, so that a run can be made
//! again.

use std::io::Write;

use keel_core::command::Cancel;
use keel_core::decimal::{Grid, TEXT_MAX};
use keel_core::gate::OrderSpec;
use keel_core::instrument::{Instrument, InstrumentId, Symbol, btcusdt};
use keel_core::units::{Lots, Side, Ticks};
use keel_net::bitget::client::Instance;

/// The market of one instrument: a book without holes around a touch one tick wide.
#[derive(Clone, Debug)]
pub struct Market {
    rules: Instrument,
    bid: i64,
    seq: u64,
    millis: u64,
    draws: u64,
    text: Vec<u8>,
}

/// Levels a side of a snapshot: the depth at which `books` is subscribed.
pub const SNAPSHOT_LEVELS: usize = 200;
/// Levels of an update of about 400 bytes.
pub const LEVELS_400: usize = 8;
/// Levels of an update of about 826 bytes.
pub const LEVELS_826: usize = 27;
/// Best bid of a market that has not moved: [`crate::trader`] quotes 30 ticks below it, where an
/// order just fits.
pub const BID: Ticks = Ticks(1_000_029);
/// What the name of this engine is in client ids.
pub const INSTANCE: &str = "bench";

/// Rules like those of BTCUSDT. `min_lots` are worth 250 USDT at
/// the price of 1,000,000 ticks, see [`crate::trader`].
pub fn rules(id: InstrumentId) -> Instrument {
    let name = if id.0 == 0 { "BTCUSDT".to_owned() } else { format!("C{}USDT", id.0) };
    let symbol = Symbol::parse(name.as_bytes()).expect("a plain name");
    Instrument { symbol, min_lots: Lots(25), ..btcusdt() }
}

/// The name of this engine.
pub fn instance() -> Instance {
    Instance::parse(INSTANCE).expect("a plain name")
}

impl Market {
    /// A market of the instrument `id` with its touch at [`BID`].
    pub fn new(id: InstrumentId) -> Self {
        Self {
            rules: rules(id),
            bid: BID.0,
            seq: 1_304_314_508_780_744_705,
            millis: 1_746_698_732_562,
            draws: u64::from(id.0) + 1,
            text: Vec::with_capacity(64 << 10),
        }
    }

    /// The same, `by` ticks above [`BID`] before its first frame: where no order fits, so that an
    /// engine of many instruments does not begin with an order on each at once.
    pub fn away(mut self, by: i64) -> Self {
        self.bid += by;
        self
    }

    /// The best bid; the best ask is a tick above.
    pub fn bid(&self) -> Ticks {
        Ticks(self.bid)
    }

    /// A `books` snapshot of `levels` a side.
    pub fn snapshot(&mut self, levels: usize) -> &[u8] {
        self.begin("snapshot", "books");
        for (side, key) in [(Side::Sell, r#"{"a":["#), (Side::Buy, r#"],"b":["#)] {
            self.push(key);
            let touch = self.touch(side);
            for place in 0..levels as i64 {
                let size = self.size();
                self.level(touch - place * side.sign(), size);
            }
        }
        self.end_book(0)
    }

    /// A `books` update of `levels` levels in all that moves the touch by `by` ticks, up when
    /// positive. What is left of the levels changes sizes behind the touch.
    ///
    /// # Panics
    /// When the move alone takes more than `levels`.
    pub fn update(&mut self, levels: usize, by: i64) -> &[u8] {
        let moved = by.unsigned_abs() as usize;
        assert!(2 * moved <= levels, "a move of {by} ticks takes {} levels", 2 * moved);
        let (old_bid, gone) = (self.bid, if by > 0 { Side::Sell } else { Side::Buy });
        self.bid += by;
        self.begin("update", "books");
        let spare = levels - 2 * moved;
        let first = 3 + (self.draw() % 20) as i64;
        for (side, key) in [(Side::Sell, r#"{"a":["#), (Side::Buy, r#"],"b":["#)] {
            self.push(key);
            for place in 0..moved as i64 {
                // Asks rise and bids fall within a frame, as in the venue's.
                let tick = match side {
                    Side::Sell => old_bid.min(self.bid) + 1 + place,
                    Side::Buy => old_bid.max(self.bid) - place,
                };
                let size = if side == gone { 0 } else { self.size() };
                self.level(tick, size);
            }
            let touch = self.touch(side);
            let changed = if side == Side::Sell { spare / 2 } else { spare - spare / 2 };
            for place in 0..changed as i64 {
                let size = self.size();
                self.level(touch - (first + moved as i64 + place) * side.sign(), size);
            }
        }
        let before = self.seq;
        self.seq += 1 + self.draw() % 4_000;
        self.end_book(before)
    }

    /// A `books1` push.
    pub fn best(&mut self) -> &[u8] {
        self.begin("snapshot", "books1");
        for (side, key) in [(Side::Sell, r#"{"a":["#), (Side::Buy, r#"],"b":["#)] {
            self.push(key);
            let size = self.size();
            self.level(self.touch(side), size);
        }
        self.seq += 1;
        self.end_book(0)
    }

    /// A `publicTrade` push of `rows` trades.
    pub fn trades(&mut self, rows: usize) -> &[u8] {
        self.begin("update", "publicTrade");
        for row in 0..rows {
            let (size, trade) = (self.size(), 1_260_903_622_036_942_849 + self.draw() % 1_000_000);
            let side = if row % 2 == 0 { "buy" } else { "sell" };
            let Self { text, millis, .. } = self;
            if row > 0 {
                text.push(b',');
            }
            let price = decimal(self.rules.tick, self.bid);
            let size = decimal(self.rules.lot, size);
            write!(
                text,
                r#"{{"p":"{price}","S":"{side}","T":"{millis}","v":"{size}","i":"{trade}","L":"{trade}","isRPI":"no"}}"#
            )
            .expect("a vector takes everything");
        }
        let ts = self.millis;
        write!(self.text, r#"],"ts":{ts}}}"#).expect("a vector takes everything");
        &self.text
    }

    /// A `ticker` push whose mark is the best bid.
    pub fn ticker(&mut self) -> &[u8] {
        self.begin("snapshot", "ticker");
        let Self { text, rules, bid, millis, .. } = self;
        let (price, ask) = (decimal(rules.tick, *bid), decimal(rules.tick, *bid + 1));
        write!(
            text,
            concat!(
                r#"{{"highPrice24h":"102412.8","lowPrice24h":"98200.1","openPrice24h":"99812.4","#,
                r#""lastPrice":"{price}","turnover24h":"3750302979.6261","volume24h":"37722.8581","#,
                r#""bid1Price":"{price}","ask1Price":"{ask}","bid1Size":"18.6183","#,
                r#""ask1Size":"18.8312","price24hPcnt":"0.01833","indexPrice":"{price}","#,
                r#""markPrice":"{price}","fundingRate":"0.000068","openInterest":"31211.1234","#,
                r#""nextFundingTime":"1746720000000"}}],"ts":{millis}}}"#
            ),
            price = price,
            ask = ask,
            millis = millis,
        )
        .expect("a vector takes everything");
        &self.text
    }

    fn touch(&self, side: Side) -> i64 {
        if side == Side::Buy { self.bid } else { self.bid + 1 }
    }

    fn begin(&mut self, action: &str, topic: &str) {
        self.millis += 20;
        self.text.clear();
        let symbol = self.rules.symbol;
        write!(
            self.text,
            r#"{{"action":"{action}","arg":{{"instType":"usdt-futures","topic":"{topic}","symbol":"{symbol}"}},"data":["#
        )
        .expect("a vector takes everything");
    }

    fn end_book(&mut self, pseq: u64) -> &[u8] {
        let Self { text, seq, millis, .. } = self;
        let ts = *millis + 2;
        write!(
            text,
            r#"],"seq":{seq},"pseq":{pseq},"ts":"{millis}","maxdepth":"1000"}}],"ts":{ts}}}"#
        )
        .expect("a vector takes everything");
        &self.text
    }

    fn level(&mut self, tick: i64, lots: i64) {
        if self.text.last() == Some(&b']') {
            self.text.push(b',');
        }
        self.push(r#"[""#);
        push_steps(self.rules.tick, tick, &mut self.text);
        self.push(r#"",""#);
        push_steps(self.rules.lot, lots, &mut self.text);
        self.push(r#""]"#);
    }

    fn push(&mut self, text: &str) {
        self.text.extend_from_slice(text.as_bytes());
    }

    /// A size of 0.0001 to 9.9999.
    fn size(&mut self) -> i64 {
        1 + (self.draw() % 99_999) as i64
    }

    /// The next number of a fixed sequence (Knuth's MMIX generator, high bits).
    fn draw(&mut self) -> u64 {
        self.draws = self
            .draws
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        self.draws >> 33
    }
}

/// What the venue says to an order or its end: the reply to the request, then the push of the
/// order.
#[derive(Clone, Debug, Default)]
pub struct Answers {
    /// The reply.
    pub reply: Vec<u8>,
    /// The push.
    pub push: Vec<u8>,
}

impl Answers {
    /// The order `spec` rests as `order_id`. `request` is the `id` that its request bore.
    pub fn placed(&mut self, request: &str, spec: &OrderSpec, order_id: u64) {
        self.reply(request, "place-order", spec, order_id);
        self.order(spec, order_id, "live", "");
    }

    /// The order `spec`, known as `order_id`, has ended because it was asked to.
    pub fn canceled(&mut self, request: &str, spec: &OrderSpec, order_id: u64) {
        self.reply(request, "cancel-order", spec, order_id);
        self.order(spec, order_id, "canceled", "normal_cancel");
    }

    fn reply(&mut self, request: &str, topic: &str, spec: &OrderSpec, order_id: u64) {
        let symbol = rules(spec.intent.instrument).symbol;
        let client = client_text(spec);
        self.reply.clear();
        write!(
            self.reply,
            concat!(
                r#"{{"event":"trade","id":"{}","category":"usdt-futures","topic":"{}","args":[{{"#,
                r#""symbol":"{}","orderId":"{}","clientOid":"{}","cTime":"1750034397008"}}],"#,
                r#""code":"0","msg":"success","ts":"1750034397076"}}"#
            ),
            request, topic, symbol, order_id, client
        )
        .expect("a vector takes everything");
    }

    fn order(&mut self, spec: &OrderSpec, order_id: u64, status: &str, reason: &str) {
        let (intent, rules) = (&spec.intent, rules(spec.intent.instrument));
        self.push.clear();
        write!(
            self.push,
            concat!(
                r#"{{"action":"snapshot","arg":{{"instType":"UTA","topic":"order"}},"data":[{{"#,
                r#""category":"usdt-futures","symbol":"{}","orderId":"{}","clientOid":"{}","#,
                r#""price":"{}","qty":"{}","amount":"","holdMode":"one_way_mode","holdSide":"","#,
                r#""delegateType":"normal","tradeSide":"","orderType":"limit","#,
                r#""timeInForce":"post_only","side":"{}","marginMode":"crossed","#,
                r#""marginCoin":"USDT","reduceOnly":"no","cumExecQty":"0","cumExecValue":"0","#,
                r#""avgPrice":"0","totalProfit":"0","orderStatus":"{}","cancelReason":"{}","#,
                r#""leverage":"5","feeDetail":[{{"feeCoin":"USDT","fee":"0"}}],"#,
                r#""createdTime":"1746698732570","updatedTime":"1746698732571"}}],"#,
                r#""ts":1746698732572}}"#
            ),
            rules.symbol,
            order_id,
            client_text(spec),
            decimal(rules.tick, intent.price.0),
            decimal(rules.lot, intent.lots.0),
            if intent.side == Side::Buy { "buy" } else { "sell" },
            status,
            reason,
        )
        .expect("a vector takes everything");
    }
}

/// The `id` of the request that places `spec`.
pub fn place_request(spec: &OrderSpec) -> String {
    use keel_net::bitget::encode::RequestId;
    request_text(RequestId::Place { instrument: spec.intent.instrument, client: spec.client })
}

/// The `id` of the request that cancels an own order.
pub fn cancel_request(cancel: &Cancel) -> String {
    use keel_net::bitget::encode::RequestId;
    request_text(RequestId::Cancel { instrument: cancel.instrument, client: cancel.client })
}

fn request_text(request: keel_net::bitget::encode::RequestId) -> String {
    let mut text = Vec::new();
    request.write(&mut text);
    String::from_utf8(text).expect("plain text")
}

fn client_text(spec: &OrderSpec) -> String {
    let mut text = Vec::new();
    instance().write(spec.client, &mut text);
    String::from_utf8(text).expect("plain text")
}

fn decimal(grid: Grid, steps: i64) -> String {
    let mut text = Vec::new();
    push_steps(grid, steps, &mut text);
    String::from_utf8(text).expect("digits")
}

fn push_steps(grid: Grid, steps: i64, out: &mut Vec<u8>) {
    let mut text = [0; TEXT_MAX];
    let len = grid.write(steps, &mut text);
    out.extend_from_slice(&text[..len]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use keel_core::event::Event;
    use keel_net::bitget::decode::{Decoder, Message};
    use keel_net::bitget::topics::Directory;

    /// Reads a payload and says how many events it held; the fast reader must have read it.
    fn read(decoder: &mut Decoder, payload: &[u8]) -> Vec<Event> {
        let directory = Directory::new(&[rules(InstrumentId(0))]);
        let (mut events, fast) = (Vec::new(), decoder.counters().fast);
        let message = decoder.read(payload, &directory, &mut events);
        assert_eq!(message, Ok(Message::Events(events.len() as u32)));
        assert_eq!(decoder.counters().fast, fast + 1, "{}", String::from_utf8_lossy(payload));
        events
    }

    #[test]
    fn public_payloads_are_what_the_fast_reader_reads() {
        let (mut market, mut decoder) = (Market::new(InstrumentId(0)), Decoder::new(instance()));
        assert_eq!(read(&mut decoder, market.snapshot(SNAPSHOT_LEVELS)).len(), 2 * 34);
        assert_eq!(read(&mut decoder, market.update(LEVELS_400, 3)).len(), 2);
        assert_eq!(read(&mut decoder, market.update(LEVELS_826, -3)).len(), 6);
        assert_eq!(read(&mut decoder, market.best()).len(), 2);
        assert_eq!(read(&mut decoder, market.trades(3)).len(), 3);
        assert_eq!(read(&mut decoder, market.ticker()).len(), 1);
    }

    #[test]
    fn updates_have_the_sizes_that_they_are_named_after() {
        let mut market = Market::new(InstrumentId(0));
        for (levels, bytes) in [(LEVELS_400, 400), (LEVELS_826, 826)] {
            let len = market.update(levels, 0).len();
            assert!(len.abs_diff(bytes) < 20, "{levels} levels take {len} bytes, not {bytes}");
        }
    }
}
