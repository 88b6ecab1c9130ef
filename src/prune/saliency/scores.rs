//! A number for every group.
use crate::model::ModelConfig;
use crate::prune::groups::Groups;
use crate::prune::survivors::Survivors;
use crate::spec::GroupType;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Scores by type, place (layer; one place for `stem`) and position of the group in the model now. Types that
/// `prune.types` does not name have no places.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GroupScores {
    by_type: BTreeMap<GroupType, Vec<Vec<f64>>>,
}

impl GroupScores {
    /// Zeros for every group of the allowed types of a model of shape `config`.
    pub fn zeros(groups: &Groups, config: &ModelConfig) -> Self {
        let mut scores = GroupScores::default();
        for &kind in groups.types() {
            let places = 0..groups.places(kind, config);
            scores.set(kind, places.map(|place| vec![0.0; groups.count(kind, config, place)]).collect());
        }
        scores
    }

    /// `[place][position]`
    pub fn of(&self, kind: GroupType) -> &[Vec<f64>] {
        self.by_type.get(&kind).map_or(&[], Vec::as_slice)
    }

    pub fn set(&mut self, kind: GroupType, scores: Vec<Vec<f64>>) {
        self.by_type.insert(kind, scores);
    }

    /// All scores, type by type and place by place.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut f64> {
        self.by_type.values_mut().flatten().flatten()
    }

    /// `self ← β·self + (1 − β)·new`
    pub fn blend(&mut self, decay: f64, new: &GroupScores) {
        let theirs = new.by_type.values().flatten().flatten();
        self.values_mut().zip(theirs).for_each(|(old, new)| *old = decay * *old + (1.0 - decay) * new);
    }

    /// `self += factor · f(other)`, of what both have.
    pub fn add(&mut self, factor: f64, other: &GroupScores, f: impl Fn(f64) -> f64) {
        for (ours, theirs) in self.by_type.values_mut().zip(other.by_type.values()) {
            for (ours, theirs) in ours.iter_mut().flatten().zip(theirs.iter().flatten()) {
                *ours += factor * f(*theirs);
            }
        }
    }

    /// Deletes the groups that `kept` (positions in the model of shape `config`) does not list.
    pub fn keep(&mut self, groups: &Groups, config: &ModelConfig, kept: &Survivors) {
        for (&kind, places) in &mut self.by_type {
            let mut left = Vec::with_capacity(places.len());
            for (place, scores) in places.iter().enumerate() {
                if kind.is_per_layer() && kept.layers.binary_search_by_key(&place, |kept| kept.layer).is_err()
                {
                    continue;
                }
                let dim = kind.dim(place);
                let indices = kept.along_dim(config, dim);
                left.push(match (indices, kind.pattern(groups.cut(), config, dim)) {
                    (Some(indices), Some(pattern)) => {
                        let groups: BTreeSet<usize> = indices.into_iter().map(|i| pattern.group(i)).collect();
                        groups.into_iter().map(|at| scores[at]).collect()
                    }
                    _ => scores.clone(),
                });
            }
            *places = left;
        }
    }
}
