//! The console: one calm screen, refreshed in place, or one line a second where nobody looks.

use std::io::{self, IsTerminal, Write};

use keel_core::decimal::Grid;
use keel_core::event::Mode;
use keel_core::guard::{GuardState, Reasons};
use keel_core::instrument::Instrument;
use keel_core::param::Profile;
use keel_core::regime::Regime;
use keel_core::status::{Key, Row};
use keel_core::units::SECONDS;
use keel_io::cold::csv::{harmless, micros};
use keel_io::cold::daily::grid_text;
use keel_io::latency::{P99_SAMPLES_MIN, Summary};
use keel_io::os;
use keel_io::snapshot::{InstrumentSnapshot, Snapshot};

/// Shows snapshots on standard output.
#[derive(Debug)]
pub struct Console {
    /// Lines of the last screen; `None` where output is piped.
    screen: Option<usize>,
}

impl Console {
    /// A console for standard output as it is.
    pub fn new() -> Self {
        Self { screen: io::stdout().is_terminal().then_some(0) }
    }

    /// Shows one snapshot. Output that nobody takes is not an error of a run.
    pub fn show(&mut self, snapshot: &Snapshot) {
        let width = os::terminal_columns().unwrap_or(WIDTH_DEFAULT);
        let text = self.frame(snapshot, width);
        let mut out = io::stdout().lock();
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }

    /// The bytes that show `snapshot` after the frame before.
    fn frame(&mut self, snapshot: &Snapshot, width: usize) -> String {
        let Some(lines) = self.screen else {
            return format!("{}\n", line(snapshot));
        };
        let screen = render(snapshot, width);
        self.screen = Some(screen.lines().count());
        // Up to the first line of the last screen, and clear from there.
        let back = if lines == 0 { String::new() } else { format!("\x1b[{lines}F\x1b[J") };
        format!("{back}{screen}")
    }
}

impl Default for Console {
    fn default() -> Self {
        Self::new()
    }
}

/// One screen of at most `width` columns, each line ended.
pub fn render(snapshot: &Snapshot, width: usize) -> String {
    let width = width.max(WIDTH_MIN);
    let mut lines =
        vec![spread(&title(snapshot), &format!("up {}", uptime(snapshot.uptime_ns)), width)];
    lines.push(format!("{:<8}{}", "state", state(snapshot)));
    lines.push(format!("{:<8}{}", "account", account(snapshot)));
    lines.push(format!("{:<8}wire to order {}", "latency", latency(&snapshot.wire_to_order)));
    lines.push(String::new());
    lines.push(format!(
        "{:<12}{:<17}{:>12}{:>12}{:>12}{:>12}{:>14}{:>12}",
        "instrument", "regime", "bid", "ask", "own bid", "own ask", "position", "unrealized"
    ));
    lines.extend(snapshot.instruments.iter().map(instrument));
    lines.push(String::new());
    let newest = snapshot.notices.len().saturating_sub(NOTICES_SHOWN);
    lines.extend(snapshot.notices[newest..].iter().map(|text| harmless(text.clone())));
    lines.push(no_evidence(snapshot.mode).to_owned());
    lines.push(format!("Ctrl-C stops in order. Run directory {}", run_dir(snapshot)));
    let mut out = String::new();
    for line in lines {
        out.extend(line.trim_end().chars().take(width));
        out.push('\n');
    }
    out
}

/// One line for a log.
pub fn line(snapshot: &Snapshot) -> String {
    let mut parts = vec![uptime(snapshot.uptime_ns), state(snapshot)];
    for seen in &snapshot.instruments {
        parts.push(match (&seen.rules, &seen.row) {
            (Some(rules), Some(row)) => format!(
                "{} {} {}/{} own {}/{} pos {}",
                seen.symbol,
                regime(row),
                ticks(rules, row, Key::best_bid_price),
                ticks(rules, row, Key::best_ask_price),
                ticks(rules, row, Key::own_bid_price),
                ticks(rules, row, Key::own_ask_price),
                grid_text(rules.lot, row.value(Key::position_base)),
            ),
            _ => format!("{} waiting", seen.symbol),
        });
    }
    let pnl = pnl_today(snapshot).map_or_else(|| "-".to_owned(), money);
    parts.push(format!(
        "pnl {pnl} ({})",
        if snapshot.mode == Mode::Live { "today" } else { "no evidence of edge" }
    ));
    parts.push(format!("fills {}", snapshot.fills));
    parts.push(format!("wire to order {}", latency(&snapshot.wire_to_order)));
    parts.join(" | ")
}

/// What is said when a run has ended.
pub fn summary(snapshot: &Snapshot, open_orders: Option<u32>) -> String {
    let open = match open_orders {
        Some(0) => "none, verified at the venue".to_owned(),
        Some(open) => format!("{open} STILL OPEN: look at the venue"),
        None => "NOT VERIFIED: look at the venue".to_owned(),
    };
    let pnl = pnl_today(snapshot)
        .map_or_else(|| "unknown".to_owned(), |pnl| format!("{} USDT", money(pnl)));
    let tenths = snapshot.uptime_ns / (SECONDS / 10) % 10;
    let mut out = format!("\nstopped after {}.{tenths}\n", uptime(snapshot.uptime_ns));
    for (name, value) in [
        ("open orders", open),
        ("state", state(snapshot)),
        ("fills", snapshot.fills.to_string()),
        ("PnL today", pnl),
        ("wire to order", latency(&snapshot.wire_to_order)),
        ("run directory", run_dir(snapshot)),
    ] {
        out.push_str(&format!("  {name:<15}{value}\n"));
    }
    out.push_str(no_evidence(snapshot.mode));
    out.push('\n');
    out
}

/// What PnL means in a mode.
pub fn no_evidence(mode: Mode) -> &'static str {
    match mode {
        Mode::Sim | Mode::World => {
            "PnL here is no evidence of edge: the market, its fills and its fees are simulated."
        }
        Mode::Paper => "PnL here is no evidence of edge: fills are modeled, not made.",
        Mode::Demo => "PnL here is no evidence of edge: demo trading has another market.",
        Mode::Live => "PnL of a day is no evidence of edge.",
    }
}

fn title(snapshot: &Snapshot) -> String {
    let profile = match snapshot.profile {
        Profile::Wide => "wide",
        Profile::Touch => "touch",
    };
    format!("keel  {} · {profile} · {}", snapshot.mode, harmless(snapshot.instance.clone()))
}

/// The guard's state with its reasons; it is the same for all instruments, but for their own
/// causes.
fn state(snapshot: &Snapshot) -> String {
    let rows = || snapshot.instruments.iter().filter_map(|seen| seen.row.as_ref());
    let Some(worst) = rows().map(|row| row.value(Key::state)).max() else {
        return "starting".to_owned();
    };
    let word = usize::try_from(worst).ok().and_then(|place| GuardState::ALL.get(place));
    let reasons = rows().fold(Reasons::NONE, |all, row| {
        let of = |key| Reasons(row.value(key).cast_unsigned());
        all.union(of(Key::soft_reasons)).union(of(Key::hard_reasons))
    });
    let words: Vec<_> = reasons.iter().map(|reason| reason.text()).collect();
    let word = word.map_or("?", |state| state.text());
    if words.is_empty() { word.to_owned() } else { format!("{word} ({})", words.join(", ")) }
}

fn account(snapshot: &Snapshot) -> String {
    let Some(row) = first_row(snapshot) else { return "-".to_owned() };
    let equity = row.value(Key::equity_quote);
    let pnl = pnl_today(snapshot).map_or_else(|| "-".to_owned(), money);
    format!(
        "equity {} USDT   PnL today {pnl}   fees {}   fills {}   orders {}",
        money(equity),
        money(row.value(Key::fees_paid_today_quote)),
        snapshot.fills,
        row.value(Key::orders_active),
    )
}

fn instrument(seen: &InstrumentSnapshot) -> String {
    let (Some(rules), Some(row)) = (&seen.rules, &seen.row) else {
        return format!("{:<12}waiting", seen.symbol.as_str());
    };
    let stale = if row.value(Key::order_book_stale) != 0 { " stale" } else { "" };
    format!(
        "{:<12}{:<17}{:>12}{:>12}{:>12}{:>12}{:>14}{:>12}{stale}",
        seen.symbol.as_str(),
        regime(row),
        ticks(rules, row, Key::best_bid_price),
        ticks(rules, row, Key::best_ask_price),
        ticks(rules, row, Key::own_bid_price),
        ticks(rules, row, Key::own_ask_price),
        grid_text(rules.lot, row.value(Key::position_base)),
        money(row.value(Key::unrealized_pnl_quote)),
    )
}

fn latency(summary: &Summary) -> String {
    let one = |nanos: u64| format!("{} µs", micros(nanos / 100 * 100));
    let p50 = summary.p50_ns.map_or_else(|| "-".to_owned(), one);
    let p99 = match summary.p99_ns {
        Some(nanos) => one(nanos),
        None => format!("from n = {P99_SAMPLES_MIN}"),
    };
    format!("p50 {p50}, p99 {p99}, n = {}", summary.n)
}

/// Equity now minus equity when the UTC day began; `None` while one is unknown.
fn pnl_today(snapshot: &Snapshot) -> Option<i64> {
    let row = first_row(snapshot)?;
    let open = row.value(Key::equity_open_quote);
    (open != 0).then(|| row.value(Key::equity_quote).saturating_sub(open))
}

fn first_row(snapshot: &Snapshot) -> Option<&Row> {
    snapshot.instruments.iter().find_map(|seen| seen.row.as_ref())
}

fn regime(row: &Row) -> &'static str {
    let place = usize::try_from(row.value(Key::regime)).ok();
    place.and_then(|place| Regime::ALL.get(place)).map_or("?", |regime| regime.text())
}

/// A price in ticks; a dash where there is none.
fn ticks(rules: &Instrument, row: &Row, key: Key) -> String {
    match row.value(key) {
        0 => "-".to_owned(),
        ticks => grid_text(rules.tick, ticks),
    }
}

/// USDT with four decimals, cut off, not rounded.
fn money(units: i64) -> String {
    grid_text(Grid { step: 1, scale: 4 }, units / 10_000)
}

fn uptime(nanos: u64) -> String {
    let seconds = nanos / SECONDS;
    format!("{:02}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60)
}

fn run_dir(snapshot: &Snapshot) -> String {
    harmless(snapshot.run_dir.to_string_lossy().into_owned())
}

/// `left` and `right` at the ends of a line.
fn spread(left: &str, right: &str, width: usize) -> String {
    let used = left.chars().count() + right.chars().count();
    format!("{left}{}{right}", " ".repeat(width.min(WIDTH_TITLE_MAX).saturating_sub(used).max(2)))
}

const WIDTH_DEFAULT: usize = 120;
const WIDTH_MIN: usize = 40;
const WIDTH_TITLE_MAX: usize = 103;
const NOTICES_SHOWN: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use keel_core::instrument::Symbol;
    use keel_core::instrument::btcusdt;
    use keel_core::units::{E8, UnixNanos};
    use std::path::PathBuf;

    fn snapshot() -> Snapshot {
        let mut row = Row::EMPTY;
        for (key, value) in [
            (Key::best_bid_price, 772_000),
            (Key::best_ask_price, 772_001),
            (Key::own_bid_price, 771_999),
            (Key::equity_quote, 10_001 * E8 + 50_000_000),
            (Key::equity_open_quote, 10_000 * E8),
            (Key::fees_paid_today_quote, -2_500_000),
            (Key::orders_active, 2),
            (Key::position_base, -12),
            (Key::unrealized_pnl_quote, -123_456_789),
        ] {
            row.set(key, value);
        }
        let eth = Symbol::parse(b"ETHUSDT").expect("a name");
        Snapshot {
            at: UnixNanos(0),
            uptime_ns: 3_723 * SECONDS,
            mode: Mode::Sim,
            profile: Profile::Touch,
            instance: "main".into(),
            run_dir: PathBuf::from("/runs/1"),
            instruments: vec![
                InstrumentSnapshot {
                    symbol: btcusdt().symbol,
                    rules: Some(btcusdt()),
                    row: Some(row),
                },
                InstrumentSnapshot { symbol: eth, rules: None, row: None },
            ],
            wire_to_order: Summary {
                n: 999,
                p50_ns: Some(12_345),
                p99_ns: None,
                max_ns: Some(99_000),
            },
            fills: 7,
            notices: vec!["2026-11-23T00:00:00.000Z Ready".into()],
        }
    }

    const SCREEN: &str = "\
keel  sim · touch · main                                                                    up 01:02:03
state   RUNNING
account equity 10001.5000 USDT   PnL today 1.5000   fees -0.0250   fills 7   orders 2
latency wire to order p50 12.3 µs, p99 from n = 1000, n = 999

instrument  regime                    bid         ask     own bid     own ask      position  unrealized
BTCUSDT     neutral_low_vol       77200.0     77200.1     77199.9           -       -0.0012     -1.2345
ETHUSDT     waiting

2026-11-23T00:00:00.000Z Ready
PnL here is no evidence of edge: the market, its fills and its fees are simulated.
Ctrl-C stops in order. Run directory /runs/1
";

    #[test]
    fn the_screen_shows_state_touch_quotes_position_and_what_pnl_is_worth() {
        let screen = render(&snapshot(), 120);
        assert_eq!(screen, SCREEN, "\n{screen}");
    }

    #[test]
    fn a_narrow_screen_is_cut_and_never_wraps() {
        for width in [0, 40, 80] {
            let screen = render(&snapshot(), width);
            assert!(screen.lines().all(|line| line.chars().count() <= width.max(WIDTH_MIN)));
            assert_eq!(screen.lines().count(), SCREEN.lines().count());
        }
    }

    #[test]
    fn a_piped_console_says_one_line_a_snapshot() {
        let mut piped = Console { screen: None };
        let text = piped.frame(&snapshot(), 80);
        assert_eq!(
            text,
            "01:02:03 | RUNNING | BTCUSDT neutral_low_vol 77200.0/77200.1 own 77199.9/- pos -0.0012 | \
             ETHUSDT waiting | pnl 1.5000 (no evidence of edge) | fills 7 | \
             wire to order p50 12.3 µs, p99 from n = 1000, n = 999\n"
        );
    }

    #[test]
    fn a_terminal_is_refreshed_in_place() {
        let mut terminal = Console { screen: Some(0) };
        assert_eq!(terminal.frame(&snapshot(), 120), SCREEN);
        let again = terminal.frame(&snapshot(), 120);
        assert_eq!(again, format!("\x1b[{}F\x1b[J{SCREEN}", SCREEN.lines().count()));
    }

    #[test]
    fn reasons_stand_beside_the_state_and_the_worst_counts() {
        let mut stopped = snapshot();
        let mut row = Row::EMPTY;
        row.set(Key::state, GuardState::HardStop as i64);
        row.set(Key::hard_reasons, 1 << keel_core::guard::Reason::DailyLoss as i64);
        stopped.instruments[1].row = Some(row);
        assert_eq!(state(&stopped), "HARD_STOP (daily_loss)");
    }

    #[test]
    fn the_summary_never_calls_unverified_orders_gone() {
        let said = summary(&snapshot(), Some(0));
        assert!(said.contains("none, verified at the venue") && said.contains("/runs/1"));
        assert!(said.contains("no evidence of edge"));
        assert!(said.starts_with("\nstopped after 01:02:03.0\n"), "{said}");
        assert_eq!(said.matches("wire to order").count(), 1, "{said}");
        assert!(summary(&snapshot(), None).contains("NOT VERIFIED"));
        assert!(summary(&snapshot(), Some(3)).contains("3 STILL OPEN"));
    }

    #[test]
    fn text_from_outside_cannot_command_a_terminal() {
        let mut sly = snapshot();
        sly.notices = vec!["\x1b[2Jgone".into()];
        sly.run_dir = PathBuf::from("/tmp/\x07x");
        let screen = render(&sly, 120);
        assert!(!screen.chars().any(|c| c.is_control() && c != '\n'), "{screen:?}");
    }
}
