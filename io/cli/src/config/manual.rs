//! What is made from the tables: the manual, the canonical text and the JSON Schema.

use keel_core::limit::LIMITS;
use keel_core::param::{self, Params, Profile, Row, TABLE, Unit};
use keel_core::regime::Regime;
use serde_json::{Map, Value as Json, json};

use super::Config;
use super::keys::{self, KEYS, Key, Kind, SECTIONS, Value};

/// A configuration file that is the manual: every key with its unit, range, default and purpose.
/// Keys stand commented out at the defaults of `profile`.
pub fn example(profile: Profile) -> String {
    let params = Params::defaults(profile);
    let mut out = String::from(HEAD);
    for (section, about) in SECTIONS {
        out.push('\n');
        prose(&mut out, about);
        out.push_str(&format!("[{section}]\n"));
        for key in plain_of(section) {
            let (_, name) = key.path.split_once('.').expect("a path has a section");
            out.push('\n');
            prose(&mut out, key.doc);
            prose(&mut out, &range_of(key.kind));
            out.push_str(&format!("#{name} = {}\n", key.default));
        }
        for row in TABLE.iter().filter(|row| row.section == *section) {
            out.push('\n');
            prose(&mut out, row.doc.trim());
            prose(&mut out, &row_range(row));
            if row.wide != row.touch {
                let (name, other) = match profile {
                    Profile::Wide => ("touch", row.touch),
                    Profile::Touch => ("wide", row.wide),
                };
                prose(&mut out, &format!("In the profile {name}: {}", row_text(row, other)));
            }
            let values = &params.values()[row.at..row.at + row.wide.len()];
            out.push_str(&format!("#{} = {}\n", row.name, row_text(row, values)));
        }
    }
    out
}

/// The configuration in force as text: every key once, in the order of the manual. The same text,
/// the same hash; no secret is in it.
pub fn canonical(config: &Config) -> String {
    let mut out = String::new();
    for (section, _) in SECTIONS {
        out.push_str(&format!("[{section}]\n"));
        for key in plain_of(section) {
            let (_, name) = key.path.split_once('.').expect("a path has a section");
            let text = match key.path {
                // What `auto` came to decides over the run, so it is what stands here.
                "run.profile" => format!("{:?}", profile_word(config.profile)),
                path => config.values.get(path).map_or_else(String::new, value_text),
            };
            out.push_str(&format!("{name} = {text}\n"));
        }
        if *section == keys::ENVELOPE {
            out.push_str(&envelope_text(config));
        }
        for row in TABLE.iter().filter(|row| row.section == *section) {
            let values = &config.params.values()[row.at..row.at + row.wide.len()];
            out.push_str(&format!("{} = {}\n", row.name, row_text(row, values)));
        }
    }
    out
}

/// The ranges of `[envelope]`, in the order of the table.
fn envelope_text(config: &Config) -> String {
    let mut out = String::new();
    for range in &config.envelope {
        let row = param::row_of(range.at).expect("a range was read for a parameter");
        let (low, high) = (range.min, range.max);
        let (low, high) = (keys::text_of(row.unit, low), keys::text_of(row.unit, high));
        out.push_str(&format!("{} = [{low}, {high}]\n", row.name));
    }
    out
}

/// The JSON Schema of the file, for editors.
pub fn schema() -> Json {
    let mut sections = Map::new();
    for (section, about) in SECTIONS {
        let mut properties = Map::new();
        for key in plain_of(section) {
            let (_, name) = key.path.split_once('.').expect("a path has a section");
            properties.insert(name.into(), plain_schema(key));
        }
        for row in TABLE.iter().filter(|row| row.section == *section) {
            properties.insert(row.name.into(), row_schema(row));
        }
        if *section == keys::ENVELOPE {
            for row in keys::adjustable() {
                let mut one = row_value_schema(row);
                one["description"] = json!(format!("The least and the most of {}", row.name));
                let pair = json!({ "type": "array", "items": one, "minItems": 2, "maxItems": 2 });
                properties.insert(row.name.into(), pair);
            }
        }
        let object = json!({
            "type": "object",
            "description": about,
            "additionalProperties": false,
            "properties": properties,
        });
        sections.insert((*section).into(), object);
    }
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "keel.toml",
        "type": "object",
        "additionalProperties": false,
        "properties": sections,
    })
}

/// The word of a profile.
fn profile_word(profile: Profile) -> &'static str {
    match profile {
        Profile::Wide => "wide",
        Profile::Touch => "touch",
    }
}

fn plain_of(section: &str) -> impl Iterator<Item = &'static Key> {
    KEYS.iter().filter(move |key| key.path.split_once('.').is_some_and(|(own, _)| own == section))
}

fn prose(out: &mut String, text: &str) {
    for line in text.lines() {
        out.push_str(&format!("# {}\n", line.trim()));
    }
}

fn range_of(kind: Kind) -> String {
    match kind {
        Kind::Word(words) => format!("One of {}.", quoted(words).join(", ")),
        Kind::Name { max, allowed, .. } => format!("1 to {max} of {allowed}."),
        Kind::Text => "Text; empty for none.".into(),
        Kind::Symbols => "A list of names, each once.".into(),
        Kind::Numbers => "A list of whole numbers, each once.".into(),
        Kind::Whole { min, max } if max == u64::MAX => format!("Whole number from {min}."),
        Kind::Whole { min, max } => format!("Whole number, {min} to {max}."),
        Kind::Number { unit, min, max } => number_range(unit, min, max),
    }
}

fn row_range(row: &Row) -> String {
    let each = if row.by_regime { " One value, or one for each regime." } else { "" };
    match row.unit {
        Unit::Word(words) if keys::is_switch(words) => format!("false or true.{each}"),
        Unit::Word(words) => format!("One of {}.{each}", quoted(words).join(", ")),
        unit => number_range(unit, row.min, row.max) + each,
    }
}

fn number_range(unit: Unit, min: i64, max: i64) -> String {
    let (name, min, max) =
        (keys::unit_name(unit), keys::text_of(unit, min), keys::text_of(unit, max));
    format!("Unit: {name}; {min} to {max}.")
}

/// A row's values as they are written: one, or a table by regime where they differ.
fn row_text(row: &Row, values: &[i64]) -> String {
    let first = keys::text_of(row.unit, values[0]);
    if values.iter().all(|value| *value == values[0]) {
        return first;
    }
    let each = Regime::ALL
        .iter()
        .zip(values)
        .map(|(regime, value)| format!("{regime} = {}", keys::text_of(row.unit, *value)));
    format!("{{ {} }}", each.collect::<Vec<_>>().join(", "))
}

pub(super) fn value_text(value: &Value) -> String {
    match value {
        Value::Text(text) => toml_text(text),
        Value::Texts(texts) => {
            let texts: Vec<_> = texts.iter().map(|text| toml_text(text)).collect();
            format!("[{}]", texts.join(", "))
        }
        Value::Numbers(numbers) => {
            let numbers: Vec<_> = numbers.iter().map(u64::to_string).collect();
            format!("[{}]", numbers.join(", "))
        }
        Value::Whole(number) => number.to_string(),
        Value::Number(unit, number) => keys::text_of(*unit, *number),
    }
}

/// Text in quotes. Control characters were refused when it was read.
fn toml_text(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn quoted(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| format!("\"{word}\"")).collect()
}

fn plain_schema(key: &Key) -> Json {
    let mut schema = match key.kind {
        Kind::Word(words) => json!({ "enum": words }),
        Kind::Name { max, .. } => json!({ "type": "string", "minLength": 1, "maxLength": max }),
        Kind::Text => json!({ "type": "string" }),
        Kind::Symbols => json!({
            "type": "array", "items": { "type": "string" }, "minItems": 1, "uniqueItems": true,
        }),
        Kind::Numbers => json!({
            "type": "array", "items": { "type": "integer", "minimum": 0 }, "uniqueItems": true,
        }),
        Kind::Whole { min, max } => json!({ "type": "integer", "minimum": min, "maximum": max }),
        Kind::Number { unit, min, max } => number_schema(unit, min, max),
    };
    schema["description"] = json!(key.doc.replace('\n', " "));
    schema
}

/// The schema of one value of a row.
fn row_value_schema(row: &Row) -> Json {
    match row.unit {
        Unit::Word(words) if keys::is_switch(words) => json!({ "type": "boolean" }),
        Unit::Word(words) => json!({ "enum": words }),
        unit => number_schema(unit, row.min, row.max),
    }
}

fn number_schema(unit: Unit, min: i64, max: i64) -> Json {
    let number = |value: i64| {
        let text = keys::text_of(unit, value);
        text.parse::<serde_json::Number>().map_or(Json::Null, Json::Number)
    };
    let kind = if unit == Unit::Count { "integer" } else { "number" };
    json!({ "type": kind, "minimum": number(min), "maximum": number(max) })
}

fn row_schema(row: &Row) -> Json {
    let value = row_value_schema(row);
    let mut schema = if row.by_regime {
        let regimes: Map<String, Json> =
            Regime::ALL.iter().map(|regime| (regime.text().to_owned(), value.clone())).collect();
        let table =
            json!({ "type": "object", "additionalProperties": false, "properties": regimes });
        json!({ "oneOf": [value, table] })
    } else {
        value
    };
    let unit = keys::unit_name(row.unit);
    let mut about = format!("{} ({unit})", row.doc.trim().replace('\n', " "));
    if let Some(limit) = LIMITS.iter().find(|limit| limit.at == row.at) {
        let effect = limit.effect;
        about += &format!(" Limit: {}, {}", effect.severity(), effect.code());
    }
    schema["description"] = json!(about);
    schema
}

const HEAD: &str = "\
# keel.toml: every key with its unit, range and default. `keel config example` writes this file.
#
# A key that is left out has its default. A value here is overridden by a variable of the
# environment (KEEL_, section, _, key: KEEL_RISK_MAX_LEVERAGE=3; for one regime
# KEEL_STRATEGY_SPREAD_MIN_UP=0.003), and that by a flag. `keel config check` shows what is in
# force and where it comes from.
";
