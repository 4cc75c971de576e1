//! What is done to each input, by the fuzzer and by the test that replays its corpus. A body panics
//! when a promise is broken; it says whether the input was taken.

use std::fs;

use keel::config::{Config, Sources};
use keel_core::decimal::Grid;
use keel_core::event::Event;
use keel_core::instrument::{Instrument, InstrumentId, Symbol, btcusdt};
use keel_core::units::UnixNanos;
use keel_io::journal::{Reader, TapKind};
use keel_io::state::{Identity, StateDir};
use keel_net::bitget::client::Instance;
use keel_net::bitget::decode::{Decoder, Message};
use keel_net::bitget::rest::Answers;
use keel_net::bitget::topics::Directory;
use keel_net::proto::ws;

/// A body.
pub(crate) type Body = fn(&[u8]) -> bool;

/// Every body under the name of its target and of its folder in the corpus.
pub(crate) const BODIES: [(&str, Body); 6] = [
    ("ws", ws_frames),
    ("decode", decode),
    ("rest", rest),
    ("journal", journal),
    ("state", state),
    ("config", config),
];

/// A server's frames: the same messages, however the bytes are cut. Taken when no frame is refused.
pub(crate) fn ws_frames(bytes: &[u8]) -> bool {
    let whole = messages(bytes, usize::MAX);
    assert_eq!(whole, messages(bytes, 1), "segments of one byte");
    assert_eq!(whole, messages(bytes, 7), "segments of seven bytes");
    !whole.iter().any(|message| message.starts_with("refused"))
}

fn messages(mut bytes: &[u8], cut: usize) -> Vec<String> {
    let mut reader = ws::Reader::new(MESSAGE_BYTES_MAX);
    let mut found = Vec::new();
    loop {
        match reader.read() {
            Ok(Some(message)) => found.push(format!("{message:?}")),
            Ok(None) if bytes.is_empty() => return found,
            Ok(None) => {
                let spare = reader.spare();
                let count = bytes.len().min(spare.len()).min(cut);
                assert!(count > 0, "a reader that wants more has room for it");
                spare[..count].copy_from_slice(&bytes[..count]);
                reader.received(count);
                bytes = &bytes[count..];
            }
            Err(error) => {
                found.push(format!("refused {error:?}"));
                assert!(reader.read().is_err(), "an error is final");
                return found;
            }
        }
    }
}

/// A payload of a socket: the fast reader, the second one, which a leading blank calls, and
/// serde_json agree. Taken when it gives events.
pub(crate) fn decode(payload: &[u8]) -> bool {
    let directory = directory();
    let read = |payload: &[u8]| {
        let mut events: Vec<Event> = Vec::new();
        let read = Decoder::new(instance()).read(payload, &directory, &mut events);
        (read.is_ok(), matches!(read, Ok(Message::Events(_))), events)
    };
    let (good, is_events, events) = read(payload);
    assert!(good || events.is_empty(), "what is refused leaves nothing");
    let trimmed = payload.trim_ascii();
    if payload.len() < PAYLOAD_BYTES_MAX && trimmed != b"pong" {
        let blank = [b" ", payload].concat();
        assert_eq!((good, is_events, events), read(&blank), "fast and second reader");
    }
    if is_events {
        let third = serde_json::from_slice::<serde::de::IgnoredAny>(payload);
        assert!(third.is_ok(), "a third reader refuses: {third:?}");
    }
    is_events
}

/// An answer over REST, read as every kind of answer. Taken when one of them understands it.
pub(crate) fn rest(body: &[u8]) -> bool {
    let (directory, id) = (directory(), InstrumentId(0));
    let symbols: Vec<Symbol> = directory.iter().map(|(_, rules)| rules.symbol).collect();
    let mut taken = false;
    for status in [200, 400, 429, 503] {
        let mut answers = Answers::new(instance(), true);
        let read = [
            answers.server_time(status, body).is_ok(),
            answers.instruments(status, body, &symbols).is_ok(),
            answers.fee_rate(status, body, id).is_ok(),
            answers.settings(status, body, &directory).is_ok(),
            answers.key(status, body).is_ok(),
            answers.assets(status, body).is_ok(),
            answers.positions(status, body, &directory).is_ok(),
            answers.orders(status, body, &directory).is_ok(),
            answers.order(status, body, &directory).is_ok(),
            answers.fills(status, body, &directory).is_ok(),
            answers.candles(status, body, id).is_ok(),
            answers.tickers(status, body, &directory).is_ok(),
            answers.funding(status, body).is_ok(),
            answers.bills(status, body, &directory).is_ok(),
            answers.done(status, body).is_ok(),
        ];
        taken |= read.contains(&true);
    }
    taken
}

/// A journal's first segment: read to its end or to one error. Taken when there is no error.
pub(crate) fn journal(bytes: &[u8]) -> bool {
    let dir = tempfile::tempdir().expect("a directory");
    fs::write(dir.path().join("00000001.journal"), bytes).expect("written");
    let Ok(reader) = Reader::open(dir.path()) else { return false };
    let mut good = true;
    for record in reader {
        assert!(good, "nothing follows an error");
        match record {
            Ok(record) => {
                let at = usize::try_from(record.position.offset).expect("within the file");
                assert!(at < bytes.len(), "a record stands in the file");
                if record.tap.kind == TapKind::Event {
                    // An event of another build is an error, and no panic.
                    let _ = Event::decode(&record.tap.slot);
                }
            }
            Err(_) => good = false,
        }
    }
    good
}

/// A file of a state directory, which one by the first byte. Taken when the directory opens with
/// it.
pub(crate) fn state(bytes: &[u8]) -> bool {
    let Some((which, content)) = bytes.split_first() else { return false };
    let name = STATE_FILES[usize::from(*which) % STATE_FILES.len()];
    let dir = tempfile::tempdir().expect("a directory");
    let (venue, instance) = ("embedded".into(), "main".into());
    let identity = Identity { venue, uid: 8_000_000_001, instance };
    let (opened, _) = StateDir::open(dir.path(), &identity, NOW).expect("a new directory");
    drop(opened.begin().expect("begun"));
    fs::write(dir.path().join(name), content).expect("written");
    let Ok((_, recovered)) = StateDir::open(dir.path(), &identity, NOW) else {
        let kept = fs::read(dir.path().join(name)).expect("still there");
        assert_eq!(kept, content, "what is refused is not changed");
        return false;
    };
    assert!(recovered.epoch > 1, "an epoch is never given twice");
    let rules: Vec<Instrument> = directory().iter().map(|(_, rules)| *rules).collect();
    recovered.events(dir.path(), &rules, NOW).is_ok()
}

/// A configuration file. Taken when it is good; else what is said cannot command a terminal.
pub(crate) fn config(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let file = Some(("keel.toml".into(), text.to_owned()));
    match Config::new(&Sources { file, ..Sources::default() }) {
        Ok(_) => true,
        Err(issues) => {
            let said = issues.to_string();
            assert!(!said.is_empty());
            assert!(!said.chars().any(|c| c.is_control() && c != '\n'), "{said:?}");
            false
        }
    }
}

fn instance() -> Instance {
    Instance::parse("main").expect("a name")
}

fn directory() -> Directory {
    let contract = |name: &[u8], price_scale, size_scale| Instrument {
        symbol: Symbol::parse(name).expect("a name"),
        tick: Grid { step: 1, scale: price_scale },
        lot: Grid { step: 1, scale: size_scale },
        ..btcusdt()
    };
    Directory::new(&[contract(b"BTCUSDT", 1, 4), contract(b"ETHUSDT", 2, 2)])
}

const MESSAGE_BYTES_MAX: usize = 4_096;
/// Below what the decoder takes, so that one more blank still fits.
const PAYLOAD_BYTES_MAX: usize = 1 << 16;
pub(crate) const STATE_FILES: [&str; 7] =
    ["identity.json", "epoch.a", "epoch.b", "clean", "latch.json", "daily_state.json", "ledger"];
/// When directories are opened.
const NOW: UnixNanos = UnixNanos(1_795_461_118_807_723_000);
