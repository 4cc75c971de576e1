//! The engine's agent: drains its links in order of importance, steps, writes the tap, then sends.

use std::sync::Arc;

use keel_core::command::{
    Command, CommandView, OUTBOX_MAX, Outbox, Ping, Plain, Query, Record, Ruled,
};
use keel_core::event::{Event, Health, Measure, Stream, Timer};
use keel_core::layout::SLOT_BYTES;
use keel_core::units::{MILLIS, MonoNanos, SECONDS};
use keel_net::dispatch::{Arrival, Dispatch};
use keel_net::driver::Poller;
use keel_net::feed::Asked;
use keel_net::link::{Receiver, Sender};
use keel_net::stamps::Stamps;
use keel_net::sync::atomic::{AtomicBool, Ordering};

use super::Agent;
use crate::clock::Clock;
use crate::cold::fit::{Print, Sight};
use crate::journal::Tap;
use crate::memory::EngineIn;
use crate::vitals::{Turning, Vitals};

/// Where events come from, in the order in which they are taken: a fill is never quoted over.
pub struct Inputs {
    /// Private truth, from the gateway.
    pub gateway: Receiver<Arrival>,
    /// Operator, timers of the outside, evidence and reference data, from cold.
    pub cold: Receiver<Arrival>,
    /// Market data, from the feed.
    pub feed: Receiver<Arrival>,
}

/// Where commands go.
pub struct Outputs {
    /// Orders and cancels.
    pub gateway: Sender<Dispatch>,
    /// Books to subscribe to anew, and pongs.
    pub feed: Sender<Asked>,
    /// Questions.
    pub cold: Sender<Query>,
    /// Everything, before it goes anywhere else.
    pub journal: Sender<Tap>,
}

/// Runs an engine between its links, by the process's clock.
pub struct EngineAgent {
    cycle: Cycle<'static>,
    clock: Clock,
}

/// An engine between its links. It reads no clock, so that it runs under virtual time too.
pub struct Cycle<'m> {
    engine: EngineIn<'m>,
    outbox: Outbox<'m>,
    inputs: Inputs,
    outputs: Outputs,
    /// Told that zero open orders were verified, before the links are dropped.
    verified: Arc<AtomicBool>,
    /// What the kill and the guardian see.
    vitals: Vitals,
    /// Says what came of operators' commands.
    rulings: Option<Sender<Ruled>>,
    /// Shows cold what it fits the model `glft` to.
    sights: Option<Sights>,
    booted: bool,
    over: bool,
    /// How long there has been no room for a step.
    stuck_ns: u64,
    turned: MonoNanos,
}

/// Without room for a step for this long the engine ends.
const STUCK_NS_MAX: u64 = SECONDS;

/// What one turn may add to that, so that a process that was not run does not end by it.
const TURN_NS_MAX: u64 = 10 * MILLIS;

/// Events taken from each link in a cycle.
const QUOTA: usize = 128;

/// Room that the small links must have for the commands of one step.
const SMALL_ROOM: usize = 64;

impl<'m> Cycle<'m> {
    /// A cycle for an engine that has not been booted: its first event comes from cold.
    pub fn new(
        engine: EngineIn<'m>,
        outbox: Outbox<'m>,
        inputs: Inputs,
        outputs: Outputs,
        verified: Arc<AtomicBool>,
    ) -> Self {
        Self {
            engine,
            outbox,
            inputs,
            outputs,
            verified,
            vitals: Vitals::unshared(),
            rulings: None,
            sights: None,
            booted: false,
            over: false,
            stuck_ns: 0,
            turned: MonoNanos::ZERO,
        }
    }

    /// The same, showing its vitals and saying what came of operators' commands.
    pub fn shown(self, vitals: Vitals, rulings: Sender<Ruled>) -> Self {
        Self { vitals, rulings: Some(rulings), ..self }
    }

    /// The same, showing prints and that books are seen on `link`, of so many instruments.
    pub fn with_sights(self, link: Sender<Sight>, instruments: usize) -> Self {
        let shown = vec![MonoNanos::ZERO; instruments];
        Self { sights: Some(Sights { link, shown, lost: false }), ..self }
    }

    /// Takes what its links hold, in order of importance, and what is due; gives how many events
    /// there were. `stamp` reads the clock.
    pub fn turn(&mut self, stamp: &impl Fn() -> MonoNanos, now: MonoNanos) -> usize {
        self.vitals.turned(Turning::Engine);
        if !self.over && self.is_stranded(now) {
            eprintln!("engine: a neighbor is gone or does not answer; everything is canceled");
            self.over = true;
        }
        let mut work = 0;
        for source in [Source::Gateway, Source::Cold, Source::Feed] {
            if source != Source::Cold && !self.booted {
                continue;
            }
            work += self.drain(source, stamp, now);
        }
        let deadline = self.engine.deadline();
        if self.booted && !self.over && deadline <= now && self.has_room() {
            let event = Event::Timer(Timer { deadline });
            self.step_one(&Arrival { event, rx: now, decoded: now }, stamp, now);
            work += 1;
        }
        work
    }

    /// When the engine wants a turn, events or not.
    pub fn deadline(&self) -> MonoNanos {
        if self.booted { self.engine.deadline() } else { MonoNanos::NEVER }
    }

    /// True once the engine has ended in order.
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// The engine, to be looked at.
    pub fn engine(&self) -> &EngineIn<'m> {
        &self.engine
    }

    /// True when a neighbor is gone, or has left no room for a step for too long. The engine could
    /// only look on: it ends with nothing verified, and the gateway cancels everything.
    fn is_stranded(&mut self, now: MonoNanos) -> bool {
        let Outputs { gateway, feed, cold, journal } = &self.outputs;
        let gone = gateway.is_abandoned()
            || feed.is_abandoned()
            || cold.is_abandoned()
            || journal.is_abandoned();
        let turn_ns = now.since(self.turned).min(TURN_NS_MAX);
        self.turned = now;
        self.stuck_ns = if self.has_room() { 0 } else { self.stuck_ns + turn_ns };
        gone || self.stuck_ns > STUCK_NS_MAX
    }

    /// True when whatever the next step asks for can be sent whole.
    fn has_room(&mut self) -> bool {
        self.outputs.gateway.has_room(OUTBOX_MAX)
            && self.outputs.journal.has_room(OUTBOX_MAX + 1)
            && self.outputs.cold.has_room(SMALL_ROOM)
            && self.outputs.feed.has_room(SMALL_ROOM)
    }

    fn take(&mut self, source: Source) -> Option<Arrival> {
        match source {
            Source::Gateway => self.inputs.gateway.pop(),
            Source::Cold => self.inputs.cold.pop(),
            Source::Feed => self.inputs.feed.pop(),
        }
    }

    fn drain(&mut self, source: Source, stamp: &impl Fn() -> MonoNanos, now: MonoNanos) -> usize {
        let mut taken = 0;
        while taken < QUOTA && !self.over && self.has_room() {
            let Some(arrival) = self.take(source) else { break };
            self.step_one(&arrival, stamp, now);
            taken += 1;
        }
        taken
    }

    fn step_one(&mut self, arrival: &Arrival, stamp: &impl Fn() -> MonoNanos, now: MonoNanos) {
        self.booted = true;
        let mut slot = [0; SLOT_BYTES];
        arrival.event.encode(&mut slot);
        // Before the step: an event at which the engine panics is the one that a replay needs most.
        tap(&mut self.outputs.journal, Tap::event(slot, now));
        if let Event::Health(Health { measure: Measure::OrderEntry, value }) = arrival.event {
            self.vitals.tell_way(value != 0);
        }
        self.engine.step(now, &arrival.event, &mut self.outbox);
        if let Some(sights) = &mut self.sights {
            sights.show(&arrival.event, &self.engine, now);
        }
        if self.outbox.is_empty() {
            return;
        }
        for command in self.outbox.iter() {
            command.encode(&mut slot);
            tap(&mut self.outputs.journal, Tap::command(slot, now));
            match command {
                Command::Plain(Plain::Record(Record::GuardChanged(change))) => {
                    self.vitals.guard(change);
                }
                Command::Plain(Plain::Record(Record::Ruled(ruled))) => {
                    // An answer that finds no room is one that nobody waits for any more.
                    self.rulings.as_mut().map(|rulings| rulings.push(*ruled));
                }
                _ => {}
            }
        }
        let decided = stamp();
        let stamps = stamps_of(arrival, decided, now);
        for command in self.outbox.drain() {
            if let Command::Plain(Plain::Stopped(stopped)) = &command {
                self.over = true;
                // Release: the journal's agent reads it once it sees the links abandoned.
                self.verified.store(stopped.open == 0, Ordering::Release);
                if stopped.open == 0 {
                    self.vitals.end();
                }
            }
            route(command, stamps, &mut self.outputs);
        }
    }
}

/// What is shown to cold, and when each instrument was shown last.
struct Sights {
    link: Sender<Sight>,
    shown: Vec<MonoNanos>,
    /// One found no room, and none has since.
    lost: bool,
}

/// A book that is seen is shown this often, prints or not.
const SHOWN_NS: u64 = 500 * MILLIS;

impl Sights {
    fn show(&mut self, event: &Event, engine: &EngineIn<'_>, now: MonoNanos) {
        let (instrument, print) = match event {
            Event::Trade(trade) => (trade.instrument, Some(Print::of(trade))),
            Event::BookPage(page) if page.last => (page.instrument, None),
            _ => return,
        };
        let shown = &mut self.shown[instrument.index()];
        if print.is_none() && now.since(*shown) < SHOWN_NS {
            return;
        }
        let Some(mid_x2) = engine.mid_x2(instrument) else { return };
        *shown = now;
        let sight = Sight { instrument, at: now, mid_x2, print, after_loss: self.lost };
        self.lost = self.link.push(sight).is_err();
    }
}

/// The stamps of what `arrival` led to. On a shared thread the cycle's time lies before the
/// decoding: there an event is taken as soon as it stands in its link.
fn stamps_of(arrival: &Arrival, decided: MonoNanos, now: MonoNanos) -> Stamps {
    let (rx, decoded) = (arrival.rx, arrival.decoded);
    Stamps { rx, decoded, dequeued: now.max(decoded), decided, tx: MonoNanos::ZERO }
}

/// Which link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Gateway,
    Cold,
    Feed,
}

/// Sends a command where it belongs. The links had room before the step.
fn route(command: Command, stamps: Stamps, outputs: &mut Outputs) {
    match command.view() {
        CommandView::Place(_)
        | CommandView::Cancel(_)
        | CommandView::CancelAll(_)
        | CommandView::Countdown(_)
        | CommandView::Stopped(_) => {
            let sent = outputs.gateway.push(Dispatch { command, stamps });
            assert!(sent.is_ok(), "the gateway's link had room for a whole outbox");
        }
        CommandView::Query(query) => {
            // Evidence that is not asked for is asked for again: reconciliation keeps its
            // deadlines.
            let _ = outputs.cold.push(query);
        }
        CommandView::Resync(resync) => {
            let _ = outputs.feed.push(Asked::Book(resync.instrument));
        }
        CommandView::Ping(Ping { stream: Stream::Public }) => {
            let _ = outputs.feed.push(Asked::Pong);
        }
        _ => {}
    }
}

fn tap(journal: &mut Sender<Tap>, tap: Tap) {
    let pushed = journal.push(tap);
    assert!(pushed.is_ok(), "the journal's link had room for a whole outbox");
}

impl EngineAgent {
    /// An agent that stamps by `clock`.
    pub fn new(cycle: Cycle<'static>, clock: Clock) -> Self {
        Self { cycle, clock }
    }
}

impl Agent for EngineAgent {
    fn name(&self) -> &'static str {
        "engine"
    }

    fn step(&mut self, now: MonoNanos, _poller: &mut Poller) -> usize {
        let clock = &self.clock;
        self.cycle.turn(&|| clock.now(), now)
    }

    fn deadline(&self) -> MonoNanos {
        self.cycle.deadline()
    }

    fn is_over(&self) -> bool {
        self.cycle.is_over()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::{self, Limits};
    use keel_core::event::{BookPage, Boot, LevelSize, PAGE_LEVELS, Rules, Trade};
    use keel_core::instrument::{InstrumentId, btcusdt};
    use keel_core::param::Profile;
    use keel_core::units::{Lots, Side, Ticks, UnixNanos};
    use keel_net::link::{WhenFull, link};

    /// A cycle, and the other ends of its links.
    struct Rig {
        cycle: Cycle<'static>,
        feed: Option<Receiver<Asked>>,
        _gateway: Receiver<Dispatch>,
        _cold: Receiver<Query>,
        journal: Receiver<Tap>,
        events: [Sender<Arrival>; 3],
        now: MonoNanos,
    }

    impl Rig {
        fn new() -> Self {
            let (engine, outbox) = memory::engine(&Limits::of(1), Profile::Touch);
            let (from_gateway, gateway) = link("private", 8, WhenFull::HardStop);
            let (from_cold, cold) = link("outside", 8, WhenFull::AskFirst);
            let (from_feed, feed) = link("market", 8, WhenFull::MarkGap);
            let (commands, to_gateway) = link("commands", OUTBOX_MAX, WhenFull::AskFirst);
            let (queries, to_cold) = link("queries", SMALL_ROOM, WhenFull::AskFirst);
            let (resyncs, to_feed) = link("resync", SMALL_ROOM, WhenFull::AskFirst);
            let (taps, journal) = link("tap", OUTBOX_MAX + 1, WhenFull::AskFirst);
            let outputs =
                Outputs { gateway: commands, feed: resyncs, cold: queries, journal: taps };
            let inputs = Inputs { gateway, cold, feed };
            let verified = Arc::new(AtomicBool::new(false));
            Self {
                cycle: Cycle::new(engine, outbox, inputs, outputs, verified),
                feed: Some(to_feed),
                _gateway: to_gateway,
                _cold: to_cold,
                journal,
                events: [from_gateway, from_cold, from_feed],
                now: MonoNanos(SECONDS),
            }
        }

        /// Steps one event, and empties the journal.
        fn tell(&mut self, event: Event) {
            let now = self.now;
            let pushed = self.events[1].push(Arrival { event, rx: now, decoded: now });
            assert!(pushed.is_ok(), "the link from cold has room");
            self.cycle.turn(&|| now, now);
            while self.journal.pop().is_some() {}
        }

        /// A frame of one bid and one ask, in ticks.
        fn frame(&mut self, seq: u64, bid: u32, ask: u32) {
            let mut sizes = [LevelSize::default(); PAGE_LEVELS];
            sizes[0] = LevelSize::new(10, 1, 4).expect("a size");
            for (side, price) in [(Side::Buy, bid), (Side::Sell, ask)] {
                let mut ticks = [0; PAGE_LEVELS];
                ticks[0] = price;
                self.tell(Event::BookPage(BookPage {
                    instrument: InstrumentId(0),
                    side,
                    snapshot: true,
                    first: side == Side::Buy,
                    last: side == Side::Sell,
                    len: 1,
                    seq,
                    pseq: 0,
                    ts: UnixNanos(1),
                    checksum: 0,
                    ticks,
                    sizes,
                }));
            }
        }

        fn turns(&mut self, milliseconds: u64) {
            for _ in 0..milliseconds {
                self.now = self.now.after(MILLIS);
                let now = self.now;
                self.cycle.turn(&|| now, now);
            }
        }
    }

    #[test]
    fn stamps_are_in_order_on_a_shared_thread_too() {
        let event = Event::Timer(Timer { deadline: MonoNanos(1) });
        for (rx, decoded, now) in [(100, 107, 100), (100, 107, 120)] {
            let (rx, decoded) = (MonoNanos(rx), MonoNanos(decoded));
            let arrival = Arrival { event, rx, decoded };
            let stamps = stamps_of(&arrival, MonoNanos(130), MonoNanos(now));
            assert!(Stamps { tx: MonoNanos(150), ..stamps }.is_complete(), "{stamps:?}");
        }
    }

    fn trade(taker: Side, ticks: i64) -> Trade {
        Trade {
            instrument: InstrumentId(0),
            taker,
            price: Ticks(ticks),
            lots: Lots(1),
            trade_id: 1,
            ts: UnixNanos(7),
        }
    }

    #[test]
    fn prints_are_shown_with_the_mid_they_met_books_twice_a_second_and_a_loss_is_told() {
        let (shows, mut sights) = link("sights", 2, WhenFull::DropAndCount);
        let mut rig = Rig::new();
        rig.cycle = rig.cycle.with_sights(shows, 1);
        rig.tell(Event::Boot(Boot::WORLD));
        rig.tell(Event::Rules(Rules { id: InstrumentId(0), instrument: btcusdt() }));
        rig.tell(Event::Trade(trade(Side::Buy, 800_003)));
        assert_eq!(sights.pop(), None, "nothing is known of the mid");
        rig.frame(1, 800_000, 800_001);
        let told = |rig: &Rig, mid_x2, print, after_loss| {
            let instrument = InstrumentId(0);
            Some(Sight { instrument, at: rig.now, mid_x2, print, after_loss })
        };
        assert_eq!(sights.pop(), told(&rig, 1_600_001, None, false));
        rig.now = rig.now.after(499 * MILLIS);
        rig.frame(2, 800_002, 800_003);
        assert_eq!(sights.pop(), None, "shown half a second ago");
        let buys = trade(Side::Buy, 800_009);
        rig.tell(Event::Trade(buys));
        assert_eq!(sights.pop(), told(&rig, 1_600_005, Some(Print::of(&buys)), false));
        // Two find room, the third does not, and the one after it says so.
        (0..3).for_each(|_| rig.tell(Event::Trade(buys)));
        assert!([sights.pop(), sights.pop()].iter().flatten().all(|sight| !sight.after_loss));
        for after_loss in [true, false] {
            rig.tell(Event::Trade(buys));
            assert_eq!(sights.pop().map(|sight| sight.after_loss), Some(after_loss));
        }
        rig.now = rig.now.after(500 * MILLIS);
        rig.frame(3, 800_002, 800_003);
        assert_eq!(sights.pop(), told(&rig, 1_600_005, None, false));
    }

    #[test]
    fn an_engine_whose_neighbor_is_gone_ends_so_that_the_gateway_cancels_everything() {
        let mut rig = Rig::new();
        rig.turns(2_000);
        assert!(!rig.cycle.is_over());
        rig.feed = None;
        rig.turns(1);
        assert!(rig.cycle.is_over());
        assert!(!rig.cycle.verified.load(Ordering::Acquire));
    }

    #[test]
    fn an_engine_whose_records_are_not_taken_for_a_second_ends() {
        let mut rig = Rig::new();
        rig.turns(10);
        tap(&mut rig.cycle.outputs.journal, Tap::event([0; SLOT_BYTES], rig.now));
        rig.turns(900);
        assert!(!rig.cycle.is_over());
        rig.journal.pop();
        rig.turns(10);
        tap(&mut rig.cycle.outputs.journal, Tap::event([0; SLOT_BYTES], rig.now));
        rig.turns(900);
        assert!(!rig.cycle.is_over(), "there was room in between");
        rig.now = rig.now.after(60 * SECONDS);
        rig.turns(1);
        assert!(!rig.cycle.is_over(), "the process was not run, nor was the journal");
        rig.turns(100);
        assert!(rig.cycle.is_over());
    }
}
