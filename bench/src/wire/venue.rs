//! The venue's side: it accepts the lanes' connections, sends frames, times answers, and checks
//! them.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use keel_core::event::ClientId;
use keel_core::gate::{Intent, OrderSpec, Purpose, TimeInForce};
use keel_core::instrument::InstrumentId;
use keel_core::units::{Lots, MonoNanos, Side, Ticks};
use keel_io::clock::Clock;
use rustls::{ServerConfig, ServerConnection};
use serde_json::Value;

use super::tls::{CIPHER, Identity};
use super::{Baton, Lane, Settings};
use crate::frames::{self, Answers, Market};
use crate::rig::MOVE;
use crate::trader::PRICE_MAX;

/// The venue and its connections to every lane.
pub struct Venue {
    baton: Arc<Baton>,
    clock: Clock,
    settings: Settings,
    tcp: Peer,
    tls: Peer,
    tungstenite: Peer,
    usual: Pair,
    keel: Pair,
    echoed: Market,
    exchanges: u64,
    last_start: MonoNanos,
    bytes: [usize; 3],
}

/// Nanoseconds from the frame's write to the whole answer.
#[derive(Clone, Debug, Default)]
pub struct Samples {
    /// Frames that led to an order.
    pub orders: Vec<u64>,
    /// Frames that led to a cancel.
    pub cancels: Vec<u64>,
}

/// What the host takes from a thread that spins.
#[derive(Clone, Copy, Debug)]
pub struct Jitter {
    /// How long was looked, in nanoseconds.
    pub looked_ns: u64,
    /// Pauses of more than 10 µs.
    pub pauses: u64,
    /// The longest pause, in nanoseconds.
    pub longest_ns: u64,
}

/// A public and a private socket of one client, and the market that it sees.
struct Pair {
    public: Peer,
    private: Peer,
    market: Market,
    order_ids: u64,
    /// The order that rests.
    resting: Option<(OrderSpec, String)>,
    answers: Answers,
    exchanges: u64,
}

impl Venue {
    /// Accepts the lanes' connections in the order in which the other side opens them, and waits
    /// until the product quotes.
    ///
    /// # Errors
    /// When a socket fails.
    pub fn open(
        listener: &TcpListener,
        identity: &Identity,
        baton: Arc<Baton>,
        clock: Clock,
        settings: Settings,
    ) -> io::Result<Self> {
        let tcp = Peer::accept(listener, None)?;
        let tls = Peer::accept(listener, Some(identity))?;
        let mut tungstenite = Peer::accept(listener, Some(identity))?;
        tungstenite.upgrade()?;
        let usual = Pair::accept(listener, identity)?;
        let keel = Pair::accept(listener, identity)?;
        let mut venue = Self {
            baton,
            clock,
            settings,
            tcp,
            tls,
            tungstenite,
            usual,
            keel,
            echoed: Market::new(InstrumentId(0)),
            exchanges: 0,
            last_start: MonoNanos::ZERO,
            bytes: [0; 3],
        };
        venue.begin()?;
        Ok(venue)
    }

    /// Measures one lane for one round.
    ///
    /// # Errors
    /// When a socket fails.
    pub fn measure(&mut self, lane: Lane) -> io::Result<Samples> {
        self.baton.hand_to(lane);
        if matches!(lane, Lane::Keel | Lane::KeelAsking) {
            // Its timers have gone on while others ran.
            self.keel.catch_up()?;
        }
        let mut samples = Samples::default();
        for _ in 0..2 * self.settings.orders {
            let (nanos, kind) = match lane {
                Lane::Tcp | Lane::Tls | Lane::Tungstenite => self.echo(lane)?,
                Lane::Keel | Lane::KeelAsking => self.trade(Lane::Keel)?,
                Lane::Usual => self.trade(Lane::Usual)?,
            };
            if kind == ORDER { samples.orders.push(nanos) } else { samples.cancels.push(nanos) }
        }
        Ok(samples)
    }

    /// Spins for half a second and sees what is missing.
    pub fn jitter(&self) -> Jitter {
        let begin = self.clock.now();
        let mut last = begin;
        let mut jitter = Jitter { looked_ns: 500_000_000, pauses: 0, longest_ns: 0 };
        while last.since(begin) < jitter.looked_ns {
            let now = self.clock.now();
            let gap = now.since(last);
            jitter.pauses += u64::from(gap > 10_000);
            jitter.longest_ns = jitter.longest_ns.max(gap);
            last = now;
        }
        jitter
    }

    /// Bytes of the last frame, order and cancel on the product's sockets, before TLS.
    pub fn bytes(&self) -> [usize; 3] {
        self.bytes
    }

    /// Speaks with the product until its first order rests, and has the usual bot place its first.
    fn begin(&mut self) -> io::Result<()> {
        self.tend_until_quoting()?;
        self.baton.hand_to(Lane::Usual);
        let before = self.baton.rested();
        let snapshot = text_frame(self.usual.market.snapshot(frames::SNAPSHOT_LEVELS));
        self.usual.public.send(&snapshot)?;
        self.wait_for_rest(before);
        let order = self.usual.private.wait_for_frame()?;
        self.usual.placed(&order);
        Ok(())
    }

    fn tend_until_quoting(&mut self) -> io::Result<()> {
        let deadline = Instant::now() + Duration::from_secs(10);
        while self.keel.resting.is_none() {
            assert!(Instant::now() < deadline, "the product does not quote");
            self.keel.tend()?;
        }
        Ok(())
    }

    /// A frame against as many bytes as an order or a cancel has, in turn.
    fn echo(&mut self, lane: Lane) -> io::Result<(u64, usize)> {
        let kind = (self.exchanges % 2) as usize;
        let by = if self.echoed.bid() > frames::BID { -MOVE } else { MOVE };
        let frame = text_frame(self.echoed.update(self.settings.levels, by));
        self.baton.frame.store(frame.len(), SEQ);
        let (_, answer) = self.baton.echo_bytes(kind);
        let before = self.baton.rested();
        let start = self.begin_exchange();
        let peer = match lane {
            Lane::Tcp => &mut self.tcp,
            Lane::Tls => &mut self.tls,
            _ => &mut self.tungstenite,
        };
        peer.send(&frame)?;
        let mut polls = 0;
        while peer.waiting() < answer {
            peer.poll()?;
            polls += 1;
            assert!(polls < POLLS_MAX, "no answer in exchange {}", self.exchanges);
        }
        let nanos = self.clock.now().since(start);
        assert_eq!(peer.waiting(), answer, "as many bytes as were asked for");
        peer.forget();
        self.wait_for_rest(before);
        Ok((nanos, kind))
    }

    /// A frame against an order or a cancel.
    fn trade(&mut self, lane: Lane) -> io::Result<(u64, usize)> {
        let pair = if lane == Lane::Keel { &mut self.keel } else { &mut self.usual };
        let kind = if pair.resting.is_some() { CANCEL } else { ORDER };
        let by = if pair.market.bid() > frames::BID { -MOVE } else { MOVE };
        let frame = text_frame(pair.market.update(self.settings.levels, by));
        let before = self.baton.rested();
        let start = self.begin_exchange();
        let pair = if lane == Lane::Keel { &mut self.keel } else { &mut self.usual };
        pair.public.send(&frame)?;
        let mut polls = 0;
        while pair.private.frame_bytes().is_none() {
            pair.private.poll()?;
            polls += 1;
            assert!(polls < POLLS_MAX, "no answer in exchange {}", self.exchanges);
        }
        let nanos = self.clock.now().since(start);
        let bytes = pair.private.frame_bytes().unwrap_or_default();
        let request = pair.private.take_frame();
        if kind == ORDER {
            pair.placed(&request);
        } else {
            pair.canceled(&request);
        }
        if lane == Lane::Keel {
            (self.bytes[0], self.bytes[1 + kind]) = (frame.len(), bytes);
            self.baton.answers[kind].store(bytes, SEQ);
            pair.answer()?;
        }
        self.wait_for_rest(before);
        if lane == Lane::Keel {
            self.keel.keep_fresh()?;
        }
        Ok((nanos, kind))
    }

    /// Waits until the same time has gone by since the last exchange began, whatever the lane.
    fn begin_exchange(&mut self) -> MonoNanos {
        self.exchanges += 1;
        let at = self.last_start.after(EXCHANGE_NS);
        while self.clock.now() < at {
            std::hint::spin_loop();
        }
        self.last_start = self.clock.now();
        self.last_start
    }

    fn wait_for_rest(&self, before: u64) {
        let deadline = self.clock.now().after(5_000_000_000);
        while self.baton.rested() == before {
            assert!(self.clock.now() < deadline, "the measured side does not come to rest");
            std::hint::spin_loop();
        }
    }
}

impl Pair {
    fn accept(listener: &TcpListener, identity: &Identity) -> io::Result<Self> {
        let mut public = Peer::accept(listener, Some(identity))?;
        public.upgrade()?;
        let mut private = Peer::accept(listener, Some(identity))?;
        private.upgrade()?;
        Ok(Self {
            public,
            private,
            market: Market::new(InstrumentId(0)),
            order_ids: 1_000_000,
            resting: None,
            answers: Answers::default(),
            exchanges: 0,
        })
    }

    /// Checks an order and takes it in.
    fn placed(&mut self, request: &[u8]) {
        let value: Value = serde_json::from_slice(request).expect("a request is JSON");
        assert_eq!(value["topic"], "place-order", "{value}");
        let order = &value["args"][0];
        let price = Ticks(self.market.bid().0 - 30);
        assert!(price <= PRICE_MAX, "no order fits here");
        let expected = format!("{}.{}", price.0 / 10, price.0 % 10);
        assert_eq!(order["price"], Value::String(expected), "{value}");
        assert_eq!(order["qty"], "0.0025", "{value}");
        assert_eq!(order["side"], "buy", "{value}");
        let client = order["clientOid"].as_str().expect("a client id").to_owned();
        let spec = spec(frames::instance().read(client.as_bytes()), price);
        self.order_ids += 1;
        if spec.client.is_own() {
            let id = value["id"].as_str().expect("an id");
            self.answers.placed(id, &spec, self.order_ids);
        }
        self.resting = Some((spec, client));
    }

    /// Checks a cancel and takes it in.
    fn canceled(&mut self, request: &[u8]) {
        let value: Value = serde_json::from_slice(request).expect("a request is JSON");
        assert_eq!(value["topic"], "cancel-order", "{value}");
        let (spec, client) = self.resting.take().expect("an order rests");
        assert_eq!(value["args"][0]["clientOid"], Value::String(client), "{value}");
        if spec.client.is_own() {
            let id = value["id"].as_str().expect("an id");
            self.answers.canceled(id, &spec, self.order_ids);
        }
    }

    /// Sends the answer to the last request: the reply and the push, in one write.
    fn answer(&mut self) -> io::Result<()> {
        let mut bytes = text_frame(&self.answers.reply);
        bytes.extend(text_frame(&self.answers.push));
        self.private.send(&bytes)
    }

    /// Answers whatever the product has asked for: login, subscriptions, pings, orders.
    fn tend(&mut self) -> io::Result<()> {
        self.public.poll()?;
        self.private.poll()?;
        while self.public.frame_bytes().is_some() {
            let request = self.public.take_frame();
            for answer in self.reply(&request) {
                self.public.send(&text_frame(&answer))?;
            }
        }
        while self.private.frame_bytes().is_some() {
            let request = self.private.take_frame();
            for answer in self.reply(&request) {
                self.private.send(&text_frame(&answer))?;
            }
        }
        Ok(())
    }

    fn reply(&mut self, request: &[u8]) -> Vec<Vec<u8>> {
        if request == b"ping" {
            return vec![b"pong".to_vec()];
        }
        let value: Value = serde_json::from_slice(request).expect("a request is JSON");
        match value["op"].as_str() {
            Some("login") => vec![br#"{"event":"login","code":"0","msg":""}"#.to_vec()],
            Some("subscribe") => {
                let args = value["args"].as_array().expect("a list of topics");
                let mut answers = Vec::new();
                for arg in args {
                    answers.push(format!(r#"{{"event":"subscribe","arg":{arg}}}"#).into_bytes());
                    match arg["topic"].as_str() {
                        Some("books") => {
                            answers.push(self.market.snapshot(frames::SNAPSHOT_LEVELS).to_vec());
                        }
                        Some("ticker") => answers.push(self.market.ticker().to_vec()),
                        _ => {}
                    }
                }
                answers
            }
            Some("trade") => {
                self.placed(request);
                vec![self.answers.reply.clone(), self.answers.push.clone()]
            }
            _ => panic!("nobody asks for {value}"),
        }
    }

    /// Answers pings, and tells the mark again before it is too old.
    fn keep_fresh(&mut self) -> io::Result<()> {
        self.exchanges += 1;
        self.public.poll()?;
        self.private.poll()?;
        let pinged = self.public.frame_bytes().is_some() || self.private.frame_bytes().is_some();
        self.tend()?;
        let told = self.exchanges.is_multiple_of(TICKER_EXCHANGES);
        if told {
            let ticker = text_frame(self.market.ticker());
            self.public.send(&ticker)?;
        }
        if pinged || told {
            self.catch_up()?;
        }
        Ok(())
    }

    /// Answers pings for a while.
    fn catch_up(&mut self) -> io::Result<()> {
        let until = Instant::now() + Duration::from_micros(500);
        while Instant::now() < until {
            self.tend()?;
        }
        Ok(())
    }
}

/// One connection that was accepted.
struct Peer {
    tcp: TcpStream,
    tls: Option<Box<ServerConnection>>,
    inbox: Vec<u8>,
    buffer: Vec<u8>,
}

impl Peer {
    fn accept(listener: &TcpListener, identity: Option<&Identity>) -> io::Result<Self> {
        let (mut tcp, _) = listener.accept()?;
        tcp.set_nodelay(true)?;
        let tls = match identity {
            None => None,
            Some(identity) => Some(Box::new(handshake(&mut tcp, &identity.server)?)),
        };
        tcp.set_nonblocking(true)?;
        let (inbox, buffer) = (Vec::with_capacity(64 << 10), vec![0; 16 << 10]);
        Ok(Self { tcp, tls, inbox, buffer })
    }

    /// Waits for the upgrade and accepts it (RFC 6455 §4.2.2).
    fn upgrade(&mut self) -> io::Result<()> {
        while !self.inbox.ends_with(b"\r\n\r\n") {
            self.poll()?;
        }
        let request = String::from_utf8_lossy(&self.inbox).into_owned();
        self.forget();
        let key = request
            .lines()
            .find_map(|line| line.split_once(": ").filter(|(n, _)| is_key(n)))
            .map(|(_, key)| key.trim())
            .expect("an upgrade has a key");
        let accept = tungstenite::handshake::derive_accept_key(key.as_bytes());
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {accept}\r\n\r\n"
        );
        self.send(answer.as_bytes())
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Some(tls) = &mut self.tls else { return write_all(&mut self.tcp, bytes) };
        tls.writer().write_all(bytes)?;
        while tls.wants_write() {
            match tls.write_tls(&mut self.tcp) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Reads once, if there is something.
    fn poll(&mut self) -> io::Result<()> {
        let read = match &mut self.tls {
            None => self.tcp.read(&mut self.buffer),
            Some(tls) => match tls.reader().read(&mut self.buffer) {
                // What came behind the handshake may stand there already.
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    tls.read_tls(&mut self.tcp).and_then(|_| {
                        tls.process_new_packets().map_err(io::Error::other)?;
                        tls.reader().read(&mut self.buffer)
                    })
                }
                read => read,
            },
        };
        match read {
            Ok(0) => Err(io::Error::new(ErrorKind::UnexpectedEof, "the measured side went away")),
            Ok(count) => {
                self.inbox.extend_from_slice(&self.buffer[..count]);
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn waiting(&self) -> usize {
        self.inbox.len()
    }

    fn forget(&mut self) {
        self.inbox.clear();
    }

    /// Bytes of the first frame, once it is whole. Clients mask, and none sends 64 KiB.
    fn frame_bytes(&self) -> Option<usize> {
        let bytes = match self.inbox[..] {
            [_, len, ..] if len & 0x7F < 126 => 6 + usize::from(len & 0x7F),
            [_, _, high, low, ..] => 8 + usize::from(u16::from_be_bytes([high, low])),
            _ => return None,
        };
        (self.inbox.len() >= bytes).then_some(bytes)
    }

    /// The payload of the first frame, which must be whole.
    fn take_frame(&mut self) -> Vec<u8> {
        let bytes = self.frame_bytes().expect("a whole frame");
        let frame: Vec<u8> = self.inbox.drain(..bytes).collect();
        let head = if frame[1] & 0x7F < 126 { 2 } else { 4 };
        assert!(frame[0] == 0x81 && frame[1] & 0x80 != 0, "a masked text frame");
        let mask = &frame[head..head + 4];
        frame[head + 4..].iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key).collect()
    }

    fn wait_for_frame(&mut self) -> io::Result<Vec<u8>> {
        while self.frame_bytes().is_none() {
            self.poll()?;
        }
        Ok(self.take_frame())
    }
}

fn handshake(tcp: &mut TcpStream, config: &Arc<ServerConfig>) -> io::Result<ServerConnection> {
    let mut tls = ServerConnection::new(config.clone()).map_err(io::Error::other)?;
    while tls.is_handshaking() {
        tls.complete_io(tcp)?;
    }
    let suite = tls.negotiated_cipher_suite().map(|suite| suite.suite());
    assert_eq!(suite, Some(CIPHER), "all lanes use one cipher");
    Ok(tls)
}

fn write_all(tcp: &mut TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match tcp.write(bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// A text frame as a server sends it.
fn text_frame(payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x81];
    match payload.len() {
        short @ 0..=125 => frame.push(short as u8),
        middle @ 126..=0xFFFF => {
            frame.push(126);
            frame.extend((middle as u16).to_be_bytes());
        }
        long => {
            frame.push(127);
            frame.extend((long as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(payload);
    frame
}

fn is_key(name: &str) -> bool {
    name.eq_ignore_ascii_case("Sec-WebSocket-Key")
}

fn spec(client: ClientId, price: Ticks) -> OrderSpec {
    let intent = Intent {
        instrument: InstrumentId(0),
        side: Side::Buy,
        price,
        lots: Lots(25),
        time_in_force: TimeInForce::PostOnly,
        reduce_only: false,
        level: 0,
        purpose: Purpose::Quote,
        made: MonoNanos::ZERO,
    };
    OrderSpec { client, intent }
}

/// The value at a share of all, in nanoseconds.
pub(super) fn quantile(nanos: &[u64], share: f64) -> u64 {
    let mut histogram = Histogram::<u64>::new(3).expect("three digits");
    nanos.iter().for_each(|&n| histogram.record(n).expect("a histogram that grows"));
    histogram.value_at_quantile(share)
}

const ORDER: usize = 0;
const CANCEL: usize = 1;
const SEQ: std::sync::atomic::Ordering = std::sync::atomic::Ordering::SeqCst;
/// From the begin of one exchange to that of the next, at least.
const EXCHANGE_NS: u64 = 120_000;
/// An answer that takes longer than so many reads, seconds at least, will not come.
const POLLS_MAX: u64 = 20_000_000;
/// Exchanges after which the mark is told again: some 38 s of the product's time.
const TICKER_EXCHANGES: u64 = 256;
