//! The forms that a statement comes in: answers of `financial-records`, and a table.

use std::collections::BTreeMap;

use keel_core::decimal::Decimal;
use keel_core::units::UnixNanos;
use serde_json::Value;

use super::{Entry, Kind};

/// What the venue says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statement {
    /// Records of USDT, in the order of the file.
    pub entries: Vec<Entry>,
    /// Records of other coins.
    pub foreign: usize,
}

/// A record's fields by name: lower case, letters and digits only.
type Fields = BTreeMap<String, String>;

/// Reads the answer of `GET /api/v3/account/financial-records`, or a list of such answers.
///
/// # Errors
/// What is wrong, with the record's place.
pub fn json(text: &str) -> Result<Statement, String> {
    let value: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let pages = match &value {
        Value::Array(pages) => pages.iter().collect(),
        page => vec![page],
    };
    let mut statement = Statement::default();
    for page in pages {
        if page["code"] != "00000" {
            return Err(format!("an answer that is no success: code {}", page["code"]));
        }
        let rows = page["data"]["list"].as_array().ok_or("an answer without data.list")?;
        for row in rows {
            let row = row.as_object().ok_or("a record that is no object")?;
            let text = |value: &Value| value.as_str().map_or(value.to_string(), str::to_owned);
            statement.take(&row.iter().map(|(k, v)| (plain(k), text(v))).collect())?;
        }
    }
    Ok(statement)
}

/// Reads a table whose first line names its columns, in any order: id, time, type and amount, and
/// where there are such, symbol, coin and fee. Times are UTC.
///
/// # Errors
/// What is wrong, with the record's place.
pub fn csv(text: &str) -> Result<Statement, String> {
    let mut lines = text.trim_start_matches('\u{feff}').lines();
    let header: Vec<String> =
        fields(lines.next().unwrap_or_default()).iter().map(|name| plain(name)).collect();
    for names in [TIME, TYPE, AMOUNT] {
        if !names.iter().any(|name| header.iter().any(|known| known == name)) {
            return Err(format!(
                "no column {}: the first line has {}",
                names.join(" or "),
                header.join(", ")
            ));
        }
    }
    let mut statement = Statement::default();
    for line in lines.filter(|line| !line.trim().is_empty()) {
        let row = fields(line);
        if row.len() != header.len() {
            let place = statement.entries.len() + statement.foreign + 1;
            return Err(format!(
                "record {place} has {} columns instead of {}",
                row.len(),
                header.len()
            ));
        }
        statement.take(&header.iter().cloned().zip(row).collect())?;
    }
    Ok(statement)
}

impl Statement {
    fn take(&mut self, fields: &Fields) -> Result<(), String> {
        let place = self.entries.len() + self.foreign + 1;
        let of = |names: &[&str]| {
            names.iter().find_map(|name| fields.get(*name)).map_or("", |text| text.trim())
        };
        let wrong = |what: &str, text: &str| format!("record {place}: {what} {text:?}");
        let money = |names: &[&str], what| match of(names) {
            "" => Ok(0),
            text => e8(text).ok_or_else(|| wrong(what, text)),
        };
        let coin = of(COIN);
        if !coin.is_empty() && !coin.eq_ignore_ascii_case("usdt") {
            self.foreign += 1;
            return Ok(());
        }
        let word = of(TYPE);
        if word.is_empty() {
            return Err(wrong("no type", word));
        }
        if of(AMOUNT).is_empty() {
            return Err(wrong("no amount", ""));
        }
        let (kind, amount) = (Kind::named(word), money(AMOUNT, "amount")?);
        // The word gives the direction; a recorded amount may lack its sign.
        let upper = word.to_ascii_uppercase();
        let amount = match kind {
            Kind::Funding | Kind::Transfer if upper.ends_with("_OUT") => -amount.abs(),
            Kind::Funding | Kind::Transfer if upper.ends_with("_IN") => amount.abs(),
            _ => amount,
        };
        self.entries.push(Entry {
            id: of(ID).to_owned(),
            symbol: of(SYMBOL).to_ascii_uppercase(),
            kind,
            word: word.to_owned(),
            ts: time(of(TIME)).ok_or_else(|| wrong("time", of(TIME)))?,
            amount,
            // The venue writes a fee that was paid as negative.
            fee: -money(FEE, "fee")?,
        });
        Ok(())
    }
}

/// A decimal text in 1e-8, exact.
fn e8(text: &str) -> Option<i64> {
    Decimal::parse(text.trim_start_matches('+').as_bytes()).and_then(Decimal::e8).ok()
}

/// Milliseconds since 1970, or date and time in UTC; in nanoseconds.
fn time(text: &str) -> Option<i64> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse::<i64>().ok()?.checked_mul(1_000_000);
    }
    let text = text.trim_end_matches('Z').replace('/', "-");
    let stamp: jiff::Timestamp = format!("{text}Z").parse().ok()?;
    i64::try_from(stamp.as_nanosecond()).ok()
}

/// The number of the UTC day that a date names.
pub fn day_of(date: &str) -> Option<i64> {
    let stamp: jiff::Timestamp = format!("{date}T00:00:00Z").parse().ok()?;
    Some(UnixNanos(i64::try_from(stamp.as_nanosecond()).ok()?).day())
}

/// A column's name without what forms differ in.
fn plain(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase()
}

/// The fields of a line; a field in quotes may have commas.
fn fields(line: &str) -> Vec<String> {
    let mut found = vec![String::new()];
    let mut quoted = false;
    let mut characters = line.trim_end_matches('\r').chars().peekable();
    while let Some(c) = characters.next() {
        match c {
            '"' if quoted && characters.peek() == Some(&'"') => {
                characters.next();
                found.last_mut().expect("one at least").push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => found.push(String::new()),
            c => found.last_mut().expect("one at least").push(c),
        }
    }
    found
}

const ID: &[&str] = &["id", "billid"];
const TIME: &[&str] = &["ts", "time", "date", "ctime"];
const SYMBOL: &[&str] = &["symbol", "futures", "tradingpair"];
const COIN: &[&str] = &["coin", "margincoin"];
const TYPE: &[&str] = &["type", "businesstype", "futuretaxtype"];
const AMOUNT: &[&str] = &["amount"];
const FEE: &[&str] = &["fee"];
