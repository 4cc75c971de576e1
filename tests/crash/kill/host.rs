//! The host: a venue and, one after the other, processes of the program, each a child process.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant, SystemTime};

use keel_core::units::{MonoNanos, UnixNanos};
use keel_net::bitget::rest::{Call, Window};
use keel_net::bitget::sign::{Credentials, Secret};
use keel_net::proto::Protocol;
use keel_net::proto::http::{Client, FILLS_BODY_BYTES_MAX};
use serde_json::{Value, json};

use super::Way;
use super::proxy::Victim;

/// A venue, and the process that trades there.
pub(super) struct Host {
    program: PathBuf,
    dir: PathBuf,
    venue: Child,
    announced: Value,
    child: Option<Victim>,
    runs: u32,
    epoch: u32,
    /// Executions that the venue has told of so far, and the newest one's time in milliseconds.
    executions: BTreeMap<String, Execution>,
    newest_ms: i64,
}

/// An order of somebody else.
pub(super) struct Order<'o> {
    pub(super) symbol: &'o str,
    pub(super) side: &'o str,
    pub(super) size: &'o str,
}

/// What the venue says of an execution, or a row of `fills.csv`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Execution {
    symbol: String,
    side: String,
    price: String,
    size: String,
    maker: bool,
    /// What it cost in USDT; a rebate is negative.
    fee: String,
}

impl Execution {
    /// `row` tells it. A maker's fee is not told where only REST had it (decision 14).
    fn is_told_by(&self, row: &Self) -> bool {
        let unknown = self.maker && row.fee == "0";
        self == &Self { fee: if unknown { &self.fee } else { &row.fee }.clone(), ..row.clone() }
    }
}

type Tried<T> = Result<T, String>;

impl Host {
    /// Starts a venue that keeps no rate limits, so that whoever compares does not disturb. A maker
    /// has rebates there, or pays.
    pub(super) fn begin(program: &Path, dir: &Path, rebates: bool) -> Tried<Self> {
        let maker_ppm = if rebates { -50 } else { 20 };
        let account = |name: &str, uid: u32, more: &str| {
            format!(
                "[[accounts]]\nname = \"{name}\"\nuid = {uid}\ndeposit_usdt = 1000000\n\
                 taker_ppm = 200\nleverage = 5\npermissions = [\"uta_trade\"]\n{more}"
            )
        };
        let ours = account("keel", 81, &format!("maker_ppm = {maker_ppm}\n"));
        let others = account("manual", 82, "maker_ppm = 200\n");
        put(&dir.join("exchange.toml"), &format!("limits = false\n{ours}{others}"))?;
        let mut command = Command::new(program);
        command
            .args(["exchange", "--plaintext", "--run-dir", "venue", "--config", "exchange.toml"])
            .current_dir(dir)
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let mut venue = command.spawn().map_err(|error| format!("the venue: {error}"))?;
        let mut line = String::new();
        let out = venue.stdout.take().ok_or("the venue has no output")?;
        BufReader::new(out).read_line(&mut line).map_err(|error| error.to_string())?;
        let announced = serde_json::from_str(&line).map_err(|error| error.to_string())?;
        Ok(Self {
            program: program.to_owned(),
            dir: dir.to_owned(),
            venue,
            announced,
            child: None,
            runs: 0,
            epoch: 0,
            executions: BTreeMap::new(),
            newest_ms: 0,
        })
    }

    /// The venue's host and port.
    pub(super) fn authority(&self) -> &str {
        self.url("rest").split("://").nth(1).expect("a URL")
    }

    fn url(&self, name: &str) -> &str {
        self.announced[name].as_str().expect("an address")
    }

    fn key(&self, part: &str) -> &str {
        self.announced["accounts"][0][part].as_str().expect("a part of a key")
    }

    /// Lets processes reach the venue at `authority`.
    pub(super) fn configure(&mut self, authority: &str, way: &Way) -> Tried<()> {
        let key = self.dir.join("key");
        let [id, secret, words] = ["key", "secret", "passphrase"].map(|part| self.key(part));
        put(&key, &format!("key = {id}\nsecret = {secret}\npassphrase = {words}\n"))?;
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).map_err(|e| e.to_string())?;
        let address = |name: &str| self.url(name).replace(self.authority(), authority);
        let Way { zombie_ms, rest } = *way;
        let window_ms = zombie_ms.clamp(500, 2_000);
        let (entry, key) = if rest {
            ("rest", "zombie_window_rest_ms")
        } else {
            ("websocket", "zombie_window_ms")
        };
        let text = format!(
            "[kill]\nguardian = \"off\"\n\
             [venue]\nrest = \"{}\"\nws_public = \"{}\"\nws_private = \"{}\"\nkey_file = \"key\"\n\
             uid = {}\n[order]\norder_entry = \"{entry}\"\nreceive_window_ms = {window_ms}\n\
             {key} = {zombie_ms}\n",
            address("rest"),
            address("ws_public"),
            address("ws_private"),
            self.key("uid"),
        );
        put(&self.dir.join("keel.toml"), &text)
    }

    /// Starts a process on the state that the last one left.
    pub(super) fn start(&mut self) -> Tried<Victim> {
        // What a run wrote is of no use any more, and its journal takes 64 MiB.
        let _ = fs::remove_dir_all(self.run_dir());
        self.runs += 1;
        let run = format!("run-{}", self.runs);
        let log = fs::File::create(self.dir.join("said")).map_err(|error| error.to_string())?;
        let mut command = Command::new(&self.program);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("KEEL_") {
                command.env_remove(name);
            }
        }
        command
            .args(["run", "--state-dir", "state", "--run-dir", &run])
            .current_dir(&self.dir)
            .env("XDG_STATE_HOME", self.dir.join("xdg"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        let child = command.spawn().map_err(|error| error.to_string())?;
        let victim = Arc::new(Mutex::new(child));
        self.child = Some(victim.clone());
        Ok(victim)
    }

    fn run_dir(&self) -> PathBuf {
        self.dir.join(format!("run-{}", self.runs))
    }

    fn child(&self) -> MutexGuard<'_, Child> {
        self.child.as_ref().expect("a process was started").lock().expect("nobody panics here")
    }

    /// What a process said that has ended by itself; `None` while it works or was killed.
    pub(super) fn has_ended(&self) -> Option<String> {
        let status = self.child().try_wait().ok().flatten()?;
        let code = status.code()?;
        let said = fs::read_to_string(self.dir.join("said")).unwrap_or_default();
        Some(format!("exit code {code}\n{said}\n{}", self.log()))
    }

    /// Kills the process, if it is still there.
    pub(super) fn end_now(&mut self) {
        let mut child = self.child();
        // It may have been killed already.
        let _ = child.kill();
        let _ = child.wait();
    }

    pub(super) fn interrupt(&self) -> Tried<()> {
        let id = self.child().id().to_string();
        let sent = Command::new("kill").args(["-TERM", &id]).status();
        sent.map(drop).map_err(|error| error.to_string())
    }

    /// Ends the process in order.
    pub(super) fn stop(&mut self) -> Tried<()> {
        self.interrupt()?;
        let began = Instant::now();
        loop {
            if let Ok(Some(status)) = self.child().try_wait() {
                let said = fs::read_to_string(self.dir.join("said")).unwrap_or_default();
                let log = self.log();
                let orderly = status.code() == Some(0);
                return if orderly { Ok(()) } else { Err(format!("{status}\n{said}\n{log}")) };
            }
            if began.elapsed() > PATIENCE {
                return Err("it does not stop".into());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.run_dir().join("keel.log")).unwrap_or_default()
    }

    fn wait_for(&self, what: &str, word: &str) -> Tried<()> {
        let began = Instant::now();
        while !self.log().lines().any(|line| line.ends_with(word)) {
            if let Some(said) = self.has_ended() {
                return Err(format!("the run ended by itself: {said}"));
            }
            if self.log().contains("-> HARD_STOP") || began.elapsed() > PATIENCE {
                return Err(format!("it is not {what}:\n{}", self.log()));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// Everything of the earlier run has been looked after.
    pub(super) fn wait_until_ready(&self) -> Tried<()> {
        self.wait_for("ready", " Ready")
    }

    /// Orders of the account that rest.
    pub(super) fn open_orders(&self) -> Tried<u64> {
        self.state()?["openOrders"].as_u64().ok_or_else(|| "the venue tells no orders".into())
    }

    pub(super) fn wait_until_quoting(&self) -> Tried<()> {
        self.wait_for("quoting", "-> RUNNING")?;
        let began = Instant::now();
        while self.open_orders()? < 2 {
            if began.elapsed() > PATIENCE {
                return Err(format!("it does not quote:\n{}", self.log()));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    pub(super) fn canceled_orphans(&self) -> Tried<u64> {
        Ok(self.log().matches("Orphan order canceled: ").count() as u64)
    }

    /// Asks the administration.
    fn admin(&self, method: &str, path: &str, body: &Value) -> Tried<Value> {
        let authority = self.url("admin").split("://").nth(1).ok_or("no administration")?;
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: {authority}\r\nconnection: close\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let ask = || -> std::io::Result<String> {
            let mut stream = TcpStream::connect(authority)?;
            stream.write_all(head.as_bytes())?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        };
        let answer = ask().map_err(|error| format!("the administration: {error}"))?;
        let (_, body) = answer.split_once("\r\n\r\n").ok_or("the administration says nothing")?;
        serde_json::from_str(body).map_err(|error| error.to_string())
    }

    pub(super) fn trade(&self, order: &Order<'_>) -> Tried<()> {
        let body = json!({
            "account": "manual", "category": "USDT-FUTURES", "symbol": order.symbol,
            "qty": order.size, "side": order.side, "orderType": "market",
        });
        // Its money may be used up; then nobody trades.
        self.admin("POST", "/admin/order", &body).map(drop)
    }

    fn state(&self) -> Tried<Value> {
        Ok(self.admin("GET", "/admin/state", &Value::Null)?["accounts"][0].clone())
    }

    /// One signed question over REST.
    fn ask(&self, call: &Call) -> Tried<Value> {
        let [key, secret, words] = ["key", "secret", "passphrase"].map(|part| self.key(part));
        let [secret, words] = [secret, words].map(|text| Secret::new(text.to_owned()));
        let credentials = Credentials::live(key.to_owned(), secret, words);
        let since = SystemTime::UNIX_EPOCH.elapsed().map_err(|error| error.to_string())?;
        let utc = UnixNanos(i64::try_from(since.as_nanos()).map_err(|error| error.to_string())?);
        let (now, mut client) = (MonoNanos(1), Client::new(FILLS_BODY_BYTES_MAX));
        call.send(&mut client, self.authority(), Some(&credentials), utc, now)
            .map_err(|error| format!("{error:?}"))?;
        let mut exchange = || -> std::io::Result<()> {
            let mut stream = TcpStream::connect(self.authority())?;
            stream.write_all(client.transmit())?;
            let bytes = client.transmit().len();
            client.sent(bytes, now);
            while client.outcome().is_none() {
                let read = stream.read(client.spare())?;
                if read == 0 {
                    return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof));
                }
                client.received(read, now);
            }
            Ok(())
        };
        exchange().map_err(|error| format!("the venue: {error}"))?;
        let outcome = client.outcome().ok_or("no answer")?.map_err(|error| format!("{error:?}"))?;
        let body: Value =
            serde_json::from_slice(outcome.body()).map_err(|error| error.to_string())?;
        if body["code"] == "00000" { Ok(body) } else { Err(body.to_string()) }
    }

    /// Reads what the venue has executed since the last time, and a little before.
    fn read_executions(&mut self) -> Tried<()> {
        let from = (self.newest_ms > 0).then(|| UnixNanos((self.newest_ms - 2_000) * 1_000_000));
        let mut cursor: Option<String> = None;
        loop {
            let body =
                self.ask(&Call::fills(None, Window { from, to: None }, cursor.as_deref()))?;
            let rows = body["data"]["list"].as_array().cloned().unwrap_or_default();
            for row in &rows {
                let text = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
                let (symbol, price) = (text("symbol"), plain(&text("execPrice")));
                let (side, size) = (text("side"), plain(&text("execQty")));
                self.newest_ms = self.newest_ms.max(text("execTime").parse().unwrap_or(0));
                // Rows over REST count what was received.
                let maker = text("tradeScope") == "maker";
                let received = plain(row["feeDetail"][0]["fee"].as_str().unwrap_or_default());
                let execution =
                    Execution { symbol, side, price, size, maker, fee: negated(&received) };
                self.executions.insert(text("execId"), execution);
            }
            let next = body["data"]["cursor"].as_str().unwrap_or_default();
            if rows.is_empty() || next.is_empty() {
                return Ok(());
            }
            cursor = Some(next.to_owned());
        }
    }

    /// Rows of `fills.csv` by their trade ids.
    fn rows(&self) -> Tried<BTreeMap<String, Execution>> {
        let mut rows = BTreeMap::new();
        for symbol in SYMBOLS {
            let path = self.dir.join("state").join(symbol).join("fills.csv");
            let text = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
            // A row that is being written, or that a kill has cut, is none yet.
            let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
            for line in whole.lines().skip(1) {
                let columns: Vec<&str> = line.split(',').collect();
                if columns.len() != 21 {
                    return Err(format!("{}: {line:?} is no row", path.display()));
                }
                let (symbol, side) = (columns[3].to_owned(), columns[4].to_lowercase());
                let (price, size) = (plain(columns[5]), plain(columns[6]));
                let fee = plain(columns[8]);
                let maker = columns[17] == "true";
                let row = Execution { symbol, side, price, size, maker, fee };
                if rows.insert(columns[10].to_owned(), row).is_some() {
                    return Err(format!("{}: {} has two rows", path.display(), columns[10]));
                }
            }
        }
        Ok(rows)
    }

    /// What a dead process has left: each row is of an execution, once.
    pub(super) fn compare_dead(&mut self) -> Tried<()> {
        if !self.dir.join("state").join(SYMBOLS[1]).join("fills.csv").exists() {
            return Ok(());
        }
        let rows = self.rows()?;
        self.only_real(&rows)
    }

    /// What the venue had executed by now has its row soon, each row is of an execution, and the
    /// positions are the sum of the rows. Gives how many executions there are.
    pub(super) fn compare(&mut self) -> Tried<u64> {
        self.read_executions()?;
        let due: BTreeSet<String> = self.executions.keys().cloned().collect();
        let began = Instant::now();
        loop {
            let rows = self.rows()?;
            let missing: Vec<&String> = due.iter().filter(|id| !rows.contains_key(*id)).collect();
            if missing.is_empty() {
                self.only_real(&rows)?;
                return self.compare_positions().map(|()| due.len() as u64);
            }
            if began.elapsed() > PATIENCE {
                return Err(format!("executions without a row: {missing:?}\n{}", self.log()));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// How many rows tell a fee.
    pub(super) fn fees_told(&self) -> Tried<u64> {
        Ok(self.rows()?.values().filter(|row| row.fee != "0").count() as u64)
    }

    /// Every row is an execution as the venue tells it.
    fn only_real(&mut self, rows: &BTreeMap<String, Execution>) -> Tried<()> {
        if rows.keys().any(|id| !self.executions.contains_key(id)) {
            self.read_executions()?;
        }
        for (id, row) in rows {
            let told = self.executions.get(id);
            if !told.is_some_and(|told| told.is_told_by(row)) {
                return Err(format!("row {id} says {row:?}, the venue {told:?}"));
            }
        }
        Ok(())
    }

    /// Positions of the durable day are the venue's, and the sum of all executions, as soon as the
    /// venue has not executed anything while they were read.
    fn compare_positions(&mut self) -> Tried<()> {
        let began = Instant::now();
        loop {
            let before = positions_at_venue(&self.state()?);
            self.read_executions()?;
            let count = self.executions.len();
            let summed = self.summed();
            let ours = positions_of_day(&self.day()?);
            self.read_executions()?;
            let after = positions_at_venue(&self.state()?);
            let still = before == after && count == self.executions.len();
            if still && ours == after && summed == after {
                return Ok(());
            }
            if began.elapsed() > PATIENCE {
                return Err(format!(
                    "positions {ours:?}, at the venue {after:?}, of its executions {summed:?}\n{}",
                    self.log()
                ));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// What all executions come to, in the last digit that a size may have.
    fn summed(&self) -> [i64; SYMBOLS.len()] {
        SYMBOLS.map(|symbol| {
            let of = self.executions.values().filter(|execution| execution.symbol == symbol);
            of.map(|one| digits(&one.size) * if one.side == "buy" { 1 } else { -1 }).sum()
        })
    }

    fn day(&self) -> Tried<Value> {
        let path = self.dir.join("state/daily_state.json");
        let text = fs::read_to_string(path).map_err(|error| error.to_string())?;
        serde_json::from_str(&text).map_err(|error| error.to_string())
    }

    /// Everything is equal once nothing works: rows and executions, positions, the count of the
    /// state, and no order is left.
    pub(super) fn compare_at_rest(&mut self) -> Tried<u64> {
        let count = self.compare()?;
        let rows = self.rows()?;
        if rows.len() as u64 != count {
            return Err(format!("{} rows for {count} executions", rows.len()));
        }
        let state = self.state()?;
        if state["openOrders"] != 0 {
            return Err(format!("orders are left: {state}"));
        }
        let day = self.day()?;
        if day["boot_epoch"].as_u64() != Some(u64::from(self.epoch)) {
            return Err(format!("the day is of epoch {}, not {}", day["boot_epoch"], self.epoch));
        }
        Ok(count)
    }

    /// The boot epoch of the process at work; each has one of its own.
    fn read_epoch(&mut self) -> Tried<()> {
        let slot = |name: &str| {
            let bytes = fs::read(self.dir.join("state").join(name)).ok()?;
            Some(u32::from_le_bytes(bytes.get(8..12)?.try_into().ok()?))
        };
        let epoch = ["epoch.a", "epoch.b"].into_iter().filter_map(slot).max().unwrap_or(0);
        let before = std::mem::replace(&mut self.epoch, epoch);
        if epoch > before { Ok(()) } else { Err(format!("epoch {epoch} comes after {before}")) }
    }

    /// No order rests that an earlier process sent.
    pub(super) fn no_order_of_a_dead_run(&mut self) -> Tried<()> {
        self.read_epoch()?;
        let body = self.ask(&Call::open_orders(None, None))?;
        for row in body["data"]["list"].as_array().into_iter().flatten() {
            let client = row["clientOid"].as_str().unwrap_or_default();
            let epoch = client.rsplit('-').nth(1);
            if epoch.and_then(|text| u32::from_str_radix(text, 36).ok()) != Some(self.epoch) {
                return Err(format!(
                    "order {client} rests in epoch {}\n{}",
                    self.epoch,
                    self.log()
                ));
            }
        }
        Ok(())
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if self.child.is_some() {
            self.end_now();
        }
        // It may have ended by itself.
        let _ = self.venue.kill();
        let _ = self.venue.wait();
    }
}

fn put(path: &Path, text: &str) -> Tried<()> {
    fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}

/// A number's text without zeros behind the point.
fn plain(text: &str) -> String {
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text.to_owned()
    }
}

/// The other sign of what [`plain`] gives.
fn negated(text: &str) -> String {
    match text.strip_prefix('-') {
        Some(without) => without.to_owned(),
        None if text == "0" => text.to_owned(),
        None => format!("-{text}"),
    }
}

/// A decimal number as a count of 1e-8.
fn digits(text: &str) -> i64 {
    let (sign, text) = text.strip_prefix('-').map_or((1, text), |without| (-1, without));
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    format!("{whole}{part:0<8}").parse::<i64>().map_or(i64::MAX, |count| sign * count)
}

fn positions_at_venue(state: &Value) -> [i64; SYMBOLS.len()] {
    let held = |symbol: &str| {
        let rows = state["positions"].as_array().into_iter().flatten();
        let mut sizes = rows.filter(|row| row["symbol"] == symbol).map(|row| &row["size"]);
        digits(sizes.find_map(Value::as_str).unwrap_or("0"))
    };
    SYMBOLS.map(held)
}

fn positions_of_day(day: &Value) -> [i64; SYMBOLS.len()] {
    let held = |symbol: &str| day["instruments"][symbol]["position_base"].as_str();
    SYMBOLS.map(|symbol| digits(held(symbol).unwrap_or("0")))
}

/// What a configuration without a list trades.
const SYMBOLS: [&str; 2] = ["BTCUSDT", "ETHUSDT"];
/// A machine that does other work too may be slow.
const PATIENCE: Duration = Duration::from_secs(60);
