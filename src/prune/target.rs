//! The target size and how it is met (method §4): the achieved count is the largest that does not exceed the target.
//!
//! Events are chosen by saliency as long as the next one leaves at least the target. The first one that would leave
//! fewer is replaced by a *completion*: numbers of events of each type, within what the floors permit, with the largest final
//! count that does not exceed the target
//!
//! ```text
//! max P(n_ffn, n_head, n_stem, …) ≤ target       P: parameters that count, of the shape that is left
//! ```
//!
//! Where the target leaves embedding and head out (`non_embedding_ratio`), so do source, target and every count between them.
//!
//! Ties go to fewest events, then to more of the first type, of the second, …. Since the replaced event is itself such a
//! combination, there always is one, and it removes no more than that event would. P falls with every event and is linear in
//! the number of events of one type, so the search goes through all types but one, each until the target is met without the
//! others, and solves for the last: exact, and short where the target is near. Where layers lose groups one by one
//! (`per_layer`) and their groups differ in size, it matters which layer loses them: `uneven` has that search, and the completion takes
//! the weakest group with which the best end is still reached. Only where its table would be too large (biases in a large model: sizes
//! without a common divisor) are numbers by type used there, too, and worked out again after each event.
use super::error::PruneError;
use super::groups::Groups;
use crate::model::ModelConfig;
use crate::schema::groups::GroupType;
use crate::spec::PruneSpec;

/// Events of each type, in the order that breaks ties.
pub type Events = Vec<(GroupType, u64)>;

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
        Goal { limit: spec.limit(source), counts_embedding: spec.target.counts_embedding() }
    }

    /// Parameters of `config` that count.
    pub fn count(&self, config: &ModelConfig) -> u64 {
        config.num_params() - if self.counts_embedding { 0 } else { config.num_embedding_params() }
    }

    /// Parameters that count after `events`.
    pub fn count_after(&self, groups: &Groups, config: &ModelConfig, events: &[(GroupType, u64)]) -> u64 {
        self.count(&groups.after(config, events))
    }
}

/// All events that the floors permit.
pub fn all_events(groups: &Groups, config: &ModelConfig) -> Events {
    groups.types().iter().map(|&kind| (kind, groups.events_left(kind, config) as u64)).collect()
}

/// The goal, if it lies between the source's size and the least that the floors permit. `begins` is the source with the biases
/// that updates will give it.
///
/// # Errors
/// [`PruneError::TargetAboveSource`], [`PruneError::TargetBelowFloor`].
pub fn checked_goal(
    spec: &PruneSpec,
    groups: &Groups,
    begins: &ModelConfig,
    source: &ModelConfig,
) -> Result<Goal, PruneError> {
    let mut goal = Goal::new(spec, source);
    if let Some(shape) = &spec.fixed_shape {
        let shape = shape.config(source).map_err(|what| PruneError::FixedShape { what })?;
        let with_biases = goal.count(&ModelConfig { biases: begins.biases, ..shape });
        // Where nothing goes, no update gives biases.
        goal.limit = with_biases.min(goal.count(source));
    }
    let (target, source_params) = (goal.limit, goal.count(source));
    let least = goal.count_after(groups, begins, &all_events(groups, begins));
    if target > source_params {
        return Err(PruneError::TargetAboveSource { target, source_params });
    }
    if target < least {
        return Err(PruneError::TargetBelowFloor { target, least });
    }
    Ok(goal)
}

/// Events of each type that bring `config` to the largest count that does not exceed the goal's limit; `None` where
/// the floors are above it.
pub fn completion(groups: &Groups, config: &ModelConfig, goal: Goal) -> Option<Events> {
    let left = all_events(groups, config);
    let mut search = Search { groups, config, goal, best: None };
    // The last to be solved for is the first: its events are the smallest, and ties prefer more of them.
    let order: Vec<usize> = (0..left.len()).rev().collect();
    search.go(&left, &order, &mut left.iter().map(|&(kind, _)| (kind, 0)).collect());
    search.best.map(|(_, events)| events)
}

/// By count, fewest events, then more of the first types.
type Rank = (u64, std::cmp::Reverse<u64>, Vec<u64>);

struct Search<'a> {
    groups: &'a Groups,
    config: &'a ModelConfig,
    goal: Goal,
    best: Option<(Rank, Events)>,
}

impl Search<'_> {
    fn count(&self, events: &Events) -> u64 {
        self.goal.count_after(self.groups, self.config, events)
    }

    fn offer(&mut self, events: &Events) {
        let params = self.count(events);
        if params > self.goal.limit {
            return;
        }
        let numbers: Vec<u64> = events.iter().map(|(_, events)| *events).collect();
        let rank = (params, std::cmp::Reverse(numbers.iter().sum()), numbers);
        if self.best.as_ref().is_none_or(|(best, _)| rank > *best) {
            self.best = Some((rank, events.clone()));
        }
    }

    /// Tries all numbers of events of the types at `order`, those of the others being as `events` says.
    fn go(&mut self, left: &Events, order: &[usize], events: &mut Events) {
        let Some((&at, rest)) = order.split_first() else { return self.offer(events) };
        if rest.is_empty() {
            return self.solve(left[at].1, at, events);
        }
        for number in 0..=left[at].1 {
            events[at].1 = number;
            // Enough without the others: more events, of this type or of them, leave fewer parameters.
            if self.count(events) <= self.goal.limit {
                self.offer(events);
                break;
            }
            self.go(left, rest, events);
        }
        events[at].1 = 0;
    }

    /// The fewest events of the type at `at` that meet the target.
    fn solve(&mut self, left: u64, at: usize, events: &mut Events) {
        let excess = self.count(events).saturating_sub(self.goal.limit);
        let number = if excess == 0 || left == 0 {
            0
        } else {
            let before = self.count(events);
            events[at].1 = 1;
            let each = before - self.count(events);
            excess.div_ceil(each.max(1)).min(left)
        };
        events[at].1 = number;
        self.offer(events);
        events[at].1 = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Biases;
    use crate::prune::testing::{config_of, small_config, small_spec};
    use crate::spec::{HeadUnit, Scope, Target};
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
            checked_goal(&spec, &groups, &source, &source)
                .map(|goal| goal.limit)
                .map_err(|error| error.to_string())
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
        let [ffn, head, stem] = [GroupType::Ffn, GroupType::Head, GroupType::Stem];
        assert_eq!(goal.count_after(&groups, &config, &[(ffn, 4)]), target);
        assert_eq!(completion(&groups, &config, goal), Some(vec![(ffn, 0), (head, 1), (stem, 0)]));
        let all = Goal { limit: config.num_params(), ..goal };
        assert_eq!(completion(&groups, &config, all), Some(vec![(ffn, 0), (head, 0), (stem, 0)]));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 200, rng_seed: RngSeed::Fixed(1), failure_persistence: None, ..Default::default() })]
        #[test]
        fn completion_equals_brute_force(
            v in 1usize..30, d in 1usize..5, layers in 1usize..4, ratio in 1usize..4, kv in 1usize..4,
            half in 1usize..4, f in 1usize..7, block in 1usize..3, tied: bool, biases in 0usize..3, query_per_group: bool,
            types in 1usize..32, per_layer: bool, share in 0.0..1.0f64, counts_embedding: bool,
        ) {
            let biases = [Biases::NONE, Biases::QKV, Biases::ATTENTION.union(Biases::MLP)][biases];
            let config = ModelConfig { biases, ..config_of([v, d * block, layers, ratio, kv, 2 * half, f * block], tied) };
            let types: Vec<GroupType> = GroupType::ALL
                .into_iter()
                .enumerate()
                .filter(|(bit, kind)| types >> bit & 1 == 1 && !(per_layer && *kind == GroupType::HeadDim))
                .map(|(_, kind)| kind)
                .collect();
            prop_assume!(!types.is_empty());
            let spec = PruneSpec {
                block,
                types,
                head_unit: if query_per_group { HeadUnit::QueryPerGroup } else { HeadUnit::KvGroup },
                scope: if per_layer { Scope::PerLayer } else { Scope::Uniform },
                ..small_spec()
            };
            // Types whose groups change size with those of another type in the same layer have no one size per layer.
            prop_assume!(!per_layer || !spec.types.contains(&GroupType::Layer));
            let groups = Groups::new(&spec, &config).unwrap();
            // The shape itself is the judge of every count.
            let goal = Goal { limit: 0, counts_embedding };
            let limit = (share * goal.count(&config) as f64) as u64;
            let goal = Goal { limit, ..goal };
            let left = all_events(&groups, &config);
            let mut best: Option<Rank> = None;
            let mut numbers = vec![0; left.len()];
            'all: loop {
                let events: Events = left.iter().zip(&numbers).map(|(&(kind, _), &n)| (kind, n)).collect();
                let params = goal.count_after(&groups, &config, &events);
                let rank = (params, std::cmp::Reverse(numbers.iter().sum()), numbers.clone());
                if params <= limit && best.as_ref().is_none_or(|best| rank > *best) {
                    best = Some(rank);
                }
                for (number, (_, left)) in numbers.iter_mut().zip(&left) {
                    if *number < *left {
                        *number += 1;
                        continue 'all;
                    }
                    *number = 0;
                }
                break;
            }
            let found = completion(&groups, &config, goal);
            prop_assert_eq!(
                found.map(|events| events.into_iter().map(|(_, n)| n).collect::<Vec<_>>()),
                best.map(|(_, _, numbers)| numbers)
            );
        }
    }
}
