//! Parameter counts of what an experiment asks for: what the source has, and the least that pruning can leave.
use super::types::{GroupType, HeadUnit, ModelSpec, PruneSpec, Target};

/// All parameters of a model of shape `model` over a vocabulary of `vocab_size`; a tied head counts once.
pub fn num_params(model: &ModelSpec, vocab_size: usize) -> u64 {
    model.config(vocab_size, 1).num_params()
}

/// Parameters of embedding and head of that model.
pub fn num_embedding_params(model: &ModelSpec, vocab_size: usize) -> u64 {
    model.config(vocab_size, 1).num_embedding_params()
}

/// The smallest shape that `prune` can reach from `model`: every prunable type at its floor.
pub fn smallest(model: &ModelSpec, prune: &PruneSpec) -> ModelSpec {
    let mut least = model.clone();
    let has = |kind| prune.types.contains(&kind);
    if has(GroupType::Ffn) {
        least.intermediate_size = model.intermediate_size.min(prune.min_ffn * prune.block);
    }
    if has(GroupType::Stem) {
        least.hidden_size = model.hidden_size.min(prune.min_stem * prune.block);
    }
    if has(GroupType::Head) {
        let ratio = model.num_heads / model.num_kv_heads;
        match prune.head_unit {
            HeadUnit::KvGroup => {
                least.num_kv_heads = model.num_kv_heads.min(prune.min_heads);
                least.num_heads = least.num_kv_heads * ratio;
            }
            HeadUnit::QueryPerGroup => least.num_heads = model.num_kv_heads * ratio.min(prune.min_heads),
        }
    }
    least
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
