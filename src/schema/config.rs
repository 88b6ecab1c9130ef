//! Shape of a Llama-family model whose layers may differ in width.
use super::biases::Biases;
use super::dims::{Axis, Dim};
use super::params::{Param, ParamId, Part};
use super::tree::Weights;
use serde::{Deserialize, Serialize};

/// Widths of one decoder layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerShape {
    /// H: query heads; a multiple of `num_kv_heads`.
    pub num_heads: usize,
    /// K: key-value heads.
    pub num_kv_heads: usize,
    /// f: channels of the SwiGLU feed-forward block.
    pub intermediate_size: usize,
    /// Which RoPE pairs p (of channels p and p + h/2) of the h/2 of a head q and k still have, ascending; `None`: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotary_pairs: Option<Vec<usize>>,
}

impl LayerShape {
    /// A layer with all RoPE pairs.
    pub fn new(num_heads: usize, num_kv_heads: usize, intermediate_size: usize) -> Self {
        LayerShape { num_heads, num_kv_heads, intermediate_size, rotary_pairs: None }
    }

    /// Channels of a head of width `head_dim` that q and k still have, in the order of their rows; `None`: all.
    pub fn rotary_channels(&self, head_dim: usize) -> Option<Vec<usize>> {
        let pairs = self.rotary_pairs.as_ref()?;
        Some(pairs.iter().copied().chain(pairs.iter().map(|pair| pair + head_dim / 2)).collect())
    }
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
    /// Linear layers with a bias. Left out where there are none: files and identities of models without stay as they
    /// were.
    #[serde(rename = "qkv_bias", default, skip_serializing_if = "Biases::is_empty")]
    pub biases: Biases,
    pub rope_theta: f64,
    pub rms_norm_eps: f64,
    /// Longest context that the model was made for.
    pub max_position_embeddings: usize,
    pub layers: Vec<LayerShape>,
}

impl ModelConfig {
    /// The size of a dimension.
    ///
    /// # Panics
    /// On a layer that the model does not have.
    pub fn size(&self, dim: Dim) -> usize {
        match dim {
            Dim::One => 1,
            Dim::Vocab => self.vocab_size,
            Dim::Hidden => self.hidden_size,
            Dim::QueryHead(layer) => self.layers[layer].num_heads,
            Dim::KvHead(layer) => self.layers[layer].num_kv_heads,
            Dim::HeadDim(layer) => match &self.layers[layer].rotary_pairs {
                Some(pairs) => 2 * pairs.len(),
                None => self.head_dim,
            },
            Dim::ValueDim => self.head_dim,
            Dim::Ffn(layer) => self.layers[layer].intermediate_size,
            Dim::Layer => self.layers.len(),
        }
    }

    /// Rows (or columns) along `axis`.
    pub fn length(&self, axis: Axis) -> usize {
        self.size(axis.outer) * self.size(axis.inner)
    }

    /// `[rows, cols]` of a parameter.
    pub fn shape(&self, param: &Param) -> [usize; 2] {
        [self.length(param.rows), self.length(param.cols)]
    }

    /// All parameters; a tied head counts once.
    pub fn num_params(&self) -> u64 {
        self.count(|_| true)
    }

    /// Parameters of embedding and head; a tied head counts once.
    pub fn num_embedding_params(&self) -> u64 {
        self.count(|id| matches!(id, ParamId::Embed | ParamId::Head))
    }

    /// Biases of all layers.
    pub fn num_bias_params(&self) -> u64 {
        self.count(|id| matches!(id, ParamId::Layer(_, Part::Bias(_))))
    }

    /// Elements of the parameters that `wanted` names.
    pub fn count(&self, wanted: impl Fn(ParamId) -> bool) -> u64 {
        let elements = |param: &Param| self.shape(param).map(|n| n as u64).iter().product::<u64>();
        Weights::describe(self).leaves().into_iter().filter(|param| wanted(param.id)).map(elements).sum()
    }

    /// True when all layers have one shape and all RoPE pairs, so that a stock Llama config can describe the model.
    pub fn is_uniform(&self) -> bool {
        self.layers.windows(2).all(|pair| pair[0] == pair[1])
            && self.layers.iter().all(|layer| layer.rotary_pairs.is_none())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Projection;

    /// d = 12, h = 4, V = 50; H, K, f = 4, 2, 20 and 3, 1, 7, of which the second layer has one RoPE pair of two left.
    fn config() -> ModelConfig {
        let narrow = LayerShape { rotary_pairs: Some(vec![1]), ..LayerShape::new(3, 1, 7) };
        ModelConfig {
            vocab_size: 50,
            hidden_size: 12,
            head_dim: 4,
            tie_word_embeddings: true,
            biases: Biases::NONE,
            rope_theta: 10000.0,
            rms_norm_eps: 1e-5,
            max_position_embeddings: 32,
            layers: vec![LayerShape::new(4, 2, 20), narrow],
        }
    }

    #[test]
    fn counts_by_hand() {
        let tied = config();
        // q and o 2·16·12, k and v 2·8·12, ffn 3·20·12; q 6·12, k 2·12, v 4·12, o 12·12, ffn 3·7·12; two norms each.
        let (first, second) = (384 + 192 + 720, 72 + 24 + 48 + 144 + 252);
        assert_eq!(tied.num_embedding_params(), 600);
        assert_eq!(tied.num_params(), 600 + first + second + 12 * (1 + 2 * 2));
        let untied = ModelConfig { tie_word_embeddings: false, ..tied.clone() };
        assert_eq!(untied.num_params(), tied.num_params() + 600);
        assert_eq!(untied.num_embedding_params(), 1200);
        for (biases, count) in [
            (Biases::QKV, (16 + 2 * 8) + (6 + 2 + 4)),
            (Biases::NONE.with(Projection::O).with(Projection::Down), 4 * 12),
            (Biases::MLP, 2 * 20 + 2 * 7 + 2 * 12),
        ] {
            let biased = ModelConfig { biases, ..tied.clone() };
            assert_eq!(biased.num_bias_params(), count);
            assert_eq!(biased.num_params(), tied.num_params() + count);
        }
    }

    #[test]
    fn models_with_all_pairs_and_no_biases_are_written_as_before() {
        let mut config = config();
        assert!(!config.is_uniform());
        config.layers.truncate(1);
        assert!(config.is_uniform());
        let json = serde_json::to_value(&config).unwrap();
        assert_eq!(json.get("qkv_bias"), None);
        assert_eq!(json["layers"][0].as_object().unwrap().len(), 3);
        assert_eq!(serde_json::from_value::<ModelConfig>(json).unwrap(), config);
    }
}
