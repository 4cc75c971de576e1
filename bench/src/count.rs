//! Instructions of each hot part on fixed input, as callgrind counts them: what a change costs on a
//! machine whose time cannot be trusted.
//!
//! A case does its work some times inside [`measured_work`], the only function in which callgrind
//! collects, and checks what came of it. Counts are exact and the same from run to run; they differ
//! by compiler, and where assembly picks its way by processor (signing), by processor.

use std::hint::black_box;

use keel_core::book::Applied;
use keel_core::event::Event;
use keel_core::gate::{Gate, View};
use keel_core::instrument::{Instrument, InstrumentId};
use keel_core::layout::SLOT_BYTES;
use keel_core::markout::Markout;
use keel_core::model::RegimeModel;
use keel_core::param::{Params, Profile};
use keel_core::plan::{NO_SLOTS, Pace, plan};
use keel_core::quote::{QuoteInputs, desired};
use keel_core::regime::Regime;
use keel_core::units::{Lots, MonoNanos, Quote, Rate, UnixNanos};
use keel_io::journal::Tap;
use keel_net::bitget::decode::{Decoder, Message};
use keel_net::bitget::encode::Encoder;
use keel_net::dispatch::Arrival;
use keel_net::link::{WhenFull, link};
use keel_net::proto::{ByteQueue, ws};
use keel_risk::{InstrumentRisk, RiskGate};

use crate::frames::{self, LEVELS_400, LEVELS_826, Market};
use crate::parts::{self, NOW};
use crate::rig::{Led, MOVE, Rig};
use crate::trader;

/// One part on one input.
pub struct Case {
    /// Its name in the table and in the baseline.
    pub name: &'static str,
    /// Times that it works.
    pub rounds: u64,
    /// Does it so many times.
    pub run: fn(u64),
}

/// All cases, in the order in which they run.
pub const CASES: &[Case] = &[
    Case { name: "frame read (400 B)", rounds: 500, run: read_frame },
    Case {
        name: "decode books 400 B",
        rounds: 500,
        run: |n| decode(n, Payload::Books(LEVELS_400)),
    },
    Case {
        name: "decode books 826 B",
        rounds: 500,
        run: |n| decode(n, Payload::Books(LEVELS_826)),
    },
    Case { name: "decode books 400 levels", rounds: 50, run: |n| decode(n, Payload::Books(400)) },
    Case { name: "decode books1", rounds: 500, run: |n| decode(n, Payload::Best) },
    Case { name: "decode publicTrade", rounds: 500, run: |n| decode(n, Payload::Trade) },
    Case { name: "decode ticker", rounds: 500, run: |n| decode(n, Payload::Ticker) },
    Case { name: "link push and pop", rounds: 1_000, run: hop },
    Case { name: "book 1 level", rounds: 500, run: |n| book(n, 1, 0) },
    Case { name: "book 400 B", rounds: 500, run: |n| book(n, LEVELS_400, MOVE) },
    Case { name: "book 826 B", rounds: 500, run: |n| book(n, LEVELS_826, MOVE) },
    Case { name: "book touch and imbalance", rounds: 1_000, run: touch },
    Case { name: "desired quotes", rounds: 500, run: quote },
    Case { name: "plan from nothing", rounds: 500, run: plan_all },
    Case { name: "gate, twelve checks", rounds: 500, run: gate },
    Case { name: "step 1, no quote changes", rounds: 200, run: |n| step(n, 1, false) },
    Case { name: "step 1, a quote moves", rounds: 200, run: |n| step(n, 1, true) },
    Case { name: "step 10, no quote changes", rounds: 200, run: |n| step(n, 10, false) },
    Case { name: "step 10, a quote moves", rounds: 200, run: |n| step(n, 10, true) },
    Case { name: "step 100, no quote changes", rounds: 200, run: |n| step(n, 100, false) },
    Case { name: "step 100, a quote moves", rounds: 200, run: |n| step(n, 100, true) },
    Case { name: "step 1000, a quote moves", rounds: 100, run: |n| step(n, 1_000, true) },
    Case { name: "reply and push of an order", rounds: 200, run: answers },
    Case { name: "encode an order", rounds: 500, run: encode },
    Case { name: "frame write (258 B)", rounds: 500, run: write_frame },
    Case { name: "login, signed", rounds: 100, run: sign },
    Case { name: "journal append", rounds: 1_000, run: append },
    Case { name: "payload to order bytes", rounds: 200, run: payload_to_order },
];

/// Callgrind collects in here and nowhere else.
#[inline(never)]
pub fn measured_work(work: &mut dyn FnMut()) {
    work();
}

/// Callgrind writes its counts down and begins anew after each call of this.
#[inline(never)]
pub fn measured_case_ends(name: &str) {
    black_box(name);
}

/// Runs these cases once. Under callgrind it leaves a file of counts for each.
pub fn run_all<'a>(cases: impl IntoIterator<Item = &'a Case>) {
    for case in cases {
        (case.run)(case.rounds);
        measured_case_ends(case.name);
    }
}

/// Counts `work` the given number of times, each after `before`, which is not counted.
fn count<T>(rounds: u64, mut before: impl FnMut(u64) -> T, mut work: impl FnMut(T)) {
    for round in 0..rounds {
        let mut input = Some(before(round));
        measured_work(&mut || work(input.take().expect("one input a round")));
    }
}

#[derive(Clone, Copy)]
enum Payload {
    Books(usize),
    Best,
    Trade,
    Ticker,
}

fn decode(rounds: u64, payload: Payload) {
    let mut market = Market::new(InstrumentId(0));
    let (mut decoder, directory) = (Decoder::new(frames::instance()), trader::directory(1));
    let mut events: Vec<Event> = Vec::with_capacity(1_024);
    let next = |round: u64| {
        let by = if round.is_multiple_of(2) { MOVE } else { -MOVE };
        match payload {
            Payload::Books(levels) => market.update(levels, by).to_vec(),
            Payload::Best => market.best().to_vec(),
            Payload::Trade => market.trades(1).to_vec(),
            Payload::Ticker => market.ticker().to_vec(),
        }
    };
    count(rounds, next, |payload: Vec<u8>| {
        events.clear();
        let read = decoder.read(black_box(&payload), &directory, &mut events);
        assert_eq!(read, Ok(Message::Events(events.len() as u32)));
        std::mem::forget(payload);
    });
    assert_eq!(decoder.counters().fast, rounds, "the fast reader read them all");
}

fn read_frame(rounds: u64) {
    let mut market = Market::new(InstrumentId(0));
    let mut reader = ws::Reader::new(1 << 20);
    let next = |_| {
        let payload = market.update(LEVELS_400, 0);
        let mut frame = vec![0x81, 126];
        frame.extend((payload.len() as u16).to_be_bytes());
        frame.extend_from_slice(payload);
        frame
    };
    count(rounds, next, |frame: Vec<u8>| {
        reader.spare()[..frame.len()].copy_from_slice(&frame);
        reader.received(frame.len());
        let read = reader.read();
        assert!(matches!(read, Ok(Some(ws::Message::Text(_)))), "a text message");
        std::mem::forget(frame);
    });
}

fn hop(rounds: u64) {
    let event = Event::BookPage(parts::pages(Market::new(InstrumentId(0)).update(6, 0))[0]);
    let (mut sender, mut receiver) = link("here", 64, WhenFull::AskFirst);
    count(
        rounds,
        |_| Arrival { event, rx: NOW, decoded: NOW },
        |arrival| {
            assert!(sender.push(arrival).is_ok(), "an empty link has room");
            black_box(receiver.pop().expect("it was just pushed"));
        },
    );
}

fn book(rounds: u64, levels: usize, by: i64) {
    let (mut market, mut book) = (Market::new(InstrumentId(0)), parts::book());
    let snapshot = parts::pages(market.snapshot(frames::SNAPSHOT_LEVELS));
    assert_eq!(parts::apply(&mut book, &snapshot, 1), Applied::Done);
    let to_and_fro = [by, -by].map(|by| parts::pages(market.update(levels, by)));
    let mut seq = 1;
    count(
        rounds,
        |round| &to_and_fro[(round % 2) as usize],
        |frame: &Vec<_>| {
            seq += 1;
            assert_eq!(parts::apply(&mut book, frame, seq), Applied::Done);
            black_box(book.touch());
        },
    );
}

fn touch(rounds: u64) {
    let (mut market, mut book) = (Market::new(InstrumentId(0)), parts::book());
    let snapshot = parts::pages(market.snapshot(frames::SNAPSHOT_LEVELS));
    assert_eq!(parts::apply(&mut book, &snapshot, 1), Applied::Done);
    let book = black_box(&book);
    count(
        rounds,
        |_| (),
        |()| {
            black_box((book.touch(), book.imbalance()));
        },
    );
}

/// Rules under which an order may be small.
fn small_lots() -> Instrument {
    Instrument { min_lots: Lots(1), ..frames::rules(InstrumentId(0)) }
}

/// What the strategy sees of a market and an account with nothing special.
fn inputs(rules: &Instrument) -> QuoteInputs<'_> {
    let mut book = parts::book();
    let snapshot = parts::pages(Market::new(InstrumentId(0)).snapshot(frames::SNAPSHOT_LEVELS));
    assert_eq!(parts::apply(&mut book, &snapshot, 1), Applied::Done);
    QuoteInputs {
        rules,
        touch: book.touch().expect("a live book"),
        imbalance: book.imbalance(),
        regime: Regime::NeutralLowVol,
        band: Rate::bps(7),
        drift: Rate::bps(2),
        equity: Quote::usdt(250_000),
        position: Lots(3),
        turnover: Quote::usdt(70_000),
        maker: Rate::bps(2),
        funding: Rate::bps(1),
        room: Quote::usdt(1_000_000),
        reduce_only: false,
    }
}

fn quote(rounds: u64) {
    let rules = small_lots();
    let (params, inputs) = (Params::defaults(Profile::Wide), inputs(&rules));
    let mut markout = Markout::new();
    count(
        rounds,
        |_| (),
        |()| {
            let desired =
                desired(black_box(&params), black_box(&inputs), &RegimeModel, &mut markout, NOW);
            assert!(!desired.sides[0].levels().is_empty() && !desired.sides[1].levels().is_empty());
            black_box(&desired);
        },
    );
}

fn plan_all(rounds: u64) {
    let rules = small_lots();
    let params = Params::defaults(Profile::Wide);
    let desired = desired(&params, &inputs(&rules), &RegimeModel, &mut Markout::new(), NOW);
    count(
        rounds,
        |_| Pace::new(),
        |mut pace| {
            let plan = plan(&params, black_box(&desired), black_box(&NO_SLOTS), &mut pace, NOW);
            assert!(plan.actions().next().is_some(), "orders are missing");
        },
    );
}

fn gate(rounds: u64) {
    let (params, account, instruments) =
        (Params::defaults(Profile::Wide), parts::account(NOW), [parts::instrument(NOW)]);
    let view = View { params: &params, account: &account, instruments: &instruments };
    let mut memory = [InstrumentRisk::default(); 1];
    let mut gate = RiskGate::new(&mut memory);
    let intent = parts::intent(NOW);
    count(
        rounds,
        |_| (),
        |()| {
            assert_eq!(gate.check(black_box(&intent), black_box(&view), NOW), Ok(()));
        },
    );
}

/// A rig that has seen so many frames that move the touch: every other pass over its instruments
/// leaves an order on each.
fn warm(instruments: usize, frames: usize) -> Rig {
    let (mut rig, mut payload) = (Rig::new(instruments), Vec::with_capacity(4_096));
    for _ in 0..frames {
        rig.payload(LEVELS_400, &mut payload);
        rig.frame(&payload);
        rig.settle();
    }
    rig
}

fn next_payload(rig: &mut Rig, moves: bool, payload: &mut Vec<u8>) {
    if moves {
        rig.payload(LEVELS_400, payload);
    } else {
        rig.quiet_payload(LEVELS_400, payload);
    }
}

/// The engine's cycle on one frame, between its links.
fn step(rounds: u64, instruments: usize, moves: bool) {
    // Frames that move lead to as many orders as cancels; quiet ones find an order on each.
    let frames = match (moves, instruments) {
        (true, 1..=100) => 100,
        (true, many) => 2 * many - rounds as usize / 2,
        (false, many) => many.max(101),
    };
    let (mut rig, mut payload) = (warm(instruments, frames), Vec::with_capacity(4_096));
    let mut requests = 0;
    for _ in 0..rounds {
        next_payload(&mut rig, moves, &mut payload);
        rig.decode(&payload);
        measured_work(&mut || rig.step());
        let mut led = Led::default();
        rig.encode(&mut led);
        requests += u64::from(led.places + led.cancels);
        rig.settle();
    }
    assert_eq!(requests, if moves { rounds } else { 0 }, "requests of {rounds} frames");
    assert_eq!(rig.refused(), 0, "the gate has let everything through");
}

fn answers(rounds: u64) {
    let (mut rig, mut payload) = (warm(1, 100), Vec::with_capacity(4_096));
    for _ in 0..rounds {
        rig.payload(LEVELS_400, &mut payload);
        rig.frame(&payload);
        assert!(rig.next_answer(), "a request is answered");
        measured_work(&mut || rig.hear());
        rig.settle();
    }
}

fn payload_to_order(rounds: u64) {
    let (mut rig, mut payload) = (warm(1, 100), Vec::with_capacity(4_096));
    for _ in 0..rounds {
        rig.payload(LEVELS_400, &mut payload);
        let mut led = Led::default();
        measured_work(&mut || led = rig.frame(&payload));
        assert_eq!(led.places + led.cancels, 1, "a frame that moves leads to one request");
        rig.settle();
    }
}

fn encode(rounds: u64) {
    let mut encoder = Encoder::new(frames::instance(), &trader::directory(1));
    count(
        rounds,
        |round| parts::approved(round + 1),
        |order| {
            assert!(encoder.place(order, UnixNanos(0)).len() > 200, "a whole request");
        },
    );
}

fn write_frame(rounds: u64) {
    let mut queue = ByteQueue::new(64 << 10);
    let payload = [b'o'; 250];
    count(
        rounds,
        |round| (round as u32 | 1).to_le_bytes(),
        |mask| {
            ws::frame(&mut queue, black_box(&payload), mask).expect("an empty queue has room");
            queue.consume(ws::frame_bytes(payload.len()));
        },
    );
}

fn sign(rounds: u64) {
    let (credentials, mut login) = (parts::credentials(), Vec::with_capacity(1_024));
    count(
        rounds,
        |_| (),
        |()| {
            credentials.login(UnixNanos(1_700_000_000_000_000_000), &mut login);
            assert!(login.len() > 100, "a whole login");
        },
    );
}

fn append(rounds: u64) {
    let mut writer = parts::journal();
    let tap = Tap::event([7; SLOT_BYTES], MonoNanos(1));
    count(
        rounds,
        |_| (),
        |()| {
            writer.append(black_box(&tap), MonoNanos(1)).expect("nowhere takes everything");
        },
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_small_case_does_what_it_is_named_after() {
        for case in CASES.iter().filter(|case| !case.name.contains("1000")) {
            (case.run)(4);
        }
    }

    #[test]
    fn no_two_cases_have_one_name() {
        let mut names: Vec<_> = CASES.iter().map(|case| case.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), CASES.len());
    }
}
