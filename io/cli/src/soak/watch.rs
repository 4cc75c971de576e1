//! The soak in real time: venue and engine are processes of their own, looked at from outside each
//! second. They go on when the process that watches is lost, and the next one finds them.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use keel_core::decimal::Decimal;
use keel_core::units::{Quote, UnixNanos};
use keel_io::disk::{self, OsFiles};
use keel_io::os::Figures;
use keel_io::soak::outside::{Row, Rows};
use keel_io::soak::record::{self, Record};
use keel_io::soak::{Lived, instants};
use serde_json::{Value, json};

use super::chaos::Chaos;
use crate::config::Config;
use crate::golive::policy::{Own, Policy};
use crate::golive::stage::{Engine, Sabotage, Stage, Trouble, Venue, wait};

/// What is lived through, beside what the record holds.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// Minutes of the venue's clock.
    pub minutes: u64,
    /// How many times faster than real the venue's time runs.
    pub speed: u32,
    /// Faults are drawn from this.
    pub seed: u64,
    /// How far faults are apart, on the venue's clock.
    pub fault_every: Option<Duration>,
    /// Who watches and is watched, and by which rules: what a resumed soak must have again.
    pub bound: Value,
}

/// A soak under way.
pub(super) struct Watch {
    pub(super) dir: PathBuf,
    stage: Stage,
    venue: Venue,
    engine: Engine,
    /// The number of the engine's run: each start has a directory of its own.
    run: u32,
    pub(super) record: Record,
    rows: Rows,
    chaos: Option<Chaos>,
    plan: Plan,
    config: String,
    /// The minute of the newest row.
    minute: i64,
    /// Since the newest row.
    most_orders: u64,
    looks: u64,
    /// How much of the run's log has been read.
    read: usize,
}

/// What the venue says.
struct Truth {
    now_ms: i64,
    most_orders: u64,
    funding: Quote,
    /// Something is held.
    holds: bool,
    wallet: Quote,
    refused: u64,
}

impl Watch {
    /// Starts venue and engine in `dir`, and waits until the engine quotes.
    ///
    /// # Errors
    /// When either does not start.
    pub(super) fn begin(dir: &Path, plan: Plan, config: &Config) -> Result<Self, Trouble> {
        let stage = stage(dir, config)?;
        let accounts = plan.speed > 1;
        // Sped up, the venue's second is shorter than a request's way.
        let venue = stage.venue(plan.speed, accounts.then_some("limits = false\n"))?;
        let text = super::tables_of(config);
        let engine = stage.guarded(&venue, &run_name(1), whole(&text))?;
        let record = Record {
            minutes: plan.minutes,
            first_minute: 0,
            speed: plan.speed,
            instruments: config.instruments.iter().map(ToString::to_string).collect(),
            orders_max: config.params.max_active_executors(),
            lived: Lived { starts: 1, ..Lived::default() },
        };
        let chaos = plan.fault_every.map(|every| Chaos::new(plan.seed, every, 0));
        let rows = Rows::open(dir)?;
        let mut watch = Self {
            dir: dir.to_owned(),
            stage,
            venue,
            engine,
            run: 1,
            record,
            rows,
            chaos,
            plan,
            config: text,
            minute: 0,
            most_orders: 0,
            looks: 0,
            read: 0,
        };
        watch.engine.says("-> RUNNING", START_MAX)?;
        let truth = watch.truth()?;
        watch.minute = truth.now_ms.div_euclid(MINUTE_MS);
        watch.record.first_minute = watch.minute + 1;
        watch.keep()?;
        Ok(watch)
    }

    /// Goes on with the soak in `dir`: finds its venue and its engine, and starts the engine again
    /// where it has ended.
    ///
    /// # Errors
    /// When `dir` holds no soak, one of another program or configuration, or one whose venue is
    /// gone and its account with it.
    pub(super) fn resume(dir: &Path, bound: &Value, config: &Config) -> Result<Self, Trouble> {
        let record = Record::load(dir).map_err(Trouble::Unexpected)?;
        let progress = read_progress(dir)?;
        if &progress["bound"] != bound {
            let what = "the soak is of another program or configuration; it cannot be resumed";
            return Err(Trouble::Unexpected(what.to_owned()));
        }
        let stage = stage(dir, config)?;
        let gone = || {
            let what = "its venue is gone, and the account with it; begin a new soak";
            Trouble::Unexpected(format!("{}: {what}", dir.display()))
        };
        let venue = stage.venue_again(&progress["venue"]).ok_or_else(gone)?;
        let number = |key: &str| progress[key].as_u64().unwrap_or(0);
        let run = u32::try_from(number("run")).unwrap_or(1);
        let text = super::tables_of(config);
        let (found, mut lived) = (stage.engine_again(&progress["engine"], &run_name(run)), 0);
        let (engine, run) = match found {
            Some(engine) => (engine, run),
            None => {
                lived = 1;
                (stage.guarded(&venue, &run_name(run + 1), whole(&text))?, run + 1)
            }
        };
        let every = progress["fault_every_ms"].as_u64().map(Duration::from_millis);
        let plan = Plan {
            minutes: record.minutes,
            speed: record.speed,
            seed: number("seed"),
            fault_every: every,
            bound: bound.clone(),
        };
        let chaos = every.map(|every| Chaos::new(plan.seed, every, record.lived.faults));
        let rows = Rows::open(dir)?;
        let written = keel_io::soak::outside::read(dir).map_err(Trouble::Unexpected)?;
        let minute = written.last().map_or(record.first_minute - 1, |row| row.minute);
        let mut watch = Self {
            dir: dir.to_owned(),
            stage,
            venue,
            engine,
            run,
            record,
            rows,
            chaos,
            plan,
            config: text,
            minute,
            most_orders: 0,
            looks: 0,
            read: 0,
        };
        watch.record.lived.starts += lived;
        watch.keep()?;
        Ok(watch)
    }

    /// Watches until its minutes are over, `stop` is raised, or it is stopped for good; `told` is
    /// called with each row's minute.
    ///
    /// # Errors
    /// When venue, engine or disk cannot be asked.
    pub(super) fn live(
        &mut self,
        stop: &AtomicBool,
        mut told: impl FnMut(&Record, i64),
    ) -> Result<(), Trouble> {
        let last = self.record.first_minute + i64::try_from(self.record.minutes).unwrap_or(0);
        let until = last * MINUTE_MS + TAIL_MS;
        let pause = (LOOK_EVERY / self.plan.speed).max(Duration::from_millis(50));
        // Relaxed: the flag carries nothing but itself.
        while !stop.load(Ordering::Relaxed) && self.record.lived.stops.is_empty() {
            let before = self.minute;
            let now_ms = self.look()?;
            if self.minute != before {
                told(&self.record, self.minute);
            }
            if now_ms >= until {
                return Ok(());
            }
            self.harm(now_ms)?;
            std::thread::sleep(pause);
        }
        if self.record.lived.stops.is_empty() {
            self.record.lived.stops.push("a signal ended the soak before its time".to_owned());
        }
        Ok(())
    }

    /// One look; gives the venue's time.
    fn look(&mut self) -> Result<i64, Trouble> {
        let truth = self.truth()?;
        self.most_orders = self.most_orders.max(truth.most_orders);
        self.looks += 1;
        let lived = &mut self.record.lived;
        lived.fundings += u64::from(lived.funding_paid != truth.funding);
        // Contracts settle together: the sum tells of them as one.
        lived.settlements.look(UnixNanos(truth.now_ms * 1_000_000), vec![truth.holds]);
        (lived.funding_paid, lived.refused_for_rate) = (truth.funding, truth.refused);
        let minute = truth.now_ms.div_euclid(MINUTE_MS);
        if minute > self.minute {
            let figures = Figures::of(self.engine.id());
            let pid = figures.map_or(0, |_| self.engine.id());
            let (open_orders, looks) = (self.most_orders, self.looks);
            let figures = figures.unwrap_or_default();
            self.rows.append(&Row { minute, pid, figures, open_orders, looks })?;
            (self.minute, self.most_orders, self.looks) = (minute, 0, 0);
            self.keep()?;
        }
        self.listen();
        if self.engine.is_over()? {
            self.record.lived.stops.push(format!("{} has ended by itself", run_name(self.run)));
        }
        Ok(truth.now_ms)
    }

    /// Reads on in the log: a stop for good is the end of the soak.
    fn listen(&mut self) {
        let log = self.engine.log();
        let new = log.get(self.read..).unwrap_or_default();
        let whole = new.rfind('\n').map_or(0, |at| at + 1);
        let stops = new[..whole].lines().filter(|line| line.contains("-> HARD_STOP"));
        self.record.lived.stops.extend(stops.map(str::to_owned));
        self.read += whole;
    }

    /// Lets something go wrong, when it is time.
    fn harm(&mut self, now_ms: i64) -> Result<(), Trouble> {
        let Some(chaos) = &mut self.chaos else { return Ok(()) };
        let Some(harm) = chaos.due(now_ms) else { return Ok(()) };
        self.record.lived.faults += 1;
        match harm.fault() {
            None => self.kill(),
            Some(fault) if harm.loses_a_frame() => self.lose_a_frame(&fault),
            Some(fault) => self.venue.fault(&fault).map(|_| ()),
        }
    }

    /// Kills the engine, lets its guardian do its work, and starts it again.
    fn kill(&mut self) -> Result<(), Trouble> {
        let latch = self.engine.state.join("latch.json");
        self.engine.signal("KILL")?;
        self.engine.ended(START_MAX)?;
        wait(START_MAX, "the guardian has latched", || Ok(latch.exists()))?;
        let text = fs::read_to_string(&latch)?;
        let text: Value = serde_json::from_str(&text).unwrap_or_default();
        let incident = text["incident_id"].as_str().unwrap_or_default().to_owned();
        let at = ["--run-dir", &run_name(self.run), "--state-dir", record::STATE_DIR];
        let (code, _) =
            self.stage.keel(&[&["rearm", "--incident", &incident][..], &at].concat())?;
        if code != Some(0) {
            return Err(Trouble::Unexpected(format!("rearm of {incident}: exit code {code:?}")));
        }
        self.run += 1;
        self.engine = self.stage.guarded(&self.venue, &run_name(self.run), whole(&self.config))?;
        self.read = 0;
        self.record.lived.kills += 1;
        self.record.lived.starts += 1;
        self.keep()
    }

    /// Has a books frame lost, and looks whether the engine notices.
    fn lose_a_frame(&mut self, fault: &Value) -> Result<(), Trouble> {
        let dropped = |watch: &Self| {
            let status = watch.stage.status(&run_name(watch.run));
            status.map(|status| status["books_dropped"].as_u64().unwrap_or(0))
        };
        // An engine that has just begun does not answer yet: nothing is lost on it.
        let Ok(before) = dropped(self) else { return Ok(()) };
        let number = self.venue.fault(fault)?["fault"].clone();
        let acted = || {
            let faults = self.venue.admin("GET", "/admin/faults", &Value::Null)?;
            let rows = faults["faults"].as_array().into_iter().flatten();
            let mine = rows.filter(|row| row["fault"] == number);
            Ok(mine.filter_map(|row| row["acted"].as_u64()).sum::<u64>() > 0)
        };
        if wait(NOTICED_MAX, "a frame is lost", acted).is_err() {
            return self.venue.ask("/admin/clear-fault", &json!({ "fault": number })).map(|_| ());
        }
        let noticed = wait(NOTICED_MAX, "it is noticed", || Ok(dropped(self)? > before)).is_ok();
        self.record.lived.lost += 1;
        self.record.lived.unnoticed += u64::from(!noticed);
        Ok(())
    }

    /// Ends it in order, and completes the record with what the account holds in the end.
    ///
    /// # Errors
    /// When venue, engine or disk cannot be asked.
    pub(super) fn finish(&mut self) -> Result<(), Trouble> {
        self.venue.ask("/admin/clear-fault", &json!({}))?;
        let run = run_name(self.run);
        if !self.engine.is_over()? && self.record.lived.stops.is_empty() {
            self.stage.keel(&["pause", "--run-dir", &run])?;
            // A push is on its way for some milliseconds; what differs for longer differs.
            let equal = wait(BALANCE_MAX, "the balances agree", || {
                let status = self.stage.status(&run)?;
                let (truth, lived) = (self.truth()?, &mut self.record.lived);
                (lived.balance, lived.wallet) = (money(&status["quote_balance"]), truth.wallet);
                Ok(truth.most_orders == 0 && lived.balances_agree())
            });
            // The verdict says what it was.
            drop(equal);
        }
        let code = self.engine.stop()?;
        if !self.has_ended_in_order(code)? && self.record.lived.stops.is_empty() {
            self.record.lived.stops.push(format!("{run} ended with {code:?}"));
        }
        let lived = &mut self.record.lived;
        let began = self.record.first_minute * MINUTE_MS * 1_000_000;
        let span = self.record.minutes * MINUTE_MS as u64 * 1_000_000;
        lived.instants = instants(UnixNanos(began), span);
        let booked = self.record.funding_booked(&self.dir).map_err(Trouble::Unexpected)?;
        self.record.lived.funding_booked = Some(booked);
        self.keep()
    }

    /// Nobody learns the exit code of a process that is not a child; its last words say the same.
    fn has_ended_in_order(&self, code: Option<i32>) -> Result<bool, Trouble> {
        let words = fs::read_to_string(self.dir.join(format!("{}.out", run_name(self.run))))?;
        let verified = words.contains("open orders    none, verified at the venue");
        Ok(code.unwrap_or(0) == 0 && verified)
    }

    fn truth(&self) -> Result<Truth, Trouble> {
        let state = self.venue.state()?;
        let uid = self.venue.account()["uid"].as_str();
        let accounts = state["accounts"].as_array().into_iter().flatten();
        let account = accounts.into_iter().find(|account| account["uid"].as_str() == uid);
        let broken = || Trouble::Unexpected(format!("the venue's state lacks something: {state}"));
        let account = account.ok_or_else(broken)?;
        let orders: Vec<&str> = account["orders"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|order| order["symbol"].as_str())
            .collect();
        let of = |symbol: &str| orders.iter().filter(|one| **one == symbol).count() as u64;
        Ok(Truth {
            now_ms: state["now"].as_str().and_then(|now| now.parse().ok()).ok_or_else(broken)?,
            most_orders: orders.iter().map(|symbol| of(symbol)).max().unwrap_or(0),
            funding: money(&account["funding"]).ok_or_else(broken)?,
            holds: account["positions"].as_array().into_iter().flatten().any(|position| {
                position["size"].as_str().is_some_and(|size| size.bytes().any(is_not_zero))
            }),
            wallet: money(&account["balance"]).ok_or_else(broken)?,
            refused: state["refusedForRate"].as_u64().ok_or_else(broken)?,
        })
    }

    /// Keeps what a process that resumes needs.
    fn keep(&self) -> Result<(), Trouble> {
        let progress = json!({
            "bound": self.plan.bound,
            "seed": self.plan.seed,
            "fault_every_ms": self.plan.fault_every.map(|every| every.as_millis() as u64),
            "venue": self.venue.trace(),
            "engine": self.engine.trace(),
            "run": self.run,
        });
        let text = format!("{progress:#}\n");
        let refused = |error: disk::Refused| Trouble::Unexpected(error.to_string());
        disk::replace(&OsFiles, &self.dir.join(PROGRESS), text.as_bytes()).map_err(refused)?;
        self.record.save(&self.dir).map_err(refused)
    }
}

fn stage(dir: &Path, config: &Config) -> Result<Stage, Trouble> {
    let keel = std::env::current_exe()?;
    Ok(Stage::new(&keel, dir, &Sabotage::None, &Policy::of(config))?.lasting())
}

/// The whole configuration as it is, at whatever speed, threads included.
fn whole(tables: &str) -> Own<'_> {
    Own { tables, why: "" }
}

fn read_progress(dir: &Path) -> Result<Value, Trouble> {
    let text = fs::read_to_string(dir.join(PROGRESS))?;
    serde_json::from_str(&text).map_err(|error| Trouble::Unexpected(format!("{PROGRESS}: {error}")))
}

/// The run directory of a start.
fn run_name(run: u32) -> String {
    format!("run{run}")
}

/// True for a digit that makes a size more than nothing.
fn is_not_zero(digit: u8) -> bool {
    (b'1'..=b'9').contains(&digit)
}

/// An amount in USDT.
fn money(value: &Value) -> Option<Quote> {
    Decimal::parse(value.as_str()?.as_bytes()).ok()?.e8().ok().map(Quote)
}

/// What a process that resumes finds venue and engine by. It holds the keys of a venue on this
/// machine, and is no record of what was lived.
const PROGRESS: &str = "progress.json";
const MINUTE_MS: i64 = 60_000;
/// After the last minute, until its row is written, on the venue's clock.
const TAIL_MS: i64 = 20_000;
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long a start or an end may take, in real time.
const START_MAX: Duration = Duration::from_secs(120);
/// How long the next books frame, and a word of its predecessor's loss, may take.
const NOTICED_MAX: Duration = Duration::from_secs(5);
const BALANCE_MAX: Duration = Duration::from_secs(20);
