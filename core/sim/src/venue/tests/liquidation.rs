//! Liquidation by tiers, the insurance fund, and auto-deleveraging.

use super::*;
use crate::fund::FUND_DEFAULT;

impl Floor {
    /// What the venue did to `account` in liquidation since the last look: source, side and size.
    fn forced(&mut self, account: AccountId) -> Vec<(OrderSource, Side, i64)> {
        let fills = self.events().into_iter().filter_map(|event| match event {
            VenueEvent::Fill(fill) => Some(fill),
            _ => None,
        });
        fills
            .filter(|fill| fill.account == account && fill.source.is_forced())
            .map(|fill| (fill.source, fill.side, fill.size.0))
            .collect()
    }

    /// Gives `account` 50,000 USDT and 20 BTC long at 50,000: the third tier.
    fn heavy(&mut self, account: AccountId) {
        self.venue.deposit(account, Quote::usdt(40_000), self.now).unwrap();
        self.venue.set_leverage(account, BTC, 50, self.now).unwrap();
        self.venue.set_fees(account, None, Fees { maker: Rate::ZERO, taker: Rate::ZERO }).unwrap();
        self.crowd(Side::Sell, 50_000, 200_000);
        self.placed(account, &buy("50000", "20"));
        assert_eq!(self.position(account), 200_000);
        self.events();
    }
}

#[test]
fn an_account_is_liquidated_when_equity_falls_to_maintenance() {
    let mut floor = Floor::new();
    floor.crowd(Side::Sell, 50_000, 30_000);
    floor.placed(floor.ann, &buy("50000", "2.9"));
    let resting = floor.placed(floor.ann, &sell("52000", "0.01")).id;
    let view = floor.venue.position_view(floor.ann, BTC, PosSide::Net);
    let edge = view.liquidation_price.unwrap();
    let at = |price: i64| Marks { mark: Price(price), index: Price(price), ..marks(1) };
    floor.venue.set_marks(BTC, at(edge.0 + 1_000), floor.now).unwrap();
    assert_eq!(floor.position(floor.ann), 29_000, "just above it");
    floor.events();
    floor.venue.set_marks(BTC, at(edge.0 - 1_000), floor.now).unwrap();
    assert_eq!(floor.position(floor.ann), 0);
    assert_eq!(floor.order(resting).cancel_reason, Some(CancelReason::Burst));
    let whole = [(OrderSource::Liquidation, Side::Sell, 29_000)];
    assert_eq!(floor.forced(floor.ann), whole, "the lowest tier goes whole");
    let account = floor.venue.account(floor.ann);
    let fill: &Fill = account.fills().back().unwrap();
    assert_eq!(fill.fee, crate::margin::fee_on(fill.value, Rate::bps(6)));
    let told = account.bills().back().unwrap();
    assert_eq!((told.fee, told.amount), (fill.fee, fill.realized));
    assert!(account.balance() > Quote::ZERO, "the maintenance margin was more than the fee");
    assert_eq!(floor.venue.fund().balance(), FUND_DEFAULT + fill.fee, "the fund earns it");
}

#[test]
fn a_large_position_is_reduced_to_the_next_tier_and_no_further_than_it_must() {
    let mut floor = Floor::new();
    floor.heavy(floor.ann);
    floor.mark(47_970);
    // Worth 959,400: reduced to what 900,000 buys, where half a percent is enough.
    let left = 900_000 * 10_000 / 47_970;
    let part = [(OrderSource::Reduce, Side::Sell, 200_000 - left)];
    assert_eq!(floor.forced(floor.ann), part);
    assert_eq!(floor.position(floor.ann), left);
    floor.mark(47_969);
    assert_eq!(floor.forced(floor.ann), [], "its margin suffices again");
}

#[test]
fn a_deeper_fall_reduces_tier_by_tier() {
    let mut floor = Floor::new();
    floor.heavy(floor.ann);
    floor.mark(47_650);
    let (second, first) = (900_000 * 10_000 / 47_650, 150_000 * 10_000 / 47_650);
    let steps = [
        (OrderSource::Reduce, Side::Sell, 200_000 - second),
        (OrderSource::Reduce, Side::Sell, second - first),
    ];
    assert_eq!(floor.forced(floor.ann), steps);
    assert_eq!(floor.position(floor.ann), first, "the lowest tier is held");
    let words: Vec<_> = floor.venue.account(floor.ann).bills().iter().rev().take(2).collect();
    assert!(words.iter().all(|bill| bill.fee > Quote::ZERO && bill.amount < Quote::ZERO));
}

#[test]
fn a_gap_through_zero_is_borne_by_the_insurance_fund() {
    let mut floor = Floor::new();
    floor.crowd(Side::Buy, 50_000, 30_000);
    floor.placed(floor.ann, &sell("50000", "2.9"));
    floor.mark(60_000);
    let account = floor.venue.account(floor.ann);
    assert_eq!(account.balance(), Quote::ZERO);
    let bill = account.bills().back().unwrap();
    assert_eq!((bill.kind, bill.balance), (BillKind::Insurance, Quote::ZERO));
    let borne = account.totals().insurance;
    assert!(borne > Quote::usdt(18_000));
    let fee = account.fills().back().unwrap().fee;
    assert_eq!(floor.venue.fund().balance(), FUND_DEFAULT + fee - borne);
    identity(account, Quote::ZERO);
}

#[test]
fn the_long_and_the_short_of_a_hedge_are_netted_before_anything_is_taken_over() {
    let mut floor = Floor::new();
    floor.venue.set_hold_mode(floor.ann, HoldMode::Hedge).unwrap();
    floor.crowd(Side::Sell, 50_000, 30_000);
    let side = |pos_side, request| PlaceRequest { pos_side, ..request };
    floor.placed(floor.ann, &side(PosSide::Long, buy("50000", "2.5")));
    floor.crowd(Side::Buy, 50_000, 10_000);
    floor.placed(floor.ann, &side(PosSide::Short, sell("50000", "0.4")));
    floor.events();
    floor.mark(45_350);
    let forced = floor.forced(floor.ann);
    let netted = [
        (OrderSource::Offset, Side::Sell, 4_000),
        (OrderSource::Offset, Side::Buy, 4_000),
        (OrderSource::Liquidation, Side::Sell, 21_000),
    ];
    assert_eq!(forced, netted);
    let account = floor.venue.account(floor.ann);
    let netting = account.fills().iter().filter(|fill| fill.source == OrderSource::Offset);
    assert!(netting.clone().count() == 2 && netting.map(|fill| fill.fee.0).sum::<i64>() == 0);
    assert!(!account.is_exposed());
}

#[test]
fn what_the_fund_cannot_bear_the_other_side_bears_by_rank_at_the_bankruptcy_price() {
    let mut floor = Floor::new();
    let new = NewAccount { name: "cid".into(), uid: 1003, parent: None };
    let cid = floor.venue.open_account(new, floor.now);
    floor.venue.deposit(cid, Quote::usdt(10_000), floor.now).unwrap();
    floor.venue.set_leverage(cid, BTC, 50, floor.now).unwrap();
    floor.venue.set_fund(Quote::ZERO);
    // Bob is short at twenty, Cid at fifty times; the crowd sells the rest.
    floor.placed(floor.bob, &sell("50000", "1"));
    floor.placed(cid, &sell("50000", "1"));
    floor.crowd(Side::Sell, 50_000, 9_000);
    floor.placed(floor.ann, &buy("50000", "2.9"));
    let resting = floor.placed(cid, &sell("52000", "0.01")).id;
    floor.events();
    let before = floor.balance(floor.ann);
    floor.mark(45_000);
    let events = floor.events();
    let told: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            VenueEvent::Adl(reduced) => Some((reduced.account, reduced.side, reduced.size.0)),
            _ => None,
        })
        .collect();
    assert_eq!(told, [(cid, Side::Buy, 10_000), (floor.bob, Side::Buy, 10_000)], "by leverage");
    assert_eq!(floor.order(resting).cancel_reason, Some(CancelReason::Adl));
    for account in [floor.ann, floor.bob, cid] {
        assert_eq!(floor.position(account), 0);
    }
    let fills = floor.venue.account(floor.ann).fills();
    let closing: Vec<&Fill> = fills.iter().rev().take(3).collect();
    assert_eq!(closing.iter().map(|fill| fill.size.0).sum::<i64>(), 29_000);
    assert!(closing.iter().all(|fill| fill.fee.is_zero()));
    // 50,000 less what there was for each coin, rounded to the tick that leaves something.
    let bankrupt = 50_000 * E8 - before.0 * 10 / 29;
    let price = closing[0].price.0 * E8 / 10;
    assert!((0..E8 / 10).contains(&(price - bankrupt)), "{price} {bankrupt}");
    let left = floor.balance(floor.ann);
    assert!(left >= Quote::ZERO && left < Quote::usdt(1), "{left:?}");
    assert_eq!(floor.venue.account(floor.ann).totals().insurance, Quote::ZERO);
    assert_eq!(floor.venue.fund().balance(), Quote::ZERO, "it neither pays nor earns");
    let gain = floor.venue.account(cid).fills().back().unwrap();
    assert_eq!(
        (gain.source, gain.price, gain.role),
        (OrderSource::Adl, closing[0].price, Role::Maker)
    );
    conservation(&floor.venue, [floor.ann, floor.bob, cid]);
}
