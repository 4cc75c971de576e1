//! The fast reader: books, public trades and tickers in the venue's own key order, in one pass.
//!
//! It either reads a payload to its last byte or leaves it (`None`) to the second reader, which
//! then decides. It leaves at a backslash, white space, a key out of order, unknown or repeated, a
//! number where the venue writes text, and at anything that it would have to refuse.

use keel_core::decimal::Decimal;
use keel_core::event::{Event, Ticker, Trade};
use keel_core::instrument::{Instrument, InstrumentId};
use keel_core::units::{Price, Rate, Side, UnixNanos};

use super::digits::{digits, short_decimal};
use super::page::{Books, Level};
use super::push::{oldest_first, positive_lots, positive_ticks};
use super::{Found, LEVELS_MAX, ROWS_MAX, tape};
use crate::bitget::topics::Directory;

/// Reads `payload`, whose levels or rows take the place of what stood in the buffers. They hold
/// nothing of use when it gives `None`.
pub(super) fn read(
    payload: &[u8],
    directory: &Directory,
    levels: &mut Vec<Level>,
    events: &mut Vec<Event>,
) -> Option<Found> {
    let mut at = Cursor { rest: payload };
    at.skip(br#"{"action":""#)?;
    let snapshot = match at.rest.first()? {
        b's' => {
            at.skip(br#"snapshot""#)?;
            true
        }
        _ => {
            at.skip(br#"update""#)?;
            false
        }
    };
    at.skip(br#","arg":{"instType":"usdt-futures","topic":""#)?;
    let topic = at.word()?;
    if at.skip(br#","symbol":""#).is_none() {
        at.skip(br#","instId":""#)?;
    }
    let (id, rules) = directory.find(at.word()?)?;
    at.skip(br#"},"data":[{"#)?;
    match topic {
        b"books" | b"books1" | b"books5" | b"books50" => {
            levels.clear();
            let books = at.books(id, rules, snapshot, levels)?;
            at.skip(br#"],"ts":"#)?;
            at.number()?;
            at.end()?;
            Some(Found::Books(books))
        }
        b"publicTrade" => {
            events.clear();
            at.trades(id, rules, events)?;
            at.skip(br#","ts":"#)?;
            at.number()?;
            at.end()?;
            Some(Found::Rows)
        }
        b"ticker" => {
            let mut ticker = at.ticker(id)?;
            at.skip(br#"],"ts":"#)?;
            ticker.ts = tape::millis(at.number()?)?;
            at.end()?;
            events.clear();
            events.push(Event::Ticker(ticker));
            Some(Found::Rows)
        }
        _ => None,
    }
}

/// What is left of a payload.
struct Cursor<'p> {
    rest: &'p [u8],
}

impl<'p> Cursor<'p> {
    /// A row of the books topics, behind its opening brace.
    fn books(
        &mut self,
        instrument: InstrumentId,
        rules: &Instrument,
        snapshot: bool,
        levels: &mut Vec<Level>,
    ) -> Option<Books> {
        self.skip(br#""a":["#)?;
        self.levels(rules, levels)?;
        let asks = levels.len();
        self.skip(br#","b":["#)?;
        self.levels(rules, levels)?;
        self.skip(br#","seq":"#)?;
        let seq = self.number()?;
        self.skip(br#","pseq":"#)?;
        let pseq = self.number()?;
        self.skip(br#","ts":""#)?;
        let ts = self.quoted_millis()?;
        let mut checksum = None;
        let mut depth = false;
        while !self.eat(b'}') {
            if !depth && self.skip(br#","maxdepth":""#).is_some() {
                self.word()?;
                depth = true;
            } else if checksum.is_none() && self.skip(br#","checksum":"#).is_some() {
                checksum = Some(self.signed()?);
            } else {
                return None;
            }
        }
        let checksum = checksum.unwrap_or(0);
        Some(Books { instrument, snapshot, seq, pseq, ts, checksum, asks })
    }

    /// The levels of one side, behind the opening bracket, with the closing one.
    #[inline]
    fn levels(&mut self, rules: &Instrument, levels: &mut Vec<Level>) -> Option<()> {
        if self.eat(b']') {
            return Some(());
        }
        loop {
            if levels.len() == LEVELS_MAX {
                return None;
            }
            self.skip(br#"[""#)?;
            let price = self.decimal()?;
            self.skip(br#",""#)?;
            let size = self.decimal()?;
            self.skip(b"]")?;
            levels.push(Level::new(price, size, rules).ok()?);
            match self.next()? {
                b',' => {}
                b']' => return Some(()),
                _ => return None,
            }
        }
    }

    /// The rows of `publicTrade`, behind the first opening brace, with the closing bracket.
    fn trades(
        &mut self,
        instrument: InstrumentId,
        rules: &Instrument,
        events: &mut Vec<Event>,
    ) -> Option<()> {
        loop {
            if events.len() == ROWS_MAX {
                return None;
            }
            self.skip(br#""p":""#)?;
            let price = self.decimal()?;
            self.skip(br#","S":""#)?;
            let taker = match self.word()? {
                b"buy" => Side::Buy,
                b"sell" => Side::Sell,
                _ => return None,
            };
            self.skip(br#","T":""#)?;
            let ts = self.quoted_millis()?;
            self.skip(br#","v":""#)?;
            let size = self.decimal()?;
            self.skip(br#","i":""#)?;
            let trade_id = tape::whole(self.word()?).ok()?;
            if self.skip(br#","L":""#).is_some() {
                self.word()?;
            }
            if self.skip(br#","isRPI":""#).is_some() {
                self.word()?;
            }
            self.skip(b"}")?;
            let price = positive_ticks(rules.tick.steps_of(price).ok()?).ok()?;
            let lots = positive_lots(rules.lot.steps_of(size).ok()?).ok()?;
            events.push(Event::Trade(Trade { instrument, taker, price, lots, trade_id, ts }));
            match self.next()? {
                b',' => self.skip(b"{")?,
                b']' => break,
                _ => return None,
            }
        }
        oldest_first(events);
        Some(())
    }

    /// A row of `ticker`, behind its opening brace. Its keys come in no fixed order.
    fn ticker(&mut self, instrument: InstrumentId) -> Option<Ticker> {
        let mut values = [None; TICKER_READ];
        loop {
            self.skip(b"\"")?;
            let key = self.word()?;
            self.skip(br#":""#)?;
            let value = self.word()?;
            match ticker_place(key)? {
                Some(place) if values[place].is_none() => values[place] = Some(value),
                Some(_) => return None,
                None => {}
            }
            match self.next()? {
                b',' => {}
                b'}' => break,
                _ => return None,
            }
        }
        let e8 = |place: usize| match values[place] {
            None | Some(b"") => Some(0),
            Some(text) => tape::e8_truncated(text).ok(),
        };
        let price = |place| e8(place).filter(|price| *price >= 0).map(Price);
        let funding_at = match values[4] {
            None | Some(b"") => UnixNanos(0),
            Some(text) => tape::millis(tape::whole(text).ok()?)?,
        };
        Some(Ticker {
            instrument,
            last: price(0)?,
            mark: price(1)?,
            index: price(2)?,
            funding_rate: Rate(e8(3)?),
            funding_at,
            ts: UnixNanos(0),
        })
    }

    /// Passes over exactly these bytes.
    #[inline]
    fn skip<const N: usize>(&mut self, expected: &[u8; N]) -> Option<()> {
        let (head, rest) = self.rest.split_first_chunk::<N>()?;
        if head != expected {
            return None;
        }
        self.rest = rest;
        Some(())
    }

    /// Passes over `byte` if it is the next.
    #[inline]
    fn eat(&mut self, byte: u8) -> bool {
        let found = self.rest.first() == Some(&byte);
        if found {
            self.rest = &self.rest[1..];
        }
        found
    }

    #[inline]
    fn next(&mut self) -> Option<u8> {
        let (byte, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*byte)
    }

    /// The closing brace of the message, and nothing behind it.
    fn end(&mut self) -> Option<()> {
        (self.rest == b"}").then_some(())
    }

    /// A short text without escapes, behind its opening quote, with the closing one.
    #[inline]
    fn word(&mut self) -> Option<&'p [u8]> {
        let window = &self.rest[..self.rest.len().min(WORD_BYTES_MAX)];
        let len = window.iter().position(|&byte| !PLAIN[usize::from(byte)])?;
        if window[len] != b'"' {
            return None;
        }
        let word = &window[..len];
        self.rest = &self.rest[len + 1..];
        Some(word)
    }

    /// Decimal text of at most 18 digits, behind its opening quote, with the closing one.
    #[inline]
    fn decimal(&mut self) -> Option<Decimal> {
        let bytes = self.rest;
        if let Some((mantissa, scale, len)) = short_decimal(bytes) {
            self.rest = &bytes[len..];
            return Some(Decimal { mantissa: mantissa as i64, scale });
        }
        self.long_decimal()
    }

    /// The same for a number of more than seven digits.
    fn long_decimal(&mut self) -> Option<Decimal> {
        let bytes = self.rest;
        let (mut mantissa, whole) = digits(bytes, 0);
        if whole == 0 || whole > DIGITS_MAX {
            return None;
        }
        let mut len = whole;
        let mut scale = 0;
        if *bytes.get(len)? == b'.' {
            let (fraction, decimals) = digits(&bytes[len + 1..], mantissa);
            if decimals == 0 || whole + decimals > DIGITS_MAX {
                return None;
            }
            mantissa = fraction;
            scale = decimals as u8;
            len += 1 + decimals;
        }
        if *bytes.get(len)? != b'"' {
            return None;
        }
        self.rest = &bytes[len + 1..];
        Some(Decimal { mantissa: mantissa as i64, scale })
    }

    /// A JSON number of at most 19 digits and nothing but digits.
    #[inline]
    fn number(&mut self) -> Option<u64> {
        let (value, len) = digits(self.rest, 0);
        let padded = len > 1 && self.rest[0] == b'0';
        if len == 0 || len > 19 || padded {
            return None;
        }
        self.rest = &self.rest[len..];
        Some(value)
    }

    /// A JSON number that fits 32 bits, with a sign or without.
    fn signed(&mut self) -> Option<i32> {
        let negative = self.eat(b'-');
        let value = i64::try_from(self.number()?).ok()?;
        let value = if negative { -value } else { value };
        let fits = (i64::from(i32::MIN)..=i64::from(u32::MAX)).contains(&value);
        fits.then_some(value as i32)
    }

    /// A time in milliseconds, behind its opening quote, with the closing one.
    #[inline]
    fn quoted_millis(&mut self) -> Option<UnixNanos> {
        let (value, len) = digits(self.rest, 0);
        if len == 0 || len > DIGITS_MAX {
            return None;
        }
        self.rest = &self.rest[len..];
        self.skip(b"\"")?;
        tape::millis(value)
    }
}

/// What the words of the venue are made of, by byte.
const PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let mut byte = 0;
    while byte < plain.len() {
        plain[byte] =
            (byte as u8).is_ascii_alphanumeric() || matches!(byte as u8, b'.' | b'-' | b'_');
        byte += 1;
    }
    plain
};

/// Where the value of a ticker's key goes: `Some(None)` for one that is passed over, `None` for one
/// that is not known.
fn ticker_place(key: &[u8]) -> Option<Option<usize>> {
    match key {
        b"lastPrice" => Some(Some(0)),
        b"markPrice" => Some(Some(1)),
        b"indexPrice" => Some(Some(2)),
        b"fundingRate" => Some(Some(3)),
        b"nextFundingTime" => Some(Some(4)),
        b"symbol" | b"openPrice24h" | b"highPrice24h" | b"lowPrice24h" | b"ask1Price"
        | b"bid1Price" | b"bid1Size" | b"ask1Size" | b"price24hPcnt" | b"volume24h"
        | b"turnover24h" | b"openInterest" | b"deliveryStartTime" | b"deliveryTime"
        | b"deliveryStatus" => Some(None),
        _ => None,
    }
}

/// Keys of a ticker that are read.
const TICKER_READ: usize = 5;
/// Digits that always fit 63 bits.
const DIGITS_MAX: usize = 18;
/// Longest text that is passed over.
const WORD_BYTES_MAX: usize = 64;
