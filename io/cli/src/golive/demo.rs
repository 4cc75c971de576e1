//! Demo trading as a drill sees it: engines with the configuration's own rules and key, and what
//! the venue says over signed GETs. There is no administration: nothing can be made to go wrong
//! there, and there is no truth beside the venue's word.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use keel_core::event::Mode;
use keel_core::units::SECONDS;
use keel_io::clock::Clock;
use keel_io::mode::live::DEMO_AT;
use keel_io::mode::survey::{Question, survey};
use keel_io::setup::Setup;
use serde_json::Value;

use super::stage::{Engine, Stage, Trouble};
use crate::args::RunArgs;
use crate::config::{self, Config};
use crate::exit::Exit;
use crate::start;

/// The account at demo trading.
#[derive(Debug)]
pub(super) struct Demo {
    setup: Setup,
    /// The configuration, with every path absolute.
    text: String,
    /// Whose account it is, and that of one drill at a time.
    turn: Mutex<()>,
    /// What the bundle calls it.
    pub(super) venue: String,
    /// Names that have been given, and when the first was.
    names: AtomicU64,
    began_s: u64,
}

/// A key of the configuration and what it is to be instead.
pub(super) type Change<'c> = (&'c str, &'c str);

impl Demo {
    /// The account of a configuration in mode demo.
    pub(super) fn of(config: &Config) -> Result<Self, (Exit, String)> {
        let usage = |what: &str| Err((Exit::Usage, what.to_owned()));
        if config.mode != Mode::Demo {
            return usage("--venue demo trades by [run] mode = \"demo\", and the mode is another");
        }
        let Some(key_file) = &config.venue.key_file else {
            return usage("--venue demo needs [venue] key_file: drills start engines of their own");
        };
        let mut paths = vec![("venue.key_file", key_file)];
        paths.extend(config.venue.ca.as_ref().map(|path| ("venue.ca", path)));
        paths.extend(config.kill_key_file.as_ref().map(|path| ("kill.key_file", path)));
        let mut text = config::canonical(config);
        for (key, path) in paths {
            let path = std::path::absolute(path)
                .map_err(|error| (Exit::Usage, format!("{}: {error}", path.display())))?;
            text = changed(&text, &[(key, &quoted(&path))]);
        }
        let now = Clock::start().utc();
        let setup = start::setup(config.clone(), &RunArgs::default(), now)?;
        let rest = config.venue.urls.as_ref().map_or("", |urls| &urls.rest);
        let (turn, venue) = (Mutex::default(), format!("{DEMO_AT}{rest}"));
        let (names, began_s) = (AtomicU64::new(0), now.0.unsigned_abs() / SECONDS);
        Ok(Self { setup, text, turn, venue, names, began_s })
    }

    /// A name for an engine with a state directory of its own, as it is written: the venue knows
    /// the orders of every engine before it, and one that forgets its own is refused.
    pub(super) fn name(&self) -> String {
        // Relaxed: the count hands out numbers.
        let number = self.names.fetch_add(1, Ordering::Relaxed);
        let mut left = self.began_s * NAMES_MAX + number % NAMES_MAX;
        let mut name = [b'g'; NAME_BYTES];
        for byte in name[1..].iter_mut().rev() {
            *byte = b"0123456789abcdefghijklmnopqrstuvwxyz"[(left % 36) as usize];
            left /= 36;
        }
        format!("\"{}\"", String::from_utf8_lossy(&name))
    }

    /// Lets `drill` have the account to itself, in a part of `stage`. Whatever became of it,
    /// nothing is left at the venue.
    pub(super) fn alone(
        &self,
        stage: &Stage,
        drill: impl FnOnce(&Stage) -> Result<(), Trouble>,
    ) -> Result<(), Trouble> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let part = stage.part("demo")?;
        let left = self.open_orders()?.len();
        if left > 0 {
            let what = format!("{left} orders rest there before it begins: cancel them first");
            return Err(Trouble::Unexpected(what));
        }
        let done = drill(&part);
        let cleared = self.clear(&part);
        done.and(cleared)
    }

    /// Cancels what rests, by a kill of its own.
    fn clear(&self, stage: &Stage) -> Result<(), Trouble> {
        if self.open_orders()?.is_empty() {
            return Ok(());
        }
        let own = stage.part("clear")?;
        std::fs::write(own.dir.join("clear.toml"), &self.text)?;
        let at = ["--config", "clear.toml", "--run-dir", "none", "--state-dir", "state"];
        match own.keel(&[&["kill"][..], &at].concat())? {
            (Some(0), _) => Ok(()),
            (code, out) => {
                let what =
                    format!("orders may rest at demo trading: kill ends with {code:?}: {out}");
                Err(Trouble::Unexpected(what))
            }
        }
    }

    /// Starts an engine there, with `changes` to its configuration.
    ///
    /// # Errors
    /// When it does not start.
    pub(super) fn engine(
        &self,
        stage: &Stage,
        run: &str,
        changes: &[Change<'_>],
    ) -> Result<Engine, Trouble> {
        stage.engine_with(&changed(&self.text, changes), run)
    }

    /// Asks, and gives the data of the answer.
    ///
    /// # Errors
    /// When there is none, or it is a refusal.
    pub(super) fn ask(&self, question: Question) -> Result<Value, Trouble> {
        let refused = |what: &dyn std::fmt::Display| {
            Trouble::Unexpected(format!("{} at demo trading: {what}", question.name()))
        };
        let survey = survey(&self.setup, &[question]).map_err(|error| refused(&error))?;
        let body = survey.reply(question).map(|reply| reply.body.as_slice()).unwrap_or_default();
        let answer: Value = serde_json::from_slice(body).map_err(|error| refused(&error))?;
        if answer["code"] == "00000" { Ok(answer["data"].clone()) } else { Err(refused(&answer)) }
    }

    /// The orders that rest, as the venue lists them: the first hundred.
    ///
    /// # Errors
    /// See [`Demo::ask`].
    pub(super) fn open_orders(&self) -> Result<Vec<Value>, Trouble> {
        let data = self.ask(Question::OpenOrders)?;
        Ok(data["list"].as_array().cloned().unwrap_or_default())
    }

    /// Their numbers.
    ///
    /// # Errors
    /// See [`Demo::ask`].
    pub(super) fn resting(&self) -> Result<BTreeSet<String>, Trouble> {
        let orders = self.open_orders()?;
        Ok(orders.iter().filter_map(|order| order["orderId"].as_str().map(str::to_owned)).collect())
    }

    /// The contracts that are traded.
    pub(super) fn symbols(&self) -> &[keel_core::instrument::Symbol] {
        &self.setup.instruments
    }
}

/// Names of one check; with a second of its own each, another check has others for 69 years.
const NAMES_MAX: u64 = 36;
/// Bytes of the longest name.
const NAME_BYTES: usize = 8;

/// A path as a text of TOML.
fn quoted(path: &Path) -> String {
    toml::Value::String(PathBuf::from(path).display().to_string()).to_string()
}

/// A canonical text with other values: every key stands in it once.
fn changed(text: &str, changes: &[Change<'_>]) -> String {
    let mut section = "";
    let mut out = String::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            section = name;
        }
        let key = line.split(" = ").next().unwrap_or_default();
        let of_line = |(path, _): &&Change<'_>| path.split_once('.') == Some((section, key));
        match changes.iter().find(of_line) {
            Some((_, value)) => out.push_str(&format!("{key} = {value}\n")),
            None => out.push_str(&format!("{line}\n")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Sources;

    fn config(text: &str) -> Config {
        let file = Some((PathBuf::from("keel.toml"), text.to_owned()));
        Config::new(&Sources { file, ..Sources::default() }).expect("good")
    }

    #[test]
    fn a_change_is_made_in_its_section_only_and_what_comes_out_is_a_configuration() {
        let text = config::canonical(&config("[run]\nmode = \"demo\"\n[venue]\nuid = 7\n"));
        let changes = [("instance.name", "\"other\""), ("risk.max_leverage", "4")];
        let other =
            config(&changed(&text, &[&changes[..], &[("kill.key_file", "\"k\"")]].concat()));
        assert_eq!(other.instance.as_bytes(), b"other");
        assert_eq!(other.params.max_leverage(), 4);
        assert_eq!(other.venue.key_file, None, "another section's key");
        assert!(other.kill_key_file.is_some());
        assert_eq!(changed(&text, &[]), text);
    }

    #[test]
    fn every_engine_of_a_check_has_a_name_of_its_own_that_is_one() {
        let dir = tempfile::tempdir().expect("a directory");
        let key = dir.path().join("key");
        std::fs::write(&key, "key = k\nsecret = s\npassphrase = p\n").expect("written");
        std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600))
            .expect("a mode");
        let text = format!("[run]\nmode = \"demo\"\n[venue]\nuid = 7\nkey_file = {key:?}\n");
        let demo = Demo::of(&config(&text)).expect("an account");
        let names: BTreeSet<String> = (0..NAMES_MAX).map(|_| demo.name()).collect();
        assert_eq!(names.len() as u64, NAMES_MAX);
        for name in names {
            config(&changed(&demo.text, &[("instance.name", &name)]));
        }
    }

    #[test]
    fn another_mode_or_no_key_file_is_refused() {
        for (text, words) in [
            ("[run]\nmode = \"live\"\n[venue]\nuid = 7\nkey_file = \"k\"\n", "the mode is another"),
            ("[run]\nmode = \"demo\"\n[venue]\nuid = 7\n", "needs [venue] key_file"),
        ] {
            let (exit, what) = Demo::of(&config(text)).expect_err("refused");
            assert_eq!(exit, Exit::Usage);
            assert!(what.contains(words), "{what}");
        }
    }
}
