//! The precision that an engine computes with, as plain values: `spec` reads them from the user's file, `tensor` computes in
//! them, and neither knows the other.
use serde::{Deserialize, Serialize};

/// What an engine computes with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// Operands of products in bf16, on CUDA all activations; sums, gradients and masters of the weights in f32.
    Bf16,
    F32,
}

impl Precision {
    /// As in experiments and records.
    pub fn name(self) -> &'static str {
        match self {
            Precision::Bf16 => "bf16",
            Precision::F32 => "f32",
        }
    }
}

/// The instructions whose order of summation bf16 products follow on the processor; the two give different bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CpuBf16 {
    /// `VDPBF16PS`: one chain of sums, pair by pair.
    Avx512Bf16,
    /// `TDPBF16PS`: chains of 16 pairs, their even and odd elements apart.
    AmxBf16,
}

impl CpuBf16 {
    /// As in `/proc/cpuinfo`, experiments and records.
    pub fn name(self) -> &'static str {
        match self {
            CpuBf16::Avx512Bf16 => "avx512_bf16",
            CpuBf16::AmxBf16 => "amx_bf16",
        }
    }
}

/// Elements of a model that the engine on the processor keeps as its products in f32 read them, at most: 1 GiB for each of the two
/// sides that products take a weight from. The weights of a larger model are packed for each product.
pub const MOST_HELD_IN_F32: usize = 1 << 28;
