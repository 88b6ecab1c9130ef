//! What pruning costs, in floating-point operations (a multiply–add counts two), for the ledger.
//!
//! ```text
//! saliency, per event     flops_per_parameter · (parameters of the tensors that are scored)
//! squared gradients       3·P per sequence or micro-batch: square, scale, add
//! update, per linear      n³/3 + 2·n²·s + 2·n·s² + 2·d_out·n·s, the factor n³/3 once per input   (second moments)
//!                         2·d_out·s                                                              (biases)
//! ```
//!
//! n inputs of a linear, s of them removed. What statistics cost while text passes is theirs to say
//! ([`statistics`](super::statistics)). Scoring what is small beside it (norms, sums over groups) is left out.
use super::groups::Groups;
use super::survivors::Survivors;
use crate::model::ModelConfig;
use crate::spec::{GroupType, Saliency, Update};

/// Scoring all groups once, as before every event.
pub fn saliency_flops(saliency: Saliency, groups: &Groups, config: &ModelConfig) -> u64 {
    let [v, d, h] = [config.vocab_size, config.hidden_size, config.head_dim].map(|n| n as u64);
    let stem = groups.allows(GroupType::Stem);
    let attention = stem || groups.allows(GroupType::Head);
    let ffn = stem || groups.allows(GroupType::Ffn);
    let mut parameters = match (stem, config.tie_word_embeddings) {
        (false, _) => 0,
        (true, true) => v * d,
        (true, false) => 2 * v * d,
    };
    if groups.allows(GroupType::Head) {
        parameters += config.num_bias_params();
    }
    for layer in &config.layers {
        if attention {
            parameters += 2 * (layer.num_heads + layer.num_kv_heads) as u64 * h * d;
        }
        if ffn {
            parameters += 3 * layer.intermediate_size as u64 * d;
        }
    }
    saliency.flops_per_parameter * parameters
}

/// Adding one sequence's or micro-batch's squared gradients.
pub fn unit_flops(config: &ModelConfig) -> u64 {
    3 * config.num_params()
}

/// The update of one event that keeps `kept` of a model of shape `config`.
pub fn update_flops(update: Update, config: &ModelConfig, kind: GroupType, kept: &Survivors) -> u64 {
    if update.changes_nothing() {
        return 0;
    }
    let d = config.hidden_size;
    let input = |n: usize, s: usize, linears: usize, outputs: usize| {
        update.flops([n, s, linears, outputs].map(|x| x as u64))
    };
    let layers = config.layers.iter().zip(&kept.layers);
    let layers: u64 = layers
        .map(|(shape, kept_here)| match kind {
            GroupType::Ffn => {
                let f = shape.intermediate_size;
                input(f, f - kept_here.ffn.len(), 1, d)
            }
            GroupType::Head => {
                let removed = shape.num_heads - kept_here.query_heads.len();
                input(shape.num_heads * config.head_dim, removed * config.head_dim, 1, d)
            }
            GroupType::Stem => {
                let s = d - kept.stem.len();
                let attention = (shape.num_heads + 2 * shape.num_kv_heads) * config.head_dim;
                input(d, s, 3, attention) + input(d, s, 2, 2 * shape.intermediate_size)
            }
        })
        .sum();
    let has_head = kind == GroupType::Stem && !config.tie_word_embeddings;
    layers + if has_head { input(d, d - kept.stem.len(), 1, config.vocab_size) } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Biases;
    use crate::prune::testing::{small_config, small_spec};
    use crate::spec::PruneSpec;

    #[test]
    fn counts_by_hand() {
        // V = 10, d = 12, L = 2, H = 6, K = 3, h = 2, f = 8; tied, so P = 1620, of which norms 5·12.
        let config = small_config(true);
        let all = Groups::new(&small_spec(), &config).unwrap();
        assert_eq!(saliency_flops(Saliency::TAYLOR_MIX, &all, &config), 8 * (1620 - 60));
        let ffn_only = PruneSpec { types: vec![GroupType::Ffn], ..small_spec() };
        let ffn = Groups::new(&ffn_only, &config).unwrap();
        assert_eq!(saliency_flops(Saliency::TAYLOR1, &ffn, &config), 4 * 2 * 3 * 8 * 12);
        assert_eq!(unit_flops(&config), 3 * 1620);
        // Biases: (6 + 2·3)·2 per layer, scored with the heads.
        let biased = ModelConfig { biases: Biases::QKV, ..config.clone() };
        assert_eq!(unit_flops(&biased), 3 * (1620 + 48));
        assert_eq!(saliency_flops(Saliency::TAYLOR_MIX, &all, &biased), 8 * (1620 - 60 + 48));
        let kept = all.without(GroupType::Ffn, &config, &[0, 0]);
        // n = 8, s = 1, d_out = 12: 512/3 + 2·64 + 2·8 + 2·12·8 = 170 + 128 + 16 + 192.
        assert_eq!(update_flops(Update::LAYERWISE, &config, GroupType::Ffn, &kept), 2 * 506);
        assert_eq!(update_flops(Update::NONE, &config, GroupType::Ffn, &kept), 0);
    }
}
