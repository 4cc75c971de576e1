//! The paper account: balance, positions, fees and funding.

use std::collections::VecDeque;

use keel_core::event::{
    AccountReport, Bill, BillKind, Event, FeeRate, FeeSource, PositionReport, Source, Ticker,
};
use keel_core::instrument::{Instrument, InstrumentId};
use keel_core::position::Position;
use keel_core::units::{E8, Lots, Price, Quote, Rate, Side, Ticks, UnixNanos};

use super::id;

/// Money and positions.
pub(super) struct Account {
    balance: Quote,
    held: Vec<Held>,
    /// Funding that was settled, oldest first.
    bills: VecDeque<Bill>,
}

/// One contract.
struct Held {
    rules: Instrument,
    position: Position,
    mark: Price,
    /// When funding settles next, and at which rate, by the ticker.
    funding: Option<(UnixNanos, Rate)>,
    /// When it was settled last.
    settled: UnixNanos,
}

/// Maintenance margin as a share of a position's value, for the ratio that the account reports:
/// the first tier of the large contracts is no higher.
pub const MAINTENANCE: Rate = Rate(500_000);

/// Bills that are remembered for questions.
const BILLS_MAX: usize = 4_096;

impl Account {
    pub(super) fn new(balance: Quote, rules: &[Instrument]) -> Self {
        let held = |rules: &Instrument| Held {
            rules: *rules,
            position: Position::FLAT,
            mark: Price::ZERO,
            funding: None,
            settled: UnixNanos(0),
        };
        Self { balance, held: rules.iter().map(held).collect(), bills: VecDeque::new() }
    }

    pub(super) fn balance(&self) -> Quote {
        self.balance
    }

    pub(super) fn rules(&self, id: InstrumentId) -> &Instrument {
        &self.held[id.index()].rules
    }

    pub(super) fn position(&self, id: InstrumentId) -> Lots {
        self.held[id.index()].position.lots
    }

    /// Takes over a position of an earlier run.
    pub(super) fn hold(&mut self, id: InstrumentId, lots: Lots, entry_value: i128) {
        self.held[id.index()].position = Position { lots, entry_value };
    }

    /// What an order of `side` may take off the position.
    pub(super) fn reducible(&self, id: InstrumentId, side: Side) -> Lots {
        Lots((-side.sign() * self.position(id).0).max(0))
    }

    /// Books an execution; gives its fee.
    ///
    /// # Panics
    /// When a number leaves its range: an order is within the contract's limits.
    pub(super) fn fill(
        &mut self,
        id: InstrumentId,
        side: Side,
        price: Ticks,
        lots: Lots,
        rate: Rate,
    ) -> Quote {
        let held = &mut self.held[id.index()];
        let unit = i128::from(held.rules.quote_per_tick_lot());
        let money = |tick_lots: i128| {
            Quote(i64::try_from(tick_lots * unit).expect("money within ±92 billion USDT"))
        };
        let realized = held.position.fill(side, price, lots).expect("a position within its range");
        let fee = money(i128::from(price.0) * i128::from(lots.0)).times_rounded_up(rate);
        self.balance += money(realized) - fee;
        fee
    }

    pub(super) fn on_ticker(&mut self, ticker: &Ticker) {
        let held = &mut self.held[ticker.instrument.index()];
        if ticker.mark.0 > 0 {
            held.mark = ticker.mark;
        }
        if ticker.funding_at > held.settled && ticker.funding_at.0 > 0 {
            // A settlement that is due is by the rate that stood before it.
            let due = held.funding.is_some_and(|(at, _)| at < ticker.funding_at && at <= ticker.ts);
            if !due {
                held.funding = Some((ticker.funding_at, ticker.funding_rate));
            }
        }
    }

    /// Settles the funding that is due at `utc`: longs pay where the rate is positive.
    pub(super) fn settle(&mut self, utc: UnixNanos, epoch: u32, ids: &mut u64) -> Vec<Bill> {
        let mut settled = Vec::new();
        for (index, held) in self.held.iter_mut().enumerate() {
            let Some((at, rate)) = held.funding.take_if(|(at, _)| *at <= utc) else { continue };
            held.settled = at;
            let value = held.position.value(held.mark, &held.rules).unwrap_or(Quote::ZERO);
            let amount = -value.times_truncated(rate);
            if held.position.lots.is_zero() || amount.is_zero() {
                continue;
            }
            self.balance += amount;
            let instrument = InstrumentId(u16::try_from(index).expect("few contracts"));
            let bill_id = id(epoch, ids);
            settled.push(Bill { instrument, kind: BillKind::Funding, amount, bill_id, ts: at });
        }
        for bill in &settled {
            if self.bills.len() == BILLS_MAX {
                self.bills.pop_front();
            }
            self.bills.push_back(*bill);
        }
        settled
    }

    pub(super) fn bills(&self) -> impl Iterator<Item = Bill> {
        self.bills.iter().copied()
    }

    pub(super) fn fees(&self, maker: Rate, taker: Rate) -> impl Iterator<Item = FeeRate> {
        let all = (0..self.held.len()).map(|index| InstrumentId(index as u16));
        all.map(move |instrument| FeeRate { instrument, maker, taker, source: FeeSource::Manual })
    }

    pub(super) fn position_report(
        &self,
        instrument: InstrumentId,
        source: Source,
        ts: UnixNanos,
    ) -> Event {
        let Held { position, rules, .. } = &self.held[instrument.index()];
        let (lots, entry) = (position.lots, position.entry(rules));
        Event::PositionReport(PositionReport { instrument, lots, entry, leverage: 1, source, ts })
    }

    /// Positions that are held, as a question is answered.
    pub(super) fn positions(&self, ts: UnixNanos) -> impl Iterator<Item = Event> {
        let all = (0..self.held.len()).map(|index| InstrumentId(index as u16));
        let held = all.filter(|id| !self.position(*id).is_zero());
        held.map(move |id| self.position_report(id, Source::Query, ts))
    }

    pub(super) fn report(&self, source: Source, ts: UnixNanos) -> Event {
        let (mut unrealized, mut value) = (Quote::ZERO, Quote::ZERO);
        for Held { position, mark, rules, .. } in self.held.iter().filter(|held| held.mark.0 > 0) {
            unrealized += position.unrealized(*mark, rules).unwrap_or(Quote::ZERO);
            value += position.value(*mark, rules).unwrap_or(Quote::ZERO).abs();
        }
        let equity = self.balance + unrealized;
        let maintenance = value.times_rounded_up(MAINTENANCE);
        Event::AccountReport(AccountReport {
            equity,
            balance: self.balance,
            available: equity,
            unrealized,
            // Without equity the venue would have liquidated.
            margin_ratio: maintenance.share_of(equity).unwrap_or(Rate(E8)),
            source,
            ts,
        })
    }
}
