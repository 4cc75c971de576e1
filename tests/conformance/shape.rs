//! The shape of a JSON value: which keys it has, and of which types.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// What `venue` has otherwise than `recorded`, a line for each place: `+path` and `-path` for a key
/// that only one has, `path: type -> type` for another type. The rows of a list count as one. Of a
/// place that one lacks, only the place is named, not what lies below it.
pub(crate) fn differences(recorded: &Value, venue: &Value) -> Vec<String> {
    let (recorded, venue) = (Shape::of(recorded), Shape::of(venue));
    let mut out: Vec<String> = Vec::new();
    let paths: BTreeSet<&String> = recorded.0.keys().chain(venue.0.keys()).collect();
    for path in paths {
        let line = match (recorded.0.get(path), venue.0.get(path)) {
            (Some(was), Some(is)) if was == is => continue,
            (Some(was), Some(is)) => format!("{path}: {} -> {}", words(was), words(is)),
            (Some(_), None) => format!("-{path}"),
            (None, Some(_)) => format!("+{path}"),
            (None, None) => unreachable!("a path comes from one of the two"),
        };
        let below = |above: &String| {
            let above = above.strip_prefix(['+', '-']).filter(|_| line.starts_with(['+', '-']));
            above.is_some_and(|above| {
                let rest = line[1..].strip_prefix(above);
                rest.is_some_and(|rest| rest.starts_with(['.', '[']))
            })
        };
        if !out.iter().any(below) {
            out.push(line);
        }
    }
    out
}

/// The types at each path.
struct Shape(BTreeMap<String, BTreeSet<&'static str>>);

impl Shape {
    fn of(value: &Value) -> Self {
        let mut shape = Self(BTreeMap::new());
        shape.add("", value);
        shape
    }

    fn add(&mut self, path: &str, value: &Value) {
        let kind = match value {
            Value::Null => "null",
            Value::Bool(_) => "bool",
            Value::Number(_) => "number",
            Value::String(_) => "string",
            Value::Array(_) => "list",
            Value::Object(_) => "object",
        };
        self.0.entry(path.to_owned()).or_default().insert(kind);
        match value {
            Value::Array(rows) => rows.iter().for_each(|row| self.add(&format!("{path}[]"), row)),
            Value::Object(map) => {
                for (key, value) in map {
                    let dot = if path.is_empty() { "" } else { "." };
                    self.add(&format!("{path}{dot}{key}"), value);
                }
            }
            _ => {}
        }
    }
}

fn words(kinds: &BTreeSet<&'static str>) -> String {
    kinds.iter().copied().collect::<Vec<_>>().join("|")
}

#[test]
fn a_difference_is_named_where_it_begins() {
    let json = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    let recorded = json(r#"{"a":[{"b":"1"},{"c":2}],"d":{"e":1},"f":null}"#);
    let venue = json(r#"{"a":[{"b":1}],"f":null,"g":{"h":[1]}}"#);
    let expected = ["a[].b: string -> number", "-a[].c", "-d", "+g"];
    let found = differences(&recorded, &venue);
    let (found, expected): (BTreeSet<_>, BTreeSet<_>) =
        (found.iter().map(String::as_str).collect(), expected.into_iter().collect());
    assert_eq!(found, expected);
    assert!(differences(&recorded, &recorded).is_empty());
}
