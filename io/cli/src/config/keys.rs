//! The keys beside the parameter table, and how a value of any key is written.

use keel_core::decimal::DecimalError;
use keel_core::limit::AT_START;
use keel_core::param::{Row, TABLE, Unit};
use keel_core::units::{E8, MILLIS};
use keel_io::cold::daily::{grid_text, trimmed};

/// A key that is no parameter.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// `section.name`.
    pub path: &'static str,
    /// What its value is.
    pub kind: Kind,
    /// Its default, as it would be written.
    pub default: &'static str,
    /// What it does.
    pub doc: &'static str,
}

/// What the value of a plain key is.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// One of these words.
    Word(&'static [&'static str]),
    /// Text of 1 to `max` of these characters.
    Name {
        /// Longest.
        max: usize,
        /// Which characters, for people.
        allowed: &'static str,
        /// Which characters.
        test: fn(char) -> bool,
    },
    /// An address or a path; empty for none.
    Text,
    /// Names of contracts, each once.
    Symbols,
    /// Whole numbers, each once.
    Numbers,
    /// A whole number.
    Whole {
        /// Smallest.
        min: u64,
        /// Largest.
        max: u64,
    },
    /// A decimal number, as a parameter's.
    Number {
        /// In which unit.
        unit: Unit,
        /// Smallest, as it is kept.
        min: i64,
        /// Largest.
        max: i64,
    },
}

/// The value of a plain key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A word, a name, an address or a path.
    Text(String),
    /// Names.
    Texts(Vec<String>),
    /// Whole numbers.
    Numbers(Vec<u64>),
    /// A whole number.
    Whole(u64),
    /// A decimal number with its unit, as it is kept.
    Number(Unit, i64),
}

/// A latency of paper.
const LATENCY: Kind =
    Kind::Number { unit: Unit::Millis, min: 0, max: 10_000 * MILLIS.cast_signed() };

/// Every key that is no parameter, in the order of the manual.
pub const KEYS: &[Key] = &[
    Key {
        path: "instance.name",
        kind: Kind::Name {
            max: 8,
            allowed: "a-z and 0-9",
            test: |c| c.is_ascii_lowercase() || c.is_ascii_digit(),
        },
        default: "\"main\"",
        doc: "The name of this engine among those that share an account. It is part of every client order\n\
              id, so that an engine knows its own orders again; changing it makes them foreign.",
    },
    Key {
        path: "instance.variant",
        kind: Kind::Name {
            max: 32,
            allowed: "letters, digits, _ and -",
            test: |c| c.is_ascii_alphanumeric() || c == '_' || c == '-',
        },
        default: "\"keel\"",
        doc: "bot_variant in the CSV files.",
    },
    Key {
        path: "run.mode",
        kind: Kind::Word(&["sim", "paper", "demo", "live"]),
        default: "\"sim\"",
        doc: "What is traded against: sim (a venue on this machine), paper (a public feed, fills modeled),\n\
              demo (the venue's demo trading), live (real money).",
    },
    Key {
        path: "run.profile",
        kind: Kind::Word(&["auto", "wide", "touch"]),
        default: "\"auto\"",
        doc: "Which column of defaults to start from. wide earns from real moves and is filled seldom; touch\n\
              quotes one level at the touch and needs a maker rebate. auto is touch in sim, else wide.",
    },
    Key {
        path: "run.instruments",
        kind: Kind::Symbols,
        default: "[\"BTCUSDT\", \"ETHUSDT\"]",
        doc: "USDT-margined perpetuals, as the venue writes them.",
    },
    Key {
        path: "run.fee_mode",
        kind: Kind::Word(&["auto", "manual"]),
        default: "\"auto\"",
        doc: "Where fee rates come from. auto asks the venue; in paper, where there is no key to ask with, it\n\
              is manual. manual takes those of [paper], and only paper may.",
    },
    Key {
        path: "run.threading",
        kind: Kind::Word(&["auto", "dedicated", "shared"]),
        default: "\"auto\"",
        doc: "dedicated gives feed, gateway and engine a core each; shared runs them in turn on one thread.\n\
              auto is dedicated with at least four free cores.",
    },
    Key {
        path: "run.idle",
        kind: Kind::Word(&["auto", "spin", "yield", "park"]),
        default: "\"auto\"",
        doc: "What a hot thread does without work. spin is fastest and takes a whole core; park sleeps until a\n\
              socket is ready. auto is spin when dedicated, park when shared.",
    },
    Key {
        path: "run.cores",
        kind: Kind::Numbers,
        default: "[]",
        doc: "Cores of the hot threads: three for dedicated (feed, gateway, engine), one for shared, none to\n\
              let the program choose.",
    },
    Key {
        path: "venue.rest",
        kind: Kind::Text,
        default: "\"\"",
        doc: "https://host:port of another venue's REST interface. In sim the three addresses are empty (the\n\
              embedded venue is used) or name a venue on loopback, which may also serve http and ws. In paper\n\
              rest and ws_public are empty (Bitget's public interfaces) or name another public venue. In demo all\n\
              three are empty (Bitget's demo trading) or name a venue on loopback, for a rehearsal; in live they are\n\
              empty (Bitget) or name a venue on loopback, for a rehearsal.",
    },
    Key {
        path: "venue.ws_public",
        kind: Kind::Text,
        default: "\"\"",
        doc: "wss:// address of its public stream.",
    },
    Key {
        path: "venue.ws_private",
        kind: Kind::Text,
        default: "\"\"",
        doc: "wss:// address of its private stream.",
    },
    Key {
        path: "venue.ca",
        kind: Kind::Text,
        default: "\"\"",
        doc: "PEM file of the authority that signed the venue's certificate, instead of the public ones.",
    },
    Key {
        path: "venue.key_file",
        kind: Kind::Text,
        default: "\"\"",
        doc: "File with the lines key = …, secret = … and passphrase = …, mode 600, owned by who runs this.\n\
              Or set KEEL_API_KEY, KEEL_API_SECRET and KEEL_API_PASSPHRASE. A key never stands in here.",
    },
    Key {
        path: "venue.uid",
        kind: Kind::Whole { min: 0, max: u64::MAX },
        default: "0",
        doc: "The account that must answer to the key. Required with addresses, so that a key of another\n\
              account cannot trade by mistake.",
    },
    Key {
        path: "venue.clock_speed",
        kind: Kind::Whole { min: 1, max: 1_000 },
        default: "1",
        doc: "How many times faster than real the venue's time runs. Only in sim.",
    },
    Key {
        path: "venue.seed",
        kind: Kind::Whole { min: 0, max: u64::MAX },
        default: "1",
        doc: "The embedded market is made from this number: the same number, the same market.",
    },
    Key {
        path: "paper.balance_quote",
        kind: Kind::Number { unit: Unit::Usdt, min: 10 * E8, max: 100_000_000 * E8 },
        default: "10000",
        doc: "What the paper account begins with, in USDT. What runs on its state have earned comes on top.",
    },
    Key {
        path: "paper.maker_fee_pct",
        kind: Kind::Number { unit: Unit::Fraction, min: -100_000, max: 1_000_000 },
        default: "0.0002",
        doc: "What a resting order pays when it is filled; negative is a rebate. The default is that of the\n\
              venue's fee schedule for an ordinary account.",
    },
    Key {
        path: "paper.taker_fee_pct",
        kind: Kind::Number { unit: Unit::Fraction, min: 0, max: 1_000_000 },
        default: "0.0006",
        doc: "What an order that takes would pay. Paper fills nothing that takes.",
    },
    Key {
        path: "paper.latency_min_ms",
        kind: LATENCY,
        default: "4",
        doc: "The least time from sending an order or a cancel until it is in force as the public feed shows it\n\
              and its answer is here. The four points make up the distribution; between two of them a time is\n\
              drawn evenly. The venue publishes no figure: the defaults are assumed, for a host near it.\n\
              Replace them by the times of own acknowledgments.",
    },
    Key {
        path: "paper.latency_p50_ms",
        kind: LATENCY,
        default: "12",
        doc: "Half of them take no longer.",
    },
    Key {
        path: "paper.latency_p99_ms",
        kind: LATENCY,
        default: "60",
        doc: "99 of 100 take no longer.",
    },
    Key { path: "paper.latency_max_ms", kind: LATENCY, default: "300", doc: "None takes longer." },
    Key {
        path: "paper.cancels",
        kind: Kind::Word(&["proportional", "behind"]),
        default: "\"proportional\"",
        doc: "Whose orders are canceled when a level shrinks without a print: proportional takes those ahead of\n\
              an own order by their share of the level (Rigtorp 2013; hftbacktest's ProbQueueModel with\n\
              f(x) = x), behind those behind it as long as there are any (its RiskAdverseQueueModel), which\n\
              fills less.",
    },
    Key {
        path: "paper.seed",
        kind: Kind::Whole { min: 0, max: u64::MAX },
        default: "1",
        doc: "Latencies are drawn from this number.",
    },
    Key {
        path: "live.drills",
        kind: Kind::Text,
        default: "\"\"",
        doc: "Directory of the signed drills (part A), made by keel golive check --venue demo and signed by\n\
              keel golive sign.",
    },
    Key {
        path: "live.account",
        kind: Kind::Text,
        default: "\"\"",
        doc: "Directory of the signed reading of the account (part B), made by keel golive check --account.",
    },
    Key {
        path: "live.reviewer",
        kind: Kind::Text,
        default: "\"\"",
        doc: "The public key of whoever may sign, as keel golive keygen tells it.",
    },
    Key {
        path: "live.canary_hours",
        kind: Kind::Whole { min: 1, max: 720 },
        default: "24",
        doc: "So many hours of quoting under the same drills begin small; a run that began small stays so to\n\
              its end. Pauses and stops do not count.",
    },
    Key {
        path: "live.canary_share",
        kind: Kind::Number { unit: Unit::Fraction, min: 100_000, max: 50_000_000 },
        default: "0.2",
        doc: "What is left in those hours of max_order_notional_quote, max_position_quote and\n\
              max_total_notional_quote.",
    },
    Key {
        path: "kill.guardian",
        kind: Kind::Word(&["on", "unit", "off"]),
        default: "\"on\"",
        doc: "A second process that cancels everything when this one dies or hangs. The embedded venue needs\n\
              none: it ends with the process. unit: a `keel guardian` that a unit file runs beside this one,\n\
              with the same configuration. off only where something else does the guardian's work.",
    },
    Key {
        path: "kill.key_file",
        kind: Kind::Text,
        default: "\"\"",
        doc: "A key of its own for kill and guardian, as venue.key_file; empty: the venue's key.",
    },
    Key {
        path: "kill.hang_ms",
        kind: Kind::Whole { min: 100, max: 60_000 },
        default: "700",
        doc: "A hot thread, or an engine, that has not turned for so many milliseconds is gone: the kill, and\n\
              the guardian, fence it and cancel everything.",
    },
];

/// What stands before every section of the manual.
pub const SECTIONS: &[(&str, &str)] = &[
    ("instance", "Which engine this is."),
    ("run", "What it trades and how it runs."),
    ("venue", "Against whom. Empty in sim: the venue is inside the program."),
    ("strategy", "Where quotes stand. Percent-named keys are fractions: 0.03 is 3 %."),
    ("risk", "What must never happen. The value given is the last one allowed."),
    ("order", "How orders are sent, confirmed and counted."),
    ("paper", "The account and the venue that paper mode plays. Other modes have no use for it."),
    ("live", "What trading for real rests on. Other modes have no use for it."),
    ("kill", "The last hand on the switch."),
    (
        ENVELOPE,
        "What `keel set` may change while an engine runs, as name = [least, most] for parameters of\n\
         [strategy]. Limits may be tightened without standing here, and never loosened.",
    ),
];

/// The section whose keys are names of parameters.
pub const ENVELOPE: &str = "envelope";

/// Parameters that `[envelope]` may name.
pub fn adjustable() -> impl Iterator<Item = &'static Row> + Clone {
    let tuned = |row: &&Row| row.section == "strategy" || row.section == "risk";
    TABLE.iter().filter(tuned).filter(|row| !AT_START.contains(&row.at))
}

/// What names of configuration variables begin with.
pub const PREFIX: &str = "KEEL_";
/// Variables of the API key are no configuration.
pub const API_PREFIX: &str = "KEEL_API_";

/// The plain key at `section.name`.
pub fn plain(section: &str, name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.path.split_once('.') == Some((section, name)))
}

/// The parameter at `section.name`.
pub fn parameter(section: &str, name: &str) -> Option<&'static Row> {
    TABLE.iter().find(|row| row.section == section && row.name == name)
}

/// The names of a section's keys, in the order of the manual.
pub fn names(section: &str) -> impl Iterator<Item = &'static str> + Clone {
    let plain = KEYS.iter().filter_map(|key| key.path.split_once('.'));
    let rows = TABLE.iter().map(|row| (row.section, row.name));
    plain.chain(rows).filter(move |(own, _)| *own == section).map(|(_, name)| name)
}

/// The variable of the environment that sets a key.
pub fn variable(section: &str, name: &str) -> String {
    format!("{PREFIX}{section}_{name}").to_uppercase()
}

/// A parameter's value from its text.
///
/// # Errors
/// As [`keel_core::decimal::Decimal::parse`], and [`DecimalError::OffGrid`] for more decimals than
/// its unit keeps.
pub fn units_of(unit: Unit, text: &str) -> Result<i64, DecimalError> {
    unit.grid().steps(text.as_bytes())
}

/// A parameter's value as it is written.
pub fn text_of(unit: Unit, value: i64) -> String {
    match unit {
        Unit::Word(words) => {
            let word = usize::try_from(value).ok().and_then(|place| words.get(place));
            let word = word.copied().unwrap_or("?");
            if is_switch(words) { word.to_owned() } else { format!("\"{word}\"") }
        }
        _ => trimmed(grid_text(unit.grid(), value)),
    }
}

/// True for the words `false` and `true`, which are written as TOML's own.
pub fn is_switch(words: &[&str]) -> bool {
    words == ["false", "true"]
}

/// A unit's name for people.
pub fn unit_name(unit: Unit) -> &'static str {
    match unit {
        Unit::Fraction => "fraction",
        Unit::Bps => "basis points",
        Unit::Factor => "factor",
        Unit::Seconds => "seconds",
        Unit::Millis => "milliseconds",
        Unit::Count => "whole number",
        Unit::Usdt => "USDT",
        Unit::Word(_) => "word",
    }
}
