//! Shapes, buffers, the [`Backend`] trait and its implementations ([`cpu`], [`cuda`]), and sums over several of them ([`ranks`]).
//!
//! Legend used by every file of the engine:
//!
//! ```text
//! B sequences in a micro-batch      T context length          N = B·T tokens
//! V vocabulary                      d hidden width (stem)     f feed-forward width
//! H query heads, K key-value heads  h head dim                W (d_out × d_in), y = x Wᵀ
//! ```
//!
//! Every tensor is a dense row-major matrix to its users, however its backend holds it; a vector is a matrix with one row.
//! Activations are N × width.
pub mod backend;
pub(crate) mod by_parts;
#[cfg(test)]
pub mod conformance;
pub mod cpu;
pub mod cuda;
pub mod distillation;
pub mod ranks;
pub mod unwind;

pub use crate::base::precision::CpuBf16;
pub use backend::{
    Accumulation, AdamwLeaf, AdamwStep, AttentionShape, Backend, CachedShape, ElementScore, Held, Margins,
    Norm, PackedSegment, PackedShape, Pointwise, Positions, Product, Retained, RopeTable, SCORING_PASS_ROWS,
    Scalar, ScoreLeaf,
};
pub use cpu::{CpuBackend, Matrix};
pub use cuda::device::DeviceError;
pub use distillation::{Distillation, TeacherHead};
pub use ranks::{Alone, Communicator, RankError};
