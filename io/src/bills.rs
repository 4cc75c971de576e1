//! Bills: a UTC day's records of money as the venue has them, for whoever compares them with ours.
//!
//! Asked with signed GETs and nothing else: a key that may only read is enough, and nothing at the
//! venue is changed.

use std::time::{Duration, Instant};

use keel_core::units::{MILLIS, MonoNanos, SECONDS, UnixNanos};
use keel_net::bitget::client::Instance;
use keel_net::bitget::rest::{Answers, Call, Pager, Records, Turn, Window};
use keel_net::bitget::sign::Credentials;
use keel_net::bitget::topics::Directory;
use keel_net::driver::Poller;
use keel_net::proto::http::{Client, FILLS_BODY_BYTES_MAX, Method};

use crate::clock::{Clock, VenueClock};
use crate::cold::line::{Asks, Line};
use crate::mode::access::ToRead;
use crate::mode::sim::StartError;
use crate::setup::Setup;
use crate::topology::LINE_KEY;

/// The answers of `financial-records` over the UTC day with this number, as they came, as one JSON
/// list.
///
/// # Errors
/// Why the venue could not be reached, refused, or was not understood. What it had told until then
/// is not given: a part of a day is none.
pub fn fetch(setup: &Setup, day: i64) -> Result<String, StartError> {
    let clock = Clock::start_at_speed(setup.venue.clock_speed());
    let ToRead { host, rest, credentials } = ToRead::of(setup, clock.utc())?;
    let speed = u64::from(setup.venue.clock_speed());
    let asks = Asking::new(host, credentials, setup.instance, day, speed);
    let mut line = Line::new(asks, rest, clock.clone(), LINE_KEY);
    let mut poller = Poller::new(READY_MAX)?;
    let began = Instant::now();
    loop {
        let now = clock.now();
        line.step(now, &poller);
        match line.asks().state {
            State::Done => return Ok(format!("[{}]\n", line.asks().bodies.join(",\n"))),
            State::Failed => return Err(StartError::Venue(line.asks().trouble.clone())),
            State::Clock | State::Records(_) if began.elapsed() < PATIENCE => {}
            State::Clock | State::Records(_) => {
                let unopened = line.last_error().map(str::to_owned);
                let why = unopened.unwrap_or_else(|| line.asks().trouble.clone());
                return Err(StartError::Venue(format!("not all records came in time: {why}")));
            }
        }
        line.wait(now, &mut poller)?;
    }
}

/// How long all of it may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two questions: a quarter of the venue's 20/s.
const PAUSE_NS: u64 = 200 * MILLIS;
/// After a question that brought no answer, in real time.
const RETRY_NS: u64 = SECONDS;
/// Questions in a row that may bring none.
const FAILURES_MAX: u32 = 5;
/// Readiness told in one wait at most.
const READY_MAX: usize = 8;

/// Asks for the venue's clock, by which requests are signed, then for page after page.
struct Asking {
    host: String,
    credentials: Credentials,
    answers: Answers,
    directory: Directory,
    clock: VenueClock,
    speed: u64,
    day: Window,
    state: State,
    /// When the question under way was asked.
    asked: Option<MonoNanos>,
    free_at: MonoNanos,
    pager: Pager,
    cursor: Option<String>,
    bodies: Vec<String>,
    failures: u32,
    /// Why a question has brought no answer last.
    trouble: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Clock,
    Records(Records),
    Done,
    Failed,
}

impl Asking {
    fn new(
        host: String,
        credentials: Credentials,
        instance: Instance,
        day: i64,
        speed: u64,
    ) -> Self {
        let from = UnixNanos(day.saturating_mul(UnixNanos::DAY));
        let to = UnixNanos(from.0.saturating_add(UnixNanos::DAY - MILLIS as i64));
        Self {
            host,
            credentials,
            answers: Answers::new(instance, false),
            // Any contract's records are wanted.
            directory: Directory::new(&[]),
            clock: VenueClock::default(),
            speed,
            day: Window { from: Some(from), to: Some(to) },
            state: State::Clock,
            asked: None,
            free_at: MonoNanos(0),
            pager: Pager::default(),
            cursor: None,
            bodies: Vec::new(),
            failures: 0,
            trouble: "no answer".to_owned(),
        }
    }

    /// What is asked next; everything that this can be only reads.
    fn call(&self) -> Option<Call> {
        let call = match self.state {
            State::Clock => Call::server_time(),
            State::Records(of) => Call::bills(of, self.day, self.cursor.as_deref()),
            State::Done | State::Failed => return None,
        };
        assert!(call.method == Method::Get, "a statement is read");
        Some(call)
    }

    /// Takes an answer in.
    fn read(&mut self, client: &mut Client, asked: MonoNanos, now: MonoNanos) {
        let read = match client.outcome() {
            Some(Ok(response)) => self.understand(response.status(), response.body(), asked, now),
            Some(Err(failure)) => Err(format!("{:?}", failure.error)),
            None => return,
        };
        client.finish();
        match read {
            Ok(()) => (self.failures, self.free_at) = (0, now.after(PAUSE_NS * self.speed)),
            Err(why) => self.fail(why, now),
        }
    }

    fn understand(
        &mut self,
        status: u16,
        body: &[u8],
        asked: MonoNanos,
        now: MonoNanos,
    ) -> Result<(), String> {
        if self.state == State::Clock {
            let utc = self.answers.server_time(status, body).map_err(|error| error.to_string())?;
            let half = i64::try_from(now.since(asked) / 2).unwrap_or(0);
            self.clock.set(UnixNanos(utc.0.saturating_add(half)), now);
            self.state = State::Records(Records::Product);
            return Ok(());
        }
        // Read as the engine reads them, though the text is what is kept.
        let page = self.answers.bills(status, body, &self.directory);
        let turn = self.pager.turn(&page.map_err(|error| error.to_string())?);
        self.bodies.push(String::from_utf8_lossy(body).into_owned());
        match turn {
            Ok(Turn::Next(cursor)) => self.cursor = Some(cursor),
            Ok(Turn::End) if self.state == State::Records(Records::Product) => {
                self.state = State::Records(Records::Other);
                (self.cursor, self.pager) = (None, Pager::default());
            }
            Ok(Turn::End) => self.state = State::Done,
            Err(error) => {
                self.trouble = format!("the venue's list has no end: {error:?}");
                self.state = State::Failed;
            }
        }
        Ok(())
    }

    fn fail(&mut self, why: String, now: MonoNanos) {
        (self.failures, self.trouble) = (self.failures + 1, why);
        self.free_at = now.after(RETRY_NS * self.speed);
        if self.failures >= FAILURES_MAX {
            self.state = State::Failed;
        }
    }
}

impl Asks for Asking {
    fn client(&self) -> Client {
        Client::new(FILLS_BODY_BYTES_MAX)
    }

    fn step(
        &mut self,
        client: &mut Client,
        _host: &impl Fn() -> UnixNanos,
        now: MonoNanos,
    ) -> usize {
        if let Some(asked) = self.asked {
            if client.outcome().is_none() {
                return 0;
            }
            self.asked = None;
            self.read(client, asked, now);
            return 1;
        }
        if now < self.free_at || !client.is_idle() || !client.is_reusable() {
            return 0;
        }
        let Some(call) = self.call() else { return 0 };
        let utc = self.clock.utc(now);
        if let Err(error) = call.send(client, &self.host, Some(&self.credentials), utc, now) {
            self.fail(format!("{error:?}"), now);
            return 0;
        }
        self.asked = Some(now);
        1
    }

    fn lose_connection(&mut self, now: MonoNanos) {
        if self.asked.take().is_some() {
            self.fail("the connection was lost".to_owned(), now);
        }
    }

    fn deadline(&self) -> MonoNanos {
        if self.asked.is_some() { MonoNanos::NEVER } else { self.free_at }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use keel_net::bitget::sign::Secret;

    const NOW: MonoNanos = MonoNanos(SECONDS);
    /// 2026-11-27.
    const DAY: i64 = 20_784;

    /// Asks after the venue has told its time.
    fn asking() -> Asking {
        let secret = || Secret::new("s".to_owned());
        let key = Credentials::live("k".to_owned(), secret(), secret());
        let instance = Instance::parse("one").expect("a name");
        let mut asking = Asking::new("h".to_owned(), key, instance, DAY, 1);
        assert_eq!(asking.call().expect("a question").path, Call::server_time().path);
        let time = br#"{"code":"00000","msg":"","data":{"serverTime":"1795737600000"}}"#;
        asking.understand(200, time, NOW, NOW).expect("a time");
        asking
    }

    fn page(id: u32, cursor: &str) -> Vec<u8> {
        let row = format!(
            r#"{{"id":"{id}","coin":"USDT","type":"BONUS","amount":"1","ts":"1795737600000"}}"#
        );
        let list = if id == 0 { String::new() } else { row };
        format!(r#"{{"code":"00000","data":{{"list":[{list}],"cursor":"{cursor}"}}}}"#).into_bytes()
    }

    #[test]
    fn every_page_of_the_day_is_asked_for_by_gets_and_kept_as_it_came() {
        let mut asking = asking();
        let (first, second, end) = (page(2, "2"), page(1, "1"), page(0, "1"));
        let product = [(&first, None), (&second, Some("2")), (&end, Some("1"))];
        let other = [(&first, None), (&end, Some("2"))];
        let both = [("USDT-FUTURES", &product[..]), ("OTHER", &other[..])];
        let asked = both.iter().flat_map(|(of, pages)| pages.iter().map(move |page| (*of, *page)));
        for (of, (body, cursor)) in asked {
            let call = asking.call().expect("a question");
            assert_eq!(call.method, Method::Get);
            assert!(call.query.starts_with(&format!("category={of}&")), "{}", call.query);
            assert!(call.query.contains("startTime=1795737600000&endTime=1795823999999"));
            let asked = call.query.split("cursor=").nth(1);
            assert_eq!(asked, cursor, "{}", call.query);
            asking.understand(200, body, NOW, NOW).expect("a page");
        }
        assert_eq!((asking.state, asking.call()), (State::Done, None));
        let bodies = [&first, &second, &end, &first, &end]
            .map(Clone::clone)
            .map(|body| String::from_utf8(body).expect("text"));
        assert_eq!(asking.bodies, bodies);
    }

    #[test]
    fn a_list_in_a_circle_and_a_venue_that_does_not_answer_give_no_statement() {
        let mut circle = asking();
        for _ in 0..2 {
            circle.understand(200, &page(1, "1"), NOW, NOW).expect("a page");
        }
        assert_eq!(circle.state, State::Failed);
        let mut refused = asking();
        for failures in 1..=FAILURES_MAX {
            let body = br#"{"code":"40037","msg":"no such key"}"#;
            let why = refused.understand(400, body, NOW, NOW).expect_err("refused");
            assert!(why.contains("40037"), "{why}");
            refused.fail(why, NOW);
            assert_eq!(refused.state == State::Failed, failures == FAILURES_MAX);
        }
        assert!(refused.bodies.is_empty() && refused.free_at == NOW.after(RETRY_NS));
    }
}
