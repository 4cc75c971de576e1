//! Kills: the program is killed at chosen points, again and again, against a venue in a process of
//! its own, and what it leaves is compared with what the venue says.

mod host;
mod proxy;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use keel_io::world::Chance;

use host::{Host, Order};
use proxy::Proxy;

/// Where a process is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Point {
    /// While it starts: state, connections, threads.
    Starting,
    /// At its login, which the venue never sees.
    Login,
    /// When it asks for the open orders of an earlier run.
    AsksOrders,
    /// When it asks for the executions of an earlier run.
    AsksFills,
    /// When it asks for the positions.
    AsksPositions,
    /// In the middle of the sweep: the venue has seen a cancel of an earlier run's order.
    InSweep,
    /// A create is on its way and has not reached the venue.
    BeforeCreate,
    /// A create has reached the venue.
    AfterCreate,
    /// The venue has acknowledged, and nobody has read it.
    AckUnread,
    /// A cancel has reached the venue.
    AfterCancel,
    /// The venue has executed an order, and nobody has read it.
    FillUnread,
    /// An execution has been told.
    FillTold,
    /// Some time after an execution was told: its journal, ledger, rows or day are being written.
    FillWritten,
    /// At any time.
    AnyTime,
    /// In the middle of an ordered stop.
    Stopping,
}

impl Point {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::Starting,
        Self::Login,
        Self::AsksOrders,
        Self::AsksFills,
        Self::AsksPositions,
        Self::InSweep,
        Self::BeforeCreate,
        Self::AfterCreate,
        Self::AckUnread,
        Self::AfterCancel,
        Self::FillUnread,
        Self::FillTold,
        Self::FillWritten,
        Self::AnyTime,
        Self::Stopping,
    ];

    /// It comes before the run is ready.
    fn is_early(self) -> bool {
        self <= Self::InSweep
    }
}

/// A number of kills on one venue and one state directory.
#[derive(Clone, Debug)]
pub struct Segment {
    /// Decides points and times.
    pub seed: u64,
    /// How many kills.
    pub kills: u32,
    /// How orders are entered.
    pub way: Way,
}

/// How orders are entered.
#[derive(Clone, Copy, Debug)]
pub struct Way {
    /// How long a create of a dead process may still appear, in milliseconds.
    pub zombie_ms: u64,
    /// Over REST, and not over the private socket.
    pub rest: bool,
}

/// How a segment went.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Kills by point; false: the process was killed without having reached it in time.
    pub kills: BTreeMap<(Point, bool), u32>,
    /// Executions at the venue, each with one row.
    pub executions: u64,
    /// Those whose row tells the venue's fee.
    pub fees: u64,
    /// Orders of dead runs that were found and canceled.
    pub orphans: u64,
    /// How often files and venue were compared while a process worked, or after its stop.
    pub comparisons: u32,
    /// How often what a dead process has left was compared.
    pub of_the_dead: u32,
    /// The first thing that was wrong.
    pub violation: Option<String>,
}

impl Outcome {
    /// Kills in all.
    pub fn total(&self) -> u32 {
        self.kills.values().sum()
    }

    /// Points at which no process was killed.
    pub fn never_reached(&self) -> Vec<Point> {
        Point::ALL.into_iter().filter(|&point| !self.kills.contains_key(&(point, true))).collect()
    }

    /// Adds another's counts; the first violation stays.
    pub fn add(&mut self, other: Self) {
        for (point, count) in other.kills {
            *self.kills.entry(point).or_default() += count;
        }
        self.executions += other.executions;
        self.fees += other.fees;
        self.orphans += other.orphans;
        self.comparisons += other.comparisons;
        self.of_the_dead += other.of_the_dead;
        self.violation = self.violation.take().or(other.violation);
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for ((point, reached), count) in &self.kills {
            let point = format!("{point:?}{}", if *reached { "" } else { ", not reached" });
            writeln!(f, "  {point:<34} {count:>6}")?;
        }
        write!(
            f,
            "kills {}, executions {} ({} with their fees), orphans canceled {}, comparisons {}, \
             of the dead {}, violations {}",
            self.total(),
            self.executions,
            self.fees,
            self.orphans,
            self.comparisons,
            self.of_the_dead,
            u32::from(self.violation.is_some())
        )?;
        self.violation.as_ref().map_or(Ok(()), |what| write!(f, "\n  {what}"))
    }
}

/// Runs a segment with the program at `program`, in `dir`, which must be empty.
pub fn segment(program: &Path, dir: &Path, segment: &Segment) -> Outcome {
    let mut killer = match Killer::begin(program, dir, segment) {
        Ok(killer) => killer,
        Err(what) => return Outcome { violation: Some(what), ..Outcome::default() },
    };
    for number in 0..segment.kills {
        // Every point comes up before one comes up again.
        let point = Point::ALL[(number as usize + segment.seed as usize * 7) % Point::ALL.len()];
        if let Err(what) = killer.kill(point) {
            killer.outcome.violation =
                Some(format!("seed {}, kill {number}, {point:?}: {what}", segment.seed));
            return killer.outcome;
        }
    }
    if let Err(what) = killer.end() {
        killer.outcome.violation = Some(format!("seed {}, at the end: {what}", segment.seed));
    }
    killer.outcome
}

struct Killer {
    host: Host,
    proxy: Proxy,
    chance: Chance,
    outcome: Outcome,
    /// Nobody has looked since the last kill.
    unjudged: bool,
}

impl Killer {
    fn begin(program: &Path, dir: &Path, segment: &Segment) -> Result<Self, String> {
        let mut host = Host::begin(program, dir, segment.seed.is_multiple_of(2))?;
        let proxy = Proxy::start(host.authority()).map_err(|error| error.to_string())?;
        host.configure(&proxy.address.to_string(), &segment.way)?;
        let chance = Chance::new(segment.seed, 3);
        Ok(Self { host, proxy, chance, outcome: Outcome::default(), unjudged: false })
    }

    /// Starts processes until one is killed at `point`, or as often as it is tried.
    fn kill(&mut self, point: Point) -> Result<(), String> {
        for _ in 0..TRIES {
            // A sweep needs something to sweep, and so does who asks for what it left.
            if point == Point::InSweep && self.host.open_orders()? == 0 {
                self.witness(true)?;
            }
            if self.try_kill(point)? {
                break;
            }
        }
        // Truth is told after a start that was killed as well as after work: yet not always, for
        // one start that was killed must be able to follow another.
        if point.is_early() && self.chance.one_in(2) {
            self.witness(false)?;
        }
        Ok(())
    }

    /// A process that works until what the dead have left has been compared, and then dies too.
    fn witness(&mut self, quotes: bool) -> Result<(), String> {
        self.proxy.arm(None);
        let child = self.host.start()?;
        self.proxy.aim(child);
        self.host.wait_until_ready()?;
        self.judge()?;
        if quotes {
            self.host.wait_until_quoting()?;
        }
        self.dies()
    }

    /// The process dies now, if it has not died; what it leaves is no lie.
    fn dies(&mut self) -> Result<(), String> {
        self.host.end_now();
        self.unjudged = true;
        self.outcome.of_the_dead += 1;
        self.host.compare_dead()
    }

    /// Starts a process and kills it at `point`; false when it was not reached in time.
    fn try_kill(&mut self, point: Point) -> Result<bool, String> {
        self.proxy.arm(None);
        if point.is_early() && point != Point::Starting {
            self.proxy.arm(Some(point));
        }
        let child = self.host.start()?;
        self.proxy.aim(child);
        let reached = match point {
            Point::Starting => {
                std::thread::sleep(Duration::from_millis(self.chance.below(700)));
                true
            }
            _ if point.is_early() => self.wait_for_hit(EARLY)?,
            _ => {
                self.host.wait_until_ready()?;
                self.judge()?;
                self.kill_late(point)?
            }
        };
        self.dies()?;
        *self.outcome.kills.entry((point, reached)).or_default() += 1;
        // Somebody trades into what a dead process left.
        if self.chance.one_in(2) {
            self.disturb()?;
        }
        Ok(reached)
    }

    fn kill_late(&mut self, point: Point) -> Result<bool, String> {
        match point {
            Point::AnyTime => {
                self.disturb()?;
                std::thread::sleep(Duration::from_millis(self.chance.below(1_500)));
                Ok(true)
            }
            Point::Stopping => {
                self.host.interrupt()?;
                std::thread::sleep(Duration::from_millis(self.chance.below(250)));
                Ok(true)
            }
            _ => {
                self.host.wait_until_quoting()?;
                self.proxy.arm(Some(point));
                self.disturb()?;
                let reached = self.wait_for_hit(LATE)?;
                if point == Point::FillWritten && reached {
                    std::thread::sleep(Duration::from_millis(self.chance.below(160)));
                }
                Ok(reached)
            }
        }
    }

    /// Waits for the proxy to have killed, or seen what it waits for.
    fn wait_for_hit(&mut self, limit: Duration) -> Result<bool, String> {
        let began = Instant::now();
        while began.elapsed() < limit {
            if self.proxy.is_hit() {
                return Ok(true);
            }
            if let Some(said) = self.host.has_ended() {
                return Err(format!("the run ended by itself: {said}"));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(false)
    }

    /// Somebody else trades at market, through what rests.
    fn disturb(&mut self) -> Result<(), String> {
        for (symbol, size) in [("BTCUSDT", "4"), ("ETHUSDT", "150")] {
            let side = if self.chance.one_in(2) { "buy" } else { "sell" };
            self.host.trade(&Order { symbol, side, size })?;
        }
        Ok(())
    }

    /// Compares files and venue while the process works.
    fn judge(&mut self) -> Result<(), String> {
        if !std::mem::take(&mut self.unjudged) {
            return Ok(());
        }
        self.outcome.comparisons += 1;
        self.outcome.orphans += self.host.canceled_orphans()?;
        self.outcome.executions = self.host.compare()?;
        self.host.no_order_of_a_dead_run()
    }

    /// The last process stops in order, and then everything is equal.
    fn end(&mut self) -> Result<(), String> {
        self.proxy.arm(None);
        let child = self.host.start()?;
        self.proxy.aim(child);
        self.host.wait_until_ready()?;
        self.judge()?;
        self.host.stop()?;
        self.outcome.comparisons += 1;
        self.outcome.executions = self.host.compare_at_rest()?;
        self.outcome.fees = self.host.fees_told()?;
        Ok(())
    }
}

/// How long a point of the start is waited for.
const EARLY: Duration = Duration::from_secs(6);
/// How long a point of the work is waited for.
const LATE: Duration = Duration::from_secs(5);
/// How many processes may miss a point before the next point is tried.
const TRIES: u32 = 3;

/// Where the program stands beside a binary of this crate.
pub fn beside(binary: &Path) -> PathBuf {
    binary.with_file_name("keel-under-test")
}
