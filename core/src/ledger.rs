//! The ledger: one account in exact integers, for every mode.
//!
//! `equity = start + realized + unrealized − fees + funding + transfers + other`, to the last unit.

use crate::command::Day;
use crate::digest::Digest;
use crate::event::{Bill, Fill, RestoreDay, RestorePosition};
use crate::instrument::{Instrument, InstrumentId};
use crate::position::Position;
use crate::units::{Lots, Price, Quote, UnixNanos};

/// The account.
pub struct Ledger<'m> {
    lines: &'m mut [Line],
    bills: &'m mut [u64],
}

/// Memory for one instrument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    rules: Option<Instrument>,
    position: Position,
    mark: Price,
    unrealized: Quote,
}

/// What booking a fill did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Booking {
    /// Profit realized, before fees.
    pub realized: Quote,
    /// Value traded.
    pub notional: Quote,
    /// The position after it.
    pub position: Lots,
}

/// Why the ledger cannot take something in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LedgerError {
    /// No such instrument, or its rules are not known.
    NoRules,
    /// Money or size out of range.
    Range,
    /// The table of bills is full.
    Full,
    /// New rules cannot express the position that is held.
    Grid,
}

impl<'m> Ledger<'m> {
    /// An account without money over `lines` (one for each instrument) and `bills`, whose number is a
    /// power of two.
    pub fn new(lines: &'m mut [Line], bills: &'m mut [u64]) -> Self {
        unimplemented!()
    }

    /// Takes an instrument's rules in.
    ///
    /// # Errors
    /// [`LedgerError::Grid`] when a held position is no whole number of the new lots.
    pub fn rules(&mut self, id: InstrumentId, rules: &Instrument) -> Result<(), LedgerError> {
        unimplemented!()
    }

    /// Sets the balance that the venue states once its fills and ours agree; later calls do nothing
    /// but give the difference (venue minus ours).
    pub fn start(&mut self, balance: Quote) -> Quote {
        unimplemented!()
    }

    /// Remembers the day of an earlier run; call it for past days too, oldest first.
    pub fn restore_day(&mut self, day: &RestoreDay) {
        unimplemented!()
    }

    /// Remembers a position of an earlier run.
    pub fn restore_position(&mut self, position: &RestorePosition) {
        unimplemented!()
    }

    /// Books an execution that [`TradeIds`](crate::trades::TradeIds) says is new.
    pub fn fill(&mut self, fill: &Fill) -> Result<Booking, LedgerError> {
        unimplemented!()
    }

    /// Books the fee of an execution that came without one.
    pub fn late_fee(&mut self, fee: Quote) {
        unimplemented!()
    }

    /// Books a bill once; false when its id is booked already.
    pub fn bill(&mut self, bill: &Bill) -> Result<bool, LedgerError> {
        unimplemented!()
    }

    /// Values an instrument's position at `mark`.
    pub fn mark(&mut self, id: InstrumentId, mark: Price) {
        unimplemented!()
    }

    /// Begins a new UTC day when `utc` lies in one and equity is known: once a date, however long the
    /// process was away, never backwards. Gives the new day's record.
    pub fn roll(&mut self, utc: UnixNanos) -> Option<Day> {
        unimplemented!()
    }

    /// Notes equity for peak and high-water mark; call it after events that move money or marks.
    pub fn observe(&mut self) {
        unimplemented!()
    }

    /// Counts a cancel episode; gives its number today.
    pub fn cancel_episode(&mut self) -> u32 {
        unimplemented!()
    }

    /// Cancel episodes today.
    pub fn cancel_episodes(&self) -> u32 {
        unimplemented!()
    }

    /// Sets the high-water mark to the equity of now, at an operator's rearm.
    pub fn rearm(&mut self) {
        unimplemented!()
    }

    /// The durable day.
    pub fn day(&self, rolled: bool) -> Day {
        unimplemented!()
    }

    /// Balance and unrealized profit; `None` before [`Ledger::start`] or while a held position has no
    /// mark.
    pub fn equity(&self) -> Option<Quote> {
        unimplemented!()
    }

    /// Balance without unrealized profit; `None` before [`Ledger::start`].
    pub fn balance(&self) -> Option<Quote> {
        unimplemented!()
    }

    /// Unrealized profit of all instruments.
    pub fn unrealized(&self) -> Quote {
        unimplemented!()
    }

    /// Equity when the UTC day began, transfers since added, so that a loss is only ever trading's.
    pub fn day_open(&self) -> Option<Quote> {
        unimplemented!()
    }

    /// The oldest day-open equity of the last seven days that is known, transfers since added.
    pub fn week_open(&self) -> Option<Quote> {
        unimplemented!()
    }

    /// Highest equity since the last rearm, transfers since added.
    pub fn high_water(&self) -> Option<Quote> {
        unimplemented!()
    }

    /// Traded today.
    pub fn traded(&self) -> Quote {
        unimplemented!()
    }

    /// Value at mark of all positions, each without its sign.
    pub fn position_value(&self) -> Quote {
        unimplemented!()
    }

    /// Executions booked without a fee.
    pub fn fees_missing(&self) -> u32 {
        unimplemented!()
    }

    /// One instrument's position.
    pub fn position(&self, id: InstrumentId) -> Position {
        unimplemented!()
    }

    /// One instrument's unrealized profit at its last mark.
    pub fn unrealized_of(&self, id: InstrumentId) -> Quote {
        unimplemented!()
    }

    /// Folds the account into `digest`.
    pub fn fold(&self, digest: &mut Digest) {
        unimplemented!()
    }
}

impl Line {
    /// Nothing held, nothing known.
    pub const EMPTY: Self = Self {
        rules: None,
        position: Position { lots: Lots::ZERO, entry_value: 0 },
        mark: Price::ZERO,
        unrealized: Quote::ZERO,
    };
}
