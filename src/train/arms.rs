//! The arms that are compared (method §4), each a function from its inputs to a model with its ledger.
//!
//! | arm | tokens it trains on | where in the stream of sequences |
//! |---|---|---|
//! | `source` | S = `source.tokens`; none for a model from disk (S = 0) | 0 … S |
//! | `pruning_aware` | R = `budget.tokens` | S … S + R |
//! | `one_shot` | none; C = `prune.calibration_tokens` for saliency | S … S + C |
//! | `one_shot_recover` | C for saliency, then R − C | S … S + R |
//! | `direct`, `recovery_tokens` | R | S … S + R |
//! | `direct`, `total_tokens` | S + R | 0 … S + R |
//! | `direct`, `total_flops` | as many as the FLOPs of source and `pruning_aware` pay for | 0 … |
//!
//! For a model from disk the totals hold what `source.tokens_seen` says that it was trained on elsewhere.
//!
//! So at equal budgets all arms see the same sequences in the same order. Every arm starts a fresh schedule and
//! fresh moments: one rule for all.
use super::pretrain::{Observer, TrainError, TrainPlan, pretrain};
use super::{CurvePoint, Ledger, Part, calibrate, widths};
use crate::data::Batches;
use crate::model::flops::training_flops_per_token;
use crate::model::{LayerShape, ModelConfig, Rank, Weights, init};
use crate::prune::{EventRecord, Goal, PrunerState};
use crate::spec::{DirectBudget, DirectShape, RunSpec};
use crate::tensor::Backend;
use std::path::Path;

/// What every arm works with.
pub struct Context<'a, 'r, B: Backend> {
    pub rank: Rank<'r, B>,
    pub batches: &'a Batches,
    pub spec: &'a RunSpec,
    pub seed: u64,
    /// Where and under which identity to keep a checkpoint for resuming.
    pub resume: Option<(&'a Path, &'a str)>,
    pub observer: &'a mut dyn Observer,
}

/// A model with the record of how it came about; the ledger is this arm's alone, without its source's.
pub struct TrainedModel<B: Backend> {
    pub config: ModelConfig,
    pub weights: Weights<B::Tensor>,
    pub ledger: Ledger,
    pub curve: Vec<CurvePoint>,
    pub events: Vec<EventRecord>,
    /// Which groups of the source are left, for arms that prune.
    pub pruner: Option<PrunerState>,
}

/// What the optimiser steps of an arm are.
struct Steps {
    tokens: u64,
    /// Tokens of the stream before the first one.
    after: u64,
    part: Part,
    prunes: bool,
}

impl<B: Backend> Context<'_, '_, B> {
    fn pretrain(
        &mut self,
        steps: Steps,
        config: ModelConfig,
        weights: Weights<B::Tensor>,
    ) -> Result<TrainedModel<B>, TrainError> {
        let context_length = self.spec.data.context_length;
        let plan = TrainPlan {
            spec: &self.spec.train,
            context_length,
            tokens: steps.tokens,
            first_sequence: steps.after / context_length as u64,
            part: steps.part,
            prune: steps.prunes.then_some(&self.spec.prune),
            seed: self.seed,
            resume: self.resume,
        };
        let state = pretrain(&mut self.rank, self.batches, &plan, config, weights, self.observer)?;
        let progress = state.progress;
        Ok(TrainedModel {
            config: state.config,
            weights: state.weights,
            ledger: progress.ledger,
            curve: progress.curve,
            events: progress.events,
            pruner: progress.pruner,
        })
    }

    /// Pretrains the source model.
    pub fn source(&mut self, config: ModelConfig) -> Result<TrainedModel<B>, TrainError> {
        let weights = init::random_weights(self.rank.backend, &config, self.seed);
        let steps =
            Steps { tokens: self.spec.source.stream_tokens(), after: 0, part: Part::Source, prunes: false };
        self.pretrain(steps, config, weights)
    }

    /// The paper's arm: pruning events between optimiser steps, then continued pretraining.
    pub fn pruning_aware(
        &mut self,
        config: ModelConfig,
        weights: Weights<B::Tensor>,
    ) -> Result<TrainedModel<B>, TrainError> {
        let (tokens, after) = (self.spec.budget.tokens, self.spec.source.stream_tokens());
        self.pretrain(Steps { tokens, after, part: Part::Train, prunes: true }, config, weights)
    }

    /// Post-training pruning without recovery.
    pub fn one_shot(
        &mut self,
        config: ModelConfig,
        weights: Weights<B::Tensor>,
    ) -> Result<TrainedModel<B>, TrainError> {
        let spec = self.spec;
        let context_length = spec.data.context_length;
        let pruned = calibrate::one_shot(
            &mut self.rank,
            self.batches,
            &spec.prune,
            context_length,
            spec.train.micro_batch,
            spec.source.stream_tokens() / context_length as u64,
            self.seed,
            config,
            weights,
        )?;
        Ok(TrainedModel {
            config: pruned.config,
            weights: pruned.weights,
            ledger: pruned.ledger,
            curve: Vec::new(),
            events: pruned.events,
            pruner: Some(pruned.pruner),
        })
    }

    /// Post-training pruning, then continued pretraining with what is left of the budget.
    pub fn one_shot_recover(
        &mut self,
        config: ModelConfig,
        weights: Weights<B::Tensor>,
    ) -> Result<TrainedModel<B>, TrainError> {
        let pruned = self.one_shot(config, weights)?;
        let used = pruned.ledger.method_tokens();
        let steps = Steps {
            tokens: self.spec.budget.tokens.saturating_sub(used),
            after: self.spec.source.stream_tokens() + used,
            part: Part::Train,
            prunes: false,
        };
        let mut recovered = self.pretrain(steps, pruned.config, pruned.weights)?;
        for point in &mut recovered.curve {
            point.tokens_seen += used;
            point.flops += pruned.ledger.method_flops();
        }
        recovered.ledger.merge(&pruned.ledger);
        Ok(TrainedModel { events: pruned.events, pruner: pruned.pruner, ..recovered })
    }

    /// Pretrains a model of shape `config` from scratch; `spent_flops` is what source and `pruning_aware` cost
    /// together, needed by [`DirectBudget::TotalFlops`].
    pub fn direct(
        &mut self,
        config: ModelConfig,
        budget: DirectBudget,
        spent_flops: f64,
    ) -> Result<TrainedModel<B>, TrainError> {
        let (source, recovery) = (&self.spec.source, self.spec.budget.tokens);
        let batch = self.spec.train.batch_tokens as u64;
        let (tokens, after) = match budget {
            DirectBudget::RecoveryTokens => (recovery, source.stream_tokens()),
            // What a model from disk has seen need not be whole batches.
            DirectBudget::TotalTokens => ((source.tokens.unwrap_or_default() + recovery) / batch * batch, 0),
            DirectBudget::TotalFlops => {
                let per_token = training_flops_per_token(&config, self.spec.data.context_length);
                // The most whole batches that do not cost more.
                ((spent_flops / per_token) as u64 / batch * batch, 0)
            }
        };
        let weights = init::random_weights(self.rank.backend, &config, self.seed);
        self.pretrain(Steps { tokens, after, part: Part::Train, prunes: false }, config, weights)
    }
}

/// Shape of the `direct` arm: the widths that pruning found, or the source's scaled by one factor.
pub fn direct_config(
    spec: &RunSpec,
    shape: DirectShape,
    source: &ModelConfig,
    searched: Option<&ModelConfig>,
) -> Result<ModelConfig, TrainError> {
    let goal = Goal::new(&spec.prune, source);
    match (shape, searched) {
        (DirectShape::Searched, Some(searched)) => Ok(searched.clone()),
        _ => widths::proportional(source, goal).ok_or_else(|| {
            let least = ModelConfig {
                hidden_size: 1,
                layers: source
                    .layers
                    .iter()
                    .map(|layer| LayerShape::new(layer.num_heads / layer.num_kv_heads, 1, 1))
                    .collect(),
                ..source.clone()
            };
            TrainError::NoProportionalModel { target: goal.limit, least: goal.count(&least) }
        }),
    }
}
