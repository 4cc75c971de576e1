//! The ledger: one account in exact integers, for every mode.
//!
//! `equity = start + realized + unrealized − fees + funding + transfers + other`, to the last unit.
//! A fill is booked by its trade id and a bill by its bill id, once each. Transfers are no profit:
//! the day's open, its peak and the high-water mark move with them.

pub mod marks;
mod recent;

use crate::command::Day;
use crate::digest::Digest;
use crate::event::{Bill, BillKind, Fill, RestoreDay, RestorePosition, RestoreWeek};
use crate::ids::{Ids, Slot};
use crate::instrument::{Instrument, InstrumentId};
use crate::position::Position;
use crate::units::{Lots, Price, Quote, Rate, UnixNanos};
use marks::Ahead;
use recent::Recent;

/// The account.
pub struct Ledger<'m> {
    lines: &'m mut [Line],
    recent: Recent,
    bills: Ids<'m>,
    /// What the balance was before anything in `flow`; `None` before [`Ledger::start`].
    start: Option<Quote>,
    flow: Flow,
    unrealized: Quote,
    position_value: Quote,
    /// Instruments that hold something and have no usable mark.
    unmarked: u32,
    fees_missing: u32,
    /// What the executions without a fee were worth.
    fees_missing_of: Quote,
    today: Option<Today>,
    /// The day is that of an earlier run and may be over: nothing is measured from it.
    stale: bool,
    /// The day that an earlier run ended in: what it and the days before opened with, and its
    /// high-water mark, are of before the balance that this run began with.
    carried_day: Option<i64>,
    ahead: Ahead,
    /// Day-open equities of the last days by `day % 7`.
    week: [Option<(i64, Quote)>; 7],
    high_water: Peak,
}

/// The highest equity of a stretch that may have begun in an earlier run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Peak {
    /// By an earlier run, transfers since added.
    carried: Option<Quote>,
    /// In this run, transfers since added.
    seen: Option<Quote>,
}

/// Memory for one instrument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    rules: Option<Instrument>,
    position: Position,
    mark: Price,
    unrealized: Quote,
    value: Quote,
    unmarked: bool,
}

/// Money that has moved since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flow {
    /// Profit realized, before fees.
    pub realized: Quote,
    /// Fees paid; negative is a rebate.
    pub fees: Quote,
    /// Funding received; negative is paid.
    pub funding: Quote,
    /// Deposits less withdrawals.
    pub transfers: Quote,
    /// Bills of any other kind.
    pub other: Quote,
}

/// The UTC day that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Today {
    day: i64,
    open: Quote,
    peak: Peak,
    traded: Quote,
    realized: Quote,
    fees: Quote,
    /// Paid; negative is received.
    funding: Quote,
    fills: u32,
    cancel_episodes: u32,
    creates: u32,
}

/// The durable day counts creates ahead by one to two of these blocks, and is written anew at the
/// begin of each. So a crash never forgets a create, as long as a record is durable before another
/// block has been sent: the journal may lag by a second, in which far fewer are.
pub const CREATES_BLOCK: u32 = 64;

/// What booking a fill did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Booking {
    /// Profit realized, before fees: for an execution that came after later ones, with what it
    /// changes in theirs.
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
    /// Money or size out of range, or a size that is not positive.
    Range,
    /// The table of bills is full, or the bill has no id.
    Bill,
    /// A bill with this id and another content is booked.
    OtherBill,
    /// New rules cannot express the position that is held.
    Grid,
}

impl<'m> Ledger<'m> {
    /// An account without money over `lines` (one for each instrument) and `bills`.
    ///
    /// # Panics
    /// When the number of `bills` is no power of two from 8 on.
    pub fn new(lines: &'m mut [Line], bills: &'m mut [Slot]) -> Self {
        lines.fill(Line::EMPTY);
        Self {
            lines,
            recent: Recent::NONE,
            bills: Ids::new(bills),
            start: None,
            flow: Flow::default(),
            unrealized: Quote::ZERO,
            position_value: Quote::ZERO,
            unmarked: 0,
            fees_missing: 0,
            fees_missing_of: Quote::ZERO,
            today: None,
            stale: false,
            carried_day: None,
            ahead: Ahead::default(),
            week: [None; 7],
            high_water: Peak::default(),
        }
    }

    /// Takes an instrument's rules in. A held position is carried over to new grids exactly.
    ///
    /// # Errors
    /// [`LedgerError::Grid`], and nothing changes, when it is no whole number there;
    /// [`LedgerError::NoRules`] when there is no such instrument.
    pub fn rules(&mut self, id: InstrumentId, rules: &Instrument) -> Result<(), LedgerError> {
        let line = self.lines.get_mut(id.index()).ok_or(LedgerError::NoRules)?;
        let moved = match &line.rules {
            Some(old) => line.position.on_grid(old, rules).ok_or(LedgerError::Grid)?,
            None => line.position,
        };
        if line.rules.is_some_and(|old| (old.tick, old.lot) != (rules.tick, rules.lot)) {
            self.recent.forget(id);
        }
        line.rules = Some(*rules);
        line.position = moved;
        self.revalue(id);
        Ok(())
    }

    /// Sets the balance to what the venue states; do so once its fills and ours agree, and every
    /// bill of before is booked: what has moved is taken off what it began with. Later calls
    /// change nothing. Gives venue minus ours, zero at the first call.
    pub fn start(&mut self, balance: Quote) -> Quote {
        match self.balance() {
            Some(ours) => balance - ours,
            None => {
                self.start = Some(balance - self.flow.net());
                self.observe();
                Quote::ZERO
            }
        }
    }

    /// What was booked since is in the balance that the ledger began with.
    pub fn is_within(&mut self, moved: Quote) {
        if let Some(start) = &mut self.start {
            *start -= moved;
            self.observe();
        }
    }

    /// Remembers the days before the one that an earlier run ended in.
    pub fn restore_week(&mut self, week: &RestoreWeek) {
        for (age, &open) in (1..).zip(&week.opens) {
            if open != Quote::ZERO {
                self.remember_open(week.day.saturating_sub(age), open);
            }
        }
    }

    /// Remembers the day that an earlier run ended in. Nothing is measured from it before
    /// [`Ledger::roll`] has found it to be the day still. Zero is no day: that of a stop which came
    /// before the first one; and no high-water mark: that of a rearm without a known equity.
    pub fn restore_day(&mut self, day: &RestoreDay) {
        if day.day == 0 {
            return;
        }
        self.remember_open(day.day, day.equity_open);
        if self.today.is_some_and(|today| today.day > day.day) {
            return;
        }
        self.stale = true;
        self.carried_day = Some(day.day);
        let high = (day.high_water != Quote::ZERO).then_some(day.high_water);
        self.high_water.carried = high;
        self.today = Some(Today {
            day: day.day,
            open: day.equity_open,
            peak: Peak { carried: Some(day.equity_open.max(day.equity_peak)), seen: None },
            traded: day.traded,
            realized: day.realized,
            fees: day.fees,
            funding: day.funding,
            fills: day.fills,
            cancel_episodes: day.cancel_episodes,
            creates: day.creates,
        });
    }

    /// Remembers a position of an earlier run.
    ///
    /// # Errors
    /// [`LedgerError::NoRules`] when there is no such instrument.
    pub fn restore_position(&mut self, held: &RestorePosition) -> Result<(), LedgerError> {
        let line = self.lines.get_mut(held.instrument.index()).ok_or(LedgerError::NoRules)?;
        line.position = Position { lots: held.lots, entry_value: held.entry_value };
        self.recent.forget(held.instrument);
        self.revalue(held.instrument);
        Ok(())
    }

    /// Books an execution that [`TradeIds`](crate::trades::TradeIds) says is new.
    ///
    /// # Errors
    /// See [`LedgerError`]; nothing is booked then.
    pub fn fill(&mut self, fill: &Fill) -> Result<Booking, LedgerError> {
        let line = self.lines.get_mut(fill.instrument.index()).ok_or(LedgerError::NoRules)?;
        let rules = line.rules.as_ref().ok_or(LedgerError::NoRules)?;
        let fee_fits = !fill.fee_known || in_range(fill.fee);
        if fill.lots.0 <= 0 || fill.price.0 <= 0 || !fee_fits {
            return Err(LedgerError::Range);
        }
        let notional = notional(fill, rules).ok_or(LedgerError::Range)?;
        self.recent.make_room();
        let weighed = self.recent.weigh(fill, line.position);
        let (position, tick_lots) = weighed.ok_or(LedgerError::Range)?;
        let realized = money(tick_lots, rules).ok_or(LedgerError::Range)?;
        self.recent.remember(fill, line.position);
        line.position = position;

        self.flow.realized += realized;
        if let Some(today) = &mut self.today {
            today.traded += notional;
            today.realized += realized;
            today.fills += 1;
        }
        if fill.fee_known {
            self.pay(fill.fee);
        } else {
            self.fees_missing += 1;
            self.fees_missing_of += notional;
        }
        self.revalue(fill.instrument);
        Ok(Booking { realized, notional, position: position.lots })
    }

    /// Books the fee of an execution that was booked without one.
    pub fn late_fee(&mut self, fill: &Fill) {
        self.fees_missing = self.fees_missing.saturating_sub(1);
        let rules = self.lines.get(fill.instrument.index()).and_then(|line| line.rules);
        let worth = rules.and_then(|rules| notional(fill, &rules)).unwrap_or_default();
        let left = self.fees_missing_of - worth;
        self.fees_missing_of =
            if self.fees_missing == 0 { Quote::ZERO } else { left.max(Quote::ZERO) };
        self.pay(fill.fee);
    }

    /// Books a bill once; false when it is booked already. `within`: its money is in the balance
    /// that the ledger began with, which it is then taken off.
    ///
    /// # Errors
    /// [`LedgerError::Bill`], [`LedgerError::OtherBill`] or [`LedgerError::Range`], and nothing is
    /// booked.
    pub fn bill(&mut self, bill: &Bill, within: bool) -> Result<bool, LedgerError> {
        if !self.remember_bill(bill)? {
            return Ok(false);
        }
        if let (Some(start), true) = (&mut self.start, within) {
            *start -= bill.amount;
        }
        // Marks of this run were taken of a balance that has it.
        let carried = within || self.start.is_none();
        let flow = match bill.kind {
            BillKind::Funding => {
                self.fund_day(bill);
                &mut self.flow.funding
            }
            BillKind::Transfer => &mut self.flow.transfers,
            BillKind::Other | BillKind::Unknown => &mut self.flow.other,
        };
        *flow += bill.amount;
        self.move_marks(marks::moved_by(bill), carried);
        Ok(true)
    }

    /// Remembers a bill that an earlier run has booked: it is in the restored day, or was put by
    /// for a later one.
    ///
    /// # Errors
    /// As [`Ledger::bill`].
    pub fn restore_bill(&mut self, bill: &Bill) -> Result<(), LedgerError> {
        let of = bill.ts.day();
        let later = self.today.is_none_or(|today| today.day < of);
        if self.remember_bill(bill)? && later && bill.kind == BillKind::Funding {
            self.fund_day(bill);
        }
        Ok(())
    }

    /// False when it is known already, or of a time of which every bill is.
    fn remember_bill(&mut self, bill: &Bill) -> Result<bool, LedgerError> {
        if !in_range(bill.amount) {
            return Err(LedgerError::Range);
        }
        let slot = Slot { id: bill.bill_id, content: content_of(bill), ts: bill.ts };
        match self.bills.known(slot.id) {
            Some(known) if known == slot => Ok(false),
            Some(_) => Err(LedgerError::OtherBill),
            None if slot.id == 0 => Err(LedgerError::Bill),
            None if bill.ts < self.bills.horizon() => Ok(false),
            None if self.bills.remember(slot) => Ok(true),
            None => Err(LedgerError::Bill),
        }
    }

    /// Every bill before `horizon` is booked and will not be asked for again: their ids may be
    /// forgotten.
    pub fn close_bills(&mut self, horizon: UnixNanos) {
        self.bills.close(horizon);
    }

    /// Forgets ids of closed bills in the next `places` places of their table.
    pub fn sweep_bills(&mut self, places: usize) {
        self.bills.sweep(places);
    }

    /// True when a bill of this id is booked.
    pub fn knows_bill(&self, id: u64) -> bool {
        self.bills.known(id).is_some()
    }

    /// Values an instrument's position at `mark`; one that is not positive is no mark.
    pub fn mark(&mut self, id: InstrumentId, mark: Price) {
        if let Some(line) = self.lines.get_mut(id.index()) {
            line.mark = mark;
            self.revalue(id);
        }
    }

    /// Begins a new UTC day when `utc` lies in one and equity is known: once a date, however long
    /// the process was away, and never backwards. Gives the new day's record.
    pub fn roll(&mut self, utc: UnixNanos) -> Option<Day> {
        let day = utc.day();
        if utc.0 <= 0 {
            return None;
        }
        if self.today.is_some_and(|today| today.day >= day) {
            self.stale = false;
            return None;
        }
        let open = self.equity()?;
        self.stale = false;
        self.today = Some(Today { funding: self.ahead.of(day), ..Today::begin(day, open) });
        self.remember_open(day, open);
        self.observe();
        self.day(true)
    }

    /// Notes equity for the day's peak and the high-water mark; call it after events that move
    /// money or marks.
    pub fn observe(&mut self) {
        let Some(equity) = self.equity() else { return };
        self.high_water.see(equity);
        if let Some(today) = &mut self.today {
            today.peak.see(equity);
        }
    }

    /// Counts a cancel episode; gives its number today.
    pub fn cancel_episode(&mut self) -> u32 {
        let Some(today) = &mut self.today else { return 0 };
        today.cancel_episodes += 1;
        today.cancel_episodes
    }

    /// Counts a create; true when the durable day is to be written anew.
    pub fn create_sent(&mut self) -> bool {
        let Some(today) = &mut self.today else { return false };
        today.creates = today.creates.saturating_add(1);
        today.creates.is_multiple_of(CREATES_BLOCK)
    }

    /// Creates today.
    pub fn creates(&self) -> u32 {
        self.running_day().map_or(0, |today| today.creates)
    }

    /// Cancel episodes today.
    pub fn cancel_episodes(&self) -> u32 {
        self.running_day().map_or(0, |today| today.cancel_episodes)
    }

    /// The day, unless it may be over.
    fn running_day(&self) -> Option<Today> {
        self.today.filter(|_| !self.stale)
    }

    /// Sets the high-water mark to the equity of now, at an operator's rearm; to the first that is
    /// known from now on while that is not.
    pub fn rearm(&mut self) {
        self.high_water = Peak { carried: None, seen: self.equity() };
    }

    /// The durable day, as if nothing were on its way; `None` before the first has begun.
    pub fn day(&self, rolled: bool) -> Option<Day> {
        let today = self.today?;
        Some(Day {
            day: today.day,
            equity_open: today.open,
            equity_peak: today.peak.value().unwrap_or(today.open),
            high_water: self.high_water().unwrap_or_default(),
            traded: today.traded,
            realized: today.realized,
            fees: today.fees,
            funding: today.funding,
            fills: today.fills,
            cancel_episodes: today.cancel_episodes,
            creates: (today.creates / CREATES_BLOCK).saturating_add(2) * CREATES_BLOCK,
            rolled,
            week: self.opens_before(today.day),
            over_rest: false,
        })
    }

    fn opens_before(&self, day: i64) -> [Quote; 6] {
        let mut opens = [Quote::ZERO; 6];
        for &(known, open) in self.week.iter().flatten() {
            let place = usize::try_from(day - known - 1).ok();
            if let Some(place) = place.and_then(|place| opens.get_mut(place)) {
                *place = open;
            }
        }
        opens
    }

    /// Balance and unrealized profit; `None` before [`Ledger::start`] or while a held position has
    /// no usable mark.
    pub fn equity(&self) -> Option<Quote> {
        if self.unmarked > 0 {
            return None;
        }
        self.balance().map(|balance| balance + self.unrealized)
    }

    /// Balance without unrealized profit; `None` before [`Ledger::start`].
    pub fn balance(&self) -> Option<Quote> {
        self.start.map(|start| start + self.flow.net())
    }

    /// Money that has moved since the start of the run.
    pub fn flow(&self) -> &Flow {
        &self.flow
    }

    /// Unrealized profit of all instruments that have a mark.
    pub fn unrealized(&self) -> Quote {
        self.unrealized
    }

    /// Equity when the UTC day began, transfers since added, so that a loss is only ever trading's.
    pub fn day_open(&self) -> Option<Quote> {
        self.running_day().map(|today| today.open)
    }

    /// The oldest known day-open equity of the last seven days, transfers since added.
    pub fn week_open(&self) -> Option<Quote> {
        let first = self.running_day()?.day - 6;
        let days = self.week.iter().flatten().filter(|(day, _)| *day >= first);
        days.min_by_key(|(day, _)| *day).map(|&(_, open)| open)
    }

    /// Highest equity since the last rearm, transfers since added.
    pub fn high_water(&self) -> Option<Quote> {
        self.high_water.value()
    }

    /// Traded today.
    pub fn traded(&self) -> Quote {
        self.running_day().map_or(Quote::ZERO, |today| today.traded)
    }

    /// Value at mark of all positions, each without its sign.
    pub fn position_value(&self) -> Quote {
        self.position_value
    }

    /// Executions booked whose fee has not come yet.
    pub fn fees_missing(&self) -> u32 {
        self.fees_missing
    }

    /// What those fees may add up to, of either sign.
    pub fn fees_missing_most(&self) -> Quote {
        self.fees_missing_of.times_rounded_up(FEE_MOST)
    }

    /// One instrument's position.
    pub fn position(&self, id: InstrumentId) -> Position {
        self.lines.get(id.index()).map_or(Position::FLAT, |line| line.position)
    }

    /// One instrument's unrealized profit at its last mark; zero without one.
    pub fn unrealized_of(&self, id: InstrumentId) -> Quote {
        self.lines.get(id.index()).map_or(Quote::ZERO, |line| line.unrealized)
    }

    /// How many instruments it keeps.
    pub fn instruments(&self) -> usize {
        self.lines.len()
    }

    /// Folds the account into `digest`.
    pub fn fold(&self, digest: &mut Digest) {
        for line in &*self.lines {
            line.position.fold(digest);
            digest.fold_signed(line.mark.0);
        }
        let Flow { realized, fees, funding, transfers, other } = self.flow;
        let start = self.start.unwrap_or(Quote(i64::MIN));
        let Peak { carried, seen } = self.high_water;
        let [carried, seen] = [carried, seen].map(|high| high.unwrap_or(Quote(i64::MIN)));
        let ahead = self.ahead.paid;
        for money in [start, realized, fees, funding, transfers, other, carried, seen, ahead] {
            digest.fold_signed(money.0);
        }
        if let Some(day) = self.day(false) {
            digest.fold_signed(day.day);
            for money in [day.equity_open, day.equity_peak, day.traded, day.fees, day.funding] {
                digest.fold_signed(money.0);
            }
            day.week.iter().for_each(|open| digest.fold_signed(open.0));
            digest.fold(u64::from(day.fills) << 32 | u64::from(day.cancel_episodes));
        }
        digest.fold(u64::from(self.creates()) << 1 | u64::from(self.stale));
        digest.fold(u64::from(self.fees_missing));
        digest.fold_signed(self.fees_missing_of.0);
        self.bills.fold(digest);
    }

    fn pay(&mut self, fee: Quote) {
        self.flow.fees += fee;
        if let Some(today) = &mut self.today {
            today.fees += fee;
        }
    }

    /// Counts funding to the UTC day that it is of.
    fn fund_day(&mut self, bill: &Bill) {
        let today = self.today.as_mut().map(|today| (today.day, &mut today.funding));
        let counted = self.ahead.fund(bill.ts.day(), bill.amount, today);
        counted.expect("sums of amounts have room");
    }

    /// Moves what losses are measured from with money that is no profit and no loss; only what an
    /// earlier run has `carried` over when what this run measured has it.
    fn move_marks(&mut self, amount: Quote, carried: bool) {
        let carried_day = self.carried_day;
        let moves = |day: i64| !carried || carried_day.is_some_and(|last| day <= last);
        let (open, peak) = match &mut self.today {
            Some(today) => {
                (Some(&mut today.open).filter(|_| moves(today.day)), Some(&mut today.peak))
            }
            None => (None, None),
        };
        let peaks = peak.into_iter().chain([&mut self.high_water]);
        let peaks = peaks.flat_map(|peak| peak.marks(carried));
        let week = self.week.iter_mut().flatten().filter(|(day, _)| moves(*day));
        let all = open.into_iter().chain(peaks).chain(week.map(|(_, open)| open));
        marks::shift(all, amount).expect("sums of amounts have room");
    }

    fn remember_open(&mut self, day: i64, open: Quote) {
        let place = &mut self.week[usize::try_from(day.rem_euclid(7)).expect("below seven")];
        if place.is_none_or(|(known, _)| known <= day) {
            *place = Some((day, open));
        }
    }

    /// Takes one line out of the sums, values it anew, and puts it in again.
    fn revalue(&mut self, id: InstrumentId) {
        let line = &mut self.lines[id.index()];
        self.unrealized -= line.unrealized;
        self.position_value -= line.value;
        self.unmarked -= u32::from(line.unmarked);
        line.revalue();
        self.unrealized += line.unrealized;
        self.position_value += line.value;
        self.unmarked += u32::from(line.unmarked);
    }
}

/// One number over all of a bill but its id and its instrument, whose number is another in each
/// run.
fn content_of(bill: &Bill) -> u64 {
    let mut digest = Digest::new();
    digest.fold(bill.kind as u64);
    digest.fold_signed(bill.amount.0);
    digest.fold_signed(bill.ts.0);
    digest.value()
}

impl Peak {
    fn value(self) -> Option<Quote> {
        self.carried.max(self.seen)
    }

    fn see(&mut self, equity: Quote) {
        self.seen = self.seen.max(Some(equity));
    }

    /// What there is of it; without what was seen in this run where only the carried part counts.
    fn marks(&mut self, carried_only: bool) -> impl Iterator<Item = &mut Quote> {
        let seen = self.seen.as_mut().filter(|_| !carried_only);
        self.carried.iter_mut().chain(seen)
    }
}

impl Line {
    /// Nothing held, nothing known.
    pub const EMPTY: Self = Self {
        rules: None,
        position: Position::FLAT,
        mark: Price::ZERO,
        unrealized: Quote::ZERO,
        value: Quote::ZERO,
        unmarked: false,
    };

    fn revalue(&mut self) {
        let worth = self.worth();
        (self.unrealized, self.value) = worth.unwrap_or_default();
        self.unmarked = worth.is_none();
    }

    /// Unrealized profit and absolute value; `None` when something is held and cannot be valued.
    fn worth(&self) -> Option<(Quote, Quote)> {
        if self.position.lots.is_zero() {
            return Some((Quote::ZERO, Quote::ZERO));
        }
        let rules = self.rules.as_ref().filter(|_| self.mark.0 > 0)?;
        let unrealized = self.position.unrealized(self.mark, rules)?;
        let value = self.position.value(self.mark, rules)?;
        (in_range(unrealized) && in_range(value)).then_some((unrealized, value.abs()))
    }
}

impl Flow {
    /// What all of it adds to the balance.
    pub fn net(&self) -> Quote {
        self.realized - self.fees + self.funding + self.transfers + self.other
    }
}

impl Today {
    const fn begin(day: i64, open: Quote) -> Self {
        Self {
            day,
            open,
            peak: Peak { carried: None, seen: Some(open) },
            traded: Quote::ZERO,
            realized: Quote::ZERO,
            fees: Quote::ZERO,
            funding: Quote::ZERO,
            fills: 0,
            cancel_episodes: 0,
            creates: 0,
        }
    }
}

/// No fee that is not known is more than this part of what was traded: takers of the highest class
/// pay six hundredths of a percent.
const FEE_MOST: Rate = Rate::bps(10);

/// Tick-lots as money; `None` beyond its range.
fn money(tick_lots: i128, rules: &Instrument) -> Option<Quote> {
    let value = tick_lots.checked_mul(i128::from(rules.quote_per_tick_lot()))?;
    i64::try_from(value).ok().map(Quote).filter(|&money| in_range(money))
}

/// What an execution was worth; `None` beyond the range of money.
fn notional(fill: &Fill, rules: &Instrument) -> Option<Quote> {
    money(i128::from(fill.price.0) * i128::from(fill.lots.0), rules)
}

/// True for an amount that sums of amounts have room for: at most a billion USDT.
const fn in_range(money: Quote) -> bool {
    money.0 >= -Quote::usdt(1_000_000_000).0 && money.0 <= Quote::usdt(1_000_000_000).0
}

#[cfg(test)]
mod tests {
    use std::vec;

    use proptest::prelude::*;

    use super::*;
    use crate::decimal::Grid;
    use crate::event::{ClientId, Source};
    use crate::instrument::btcusdt;
    use crate::units::{Side, Ticks};

    const BTC: InstrumentId = InstrumentId(0);
    const ETH: InstrumentId = InstrumentId(1);

    fn with_ledger(test: impl FnOnce(Ledger<'_>)) {
        let mut lines = vec![Line::EMPTY; 2];
        let mut bills = vec![Slot::EMPTY; 64];
        let mut ledger = Ledger::new(&mut lines, &mut bills);
        ledger.rules(BTC, &btcusdt()).expect("an instrument");
        let eth = Instrument { tick: Grid { step: 1, scale: 2 }, ..btcusdt() };
        ledger.rules(ETH, &eth).expect("an instrument");
        test(ledger);
    }

    fn fill(instrument: InstrumentId, side: Side, price: i64, lots: i64, fee: i64) -> Fill {
        Fill {
            instrument,
            client: ClientId::FOREIGN,
            order_id: 1,
            trade_id: 1,
            side,
            maker: true,
            price: Ticks(price),
            lots: Lots(lots),
            fee: Quote(fee),
            fee_known: true,
            source: Source::Push,
            ts: UnixNanos(0),
        }
    }

    fn bill(kind: BillKind, amount: i64, bill_id: u64) -> Bill {
        Bill { instrument: BTC, kind, amount: Quote(amount), bill_id, ts: UnixNanos(0) }
    }

    fn day(number: i64) -> UnixNanos {
        UnixNanos(number * UnixNanos::DAY + 1)
    }

    /// A push was lost, and a question brought its execution after a later one: 0.0047 USDT stood
    /// as unrealized that the venue had realized (a life of 64 simulated days).
    #[test]
    fn an_execution_that_comes_late_is_booked_in_its_place() {
        let told = [(Side::Sell, 1_126_412), (Side::Buy, 1_126_414), (Side::Sell, 1_126_498)];
        let at = |place: usize| Fill {
            trade_id: place as u64 + 1,
            ts: UnixNanos(if place == 0 { 1 } else { 2 }),
            ..fill(BTC, told[place].0, told[place].1, 17, 0)
        };
        let booked = |order: [usize; 3]| {
            let mut end = (Position::FLAT, Quote::ZERO);
            with_ledger(|mut ledger| {
                for place in order {
                    ledger.fill(&at(place)).expect("booked");
                    // Another contract's do not count.
                    ledger
                        .fill(&Fill { ts: UnixNanos(9), ..fill(ETH, Side::Buy, 1, 1, 0) })
                        .expect("booked");
                }
                end = (ledger.position(BTC), ledger.flow().realized);
            });
            end
        };
        let in_turn = booked([0, 1, 2]);
        assert_eq!(in_turn.1, Quote(-2 * 17 * btcusdt().quote_per_tick_lot()));
        for order in [[0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            assert_eq!(booked(order), in_turn, "{order:?}");
        }
    }

    proptest! {
        #[test]
        fn equity_is_explained_to_the_last_unit_under_any_flow(
            moves in prop::collection::vec(
                (0u8..6, any::<bool>(), 1i64..2_000_000, 1i64..5_000, -90_000i64..90_000), 1..200),
        ) {
            with_ledger(|mut ledger| {
                ledger.mark(BTC, Price(77_000 * crate::units::E8));
                ledger.mark(ETH, Price(3_000 * crate::units::E8));
                ledger.start(Quote::usdt(10_000));
                let before = ledger.equity().expect("known");
                for (n, &(kind, flag, price, lots, money)) in moves.iter().enumerate() {
                    let id = if flag { BTC } else { ETH };
                    let side = if lots % 2 == 0 { Side::Buy } else { Side::Sell };
                    let number = n as u64 + 1;
                    match kind {
                        0 | 1 => _ = ledger.fill(&fill(id, side, price, lots, money)),
                        2 => ledger.mark(id, Price(price * 10_007)),
                        3 => _ = ledger.bill(&bill(BillKind::Funding, money, number), false),
                        4 => _ = ledger.bill(&bill(BillKind::Transfer, money, number), false),
                        _ => _ = ledger.bill(&bill(BillKind::Other, money, number), false),
                    }
                    let flow = *ledger.flow();
                    let explained = flow.realized + ledger.unrealized() - flow.fees
                        + flow.funding + flow.transfers + flow.other;
                    let after = ledger.equity().expect("known");
                    assert_eq!(after - before, explained);
                }
                // Closing everything at any price turns all unrealized profit into realized.
                for id in [BTC, ETH] {
                    let held = ledger.position(id).lots;
                    let side = if held.0 > 0 { Side::Sell } else { Side::Buy };
                    if !held.is_zero() {
                        ledger.fill(&fill(id, side, 1_000, held.0.abs(), 0)).expect("in range");
                    }
                    assert_eq!(ledger.position(id), Position::FLAT);
                }
                assert_eq!(ledger.unrealized(), Quote::ZERO);
                assert_eq!(ledger.equity(), ledger.balance());
            });
        }
    }

    #[test]
    fn a_funding_bill_read_twice_is_paid_once() {
        with_ledger(|mut ledger| {
            ledger.start(Quote::usdt(100));
            assert_eq!(ledger.bill(&bill(BillKind::Funding, -7, 9), false), Ok(true));
            assert_eq!(ledger.bill(&bill(BillKind::Funding, -7, 9), false), Ok(false));
            assert_eq!(ledger.balance(), Some(Quote::usdt(100) - Quote(7)));
            assert_eq!(ledger.bill(&bill(BillKind::Funding, -7, 0), false), Err(LedgerError::Bill));
            let other = ledger.bill(&bill(BillKind::Funding, -8, 9), false);
            assert_eq!(other, Err(LedgerError::OtherBill), "two bills of one id");
            assert_eq!(ledger.flow().funding, Quote(-7));
        });
    }

    #[test]
    fn a_full_table_of_bills_refuses_and_keeps_what_it_knows() {
        with_ledger(|mut ledger| {
            for id in 1..=56 {
                assert_eq!(ledger.bill(&bill(BillKind::Other, 1, id), false), Ok(true));
            }
            assert_eq!(ledger.bill(&bill(BillKind::Other, 1, 57), false), Err(LedgerError::Bill));
            assert_eq!(ledger.bill(&bill(BillKind::Other, 1, 56), false), Ok(false));
            assert_eq!(ledger.flow().other, Quote(56));
        });
    }

    #[test]
    fn bills_of_a_closed_time_make_room_and_are_not_booked_again() {
        with_ledger(|mut ledger| {
            ledger.start(Quote::usdt(100));
            for id in 1..=1_000 {
                let at = id as i64 * 10;
                let paid = Bill { ts: UnixNanos(at), ..bill(BillKind::Funding, -1, id) };
                assert_eq!(ledger.bill(&paid, false), Ok(true), "{id}");
                ledger.close_bills(UnixNanos(at - 200));
                ledger.sweep_bills(8);
                // What may be asked for again is known.
                if let Some(bill_id) = id.checked_sub(20).filter(|id| *id > 0) {
                    assert!(ledger.knows_bill(bill_id), "{bill_id}");
                    let again = Bill { ts: UnixNanos(at - 200), bill_id, ..paid };
                    assert_eq!(ledger.bill(&again, false), Ok(false));
                }
            }
            let old = Bill { ts: UnixNanos(70), ..bill(BillKind::Funding, -1, 7) };
            assert!(!ledger.knows_bill(7));
            assert_eq!(ledger.bill(&old, false), Ok(false), "it is of a time that is closed");
            assert_eq!(ledger.flow().funding, Quote(-1_000));
        });
    }

    #[test]
    fn a_deposit_is_no_profit_and_a_withdrawal_no_loss() {
        with_ledger(|mut ledger| {
            ledger.start(Quote::usdt(100));
            ledger.roll(day(10));
            for amount in [Quote::usdt(900).0, -Quote::usdt(950).0] {
                let loss = |ledger: &Ledger<'_>| {
                    let equity = ledger.equity().expect("known");
                    [ledger.day_open(), ledger.week_open(), ledger.high_water()]
                        .map(|from| from.expect("known") - equity)
                };
                let before = loss(&ledger);
                let id = amount.unsigned_abs();
                assert_eq!(ledger.bill(&bill(BillKind::Transfer, amount, id), false), Ok(true));
                ledger.observe();
                assert_eq!(loss(&ledger), before);
            }
            assert_eq!(ledger.equity(), Some(Quote::usdt(50)));
        });
    }

    /// An hour after a conversion had brought 1,000 in, the daily limit allowed 1,000 more to be
    /// lost.
    #[test]
    fn what_comes_in_by_another_bill_hides_no_loss_and_what_goes_out_is_one() {
        with_ledger(|mut ledger| {
            ledger.start(Quote::usdt(100));
            ledger.roll(day(10));
            let lost = |ledger: &Ledger<'_>| {
                ledger.day_open().expect("a day") - ledger.equity().expect("known")
            };
            ledger.bill(&bill(BillKind::Other, Quote::usdt(900).0, 1), false).expect("booked");
            assert_eq!(lost(&ledger), Quote::ZERO);
            ledger.bill(&bill(BillKind::Other, -Quote::usdt(7).0, 2), false).expect("booked");
            assert_eq!(lost(&ledger), Quote::usdt(7));
            assert_eq!(ledger.flow().other, Quote::usdt(893));
        });
    }

    fn restored(day: i64, open: i64, high: i64) -> RestoreDay {
        RestoreDay {
            day,
            equity_open: Quote::usdt(open),
            high_water: Quote::usdt(high),
            equity_peak: Quote::usdt(open),
            ..RestoreDay::EMPTY
        }
    }

    /// What moves while no engine looks, told before the ledger begins (`late`: after): 50 put in,
    /// 3 of funding paid. Gives open, week's open and high-water mark on `today`, and funding.
    fn around_a_stop(today: i64, late: bool) -> ([Option<Quote>; 3], Quote) {
        let mut end = ([None; 3], Quote::ZERO);
        with_ledger(|mut ledger| {
            let told = [(BillKind::Transfer, 50, 1), (BillKind::Funding, -3, 2)].map(
                |(kind, amount, id)| Bill {
                    ts: day(today),
                    ..bill(kind, Quote::usdt(amount).0, id)
                },
            );
            ledger.restore_day(&restored(10, 100, 110));
            if !late {
                told.iter().for_each(|bill| assert_eq!(ledger.bill(bill, false), Ok(true)));
            }
            ledger.start(Quote::usdt(130));
            ledger.roll(day(today));
            ledger.observe();
            if late {
                told.iter().for_each(|bill| assert_eq!(ledger.bill(bill, true), Ok(true)));
            }
            assert_eq!(ledger.balance(), Some(Quote::usdt(130)), "they are in it");
            assert_eq!(ledger.flow().net(), Quote::usdt(47));
            let marks = [ledger.day_open(), ledger.week_open(), ledger.high_water()];
            end = (marks, ledger.day(false).expect("a day").funding);
        });
        end
    }

    /// Funding around a stop was in no day's figures, a deposit meanwhile hid as much of a loss,
    /// and a withdrawal stopped for good.
    #[test]
    fn bills_of_while_no_engine_looked_are_booked_and_move_only_the_marks_of_before() {
        let marks = |open, week, high| [open, week, high].map(|mark| Some(Quote::usdt(mark)));
        for late in [false, true] {
            // The day is the restored one: 20 are lost of 150, and 30 below the highest.
            assert_eq!(around_a_stop(10, late), (marks(150, 150, 160), Quote::usdt(3)), "{late}");
            // It opens with a balance that has both.
            assert_eq!(around_a_stop(11, late), (marks(130, 150, 160), Quote::usdt(3)), "{late}");
        }
    }

    #[test]
    fn a_restored_bill_moves_nothing_and_is_not_booked_again() {
        with_ledger(|mut ledger| {
            ledger.restore_day(&restored(10, 100, 110));
            let of = |number| Bill { ts: day(number), ..bill(BillKind::Funding, -3, 7) };
            ledger.restore_bill(&of(10)).expect("room");
            ledger.restore_bill(&Bill { bill_id: 8, ..of(11) }).expect("room");
            ledger.start(Quote::usdt(100));
            assert_eq!(ledger.bill(&of(10), false), Ok(false));
            assert_eq!(
                (ledger.flow().net(), ledger.day(false).map(|d| d.funding)),
                (Quote::ZERO, Some(Quote::ZERO))
            );
            // It was put by for the day that had not begun.
            assert_eq!(ledger.roll(day(11)).expect("a day").funding, Quote(3));
        });
    }

    #[test]
    fn a_rearm_begins_the_high_water_mark_anew_also_before_equity_is_known() {
        with_ledger(|mut ledger| {
            ledger.restore_day(&restored(10, 100, 110));
            ledger.rearm();
            assert_eq!(ledger.high_water(), None);
            ledger.start(Quote::usdt(90));
            assert_eq!(ledger.high_water(), Some(Quote::usdt(90)));
        });
        with_ledger(|mut ledger| {
            // As it stands in the day of a rearm at rest.
            ledger.restore_day(&restored(10, 100, 0));
            assert_eq!(ledger.high_water(), None);
        });
    }

    /// A run that began on the day after a bad one took yesterday's open for today's until the
    /// first turn: a loss of yesterday stopped today, and three episodes of cancels did.
    #[test]
    fn nothing_is_measured_from_a_restored_day_before_it_is_known_to_be_the_day() {
        let restored = |number: i64| RestoreDay {
            day: number,
            equity_open: Quote::usdt(100),
            high_water: Quote::usdt(100),
            traded: Quote::usdt(700),
            fills: 3,
            cancel_episodes: 3,
            creates: 128,
            equity_peak: Quote::usdt(100),
            ..RestoreDay::EMPTY
        };
        let figures = |ledger: &Ledger<'_>| {
            let counts = (ledger.cancel_episodes(), ledger.creates());
            (ledger.day_open(), ledger.week_open(), ledger.traded(), counts)
        };
        let unknown = (None, None, Quote::ZERO, (0, 0));
        with_ledger(|mut ledger| {
            ledger.restore_day(&restored(10));
            ledger.start(Quote::usdt(90));
            assert_eq!(figures(&ledger), unknown);
            assert_eq!(ledger.roll(day(10)), None, "it is the day");
            let open = Some(Quote::usdt(100));
            assert_eq!(figures(&ledger), (open, open, Quote::usdt(700), (3, 128)));
        });
        with_ledger(|mut ledger| {
            ledger.restore_day(&restored(10));
            assert_eq!(ledger.roll(day(11)), None, "equity is not known");
            assert_eq!(figures(&ledger), unknown);
            ledger.start(Quote::usdt(90));
            assert!(ledger.roll(day(11)).is_some());
            let (open, week) = (Some(Quote::usdt(90)), Some(Quote::usdt(100)));
            assert_eq!(figures(&ledger), (open, week, Quote::ZERO, (0, 0)));
        });
        with_ledger(|mut ledger| {
            ledger.restore_day(&restored(0));
            assert_eq!((ledger.day(false), ledger.high_water()), (None, None), "zero is no day");
        });
    }

    /// With a full list the oldest left it between weighing and keeping, so that the second of two
    /// late executions was booked on another chain than the first.
    #[test]
    fn late_executions_are_booked_in_their_places_when_the_list_is_full() {
        let at = |ts: i64, side, price| Fill {
            trade_id: ts.unsigned_abs(),
            ts: UnixNanos(ts),
            ..fill(BTC, side, price, 1, 0)
        };
        with_ledger(|mut ledger| {
            ledger.fill(&Fill { lots: Lots(2), ..at(10, Side::Buy, 100) }).expect("booked");
            ledger.fill(&at(30, Side::Sell, 120)).expect("booked");
            for n in 0..63 {
                let other = Fill { ts: UnixNanos(40 + n), ..fill(ETH, Side::Buy, 1, 1, 0) };
                ledger.fill(&other).expect("booked");
            }
            for (ts, price) in [(20, 130), (15, 140)] {
                ledger.fill(&at(ts, Side::Buy, price)).expect("booked");
                let Position { lots, entry_value } = ledger.position(BTC);
                let unit = btcusdt().quote_per_tick_lot();
                let paid = if lots == Lots(2) { 200 + 130 - 120 } else { 200 + 130 + 140 - 120 };
                let told = entry_value - paid;
                assert_eq!(ledger.flow().realized, Quote(i64::try_from(told).unwrap() * unit));
            }
        });
    }

    #[test]
    fn a_day_rolls_once_a_date_also_after_days_away_and_when_time_goes_backwards() {
        with_ledger(|mut ledger| {
            assert_eq!(ledger.roll(day(10)), None, "equity is not known yet");
            ledger.start(Quote::usdt(100));
            assert_eq!(ledger.roll(UnixNanos(0)), None, "UTC is not known yet");
            assert!(ledger.roll(day(10)).is_some_and(|day| day.rolled && day.day == 10));
            assert_eq!(ledger.roll(day(10)), None);
            assert_eq!(ledger.roll(day(9)), None);
            assert!(ledger.roll(day(14)).is_some_and(|day| day.day == 14));
            assert_eq!(ledger.roll(day(13)), None);
            assert_eq!(ledger.roll(day(14)), None);
        });
    }

    #[test]
    fn a_roll_clears_the_day_and_keeps_high_water_and_position() {
        with_ledger(|mut ledger| {
            ledger.mark(BTC, Price(77_200 * crate::units::E8));
            ledger.start(Quote::usdt(10_000));
            ledger.roll(day(10));
            ledger.fill(&fill(BTC, Side::Buy, 772_000, 200, 500)).expect("booked");
            let paid = Bill { ts: day(10), ..bill(BillKind::Funding, -30, 1) };
            ledger.bill(&paid, false).expect("booked");
            // Of a day that is over: a cost, and not this day's.
            ledger.bill(&bill(BillKind::Funding, -5, 2), false).expect("booked");
            ledger.mark(BTC, Price(78_000 * crate::units::E8));
            ledger.observe();
            ledger.mark(BTC, Price(77_000 * crate::units::E8));
            assert_eq!(ledger.cancel_episode(), 1);
            let record = ledger.day(false).expect("a day");
            assert_eq!((record.fills, record.fees, record.funding), (1, Quote(500), Quote(30)));
            assert_eq!(record.traded, Quote::usdt(1_544));
            let high = record.high_water;
            assert!(high > Quote::usdt(10_000));

            let record = ledger.roll(day(11)).expect("a new day");
            assert_eq!((record.fills, record.cancel_episodes), (0, 0));
            assert_eq!((record.traded, record.fees), (Quote::ZERO, Quote::ZERO));
            assert_eq!(Some(record.equity_open), ledger.equity());
            assert_eq!(record.high_water, high);
            assert_eq!(ledger.position(BTC).lots, Lots(200));
        });
    }

    #[test]
    fn the_durable_day_never_counts_fewer_creates_than_were_sent() {
        with_ledger(|mut ledger| {
            ledger.mark(BTC, Price(77_000 * crate::units::E8));
            ledger.start(Quote::usdt(10_000));
            let mut durable = ledger.roll(day(10)).expect("a day").creates;
            for sent in 1..=1_000 {
                // The worst: a record becomes durable only once half a block more was sent.
                let written =
                    ledger.create_sent().then(|| ledger.day(false).expect("a day").creates);
                assert!(durable >= sent + CREATES_BLOCK / 2, "{durable} of {sent}");
                assert!(durable <= sent + 2 * CREATES_BLOCK, "{durable} of {sent}");
                durable = written.unwrap_or(durable);
            }
            assert_eq!(ledger.creates(), 1_000);
            assert_eq!(ledger.roll(day(11)).expect("a day").creates, 2 * CREATES_BLOCK);
            assert_eq!(ledger.creates(), 0);
        });
    }

    #[test]
    fn a_restart_goes_on_with_the_same_day() {
        let mut record = None;
        with_ledger(|mut ledger| {
            ledger.mark(BTC, Price(77_000 * crate::units::E8));
            ledger.start(Quote::usdt(10_000));
            ledger.roll(day(10));
            ledger.fill(&fill(BTC, Side::Buy, 772_000, 200, 500)).expect("booked");
            record = Some((ledger.day(false).expect("a day"), ledger.equity(), ledger.balance()));
        });
        let (record, equity, balance) = record.expect("ran");
        with_ledger(|mut ledger| {
            ledger.restore_day(&RestoreDay {
                day: record.day,
                equity_open: record.equity_open,
                high_water: record.high_water,
                traded: record.traded,
                realized: record.realized,
                fees: record.fees,
                funding: record.funding,
                fills: record.fills,
                cancel_episodes: record.cancel_episodes,
                creates: record.creates,
                equity_peak: record.equity_peak,
                ..RestoreDay::EMPTY
            });
            let held = RestorePosition {
                instrument: BTC,
                lots: Lots(200),
                entry_value: 200 * 772_000,
                last_trade_id: 1,
                last_trade_at: UnixNanos(0),
            };
            ledger.restore_position(&held).expect("an instrument");
            assert_eq!(ledger.equity(), None);
            ledger.start(balance.expect("known"));
            assert_eq!(ledger.equity(), None, "a held position has no mark");
            ledger.mark(BTC, Price(77_000 * crate::units::E8));
            assert_eq!(ledger.equity(), equity);
            assert_eq!(ledger.roll(day(10)), None);
            assert_eq!(ledger.traded(), record.traded);
            assert_eq!(ledger.day_open(), Some(record.equity_open));
        });
    }

    #[test]
    fn the_week_survives_a_restart_and_a_transfer_before_it() {
        let mut record = None;
        with_ledger(|mut ledger| {
            ledger.start(Quote::usdt(100));
            for number in 10..15 {
                ledger.roll(day(number));
                let bill = Bill {
                    instrument: BTC,
                    kind: BillKind::Transfer,
                    amount: Quote::usdt(10),
                    bill_id: number as u64,
                    ts: UnixNanos(0),
                };
                ledger.bill(&bill, false).expect("booked");
            }
            record = Some((ledger.day(false).expect("a day"), ledger.week_open()));
        });
        let (record, week_open) = record.expect("ran");
        assert_eq!(week_open, Some(Quote::usdt(150)), "what was put in is no profit");
        with_ledger(|mut ledger| {
            ledger.restore_week(&RestoreWeek { day: record.day, opens: record.week });
            ledger.restore_day(&RestoreDay {
                day: record.day,
                equity_open: record.equity_open,
                high_water: record.high_water,
                equity_peak: record.equity_peak,
                ..RestoreDay::EMPTY
            });
            assert_eq!(ledger.week_open(), None, "which day it is, is not known yet");
            ledger.roll(day(14));
            assert_eq!(ledger.week_open(), week_open);
            assert_eq!(ledger.day(false), Some(record));
            ledger.start(Quote::usdt(150));
            ledger.roll(day(17));
            assert_eq!(ledger.week_open(), Some(Quote::usdt(150)), "day 11 is the oldest of seven");
        });
    }

    #[test]
    fn the_trailing_week_begins_with_its_oldest_known_day() {
        with_ledger(|mut ledger| {
            ledger.start(Quote::usdt(100));
            for number in 10..20 {
                ledger.roll(day(number));
                ledger.fill(&fill(BTC, Side::Buy, 10, 1, -100)).expect("booked");
                ledger.fill(&fill(BTC, Side::Sell, 10, 1, 0)).expect("booked");
            }
            assert_eq!(ledger.week_open(), Some(Quote::usdt(100) + Quote(300)), "day 13");
            ledger.roll(day(40));
            assert_eq!(ledger.week_open(), ledger.day_open());
        });
    }

    #[test]
    fn a_rebate_raises_the_balance_and_a_late_fee_is_booked_then() {
        with_ledger(|mut ledger| {
            ledger.start(Quote::ZERO);
            ledger.mark(BTC, Price(crate::units::E8));
            ledger.fill(&fill(BTC, Side::Buy, 10, 1, -40)).expect("booked");
            assert_eq!(ledger.balance(), Some(Quote(40)));
            let bare = Fill { fee_known: false, ..fill(BTC, Side::Sell, 10, 1, 99) };
            ledger.fill(&bare).expect("booked");
            assert_eq!((ledger.balance(), ledger.fees_missing()), (Some(Quote(40)), 1));
            // Of ten tick-lots at a thousand each, in whole units.
            assert_eq!(ledger.fees_missing_most(), Quote(10));
            ledger.fill(&Fill { trade_id: 2, ..bare }).expect("booked");
            assert_eq!(ledger.fees_missing_most(), Quote(20));
            ledger.late_fee(&Fill { fee: Quote(15), ..bare });
            assert_eq!((ledger.balance(), ledger.fees_missing()), (Some(Quote(25)), 1));
            assert_eq!(ledger.fees_missing_most(), Quote(10));
            ledger.late_fee(&Fill { fee: Quote(15), ..bare });
            assert_eq!((ledger.fees_missing(), ledger.fees_missing_most()), (0, Quote::ZERO));
        });
    }

    #[test]
    fn executions_booked_before_the_balance_is_read_are_not_counted_twice() {
        with_ledger(|mut ledger| {
            ledger.fill(&fill(BTC, Side::Buy, 10, 1, 40)).expect("booked");
            assert_eq!(ledger.start(Quote::usdt(100)), Quote::ZERO);
            assert_eq!(ledger.balance(), Some(Quote::usdt(100)));
            assert_eq!(ledger.start(Quote::usdt(101)), Quote::usdt(1), "the difference is told");
            assert_eq!(ledger.balance(), Some(Quote::usdt(100)));
        });
    }

    #[test]
    fn what_the_venue_cannot_mean_is_refused_whole() {
        with_ledger(|mut ledger| {
            let unknown = InstrumentId(9);
            for (bad, error) in [
                (fill(unknown, Side::Buy, 10, 1, 0), LedgerError::NoRules),
                (fill(BTC, Side::Buy, 10, 0, 0), LedgerError::Range),
                (fill(BTC, Side::Buy, -1, 1, 0), LedgerError::Range),
                (fill(BTC, Side::Buy, i64::MAX, i64::MAX, 0), LedgerError::Range),
            ] {
                assert_eq!(ledger.fill(&bad), Err(error));
                assert_eq!(ledger.position(BTC), Position::FLAT);
                assert_eq!(*ledger.flow(), Flow::default());
            }
        });
    }

    #[test]
    fn a_rule_change_keeps_the_position_s_value_or_is_refused() {
        with_ledger(|mut ledger| {
            ledger.mark(BTC, Price(77_000 * crate::units::E8));
            ledger.start(Quote::usdt(100));
            ledger.fill(&fill(BTC, Side::Buy, 772_000, 200, 0)).expect("booked");
            let before = (ledger.equity(), ledger.position_value());
            let coarse = Instrument { lot: Grid { step: 1, scale: 3 }, ..btcusdt() };
            assert_eq!(ledger.rules(BTC, &coarse), Ok(()));
            assert_eq!(ledger.position(BTC).lots, Lots(20));
            assert_eq!((ledger.equity(), ledger.position_value()), before);
            let coarser = Instrument { lot: Grid { step: 3, scale: 3 }, ..btcusdt() };
            assert_eq!(ledger.rules(BTC, &coarser), Err(LedgerError::Grid));
            assert_eq!(ledger.position(BTC).lots, Lots(20));
        });
    }
}
