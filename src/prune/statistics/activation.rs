//! Mean magnitudes of activations (Minitron; Muralidharan et al. 2024, arXiv:2407.14679).
//!
//! ```text
//! A_j = √Σ_s (mean_t |x_stj|)²        s sequences, t positions
//! ```
//!
//! At the input of o it is one value for each query head: ‖·‖₂ over its channels stands for |x|.
use super::TokenStatistic;
use super::mean::on_host;
use super::sites::{Channels, width};
use crate::model::ModelConfig;
use crate::model::taps::{Observation, Site};
use crate::tensor::{Backend, Pointwise};

/// Σ_s (Σ_t |x|)² / T², 1 × n (or × H) for each place.
pub struct ActivationSums<B: Backend> {
    sums: Vec<(Site, B::Tensor)>,
    head_dim: usize,
    /// Of N × n, N × H, sequences × n, and 1 × n.
    scratch: [B::Tensor; 4],
    /// T; 1 where nothing has been seen, as by a rank that had no micro-batch.
    pub(super) context_length: usize,
}

impl<B: Backend> ActivationSums<B> {
    pub fn new(backend: &B, config: &ModelConfig, sites: &[Site]) -> Self {
        let wide = |site: Site| match site {
            Site::OIn(layer) => config.layers[layer].num_heads,
            site => width(config, site),
        };
        let sums = sites.iter().map(|&site| (site, backend.zeros(1, wide(site)))).collect();
        let scratch = [(); 4].map(|()| backend.zeros(0, 0));
        ActivationSums { sums, head_dim: config.head_dim, scratch, context_length: 1 }
    }

    pub fn finish(self, backend: &B) -> Channels {
        let t = self.context_length as f64;
        let sums = on_host(backend, self.sums).map(|sum| sum.sqrt() / t);
        Channels::new(true, sums.iter().map(|(site, values)| (site, values.to_vec())).collect())
    }
}

impl<B: Backend> TokenStatistic<B> for ActivationSums<B> {
    fn observe(&mut self, backend: &B, seen: &Observation<'_, B::Tensor>) {
        let Observation::Input { site, x, sequences } = *seen else { return };
        let Some((_, sum)) = self.sums.iter_mut().find(|(at, _)| *at == site) else { return };
        let [n, cols] = backend.shape(x);
        let [magnitudes, heads, by_sequence, squares] = &mut self.scratch;
        self.context_length = n / sequences;
        backend.reshape(magnitudes, n, cols);
        let magnitudes = match site {
            Site::OIn(_) => {
                let num_heads = cols / self.head_dim;
                backend.reshape(heads, n, num_heads);
                backend.pointwise(Pointwise::Square, magnitudes, x, None);
                backend.fold(heads, magnitudes, 1, self.head_dim);
                backend.reshape(magnitudes, n, num_heads);
                backend.pointwise(Pointwise::Root, magnitudes, heads, None);
                magnitudes
            }
            _ => {
                backend.pointwise(Pointwise::Magnitude, magnitudes, x, None);
                magnitudes
            }
        };
        let wide = backend.shape(magnitudes)[1];
        backend.reshape(by_sequence, sequences, wide);
        backend.reshape(squares, sequences, wide);
        backend.fold(by_sequence, magnitudes, n / sequences, 1);
        backend.pointwise(Pointwise::Square, squares, by_sequence, None);
        backend.add_column_sums(sum, squares);
    }

    fn sums(&mut self) -> Vec<&mut B::Tensor> {
        self.sums.iter_mut().map(|(_, sum)| sum).collect()
    }

    fn flops(&self, config: &ModelConfig, tokens: u64) -> u64 {
        self.sums.iter().map(|(site, _)| 2 * width(config, *site) as u64 * tokens).sum()
    }
}
