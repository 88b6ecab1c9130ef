//! Norms of the inputs of linear layers: ‖X_j‖₂ = √Σ_n x_nj², the square root of the diagonal of G.
use super::TokenStatistic;
use super::mean::{on_host, rows};
use super::sites::{Channels, width};
use crate::model::ModelConfig;
use crate::model::taps::{Observation, Site};
use crate::tensor::{Backend, Pointwise};

/// Σ_n x_n², 1 × n for each place.
pub struct InputSquares<B: Backend> {
    sums: Vec<(Site, B::Tensor)>,
    squares: B::Tensor,
}

impl<B: Backend> InputSquares<B> {
    pub fn new(backend: &B, config: &ModelConfig, sites: &[Site]) -> Self {
        InputSquares { sums: rows(backend, config, sites), squares: backend.zeros(0, 0) }
    }

    /// Σ x², not yet its root.
    pub fn finish(self, backend: &B) -> Channels {
        on_host(backend, self.sums)
    }
}

impl<B: Backend> TokenStatistic<B> for InputSquares<B> {
    fn observe(&mut self, backend: &B, seen: &Observation<'_, B::Tensor>) {
        let Observation::Input { site, x, .. } = seen else { return };
        if let Some((_, sum)) = self.sums.iter_mut().find(|(at, _)| at == site) {
            let [rows, cols] = backend.shape(x);
            backend.reshape(&mut self.squares, rows, cols);
            backend.pointwise(Pointwise::Square, &mut self.squares, x, None);
            backend.add_column_sums(sum, &self.squares);
        }
    }

    fn sums(&mut self) -> Vec<&mut B::Tensor> {
        self.sums.iter_mut().map(|(_, sum)| sum).collect()
    }

    fn flops(&self, config: &ModelConfig, tokens: u64) -> u64 {
        self.sums.iter().map(|(site, _)| 2 * width(config, *site) as u64 * tokens).sum()
    }
}
