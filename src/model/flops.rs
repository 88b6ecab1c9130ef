//! FLOPs of a forward pass, counted from the shapes.
//!
//! ```text
//! products      2 · (Σ weights of all linear layers + V·d for the head)          per token
//! attention     2 · 2 · H·h · (T + 1)/2  per layer: q kᵀ and p v over the visible keys, mean over positions
//! ```
//!
//! What is done once per element is left out: norms, RoPE, softmax, SwiGLU, biases.
use super::config::ModelConfig;

/// FLOPs of one forward pass per token at context length T.
pub fn forward_flops_per_token(config: &ModelConfig, context_length: usize) -> f64 {
    let (d, h) = (config.hidden_size as f64, config.head_dim as f64);
    let layers: f64 = config
        .layers
        .iter()
        .map(|layer| {
            let (heads, kv) = (layer.num_heads as f64, layer.num_kv_heads as f64);
            let weights = 2.0 * heads * h * d + 2.0 * kv * h * d + 3.0 * layer.intermediate_size as f64 * d;
            2.0 * weights + 4.0 * heads * h * (context_length as f64 + 1.0) / 2.0
        })
        .sum();
    layers + 2.0 * config.vocab_size as f64 * d
}

/// FLOPs of a training step per token: forward, gradients of inputs, gradients of weights.
pub fn training_flops_per_token(config: &ModelConfig, context_length: usize) -> f64 {
    3.0 * forward_flops_per_token(config, context_length)
}
