//! Isolated margin: a position that lives and dies by its own.

use super::*;

fn isolated(request: PlaceRequest) -> PlaceRequest {
    PlaceRequest { margin_mode: Some(MarginMode::Isolated), ..request }
}

impl Floor {
    fn kept(&self, account: AccountId) -> Quote {
        self.venue.account(account).holding(BTC).position(PosSide::Net).margin
    }

    /// Ann buys one coin at 50,000 with a tenth of its own.
    fn isolated_long() -> Self {
        let mut floor = Self::new();
        floor.venue.set_isolated_leverage(floor.ann, BTC, [Some(10); 2], floor.now).unwrap();
        floor.crowd(Side::Sell, 50_000, 10_000);
        floor.placed(floor.ann, &isolated(buy("50000", "1")));
        floor.events();
        floor
    }
}

#[test]
fn an_isolated_position_takes_its_margin_out_of_what_is_free() {
    let floor = Floor::isolated_long();
    assert_eq!(floor.kept(floor.ann), Quote::usdt(5_000));
    let view = floor.venue.account_view(floor.ann);
    // 10,000 less the fee of 30 and the margin.
    assert_eq!((view.available, view.equity), (Quote::usdt(4_970), Quote::usdt(9_970)));
    assert_eq!((view.maintenance_margin, view.margin_ratio), (Quote::ZERO, Rate::ZERO));
    let position = floor.venue.position_view(floor.ann, BTC, PosSide::Net);
    assert_eq!((position.leverage, position.initial_margin), (10, Quote::usdt(5_000)));
    // 5,000 less what was lost is 0.4% of the value at 45,180.72.
    let price = position.liquidation_price.unwrap();
    assert_eq!(price.0 / E8, 45_180);
    assert_eq!(position.margin_ratio, Rate(4_000_000), "200 over 5,000");
}

#[test]
fn its_profit_and_its_loss_do_not_count_for_other_positions() {
    let mut floor = Floor::isolated_long();
    for price in [52_000, 47_000] {
        floor.mark(price);
        assert_eq!(floor.venue.account_view(floor.ann).available, Quote::usdt(4_970));
    }
}

#[test]
fn it_is_liquidated_alone_and_costs_no_more_than_its_margin() {
    let mut floor = Floor::isolated_long();
    let other = PlaceRequest { instrument: ETH, ..buy("1900", "0.1") };
    let other = floor.placed(floor.ann, &other).id;
    let own = floor.placed(floor.ann, &isolated(sell("52000", "0.1"))).id;
    floor.mark(45_181);
    assert_eq!(floor.position(floor.ann), 10_000, "just above its price");
    floor.mark(44_000);
    assert_eq!(floor.position(floor.ann), 0);
    assert_eq!(floor.order(own).cancel_reason, Some(CancelReason::Burst));
    assert_eq!(floor.order(other).status, OrderStatus::Live, "of another contract");
    let account = floor.venue.account(floor.ann);
    assert_eq!(account.balance(), Quote::usdt(4_970), "the fund bears the rest");
    let fee = account.fills().back().unwrap().fee;
    assert_eq!(account.totals().insurance, Quote::usdt(1_000) + fee);
    let words: Vec<_> =
        account.bills().iter().rev().take(2).map(|b| (b.kind, b.isolated)).collect();
    assert!(matches!(words[..], [(BillKind::Insurance, true), (BillKind::Closed(_), true)]));
    assert_eq!(account.closed().back().unwrap().margin_mode, MarginMode::Isolated);
    identity(account, Quote::usdt(10_000));
}

#[test]
fn without_a_fund_its_bankruptcy_price_is_that_of_its_own_margin() {
    let mut floor = Floor::new();
    floor.venue.set_fund(Quote::ZERO);
    floor.venue.set_isolated_leverage(floor.ann, BTC, [Some(10); 2], floor.now).unwrap();
    floor.placed(floor.bob, &sell("50000", "1"));
    floor.placed(floor.ann, &isolated(buy("50000", "1")));
    floor.mark(44_000);
    let account = floor.venue.account(floor.ann);
    let last = account.fills().back().unwrap();
    assert_eq!((last.source, last.price), (OrderSource::Bankruptcy, Ticks(450_000)));
    assert_eq!(account.balance(), Quote::usdt(4_970));
    assert_eq!((floor.position(floor.bob), floor.venue.fund().balance()), (0, Quote::ZERO));
}

#[test]
fn a_part_that_is_closed_gives_its_share_of_the_margin_back() {
    let mut floor = Floor::isolated_long();
    floor.crowd(Side::Buy, 50_500, 4_000);
    floor.placed(floor.ann, &reducing(sell("50500", "0.4")));
    assert_eq!(floor.kept(floor.ann), Quote::usdt(3_000));
    // Half of the rest at a loss of 1,530: its share of 1,500 does not bear that.
    floor.mark(46_000);
    floor.crowd(Side::Buy, 44_900, 3_000);
    let before = floor.balance(floor.ann);
    floor.placed(floor.ann, &reducing(sell("44900", "0.3")));
    let fee = floor.venue.account(floor.ann).fills().back().unwrap().fee;
    assert_eq!(floor.kept(floor.ann), Quote::usdt(1_500) - (Quote::usdt(30) + fee));
    assert_eq!(floor.balance(floor.ann), before - Quote::usdt(1_530) - fee);
}

#[test]
fn margin_can_be_given_and_taken_back_as_far_as_the_leverage_allows() {
    let mut floor = Floor::isolated_long();
    let set = |floor: &mut Floor, usdt: i64| {
        floor.venue.set_margin(floor.ann, BTC, PosSide::Net, Quote::usdt(usdt), floor.now)
    };
    assert_eq!(set(&mut floor, 4_971).unwrap_err(), Reject::MARGIN);
    set(&mut floor, 1_000).unwrap();
    assert_eq!(floor.kept(floor.ann), Quote::usdt(6_000));
    assert_eq!(floor.venue.account_view(floor.ann).available, Quote::usdt(3_970));
    assert_eq!(set(&mut floor, -1_001).unwrap_err().code, 25242);
    set(&mut floor, -1_000).unwrap();
    let bills = floor.venue.account(floor.ann).bills();
    let moved: Vec<_> = bills.iter().rev().take(2).map(|b| (b.kind, b.amount, b.balance)).collect();
    let whole = Quote::usdt(9_970);
    let expected = [
        (BillKind::Margin, Quote::usdt(1_000), whole),
        (BillKind::Margin, -Quote::usdt(1_000), whole),
    ];
    assert_eq!(moved, expected, "the wallet holds both");
    let crossed = PlaceRequest { instrument: ETH, ..market(Side::Buy, "1") };
    assert!(floor.place(floor.ann, &crossed).is_ok());
    let none = floor.venue.set_margin(floor.ann, ETH, PosSide::Net, Quote::usdt(1), floor.now);
    assert_eq!(none.unwrap_err(), Reject::NO_POSITION);
}

#[test]
fn a_lower_leverage_takes_more_margin_and_each_side_of_a_hedge_has_its_own() {
    let mut floor = Floor::isolated_long();
    let set = |floor: &mut Floor, leverages| {
        floor.venue.set_isolated_leverage(floor.ann, BTC, leverages, floor.now)
    };
    assert_eq!(set(&mut floor, [Some(5), None]), Err(Reject::LEVERAGE_MARGIN), "10,000 of 9,970");
    set(&mut floor, [Some(8), None]).unwrap();
    assert_eq!(floor.kept(floor.ann), Quote::usdt(6_250));
    let bill = *floor.venue.account(floor.ann).bills().back().unwrap();
    assert_eq!((bill.kind, bill.amount), (BillKind::LeverageMargin, -Quote::usdt(1_250)));
    set(&mut floor, [Some(20), None]).unwrap();
    assert_eq!(floor.kept(floor.ann), Quote::usdt(6_250), "a higher one gives nothing back");

    floor.venue.set_hold_mode(floor.bob, HoldMode::Hedge).unwrap();
    floor.venue.set_isolated_leverage(floor.bob, BTC, [Some(10), Some(25)], floor.now).unwrap();
    floor.crowd(Side::Sell, 50_000, 1_000);
    floor.crowd(Side::Buy, 49_999, 1_000);
    let side = |pos_side, request| PlaceRequest { pos_side, ..isolated(request) };
    floor.placed(floor.bob, &side(PosSide::Long, buy("50000", "0.1")));
    floor.placed(floor.bob, &side(PosSide::Short, sell("49999", "0.1")));
    let holding = floor.venue.account(floor.bob).holding(BTC);
    assert_eq!(holding.position(PosSide::Long).margin, Quote::usdt(500));
    assert_eq!(holding.position(PosSide::Short).margin, Quote(199_996 * E8 / 1_000));
}

#[test]
fn funding_comes_and_goes_through_its_own_margin() {
    let mut floor = Floor::isolated_long();
    floor.venue.settle_funding(BTC, floor.now);
    assert_eq!(floor.kept(floor.ann), Quote::usdt(4_995), "one basis point of 50,000");
    assert_eq!(floor.venue.account_view(floor.ann).available, Quote::usdt(4_970));
    assert!(floor.venue.account(floor.ann).bills().back().unwrap().isolated);
}

#[test]
fn a_contract_keeps_margin_in_one_way_at_a_time() {
    let mut floor = Floor::isolated_long();
    let crossed = |request| PlaceRequest { margin_mode: Some(MarginMode::Crossed), ..request };
    assert_eq!(floor.refused(floor.ann, &crossed(buy("49000", "0.01"))), 45117);
    let same = floor.placed(floor.ann, &buy("49000", "0.01"));
    assert_eq!(same.margin_mode, MarginMode::Isolated, "as the position has it");
    floor.placed(floor.bob, &buy("49000", "0.01"));
    floor.events();
    assert_eq!(floor.refused(floor.bob, &isolated(buy("49000", "0.01"))), 45117);
    let elsewhere = PlaceRequest { instrument: ETH, ..isolated(buy("1900", "0.1")) };
    assert_eq!(floor.placed(floor.bob, &elsewhere).margin_mode, MarginMode::Isolated);
    floor.venue.cancel_all(floor.bob, None, floor.now);
    floor.events();
    let refused = isolated(buy("49000", "0.00001"));
    assert_eq!(floor.refused(floor.bob, &refused), 22038);
    let mode = floor.venue.account(floor.bob).holding(BTC).margin_mode;
    assert_eq!(mode, MarginMode::Crossed, "a refused order changes nothing");
}

#[test]
fn orders_of_an_isolated_position_hold_what_it_will_be_given() {
    let mut floor = Floor::new();
    floor.venue.set_isolated_leverage(floor.ann, BTC, [Some(10); 2], floor.now).unwrap();
    floor.placed(floor.ann, &isolated(buy("49000", "1")));
    let view = floor.venue.account_view(floor.ann);
    let fee = Quote::usdt(49_000).times_rounded_up(Rate::bps(6));
    let frozen = fee + fee.times_rounded_up(Rate::bps(50));
    assert_eq!(view.order_margin, Quote::usdt(4_900) + frozen);
    floor.events();
    assert_eq!(floor.refused(floor.ann, &isolated(buy("49000", "1.1"))), 25202);
}
