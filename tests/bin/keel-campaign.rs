//! Lives many simulated lives and tells how they went, or one life and what it needs to fail.

use std::ops::Range;
use std::path::PathBuf;
use std::process::ExitCode;

use keel_tests::campaign::{Block, Campaign, Life, Record, Tally, live, missing, shrink};

const USAGE: &str = "\
usage: keel-campaign --seeds A..B [--record FILE] [--threads N] [--twice]
       keel-campaign --seed N [--faults PLACE,...] [--trace] [--shrink]

  --seeds A..B    live the lives of the seeds from A to B - 1
  --record FILE   keep what was lived in FILE, and live only what is missing there
  --threads N     so many at once; 2 when not given
  --twice         live each life twice and compare
  --seed N        live this life alone
  --faults P,...  of its faults only those at these places of its plan, counted from 0
  --trace         tell of it as it goes
  --shrink        if it fails, find the least of its faults with which it still does

The exit code is 0 when no oracle saw a violation, 1 when one did, 2 when this cannot be run.
";

/// Seeds of a line of the record.
const BLOCK: u64 = 256;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let asked = Asked::read(&words).ok_or_else(|| USAGE.to_owned());
    match asked.and_then(|asked| asked.run()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("{}", why.trim_end());
            ExitCode::from(2)
        }
    }
}

/// What the command line asks for.
enum Asked {
    Many { seeds: Range<u64>, record: Option<PathBuf>, campaign: Campaign },
    One { life: Box<Life>, shrinks: bool },
}

impl Asked {
    fn read(words: &[String]) -> Option<Self> {
        let (mut seeds, mut seed, mut places) = (None, None, None);
        let (mut record, mut campaign) = (None, Campaign { threads: 2, twice: false });
        let (mut trace, mut shrinks) = (false, false);
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let mut value = || words.next();
            match word.as_str() {
                "--seeds" => {
                    let (from, to) = value()?.split_once("..")?;
                    seeds = Some(from.parse().ok()?..to.parse().ok()?);
                }
                "--seed" => seed = Some(value()?.parse().ok()?),
                "--faults" => {
                    let read = |place: &str| place.parse().ok();
                    let list: Option<Vec<usize>> = value()?.split(',').map(read).collect();
                    places = Some(list?);
                }
                "--record" => record = Some(PathBuf::from(value()?)),
                "--threads" => campaign.threads = value()?.parse().ok().filter(|&n| n > 0)?,
                "--twice" => campaign.twice = true,
                "--trace" => trace = true,
                "--shrink" => shrinks = true,
                _ => return None,
            }
        }
        if shrinks && places.is_some() {
            return None;
        }
        match (seeds, seed) {
            (Some(seeds), None) => Some(Self::Many { seeds, record, campaign }),
            (None, Some(seed)) => {
                let mut life = Life::drawn(seed);
                if let Some(places) = places {
                    let count = life.world.faults.faults.len();
                    life = places.iter().all(|&at| at < count).then(|| life.only(&places))?;
                }
                life.trace = trace;
                Some(Self::One { life: Box::new(life), shrinks })
            }
            _ => None,
        }
    }

    fn run(self) -> Result<bool, String> {
        match self {
            Self::Many { seeds, record, campaign } => many(seeds, record, campaign),
            Self::One { life, shrinks } => Ok(one(&life, shrinks)),
        }
    }
}

fn many(seeds: Range<u64>, path: Option<PathBuf>, campaign: Campaign) -> Result<bool, String> {
    let mut record = match path {
        None => None,
        Some(path) => {
            let opened = Record::open(&path, &build()?);
            Some(opened.map_err(|error| format!("{}: {error}", path.display()))?)
        }
    };
    let mut sum = Tally::default();
    let done: Vec<Block> = record.as_ref().map_or(Vec::new(), |record| record.blocks().to_vec());
    done.iter().for_each(|block| sum.add(&block.tally));
    let mut lost = None;
    // A short range is shared among the threads, too.
    let share = (seeds.end - seeds.start) / (4 * campaign.threads as u64);
    campaign.run(&missing(seeds, &done, share.clamp(1, BLOCK)), |block| {
        sum.add(&block.tally);
        let (from, to, failed) = (block.from, block.to, block.tally.failed.len());
        eprintln!("{from}..{to}: {failed} failed; {:.3} days count", days(sum.counted_ns));
        if let Some(Err(error)) = record.as_mut().map(|record| record.append(block)) {
            lost = Some(error.to_string());
        }
    });
    println!("{}", sum.report().trim_end());
    lost.map_or(Ok(sum.failed.is_empty()), |error| Err(format!("the record: {error}")))
}

fn one(life: &Life, shrinks: bool) -> bool {
    let outcome = live(life);
    println!("{}", outcome.report().trim_end());
    println!("{} ms, hash {}", outcome.simulated_ns / 1_000_000, outcome.hash);
    let Some(first) = outcome.violations.first() else { return true };
    if shrinks {
        let faults = &life.world.faults.faults;
        let fails = |places: &[usize]| {
            let again = live(&Life { trace: false, ..life.only(places) });
            again.violations.iter().any(|seen| seen.invariant == first.invariant)
        };
        let places = shrink(faults.len(), fails);
        println!("{} of {} faults are needed for {}:", places.len(), faults.len(), first.invariant);
        places.iter().for_each(|&place| println!("  {place}: {}", faults[place]));
        let places: Vec<String> = places.iter().map(ToString::to_string).collect();
        let seed = outcome.seed;
        println!("keel-campaign --seed {seed} --faults {} --trace", places.join(","));
    }
    false
}

/// A number over this program: what another build has lived is no part of its record.
fn build() -> Result<String, String> {
    let program = std::env::current_exe().and_then(std::fs::read);
    let program = program.map_err(|error| format!("this program: {error}"))?;
    Ok(blake3::hash(&program).to_hex().to_string())
}

fn days(ns: u64) -> f64 {
    ns as f64 / 86_400e9
}
