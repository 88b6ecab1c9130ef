//! The target size and how it is met (method §4): the achieved count is the largest that does not exceed the target.
//!
//! Events are chosen by saliency as long as the next one leaves at least the target. The first one that would leave
//! fewer is replaced by a *completion*: numbers of events (a, b, c) of the types `ffn`, `head`, `stem`, within
//! what the floors permit, with the largest final count
//!
//! ```text
//! P(a, b, c) = (d − c·k) · (Q − a·3kL − b·R) + B − b·β ≤ target     d hidden width, Q parameters per hidden channel,
//!                                                                   R rows per head event, k block, B biases of the
//!                                                                   model, β of them per head event
//! ```
//!
//! Where the target leaves embedding and head out (`non_embedding_ratio`), Q is without their rows, and so are source,
//! target and every count between them.
//!
//! Ties go to fewest events, then to more `ffn`, then to more `head` events. Since the replaced event is itself
//! such a combination (0 or 1 of each), there always is one, and it removes no more than that event would. For each
//! (b, c) the best a is the least that reaches the target, so the search is exact in O(heads · channels).
use super::error::PruneError;
use super::groups::{Groups, TYPES, stem_channel_params};
use crate::model::ModelConfig;
use crate::spec::PruneSpec;

/// What a run's target counts, and the most of it that the pruned model may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Goal {
    pub limit: u64,
    /// Whether embedding and head count.
    pub counts_embedding: bool,
}

impl Goal {
    /// The goal that `spec` sets for models pruned from `source`.
    pub fn new(spec: &PruneSpec, source: &ModelConfig) -> Goal {
        let mut goal = Goal { limit: 0, counts_embedding: spec.target.counts_embedding() };
        goal.limit = spec.target.limit(goal.count(source));
        goal
    }

    /// Parameters of `config` that count.
    pub fn count(&self, config: &ModelConfig) -> u64 {
        config.num_params() - if self.counts_embedding { 0 } else { config.num_embedding_params() }
    }

    /// Those of one hidden channel.
    fn per_channel(&self, config: &ModelConfig) -> u64 {
        let embedding = config.num_embedding_params() / (config.hidden_size as u64).max(1);
        stem_channel_params(config) - if self.counts_embedding { 0 } else { embedding }
    }

    /// Parameters that count after `events` of each type, in the order of [`TYPES`].
    pub fn count_after(&self, groups: &Groups, config: &ModelConfig, events: [u64; 3]) -> u64 {
        let [ffn, head] = per_channel(groups, config);
        let width = config.hidden_size as u64 - events[2] * groups.block() as u64;
        let [biases, head_biases] = biases(groups, config);
        width * (self.per_channel(config) - events[0] * ffn - events[1] * head) + biases
            - events[1] * head_biases
    }
}

/// The goal, if it lies between the source's size and the least that the floors permit.
///
/// # Errors
/// [`PruneError::TargetAboveSource`], [`PruneError::TargetBelowFloor`].
pub fn checked_goal(spec: &PruneSpec, groups: &Groups, source: &ModelConfig) -> Result<Goal, PruneError> {
    let goal = Goal::new(spec, source);
    let (target, source_params) = (goal.limit, goal.count(source));
    let all = TYPES.map(|kind| groups.events_left(kind, source) as u64);
    let least = goal.count_after(groups, source, all);
    if target > source_params {
        return Err(PruneError::TargetAboveSource { target, source_params });
    }
    if target < least {
        return Err(PruneError::TargetBelowFloor { target, least });
    }
    Ok(goal)
}

/// Biases of the model, and how many of them one `head` event removes.
fn biases(groups: &Groups, config: &ModelConfig) -> [u64; 2] {
    let all = config.num_bias_params();
    let per_event = (0..config.layers.len()).map(|place| groups.head_group_biases(config, place)).sum();
    [all, per_event]
}

/// Parameters per hidden channel that one `ffn` and one `head` event remove.
fn per_channel(groups: &Groups, config: &ModelConfig) -> [u64; 2] {
    let ffn = 3 * (groups.block() * config.layers.len()) as u64;
    let heads: u64 = config.layers.iter().map(|layer| groups.head_group_rows(layer)).sum();
    [ffn, heads * config.head_dim as u64]
}

/// Events of each type that bring `config` to the largest count that does not exceed the goal's limit; `None` where
/// the floors are above it.
pub fn completion(groups: &Groups, config: &ModelConfig, goal: Goal) -> Option<[u64; 3]> {
    let left = TYPES.map(|kind| groups.events_left(kind, config) as u64);
    let [ffn, head] = per_channel(groups, config);
    let (block, per_stem, target) = (groups.block() as u64, goal.per_channel(config), goal.limit);
    let [biases, head_biases] = biases(groups, config);
    let mut best: Option<(u64, [u64; 3])> = None;
    for c in 0..=left[2] {
        let width = config.hidden_size as u64 - c * block;
        for b in 0..=left[1] {
            // Least a with width·(per_stem − b·head − a·ffn) + kept ≤ target.
            let (rows, kept) = (per_stem - b * head, biases - b * head_biases);
            let Some(room) = target.checked_sub(kept) else { continue };
            let excess = rows.saturating_sub(room / width);
            let a = excess.div_ceil(ffn.max(1));
            if a > left[0] {
                continue;
            }
            let params = width * (rows - a * ffn) + kept;
            let events = [a, b, c];
            let rank = |params: u64, [a, b, c]: [u64; 3]| (params, std::cmp::Reverse(a + b + c), a, b);
            if best.is_none_or(|(most, of)| rank(params, events) > rank(most, of)) {
                best = Some((params, events));
            }
        }
    }
    best.map(|(_, events)| events)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Biases;
    use crate::prune::testing::{config_of, small_config, small_spec};
    use crate::spec::{HeadUnit, Target};
    use proptest::prelude::*;
    use proptest::test_runner::RngSeed;

    #[test]
    fn targets_outside_the_reachable_range_are_refused() {
        let source = small_config(true);
        // Stem channel: 10 + 1 + 2·(2 + 2·(6+3)·2 + 3·8) = 135; model 12·135 = 1620. Floors: one head group, one ffn
        // and one stem channel: 10 + 1 + 2·(2 + 2·(2+1)·2 + 3) = 45.
        assert_eq!(source.num_params(), 1620);
        let refuse = |target| {
            let spec = PruneSpec { target, ..small_spec() };
            let groups = Groups::new(&spec, &source).unwrap();
            checked_goal(&spec, &groups, &source).map(|goal| goal.limit).map_err(|error| error.to_string())
        };
        assert_eq!(refuse(Target::Ratio(0.5)), Ok(810));
        assert_eq!(refuse(Target::Params(45)), Ok(45));
        // The embedding has 10 of a channel's 135: 12·125 = 1500 parameters count.
        assert_eq!(refuse(Target::NonEmbeddingRatio(0.5)), Ok(750));
        assert_eq!(
            refuse(Target::Params(2000)).unwrap_err(),
            "prune.target: 2000 parameters are more than the source's 1620; nearest valid: 1620"
        );
        assert_eq!(
            refuse(Target::Params(44)).unwrap_err(),
            "prune.target: 44 parameters are fewer than the 45 that remain when every type of prune.types is at its \
             floor; nearest valid: 45"
        );
    }

    #[test]
    fn ties_go_to_fewest_events_then_to_type_order() {
        // h = 3, H/K = 1: a head event takes (2 + 2)·3·L = 12·L per channel, an ffn event 3·L: one head event equals
        // four ffn events, and the target is met exactly by both. Fewest events wins.
        let config = config_of([10, 4, 1, 1, 4, 3, 8], true);
        let groups = Groups::new(&small_spec(), &config).unwrap();
        let target = config.num_params() - 12 * 4;
        let goal = Goal { limit: target, counts_embedding: true };
        assert_eq!(goal.count_after(&groups, &config, [4, 0, 0]), target);
        assert_eq!(completion(&groups, &config, goal), Some([0, 1, 0]));
        let all = Goal { limit: config.num_params(), ..goal };
        assert_eq!(completion(&groups, &config, all), Some([0, 0, 0]));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 200, rng_seed: RngSeed::Fixed(1), failure_persistence: None, ..Default::default() })]
        #[test]
        fn completion_equals_brute_force(
            v in 1usize..30, d in 1usize..6, layers in 1usize..4, ratio in 1usize..4, kv in 1usize..5,
            half in 1usize..3, f in 1usize..9, block in 1usize..3, tied: bool, qkv_bias: bool, query_per_group: bool,
            types in 1usize..8, share in 0.0..1.0f64, counts_embedding: bool,
        ) {
            let config = config_of([v, d * block, layers, ratio, kv, 2 * half, f * block], tied);
            let config = ModelConfig { biases: if qkv_bias { Biases::QKV } else { Biases::NONE }, ..config };
            let spec = PruneSpec {
                block,
                types: TYPES.into_iter().filter(|&kind| types >> kind as usize & 1 == 1).collect(),
                head_unit: if query_per_group { HeadUnit::QueryPerGroup } else { HeadUnit::KvGroup },
                ..small_spec()
            };
            let groups = Groups::new(&spec, &config).unwrap();
            // The shape itself is the judge of every count.
            let count = |config: &ModelConfig| {
                config.num_params() - if counts_embedding { 0 } else { config.num_embedding_params() }
            };
            let target = (share * count(&config) as f64) as u64;
            let goal = Goal { limit: target, counts_embedding };
            let left = TYPES.map(|kind| groups.events_left(kind, &config) as u64);
            let mut best: Option<(u64, [u64; 3])> = None;
            for a in 0..=left[0] {
                for b in 0..=left[1] {
                    for c in 0..=left[2] {
                        let mut after = config.clone();
                        after.hidden_size -= c as usize * block;
                        for layer in &mut after.layers {
                            layer.intermediate_size -= a as usize * block;
                            if query_per_group {
                                layer.num_heads -= b as usize * kv;
                            } else {
                                layer.num_heads -= b as usize * ratio;
                                layer.num_kv_heads -= b as usize;
                            }
                        }
                        let params = count(&after);
                        prop_assert_eq!(params, goal.count_after(&groups, &config, [a, b, c]));
                        let better = best.is_none_or(|(most, [x, y, z])| {
                            params > most
                                || params == most
                                    && (a + b + c < x + y + z
                                        || a + b + c == x + y + z && (a > x || a == x && b > y))
                        });
                        if params <= target && better {
                            best = Some((params, [a, b, c]));
                        }
                    }
                }
            }
            prop_assert_eq!(completion(&groups, &config, goal), best.map(|(_, events)| events));
        }
    }
}
