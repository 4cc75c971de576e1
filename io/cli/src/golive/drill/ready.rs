//! Item 16: `ready` is computed: each part that is missing makes it false, and nothing is quoted.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Evidence, Own, SOON, Stage, Trouble, ends, keep, nothing_rests, quoting, wait};

/// What is broken, and which part says so.
struct Part {
    what: &'static str,
    says: &'static str,
    fault: Option<Value>,
    held: Option<&'static str>,
    /// A pause of the guard follows at once, or only later.
    pulls: bool,
}

/// The venue's clock is read every 10 s; REST counts as gone after 30 s.
const LIMIT: Duration = Duration::from_secs(60);

pub(super) fn run(stage: &Stage, evidence: &mut Evidence) -> Result<(), Trouble> {
    let (venue, tap) = stage.tapped(1, None)?;
    let mut engine = stage.engine(&venue, "run", Own::NOTHING)?;
    quoting(&venue, &engine)?;
    let connector = || Ok::<_, Trouble>(stage.status("run")?["connector_status"].clone());
    let ready = || Ok::<_, Trouble>(connector()?["ready"] == true);
    wait(SOON, "it is ready", ready)?;
    evidence.claim("it is ready while it quotes", true, connector()?.to_string());
    for part in parts() {
        if let Some(fault) = &part.fault {
            venue.fault(fault)?;
        }
        if let Some(topic) = part.held {
            tap.hold(topic);
        }
        let mut seen = Value::Null;
        let told = wait(LIMIT, "it is not ready", || {
            seen = connector()?;
            let named = part.says.is_empty() || seen[part.says] == false;
            Ok(seen["ready"] == false && named)
        });
        let claim = match part.says {
            "" => format!("{}: not ready", part.what),
            says => format!("{}: not ready, and {says} is false", part.what),
        };
        evidence.claim(&claim, told.is_ok(), seen.to_string());
        if part.pulls {
            let pulled = nothing_rests(&venue);
            let claim = format!("{}: no order rests at the venue", part.what);
            evidence.claim(&claim, pulled.is_ok(), "0 orders");
        }
        tap.release();
        venue.ask("/admin/clear-fault", &json!({}))?;
        let back = wait(2 * SOON, "it is ready", ready);
        evidence.claim(&format!("{}: ready afterwards", part.what), back.is_ok(), "ready");
        quoting(&venue, &engine)?;
    }
    keep(evidence, &engine, "run")?;
    ends(evidence, &mut engine, "the run ends in order", 0)
}

fn parts() -> [Part; 4] {
    let part = |what, says, fault, held, pulls| Part { what, says, fault, held, pulls };
    let time = json!({
        "act": "fail", "status": 500, "accepted": "no", "on": "/api/v2/public/time",
    });
    let ban = json!({ "act": "ban" });
    [
        part("the book silent", "", None, Some("books"), true),
        part("every socket ended", "public_ws", Some(ban.clone()), None, true),
        part("every socket ended again", "private_ws", Some(ban), None, true),
        part("no time over REST", "rest", Some(time), None, false),
    ]
}
