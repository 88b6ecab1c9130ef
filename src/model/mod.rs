//! The Llama family, Qwen2's biases included: forward and backward passes,
//! decoding, checkpoints.
pub mod bias;
pub mod checkpoint;
pub mod decode;
pub mod divergence;
pub mod engine;
#[cfg(test)]
pub(crate) mod fixtures;
pub mod init;
pub mod llama;
pub mod network;
mod project;
pub mod rank;
pub mod reference;
pub mod scoring;
pub mod taps;

/// The description of the family stands below `spec`; here it gets tensors.
pub use crate::schema::{
    Biases, LayerShape, LayerWeights, Linear, ModelConfig, Weights, config, flops, tree as weights,
};
pub use engine::{Engine, OnRank};
pub use rank::Rank;
