//! `activation_taylor`: first-order effect of silencing a group, position by position (Molchanov et al. 2017,
//! arXiv:1611.06440).
//!
//! ```text
//! S[g] = E_t[|Σ_{j∈g} a_tj·∂L/∂a_tj|]     L the summed loss
//! ```
//!
//! Molchanov et al. have the mean over a feature map inside the bars; here a position stands in its place, since every position
//! of a sequence predicts. a as in `fisher_group`; heads sum over their channels inside the bars, and so do blocks of channels.
use super::{Hessian, SaliencyRule, Statistic};

pub const RULE: SaliencyRule = SaliencyRule {
    name: "activation_taylor",
    summary: "E_t[|Σ a·∂L/∂a|]",
    source: "Molchanov et al. 2017, arXiv:1611.06440 (there of a feature map, here of a position)",
    hessian: Hessian::None,
    needs: &[Statistic::AbsoluteEffect],
    whole_groups: true,
    flops_per_parameter: 0,
    score: |evidence| evidence.groups(Statistic::AbsoluteEffect),
};
