//! The arms that are compared (method §4): from what, pruned how and trained how, folded to a model with its ledger.
//!
//! | trained on | tokens | where in the stream of sequences |
//! |---|---|---|
//! | source | S = `source.tokens`; none of a model from disk (S = 0) | 0 … S |
//! | recovery | R = `budget.tokens` | S … S + R |
//! | recovery, the calibration sets' C tokens taken off it | C for saliency, then R − C | S … S + R |
//! | total | a share of S, and R | from 0, from a source after S |
//! | total FLOPs | what a share of the source's and the other arm's FLOPs pay for | as above |
//!
//! For a model from disk the totals hold what `source.tokens_seen` says that it was trained on elsewhere.
//!
//! So at equal budgets all arms see the same sequences in the same order. Arms that start from scratch have a schedule
//! and moments of their own; those that go on with the source have what `[recovery]` says.
use super::optimizer::Moments;
use super::pretrain::{Beginning, Observer, TrainError, TrainPlan, train};
use super::schedule::Rate;
use super::{CurvePoint, HeldOut, Ledger, Lesson, Part, widths};
use crate::data::Batches;
use crate::model::flops::{forward_flops_per_token, training_flops_per_token};
use crate::model::{LayerShape, ModelConfig, Rank, Weights, init};
use crate::prune::{EventRecord, Goal, PrunerState};
use crate::spec::{
    ArmSpec, DistilSpec, PruneSpec, Pruning, RecoverySchedule, RunSpec, Shape, Start, Tokens, TrainSpec,
};
use crate::tensor::{Backend, Distillation};
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
    /// What is scored along the run.
    pub held_out: HeldOut,
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

/// What an arm is given of the models before it; what it does not need is not there.
pub struct Given<B: Backend> {
    /// The model that it starts from, with the moments that it goes on with.
    pub source: Option<Trained<B>>,
    /// Shape of the arm whose widths it takes, from the beginning or by pruning.
    pub other: Option<ModelConfig>,
    /// What its source and the other arm have cost, where its budget is in FLOPs.
    pub source_flops: f64,
    pub other_flops: f64,
    /// The source that it learns from.
    pub teacher: Option<Trained<B>>,
}

/// A model with the moments of its last step, where they are kept.
pub struct Trained<B: Backend> {
    pub config: ModelConfig,
    pub weights: Weights<B::Tensor>,
    pub moments: Option<Moments<B::Tensor>>,
}

/// What an arm leaves: its model, and the moments of the last step.
pub struct Made<B: Backend> {
    pub model: TrainedModel<B>,
    pub moments: Moments<B::Tensor>,
}

impl<B: Backend> Context<'_, '_, B> {
    /// Makes the model of `arm`, whose source has the shape `source`: a fold over its three answers.
    ///
    /// # Errors
    /// See [`TrainError`].
    pub fn make(
        &mut self,
        arm: &ArmSpec,
        source: &ModelConfig,
        given: Given<B>,
    ) -> Result<Made<B>, TrainError> {
        let Given { source: start, other, source_flops, other_flops, teacher } = given;
        let mut beginning = self.from(arm, source, start, other.as_ref())?;
        let taught = teacher.as_ref().filter(|_| arm.distils()).map(|teacher| &teacher.config);
        let tokens = self.tokens(arm, &beginning.config, taught, source_flops, other_flops);
        beginning.stages = arm.stages();
        beginning.skips_calibration = arm.train.is_some() && self.spec.recovery.subtract_calibration;
        beginning.rate = Some(self.rate(arm, tokens));
        beginning.held_out = self.held_out.clone();
        if arm.distils() {
            let Trained { config, weights, .. } = teacher.ok_or(TrainError::NoInput("teacher"))?;
            let DistilSpec { weight, temperature, top_k } = self.spec.distil;
            beginning.lesson =
                Some(Lesson { config, weights, of: Distillation { weight, temperature, top_k } });
        }
        let prune = self.pruned(arm, other.as_ref())?;
        let spec = self.spec;
        let plan = TrainPlan {
            spec: &spec.train,
            context_length: spec.data.context_length,
            tokens,
            first_sequence: self.after(arm) / spec.data.context_length as u64,
            part: if of_source(arm) { Part::Source } else { Part::Train },
            prune: prune.as_ref(),
            seed: self.seed,
            resume: self.resume,
        };
        let state = train(&mut self.rank, self.batches, &plan, beginning, self.observer)?;
        let progress = state.progress;
        let model = TrainedModel {
            config: state.config,
            weights: state.weights,
            ledger: progress.ledger,
            curve: progress.curve,
            events: progress.events,
            pruner: progress.pruner,
        };
        Ok(Made { model, moments: state.moments })
    }

    /// From: the model that was given, or fresh weights in the arm's shape.
    fn from(
        &self,
        arm: &ArmSpec,
        source: &ModelConfig,
        start: Option<Trained<B>>,
        other: Option<&ModelConfig>,
    ) -> Result<Beginning<B>, TrainError> {
        let shape = match &arm.from {
            Start::Source => {
                let Trained { config, weights, moments } = start.ok_or(TrainError::NoInput("source"))?;
                let keeps = self.spec.recovery.schedule != RecoverySchedule::Rewarm && arm.train.is_some();
                return Ok(Beginning {
                    moments: moments.filter(|_| keeps),
                    ..Beginning::new(config, weights)
                });
            }
            Start::Scratch(shape) => shape,
        };
        let config = match shape {
            Shape::Source => source.clone(),
            Shape::Proportional => proportional(self.spec, source)?,
            Shape::Of(_) => other.ok_or(TrainError::NoInput("arm with the widths"))?.clone(),
        };
        let weights = init::random_weights(self.rank.backend, &config, self.seed);
        Ok(Beginning::new(config, weights))
    }

    /// Pruned: by `[prune]`, to its target or to the widths of another arm.
    fn pruned(&self, arm: &ArmSpec, other: Option<&ModelConfig>) -> Result<Option<PruneSpec>, TrainError> {
        let Some(Pruning { widths_of, .. }) = &arm.prune else { return Ok(None) };
        let prune = &self.spec.prune;
        Ok(Some(match widths_of {
            None => prune.clone(),
            Some(_) => prune.to_widths_of(other.ok_or(TrainError::NoInput("arm with the widths"))?),
        }))
    }

    /// Trained: how many tokens, whole batches. FLOPs are those of a model of shape `config` and of the passes of its `teacher`; one
    /// that is pruned spends less than it may.
    fn tokens(
        &self,
        arm: &ArmSpec,
        config: &ModelConfig,
        teacher: Option<&ModelConfig>,
        source_flops: f64,
        other_flops: f64,
    ) -> u64 {
        let (source, recovery) = (&self.spec.source, self.spec.budget.tokens);
        let batch = self.spec.train.batch_tokens as u64;
        let Some(train) = arm.train else { return 0 };
        let tokens = match train.tokens {
            Tokens::Source => source.stream_tokens(),
            Tokens::SourceStable => source.stable_tokens(&self.spec.train),
            Tokens::Recovery => recovery,
            Tokens::Total { source_share } => source.counted_tokens(source_share) + recovery,
            Tokens::TotalFlops { source_share } => {
                let context_length = self.spec.data.context_length;
                let teaching =
                    teacher.map_or(0.0, |teacher| forward_flops_per_token(teacher, context_length));
                let per_token = training_flops_per_token(config, context_length) + teaching;
                let spent = if source_share == 1.0 { source_flops } else { source_share * source_flops };
                ((spent + other_flops) / per_token) as u64
            }
        };
        let calibration = match self.spec.recovery.subtract_calibration {
            true => arm.stages() * self.spec.prune.calibration_read(),
            false => 0,
        };
        // What a model from disk has seen need not be whole batches, nor what FLOPs pay for.
        tokens.saturating_sub(calibration) / batch * batch
    }

    /// Tokens of the stream before the arm's first.
    fn after(&self, arm: &ArmSpec) -> u64 {
        match arm.train.map(|train| train.tokens) {
            None | Some(Tokens::Recovery) => self.spec.source.stream_tokens(),
            Some(_) if arm.continues() => self.spec.source.stream_tokens(),
            Some(_) => 0,
        }
    }

    /// The schedule of an arm of so many tokens: its own, or its part of one that its source began.
    fn rate(&self, arm: &ArmSpec, tokens: u64) -> Rate {
        let (train, recovery, source) =
            (&self.spec.train, &self.spec.recovery, self.spec.source.stream_tokens());
        if of_source(arm) {
            let continued = recovery.schedule == RecoverySchedule::Continue;
            let total = if continued { source + self.spec.budget.tokens } else { source };
            return Rate { spec: train.clone(), before: 0, total };
        }
        if !arm.continues() {
            return Rate::own(train, tokens);
        }
        let own = |warmup_tokens| TrainSpec {
            learning_rate: recovery.learning_rate.unwrap_or(train.learning_rate),
            warmup_tokens: recovery.warmup_tokens.unwrap_or(warmup_tokens),
            ..train.clone()
        };
        match recovery.schedule {
            RecoverySchedule::Rewarm => Rate::own(&own(train.warmup_tokens), tokens),
            // At the rate at which its source stood, with nothing to warm up.
            RecoverySchedule::Branch => Rate::own(&own(0), tokens),
            RecoverySchedule::Continue => {
                // What calibration has taken of the budget is gone from the schedule, too.
                let before = source + self.spec.budget.tokens.saturating_sub(tokens);
                Rate { spec: train.clone(), before, total: before + tokens }
            }
        }
    }
}

fn of_source(arm: &ArmSpec) -> bool {
    matches!(arm.train.map(|train| train.tokens), Some(Tokens::Source | Tokens::SourceStable))
}

/// The source's shape, its widths scaled by one factor.
fn proportional(spec: &RunSpec, source: &ModelConfig) -> Result<ModelConfig, TrainError> {
    let goal = Goal::new(&spec.prune, source);
    widths::proportional(source, goal).ok_or_else(|| {
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
    })
}
