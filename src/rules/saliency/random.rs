//! `random`: the control that knows nothing, not even sizes.
//!
//! ```text
//! S[g] = u_g · |g|,  u_g ~ U[0, 1)
//! ```
//!
//! All parameters of a group share one draw, so the `per_parameter` score is u_g itself and every type loses the
//! same share of its groups in expectation (a bare u_g would, once normalised, favour the largest groups). The draw
//! belongs to the group's original index in a stream of its own, so a group keeps it while others disappear.
use super::{Hessian, SaliencyRule};

pub const RULE: SaliencyRule = SaliencyRule {
    name: "random",
    summary: "seeded uniform draw",
    source: "control",
    hessian: Hessian::None,
    needs: &[],
    whole_groups: true,
    flops_per_parameter: 0,
    score: |evidence| evidence.draws(),
};
