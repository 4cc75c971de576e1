//! What a client of the venue can count on, one sentence a test.

use keel_core::decimal::Decimal;
use keel_core::units::{E8, Lots, Price, Quote, Rate, Side, Ticks, UnixNanos};
use proptest::prelude::*;
use proptest::strategy::ValueTree;

use super::*;
use crate::account::{BillKind, Fees, NewAccount};
use crate::instrument::{Rules, RulesError, Status, Tier};
use crate::matching::OrderKey;
use crate::order::{
    Ack, CancelReason, Fill, HoldMode, MarginMode, ModifyRequest, OrderKind, OrderSource,
    OrderStatus, PlaceRequest, PosSide, Role, StpMode, TimeInForce,
};

mod isolated;
mod liquidation;

const BTC: InstrumentId = InstrumentId(0);
const ETH: InstrumentId = InstrumentId(1);
/// 2026-09-15 00:00 UTC, a funding instant of every interval.
const MIDNIGHT: UnixNanos = UnixNanos(1_789_430_400_000_000_000);

/// A venue with two contracts, an agent and two clients of 10,000 USDT.
struct Floor {
    venue: Venue,
    house: AccountId,
    ann: AccountId,
    bob: AccountId,
    now: UnixNanos,
}

impl Floor {
    fn new() -> Self {
        let now = UnixNanos(MIDNIGHT.0 + UnixNanos::MINUTE);
        let mut venue = Venue::new(now);
        venue.list(Rules::btcusdt(), marks(50_000)).unwrap();
        venue.list(Rules::ethusdt(), marks(2_000)).unwrap();
        let house = venue.open_house("crowd", now);
        let open = |venue: &mut Venue, name: &str, uid| {
            let new = NewAccount { name: name.into(), uid, parent: None };
            let account = venue.open_account(new, now);
            venue.deposit(account, Quote::usdt(10_000), now).unwrap();
            account
        };
        let ann = open(&mut venue, "ann", 1001);
        let bob = open(&mut venue, "bob", 1002);
        venue.drain(&mut Vec::new());
        Self { venue, house, ann, bob, now }
    }

    fn crowd(&mut self, side: Side, price: i64, size: i64) -> Option<OrderKey> {
        let order = HouseOrder {
            side,
            kind: OrderKind::Limit,
            price: Ticks(price * 10),
            size: Lots(size),
            time_in_force: TimeInForce::Gtc,
        };
        self.venue.house_place(self.house, BTC, &order, self.now).resting
    }

    fn place(&mut self, account: AccountId, request: &PlaceRequest) -> Result<Ack, Reject> {
        self.venue.place(account, request, self.now)
    }

    /// Places what must be received, and gives the order as it then stands.
    fn placed(&mut self, account: AccountId, request: &PlaceRequest) -> Order {
        let ack = self.place(account, request).unwrap();
        self.order(ack.order)
    }

    fn order(&self, id: OrderId) -> Order {
        self.venue.order(id).unwrap().clone()
    }

    fn refused(&mut self, account: AccountId, request: &PlaceRequest) -> u32 {
        let open = self.venue.account(account).open_orders().count();
        let code = self.place(account, request).unwrap_err().code;
        assert_eq!(self.venue.account(account).open_orders().count(), open, "no trace");
        assert_eq!(self.events(), [], "no push");
        code
    }

    fn position(&self, account: AccountId) -> i64 {
        self.venue.account(account).holding(BTC).position(PosSide::Net).lots.0
    }

    fn balance(&self, account: AccountId) -> Quote {
        self.venue.account(account).balance()
    }

    fn mark(&mut self, price: i64) {
        self.venue.set_marks(BTC, marks(price), self.now).unwrap();
    }

    fn events(&mut self) -> Vec<VenueEvent> {
        let mut events = Vec::new();
        self.venue.drain(&mut events);
        events
    }

    /// The statuses that the pushes of one order went through, with the reason of a cancel.
    fn story(&mut self, id: OrderId) -> Vec<&'static str> {
        let mut words = Vec::new();
        for event in self.events() {
            if let VenueEvent::Order(order) = event
                && order.id == id
            {
                words.push(order.status.word());
                words.extend(order.cancel_reason.map(CancelReason::word));
            }
        }
        words
    }
}

fn marks(price: i64) -> Marks {
    let price = Price(price * E8);
    Marks { mark: price, index: price, funding_rate: Rate::bps(1) }
}

fn number(text: &str) -> Decimal {
    Decimal::parse(text.as_bytes()).unwrap()
}

fn limit(side: Side, price: &str, size: &str) -> PlaceRequest {
    PlaceRequest {
        instrument: BTC,
        side,
        pos_side: PosSide::Net,
        kind: OrderKind::Limit,
        price: Some(number(price)),
        size: number(size),
        time_in_force: TimeInForce::Gtc,
        reduce_only: false,
        stp: StpMode::None,
        margin_mode: None,
        client_id: None,
    }
}

fn buy(price: &str, size: &str) -> PlaceRequest {
    limit(Side::Buy, price, size)
}

fn sell(price: &str, size: &str) -> PlaceRequest {
    limit(Side::Sell, price, size)
}

fn market(side: Side, size: &str) -> PlaceRequest {
    PlaceRequest { kind: OrderKind::Market, price: None, ..limit(side, "1", size) }
}

fn reducing(request: PlaceRequest) -> PlaceRequest {
    PlaceRequest { reduce_only: true, ..request }
}

fn lasting(time_in_force: TimeInForce, request: PlaceRequest) -> PlaceRequest {
    PlaceRequest { time_in_force, ..request }
}

fn named(name: &str, mut request: PlaceRequest) -> PlaceRequest {
    request.client_id = Some(name.into());
    request
}

fn modified(order: OrderId, price: Option<&str>, size: Option<&str>) -> ModifyRequest {
    ModifyRequest {
        instrument: BTC,
        order: OrderRef::Id(order),
        price: price.map(number),
        size: size.map(number),
        client_id: None,
        cancel_if_refused: false,
    }
}

// Life of an order.

#[test]
fn ids_are_above_what_a_float_holds_and_never_given_twice_by_a_venue_opened_later() {
    let mut floor = Floor::new();
    let first = floor.placed(floor.ann, &buy("49000", "0.01")).id;
    let second = floor.placed(floor.bob, &buy("49000", "0.01")).id;
    assert!(first.0 > 1 << 53 && second > first);
    let later = Ids::from(UnixNanos(floor.now.0 + 1_000_000_000));
    assert!(later.order > second.0 + 1_000_000);
}

#[test]
fn an_ack_means_received_and_events_tell_the_rest() {
    let mut floor = Floor::new();
    floor.crowd(Side::Sell, 50_000, 60);
    floor.events();
    let order = floor.placed(floor.ann, &buy("50000", "0.01"));
    assert_eq!(order.status, OrderStatus::PartiallyFilled);
    let events = floor.events();
    let kinds: Vec<&str> = events.iter().map(kind).collect();
    let expected = ["order", "order", "fill", "position", "account", "trade", "level", "level"];
    assert_eq!(kinds, expected);
    let levels: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            VenueEvent::Level(level) => Some((level.side, level.price.0, level.size.0, level.seq)),
            _ => None,
        })
        .collect();
    let seq = floor.venue.instrument(BTC).seq;
    assert_eq!(levels, [(Side::Buy, 500_000, 40, seq), (Side::Sell, 500_000, 0, seq)]);
}

fn kind(event: &VenueEvent) -> &'static str {
    match event {
        VenueEvent::Order(_) => "order",
        VenueEvent::Fill(_) => "fill",
        VenueEvent::Position(_) => "position",
        VenueEvent::Account(_) => "account",
        VenueEvent::Trade(_) => "trade",
        VenueEvent::Level(_) => "level",
        VenueEvent::Ticker(_) => "ticker",
        VenueEvent::Rules(_) => "rules",
        VenueEvent::Funding(_) => "funding",
        VenueEvent::Liquidation(_) => "liquidation",
        VenueEvent::Adl(_) => "adl",
        VenueEvent::Strategy(_) => "strategy",
    }
}

#[test]
fn a_post_only_order_that_would_take_is_received_and_then_canceled_unfilled() {
    let mut floor = Floor::new();
    floor.crowd(Side::Sell, 50_000, 60);
    floor.events();
    let request = lasting(TimeInForce::PostOnly, buy("50000", "0.01"));
    let order = floor.placed(floor.ann, &request);
    assert!(order.filled.is_zero());
    assert_eq!(floor.story(order.id), ["live", "cancelled", "post_only_fill_cancel"]);
    let order = floor.placed(floor.ann, &lasting(TimeInForce::PostOnly, buy("49999.9", "0.01")));
    assert_eq!(floor.story(order.id), ["live"]);
}

#[test]
fn a_fok_order_fills_whole_or_not_at_all() {
    let mut floor = Floor::new();
    floor.crowd(Side::Sell, 50_000, 60);
    floor.crowd(Side::Sell, 50_001, 60);
    let order = floor.placed(floor.ann, &lasting(TimeInForce::Fok, buy("50000", "0.0061")));
    assert!(order.filled.is_zero());
    assert_eq!(floor.story(order.id), ["live", "cancelled", "fok_not_full_cancel"]);
    let order = floor.placed(floor.ann, &lasting(TimeInForce::Fok, buy("50001", "0.0061")));
    assert_eq!(floor.story(order.id), ["live", "partially_filled", "filled"]);
}

/// The count took the position as it stood before, and killed an order that would have filled.
#[test]
fn a_fok_order_counts_what_it_opens_itself_as_room_for_its_owners_closing_order() {
    let mut floor = Floor::new();
    floor.crowd(Side::Sell, 50_000, 180);
    floor.placed(floor.ann, &buy("50000", "0.01"));
    let closing = floor.placed(floor.ann, &reducing(sell("50002", "0.01")));
    floor.crowd(Side::Buy, 49_990, 60);
    floor.placed(floor.ann, &sell("49990", "0.006"));
    assert_eq!(floor.position(floor.ann), 40);
    let order = floor.placed(floor.ann, &lasting(TimeInForce::Fok, buy("50002", "0.018")));
    assert_eq!(order.filled, Lots(180));
    assert_eq!(floor.order(closing.id).filled, Lots(100));
}

#[test]
fn the_rest_of_an_ioc_order_is_canceled() {
    let mut floor = Floor::new();
    floor.crowd(Side::Sell, 50_000, 60);
    let order = floor.placed(floor.ann, &lasting(TimeInForce::Ioc, buy("50000", "0.01")));
    assert_eq!(order.filled, Lots(60));
    let story = ["live", "partially_filled", "cancelled", "ioc_not_full_cancel"];
    assert_eq!(floor.story(order.id), story);
}

#[test]
fn a_market_order_is_cut_by_the_band_and_never_rests() {
    let mut floor = Floor::new();
    floor.crowd(Side::Sell, 52_500, 60);
    floor.crowd(Side::Sell, 52_501, 60);
    let order = floor.placed(floor.ann, &market(Side::Buy, "0.01"));
    assert_eq!(order.filled, Lots(60));
    assert_eq!(order.cancel_reason, Some(CancelReason::LimitPriceExceed));
    let order = floor.placed(floor.ann, &market(Side::Sell, "0.01"));
    assert_eq!(order.cancel_reason, Some(CancelReason::IocNotFull));
}

#[test]
fn fills_are_at_the_resting_price() {
    let mut floor = Floor::new();
    floor.crowd(Side::Sell, 50_000, 100);
    let order = floor.placed(floor.ann, &buy("50100", "0.01"));
    assert_eq!(order.average_price(), Some(Price(50_000 * E8)));
    assert_eq!(order.filled_value, Quote::usdt(500));
}

#[test]
fn a_cancel_ends_what_is_left_once() {
    let mut floor = Floor::new();
    let order = floor.placed(floor.ann, &named("a", buy("49000", "0.01")));
    let by_name = OrderRef::Client("a".into());
    assert_eq!(floor.venue.cancel(floor.bob, &by_name, floor.now), Err(Reject::ORDER_NOT_FOUND));
    let foreign = OrderRef::Id(order.id);
    assert_eq!(floor.venue.cancel(floor.bob, &foreign, floor.now), Err(Reject::ORDER_NOT_FOUND));
    assert_eq!(floor.venue.cancel(floor.ann, &by_name, floor.now).unwrap().order, order.id);
    assert_eq!(floor.venue.cancel(floor.ann, &by_name, floor.now), Err(Reject::ORDER_DONE));
    assert_eq!(floor.story(order.id), ["live", "cancelled", "normal_cancel"]);
    assert!(floor.venue.instrument(BTC).book.is_empty());
    assert_eq!(floor.venue.account_view(floor.ann).initial_margin, Quote::ZERO);
}

#[test]
fn a_modify_cancels_the_old_order_and_makes_a_new_one_at_the_end_of_its_queue() {
    let mut floor = Floor::new();
    let old = floor.placed(floor.ann, &named("mine", buy("49000", "0.01")));
    floor.placed(floor.bob, &buy("49000", "0.01"));
    let ack = floor.venue.modify(floor.ann, &modified(old.id, None, Some("0.02")), floor.now);
    let new = floor.order(ack.unwrap().order);
    assert_eq!(floor.order(old.id).cancel_reason, Some(CancelReason::Modify));
    assert_eq!((new.size, &*new.client_id, new.source), (Lots(200), "mine", OrderSource::Modify));
    floor.crowd(Side::Sell, 49_000, 100);
    assert_eq!(floor.position(floor.bob), 100);
    assert_eq!(floor.position(floor.ann), 0);
}

#[test]
fn a_modify_counts_what_the_old_order_had_filled() {
    let mut floor = Floor::new();
    let old = floor.placed(floor.ann, &buy("49000", "0.01"));
    floor.crowd(Side::Sell, 49_000, 30);
    let request = modified(old.id, Some("48999.9"), None);
    let new = floor.venue.modify(floor.ann, &request, floor.now).unwrap().order;
    assert_eq!(floor.order(new).size, Lots(70));
    let request = modified(new, None, Some("0.0069"));
    let new = floor.venue.modify(floor.ann, &request, floor.now).unwrap().order;
    assert_eq!(floor.order(new).size, Lots(69));
}

#[test]
fn a_modify_that_is_refused_leaves_the_old_order_unless_told_otherwise() {
    let mut floor = Floor::new();
    let old = floor.placed(floor.ann, &buy("49000", "0.01")).id;
    let refusals = [
        (modified(old, None, None), 25571),
        (modified(old, Some("49000.0"), Some("0.0100")), 25571),
        (modified(old, Some("49000.05"), None), 25244),
        (modified(old, None, Some("0.01005")), 22038),
        (modified(old, Some("60000"), None), 25206),
        (modified(OrderId(7), Some("48000"), None), 25204),
    ];
    for (request, code) in refusals {
        let answer = floor.venue.modify(floor.ann, &request, floor.now);
        assert_eq!(answer.unwrap_err().code, code);
        assert_eq!(floor.order(old).status, OrderStatus::Live);
    }
    let request = ModifyRequest { cancel_if_refused: true, ..modified(old, Some("60000"), None) };
    assert_eq!(floor.venue.modify(floor.ann, &request, floor.now).unwrap_err().code, 25206);
    assert_eq!(floor.order(old).cancel_reason, Some(CancelReason::Normal));
}

// Checks at the door.

#[test]
fn each_check_refuses_with_its_code_and_leaves_no_trace() {
    let mut floor = Floor::new();
    floor.placed(floor.ann, &named("taken", buy("49000", "0.01")));
    floor.events();
    let hedged = PlaceRequest { pos_side: PosSide::Long, ..buy("49000", "0.01") };
    let priceless = PlaceRequest { price: None, ..buy("1", "0.01") };
    let refusals = [
        (hedged, 40774),
        (named("taken", buy("49000", "0.01")), 25212),
        (priceless, 40019),
        (buy("0", "0.01"), 40020),
        (buy("-1", "0.01"), 40020),
        (buy("49000.05", "0.01"), 25244),
        (buy("49000", "0.01005"), 22038),
        (buy("49000", "0"), 25207),
        (buy("49000", "-0.01"), 25207),
        (buy("49000", "1200.0001"), 25208),
        (market(Side::Buy, "220.0001"), 25208),
        (buy("49000", "0.0001"), 25611),
        (market(Side::Buy, "0.0000"), 25207),
        (buy("52500.1", "0.01"), 25206),
        (sell("47499.9", "0.01"), 25205),
        (buy("900000000000000000", "1000"), 25206),
        (reducing(sell("50000", "0.01")), 25227),
        (buy("49000", "5"), 25202),
        (buy("49000", "1200"), 25230),
    ];
    for (request, code) in refusals {
        assert_eq!(floor.refused(floor.ann, &request), code, "{request:?}");
    }
}

#[test]
fn the_last_price_within_the_band_and_the_least_value_are_accepted() {
    let mut floor = Floor::new();
    for request in [
        buy("52500", "0.01"),
        sell("47500", "0.01"),
        buy("50000", "0.0001"),
        PlaceRequest { instrument: ETH, ..buy("2000", "0.01") },
    ] {
        assert!(floor.place(floor.bob, &request).is_ok(), "{request:?}");
        floor.venue.cancel_all(floor.bob, None, floor.now);
    }
}

#[test]
fn the_band_can_lie_around_the_last_print_instead_of_the_mark() {
    let mut floor = Floor::new();
    floor.crowd(Side::Sell, 51_000, 10);
    floor.crowd(Side::Buy, 51_000, 10);
    let request = buy("53000", "0.01");
    floor.events();
    assert_eq!(floor.refused(floor.ann, &request), 25206);
    let reference = crate::instrument::BandReference::Last;
    let rules = Rules { band_reference: reference, ..Rules::btcusdt() };
    floor.venue.change_rules(BTC, rules, floor.now).unwrap();
    assert!(floor.place(floor.ann, &request).is_ok());
}

#[test]
fn numbers_at_the_ends_of_64_bits_are_refused_and_overflow_nothing() {
    let mut floor = Floor::new();
    let ends = [i64::MAX, i64::MAX - 1, i64::MIN, i64::MIN + 1, i64::MAX / 10_000, 1 << 53];
    for mantissa in ends {
        for scale in [0, 1, 4, 18] {
            let odd = Decimal { mantissa, scale };
            for request in [
                PlaceRequest { price: Some(odd), ..buy("1", "0.01") },
                PlaceRequest { price: Some(odd), ..sell("1", "1200") },
                PlaceRequest { size: odd, ..buy("50000", "1") },
                PlaceRequest { size: odd, ..market(Side::Sell, "1") },
                PlaceRequest { size: odd, price: Some(odd), ..buy("1", "1") },
            ] {
                if let Ok(ack) = floor.place(floor.ann, &request) {
                    panic!("{request:?} made {ack:?}");
                }
            }
        }
        let odd = Marks { mark: Price(mantissa), ..marks(50_000) };
        assert_eq!(floor.venue.set_marks(BTC, odd, floor.now), Err(RulesError::Mark));
        let odd = Marks { funding_rate: Rate(mantissa), ..marks(50_000) };
        assert_eq!(floor.venue.set_marks(BTC, odd, floor.now), Err(RulesError::Mark));
        let odd = Fees { maker: Rate(mantissa), taker: Rate(0) };
        assert_eq!(floor.venue.set_fees(floor.ann, None, odd), Err(Reject::RATE_RANGE));
    }
}

#[test]
fn checks_come_in_the_venues_order() {
    let mut floor = Floor::new();
    floor.placed(floor.ann, &named("taken", buy("49000", "0.01")));
    floor.events();
    // Wrong in every way; each repair shows the next complaint.
    let mut request = named("taken", buy("60000.05", "1200.00015"));
    request.pos_side = PosSide::Short;
    for (status, code) in [
        (Status::Maintain, 25102),
        (Status::Listed, 25101),
        (Status::RestrictedApi, 25013),
        (Status::Offline, 25104),
    ] {
        floor.venue.set_status(BTC, status, floor.now);
        floor.events();
        assert_eq!(floor.refused(floor.ann, &request), code, "{status:?}");
    }
    floor.venue.set_status(BTC, Status::Online, floor.now);
    floor.events();
    assert_eq!(floor.refused(floor.ann, &request), 40774);
    request.pos_side = PosSide::Net;
    floor.placed(floor.ann, &named("taken", buy("49000", "0.01")));
    floor.events();
    assert_eq!(floor.refused(floor.ann, &request), 25212);
    request.client_id = None;
    assert_eq!(floor.refused(floor.ann, &request), 25244);
    request.price = Some(number("60000"));
    assert_eq!(floor.refused(floor.ann, &request), 22038);
    request.size = number("1200.0001");
    assert_eq!(floor.refused(floor.ann, &request), 25208);
    request.size = number("1200");
    assert_eq!(floor.refused(floor.ann, &request), 25206);
    request.price = Some(number("50000"));
    assert_eq!(floor.refused(floor.ann, &request), 25230);
}

#[test]
fn a_client_id_is_free_again_once_its_order_is_done() {
    let mut floor = Floor::new();
    let first = floor.placed(floor.ann, &named("a", buy("49000", "0.01"))).id;
    assert!(floor.place(floor.bob, &named("a", buy("49000", "0.01"))).is_ok(), "of another");
    floor.venue.cancel(floor.ann, &OrderRef::Id(first), floor.now).unwrap();
    let second = floor.placed(floor.ann, &named("a", buy("49000", "0.01"))).id;
    let found = floor.venue.find_order(floor.ann, &OrderRef::Client("a".into())).unwrap();
    assert_eq!(found.id, second);
    assert_eq!(floor.venue.order(first).unwrap().status, OrderStatus::Canceled);
}

#[test]
fn open_orders_are_capped_by_contract_and_by_account() {
    let mut floor = Floor::new();
    for i in 0..200 {
        let instrument = if i % 2 == 0 { ETH } else { BTC };
        let price = if i % 2 == 0 { "2000" } else { "49000" };
        for _ in 0..2 {
            let request = PlaceRequest { instrument, ..buy(price, "0.01") };
            floor.place(floor.ann, &request).unwrap();
        }
    }
    floor.events();
    assert_eq!(floor.refused(floor.ann, &buy("49000", "0.01")), 25211);
    let mut rules = Rules::btcusdt();
    rules.symbol_orders_max = 201;
    floor.venue.change_rules(BTC, rules, floor.now).unwrap();
    floor.events();
    assert_eq!(floor.refused(floor.ann, &buy("49000", "0.01")), 25567);
}

#[test]
fn positions_are_capped_by_contracts() {
    let mut floor = Floor::new();
    let rules = Rules { positions_max: 1, ..Rules::btcusdt() };
    floor.venue.change_rules(BTC, rules, floor.now).unwrap();
    let ether = Rules { positions_max: 1, ..Rules::ethusdt() };
    floor.venue.change_rules(ETH, ether, floor.now).unwrap();
    floor.crowd(Side::Sell, 50_000, 100);
    floor.placed(floor.ann, &buy("50000", "0.01"));
    floor.events();
    let second = PlaceRequest { instrument: ETH, ..buy("1900", "0.1") };
    assert_eq!(floor.refused(floor.ann, &second), 25229);
    assert!(floor.place(floor.ann, &buy("49000", "0.01")).is_ok(), "where one is held already");
}

#[test]
fn limit_open_lets_only_closing_orders_in() {
    let mut floor = Floor::new();
    floor.crowd(Side::Sell, 50_000, 100);
    floor.placed(floor.ann, &buy("50000", "0.01"));
    floor.venue.set_status(BTC, Status::LimitOpen, floor.now);
    floor.events();
    assert_eq!(floor.refused(floor.ann, &sell("50000", "0.01")), 25105);
    assert!(floor.place(floor.ann, &reducing(sell("50000", "0.01"))).is_ok());
}

// Self-trade prevention, by family.

#[test]
fn accounts_of_one_parent_do_not_trade_with_one_another_when_the_taker_says_so() {
    for (stp, maker_reason, taker_reason) in [
        (StpMode::None, None, None),
        (StpMode::CancelTaker, None, Some(CancelReason::Stp)),
        (StpMode::CancelMaker, Some(CancelReason::Stp), None),
        (StpMode::CancelBoth, Some(CancelReason::Stp), Some(CancelReason::Stp)),
    ] {
        let mut floor = Floor::new();
        let new = NewAccount { name: "sub".into(), uid: 1003, parent: Some(floor.ann) };
        let sub = floor.venue.open_account(new, floor.now);
        floor.venue.deposit(sub, Quote::usdt(10_000), floor.now).unwrap();
        let maker = floor.placed(floor.ann, &sell("50000", "0.01"));
        floor.placed(floor.bob, &sell("50000", "0.01"));
        let taker = floor.placed(sub, &PlaceRequest { stp, ..buy("50000", "0.01") });
        let expected = match stp {
            StpMode::None | StpMode::CancelMaker => Lots(100),
            StpMode::CancelTaker | StpMode::CancelBoth => Lots(0),
        };
        assert_eq!(taker.filled, expected, "{stp:?}");
        assert_eq!(floor.order(maker.id).cancel_reason, maker_reason, "{stp:?}");
        assert_eq!(taker.cancel_reason, taker_reason, "{stp:?}");
    }
}

// Positions, fees, bills.

#[test]
fn each_party_pays_the_rate_of_its_role_and_a_maker_may_be_paid() {
    let mut floor = Floor::new();
    floor.venue.set_fees(floor.ann, None, Fees::market_maker()).unwrap();
    floor.placed(floor.ann, &buy("50000", "0.01"));
    floor.placed(floor.bob, &sell("50000", "0.01"));
    let ann = floor.venue.account(floor.ann).fills().back().unwrap().clone();
    let bob = floor.venue.account(floor.bob).fills().back().unwrap().clone();
    assert_eq!((ann.role, ann.fee), (Role::Maker, Quote(-2_500_000)));
    assert_eq!((bob.role, bob.fee), (Role::Taker, Quote(30_000_000)));
    assert_eq!(ann.trade, bob.trade);
    assert_eq!(floor.balance(floor.ann), Quote::usdt(10_000) + Quote(2_500_000));
    assert_eq!(floor.balance(floor.bob), Quote::usdt(10_000) - Quote(30_000_000));
}

#[test]
fn a_fee_never_shrinks_and_a_rebate_never_grows_by_rounding() {
    let fee = crate::margin::fee_on;
    assert_eq!(fee(Quote(1), Rate(1)), Quote(1));
    assert_eq!(fee(Quote(1), Rate(-1)), Quote(0));
    assert_eq!(fee(Quote(3_495_340_000), Rate::bps(6)), Quote(2_097_204));
}

#[test]
fn vip_levels_have_the_rates_of_the_table() {
    assert_eq!(Fees::vip(0), Fees { maker: Rate::bps(2), taker: Rate::bps(6) });
    assert_eq!(Fees::vip(7), Fees { maker: Rate(0), taker: Rate::bps(2) });
    assert_eq!(Fees::vip(3), Fees { maker: Rate(14_000), taker: Rate(37_500) });
    let mut floor = Floor::new();
    assert_eq!(floor.venue.fees(floor.ann, BTC), Fees::vip(0));
    floor.venue.set_fees(floor.ann, Some(BTC), Fees::vip(5)).unwrap();
    assert_eq!(floor.venue.fees(floor.ann, BTC), Fees::vip(5));
    assert_eq!(floor.venue.fees(floor.ann, ETH), Fees::vip(0));
}

#[test]
fn one_sell_larger_than_a_long_closes_it_and_opens_a_short() {
    let mut floor = Floor::new();
    floor.crowd(Side::Sell, 50_000, 100);
    floor.crowd(Side::Buy, 49_900, 300);
    floor.placed(floor.ann, &buy("50000", "0.01"));
    let order = floor.placed(floor.ann, &sell("49900", "0.03"));
    assert_eq!(order.realized, -Quote::usdt(1));
    assert_eq!(floor.position(floor.ann), -200);
    let account = floor.venue.account(floor.ann);
    let position = account.holding(BTC).position(PosSide::Net);
    assert_eq!(position.entry, -i128::from(Quote::usdt(998).0));
    assert_eq!(position.realized, Quote::ZERO, "a new position");
    let fill = account.fills().back().unwrap();
    assert_eq!((fill.closed, fill.size), (Lots(100), Lots(300)));
    let over = account.closed().back().unwrap();
    assert_eq!((over.size, over.realized), (Lots(100), -Quote::usdt(1)));
    assert_eq!(over.open_price, Price(50_000 * E8));
    assert_eq!(over.close_price, Price(49_900 * E8));
    let kinds: Vec<_> = account
        .bills()
        .iter()
        .map(|bill| match bill.kind {
            BillKind::Opened(deal) => ("opened", Some(deal.side)),
            BillKind::Closed(deal) => ("closed", Some(deal.side)),
            _ => ("other", None),
        })
        .collect();
    let (bought, sold) = (Some(Side::Buy), Some(Side::Sell));
    let expected = [("other", None), ("opened", bought), ("closed", sold), ("opened", sold)];
    assert_eq!(kinds, expected);
    let fees: i64 = account.bills().iter().map(|bill| bill.fee.0).sum();
    assert_eq!(Quote(fees), account.totals().fees);
    assert_eq!(account.bills().back().unwrap().balance, account.balance());
}

#[test]
fn thirds_of_an_entry_lose_nothing() {
    let mut floor = Floor::new();
    floor.crowd(Side::Sell, 50_000, 1);
    floor.crowd(Side::Sell, 50_001, 2);
    floor.crowd(Side::Buy, 49_999, 3);
    floor.placed(floor.ann, &buy("50001", "0.0003"));
    for _ in 0..3 {
        floor.placed(floor.ann, &reducing(sell("49999", "0.0001")));
    }
    let totals = floor.venue.account(floor.ann).totals();
    // Bought for 5.0000 + 10.0002, sold for 14.9997.
    assert_eq!(totals.realized, Quote(-50_000));
    assert_eq!(floor.position(floor.ann), 0);
}

#[test]
fn an_agent_leaves_no_record_but_prints_and_levels() {
    let mut floor = Floor::new();
    let key = floor.crowd(Side::Sell, 50_000, 100).unwrap();
    floor.crowd(Side::Buy, 50_000, 40);
    let kinds: Vec<&str> = floor.events().iter().map(kind).collect();
    assert_eq!(kinds, ["level", "trade", "level"]);
    assert_eq!(floor.venue.house_left(BTC, key), Some(Lots(60)));
    assert_eq!(floor.venue.house_cancel(BTC, key, floor.now), Some(Lots(60)));
    assert_eq!(floor.venue.house_cancel(BTC, key, floor.now), None);
    let house = floor.venue.account(floor.house);
    assert!(house.fills().is_empty() && house.bills().is_empty());
    assert_eq!(floor.venue.instrument(BTC).prints.len(), 1);
    assert_eq!(floor.venue.instrument(BTC).last, Price(50_000 * E8));
}

// Orders that only close.

fn long_100() -> Floor {
    let mut floor = Floor::new();
    floor.crowd(Side::Sell, 50_000, 100);
    floor.placed(floor.ann, &buy("50000", "0.01"));
    floor.events();
    floor
}

#[test]
fn a_reduce_only_order_is_cut_to_its_position() {
    let mut floor = long_100();
    floor.crowd(Side::Buy, 49_900, 500);
    let order = floor.placed(floor.ann, &reducing(sell("49900", "0.05")));
    assert_eq!((order.size, order.status), (Lots(100), OrderStatus::Filled));
    assert_eq!(floor.position(floor.ann), 0);
}

#[test]
fn a_reduce_only_order_that_would_add_is_refused() {
    let mut floor = long_100();
    assert_eq!(floor.refused(floor.ann, &reducing(buy("49900", "0.01"))), 25227);
}

#[test]
fn older_reduce_only_orders_make_room_in_the_order_of_their_creation() {
    let mut floor = long_100();
    let mut older = Vec::new();
    for size in ["0.004", "0.003", "0.003"] {
        older.push(floor.placed(floor.ann, &reducing(sell("51000", size))).id);
    }
    let ack = floor.place(floor.ann, &reducing(sell("50900", "0.005"))).unwrap();
    assert!(ack.displaced);
    let reasons: Vec<_> = older.iter().map(|id| floor.order(*id).cancel_reason).collect();
    let gone = Some(CancelReason::ReduceOnlyRoom);
    assert_eq!(reasons, [gone, gone, None]);
}

#[test]
fn resting_reduce_only_orders_go_when_their_position_is_gone() {
    let mut floor = long_100();
    let order = floor.placed(floor.ann, &reducing(sell("51000", "0.01")));
    floor.crowd(Side::Buy, 49_900, 500);
    floor.placed(floor.ann, &sell("49900", "0.01"));
    assert_eq!(floor.order(order.id).cancel_reason, Some(CancelReason::ReduceOnlyRoom));
    assert!(floor.venue.instrument(BTC).book.best(Side::Sell).is_none());
}

#[test]
fn a_resting_reduce_only_order_never_opens_even_within_one_sweep() {
    let mut floor = long_100();
    floor.placed(floor.ann, &sell("50100", "0.007"));
    floor.placed(floor.ann, &reducing(sell("50200", "0.01")));
    // The sweep meets the plain sell first; of the reduce-only order only 30 lots may follow.
    let fok = lasting(TimeInForce::Fok, buy("50200", "0.0101"));
    assert!(floor.placed(floor.bob, &fok).filled.is_zero(), "not that much is there");
    let fok = lasting(TimeInForce::Fok, buy("50200", "0.01"));
    assert_eq!(floor.placed(floor.bob, &fok).filled, Lots(100));
    assert_eq!(floor.position(floor.ann), 0);
    assert_eq!(floor.venue.account(floor.ann).open_orders().count(), 0);
}

#[test]
fn closing_all_positions_makes_room_and_leaves_none() {
    let mut floor = long_100();
    floor.placed(floor.ann, &reducing(sell("51000", "0.01")));
    floor.crowd(Side::Buy, 49_900, 500);
    let answers = floor.venue.close_positions(floor.ann, None, None, floor.now);
    assert_eq!(answers.len(), 1);
    let order = floor.order(answers[0].1.as_ref().unwrap().order);
    assert_eq!((order.status, order.source), (OrderStatus::Filled, OrderSource::ClosePosition));
    assert_eq!(floor.position(floor.ann), 0);
    assert_eq!(floor.venue.account(floor.ann).open_orders().count(), 0);
    assert!(floor.venue.close_positions(floor.ann, None, None, floor.now).is_empty());
}

#[test]
fn a_hedge_keeps_a_long_and_a_short_apart() {
    let mut floor = Floor::new();
    floor.venue.set_hold_mode(floor.ann, HoldMode::Hedge).unwrap();
    floor.crowd(Side::Sell, 50_000, 500);
    floor.crowd(Side::Buy, 49_900, 500);
    let on = |pos_side, request| PlaceRequest { pos_side, ..request };
    assert_eq!(floor.place(floor.ann, &buy("50000", "0.01")), Err(Reject::POSITION_MODE));
    floor.placed(floor.ann, &on(PosSide::Long, buy("50000", "0.01")));
    floor.placed(floor.ann, &on(PosSide::Short, sell("49900", "0.02")));
    let lots =
        |floor: &Floor, side| floor.venue.account(floor.ann).holding(BTC).position(side).lots.0;
    assert_eq!((lots(&floor, PosSide::Long), lots(&floor, PosSide::Short)), (100, -200));
    assert_eq!(floor.venue.positions(floor.ann).len(), 2);
    // Resting closes lock 70 of 100; a market close takes the other 30 and complains of nothing.
    floor.placed(floor.ann, &on(PosSide::Long, sell("51000", "0.007")));
    let close = floor.placed(floor.ann, &on(PosSide::Long, market(Side::Sell, "0.005")));
    assert_eq!((close.size, close.filled), (Lots(30), Lots(30)));
    assert_eq!(lots(&floor, PosSide::Long), 70);
    // Now all is locked: a further close displaces the resting one.
    let ack = floor.place(floor.ann, &on(PosSide::Long, market(Side::Sell, "0.007"))).unwrap();
    assert!(ack.displaced);
    assert_eq!(lots(&floor, PosSide::Long), 0);
    let busy = floor.venue.set_hold_mode(floor.ann, HoldMode::OneWay);
    assert_eq!(busy, Err(Reject::HOLD_MODE_BUSY));
}

// Margin and leverage.

#[test]
fn opening_orders_hold_margin_and_the_fee_with_its_mark_up() {
    let mut floor = Floor::new();
    floor.placed(floor.ann, &buy("49000", "0.1"));
    let view = floor.venue.account_view(floor.ann);
    // 4,900 over 20, and 4,900 × 0.06 % × 1.005.
    assert_eq!(view.order_margin, Quote(245 * E8 + 294_000_000 + 1_470_000));
    assert_eq!(view.available, view.equity - view.order_margin);
    // The other side holds no more margin, only its fee.
    floor.placed(floor.ann, &sell("49100", "0.05"));
    let both = floor.venue.account_view(floor.ann);
    assert!(both.order_margin - view.order_margin < Quote::usdt(2));
}

#[test]
fn what_makes_an_exposure_smaller_needs_no_margin() {
    let mut floor = Floor::new();
    floor.crowd(Side::Sell, 50_000, 100_000);
    floor.placed(floor.ann, &buy("50000", "3.9"));
    assert_eq!(floor.place(floor.ann, &buy("50000", "0.2")), Err(Reject::MARGIN));
    assert!(floor.place(floor.ann, &sell("51000", "3.9")).is_ok());
    floor.venue.cancel_all(floor.ann, None, floor.now);
    assert_eq!(floor.place(floor.ann, &sell("51000", "8.2")), Err(Reject::MARGIN));
}

#[test]
fn leverage_keeps_to_its_range_its_tier_and_its_margin() {
    let mut floor = Floor::new();
    let set = |floor: &mut Floor, leverage| {
        floor.venue.set_leverage(floor.ann, BTC, leverage, floor.now).map_err(|r| r.code)
    };
    assert_eq!(set(&mut floor, 0), Err(25223));
    assert_eq!(set(&mut floor, 126), Err(25223));
    assert_eq!(set(&mut floor, 125), Ok(()));
    floor.crowd(Side::Sell, 50_000, 100_000);
    assert_eq!(floor.place(floor.ann, &buy("50000", "3.1")), Err(Reject::POSITION_TIER));
    floor.placed(floor.ann, &buy("50000", "2.9"));
    assert_eq!(set(&mut floor, 20), Ok(()));
    assert_eq!(set(&mut floor, 14), Err(25228));
}

#[test]
fn only_what_is_free_can_be_taken_out() {
    let mut floor = long_100();
    let view = floor.venue.account_view(floor.ann);
    floor.mark(60_000);
    let rich = floor.venue.account_view(floor.ann);
    assert_eq!(rich.unrealized, Quote::usdt(100));
    let all = rich.balance + Quote(1);
    assert_eq!(floor.venue.withdraw(floor.ann, all, floor.now), Err(Reject::BALANCE));
    floor.mark(50_000);
    let more = view.available + Quote(1);
    assert_eq!(floor.venue.withdraw(floor.ann, more, floor.now), Err(Reject::BALANCE));
    assert_eq!(floor.venue.withdraw(floor.ann, view.available, floor.now), Ok(()));
    assert_eq!(floor.venue.account_view(floor.ann).available, Quote::ZERO);
    for amount in [Quote::ZERO, Quote(-1), Quote(i64::MAX)] {
        assert_eq!(floor.venue.deposit(floor.ann, amount, floor.now), Err(Reject::AMOUNT_RANGE));
    }
}

// Funding and time.

#[test]
fn longs_pay_shorts_at_the_grid_instant_when_the_rate_is_positive() {
    let mut floor = Floor::new();
    floor.placed(floor.ann, &buy("50000", "0.01"));
    floor.placed(floor.bob, &sell("50000", "0.01"));
    let before = (floor.balance(floor.ann), floor.balance(floor.bob));
    let eight = UnixNanos(MIDNIGHT.0 + 8 * 60 * UnixNanos::MINUTE);
    assert_eq!(floor.venue.deadline(), Some(eight));
    floor.venue.advance(UnixNanos(eight.0 - 1));
    assert_eq!(floor.balance(floor.ann), before.0);
    floor.venue.advance(eight);
    // 500 USDT at 1 bp.
    assert_eq!(floor.balance(floor.ann), before.0 - Quote(5_000_000));
    assert_eq!(floor.balance(floor.bob), before.1 + Quote(5_000_000));
    let bill = *floor.venue.account(floor.ann).bills().back().unwrap();
    assert_eq!((bill.kind, bill.amount, bill.at), (BillKind::FundingOut, Quote(-5_000_000), eight));
    let position = floor.venue.account(floor.bob).holding(BTC).position(PosSide::Net);
    assert_eq!(position.funding, Quote(5_000_000));
    assert_eq!(floor.venue.instrument(BTC).fundings.back().unwrap().at, eight);
    let sixteen = UnixNanos(MIDNIGHT.0 + 16 * 60 * UnixNanos::MINUTE);
    assert_eq!(floor.venue.instrument(BTC).next_funding, sixteen);
}

#[test]
fn a_negative_rate_makes_shorts_pay_and_fractions_fall_to_the_payer() {
    let grids = Rules::btcusdt().grids;
    let pay =
        |lots, rate| crate::funding::payment(&grids, Lots(lots), Price(50_000 * E8), Rate(rate));
    assert_eq!(pay(1, 1), Quote(-5));
    assert_eq!(pay(1, -1), Quote(5));
    assert_eq!(pay(-1, 1), Quote(5));
    let odd = |lots| crate::funding::payment(&grids, Lots(lots), Price(50_001 * E8), Rate(1));
    assert_eq!((odd(1), odd(-1)), (Quote(-6), Quote(5)));
}

#[test]
fn funding_that_was_due_is_settled_before_an_order_that_comes_later() {
    let mut floor = Floor::new();
    floor.crowd(Side::Sell, 50_000, 100);
    floor.now = UnixNanos(MIDNIGHT.0 + 8 * 60 * UnixNanos::MINUTE);
    floor.placed(floor.ann, &buy("50000", "0.01"));
    assert_eq!(floor.venue.account(floor.ann).totals().funding, Quote::ZERO);
    assert_eq!(floor.venue.instrument(BTC).fundings.len(), 1);
}

#[test]
fn every_contract_keeps_its_own_funding_interval() {
    let mut floor = Floor::new();
    let hourly = Rules { fund_interval_hours: 1, ..Rules::ethusdt() };
    floor.venue.change_rules(ETH, hourly, floor.now).unwrap();
    floor.venue.advance(UnixNanos(MIDNIGHT.0 + UnixNanos::DAY));
    assert_eq!(floor.venue.instrument(BTC).fundings.len(), 3);
    assert_eq!(floor.venue.instrument(ETH).fundings.len(), 24);
}

#[test]
fn the_rate_follows_the_published_formula() {
    let rules = Rules::btcusdt();
    let rate = |premium| crate::funding::rate(&rules, Rate(premium)).0;
    assert_eq!(rate(0), 10_000);
    assert_eq!(rate(40_000), 10_000, "pulled to the base rate");
    assert_eq!(rate(100_000), 50_000);
    assert_eq!(rate(-100_000), -50_000);
    assert_eq!(rate(1_000_000), 300_000, "bounded");
    let hourly = Rules { fund_interval_hours: 1, ..Rules::btcusdt() };
    assert_eq!(crate::funding::rate(&hourly, Rate(0)), Rate(1_250));
}

#[test]
fn a_countdown_that_runs_out_cancels_everything_once() {
    let mut floor = Floor::new();
    let second = 1_000_000_000;
    let order = floor.placed(floor.ann, &buy("49000", "0.01")).id;
    for seconds in [1, 4, 61] {
        let answer = floor.venue.set_countdown(floor.ann, seconds, floor.now);
        assert_eq!(answer, Err(Reject::COUNTDOWN_RANGE));
    }
    floor.venue.set_countdown(floor.ann, 5, floor.now).unwrap();
    floor.venue.advance(UnixNanos(floor.now.0 + 4 * second));
    floor.venue.set_countdown(floor.ann, 5, UnixNanos(floor.now.0 + 4 * second)).unwrap();
    floor.venue.advance(UnixNanos(floor.now.0 + 9 * second - 1));
    assert_eq!(floor.order(order).status, OrderStatus::Live);
    floor.venue.advance(UnixNanos(floor.now.0 + 9 * second));
    assert_eq!(floor.order(order).status, OrderStatus::Canceled);
    let order = floor.venue.place(floor.ann, &buy("49000", "0.01"), floor.now).unwrap().order;
    floor.venue.advance(UnixNanos(floor.now.0 + 99 * second));
    assert_eq!(floor.order(order).status, OrderStatus::Live, "disarmed");
}

#[test]
fn time_that_runs_backward_stands_still() {
    let mut floor = Floor::new();
    let order = floor.venue.place(floor.ann, &buy("49000", "0.01"), UnixNanos(0)).unwrap().order;
    assert_eq!(floor.order(order).created, floor.now);
}

/// Where an account's money came from, to the last unit.
fn identity(account: &Account, deposits: Quote) {
    let t = account.totals();
    let sum = t.realized - t.fees + t.funding + t.transfers + t.insurance;
    assert_eq!(account.balance(), sum);
    if !deposits.is_zero() {
        assert_eq!(t.transfers, deposits);
    }
}

// Rules that change.

#[test]
fn rules_that_make_no_sense_are_refused() {
    let good = Rules::btcusdt();
    let tier = good.tiers[0];
    let grids = |price, size| {
        let grid = |scale| keel_core::decimal::Grid { step: 1, scale };
        crate::instrument::Grids { price: grid(price), size: grid(size) }
    };
    let bad = [
        (Rules { symbol: String::new(), ..good.clone() }, RulesError::Name),
        (Rules { grids: grids(5, 4), ..good.clone() }, RulesError::Grid),
        (Rules { tiers: vec![], ..good.clone() }, RulesError::Tiers),
        (Rules { tiers: vec![tier, tier], ..good.clone() }, RulesError::Tiers),
        (
            Rules { tiers: vec![Tier { start: Quote(1), ..tier }], ..good.clone() },
            RulesError::Tiers,
        ),
        (Rules { fund_interval_hours: 0, ..good.clone() }, RulesError::FundInterval),
        (Rules { fund_interval_hours: 7, ..good.clone() }, RulesError::FundInterval),
        (Rules { leverage_max: 0, ..good.clone() }, RulesError::Leverage),
        (Rules { size_min: Lots(0), ..good.clone() }, RulesError::Size),
        (Rules { buy_band: Rate(0), ..good.clone() }, RulesError::Band),
        (Rules { taker: Rate::bps(101), ..good.clone() }, RulesError::Rate),
        (
            Rules { fund_rate_min: Rate(1), fund_rate_max: Rate(0), ..good.clone() },
            RulesError::Rate,
        ),
    ];
    for (rules, error) in bad {
        assert_eq!(rules.check(), Err(error));
    }
    assert_eq!(good.check(), Ok(()));
    assert_eq!(Rules::ethusdt().check(), Ok(()));
    let mut floor = Floor::new();
    assert_eq!(floor.venue.list(good, marks(1)), Err(RulesError::Name));
    for mark in [0, -1, 90_000_000_000] {
        assert_eq!(floor.venue.set_marks(BTC, marks(mark), floor.now), Err(RulesError::Mark));
    }
}

#[test]
fn a_new_tick_cancels_what_rests_and_keeps_what_is_held() {
    let mut floor = long_100();
    let order = floor.placed(floor.ann, &buy("49000", "0.01")).id;
    floor.crowd(Side::Buy, 48_000, 10);
    let mut rules = Rules::btcusdt();
    rules.grids.price.step = 5;
    rules.grids.size = keel_core::decimal::Grid { step: 1, scale: 5 };
    let before = floor.venue.account_view(floor.ann);
    floor.venue.change_rules(BTC, rules.clone(), floor.now).unwrap();
    assert_eq!(floor.order(order).cancel_reason, Some(CancelReason::Contract));
    assert!(floor.venue.instrument(BTC).book.is_empty());
    assert_eq!(floor.position(floor.ann), 1_000);
    assert_eq!(floor.venue.account_view(floor.ann).unrealized, before.unrealized);
    assert_eq!(floor.place(floor.ann, &buy("49000.1", "0.01")).unwrap_err().code, 25244);
    rules.grids.size = keel_core::decimal::Grid { step: 3, scale: 2 };
    (rules.limit_size_max, rules.market_size_max) = (Lots(1_000), Lots(1_000));
    let refused = floor.venue.change_rules(BTC, rules, floor.now);
    assert_eq!(refused, Err(RulesError::PositionOffGrid));
    assert_eq!(floor.position(floor.ann), 1_000);
}

#[test]
fn a_contract_that_goes_offline_loses_its_orders() {
    let mut floor = Floor::new();
    let order = floor.placed(floor.ann, &buy("49000", "0.01")).id;
    floor.venue.set_status(BTC, Status::Offline, floor.now);
    assert_eq!(floor.order(order).cancel_reason, Some(CancelReason::Contract));
    assert_eq!(floor.place(floor.ann, &buy("49000", "0.01")), Err(Reject::SYMBOL_CLOSED));
}

// Public history.

#[test]
fn prints_make_minute_bars_and_still_minutes_repeat_the_close() {
    let mut floor = Floor::new();
    for (minute, price) in [(0, 50_000), (0, 50_100), (3, 49_900)] {
        floor.now = UnixNanos(MIDNIGHT.0 + (minute + 1) * UnixNanos::MINUTE);
        floor.crowd(Side::Sell, price, 10);
        floor.crowd(Side::Buy, price, 10);
    }
    let candles = &floor.venue.instrument(BTC).candles;
    let closes: Vec<i64> = candles.minutes().iter().map(|bar| bar.close.0 / E8).collect();
    assert_eq!(closes, [50_100, 50_100, 50_100, 49_900]);
    let first = candles.minutes()[0];
    assert_eq!((first.open.0 / E8, first.high.0 / E8), (50_000, 50_100));
    assert_eq!(first.volume_e8, 200_000);
    assert_eq!(first.turnover_e8, 10_010_000_000);
    let whole = candles.bars(5);
    assert_eq!(whole.len(), 1);
    assert_eq!((whole[0].start, whole[0].low.0 / E8), (MIDNIGHT, 49_900));
    let day = floor.venue.day(BTC, floor.now).unwrap();
    assert_eq!((day.bar.volume_e8, day.open_utc.0 / E8), (300_000, 50_000));
}

#[test]
fn book_numbers_only_increase_and_not_by_one() {
    let mut floor = Floor::new();
    let mut last = floor.venue.instrument(BTC).seq;
    for i in 0..50 {
        floor.crowd(Side::Sell, 50_000 + i, 10);
        let seq = floor.venue.instrument(BTC).seq;
        assert!(seq > last + 1);
        last = seq;
    }
}

#[test]
fn records_are_rings_of_stated_size() {
    let mut floor = Floor::new();
    for i in 0..crate::account::DONE_MAX + 10 {
        let order = floor.placed(floor.ann, &named(&i.to_string(), buy("49000", "0.01")));
        floor.venue.cancel(floor.ann, &OrderRef::Id(order.id), floor.now).unwrap();
        floor.events();
    }
    assert_eq!(floor.venue.account(floor.ann).done_orders().count(), crate::account::DONE_MAX);
    assert_eq!(floor.venue.orders.len(), crate::account::DONE_MAX);
    let forgotten = OrderRef::Client("0".into());
    assert_eq!(floor.venue.find_order(floor.ann, &forgotten), None);
}

#[test]
fn a_key_is_found_by_its_name_and_its_secret_is_never_printed() {
    let mut floor = Floor::new();
    let key = ApiKey::new("bg_1", "do-not-print", "nor-this", crate::account::Permissions::TRADE);
    floor.venue.add_key(floor.ann, key.clone());
    assert_eq!(floor.venue.key("bg_1"), Some((floor.ann, &key)));
    let printed = format!("{:?}", floor.venue);
    assert!(!printed.contains("do-not-print") && !printed.contains("nor-this"));
    assert_eq!(floor.venue.keys(floor.ann).count(), 1);
    assert!(floor.venue.revoke_key("bg_1") && !floor.venue.revoke_key("bg_1"));
    assert_eq!(floor.venue.key("bg_1"), None);
}

// Whole flows.

#[derive(Clone, Debug)]
enum Act {
    Place { who: usize, side: Side, price: i64, size: i64, how: usize, closes: bool, stp: StpMode },
    Crowd { side: Side, price: i64, size: i64 },
    Modify { who: usize, which: usize, price: i64, size: i64 },
    Cancel { who: usize, which: usize },
    Close { who: usize },
    Mark { price: i64, rate: i64 },
    Wait { minutes: i64 },
    Move { who: usize, amount: i64 },
    Margin { who: usize, amount: i64, leverage: u32 },
}

fn act() -> impl Strategy<Value = Act> {
    let side = || prop_oneof![Just(Side::Buy), Just(Side::Sell)];
    let stp = prop_oneof![
        3 => Just(StpMode::None),
        1 => Just(StpMode::CancelMaker),
        1 => Just(StpMode::CancelTaker),
        1 => Just(StpMode::CancelBoth),
    ];
    let price = || 49_900i64..50_100;
    let mark = prop_oneof![4 => 49_500i64..50_500, 1 => 43_000i64..57_000];
    let place = (0usize..3, side(), price(), 1i64..20_000, 0usize..5, any::<bool>(), stp);
    prop_oneof![
        8 => place.prop_map(|(who, side, price, size, how, closes, stp)| {
            Act::Place { who, side, price, size, how, closes, stp }
        }),
        5 => (side(), price(), 1i64..20_000).prop_map(|(side, price, size)| {
            Act::Crowd { side, price, size }
        }),
        2 => (0usize..3, any::<usize>(), price(), 1i64..20_000).prop_map(
            |(who, which, price, size)| Act::Modify { who, which, price, size }
        ),
        2 => (0usize..3, any::<usize>()).prop_map(|(who, which)| Act::Cancel { who, which }),
        1 => (0usize..3).prop_map(|who| Act::Close { who }),
        2 => (mark, -300_000i64..300_000).prop_map(|(price, rate)| {
            Act::Mark { price, rate }
        }),
        1 => (1i64..600).prop_map(|minutes| Act::Wait { minutes }),
        1 => (0usize..3, -2_000i64..2_000).prop_map(|(who, amount)| Act::Move { who, amount }),
        1 => (0usize..3, -2_000i64..2_000, 1u32..60).prop_map(|(who, amount, leverage)| {
            Act::Margin { who, amount, leverage }
        }),
    ]
}

impl Floor {
    fn act_place(&mut self, clients: [AccountId; 3], act: &Act) {
        let Act::Place { who, side, price, size, how, closes, stp } = *act else { return };
        let size = Decimal { mantissa: size, scale: 4 };
        let mut request = limit(side, &price.to_string(), "1");
        request.size = size;
        request.stp = stp;
        if how == 4 {
            request.kind = OrderKind::Market;
        } else {
            request.time_in_force =
                [TimeInForce::Gtc, TimeInForce::Ioc, TimeInForce::Fok, TimeInForce::PostOnly][how];
        }
        // Bob keeps margin apart, and so does Cid while there is a fund.
        let apart = who == 1 || who == 2 && self.venue.fund().balance().0 > 0;
        request.margin_mode = apart.then_some(MarginMode::Isolated);
        let hedged = self.venue.account(clients[who]).hold_mode == HoldMode::Hedge;
        request.reduce_only = closes && !hedged;
        if hedged {
            request.pos_side = match (side, closes) {
                (Side::Buy, false) | (Side::Sell, true) => PosSide::Long,
                (Side::Sell, false) | (Side::Buy, true) => PosSide::Short,
            };
        }
        let _ = self.place(clients[who], &request);
    }

    fn act(&mut self, clients: [AccountId; 3], act: &Act) {
        match *act {
            Act::Place { .. } => self.act_place(clients, act),
            Act::Crowd { side, price, size } => {
                self.crowd(side, price, size);
            }
            Act::Modify { who, which, price, size } => {
                let open: Vec<OrderId> = self.venue.account(clients[who]).open_orders().collect();
                if !open.is_empty() {
                    let mut request = modified(open[which % open.len()], None, None);
                    request.price = Some(number(&price.to_string()));
                    request.size = Some(Decimal { mantissa: size, scale: 4 });
                    let _ = self.venue.modify(clients[who], &request, self.now);
                }
            }
            Act::Cancel { who, which } => {
                let open: Vec<OrderId> = self.venue.account(clients[who]).open_orders().collect();
                if !open.is_empty() {
                    let order = OrderRef::Id(open[which % open.len()]);
                    self.venue.cancel(clients[who], &order, self.now).unwrap();
                }
            }
            Act::Close { who } => {
                self.venue.close_positions(clients[who], None, None, self.now);
            }
            Act::Mark { price, rate } => {
                let marks = Marks { funding_rate: Rate(rate), ..marks(price) };
                self.venue.set_marks(BTC, marks, self.now).unwrap();
            }
            Act::Wait { minutes } => {
                self.now = UnixNanos(self.now.0 + minutes * UnixNanos::MINUTE);
                self.venue.advance(self.now);
            }
            Act::Move { who, amount } => {
                let account = clients[who];
                let _ = match amount {
                    0.. => self.venue.deposit(account, Quote::usdt(amount), self.now),
                    _ => self.venue.withdraw(account, Quote::usdt(-amount), self.now),
                };
            }
            Act::Margin { who, amount, leverage } => {
                let account = clients[who];
                for side in PosSide::ALL {
                    let amount = Quote::usdt(amount);
                    let _ = self.venue.set_margin(account, BTC, side, amount, self.now);
                }
                let leverages = [Some(leverage), None];
                let _ = self.venue.set_isolated_leverage(account, BTC, leverages, self.now);
            }
        }
    }
}

/// What the venue keeps twice must agree, and no rule may be broken.
fn audit(floor: &Floor, clients: [AccountId; 3]) {
    let venue = &floor.venue;
    let market = venue.instrument(BTC);
    for account in venue.accounts().iter().filter(|account| !account.house) {
        let holding = account.holding(BTC);
        identity(account, Quote::ZERO);
        assert!(account.balance() >= Quote::ZERO || account.is_exposed());
        let (mut opening, mut closing) = ([crate::account::OpenSum::default(); 2], 0);
        for id in account.open_orders() {
            let kept = venue.kept(id);
            let order = &kept.order;
            let resting = market.book.resting(kept.key.expect("an open order rests")).unwrap();
            assert_eq!((resting.id, resting.left), (id.0, order.left()));
            if order.closes() {
                let lots = holding.position(order.pos_side).lots;
                assert!(!trade::room_in(lots, order.side).is_zero(), "it has room");
                closing += 1;
            } else {
                let sum = &mut opening[order.side.index()];
                sum.lots += order.left();
                sum.value += order.grids.value(order.price, order.left());
            }
        }
        assert_eq!((holding.opening, holding.closing), (opening, closing));
        assert_eq!(holding.orders as usize, account.open_orders().count());
        for (side, sign) in [(PosSide::Long, 1), (PosSide::Short, -1)] {
            assert!(holding.position(side).lots.0 * sign >= 0);
        }
        for position in &holding.positions {
            let apart = holding.margin_mode == MarginMode::Isolated && !position.lots.is_zero();
            assert!(apart || position.margin.is_zero(), "only isolated positions keep margin");
        }
        let moving = account.bills().iter().filter(|bill| bill.moves_money());
        let bills = moving.fold(Quote::ZERO, |sum, bill| sum + bill.amount - bill.fee);
        assert_eq!(bills, account.balance(), "the records are whole");
    }
    conservation(venue, clients);
    let crossed = match (market.book.best(Side::Buy), market.book.best(Side::Sell)) {
        (Some(bid), Some(ask)) => bid >= ask,
        _ => false,
    };
    assert!(!crossed);
}

/// What one buys another sells, at the same price; and the fund has what was paid to it less what
/// it has paid.
fn conservation(venue: &Venue, clients: [AccountId; 3]) {
    let taken = venue.fund().taken(BTC);
    let (mut lots, mut paid) = (taken.lots.0, taken.paid);
    for account in venue.accounts() {
        for position in &account.holding(BTC).positions {
            lots += position.lots.0;
            paid += position.entry;
        }
        paid -= i128::from(account.totals().realized.0);
    }
    assert_eq!((lots, paid), (0, 0), "what one buys another sells");
    let (mut earned, mut borne) = (Quote::ZERO, Quote::ZERO);
    for id in clients {
        let account = venue.account(id);
        let forced = account.fills().iter().filter(|fill| fill.source.is_forced());
        earned = forced.fold(earned, |sum, fill| sum + fill.fee);
        borne += account.totals().insurance;
    }
    let start = venue.fund().balance() - earned + borne;
    assert!([Quote::ZERO, crate::fund::FUND_DEFAULT].contains(&start), "the fund is whole");
}

fn flow(acts: &[Act]) -> (Floor, Vec<VenueEvent>) {
    let mut floor = Floor::new();
    if acts.len().is_multiple_of(2) {
        floor.venue.set_fund(Quote::ZERO);
    }
    let new = NewAccount { name: "cid".into(), uid: 1003, parent: Some(floor.ann) };
    let cid = floor.venue.open_account(new, floor.now);
    floor.venue.deposit(cid, Quote::usdt(5_000), floor.now).unwrap();
    floor.venue.set_hold_mode(cid, HoldMode::Hedge).unwrap();
    floor.venue.set_fees(floor.ann, None, Fees::market_maker()).unwrap();
    let clients = [floor.ann, floor.bob, cid];
    let mut events = Vec::new();
    for act in acts {
        floor.act(clients, act);
        audit(&floor, clients);
        floor.venue.drain(&mut events);
    }
    (floor, events)
}

#[test]
fn the_flows_of_these_tests_reach_every_end_that_an_order_can_have() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let acts = prop::collection::vec(act(), 80);
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..400 {
        let acts = acts.new_tree(&mut runner).unwrap().current();
        for event in flow(&acts).1 {
            seen.insert(kind(&event));
            if let VenueEvent::Order(order) = event {
                seen.extend(order.cancel_reason.map(CancelReason::word));
            }
        }
    }
    for word in [
        "order",
        "fill",
        "position",
        "account",
        "trade",
        "level",
        "ticker",
        "funding",
        "liquidation",
        "adl",
        "normal_cancel",
        "stp_cancel",
        "fok_not_full_cancel",
        "ioc_not_full_cancel",
        "post_only_fill_cancel",
        "modify_limit_order",
        "burst_cancel",
        "adl_cancel",
        "delegated_risk_order_cancel",
        "limit_price_exceed_cancel",
    ] {
        assert!(seen.contains(word), "{word}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    #[test]
    fn money_and_books_balance_under_any_flow(acts in prop::collection::vec(act(), 1..80)) {
        let start = Quote::usdt(10_000);
        let (floor, events) = flow(&acts);
        // Equity moved by nothing but what is recorded.
        for id in [floor.ann, floor.bob] {
            let view = floor.venue.account_view(id);
            let t = floor.venue.account(id).totals();
            let moved = t.realized - t.fees + t.funding + t.insurance + (t.transfers - start);
            prop_assert_eq!(view.equity - start, moved + view.unrealized);
        }
        // A client who only reads pushes knows the book and every order.
        let mut levels = BTreeMap::new();
        let mut open = BTreeMap::new();
        for event in &events {
            match event {
                VenueEvent::Level(level) => {
                    levels.insert((level.side.index(), level.price), level.size);
                }
                VenueEvent::Order(order) => {
                    open.insert(order.id, order.status.is_done());
                }
                _ => {}
            }
        }
        let book = &floor.venue.instrument(BTC).book;
        for ((side, price), size) in &levels {
            prop_assert_eq!(book.size_at(Side::BOTH[*side], *price), *size);
        }
        let told: usize = levels.values().filter(|size| !size.is_zero()).count();
        prop_assert_eq!(told, book.depth(Side::Buy).len() + book.depth(Side::Sell).len());
        let live = open.values().filter(|done| !**done).count();
        let kept: usize = floor.venue.accounts().iter().map(|a| a.open_orders().count()).sum();
        prop_assert_eq!(live, kept);
    }

    #[test]
    fn the_same_calls_give_the_same_events(acts in prop::collection::vec(act(), 1..40)) {
        prop_assert_eq!(flow(&acts).1, flow(&acts).1);
    }
}
