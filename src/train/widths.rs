//! Widths of the `direct` arm with `shape = "proportional"`: the source's widths scaled by one factor.
//!
//! With factor s: hidden round(s·d), heads round(s·K) key-value heads with the source's ratio H/K, feed-forward
//! round(s·f). The factor is the largest on a grid of 1/1000 whose model does not exceed the target; the
//! feed-forward width then takes up what is left, so that the count is the largest ≤ target at that hidden
//! width and number of heads.
use crate::model::{LayerShape, ModelConfig};

/// The proportional model with at most `target` parameters; `None` where even the narrowest exceeds it.
pub fn proportional(source: &ModelConfig, target: u64) -> Option<ModelConfig> {
    let scaled = |thousandths: u32| {
        let factor = f64::from(thousandths) / 1000.0;
        let round = |width: usize| ((width as f64 * factor).round() as usize).max(1);
        let layers = source.layers.iter().map(|layer| {
            let num_kv_heads = round(layer.num_kv_heads);
            LayerShape {
                num_heads: num_kv_heads * (layer.num_heads / layer.num_kv_heads),
                num_kv_heads,
                intermediate_size: round(layer.intermediate_size),
            }
        });
        ModelConfig { hidden_size: round(source.hidden_size), layers: layers.collect(), ..source.clone() }
    };
    let mut config = (1..=1000).rev().map(scaled).find(|config| config.num_params() <= target)?;
    // One more feed-forward channel in every layer costs 3·d·L.
    let channel = 3 * config.hidden_size as u64 * config.layers.len() as u64;
    let spare = (target - config.num_params()).checked_div(channel).unwrap_or(0) as usize;
    for layer in &mut config.layers {
        layer.intermediate_size += spare;
    }
    Some(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source() -> ModelConfig {
        ModelConfig {
            vocab_size: 1024,
            hidden_size: 128,
            head_dim: 32,
            tie_word_embeddings: true,
            qkv_bias: false,
            rope_theta: 1e4,
            rms_norm_eps: 1e-5,
            max_position_embeddings: 128,
            layers: vec![LayerShape { num_heads: 4, num_kv_heads: 2, intermediate_size: 384 }; 4],
        }
    }

    #[test]
    fn counts_come_within_one_channel_below_the_target() {
        let full = source().num_params();
        for target in [full / 10, full / 3, full / 2, full * 9 / 10, full] {
            let config = proportional(&source(), target).expect("feasible");
            let channel = 3 * config.hidden_size as u64 * config.layers.len() as u64;
            assert!(config.num_params() <= target && config.num_params() + channel > target);
            assert!(config.layers.iter().all(|l| l.num_heads % l.num_kv_heads == 0));
        }
        assert_eq!(proportional(&source(), full), Some(source()));
        assert_eq!(proportional(&source(), 10), None);
    }
}
