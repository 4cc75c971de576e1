//! The fee rates of one contract: when a reading is believed, and whether executions bear them.

use crate::digest::Digest;
use crate::event::{FeeRate, Fill};
use crate::units::{MonoNanos, Quote, Rate, SECONDS};

/// What is known of the fees of one contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tariff {
    /// In force; `None` before the first reading.
    rates: Option<Rates>,
    /// In force before, for executions that come late, and until when that counts.
    before: Option<Rates>,
    before_until: MonoNanos,
    /// Read once, and too far from what is in force to be believed after one reading; and when.
    doubted: Option<Rates>,
    doubted_at: MonoNanos,
    /// The newest executions; the oldest of them is written over next.
    charges: [Charge; CHARGES],
    count: usize,
    next: usize,
    /// When the newest of them was told.
    charged_at: MonoNanos,
    /// What they were charged is not what the rates make of them.
    disagrees: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rates {
    maker: Rate,
    taker: Rate,
}

/// What one execution was charged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Charge {
    worth: Quote,
    fee: Quote,
    maker: bool,
    /// What may have been in force when the venue executed it.
    then: [Rate; 2],
}

/// So many executions are compared with the rates at once (checklist item 1).
pub const CHARGES: usize = 20;

/// By so much of their worth the fees of those may differ from the rates: 0.05 basis points.
const APART: Rate = Rate(500);

/// Each fee is rounded by the venue and truncated here, in 1e-8 USDT.
const ROUNDED: i64 = 2;

/// A rate that changes by more than this factor, or its sign, is read twice before it is believed.
const LEAP: u64 = 3;

/// The second reading counts this much later: two answers of one moment are one.
pub const AGAIN_NS: u64 = 30 * SECONDS;

/// Executions that disagree are forgotten when a reading this much later gives the same rates:
/// without new ones nothing else could end the pause. The next twenty judge anew.
const FORGOTTEN_NS: u64 = 900 * SECONDS;

/// An execution may be told this much later than the look that read the next rate.
pub const LATE_NS: u64 = 600 * SECONDS;

impl Tariff {
    /// Nothing read and nothing executed.
    pub const UNREAD: Self = Self {
        rates: None,
        before: None,
        before_until: MonoNanos::ZERO,
        doubted: None,
        doubted_at: MonoNanos::ZERO,
        charges: [Charge::NONE; CHARGES],
        count: 0,
        next: 0,
        charged_at: MonoNanos::ZERO,
        disagrees: false,
    };

    /// Takes in a reading; true when it is believed, and is in force from now on.
    pub fn read(&mut self, told: &FeeRate, now: MonoNanos) -> bool {
        let read = Rates { maker: told.maker, taker: told.taker };
        let leaps = self.rates.is_some_and(|rates| rates.leaps_to(read));
        if leaps && self.doubted != Some(read) {
            (self.doubted, self.doubted_at) = (Some(read), now);
        }
        if leaps && now < self.doubted_at.after(AGAIN_NS) {
            return false;
        }
        self.doubted = None;
        if self.rates != Some(read) {
            (self.before, self.before_until) = (self.rates, now.after(LATE_NS));
            self.rates = Some(read);
            self.compare();
        } else if self.disagrees && now > self.charged_at.after(FORGOTTEN_NS) {
            (self.count, self.next, self.disagrees) = (0, 0, false);
        }
        true
    }

    /// Takes in what an execution that is worth `worth` was charged.
    pub fn charge(&mut self, fill: &Fill, worth: Quote, now: MonoNanos) {
        let Some(rates) = self.rates.filter(|_| fill.fee_known) else { return };
        let before = self.before.filter(|_| now <= self.before_until).unwrap_or(rates);
        let then = [rates.of(fill.maker), before.of(fill.maker)];
        self.charges[self.next] = Charge { worth, fee: fill.fee, maker: fill.maker, then };
        self.next = (self.next + 1) % CHARGES;
        self.count = CHARGES.min(self.count + 1);
        self.charged_at = now;
        self.compare();
    }

    /// True while the rates in force are not to be traded by.
    pub fn is_doubtful(&self) -> bool {
        self.disagrees || self.doubted.is_some()
    }

    /// Folds all state that decisions depend on.
    pub fn fold(&self, digest: &mut Digest) {
        for rates in [self.rates, self.before, self.doubted] {
            let Rates { maker, taker } = rates.unwrap_or(Rates::NEVER);
            digest.fold_signed(maker.0);
            digest.fold_signed(taker.0);
        }
        digest.fold(self.before_until.0);
        digest.fold(self.doubted_at.0);
        digest.fold(self.charged_at.0);
        for charge in &self.charges[..self.count] {
            let Charge { worth, fee, maker, then } = charge;
            for money in [worth.0, fee.0, then[0].0, then[1].0] {
                digest.fold_signed(money);
            }
            digest.fold(u64::from(*maker));
        }
        digest.fold(self.next as u64);
    }

    fn compare(&mut self) {
        let Some(rates) = self.rates.filter(|_| self.count == CHARGES) else { return };
        let (mut off, mut allowed) = (0_i128, i128::from(ROUNDED) * CHARGES as i128);
        for charge in &self.charges {
            off += i128::from(charge.off(rates));
            allowed += i128::from(charge.worth.times_truncated(APART).0);
        }
        self.disagrees = off.abs() > allowed;
    }
}

impl Rates {
    /// Beyond every rate.
    const NEVER: Self = Self { maker: Rate(i64::MAX), taker: Rate(i64::MAX) };

    const fn of(self, maker: bool) -> Rate {
        if maker { self.maker } else { self.taker }
    }

    fn leaps_to(self, other: Self) -> bool {
        let leaps = |from: Rate, to: Rate| {
            let (old, new) = (from.0.unsigned_abs(), to.0.unsigned_abs());
            let far = |a: u64, b: u64| a > b.saturating_mul(LEAP);
            from.0.signum() != to.0.signum() || far(new, old) || far(old, new)
        };
        leaps(self.maker, other.maker) || leaps(self.taker, other.taker)
    }
}

impl Charge {
    const NONE: Self =
        Self { worth: Quote::ZERO, fee: Quote::ZERO, maker: false, then: [Rate::ZERO; 2] };

    /// By how much the fee is above what the nearest of the rates makes of it that may have been
    /// in force, in 1e-8 USDT.
    fn off(&self, rates: Rates) -> i64 {
        let [then, before] = self.then;
        [rates.of(self.maker), then, before]
            .map(|rate| self.fee.0.saturating_sub(self.worth.times_truncated(rate).0))
            .into_iter()
            .min_by_key(|off| off.unsigned_abs())
            .unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{ClientId, FeeSource, Source};
    use crate::instrument::InstrumentId;
    use crate::units::{Lots, Side, Ticks, UnixNanos};

    const NOW: MonoNanos = MonoNanos(1_000 * SECONDS);
    const WORTH: Quote = Quote::usdt(100);

    fn told(maker: i64, taker: i64) -> FeeRate {
        let (maker, taker, source) = (Rate(maker), Rate(taker), FeeSource::Venue);
        FeeRate { instrument: InstrumentId(0), maker, taker, source }
    }

    /// A tariff of −0.5 and 6 basis points.
    fn read() -> Tariff {
        let mut tariff = Tariff::UNREAD;
        assert!(tariff.read(&told(-5_000, 60_000), NOW));
        tariff
    }

    fn execute(tariff: &mut Tariff, fee: i64, now: MonoNanos) {
        let fill = Fill {
            instrument: InstrumentId(0),
            client: ClientId { epoch: 1, number: 1 },
            order_id: 1,
            trade_id: 1,
            side: Side::Buy,
            maker: true,
            price: Ticks(1),
            lots: Lots(1),
            fee: Quote(fee),
            fee_known: true,
            source: Source::Push,
            ts: UnixNanos(0),
        };
        tariff.charge(&fill, WORTH, now);
    }

    /// On 100 USDT, 0.05 basis points are 50,000 units, and rounding may be 2 more.
    #[test]
    fn twenty_fees_may_be_apart_from_the_rate_by_a_twentieth_of_a_basis_point_and_rounding() {
        for (apart, doubtful) in [(-50_003, true), (-50_002, false), (50_002, false)] {
            let mut tariff = read();
            for n in 0..CHARGES {
                assert!(!tariff.is_doubtful(), "{n} executions tell nothing");
                execute(&mut tariff, -500_000 + apart, NOW);
            }
            assert_eq!(tariff.is_doubtful(), doubtful, "{apart}");
        }
        let mut tariff = read();
        (0..CHARGES).for_each(|_| execute(&mut tariff, -500_000, NOW));
        (0..CHARGES).for_each(|_| execute(&mut tariff, 2_000_000, NOW));
        assert!(tariff.is_doubtful(), "the newest count");
        tariff.read(&told(-5_000, 60_000), NOW);
        assert!(tariff.is_doubtful(), "the same reading explains nothing");
        tariff.read(&told(-5_000, 60_000), NOW.after(FORGOTTEN_NS));
        assert!(tariff.is_doubtful(), "nor does it a quarter of an hour later");
        tariff.read(&told(-5_000, 60_000), NOW.after(FORGOTTEN_NS + 1));
        assert!(!tariff.is_doubtful(), "nothing else would ever end the pause");
        (0..CHARGES).for_each(|_| execute(&mut tariff, 2_000_000, NOW.after(FORGOTTEN_NS + 2)));
        assert!(tariff.is_doubtful(), "the next twenty judge anew");
    }

    #[test]
    fn a_rate_that_changes_between_executions_and_look_explains_them_on_either_side_of_it() {
        let mut tariff = read();
        (0..CHARGES).for_each(|_| execute(&mut tariff, -400_000, NOW));
        assert!(tariff.is_doubtful());
        assert!(tariff.read(&told(-4_000, 50_000), NOW));
        assert!(!tariff.is_doubtful(), "they were executed at the new rate already");
        (0..CHARGES).for_each(|_| execute(&mut tariff, -500_000, NOW.after(LATE_NS)));
        assert!(!tariff.is_doubtful(), "at the old one, and told late");
        (0..CHARGES).for_each(|_| execute(&mut tariff, -500_000, NOW.after(LATE_NS + 1)));
        assert!(tariff.is_doubtful(), "no longer");
    }

    #[test]
    fn a_rate_that_leaps_is_believed_when_it_is_read_twice() {
        for (maker, taker) in [(5_000, 60_000), (-15_001, 60_000), (-1_666, 60_000), (-5_000, 0)] {
            let mut tariff = read();
            assert!(!tariff.read(&told(maker, taker), NOW), "{maker} {taker}");
            assert!(tariff.is_doubtful());
            let at = |ns| NOW.after(SECONDS + ns);
            assert!(!tariff.read(&told(maker, taker + 300_000), at(0)), "another one");
            let again = told(maker, taker + 300_000);
            assert!(!tariff.read(&again, at(AGAIN_NS - 1)), "it may be the same answer");
            assert!(tariff.is_doubtful());
            assert!(tariff.read(&again, at(AGAIN_NS)), "twice the same");
            assert!(!tariff.is_doubtful());
        }
        let mut tariff = read();
        assert!(!tariff.read(&told(0, 0), NOW));
        assert!(tariff.read(&told(-5_000, 60_000), NOW) && !tariff.is_doubtful(), "as before");
        assert!(tariff.read(&told(-15_000, 20_000), NOW), "three times and a third");
    }
}
