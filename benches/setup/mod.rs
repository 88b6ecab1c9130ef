//! What the benches of training and pruning share: named shapes, random tokens, and how models are trained and pruned there.
use anyhow::{Context, Result};
use efficientllm::base::allocator::LineAllocator;
use efficientllm::base::random::stream;
use efficientllm::model::{Biases, LayerShape, ModelConfig};
use efficientllm::spec::{
    Fisher, GroupType, HeadUnit, Normaliser, PruneSchedule, PruneSpec, Reduction, Saliency, ScheduleKind,
    Scope, Target, TrainSpec, Update,
};
use rand::RngExt;
use serde::Deserialize;
use std::collections::BTreeMap;

/// As in the program.
#[global_allocator]
static ALLOCATOR: LineAllocator = LineAllocator;

/// A name in `benches/shapes.json`, which the PyTorch side reads too.
#[derive(Deserialize)]
pub struct Shape {
    pub vocab_size: usize,
    pub hidden_size: usize,
    pub num_layers: usize,
    pub num_heads: usize,
    pub num_kv_heads: usize,
    pub head_dim: usize,
    pub intermediate_size: usize,
    pub context_length: usize,
    /// Sequences of one step.
    pub batch: usize,
}

impl Shape {
    pub fn named(name: &str) -> Result<Self> {
        let mut shapes: BTreeMap<String, Shape> =
            serde_json::from_str(include_str!("../shapes.json")).context("benches/shapes.json")?;
        let names = shapes.keys().cloned().collect::<Vec<_>>().join(", ");
        shapes
            .remove(name)
            .with_context(|| format!("no shape `{name}` in benches/shapes.json, expected one of {names}"))
    }

    pub fn config(&self) -> ModelConfig {
        let layer = LayerShape::new(self.num_heads, self.num_kv_heads, self.intermediate_size);
        ModelConfig {
            vocab_size: self.vocab_size,
            hidden_size: self.hidden_size,
            head_dim: self.head_dim,
            tie_word_embeddings: true,
            biases: Biases::NONE,
            rope_theta: 10000.0,
            rms_norm_eps: 1e-5,
            max_position_embeddings: self.context_length,
            layers: vec![layer; self.num_layers],
        }
    }
}

/// So many random tokens, the same ones each time.
pub fn random_tokens(vocab_size: usize, count: usize) -> Vec<u32> {
    let mut rng = stream(0, "bench tokens");
    (0..count).map(|_| rng.random_range(0..vocab_size as u32)).collect()
}

/// Steps of `tokens` tokens at a small constant rate.
pub fn train_spec(tokens: usize, micro_batch: usize) -> TrainSpec {
    TrainSpec {
        batch_tokens: tokens,
        micro_batch,
        learning_rate: 1e-4,
        min_learning_rate_ratio: 1.0,
        schedule: ScheduleKind::Cosine,
        warmup_tokens: 0,
        decay_fraction: 0.0,
        average_fraction: 0.0,
        weight_decay: 0.1,
        beta1: 0.9,
        beta2: 0.95,
        epsilon: 1e-8,
        clip_norm: 1.0,
    }
}

/// Down to `target` along a line over `prune_tokens`, in groups of one channel or head.
pub fn prune_spec(
    saliency: Saliency,
    update: Update,
    types: Vec<GroupType>,
    target: Target,
    prune_tokens: u64,
) -> PruneSpec {
    PruneSpec {
        target,
        types,
        scope: Scope::Uniform,
        block: 1,
        head_unit: HeadUnit::KvGroup,
        saliency,
        reduction: Reduction::Sum,
        normaliser: Normaliser::PerParameter,
        fisher: Fisher::BY_POSITION,
        update,
        damping: 0.01,
        gradient_ema: 0.0,
        schedule: PruneSchedule::line(prune_tokens),
        calibration_tokens: 1,
        min_ffn: 1,
        min_heads: 1,
        min_stem: 1,
        min_head_dim: 1,
        min_layers: 1,
        fixed_shape: None,
    }
}
