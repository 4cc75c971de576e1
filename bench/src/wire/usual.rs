//! The usual path: what a bot does that nobody has tuned. It reads with tungstenite as it comes,
//! parses with serde_json into strings, keeps the book in two `BTreeMap`s, and formats its orders.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::Deserialize;
use tungstenite::{Message, WebSocket};

use super::echo::{next, upgrade};
use super::tls::{ClientStream, Identity};
use super::{Baton, Turn};

/// A bot with a public and a private socket.
pub struct Bot {
    public: WebSocket<ClientStream>,
    private: WebSocket<ClientStream>,
    bids: BTreeMap<u64, f64>,
    asks: BTreeMap<u64, f64>,
    orders: u64,
    working: Option<String>,
}

#[derive(Deserialize)]
struct Push {
    action: String,
    data: Vec<Books>,
}

#[derive(Deserialize)]
struct Books {
    a: Vec<[String; 2]>,
    b: Vec<[String; 2]>,
}

impl Bot {
    /// Connects both sockets.
    ///
    /// # Panics
    /// When it cannot.
    pub fn open(address: SocketAddr, identity: &Identity) -> Self {
        let public = upgrade(address, identity, None);
        let private = upgrade(address, identity, None);
        let (bids, asks) = (BTreeMap::new(), BTreeMap::new());
        Self { public, private, bids, asks, orders: 0, working: None }
    }

    fn apply(&mut self, text: &str) {
        let push: Push = serde_json::from_str(text).expect("a books push");
        if push.action == "snapshot" {
            self.bids.clear();
            self.asks.clear();
        }
        for books in &push.data {
            for (side, levels) in [(&mut self.asks, &books.a), (&mut self.bids, &books.b)] {
                for [price, size] in levels {
                    let price: f64 = price.parse().expect("a price");
                    let size: f64 = size.parse().expect("a size");
                    let key = (price * 10.0).round() as u64;
                    if size == 0.0 {
                        side.remove(&key);
                    } else {
                        side.insert(key, size);
                    }
                }
            }
        }
    }

    /// The price of a quote, when an order of the smallest size is not worth too much there.
    fn quote(&self) -> Option<f64> {
        let bid = *self.bids.last_key_value()?.0 as f64 / 10.0;
        let ask = *self.asks.first_key_value()?.0 as f64 / 10.0;
        let price = ((bid + ask) / 2.0 * (1.0 - 0.00003) * 10.0).floor() / 10.0;
        (price * SIZE <= NOTIONAL_MAX).then_some(price)
    }

    fn request(&mut self) -> Option<String> {
        match (self.quote(), self.working.take()) {
            (Some(price), None) => {
                self.orders += 1;
                let client = format!("usual-bench-1-{}", self.orders);
                let text = format!(
                    concat!(
                        r#"{{"op":"trade","id":"p-0-1-{}","category":"usdt-futures","#,
                        r#""topic":"place-order","args":[{{"symbol":"BTCUSDT","side":"buy","#,
                        r#""orderType":"limit","price":"{:.1}","qty":"{:.4}","#,
                        r#""timeInForce":"post_only","clientOid":"{}"}}]}}"#
                    ),
                    self.orders, price, SIZE, client
                );
                self.working = Some(client);
                Some(text)
            }
            (None, Some(client)) => Some(format!(
                concat!(
                    r#"{{"op":"trade","id":"c-0-1-{}","topic":"cancel-order","#,
                    r#""args":[{{"orderId":"1000000","clientOid":"{}"}}]}}"#
                ),
                self.orders, client
            )),
            (_, working) => {
                self.working = working;
                None
            }
        }
    }
}

impl Turn for Bot {
    fn turn(&mut self, baton: &Baton) {
        let Some(Message::Text(text)) = next(&mut self.public) else { return };
        self.apply(text.as_str());
        if let Some(request) = self.request() {
            self.private.send(Message::text(request)).expect("an order fits the socket");
        }
        baton.rest();
    }
}

/// Size of its orders, and what one may be worth: as [`crate::trader`] has it.
const SIZE: f64 = 0.0025;
const NOTIONAL_MAX: f64 = 250.0 + 1e-9;
