//! Squared effects of groups by sequence or micro-batch (group Fisher; Liu et al. 2021, arXiv:2108.00708), from gradients of
//! parameters.
//!
//! ```text
//! S[g] = (1/N) Σ_u (Σ_{w∈g} w·g_u)²         g_u the gradient of the summed loss of unit u, N tokens in all
//! ```
//!
//! That is E_u[(Σ w·ḡ_u)²] of mean gradients ḡ_u, times the tokens of a unit.
use crate::model::{ModelConfig, Weights};
use crate::prune::groups::Groups;
use crate::prune::saliency::{GroupScores, sums_over_groups};
use crate::tensor::{Backend, Communicator, ElementScore, RankError};

/// Adds `weight · (Σ_{w∈g} w·g)²` of one unit to the scores.
pub fn add<B: Backend>(
    scores: &mut GroupScores,
    weight: f64,
    backend: &B,
    config: &ModelConfig,
    groups: &Groups,
    [weights, grads]: [&Weights<B::Tensor>; 2],
) {
    let effects = sums_over_groups(backend, config, groups, ElementScore::Signed, weights, grads);
    scores.add(weight, &effects, |effect| effect * effect);
}

/// Makes the scores those of all ranks; a rank that had no unit brings zeros.
///
/// # Errors
/// Another rank has stopped.
pub fn sum_over_ranks<B: Backend>(
    scores: &mut GroupScores,
    communicator: &dyn Communicator<B>,
) -> Result<(), RankError> {
    let own: Vec<f64> = scores.values_mut().map(|score| *score).collect();
    let all = communicator.gather(&own)?;
    for (i, score) in scores.values_mut().enumerate() {
        *score = all.iter().map(|of| of.get(i).copied().unwrap_or(0.0)).sum();
    }
    Ok(())
}
