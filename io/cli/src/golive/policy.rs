//! What drilled engines go by: the values of the configuration that is to be signed, but where a
//! drill has to set one itself so that its control can be seen at all.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use keel_core::param::Params;
use serde_json::{Value, json};

use crate::config::{self, Config, keys};

/// Values that a drill sets itself, and why.
#[derive(Clone, Copy, Debug)]
pub struct Own<'t> {
    /// Tables of a configuration, a key a line.
    pub tables: &'t str,
    /// Why the configuration's own values would not do.
    pub why: &'t str,
}

impl Own<'static> {
    /// The configuration as it is.
    pub const NOTHING: Self = Self { tables: "", why: "" };
}

/// The configuration's values, and which of them drills have set otherwise.
#[derive(Clone, Debug)]
pub struct Policy {
    text: String,
    params: Params,
    set: Arc<Mutex<BTreeMap<String, Set>>>,
}

/// A value that was set: what the configuration has, what was drilled, and why.
#[derive(Clone, Debug)]
struct Set {
    configured: String,
    drilled: String,
    why: String,
}

impl Policy {
    /// That of a configuration. Its venue, its keys and where its evidence lies are no part of it;
    /// nor is its mode, as drills bring a venue along.
    pub fn of(config: &Config) -> Self {
        let mut policy =
            Self { text: config::canonical(config), params: config.params, set: Arc::default() };
        let unit = config.plain_text("kill.guardian") == "\"unit\"";
        let guardian = if unit { CHILD } else { Own::NOTHING };
        policy.text = policy.laid_over(&[PLACE, HOST, guardian]);
        policy
    }

    /// The same, for another drill: what that one sets is noted there alone.
    #[must_use]
    pub fn anew(&self) -> Self {
        let set = self.set.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Self { set: Arc::new(Mutex::new(set)), ..self.clone() }
    }

    /// The parameters of the configuration.
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// A parameter's value as it is written.
    ///
    /// # Panics
    /// When there is no such parameter, or it has regimes.
    pub fn text_of(&self, section: &str, name: &str) -> String {
        let row = keys::parameter(section, name).expect("a parameter");
        assert!(!row.by_regime, "{name} has regimes");
        keys::text_of(row.unit, self.params.values()[row.at])
    }

    /// Whether a limit of `[risk]` or `[order]` is at most what is written as `most`.
    ///
    /// # Panics
    /// When there is no such parameter, or `most` is no value of it.
    pub fn is_at_most(&self, section: &str, name: &str, most: &str) -> bool {
        let row = keys::parameter(section, name).expect("a parameter");
        let most = keys::units_of(row.unit, most).expect("a value of it");
        self.params.values()[row.at] <= most
    }

    /// The text of a configuration with what drills set laid over it, later over earlier, and
    /// `venue` as its venue.
    pub fn configuration(&self, own: &[Own<'_>], venue: &str) -> String {
        format!("{}\n{venue}", self.laid_over(own))
    }

    /// The parameters with numbers laid over them that a drill under virtual time sets.
    ///
    /// # Panics
    /// When one is no parameter, or takes no such value.
    pub fn with(&self, own: Own<'_>) -> Params {
        let mut params = self.params;
        for (section, key, value) in lines(own.tables) {
            let row = keys::parameter(section, key).expect("a parameter");
            let units = keys::units_of(row.unit, value).expect("a number");
            let values = &self.params.values()[row.at..row.at + row.wide.len()];
            let mut texts: Vec<_> = values.iter().map(|&v| keys::text_of(row.unit, v)).collect();
            texts.dedup();
            let configured = texts.join("|");
            self.note(section, key, [&configured, value], own.why);
            for at in row.at..row.at + row.wide.len() {
                assert!(params.set(at, units), "{key} takes no {value}");
            }
        }
        params
    }

    fn laid_over(&self, own: &[Own<'_>]) -> String {
        let mut over: BTreeMap<(&str, &str), (&str, &str)> = BTreeMap::new();
        for one in own {
            for (section, key, value) in lines(one.tables) {
                over.insert((section, key), (value, one.why));
            }
        }
        let mut out = String::new();
        for (section, body) in sections(&self.text).filter(|(section, _)| *section != "venue") {
            out.push_str(&format!("[{section}]\n"));
            for (_, key, value) in lines(body) {
                let drilled = over.remove(&(section, key));
                let value = drilled.map_or(value, |(drilled, why)| {
                    self.note(section, key, [value, drilled], why);
                    drilled
                });
                out.push_str(&format!("{key} = {value}\n"));
            }
            // Ranges of the envelope stand there only where somebody has set them.
            let of_section = |(own, _): &(&str, &str)| *own == section;
            let more: Vec<_> = over.keys().copied().filter(of_section).collect();
            for (section, key) in more {
                let (value, why) = over.remove(&(section, key)).expect("it is there");
                self.note(section, key, ["", value], why);
                out.push_str(&format!("{key} = {value}\n"));
            }
        }
        out
    }

    fn note(&self, section: &str, key: &str, [configured, drilled]: [&str; 2], why: &str) {
        if configured == drilled || why.is_empty() {
            return;
        }
        let (configured, drilled, why) = (configured.into(), drilled.into(), why.into());
        let mut set = self.set.lock().unwrap_or_else(PoisonError::into_inner);
        set.insert(format!("{section}.{key} {drilled}"), Set { configured, drilled, why });
    }

    /// What drills have set otherwise, as it stands in the bundle.
    pub fn set(&self) -> Value {
        let set = self.set.lock().unwrap_or_else(PoisonError::into_inner);
        let rows = set.iter().map(|(key, set)| {
            let key = key.split(' ').next().unwrap_or_default();
            let Set { configured, drilled, why } = set;
            json!({ "key": key, "configured": configured, "drilled": drilled, "why": why })
        });
        rows.collect()
    }
}

/// What is no rule: drills bring a venue along, and judge evidence instead of showing some.
const PLACE: Own<'_> = Own {
    tables: "[run]\nmode = \"sim\"\n[live]\ndrills = \"\"\naccount = \"\"\nreviewer = \"\"\n\
             [kill]\nkey_file = \"\"\n",
    why: "",
};
/// What depends on the host and on the venue that is drilled on.
const HOST: Own<'_> = Own {
    tables: "[run]\ninstruments = [\"BTCUSDT\", \"ETHUSDT\"]\nthreading = \"auto\"\n\
             idle = \"auto\"\ncores = []\n",
    why: "two drills share this host, and the embedded venue lists these contracts",
};

/// For a configuration whose guardian is a service.
const CHILD: Own<'_> = Own {
    tables: "[kill]\nguardian = \"on\"\n",
    why: "no unit file runs beside a drilled engine, which brings the same guardian as a child",
};

/// The sections of a canonical text, each with its lines.
fn sections(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.split("\n[").filter_map(|part| part.trim_start_matches('[').split_once(']'))
}

/// Section, key and value of each line.
fn lines(tables: &str) -> impl Iterator<Item = (&str, &str, &str)> {
    let mut section = "";
    tables.lines().filter_map(move |line| {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            section = name;
            return None;
        }
        let (key, value) = line.split_once('=')?;
        Some((section, key.trim(), value.trim()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Sources;

    fn config(text: &str) -> Config {
        let file = Some(("keel.toml".into(), text.to_owned()));
        Config::new(&Sources { file, ..Sources::default() }).expect("good")
    }

    const CONFIGURED: &str = "[run]\nmode = \"live\"\ninstruments = [\"ETHUSDT\"]\n[venue]\nuid = 7\n\
         key_file = \"k\"\n[risk]\nmax_daily_loss_pct_hard = 0.02\n[live]\ndrills = \"a\"\n\
         [strategy]\nspread_min = { up = 0.0031 }\n[envelope]\nskew_factor = [0.1, 0.9]\n";

    #[test]
    fn drilled_engines_have_every_value_of_the_configuration_but_its_venue_and_keys() {
        let configured = config(CONFIGURED);
        let drilled = config(&Policy::of(&configured).configuration(&[Own::NOTHING], ""));
        assert_eq!(drilled.params, configured.params, "wide, as live is, and the loss of 2 %");
        assert_eq!(drilled.envelope, configured.envelope);
        assert_eq!((drilled.mode.to_string().as_str(), drilled.venue.uid), ("sim", 0));
        assert_eq!((drilled.venue.key_file, drilled.live.drills), (None, None));
    }

    #[test]
    fn what_a_drill_sets_is_laid_over_and_told_with_its_reason() {
        let policy = Policy::of(&config(CONFIGURED)).anew();
        let own = |tables| Own { tables, why: "two are enough" };
        let own = [
            own("[risk]\nmax_active_executors = 20\nmax_daily_loss_pct_hard = 0.02\n"),
            own("[risk]\nmax_active_executors = 12\n[envelope]\nlevel_step = [0.1, 0.2]\n"),
        ];
        let drilled = config(&policy.configuration(&own, ""));
        assert_eq!(drilled.params.max_active_executors(), 12);
        assert_eq!(drilled.envelope.len(), 2);
        let told = policy.set();
        let keys: Vec<&str> =
            told.as_array().expect("rows").iter().filter_map(|row| row["key"].as_str()).collect();
        let set = ["envelope.level_step", "risk.max_active_executors", "run.instruments"];
        assert_eq!(keys, set, "{told}");
        let row = &told[1];
        assert_eq!((&row["configured"], &row["drilled"]), (&json!("10"), &json!("12")));
        assert_eq!(row["why"], "two are enough");
    }

    #[test]
    fn a_limit_is_held_against_the_checklists_in_its_own_unit() {
        let policy = Policy::of(&config(CONFIGURED));
        assert_eq!(policy.text_of("risk", "max_daily_loss_pct_hard"), "0.02");
        assert!(policy.is_at_most("risk", "max_daily_loss_pct_hard", "0.02"));
        assert!(!policy.is_at_most("risk", "max_daily_loss_pct_hard", "0.019"));
    }
}
