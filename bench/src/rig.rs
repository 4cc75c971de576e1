//! The way from a frame's payload to the bytes of an order, in memory: decoder, link, the engine's
//! cycle, link, encoder. No socket and no thread; time is what the caller says.

use keel_core::command::{Cancel, Command, Plain};
use keel_core::event::{ClientId, Event, Fill, Source, Stream};
use keel_core::gate::OrderSpec;
use keel_core::guard::GuardState;
use keel_core::instrument::InstrumentId;
use keel_core::units::{Lots, MILLIS, MonoNanos, Quote, SECONDS, Side};
use keel_io::agent::engine::Cycle;
use keel_net::bitget::decode::{Decoder, Message, Sink};
use keel_net::bitget::encode::Encoder;
use keel_net::bitget::topics::Directory;
use keel_net::dispatch::Arrival;
use keel_net::link::Sender;

use crate::frames::{self, Answers, Market};
use crate::trader::{self, Ends};

/// An engine with codec and links on both sides, booted and quoting.
pub struct Rig {
    cycle: Cycle<'static>,
    ends: Ends,
    decoder: Decoder,
    private: Decoder,
    encoder: Encoder,
    directory: Directory,
    markets: Vec<Market>,
    /// What the last frame asked for, to be answered.
    asked: Vec<Asked>,
    /// Orders that rest, one an instrument.
    resting: Vec<Option<(OrderSpec, u64)>>,
    answers: Answers,
    order_ids: u64,
    now: MonoNanos,
    next: usize,
}

/// A request that the engine has made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// An order.
    Place(OrderSpec),
    /// Its end.
    Cancel(Cancel),
}

/// What a frame led to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Led {
    /// Events that its payload held.
    pub events: u32,
    /// Orders encoded.
    pub places: u32,
    /// Cancels encoded.
    pub cancels: u32,
    /// Bytes of their requests.
    pub bytes: usize,
}

/// Time between two frames.
pub const FRAME_NS: u64 = 20 * MILLIS;
/// Marks are told anew each time that this has gone by.
const TICKER_NS: u64 = 25 * SECONDS;
/// Ticks that the touch moves to and fro.
pub const MOVE: i64 = 3;

impl Rig {
    /// A rig of `count` instruments whose engine runs and has seen every book.
    ///
    /// # Panics
    /// When the engine does not come to quote.
    pub fn new(count: usize) -> Self {
        let (cycle, ends) = trader::engine(count);
        let directory = trader::directory(count);
        let mut rig = Self {
            cycle,
            ends,
            decoder: Decoder::new(frames::instance()),
            private: Decoder::new(frames::instance()),
            encoder: Encoder::new(frames::instance(), &directory),
            directory,
            markets: (0..count).map(|id| Market::new(InstrumentId(id as u16)).away(MOVE)).collect(),
            asked: Vec::with_capacity(1_024),
            resting: vec![None; count],
            answers: Answers::default(),
            order_ids: 1_000_000,
            now: keel_io::clock::ORIGIN,
            next: 0,
        };
        rig.boot();
        rig
    }

    /// The payload of a frame of `levels` levels that moves the touch of the next instrument in
    /// turn, to where an order fits or away from it. Time goes on by [`FRAME_NS`], and what is due
    /// meanwhile is done.
    pub fn payload(&mut self, levels: usize, into: &mut Vec<u8>) {
        self.pass(FRAME_NS);
        let market = &mut self.markets[self.next];
        self.next = (self.next + 1) % self.resting.len();
        let by = if market.bid() > frames::BID { -MOVE } else { MOVE };
        into.clear();
        into.extend_from_slice(market.update(levels, by));
    }

    /// The payload of a frame that changes sizes of the next instrument in turn and leaves its
    /// touch.
    pub fn quiet_payload(&mut self, levels: usize, into: &mut Vec<u8>) {
        self.pass(FRAME_NS);
        let market = &mut self.markets[self.next];
        self.next = (self.next + 1) % self.resting.len();
        into.clear();
        into.extend_from_slice(market.update(levels, 0));
    }

    /// Reads a payload and puts its events on the link.
    pub fn decode(&mut self, payload: &[u8]) -> u32 {
        let mut sink = Stamped { link: &mut self.ends.feed, now: self.now };
        match self.decoder.read(payload, &self.directory, &mut sink) {
            Ok(Message::Events(events)) => events,
            other => panic!("a frame is read, not {other:?}"),
        }
    }

    /// Steps the engine over what stands on its links.
    pub fn step(&mut self) {
        let now = self.now;
        while self.cycle.turn(&|| now, now) > 0 {}
    }

    /// Encodes what the engine has asked for.
    pub fn encode(&mut self, led: &mut Led) {
        let utc = trader::utc(self.now);
        while let Some(dispatch) = self.ends.orders.pop() {
            match dispatch.command {
                Command::Place(order) => {
                    self.asked.push(Asked::Place(*order.spec()));
                    led.bytes += self.encoder.place(order, utc).len();
                    led.places += 1;
                }
                Command::Plain(Plain::Cancel(cancel)) => {
                    self.asked.push(Asked::Cancel(cancel));
                    led.bytes += self.encoder.cancel(&cancel).len();
                    led.cancels += 1;
                }
                // The venue's own switch is wound in passing.
                Command::Plain(Plain::Countdown(_)) => {}
                Command::Plain(other) => panic!("nothing is wrong here, yet: {other:?}"),
            }
        }
    }

    /// From payload to order bytes.
    pub fn frame(&mut self, payload: &[u8]) -> Led {
        let events = self.decode(payload);
        self.step();
        let mut led = Led { events, ..Led::default() };
        self.encode(&mut led);
        led
    }

    /// Has the venue answer what was asked for, and the journal link emptied.
    pub fn settle(&mut self) {
        while self.next_answer() {
            self.hear();
        }
        self.drain();
    }

    /// Makes the venue's answer to one request; false when none is left.
    pub fn next_answer(&mut self) -> bool {
        let Some(asked) = self.asked.pop() else { return false };
        self.answer(asked);
        true
    }

    /// Reads the answer made last, reply and push, with the private decoder, and steps the engine.
    pub fn hear(&mut self) {
        for payload in [&self.answers.reply, &self.answers.push] {
            let mut sink = Stamped { link: &mut self.ends.gateway, now: self.now };
            let read = self.private.read(payload, &self.directory, &mut sink);
            assert_eq!(read, Ok(Message::Events(1)), "an answer is read");
        }
        self.step();
    }

    /// Empties the journal link and answers the engine's questions.
    pub fn drain(&mut self) {
        self.ends.cold.step(self.now);
    }

    /// An execution of somebody's order on the account: buys and sells in turn.
    pub fn execution(&self, n: u64) -> Event {
        Event::Fill(Fill {
            instrument: InstrumentId(0),
            client: ClientId::FOREIGN,
            order_id: 7,
            trade_id: 1 + n,
            side: if n.is_multiple_of(2) { Side::Buy } else { Side::Sell },
            maker: true,
            price: frames::BID,
            lots: Lots(1),
            fee: Quote::ZERO,
            fee_known: true,
            source: Source::Push,
            ts: trader::utc(self.now),
        })
    }

    /// Puts a private event on its link and steps the engine; what it asks of the gateway is
    /// dropped.
    pub fn told(&mut self, event: Event) {
        self.tell(event);
        self.step();
        while self.ends.orders.pop().is_some() {}
    }

    /// Executions that the ledger has booked.
    pub fn booked(&self) -> u64 {
        self.ends.cold.booked()
    }

    /// How many orders the gate has refused, as far as the engine tells.
    pub fn refused(&self) -> u64 {
        self.ends.cold.refused()
    }

    /// Payloads that the fast reader has read, of all.
    pub fn fast_share(&self) -> (u64, u64) {
        (self.decoder.counters().fast, self.decoder.counters().payloads)
    }

    fn answer(&mut self, asked: Asked) {
        match asked {
            Asked::Place(spec) => {
                self.order_ids += 1;
                let request = frames::place_request(&spec);
                self.answers.placed(&request, &spec, self.order_ids);
                let place = &mut self.resting[spec.intent.instrument.index()];
                assert!(place.is_none(), "a second order on one level");
                *place = Some((spec, self.order_ids));
            }
            Asked::Cancel(cancel) => {
                let place = &mut self.resting[cancel.instrument.index()];
                let (spec, order_id) = place.take().expect("an order that rests is canceled");
                assert_eq!(spec.client, cancel.client, "the order that rests is canceled");
                self.answers.canceled(&frames::cancel_request(&cancel), &spec, order_id);
            }
        }
    }

    /// Lets time go by, and does what is due.
    fn pass(&mut self, nanos: u64) {
        self.now = self.now.after(nanos);
        self.step();
        while self.ends.cold.step(self.now) > 0 {
            self.step();
        }
        if self.now.0 / TICKER_NS != (self.now.0 - nanos) / TICKER_NS {
            self.refresh();
        }
        let mut led = Led::default();
        self.encode(&mut led);
        assert_eq!(led, Led::default(), "time alone moves no quote");
    }

    /// Marks, rules, settings and a word on the private stream, so that none grows old.
    fn refresh(&mut self) {
        self.tell(trader::account(Source::Push, self.now));
        self.ends.cold.tell(trader::settings(), self.now);
        let rules: Vec<Event> = self.ends.cold.rules().collect();
        for (place, event) in rules.into_iter().enumerate() {
            self.ends.cold.tell(event, self.now);
            let mut sink = Stamped { link: &mut self.ends.feed, now: self.now };
            let ticker = self.markets[place].ticker();
            let read = self.decoder.read(ticker, &self.directory, &mut sink);
            assert_eq!(read, Ok(Message::Events(1)), "a ticker is read");
            self.step();
            self.ends.cold.step(self.now);
        }
    }

    fn tell(&mut self, event: Event) {
        let pushed = self.ends.gateway.push(Arrival { event, rx: self.now, decoded: self.now });
        assert!(pushed.is_ok(), "an empty link has room");
    }

    fn boot(&mut self) {
        for event in self.ends.cold.boot(self.now) {
            self.ends.cold.tell(event, self.now);
            self.step();
            self.ends.cold.step(self.now);
        }
        for (stream, link) in
            [(Stream::Private, &mut self.ends.gateway), (Stream::Public, &mut self.ends.feed)]
        {
            let event = trader::live(stream);
            let pushed = link.push(Arrival { event, rx: self.now, decoded: self.now });
            assert!(pushed.is_ok(), "an empty link has room");
        }
        for place in 0..self.markets.len() {
            let mut sink = Stamped { link: &mut self.ends.feed, now: self.now };
            let snapshot = self.markets[place].snapshot(frames::SNAPSHOT_LEVELS);
            let read = self.decoder.read(snapshot, &self.directory, &mut sink);
            assert!(matches!(read, Ok(Message::Events(_))), "a snapshot is read: {read:?}");
            self.step();
            self.ends.cold.step(self.now);
        }
        self.refresh();
        let deadline = self.now.after(10 * SECONDS);
        while self.ends.cold.state() != GuardState::Running {
            assert!(self.now < deadline, "the engine does not come to run");
            self.now = self.now.after(MILLIS);
            self.step();
            self.ends.cold.step(self.now);
        }
        self.encode(&mut Led::default());
        self.settle();
    }
}

/// Puts events on the feed's link as the feed does, stamped.
struct Stamped<'a> {
    link: &'a mut Sender<Arrival>,
    now: MonoNanos,
}

impl Sink for Stamped<'_> {
    fn put<I: ExactSizeIterator<Item = Event>>(&mut self, events: I) -> bool {
        let mut run = self.link.run(events.len());
        for event in events {
            // A run that overflows publishes nothing, and its commit says so.
            let _ = run.push(Arrival { event, rx: self.now, decoded: self.now });
        }
        run.commit().is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frames::{LEVELS_400, LEVELS_826};

    #[test]
    fn every_frame_leads_to_one_order_or_to_its_end_in_turn() {
        for count in [1, 3] {
            let mut rig = Rig::new(count);
            let mut payload = Vec::new();
            for n in 0..40 * count {
                rig.payload(if n % 2 == 0 { LEVELS_400 } else { LEVELS_826 }, &mut payload);
                let led = rig.frame(&payload);
                assert_eq!(led.places + led.cancels, 1, "frame {n} of {count}: {led:?}");
                let down = n / count % 2 == 0;
                assert_eq!(led.places == 1, down, "frame {n} of {count}");
                rig.settle();
            }
            assert_eq!(rig.refused(), 0);
        }
    }
}
