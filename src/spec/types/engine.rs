//! `[engine]`: what computes, and how many runs at once; no number of a result depends on it but by kind and precision.
use super::{CpuBf16, Precision};
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EngineKind {
    Auto,
    Cpu,
    Cuda,
    /// The same model through dfdx's reverse-mode autodiff.
    Reference,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EngineSpec {
    pub kind: EngineKind,
    /// Of products, on CUDA of activations too; `None`: bf16 on CUDA, f32 elsewhere. The reference computes in f32.
    pub precision: Option<Precision>,
    /// The order of sums of the processor's bf16 products; `None`: that of the fastest instruction that it has.
    pub cpu_bf16: Option<CpuBf16>,
    /// Runs carried out at once; 0: one per device, or as many as the cores can give threads to, or fewer with more threads each.
    pub workers: usize,
    /// Threads of one rank of a run; results do not depend on it.
    pub threads_per_worker: usize,
    /// CUDA devices to use, by number; none named: all.
    pub devices: Vec<usize>,
    /// Devices that train one model together, each with a share of every batch.
    pub data_parallel: usize,
    /// Whether a run that finds no memory is tried again with half the sequences in one pass.
    pub halve_micro_batch: bool,
}
