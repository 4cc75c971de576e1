//! Part B: what the venue says of the live account, its key and its contracts.
//!
//! It only reads: a [`survey`] can ask nothing but GETs. The bundle is of a kind of its own, holds
//! every answer as it came, and serves live mode for a day.

use std::fs;
use std::path::{Path, PathBuf};

use keel_core::event::Mode;
use keel_core::instrument::{InstrumentStatus, Symbol};
use keel_core::units::{E8, UnixNanos};
use keel_io::clock::Clock;
use keel_io::cold::daily::{grid_text, trimmed};
use keel_io::mode::live::{ACCOUNT, OF_ACCOUNT};
use keel_io::mode::survey::{Question, Survey, survey};
use keel_net::bitget::rest::{Answers, RestError};
use keel_net::bitget::topics::Directory;
use serde_json::{Value, json};

use super::evidence::{Evidence, Verdict};
use super::{Judged, bundle, head, item, page, text_of, write};
use crate::args::{CheckArgs, RunArgs};
use crate::config::Config;
use crate::exit::Exit;
use crate::{complain, print, start};

/// `keel golive check --account`.
pub(super) fn check(args: &CheckArgs, config: &Config) -> Exit {
    if config.mode != Mode::Live {
        complain(&format!(
            "--account reads the account that live mode trades with, and [run] mode is {}",
            config.mode
        ));
        return Exit::Usage;
    }
    let now = Clock::start().utc();
    let setup = match start::setup(config.clone(), &RunArgs::default(), now) {
        Ok(setup) => setup,
        Err((exit, what)) => {
            complain(&what);
            return exit;
        }
    };
    let survey = match survey(&setup, &questions(&config.instruments)) {
        Ok(survey) => survey,
        Err(error) => {
            complain(&error);
            return start::exit_of(&error);
        }
    };
    match seal(args, config, &survey, now) {
        Ok((dir, judged)) => tell(&dir, &judged),
        Err(what) => {
            complain(&what);
            Exit::Failed
        }
    }
}

/// Everything that is asked.
fn questions(symbols: &[Symbol]) -> Vec<Question> {
    let account = [Question::Key, Question::Settings, Question::Deduction, Question::Assets];
    let rates = symbols.iter().copied().map(Question::FeeRate);
    std::iter::once(Question::Rules).chain(account).chain(rates).collect()
}

/// Judges the answers and writes the bundle.
fn seal(
    args: &CheckArgs,
    config: &Config,
    survey: &Survey,
    now: UnixNanos,
) -> Result<(PathBuf, Vec<Judged>), String> {
    let dir = args.out.join(format!("account-{}", super::stamp(now)));
    fs::create_dir_all(&dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    let mut reading = Reading::new(config, survey);
    let venue = config.venue.urls.as_ref().map(|urls| urls.rest.clone()).unwrap_or_default();
    let mut judged = Vec::new();
    for number in OF_ACCOUNT {
        let item = item::item(number).expect("an item");
        let mut evidence = Evidence::new(&dir, item);
        let kept = match number {
            1 => reading.fees(&mut evidence),
            2 => reading.rules(&mut evidence),
            _ => reading.account(&mut evidence),
        };
        kept.map_err(|error| format!("{}: {error}", dir.display()))?;
        judged.push(Judged::read(item, evidence, &venue, now));
    }
    let mut body = head(config, now)?;
    body["kind"] = ACCOUNT.into();
    body["venue"] = venue.into();
    body["uid"] = config.venue.uid.to_string().into();
    let names = config.instruments.iter().map(ToString::to_string);
    body["instruments"] = names.collect::<Vec<_>>().into();
    body["items"] = judged.iter().map(Judged::json).collect::<Vec<_>>().into();
    write(&dir.join("index.html"), &page::html(&body, &shown(survey)))?;
    let bundle = bundle::seal(&dir, body).map_err(|error| error.to_string())?;
    let latest = json!({ "bundle": dir, "bundle_blake3": bundle.hash(), "items": bundle.items() });
    write(&args.out.join("account.json"), &text_of(&latest))?;
    Ok((dir, judged))
}

/// The answers about account and key, as a page shows them. The list of all contracts is a record
/// only: nobody reads it.
fn shown(survey: &Survey) -> Vec<(String, String)> {
    let replies = survey.replies.iter().filter(|reply| reply.question != Question::Rules);
    let text = |body: &[u8]| match serde_json::from_slice::<Value>(body) {
        Ok(json) => format!("{json:#}"),
        Err(_) => String::from_utf8_lossy(body).into_owned(),
    };
    replies.map(|reply| (reply.question.name(), text(&reply.body))).collect()
}

fn tell(dir: &Path, judged: &[Judged]) -> Exit {
    use std::fmt::Write as _;
    let mut out = String::new();
    for row in judged {
        let verdict = row.verdict().text();
        let _ = writeln!(out, "{verdict:<8} {:>2} {}", row.item.number, row.item.title);
        for finding in row.evidence.iter().flat_map(Evidence::findings) {
            let mark = if finding.holds { "holds" } else { "FAILS" };
            let _ = writeln!(out, "  {mark}  {} ({})", finding.claim, finding.seen);
        }
    }
    let _ = writeln!(out, "bundle: {}", dir.display());
    let printed = print(&out);
    let passed = judged.iter().all(|row| row.verdict() == Verdict::Pass);
    if passed { printed } else { Exit::Gate }
}

/// The answers, and what they are judged by.
struct Reading<'r> {
    config: &'r Config,
    survey: &'r Survey,
    answers: Answers,
    directory: Directory,
}

impl<'r> Reading<'r> {
    fn new(config: &'r Config, survey: &'r Survey) -> Self {
        let answers = Answers::new(config.instance, true);
        Self { config, survey, answers, directory: Directory::new(&[]) }
    }

    /// An answer as it is read, or why it cannot be; it is kept as a record.
    fn read<T>(
        &mut self,
        evidence: &mut Evidence,
        question: Question,
        reader: impl FnOnce(&mut Answers, u16, &[u8]) -> Result<T, RestError>,
    ) -> std::io::Result<Result<T, String>> {
        let Some(reply) = self.survey.reply(question) else {
            return Ok(Err("not asked".to_owned()));
        };
        evidence.keep(&format!("{}.json", question.name()), &reply.body)?;
        let read = reader(&mut self.answers, reply.status, &reply.body);
        Ok(read.map_err(|error| format!("{error:?}")))
    }

    /// Item 1: the account's rates.
    fn fees(&mut self, evidence: &mut Evidence) -> std::io::Result<()> {
        for (at, symbol) in self.config.instruments.iter().enumerate() {
            let id = keel_core::instrument::InstrumentId(at as u16);
            let rate =
                self.read(evidence, Question::FeeRate(*symbol), |answers, status, body| {
                    answers.fee_rate(status, body, id)
                })?;
            let percent = |rate: i64| rate as f64 * 100.0 / E8 as f64;
            let (holds, seen) = match rate {
                // No schedule of the venue has a maker pay more than a taker, or one percent.
                Ok(rate) => (
                    rate.maker <= rate.taker && (0..=E8 / 100).contains(&rate.taker.0),
                    format!("maker {} %, taker {} %", percent(rate.maker.0), percent(rate.taker.0)),
                ),
                Err(why) => (false, why),
            };
            evidence.proves(2, &format!("the venue tells the rates of {symbol}"), holds, seen);
        }
        let deducts =
            self.read(evidence, Question::Deduction, |a, status, body| a.deduction(status, body))?;
        let (holds, seen) =
            told(deducts, |deducts| !deducts, |deducts| format!("deduct {deducts}"));
        evidence.claim("fees are not taken in another coin", holds, seen);
        Ok(())
    }

    /// Item 2: the rules of the contracts.
    fn rules(&mut self, evidence: &mut Evidence) -> std::io::Result<()> {
        let symbols = self.config.instruments.clone();
        let found = self.read(evidence, Question::Rules, |answers, status, body| {
            answers.instruments(status, body, &symbols)
        })?;
        let found = match found {
            Ok(found) => found,
            Err(why) => {
                evidence.claim("the venue tells the rules of its contracts", false, why);
                return Ok(());
            }
        };
        let mut known = Vec::new();
        for (symbol, rules) in symbols.iter().zip(found) {
            let claim = format!("{symbol} trades, and money on it is exact");
            let (holds, seen) = match rules {
                None => (false, "the venue has no such contract".to_owned()),
                Some(Err(why)) => (false, format!("{why:?}")),
                Some(Ok(rules)) => {
                    known.push(rules);
                    let max = self.config.params.max_order_notional_quote();
                    let fits = rules.min_notional <= max;
                    let step = |grid| trimmed(grid_text(grid, 1));
                    let words = format!(
                        "{}, tick {}, lot {}, an order is worth {} to {} USDT",
                        rules.status.text(),
                        step(rules.tick),
                        step(rules.lot),
                        rules.min_notional.0 as f64 / E8 as f64,
                        max.0 / E8
                    );
                    (rules.status == InstrumentStatus::Online && fits, words)
                }
            };
            evidence.proves(1, &claim, holds, seen);
        }
        self.directory = Directory::new(&known);
        let offset_ms = self.survey.offset_ns / 1_000_000;
        let max_ms = self.config.params.clock_offset_soft_ms() / 1_000_000;
        evidence.claim(
            "this host's clock is the venue's",
            offset_ms.unsigned_abs() <= max_ms,
            format!("{offset_ms} ms apart, at most {max_ms}"),
        );
        Ok(())
    }

    /// Item 14: the key and the account.
    fn account(&mut self, evidence: &mut Evidence) -> std::io::Result<()> {
        let uid = self.config.venue.uid;
        let key = self.read(evidence, Question::Key, |a, status, body| a.key(status, body))?;
        let directory = std::mem::replace(&mut self.directory, Directory::new(&[]));
        let settings = self.read(evidence, Question::Settings, |answers, status, body| {
            answers.settings(status, body, &directory)
        })?;
        let json = |question| {
            let body = self.survey.reply(question).map(|reply| reply.body.as_slice());
            serde_json::from_slice::<Value>(body.unwrap_or_default()).unwrap_or_default()
        };
        let names: Vec<String> = self.config.instruments.iter().map(ToString::to_string).collect();
        let boxes = judged(&json(Question::Key), &json(Question::Settings), &names);
        for (place, (claim, holds, seen)) in boxes.into_iter().enumerate() {
            evidence.proves(place + 1, claim, holds, seen);
        }
        let (holds, seen) = told(key, |key| key.uid == uid, |key| format!("uid {}", key.uid));
        evidence.claim(&format!("the key is of account {uid}"), holds, seen);
        let most = self.config.params.max_leverage();
        let (holds, seen) = told(
            settings,
            |settings| u64::from(settings.leverage) <= most,
            |settings| format!("{} of at most {most}", settings.leverage),
        );
        evidence.claim("no leverage is set above max_leverage", holds, seen);
        let held = self.read(evidence, Question::Assets, |answers, status, body| {
            let equity = answers.assets(status, body)?.map_or(0, |report| report.equity.0);
            Ok((answers.holdings(status, body)?, equity))
        })?;
        let (holds, seen) = told(
            held.clone(),
            |(held, _)| !held.owes && !held.other_coins,
            |(held, _)| format!("owes {}, other coins {}", held.owes, held.other_coins),
        );
        evidence.claim("the account owes nothing and holds nothing but USDT", holds, seen);
        let usdt = |equity: i64| format!("{} USDT", equity as f64 / E8 as f64);
        let (holds, seen) = told(held, |(_, equity)| equity > 0, |(_, equity)| usdt(equity));
        evidence.claim("there is equity to trade with", holds, seen);
        Ok(())
    }
}

/// Whether an answer could be read and `holds`, and its words.
fn told<T: Copy>(
    read: Result<T, String>,
    holds: impl FnOnce(T) -> bool,
    seen: impl FnOnce(T) -> String,
) -> (bool, String) {
    match read {
        Ok(found) => (holds(found), seen(found)),
        Err(why) => (false, why),
    }
}

/// The four boxes of item 14 by the venue's answers about the key and the account: claim, whether
/// it holds, what was seen. Contracts that are not in `names` are not looked at.
pub(super) fn judged(
    info: &Value,
    settings: &Value,
    names: &[String],
) -> Vec<(&'static str, bool, String)> {
    let (key, account) = (&info["data"], &settings["data"]);
    let may: Vec<&str> =
        key["permissions"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let trades = key["permType"] == "read-and-write" && !may.is_empty();
    let ips = key["ips"].as_str().unwrap_or_default();
    let modes: Vec<&str> = account["symbolConfigList"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|row| names.iter().any(|name| row["symbol"] == name.as_str()))
        .filter_map(|row| row["marginMode"].as_str())
        .collect();
    let hold = account["holdMode"].as_str().unwrap_or_default();
    vec![
        (
            "the key may read and trade, and neither withdraw nor manage",
            trades && may.iter().all(|word| TRADING.contains(word)),
            format!("{} {may:?}", key["permType"]),
        ),
        ("the key is bound to addresses", !ips.is_empty(), format!("ips {ips:?}")),
        (
            "every contract is in cross margin",
            !modes.is_empty() && modes.iter().all(|mode| *mode == "crossed"),
            format!("{} contracts: {modes:?}", modes.len()),
        ),
        ("positions are held one way", hold == "one_way_mode", hold.to_owned()),
    ]
}

/// Permissions that a key for trading has.
const TRADING: [&str; 1] = ["uta_trade"];
