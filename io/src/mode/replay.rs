//! Replay: a journal stepped again, and every command compared byte for byte.

use std::path::{Path, PathBuf};

use keel_core::command::CommandView;
use keel_core::event::Event;
use keel_core::layout::Slot;
use keel_core::units::MonoNanos;

use crate::journal::{JournalError, Position, Reader, TapKind, Torn};

/// What can be stepped: the engine, as a replay sees it.
pub trait Stepper {
    /// Steps `event` and appends each command's slot to `commands`, which comes empty.
    fn step(&mut self, event: &Event, commands: &mut Vec<Slot>, now: MonoNanos);

    /// The digest of the state.
    fn digest(&self) -> u64;
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
        self.stepper.step(&event, &mut self.commands, now);
        self.events += 1;
        self.last = Some((position, event));
        Ok(())
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
