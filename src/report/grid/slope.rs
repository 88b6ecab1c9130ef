//! What the metric gains per doubling of a numeric axis.
//!
//! ```text
//! slope = Σ_l w_l μ_l,   w_l = (x_l − x̄)/Σ(x − x̄)²,   x_l = log₂ of the axis's value        least squares within each seed
//! ```
//!
//! A contrast like the others: paired by seed and item, averaged over the other axes.
use super::Grid;
use super::contrast::{Estimate, Weights};
use super::factor::Factor;
use crate::stats::factorial::slope_weights;

/// The slope of one factor.
#[derive(Clone, Debug, PartialEq)]
pub struct Slope {
    pub factor: Factor,
    pub weights: Weights,
    /// Per doubling.
    pub estimate: Estimate,
    pub p_holm: Option<f64>,
    /// Whether it was asked before there were results.
    pub declared: bool,
    /// Tests that it is corrected for.
    pub tests: usize,
}

/// The slope over the levels of `factor`, whose values are `values`; `None` where no block is complete, a value is not above
/// 0, or nothing was measured.
pub fn slope(grid: &Grid, factor: &Factor, values: &[f64]) -> Option<Slope> {
    if factor.blocks.is_empty() || values.iter().any(|value| *value <= 0.0) {
        return None;
    }
    let of_levels = slope_weights(&values.iter().map(|value| value.log2()).collect::<Vec<_>>()).ok()?;
    let weights: Weights = of_levels
        .iter()
        .enumerate()
        .flat_map(|(level, weight)| factor.level_weights(level, *weight))
        .collect();
    let estimate = grid.estimate(&weights);
    let factor = factor.clone();
    estimate.value?;
    Some(Slope { factor, weights, estimate, p_holm: None, declared: false, tests: 0 })
}
