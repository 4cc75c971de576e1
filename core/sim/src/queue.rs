//! Queue position: when an order that nobody else sees would have been executed, by one contract's
//! public book and prints alone.
//!
//! An order joins its price behind all that is displayed there. A print at its price uses up what
//! stands ahead, then fills it, in part where the print is smaller. A print beyond its price means
//! that the price was traded through: nothing stands ahead any more, and the print fills it. What
//! a level loses without a print was canceled, ahead or behind by a stated rule ([`Cancels`]).
//! A frame whose other side stands at or through its price means that somebody would have traded
//! with it: an order that rested before is filled by what is displayed there; one that has joined
//! since the frame before is taken for one that the venue had to cancel, as post-only. Nothing else
//! fills, so that adverse selection is that of the tape; and all own orders together are never
//! filled by more than a print had, or a frame shows.
//!
//! Prints and books are told on two channels. A print that came first is not counted again when its
//! level shrinks; a shrinking that came first, and was taken for cancels, is set right when its
//! print comes, by the venue's times. What stands ahead never grows.

use keel_core::book::{Applied, Book, BookMemory};
use keel_core::event::{BookPage, FeedState, Trade};
use keel_core::instrument::Instrument;
use keel_core::units::{Lots, Side, Ticks, UnixNanos};

/// One contract's public market and the own orders that wait in it.
pub struct Queue<'m> {
    book: Book<'m>,
    cancels: Cancels,
    /// In the order in which they came.
    resting: Vec<Resting>,
}

/// Whose orders are canceled when a level shrinks without a print.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cancels {
    /// Those ahead and those behind, by how much of the level each side holds. `f(x) = x` of the
    /// model of Rigtorp, "Estimating order queue position" (2013), as in hftbacktest's
    /// `ProbQueueModel`.
    #[default]
    Proportional,
    /// Those behind, as long as there are any: only prints bring an order forward. The careful one;
    /// hftbacktest's `RiskAdverseQueueModel`.
    Behind,
}

/// An own order as it joins a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Joining {
    /// Names it; unique.
    pub order_id: u64,
    /// Its side.
    pub side: Side,
    /// Its price.
    pub price: Ticks,
    /// Its size; positive.
    pub lots: Lots,
}

/// Why an order cannot join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Barred {
    /// It would take: what the venue cancels a post-only order for.
    Crosses,
    /// The book is not known, so nobody can say where it would stand.
    NoBook,
}

/// An execution of an own order, as maker, at its own price.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Execution {
    /// Of which order.
    pub order_id: u64,
    /// How much.
    pub lots: Lots,
    /// What of the order still rests.
    pub left: Lots,
}

/// What a frame of the book tells of an own order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// Somebody has traded with it.
    Executed(Execution),
    /// It would have taken when it came: no part of it has rested.
    Crossed {
        /// Which.
        order_id: u64,
    },
}

/// An own order that rests.
#[derive(Clone, Copy, Debug)]
struct Resting {
    order_id: u64,
    side: Side,
    price: Ticks,
    open: Lots,
    /// Lots of others that go first; `None` while its price lies beyond the known book.
    ahead: Option<Lots>,
    /// The level's size in the last frame; `None` where the next one follows a gap.
    seen: Option<Lots>,
    /// Printed at its price since, and when last: no cancels, when the level shows it.
    printed: (Lots, UnixNanos),
    /// What the last frame's shrinking was taken for.
    taken: Taken,
    /// No frame and no print since it joined shows that it rested.
    fresh: bool,
    /// Displayed at or through its price and traded with already.
    met: Lots,
}

/// Lots that a level lost without a print so far, and how many of them were counted as ahead.
#[derive(Clone, Copy, Debug, Default)]
struct Taken {
    lots: i64,
    ahead: i64,
    /// The frame's time.
    ts: UnixNanos,
}

impl<'m> Queue<'m> {
    /// An empty queue over lent memory for the book of a contract with `rules`.
    pub fn new(memory: BookMemory<'m>, rules: &Instrument, cancels: Cancels) -> Self {
        let mut book = Book::new(memory);
        book.rules(rules.tick, rules.lot);
        Self { book, cancels, resting: Vec::new() }
    }

    /// True while no frame of the book is half-way: only then may orders join.
    pub fn is_whole(&self) -> bool {
        self.book.is_whole()
    }

    /// Takes an order in, behind all that is displayed at its price.
    ///
    /// # Errors
    /// Why it does not rest: see [`Barred`].
    pub fn join(&mut self, order: &Joining) -> Result<(), Barred> {
        let touch = self.book.touch().ok_or(Barred::NoBook)?;
        let crosses = match order.side {
            Side::Buy => order.price >= touch.ask,
            Side::Sell => order.price <= touch.bid,
        };
        if crosses {
            return Err(Barred::Crosses);
        }
        let ahead = self.book.size_at(order.side, order.price);
        self.resting.push(Resting {
            order_id: order.order_id,
            side: order.side,
            price: order.price,
            open: order.lots,
            ahead,
            seen: ahead,
            printed: (Lots::ZERO, UnixNanos(0)),
            taken: Taken::default(),
            fresh: true,
            met: Lots::ZERO,
        });
        Ok(())
    }

    /// Takes an order out; what of it was open, or `None` when it does not rest here.
    pub fn leave(&mut self, order_id: u64) -> Option<Lots> {
        let place = self.resting.iter().position(|order| order.order_id == order_id)?;
        Some(self.resting.remove(place).open)
    }

    /// Lots of others that go before an order; `None` where that is not known.
    pub fn ahead(&self, order_id: u64) -> Option<Lots> {
        self.resting.iter().find(|order| order.order_id == order_id)?.ahead
    }

    /// Takes in a page of the book. Queues move with whole frames, which say what became of orders
    /// that the other side has reached, best price first, then who came first.
    pub fn on_page(&mut self, page: &BookPage, told: impl FnMut(Shown)) {
        match self.book.apply(page) {
            Applied::Done | Applied::NearEdge => {
                let (book, cancels) = (&self.book, self.cancels);
                for order in &mut self.resting {
                    if let Some(shown) = book.size_at(order.side, order.price) {
                        order.on_level(shown, book.ts(), cancels);
                    }
                }
                self.meet(told);
            }
            Applied::Dropped(_) => self.go_blind(),
            Applied::Pending | Applied::Old | Applied::Waiting => {}
        }
    }

    /// What the other side, at or through the prices of own orders, has done to them.
    fn meet(&mut self, mut told: impl FnMut(Shown)) {
        for side in Side::BOTH {
            // What better orders of this side have met in this frame.
            let mut met = 0;
            for at in self.by_price(|order| order.side == side) {
                let order = &mut self.resting[at];
                let fresh = std::mem::take(&mut order.fresh);
                let there = self.book.levels(side.opposite());
                // The other side's levels come best first; those at or through the price lead.
                let reached = there.take_while(|(price, _)| !side.better(*price, order.price));
                let shown: i64 = reached.map(|(_, lots)| lots.0).sum();
                if shown > 0 && fresh {
                    order.open = Lots::ZERO;
                    told(Shown::Crossed { order_id: order.order_id });
                    continue;
                }
                let lots = (shown - met - order.met.0).clamp(0, order.open.0);
                met += lots;
                order.met.0 += lots;
                order.open.0 -= lots;
                if lots > 0 {
                    let (order_id, lots, left) = (order.order_id, Lots(lots), order.open);
                    told(Shown::Executed(Execution { order_id, lots, left }));
                }
            }
        }
        self.resting.retain(|order| order.open.0 > 0);
    }

    /// The places of the orders that are `meant`, best price first, then who came first.
    fn by_price(&self, meant: impl Fn(&Resting) -> bool) -> Vec<usize> {
        let mut places: Vec<usize> =
            (0..self.resting.len()).filter(|&at| meant(&self.resting[at])).collect();
        // Stable: of one price, who came first stays first.
        places.sort_by_key(|&at| {
            let order = &self.resting[at];
            -order.price.0 * order.side.sign()
        });
        places
    }

    /// Takes in what happened to the public stream. Prints that were lost fill nobody.
    pub fn on_feed(&mut self, state: FeedState) {
        match state {
            FeedState::Lost => self.book.forget(),
            FeedState::Gap => self.book.drop_book(),
            FeedState::Live | FeedState::Rotated | FeedState::Pong => return,
        }
        self.go_blind();
    }

    /// What happened until the next frame is not known: that frame bounds what stands ahead, and
    /// says nothing of cancels.
    fn go_blind(&mut self) {
        for order in &mut self.resting {
            order.seen = None;
        }
    }

    /// Takes in a print and says whom it fills, best price first, then who came first.
    pub fn on_trade(&mut self, trade: &Trade, mut fill: impl FnMut(Execution)) {
        let maker = trade.taker.opposite();
        let mut left = trade.lots.0.max(0);
        let hit = |order: &Resting| order.side == maker && !maker.better(trade.price, order.price);
        for at in self.by_price(hit) {
            let order = &mut self.resting[at];
            let filled = if order.price == trade.price {
                order.on_print(left, trade)
            } else {
                order.ahead = Some(Lots::ZERO);
                left.min(order.open.0)
            };
            left -= filled;
            order.open.0 -= filled;
            order.fresh &= filled == 0;
            if filled > 0 {
                let (order_id, lots) = (order.order_id, Lots(filled));
                fill(Execution { order_id, lots, left: order.open });
            }
        }
        self.resting.retain(|order| order.open.0 > 0);
    }
}

impl Resting {
    /// Its level in a new frame.
    fn on_level(&mut self, shown: Lots, ts: UnixNanos, cancels: Cancels) {
        let before = self.seen.replace(shown);
        let (printed, printed_at) = self.printed;
        let Some(ahead) = self.ahead else {
            self.ahead = Some(shown);
            return;
        };
        let gone = before.map_or(0, |before| (before.0 - shown.0).max(0));
        let by_print = gone.min(printed.0);
        let canceled = gone - by_print;
        self.printed.0 = if ts >= printed_at { Lots::ZERO } else { printed - Lots(by_print) };
        // Before the cancels, after the prints, the level had this much.
        let level = shown.0 + canceled;
        let from_ahead = match cancels {
            Cancels::Proportional if canceled > 0 => {
                i128::from(canceled) * i128::from(ahead.0.min(level)) / i128::from(level)
            }
            Cancels::Proportional | Cancels::Behind => 0,
        };
        let from_ahead = i64::try_from(from_ahead).expect("no more than was canceled");
        let now = (ahead.0 - from_ahead).min(shown.0);
        if canceled > 0 {
            self.taken = Taken { lots: canceled, ahead: (ahead.0 - now).min(canceled), ts };
        }
        self.ahead = Some(Lots(now));
    }

    /// A print of `lots` at its price, as far as own orders before it have left any; gives how much
    /// of this one it fills.
    fn on_print(&mut self, lots: i64, trade: &Trade) -> i64 {
        // A frame has shown this print already, and it was taken for cancels.
        let late = if trade.ts <= self.taken.ts { lots.min(self.taken.lots) } else { 0 };
        let back = match late {
            0 => 0,
            late => i128::from(self.taken.ahead) * i128::from(late) / i128::from(self.taken.lots),
        };
        let back = i64::try_from(back).expect("no more than was taken");
        self.taken.lots -= late;
        self.taken.ahead -= back;
        self.printed.0 += trade.lots - Lots(late);
        self.printed.1 = self.printed.1.max(trade.ts);
        // Where nobody knows what stands ahead, a print at the price fills nobody.
        let Some(ahead) = self.ahead else { return 0 };
        let ahead = ahead.0 + back;
        let past = (lots - ahead).max(0);
        self.ahead = Some(Lots((ahead - lots).max(0)));
        past.min(self.open.0)
    }
}

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod tests;
