//! A kill without an engine: a connection and a clock of its own, until zero is verified.

use std::time::{Duration, Instant};

use keel_core::instrument::{Instrument, Symbol};
use keel_net::driver::Poller;
use serde_json::json;

use super::report::Report;
use super::{Close, Kill, Mandate, Trigger};
use crate::clock::{Clock, VenueClock};
use crate::cold::line::Line;
use crate::cold::rest::Rest;
use crate::mode::access::ToCancel;
use crate::mode::sim::StartError;
use crate::setup::Setup;
use crate::state;
use crate::topology::{KILL_KEY, LINE_KEY};

/// What a person wants of a kill.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// Who, for the report.
    pub who: String,
    /// Only this instrument.
    pub only: Option<Symbol>,
    /// Cancel nothing.
    pub dry_run: bool,
    /// Close positions.
    pub flatten: bool,
}

/// Readiness told in one wait at most.
const READY_MAX: usize = 8;

/// Acts until it is finished, or `limit` has passed; `each` sees the report whenever it has come
/// further.
///
/// # Errors
/// Why the venue cannot be reached at all.
pub fn run(
    setup: &Setup,
    wish: Wish,
    limit: Duration,
    mut each: impl FnMut(&Report),
) -> Result<Report, StartError> {
    let clock = Clock::start_at_speed(setup.venue.clock_speed());
    let access = ToCancel::of(setup, clock.utc())?;
    let mut poller = Poller::new(READY_MAX)?;
    let epoch = state::epoch(&setup.state_dir).unwrap_or(0);
    let place = access.place(setup, epoch, Vec::new());
    let kill = Kill::new(place, VenueClock::default(), false);
    let mut line = Line::new(kill, access.targets().rest.clone(), clock.clone(), KILL_KEY);
    let mandate = Mandate {
        trigger: Trigger::Operator,
        reasons: wish.who,
        only: wish.only,
        dry_run: wish.dry_run,
        close: Close::Nothing,
        decided: clock.now(),
    };
    line.asks().begin(mandate.clone());
    let mut to_close = wish.flatten && !wish.dry_run;
    let began = Instant::now();
    let mut told = (false, false);
    let mut unclosed = None;
    loop {
        let now = clock.now();
        line.step(now, &poller);
        if to_close && line.asks().verified().is_some() {
            // Rules are needed to close positions only: no cancel waits for them.
            to_close = false;
            match rules(setup, &access, &clock, &mut poller) {
                Ok(rules) => {
                    line.asks().learn(rules);
                    let close = Close::of(wish.only);
                    line.asks().begin(Mandate { close, ..mandate.clone() });
                }
                Err(error) => unclosed = Some(error.to_string()),
            }
        }
        if let Some(mut report) = line.asks().report(now) {
            if let Some(why) = &unclosed {
                report.body["status"] = "partial".into();
                report.body["flatten"] = json!({ "status": "rules_not_read", "error": why });
            }
            let state = (report.verified, report.finished);
            if state != told {
                told = state;
                each(&report);
            }
            if report.finished || began.elapsed() > limit {
                return Ok(report);
            }
        }
        line.wait(now, &mut poller)?;
    }
}

/// The rules of the configured instruments, over a connection that is closed again.
fn rules(
    setup: &Setup,
    access: &ToCancel,
    clock: &Clock,
    poller: &mut Poller,
) -> Result<Vec<Instrument>, StartError> {
    let host = &access.targets().host;
    let (symbols, venue) = (&setup.instruments, VenueClock::default());
    let rest = Rest::new(setup.instance, host, None, symbols, venue);
    let mut line = Line::new(rest, access.targets().rest.clone(), clock.clone(), LINE_KEY);
    // Without a key nothing is asked about epochs.
    line.begin(poller, 0).map_err(StartError::Venue)
}
