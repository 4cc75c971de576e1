//! The engine seen from outside, a row a minute: what `/proc` says of its process, and the venue of
//! its orders. A minute without a row was not watched.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::Path;

use keel_core::units::UnixNanos;

use super::trend::Trend;
use super::verdict::{self, Minute, Verdict};
use crate::cold::daily::utc_text;
use crate::os::Figures;

/// The file of a soak's directory.
pub const FILE: &str = "outside.csv";
const HEADER: &str = "ts,pid,rss_kib,threads,open_fds,open_orders,looks\n";

/// A minute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Row {
    /// Its number since 1970.
    pub minute: i64,
    /// The engine's process as the minute began; 0 when there was none.
    pub pid: u32,
    /// What `/proc` said of it then.
    pub figures: Figures,
    /// Most orders of a contract that rested at the venue since the row before.
    pub open_orders: u64,
    /// How often the venue was asked since then.
    pub looks: u64,
}

/// The file, to which whole rows are appended.
#[derive(Debug)]
pub struct Rows(File);

impl Rows {
    /// Opens the file in `dir`, or makes it. A row that was not finished is taken off.
    ///
    /// # Errors
    /// What the system says.
    pub fn open(dir: &Path) -> io::Result<Self> {
        let path = dir.join(FILE);
        let mut options = OpenOptions::new();
        let mut file = options.read(true).write(true).create(true).truncate(false).open(&path)?;
        let text = std::fs::read(&path)?;
        let whole = text.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        file.set_len(whole as u64)?;
        file.seek(SeekFrom::End(0))?;
        if whole == 0 {
            file.write_all(HEADER.as_bytes())?;
        }
        Ok(Self(file))
    }

    /// Appends a row, durably.
    ///
    /// # Errors
    /// What the system says.
    pub fn append(&mut self, row: &Row) -> io::Result<()> {
        let Row { minute, pid, figures, open_orders, looks } = row;
        let Figures { rss_kib, threads, open_files } = figures;
        let ts = utc_text(UnixNanos(minute * MINUTE_NS));
        let line = format!("{ts},{pid},{rss_kib},{threads},{open_files},{open_orders},{looks}\n");
        self.0.write_all(line.as_bytes())?;
        self.0.sync_data()
    }
}

/// The rows in `dir`.
///
/// # Errors
/// When the file cannot be read, or lacks a column.
pub fn read(dir: &Path) -> Result<Vec<Row>, String> {
    verdict::read(&dir.join(FILE), |cell| {
        let count = |name: &str| cell(name)?.parse::<u64>().ok();
        Some(Row {
            minute: cell("ts")?.parse::<jiff::Timestamp>().ok()?.as_second().div_euclid(60),
            pid: cell("pid")?.parse().ok()?,
            figures: Figures {
                rss_kib: count("rss_kib")?,
                threads: count("threads")?,
                open_files: count("open_fds")?,
            },
            open_orders: count("open_orders")?,
            looks: count("looks")?,
        })
    })
}

impl Verdict {
    /// Judges what was seen from outside over the minutes that must have been watched, and whether
    /// `tables`, of any one instrument, tell the same.
    ///
    /// # Errors
    /// When a file cannot be read, or lacks a column.
    pub fn take_outside(
        &mut self,
        dir: &Path,
        tables: &Path,
        expected: Range<i64>,
        orders_max: u64,
    ) -> Result<(), String> {
        let mut rows = read(dir)?;
        rows.retain(|row| expected.contains(&row.minute));
        let inside = verdict::minutes(tables, &expected)?;
        self.judge_watch(&rows, &expected);
        self.judge_growth(&rows);
        self.judge_agreement(&rows, &inside);
        let most = rows.iter().map(|row| row.open_orders).max().unwrap_or(0);
        self.finds(
            "the venue never has more open orders of a contract than max_active_executors",
            (1..=orders_max).contains(&most),
            format!("{most} at most, limit {orders_max}"),
        );
        Ok(())
    }

    fn judge_watch(&mut self, rows: &[Row], expected: &Range<i64>) {
        let wanted = expected.end - expected.start;
        let steps = rows.windows(2).filter(|two| two[1].minute != two[0].minute + 1).count();
        let blind = rows.iter().filter(|row| row.looks == 0).count();
        self.finds(
            "every minute was watched from outside",
            rows.len() as i64 == wanted && steps == 0 && blind == 0,
            format!(
                "{} rows of {wanted}, {steps} gaps, the venue not asked in {blind}",
                rows.len()
            ),
        );
    }

    fn judge_growth(&mut self, rows: &[Row]) {
        let life = longest_life(rows);
        let steady = &life[WARM_UP.min(life.len() / 4)..];
        let series: Vec<f64> = steady.iter().map(|row| row.figures.rss_kib as f64).collect();
        self.memory = Trend::of(&series);
        self.finds(
            "resident memory does not grow",
            self.memory.is_some_and(|trend| trend.low <= GROWTH_MAX),
            self.memory.map_or_else(
                || format!("{} minutes of one process are too few to say", series.len()),
                |trend| {
                    format!(
                        "{:+.2} KiB a minute ({:+.2} to {:+.2}) over {} minutes of one process, \
                         {GROWTH_MAX} allowed",
                        trend.slope,
                        trend.low,
                        trend.high,
                        series.len()
                    )
                },
            ),
        );
        for (what, figure, spread_max) in [
            ("threads", (|row| row.figures.threads) as fn(&Row) -> u64, THREADS_SPREAD),
            ("open descriptors", |row| row.figures.open_files, FILES_SPREAD),
        ] {
            let least = steady.iter().map(figure).min().unwrap_or(0);
            let most = steady.iter().map(figure).max().unwrap_or(0);
            self.finds(
                format!("the number of {what} stays where it is"),
                least > 0 && most - least <= spread_max,
                format!("{least} to {most}, {spread_max} more allowed"),
            );
        }
    }

    /// The engine's own row of a minute is taken within that minute, as is the one from outside.
    fn judge_agreement(&mut self, rows: &[Row], inside: &[Minute]) {
        let mut apart = Vec::new();
        let mut compared = 0;
        for row in rows.iter().filter(|row| row.pid != 0) {
            let Some(own) = inside.iter().find(|own| own.minute == row.minute) else { continue };
            compared += 1;
            let (rss, files) = (row.figures.rss_kib, row.figures.open_files);
            if own.rss_kib.abs_diff(rss) > rss / RSS_APART
                || own.open_fds.abs_diff(files) > FILES_APART
            {
                let (own_rss, own_files) = (own.rss_kib, own.open_fds);
                apart.push(format!("{own_rss} and {rss} KiB, {own_files} and {files} descriptors"));
            }
        }
        // A process that has just begun is another one a second later.
        let allowed = compared / 20;
        self.finds(
            "the engine's own memory and descriptors are those seen from outside",
            compared > 0 && apart.len() <= allowed,
            format!(
                "{} of {compared} minutes apart{}",
                apart.len(),
                apart.first().map(|first| format!(", the first: {first}")).unwrap_or_default()
            ),
        );
    }
}

/// The longest stretch of rows of one process.
fn longest_life(rows: &[Row]) -> &[Row] {
    let lives = rows.chunk_by(|one, next| one.pid == next.pid).filter(|life| life[0].pid != 0);
    lives.max_by_key(|life| life.len()).unwrap_or_default()
}

const MINUTE_NS: i64 = 60_000_000_000;
/// Minutes after a start that say nothing about growth; a fourth of a short life.
const WARM_UP: usize = 60;
/// What the slope's lower end may be, in KiB a minute: 3 MiB in 48 hours. An engine with 12 fills a
/// minute was seen to add 0.6 in its first hour.
const GROWTH_MAX: f64 = 1.0;
/// How many more threads and descriptors there may be at one time than at another.
const THREADS_SPREAD: u64 = 2;
const FILES_SPREAD: u64 = 12;
/// The two readings of memory may be apart by this share of it, one in so many.
const RSS_APART: u64 = 20;
/// Descriptors that may come or go between the two readings: a connection and its like.
const FILES_APART: u64 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(count: i64) -> Vec<Row> {
        let figures = Figures { rss_kib: 40_000, threads: 5, open_files: 28 };
        let row = |minute| Row { minute, pid: 7, figures, open_orders: 4, looks: 60 };
        (0..count).map(row).collect()
    }

    fn written(rows: &[Row], own_rss: u64) -> Verdict {
        let dir = tempfile::tempdir().expect("a directory");
        let mut file = Rows::open(dir.path()).expect("made");
        rows.iter().for_each(|row| file.append(row).expect("written"));
        let mut table = "ts,state,rss_kib,open_fds,orders_active,ws_reconnect_count,\
                         position_drift_pct,rate_headroom_pct,equity_quote,fills_count_today\n"
            .to_owned();
        for row in rows {
            let ts = utc_text(UnixNanos(row.minute * MINUTE_NS));
            table += &format!("{ts},RUNNING,{own_rss},27,2,0,0,0.9,10000,0\n");
        }
        std::fs::write(dir.path().join("minute.csv"), table).expect("written");
        let mut verdict = Verdict::default();
        verdict.take_outside(dir.path(), dir.path(), 0..100, 10).expect("read");
        verdict
    }

    #[test]
    fn a_steady_engine_passes_and_each_flaw_fails_in_its_own_claim() {
        let sound = written(&rows(100), 40_100);
        assert!(sound.passes(), "{:#?}", sound.findings);
        let flaws: [(&str, fn(&mut Vec<Row>)); 8] = [
            ("every minute was watched", |rows| {
                rows.remove(40);
            }),
            ("every minute was watched", |rows| rows[40].looks = 0),
            ("resident memory", |rows| {
                for row in rows.iter_mut() {
                    row.figures.rss_kib += row.minute as u64 * 5;
                }
            }),
            ("resident memory", |rows| {
                // Nobody lives long enough to be judged.
                for row in rows.iter_mut() {
                    row.pid = row.minute as u32 + 1;
                }
            }),
            ("the number of threads", |rows| rows[90].figures.threads += THREADS_SPREAD + 1),
            ("the number of open", |rows| rows[90].figures.open_files += FILES_SPREAD + 1),
            ("the venue never has more", |rows| rows[40].open_orders = 11),
            ("the venue never has more", |rows| {
                rows.iter_mut().for_each(|row| row.open_orders = 0);
            }),
        ];
        for (place, (claim, flaw)) in flaws.into_iter().enumerate() {
            let mut flawed = rows(100);
            flaw(&mut flawed);
            let verdict = written(&flawed, 40_100);
            let failed: Vec<&str> =
                verdict.findings.iter().filter(|f| !f.holds).map(|f| f.claim.as_str()).collect();
            assert!(failed.len() == 1 && failed[0].starts_with(claim), "{place}: {failed:?}");
        }
    }

    #[test]
    fn an_engine_that_tells_another_memory_than_it_has_is_seen() {
        let verdict = written(&rows(100), 36_000);
        let failed: Vec<_> = verdict.findings.iter().filter(|f| !f.holds).collect();
        assert!(failed.len() == 1 && failed[0].claim.contains("seen from outside"), "{failed:?}");
    }

    #[test]
    fn a_row_that_was_not_finished_is_taken_off_and_rows_go_on_behind_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let [first, second] = [rows(2)[0], rows(2)[1]];
        Rows::open(dir.path()).expect("made").append(&first).expect("written");
        let path = dir.path().join(FILE);
        let mut torn = std::fs::read(&path).expect("there");
        torn.extend_from_slice(b"1970-01-01T00:01:00.000Z,7,40");
        std::fs::write(&path, torn).expect("written");
        Rows::open(dir.path()).expect("opened").append(&second).expect("written");
        assert_eq!(read(dir.path()), Ok(vec![first, second]));
    }
}
