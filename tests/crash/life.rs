//! A life: the product's engine and recorder on a disk, with a venue that answers every question,
//! and notes of what was done and acknowledged when.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use keel_core::command::{Command, CommandView, Outbox, Plain, Query};
use keel_core::decimal::Grid;
use keel_core::event::*;
use keel_core::guard::GuardState;
use keel_core::instrument::{Instrument, InstrumentId, Symbol, btcusdt};
use keel_core::layout::SLOT_BYTES;
use keel_core::param::Profile;
use keel_core::planted::Planted;
use keel_core::units::*;
use keel_io::clock::Anchor;
use keel_io::cold::recorder::{RecordError, Recorder, Run};
use keel_io::disk::SimulatedDisk;
use keel_io::journal::{self, Tap};
use keel_io::memory::{self, Limits, RiskEngine};
use keel_io::state::{Identity, Recovered, StateDir};
use keel_net::bitget::client::Instance;

use super::sabotage::{Sabotage, Sabotaged};

/// What is noted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note {
    /// A process was started, in this boot epoch.
    Epoch(u32),
    /// The venue executed something; its place in [`Story::venue`].
    Executed(usize),
    /// The recorder took the booking of this trade id.
    Taken(u64),
    /// The recorder took the turn to this UTC day.
    Rolled(i64),
    /// The recorder took a stop for good.
    Stopped,
    /// The recorder took a rearm.
    Rearmed,
    /// The recorder said that everything that it took is durable.
    Committed,
    /// The disk has failed, and the stop for that is being latched.
    Failing,
    /// It is latched.
    FailureLatched,
    /// The mark of a clean stop is being made.
    Marking,
    /// It is made.
    Marked,
}

/// Lives on one disk, one after the other.
pub struct Story {
    /// The disk.
    pub disk: SimulatedDisk,
    /// Notes, each after so many operations of the disk.
    pub notes: Vec<(usize, Note)>,
    /// Everything that the venue executed.
    pub venue: Vec<Fill>,
    how: Sabotage,
    now: MonoNanos,
    runs: u32,
}

/// A process at work.
pub struct Life<'s> {
    story: &'s mut Story,
    engine: RiskEngine,
    outbox: Outbox<'static>,
    recorder: Recorder,
    /// The incident that the last life left latched.
    latched: Option<u64>,
}

/// Where the state directory is.
pub const STATE: &str = "/state";
const BTC: InstrumentId = InstrumentId(0);
const ETH: InstrumentId = InstrumentId(1);
/// The first life begins this long before midnight.
const BEFORE_MIDNIGHT_NS: i64 = 6 * SECONDS as i64;
const BEGAN: MonoNanos = MonoNanos(3_600 * SECONDS);
const UTC_AT_ZERO: i64 = 20_785 * UnixNanos::DAY - BEFORE_MIDNIGHT_NS - 3_600 * SECONDS as i64;
const SEGMENT_BYTES: u64 = 32 << 10;

type Done = Result<(), RecordError>;

impl Story {
    /// A story that goes on with `disk`, after `venue` has executed what it has.
    pub fn new(disk: SimulatedDisk, venue: Vec<Fill>, how: Sabotage) -> Self {
        Self { disk, notes: Vec::new(), venue, how, now: BEGAN, runs: 0 }
    }

    /// Four lives: one from before midnight to an orderly stop, one that crashes, one that stops
    /// for good and crashes, one that is rearmed and stops in order.
    pub fn told(disk: SimulatedDisk, how: Sabotage) -> Self {
        let mut story = Self::new(disk, Vec::new(), how);
        for live in [first, second, third, fourth] {
            story.live(live);
        }
        story
    }

    /// The next run has this number.
    pub fn runs_from(&mut self, number: u32) {
        self.runs = number;
    }

    /// One life; when the disk fails it ends as the product's does.
    pub fn live(&mut self, live: fn(&mut Life<'_>) -> Result<bool, RecordError>) {
        let Ok(mut life) = self.start() else { return };
        match live(&mut life) {
            Ok(true) => {
                let Life { story, recorder, .. } = life;
                story.note(Note::Marking);
                if recorder.close(true, story.now).is_ok() {
                    story.note(Note::Marked);
                }
            }
            Ok(false) => {}
            Err(_) => {
                life.story.note(Note::Failing);
                if life.recorder.latch_failure(life.story.now).is_ok() {
                    life.story.note(Note::FailureLatched);
                }
            }
        }
        self.now = self.now.after(SECONDS);
    }

    fn start(&mut self) -> Result<Life<'_>, RecordError> {
        let fs = Arc::new(Sabotaged { disk: self.disk.clone(), how: self.how });
        let utc = self.utc();
        let (opened, recovered) = StateDir::open_on(fs, Path::new(STATE), &identity(), utc)?;
        let restored = recovered.events(opened.path(), &rules(), utc)?;
        let state = opened.begin()?;
        self.note(Note::Epoch(state.epoch()));
        self.runs += 1;
        let anchor = Anchor { mono: self.now, utc, uncertainty_ns: 0 };
        let recorder = Recorder::open(run(format!("/runs/{}", self.runs).into()), state, anchor)?;
        let limits =
            Limits { orders: 64, orphans: 8, trades: 256, bills: 16, ..Limits::of(rules().len()) };
        let (engine, outbox) = memory::engine(&limits, Profile::Touch);
        let latched = recovered.latch.map(|latch| latch.incident);
        let mut life = Life { story: self, engine, outbox, recorder, latched };
        life.boot(&recovered, restored)?;
        Ok(life)
    }

    fn utc(&self) -> UnixNanos {
        UnixNanos(UTC_AT_ZERO + self.now.0.cast_signed())
    }

    fn note(&mut self, note: Note) {
        self.notes.push((self.disk.operations(), note));
    }

    /// What the venue says that is held.
    pub fn positions(venue: &[Fill]) -> BTreeMap<String, i64> {
        let mut held = BTreeMap::new();
        for fill in venue {
            let name = rules()[fill.instrument.index()].symbol.as_str().to_owned();
            *held.entry(name).or_insert(0) += fill.lots.0 * fill.side.sign();
        }
        held
    }

    /// The venue executes an order of ours. Nobody is told.
    pub fn execute(&mut self, instrument: InstrumentId, side: Side, lots: i64, ts: UnixNanos) {
        let number = self.venue.len() as u64 + 1;
        self.venue.push(Fill {
            instrument,
            client: ClientId::FOREIGN,
            order_id: 5_000 + number,
            trade_id: 9_000 + number,
            side,
            maker: true,
            price: Ticks(800_000 + number as i64),
            lots: Lots(lots),
            fee: Quote(1_000),
            fee_known: true,
            source: Source::Push,
            ts,
        });
        self.note(Note::Executed(self.venue.len() - 1));
    }
}

/// Executions come one by one, two in one millisecond, and one after a later one; a minute, an hour
/// and a day turn; the stop is orderly.
fn first(life: &mut Life<'_>) -> Result<bool, RecordError> {
    life.pass(1_500)?;
    life.fill(BTC, Side::Buy, 10)?;
    life.pass(150)?;
    life.fill(ETH, Side::Sell, 4)?;
    life.fill(BTC, Side::Buy, 3)?;
    life.pass(150)?;
    let early = life.story.utc();
    life.story.execute(BTC, Side::Sell, 5, early);
    let place = life.story.venue.len() - 1;
    life.pass(20)?;
    life.fill(ETH, Side::Buy, 2)?;
    life.pass(150)?;
    life.push(place)?;
    life.pass(4_000)?;
    life.fill(BTC, Side::Sell, 12)?;
    life.pass(2_000)?;
    life.stop()?;
    Ok(true)
}

/// Of two executions in one millisecond one is missed, and the process dies.
fn second(life: &mut Life<'_>) -> Result<bool, RecordError> {
    life.pass(1_200)?;
    let at = life.story.utc();
    life.fill(BTC, Side::Buy, 7)?;
    life.story.execute(BTC, Side::Buy, 6, at);
    life.story.execute(ETH, Side::Sell, 1, at);
    life.pass(250)?;
    life.fill(ETH, Side::Sell, 2)?;
    life.pass(20)?;
    Ok(false)
}

/// What was missed is found, and the engine stops for good.
fn third(life: &mut Life<'_>) -> Result<bool, RecordError> {
    life.pass(1_500)?;
    life.fill(BTC, Side::Sell, 1)?;
    life.operate(Directive::Kill, 0)?;
    life.pass(150)?;
    life.fill(BTC, Side::Sell, 2)?;
    life.pass(50)?;
    Ok(false)
}

/// A person ends the stop.
fn fourth(life: &mut Life<'_>) -> Result<bool, RecordError> {
    life.pass(1_200)?;
    if let Some(incident) = life.latched {
        life.operate(Directive::Rearm, incident)?;
    }
    life.pass(150)?;
    life.fill(ETH, Side::Buy, 5)?;
    life.pass(150)?;
    life.stop()?;
    Ok(true)
}

/// A life that only looks what the venue has.
pub fn looking(life: &mut Life<'_>) -> Result<bool, RecordError> {
    life.pass(2_500)?;
    let stopped = life.engine.state() == GuardState::HardStop;
    assert_eq!(stopped, life.latched.is_some(), "{:?}", life.engine.account());
    assert!(life.engine.account().reconciled, "{:?}", life.engine.account());
    Ok(false)
}

impl Life<'_> {
    fn boot(&mut self, recovered: &Recovered, restored: Vec<Event>) -> Done {
        self.step(Event::Boot(Boot {
            config_hash: [7; 32],
            epoch: recovered.epoch,
            instruments: rules().len() as u16,
            seed: 1,
            mode: Mode::World,
            dirty: recovered.dirty,
            planted: Planted::NONE,
        }))?;
        for (id, instrument) in (0..).map(InstrumentId).zip(rules()) {
            self.step(Event::Rules(Rules { id, instrument }))?;
        }
        restored.into_iter().try_for_each(|event| self.step(event))?;
        let utc = self.story.utc();
        self.step(Event::ClockSync(ClockSync { utc, offset_ns: 0, uncertainty_ns: MILLIS }))?;
        self.step(Event::FeeRate(FeeRate {
            instrument: InstrumentId::ALL,
            maker: Rate(-5_000),
            taker: Rate::bps(6),
            source: FeeSource::Venue,
        }))?;
        for (id, rules) in (0..).map(InstrumentId).zip(rules()) {
            let price = rules.price(Ticks(800_000));
            self.step(Event::Ticker(Ticker {
                instrument: id,
                last: price,
                mark: price,
                index: price,
                funding_rate: Rate::ZERO,
                funding_at: UnixNanos(utc.0 + UnixNanos::DAY),
                ts: utc,
            }))?;
        }
        self.step(Event::Settings(Settings { leverage: 5, uid: 1, ..Settings::FIT }))?;
        let instrument = InstrumentId::ALL;
        let (stream, state) = (Stream::Private, FeedState::Live);
        self.step(Event::Feed(Feed { stream, state, instrument, connects: 1 }))
    }

    /// Steps one event as the engine's agent does, and answers the questions that it raises.
    fn step(&mut self, event: Event) -> Done {
        let (now, mut slot) = (self.story.now, [0; SLOT_BYTES]);
        event.encode(&mut slot);
        self.recorder.take(&Tap::event(slot, now), now)?;
        self.engine.step(now, &event, &mut self.outbox);
        let mut queries = Vec::new();
        let mut taken = Vec::new();
        for command in self.outbox.drain() {
            command.encode(&mut slot);
            taken.push((slot, command.view()));
            if let Command::Plain(Plain::Query(query)) = command {
                queries.push(query);
            }
        }
        for (slot, view) in taken {
            self.note(&view);
            self.recorder.take(&Tap::command(slot, now), now)?;
        }
        if self.recorder.commit_at() <= now {
            self.recorder.commit(now)?;
            self.story.note(Note::Committed);
        }
        queries.into_iter().try_for_each(|query| self.answer(query))
    }

    fn note(&mut self, view: &CommandView) {
        let note = match view {
            CommandView::Booked(booked) => Note::Taken(booked.trade_id),
            CommandView::Day(day) if day.rolled => Note::Rolled(day.day),
            CommandView::GuardChanged(change) if change.to == GuardState::HardStop => Note::Stopped,
            CommandView::GuardChanged(change) if change.from == GuardState::HardStop => {
                Note::Rearmed
            }
            _ => return,
        };
        self.story.note(note);
    }

    fn answer(&mut self, query: Query) -> Done {
        let mut evidence = Evidence {
            pass: query.pass,
            topic: query.topic,
            phase: Phase::Begin,
            instrument: query.instrument,
            client: query.client,
            items: 0,
            asked: self.story.now,
        };
        self.step(Event::Evidence(evidence))?;
        self.story.now = self.story.now.after(MILLIS);
        let items = self.items(&query);
        evidence.items = items.len() as u32;
        items.into_iter().try_for_each(|event| self.step(event))?;
        evidence.phase = Phase::End;
        self.step(Event::Evidence(evidence))
    }

    fn items(&self, query: &Query) -> Vec<Event> {
        let (venue, ts) = (&self.story.venue, self.story.utc());
        match query.topic {
            Topic::OpenOrders
            | Topic::Order
            | Topic::Touch
            | Topic::Bills
            | Topic::Rules
            | Topic::FeeRates => Vec::new(),
            Topic::Account => vec![Event::AccountReport(AccountReport {
                equity: Quote::usdt(10_000),
                balance: Quote::usdt(10_000),
                available: Quote::usdt(10_000),
                unrealized: Quote::ZERO,
                margin_ratio: Rate::ZERO,
                source: Source::Query,
                ts,
            })],
            Topic::Fills => venue
                .iter()
                .filter(|fill| fill.ts >= query.since)
                .map(|fill| Event::Fill(Fill { source: Source::Query, ..*fill }))
                .collect(),
            Topic::Positions => [BTC, ETH]
                .into_iter()
                .map(|id| (id, Story::positions(venue)))
                .filter_map(|(id, held)| {
                    Some((id, *held.get(rules()[id.index()].symbol.as_str())?))
                })
                .filter(|(_, lots)| *lots != 0)
                .map(|(instrument, lots)| {
                    Event::PositionReport(PositionReport {
                        instrument,
                        lots: Lots(lots),
                        entry: Price::ZERO,
                        leverage: 5,
                        source: Source::Query,
                        ts,
                    })
                })
                .collect(),
        }
    }

    /// The venue executes an order of ours now, and tells of it.
    fn fill(&mut self, instrument: InstrumentId, side: Side, lots: i64) -> Done {
        let utc = self.story.utc();
        // The venue's times are in milliseconds.
        let ts = UnixNanos(utc.0 / MILLIS as i64 * MILLIS as i64);
        self.story.execute(instrument, side, lots, ts);
        self.push(self.story.venue.len() - 1)
    }

    fn push(&mut self, place: usize) -> Done {
        self.step(Event::Fill(self.story.venue[place]))
    }

    fn operate(&mut self, directive: Directive, incident: u64) -> Done {
        self.step(Event::Operator(Operator { incident, ..Operator::program(directive) }))
    }

    fn stop(&mut self) -> Done {
        self.operate(Directive::Stop, 0)?;
        self.pass(200)
    }

    /// Lets so many milliseconds pass.
    fn pass(&mut self, ms: u64) -> Done {
        for _ in 0..ms.div_ceil(STEP_MS) {
            self.story.now = self.story.now.after(STEP_MS * MILLIS);
            while self.engine.deadline() <= self.story.now {
                let deadline = self.engine.deadline();
                self.step(Event::Timer(Timer { deadline }))?;
            }
            if self.recorder.commit_at() <= self.story.now {
                self.recorder.commit(self.story.now)?;
                self.story.note(Note::Committed);
            }
        }
        Ok(())
    }
}

const STEP_MS: u64 = 50;

/// Whose state it is.
pub fn identity() -> Identity {
    Identity { venue: "venue.test".into(), uid: 1, instance: "main".into() }
}

/// What a recorder is told of its run.
pub fn run(run_dir: PathBuf) -> Run {
    Run {
        run_dir,
        mode: Mode::World,
        profile: Profile::Touch,
        instance: Instance::parse("main").expect("a name"),
        variant: "keel".into(),
        exchange: "bitget".into(),
        symbols: rules().map(|rules| rules.symbol).to_vec(),
        config_hash: [7; 32],
        limits: journal::Limits { segment_bytes: SEGMENT_BYTES, ..journal::Limits::default() },
    }
}

/// What is traded.
pub fn rules() -> [Instrument; 2] {
    let contract = |name: &[u8], tick, lot| Instrument {
        symbol: Symbol::parse(name).expect("a name"),
        tick: Grid { step: 1, scale: tick },
        lot: Grid { step: 1, scale: lot },
        ..btcusdt()
    };
    [contract(b"BTCUSDT", 1, 4), contract(b"ETHUSDT", 2, 2)]
}
