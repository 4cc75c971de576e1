//! The program under test as a child process, and a venue for it to trade on.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant, SystemTime};

use keel_core::units::{MonoNanos, UnixNanos};
use keel_net::bitget::rest::{Call, Window};
use keel_net::bitget::sign::{Credentials, Secret};
use keel_net::proto::Protocol;
use keel_net::proto::http::{Client, FILLS_BODY_BYTES_MAX};
use serde_json::Value;

/// The program: cargo names it to tests; a tool of this package stands beside it.
fn program() -> PathBuf {
    option_env!("CARGO_BIN_EXE_keel-under-test").map_or_else(
        || std::env::current_exe().expect("a path").with_file_name("keel-under-test"),
        PathBuf::from,
    )
}

/// `keel` in `dir`, with nothing of this host's configuration.
pub(crate) fn keel(dir: &Path) -> Command {
    let mut command = Command::new(program());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("KEEL_") {
            command.env_remove(name);
        }
    }
    command.current_dir(dir).env("XDG_STATE_HOME", dir.join("xdg")).stdin(Stdio::null());
    command
}

/// What a command that ended left behind.
pub(crate) struct Ended {
    /// The exit code; `None` when a signal ended it.
    pub(crate) code: Option<i32>,
    /// Standard output.
    pub(crate) out: String,
    /// Standard error.
    pub(crate) err: String,
}

impl Ended {
    /// Both outputs, for messages.
    pub(crate) fn said(&self) -> String {
        format!("code {:?}\n--- out\n{}\n--- err\n{}", self.code, self.out, self.err)
    }

    /// Ended with `code`, said `words` on standard error, and did not panic.
    pub(crate) fn refused(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, Some(code), "{}", self.said());
        for word in words {
            assert!(self.err.contains(word), "{word:?} is missing\n{}", self.said());
        }
        self.calm();
    }

    /// Ended as asked.
    pub(crate) fn done(&self) {
        assert_eq!(self.code, Some(0), "{}", self.said());
        self.calm();
    }

    fn calm(&self) {
        assert!(!self.err.contains("panicked"), "{}", self.said());
    }
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("output is UTF-8");
        Self { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }
}

/// Runs `keel args` in `dir` to its end.
pub(crate) fn ended(dir: &Path, args: &[&str]) -> Ended {
    keel(dir).args(args).output().expect("the program starts").into()
}

/// A program at work; killed when it is dropped.
pub(crate) struct Working(Option<Child>);

impl Working {
    /// Starts `keel args` in `dir`.
    pub(crate) fn start(dir: &Path, args: &[&str]) -> Self {
        Self::start_with(dir, args, &[])
    }

    /// The same with variables of the environment.
    pub(crate) fn start_with(dir: &Path, args: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut command = keel(dir);
        command.envs(variables.iter().copied());
        command.args(args).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self(Some(command.spawn().expect("the program starts")))
    }

    /// Starts `keel args` in `dir`, writing to `out`.
    pub(crate) fn start_onto(dir: &Path, args: &[&str], out: impl Into<Stdio>) -> Self {
        let child = keel(dir).args(args).stdout(out).stderr(Stdio::piped()).spawn();
        Self(Some(child.expect("the program starts")))
    }

    /// Starts a run of this name on `venue`, as `dir` is configured, and waits until it quotes.
    pub(crate) fn quoting(dir: &Path, venue: &Venue, run: &str) -> Self {
        let run = Self::start(dir, &["run", "--state-dir", "state", "--run-dir", run]);
        wait(Duration::from_secs(30), "orders rest", || venue.open_orders() >= 2);
        run
    }

    /// Its number.
    pub(crate) fn id(&self) -> u32 {
        self.0.as_ref().expect("at work").id()
    }

    /// The processes that it has started whose command line has `word`.
    pub(crate) fn children(&self, word: &str) -> Vec<u32> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.id())).expect("it runs");
        let lists = tasks.flatten().map(|task| fs::read_to_string(task.path().join("children")));
        let lists: String = lists.map(|list| list.unwrap_or_default() + " ").collect();
        let ids = lists.split_whitespace().map(|id| id.parse().expect("a number"));
        ids.filter(|id: &u32| {
            let line = fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).contains(word)
        })
        .collect()
    }

    /// Sends a signal by its name, such as `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        signal(self.id(), name);
    }

    /// Waits for its end, which must come within `limit`.
    pub(crate) fn end(mut self, limit: Duration) -> Ended {
        let mut child = self.0.take().expect("at work");
        let began = Instant::now();
        while child.try_wait().expect("a child").is_none() {
            if began.elapsed() > limit {
                // It may have ended meanwhile.
                let _ = child.kill();
                let ended: Ended = child.wait_with_output().expect("a child").into();
                panic!("still at work after {limit:?}\n{}", ended.said());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        child.wait_with_output().expect("a child").into()
    }

    /// Ends it as a power cut would.
    pub(crate) fn kill(self) -> Ended {
        self.signal("KILL");
        self.end(Duration::from_secs(5))
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A `keel exchange` in a process of its own, and a directory of its own.
pub(crate) struct Venue {
    dir: tempfile::TempDir,
    child: Child,
    /// Its first line.
    pub(crate) announced: Value,
}

impl Venue {
    /// Starts one with `args` besides.
    pub(crate) fn start(args: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let mut command = keel(dir.path());
        command.args(["exchange", "--run-dir", "venue"]).args(args).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the venue starts");
        let mut line = String::new();
        let out = child.stdout.take().expect("piped");
        BufReader::new(out).read_line(&mut line).expect("a line");
        let announced = serde_json::from_str(&line).expect("the first line is JSON");
        Self { dir, child, announced }
    }

    /// One of its addresses.
    pub(crate) fn url(&self, name: &str) -> &str {
        self.announced[name].as_str().expect("an address")
    }

    /// Its host and port.
    pub(crate) fn authority(&self) -> &str {
        self.url("rest").split("://").nth(1).expect("a URL")
    }

    /// A part of the key of the account that the engine uses.
    pub(crate) fn key(&self, part: &str) -> &str {
        self.announced["accounts"][0][part].as_str().expect("a part of a key")
    }

    /// Writes a key file and `keel.toml` into `dir`, so that a run there trades here, reaching the
    /// venue at `authority`, without a guardian: one would clean up what a test leaves behind.
    /// `more` stands after `[venue]`.
    pub(crate) fn configure(&self, dir: &Path, authority: &str, more: &str) {
        let kill = "[kill]\nguardian = \"off\"\nhang_ms = 5000\n\n";
        self.configure_with(dir, authority, kill, more);
    }

    /// The same, with `before` before `[venue]`.
    pub(crate) fn configure_with(&self, dir: &Path, authority: &str, before: &str, more: &str) {
        let key = dir.join("key");
        let [id, secret, words] = ["key", "secret", "passphrase"].map(|part| self.key(part));
        let text = format!("key = {id}\nsecret = {secret}\npassphrase = {words}\n");
        fs::write(&key, text).expect("written");
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("a mode");
        let address = |name: &str| self.url(name).replace(self.authority(), authority);
        let ca = self.announced["ca"]
            .as_str()
            .map(|path| format!("ca = \"{}\"\n", self.dir.path().join(path).display()));
        let text = format!(
            "{before}[venue]\nrest = \"{}\"\nws_public = \"{}\"\nws_private = \"{}\"\n{}\
             key_file = \"key\"\nuid = {}\n{more}",
            address("rest"),
            address("ws_public"),
            address("ws_private"),
            ca.unwrap_or_default(),
            self.key("uid"),
        );
        fs::write(dir.join("keel.toml"), text).expect("written");
    }

    /// Asks the administration.
    pub(crate) fn admin(&self, method: &str, path: &str, body: &Value) -> Value {
        let authority = self.url("admin").split("://").nth(1).expect("a URL").to_owned();
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: {authority}\r\nconnection: close\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut stream = TcpStream::connect(&authority).expect("the administration listens");
        stream.write_all(head.as_bytes()).expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("answered");
        let (_, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        serde_json::from_str(body).expect("JSON")
    }

    /// The engine's account, as the venue has it.
    pub(crate) fn account(&self) -> Value {
        self.admin("GET", "/admin/state", &Value::Null)["accounts"][0].clone()
    }

    /// The trade ids of every execution of the engine's account, as the venue lists them over REST.
    pub(crate) fn executions(&self) -> Vec<String> {
        let [key, secret, words] = ["key", "secret", "passphrase"].map(|part| self.key(part));
        let [secret, words] = [secret, words].map(|text| Secret::new(text.to_owned()));
        let credentials = Credentials::live(key.to_owned(), secret, words);
        let now = MonoNanos(1);
        let mut found = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let since = SystemTime::UNIX_EPOCH.elapsed().expect("past 1970").as_nanos();
            let utc = UnixNanos(i64::try_from(since).expect("before 2262"));
            let call = Call::fills(None, Window { from: None, to: None }, cursor.as_deref());
            let mut client = Client::new(FILLS_BODY_BYTES_MAX);
            call.send(&mut client, self.authority(), Some(&credentials), utc, now).expect("sent");
            let mut stream = TcpStream::connect(self.authority()).expect("the venue listens");
            stream.write_all(client.transmit()).expect("written");
            let bytes = client.transmit().len();
            client.sent(bytes, now);
            while client.outcome().is_none() {
                let read = stream.read(client.spare()).expect("an answer");
                assert!(read > 0, "the venue closed in the middle of its answer");
                client.received(read, now);
            }
            let response = client.outcome().expect("there").expect("understood");
            let body: Value = serde_json::from_slice(response.body()).expect("JSON");
            if body["code"] == "429" {
                // The engine asks of the same account: the venue counts both, by the second.
                std::thread::sleep(Duration::from_millis(1_100));
                continue;
            }
            assert_eq!(body["code"], "00000", "{body}");
            let rows = body["data"]["list"].as_array().cloned().unwrap_or_default();
            let ids = rows.iter().map(|row| row["execId"].as_str().expect("an id").to_owned());
            found.extend(ids);
            let next = body["data"]["cursor"].as_str().unwrap_or_default();
            if rows.is_empty() || next.is_empty() {
                found.sort();
                return found;
            }
            cursor = Some(next.to_owned());
        }
    }

    /// What of its memory is resident, in KiB.
    pub(crate) fn rss_kib(&self) -> u64 {
        let path = format!("/proc/{}/status", self.child.id());
        let status = fs::read_to_string(path).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line");
        line.split_whitespace().next().and_then(|kib| kib.parse().ok()).expect("a number")
    }

    /// How many of the engine's orders rest.
    pub(crate) fn open_orders(&self) -> u64 {
        self.account()["openOrders"].as_u64().expect("a count")
    }
}

impl Drop for Venue {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a process a signal by its name.
pub(crate) fn signal(id: u32, name: &str) {
    let sent = Command::new("kill").args([format!("-{name}"), id.to_string()]).status();
    assert!(sent.is_ok_and(|status| status.success()), "kill -{name} {id}");
}

/// Waits until `what` is so, at most for `limit`.
pub(crate) fn wait(limit: Duration, what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < limit, "not within {limit:?}: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A CSV file as header and rows; every row has as many fields as the header.
pub(crate) fn table(path: &Path) -> (Vec<String>, Vec<Vec<String>>) {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
    assert!(text.ends_with('\n'), "{path:?} ends in a whole row");
    let mut rows = text.lines().map(|line| line.split(',').map(str::to_owned).collect());
    let header: Vec<String> = rows.next().expect("a header");
    let rows: Vec<Vec<String>> = rows.collect();
    for row in &rows {
        assert_eq!(row.len(), header.len(), "{path:?}: {row:?}");
    }
    (header, rows)
}

/// The values of one column.
pub(crate) fn column((header, rows): &(Vec<String>, Vec<Vec<String>>), name: &str) -> Vec<String> {
    let place = header.iter().position(|column| column == name).expect("a column");
    rows.iter().map(|row| row[place].clone()).collect()
}

/// The run's log.
pub(crate) fn log(run_dir: &Path) -> String {
    fs::read_to_string(run_dir.join("keel.log")).expect("a log")
}

/// Copies a directory with all that is in it.
pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("made");
    for entry in fs::read_dir(from).expect("listed") {
        let path = entry.expect("an entry").path();
        let target: PathBuf = to.join(path.file_name().expect("a name"));
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).expect("copied");
        }
    }
}
