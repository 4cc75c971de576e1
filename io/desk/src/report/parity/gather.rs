//! From what an engine took and gave to rows.

use std::collections::BTreeMap;

use keel_core::command::{CommandView, StatusPage};
use keel_core::event::{
    CancelReason, ClientId, Event, Fill as Executed, OrderStatus, OrderUpdate, Outcome, Reply,
    RequestKind,
};
use keel_core::regime::Regime;
use keel_core::status::{self, Key, Row};
use keel_core::units::UnixNanos;
use keel_io::journal::{Tap, TapKind};

use super::super::edge::{self, Odd, Shelf};
use super::{End, Fill, Minute, Order, REGIMES, Rows};

/// An engine that is being watched.
pub struct Gathering<'m> {
    /// Taken when the engine boots.
    shelf: Option<&'m mut Shelf>,
    edge: Option<edge::Gathering<'m>>,
    orders: BTreeMap<ClientId, Order>,
    minutes: Vec<Minute>,
    row: Row,
}

impl<'m> Gathering<'m> {
    /// Nothing seen yet; `shelf` has room for the instruments of the run.
    pub fn new(shelf: &'m mut Shelf) -> Self {
        Self {
            shelf: Some(shelf),
            edge: None,
            orders: BTreeMap::new(),
            minutes: Vec::new(),
            row: Row::EMPTY,
        }
    }

    /// Takes in what passed the engine's tap at `utc`.
    ///
    /// # Errors
    /// [`Odd`] for what no run tells, a second boot among it.
    pub fn take(&mut self, tap: &Tap, utc: UnixNanos) -> Result<(), Odd> {
        let strange = |_| Odd("a record that is none of this build's");
        match tap.kind {
            TapKind::Event => self.event(&Event::decode(&tap.slot).map_err(strange)?, utc),
            TapKind::Command => {
                self.command(&CommandView::decode(&tap.slot).map_err(strange)?, utc)
            }
            TapKind::Stamps | TapKind::Digest => Ok(()),
        }
    }

    /// What it came to.
    pub fn rows(self) -> Rows {
        let fills = self.edge.map_or_else(Vec::new, |edge| edge.report(None).fills);
        let half = |worth_x2: Option<i128>| worth_x2.and_then(|x2| i64::try_from(x2).ok());
        let fills = fills.iter().map(|fill| Fill {
            ts: fill.ts.0,
            side: fill.side,
            maker: fill.maker,
            notional: fill.notional.0,
            fee: fill.fee.0,
            capture_x2: half(fill.capture_x2),
            worth_x2: fill.worth_x2.map(half),
        });
        let mut orders: Vec<Order> = self.orders.into_values().collect();
        orders.sort_by_key(|order| order.sent);
        Rows { orders, fills: fills.collect(), minutes: self.minutes }
    }

    fn event(&mut self, event: &Event, utc: UnixNanos) -> Result<(), Odd> {
        if let Event::Boot(boot) = event {
            let shelf = self.shelf.take().ok_or(Odd("a second boot"))?;
            self.edge = Some(edge::Gathering::new(boot, shelf));
            return Ok(());
        }
        match event {
            Event::Fill(fill) => self.filled(fill),
            Event::OrderUpdate(update) => self.updated(update, utc),
            Event::Reply(reply) => self.answered(reply, utc),
            // Nothing else tells of an own order.
            _ => {}
        }
        self.edge()?.event(event)
    }

    fn command(&mut self, command: &CommandView, utc: UnixNanos) -> Result<(), Odd> {
        match command {
            CommandView::Place(spec) => {
                let (sent, side) = (utc.0, spec.intent.side);
                let (answered, filled, ended, end) = (0, 0, 0, End::Open);
                let order = Order { sent, side, answered, filled, ended, end };
                self.orders.insert(spec.client, order);
            }
            CommandView::StatusPage(page) => self.page(page, utc),
            // Nothing else tells of an order's begin, of a regime or of equity.
            _ => {}
        }
        self.edge()?.command(command)
    }

    fn edge(&mut self) -> Result<&mut edge::Gathering<'m>, Odd> {
        self.edge.as_mut().ok_or(Odd("it does not begin with a boot"))
    }

    fn filled(&mut self, fill: &Executed) {
        let Some(order) = self.orders.get_mut(&fill.client) else { return };
        if order.filled == 0 || fill.ts.0 < order.filled {
            order.filled = fill.ts.0;
        }
        // The end of an order may be told before its executions.
        if order.end == End::Canceled {
            order.end = End::Filled;
        }
    }

    fn updated(&mut self, update: &OrderUpdate, utc: UnixNanos) {
        let Some(order) = self.orders.get_mut(&update.client) else { return };
        let any = !update.filled.is_zero() || order.filled > 0;
        let end = match (update.status, update.reason) {
            // No proof of anything.
            (OrderStatus::NotFound, _) => return,
            (OrderStatus::New | OrderStatus::Live | OrderStatus::PartiallyFilled, _) => End::Open,
            (OrderStatus::Filled, _) => End::Filled,
            (OrderStatus::Canceled, _) if any => End::Filled,
            (OrderStatus::Canceled, CancelReason::PostOnly) => End::PostOnly,
            (OrderStatus::Canceled, _) => End::Canceled,
        };
        order.answer(utc);
        order.end_as(end, utc);
    }

    fn answered(&mut self, reply: &Reply, utc: UnixNanos) {
        let Some(order) = self.orders.get_mut(&reply.client) else { return };
        if reply.request != RequestKind::Place {
            return;
        }
        match reply.outcome {
            Outcome::Received => order.answer(utc),
            Outcome::Rejected => {
                order.answer(utc);
                order.end_as(End::Rejected, utc);
            }
            // Neither says what the venue has made of it.
            Outcome::Unknown | Outcome::NotSent => {}
        }
    }

    fn page(&mut self, page: &StatusPage, utc: UnixNanos) {
        let place = usize::from(page.page);
        if !self.row.take_page(place, &page.values) || place + 1 != status::PAGES {
            return;
        }
        let (number, equity) = (utc.minute(), self.row.value(Key::equity_quote));
        // Before the balance is known there is no equity.
        if equity == 0 {
            return;
        }
        while self.minutes.last().is_none_or(|last| last.minute < number) {
            let next = self.minutes.last().map_or(number, |last| last.minute + 1);
            self.minutes.push(Minute { minute: next, equity, regimes: [0; REGIMES] });
        }
        let minute = self.minutes.last_mut().expect("one was just made");
        minute.equity = equity;
        let regime = usize::try_from(self.row.value(Key::regime)).ok();
        if let Some(regime) = regime.filter(|&place| place < Regime::ALL.len() && !page.minute) {
            minute.regimes[regime] += 1;
        }
    }
}

impl Order {
    fn answer(&mut self, utc: UnixNanos) {
        if self.answered == 0 {
            self.answered = utc.0;
        }
    }

    /// The first end that is told stays.
    fn end_as(&mut self, end: End, utc: UnixNanos) {
        if self.end == End::Open && end != End::Open {
            (self.end, self.ended) = (end, utc.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use keel_core::event::{Boot, RejectClass, Source};
    use keel_core::gate::{Intent, OrderSpec, Purpose, TimeInForce};
    use keel_core::instrument::InstrumentId;
    use keel_core::units::{Lots, MonoNanos, Quote, Side, Ticks};
    use keel_core::words::Words;

    use super::*;

    const CLIENT: ClientId = ClientId { epoch: 1, number: 1 };
    const BTC: InstrumentId = InstrumentId(0);

    fn boot() -> Event {
        Event::Boot(Boot::WORLD)
    }

    fn place() -> CommandView {
        let intent = Intent {
            instrument: BTC,
            side: Side::Sell,
            price: Ticks(1_000),
            lots: Lots(2),
            time_in_force: TimeInForce::PostOnly,
            reduce_only: false,
            level: 0,
            purpose: Purpose::Quote,
            made: MonoNanos(1),
        };
        CommandView::Place(OrderSpec { client: CLIENT, intent })
    }

    fn update(status: OrderStatus, reason: CancelReason, filled: i64) -> Event {
        Event::OrderUpdate(OrderUpdate {
            client: CLIENT,
            status,
            reason,
            filled: Lots(filled),
            ..OrderUpdate::missing(BTC, CLIENT, UnixNanos(0))
        })
    }

    fn reply(outcome: Outcome) -> Event {
        Event::Reply(Reply {
            instrument: BTC,
            client: CLIENT,
            request: RequestKind::Place,
            outcome,
            order_id: 7,
            code: 0,
            class: RejectClass::None,
            message: Words::NONE,
        })
    }

    fn fill(ts: i64) -> Event {
        Event::Fill(Executed {
            instrument: BTC,
            client: CLIENT,
            order_id: 7,
            trade_id: 9,
            side: Side::Sell,
            maker: true,
            price: Ticks(1_000),
            lots: Lots(1),
            fee: Quote::ZERO,
            fee_known: true,
            source: Source::Push,
            ts: UnixNanos(ts),
        })
    }

    /// What becomes of an order sent at 100 when these come, one every ten nanoseconds.
    fn order(events: &[Event]) -> Order {
        let mut shelf = Shelf::with(1).expect("one instrument");
        let mut gathering = Gathering::new(&mut shelf);
        gathering.event(&boot(), UnixNanos(0)).expect("a boot");
        gathering.command(&place(), UnixNanos(100)).expect("an order");
        for (n, event) in events.iter().enumerate() {
            gathering.event(event, UnixNanos(110 + 10 * n as i64)).expect("its news");
        }
        gathering.rows().orders[0]
    }

    #[test]
    fn an_order_ends_as_the_first_word_on_it_says() {
        use CancelReason::{None as No, Normal, PostOnly};
        use OrderStatus::{Canceled, Filled, Live, NotFound};
        let received = reply(Outcome::Received);
        let live = update(Live, No, 0);
        let canceled = update(Canceled, Normal, 0);
        let barred = update(Canceled, PostOnly, 0);
        for (events, end, answered, filled, ended) in [
            (vec![received, live], End::Open, 110, 0, 0),
            (vec![update(NotFound, No, 0), live], End::Open, 120, 0, 0),
            (vec![live, fill(113), update(Filled, No, 2)], End::Filled, 110, 113, 130),
            (vec![live, fill(119), fill(113), canceled], End::Filled, 110, 113, 140),
            (vec![live, canceled, fill(112)], End::Filled, 110, 112, 120),
            (vec![live, update(Canceled, Normal, 1)], End::Filled, 110, 0, 120),
            (vec![received, canceled, barred], End::Canceled, 110, 0, 120),
            (vec![received, live, barred], End::PostOnly, 110, 0, 130),
            (vec![reply(Outcome::Rejected)], End::Rejected, 110, 0, 110),
            (vec![reply(Outcome::Unknown), reply(Outcome::NotSent)], End::Open, 0, 0, 0),
        ] {
            let side = Side::Sell;
            let wanted = Order { sent: 100, side, answered, filled, ended, end };
            assert_eq!(order(&events), wanted, "{events:?}");
        }
    }

    #[test]
    fn what_no_run_tells_is_refused() {
        let mut shelf = Shelf::with(1).expect("one instrument");
        let mut gathering = Gathering::new(&mut shelf);
        let early = gathering.event(&fill(1), UnixNanos(1));
        assert_eq!(early, Err(Odd("it does not begin with a boot")));
        gathering.event(&boot(), UnixNanos(1)).expect("a boot");
        assert_eq!(gathering.event(&boot(), UnixNanos(2)), Err(Odd("a second boot")));
        assert!(Shelf::with(0).is_err());
    }
}
