//! The gate of a flatten: what closes a position after everything has been canceled, and nothing
//! else.
//!
//! It serves the kill, which acts without an engine. An order passes only when it is reduce-only,
//! takes at once or not at all, stands on the side that shrinks the position that the view states,
//! is no larger than that position, and lies within the collar around mark. So it can shrink a
//! position to zero and never turn it around.

use keel_core::digest::Digest;
use keel_core::event::Event;
use keel_core::gate::{Gate, Intent, Purpose, Refusal, TimeInForce, View};
use keel_core::guard::{Opinion, Reasons};
use keel_core::instrument::InstrumentId;
use keel_core::units::{MonoNanos, Side};

use crate::{collar, limits};

/// Lets pass what shrinks a position.
#[derive(Clone, Copy, Debug, Default)]
pub struct FlattenGate;

impl Gate for FlattenGate {
    fn observe(&mut self, _event: &Event, _view: &View<'_>, _now: MonoNanos) -> Opinion {
        Opinion::FINE
    }

    fn settled(&mut self) {}

    fn check(&mut self, intent: &Intent, view: &View<'_>, now: MonoNanos) -> Result<(), Refusal> {
        let instrument = view.instruments.get(intent.instrument.index()).ok_or(Refusal::Rules)?;
        let rules = instrument.rules.ok_or(Refusal::Rules)?;
        let closes = intent.purpose == Purpose::Flatten
            && intent.reduce_only
            && intent.time_in_force == TimeInForce::Ioc;
        refuse_unless(closes, Refusal::NotArmed)?;
        refuse_unless(intent.price.0 > 0 && intent.lots.0 > 0, Refusal::Quantum)?;
        let shrinks = match intent.side {
            Side::Sell => instrument.position.0 > 0,
            Side::Buy => instrument.position.0 < 0,
        };
        let within = intent.lots.0.unsigned_abs() <= instrument.position.0.unsigned_abs();
        refuse_unless(shrinks && within, Refusal::WorstCase)?;
        limits::quantum(intent, &rules)?;
        let collared = collar::holds(intent, instrument, &rules, view.params.collar_bps());
        refuse_unless(collared, Refusal::Collar)?;
        let fresh = now.since(intent.made) <= view.params.intent_ttl_ms();
        refuse_unless(fresh, Refusal::Stale)
    }

    fn instrument(&self, _id: InstrumentId, _view: &View<'_>, _now: MonoNanos) -> Reasons {
        Reasons::NONE
    }

    fn approved(&mut self, _view: &View<'_>, _now: MonoNanos) {}

    fn canceled(&mut self, _view: &View<'_>, _now: MonoNanos) {}

    fn deadline(&self) -> MonoNanos {
        MonoNanos::NEVER
    }

    fn fold(&self, _digest: &mut Digest) {}
}

fn refuse_unless(allowed: bool, refusal: Refusal) -> Result<(), Refusal> {
    if allowed { Ok(()) } else { Err(refusal) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Desk, MID};
    use keel_core::units::{Lots, Ticks};

    fn check(position: i64, change: impl Fn(&mut Intent)) -> Result<(), Refusal> {
        let mut desk = Desk::fine();
        desk.instruments[0].position = Lots(position);
        let mut intent = Intent {
            purpose: Purpose::Flatten,
            reduce_only: true,
            time_in_force: TimeInForce::Ioc,
            side: Side::Sell,
            price: Ticks(MID - 10),
            lots: Lots(10),
            ..Desk::intent()
        };
        change(&mut intent);
        FlattenGate.check(&intent, &desk.view(), Desk::NOW)
    }

    #[test]
    fn what_closes_the_position_whole_or_in_part_passes() {
        assert_eq!(check(10, |_| ()), Ok(()));
        assert_eq!(check(11, |_| ()), Ok(()));
        let buy = |intent: &mut Intent| {
            intent.side = Side::Buy;
            intent.price = Ticks(MID + 10);
        };
        assert_eq!(check(-10, buy), Ok(()));
    }

    #[test]
    fn one_lot_more_than_the_position_or_the_other_side_would_turn_it_and_is_refused() {
        assert_eq!(check(9, |_| ()), Err(Refusal::WorstCase));
        assert_eq!(check(0, |_| ()), Err(Refusal::WorstCase));
        assert_eq!(check(-10, |_| ()), Err(Refusal::WorstCase));
        assert_eq!(check(10, |intent| intent.side = Side::Buy), Err(Refusal::WorstCase));
    }

    #[test]
    fn an_order_that_rests_or_may_open_or_has_another_purpose_is_refused() {
        for change in [
            (|intent| intent.reduce_only = false) as fn(&mut Intent),
            |intent| intent.time_in_force = TimeInForce::PostOnly,
            |intent| intent.time_in_force = TimeInForce::Gtc,
            |intent| intent.purpose = Purpose::Quote,
        ] {
            assert_eq!(check(10, change), Err(Refusal::NotArmed));
        }
    }

    #[test]
    fn it_has_no_opinion_and_waits_for_nothing() {
        let desk = Desk::fine();
        assert_eq!(FlattenGate.deadline(), MonoNanos::NEVER);
        let reasons = FlattenGate.instrument(InstrumentId(0), &desk.view(), Desk::NOW);
        assert_eq!(reasons, Reasons::NONE);
    }

    #[test]
    fn a_price_beyond_the_collar_and_an_old_intent_are_refused() {
        let reach = MID * 250 / 10_000;
        for (beyond, expected) in [(-1, Ok(())), (0, Ok(())), (1, Err(Refusal::Collar))] {
            let set = |intent: &mut Intent| intent.price = Ticks(MID - reach - beyond);
            assert_eq!(check(10, set), expected, "L{beyond:+}");
        }
        let old = |intent: &mut Intent| intent.made = MonoNanos(intent.made.0 - 50_000_001);
        assert_eq!(check(10, old), Err(Refusal::Stale));
    }
}
