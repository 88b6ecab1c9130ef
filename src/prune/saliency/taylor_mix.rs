//! `taylor_mix`: first and second order with the global diagonal Hessian F = E\[g²\] (LLM-Pruner `param_mix`; Ma et al. 2023,
//! arXiv:2305.11627).
//!
//! ```text
//! S[g] = Σ_{w∈g} |w·∂L/∂w − ½·w²·F|
//! ```
//!
//! Deviation: LLM-Pruner omits the ½. F is the mean of squared *micro-batch* gradients, not the square of their mean.
use super::{GroupScores, SaliencyContext, SaliencyRule, sum_over_groups};
use crate::tensor::{Backend, ElementScore};

pub struct TaylorMix;

impl<B: Backend> SaliencyRule<B> for TaylorMix {
    fn name(&self) -> &'static str {
        "taylor_mix"
    }

    fn needs_gradients(&self) -> bool {
        true
    }

    fn needs_fisher(&self) -> bool {
        true
    }

    fn flops_per_parameter(&self) -> u64 {
        8
    }

    fn scores(&self, context: &SaliencyContext<'_, B>) -> GroupScores {
        sum_over_groups(context, ElementScore::TaylorMix)
    }
}
