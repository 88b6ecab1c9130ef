//! `fisher_group`: the Fisher information of a group's mask (group Fisher; Liu et al. 2021, arXiv:2108.00708).
//!
//! ```text
//! S[g] = E_u[(Σ_{w∈g} w·∂L_u/∂w)²]        u sequences or micro-batches, times the tokens of a unit
//! S[g] = E_t[(Σ_{j∈g} a_tj·∂L/∂a_tj)²]    t positions, L the summed loss
//! ```
//!
//! `prune.fisher_unit` chooses; the positions are ours. By position the sum is the first-order effect of silencing the group at position t: a is the
//! input of `down_proj` (`ffn`), of `o_proj` over a head's channels (`head`), of every linear layer that reads the residual
//! stream (`stem`); no gradient of a parameter is needed.
use super::{Hessian, SaliencyRule, Statistic};

pub const RULE: SaliencyRule = SaliencyRule {
    name: "fisher_group",
    summary: "E_u[(Σ w·g_u)²]",
    source: "group Fisher: Liu et al. 2021, arXiv:2108.00708; by position: ours",
    hessian: Hessian::GlobalDiagonal,
    needs: &[Statistic::SquaredEffect],
    whole_groups: true,
    flops_per_parameter: 0,
    score: |evidence| evidence.groups(Statistic::SquaredEffect),
};
