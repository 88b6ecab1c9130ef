//! `wanda`: Wanda-sp, weights by the norms of their inputs (Sun et al. 2023, arXiv:2306.11695, for single weights; summed over
//! columns as Wanda-sp in the code of FLAP, An et al. 2024, arXiv:2312.11983).
//!
//! ```text
//! S[g] = Σ_{j∈g} ‖X_j‖₂ · Σ_i |W_ij|
//! ```
//!
//! W (d_out × d_in) of each linear layer that reads the group (down for `ffn`; o for `head`; q, k, v, gate, up and the output
//! head for `stem`), X (d_in × N) its inputs over N tokens. ‖X_j‖² is the diagonal of the layerwise Hessian G.
use super::{Hessian, SaliencyRule, Statistic};
use crate::base::element_score::ElementScore;

pub const RULE: SaliencyRule = SaliencyRule {
    name: "wanda",
    summary: "Σ |W_ij|·‖X_j‖₂ over the input columns of the group",
    source: "Wanda: Sun et al. 2023, arXiv:2306.11695 (single weights); over columns as Wanda-sp in FLAP's code",
    hessian: Hessian::Layerwise,
    needs: &[Statistic::InputNorm],
    whole_groups: false,
    flops_per_parameter: 3,
    score: |evidence| evidence.columns(ElementScore::MagnitudeL1, Statistic::InputNorm),
};
