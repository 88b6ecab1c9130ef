//! The precision of the CUDA engine, as a plain value: `spec` reads it from the user's file, `tensor` computes in it, and
//! neither knows the other.
use serde::{Deserialize, Serialize};

/// What the CUDA engine computes with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// Activations and products in bf16; sums, gradients and masters of the weights in f32.
    Bf16,
    F32,
}
