//! Random initial weights.
//!
//! Normal with standard deviation 0.02 (GPT-2; Radford et al. 2019), the two projections into the residual
//! stream (`o`, `down`) scaled by 1/√(2L) so that its variance does not grow with depth; norms start at 1, biases at 0.
//! The hidden width does not enter, so a narrow and a wide model start alike.
use super::config::ModelConfig;
use super::weights::Weights;
use crate::base::random::stream;
use crate::schema::{ParamKind, Projection};
use crate::tensor::{Backend, Scalar};
use rand::RngExt;
use rand_chacha::ChaCha12Rng;

const STANDARD_DEVIATION: f64 = 0.02;

/// Initial weights of `config` drawn from the stream `init` of `seed`, one sub-stream per parameter tensor.
pub fn random_weights<B: Backend>(backend: &B, config: &ModelConfig, seed: u64) -> Weights<B::Tensor> {
    let residual_scale = 1.0 / (2.0 * config.layers.len().max(1) as f64).sqrt();
    Weights::shapes(config).map_params(|id, &[rows, cols]| {
        let values: Vec<B::Scalar> = match id.kind() {
            ParamKind::Norm => vec![B::Scalar::from_f64(1.0); rows * cols],
            ParamKind::Bias => vec![B::Scalar::from_f64(0.0); rows * cols],
            ParamKind::Matrix => {
                let residual = id.projection().is_some_and(Projection::is_residual);
                let deviation = STANDARD_DEVIATION * if residual { residual_scale } else { 1.0 };
                let mut generator = stream(seed, &format!("init/{}", id.hf_name()));
                (0..rows * cols).map(|_| B::Scalar::from_f64(deviation * normal(&mut generator))).collect()
            }
        };
        backend.from_host(rows, cols, &values)
    })
}

/// A standard normal variate by the Box–Muller transform.
fn normal(generator: &mut ChaCha12Rng) -> f64 {
    let u: f64 = 1.0 - generator.random::<f64>();
    let angle = std::f64::consts::TAU * generator.random::<f64>();
    (-2.0 * u.ln()).sqrt() * angle.cos()
}
