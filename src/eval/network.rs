//! The scorer of a model: items in passes of about [`PASS_TOKENS`] tokens, what the requests of an item share computed
//! once, no padding.
//!
//! Items stand in the passes in their own order: without padding nothing is gained by sorting them, and an
//! interrupted evaluation has a beginning of its items. An item's scores do not depend, to the bit, on the pass that
//! it is in.
use super::error::EvalError;
use super::request::{Found, Scorer, TokenRequest};
use crate::data::Batch;
use crate::model::divergence::Side;
use crate::model::network::Network;
use crate::model::scoring::{ScoredSequence, packed_tokens};
use crate::model::{ModelConfig, Weights};
use crate::tensor::{Backend, SCORING_PASS_ROWS};

/// Tokens of a pass, unless one item has more.
pub const PASS_TOKENS: usize = SCORING_PASS_ROWS;

/// A model with its weights as a [`Scorer`].
pub struct NetworkScorer<'a, B: Backend> {
    pub network: &'a mut dyn Network<B>,
    pub config: &'a ModelConfig,
    pub weights: &'a Weights<B::Tensor>,
    /// Tokens of a pass; no score depends on it.
    pub pass_tokens: usize,
    /// Tokens that have passed through the model so far.
    pub tokens: u64,
    /// Tokens of what was known already, as many as would have passed.
    pub known_tokens: u64,
    /// The source that the model was pruned from.
    pub source: Option<Side<'a, B::Tensor>>,
    /// Tokens that have passed through the source, those of what was known already among them.
    pub source_tokens: u64,
}

impl<'a, B: Backend> NetworkScorer<'a, B> {
    /// A scorer that has done nothing yet.
    pub fn new(
        network: &'a mut dyn Network<B>,
        config: &'a ModelConfig,
        weights: &'a Weights<B::Tensor>,
    ) -> Self {
        NetworkScorer {
            network,
            config,
            weights,
            pass_tokens: PASS_TOKENS,
            tokens: 0,
            known_tokens: 0,
            source: None,
            source_tokens: 0,
        }
    }
}

impl<B: Backend> NetworkScorer<'_, B> {
    /// Scores the items `first..` of a pass.
    fn pass(&mut self, first: usize, items: &[Vec<ScoredSequence>], found: Found) -> Result<(), EvalError> {
        let scores = self.network.score_items(self.config, self.weights, items);
        self.tokens += scores.tokens as u64;
        for (index, item) in scores.log_probabilities.iter().enumerate() {
            found(first + index, item.iter().map(|logs| logs.iter().sum()).collect())?;
        }
        Ok(())
    }
}

impl<B: Backend> Scorer for NetworkScorer<'_, B> {
    fn loglikelihoods(&mut self, items: &[Vec<TokenRequest>], found: Found) -> Result<(), EvalError> {
        let (mut pass, mut tokens, mut first) = (Vec::new(), 0, 0);
        for requests in items {
            let item = sequences(requests);
            let own = packed_tokens(&item);
            if !pass.is_empty() && tokens + own > self.pass_tokens {
                self.pass(first, &pass, found)?;
                first += pass.len();
                pass.clear();
                tokens = 0;
            }
            pass.push(item);
            tokens += own;
        }
        self.pass(first, &pass, found)
    }

    fn note_known(&mut self, requests: &[TokenRequest]) {
        self.known_tokens += self.network.tokens_of_item(&sequences(requests)) as u64;
    }

    fn note_known_batch(&mut self, batch: &Batch) {
        self.known_tokens += batch.inputs.len() as u64;
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

    fn divergence_sums(&mut self, batch: &Batch) -> Result<Vec<f64>, EvalError> {
        let no_source = || EvalError::Scorer { reason: "no source to compare with".into() };
        let source = self.source.ok_or_else(no_source)?;
        self.tokens += batch.inputs.len() as u64;
        self.source_tokens += batch.inputs.len() as u64;
        let model = (self.config, self.weights);
        let by_token = self.network.divergences(source, model, &batch.inputs, batch.sequences);
        Ok(by_token.chunks(batch.context_length).map(|sequence| sequence.iter().sum()).collect())
    }

    fn note_known_divergences(&mut self, batch: &Batch) {
        self.known_tokens += batch.inputs.len() as u64;
        self.source_tokens += batch.inputs.len() as u64;
    }
}

fn sequences(requests: &[TokenRequest]) -> Vec<ScoredSequence<'_>> {
    requests.iter().map(|r| ScoredSequence { tokens: &r.tokens, scored_from: r.scored_from }).collect()
}
