//! `magnitude_l2`: squared weights.
//!
//! ```text
//! S[g] = Σ_{w∈g} w²
//! ```
use super::{GroupScores, SaliencyContext, SaliencyRule, sum_over_groups};
use crate::tensor::{Backend, ElementScore};

pub struct MagnitudeL2;

impl<B: Backend> SaliencyRule<B> for MagnitudeL2 {
    fn name(&self) -> &'static str {
        "magnitude_l2"
    }

    fn flops_per_parameter(&self) -> u64 {
        3
    }

    fn scores(&self, context: &SaliencyContext<'_, B>) -> GroupScores {
        sum_over_groups(context, ElementScore::MagnitudeL2)
    }
}
