//! The fit: how often and how deep takers' orders reach beyond the mid, for the model `glft`.
//!
//! The engine's agent shows each print with the mid that its quotes were made by, and that the book
//! is seen. A taker's order, which is all prints of one side at one time of the venue, reaches as
//! deep as its deepest print: an order of ours that stood no farther from that mid would have been
//! reached. Over the newest stretch of time in which the book was seen, the rates at which twenty
//! depths are reached are fitted by A·e^(−kδ), and told to the engine as an event. Floats are at
//! home here: the engine is told integers, and a replay reads them.

use std::collections::VecDeque;

use keel_core::event::{Coefficients, Trade};
use keel_core::glft;
use keel_core::instrument::InstrumentId;
use keel_core::units::{E8, MonoNanos, SECONDS, Side, Ticks, UnixNanos};

/// What the engine's agent has seen of one instrument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sight {
    /// Which.
    pub instrument: InstrumentId,
    /// When.
    pub at: MonoNanos,
    /// Twice the mid that quotes are made by, in ticks.
    pub mid_x2: i64,
    /// A print; `None` when it only says that the book is seen.
    pub print: Option<Print>,
    /// Sights before this one found no room and are lost.
    pub after_loss: bool,
}

/// A public trade as far as the fit goes by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Print {
    /// The taker's side.
    pub taker: Side,
    /// Where.
    pub price: Ticks,
    /// The matching engine's time.
    pub ts: UnixNanos,
}

impl Print {
    /// Of a trade.
    pub const fn of(trade: &Trade) -> Self {
        Self { taker: trade.taker, price: trade.price, ts: trade.ts }
    }
}

/// The fits of all instruments of a run.
#[derive(Debug)]
pub struct Fit {
    lines: Vec<Line>,
    window_ns: u64,
}

impl Fit {
    /// Nothing seen of so many instruments; each is fitted to the newest `window_ns` in which its
    /// book was seen.
    pub fn new(instruments: usize, window_ns: u64) -> Self {
        Self { lines: (0..instruments).map(|_| Line::default()).collect(), window_ns }
    }

    /// Takes in a sight; gives a fit once a minute in which the book was seen, if there is one.
    ///
    /// # Panics
    /// When there is no such instrument.
    pub fn see(&mut self, sight: &Sight) -> Option<Coefficients> {
        let line = &mut self.lines[sight.instrument.index()];
        line.see(sight);
        if line.seen_ns < line.due_ns {
            return None;
        }
        line.due_ns = line.seen_ns + FIT_NS;
        line.fit(sight.instrument, self.window_ns)
    }
}

/// What is known of one instrument.
#[derive(Debug, Default)]
struct Line {
    last: Option<MonoNanos>,
    /// How long the book has been seen, and at how much of it the next fit is due.
    seen_ns: u64,
    due_ns: u64,
    /// Takers' orders, oldest first.
    reaches: VecDeque<Reach>,
    /// The taker's order of each side that may not be over.
    open: [Option<Open>; 2],
    /// Orders before this are not kept any more.
    kept_from_ns: u64,
}

/// A taker's order that went beyond the mid.
#[derive(Clone, Copy, Debug)]
struct Reach {
    /// How long the book had been seen then.
    seen_ns: u64,
    /// How deep, in bp of the mid.
    depth_bp: f64,
}

/// A taker's order, print by print.
#[derive(Clone, Copy, Debug)]
struct Open {
    ts: UnixNanos,
    mid_x2: i64,
    depth_bp: f64,
}

impl Line {
    fn see(&mut self, sight: &Sight) {
        let since = self.last.replace(sight.at).map(|last| sight.at.since(last));
        match since {
            Some(since) if since <= UNSEEN_NS_MAX && !sight.after_loss => self.seen_ns += since,
            // What came meanwhile is not known, nor how much of an order was.
            _ => self.open = [None; 2],
        }
        let Some(print) = sight.print else { return };
        let place = print.taker.index();
        match &mut self.open[place] {
            Some(open) if open.ts == print.ts => {
                open.depth_bp = open.depth_bp.max(depth_bp(&print, open.mid_x2));
            }
            open => {
                let (ts, mid_x2) = (print.ts, sight.mid_x2);
                let over = open.replace(Open { ts, mid_x2, depth_bp: depth_bp(&print, mid_x2) });
                self.keep(over);
            }
        }
    }

    fn keep(&mut self, over: Option<Open>) {
        let Some(Open { depth_bp, .. }) = over.filter(|open| open.depth_bp > 0.0) else { return };
        if self.reaches.len() == REACHES_MAX
            && let Some(oldest) = self.reaches.pop_front()
        {
            self.kept_from_ns = oldest.seen_ns;
        }
        self.reaches.push_back(Reach { seen_ns: self.seen_ns, depth_bp });
    }

    fn fit(&mut self, instrument: InstrumentId, window_ns: u64) -> Option<Coefficients> {
        for place in 0..2 {
            let over = self.open[place].take();
            self.keep(over);
        }
        let from = self.seen_ns.saturating_sub(window_ns).max(self.kept_from_ns);
        while self.reaches.front().is_some_and(|reach| reach.seen_ns < from) {
            self.reaches.pop_front();
        }
        let seen_ns = self.seen_ns - from;
        if seen_ns < SEEN_NS_MIN {
            return None;
        }
        let mut depths: Vec<f64> = self.reaches.iter().map(|reach| reach.depth_bp).collect();
        let orders = u32::try_from(depths.len()).ok()?;
        let Curve { arrivals, decay, error } = curve(&mut depths, seen_ns as f64 / 1e9)?;
        let coefficients = Coefficients {
            instrument,
            arrivals_per_s_e8: (arrivals * E8 as f64).round() as i64,
            decay_per_bp_e8: (decay * E8 as f64).round() as i64,
            orders,
            seen_ns,
            error_e4: (error * 1e4).round() as u32,
        };
        glft::is_sound(&coefficients).then_some(coefficients)
    }
}

/// How far beyond the mid a print was, in bp of it; negative on the near side.
fn depth_bp(print: &Print, mid_x2: i64) -> f64 {
    let away = (2 * print.price.0 - mid_x2) * print.taker.sign();
    away as f64 / mid_x2 as f64 * 1e4
}

/// A·e^(−kδ).
struct Curve {
    arrivals: f64,
    decay: f64,
    /// Root of the mean square by which logarithms of rates miss it.
    error: f64,
}

/// The line through the logarithms of the rates at which [`DEPTHS`] depths are reached, evenly
/// spaced to the one that a hundredth of the orders reach, [`DEEPEST`] at least. A rate is one
/// side's: half of all. `None` where too few orders came, where they all reach the same depth, and
/// where no exponential fits.
fn curve(depths: &mut [f64], seen_s: f64) -> Option<Curve> {
    if depths.len() < ORDERS_MIN {
        return None;
    }
    depths.sort_by(|a, b| b.total_cmp(a));
    let deepest = depths[DEEPEST.max(depths.len() / 100) - 1];
    let points: Vec<(f64, f64)> = (1..=DEPTHS)
        .map(|n| deepest * n as f64 / DEPTHS as f64)
        .map(|depth| {
            let reached = depths.partition_point(|&reach| reach >= depth);
            (depth, (reached as f64 / 2.0 / seen_s).ln())
        })
        .collect();
    let n = DEPTHS as f64;
    let mean = points.iter().fold((0.0, 0.0), |sum, p| (sum.0 + p.0 / n, sum.1 + p.1 / n));
    let (xx, xy) = points.iter().fold((0.0, 0.0), |sum, p| {
        let (x, y) = (p.0 - mean.0, p.1 - mean.1);
        (sum.0 + x * x, sum.1 + x * y)
    });
    let decay = -xy / xx;
    let at_mid = mean.1 + decay * mean.0;
    let squares: f64 = points.iter().map(|p| (p.1 - at_mid + decay * p.0).powi(2)).sum();
    let error = (squares / n).sqrt();
    let fits = decay.is_finite() && decay > 0.0 && error <= ERROR_MAX;
    fits.then_some(Curve { arrivals: at_mid.exp(), decay, error })
}

/// Between two fits, of the time in which the book was seen.
const FIT_NS: u64 = 60 * SECONDS;
/// Between two sights of a book that was seen all the while.
const UNSEEN_NS_MAX: u64 = 2 * SECONDS;
/// What a fit needs: so much time, so many orders.
const SEEN_NS_MIN: u64 = 120 * SECONDS;
const ORDERS_MIN: usize = 100;
/// Orders kept of one instrument, 16 bytes each.
const REACHES_MAX: usize = 50_000;
/// Depths at which rates are taken, and how many orders reach the deepest of them at least.
const DEPTHS: usize = 20;
const DEEPEST: usize = 20;
/// The error beyond which a fit is none: rates are missed by a factor of e^0.75, about two.
const ERROR_MAX: f64 = 0.75;

const _: () = assert!(DEEPEST <= ORDERS_MIN);

#[cfg(test)]
mod tests {
    use super::*;
    use keel_core::units::MILLIS;

    const ID: InstrumentId = InstrumentId(0);
    const MID_X2: i64 = 2_000_000_000;

    /// xorshift64*, as uniform in (0, 1].
    struct Draws(u64);

    impl Draws {
        fn next(&mut self) -> f64 {
            self.0 ^= self.0 >> 12;
            self.0 ^= self.0 << 25;
            self.0 ^= self.0 >> 27;
            let bits = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11;
            (bits + 1) as f64 / (1u64 << 53) as f64
        }

        fn exponential(&mut self, rate: f64) -> f64 {
            -self.next().ln() / rate
        }
    }

    /// What is seen of so many seconds of takers of both sides, A and k a side, with a beat each
    /// half second; an order is told in `parts` prints.
    fn stream(seed: u64, (arrivals, decay): (f64, f64), seconds: u64, parts: i64) -> Vec<Sight> {
        let mut draws = Draws(seed);
        let mut told = Vec::new();
        let mut at = 0.0;
        loop {
            at += draws.exponential(2.0 * arrivals);
            if at >= seconds as f64 {
                break;
            }
            let taker = if draws.next() < 0.5 { Side::Buy } else { Side::Sell };
            let depth = draws.exponential(decay);
            let ns = (at * 1e9) as u64;
            for part in 1..=parts {
                let away = depth * MID_X2 as f64 / 2e4 * part as f64 / parts as f64;
                let price = Ticks(MID_X2 / 2 + taker.sign() * away.round() as i64);
                let print = Some(Print { taker, price, ts: UnixNanos(ns as i64) });
                told.push(sight(ns, print));
            }
        }
        told.extend((0..seconds * 2).map(|n| sight(n * 500 * MILLIS, None)));
        told.sort_by_key(|sight| sight.at);
        told
    }

    fn sight(ns: u64, print: Option<Print>) -> Sight {
        Sight { instrument: ID, at: MonoNanos(ns), mid_x2: MID_X2, print, after_loss: false }
    }

    fn fits(sights: &[Sight]) -> Vec<Coefficients> {
        let mut fit = Fit::new(1, 1_800 * SECONDS);
        sights.iter().filter_map(|sight| fit.see(sight)).collect()
    }

    fn near(found: i64, known: f64, within: f64) -> bool {
        (found as f64 / E8 as f64 / known - 1.0).abs() <= within
    }

    #[test]
    fn what_a_stream_was_drawn_with_is_found_again() {
        for (seed, arrivals, decay) in
            [(1, 0.2, 3.4), (2, 2.0, 0.5), (3, 1.0, 40.0), (4, 5.0, 8.0), (5, 0.5, 0.05)]
        {
            let last = *fits(&stream(seed, (arrivals, decay), 1_800, 3)).last().expect("fits");
            println!("seed {seed}: A {arrivals}, k {decay}: {last:?}");
            // 720 orders at least: their own count is off by 4 %, what few of them reach by more.
            assert!(near(last.decay_per_bp_e8, decay, 0.15), "seed {seed}: {last:?}");
            assert!(near(last.arrivals_per_s_e8, arrivals, 0.25), "seed {seed}: {last:?}");
        }
    }

    #[test]
    fn many_orders_are_fitted_within_three_percent() {
        let last = *fits(&stream(6, (20.0, 2.0), 1_800, 1)).last().expect("fits");
        assert!(near(last.decay_per_bp_e8, 2.0, 0.03), "{last:?}");
        assert!(near(last.arrivals_per_s_e8, 20.0, 0.03), "{last:?}");
        // 50,000 are kept of 72,000: what they came in is shorter than the window.
        assert_eq!(last.orders as usize, REACHES_MAX);
        assert!(last.seen_ns < 1_300 * SECONDS, "{last:?}");
    }

    #[test]
    fn a_fit_comes_once_a_minute_and_forgets_what_lies_before_its_window() {
        let mut told = stream(7, (2.0, 1.0), 2_400, 1);
        let later = stream(8, (2.0, 4.0), 1_860, 1).into_iter().map(|mut sight| {
            sight.at = sight.at.after(2_400 * SECONDS);
            sight
        });
        told.extend(later);
        let found = fits(&told);
        assert!((68..=71).contains(&found.len()), "{} in 71 minutes", found.len());
        let [early, late] = [found[30], found[found.len() - 1]];
        assert!(near(early.decay_per_bp_e8, 1.0, 0.1), "{early:?}");
        assert!(near(late.decay_per_bp_e8, 4.0, 0.1), "{late:?}");
        assert!(late.seen_ns <= 1_800 * SECONDS);
    }

    #[test]
    fn time_in_which_the_book_was_not_seen_counts_for_nothing() {
        let whole = stream(9, (2.0, 1.0), 600, 1);
        let mut holed = whole.clone();
        for sight in &mut holed {
            if sight.at >= MonoNanos(300 * SECONDS) {
                sight.at = sight.at.after(3_600 * SECONDS);
            }
        }
        let [before, after] = [&whole, &holed].map(|told| *fits(told).last().expect("fits"));
        assert!(after.seen_ns.abs_diff(before.seen_ns) < SECONDS, "{before:?} {after:?}");
        assert!(near(after.arrivals_per_s_e8, 2.0, 0.15), "{after:?}");
        // What was lost on the link is as unseen as what was never there.
        let mut lost = whole.clone();
        lost.iter_mut().for_each(|sight| sight.after_loss = true);
        assert_eq!(fits(&lost), []);
    }

    #[test]
    fn nothing_is_made_up_where_too_little_was_seen_or_no_exponential_fits() {
        assert_eq!(fits(&stream(10, (2.0, 1.0), 115, 1)), [], "not long enough");
        assert_eq!(fits(&stream(11, (0.02, 1.0), 1_800, 1)), [], "some 70 orders");
        let one_depth = stream(12, (2.0, 1.0), 600, 1).into_iter().map(|mut sight| {
            if let Some(print) = &mut sight.print {
                print.price = Ticks(MID_X2 / 2 + print.taker.sign());
            }
            sight
        });
        assert_eq!(fits(&one_depth.collect::<Vec<_>>()), [], "all reach the same depth");
        let near_side = stream(13, (2.0, 1.0), 600, 1).into_iter().map(|mut sight| {
            if let Some(print) = &mut sight.print {
                print.taker = print.taker.opposite();
            }
            sight
        });
        assert_eq!(fits(&near_side.collect::<Vec<_>>()), [], "none goes beyond the mid");
    }
}
