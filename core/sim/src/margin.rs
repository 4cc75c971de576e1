//! Margin: what positions and opening orders of one contract ask of their account.

use keel_core::units::{Price, Quote, Rate, Side};

use crate::account::{Fees, Holding, OpenSum};
use crate::instrument::Rules;
use crate::order::{HoldMode, MarginMode, PosSide};

/// What one contract asks of an account, or several together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Margin {
    /// Profit of crossed positions at the mark.
    pub unrealized: Quote,
    /// Value of the crossed positions over leverage.
    pub positions: Quote,
    /// What opening orders add to that, and the fees frozen for them.
    pub orders: Quote,
    /// Maintenance margin of the crossed positions.
    pub maintenance: Quote,
    /// What isolated positions keep for themselves.
    pub isolated: Quote,
    /// Profit of isolated positions at the mark.
    pub isolated_unrealized: Quote,
}

impl Margin {
    /// What crossed positions and orders hold together.
    pub fn initial(&self) -> Quote {
        self.positions + self.orders
    }

    /// What bears crossed positions and orders, out of a wallet of `balance`.
    pub fn equity(&self, balance: Quote) -> Quote {
        balance - self.isolated + self.unrealized
    }

    /// This and `other` together.
    pub fn plus(self, other: Self) -> Self {
        Self {
            unrealized: self.unrealized + other.unrealized,
            positions: self.positions + other.positions,
            orders: self.orders + other.orders,
            maintenance: self.maintenance + other.maintenance,
            isolated: self.isolated + other.isolated,
            isolated_unrealized: self.isolated_unrealized + other.isolated_unrealized,
        }
    }
}

/// One contract of an account, with its order sums and leverage as they are or as they would be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case<'a> {
    pub(crate) rules: &'a Rules,
    pub(crate) mark: Price,
    pub(crate) fees: Fees,
    pub(crate) hold_mode: HoldMode,
    pub(crate) holding: &'a Holding,
    pub(crate) opening: [OpenSum; 2],
    /// Of longs and of shorts.
    pub(crate) leverages: [u32; 2],
}

impl Case<'_> {
    pub(crate) fn margin(&self) -> Margin {
        match self.holding.margin_mode {
            MarginMode::Crossed => self.crossed(),
            MarginMode::Isolated => self.isolated(),
        }
    }

    fn crossed(&self) -> Margin {
        let exposure = self.exposure();
        let [leverage, _] = self.leverages;
        let positions = over(exposure.held, leverage);
        Margin {
            unrealized: self.unrealized(),
            positions,
            orders: over(exposure.worst, leverage) - positions + self.reserve(),
            maintenance: self.maintenance(),
            ..Margin::default()
        }
    }

    /// Positions hold what they were given; orders hold what they will be given.
    fn isolated(&self) -> Margin {
        let [long, short] = self.leverages;
        let orders = match self.hold_mode {
            HoldMode::OneWay => {
                let exposure = self.exposure();
                over(exposure.worst - exposure.held, long.min(short))
            }
            HoldMode::Hedge => {
                let [buys, sells] = self.opening.map(|sum| sum.value);
                over(buys, long) + over(sells, short)
            }
        };
        let kept = self.holding.positions.iter();
        Margin {
            orders: orders + self.reserve(),
            isolated: kept.fold(Quote::ZERO, |sum, position| sum + position.margin),
            isolated_unrealized: self.unrealized(),
            ..Margin::default()
        }
    }

    /// The fees frozen for opening orders.
    fn reserve(&self) -> Quote {
        let frozen = self.opening[0].value + self.opening[1].value;
        let taker = Rate(self.fees.taker.0.max(0));
        let fee = frozen.times_rounded_up(taker);
        fee + fee.times_rounded_up(self.rules.fee_up)
    }

    /// What is held and what may come to be held when the orders of the worse side fill.
    pub(crate) fn exposure(&self) -> Exposure {
        let [net, long, short] = PosSide::ALL.map(|side| self.value(side));
        let long_side = net + long + self.opening[Side::Buy.index()].value;
        let short_side = -net - short + self.opening[Side::Sell.index()].value;
        let held = net.abs() + long.abs() + short.abs();
        match self.hold_mode {
            HoldMode::OneWay => Exposure {
                held,
                worst: held.max(long_side).max(short_side),
                largest: held.max(long_side).max(short_side),
            },
            HoldMode::Hedge => {
                Exposure { held, worst: long_side + short_side, largest: long_side.max(short_side) }
            }
        }
    }

    /// Value at the mark; negative for a short.
    pub(crate) fn value(&self, side: PosSide) -> Quote {
        self.rules.grids.value_at(self.mark, self.holding.position(side).lots)
    }

    pub(crate) fn unrealized_of(&self, side: PosSide) -> Quote {
        let position = self.holding.position(side);
        let value = i128::from(self.value(side).0);
        Quote(i64::try_from(value - position.entry).expect("profit within the range of money"))
    }

    fn unrealized(&self) -> Quote {
        PosSide::ALL.into_iter().fold(Quote::ZERO, |sum, side| sum + self.unrealized_of(side))
    }

    /// What one position asks by itself.
    pub(crate) fn maintenance_of(&self, side: PosSide) -> Quote {
        let value = self.value(side).abs();
        value.times_rounded_up(self.rules.tier(value).mmr)
    }

    /// Of both sides of a hedge the larger one counts (crossed margin).
    fn maintenance(&self) -> Quote {
        let largest = PosSide::ALL.into_iter().max_by_key(|side| self.value(*side).abs());
        largest.map_or(Quote::ZERO, |side| self.maintenance_of(side))
    }
}

/// Values at the mark of what is and of what may be held; none is negative.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Exposure {
    /// All positions.
    pub(crate) held: Quote,
    /// All positions after the orders of the worse side (in hedge mode: of both) have filled.
    pub(crate) worst: Quote,
    /// The larger of both sides then; what the tiers are asked about.
    pub(crate) largest: Quote,
}

/// `value` over `leverage`, rounded up.
pub(crate) fn over(value: Quote, leverage: u32) -> Quote {
    let leverage = i64::from(leverage);
    Quote((value.0 + leverage - 1).div_euclid(leverage))
}

/// The fee on `value`, rounded up to 1e-8 USDT: a fee never shrinks and a rebate never grows by
/// rounding.
pub(crate) fn fee_on(value: Quote, rate: Rate) -> Quote {
    let product = i128::from(value.0) * i128::from(rate.0);
    let e8 = i128::from(keel_core::units::E8);
    Quote(i64::try_from(-(-product).div_euclid(e8)).expect("a fee is below its value"))
}
