//! Post-training pruning: saliency and Gram matrices from a small calibration set, then all events at once.
use super::gradient::{StepGradient, agree_on};
use super::ledger::add_events;
use super::pretrain::TrainError;
use super::{Ledger, Part};
use crate::data::Batches;
use crate::model::flops::training_flops_per_token;
use crate::model::{ModelConfig, Rank, Weights};
use crate::prune::cost::{fisher_flops, gram_flops};
use crate::prune::{EventRecord, GramAccumulator, Pruner, PrunerState, Trees};
use crate::spec::PruneSpec;
use crate::tensor::Backend;
use std::time::Instant;

/// A model pruned after training.
pub struct OneShot<B: Backend> {
    pub config: ModelConfig,
    pub weights: Weights<B::Tensor>,
    pub ledger: Ledger,
    pub events: Vec<EventRecord>,
    pub pruner: PrunerState,
}

/// Prunes `weights` to the target of `spec` by saliency on `spec.calibration_tokens` tokens.
///
/// The calibration set is the sequences from `first_sequence` on, in micro-batches of `micro_batch`
/// sequences, dealt out to the ranks; g is its mean gradient, F the mean square over its micro-batches.
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
    let started = Instant::now();
    let (backend, communicator) = (rank.backend, rank.communicator);
    let mut pruner = Pruner::new(spec, &config, seed)?;
    let sequences = (spec.calibration_tokens as usize).div_ceil(context_length);
    let micro_batches = sequences.div_ceil(micro_batch);
    let mut gradient = StepGradient::new(backend, &weights);
    let needs = pruner.needs::<B>();
    gradient.reset(backend, &weights, needs.fisher);
    let mut grams = needs.grams.then(|| GramAccumulator::new(backend, &config));
    for index in (communicator.rank()..micro_batches).step_by(communicator.count()) {
        let offset = index * micro_batch;
        let batch = batches.batch(first_sequence + offset as u64, micro_batch.min(sequences - offset));
        let total = sequences * context_length;
        gradient.accumulate(rank, &config, &weights, &batch, total, grams.as_mut());
    }
    gradient.sum_over_ranks(backend, communicator, grams.as_mut())?;
    let tokens = (sequences * context_length) as u64;
    let mut ledger = Ledger::default();
    if grams.is_some() {
        ledger.add(Part::Hessian, tokens, gram_flops(&config, tokens) as f64, 0.0);
    }
    let mut flops = training_flops_per_token(&config, context_length) * tokens as f64;
    if needs.fisher {
        flops += fisher_flops(&config) as f64 * micro_batches as f64;
    }
    ledger.add(Part::Saliency, tokens, flops, started.elapsed().as_secs_f64());
    let started = Instant::now();
    let mut grams = grams.map(|grams| grams.finish(backend, 0));
    let trees = Trees {
        weights: &mut weights,
        grads: Some(&mut gradient.mean),
        fisher: gradient.fisher.as_mut(),
        companions: Vec::new(),
    };
    let events = pruner.prune_to_target(backend, &mut config, trees, grams.as_mut(), tokens, 0)?;
    agree_on(communicator, &events)?;
    add_events(&mut ledger, &events, started.elapsed().as_secs_f64());
    Ok(OneShot { config, weights, ledger, events, pruner: pruner.state().clone() })
}
