//! FLOPs of a forward pass, counted from the shapes.
//!
//! ```text
//! products      2 · (Σ weights of all linear layers + V·d for the head)                per token
//! attention     2 · H·(n + h) · (T + 1)/2  per layer: q kᵀ (n channels) and p v (h) over the visible keys, mean over positions
//! ```
//!
//! What is done once per element is left out: norms, RoPE, softmax, SwiGLU, biases.
use super::config::ModelConfig;
use super::dims::Dim;
use super::params::{ParamId, Part};

/// FLOPs of one forward pass per token at context length T.
pub fn forward_flops_per_token(config: &ModelConfig, context_length: usize) -> f64 {
    let products = config.count(|id| matches!(id, ParamId::Layer(_, Part::Weight(_))));
    let attention = (0..config.layers.len()).map(|layer| {
        let [heads, rotary, value] =
            [Dim::QueryHead(layer), Dim::HeadDim(layer), Dim::ValueDim].map(|dim| config.size(dim) as f64);
        2.0 * heads * (rotary + value) * (context_length as f64 + 1.0) / 2.0
    });
    let head = config.vocab_size as f64 * config.hidden_size as f64;
    2.0 * products as f64 + attention.sum::<f64>() + 2.0 * head
}

/// FLOPs of a training step per token: forward, gradients of inputs, gradients of weights.
pub fn training_flops_per_token(config: &ModelConfig, context_length: usize) -> f64 {
    3.0 * forward_flops_per_token(config, context_length)
}
