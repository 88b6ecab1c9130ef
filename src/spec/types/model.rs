//! `[model]` and `[source]`: the model that is pruned.
use super::TrainSpec;
use crate::schema::{Biases, LayerShape, ModelConfig};
use serde::{Deserialize, Serialize};

/// Shape of the source model; all layers alike.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelSpec {
    pub hidden_size: usize,
    pub num_layers: usize,
    pub num_heads: usize,
    pub num_kv_heads: usize,
    pub head_dim: usize,
    pub intermediate_size: usize,
    pub tie_word_embeddings: bool,
    pub rope_theta: f64,
    pub rms_norm_eps: f64,
    /// Linear layers with a bias: those of a model from disk; models that are trained here have none.
    #[serde(rename = "qkv_bias", default, skip_serializing_if = "Biases::is_empty")]
    pub biases: Biases,
}

impl ModelSpec {
    /// The shape of the source model over a vocabulary of `vocab_size`.
    pub fn config(&self, vocab_size: usize, context_length: usize) -> ModelConfig {
        let layer = LayerShape::new(self.num_heads, self.num_kv_heads, self.intermediate_size);
        ModelConfig {
            vocab_size,
            hidden_size: self.hidden_size,
            head_dim: self.head_dim,
            tie_word_embeddings: self.tie_word_embeddings,
            biases: self.biases,
            rope_theta: self.rope_theta,
            rms_norm_eps: self.rms_norm_eps,
            max_position_embeddings: context_length,
            layers: vec![layer; self.num_layers],
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SourceSpec {
    /// Pretraining tokens of the source model; `None` for one from disk of which nobody says how many it has seen.
    pub tokens: Option<u64>,
    /// Train a source per seed (true) or share the first seed's among all replicates (false).
    pub per_seed: bool,
    /// A model that exists already, in the place of one that is pretrained here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<SourceModel>,
}

/// A source model from disk; what it is, is told by the contents of its files.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SourceModel {
    /// Folder or file.
    pub path: String,
    /// Every file of it that can change a number.
    pub files: Vec<String>,
}

impl SourceSpec {
    /// Tokens of the training stream that the source was made from: none of a model from disk.
    pub fn stream_tokens(&self) -> u64 {
        if self.model.is_some() { 0 } else { self.tokens.unwrap_or_default() }
    }

    /// What a budget counts of all that the source was trained on, a model from disk elsewhere.
    pub fn counted_tokens(&self, share: f64) -> u64 {
        let tokens = self.tokens.unwrap_or_default();
        if share == 1.0 { tokens } else { (tokens as f64 * share).floor() as u64 }
    }

    /// Those of whole steps before a WSD schedule decays: what a branch starts from.
    pub fn stable_tokens(&self, train: &TrainSpec) -> u64 {
        let (tokens, batch) = (self.stream_tokens(), train.batch_tokens.max(1) as u64);
        (tokens as f64 * (1.0 - train.decay_fraction)) as u64 / batch * batch
    }
}
