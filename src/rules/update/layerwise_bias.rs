//! `layerwise_bias`: Optimal Brain Surgeon with a free bias, which is `layerwise` on centred inputs (method §3).
//!
//! ```text
//! C = Σ (x − x̄)(x − x̄)ᵀ      W′ = W − W_S (C⁻¹_SS)⁻¹ C⁻¹_S:      b ← b + (W − W′) x̄
//! ```
//!
//! The bias that is best for any W′ makes the mean of the outputs what it was; what is left to W′ are deviations from it.
use super::{Moments, UpdateRule};
use crate::rules::saliency::Statistic;
use nalgebra::DVector;

pub const RULE: UpdateRule = UpdateRule {
    name: "layerwise_bias",
    summary: "OBS with a free bias",
    source: "ours: OBS on the centred G",
    needs: &[Statistic::Gram, Statistic::InputMean],
    moments: Moments::Centred,
    makes_bias: true,
    compensate: |lost, weight| {
        let before = weight.clone();
        if let Some(factored) = lost.factored {
            factored.eliminate(weight, lost.columns)?;
        }
        Ok(Some((before - &*weight) * DVector::from_column_slice(lost.mean)))
    },
};
