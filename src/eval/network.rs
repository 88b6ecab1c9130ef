//! The scorer of a model: the requests of one item in one pass, their shared beginning computed once, no padding.
//!
//! A product of matrices may sum in another order when it has more rows, so items that share a pass would change each
//! other's last bits. One item a pass cannot; on a CPU its rows are enough to keep the products efficient.
use super::error::EvalError;
use super::request::{Scorer, TokenRequest};
use crate::data::Batch;
use crate::model::network::Network;
use crate::model::scoring::ScoredSequence;
use crate::model::{ModelConfig, Weights};
use crate::tensor::Backend;

/// A model with its weights as a [`Scorer`].
pub struct NetworkScorer<'a, B: Backend> {
    pub network: &'a mut dyn Network<B>,
    pub config: &'a ModelConfig,
    pub weights: &'a Weights<B::Tensor>,
    /// Tokens that have passed through the model so far.
    pub tokens: u64,
}

impl<B: Backend> Scorer for NetworkScorer<'_, B> {
    fn loglikelihoods(&mut self, requests: &[TokenRequest]) -> Result<Vec<f64>, EvalError> {
        let sequences: Vec<ScoredSequence> = requests
            .iter()
            .map(|r| ScoredSequence { tokens: &r.tokens, scored_from: r.scored_from })
            .collect();
        let scores = self.network.score_sequences(self.config, self.weights, &sequences);
        self.tokens += scores.tokens as u64;
        Ok(scores.log_probabilities.iter().map(|logs| logs.iter().sum()).collect())
    }

    fn nll_sum(&mut self, batch: &Batch) -> Result<f64, EvalError> {
        self.tokens += batch.inputs.len() as u64;
        let logs = self.network.log_probabilities(
            self.config,
            self.weights,
            &batch.inputs,
            &batch.targets,
            batch.sequences,
        );
        Ok(-logs.iter().sum::<f64>())
    }
}
