//! Statistics of a pass over text: what saliency rules and updates read beside weights and gradients.
//!
//! ```text
//! sites            where linear layers read, how wide, what an event leaves of it
//! mean, norm       Σ x and Σ x² of each input        variance      of both
//! activation       √Σ_sequences (mean_t |x|)²        gram          Σ x xᵀ, plain and centred
//! fisher           squared gradients by position     group_effect  effect of silencing a group, by position
//! unit_effect      the same by sequence or micro-batch, from gradients of parameters
//! ```
//!
//! Each is a [`TokenStatistic`]: it sees the passes of a step ([`Observation`]), adds up on the device, and is summed over
//! ranks. A [`Collector`] holds those that the rules in force need, and no other; [`Statistics`] is what they come to, on the
//! host, sliced along with the model.
pub mod activation;
pub mod fisher;
pub mod gram;
pub mod group_effect;
pub mod mean;
pub mod norm;
pub mod sites;
pub mod unit_effect;
pub mod variance;

pub use fisher::PositionFisher;
pub use gram::{GramSums, Grams};

#[cfg(test)]
mod tests;

use super::groups::Groups;
use super::saliency::GroupScores;
use super::survivors::Survivors;
use crate::model::ModelConfig;
use crate::model::taps::Observation;
use crate::rules::saliency::{Pass, Saliency, Statistic};
use crate::spec::{Fisher, FisherUnit, PruneSpec};
use crate::tensor::{Backend, Communicator, RankError};
use activation::ActivationSums;
use group_effect::GroupEffects;
use mean::InputSums;
use norm::InputSquares;
use serde::{Deserialize, Serialize};
use sites::{Channels, sites};
use std::collections::{BTreeMap, BTreeSet};

/// Sums over the tokens that passes go through.
pub trait TokenStatistic<B: Backend> {
    /// Takes what it needs of one thing that a pass comes by.
    fn observe(&mut self, backend: &B, seen: &Observation<'_, B::Tensor>);
    /// The sums, which ranks add up.
    fn sums(&mut self) -> Vec<&mut B::Tensor>;
    /// Floating-point operations for `tokens` tokens of a model of shape `config`.
    fn flops(&self, config: &ModelConfig, tokens: u64) -> u64;
}

/// Which statistics are collected, and in which unit squared gradients are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Needs {
    wanted: BTreeSet<Statistic>,
    pub fisher: Fisher,
}

impl Needs {
    /// Those of the rule, and those of updates where an event comes.
    pub fn of(spec: &PruneSpec, saliency: Option<Saliency>, update: &[Statistic]) -> Self {
        let mut wanted: BTreeSet<Statistic> = update.iter().copied().collect();
        wanted.extend(saliency.iter().flat_map(|rule| rule.needs));
        // A variance is made of a mean and a mean square.
        if wanted.contains(&Statistic::InputVariance) {
            wanted.extend([Statistic::InputMean, Statistic::InputNorm]);
        }
        Needs { wanted, fisher: spec.fisher }
    }

    /// Those of several rules at once.
    pub fn of_rules(rules: &[Saliency], fisher: Fisher) -> Self {
        let mut wanted: BTreeSet<Statistic> = rules.iter().flat_map(|rule| rule.needs).copied().collect();
        if wanted.contains(&Statistic::InputVariance) {
            wanted.extend([Statistic::InputMean, Statistic::InputNorm]);
        }
        Needs { wanted, fisher }
    }

    pub fn is_empty(&self) -> bool {
        self.wanted.is_empty()
    }

    pub fn has(&self, statistic: Statistic) -> bool {
        self.wanted.contains(&statistic)
    }

    /// The most of a pass that any of them is taken from.
    pub fn pass(&self) -> Pass {
        self.wanted.iter().map(|statistic| statistic.pass()).max().unwrap_or(Pass::Nothing)
    }

    /// Whether the gradient of the loss is among what they are made of, and not only that of the entropy.
    pub fn loss(&self) -> bool {
        let of_loss = |statistic: &&Statistic| **statistic != Statistic::EntropyGradient;
        self.wanted.iter().filter(of_loss).any(|statistic| statistic.pass() == Pass::Backward)
    }

    /// Whether inputs of layers are read and no gradient of the loss, so that they take a forward pass of their own.
    pub fn observes(&self) -> bool {
        !self.loss() && self.wanted.iter().any(|statistic| statistic.pass() == Pass::Forward)
    }

    /// Whether gradients of single sequences or micro-batches are wanted.
    pub fn by_unit(&self) -> bool {
        let squared = self.has(Statistic::Fisher) || self.has(Statistic::SquaredEffect);
        squared && self.fisher.unit != FisherUnit::Position
    }

    fn by_position(&self, statistic: Statistic) -> bool {
        self.has(statistic) && self.fisher.unit == FisherUnit::Position
    }
}

/// The statistics of one step or calibration set, as they add up.
pub struct Collector<B: Backend> {
    mean: Option<InputSums<B>>,
    norm: Option<InputSquares<B>>,
    activation: Option<ActivationSums<B>>,
    gram: Option<GramSums<B>>,
    effects: Option<GroupEffects<B>>,
    fisher: Option<PositionFisher<B>>,
    num_tokens: u64,
}

impl<B: Backend> Collector<B> {
    /// Nothing summed yet, for a model of shape `config`.
    pub fn new(backend: &B, config: &ModelConfig, groups: &Groups, needs: &Needs) -> Self {
        let sites = sites(groups, config);
        let (squared, absolute) =
            (needs.by_position(Statistic::SquaredEffect), needs.has(Statistic::AbsoluteEffect));
        Collector {
            mean: needs.has(Statistic::InputMean).then(|| InputSums::new(backend, config, &sites)),
            norm: needs.has(Statistic::InputNorm).then(|| InputSquares::new(backend, config, &sites)),
            activation: needs
                .has(Statistic::Activation)
                .then(|| ActivationSums::new(backend, config, &sites)),
            gram: needs.has(Statistic::Gram).then(|| GramSums::new(backend, config, &sites)),
            effects: (squared || absolute)
                .then(|| GroupEffects::new(backend, config, groups, squared, absolute)),
            fisher: needs.by_position(Statistic::Fisher).then(|| PositionFisher::new(backend, config)),
            num_tokens: 0,
        }
    }

    fn parts(&mut self) -> Vec<&mut dyn TokenStatistic<B>> {
        let mut all: Vec<&mut dyn TokenStatistic<B>> = Vec::new();
        all.extend(self.mean.as_mut().map(|part| part as &mut dyn TokenStatistic<B>));
        all.extend(self.norm.as_mut().map(|part| part as &mut dyn TokenStatistic<B>));
        all.extend(self.activation.as_mut().map(|part| part as &mut dyn TokenStatistic<B>));
        all.extend(self.gram.as_mut().map(|part| part as &mut dyn TokenStatistic<B>));
        all.extend(self.effects.as_mut().map(|part| part as &mut dyn TokenStatistic<B>));
        all.extend(self.fisher.as_mut().map(|part| part as &mut dyn TokenStatistic<B>));
        all
    }

    /// Whether no pass needs to be looked at.
    pub fn is_empty(&self) -> bool {
        let Collector { mean, norm, activation, gram, effects, fisher, .. } = self;
        let inputs = mean.is_none() && norm.is_none() && activation.is_none() && gram.is_none();
        inputs && effects.is_none() && fisher.is_none()
    }

    /// Looks at one thing that a pass comes by.
    pub fn observe(&mut self, backend: &B, seen: &Observation<'_, B::Tensor>) {
        self.parts().into_iter().for_each(|part| part.observe(backend, seen));
    }

    /// Counts tokens that passes went through.
    pub fn count(&mut self, tokens: usize) {
        self.num_tokens += tokens as u64;
    }

    /// FLOPs of what was collected beside the passes: of G, and of all others.
    pub fn flops(&mut self, config: &ModelConfig, tokens: u64) -> (u64, u64) {
        let gram = self.gram.as_ref().map_or(0, |gram| gram.flops(config, tokens));
        let all: u64 = self.parts().into_iter().map(|part| part.flops(config, tokens)).sum();
        (gram, all - gram)
    }

    /// Makes the sums those of all ranks.
    ///
    /// # Errors
    /// Another rank has stopped.
    pub fn sum_over_ranks(
        &mut self,
        backend: &B,
        communicator: &dyn Communicator<B>,
    ) -> Result<(), RankError> {
        let mut sums: Vec<&mut B::Tensor> = self.parts().into_iter().flat_map(|part| part.sums()).collect();
        if !sums.is_empty() {
            communicator.sum_tensors(backend, &mut sums)?;
            self.num_tokens = communicator.sum(self.num_tokens as f64)? as u64;
        }
        if let Some(activation) = &mut self.activation {
            let all = communicator.gather(&[activation.context_length as f64])?;
            activation.context_length =
                all.iter().flat_map(|own| own.iter()).fold(1.0, |a, b| b.max(a)) as usize;
        }
        Ok(())
    }

    /// What the sums come to, collected through the weights of optimiser step `step` (and of so many `events`), where losses
    /// were scaled by `1 / total_tokens`. The position Fisher is the second part: it stays on the device.
    pub fn finish(
        self,
        backend: &B,
        total_tokens: usize,
        (step, events): (u64, u64),
    ) -> (Statistics, Option<crate::model::Weights<B::Tensor>>) {
        let n = self.num_tokens;
        let mut statistics = Statistics { num_tokens: n, step, events, ..Statistics::default() };
        let sums = self.mean.map(|sums| sums.finish(backend));
        let squares = self.norm.map(|squares| squares.finish(backend));
        if let (Some(sums), Some(squares)) = (&sums, &squares) {
            statistics.channels.insert(Statistic::InputVariance, variance::of(sums, squares, n));
        }
        let mut put = |statistic, channels: Option<Channels>| {
            channels.map(|channels| statistics.channels.insert(statistic, channels));
        };
        put(Statistic::InputMean, sums.map(|sums| sums.map(|sum| sum / n.max(1) as f64)));
        put(Statistic::InputNorm, squares.map(|squares| squares.map(f64::sqrt)));
        put(Statistic::Activation, self.activation.map(|sums| sums.finish(backend)));
        if let Some(effects) = self.effects {
            statistics.effects = effects.finish(backend, total_tokens);
        }
        statistics.grams = self.gram.map(|gram| gram.finish(backend, n));
        (statistics, self.fisher.map(|fisher| fisher.finish(backend, total_tokens)))
    }
}

/// What was collected, sliced along with the model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Statistics {
    /// Tokens that they were taken from.
    pub num_tokens: u64,
    /// Optimiser steps that the weights had seen which the tokens went through.
    pub step: u64,
    /// Pruning events that these weights had seen.
    pub events: u64,
    /// Sequences or micro-batches (or positions) that squared gradients were taken of.
    pub units: u64,
    pub channels: BTreeMap<Statistic, Channels>,
    pub effects: BTreeMap<Statistic, GroupScores>,
    /// Not part of a running mean, nor of a checkpoint.
    #[serde(skip)]
    pub grams: Option<Grams>,
}

impl Statistics {
    /// Of each input, or of each head where the statistic is one of heads.
    pub fn channels(&self, statistic: Statistic) -> Option<&Channels> {
        self.channels.get(&statistic)
    }

    /// Makes `channels` known as `statistic`.
    pub fn set_channels(&mut self, statistic: Statistic, channels: Channels) {
        self.channels.insert(statistic, channels);
    }

    /// Deletes what belongs to what an event removes from a model of shape `config`.
    pub fn keep(&mut self, groups: &Groups, config: &ModelConfig, kept: &Survivors) {
        self.channels.values_mut().for_each(|channels| channels.keep(config, kept));
        self.effects.values_mut().for_each(|scores| scores.keep(groups, config, kept));
        if let Some(grams) = &mut self.grams {
            grams.keep(config, kept);
        }
    }

    /// `self ← β·self + (1 − β)·new`, beginning with the new one where there was none. G and x̄, which updates read, are the new
    /// ones: they are of the network as it is now, and second moments are centred by the mean of the same tokens.
    pub fn blend(&mut self, decay: f64, new: Statistics) {
        for (statistic, new) in new.channels {
            match self.channels.get_mut(&statistic) {
                Some(mean) if statistic != Statistic::InputMean => mean.blend(decay, &new),
                _ => _ = self.channels.insert(statistic, new),
            }
        }
        for (statistic, new) in new.effects {
            match self.effects.get_mut(&statistic) {
                Some(mean) => mean.blend(decay, &new),
                None => _ = self.effects.insert(statistic, new),
            }
        }
        (self.num_tokens, self.step, self.events, self.units) =
            (new.num_tokens, new.step, new.events, new.units);
        self.grams = new.grams;
    }
}
