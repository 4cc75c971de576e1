//! Order entry over REST, and connections that are renewed before the venue ends them: the product
//! against the simulated venue under virtual time.

use std::collections::BTreeMap;

use keel_core::command::CommandView;
use keel_core::event::{Event, FeedState, Measure, Source};
use keel_core::param::at;
use keel_core::units::{MILLIS, SECONDS};
use keel_io::clock::ORIGIN;
use keel_io::journal::TapKind;
use keel_io::memory::Block;
use keel_io::world::{
    Chance, FaultKind, FaultPlan, Note, Noted, PlannedFault, Route, World, WorldConfig,
};
use keel_tests::campaign::{Life, TAIL_REST_NS, live};

/// What the table of parameters calls `rest`.
const REST: i64 = 2;

/// What was seen of a world.
#[derive(Debug, Default)]
struct Seen {
    /// Orders entered on the socket, and over REST.
    on_socket: usize,
    over_rest: usize,
    /// Probes of the socket.
    probes: usize,
    /// What the engine was told of its streams.
    streams: BTreeMap<&'static str, usize>,
    /// How orders are entered, as the engine was told.
    entry: Vec<i64>,
    /// How often each execution was pushed to the engine.
    pushed: BTreeMap<u64, usize>,
    /// Ends of connections that had no other beside them.
    ended: Vec<Route>,
    booked: usize,
    /// Executions at the venue, which itself keeps the latest only.
    made: Vec<u64>,
}

impl Seen {
    fn take(&mut self, world: &mut World) {
        let account = world.exchange().venue().account(world.account());
        let last = self.made.last().copied();
        let new = account.fills().iter().rev().map(|fill| fill.trade.0);
        let mut new: Vec<u64> = new.take_while(|&trade| Some(trade) != last).collect();
        new.reverse();
        self.made.append(&mut new);
        for Noted { note, .. } in world.take_notes() {
            match note {
                Note::Sent { route: Route::Private, text } => {
                    let text = String::from_utf8_lossy(&text).into_owned();
                    self.on_socket += usize::from(text.contains("place"));
                    self.probes += usize::from(text.contains("\"id\":\"o-0-0-0\""));
                }
                Note::Sent { route: Route::Order, text } => {
                    let text = String::from_utf8_lossy(&text).into_owned();
                    self.over_rest += text.matches("clientOid").count();
                }
                Note::Ended { route: route @ (Route::Public | Route::Private) } => {
                    self.ended.push(route);
                }
                Note::Tap(tap) if tap.kind == TapKind::Event => self.event(&tap.slot),
                Note::Tap(tap) if tap.kind == TapKind::Command => {
                    let command = CommandView::decode(&tap.slot);
                    self.booked += usize::from(matches!(command, Ok(CommandView::Booked(_))));
                }
                _ => {}
            }
        }
    }

    fn event(&mut self, slot: &keel_core::layout::Slot) {
        match Event::decode(slot) {
            Ok(Event::Feed(feed)) => *self.streams.entry(feed.state.text()).or_default() += 1,
            Ok(Event::Fill(fill)) if fill.source != Source::Query => {
                *self.pushed.entry(fill.trade_id).or_default() += 1;
            }
            Ok(Event::Health(health)) if health.measure == Measure::OrderEntry => {
                self.entry.push(health.value);
            }
            _ => {}
        }
    }

    fn told(&self, state: FeedState) -> usize {
        self.streams.get(state.text()).copied().unwrap_or(0)
    }
}

/// Lets a calm world go on for so long, and stops it in order.
fn run(config: WorldConfig, length_ns: u64) -> Seen {
    let block = Block::default();
    let (mut world, mut seen) = (World::new(config, &block), Seen::default());
    world.run_until(ORIGIN.after(length_ns), |world| seen.take(world));
    world.stop();
    world.run_until(world.now().after(20 * SECONDS), |world| seen.take(world));
    assert!(world.has_stopped(), "an ordered stop");
    let account = world.exchange().venue().account(world.account());
    assert_eq!(account.open_orders().count(), 0, "nothing rests");
    let mut booked: Vec<u64> = world.booked().iter().map(|booked| booked.trade_id).collect();
    booked.sort_unstable();
    seen.made.sort_unstable();
    assert!(booked == seen.made, "every execution, once");
    assert_eq!(seen.booked, booked.len());
    seen
}

#[test]
fn orders_take_the_socket_where_the_venue_lets_them() {
    let seen = run(WorldConfig::calm(1), 30 * SECONDS);
    assert_eq!((seen.probes, seen.entry.as_slice()), (1, &[0][..]));
    assert!(seen.on_socket > 4 && seen.over_rest == 0, "{seen:?}");
}

#[test]
fn orders_take_rest_where_the_venue_refuses_them_on_the_socket() {
    let mut config = WorldConfig::calm(2);
    config.exchange.websocket_orders = false;
    let seen = run(config, 60 * SECONDS);
    assert_eq!((seen.probes, seen.entry.as_slice()), (1, &[1][..]));
    assert!(seen.over_rest > 4 && seen.on_socket == 0, "{seen:?}");
    assert!(seen.booked > 0, "it trades: {seen:?}");
}

#[test]
fn orders_take_rest_where_the_configuration_says_so() {
    let mut config = WorldConfig::calm(3);
    config.params.push((at::order_entry, REST));
    let seen = run(config, 30 * SECONDS);
    assert_eq!((seen.probes, seen.entry.as_slice()), (0, &[1][..]));
    assert!(seen.over_rest > 4 && seen.on_socket == 0, "{seen:?}");
}

#[test]
fn each_start_enters_orders_the_way_that_the_venue_lets_it_then() {
    let mut config = WorldConfig::calm(4);
    let kill = |at_s: u64| PlannedFault {
        at_ns: at_s * SECONDS,
        kind: FaultKind::KillOtherWay,
        seed: at_s,
    };
    config.faults = FaultPlan { faults: vec![kill(40), kill(120)], until_ns: 120 * SECONDS };
    let seen = run(config, 180 * SECONDS);
    assert_eq!((seen.probes, seen.entry.as_slice()), (3, &[0, 1, 0][..]));
    assert!(seen.on_socket > 8 && seen.over_rest > 4, "{seen:?}");
}

/// A life that enters its orders over REST, with these faults.
fn over_rest(seed: u64, kinds: &[FaultKind]) -> Life {
    let mut life = Life::calm(seed);
    life.world.params.push((at::order_entry, REST));
    let mut chance = Chance::new(seed, 102);
    life.world.faults =
        FaultPlan::drawn(&mut chance, kinds, 1_500 * MILLIS, 8 * SECONDS, 60 * SECONDS);
    life.tail_ns = TAIL_REST_NS;
    life
}

#[test]
fn an_order_over_rest_of_unknown_outcome_is_found_by_evidence_and_never_sent_again() {
    let kinds = [
        FaultKind::BadGatewayDone,
        FaultKind::BadGatewayLost,
        FaultKind::NoAnswer,
        FaultKind::CutAnswer,
        FaultKind::CutOrder,
        FaultKind::StallOrder,
        FaultKind::LateOrder,
        FaultKind::TooManyRequests,
        FaultKind::CutCancel,
        FaultKind::StallCancel,
        FaultKind::SpikeHttp,
        FaultKind::CutPrivate,
        FaultKind::DropPush,
    ];
    let mut counts = BTreeMap::new();
    for seed in 0..4 {
        let outcome = live(&over_rest(seed, &kinds));
        println!("{}: {} orders, {} fills", outcome.seed, outcome.orders, outcome.fills);
        assert!(outcome.violations.is_empty(), "{}", outcome.report());
        assert!(outcome.orders > 0);
        for kind in kinds {
            *counts.entry(kind.name()).or_insert(0) += outcome.counts.of(kind);
        }
    }
    println!("{counts:?}");
    assert!(counts.values().all(|&count| count > 0), "{counts:?}");
}

/// How the venue ends sessions in a test: after a day, or after five minutes that stand for it.
struct Age {
    session_s: u64,
    rotate_s: u64,
    length_s: u64,
}

/// A day's life of a session in five minutes: everything else is as it is.
const SCALED: Age = Age { session_s: 300, rotate_s: 250, length_s: 1_200 };

fn renewed(age: &Age, seed: u64, renews: bool) -> Seen {
    let mut config = WorldConfig::calm(seed);
    let ns = |seconds: u64| (seconds * SECONDS) as i64;
    config.exchange.limits.session_age_ns = Some(ns(age.session_s));
    if renews {
        config.params.push((at::session_rotate_s, ns(age.rotate_s)));
    }
    run(config, age.length_s * SECONDS)
}

#[test]
fn a_session_is_taken_over_from_before_the_venue_ends_it_and_nothing_is_lost_or_told_twice() {
    let seen = renewed(&SCALED, 4, true);
    assert_eq!(seen.ended, [], "no connection was ended by the venue");
    assert_eq!((seen.told(FeedState::Lost), seen.told(FeedState::Gap)), (0, 0), "{seen:?}");
    let turns = (SCALED.length_s / SCALED.rotate_s - 1) as usize;
    assert!(seen.told(FeedState::Rotated) >= 2 * turns, "both sockets: {:?}", seen.streams);
    assert_eq!(seen.told(FeedState::Live), 2, "the engine was never without: {:?}", seen.streams);
    assert!(seen.pushed.len() > 5, "{} executions", seen.pushed.len());
    assert!(seen.pushed.values().all(|&times| times == 1), "{:?}", seen.pushed);
    assert_eq!(seen.booked, seen.pushed.len(), "each by its push");
}

#[test]
fn without_it_the_venue_ends_the_session_and_the_engine_is_told() {
    let age = Age { length_s: 400, ..SCALED };
    let seen = renewed(&age, 4, false);
    assert!(seen.told(FeedState::Lost) >= 2 && seen.ended.len() >= 2, "{:?}", seen.streams);
}

/// Three days at their true length, with books and tickers shown less often so that it does not
/// take as long: `KEEL_TRUE_DAYS=3 cargo test --release -p keel_tests --test entry true_days`.
#[test]
fn true_days() {
    let days: u64 =
        std::env::var("KEEL_TRUE_DAYS").map_or(0, |days| days.parse().expect("a number"));
    let mut config = WorldConfig::calm(7);
    let second = SECONDS as i64;
    config.exchange.limits.session_age_ns = Some(86_400 * second);
    config.exchange.cadence.books_ns = second;
    config.exchange.cadence.ticker_ns = 2 * second;
    config.params.push((at::book_silence_ms, 10 * second));
    config.params.push((at::ticker_silence_ms, 20 * second));
    config.params.push((at::reconcile_light_s, 60 * second));
    config.params.push((at::reconcile_light_age_max_s, 120 * second));
    // Without a word, a minute shows that the world is as it says.
    let seen = run(config, (days * 86_400).max(60) * SECONDS);
    println!("{days} days: {:?}, {} executions", seen.streams, seen.pushed.len());
    assert_eq!(seen.ended, []);
    assert_eq!((seen.told(FeedState::Lost), seen.told(FeedState::Gap)), (0, 0));
    assert!(seen.told(FeedState::Rotated) as u64 >= 2 * days, "{:?}", seen.streams);
    assert_eq!(seen.told(FeedState::Live), 2, "{:?}", seen.streams);
    assert!(seen.pushed.values().all(|&times| times == 1));
}
