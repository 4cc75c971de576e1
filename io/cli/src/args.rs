//! What can be typed.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use keel_core::param::Profile;

/// Market making on Bitget USDT-margined perpetuals.
///
/// Without a command, keel runs: a venue of its own on this machine, and the engine trading there.
/// Nothing leaves the machine and no money is at stake.
#[derive(Debug, Parser)]
#[command(
    name = "keel",
    version,
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  \
        keel --for 60s                  trade on the embedded venue for a minute\n  \
        keel doctor --jitter 10s        is this host fit, and what does it take away\n  \
        keel config example > keel.toml write every key with its unit, range and default\n  \
        keel run --config keel.toml     trade with a configuration\n  \
        keel replay RUN_DIR             step a run again and compare every byte\n\n\
        Exit codes: 0 done, 1 failed, 2 usage or configuration, 3 directory, 4 venue,\n\
        5 hard stop, 6 open orders not verified, 7 replay differs, 8 live is closed,\n\
        9 go-live refused, 70 panic\n\
        (docs/exit-codes.md)."
)]
pub struct Cli {
    /// What to do; `run` when left out.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Flags of `run`.
    #[command(flatten)]
    pub run: RunArgs,
}

/// Commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Trade. The default.
    Run(RunArgs),
    /// Serve the venue alone, for this engine or any other client.
    ///
    /// The first line on standard output is one JSON object with its addresses (rest, ws_public,
    /// ws_private, admin), the certificate to trust (ca) and its accounts with their keys.
    Exchange(ExchangeArgs),
    /// Step a run's journal again and say whether every command and digest is the same, byte for
    /// byte.
    Replay {
        /// The run's directory.
        run_dir: PathBuf,
    },
    /// Show what a run is doing.
    Status {
        /// Everything that it tells, as JSON.
        #[arg(long)]
        json: bool,
        /// Which run.
        #[command(flatten)]
        at: RunRef,
    },
    /// Cancel a run's quotes and quote no more until resumed.
    Pause {
        /// Which run.
        #[command(flatten)]
        at: RunRef,
    },
    /// End a pause.
    Resume {
        /// Which run.
        #[command(flatten)]
        at: RunRef,
    },
    /// Change a parameter of a run, within `[envelope]` of its configuration. Limits may only be
    /// tightened.
    Set {
        /// KEY=VALUE, or KEY.REGIME=VALUE.
        #[arg(value_name = "KEY=VALUE")]
        change: String,
        /// Which run.
        #[command(flatten)]
        at: RunRef,
    },
    /// Stop for good: cancel everything, verify zero at the venue, latch. Works without an engine.
    Kill {
        /// Say what would be canceled and cancel nothing.
        #[arg(long)]
        dry_run: bool,
        /// Close positions too, with reduce-only orders within the collar.
        #[arg(long)]
        flatten: bool,
        /// Only this instrument. With an engine at work everything is canceled all the same, and
        /// this is what is closed.
        #[arg(long, value_name = "NAME")]
        instrument: Option<String>,
        /// Which run.
        #[command(flatten)]
        at: RunRef,
    },
    /// Kill, and close positions.
    Flatten {
        /// Only this instrument.
        #[arg(long, value_name = "NAME")]
        instrument: Option<String>,
        /// Which run.
        #[command(flatten)]
        at: RunRef,
    },
    /// Clear the stop of an incident, so that a run may trade again.
    Rearm {
        /// The incident's number, as `keel status`, the log and the latch name it.
        #[arg(long, value_name = "ID")]
        incident: u64,
        /// Which run.
        #[command(flatten)]
        at: RunRef,
    },
    /// Record the public market to a file, without a key: messages with the times at which they
    /// came.
    Record(RecordArgs),
    /// Wait for one run of the same configuration, and cancel everything when it dies or hangs: for
    /// a unit file, with kill.guardian = "unit". Otherwise a run starts its own.
    Guardian {
        /// Flags of the run that is guarded.
        #[command(flatten)]
        run: RunArgs,
        /// The hash of the configuration of the run that has started this process.
        #[arg(long, value_name = "HEX", hide = true)]
        config_hash: Option<String>,
    },
    /// Look at configurations.
    Config {
        /// What to do.
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Look at this host and say whether it is fit to trade fast: what is not, why, and the fix.
    ///
    /// Reads /proc and /sys and changes nothing. Exit code 1 when something is unfit.
    Doctor(DoctorArgs),
    /// Report on what a run has recorded.
    Report {
        /// On what.
        #[command(subcommand)]
        command: ReportCommand,
    },
    /// Live through days of trading against a venue on this machine, and judge the rows of every
    /// minute. Exit code 0 only when every claim holds.
    ///
    /// In real time venue and engine are processes of their own, watched from outside: memory,
    /// threads and descriptors by /proc, open orders at the venue.
    Soak(SoakArgs),
    /// Trade one market twice under virtual time, at the embedded venue and on paper, and say how
    /// far the two are apart.
    ///
    /// Both engines have the same configuration, with fees and balance of the venue's account.
    /// Writes raw rows, a report and a page. Exit code 0 only when every figure agrees within its
    /// tolerance, else 9; too little to tell is no agreement.
    Parity(ParityArgs),
    /// Drill the go-live checklist, sign what was found, and verify what was signed.
    Golive {
        /// What to do.
        #[command(subcommand)]
        command: GoliveCommand,
    },
}

/// Flags of `doctor`.
#[derive(Args, Clone, Debug)]
pub struct DoctorArgs {
    /// Also spin for this long and tell how often and how long the host takes the core away.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub jitter: Option<Duration>,
    /// Cores of the hot agents, such as 1,2,3 [default: those that are isolated].
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub cores: Vec<usize>,
    /// Where /proc and /sys lie.
    #[arg(long, value_name = "DIR", default_value = "/", hide = true)]
    pub root: PathBuf,
}

/// Commands of `report`.
#[derive(Debug, Subcommand)]
pub enum ReportCommand {
    /// What own fills were worth 100 ms to 300 s later: capture, way of the mid, fees and funding,
    /// with an interval and a verdict.
    ///
    /// Reads the run's journal and writes analysis/edge_report.json and .html into its directory.
    /// Exit code 0 whatever the verdict, 3 when the journal is missing, damaged or without fills.
    Edge(EdgeArgs),
    /// Compare one UTC day of a venue's statement with what runs have recorded of it: by type,
    /// count and sum, and record by record.
    ///
    /// A statement is the answer of GET /api/v3/account/financial-records as it came, a JSON list
    /// of such answers, or a CSV table with columns id, ts, symbol, coin, type, amount and fee.
    /// Exit code 0 only when both agree within 1 bp of notional and 5 % of profit, else 7.
    Statement(StatementArgs),
    /// Quote the same simulated markets by the models regime and glft, and compare what each made
    /// of them: fills, capture, markouts, inventory and profit by its parts.
    ///
    /// Everything happens under virtual time, with the strategy of the configuration: the same
    /// seeds give the same figures.
    Models(ModelsArgs),
}

/// Flags of `report models`.
#[derive(Args, Clone, Debug)]
pub struct ModelsArgs {
    /// How many seeds.
    #[arg(long, value_name = "N", default_value_t = 8,
        value_parser = clap::value_parser!(u64).range(1..=10_000))]
    pub seeds: u64,
    /// The first of them.
    #[arg(long, value_name = "N", default_value_t = 1,
        value_parser = clap::value_parser!(u64).range(..1 << 62))]
    pub first_seed: u64,
    /// How long each is quoted by each model, in hours of the venue's clock.
    #[arg(long, value_name = "N", default_value_t = 2,
        value_parser = clap::value_parser!(u64).range(1..=240))]
    pub hours: u64,
    /// What is quoted.
    #[arg(long, value_name = "NAME", default_value = "BTCUSDT",
        value_parser = ["BTCUSDT", "ETHUSDT"])]
    pub instrument: String,
    /// How many are lived at a time.
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub threads: usize,
    /// Configuration file [default: keel.toml in this directory, if there is one].
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where all figures are written, those of each seed and hour too.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// Flags of `report statement`.
#[derive(Args, Clone, Debug)]
pub struct StatementArgs {
    /// The venue's statement: .json or .csv.
    #[arg(required_unless_present = "from_venue", conflicts_with = "from_venue")]
    pub file: Option<PathBuf>,
    /// Ask the venue of the configuration instead, by signed GETs only.
    #[arg(long)]
    pub from_venue: bool,
    /// Where what the venue answers is kept, as a file for this command.
    #[arg(long, value_name = "FILE", requires = "from_venue")]
    pub keep: Option<PathBuf>,
    /// Configuration file.
    #[arg(long, value_name = "FILE", requires = "from_venue")]
    pub config: Option<PathBuf>,
    /// The UTC day, such as 2026-11-27.
    #[arg(long, value_name = "DATE")]
    pub day: String,
    /// The directory of a run of that day; all of them, in the order in which they ran.
    #[arg(long, value_name = "DIR", required = true)]
    pub run_dir: Vec<PathBuf>,
}

/// Flags of `report edge`.
#[derive(Args, Clone, Debug)]
pub struct EdgeArgs {
    /// Where the figures are written [default: analysis/edge_report.json in the run's directory].
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Where the page is written [default: beside the figures, with .html].
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Only this instrument.
    #[arg(long, value_name = "NAME")]
    pub instrument: Option<String>,
    /// Which run.
    #[command(flatten)]
    pub at: RunRef,
}

/// Flags of `soak`.
#[derive(Args, Clone, Debug)]
pub struct SoakArgs {
    /// Under virtual time instead, in one thread: the same days every time, in minutes.
    #[arg(long, conflicts_with_all = ["config", "speed", "resume"])]
    pub simulated: bool,
    /// How long, in hours of the venue's clock; in real time also a fraction, to the minute.
    #[arg(long = "hours", value_name = "N", default_value = "48", value_parser = minutes)]
    pub minutes: u64,
    /// Everything that is drawn is drawn from this.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Which defaults the engine of a simulated soak starts from.
    #[arg(long, value_enum, default_value_t = ProfileArg::Touch, requires = "simulated")]
    pub profile: ProfileArg,
    /// Configuration file of the engine, whose venue is the soak's own [default: keel.toml in this
    /// directory, if there is one].
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// How many times faster than real the venue's time runs. Such a soak is a trial, no evidence.
    #[arg(long, value_name = "N", default_value_t = 1,
        value_parser = clap::value_parser!(u32).range(1..=20))]
    pub speed: u32,
    /// Go on with the soak in DIR, whose watcher was lost: venue and engine are still at work.
    #[arg(long, value_name = "DIR",
        conflicts_with_all = ["minutes", "seed", "fault_every", "out", "speed"])]
    pub resume: Option<PathBuf>,
    /// Have something go wrong about this often: connections, frames, answers, the process.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub fault_every: Option<Duration>,
    /// Where a directory for the report is made.
    #[arg(long, value_name = "DIR", default_value = "reports/soak")]
    pub out: PathBuf,
}

/// Flags of `parity`.
#[derive(Args, Clone, Debug)]
pub struct ParityArgs {
    /// How many minutes of the venue's clock are compared.
    #[arg(long, value_name = "N", default_value_t = 60,
        value_parser = clap::value_parser!(u64).range(5..=10_080))]
    pub minutes: u64,
    /// Everything that is drawn is drawn from this.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Configuration file of both engines [default: keel.toml in this directory, if there is one].
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where a directory for the report is made.
    #[arg(long, value_name = "DIR", default_value = "reports/parity")]
    pub out: PathBuf,
}

/// Commands of `golive`.
#[derive(Debug, Subcommand)]
pub enum GoliveCommand {
    /// Carry out the drills against the embedded venue and write the bundle of evidence.
    ///
    /// Each drill starts the venue and the engine as processes of their own, provokes what its
    /// control is for, and judges the venue's truth, the log and the files. Exit code 0 only when
    /// everything asked for passed.
    Check(CheckArgs),
    /// Make a reviewer's Ed25519 key.
    Keygen {
        /// A new file for it, readable by its owner only.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Sign a bundle. GO is refused unless every item is PASS and the bundle is fresh.
    Sign(SignArgs),
    /// Compute every hash of a bundle again and check its signature.
    Verify {
        /// The bundle's directory.
        bundle: PathBuf,
    },
}

/// Flags of `golive check`.
#[derive(Args, Clone, Debug)]
pub struct CheckArgs {
    /// Only these items; may be given several times [default: all].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=24))]
    pub item: Vec<u8>,
    /// Where: a venue of this machine for each drill, or demo trading with the key of the
    /// configuration, for what a venue without an administration lets be drilled.
    #[arg(long, value_enum, default_value_t = VenueArg::Embedded)]
    pub venue: VenueArg,
    /// Take the items that are not run here from this bundle, where they passed: one of this
    /// program and these rules.
    #[arg(long, value_name = "BUNDLE")]
    pub join: Option<PathBuf>,
    /// Instead of drills, read what the venue says of the live account, its key and its contracts,
    /// with GETs only, and write part B of the evidence.
    #[arg(long, conflicts_with_all = ["item", "venue", "join", "soak", "parity", "planted", "withheld"])]
    pub account: bool,
    /// Configuration file that the evidence is bound to [default: keel.toml in this directory, if
    /// there is one].
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The report of a soak that item 13 is judged by.
    #[arg(long, value_name = "FILE", default_value = "reports/soak/latest.json")]
    pub soak: PathBuf,
    /// The report of paper beside the venue that item 11 is judged by.
    #[arg(long, value_name = "FILE", default_value = "reports/parity/latest.json")]
    pub parity: PathBuf,
    /// Have the engines commit a defect on purpose: the gate must notice.
    #[arg(long, value_name = "DEFECT", hide = true)]
    pub planted: Option<String>,
    /// Do nothing of what the drills do to the system: the gate must notice.
    #[arg(long, hide = true)]
    pub withheld: bool,
    /// Where bundles are written, each in a directory named by its time.
    #[arg(long, value_name = "DIR", default_value = "reports/go_live")]
    pub out: PathBuf,
}

/// Where drills are carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum VenueArg {
    /// `keel exchange`, as a process of its own for each drill.
    Embedded,
    /// Demo trading.
    Demo,
}

impl VenueArg {
    /// Its word.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::Demo => "demo",
        }
    }
}

/// Flags of `golive sign`.
#[derive(Args, Clone, Debug)]
pub struct SignArgs {
    /// The bundle's directory.
    pub bundle: PathBuf,
    /// Who has looked at it.
    #[arg(long, value_name = "NAME")]
    pub reviewer: String,
    /// What was decided.
    #[arg(long, value_enum)]
    pub decision: DecisionArg,
    /// The reviewer's key, made by `golive keygen`.
    #[arg(long, value_name = "FILE")]
    pub key: PathBuf,
}

/// A decision by its word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DecisionArg {
    /// Trade.
    #[value(name = "GO")]
    Go,
    /// Do not.
    #[value(name = "NO-GO")]
    NoGo,
}

/// Flags of `record`.
#[derive(Args, Clone, Debug)]
pub struct RecordArgs {
    /// Configuration file, for `[run] instruments` and the addresses in `[venue]` [default:
    /// keel.toml in this directory, if there is one].
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where to record; a new file.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Stop after this long, such as 60s, 10m or 1h30m [default: until Ctrl-C].
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    pub run_for: Option<Duration>,
    /// Stop when the file is so long, in MiB.
    #[arg(long, value_name = "MIB", default_value_t = 1024)]
    pub max_mib: u32,
    /// Read a recording and say what it holds.
    #[arg(long, value_name = "FILE")]
    pub check: Option<PathBuf>,
}

/// Flags of `run`.
#[derive(Args, Clone, Debug, Default)]
pub struct RunArgs {
    /// Configuration file [default: keel.toml in this directory, if there is one].
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// What to trade against [default: sim].
    #[arg(long, value_name = "MODE", value_parser = ["sim", "paper", "demo", "live"])]
    pub mode: Option<String>,
    /// Stop in order after this long, such as 60s, 10m or 1h30m [default: until Ctrl-C].
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    pub run_for: Option<Duration>,
    /// Where this run writes its journal, log and configuration; a new directory [default: one of
    /// its own under $XDG_STATE_HOME/keel/runs].
    #[arg(long, value_name = "DIR")]
    pub run_dir: Option<PathBuf>,
    /// Commit a defect on purpose, by its name; only in builds that carry defects.
    #[arg(long, value_name = "DEFECT", hide = true)]
    pub planted: Option<String>,
    /// What outlives runs: lock, epoch, latch, day, CSV files [default:
    /// $XDG_STATE_HOME/keel/VENUE/UID/NAME; in the run directory with the embedded venue].
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
}

/// Which run a command is for.
#[derive(Args, Clone, Debug, Default)]
pub struct RunRef {
    /// The configuration of the run [default: keel.toml in this directory, if there is one].
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The run's directory [default: that of the newest run with this configuration].
    #[arg(long, value_name = "DIR")]
    pub run_dir: Option<PathBuf>,
    /// The run's state directory, where it was named.
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
}

/// Flags of `exchange`.
#[derive(Args, Clone, Debug)]
pub struct ExchangeArgs {
    /// Address to listen on; port 0 takes a free one.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,
    /// Serve http and ws instead of https and wss. Only on loopback.
    #[arg(long)]
    pub plaintext: bool,
    /// Where ca.pem is written [default: a directory under the system's temporary one].
    #[arg(long, value_name = "DIR")]
    pub run_dir: Option<PathBuf>,
    /// The venue's accounts and limits [default: the built-in ones].
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// How many times faster than real the venue's time runs.
    #[arg(long, value_name = "N", default_value_t = 1,
        value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub speed: u32,
}

/// Commands of `config`.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Check a configuration with environment and flags, and show what differs from the defaults.
    Check {
        /// Configuration file [default: keel.toml in this directory, if there is one].
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// As in `run`.
        #[arg(long, value_name = "MODE", value_parser = ["sim", "paper", "demo", "live"])]
        mode: Option<String>,
    },
    /// Write a configuration with every key, its unit, range, default and purpose.
    Example {
        /// Whose defaults to write.
        #[arg(long, value_enum, default_value_t = ProfileArg::Touch)]
        profile: ProfileArg,
    },
    /// Write the JSON Schema of the configuration, for editors.
    Schema,
}

/// A profile by its word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ProfileArg {
    /// Fills come from real moves.
    Wide,
    /// One level at the touch; needs a rebate.
    Touch,
}

impl From<ProfileArg> for Profile {
    fn from(profile: ProfileArg) -> Self {
        match profile {
            ProfileArg::Wide => Self::Wide,
            ProfileArg::Touch => Self::Touch,
        }
    }
}

/// A duration as people write it: whole numbers with `ms`, `s`, `m`, `h` or `d`, largest first.
///
/// # Errors
/// What is wrong, for the command line.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "write a number with ms, s, m, h or d, such as 60s or 1h30m".to_owned();
    let mut rest = text;
    let mut millis: u64 = 0;
    let mut last_unit = u64::MAX;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number: u64 = rest[..digits].parse().map_err(|_| wrong())?;
        rest = &rest[digits..];
        let letters = rest.bytes().take_while(u8::is_ascii_lowercase).count();
        let unit = match &rest[..letters] {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(wrong()),
        };
        rest = &rest[letters..];
        if unit >= last_unit {
            return Err(wrong());
        }
        last_unit = unit;
        millis = number
            .checked_mul(unit)
            .and_then(|part| millis.checked_add(part))
            .filter(|millis| *millis <= LONGEST_MS)
            .ok_or("longer than a year")?;
    }
    if millis == 0 { Err(wrong()) } else { Ok(Duration::from_millis(millis)) }
}

/// Hours as people write them, such as 48 or 0.5, in minutes.
///
/// # Errors
/// What is wrong, for the command line.
pub fn minutes(text: &str) -> Result<u64, String> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let hours = text.parse::<f64>().ok().filter(|hours| plain && *hours <= HOURS_MAX);
    let minutes = hours.map_or(0, |hours| (hours * 60.0).round() as u64);
    if minutes == 0 {
        return Err(format!("write hours from a minute (0.0167) to {HOURS_MAX}"));
    }
    Ok(minutes)
}

const HOURS_MAX: f64 = 2_400.0;
const LONGEST_MS: u64 = 366 * 86_400_000;

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn parse(args: &[&str]) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(std::iter::once(&"keel").chain(args))
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_bare_keel_runs_and_takes_the_flags_of_run() {
        let bare = parse(&[]).expect("nothing is required");
        assert!(bare.command.is_none());
        let flags = parse(&["--for", "60s"]).expect("a flag of run");
        assert_eq!(flags.run.run_for, Some(Duration::from_secs(60)));
        let Ok(Cli { command: Some(Command::Run(run)), .. }) = parse(&["run", "--mode", "live"])
        else {
            panic!("run is a command");
        };
        assert_eq!(run.mode.as_deref(), Some("live"));
    }

    #[test]
    fn what_is_not_known_or_given_twice_is_refused() {
        for bad in [
            &["--speed", "2"][..],
            &["run", "--mode", "real"],
            &["run", "--mode", "sim", "--mode", "live"],
            &["run", "--for", "-5s"],
            &["--for", "5s", "run"],
            &["exchange", "--speed", "0"],
            &["exchange", "--listen", "nowhere"],
            &["replay"],
            &["config"],
            &["config", "schema", "--config", "x"],
            &["run", "extra"],
        ] {
            let error = parse(bad).expect_err("refused");
            assert_eq!(error.exit_code(), 2, "{bad:?}: {error}");
        }
    }

    /// What a page has one type: lines of blocks, and code within lines, that begin with `keel `.
    fn typed(page: &str) -> Vec<&str> {
        let within = page.lines().flat_map(|line| line.split('`').skip(1).step_by(2));
        let lines = page.lines().map(|line| line.trim_start().trim_start_matches("$ "));
        lines.chain(within).filter(|command| command.starts_with("keel ")).collect()
    }

    #[test]
    fn every_command_of_the_runbook_can_be_typed() {
        let commands = typed(include_str!("../../../docs/RUNBOOK.md"));
        for command in &commands {
            let args: Vec<&str> = command.split_whitespace().skip(1).collect();
            assert!(parse(&args).is_ok_and(|cli| cli.command.is_some()), "{command}");
        }
        for one in ["keel kill --dry-run", "keel rearm --incident 4294967297", "keel flatten"] {
            assert!(commands.contains(&one), "{one}: {commands:?}");
        }
        assert_eq!(typed("$ keel stop\nsay `keel stop`, not keel\n"), ["keel stop"; 2]);
        assert!(parse(&["stop"]).is_err(), "a command that is not there is no command");
    }

    #[test]
    fn hours_are_whole_minutes() {
        for (text, minutes_of) in [("48", 2_880), ("0.05", 3), ("0.0167", 1), ("1.5", 90)] {
            assert_eq!(minutes(text), Ok(minutes_of), "{text}");
        }
        for bad in ["", "0", "0.001", "-1", "2401", "1e3", "inf", "NaN", "1h", "1.5.0"] {
            assert!(minutes(bad).is_err(), "{bad}");
        }
        assert!(parse(&["soak", "--simulated", "--speed", "5"]).is_err());
        assert!(parse(&["soak", "--resume", "x", "--hours", "5"]).is_err());
        assert!(parse(&["soak", "--profile", "wide"]).is_err());
    }

    #[test]
    fn durations_are_whole_numbers_with_units_largest_first() {
        for (text, millis) in
            [("60s", 60_000), ("1h30m", 5_400_000), ("500ms", 500), ("2d", 172_800_000)]
        {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)));
        }
        for bad in
            ["", "60", "s", "-1s", "1.5h", "30m1h", "1s1s", "0s", "9999999999999999999s", "400d"]
        {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
