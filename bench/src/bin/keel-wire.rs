//! Runs the wire-to-order harness and prints its table; see `bench/README.md`.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use keel_bench::frames::{LEVELS_400, LEVELS_826};
use keel_bench::wire::{self, Settings};

/// Times books frames in against order bytes out, beside echoes and the usual path.
#[derive(Parser)]
struct Args {
    /// Rounds; the first is thrown away.
    #[arg(long, default_value_t = 13, value_parser = clap::value_parser!(u64).range(2..=1_000))]
    rounds: u64,
    /// Orders of each lane in a round.
    #[arg(long, default_value_t = 1_500, value_parser = clap::value_parser!(u64).range(1..))]
    orders: u64,
    /// Three rounds of 100: shows that it works, and nothing else.
    #[arg(long)]
    short: bool,
    /// Frames of about 826 bytes instead of 400.
    #[arg(long)]
    large: bool,
    /// Writes `wire.json` and `wire.txt` into this directory.
    #[arg(long)]
    out: Option<PathBuf>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let (rounds, orders) = if args.short { (3, 100) } else { (args.rounds, args.orders) };
    let levels = if args.large { LEVELS_826 } else { LEVELS_400 };
    let settings = Settings { rounds: rounds as usize, orders: orders as usize, levels };
    match run(settings, args.out) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("keel-wire: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(settings: Settings, out: Option<PathBuf>) -> std::io::Result<()> {
    let report = wire::run(settings)?;
    let table = report.table();
    print!("{table}");
    if let Some(out) = out {
        fs::create_dir_all(&out)?;
        fs::write(out.join("wire.txt"), &table)?;
        fs::write(out.join("wire.json"), format!("{:#}\n", report.json()))?;
    }
    Ok(())
}
