//! The gradient of one optimiser step, and what pruning reads beside it, summed over micro-batches, pieces of micro-batches,
//! and ranks.
//!
//! ```text
//! g = Σ_m s_m g_m                       s_m = tokens of micro-batch m / tokens N of the batch
//! F = (1/N) Σ_u (n_u g_u)²              u sequences or micro-batches of n_u tokens, in token units
//! F = Σ_u s_u g_u²                      the same without the factor n_u  (`fisher_scale = "none"`)
//! ```
//!
//! F by position, and statistics of layer inputs, are taken by a [`Collector`] as the passes go by.
use super::optimizer::zeros_like;
use crate::data::Batch;
use crate::model::llama::{Objective, Teacher};
use crate::model::taps::{Observation, Tap};
use crate::model::{ModelConfig, Rank, Weights};
use crate::prune::groups::Groups;
use crate::prune::saliency::GroupScores;
use crate::prune::statistics::unit_effect;
use crate::prune::{Collector, EventRecord, Needs, Statistics};
use crate::rules::saliency::Statistic;
use crate::spec::{FisherScale, FisherUnit, GroupType};
use crate::tensor::{Accumulation, Backend, Communicator, Distillation, RankError};

/// Gradient of one step and what else is collected of its batch.
pub(super) struct StepGradient<B: Backend> {
    pub mean: Weights<B::Tensor>,
    /// Of the entropy of the predictions, where asked for.
    pub entropy: Option<Weights<B::Tensor>>,
    /// F, where asked for.
    pub fisher: Option<Weights<B::Tensor>>,
    /// Gradient of one sequence or micro-batch, where squares of such are asked for.
    unit: Option<Weights<B::Tensor>>,
    unit_effects: Option<GroupScores>,
    units: u64,
    collector: Option<Collector<B>>,
    needs: Option<Needs>,
    /// Of a model that learns from another's predictions.
    pub lesson: Option<Lesson<B>>,
}

/// Whom a model learns from, and by which loss.
pub struct Lesson<B: Backend> {
    pub config: ModelConfig,
    pub weights: Weights<B::Tensor>,
    pub of: Distillation,
}

/// What [`StepGradient::accumulate`] does with one micro-batch.
pub(super) struct Work<'a> {
    /// Whether the loss is differentiated for its own sake, as training does.
    pub trains: bool,
    /// Of the batch.
    pub total_tokens: usize,
    /// How groups are cut, where something is pruned.
    pub groups: Option<&'a Groups>,
}

impl<B: Backend> StepGradient<B> {
    pub fn new(backend: &B, weights: &Weights<B::Tensor>) -> Self {
        StepGradient {
            mean: zeros_like(backend, weights),
            entropy: None,
            fisher: None,
            unit: None,
            unit_effects: None,
            units: 0,
            collector: None,
            needs: None,
            lesson: None,
        }
    }

    /// Zeros in the shape of `weights`, for what `needs` asks for (with the groups of its pruner).
    pub fn reset(
        &mut self,
        backend: &B,
        config: &ModelConfig,
        weights: &Weights<B::Tensor>,
        needs: Option<(&Needs, &Groups)>,
    ) {
        let fit = |tree: &mut Weights<B::Tensor>| {
            // An update may have given the model biases that this tree does not have.
            if tree.leaves().len() != weights.leaves().len() {
                *tree = zeros_like(backend, weights);
                return;
            }
            for (leaf, weight) in tree.leaves_mut().into_iter().zip(weights.leaves()) {
                let [rows, cols] = backend.shape(weight);
                backend.reshape(leaf, rows, cols);
                backend.fill_zero(leaf);
            }
        };
        let by_unit = needs.is_some_and(|(needs, _)| needs.by_unit());
        let has = |statistic| needs.is_some_and(|(needs, _)| needs.has(statistic));
        fit(&mut self.mean);
        for (tree, wanted) in [
            (&mut self.entropy, has(Statistic::EntropyGradient)),
            (&mut self.fisher, by_unit && has(Statistic::Fisher)),
            (&mut self.unit, by_unit),
        ] {
            match tree {
                Some(tree) if wanted => fit(tree),
                _ => *tree = wanted.then(|| zeros_like(backend, weights)),
            }
        }
        let effects = needs.filter(|_| by_unit && has(Statistic::SquaredEffect));
        self.unit_effects = effects.map(|(_, groups)| GroupScores::zeros(groups, config));
        self.units = 0;
        self.collector = needs.map(|(needs, groups)| Collector::new(backend, config, groups, needs));
        self.needs = needs.map(|(needs, _)| needs.clone());
    }

    /// Takes in one micro-batch; returns the summed loss of each of its pieces, where the loss is differentiated.
    pub fn accumulate(
        &mut self,
        rank: &mut Rank<'_, B>,
        config: &ModelConfig,
        weights: &Weights<B::Tensor>,
        batch: &Batch,
        work: &Work<'_>,
    ) -> Vec<B::Sum> {
        let by_sequence = self
            .needs
            .as_ref()
            .is_some_and(|needs| needs.by_unit() && needs.fisher.unit == FisherUnit::Sequence);
        let differentiates = work.trains || self.needs.as_ref().is_some_and(Needs::loss);
        if let Some(collector) = &mut self.collector {
            collector.count(batch.inputs.len());
        }
        let mut losses = Vec::new();
        if differentiates && by_sequence {
            let one = |from: usize| {
                let range = from..from + batch.context_length;
                let (inputs, targets) = (batch.inputs[range.clone()].to_vec(), batch.targets[range].to_vec());
                Batch { inputs, targets, sequences: 1, context_length: batch.context_length }
            };
            for from in (0..batch.inputs.len()).step_by(batch.context_length) {
                losses.extend(self.loss(rank, config, weights, &one(from), work));
            }
        } else if differentiates {
            losses = self.loss(rank, config, weights, batch, work);
        } else if self.needs.as_ref().is_some_and(Needs::observes) {
            self.observe(rank, config, weights, batch);
        }
        if let Some(entropy) = &mut self.entropy {
            let scale = 1.0 / work.total_tokens as f64;
            let at_once = rank.at_once.saturating_mul(batch.context_length);
            for inputs in batch.inputs.chunks(at_once) {
                let sequences = inputs.len() / batch.context_length;
                let objective = Objective::Entropy;
                rank.network
                    .differentiate(config, weights, inputs, objective, sequences, scale, entropy, None);
            }
        }
        losses
    }

    /// Loss and gradients of a micro-batch, or of one sequence of it where that is the unit of F.
    fn loss(
        &mut self,
        rank: &mut Rank<'_, B>,
        config: &ModelConfig,
        weights: &Weights<B::Tensor>,
        batch: &Batch,
        work: &Work<'_>,
    ) -> Vec<B::Sum> {
        let StepGradient { mean, fisher, unit, unit_effects, units, collector, needs, lesson, .. } = self;
        let (backend, network) = (rank.backend, &mut *rank.network);
        let piece = rank.at_once.saturating_mul(batch.context_length);
        let mut collector = collector.as_mut().filter(|collector| !collector.is_empty());
        let mut run = |scale: f64, grads: &mut Weights<B::Tensor>| {
            let mut losses = Vec::with_capacity(1);
            for (inputs, targets) in batch.inputs.chunks(piece).zip(batch.targets.chunks(piece)) {
                let taps = collector.is_some();
                let mut collect = |seen: Observation<'_, B::Tensor>| {
                    if let Some(collector) = &mut collector {
                        collector.observe(backend, &seen);
                    }
                };
                let tap: Option<Tap<'_, B::Tensor>> = if taps { Some(&mut collect) } else { None };
                let sequences = inputs.len() / batch.context_length;
                let objective = match lesson {
                    Some(Lesson { config, weights, of }) => {
                        Objective::Distillation { targets, teacher: Teacher { config, weights }, of: *of }
                    }
                    None => Objective::CrossEntropy(targets),
                };
                losses.push(
                    network.differentiate(config, weights, inputs, objective, sequences, scale, grads, tap),
                );
            }
            losses
        };
        let tokens = batch.inputs.len() as f64;
        // A short last micro-batch weighs by its tokens, so that accumulation equals one large batch.
        let share = tokens / work.total_tokens as f64;
        let Some(unit) = unit else { return run(share / tokens, mean) };
        for leaf in unit.leaves_mut() {
            backend.fill_zero(leaf);
        }
        // Scaled so that one factor serves the sum of gradients and that of their squares.
        let in_tokens = needs.as_ref().is_some_and(|needs| needs.fisher.scale == FisherScale::Tokens);
        let (scale, factor) =
            if in_tokens { (1.0, 1.0 / work.total_tokens as f64) } else { (1.0 / tokens, share) };
        let losses = run(scale, unit);
        *units += 1;
        let mut sums = mean.leaves_mut().into_iter();
        let mut squares = fisher.as_mut().map(|tree| tree.leaves_mut().into_iter());
        let mut leaves: Vec<_> = unit
            .leaves()
            .into_iter()
            .map(|x| Accumulation {
                x,
                sum: sums.next().expect("a leaf of the mean for each"),
                squares: squares.as_mut().and_then(Iterator::next),
            })
            .collect();
        backend.accumulate(factor, 1.0, &mut leaves);
        if let (Some(scores), Some(groups)) = (unit_effects, work.groups) {
            unit_effect::add(scores, factor, backend, config, groups, [weights, unit]);
        }
        losses
    }

    /// A forward pass for the collector alone.
    fn observe(
        &mut self,
        rank: &mut Rank<'_, B>,
        config: &ModelConfig,
        weights: &Weights<B::Tensor>,
        batch: &Batch,
    ) {
        let Some(collector) = &mut self.collector else { return };
        let backend = rank.backend;
        for inputs in batch.inputs.chunks(rank.at_once.saturating_mul(batch.context_length)) {
            let sequences = inputs.len() / batch.context_length;
            rank.network
                .observe(config, weights, inputs, sequences, &mut |seen| collector.observe(backend, &seen));
        }
    }

    /// FLOPs of what was collected of `tokens` tokens in `units` units beside the passes: of G, and of all others.
    pub fn collection_flops(&mut self, config: &ModelConfig, tokens: u64, units: u64) -> (f64, f64) {
        let (gram, others) =
            self.collector.as_mut().map_or((0, 0), |collector| collector.flops(config, tokens));
        let by_unit = if self.unit.is_some() { units * crate::prune::cost::unit_flops(config) } else { 0 };
        (gram as f64, (others + by_unit) as f64)
    }

    /// Makes the sums those of all ranks.
    pub fn sum_over_ranks(
        &mut self,
        backend: &B,
        communicator: &dyn Communicator<B>,
        trains: bool,
    ) -> Result<(), RankError> {
        let mut sums: Vec<&mut B::Tensor> = Vec::new();
        if trains || self.needs.as_ref().is_some_and(Needs::loss) {
            sums.extend(self.mean.leaves_mut());
        }
        sums.extend(self.entropy.iter_mut().flat_map(Weights::leaves_mut));
        sums.extend(self.fisher.iter_mut().flat_map(Weights::leaves_mut));
        if !sums.is_empty() {
            communicator.sum_tensors(backend, &mut sums)?;
        }
        if let Some(scores) = &mut self.unit_effects {
            unit_effect::sum_over_ranks(scores, communicator)?;
        }
        if self.unit.is_some() {
            self.units = communicator.sum(self.units as f64)? as u64;
        }
        self.collector.as_mut().map_or(Ok(()), |collector| collector.sum_over_ranks(backend, communicator))
    }

    /// What was collected, through the weights of optimiser step `step` and of so many pruning `events`, of a batch of
    /// `total_tokens`; F by position joins [`StepGradient::fisher`]. `None` where nothing is pruned.
    pub fn statistics(
        &mut self,
        backend: &B,
        total_tokens: usize,
        (step, events): (u64, u64),
    ) -> Option<Statistics> {
        let collector = self.collector.take()?;
        let (mut statistics, fisher) = collector.finish(backend, total_tokens, (step, events));
        statistics.units = if self.unit.is_some() { self.units } else { statistics.num_tokens };
        if let Some(effects) = self.unit_effects.take() {
            statistics.effects.insert(Statistic::SquaredEffect, effects);
        }
        if fisher.is_some() {
            self.fisher = fisher;
        }
        Some(statistics)
    }
}

/// Makes sure that all ranks have pruned the same groups for the same reason.
pub(super) fn agree_on<B: Backend>(
    communicator: &dyn Communicator<B>,
    events: &[EventRecord],
) -> Result<(), RankError> {
    let told = |event: &EventRecord| {
        let order = GroupType::ALL.iter().position(|kind| *kind == event.group_type);
        let mut values = vec![order.unwrap_or(0) as f64, event.saliency, event.params as f64];
        values.extend(event.layer.map(|layer| layer as f64));
        values.extend(event.indices.iter().map(|index| *index as f64));
        values
    };
    communicator.agree("pruning decision", &events.iter().flat_map(told).collect::<Vec<f64>>())
}
