//! `adam`: first order by the optimiser's moments (after NIRVANA, whose saliency is of first order under Adam; Ai et al. 2025,
//! arXiv:2509.14230).
//!
//! ```text
//! S[g] = Σ_{w∈g} |w·m| / (√v + ε),   ε = 1e-8
//! ```
//!
//! The moments in the place of a fresh gradient are ours. m and v are AdamW's running means of g and g², without bias corrections,
//! which are one factor for all. No pass over text and no memory beside the optimiser's; there are moments only while training.
use super::{Hessian, SaliencyRule, Statistic};
use crate::base::element_score::ElementScore;

pub const RULE: SaliencyRule = SaliencyRule {
    name: "adam",
    summary: "Σ |w·m|/(√v + ε) from AdamW's moments, while training",
    source: "after NIRVANA: Ai et al. 2025, arXiv:2509.14230; by the optimiser's own moments: ours",
    hessian: Hessian::None,
    needs: &[Statistic::Moments],
    whole_groups: false,
    flops_per_parameter: 6,
    score: |evidence| evidence.elements(ElementScore::Adam),
};
