//! `activation`: mean magnitudes of activations (Minitron; Muralidharan et al. 2024, arXiv:2407.14679).
//!
//! ```text
//! S[g] = Σ_{j∈g} √Σ_s (mean_t |x_stj|)²              s sequences, t positions
//! ```
//!
//! x is the input of `down_proj` for `ffn` and of every linear layer that reads the residual stream for `stem`; for `head` it is
//! ‖·‖₂ over the channels of each query head at the input of `o_proj`.
use super::{Hessian, SaliencyRule, Statistic};

pub const RULE: SaliencyRule = SaliencyRule {
    name: "activation",
    summary: "Σ √Σ_sequences (mean |x|)² of the activations of the group",
    source: "Minitron: Muralidharan et al. 2024, arXiv:2407.14679",
    hessian: Hessian::None,
    needs: &[Statistic::Activation],
    whole_groups: false,
    flops_per_parameter: 0,
    score: |evidence| evidence.channels(Statistic::Activation),
};
