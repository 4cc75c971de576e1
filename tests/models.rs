//! The model `glft` in the engine: what quotes until it is known, what a fit does to the quotes,
//! and what becomes of one that is none or too old.

use keel_core::glft::Quoting;
use keel_core::param::at;

use super::*;

impl Bench {
    /// An engine that quotes, asked for `glft`, with a fit that lasts for a minute.
    fn asked_for_glft() -> Self {
        let mut bench = Self::resting();
        bench.parameter(at::model, 1);
        bench.parameter(at::glft_fit_age_max_s, 60 * SECONDS as i64);
        bench.quiet_seconds(2);
        bench
    }

    fn parameter(&mut self, place: usize, value: i64) {
        let key = u16::try_from(place).expect("few parameters");
        self.step(Event::Parameter(Parameter { key, value }));
    }

    /// Bars of the venue from before it was seen: 8 bp from low to high.
    fn bars(&mut self) {
        let minute = UnixNanos::MINUTE;
        let begins = self.utc().0 / minute * minute;
        let price = |ticks| btcusdt().price(Ticks(ticks));
        for n in (1..=20).rev() {
            self.step(Event::Candle(Candle {
                instrument: BTC,
                start: UnixNanos(begins - n * minute),
                open: price(MID),
                high: price(MID + 320),
                low: price(MID - 320),
                close: price(MID),
            }));
        }
    }

    fn fit(&mut self, (arrivals_per_s_e8, decay_per_bp_e8): (i64, i64)) {
        self.step(Event::Coefficients(Coefficients {
            instrument: BTC,
            arrivals_per_s_e8,
            decay_per_bp_e8,
            orders: 500,
            seen_ns: 600 * SECONDS,
            error_e4: 1_000,
        }));
    }

    /// Which models were told to quote, in order.
    fn models(&self) -> Vec<Quoting> {
        let told = |view: &CommandView| match view {
            CommandView::Notice(notice) if notice.kind == NoticeKind::ModelTurned => {
                Some(Quoting::ALL[usize::try_from(notice.a).expect("a model")])
            }
            _ => None,
        };
        self.given.iter().filter_map(told).collect()
    }

    /// What the strategy has canceled since it was last asked: the venue ends it.
    fn end_canceled(&mut self) -> usize {
        let canceled = |view: &CommandView| match view {
            CommandView::Cancel(cancel) => Some(cancel.client),
            _ => None,
        };
        let clients: Vec<ClientId> = self.said.iter().filter_map(canceled).collect();
        let (ended, rest): (Vec<_>, Vec<_>) =
            self.open.drain(..).partition(|update| clients.contains(&update.client));
        self.open = rest;
        self.said.clear();
        for update in &ended {
            let ts = self.utc();
            self.step(Event::OrderUpdate(OrderUpdate {
                status: OrderStatus::Canceled,
                ts,
                ..*update
            }));
        }
        ended.len()
    }

    /// What was placed since it was last asked rests at the venue.
    fn rest_placed(&mut self) {
        for spec in self.placed() {
            let update = self.update(&spec, OrderStatus::Live);
            self.open.push(update);
            self.step(Event::OrderUpdate(update));
        }
        self.said.clear();
    }

    /// How far from the mid what was placed since stands, in ticks.
    fn apart(&self) -> Vec<i64> {
        self.placed().iter().map(|spec| (MID - spec.intent.price.0).abs()).collect()
    }
}

/// A flow of takers by which glft quotes 1/0.1 · ln(1 + 0.1/0.5) = 1.823 bp a side, and 0.395 bp
/// more for half an order of skew at σ = 8 bp · √(π/480).
const SEEN: (i64, i64) = (E8 / 5, E8 / 2);

#[test]
fn a_fit_moves_the_quotes_and_a_replay_gives_the_same() {
    let mut bench = Bench::asked_for_glft();
    assert_eq!(bench.models(), [Quoting::NoFit]);
    bench.fit(SEEN);
    assert_eq!(bench.models(), [Quoting::NoFit, Quoting::NoBand]);
    assert_eq!(bench.end_canceled(), 0, "the regime model quotes on");
    bench.bars();
    bench.quiet_seconds(2);
    assert_eq!(bench.models(), [Quoting::NoFit, Quoting::NoBand, Quoting::Glft]);
    assert_eq!(bench.end_canceled(), 2, "what stands too near");
    bench.quiet_seconds(3);
    let apart = bench.apart();
    assert_eq!(apart.len(), 2, "{apart:?}");
    assert!(apart.iter().all(|ticks| (176..=180).contains(ticks)), "{apart:?}");
    assert_eq!(bench.row().value(Key::model), Quoting::Glft as i64);
    bench.replay();
}

#[test]
fn a_fit_that_is_none_changes_nothing_and_one_too_old_gives_way_to_the_regime() {
    let mut bench = Bench::asked_for_glft();
    bench.bars();
    bench.fit(SEEN);
    bench.quiet_seconds(2);
    assert_eq!(bench.end_canceled(), 2);
    bench.quiet_seconds(2);
    bench.rest_placed();
    bench.quiet_seconds(46);
    for (arrivals, decay) in [(0, E8), (-E8, E8), (E8, 0), (E8, -E8), (i64::MAX, E8)] {
        bench.fit((arrivals, decay));
    }
    let refused = |view: &&CommandView| match view {
        CommandView::Notice(notice) => notice.kind == NoticeKind::FitRefused,
        _ => false,
    };
    assert_eq!(bench.given.iter().filter(refused).count(), 5);
    bench.quiet_seconds(9);
    assert_eq!(bench.models().last(), Some(&Quoting::Glft), "no fit, no news");
    bench.quiet_seconds(2);
    assert_eq!(bench.models().last(), Some(&Quoting::OldFit));
    bench.fit(SEEN);
    assert_eq!(bench.models().last(), Some(&Quoting::Glft));
    bench.replay();
}

#[test]
fn unless_it_is_asked_for_no_fit_moves_a_quote() {
    let mut bench = Bench::resting();
    bench.bars();
    bench.quiet_seconds(2);
    bench.end_canceled();
    bench.fit(SEEN);
    bench.quiet_seconds(5);
    assert_eq!((bench.models(), bench.end_canceled()), (Vec::new(), 0));
    bench.replay();
}
