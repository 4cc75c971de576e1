//! Lives many simulated lives and tells how they went.

use std::ops::Range;
use std::path::PathBuf;
use std::process::ExitCode;

use keel_tests::campaign::{Block, Campaign, Record, Tally, missing};

const USAGE: &str = "\
usage: keel-campaign --seeds A..B [--record FILE] [--threads N] [--twice]

  --seeds A..B    live the lives of the seeds from A to B - 1
  --record FILE   keep what was lived in FILE, and live only what is missing there
  --threads N     so many at once; 2 when not given
  --twice         live each life twice and compare

The exit code is 0 when no oracle saw a violation, 1 when one did, 2 when this cannot be run.
";

/// Seeds of a line of the record.
const BLOCK: u64 = 16;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let asked = Asked::read(&words).ok_or_else(|| USAGE.to_owned());
    match asked.and_then(Asked::run) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("{}", why.trim_end());
            ExitCode::from(2)
        }
    }
}

/// What the command line asks for.
struct Asked {
    seeds: Range<u64>,
    record: Option<PathBuf>,
    campaign: Campaign,
}

impl Asked {
    fn read(words: &[String]) -> Option<Self> {
        let mut seeds = None;
        let mut record = None;
        let mut campaign = Campaign { threads: 2, twice: false };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let mut value = || words.next();
            match word.as_str() {
                "--seeds" => {
                    let (from, to) = value()?.split_once("..")?;
                    seeds = Some(from.parse().ok()?..to.parse().ok()?);
                }
                "--record" => record = Some(PathBuf::from(value()?)),
                "--threads" => campaign.threads = value()?.parse().ok().filter(|&n| n > 0)?,
                "--twice" => campaign.twice = true,
                _ => return None,
            }
        }
        Some(Self { seeds: seeds?, record, campaign })
    }

    fn run(self) -> Result<bool, String> {
        let mut record = match self.record {
            None => None,
            Some(path) => {
                let opened = Record::open(&path, &build()?);
                Some(opened.map_err(|error| format!("{}: {error}", path.display()))?)
            }
        };
        let mut sum = Tally::default();
        let done = record.as_ref().map_or(Vec::new(), |record| record.blocks().to_vec());
        done.iter().for_each(|block: &Block| sum.add(&block.tally));
        let mut lost = None;
        self.campaign.run(&missing(self.seeds, &done, BLOCK), |block| {
            sum.add(&block.tally);
            let (from, to, failed) = (block.from, block.to, block.tally.failed.len());
            eprintln!("{from}..{to}: {failed} failed");
            if let Some(Err(error)) = record.as_mut().map(|record| record.append(block)) {
                lost = Some(error.to_string());
            }
        });
        println!("{}", sum.report().trim_end());
        lost.map_or(Ok(sum.failed.is_empty()), |error| Err(format!("the record: {error}")))
    }
}

/// A number over this program: what another build has lived is no part of its record.
fn build() -> Result<String, String> {
    let program = std::env::current_exe().and_then(std::fs::read);
    let program = program.map_err(|error| format!("this program: {error}"))?;
    Ok(blake3::hash(&program).to_hex().to_string())
}
