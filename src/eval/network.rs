//! The scorer of a model: each request by itself, without padding.
//!
//! A product of matrices may sum in another order when it has more rows, so a batch would change the last bits of a
//! log-likelihood with its composition. One request a pass cannot, and computes nothing for padding; on a CPU the
//! rows of one request are enough to keep the products efficient.
use super::error::EvalError;
use super::request::{Scorer, TokenRequest};
use crate::data::Batch;
use crate::model::network::Network;
use crate::model::{ModelConfig, Weights};
use crate::tensor::Backend;

/// A model with its weights as a [`Scorer`].
pub struct NetworkScorer<'a, B: Backend> {
    pub network: &'a mut dyn Network<B>,
    pub config: &'a ModelConfig,
    pub weights: &'a Weights<B::Tensor>,
}

impl<B: Backend> Scorer for NetworkScorer<'_, B> {
    fn loglikelihoods(&mut self, requests: &[TokenRequest]) -> Result<Vec<f64>, EvalError> {
        let mut one = |request: &TokenRequest| {
            let (inputs, targets) = (&request.tokens[..request.tokens.len() - 1], &request.tokens[1..]);
            let logs = self.network.log_probabilities(self.config, self.weights, inputs, targets, 1);
            // Token n is the target at position n − 1.
            logs[request.scored_from - 1..].iter().sum()
        };
        Ok(requests.iter().map(|r| if r.tokens.len() < 2 { 0.0 } else { one(r) }).collect())
    }

    fn nll_sum(&mut self, batch: &Batch) -> Result<f64, EvalError> {
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
