//! Searches for inputs that break a promise, on stable Rust: `keel-fuzz --seconds 60 [--target
//! NAME] [--seed 1]`. Inputs of the corpus are changed by chance, and what is taken is changed
//! further; checksums are put right in half of the cases, or nothing behind them would be reached.

use std::collections::HashSet;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use keel_io::world::Chance;
use serde_json::Value;

#[path = "../fuzz/bodies.rs"]
mod bodies;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let text = |flag: &str| {
        let place = words.iter().position(|word| word == flag)?;
        words.get(place + 1).map(String::as_str)
    };
    let number = |flag: &str| text(flag)?.parse::<u64>().ok();
    let Some(seconds) = number("--seconds") else {
        eprintln!("usage: keel-fuzz --seconds N [--target NAME] [--seed N]");
        return ExitCode::from(2);
    };
    let wanted = |name: &str| text("--target").is_none_or(|target| target == name);
    let targets = bodies::BODIES.iter().filter(|(name, _)| wanted(name));
    // What a broken promise says is told once, below.
    panic::set_hook(Box::new(|_| {}));
    let mut broken = 0;
    let mut searched = 0;
    for (name, body) in targets {
        let mut search = Search::new(name, *body, number("--seed").unwrap_or(1));
        search.run(Duration::from_secs(seconds));
        println!("{search}");
        broken += search.broken.len();
        searched += 1;
    }
    if broken == 0 && searched > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A search at one target.
struct Search {
    name: &'static str,
    body: bodies::Body,
    chance: Chance,
    pool: Vec<Vec<u8>>,
    seen: HashSet<u64>,
    tried: u64,
    taken: u64,
    broken: Vec<PathBuf>,
}

impl Search {
    fn new(name: &'static str, body: bodies::Body, seed: u64) -> Self {
        let corpus = Path::new(FUZZ).join("corpus").join(name);
        let entries = fs::read_dir(corpus).expect("a folder for each target");
        let mut paths: Vec<PathBuf> =
            entries.map(|entry| entry.expect("an entry").path()).collect();
        paths.sort();
        let pool = paths.iter().map(|path| fs::read(path).expect("readable")).collect();
        let (chance, seen) = (Chance::new(seed, 11), HashSet::new());
        Self { name, body, chance, pool, seen, tried: 0, taken: 0, broken: Vec::new() }
    }

    fn run(&mut self, length: Duration) {
        let began = Instant::now();
        while began.elapsed() < length && self.broken.len() < BROKEN_MAX {
            let input = self.input();
            self.tried += 1;
            match panic::catch_unwind(|| (self.body)(&input)) {
                Ok(false) => {}
                Ok(true) => {
                    self.taken += 1;
                    self.keep(input);
                }
                Err(_) => self.leave(&input),
            }
        }
    }

    /// What is taken and differs is changed further.
    fn keep(&mut self, input: Vec<u8>) {
        if !self.seen.insert(hash(&input)) {
            return;
        }
        if self.pool.len() < POOL_MAX {
            self.pool.push(input);
        } else {
            let place = self.chance.below(POOL_MAX as u64) as usize;
            self.pool[place] = input;
        }
    }

    /// Leaves an input that breaks a promise where a person finds it.
    fn leave(&mut self, input: &[u8]) {
        let dir = Path::new(FUZZ).join("artifacts");
        let path = dir.join(format!("{}-{:016x}", self.name, hash(&input)));
        if let Err(error) = fs::create_dir_all(&dir).and_then(|()| fs::write(&path, input)) {
            eprintln!("{}: {error}", path.display());
        }
        self.broken.push(path);
    }

    fn input(&mut self) -> Vec<u8> {
        let place = self.chance.below(self.pool.len() as u64) as usize;
        let mut input = self.pool[place].clone();
        for _ in 0..self.chance.between(1, 6) {
            self.change(&mut input);
        }
        if self.chance.one_in(2) {
            match self.name {
                "state" => mend_state(&mut input),
                "journal" => mend_journal(&mut input),
                _ => {}
            }
        }
        input
    }

    fn change(&mut self, input: &mut Vec<u8>) {
        let length = input.len() as u64;
        if length == 0 {
            input.push(self.chance.draw() as u8);
            return;
        }
        let at = self.chance.below(length) as usize;
        let some = self.chance.between(1, 16) as usize;
        match self.chance.below(8) {
            0 => input[at] ^= 1 << self.chance.below(8),
            1 => input[at] = self.chance.draw() as u8,
            2 => input[at] = self.chance.pick(&TELLING),
            3 => input.truncate(at),
            4 => drop(input.drain(at..(at + some).min(input.len()))),
            5 => {
                let piece = input[at..(at + some).min(input.len())].to_vec();
                input.splice(at..at, piece);
            }
            6 => input.insert(at, self.chance.pick(&TELLING)),
            _ => {
                let other = self.chance.below(self.pool.len() as u64) as usize;
                let other = &self.pool[other];
                let from = self.chance.below(other.len() as u64 + 1) as usize;
                input.truncate(at);
                input.extend_from_slice(&other[from..]);
            }
        }
        input.truncate(INPUT_BYTES_MAX);
    }
}

impl std::fmt::Display for Search {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { name, tried, taken, pool, broken, .. } = self;
        let (pool, wrong) = (pool.len(), broken.len());
        write!(f, "{name:<8} tried {tried:>9}, taken {taken:>8}, pool {pool:>4}, broken {wrong}")?;
        broken.iter().try_for_each(|path| write!(f, "\n  {}", path.display()))
    }
}

fn hash(input: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    input.hash(&mut hasher);
    hasher.finish()
}

/// Puts the checksum of a state file right, by what kind of file its first byte makes it.
fn mend_state(input: &mut [u8]) {
    let Some((which, content)) = input.split_first_mut() else { return };
    match usize::from(*which) % bodies::STATE_FILES.len() {
        1 | 2 => mend(content, content.len().saturating_sub(4)),
        6 => mend_ledger(content),
        _ => mend_object(content),
    }
}

/// The CRC of what stands before `at` is put there.
fn mend(bytes: &mut [u8], at: usize) {
    if let Some((content, rest)) = bytes.split_at_mut_checked(at)
        && rest.len() >= 4
    {
        rest[..4].copy_from_slice(&crc32fast::hash(content).to_le_bytes());
    }
}

/// A JSON object has the CRC of its compact text. A file of the same length takes it in place.
fn mend_object(content: &mut [u8]) {
    let Ok(Value::Object(mut object)) = serde_json::from_slice::<Value>(content) else { return };
    if object.remove("crc32").is_none() {
        return;
    }
    let text = serde_json::to_string(&object).expect("JSON of strings and numbers");
    let crc = format!("{:08x}", crc32fast::hash(text.as_bytes()));
    let key = b"\"crc32\": \"";
    let place = content.windows(key.len()).position(|window| window == key);
    let Some(at) = place.map(|place| place + key.len()) else { return };
    if let Some(old) = content.get_mut(at..at + 8) {
        old.copy_from_slice(crc.as_bytes());
    }
}

/// Header, and record after record as far as their lengths fit: the CRC before is repeated in each.
fn mend_ledger(content: &mut [u8]) {
    mend(content, 24);
    let mut at = 28;
    while let Some(length) = content.get(at..at + 4) {
        let length = u32::from_le_bytes(length.try_into().expect("four bytes")) as usize;
        let end = at.saturating_add(24).saturating_add(length);
        if end.saturating_add(4) > content.len() {
            return;
        }
        let before: [u8; 4] = content[at - 4..at].try_into().expect("four bytes");
        content[at + 20..at + 24].copy_from_slice(&before);
        let crc = crc32fast::hash(&content[at..end]);
        content[end..end + 4].copy_from_slice(&crc.to_le_bytes());
        at = end + 4;
    }
}

/// Header, and record after record as far as their lengths fit.
fn mend_journal(content: &mut [u8]) {
    mend(content, JOURNAL_HEADER_BYTES - 4);
    let mut at = JOURNAL_HEADER_BYTES;
    while let Some(length) = content.get(at..at + 2) {
        let length = usize::from(u16::from_le_bytes(length.try_into().expect("two bytes")));
        let end = at + 8 + length;
        if end > content.len() || length == 0 {
            return;
        }
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&content[at..at + 4]);
        hasher.update(&content[at + 8..end]);
        content[at + 4..at + 8].copy_from_slice(&hasher.finalize().to_le_bytes());
        at = end;
    }
}

/// Where targets, corpus and what was found stand.
const FUZZ: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz");
const JOURNAL_HEADER_BYTES: usize = keel_io::journal::HEADER_BYTES;
const INPUT_BYTES_MAX: usize = 1 << 14;
const POOL_MAX: usize = 1_024;
const BROKEN_MAX: usize = 8;
/// Bytes that mean something somewhere.
const TELLING: [u8; 16] = *b"\0\x01\x7f\x80\xff\"{}[]:,0-.e";
