//! Small models and random trees for the tests of this room.
use super::groups::GroupId;
use crate::base::random::stream;
use crate::model::{Biases, LayerShape, ModelConfig, Weights};
use crate::spec::{
    Fisher, GroupType, HeadUnit, Normaliser, PruneSchedule, PruneSpec, Reduction, Saliency, Scope, Target,
    Update,
};
use crate::tensor::{Backend, Scalar};
use rand::RngExt;

/// V = 10, d = 12, L = 2, H = 6, K = 3, h = 2, f = 8.
pub fn small_config(tie_word_embeddings: bool) -> ModelConfig {
    config_of([10, 12, 2, 2, 3, 2, 8], tie_word_embeddings)
}

/// `[V, d, L, H/K, K, h, f]`
pub fn config_of([v, d, layers, ratio, kv, h, f]: [usize; 7], tie_word_embeddings: bool) -> ModelConfig {
    let layer = LayerShape::new(ratio * kv, kv, f);
    ModelConfig {
        vocab_size: v,
        hidden_size: d,
        head_dim: h,
        tie_word_embeddings,
        biases: Biases::NONE,
        rope_theta: 10000.0,
        rms_norm_eps: 1e-5,
        max_position_embeddings: 16,
        layers: vec![layer; layers],
    }
}

pub fn small_spec() -> PruneSpec {
    PruneSpec {
        target: Target::Ratio(0.5),
        types: vec![GroupType::Ffn, GroupType::Head, GroupType::Stem],
        scope: Scope::Uniform,
        block: 1,
        head_unit: HeadUnit::KvGroup,
        saliency: Saliency::TAYLOR_MIX,
        reduction: Reduction::Sum,
        normaliser: Normaliser::PerParameter,
        fisher: Fisher::BY_POSITION,
        update: Update::NONE,
        damping: 0.01,
        gradient_ema: 0.0,
        schedule: PruneSchedule::line(1000),
        calibration_tokens: 100,
        min_ffn: 1,
        min_heads: 1,
        min_stem: 1,
        min_head_dim: 1,
        min_layers: 1,
        fixed_shape: None,
    }
}

/// The group at `positions[place]` of every place.
pub fn taken_at(kind: GroupType, positions: &[usize]) -> Vec<GroupId> {
    let id = |(place, &position)| GroupId { kind, place, position };
    positions.iter().enumerate().map(id).collect()
}

/// Leaves hold 0, step, 2·step, … through the whole tree.
pub fn numbered_tree<B: Backend>(backend: &B, config: &ModelConfig, step: f64) -> Weights<B::Tensor> {
    let mut next = 0.0;
    Weights::shapes(config).map(|&[rows, cols]| {
        let values: Vec<B::Scalar> = (0..rows * cols)
            .map(|_| {
                next += step;
                B::Scalar::from_f64(next - step)
            })
            .collect();
        backend.from_host(rows, cols, &values)
    })
}

/// Uniform on `[low, high)`.
pub fn random_tree<B: Backend>(
    backend: &B,
    config: &ModelConfig,
    seed: u64,
    (low, high): (f64, f64),
) -> Weights<B::Tensor> {
    let mut generator = stream(seed, "test");
    Weights::shapes(config).map(|&[rows, cols]| {
        let values: Vec<B::Scalar> = (0..rows * cols)
            .map(|_| B::Scalar::from_f64(low + (high - low) * generator.random::<f64>()))
            .collect();
        backend.from_host(rows, cols, &values)
    })
}
