//! The drills: what is done to the system for each item, and what must follow.
//!
//! A drill provokes what its control is for and looks at the venue's truth, at the log and at the
//! files; a control that was not provoked proves nothing, so each drill also claims that it was.

mod exchange_gone;
mod feeds;
mod fees;
mod kill;
mod lifecycle;
mod orphans;
mod pnl;
mod position;
mod restart;
mod risk;
mod start_up;
mod stay_down;

use std::time::Duration;

use serde_json::Value;

use super::evidence::{Evidence, Label};
use super::stage::{CsvRow, Engine, LOOK_EVERY, Stage, Trouble, Venue, wait};

/// The drill of one item.
#[derive(Clone, Copy, Debug)]
pub struct Drill {
    /// Which item.
    pub item: u8,
    /// Where it runs.
    pub label: Label,
    /// What it does and why, in a line.
    pub why: &'static str,
    /// Carries it out.
    pub run: fn(&Stage, &mut Evidence) -> Result<(), Trouble>,
}

/// The drills, in the order of their items. An item that is not here has none yet.
pub const DRILLS: &[Drill] = &[
    Drill {
        item: 1,
        label: Label::Wire,
        why: "compares the fee of 20 own fills with the venue's rate, then withholds the rate",
        run: fees::run,
    },
    Drill {
        item: 3,
        label: Label::Wire,
        why: "kills with 20 orders resting: healthy, stopped, gone, cut, cancels failing",
        run: kill::run,
    },
    Drill {
        item: 4,
        label: Label::Wire,
        why: "places foreign orders before the start and while the engine quotes",
        run: orphans::run,
    },
    Drill {
        item: 5,
        label: Label::Wire,
        why: "withholds executions from the private stream, then from REST as well",
        run: position::run,
    },
    Drill {
        item: 6,
        label: Label::Wire,
        why: "stalls, cuts and loses what the venue pushes",
        run: feeds::run,
    },
    Drill {
        item: 7,
        label: Label::Wire,
        why: "loses, delays and denies acknowledgments under a small cap of orders",
        run: lifecycle::run,
    },
    Drill {
        item: 9,
        label: Label::Wire,
        why: "moves the price until the day's loss passes 3 %, back again, and restarts",
        run: risk::run,
    },
    Drill {
        item: 10,
        label: Label::Wire,
        why: "trades, pays funding, and compares the ledger with the venue's balance",
        run: pnl::run,
    },
    Drill {
        item: 12,
        label: Label::Wire,
        why: "kills the engine ten times while its orders rest, and trades into what it left",
        run: restart::run,
    },
    Drill {
        item: 18,
        label: Label::Wire,
        why: "starts again after a kill, without a rearm and with one",
        run: stay_down::run,
    },
    Drill {
        item: 19,
        label: Label::Wire,
        why: "fails each question of the start in turn: nothing may be quoted",
        run: start_up::run,
    },
    Drill {
        item: 22,
        label: Label::Wire,
        why: "parts the engine from the venue for 30 s in the middle of trading",
        run: exchange_gone::run,
    },
];

/// The drill of an item.
pub fn drill(item: u8) -> Option<&'static Drill> {
    DRILLS.iter().find(|drill| drill.item == item)
}

/// Long enough for anything that happens in seconds, on a busy machine.
const SOON: Duration = Duration::from_secs(60);

/// Waits until the engine quotes both instruments: four orders rest.
fn quoting(venue: &Venue, engine: &Engine) -> Result<(), Trouble> {
    engine.says("-> RUNNING", SOON)?;
    wait(SOON, "the engine quotes", || Ok(venue.open_orders()? >= 2))
}

/// How many of the engine's orders rested at most, over `looks` looks at the venue.
fn most_resting(venue: &Venue, looks: u32) -> Result<u64, Trouble> {
    let mut most = 0;
    for _ in 0..looks {
        most = most.max(venue.open_orders()?);
        std::thread::sleep(LOOK_EVERY);
    }
    Ok(most)
}

/// Trades into the engine's quotes until it has `count` fills in its files, a round a second of the
/// venue's time.
fn filled(venue: &Venue, engine: &Engine, count: usize) -> Result<(), Trouble> {
    let pause = Duration::from_secs(1) / venue.speed;
    wait(2 * SOON, &format!("{count} fills"), || {
        if venue.open_orders()? > 0 {
            venue.trade_into("BTCUSDT", "4")?;
            venue.trade_into("ETHUSDT", "150")?;
        }
        std::thread::sleep(pause);
        Ok(engine.table("fills.csv").len() >= count)
    })
}

/// Waits until the files have each execution of the venue once.
fn booked(venue: &Venue, engine: &Engine) -> Result<(), Trouble> {
    wait(SOON, "files and venue have the same executions", || {
        Ok(venue.fills()? == engine.table("fills.csv").len() as u64)
    })
}

/// Keeps what an engine wrote.
fn keep(evidence: &mut Evidence, engine: &Engine, name: &str) -> Result<(), Trouble> {
    for file in ["keel.log", "config.toml"] {
        evidence.keep_file(&format!("{name}/{file}"), &engine.run.join(file))?;
    }
    for pair in ["BTCUSDT", "ETHUSDT"] {
        for file in ["fills.csv", "minute.csv"] {
            let path = engine.state.join(pair).join(file);
            evidence.keep_file(&format!("{name}/{pair}/{file}"), &path)?;
        }
    }
    let day = engine.state.join("daily_state.json");
    evidence.keep_file(&format!("{name}/daily_state.json"), &day)?;
    Ok(())
}

/// Keeps what the venue has.
fn keep_truth(evidence: &mut Evidence, venue: &Venue, name: &str) -> Result<(), Trouble> {
    let truth = super::text_of(&venue.state()?);
    evidence.keep(&format!("{name}.json"), truth.as_bytes())?;
    Ok(())
}

/// How often the faults in force have acted.
fn acted(faults: &Value) -> u64 {
    let list = faults["faults"].as_array().cloned().unwrap_or_default();
    list.iter().filter_map(|fault| fault["acted"].as_u64()).sum()
}

/// The exit code as a word.
fn code(code: Option<i32>) -> String {
    code.map_or_else(|| "a signal".to_owned(), |code| format!("exit code {code}"))
}
