//! `taylor2`: second order with the global diagonal Hessian F (LLM-Pruner `param_second`; Ma et al. 2023, arXiv:2305.11627).
//!
//! ```text
//! S[g] = Σ_{w∈g} w²·F
//! ```
//!
//! As in LLM-Pruner without the ½ of the expansion, which changes no order. F in the unit of `prune.fisher_unit`.
use super::{Hessian, SaliencyRule, Statistic};
use crate::base::element_score::ElementScore;

pub const RULE: SaliencyRule = SaliencyRule {
    name: "taylor2",
    summary: "Σ w²·F",
    source: "LLM-Pruner (`param_second`); OBD: LeCun et al. 1989",
    hessian: Hessian::GlobalDiagonal,
    needs: &[Statistic::Fisher],
    whole_groups: false,
    flops_per_parameter: 4,
    score: |evidence| evidence.elements(ElementScore::Taylor2),
};
