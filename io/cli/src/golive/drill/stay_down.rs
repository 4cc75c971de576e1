//! Item 18: after a kill the engine stays down until the incident is named.

use super::{Evidence, Own, SOON, Stage, Trouble, code, ends, keep, most_resting, quoting, wait};
use crate::golive::stage::Venue;

/// Looks at the venue while a stopped engine must quote nothing.
const LOOKS: u32 = 100;

pub(super) fn run(stage: &Stage, evidence: &mut Evidence) -> Result<(), Trouble> {
    by_person(&stage.part("person")?, evidence)?;
    by_guardian(&stage.part("guardian")?, evidence)
}

/// A person kills a run; the next ones stay down.
fn by_person(stage: &Stage, evidence: &mut Evidence) -> Result<(), Trouble> {
    let venue = stage.venue(1, None)?;
    let mut engine = stage.guarded(&venue, "first", Own::NOTHING)?;
    quoting(&venue, &engine)?;
    let kill = ["kill", "--config", "first.toml", "--run-dir", "first"];
    let (killed, _) = stage.keel(&kill)?;
    let open = venue.open_orders()?;
    evidence.claim("a kill leaves none", killed == Some(0) && open == 0, format!("{open} rest"));
    ends(evidence, &mut engine, "the exit code says stopped for good", 5)?;
    let incident = latched(stage)?;
    stays_down(stage, &venue, evidence, "after a person's kill")?;
    rearmed(stage, &venue, evidence, &incident)?;
    keep(evidence, &engine, "person")
}

/// The guardian kills for an engine that is gone; the next one stays down.
fn by_guardian(stage: &Stage, evidence: &mut Evidence) -> Result<(), Trouble> {
    let venue = stage.venue(1, None)?;
    let engine = stage.guarded(&venue, "first", Own::NOTHING)?;
    quoting(&venue, &engine)?;
    let latch = engine.state.join("latch.json");
    engine.kill()?;
    wait(SOON, "the guardian has canceled and latched", || {
        Ok(latch.exists() && venue.open_orders()? == 0)
    })?;
    let incident = latched(stage)?;
    stays_down(stage, &venue, evidence, "after the guardian's kill")?;
    rearmed(stage, &venue, evidence, &incident)
}

/// The incident that is latched.
fn latched(stage: &Stage) -> Result<String, Trouble> {
    let path = stage.dir.join("state/latch.json");
    let text = std::fs::read_to_string(path)?;
    let latch: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
    let incident = latch["incident_id"].as_str().map(str::to_owned);
    incident.ok_or_else(|| Trouble::Unexpected(format!("no incident in {text}")))
}

/// A new run quotes nothing.
fn stays_down(
    stage: &Stage,
    venue: &Venue,
    evidence: &mut Evidence,
    when: &str,
) -> Result<(), Trouble> {
    let mut engine = stage.guarded(venue, "second", Own::NOTHING)?;
    engine.says("HARD_STOP", SOON)?;
    let most = most_resting(venue, LOOKS)?;
    let down = most == 0 && !engine.log().contains("-> RUNNING");
    let seen = format!("{LOOKS} looks, at most {most} orders; {}", engine.first("HARD_STOP"));
    evidence.claim(&format!("{when} the next start quotes nothing"), down, seen);
    ends(evidence, &mut engine, &format!("{when} its exit code says so"), 5)?;
    keep(evidence, &engine, when)
}

/// Another number clears nothing; the right one does, and then it quotes (negative control).
fn rearmed(
    stage: &Stage,
    venue: &Venue,
    evidence: &mut Evidence,
    incident: &str,
) -> Result<(), Trouble> {
    let rearm = |incident: &str| {
        let at = ["--run-dir", "second", "--state-dir", "state"];
        stage.keel(&[&["rearm", "--incident", incident][..], &at].concat())
    };
    let (refused, _) = rearm("7")?;
    let still = latched(stage)? == incident;
    let seen = format!("{}, incident {incident} stands", code(refused));
    evidence.claim("another incident's number is refused", refused == Some(2) && still, seen);
    let (done, _) = rearm(incident)?;
    evidence.claim("the right number is taken", done == Some(0), code(done));
    let mut engine = stage.guarded(venue, "third", Own::NOTHING)?;
    let quotes = quoting(venue, &engine);
    evidence.claim("and the next start quotes", quotes.is_ok(), engine.last("Guard "));
    ends(evidence, &mut engine, "and ends in order", 0)
}
