//! Setup: what one run is started with, after the configuration has been read and checked.

use std::path::PathBuf;
use std::time::Duration;

use keel_core::command::Ruling;
use keel_core::event::Mode;
use keel_core::instrument::Symbol;
use keel_core::limit::LIMITS;
use keel_core::param::{self, Params, Profile, Row};
use keel_core::regime::Regime;

use keel_net::bitget::client::Instance;

pub use keel_sim::paper::{Latency, Terms};
pub use keel_sim::queue::Cancels;

use crate::affinity::{Idle, Threading};
use crate::cold::daily::{grid_text, trimmed};
use crate::guardian::Guarding;
use crate::mode::live::LiveTrading;
use crate::secrets::ApiKey;

/// Everything that a run needs to know. Made by the command line, trusted from here on.
#[derive(Debug)]
pub struct Setup {
    /// How it trades.
    pub mode: Mode,
    /// Which defaults it started from; the console says so.
    pub profile: Profile,
    /// The name of this engine among those of one account; part of every client id.
    pub instance: Instance,
    /// `bot_variant` of the files.
    pub variant: String,
    /// What is traded, in the order that gives [`keel_core::instrument::InstrumentId`]s.
    pub instruments: Vec<Symbol>,
    /// Every value of the parameter table.
    pub params: Params,
    /// How hot agents are laid on threads.
    pub threading: Threading,
    /// What they do without work.
    pub idle: Idle,
    /// Cores named by the operator, or none.
    pub cores: Vec<usize>,
    /// Against whom.
    pub venue: Venue,
    /// Permission to trade for real; without it live mode does not begin.
    pub live: Option<LiveTrading>,
    /// Where this run writes; new and its own.
    pub run_dir: PathBuf,
    /// What outlives runs.
    pub state_dir: PathBuf,
    /// Where instruments of the account are claimed against every other engine on this host; `None`
    /// with the embedded venue, which nobody else can reach.
    pub claims_dir: Option<PathBuf>,
    /// What may be set at run time besides limits, which may always be tightened.
    pub envelope: Vec<Envelope>,
    /// A hot thread or an engine that has not turned for this long is gone, in milliseconds.
    pub hang_ms: u64,
    /// Who guards this run.
    pub guardian: Guarding,
    /// Where the newest run of this engine is remembered.
    pub pointer: PathBuf,
    /// The key of kill and guardian, where it is another than the venue's.
    pub kill_key: Option<ApiKey>,
    /// Ends in order after this long; `None` runs until told to stop.
    pub run_for: Option<Duration>,
    /// Seed of everything that may be chosen at will.
    pub seed: u64,
    /// BLAKE3 of `config_text`.
    pub config_hash: [u8; 32],
    /// The effective configuration in its canonical form, without secrets.
    pub config_text: String,
}

/// The venue of a run.
#[derive(Debug)]
pub enum Venue {
    /// A venue inside this process, over TLS on loopback.
    Embedded(Market),
    /// A venue on sockets.
    Remote(Remote),
    /// A venue in this process, on a public market.
    Paper(PaperVenue),
}

impl Venue {
    /// How many times faster than real its time runs.
    pub fn clock_speed(&self) -> u32 {
        match self {
            Self::Embedded(market) => market.clock_speed,
            Self::Remote(remote) => remote.clock_speed,
            Self::Paper(_) => 1,
        }
    }
}

/// The market that an embedded venue makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Market {
    /// The same seed gives the same market.
    pub seed: u64,
    /// How many times faster than real the venue's time runs; 1 or more.
    pub clock_speed: u32,
}

/// A venue on sockets.
#[derive(Debug)]
pub struct Remote {
    /// `https://host:port` of the REST interface.
    pub rest: String,
    /// `wss://…` of the public stream.
    pub ws_public: String,
    /// `wss://…` of the private stream.
    pub ws_private: String,
    /// PEM file of the authority that signs the venue's certificate; `None` for the public ones.
    pub ca: Option<PathBuf>,
    /// The key to trade with.
    pub key: ApiKey,
    /// The account that must answer to that key.
    pub uid: u64,
    /// How many times faster than real its time runs; 1 or more.
    pub clock_speed: u32,
}

/// A public market, and the venue that is played on it. There is no place for a key.
#[derive(Debug)]
pub struct PaperVenue {
    /// `https://host:port` of the REST interface.
    pub rest: String,
    /// `wss://…` of the public stream.
    pub ws_public: String,
    /// PEM file of the authority that signs the market's certificate; `None` for the public ones.
    pub ca: Option<PathBuf>,
    /// Balance, fees, latencies and the rule of the queue.
    pub terms: Terms,
}

/// The range within which one parameter may be set while an engine runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// Where the parameter's values begin.
    pub at: usize,
    /// The least, in its unit.
    pub min: i64,
    /// The most.
    pub max: i64,
}

/// What may be set while an engine runs, and the values in force.
#[derive(Clone, Debug)]
pub struct Adjustable {
    params: Params,
    envelope: Vec<Envelope>,
}

impl Adjustable {
    /// Starts from the values of the configuration.
    pub fn new(params: Params, envelope: Vec<Envelope>) -> Self {
        Self { params, envelope }
    }

    /// The place and value that `key = value` means, when it lies within what may be set.
    ///
    /// # Errors
    /// Why not, with what is allowed.
    pub fn resolve(&self, key: &str, value: &str) -> Result<(u16, i64), String> {
        let (row, place) = find(key)?;
        let wanted = row.unit.parse(value.trim_matches('"').as_bytes());
        let allowed = self.range(row);
        let Some((min, max)) = allowed else {
            return Err(format!(
                "{} is not in [envelope] of the configuration and is no limit; it is not set while an \
                 engine runs",
                row.name
            ));
        };
        match wanted {
            Ok(wanted) if (min..=max).contains(&wanted) => {
                Ok((u16::try_from(place).expect("few parameters"), wanted))
            }
            Ok(_) => Err(format!(
                "{} may be set from {} to {}",
                row.name,
                text(row, min),
                text(row, max)
            )),
            Err(error) => Err(format!(
                "{value} is no value of {} ({error:?}); it may be set from {} to {}",
                row.name,
                text(row, min),
                text(row, max)
            )),
        }
    }

    /// Takes in that a value has been set.
    pub fn took(&mut self, place: u16, value: i64) {
        self.params.set(usize::from(place), value);
    }

    /// Why the engine refused to set the value at `place`, where `found` is in force.
    pub fn explain(&self, place: u16, ruling: Ruling, found: i64) -> String {
        let Some(row) = param::row_of(usize::from(place)) else { return ruling.text().to_owned() };
        format!("{} stays {}: {}", row.name, text(row, found), ruling.text())
    }

    /// What a parameter may be set to: its envelope, or, for a limit, its whole range, of which the
    /// engine lets the tighter side through.
    fn range(&self, row: &Row) -> Option<(i64, i64)> {
        let envelope = self.envelope.iter().find(|envelope| envelope.at == row.at);
        let limited = LIMITS.iter().any(|limit| limit.at == row.at) || row.section == "risk";
        match envelope {
            Some(envelope) => Some((envelope.min, envelope.max)),
            None if limited => Some((row.min, row.max)),
            None => None,
        }
    }

    /// The value in force at `place`.
    pub fn value(&self, place: u16) -> Option<i64> {
        self.params.values().get(usize::from(place)).copied()
    }
}

/// The row and the place that `name`, `name.regime` or `section.name…` mean.
fn find(key: &str) -> Result<(&'static Row, usize), String> {
    let mut parts: Vec<&str> = key.split('.').collect();
    if parts.len() > 1 && param::TABLE.iter().any(|row| row.section == parts[0]) {
        parts.remove(0);
    }
    let unknown = || format!("there is no parameter {key}; `keel config example` lists all");
    let (name, regime) = match parts[..] {
        [name] => (name, None),
        [name, regime] => (name, Some(regime)),
        _ => return Err(unknown()),
    };
    let row = param::TABLE.iter().find(|row| row.name == name).ok_or_else(unknown)?;
    let regimes = || Regime::ALL.iter().map(|regime| regime.text()).collect::<Vec<_>>().join(", ");
    match (row.by_regime, regime) {
        (false, None) => Ok((row, row.at)),
        (false, Some(_)) => Err(format!("{name} is one value for all regimes")),
        (true, None) => {
            Err(format!("{name} has a value for each regime: {name}.R with R of {}", regimes()))
        }
        (true, Some(word)) => {
            let place = Regime::ALL.iter().position(|regime| regime.text() == word);
            let place = place.ok_or_else(|| format!("the regimes are {}", regimes()))?;
            Ok((row, row.at + place))
        }
    }
}

fn text(row: &Row, value: i64) -> String {
    match row.unit {
        param::Unit::Word(words) => {
            let place = usize::try_from(value).ok();
            place.and_then(|place| words.get(place)).copied().unwrap_or("?").to_owned()
        }
        unit => trimmed(grid_text(unit.grid(), value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use keel_core::limit;
    use keel_core::param::at;

    fn adjustable() -> Adjustable {
        let envelope = Envelope { at: at::spread_min, min: 5_000, max: 200_000 };
        Adjustable::new(Params::defaults(Profile::Touch), vec![envelope])
    }

    #[test]
    fn what_is_in_the_envelope_may_be_set_within_it_and_nothing_else_of_the_strategy() {
        let up = at::spread_min + Regime::Up as usize;
        let adjustable = adjustable();
        let set = |value| adjustable.resolve("spread_min.up", value);
        assert_eq!(set("0.0001"), Ok((up as u16, 10_000)));
        assert_eq!(set("0.00005"), Ok((up as u16, 5_000)));
        assert!(set("0.00004999").expect_err("outside").contains("from 0.00005 to 0.002"));
        assert!(set("0.00200001").expect_err("outside").contains("from 0.00005 to 0.002"));
        for (key, value, why) in [
            ("spread_min", "0.0001", "for each regime"),
            ("spread_min.sideways", "0.0001", "the regimes are"),
            ("spread_max.up", "0.0001", "not in [envelope]"),
            ("zombie_window_ms", "5000", "not in [envelope]"),
            ("spread", "1", "no parameter"),
            ("spread_min.up", "NaN", "no value"),
            ("spread_min.up", "", "no value"),
            ("max_base_pct.up", "0.1", "one value for all regimes"),
        ] {
            let refused = adjustable.resolve(key, value).expect_err(key);
            assert!(refused.contains(why), "{key} = {value}: {refused}");
        }
    }

    #[test]
    fn a_limit_may_be_named_without_an_envelope_and_the_engine_decides_over_its_direction() {
        let place = at::max_base_pct as u16;
        assert_eq!(adjustable().resolve("risk.max_base_pct", "0.1"), Ok((place, 10_000_000)));
        let loosened = adjustable().resolve("max_base_pct", "0.2").expect("within its range");
        let turn = limit::turn(at::max_base_pct, 15_000_000, loosened.1);
        assert_eq!(turn, limit::Turn::Loosens);
        let said = adjustable().explain(place, Ruling::Loosens, 15_000_000);
        assert_eq!(said, "max_base_pct stays 0.15: limits may only be tightened");
    }
}
