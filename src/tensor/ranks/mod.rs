//! Ranks: the devices that train one model together, each with the whole model and a share of every batch.
//!
//! ```text
//! rank r:  g_r ← Σ over its micro-batches      g ← Σ_r g_r      the same step on every rank
//! ```
//!
//! A [`Communicator`] gives every rank the same bits, and whatever a run decides is a function of what was summed or
//! gathered; so all ranks take the same steps and prune the same groups without a leader.
//!
//! | communicator | ranks are | a sum is made |
//! |---|---|---|
//! | [`Alone`] | one | not at all |
//! | [`ThreadRanks`] | threads of this process, on any backend | through host memory, in f64, in rank order |
//! | [`NcclRanks`](super::cuda::nccl::NcclRanks) | CUDA devices of this process | on the devices, in an order of NCCL's |
mod threads;

pub use threads::ThreadRanks;

use super::Backend;
use std::sync::Arc;

/// Why ranks cannot go on together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RankError {
    /// Not the cause: that is in what the other rank returned.
    #[error("another rank of this run stopped")]
    Left,
    #[error("rank {rank} has another {what} than rank 0: the devices of this run do not compute alike")]
    Disagree { rank: usize, what: &'static str },
}

/// How one rank of a run works with the others. All ranks make the same calls in the same order.
pub trait Communicator<B: Backend>: Send + Sync {
    /// From 0.
    fn rank(&self) -> usize;

    /// Number of ranks.
    fn count(&self) -> usize;

    /// Replaces every tensor by its sum over ranks: the same bits on every rank.
    ///
    /// # Errors
    /// [`RankError::Left`] where a rank stopped before it came to this call.
    fn sum_tensors(&self, backend: &B, tensors: &mut [&mut B::Tensor]) -> Result<(), RankError>;

    /// The values of every rank, in rank order.
    ///
    /// # Errors
    /// [`RankError::Left`] where a rank stopped before it came to this call.
    fn gather(&self, values: &[f64]) -> Result<Vec<Arc<[f64]>>, RankError>;

    /// Σ over ranks, in rank order; one rank keeps its bits.
    ///
    /// # Errors
    /// As [`Self::gather`].
    fn sum(&self, value: f64) -> Result<f64, RankError> {
        Ok(self.gather(&[value])?.iter().map(|of| of[0]).reduce(|sum, value| sum + value).unwrap_or(value))
    }

    /// Whether rank 0 says so: for decisions that depend on what only it sees.
    ///
    /// # Errors
    /// As [`Self::gather`].
    fn as_rank_0(&self, flag: bool) -> Result<bool, RankError> {
        Ok(self.gather(&[f64::from(u8::from(flag))])?[0][0] != 0.0)
    }

    /// Makes sure that all ranks hold the same `value`, which `what` names.
    ///
    /// # Errors
    /// [`RankError::Disagree`] on all ranks alike, and as [`Self::gather`].
    fn agree(&self, what: &'static str, value: &[f64]) -> Result<(), RankError> {
        let all = self.gather(value)?;
        let bits = |of: &[f64]| of.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        match all.iter().position(|of| bits(of) != bits(&all[0])) {
            Some(rank) => Err(RankError::Disagree { rank, what }),
            None => Ok(()),
        }
    }
}

/// The communicator of a run on one device.
#[derive(Clone, Copy, Debug, Default)]
pub struct Alone;

impl<B: Backend> Communicator<B> for Alone {
    fn rank(&self) -> usize {
        0
    }

    fn count(&self) -> usize {
        1
    }

    fn sum_tensors(&self, _: &B, _: &mut [&mut B::Tensor]) -> Result<(), RankError> {
        Ok(())
    }

    fn gather(&self, values: &[f64]) -> Result<Vec<Arc<[f64]>>, RankError> {
        Ok(vec![values.into()])
    }
}
