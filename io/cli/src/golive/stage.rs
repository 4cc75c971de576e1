//! Where the drills on the wire play: the venue and the engine as processes of their own.

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::net::TcpStream;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use keel_core::planted::Planted;
use keel_core::units::{MILLIS, UnixNanos};
use keel_io::os;
use serde_json::{Value, json};

use super::policy::{Own, Policy};
use super::tap::{Message, Tap};
use crate::exit::Exit;

/// Why a drill could not be carried out. The item fails with it.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// Files or processes.
    #[error("{0}")]
    System(#[from] io::Error),
    /// Something did not happen within its time.
    #[error("not within {} s: {what}", limit.as_secs())]
    TooLate {
        /// What was waited for.
        what: String,
        /// How long.
        limit: Duration,
    },
    /// A process or the administration said something unexpected.
    #[error("{0}")]
    Unexpected(String),
    /// What is to be judged is not there, and which command makes it. The item is not run.
    #[error("{0}")]
    NotMade(&'static str),
}

/// What a report that is picked up must be of.
#[derive(Clone, Debug)]
pub struct Bound {
    /// The hash of the policy.
    pub policy: String,
    /// The newest report of a soak.
    pub soak: PathBuf,
    /// The newest report of paper beside the venue.
    pub parity: PathBuf,
    /// UTC of the judgment.
    pub now: UnixNanos,
}

/// A directory for the processes of one drill, and the program that they run.
#[derive(Debug)]
pub struct Stage {
    /// The program: this one.
    keel: PathBuf,
    sabotage: Sabotage,
    /// What its engines go by.
    pub policy: Policy,
    /// Whether its processes go on when the one that started them is lost.
    lasting: bool,
    /// What reports are judged by; `None` where none is picked up.
    pub bound: Option<Bound>,
    /// Where its processes write.
    pub dir: PathBuf,
}

/// What is done to show that the gate notices.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Sabotage {
    /// Nothing.
    #[default]
    None,
    /// The engines commit this defect.
    Planted(String),
    /// Nothing is done to the system that a drill would do to it.
    Withheld,
}

impl Sabotage {
    /// Its words in the bundle; none where nothing is done.
    pub fn text(&self) -> Option<String> {
        match self {
            Self::None => None,
            Self::Planted(defect) => Some(format!("planted {defect}")),
            Self::Withheld => Some("withheld".to_owned()),
        }
    }
}

impl Stage {
    /// A stage in a new directory, of engines that go by `policy`.
    ///
    /// # Errors
    /// When the directory cannot be made.
    pub fn new(keel: &Path, dir: &Path, sabotage: &Sabotage, policy: &Policy) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        let (keel, dir, sabotage) = (keel.to_owned(), dir.to_owned(), sabotage.clone());
        let policy = policy.clone();
        Ok(Self { keel, sabotage, policy, lasting: false, bound: None, dir })
    }

    /// The same, of processes that go on when the one that started them is lost, and that a signal
    /// of its terminal does not reach. [`Stage::venue_again`] and [`Stage::engine_again`] find
    /// them.
    #[must_use]
    pub fn lasting(self) -> Self {
        Self { lasting: true, ..self }
    }

    /// The defect that engines commit; none in a build without defects.
    pub fn planted(&self) -> Planted {
        match &self.sabotage {
            Sabotage::Planted(defect) => Planted::named(defect).unwrap_or(Planted::NONE),
            Sabotage::None | Sabotage::Withheld => Planted::NONE,
        }
    }

    /// The program.
    pub fn keel_path(&self) -> &Path {
        &self.keel
    }

    /// Whether nothing is done of what a drill would do.
    pub fn withheld(&self) -> bool {
        self.sabotage == Sabotage::Withheld
    }

    /// A stage of its own within this one.
    ///
    /// # Errors
    /// When the directory cannot be made.
    pub fn part(&self, name: &str) -> io::Result<Self> {
        Self::new(&self.keel, &self.dir.join(name), &self.sabotage, &self.policy)
    }

    /// `keel` with nothing of this host's configuration.
    fn command(&self) -> Command {
        self.clean(Command::new(&self.keel))
    }

    fn clean(&self, mut command: Command) -> Command {
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("KEEL_") {
                command.env_remove(name);
            }
        }
        let home = self.dir.join("home");
        command.current_dir(&self.dir).env("XDG_STATE_HOME", home).stdin(Stdio::null());
        if self.lasting {
            command.process_group(0);
        }
        command
    }

    /// Starts the venue, `speed` times as fast as real. `file` is its `exchange.toml`.
    ///
    /// # Errors
    /// When it does not start.
    pub fn venue(&self, speed: u32, file: Option<&str>) -> Result<Venue, Trouble> {
        self.exchange(speed, file, &[])
    }

    /// The same in plaintext, with a tap through which engines reach it.
    ///
    /// # Errors
    /// When either does not start.
    pub fn tapped(&self, speed: u32, file: Option<&str>) -> Result<(Venue, Tap), Trouble> {
        let mut venue = self.exchange(speed, file, &["--plaintext"])?;
        let authority = venue.authority().to_owned();
        let tap = Tap::start(&authority, self.withheld())?;
        let reached = tap.address.to_string();
        for name in ["rest", "ws_public", "ws_private"] {
            let url = venue.announced[name].as_str().unwrap_or_default();
            venue.announced[name] = url.replace(&authority, &reached).into();
        }
        Ok((venue, tap))
    }

    fn exchange(&self, speed: u32, file: Option<&str>, how: &[&str]) -> Result<Venue, Trouble> {
        let mut command = self.command();
        command.args(["exchange", "--run-dir", "venue", "--speed", &speed.to_string()]);
        command.args(how);
        // The venue's own account has leverage 5.
        let leverage = self.leverage();
        let accounts = (leverage < LEVERAGE).then(|| accounts(DEPOSIT, leverage));
        let own = file.is_some_and(|text| text.contains("[[accounts]]"));
        let text = file.unwrap_or_default().to_owned();
        let text = text + &accounts.filter(|_| !own).unwrap_or_default();
        if !text.is_empty() {
            fs::write(self.dir.join("exchange.toml"), text)?;
            command.args(["--config", "exchange.toml"]);
        }
        let errors = fs::File::create(self.dir.join("venue.err"))?;
        let mut child = command.stdout(Stdio::piped()).stderr(errors).spawn()?;
        let mut line = String::new();
        let out = child.stdout.take().expect("piped");
        BufReader::new(out).read_line(&mut line)?;
        let process = Process::Own(child);
        let announced = serde_json::from_str(&line).map_err(|_| {
            let said = fs::read_to_string(self.dir.join("venue.err")).unwrap_or_default();
            Trouble::Unexpected(format!("the venue did not start: {}", said.trim()))
        })?;
        let (dir, withheld) = (self.dir.clone(), self.withheld());
        Ok(Venue { process, announced, dir, withheld, speed })
    }

    /// What leverage a drilled account has: as much as the configuration lets it have.
    pub fn leverage(&self) -> u64 {
        self.policy.params().max_leverage().min(LEVERAGE)
    }

    /// Runs `keel args` to its end and gives exit code, `None` for a signal, and standard output.
    ///
    /// # Errors
    /// When it does not start.
    pub fn keel(&self, args: &[&str]) -> Result<(Option<i32>, String), Trouble> {
        let output = self.command().args(args).output()?;
        Ok((output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned()))
    }

    /// What a run tells of itself, as `keel status --json` has it. One that quotes may have no
    /// figures yet, and refuses until it has them.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn status(&self, run: &str) -> Result<Value, Trouble> {
        let mut told = None;
        wait(FIGURES_MAX, "figures of the run", || {
            let (code, out) = self.keel(&["status", "--json", "--run-dir", run])?;
            told = serde_json::from_str(&out).ok();
            match code {
                Some(REFUSED) => Ok(false),
                _ if told.is_some() => Ok(true),
                _ => Err(Trouble::Unexpected(format!("keel status: exit code {code:?}: {out}"))),
            }
        })?;
        Ok(told.unwrap_or_default())
    }

    /// Starts the engine on `venue`, without a guardian, as the configuration has it but for `own`;
    /// `run` names its run directory.
    ///
    /// # Errors
    /// When it does not start.
    pub fn engine(&self, venue: &Venue, run: &str, own: Own<'_>) -> Result<Engine, Trouble> {
        self.engine_of(venue, venue.account(), run, own)
    }

    /// As [`Stage::engine`], with the key and uid of `account`, as announced or made.
    ///
    /// # Errors
    /// When it does not start.
    pub fn engine_of(
        &self,
        venue: &Venue,
        account: &Value,
        run: &str,
        own: Own<'_>,
    ) -> Result<Engine, Trouble> {
        self.start(self.command(), venue, account, run, &[UNGUARDED, own])
    }

    /// As [`Stage::engine`], with a guardian and the kill as configured.
    ///
    /// # Errors
    /// When it does not start.
    pub fn guarded(&self, venue: &Venue, run: &str, own: Own<'_>) -> Result<Engine, Trouble> {
        self.start(self.command(), venue, venue.account(), run, &[own])
    }

    /// As [`Stage::engine`], so that [`Engine::fill_disk`] can be asked for.
    ///
    /// # Errors
    /// When it does not start.
    pub fn engine_on_small_disk(&self, venue: &Venue, run: &str) -> Result<Engine, Trouble> {
        // The signal that comes with a file too large stays ignored over `exec`.
        let mut command = self.clean(Command::new("sh"));
        command.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""]).arg(&self.keel);
        self.start(command, venue, venue.account(), run, &[UNGUARDED])
    }

    fn start(
        &self,
        command: Command,
        venue: &Venue,
        account: &Value,
        run: &str,
        own: &[Own<'_>],
    ) -> Result<Engine, Trouble> {
        let fast = self.clock_of(venue.speed);
        let why = "the venue's time runs faster than this host's, and so do the host's delays";
        let all = [&[Own { tables: &fast, why }][..], own].concat();
        let text = self.policy.configuration(&all, &venue.table(account, run)?);
        self.launch(command, &text, run)
    }

    /// Limits of the clock where the venue's time runs so many times as fast: what this host is
    /// late by is off by as much more.
    fn clock_of(&self, speed: u32) -> String {
        if speed == 1 {
            return String::new();
        }
        let params = self.policy.params();
        let ms = |ns: u64| (ns / MILLIS * u64::from(speed)).min(CLOCK_MS_MAX);
        let (soft, hard) = (ms(params.clock_offset_soft_ms()), ms(params.clock_offset_hard_ms()));
        format!("[risk]\nclock_offset_soft_ms = {soft}\nclock_offset_hard_ms = {hard}\n")
    }

    /// Starts an engine with a whole configuration of its own.
    ///
    /// # Errors
    /// When it does not start.
    pub fn engine_with(&self, text: &str, run: &str) -> Result<Engine, Trouble> {
        self.launch(self.command(), text, run)
    }

    /// The configuration of an engine that trades on `venue`, but for `own`.
    ///
    /// # Errors
    /// When its key file cannot be written.
    pub fn text(&self, venue: &Venue, run: &str, own: &[Own<'_>]) -> Result<String, Trouble> {
        Ok(self.policy.configuration(own, &venue.table(venue.account(), run)?))
    }

    fn launch(&self, mut command: Command, text: &str, run: &str) -> Result<Engine, Trouble> {
        let config = format!("{run}.toml");
        fs::write(self.dir.join(&config), text)?;
        let out = fs::File::create(self.dir.join(format!("{run}.out")))?;
        let errors = fs::File::create(self.dir.join(format!("{run}.err")))?;
        command.args(["run", "--config", &config, "--run-dir", run, "--state-dir", "state"]);
        if let Sabotage::Planted(defect) = &self.sabotage {
            command.args(["--planted", defect]);
        }
        let child = command.stdout(out).stderr(errors).spawn()?;
        Ok(self.engine_in(Process::Own(child), run))
    }

    fn engine_in(&self, process: Process, run: &str) -> Engine {
        let (run, state) = (self.dir.join(run), self.dir.join("state"));
        Engine { process, withheld: self.withheld(), run, state }
    }

    /// The venue of an earlier process, by what [`Venue::trace`] gave; `None` when it is gone.
    pub fn venue_again(&self, trace: &Value) -> Option<Venue> {
        let process = Process::found(&trace["process"])?;
        let speed = u32::try_from(trace["speed"].as_u64()?).ok()?;
        let (announced, dir) = (trace["announced"].clone(), self.dir.clone());
        Some(Venue { process, announced, dir, withheld: self.withheld(), speed })
    }

    /// The engine of an earlier process in run directory `run`, by what [`Engine::trace`] gave;
    /// `None` when it is gone.
    pub fn engine_again(&self, trace: &Value, run: &str) -> Option<Engine> {
        Process::found(trace).map(|process| self.engine_in(process, run))
    }
}

/// A run has its first figures in this time.
const FIGURES_MAX: Duration = Duration::from_secs(30);
/// The exit code of `keel status` that is refused.
const REFUSED: i32 = Exit::Usage as i32;

/// For engines that nobody guards.
const UNGUARDED: Own<'_> = Own {
    tables: "[kill]\nguardian = \"off\"\nhang_ms = 5000\n",
    why: "a guardian would clean up what a drill leaves behind on purpose, and latch",
};
/// The largest limit of the clock's offset.
const CLOCK_MS_MAX: u64 = 30_000;
/// What the venue's own account has: leverage, and USDT.
const LEVERAGE: u64 = 5;
const DEPOSIT: f64 = 10_000.0;

/// The venue's accounts in its `exchange.toml`: the engine's with this deposit and leverage, and
/// one to trade against it.
pub fn accounts(deposit: f64, leverage: u64) -> String {
    format!(
        "[[accounts]]\nname = \"keel\"\nuid = 8000000001\ndeposit_usdt = {deposit:.0}\n\
         maker_ppm = -50\ntaker_ppm = 600\nleverage = {leverage}\n\
         permissions = [\"uta_trade\"]\nips = [\"127.0.0.1\"]\n\n\
         [[accounts]]\nname = \"manual\"\nuid = 8000000002\ndeposit_usdt = 100000000\n"
    )
}

/// A process that ends with its drill.
#[derive(Debug)]
enum Process {
    /// A child of this one.
    Own(Child),
    /// One that an earlier process has started: its number, and a hold on it.
    Found(u32, os::Process),
}

impl Process {
    /// The process that left `trace`; `None` when it is gone.
    fn found(trace: &Value) -> Option<Self> {
        let id = u32::try_from(trace["pid"].as_u64()?).ok()?;
        let held = os::Process::hold(id).ok()?;
        // Held first: a number that is used again afterwards is not this one's.
        let same = os::started(id).is_some_and(|ticks| trace["started"] == ticks);
        (same && !held.has_ended()).then_some(Self::Found(id, held))
    }

    fn trace(&self) -> Value {
        json!({ "pid": self.id(), "started": os::started(self.id()) })
    }

    fn id(&self) -> u32 {
        match self {
            Self::Own(child) => child.id(),
            Self::Found(id, _) => *id,
        }
    }

    /// Its exit code once it has ended: `None` within for a signal, and for one that is not a
    /// child.
    fn ended(&mut self) -> io::Result<Option<Option<i32>>> {
        Ok(match self {
            Self::Own(child) => child.try_wait()?.map(|status| status.code()),
            Self::Found(_, held) => held.has_ended().then_some(None),
        })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        match self {
            Self::Own(child) => {
                let _ = child.kill();
                let _ = child.wait();
            }
            Self::Found(_, held) => {
                let _ = held.end();
            }
        }
    }
}

/// The venue at work.
#[derive(Debug)]
pub struct Venue {
    process: Process,
    announced: Value,
    dir: PathBuf,
    withheld: bool,
    /// How many times faster than real its time runs.
    pub speed: u32,
}

impl Venue {
    /// What [`Stage::venue_again`] finds it by.
    pub fn trace(&self) -> Value {
        let process = self.process.trace();
        json!({ "process": process, "announced": self.announced, "speed": self.speed })
    }

    /// Whether it has ended by itself.
    ///
    /// # Errors
    /// When that cannot be told.
    pub fn is_over(&mut self) -> Result<bool, Trouble> {
        Ok(self.process.ended()?.is_some())
    }

    /// The engine's account: name, uid and key.
    pub fn account(&self) -> &Value {
        &self.announced["accounts"][0]
    }

    /// One of its addresses, as engines reach it: `rest`, `ws_public`, `ws_private`.
    pub fn url(&self, name: &str) -> &str {
        self.announced[name].as_str().unwrap_or_default()
    }

    /// Host and port that it serves REST at.
    pub fn authority(&self) -> &str {
        self.announced["rest"].as_str().and_then(|url| url.split("://").nth(1)).unwrap_or_default()
    }

    /// The name of the engine's account.
    pub fn name(&self) -> String {
        self.account()["name"].as_str().unwrap_or_default().to_owned()
    }

    /// Asks the administration.
    ///
    /// # Errors
    /// When it does not answer, or refuses.
    pub fn admin(&self, method: &str, path: &str, body: &Value) -> Result<Value, Trouble> {
        let url = self.announced["admin"].as_str().unwrap_or_default();
        said(url.split("://").nth(1).unwrap_or_default(), method, path, body)
    }

    /// Asks a venue in plaintext a question that needs no key.
    ///
    /// # Errors
    /// See [`Venue::admin`].
    pub fn get(&self, path: &str) -> Result<Value, Trouble> {
        said(self.authority(), "GET", path, &Value::Null)
    }

    /// Asks for something to be done.
    ///
    /// # Errors
    /// See [`Venue::admin`].
    pub fn ask(&self, path: &str, body: &Value) -> Result<Value, Trouble> {
        if self.withheld && WITHHELD.contains(&path) {
            return Ok(Value::Null);
        }
        self.admin("POST", path, body)
    }

    /// Puts a fault in force.
    ///
    /// # Errors
    /// See [`Venue::admin`].
    pub fn fault(&self, fault: &Value) -> Result<Value, Trouble> {
        if self.withheld {
            return Ok(Value::Null);
        }
        self.ask("/admin/fault", fault)
    }

    /// Everything as it truly is.
    ///
    /// # Errors
    /// See [`Venue::admin`].
    pub fn state(&self) -> Result<Value, Trouble> {
        self.admin("GET", "/admin/state", &Value::Null)
    }

    /// The engine's account as it truly is.
    ///
    /// # Errors
    /// See [`Venue::admin`].
    pub fn truth(&self) -> Result<Value, Trouble> {
        let state = self.state()?;
        let uid = &self.account()["uid"];
        let accounts = state["accounts"].as_array().cloned().unwrap_or_default();
        accounts
            .into_iter()
            .find(|account| account["uid"].as_str() == uid.as_str())
            .ok_or_else(|| Trouble::Unexpected(format!("no account {uid}")))
    }

    /// How many of the engine's orders rest.
    ///
    /// # Errors
    /// See [`Venue::admin`].
    pub fn open_orders(&self) -> Result<u64, Trouble> {
        Ok(self.truth()?["openOrders"].as_u64().unwrap_or(u64::MAX))
    }

    /// How many executions the engine's account has had.
    ///
    /// # Errors
    /// See [`Venue::admin`].
    pub fn fills(&self) -> Result<u64, Trouble> {
        let fills = self.truth()?["fills"].as_u64();
        fills.ok_or_else(|| Trouble::Unexpected("the venue tells no fills".to_owned()))
    }

    /// `[venue]` of an engine that trades here with the key of `account`.
    fn table(&self, account: &Value, run: &str) -> Result<String, Trouble> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let key_file = format!("{run}.key");
        let key = format!(
            "key = {}\nsecret = {}\npassphrase = {}\n",
            text(&account["key"]),
            text(&account["secret"]),
            text(&account["passphrase"])
        );
        let mut options = fs::OpenOptions::new();
        let options = options.write(true).create(true).truncate(true).mode(0o600);
        options.open(self.dir.join(&key_file))?.write_all(key.as_bytes())?;
        let ca = self.announced["ca"].as_str().map(|path| self.dir.join(path));
        let ca = ca.map(|path| format!("ca = {:?}\n", path.display().to_string()));
        let url = |name: &str| text(&self.announced[name]);
        Ok(format!(
            "[venue]\nrest = \"{}\"\nws_public = \"{}\"\nws_private = \"{}\"\n{}\
             key_file = \"{key_file}\"\nuid = {}\nclock_speed = {}\n",
            url("rest"),
            url("ws_public"),
            url("ws_private"),
            ca.unwrap_or_default(),
            text(&account["uid"]),
            self.speed,
        ))
    }
}

/// Asks over plain HTTP and gives the JSON of the answer.
fn said(authority: &str, method: &str, path: &str, body: &Value) -> Result<Value, Trouble> {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: {authority}\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(authority)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    stream.write_all(head.as_bytes())?;
    let answer = Message::read(&mut BufReader::new(stream))?;
    let refused = |what: String| Trouble::Unexpected(format!("{method} {path}: {what}"));
    match answer {
        Some(answer) if answer.status() == 200 => Ok(answer.json()),
        Some(answer) => Err(refused(format!("{} {}", answer.status(), answer.json()))),
        None => Err(refused("no answer".to_owned())),
    }
}

/// What of the administration does something to the system besides faults.
const WITHHELD: [&str; 5] =
    ["/admin/price", "/admin/rules", "/admin/status", "/admin/settle-funding", "/admin/fees"];

/// A market order of `account`, for the administration.
pub fn market_order(account: &str, symbol: &str, side: &str, size: &str) -> Value {
    json!({
        "account": account, "category": "USDT-FUTURES", "symbol": symbol, "side": side,
        "orderType": "market", "qty": size,
    })
}

/// The engine at work.
#[derive(Debug)]
pub struct Engine {
    process: Process,
    withheld: bool,
    /// Its run directory.
    pub run: PathBuf,
    /// Its state directory.
    pub state: PathBuf,
}

impl Engine {
    /// Its log so far.
    pub fn log(&self) -> String {
        // Before its first line there is no file.
        fs::read_to_string(self.run.join("keel.log")).unwrap_or_default()
    }

    /// The first line of the log with `words`; empty when there is none.
    pub fn first(&self, words: &str) -> String {
        let log = self.log();
        log.lines().find(|line| line.contains(words)).unwrap_or_default().to_owned()
    }

    /// The last line of the log with `words`; empty when there is none.
    pub fn last(&self, words: &str) -> String {
        let log = self.log();
        log.lines().rev().find(|line| line.contains(words)).unwrap_or_default().to_owned()
    }

    /// Whether it has ended by itself.
    ///
    /// # Errors
    /// When that cannot be told.
    pub fn is_over(&mut self) -> Result<bool, Trouble> {
        Ok(self.process.ended()?.is_some())
    }

    /// What [`Stage::engine_again`] finds it by.
    pub fn trace(&self) -> Value {
        self.process.trace()
    }

    /// The number of its process.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Whether it has ended and nobody has asked how.
    fn is_gone(&self) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.process.id()));
        stat.is_ok_and(|stat| stat.rsplit(')').next().is_some_and(|rest| rest.starts_with(" Z")))
    }

    /// The names of its threads.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn threads(&self) -> Result<Vec<String>, Trouble> {
        let mut names = Vec::new();
        for thread in fs::read_dir(format!("/proc/{}/task", self.process.id()))? {
            // One may end meanwhile.
            let name = fs::read_to_string(thread?.path().join("comm")).unwrap_or_default();
            names.push(name.trim().to_owned());
        }
        Ok(names)
    }

    /// How many connections it has to a port of this machine, by what the system knows of its
    /// descriptors.
    pub fn connections(&self, port: u16) -> usize {
        let dir = format!("/proc/{}", self.process.id());
        let table = fs::read_to_string(format!("{dir}/net/tcp")).unwrap_or_default();
        let remote = format!("0100007F:{port:04X}");
        let to_port = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let inodes: Vec<String> = to_port
            .filter(|row| row.get(2) == Some(&remote.as_str()) && row.get(3) == Some(&"01"))
            .filter_map(|row| row.get(9).map(|inode| format!("socket:[{inode}]")))
            .collect();
        let held = fs::read_dir(format!("{dir}/fd")).into_iter().flatten().flatten();
        let held = held.filter_map(|entry| fs::read_link(entry.path()).ok());
        held.filter(|link| inodes.iter().any(|inode| link.as_os_str() == inode.as_str())).count()
    }

    /// The processes that it has started whose command line has `word`.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn children(&self, word: &str) -> Result<Vec<u32>, Trouble> {
        let id = self.process.id();
        let mut found = Vec::new();
        for thread in fs::read_dir(format!("/proc/{id}/task"))? {
            let list = fs::read_to_string(thread?.path().join("children")).unwrap_or_default();
            let children = list.split_whitespace().filter_map(|child| child.parse().ok());
            found.extend(children.filter(|child: &u32| {
                let line = fs::read(format!("/proc/{child}/cmdline")).unwrap_or_default();
                String::from_utf8_lossy(&line).contains(word)
            }));
        }
        Ok(found)
    }

    /// Sends a signal by its name, such as `TERM`.
    ///
    /// # Errors
    /// When there is nobody to receive it.
    pub fn signal(&self, name: &str) -> Result<(), Trouble> {
        if self.withheld && name != "TERM" {
            return Ok(());
        }
        let id = self.process.id().to_string();
        let sent = Command::new("kill").args([&format!("-{name}"), &id]).status()?;
        if sent.success() {
            Ok(())
        } else {
            Err(Trouble::Unexpected(format!("kill -{name} {id}: {sent}")))
        }
    }

    /// Has every write of it refused from now on; see [`Stage::engine_on_small_disk`].
    ///
    /// # Errors
    /// When its limit cannot be set.
    pub fn fill_disk(&self) -> Result<(), Trouble> {
        if self.withheld {
            return Ok(());
        }
        let id = self.process.id().to_string();
        let set = Command::new("prlimit").args(["--pid", &id, "--fsize=1:unlimited"]).status()?;
        if set.success() {
            Ok(())
        } else {
            Err(Trouble::Unexpected(format!("prlimit --pid {id} --fsize: {set}")))
        }
    }

    /// Ends it in order and gives its exit code.
    ///
    /// # Errors
    /// When it does not end within a minute.
    pub fn stop(&mut self) -> Result<Option<i32>, Trouble> {
        if self.process.ended()?.is_none() {
            self.signal("TERM")?;
        }
        self.ended(Duration::from_secs(60))
    }

    /// Waits for its end and gives its exit code; `None` when a signal ended it.
    ///
    /// # Errors
    /// When it does not end within `limit`.
    pub fn ended(&mut self, limit: Duration) -> Result<Option<i32>, Trouble> {
        let mut code = None;
        let process = &mut self.process;
        wait(limit, "the engine ends", || {
            let ended = process.ended()?;
            code = ended.flatten();
            Ok(ended.is_some())
        })?;
        Ok(code)
    }

    /// Ends it as a power cut would.
    ///
    /// # Errors
    /// When it cannot be signaled.
    pub fn kill(mut self) -> Result<(), Trouble> {
        self.signal("KILL")?;
        self.ended(Duration::from_secs(10)).map(|_| ())
    }

    /// Waits until its log has `words`.
    ///
    /// # Errors
    /// When it does not come within `limit`.
    pub fn says(&self, words: &str, limit: Duration) -> Result<(), Trouble> {
        let said = wait(limit, &format!("the log says {words:?}"), || {
            // What it has said before its end is in the log by then.
            let gone = self.is_gone();
            match self.log().contains(words) {
                false if gone => Err(Trouble::Unexpected(format!("ended without {words:?}"))),
                said => Ok(said),
            }
        });
        said.map_err(|late| {
            let complaint = fs::read_to_string(self.run.with_extension("err")).unwrap_or_default();
            match complaint.trim() {
                "" => late,
                complaint => Trouble::Unexpected(format!("{late}; it says: {complaint}")),
            }
        })
    }

    /// One of its CSV tables, of all instruments, as rows by column.
    pub fn table(&self, file: &str) -> Vec<CsvRow> {
        let mut found = Vec::new();
        for pair in TABLES {
            // Before its first row there is no file.
            let text = fs::read_to_string(self.state.join(pair).join(file)).unwrap_or_default();
            let mut lines = text.lines();
            let header: Vec<&str> = lines.next().unwrap_or_default().split(',').collect();
            for line in lines {
                let fields = header.iter().zip(line.split(','));
                found.push(CsvRow(
                    fields.map(|(name, value)| ((*name).to_owned(), value.to_owned())).collect(),
                ));
            }
        }
        found
    }
}

/// Where CSV tables stand: that of the only instrument, or one for each.
pub const TABLES: [&str; 3] = ["", "BTCUSDT", "ETHUSDT"];

/// A row of a CSV table.
#[derive(Debug)]
pub struct CsvRow(Vec<(String, String)>);

impl CsvRow {
    /// The text in a column; empty when there is no such column.
    pub fn text(&self, column: &str) -> &str {
        self.0.iter().find(|(name, _)| name == column).map_or("", |(_, value)| value)
    }

    /// The number in a column. Not a number when there is none, so that no comparison holds.
    pub fn number(&self, column: &str) -> f64 {
        self.text(column).parse().unwrap_or(f64::NAN)
    }
}

/// The pause between two looks at what is waited for.
pub const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Waits until `is_so`, at most for `limit`; looks every 50 ms.
///
/// # Errors
/// When it is not so in time, or cannot be told.
pub fn wait(
    limit: Duration,
    what: &str,
    mut is_so: impl FnMut() -> Result<bool, Trouble>,
) -> Result<(), Trouble> {
    let began = Instant::now();
    while !is_so()? {
        if began.elapsed() > limit {
            return Err(Trouble::TooLate { what: what.to_owned(), limit });
        }
        sleep(LOOK_EVERY);
    }
    Ok(())
}
