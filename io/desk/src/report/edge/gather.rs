//! From a journal's events to fills with their mids and their funding.

use std::collections::{BTreeMap, BTreeSet};

use keel_core::book::{Applied, Book, BookMemory, LADDER_CELLS, REST_CELLS};
use keel_core::command::{Booked, CommandView};
use keel_core::event::{Bill, BillKind, BookPage, Boot, Event, Feed, FeedState, LevelSize, Stream};
use keel_core::instrument::{INSTRUMENTS_MAX, Instrument, InstrumentId, Symbol};
use keel_core::markout::HORIZONS;
use keel_core::units::{Lots, Price, Quote, UnixNanos};

use super::super::share::Held;
use super::super::tape::Tape;
use super::{Fill, Report};

/// What no run's journal holds; the words say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Odd(pub &'static str);

/// Memory for the books of a run.
#[derive(Debug)]
pub struct Shelf {
    ladder: Vec<LevelSize>,
    rest_ticks: Vec<u32>,
    rest_sizes: Vec<LevelSize>,
}

impl Shelf {
    /// Memory for as many books as a boot says.
    ///
    /// # Errors
    /// [`Odd`] for more or fewer than there can be.
    pub fn of(boot: &Boot) -> Result<Self, Odd> {
        Self::with(usize::from(boot.instruments))
    }

    /// Memory for so many books.
    ///
    /// # Errors
    /// [`Odd`] for more or fewer than there can be.
    pub fn with(instruments: usize) -> Result<Self, Odd> {
        if !(1..=INSTRUMENTS_MAX).contains(&instruments) {
            return Err(Odd("a boot with more or fewer instruments than there can be"));
        }
        Ok(Self {
            ladder: vec![LevelSize::default(); instruments * LADDER_CELLS],
            rest_ticks: vec![0; instruments * REST_CELLS],
            rest_sizes: vec![LevelSize::default(); instruments * REST_CELLS],
        })
    }
}

/// A journal that is being read.
pub struct Gathering<'m> {
    boot: Boot,
    lines: Vec<Line<'m>>,
    fills: Vec<(InstrumentId, Fill)>,
    booked: BTreeSet<u64>,
    bills: BTreeMap<u64, Bill>,
    /// UTC when the run began; what settled before concerns none of its fills.
    began: Option<UnixNanos>,
}

/// What is known of one instrument.
struct Line<'m> {
    rules: Option<Instrument>,
    book: Book<'m>,
    tape: Tape,
    /// What an earlier run left.
    held: Lots,
}

/// What a journal came to.
pub(super) struct Gathered {
    pub(super) boot: Boot,
    pub(super) instruments: Vec<Symbol>,
    pub(super) fills: Vec<Fill>,
    pub(super) funding_unshared: Quote,
}

impl<'m> Gathering<'m> {
    /// Begins with the journal's first event.
    pub fn new(boot: &Boot, shelf: &'m mut Shelf) -> Self {
        let mut memory = BookMemory {
            ladder: &mut shelf.ladder,
            rest_ticks: &mut shelf.rest_ticks,
            rest_sizes: &mut shelf.rest_sizes,
        };
        let mut lines = Vec::new();
        while let Some(book) = memory.carve() {
            let (book, tape) = (Book::new(book), Tape::default());
            lines.push(Line { rules: None, book, tape, held: Lots::ZERO });
        }
        Self {
            boot: *boot,
            lines,
            fills: Vec::new(),
            booked: BTreeSet::new(),
            bills: BTreeMap::new(),
            began: None,
        }
    }

    /// Takes in an event that follows the boot.
    ///
    /// # Errors
    /// [`Odd`] for what no run gives its engine.
    pub fn event(&mut self, event: &Event) -> Result<(), Odd> {
        match event {
            Event::Boot(_) => return Err(Odd("a second boot")),
            Event::ClockSync(sync) => _ = self.began.get_or_insert(sync.utc),
            Event::Rules(rules) => self.line(rules.id)?.rules(&rules.instrument),
            Event::BookPage(page) => self.line(page.instrument)?.page(page),
            Event::Feed(feed) => self.feed(feed),
            Event::RestorePosition(held) => self.line(held.instrument)?.held = held.lots,
            // Nothing else tells of a mid or of what is held.
            _ => {}
        }
        Ok(())
    }

    /// Takes in a command.
    ///
    /// # Errors
    /// [`Odd`] for what no engine gives.
    pub fn command(&mut self, command: &CommandView) -> Result<(), Odd> {
        let booked = match command {
            CommandView::Booked(booked) => booked,
            CommandView::BillBooked(bill) if bill.kind == BillKind::Funding => {
                self.bills.entry(bill.bill_id).or_insert(*bill);
                return Ok(());
            }
            // Nothing else tells of money.
            _ => return Ok(()),
        };
        let rules = self.line(booked.instrument)?.rules;
        let rules = rules.ok_or(Odd("an execution of an instrument without rules"))?;
        let fill = fill(booked, &rules).ok_or(Odd("an execution that is out of range"))?;
        if self.booked.insert(booked.trade_id) {
            self.fills.push((booked.instrument, fill));
        }
        Ok(())
    }

    /// The names of the run's instruments.
    pub fn symbols(&self) -> Vec<Symbol> {
        self.lines.iter().filter_map(|line| Some(line.rules?.symbol)).collect()
    }

    /// The figures, of all instruments or of one.
    pub fn report(mut self, only: Option<Symbol>) -> Report {
        self.fills.sort_by_key(|(_, fill)| (fill.ts, fill.trade_id));
        for (id, fill) in &mut self.fills {
            let tape = &self.lines[id.index()].tape;
            let worth = |at: i64| fill.worth_x2_at(tape.at(at)?);
            // The frame of the very millisecond may show the book without the order that filled.
            let capture_x2 = worth(fill.ts.0 - 1);
            let worth_x2 = HORIZONS.map(|wait| worth(fill.ts.0.saturating_add(wait.cast_signed())));
            (fill.capture_x2, fill.worth_x2) = (capture_x2, worth_x2);
        }
        let unshared = self.share_funding(only);
        let is_asked = |symbol: &Symbol| only.is_none_or(|only| only == *symbol);
        let fills = self.fills.into_iter().map(|(_, fill)| fill);
        Report::new(Gathered {
            boot: self.boot,
            instruments: self
                .lines
                .iter()
                .filter_map(|line| Some(line.rules?.symbol))
                .filter(is_asked)
                .collect(),
            fills: fills.filter(|fill| is_asked(&fill.symbol)).collect(),
            funding_unshared: unshared,
        })
    }

    /// Gives each settlement to the fills whose lots were held; what is nobody's is returned.
    fn share_funding(&mut self, only: Option<Symbol>) -> Quote {
        let began = self.began.unwrap_or(UnixNanos(0));
        let mut bills: Vec<Bill> =
            self.bills.values().filter(|bill| bill.ts >= began).copied().collect();
        bills.sort_by_key(|bill| (bill.ts, bill.bill_id));
        let mut held: Vec<Held> = self.lines.iter().map(|_| Held::default()).collect();
        for (held, line) in held.iter_mut().zip(&self.lines) {
            held.take(None, line.held.0);
        }
        let (mut next, mut unshared) = (0, Quote::ZERO);
        for bill in bills {
            while let Some((id, fill)) = self.fills.get(next).filter(|(_, f)| f.ts <= bill.ts) {
                held[id.index()].take(Some(next), fill.side.sign() * fill.lots.0);
                next += 1;
            }
            let of = self.lines.get(bill.instrument.index());
            let symbol = of.and_then(|line| line.rules).map(|rules| rules.symbol);
            let shares = held
                .get(bill.instrument.index())
                .map_or_else(|| vec![(None, bill.amount.0)], |held| held.divide(bill.amount.0));
            for (fill, amount) in shares {
                match fill {
                    Some(place) => self.fills[place].1.funding -= Quote(amount),
                    None if only.is_none() || symbol == only => unshared -= Quote(amount),
                    None => {}
                }
            }
        }
        unshared
    }

    fn feed(&mut self, feed: &Feed) {
        let lost = match (feed.stream, feed.state) {
            (Stream::Public, FeedState::Lost) => true,
            (Stream::Public, FeedState::Gap) => false,
            (Stream::Public, FeedState::Live | FeedState::Rotated | FeedState::Pong)
            | (Stream::Private, _) => return,
        };
        for (index, line) in self.lines.iter_mut().enumerate() {
            if feed.instrument == InstrumentId::ALL || feed.instrument.index() == index {
                line.tape.end();
                if lost { line.book.forget() } else { line.book.drop_book() }
            }
        }
    }

    fn line(&mut self, id: InstrumentId) -> Result<&mut Line<'m>, Odd> {
        self.lines.get_mut(id.index()).ok_or(Odd("an instrument that the boot does not count"))
    }
}

impl Line<'_> {
    fn rules(&mut self, rules: &Instrument) {
        self.rules = Some(*rules);
        if self.book.rules(rules.tick, rules.lot) {
            self.tape.end();
        }
    }

    fn page(&mut self, page: &BookPage) {
        match self.book.apply(page) {
            Applied::Done | Applied::NearEdge => {
                let tick = self.rules.map_or(0, |rules| rules.tick_e8());
                let mid = self.book.touch().and_then(|touch| touch.mid_x2().checked_mul(tick));
                self.tape.frame(page.snapshot, mid, page.ts.0);
            }
            Applied::Dropped(_) => self.tape.end(),
            Applied::Pending | Applied::Old | Applied::Waiting => {}
        }
    }
}

/// A fill as it was booked; `None` beyond what any venue trades.
fn fill(booked: &Booked, rules: &Instrument) -> Option<Fill> {
    let (ticks, lots) = (booked.price.0, booked.lots.0);
    let value = i128::from(ticks).checked_mul(i128::from(lots))?;
    let value = value.checked_mul(i128::from(rules.quote_per_tick_lot()))?;
    let price = ticks.checked_mul(rules.tick_e8())?;
    (ticks > 0 && lots > 0).then_some(())?;
    Some(Fill {
        symbol: rules.symbol,
        ts: booked.ts,
        trade_id: booked.trade_id,
        side: booked.side,
        regime: booked.regime,
        maker: booked.maker,
        price: Price(price),
        lots: booked.lots,
        lot: rules.lot,
        notional: Quote(i64::try_from(value).ok()?),
        fee: booked.fee,
        realized: booked.realized,
        funding: Quote::ZERO,
        capture_x2: None,
        worth_x2: [None; HORIZONS.len()],
    })
}
