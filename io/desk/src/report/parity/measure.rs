//! What is compared: figures of sums over blocks of time.

use super::rows::{End, Order, Rows};
use super::{REGIMES, WAITS};
use keel_core::markout::{GATE_HORIZON, HORIZONS};
use keel_core::units::{SECONDS, Side, UnixNanos};

/// Sums over what one engine did.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Sums {
    hours: f64,
    /// By side: buys, sells.
    fills: [f64; 2],
    makers: f64,
    /// By [`End`], without those that are open.
    ends: [f64; 4],
    notional: f64,
    profit: f64,
    /// Fills whose mid is known: how many, what they gained, their notional.
    captured: [f64; 3],
    /// The same after each horizon.
    worth: [[f64; 3]; WAITS],
    /// The same after the horizon of the edge gate, less fees.
    net: [f64; 3],
    /// Orders with an execution, and the sum of the seconds until it.
    waited: [f64; 2],
    regimes: [f64; REGIMES],
}

/// What both did in one block.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Block {
    pub(super) venue: Sums,
    pub(super) paper: Sums,
}

/// How two figures are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Paper less venue.
    Difference,
    /// Paper over venue.
    Ratio,
    /// Half of what the shares of the two differ by: 0 where they are alike, 1 at most.
    Distance,
}

/// A figure that is compared, and within which tolerance the two must be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Measure {
    pub(super) name: &'static str,
    pub(super) unit: &'static str,
    pub(super) kind: Kind,
    /// How far apart they may be; for a ratio the factor to either side.
    pub(super) tolerance: f64,
    /// The figure itself; for a distance it has none.
    pub(super) of: fn(&Sums) -> f64,
    /// How many observations it rests on, and how many it needs on either side.
    pub(super) seen: fn(&Sums) -> f64,
    pub(super) needs: f64,
}

/// The horizons that are judged: a second, and that of the engine's edge gate.
const SHORT: usize = 1;
const LONG: usize = GATE_HORIZON;
const _: () = assert!(HORIZONS[SHORT] == SECONDS && HORIZONS[LONG] == 30 * SECONDS);

/// Everything that is compared.
pub(super) const MEASURES: [Measure; 15] = [
    measure("fills", "an hour", Kind::Ratio, 1.25, |s| s.all_fills() / s.hours, Sums::all_fills),
    measure("buys", "an hour", Kind::Ratio, 1.25, |s| s.fills[0] / s.hours, |s| s.fills[0]),
    measure("sells", "an hour", Kind::Ratio, 1.25, |s| s.fills[1] / s.hours, |s| s.fills[1]),
    measure(
        "turnover",
        "USDT an hour",
        Kind::Ratio,
        1.25,
        |s| s.notional / s.hours,
        |s| s.all_fills(),
    ),
    measure(
        "maker share",
        "of fills",
        Kind::Difference,
        0.02,
        |s| s.makers / s.all_fills(),
        |s| s.all_fills(),
    ),
    measure("filled", "of orders", Kind::Difference, 0.05, |s| s.end(End::Filled), Sums::ended),
    measure("canceled", "of orders", Kind::Difference, 0.05, |s| s.end(End::Canceled), Sums::ended),
    measure(
        "post-only rejected",
        "of orders",
        Kind::Difference,
        0.03,
        |s| s.end(End::PostOnly),
        Sums::ended,
    ),
    measure("refused", "of orders", Kind::Difference, 0.01, |s| s.end(End::Rejected), Sums::ended),
    measure("time to fill", "s", Kind::Ratio, 1.5, |s| s.waited[1] / s.waited[0], |s| s.waited[0]),
    measure("capture", "bps", Kind::Difference, 0.25, |s| bps(&s.captured), |s| s.captured[0]),
    measure(
        "worth after 1 s",
        "bps",
        Kind::Difference,
        0.25,
        |s| bps(&s.worth[SHORT]),
        |s| s.worth[SHORT][0],
    ),
    measure(
        "worth after 30 s",
        "bps",
        Kind::Difference,
        0.5,
        |s| bps(&s.worth[LONG]),
        |s| s.worth[LONG][0],
    ),
    measure(NET, "bps", Kind::Difference, 0.5, |s| bps(&s.net), |s| s.net[0]),
    measure(
        "profit",
        "bps of notional",
        Kind::Difference,
        1.0,
        |s| s.profit / s.notional * 1e4,
        |s| s.all_fills(),
    ),
];

/// The measure by which the two must earn or lose alike: that of the edge report. What the equity
/// did beside it is mostly what the price did to the position.
pub(super) const NET: &str = "net edge after 30 s";

/// The regimes that both were told.
pub(super) const REGIME: Measure = Measure {
    name: "regimes",
    unit: "of time",
    kind: Kind::Distance,
    tolerance: 0.05,
    of: |_| f64::NAN,
    seen: |sums| sums.hours * 3_600.0,
    needs: 600.0,
};

const fn measure(
    name: &'static str,
    unit: &'static str,
    kind: Kind,
    tolerance: f64,
    of: fn(&Sums) -> f64,
    seen: fn(&Sums) -> f64,
) -> Measure {
    Measure { name, unit, kind, tolerance, of, seen, needs: SEEN_MIN }
}

/// Fills or orders that a figure must rest on, at the venue and on paper.
pub(super) const SEEN_MIN: f64 = 50.0;

fn bps([_, gained, notional]: &[f64; 3]) -> f64 {
    gained / notional * 1e4
}

impl Measure {
    /// Paper against venue. `NaN` where one of them has no figure.
    pub(super) fn apart(&self, both: &Block) -> f64 {
        let (venue, paper) = ((self.of)(&both.venue), (self.of)(&both.paper));
        match self.kind {
            Kind::Difference => paper - venue,
            Kind::Ratio if venue > 0.0 => paper / venue,
            Kind::Ratio => f64::NAN,
            Kind::Distance => distance(&both.venue.regimes, &both.paper.regimes),
        }
    }

    /// From where to where `apart` may lie.
    pub(super) fn tolerated(&self) -> (f64, f64) {
        match self.kind {
            Kind::Difference => (-self.tolerance, self.tolerance),
            Kind::Ratio => (1.0 / self.tolerance, self.tolerance),
            Kind::Distance => (0.0, self.tolerance),
        }
    }
}

fn distance(venue: &[f64], paper: &[f64]) -> f64 {
    let (all_venue, all_paper) = (venue.iter().sum::<f64>(), paper.iter().sum::<f64>());
    let pairs = venue.iter().zip(paper);
    pairs.map(|(venue, paper)| (venue / all_venue - paper / all_paper).abs()).sum::<f64>() / 2.0
}

impl Sums {
    fn all_fills(&self) -> f64 {
        self.fills[0] + self.fills[1]
    }

    fn ended(&self) -> f64 {
        self.ends.iter().sum()
    }

    fn end(&self, end: End) -> f64 {
        self.ends[place(end).expect("it has ended")] / self.ended()
    }

    pub(super) fn add(&mut self, other: &Self) {
        let add = |to: &mut [f64], from: &[f64]| {
            to.iter_mut().zip(from).for_each(|(to, from)| *to += from);
        };
        self.hours += other.hours;
        self.makers += other.makers;
        self.notional += other.notional;
        self.profit += other.profit;
        add(&mut self.fills, &other.fills);
        add(&mut self.ends, &other.ends);
        add(&mut self.captured, &other.captured);
        add(&mut self.net, &other.net);
        add(&mut self.waited, &other.waited);
        add(&mut self.regimes, &other.regimes);
        self.worth.iter_mut().zip(&other.worth).for_each(|(to, from)| add(to, from));
    }

    fn take_order(&mut self, order: &Order) {
        if let Some(place) = place(order.end) {
            self.ends[place] += 1.0;
        }
        if order.filled > 0 {
            self.waited[0] += 1.0;
            // The venue tells milliseconds, so a fill may seem older than its order.
            self.waited[1] += (order.filled - order.sent).max(0) as f64 / SECONDS as f64;
        }
    }

    fn take_fill(&mut self, fill: &super::rows::Fill) {
        let notional = fill.notional as f64;
        self.fills[usize::from(fill.side == Side::Sell)] += 1.0;
        self.makers += f64::from(u8::from(fill.maker));
        self.notional += notional / 1e8;
        let gained = |to: &mut [f64; 3], gain_x2: Option<i64>, fee: i64| {
            let Some(gain_x2) = gain_x2 else { return };
            let all = [1.0, gain_x2 as f64 / 2.0 - fee as f64, notional];
            to.iter_mut().zip(all).for_each(|(to, more)| *to += more);
        };
        gained(&mut self.captured, fill.capture_x2, 0);
        gained(&mut self.net, fill.worth_x2[LONG], fill.fee);
        self.worth.iter_mut().zip(fill.worth_x2).for_each(|(to, gain)| gained(to, gain, 0));
    }
}

/// Where an end is counted; `None` while an order is open.
const fn place(end: End) -> Option<usize> {
    match end {
        End::Open => None,
        End::Filled => Some(0),
        End::Canceled => Some(1),
        End::PostOnly => Some(2),
        End::Rejected => Some(3),
    }
}

/// A block is as long as the longest horizon: what lies nearer shares the market's way.
pub(super) const BLOCK_MINUTES: i64 = 5;

/// The sums of both in each whole block that both have lived. The first minute of each is left out,
/// and the last: they begin and end in the middle of one.
pub(super) fn blocks(venue: &Rows, paper: &Rows) -> Vec<Block> {
    let first = |rows: &Rows| rows.minutes.first().map(|row| row.minute + 1);
    let last = |rows: &Rows| rows.minutes.last().map(|row| row.minute);
    let (Some(from), Some(to)) = (first(venue).max(first(paper)), last(venue).min(last(paper)))
    else {
        return Vec::new();
    };
    let count = usize::try_from((to - from) / BLOCK_MINUTES).unwrap_or(0);
    let (venue, paper) = (sums(venue, from, count), sums(paper, from, count));
    venue.into_iter().zip(paper).map(|(venue, paper)| Block { venue, paper }).collect()
}

/// The sums of one in `count` blocks from minute `from` on.
fn sums(rows: &Rows, from: i64, count: usize) -> Vec<Sums> {
    let hours = BLOCK_MINUTES as f64 / 60.0;
    let mut all = vec![Sums { hours, ..Sums::default() }; count];
    let of_minute = |minute: i64| usize::try_from((minute - from).div_euclid(BLOCK_MINUTES));
    let place = |ns: i64| of_minute(UnixNanos(ns).minute()).ok().filter(|&place| place < count);
    for order in &rows.orders {
        if let Some(place) = place(order.sent) {
            all[place].take_order(order);
        }
    }
    for fill in &rows.fills {
        if let Some(place) = place(fill.ts) {
            all[place].take_fill(fill);
        }
    }
    for pair in rows.minutes.windows(2) {
        let Ok(place) = of_minute(pair[1].minute) else { continue };
        let Some(sums) = all.get_mut(place) else { continue };
        sums.profit += (pair[1].equity - pair[0].equity) as f64 / 1e8;
        for (to, seconds) in sums.regimes.iter_mut().zip(pair[1].regimes) {
            *to += seconds as f64;
        }
    }
    all
}
