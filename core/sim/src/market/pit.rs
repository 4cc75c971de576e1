//! Pit: the market of one contract, and when what happens in it.

use keel_core::units::{Lots, Price, Side, Ticks, UnixNanos};

use crate::account::AccountId;
use crate::instrument::{Grids, InstrumentId, Status};
use crate::market::chance::Chance;
use crate::market::house::House;
use crate::market::maker::{Maker, Shape, worse};
use crate::market::path::Path;
use crate::market::recorded::QUARTER_NS;
use crate::venue::{Marks, Venue};

/// The market of one contract.
#[derive(Debug)]
pub(crate) struct Pit {
    instrument: InstrumentId,
    grids: Grids,
    houses: [AccountId; 2],
    path: Path,
    chance: Chance,
    maker: Maker,
    pace: Pace,
    /// The best bid and the best ask that the makers want.
    touch: [i64; 2],
    /// The side of the last taker.
    flow: Side,
    /// The mid, smoothed, in 1e-8 USDT.
    smooth: f64,
    due: [UnixNanos; ACTS],
}

/// How lively the market is while a candle lasts.
#[derive(Clone, Copy, Debug)]
struct Pace {
    quarter: i64,
    /// Jumps a second.
    jumps: f64,
    /// The mean size of a jump in ticks.
    jump_ticks: f64,
    /// How often takers come, against the recorded prints.
    flow: f64,
}

/// What happens in a pit; the numbers are places in [`Pit::due`], and of two acts due at one
/// instant the lower comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    /// Makers bring the book to their touch.
    Settle = 0,
    /// Takers come.
    Take = 1,
    /// The fair price jumps.
    Jump = 2,
    /// A maker joins or leaves.
    Stir = 3,
    /// Mark, index and rate are published.
    Mark = 4,
}

const ACTS: usize = 5;

impl Pit {
    /// Mark, index and rate of a path where nothing has traded yet.
    pub(crate) fn marks_at(path: &mut Path, grids: &Grids, now: UnixNanos) -> Marks {
        let price = path.price(now);
        marks_around(price, path, grids, now)
    }

    /// Moves the price that the record draws to, and goes there at once.
    pub(crate) fn scale(&mut self, venue: &mut Venue, factor: f64, now: UnixNanos) {
        self.path.scale(factor);
        self.wake(venue, now);
    }

    /// Fills the book of a contract that is listed.
    pub(crate) fn open(
        venue: &mut Venue,
        instrument: InstrumentId,
        path: Path,
        houses: [AccountId; 2],
        seed: u64,
        now: UnixNanos,
    ) -> Self {
        let mut pit = Self {
            instrument,
            grids: venue.instrument(instrument).rules.grids,
            houses,
            path,
            chance: Chance::new(seed, 0),
            maker: Maker::new(Shape { tick_bps: 1.0, unit: 1.0 }),
            pace: Pace { quarter: i64::MIN, jumps: 1.0, jump_ticks: 1.0, flow: 1.0 },
            touch: [0, 0],
            flow: Side::Buy,
            smooth: 0.0,
            due: [NEVER; ACTS],
        };
        pit.restart(venue, now);
        pit
    }

    /// The contract.
    pub(crate) const fn instrument(&self) -> InstrumentId {
        self.instrument
    }

    /// When something next happens.
    pub(crate) fn deadline(&self) -> UnixNanos {
        self.due.into_iter().min().expect("acts")
    }

    /// Where the record draws the price to.
    pub(crate) fn drawn_to(&mut self, now: UnixNanos) -> Price {
        Price(self.path.price(now) as i64)
    }

    /// Does what is due first.
    pub(crate) fn act(&mut self, venue: &mut Venue, now: UnixNanos) {
        let at = self.deadline();
        if venue.instrument(self.instrument).rules.grids != self.grids {
            self.wake(venue, now);
            return;
        }
        if self.pace.quarter != at.0.div_euclid(QUARTER_NS) {
            self.set_pace(at);
        }
        let act = ALL.into_iter().find(|&act| self.due[act as usize] == at).expect("an act is due");
        let after = self.delay_after(act);
        self.due[act as usize] = after.map_or(NEVER, |nanos| UnixNanos(at.0 + nanos));
        if act == Act::Mark {
            self.publish(venue, at, now);
            return;
        }
        if !trades(venue.instrument(self.instrument).rules.status) {
            return;
        }
        let mut house = House {
            venue,
            instrument: self.instrument,
            makers: self.houses[0],
            takers: self.houses[1],
            now,
        };
        match act {
            Act::Settle => self.settle(&mut house),
            Act::Take => self.take(&mut house),
            Act::Jump => self.jump(&mut house, at),
            Act::Stir => {
                let side = Side::BOTH[self.chance.below(2) as usize];
                self.maker.stir(side, self.touch[side.index()], &mut house, &mut self.chance);
            }
            Act::Mark => unreachable!("published above"),
        }
    }

    /// Goes on after a pause, or after the rules have changed: the fair price leaps to the path.
    pub(crate) fn wake(&mut self, venue: &mut Venue, now: UnixNanos) {
        let grids = venue.instrument(self.instrument).rules.grids;
        if grids != self.grids {
            self.grids = grids;
            self.maker.forget();
        }
        self.restart(venue, now);
    }

    fn restart(&mut self, venue: &mut Venue, now: UnixNanos) {
        self.set_pace(now);
        let price = self.path.price(now);
        self.smooth = price;
        let bid = (price / self.tick()) as i64;
        self.touch = [bid, bid + 1];
        for act in ALL {
            let delay = self.delay_after(act);
            self.due[act as usize] = delay.map_or(NEVER, |nanos| UnixNanos(now.0 + nanos));
        }
        let mut house = House {
            venue,
            instrument: self.instrument,
            makers: self.houses[0],
            takers: self.houses[1],
            now,
        };
        for side in Side::BOTH {
            self.maker.withdraw(side, worse(side, self.touch[side.index()], -1), &mut house);
        }
        for taker in Side::BOTH {
            self.clear_way(taker, &mut house);
        }
        self.settle(&mut house);
        self.publish(venue, now, now);
    }

    /// The candle around `at` sets how often and how far the price jumps: with `v` its range
    /// against that of the candles of the recorded prints, `v^(1/2)` and `v^(3/4)`, so that the
    /// deviation of the price goes with `v`.
    fn set_pace(&mut self, at: UnixNanos) {
        let range = self.path.range_bps(at);
        let lively = (range / CALM_RANGE_BPS).clamp(0.3, 30.0);
        let root = lively.sqrt();
        let tick_bps = self.tick() / self.path.price(at) * 1e4;
        let lot_value = self.grids.size_e8(Lots(1)) as f64 / 1e16 * self.path.price(at);
        // Lots of BTCUSDT are those of the record, whatever its price.
        let unit =
            if lot_value < 2.0 * RECORDED_LOT_USDT { 1.0 } else { RECORDED_LOT_USDT / lot_value };
        self.maker.reshape(Shape { tick_bps, unit });
        self.pace = Pace {
            quarter: at.0.div_euclid(QUARTER_NS),
            jumps: JUMPS * root,
            jump_ticks: JUMP_BPS * root * root.sqrt() / tick_bps,
            flow: root.clamp(0.7, 3.0),
        };
    }

    fn delay_after(&mut self, act: Act) -> Option<i64> {
        let chance = &mut self.chance;
        let nanos = match act {
            Act::Settle => return None,
            Act::Take if chance.happens(CLUSTERED) => chance.between(MILLI, 8 * MILLI),
            Act::Take => (chance.exponential() * TAKE_NS / self.pace.flow) as i64 + MILLI,
            Act::Jump => (chance.exponential() * 1e9 / self.pace.jumps) as i64 + MILLI,
            Act::Stir => chance.between(8 * MILLI, 42 * MILLI),
            Act::Mark => chance.between(180 * MILLI, 220 * MILLI),
        };
        Some(nanos)
    }

    fn settle(&mut self, house: &mut House<'_>) {
        for taker in Side::BOTH {
            self.clear_way(taker, house);
        }
        for side in Side::BOTH {
            self.maker.settle(side, self.touch[side.index()], house, &mut self.chance);
        }
    }

    /// Takes what others rest where the makers want to stand: it is a bargain at the fair price.
    fn clear_way(&mut self, taker: Side, house: &mut House<'_>) {
        let limit = worse(taker, self.touch[taker.opposite().index()], 1);
        let stands = house.best(taker.opposite());
        if stands.is_some_and(|best| (limit - best) * taker.sign() >= 0) {
            house.take(taker, limit, self.lots(SWEEP_LOTS));
        }
    }

    /// A few prints in one instant, mostly from the side of the last.
    fn take(&mut self, house: &mut House<'_>) {
        if self.chance.happens(TURNED) {
            self.flow = self.flow.opposite();
        }
        let taker = self.flow;
        let limit = worse(taker, self.touch[taker.opposite().index()], -2);
        let mut size = self.chance.quantile(&PRINT_LOTS);
        for _ in 0..PRINTS_MAX {
            house.take(taker, limit, self.lots(size));
            if !self.chance.happens(ANOTHER) {
                break;
            }
            // What follows within the instant is mostly dust.
            size = self.chance.quantile(&PRINT_LOTS).min(self.chance.quantile(&PRINT_LOTS));
        }
    }

    /// The fair price jumps, rather toward the path than away from it. Takers run ahead of it, or
    /// the makers are quicker and clear the way; what others rest in it is taken in either case.
    fn jump(&mut self, house: &mut House<'_>, at: UnixNanos) {
        let target = self.path.price(at) / self.tick();
        let mid = (self.touch[0] + self.touch[1]) as f64 / 2.0;
        let pull = (target - mid) / (PULL_JUMPS * self.pace.jump_ticks);
        let taker = if self.chance.happens(0.5 + pull.clamp(-1.0, 1.0) / 2.0) {
            Side::Buy
        } else {
            Side::Sell
        };
        // Left behind by a leap of the record, the price runs after it.
        let mean = self.pace.jump_ticks * pull.abs().max(1.0);
        let ticks = (self.chance.exponential() * mean) as i64 + 1;
        let gap = if self.chance.happens(TIGHT) { 1 } else { self.chance.between(2, 4) };
        let bid = (self.touch[0] + taker.sign() * ticks).max(1);
        self.touch = [bid, bid + gap];
        let maker = taker.opposite();
        let limit = worse(taker, self.touch[maker.index()], 1);
        if self.chance.happens(SWEPT) {
            if self.chance.happens(THINNED) {
                self.maker.thin(maker, house, &mut self.chance);
            }
            house.take(taker, limit, self.lots(SWEEP_LOTS));
            self.flow = taker;
        } else {
            self.maker.withdraw(maker, limit, house);
            self.clear_way(taker, house);
        }
        let delay = self.chance.between(MILLI, SETTLE_NS_MAX);
        self.due[Act::Settle as usize] = UnixNanos(at.0 + delay);
    }

    fn publish(&mut self, venue: &mut Venue, at: UnixNanos, now: UnixNanos) {
        let book = &venue.instrument(self.instrument).book;
        if let (Some(bid), Some(ask)) = (book.best(Side::Buy), book.best(Side::Sell)) {
            let mid = (bid.0 + ask.0) as f64 / 2.0 * self.tick();
            self.smooth += (mid - self.smooth) * SMOOTHING;
        }
        let marks = marks_around(self.smooth, &mut self.path, &self.grids, at);
        // Rules that somebody has changed may refuse the price; it then stands where it was.
        let _ = venue.set_marks(self.instrument, marks, now);
    }

    fn lots(&self, recorded: f64) -> i64 {
        self.maker.lots(recorded)
    }

    /// A tick in 1e-8 USDT.
    fn tick(&self) -> f64 {
        self.grids.price_of(Ticks(1)).0 as f64
    }
}

/// The mark lies on the tick, as the real one does; the index is an average and lies anywhere.
fn marks_around(price: f64, path: &mut Path, grids: &Grids, now: UnixNanos) -> Marks {
    let premium = path.premium(now);
    let mark = Price((price * (1.0 + premium.mark)) as i64);
    Marks {
        mark: grids.price_of(grids.floor_to_tick(mark)),
        index: Price((price * (1.0 + premium.index)) as i64),
        funding_rate: path.funding_rate(now),
    }
}

/// Whether agents may place orders.
const fn trades(status: Status) -> bool {
    match status {
        Status::Online | Status::LimitOpen | Status::RestrictedApi => true,
        Status::Listed | Status::Maintain | Status::Offline => false,
    }
}

const ALL: [Act; ACTS] = [Act::Settle, Act::Take, Act::Jump, Act::Stir, Act::Mark];
const NEVER: UnixNanos = UnixNanos(i64::MAX);
const MILLI: i64 = 1_000_000;

/// The range of a candle at which the figures below hold: that of the candles of the recorded
/// prints.
const CALM_RANGE_BPS: f64 = 20.0;
/// Jumps a second.
const JUMPS: f64 = 0.4;
/// The mean size of a jump.
const JUMP_BPS: f64 = 0.29;
/// The distance from the path, in mean jumps, at which every jump goes toward it.
const PULL_JUMPS: f64 = 24.0;
/// The share of jumps in which takers are quicker than makers.
const SWEPT: f64 = 0.45;
/// The share of those before which the makers have taken most of the touch away.
const THINNED: f64 = 0.9;
/// What a jump takes at most, in lots of the recorded prints: 30 BTC.
const SWEEP_LOTS: f64 = 300_000.0;
/// The share of jumps after which the spread is one tick.
const TIGHT: f64 = 0.85;
/// The makers have brought the book to a jumped price after so long.
const SETTLE_NS_MAX: i64 = 30 * MILLI;

/// The share of takers that come within milliseconds of the one before.
const CLUSTERED: f64 = 0.35;
/// The mean time between the others.
const TAKE_NS: f64 = 0.95e9;
/// The share of takers that come from the other side than the one before.
const TURNED: f64 = 0.3;
/// The chance of each further print in one instant.
const ANOTHER: f64 = 0.5;
/// Prints in one instant.
const PRINTS_MAX: usize = 8;
/// A lot of the recorded prints, 0.0001 BTC at 68,000.
const RECORDED_LOT_USDT: f64 = 6.8;
/// Sizes of the recorded prints in lots, as quantiles (`core/sim/data/make.py DIRECTORY --bursts`).
const PRINT_LOTS: [(f64, f64); 16] = [
    (0.0, 0.0),
    (0.34, 0.9),
    (0.45, 3.0),
    (0.5, 7.0),
    (0.55, 10.0),
    (0.6, 26.0),
    (0.65, 35.0),
    (0.7, 49.0),
    (0.75, 97.0),
    (0.8, 149.0),
    (0.85, 308.0),
    (0.9, 752.0),
    (0.95, 1_904.0),
    (0.98, 4_229.0),
    (0.995, 11_041.0),
    (1.0, 30_026.0),
];

/// How much of the way to the mid the price under mark and index goes at each publishing.
const SMOOTHING: f64 = 0.3;
