//! The embedded venue against every recorded payload of V3: the same keys and JSON types for the
//! same request, or a line in the table of differences, which says why.
//!
//! The payloads lie in `tests/golden/bitget/rest_v3` and `ws_v3`. The table is
//! `docs/venue-differences.md`; it is made from [`differences`], and a line of it that is no longer
//! true fails here. To write it anew: `KEEL_WRITE_DOCS=1 cargo test -p keel_tests --test
//! conformance`.

#[path = "conformance/day.rs"]
mod day;
#[path = "conformance/differences.rs"]
mod differences;
#[path = "conformance/shape.rs"]
mod shape;
#[path = "conformance/stage.rs"]
mod stage;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use day::Day;
use differences::{ELSEWHERE, KNOWN};
use serde_json::Value;

#[test]
fn every_recorded_payload_is_answered_in_its_shape_or_stands_in_the_table() {
    let mut day = Day::new();
    let mut used = BTreeSet::new();
    let mut wrong = Vec::new();
    let mut compared = 0;
    for (file, recorded) in payloads().iter().filter(|(file, _)| !is_request(file)) {
        if is_elsewhere(file) {
            continue;
        }
        let Some(answer) = day.answer(kind(file), recorded) else {
            wrong.push(format!("{file}: nothing is said"));
            continue;
        };
        compared += 1;
        for line in shape::differences(recorded, &answer) {
            match known(file, &line) {
                Some(place) => drop(used.insert(place)),
                None => wrong.push(format!("{file}: {line}")),
            }
        }
    }
    assert!(wrong.is_empty(), "not in the table:\n{}", wrong.join("\n"));
    let all: BTreeSet<_> = places().collect();
    let stale: Vec<_> = all.difference(&used).collect();
    assert!(stale.is_empty(), "no longer true: {stale:?}");
    assert!(compared >= 85, "{compared} payloads");
}

#[test]
fn every_recorded_request_is_understood_or_is_for_what_the_venue_does_not_have() {
    let mut day = Day::new();
    for (file, request) in payloads().iter().filter(|(file, _)| is_request(file)) {
        let elsewhere = is_elsewhere(file);
        if file.starts_with("rest_v3/") {
            let code = day.replay_rest(request)["code"].as_str().unwrap_or_default().to_owned();
            let unread = ["40404", "40019", "40020", "40017", "40007"];
            assert_eq!(unread.contains(&code.as_str()), elsewhere, "{file}: {code}");
        } else {
            let heard = day.replay_message(request);
            let refused = heard
                .iter()
                .any(|m| m["event"] == "error" && m["code"].is_number() || m["code"] == "40020");
            assert!(!heard.is_empty(), "{file}");
            assert_eq!(refused, elsewhere, "{file}: {heard:?}");
        }
    }
}

#[test]
fn what_the_venue_does_not_have_is_an_unknown_path() {
    let mut day = Day::new();
    for (_, names) in ELSEWHERE {
        for name in names.iter().filter(|name| name.starts_with("v3-")) {
            let (group, endpoint) = name[3..].split_once('-').expect("a group and a name");
            let key = day.key.clone();
            for method in ["GET", "POST"] {
                let target = format!("/api/v3/{group}/{endpoint}");
                let reply = day.stage.rest(Some(&key), method, &target, "");
                assert_eq!(reply["code"], "40404", "{target}");
            }
        }
    }
}

#[test]
fn the_table_of_differences_is_the_one_in_the_documentation() {
    let path = root().join("docs/venue-differences.md");
    let table = differences::document();
    if std::env::var_os("KEEL_WRITE_DOCS").is_some() {
        std::fs::write(&path, &table).expect("a file that can be written");
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(written, table, "docs/venue-differences.md is out of date");
}

#[test]
fn every_test_that_the_documentation_names_is_there() {
    let page = std::fs::read_to_string(root().join("docs/venue-bitget.md")).expect("the page");
    let table = page.split("### Which test shows which rule").nth(1).expect("the table");
    let table = table.split("\n### ").next().expect("its end");
    let mut sources = String::new();
    for directory in ["core/sim/src", "io/src/exchange", "tests"] {
        read_all(&root().join(directory), &mut sources);
    }
    let named = table.split('`').skip(1).step_by(2).filter(|name| name.matches('_').count() > 3);
    let named: Vec<_> = named.collect();
    assert!(named.len() > 50, "{} tests", named.len());
    for name in named {
        assert!(sources.contains(&format!("fn {name}(")), "no test is named {name}");
    }
}

fn read_all(directory: &Path, out: &mut String) {
    for entry in std::fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            read_all(&path, out);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            out.push_str(&std::fs::read_to_string(&path).expect("a text"));
        }
    }
}

/// All recorded payloads: `directory/file` without its ending, and its JSON.
fn payloads() -> Vec<(String, Value)> {
    let mut out = Vec::new();
    for directory in ["rest_v3", "ws_v3"] {
        let path = root().join("tests/golden/bitget").join(directory);
        for entry in std::fs::read_dir(&path).expect("recorded payloads") {
            let path = entry.expect("an entry").path();
            let stem = path.file_stem().and_then(|stem| stem.to_str()).expect("a name");
            let text = std::fs::read_to_string(&path).expect("a text");
            let value = serde_json::from_str(&text).expect("JSON");
            out.push((format!("{directory}/{stem}"), value));
        }
    }
    out.sort_by(|a, b| a.0.cmp(&b.0));
    assert!(out.len() > 180, "{} payloads", out.len());
    out
}

/// What a payload is: its name without directory, source and number.
fn kind(file: &str) -> &str {
    let name = file.split('/').next_back().unwrap_or(file);
    name.split("__").next().unwrap_or(name)
}

fn is_request(file: &str) -> bool {
    kind(file).ends_with("-request")
}

fn is_elsewhere(file: &str) -> bool {
    let kind = kind(file);
    let kind = kind.strip_suffix("-request").unwrap_or(kind);
    ELSEWHERE.iter().any(|(_, names)| names.contains(&kind) || names.contains(&file))
}

/// Where the table has this difference of this file.
fn known(file: &str, line: &str) -> Option<(usize, usize, usize)> {
    places().find(|&(i, j, k)| {
        let (files, lines) = KNOWN[i].1[j];
        file.starts_with(files) && lines[k] == line
    })
}

fn places() -> impl Iterator<Item = (usize, usize, usize)> {
    KNOWN.iter().enumerate().flat_map(|(i, (_, groups))| {
        groups
            .iter()
            .enumerate()
            .flat_map(move |(j, (_, lines))| (0..lines.len()).map(move |k| (i, j, k)))
    })
}

fn root() -> PathBuf {
    let mut above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    above.find(|path| path.join("docs").is_dir()).expect("the repository").to_path_buf()
}
