//! Small random models for tests: the shapes that have gone wrong somewhere before.
use rand::RngExt;

use super::{Biases, LayerShape, ModelConfig, Weights};
use crate::base::random::stream;
use crate::schema::{ParamKind, Projection};
use crate::tensor::Scalar;
use crate::tensor::cpu::Matrix;

/// A config with layers `(num_heads, num_kv_heads, intermediate_size)`.
pub(crate) fn config(
    vocab_size: usize,
    hidden_size: usize,
    head_dim: usize,
    tied: bool,
    layers: &[(usize, usize, usize)],
) -> ModelConfig {
    ModelConfig {
        vocab_size,
        hidden_size,
        head_dim,
        tie_word_embeddings: tied,
        biases: Biases::NONE,
        rope_theta: 100.0,
        rms_norm_eps: 1e-5,
        max_position_embeddings: 64,
        layers: layers
            .iter()
            .map(|&(num_heads, num_kv_heads, intermediate_size)| {
                LayerShape::new(num_heads, num_kv_heads, intermediate_size)
            })
            .collect(),
    }
}

/// The same shape with biases of q, k and v.
pub(crate) fn biased(config: ModelConfig) -> ModelConfig {
    ModelConfig { biases: Biases::QKV, ..config }
}

/// The same shape with biases of all linear layers.
pub(crate) fn all_biased(config: ModelConfig) -> ModelConfig {
    ModelConfig { biases: Projection::ALL.into_iter().collect(), ..config }
}

/// The same shape with these RoPE pairs in q and k of the first layers.
pub(crate) fn with_pairs(mut config: ModelConfig, pairs: &[&[usize]]) -> ModelConfig {
    for (layer, pairs) in config.layers.iter_mut().zip(pairs) {
        layer.rotary_pairs = Some(pairs.to_vec());
    }
    config
}

/// Named shapes with a batch each: `(name, config, sequences B, length T)`.
pub(crate) fn cases() -> Vec<(&'static str, ModelConfig, usize, usize)> {
    vec![
        ("mha_tied", config(11, 8, 4, true, &[(2, 2, 6), (2, 2, 6)]), 2, 5),
        ("gqa_untied", config(13, 8, 2, false, &[(4, 2, 10)]), 3, 4),
        ("mqa_per_layer_widths", config(9, 6, 4, true, &[(3, 1, 5), (2, 2, 1), (1, 1, 7)]), 2, 6),
        ("odd_widths_untied", config(7, 5, 6, false, &[(3, 3, 3), (3, 1, 9)]), 1, 7),
        ("biased_gqa", biased(config(13, 8, 4, false, &[(2, 1, 6), (2, 1, 6)])), 2, 5),
        ("biased_per_layer_widths", biased(config(9, 6, 4, true, &[(3, 1, 5), (2, 2, 3)])), 2, 4),
        ("all_biased", all_biased(config(9, 6, 4, true, &[(3, 1, 5), (2, 2, 3)])), 2, 4),
        (
            "fewer_rotary_pairs",
            with_pairs(config(9, 6, 8, false, &[(4, 2, 5), (2, 1, 3), (1, 1, 4)]), &[&[0, 3], &[2]]),
            2,
            5,
        ),
        (
            "all_biased_fewer_rotary_pairs",
            with_pairs(all_biased(config(7, 6, 6, true, &[(2, 1, 4), (3, 3, 2)])), &[&[1], &[0, 2]]),
            2,
            4,
        ),
        ("one_token", config(10, 8, 4, true, &[(2, 1, 6)]), 1, 1),
        ("one_position", config(10, 8, 4, false, &[(2, 1, 6)]), 4, 1),
        ("one_channel", config(5, 1, 2, true, &[(1, 1, 1)]), 2, 3),
    ]
}

/// Weights drawn from the stream `seed`: norms near 1, all else uniform in ±0.7 so that no gradient is tiny.
pub(crate) fn weights<T: Scalar>(config: &ModelConfig, seed: u64) -> Weights<Matrix<T>> {
    let mut rng = stream(seed, "fixture weights");
    Weights::shapes(config).map_params(|id, &[rows, cols]| {
        let centre = if id.kind() == ParamKind::Norm { 1.0 } else { 0.0 };
        let data = (0..rows * cols).map(|_| T::from_f64(centre + rng.random_range(-0.7..0.7))).collect();
        Matrix { rows, cols, data }
    })
}

/// `count` token ids below `vocab_size`.
pub(crate) fn tokens(count: usize, vocab_size: usize, seed: u64) -> Vec<u32> {
    let mut rng = stream(seed, "fixture tokens");
    (0..count).map(|_| rng.random_range(0..vocab_size as u32)).collect()
}
