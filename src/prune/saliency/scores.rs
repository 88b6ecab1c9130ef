//! A number for every group.
use crate::model::ModelConfig;
use crate::prune::groups::{Groups, TYPES};
use crate::prune::survivors::Survivors;
use crate::spec::{GroupType, HeadUnit};
use serde::{Deserialize, Serialize};

/// Scores by type, place (layer; one place for `stem`) and position of the group in the model now. Types that
/// `prune.types` does not name have no places.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GroupScores {
    by_type: [Vec<Vec<f64>>; 3],
}

impl GroupScores {
    /// Zeros for every group of the allowed types of a model of shape `config`.
    pub fn zeros(groups: &Groups, config: &ModelConfig) -> Self {
        let mut scores = GroupScores::default();
        for kind in TYPES.into_iter().filter(|&kind| groups.allows(kind)) {
            let places = 0..groups.places(kind, config);
            scores.set(kind, places.map(|place| vec![0.0; groups.count(kind, config, place)]).collect());
        }
        scores
    }

    /// `[place][position]`
    pub fn of(&self, kind: GroupType) -> &[Vec<f64>] {
        &self.by_type[kind as usize]
    }

    pub fn set(&mut self, kind: GroupType, scores: Vec<Vec<f64>>) {
        self.by_type[kind as usize] = scores;
    }

    /// All scores, type by type and place by place.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut f64> {
        self.by_type.iter_mut().flatten().flatten()
    }

    /// `self ← β·self + (1 − β)·new`
    pub fn blend(&mut self, decay: f64, new: &GroupScores) {
        let theirs = new.by_type.iter().flatten().flatten();
        self.values_mut().zip(theirs).for_each(|(old, new)| *old = decay * *old + (1.0 - decay) * new);
    }

    /// `self += factor · f(other)`, of what both have.
    pub fn add(&mut self, factor: f64, other: &GroupScores, f: impl Fn(f64) -> f64) {
        for (ours, theirs) in self.by_type.iter_mut().zip(&other.by_type) {
            for (ours, theirs) in ours.iter_mut().flatten().zip(theirs.iter().flatten()) {
                *ours += factor * f(*theirs);
            }
        }
    }

    /// Deletes the groups that `kept` (positions in the model of shape `config`) does not list.
    pub fn keep(&mut self, groups: &Groups, config: &ModelConfig, kept: &Survivors) {
        let block = groups.block().max(1);
        for kind in TYPES {
            for (place, scores) in self.by_type[kind as usize].iter_mut().enumerate() {
                let blocks = |channels: &[usize]| channels.iter().step_by(block).map(|c| c / block).collect();
                let left: Vec<usize> = match (kind, groups.head_unit()) {
                    (GroupType::Ffn, _) => blocks(&kept.layers[place].ffn),
                    (GroupType::Stem, _) => blocks(&kept.stem),
                    (GroupType::Head, HeadUnit::KvGroup) => kept.layers[place].kv_heads.clone(),
                    (GroupType::Head, HeadUnit::QueryPerGroup) => {
                        let (shape, kept) = (&config.layers[place], &kept.layers[place]);
                        let ratio = shape.num_heads / shape.num_kv_heads;
                        kept.query_heads.iter().copied().take_while(|head| *head < ratio).collect()
                    }
                };
                *scores = left.iter().map(|&at| scores[at]).collect();
            }
        }
    }
}
