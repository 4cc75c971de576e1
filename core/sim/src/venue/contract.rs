//! Contract: a listed instrument with its book, marks and public history.

use std::collections::VecDeque;

use keel_core::decimal::POW10;
use keel_core::units::{E8, Lots, Price, Rate, Side, Ticks, UnixNanos};

use super::{Ids, Venue};
use crate::account::{AccountId, Holding};
use crate::candle::{Candle, Candles};
use crate::event::{Level, Print, VenueEvent};
use crate::funding;
use crate::instrument::{BandReference, Grids, InstrumentId, Rules, RulesError, Status, VALUE_MAX};
use crate::matching::Book;
use crate::order::{CancelReason, OrderId};

/// A contract with its market.
#[derive(Debug)]
pub struct Instrument {
    /// The place in the venue.
    pub id: InstrumentId,
    /// The rules in force.
    pub rules: Rules,
    /// The book.
    pub book: Book,
    /// The book's number: it increases with each order that changes the book, and not by one.
    pub seq: u64,
    /// Mark, index and rate.
    pub marks: Marks,
    /// The price of the last print; the mark before the first one.
    pub last: Price,
    /// The next funding.
    pub next_funding: UnixNanos,
    /// Bars of prints.
    pub candles: Candles,
    /// Bars of the mark.
    pub mark_candles: Candles,
    /// Bars of the index.
    pub index_candles: Candles,
    /// The latest prints, oldest first; at most [`PRINTS_MAX`].
    pub prints: VecDeque<Print>,
    /// The latest fundings, oldest first; at most [`FUNDINGS_MAX`].
    pub fundings: VecDeque<FundingRate>,
    pub(super) outside_interest: Lots,
}

/// What the market around the venue says of a contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marks {
    /// The mark price.
    pub mark: Price,
    /// The index price.
    pub index: Price,
    /// The rate of the next funding, as last published.
    pub funding_rate: Rate,
}

/// A funding of the past.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FundingRate {
    /// The rate.
    pub rate: Rate,
    /// The grid instant.
    pub at: UnixNanos,
}

/// The last day of a contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Day {
    /// One bar of the last 24 hours.
    pub bar: Candle,
    /// The first price of the current UTC day.
    pub open_utc: Price,
}

impl Venue {
    /// Lists a contract, before accounts are opened or after.
    ///
    /// # Errors
    /// What is wrong with the rules or the marks.
    ///
    /// # Panics
    /// At the 65,536th contract.
    pub fn list(&mut self, rules: Rules, marks: Marks) -> Result<InstrumentId, RulesError> {
        rules.check()?;
        rules.check_marks(marks.mark, marks.index)?;
        if self.find(&rules.symbol).is_some() {
            return Err(RulesError::Name);
        }
        let id = InstrumentId(u16::try_from(self.instruments.len()).expect("fewer contracts"));
        for account in &mut self.accounts {
            account.holdings.push(Holding::new(&rules));
        }
        let next_funding = funding::next_instant(rules.fund_interval_hours, self.now);
        self.instruments.push(Instrument {
            id,
            book: Book::new(),
            seq: Ids::next(&mut self.ids.seq),
            last: marks.mark,
            marks,
            next_funding,
            candles: Candles::default(),
            mark_candles: Candles::default(),
            index_candles: Candles::default(),
            prints: VecDeque::new(),
            fundings: VecDeque::new(),
            outside_interest: Lots::ZERO,
            rules,
        });
        self.due = self.due.min(next_funding);
        Ok(id)
    }

    /// Changes a contract's rules. When a grid changes, every resting order of the contract is
    /// canceled, prints are forgotten and positions are converted.
    ///
    /// # Errors
    /// What is wrong with the rules; nothing has changed then.
    pub fn change_rules(
        &mut self,
        instrument: InstrumentId,
        rules: Rules,
        now: UnixNanos,
    ) -> Result<(), RulesError> {
        self.advance(now);
        let market = self.instrument(instrument);
        rules.check()?;
        rules.check_marks(market.marks.mark, market.marks.index)?;
        if rules.symbol != market.rules.symbol {
            return Err(RulesError::Name);
        }
        let before = market.rules.grids;
        if rules.grids != before {
            self.convert_positions(instrument, before, rules.grids)?;
            self.clear_book(instrument, CancelReason::Contract);
            self.instruments[instrument.index()].prints.clear();
        }
        let closed = rules.status == Status::Offline;
        let now = self.now;
        let market = &mut self.instruments[instrument.index()];
        market.next_funding = funding::next_instant(rules.fund_interval_hours, now);
        self.due = self.due.min(market.next_funding);
        market.rules = rules;
        self.events.push(VenueEvent::Rules(instrument));
        if closed {
            self.clear_book(instrument, CancelReason::Contract);
        }
        Ok(())
    }

    /// Changes whether a contract trades. One that goes offline loses all its orders.
    pub fn set_status(&mut self, instrument: InstrumentId, status: Status, now: UnixNanos) {
        self.advance(now);
        self.instruments[instrument.index()].rules.status = status;
        self.events.push(VenueEvent::Rules(instrument));
        if status == Status::Offline {
            self.clear_book(instrument, CancelReason::Contract);
        }
    }

    /// Sets mark, index and rate, and liquidates what can no longer be held.
    ///
    /// # Errors
    /// [`RulesError::Mark`]; nothing has changed then.
    pub fn set_marks(
        &mut self,
        instrument: InstrumentId,
        marks: Marks,
        now: UnixNanos,
    ) -> Result<(), RulesError> {
        self.advance(now);
        let now = self.now;
        self.check_marks(instrument, &marks)?;
        let market = &mut self.instruments[instrument.index()];
        if market.candles.minutes().is_empty() && market.prints.is_empty() {
            market.last = marks.mark;
        }
        market.marks = marks;
        market.mark_candles.touch(marks.mark, now);
        market.index_candles.touch(marks.index, now);
        self.events.push(VenueEvent::Ticker(instrument));
        self.liquidate_due();
        Ok(())
    }

    fn check_marks(&self, instrument: InstrumentId, marks: &Marks) -> Result<(), RulesError> {
        let rules = &self.instrument(instrument).rules;
        rules.check_marks(marks.mark, marks.index)?;
        let clients = self.accounts.iter().filter(|account| !account.house);
        let largest = clients
            .flat_map(|account| &account.holding(instrument).positions)
            .map(|position| position.lots.0.abs())
            .max();
        let size = i128::from(largest.unwrap_or(0)) * i128::from(rules.grids.size.step);
        let value = i128::from(marks.mark.0) * size
            / i128::from(POW10[usize::from(rules.grids.size.scale)]);
        if value > i128::from(VALUE_MAX.0) || marks.funding_rate.0.unsigned_abs() > E8 as u64 {
            return Err(RulesError::Mark);
        }
        Ok(())
    }

    /// Gives a contract its history of one-minute bars before it trades: of prints, of the mark
    /// and of the index. The last close of prints becomes the last price.
    ///
    /// # Panics
    /// When bars do not begin on minutes or do not ascend.
    pub fn seed_candles(
        &mut self,
        instrument: InstrumentId,
        last: &[Candle],
        mark: &[Candle],
        index: &[Candle],
    ) {
        let market = &mut self.instruments[instrument.index()];
        market.candles.seed(last);
        market.mark_candles.seed(mark);
        market.index_candles.seed(index);
        if let Some(bar) = last.last() {
            market.last = bar.close;
        }
    }

    /// Books the middle of each book into its bars, without a trade: for time that is moved ahead,
    /// in which the market leaps and nobody trades.
    pub(crate) fn touch_candles(&mut self, now: UnixNanos) {
        for market in &mut self.instruments {
            let best =
                |side| market.book.best(side).map(|price| market.rules.grids.price_of(price));
            let middle = best(Side::Buy).zip(best(Side::Sell));
            let middle = middle.map_or(market.last, |(bid, ask)| Price((bid.0 + ask.0) / 2));
            let tick = market.rules.grids.floor_to_tick(middle);
            market.candles.touch(market.rules.grids.price_of(tick), now);
        }
    }

    /// Gives a contract its history of funding rates, ascending; the latest are kept.
    ///
    /// # Panics
    /// When they do not ascend.
    pub fn seed_fundings(&mut self, instrument: InstrumentId, fundings: &[FundingRate]) {
        assert!(fundings.windows(2).all(|pair| pair[0].at < pair[1].at), "fundings ascend");
        let first = fundings.len().saturating_sub(FUNDINGS_MAX);
        self.instruments[instrument.index()].fundings = fundings[first..].iter().copied().collect();
    }

    /// States how much is held by people who are not modeled; it only adds to the open interest.
    pub fn set_outside_interest(&mut self, instrument: InstrumentId, lots: Lots) {
        self.instruments[instrument.index()].outside_interest = lots;
    }

    /// What is held long, by all accounts and by people who are not modeled.
    pub fn open_interest(&self, instrument: InstrumentId) -> Lots {
        let held =
            |holding: &Holding| holding.positions.iter().map(|p| p.lots.0.max(0)).sum::<i64>();
        let modeled: i64 = self.accounts.iter().map(|a| held(a.holding(instrument))).sum();
        Lots(modeled) + self.instrument(instrument).outside_interest
    }

    /// The last 24 hours of a contract; none before the first bar.
    pub fn day(&self, instrument: InstrumentId, now: UnixNanos) -> Option<Day> {
        let candles = &self.instrument(instrument).candles;
        let last = candles.minutes().back()?;
        let bar = candles
            .since(UnixNanos(now.0 - UnixNanos::DAY))
            .unwrap_or(Candle::still(last.close, last.start));
        let midnight = UnixNanos(now.day() * UnixNanos::DAY);
        let open_utc = candles.open_since(midnight).unwrap_or(last.close);
        Some(Day { bar, open_utc })
    }

    /// Tells of the levels that one order changed, under one number.
    pub(super) fn publish_levels(&mut self, instrument: InstrumentId) {
        let market = &mut self.instruments[instrument.index()];
        market.book.take_changes(&mut self.changes);
        if self.changes.is_empty() {
            return;
        }
        self.changes.sort_unstable_by_key(|&(side, price)| (side.index(), price));
        self.changes.dedup();
        // Odd and uneven steps, so that nobody learns to count on consecutive numbers.
        market.seq += 2 * self.changes.len() as u64 + 1;
        for &(side, price) in &self.changes {
            let size = market.book.size_at(side, price);
            let seq = market.seq;
            self.events.push(VenueEvent::Level(Level { instrument, seq, side, price, size }));
        }
    }

    /// Cancels everything that rests in a contract: clients' orders for `reason`, agents' silently.
    fn clear_book(&mut self, instrument: InstrumentId, reason: CancelReason) {
        let book = &self.instruments[instrument.index()].book;
        let mut resting = Vec::with_capacity(book.len());
        for side in Side::BOTH {
            resting.extend(book.keys(side));
        }
        for key in resting {
            let book = &mut self.instruments[instrument.index()].book;
            let order = book.cancel(key).expect("it rested a moment ago");
            if !self.account(AccountId(order.owner)).house {
                self.end(OrderId(order.id), reason);
            }
        }
        self.publish_levels(instrument);
    }

    fn convert_positions(
        &mut self,
        instrument: InstrumentId,
        before: Grids,
        after: Grids,
    ) -> Result<(), RulesError> {
        let convert = |lots: Lots| -> Result<Lots, RulesError> {
            let units = i128::from(lots.0)
                * i128::from(before.size.step)
                * i128::from(POW10[usize::from(after.size.scale)]);
            let lot =
                i128::from(after.size.step) * i128::from(POW10[usize::from(before.size.scale)]);
            let fits = i64::try_from(units / lot).ok().filter(|_| units % lot == 0);
            fits.map(Lots).ok_or(RulesError::PositionOffGrid)
        };
        for account in self.accounts.iter().filter(|account| !account.house) {
            for position in &account.holding(instrument).positions {
                convert(position.lots)?;
                convert(position.opened_lots)?;
            }
        }
        for account in &mut self.accounts {
            for position in &mut account.holdings[instrument.index()].positions {
                position.lots = convert(position.lots).unwrap_or(Lots::ZERO);
                position.opened_lots = convert(position.opened_lots).unwrap_or(Lots::ZERO);
            }
        }
        Ok(())
    }
}

impl Instrument {
    /// The highest price of a buy, or the lowest of a sell, around the price that the rules name.
    pub fn band(&self, side: Side) -> Ticks {
        let reference = i128::from(match self.rules.band_reference {
            BandReference::Mark => self.marks.mark.0,
            BandReference::Last => self.last.0,
        });
        let e8 = i128::from(E8);
        let (share, floor) = match side {
            Side::Buy => (e8 + i128::from(self.rules.buy_band.0), true),
            Side::Sell => (e8 - i128::from(self.rules.sell_band.0), false),
        };
        let price =
            Price(i64::try_from(reference * share / e8).expect("prices are far below the range"));
        if floor {
            self.rules.grids.floor_to_tick(price)
        } else {
            self.rules.grids.ceil_to_tick(price)
        }
    }
}

/// Prints that a contract keeps.
pub const PRINTS_MAX: usize = 1_000;
/// Fundings of the past that a contract keeps.
pub const FUNDINGS_MAX: usize = 1_000;
