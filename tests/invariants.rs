//! The table of invariants in the documentation says what the sources do.

use std::collections::BTreeSet;
use std::path::Path;

/// A row of the table: which invariant, and who watches over it.
fn rows() -> Vec<(String, String)> {
    let row = |line: &str| {
        let mut cells = line.strip_prefix("| ")?.split('|').map(str::trim);
        let (name, _, watched) = (cells.next()?, cells.next()?, cells.next()?);
        let is_row = name.starts_with("I-") || name.starts_with("L-");
        is_row.then(|| (name.to_owned(), watched.to_owned()))
    };
    read("docs/invariants.md").lines().filter_map(row).collect()
}

fn read(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    std::fs::read_to_string(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Invariants that the campaign can find violated.
fn judged() -> BTreeSet<String> {
    let sources = [
        "campaign/life.rs",
        "campaign/oracle.rs",
        "campaign/oracle/money.rs",
        "campaign/oracle/resting.rs",
        "campaign/oracle/wire.rs",
    ];
    let mut found = BTreeSet::new();
    for source in sources {
        let text = read(&format!("tests/{source}"));
        // As the oracles name them: in `fail("I-01", …)` and `invariant: "I-38"`.
        for before in ["fail(\"", "fail(\n                \"", "invariant: \""] {
            for piece in text.split(before).skip(1) {
                found.extend(piece.split('"').next().map(str::to_owned));
            }
        }
    }
    found
}

#[test]
fn every_invariant_has_a_row_and_a_row_claims_an_oracle_that_is_there() {
    let rows = rows();
    let names: Vec<_> = rows.iter().map(|(name, _)| name.clone()).collect();
    let all = (1..=39).map(|n| format!("I-{n:02}")).chain((1..=5).map(|n| format!("L-{n}")));
    assert_eq!(names, all.collect::<Vec<_>>());
    let claimed = rows.iter().filter(|(_, watched)| watched.starts_with("oracle"));
    let claimed: BTreeSet<_> = claimed.map(|(name, _)| name.clone()).collect();
    assert_eq!(claimed, judged());
}

#[test]
fn a_test_that_the_table_names_is_there() {
    let mut named = 0;
    for (name, watched) in rows() {
        let quoted: Vec<&str> = watched.split('`').skip(1).step_by(2).collect();
        for pair in quoted.windows(2).filter(|pair| pair[0].ends_with(".rs")) {
            let test = format!("fn {}(", pair[1]);
            assert!(read(pair[0]).contains(&test), "{name}: {} has no {test}", pair[0]);
            named += 1;
        }
    }
    assert!(named > 8, "only {named} tests are named");
}
