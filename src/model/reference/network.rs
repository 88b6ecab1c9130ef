//! `engine = "reference"`: the oracle behind the same seam as the engines.
use dfdx::prelude::{Cpu, Device};

use super::{LinearInputs, ReferenceScalar, all_inputs, differentiate, log_probabilities, logits};
use crate::model::divergence::{self, Side};
use crate::model::llama::Objective;
use crate::model::network::Network;
use crate::model::taps::{Observation, Site, Tap};
use crate::model::{ModelConfig, Weights};
use crate::tensor::cpu::{Matrix, real::Real};
use crate::tensor::{Accumulation, Backend, CpuBackend};

/// A [`Network`] on host matrices whose gradients come from automatic differentiation. Its taps see inputs of linear layers,
/// and no gradients but those of parameters.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReferenceNetwork;

impl<T: ReferenceScalar + Real> Network<CpuBackend<T>> for ReferenceNetwork
where
    Cpu: Device<T>,
{
    fn differentiate(
        &mut self,
        config: &ModelConfig,
        weights: &Weights<Matrix<T>>,
        inputs: &[u32],
        objective: Objective<'_, Matrix<T>>,
        sequences: usize,
        scale: f64,
        grads: &mut Weights<Matrix<T>>,
        tap: Option<Tap<Matrix<T>>>,
    ) -> f64 {
        let (mean, gradients, linear_inputs) = differentiate(config, weights, inputs, objective, sequences);
        if let Some(tap) = tap {
            show(linear_inputs, sequences, tap);
        }
        let count = inputs.len() as f64;
        let with = |(sum, x)| Accumulation { x, sum, squares: None };
        let mut leaves: Vec<_> = grads.leaves_mut().into_iter().zip(gradients.leaves()).map(with).collect();
        CpuBackend::<T>::new().accumulate(scale * count, 1.0, &mut leaves);
        mean * count
    }

    fn observe(
        &mut self,
        config: &ModelConfig,
        weights: &Weights<Matrix<T>>,
        inputs: &[u32],
        sequences: usize,
        tap: Tap<Matrix<T>>,
    ) {
        show(all_inputs(config, weights, inputs, sequences), sequences, tap);
    }

    fn divergences(
        &mut self,
        p: Side<'_, Matrix<T>>,
        q: Side<'_, Matrix<T>>,
        inputs: &[u32],
        sequences: usize,
    ) -> Vec<f64> {
        let of = |(config, weights): Side<'_, Matrix<T>>| logits(config, weights, inputs, sequences);
        let (of_p, of_q) = (of(p), of(q));
        divergence::of_logits(&of_p.data, &of_q.data, of_p.cols)
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

/// Shows `tap` the inputs of all linear layers, in the order of a forward pass.
fn show<T>(
    (layers, head_in): (Vec<LinearInputs<Matrix<T>>>, Matrix<T>),
    sequences: usize,
    tap: Tap<Matrix<T>>,
) {
    for (i, a) in layers.iter().enumerate() {
        for (site, x) in [
            (Site::AttnIn(i), &a.attn_in),
            (Site::OIn(i), &a.o_in),
            (Site::FfnIn(i), &a.ffn_in),
            (Site::DownIn(i), &a.down_in),
        ] {
            tap(Observation::Input { site, x, sequences });
        }
    }
    tap(Observation::Input { site: Site::HeadIn, x: &head_in, sequences });
}
