//! The kill drill: orders rest at a venue of its own process, something happens to the engine, and
//! the venue's own truth says when none rests any more.
//!
//! Orders of the engine have passed its gate; beyond the 32 that its levels allow, another client
//! of the same account places the rest, shortly before.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::program::{Venue, Working, wait};

/// What happens to the engine.
#[allow(dead_code, reason = "the long form drills all of them")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Case {
    /// Nothing: a person kills.
    Healthy,
    /// The process is stopped (`SIGSTOP`): the guardian acts.
    Stopped,
    /// The process is gone (`SIGKILL`): the guardian acts.
    Killed,
    /// Every socket is cut, and a person kills.
    Cut,
    /// Three of ten cancels fail, and a person kills.
    Failing,
    /// The venue bans the address for two seconds, and a person kills.
    Banned,
}

#[allow(dead_code, reason = "the long form drills all of them")]
impl Case {
    /// All of them.
    pub(crate) const ALL: [Self; 6] =
        [Self::Healthy, Self::Stopped, Self::Killed, Self::Cut, Self::Failing, Self::Banned];

    /// How it is named in tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Stopped => "SIGSTOP",
            Self::Killed => "SIGKILL",
            Self::Cut => "sockets cut",
            Self::Failing => "30% of cancels fail",
            Self::Banned => "banned for 2 s",
        }
    }

    /// The guardian kills, and no person.
    pub(crate) fn guardian_acts(self) -> bool {
        matches!(self, Self::Stopped | Self::Killed)
    }
}

/// How a drill went.
#[allow(dead_code, reason = "the long form makes figures of it")]
#[derive(Clone, Debug)]
pub(crate) struct Drilled {
    /// Orders that rested when it happened.
    pub(crate) before: u64,
    /// From what happened to none at the venue, by the venue's own truth.
    pub(crate) zero: Duration,
    /// From the decision to zero verified, in milliseconds, by the report.
    pub(crate) verified_ms: f64,
    /// Orders at the venue at the end, after the zombie window.
    pub(crate) after: u64,
    /// The report.
    pub(crate) report: Value,
}

/// How long a venue's orders may take to be gone.
const ZERO_MAX: Duration = Duration::from_secs(30);

/// Lets `orders` rest and `case` happen, to an engine that is taken for hung after `hang_ms`.
pub(crate) fn run(orders: u32, case: Case, hang_ms: u32) -> Drilled {
    let venue = Venue::start(&["--plaintext"]);
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path();
    let tunnel = Tunnel::start(venue.authority());
    configure(&venue, path, &tunnel.address.to_string(), orders, hang_ms);
    let args = ["run", "--state-dir", "state", "--run-dir", "run"];
    let engine = Working::start(path, &args);
    let by_gate = u64::from(orders.min(GATE_MAX));
    wait(Duration::from_secs(60), "the engine's orders rest", || venue.open_orders() >= by_gate);
    let mut before = by_gate;
    // An engine that waits for its turn on a busy machine pulls its quotes for a while.
    wait(Duration::from_secs(60), "all orders rest", || {
        before = venue.open_orders();
        let missing = u64::from(orders).saturating_sub(before);
        if orders > GATE_MAX {
            fill_up(&venue, missing);
        }
        missing == 0
    });

    let (happened, _kill) = happen(&venue, path, &tunnel, case, &engine);
    let zero = until_zero(&venue, happened);
    let report = report(path, case);
    let after = venue.open_orders();
    if !case.guardian_acts() {
        engine.signal("TERM");
    }
    engine.end(Duration::from_secs(40));
    let verified_ms = report["elapsed_ms"].as_f64().unwrap_or(f64::NAN);
    Drilled { before, zero, verified_ms, after, report }
}

/// Orders that two instruments with eight levels a side have.
const GATE_MAX: u32 = 32;

fn configure(venue: &Venue, dir: &Path, authority: &str, orders: u32, hang_ms: u32) {
    let (instruments, sides, levels) = match orders {
        1 => ("[\"BTCUSDT\"]", "buy_only", 1),
        more => ("[\"BTCUSDT\", \"ETHUSDT\"]", "both", (more / 4).clamp(1, 8)),
    };
    let before = format!("[run]\ninstruments = {instruments}\n\n[kill]\nhang_ms = {hang_ms}\n\n");
    let strategy =
        format!("[strategy]\nsides = \"{sides}\"\nlevels_min = {levels}\nlevels_max = {levels}\n");
    let more = include_str!("drill.toml").replace("[strategy]\n", &strategy);
    venue.configure_with(dir, authority, &before, &format!("\n{more}"));
}

/// Another client of the account places orders far below the market.
fn fill_up(venue: &Venue, count: u64) {
    for n in 0..count {
        let (symbol, price, size) = if n % 2 == 0 {
            ("BTCUSDT", format!("{}.0", 50_000 + n), "0.001")
        } else {
            ("ETHUSDT", format!("{}.00", 1_500 + n), "0.02")
        };
        let order = json!({
            "account": "keel", "category": "USDT-FUTURES", "symbol": symbol, "side": "buy",
            "orderType": "limit", "timeInForce": "post_only", "price": price, "qty": size,
        });
        let answer = venue.admin("POST", "/admin/order", &order);
        assert!(answer["orderId"].is_string(), "{answer}");
    }
}

/// Lets it happen and gives when, and a person's kill. That is not waited for, the venue's truth
/// tells first; it ends with the round, for without a venue it would ask for ten minutes.
fn happen(
    venue: &Venue,
    dir: &Path,
    tunnel: &Tunnel,
    case: Case,
    engine: &Working,
) -> (Instant, Option<Working>) {
    let fault = |fault: Value| {
        let answer = venue.admin("POST", "/admin/fault", &fault);
        assert!(answer["fault"].is_number(), "{answer}");
    };
    match case {
        Case::Healthy => {}
        Case::Stopped | Case::Killed => {
            let now = Instant::now();
            engine.signal(if case == Case::Stopped { "STOP" } else { "KILL" });
            return (now, None);
        }
        Case::Cut => tunnel.cut(),
        Case::Failing => {
            for on in ["cancel-symbol-order", "cancel-batch", "cancel-order"] {
                fault(json!({ "act": "fail", "status": 503, "accepted": "no", "on": on,
                    "share": 0.3 }));
            }
        }
        Case::Banned => fault(json!({ "act": "ban", "forMs": 2_000 })),
    }
    let now = Instant::now();
    (now, Some(Working::start(dir, &["kill", "--run-dir", "run"])))
}

fn until_zero(venue: &Venue, happened: Instant) -> Duration {
    while venue.open_orders() > 0 {
        assert!(happened.elapsed() < ZERO_MAX, "orders still rest: {}", venue.account());
        std::thread::sleep(Duration::from_millis(2));
    }
    happened.elapsed()
}

/// The report, once it is finished.
fn report(dir: &Path, case: Case) -> Value {
    let path = dir.join("run/reports/kill_switch/latest.json");
    let mut found = Value::Null;
    wait(Duration::from_secs(60), "the report is finished", || {
        let Ok(text) = fs::read_to_string(&path) else { return false };
        found = serde_json::from_str(&text).expect("JSON");
        // A person ends an engine that a ban keeps from verifying: then the guardian acts too.
        let by_guardian = found["trigger"] == "guardian";
        let right = by_guardian == case.guardian_acts() || case == Case::Banned;
        !found["finished_ms"].is_null() && right
    });
    found
}

/// Passes everything on to the venue, and can cut it all at once.
struct Tunnel {
    address: SocketAddr,
    open: Arc<Mutex<Vec<TcpStream>>>,
}

impl Tunnel {
    fn start(venue: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let open = Arc::new(Mutex::new(Vec::new()));
        let (venue, streams) = (venue.to_owned(), open.clone());
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                // A connection that breaks is the business of its two ends.
                let _ = join(client, &venue, &streams);
            }
        });
        Self { address, open }
    }

    fn cut(&self) {
        for stream in self.open.lock().expect("not poisoned").drain(..) {
            // One that has ended already is cut.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

fn join(client: TcpStream, venue: &str, open: &Mutex<Vec<TcpStream>>) -> io::Result<()> {
    let venue = TcpStream::connect(venue)?;
    client.set_nodelay(true)?;
    venue.set_nodelay(true)?;
    open.lock().expect("not poisoned").extend([client.try_clone()?, venue.try_clone()?]);
    let (mut up_from, mut up_to) = (client.try_clone()?, venue.try_clone()?);
    let (mut down_from, mut down_to) = (venue, client);
    std::thread::spawn(move || pass(&mut up_from, &mut up_to));
    std::thread::spawn(move || pass(&mut down_from, &mut down_to));
    Ok(())
}

fn pass(from: &mut TcpStream, to: &mut TcpStream) {
    let mut buffer = [0; 16_384];
    while let Ok(count) = from.read(&mut buffer) {
        if count == 0 || to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
