//! Models side by side: what each made of the same simulated markets.
//!
//! A life is one seed quoted by one model under virtual time. Its events and commands go in as a
//! run's journal would; figures come out, and differences between models seed by seed, so that what
//! a seed's market did to both drops out.

mod text;

pub use text::{json, lines};

use keel_core::command::{CommandView, StatusPage};
use keel_core::event::{Boot, Event};
use keel_core::glft::Quoting;
use keel_core::markout::HORIZONS;
use keel_core::status::{Key, PAGES, Row};
use keel_core::units::{E8, Quote, SECONDS};

use super::edge::{Gathering, JUDGED, Odd, Report, Shelf};
use super::interval::{self, Interval};

/// What is compared.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// The profile's word.
    pub profile: &'static str,
    /// Aversion to risk, in 1e-8.
    pub gamma_e8: i64,
    /// How long each life was.
    pub hours: u64,
    /// What each seed came to: the regime model, glft.
    pub seeds: Vec<(u64, [Figures; 2])>,
}

/// What is compared, in the order of [`Comparison::seeds`].
pub const MODELS: [&str; 2] = ["regime", "glft"];

/// What a life came to. Money is in USDT, positive where it was gained.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures {
    /// Own executions.
    pub fills: f64,
    /// Those without a known mid before them or 30 s after, which the figures of 30 s leave out.
    pub not_covered: f64,
    /// Traded.
    pub notional: f64,
    /// What quotes gained against the mid before the fill.
    pub captured: f64,
    /// The same in bp of what was traded.
    pub capture_bps: f64,
    /// What the mid's way over 30 s brought, in bp; negative is adverse.
    pub way_bps: f64,
    /// Capture and the way until each of [`HORIZONS`], less fees and funding, in bp.
    pub net_bps: [f64; HORIZONS.len()],
    /// What positions gained or lost: realized and unrealized profit less what was captured.
    pub held: f64,
    /// Fees; positive where they were received.
    pub fees: f64,
    /// Funding; positive where it was received.
    pub funding: f64,
    /// All of it.
    pub pnl: f64,
    /// Mean and greatest of the absolute position, in percent of equity.
    pub position_pct: [f64; 2],
    /// Mean full spread quoted, in bp; over the time in which anything was.
    pub spread_bps: f64,
    /// Share of the time in which anything was quoted, in percent.
    pub quoted_pct: f64,
    /// Share of the time in which glft was in force, in percent.
    pub glft_pct: f64,
    /// Hour by hour.
    pub by_hour: Vec<Hour>,
}

/// An hour of a life.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Hour {
    /// Own executions.
    pub fills: u64,
    /// Traded.
    pub notional: f64,
    /// Equity at its end less equity at its begin.
    pub pnl: f64,
}

/// What an engine's ledger says at the end.
#[derive(Clone, Copy, Debug, Default)]
pub struct Money {
    /// Before fees.
    pub realized: Quote,
    /// At mark.
    pub unrealized: Quote,
    /// Paid.
    pub fees: Quote,
    /// Received.
    pub funding: Quote,
}

/// A life that is being watched.
pub struct Watch<'m> {
    gathering: Gathering<'m>,
    pages: Row,
    rows: Rows,
}

/// What status rows add up to.
#[derive(Debug, Default)]
struct Rows {
    began: Option<i64>,
    count: u64,
    position: f64,
    position_most: f64,
    quoted: u64,
    spread: f64,
    glft: u64,
    /// Equity at the first row, and at the last of each hour.
    first: f64,
    equity: Vec<f64>,
}

impl<'m> Watch<'m> {
    /// Begins with the first event of a life of one instrument.
    pub fn new(boot: &Boot, shelf: &'m mut Shelf) -> Self {
        let gathering = Gathering::new(boot, shelf);
        Self { gathering, pages: Row::EMPTY, rows: Rows::default() }
    }

    /// Takes in an event that follows the boot.
    ///
    /// # Errors
    /// [`Odd`] for what no run gives its engine.
    pub fn event(&mut self, event: &Event) -> Result<(), Odd> {
        self.gathering.event(event)
    }

    /// Takes in a command.
    ///
    /// # Errors
    /// [`Odd`] for what no engine gives.
    pub fn command(&mut self, command: &CommandView) -> Result<(), Odd> {
        if let CommandView::StatusPage(StatusPage { page, values, .. }) = command
            && self.pages.take_page(usize::from(*page), values)
            && usize::from(*page) + 1 == PAGES
        {
            self.rows.take(&self.pages);
        }
        self.gathering.command(command)
    }

    /// What the life came to.
    pub fn figures(self, money: &Money) -> Figures {
        let report = self.gathering.report(None);
        let row = &report.rows[JUDGED];
        let net = |at: usize| {
            let sums = &report.rows[at].sums;
            sums.bps(sums.net_x2()).unwrap_or(0.0)
        };
        let captures = report.fills.iter().filter_map(|fill| fill.capture_x2);
        let captured = captures.sum::<i128>() as f64 / 2.0 / E8 as f64;
        let notional: f64 = report.fills.iter().map(|fill| usdt(fill.notional)).sum();
        let gained = usdt(money.realized) + usdt(money.unrealized);
        let (fees, funding) = (-usdt(money.fees), usdt(money.funding));
        let rows = &self.rows;
        let mean = |sum: f64, count: u64| if count == 0 { 0.0 } else { sum / count as f64 };
        Figures {
            fills: report.fills.len() as f64,
            not_covered: row.not_covered as f64,
            notional,
            captured,
            capture_bps: if notional > 0.0 { captured / notional * 1e4 } else { 0.0 },
            way_bps: row.sums.bps(row.sums.move_x2).unwrap_or(0.0),
            net_bps: std::array::from_fn(net),
            held: gained - captured,
            fees,
            funding,
            pnl: gained + fees + funding,
            position_pct: [mean(rows.position, rows.count), rows.position_most],
            spread_bps: mean(rows.spread, rows.quoted),
            quoted_pct: mean(rows.quoted as f64 * 100.0, rows.count),
            glft_pct: mean(rows.glft as f64 * 100.0, rows.count),
            by_hour: rows.by_hour(&report),
        }
    }
}

impl Rows {
    fn take(&mut self, row: &Row) {
        if row.value(Key::ready) == 0 {
            return;
        }
        let ts = row.value(Key::ts);
        let began = *self.began.get_or_insert(ts);
        let equity = usdt(Quote(row.value(Key::equity_quote)));
        if self.count == 0 {
            self.first = equity;
        }
        self.count += 1;
        let position = row.value(Key::base_pct).unsigned_abs() as f64 / E8 as f64 * 100.0;
        self.position += position;
        self.position_most = self.position_most.max(position);
        if row.value(Key::spread_pct) > 0 {
            self.quoted += 1;
            self.spread += row.value(Key::spread_pct) as f64 / 1e4;
        }
        self.glft += u64::from(row.value(Key::model) == Quoting::Glft as i64);
        let hour = hour_of(began, ts);
        self.equity.resize(hour + 1, equity);
        self.equity[hour] = equity;
    }

    fn by_hour(&self, report: &Report) -> Vec<Hour> {
        let mut before = self.first;
        let mut hours: Vec<Hour> = Vec::new();
        for &equity in &self.equity {
            hours.push(Hour { pnl: equity - before, ..Hour::default() });
            before = equity;
        }
        for fill in &report.fills {
            let hour = hour_of(self.began.unwrap_or(fill.ts.0), fill.ts.0);
            if let Some(hour) = hours.get_mut(hour) {
                hour.fills += 1;
                hour.notional += usdt(fill.notional);
            }
        }
        hours
    }
}

/// A figure that is compared.
pub(crate) struct Metric {
    pub(crate) name: &'static str,
    pub(crate) unit: &'static str,
    /// It grows with the length of a life and is told for an hour of it.
    pub(crate) hourly: bool,
    pub(crate) of: fn(&Figures) -> f64,
}

/// What is compared, in the order in which it is told.
pub(crate) const METRICS: &[Metric] = &[
    metric("fills", "an hour", true, |f| f.fills),
    metric("not covered", "an hour", true, |f| f.not_covered),
    metric("traded", "USDT an hour", true, |f| f.notional),
    metric("spread quoted", "bp", false, |f| f.spread_bps),
    metric("capture", "bp", false, |f| f.capture_bps),
    metric("way of the mid, 30 s", "bp", false, |f| f.way_bps),
    metric("net edge, 100 ms", "bp", false, |f| f.net_bps[0]),
    metric("net edge, 1 s", "bp", false, |f| f.net_bps[1]),
    metric("net edge, 5 s", "bp", false, |f| f.net_bps[2]),
    metric("net edge, 30 s", "bp", false, |f| f.net_bps[3]),
    metric("net edge, 300 s", "bp", false, |f| f.net_bps[4]),
    metric("position, mean", "% of equity", false, |f| f.position_pct[0]),
    metric("position, most", "% of equity", false, |f| f.position_pct[1]),
    metric("captured", "USDT an hour", true, |f| f.captured),
    metric("of positions held", "USDT an hour", true, |f| f.held),
    metric("fees received", "USDT an hour", true, |f| f.fees),
    metric("funding received", "USDT an hour", true, |f| f.funding),
    metric("profit", "USDT an hour", true, |f| f.pnl),
    metric("quoted", "% of the time", false, |f| f.quoted_pct),
    metric("glft in force", "% of the time", false, |f| f.glft_pct),
];

const fn metric(
    name: &'static str,
    unit: &'static str,
    hourly: bool,
    of: fn(&Figures) -> f64,
) -> Metric {
    Metric { name, unit, hourly, of }
}

/// A metric over all seeds: its mean by model, and the mean difference with its interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Compared {
    pub(crate) means: [(f64, Option<Interval>); 2],
    pub(crate) difference: (f64, Option<Interval>),
}

impl Comparison {
    pub(crate) fn of(&self, metric: &Metric) -> Compared {
        let hours = if metric.hourly { self.hours.max(1) as f64 } else { 1.0 };
        let values: Vec<[f64; 2]> = self
            .seeds
            .iter()
            .map(|(_, figures)| figures.each_ref().map(|figures| (metric.of)(figures) / hours))
            .collect();
        Compared {
            means: [0, 1].map(|model| mean(values.iter().map(|of| of[model]))),
            difference: mean(values.iter().map(|[regime, glft]| glft - regime)),
        }
    }
}

/// The mean of values that weigh alike, and Student's interval where there are two or more.
fn mean(values: impl Iterator<Item = f64>) -> (f64, Option<Interval>) {
    let blocks: Vec<(f64, f64)> = values.map(|value| (value, 1.0)).collect();
    match interval::ratio(&blocks) {
        Some((mean, interval)) => (mean, Some(interval)),
        None => (blocks.first().map_or(0.0, |block| block.0), None),
    }
}

fn hour_of(began: i64, ts: i64) -> usize {
    usize::try_from((ts - began).max(0) / (3_600 * SECONDS as i64)).unwrap_or(0)
}

fn usdt(amount: Quote) -> f64 {
    amount.0 as f64 / E8 as f64
}

#[cfg(test)]
mod tests;
