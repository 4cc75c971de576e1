//! Public pushes: books, prints, tickers and bars, each at its own pace.
//!
//! A topic is silent while nothing changes. What changes between two pushes is pushed as one. All
//! subscribers of a book are shown the same book: whoever comes later gets what the others have
//! been shown, and from then on the same updates, so that each one's chain of numbers holds.

use keel_core::units::{Lots, Price, Rate, Side, Ticks, UnixNanos};
use serde::Serialize;

use super::shape::side_word;
use super::text::{Text, json};
use super::topic::{Depth, Hub, Interval, Push, Topic};
use crate::candle::Candle;
use crate::event::{Liquidation, Print};
use crate::instrument::{Grids, InstrumentId};
use crate::venue::{Instrument, Venue};

/// How often the public topics push at most, nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cadence {
    /// `books`: documented 150 ms (50 ms in 2026), measured 100 ms.
    pub books_ns: i64,
    /// `books1`: documented 10 ms, measured 23 ms.
    pub books1_ns: i64,
    /// `books5` and `books50`.
    pub shallow_ns: i64,
    /// `ticker`: measured about 105 ms.
    pub ticker_ns: i64,
    /// `kline`: 1 s with trades.
    pub kline_ns: i64,
}

impl Default for Cadence {
    fn default() -> Self {
        Self {
            books_ns: 100 * MILLIS,
            books1_ns: 20 * MILLIS,
            shallow_ns: 100 * MILLIS,
            ticker_ns: 100 * MILLIS,
            kline_ns: 1_000 * MILLIS,
        }
    }
}

/// Whether a topic has something to say, and when it may.
#[derive(Clone, Copy, Debug, Default)]
struct Pace {
    changed: bool,
    last: UnixNanos,
}

impl Pace {
    fn due(self, every_ns: i64) -> Option<UnixNanos> {
        self.changed.then(|| UnixNanos(self.last.0.saturating_add(every_ns)))
    }

    fn take(&mut self, every_ns: i64, now: UnixNanos) -> bool {
        let due = self.due(every_ns).is_some_and(|due| due <= now);
        if due {
            *self = Self { changed: false, last: now };
        }
        due
    }
}

/// The public side of one contract.
#[derive(Debug)]
pub(super) struct Feed {
    instrument: InstrumentId,
    checksum: bool,
    cadence: Cadence,
    /// What subscribers of `books` have been shown, best level first, and its number.
    shown: [Vec<(Ticks, Lots)>; 2],
    shown_seq: u64,
    books: [Pace; 4],
    ticker: Pace,
    kline: Pace,
    /// Prints since the last push, oldest first.
    prints: Vec<Print>,
}

impl Feed {
    /// The feed of a contract.
    pub(super) fn new(instrument: InstrumentId, cadence: Cadence, checksum: bool) -> Self {
        Self {
            instrument,
            checksum,
            cadence,
            shown: [Vec::new(), Vec::new()],
            shown_seq: 0,
            books: [Pace::default(); 4],
            ticker: Pace::default(),
            kline: Pace::default(),
            prints: Vec::new(),
        }
    }

    /// The book changed.
    pub(super) fn book_changed(&mut self) {
        for pace in &mut self.books {
            pace.changed = true;
        }
        self.ticker.changed = true;
    }

    /// Mark, index, rate or status changed.
    pub(super) fn ticker_changed(&mut self) {
        self.ticker.changed = true;
    }

    /// A trade was made.
    pub(super) fn printed(&mut self, print: Print) {
        self.prints.push(print);
        self.ticker.changed = true;
        self.kline.changed = true;
    }

    /// When [`Feed::step`] has something to push to those who listen.
    pub(super) fn deadline(&self, hub: &Hub) -> Option<UnixNanos> {
        let mut first = None;
        let mut take = |due: Option<UnixNanos>, listens: &dyn Fn() -> bool| {
            // Who listens is asked last: it costs most.
            if due.is_some_and(|due| first.is_none_or(|first| due < first)) && listens() {
                first = due;
            }
        };
        for depth in Depth::ALL {
            let topic = Topic::Books(self.instrument, depth);
            take(self.books[depth as usize].due(self.every(depth)), &|| hub.listens(topic));
        }
        let ticker = Topic::Ticker(self.instrument);
        take(self.ticker.due(self.cadence.ticker_ns), &|| hub.listens(ticker));
        let bars = || self.intervals(hub).next().is_some();
        take(self.kline.due(self.cadence.kline_ns), &bars);
        first
    }

    /// Pushes what is due through `send`.
    pub(super) fn step(
        &mut self,
        venue: &Venue,
        hub: &Hub,
        now: UnixNanos,
        mut send: impl FnMut(Topic, String),
    ) {
        let instrument = venue.instrument(self.instrument);
        self.push_prints(venue, hub, now, &mut send);
        for depth in Depth::ALL {
            let topic = Topic::Books(self.instrument, depth);
            let every = self.every(depth);
            if !self.books[depth as usize].take(every, now) || !hub.listens(topic) {
                continue;
            }
            if depth != Depth::All {
                send(topic, self.shallow(venue, depth, now));
            } else if let Some(update) = self.update(venue, now) {
                send(topic, update);
            }
        }
        let topic = Topic::Ticker(self.instrument);
        if self.ticker.take(self.cadence.ticker_ns, now) && hub.listens(topic) {
            let data = [TickerPush::of(instrument, venue, now)];
            send(topic, push("snapshot", topic, venue, data, now));
        }
        if self.kline.take(self.cadence.kline_ns, now) {
            for interval in self.intervals(hub) {
                let topic = Topic::Kline(self.instrument, interval);
                if let Some(frame) = bar_push("update", topic, interval, venue, now) {
                    send(topic, frame);
                }
            }
        }
    }

    /// The first push to a new subscriber of `topic`, one of this contract. Called before it joins.
    pub(super) fn first(
        &mut self,
        topic: Topic,
        venue: &Venue,
        hub: &Hub,
        now: UnixNanos,
    ) -> Option<String> {
        match topic {
            Topic::Books(_, Depth::All) => {
                if !hub.listens(topic) {
                    self.show(venue);
                }
                let [bids, asks] = &self.shown;
                let row = self.book_row(venue, [bids, asks], [self.shown_seq, 0], Depth::All, now);
                Some(push("snapshot", topic, venue, [row], now))
            }
            Topic::Books(_, depth) => Some(self.shallow(venue, depth, now)),
            Topic::Trades(id) => {
                let prints = &venue.instrument(id).prints;
                let rows: Vec<_> = prints
                    .iter()
                    .rev()
                    .take(PRINTS_FIRST)
                    .map(|print| PrintPush::of(print, &venue.instrument(id).rules.grids))
                    .collect();
                Some(push("snapshot", topic, venue, rows, now))
            }
            Topic::Ticker(id) => {
                let data = [TickerPush::of(venue.instrument(id), venue, now)];
                Some(push("snapshot", topic, venue, data, now))
            }
            Topic::Kline(_, interval) => bar_push("snapshot", topic, interval, venue, now),
            Topic::Liquidations | Topic::Private(..) => None,
        }
    }

    fn every(&self, depth: Depth) -> i64 {
        match depth {
            Depth::All => self.cadence.books_ns,
            Depth::One => self.cadence.books1_ns,
            Depth::Five | Depth::Fifty => self.cadence.shallow_ns,
        }
    }

    fn intervals<'h>(&self, hub: &'h Hub) -> impl Iterator<Item = Interval> + use<'h> {
        let own = self.instrument;
        hub.topics().filter_map(move |topic| match topic {
            Topic::Kline(id, interval) if id == own => Some(interval),
            _ => None,
        })
    }

    fn push_prints(
        &mut self,
        venue: &Venue,
        hub: &Hub,
        now: UnixNanos,
        send: &mut impl FnMut(Topic, String),
    ) {
        let topic = Topic::Trades(self.instrument);
        if !self.prints.is_empty() && hub.listens(topic) {
            let grids = &venue.instrument(self.instrument).rules.grids;
            let newest_first = self.prints.iter().rev();
            let rows: Vec<_> = newest_first.map(|print| PrintPush::of(print, grids)).collect();
            send(topic, push("update", topic, venue, rows, now));
        }
        self.prints.clear();
    }

    /// Shows the book as it is, without an update.
    fn show(&mut self, venue: &Venue) {
        let instrument = venue.instrument(self.instrument);
        self.shown = Side::BOTH.map(|side| levels(instrument, side, Depth::All.levels()));
        self.shown_seq = instrument.seq;
    }

    /// What changed since subscribers were last shown the book; none when nothing did.
    fn update(&mut self, venue: &Venue, now: UnixNanos) -> Option<String> {
        let previous = std::mem::take(&mut self.shown);
        let previous_seq = self.shown_seq;
        self.show(venue);
        let [bids, asks] = Side::BOTH
            .map(|side| changes(side, &previous[side.index()], &self.shown[side.index()]));
        if bids.is_empty() && asks.is_empty() {
            self.shown_seq = previous_seq;
            return None;
        }
        let topic = Topic::Books(self.instrument, Depth::All);
        let chain = [self.shown_seq, previous_seq];
        let row = self.book_row(venue, [&bids, &asks], chain, Depth::All, now);
        Some(push("update", topic, venue, [row], now))
    }

    fn shallow(&self, venue: &Venue, depth: Depth, now: UnixNanos) -> String {
        let instrument = venue.instrument(self.instrument);
        let [bids, asks] = Side::BOTH.map(|side| levels(instrument, side, depth.levels()));
        let row = self.book_row(venue, [&bids, &asks], [instrument.seq, 0], depth, now);
        push("snapshot", Topic::Books(self.instrument, depth), venue, [row], now)
    }

    /// A row with the levels of both sides (bids first) and the numbers `[seq, pseq]`.
    fn book_row(
        &self,
        venue: &Venue,
        [bids, asks]: [&[(Ticks, Lots)]; 2],
        [seq, pseq]: [u64; 2],
        depth: Depth,
        now: UnixNanos,
    ) -> BookRow {
        let grids = &venue.instrument(self.instrument).rules.grids;
        let checksum = (self.checksum && depth == Depth::All)
            .then(|| checksum(grids, &self.shown[0], &self.shown[1]));
        BookRow {
            a: asks.iter().map(|level| texts(grids, *level)).collect(),
            b: bids.iter().map(|level| texts(grids, *level)).collect(),
            seq,
            pseq,
            ts: now.into(),
            maxdepth: Text::whole(depth.levels() as i64),
            checksum,
        }
    }
}

/// A push to whoever listens to liquidations.
pub(super) fn liquidation_push(liquidation: &Liquidation, venue: &Venue, now: UnixNanos) -> String {
    let instrument = venue.instrument(liquidation.instrument);
    let grids = &instrument.rules.grids;
    let row = LiquidationPush {
        symbol: &instrument.rules.symbol,
        side: side_word(liquidation.side),
        price: Text::steps(grids.price, liquidation.price.0),
        amount: grids.value(liquidation.price, liquidation.size).into(),
        ts: liquidation.at.into(),
    };
    push("update", Topic::Liquidations, venue, [row], now)
}

/// A push to an account that was deleveraged.
pub(super) fn adl_push(
    reduced: &Liquidation,
    topic: Topic,
    venue: &Venue,
    now: UnixNanos,
) -> String {
    let instrument = venue.instrument(reduced.instrument);
    let grids = &instrument.rules.grids;
    let row = AdlPush {
        symbol: &instrument.rules.symbol,
        side: side_word(reduced.side),
        status: "triggered",
        price: Text::steps(grids.price, reduced.price.0),
        amount: Text::steps(grids.size, reduced.size.0),
        ts: reduced.at.into(),
    };
    push("update", topic, venue, [row], now)
}

/// The text of a data frame.
pub(super) fn push(
    action: &'static str,
    topic: Topic,
    venue: &Venue,
    data: impl Serialize,
    now: UnixNanos,
) -> String {
    json(&Push { action, arg: topic.arg(venue), data, ts: now.millis() })
}

/// The best levels of a side.
pub(super) fn levels(instrument: &Instrument, side: Side, max: usize) -> Vec<(Ticks, Lots)> {
    instrument.book.depth(side).take(max).map(|level| (level.price, level.size)).collect()
}

/// What turns `before` into `after`, both best level first: sizes that are new or other, and zero
/// for levels that are gone; best first.
fn changes(side: Side, before: &[(Ticks, Lots)], after: &[(Ticks, Lots)]) -> Vec<(Ticks, Lots)> {
    let mut out = Vec::new();
    let (mut old, mut new) = (before.iter().peekable(), after.iter().peekable());
    loop {
        match (old.peek(), new.peek()) {
            (Some((gone, _)), next) if next.is_none_or(|(price, _)| side.better(*gone, *price)) => {
                out.push((*gone, Lots::ZERO));
                old.next();
            }
            (Some(was), Some(is)) if was.0 == is.0 => {
                if was.1 != is.1 {
                    out.push(**is);
                }
                old.next();
                new.next();
            }
            (_, Some(come)) => {
                out.push(**come);
                new.next();
            }
            (_, None) => return out,
        }
    }
}

/// CRC-32 over the texts of the best 25 levels, bids and asks in turn, as a signed number
/// (reference §12).
fn checksum(grids: &Grids, bids: &[(Ticks, Lots)], asks: &[(Ticks, Lots)]) -> i32 {
    let mut text = String::new();
    for i in 0..CHECKSUM_LEVELS {
        for level in [bids.get(i), asks.get(i)].into_iter().flatten() {
            for part in texts(grids, *level) {
                if !text.is_empty() {
                    text.push(':');
                }
                text.push_str(part.as_str());
            }
        }
    }
    crc32fast::hash(text.as_bytes()).cast_signed()
}

fn texts(grids: &Grids, (price, size): (Ticks, Lots)) -> [Text; 2] {
    [Text::steps(grids.price, price.0), Text::steps(grids.size, size.0)]
}

fn bar_push(
    action: &'static str,
    topic: Topic,
    interval: Interval,
    venue: &Venue,
    now: UnixNanos,
) -> Option<String> {
    let Topic::Kline(id, _) = topic else { return None };
    let bar = *venue.instrument(id).candles.bars(interval.minutes).last()?;
    Some(push(action, topic, venue, [BarPush::of(&bar)], now))
}

#[derive(Debug, Serialize)]
struct BookRow {
    a: Vec<[Text; 2]>,
    b: Vec<[Text; 2]>,
    seq: u64,
    pseq: u64,
    ts: Text,
    maxdepth: Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    checksum: Option<i32>,
}

#[derive(Debug, Serialize)]
struct PrintPush {
    p: Text,
    #[serde(rename = "S")]
    side: &'static str,
    #[serde(rename = "T")]
    at: Text,
    v: Text,
    i: Text,
    #[serde(rename = "L")]
    link: Text,
    #[serde(rename = "isRPI")]
    is_rpi: &'static str,
}

impl PrintPush {
    fn of(print: &Print, grids: &Grids) -> Self {
        let id = Text::whole(print.trade.0 as i64);
        Self {
            p: Text::steps(grids.price, print.price.0),
            side: side_word(print.side),
            at: print.at.into(),
            v: Text::steps(grids.size, print.size.0),
            i: id,
            link: id,
            is_rpi: "no",
        }
    }
}

/// A bar as the `kline` topic writes it.
#[derive(Debug, Serialize)]
struct BarPush {
    start: Text,
    open: Text,
    close: Text,
    high: Text,
    low: Text,
    volume: Text,
    turnover: Text,
}

impl BarPush {
    fn of(bar: &Candle) -> Self {
        Self {
            start: bar.start.into(),
            open: bar.open.into(),
            close: bar.close.into(),
            high: bar.high.into(),
            low: bar.low.into(),
            volume: wide(bar.volume_e8),
            turnover: wide(bar.turnover_e8),
        }
    }
}

#[derive(Debug, Serialize)]
struct AdlPush<'a> {
    symbol: &'a str,
    side: &'static str,
    status: &'static str,
    price: Text,
    amount: Text,
    ts: Text,
}

#[derive(Debug, Serialize)]
struct LiquidationPush<'a> {
    symbol: &'a str,
    side: &'static str,
    price: Text,
    amount: Text,
    ts: Text,
}

/// What a ticker says, over both wires.
#[derive(Clone, Copy, Debug)]
pub(super) struct Quotes {
    /// Best ask, its size, best bid, its size; empty when a side is.
    pub touch: [Text; 4],
    /// The last 24 hours: first, highest and lowest price.
    pub day: [Text; 3],
    /// Change over 24 hours as a share, volume and turnover.
    pub moved: [Text; 3],
    /// The last price.
    pub last: Text,
    /// Open interest in the base coin.
    pub open_interest: Text,
}

impl Quotes {
    /// What the ticker of a contract says now.
    pub(super) fn of(instrument: &Instrument, venue: &Venue, now: UnixNanos) -> Self {
        let grids = &instrument.rules.grids;
        let best = |side| {
            let level = instrument.book.depth(side).next();
            level.map_or([Text::EMPTY; 2], |level| texts(grids, (level.price, level.size)))
        };
        let [[ask, ask_size], [bid, bid_size]] = [best(Side::Sell), best(Side::Buy)];
        let bar = venue.day(instrument.id, now).map(|day| day.bar);
        let price = |of: fn(&Candle) -> Price| bar.as_ref().map_or(Text::EMPTY, |b| of(b).into());
        let change = bar.map_or(0, |bar| change_e8(bar.open, instrument.last));
        Self {
            touch: [ask, ask_size, bid, bid_size],
            day: [price(|b| b.open), price(|b| b.high), price(|b| b.low)],
            moved: [
                Rate(change).into(),
                bar.map_or(Text::EMPTY, |b| wide(b.volume_e8)),
                bar.map_or(Text::EMPTY, |b| wide(b.turnover_e8)),
            ],
            last: instrument.last.into(),
            open_interest: Text::steps(grids.size, venue.open_interest(instrument.id).0),
        }
    }
}

/// A row of the `ticker` topic.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct TickerPush<'a> {
    bid1_price: Text,
    low_price24h: Text,
    ask1_size: Text,
    volume24h: Text,
    price24h_pcnt: Text,
    high_price24h: Text,
    turnover24h: Text,
    bid1_size: Text,
    ask1_price: Text,
    open_price24h: Text,
    last_price: Text,
    symbol: &'a str,
    index_price: Text,
    mark_price: Text,
    funding_rate: Text,
    next_funding_time: Text,
    open_interest: Text,
    delivery_time: &'static str,
    delivery_start_time: &'static str,
    delivery_status: &'static str,
}

impl<'a> TickerPush<'a> {
    fn of(instrument: &'a Instrument, venue: &Venue, now: UnixNanos) -> Self {
        let quotes = Quotes::of(instrument, venue, now);
        let [ask1_price, ask1_size, bid1_price, bid1_size] = quotes.touch;
        let [open_price24h, high_price24h, low_price24h] = quotes.day;
        let [price24h_pcnt, volume24h, turnover24h] = quotes.moved;
        Self {
            bid1_price,
            low_price24h,
            ask1_size,
            volume24h,
            price24h_pcnt,
            high_price24h,
            turnover24h,
            bid1_size,
            ask1_price,
            open_price24h,
            last_price: quotes.last,
            symbol: &instrument.rules.symbol,
            index_price: instrument.marks.index.into(),
            mark_price: instrument.marks.mark.into(),
            funding_rate: instrument.marks.funding_rate.into(),
            next_funding_time: instrument.next_funding.into(),
            open_interest: quotes.open_interest,
            delivery_time: "",
            delivery_start_time: "",
            delivery_status: "",
        }
    }
}

/// The change from `open` to `last` as a share in 1e-8, cut to the five decimals that are
/// published.
fn change_e8(open: Price, last: Price) -> i64 {
    if open.0 <= 0 {
        return 0;
    }
    let share = i128::from(last.0 - open.0) * 100_000 / i128::from(open.0);
    i64::try_from(share * 1_000).unwrap_or(0)
}

/// A sum in 1e-8, cut to what 64 bits hold.
pub(super) fn wide(e8: i128) -> Text {
    Text::e8(i64::try_from(e8).unwrap_or(i64::MAX))
}

const MILLIS: i64 = 1_000_000;
/// Prints in the first push of `publicTrade`.
const PRINTS_FIRST: usize = 50;
/// Levels a side that the checksum covers.
const CHECKSUM_LEVELS: usize = 25;

#[cfg(test)]
mod tests {
    use super::*;
    use keel_core::decimal::Grid;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[test]
    fn the_checksum_is_that_of_the_published_rule() {
        let grids = Grids { price: Grid { step: 5, scale: 1 }, size: Grid { step: 1, scale: 3 } };
        let bids = [(Ticks(54_000), Lots(2_711)), (Ticks(53_999), Lots(5))];
        let asks = [(Ticks(54_001), Lots(8_761))];
        let text = "27000:2.711:27000.5:8.761:26999.5:0.005";
        assert_eq!(checksum(&grids, &bids, &asks), crc32fast::hash(text.as_bytes()) as i32);
    }

    #[test]
    fn a_change_is_cut_to_five_decimals() {
        assert_eq!(change_e8(Price(92_629), Price(90_216)), -2_605_000);
        assert_eq!(change_e8(Price(0), Price(1)), 0);
    }

    fn side_levels(side: Side, map: &BTreeMap<i64, i64>) -> Vec<(Ticks, Lots)> {
        let levels = map.iter().map(|(p, s)| (Ticks(*p), Lots(*s)));
        match side {
            Side::Sell => levels.collect(),
            Side::Buy => levels.rev().collect(),
        }
    }

    proptest! {
        #[test]
        fn changes_applied_to_the_old_book_give_the_new_one(
            before in proptest::collection::btree_map(1i64..30, 1i64..4, 0..15),
            after in proptest::collection::btree_map(1i64..30, 1i64..4, 0..15),
            buy in any::<bool>(),
        ) {
            let side = if buy { Side::Buy } else { Side::Sell };
            let delta =
                changes(side, &side_levels(side, &before), &side_levels(side, &after));
            prop_assert!(delta.windows(2).all(|pair| side.better(pair[0].0, pair[1].0)));
            let mut book = before.clone();
            for (price, size) in delta {
                prop_assert_ne!(book.get(&price.0).copied().unwrap_or(0), size.0);
                match size.0 {
                    0 => book.remove(&price.0),
                    size => book.insert(price.0, size),
                };
            }
            prop_assert_eq!(book, after);
        }
    }
}
