//! What can be subscribed to, and which instrument a symbol is.

use keel_core::instrument::{INSTRUMENTS_MAX, Instrument, InstrumentId, Symbol};

/// Symbol to instrument: built from the rules at start, changed when the rules change.
///
/// A look-up takes one hash and, nearly always, one comparison; it never allocates.
#[derive(Clone, Debug)]
pub struct Directory {
    listed: Vec<Instrument>,
    /// Open addressing: a symbol's 16 bytes and its place in `listed`; [`EMPTY`] is free.
    table: Vec<(u128, u16)>,
    mask: usize,
}

impl Directory {
    /// A directory of `instruments`, whose ids are their places.
    ///
    /// # Panics
    /// When there are more than [`INSTRUMENTS_MAX`], or one symbol stands twice.
    pub fn new(instruments: &[Instrument]) -> Self {
        assert!(instruments.len() <= INSTRUMENTS_MAX, "at most {INSTRUMENTS_MAX} instruments");
        let places = (instruments.len() * 4).next_power_of_two().max(8);
        let mut directory = Self {
            listed: instruments.to_vec(),
            table: vec![(0, EMPTY); places],
            mask: places - 1,
        };
        for (place, instrument) in instruments.iter().enumerate() {
            directory.insert(key(instrument.symbol.as_str().as_bytes()), place as u16);
        }
        directory
    }

    fn insert(&mut self, key: u128, place: u16) {
        let mut at = hash(key) & self.mask;
        while self.table[at].1 != EMPTY {
            assert!(self.table[at].0 != key, "a symbol is listed once");
            at = (at + 1) & self.mask;
        }
        self.table[at] = (key, place);
    }

    /// Takes in changed rules of an instrument that is listed already.
    ///
    /// # Panics
    /// When `id` is not listed, or under another symbol.
    pub fn update(&mut self, id: InstrumentId, rules: Instrument) {
        let listed = &mut self.listed[id.index()];
        assert!(listed.symbol == rules.symbol, "an instrument keeps its symbol");
        *listed = rules;
    }

    /// The instrument that the venue calls `symbol`, exactly in those letters.
    pub fn find(&self, symbol: &[u8]) -> Option<(InstrumentId, &Instrument)> {
        if symbol.len() > SYMBOL_BYTES_MAX || symbol.last().is_none_or(|&byte| byte == 0) {
            return None;
        }
        let key = key(symbol);
        let mut at = hash(key) & self.mask;
        loop {
            let (found, place) = self.table[at];
            if place == EMPTY {
                return None;
            }
            if found == key {
                return Some((InstrumentId(place), &self.listed[usize::from(place)]));
            }
            at = (at + 1) & self.mask;
        }
    }

    /// The rules of `id`; `None` for [`InstrumentId::ALL`] and ids that are not listed.
    pub fn rules(&self, id: InstrumentId) -> Option<&Instrument> {
        self.listed.get(id.index())
    }

    /// The name of `id`, as [`Directory::rules`].
    pub fn symbol(&self, id: InstrumentId) -> Option<Symbol> {
        self.rules(id).map(|rules| rules.symbol)
    }

    /// All instruments in the order of their ids.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (InstrumentId, &Instrument)> {
        self.listed.iter().enumerate().map(|(id, rules)| (InstrumentId(id as u16), rules))
    }

    /// How many instruments are listed.
    pub fn len(&self) -> usize {
        self.listed.len()
    }

    /// True when none is listed.
    pub fn is_empty(&self) -> bool {
        self.listed.is_empty()
    }
}

/// The first sixteen bytes of a symbol; what is missing is zero, which no symbol contains.
fn key(symbol: &[u8]) -> u128 {
    let mut bytes = [0; SYMBOL_BYTES_MAX];
    bytes[..symbol.len()].copy_from_slice(symbol);
    u128::from_le_bytes(bytes)
}

/// Spreads a key over the table (Fibonacci hashing of the folded halves).
fn hash(key: u128) -> usize {
    let folded = (key as u64) ^ ((key >> 64) as u64).rotate_left(32);
    (folded.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as usize
}

/// What the sockets offer (bitget reference §16, "WS public topics", "WS private").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Channel {
    /// The book: snapshot, then updates; 1000 levels a side.
    Books,
    /// The best level, a snapshot every push.
    Books1,
    /// Five levels, a snapshot every push.
    Books5,
    /// Fifty levels, a snapshot every push.
    Books50,
    /// Trades of everybody.
    PublicTrade,
    /// Mark, index, last, funding.
    Ticker,
    /// Own orders.
    Order,
    /// Own fills.
    Fill,
    /// Own fills, sooner and without fee.
    FastFill,
    /// Own positions.
    Position,
    /// The account.
    Account,
}

impl Channel {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Books,
        Self::Books1,
        Self::Books5,
        Self::Books50,
        Self::PublicTrade,
        Self::Ticker,
        Self::Order,
        Self::Fill,
        Self::FastFill,
        Self::Position,
        Self::Account,
    ];

    /// The venue's word, under `topic`.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Books => "books",
            Self::Books1 => "books1",
            Self::Books5 => "books5",
            Self::Books50 => "books50",
            Self::PublicTrade => "publicTrade",
            Self::Ticker => "ticker",
            Self::Order => "order",
            Self::Fill => "fill",
            Self::FastFill => "fast-fill",
            Self::Position => "position",
            Self::Account => "account",
        }
    }

    /// The channel that the venue calls `text`.
    pub fn parse(text: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|channel| channel.text().as_bytes() == text)
    }

    /// True for channels that need a login; they take no symbol.
    pub const fn is_private(self) -> bool {
        match self {
            Self::Books
            | Self::Books1
            | Self::Books5
            | Self::Books50
            | Self::PublicTrade
            | Self::Ticker => false,
            Self::Order | Self::Fill | Self::FastFill | Self::Position | Self::Account => true,
        }
    }
}

/// One thing to subscribe to: a channel, with a symbol if it is public.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subscription {
    channel: Channel,
    symbol: Option<Symbol>,
}

impl Subscription {
    /// Market data of one instrument.
    ///
    /// # Panics
    /// When `channel` is private.
    pub fn market(channel: Channel, symbol: Symbol) -> Self {
        assert!(!channel.is_private(), "a private channel takes no symbol");
        Self { channel, symbol: Some(symbol) }
    }

    /// A channel of the account.
    ///
    /// # Panics
    /// When `channel` is public.
    pub fn account(channel: Channel) -> Self {
        assert!(channel.is_private(), "a public channel takes a symbol");
        Self { channel, symbol: None }
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(match self.symbol {
            Some(_) => br#"{"instType":"usdt-futures","topic":""#,
            None => br#"{"instType":"UTA","topic":""#,
        });
        out.extend_from_slice(self.channel.text().as_bytes());
        if let Some(symbol) = &self.symbol {
            out.extend_from_slice(br#"","symbol":""#);
            out.extend_from_slice(symbol.as_str().as_bytes());
        }
        out.extend_from_slice(br#""}"#);
    }
}

/// Writes the request that begins `subscriptions` into `out`.
///
/// # Panics
/// When there are none, or more than [`SUBSCRIPTIONS_MAX`].
pub fn subscribe(subscriptions: &[Subscription], out: &mut Vec<u8>) {
    request(br#"{"op":"subscribe","args":["#, subscriptions, out);
}

/// Writes the request that ends `subscriptions` into `out`.
///
/// # Panics
/// As [`subscribe`].
pub fn unsubscribe(subscriptions: &[Subscription], out: &mut Vec<u8>) {
    request(br#"{"op":"unsubscribe","args":["#, subscriptions, out);
}

fn request(open: &[u8], subscriptions: &[Subscription], out: &mut Vec<u8>) {
    let fits = (1..=SUBSCRIPTIONS_MAX).contains(&subscriptions.len());
    assert!(fits, "a request has 1 to {SUBSCRIPTIONS_MAX} subscriptions");
    out.clear();
    out.extend_from_slice(open);
    for (place, subscription) in subscriptions.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        subscription.write(out);
    }
    out.extend_from_slice(b"]}");
}

/// The text frame that keeps a socket open, and the one that answers it (bitget reference §10).
pub const PING: &[u8] = b"ping";
/// The answer to [`PING`].
pub const PONG: &[u8] = b"pong";
/// Most subscriptions of one request: more have closed the socket (bitget reference §10).
pub const SUBSCRIPTIONS_MAX: usize = 10;

/// Longest symbol, in bytes.
pub const SYMBOL_BYTES_MAX: usize = 16;

const EMPTY: u16 = u16::MAX;
const _: () = assert!(INSTRUMENTS_MAX < EMPTY as usize);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bitget::tests::{btc, named};

    #[test]
    fn every_listed_symbol_is_found_and_no_other() {
        let many: Vec<_> = (0..INSTRUMENTS_MAX).map(|n| named(&format!("C{n}USDT"))).collect();
        let directory = Directory::new(&many);
        for (n, instrument) in many.iter().enumerate() {
            let (id, rules) = directory.find(instrument.symbol.as_str().as_bytes()).unwrap();
            assert_eq!((id, rules), (InstrumentId(n as u16), instrument));
        }
        for other in [&b""[..], b"C", b"c1usdt", b"C1USDT\0", b"C1024USDT", b"ABCDEFGHIJKLMNOPQ"] {
            assert_eq!(directory.find(other), None);
        }
        assert_eq!(Directory::new(&[]).find(b"BTCUSDT"), None);
    }

    #[test]
    fn changed_rules_take_the_place_of_the_old() {
        let mut directory = Directory::new(&[btc()]);
        let coarse = Instrument { orders_max: 7, ..btc() };
        directory.update(InstrumentId(0), coarse);
        assert_eq!(directory.find(b"BTCUSDT"), Some((InstrumentId(0), &coarse)));
    }

    #[test]
    fn subscriptions_read_as_the_venue_documents_them() {
        let mut out = b"left over".to_vec();
        let btc = Symbol::parse(b"BTCUSDT").unwrap();
        subscribe(&[Subscription::market(Channel::Books, btc)], &mut out);
        let documented =
            include_str!("../../../tests/golden/bitget/ws_v3/books-request__bitgetdocs__1.json");
        let ours: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(ours, serde_json::from_str::<serde_json::Value>(documented).unwrap());
        unsubscribe(
            &[Subscription::account(Channel::Order), Subscription::account(Channel::FastFill)],
            &mut out,
        );
        let expected = concat!(
            r#"{"op":"unsubscribe","args":[{"instType":"UTA","topic":"order"},"#,
            r#"{"instType":"UTA","topic":"fast-fill"}]}"#
        );
        assert_eq!(std::str::from_utf8(&out), Ok(expected));
    }

    #[test]
    fn every_channel_is_known_by_its_own_word_only() {
        for channel in Channel::ALL {
            assert_eq!(Channel::parse(channel.text().as_bytes()), Some(channel));
        }
        assert_eq!(Channel::parse(b"Books"), None);
        assert_eq!(Channel::parse(b""), None);
    }
}
