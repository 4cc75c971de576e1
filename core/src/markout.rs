//! Markouts: what fills were worth some time later, and the edge gate that goes by it.
//!
//! The edge of a fill after a while is `sign · (mid − price) / mid − fee`. What fills have taught
//! fades with time, so that a gate that was shut for their sake opens again by itself.

use crate::digest::Digest;
use crate::param::Params;
use crate::regime::{REGIMES, Regime};
use crate::units::{E8, MILLIS, MonoNanos, Rate, SECONDS, Side, Signal, Ticks};

/// How long after a fill it is judged, in nanoseconds.
pub const HORIZONS: [u64; 5] = [100 * MILLIS, SECONDS, 5 * SECONDS, 30 * SECONDS, 300 * SECONDS];
/// The horizon that the gate goes by.
pub const GATE_HORIZON: usize = 3;
/// Fills that may wait for a horizon at once; beyond that the oldest is not judged any further.
pub const PENDING_MAX: usize = 64;
/// What a fill is expected to lose to those who know more, before any fill has taught better: 0.5
/// bp.
pub const ADVERSE: Rate = Rate(5_000);

/// A fill to judge later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fill {
    /// Our side.
    pub side: Side,
    /// Where.
    pub price: Ticks,
    /// Fee rate paid; negative is a rebate.
    pub fee: Rate,
    /// The regime at the time.
    pub regime: Regime,
}

/// What the gate lets a side do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Quote.
    Open,
    /// One order of the smallest size.
    Probe,
    /// Nothing that grows the position.
    Shut,
}

/// Fills of one instrument that wait for their horizons, what was learned, and the gate of each
/// side.
#[derive(Clone, Debug)]
pub struct Markout {
    pending: [(MonoNanos, Fill); PENDING_MAX],
    /// Fills taken in; the newest stands at this number less one, mod [`PENDING_MAX`].
    taken: u64,
    /// For each horizon, how many fills it has judged or passed over.
    judged: [u64; HORIZONS.len()],
    /// When the next fill falls due.
    due: MonoNanos,
    dropped: u64,
    /// The newest mid in half ticks; 0 while unknown.
    mid_x2: i64,
    learned: [[[Mean; REGIMES]; 2]; HORIZONS.len()],
    faded_at: MonoNanos,
    gates: [Gate; 2],
}

impl Markout {
    /// Nothing seen; both sides open.
    pub const fn new() -> Self {
        Self {
            pending: [(MonoNanos::NEVER, NO_FILL); PENDING_MAX],
            taken: 0,
            judged: [0; HORIZONS.len()],
            due: MonoNanos::NEVER,
            dropped: 0,
            mid_x2: 0,
            learned: [[[Mean::NONE; REGIMES]; 2]; HORIZONS.len()],
            faded_at: MonoNanos::ZERO,
            gates: [Gate::OPEN; 2],
        }
    }

    /// Takes in a fill. A fill of a probing side ends the probe.
    pub fn on_fill(&mut self, fill: Fill, now: MonoNanos) {
        let oldest_kept = (self.taken + 1).saturating_sub(PENDING_MAX as u64);
        for judged in &mut self.judged {
            if *judged < oldest_kept {
                *judged = oldest_kept;
                self.dropped += 1;
            }
        }
        self.pending[place(self.taken)] = (now, fill);
        self.taken += 1;
        self.due = self.next_due();
        let gate = &mut self.gates[fill.side.index()];
        if gate.probing {
            gate.probing = false;
            gate.waits_since = now;
        }
    }

    /// Takes in the mid of a whole frame in half ticks, after judging the fills whose horizons
    /// passed before it by the mid that stood then.
    ///
    /// # Panics
    /// When `mid_x2` is not positive.
    pub fn on_mid(&mut self, params: &Params, mid_x2: i64, now: MonoNanos) {
        assert!(mid_x2 > 0, "a live book has a mid");
        self.fade(params, now);
        if self.due <= now {
            let stood = if self.mid_x2 > 0 { self.mid_x2 } else { mid_x2 };
            self.judge(stood, now);
        }
        self.mid_x2 = mid_x2;
    }

    /// The mid is not known from now on; fills that fall due are judged by the next one.
    pub const fn lose_mid(&mut self) {
        self.mid_x2 = 0;
    }

    /// The mean edge of fills of `side` in `regime` at a horizon, and how many fills it rests on,
    /// as far as they have not faded. Both are zero where nothing was learned.
    ///
    /// # Panics
    /// When `horizon` is not a place in [`HORIZONS`].
    pub fn mean(&self, horizon: usize, side: Side, regime: Regime) -> (Rate, Signal) {
        let mean = &self.learned[horizon][side.index()][regime as usize];
        let edge = if mean.weight > 0 { mean.sum / mean.weight } else { Signal::ZERO };
        (Rate(edge.to_num()), mean.weight)
    }

    /// The edge to expect of a fill `offset` away from the mid at fee rate `fee`, both shares of
    /// the price: the mean of what was learned, shrunk to `offset − fee − ADVERSE`.
    pub fn expected(
        &self,
        params: &Params,
        side: Side,
        regime: Regime,
        offset: Rate,
        fee: Rate,
    ) -> Rate {
        let prior = offset - fee - ADVERSE;
        let mean = &self.learned[GATE_HORIZON][side.index()][regime as usize];
        if mean.weight <= 0 {
            return prior;
        }
        let fills = Signal::from_num(params.edge_prior_fills());
        let edge = (mean.sum + Signal::from_num(prior.0) * fills) / (mean.weight + fills);
        Rate(edge.to_num())
    }

    /// Moves the gate of `side` by the edge to expect, and says what the side may do.
    pub fn admit(
        &mut self,
        params: &Params,
        side: Side,
        expected: Rate,
        now: MonoNanos,
    ) -> Admission {
        self.gates[side.index()].admit(params, expected, now)
    }

    /// Sides that are shut, as bits by [`Side::index`].
    pub const fn shut(&self) -> u8 {
        self.gates[0].shut as u8 | (self.gates[1].shut as u8) << 1
    }

    /// The next time after `now` at which a gate may change its mind without an event.
    pub fn deadline(&self, params: &Params, now: MonoNanos) -> MonoNanos {
        let both = self.gates.iter().flat_map(|gate| gate.turns(params));
        both.filter(|&turn| turn > now).min().unwrap_or(MonoNanos::NEVER)
    }

    /// Judgments that fell out because more than [`PENDING_MAX`] fills waited.
    pub const fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Folds all state that decisions depend on into `digest`.
    pub fn fold(&self, digest: &mut Digest) {
        digest.fold(self.taken);
        for &judged in &self.judged {
            digest.fold(judged);
        }
        digest.fold(self.due.0);
        digest.fold_signed(self.mid_x2);
        digest.fold(self.faded_at.0);
        for mean in self.learned[GATE_HORIZON].iter().flatten() {
            for bits in [mean.weight.to_bits(), mean.sum.to_bits()] {
                digest.fold_signed((bits >> 64) as i64);
                digest.fold_signed(bits as i64);
            }
        }
        for gate in &self.gates {
            digest.fold(u64::from(gate.shut) | u64::from(gate.probing) << 1);
            digest.fold(gate.flipped_at.map_or(u64::MAX, |at| at.0));
            digest.fold(gate.waits_since.0);
        }
    }

    fn judge(&mut self, mid_x2: i64, now: MonoNanos) {
        for (horizon, wait) in HORIZONS.into_iter().enumerate() {
            while self.judged[horizon] < self.taken {
                let (at, fill) = self.pending[place(self.judged[horizon])];
                if at.after(wait) > now {
                    break;
                }
                self.judged[horizon] += 1;
                self.learned[horizon][fill.side.index()][fill.regime as usize]
                    .add(fill.edge(mid_x2));
            }
        }
        self.due = self.next_due();
    }

    fn next_due(&self) -> MonoNanos {
        let waiting = HORIZONS.into_iter().zip(self.judged).filter(|&(_, n)| n < self.taken);
        let dues = waiting.map(|(wait, n)| self.pending[place(n)].0.after(wait));
        dues.min().unwrap_or(MonoNanos::NEVER)
    }

    /// Halves the weight of what was learned with each half-life, in steps of whole seconds.
    fn fade(&mut self, params: &Params, now: MonoNanos) {
        let elapsed = now.since(self.faded_at) / SECONDS * SECONDS;
        if elapsed == 0 {
            return;
        }
        self.faded_at = self.faded_at.after(elapsed);
        let mut share = None;
        for mean in self.learned.iter_mut().flatten().flatten().filter(|mean| mean.weight > 0) {
            let share = *share.get_or_insert_with(|| halved(elapsed, params.edge_half_life_s()));
            mean.fade(share);
        }
    }
}

impl Default for Markout {
    fn default() -> Self {
        Self::new()
    }
}

impl Fill {
    /// What this fill earned against `mid_x2`, after its fee.
    fn edge(&self, mid_x2: i64) -> Rate {
        let gain = i128::from(self.side.sign() * (mid_x2 - 2 * self.price.0)) * i128::from(E8);
        let share = gain / i128::from(mid_x2);
        let most = i128::from(EDGE_MAX.0);
        let share = share.clamp(-most, most);
        Rate(i64::try_from(share).expect("clamped to a fraction")) - self.fee
    }
}

/// A weighted mean of edges in 1e-8.
#[derive(Clone, Copy, Debug)]
struct Mean {
    weight: Signal,
    sum: Signal,
}

impl Mean {
    const NONE: Self = Self { weight: Signal::ZERO, sum: Signal::ZERO };

    fn add(&mut self, edge: Rate) {
        self.weight += Signal::ONE;
        self.sum += Signal::from_num(edge.0);
    }

    fn fade(&mut self, share: Signal) {
        self.weight *= share;
        self.sum *= share;
        if self.weight < WEIGHT_MIN {
            *self = Self::NONE;
        }
    }
}

/// The edge gate of one side.
#[derive(Clone, Copy, Debug)]
struct Gate {
    shut: bool,
    /// The last time that it shut or opened.
    flipped_at: Option<MonoNanos>,
    /// From when the wait for the next probe counts.
    waits_since: MonoNanos,
    /// A probe has been let out and has not been filled yet.
    probing: bool,
}

impl Gate {
    const OPEN: Self =
        Self { shut: false, flipped_at: None, waits_since: MonoNanos::ZERO, probing: false };

    fn admit(&mut self, params: &Params, expected: Rate, now: MonoNanos) -> Admission {
        let may_flip = self.flipped_at.is_none_or(|at| now.since(at) >= params.edge_state_hold_s());
        let wants_to_flip = if self.shut {
            expected > params.edge_resume_bps()
        } else {
            expected < params.min_net_edge_bps()
        };
        if may_flip && wants_to_flip {
            *self =
                Self { shut: !self.shut, flipped_at: Some(now), waits_since: now, probing: false };
        }
        if !self.shut {
            return Admission::Open;
        }
        self.probing |= now.since(self.waits_since) >= params.edge_probe_after_s();
        if self.probing { Admission::Probe } else { Admission::Shut }
    }

    /// When this gate may change its mind: it may flip again, and it may probe.
    fn turns(&self, params: &Params) -> impl Iterator<Item = MonoNanos> + use<> {
        let flip = self.flipped_at.map(|at| at.after(params.edge_state_hold_s()));
        let waits = self.shut && !self.probing;
        let probe = waits.then(|| self.waits_since.after(params.edge_probe_after_s()));
        flip.into_iter().chain(probe)
    }
}

const fn place(number: u64) -> usize {
    (number % PENDING_MAX as u64) as usize
}

/// 2 to the power of −`elapsed` / `half_life`, in fixed point: a shift for whole half-lives, and
/// for the rest a product of the roots 2^(−1/2), 2^(−1/4), … that its binary digits name.
fn halved(elapsed: u64, half_life: u64) -> Signal {
    let whole = elapsed / half_life;
    if whole >= 64 {
        return Signal::ZERO;
    }
    let rest = (u128::from(elapsed % half_life) << ROOTS.len()) / u128::from(half_life);
    let mut power = 1u128 << 64;
    for (n, &root) in ROOTS.iter().enumerate() {
        if rest >> (ROOTS.len() - 1 - n) & 1 == 1 {
            power = (power * root) >> 64;
        }
    }
    Signal::from_bits((power >> whole).cast_signed())
}

/// 2^(−2^−n) for n = 1, 2, …, with 64 fraction bits: each the square root of the one before.
const ROOTS: [u128; 32] = {
    let mut roots = [0; 32];
    let mut root: u128 = 1 << 63;
    let mut n = 0;
    while n < roots.len() {
        root = (root << 64).isqrt();
        roots[n] = root;
        n += 1;
    }
    roots
};

/// Below this weight nothing is left of what was learned.
const WEIGHT_MIN: Signal = Signal::from_bits(1 << 48);
/// An edge beyond this is no edge but a wrong price.
const EDGE_MAX: Rate = Rate(10 * E8);
const NO_FILL: Fill =
    Fill { side: Side::Buy, price: Ticks(0), fee: Rate(0), regime: Regime::NeutralLowVol };

const _: () = assert!(HORIZONS[GATE_HORIZON] == 30 * SECONDS);
const _: () = assert!(size_of::<Markout>() <= 6 * 1_024);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::param::{Profile, at};
    use proptest::prelude::*;

    const QUIET: Regime = Regime::NeutralLowVol;

    fn params() -> Params {
        Params::defaults(Profile::Wide)
    }

    fn secs(n: u64) -> MonoNanos {
        MonoNanos(n * SECONDS)
    }

    fn buy(price: i64) -> Fill {
        Fill { side: Side::Buy, price: Ticks(price), fee: Rate::bps(2), regime: QUIET }
    }

    #[test]
    fn a_fill_is_judged_by_the_mid_that_stood_at_each_horizon() {
        let params = params();
        let mut markout = Markout::new();
        markout.on_mid(&params, 200_000, secs(9));
        markout.on_fill(buy(99_990), secs(10));
        markout.on_mid(&params, 200_020, MonoNanos(10_050 * MILLIS));
        // At 10.1 s the mid of 10.05 s stood, whatever came after.
        markout.on_mid(&params, 100_000, MonoNanos(10_200 * MILLIS));
        let (edge, weight) = markout.mean(0, Side::Buy, QUIET);
        assert_eq!((edge, weight), (Rate(40 * E8 / 200_020 - 20_000), Signal::ONE));
        assert_eq!(markout.mean(1, Side::Buy, QUIET), (Rate::ZERO, Signal::ZERO));
        markout.on_mid(&params, 199_960, secs(20));
        markout.on_mid(&params, 199_960, secs(40));
        let (edge, _) = markout.mean(GATE_HORIZON, Side::Buy, QUIET);
        assert!((edge.0 - (-20 * E8 / 199_960 - 20_000)).abs() <= 1, "{edge:?}");
        assert_eq!(markout.mean(GATE_HORIZON, Side::Sell, QUIET).1, Signal::ZERO);
        assert_eq!(markout.mean(GATE_HORIZON, Side::Buy, Regime::Up).1, Signal::ZERO);
    }

    #[test]
    fn a_sell_earns_when_the_mid_falls() {
        let fill = Fill { side: Side::Sell, fee: -Rate::bps(1), ..buy(100_000) };
        assert_eq!(fill.edge(199_800), Rate(200 * E8 / 199_800 + 10_000));
        assert_eq!(fill.edge(200_200), Rate(-(200 * E8 / 200_200) + 10_000));
    }

    #[test]
    fn fills_due_while_the_mid_is_unknown_are_judged_by_the_next() {
        let params = params();
        let mut markout = Markout::new();
        markout.on_mid(&params, 200_000, secs(9));
        markout.on_fill(buy(100_000), secs(10));
        markout.lose_mid();
        markout.on_mid(&params, 200_200, secs(60));
        let (edge, _) = markout.mean(GATE_HORIZON, Side::Buy, QUIET);
        assert!((edge.0 - (200 * E8 / 200_200 - 20_000)).abs() <= 1);
    }

    #[test]
    fn too_many_fills_at_once_are_counted_and_cost_only_the_longest_horizon() {
        let params = params();
        let mut markout = Markout::new();
        markout.on_mid(&params, 200_000, secs(1));
        for n in 0..100 {
            markout.on_fill(buy(100_000), secs(1 + n));
            markout.on_mid(&params, 200_000, secs(1 + n));
        }
        assert_eq!(markout.dropped(), 36);
        markout.on_mid(&params, 200_000, secs(1_000));
        assert_eq!(markout.mean(4, Side::Buy, QUIET).1, Signal::from_num(PENDING_MAX));
        assert_eq!(markout.judged, [100; 5]);
    }

    #[test]
    fn without_fills_the_prior_is_expected() {
        let edge =
            Markout::new().expected(&params(), Side::Buy, QUIET, Rate::bps(12), Rate::bps(2));
        assert_eq!(edge, Rate(95_000));
    }

    #[test]
    fn fills_weigh_against_the_prior_as_their_number_does() {
        let params = params();
        let mut markout = Markout::new();
        markout.learned[GATE_HORIZON][0][QUIET as usize] =
            Mean { weight: Signal::from_num(150), sum: Signal::from_num(-150 * 10_000) };
        let edge = markout.expected(&params, Side::Buy, QUIET, Rate::bps(12), Rate::bps(2));
        assert_eq!(edge, Rate((-150 * 10_000 + 50 * 95_000) / 200));
    }

    #[test]
    fn what_fills_taught_fades_by_half_in_each_half_life_of_time() {
        let params = params();
        let mut markout = Markout::new();
        markout.on_mid(&params, 200_000, secs(0));
        markout.learned[GATE_HORIZON][0][QUIET as usize] =
            Mean { weight: Signal::from_num(64), sum: Signal::from_num(-64 * 10_000) };
        for second in 1..=1_800 {
            markout.on_mid(&params, 200_000, secs(second));
        }
        let (edge, weight) = markout.mean(GATE_HORIZON, Side::Buy, QUIET);
        assert!((weight - Signal::from_num(32)).abs() < Signal::from_num(1) / 1_000);
        assert!((edge.0 + 10_000).abs() <= 1, "the mean stays: {edge:?}");
        markout.on_mid(&params, 200_000, secs(200_000));
        assert_eq!(markout.mean(GATE_HORIZON, Side::Buy, QUIET).1, Signal::ZERO);
    }

    #[test]
    fn the_gate_shuts_holds_probes_and_opens_by_itself() {
        let params = params();
        let mut markout = Markout::new();
        let mut now = secs(1_000);
        markout.on_mid(&params, 200_000, now);
        assert_eq!(markout.admit(&params, Side::Buy, Rate(95_000), now), Admission::Open);
        // Two hundred buys that lose 10 bp each and their fee of 2 bp.
        for _ in 0..200 {
            markout.on_fill(buy(100_100), now);
            now = now.after(SECONDS);
            markout.on_mid(&params, 200_000, now);
        }
        let ask = |markout: &mut Markout, now| {
            markout.on_mid(&params, 200_000, now);
            let (offset, fee) = (Rate::bps(12), Rate::bps(2));
            let edge = markout.expected(&params, Side::Buy, QUIET, offset, fee);
            markout.admit(&params, Side::Buy, edge, now)
        };
        assert_eq!(ask(&mut markout, now), Admission::Shut);
        assert_eq!((markout.shut(), markout.deadline(&params, now)), (1, now.after(120 * SECONDS)));
        let shut_at = now;
        // After 15 minutes a probe, until it is filled.
        let probe_at = shut_at.after(900 * SECONDS);
        assert_eq!(ask(&mut markout, MonoNanos(probe_at.0 - 1)), Admission::Shut);
        assert_eq!(ask(&mut markout, probe_at), Admission::Probe);
        assert_eq!(ask(&mut markout, probe_at.after(SECONDS)), Admission::Probe);
        let filled_at = probe_at.after(2 * SECONDS);
        markout.on_fill(buy(99_880), filled_at);
        assert_eq!(ask(&mut markout, filled_at), Admission::Shut);
        assert_eq!(markout.deadline(&params, filled_at), filled_at.after(900 * SECONDS));
        // With no fill at all it drifts back to the prior and opens.
        let mut now = filled_at;
        let mut probes = 0;
        while markout.shut() != 0 {
            now = now.after(10 * SECONDS);
            probes += u32::from(ask(&mut markout, now) == Admission::Probe);
            assert!(now < shut_at.after(6 * 3_600 * SECONDS), "shut for six hours");
        }
        assert!(probes > 0);
        assert!(now > shut_at.after(1_800 * SECONDS), "not before it has learned");
        assert_eq!(ask(&mut markout, now), Admission::Open);
    }

    #[test]
    fn the_gate_keeps_its_state_for_the_hold_time() {
        let params = params();
        let mut markout = Markout::new();
        let (bad, good, middling) = (Rate(9_999), Rate(40_001), Rate(20_000));
        let mut at = |edge, second| markout.admit(&params, Side::Sell, edge, secs(second));
        assert_eq!(at(Rate::bps(1), 1), Admission::Open, "exactly the least is enough");
        assert_eq!(at(bad, 1), Admission::Shut);
        assert_eq!(at(good, 120), Admission::Shut);
        assert_eq!(at(Rate::bps(4), 121), Admission::Shut, "resumes above, not at");
        assert_eq!(at(middling, 122), Admission::Shut);
        assert_eq!(at(good, 123), Admission::Open);
        assert_eq!(at(bad, 242), Admission::Open);
        assert_eq!(at(middling, 243), Admission::Open);
        assert_eq!(at(bad, 243), Admission::Shut);
        assert_eq!(markout.shut(), 2);
    }

    #[test]
    fn sides_are_apart() {
        let params = params();
        let mut markout = Markout::new();
        assert_eq!(markout.admit(&params, Side::Buy, Rate(-1), secs(1)), Admission::Shut);
        assert_eq!(markout.admit(&params, Side::Sell, Rate::bps(9), secs(1)), Admission::Open);
        assert_eq!(markout.shut(), 1);
    }

    #[test]
    fn a_half_life_may_change_at_run_time() {
        let mut params = params();
        assert!(params.set(at::edge_half_life_s, 10 * SECONDS as i64));
        let mut markout = Markout::new();
        markout.on_mid(&params, 200_000, secs(0));
        markout.learned[0][0][0] = Mean { weight: Signal::from_num(8), sum: Signal::ZERO };
        markout.on_mid(&params, 200_000, secs(30));
        assert_eq!(markout.mean(0, Side::Buy, QUIET).1, Signal::ONE);
    }

    proptest! {
        #[test]
        #[expect(clippy::disallowed_types, reason = "floats are what it is held against")]
        fn a_power_of_a_half_is_within_a_billionth(
            elapsed in 0u64..200_000,
            half_life in 10u64..90_000,
        ) {
            let found: f64 = halved(elapsed * SECONDS, half_life * SECONDS).to_num();
            let wanted = (-(elapsed as f64) / half_life as f64).exp2();
            prop_assert!((found - wanted).abs() <= 2e-9 * wanted + 1e-15, "{} {}", found, wanted);
        }
    }
}
