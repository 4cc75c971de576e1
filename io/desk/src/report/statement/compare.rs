//! The comparison: sums by type, and record by record.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use keel_core::command::Day;
use keel_core::units::UnixNanos;
use keel_io::cold::daily::{date_of, e8_text, utc_text};

use super::{Entry, Kind, Own, Statement};

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// UTC day since 1970.
    pub day: i64,
    /// Sums by type.
    pub sums: Vec<Sum>,
    /// Traded by the runs, in 1e-8 USDT.
    pub notional: i128,
    /// Where they differ, record by record.
    pub differences: Vec<String>,
    /// Executions whose profit differs by rounding alone, and by how much in all.
    pub rounded: (u64, i128),
    /// Records of the statement from before our own began, and of other coins.
    pub left_out: (usize, usize),
    /// Why they are not equal enough; empty when they are.
    pub refused: Vec<String>,
}

/// A sum of one type on both sides, in 1e-8 USDT; positive came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sum {
    /// Its name.
    pub name: &'static str,
    /// Records and their sum in the statement.
    pub venue: (u64, i128),
    /// The same in our records.
    pub own: (u64, i128),
}

/// What happened at one time in one contract: the venue tells of an execution that turns a position
/// around in two records.
#[derive(Clone, Debug)]
struct Moment {
    symbol: String,
    ts: i64,
    count: u64,
    profit: i128,
    fee: i128,
}

/// Compares the statement with what runs have recorded of the day.
///
/// # Errors
/// When the runs have recorded nothing of that day.
pub fn compare(statement: &Statement, own: &Own) -> Result<Comparison, String> {
    let Some(ledger) = own.ledger else {
        return Err(format!("these runs have recorded nothing of {}", date_of(own.day)));
    };
    let began = own.began.unwrap_or(i64::MIN);
    let of_day = statement.entries.iter().filter(|entry| UnixNanos(entry.ts).day() == own.day);
    let (there, early): (Vec<&Entry>, Vec<&Entry>) = of_day.partition(|entry| entry.ts >= began);
    let bills: Vec<&Entry> = own.bills.values().filter(|bill| bill.ts >= began).collect();
    let fills: Vec<&Entry> = own.fills.values().map(|(fill, _)| fill).collect();
    let mut comparison = Comparison {
        day: own.day,
        sums: sums(&there, &bills, &ledger),
        notional: own.fills.values().map(|(_, value)| value).sum(),
        differences: Vec::new(),
        rounded: (0, 0),
        left_out: (early.len(), statement.foreign),
        refused: Vec::new(),
    };
    comparison.within(&ledger, &fills, &bills);
    comparison.trades(&there, &fills, &own.units);
    comparison.bills(&there, &bills);
    comparison.judge();
    Ok(comparison)
}

/// Each type's records and sums. What we have of executions and funding is what the ledger has
/// booked, not what its runs were told of.
fn sums(there: &[&Entry], bills: &[&Entry], ledger: &Day) -> Vec<Sum> {
    let venue = |kind, amount: fn(&Entry) -> i64| total(there, kind, amount);
    let net = |entry: &Entry| entry.amount - entry.fee;
    let executions = u64::from(ledger.fills);
    let funding = (total(bills, Kind::Funding, net).0, -i128::from(ledger.funding.0));
    let sum = |name, venue, own| Sum { name, venue, own };
    vec![
        sum(
            "realized",
            venue(Kind::Trade, |entry| entry.amount),
            (executions, ledger.realized.0.into()),
        ),
        sum("fees", venue(Kind::Trade, |entry| -entry.fee), (executions, (-ledger.fees.0).into())),
        sum("funding", venue(Kind::Funding, net), funding),
        sum("transfers", venue(Kind::Transfer, net), total(bills, Kind::Transfer, net)),
        sum("other", venue(Kind::Other, net), total(bills, Kind::Other, net)),
    ]
}

/// How many entries are of a kind, and the sum of an amount of theirs.
fn total(entries: &[&Entry], kind: Kind, amount: fn(&Entry) -> i64) -> (u64, i128) {
    let those = entries.iter().filter(|entry| entry.kind == kind);
    those.fold((0, 0), |(n, sum), entry| (n + 1, sum + i128::from(amount(entry))))
}

impl Comparison {
    /// True when they are equal within what the checklist allows.
    pub fn is_equal(&self) -> bool {
        self.refused.is_empty()
    }

    /// What our own records do not agree on among themselves.
    fn within(&mut self, ledger: &Day, fills: &[&Entry], bills: &[&Entry]) {
        let (executions, found) = (u64::from(ledger.fills), fills.len() as u64);
        if executions != found {
            self.differences.push(format!(
                "the day's ledger has {executions} executions and these runs have {found}: name \
                 the other runs of that day too"
            ));
        }
        let told = total(bills, Kind::Funding, |bill| bill.amount).1;
        let booked = -i128::from(ledger.funding.0);
        if told != booked {
            self.differences.push(format!(
                "the day's ledger has funding of {}, and the bills that these runs have booked sum \
                 to {}",
                text(booked),
                text(told)
            ));
        }
    }

    fn trades(&mut self, there: &[&Entry], here: &[&Entry], units: &BTreeMap<String, i64>) {
        let traded = there.iter().copied().filter(|entry| entry.kind == Kind::Trade);
        let second = traded.clone().all(|entry| entry.ts % SECOND == 0);
        let grain = if second { SECOND } else { MILLI };
        let mut venue = moments(traded, grain);
        let mut own = moments(here.iter().copied(), grain);
        // First what is of the same time, then what is near and cost the same, then what is near.
        for (reach, same_fee) in [(0, false), (NEAR, true), (NEAR, false)] {
            let mut left = Vec::new();
            for moment in venue {
                match nearest(&own, &moment, reach, same_fee) {
                    Some(place) => self.matched(&moment, &own.remove(place), units),
                    None => left.push(moment),
                }
            }
            venue = left;
        }
        for (moments, whose) in [(&venue, "missing here"), (&own, "missing there")] {
            for moment in moments {
                self.differences.push(format!(
                    "{whose}: {} {}, {} executions, realized {}, fee {}",
                    utc_text(UnixNanos(moment.ts)),
                    moment.symbol,
                    moment.count,
                    text(moment.profit),
                    text(moment.fee)
                ));
            }
        }
    }

    /// What a part of a position has cost is rounded by each side in its own way, ours to a tick
    /// times a lot; once the position is closed, the sums are the same.
    fn matched(&mut self, venue: &Moment, own: &Moment, units: &BTreeMap<String, i64>) {
        let off = own.profit - venue.profit;
        let unit = i128::from(units.get(&own.symbol).copied().unwrap_or(0));
        if venue.fee == own.fee && off.abs() <= unit * i128::from(venue.count.max(own.count)) {
            let rounded = u64::from(off != 0);
            self.rounded = (self.rounded.0 + rounded, self.rounded.1 + off);
            return;
        }
        self.differences.push(format!(
            "other amount: {} {}, realized there {} here {}, fee there {} here {}",
            utc_text(UnixNanos(venue.ts)),
            venue.symbol,
            text(venue.profit),
            text(own.profit),
            text(venue.fee),
            text(own.fee)
        ));
    }

    /// By id; where the form has none, by amount and time.
    fn bills(&mut self, there: &[&Entry], here: &[&Entry]) {
        let counts =
            |entry: &&&Entry| matches!(entry.kind, Kind::Funding | Kind::Transfer | Kind::Other);
        let mut own: Vec<&Entry> = here.to_vec();
        for entry in there.iter().filter(counts) {
            let net = entry.amount - entry.fee;
            let place = own.iter().position(|bill| {
                let alike = bill.kind == entry.kind && bill.amount == net;
                let near = (bill.ts - entry.ts).abs() <= NEAR;
                if entry.id.is_empty() { alike && near } else { bill.id == entry.id }
            });
            match place.map(|place| own.remove(place)) {
                None => self.differences.push(format!("missing here: {}", told(entry, net))),
                Some(bill) if bill.amount == net => {}
                Some(bill) => self.differences.push(format!(
                    "other amount: {}, here {}",
                    told(entry, net),
                    text(bill.amount.into())
                )),
            }
        }
        for bill in own {
            self.differences.push(format!("missing there: {}", told(bill, bill.amount)));
        }
    }

    /// What the checklist allows: 1 bp of notional on each part, and 5 % of profit. Money from
    /// outside must be the same to the unit.
    fn judge(&mut self) {
        let off = |sum: &Sum| (sum.own.1 - sum.venue.1).abs();
        let bp = self.notional / 10_000;
        for sum in &self.sums[..PROFIT_PARTS] {
            if off(sum) > bp {
                self.refused.push(format!(
                    "{} differ by {}, more than 1 bp of notional ({})",
                    sum.name,
                    text(off(sum)),
                    text(bp)
                ));
            }
        }
        for sum in self.sums[PROFIT_PARTS..].iter().filter(|sum| off(sum) != 0) {
            self.refused.push(format!("{} differ by {}", sum.name, text(off(sum))));
        }
        let (venue, own) = self.profit();
        if (own - venue).abs() > venue.abs() / 20 {
            self.refused.push(format!(
                "profit differs by {}, more than 5 % of {}",
                text((own - venue).abs()),
                text(venue)
            ));
        }
    }

    /// Realized less fees and funding, there and here.
    pub fn profit(&self) -> (i128, i128) {
        let parts = &self.sums[..PROFIT_PARTS];
        (parts.iter().map(|sum| sum.venue.1).sum(), parts.iter().map(|sum| sum.own.1).sum())
    }

    /// The comparison on a terminal.
    pub fn lines(&self) -> String {
        let mut out = format!(
            "{} UTC, USDT; positive came in\n{:<10} {:>7} {:>20} {:>7} {:>20} {:>16}\n",
            date_of(self.day),
            "",
            "records",
            "statement",
            "records",
            "own",
            "difference"
        );
        let (venue, own) = self.profit();
        let mut row = |name: &str, venue: (String, i128), own: (String, i128)| {
            let _ = writeln!(
                out,
                "{name:<10} {:>7} {:>20} {:>7} {:>20} {:>16}",
                venue.0,
                text(venue.1),
                own.0,
                text(own.1),
                text(own.1 - venue.1)
            );
        };
        for sum in &self.sums {
            let of = |side: (u64, i128)| (side.0.to_string(), side.1);
            row(sum.name, of(sum.venue), of(sum.own));
        }
        row("profit", (String::new(), venue), (String::new(), own));
        let _ = writeln!(out, "notional   {}", text(self.notional));
        let (rounded, by) = self.rounded;
        if rounded > 0 {
            let _ = writeln!(out, "rounded otherwise: {rounded} executions, by {}", text(by));
        }
        let (early, foreign) = self.left_out;
        if early + foreign > 0 {
            let _ = writeln!(
                out,
                "left out: {early} from before these records begin, {foreign} of other coins"
            );
        }
        for difference in self.differences.iter().take(LISTED_MAX) {
            let _ = writeln!(out, "{difference}");
        }
        let more = self.differences.len().saturating_sub(LISTED_MAX);
        if more > 0 {
            let _ = writeln!(out, "and {more} more");
        }
        if self.is_equal() {
            out.push_str("equal within 1 bp of notional and 5 % of profit\n");
        }
        for refused in &self.refused {
            let _ = writeln!(out, "NOT EQUAL: {refused}");
        }
        out
    }
}

fn moments<'e>(entries: impl Iterator<Item = &'e Entry>, grain: i64) -> Vec<Moment> {
    let mut found: BTreeMap<(i64, String), Moment> = BTreeMap::new();
    for entry in entries {
        let ts = entry.ts.div_euclid(grain) * grain;
        let symbol = entry.symbol.clone();
        let new = Moment { symbol: symbol.clone(), ts, count: 0, profit: 0, fee: 0 };
        let moment = found.entry((ts, symbol)).or_insert(new);
        moment.count += 1;
        moment.profit += i128::from(entry.amount);
        moment.fee += i128::from(entry.fee);
    }
    found.into_values().collect()
}

/// The nearest moment of the same contract within `reach`.
fn nearest(all: &[Moment], of: &Moment, reach: i64, same_fee: bool) -> Option<usize> {
    let away = |moment: &Moment| (moment.ts - of.ts).abs();
    let fits = |moment: &Moment| {
        moment.symbol == of.symbol && away(moment) <= reach && (!same_fee || moment.fee == of.fee)
    };
    let fitting = all.iter().enumerate().filter(|(_, moment)| fits(moment));
    fitting.min_by_key(|(_, moment)| away(moment)).map(|(place, _)| place)
}

fn told(entry: &Entry, amount: i64) -> String {
    let id = if entry.id.is_empty() { "-" } else { &entry.id };
    let symbol = if entry.symbol.is_empty() { "-" } else { &entry.symbol };
    format!(
        "{} {} {} {symbol}, id {id}, {}",
        utc_text(UnixNanos(entry.ts)),
        entry.kind.text(),
        entry.word,
        text(amount.into())
    )
}

/// An amount of 1e-8 as decimal text.
fn text(amount: i128) -> String {
    let most = i128::from(i64::MAX);
    e8_text(i64::try_from(amount.clamp(-most, most)).unwrap_or_default())
}

/// Realized, fees and funding come first and make the profit.
const PROFIT_PARTS: usize = 3;
/// How far the time of a record may be from that of its cause.
const NEAR: i64 = 5 * SECOND;
const SECOND: i64 = 1_000_000_000;
const MILLI: i64 = 1_000_000;
/// Differences that are told one by one.
const LISTED_MAX: usize = 100;
