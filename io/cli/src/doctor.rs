//! `keel doctor`: whether this host is fit to trade fast, with the reason and the fix of everything
//! that is not, and how long it takes the processor away.
//!
//! It reads `/proc` and `/sys` and changes nothing; `tuning/host.py` changes what can be changed
//! while the host runs. The manual is `docs/tuning.md`.

mod checks;
mod host;
mod jitter;

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use keel_io::affinity;
use keel_io::clock::Clock;

use crate::exit::Exit;
use crate::{complain, print};
use host::Host;

/// Looks at the host whose `/proc` and `/sys` lie under `root`, and says what it found. `cores` are
/// those that the hot agents are meant to have, or empty for the host's isolated ones.
pub(crate) fn run(root: &Path, cores: &[usize], jitter: Option<Duration>) -> Exit {
    let host = Host::at(root, cores);
    let findings: Vec<Finding> = checks::ALL.iter().map(|check| check(&host)).collect();
    let told = print(&report(&findings));
    if told != Exit::Done {
        return told;
    }
    if let Some(length) = jitter {
        let told = meter(&host, length);
        if told != Exit::Done {
            return told;
        }
    }
    if findings.iter().any(|finding| finding.verdict == Verdict::Unfit) {
        complain(&"this host is not fit; what is unfit stands above, with its fix");
        return Exit::Failed;
    }
    Exit::Done
}

/// Spins on the first hot core, or wherever the scheduler lets it, and tells what was taken away.
fn meter(host: &Host, length: Duration) -> Exit {
    let core = host.hot.first().copied();
    let pinned = core.filter(|&core| affinity::pin_to(core));
    let place = pinned.map_or("any core".to_owned(), |core| format!("core {core}"));
    let clock = Clock::start();
    let pauses = jitter::measure(&|| clock.now(), length);
    print(&pauses.report(&place))
}

/// What one check found.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Finding {
    name: &'static str,
    verdict: Verdict,
    /// What is there.
    found: String,
    /// Why it matters; empty where it is as it should be.
    reason: &'static str,
    /// What to do about it.
    fix: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Fit,
    Unfit,
    /// The host does not say; somebody else decides it, or the kernel has no such thing.
    Unknown,
}

impl Finding {
    fn fit(name: &'static str, found: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Fit, found: found.into(), reason: "", fix: String::new() }
    }

    fn unfit(
        name: &'static str,
        found: impl Into<String>,
        reason: &'static str,
        fix: impl Into<String>,
    ) -> Self {
        Self { name, verdict: Verdict::Unfit, found: found.into(), reason, fix: fix.into() }
    }

    fn unknown(name: &'static str, found: impl Into<String>, reason: &'static str) -> Self {
        let found = found.into();
        Self { name, verdict: Verdict::Unknown, found, reason, fix: String::new() }
    }
}

fn report(findings: &[Finding]) -> String {
    let mut text = String::new();
    for finding in findings {
        let word = match finding.verdict {
            Verdict::Fit => "fit",
            Verdict::Unfit => "UNFIT",
            Verdict::Unknown => "unknown",
        };
        let _ = writeln!(text, "{word:<8} {:<22} {}", finding.name, finding.found);
        for (what, line) in [("why", finding.reason), ("fix", finding.fix.as_str())] {
            if !line.is_empty() {
                let _ = writeln!(text, "{:>8} {what}: {line}", "");
            }
        }
    }
    let count = |verdict| findings.iter().filter(|finding| finding.verdict == verdict).count();
    let _ = writeln!(
        text,
        "\n{} fit, {} unfit, {} unknown",
        count(Verdict::Fit),
        count(Verdict::Unfit),
        count(Verdict::Unknown)
    );
    text
}

#[cfg(test)]
mod tests;
