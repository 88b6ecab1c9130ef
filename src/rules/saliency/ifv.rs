//! `ifv`: input feature variance, without weights (IFV in the code of FLAP; An et al. 2024, arXiv:2312.11983).
//!
//! ```text
//! S[g] = Σ_{j∈g} Var_n(X_j),   Var the sample variance (N − 1)
//! ```
//!
//! `flap` (WIFV) without ‖W_:j‖²: beside it, what of its order comes from activations alone. X as for `activation`, each place that
//! reads the group once.
use super::{Hessian, SaliencyRule, Statistic};

pub const RULE: SaliencyRule = SaliencyRule {
    name: "ifv",
    summary: "Σ Var(X_j) over the input channels of the group",
    source: "FLAP (IFV, its metric without weights): An et al. 2024, arXiv:2312.11983",
    hessian: Hessian::Layerwise,
    needs: &[Statistic::InputVariance],
    whole_groups: false,
    flops_per_parameter: 0,
    score: |evidence| evidence.channels(Statistic::InputVariance),
};
