//! States: what a crash may leave, and what the product must make of it.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::sync::Arc;

use keel_core::command::CommandView;
use keel_core::guard::GuardState;
use keel_core::units::{MonoNanos, Side, UnixNanos};
use keel_io::clock::Anchor;
use keel_io::cold::recorder::Recorder;
use keel_io::disk::{Failure, FileSystem, Image, Replay, SimulatedDisk};
use keel_io::journal::{Reader, TapKind};
use keel_io::state::ledger::Kept;
use keel_io::state::{Recovered, StateDir};
use keel_io::world::Chance;

use super::life::{self, Note, STATE, Story};
use super::sabotage::Sabotage;

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// States by what had been going on.
    pub states: BTreeMap<&'static str, u64>,
    /// States that no other was equal to, with what was acknowledged before them.
    pub distinct: u64,
    /// Lives that were lived from a recovered state on, one for each that differs.
    pub lives: u64,
    /// What was wrong, each with the operation after which the crash came.
    pub violations: Vec<(usize, String)>,
}

impl Report {
    /// States in all.
    pub fn total(&self) -> u64 {
        self.states.values().sum()
    }

    /// For people.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for (kind, count) in &self.states {
            text.push_str(&format!("  {kind:<34} {count:>7}\n"));
        }
        let (total, distinct, lives) = (self.total(), self.distinct, self.lives);
        let wrong = self.violations.len();
        text.push_str(&format!(
            "crash states {total}, distinct {distinct}, lives after them {lives}, violations {wrong}\n"
        ));
        for (at, what) in self.violations.iter().take(10) {
            text.push_str(&format!("  after operation {at}: {what}\n"));
        }
        text
    }
}

/// Judges states of a story on a disk that keeps its promises, `each` at most after an operation,
/// and then of stories in which one operation fails, or every one from there on, until there are
/// `most`. Of a few states the recovery itself crashes, after each of its operations.
pub fn explore(how: Sabotage, each: usize, most: u64, seed: u64) -> Report {
    let mut judge = Judge::new(seed, most);
    let story = Story::told(SimulatedDisk::default(), how);
    let operations = story.disk.operations();
    judge.story(&story, each, None);
    let failures = [Failure::NoSpace, Failure::InputOutput, Failure::LateError];
    // Spread over the whole story, and over each part of it in turn.
    for number in 0..operations * failures.len() {
        if judge.is_done() {
            break;
        }
        let at = number * STRIDE % operations;
        let failure = failures[number % failures.len()];
        for stays in [false, true] {
            let disk = SimulatedDisk::default();
            if stays {
                disk.fails_from(at, failure);
            } else {
                disk.fail_at(at, failure);
            }
            judge.story(&Story::told(disk, how), each, Some(Failed { at, failure, stays }));
        }
    }
    judge.report
}

/// No factor of any number of operations but itself.
const STRIDE: usize = 9_973;

/// How a story's disk fails.
#[derive(Clone, Copy)]
struct Failed {
    at: usize,
    failure: Failure,
    stays: bool,
}

struct Judge {
    report: Report,
    chance: Chance,
    seen: HashSet<u64>,
    lived: HashSet<u64>,
    most: u64,
}

/// What had been done and acknowledged before a crash.
#[derive(Clone, Debug, Default, Hash)]
struct Facts {
    epoch: u32,
    executed: usize,
    /// Every booking that was taken, and how many of them when the day turned.
    taken: Vec<u64>,
    rolled: Option<(i64, usize)>,
    /// Those that this process has taken and not acknowledged; what it leaves so is lost with it.
    pending: Vec<u64>,
    acked: BTreeSet<u64>,
    roll_acked: bool,
    /// This process has turned the day and not acknowledged it.
    rolling: bool,
    stop: Promise,
    /// What the next commit makes of the stop.
    stopping: Option<Promise>,
    marking: bool,
    /// The mark of a clean stop was made after so many operations.
    marked: Option<usize>,
}

/// Whether a stop for good is in force.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Promise {
    #[default]
    No,
    Maybe,
    Yes,
}

impl Facts {
    fn take(&mut self, note: Note, at: usize) {
        match note {
            Note::Epoch(epoch) => {
                self.epoch = self.epoch.max(epoch);
                (self.marking, self.marked, self.stopping) = (false, None, None);
                self.pending.clear();
                self.rolling = false;
            }
            Note::Executed(place) => self.executed = place + 1,
            Note::Taken(id) => {
                self.taken.push(id);
                self.pending.push(id);
            }
            Note::Rolled(day) => {
                (self.rolled, self.roll_acked) = (Some((day, self.taken.len())), false);
                self.rolling = true;
            }
            Note::Stopped => {
                self.stop = self.stop.max(Promise::Maybe);
                self.stopping = Some(Promise::Yes);
            }
            Note::Failing => self.stop = self.stop.max(Promise::Maybe),
            Note::Rearmed => (self.stop, self.stopping) = (Promise::Maybe, Some(Promise::No)),
            Note::Committed => self.acknowledge(),
            Note::FailureLatched => self.stop = Promise::Yes,
            Note::Marking => self.marking = true,
            Note::Marked => {
                self.acknowledge();
                self.marked = Some(at);
            }
        }
    }

    fn acknowledge(&mut self) {
        self.acked.extend(self.pending.drain(..));
        self.roll_acked |= std::mem::take(&mut self.rolling);
        self.stop = self.stopping.take().unwrap_or(self.stop);
    }
}

impl Judge {
    fn new(seed: u64, most: u64) -> Self {
        let chance = Chance::new(seed, 7);
        let (seen, lived) = (HashSet::new(), HashSet::new());
        Self { report: Report::default(), chance, seen, lived, most }
    }

    fn is_done(&self) -> bool {
        self.report.total() >= self.most || self.report.violations.len() >= VIOLATIONS_MAX
    }

    /// Goes through a story; with a failure only through what came after it.
    fn story(&mut self, story: &Story, each: usize, failure: Option<Failed>) {
        let mut replay = Replay::new(&story.disk);
        let mut facts = Facts::default();
        let mut notes = story.notes.iter().peekable();
        loop {
            while let Some((at, note)) = notes.next_if(|(at, _)| *at <= replay.at()) {
                facts.take(*note, *at);
            }
            if failure.is_none_or(|failed| replay.at() >= failed.at) {
                for image in replay.images(each, &mut self.chance) {
                    let kind = kind(failure, &facts);
                    *self.report.states.entry(kind).or_default() += 1;
                    self.state(&image, &facts, story, replay.at());
                }
            }
            if self.is_done() || !replay.step() {
                return;
            }
        }
    }

    fn state(&mut self, image: &Image, facts: &Facts, story: &Story, at: usize) {
        if !self.seen.insert(hash(&(image, facts))) {
            return;
        }
        self.report.distinct += 1;
        if self.chance.one_in(RECOVERIES) {
            self.recovery(image, facts, at);
        }
        match judged(image, facts, at) {
            Ok((recovered, kept)) => {
                let key = hash(&(format!("{kept:?}{:?}", recovered.latch), facts.executed));
                if self.lived.insert(key) {
                    self.report.lives += 1;
                    if let Err(what) = lived(image, &story.venue[..facts.executed]) {
                        self.report.violations.push((at, what));
                    }
                }
            }
            Err(what) => self.report.violations.push((at, what)),
        }
    }
}

impl Judge {
    /// Recovers from a state, crashes after each operation of that, and judges what is left.
    fn recovery(&mut self, image: &Image, facts: &Facts, at: usize) {
        let disk = SimulatedDisk::holding(image);
        // Whether it can be opened at all is judged with the state itself.
        let opened = recovers(&disk, "/runs/recovering");
        let Ok(_) = opened else { return };
        // A stop that was clean is none any more once somebody has begun.
        let begun = Facts { marked: None, ..facts.clone() };
        let mut replay = Replay::new(&disk);
        while replay.step() {
            for left in replay.images(IN_RECOVERY, &mut self.chance) {
                *self.report.states.entry("in the recovery after a crash").or_default() += 1;
                if !self.seen.insert(hash(&(&left, &begun))) {
                    continue;
                }
                self.report.distinct += 1;
                if let Err(what) = judged(&left, &begun, at) {
                    self.report.violations.push((at, format!("and in its recovery: {what}")));
                    return;
                }
            }
        }
    }
}

/// Opens the state and the files of a run as the product does at its start.
fn recovers(disk: &SimulatedDisk, run_dir: &str) -> Result<Recovered, String> {
    let opened =
        StateDir::open_on(Arc::new(disk.clone()), Path::new(STATE), &life::identity(), UTC);
    let (opened, recovered) = opened.map_err(|error| format!("the state is refused: {error}"))?;
    let state = opened.begin().map_err(|error| format!("the boot does not begin: {error}"))?;
    let anchor = Anchor { mono: MonoNanos(1), utc: UTC, uncertainty_ns: 0 };
    Recorder::open(life::run(run_dir.into()), state, anchor)
        .map_err(|error| format!("the files are refused: {error}"))?;
    Ok(recovered)
}

/// What was going on.
fn kind(failure: Option<Failed>, facts: &Facts) -> &'static str {
    let failed = failure.map(|failed| (failed.failure, failed.stays));
    match (failed, facts.stop, facts.marking) {
        (Some((Failure::NoSpace, false)), ..) => "after the disk was full",
        (Some((Failure::NoSpace, true)), ..) => "on a disk that stays full",
        (Some((Failure::InputOutput, false)), ..) => "after an error, the work lost",
        (Some((Failure::LateError, false)), ..) => "after an error, the work done",
        (Some((Failure::InputOutput | Failure::LateError, true)), ..) => {
            "on a disk that has failed"
        }
        (None, _, true) => "in an orderly stop",
        (None, Promise::No, _) if facts.taken.is_empty() => "before the first execution",
        (None, Promise::No, _) => "at work",
        (None, ..) => "with a stop for good",
    }
}

/// Recovers from a state as the product does, and compares with what was acknowledged.
fn judged(image: &Image, facts: &Facts, at: usize) -> Result<(Recovered, Kept), String> {
    let disk = SimulatedDisk::holding(image);
    let said = journaled(&disk)?;
    let recovered = recovers(&disk, "/runs/judge")?;
    let kept = recovered.kept.clone();
    if recovered.epoch <= facts.epoch {
        return Err(format!("epoch {} comes after {}", recovered.epoch, facts.epoch));
    }
    if recovered.known && facts.epoch > 0 && recovered.dirty && facts.marked == Some(at) {
        return Err("a clean stop is taken for a crash".into());
    }
    if recovered.known && facts.epoch > 0 && !recovered.dirty && !facts.marking {
        return Err("a crash is taken for a clean stop".into());
    }
    let latched = recovered.latch.is_some();
    match facts.stop {
        Promise::Yes if !latched => return Err("the latch is lost".into()),
        Promise::No if latched => return Err("a latch that nobody made".into()),
        _ if said.stopped && !latched => {
            return Err("the journal tells of a stop that is not latched".into());
        }
        _ => {}
    }
    check_fills(&kept, facts, &said)?;
    check_day(&kept, facts)?;
    let ids: BTreeSet<u64> = kept.fills.iter().map(|(booked, _)| booked.trade_id).collect();
    if rows(&disk)? != ids {
        return Err(format!("rows {:?} for executions {ids:?}", rows(&disk)?));
    }
    Ok((recovered, kept))
}

fn check_fills(kept: &Kept, facts: &Facts, said: &Said) -> Result<(), String> {
    let ids: Vec<u64> = kept.fills.iter().map(|(booked, _)| booked.trade_id).collect();
    let unique: BTreeSet<u64> = ids.iter().copied().collect();
    if unique.len() != ids.len() {
        return Err(format!("an execution is kept twice: {ids:?}"));
    }
    let taken: BTreeSet<u64> = facts.taken.iter().copied().collect();
    let acked = &facts.acked;
    if !acked.is_subset(&unique) || !unique.is_subset(&taken) {
        return Err(format!("executions {unique:?}, acknowledged {acked:?}, taken {taken:?}"));
    }
    if !acked.is_subset(&said.booked) || !unique.is_subset(&said.booked) {
        return Err(format!("executions {unique:?}, in the journal {:?}", said.booked));
    }
    let mut held: BTreeMap<String, i64> = BTreeMap::new();
    for (booked, rules) in &kept.fills {
        let lots = booked.lots.0 * booked.side.sign();
        *held.entry(rules.symbol.as_str().to_owned()).or_default() += lots;
    }
    let positions: BTreeMap<String, i64> =
        kept.positions.iter().map(|(name, held)| (name.clone(), held.position.lots.0)).collect();
    if held != positions {
        return Err(format!("positions {positions:?} of executions {held:?}"));
    }
    Ok(())
}

fn check_day(kept: &Kept, facts: &Facts) -> Result<(), String> {
    let Some(day) = &kept.day else {
        return if facts.roll_acked { Err("the day is lost".into()) } else { Ok(()) };
    };
    let Some((rolled, before)) = facts.rolled else { return Ok(()) };
    if facts.roll_acked && day.day != rolled {
        return Err(format!("day {} after the turn to {rolled}", day.day));
    }
    if day.day == rolled {
        let after: BTreeSet<u64> = facts.taken[before..].iter().copied().collect();
        let kept = kept.fills.iter().filter(|(booked, _)| after.contains(&booked.trade_id)).count();
        if day.fills as usize != kept {
            return Err(format!("the day counts {} of {kept} executions", day.fills));
        }
        if day.week[0].0 == 0 && rolled == LAST_DAY {
            return Err("the day before is not remembered".into());
        }
    }
    Ok(())
}

/// What the journals of all runs say.
#[derive(Debug, Default)]
struct Said {
    booked: BTreeSet<u64>,
    /// The newest journal ends with a stop for good in force.
    stopped: bool,
}

fn journaled(disk: &SimulatedDisk) -> Result<Said, String> {
    let mut said = Said::default();
    for run in 1..=RUNS_MAX {
        let dir = format!("/runs/{run}/journal");
        let Ok(reader) = Reader::open_on(Arc::new(disk.clone()), Path::new(&dir)) else {
            continue;
        };
        said.stopped = false;
        for record in reader {
            let record = record.map_err(|error| format!("{dir}: {error}"))?;
            if record.tap.kind != TapKind::Command {
                continue;
            }
            match CommandView::decode(&record.tap.slot) {
                Ok(CommandView::Booked(booked)) => {
                    said.booked.insert(booked.trade_id);
                }
                Ok(CommandView::GuardChanged(change)) => {
                    said.stopped = change.to == GuardState::HardStop;
                }
                _ => {}
            }
        }
    }
    Ok(said)
}

/// The trade ids in the tables.
fn rows(disk: &SimulatedDisk) -> Result<BTreeSet<u64>, String> {
    let mut ids = BTreeSet::new();
    for rules in life::rules() {
        let path = format!("{STATE}/{}/fills.csv", rules.symbol.as_str());
        let bytes = disk.read(Path::new(&path)).map_err(|error| format!("{path}: {error}"))?;
        let text = String::from_utf8(bytes).map_err(|_| format!("{path} is no text"))?;
        for line in text.lines().skip(1) {
            let columns: Vec<&str> = line.split(',').collect();
            let id = columns.get(10).and_then(|id| id.parse().ok());
            let Some(id) = id.filter(|_| columns.len() == 21 && !line.contains('\0')) else {
                return Err(format!("{path}: {line:?} is no row"));
            };
            if !ids.insert(id) {
                return Err(format!("{path}: {id} has two rows"));
            }
        }
    }
    Ok(ids)
}

/// Lives on from a state, while the venue has executed two orders more: everything is booked once,
/// and the position is the venue's.
fn lived(image: &Image, venue: &[keel_core::event::Fill]) -> Result<(), String> {
    let disk = SimulatedDisk::holding(image);
    let mut story = Story::new(disk.clone(), venue.to_vec(), Sabotage::None);
    story.runs_from(RUNS_MAX);
    let at = UnixNanos(UTC.0 - 1_000_000_000);
    for (side, lots) in [(Side::Buy, 11), (Side::Sell, 9)] {
        story.execute(keel_core::instrument::InstrumentId(0), side, lots, at);
    }
    story.live(life::looking);
    let wanted: BTreeSet<u64> = story.venue.iter().map(|fill| fill.trade_id).collect();
    let found = rows(&disk)?;
    if found != wanted {
        return Err(format!("in the life after: rows {found:?}, executed {wanted:?}"));
    }
    let opened = StateDir::open_on(Arc::new(disk), Path::new(STATE), &life::identity(), UTC);
    let (_, recovered) = opened.map_err(|error| format!("after the life after: {error}"))?;
    let held: BTreeMap<String, i64> = recovered
        .kept
        .positions
        .iter()
        .map(|(name, held)| (name.clone(), held.position.lots.0))
        .collect();
    let theirs = Story::positions(&story.venue);
    if held != theirs {
        return Err(format!("in the life after: positions {held:?}, at the venue {theirs:?}"));
    }
    Ok(())
}

fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// After all lives of a story.
const UTC: UnixNanos = UnixNanos(LAST_DAY * UnixNanos::DAY + 60_000_000_000);
const LAST_DAY: i64 = 20_785;
/// A story has fewer runs.
const RUNS_MAX: u32 = 9;
const VIOLATIONS_MAX: usize = 50;
/// The recovery from one state in so many crashes too, with so many states after an operation.
const RECOVERIES: u64 = 2_000;
const IN_RECOVERY: usize = 3;
