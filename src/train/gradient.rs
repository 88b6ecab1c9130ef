//! The gradient of one optimiser step, summed over micro-batches, pieces of micro-batches, and ranks.
//!
//! ```text
//! g = Σ_m s_m g_m      F = Σ_m s_m g_m²      s_m = tokens of micro-batch m / tokens of the batch
//! ```
use super::optimizer::zeros_like;
use crate::data::Batch;
use crate::model::llama::{LayerInputs, Tap};
use crate::model::{ModelConfig, Rank, Weights};
use crate::prune::{EventRecord, GramAccumulator};
use crate::tensor::{Accumulation, Backend, Communicator, RankError};

/// Gradient of one step: its mean over micro-batches and, where asked for, the mean of its square.
pub(super) struct StepGradient<B: Backend> {
    pub mean: Weights<B::Tensor>,
    pub fisher: Option<Weights<B::Tensor>>,
    /// Gradient of one micro-batch, only where F is asked for.
    micro: Option<Weights<B::Tensor>>,
}

impl<B: Backend> StepGradient<B> {
    pub fn new(backend: &B, weights: &Weights<B::Tensor>) -> Self {
        StepGradient { mean: zeros_like(backend, weights), fisher: None, micro: None }
    }

    /// Zeros in the shape of `weights`.
    pub fn reset(&mut self, backend: &B, weights: &Weights<B::Tensor>, needs_fisher: bool) {
        let fit = |tree: &mut Weights<B::Tensor>| {
            for (leaf, weight) in tree.leaves_mut().into_iter().zip(weights.leaves()) {
                let [rows, cols] = backend.shape(weight);
                backend.reshape(leaf, rows, cols);
                backend.fill_zero(leaf);
            }
        };
        fit(&mut self.mean);
        for tree in [&mut self.fisher, &mut self.micro] {
            match tree {
                Some(tree) if needs_fisher => fit(tree),
                _ => *tree = needs_fisher.then(|| zeros_like(backend, weights)),
            }
        }
    }

    /// Adds one micro-batch of a batch of `total_tokens`; returns the summed loss of each of its pieces.
    pub fn accumulate(
        &mut self,
        rank: &mut Rank<'_, B>,
        config: &ModelConfig,
        weights: &Weights<B::Tensor>,
        batch: &Batch,
        total_tokens: usize,
        mut grams: Option<&mut GramAccumulator<B>>,
    ) -> Vec<B::Sum> {
        let taps = grams.is_some();
        let (backend, network) = (rank.backend, &mut *rank.network);
        let piece = rank.at_once.saturating_mul(batch.context_length);
        let mut run = |scale: f64, grads: &mut Weights<B::Tensor>| {
            let mut losses = Vec::with_capacity(1);
            for (inputs, targets) in batch.inputs.chunks(piece).zip(batch.targets.chunks(piece)) {
                let mut collect = |layer, inputs: LayerInputs<'_, B::Tensor>| {
                    if let Some(grams) = &mut grams {
                        grams.add(backend, layer, &inputs);
                    }
                };
                let tap: Option<Tap<'_, B::Tensor>> = if taps { Some(&mut collect) } else { None };
                let sequences = inputs.len() / batch.context_length;
                losses.push(
                    network
                        .loss_and_gradients(config, weights, inputs, targets, sequences, scale, grads, tap),
                );
            }
            losses
        };
        let tokens = batch.inputs.len() as f64;
        // A short last micro-batch weighs by its tokens, so that accumulation equals one large batch.
        let share = tokens / total_tokens as f64;
        match (&mut self.micro, &mut self.fisher) {
            (Some(micro), Some(fisher)) => {
                for leaf in micro.leaves_mut() {
                    backend.fill_zero(leaf);
                }
                let losses = run(1.0 / tokens, micro);
                let sums = self.mean.leaves_mut().into_iter().zip(fisher.leaves_mut());
                let with = |((sum, squares), x)| Accumulation { x, sum, squares: Some(squares) };
                backend.accumulate(share, 1.0, &mut sums.zip(micro.leaves()).map(with).collect::<Vec<_>>());
                losses
            }
            _ => run(share / tokens, &mut self.mean),
        }
    }

    /// Makes the sums, and `grams` with them, those of all ranks.
    pub fn sum_over_ranks(
        &mut self,
        backend: &B,
        communicator: &dyn Communicator<B>,
        grams: Option<&mut GramAccumulator<B>>,
    ) -> Result<(), RankError> {
        let mut sums = self.mean.leaves_mut();
        sums.extend(self.fisher.iter_mut().flat_map(Weights::leaves_mut));
        communicator.sum_tensors(backend, &mut sums)?;
        grams.map_or(Ok(()), |grams| grams.sum_over_ranks(backend, communicator))
    }
}

/// Makes sure that all ranks have pruned the same groups for the same reason.
pub(super) fn agree_on<B: Backend>(
    communicator: &dyn Communicator<B>,
    events: &[EventRecord],
) -> Result<(), RankError> {
    let told = |event: &EventRecord| {
        let mut values = vec![event.group_type as u8 as f64, event.saliency, event.params as f64];
        values.extend(event.indices.iter().map(|index| *index as f64));
        values
    };
    communicator.agree("pruning decision", &events.iter().flat_map(told).collect::<Vec<f64>>())
}
