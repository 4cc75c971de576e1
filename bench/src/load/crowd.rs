//! Many clients with many topics each, some of which never read: what the venue keeps for them,
//! when it cuts them off, and whether anybody else notices.

use std::fmt::Write as _;
use std::io;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use super::child::{Venue, own_cpu};
use super::socket::{self, Socket};

/// Who comes.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Clients in all.
    pub clients: usize,
    /// Clients that never read.
    pub slow: usize,
    /// For how long.
    pub measure: Duration,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Report {
    settings: Settings,
    /// Slow clients that were cut off, and when the last one was.
    cut: (usize, Duration),
    /// Other clients that were cut off.
    lost: usize,
    /// Breaks in the chain of books of the clients that read.
    breaks: u64,
    /// Fewest and most frames that a client who reads was sent.
    frames: (u64, u64),
    bytes: u64,
    /// Before anybody came, at the most, and at the end, KiB.
    rss: [u64; 3],
    /// Nanoseconds from an order to its acknowledgment, one after another.
    trips: Histogram<u64>,
    venue_cpu: Duration,
    client_cpu: Duration,
}

/// A client that reads.
struct Reader {
    socket: Socket,
    frames: u64,
    bytes: u64,
    /// The number of the last BTCUSDT book.
    seq: Option<u64>,
    breaks: u64,
}

/// Lets the clients come.
///
/// # Errors
/// When a socket fails that should not.
pub fn run(venue: &Venue, settings: Settings) -> io::Result<Report> {
    let before = venue.rss_kib()?;
    let mut trader = Trader::open(venue)?;
    let (mut readers, mut slow) = (Vec::new(), Vec::new());
    for client in 0..settings.clients {
        let mut socket = Socket::open(venue, "/v3/ws/public")?;
        for request in subscriptions() {
            socket.queue(request.to_string().as_bytes());
        }
        socket.flush()?;
        socket.unblock()?;
        match client < settings.slow {
            true => slow.push(socket),
            false => readers.push(Reader { socket, frames: 0, bytes: 0, seq: None, breaks: 0 }),
        }
    }
    let (began, venue_cpu, client_cpu) = (Instant::now(), venue.cpu()?, own_cpu()?);
    let (mut most, mut looked, mut cut) = (before, Duration::ZERO, (0, Duration::ZERO));
    while began.elapsed() < settings.measure {
        for reader in &mut readers {
            reader.read()?;
        }
        trader.turn()?;
        if began.elapsed() > looked + LOOK_EVERY {
            looked = began.elapsed();
            most = most.max(venue.rss_kib()?);
            for reader in &mut readers {
                reader.socket.queue(b"ping");
                reader.socket.flush()?;
            }
            // A client that was cut off notices when it writes, even if it never reads.
            let open = slow.len();
            slow.retain_mut(|socket| {
                socket.queue(b"ping");
                socket.flush().is_ok()
            });
            if slow.len() < open {
                cut = (settings.slow - slow.len(), looked);
            }
        }
    }
    let frames = readers.iter().map(|reader| reader.frames);
    Ok(Report {
        settings,
        cut,
        lost: readers.iter().filter(|reader| reader.socket.closed).count(),
        breaks: readers.iter().map(|reader| reader.breaks).sum(),
        frames: (frames.clone().min().unwrap_or(0), frames.max().unwrap_or(0)),
        bytes: readers.iter().map(|reader| reader.bytes).sum(),
        rss: [before, most, venue.rss_kib()?],
        trips: trader.trips,
        venue_cpu: venue.cpu()? - venue_cpu,
        client_cpu: own_cpu()? - client_cpu,
    })
}

/// Twenty topics, ten a request.
fn subscriptions() -> [Value; 2] {
    ["BTCUSDT", "ETHUSDT"].map(|symbol| {
        let plain = ["books", "books1", "books5", "books50", "publicTrade", "ticker"]
            .map(|topic| json!({ "instType": "usdt-futures", "topic": topic, "symbol": symbol }));
        let bars = ["1m", "5m", "15m", "1H"].map(|interval| {
            json!({ "instType": "usdt-futures", "topic": "kline", "symbol": symbol,
                "interval": interval })
        });
        json!({ "op": "subscribe", "args": plain.into_iter().chain(bars).collect::<Vec<_>>() })
    })
}

impl Reader {
    fn read(&mut self) -> io::Result<()> {
        if self.socket.closed {
            return Ok(());
        }
        self.socket.fill()?;
        while let Some(message) = self.socket.next() {
            self.frames += 1;
            self.bytes += message.len() as u64;
            if !holds(message, br#""topic":"books","symbol":"BTCUSDT""#) {
                continue;
            }
            let (Some(seq), Some(pseq)) =
                (number(message, br#""seq":"#), number(message, br#""pseq":"#))
            else {
                continue;
            };
            let chained = self.seq.is_none_or(|last| pseq == 0 || pseq == last);
            self.breaks += u64::from(!chained);
            self.seq = Some(seq);
        }
        Ok(())
    }
}

/// A client that places an order, waits for the answer, cancels it, and so on.
struct Trader {
    socket: Socket,
    /// 2 % below the market, in tenths of a USDT.
    price: u64,
    asked: Option<Instant>,
    requests: u64,
    trips: Histogram<u64>,
}

impl Trader {
    fn open(venue: &Venue) -> io::Result<Self> {
        let price = (socket::bid(venue)? * 9.8) as u64;
        let mut socket = Socket::log_in(venue)?;
        socket.unblock()?;
        let trips = Histogram::new_with_bounds(1_000, 60_000_000_000, 3).expect("fair bounds");
        Ok(Self { socket, price, asked: None, requests: 0, trips })
    }

    fn turn(&mut self) -> io::Result<()> {
        if self.asked.is_none() {
            let client = format!("t{}", self.requests / 2);
            let text = match self.requests % 2 {
                0 => socket::place(1, &client, &socket::rests(self.price)),
                _ => socket::cancel(2, &client),
            };
            self.requests += 1;
            self.asked = Some(Instant::now());
            self.socket.queue(text.as_bytes());
        }
        self.socket.flush()?;
        self.socket.fill()?;
        let answered =
            self.socket.next().map(|message| message.starts_with(br#"{"event":"trade""#));
        if answered == Some(false) {
            return Err(io::Error::other("an order was refused"));
        }
        if let (Some(true), Some(asked)) = (answered, self.asked) {
            self.trips.saturating_record(asked.elapsed().as_nanos() as u64);
            self.asked = None;
        }
        Ok(())
    }
}

fn holds(message: &[u8], text: &[u8]) -> bool {
    message.windows(text.len()).any(|window| window == text)
}

/// The whole number after `key`.
fn number(message: &[u8], key: &[u8]) -> Option<u64> {
    let at = message.windows(key.len()).position(|window| window == key)? + key.len();
    let digits = message[at..].iter().take_while(|byte| byte.is_ascii_digit());
    Some(digits.fold(0, |number, digit| number * 10 + u64::from(digit - b'0')))
}

impl Report {
    /// Whether all that must hold held: every slow client was cut off, nobody else was, and no
    /// chain of books broke.
    pub fn is_whole(&self) -> bool {
        self.cut.0 == self.settings.slow && self.lost == 0 && self.breaks == 0
    }

    /// For people.
    pub fn table(&self) -> String {
        let Settings { clients, slow, measure } = self.settings;
        let mut out = String::new();
        let _ = writeln!(
            out,
            "{clients} clients with 20 topics each, {slow} of them never read, {:.0} s",
            measure.as_secs_f64()
        );
        let _ = writeln!(
            out,
            "slow ones cut off: {} (the last one after {:.1} s); others cut off: {}",
            self.cut.0,
            self.cut.1.as_secs_f64(),
            self.lost
        );
        let _ = writeln!(
            out,
            "frames a reading client: {} to {}, {:.1} MB/s in all, broken chains of books: {}",
            self.frames.0,
            self.frames.1,
            self.bytes as f64 / 1e6 / measure.as_secs_f64(),
            self.breaks
        );
        let [before, most, end] = self.rss;
        let _ = writeln!(out, "venue RSS: {before} KiB before, {most} at most, {end} at the end");
        let us = |q: f64| self.trips.value_at_quantile(q) as f64 / 1_000.0;
        let _ = writeln!(
            out,
            "orders meanwhile, one after another: {} answered, us p50 {:.0}, p99 {:.0}, max {:.0}",
            self.trips.len(),
            us(0.5),
            us(0.99),
            self.trips.max() as f64 / 1_000.0
        );
        let share = |cpu: Duration| 100.0 * cpu.as_secs_f64() / measure.as_secs_f64();
        let _ = writeln!(
            out,
            "venue {:.0} % of a core; clients {:.0} % (they spin)",
            share(self.venue_cpu),
            share(self.client_cpu)
        );
        out
    }

    /// For programs.
    pub fn json(&self) -> Value {
        json!({
            "clients": self.settings.clients,
            "slow": self.settings.slow,
            "seconds": self.settings.measure.as_secs_f64(),
            "cut": self.cut.0,
            "lost": self.lost,
            "breaks": self.breaks,
            "frames": [self.frames.0, self.frames.1],
            "rss_kib": self.rss,
            "trips": self.trips.len(),
            "trips_us_p50": self.trips.value_at_quantile(0.5) as f64 / 1_000.0,
            "trips_us_p99": self.trips.value_at_quantile(0.99) as f64 / 1_000.0,
            "venue_cpu_s": self.venue_cpu.as_secs_f64(),
            "client_cpu_s": self.client_cpu.as_secs_f64(),
        })
    }
}

/// How often memory is looked at, and how often clients ping.
const LOOK_EVERY: Duration = Duration::from_millis(500);
