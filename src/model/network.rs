//! What the training loop and the evaluation ask of a model: the seam between engines.
use super::config::ModelConfig;
use super::divergence::{self, Side};
use super::llama::{self, Objective, Workspace};
use super::scoring::{self, ItemScores, ScoredSequence, ScoringWorkspace};
use super::taps::Tap;
use super::weights::Weights;
use crate::tensor::Backend;

/// Loss, gradients and log-probabilities of a model on backend `B`.
///
/// `inputs` and `targets` are `sequences` rows of T tokens each; target n is the token after input n.
pub trait Network<B: Backend>: Send {
    /// Σ of `objective` (nats) over all positions; `grads += scale · ∂(Σ objective)/∂weights`.
    #[allow(clippy::too_many_arguments)]
    fn differentiate(
        &mut self,
        config: &ModelConfig,
        weights: &Weights<B::Tensor>,
        inputs: &[u32],
        objective: Objective<'_, B::Tensor>,
        sequences: usize,
        scale: f64,
        grads: &mut Weights<B::Tensor>,
        tap: Option<Tap<B::Tensor>>,
    ) -> B::Sum;

    /// A forward pass for what `tap` sees alone.
    fn observe(
        &mut self,
        config: &ModelConfig,
        weights: &Weights<B::Tensor>,
        inputs: &[u32],
        sequences: usize,
        tap: Tap<B::Tensor>,
    );

    /// [`Self::differentiate`] of the cross-entropy against `targets`.
    #[allow(clippy::too_many_arguments)]
    fn loss_and_gradients(
        &mut self,
        config: &ModelConfig,
        weights: &Weights<B::Tensor>,
        inputs: &[u32],
        targets: &[u32],
        sequences: usize,
        scale: f64,
        grads: &mut Weights<B::Tensor>,
        tap: Option<Tap<B::Tensor>>,
    ) -> B::Sum {
        let objective = Objective::CrossEntropy(targets);
        self.differentiate(config, weights, inputs, objective, sequences, scale, grads, tap)
    }

    /// Natural-log probability of each target.
    fn log_probabilities(
        &mut self,
        config: &ModelConfig,
        weights: &Weights<B::Tensor>,
        inputs: &[u32],
        targets: &[u32],
        sequences: usize,
    ) -> Vec<f64>;

    /// KL(p ‖ q) in nats of the next-token distributions after each of `inputs`, p of the one model and q of the other.
    fn divergences(
        &mut self,
        p: Side<'_, B::Tensor>,
        q: Side<'_, B::Tensor>,
        inputs: &[u32],
        sequences: usize,
    ) -> Vec<f64>;

    /// Scores items, the sequences of which may begin alike: the result of each is that of its sequences one by one up
    /// to rounding, and does not depend on the other items. This body gives each sequence a pass of its own.
    fn score_items(
        &mut self,
        config: &ModelConfig,
        weights: &Weights<B::Tensor>,
        items: &[Vec<ScoredSequence>],
    ) -> ItemScores {
        let mut scores = ItemScores { log_probabilities: Vec::new(), tokens: 0 };
        for item in items {
            let mut own = Vec::with_capacity(item.len());
            for sequence in item {
                let inputs = sequence.inputs();
                let mut logs = match inputs {
                    [] => Vec::new(),
                    inputs => self.log_probabilities(config, weights, inputs, &sequence.tokens[1..], 1),
                };
                // Token n is the target at position n − 1.
                own.push(logs.split_off((sequence.scored_from.max(1) - 1).min(logs.len())));
                scores.tokens += inputs.len();
            }
            scores.log_probabilities.push(own);
        }
        scores
    }

    /// Tokens that pass through the model when [`Self::score_items`] scores `item`.
    fn tokens_of_item(&self, item: &[ScoredSequence]) -> usize {
        item.iter().map(|sequence| sequence.inputs().len()).sum()
    }
}

/// The hand-written forward and backward pass with its reusable buffers.
pub struct ExplicitNetwork<'a, B: Backend> {
    backend: &'a B,
    work: Workspace<B>,
    scoring: ScoringWorkspace<B>,
}

impl<'a, B: Backend> ExplicitNetwork<'a, B> {
    pub fn new(backend: &'a B) -> Self {
        ExplicitNetwork { backend, work: Workspace::new(backend), scoring: ScoringWorkspace::new(backend) }
    }
}

impl<B: Backend> Network<B> for ExplicitNetwork<'_, B> {
    fn observe(
        &mut self,
        config: &ModelConfig,
        weights: &Weights<B::Tensor>,
        inputs: &[u32],
        sequences: usize,
        tap: Tap<B::Tensor>,
    ) {
        llama::observe(self.backend, config, weights, inputs, sequences, &mut self.work, tap);
    }

    fn differentiate(
        &mut self,
        config: &ModelConfig,
        weights: &Weights<B::Tensor>,
        inputs: &[u32],
        objective: Objective<'_, B::Tensor>,
        sequences: usize,
        scale: f64,
        grads: &mut Weights<B::Tensor>,
        tap: Option<Tap<B::Tensor>>,
    ) -> B::Sum {
        let ExplicitNetwork { backend, work, .. } = self;
        llama::loss_and_gradients(
            *backend, config, weights, inputs, objective, sequences, scale, grads, work, tap,
        )
    }

    fn log_probabilities(
        &mut self,
        config: &ModelConfig,
        weights: &Weights<B::Tensor>,
        inputs: &[u32],
        targets: &[u32],
        sequences: usize,
    ) -> Vec<f64> {
        llama::log_probabilities(self.backend, config, weights, inputs, targets, sequences, &mut self.work)
    }

    fn divergences(
        &mut self,
        p: Side<'_, B::Tensor>,
        q: Side<'_, B::Tensor>,
        inputs: &[u32],
        sequences: usize,
    ) -> Vec<f64> {
        let mut hidden = |(config, weights): Side<'_, B::Tensor>| {
            llama::final_hidden(self.backend, config, weights, inputs, sequences, &mut self.work)
        };
        let (of_p, of_q) = (hidden(p), hidden(q));
        fn head<'a, T>(side: &Side<'a, T>) -> &'a T {
            side.1.head.as_ref().unwrap_or(&side.1.embed)
        }
        divergence::of_hidden(self.backend, [&of_p, &of_q], [head(&p), head(&q)])
    }

    fn score_items(
        &mut self,
        config: &ModelConfig,
        weights: &Weights<B::Tensor>,
        items: &[Vec<ScoredSequence>],
    ) -> ItemScores {
        scoring::score_items(self.backend, config, weights, items, &mut self.scoring)
    }

    fn tokens_of_item(&self, item: &[ScoredSequence]) -> usize {
        scoring::packed_tokens(item)
    }
}
