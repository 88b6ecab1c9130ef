//! `obs`: the error that layerwise Optimal Brain Surgeon leaves (OBC, Frantar & Alistarh 2022, arXiv:2208.11580; column sets as
//! in ZipLM, Kurtić et al. 2023, arXiv:2302.04089). Method §3.
//!
//! ```text
//! S[g] = tr(W_S (G⁻¹_SS)⁻¹ W_Sᵀ),   S the input columns of g
//! ```
//!
//! For one column Σ_i W_ij²/[G⁻¹]_jj. W and G are those of each linear layer that reads the group; G is damped as by updates.
//! It is in units of squared outputs of a layer, so groups of different types are comparable by `layer_mean` or `layer_zscore`
//! rather than by parameter.
use super::{Hessian, SaliencyRule, Statistic};

pub const RULE: SaliencyRule = SaliencyRule {
    name: "obs",
    summary: "tr(W_S (G⁻¹_SS)⁻¹ W_Sᵀ), the error of layerwise OBS",
    source: "OBC: Frantar & Alistarh 2022, arXiv:2208.11580; sets of columns: ZipLM: Kurtić et al. 2023, arXiv:2302.04089",
    hessian: Hessian::Layerwise,
    needs: &[Statistic::Gram],
    whole_groups: false,
    flops_per_parameter: 0,
    score: |evidence| evidence.layerwise_errors(),
};
