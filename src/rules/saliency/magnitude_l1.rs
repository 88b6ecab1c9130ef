//! `magnitude_l1`: absolute weights (of filters: Li et al. 2017, arXiv:1608.08710).
//!
//! ```text
//! S[g] = Σ_{w∈g} |w|
//! ```
use super::{Hessian, SaliencyRule};
use crate::base::element_score::ElementScore;

pub const RULE: SaliencyRule = SaliencyRule {
    name: "magnitude_l1",
    summary: "Σ|w|",
    source: "Li et al. 2017, arXiv:1608.08710 (filters)",
    hessian: Hessian::None,
    needs: &[],
    whole_groups: false,
    flops_per_parameter: 3,
    score: |evidence| evidence.elements(ElementScore::MagnitudeL1),
};
