//! An engine that trades: the product's own engine agent over its own memory and risk gate, booted
//! with limits wide enough for an order every few milliseconds, and everybody around it who does
//! not speak over a socket.
//!
//! A quote here is worth what one order may be worth at most, and its smallest size is that much
//! too. So it fits while its price is at or below [`PRICE_MAX`] and does not fit a tick above it. A
//! touch that goes to and fro across that price has the engine place an order on every other frame
//! and cancel it on the one between, each through plan, gate and order table, with no state made by
//! hand.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use keel_core::command::{CommandView, Query};
use keel_core::event::{
    AccountReport, Boot, ClientId, ClockSync, Event, Evidence, FeeRate, FeeSource, Feed, FeedState,
    Mode, OrderStatus, OrderUpdate, Parameter, Phase, Rules, Settings, Source, Stream, Topic,
};
use keel_core::guard::GuardState;
use keel_core::instrument::InstrumentId;
use keel_core::param::{Profile, TABLE, at};
use keel_core::planted::Planted;
use keel_core::units::{E8, MILLIS, MonoNanos, Quote, Rate, SECONDS, Ticks, UnixNanos};
use keel_io::agent::engine::{Cycle, Inputs, Outputs};
use keel_io::journal::{Tap, TapKind};
use keel_io::memory::{self, Limits};
use keel_net::bitget::topics::Directory;
use keel_net::dispatch::{Arrival, Dispatch};
use keel_net::link::{Receiver, Sender, WhenFull, link};

use crate::frames;

/// The highest price at which an order of the smallest size is worth no more than one order may be.
pub const PRICE_MAX: Ticks = Ticks(1_000_000);
/// UTC at monotonic time zero.
pub const UTC_AT_ZERO: UnixNanos = UnixNanos(1_746_698_732_000_000_000);
/// Equity of the account.
pub const EQUITY: Quote = Quote(1_000_000 * E8);

/// UTC at `now`.
pub fn utc(now: MonoNanos) -> UnixNanos {
    UnixNanos(UTC_AT_ZERO.0 + now.0 as i64)
}

/// The instruments `0..count` with their rules.
pub fn directory(count: usize) -> Directory {
    let rules: Vec<_> = (0..count).map(|id| frames::rules(InstrumentId(id as u16))).collect();
    Directory::new(&rules)
}

/// The ends of an engine's links that whoever runs it holds.
pub struct Ends {
    /// Market data to the engine.
    pub feed: Sender<Arrival>,
    /// Private events to the engine.
    pub gateway: Sender<Arrival>,
    /// Orders and cancels from the engine.
    pub orders: Receiver<Dispatch>,
    /// Books that the engine wants anew.
    pub resyncs: Receiver<keel_net::feed::Asked>,
    /// The rest of the world.
    pub cold: Cold,
}

/// An engine for `count` instruments, not yet booted, and the far ends of its links.
pub fn engine(count: usize) -> (Cycle<'static>, Ends) {
    let (feed, from_feed) = link("feed>engine", FEED_DEPTH, WhenFull::MarkGap);
    let (gateway, from_gateway) = link("gateway>engine", PRIVATE_DEPTH, WhenFull::HardStop);
    let (cold, from_cold) = link("cold>engine", PRIVATE_DEPTH, WhenFull::AskFirst);
    let (to_gateway, orders) = link("engine>gateway", ORDERS_DEPTH, WhenFull::AskFirst);
    let (to_feed, resyncs) = link("engine>feed", SMALL_DEPTH, WhenFull::AskFirst);
    let (to_cold, queries) = link("engine>cold", SMALL_DEPTH, WhenFull::AskFirst);
    let (to_journal, journal) = link("engine>journal", JOURNAL_DEPTH, WhenFull::HardStop);
    let (engine, outbox) = memory::engine(&Limits::of(count), Profile::Touch);
    let cycle = Cycle::new(
        engine,
        outbox,
        Inputs { gateway: from_gateway, cold: from_cold, feed: from_feed },
        Outputs { gateway: to_gateway, feed: to_feed, cold: to_cold, journal: to_journal },
        Arc::new(AtomicBool::new(false)),
    );
    let cold = Cold {
        to_engine: cold,
        queries,
        journal,
        resting: vec![None; count],
        state: GuardState::SoftPause,
        refused: 0,
        answered: 0,
        booked: 0,
    };
    (cycle, Ends { feed, gateway, orders, resyncs, cold })
}

/// Boots the engine, answers its questions from what the journal says, and empties the journal
/// link.
pub struct Cold {
    to_engine: Sender<Arrival>,
    queries: Receiver<Query>,
    journal: Receiver<Tap>,
    /// What rests at the venue by what it has pushed, one for each instrument.
    resting: Vec<Option<OrderUpdate>>,
    state: GuardState,
    refused: u64,
    answered: u64,
    booked: u64,
}

impl Cold {
    /// Events that set the engine up, in order; the first is the boot.
    pub fn boot(&self, now: MonoNanos) -> Vec<Event> {
        let count = self.resting.len();
        let boot = Boot {
            config_hash: [0; 32],
            epoch: 1,
            instruments: count as u16,
            seed: 1,
            mode: Mode::World,
            dirty: false,
            planted: Planted::NONE,
        };
        let mut events = vec![Event::Boot(boot)];
        events.extend(parameters());
        events.push(Event::ClockSync(ClockSync { utc: utc(now), offset_ns: 0, uncertainty_ns: 0 }));
        events.extend(self.rules());
        events.push(Event::FeeRate(FeeRate {
            instrument: InstrumentId::ALL,
            maker: Rate::bps(-1),
            taker: Rate::bps(3),
            source: FeeSource::Venue,
        }));
        events.push(settings());
        events
    }

    /// The contracts' rules, which must be told again before they are too old.
    pub fn rules(&self) -> impl Iterator<Item = Event> {
        let ids = 0..self.resting.len() as u16;
        ids.map(|id| {
            let id = InstrumentId(id);
            Event::Rules(Rules { id, instrument: frames::rules(id) })
        })
    }

    /// Puts an event on the link to the engine.
    ///
    /// # Panics
    /// When there is no room.
    pub fn tell(&mut self, event: Event, now: MonoNanos) {
        let pushed = self.to_engine.push(Arrival { event, rx: now, decoded: now });
        assert!(pushed.is_ok(), "the link from cold has room");
    }

    /// Reads the journal link empty and answers what the engine has asked; gives how many
    /// questions.
    pub fn step(&mut self, now: MonoNanos) -> usize {
        while let Some(tap) = self.journal.pop() {
            self.learn(&tap);
        }
        let mut answered = 0;
        while let Some(query) = self.queries.pop() {
            self.answer(query, now);
            answered += 1;
        }
        answered
    }

    /// The guard's state, as the journal last told it.
    pub fn state(&self) -> GuardState {
        self.state
    }

    /// Orders that the gate has refused, as far as the engine tells of them.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// Pushes of orders that the engine has taken.
    pub fn answered(&self) -> u64 {
        self.answered
    }

    /// Executions that the engine has booked.
    pub fn booked(&self) -> u64 {
        self.booked
    }

    fn learn(&mut self, tap: &Tap) {
        match tap.kind {
            TapKind::Event => {
                let Ok(Event::OrderUpdate(update)) = Event::decode(&tap.slot) else { return };
                if update.source != Source::Push {
                    return;
                }
                self.answered += 1;
                let rests = update.status == OrderStatus::Live;
                self.resting[update.instrument.index()] = rests.then_some(update);
            }
            TapKind::Command => match CommandView::decode(&tap.slot) {
                Ok(CommandView::GuardChanged(change)) => self.state = change.to,
                Ok(CommandView::Booked(_)) => self.booked += 1,
                Ok(CommandView::Notice(notice)) => {
                    let refused = keel_core::command::NoticeKind::Refused;
                    self.refused += u64::from(notice.kind == refused);
                }
                _ => {}
            },
            TapKind::Stamps | TapKind::Digest => {}
        }
    }

    fn answer(&mut self, query: Query, now: MonoNanos) {
        let mut items = 0;
        let evidence = |phase, items| {
            Event::Evidence(Evidence {
                pass: query.pass,
                topic: query.topic,
                phase,
                instrument: query.instrument,
                client: query.client,
                items,
                asked: now,
            })
        };
        self.tell(evidence(Phase::Begin, 0), now);
        match query.topic {
            Topic::OpenOrders => {
                for place in 0..self.resting.len() {
                    let Some(update) = self.resting[place] else { continue };
                    let update = OrderUpdate { source: Source::Query, ..update };
                    self.tell(Event::OrderUpdate(update), now);
                    items += 1;
                }
            }
            Topic::Account => {
                self.tell(account(Source::Query, now), now);
                items += 1;
            }
            Topic::Positions | Topic::Fills | Topic::Bills => {}
            Topic::Order | Topic::Touch | Topic::Rules | Topic::FeeRates => {
                panic!("nothing is lost or quiet here: {query:?}")
            }
        }
        self.tell(evidence(Phase::End, items), now);
    }
}

/// An account as it should be.
pub fn settings() -> Event {
    Event::Settings(Settings { leverage: 5, uid: 1, ..Settings::FIT })
}

/// What the venue says of the account, as an event.
pub fn account(source: Source, now: MonoNanos) -> Event {
    Event::AccountReport(AccountReport {
        equity: EQUITY,
        balance: EQUITY,
        available: EQUITY,
        unrealized: Quote::ZERO,
        margin_ratio: Rate::ZERO,
        source,
        ts: utc(now),
    })
}

/// A stream that is live, as an event.
pub fn live(stream: Stream) -> Event {
    let (state, instrument) = (FeedState::Live, InstrumentId::ALL);
    Event::Feed(Feed { stream, state, instrument, connects: 1 })
}

/// Every budget of messages, age and money as wide as its table lets it be; one order of 250 USDT.
fn parameters() -> impl Iterator<Item = Event> {
    const VALUES: &[(usize, i64)] = &[
        (at::sides, 1),
        (at::imbalance_weight, 0),
        (at::regime_hold_s, 0),
        (at::turnover_cap_x, 1_000 * E8),
        (at::max_daily_turnover_x_hard, 1_000 * E8),
        (at::min_net_edge_bps, 0),
        (at::edge_resume_bps, 0),
        (at::max_order_notional_quote, 250 * E8),
        (at::max_position_quote, 100_000_000 * E8),
        (at::max_total_notional_quote, 100_000_000 * E8),
        (at::cancel_budget_per_min, 6_000),
        (at::creates_per_s, 100 * E8),
        (at::requests_per_s, 200 * E8),
        (at::creates_per_day_max, 10_000_000),
        (at::soft_pause_hold_s, 0),
        (at::rules_age_max_s, (3_600 * SECONDS) as i64),
        (at::fee_age_hard_s, (86_400 * SECONDS) as i64),
        (at::book_silence_ms, (60_000 * MILLIS) as i64),
        (at::ticker_silence_ms, (60_000 * MILLIS) as i64),
        (at::private_silence_ms, (120_000 * MILLIS) as i64),
        (at::reconcile_light_s, (300 * SECONDS) as i64),
        (at::reconcile_full_s, (3_600 * SECONDS) as i64),
        (at::reconcile_light_age_max_s, (3_600 * SECONDS) as i64),
        (at::reconcile_full_age_max_s, (86_400 * SECONDS) as i64),
    ];
    VALUES.iter().map(|&(key, value)| {
        let row = TABLE.iter().rfind(|row| row.at <= key).expect("a key of the table");
        assert!((row.min..=row.max).contains(&value), "{} may not be {value}", row.name);
        Event::Parameter(Parameter { key: key as u16, value })
    })
}

/// The client id of an order that is not ours.
pub const NOBODY: ClientId = ClientId::FOREIGN;

const FEED_DEPTH: usize = 4_096;
const PRIVATE_DEPTH: usize = 4_096;
const ORDERS_DEPTH: usize = 2_048;
const SMALL_DEPTH: usize = 4_096;
const JOURNAL_DEPTH: usize = 16_384;
