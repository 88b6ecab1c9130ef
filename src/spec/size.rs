//! Parameter counts of what an experiment asks for: what the source has, and the least that pruning can leave.
use super::types::{FixedShape, GroupType, ModelSpec, PruneSpec, Target};
use crate::schema::{Dim, ModelConfig};

/// All parameters of a model of shape `model` over a vocabulary of `vocab_size`; a tied head counts once.
pub fn num_params(model: &ModelSpec, vocab_size: usize) -> u64 {
    model.config(vocab_size, 1).num_params()
}

/// Parameters of embedding and head of that model.
pub fn num_embedding_params(model: &ModelSpec, vocab_size: usize) -> u64 {
    model.config(vocab_size, 1).num_embedding_params()
}

/// The smallest shape that `prune` can reach from `source`: every prunable type at its floor.
pub fn smallest(source: &ModelConfig, prune: &PruneSpec) -> ModelConfig {
    let cut = prune.cut();
    let mut least = source.clone();
    for kind in GroupType::ALL.into_iter().filter(|kind| prune.types.contains(kind)) {
        for place in 0..kind.places(&least) {
            let gone = kind.count(cut, &least, place).saturating_sub(prune.floor(kind).1.max(1));
            least = kind.smaller(cut, &least, place, gone);
        }
    }
    least
}

impl PruneSpec {
    /// The most that the pruned model may have of what the target counts.
    pub fn limit(&self, source: &ModelConfig) -> u64 {
        let (params, embedding) = (source.num_params(), source.num_embedding_params());
        match &self.fixed_shape {
            // A shape that cannot be reached is refused before anything is pruned.
            Some(shape) => shape.config(source).map_or(params, |config| config.num_params()),
            None => self.target.limit(self.target.counted(params, embedding)),
        }
    }
}

impl PruneSpec {
    /// The same groups and rules, with the widths of `shape` in the place of the target.
    pub fn to_widths_of(&self, shape: &ModelConfig) -> PruneSpec {
        PruneSpec { target: Target::FixedShape, fixed_shape: Some(FixedShape::of(shape)), ..self.clone() }
    }
}

impl FixedShape {
    /// The widths of a model.
    pub fn of(config: &ModelConfig) -> FixedShape {
        let widths = |dim: fn(usize) -> Dim| -> Vec<usize> {
            let mut widths: Vec<usize> = (0..config.layers.len()).map(|i| config.size(dim(i))).collect();
            // One number for all layers also holds where some of the source's are gone.
            if widths.windows(2).all(|pair| pair[0] == pair[1]) {
                widths.truncate(1);
            }
            widths
        };
        FixedShape {
            hidden_size: Some(config.hidden_size),
            num_layers: Some(config.layers.len()),
            num_heads: widths(Dim::QueryHead),
            num_kv_heads: widths(Dim::KvHead),
            head_dim: widths(Dim::HeadDim),
            intermediate_size: widths(Dim::Ffn),
        }
    }

    /// These widths in a model of the source's shape.
    ///
    /// # Errors
    /// In words: lists of another length than the layers, widths of nothing.
    pub fn config(&self, source: &ModelConfig) -> Result<ModelConfig, String> {
        let mut config = source.clone();
        config.hidden_size = self.hidden_size.unwrap_or(source.hidden_size);
        let layers = source.layers.len();
        for (key, widths) in [
            ("num_heads", &self.num_heads),
            ("num_kv_heads", &self.num_kv_heads),
            ("head_dim", &self.head_dim),
            ("intermediate_size", &self.intermediate_size),
        ] {
            if !matches!(widths.len(), 0 | 1) && widths.len() != layers {
                return Err(format!(
                    "{} numbers for {key}; nearest valid: 1, {layers} (one for each layer)",
                    widths.len()
                ));
            }
        }
        let odd = |channels: &&usize| !channels.is_multiple_of(2) || **channels > source.head_dim;
        if let Some(channels) = self.head_dim.iter().find(odd) {
            let nearest = (channels - channels % 2).clamp(2, source.head_dim);
            return Err(format!(
                "{channels} channels for head_dim, two for each RoPE pair; nearest valid: {nearest}"
            ));
        }
        let wanted = |widths: &[usize], layer: usize| widths.get(layer).or(widths.first()).copied();
        for (i, layer) in config.layers.iter_mut().enumerate() {
            let ratio = layer.num_heads / layer.num_kv_heads.max(1);
            if let Some(heads) = wanted(&self.num_kv_heads, i) {
                (layer.num_kv_heads, layer.num_heads) = (heads, heads * ratio);
            }
            layer.num_heads = wanted(&self.num_heads, i).unwrap_or(layer.num_heads);
            layer.intermediate_size = wanted(&self.intermediate_size, i).unwrap_or(layer.intermediate_size);
            if let Some(channels) = wanted(&self.head_dim, i).filter(|channels| *channels < source.head_dim) {
                layer.rotary_pairs = Some((0..channels / 2).collect());
            }
            if layer.num_heads == 0 || !layer.num_heads.is_multiple_of(layer.num_kv_heads) {
                return Err(format!(
                    "{} heads are no multiple of {} key-value heads",
                    layer.num_heads, layer.num_kv_heads
                ));
            }
        }
        if let Some(left) = self.num_layers {
            if left > layers {
                return Err(format!("{left} layers of the source's {layers}"));
            }
            config.layers.truncate(left);
        }
        Ok(config)
    }
}

impl Target {
    /// Whether parameters of embedding and head count towards the target.
    pub fn counts_embedding(self) -> bool {
        !matches!(self, Target::NonEmbeddingRatio(_))
    }

    /// What the target counts of a model with `params` parameters, `embedding` of them in embedding and head.
    pub fn counted(self, params: u64, embedding: u64) -> u64 {
        if self.counts_embedding() { params } else { params - embedding }
    }

    /// The most that the pruned model may have of what is counted, `source_count` being the source's: the number
    /// itself, or the share, rounded down.
    pub fn limit(self, source_count: u64) -> u64 {
        match self {
            Target::Params(params) => params,
            Target::Ratio(ratio) | Target::NonEmbeddingRatio(ratio) => {
                (ratio * source_count as f64).floor() as u64
            }
            Target::FixedShape => source_count,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Biases;

    #[test]
    fn counts_a_small_model_by_hand() {
        // d = 4, L = 2, H = 2, K = 1, h = 2, f = 3, V = 5, tied.
        // Embedding 20, final norm 4; a layer: norms 8, q and o 2·(4·4) = 32, k and v 2·(2·4) = 16, ffn 3·12 = 36.
        let model = ModelSpec {
            hidden_size: 4,
            num_layers: 2,
            num_heads: 2,
            num_kv_heads: 1,
            head_dim: 2,
            intermediate_size: 3,
            tie_word_embeddings: true,
            rope_theta: 10_000.0,
            rms_norm_eps: 1e-5,
            biases: Biases::NONE,
        };
        assert_eq!(num_params(&model, 5), 20 + 4 + 2 * (8 + 32 + 16 + 36));
        assert_eq!(num_embedding_params(&model, 5), 20);
        // (2 + 2·1)·2 biases in each layer.
        assert_eq!(num_params(&ModelSpec { biases: Biases::QKV, ..model.clone() }, 5), 20 + 4 + 2 * (92 + 8));
        let untied = ModelSpec { tie_word_embeddings: false, ..model };
        assert_eq!(num_params(&untied, 5), 40 + 4 + 2 * 92);
        assert_eq!(num_embedding_params(&untied, 5), 40);
    }

    #[test]
    fn ratios_round_down() {
        assert_eq!(Target::Ratio(0.5).limit(101), 50);
        assert_eq!(Target::Params(7).limit(101), 7);
    }

    #[test]
    fn the_embedding_counts_unless_the_target_leaves_it_out() {
        assert_eq!(Target::Ratio(0.5).counted(100, 30), 100);
        assert_eq!(Target::NonEmbeddingRatio(0.5).counted(100, 30), 70);
        assert_eq!(Target::NonEmbeddingRatio(0.5).limit(71), 35);
    }
}
