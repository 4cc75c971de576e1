//! The paper agent: a venue in the process, in the gateway's place.
//!
//! It stands between the feed and the engine, so that it sees the market as the engine does, an
//! event at a time: what a print does to an order is told before the print itself. Commands and
//! questions come to it as to the gateway and to cold; questions about the market it passes on. It
//! owns no socket and no key.

use std::sync::Arc;

use keel_core::command::{Command, CommandView, Plain, Query};
use keel_core::event::Topic;
use keel_core::layout::SLOT_BYTES;
use keel_core::units::{MonoNanos, UnixNanos};
use keel_net::dispatch::{Arrival, Dispatch};
use keel_net::driver::Poller;
use keel_net::lease::Lease;
use keel_net::link::{Receiver, Sender};
use keel_net::stamps::Stamps;
use keel_net::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use keel_sim::paper::Paper;

use super::Agent;
use crate::clock::{Clock, VenueClock};
use crate::journal::Tap;

/// What kill and paper agent share: the kill asks, the agent answers.
#[derive(Debug, Default)]
pub struct Switch {
    /// How often everything was to be ended.
    asked: AtomicU64,
    /// Up to which of these it has been.
    done: AtomicU64,
    /// Orders that rest or are on their way.
    open: AtomicUsize,
    /// The agent is gone, and every order with it.
    gone: AtomicBool,
}

impl Switch {
    /// Asks that everything be ended; gives the number to wait for.
    pub fn ask(&self) -> u64 {
        // Release: what was decided before is seen by who acts on it.
        self.asked.fetch_add(1, Ordering::Release) + 1
    }

    /// True once everything has been ended since `number` was given, and nothing is open.
    pub fn is_clear(&self, number: u64) -> bool {
        // Acquire: pairs with the stores of the agent, the count before the number.
        self.is_gone() || (self.done.load(Ordering::Acquire) >= number && self.open() == 0)
    }

    /// Orders that rest or are on their way; none once the agent is gone.
    pub fn open(&self) -> usize {
        // Acquire: see `is_clear`.
        if self.is_gone() { 0 } else { self.open.load(Ordering::Acquire) }
    }

    fn is_gone(&self) -> bool {
        // Acquire: pairs with the store when the agent is dropped.
        self.gone.load(Ordering::Acquire)
    }
}

/// The links of a paper agent.
pub struct PaperLinks {
    /// Market data, from the feed.
    pub tape: Receiver<Arrival>,
    /// The same, to the engine.
    pub market: Sender<Arrival>,
    /// What the account's owner is told, to the engine.
    pub private: Sender<Arrival>,
    /// Orders and cancels, from the engine.
    pub commands: Receiver<Dispatch>,
    /// Questions, from the engine.
    pub queries: Receiver<Query>,
    /// Those about the market, to cold.
    pub asked: Sender<Query>,
    /// When orders were taken, to the journal.
    pub stamps: Sender<Tap>,
}

/// Runs a paper venue.
pub struct PaperAgent {
    seat: PaperSeat<'static>,
    clock: Clock,
}

/// A paper venue between feed and engine, for whoever steps it.
pub struct PaperSeat<'m> {
    paper: Paper<'m>,
    links: PaperLinks,
    lease: Lease,
    switch: Arc<Switch>,
    venue: VenueClock,
    over: bool,
}

/// Commands taken in a cycle.
const COMMANDS: usize = 64;
/// Events of the market taken in a cycle.
const EVENTS: usize = 1_024;

impl PaperAgent {
    /// An agent that sits in `seat`.
    pub const fn new(seat: PaperSeat<'static>, clock: Clock) -> Self {
        Self { seat, clock }
    }
}

impl<'m> PaperSeat<'m> {
    /// A seat that sends orders into `paper` while `lease` holds.
    pub fn new(
        paper: Paper<'m>,
        links: PaperLinks,
        lease: Lease,
        switch: Arc<Switch>,
        venue: VenueClock,
    ) -> Self {
        Self { paper, links, lease, switch, venue, over: false }
    }

    /// Does what there is to do at `now`; gives how much it was. `clock` says when an order is
    /// taken.
    pub fn turn(&mut self, clock: &dyn Fn() -> MonoNanos, now: MonoNanos) -> usize {
        let utc = self.venue.utc(now);
        let mut work = self.pass_market(now);
        work += self.obey(clock, now);
        self.pass_questions(now);
        self.heed(utc);
        self.paper.advance(utc, now);
        // What it has to say concerns the engine, whatever brought it about.
        work += self.paper.events().len();
        self.tell(now);
        // An engine that is gone without having stopped leaves nothing behind: its orders are here.
        self.over |= self.links.commands.is_finished();
        work
    }

    /// When it wants a turn without anything coming in.
    pub fn deadline(&self) -> MonoNanos {
        self.paper.deadline()
    }

    /// True once its engine has stopped, or is gone.
    pub const fn is_over(&self) -> bool {
        self.over
    }

    fn obey(&mut self, clock: &dyn Fn() -> MonoNanos, now: MonoNanos) -> usize {
        let mut taken = 0;
        while taken < COMMANDS && !self.over {
            let Some(Dispatch { command, stamps }) = self.links.commands.pop() else { break };
            taken += 1;
            match command {
                Command::Place(order) if self.lease.holds() => {
                    self.paper.place(order.spec(), now);
                    let mut slot = [0; SLOT_BYTES];
                    CommandView::Place(*order.spec()).encode(&mut slot);
                    let stamps = Stamps { tx: clock(), ..stamps };
                    // Latency is told as far as there is room; nothing depends on it.
                    let _ = self.links.stamps.push(Tap::stamps(slot, stamps));
                }
                Command::Place(order) => self.paper.not_sent(order.spec()),
                Command::Plain(Plain::Cancel(cancel)) => self.paper.cancel(&cancel, now),
                Command::Plain(Plain::CancelAll(all)) => {
                    self.paper.cancel_all(all.instrument, now);
                }
                Command::Plain(Plain::Countdown(countdown)) => {
                    self.paper.countdown(countdown.seconds, now);
                }
                Command::Plain(Plain::Stopped(_)) => self.over = true,
                Command::Plain(
                    Plain::Query(_) | Plain::Resync(_) | Plain::Ping(_) | Plain::Record(_),
                ) => {}
            }
        }
        taken
    }

    fn pass_questions(&mut self, now: MonoNanos) {
        while self.links.asked.has_room(1)
            && let Some(query) = self.links.queries.pop()
        {
            if matches!(query.topic, Topic::Touch | Topic::Rules) {
                assert!(self.links.asked.push(query).is_ok(), "there was room");
            } else {
                self.paper.ask(&query, now);
            }
        }
    }

    /// Ends everything when the kill has asked for it.
    fn heed(&mut self, utc: UnixNanos) {
        // Acquire: pairs with the asking.
        let asked = self.switch.asked.load(Ordering::Acquire);
        // Relaxed: this agent alone writes it.
        let due = self.switch.done.load(Ordering::Relaxed) < asked;
        if due {
            self.paper.clear(utc);
        }
        // Release: the count is seen no later than that it was done.
        self.switch.open.store(self.paper.live_orders(), Ordering::Release);
        if due {
            self.switch.done.store(asked, Ordering::Release);
        }
    }

    /// Tells what the venue has to say; false when there is no room for all of it.
    fn tell(&mut self, now: MonoNanos) -> bool {
        while let Some(&event) = self.paper.events().front() {
            if self.links.private.push(Arrival { event, rx: now, decoded: now }).is_err() {
                return false;
            }
            self.paper.events().pop_front();
        }
        true
    }

    /// Passes the market on, an event at a time, with what each did before it.
    fn pass_market(&mut self, now: MonoNanos) -> usize {
        let mut passed = 0;
        while passed < EVENTS && self.tell(now) && self.links.market.has_room(1) {
            let Some(arrival) = self.links.tape.pop() else { break };
            passed += 1;
            let utc = self.venue.utc(arrival.rx);
            self.paper.advance(utc, arrival.rx);
            self.paper.market(&arrival.event, utc, arrival.rx);
            let told = self.tell(now);
            assert!(self.links.market.push(arrival).is_ok(), "there was room");
            if !told {
                break;
            }
        }
        passed
    }
}

impl Agent for PaperAgent {
    fn name(&self) -> &'static str {
        "paper"
    }

    fn step(&mut self, now: MonoNanos, _poller: &mut Poller) -> usize {
        self.seat.turn(&|| self.clock.now(), now)
    }

    fn deadline(&self) -> MonoNanos {
        self.seat.deadline()
    }

    fn is_over(&self) -> bool {
        self.seat.is_over()
    }
}

impl Drop for PaperSeat<'_> {
    fn drop(&mut self) {
        // Release: nothing rests after it.
        self.switch.gone.store(true, Ordering::Release);
    }
}
