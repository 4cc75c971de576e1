//! What runs have recorded of a day.

use std::collections::BTreeMap;

use keel_core::command::{CommandView, Day};
use keel_core::event::{BillKind, Event};
use keel_core::instrument::{Instrument, InstrumentId};
use keel_core::units::UnixNanos;

use super::super::edge::Odd;
use super::{Entry, Kind};

/// A day as the journals of its runs have it.
#[derive(Debug)]
pub struct Own {
    /// UTC day since 1970.
    pub(super) day: i64,
    /// Executions by the venue's id, with what they traded.
    pub(super) fills: BTreeMap<u64, (Entry, i128)>,
    /// Bills by the venue's id, as the runs have booked them.
    pub(super) bills: BTreeMap<u64, Entry>,
    /// The day as the ledger had it last.
    pub(super) ledger: Option<Day>,
    /// From when on the ledger speaks; what was before is in the balance that it began with.
    pub(super) began: Option<i64>,
    /// What one lot is worth a tick, in 1e-8 USDT, by name: what profit is booked in.
    pub(super) units: BTreeMap<String, i64>,
    rules: BTreeMap<InstrumentId, Instrument>,
    restored: bool,
    fresh: bool,
}

impl Own {
    /// Nothing read yet of a UTC day.
    pub const fn new(day: i64) -> Self {
        Self {
            day,
            fills: BTreeMap::new(),
            bills: BTreeMap::new(),
            ledger: None,
            began: None,
            units: BTreeMap::new(),
            rules: BTreeMap::new(),
            restored: false,
            fresh: false,
        }
    }

    /// The next journal follows; runs come in the order in which they ran.
    pub fn begin_run(&mut self) {
        self.rules.clear();
        (self.restored, self.fresh) = (false, true);
    }

    /// Takes in an event.
    pub fn event(&mut self, event: &Event) {
        match event {
            Event::Rules(rules) => _ = self.rules.insert(rules.id, rules.instrument),
            Event::RestoreDay(_) => self.restored = true,
            Event::ClockSync(sync) if std::mem::take(&mut self.fresh) => {
                let began = if self.restored { self.day * UnixNanos::DAY } else { sync.utc.0 };
                // A later run restores what the first one began with.
                self.began.get_or_insert(began);
            }
            // What money has moved is told by commands: a bill may come and not be booked.
            _ => {}
        }
    }

    /// Takes in a command.
    ///
    /// # Errors
    /// [`Odd`] for what no engine gives.
    pub fn command(&mut self, command: &CommandView) -> Result<(), Odd> {
        match command {
            CommandView::Booked(booked) if booked.ts.day() == self.day => {
                let rules = self.rules.get(&booked.instrument);
                let rules = rules.ok_or(Odd("an execution of an instrument without rules"))?;
                let value = i128::from(booked.price.0)
                    .checked_mul(i128::from(booked.lots.0))
                    .and_then(|value| value.checked_mul(i128::from(rules.quote_per_tick_lot())))
                    .ok_or(Odd("an execution that is out of range"))?;
                let entry = Entry {
                    id: booked.trade_id.to_string(),
                    symbol: rules.symbol.to_string(),
                    kind: Kind::Trade,
                    word: booked.side.to_string(),
                    ts: booked.ts.0,
                    amount: booked.realized.0,
                    fee: booked.fee.0,
                };
                self.units.insert(entry.symbol.clone(), rules.quote_per_tick_lot());
                self.fills.entry(booked.trade_id).or_insert((entry, value));
            }
            CommandView::BillBooked(bill) if bill.ts.day() == self.day => {
                let kind = match bill.kind {
                    BillKind::Funding => Kind::Funding,
                    BillKind::Transfer => Kind::Transfer,
                    BillKind::Other | BillKind::Unknown => Kind::Other,
                };
                let rules = self.rules.get(&bill.instrument);
                let entry = Entry {
                    id: bill.bill_id.to_string(),
                    symbol: rules.map_or(String::new(), |rules| rules.symbol.to_string()),
                    kind,
                    word: bill.kind.text().to_owned(),
                    ts: bill.ts.0,
                    amount: bill.amount.0,
                    fee: 0,
                };
                self.bills.entry(bill.bill_id).or_insert(entry);
            }
            CommandView::Day(day) if day.day == self.day => {
                // A run continues the day of the one before, so the newest has the most.
                let newer = self.ledger.is_none_or(|known| day.fills >= known.fills);
                if newer {
                    self.ledger = Some(*day);
                }
            }
            _ => {}
        }
        Ok(())
    }
}
