//! The model of Guéant, Lehalle and Fernandez-Tapia: half-spread and skew in closed form from
//! volatility, the flow of takers and the aversion to risk.
//!
//! Distances are basis points of the mid, inventory is counted in orders, time in seconds. Takers
//! reach an order that stands δ beyond the mid A·e^(−kδ) times a second; the mid diffuses with σ;
//! γ is the aversion to risk a bp and order. `docs/models.md` has the formulas and their source.
//!
//! Fixed point throughout: A and k come as integers, and exponential, logarithm and root are
//! series and shifts over [`Signal`], within one part in 1e9 of the exact values over all that is
//! accepted.

use crate::digest::Digest;
use crate::event::Coefficients;
use crate::model::{Model, Scene};
use crate::param::Params;
use crate::slot_enum;
use crate::units::{E8, MonoNanos, Rate, Signal};

/// The closed form for one instrument at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Glft {
    terms: Terms,
    /// Of the mid, in bp over the root of a second.
    sigma: Signal,
}

impl Glft {
    /// Half of the spread in bp of the mid: (1/γ)·ln(1 + γ/k) + σ·c/2.
    fn half(&self) -> Signal {
        self.terms.apart + self.lean_an_order() / 2
    }

    /// How far an order of inventory moves both quotes, in bp of the mid: σ·c.
    fn lean_an_order(&self) -> Signal {
        self.sigma.saturating_mul(self.terms.pull)
    }
}

impl Model for Glft {
    /// The closed form's, kept within the regime's own bounds: a fit may be wrong, and limits such
    /// as the collar are checked against the widest spread of the regime.
    fn spread(&self, scene: &Scene<'_>) -> Rate {
        let regime = scene.inputs.regime;
        let full = rate_up(self.half().saturating_mul(Signal::from_num(2)));
        full.max(scene.params.spread_min(regime)).min(scene.params.spread_max(regime))
    }

    /// The closed form's, at most `inventory_skew_cap_pct` either way.
    fn lean(&self, scene: &Scene<'_>, half: Rate) -> Rate {
        let orders = Signal::from_num(scene.missing.0.unsigned_abs().min(ORDERS_MOST))
            / Signal::from_num(scene.order.0.max(1));
        let size = rate_up(self.lean_an_order().saturating_mul(orders));
        let size = size.min(scene.params.inventory_skew_cap_pct()).min(half);
        Rate(size.0 * scene.missing.0.signum())
    }
}

slot_enum! {
    /// Which model quotes an instrument, and why.
    pub enum Quoting {
        /// The regime model, as configured.
        Regime = 0 "regime",
        /// The closed form.
        Glft = 1 "glft",
        /// The regime model, since takers' orders have not been fitted yet.
        NoFit = 2 "regime (no fit)",
        /// The regime model, since the fit is older than `glft_fit_age_max_s`.
        OldFit = 3 "regime (old fit)",
        /// The regime model, since too few bars are known for a volatility.
        NoBand = 4 "regime (no volatility)",
    }
}

/// What has been fitted of one instrument's takers, and which model quotes by it.
#[derive(Clone, Copy, Debug)]
pub struct Flow {
    fitted: Option<Fitted>,
    quoting: Quoting,
}

/// A fit in force, and what follows from it.
#[derive(Clone, Copy, Debug)]
struct Fitted {
    coefficients: Coefficients,
    taken: MonoNanos,
    /// For this aversion to risk.
    gamma: Rate,
    terms: Terms,
}

impl Flow {
    /// Nothing fitted yet.
    pub const NONE: Self = Self { fitted: None, quoting: Quoting::Regime };

    /// Takes in a fit; false when no flow of takers can be like that, and what was known stays.
    pub fn take(&mut self, params: &Params, coefficients: &Coefficients, now: MonoNanos) -> bool {
        if !is_sound(coefficients) {
            return false;
        }
        let gamma = params.glft_gamma();
        let terms = Terms::of(coefficients, gamma);
        self.fitted = Some(Fitted { coefficients: *coefficients, taken: now, gamma, terms });
        true
    }

    /// The closed form, where it is asked for and everything that it needs is known; else the
    /// regime model has to quote, and [`Flow::quoting`] says why.
    pub fn model(&mut self, params: &Params, band: Rate, now: MonoNanos) -> Option<Glft> {
        let model = self.look(params, band, now);
        self.quoting = match model {
            Ok(_) => Quoting::Glft,
            Err(why) => why,
        };
        model.ok()
    }

    /// Which model [`Flow::model`] gave last.
    pub const fn quoting(&self) -> Quoting {
        self.quoting
    }

    /// When the fit in force becomes too old.
    pub fn deadline(&self, params: &Params, now: MonoNanos) -> MonoNanos {
        let old = |fitted: &Fitted| fitted.taken.after(params.glft_fit_age_max_s()).after(1);
        let old = self.fitted.as_ref().map(old).filter(|&old| old > now);
        old.filter(|_| self.quoting == Quoting::Glft).unwrap_or(MonoNanos::NEVER)
    }

    /// Folds all state that decisions depend on.
    pub fn fold(&self, digest: &mut Digest) {
        digest.fold(self.quoting as u64);
        let Some(Fitted { coefficients, taken, gamma, .. }) = &self.fitted else { return };
        digest.fold_signed(coefficients.arrivals_per_s_e8);
        digest.fold_signed(coefficients.decay_per_bp_e8);
        digest.fold(taken.0);
        digest.fold_signed(gamma.0);
    }

    fn look(&mut self, params: &Params, band: Rate, now: MonoNanos) -> Result<Glft, Quoting> {
        if params.model() != MODEL_GLFT {
            return Err(Quoting::Regime);
        }
        let fitted = self.fitted.as_mut().ok_or(Quoting::NoFit)?;
        if now.since(fitted.taken) > params.glft_fit_age_max_s() {
            return Err(Quoting::OldFit);
        }
        if band.0 <= 0 {
            return Err(Quoting::NoBand);
        }
        if fitted.gamma != params.glft_gamma() {
            fitted.gamma = params.glft_gamma();
            fitted.terms = Terms::of(&fitted.coefficients, fitted.gamma);
        }
        Ok(Glft { terms: fitted.terms, sigma: sigma(band) })
    }
}

/// What of the closed form does not depend on volatility and inventory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Terms {
    /// (1/γ)·ln(1 + γ/k), in bp.
    apart: Signal,
    /// c = √(γ/(2kA) · (1 + γ/k)^(1 + k/γ)), in roots of seconds an order.
    pull: Signal,
}

impl Terms {
    /// With x = γ/k and L = ln(1 + x)/x these are L/k and √(x · e^((1 + x)·L)) / √(2A), of which
    /// every part stays within [`Signal`] over all that is accepted.
    fn of(coefficients: &Coefficients, gamma: Rate) -> Self {
        let e8 = |value: i64| Signal::from_num(value) / Signal::from_num(E8);
        let (arrivals, decay) =
            (e8(coefficients.arrivals_per_s_e8), e8(coefficients.decay_per_bp_e8));
        let x = Signal::from_num(gamma.0) / Signal::from_num(coefficients.decay_per_bp_e8);
        let slope = ln_1p(x) / x;
        let power = exp((Signal::ONE + x) * slope);
        Self { apart: slope / decay, pull: sqrt(x * power) / sqrt(arrivals * 2) }
    }
}

/// True for coefficients that a flow of takers can have: what lies outside is a fit gone wrong.
pub const fn is_sound(coefficients: &Coefficients) -> bool {
    let Coefficients { arrivals_per_s_e8, decay_per_bp_e8, .. } = *coefficients;
    arrivals_per_s_e8 >= ARRIVALS_E8.0
        && arrivals_per_s_e8 <= ARRIVALS_E8.1
        && decay_per_bp_e8 >= DECAY_E8.0
        && decay_per_bp_e8 <= DECAY_E8.1
}

/// Volatility from the average range of a minute: that of a diffusion is σ·√(8T/π).
fn sigma(band: Rate) -> Signal {
    Signal::from_num(band.0) * SIGMA_OF_RANGE / Signal::from_num(RATE_A_BP)
}

/// A distance in bp as a share of the mid, rounded up; [`E8`] at most.
fn rate_up(bp: Signal) -> Rate {
    let most = Signal::from_num(E8 / RATE_A_BP);
    Rate((bp.min(most) * i128::from(RATE_A_BP)).ceil().to_num())
}

/// ln(1 + x) of 0 ≤ x < 2^62.
fn ln_1p(x: Signal) -> Signal {
    let y = Signal::ONE + x;
    let twos = y.int_log2().unsigned_abs();
    let m = y >> twos;
    // ln m = 2·artanh((m − 1)/(m + 1)), of 1 ≤ m < 2: each term is a ninth of the one before.
    let z = (m - Signal::ONE) / (m + Signal::ONE);
    let square = z * z;
    let (mut power, mut sum) = (z, z);
    for n in 1..LN_TERMS {
        power *= square;
        sum += power / (2 * n + 1);
    }
    sum * 2 + Signal::LN_2 * i128::from(twos)
}

/// e^x of 0 ≤ x ≤ 40.
fn exp(x: Signal) -> Signal {
    let twos: u32 = (x / Signal::LN_2).to_num();
    let rest = x - Signal::LN_2 * i128::from(twos);
    let (mut term, mut sum) = (Signal::ONE, Signal::ONE);
    for n in 1..EXP_TERMS {
        term = term * rest / n;
        sum += term;
    }
    sum << twos
}

/// √x of x ≥ 0.
fn sqrt(x: Signal) -> Signal {
    let bits = x.to_bits().unsigned_abs();
    if bits == 0 {
        return Signal::ZERO;
    }
    // All the digits that fit, in pairs: √(bits · 2^2s) = √bits · 2^s.
    let shift = bits.leading_zeros() / 2;
    let root = (bits << (2 * shift)).isqrt();
    // A signal's bits are 2^64 times its value, and 2^32 times the root of its bits its root.
    let bits = if shift >= 32 { root >> (shift - 32) } else { root << (32 - shift) };
    Signal::from_bits(bits.cast_signed())
}

/// The place of the word `glft` of the parameter `model`.
pub const MODEL_GLFT: u64 = 1;
/// Takers' orders a second and side that are accepted, in 1e-8: one in 11 days to 10,000.
pub const ARRIVALS_E8: (i64, i64) = (100, 10_000 * E8);
/// Decays a bp that are accepted, in 1e-8: 0.01 to 1,000.
pub const DECAY_E8: (i64, i64) = (E8 / 100, 1_000 * E8);
/// √(π/480): σ over the root of a second for each unit of a minute's average range.
const SIGMA_OF_RANGE: Signal = Signal::from_bits(1_492_361_512_324_906_054);
/// Units of [`Rate`] in a basis point.
const RATE_A_BP: i64 = 10_000;
/// Lots beyond which more make no difference, so that their count fits a signal.
const ORDERS_MOST: u64 = 1 << 48;
/// (1/9)^21 and ln(2)^22/22! are below the last digit of a signal.
const LN_TERMS: i128 = 21;
const EXP_TERMS: i128 = 23;

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_types, reason = "the published form is worked out in floats")]

    use super::*;
    use crate::event::Candle;
    use crate::instrument::{Instrument, InstrumentId, btcusdt};
    use crate::markout::Markout;
    use crate::param::{Profile, at};
    use crate::quote::{Desired, QuoteInputs, desired};
    use crate::regime::{Regime, Signals};
    use crate::units::{Lots, MILLIS, Price, SECONDS, Side, Ticks, UnixNanos};
    use proptest::prelude::*;

    const NOW: MonoNanos = MonoNanos(1_000 * SECONDS);

    fn coefficients(arrivals: f64, decay: f64) -> Coefficients {
        Coefficients {
            instrument: InstrumentId(0),
            arrivals_per_s_e8: (arrivals * E8 as f64).round() as i64,
            decay_per_bp_e8: (decay * E8 as f64).round() as i64,
            orders: 1_000,
            seen_ns: 600 * SECONDS,
            error_e4: 0,
        }
    }

    fn params(gamma: f64) -> Params {
        let mut params = Params::defaults(Profile::Touch);
        assert!(params.set(at::model, MODEL_GLFT as i64));
        assert!(params.set(at::glft_gamma, (gamma * E8 as f64).round() as i64));
        params
    }

    fn model(params: &Params, arrivals: f64, decay: f64, band: Rate) -> Glft {
        let mut flow = Flow::NONE;
        assert!(flow.take(params, &coefficients(arrivals, decay), NOW));
        flow.model(params, band, NOW).expect("everything is known")
    }

    /// The published form in floats: half-spread and skew an order, in bp.
    fn published(gamma: f64, (arrivals, decay): (f64, f64), sigma: f64) -> (f64, f64) {
        let ratio = 1.0 + gamma / decay;
        let c = (gamma / (2.0 * decay * arrivals) * ratio.powf(1.0 + decay / gamma)).sqrt();
        (gamma.recip() * (gamma / decay).ln_1p() + sigma * c / 2.0, sigma * c)
    }

    fn is_near(found: Signal, exact: f64, within: f64) -> bool {
        (found.to_num::<f64>() / exact - 1.0).abs() <= within
    }

    #[test]
    fn the_closed_form_is_the_published_one_within_one_part_in_1e9() {
        for gamma in [0.0001, 0.01, 0.1, 1.0, 10.0] {
            for decay in [0.01, 0.5, 3.5, 40.0, 1_000.0] {
                for arrivals in [0.000_001, 0.2, 5.0, 10_000.0] {
                    let band = Rate::bps(4);
                    let glft = model(&params(gamma), arrivals, decay, band);
                    let sigma = 4.0 * (core::f64::consts::PI / 480.0).sqrt();
                    assert!(is_near(glft.sigma, sigma, 1e-12), "{glft:?}");
                    let (half, lean) = published(gamma, (arrivals, decay), sigma);
                    let case = std::format!("γ {gamma}, A {arrivals}, k {decay}: {glft:?}");
                    assert!(is_near(glft.half(), half, 1e-9), "{case}, {half}");
                    assert!(is_near(glft.lean_an_order(), lean, 1e-9), "{case}, {lean}");
                }
            }
        }
    }

    #[test]
    fn exponential_logarithm_and_root_are_those_of_floats() {
        for n in 0..4_000 {
            let x = f64::from(n) / 100.0;
            let found = exp(Signal::from_num(x));
            assert!(is_near(found, x.exp(), 1e-12), "e^{x}: {found}");
        }
        for n in -180..180 {
            let x = 10f64.powf(f64::from(n) / 20.0);
            let signal = Signal::from_num(x);
            let x: f64 = signal.to_num();
            assert!(is_near(sqrt(signal), x.sqrt(), 1e-14), "√{x}: {}", sqrt(signal));
            // Below 1e-3 the last digit of a signal shows in what is small.
            let within = if x < 1e-3 { 1e-9 } else { 1e-14 };
            assert!(is_near(ln_1p(signal), x.ln_1p(), within), "ln(1 + {x}): {}", ln_1p(signal));
        }
        assert_eq!((sqrt(Signal::ZERO), ln_1p(Signal::ZERO)), (Signal::ZERO, Signal::ZERO));
        assert_eq!(sqrt(Signal::from_num(1i64 << 62)), Signal::from_num(1i64 << 31));
    }

    fn inputs(rules: &Instrument, position: i64) -> QuoteInputs<'_> {
        let (position, maker) = (Lots(position), Rate(-5_000));
        QuoteInputs { position, maker, ..QuoteInputs::calm(rules) }
    }

    fn quote(params: &Params, glft: &Glft, position: i64) -> Desired {
        let rules = btcusdt();
        desired(params, &inputs(&rules, position), glft, &mut Markout::new(), NOW)
    }

    fn offsets(desired: &Desired) -> [Rate; 2] {
        desired.sides.map(|side| side.offset)
    }

    #[test]
    fn without_inventory_both_sides_stand_equally_far() {
        let params = params(0.1);
        let desired = quote(&params, &model(&params, 0.2, 3.5, Rate::bps(4)), 0);
        assert_eq!(desired.skew, Rate::ZERO);
        let [buy, sell] = offsets(&desired);
        assert_eq!(buy, sell);
        // 0.28171 bp apart and half of 0.14361 bp an order: 0.35351 bp a side, rounded up.
        assert_eq!(desired.spread, Rate(7_071));
    }

    #[test]
    fn inventory_moves_both_quotes_by_the_closed_form_until_its_cap() {
        let params = params(0.1);
        let glft = model(&params, 0.2, 3.5, Rate::bps(4));
        let (flat, long) = (quote(&params, &glft, 0), quote(&params, &glft, 1));
        let short = quote(&params, &glft, -1);
        // An order is a lot here: 0.12 % of 10,000 USDT are worth less than two.
        assert_eq!(short.skew, Rate(1_437), "0.143605 bp, rounded up");
        assert_eq!(long.skew, -short.skew);
        assert_eq!(long.spread, flat.spread);
        assert!(offsets(&long)[0] > offsets(&flat)[0] && offsets(&long)[1] < offsets(&flat)[1]);
        let full = quote(&params, &glft, -150);
        assert_eq!(full.skew, Rate(full.spread.0 / 2), "half of the spread at most");
        let mut capped = params;
        assert!(capped.set(at::inventory_skew_cap_pct, 1_000));
        assert_eq!(quote(&capped, &glft, -150).skew, Rate(1_000));
    }

    #[test]
    fn a_position_at_its_target_does_not_skew() {
        let mut params = params(0.1);
        // 1 % of 10,000 USDT are 12 lots of 7.72.
        assert!(params.set(at::target_base_pct, E8 / 100));
        let glft = model(&params, 0.2, 3.5, Rate::bps(4));
        assert_eq!(quote(&params, &glft, 12).skew, Rate::ZERO);
        assert!(quote(&params, &glft, 11).skew > Rate::ZERO);
        assert!(quote(&params, &glft, 13).skew < Rate::ZERO);
    }

    #[test]
    fn the_spread_stays_within_the_regimes_bounds_and_above_its_costs() {
        let params = params(0.1);
        let regime = Regime::NeutralLowVol;
        let crowded = quote(&params, &model(&params, 10.0, 900.0, Rate::bps(1)), 0);
        assert_eq!(crowded.spread, params.spread_min(regime));
        let lonely = quote(&params, &model(&params, 0.001, 0.01, Rate::bps(100)), 0);
        assert_eq!(lonely.spread, params.spread_max(regime));
        let rules = btcusdt();
        let costly = QuoteInputs { maker: Rate::bps(9), ..inputs(&rules, 0) };
        let glft = model(&params, 0.2, 3.5, Rate::bps(4));
        let desired = desired(&params, &costly, &glft, &mut Markout::new(), NOW);
        assert!(desired.spread >= Rate::bps(9) && desired.spread == desired.sides[0].floor);
    }

    #[test]
    fn coefficients_that_no_takers_have_change_nothing() {
        let params = params(0.1);
        let mut flow = Flow::NONE;
        assert!(flow.take(&params, &coefficients(0.2, 3.5), NOW));
        let before = flow.model(&params, Rate::bps(4), NOW);
        for (arrivals, decay) in [
            (0.0, 3.5),
            (-0.2, 3.5),
            (0.000_000_5, 3.5),
            (10_001.0, 3.5),
            (0.2, 0.0),
            (0.2, -3.5),
            (0.2, 0.009),
            (0.2, 1_001.0),
        ] {
            assert!(!flow.take(&params, &coefficients(arrivals, decay), NOW), "{arrivals} {decay}");
            assert_eq!(flow.model(&params, Rate::bps(4), NOW), before);
        }
    }

    #[test]
    fn the_regime_model_quotes_until_everything_is_known_and_says_why() {
        let (mut params, band) = (params(0.1), Rate::bps(4));
        let mut flow = Flow::NONE;
        let why = |flow: &mut Flow, params: &Params, band, now| {
            assert_eq!(flow.model(params, band, now), None);
            flow.quoting()
        };
        assert_eq!(why(&mut flow, &params, band, NOW), Quoting::NoFit);
        assert!(flow.take(&params, &coefficients(0.2, 3.5), NOW));
        assert_eq!(why(&mut flow, &params, Rate::ZERO, NOW), Quoting::NoBand);
        let last = NOW.after(params.glft_fit_age_max_s());
        assert!(flow.model(&params, band, last).is_some());
        assert_eq!((flow.quoting(), flow.deadline(&params, NOW)), (Quoting::Glft, last.after(1)));
        assert_eq!(why(&mut flow, &params, band, last.after(1)), Quoting::OldFit);
        assert_eq!(flow.deadline(&params, last.after(1)), MonoNanos::NEVER);
        assert!(flow.take(&params, &coefficients(0.2, 3.5), last.after(1)));
        assert!(flow.model(&params, band, last.after(1)).is_some());
        assert!(params.set(at::model, 0));
        assert_eq!(why(&mut flow, &params, band, last.after(1)), Quoting::Regime);
    }

    #[test]
    fn another_aversion_to_risk_counts_at_once() {
        let band = Rate::bps(4);
        let mut flow = Flow::NONE;
        assert!(flow.take(&params(0.1), &coefficients(0.2, 3.5), NOW));
        let changed = flow.model(&params(1.0), band, NOW);
        assert_eq!(changed, Some(model(&params(1.0), 0.2, 3.5, band)));
    }

    /// A walk of one half tick up or down each tenth of a second, for ten hours.
    #[test]
    fn the_range_of_minutes_gives_the_volatility_of_a_walk() {
        let mut params = Params::defaults(Profile::Touch);
        assert!(params.set(at::atr_period, 600));
        let (mut signals, mut mid_x2, mut draw) = (Signals::new(), 1_544_001i64, 7u64);
        for tenth in 0..360_100u64 {
            draw ^= draw << 13;
            draw ^= draw >> 7;
            draw ^= draw << 17;
            mid_x2 += if draw & 1 << 40 == 0 { 1 } else { -1 };
            let ns = tenth * 100 * MILLIS;
            signals.on_mid(&params, mid_x2, Some(UnixNanos(ns as i64)), MonoNanos(ns));
        }
        let exact = 10f64.sqrt() / 1_544_001.0 * 1e4;
        let found = sigma(signals.band());
        assert!(is_near(found, exact, 0.05), "{found} bp, {exact} bp");
        // What the venue's own bars say is no less, so that the first fit finds a volatility.
        let candle = Candle {
            instrument: InstrumentId(0),
            start: UnixNanos(0),
            open: Price(77_200 * E8),
            high: Price(77_240 * E8),
            low: Price(77_160 * E8),
            close: Price(77_200 * E8),
        };
        let mut seeded = Signals::new();
        for minute in 0..14 {
            let start = UnixNanos(minute * UnixNanos::MINUTE);
            let params = Params::defaults(Profile::Touch);
            assert!(seeded.on_candle(&params, &Candle { start, ..candle }, &btcusdt()));
        }
        assert!(sigma(seeded.band()) > Signal::ZERO);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_024))]

        #[test]
        fn more_volatility_widens_and_leans_more(
            (gamma, arrivals, decay) in (0.0001..10.0f64, 0.001..100.0f64, 0.05..100.0f64),
            (band, more) in (1i64..500_000, 1i64..500_000),
        ) {
            let params = params(gamma);
            let [calm, wild] =
                [band, band + more].map(|band| model(&params, arrivals, decay, Rate(band)));
            prop_assert!(wild.half() > calm.half());
            prop_assert!(wild.lean_an_order() > calm.lean_an_order());
        }

        /// Aversion leans more and, without volatility, quotes nearer to be rid of what it holds.
        #[test]
        fn more_aversion_leans_more(
            gamma in 0.0001..5.0f64, factor in 1.01..2.0f64,
            (arrivals, decay, band) in (0.001..100.0f64, 0.05..100.0f64, 1i64..500_000),
        ) {
            let [bold, shy] = [gamma, gamma * factor]
                .map(|gamma| model(&params(gamma), arrivals, decay, Rate(band)));
            prop_assert!(shy.lean_an_order() > bold.lean_an_order());
            prop_assert!(shy.terms.apart < bold.terms.apart);
        }

        #[test]
        fn more_inventory_never_pulls_quotes_toward_more(
            gamma in 0.0001..10.0f64, position in -150i64..150, more in 1i64..100,
            (arrivals, decay, band) in (0.001..100.0f64, 0.05..100.0f64, 1i64..500_000),
        ) {
            let params = params(gamma);
            let glft = model(&params, arrivals, decay, Rate(band));
            let [less, more] = [position, position + more].map(|lots| quote(&params, &glft, lots));
            prop_assert!(more.skew <= less.skew);
        }

        #[test]
        fn quotes_never_cross_whatever_is_fitted(
            gamma in 0.0001..10.0f64, position in -300i64..300,
            arrivals in 0.000_001..10_000.0f64, decay in 0.01..1_000.0f64, band in 1i64..E8,
        ) {
            let params = params(gamma);
            let desired = quote(&params, &model(&params, arrivals, decay, Rate(band)), position);
            for side in Side::BOTH {
                for level in desired.sides[side.index()].levels() {
                    let rests = match side {
                        Side::Buy => level.price < Ticks(772_001),
                        Side::Sell => level.price > Ticks(772_000),
                    };
                    prop_assert!(rests, "{side} at {:?}", level.price);
                }
            }
        }
    }
}
