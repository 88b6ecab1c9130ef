//! `flap`: weighted input feature variance, WIFV (FLAP; An et al. 2024, arXiv:2312.11983).
//!
//! ```text
//! S[g] = Σ_{j∈g} Var_n(X_j) · ‖W_:j‖²,   Var the sample variance (N − 1)
//! ```
//!
//! An input that hardly varies can go where its mean moves into a bias (`update_hessian = "mean_bias"`). W and X are those of
//! each linear layer that reads the group.
use super::{Hessian, SaliencyRule, Statistic};
use crate::base::element_score::ElementScore;

pub const RULE: SaliencyRule = SaliencyRule {
    name: "flap",
    summary: "Σ Var(X_j)·‖W_:j‖² over the input columns of the group",
    source: "FLAP (WIFV): An et al. 2024, arXiv:2312.11983",
    hessian: Hessian::Layerwise,
    needs: &[Statistic::InputVariance],
    whole_groups: false,
    flops_per_parameter: 3,
    score: |evidence| evidence.columns(ElementScore::MagnitudeL2, Statistic::InputVariance),
};
