//! The quotes that the strategy would like to have working, from what it sees.
//!
//! A [`Model`] says how wide to quote and how far to lean; what follows is the same for all of
//! them: the floor that costs ask for, caps, the edge gate, the grid. Prices never cross or lock
//! the touch, lie on the tick, and round away from the mid. Shares of the mid are [`Rate`]s, so
//! that every step is exact integer arithmetic.

use crate::book::Touch;
use crate::instrument::Instrument;
use crate::markout::{ADVERSE, Admission, Markout};
use crate::model::{Model, Scene};
use crate::param::Params;
use crate::planted::Defect;
use crate::regime::Regime;
use crate::units::{
    E8, Lots, MonoNanos, Quote, Rate, SECONDS, Side, Ticks, part, ratio, times_e8, times_over,
};

/// The quotes that follow from what `model` makes of the inputs. `markout` says what to expect of
/// fills and keeps the edge gate, which looks at the prices that would really be sent and never
/// blocks the side that shrinks the position.
///
/// Nothing is quoted while equity is not positive.
///
/// # Panics
/// When the touch is not one that a [`Book`](crate::book::Book) gives.
pub fn desired(
    params: &Params,
    inputs: &QuoteInputs<'_>,
    model: &impl Model,
    markout: &mut Markout,
    now: MonoNanos,
) -> Desired {
    let touch = inputs.touch;
    assert!(touch.bid.0 > 0 && touch.bid < touch.ask, "a live book has a touch");
    assert!(touch.ask.0 <= i64::from(u32::MAX), "prices of a book fit 32 bits");
    if inputs.equity.0 <= 0 {
        return Desired::NONE;
    }
    let shape = Shape::new(params, inputs, model);
    let mut desired = Desired {
        skew: shape.skew,
        base_pct: shape.base_pct,
        spread: shape.spreads[0].max(shape.spreads[1]),
        ..Desired::NONE
    };
    let mut budgets = [Budget::NONE; 2];
    for side in Side::BOTH {
        let nearest = shape.price(side, 0);
        let offset = shape.distance(side, nearest);
        let edge = markout.expected(params, side, inputs.regime, offset, inputs.maker);
        let admission = markout.admit(params, side, edge, now);
        budgets[side.index()] = shape.budget(side, admission);
        desired.sides[side.index()] = SideQuotes {
            offset,
            tolerance: shape.tolerance(side, nearest),
            edge,
            floor: shape.floors[side.index()],
            spread: shape.spreads[side.index()],
            ..SideQuotes::NONE
        };
    }
    shape.fill(&mut desired, &mut budgets);
    for side in &mut desired.sides {
        if side.len == 0 {
            side.offset = Rate::ZERO;
        }
    }
    desired
}

/// Most levels of one side.
pub const LEVELS_MAX: usize = 8;

/// What is looked at, for one instrument.
#[derive(Clone, Copy, Debug)]
pub struct QuoteInputs<'a> {
    /// The contract's rules.
    pub rules: &'a Instrument,
    /// Best bid and ask.
    pub touch: Touch,
    /// Imbalance of the top five levels, −1 to 1.
    pub imbalance: Rate,
    /// The regime in force.
    pub regime: Regime,
    /// Average true range over close.
    pub band: Rate,
    /// Moving average of the 30 s drift.
    pub drift: Rate,
    /// Equity of the account at mark; nothing is quoted unless positive.
    pub equity: Quote,
    /// Signed position.
    pub position: Lots,
    /// Traded today, all instruments.
    pub turnover: Quote,
    /// Maker rate.
    pub maker: Rate,
    /// Rate of the next funding settlement; positive: longs pay.
    pub funding: Rate,
    /// What all orders of this instrument together may be worth: `max_total_notional_quote` less
    /// the open orders of other instruments.
    pub room: Quote,
    /// Only orders that shrink the position.
    pub reduce_only: bool,
}

#[cfg(test)]
impl<'a> QuoteInputs<'a> {
    /// A flat account of 10,000 USDT at a touch of one tick, for tests of models too.
    pub(crate) fn calm(rules: &'a Instrument) -> Self {
        Self {
            rules,
            touch: Touch {
                bid: Ticks(772_000),
                ask: Ticks(772_001),
                bid_lots: Lots(1_000),
                ask_lots: Lots(1_000),
            },
            imbalance: Rate::ZERO,
            regime: Regime::NeutralLowVol,
            band: Rate::ZERO,
            drift: Rate::ZERO,
            equity: Quote::usdt(10_000),
            position: Lots::ZERO,
            turnover: Quote::ZERO,
            maker: Rate::bps(2),
            funding: Rate::ZERO,
            room: Quote::usdt(1_000_000),
            reduce_only: false,
        }
    }
}

/// One order that the strategy would like to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level {
    /// Where.
    pub price: Ticks,
    /// How much.
    pub lots: Lots,
    /// It may only shrink the position.
    pub reduce_only: bool,
    /// It probes a shut edge gate.
    pub probe: bool,
}

/// What one side should have working.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SideQuotes {
    levels: [Level; LEVELS_MAX],
    len: u8,
    /// Distance of the nearest level from the mid, as a share of it, after rounding and clamping;
    /// zero when there is none.
    pub offset: Rate,
    /// How far a working order may be from its desired price and stay.
    pub tolerance: Ticks,
    /// The edge to expect of a fill, net of fee.
    pub edge: Rate,
    /// The floor of the full spread that costs ask for.
    pub floor: Rate,
    /// The full spread.
    pub spread: Rate,
}

impl SideQuotes {
    /// No level.
    pub const NONE: Self = Self {
        levels: [Level { price: Ticks(0), lots: Lots(0), reduce_only: false, probe: false };
            LEVELS_MAX],
        len: 0,
        offset: Rate(0),
        tolerance: Ticks(1),
        edge: Rate(0),
        floor: Rate(0),
        spread: Rate(0),
    };

    /// These levels and nothing else, for tests of what comes after.
    #[cfg(test)]
    pub(crate) fn of(levels: &[Level], tolerance: Ticks) -> Self {
        let mut quotes = Self { len: levels.len() as u8, tolerance, ..Self::NONE };
        quotes.levels[..levels.len()].copy_from_slice(levels);
        quotes
    }

    /// The levels, nearest first.
    pub fn levels(&self) -> &[Level] {
        &self.levels[..usize::from(self.len)]
    }
}

/// What both sides should have working.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Desired {
    /// By [`Side::index`](crate::units::Side::index).
    pub sides: [SideQuotes; 2],
    /// Skew of both sides, as a share of the mid: positive pulls both up.
    pub skew: Rate,
    /// Net position as a share of equity.
    pub base_pct: Rate,
    /// The wider of the two full spreads.
    pub spread: Rate,
}

impl Desired {
    /// Nothing at all.
    pub const NONE: Self =
        Self { sides: [SideQuotes::NONE; 2], skew: Rate(0), base_pct: Rate(0), spread: Rate(0) };
}

/// What comes of the inputs before prices are set.
struct Shape<'a> {
    params: &'a Params,
    inputs: &'a QuoteInputs<'a>,
    mid_x2: i64,
    /// Value of one lot a tick, in 1e-8 USDT.
    tick_lot: i64,
    /// Half of the market's own spread.
    half_market: Rate,
    floors: [Rate; 2],
    spreads: [Rate; 2],
    skew: Rate,
    base_pct: Rate,
    levels: usize,
    /// What one order should have, and what the position may have, at the mid.
    order_lots: Lots,
    most_lots: Lots,
}

/// What one side may have working.
#[derive(Clone, Copy)]
struct Budget {
    levels: usize,
    /// Lots in sum.
    lots: Lots,
    /// Only the smallest order.
    smallest: bool,
    reduce_only: bool,
}

impl Budget {
    const NONE: Self = Self { levels: 0, lots: Lots::ZERO, smallest: false, reduce_only: false };
}

impl<'a> Shape<'a> {
    fn new(params: &'a Params, inputs: &'a QuoteInputs<'a>, model: &impl Model) -> Self {
        let regime = inputs.regime;
        let mid_x2 = inputs.touch.mid_x2();
        let tick_lot = inputs.rules.quote_per_tick_lot();
        let turnover = ratio(inputs.turnover.0, inputs.equity.0);
        let cap = params.turnover_cap_x();
        let used = Rate(ratio(turnover, cap.0).clamp(0, E8));

        let (fewest, deepest) = (params.levels_min(regime), params.levels_max(regime));
        let removed =
            deepest.saturating_sub(fewest) * used.0.unsigned_abs() + E8.unsigned_abs() / 2;
        let levels = deepest - removed / E8.unsigned_abs();
        let (small, large) = (params.size_pct_min(regime), params.size_pct_max(regime));
        let share = large - part(large - small, used);

        // Twice the value of a lot at the mid: two factors of at most 33 and 30 bits.
        let lot_value_x2 = tick_lot.saturating_mul(mid_x2);
        let lots_of = |value: Quote| Lots(times_over(value.0, 2, lot_value_x2));
        let position_value = times_over(inputs.position.0, lot_value_x2, 2);
        let base_pct = Rate(ratio(position_value, inputs.equity.0));
        let most_value =
            part_of(inputs.equity, params.max_base_pct()).min(params.position_quote_room());
        let order_lots = lots_of(part_of(inputs.equity, share));
        let target = lots_of(part_of(inputs.equity, params.target_base_pct(regime)));
        let (order, missing) = (order_lots.max(inputs.rules.min_lots), target - inputs.position);
        let scene = Scene { params, inputs, used, base_pct, order, missing };

        let floors = floors(params, inputs, Rate((turnover - cap.0).max(0)));
        let base = model.spread(&scene);
        let spreads = floors.map(|floor| base.max(floor).min(SPREAD_MOST));
        Self {
            params,
            inputs,
            mid_x2,
            tick_lot,
            half_market: Rate((inputs.touch.ask.0 - inputs.touch.bid.0) * E8 / mid_x2),
            floors,
            spreads,
            skew: skew(&scene, spreads, model),
            base_pct,
            levels: usize::try_from(levels).map_or(LEVELS_MAX, |levels| levels.min(LEVELS_MAX)),
            order_lots,
            most_lots: lots_of(most_value),
        }
    }

    /// True when a fill of `side` takes the position nearer to zero.
    const fn reduces(&self, side: Side) -> bool {
        self.inputs.position.0 * side.sign() < 0
    }

    /// How far from the mid level `level` of `side` stands, before rounding.
    fn offset(&self, side: Side, level: usize) -> Rate {
        let half = Rate(self.spreads[side.index()].0 / 2);
        let step = self.params.level_step().0 * level as i64;
        let wanted = part(half, Rate(E8 + step)) - Rate(self.skew.0 * side.sign());
        let nearest = if self.reduces(side) {
            self.half_market + self.params.min_side_offset_bps()
        } else {
            self.inputs.maker + ADVERSE + self.params.min_net_edge_bps()
        };
        wanted.max(nearest).clamp(Rate::ZERO, OFFSET_MOST)
    }

    /// The price of a level: rounded away from the mid, never crossing or locking the touch.
    fn price(&self, side: Side, level: usize) -> Ticks {
        let offset = self.offset(side, level).0;
        let up = match side {
            Side::Buy => self.params.commits(Defect::RoundedTowardMid),
            Side::Sell => !self.params.commits(Defect::RoundedTowardMid),
        };
        let round = if up { 2 * E8 - 1 } else { 0 };
        let apart = i64::from(!self.params.commits(Defect::TouchIsLocked));
        // Ticks of a book fit 32 bits, so twice a mid times twice 1e8 fits 63.
        match side {
            Side::Buy => {
                let price = (self.mid_x2 * (E8 - offset) + round) / (2 * E8);
                Ticks(price.min(self.inputs.touch.ask.0 - apart))
            }
            Side::Sell => {
                let price = (self.mid_x2 * (E8 + offset) + round) / (2 * E8);
                Ticks(price.max(self.inputs.touch.bid.0 + apart))
            }
        }
    }

    /// How far `price` is from the mid, as a share of it: positive on the passive side.
    fn distance(&self, side: Side, price: Ticks) -> Rate {
        let away = (self.mid_x2 - 2 * price.0) * side.sign();
        Rate(ratio(away, self.mid_x2))
    }

    fn tolerance(&self, side: Side, nearest: Ticks) -> Ticks {
        let away_x2 = ((self.mid_x2 - 2 * nearest.0) * side.sign()).max(0);
        Ticks((part(Rate(away_x2), self.params.requote_tolerance()).0 / 2).max(1))
    }

    /// What `side` may have working, by regime, edge gate, operator and room for the position.
    fn budget(&self, side: Side, admission: Admission) -> Budget {
        let allowed = match self.params.sides() {
            SIDES_BUY => side == Side::Buy,
            SIDES_SELL => side == Side::Sell,
            _ => true,
        };
        let flat = self.inputs.position.is_zero();
        let shock = self.inputs.regime == Regime::HighVolShock && !flat;
        let only_reduces = self.inputs.reduce_only || shock;
        if !allowed || (only_reduces && !self.reduces(side)) {
            return Budget::NONE;
        }
        let open = Budget {
            levels: self.levels,
            lots: self.room(side),
            smallest: false,
            reduce_only: false,
        };
        let reducing = Budget { lots: self.inputs.position.abs(), reduce_only: true, ..open };
        match admission {
            _ if only_reduces => reducing,
            Admission::Open => open,
            Admission::Probe | Admission::Shut if self.reduces(side) => reducing,
            Admission::Probe => Budget { levels: 1, smallest: true, ..open },
            Admission::Shut => Budget::NONE,
        }
    }

    /// Lots that `side` may add before the position reaches its limit, all of them executed.
    fn room(&self, side: Side) -> Lots {
        Lots((self.most_lots.0 - self.inputs.position.0 * side.sign()).max(0))
    }

    /// Fills in the levels of both sides, nearest first and the reducing side before the other,
    /// until a budget is used up.
    fn fill(&self, desired: &mut Desired, budgets: &mut [Budget; 2]) {
        let mut room = self.inputs.room.min(self.params.max_total_notional_quote());
        let order = if self.reduces(Side::Sell) {
            [Side::Sell, Side::Buy]
        } else {
            [Side::Buy, Side::Sell]
        };
        for level in 0..self.levels {
            for side in order {
                let budget = &mut budgets[side.index()];
                if level >= budget.levels {
                    continue;
                }
                let quotes = &mut desired.sides[side.index()];
                match self.level(side, level, quotes.levels().last(), budget, room) {
                    Some((order, value)) => {
                        budget.lots -= order.lots;
                        room -= value;
                        quotes.levels[usize::from(quotes.len)] = order;
                        quotes.len += 1;
                    }
                    None => budget.levels = 0,
                }
            }
        }
    }

    /// One level behind `before`, with its value; `None` when there is no room for the smallest
    /// order or the price has left the collar.
    fn level(
        &self,
        side: Side,
        level: usize,
        before: Option<&Level>,
        budget: &Budget,
        room: Quote,
    ) -> Option<(Level, Quote)> {
        let mut price = self.price(side, level);
        if let Some(before) = before {
            // Levels are a tick apart at least, however fine their steps.
            let behind = Ticks(before.price.0 - side.sign());
            if !side.better(behind, price) {
                price = behind;
            }
        }
        if price.0 < 1 || self.is_beyond_collar(side, price) {
            return None;
        }
        let lot_value = price.0.checked_mul(self.tick_lot)?;
        let lots = self.size(lot_value, budget, room)?;
        let order = Level { price, lots, reduce_only: budget.reduce_only, probe: budget.smallest };
        Some((order, Quote(lots.0 * lot_value)))
    }

    /// How many lots worth `lot_value` each to order; `None` when the smallest order is too large.
    fn size(&self, lot_value: i64, budget: &Budget, room: Quote) -> Option<Lots> {
        let rules = self.inputs.rules;
        let most_value = self.params.max_order_notional_quote().min(room);
        let wanted = if budget.smallest { rules.min_lots } else { self.order_lots };
        let mut lots = wanted.clamp(rules.min_lots, rules.max_lots).min(budget.lots).0;
        // Divisions are slow; the two here are rare.
        if lots.checked_mul(lot_value).is_none_or(|value| value > most_value.0) {
            lots = most_value.0 / lot_value;
        }
        if !budget.reduce_only && lots * lot_value < rules.min_notional.0 {
            lots = (rules.min_notional.0 + lot_value - 1) / lot_value;
        }
        let fits = lots >= rules.min_lots.0
            && lots <= budget.lots.0.min(rules.max_lots.0)
            && lots.checked_mul(lot_value).is_some_and(|value| value <= most_value.0);
        fits.then_some(Lots(lots))
    }

    /// True when `price` is farther from the mid than an order may be.
    fn is_beyond_collar(&self, side: Side, price: Ticks) -> bool {
        let away = (self.mid_x2 - 2 * price.0) * side.sign();
        away * E8 > self.params.collar_bps().0 * self.mid_x2
    }
}

/// The full spread that the costs of each side ask for. `beyond_cap` is what was traded today
/// beyond the cap of turnover, as a multiple of equity.
fn floors(params: &Params, inputs: &QuoteInputs<'_>, beyond_cap: Rate) -> [Rate; 2] {
    let costs = inputs.maker
        + params.slippage_est_pct()
        + part(inputs.drift, params.drift_penalty_multiplier())
        + part(params.turnover_penalty(), beyond_cap);
    let volatility = Rate(part(inputs.band, params.vol_penalty_multiplier()).0 / 2);
    let needed = costs + params.min_net_edge_bps();
    let funding = funding(params, inputs);
    Side::BOTH.map(|side| {
        let held = Rate(funding.0 * side.sign());
        let earned = ratio((needed + held).0, params.fill_factor(inputs.regime).0);
        Rate(earned) + volatility
    })
}

/// Skew from inventory and from the imbalance of the book, at most half of the narrower spread.
fn skew(scene: &Scene<'_>, spreads: [Rate; 2], model: &impl Model) -> Rate {
    let half = Rate(spreads[0].min(spreads[1]).0 / 2);
    let weight = scene.params.imbalance_weight();
    let book = part(part(half, weight), scene.inputs.imbalance);
    (model.lean(scene, half) + book).clamp(-half, half)
}

/// What holding a long fill is expected to cost in funding, and a short one to receive; negative
/// the other way round.
fn funding(params: &Params, inputs: &QuoteInputs<'_>) -> Rate {
    let period = u64::from(inputs.rules.funding_hours) * 3_600 * SECONDS;
    match (i64::try_from(params.holding_time_s()), i64::try_from(period)) {
        (Ok(held), Ok(period)) if period > 0 => Rate(times_over(inputs.funding.0, held, period)),
        _ => Rate::ZERO,
    }
}

/// `share` of `amount`, toward zero.
fn part_of(amount: Quote, share: Rate) -> Quote {
    Quote(times_e8(amount.0, share.0))
}

/// Places of the words of the parameter `sides`.
const SIDES_BUY: u64 = 1;
const SIDES_SELL: u64 = 2;
/// A full spread beyond the whole price is none: no level of it lies within the collar.
const SPREAD_MOST: Rate = Rate(E8);
/// Offsets end just short of a price of zero.
const OFFSET_MOST: Rate = Rate(E8 - 1);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instrument::btcusdt;
    use crate::model::RegimeModel;
    use crate::param::{Profile, at};
    use proptest::prelude::*;

    const NOW: MonoNanos = MonoNanos(1_000 * SECONDS);

    fn inputs(rules: &Instrument) -> QuoteInputs<'_> {
        QuoteInputs::calm(rules)
    }

    fn quote(params: &Params, inputs: &QuoteInputs<'_>) -> Desired {
        desired(params, inputs, &RegimeModel, &mut Markout::new(), NOW)
    }

    fn wide(inputs: &QuoteInputs<'_>) -> Desired {
        quote(&Params::defaults(Profile::Wide), inputs)
    }

    fn best(desired: &Desired, side: Side) -> Ticks {
        desired.sides[side.index()].levels()[0].price
    }

    fn depth(desired: &Desired) -> [usize; 2] {
        desired.sides.map(|side| side.levels().len())
    }

    #[test]
    fn with_nothing_special_both_sides_stand_at_half_the_least_spread() {
        let btc = btcusdt();
        let desired = wide(&inputs(&btc));
        // Half of 0.25 % of 77,200.05: 965.0006 below, rounded down to 76,235.0.
        assert_eq!(best(&desired, Side::Buy), Ticks(771_035));
        assert_eq!(best(&desired, Side::Sell), Ticks(772_966));
        // Floor (2 bp + 1 bp) / 0.45 of a spread of 25 bp.
        assert_eq!(desired.sides[0].floor, Rate(66_666));
        assert_eq!((desired.spread, desired.skew), (Rate::bps(25), Rate::ZERO));
        assert_eq!(depth(&desired), [4, 4]);
        // 0.12 % of 10,000 USDT is 12 USDT; a lot is worth 7.7.
        assert_eq!(desired.sides[0].levels()[0].lots, Lots(1));
        assert_eq!(desired.sides[0].tolerance, Ticks(241));
    }

    #[test]
    fn each_level_stands_four_tenths_of_the_first_farther() {
        let btc = btcusdt();
        let desired = wide(&inputs(&btc));
        let prices: std::vec::Vec<i64> =
            desired.sides[0].levels().iter().map(|level| 772_000 - level.price.0).collect();
        assert_eq!(prices, [965, 1_351, 1_737, 2_123]);
    }

    #[test]
    fn spread_size_and_levels_follow_turnover_to_its_cap() {
        let btc = btcusdt();
        let half_way = QuoteInputs { turnover: Quote::usdt(15_000), ..inputs(&btc) };
        assert_eq!((wide(&half_way).spread, depth(&wide(&half_way))), (Rate::bps(35), [3, 3]));
        let at_cap = QuoteInputs { turnover: Quote::usdt(30_000), ..inputs(&btc) };
        let desired = wide(&at_cap);
        assert_eq!((desired.spread, depth(&desired)), (Rate::bps(45), [2, 2]));
        // Half a cap beyond it, each multiple of equity costs 10 bp: (2 + 15 + 1) / 0.45 bp.
        let beyond = QuoteInputs { turnover: Quote::usdt(45_000), ..inputs(&btc) };
        let desired = wide(&beyond);
        assert_eq!((desired.spread, desired.sides[0].floor), (Rate::bps(45), Rate::bps(40)));
        let far_beyond = QuoteInputs { turnover: Quote::usdt(60_000), ..inputs(&btc) };
        assert_eq!(wide(&far_beyond).spread, Rate(33 * 1_000_000 / 45));
    }

    #[test]
    fn the_floor_covers_fee_drift_band_and_funding() {
        let btc = btcusdt();
        let costly = QuoteInputs {
            maker: Rate::bps(8),
            drift: Rate::bps(5),
            band: Rate::bps(40),
            funding: Rate::bps(16),
            ..inputs(&btc)
        };
        let desired = wide(&costly);
        // 1,800 s of 8 hours are a sixteenth of the funding: a buy pays 1 bp, a sell receives it.
        assert_eq!(desired.sides[0].floor, Rate(15 * 1_000_000 / 45 + 40_000));
        assert_eq!(desired.sides[1].floor, Rate(13 * 1_000_000 / 45 + 40_000));
        assert_eq!(desired.sides[0].spread, desired.sides[0].floor);
    }

    #[test]
    fn a_long_position_sells_nearer_and_buys_farther() {
        let btc = btcusdt();
        let flat = wide(&inputs(&btc));
        let long = wide(&QuoteInputs { position: Lots(100), ..inputs(&btc) });
        assert_eq!(long.base_pct, Rate(7_720_005));
        assert!(long.skew < Rate::ZERO);
        assert!(best(&long, Side::Buy) < best(&flat, Side::Buy));
        assert!(best(&long, Side::Sell) < best(&flat, Side::Sell));
        let short = wide(&QuoteInputs { position: Lots(-100), ..inputs(&btc) });
        assert_eq!(short.skew, -long.skew);
        assert!(best(&short, Side::Buy) > best(&flat, Side::Buy));
        assert!(best(&short, Side::Sell) > best(&flat, Side::Sell));
    }

    #[test]
    fn heavy_bids_pull_both_quotes_up() {
        let btc = btcusdt();
        let flat = wide(&inputs(&btc));
        let heavy = wide(&QuoteInputs { imbalance: Rate(E8), ..inputs(&btc) });
        assert_eq!(heavy.skew, Rate(125_000 * 3 / 10));
        assert!(best(&heavy, Side::Buy) > best(&flat, Side::Buy));
        assert!(best(&heavy, Side::Sell) > best(&flat, Side::Sell));
    }

    #[test]
    fn no_pull_brings_a_growing_quote_nearer_than_its_costs() {
        let btc = btcusdt();
        let maker = Rate::bps(8);
        let pulled = wide(&QuoteInputs { maker, imbalance: Rate(E8), ..inputs(&btc) });
        // Fee 8 bp, adverse selection 0.5 bp, edge 1 bp; the imbalance alone would allow 8.75.
        assert_eq!(best(&pulled, Side::Buy), Ticks(771_267));
    }

    #[test]
    fn the_growing_side_stops_at_the_cap_of_the_position() {
        let btc = btcusdt();
        // 15 % of 10,000 USDT are 194 lots of 7.72 USDT.
        let full = wide(&QuoteInputs { position: Lots(194), ..inputs(&btc) });
        assert_eq!(depth(&full), [0, 4]);
        let nearly = wide(&QuoteInputs { position: Lots(192), ..inputs(&btc) });
        let lots: i64 = nearly.sides[0].levels().iter().map(|level| level.lots.0).sum();
        assert_eq!(lots, 2);
        let beyond = wide(&QuoteInputs { position: Lots(-500), ..inputs(&btc) });
        assert_eq!(depth(&beyond), [4, 0]);
        assert!(!beyond.sides[0].levels()[0].reduce_only);
    }

    #[test]
    fn the_sum_of_orders_is_capped_and_the_reducing_side_comes_first() {
        let btc = btcusdt();
        let tight = QuoteInputs { room: Quote::usdt(10), position: Lots(10), ..inputs(&btc) };
        let desired = wide(&tight);
        assert_eq!(depth(&desired), [0, 1]);
        let none = wide(&QuoteInputs { room: Quote::usdt(7), ..inputs(&btc) });
        assert_eq!(depth(&none), [0, 0]);
        assert_eq!(none.sides[0].offset, Rate::ZERO);
        let negative = wide(&QuoteInputs { room: Quote::usdt(-7), ..inputs(&btc) });
        assert_eq!(depth(&negative), [0, 0]);
    }

    #[test]
    fn an_order_too_small_for_the_venue_is_raised_or_not_sent() {
        let mut rules = btcusdt();
        rules.min_notional = Quote::usdt(40);
        let raised = wide(&inputs(&rules));
        let level = raised.sides[0].levels()[0];
        assert!(rules.notional(level.price, level.lots) >= Quote::usdt(40));
        assert!(rules.notional(level.price, level.lots - Lots(1)) < Quote::usdt(40));
        rules.min_notional = Quote::usdt(300);
        assert_eq!(depth(&wide(&inputs(&rules))), [0, 0], "above the cap of one order");
    }

    #[test]
    fn in_a_shock_only_the_reducing_side_is_quoted_unless_flat() {
        let btc = btcusdt();
        let shock = QuoteInputs { regime: Regime::HighVolShock, ..inputs(&btc) };
        assert_eq!(depth(&wide(&shock)), [2, 2]);
        let desired = wide(&QuoteInputs { position: Lots(1), ..shock });
        assert_eq!(depth(&desired), [0, 1]);
        let level = desired.sides[1].levels()[0];
        assert_eq!((level.lots, level.reduce_only), (Lots(1), true));
        let desired = wide(&QuoteInputs { position: Lots(-1), ..shock });
        assert_eq!(depth(&desired), [1, 0]);
    }

    #[test]
    fn reduce_only_quotes_nothing_that_grows_or_flips() {
        let btc = btcusdt();
        let flat = QuoteInputs { reduce_only: true, ..inputs(&btc) };
        assert_eq!(depth(&wide(&flat)), [0, 0]);
        let desired = wide(&QuoteInputs { position: Lots(-3), ..flat });
        assert_eq!(depth(&desired), [3, 0]);
        let levels = desired.sides[0].levels();
        assert_eq!(levels.iter().map(|level| level.lots.0).sum::<i64>(), 3);
        assert!(levels.iter().all(|level| level.reduce_only));
    }

    #[test]
    fn the_operator_may_leave_one_side_out() {
        let btc = btcusdt();
        let mut params = Params::defaults(Profile::Wide);
        assert!(params.set(at::sides, 1));
        assert_eq!(depth(&quote(&params, &inputs(&btc))), [4, 0]);
        assert!(params.set(at::sides, 2));
        assert_eq!(depth(&quote(&params, &inputs(&btc))), [0, 4]);
    }

    #[test]
    fn a_shut_edge_gate_leaves_the_reducing_side_and_a_probe() {
        let btc = btcusdt();
        let params = Params::defaults(Profile::Wide);
        let mut markout = Markout::new();
        for side in Side::BOTH {
            markout.admit(&params, side, -Rate::bps(9), NOW);
        }
        let flat = inputs(&btc);
        assert_eq!(depth(&desired(&params, &flat, &RegimeModel, &mut markout, NOW)), [0, 0]);
        let long = QuoteInputs { position: Lots(1), ..flat };
        let quotes = desired(&params, &long, &RegimeModel, &mut markout, NOW);
        assert_eq!(depth(&quotes), [0, 1]);
        assert!(quotes.sides[1].levels()[0].reduce_only);
        // No edge above the resume threshold is in sight: probes only.
        let costly = QuoteInputs { maker: Rate::bps(10), ..flat };
        let mut tight = params;
        assert!(tight.set(at::edge_resume_bps, Rate::bps(100).0));
        let later = NOW.after(900 * SECONDS);
        let quotes = desired(&tight, &costly, &RegimeModel, &mut markout, later);
        assert_eq!(depth(&quotes), [1, 1]);
        let probe = quotes.sides[0].levels()[0];
        assert_eq!((probe.lots, probe.probe, probe.reduce_only), (Lots(1), true, false));
    }

    #[test]
    fn the_touch_profile_quotes_within_a_basis_point() {
        let btc = btcusdt();
        let params = Params::defaults(Profile::Touch);
        let calm = QuoteInputs { maker: -Rate(5_000), drift: Rate::bps(4), ..inputs(&btc) };
        let desired = quote(&params, &calm);
        assert_eq!(depth(&desired), [1, 1]);
        assert_eq!(best(&desired, Side::Buy), Ticks(771_977));
        assert_eq!(best(&desired, Side::Sell), Ticks(772_024));
    }

    #[test]
    fn a_fine_book_and_a_coarse_book_keep_levels_a_tick_apart() {
        let mut rules = btcusdt();
        rules.tick = crate::decimal::Grid { step: 1_000, scale: 1 };
        let touch = Touch { bid: Ticks(772), ask: Ticks(773), ..inputs(&rules).touch };
        let desired = wide(&QuoteInputs { touch, ..inputs(&rules) });
        for side in Side::BOTH {
            let levels = desired.sides[side.index()].levels();
            assert!(levels.len() > 1);
            assert!(levels.windows(2).all(|pair| side.better(pair[0].price, pair[1].price)));
        }
    }

    #[test]
    fn without_equity_nothing_is_quoted() {
        let btc = btcusdt();
        assert_eq!(wide(&QuoteInputs { equity: Quote::ZERO, ..inputs(&btc) }), Desired::NONE);
        assert_eq!(wide(&QuoteInputs { equity: Quote(-1), ..inputs(&btc) }), Desired::NONE);
    }

    #[derive(Clone, Debug)]
    struct Scene {
        profile: Profile,
        touch: (i64, i64),
        tick_scale: u8,
        regime: usize,
        rates: [i64; 5],
        equity: i64,
        position: i64,
        turnover: i64,
        room: i64,
        reduce_only: bool,
    }

    fn scene() -> impl Strategy<Value = Scene> {
        let profile = prop_oneof![Just(Profile::Wide), Just(Profile::Touch)];
        let touch = (
            prop_oneof![100i64..3_000_000, 4_294_900_000i64..4_294_967_000],
            prop_oneof![4 => 1i64..4, 1 => 1i64..290],
        );
        let rates =
            [-E8..=E8, 0..=E8 / 20, 0..=E8 / 50, -100_000..=200_000, -1_000_000..=1_000_000];
        (
            (profile, touch, 0u8..=4, 0..crate::regime::REGIMES, rates),
            (1i64..1_000_000, -100_000i64..100_000, 0i64..100_000_000, 0i64..10_000),
            any::<bool>(),
        )
            .prop_map(
                |((profile, touch, tick_scale, regime, rates), amounts, reduce_only)| Scene {
                    profile,
                    touch,
                    tick_scale,
                    regime,
                    rates,
                    equity: amounts.0,
                    position: amounts.1,
                    turnover: amounts.2,
                    room: amounts.3,
                    reduce_only,
                },
            )
    }

    impl Scene {
        fn rules(&self) -> Instrument {
            let tick = crate::decimal::Grid { step: 1, scale: self.tick_scale };
            Instrument { tick, ..btcusdt() }.checked().expect("good rules")
        }

        fn inputs<'a>(&self, rules: &'a Instrument) -> QuoteInputs<'a> {
            let [imbalance, band, drift, maker, funding] = self.rates.map(Rate);
            let (bid, gap) = self.touch;
            QuoteInputs {
                rules,
                touch: Touch {
                    bid: Ticks(bid),
                    ask: Ticks(bid + gap.min(bid / 10)),
                    bid_lots: Lots(1),
                    ask_lots: Lots(1),
                },
                imbalance,
                regime: Regime::ALL[self.regime],
                band,
                drift,
                equity: Quote::usdt(self.equity),
                position: Lots(self.position),
                turnover: Quote::usdt(self.turnover),
                maker,
                funding,
                room: Quote::usdt(self.room),
                reduce_only: self.reduce_only,
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_048))]

        #[test]
        fn quotes_never_cross_and_keep_every_rule(scene in scene()) {
            let rules = scene.rules();
            let inputs = scene.inputs(&rules);
            let params = Params::defaults(scene.profile);
            let quotes = quote(&params, &inputs);
            let mut gross = Quote::ZERO;
            for side in Side::BOTH {
                let levels = quotes.sides[side.index()].levels();
                let mut lots = 0;
                for level in levels {
                    let price = level.price;
                    prop_assert!(price.0 >= 1);
                    prop_assert!(match side {
                        Side::Buy => price < inputs.touch.ask,
                        Side::Sell => price > inputs.touch.bid,
                    }, "{:?} {:?}", side, price);
                    prop_assert!(level.lots >= rules.min_lots && level.lots <= rules.max_lots);
                    let value = rules.notional(price, level.lots);
                    prop_assert!(value <= params.max_order_notional_quote());
                    prop_assert!(level.reduce_only || value >= rules.min_notional);
                    gross += value;
                    lots += level.lots.0;
                    let after = inputs.position.0 + side.sign() * lots;
                    if level.reduce_only {
                        prop_assert!(after * inputs.position.0 >= 0, "reduces past flat");
                    } else if after.abs() > inputs.position.0.abs()
                        || after * inputs.position.0 < 0
                    {
                        let most = part_of(inputs.equity, params.max_base_pct());
                        let value_x2 = i128::from(after.abs())
                            * i128::from(rules.quote_per_tick_lot())
                            * i128::from(inputs.touch.mid_x2());
                        let most = most.min(params.max_position_quote());
                        prop_assert!(value_x2 <= 2 * i128::from(most.0));
                    }
                }
                prop_assert!(levels.windows(2).all(|two| side.better(two[0].price, two[1].price)));
            }
            prop_assert!(gross <= inputs.room.max(Quote::ZERO));
            prop_assert!(gross <= params.max_total_notional_quote());
            if let [[bid, ..], [ask, ..]] = quotes.sides.each_ref().map(SideQuotes::levels) {
                prop_assert!(bid.price < ask.price, "own quotes cross");
            }
        }

        #[test]
        fn more_inventory_never_pulls_quotes_toward_more(scene in scene(), more in 1i64..1_000) {
            let rules = scene.rules();
            let params = Params::defaults(scene.profile);
            let inputs = scene.inputs(&rules);
            // Between two positions of one sign, so that the floors under offsets stay the same.
            let before = QuoteInputs { position: Lots(inputs.position.0.abs() + 1), ..inputs };
            let after = QuoteInputs { position: before.position + Lots(more), ..inputs };
            let shapes = [before, after].map(|inputs| {
                let shape = Shape::new(&params, &inputs, &RegimeModel);
                (shape.skew, Side::BOTH.map(|side| shape.price(side, 0)))
            });
            prop_assert!(shapes[1].0 <= shapes[0].0);
            for side in Side::BOTH {
                prop_assert!(shapes[1].1[side.index()] <= shapes[0].1[side.index()]);
            }
        }

        #[test]
        fn the_growing_side_covers_fee_adverse_selection_and_edge(scene in scene()) {
            let rules = scene.rules();
            let params = Params::defaults(scene.profile);
            let inputs = scene.inputs(&rules);
            let quotes = quote(&params, &inputs);
            for side in Side::BOTH {
                let quotes = &quotes.sides[side.index()];
                let grows = inputs.position.0 * side.sign() >= 0;
                if grows && !quotes.levels().is_empty() {
                    // One part in 1e8 is lost to rounding toward zero.
                    let least = inputs.maker + ADVERSE + params.min_net_edge_bps();
                    prop_assert!(quotes.offset >= least - Rate(1));
                    prop_assert!(quotes.edge >= params.min_net_edge_bps() - Rate(1));
                }
            }
        }

        #[test]
        fn the_spread_covers_its_costs(scene in scene()) {
            let rules = scene.rules();
            let params = Params::defaults(scene.profile);
            let inputs = scene.inputs(&rules);
            let shape = Shape::new(&params, &inputs, &RegimeModel);
            for side in Side::BOTH {
                let fill_factor = params.fill_factor(inputs.regime);
                let earned = part(shape.spreads[side.index()].min(SPREAD_MOST), fill_factor);
                let cost = inputs.maker
                    + part(inputs.drift, params.drift_penalty_multiplier())
                    + Rate(funding(&params, &inputs).0 * side.sign())
                    + params.min_net_edge_bps();
                let capped = shape.spreads[side.index()] == SPREAD_MOST;
                prop_assert!(capped || earned >= cost - Rate(1));
            }
        }
    }
}
