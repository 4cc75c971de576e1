//! Orders over private WebSockets in an open loop: each is sent when it is due, whatever has been
//! answered by then, and its latency counts from the instant at which it was due.

use std::fmt::Write as _;
use std::io;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use super::child::{Venue, own_cpu};
use super::socket::{self, Socket};

/// What load is put on the venue.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Private sockets that orders go through in turn.
    pub connections: u64,
    /// Orders a second, over all sockets; the cancels of those that rest come besides.
    pub rate: u64,
    /// Before the figures begin.
    pub warm_up: Duration,
    /// How long the figures are taken.
    pub measure: Duration,
    /// Whether one more socket listens to orders, fills, positions and the account.
    pub listen: bool,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Report {
    settings: Settings,
    /// Nanoseconds from the instant at which an order was due to its acknowledgment.
    orders: Histogram<u64>,
    /// The same of cancels.
    cancels: Histogram<u64>,
    /// Answers that were refusals, with the first of them.
    refused: (u64, String),
    unanswered: u64,
    pushes: u64,
    took: Duration,
    venue_cpu: Duration,
    client_cpu: Duration,
}

/// Puts load on the venue.
///
/// # Errors
/// When a socket fails.
pub fn run(venue: &Venue, settings: Settings) -> io::Result<Report> {
    let mut load = Load::open(venue, settings)?;
    load.work(venue)?;
    Ok(load.report)
}

/// Every tenth order takes the touch with a smallest lot, in turns buying and selling; the others
/// rest below it, post-only, and are canceled so many orders later.
const TAKES: u64 = 10;
/// How much later an order is canceled.
const REST: Duration = Duration::from_millis(5);
/// How long answers are waited for at the end.
const LAST: Duration = Duration::from_secs(5);
/// Messages that are queued before sockets are looked at again.
const QUEUED_MAX: u64 = 64;
/// How long the client rests when there is nothing to send and nothing to read.
const PAUSE: Duration = Duration::from_micros(10);
/// Different prices at which orders rest.
const LEVELS: u64 = 64;

struct Load {
    settings: Settings,
    sockets: Vec<Socket>,
    ear: Option<Socket>,
    /// The highest price of orders that rest, in units of 0.1 USDT.
    price: u64,
    /// Orders between an order and its cancel: as many are open.
    lag: u64,
    answered: Vec<bool>,
    answers: u64,
    report: Report,
}

impl Load {
    fn open(venue: &Venue, settings: Settings) -> io::Result<Self> {
        let open = json!({ "symbol": "BTCUSDT", "maxSymbolOrderNum": 50_000,
            "maxProductOrderNum": 50_000 });
        venue.admin("POST", "/admin/rules", &open.to_string())?;
        let bid = socket::bid(venue)?;
        let opened = (0..settings.connections).map(|_| Socket::log_in(venue));
        let mut sockets = opened.collect::<io::Result<Vec<_>>>()?;
        let mut ear = settings.listen.then(|| Socket::log_in(venue)).transpose()?;
        if let Some(ear) = &mut ear {
            let arg = |topic: &str| json!({ "instType": "UTA", "topic": topic });
            let args = ["order", "fill", "position", "account"].map(arg);
            ear.ask(json!({ "op": "subscribe", "args": args }).to_string().as_bytes())?;
        }
        for socket in sockets.iter_mut().chain(&mut ear) {
            socket.unblock()?;
        }
        let lag = settings.rate * REST.as_micros() as u64 / 1_000_000;
        // An order and its cancel go through the same socket, so that they stay in order.
        let lag = lag.next_multiple_of(settings.connections).max(settings.connections);
        let empty = || Histogram::new_with_bounds(1_000, 60_000_000_000, 3).expect("fair bounds");
        let report = Report {
            settings,
            orders: empty(),
            cancels: empty(),
            refused: (0, String::new()),
            unanswered: 0,
            pushes: 0,
            took: Duration::ZERO,
            venue_cpu: Duration::ZERO,
            client_cpu: Duration::ZERO,
        };
        // One percent below the bid: the market does not come there within the run.
        let price = (bid * 9.9) as u64;
        Ok(Self { settings, sockets, ear, price, lag, answered: Vec::new(), answers: 0, report })
    }

    fn work(&mut self, venue: &Venue) -> io::Result<()> {
        let whole = self.settings.warm_up + self.settings.measure;
        let in_all = self.settings.rate * whole.as_millis() as u64 / 1_000;
        let warm = self.settings.rate * self.settings.warm_up.as_millis() as u64 / 1_000;
        // Two requests an order: number 2k places, number 2k + 1 cancels.
        self.answered = vec![false; 2 * (in_all + self.lag) as usize];
        let (mut next, mut measured) = (0, None);
        let began = Instant::now();
        while next < in_all + self.lag {
            if next >= warm && measured.is_none() {
                measured = Some((Instant::now(), venue.cpu()?, own_cpu()?));
            }
            let due = (began.elapsed().as_nanos() as u64).saturating_mul(self.settings.rate)
                / 1_000_000_000;
            let until = due.min(in_all + self.lag).min(next + QUEUED_MAX);
            while next < until {
                self.request(next, in_all);
                next += 1;
            }
            if !self.turn(began, warm)? && next == due {
                // The other half of the machine is the venue's.
                std::thread::sleep(PAUSE);
            }
        }
        let (from, venue_cpu, client_cpu) = measured.expect("a run has orders");
        self.report.took = from.elapsed();
        self.report.venue_cpu = venue.cpu()? - venue_cpu;
        self.report.client_cpu = own_cpu()? - client_cpu;
        let ended = Instant::now();
        let asked = in_all + (0..in_all).filter(|k| !takes(*k)).count() as u64;
        while ended.elapsed() < LAST && self.answers < asked {
            self.turn(began, warm)?;
        }
        self.report.unanswered = asked - self.answers;
        Ok(())
    }

    /// Queues order `k`, and the cancel of the order that has rested long enough.
    fn request(&mut self, k: u64, in_all: u64) {
        let socket = &mut self.sockets[(k % self.settings.connections) as usize];
        if let Some(old) = k.checked_sub(self.lag).filter(|old| !takes(*old)) {
            socket.queue(socket::cancel(2 * old + 1, &format!("l{old}")).as_bytes());
        }
        if k < in_all {
            let order = match takes(k) {
                true => socket::takes(if (k / TAKES).is_multiple_of(2) { "buy" } else { "sell" }),
                false => socket::rests(self.price - k % LEVELS),
            };
            socket.queue(socket::place(2 * k, &format!("l{k}"), &order).as_bytes());
        }
    }

    /// Sends what is queued, and takes what has been answered; gives whether anything had been.
    fn turn(&mut self, began: Instant, warm: u64) -> io::Result<bool> {
        let before = self.answers;
        for socket in &mut self.sockets {
            socket.flush()?;
            socket.fill()?;
            if socket.closed {
                return Err(io::Error::other("the venue has closed a socket"));
            }
            let mut now = None;
            while let Some(message) = socket.next() {
                let now = *now.get_or_insert_with(|| began.elapsed().as_nanos() as u64);
                let Some((n, accepted)) = answer(message) else { continue };
                let again = std::mem::replace(&mut self.answered[n as usize], true);
                assert!(!again, "request {n} is answered twice");
                self.answers += 1;
                if !accepted {
                    self.report.refused.0 += 1;
                    if self.report.refused.1.is_empty() {
                        self.report.refused.1 = String::from_utf8_lossy(message).into_owned();
                    }
                }
                let (k, cancels) = (n / 2, n % 2 == 1);
                let due = if cancels { k + self.lag } else { k };
                if due >= warm {
                    let due_ns = due * 1_000_000_000 / self.settings.rate;
                    let of =
                        if cancels { &mut self.report.cancels } else { &mut self.report.orders };
                    of.saturating_record(now.saturating_sub(due_ns));
                }
            }
        }
        if let Some(ear) = &mut self.ear {
            ear.fill()?;
            while ear.next().is_some() {
                self.report.pushes += 1;
            }
        }
        Ok(self.answers > before)
    }
}

/// Whether an order takes instead of resting.
const fn takes(k: u64) -> bool {
    k % TAKES == TAKES - 1
}

/// The number of the request that a message answers, and whether it was accepted.
fn answer(message: &[u8]) -> Option<(u64, bool)> {
    let accepted = message.starts_with(br#"{"event":"trade","id":""#);
    let from = match accepted {
        true => br#"{"event":"trade","id":""#.len(),
        false if message.starts_with(br#"{"event":"error","id":""#) => {
            br#"{"event":"error","id":""#.len()
        }
        false => return None,
    };
    let digits = message[from..].iter().take_while(|byte| byte.is_ascii_digit());
    let number = digits.fold(0, |number, digit| number * 10 + u64::from(digit - b'0'));
    Some((number, accepted))
}

impl Report {
    /// Whether every request was accepted, and answered.
    pub fn is_whole(&self) -> bool {
        self.refused.0 == 0 && self.unanswered == 0
    }

    /// For people.
    pub fn table(&self) -> String {
        let Settings { connections, rate, listen, .. } = self.settings;
        let mut out = String::new();
        let orders_a_second = self.orders.len() as f64 / self.took.as_secs_f64();
        let _ = writeln!(
            out,
            "{} orders and {} cancels in {:.1} s over {connections} sockets: {:.0} orders/s of \
             {rate} asked{}",
            self.orders.len(),
            self.cancels.len(),
            self.took.as_secs_f64(),
            orders_a_second,
            if listen { ", one socket listens" } else { "" },
        );
        for (name, of) in [("orders", &self.orders), ("cancels", &self.cancels)] {
            let us = |q: f64| of.value_at_quantile(q) as f64 / 1_000.0;
            let _ = writeln!(
                out,
                "{name:8} us from due to acknowledged: p50 {:.0}, p90 {:.0}, p99 {:.0}, \
                 p99.9 {:.0}, max {:.0}",
                us(0.5),
                us(0.9),
                us(0.99),
                us(0.999),
                of.max() as f64 / 1_000.0,
            );
        }
        let share = |cpu: Duration| 100.0 * cpu.as_secs_f64() / self.took.as_secs_f64();
        let requests = (self.orders.len() + self.cancels.len()).max(1) as f64;
        let _ = writeln!(
            out,
            "venue {:.0} % of a core, {:.1} us a request; client {:.0} %",
            share(self.venue_cpu),
            self.venue_cpu.as_secs_f64() * 1e6 / requests,
            share(self.client_cpu),
        );
        let (refused, first) = &self.refused;
        let _ = writeln!(
            out,
            "refused {refused}{}{first}, unanswered {}, pushes {}",
            if first.is_empty() { "" } else { ", first " },
            self.unanswered,
            self.pushes,
        );
        out
    }

    /// For programs.
    pub fn json(&self) -> Value {
        let quantiles = |of: &Histogram<u64>| {
            let us = |q: f64| of.value_at_quantile(q) as f64 / 1_000.0;
            json!({ "count": of.len(), "p50": us(0.5), "p90": us(0.9), "p99": us(0.99),
                "p999": us(0.999), "max": of.max() as f64 / 1_000.0 })
        };
        json!({
            "connections": self.settings.connections,
            "rate": self.settings.rate,
            "listens": self.settings.listen,
            "seconds": self.took.as_secs_f64(),
            "orders_us": quantiles(&self.orders),
            "cancels_us": quantiles(&self.cancels),
            "refused": self.refused.0,
            "unanswered": self.unanswered,
            "pushes": self.pushes,
            "venue_cpu_s": self.venue_cpu.as_secs_f64(),
            "client_cpu_s": self.client_cpu.as_secs_f64(),
        })
    }
}
