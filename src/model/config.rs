//! Shape of a Llama-family model whose layers may differ in width.
use serde::{Deserialize, Serialize};

/// Widths of one decoder layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerShape {
    /// H: query heads; a multiple of `num_kv_heads`.
    pub num_heads: usize,
    /// K: key-value heads.
    pub num_kv_heads: usize,
    /// f: channels of the SwiGLU feed-forward block.
    pub intermediate_size: usize,
}

/// A Llama-family model. `head_dim` does not depend on `hidden_size`, so that the stem can be pruned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelConfig {
    pub vocab_size: usize,
    /// d
    pub hidden_size: usize,
    /// h: even, since RoPE rotates pairs (p, p + h/2).
    pub head_dim: usize,
    pub tie_word_embeddings: bool,
    /// Whether q, k and v have biases (Qwen2). Left out where false: files and identities of models without stay as
    /// they were.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub qkv_bias: bool,
    pub rope_theta: f64,
    pub rms_norm_eps: f64,
    /// Longest context that the model was made for.
    pub max_position_embeddings: usize,
    pub layers: Vec<LayerShape>,
}

impl ModelConfig {
    /// All parameters; a tied head counts once.
    pub fn num_params(&self) -> u64 {
        let (v, d) = (self.vocab_size as u64, self.hidden_size as u64);
        let head = if self.tie_word_embeddings { 0 } else { v * d };
        v * d + head + d + self.layers.iter().map(|layer| self.layer_params(layer)).sum::<u64>()
    }

    /// Parameters of embedding and head; a tied head counts once.
    pub fn num_embedding_params(&self) -> u64 {
        let tables = if self.tie_word_embeddings { 1 } else { 2 };
        tables * self.vocab_size as u64 * self.hidden_size as u64
    }

    /// Parameters of one layer: two norms, q and o (H·h × d), k and v (K·h × d), gate, up and down (f × d), and the
    /// biases.
    pub fn layer_params(&self, layer: &LayerShape) -> u64 {
        let (d, h) = (self.hidden_size as u64, self.head_dim as u64);
        let (heads, kv) = (layer.num_heads as u64, layer.num_kv_heads as u64);
        let matrices = 2 * heads * h * d + 2 * kv * h * d + 3 * layer.intermediate_size as u64 * d;
        2 * d + matrices + self.layer_bias_params(layer)
    }

    /// Biases of q (H·h), k and v (K·h) of one layer, where the model has them.
    pub fn layer_bias_params(&self, layer: &LayerShape) -> u64 {
        let rows = (layer.num_heads + 2 * layer.num_kv_heads) * self.head_dim;
        if self.qkv_bias { rows as u64 } else { 0 }
    }

    /// True when all layers have one shape, so that a stock Llama config can describe the model.
    pub fn is_uniform(&self) -> bool {
        self.layers.windows(2).all(|pair| pair[0] == pair[1])
    }
}
