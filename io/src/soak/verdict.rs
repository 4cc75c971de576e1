//! What the minutes of a soak say.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use keel_core::units::Quote;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Value, json};

use super::funding::Settlements;
use super::trend::Trend;
use crate::cold::daily::e8_text;

/// What was found, claim by claim.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// In the order in which they were looked at.
    pub findings: Vec<Finding>,
    /// Six hours each.
    pub periods: Vec<Period>,
    /// Resident memory in KiB a minute: of the engine from outside, or, under virtual time, of
    /// product and venue together.
    pub memory: Option<Trend>,
    /// Things that went wrong on purpose.
    pub faults: u64,
    /// Each contract, and where the rows lie that it was judged by.
    pub tables: Vec<(String, PathBuf)>,
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

/// What is known of a soak beside its tables: of the wire, of the program's lives, of the venue's
/// account.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Lived {
    /// Requests that the venue refused for their rate.
    pub refused_for_rate: u64,
    /// Books frames that were lost on purpose.
    pub lost: u64,
    /// Those of them that nobody noticed.
    pub unnoticed: u64,
    /// Starts of the engine.
    pub starts: u64,
    /// Times it was killed on purpose.
    pub kills: u64,
    /// Stops for good, as the log tells them, and ends that nobody asked for.
    pub stops: Vec<String>,
    /// Settlements at which money was moved.
    pub fundings: u64,
    /// Instants of funding that have passed.
    pub instants: u64,
    /// Settlements that were due, by what was held at the venue as they came.
    pub settlements: Settlements,
    /// Funding at the venue.
    #[serde(with = "units")]
    pub funding_paid: Quote,
    /// Funding as the engine has booked it; `None` where no book covers the whole time.
    #[serde(with = "units_or_none")]
    pub funding_booked: Option<Quote>,
    /// The engine's balance at the end; `None` when it has told none.
    #[serde(with = "units_or_none")]
    pub balance: Option<Quote>,
    /// The venue's.
    #[serde(with = "units")]
    pub wallet: Quote,
    /// Things that went wrong on purpose.
    pub faults: u64,
}

/// Money in a record: its units of 1e-8 USDT.
mod units {
    use super::{Deserialize, Deserializer, Quote, Serializer};

    pub(super) fn serialize<S: Serializer>(money: &Quote, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_i64(money.0)
    }

    pub(super) fn deserialize<'d, D: Deserializer<'d>>(from: D) -> Result<Quote, D::Error> {
        i64::deserialize(from).map(Quote)
    }
}

mod units_or_none {
    use super::{Deserialize, Deserializer, Quote, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(
        money: &Option<Quote>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        money.map(|money| money.0).serialize(to)
    }

    pub(super) fn deserialize<'d, D: Deserializer<'d>>(from: D) -> Result<Option<Quote>, D::Error> {
        Ok(Option::<i64>::deserialize(from)?.map(Quote))
    }
}

/// A row of `minute.csv`, as far as it is judged.
#[derive(Clone, Debug, Default)]
pub(super) struct Minute {
    ts: String,
    pub(super) minute: i64,
    state: String,
    pub(super) rss_kib: u64,
    pub(super) open_fds: u64,
    orders_active: u64,
    reconnects: u64,
    drift: f64,
    headroom: Option<f64>,
    equity: String,
    fills_today: u64,
}

/// Largest confirmed drift of a position, as a share of it.
const DRIFT_MAX: f64 = 0.01;
/// Least headroom of the venue's rates.
const HEADROOM_MIN: f64 = 0.5;
const PERIOD: usize = 360;
impl Lived {
    /// Whether the engine's balance is the venue's, but for rounding.
    pub fn balances_agree(&self) -> bool {
        self.balance.is_some_and(|ours| (ours - self.wallet).0.abs() <= ROUNDING)
    }
}

/// The engine's balance may differ from the venue's by what rounding does, in 1e-8 USDT.
const ROUNDING: i64 = 100_000;
/// A day with fewer fills does not show that its counters began anew.
const FILLS_MIN: u64 = 20;

impl Verdict {
    /// True when every claim holds.
    pub fn passes(&self) -> bool {
        !self.findings.is_empty() && self.findings.iter().all(|finding| finding.holds)
    }

    /// Adds a claim.
    pub fn finds(&mut self, claim: impl Into<String>, holds: bool, seen: impl Into<String>) {
        self.findings.push(Finding { claim: claim.into(), holds, seen: seen.into() });
    }

    /// Judges what is known beside the tables.
    pub fn take_lived(&mut self, lived: &Lived) {
        self.faults = lived.faults;
        self.finds(
            "the venue refuses no request for its rate",
            lived.refused_for_rate == 0,
            format!("{} times HTTP 429", lived.refused_for_rate),
        );
        self.finds(
            "every lost books frame is noticed",
            lived.unnoticed == 0,
            format!("{} lost, {} not noticed", lived.lost, lived.unnoticed),
        );
        self.finds(
            "it starts once and after each kill",
            lived.starts == lived.kills + 1,
            format!("{} starts, {} kills", lived.starts, lived.kills),
        );
        self.finds(
            "nothing stops it for good",
            lived.stops.is_empty(),
            lived.stops.first().cloned().unwrap_or_else(|| "no HARD_STOP".to_owned()),
        );
        let text = |money: Quote| e8_text(money.0);
        let told = |money: Option<Quote>| money.map_or_else(|| "none".to_owned(), text);
        let [least, most] = lived.settlements.due();
        // A soak that held nothing at any of its instants has not shown it.
        let least = least.max(lived.instants.min(1));
        self.finds(
            "funding is settled where something is held at its instant, and booked exactly",
            (least..=most).contains(&lived.fundings)
                && lived.funding_booked.is_none_or(|booked| booked == lived.funding_paid),
            format!(
                "{} settlements, {least} to {most} due by what was held at {} instants; \
                 {} USDT at the venue, {} booked",
                lived.fundings,
                lived.instants,
                text(lived.funding_paid),
                told(lived.funding_booked),
            ),
        );
        self.finds(
            "the ledger's balance is the venue's wallet, but for rounding",
            lived.balances_agree(),
            format!("{} here, {} there", told(lived.balance), text(lived.wallet)),
        );
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
        self.tables.push((pair.to_owned(), dir.join(MINUTES)));
        let rows = minutes(dir, &expected)?;
        let days = read(&dir.join("daily.csv"), |cell| cell("ts").map(str::to_owned))?;
        self.judge_rows(pair, &rows, &expected);
        let midnights = expected.end.div_euclid(DAY) - expected.start.div_euclid(DAY);
        self.finds(
            format!("{pair}: a day's row at each midnight"),
            days.len() as i64 == midnights,
            format!("{} rows, {midnights} midnights", days.len()),
        );
        self.judge_rollover(pair, &rows);
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

    /// A day that saw fills is followed by one that has counted fewer in its first minutes.
    fn judge_rollover(&mut self, pair: &str, rows: &[Minute]) {
        let day = |row: &Minute| row.minute.div_euclid(DAY);
        let turns: Vec<[u64; 2]> = rows
            .windows(3)
            .filter(|three| day(&three[0]) != day(&three[1]) && three[0].fills_today >= FILLS_MIN)
            .map(|three| [three[0].fills_today, three[2].fills_today])
            .collect();
        if turns.is_empty() {
            return;
        }
        self.finds(
            format!("{pair}: the day's counters begin anew at midnight"),
            turns.iter().all(|[before, after]| after < before),
            format!("fills_count_today before and after: {turns:?}"),
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
    /// Whether it is the one that ends with `minute`.
    pub fn is_newest(&self, minute: i64) -> bool {
        let from = self.from.parse::<jiff::Timestamp>().map(|from| from.as_second() / 60);
        from.is_ok_and(|from| (0..=PERIOD as i64).contains(&(minute - from)))
    }

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
            fills_today: count("fills_count_today")?,
        })
    }
}

/// Minutes in a day.
const DAY: i64 = 1_440;

/// The rows of an instrument's minutes within a stretch.
///
/// # Errors
/// When the table cannot be read, or lacks a column.
pub(super) fn minutes(dir: &Path, expected: &Range<i64>) -> Result<Vec<Minute>, String> {
    let all = read(&dir.join(MINUTES), Minute::of)?;
    Ok(all.into_iter().filter(|row| expected.contains(&row.minute)).collect())
}

/// The table of minutes.
const MINUTES: &str = "minute.csv";

/// The figures of a table's column, row by row; not a number where the row knows none.
///
/// # Errors
/// When the table cannot be read, or lacks the column.
pub fn column(path: &Path, name: &str) -> Result<Vec<f64>, String> {
    read(path, |cell| Some(cell(name)?.parse().unwrap_or(f64::NAN)))
}

/// Reads a table's rows; each is asked for its cells by their column's name.
pub(super) fn read<T>(
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
            fills_today: n as u64,
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
    fn counters_that_go_on_over_midnight_are_seen() {
        let rollover = |rows: &[Minute]| {
            let mut verdict = Verdict::default();
            verdict.judge_rollover("BTCUSDT", rows);
            verdict.findings
        };
        let mut rows = minutes(DAY - 5, 10);
        assert!(!rollover(&rows)[0].holds);
        rows.iter_mut().skip(5).for_each(|row| row.fills_today -= 1_440);
        assert!(rollover(&rows)[0].holds);
        rows.iter_mut().for_each(|row| row.fills_today = 0);
        assert!(rollover(&rows).is_empty(), "nothing was counted, and nothing is claimed");
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
