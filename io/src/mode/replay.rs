//! Replay: a journal stepped again, and every command compared byte for byte.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use keel_core::command::{CommandView, Outbox};
use keel_core::event::Event;
use keel_core::instrument::INSTRUMENTS_MAX;
use keel_core::layout::{SLOT_BYTES, Slot};
use keel_core::param::Profile;
use keel_core::units::MonoNanos;

use crate::journal::{JournalError, Position, Reader, TapKind, Torn};
use crate::memory::{self, Limits, RiskEngine};

/// What can be stepped: the engine, as a replay sees it.
pub trait Stepper {
    /// Steps `event` and appends each command's slot to `commands`, which comes empty.
    ///
    /// # Errors
    /// [`Impossible`] for what no run gives its engine; nothing has been stepped then.
    fn step(
        &mut self,
        event: &Event,
        commands: &mut Vec<Slot>,
        now: MonoNanos,
    ) -> Result<(), Impossible>;

    /// The digest of the state.
    fn digest(&self) -> u64;
}

/// Why an event cannot be stepped, whatever the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Impossible(pub &'static str);

/// The engine of this build, made as a run makes it once the boot says for how many instruments.
pub struct EngineStepper {
    /// Every parameter arrives as an event; this is only what stands before the first.
    profile: Profile,
    engine: Option<(RiskEngine, Outbox<'static>)>,
    now: MonoNanos,
}

impl EngineStepper {
    /// An engine that waits for its boot, with the parameters of `profile` until events bring
    /// others.
    pub fn new(profile: Profile) -> Self {
        Self { profile, engine: None, now: MonoNanos::ZERO }
    }

    fn boot(&mut self, event: &Event) -> Result<(), Impossible> {
        match (event, &self.engine) {
            (Event::Boot(_), Some(_)) => Err(Impossible("a second boot")),
            (Event::Boot(boot), None) => {
                let instruments = usize::from(boot.instruments);
                if !(1..=INSTRUMENTS_MAX).contains(&instruments) {
                    return Err(Impossible(
                        "a boot with more or fewer instruments than there can be",
                    ));
                }
                self.engine = Some(memory::engine(&Limits::of(instruments), self.profile));
                Ok(())
            }
            (_, None) => Err(Impossible("an event before the boot")),
            (_, Some(_)) => Ok(()),
        }
    }
}

impl Stepper for EngineStepper {
    fn step(
        &mut self,
        event: &Event,
        commands: &mut Vec<Slot>,
        now: MonoNanos,
    ) -> Result<(), Impossible> {
        if now < self.now {
            return Err(Impossible("a time before that of the event before it"));
        }
        self.boot(event)?;
        self.now = now;
        let (engine, outbox) = self.engine.as_mut().expect("booted");
        engine.step(now, event, outbox);
        for command in outbox.drain() {
            let mut slot = [0; SLOT_BYTES];
            command.encode(&mut slot);
            commands.push(slot);
        }
        Ok(())
    }

    fn digest(&self) -> u64 {
        self.engine.as_ref().map_or(0, |(engine, _)| engine.digest())
    }
}

/// What a replay found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplayReport {
    /// Events stepped.
    pub events: u64,
    /// Commands compared.
    pub commands: u64,
    /// Digests compared, of commands and of the host.
    pub digests: u64,
    /// The digest at the end.
    pub digest: u64,
    /// The run ended in order.
    pub ended_in_order: bool,
    /// The tail that was cut off; its last step is not compared.
    pub torn: Option<Torn>,
    /// BLAKE3 of the run's configuration.
    pub config_hash: [u8; 32],
    /// The run's boot epoch.
    pub epoch: u32,
}

/// Why a replay is no proof.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The journal cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// An event is none of this build's.
    #[error("{position}: an event cannot be decoded: {error:?}")]
    Event {
        /// Where.
        position: Position,
        /// Why.
        error: keel_core::layout::LayoutError,
    },
    /// No run gives its engine such an event.
    #[error("{position}: {what}, which no run gives its engine")]
    Impossible {
        /// Where.
        position: Position,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The engine fails an assertion, as the run did when this is its last event.
    #[error(
        "{position}: the engine panics at event {event}\n  event:   {cause}\n  panic:   {what}"
    )]
    Panicked {
        /// Where.
        position: Position,
        /// Events stepped so far, counting this one.
        event: u64,
        /// That event, for people.
        cause: String,
        /// What the assertion says.
        what: String,
    },
    /// A command stands before any event.
    #[error("{0}: a command without an event before it")]
    Orphan(Position),
    /// The engine did something else this time.
    #[error("{0}")]
    Different(Box<Difference>),
    /// The journal holds no event.
    #[error("the journal holds no event")]
    NoEvents,
}

/// The first place where journal and replay part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Where in the journal.
    pub position: Position,
    /// Events stepped so far, counting the one whose step differs.
    pub event: u64,
    /// That event, for people.
    pub cause: String,
    /// What the journal has, for people; `None` for nothing.
    pub journal: Option<String>,
    /// What the replay gave.
    pub replay: Option<String>,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let nothing = "nothing".to_owned();
        write!(
            f,
            "{}: the step of event {} differs\n  event:   {}\n  journal: {}\n  replay:  {}",
            self.position,
            self.event,
            self.cause,
            self.journal.as_ref().unwrap_or(&nothing),
            self.replay.as_ref().unwrap_or(&nothing),
        )
    }
}

/// Replays the journal of `run_dir` through `stepper`, which must be fresh.
///
/// # Errors
/// As [`ReplayError`] says; the first difference ends the replay.
pub fn replay(run_dir: &Path, stepper: &mut impl Stepper) -> Result<ReplayReport, ReplayError> {
    let mut reader = Reader::open(&journal_dir(run_dir))?;
    let (config_hash, epoch) = (reader.header().config_hash, reader.header().epoch);
    let mut walk = Walk {
        stepper,
        commands: Vec::new(),
        next: 0,
        last: None,
        events: 0,
        compared: 0,
        digests: 0,
    };
    for record in reader.by_ref() {
        let record = record?;
        let position = record.position;
        match record.tap.kind {
            TapKind::Event => walk.event(position, &record.tap.slot, record.tap.now)?,
            TapKind::Command => walk.command(position, &record.tap.slot)?,
            TapKind::Digest => walk.digest(position, &record.tap.slot)?,
            TapKind::Stamps => {}
        }
    }
    // The group that the last step stood in may have been cut in two.
    if reader.torn().is_none()
        && let Some((position, _)) = walk.last
    {
        walk.complete(position)?;
    }
    if walk.events == 0 {
        return Err(ReplayError::NoEvents);
    }
    Ok(ReplayReport {
        events: walk.events,
        commands: walk.compared,
        digests: walk.digests,
        digest: walk.stepper.digest(),
        ended_in_order: reader.ended_in_order(),
        torn: reader.torn(),
        config_hash,
        epoch,
    })
}

/// Where a run's journal stands.
pub fn journal_dir(run_dir: &Path) -> PathBuf {
    run_dir.join("journal")
}

struct Walk<'s, S> {
    stepper: &'s mut S,
    /// What the last step gave.
    commands: Vec<Slot>,
    /// How many of them the journal has confirmed.
    next: usize,
    last: Option<(Position, Event)>,
    events: u64,
    compared: u64,
    digests: u64,
}

impl<S: Stepper> Walk<'_, S> {
    fn event(
        &mut self,
        position: Position,
        slot: &Slot,
        now: MonoNanos,
    ) -> Result<(), ReplayError> {
        self.complete(position)?;
        let event = Event::decode(slot).map_err(|error| ReplayError::Event { position, error })?;
        self.commands.clear();
        self.next = 0;
        self.events += 1;
        self.last = Some((position, event));
        let (stepper, commands) = (&mut *self.stepper, &mut self.commands);
        match catch_unwind(AssertUnwindSafe(|| stepper.step(&event, commands, now))) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(Impossible(what))) => Err(ReplayError::Impossible { position, what }),
            Err(panic) => {
                let text = panic.downcast_ref::<String>().cloned();
                let text =
                    text.or_else(|| panic.downcast_ref::<&str>().map(|&text| text.to_owned()));
                Err(ReplayError::Panicked {
                    position,
                    event: self.events,
                    cause: format!("{event:?}"),
                    what: text.unwrap_or_else(|| "without a word".to_owned()),
                })
            }
        }
    }

    fn command(&mut self, position: Position, slot: &Slot) -> Result<(), ReplayError> {
        if self.last.is_none() {
            return Err(ReplayError::Orphan(position));
        }
        let given = self.commands.get(self.next);
        if given != Some(slot) {
            return Err(self.different(position, Some(describe(slot)), given.map(describe)));
        }
        if let Ok(CommandView::Digest(_)) = CommandView::decode(slot) {
            self.digests += 1;
        }
        self.next += 1;
        self.compared += 1;
        Ok(())
    }

    fn digest(&mut self, position: Position, slot: &Slot) -> Result<(), ReplayError> {
        self.complete(position)?;
        let ours = format!("digest {:016x} after {} events", self.stepper.digest(), self.events);
        let theirs = match CommandView::decode(slot) {
            Ok(CommandView::Digest(record)) => {
                format!("digest {:016x} after {} events", record.digest, record.events)
            }
            _ => describe(slot),
        };
        if ours != theirs {
            return Err(self.different(position, Some(theirs), Some(ours)));
        }
        self.digests += 1;
        Ok(())
    }

    /// The last step gave nothing that the journal does not have.
    fn complete(&self, position: Position) -> Result<(), ReplayError> {
        match self.commands.get(self.next) {
            Some(extra) => Err(self.different(position, None, Some(describe(extra)))),
            None => Ok(()),
        }
    }

    fn different(
        &self,
        position: Position,
        journal: Option<String>,
        replay: Option<String>,
    ) -> ReplayError {
        let cause = self.last.map_or(String::new(), |(_, event)| format!("{event:?}"));
        let event = self.events;
        ReplayError::Different(Box::new(Difference { position, event, cause, journal, replay }))
    }
}

fn describe(slot: &Slot) -> String {
    match CommandView::decode(slot) {
        Ok(command) => format!("{command:?}"),
        Err(error) => format!("no command of this build ({error:?})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Anchor;
    use crate::journal::{Header, Limits, Tap, Writer};
    use keel_core::command::{DigestRecord, Stopped};
    use keel_core::event::{Boot, Directive, Mode, Operator, Timer};
    use keel_core::planted::Planted;
    use keel_core::units::UnixNanos;

    /// Answers every event with as many `Stopped` as its incident says, after doubling.
    struct Doubling {
        sum: u64,
    }

    impl Stepper for Doubling {
        fn step(
            &mut self,
            event: &Event,
            commands: &mut Vec<Slot>,
            now: MonoNanos,
        ) -> Result<(), Impossible> {
            let Event::Operator(operator) = event else { return Err(Impossible("no operator")) };
            assert!(operator.incident < 100, "a defect");
            self.sum = self.sum * 2 + operator.incident + now.0;
            for n in 0..operator.incident {
                let mut slot = [0; 128];
                let open = (self.sum + n) as u32;
                CommandView::Stopped(Stopped { open }).encode(&mut slot);
                commands.push(slot);
            }
            Ok(())
        }
        fn digest(&self) -> u64 {
            self.sum
        }
    }

    fn event(incident: u64) -> (Event, Slot) {
        let pause = Operator::program(Directive::Pause);
        let event = Event::Operator(Operator { incident, ..pause });
        let mut slot = [0; 128];
        event.encode(&mut slot);
        (event, slot)
    }

    /// The records of a run of five events.
    fn records() -> Vec<Tap> {
        let mut engine = Doubling { sum: 0 };
        let mut taps = Vec::new();
        for n in 1..=5 {
            let (event, slot) = event(n % 3);
            let now = MonoNanos(n * 10);
            taps.push(Tap::event(slot, now));
            let mut commands = Vec::new();
            engine.step(&event, &mut commands, now).expect("possible");
            taps.extend(commands.iter().map(|slot| Tap::command(*slot, now)));
        }
        let mut slot = [0; 128];
        let record = DigestRecord { events: 5, digest: engine.digest() };
        CommandView::Digest(record).encode(&mut slot);
        taps.push(Tap::digest(slot, MonoNanos(60)));
        taps
    }

    fn replayed(taps: &[Tap], close: bool) -> Result<ReplayReport, ReplayError> {
        let dir = tempfile::tempdir().expect("a directory");
        let anchor = Anchor { mono: MonoNanos(1), utc: UnixNanos(1), uncertainty_ns: 0 };
        let header = Header::first([9; 32], 4, anchor);
        let limits = Limits { segment_bytes: 1 << 16, ..Limits::default() };
        let journal = journal_dir(dir.path());
        let mut writer = Writer::create(&journal, header, limits).expect("a journal");
        for tap in taps {
            writer.append(tap, tap.now).expect("appended");
        }
        if close {
            writer.close().expect("closed");
        } else {
            writer.commit().expect("committed");
        }
        replay(dir.path(), &mut Doubling { sum: 0 })
    }

    #[test]
    fn the_same_engine_gives_the_same_bytes() {
        let report = replayed(&records(), true).expect("the same");
        assert_eq!((report.events, report.commands, report.digests), (5, 6, 1));
        assert_eq!((report.config_hash, report.epoch), ([9; 32], 4));
        assert!(report.ended_in_order && report.torn.is_none());
        assert!(!replayed(&records(), false).expect("the same").ended_in_order);
    }

    #[test]
    fn every_record_that_is_changed_dropped_or_added_is_found() {
        let taps = records();
        for place in 0..taps.len() {
            let mut changed = taps.clone();
            changed[place].slot[3] ^= 1;
            assert!(replayed(&changed, true).is_err(), "record {place} changed");
            let mut doubled = taps.clone();
            doubled.insert(place, taps[place]);
            let digest_twice = place + 1 == taps.len();
            assert!(digest_twice || replayed(&doubled, true).is_err(), "record {place} doubled");
            if place + 1 < taps.len() {
                let mut dropped = taps.clone();
                dropped.remove(place);
                assert!(replayed(&dropped, true).is_err(), "record {place} dropped");
            }
        }
        let mut later = taps.clone();
        later[0].now = MonoNanos(11);
        assert!(replayed(&later, true).is_err(), "time of a step changed");
    }

    #[test]
    fn the_first_difference_names_its_place_and_both_sides() {
        let mut taps = records();
        let place = taps.iter().position(|tap| tap.kind == TapKind::Command).expect("a command");
        taps[place].slot[2] ^= 1;
        let Err(ReplayError::Different(difference)) = replayed(&taps, true) else {
            panic!("a difference");
        };
        assert_eq!(difference.event, 1);
        let text = difference.to_string();
        assert!(text.contains("segment 1, byte") && text.contains("Stopped"), "{text}");
        assert_ne!(difference.journal, difference.replay);
    }

    #[test]
    fn an_engine_that_panics_is_told_with_its_event_and_place() {
        let calm = Tap::event(event(0).1, MonoNanos(10));
        let fatal = Tap::event(event(100).1, MonoNanos(20));
        let Err(ReplayError::Panicked { event, what, .. }) = replayed(&[calm, fatal], true) else {
            panic!("a panic that is told");
        };
        assert_eq!((event, what.as_str()), (2, "a defect"));
    }

    #[test]
    fn what_no_run_gives_its_engine_is_refused_before_the_engine_sees_it() {
        let boot = |instruments| {
            let (config_hash, mode) = ([0; 32], Mode::Sim);
            Event::Boot(Boot {
                config_hash,
                epoch: 1,
                instruments,
                seed: 1,
                mode,
                dirty: false,
                planted: Planted::NONE,
            })
        };
        let timer = Event::Timer(Timer { deadline: MonoNanos(1) });
        let mut commands = Vec::new();
        let mut engine = EngineStepper::new(Profile::Wide);
        let mut step = |event: &Event, now: u64| {
            commands.clear();
            engine.step(event, &mut commands, MonoNanos(now)).is_ok()
        };
        assert!(!step(&timer, 1), "an event before the boot");
        assert!(!step(&boot(0), 2), "a boot without instruments");
        assert!(step(&boot(1), 3) && step(&timer, 4));
        assert!(!step(&boot(1), 5), "a second boot");
        assert!(!step(&timer, 3), "time that goes back");
        assert!(step(&timer, 4), "what was refused has changed nothing");
    }

    #[test]
    fn a_journal_without_events_proves_nothing() {
        assert!(matches!(replayed(&[], true), Err(ReplayError::NoEvents)));
        let command = records()[1];
        assert!(matches!(replayed(&[command], true), Err(ReplayError::Orphan(_))));
    }
}
