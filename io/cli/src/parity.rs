//! `keel parity`: one market, traded at the embedded venue and on paper, and how far the two are
//! apart.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use keel_core::param::VALUES;
use keel_core::units::{SECONDS, UnixNanos};
use keel_desk::report::edge::Shelf;
use keel_desk::report::parity::{self, Gathering, Report, Rows, Word};
use keel_io::clock::{Clock, ORIGIN};
use keel_io::memory::Block;
use keel_io::world::{Note, World, WorldConfig};

use crate::args::ParityArgs;
use crate::config::{self, Config};
use crate::exit::Exit;
use crate::golive::stamp;
use crate::{complain, configuration, print, sealed, soak};

/// Lives the minutes that are asked for, writes the report, and says how it went.
pub(crate) fn run(args: &ParityArgs) -> Exit {
    let (config, _) = match configuration(args.config.as_deref(), None) {
        Ok(found) => found,
        Err(issues) => {
            complain(&issues);
            return Exit::Usage;
        }
    };
    if let Some(refusal) = soak::needs_embedded(&config) {
        complain(&refusal);
        return Exit::Usage;
    }
    match carry_out(args, &config) {
        Ok((dir, report)) => {
            let word = report.word.of_all();
            let end = format!(
                "{word} (virtual), {} minutes compared: {}\n",
                report.minutes(),
                dir.display()
            );
            match (print(&(parity::lines(&report) + &end)), report.word) {
                (Exit::Done, Word::Insufficient | Word::Differ) => Exit::Gate,
                (told, _) => told,
            }
        }
        Err(what) => {
            complain(&what);
            Exit::Failed
        }
    }
}

fn carry_out(args: &ParityArgs, config: &Config) -> Result<(PathBuf, Report), String> {
    let mut told = soak::bound(config)?;
    let dir = args.out.join(stamp(Clock::start().utc()));
    let [venue, paper] = [VENUE, PAPER].map(|name| dir.join(name));
    for dir in [&venue, &paper] {
        fs::create_dir_all(dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    }
    write(&dir.join(CONFIG), &config::canonical(config))?;
    let began = Instant::now();
    let [at_venue, on_paper] = lived(args, config)?;
    at_venue.save(&venue)?;
    on_paper.save(&paper)?;
    let report = again(&dir, args.seed)?;
    if let Some(lines) = parity::calibration(&at_venue) {
        write(&dir.join("calibration.toml"), &lines)?;
    }
    let page = parity::html(&report, &at_venue, &on_paper);
    told["label"] = "virtual".into();
    told["seed"] = args.seed.into();
    told["minutes"] = args.minutes.into();
    told["report"] = parity::json(&report);
    sealed::write(&args.out, &soak::absolute(&dir)?, OWN, Clock::start().utc(), (told, &page))?;
    eprintln!("{} minutes lived in {:.0} s", args.minutes, began.elapsed().as_secs_f64());
    Ok((dir, report))
}

/// Compares the rows that lie in `dir`.
///
/// # Errors
/// When they are not there, or are none.
pub(crate) fn again(dir: &Path, seed: u64) -> Result<Report, String> {
    let [venue, paper] = [VENUE, PAPER].map(|name| Rows::load(&dir.join(name)));
    Ok(Report::of(&venue?, &paper?, seed))
}

/// Lives through it: what was done at the venue, and on paper.
fn lived(args: &ParityArgs, config: &Config) -> Result<[Rows; 2], String> {
    let world = WorldConfig {
        profile: config.profile,
        params: (0..VALUES).map(|at| (at, config.params.values()[at])).collect(),
        symbols: config.instruments.clone(),
        paper: Some(config.paper.terms),
        ..WorldConfig::calm(args.seed)
    };
    let began = world.began;
    let shelf = || Shelf::with(config.instruments.len()).map_err(|odd| odd.0.to_owned());
    let mut shelves = [shelf()?, shelf()?];
    let mut seen = shelves.each_mut().map(Gathering::new);
    let block = Block::default();
    let mut world = World::new(world, &block);
    // A minute before and one behind, which both may have lived in part.
    let until = ORIGIN.after((args.minutes + 2) * 60 * SECONDS);
    while world.now() < until && !world.has_stopped() {
        world.advance(until);
        for noted in world.take_notes() {
            let (place, tap) = match &noted.note {
                Note::Tap(tap) => (0, tap),
                Note::Paper(tap) => (1, tap),
                _ => continue,
            };
            let utc = UnixNanos(began.0 + tap.now.since(ORIGIN) as i64);
            seen[place].take(tap, utc).map_err(|odd| odd.0.to_owned())?;
        }
    }
    Ok(seen.map(Gathering::rows))
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}

/// Where the rows of each lie.
pub(crate) const VENUE: &str = "venue";
pub(crate) const PAPER: &str = "paper";
/// The configuration of both.
pub(crate) const CONFIG: &str = "paper/config.toml";
/// The name of a run's own report.
const OWN: &str = "parity.json";
