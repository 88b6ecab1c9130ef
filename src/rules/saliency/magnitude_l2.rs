//! `magnitude_l2`: squared weights (of filters: He et al. 2018, arXiv:1808.06866; one by one: Han et al. 2015,
//! arXiv:1506.02626).
//!
//! ```text
//! S[g] = Σ_{w∈g} w²
//! ```
use super::{Hessian, SaliencyRule};
use crate::base::element_score::ElementScore;

pub const RULE: SaliencyRule = SaliencyRule {
    name: "magnitude_l2",
    summary: "Σw²",
    source: "He et al. 2018, arXiv:1808.06866 (filters); single weights: Han et al. 2015, arXiv:1506.02626",
    hessian: Hessian::None,
    needs: &[],
    whole_groups: false,
    flops_per_parameter: 3,
    score: |evidence| evidence.elements(ElementScore::MagnitudeL2),
};
