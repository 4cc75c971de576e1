//! Passes items between two threads over links of several depths, and checks each: `keel-links
//! --items 100000000 [--seed 1]`.

use std::process::ExitCode;

use keel_tests::flow::{DEPTHS, Passage, pass};

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let number = |flag: &str| {
        let place = words.iter().position(|word| word == flag)?;
        words.get(place + 1)?.parse::<u64>().ok()
    };
    let Some(items) = number("--items").filter(|&items| items >= 1_000) else {
        eprintln!("usage: keel-links --items N [--seed N], at least a thousand");
        return ExitCode::from(2);
    };
    let seed = number("--seed").unwrap_or(1);
    let (mut passed, mut took, mut missed) = (0, 0.0, true);
    for (depth, share) in DEPTHS {
        match pass(depth, items / 1_000 * share, seed) {
            Ok(passage) => {
                println!("{passage}");
                passed += passage.items;
                let Passage { full, dropped, stood, emptied, .. } = passage;
                missed &= [full, dropped, stood, emptied].contains(&0);
                took += passage.took.as_secs_f64();
            }
            Err(wrong) => {
                println!("{depth} places, seed {seed}: {wrong}");
                return ExitCode::FAILURE;
            }
        }
    }
    if missed {
        println!("no link was full, waited for and emptied: too few items to prove anything");
        return ExitCode::FAILURE;
    }
    println!("{passed} items arrived once, in order and as they were, in {took:.1} s");
    ExitCode::SUCCESS
}
