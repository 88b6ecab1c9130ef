//! What pruning costs, in floating-point operations (a multiply–add counts two), for the ledger.
//!
//! ```text
//! saliency, per event     flops_per_parameter · (parameters of the tensors that are scored)
//! Fisher, per micro-batch 3·P                          F ← F + g²/n: square, scale, add
//! gram, per N tokens      Σ_ℓ 2·N·n² over its four inputs
//! layerwise, per linear   n³/3 + 2·n²·s + 2·n·s² + 2·d_out·n·s, the factor n³/3 once per input
//! ```
//!
//! n inputs of a linear, s of them removed. Scoring what is small beside it (norms, sums over groups) is left out.
use super::groups::Groups;
use super::saliency;
use super::survivors::Survivors;
use crate::model::ModelConfig;
use crate::spec::{GroupType, Saliency};
use crate::tensor::Backend;

/// Scoring all groups once, as before every event.
pub fn saliency_flops<B: Backend>(saliency: Saliency, groups: &Groups, config: &ModelConfig) -> u64 {
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
    saliency::rule::<B>(saliency).flops_per_parameter() * parameters
}

/// Adding one micro-batch's squared gradients to the Fisher diagonal.
pub fn fisher_flops(config: &ModelConfig) -> u64 {
    3 * config.num_params()
}

/// Adding `tokens` tokens to the grams of every layer.
pub fn gram_flops(config: &ModelConfig, tokens: u64) -> u64 {
    let d = config.hidden_size as u64;
    let squares = config.layers.iter().map(|layer| {
        let wide = (layer.num_heads * config.head_dim) as u64;
        2 * d * d + wide * wide + (layer.intermediate_size as u64).pow(2)
    });
    2 * tokens * squares.sum::<u64>()
}

/// The layerwise update of one event that keeps `kept` of a model of shape `config`.
pub fn layerwise_update_flops(config: &ModelConfig, kind: GroupType, kept: &Survivors) -> u64 {
    let d = config.hidden_size;
    // One input of width n with s columns removed, read by linears of `outputs` rows in all (in `linears` matrices).
    let input = |n: usize, s: usize, linears: u64, outputs: usize| {
        let [n, s, outputs] = [n, s, outputs].map(|x| x as u64);
        n.pow(3) / 3 + linears * (2 * n * n * s + 2 * n * s * s) + 2 * outputs * n * s
    };
    let layers = config.layers.iter().zip(&kept.layers);
    layers
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
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Biases;
    use crate::prune::testing::{small_config, small_spec};
    use crate::spec::PruneSpec;
    use crate::tensor::CpuBackend;

    #[test]
    fn counts_by_hand() {
        // V = 10, d = 12, L = 2, H = 6, K = 3, h = 2, f = 8; tied, so P = 1620, of which norms 5·12.
        let config = small_config(true);
        let all = Groups::new(&small_spec(), &config).unwrap();
        assert_eq!(saliency_flops::<CpuBackend<f32>>(Saliency::TaylorMix, &all, &config), 8 * (1620 - 60));
        let ffn_only = PruneSpec { types: vec![GroupType::Ffn], ..small_spec() };
        let ffn = Groups::new(&ffn_only, &config).unwrap();
        assert_eq!(saliency_flops::<CpuBackend<f32>>(Saliency::Taylor1, &ffn, &config), 4 * 2 * 3 * 8 * 12);
        assert_eq!(fisher_flops(&config), 3 * 1620);
        // Biases: (6 + 2·3)·2 per layer, scored with the heads.
        let biased = ModelConfig { biases: Biases::QKV, ..config.clone() };
        assert_eq!(fisher_flops(&biased), 3 * (1620 + 48));
        assert_eq!(
            saliency_flops::<CpuBackend<f32>>(Saliency::TaylorMix, &all, &biased),
            8 * (1620 - 60 + 48)
        );
        assert_eq!(gram_flops(&config, 5), 2 * 5 * 2 * (144 + 144 + 144 + 64));
        let kept = all.without(GroupType::Ffn, &config, &[0, 0]);
        // n = 8, s = 1, d_out = 12: 512/3 + 2·64 + 2·8 + 2·12·8 = 170 + 128 + 16 + 192.
        assert_eq!(layerwise_update_flops(&config, GroupType::Ffn, &kept), 2 * 506);
    }
}
