//! Item 19: a start that cannot learn everything does not trade.

use serde_json::json;

use super::{Evidence, Own, SOON, Stage, Trouble, code, ends, keep, most_resting};

/// What the start asks for.
const QUESTIONS: [(&str, &str); 6] = [
    ("clock", "/api/v2/public/time"),
    ("rules", "/api/v3/market/instruments"),
    ("fees", "/api/v3/account/fee-rate"),
    ("account", "/api/v3/account/assets"),
    ("positions", "/api/v3/position/current-position"),
    ("orders", "/api/v3/trade/unfilled-orders"),
];
/// How long the venue is watched for orders.
const LOOKS: u32 = 100;

pub(super) fn run(stage: &Stage, evidence: &mut Evidence) -> Result<(), Trouble> {
    for (what, path) in QUESTIONS {
        let part = stage.part(what)?;
        let venue = part.venue(1, None)?;
        venue.fault(&json!({ "act": "fail", "status": 500, "accepted": "no", "on": path }))?;
        let mut engine = part.engine(&venue, "run", Own::NOTHING)?;
        let most = most_resting(&venue, LOOKS)?;
        let ran = engine.log().contains("-> RUNNING");
        evidence.claim(
            &format!("without {what} nothing is quoted"),
            most == 0 && !ran && venue.fills()? == 0,
            format!("{path} fails: {LOOKS} looks in 5 s, at most {most} orders"),
        );
        keep(evidence, &engine, what)?;
        if engine.is_over()? {
            let ended = engine.ended(SOON)?;
            let refused = ended == Some(4);
            evidence.claim(&format!("without {what} it ends as refused"), refused, code(ended));
        } else {
            engine.stop()?;
        }
    }
    // The same without a fault does quote, or the looks above would prove nothing.
    let part = stage.part("whole")?;
    let venue = part.venue(1, None)?;
    let mut engine = part.engine(&venue, "run", Own::NOTHING)?;
    super::quoting(&venue, &engine)?;
    evidence.claim("with every answer it quotes", true, "orders rest");
    ends(evidence, &mut engine, "and ends in order", 0)
}
