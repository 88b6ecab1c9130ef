//! `taylor1`: first-order Taylor expansion of the loss, parameter by parameter (LLM-Pruner `param_first`; Ma et al. 2023,
//! arXiv:2305.11627).
//!
//! ```text
//! S[g] = Σ_{w∈g} |w·∂L/∂w|
//! ```
//!
//! The gradient is that of the batch mean, as the optimiser sees it.
use super::{GroupScores, SaliencyContext, SaliencyRule, sum_over_groups};
use crate::tensor::{Backend, ElementScore};

pub struct Taylor1;

impl<B: Backend> SaliencyRule<B> for Taylor1 {
    fn name(&self) -> &'static str {
        "taylor1"
    }

    fn needs_gradients(&self) -> bool {
        true
    }

    fn flops_per_parameter(&self) -> u64 {
        4
    }

    fn scores(&self, context: &SaliencyContext<'_, B>) -> GroupScores {
        sum_over_groups(context, ElementScore::Taylor1)
    }
}
