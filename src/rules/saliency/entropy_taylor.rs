//! `entropy_taylor`: as `taylor1`, for the entropy of the predictions (HFPrune; Zhu et al. 2026, arXiv:2603.08083).
//!
//! ```text
//! S[g] = Σ_{w∈g} |w·∂H/∂w|,   H = −Σ_v p_v log p_v, the mean over positions
//! ```
//!
//! No targets are read. While training it takes a backward pass of its own.
use super::{Hessian, SaliencyRule, Statistic};
use crate::base::element_score::ElementScore;

pub const RULE: SaliencyRule = SaliencyRule {
    name: "entropy_taylor",
    summary: "Σ|w·∂H/∂w|, H the entropy of the predictions",
    source: "HFPrune: Zhu et al. 2026, arXiv:2603.08083; summed as `taylor1`",
    hessian: Hessian::None,
    needs: &[Statistic::EntropyGradient],
    whole_groups: false,
    flops_per_parameter: 4,
    score: |evidence| evidence.elements(ElementScore::Taylor1),
};
