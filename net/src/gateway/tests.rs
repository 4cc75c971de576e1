use keel_core::command::{CancelCause, Countdown, Stopped};
use keel_core::gate::{AccountView, InstrumentView, Purpose, TimeInForce, View, submit};
use keel_core::param::{Params, Profile};
use keel_core::units::{Lots, Side, Ticks};
use keel_risk::FlattenGate;

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
    second: Option<Session>,
    /// How often the venue lists an order as open.
    open: usize,
    /// The contract whose orders the venue will not cancel all at once.
    refuses: &'static str,
    http: Client,
    order: Client,
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
            second: None,
            open: 0,
            refuses: "none",
            http: Client::new(BODY_BYTES_MAX),
            order: Client::new(BODY_BYTES_MAX),
            commands: Some(commands),
            events,
            now: MonoNanos(1_000 * SECONDS),
        }
    }

    /// A rig that enters orders over REST, and has been refused requests of `class` for their rate.
    fn refused(class: Class) -> Self {
        let mut rig = Self::new();
        rig.gateway.way = Way::Rest;
        for _ in 0..3 {
            rig.gateway.http.budget.refused(class, rig.now);
        }
        // Two remain, and one of them has been used.
        rig.gateway.http.budget.sent(class, rig.now);
        rig
    }

    /// A rig whose session is logged in and, unless `refused`, subscribed to everything.
    fn subscribed(refused: bool) -> Self {
        let mut rig = Self::new();
        assert!(rig.session.open(rig.now));
        let request = rig.sent();
        rig.receive(&peer::accept(&request));
        rig.gateway.adopt(0, &mut rig.session, UnixNanos(1), rig.now);
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
        let lines = Lines {
            sessions: [Some(&mut self.session), self.second.as_mut()],
            cancel: Some(&mut self.http),
            order: Some(&mut self.order),
        };
        self.gateway.step(lines, &|| now, UnixNanos(1), now);
    }

    fn command(&mut self, plain: Plain) {
        let dispatch = Dispatch { command: Command::Plain(plain), stamps: Stamps::default() };
        assert!(self.commands.as_mut().unwrap().push(dispatch).is_ok());
    }

    /// An order that was decided on at `made`: it closes a position of 10 lots.
    fn place(&mut self, made: MonoNanos) {
        let (rules, price, lots) = (btc(), Ticks(1_000_000), Lots(10));
        let intent = Intent {
            instrument: BTC,
            side: Side::Sell,
            price,
            lots,
            time_in_force: TimeInForce::Ioc,
            reduce_only: true,
            level: 0,
            purpose: Purpose::Flatten,
            made,
        };
        let view = InstrumentView {
            rules: Some(rules),
            touch: Some((price, price)),
            last_mid_x2: price.0 * 2,
            mark: rules.price(price),
            position: lots,
            ..InstrumentView::EMPTY
        };
        let params = Params::defaults(Profile::Wide);
        let (account, instruments) = (AccountView::EMPTY, [InstrumentView::EMPTY, view]);
        let view = View { params: &params, account: &account, instruments: &instruments };
        let client = ClientId { epoch: 3, number: 1 };
        let order = submit(&mut FlattenGate, intent, client, &view, made).expect("let through");
        let dispatch = Dispatch { command: Command::Place(order), stamps: Stamps::default() };
        assert!(self.commands.as_mut().unwrap().push(dispatch).is_ok());
    }

    /// How the gateway has answered for orders.
    fn outcomes(&mut self) -> Vec<Outcome> {
        let events = std::iter::from_fn(|| self.events.pop());
        let outcome = |arrival: Arrival| match arrival.event {
            Event::Reply(reply) => Some(reply.outcome),
            _ => None,
        };
        events.filter_map(outcome).collect()
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
        let listed = request.contains("/api/v3/trade/unfilled-orders");
        let row = r#"{"category":"USDT-FUTURES","symbol":"XYZUSDT"}"#;
        let rows = if listed && self.open > 0 { row } else { "" };
        self.open -= usize::from(!rows.is_empty());
        let all = request.contains("/api/v3/trade/cancel-symbol-order");
        let code = if all && request.contains(self.refuses) { "40014" } else { "00000" };
        let body = format!(
            r#"{{"code":"{code}","msg":"words","requestTime":1,"data":{{"list":[{rows}]}}}}"#
        );
        let response = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        assert_eq!(receive(&mut self.http, response.as_bytes(), self.now), response.len());
        if listed {
            return Some("list".to_owned());
        }
        if request.contains("/api/v3/trade/cancel-order") {
            return Some("one order".to_owned());
        }
        assert!(all, "{request}");
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

/// A message of several cancels that was refused by an error without its id was heard of by nobody:
/// the orders rested until each was chased.
#[test]
fn cancels_that_an_error_without_an_id_may_have_refused_go_the_other_way_in() {
    for (late, swept) in [(SECONDS, &["ETHUSDT", "BTCUSDT"][..]), (SECONDS + 1, &[])] {
        let mut rig = Rig::subscribed(false);
        rig.sent();
        (1..=3).for_each(|number| rig.command(cancel(number)));
        rig.step();
        assert_eq!(frames(&rig.sent()), 1, "they share a message");
        rig.now = rig.now.after(late);
        rig.receive(&peer::text(r#"{"event":"error","code":"30016","msg":"no such topic"}"#));
        assert_eq!(rig.swept(6), swept);
        (4..=6).for_each(|number| rig.command(cancel(number)));
        rig.step();
        assert_eq!(frames(&rig.sent()), if swept.is_empty() { 1 } else { 3 });
    }
}

/// Five single cancels in a second of a class of ten left half of it, and a soak asks for more: what
/// goes beyond the half takes the window of several at once, and nothing waits.
#[test]
fn single_cancels_leave_half_of_their_window_while_the_other_has_room() {
    let mut rig = Rig::subscribed(false);
    rig.sent();
    rig.gateway.http.budget.take_headroom(Rate(E8));
    let mut least = Vec::new();
    for number in 1..=7 {
        rig.command(cancel(number));
        rig.step();
        assert_eq!(frames(&rig.sent()), 1, "none waits");
        let headroom = rig.gateway.http.budget.take_headroom(Rate(E8));
        least.push(headroom.0 * 10 / E8);
    }
    assert_eq!(least, [9, 8, 7, 6, 8, 6, 5], "tenths left of the window that each went by");
}

/// A refusal for rate on the socket taught nothing: the next creates went out as fast as before.
/// The way over REST shares what it has taught.
#[test]
fn a_refusal_for_rate_on_the_socket_slows_creates_and_leaves_cancels_their_windows() {
    let left = |budget: &mut Budget, class, now| {
        let mut sent = 0;
        while budget.allows(class, Use::Trade, now) {
            budget.sent(class, now);
            sent += 1;
        }
        sent
    };
    let error = |id: &str, code| format!(r#"{{"event":"error","id":"{id}","code":"{code}"}}"#);
    let trade = |topic: &str, id: &str, args: &str| {
        format!(r#"{{"event":"trade","topic":"{topic}","id":"{id}","code":"0","args":[{args}]}}"#)
    };
    let row = r#"{"code":"429","symbol":"BTCUSDT","clientOid":"keel-mm1-3-1"}"#;
    let done = r#"{"code":"0","symbol":"BTCUSDT","clientOid":"keel-mm1-3-2"}"#;
    for (said, creates, cancels, batches) in [
        (error("p-1-3-1", 429), 4, 9, 4),
        (error("p-1-3-1", 30006), 4, 9, 4),
        (trade("place-order", "p-1-3-1", row), 4, 9, 4),
        // It names no request.
        (r#"{"event":"error","code":"30007","msg":"slow down"}"#.to_owned(), 4, 9, 4),
        // Too many orders rest, which is another thing.
        (error("p-1-3-1", 25211), 9, 9, 4),
        (error("p-1-3-1", 25202), 9, 9, 4),
        (error("c-1-3-1", 429), 9, 4, 4),
        (error("d-1-7-0", 429), 9, 9, 2),
        (trade("batch-cancel", "d-1-7-0", &[row, row, row].join(",")), 9, 9, 2),
        // It was charged to the window of single cancels.
        (trade("batch-cancel", "d-1-7-0", &[done, row].join(",")), 9, 9, 2),
    ] {
        let mut rig = Rig::subscribed(false);
        rig.receive(&peer::text(&said));
        rig.step();
        let (budget, now) = (&mut rig.gateway.http.budget, rig.now);
        let found =
            [Class::Place, Class::Cancel, Class::CancelBatch].map(|class| left(budget, class, now));
        assert_eq!(found, [creates, cancels, batches], "{said}");
    }
}

/// How many messages there are in what a session has sent.
fn frames(mut bytes: &[u8]) -> usize {
    let mut frames = 0;
    while let Some(length) = bytes.get(1).map(|length| usize::from(length & 0x7F)) {
        let (head, length) = match length {
            126 => (8, usize::from(u16::from_be_bytes([bytes[2], bytes[3]]))),
            length => (6, length),
        };
        bytes = &bytes[head + length..];
        frames += 1;
    }
    frames
}

/// After a refusal for its rate two requests a second end all orders of two contracts. A single
/// cancel was dropped in favor of such a one that stood behind those of nine other contracts.
#[test]
fn a_single_cancel_does_not_wait_for_one_that_ends_all_orders_of_its_contract() {
    let mut rig = Rig::refused(Class::CancelAll);
    rig.command(Plain::CancelAll(CancelAll { instrument: InstrumentId::ALL }));
    assert_eq!(rig.swept(4), ["ETHUSDT"]);
    rig.command(cancel(1));
    rig.command(cancel(1));
    assert_eq!(rig.swept(8), ["one order"]);
    rig.now = rig.now.after(2 * SECONDS);
    assert_eq!(rig.swept(8), ["BTCUSDT"]);
}

/// Two orders rested half a second longer: the request for several at once had been refused for
/// its rate a while before, and single ones were free.
#[test]
fn cancels_that_may_not_go_together_go_one_by_one() {
    let mut rig = Rig::refused(Class::CancelBatch);
    rig.gateway.http.budget.sent(Class::CancelBatch, rig.now);
    rig.command(cancel(1));
    rig.command(cancel(2));
    assert_eq!(rig.swept(8), ["one order", "one order"]);
}

/// A contract that the venue would not cancel was asked about before any other, again and again,
/// until the dead-man gave up: orders of the others rested.
#[test]
fn a_contract_that_the_venue_refuses_to_cancel_keeps_no_other_waiting() {
    let mut rig = Rig::new();
    rig.refuses = "ETHUSDT";
    rig.commands = None;
    assert_eq!(rig.swept(4), ["ETHUSDT"]);
    rig.now = rig.now.after(SECONDS / 4);
    assert_eq!(rig.swept(4), ["BTCUSDT", "ETHUSDT"]);
}

/// Single cancels were dropped once the request that ends all orders of their contract was sent;
/// the venue refused it, and the orders rested. One that comes while it is under way may mean an
/// order that it does not end.
#[test]
fn single_cancels_wait_until_all_orders_of_their_contract_have_ended() {
    for refuses in ["none", "BTCUSDT"] {
        let mut rig = Rig::new();
        (rig.gateway.way, rig.refuses) = (Way::Rest, refuses);
        rig.command(cancel(1));
        rig.command(Plain::CancelAll(CancelAll { instrument: BTC }));
        let mut swept = rig.swept(2);
        for _ in 0..5 {
            rig.now = rig.now.after(SECONDS / 4);
            swept.extend(rig.swept(3));
        }
        let singly = swept.contains(&"one order".to_owned());
        assert_eq!((&swept[0][..], singly), ("BTCUSDT", refuses == "BTCUSDT"), "{swept:?}");
    }
    let mut rig = Rig::new();
    rig.gateway.way = Way::Rest;
    rig.command(Plain::CancelAll(CancelAll { instrument: BTC }));
    rig.step();
    rig.command(cancel(1));
    assert_eq!(rig.swept(8), ["BTCUSDT", "one order"]);
}

/// The gate looks at an intent's age, but its order may wait in the link: on the socket one was
/// sent however old it had become.
#[test]
fn an_order_that_has_become_too_old_on_its_way_is_not_sent_by_either_way() {
    for (way, late, outcomes) in [
        (Way::Socket, 0, &[][..]),
        (Way::Socket, 1, &[Outcome::NotSent]),
        (Way::Rest, 1, &[Outcome::NotSent]),
    ] {
        let mut rig = Rig::subscribed(false);
        rig.gateway.way = way;
        rig.sent();
        let made = rig.now;
        rig.now = made.after(INTENT_TTL_NS + late);
        rig.place(made);
        rig.step();
        assert_eq!(rig.outcomes(), outcomes, "{way:?} {late}");
        assert_eq!(rig.sent().is_empty(), late > 0, "{way:?} {late}");
        assert!(rig.order.transmit().is_empty(), "{way:?} {late}");
    }
}

#[test]
fn a_contract_that_is_named_comes_before_those_that_are_meant_with_all() {
    let mut rig = Rig::new();
    rig.command(Plain::CancelAll(CancelAll { instrument: BTC }));
    rig.command(Plain::CancelAll(CancelAll { instrument: InstrumentId::ALL }));
    assert_eq!(rig.swept(8), ["BTCUSDT", "ETHUSDT"]);
}

#[test]
fn a_stop_that_was_given_up_ends_with_everything_canceled() {
    for (open, asked) in [(0, &[][..]), (1, &["ETHUSDT", "BTCUSDT", "list", "list"])] {
        let mut rig = Rig::new();
        rig.command(Plain::Stopped(Stopped { open }));
        rig.commands = None;
        assert_eq!(rig.swept(16), asked, "{open} orders open");
        assert_eq!(rig.gateway.is_dead_man(), open > 0);
    }
}

#[test]
fn an_engine_that_is_gone_has_everything_canceled_and_zero_read_back_twice_and_once_more_later() {
    let mut rig = Rig::new();
    rig.commands = None;
    // The first list still shows an order.
    rig.open = 1;
    let round = ["ETHUSDT", "BTCUSDT", "list"];
    assert_eq!(rig.swept(24), [&round[..], &round, &["list"]].concat());
    assert!(!rig.gateway.is_over(), "creates may still appear");
    assert!(rig.gateway.deadline() <= rig.now.after(ZOMBIE_NS));
    rig.now = rig.now.after(ZOMBIE_NS);
    assert_eq!(rig.swept(24), [&round[..], &["list"]].concat());
    rig.step();
    assert!(rig.gateway.is_over() && rig.gateway.is_dead_man() && rig.gateway.is_verified());
}

/// The last round came after three seconds, however long a create was allowed to be on its way.
#[test]
fn a_dead_man_looks_again_once_no_create_may_appear_any_more() {
    let mut rig = Rig::new();
    let zombie_ns = [11 * SECONDS, 40 * SECONDS];
    rig.gateway = rig.gateway.with_entry(Choice::WebSocket, INTENT_TTL_NS, zombie_ns);
    rig.commands = None;
    rig.swept(24);
    rig.now = rig.now.after(10 * SECONDS);
    assert!(rig.swept(24).is_empty() && !rig.gateway.is_over());
    rig.now = rig.now.after(SECONDS);
    assert_eq!(rig.swept(24), ["ETHUSDT", "BTCUSDT", "list", "list"]);
    rig.step();
    assert!(rig.gateway.is_over() && rig.gateway.is_verified());
}

#[test]
fn a_dead_man_that_reads_no_zero_back_gives_up_and_says_so() {
    let mut rig = Rig::new();
    rig.commands = None;
    rig.open = usize::MAX;
    rig.swept(8);
    rig.now = rig.now.after(ZOMBIE_NS + DEAD_MAN_NS_MAX);
    rig.swept(8);
    assert!(rig.gateway.is_over() && !rig.gateway.is_verified());
}

#[test]
fn the_venues_own_switch_is_wound_when_nothing_is_to_be_canceled_and_its_word_is_passed_on() {
    let mut rig = Rig::subscribed(false);
    rig.step();
    for (body, expected) in [
        (r#"{"code":"00000","msg":"success","data":"success"}"#, Some(10)),
        (r#"{"code":"40014","msg":"no","data":null}"#, Some(-1)),
        ("<html>", None),
        (r#"{"code":"30007","msg":"slow down","data":null}"#, Some(-1)),
    ] {
        assert_eq!(rig.gateway.http.budget.refusals(), 0);
        rig.now = rig.now.after(2 * SECONDS);
        rig.command(Plain::Countdown(Countdown { seconds: 10 }));
        rig.step();
        let request = String::from_utf8(rig.http.transmit().to_vec()).unwrap();
        assert!(request.contains("/api/v3/trade/countdown-cancel-all"), "{request}");
        assert!(request.ends_with(r#"{"countdown":"10"}"#), "{request}");
        rig.http.sent(request.len(), rig.now);
        let response = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        receive(&mut rig.http, response.as_bytes(), rig.now);
        rig.step();
        let mut told = None;
        while let Some(arrival) = rig.events.pop() {
            if let Event::Health(Health { measure: Measure::Countdown, value }) = arrival.event {
                told = Some(value);
            }
        }
        assert_eq!(told, expected, "{body}");
    }
    assert_eq!(rig.gateway.http.budget.refusals(), 1, "with HTTP 200 too, a code says it");
}

#[test]
fn a_request_under_way_and_a_connection_that_is_gone_are_not_waited_for_without_pause() {
    // Found by the campaign: with the next one due, the gateway asked to be stepped at once, for
    // as long as the answer took.
    let mut rig = Rig::subscribed(false);
    rig.sent();
    for _ in 0..2 {
        rig.command(Plain::Countdown(Countdown { seconds: 10 }));
        rig.step();
        assert_eq!(rig.gateway.deadline(), MonoNanos::NEVER, "an answer is awaited");
    }
    rig.http.closed(false, rig.now);
    rig.step();
    assert_eq!(rig.gateway.deadline(), MonoNanos::NEVER, "a connection is awaited");
}
