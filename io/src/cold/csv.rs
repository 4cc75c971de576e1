//! The tables that operators know: `fills.csv`, `minute.csv`, `daily.csv`.
//!
//! Rows are appended whole. A file whose header is not today's is moved aside, never mixed; a row
//! that a crash cut off is removed at the next start. Text that a spreadsheet would run or a
//! terminal obey is made harmless.

use std::collections::BTreeSet;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use keel_core::command::{Booked, Day};
use keel_core::decimal::Grid;
use keel_core::event::{ClientId, FeeSource};
use keel_core::guard::{GuardState, Reasons};
use keel_core::instrument::Instrument;
use keel_core::regime::Regime;
use keel_core::status::{Key, Row};
use keel_core::units::{Quote, Rate, UnixNanos};

use keel_net::bitget::client::{Instance, NUMBER_MAX};

use super::daily::{e8_text, grid_text, trimmed, utc_text};
use super::tally::Tally;
use crate::disk::{self, DiskFile, Entry, FileSystem, Opening, Refused, refused};
use crate::latency::{Stage, Summary};
use crate::os;

/// The three tables of one instrument.
#[derive(Debug)]
pub struct Tables {
    labels: Labels,
    fills: Table,
    minutes: Table,
    days: Table,
    /// Executions that `fills.csv` has a row for, until no run before can have any more.
    known: Option<BTreeSet<u64>>,
    /// The newest minute that `minute.csv` may not have again.
    last_minute: i64,
}

/// What stands in the first columns of every row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Labels {
    /// `bot_variant`.
    pub variant: String,
    /// `exchange`.
    pub exchange: String,
    /// `trading_pair`.
    pub pair: String,
    /// Whose client ids `client_order_id` shows.
    pub instance: Instance,
}

/// Figures of a minute that the engine does not know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HostColumns {
    /// Resident memory.
    pub rss_kib: u64,
    /// Open file descriptors.
    pub open_fds: u64,
    /// Calls that the venue's busiest endpoint class has left, as a share; `None` when unknown.
    pub rate_headroom: Option<Rate>,
    /// Orders sent in this minute.
    pub wire_to_order: Summary,
    /// The engine agent's longest cycle in this minute; `None` when unknown.
    pub engine_cycle_max_ns: Option<u64>,
}

impl HostColumns {
    /// As they are now; `tally` knows what the minute's orders took.
    pub fn now(tally: &Tally, engine_cycle_max_ns: Option<u64>) -> Self {
        Self {
            rss_kib: os::resident_kib(),
            open_fds: os::open_files(),
            rate_headroom: tally.headroom(),
            wire_to_order: tally.minute.summary(Stage::Whole),
            engine_cycle_max_ns,
        }
    }
}

/// What a fill's row says beyond the record of its booking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FillContext {
    /// The instrument's rules.
    pub rules: Instrument,
    /// Where the fee rates came from.
    pub fee_source: FeeSource,
    /// From the cause's first byte to the order's last; `None` when it was not measured.
    pub latency_ns: Option<u64>,
}

/// What a day's row says beyond its record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DayContext {
    /// The guard at the day's end.
    pub state: GuardState,
    /// Equity at the day's end.
    pub equity_now: Quote,
    /// Fall from the high-water mark then.
    pub drawdown: Rate,
    /// Guard changes and notices of the day.
    pub ops_events: u64,
}

impl Tables {
    /// Opens or makes the tables in `dir`. `now` is UTC: no minute before it is filled in.
    ///
    /// # Errors
    /// What the system says.
    pub fn open(
        fs: &dyn FileSystem,
        dir: &Path,
        labels: Labels,
        now: UnixNanos,
    ) -> Result<Self, Refused> {
        disk::make_dirs(fs, dir)?;
        let mut known = BTreeSet::new();
        let mut last_minute = now.minute();
        let fills = Table::open(fs, dir.join("fills.csv"), FILLS, now, |row| {
            known.extend(row.get(FILL_TRADE_ID).and_then(|id| id.parse::<u64>().ok()));
        })?;
        let minutes = Table::open(fs, dir.join("minute.csv"), MINUTES, now, |row| {
            let stamp = row.first().and_then(|ts| ts.parse::<jiff::Timestamp>().ok());
            let minute = stamp.map(|at| at.as_second().div_euclid(60));
            last_minute = last_minute.max(minute.unwrap_or(i64::MIN));
        })?;
        let days = Table::open(fs, dir.join("daily.csv"), DAYS, now, |_| {})?;
        Ok(Self { labels, fills, minutes, days, known: Some(known), last_minute })
    }

    /// Forgets which executions have rows: those of a run come once. They would be kept for as long
    /// as it lasts.
    pub fn forget(&mut self) {
        self.known = None;
    }

    /// Appends the row of an execution; false when it already has one.
    ///
    /// # Errors
    /// What the system says.
    pub fn fill(&mut self, booked: &Booked, context: &FillContext) -> Result<bool, Refused> {
        if self.known.as_mut().is_some_and(|known| !known.insert(booked.trade_id)) {
            return Ok(false);
        }
        let rules = &context.rules;
        let mut row = RowText::new(&self.labels, booked.ts);
        row.text(booked.side.to_string());
        row.text(grid_text(rules.tick, booked.price.0));
        row.text(grid_text(rules.lot, booked.lots.0));
        row.text(e8_text(rules.notional(booked.price, booked.lots).0));
        row.text(e8_text(booked.fee.0));
        row.text(booked.order_id.to_string());
        row.text(booked.trade_id.to_string());
        row.text(booked.state.text());
        row.text(booked.regime.text());
        row.optional((booked.mid_x2 != 0).then(|| half_ticks(rules, booked.mid_x2)));
        row.text(e8_text(booked.spread.0));
        row.text(e8_text(booked.drift.0));
        row.text(context.fee_source.text());
        row.text(if booked.maker { "true" } else { "false" });
        row.text(e8_text(booked.realized.0));
        row.text(client_text(&self.labels.instance, booked.client));
        row.optional(context.latency_ns.map(micros));
        self.fills.append(row)?;
        Ok(true)
    }

    /// Appends the row of a UTC minute, taken at its turn, and before it rows without figures for
    /// minutes that have none; false when the minute has a row already.
    ///
    /// # Errors
    /// What the system says.
    pub fn minute(
        &mut self,
        figures: &Row,
        rules: &Instrument,
        host: &HostColumns,
    ) -> Result<bool, Refused> {
        let minute = UnixNanos(figures.value(Key::ts)).minute();
        if minute <= self.last_minute {
            return Ok(false);
        }
        self.fill_gaps(minute - 1, host)?;
        self.minutes.append(minute_row(&self.labels, figures, rules, host))?;
        self.last_minute = minute;
        Ok(true)
    }

    /// Appends rows `no_data` for every minute up to `now` that has none, once the engine is late
    /// by [`LATE_NS`]. Gives how many.
    ///
    /// # Errors
    /// What the system says.
    pub fn late(&mut self, host: &HostColumns, now: UnixNanos) -> Result<u32, Refused> {
        self.fill_gaps(UnixNanos(now.0.saturating_sub(LATE_NS)).minute(), host)
    }

    /// Appends the row of a day that is over.
    ///
    /// # Errors
    /// What the system says.
    pub fn day(&mut self, day: &Day, context: &DayContext, now: UnixNanos) -> Result<(), Refused> {
        let net = Quote(day.realized.0 - day.fees.0 - day.funding.0);
        let pnl = context.equity_now - day.equity_open;
        let mut row = RowText::new(&self.labels, now);
        row.text(context.state.text());
        row.text(e8_text(day.equity_open.0));
        row.text(e8_text(context.equity_now.0));
        row.text(e8_text(day.equity_peak.0));
        row.text(e8_text(pnl.0));
        row.optional(pnl.share_of(day.equity_open).map(|share| e8_text(share.0)));
        row.text(e8_text(context.drawdown.0));
        row.optional(day.traded.share_of(day.equity_open).map(|share| e8_text(share.0)));
        row.text(day.fills.to_string());
        row.text(e8_text(day.fees.0));
        row.text(e8_text(day.funding.0));
        row.text(e8_text(day.realized.0));
        row.text(e8_text(net.0));
        row.text(context.ops_events.to_string());
        self.days.append(row)
    }

    /// Makes every row durable.
    ///
    /// # Errors
    /// What the system says.
    pub fn sync(&mut self) -> Result<(), Refused> {
        self.fills.sync()?;
        self.minutes.sync()?;
        self.days.sync()
    }

    fn fill_gaps(&mut self, until: i64, host: &HostColumns) -> Result<u32, Refused> {
        let mut made = 0;
        while self.last_minute < until && made < GAP_ROWS_MAX {
            self.last_minute += 1;
            self.minutes.append(no_data_row(&self.labels, self.last_minute, host))?;
            made += 1;
        }
        Ok(made)
    }
}

/// Reads a venue's clock speed up: one call fills at most a week.
const GAP_ROWS_MAX: u32 = 7 * 24 * 60;

/// How late the engine's row of a minute may be before a row without figures takes its place.
pub const LATE_NS: i64 = 5_000_000_000;

fn minute_row(labels: &Labels, figures: &Row, rules: &Instrument, host: &HostColumns) -> RowText {
    let value = |key: Key| figures.value(key);
    let at = UnixNanos(UnixNanos(value(Key::ts)).minute() * UnixNanos::MINUTE);
    let mut row = RowText::new(labels, at);
    for column in &MINUTES[LABELS.len()..MINUTES.len() - HOST.len()] {
        row.optional(minute_column(column, &value, rules));
    }
    host_columns(&mut row, host);
    row
}

/// The text of a column of `minute.csv`; `None` where the engine has no figure for it.
fn minute_column(column: &str, value: &impl Fn(Key) -> i64, rules: &Instrument) -> Option<String> {
    let text = match column {
        "state" => word(GuardState::ALL.get(place(value(Key::state))?)?.text()),
        "regime" => word(Regime::ALL.get(place(value(Key::regime))?)?.text()),
        "mid" => return (value(Key::mid) != 0).then(|| half_ticks(rules, value(Key::mid))),
        "base_balance" | "position_base" => grid_text(rules.lot, value(Key::position_base)),
        "best_bid_size" => grid_text(rules.lot, value(Key::best_bid_size)),
        "best_ask_size" => grid_text(rules.lot, value(Key::best_ask_size)),
        "market_spread_bps" => scaled_text(value(Key::market_spread_pct), 4),
        "risk_reasons" => {
            let reasons = Reasons(value(Key::soft_reasons).cast_unsigned())
                .union(Reasons(value(Key::hard_reasons).cast_unsigned()));
            reasons.iter().map(|reason| reason.text()).collect::<Vec<_>>().join("|")
        }
        "fee_source" => word(FeeSource::ALL.get(place(value(Key::fee_source))?)?.text()),
        "margin_ratio" if value(Key::margin_ratio) < 0 => return None,
        "soft_pause_edge" | "order_book_stale" => {
            word(if value(key_of(column)?) != 0 { "true" } else { "false" })
        }
        "cancel_per_min" | "orders_active" | "fills_count_today" | "ws_reconnect_count" => {
            value(key_of(column)?).to_string()
        }
        _ => e8_text(value(key_of(column)?)),
    };
    Some(text)
}

fn key_of(column: &str) -> Option<Key> {
    Key::ALL.iter().copied().find(|key| key.name() == column)
}

fn place(value: i64) -> Option<usize> {
    usize::try_from(value).ok()
}

fn word(text: &str) -> String {
    text.to_owned()
}

fn no_data_row(labels: &Labels, minute: i64, host: &HostColumns) -> RowText {
    let mut row = RowText::new(labels, UnixNanos(minute * UnixNanos::MINUTE));
    row.text("no_data");
    for _ in LABELS.len() + 1..MINUTES.len() - HOST.len() {
        row.optional(None);
    }
    host_columns(&mut row, host);
    row
}

fn host_columns(row: &mut RowText, host: &HostColumns) {
    row.text(host.rss_kib.to_string());
    row.text(host.open_fds.to_string());
    row.optional(host.rate_headroom.map(|share| e8_text(share.0)));
    row.optional(host.wire_to_order.p50_ns.map(micros));
    row.optional(host.wire_to_order.p99_ns.map(micros));
    row.optional(host.wire_to_order.max_ns.map(micros));
    row.optional(host.engine_cycle_max_ns.map(micros));
}

/// A price of half ticks as decimal text.
pub fn half_ticks(rules: &Instrument, halves: i64) -> String {
    let scale = rules.tick.scale + 1;
    let units = i128::from(halves) * i128::from(rules.tick.step) * 5;
    match i64::try_from(units) {
        Ok(units) => trimmed(grid_text(Grid { step: 1, scale }, units)),
        Err(_) => String::new(),
    }
}

/// A count of 1e-8 as decimal text, its point moved `places` to the right.
fn scaled_text(units: i64, places: u8) -> String {
    trimmed(grid_text(Grid { step: 1, scale: 8 - places }, units))
}

/// Nanoseconds as microseconds with three decimals.
pub fn micros(nanos: u64) -> String {
    trimmed(grid_text(Grid { step: 1, scale: 3 }, i64::try_from(nanos).unwrap_or(i64::MAX)))
}

/// A client id as the venue has it; empty for an order of somebody else.
fn client_text(instance: &Instance, client: ClientId) -> String {
    let mut text = Vec::new();
    if client.is_own() && client.number <= NUMBER_MAX {
        instance.write(client, &mut text);
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// One row in the making.
struct RowText(Vec<String>);

impl RowText {
    fn new(labels: &Labels, at: UnixNanos) -> Self {
        let mut row = Self(Vec::with_capacity(MINUTES.len()));
        row.text(utc_text(at));
        row.text(labels.variant.as_str());
        row.text(labels.exchange.as_str());
        row.text(labels.pair.as_str());
        row
    }

    fn text(&mut self, text: impl Into<String>) {
        self.0.push(harmless(text.into()));
    }

    fn optional(&mut self, text: Option<String>) {
        self.text(text.unwrap_or_default());
    }
}

/// The text with nothing in it that a spreadsheet would run or a terminal obey. Numbers stay as
/// they are.
pub fn harmless(text: String) -> String {
    let runs = text.starts_with(['=', '+', '-', '@'])
        && keel_core::decimal::Decimal::parse(text.as_bytes()).is_err();
    if !runs && !text.chars().any(char::is_control) {
        return text;
    }
    let clean = text.chars().map(|c| if c.is_control() { '?' } else { c });
    if runs { std::iter::once('\'').chain(clean).collect() } else { clean.collect() }
}

/// One file: a header and whole rows.
#[derive(Debug)]
struct Table {
    path: PathBuf,
    file: Box<dyn DiskFile>,
    columns: usize,
    /// Length of what is whole.
    bytes: u64,
    unsynced: bool,
}

impl Table {
    /// Opens the file, shows every row of it to `seen`, and removes a row that was cut off.
    fn open(
        fs: &dyn FileSystem,
        path: PathBuf,
        header: &[&str],
        now: UnixNanos,
        mut seen: impl FnMut(&[&str]),
    ) -> Result<Self, Refused> {
        let line = format!("{}\n", header.join(","));
        let there = refused("read", &path, fs.entry(&path))? != Entry::Nothing;
        if there && !refused("read", &path, begins_with(fs, &path, &line))? {
            let aside = legacy_path(fs, &path, now);
            refused("rename", &path, fs.rename(&path, &aside))?;
        }
        let mut file = refused("open", &path, fs.open(&path, Opening::Appending))?;
        let mut whole = refused("read", &path, read_rows(fs, &path, &mut seen))?;
        refused("truncate", &path, file.set_len(whole))?;
        if whole == 0 {
            refused("write", &path, file.write(line.as_bytes()))?;
            whole = line.len() as u64;
        }
        let mut table = Self { path, file, columns: header.len(), bytes: whole, unsynced: true };
        table.sync()?;
        refused("sync the directory of", &table.path, fs.sync_parent(&table.path))?;
        Ok(table)
    }

    fn append(&mut self, row: RowText) -> Result<(), Refused> {
        assert_eq!(row.0.len(), self.columns, "a row has its header's columns");
        let mut writer = csv::Writer::from_writer(Vec::with_capacity(512));
        let row = writer
            .write_record(&row.0)
            .map_err(io::Error::from)
            .and_then(|()| writer.into_inner().map_err(|error| error.into_error()));
        let row = refused("write", &self.path, row)?;
        self.unsynced = true;
        let written = self.file.write(&row);
        if written.is_err() {
            // Half a row would spoil the next one too; where it stays, the next start removes it.
            let _ = self.file.set_len(self.bytes);
        }
        refused("write", &self.path, written)?;
        self.bytes += row.len() as u64;
        Ok(())
    }

    fn sync(&mut self) -> Result<(), Refused> {
        if std::mem::take(&mut self.unsynced) {
            refused("sync", &self.path, self.file.sync())?;
        }
        Ok(())
    }
}

fn begins_with(fs: &dyn FileSystem, path: &Path, line: &str) -> io::Result<bool> {
    let mut start = Vec::with_capacity(line.len());
    fs.reader(path)?.take(line.len() as u64).read_to_end(&mut start)?;
    // A header that a crash cut off is no other header, and zeros were never written.
    let written = start.iter().position(|&byte| byte == 0).unwrap_or(start.len());
    Ok(line.as_bytes().starts_with(&start[..written]))
}

/// Shows every whole row but the header, and gives the length of what is whole.
///
/// Rows end at the first zero: a crash leaves zeros where something was written and not synced, and
/// nothing that follows had been synced either.
fn read_rows(fs: &dyn FileSystem, path: &Path, seen: &mut impl FnMut(&[&str])) -> io::Result<u64> {
    let mut reader = BufReader::new(fs.reader(path)?);
    let mut whole = 0;
    let mut line = Vec::new();
    let mut first = true;
    loop {
        line.clear();
        let length = reader.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line)?;
        if line.last() != Some(&b'\n') || line.contains(&0) {
            return Ok(whole);
        }
        whole += length as u64;
        if let (false, Ok(text)) = (first, std::str::from_utf8(&line)) {
            // No column that is looked for is ever quoted.
            seen(&text.trim_end().split(',').collect::<Vec<_>>());
        }
        first = false;
    }
}

/// `<stem>.legacy_<UTC stamp>.csv`, with a number where that is taken.
fn legacy_path(fs: &dyn FileSystem, path: &Path, now: UnixNanos) -> PathBuf {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let stamp: String = utc_text(now).chars().filter(|c| c.is_ascii_alphanumeric()).collect();
    let plain = path.with_file_name(format!("{stem}.legacy_{stamp}.csv"));
    let numbered = (2..).map(|n| path.with_file_name(format!("{stem}.legacy_{stamp}_{n}.csv")));
    let is_free = |name: &PathBuf| matches!(fs.entry(name), Ok(Entry::Nothing));
    std::iter::once(plain).chain(numbered).find(is_free).expect("a name is free")
}

const LABELS: &[&str] = &["ts", "bot_variant", "exchange", "trading_pair"];

/// Columns of `fills.csv`.
pub const FILLS: &[&str] = &[
    "ts",
    "bot_variant",
    "exchange",
    "trading_pair",
    "side",
    "price",
    "amount_base",
    "notional_quote",
    "fee_quote",
    "order_id",
    "exchange_trade_id",
    "state",
    "regime",
    "mid_ref",
    "expected_spread_pct",
    "adverse_drift_30s",
    "fee_source",
    "is_maker",
    "realized_pnl_quote",
    "client_order_id",
    "latency_us",
];
const FILL_TRADE_ID: usize = 10;

/// Columns of `minute.csv`; the last ones are the host's.
pub const MINUTES: &[&str] = &[
    "ts",
    "bot_variant",
    "exchange",
    "trading_pair",
    "state",
    "regime",
    "mid",
    "equity_quote",
    "base_pct",
    "target_base_pct",
    "spread_pct",
    "spread_floor_pct",
    "net_edge_pct",
    "skew",
    "adverse_drift_30s",
    "soft_pause_edge",
    "base_balance",
    "quote_balance",
    "market_spread_pct",
    "market_spread_bps",
    "best_bid_size",
    "best_ask_size",
    "turnover_today_x",
    "cancel_per_min",
    "orders_active",
    "fills_count_today",
    "fees_paid_today_quote",
    "daily_loss_pct",
    "drawdown_pct",
    "risk_reasons",
    "fee_source",
    "maker_fee_pct",
    "taker_fee_pct",
    "realized_pnl_today_quote",
    "position_base",
    "avg_entry_price",
    "funding_rate",
    "funding_cost_today_quote",
    "margin_ratio",
    "position_drift_pct",
    "ws_reconnect_count",
    "order_book_stale",
    "rss_kib",
    "open_fds",
    "rate_headroom_pct",
    "wire_to_order_p50_us",
    "wire_to_order_p99_us",
    "wire_to_order_max_us",
    "engine_cycle_max_us",
];
const HOST: &[&str] = &[
    "rss_kib",
    "open_fds",
    "rate_headroom_pct",
    "wire_to_order_p50_us",
    "wire_to_order_p99_us",
    "wire_to_order_max_us",
    "engine_cycle_max_us",
];

/// Columns of `daily.csv`.
pub const DAYS: &[&str] = &[
    "ts",
    "bot_variant",
    "exchange",
    "trading_pair",
    "state",
    "equity_open_quote",
    "equity_now_quote",
    "equity_peak_quote",
    "pnl_quote",
    "pnl_pct",
    "drawdown_pct",
    "turnover_x",
    "fills_count",
    "fees_paid_today_quote",
    "funding_cost_today_quote",
    "realized_pnl_today_quote",
    "net_realized_pnl_today_quote",
    "ops_events",
];

/// Longer lines are none of ours.
const LINE_BYTES_MAX: u64 = 64 << 10;

const _: () = assert!(FILLS.len() == 21);

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::disk::OsFiles;
    use keel_core::instrument::{InstrumentId, btcusdt};
    use keel_core::units::{Lots, Side, Ticks};

    fn labels() -> Labels {
        Labels {
            variant: "keel".into(),
            exchange: "bitget".into(),
            pair: "BTCUSDT".into(),
            instance: Instance::parse("main").expect("a name"),
        }
    }

    fn booked(trade_id: u64) -> Booked {
        Booked {
            instrument: InstrumentId(0),
            client: ClientId { epoch: 1, number: 37 },
            order_id: 1_001,
            trade_id,
            side: Side::Sell,
            maker: true,
            price: Ticks(772_001),
            lots: Lots(12),
            fee: Quote(-463_201),
            realized: Quote(150_000_000),
            mid_x2: 1_544_001,
            spread: Rate(6_000),
            drift: Rate(-10),
            regime: Regime::Up,
            state: GuardState::Running,
            ts: UnixNanos(1_700_000_000_123_000_000),
        }
    }

    fn context() -> FillContext {
        FillContext { rules: btcusdt(), fee_source: FeeSource::Venue, latency_ns: Some(12_345) }
    }

    const NOON: i64 = 1_700_000_040_000_000_000;

    fn open(dir: &Path, now: i64) -> Tables {
        Tables::open(&OsFiles, dir, labels(), UnixNanos(now)).expect("tables")
    }

    fn rows(dir: &Path, name: &str) -> Vec<String> {
        let text = fs::read_to_string(dir.join(name)).expect("read");
        text.lines().skip(1).map(str::to_owned).collect()
    }

    fn at_minute(minute: i64) -> Row {
        let mut row = Row::EMPTY;
        row.set(Key::ts, NOON + minute * UnixNanos::MINUTE + 3_000_000);
        row.set(Key::mid, 1_544_001);
        row.set(Key::margin_ratio, -1);
        row.set(Key::soft_reasons, 0b11);
        row.set(Key::market_spread_pct, 12_345);
        row
    }

    #[test]
    fn a_fill_is_one_row_of_exact_text() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut tables = open(dir.path(), NOON);
        assert!(tables.fill(&booked(55), &context()).expect("written"));
        assert_eq!(
            rows(dir.path(), "fills.csv"),
            ["2023-11-14T22:13:20.123Z,keel,bitget,BTCUSDT,sell,77200.1,0.0012,92.64012,\
              -0.00463201,1001,55,RUNNING,up,77200.05,0.00006,-0.0000001,api:exchange:bitget,\
              true,1.5,keel-main-1-11,12.345"]
        );
    }

    #[test]
    fn a_fill_has_one_row_across_restarts_and_repeats() {
        let dir = tempfile::tempdir().expect("a directory");
        for _ in 0..3 {
            let mut tables = open(dir.path(), NOON);
            for trade in [7, 8, 7] {
                tables.fill(&booked(trade), &context()).expect("written");
            }
            tables.sync().expect("synced");
        }
        assert_eq!(rows(dir.path(), "fills.csv").len(), 2);
    }

    #[test]
    fn a_row_that_a_crash_cut_off_is_removed_and_written_again() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut tables = open(dir.path(), NOON);
        tables.fill(&booked(7), &context()).expect("written");
        tables.fill(&booked(8), &context()).expect("written");
        let path = dir.path().join("fills.csv");
        let whole = fs::read(&path).expect("read");
        for length in 0..whole.len() {
            fs::write(&path, &whole[..length]).expect("written");
            let mut tables = open(dir.path(), NOON);
            tables.fill(&booked(7), &context()).expect("written");
            tables.fill(&booked(8), &context()).expect("written");
            assert_eq!(fs::read(&path).expect("read"), whole, "cut at {length}");
        }
        assert_eq!(fs::read_dir(dir.path()).expect("listed").count(), 3, "nothing was moved aside");
    }

    #[test]
    fn a_minute_has_one_row_and_none_is_missing() {
        let dir = tempfile::tempdir().expect("a directory");
        let host = HostColumns::default();
        let mut tables = open(dir.path(), NOON + 1);
        assert!(tables.minute(&at_minute(1), &btcusdt(), &host).expect("written"));
        assert!(!tables.minute(&at_minute(1), &btcusdt(), &host).expect("a repeat"));
        // Minutes 2 and 3 never came; 4 did, and 5 is late.
        assert!(tables.minute(&at_minute(4), &btcusdt(), &host).expect("written"));
        let in_time = UnixNanos(NOON + 5 * UnixNanos::MINUTE + LATE_NS - 1);
        assert_eq!(tables.late(&host, in_time).expect("written"), 0);
        let late = UnixNanos(NOON + 5 * UnixNanos::MINUTE + LATE_NS);
        assert_eq!(tables.late(&host, late).expect("written"), 1);
        assert!(!tables.minute(&at_minute(5), &btcusdt(), &host).expect("too late"));
        drop(tables);
        // A restart in the same minute repeats nothing and fills nothing of the time that it was
        // down.
        let mut tables = open(dir.path(), NOON + 9 * UnixNanos::MINUTE + 1);
        assert!(tables.minute(&at_minute(10), &btcusdt(), &host).expect("written"));
        let states: Vec<_> = rows(dir.path(), "minute.csv")
            .iter()
            .map(|row| {
                let cells: Vec<_> = row.split(',').collect();
                assert_eq!(cells.len(), MINUTES.len());
                (cells[0][14..16].to_owned(), cells[4].to_owned())
            })
            .collect();
        let expected = [
            ("15", "RUNNING"),
            ("16", "no_data"),
            ("17", "no_data"),
            ("18", "RUNNING"),
            ("19", "no_data"),
            ("24", "RUNNING"),
        ];
        assert_eq!(states, expected.map(|(m, s)| (m.to_owned(), s.to_owned())));
    }

    #[test]
    fn a_minute_s_columns_are_in_the_words_and_units_of_operators() {
        let dir = tempfile::tempdir().expect("a directory");
        let host = HostColumns {
            rss_kib: 9,
            open_fds: 8,
            rate_headroom: Some(Rate(75_000_000)),
            wire_to_order: Summary { n: 3, p50_ns: Some(1_500), p99_ns: None, max_ns: Some(2_000) },
            engine_cycle_max_ns: None,
        };
        open(dir.path(), NOON).minute(&at_minute(1), &btcusdt(), &host).expect("written");
        let row = rows(dir.path(), "minute.csv").remove(0);
        let cells: Vec<_> = row.split(',').collect();
        let cell = |name: &str| cells[MINUTES.iter().position(|c| *c == name).expect("a column")];
        assert_eq!(cell("mid"), "77200.05");
        assert_eq!(cell("margin_ratio"), "", "unknown is empty, not minus one");
        assert_eq!(cell("risk_reasons"), "starting|book_stale");
        assert_eq!(
            (cell("market_spread_pct"), cell("market_spread_bps")),
            ("0.00012345", "1.2345")
        );
        assert_eq!((cell("rate_headroom_pct"), cell("wire_to_order_p50_us")), ("0.75", "1.5"));
        assert_eq!((cell("wire_to_order_p99_us"), cell("engine_cycle_max_us")), ("", ""));
        assert_eq!(cell("order_book_stale"), "false");
    }

    #[test]
    fn every_column_of_a_minute_has_a_figure() {
        let mut row = Row::EMPTY;
        row.set(Key::mid, 2);
        let value = |key: Key| row.value(key);
        for column in &MINUTES[LABELS.len()..MINUTES.len() - HOST.len()] {
            assert!(minute_column(column, &value, &btcusdt()).is_some(), "{column}");
        }
        assert!(MINUTES.ends_with(HOST) && MINUTES.starts_with(LABELS));
    }

    #[test]
    fn a_file_with_another_header_is_moved_aside_whole() {
        let dir = tempfile::tempdir().expect("a directory");
        for old in ["ts,old\n1,2\n", "something else"] {
            fs::write(dir.path().join("fills.csv"), old).expect("written");
            drop(open(dir.path(), NOON));
        }
        let mut aside: Vec<_> = fs::read_dir(dir.path())
            .expect("listed")
            .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
            .filter(|name| name.contains("legacy"))
            .collect();
        aside.sort();
        let stamp = "20231114T221400000Z";
        assert_eq!(
            aside,
            [format!("fills.legacy_{stamp}.csv"), format!("fills.legacy_{stamp}_2.csv")]
        );
        let kept = fs::read_to_string(dir.path().join(&aside[0])).expect("read");
        assert_eq!(kept, "ts,old\n1,2\n");
    }

    #[test]
    fn a_day_is_one_row_with_its_net() {
        let dir = tempfile::tempdir().expect("a directory");
        let day = Day {
            day: 1,
            equity_open: Quote::usdt(10_000),
            equity_peak: Quote::usdt(10_100),
            high_water: Quote::usdt(10_100),
            traded: Quote::usdt(5_000),
            realized: Quote::usdt(10),
            fees: Quote::usdt(2),
            funding: Quote::usdt(-1),
            fills: 4,
            cancel_episodes: 0,
            creates: 0,
            rolled: false,
            week: [Quote::ZERO; 6],
            over_rest: false,
        };
        let context = DayContext {
            state: GuardState::Running,
            equity_now: Quote::usdt(10_050),
            drawdown: Rate(495_050),
            ops_events: 3,
        };
        open(dir.path(), NOON).day(&day, &context, UnixNanos(NOON)).expect("written");
        assert_eq!(
            rows(dir.path(), "daily.csv"),
            ["2023-11-14T22:14:00.000Z,keel,bitget,BTCUSDT,RUNNING,10000,10050,10100,50,0.005,\
              0.0049505,0.5,4,2,-1,10,9,3"]
        );
    }

    #[test]
    fn text_cannot_run_in_a_spreadsheet_or_command_a_terminal() {
        for (text, safe) in [
            ("=1+1", "'=1+1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("-cmd", "'-cmd"),
            ("-0.5", "-0.5"),
            ("\x1b[2J", "?[2J"),
            ("plain", "plain"),
            ("+\ttab", "'+?tab"),
        ] {
            assert_eq!(harmless(text.into()), safe);
        }
    }
}
