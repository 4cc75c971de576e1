//! Item 14: the key may trade and nothing more, is bound to addresses, and the account holds
//! positions as the engine needs it; an account that is otherwise is not traded on.

use std::time::Duration;

use keel_core::units::MonoNanos;
use keel_io::clock::Clock;
use keel_net::bitget::rest::Call;
use keel_net::bitget::sign::{Credentials, Secret};
use keel_net::proto::Protocol;
use keel_net::proto::http::{Client, FILLS_BODY_BYTES_MAX};
use serde_json::{Value, json};

use super::{
    Evidence, Own, SOON, Stage, Trouble, ends, hard, keep, most_resting, nothing_rests, quoting,
};
use crate::golive::account::judged;
use crate::golive::stage::{Venue, accounts};

const INFO: &str = "/api/v3/account/info";
const SETTINGS: &str = "/api/v3/account/settings";
/// Looks at the venue while nothing may be quoted.
const LOOKS: u32 = 60;
/// How fast the venue's time runs while a mode changes: it is read every ten minutes.
const FAST: u32 = 20;
const READ_EVERY: Duration = Duration::from_secs(600);

pub(super) fn run(stage: &Stage, evidence: &mut Evidence) -> Result<(), Trouble> {
    fit(&stage.part("fit")?, evidence)?;
    for (what, path, from, to) in [
        ("hedge mode", SETTINGS, "one_way_mode", "hedge_mode"),
        ("a contract in isolated margin", SETTINGS, "\"crossed\"", "\"isolated\""),
        ("a key that only reads", INFO, "\"uta_trade\"", "\"uta_read\""),
    ] {
        unfit(&stage.part(what)?, evidence, what, path, [from, to])?;
    }
    turns(&stage.part("turns")?, evidence)
}

/// An account as it should be.
fn fit_account(stage: &Stage) -> String {
    accounts(10_000.0, stage.leverage())
}

/// What the venue says of an account that is as it should be, and of keys that are not.
fn fit(stage: &Stage, evidence: &mut Evidence) -> Result<(), Trouble> {
    let venue = stage.tapped(1, Some(&fit_account(stage)))?.0;
    let info = read(&venue, venue.account(), &Call::key())?;
    let settings = read(&venue, venue.account(), &Call::settings())?;
    let names = ["BTCUSDT", "ETHUSDT"].map(str::to_owned);
    evidence.keep("account/info.json", info.to_string().as_bytes())?;
    evidence.keep("account/settings.json", settings.to_string().as_bytes())?;
    for (place, (claim, holds, seen)) in judged(&info, &settings, &names).into_iter().enumerate() {
        evidence.proves(place + 1, claim, holds, seen);
    }
    let mut engine = stage.engine(&venue, "run", Own::NOTHING)?;
    let quotes = quoting(&venue, &engine);
    evidence.claim("such an account is traded on", quotes.is_ok(), engine.last("Guard "));
    keep(evidence, &engine, "fit")?;
    ends(evidence, &mut engine, "and the run ends in order", 0)?;
    let wrong: [(&str, usize, Value); 3] = [
        (
            "may withdraw",
            0,
            json!({ "permissions": ["uta_trade", "withdraw"], "ips": ["127.0.0.1"] }),
        ),
        (
            "manages the account",
            0,
            json!({ "permissions": ["uta_trade", "uta_mgt"], "ips": ["127.0.0.1"] }),
        ),
        ("is bound to no address", 1, json!({ "permissions": ["uta_trade"], "ips": [] })),
    ];
    for (what, place, mut key) in wrong {
        key["account"] = venue.name().into();
        let key = venue.ask("/admin/key", &key)?;
        let info = read(&venue, &key, &Call::key())?;
        let (_, holds, seen) = judged(&info, &settings, &names).swap_remove(place);
        evidence.claim(&format!("a key that {what} is told apart"), !holds, seen);
    }
    Ok(())
}

/// An account that is otherwise: the engine stops and quotes nothing.
fn unfit(
    stage: &Stage,
    evidence: &mut Evidence,
    what: &str,
    path: &str,
    [from, to]: [&str; 2],
) -> Result<(), Trouble> {
    let (venue, tap) = stage.tapped(1, Some(&fit_account(stage)))?;
    tap.alter(path, from, to);
    let mut engine = stage.engine(&venue, "run", Own::NOTHING)?;
    engine.says("-> HARD_STOP", SOON)?;
    let most = most_resting(&venue, LOOKS)?;
    let stop = engine.last("-> HARD_STOP");
    evidence.claim(
        &format!("with {what} the engine stops and quotes nothing"),
        hard(&stop, "settings") && most == 0 && venue.fills()? == 0,
        format!("at most {most} rested; {stop}"),
    );
    keep(evidence, &engine, what)?;
    ends(evidence, &mut engine, &format!("with {what} its exit code says so"), 5)
}

/// A mode that changes while the engine quotes is noticed at the next reading.
fn turns(stage: &Stage, evidence: &mut Evidence) -> Result<(), Trouble> {
    let (venue, tap) = stage.tapped(FAST, Some(&fit_account(stage)))?;
    let mut engine = stage.engine(&venue, "run", Own::NOTHING)?;
    quoting(&venue, &engine)?;
    tap.alter(SETTINGS, "one_way_mode", "hedge_mode");
    let began = tap.len();
    let stopped = engine.says("-> HARD_STOP", READ_EVERY / FAST + SOON);
    let read = tap.passed(began).iter().filter(|one| one.what == SETTINGS).count();
    let stop = engine.last("-> HARD_STOP");
    evidence.claim(
        "a mode that changes is read every 10 min, and stops",
        stopped.is_ok() && read > 0 && hard(&stop, "settings"),
        stop,
    );
    nothing_rests(&venue)?;
    keep(evidence, &engine, "turns")?;
    engine.stop().map(drop)
}

/// Asks the venue a question with a key, and gives its whole answer.
fn read(venue: &Venue, key: &Value, call: &Call) -> Result<Value, Trouble> {
    use std::io::{Read, Write};
    let text = |name: &str| key[name].as_str().unwrap_or_default().to_owned();
    let secret = |name| Secret::new(text(name));
    let credentials = Credentials::live(text("key"), secret("secret"), secret("passphrase"));
    let now = MonoNanos(1);
    let mut client = Client::new(FILLS_BODY_BYTES_MAX);
    let utc = Clock::start().utc();
    let refused = |what: String| Trouble::Unexpected(format!("a question with a key: {what}"));
    call.send(&mut client, venue.authority(), Some(&credentials), utc, now)
        .map_err(|error| refused(format!("{error:?}")))?;
    let mut stream = std::net::TcpStream::connect(venue.authority())?;
    stream.write_all(client.transmit())?;
    let sent = client.transmit().len();
    client.sent(sent, now);
    while client.outcome().is_none() {
        let read = stream.read(client.spare())?;
        if read == 0 {
            return Err(refused("no answer".to_owned()));
        }
        client.received(read, now);
    }
    let outcome = client.outcome().expect("waited for");
    let response = outcome.map_err(|error| refused(format!("{error:?}")))?;
    let answer: Value = serde_json::from_slice(response.body()).unwrap_or_default();
    if answer["code"] == "00000" { Ok(answer) } else { Err(refused(answer.to_string())) }
}
