//! From the payload of a books frame to numbers, without a book: ours to events on the grid, and
//! readers of JSON to what they give.

use std::hint::black_box;

use keel_bench::{frames, trader};
use keel_core::event::Event;
use keel_net::bitget::decode::{Decoder, Message};
use keel_net::bitget::topics::Directory;
use serde_json::Value;

use crate::books::Push;

/// One reader.
pub trait Reader {
    /// Its name in the table.
    fn name(&self) -> &'static str;
    /// Reads a frame.
    fn read(&mut self, payload: &[u8]);
    /// The levels of the frame read last, as decimal text or as ticks and lots: asks, then bids.
    fn levels(&mut self, payload: &[u8]) -> Vec<(i64, i64)>;
}

/// All of them; ours is the first.
pub fn readers() -> Vec<Box<dyn Reader>> {
    vec![
        Box::new(Keel {
            decoder: Decoder::new(frames::instance()),
            directory: trader::directory(1),
            events: Vec::with_capacity(1_024),
        }),
        Box::new(Tape { scratch: Vec::new(), buffers: simd_json::Buffers::new(4_096), spare: Some(simd_json::Tape::null()) }),
        Box::new(Typed { name: "simd-json, typed strings", read: |payload| {
            let mut scratch = payload.to_vec();
            simd_json::from_slice(&mut scratch).expect("a books push")
        } }),
        Box::new(Typed { name: "sonic-rs, typed strings", read: |payload| {
            sonic_rs::from_slice(payload).expect("a books push")
        } }),
        Box::new(Typed { name: "serde_json, typed strings", read: |payload| {
            serde_json::from_slice(payload).expect("a books push")
        } }),
    ]
}

struct Keel {
    decoder: Decoder,
    directory: Directory,
    events: Vec<Event>,
}

impl Reader for Keel {
    fn name(&self) -> &'static str {
        "keel, to events"
    }

    fn read(&mut self, payload: &[u8]) {
        self.events.clear();
        let read = self.decoder.read(payload, &self.directory, &mut self.events);
        assert_eq!(read, Ok(Message::Events(self.events.len() as u32)));
        black_box(&self.events);
    }

    fn levels(&mut self, payload: &[u8]) -> Vec<(i64, i64)> {
        self.read(payload);
        let mut levels = Vec::new();
        for event in &self.events {
            let Event::BookPage(page) = event else { panic!("a page, not {event:?}") };
            let len = usize::from(page.len);
            let page = page.ticks[..len].iter().zip(&page.sizes[..len]);
            levels.extend(page.map(|(ticks, size)| (i64::from(*ticks), size.lots().0)));
        }
        levels
    }
}

/// simd-json's tape over buffers that are used again; nothing is read from it.
struct Tape {
    scratch: Vec<u8>,
    buffers: simd_json::Buffers,
    spare: Option<simd_json::Tape<'static>>,
}

impl Reader for Tape {
    fn name(&self) -> &'static str {
        "simd-json, tape reused"
    }

    fn read(&mut self, payload: &[u8]) {
        self.scratch.clear();
        self.scratch.extend_from_slice(payload);
        let mut tape = self.spare.take().expect("one tape").reset();
        simd_json::fill_tape(&mut self.scratch, &mut self.buffers, &mut tape).expect("JSON");
        assert!(tape.0.len() > 20, "a frame has nodes");
        self.spare = Some(tape.reset());
    }

    fn levels(&mut self, payload: &[u8]) -> Vec<(i64, i64)> {
        let mut scratch = payload.to_vec();
        let value: Value = simd_json::from_slice(&mut scratch).expect("JSON");
        let side = |key: &str| {
            let levels = value["data"][0][key].as_array().expect("levels").clone();
            levels.into_iter().map(|level| {
                steps(level[0].as_str().expect("a price"), level[1].as_str().expect("a size"))
            })
        };
        side("a").chain(side("b")).collect()
    }
}

/// A deserializer into strings.
struct Typed {
    name: &'static str,
    read: fn(&[u8]) -> Push<String>,
}

impl Reader for Typed {
    fn name(&self) -> &'static str {
        self.name
    }

    fn read(&mut self, payload: &[u8]) {
        black_box((self.read)(payload));
    }

    fn levels(&mut self, payload: &[u8]) -> Vec<(i64, i64)> {
        let push = (self.read)(payload);
        let books = &push.data[0];
        books.a.iter().chain(&books.b).map(|(price, size)| steps(price, size)).collect()
    }
}

/// Decimal text as ticks of 0.1 and lots of 0.0001.
fn steps(price: &str, size: &str) -> (i64, i64) {
    let number = |text: &str, scale: f64| (text.parse::<f64>().expect("a number") * scale).round();
    (number(price, 10.0) as i64, number(size, 10_000.0) as i64)
}
