//! Type selection (method §2): which groups the next event takes.
//!
//! ```text
//! candidate(type) = mean over places of the place's lowest score        uniform (`stem` and `layer` have one place)
//!                 = the lowest score of all places                      per_layer
//! event           = the type of the lowest candidate; ties by (score, type, layer, index)
//! ```
use super::groups::{GroupId, Groups};
use super::saliency::GroupScores;
use crate::model::ModelConfig;
use crate::schema::groups::GroupType;
use crate::spec::Scope;

/// The weakest group of one type: what an event of this type would take.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    pub kind: GroupType,
    /// The groups, in the order of their places.
    pub groups: Vec<GroupId>,
    /// Mean of their normalised scores.
    pub saliency: f64,
}

/// The candidate of each type of `prune.types`, in their order; `None` for a type that is at its floor.
pub fn candidates(
    groups: &Groups,
    config: &ModelConfig,
    scores: &GroupScores,
) -> Vec<(GroupType, Option<Candidate>)> {
    let of = |kind: GroupType| {
        if groups.events_left(kind, config) == 0 {
            return None;
        }
        let weakest = |place: usize| {
            let (position, score) = weakest(&scores.of(kind)[place])?;
            Some((GroupId { kind, place, position }, score))
        };
        let open = groups.open_places(kind, config).into_iter().filter_map(weakest);
        let found: Vec<(GroupId, f64)> = match groups.scope() {
            Scope::Uniform => open.collect(),
            // `min_by` keeps the first of equals, and layers come in order.
            Scope::PerLayer => open.min_by(|(_, a), (_, b)| a.total_cmp(b)).into_iter().collect(),
        };
        let saliency = found.iter().map(|(_, score)| score).sum::<f64>() / found.len() as f64;
        Some(Candidate { kind, groups: found.into_iter().map(|(group, _)| group).collect(), saliency })
    };
    groups.types().iter().map(|&kind| (kind, of(kind))).collect()
}

/// The weakest group of every place, and every layer as a whole, the weakest first: what single events may take where layers lose
/// groups one by one. Ties by (score, type, layer).
pub fn in_order(groups: &Groups, config: &ModelConfig, scores: &GroupScores) -> Vec<Candidate> {
    let mut all = Vec::new();
    for &kind in groups.types() {
        for place in groups.open_places(kind, config) {
            let scores = &scores.of(kind)[place];
            let candidate = |(position, saliency)| {
                let groups = vec![GroupId { kind, place, position }];
                Candidate { kind, groups, saliency }
            };
            match kind {
                GroupType::Layer => all.extend(scores.iter().copied().enumerate().map(candidate)),
                _ => all.extend(weakest(scores).map(candidate)),
            }
        }
    }
    // Stable: equals stay in the order of types and places.
    all.sort_by(|a, b| a.saliency.total_cmp(&b.saliency));
    all
}

/// The lowest candidate among those of `eligible` types.
pub fn choose(
    candidates: &[(GroupType, Option<Candidate>)],
    eligible: impl Fn(GroupType) -> bool,
) -> Option<&Candidate> {
    // `min_by` keeps the first of equals, and types come in order.
    candidates
        .iter()
        .filter_map(|(_, candidate)| candidate.as_ref())
        .filter(|candidate| eligible(candidate.kind))
        .min_by(|a, b| a.saliency.total_cmp(&b.saliency))
}

fn weakest(scores: &[f64]) -> Option<(usize, f64)> {
    scores.iter().copied().enumerate().min_by(|(_, a), (_, b)| a.total_cmp(b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prune::testing::{small_config, small_spec, taken_at};
    use crate::spec::PruneSpec;

    fn scores(ffn: [[f64; 8]; 2], head: [[f64; 3]; 2], stem: [f64; 12]) -> GroupScores {
        let mut scores = GroupScores::default();
        scores.set(GroupType::Ffn, ffn.map(|s| s.to_vec()).to_vec());
        scores.set(GroupType::Head, head.map(|s| s.to_vec()).to_vec());
        scores.set(GroupType::Stem, vec![stem.to_vec()]);
        scores
    }

    #[test]
    fn lowest_mean_of_weakest_wins_and_ties_go_to_type_then_index() {
        let config = small_config(true);
        let groups = Groups::new(&small_spec(), &config).unwrap();
        let mut stem = [5.0; 12];
        stem[7] = 2.0;
        // Heads: (1 + 4)/2 = 2.5; stem: 2; ffn: (3 + 1)/2 = 2, equal to stem, and first in order.
        let ffn = [[3.0; 8], [9.0, 9.0, 1.0, 1.0, 9.0, 9.0, 9.0, 9.0]];
        let all = candidates(&groups, &config, &scores(ffn, [[9.0, 1.0, 9.0], [4.0; 3]], stem));
        let saliency: Vec<f64> = all.iter().map(|(_, c)| c.as_ref().unwrap().saliency).collect();
        assert_eq!(saliency, [2.0, 2.5, 2.0]);
        let chosen = choose(&all, |_| true).unwrap();
        assert_eq!(chosen.groups, taken_at(GroupType::Ffn, &[0, 2]));
        let without_ffn = choose(&all, |kind| kind != GroupType::Ffn).unwrap();
        assert_eq!(without_ffn.groups, taken_at(GroupType::Stem, &[7]));
        assert_eq!(choose(&all, |_| false), None);
    }

    #[test]
    fn per_layer_the_weakest_of_all_layers_goes_alone() {
        let config = small_config(true);
        let spec = PruneSpec { scope: Scope::PerLayer, ..small_spec() };
        let groups = Groups::new(&spec, &config).unwrap();
        // Equal lowest scores of heads in both layers: the first layer's goes.
        let ffn = [[3.0; 8], [9.0, 9.0, 1.5, 1.5, 9.0, 9.0, 9.0, 9.0]];
        let all = candidates(&groups, &config, &scores(ffn, [[9.0, 1.0, 9.0], [1.0; 3]], [5.0; 12]));
        let taken: Vec<&GroupId> = all.iter().flat_map(|(_, c)| &c.as_ref().unwrap().groups).collect();
        let id = |kind, place, position| GroupId { kind, place, position };
        assert_eq!(
            taken,
            [&id(GroupType::Ffn, 1, 2), &id(GroupType::Head, 0, 1), &id(GroupType::Stem, 0, 0)]
        );
        // Layer 0 at its floor: its groups are no candidates.
        let mut narrow = config.clone();
        narrow.layers[0].num_heads = 2;
        narrow.layers[0].num_kv_heads = 1;
        let mut scores = scores(ffn, [[0.1; 3], [1.0; 3]], [5.0; 12]);
        scores.set(GroupType::Head, vec![vec![0.1], vec![1.0; 3]]);
        let all = candidates(&groups, &narrow, &scores);
        assert_eq!(all[1].1.as_ref().unwrap().groups, [id(GroupType::Head, 1, 0)]);
    }

    #[test]
    fn a_type_at_its_floor_or_not_named_has_no_candidate() {
        let config = small_config(true);
        let spec = PruneSpec { min_heads: 3, types: vec![GroupType::Head, GroupType::Stem], ..small_spec() };
        let groups = Groups::new(&spec, &config).unwrap();
        let all = candidates(&groups, &config, &scores([[1.0; 8]; 2], [[1.0; 3]; 2], [1.0; 12]));
        let found: Vec<(GroupType, bool)> = all.iter().map(|(kind, c)| (*kind, c.is_some())).collect();
        assert_eq!(found, [(GroupType::Head, false), (GroupType::Stem, true)]);
    }
}
