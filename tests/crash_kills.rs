//! The program is killed at chosen points, and what it leaves equals what the venue says.

use std::path::Path;

use keel_tests::crash::kill::{Segment, segment};

#[test]
fn a_program_that_is_killed_again_and_again_loses_doubles_and_orphans_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let program = Path::new(env!("CARGO_BIN_EXE_keel-under-test"));
    let outcome = segment(program, dir.path(), &Segment { seed: 1, kills: 8, zombie_ms: 500 });
    println!("{outcome}");
    assert_eq!(outcome.violation, None, "{outcome}");
    assert_eq!(outcome.total(), 8);
    assert!(outcome.comparisons >= 4 && outcome.executions > 0, "{outcome}");
}
