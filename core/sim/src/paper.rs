//! Paper: one account's venue that trades on somebody else's public market.
//!
//! Orders never leave the process. Each travels for a drawn time, joins a [`Queue`] as the public
//! book shows it when it arrives, and is filled by what the public tape prints from then on. The
//! account has a balance, positions, fees at configured rates and funding by the ticker, and
//! answers the questions that an engine asks of a venue. There is no margin call and no taking:
//! orders that would take are refused or, post-only, canceled as the venue does.
//!
//! Time and UTC are arguments; the latencies follow from a seed.

mod account;
mod latency;

use std::collections::{BTreeMap, VecDeque};

use keel_core::book::BookMemory;
use keel_core::command::{Cancel, Query};
use keel_core::event::{
    BookPage, CancelReason, ClientId, Event, Evidence, Feed, FeedState, Fill, Health, Measure,
    OrderStatus, OrderUpdate, Outcome, Phase, RejectClass, Reply, RequestKind, RestorePosition,
    Settings, Source, Stream, Topic, Trade,
};
use keel_core::gate::{OrderSpec, TimeInForce};
use keel_core::instrument::{Instrument, InstrumentId};
use keel_core::units::{Lots, MILLIS, MonoNanos, Quote, Rate, SECONDS, UnixNanos};
use keel_core::words::Words;

use crate::queue::{Barred, Cancels, Execution, Joining, Queue, Shown};
use account::Account;
pub use account::MAINTENANCE;
pub use latency::Latency;
use latency::Travel;

/// What a paper venue goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// What the account begins with, and all that earlier runs have made of it.
    pub balance: Quote,
    /// What a resting order pays; negative is a rebate.
    pub maker: Rate,
    /// What an order that takes would pay; told, and never charged.
    pub taker: Rate,
    /// How long a request takes until the public feed could show it and its answer is here.
    pub latency: Latency,
    /// Who is canceled where a level shrinks without a print.
    pub cancels: Cancels,
    /// Decides the latencies.
    pub seed: u64,
}

/// The venue.
pub struct Paper<'m> {
    terms: Terms,
    /// The boot that it serves; part of every id that it gives.
    epoch: u32,
    queues: Vec<Queue<'m>>,
    account: Account,
    /// Orders that rest, by the venue's id.
    resting: BTreeMap<u64, Order>,
    /// The last words on orders that have ended, oldest first.
    ended: VecDeque<OrderUpdate>,
    /// Executions, oldest first.
    fills: VecDeque<Fill>,
    /// On their way, each kind on a connection of its own, in the order in which they arrive.
    requests: Travel<Request>,
    questions: Travel<Query>,
    /// How many ids have been given.
    ids: u64,
    /// When the account is served for the first time, and when each thing is told again.
    begins_at: MonoNanos,
    terms_at: MonoNanos,
    account_at: MonoNanos,
    /// When everything is canceled unless that is put off.
    countdown: MonoNanos,
    out: VecDeque<Event>,
}

/// An order that rests.
#[derive(Clone, Copy, Debug)]
struct Order {
    spec: OrderSpec,
    filled: Lots,
}

/// What was asked of the venue.
#[derive(Clone, Copy, Debug)]
enum Request {
    Place(OrderSpec),
    Cancel(Cancel),
    CancelAll(InstrumentId),
    Countdown(u8),
}

/// How long a login takes; the engine has read its own boot by then.
const CONNECT_NS: u64 = 300 * MILLIS;
/// Fee rates and settings are told this often, as signed queries would.
const TERMS_NS: u64 = 300 * SECONDS;
/// The account is told this often without a change: nothing here falls silent.
const ACCOUNT_NS: u64 = 5 * SECONDS;
/// Ended orders that are remembered for questions.
const ENDED_MAX: usize = 4_096;
/// Executions that are remembered for questions: the engine asks ten minutes back.
const FILLS_MAX: usize = 1 << 16;
/// "The order does not exist": the venue's code for a cancel that came too late.
const NOT_FOUND: u32 = 25_204;

impl<'m> Paper<'m> {
    /// A venue for the contracts with `rules`, with lent memory for the book of each, that begins
    /// to serve a while after `now`.
    ///
    /// # Panics
    /// When there is less memory than contracts.
    pub fn new(
        terms: Terms,
        rules: &[Instrument],
        mut books: BookMemory<'m>,
        epoch: u32,
        now: MonoNanos,
    ) -> Self {
        let queue = |rules: &Instrument| {
            let memory = books.carve().expect("memory for the book of every contract");
            Queue::new(memory, rules, terms.cancels)
        };
        Self {
            epoch,
            queues: rules.iter().map(queue).collect(),
            account: Account::new(terms.balance, rules),
            resting: BTreeMap::new(),
            ended: VecDeque::new(),
            fills: VecDeque::new(),
            requests: Travel::new(terms.latency, terms.seed, 0),
            questions: Travel::new(terms.latency, terms.seed, 1),
            ids: 0,
            begins_at: now.after(CONNECT_NS),
            terms_at: MonoNanos::NEVER,
            account_at: MonoNanos::NEVER,
            countdown: MonoNanos::NEVER,
            out: VecDeque::new(),
            terms,
        }
    }

    /// Takes in what an earlier run has left: its positions, and the executions that may be asked
    /// for. Other events say nothing to a venue.
    pub fn restore(&mut self, event: &Event) {
        match event {
            Event::RestorePosition(RestorePosition { instrument, lots, entry_value, .. }) => {
                self.account.hold(*instrument, *lots, *entry_value);
            }
            Event::RestoreFill(fill) => self.fills.push_back(*fill),
            _ => {}
        }
    }

    /// Sends an order on its way.
    pub fn place(&mut self, spec: &OrderSpec, now: MonoNanos) {
        self.requests.send(Request::Place(*spec), now);
    }

    /// Sends a cancel on its way.
    pub fn cancel(&mut self, cancel: &Cancel, now: MonoNanos) {
        self.requests.send(Request::Cancel(*cancel), now);
    }

    /// Sends a cancel of everything on its way; of one contract, or of all.
    pub fn cancel_all(&mut self, instrument: InstrumentId, now: MonoNanos) {
        self.requests.send(Request::CancelAll(instrument), now);
    }

    /// Asks that everything be canceled in so many seconds unless this is asked again; 0 ends that.
    pub fn countdown(&mut self, seconds: u8, now: MonoNanos) {
        self.requests.send(Request::Countdown(seconds), now);
    }

    /// Sends a question about the account on its way.
    ///
    /// # Panics
    /// When it is about the market: the public interface answers that.
    pub fn ask(&mut self, query: &Query, now: MonoNanos) {
        let market = matches!(query.topic, Topic::Touch | Topic::Rules);
        assert!(!market, "the market is not asked about here");
        self.questions.send(*query, now);
    }

    /// Ends everything that rests or is on its way, at once: the switch beside the engine.
    pub fn clear(&mut self, utc: UnixNanos) {
        for request in self.requests.drain() {
            if let Request::Place(spec) = request {
                self.not_sent(&spec);
            }
        }
        self.end_all(InstrumentId::ALL, utc);
    }

    /// Answers that an order was not sent.
    pub fn not_sent(&mut self, spec: &OrderSpec) {
        self.reply(spec.intent.instrument, spec.client, RequestKind::Place, Outcome::NotSent, 0);
    }

    /// Does what is due by `now`, when the venue's time is `utc`: requests and questions arrive,
    /// funding settles, the account is told. To be called before each event of the market with the
    /// time at which that came.
    pub fn advance(&mut self, utc: UnixNanos, now: MonoNanos) {
        if self.begins_at <= now {
            self.begins_at = MonoNanos::NEVER;
            self.begin(now);
        }
        // An order joins a queue that is known, not one of which half a frame has come.
        while self.queues.iter().all(Queue::is_whole) {
            let first = self.requests.next_at() <= self.questions.next_at();
            if first && let Some((_, request)) = self.requests.arrive(now) {
                self.handle(request, utc, now);
            } else if let Some((asked, query)) = self.questions.arrive(now) {
                self.answer(&query, asked, utc);
            } else {
                break;
            }
        }
        if self.countdown <= now {
            self.countdown = MonoNanos::NEVER;
            self.end_all(InstrumentId::ALL, utc);
        }
        for bill in self.account.settle(utc, self.epoch, &mut self.ids) {
            self.out.push_back(Event::Bill(bill));
            self.tell_account(utc, now);
        }
        if self.terms_at <= now {
            self.tell_terms(now);
        }
        if self.account_at <= now {
            self.tell_account(utc, now);
        }
    }

    /// Takes in one event of the public market, when the venue's time is `utc`.
    pub fn market(&mut self, event: &Event, utc: UnixNanos, now: MonoNanos) {
        match event {
            Event::BookPage(page) => self.page(page, utc, now),
            Event::Trade(trade) => self.trade(trade, utc, now),
            Event::Ticker(ticker) => self.account.on_ticker(ticker),
            Event::Feed(Feed { stream: Stream::Public, state, instrument, .. }) => {
                for (index, queue) in self.queues.iter_mut().enumerate() {
                    if *instrument == InstrumentId::ALL || instrument.index() == index {
                        queue.on_feed(*state);
                    }
                }
            }
            _ => {}
        }
    }

    /// What the account's owner is told, oldest first; to be taken out.
    pub fn events(&mut self) -> &mut VecDeque<Event> {
        &mut self.out
    }

    /// When it wants to be advanced without anything coming in.
    pub fn deadline(&self) -> MonoNanos {
        [
            self.requests.next_at(),
            self.questions.next_at(),
            self.begins_at,
            self.terms_at,
            self.account_at,
            self.countdown,
        ]
        .into_iter()
        .fold(MonoNanos::NEVER, MonoNanos::min)
    }

    /// Orders that rest or are on their way.
    pub fn live_orders(&self) -> usize {
        let placed = |request: &&Request| matches!(request, Request::Place(_));
        self.resting.len() + self.requests.iter().filter(placed).count()
    }

    /// Orders that rest.
    pub fn open_orders(&self) -> usize {
        self.resting.len()
    }

    /// Lots of others that go before an order, by the venue's id; `None` where that is not known.
    pub fn ahead(&self, order_id: u64) -> Option<Lots> {
        let order = self.resting.get(&order_id)?;
        self.queues[order.spec.intent.instrument.index()].ahead(order_id)
    }

    /// The signed position.
    pub fn position(&self, instrument: InstrumentId) -> Lots {
        self.account.position(instrument)
    }

    /// Money without unrealized profit.
    pub fn balance(&self) -> Quote {
        self.account.balance()
    }
}

/// Requests that arrive, and what the tape does.
impl Paper<'_> {
    fn begin(&mut self, now: MonoNanos) {
        self.tell_terms(now);
        let measure = Measure::OrderEntry;
        self.out.push_back(Event::Health(Health { measure, value: 0 }));
        let (stream, state) = (Stream::Private, FeedState::Live);
        let instrument = InstrumentId::ALL;
        self.out.push_back(Event::Feed(Feed { stream, state, instrument, connects: 1 }));
        self.account_at = now;
    }

    fn handle(&mut self, request: Request, utc: UnixNanos, now: MonoNanos) {
        match request {
            Request::Place(spec) => self.placed(&spec, utc),
            Request::Cancel(cancel) => self.canceled(&cancel, utc),
            Request::CancelAll(instrument) => self.end_all(instrument, utc),
            Request::Countdown(seconds) => {
                let until = now.after(u64::from(seconds) * SECONDS);
                self.countdown = if seconds == 0 { MonoNanos::NEVER } else { until };
                let (measure, value) = (Measure::Countdown, i64::from(seconds));
                self.out.push_back(Event::Health(Health { measure, value }));
            }
        }
    }

    fn placed(&mut self, spec: &OrderSpec, utc: UnixNanos) {
        let intent = &spec.intent;
        if let Some((class, words)) = self.refusal(spec) {
            return self.refuse(spec, class, words);
        }
        let order_id = id(self.epoch, &mut self.ids);
        let (side, price, lots) = (intent.side, intent.price, intent.lots);
        let joining = Joining { order_id, side, price, lots };
        let order = Order { spec: *spec, filled: Lots::ZERO };
        let (status, reason) = match self.queues[intent.instrument.index()].join(&joining) {
            Ok(()) => (OrderStatus::Live, CancelReason::None),
            Err(Barred::Crosses) => (OrderStatus::Canceled, CancelReason::PostOnly),
            Err(Barred::NoBook) => {
                return self.refuse(spec, RejectClass::Halted, b"paper: no book to queue in");
            }
        };
        let (instrument, client) = (intent.instrument, spec.client);
        self.reply(instrument, client, RequestKind::Place, Outcome::Received, order_id);
        let update = order.update(order_id, status, reason, utc);
        self.out.push_back(Event::OrderUpdate(update));
        if status == OrderStatus::Live {
            self.resting.insert(order_id, order);
        } else {
            self.remember(update);
        }
    }

    /// Why an order is refused whatever the book is.
    fn refusal(&self, spec: &OrderSpec) -> Option<(RejectClass, &'static [u8])> {
        let intent = &spec.intent;
        let rules = self.account.rules(intent.instrument);
        let own = self.resting.values().filter(|o| o.spec.intent.instrument == intent.instrument);
        if intent.time_in_force != TimeInForce::PostOnly {
            return Some((RejectClass::Other, b"paper: only post-only orders, nothing takes"));
        }
        if intent.lots < rules.min_lots || intent.lots > rules.max_lots {
            return Some((RejectClass::Rules, b"paper: size outside the contract's limits"));
        }
        if own.count() >= usize::from(rules.orders_max) {
            return Some((RejectClass::Rate, b"paper: the contract's most open orders"));
        }
        let reducible = self.account.reducible(intent.instrument, intent.side);
        if intent.reduce_only && intent.lots > reducible {
            return Some((RejectClass::Rules, b"paper: reduce-only beyond the position"));
        }
        None
    }

    fn refuse(&mut self, spec: &OrderSpec, class: RejectClass, words: &[u8]) {
        self.out.push_back(Event::Reply(Reply {
            class,
            message: Words::new(words),
            ..bare(spec.intent.instrument, spec.client, RequestKind::Place, Outcome::Rejected, 0)
        }));
    }

    fn canceled(&mut self, cancel: &Cancel, utc: UnixNanos) {
        let (instrument, client) = (cancel.instrument, cancel.client);
        let named = |order_id: u64, order: &Order| match client {
            ClientId::FOREIGN => order_id == cancel.order_id,
            client => order.spec.client == client,
        };
        let found = self.resting.iter().find(|(id, order)| named(**id, order)).map(|(id, _)| *id);
        let Some(order_id) = found else {
            let (request, outcome) = (RequestKind::Cancel, Outcome::Rejected);
            let bare = bare(instrument, client, request, outcome, 0);
            let reply = Reply { class: RejectClass::NotFound, code: NOT_FOUND, ..bare };
            return self.out.push_back(Event::Reply(reply));
        };
        self.reply(instrument, client, RequestKind::Cancel, Outcome::Received, order_id);
        self.end(order_id, CancelReason::Normal, utc);
    }

    fn end_all(&mut self, instrument: InstrumentId, utc: UnixNanos) {
        let own = |order: &Order| {
            instrument == InstrumentId::ALL || order.spec.intent.instrument == instrument
        };
        let ids: Vec<u64> =
            self.resting.iter().filter(|(_, order)| own(order)).map(|(id, _)| *id).collect();
        ids.into_iter().for_each(|id| self.end(id, CancelReason::Normal, utc));
    }

    /// Takes an order off and says so.
    fn end(&mut self, order_id: u64, reason: CancelReason, utc: UnixNanos) {
        let Some(order) = self.resting.remove(&order_id) else { return };
        self.queues[order.spec.intent.instrument.index()].leave(order_id);
        let update = order.update(order_id, OrderStatus::Canceled, reason, utc);
        self.out.push_back(Event::OrderUpdate(update));
        self.remember(update);
    }

    fn remember(&mut self, ended: OrderUpdate) {
        if self.ended.len() == ENDED_MAX {
            self.ended.pop_front();
        }
        self.ended.push_back(ended);
    }

    fn page(&mut self, page: &BookPage, utc: UnixNanos, now: MonoNanos) {
        let mut executions = Vec::new();
        let mut crossed = Vec::new();
        self.queues[page.instrument.index()].on_page(page, |shown| match shown {
            Shown::Executed(execution) => executions.push(execution),
            Shown::Crossed { order_id } => crossed.push(order_id),
        });
        crossed.into_iter().for_each(|id| self.end(id, CancelReason::PostOnly, utc));
        self.execute_all(page.instrument, &executions, page.ts, utc, now);
    }

    fn trade(&mut self, trade: &Trade, utc: UnixNanos, now: MonoNanos) {
        let mut executions = Vec::new();
        self.queues[trade.instrument.index()].on_trade(trade, |fill| executions.push(fill));
        self.execute_all(trade.instrument, &executions, trade.ts, utc, now);
    }

    /// Books executions of one contract that are as old as `ts`.
    fn execute_all(
        &mut self,
        instrument: InstrumentId,
        executions: &[Execution],
        ts: UnixNanos,
        utc: UnixNanos,
        now: MonoNanos,
    ) {
        if executions.is_empty() {
            return;
        }
        executions.iter().for_each(|execution| self.execute(execution, ts, utc));
        self.trim(instrument, utc);
        self.out.push_back(self.account.position_report(instrument, Source::Push, utc));
        self.tell_account(utc, now);
    }

    fn execute(&mut self, execution: &Execution, ts: UnixNanos, utc: UnixNanos) {
        let order_id = execution.order_id;
        let order = self.resting.get_mut(&order_id).expect("what fills rests");
        order.filled += execution.lots;
        let (order, intent) = (*order, order.spec.intent);
        let (price, lots) = (intent.price, execution.lots);
        let fee = self.account.fill(intent.instrument, intent.side, price, lots, self.terms.maker);
        let fill = Fill {
            instrument: intent.instrument,
            client: order.spec.client,
            order_id,
            trade_id: id(self.epoch, &mut self.ids),
            side: intent.side,
            maker: true,
            price,
            lots,
            fee,
            fee_known: true,
            source: Source::Push,
            ts,
        };
        if self.fills.len() == FILLS_MAX {
            self.fills.pop_front();
        }
        self.fills.push_back(fill);
        self.out.push_back(Event::Fill(fill));
        let whole = execution.left.is_zero();
        let status = if whole { OrderStatus::Filled } else { OrderStatus::PartiallyFilled };
        let update = order.update(order_id, status, CancelReason::None, utc);
        self.out.push_back(Event::OrderUpdate(update));
        if whole {
            self.resting.remove(&order_id);
            self.remember(update);
        }
    }

    /// Ends orders that may only reduce a position which has become smaller than they are.
    fn trim(&mut self, instrument: InstrumentId, utc: UnixNanos) {
        let beyond = |order: &Order| {
            let intent = &order.spec.intent;
            intent.instrument == instrument
                && intent.reduce_only
                && intent.lots - order.filled > self.account.reducible(instrument, intent.side)
        };
        let ids: Vec<u64> =
            self.resting.iter().filter(|(_, order)| beyond(order)).map(|(id, _)| *id).collect();
        ids.into_iter().for_each(|id| self.end(id, CancelReason::Other, utc));
    }

    fn tell_terms(&mut self, now: MonoNanos) {
        self.terms_at = now.after(TERMS_NS);
        // Both are as they are configured, and a venue is asked for both again and again.
        self.out.push_back(Event::Settings(Settings::FIT));
        let Terms { maker, taker, .. } = self.terms;
        self.out.extend(self.account.fees(maker, taker).map(Event::FeeRate));
    }

    fn tell_account(&mut self, utc: UnixNanos, now: MonoNanos) {
        self.account_at = now.after(ACCOUNT_NS);
        self.out.push_back(self.account.report(Source::Push, utc));
    }

    fn reply(
        &mut self,
        instrument: InstrumentId,
        client: ClientId,
        request: RequestKind,
        outcome: Outcome,
        order_id: u64,
    ) {
        let reply = bare(instrument, client, request, outcome, order_id);
        self.out.push_back(Event::Reply(reply));
    }
}

/// Questions that arrive.
impl Paper<'_> {
    /// Tells all that a question of `asked` is about, as a pass of evidence.
    fn answer(&mut self, query: &Query, asked: MonoNanos, utc: UnixNanos) {
        let evidence = |phase, items| {
            let Query { pass, topic, instrument, client, .. } = *query;
            Event::Evidence(Evidence { pass, topic, phase, instrument, client, items, asked })
        };
        self.out.push_back(evidence(Phase::Begin, 0));
        let before = self.out.len();
        let told = |instrument: InstrumentId| {
            query.instrument == InstrumentId::ALL || query.instrument == instrument
        };
        match query.topic {
            Topic::OpenOrders => {
                let rest = self.resting.iter().filter(|(_, o)| told(o.spec.intent.instrument));
                self.out.extend(rest.map(|(id, order)| order.shown(*id, utc)));
            }
            Topic::Positions => self.out.extend(self.account.positions(utc).filter(
                |report| matches!(report, Event::PositionReport(report) if told(report.instrument)),
            )),
            Topic::Fills => {
                let rest = self.fills.iter().filter(|f| told(f.instrument) && f.ts >= query.since);
                let fill = |fill: &Fill| Event::Fill(Fill { source: Source::Query, ..*fill });
                self.out.extend(rest.map(fill));
            }
            Topic::Account => self.out.push_back(self.account.report(Source::Query, utc)),
            Topic::Order => {
                let order = self.order(query, utc);
                self.out.push_back(order);
            }
            Topic::Bills => self.out.extend(self.account.bills().map(Event::Bill)),
            // The configuration says them.
            Topic::FeeRates => {}
            Topic::Touch | Topic::Rules => unreachable!("not taken in"),
        }
        let items = u32::try_from(self.out.len() - before).expect("fewer than 2^32");
        self.out.push_back(evidence(Phase::End, items));
    }

    /// One order by its client id, at work or ended.
    fn order(&self, query: &Query, utc: UnixNanos) -> Event {
        let mut rest = self.resting.iter();
        if let Some((id, order)) = rest.find(|(_, order)| order.spec.client == query.client) {
            return order.shown(*id, utc);
        }
        let ended = self.ended.iter().rev().find(|update| update.client == query.client);
        let missing = OrderUpdate::missing(query.instrument, query.client, utc);
        let update = ended.map_or(missing, |u| OrderUpdate { source: Source::Query, ..*u });
        Event::OrderUpdate(update)
    }
}

impl Order {
    fn update(
        &self,
        order_id: u64,
        status: OrderStatus,
        reason: CancelReason,
        ts: UnixNanos,
    ) -> OrderUpdate {
        let intent = &self.spec.intent;
        OrderUpdate {
            instrument: intent.instrument,
            client: self.spec.client,
            order_id,
            side: intent.side,
            status,
            price: intent.price,
            lots: intent.lots,
            filled: self.filled,
            reason,
            reduce_only: intent.reduce_only,
            source: Source::Push,
            ts,
        }
    }

    /// As it is listed while it rests.
    fn shown(&self, order_id: u64, utc: UnixNanos) -> Event {
        let none = self.filled.is_zero();
        let status = if none { OrderStatus::Live } else { OrderStatus::PartiallyFilled };
        let update = self.update(order_id, status, CancelReason::None, utc);
        Event::OrderUpdate(OrderUpdate { source: Source::Query, ..update })
    }
}

fn bare(
    instrument: InstrumentId,
    client: ClientId,
    request: RequestKind,
    outcome: Outcome,
    order_id: u64,
) -> Reply {
    let (class, message) = (RejectClass::None, Words::NONE);
    Reply { instrument, client, request, outcome, order_id, code: 0, class, message }
}

/// An id that no other boot gives.
fn id(epoch: u32, ids: &mut u64) -> u64 {
    *ids += 1;
    u64::from(epoch) << 32 | *ids
}

#[cfg(test)]
mod tests;
