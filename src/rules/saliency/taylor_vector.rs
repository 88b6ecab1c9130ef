//! `taylor_vector`: first-order Taylor expansion of the loss, signs kept within a tensor (LLM-Pruner `vectorize`; Ma et al.
//! 2023, arXiv:2305.11627).
//!
//! ```text
//! S[g] = |Σ_{w∈g} w·∂L/∂w|
//! ```
//!
//! The sum runs over the group's elements in one tensor; the reduction joins the coupled tensors. Within a tensor positive and
//! negative effects cancel.
use super::{Hessian, SaliencyRule, Statistic};
use crate::base::element_score::ElementScore;

pub const RULE: SaliencyRule = SaliencyRule {
    name: "taylor_vector",
    summary: "|Σ w·g| in each tensor",
    source: "LLM-Pruner (`vectorize`): Ma et al. 2023, arXiv:2305.11627",
    hessian: Hessian::None,
    needs: &[Statistic::Gradient],
    whole_groups: false,
    flops_per_parameter: 3,
    score: |evidence| {
        let mut scores = evidence.elements(ElementScore::Signed);
        scores.iter_mut().flatten().for_each(|score| *score = score.abs());
        scores
    },
};
