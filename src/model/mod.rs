//! The Llama family, Qwen2's biases included: config with per-layer widths, named parameters, forward and backward,
//! decoding, checkpoints.
pub mod checkpoint;
pub mod config;
pub mod decode;
pub mod engine;
#[cfg(test)]
pub(crate) mod fixtures;
pub mod flops;
pub mod init;
pub mod llama;
pub mod network;
pub mod rank;
pub mod reference;
pub mod scoring;
pub mod weights;

pub use config::{LayerShape, ModelConfig};
pub use engine::{Engine, OnRank};
pub use rank::Rank;
pub use weights::{LayerWeights, QkvBias, Weights};
