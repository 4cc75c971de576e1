//! Agents and their duty cycle: a thread reads the clock once a cycle and hands the time to each of
//! its agents in turn.
//!
//! An agent that panics is dropped and never resumed, so that its links read as abandoned, in both
//! threading modes; the others of its thread go on and do what an abandoned link asks of them.

pub mod cold;
pub mod engine;
pub mod feed;
pub mod gateway;
pub mod journal;
pub mod kill;
pub mod paper;

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crossbeam::utils::CachePadded;
use keel_core::units::{MILLIS, MonoNanos};
use keel_net::driver::{Poller, Readiness, Wait};
use keel_net::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::affinity::Idle;
use crate::clock::Clock;

/// One noun of the data path, stepped without blocking.
pub trait Agent: Send {
    /// Its name in messages and counters.
    fn name(&self) -> &'static str;

    /// Does what there is to do and says how much it was; 0 when there was nothing.
    fn step(&mut self, now: MonoNanos, poller: &mut Poller) -> usize;

    /// Takes in that one of its sockets is ready. Keys of others are not its business.
    fn ready(&mut self, _key: usize, _readiness: Readiness) {}

    /// Makes the next step try the sockets that matter although nothing was said of them: a thread
    /// that spins saves the call that would only say so.
    fn look(&mut self) {}

    /// The earliest time at which it wants to be stepped without anything arriving.
    fn deadline(&self) -> MonoNanos;

    /// True once it will never have anything to do again.
    fn is_over(&self) -> bool;
}

/// What others may see of a thread: that it turns, and that it ended badly.
#[derive(Debug, Default)]
pub struct Pulse {
    cycles: CachePadded<AtomicU64>,
    panicked: AtomicBool,
    over: AtomicBool,
}

impl Pulse {
    /// Cycles so far; one that does not grow is a thread that hangs or sleeps.
    pub fn cycles(&self) -> u64 {
        // Relaxed: a counter of one writer, ordered with nothing.
        self.cycles.load(Ordering::Relaxed)
    }

    /// True once an agent of the thread has panicked.
    pub fn has_panicked(&self) -> bool {
        // Acquire: pairs with the store after the agent was dropped, so that its links are
        // abandoned too.
        self.panicked.load(Ordering::Acquire)
    }

    /// True once the thread has nothing more to do.
    pub fn is_over(&self) -> bool {
        // Relaxed: a flag that only rises, ordered with nothing.
        self.over.load(Ordering::Relaxed)
    }

    /// Says that an agent of the thread has panicked and been dropped.
    pub fn panicked(&self) {
        // Release: see `has_panicked`.
        self.panicked.store(true, Ordering::Release);
    }
}

/// Runs agents in turn on the calling thread until all are over.
pub struct Duty {
    agents: Vec<Box<dyn Agent>>,
    poller: Poller,
    clock: Clock,
    idle: Idle,
    park_ns_max: u64,
    pulse: Arc<Pulse>,
}

/// Readiness told in one cycle at most; the rest comes with the next.
const READY_MAX: usize = 64;

/// A thread that spins asks for readiness once in so many cycles: for sockets that are not looked
/// at, and for those that were full.
pub const ASK_EVERY: u64 = 8;

/// A thread whose work may come over a link looks again after this long, when nobody wakes it.
pub const PARK_NS_MAX: u64 = MILLIS;

impl Duty {
    /// A duty cycle without agents.
    ///
    /// # Errors
    /// When the system gives no poller.
    pub fn new(clock: Clock, idle: Idle) -> io::Result<Self> {
        let poller = Poller::new(READY_MAX)?;
        let pulse = Arc::new(Pulse::default());
        Ok(Self { agents: Vec::new(), poller, clock, idle, park_ns_max: PARK_NS_MAX, pulse })
    }

    /// What others may see of the thread that runs this.
    pub fn pulse(&self) -> Arc<Pulse> {
        self.pulse.clone()
    }

    /// Adds an agent, to be stepped after those added before.
    pub fn add(&mut self, agent: Box<dyn Agent>) {
        self.agents.push(agent);
    }

    /// The poller, for what must be read before the first turn.
    pub fn poller(&mut self) -> &mut Poller {
        &mut self.poller
    }

    /// Turns until every agent is over.
    pub fn run(mut self) {
        let mut cycles: u64 = 0;
        let mut worked = true;
        while !self.agents.is_empty() {
            if self.idle == Idle::Spin {
                self.agents.iter_mut().for_each(|agent| agent.look());
            }
            if self.idle != Idle::Spin || cycles.is_multiple_of(ASK_EVERY) {
                self.wait(worked);
            }
            let now = self.clock.now();
            worked = self.turn(now) > 0;
            cycles += 1;
            // Relaxed: a counter of one writer, ordered with nothing.
            self.pulse.cycles.store(cycles, Ordering::Relaxed);
        }
        // Relaxed: see `Pulse::is_over`.
        self.pulse.over.store(true, Ordering::Relaxed);
    }

    /// Steps every agent once; those that are over or panicked are dropped.
    fn turn(&mut self, now: MonoNanos) -> usize {
        let mut work = 0;
        let mut index = 0;
        while let Some(agent) = self.agents.get_mut(index) {
            let poller = &mut self.poller;
            let stepped =
                catch_unwind(AssertUnwindSafe(|| (agent.step(now, poller), agent.is_over())));
            match stepped {
                Ok((done, false)) => {
                    work += done;
                    index += 1;
                }
                Ok((_, true)) => drop(self.agents.remove(index)),
                Err(_) => {
                    let agent = self.agents.remove(index);
                    eprintln!("agent {} panicked and is dropped", agent.name());
                    drop(agent);
                    self.pulse.panicked();
                }
            }
        }
        work
    }

    /// Asks the sockets, or sleeps until there is something to do.
    fn wait(&mut self, worked: bool) {
        let wait = match self.idle {
            _ if worked => Wait::Spin,
            Idle::Spin => Wait::Spin,
            Idle::Yield => {
                std::thread::yield_now();
                Wait::Spin
            }
            Idle::Park | Idle::Auto => {
                let now = self.clock.now();
                let deadline = self.agents.iter().map(|agent| agent.deadline()).min();
                let latest = now.after(self.park_ns_max);
                Wait::Park { until: deadline.unwrap_or(latest).min(latest), now }
            }
        };
        let mut told = [None; READY_MAX];
        let mut count = 0;
        let asked = self.poller.wait(wait, |key, readiness| {
            told[count] = Some((key, readiness));
            count += 1;
        });
        if let Err(error) = asked {
            // Without readiness the sockets are blind; silence deadlines of the sessions act on it.
            eprintln!("readiness: {error}");
        }
        for (key, readiness) in told[..count].iter().flatten() {
            for agent in &mut self.agents {
                agent.ready(*key, *readiness);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use keel_net::link::{Receiver, Sender, WhenFull, link};

    struct Bomb {
        _held: Sender<u8>,
    }

    impl Agent for Bomb {
        fn name(&self) -> &'static str {
            "bomb"
        }
        fn step(&mut self, _now: MonoNanos, _poller: &mut Poller) -> usize {
            panic!("as meant by the test");
        }
        fn deadline(&self) -> MonoNanos {
            MonoNanos::NEVER
        }
        fn is_over(&self) -> bool {
            false
        }
    }

    struct Looker {
        looks: u64,
        steps: u64,
    }

    impl Agent for Looker {
        fn name(&self) -> &'static str {
            "looker"
        }
        fn step(&mut self, _now: MonoNanos, _poller: &mut Poller) -> usize {
            self.steps += 1;
            assert!([0, self.steps].contains(&self.looks), "looked before each step, or never");
            0
        }
        fn look(&mut self) {
            self.looks += 1;
        }
        fn deadline(&self) -> MonoNanos {
            MonoNanos::NEVER
        }
        fn is_over(&self) -> bool {
            assert!(self.steps < 20 || self.looks == self.steps, "a thread that spins looks");
            self.steps == 20
        }
    }

    #[test]
    fn a_thread_that_spins_looks_at_its_sockets_in_every_cycle() {
        let mut duty = Duty::new(Clock::start(), Idle::Spin).expect("a poller");
        let pulse = duty.pulse();
        duty.add(Box::new(Looker { looks: 0, steps: 0 }));
        duty.run();
        assert_eq!((pulse.cycles(), pulse.has_panicked()), (20, false));
    }

    struct Witness {
        from_bomb: Receiver<u8>,
        saw: Arc<AtomicBool>,
    }

    impl Agent for Witness {
        fn name(&self) -> &'static str {
            "witness"
        }
        fn step(&mut self, _now: MonoNanos, _poller: &mut Poller) -> usize {
            let abandoned = self.from_bomb.is_abandoned();
            self.saw.store(abandoned, Ordering::Relaxed);
            0
        }
        fn deadline(&self) -> MonoNanos {
            MonoNanos::NEVER
        }
        fn is_over(&self) -> bool {
            self.saw.load(Ordering::Relaxed)
        }
    }

    #[test]
    fn an_agent_that_panics_is_dropped_and_its_neighbor_sees_the_link_abandoned() {
        let (sender, from_bomb) = link("test", 1, WhenFull::AskFirst);
        let saw = Arc::new(AtomicBool::new(false));
        let mut duty = Duty::new(Clock::start(), Idle::Park).expect("a poller");
        let pulse = duty.pulse();
        duty.add(Box::new(Witness { from_bomb, saw: saw.clone() }));
        duty.add(Box::new(Bomb { _held: sender }));
        duty.run();
        assert!(pulse.has_panicked());
        assert!(saw.load(Ordering::Relaxed));
        assert!(pulse.cycles() >= 2);
    }
}

#[cfg(all(test, loom))]
mod model {
    use super::*;

    #[test]
    fn loom_a_panic_is_seen_only_after_the_agent_was_dropped() {
        loom::model(|| {
            let (pulse, dropped) = (Arc::new(Pulse::default()), Arc::new(AtomicBool::new(false)));
            let (mine, gone) = (pulse.clone(), dropped.clone());
            let thread = loom::thread::spawn(move || {
                // What dropping an agent leaves behind: its links read as abandoned.
                gone.store(true, Ordering::Relaxed);
                mine.panicked();
            });
            if pulse.has_panicked() {
                assert!(dropped.load(Ordering::Relaxed));
            }
            thread.join().expect("it ends");
            assert!(pulse.has_panicked());
        });
    }
}
