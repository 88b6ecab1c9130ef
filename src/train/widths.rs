//! Widths of the `direct` arm with `shape = "proportional"`: the source's widths scaled by one factor.
//!
//! With factor s: hidden round(s·d), heads round(s·K) key-value heads with the source's ratio H/K, feed-forward
//! round(s·f). The factor is the largest on a grid of 1/1000 whose model does not exceed the target; the
//! feed-forward width then takes up what is left, so that the count is the largest ≤ target at that hidden
//! width and number of heads.
use crate::model::{LayerShape, ModelConfig};
use crate::prune::Goal;

/// The largest proportional model that meets `goal`; `None` where even the narrowest exceeds it.
pub fn proportional(source: &ModelConfig, goal: Goal) -> Option<ModelConfig> {
    let scaled = |thousandths: u32| {
        let factor = f64::from(thousandths) / 1000.0;
        let round = |width: usize| ((width as f64 * factor).round() as usize).max(1);
        let layers = source.layers.iter().map(|layer| {
            let num_kv_heads = round(layer.num_kv_heads);
            let num_heads = num_kv_heads * (layer.num_heads / layer.num_kv_heads);
            LayerShape::new(num_heads, num_kv_heads, round(layer.intermediate_size))
        });
        ModelConfig { hidden_size: round(source.hidden_size), layers: layers.collect(), ..source.clone() }
    };
    let config = (1..=1000).rev().map(scaled).find(|config| goal.count(config) <= goal.limit)?;
    let wider = |channels: usize| {
        let mut wider = config.clone();
        wider.layers.iter_mut().for_each(|layer| layer.intermediate_size += channels);
        wider
    };
    // One more feed-forward channel in every layer costs 3·d·L, and what biases there are.
    let count = goal.count(&config);
    let channel = goal.count(&wider(1)) - count;
    let spare = (goal.limit - count).checked_div(channel).unwrap_or(0) as usize;
    Some(wider(spare))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Biases;

    fn source() -> ModelConfig {
        ModelConfig {
            vocab_size: 1024,
            hidden_size: 128,
            head_dim: 32,
            tie_word_embeddings: true,
            biases: Biases::NONE,
            rope_theta: 1e4,
            rms_norm_eps: 1e-5,
            max_position_embeddings: 128,
            layers: vec![LayerShape::new(4, 2, 384); 4],
        }
    }

    #[test]
    fn counts_come_within_one_channel_below_the_target() {
        for counts_embedding in [true, false] {
            let goal = |limit| Goal { limit, counts_embedding };
            let full = goal(0).count(&source());
            for target in [full / 10, full / 3, full / 2, full * 9 / 10, full] {
                let config = proportional(&source(), goal(target)).expect("feasible");
                let channel = 3 * config.hidden_size as u64 * config.layers.len() as u64;
                let count = goal(target).count(&config);
                assert!(count <= target && count + channel > target);
                assert!(config.layers.iter().all(|l| l.num_heads % l.num_kv_heads == 0));
            }
            assert_eq!(proportional(&source(), goal(full)), Some(source()));
            assert_eq!(proportional(&source(), goal(10)), None);
        }
    }

    /// A channel of a model with biases costs those of gate and up, too.
    #[test]
    fn biases_of_channels_count() {
        let source = ModelConfig { biases: Biases::MLP, ..source() };
        for target in (100_000..source.num_params()).step_by(997) {
            let goal = Goal { limit: target, counts_embedding: true };
            let found = proportional(&source, goal).map(|config| config.num_params());
            assert!(found.is_none_or(|params| params <= target), "{found:?} of {target}");
        }
    }
}
