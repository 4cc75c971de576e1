use keel_core::command::{CancelCause, Stopped};

use super::*;
use crate::bitget::sign::Secret;
use crate::bitget::tests::{btc, named};
use crate::link::{WhenFull, link};
use crate::proto::http::BODY_BYTES_MAX;
use crate::proto::session::Settings;
use crate::proto::ws::peer;
use crate::proto::{Protocol, receive};
use crate::stamps::Stamps;

const BTC: InstrumentId = InstrumentId(1);

/// A gateway with a session and an HTTP connection, and the venue's side written by hand.
struct Rig {
    gateway: Gateway,
    session: Session,
    http: Client,
    commands: Option<Sender<Dispatch>>,
    events: Receiver<Arrival>,
    now: MonoNanos,
}

impl Rig {
    fn new() -> Self {
        let (to_engine, events) = link("private", 64, WhenFull::HardStop);
        let (commands, to_gateway) = link("commands", 64, WhenFull::AskFirst);
        let secret = || Secret::new("secret".to_owned());
        let gateway = Gateway::new(
            Instance::parse("mm1").unwrap(),
            "127.0.0.1",
            Directory::new(&[named("ETHUSDT"), btc()]),
            Credentials::live("key".to_owned(), secret(), secret()),
            to_engine,
            to_gateway,
        );
        Self {
            gateway,
            session: Session::new(Settings::new("ws.example", "/v3/ws/private", true), [7; 32]),
            http: Client::new(BODY_BYTES_MAX),
            commands: Some(commands),
            events,
            now: MonoNanos(1_000 * SECONDS),
        }
    }

    /// A rig whose session is logged in and, unless `refused`, subscribed to everything.
    fn subscribed(refused: bool) -> Self {
        let mut rig = Self::new();
        assert!(rig.session.open(rig.now));
        let request = rig.sent();
        rig.receive(&peer::accept(&request));
        rig.gateway.adopt(&mut rig.session, UnixNanos(1), rig.now);
        rig.step();
        rig.receive(&peer::text(r#"{"event":"login","code":"0","msg":""}"#));
        rig.step();
        rig.sent();
        for topic in ["order", "fill", "position", "account"] {
            let answer = match topic {
                "fill" if refused => r#"{"event":"error","code":"30001","msg":"no"}"#.to_owned(),
                topic => format!(
                    r#"{{"event":"subscribe","arg":{{"instType":"UTA","topic":"{topic}"}}}}"#
                ),
            };
            rig.receive(&peer::text(&answer));
        }
        rig.step();
        rig
    }

    fn receive(&mut self, bytes: &[u8]) {
        assert_eq!(receive(&mut self.session, bytes, self.now), bytes.len());
    }

    fn sent(&mut self) -> Vec<u8> {
        let bytes = self.session.transmit().to_vec();
        self.session.sent(bytes.len(), self.now);
        bytes
    }

    fn step(&mut self) {
        let now = self.now;
        let (session, http) = (Some(&mut self.session), Some(&mut self.http));
        self.gateway.step(session, http, &|| now, UnixNanos(1), now);
    }

    fn command(&mut self, plain: Plain) {
        let dispatch = Dispatch { command: Command::Plain(plain), stamps: Stamps::default() };
        assert!(self.commands.as_mut().unwrap().push(dispatch).is_ok());
    }

    /// What the gateway has said of the stream.
    fn feed(&mut self) -> Vec<FeedState> {
        let mut told = Vec::new();
        while let Some(arrival) = self.events.pop() {
            if let Event::Feed(feed) = arrival.event {
                told.push(feed.state);
            }
        }
        told
    }

    /// Answers the HTTP request that is under way; gives the contract that it names.
    fn answer(&mut self) -> Option<String> {
        let request = String::from_utf8(self.http.transmit().to_vec()).unwrap();
        if request.is_empty() {
            return None;
        }
        self.http.sent(request.len(), self.now);
        assert!(request.contains("/api/v3/trade/cancel-symbol-order"), "{request}");
        let body = r#"{"code":"00000","msg":"success","requestTime":1,"data":{"list":[]}}"#;
        let response = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        assert_eq!(receive(&mut self.http, response.as_bytes(), self.now), response.len());
        let (_, rest) = request.split_once(r#""symbol":""#).expect("a contract");
        Some(rest.split('"').next().unwrap_or_default().to_owned())
    }

    /// Contracts whose orders are all canceled within `steps`.
    fn swept(&mut self, steps: usize) -> Vec<String> {
        let mut swept = Vec::new();
        for _ in 0..steps {
            self.step();
            swept.extend(self.answer());
        }
        swept
    }
}

fn cancel(number: u64) -> Plain {
    Plain::Cancel(Cancel {
        instrument: BTC,
        client: ClientId { epoch: 3, number },
        order_id: number,
        cause: CancelCause::Safety,
    })
}

#[test]
fn a_private_message_that_cannot_be_read_loses_the_stream_before_it_is_live_again() {
    let mut rig = Rig::subscribed(false);
    assert_eq!(rig.session.state(), State::Live);
    assert_eq!(rig.feed(), [FeedState::Live]);
    rig.receive(&peer::text(
        r#"{"action":"snapshot","arg":{"instType":"UTA","topic":"order"},"data":7}"#,
    ));
    for _ in 0..3 {
        rig.step();
    }
    assert_eq!(rig.session.state(), State::Live);
    assert_eq!(rig.feed(), [FeedState::Lost, FeedState::Live]);
}

#[test]
fn a_session_without_one_of_its_channels_is_not_live() {
    let mut rig = Rig::subscribed(true);
    assert_eq!(rig.session.state(), State::Syncing);
    assert_eq!(rig.feed(), []);
    rig.now = rig.now.after(60 * SECONDS);
    rig.session.step(rig.now);
    rig.step();
    assert!(rig.session.is_offline(), "{:?}", rig.session.state());
}

#[test]
fn a_cancel_that_the_session_cannot_take_goes_the_other_way_in() {
    let mut rig = Rig::subscribed(false);
    for number in 1..=20 {
        rig.command(cancel(number));
        rig.step();
    }
    let swept = rig.swept(4);
    assert!(!swept.is_empty(), "the pace of the connection is used up");
    assert!(swept.iter().all(|contract| contract == "BTCUSDT"), "{swept:?}");
}

#[test]
fn a_stop_that_was_given_up_ends_with_everything_canceled() {
    for (open, contracts) in [(0, 0), (1, 2)] {
        let mut rig = Rig::new();
        rig.command(Plain::Stopped(Stopped { open }));
        rig.commands = None;
        assert_eq!(rig.swept(8).len(), contracts, "{open} orders open");
        assert_eq!(rig.gateway.is_dead_man(), open > 0);
    }
}

#[test]
fn an_engine_that_is_gone_has_everything_canceled_and_once_more_for_what_was_on_its_way() {
    let mut rig = Rig::new();
    rig.commands = None;
    assert_eq!(rig.swept(8), ["ETHUSDT", "BTCUSDT"]);
    assert!(!rig.gateway.is_over(), "creates may still appear");
    assert!(rig.gateway.deadline() <= rig.now.after(ZOMBIE_NS));
    rig.now = rig.now.after(ZOMBIE_NS);
    assert_eq!(rig.swept(8), ["ETHUSDT", "BTCUSDT"]);
    rig.step();
    assert!(rig.gateway.is_over() && rig.gateway.is_dead_man());
}
