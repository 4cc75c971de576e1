//! The page of a soak: its claims, its six hours each, and what its minutes were like.

use std::fmt::Write as _;
use std::path::Path;

use keel_desk::report::page::{curve, escaped, page};
use keel_io::soak::{self, Period, Verdict};

/// One file that asks for nothing from outside.
///
/// # Errors
/// When a table of minutes cannot be read.
pub(super) fn html(label: &str, verdict: &Verdict) -> Result<String, String> {
    let word = if verdict.passes() { "PASS" } else { "FAIL" };
    let mut body = format!("<h1>Soak: {word} ({label}), {} faults</h1>\n<table>\n", verdict.faults);
    for finding in &verdict.findings {
        let (class, mark) = if finding.holds { ("pass", "✓") } else { ("fail", "✗") };
        let (claim, seen) = (escaped(&finding.claim), escaped(&finding.seen));
        let _ = writeln!(
            body,
            "<tr class=\"{class}\"><td>{mark} {claim}</td><td><code>{seen}</code></td></tr>"
        );
    }
    body.push_str("</table>\n");
    for (place, (pair, table)) in verdict.tables.iter().enumerate() {
        let own =
            [("open orders", "orders_active", Zero), ("position, of equity", "base_pct", Zero)];
        let all = [
            ("equity above that of the first minute, USDT", "equity_quote", First),
            ("resident memory above that of the first minute, KiB", "rss_kib", First),
            ("open descriptors", "open_fds", Zero),
            ("least rate headroom", "rate_headroom_pct", Zero),
        ];
        let _ = writeln!(body, "<h2>{}</h2>", escaped(pair));
        // The account and the process are the same in every table.
        for (title, column, above) in own.iter().chain(all.iter().filter(|_| place == 0)) {
            body.push_str(&drawn(title, table, column, *above)?);
        }
    }
    body.push_str(&periods(&verdict.periods));
    Ok(page("soak", &body))
}

/// What a drawing counts from.
#[derive(Clone, Copy)]
enum Above {
    Zero,
    /// The first figure that is known.
    First,
}

use Above::{First, Zero};

/// A column over the minutes.
fn drawn(title: &str, table: &Path, column: &str, above: Above) -> Result<String, String> {
    let figures = soak::column(table, column)?;
    let known = |figure: &f64| figure.is_finite() && *figure != 0.0;
    let first = figures.iter().copied().find(known).unwrap_or(0.0);
    let told = |figure: f64| match above {
        Zero => figure,
        // A process that is gone has no memory.
        First if !known(&figure) => f64::NAN,
        First => figure - first,
    };
    let line: Vec<(f64, f64)> =
        figures.iter().enumerate().map(|(minute, &figure)| (minute as f64, told(figure))).collect();
    Ok(curve(&format!("{title} ({} minutes)", line.len()), &line))
}

fn periods(periods: &[Period]) -> String {
    let mut out = String::from(
        "<h2>Six hours each</h2>\n<table class=\"n\">\n<tr><th>contract<th>from<th>minutes by \
         state<th>resident, KiB<th>descriptors<th>orders<th>reconnects<th>equity, USDT</tr>\n",
    );
    for period in periods {
        let states: Vec<String> =
            period.states.iter().map(|(state, rows)| format!("{state} {rows}")).collect();
        let _ = writeln!(
            out,
            "<tr><td>{}<td>{}<td>{}<td>{} to {}<td>{}<td>{}<td>{}<td>{}</tr>",
            escaped(&period.pair),
            escaped(&period.from),
            escaped(&states.join(", ")),
            period.rss_kib[0],
            period.rss_kib[1],
            period.open_fds,
            period.orders_active,
            period.reconnects,
            escaped(&period.equity)
        );
    }
    out + "</table>\n"
}
