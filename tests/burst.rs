//! Executions that come faster than any market sends them: each is booked, to the last unit.

use keel_core::param::at;

use super::*;

/// What the venue would have on its books.
struct Sum {
    /// Money received less money paid, fees taken off.
    cash: i128,
    held: i64,
    trades: u64,
}

impl Sum {
    fn take(&mut self, fill: &Fill) {
        let signed = i128::from(fill.side.sign() * fill.lots.0);
        let unit = i128::from(btcusdt().quote_per_tick_lot());
        self.cash -= signed * i128::from(fill.price.0) * unit + i128::from(fill.fee.0);
        self.held += fill.side.sign() * fill.lots.0;
        self.trades += 1;
    }

    /// The ledger is this account: what it holds, and what that is worth at one price.
    fn is_booked_by(&self, bench: &Bench, start: Quote) {
        let ledger = bench.engine.ledger();
        assert_eq!(ledger.position(BTC).lots, Lots(self.held));
        let unit = i128::from(btcusdt().quote_per_tick_lot());
        let value = i128::from(self.held) * i128::from(MID) * unit;
        let equity = ledger.equity().expect("a price to value it at");
        assert_eq!(i128::from((equity - start).0), self.cash + value, "{} trades", self.trades);
    }
}

/// A deterministic walk of executions around the mid, of an order of nobody's here.
fn walked(n: u64, held: i64, ts: UnixNanos) -> Fill {
    let mixed = (n + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 33;
    let side = match held {
        -50..=50 if mixed.is_multiple_of(2) => Side::Buy,
        ..=50 if held < -50 => Side::Buy,
        _ => Side::Sell,
    };
    Fill {
        instrument: BTC,
        client: ClientId::FOREIGN,
        order_id: 7,
        trade_id: 1_000_000 + n,
        side,
        maker: true,
        price: Ticks(MID + (mixed / 2 % 201) as i64 - 100),
        lots: Lots(1 + (mixed / 512 % 3) as i64),
        fee: Quote((mixed / 4_096 % 2_001) as i64 - 1_000),
        fee_known: true,
        source: Source::Push,
        ts,
    }
}

/// An engine of an account so large that no limit of money stands in the way, and of large orders.
fn rich() -> (Bench, Quote) {
    let mut bench = Bench::waiting(false);
    bench.equity = Quote::usdt(10_000_000);
    for (key, usdt) in [
        (at::max_order_notional_quote, 9_000),
        (at::max_position_quote, 100_000),
        (at::max_total_notional_quote, 100_000),
    ] {
        let value = Quote::usdt(usdt).0;
        bench.step(Event::Parameter(Parameter { key: key as u16, value }));
    }
    bench.settings(5);
    bench.connect();
    bench.quiet_seconds(4);
    assert_eq!(bench.engine.state(), GuardState::Running);
    let equity = bench.equity;
    (bench, equity)
}

#[test]
fn ten_thousand_executions_a_second_for_ten_seconds_are_booked_to_the_last_unit() {
    let (mut bench, start) = rich();
    let mut sum = Sum { cash: 0, held: 0, trades: 0 };
    for tenth in 0..100 {
        for n in 0..1_000 {
            let fill = walked(tenth * 1_000 + n, sum.held, bench.utc());
            sum.take(&fill);
            bench.step(Event::Fill(fill));
            // The venue says a part of them twice.
            if n % 16 == 0 {
                bench.step(Event::Fill(fill));
            }
            bench.fills.push(fill);
        }
        sum.is_booked_by(&bench, start);
        bench.held = Lots(sum.held);
        bench.equity = bench.engine.ledger().equity().expect("a price to value it at");
        bench.said.clear();
        bench.given.clear();
        bench.journal.clear();
        bench.tenths(1, true);
    }
    assert_eq!((sum.trades, bench.engine.ledger().fees_missing()), (100_000, 0));
    assert_ne!(bench.engine.state(), GuardState::HardStop, "{:?}", bench.engine.account());
}

#[test]
fn a_thousand_parts_of_one_order_are_one_order_and_exact_money() {
    let (mut bench, start) = rich();
    let spec = bench.placed()[0];
    let (lots, side) = (spec.intent.lots.0, spec.intent.side);
    // One smallest unit at a time is as many parts as an order can have.
    let mut sum = Sum { cash: 0, held: 0, trades: 0 };
    let mut update = bench.update(&spec, OrderStatus::Live);
    bench.step(Event::OrderUpdate(update));
    for part in 0..lots {
        let fill = Fill {
            client: spec.client,
            order_id: update.order_id,
            side,
            price: spec.intent.price,
            lots: Lots(1),
            ..walked(part as u64, 0, bench.utc())
        };
        sum.take(&fill);
        bench.step(Event::Fill(fill));
        bench.fills.push(fill);
        update.filled = Lots(part + 1);
        update.status =
            if part + 1 == lots { OrderStatus::Filled } else { OrderStatus::PartiallyFilled };
        bench.step(Event::OrderUpdate(update));
    }
    assert!(lots >= 1_000, "{lots} parts");
    sum.is_booked_by(&bench, start);
    let open = bench.engine.orders().open(BTC, side);
    assert!(open.into_iter().all(|order| order.client != spec.client), "it has ended");
}
