//! From the payload of a books frame to the best bid and ask: ours, and each peer's as its users
//! have it, from its own numbers in its own book.

use std::hint::black_box;
use std::str::FromStr;

use barter_data::books::{Level, OrderBook as BarterBook};
use barter_data::subscription::book::OrderBookEvent;
use hftbacktest::depth::{
    BTreeMarketDepth, HashMapMarketDepth, L2MarketDepth, MarketDepth, ROIVectorMarketDepth,
};
use keel_bench::{frames, parts, trader};
use keel_core::book::{Applied, Book};
use keel_core::event::Event;
use keel_net::bitget::decode::{Decoder, Message};
use keel_net::bitget::topics::Directory;
use nautilus_core::UnixNanos;
use nautilus_model::data::{BookOrder, OrderBookDelta};
use nautilus_model::enums::{BookAction, BookType, OrderSide};
use nautilus_model::identifiers::InstrumentId;
use nautilus_model::orderbook::OrderBook as NautilusBook;
use nautilus_model::types::{Price, Quantity};
use rust_decimal::Decimal;
use serde::Deserialize;

/// The best levels, in ticks and lots of [`frames::rules`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Best {
    pub bid: i64,
    pub ask: i64,
    pub bid_lots: i64,
    pub ask_lots: i64,
}

/// One way from payload to best.
pub trait Path {
    /// Its name in the table.
    fn name(&self) -> &'static str;
    /// Reads a frame, updates the book, and looks at its best levels.
    fn frame(&mut self, payload: &[u8]);
    /// What they are.
    fn best(&self) -> Best;
}

/// All of them; ours is the first.
pub fn paths() -> Vec<Box<dyn Path>> {
    vec![
        Box::new(Keel::new()),
        Box::new(Hft { name: "hftbacktest ROIVector", depth: roi_vector() }),
        Box::new(Hft { name: "hftbacktest HashMap", depth: HashMapMarketDepth::new(TICK, LOT) }),
        Box::new(Hft { name: "hftbacktest BTree", depth: BTreeMarketDepth::new(TICK, LOT) }),
        Box::new(Barter { book: BarterBook::default() }),
        Box::new(Nautilus::new()),
    ]
}

/// A depth that spans 2,000 USDT around the market.
pub fn roi_vector() -> ROIVectorMarketDepth {
    ROIVectorMarketDepth::new(TICK, LOT, 99_000.0, 101_000.0)
}

struct Keel {
    decoder: Decoder,
    directory: Directory,
    events: Vec<Event>,
    book: Book<'static>,
}

impl Keel {
    fn new() -> Self {
        Self {
            decoder: Decoder::new(frames::instance()),
            directory: trader::directory(1),
            events: Vec::with_capacity(1_024),
            book: parts::book(),
        }
    }
}

impl Path for Keel {
    fn name(&self) -> &'static str {
        "keel"
    }

    fn frame(&mut self, payload: &[u8]) {
        self.events.clear();
        let read = self.decoder.read(payload, &self.directory, &mut self.events);
        assert_eq!(read, Ok(Message::Events(self.events.len() as u32)));
        let mut applied = Applied::Pending;
        for event in &self.events {
            let Event::BookPage(page) = event else { panic!("a page, not {event:?}") };
            applied = self.book.apply(page);
        }
        assert_eq!(applied, Applied::Done);
        black_box(self.book.touch());
    }

    fn best(&self) -> Best {
        let touch = self.book.touch().expect("a live book");
        Best {
            bid: touch.bid.0,
            ask: touch.ask.0,
            bid_lots: touch.bid_lots.0,
            ask_lots: touch.ask_lots.0,
        }
    }
}

/// A push of books whose numbers are of type `T`.
#[derive(Deserialize)]
pub struct Push<T> {
    pub action: String,
    pub data: Vec<Books<T>>,
}

/// Its row.
#[derive(Deserialize)]
pub struct Books<T> {
    pub a: Vec<(T, T)>,
    pub b: Vec<(T, T)>,
    pub seq: u64,
    pub ts: String,
}

/// As hftbacktest's connectors do: serde_json into strings, strings into f64.
struct Hft<D> {
    name: &'static str,
    depth: D,
}

impl<D: L2MarketDepth + MarketDepth> Path for Hft<D> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn frame(&mut self, payload: &[u8]) {
        let push: Push<String> = serde_json::from_slice(payload).expect("a books push");
        let number = |text: &String| text.parse::<f64>().expect("a number");
        for books in &push.data {
            let ts = books.ts.parse::<i64>().expect("a time") * 1_000_000;
            for (price, size) in &books.b {
                self.depth.update_bid_depth(number(price), number(size), ts);
            }
            for (price, size) in &books.a {
                self.depth.update_ask_depth(number(price), number(size), ts);
            }
        }
        black_box((self.depth.best_bid_tick(), self.depth.best_ask_tick()));
    }

    fn best(&self) -> Best {
        let lots = |size: f64| (size / LOT).round() as i64;
        Best {
            bid: self.depth.best_bid_tick(),
            ask: self.depth.best_ask_tick(),
            bid_lots: lots(self.depth.best_bid_qty()),
            ask_lots: lots(self.depth.best_ask_qty()),
        }
    }
}

/// As barter-data does: serde_json into decimals, one event with two sorted sides.
struct Barter {
    book: BarterBook,
}

impl Path for Barter {
    fn name(&self) -> &'static str {
        "barter-data"
    }

    fn frame(&mut self, payload: &[u8]) {
        let push: Push<Decimal> = serde_json::from_slice(payload).expect("a books push");
        let level = |&(price, amount): &(Decimal, Decimal)| Level { price, amount };
        for books in &push.data {
            let (bids, asks) = (books.b.iter().map(level), books.a.iter().map(level));
            let book = BarterBook::new(books.seq, None, bids, asks);
            self.book.update(&match push.action.as_str() {
                "snapshot" => OrderBookEvent::Snapshot(book),
                _ => OrderBookEvent::Update(book),
            });
        }
        black_box((self.book.bids().best(), self.book.asks().best()));
    }

    fn best(&self) -> Best {
        let steps = |number: Decimal, scale: i64| -> i64 {
            (number * Decimal::from(scale)).normalize().try_into().expect("on the grid")
        };
        let bid = self.book.bids().best().expect("a bid");
        let ask = self.book.asks().best().expect("an ask");
        Best {
            bid: steps(bid.price, 10),
            ask: steps(ask.price, 10),
            bid_lots: steps(bid.amount, 10_000),
            ask_lots: steps(ask.amount, 10_000),
        }
    }
}

/// As nautilus-trader's adapters do: typed strings, prices and quantities, one delta a level.
struct Nautilus {
    id: InstrumentId,
    book: NautilusBook,
}

impl Nautilus {
    fn new() -> Self {
        let id = InstrumentId::from("BTCUSDT-PERP.BITGET");
        Self { id, book: NautilusBook::new(id, BookType::L2_MBP) }
    }
}

impl Path for Nautilus {
    fn name(&self) -> &'static str {
        "nautilus-model"
    }

    fn frame(&mut self, payload: &[u8]) {
        let push: Push<String> = serde_json::from_slice(payload).expect("a books push");
        for books in &push.data {
            let ts = UnixNanos::from(books.ts.parse::<u64>().expect("a time") * 1_000_000);
            for (side, levels) in [(OrderSide::Buy, &books.b), (OrderSide::Sell, &books.a)] {
                for (price, size) in levels {
                    let price = Price::from_str(price).expect("a price");
                    let size = Quantity::from_str(size).expect("a size");
                    let action =
                        if size.is_zero() { BookAction::Delete } else { BookAction::Update };
                    let order = BookOrder::new(side, price, size, 0);
                    let delta = OrderBookDelta::new(self.id, action, order, 0, books.seq, ts, ts);
                    self.book.apply_delta(&delta).expect("a delta of this book");
                }
            }
        }
        black_box((self.book.best_bid_price(), self.book.best_ask_price()));
    }

    fn best(&self) -> Best {
        let steps = |number: f64, step: f64| (number / step).round() as i64;
        Best {
            bid: steps(self.book.best_bid_price().expect("a bid").as_f64(), TICK),
            ask: steps(self.book.best_ask_price().expect("an ask").as_f64(), TICK),
            bid_lots: steps(self.book.best_bid_size().expect("a bid").as_f64(), LOT),
            ask_lots: steps(self.book.best_ask_size().expect("an ask").as_f64(), LOT),
        }
    }
}

/// Tick and lot of [`frames::rules`].
pub const TICK: f64 = 0.1;
pub const LOT: f64 = 0.0001;
