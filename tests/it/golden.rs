//! Two small models against numbers made in f64 by PyTorch (`tests/golden/make_tiny_llama.py`) and, with biases of q, k
//! and v, by transformers (`make_tiny_qwen2.py`): logits, loss, gradients of every parameter, and ten losses of training
//! with clipping and AdamW; both engines.
use std::collections::BTreeMap;

use efficientllm::model::network::{ExplicitNetwork, Network};
use efficientllm::model::reference::{self, ReferenceNetwork};
use efficientllm::model::{ModelConfig, Weights};
use efficientllm::schema::ParamKind;
use efficientllm::spec::{ScheduleKind, TrainSpec};
use efficientllm::tensor::cpu::Matrix;
use efficientllm::tensor::{Backend, CpuBackend};
use efficientllm::train::optimizer::{self, Moments};
use serde::Deserialize;

#[derive(Deserialize)]
struct Golden {
    config: ModelConfig,
    sequences: usize,
    inputs: Vec<u32>,
    targets: Vec<u32>,
    /// N × V
    logits: Vec<f64>,
    /// Of each target.
    log_probabilities: Vec<f64>,
    /// Mean cross-entropy.
    loss: f64,
    /// Of the mean cross-entropy, by name.
    gradients: BTreeMap<String, Vec<f64>>,
    train: Train,
    /// Before each of ten steps.
    losses: Vec<f64>,
}

#[derive(Deserialize)]
struct Train {
    learning_rate: f64,
    beta1: f64,
    beta2: f64,
    epsilon: f64,
    weight_decay: f64,
    clip_norm: f64,
}

fn goldens() -> [Golden; 2] {
    [include_str!("../golden/tiny_llama.json"), include_str!("../golden/tiny_qwen2.json")]
        .map(|text| serde_json::from_str(text).expect("the file is sound"))
}

/// The generator of the script: `u = x / 2³²` after each `x ← 1664525 x + 1013904223 mod 2³²`.
fn golden_weights(golden: &Golden) -> Weights<Matrix<f64>> {
    let mut state = 1u32;
    let mut uniform = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f64::from(state) / 2f64.powi(32)
    };
    let shapes = Weights::shapes(&golden.config);
    let weights = shapes.map_params(|id, &[rows, cols]| {
        let is_norm = id.kind() == ParamKind::Norm;
        let mut element = || if is_norm { 1.0 + (uniform() - 0.5) / 2.0 } else { uniform() - 0.5 };
        Matrix { rows, cols, data: (0..rows * cols).map(|_| element()).collect() }
    });
    // The tokens come next in the stream: a check that both sides are in step.
    let vocab = golden.config.vocab_size as f64;
    let tokens: Vec<u32> = golden.inputs.iter().map(|_| (uniform() * vocab) as u32).collect();
    assert_eq!(tokens, golden.inputs);
    weights
}

/// f64 on both sides: what is left is the order of summation.
fn assert_close(what: &str, found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (i, (f, e)) in found.iter().zip(expected).enumerate() {
        assert!((f - e).abs() <= 1e-13 + 1e-11 * e.abs(), "{what}[{i}]: {f} against {e}");
    }
}

fn check_gradients(network: &mut dyn Network<CpuBackend<f64>>, golden: &Golden) {
    let (weights, count) = (golden_weights(golden), golden.targets.len() as f64);
    let Golden { config, inputs, targets, sequences, .. } = golden;
    let mut grads = optimizer::zeros_like(&CpuBackend::new(), &weights);
    let sum = network.loss_and_gradients(
        config,
        &weights,
        inputs,
        targets,
        *sequences,
        1.0 / count,
        &mut grads,
        None,
    );
    assert_close("loss", &[sum / count], &[golden.loss]);
    assert_eq!(grads.named().len(), golden.gradients.len());
    for (name, grad) in grads.named() {
        assert_close(&name, &grad.data, &golden.gradients[&name]);
    }
    let found = network.log_probabilities(config, &weights, inputs, targets, *sequences);
    assert_close("log-probabilities", &found, &golden.log_probabilities);
}

/// Ten steps amplify differences of rounding by less than a thousand: rtol 1e-9.
fn check_training(network: &mut dyn Network<CpuBackend<f64>>, golden: &Golden) {
    let backend = CpuBackend::<f64>::new();
    let spec = TrainSpec {
        batch_tokens: golden.inputs.len(),
        micro_batch: golden.sequences,
        learning_rate: golden.train.learning_rate,
        min_learning_rate_ratio: 1.0,
        schedule: ScheduleKind::Cosine,
        warmup_tokens: 0,
        decay_fraction: 0.0,
        average_fraction: 0.0,
        weight_decay: golden.train.weight_decay,
        beta1: golden.train.beta1,
        beta2: golden.train.beta2,
        epsilon: golden.train.epsilon,
        clip_norm: golden.train.clip_norm,
    };
    let count = golden.targets.len() as f64;
    let mut weights = golden_weights(golden);
    let mut grads = optimizer::zeros_like(&backend, &weights);
    let mut moments = Moments::new(&backend, &weights);
    let mut clipped = 0;
    for (i, expected) in golden.losses.iter().enumerate() {
        grads.leaves_mut().into_iter().for_each(|grad| backend.fill_zero(grad));
        let Golden { config, inputs, targets, sequences, .. } = golden;
        let sum = network.loss_and_gradients(
            config,
            &weights,
            inputs,
            targets,
            *sequences,
            1.0 / count,
            &mut grads,
            None,
        );
        let found = sum / count;
        assert!((found - expected).abs() <= 1e-9 * expected, "step {i}: {found} against {expected}");
        let rate = spec.learning_rate;
        let squared_norm = optimizer::step(&backend, &spec, rate, &mut weights, &grads, &mut moments);
        clipped += usize::from(squared_norm.sqrt() > spec.clip_norm);
    }
    assert!(clipped > 0, "the run must exercise clipping");
}

#[test]
fn explicit_engine_matches_pytorch() {
    let backend = CpuBackend::new();
    for golden in &goldens() {
        check_gradients(&mut ExplicitNetwork::new(&backend), golden);
        check_training(&mut ExplicitNetwork::new(&backend), golden);
    }
}

#[test]
fn reference_engine_matches_pytorch() {
    for golden in &goldens() {
        check_gradients(&mut ReferenceNetwork, golden);
        check_training(&mut ReferenceNetwork, golden);
        let weights = golden_weights(golden);
        let logits = reference::logits(&golden.config, &weights, &golden.inputs, golden.sequences);
        assert_close("logits", &logits.data, &golden.logits);
    }
}
