//! Puts load on the built `keel exchange` and prints what came of it; see `bench/README.md`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use keel_bench::load::child::Venue;
use keel_bench::load::{crowd, orders};
use serde_json::{Value, json};

/// Puts load on `keel exchange`, as a child process, over real sockets.
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    load: Load,
}

#[derive(Subcommand)]
enum Load {
    /// Orders over private WebSockets in an open loop; fails when one is refused or not answered.
    Orders {
        /// Orders a second; the cancels of those that rest come besides.
        #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1..))]
        rate: u64,
        /// Sockets that the orders go through in turn.
        #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=64))]
        connections: u64,
        /// Seconds of figures, after 2 of warming up.
        #[arg(long, default_value_t = 10)]
        seconds: u64,
        /// One more socket listens to orders, fills, positions and the account.
        #[arg(long)]
        listen: bool,
        #[command(flatten)]
        common: Common,
    },
    /// Many clients with 20 topics each, some of which never read; fails when a slow one is not cut
    /// off, another one is, or a chain of books breaks.
    Crowd {
        /// Clients in all.
        #[arg(long, default_value_t = 50)]
        clients: usize,
        /// Clients that never read.
        #[arg(long, default_value_t = 10)]
        slow: usize,
        /// Seconds.
        #[arg(long, default_value_t = 60)]
        seconds: u64,
        /// How many times faster than real the venue's market runs.
        #[arg(long, default_value_t = 1)]
        speed: u32,
        #[command(flatten)]
        common: Common,
    },
}

#[derive(Args)]
struct Common {
    /// The program [default: `keel` beside this one].
    #[arg(long)]
    keel: Option<PathBuf>,
    /// Over plaintext instead of TLS.
    #[arg(long)]
    plaintext: bool,
    /// Adds the report to `FILE.txt` and `FILE.json`.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// No rate is counted, so that the venue itself is what is measured.
const EXCHANGE: &str = "limits = false\n[[accounts]]\nname = \"load\"\nuid = 1\n\
    deposit_usdt = 1000000000\nleverage = 5\npermissions = [\"uta_trade\"]\n";

fn main() -> ExitCode {
    match run(Cli::parse().load) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            eprintln!("keel-exchange-load: not all held that must hold");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("keel-exchange-load: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(load: Load) -> io::Result<bool> {
    match load {
        Load::Orders { rate, connections, seconds, listen, common } => {
            let venue = common.venue(1)?;
            let settings = orders::Settings {
                connections,
                rate,
                warm_up: Duration::from_secs(2),
                measure: Duration::from_secs(seconds),
                listen,
            };
            let report = orders::run(&venue, settings)?;
            common.tell(&report.table(), report.json())?;
            Ok(report.is_whole())
        }
        Load::Crowd { clients, slow, seconds, speed, common } => {
            let venue = common.venue(speed)?;
            let measure = Duration::from_secs(seconds);
            let report = crowd::run(&venue, crowd::Settings { clients, slow, measure })?;
            common.tell(&report.table(), report.json())?;
            Ok(report.is_whole())
        }
    }
}

impl Common {
    fn venue(&self, speed: u32) -> io::Result<Venue> {
        let beside = std::env::current_exe()?.with_file_name("keel");
        let keel = self.keel.clone().unwrap_or(beside).canonicalize()?;
        let speed = speed.to_string();
        let mut args = vec!["--speed", &speed];
        args.extend(self.plaintext.then_some("--plaintext"));
        Venue::start(&keel, EXCHANGE, &args)
    }

    fn tell(&self, table: &str, json: Value) -> io::Result<()> {
        let over = if self.plaintext { "plaintext" } else { "TLS" };
        let table = format!("over {over}: {table}");
        print!("{table}");
        let Some(out) = &self.out else { return Ok(()) };
        add(&out.with_extension("txt"), &format!("{table}\n"))?;
        add(&out.with_extension("json"), &format!("{}\n", json!({ "over": over, "figures": json })))
    }
}

fn add(path: &Path, text: &str) -> io::Result<()> {
    let before = match fs::read_to_string(path) {
        Ok(before) => before,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error),
    };
    fs::write(path, before + text)
}
