//! The durable day: what `daily_state.json` holds.

use std::collections::BTreeMap;

use keel_core::command::Day;
use keel_core::decimal::{Decimal, Grid, TEXT_MAX};
use keel_core::guard::{GuardState, Reasons};
use keel_core::units::{Lots, Quote, UnixNanos};
use serde_json::{Map, Value, json};

/// The UTC day, the positions and the guard, as they must survive a restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DailyState {
    /// UTC day number since 1970.
    pub day: i64,
    /// Equity when it began.
    pub equity_open: Quote,
    /// Highest equity today.
    pub equity_peak: Quote,
    /// Highest since the last `rearm`, transfers removed.
    pub high_water: Quote,
    /// Traded today.
    pub traded: Quote,
    /// Realized today, before fees and funding.
    pub realized: Quote,
    /// Fees paid today.
    pub fees: Quote,
    /// Funding paid today.
    pub funding: Quote,
    /// Fills today.
    pub fills: u32,
    /// Cancel episodes today.
    pub cancel_episodes: u32,
    /// Equity when each of the days before began, newest first; zero where it is not known.
    pub week: [Quote; 6],
    /// Creates today, counted ahead ([`Day::creates`]).
    pub creates: u32,
    /// By name of the instrument.
    pub positions: BTreeMap<String, Held>,
    /// The guard.
    pub guard: GuardState,
    /// Why it is not running.
    pub reasons: Reasons,
    /// The incident that stopped it; 0 for none.
    pub incident: u64,
    /// Since when the guard is so.
    pub since: UnixNanos,
    /// BLAKE3 of the effective configuration.
    pub config_hash: [u8; 32],
    /// When this was written.
    pub written: UnixNanos,
}

/// A position as it must survive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Signed size.
    pub lots: Lots,
    /// What it cost, signed, in tick-lots.
    pub entry_value: i128,
    /// Signed size in base coin, for people.
    pub base: String,
    /// Average entry, for people.
    pub entry: String,
    /// The newest execution booked.
    pub last_trade_id: u64,
    /// Its time.
    pub last_trade_at: UnixNanos,
}

impl DailyState {
    /// No day yet.
    pub const EMPTY: Self = Self {
        day: 0,
        equity_open: Quote::ZERO,
        equity_peak: Quote::ZERO,
        high_water: Quote::ZERO,
        traded: Quote::ZERO,
        realized: Quote::ZERO,
        fees: Quote::ZERO,
        funding: Quote::ZERO,
        fills: 0,
        cancel_episodes: 0,
        week: [Quote::ZERO; 6],
        creates: 0,
        positions: BTreeMap::new(),
        guard: GuardState::SoftPause,
        reasons: Reasons::NONE,
        incident: 0,
        since: UnixNanos(0),
        config_hash: [0; 32],
        written: UnixNanos(0),
    };

    /// Takes over what the engine records of its day.
    pub fn take(&mut self, day: &Day) {
        self.day = day.day;
        self.equity_open = day.equity_open;
        self.equity_peak = day.equity_peak;
        self.high_water = day.high_water;
        self.traded = day.traded;
        self.realized = day.realized;
        self.fees = day.fees;
        self.funding = day.funding;
        self.fills = day.fills;
        self.cancel_episodes = day.cancel_episodes;
        self.week = day.week;
        self.creates = day.creates;
    }

    /// The day as a date.
    pub fn day_key(&self) -> String {
        date_of(self.day)
    }

    /// The keys of `daily_state.json`, decimals as strings.
    pub fn to_json(&self) -> Map<String, Value> {
        let mut instruments = Map::new();
        for (name, held) in &self.positions {
            let value = json!({
                "position_base": held.base,
                "avg_entry_price": held.entry,
                "last_trade_id": held.last_trade_id.to_string(),
                "last_trade_ns": held.last_trade_at.0.to_string(),
                "position_lots": held.lots.0.to_string(),
                "entry_value_tick_lots": held.entry_value.to_string(),
            });
            instruments.insert(name.clone(), value);
        }
        let week: Map<String, Value> = (1..)
            .zip(&self.week)
            .filter(|(_, open)| **open != Quote::ZERO)
            .map(|(age, open)| (date_of(self.day - age), json!(e8_text(open.0))))
            .collect();
        let reasons: Vec<_> = self.reasons.iter().map(|reason| reason.text()).collect();
        let guard = json!({
            "state": self.guard.text(),
            "reasons": reasons.join("|"),
            "reason_bits": self.reasons.0.to_string(),
            "incident_id": self.incident.to_string(),
            "since": utc_text(self.since),
            "since_ns": self.since.0.to_string(),
        });
        let Value::Object(object) = json!({
            "day_key": self.day_key(),
            "equity_open": e8_text(self.equity_open.0),
            "equity_peak": e8_text(self.equity_peak.0),
            "high_water_mark": e8_text(self.high_water.0),
            "traded_notional": e8_text(self.traded.0),
            "fills_count": self.fills,
            "fees_paid": e8_text(self.fees.0),
            "funding_cost": e8_text(self.funding.0),
            "realized_pnl": e8_text(self.realized.0),
            "cancel_breaches": self.cancel_episodes,
            "week_open": week,
            "creates_counted": self.creates,
            "instruments": instruments,
            "guard": guard,
            "config_hash": hex(&self.config_hash),
            "ts_utc": utc_text(self.written),
            "ts_ns": self.written.0.to_string(),
        }) else {
            unreachable!("an object literal is an object")
        };
        object
    }

    /// Reads what [`DailyState::to_json`] gives.
    ///
    /// # Errors
    /// The first key that is missing or malformed.
    pub fn from_json(object: &Map<String, Value>) -> Result<Self, &'static str> {
        let guard = object.get("guard").and_then(Value::as_object).ok_or("guard")?;
        let state = text(guard, "state")?;
        let day = day_of(text(object, "day_key")?).ok_or("day_key")?;
        let mut week = [Quote::ZERO; 6];
        for date in object.get("week_open").and_then(Value::as_object).ok_or("week_open")?.keys() {
            let opens = object["week_open"].as_object().ok_or("week_open")?;
            let age = day_of(date).and_then(|of| usize::try_from(day - of - 1).ok());
            let place = age.and_then(|age| week.get_mut(age)).ok_or("week_open")?;
            *place = money_of(opens, date).ok_or("week_open")?;
        }
        let mut positions = BTreeMap::new();
        let instruments =
            object.get("instruments").and_then(Value::as_object).ok_or("instruments")?;
        for (name, value) in instruments {
            let value = value.as_object().ok_or("instruments")?;
            let held = Held {
                lots: Lots(number(value, "position_lots")?),
                entry_value: number(value, "entry_value_tick_lots")?,
                base: text(value, "position_base")?.to_owned(),
                entry: text(value, "avg_entry_price")?.to_owned(),
                last_trade_id: number(value, "last_trade_id")?,
                last_trade_at: UnixNanos(number(value, "last_trade_ns")?),
            };
            positions.insert(name.clone(), held);
        }
        Ok(Self {
            day,
            week,
            equity_open: money(object, "equity_open")?,
            equity_peak: money(object, "equity_peak")?,
            high_water: money(object, "high_water_mark")?,
            traded: money(object, "traded_notional")?,
            realized: money(object, "realized_pnl")?,
            fees: money(object, "fees_paid")?,
            funding: money(object, "funding_cost")?,
            fills: count(object, "fills_count")?,
            cancel_episodes: count(object, "cancel_breaches")?,
            creates: count(object, "creates_counted")?,
            positions,
            guard: *GuardState::ALL
                .iter()
                .find(|known| known.text() == state)
                .ok_or("guard.state")?,
            reasons: Reasons(number(guard, "reason_bits")?),
            incident: number(guard, "incident_id")?,
            since: UnixNanos(number(guard, "since_ns")?),
            config_hash: unhex(text(object, "config_hash")?).ok_or("config_hash")?,
            written: UnixNanos(number(object, "ts_ns")?),
        })
    }
}

fn text<'o>(object: &'o Map<String, Value>, key: &'static str) -> Result<&'o str, &'static str> {
    object.get(key).and_then(Value::as_str).ok_or(key)
}

fn number<T: std::str::FromStr>(
    object: &Map<String, Value>,
    key: &'static str,
) -> Result<T, &'static str> {
    text(object, key)?.parse().map_err(|_| key)
}

fn count(object: &Map<String, Value>, key: &'static str) -> Result<u32, &'static str> {
    object.get(key).and_then(Value::as_u64).and_then(|n| u32::try_from(n).ok()).ok_or(key)
}

fn money(object: &Map<String, Value>, key: &'static str) -> Result<Quote, &'static str> {
    money_of(object, key).ok_or(key)
}

fn money_of(object: &Map<String, Value>, key: &str) -> Option<Quote> {
    let text = object.get(key)?.as_str()?;
    Decimal::parse(text.as_bytes()).and_then(Decimal::e8).map(Quote).ok()
}

/// Decimal text of a count of 1e-8, without zeros at its end.
pub fn e8_text(units: i64) -> String {
    trimmed(grid_text(Grid::E8, units))
}

/// Decimal text of a number of steps, with the grid's decimals.
pub fn grid_text(grid: Grid, steps: i64) -> String {
    let mut out = [0; TEXT_MAX];
    let length = grid.write(steps, &mut out);
    String::from_utf8_lossy(&out[..length]).into_owned()
}

/// The same number without zeros behind the point.
pub fn trimmed(mut text: String) -> String {
    if text.contains('.') {
        let kept = text.trim_end_matches('0').trim_end_matches('.').len();
        text.truncate(kept);
    }
    text
}

/// ISO-8601 UTC with milliseconds.
pub fn utc_text(at: UnixNanos) -> String {
    match jiff::Timestamp::from_millisecond(at.millis()) {
        Ok(stamp) => format!("{stamp:.3}"),
        // Beyond the calendar's years: what was counted, so that nothing is hidden.
        Err(_) => format!("{}ms", at.millis()),
    }
}

/// A UTC day number as a date.
pub fn date_of(day: i64) -> String {
    let text = utc_text(UnixNanos(day.saturating_mul(UnixNanos::DAY)));
    text.split('T').next().unwrap_or_default().to_owned()
}

/// The number of the UTC day that a date names.
fn day_of(text: &str) -> Option<i64> {
    let stamp: jiff::Timestamp = format!("{text}T00:00:00Z").parse().ok()?;
    Some(stamp.as_second().div_euclid(86_400))
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (place, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[place * 2..place * 2 + 2], 16).ok()?;
    }
    Some(bytes)
}
