//! The program is killed at chosen points, and what it leaves equals what the venue says.

use std::path::Path;

use keel_tests::crash::kill::{Segment, Way, segment};

#[test]
fn a_program_that_is_killed_again_and_again_loses_doubles_and_orphans_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let program = Path::new(env!("CARGO_BIN_EXE_keel-under-test"));
    let way = Way { zombie_ms: 500, rest: false };
    let outcome = segment(program, dir.path(), &Segment { seed: 1, kills: 8, way });
    println!("{outcome}");
    assert_eq!(outcome.violation, None, "{outcome}");
    assert!(outcome.total() >= 8, "{outcome}");
    assert!(outcome.comparisons >= 4 && outcome.fees > 0, "{outcome}");
    assert!(outcome.of_the_dead >= 8, "{outcome}");
}
