//! What the minutes of a soak say.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use serde_json::{Value, json};

use super::trend::Trend;

/// What was found, claim by claim.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// In the order in which they were looked at.
    pub findings: Vec<Finding>,
    /// Six hours each.
    pub periods: Vec<Period>,
    /// Resident memory in KiB a minute, with product and venue in one process.
    pub memory: Option<Trend>,
    /// Things that went wrong on purpose.
    pub faults: u64,
}

/// A claim, whether it holds, and what was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The claim.
    pub claim: String,
    /// Whether it holds.
    pub holds: bool,
    /// What was seen.
    pub seen: String,
}

/// Six hours of an instrument.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Period {
    /// Which instrument.
    pub pair: String,
    /// The first minute's time.
    pub from: String,
    /// Rows by state.
    pub states: BTreeMap<String, u64>,
    /// Least and most resident memory, in KiB.
    pub rss_kib: [u64; 2],
    /// Most open descriptors.
    pub open_fds: u64,
    /// Most open orders.
    pub orders_active: u64,
    /// Connections made anew.
    pub reconnects: u64,
    /// Equity at its end, in USDT.
    pub equity: String,
}

/// A row of `minute.csv`, as far as it is judged.
#[derive(Clone, Debug, Default)]
struct Minute {
    ts: String,
    minute: i64,
    state: String,
    rss_kib: u64,
    open_fds: u64,
    orders_active: u64,
    reconnects: u64,
    drift: f64,
    headroom: Option<f64>,
    equity: String,
}

/// Largest confirmed drift of a position, as a share of it.
const DRIFT_MAX: f64 = 0.01;
/// Least headroom of the venue's rates.
const HEADROOM_MIN: f64 = 0.5;
const PERIOD: usize = 360;

impl Verdict {
    /// True when every claim holds.
    pub fn passes(&self) -> bool {
        !self.findings.is_empty() && self.findings.iter().all(|finding| finding.holds)
    }

    /// Adds a claim.
    pub fn finds(&mut self, claim: impl Into<String>, holds: bool, seen: impl Into<String>) {
        self.findings.push(Finding { claim: claim.into(), holds, seen: seen.into() });
    }

    /// Judges an instrument's tables over the minutes that must have a row.
    ///
    /// # Errors
    /// When a table cannot be read, or lacks a column.
    pub fn take_tables(
        &mut self,
        pair: &str,
        dir: &Path,
        expected: Range<i64>,
        orders_max: u64,
    ) -> Result<(), String> {
        let all = read(&dir.join("minute.csv"), Minute::of)?;
        let rows: Vec<Minute> =
            all.into_iter().filter(|row| expected.contains(&row.minute)).collect();
        let days = read(&dir.join("daily.csv"), |cell| cell("ts").map(str::to_owned))?;
        self.judge_rows(pair, &rows, &expected);
        let midnights = expected.end.div_euclid(DAY) - expected.start.div_euclid(DAY);
        self.finds(
            format!("{pair}: a day's row at each midnight"),
            days.len() as i64 == midnights,
            format!("{} rows, {midnights} midnights", days.len()),
        );
        self.judge_figures(pair, &rows, orders_max);
        let memory: Vec<f64> = rows.iter().map(|row| row.rss_kib as f64).collect();
        self.memory = Trend::of(&memory);
        self.periods.extend(rows.chunks(PERIOD).map(|rows| Period::of(pair, rows)));
        Ok(())
    }

    fn judge_rows(&mut self, pair: &str, rows: &[Minute], expected: &Range<i64>) {
        let wanted = expected.end - expected.start;
        self.finds(
            format!("{pair}: a row for every minute"),
            rows.len() as i64 == wanted,
            format!("{} rows of {wanted}", rows.len()),
        );
        let gaps = rows.windows(2).filter(|pair| pair[1].minute != pair[0].minute + 1).count();
        self.finds(
            format!("{pair}: no gap, and no minute twice"),
            gaps == 0,
            format!("{gaps} of {} steps are not one minute", rows.len().saturating_sub(1)),
        );
        let blind = rows.iter().filter(|row| row.state == "no_data").count();
        let quoting = rows.iter().filter(|row| row.state == "RUNNING").count();
        self.finds(
            format!("{pair}: it trades most of the time"),
            quoting * 10 >= rows.len() * 9 && !rows.is_empty(),
            format!("{quoting} of {} rows RUNNING, {blind} without data", rows.len()),
        );
    }

    fn judge_figures(&mut self, pair: &str, rows: &[Minute], orders_max: u64) {
        let most = rows.iter().map(|row| row.orders_active).max().unwrap_or(0);
        self.finds(
            format!("{pair}: never more open orders than max_active_executors"),
            (1..=orders_max).contains(&most),
            format!("{most} at most, limit {orders_max}"),
        );
        let drift = rows.iter().map(|row| row.drift).fold(0.0, f64::max);
        self.finds(
            format!("{pair}: position_drift_pct stays below 1 %"),
            drift < DRIFT_MAX,
            format!("{drift} at most"),
        );
        let headroom = rows.iter().filter_map(|row| row.headroom).reduce(f64::min);
        self.finds(
            format!("{pair}: rate_headroom_pct stays above 50 %"),
            headroom.is_some_and(|least| least > HEADROOM_MIN),
            headroom.map_or_else(|| "never told".to_owned(), |least| format!("{least} at least")),
        );
    }

    /// Everything, for `latest.json`.
    pub fn json(&self) -> Value {
        json!({
            "verdict": if self.passes() { "PASS" } else { "FAIL" },
            "findings": self.findings.iter().map(|finding| json!({
                "claim": finding.claim, "holds": finding.holds, "seen": finding.seen,
            })).collect::<Vec<_>>(),
            "faults": self.faults,
            "rss_kib_per_minute": self.memory.map(|trend| json!({
                "slope": trend.slope, "low": trend.low, "high": trend.high,
            })),
            "six_hours": self.periods.iter().map(Period::json).collect::<Vec<_>>(),
        })
    }
}

impl Period {
    fn of(pair: &str, rows: &[Minute]) -> Self {
        let mut period = Self { pair: pair.to_owned(), ..Self::default() };
        let most = |figure: fn(&Minute) -> u64| rows.iter().map(figure).max().unwrap_or(0);
        for row in rows {
            *period.states.entry(row.state.clone()).or_default() += 1;
        }
        period.from = rows.first().map(|row| row.ts.clone()).unwrap_or_default();
        let known = rows.iter().map(|row| row.rss_kib).filter(|&kib| kib > 0);
        period.rss_kib = [known.min().unwrap_or(0), most(|row| row.rss_kib)];
        period.open_fds = most(|row| row.open_fds);
        period.orders_active = most(|row| row.orders_active);
        // It counts from zero again after a restart.
        period.reconnects = rows
            .windows(2)
            .map(|pair| match pair[1].reconnects.checked_sub(pair[0].reconnects) {
                Some(more) => more,
                None => pair[1].reconnects,
            })
            .sum();
        let equity = rows.iter().rev().map(|row| &row.equity).find(|equity| !equity.is_empty());
        period.equity = equity.cloned().unwrap_or_default();
        period
    }

    fn json(&self) -> Value {
        json!({
            "pair": self.pair, "from": self.from, "states": self.states,
            "rss_kib_min": self.rss_kib[0], "rss_kib_max": self.rss_kib[1],
            "open_fds_max": self.open_fds, "orders_active_max": self.orders_active,
            "ws_reconnects": self.reconnects, "equity_quote": self.equity,
        })
    }
}

impl Minute {
    fn of<'r>(cell: &dyn Fn(&str) -> Option<&'r str>) -> Option<Self> {
        let ts = cell("ts")?;
        let count = |name: &str| {
            let text = cell(name)?;
            if text.is_empty() { Some(0) } else { text.parse::<u64>().ok() }
        };
        // Empty is not known; anything else is a number or spoils the row.
        let share = |name: &str| {
            let text = cell(name)?;
            if text.is_empty() { Some(None) } else { text.parse::<f64>().ok().map(Some) }
        };
        Some(Self {
            ts: ts.to_owned(),
            minute: ts.parse::<jiff::Timestamp>().ok()?.as_second().div_euclid(60),
            state: cell("state")?.to_owned(),
            rss_kib: count("rss_kib")?,
            open_fds: count("open_fds")?,
            orders_active: count("orders_active")?,
            reconnects: count("ws_reconnect_count")?,
            drift: share("position_drift_pct")?.unwrap_or(0.0),
            headroom: share("rate_headroom_pct")?,
            equity: cell("equity_quote")?.to_owned(),
        })
    }
}

/// Minutes in a day.
const DAY: i64 = 1_440;

/// Reads a table's rows; each is asked for its cells by their column's name.
fn read<T>(
    path: &Path,
    of: impl for<'r> Fn(&dyn Fn(&str) -> Option<&'r str>) -> Option<T>,
) -> Result<Vec<T>, String> {
    let told = |error: csv::Error| format!("{}: {error}", path.display());
    let mut reader = csv::Reader::from_path(path).map_err(told)?;
    let header = reader.headers().map_err(told)?.clone();
    let mut rows = Vec::new();
    for (place, record) in reader.records().enumerate() {
        let record = record.map_err(told)?;
        let cell = |name: &str| {
            let column = header.iter().position(|column| column == name)?;
            record.get(column)
        };
        let row = of(&cell).ok_or_else(|| {
            format!("{}: row {} lacks a column or has none of its kind", path.display(), place + 2)
        })?;
        rows.push(row);
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minutes(from: i64, count: i64) -> Vec<Minute> {
        let minute = |n: i64| Minute {
            ts: n.to_string(),
            minute: n,
            state: "RUNNING".to_owned(),
            rss_kib: 1_000,
            open_fds: 9,
            orders_active: 2,
            reconnects: 1,
            drift: 0.0,
            headroom: Some(0.9),
            equity: "10000".to_owned(),
        };
        (from..from + count).map(minute).collect()
    }

    fn judged(rows: &[Minute]) -> Verdict {
        let mut verdict = Verdict::default();
        verdict.judge_rows("BTCUSDT", rows, &(100..200));
        verdict.judge_figures("BTCUSDT", rows, 8);
        verdict
    }

    #[test]
    fn whole_minutes_pass_and_each_flaw_fails() {
        assert!(judged(&minutes(100, 100)).passes());
        let flaws: [fn(&mut Vec<Minute>); 7] = [
            |rows| drop(rows.remove(50)),
            |rows| rows[50].minute -= 1,
            |rows| rows.iter_mut().take(11).for_each(|row| row.state = "no_data".to_owned()),
            |rows| rows[50].orders_active = 9,
            |rows| rows.iter_mut().for_each(|row| row.orders_active = 0),
            |rows| rows[50].drift = 0.01,
            |rows| rows[50].headroom = Some(0.5),
        ];
        for (place, flaw) in flaws.into_iter().enumerate() {
            let mut rows = minutes(100, 100);
            flaw(&mut rows);
            assert!(!judged(&rows).passes(), "flaw {place}");
        }
        assert!(!Verdict::default().passes(), "nothing looked at");
    }

    #[test]
    fn reconnects_are_counted_over_a_restart() {
        let mut rows = minutes(0, 4);
        rows[0].reconnects = 5;
        rows[1].reconnects = 7;
        rows[2].reconnects = 1;
        assert_eq!(Period::of("BTCUSDT", &rows).reconnects, 3);
    }
}
