//! Calls: method, path, query and body of everything that is asked.

use std::collections::VecDeque;

use keel_core::command::Cancel;
use keel_core::decimal::{Grid, TEXT_MAX};
use keel_core::event::ClientId;
use keel_core::gate::{Approved, OrderSpec};
use keel_core::instrument::{Instrument, Symbol};
use keel_core::units::{Side, UnixNanos};

use crate::bitget::client::Instance;
use crate::bitget::encode;
use crate::bitget::rest::Listed;
use crate::proto::http::Method;

/// One request as it goes out, and as it is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// GET or POST.
    pub method: Method,
    /// Path, beginning with `/api/`.
    pub path: &'static str,
    /// Query without its `?`; may be empty. Holds nothing that would need percent-encoding.
    pub query: String,
    /// JSON; empty for none.
    pub body: String,
    /// It needs a key's headers.
    pub signed: bool,
}

/// Bars up to now, or older ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bars {
    /// `candles`.
    Recent,
    /// `history-candles`.
    History,
}

/// Which records of money.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Records {
    /// Those of the product that is traded.
    Product,
    /// Those of no product (documented, category `OTHER`): where transfers stand is not said.
    Other,
}

/// From when to when, both included where given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// The earliest.
    pub from: Option<UnixNanos>,
    /// The latest.
    pub to: Option<UnixNanos>,
}

impl Call {
    /// The venue's time. V3 documents none of its own (disagreement 16).
    pub fn server_time() -> Self {
        Self::get("/api/v2/public/time", String::new(), false)
    }

    /// The rules of every contract; 20/s an address.
    pub fn instruments() -> Self {
        Self::get("/api/v3/market/instruments", product(), false)
    }

    /// Mark, index and last of one contract, or of all; 20/s an address.
    pub fn tickers(symbol: Option<Symbol>) -> Self {
        Self::get("/api/v3/market/tickers", with_symbol(product(), symbol), false)
    }

    /// Rate and time of the next funding; 20/s an address.
    pub fn funding(symbol: Symbol) -> Self {
        Self::get("/api/v3/market/current-fund-rate", format!("symbol={symbol}"), false)
    }

    /// The best levels of a contract's book; 20/s an address.
    pub fn order_book(symbol: Symbol) -> Self {
        let query = format!("category=USDT-FUTURES&symbol={symbol}&limit={BOOK_LEVELS}");
        Self::get("/api/v3/market/orderbook", query, false)
    }

    /// One-minute bars of market prices, at most `limit` of them; 20/s an address.
    pub fn candles(symbol: Symbol, bars: Bars, window: Window, limit: u16) -> Self {
        let path = match bars {
            Bars::Recent => "/api/v3/market/candles",
            Bars::History => "/api/v3/market/history-candles",
        };
        let mut query = with_symbol(product(), Some(symbol)) + "&granularity=1m&type=MARKET";
        window.push(&mut query);
        query += &format!("&limit={limit}");
        Self::get(path, query, false)
    }

    /// The account's rates on one contract; 3/s.
    pub fn fee_rate(symbol: Symbol) -> Self {
        let query = format!("symbol={symbol}&category=USDT-FUTURES");
        Self::get("/api/v3/account/fee-rate", query, true)
    }

    /// How the account is set up; 20/s.
    pub fn settings() -> Self {
        Self::get("/api/v3/account/settings", String::new(), true)
    }

    /// Whether fees are taken in another coin; 1/s.
    pub fn deduction() -> Self {
        Self::get("/api/v3/account/deduct-info", String::new(), true)
    }

    /// What the key may do (disagreement 17).
    pub fn key() -> Self {
        Self::get("/api/v3/account/info", String::new(), true)
    }

    /// Equity and margin; 20/s.
    pub fn assets() -> Self {
        Self::get("/api/v3/account/assets", String::new(), true)
    }

    /// Open positions, of one contract or of all; 20/s.
    pub fn positions(symbol: Option<Symbol>) -> Self {
        let query = with_symbol(product(), symbol);
        Self::get("/api/v3/position/current-position", query, true)
    }

    /// Open orders, a page at a time; 20/s.
    pub fn open_orders(symbol: Option<Symbol>, cursor: Option<&str>) -> Self {
        let query = with_cursor(&with_symbol(product(), symbol), cursor);
        Self::get("/api/v3/trade/unfilled-orders", query, true)
    }

    /// One order by our id; 20/s.
    ///
    /// # Panics
    /// When `client` is [`ClientId::FOREIGN`].
    pub fn order(instance: &Instance, client: ClientId) -> Self {
        let query = format!("clientOid={}", client_text(instance, client));
        Self::get("/api/v3/trade/order-info", query, true)
    }

    /// Own executions of the last 90 days, newest first, a page at a time; 20/s.
    pub fn fills(symbol: Option<Symbol>, window: Window, cursor: Option<&str>) -> Self {
        let mut query = with_symbol(product(), symbol);
        window.push(&mut query);
        Self::get("/api/v3/trade/fills", with_cursor(&query, cursor), true)
    }

    /// Movements of money, a page at a time; 20/s.
    pub fn bills(of: Records, window: Window, cursor: Option<&str>) -> Self {
        let category = match of {
            Records::Product => product(),
            Records::Other => "category=OTHER".to_owned(),
        };
        let mut query = category + "&coin=USDT";
        window.push(&mut query);
        Self::get("/api/v3/account/financial-records", with_cursor(&query, cursor), true)
    }

    /// Places `order` on the contract with these `rules`; 10/s.
    #[expect(clippy::needless_pass_by_value, reason = "an approved order is written once")]
    pub fn place(instance: &Instance, rules: &Instrument, order: Approved) -> Self {
        let mut body = Vec::new();
        push_order(instance, rules, order.spec(), &mut body);
        Self::post("/api/v3/trade/place-order", text(body))
    }

    /// Places orders on the contract with these `rules`, taken from the front of `orders` while
    /// they are of its instrument: as many as a request may hold ([`encode::BATCH_MAX`],
    /// [`encode::REQUEST_BYTES_MAX`]); 5/s.
    ///
    /// # Panics
    /// When there are none.
    pub fn place_batch(
        instance: &Instance,
        rules: &Instrument,
        orders: &mut VecDeque<Approved>,
    ) -> Self {
        let instrument = orders.front().expect("a batch has an order").spec().intent.instrument;
        let mut body = b"[".to_vec();
        let same = orders.iter().map(Approved::spec);
        let same = same.take_while(|spec| spec.intent.instrument == instrument);
        let count = encode::fill(&mut body, 1, same, |spec, out| {
            push_order(instance, rules, spec, out);
        });
        // Written once: what is in the request is there no more.
        orders.drain(..count).for_each(drop);
        body.push(b']');
        Self::post("/api/v3/trade/place-batch", text(body))
    }

    /// Cancels one order; 10/s.
    ///
    /// # Panics
    /// When the order has neither id.
    pub fn cancel(instance: &Instance, symbol: Symbol, cancel: &Cancel) -> Self {
        Self::post("/api/v3/trade/cancel-order", cancel_object(instance, symbol, cancel))
    }

    /// Cancels the first of `cancels` and those that follow for the same instrument, as many as a
    /// request may hold, and gives how many: one alone 10/s, several 5/s.
    ///
    /// # Panics
    /// When there are none, or one has neither id.
    pub fn cancels(instance: &Instance, symbol: Symbol, cancels: &[Cancel]) -> (Self, usize) {
        let instrument = cancels.first().expect("something to cancel").instrument;
        let same = cancels.iter().take_while(|cancel| cancel.instrument == instrument);
        if same.clone().count() == 1 {
            return (Self::cancel(instance, symbol, &cancels[0]), 1);
        }
        let mut body = b"[".to_vec();
        let count = encode::fill(&mut body, 1, same, |cancel, out| {
            out.extend_from_slice(cancel_object(instance, symbol, cancel).as_bytes());
        });
        body.push(b']');
        (Self::post("/api/v3/trade/cancel-batch", text(body)), count)
    }

    /// Cancels every order of one contract, or of all; 5/s.
    pub fn cancel_all(symbol: Option<Symbol>) -> Self {
        let body = match symbol {
            Some(symbol) => format!(r#"{{"category":"USDT-FUTURES","symbol":"{symbol}"}}"#),
            None => r#"{"category":"USDT-FUTURES"}"#.to_owned(),
        };
        Self::post("/api/v3/trade/cancel-symbol-order", body)
    }

    /// Cancels up to [`encode::BATCH_MAX`] orders that a list named, whoever made them; 5/s.
    ///
    /// # Panics
    /// When there are none, or more.
    pub fn cancel_listed(orders: &[Listed]) -> Self {
        let fits = (1..=encode::BATCH_MAX).contains(&orders.len());
        assert!(fits, "a batch has 1 to {} orders", encode::BATCH_MAX);
        let objects: Vec<_> = orders
            .iter()
            .map(|order| {
                let (symbol, id) = (order.symbol, order.order_id);
                format!(r#"{{"category":"USDT-FUTURES","symbol":"{symbol}","orderId":"{id}"}}"#)
            })
            .collect();
        Self::post("/api/v3/trade/cancel-batch", format!("[{}]", objects.join(",")))
    }

    /// One order by the venue's id; 20/s.
    pub fn order_by_id(order_id: u64) -> Self {
        Self::get("/api/v3/trade/order-info", format!("orderId={order_id}"), true)
    }

    /// Orders that are over, newest first, a page at a time; 20/s.
    pub fn ended_orders(symbol: Option<Symbol>, window: Window, cursor: Option<&str>) -> Self {
        let mut query = with_symbol(product(), symbol);
        window.push(&mut query);
        Self::get("/api/v3/trade/history-orders", with_cursor(&query, cursor), true)
    }

    /// Trigger orders, take profits and stop losses that wait; 20/s.
    pub fn waiting_triggers() -> Self {
        Self::get("/api/v3/trade/unfilled-strategy-orders", product(), true)
    }

    /// Cancels one of them; 10/s.
    pub fn cancel_trigger(order_id: u64) -> Self {
        let body = format!(r#"{{"orderId":"{order_id}"}}"#);
        Self::post("/api/v3/trade/cancel-strategy-order", body)
    }

    /// Arms the venue's own dead-man's switch for 5 to 60 seconds, or disarms it with 0; 1/s.
    ///
    /// # Panics
    /// For any other number of seconds.
    pub fn countdown(seconds: u8) -> Self {
        assert!(seconds == 0 || (5..=60).contains(&seconds), "a countdown has 5 to 60 s, or 0");
        let body = format!(r#"{{"countdown":"{seconds}"}}"#);
        Self::post("/api/v3/trade/countdown-cancel-all", body)
    }

    fn get(path: &'static str, query: String, signed: bool) -> Self {
        Self { method: Method::Get, path, query, body: String::new(), signed }
    }

    fn post(path: &'static str, body: String) -> Self {
        Self { method: Method::Post, path, query: String::new(), body, signed: true }
    }
}

impl Window {
    fn push(self, query: &mut String) {
        for (name, time) in [("startTime", self.from), ("endTime", self.to)] {
            if let Some(time) = time {
                *query += &format!("&{name}={}", time.millis());
            }
        }
    }
}

fn product() -> String {
    "category=USDT-FUTURES".to_owned()
}

fn with_symbol(query: String, symbol: Option<Symbol>) -> String {
    match symbol {
        Some(symbol) => format!("{query}&symbol={symbol}"),
        None => query,
    }
}

/// Asks for full pages: the venue caps them at [`PAGE_ROWS`].
fn with_cursor(query: &str, cursor: Option<&str>) -> String {
    match cursor {
        Some(cursor) => format!("{query}&limit={PAGE_ROWS}&cursor={cursor}"),
        None => format!("{query}&limit={PAGE_ROWS}"),
    }
}

/// The object of one order.
fn push_order(instance: &Instance, rules: &Instrument, spec: &OrderSpec, out: &mut Vec<u8>) {
    let intent = &spec.intent;
    let side = match intent.side {
        Side::Buy => "buy",
        Side::Sell => "sell",
    };
    let time_in_force = String::from_utf8_lossy(encode::word(intent.time_in_force));
    let reduce_only = if intent.reduce_only { "yes" } else { "no" };
    let object = format!(
        concat!(
            r#"{{"category":"USDT-FUTURES","symbol":"{}","orderType":"limit","price":"{}","#,
            r#""qty":"{}","side":"{}","timeInForce":"{}","reduceOnly":"{}","clientOid":"{}"}}"#
        ),
        rules.symbol,
        decimal(rules.tick, intent.price.0),
        decimal(rules.lot, intent.lots.0),
        side,
        time_in_force,
        reduce_only,
        client_text(instance, spec.client),
    );
    out.extend_from_slice(object.as_bytes());
}

fn text(body: Vec<u8>) -> String {
    String::from_utf8(body).expect("a body is ASCII")
}

fn cancel_object(instance: &Instance, symbol: Symbol, cancel: &Cancel) -> String {
    let own = cancel.client.is_own();
    assert!(own || cancel.order_id > 0, "an order to cancel has an id");
    let mut object = format!(r#"{{"category":"USDT-FUTURES","symbol":"{symbol}""#);
    if cancel.order_id > 0 {
        object += &format!(r#","orderId":"{}""#, cancel.order_id);
    }
    if own {
        object += &format!(r#","clientOid":"{}""#, client_text(instance, cancel.client));
    }
    object + "}"
}

fn client_text(instance: &Instance, client: ClientId) -> String {
    let mut text = Vec::new();
    instance.write(client, &mut text);
    String::from_utf8(text).expect("a client id is ASCII")
}

fn decimal(grid: Grid, steps: i64) -> String {
    let mut text = [0; TEXT_MAX];
    let len = grid.write(steps, &mut text);
    String::from_utf8_lossy(&text[..len]).into_owned()
}

/// Rows of a full page.
const PAGE_ROWS: usize = 100;
/// The fewest levels that the venue gives (bitget reference §16).
const BOOK_LEVELS: u16 = 5;
