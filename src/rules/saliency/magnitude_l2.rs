//! `magnitude_l2`: squared weights.
//!
//! ```text
//! S[g] = Σ_{w∈g} w²
//! ```
use super::{Hessian, SaliencyRule};
use crate::base::element_score::ElementScore;

pub const RULE: SaliencyRule = SaliencyRule {
    name: "magnitude_l2",
    summary: "Σ w²",
    hessian: Hessian::None,
    needs: &[],
    whole_groups: false,
    flops_per_parameter: 3,
    score: |evidence| evidence.elements(ElementScore::MagnitudeL2),
};
