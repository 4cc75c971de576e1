//! `keel record` on a venue on loopback: what it writes is the market, and can be read back.

mod program;
#[path = "program/watch.rs"]
mod watch;

use std::fs;
use std::path::Path;
use std::time::Duration;

use keel_core::decimal::Grid;
use keel_core::event::Event;
use keel_core::instrument::{Instrument, InstrumentStatus, Symbol};
use keel_core::units::{Lots, Quote, Rate};
use keel_io::recording::{Kind, RecordingReader};
use keel_net::bitget::client::Instance;
use keel_net::bitget::decode::Decoder;
use keel_net::bitget::topics::Directory;
use program::{Venue, Working, ended, wait};
use watch::Watched;

fn configure(dir: &Path, authority: &str) {
    let text = format!(
        "[run]\nmode = \"paper\"\ninstruments = [\"BTCUSDT\"]\n[venue]\n\
         rest = \"http://{authority}\"\nws_public = \"ws://{authority}/v3/ws/public\"\n"
    );
    fs::write(dir.join("keel.toml"), text).expect("written");
}

/// BTCUSDT on the grids that the recording tells.
fn directory(reader: &RecordingReader) -> Directory {
    let told = &reader.about()["instruments"][0];
    let grid = |name: &str| Grid {
        step: told[name][0].as_i64().expect("a step"),
        scale: told[name][1].as_u64().expect("decimals") as u8,
    };
    Directory::new(&[Instrument {
        symbol: Symbol::parse(told["symbol"].as_str().expect("a name").as_bytes()).expect("one"),
        tick: grid("tick"),
        lot: grid("lot"),
        min_lots: Lots(1),
        max_lots: Lots(1),
        min_notional: Quote::ZERO,
        buy_band: Rate::ZERO,
        sell_band: Rate::ZERO,
        orders_max: 1,
        leverage_max: 1,
        funding_hours: 8,
        status: InstrumentStatus::Online,
    }])
}

#[test]
fn a_recording_holds_the_market_and_is_read_back_over_a_lost_connection() {
    let venue = Venue::start(&["--plaintext"]);
    let watched = Watched::start(venue.authority());
    let dir = tempfile::tempdir().expect("a directory");
    let dir = dir.path();
    configure(dir, &watched.address.to_string());
    let run = Working::start(dir, &["record", "--out", "tape"]);
    let tape = dir.join("tape");
    let grows = |least: u64| fs::metadata(&tape).is_ok_and(|file| file.len() > least);
    wait(Duration::from_secs(15), "frames", || grows(20_000));
    watched.cut();
    let before = fs::metadata(&tape).expect("there").len();
    wait(Duration::from_secs(15), "frames of another connection", || grows(before + 40_000));
    run.signal("TERM");
    let done = run.end(Duration::from_secs(10));
    done.done();
    assert!(done.out.contains("\n  not read     0\n"), "{}", done.said());

    let mut reader = RecordingReader::open(&tape).expect("a recording");
    let directory = directory(&reader);
    let mut decoder = Decoder::new(Instance::parse("main").expect("a name"));
    let (mut events, mut kinds, mut last) = (Vec::new(), Vec::new(), None);
    while let Some(record) = reader.next_record().expect("sound") {
        assert!(last <= Some(record.at), "times do not go back");
        last = Some(record.at);
        if record.kind == Kind::Frame {
            decoder.read(&record.payload, &directory, &mut events).expect("understood");
        } else {
            kinds.push(record.kind);
        }
    }
    assert_eq!(kinds, [Kind::Opened, Kind::Lost, Kind::Opened, Kind::End]);
    let count = |test: fn(&Event) -> bool| events.iter().filter(|event| test(event)).count();
    let snapshots = |event: &Event| matches!(event, Event::BookPage(p) if p.snapshot && p.first);
    assert_eq!(count(snapshots), 2, "a book a connection");
    assert!(count(|event| matches!(event, Event::Trade(_))) > 0);
    assert!(count(|event| matches!(event, Event::Ticker(_))) > 0);

    let read = ended(dir, &["record", "--check", "tape"]);
    read.done();
    assert!(read.out.contains("connections  2, 1 lost"), "{}", read.said());
    assert!(read.out.contains("end          in order"), "{}", read.said());
    ended(dir, &["record", "--out", "tape"]).refused(3, &["tape", "exists"]);
    ended(dir, &["record", "--check", "keel.toml"]).refused(3, &["keel.toml is no recording"]);
    ended(dir, &["record"]).refused(2, &["--out FILE"]);
    let short = ended(dir, &["record", "--out", "short", "--max-mib", "0"]);
    short.done();
    assert!(short.out.contains("as long as it may be"), "{}", short.said());
}
