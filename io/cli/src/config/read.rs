//! Reading: from TOML and variables to values, each with its place, collecting every issue.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use keel_core::decimal::DecimalError;
use keel_core::event::Mode;
use keel_core::instrument::{INSTRUMENTS_MAX, Symbol};
use keel_core::param::{Params, Profile, Row, Unit};
use keel_core::regime::Regime;
use keel_core::units::{Quote, Rate};
use keel_io::affinity::{Idle, Threading};
use keel_io::guardian::Guarding;
use keel_io::setup::{Cancels, Envelope, Latency, Terms};
use keel_net::bitget::client::Instance;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::shown;
use super::keys::{self, KEYS, Key, Kind, SECTIONS, Value};
use super::{Config, Issue, Issues, LiveConfig, Origin, PaperConfig, Sources, Urls, VenueConfig};

/// A reading in progress.
pub(super) struct Reading<'s> {
    sources: &'s Sources,
    values: BTreeMap<&'static str, Value>,
    /// Parameters that were set, by place.
    set: BTreeMap<usize, i64>,
    /// Ranges of `[envelope]`, by the place where the parameter's values begin.
    envelope: BTreeMap<usize, (i64, i64)>,
    origins: BTreeMap<String, Origin>,
    issues: Issues,
}

/// A value as it stands in a source.
enum Raw<'v> {
    /// A value of the file.
    Toml(&'v DeValue<'v>),
    /// A value of a variable or a flag, as it was typed.
    Typed(&'v str),
}

/// Where a value stands, for issues and origins.
#[derive(Clone)]
enum At<'n> {
    Span(Range<usize>),
    Variable(&'n str),
    Flag(&'static str),
}

impl<'s> Reading<'s> {
    pub(super) fn new(sources: &'s Sources) -> Self {
        Self {
            sources,
            values: BTreeMap::new(),
            set: BTreeMap::new(),
            envelope: BTreeMap::new(),
            origins: BTreeMap::new(),
            issues: Issues::default(),
        }
    }

    /// Reads all sources, the weakest first.
    pub(super) fn all(&mut self) {
        for key in KEYS {
            let text = format!("v = {}", key.default);
            let table = DeTable::parse(&text).expect("defaults are TOML");
            let value = table.get_ref().get("v").expect("the one key").get_ref();
            let value = read_plain(key, &Raw::Toml(value)).expect("defaults are good");
            self.values.insert(key.path, value);
        }
        self.file();
        let sources = self.sources;
        for (name, value) in &sources.environment {
            self.variable(name, value);
        }
        if let Some(mode) = &sources.flags.mode {
            let key = keys::plain("run", "mode").expect("a key");
            self.plain(key, &Raw::Typed(mode), &At::Flag("--mode"));
        }
    }

    pub(super) fn issues(self) -> Issues {
        self.issues
    }

    fn file(&mut self) {
        let sources = self.sources;
        let Some((path, text)) = &sources.file else { return };
        let table = match DeTable::parse(text) {
            Ok(table) => table,
            Err(error) => {
                let what = error.message().to_owned();
                let span = error.span().unwrap_or(0..0);
                self.issues.push(Issue::at(path, text, span, what));
                return;
            }
        };
        let mut sections: Vec<_> = table.get_ref().iter().collect();
        sections.sort_by_key(|(key, _)| key.span().start);
        for (key, value) in sections {
            let section = key.get_ref().as_ref();
            if !SECTIONS.iter().any(|(name, _)| *name == section) {
                let issue = self.issue(&At::Span(key.span()), unknown_section(section));
                self.issues.push(issue.help(suggest(section, SECTIONS.iter().map(|s| s.0))));
                continue;
            }
            match value.get_ref() {
                DeValue::Table(keys) => self.section(section, keys),
                other => {
                    let what = format!("{section} is a table, not {}", kind_of(other));
                    let issue = self.issue(&At::Span(value.span()), what);
                    self.issues.push(issue.help(format!("write [{section}] on a line of its own")));
                }
            }
        }
    }

    fn section(&mut self, section: &str, table: &DeTable<'_>) {
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        for (key, value) in entries {
            let name = key.get_ref().as_ref();
            let raw = Raw::Toml(value.get_ref());
            let at = At::Span(value.span());
            if section == keys::ENVELOPE {
                self.range(name, &raw, &At::Span(key.span()), &at);
            } else if let Some(key) = keys::plain(section, name) {
                self.plain(key, &raw, &at);
            } else if let Some(row) = keys::parameter(section, name) {
                match value.get_ref() {
                    DeValue::Table(regimes) if row.by_regime => self.regimes(row, regimes),
                    _ => self.parameter(row, None, &raw, &at),
                }
            } else {
                let what = format!("[{section}] has no key {}", shown(name));
                let issue = self.issue(&At::Span(key.span()), what);
                self.issues.push(issue.help(unknown_help(section, name)));
            }
        }
    }

    /// One range of `[envelope]`.
    fn range(&mut self, name: &str, raw: &Raw<'_>, named: &At<'_>, at: &At<'_>) {
        let Some(row) = keys::adjustable().find(|row| row.name == name) else {
            let what = format!("{} is no parameter that may be set", shown(name));
            let names = keys::adjustable().map(|row| row.name);
            let issue = self.issue(named, what);
            return self.issues.push(issue.help(suggest(name, names)));
        };
        match read_range(row, raw) {
            Ok(range) => {
                self.envelope.insert(row.at, range);
                self.origins.insert(format!("{}.{name}", keys::ENVELOPE), self.origin(at));
            }
            Err(fault) => {
                let issue = self.issue(at, format!("envelope.{name}: {}", fault.what));
                self.issues.push(issue.help(fault.help));
            }
        }
    }

    fn regimes(&mut self, row: &'static Row, table: &DeTable<'_>) {
        let mut entries: Vec<(&Spanned<_>, &Spanned<DeValue<'_>>)> = table.iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        for (key, value) in entries {
            let name: &str = key.get_ref().as_ref();
            match Regime::ALL.iter().find(|regime| regime.text() == name) {
                Some(&regime) => {
                    let at = At::Span(value.span());
                    self.parameter(row, Some(regime), &Raw::Toml(value.get_ref()), &at);
                }
                None => {
                    let what = format!("there is no regime {}", shown(name));
                    let issue = self.issue(&At::Span(key.span()), what);
                    let words = Regime::ALL.iter().map(|regime| regime.text());
                    self.issues.push(issue.help(suggest(name, words)));
                }
            }
        }
    }

    fn variable(&mut self, name: &str, value: &str) {
        let at = At::Variable(name);
        let raw = Raw::Typed(value);
        for (section, _) in SECTIONS {
            for key in keys::names(section) {
                let variable = keys::variable(section, key);
                if variable == name {
                    return match keys::plain(section, key) {
                        Some(key) => self.plain(key, &raw, &at),
                        None => {
                            let row = keys::parameter(section, key).expect("a name of its section");
                            self.parameter(row, None, &raw, &at);
                        }
                    };
                }
                let Some(row) = keys::parameter(section, key).filter(|row| row.by_regime) else {
                    continue;
                };
                for &regime in Regime::ALL {
                    if name == format!("{variable}_{}", regime.text().to_uppercase()) {
                        return self.parameter(row, Some(regime), &raw, &at);
                    }
                }
            }
        }
        let issue = self.issue(&at, "names no key of the configuration".into());
        let all = SECTIONS
            .iter()
            .flat_map(|(section, _)| keys::names(section).map(|key| keys::variable(section, key)));
        let help = nearest(name, all).map_or_else(
            || "it is KEEL_, the section, _ and the key, such as KEEL_RISK_MAX_LEVERAGE".into(),
            |near| format!("did you mean {near}?"),
        );
        self.issues.push(issue.help(help));
    }

    fn plain(&mut self, key: &'static Key, raw: &Raw<'_>, at: &At<'_>) {
        match read_plain(key, raw) {
            Ok(value) => {
                self.values.insert(key.path, value);
                self.origins.insert(key.path.to_owned(), self.origin(at));
            }
            Err(fault) => {
                let issue = self.issue(at, format!("{}: {}", key.path, fault.what));
                self.issues.push(issue.help(fault.help));
            }
        }
    }

    /// Sets a parameter: for one regime, or for all.
    fn parameter(&mut self, row: &'static Row, regime: Option<Regime>, raw: &Raw<'_>, at: &At<'_>) {
        match read_parameter(row, raw) {
            Ok(value) => {
                let places = match regime {
                    Some(regime) => row.at + regime as usize..row.at + regime as usize + 1,
                    None => row.at..row.at + row.wide.len(),
                };
                self.set.extend(places.map(|place| (place, value)));
                let path = match regime {
                    Some(regime) => format!("{}.{}.{regime}", row.section, row.name),
                    None => format!("{}.{}", row.section, row.name),
                };
                self.origins.insert(path, self.origin(at));
            }
            Err(fault) => {
                let issue = self.issue(at, format!("{}.{}: {}", row.section, row.name, fault.what));
                self.issues.push(issue.help(fault.help));
            }
        }
    }

    fn issue(&self, at: &At<'_>, what: String) -> Issue {
        match (at, &self.sources.file) {
            (At::Span(span), Some((path, text))) => Issue::at(path, text, span.clone(), what),
            (At::Span(_), None) => Issue::nowhere(what),
            (At::Variable(name), _) => Issue::of_variable(name, what),
            (At::Flag(name), _) => Issue::of_flag(name, what),
        }
    }

    fn origin(&self, at: &At<'_>) -> Origin {
        match (at, &self.sources.file) {
            (At::Span(span), Some((_, text))) => {
                let line =
                    text.as_bytes()[..span.start].iter().filter(|&&b| b == b'\n').count() + 1;
                Origin::File(line)
            }
            (At::Span(_), None) => Origin::File(0),
            (At::Variable(name), _) => Origin::Environment((*name).to_owned()),
            (At::Flag(name), _) => Origin::Flag(name),
        }
    }

    fn text(&self, path: &str) -> &str {
        match self.values.get(path) {
            Some(Value::Text(text)) => text,
            _ => "",
        }
    }

    fn whole(&self, path: &str) -> u64 {
        match self.values.get(path) {
            Some(&Value::Whole(number)) => number,
            _ => 0,
        }
    }

    fn number(&self, path: &str) -> i64 {
        match self.values.get(path) {
            Some(&Value::Number(_, number)) => number,
            _ => 0,
        }
    }

    /// The path at a key; `None` for none. Relative ones are beside the file.
    fn path(&self, path: &str) -> Option<PathBuf> {
        let base = self.sources.file.as_ref().and_then(|(path, _)| path.parent());
        beside(base, self.text(path))
    }

    /// `[live]`.
    fn live(&self) -> LiveConfig {
        LiveConfig {
            drills: self.path("live.drills"),
            account: self.path("live.account"),
            reviewer: self.text("live.reviewer").to_owned(),
            canary_hours: self.whole("live.canary_hours"),
            canary_share: Rate(self.number("live.canary_share")),
        }
    }

    /// `[paper]`.
    fn paper(&self) -> PaperConfig {
        let number = |name: &str| self.number(&format!("paper.{name}"));
        let latency = |name: &str| number(&format!("latency_{name}_ms")).unsigned_abs();
        let terms = Terms {
            balance: Quote(number("balance_quote")),
            maker: Rate(number("maker_fee_pct")),
            taker: Rate(number("taker_fee_pct")),
            latency: Latency {
                min_ns: latency("min"),
                median_ns: latency("p50"),
                p99_ns: latency("p99"),
                max_ns: latency("max"),
            },
            cancels: match self.text("paper.cancels") {
                "behind" => Cancels::Behind,
                _ => Cancels::Proportional,
            },
            seed: self.whole("paper.seed"),
        };
        PaperConfig { terms, manual_fees: self.text("run.fee_mode") == "manual" }
    }

    /// The configuration that was read; `None` when a plain key is missing, which its issue tells.
    pub(super) fn config(&self) -> Option<Config> {
        let text = |path| self.text(path);
        let whole = |path| self.whole(path);
        let mode = *Mode::ALL.iter().find(|mode| mode.text() == text("run.mode"))?;
        let profile = match (text("run.profile"), mode) {
            ("touch", _) | ("auto", Mode::Sim) => Profile::Touch,
            _ => Profile::Wide,
        };
        let mut params = Params::defaults(profile);
        for (&place, &value) in &self.set {
            assert!(params.set(place, value), "a value was read with its range");
        }
        let Some(Value::Texts(names)) = self.values.get("run.instruments") else { return None };
        let Some(Value::Numbers(cores)) = self.values.get("run.cores") else { return None };
        let urls = Urls {
            rest: text("venue.rest").to_owned(),
            ws_public: text("venue.ws_public").to_owned(),
            ws_private: text("venue.ws_private").to_owned(),
        };
        let none = urls.rest.is_empty() && urls.ws_public.is_empty() && urls.ws_private.is_empty();
        let urls = match mode {
            Mode::Demo if none => Some(Urls::demo()),
            Mode::Live if none => Some(Urls::live()),
            _ => (!none).then_some(urls),
        };
        Some(Config {
            params,
            profile,
            instance: Instance::parse(text("instance.name"))?,
            variant: text("instance.variant").to_owned(),
            mode,
            instruments: names.iter().filter_map(|name| Symbol::parse(name.as_bytes())).collect(),
            threading: match text("run.threading") {
                "dedicated" => Threading::Dedicated,
                "shared" => Threading::Shared,
                _ => Threading::Auto,
            },
            idle: match text("run.idle") {
                "spin" => Idle::Spin,
                "yield" => Idle::Yield,
                "park" => Idle::Park,
                _ => Idle::Auto,
            },
            cores: cores.iter().filter_map(|&core| usize::try_from(core).ok()).collect(),
            venue: VenueConfig {
                urls,
                ca: self.path("venue.ca"),
                key_file: self.path("venue.key_file"),
                uid: whole("venue.uid"),
                clock_speed: u32::try_from(whole("venue.clock_speed")).ok()?,
                seed: whole("venue.seed"),
            },
            paper: self.paper(),
            live: self.live(),
            envelope: self
                .envelope
                .iter()
                .map(|(&at, &(min, max))| Envelope { at, min, max })
                .collect(),
            guardian: match text("kill.guardian") {
                "on" => Guarding::Child(Vec::new()),
                "unit" => Guarding::Unit,
                _ => Guarding::Nobody,
            },
            kill_key_file: self.path("kill.key_file"),
            hang_ms: whole("kill.hang_ms"),
            origins: self.origins.clone(),
            values: self.values.clone(),
        })
    }
}

/// What is wrong with a value, and what would be right.
#[derive(Debug)]
struct Fault {
    what: String,
    help: String,
}

fn read_parameter(row: &Row, raw: &Raw<'_>) -> Result<i64, Fault> {
    if let Unit::Word(words) = row.unit {
        return read_word(words, raw).map(|place| place as i64);
    }
    read_number(row.unit, (row.min, row.max), raw)
}

fn read_number(unit: Unit, (min, max): (i64, i64), raw: &Raw<'_>) -> Result<i64, Fault> {
    let name = keys::unit_name(unit);
    let (low, high) = (keys::text_of(unit, min), keys::text_of(unit, max));
    let allowed = format!("{name}, {low} to {high}");
    let text = number_text(raw).map_err(|what| Fault { what, help: allowed.clone() })?;
    match keys::units_of(unit, text) {
        Ok(value) if (min..=max).contains(&value) => Ok(value),
        Ok(value) => {
            let percent = unit == Unit::Fraction
                && value % 100 == 0
                && (min..=max).contains(&(value / 100))
                && value >= 1_000_000;
            let help = if percent {
                let fraction = keys::text_of(unit, value / 100);
                format!(
                    "this is a fraction: {text} % is written {fraction} ({low} to {high} allowed)"
                )
            } else {
                allowed
            };
            Err(Fault { what: format!("{text} is out of range"), help })
        }
        Err(DecimalError::Overflow) => {
            Err(Fault { what: format!("{} is out of range", shown(text)), help: allowed })
        }
        Err(DecimalError::OffGrid) => Err(Fault {
            what: if unit == Unit::Count {
                format!("{text} is no whole number")
            } else {
                format!("{text} has more decimals than this unit keeps")
            },
            help: allowed,
        }),
        Err(DecimalError::Malformed) => Err(Fault {
            what: format!("{} is not written as a plain decimal number", shown(text)),
            help: format!("{allowed}; no exponent, no inf, no nan"),
        }),
    }
}

/// A range `[least, most]` within that of the parameter.
fn read_range(row: &Row, raw: &Raw<'_>) -> Result<(i64, i64), Fault> {
    let help = || "[least, most] in brackets".to_owned();
    let Ok([low, high]) = <[Item<'_>; 2]>::try_from(items(raw, "two values")?) else {
        return Err(Fault { what: "a range has two values".into(), help: help() });
    };
    let low = read_parameter(row, &low.raw())?;
    let high = read_parameter(row, &high.raw())?;
    if low > high {
        return Err(Fault { what: "the least is more than the most".into(), help: help() });
    }
    Ok((low, high))
}

fn read_plain(key: &Key, raw: &Raw<'_>) -> Result<Value, Fault> {
    match key.kind {
        Kind::Word(words) => {
            read_word(words, raw).map(|place| Value::Text(words[place].to_owned()))
        }
        Kind::Name { max, allowed, test } => {
            let help = format!("1 to {max} of {allowed}");
            let text = text_in(raw).map_err(|what| Fault { what, help: help.clone() })?;
            if text.is_empty() || text.len() > max || !text.chars().all(test) {
                return Err(Fault { what: format!("\"{}\" is no name", shown(text)), help });
            }
            Ok(Value::Text(text.to_owned()))
        }
        Kind::Text => {
            let help = "text in quotes; empty for none".to_owned();
            let text = text_in(raw).map_err(|what| Fault { what, help: help.clone() })?;
            if text.chars().any(char::is_control) {
                return Err(Fault { what: "it holds a control character".into(), help });
            }
            Ok(Value::Text(text.to_owned()))
        }
        Kind::Symbols => read_symbols(raw),
        Kind::Numbers => {
            let mut numbers = Vec::new();
            for item in items(raw, "whole numbers")? {
                let number = read_whole(&item.raw(), 0, u64::from(u16::MAX))?;
                if numbers.contains(&number) {
                    let help = "each stands once".to_owned();
                    return Err(Fault { what: format!("{number} is given twice"), help });
                }
                numbers.push(number);
            }
            Ok(Value::Numbers(numbers))
        }
        Kind::Whole { min, max } => read_whole(raw, min, max).map(Value::Whole),
        Kind::Number { unit, min, max } => {
            read_number(unit, (min, max), raw).map(|number| Value::Number(unit, number))
        }
    }
}

fn read_symbols(raw: &Raw<'_>) -> Result<Value, Fault> {
    let help =
        || "contracts as the venue writes them, such as [\"BTCUSDT\", \"ETHUSDT\"]".to_owned();
    let mut names = Vec::new();
    for item in items(raw, "names of contracts")? {
        let raw = item.raw();
        let text = text_in(&raw).map_err(|what| Fault { what, help: help() })?;
        let good = Symbol::parse(text.as_bytes()).is_some() && text.ends_with("USDT");
        if !good {
            let what = format!("\"{}\" is no USDT-margined contract", shown(text));
            return Err(Fault { what, help: help() });
        }
        if names.iter().any(|known| known == text) {
            return Err(Fault { what: format!("{text} is given twice"), help: help() });
        }
        names.push(text.to_owned());
    }
    if names.is_empty() || names.len() > INSTRUMENTS_MAX {
        let what =
            format!("there are {} instruments; 1 to {INSTRUMENTS_MAX} are allowed", names.len());
        return Err(Fault { what, help: help() });
    }
    Ok(Value::Texts(names))
}

fn read_word(words: &[&str], raw: &Raw<'_>) -> Result<usize, Fault> {
    let quoted: Vec<_> = if keys::is_switch(words) {
        words.iter().map(|word| (*word).to_owned()).collect()
    } else {
        words.iter().map(|word| format!("\"{word}\"")).collect()
    };
    let help = format!("one of {}", quoted.join(", "));
    let text = match raw {
        Raw::Toml(DeValue::Boolean(switch)) if keys::is_switch(words) => {
            if *switch {
                "true"
            } else {
                "false"
            }
        }
        Raw::Toml(DeValue::String(_)) if keys::is_switch(words) => {
            return Err(Fault { what: "a text stands where true or false belongs".into(), help });
        }
        raw => text_in(raw).map_err(|what| Fault { what, help: help.clone() })?,
    };
    words
        .iter()
        .position(|word| *word == text)
        .ok_or_else(|| Fault { what: format!("\"{}\" is not known", shown(text)), help })
}

fn read_whole(raw: &Raw<'_>, min: u64, max: u64) -> Result<u64, Fault> {
    let help = || format!("whole number, {min} to {max}");
    let text = number_text(raw).map_err(|what| Fault { what, help: help() })?;
    match text.parse::<u64>() {
        Ok(number) if (min..=max).contains(&number) => Ok(number),
        Ok(number) => Err(Fault { what: format!("{number} is out of range"), help: help() }),
        Err(_) => Err(Fault {
            what: format!("{} is no whole number in range", shown(text)),
            help: help(),
        }),
    }
}

/// An entry of a list.
enum Item<'v> {
    Toml(&'v DeValue<'v>),
    Typed(String),
}

impl Item<'_> {
    fn raw(&self) -> Raw<'_> {
        match self {
            Self::Toml(value) => Raw::Toml(value),
            Self::Typed(text) => Raw::Typed(text),
        }
    }
}

fn items<'v>(raw: &Raw<'v>, what: &str) -> Result<Vec<Item<'v>>, Fault> {
    match raw {
        Raw::Toml(DeValue::Array(array)) => {
            Ok(array.iter().map(|value| Item::Toml(value.get_ref())).collect())
        }
        Raw::Toml(other) => Err(Fault {
            what: format!("{} stands where a list belongs", kind_of(other)),
            help: format!("a list of {what} in brackets"),
        }),
        Raw::Typed(text) => {
            let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
            Ok(parts.map(|part| Item::Typed(part.to_owned())).collect())
        }
    }
}

fn number_text<'v>(raw: &'v Raw<'_>) -> Result<&'v str, String> {
    match raw {
        Raw::Toml(DeValue::Integer(number)) if number.radix() == 10 => Ok(number.as_str()),
        Raw::Toml(DeValue::Integer(_)) => Err("a number is written in decimal here".into()),
        Raw::Toml(DeValue::Float(number)) => Ok(number.as_str()),
        Raw::Toml(DeValue::String(_)) => {
            Err("a text stands where a number belongs; remove the quotes".into())
        }
        Raw::Toml(other) => Err(format!("{} stands where a number belongs", kind_of(other))),
        Raw::Typed(text) => Ok(text),
    }
}

fn text_in<'v>(raw: &'v Raw<'_>) -> Result<&'v str, String> {
    match raw {
        Raw::Toml(DeValue::String(text)) => Ok(text.as_ref()),
        Raw::Toml(other) => {
            Err(format!("{} stands where a text in quotes belongs", kind_of(other)))
        }
        Raw::Typed(text) => Ok(text),
    }
}

fn kind_of(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

fn beside(base: Option<&Path>, text: &str) -> Option<PathBuf> {
    if text.is_empty() {
        return None;
    }
    Some(base.map_or_else(|| PathBuf::from(text), |base| base.join(text)))
}

fn unknown_section(name: &str) -> String {
    format!("there is no section [{}]", shown(name))
}

fn unknown_help(section: &str, name: &str) -> String {
    if SECRET_NAMES.iter().any(|part| name.to_ascii_lowercase().contains(part)) {
        return "a key never stands in the configuration: use [venue] key_file or KEEL_API_… \
                variables"
            .into();
    }
    let elsewhere = SECTIONS
        .iter()
        .find(|(other, _)| *other != section && keys::names(other).any(|known| known == name));
    match elsewhere {
        Some((other, _)) => format!("it belongs to [{other}]"),
        None => suggest(name, keys::names(section)),
    }
}

fn suggest<'w>(name: &str, words: impl Iterator<Item = &'w str> + Clone) -> String {
    match nearest(name, words.clone().map(str::to_owned)) {
        Some(near) => format!("did you mean {near}?"),
        None => format!("allowed are {}", words.collect::<Vec<_>>().join(", ")),
    }
}

/// The word that is nearest, when it is near.
fn nearest(name: &str, words: impl Iterator<Item = String>) -> Option<String> {
    if name.len() > NAME_BYTES_MAX {
        return None;
    }
    words
        .map(|word| (distance(name, &word), word))
        .min()
        .filter(|(distance, word)| *distance <= 1 + word.len() / 5)
        .map(|(_, word)| word)
}

/// How many letters must be changed, added or removed.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let changed = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

const SECRET_NAMES: [&str; 4] = ["secret", "passphrase", "password", "api_key"];
const NAME_BYTES_MAX: usize = 64;
