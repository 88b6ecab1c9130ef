//! `taylor_mix`: first and second order with the global diagonal Hessian F (LLM-Pruner `param_mix`; Ma et al. 2023,
//! arXiv:2305.11627).
//!
//! ```text
//! S[g] = Σ_{w∈g} |w·∂L/∂w − ½·w²·F|
//! ```
//!
//! As in LLM-Pruner with the ½. F is in the unit of `prune.fisher_unit`; LLM-Pruner's is the mean of squared gradients of
//! whole sequences without the factor of their tokens (`fisher_scale = "none"`), under which the second term hardly counts.
use super::{Hessian, SaliencyRule, Statistic};
use crate::base::element_score::ElementScore;

pub const RULE: SaliencyRule = SaliencyRule {
    name: "taylor_mix",
    summary: "Σ|w·g − ½w²F|",
    source: "LLM-Pruner (`param_mix`)",
    hessian: Hessian::GlobalDiagonal,
    needs: &[Statistic::Gradient, Statistic::Fisher],
    whole_groups: false,
    flops_per_parameter: 8,
    score: |evidence| evidence.elements(ElementScore::TaylorMix),
};
