//! `taylor1`: first-order Taylor expansion of the loss, parameter by parameter (LLM-Pruner `param_first`; Ma et al. 2023,
//! arXiv:2305.11627).
//!
//! ```text
//! S[g] = Σ_{w∈g} |w·∂L/∂w|
//! ```
//!
//! The gradient is that of the batch mean, as the optimiser sees it.
use super::{Hessian, SaliencyRule, Statistic};
use crate::base::element_score::ElementScore;

pub const RULE: SaliencyRule = SaliencyRule {
    name: "taylor1",
    summary: "Σ|w·g|",
    source: "LLM-Pruner (`param_first`): Ma et al. 2023, arXiv:2305.11627",
    hessian: Hessian::None,
    needs: &[Statistic::Gradient],
    whole_groups: false,
    flops_per_parameter: 4,
    score: |evidence| evidence.elements(ElementScore::Taylor1),
};
