//! Type selection (method §2): which groups the next event takes.
//!
//! ```text
//! candidate(type) = mean over places of the place's lowest score        (`stem` has one place)
//! event           = the type of the lowest candidate; ties by (score, type, layer, index)
//! ```
use super::groups::{Groups, TYPES};
use super::saliency::GroupScores;
use crate::model::ModelConfig;
use crate::spec::GroupType;

/// The weakest group of one type: what an event of this type would take.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    pub kind: GroupType,
    /// Position of the weakest group in the model now, for every place.
    pub positions: Vec<usize>,
    /// Mean of their normalised scores.
    pub saliency: f64,
}

/// The candidate of each type in the order of [`TYPES`]; `None` for a type that is not allowed or at its floor.
pub fn candidates(groups: &Groups, config: &ModelConfig, scores: &GroupScores) -> [Option<Candidate>; 3] {
    TYPES.map(|kind| {
        if groups.events_left(kind, config) == 0 {
            return None;
        }
        let weakest: Vec<(usize, f64)> =
            scores.of(kind).iter().filter_map(|scores| weakest(scores)).collect();
        let saliency = weakest.iter().map(|(_, score)| score).sum::<f64>() / weakest.len() as f64;
        Some(Candidate { kind, positions: weakest.iter().map(|(at, _)| *at).collect(), saliency })
    })
}

/// The lowest candidate among those of `eligible` types.
pub fn choose(
    candidates: &[Option<Candidate>; 3],
    eligible: impl Fn(GroupType) -> bool,
) -> Option<&Candidate> {
    // `min_by` keeps the first of equals, and types come in order.
    candidates
        .iter()
        .flatten()
        .filter(|candidate| eligible(candidate.kind))
        .min_by(|a, b| a.saliency.total_cmp(&b.saliency))
}

fn weakest(scores: &[f64]) -> Option<(usize, f64)> {
    scores.iter().copied().enumerate().min_by(|(_, a), (_, b)| a.total_cmp(b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prune::testing::{small_config, small_spec};
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
        assert_eq!(all.clone().map(|c| c.unwrap().saliency), [2.0, 2.5, 2.0]);
        let chosen = choose(&all, |_| true).unwrap();
        assert_eq!((chosen.kind, &chosen.positions[..]), (GroupType::Ffn, &[0, 2][..]));
        let without_ffn = choose(&all, |kind| kind != GroupType::Ffn).unwrap();
        assert_eq!((without_ffn.kind, &without_ffn.positions[..]), (GroupType::Stem, &[7][..]));
        assert_eq!(choose(&all, |_| false), None);
    }

    #[test]
    fn a_type_at_its_floor_or_not_named_has_no_candidate() {
        let config = small_config(true);
        let spec = PruneSpec { min_heads: 3, types: vec![GroupType::Head, GroupType::Stem], ..small_spec() };
        let groups = Groups::new(&spec, &config).unwrap();
        let all = candidates(&groups, &config, &scores([[1.0; 8]; 2], [[1.0; 3]; 2], [1.0; 12]));
        assert_eq!(all.map(|c| c.is_some()), [false, false, true]);
    }
}
