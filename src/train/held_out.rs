//! Held-out loss along a run, so that "how many tokens to the same loss" has an answer: the same windows for every arm
//! and every point.
use super::pretrain::TrainError;
use crate::data::Batch;
use crate::model::{ModelConfig, Rank, Weights};
use crate::tensor::Backend;

/// Windows of held-out text and how often they are scored.
#[derive(Clone, Debug, Default)]
pub struct HeldOut {
    /// Each of at most a micro-batch.
    pub batches: Vec<Batch>,
    /// Points along a run, at most; the last step is one of them.
    pub points: u64,
}

impl HeldOut {
    /// Whether the held-out loss is due at the `point`-th point of a curve (from 1) of `of`.
    pub fn is_due(&self, point: u64, of: u64) -> bool {
        let every = of.div_ceil(self.points.max(1)).max(1);
        self.points > 0 && !self.batches.is_empty() && (point.is_multiple_of(every) || point == of)
    }

    /// Tokens of one point.
    pub fn tokens(&self) -> u64 {
        self.batches.iter().map(|batch| batch.targets.len() as u64).sum()
    }

    /// Mean nats per token, the windows dealt out to the ranks.
    ///
    /// # Errors
    /// Another rank has left.
    pub fn loss<B: Backend>(
        &self,
        rank: &mut Rank<'_, B>,
        config: &ModelConfig,
        weights: &Weights<B::Tensor>,
    ) -> Result<f64, TrainError> {
        let communicator = rank.communicator;
        let mut sum = 0.0;
        for batch in self.batches.iter().skip(communicator.rank()).step_by(communicator.count()) {
            let piece = rank.at_once.saturating_mul(batch.context_length);
            for (inputs, targets) in batch.inputs.chunks(piece).zip(batch.targets.chunks(piece)) {
                let sequences = inputs.len() / batch.context_length;
                let logs = rank.network.log_probabilities(config, weights, inputs, targets, sequences);
                sum -= logs.iter().sum::<f64>();
            }
        }
        Ok(communicator.sum(sum)? / self.tokens() as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_spread_over_the_curve_and_end_with_it() {
        let batch = Batch { inputs: vec![0], targets: vec![1], sequences: 1, context_length: 1 };
        let due = |points: u64, of: u64| -> Vec<u64> {
            let held_out = HeldOut { batches: vec![batch.clone()], points };
            (1..=of).filter(|point| held_out.is_due(*point, of)).collect()
        };
        assert_eq!(due(4, 8), [2, 4, 6, 8]);
        assert_eq!(due(4, 10), [3, 6, 9, 10]);
        assert_eq!(due(10, 3), [1, 2, 3]);
        assert!(due(0, 5).is_empty());
        assert!(!HeldOut { batches: Vec::new(), points: 4 }.is_due(1, 1));
    }
}
