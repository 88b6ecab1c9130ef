//! Ranks that are threads of one process: tensors meet in host memory.
//!
//! ```text
//! x ← round(Σ_r x_r)      in f64, r = 0, 1, …      every rank sums for itself, in the same order
//! ```
//!
//! On the CPU backend this simulates several devices; between CUDA devices it is what is left where NCCL cannot be
//! loaded.
use super::{Communicator, RankError};
use crate::tensor::{Backend, Scalar};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// One rank of a group of threads. Dropping it tells the others that it has left.
pub struct ThreadRanks<S> {
    rank: usize,
    count: usize,
    tensors: Arc<Meeting<S>>,
    values: Arc<Meeting<f64>>,
}

impl<S: Scalar> ThreadRanks<S> {
    /// The members of a group of `count` ranks, in rank order: one for each thread.
    pub fn group(count: usize) -> Vec<Self> {
        let (tensors, values) = (Arc::new(Meeting::new(count)), Arc::new(Meeting::new(count)));
        (0..count)
            .map(|rank| ThreadRanks { rank, count, tensors: tensors.clone(), values: values.clone() })
            .collect()
    }
}

impl<S> Drop for ThreadRanks<S> {
    fn drop(&mut self) {
        self.tensors.leave();
        self.values.leave();
    }
}

impl<B: Backend> Communicator<B> for ThreadRanks<B::Scalar> {
    fn rank(&self) -> usize {
        self.rank
    }

    fn count(&self) -> usize {
        self.count
    }

    fn sum_tensors(&self, backend: &B, tensors: &mut [&mut B::Tensor]) -> Result<(), RankError> {
        for tensor in tensors {
            let all = self.tensors.exchange(self.rank, backend.to_host(tensor).into())?;
            let sum: Vec<B::Scalar> = (0..all[0].len())
                .map(|i| B::Scalar::from_f64(all.iter().map(|of| of[i].to_f64()).sum()))
                .collect();
            let [rows, cols] = backend.shape(tensor);
            **tensor = backend.from_host(rows, cols, &sum);
        }
        Ok(())
    }

    fn gather(&self, values: &[f64]) -> Result<Vec<Arc<[f64]>>, RankError> {
        self.values.exchange(self.rank, values.into())
    }
}

/// Where ranks lay down what they have and take what all have.
struct Meeting<S> {
    round: Mutex<Round<S>>,
    changed: Condvar,
}

struct Round<S> {
    laid_down: Vec<Option<Arc<[S]>>>,
    /// Ranks that have not taken yet what all have laid down; 0 while it is still being laid down.
    to_take: usize,
    /// A rank has left: what is not complete will never be.
    left: bool,
}

impl<S> Meeting<S> {
    fn new(count: usize) -> Self {
        let laid_down = (0..count).map(|_| None).collect();
        Meeting { round: Mutex::new(Round { laid_down, to_take: 0, left: false }), changed: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Round<S>> {
        self.round.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'m>(&self, round: MutexGuard<'m, Round<S>>) -> MutexGuard<'m, Round<S>> {
        self.changed.wait(round).unwrap_or_else(PoisonError::into_inner)
    }

    /// Lays down `own` and takes what all ranks laid down, in rank order.
    fn exchange(&self, rank: usize, own: Arc<[S]>) -> Result<Vec<Arc<[S]>>, RankError> {
        let mut round = self.lock();
        // A quick rank may come again before the slow ones have taken from the last round.
        while round.to_take > 0 {
            round = self.wait(round);
        }
        round.laid_down[rank] = Some(own);
        if round.laid_down.iter().all(Option::is_some) {
            round.to_take = round.laid_down.len();
            self.changed.notify_all();
        }
        while round.to_take == 0 {
            if round.left {
                return Err(RankError::Left);
            }
            round = self.wait(round);
        }
        let all = round.laid_down.iter().flatten().cloned().collect();
        round.to_take -= 1;
        if round.to_take == 0 {
            round.laid_down.iter_mut().for_each(|slot| *slot = None);
            self.changed.notify_all();
        }
        Ok(all)
    }

    fn leave(&self) {
        self.lock().left = true;
        self.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::cuda::emulated::EmulatedDevice;
    use crate::tensor::cuda::{CudaBackend, Precision};
    use crate::tensor::{CpuBackend, Matrix};

    const BACKEND: CpuBackend<f32> = CpuBackend::new();

    fn on_ranks<T: Send>(count: usize, work: impl Fn(ThreadRanks<f32>) -> T + Sync) -> Vec<T> {
        std::thread::scope(|scope| {
            let threads: Vec<_> = ThreadRanks::group(count)
                .into_iter()
                .map(|member| {
                    let work = &work;
                    scope.spawn(move || work(member))
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
        })
    }

    fn communicator(member: &ThreadRanks<f32>) -> &dyn Communicator<CpuBackend<f32>> {
        member
    }

    /// 2²⁴ + 1 + 1 is 2²⁴ in f32 one by one, and 2²⁴ + 2 in f64: what the sum must round to.
    #[test]
    fn sums_are_equal_on_all_ranks_and_rounded_once_over_many_rounds() {
        let sums = on_ranks(3, |member| {
            let ranks = communicator(&member);
            let mut seen = Vec::new();
            for round in 0..200 {
                let own = if ranks.rank() == 0 { 16_777_216.0 } else { 1.0 };
                let mut a = Matrix { rows: 1, cols: 2, data: vec![own, round as f32] };
                let mut b = Matrix { rows: 2, cols: 1, data: vec![0.0, ranks.rank() as f32] };
                ranks.sum_tensors(&BACKEND, &mut [&mut a, &mut b]).expect("all ranks are there");
                seen.push((a.data, b.data));
            }
            seen
        });
        for of_rank in &sums {
            for (round, (a, b)) in of_rank.iter().enumerate() {
                assert_eq!((a[0], a[1]), (16_777_218.0, 3.0 * round as f32));
                assert_eq!(b, &[0.0, 3.0]);
            }
        }
    }

    /// Tensors of devices too, whose rows are padded; that padding stays zero is asserted where they are read.
    #[test]
    fn tensors_of_cuda_devices_meet_in_host_memory() {
        let sums = on_ranks(2, |member| {
            let backend = CudaBackend::over(EmulatedDevice::new()?, Precision::Bf16);
            let ranks: &dyn Communicator<CudaBackend<EmulatedDevice>> = &member;
            let own: Vec<f32> = (0..15).map(|i| (i * (ranks.rank() + 1)) as f32).collect();
            let mut tensor = backend.from_host(3, 5, &own);
            ranks.sum_tensors(&backend, &mut [&mut tensor]).expect("both are there");
            Some(backend.to_host(&tensor))
        });
        for sum in sums.into_iter().flatten() {
            assert_eq!(sum, (0..15).map(|i| 3.0 * i as f32).collect::<Vec<f32>>());
        }
    }

    #[test]
    fn values_come_in_rank_order_and_disagreement_is_told_on_all_ranks() {
        let told = on_ranks(3, |member| {
            let ranks = communicator(&member);
            let rank = ranks.rank() as f64;
            let gathered: Vec<f64> =
                ranks.gather(&[rank, 1.0]).expect("values").iter().map(|of| of[0]).collect();
            assert_eq!(gathered, [0.0, 1.0, 2.0]);
            assert_eq!(ranks.sum(rank), Ok(3.0));
            assert_eq!(ranks.as_rank_0(ranks.rank() == 0), Ok(true));
            assert_eq!(ranks.agree("widths", &[7.0]), Ok(()));
            ranks.agree("widths", &[if ranks.rank() == 2 { 8.0 } else { 7.0 }])
        });
        assert_eq!(told, vec![Err(RankError::Disagree { rank: 2, what: "widths" }); 3]);
    }

    /// Whoever waits for a rank that has left hears of it instead of waiting for ever.
    #[test]
    fn a_rank_that_leaves_does_not_hang_the_others() {
        let told = on_ranks(3, |member| {
            let ranks = communicator(&member);
            ranks.sum(1.0).expect("all are there");
            if ranks.rank() == 1 { Ok(0.0) } else { ranks.sum(1.0) }
        });
        assert_eq!(told, [Err(RankError::Left), Ok(0.0), Err(RankError::Left)]);
    }
}
