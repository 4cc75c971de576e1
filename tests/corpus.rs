//! Every input of the fuzzer's corpus, on stable Rust.

use std::fs;
use std::path::Path;

#[path = "fuzz/bodies.rs"]
mod bodies;

#[test]
fn every_promise_holds_for_every_input_of_the_corpus() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let mut wrong = Vec::new();
    for (name, body) in bodies::BODIES {
        let mut taken = [0; 2];
        for entry in fs::read_dir(corpus.join(name)).expect("a folder for each target") {
            let path = entry.expect("an entry").path();
            let bytes = fs::read(&path).expect("readable");
            println!("{}", path.display());
            let is_taken = body(&bytes);
            let says = path.file_name().expect("a name").to_string_lossy().starts_with("good-");
            if is_taken != says {
                wrong.push(path);
            }
            taken[usize::from(is_taken)] += 1;
        }
        assert!(taken[0] >= 2 && taken[1] >= 2, "{name}: both kinds are there: {taken:?}");
    }
    assert!(wrong.is_empty(), "a name begins with `good-` when the input is taken: {wrong:#?}");
}
