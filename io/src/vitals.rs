//! Vitals: what others may see of an engine, and the lease that they can take away. The words lie
//! in memory that the guardian's process shares.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use keel_core::command::GuardChanged;
use keel_core::guard::{GuardState, Reasons};
use keel_core::units::{MILLIS, MonoNanos};
use keel_net::lease::Lease;
use keel_net::sync::atomic::{AtomicU64, Ordering, fence};

use crate::os::{self, SHARED_WORDS};

/// One engine's vitals.
#[derive(Clone, Copy, Debug)]
pub struct Vitals(&'static [AtomicU64; SHARED_WORDS]);

/// Counters that grow while somebody turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turning {
    /// The engine.
    Engine,
    /// The kill's thread.
    Kill,
    /// The guardian.
    Guardian,
}

/// How far the process is with a kill of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Nothing is to be killed.
    Idle,
    /// It is at work.
    Working,
    /// Zero has been verified.
    Verified,
}

/// A word a cache line, for those who write often.
const LINE: usize = 8;
const MARK_AT: usize = 0;
const LEASE_AT: usize = LINE;
const INCIDENT_AT: usize = 2 * LINE;
const REASONS_AT: usize = 2 * LINE + 1;
const ENGINE_AT: usize = 3 * LINE;
const KILL_AT: usize = 4 * LINE;
const PHASE_AT: usize = 4 * LINE + 1;
const GUARDIAN_AT: usize = 5 * LINE;
const ENDED_AT: usize = 6 * LINE;
const WAY_AT: usize = 6 * LINE + 1;
const _: () = assert!(WAY_AT < SHARED_WORDS);

/// What the first word holds: layout and version.
const MARK: u64 = u64::from_le_bytes(*b"keelvit2");

impl Vitals {
    /// Vitals that another process can map by the descriptor.
    ///
    /// # Errors
    /// What the system says.
    pub fn share() -> io::Result<(Self, OwnedFd)> {
        let (words, fd) = os::share()?;
        // Release: whoever sees the mark sees zeros behind it.
        words[MARK_AT].store(MARK, Ordering::Release);
        Ok((Self(words), fd))
    }

    /// Vitals that an engine has shared.
    ///
    /// # Errors
    /// What the system says, or that these are not of this build.
    pub fn map(fd: &impl AsFd) -> io::Result<Self> {
        let words = os::map_shared(fd)?;
        // Acquire: see `share`.
        if words[MARK_AT].load(Ordering::Acquire) != MARK {
            return Err(io::Error::other("the vitals are of another build"));
        }
        Ok(Self(words))
    }

    /// Vitals that nobody else sees.
    pub fn unshared() -> Self {
        Self(Box::leak(Box::new(std::array::from_fn(|_| AtomicU64::new(0)))))
    }

    /// Leave to send orders.
    pub fn lease(self) -> Lease {
        Lease::new(&self.0[LEASE_AT])
    }

    /// Says that one more turn is done. Each counter has one writer.
    pub fn turned(self, who: Turning) {
        let word = &self.0[who.at()];
        // Relaxed: a counter of one writer, ordered with nothing.
        word.store(word.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    }

    /// Turns done; 0 before the first.
    pub fn turns(self, who: Turning) -> u64 {
        // Relaxed: as above.
        self.0[who.at()].load(Ordering::Relaxed)
    }

    /// Tells of the guard. Incidents never come again.
    pub fn guard(self, change: &GuardChanged) {
        if change.to != GuardState::HardStop {
            // Release: what led to the end of the stop is seen by whoever sees it ended.
            return self.0[INCIDENT_AT].store(0, Ordering::Release);
        }
        // Release: whoever sees these reasons, and looks again as `stopped` does, sees that the
        // incident before has ended.
        fence(Ordering::Release);
        self.0[REASONS_AT].store(change.hard, Ordering::Relaxed);
        // Release: whoever sees the incident sees reasons of it, or newer ones. A latch on disk may
        // say anything; a stop is one all the same.
        self.0[INCIDENT_AT].store(change.incident.max(1), Ordering::Release);
    }

    /// The incident that stopped the engine for good, with its reasons; `None` while none has, and
    /// at the moment at which one takes another's place.
    pub fn stopped(self) -> Option<(u64, Reasons)> {
        // Acquire: see `guard`.
        let incident = self.0[INCIDENT_AT].load(Ordering::Acquire);
        let reasons = Reasons(self.0[REASONS_AT].load(Ordering::Relaxed));
        // Acquire: pairs with the fence before the reasons, so that the second look is no older
        // than they are.
        fence(Ordering::Acquire);
        let again = self.0[INCIDENT_AT].load(Ordering::Relaxed);
        (incident != 0 && again == incident).then_some((incident, reasons))
    }

    /// Tells how far the process's own kill is.
    pub fn tell_phase(self, phase: Phase) {
        // Release: who sees a verified zero sees what was done for it.
        self.0[PHASE_AT].store(phase as u64, Ordering::Release);
    }

    /// How far the process's own kill is.
    pub fn phase(self) -> Phase {
        // Acquire: see above.
        match self.0[PHASE_AT].load(Ordering::Acquire) {
            0 => Phase::Idle,
            1 => Phase::Working,
            _ => Phase::Verified,
        }
    }

    /// Tells which way orders are entered, once that is known.
    pub fn tell_way(self, over_rest: bool) {
        // Relaxed: one word, ordered with nothing.
        self.0[WAY_AT].store(1 + u64::from(over_rest), Ordering::Relaxed);
    }

    /// True when orders are entered over REST, false when by the socket; `None` before that is
    /// known.
    pub fn over_rest(self) -> Option<bool> {
        // Relaxed: as above.
        match self.0[WAY_AT].load(Ordering::Relaxed) {
            0 => None,
            way => Some(way != 1),
        }
    }

    /// Says that zero open orders were verified and nothing more will be sent: the engine may end.
    pub fn end(self) {
        // Release: the lease was given up before.
        self.0[ENDED_AT].store(1, Ordering::Release);
    }

    /// True once the engine has ended in order.
    pub fn has_ended(self) -> bool {
        // Acquire: see `end`.
        self.0[ENDED_AT].load(Ordering::Acquire) == 1
    }
}

impl Turning {
    const fn at(self) -> usize {
        match self {
            Self::Engine => ENGINE_AT,
            Self::Kill => KILL_AT,
            Self::Guardian => GUARDIAN_AT,
        }
    }
}

/// Notices that a counter has stopped growing. What the watcher itself was not run does not count:
/// a process that was stopped as a whole would see all others stand still.
#[derive(Clone, Copy, Debug)]
pub struct Watch {
    turns: u64,
    still_ns: u64,
    looked: Option<MonoNanos>,
    look_ns_max: u64,
}

/// What one look may add at most, in real time.
const LOOK_NS_MAX: u64 = 20 * MILLIS;

impl Watch {
    /// Nothing has been seen yet, by a clock that runs `speed` times faster than real.
    pub const fn at_speed(speed: u64) -> Self {
        Self { turns: 0, still_ns: 0, looked: None, look_ns_max: LOOK_NS_MAX * speed }
    }

    /// Looks at a counter: for how long it has not grown, in nanoseconds; 0 before its first turn.
    pub fn look(&mut self, turns: u64, now: MonoNanos) -> u64 {
        let since = self.looked.map_or(0, |looked| now.since(looked)).min(self.look_ns_max);
        self.looked = Some(now);
        if turns == self.turns && turns != 0 {
            self.still_ns += since;
        } else {
            (self.turns, self.still_ns) = (turns, 0);
        }
        self.still_ns
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use keel_core::units::SECONDS;

    #[test]
    fn the_other_process_sees_the_guard_and_takes_the_lease_away() {
        let (engine, fd) = Vitals::share().expect("memory");
        let guardian = Vitals::map(&fd).expect("mapped");
        assert_eq!(guardian.stopped(), None);
        let hard = Reasons::NONE.with(keel_core::guard::Reason::DailyLoss);
        let (from, to) = (GuardState::Running, GuardState::HardStop);
        engine.guard(&GuardChanged { from, to, soft: 0, hard: hard.0, incident: 77 });
        assert_eq!(guardian.stopped(), Some((77, hard)));
        assert!(engine.lease().holds());
        guardian.lease().revoke(keel_net::lease::Revoker::Guardian);
        assert!(!engine.lease().holds());
        assert_eq!(guardian.over_rest(), None);
        engine.tell_way(false);
        assert_eq!(guardian.over_rest(), Some(false));
        engine.tell_way(true);
        assert_eq!(guardian.over_rest(), Some(true));
        engine.tell_phase(Phase::Verified);
        engine.end();
        assert_eq!((guardian.phase(), guardian.has_ended()), (Phase::Verified, true));
    }

    #[test]
    fn a_counter_that_stands_still_is_noticed_and_a_watcher_that_was_not_run_is_no_reason() {
        let mut watch = Watch::at_speed(1);
        let mut now = MonoNanos(SECONDS);
        assert_eq!(watch.look(0, now), 0);
        now = now.after(10 * MILLIS);
        assert_eq!(watch.look(0, now), 0, "it has not begun");
        assert_eq!(watch.look(1, now), 0);
        for _ in 0..10 {
            now = now.after(10 * MILLIS);
            watch.look(1, now);
        }
        assert_eq!(watch.look(1, now), 100 * MILLIS);
        now = now.after(60 * SECONDS);
        assert_eq!(watch.look(1, now), 120 * MILLIS, "the watcher slept");
        assert_eq!(watch.look(2, now), 0);
    }
}

#[cfg(all(test, loom))]
mod model {
    use super::*;

    #[test]
    fn loom_an_incident_is_seen_with_reasons_of_its_own_or_not_at_all() {
        // Found here: at the moment of a rearm the stop was seen with its reasons or its number
        // gone already, and the kill would have taken number 0 for another incident.
        let stop = |incident: u64| GuardChanged {
            from: GuardState::SoftPause,
            to: GuardState::HardStop,
            soft: 0,
            hard: 1 << incident,
            incident,
        };
        let rearmed = GuardChanged { to: GuardState::SoftPause, hard: 0, incident: 0, ..stop(1) };
        loom::model(move || {
            let vitals = Vitals::unshared();
            vitals.guard(&stop(1));
            let engine = loom::thread::spawn(move || {
                vitals.guard(&rearmed);
                vitals.guard(&stop(2));
            });
            let mut newest = 1;
            for _ in 0..2 {
                let Some((incident, reasons)) = vitals.stopped() else { continue };
                assert_eq!(reasons.0, 1 << incident, "incident {incident}");
                assert!(incident >= newest, "an incident that has ended comes again");
                newest = incident;
            }
            engine.join().expect("it ends");
            assert_eq!(vitals.stopped(), Some((2, Reasons(1 << 2))));
        });
    }
}
