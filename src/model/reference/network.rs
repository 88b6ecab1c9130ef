//! `engine = "reference"`: the oracle behind the same seam as the engines.
use dfdx::prelude::{Cpu, Device};

use super::{ReferenceScalar, differentiate, log_probabilities};
use crate::model::llama::{LayerInputs, Tap};
use crate::model::network::Network;
use crate::model::{ModelConfig, Weights};
use crate::tensor::cpu::{Matrix, real::Real};
use crate::tensor::{Accumulation, Backend, CpuBackend};

/// A [`Network`] on host matrices whose gradients come from automatic differentiation.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReferenceNetwork;

impl<T: ReferenceScalar + Real> Network<CpuBackend<T>> for ReferenceNetwork
where
    Cpu: Device<T>,
{
    fn loss_and_gradients(
        &mut self,
        config: &ModelConfig,
        weights: &Weights<Matrix<T>>,
        inputs: &[u32],
        targets: &[u32],
        sequences: usize,
        scale: f64,
        grads: &mut Weights<Matrix<T>>,
        tap: Option<Tap<Matrix<T>>>,
    ) -> f64 {
        let (mean, gradients, linear_inputs) = differentiate(config, weights, inputs, targets, sequences);
        if let Some(tap) = tap {
            for (i, a) in linear_inputs.iter().enumerate() {
                let (attn_in, o_in, ffn_in, down_in) = (&a.attn_in, &a.o_in, &a.ffn_in, &a.down_in);
                tap(i, LayerInputs { attn_in, o_in, ffn_in, down_in });
            }
        }
        let count = targets.len() as f64;
        let with = |(sum, x)| Accumulation { x, sum, squares: None };
        let mut leaves: Vec<_> = grads.leaves_mut().into_iter().zip(gradients.leaves()).map(with).collect();
        CpuBackend::<T>::new().accumulate(scale * count, 1.0, &mut leaves);
        mean * count
    }

    fn log_probabilities(
        &mut self,
        config: &ModelConfig,
        weights: &Weights<Matrix<T>>,
        inputs: &[u32],
        targets: &[u32],
        sequences: usize,
    ) -> Vec<f64> {
        log_probabilities(config, weights, inputs, targets, sequences)
    }
}
