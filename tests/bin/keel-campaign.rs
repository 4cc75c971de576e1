//! Lives many simulated lives and tells how they went: `keel-campaign --seeds 0..1000 [--threads
//! 2]`.

use std::process::ExitCode;

use keel_tests::campaign::Campaign;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let Some((from, to, threads)) = read(&words) else {
        eprintln!("usage: keel-campaign --seeds FROM..TO [--threads N]");
        return ExitCode::from(2);
    };
    let campaign = Campaign::run(from..to, threads);
    println!("{}", campaign.report());
    if campaign.failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn read(words: &[String]) -> Option<(u64, u64, usize)> {
    let value = |flag: &str| {
        let place = words.iter().position(|word| word == flag)?;
        words.get(place + 1)
    };
    let (from, to) = value("--seeds")?.split_once("..")?;
    let threads = value("--threads").map_or(Some(2), |threads| threads.parse().ok())?;
    Some((from.parse().ok()?, to.parse().ok()?, threads))
}
