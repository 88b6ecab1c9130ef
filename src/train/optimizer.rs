//! AdamW over the whole parameter tree, with global gradient clipping.
//!
//! Matrices decay, norm weights and biases do not (as in GPT-3 and Llama). Clipping (Pascanu et al. 2013,
//! arXiv:1211.5063) scales the gradient by min(1, c/‖g‖), fused into the step.
use crate::model::Weights;
use crate::spec::TrainSpec;
use crate::tensor::{AdamwLeaf, AdamwStep, Backend};

/// First and second moments, and the number of steps taken.
pub struct Moments<T> {
    pub m: Weights<T>,
    pub v: Weights<T>,
    /// t of the bias corrections.
    pub steps: u64,
}

impl<T> Moments<T> {
    /// Zero moments for `weights`.
    pub fn new<B: Backend<Tensor = T>>(backend: &B, weights: &Weights<T>) -> Self {
        Moments { m: zeros_like(backend, weights), v: zeros_like(backend, weights), steps: 0 }
    }
}

/// A tree of zeros in the shape of `weights`.
pub fn zeros_like<B: Backend>(backend: &B, weights: &Weights<B::Tensor>) -> Weights<B::Tensor> {
    weights.map(|leaf| {
        let [rows, cols] = backend.shape(leaf);
        backend.zeros(rows, cols)
    })
}

/// One AdamW step; returns ‖g‖² over all tensors, before clipping.
pub fn step<B: Backend>(
    backend: &B,
    spec: &TrainSpec,
    learning_rate: f64,
    weights: &mut Weights<B::Tensor>,
    grads: &Weights<B::Tensor>,
    moments: &mut Moments<B::Tensor>,
) -> B::Sum {
    moments.steps += 1;
    let power = |beta: f64| 1.0 - beta.powi(moments.steps.min(i32::MAX as u64) as i32);
    let step = AdamwStep {
        learning_rate,
        weight_decay: spec.weight_decay,
        beta1: spec.beta1,
        beta2: spec.beta2,
        epsilon: spec.epsilon,
        bias_correction1: power(spec.beta1),
        bias_correction2: power(spec.beta2),
        gradient_scale: 1.0,
    };
    let pairs = weights.params_mut().into_iter().zip(grads.leaves());
    let moments = moments.m.leaves_mut().into_iter().zip(moments.v.leaves_mut());
    let mut leaves: Vec<_> = pairs
        .zip(moments)
        .map(|(((id, weight), grad), (m, v))| AdamwLeaf { weight, grad, m, v, decays: id.decays() })
        .collect();
    backend.clipped_adamw(step, spec.clip_norm, &mut leaves)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Biases, LayerShape, ModelConfig, init};
    use crate::schema::Projection;
    use crate::spec::ScheduleKind;
    use crate::tensor::CpuBackend;

    /// One step by hand: t = 1, so m/c₁ = g and v/c₂ = g², hence w ← w(1 − ηλ) − η g/(|g| + ε).
    #[test]
    fn first_step_is_the_sign_of_the_gradient_and_norms_and_biases_do_not_decay() {
        let backend = CpuBackend::<f64>::new();
        let config = ModelConfig {
            vocab_size: 5,
            hidden_size: 4,
            head_dim: 2,
            tie_word_embeddings: true,
            biases: Biases::QKV.with(Projection::Down),
            rope_theta: 1e4,
            rms_norm_eps: 1e-5,
            max_position_embeddings: 8,
            layers: vec![LayerShape::new(1, 1, 3)],
        };
        let mut weights = init::random_weights(&backend, &config, 1);
        let before = weights.clone();
        let mut grads = zeros_like(&backend, &weights);
        for leaf in grads.leaves_mut() {
            leaf.data.iter_mut().enumerate().for_each(|(i, g)| *g = if i % 2 == 0 { 0.5 } else { -0.25 });
        }
        let spec = TrainSpec {
            batch_tokens: 1,
            micro_batch: 1,
            learning_rate: 0.01,
            min_learning_rate_ratio: 0.1,
            schedule: ScheduleKind::Cosine,
            warmup_tokens: 0,
            decay_fraction: 0.2,
            average_fraction: 0.0,
            weight_decay: 0.1,
            beta1: 0.9,
            beta2: 0.95,
            epsilon: 1e-8,
            clip_norm: 0.1,
        };
        let mut moments = Moments::new(&backend, &weights);
        let norm = step(&backend, &spec, 0.01, &mut weights, &grads, &mut moments).sqrt();
        let squares = grads.leaves().into_iter().flat_map(|leaf| &leaf.data).map(|g| g * g);
        assert!((norm - squares.sum::<f64>().sqrt()).abs() < 1e-14);
        for ((name, after), before) in weights.named().into_iter().zip(before.leaves()) {
            let keep = if name.ends_with("norm.weight") || name.ends_with("proj.bias") {
                1.0
            } else {
                1.0 - 0.01 * 0.1
            };
            for (i, (after, before)) in after.data.iter().zip(&before.data).enumerate() {
                let g = if i % 2 == 0 { 0.5 } else { -0.25 } * 0.1 / norm;
                let expected = before * keep - 0.01 * g / (f64::abs(g) + 1e-8);
                assert!((after - expected).abs() < 1e-14, "{name}[{i}]: {after} against {expected}");
            }
        }
    }
}
