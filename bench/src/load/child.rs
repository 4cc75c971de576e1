//! The venue as a process of its own, and what it takes of the machine.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

/// A running `keel exchange`, killed when this is dropped.
#[derive(Debug)]
pub struct Venue {
    child: Child,
    dir: PathBuf,
    /// Its first line.
    announced: Value,
}

impl Venue {
    /// Starts the program `keel` with `exchange.toml` as given and more arguments.
    ///
    /// # Errors
    /// When it cannot be started, or does not say where it is.
    pub fn start(keel: &Path, config: &str, args: &[&str]) -> io::Result<Self> {
        let dir = std::env::temp_dir().join(format!("keel-load-{}", std::process::id()));
        fs::create_dir_all(&dir)?;
        fs::write(dir.join("exchange.toml"), config)?;
        let mut command = Command::new(keel);
        command.args(["exchange", "--run-dir", "."]).args(["--config", "exchange.toml"]).args(args);
        command.current_dir(&dir).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(|error| {
            io::Error::other(format!("{}: {error}; build it first", keel.display()))
        })?;
        let mut line = String::new();
        let out = child.stdout.take().expect("piped");
        BufReader::new(out).read_line(&mut line)?;
        let announced = serde_json::from_str(&line)?;
        Ok(Self { child, dir, announced })
    }

    /// One of its addresses, `rest`, `ws_public`, `ws_private` or `admin`: host and port.
    pub fn authority(&self, name: &str) -> &str {
        let url = self.announced[name].as_str().expect("the first line has this address");
        let rest = url.split("://").nth(1).expect("a URL has a scheme");
        rest.split('/').next().expect("a URL has a host")
    }

    /// The certificate to be trusted; none in plaintext.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn ca(&self) -> io::Result<Option<Vec<u8>>> {
        let path = self.announced["ca"].as_str();
        path.map(|path| fs::read(self.dir.join(path))).transpose()
    }

    /// A part of the first account's key: `key`, `secret` or `passphrase`.
    pub fn key(&self, part: &str) -> &str {
        self.announced["accounts"][0][part].as_str().expect("the first line has this account")
    }

    /// Asks the administration.
    ///
    /// # Errors
    /// When it does not answer with JSON.
    pub fn admin(&self, method: &str, path: &str, body: &str) -> io::Result<Value> {
        let authority = self.authority("admin");
        let mut stream = TcpStream::connect(authority)?;
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: {authority}\r\nconnection: close\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(head.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        Ok(serde_json::from_str(body)?)
    }

    /// What its threads have computed so far.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn cpu(&self) -> io::Result<Duration> {
        cpu_of(&self.child.id().to_string())
    }

    /// What of its memory is resident, KiB.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn rss_kib(&self) -> io::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        number.ok_or_else(|| io::Error::other("no VmRSS"))
    }
}

impl Drop for Venue {
    fn drop(&mut self) {
        // It may have ended by itself, and there is nobody left to tell.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// What this process has computed so far.
///
/// # Errors
/// When the system does not tell.
pub fn own_cpu() -> io::Result<Duration> {
    cpu_of("self")
}

/// The sum over the threads of a process; Linux counts nanoseconds in `schedstat`.
fn cpu_of(process: &str) -> io::Result<Duration> {
    let mut sum = 0;
    for thread in fs::read_dir(format!("/proc/{process}/task"))? {
        let text = fs::read_to_string(thread?.path().join("schedstat"))?;
        sum += text.split_whitespace().next().and_then(|ns| ns.parse::<u64>().ok()).unwrap_or(0);
    }
    Ok(Duration::from_nanos(sum))
}
