//! Limits of size, value, exposure and count.

use keel_core::gate::{InstrumentView, Intent, Refusal, View};
use keel_core::instrument::{Instrument, InstrumentStatus};
use keel_core::units::{Lots, Quote, Rate};

use crate::loss::exceeds;

/// G2: the instrument is open for this intent, and price and size are positive.
pub fn quantum(intent: &Intent, rules: &Instrument) -> Result<(), Refusal> {
    let open = match rules.status {
        InstrumentStatus::Online => true,
        InstrumentStatus::LimitOpen => intent.reduce_only,
        InstrumentStatus::Listed | InstrumentStatus::RestrictedApi | InstrumentStatus::Offline => {
            false
        }
    };
    if !open {
        return Err(Refusal::Rules);
    }
    if intent.price.0 <= 0 || intent.lots.0 <= 0 { Err(Refusal::Quantum) } else { Ok(()) }
}

/// G4: the size of one order within the venue's limits.
pub fn order_lots(intent: &Intent, rules: &Instrument) -> Result<(), Refusal> {
    let within = (rules.min_lots..=rules.max_lots).contains(&intent.lots);
    if within { Ok(()) } else { Err(Refusal::OrderLots) }
}

/// G5: the value of one order within the venue's minimum and our maximum.
pub fn order_notional(intent: &Intent, rules: &Instrument, max: Quote) -> Result<(), Refusal> {
    let value = value(intent, rules)?;
    let large_enough = intent.reduce_only || value >= rules.min_notional;
    if large_enough && value <= max { Ok(()) } else { Err(Refusal::OrderNotional) }
}

/// G6: the position if every order of this side were filled, at the greater of price and mark.
pub fn worst_case(
    intent: &Intent,
    instrument: &InstrumentView,
    rules: &Instrument,
    max: Quote,
) -> Result<(), Refusal> {
    let side = intent.side;
    let position = i128::from(instrument.position.0) * i128::from(side.sign());
    let open = i128::from(instrument.open_lots[side.index()].0);
    let after = position + open + i128::from(intent.lots.0);
    if intent.reduce_only {
        // Reduce-only never opens; together with what already works it must not exceed the
        // position.
        return if after <= 0 { Ok(()) } else { Err(Refusal::WorstCase) };
    }
    let price = rules.price(intent.price).max(instrument.mark);
    let lots = Lots(i64::try_from(after.max(0)).map_err(|_| Refusal::WorstCase)?);
    let value = i128::from(price.0) * i128::from(lots.0) * i128::from(rules.lot.step)
        / i128::from(keel_core::decimal::POW10[usize::from(rules.lot.scale)]);
    if value <= i128::from(max.0) { Ok(()) } else { Err(Refusal::WorstCase) }
}

/// G7: the value of all open orders, leverage, and room in the margin.
pub fn gross(intent: &Intent, rules: &Instrument, view: &View<'_>) -> Result<(), Refusal> {
    if intent.reduce_only {
        return Ok(());
    }
    let (params, account) = (view.params, view.account);
    let value = value(intent, rules)?;
    let open = account.open_notional + value;
    let equity = account.equity.ok_or(Refusal::Gross)?;
    let ratio = account.margin_ratio.ok_or(Refusal::Gross)?;
    let leverage = Rate(
        i64::try_from(params.max_leverage()).map_err(|_| Refusal::Gross)? * keel_core::units::E8,
    );
    let fits = open <= params.max_total_notional_quote()
        && !exceeds(account.position_value + open, leverage, equity)
        && ratio <= params.margin_ratio_soft();
    if fits { Ok(()) } else { Err(Refusal::Gross) }
}

/// G8: how many orders of the instrument may be live, in flight or unknown.
pub fn order_count(
    instrument: &InstrumentView,
    rules: &Instrument,
    max: u64,
) -> Result<(), Refusal> {
    let open = u64::from(instrument.open_orders[0]) + u64::from(instrument.open_orders[1]);
    if open < max.min(u64::from(rules.orders_max)) { Ok(()) } else { Err(Refusal::OrderCount) }
}

/// G9, by the day: nine tenths of its creates are not sent yet, or the order only reduces.
pub fn day(intent: &Intent, view: &View<'_>) -> bool {
    let sent = u64::from(view.account.creates_today);
    intent.reduce_only || sent < view.params.creates_per_day_soft()
}

/// G10: the level is free and the price does not meet an own order of the other side.
pub fn duplicate(intent: &Intent, instrument: &InstrumentView) -> Result<(), Refusal> {
    let side = intent.side;
    let taken = instrument.levels[side.index()] >> intent.level.min(31) & 1 == 1;
    let meets = instrument.best_own[side.opposite().index()]
        .is_some_and(|other| other == intent.price || side.better(intent.price, other));
    if taken || meets { Err(Refusal::Duplicate) } else { Ok(()) }
}

/// The order's value; a value that does not fit is refused, not wrapped.
fn value(intent: &Intent, rules: &Instrument) -> Result<Quote, Refusal> {
    let value = i128::from(intent.price.0)
        * i128::from(intent.lots.0)
        * i128::from(rules.quote_per_tick_lot());
    i64::try_from(value).map(Quote).map_err(|_| Refusal::OrderNotional)
}
