//! What users of such systems have lost money by, and what this table does instead.

use std::boxed::Box;
use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::param::Profile;
use crate::planted::Planted;
use crate::units::{Quote, UnixNanos};
use crate::words::Words;

mod exhaust;

const BTC: InstrumentId = InstrumentId(0);
const ZOMBIE: u64 = 3 * SECONDS;

fn table_of(slots: usize) -> OrderTable<'static> {
    let mut table = OrderTable::new(
        Box::leak(vec![Slot::EMPTY; slots].into_boxed_slice()),
        Box::leak(vec![Tally::EMPTY; 2].into_boxed_slice()),
        Box::leak(vec![Orphan::EMPTY; 4].into_boxed_slice()),
    );
    table.begin(7);
    table.configure(&Params::defaults(Profile::Wide), false);
    table
}

fn ms(millis: u64) -> MonoNanos {
    MonoNanos(millis * MILLIS)
}

fn intent(side: Side, price: i64, lots: i64, level: u8) -> Intent {
    let (price, lots) = (Ticks(price), Lots(lots));
    Intent { instrument: BTC, side, price, lots, level, ..Slot::EMPTY.intent }
}

fn place(table: &mut OrderTable<'_>, lots: i64, now: MonoNanos) -> ClientId {
    place_intent(table, intent(Side::Buy, 100, lots, 0), now)
}

fn place_intent(table: &mut OrderTable<'_>, intent: Intent, now: MonoNanos) -> ClientId {
    let client = table.next_client().expect("room");
    table.placed(&OrderSpec { client, intent }, now);
    client
}

/// A push of the buy of 10 lots at 100, the venue's id being 1000 and the order's number.
fn push(client: ClientId, status: OrderStatus, filled: i64) -> OrderUpdate {
    OrderUpdate {
        instrument: BTC,
        client,
        order_id: 1_000 + client.number,
        side: Side::Buy,
        status,
        price: Ticks(100),
        lots: Lots(10),
        filled: Lots(filled),
        reason: CancelReason::None,
        reduce_only: false,
        source: Source::Push,
        ts: UnixNanos(0),
    }
}

fn query(client: ClientId, status: OrderStatus, filled: i64) -> OrderUpdate {
    OrderUpdate { source: Source::Query, ..push(client, status, filled) }
}

fn fill(client: ClientId, trade_id: u64, lots: i64) -> Fill {
    Fill {
        instrument: BTC,
        client,
        order_id: 1_000 + client.number,
        trade_id,
        side: Side::Buy,
        maker: true,
        price: Ticks(100),
        lots: Lots(lots),
        fee: Quote::ZERO,
        fee_known: true,
        source: Source::Push,
        ts: UnixNanos(0),
    }
}

fn reply(client: ClientId, request: RequestKind, outcome: Outcome) -> Reply {
    let class = RejectClass::None;
    let message = Words::NONE;
    Reply { instrument: BTC, client, request, outcome, order_id: 0, code: 0, class, message }
}

fn view(table: &OrderTable<'_>) -> InstrumentView {
    let mut view = InstrumentView::EMPTY;
    table.fill_view(BTC, &mut view);
    view
}

fn state(table: &OrderTable<'_>, client: ClientId) -> OrderState {
    table.order(client).expect("in the table").state
}

fn live(table: &mut OrderTable<'_>, lots: i64, now: MonoNanos) -> ClientId {
    let client = place(table, lots, now);
    table.on_update(&push(client, OrderStatus::Live, 0), now, now);
    assert_eq!(state(table, client), OrderState::Live);
    client
}

fn overdue(table: &mut OrderTable<'_>, now: MonoNanos) -> Vec<Chase> {
    std::iter::from_fn(|| table.overdue(now)).map(|overdue| overdue.chase).collect()
}

/// Counts everything anew from the slots and compares.
fn audit(table: &OrderTable<'_>) {
    let mut sums = [(0i64, 0u16, 0i128, None, 0u32); 2];
    let (mut unknown, mut ended) = (0, 0u64);
    for slot in table.slots.iter() {
        ended = ended.wrapping_add(slot.ended_hash());
        let exposure = slot.exposure(Planted::NONE);
        assert_eq!(slot.linked, exposure.linked());
        let sum = &mut sums[slot.intent.side.index()];
        sum.0 += exposure.lots.0;
        sum.1 += u16::from(exposure.open);
        sum.2 += i128::from(exposure.lots.0) * i128::from(slot.intent.price.0);
        unknown += u32::from(exposure.unknown);
        if exposure.open {
            let price = slot.intent.price;
            if sum.3.is_none_or(|best| slot.intent.side.better(price, best)) {
                sum.3 = Some(price);
            }
            sum.4 |= 1 << slot.intent.level;
        }
    }
    let tally = &table.tallies[0];
    for (side, sum) in sums.iter().enumerate() {
        let kept = (tally.lots[side].0, tally.orders[side], tally.best[side], tally.levels[side]);
        assert_eq!(kept, (sum.0, sum.1, sum.3, sum.4));
    }
    assert_eq!(tally.value, sums[0].2 + sums[1].2);
    assert_eq!((table.unknown, u32::from(tally.unknown)), (unknown, unknown));
    assert_eq!(table.open, u32::from(sums[0].1 + sums[1].1));
    assert_eq!(table.ended, ended);
}

#[test]
fn a_create_without_an_answer_is_no_failure_its_size_counts_and_its_level_stays_taken() {
    // Ghost fills: a network error at create, the order was forgotten, six dead buys filled.
    let mut table = table_of(8);
    let client = place(&mut table, 10, ms(0));
    assert_eq!(table.deadline(), ms(1_000));
    assert_eq!(overdue(&mut table, ms(999)), []);
    assert_eq!(overdue(&mut table, ms(1_000)), [Chase::AckTimeout]);
    assert_eq!(state(&table, client), OrderState::Unknown);
    let seen = view(&table);
    assert_eq!((seen.open_lots[0], seen.open_orders[0]), (Lots(10), 1));
    assert_eq!((seen.levels[0], seen.unknown_orders), (1, 1));
    let filled = table.on_fill(&fill(client, 1, 10), ms(9_000));
    assert_eq!(filled.done.map(|done| done.filled), Some(Lots(10)));
    assert_eq!(view(&table).open_lots[0], Lots(0));
    audit(&table);
}

#[test]
fn an_unknown_order_is_asked_for_again_and_again_and_never_sent_again() {
    // A time-out treated as failure: a duplicate ladder each cycle.
    let mut table = table_of(8);
    let client = place(&mut table, 10, ms(0));
    let answer = reply(client, RequestKind::Place, Outcome::Unknown);
    assert!(table.on_reply(&answer, ms(1)).ask);
    let mut asked = vec![];
    for now in 0..20_000 {
        asked.extend(overdue(&mut table, ms(now)).into_iter().map(|chase| (now, chase)));
    }
    assert_eq!(asked[..3], [(201, Chase::Ask), (601, Chase::Cancel), (1_401, Chase::Ask)]);
    assert!(asked.len() > 8 && asked[2..].windows(2).all(|pair| pair[1].0 - pair[0].0 <= 2_000));
    assert_eq!(state(&table, client), OrderState::Unknown);
    assert_ne!(table.next_client(), Some(client));
}

#[test]
fn refused_cancels_do_not_hasten_the_questions_about_an_order() {
    // A push of an end was lost while questions were slow. Each refused cancel had the order asked
    // for at once and canceled 200 ms later: the questions of the next minute stood behind theirs.
    let mut table = table_of(8);
    let client = place(&mut table, 10, ms(0));
    table.on_update(&push(client, OrderStatus::Live, 0), ms(1), ms(1));
    table.cancel_sent(client, ms(2));
    let refused = reply(client, RequestKind::Cancel, Outcome::Rejected);
    let (mut asked, mut canceled) = (0, 0);
    for now in 3..20_000 {
        for chase in overdue(&mut table, ms(now)) {
            asked += 1;
            if matches!(chase, Chase::Cancel | Chase::CancelAll) {
                canceled += 1;
                table.cancel_sent(client, ms(now));
                asked += u32::from(table.on_reply(&refused, ms(now)).ask);
            }
        }
    }
    assert!((5..=14).contains(&asked), "{asked} questions in 20 s");
    assert!((5..=14).contains(&canceled), "{canceled} cancels in 20 s");
}

#[test]
fn an_order_that_appears_29_seconds_later_is_managed_from_then_on() {
    let mut table = table_of(8);
    let client = place(&mut table, 10, ms(0));
    overdue(&mut table, ms(1_000));
    for now in [ms(3_500), ms(8_000)] {
        table.on_update(&query(client, OrderStatus::NotFound, 0), now, now);
        assert_eq!(view(&table).open_lots[0], Lots(10), "one source is no proof");
    }
    table.on_update(&push(client, OrderStatus::Live, 0), ms(29_000), ms(29_000));
    assert_eq!(state(&table, client), OrderState::Live);
    assert_eq!(table.unknown_orders(), 0);
}

#[test]
fn an_order_is_dead_only_when_two_sources_asked_after_the_zombie_window_deny_it() {
    let denial = |client| query(client, OrderStatus::NotFound, 0);
    for (by_client, by_list, dead) in [
        (Some(3_001), Some(3_001), true),
        (Some(3_000), Some(3_001), false),
        (Some(3_001), Some(3_000), false),
        (Some(9_000), None, false),
        (None, Some(9_000), false),
    ] {
        for list_first in [false, true] {
            let mut table = table_of(8);
            let client = place(&mut table, 10, ms(0));
            overdue(&mut table, ms(1_000));
            let deny = |table: &mut OrderTable<'_>, list: bool| match (list, by_list, by_client) {
                (true, Some(asked), _) => {
                    table.list_ended(BTC, ms(asked), ms(9_500));
                }
                (false, _, Some(asked)) => {
                    table.on_update(&denial(client), ms(asked), ms(9_500));
                }
                (true, None, _) | (false, _, None) => {}
            };
            // A list that denies has the order asked for once more.
            for list in [list_first, !list_first, false] {
                deny(&mut table, list);
            }
            assert_eq!(
                state(&table, client) == OrderState::Done,
                dead,
                "{by_client:?} {by_list:?}"
            );
            audit(&table);
        }
    }
}

#[test]
fn a_cancel_acknowledged_is_not_the_end_and_a_late_fill_counts() {
    // Orders reported as canceled, filled at the exchange, the fill never recorded.
    let mut table = table_of(8);
    let client = live(&mut table, 10, ms(0));
    table.cancel_sent(client, ms(10));
    let ack = reply(client, RequestKind::Cancel, Outcome::Received);
    assert_eq!(table.on_reply(&ack, ms(20)), Effect::default());
    assert_eq!(state(&table, client), OrderState::PendingCancel);
    assert_eq!(view(&table).open_lots[0], Lots(10));
    table.on_fill(&fill(client, 1, 4), ms(30));
    assert_eq!(view(&table).open_lots[0], Lots(6));
    let ended = table.on_update(&push(client, OrderStatus::Canceled, 4), ms(40), ms(40));
    assert_eq!(ended.done.map(|done| done.filled), Some(Lots(4)));
    let late = table.on_fill(&fill(client, 2, 6), ms(60_000));
    assert_eq!((late.contradiction, late.unexpected, late.done), (None, false, None));
    let slot = table.order(client).expect("remembered");
    assert_eq!((slot.state, slot.booked), (OrderState::Done, Lots(10)));
    audit(&table);
}

#[test]
fn a_cancel_refused_because_the_order_is_not_there_is_followed_by_a_question() {
    // Stuck canceling for days: the order no longer existed.
    let mut table = table_of(8);
    let client = live(&mut table, 10, ms(0));
    table.cancel_sent(client, ms(10));
    let refused = Reply {
        class: RejectClass::NotFound,
        ..reply(client, RequestKind::Cancel, Outcome::Rejected)
    };
    let effect = table.on_reply(&refused, ms(20));
    assert!(effect.ask && effect.done.is_none());
    assert_eq!(view(&table).open_lots[0], Lots(10), "it may have been executed");
    table.on_update(&query(client, OrderStatus::Filled, 10), ms(30), ms(50));
    assert_eq!(state(&table, client), OrderState::Done);
    assert_eq!(view(&table).open_lots[0], Lots(10), "its executions are not booked yet");
    table.on_fill(&Fill { source: Source::Query, ..fill(client, 1, 10) }, ms(90));
    assert_eq!(view(&table).open_lots[0], Lots(0));
}

/// A cancel overtook its create and was refused. That the order rested was asked for and answered
/// 20 ms later; it was canceled again 200 ms after that, by a book that was 1.7 s old then.
#[test]
fn an_order_that_rests_after_its_cancel_was_refused_can_be_canceled_again_at_once() {
    let mut table = table_of(8);
    let client = live(&mut table, 10, ms(0));
    let refused = reply(client, RequestKind::Cancel, Outcome::Rejected);
    let rests = query(client, OrderStatus::Live, 0);
    table.cancel_sent(client, ms(10));
    table.on_update(&rests, ms(11), ms(12));
    table.on_reply(&refused, ms(20));
    table.on_update(&rests, ms(19), ms(21));
    assert_eq!(state(&table, client), OrderState::PendingCancel, "asked too early to tell");
    table.on_update(&rests, ms(20), ms(30));
    assert_eq!(state(&table, client), OrderState::Live);
    table.cancel_sent(client, ms(30));
    table.on_update(&rests, ms(40), ms(50));
    assert_eq!(state(&table, client), OrderState::PendingCancel, "this one may be on its way");
}

#[test]
fn executions_that_the_venue_speaks_of_count_as_open_until_booked_and_are_asked_for() {
    // A fill frame dropped while heartbeats flow.
    let mut table = table_of(8);
    let client = live(&mut table, 10, ms(0));
    table.on_update(&push(client, OrderStatus::Filled, 10), ms(10), ms(10));
    assert_eq!(table.open_orders(), 0);
    assert_eq!(view(&table).open_lots[0], Lots(10));
    assert_eq!(view(&table).levels[0], 0);
    assert_eq!(overdue(&mut table, ms(1_010)), [Chase::Fills]);
    assert_eq!(overdue(&mut table, ms(1_410)), [Chase::Fills]);
    table.on_fill(&fill(client, 1, 10), ms(1_500));
    assert_eq!(view(&table).open_lots[0], Lots(0));
    assert_eq!(overdue(&mut table, ms(60_000)), []);
    audit(&table);
}

#[test]
fn a_partial_fill_that_races_its_cancel_counts_by_fills_not_by_the_order_s_word() {
    let mut table = table_of(8);
    let client = live(&mut table, 10, ms(0));
    table.cancel_sent(client, ms(10));
    table.on_update(&push(client, OrderStatus::Canceled, 0), ms(20), ms(20));
    table.on_fill(&fill(client, 1, 3), ms(21));
    let slot = table.order(client).expect("remembered");
    assert_eq!((slot.state, slot.booked, slot.reported), (OrderState::Done, Lots(3), Lots(3)));
    assert_eq!(slot.exposed(), Lots(0));
}

#[test]
fn a_thousand_partial_fills_on_one_order_are_counted_exactly() {
    let mut table = table_of(8);
    let client = place_intent(&mut table, intent(Side::Buy, 100, 1_000, 0), ms(0));
    for n in 1..=1_000 {
        let effect = table.on_fill(&fill(client, n, 1), ms(1));
        assert_eq!(view(&table).open_lots[0], Lots(1_000 - n.cast_signed()));
        assert_eq!(effect.done.is_some(), n == 1_000);
    }
}

#[test]
fn more_executed_than_ordered_is_a_contradiction_at_once() {
    let mut table = table_of(8);
    let client = live(&mut table, 10, ms(0));
    assert_eq!(table.on_fill(&fill(client, 1, 9), ms(1)).contradiction, None);
    let over = table.on_fill(&fill(client, 2, 2), ms(2)).contradiction;
    assert_eq!(over, Some(Contradiction::Overfill));
    assert_eq!(table.order(client).map(|slot| slot.booked), Some(Lots(11)), "money is not refused");
    audit(&table);
}

#[derive(Clone, Copy, Debug)]
enum News {
    Update(OrderStatus, i64),
    Fill(u64, i64),
    Reply(RequestKind, Outcome),
}

/// Gives `news` in every order (each as often as it stands there), and wants one final state.
fn every_order_ends_alike(news: &[News], cancel: bool, booked: i64) {
    let mut order: Vec<usize> = (0..news.len()).collect();
    let mut runs = 0;
    permute(&mut order, 0, &mut |order| {
        let mut table = table_of(8);
        let client = place(&mut table, 10, ms(0));
        if cancel {
            table.cancel_sent(client, ms(0));
        }
        let mut trades = vec![];
        for &n in order {
            let effect = match news[n] {
                News::Update(status, filled) => {
                    table.on_update(&push(client, status, filled), ms(1), ms(1))
                }
                News::Reply(request, outcome) => {
                    table.on_reply(&reply(client, request, outcome), ms(1))
                }
                News::Fill(id, _) if trades.contains(&id) => continue,
                News::Fill(id, lots) => {
                    trades.push(id);
                    table.on_fill(&fill(client, id, lots), ms(1))
                }
            };
            assert_eq!(effect.contradiction, None, "{order:?}");
        }
        let slot = table.order(client).expect("remembered");
        let end = (slot.state, slot.booked, slot.reported, slot.exposed(), table.open_orders());
        assert_eq!(end, (OrderState::Done, Lots(booked), Lots(booked), Lots(0), 0), "{order:?}");
        audit(&table);
        runs += 1;
    });
    assert_eq!(runs, (1..=news.len()).product::<usize>());
}

fn permute(order: &mut Vec<usize>, from: usize, visit: &mut impl FnMut(&[usize])) {
    if from == order.len() {
        return visit(order);
    }
    for n in from..order.len() {
        order.swap(from, n);
        permute(order, from + 1, visit);
        order.swap(from, n);
    }
}

#[test]
fn news_of_a_filled_order_end_alike_in_every_order() {
    every_order_ends_alike(
        &[
            News::Reply(RequestKind::Place, Outcome::Received),
            News::Update(OrderStatus::Live, 0),
            News::Update(OrderStatus::PartiallyFilled, 4),
            News::Fill(1, 4),
            News::Fill(2, 6),
            News::Update(OrderStatus::Filled, 10),
        ],
        false,
        10,
    );
}

#[test]
fn news_of_an_order_canceled_in_part_end_alike_in_every_order() {
    every_order_ends_alike(
        &[
            News::Reply(RequestKind::Place, Outcome::Unknown),
            News::Reply(RequestKind::Cancel, Outcome::Received),
            News::Update(OrderStatus::Live, 0),
            News::Update(OrderStatus::PartiallyFilled, 4),
            News::Fill(1, 4),
            News::Update(OrderStatus::Canceled, 4),
        ],
        true,
        4,
    );
}

#[test]
fn news_told_twice_end_alike_in_every_order() {
    every_order_ends_alike(
        &[
            News::Update(OrderStatus::Live, 0),
            News::Update(OrderStatus::Live, 0),
            News::Fill(1, 4),
            News::Fill(1, 4),
            News::Reply(RequestKind::Cancel, Outcome::Unknown),
            News::Update(OrderStatus::Canceled, 4),
            News::Update(OrderStatus::Canceled, 4),
        ],
        true,
        4,
    );
}

#[test]
fn a_push_of_a_live_order_after_its_end_changes_nothing_and_has_it_asked_for() {
    // After a reconnect the venue pushes old orders as new.
    let mut table = table_of(8);
    let client = live(&mut table, 10, ms(0));
    table.on_update(&push(client, OrderStatus::Canceled, 0), ms(10), ms(10));
    let effect = table.on_update(&push(client, OrderStatus::Live, 0), ms(90_000), ms(90_000));
    assert!(effect.unexpected && effect.ask && effect.contradiction.is_none());
    assert_eq!((state(&table, client), table.open_orders()), (OrderState::Done, 0));
    assert_eq!(table.unexpected(), 1);
}

#[test]
fn an_ended_order_that_a_query_finds_alive_well_after_its_end_is_a_contradiction_and_tracked() {
    let mut table = table_of(8);
    let client = live(&mut table, 10, ms(0));
    table.on_update(&push(client, OrderStatus::Canceled, 0), ms(10), ms(10));
    let alive = query(client, OrderStatus::Live, 0);
    assert_eq!(table.on_update(&alive, ms(10), ms(90)), Effect::default(), "asked before the end");
    let early = table.on_update(&alive, ms(3_010), ms(3_020));
    assert_eq!((early.contradiction, early.unexpected), (None, true), "an index may lag");
    let late = table.on_update(&alive, ms(3_011), ms(3_020));
    assert_eq!(late.contradiction, Some(Contradiction::Revived));
    assert_eq!(view(&table).open_lots[0], Lots(10), "what lives counts");
    table.on_update(&push(client, OrderStatus::Canceled, 0), ms(4_000), ms(4_000));
    assert_eq!(view(&table).open_lots[0], Lots(0));
}

#[test]
fn answers_that_belong_to_another_order_are_a_contradiction() {
    let mut table = table_of(8);
    let client = live(&mut table, 10, ms(0));
    let swapped = Reply { order_id: 5, ..reply(client, RequestKind::Place, Outcome::Received) };
    let mismatch = Some(Contradiction::Mismatch);
    assert_eq!(table.on_reply(&swapped, ms(1)).contradiction, mismatch);
    let base = push(client, OrderStatus::Live, 0);
    for wrong in [
        OrderUpdate { side: Side::Sell, ..base },
        OrderUpdate { price: Ticks(101), ..base },
        OrderUpdate { lots: Lots(11), ..base },
        OrderUpdate { filled: Lots(11), ..base },
        OrderUpdate { filled: Lots(-1), ..base },
        OrderUpdate { instrument: InstrumentId(1), ..base },
    ] {
        assert_eq!(table.on_update(&wrong, ms(1), ms(1)).contradiction, mismatch);
    }
    let wrong = Fill { side: Side::Sell, ..fill(client, 1, 1) };
    assert_eq!(table.on_fill(&wrong, ms(1)).contradiction, mismatch);
    assert_eq!(view(&table).open_lots, [Lots(10), Lots(0)]);
}

#[test]
fn a_create_doubled_on_the_way_makes_a_twin_that_counts() {
    let mut table = table_of(8);
    let client = live(&mut table, 10, ms(0));
    table.on_fill(&fill(client, 1, 10), ms(1));
    let twin = OrderUpdate { order_id: 9_999, ..push(client, OrderStatus::Live, 0) };
    let effect = table.on_update(&twin, ms(2), ms(2));
    assert_eq!(effect.contradiction, Some(Contradiction::Twin));
    assert_eq!(view(&table).open_lots[0], Lots(10));
    let twin_fill = Fill { order_id: 9_999, ..fill(client, 2, 4) };
    assert_eq!(table.on_fill(&twin_fill, ms(3)).contradiction, Some(Contradiction::Twin));
    assert_eq!(view(&table).open_lots[0], Lots(6));
}

#[test]
fn a_definite_reject_frees_the_level_and_a_duplicate_reject_does_not() {
    let mut table = table_of(8);
    let client = place(&mut table, 10, ms(0));
    let no =
        Reply { class: RejectClass::Funds, ..reply(client, RequestKind::Place, Outcome::Rejected) };
    assert!(table.on_reply(&no, ms(1)).done.is_some());
    assert_eq!(view(&table).levels[0], 0);

    let client = place(&mut table, 10, ms(2));
    let twice = Reply {
        class: RejectClass::Duplicate,
        ..reply(client, RequestKind::Place, Outcome::Rejected)
    };
    let effect = table.on_reply(&twice, ms(3));
    assert!(effect.ask && effect.done.is_none(), "it exists");
    assert_eq!(state(&table, client), OrderState::Unknown);

    let client = live(&mut table, 10, ms(4));
    let lie = Reply { class: RejectClass::Funds, ..reply(client, no.request, no.outcome) };
    let effect = table.on_reply(&lie, ms(5));
    assert_eq!(effect.contradiction, Some(Contradiction::RejectedButSeen));
    assert_eq!(state(&table, client), OrderState::Live);
}

#[test]
fn what_is_in_flight_when_the_stream_is_lost_becomes_unknown_and_is_chased() {
    let mut table = table_of(8);
    let new = place_intent(&mut table, intent(Side::Buy, 99, 10, 1), ms(0));
    let resting = live(&mut table, 10, ms(0));
    let leaving = live(&mut table, 10, ms(0));
    table.cancel_sent(leaving, ms(1));
    table.lost_stream(ms(2));
    assert_eq!(state(&table, new), OrderState::Unknown);
    assert_eq!(state(&table, resting), OrderState::Live);
    assert_eq!(state(&table, leaving), OrderState::Unknown);
    let mut chases = overdue(&mut table, ms(2));
    chases.sort_by_key(|&chase| chase as u8);
    assert_eq!(chases, [Chase::Ask, Chase::Cancel]);
    assert_eq!(view(&table).open_lots[0], Lots(30));
    audit(&table);
}

#[test]
fn an_order_that_outlives_three_cancels_has_all_of_its_instrument_canceled() {
    let mut table = table_of(8);
    let client = live(&mut table, 10, ms(0));
    let mut chases = vec![];
    table.cancel_sent(client, ms(1));
    for now in 0..8_000 {
        for chase in overdue(&mut table, ms(now)) {
            if chase == Chase::Cancel {
                table.cancel_sent(client, ms(now));
            }
            chases.push(chase);
        }
    }
    assert_eq!(chases[..4], [Chase::Ask, Chase::Cancel, Chase::Cancel, Chase::CancelAll]);
    assert_eq!(view(&table).open_lots[0], Lots(10), "and it counts all the time");
}

#[test]
fn an_order_that_vanished_in_maintenance_is_missed_by_the_list_and_ended_by_proof() {
    let mut table = table_of(8);
    let client = live(&mut table, 10, ms(0));
    assert_eq!(table.list_ended(InstrumentId::ALL, ms(5_000), ms(5_010)), 1);
    assert_eq!(state(&table, client), OrderState::Live, "one source is no proof");
    assert_eq!(overdue(&mut table, ms(5_010)), [Chase::Ask]);
    // Two reads 10 ms apart were believed, and the level was given to another order. A venue that
    // reads both from one index has an order that rests in neither for a moment.
    let gone = query(client, OrderStatus::NotFound, 0);
    for asked in [5_011, 8_000] {
        assert_eq!(table.on_update(&gone, ms(asked), ms(asked + 9)).done, None);
        assert_eq!(state(&table, client), OrderState::Live);
    }
    let effect = table.on_update(&gone, ms(8_001), ms(8_010));
    assert_eq!(effect.done.map(|done| done.status), Some(OrderStatus::NotFound));
}

/// It was asked for once: where that question failed, its level stayed believed.
#[test]
fn an_order_that_the_list_lacks_is_asked_for_until_something_says_how_it_is() {
    let mut table = table_of(8);
    let client = live(&mut table, 10, ms(0));
    table.list_ended(BTC, ms(5_000), ms(5_010));
    let mut asked = Vec::new();
    for now in (5_010..12_000).step_by(10) {
        for chase in overdue(&mut table, ms(now)) {
            assert_eq!(chase, Chase::Ask);
            asked.push(now);
            table.list_ended(BTC, ms(now), ms(now + 1));
        }
    }
    assert_eq!(asked, [5_010, 5_410, 6_210, 7_810, 9_810, 11_810]);
    table.on_update(&query(client, OrderStatus::Live, 0), ms(12_000), ms(12_010));
    assert_eq!(overdue(&mut table, ms(60_000)), []);
}

#[test]
fn an_order_that_lists_lacked_before_it_was_known_is_asked_for_when_they_lack_it_later() {
    let mut table = table_of(8);
    let client = place(&mut table, 10, ms(0));
    table.list_ended(BTC, ms(500), ms(510));
    table.on_fill(&Fill { source: Source::Query, ..fill(client, 1, 4) }, ms(600));
    assert_eq!(table.list_ended(BTC, ms(5_000), ms(5_010)), 1);
    assert_eq!(overdue(&mut table, ms(5_010)), [Chase::Ask]);
}

/// An order push that came before its execution had fills asked for every two seconds as long as
/// the order rested.
#[test]
fn executions_that_have_come_are_not_asked_for() {
    let mut table = table_of(8);
    let client = live(&mut table, 10, ms(0));
    table.on_update(&push(client, OrderStatus::PartiallyFilled, 4), ms(10), ms(10));
    assert_eq!(overdue(&mut table, ms(1_010)), [Chase::Fills]);
    table.on_fill(&fill(client, 1, 4), ms(1_100));
    assert_eq!(overdue(&mut table, ms(60_000)), []);
}

#[test]
fn an_order_shown_after_the_list_was_asked_for_is_not_missing() {
    let mut table = table_of(8);
    let shown = live(&mut table, 10, ms(5_001));
    let listed = live(&mut table, 10, ms(0));
    table.on_update(&query(listed, OrderStatus::Live, 0), ms(5_000), ms(5_002));
    assert_eq!(table.list_ended(InstrumentId::ALL, ms(5_000), ms(5_010)), 0);
    assert_eq!(state(&table, shown), OrderState::Live);
    assert_eq!(overdue(&mut table, ms(5_010)), []);
}

#[test]
fn a_number_is_given_once_and_no_live_order_is_forgotten_for_a_new_one() {
    let mut table = table_of(4);
    let old = live(&mut table, 10, ms(0));
    let mut given = vec![old];
    for n in 0..1_000u64 {
        let client = place(&mut table, 10, ms(n));
        assert!(!given.contains(&client));
        given.push(client);
        let no = reply(client, RequestKind::Place, Outcome::NotSent);
        assert!(table.on_reply(&no, ms(n)).done.is_some());
        assert_eq!(state(&table, old), OrderState::Live);
        audit(&table);
    }
    for _ in 0..3 {
        place(&mut table, 10, ms(0));
    }
    assert_eq!(table.next_client(), None, "every place is taken");
    let forgotten = push(given[1], OrderStatus::Live, 0);
    let effect = table.on_update(&forgotten, ms(1), ms(1));
    assert_eq!((effect.whose, effect.appeared), (Whose::Forgotten, true));
}

#[test]
#[should_panic(expected = "client ids are given in order, once")]
fn an_order_cannot_be_placed_twice() {
    let mut table = table_of(8);
    let client = place(&mut table, 10, ms(0));
    table.placed(&OrderSpec { client, intent: intent(Side::Buy, 100, 10, 0) }, ms(1));
}

#[test]
fn orders_of_an_earlier_run_are_orphans_that_count_until_the_list_lacks_them() {
    // Orphans after restart: cancels failed at exit, the restart lost track of the orders.
    let mut table = table_of(8);
    let older = ClientId { epoch: 6, number: 3 };
    let effect = table.on_update(&query(older, OrderStatus::Live, 4), ms(1), ms(2));
    assert_eq!((effect.whose, effect.appeared), (Whose::Older, true));
    assert!(!table.on_update(&query(older, OrderStatus::Live, 4), ms(1), ms(2)).appeared);
    assert_eq!((table.older_orders(), table.foreign_orders()), (1, 0));
    assert_eq!((view(&table).open_lots[0], view(&table).open_orders[0]), (Lots(6), 1));
    table.orphan_cancel_sent(1_003, ms(3));
    assert_eq!(table.orphans().next().map(|orphan| orphan.cancels), Some(1));
    assert_eq!(table.on_fill(&fill(older, 1, 2), ms(3)).whose, Whose::Older);
    assert_eq!(view(&table).open_lots[0], Lots(4));
    table.list_ended(InstrumentId::ALL, ms(1), ms(4));
    assert_eq!(table.older_orders(), 1, "it was in that list");
    table.list_ended(InstrumentId::ALL, ms(3), ms(4));
    assert_eq!(table.older_orders(), 0);
}

#[test]
fn an_order_of_a_person_is_seen_told_apart_and_not_managed() {
    // Foreign orders canceled: stop took away manual orders and a second bot's. The choice is
    // policy.
    let mut table = table_of(8);
    let manual = OrderUpdate { order_id: 77, ..push(ClientId::FOREIGN, OrderStatus::Live, 0) };
    let effect = table.on_update(&manual, ms(1), ms(1));
    assert_eq!((effect.whose, effect.appeared), (Whose::Foreign, true));
    assert_eq!((table.foreign_orders(), table.open_orders()), (1, 0));
    assert_eq!(view(&table).open_lots[0], Lots(0));
    let gone = OrderUpdate { status: OrderStatus::Canceled, ..manual };
    table.on_update(&gone, ms(2), ms(2));
    assert_eq!(table.foreign_orders(), 0);
    for n in 0..5 {
        let next = OrderUpdate { order_id: 80 + n, ..manual };
        assert_eq!(table.on_update(&next, ms(3), ms(3)).full, n == 4);
    }
}

#[test]
fn news_without_a_client_id_find_their_order_by_the_venue_s_id() {
    let mut table = table_of(8);
    let client = live(&mut table, 10, ms(0));
    let bare = Fill { client: ClientId::FOREIGN, ..fill(client, 1, 10) };
    let effect = table.on_fill(&bare, ms(1));
    assert_eq!((effect.whose, effect.done.is_some()), (Whose::Own, true));
}

#[test]
fn an_id_of_this_epoch_that_was_never_given_is_a_contradiction() {
    // A second engine runs on the same epoch, or the state directory is an old backup.
    let mut table = table_of(8);
    place(&mut table, 10, ms(0));
    let strange = ClientId { epoch: 7, number: 2 };
    let effect = table.on_update(&push(strange, OrderStatus::Live, 0), ms(1), ms(1));
    assert_eq!(effect.contradiction, Some(Contradiction::NeverIssued));
    assert!(effect.appeared);
    let effect = table.on_fill(&fill(strange, 1, 1), ms(1));
    assert_eq!(effect.contradiction, Some(Contradiction::NeverIssued));
}

/// After a stop for loss the engine took the orders that closed its position for those of a second
/// engine on its epoch: a contradiction, an orphan and a foreign execution.
#[test]
fn an_order_that_closes_a_position_in_the_engine_s_stead_is_no_contradiction_in_any_epoch() {
    for epoch in [1, 7, 9] {
        let mut table = table_of(8);
        let closing = ClientId { epoch, number: ClientId::CLOSING_FROM + 1 };
        let whose = Effect { whose: Whose::Closing, ..Effect::default() };
        let received = reply(closing, RequestKind::Place, Outcome::Received);
        assert_eq!(table.on_reply(&received, ms(1)), whose);
        assert_eq!(table.on_update(&push(closing, OrderStatus::New, 0), ms(1), ms(1)), whose);
        assert_eq!(table.on_fill(&fill(closing, 1, 10), ms(2)), whose);
        assert_eq!(table.open_orders(), 0);
        let rests = table.on_update(&query(closing, OrderStatus::Live, 0), ms(3), ms(4));
        assert_eq!(rests, Effect { appeared: true, ..whose }, "what rests is to be canceled");
        assert_eq!(table.older_orders(), 1);
    }
}

#[test]
#[should_panic(expected = "closing orders")]
fn an_engine_never_uses_the_number_of_a_closing_order() {
    let mut table = table_of(8);
    table.next_number = ClientId::CLOSING_FROM;
    place(&mut table, 10, ms(0));
}

#[test]
fn best_price_and_levels_follow_the_orders_that_may_be_live() {
    let mut table = table_of(8);
    let near = place_intent(&mut table, intent(Side::Sell, 105, 10, 0), ms(0));
    let far = place_intent(&mut table, intent(Side::Sell, 107, 10, 1), ms(0));
    assert_eq!(view(&table).best_own, [None, Some(Ticks(105))]);
    assert_eq!((view(&table).levels, table.open_value(BTC)), ([0, 3], 2_120));
    let ids: Vec<_> = table.open(BTC, Side::Sell).map(|slot| slot.client).collect();
    assert_eq!(ids, [far, near]);
    table.on_reply(&reply(near, RequestKind::Place, Outcome::NotSent), ms(1));
    assert_eq!(view(&table).best_own, [None, Some(Ticks(107))]);
    assert_eq!(view(&table).levels, [0, 2]);
}

/// The venue's truth of one order in the random test.
#[derive(Clone, Copy)]
struct Truth {
    client: ClientId,
    sent: MonoNanos,
    arrived: bool,
    open: bool,
    filled: i64,
}

/// A small venue that accepts, fills and cancels, and the news of it that are under way.
struct SmallVenue {
    orders: Vec<Truth>,
    news: Vec<(OrderUpdate, MonoNanos)>,
    fills: Vec<Fill>,
    lists: Vec<(Vec<OrderUpdate>, MonoNanos)>,
    booked: Vec<u64>,
    trades: u64,
}

impl SmallVenue {
    const EMPTY: Self = Self {
        orders: vec![],
        news: vec![],
        fills: vec![],
        lists: vec![],
        booked: vec![],
        trades: 0,
    };

    fn accept(&mut self, n: usize, now: MonoNanos) {
        let order = &mut self.orders[n];
        if !order.arrived && now.since(order.sent) <= ZOMBIE {
            (order.arrived, order.open) = (true, true);
            self.news.push((push(order.client, OrderStatus::Live, 0), now));
        }
    }

    fn fill(&mut self, n: usize, wanted: usize, now: MonoNanos) {
        let order = &mut self.orders[n];
        if !order.open {
            return;
        }
        let lots = 1 + wanted.min(9 - order.filled as usize) as i64;
        self.trades += 1;
        order.filled += lots;
        order.open = order.filled < 10;
        let status = [OrderStatus::Filled, OrderStatus::PartiallyFilled][usize::from(order.open)];
        self.news.push((push(order.client, status, order.filled), now));
        self.fills.push(fill(order.client, self.trades, lots));
    }

    fn cancel(&mut self, n: usize, now: MonoNanos) {
        let order = &mut self.orders[n];
        if order.open {
            order.open = false;
            self.news.push((push(order.client, OrderStatus::Canceled, order.filled), now));
        }
    }

    fn answer(&mut self, n: usize, now: MonoNanos) {
        let Truth { client, arrived, open, filled, .. } = self.orders[n];
        let status = match (arrived, open, filled) {
            (false, ..) => OrderStatus::NotFound,
            (true, true, _) => OrderStatus::Live,
            (true, false, 10) => OrderStatus::Filled,
            (true, false, _) => OrderStatus::Canceled,
        };
        self.news.push((query(client, status, filled), now));
    }

    fn list(&mut self, now: MonoNanos) {
        let open = self.orders.iter().filter(|order| order.open);
        let listed = |order: &Truth| query(order.client, OrderStatus::Live, order.filled);
        self.lists.push((open.map(listed).collect(), now));
    }

    /// Lets one piece of news arrive, by chance for a second time.
    fn tell(
        &mut self,
        table: &mut OrderTable<'_>,
        n: usize,
        again: bool,
        now: MonoNanos,
    ) -> Effect {
        let (update, asked) = if again { self.news[n] } else { self.news.swap_remove(n) };
        let asked = if update.source == Source::Query { asked } else { now };
        table.on_update(&update, asked, now)
    }

    fn tell_list(&mut self, table: &mut OrderTable<'_>, n: usize, now: MonoNanos) {
        let (listed, asked) = self.lists.swap_remove(n);
        for update in &listed {
            table.on_update(update, asked, now);
        }
        table.list_ended(InstrumentId::ALL, asked, now);
    }

    fn tell_fill(&mut self, table: &mut OrderTable<'_>, n: usize, now: MonoNanos) {
        let fill = self.fills[n];
        if !self.booked.contains(&fill.trade_id) {
            self.booked.push(fill.trade_id);
            table.on_fill(&fill, now);
        }
    }
}

proptest! {
    /// News are lost, late, doubled and in any order: what may be live at the venue is never more
    /// than what the table counts.
    #[test]
    fn whatever_is_lost_or_late_the_table_never_counts_less_than_the_venue_has(
        steps in prop::collection::vec((0u8..9, any::<prop::sample::Index>(), 0u64..700), 1..400),
    ) {
        let mut table = table_of(16);
        let mut venue = SmallVenue::EMPTY;
        let mut now = ms(0);
        for (step, index, wait) in steps {
            now = now.after(wait * MILLIS);
            let pick = (!venue.orders.is_empty()).then(|| index.index(venue.orders.len().max(1)));
            match (step, pick) {
                (0, _) => {
                    if let Some(client) = table.next_client() {
                        let spec = OrderSpec { client, intent: intent(Side::Buy, 100, 10, 0) };
                        table.placed(&spec, now);
                        let (arrived, open, filled) = (false, false, 0);
                        venue.orders.push(Truth { client, sent: now, arrived, open, filled });
                    }
                }
                (1, Some(n)) => venue.accept(n, now),
                (2, Some(n)) => venue.fill(n, index.index(4), now),
                (3, Some(n)) => {
                    table.cancel_sent(venue.orders[n].client, now);
                    if index.index(2) == 0 {
                        venue.cancel(n, now);
                    }
                }
                (4, Some(n)) => venue.answer(n, now),
                (5, _) => venue.list(now),
                (6, _) if !venue.lists.is_empty() => {
                    venue.tell_list(&mut table, index.index(venue.lists.len()), now);
                }
                (7, _) if !venue.fills.is_empty() => {
                    venue.tell_fill(&mut table, index.index(venue.fills.len()), now);
                }
                (8, _) if !venue.news.is_empty() => {
                    let n = index.index(venue.news.len());
                    let effect = venue.tell(&mut table, n, wait % 2 == 0, now);
                    prop_assert_eq!(effect.contradiction, None);
                }
                _ => drop(overdue(&mut table, now)),
            }
            audit(&table);
            for order in &venue.orders {
                let may_appear = !order.arrived && now.since(order.sent) <= ZOMBIE;
                if order.open || may_appear {
                    let slot = table.order(order.client);
                    prop_assert!(slot.is_some_and(|slot| slot.exposed().0 >= 10 - order.filled));
                }
            }
        }
    }
}
