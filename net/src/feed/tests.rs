//! A feed with sessions whose venue is written by hand.

use super::*;
use crate::bitget::tests::btc;
use crate::link::{WhenFull, link};
use crate::proto::session::{Cause, Settings};
use crate::proto::{Protocol, receive};

use crate::proto::ws::peer;

const TICKER: &str = concat!(
    r#"{"action":"snapshot","arg":{"instType":"usdt-futures","topic":"ticker","#,
    r#""symbol":"BTCUSDT"},"data":[{"lastPrice":"100000","bid1Price":"100000","#,
    r#""ask1Price":"100000.1","markPrice":"100000"}],"ts":1}"#
);

/// Opens a session on which BTCUSDT is subscribed to, and shows `texts` before any answer.
fn story(texts: &[&str]) -> Vec<Event> {
    let now = MonoNanos(1_000 * SECONDS);
    let (to_engine, mut events) = link("public", 64, WhenFull::HardStop);
    let (_asks, asked) = link("asked", 4, WhenFull::AskFirst);
    let mut feed = Feed::new(Directory::new(&[btc()]), to_engine, asked);
    let settings = Settings::new("ws.example", "/v3/ws/public", false);
    let mut session = Session::new(settings, [7; 32]);
    assert!(session.open(now));
    let request = session.transmit().to_vec();
    session.sent(request.len(), now);
    receive(&mut session, &peer::accept(&request), now);
    assert!(matches!(session.next(now), Some(Incoming::Opened)));
    feed.adopt(0, &mut session, now);
    for text in texts {
        receive(&mut session, &peer::text(text), now);
        feed.step([Some(&mut session), None], &|| now, now);
    }
    assert_eq!(session.state(), State::Syncing, "subscriptions are unanswered");
    for _ in 0..2 {
        session.fail(Cause::Unconnected, now);
        feed.step([Some(&mut session), None], &|| now, now);
    }
    std::iter::from_fn(|| events.pop()).map(|arrival| arrival.event).collect()
}

/// Seed 150002965: the first book came before the answer to the last subscription, the connection
/// was cut in between, and quotes were made by that book until it was too old.
#[test]
fn what_a_session_showed_before_it_was_live_is_lost_with_it() {
    let told = story(&[TICKER]);
    assert!(matches!(told[0], Event::Ticker(_)), "{told:?}");
    let lost =
        |event: &Event| matches!(event, Event::Feed(event::Feed { state: FeedState::Lost, .. }));
    assert_eq!(told[1..].iter().filter(|event| lost(event)).count(), 1, "{told:?}");
    assert_eq!(story(&[]), [], "nothing was shown, and nothing is lost");
}
