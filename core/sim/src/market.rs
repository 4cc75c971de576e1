//! The living market: agents that keep the books and trade in them, around the recorded prices.
//!
//! Each contract has a *path*, made of the recorded candles; makers that keep some two
//! hundred levels a side around a fair price of theirs; takers that print in clusters; and now and
//! then a jump of the fair price, drawn toward the path, which takes or clears every order in its
//! way. Mark, index and funding rate follow the record. What a client rests in the way of a jump is
//! filled, what it rests at the touch waits its turn, and what it takes comes back within
//! milliseconds.
//!
//! # Time
//!
//! The market maps the instant at which it opens to the same time of day on a day of the record
//! that the seed draws among the calm ones, a whole number of days earlier; so recorded candles,
//! funding instants and UTC days fall on those of the clock. Every time stamp that anybody sees is
//! the clock's, never the record's. Past the end of the record the path walks back through it.
//!
//! # Determinism
//!
//! The same seed, opening instant, calls and instants of the calls give the same market on every
//! machine: nothing here reads a clock, and floats see only exactly rounded operations.

pub(crate) mod chance;
mod house;
mod maker;
mod path;
mod pit;
mod recorded;

use keel_core::units::{Lots, Price, UnixNanos};

use crate::instrument::{InstrumentId, Rules};
use crate::venue::{FundingRate, Venue};
use path::Path;
use pit::Pit;

/// The market of one venue: BTCUSDT and ETHUSDT.
#[derive(Debug)]
pub struct Market {
    pits: Vec<Pit>,
    shift: i64,
}

/// What decides a market.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Decides everything that chance decides.
    pub seed: u64,
    /// One-minute bars of the past that the venue is given; at most [`HISTORY_MINUTES_MAX`]. The
    /// figures of the last 24 hours need 1,440.
    pub history_minutes: u32,
}

impl Settings {
    /// The settings of a seed, with two days of history.
    pub const fn new(seed: u64) -> Self {
        Self { seed, history_minutes: 2 * 1_440 }
    }
}

impl Market {
    /// Lists BTCUSDT and ETHUSDT at `venue`, gives them their past (candles of last price, mark and
    /// index, fundings), and fills their books.
    ///
    /// # Panics
    /// When the venue has a contract of these names already, or an account named as the market's
    /// (`market-makers`, `market-takers`).
    pub fn open(venue: &mut Venue, settings: &Settings, now: UnixNanos) -> Self {
        let shift = path::calm_shift(settings.seed, now);
        let makers = venue.open_house("market-makers", now);
        let takers = venue.open_house("market-takers", now);
        let listings = [
            (Rules::btcusdt(), Path::btcusdt(settings.seed, shift), BTC_OUTSIDE),
            (Rules::ethusdt(), Path::ethusdt(settings.seed, shift), ETH_OUTSIDE),
        ];
        let mut pits = Vec::new();
        for (rules, mut path, outside) in listings {
            let marks = Pit::marks_at(&mut path, &rules.grids, now);
            let instrument = venue.list(rules, marks).expect("the market's own rules hold");
            venue.set_outside_interest(instrument, outside);
            seed_history(venue, instrument, &mut path, settings, now);
            let seed = settings.seed.wrapping_add(u64::from(instrument.0));
            pits.push(Pit::open(venue, instrument, path, [makers, takers], seed, now));
        }
        Self { pits, shift }
    }

    /// The instant at which [`Market::step`] is next needed.
    pub fn deadline(&self) -> UnixNanos {
        self.pits.iter().map(Pit::deadline).min().unwrap_or(UnixNanos(i64::MAX))
    }

    /// Lets a contract stand still: its agents go, and leave their orders where they are.
    pub fn still(&mut self, instrument: InstrumentId) {
        self.pits.retain(|pit| pit.instrument() != instrument);
    }

    /// Lets the agents do all that was due up to `now`, in order. What they do is stamped `now`.
    /// After a pause longer than [`PAUSE_NS_MAX`] they do not make up for it: the fair price leaps
    /// to the path.
    pub fn step(&mut self, venue: &mut Venue, now: UnixNanos) {
        for pit in &mut self.pits {
            if now.0.saturating_sub(pit.deadline().0) > PAUSE_NS_MAX {
                pit.wake(venue, now);
            }
        }
        while let Some(pit) = self.pits.iter_mut().min_by_key(|pit| pit.deadline()) {
            if pit.deadline() > now {
                break;
            }
            pit.act(venue, now);
        }
    }

    /// Moves the price of a contract to so much per million of what it is, and all that the record
    /// draws it to from then on with it. What rests in the way is taken. False when the contract is
    /// not this market's.
    pub fn move_price(
        &mut self,
        venue: &mut Venue,
        instrument: InstrumentId,
        to_ppm: u32,
        now: UnixNanos,
    ) -> bool {
        let Some(pit) = self.pits.iter_mut().find(|pit| pit.instrument() == instrument) else {
            return false;
        };
        pit.scale(venue, f64::from(to_ppm) / 1e6, now);
        true
    }

    /// How many whole days the record lies before the clock.
    pub const fn days_behind(&self) -> i64 {
        self.shift
    }

    /// Where the record draws the price of a contract to; none of a contract that is not the
    /// market's.
    pub fn drawn_to(&mut self, instrument: InstrumentId, now: UnixNanos) -> Option<Price> {
        self.pits.iter_mut().find(|pit| pit.instrument() == instrument).map(|pit| pit.drawn_to(now))
    }
}

fn seed_history(
    venue: &mut Venue,
    instrument: InstrumentId,
    path: &mut Path,
    settings: &Settings,
    now: UnixNanos,
) {
    let minutes = i64::from(settings.history_minutes.min(HISTORY_MINUTES_MAX));
    let bars = path.bars(UnixNanos(now.0 - minutes * UnixNanos::MINUTE), now);
    venue.seed_candles(instrument, &bars.last, &bars.mark, &bars.index);
    let hours = venue.instrument(instrument).rules.fund_interval_hours;
    let step = i64::from(hours) * 60 * UnixNanos::MINUTE;
    let last = now.0.div_euclid(step);
    let fundings: Vec<FundingRate> = (last - FUNDINGS_SEEDED + 1..=last)
        .map(|number| UnixNanos(number * step))
        .map(|at| FundingRate { rate: path.funding_rate(UnixNanos(at.0 - 1)), at })
        .collect();
    venue.seed_fundings(instrument, &fundings);
}

/// The longest history in one-minute bars: what a venue keeps.
pub const HISTORY_MINUTES_MAX: u32 = crate::candle::CANDLES_MAX as u32;
/// The longest pause, in nanoseconds, that the agents make up for.
pub const PAUSE_NS_MAX: i64 = 5_000_000_000;
/// What people who are not modeled hold; the record does not say, so these are round numbers:
/// 30,000 BTC and 400,000 ETH.
const BTC_OUTSIDE: Lots = Lots(300_000_000);
const ETH_OUTSIDE: Lots = Lots(40_000_000);
/// Fundings of the past that a contract is given.
const FUNDINGS_SEEDED: i64 = 100;

/// So much of the past that the record surely has it before any drawn day.
const _: () = assert!(HISTORY_MINUTES_MAX as i64 <= 7 * 1_440);
