//! The drills: what is done to the system for each item, and what must follow.
//!
//! A drill provokes what its control is for and looks at the venue's truth, at the log and at the
//! files; a control that was not provoked proves nothing, so each drill also claims that it was.

mod account;
mod cancels;
mod clock;
mod crashes;
pub(super) mod demo;
mod disk;
mod exchange_gone;
mod feeds;
mod fees;
mod flips;
mod kill;
mod lifecycle;
mod orphans;
mod parity;
mod partial;
mod picked;
mod pnl;
mod position;
mod quantize;
mod rate;
mod ready;
mod restart;
mod risk;
mod rules;
mod shim;
mod snapshots;
mod soak;
mod start_up;
mod stay_down;
mod worlds;

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::time::Duration;

use keel_core::units::{E8, Rate};
use serde_json::{Value, json};

use super::evidence::{Evidence, Label};
use super::policy::Own;
use super::stage::{CsvRow, Engine, LOOK_EVERY, Stage, TABLES, Trouble, Venue, market_order, wait};
use super::tap::Tap;

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
        item: 2,
        label: Label::Wire,
        why: "tries a million quotes, and changes the rules of a contract while it is quoted",
        run: rules::run,
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
        why: "loses, delays and denies acknowledgments, over a thousand regime flips and at the cap",
        run: lifecycle::run,
    },
    Drill {
        item: 8,
        label: Label::Wire,
        why: "moves the price until cancels breach their budget three times; counts calls",
        run: rate::run,
    },
    Drill {
        item: 9,
        label: Label::Wire,
        why: "moves the price until loss and drawdown stop, restarts; leverage and margin",
        run: risk::run,
    },
    Drill {
        item: 10,
        label: Label::Wire,
        why: "trades, pays funding, and compares the ledger with the venue's balance",
        run: pnl::run,
    },
    Drill {
        item: 11,
        label: Label::Virtual,
        why: "judges the newest comparison of paper and venue once more, if it is of this program",
        run: parity::run,
    },
    Drill {
        item: 12,
        label: Label::Wire,
        why: "kills the engine 200 times under virtual time, ten on the wire, and trades into what it left",
        run: restart::run,
    },
    Drill {
        item: 13,
        label: Label::Wire,
        why: "judges the newest soak in real time once more, if it is of this program and fresh",
        run: soak::run,
    },
    Drill {
        item: 14,
        label: Label::Wire,
        why: "reads what key and account may do, and shows the engine others",
        run: account::run,
    },
    Drill {
        item: 15,
        label: Label::Wire,
        why: "rehearses live mode beside a run on paper, and looks where its orders are",
        run: shim::run,
    },
    Drill {
        item: 16,
        label: Label::Wire,
        why: "takes away what being ready is made of, one by one",
        run: ready::run,
    },
    Drill { item: 17, label: Label::Wire, why: "turns the venue's clock", run: clock::run },
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
        item: 20,
        label: Label::Wire,
        why: "compares positions in status, day and minute with the venue's",
        run: snapshots::run,
    },
    Drill {
        item: 21,
        label: Label::Wire,
        why: "executes one order in sixty parts and closes it",
        run: partial::run,
    },
    Drill {
        item: 22,
        label: Label::Wire,
        why: "parts the engine from the venue for 30 s in the middle of trading",
        run: exchange_gone::run,
    },
    Drill {
        item: 23,
        label: Label::Wire,
        why: "lets the disk refuse every write while orders rest",
        run: disk::run,
    },
    Drill {
        item: 24,
        label: Label::Wire,
        why: "fails single cancels among other failures",
        run: cancels::run,
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

/// Waits until no order of the engine's rests.
fn nothing_rests(venue: &Venue) -> Result<(), Trouble> {
    wait(SOON, "no order rests", || Ok(venue.open_orders()? == 0))
}

/// The rows of a list in the venue's truth: `orders` or `positions`.
fn rows<'t>(truth: &'t Value, list: &str) -> impl Iterator<Item = &'t Value> + use<'t> {
    truth[list].as_array().into_iter().flatten()
}

/// The numbers of the engine's orders that rest.
fn resting(venue: &Venue) -> Result<BTreeSet<String>, Trouble> {
    let truth = venue.truth()?;
    Ok(rows(&truth, "orders")
        .filter_map(|order| order["orderId"].as_str().map(str::to_owned))
        .collect())
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

/// Trades into the nearest that the engine quotes on each side, with an account that is not the
/// engine's.
fn traded_into(venue: &Venue) -> Result<(), Trouble> {
    for symbol in ["BTCUSDT", "ETHUSDT"] {
        for side in ["buy", "sell"] {
            hit(venue, symbol, side)?;
        }
    }
    Ok(())
}

/// Takes the engine's nearest order of a side, and what stands before it: however wide the
/// configuration quotes, it is reached.
fn hit(venue: &Venue, symbol: &str, side: &str) -> Result<(), Trouble> {
    let truth = venue.truth()?;
    let ours = rows(&truth, "orders");
    let ours = ours.filter(|order| order["symbol"] == symbol && order["side"] == side);
    let away = |order: &&Value| number(&order["price"]) * if side == "buy" { -1.0 } else { 1.0 };
    let nearest = ours.min_by(|a, b| away(a).total_cmp(&away(b)));
    let Some(nearest) = nearest else { return Ok(()) };
    let (way, size) =
        (if side == "buy" { "sell" } else { "buy" }, SWEEP[usize::from(symbol != "BTCUSDT")]);
    let order = json!({
        "account": "manual", "category": "USDT-FUTURES", "symbol": symbol, "side": way,
        "orderType": "limit", "timeInForce": "ioc", "price": nearest["price"], "qty": size,
    });
    venue.ask("/admin/order", &order).map(drop)
}

/// More than stands between the touch and the widest quote: of BTCUSDT, and of ETHUSDT.
const SWEEP: [&str; 2] = ["20", "600"];

/// Claims that a limit of the configuration is no looser than the checklist has it.
fn no_looser(
    stage: &Stage,
    evidence: &mut Evidence,
    place: usize,
    (section, name): (&str, &str),
    most: &str,
) {
    let value = stage.policy.text_of(section, name);
    let claim = format!("{name} is no looser than the checklist's {most}");
    let holds = stage.policy.is_at_most(section, name, most);
    evidence.proves(place, &claim, holds, format!("{name} = {value}"));
}

/// A parameter that is kept in 1e-8, as a number.
fn share(rate: Rate) -> f64 {
    rate.0 as f64 / E8 as f64
}

/// Trades into the engine's quotes until it has `count` fills in its files, a round a second of the
/// venue's time; one that has stopped for good is not waited for.
fn filled(venue: &Venue, engine: &Engine, count: usize) -> Result<(), Trouble> {
    let pause = Duration::from_secs(1) / venue.speed;
    wait(2 * SOON, &format!("{count} fills"), || {
        if venue.open_orders()? > 0 {
            traded_into(venue)?;
        }
        std::thread::sleep(pause);
        let stop = engine.last("-> HARD_STOP");
        if !stop.is_empty() {
            return Err(Trouble::Unexpected(format!("stopped before {count} fills: {stop}")));
        }
        Ok(engine.table("fills.csv").len() >= count)
    })
}

/// Waits until the files have each execution of the venue once.
fn booked(venue: &Venue, engine: &Engine) -> Result<(), Trouble> {
    wait(SOON, "files and venue have the same executions", || {
        Ok(venue.fills()? == engine.table("fills.csv").len() as u64)
    })
}

/// Closes what the engine's account holds of a contract, by an order that is not the engine's.
fn flattened(venue: &Venue, symbol: &str) -> Result<(), Trouble> {
    let held = || {
        let truth = venue.truth()?;
        let mut rows = rows(&truth, "positions");
        let row = rows.find(|row| row["symbol"] == symbol);
        Ok::<_, Trouble>(row.and_then(|row| row["size"].as_str()).unwrap_or("0").to_owned())
    };
    let size = held()?;
    let (side, size) = match size.strip_prefix('-') {
        Some(size) => ("buy", size),
        None => ("sell", &*size),
    };
    if size.parse() != Ok(0.0) {
        venue.ask("/admin/order", &market_order(&venue.name(), symbol, side, size))?;
    }
    wait(SOON, "nothing is held", || Ok(held()?.parse() == Ok(0.0)))
}

/// Ends a run in order and claims that its exit code is the one that was to come.
fn ends(
    evidence: &mut Evidence,
    engine: &mut Engine,
    claim: &str,
    wanted: i32,
) -> Result<(), Trouble> {
    let ended = engine.stop()?;
    evidence.claim(claim, ended == Some(wanted), code(ended));
    Ok(())
}

/// Claims that the engine has left no order behind.
fn nothing_left(evidence: &mut Evidence, venue: &Venue) -> Result<(), Trouble> {
    let left = venue.open_orders()?;
    evidence.claim("no order is left", left == 0, format!("{left} rest at the venue"));
    Ok(())
}

/// Keeps what an engine wrote.
fn keep(evidence: &mut Evidence, engine: &Engine, name: &str) -> Result<(), Trouble> {
    for file in ["keel.log", "config.toml"] {
        evidence.keep_file(&format!("{name}/{file}"), &engine.run.join(file))?;
    }
    keep_tables(evidence, &engine.state, name)?;
    let day = engine.state.join("daily_state.json");
    evidence.keep_file(&format!("{name}/daily_state.json"), &day)?;
    Ok(())
}

/// Keeps the tables of a state directory.
fn keep_tables(evidence: &mut Evidence, state: &Path, name: &str) -> Result<(), Trouble> {
    for pair in TABLES {
        for file in ["fills.csv", "minute.csv", "daily.csv"] {
            let kept = Path::new(name).join(pair).join(file);
            evidence.keep_file(&kept.to_string_lossy(), &state.join(pair).join(file))?;
        }
    }
    Ok(())
}

/// Keeps what the venue has.
fn keep_truth(evidence: &mut Evidence, venue: &Venue, name: &str) -> Result<(), Trouble> {
    let truth = super::text_of(&venue.state()?);
    evidence.keep(&format!("{name}.json"), truth.as_bytes())?;
    Ok(())
}

/// Keeps every log below a directory, of a drill that could not be carried out.
pub(super) fn keep_logs(evidence: &mut Evidence, dir: &Path, name: &str) -> io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        let below = format!("{name}/{}", path.file_name().unwrap_or_default().to_string_lossy());
        if path.is_dir() {
            keep_logs(evidence, &path, &below)?;
        } else if path.extension().is_some_and(|ending| ending == "log" || ending == "err") {
            evidence.keep_file(&below, &path)?;
        }
    }
    Ok(())
}

/// Keeps what has passed between an engine and its venue.
fn keep_tap(evidence: &mut Evidence, tap: &Tap, name: &str) -> Result<(), Trouble> {
    evidence.keep(&format!("{name}/wire.jsonl"), tap.record().as_bytes())?;
    Ok(())
}

/// How often the faults in force have acted.
fn acted(faults: &Value) -> u64 {
    let list = faults["faults"].as_array().cloned().unwrap_or_default();
    list.iter().filter_map(|fault| fault["acted"].as_u64()).sum()
}

/// A decimal text, or a JSON number; not a number when it is none, so that no comparison holds.
fn number(value: &Value) -> f64 {
    let text = value.as_str().and_then(|text| text.parse().ok());
    text.or(value.as_f64()).unwrap_or(f64::NAN)
}

/// Whether a line of the guard names a cause of a stop.
fn hard(line: &str, reason: &str) -> bool {
    let named = line.split("hard=").nth(1).and_then(|rest| rest.split_whitespace().next());
    named.is_some_and(|named| named.split('|').any(|one| one == reason))
}

/// The exit code as a word.
fn code(code: Option<i32>) -> String {
    code.map_or_else(|| "a signal".to_owned(), |code| format!("exit code {code}"))
}
