//! Quotes under random rules and markets: the price and the amount of each, as the text that the
//! venue reads, lie on the contract's grids and within its limits.

use keel_core::book::Touch;
use keel_core::decimal::{Grid, TEXT_MAX};
use keel_core::instrument::{Instrument, InstrumentStatus, Symbol};
use keel_core::markout::Markout;
use keel_core::model::RegimeModel;
use keel_core::param::{Params, Profile, at};
use keel_core::planted::Planted;
use keel_core::quote::{self, Level, QuoteInputs};
use keel_core::regime::Regime;
use keel_core::units::{E8, Lots, MonoNanos, Quote, Rate, Side, Ticks};
use keel_io::world::Chance;

/// What came of many quotes.
#[derive(Debug, Default)]
pub(super) struct Tried {
    /// Orders that were looked at.
    pub(super) orders: u64,
    /// Those that a venue would refuse.
    pub(super) wrong: u64,
    /// What is wrong with the first of them.
    pub(super) first: String,
}

/// Quotes `count` times.
pub(super) fn tried(count: u32, planted: Planted) -> Tried {
    let mut chance = Chance::new(1, 0);
    let mut tried = Tried::default();
    for _ in 0..count {
        let rules = rules(&mut chance);
        let mut params = Params::defaults(Profile::Wide);
        params.plant(planted);
        let most = below(&mut chance, 10_000 * E8) + E8;
        assert!(params.set(at::max_order_notional_quote, most), "within its range");
        let wide = 4 + below(&mut chance, 27);
        let bid = 10 + below(&mut chance, 1 << wide);
        let ask = bid + 1 + below(&mut chance, 50);
        let lots = Lots(1);
        let touch = Touch { bid: Ticks(bid), ask: Ticks(ask), bid_lots: lots, ask_lots: lots };
        let inputs = inputs(&rules, touch, &mut chance);
        let desired =
            quote::desired(&params, &inputs, &RegimeModel, &mut Markout::new(), MonoNanos(1));
        for side in Side::BOTH {
            for level in desired.sides[side.index()].levels() {
                tried.orders += 1;
                if let Err(what) = valid(&rules, touch, side, level) {
                    tried.wrong += 1;
                    if tried.first.is_empty() {
                        tried.first = format!("{what}: {level:?} by {rules:?}");
                    }
                }
            }
        }
    }
    tried
}

fn rules(chance: &mut Chance) -> Instrument {
    loop {
        let grid = |chance: &mut Chance, scale: i64| {
            let step = chance.pick(&[1, 2, 5, 10, 25]);
            Grid { step, scale: below(chance, scale) as u8 }
        };
        let min_lots = Lots(1 + below(chance, 20));
        let rules = Instrument {
            symbol: Symbol::parse(b"BTCUSDT").expect("a name"),
            tick: grid(chance, 5),
            lot: grid(chance, 5),
            min_lots,
            max_lots: Lots(min_lots.0 + below(chance, 1_000_000)),
            min_notional: Quote(below(chance, 20 * E8)),
            buy_band: Rate(E8 / 20),
            sell_band: Rate(E8 / 20),
            orders_max: 400,
            leverage_max: 125,
            funding_hours: 8,
            status: InstrumentStatus::Online,
        };
        if let Ok(rules) = rules.checked() {
            return rules;
        }
    }
}

fn inputs<'a>(rules: &'a Instrument, touch: Touch, chance: &mut Chance) -> QuoteInputs<'a> {
    QuoteInputs {
        rules,
        touch,
        imbalance: Rate(below(chance, 2 * E8) - E8),
        regime: chance.pick(Regime::ALL),
        band: Rate(below(chance, E8 / 100)),
        drift: Rate::ZERO,
        equity: Quote(below(chance, 1_000_000 * E8)),
        position: Lots(below(chance, 200) - 100),
        turnover: Quote::ZERO,
        maker: Rate(below(chance, E8 / 1_000) - E8 / 2_000),
        funding: Rate::ZERO,
        room: Quote(i64::MAX),
        reduce_only: false,
    }
}

/// What is wrong with an order, by arithmetic of its own on the texts that are sent.
fn valid(rules: &Instrument, touch: Touch, side: Side, level: &Level) -> Result<(), &'static str> {
    let price = units(rules.tick, level.price.0).ok_or("the price is no text of its grid")?;
    let amount = units(rules.lot, level.lots.0).ok_or("the amount is no text of its grid")?;
    let scale = u32::from(rules.tick.scale + rules.lot.scale);
    let value = price * amount;
    let least = i128::from(rules.min_notional.0) * 10_i128.pow(scale) / i128::from(E8);
    let crosses = match side {
        Side::Buy => level.price >= touch.ask,
        Side::Sell => level.price <= touch.bid,
    };
    if price <= 0 || amount <= 0 {
        Err("not positive")
    } else if price % i128::from(rules.tick.step) != 0 {
        Err("off the price grid")
    } else if amount % i128::from(rules.lot.step) != 0 {
        Err("off the size grid")
    } else if level.lots < rules.min_lots || level.lots > rules.max_lots {
        Err("outside of the sizes")
    } else if !level.reduce_only && value < least {
        Err("below the least value")
    } else if crosses {
        Err("not passive")
    } else {
        Ok(())
    }
}

/// `steps` of a grid as they are written, read again as a count of the last decimal; none when the
/// text has not the grid's decimals.
fn units(grid: Grid, steps: i64) -> Option<i128> {
    let mut text = [0; TEXT_MAX];
    let length = grid.write(steps, &mut text);
    let text = std::str::from_utf8(&text[..length]).ok()?;
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    if part.len() != usize::from(grid.scale) {
        return None;
    }
    format!("{whole}{part}").parse().ok()
}

/// From 0 to `limit` less one.
fn below(chance: &mut Chance, limit: i64) -> i64 {
    chance.below(limit.unsigned_abs()).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_are_valid_and_orders_that_are_not_are_told() {
        let tried = tried(5_000, Planted::NONE);
        assert_eq!((tried.wrong, tried.orders > 500), (0, true), "{tried:?}");
        let mut chance = Chance::new(7, 0);
        let mut rules = rules(&mut chance);
        (rules.tick, rules.lot) = (Grid { step: 5, scale: 1 }, Grid { step: 1, scale: 3 });
        (rules.min_lots, rules.max_lots) = (Lots(2), Lots(100));
        rules.min_notional = Quote(5 * E8);
        let touch =
            Touch { bid: Ticks(200), ask: Ticks(201), bid_lots: Lots(1), ask_lots: Lots(1) };
        let order = |price, lots| {
            let level =
                Level { price: Ticks(price), lots: Lots(lots), reduce_only: false, probe: false };
            valid(&rules, touch, Side::Buy, &level)
        };
        assert_eq!(order(200, 50), Ok(()));
        assert_eq!(order(200, 49), Err("below the least value"));
        assert_eq!(order(201, 50), Err("not passive"));
        assert_eq!(order(200, 1), Err("outside of the sizes"));
        assert_eq!(order(200, 101), Err("outside of the sizes"));
        assert_eq!(order(0, 50), Err("not positive"));
    }
}
