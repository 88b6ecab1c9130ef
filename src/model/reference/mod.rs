//! The reference engine: the same Llama through the reverse-mode autodiff of `dfdx` 0.13 (CPU, f32 and f64).
//!
//! An oracle: it shares with the engines of this crate the types that hold a model and nothing else, so that agreement
//! between its gradients and those of the hand-written backward pass is evidence for both. It is slow and keeps every
//! intermediate value; use it for tests and small experiments.
//!
//! ```text
//! x   = embed[tokens]                                                      N × d
//! per layer:
//!   a = rms(x) ⊙ attn_norm            rms(x) = x / √(mean_d x² + ε)        N × d       attn_in
//!   q, k, v = a Wqᵀ, a Wkᵀ, a Wvᵀ     plus biases where there are; q and k rotated by RoPE   N × H·h, N × K·h
//!   s = softmax(q kᵀ / √h) v          causal; query head i reads KV head ⌊i·K/H⌋   N × H·h     o_in
//!   x = x + s Woᵀ
//!   m = rms(x) ⊙ ffn_norm                                                  N × d       ffn_in
//!   u = silu(m Wgᵀ) ⊙ m Wuᵀ           silu(z) = z·σ(z)                     N × f       down_in
//!   x = x + u Wdᵀ
//! logits = (rms(x) ⊙ norm) headᵀ      head = embed when tied               N × V
//! loss = mean over the N targets of −log softmax(logits)[target]           nats
//! ```
//!
//! RoPE turns the pair (p, p + h/2) of a head at position t by t·θ^(−2p/h) (the half-split convention of Hugging Face).
//! Conventions follow Touvron et al. 2023 (arXiv:2302.13971) as `transformers` implements them.
mod forward;
mod host;
mod network;

pub use network::ReferenceNetwork;

use dfdx::prelude::{Cpu, Device, MeanTo, OwnedTape, Rank0};
use dfdx::tensor_ops::Backward;

use crate::model::llama::Objective;
use crate::model::{ModelConfig, Weights};
use crate::tensor::Scalar;
use crate::tensor::cpu::Matrix;

/// Element types of the reference engine.
pub trait ReferenceScalar: Scalar + dfdx::dtypes::Dtype {}
impl ReferenceScalar for f32 {}
impl ReferenceScalar for f64 {}

/// Inputs of the linear maps of one layer, N × width each: what layerwise Gram matrices are made of.
#[derive(Clone, Debug, PartialEq)]
pub struct LinearInputs<T> {
    /// Of q, k and v.
    pub attn_in: T,
    /// Of o.
    pub o_in: T,
    /// Of gate and up.
    pub ffn_in: T,
    /// Of down.
    pub down_in: T,
}

/// Mean cross-entropy in nats over all `sequences · T` targets, and its gradient by every parameter.
///
/// `inputs` and `targets` hold `sequences` rows of T token ids. Panics on ids outside the vocabulary and on lengths that
/// are no multiple of `sequences`, which are defects of the caller.
pub fn loss_and_gradients<T: ReferenceScalar>(
    config: &ModelConfig,
    weights: &Weights<Matrix<T>>,
    inputs: &[u32],
    targets: &[u32],
    sequences: usize,
) -> (f64, Weights<Matrix<T>>)
where
    Cpu: Device<T>,
{
    let objective = Objective::CrossEntropy(targets);
    let (loss, gradients, _) = differentiate(config, weights, inputs, objective, sequences);
    (loss, gradients)
}

/// Mean of the objective, gradients and the inputs of linear maps from one forward pass.
#[allow(clippy::type_complexity)]
fn differentiate<T: ReferenceScalar>(
    config: &ModelConfig,
    weights: &Weights<Matrix<T>>,
    inputs: &[u32],
    objective: Objective<'_, Matrix<T>>,
    sequences: usize,
) -> (f64, Weights<Matrix<T>>, (Vec<LinearInputs<Matrix<T>>>, Matrix<T>))
where
    Cpu: Device<T>,
{
    let device = Cpu::default();
    let parameters = weights.map(|matrix| host::upload(&device, matrix));
    let run = forward::run::<T, OwnedTape<T, Cpu>>(&device, config, &parameters, inputs, sequences);
    let mean = match objective {
        Objective::CrossEntropy(targets) => {
            forward::target_log_probabilities(run.logits, targets).mean::<Rank0, _>().negate()
        }
        Objective::Entropy => forward::entropies(run.logits).mean::<Rank0, _>(),
        Objective::Distillation { targets, teacher, of } => {
            let taught = logits(teacher.config, teacher.weights, inputs, sequences);
            forward::distillation(&device, run.logits, &taught, targets, of).mean::<Rank0, _>()
        }
    };
    let value = mean.as_vec()[0].to_f64();
    let gradients = mean.backward();
    let gradients = parameters.map(|parameter| host::download(gradients.get(parameter)));
    let linear_inputs = run.linear_inputs.into_iter().map(download_inputs).collect();
    (value, gradients, (linear_inputs, host::download(run.head_in)))
}

/// Mean cross-entropy in nats over all targets; see [`loss_and_gradients`].
pub fn loss<T: ReferenceScalar>(
    config: &ModelConfig,
    weights: &Weights<Matrix<T>>,
    inputs: &[u32],
    targets: &[u32],
    sequences: usize,
) -> f64
where
    Cpu: Device<T>,
{
    let all = log_probabilities(config, weights, inputs, targets, sequences);
    -all.iter().sum::<f64>() / all.len() as f64
}

/// Natural-log probability of each target.
pub fn log_probabilities<T: ReferenceScalar>(
    config: &ModelConfig,
    weights: &Weights<Matrix<T>>,
    inputs: &[u32],
    targets: &[u32],
    sequences: usize,
) -> Vec<f64>
where
    Cpu: Device<T>,
{
    let run = forward_only(config, weights, inputs, sequences);
    let all = forward::target_log_probabilities(run.logits, targets).as_vec();
    all.into_iter().map(Scalar::to_f64).collect()
}

/// Logits after every token: N × V. `tokens` holds `sequences` rows of T token ids.
pub fn logits<T: ReferenceScalar>(
    config: &ModelConfig,
    weights: &Weights<Matrix<T>>,
    tokens: &[u32],
    sequences: usize,
) -> Matrix<T>
where
    Cpu: Device<T>,
{
    host::download(forward_only(config, weights, tokens, sequences).logits)
}

/// Inputs of the linear maps of every layer, for the `sequences` rows of `tokens`.
pub fn linear_inputs<T: ReferenceScalar>(
    config: &ModelConfig,
    weights: &Weights<Matrix<T>>,
    tokens: &[u32],
    sequences: usize,
) -> Vec<LinearInputs<Matrix<T>>>
where
    Cpu: Device<T>,
{
    all_inputs(config, weights, tokens, sequences).0
}

/// Those, and the input of the head.
fn all_inputs<T: ReferenceScalar>(
    config: &ModelConfig,
    weights: &Weights<Matrix<T>>,
    tokens: &[u32],
    sequences: usize,
) -> (Vec<LinearInputs<Matrix<T>>>, Matrix<T>)
where
    Cpu: Device<T>,
{
    let run = forward_only(config, weights, tokens, sequences);
    (run.linear_inputs.into_iter().map(download_inputs).collect(), host::download(run.head_in))
}

fn download_inputs<T: ReferenceScalar>(inputs: LinearInputs<host::Tensor2<T>>) -> LinearInputs<Matrix<T>>
where
    Cpu: Device<T>,
{
    LinearInputs {
        attn_in: host::download(inputs.attn_in),
        o_in: host::download(inputs.o_in),
        ffn_in: host::download(inputs.ffn_in),
        down_in: host::download(inputs.down_in),
    }
}

fn forward_only<T: ReferenceScalar>(
    config: &ModelConfig,
    weights: &Weights<Matrix<T>>,
    tokens: &[u32],
    sequences: usize,
) -> forward::Run<T, dfdx::prelude::NoneTape>
where
    Cpu: Device<T>,
{
    let device = Cpu::default();
    let parameters = weights.map(|matrix| host::upload(&device, matrix));
    forward::run(&device, config, &parameters, tokens, sequences)
}

#[cfg(test)]
mod agreement_tests;
#[cfg(test)]
mod distillation_tests;
#[cfg(test)]
mod tests;
