//! Survey: what a venue says of a key, its account and its contracts.
//!
//! All it can ask is a [`Question`], and each of them is a GET: with a key of live trading in its
//! hand it places, cancels and moves nothing.

use std::collections::VecDeque;

use keel_core::instrument::Symbol;
use keel_core::units::{MILLIS, MonoNanos, SECONDS, UnixNanos};
use keel_net::bitget::rest::{Answers, Call};
use keel_net::bitget::sign::Credentials;
use keel_net::driver::Poller;
use keel_net::proto::http::{Client, FILLS_BODY_BYTES_MAX};

use super::access::ToRead;
use super::sim::StartError;
use crate::clock::{Clock, VenueClock};
use crate::cold::line::{Asks, Line};
use crate::setup::Setup;
use crate::topology::LINE_KEY;

/// What can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// The venue's time, which signatures need. Asked first of all, by itself.
    Time,
    /// The rules of every contract.
    Rules,
    /// The account's rates on one contract.
    FeeRate(Symbol),
    /// What the key may do.
    Key,
    /// How the account is set up.
    Settings,
    /// Whether fees are taken in another coin.
    Deduction,
    /// What the account holds and owes.
    Assets,
    /// Open orders, the first page.
    OpenOrders,
}

impl Question {
    fn call(self) -> Call {
        match self {
            Self::Time => Call::server_time(),
            Self::Rules => Call::instruments(),
            Self::FeeRate(symbol) => Call::fee_rate(symbol),
            Self::Key => Call::key(),
            Self::Settings => Call::settings(),
            Self::Deduction => Call::deduction(),
            Self::Assets => Call::assets(),
            Self::OpenOrders => Call::open_orders(None, None),
        }
    }

    /// A name for its answer.
    pub fn name(self) -> String {
        match self {
            Self::Time => "time".to_owned(),
            Self::Rules => "instruments".to_owned(),
            Self::FeeRate(symbol) => format!("fee-rate-{symbol}"),
            Self::Key => "info".to_owned(),
            Self::Settings => "settings".to_owned(),
            Self::Deduction => "deduct-info".to_owned(),
            Self::Assets => "assets".to_owned(),
            Self::OpenOrders => "unfilled-orders".to_owned(),
        }
    }
}

/// An answer as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// To what.
    pub question: Question,
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
}

/// What was answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// In the order of the questions, that for the time first.
    pub replies: Vec<Reply>,
    /// How far the venue's clock is ahead of this host's, in nanoseconds.
    pub offset_ns: i64,
}

impl Survey {
    /// The answer to `question`.
    pub fn reply(&self, question: Question) -> Option<&Reply> {
        self.replies.iter().find(|reply| reply.question == question)
    }
}

/// Everything must have been answered within this.
const SURVEY_NS_MAX: u64 = 60 * SECONDS;
/// Between two questions: the slowest window takes three a second.
const PAUSE_NS: u64 = 350 * MILLIS;
/// After a refusal for rate, or a failure.
const FAILURE_NS: u64 = 1_100 * MILLIS;

/// Asks `questions` of the venue of `setup` with its key, one after another.
///
/// # Errors
/// When the venue cannot be reached or does not answer in time. What it refuses is an answer.
pub fn survey(setup: &Setup, questions: &[Question]) -> Result<Survey, StartError> {
    let clock = Clock::start();
    let ToRead { host, rest, credentials } = ToRead::of(setup, clock.utc())?;
    let waiting = std::iter::once(Question::Time).chain(questions.iter().copied());
    let asker = Asker {
        host,
        credentials,
        venue: VenueClock::default(),
        reader: Answers::new(setup.instance, true),
        waiting: waiting.collect(),
        in_flight: false,
        free_at: MonoNanos::ZERO,
        survey: Survey::default(),
    };
    let mut poller = Poller::new(8)?;
    let mut line = Line::new(asker, rest, clock.clone(), LINE_KEY);
    let until = clock.now().after(SURVEY_NS_MAX);
    loop {
        let now = clock.now();
        line.step(now, &poller);
        if line.asks().waiting.is_empty() {
            return Ok(std::mem::take(&mut line.asks().survey));
        }
        if line.is_untrusted() || now >= until {
            let silent = line.asks().waiting.front().map(|question| question.name());
            let silent = format!("it does not answer {}", silent.unwrap_or_default());
            return Err(StartError::Venue(line.last_error().map_or(silent, str::to_owned)));
        }
        line.wait(now, &mut poller)?;
    }
}

/// Asks one question at a time, each until it is answered.
struct Asker {
    host: String,
    credentials: Credentials,
    venue: VenueClock,
    reader: Answers,
    /// The first of them is the one that is asked.
    waiting: VecDeque<Question>,
    in_flight: bool,
    free_at: MonoNanos,
    survey: Survey,
}

impl Asker {
    /// Takes an answer in, or asks again later.
    fn take(&mut self, reply: Option<Reply>, host: UnixNanos, now: MonoNanos) {
        self.in_flight = false;
        // Too much was asked, or something in front of the venue answered.
        let Some(reply) = reply.filter(|reply| reply.status != 429 && reply.status < 500) else {
            self.free_at = now.after(FAILURE_NS);
            return;
        };
        if reply.question == Question::Time {
            let Ok(utc) = self.reader.server_time(reply.status, &reply.body) else {
                self.free_at = now.after(FAILURE_NS);
                return;
            };
            self.venue.set(utc, now);
            self.survey.offset_ns = utc.0 - host.0;
        }
        self.free_at = now.after(PAUSE_NS);
        self.waiting.pop_front();
        self.survey.replies.push(reply);
    }
}

impl Asks for Asker {
    fn client(&self) -> Client {
        Client::new(FILLS_BODY_BYTES_MAX)
    }

    fn step(
        &mut self,
        client: &mut Client,
        host: &impl Fn() -> UnixNanos,
        now: MonoNanos,
    ) -> usize {
        let Some(&question) = self.waiting.front() else { return 0 };
        if self.in_flight {
            let Some(outcome) = client.outcome() else { return 0 };
            let reply = outcome.ok().map(|response| Reply {
                question,
                status: response.status(),
                body: response.body().to_vec(),
            });
            client.finish();
            self.take(reply, host(), now);
            return 1;
        }
        if now < self.free_at || !client.is_idle() || !client.is_reusable() {
            return 0;
        }
        let (key, utc) = (Some(&self.credentials), self.venue.utc(now));
        self.in_flight = question.call().send(client, &self.host, key, utc, now).is_ok();
        usize::from(self.in_flight)
    }

    fn lose_connection(&mut self, now: MonoNanos) {
        self.in_flight = false;
        self.free_at = now.after(FAILURE_NS);
    }

    fn deadline(&self) -> MonoNanos {
        if self.in_flight { MonoNanos::NEVER } else { self.free_at }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use keel_net::proto::http::Method;

    #[test]
    fn every_question_is_a_get_without_a_body() {
        let symbol = Symbol::parse(b"BTCUSDT").expect("a name");
        // A new question that is not listed here does not compile.
        let listed = |question| match question {
            Question::Time
            | Question::Rules
            | Question::FeeRate(_)
            | Question::Key
            | Question::Settings
            | Question::Deduction
            | Question::Assets
            | Question::OpenOrders => question,
        };
        for question in [
            Question::Time,
            Question::Rules,
            Question::FeeRate(symbol),
            Question::Key,
            Question::Settings,
            Question::Deduction,
            Question::Assets,
            Question::OpenOrders,
        ] {
            let call = listed(question).call();
            assert_eq!((call.method, call.body.as_str()), (Method::Get, ""), "{question:?}");
        }
    }
}
