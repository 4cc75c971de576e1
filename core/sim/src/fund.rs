//! Fund: the venue's insurance fund, and the positions that it has taken over.

use std::collections::VecDeque;

use keel_core::units::{Lots, Quote, UnixNanos};

use crate::account::push_bounded;
use crate::instrument::InstrumentId;

/// The insurance fund. It earns what liquidations cost and pays what a ruined account cannot.
///
/// What it takes over it hands on outside at the price at which it came, so that its money changes
/// by fees and shortfalls only; the lots are counted, so that what one buys another sells.
#[derive(Clone, Debug)]
pub struct Fund {
    balance: Quote,
    taken: Vec<Taken>,
    days: VecDeque<FundDay>,
}

/// What a UTC day brought the fund.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FundDay {
    /// When the day began.
    pub start: UnixNanos,
    /// What was earned less what was paid.
    pub change: Quote,
    /// What the fund had after it.
    pub balance: Quote,
}

/// What was taken over of one contract.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Lots bought less lots sold.
    pub lots: Lots,
    /// What was paid for them in 1e-8 USDT, less what came.
    pub paid: i128,
}

impl Fund {
    pub(crate) const fn new() -> Self {
        Self { balance: FUND_DEFAULT, taken: Vec::new(), days: VecDeque::new() }
    }

    /// Its money. Negative is what the venue itself has had to bear.
    pub fn balance(&self) -> Quote {
        self.balance
    }

    /// What was taken over of a contract.
    pub fn taken(&self, instrument: InstrumentId) -> Taken {
        self.taken.get(instrument.index()).copied().unwrap_or_default()
    }

    pub(crate) fn set_balance(&mut self, balance: Quote) {
        self.balance = balance;
    }

    /// The days on which something moved, oldest first; the latest [`DAYS_MAX`].
    pub fn days(&self) -> impl DoubleEndedIterator<Item = &FundDay> {
        self.days.iter()
    }

    /// Earns a fee, or pays a shortfall when `amount` is negative.
    pub(crate) fn add(&mut self, amount: Quote, now: UnixNanos) {
        self.balance += amount;
        let start = UnixNanos(now.day() * UnixNanos::DAY);
        let balance = self.balance;
        match self.days.back_mut() {
            Some(day) if day.start == start => {
                day.change += amount;
                day.balance = balance;
            }
            _ => push_bounded(&mut self.days, FundDay { start, change: amount, balance }, DAYS_MAX),
        }
    }

    /// Takes `lots` over (negative: a short) that cost `value`, negative for a short.
    pub(crate) fn take(&mut self, instrument: InstrumentId, lots: Lots, value: i128) {
        if self.taken.len() <= instrument.index() {
            self.taken.resize(instrument.index() + 1, Taken::default());
        }
        let taken = &mut self.taken[instrument.index()];
        taken.lots += lots;
        taken.paid += value;
    }
}

/// Days that the fund keeps.
pub const DAYS_MAX: usize = 90;
/// What the fund of a new venue holds.
pub const FUND_DEFAULT: Quote = Quote::usdt(1_000_000);
