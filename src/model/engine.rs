//! Engines: what the names `cpu`, `cuda` and `reference` stand for, and how work gets onto one of them.
//!
//! Work is written once, generic in the backend ([`OnRank`]); [`Engine`] opens the devices, makes the network and hands
//! both over. A run on several devices is one thread per rank.
use super::network::{ExplicitNetwork, Network};
use super::rank::Rank;
use super::reference::ReferenceNetwork;
use crate::base::team::with_team;
use crate::spec::{CpuBf16, EngineKind, EngineSpec, Precision};
use crate::tensor::cpu::blocked::detect;
use crate::tensor::cuda::nccl::{self, GroupId, NcclRanks};
use crate::tensor::cuda::{CudaBackend, CudaDevice};
use crate::tensor::ranks::ThreadRanks;
use crate::tensor::unwind::{caught, raise};
use crate::tensor::{Alone, Backend, Communicator, CpuBackend, DeviceError, RankError};
use std::any::Any;
use std::panic::resume_unwind;

/// Work that can be done on any engine.
pub trait OnRank {
    type Output;

    fn on<B: Backend>(self, rank: Rank<'_, B>) -> Self::Output;
}

/// An engine on the devices of one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Engine {
    /// Resolved: not [`EngineKind::Auto`].
    pub kind: EngineKind,
    /// What it computes with; the reference knows f32 alone.
    pub precision: Precision,
    /// The order of sums of bf16 products on the processor.
    pub cpu_bf16: Option<CpuBf16>,
    /// CUDA device of each rank; on the other engines their number alone counts.
    pub devices: Vec<usize>,
    /// See [`Rank::at_once`].
    pub at_once: usize,
}

/// Makes the network of a backend.
type MakeNetwork<B> = for<'b> fn(&'b B) -> Box<dyn Network<B> + 'b>;

impl Engine {
    /// One rank of `kind` that takes whole micro-batches.
    pub fn alone(kind: EngineKind, precision: Precision, device: usize) -> Self {
        Engine { kind, precision, cpu_bf16: detect::best(), devices: vec![device], at_once: usize::MAX }
    }

    /// The engine of a spec whose `auto`s are resolved, on `devices`.
    pub fn of(spec: &EngineSpec, kind: EngineKind, devices: Vec<usize>, at_once: usize) -> Self {
        let unasked = if kind == EngineKind::Cuda { Precision::Bf16 } else { Precision::F32 };
        let precision = spec.precision.unwrap_or(unasked);
        Engine { kind, precision, cpu_bf16: spec.cpu_bf16, devices, at_once }
    }

    /// How it multiplies on the processor: the order of sums in bf16, `None` in f32.
    pub fn products(&self) -> Option<CpuBf16> {
        let on_cpu = matches!(self.kind, EngineKind::Cpu | EngineKind::Auto);
        self.cpu_bf16.filter(|_| on_cpu && self.precision == Precision::Bf16)
    }

    /// What it computes with in fact.
    pub fn effective_precision(&self) -> Precision {
        match self.kind {
            EngineKind::Cuda => self.precision,
            _ if self.products().is_some() => Precision::Bf16,
            _ => Precision::F32,
        }
    }

    fn cpu(&self) -> CpuBackend<f32> {
        self.products().map_or(CpuBackend::new(), CpuBackend::in_bf16)
    }

    /// Does `work` on the first device.
    ///
    /// # Errors
    /// The device cannot be opened, or fails in the middle of the work.
    pub fn run<W: OnRank>(&self, work: W) -> Result<W::Output, DeviceError> {
        caught(|| match self.kind {
            EngineKind::Reference => self.first(CpuBackend::<f32>::new(), reference, work),
            EngineKind::Cuda => self.first(self.open(self.devices[0]), explicit, work),
            EngineKind::Auto | EngineKind::Cpu => self.first(self.cpu(), explicit, work),
        })
    }

    /// Does the work that `work` makes for each rank, all at the same time, and returns what they return, in rank order.
    ///
    /// # Errors
    /// A device cannot be opened, or fails in the middle of the work: the first of those in rank order. Its rank takes the
    /// others with it.
    pub fn run_on_ranks<W: OnRank + Send>(
        &self,
        work: impl Fn(usize) -> W + Sync,
    ) -> Result<Vec<W::Output>, DeviceError>
    where
        W::Output: Send,
    {
        if self.devices.len() == 1 {
            return Ok(vec![self.run(work(0))?]);
        }
        caught(|| match self.kind {
            EngineKind::Reference => self.ranks(|_| CpuBackend::<f32>::new(), reference, by_host, work),
            EngineKind::Cuda if nccl::is_available() => {
                let id = GroupId::new().unwrap_or_else(|error| raise(error));
                let join = |member, backend: &_| -> Box<dyn Communicator<_>> {
                    Box::new(NcclRanks::join(id, member, backend).unwrap_or_else(|error| raise(error)))
                };
                self.ranks(|device| self.open(device), explicit, join, work)
            }
            EngineKind::Cuda => self.ranks(|device| self.open(device), explicit, by_host, work),
            EngineKind::Auto | EngineKind::Cpu => self.ranks(|_| self.cpu(), explicit, by_host, work),
        })
    }

    fn open(&self, device: usize) -> CudaBackend<CudaDevice> {
        CudaBackend::open(device, self.precision).unwrap_or_else(|error| raise(error))
    }

    fn first<B: Backend, W: OnRank>(&self, backend: B, network: MakeNetwork<B>, work: W) -> W::Output {
        let mut network = network(&backend);
        let rank = Rank {
            backend: &backend,
            network: network.as_mut(),
            communicator: &Alone,
            at_once: self.at_once,
        };
        with_team(|| work.on(rank))
    }

    fn ranks<B: Backend, W: OnRank + Send>(
        &self,
        open: impl Fn(usize) -> B + Sync,
        network: MakeNetwork<B>,
        meet: impl Fn(ThreadRanks<B::Scalar>, &B) -> Box<dyn Communicator<B>> + Sync,
        work: impl Fn(usize) -> W + Sync,
    ) -> Vec<W::Output>
    where
        W::Output: Send,
    {
        // Ranks wait for one another: in a common pool of threads one could wait for ever for a thread to start on.
        let threads = rayon::current_num_threads();
        let one = |member: ThreadRanks<B::Scalar>, device: usize| {
            let backend = open(device);
            let communicator = meet(member, &backend);
            let work = work(communicator.rank());
            let mut network = network(&backend);
            let rank = Rank {
                backend: &backend,
                network: network.as_mut(),
                communicator: communicator.as_ref(),
                at_once: self.at_once,
            };
            match rayon::ThreadPoolBuilder::new().num_threads(threads).build() {
                Ok(pool) => pool.install(|| with_team(|| work.on(rank))),
                // Without threads of its own a rank shares everyone's: slower, and the same numbers.
                Err(_) => work.on(rank),
            }
        };
        let ended: Vec<Result<W::Output, Box<dyn Any + Send>>> = std::thread::scope(|scope| {
            let started: Vec<_> = ThreadRanks::group(self.devices.len())
                .into_iter()
                .zip(&self.devices)
                .map(|(member, device)| {
                    let one = &one;
                    scope.spawn(move || one(member, *device))
                })
                .collect();
            started.into_iter().map(|thread| thread.join()).collect()
        });
        let mut done = Vec::with_capacity(ended.len());
        let mut payloads = Vec::new();
        for rank in ended {
            match rank {
                Ok(output) => done.push(output),
                Err(payload) => payloads.push(payload),
            }
        }
        // A rank that only lost its partners says less than the one that they lost.
        let cause = payloads.iter().position(|payload| !payload.is::<RankError>()).unwrap_or(0);
        if payloads.is_empty() { done } else { resume_unwind(payloads.swap_remove(cause)) }
    }
}

/// Tensors meet in host memory.
fn by_host<B: Backend>(member: ThreadRanks<B::Scalar>, _: &B) -> Box<dyn Communicator<B>> {
    Box::new(member)
}

fn explicit<B: Backend>(backend: &B) -> Box<dyn Network<B> + '_> {
    Box::new(ExplicitNetwork::new(backend))
}

fn reference(_: &CpuBackend<f32>) -> Box<dyn Network<CpuBackend<f32>> + '_> {
    Box::new(ReferenceNetwork)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::unwind::raise;

    const NO_MEMORY: DeviceError = DeviceError::OutOfMemory { asked: 2, free: 1 };

    /// Doubles its rank on the device and sums over ranks; rank `fails` unwinds instead.
    struct Sum {
        fails: Option<usize>,
    }

    impl OnRank for Sum {
        type Output = (usize, f64);

        fn on<B: Backend>(self, rank: Rank<'_, B>) -> Self::Output {
            let own = rank.communicator.rank();
            if self.fails == Some(own) {
                raise(NO_MEMORY);
            }
            (own, rank.communicator.sum(2.0 * own as f64).unwrap_or(f64::NAN))
        }
    }

    fn engine(kind: EngineKind, ranks: usize) -> Engine {
        Engine { devices: vec![0; ranks], ..Engine::alone(kind, Precision::F32, 0) }
    }

    #[test]
    fn every_rank_is_handed_its_share_and_results_come_in_order() {
        for kind in [EngineKind::Cpu, EngineKind::Reference] {
            assert_eq!(engine(kind, 1).run_on_ranks(|_| Sum { fails: None }), Ok(vec![(0, 0.0)]));
            let all = engine(kind, 3).run_on_ranks(|_| Sum { fails: None });
            assert_eq!(all, Ok(vec![(0, 6.0), (1, 6.0), (2, 6.0)]));
        }
    }

    #[test]
    fn what_a_device_raises_is_an_error_and_no_rank_hangs() {
        let failing = || Sum { fails: Some(1) };
        assert_eq!(engine(EngineKind::Cpu, 3).run_on_ranks(|_| failing()), Err(NO_MEMORY));
        assert_eq!(engine(EngineKind::Cpu, 1).run(Sum { fails: Some(0) }), Err(NO_MEMORY));
    }
}
