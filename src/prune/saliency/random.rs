//! `random`: the control that knows nothing, not even sizes.
//!
//! ```text
//! S[g] = u_g · |g|,  u_g ~ U[0, 1)
//! ```
//!
//! All parameters of a group share one draw, so the `per_parameter` score is u_g itself and every type loses the
//! same share of its groups in expectation (a bare u_g would, once normalised, favour the largest groups). The draw
//! belongs to the group's original index in a stream of its own, so a group keeps it while others disappear.
use super::{GroupScores, SaliencyContext, SaliencyRule};
use crate::base::random::stream;
use crate::prune::groups::TYPES;
use crate::spec::GroupType;
use crate::tensor::Backend;
use rand::RngExt;

pub struct Random;

impl<B: Backend> SaliencyRule<B> for Random {
    fn name(&self) -> &'static str {
        "random"
    }

    fn flops_per_parameter(&self) -> u64 {
        0
    }

    fn scores(&self, context: &SaliencyContext<'_, B>) -> GroupScores {
        let SaliencyContext { config, groups, survivors, source, seed, .. } = *context;
        let mut scores = GroupScores::default();
        for kind in TYPES.into_iter().filter(|&kind| groups.allows(kind)) {
            let of_place = |place| {
                let mut generator = stream(seed, &format!("prune/random/{}/{place}", label(kind)));
                let draws: Vec<f64> =
                    (0..groups.count(kind, source, place)).map(|_| generator.random()).collect();
                let size = groups.group_params(kind, config, place) as f64;
                (0..groups.count(kind, config, place))
                    .map(|position| draws[groups.original(kind, survivors, place, position)] * size)
                    .collect()
            };
            scores.set(kind, (0..groups.places(kind, config)).map(of_place).collect());
        }
        scores
    }
}

fn label(kind: GroupType) -> &'static str {
    match kind {
        GroupType::Ffn => "ffn",
        GroupType::Head => "head",
        GroupType::Stem => "stem",
    }
}
