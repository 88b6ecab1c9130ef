//! Pruning after training, or in stages of it: statistics from a small calibration set, then all events of the stage at once.
//!
//! Rules that read no text have no pass over it; those that read activations alone have a forward pass. What did not happen is
//! not booked.
use super::gradient::{StepGradient, Work, agree_on};
use super::ledger::add_events;
use super::pretrain::TrainError;
use super::{Ledger, Part};
use crate::data::Batches;
use crate::model::flops::{forward_flops_per_token, training_flops_per_token};
use crate::model::{ModelConfig, Rank, Weights};
use crate::prune::groups::Groups;
use crate::prune::{EventRecord, Needs, Pruner, Trees};
use crate::rules::saliency::{Pass, Statistic};
use crate::spec::{FisherUnit, PruneSchedule, PruneSpec};
use crate::tensor::Backend;
use std::time::Instant;

/// Sequences that statistics are taken from.
pub(super) struct CalibrationSet {
    /// T
    pub context_length: usize,
    /// Sequences of one pass.
    pub micro_batch: usize,
    pub first_sequence: u64,
    pub tokens: u64,
}

impl CalibrationSet {
    pub fn sequences(&self) -> usize {
        (self.tokens as usize).div_ceil(self.context_length)
    }

    /// What `needs` asks for, summed over the set and over ranks; no pass where nothing is read.
    pub fn collect<B: Backend>(
        &self,
        rank: &mut Rank<'_, B>,
        batches: &Batches,
        config: &ModelConfig,
        weights: &Weights<B::Tensor>,
        needs: &Needs,
        groups: &Groups,
    ) -> Result<StepGradient<B>, TrainError> {
        let (backend, communicator) = (rank.backend, rank.communicator);
        let (sequences, micro_batch) = (self.sequences(), self.micro_batch);
        let mut gradient = StepGradient::new(backend, weights);
        gradient.reset(backend, config, weights, Some((needs, groups)));
        if needs.pass() == Pass::Nothing {
            return Ok(gradient);
        }
        let total_tokens = sequences * self.context_length;
        let work = Work { trains: false, total_tokens, groups: Some(groups) };
        let micro_batches = sequences.div_ceil(micro_batch);
        let held = backend.hold(&weights.leaves());
        for index in (communicator.rank()..micro_batches).step_by(communicator.count()) {
            let offset = index * micro_batch;
            let first = self.first_sequence + offset as u64;
            let batch = batches.batch(first, micro_batch.min(sequences - offset));
            gradient.accumulate(rank, config, weights, &batch, &work);
        }
        drop(held);
        gradient.sum_over_ranks(backend, communicator, false)?;
        Ok(gradient)
    }
}

/// The calibration set of one stage of pruning.
#[derive(Clone, Copy, Debug)]
pub struct Calibration {
    /// A multiple of `context_length`, or rounded up to one.
    pub tokens: u64,
    pub context_length: usize,
    /// Sequences of one pass.
    pub micro_batch: usize,
    /// Where in the stream of sequences the set begins.
    pub first_sequence: u64,
    /// After stage i the model is i/k of the way to the target. From 1.
    pub stage: u64,
}

/// What pruning in stages asks of a pruner: stage i of `stages` ends at the share i/`stages` of a line to the target.
pub fn in_stages(spec: &PruneSpec, stages: u64) -> PruneSpec {
    PruneSpec { schedule: PruneSchedule::line(stages), ..spec.clone() }
}

/// Prunes `weights` for one stage by saliency on a calibration set, and slices `companions` with them; `pruner` is one of
/// [`in_stages`].
///
/// The set is dealt out to the ranks in micro-batches; g is its mean gradient. `tokens_seen` and `step` are for the record;
/// its cost goes to `ledger`.
#[allow(clippy::too_many_arguments)]
pub fn stage<B: Backend>(
    rank: &mut Rank<'_, B>,
    batches: &Batches,
    calibration: Calibration,
    pruner: &mut Pruner,
    config: &mut ModelConfig,
    weights: &mut Weights<B::Tensor>,
    companions: Vec<&mut Weights<B::Tensor>>,
    ledger: &mut Ledger,
    (tokens_seen, step): (u64, u64),
) -> Result<Vec<EventRecord>, TrainError> {
    let started = Instant::now();
    let (backend, communicator) = (rank.backend, rank.communicator);
    let Calibration { context_length, micro_batch, first_sequence, tokens, stage } = calibration;
    let set = CalibrationSet { context_length, micro_batch, first_sequence, tokens };
    let needs = pruner.needs(true);
    let pass = needs.pass();
    let total = set.sequences() * context_length;
    let mut gradient = set.collect(rank, batches, config, weights, &needs, pruner.groups())?;
    let tokens = if pass > Pass::Nothing { total as u64 } else { 0 };
    let units = match needs.fisher.unit {
        FisherUnit::Sequence => set.sequences(),
        _ => set.sequences().div_ceil(micro_batch),
    };
    let (gram_flops, others) = gradient.collection_flops(config, tokens, units as u64);
    if needs.has(Statistic::Gram) {
        ledger.add(Part::Hessian, tokens, gram_flops, 0.0);
    }
    // The gradients of loss and entropy have a pass each; what is read of inputs beside the latter's has one, too.
    let differentiated = u8::from(needs.loss()) + u8::from(needs.has(Statistic::EntropyGradient));
    let per_token = f64::from(u8::from(needs.observes())) * forward_flops_per_token(config, context_length)
        + f64::from(differentiated) * training_flops_per_token(config, context_length);
    ledger.add(Part::Saliency, tokens, per_token * tokens as f64 + others, started.elapsed().as_secs_f64());
    let started = Instant::now();
    let mut statistics = gradient.statistics(backend, total, (step, pruner.state().events));
    let StepGradient { mut mean, mut entropy, mut fisher, .. } = gradient;
    let trees = Trees {
        weights,
        grads: Some(entropy.as_mut().unwrap_or(&mut mean)).filter(|_| pass == Pass::Backward),
        fisher: fisher.as_mut(),
        lasting: false,
        moments: None,
        companions,
    };
    let mut events = pruner.step(backend, config, trees, statistics.as_mut(), stage, step)?;
    // The schedule counted stages; what people read are tokens, these among them.
    events.iter_mut().for_each(|event| event.tokens_seen = tokens_seen + tokens);
    agree_on(communicator, &events)?;
    add_events(ledger, &events, started.elapsed().as_secs_f64());
    Ok(events)
}

/// A model pruned after training.
pub struct OneShot<B: Backend> {
    pub config: ModelConfig,
    pub weights: Weights<B::Tensor>,
    pub ledger: Ledger,
    pub events: Vec<EventRecord>,
}

/// Prunes `weights` to the target of `spec` at once, by a calibration set that begins at `first_sequence`.
///
/// # Errors
/// As [`stage`].
#[allow(clippy::too_many_arguments)]
pub fn one_shot<B: Backend>(
    rank: &mut Rank<'_, B>,
    batches: &Batches,
    spec: &PruneSpec,
    context_length: usize,
    micro_batch: usize,
    first_sequence: u64,
    seed: u64,
    mut config: ModelConfig,
    mut weights: Weights<B::Tensor>,
) -> Result<OneShot<B>, TrainError> {
    let calibration = Calibration {
        tokens: spec.calibration_tokens,
        context_length,
        micro_batch,
        first_sequence,
        stage: 1,
    };
    let mut pruner = Pruner::new(&in_stages(spec, 1), &config, seed)?;
    let mut ledger = Ledger::default();
    let (of_config, of_weights) = (&mut config, &mut weights);
    let events =
        stage(rank, batches, calibration, &mut pruner, of_config, of_weights, vec![], &mut ledger, (0, 0))?;
    Ok(OneShot { config, weights, ledger, events })
}
