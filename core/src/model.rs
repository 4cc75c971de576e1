//! Models: how wide to quote and how far to lean, before costs, caps and the grid have their say.
//!
//! A model sets nothing else: [`quote::desired`](crate::quote::desired) raises its spread to what
//! costs ask for, bounds its skew, and makes prices and sizes of both.

use crate::param::Params;
use crate::quote::QuoteInputs;
use crate::units::{E8, Lots, Rate, part, ratio};

/// What a model goes by.
#[derive(Clone, Copy, Debug)]
pub struct Scene<'a> {
    /// The values in force.
    pub params: &'a Params,
    /// What is looked at.
    pub inputs: &'a QuoteInputs<'a>,
    /// Turnover of the day as a share of its cap, 0 to 1.
    pub used: Rate,
    /// Net position as a share of equity.
    pub base_pct: Rate,
    /// What one order should have, no less than the venue takes.
    pub order: Lots,
    /// What the position lacks to its target; negative where it holds too much.
    pub missing: Lots,
}

/// How wide to quote and how far to lean.
pub trait Model {
    /// The full spread, as a share of the mid, without regard to costs.
    fn spread(&self, scene: &Scene<'_>) -> Rate;

    /// The skew that inventory asks for, as a share of the mid: positive pulls both sides up.
    /// `half` is half of the narrower spread that will be quoted.
    fn lean(&self, scene: &Scene<'_>, half: Rate) -> Rate;
}

/// Spread from turnover, between the bounds of the regime; skew from the share of the largest
/// position that is missing.
#[derive(Clone, Copy, Debug)]
pub struct RegimeModel;

impl Model for RegimeModel {
    fn spread(&self, scene: &Scene<'_>) -> Rate {
        let Scene { params, inputs, used, .. } = *scene;
        let (least, most) = (params.spread_min(inputs.regime), params.spread_max(inputs.regime));
        least + part(most - least, used)
    }

    fn lean(&self, scene: &Scene<'_>, half: Rate) -> Rate {
        let Scene { params, inputs, base_pct, .. } = *scene;
        let missing = params.target_base_pct(inputs.regime) - base_pct;
        let err = Rate(ratio(missing.0, params.max_base_pct().0).clamp(-E8, E8));
        let restless = Rate(ratio(inputs.band.0, params.high_vol_band_pct().0).clamp(0, E8));
        let most = params.inventory_skew_cap_pct().min(half);
        part(part(part(most, params.skew_factor(inputs.regime)), err), Rate(E8) + restless)
    }
}
